"""From what a user hands in to checked float32 arrays in the survey's unit."""

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import floats, split, whole
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import empty_pixels
from astro_galtrans.surveys import get_survey

__all__ = ["checked_ids", "checked_images", "select_bands"]


def select_bands(survey, bands, side):
    """The named `Survey` with the bands that the arrays hold, in the order of the survey."""
    survey = get_survey(survey)
    if bands is None:
        return survey
    selected = survey.select(bands)
    if tuple(bands) != selected.band_names:
        raise BandMismatchError(
            f"{side}_bands must be in the order of survey {survey.name} ({', '.join(selected.band_names)}), "
            f"got {', '.join(bands)}"
        )
    return selected


def _band_factors(name, unit, survey, power):
    """Numbers, one a band, that turn values in ``unit**power`` into the survey's unit to the same power."""
    factors = []
    for band in survey:
        # The zero point says what one survey unit is, also for a unit like adu that has no size of its own.
        one = survey.unit**power
        if unit == one:
            factors.append(1.0)
            continue
        try:
            factors.append((1 * unit).to_value(u.Jy**power) / band.flux_per_unit().to_value(u.Jy) ** power)
        except u.UnitConversionError as error:
            raise u.UnitConversionError(
                f"{name} is in {unit}, which is not {one} and cannot be converted to it through the zero points "
                f"of survey {survey.name}"
            ) from error
    return np.array(factors)


def _numbers(name, values, survey, power):
    """Plain array of ``values`` in the survey's unit, NaN where missing."""
    parts = split(values, name)
    unit, array = parts.unit, floats(parts, name)
    if unit is not None and array.ndim == 4 and array.shape[1] == len(survey):  # other shapes are refused below
        return array * _band_factors(name, unit, survey, power)[:, None, None]
    return array


def _checked_shape(name, array, survey):
    if array.ndim != 4 or 0 in array.shape[1:]:
        raise ValueError(f"{name} must have shape (galaxy, band, y, x), got {array.shape}")
    if array.shape[1] != len(survey):
        raise BandMismatchError(
            f"{name} has {array.shape[1]} bands (shape {array.shape}), survey {survey.name} has {len(survey)}: "
            f"{', '.join(survey.band_names)}; name the bands that are there with {name.split('_')[0]}_bands"
        )


def checked_images(side, flux, weight, truth, survey):
    """Flux, weight and truth of one side as float32, with bad pixels as flux 0 and weight 0.

    Parameters
    ----------
    side : str
        ``"input"`` or ``"target"``, for the messages.
    flux, weight, truth : array_like, `~astropy.units.Quantity` or None
        Shape ``(galaxy, band, y, x)``. A weight Quantity is an inverse variance, in the inverse square of a flux unit.
    survey : Survey
        With the bands of the arrays.

    Returns
    -------
    flux, weight, truth : ndarray or None
    """
    name = f"{side}_flux"
    values = _numbers(name, flux, survey, 1)
    _checked_shape(name, values, survey)
    flux = np.array(values, dtype=np.float32)
    bad = ~np.isfinite(flux) | empty_pixels(flux)
    if weight is not None:
        weight = _checked_weight(f"{side}_weight", weight, survey, flux.shape)
    elif bad.any():
        expected = (survey.sky_noise**-2.0).astype(np.float32)[:, None, None]
        weight = np.broadcast_to(expected, flux.shape).copy()
    if bad.any():
        flux[bad] = 0
        weight[bad] = 0
    if truth is not None:
        values = _numbers(f"{side}_truth", truth, survey, 1)
        if values.shape != flux.shape:
            raise ValueError(f"{side}_truth must have the shape of {name}, {flux.shape}, got {values.shape}")
        truth = np.array(values, dtype=np.float32)
        if not np.isfinite(truth).all():
            raise ValueError(f"{side}_truth must be finite")
    return flux, weight, truth


def _checked_weight(name, weight, survey, shape):
    values = _numbers(name, weight, survey, -2)
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape of the flux, {shape}, got {values.shape}")
    if np.any(values < 0) or np.any(np.isinf(values)):
        raise ValueError(f"{name} is an inverse variance: it must be finite and not negative")
    weight = np.array(values, dtype=np.float32)
    if np.any(np.isinf(weight)):
        raise ValueError(f"{name} is larger than single precision holds; give the flux in a larger unit")
    weight[np.isnan(weight)] = 0
    return weight


def checked_ids(ids, n):
    """Galaxy names: an array of int or str of shape ``(n,)``, all different; the row numbers where None."""
    if ids is None:
        return np.arange(n)
    ids = np.array(whole(ids, "ids"))
    if ids.shape != (n,) or ids.dtype.kind not in "iuU":
        raise ValueError(f"ids must be {n} integers or strings, got shape {ids.shape} of dtype {ids.dtype}")
    values, counts = np.unique(ids, return_counts=True)
    if np.any(counts > 1):
        repeated = values[np.argmax(counts)].item()
        raise ValueError(f"ids must be different from each other, {repeated!r} is there {counts.max()} times")
    return ids
