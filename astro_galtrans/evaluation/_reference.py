"""Baseline of every translation: the input image resampled to the target grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["resample_input"]


def _shared_bands(input_survey, target_survey):
    """For each target band, its index in the input survey, or -1."""
    names = input_survey.band_names
    return np.array([names.index(name) if name in names else -1 for name in target_survey.band_names])


def _weights(n_in, n_out, ratio):
    """Linear interpolation from n_in to n_out samples about a common centre, matrix (n_out, n_in); zero outside."""
    place = (np.arange(n_out) - (n_out - 1) / 2) * ratio + (n_in - 1) / 2
    # half a pixel beyond the outermost pixel centre still lies on the image
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

    It is the row "resampled input" in the tables of `evaluate`, and a baseline for measurements of your own.

    Parameters
    ----------
    flux : array_like
        Shape ``(galaxy, band, y, x)``, in the unit of the input survey.
    input_survey, target_survey : Survey or str
        With the bands of the images.
    shape : tuple of int
        ``(Y, X)`` of the target images; input and target share their center.

    Returns
    -------
    ndarray
        Shape ``(galaxy, target band, Y, X)``, float32, in the unit of the target survey; the flux per area is
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
    rows, columns = (_weights(n_in, n_out, ratio).astype(np.float32) for n_in, n_out in zip(flux.shape[-2:], shape))
    index = _shared_bands(input_survey, target_survey)
    out = np.full((len(flux), len(target_survey), *shape), np.nan, dtype=np.float32)
    for band, source in enumerate(index):
        if source >= 0:
            zero_points = target_survey.bands[band].zero_point - input_survey.bands[source].zero_point
            scale = np.float32(10 ** (0.4 * zero_points) * ratio**2)
            out[:, band] = scale * (rows @ flux[:, source] @ columns.T)
    return out
