"""What has to be convolved with a deep image to give it the point spread function of a shallower survey."""

import astropy.units as u
import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import gamma, j0, kv

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.psf import checked_psf, psf_centers

__all__ = ["Kernel", "Moffat", "SampledPSF", "match", "psf_models"]

MATCHINGS = ("kernel", "gaussian")
_BETA = 3.5  # that of the simulated pairs
_GRID = 128  # pixels of the Fourier grid on which widths are measured
_NODES = 2048
_PENALTY = 1e-3
_SAME = 1e-6
_SHARPER = 2e-3  # relative difference of FWHM that measuring it may have
_MAX_GAIN = 1.5


class Moffat:
    """A round Moffat profile of a FWHM in pixels, as a star has it in the image: the pixel is part of it.

    Its transform is that of Trujillo et al. (2001, MNRAS 328, 977, eq. 2): a modified Bessel function.
    """

    def __init__(self, fwhm):
        self.radius = fwhm / (2 * np.sqrt(2 ** (1 / _BETA) - 1))

    def transform(self, fy, fx):
        """Fourier transform at frequencies ``fy`` x ``fx`` in cycles a pixel, real, 1 at zero."""
        k = 2 * np.pi * self.radius * np.hypot(fy[:, np.newaxis], fx)
        nodes = np.linspace(1e-6, max(k.max(), 1.0), _NODES)  # the Bessel function is slow, and the transform smooth
        values = 2 / gamma(_BETA - 1) * (nodes / 2) ** (_BETA - 1) * kv(_BETA - 1, nodes)
        return CubicSpline(nodes, values)(k)


class SampledPSF:
    """An image of a star, whose pixels have ``step`` times the side of those that frequencies are counted in."""

    def __init__(self, image, step=1.0):
        self.image, self.step = image / image.sum(), step
        center = psf_centers(self.image[np.newaxis])[0]
        self.y, self.x = (np.arange(side) - middle for side, middle in zip(image.shape, center))

    def transform(self, fy, fx):
        """Fourier transform about the centroid at frequencies ``fy`` x ``fx``; 0 beyond what the pixels hold."""
        fy, fx = fy * self.step, fx * self.step
        along = [np.exp(-2j * np.pi * np.outer(f, places)) for f, places in ((fy, self.y), (fx, self.x))]
        value = along[0] @ self.image @ along[1].T
        value[np.abs(fy) > 0.5 + 1e-9] = 0
        value[:, np.abs(fx) > 0.5 + 1e-9] = 0
        return value


def psf_models(name, psf, bands, scale, step=1.0):
    """A PSF model for each band.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    psf : `~astropy.units.Quantity` or array_like
        FWHM as an angle, one or one a band; or images, shape ``(band, py, px)`` or ``(py, px)``.
    bands : tuple of str
        Band names.
    scale : float
        Side in arcsec of the pixels that frequencies are counted in.
    step : float, optional
        Side of the pixels of PSF images in those pixels.
    """
    if isinstance(psf, u.Quantity):
        try:
            fwhm = np.broadcast_to(floats(psf, name, unit=u.arcsec), len(bands))
        except ValueError as error:
            raise ValueError(
                f"{name} must be an angle, one or one for each of {len(bands)} bands, got {psf}") from error
        if not np.all(np.isfinite(fwhm)) or np.any(fwhm <= 0):
            raise ValueError(f"{name} must be above 0, got {psf}")
        return [Moffat(width / scale) for width in fwhm]
    images = floats(psf, name, dtype=float)
    if images.ndim == 2:
        images = np.repeat(images[np.newaxis], len(bands), axis=0)
    if images.ndim != 3 or len(images) != len(bands):
        raise ValueError(f"{name} must be FWHM with a unit, or images (band, py, px) for {len(bands)} bands, got shape "
                         f"{images.shape}")
    images = checked_psf(images, len(bands), name)
    return [SampledPSF(image, step) for image in images]


def _frequencies(n=_GRID):
    return fft.fftshift(fft.fftfreq(n)), fft.rfftfreq(n)


def _fwhm(transform, weight, frequency):
    """FWHM of the azimuthal mean of the profile with a transform on the half plane, in pixels."""
    def excess(radius):
        return np.sum(weight * transform * (j0(2 * np.pi * frequency * radius) - 0.5))

    far = 0.25
    while excess(far) > 0:
        far *= 1.5
        if far > _GRID / 2:
            raise ValueError("the PSF has no width: its light does not fall off within its image")
    return 2 * brentq(excess, 0.0, far, xtol=1e-7)


class Kernel:
    """What takes one PSF to another, in Fourier space.

    Parameters
    ----------
    source : Moffat or SampledPSF
        PSF of the image.
    target : Moffat or SampledPSF or None
        PSF wanted, for the division of the two; None with a Gaussian.
    sigma : float, optional
        Standard deviation in pixels of the Gaussian.
    """

    def __init__(self, source, target=None, sigma=None):
        self.source, self.target, self.sigma = source, target, sigma

    @property
    def is_identity(self):
        return self.target is None and not self.sigma

    def transform(self, fy, fx):
        """Of the kernel, at frequencies in cycles a pixel; its centroid is 0."""
        if self.is_identity:
            return np.ones((len(fy), len(fx)))
        if self.target is None:
            return np.exp(-2 * np.pi**2 * self.sigma**2 * (fy[:, np.newaxis]**2 + fx**2))
        source = self.source.transform(fy, fx)
        return self.target.transform(fy, fx) * source.conj() / (np.abs(source)**2 + _PENALTY**2)

    def psf(self, side, step):
        """Image of a star after the convolution, ``side`` pixels (odd) of ``step`` times the size, of sum 1."""
        n = fft.next_fast_len(int(side * step) + _GRID // 2)
        fy, fx = fft.fftfreq(n), fft.rfftfreq(n)
        transform = self.transform(fy, fx) * self.source.transform(fy, fx)
        transform[:, 1:n // 2 + n % 2] *= 2  # the other half plane, but for the Nyquist frequency
        places = (np.arange(side) - side // 2) * step
        along = [np.exp(2j * np.pi * np.outer(places, f)) for f in (fy, fx)]
        image = (along[0] @ transform @ along[1].T).real
        return image / image.sum()


def match(source, target, matching, band):
    """The `Kernel` from one PSF to another of the same band, and the FWHM in pixels before and after.

    Raises
    ------
    ValueError
        If the target is sharper.
    """
    fy, fx = _frequencies()
    weight = np.where(fx > 0, 2.0, 1.0)
    frequency = np.hypot(fy[:, np.newaxis], fx)
    given, wanted = (model.transform(fy, fx) for model in (source, target))
    before, after = (_fwhm(one.real, weight, frequency) for one in (given, wanted))
    if np.max(np.abs(given - wanted)) < _SAME:
        return Kernel(source), before, before
    if after < before * (1 - _SHARPER):
        raise ValueError(
            f"the target PSF of band {band} is sharper than that of the image: FWHM {after:.3f} against {before:.3f} "
            "pixels of the image; an image can be degraded, not sharpened")
    if matching == "gaussian":
        if after < before * (1 + 1e-6):
            return Kernel(source), before, before

        def miss(sigma):
            spread = np.exp(-2 * np.pi**2 * sigma**2 * frequency**2)
            return _fwhm(given.real * spread, weight, frequency) - after

        return Kernel(source, sigma=brentq(miss, 0.0, after, xtol=1e-7)), before, after
    kernel = Kernel(source, target)
    transform = kernel.transform(fy, fx)
    gain = np.abs(transform).max()
    reached = _fwhm((transform * given).real, weight, frequency)
    if gain > _MAX_GAIN or abs(reached / after - 1) > 0.01:
        raise ValueError(
            f"the target PSF of band {band} is sharper than that of the image at some scales, although its FWHM is "
            f"not: noise would grow by {gain:.2f}, and the FWHM be {reached:.3f} for {after:.3f} pixels; "
            "matching='gaussian' only broadens")
    return kernel, before, reached
