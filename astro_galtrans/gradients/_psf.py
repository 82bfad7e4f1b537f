"""Matching the PSFs of the bands of an image."""

from __future__ import annotations

from typing import Literal, NamedTuple, TYPE_CHECKING, TypeVar, cast

import astropy.units as u
import numpy as np
from astropy.nddata import NDData, StdDevUncertainty
from astropy.stats import gaussian_fwhm_to_sigma
from scipy.optimize import brentq
from scipy.signal import fftconvolve
from scipy.special import ive

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.psf import CENTER_TOLERANCE, centered_psf, psf_centers
from astro_galtrans.gradients._flux import band_index, flux_arrays, pixel_sides
from astro_galtrans.images import BandCube, like_input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.nddata import CCDData

    from astro_galtrans.surveys import Survey

__all__ = ["MatchedBands", "match_psf", "matched", "psf_sigmas", "unmatched"]

Image = TypeVar("Image", bound="NDData | Mapping[str, CCDData]")
# Widths that differ by less than this fraction count as equal.
_TOLERANCE = 1e-3
_PENALTY = 1e-6


class MatchedBands(NamedTuple):
    """Some bands of an image after PSF matching."""

    flux: np.ndarray
    """In Jy, shape ``(band, y, x)``, NaN where bad."""
    sigma: np.ndarray | None
    """Standard deviation, None where the noise is not known."""
    psf: np.ndarray | None
    """PSFs after matching."""
    info: dict
    """``to``, ``method`` (None if nothing was matched) and the ``smoothed`` bands."""


@numpy_defaults()
def match_psf(
    image: Image, to: str | None = None, *, method: Literal["kernel", "gaussian"] | None = None,
    survey: Survey | str | None = None,
) -> Image:
    """Smooth every band of an image to the PSF of the broadest.

    Passband gradients, color maps and spectra of single pixels compare the bands of one pixel. If the PSFs of the bands
    differ, they show a color gradient that the galaxy does not have.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image, ``(band, y, x)``.
    to : str, optional
        Band to whose PSF the others are smoothed; default the one with the broadest PSF. No band may be broader.
    method : {None, "kernel", "gaussian"}, optional
        ``"kernel"`` divides the two PSF images in Fourier space, with a Laplacian penalty on frequencies that the
        sharper PSF lacks (Boucaud et al. 2016, A&A 596, A63, eq. 17, with mu = 1e-6). ``"gaussian"`` smooths with the
        Gaussian that makes the widths equal; the width of a PSF is that of the Gaussian whose Fourier transform falls
        to exp(-1/2) at the same frequency. Default: the kernel if the image has a ``psf``, else the Gaussian, from the
        typical FWHM of the survey.
    survey : Survey or str, optional
        Survey of an image that does not name one.

    Returns
    -------
    image of the same kind
        With the same unit and mask, and with ``psf`` if the input has one. PSF images that are not centered do not
        shift the bands: each is used relative to its centroid, and the ``psf`` of the result is centered. Around bad
        pixels the kernel is normalized to the good ones. The uncertainty is that of each pixel alone, for noise that
        was independent before; the noise of adjacent pixels is correlated afterward. ``meta["psf_match"]`` has
        ``to``, ``method`` and the ``smoothed`` bands.

    Raises
    ------
    ValueError
        If neither the image nor the survey gives the PSFs, or a band is broader than ``to``.

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
    flux, sigma, psf, info = matched(arrays, list(range(len(cube.bands))), to, method)
    if info["method"] is None:
        raise ValueError("image has neither psf nor survey, so the PSFs of its bands are not known")
    factor = arrays.jansky[:, None, None]
    result = BandCube(flux / factor, unit=cube.unit, wcs=cube.wcs, bands=cube.bands, survey=cube.survey,
                      mask=None if arrays.good.all() else ~arrays.good, psf=psf,
                      uncertainty=None if sigma is None else StdDevUncertainty(sigma / factor),
                      meta={**cube.meta, "psf_match": info})
    return cast(Image, like_input(result, image))


def unmatched(arrays, index):
    """Return some bands as they are."""
    flux = np.where(arrays.good[index], arrays.flux[index], np.nan)
    sigma = None if arrays.sigma is None else np.where(arrays.good[index], arrays.sigma[index], np.nan)
    psf = None if arrays.cube.psf is None else np.array(arrays.cube.psf[index], dtype=float)
    return MatchedBands(flux, sigma, psf, {"to": None, "method": None, "smoothed": ()})


def matched(arrays, index, to=None, method=None):
    """Return some bands with equal PSFs; ``to`` and ``method`` are those of `match_psf`."""
    cube, bands = arrays.cube, [arrays.cube.bands[i] for i in index]
    flux, sigma, psf, _ = result = unmatched(arrays, index)
    if method not in (None, "kernel", "gaussian"):
        raise ValueError(f"method must be None, 'kernel' or 'gaussian', got {method!r}")
    if method == "kernel" and psf is None:
        raise ValueError("method 'kernel' needs the PSF of each band in image.psf, which is None")
    widths = psf_sigmas(cube, index)
    if widths is None:
        return result
    method = method or ("gaussian" if psf is None else "kernel")
    target = int(np.argmax(widths)) if to is None else band_index(to, bands)
    wider = [band for band, width in zip(bands, widths) if width > widths[target] * (1 + _TOLERANCE)]
    if wider:
        raise ValueError(f"to must be the band of the broadest PSF, got {to!r}, and {', '.join(wider)} is broader")
    if psf is not None:
        own, centers = psf, psf_centers(psf)
        psf = centered_psf(psf, psf.shape[1:]) if _off_center(psf, centers) else psf.copy()
    smoothed = [i for i, width in enumerate(widths) if width < widths[target] * (1 - _TOLERANCE)]
    for i in smoothed:
        if method == "kernel":
            kernel = _fourier_kernel(own[i], own[target], centers[target] - centers[i])
        else:
            kernel = _gaussian_kernel(np.sqrt(widths[target]**2 - widths[i]**2))
        weight = _good_weight(arrays.good[index[i]], kernel)
        flux[i] = _convolved(np.nan_to_num(flux[i]), kernel) / weight
        if sigma is not None:
            variance = _convolved(np.nan_to_num(sigma[i])**2, kernel**2)
            sigma[i] = np.sqrt(np.maximum(variance, 0.0)) / weight
        if psf is not None:
            psf[i] = fftconvolve(psf[i], kernel, mode="same")
    info = {"to": bands[target], "method": method, "smoothed": tuple(bands[i] for i in smoothed)}
    return MatchedBands(flux, sigma, psf, info)


def _off_center(psf, centers):
    return np.abs(centers - (np.array(psf.shape[1:]) - 1) / 2).max() > CENTER_TOLERANCE


def psf_sigmas(cube, index):
    """Return the standard deviation of the PSF of some bands in pixels, or None where it is not known."""
    if cube.psf is not None:
        return [_width(np.asarray(cube.psf[i], dtype=float)) for i in index]
    if cube.survey is not None:
        scale = np.sqrt(np.prod(pixel_sides(cube)))
        return [cube.survey[cube.bands[i]].psf_fwhm.to_value(u.arcsec) * gaussian_fwhm_to_sigma / scale for i in index]
    return None


def _width(psf):
    """Return the sigma of the Gaussian whose Fourier transform falls to exp(-1/2) at the same frequency."""
    # Unlike second moments it does not depend on the far wings, and convolution adds squares exactly.
    lines = psf.sum(axis=0) / psf.sum(), psf.sum(axis=1) / psf.sum()

    def log_amplitude(frequency):
        waves = (np.exp(-2j * np.pi * frequency * np.arange(len(line))) for line in lines)
        return np.log(np.mean([np.abs(line @ wave) for line, wave in zip(lines, waves)]) + 1e-12)

    if log_amplitude(0.5) > -0.5:  # narrower than 0.32 pixels
        return np.sqrt(max(-2 * log_amplitude(0.5), 0.0)) / np.pi
    return 1 / (2 * np.pi * brentq(lambda frequency: log_amplitude(frequency) + 0.5, 0.0, 0.5))


def _gaussian_kernel(sigma):
    """Return Lindeberg's discrete Gaussian, which has exactly this standard deviation in pixels, however narrow."""
    half = max(1, int(np.ceil(5 * sigma)))
    line = ive(np.abs(np.arange(-half, half + 1)), sigma**2)
    kernel = np.outer(line, line)
    return kernel / kernel.sum()


def _fourier_kernel(source, target, offset):
    """Return the regularized kernel from one PSF image to another, of odd sides, normalized to sum 1.

    ``offset`` is that of the target's center from the source's, (y, x) in pixels. It is a property of the PSF images,
    not of the sky, and is left out of the kernel.
    """
    # Padded, because the transform is periodic; make_wiener_kernel of photutils 3 is not.
    shape = [2 * n for n in source.shape]
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


def _good_weight(good, kernel):
    """Return the sum of the kernel over the good pixels, NaN where a pixel is bad or the sum is too small."""
    weight = _convolved(good.astype(float), kernel)
    return np.where(good & (weight >= 0.1), weight, np.nan)


def _convolved(plane, kernel):
    """Return a plane convolved with a kernel, which may be larger; zeros continue the plane beyond its edges."""
    full = fftconvolve(plane, kernel, mode="full")
    y, x = kernel.shape[0] // 2, kernel.shape[1] // 2
    return full[y:y + plane.shape[0], x:x + plane.shape[1]]
