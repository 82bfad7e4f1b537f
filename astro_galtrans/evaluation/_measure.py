"""Measurements of each galaxy: numbers per galaxy and band, from which all tables are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans.gradients import annulus_weights, aperture_weights, radial_fluxes
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = [
    "ApertureSet", "aperture_noise", "color_pairs", "coverage_counts", "image_measures", "magnitudes",
    "pixel_measures", "resample_input",
]


def _interpolation(n_in, n_out, ratio):
    """Matrix (n_out, n_in) of linear interpolation about a common center; zero outside."""
    place = (np.arange(n_out) - (n_out - 1) / 2) * ratio + (n_in - 1) / 2
    # The outermost pixels extend half a pixel beyond their centers.
    inside = (place >= -0.5) & (place <= n_in - 0.5)
    place = np.clip(place, 0, n_in - 1)
    low = np.minimum(np.floor(place).astype(int), max(n_in - 2, 0))
    matrix = np.zeros((n_out, n_in))
    rows = np.arange(n_out)
    matrix[rows, low] += 1 - (place - low)
    matrix[rows, np.minimum(low + 1, n_in - 1)] += place - low
    return matrix * inside[:, None]


def resample_input(
    flux: ArrayLike, input_survey: Survey | str, target_survey: Survey | str, shape: Sequence[int],
) -> np.ndarray:
    """Resample input images to the target grid by bilinear interpolation, without any network.

    It is the row "resampled input" in the tables of `evaluate`, and a baseline for your own measurements.

    Parameters
    ----------
    flux : array_like
        Shape ``(galaxy, band, y, x)``, in the unit of the input survey.
    input_survey, target_survey : Survey or str
        Surveys of the images.
    shape : tuple of int
        ``(Y, X)`` of the target images; input and target share their center.

    Returns
    -------
    ndarray
        Shape ``(galaxy, target band, Y, X)``, float32, in the unit of the target survey. The flux per area is
        conserved. Bands that the input does not have are NaN, pixels beyond the input image 0.

    Raises
    ------
    ValueError
        If the flux does not have four axes with the bands of the input survey.
    """
    input_survey, target_survey = get_survey(input_survey), get_survey(target_survey)
    flux = np.asarray(flux, dtype=np.float32)
    if flux.ndim != 4 or flux.shape[1] != len(input_survey):
        raise ValueError(f"flux must have shape (galaxy, {len(input_survey)}, y, x) for survey {input_survey.name}, "
                         f"got {flux.shape}")
    ratio = (target_survey.pixel_scale / input_survey.pixel_scale).to_value(u.dimensionless_unscaled)
    rows, columns = (
        _interpolation(n_in, n_out, ratio).astype(np.float32) for n_in, n_out in zip(flux.shape[-2:], shape))
    out = np.full((len(flux), len(target_survey), *shape), np.nan, dtype=np.float32)
    for index, band in enumerate(target_survey):
        if band.name in input_survey.band_names:
            source = input_survey.band_names.index(band.name)
            scale = np.float32(10 ** (0.4 * (band.zero_point - input_survey.bands[source].zero_point)) * ratio**2)
            out[:, index] = scale * (rows @ flux[:, source] @ columns.T)
    return out


class ApertureSet:
    """Fixed apertures and annuli, in arcsec, on the pixel grid of images ``(y, x)`` of one survey."""

    def __init__(self, survey, shape, aperture_radii, annuli):
        self.survey = survey
        scale = survey.pixel_scale
        self.apertures = np.stack([aperture_weights(shape, radius, scale) for radius in aperture_radii])
        self.annuli = annulus_weights(shape, annuli, scale)
        # The peak is the largest mean over about 0.6 arcsec within 2 arcsec of the center.
        self.central = aperture_weights(shape, 2.0, scale) > 0.5
        self.smooth = max(1, int(round(0.6 / scale.to_value(u.arcsec) / 2 - 0.5)) * 2 + 1)


def color_pairs(survey):
    """Return pairs of neighboring bands, as (("u", "g"), ("g", "r"), ...)."""
    return tuple(zip(survey.band_names, survey.band_names[1:]))


def image_measures(flux, apertures):
    """Return fluxes of many images: aperture (n, band, radius), annulus (n, band, annulus) and peak (n, band)."""
    from scipy.ndimage import uniform_filter

    size, (rows, columns) = apertures.smooth, np.nonzero(apertures.central)
    # Means at the edge of the central region include pixels beyond it, so half a kernel is kept around it.
    window = tuple(slice(max(0, part.min() - size // 2), part.max() + 1 + size // 2) for part in (rows, columns))
    local = uniform_filter(flux[(..., *window)], size=(1, 1, size, size), mode="nearest")
    return {
        "aperture": radial_fluxes(flux, apertures.apertures),
        "annulus": radial_fluxes(flux, apertures.annuli),
        "peak": np.where(apertures.central[window], local, -np.inf).max(axis=(2, 3)).astype(float),
    }


def aperture_noise(flux, weight, apertures):
    """Return the standard deviation of aperture fluxes, shape (n, band, radius), from the noise of their pixels.

    The weight is the inverse variance, 0 where a pixel does not count; None stands for the noise of the survey's sky.
    """
    if weight is None:
        sky = apertures.survey.sky_noise[:, None] * np.sqrt((apertures.apertures**2).sum(axis=(1, 2)))
        return np.broadcast_to(sky, (len(flux), *sky.shape)).astype(float)
    variance = np.divide(1, weight, out=np.zeros(weight.shape, dtype=np.float32), where=weight > 0)
    return np.sqrt(radial_fluxes(variance, apertures.apertures**2))


def pixel_measures(flux, reference, target, weight):
    """Compare images with the reference and, in units of the noise, with the real target; a dict of (n, band).

    The weight is the inverse variance of the target, 0 where a pixel does not count, or None.
    """
    used = np.isfinite(target) if weight is None else weight > 0
    error = np.where(used, flux - reference, 0).astype(float)
    truth = np.where(used, reference, 0).astype(float)
    count = np.maximum(used.sum(axis=(2, 3)), 1)
    axes = (2, 3)
    total, power = truth.sum(axis=axes), (truth**2).sum(axis=axes)
    estimate = error + truth
    mean_e, mean_t = estimate.sum(axis=axes) / count, total / count
    covariance = (estimate * truth).sum(axis=axes) / count - mean_e * mean_t
    variances = ((estimate**2).sum(axis=axes) / count - mean_e**2) * (power / count - mean_t**2)
    result = {
        "residual": _ratio(error.sum(axis=axes), total),
        "rmse": np.sqrt(_ratio((error**2).sum(axis=axes), power)),
        "correlation": _ratio(covariance, np.sqrt(np.maximum(variances, 0))),
        "chi2": np.full(total.shape, np.nan),
    }
    if weight is not None:
        deviation = np.where(used, flux - target, 0).astype(float)
        result["chi2"] = (deviation**2 * np.where(used, weight, 0)).sum(axis=axes) / count
    return result


def coverage_counts(flux, sigma, target, weight, n_samples=1):
    """Count target pixels within the 68 and 95 % intervals of the prediction, for all pixels and for source pixels.

    The variance of the difference is that of the prediction plus the target's noise. Samples include noise like that
    of the target: with their spread s, the target scatters by s sqrt(1 + 1/n) about the mean of n samples. Source
    pixels have a *prediction* above 3 sigma of the target's noise; a cut on the noisy target would select its noise.

    The result has shape (band, 2 regions, 5): pixels; within 0.9945 sigma (68 %); within 1.96 sigma (95 %); sum and sum
    of squares of the pull.
    """
    used = weight > 0
    variance = sigma**2 * (1 + 1 / n_samples) if n_samples > 1 else sigma**2 + 1 / np.where(used, weight, 1)
    # Samples of an input without flux may not differ at all.
    variance = np.maximum(variance, np.finfo(np.float32).tiny)
    pull = np.where(used, flux - target, 0) / np.sqrt(variance)
    counts = []
    for region in (used, used & (flux * np.sqrt(np.where(used, weight, 0)) > 3)):
        size = np.abs(pull)
        parts = [region, region & (size < 0.99446), region & (size < 1.95996), pull * region, pull**2 * region]
        counts.append([part.sum(axis=(0, 2, 3), dtype=float) for part in parts])
    return np.moveaxis(np.array(counts), -1, 0)


def magnitudes(flux, survey):
    """Return AB magnitudes of fluxes (n, band, ...) in the survey's unit, NaN where not positive."""
    zero = np.array([band.zero_point for band in survey]).reshape(1, -1, *[1] * (flux.ndim - 2))
    return zero - 2.5 * np.log10(np.where(flux > 0, flux, np.nan).astype(float))


def _ratio(a, b):
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=np.abs(b) > 0)
