"""Kernels that give a deep image the point spread function of a shallower survey."""

import astropy.units as u
import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import gamma, j0, kv

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.psf import checked_psf, psf_centers

__all__ = ["Kernel", "Moffat", "SampledPSF", "match", "psf_models"]

_BETA = 3.5  # as of the simulated pairs
_GRID = 128  # pixels of the Fourier grid on which widths are measured
_NODES = 2048
_PENALTY = 1e-3
_SAME = 1e-6
_SHARPER = 2e-3  # relative difference of FWHM that measuring it may have
_MAX_GAIN = 1.5


class Moffat:
    """Round Moffat profile of a FWHM in pixels, that of a star in the image, so the pixel is part of it.

    Its transform is that of Trujillo et al. (2001, MNRAS 328, 977, eq. 2): a modified Bessel function.
    """

    def __init__(self, fwhm):
        self.radius = fwhm / (2 * np.sqrt(2 ** (1 / _BETA) - 1))

    def transform(self, fy, fx):
        """Return the real Fourier transform at frequencies ``fy`` x ``fx`` in cycles per pixel, 1 at zero."""
        k = 2 * np.pi * self.radius * np.hypot(fy[:, np.newaxis], fx)
        nodes = np.linspace(1e-6, max(k.max(), 1.0), _NODES)  # the Bessel function is slow, and the transform smooth
        values = 2 / gamma(_BETA - 1) * (nodes / 2) ** (_BETA - 1) * kv(_BETA - 1, nodes)
        return CubicSpline(nodes, values)(k)


class SampledPSF:
    """Image of a star, whose pixels have ``scale_ratio`` times the side of those of the frequencies."""

    def __init__(self, image, scale_ratio=1.0):
        self.image, self.scale_ratio = image / image.sum(), scale_ratio
        center = psf_centers(self.image[np.newaxis])[0]
        self.y, self.x = (np.arange(side) - middle for side, middle in zip(image.shape, center))

    def transform(self, fy, fx):
        """Return the Fourier transform about the centroid; 0 beyond the frequencies of the pixels."""
        fy, fx = fy * self.scale_ratio, fx * self.scale_ratio
        along = [np.exp(-2j * np.pi * np.outer(f, places)) for f, places in ((fy, self.y), (fx, self.x))]
        value = along[0] @ self.image @ along[1].T
        value[np.abs(fy) > 0.5 + 1e-9] = 0
        value[:, np.abs(fx) > 0.5 + 1e-9] = 0
        return value


def psf_models(name, psf, bands, scale, scale_ratio=1.0):
    """Return a PSF model for each band, of the FWHM as an angle or images ``(band, py, px)`` of the argument ``name``.

    ``scale`` is the side in arcsec of the pixels of the frequencies, ``scale_ratio`` that of the pixels of PSF images
    over it.
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
    images = checked_psf(floats(psf, name, dtype=float), len(bands), name)
    return [SampledPSF(image, scale_ratio) for image in images]


def _fwhm(transform, weight, frequency):
    """Return the FWHM in pixels of the azimuthal mean of the profile with a transform on the half plane."""
    def excess(radius):
        return np.sum(weight * transform * (j0(2 * np.pi * frequency * radius) - 0.5))

    far = 0.25
    while excess(far) > 0:
        far *= 1.5
        if far > _GRID / 2:
            raise ValueError("psf must have a width: its flux does not fall off within its image")
    return 2 * brentq(excess, 0.0, far, xtol=1e-7)


class Kernel:
    """Convolution kernel in Fourier space.

    With ``target`` it is the ratio of the transforms of two PSFs, else a Gaussian of ``sigma`` pixels, or the identity.
    """

    def __init__(self, source, target=None, sigma=None):
        self.source, self.target, self.sigma = source, target, sigma

    @property
    def is_identity(self):
        return self.target is None and not self.sigma

    def transform(self, fy, fx):
        """Return the transform of the kernel at frequencies in cycles per pixel; its centroid is 0."""
        if self.is_identity:
            return np.ones((len(fy), len(fx)))
        if self.target is None:
            return np.exp(-2 * np.pi**2 * self.sigma**2 * (fy[:, np.newaxis]**2 + fx**2))
        source = self.source.transform(fy, fx)
        return self.target.transform(fy, fx) * source.conj() / (np.abs(source)**2 + _PENALTY**2)

    def psf(self, side, scale_ratio):
        """Return the image of a star after the convolution, ``side`` (odd) pixels of ``scale_ratio`` times the size."""
        n = fft.next_fast_len(int(side * scale_ratio) + _GRID // 2)
        fy, fx = fft.fftfreq(n), fft.rfftfreq(n)
        transform = self.transform(fy, fx) * self.source.transform(fy, fx)
        transform[:, 1:n // 2 + n % 2] *= 2  # the other half plane, except for the Nyquist frequency
        places = (np.arange(side) - side // 2) * scale_ratio
        along = [np.exp(2j * np.pi * np.outer(places, f)) for f in (fy, fx)]
        image = (along[0] @ transform @ along[1].T).real
        return image / image.sum()


def match(source, target, matching, band):
    """Return the `Kernel` from one PSF to another of the same band, and the FWHM in pixels before and after.

    A target that is sharper raises a ValueError.
    """
    fy, fx = fft.fftshift(fft.fftfreq(_GRID)), fft.rfftfreq(_GRID)
    weight = np.where(fx > 0, 2.0, 1.0)
    frequency = np.hypot(fy[:, np.newaxis], fx)
    given, wanted = (model.transform(fy, fx) for model in (source, target))
    before, after = (_fwhm(one.real, weight, frequency) for one in (given, wanted))
    if np.max(np.abs(given - wanted)) < _SAME:
        return Kernel(source), before, before
    if after < before * (1 - _SHARPER):
        raise ValueError(
            f"target_psf of band {band} is sharper than the PSF of the image: FWHM {after:.3f} against {before:.3f} "
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
            f"target_psf of band {band} is sharper than the PSF of the image at some scales, although its FWHM is "
            f"not: noise would grow by {gain:.2f}, and the FWHM be {reached:.3f} instead of {after:.3f} pixels; "
            "matching='gaussian' only broadens")
    return kernel, before, reached
