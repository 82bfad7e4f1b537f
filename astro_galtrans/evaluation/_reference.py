"""The plain alternative to a translation: the input image resampled to the target grid, and nothing else."""

import astropy.units as u
import numpy as np

__all__ = ["resample_input", "shared_bands"]


def shared_bands(input_survey, target_survey):
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


def resample_input(flux, input_survey, target_survey, shape):
    """Input images on the target grid by bilinear interpolation, in the target's unit, flux per area kept.

    Parameters
    ----------
    flux : ndarray of shape (n, band, y, x)
        In the input survey's unit.
    input_survey, target_survey : Survey
        With the bands of the images.
    shape : tuple of int
        ``(Y, X)`` of the target stamps; both stamps share their centre.

    Returns
    -------
    ndarray of shape (n, target band, Y, X)
        NaN in the bands that the input does not have.
    """
    flux = np.asarray(flux, dtype=np.float32)
    ratio = (target_survey.pixel_scale / input_survey.pixel_scale).to_value(u.dimensionless_unscaled)
    rows, columns = (_weights(n_in, n_out, ratio).astype(np.float32) for n_in, n_out in zip(flux.shape[-2:], shape))
    index = shared_bands(input_survey, target_survey)
    out = np.full((len(flux), len(target_survey), *shape), np.nan, dtype=np.float32)
    for band, source in enumerate(index):
        if source >= 0:
            zero_points = target_survey.bands[band].zero_point - input_survey.bands[source].zero_point
            scale = np.float32(10 ** (0.4 * zero_points) * ratio**2)
            out[:, band] = scale * (rows @ flux[:, source] @ columns.T)
    return out
