"""The three kinds of uncertainty of an image: standard deviation, variance, inverse variance."""

import numpy as np
from astropy.nddata import InverseVariance, NDUncertainty, StdDevUncertainty, VarianceUncertainty

from astro_galtrans._utils.numerics import as_float

__all__ = ["EMPTY", "POWERS", "as_kind", "checked", "inverse_variance", "like", "scaled"]

# The power of the flux unit of each kind, and its value for a pixel that was not observed.
POWERS = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}
EMPTY = {StdDevUncertainty: np.nan, VarianceUncertainty: np.nan, InverseVariance: 0.0}


def _kind(uncertainty):
    return next((kind for kind in POWERS if isinstance(uncertainty, kind)), None)


def like(uncertainty, array, unit=None):
    """Return an uncertainty of the same kind with another array; without ``unit``, in that of its data."""
    return _kind(uncertainty)(array, unit=unit, copy=False)


def checked(uncertainty, shape, unit):
    """Return an uncertainty as a new object in the unit for data in ``unit``, or raise an error; None for None."""
    if uncertainty is None:
        return None
    kind = _kind(uncertainty)
    if kind is None:
        got = uncertainty.uncertainty_type if isinstance(uncertainty, NDUncertainty) else type(uncertainty).__name__
        raise TypeError(
            "uncertainty must be a StdDevUncertainty, VarianceUncertainty or InverseVariance of astropy.nddata, "
            f"got {got}"
        )
    array = np.asarray(uncertainty.array)
    if array.shape != shape:
        raise ValueError(f"uncertainty must have the shape of data, {shape}, got {array.shape}")
    if np.iscomplexobj(array) or array.dtype.kind not in "fiu":
        raise TypeError(f"uncertainty must hold real numbers, got dtype {array.dtype}")
    expected = unit ** POWERS[kind]
    array = as_float(array)
    if uncertainty.unit is not None and uncertainty.unit != expected:
        if not uncertainty.unit.is_equivalent(expected):
            raise ValueError(f"uncertainty must be in {expected} for data in {unit}, got {uncertainty.unit}")
        array = array * uncertainty.unit.to(expected)
    return kind(array, unit=expected, copy=False)


def as_kind(uncertainty, kind):
    """Return an uncertainty as another of the three kinds, computed in floating point."""
    if type(uncertainty) is kind:
        return uncertainty
    with np.errstate(divide="ignore", invalid="ignore"):  # an inverse variance of 0 is a pixel without information
        return like(uncertainty, as_float(uncertainty.array), uncertainty.unit).represent_as(kind)


def scaled(uncertainty, factors):
    """Return the array of an uncertainty whose data were multiplied by ``factors``."""
    return uncertainty.array * factors ** POWERS[_kind(uncertainty)]


def inverse_variance(uncertainty, factors=None):
    """Return the inverse variance of data multiplied by ``factors``, not finite or not positive where unknown."""
    array, kind = as_float(uncertainty.array), _kind(uncertainty)
    with np.errstate(all="ignore"):
        if kind is InverseVariance:
            return array if factors is None else array / factors**2
        if kind is StdDevUncertainty:
            array = array if factors is None else array * factors
            return np.where(array > 0, 1 / np.square(array), 0)
        return 1 / array if factors is None else 1 / (array * factors**2)
