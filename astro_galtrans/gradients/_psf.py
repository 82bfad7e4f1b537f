"""Bands of different sharpness brought to one PSF, so that a colour compares the same light."""

from __future__ import annotations

from typing import Any, Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from scipy.optimize import brentq
from scipy.signal import fftconvolve
from scipy.special import ive

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.psf import CENTER_TOLERANCE, centered_psf, psf_centers
from astro_galtrans.gradients._flux import band_index, flux_arrays, pixel_sides
from astro_galtrans.images import BandCube, like_input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.nddata import CCDData, NDData

    from astro_galtrans.surveys import Survey

__all__ = ["match_psf", "matched", "psf_sigmas"]

_FWHM = 2 * np.sqrt(2 * np.log(2))
_SAME = 1e-3  # relative difference of widths that is left alone
_PENALTY = 1e-6


@numpy_defaults()
def match_psf(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], to: str | None = None, *,
    method: Literal["kernel", "gaussian"] | None = None, survey: Survey | str | None = None,
) -> Any:
    """Every band of an image smoothed to the PSF of the broadest.

    Passband gradients, colour maps and spectra of single pixels compare bands of the same pixel: where their PSFs
    differ, a galaxy has a colour gradient that it does not have.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image, ``(band, y, x)``.
    to : str, optional
        Band whose PSF the others get; default the one of the broadest PSF. Only sharper bands can be matched to it.
    method : {None, "kernel", "gaussian"}, optional
        ``"kernel"`` divides the two PSF images in Fourier space, with a Laplacian penalty on what the sharper PSF
        does not hold (Boucaud et al. 2016, A&A 596, A63, eq. 17, with mu = 1e-6). ``"gaussian"`` smooths with the
        Gaussian that makes the widths equal: those of the Gaussians whose Fourier transforms fall to exp(-1/2) at the
        same frequency as the PSFs'. Default the kernel if the image has a ``psf``, else the Gaussian, from the typical
        FWHM of the survey.
    survey : Survey or str, optional
        Where the image does not say it itself.

    Returns
    -------
    BandCube, or the kind of ``image``
        In the same unit, with the same mask, and ``psf`` where there was one. PSF images that are not centered alike
        do not shift the bands: each is taken about its centroid, and ``psf`` of the result is centered. Around bad
        pixels the kernel is normalized to the good ones. The uncertainty is that of each pixel by itself, from
        independent pixels before; neighbors share their noise afterwards. ``meta["psf_match"]`` says what was done.

    Raises
    ------
    ValueError
        If neither the image nor the survey tells the PSFs, or a band is broader than ``to``.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.gradients import match_psf
    >>> from astro_galtrans.images import BandCube
    >>> cube = BandCube(np.ones((5, 32, 32)), unit="nmgy", wcs=None, bands="ugriz", survey="SDSS")
    >>> match_psf(cube).meta["psf_match"]["to"]
    'u'
    """
    arrays = flux_arrays(image, survey)
    cube = arrays.cube
    flux, sigma, psf, done = matched(arrays, list(range(len(cube.bands))), to, method)
    if done["method"] is None:
        raise ValueError("image has neither psf nor survey, so that the PSFs of its bands are not known")
    factor = arrays.jansky[:, None, None]
    uncertainty = None
    if sigma is not None:
        from astropy.nddata import StdDevUncertainty

        uncertainty = StdDevUncertainty(sigma / factor)
    result = BandCube(flux / factor, unit=cube.unit, wcs=cube.wcs, bands=cube.bands, survey=cube.survey,
                      mask=None if arrays.good.all() else ~arrays.good, uncertainty=uncertainty, psf=psf,
                      meta={**cube.meta, "psf_match": done})
    return like_input(result, image)


def matched(arrays, index, to=None, method=None):
    """Flux and standard deviation of some bands with equal PSFs.

    Parameters
    ----------
    arrays : FluxArrays
        The image.
    index : list of int
        Its bands.
    to, method
        As of `match_psf`.

    Returns
    -------
    flux, sigma : ndarray of shape (len(index), y, x)
        In Jy, NaN where bad; ``sigma`` is None where the noise is not known.
    psf : ndarray or None
        The PSFs that these bands have now.
    done : dict
        ``to``, ``method`` and the ``smoothed`` bands; the method is None if the PSFs are not known.
    """
    cube = arrays.cube
    flux = np.where(arrays.good[index], arrays.flux[index], np.nan)
    sigma = None if arrays.sigma is None else np.where(arrays.good[index], arrays.sigma[index], np.nan)
    psf = None if cube.psf is None else np.array(cube.psf[index], dtype=float)
    centers = None if psf is None else psf_centers(psf)
    if method not in (None, "kernel", "gaussian"):
        raise ValueError(f"method must be None, 'kernel' or 'gaussian', got {method!r}")
    if method == "kernel" and psf is None:
        raise ValueError("method 'kernel' needs the PSF of each band in image.psf, which is None")
    widths = psf_sigmas(cube, index)
    if widths is None:
        return flux, sigma, psf, {"to": None, "method": None, "smoothed": ()}
    if psf is not None and np.abs(centers - (np.array(psf.shape[1:]) - 1) / 2).max() > CENTER_TOLERANCE:
        psf = centered_psf(psf, psf.shape[1:])
    method = method or ("gaussian" if psf is None else "kernel")
    target = int(np.argmax(widths)) if to is None else index.index(band_index(cube, to))
    wider = [cube.bands[index[i]] for i in range(len(index)) if widths[i] > widths[target] * (1 + _SAME)]
    if wider:
        raise ValueError(f"to must be the band of the broadest PSF, got {to!r}, and {', '.join(wider)} is broader")
    smoothed = [i for i in range(len(index)) if widths[i] < widths[target] * (1 - _SAME)]
    for i in smoothed:
        if method == "kernel":
            kernel = _fourier_kernel(cube.psf[index[i]], cube.psf[index[target]], centers[target] - centers[i])
        else:
            kernel = _gaussian_kernel(np.sqrt(widths[target]**2 - widths[i]**2))
        flux[i], deviation = _smoothed(flux[i], None if sigma is None else sigma[i], kernel)
        if sigma is not None:
            sigma[i] = deviation
        if psf is not None:
            psf[i] = fftconvolve(psf[i], kernel, mode="same")
    names = tuple(cube.bands[index[i]] for i in smoothed)
    return flux, sigma, psf, {"to": cube.bands[index[target]], "method": method, "smoothed": names}


def psf_sigmas(cube, index):
    """Standard deviation of the PSF of some bands in pixels, or None where it is not known."""
    if cube.psf is not None:
        return [_width(np.asarray(cube.psf[i], dtype=float)) for i in index]
    if cube.survey is not None:
        scale = np.sqrt(np.prod(pixel_sides(cube)))
        return [cube.survey[cube.bands[i]].psf_fwhm.to_value(u.arcsec) / _FWHM / scale for i in index]
    return None


def _width(psf):
    """Standard deviation of the Gaussian whose Fourier transform falls to exp(-1/2) at the same frequency.

    Second moments would be set by the far wings, and radii by the pixels; here convolution adds squares exactly.
    """
    lines = psf.sum(axis=0) / psf.sum(), psf.sum(axis=1) / psf.sum()

    def log_amplitude(frequency):
        waves = (np.exp(-2j * np.pi * frequency * np.arange(len(line))) for line in lines)
        return np.log(np.mean([np.abs(line @ wave) for line, wave in zip(lines, waves)]) + 1e-12)

    if log_amplitude(0.5) > -0.5:  # narrower than 0.32 pixels
        return np.sqrt(max(-2 * log_amplitude(0.5), 0.0)) / np.pi
    return 1 / (2 * np.pi * brentq(lambda frequency: log_amplitude(frequency) + 0.5, 0.0, 0.5))


def _gaussian_kernel(sigma):
    """Kernel of exactly this standard deviation in pixels, however narrow: Lindeberg's discrete Gaussian."""
    steps = np.arange(-max(1, int(np.ceil(5 * sigma))), max(1, int(np.ceil(5 * sigma))) + 1)
    line = ive(np.abs(steps), sigma**2)
    kernel = np.outer(line, line)
    return kernel / kernel.sum()


def _fourier_kernel(source, target, offset):
    """Kernel that takes one PSF image to another, regularized; of odd sides, normalized to 1.

    ``offset`` is that of the target's center from the source's, (y, x) in pixels. It belongs to the images of the
    PSFs, not to the sky, and the kernel does not have it.
    """
    shape = [2 * n for n in source.shape]  # room, so that no end of the kernel comes in at the other
    from_psf, to_psf = np.fft.rfft2(source, shape), np.fft.rfft2(target, shape)
    frequencies = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    laplacian = sum(2 - 2 * np.cos(2 * np.pi * frequency) for frequency in frequencies)
    ratio = to_psf * from_psf.conj() / (np.abs(from_psf)**2 + _PENALTY * laplacian**2)
    ratio = ratio * np.exp(2j * np.pi * (frequencies[0] * offset[0] + frequencies[1] * offset[1]))
    kernel = np.fft.fftshift(np.fft.irfft2(ratio, shape))
    half = [n // 2 for n in source.shape]
    y, x = shape[0] // 2, shape[1] // 2
    kernel = kernel[y - half[0]:y + half[0] + 1, x - half[1]:x + half[1] + 1]
    return kernel / kernel.sum()


def _smoothed(flux, sigma, kernel):
    """A plane and its standard deviation under a kernel that is normalised to the good pixels; bad ones stay NaN."""
    good = np.isfinite(flux)
    weight = _convolved(good.astype(float), kernel)
    weight[~good | (weight < 0.1)] = np.nan
    smooth = _convolved(np.where(good, flux, 0.0), kernel) / weight
    if sigma is None:
        return smooth, None
    variance = _convolved(np.where(good, sigma, 0.0)**2, kernel**2)
    return smooth, np.sqrt(np.maximum(variance, 0.0)) / weight


def _convolved(plane, kernel):
    """``plane`` under ``kernel``, with zeros beyond its edges; a kernel larger than the plane is allowed."""
    full = fftconvolve(plane, kernel, mode="full")
    y, x = kernel.shape[0] // 2, kernel.shape[1] // 2
    return full[y:y + plane.shape[0], x:x + plane.shape[1]]
