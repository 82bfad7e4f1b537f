"""Validation of the parts of a cube: band names, data, mask, meta."""

import astropy.units as u
import numpy as np
from astropy.nddata import NDData

from astro_galtrans._utils.masked import split, whole
from astro_galtrans._utils.numerics import as_float
from astro_galtrans.exceptions import BandMismatchError

__all__ = ["band_meta", "checked_data", "checked_mask", "parse_bands"]


def parse_bands(bands):
    """Return band names as a tuple of str; a string is read letter by letter."""
    if not isinstance(bands, str) and (not hasattr(bands, "__iter__") or isinstance(bands, bytes)):
        raise TypeError(f"bands must be a string or a sequence of names, got {bands!r}")
    names = tuple(bands)
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"bands must be names of bands, got {bands!r}")
    if not names:
        raise BandMismatchError("bands must name at least one band")
    if len(set(names)) != len(names):
        raise BandMismatchError(f"bands must be different, got {', '.join(names)}")
    return tuple(map(str, names))


def checked_data(data, unit, default_unit):
    """Return a plain float array (band, y, x), its unit, and the mask of the data or None."""
    if isinstance(data, NDData):
        values, mask, own_unit = data.data, data.mask, data.unit
    else:
        values, mask, own_unit = split(data, "data")
    if values.dtype.kind not in "fiu":
        raise TypeError(f"data must hold real numbers, got dtype {values.dtype}")
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"data must have shape (band, y, x) with no empty axis, got {values.shape}")
    return *_in_unit(as_float(values), own_unit, unit, default_unit), mask


def _in_unit(values, own_unit, unit, default_unit):
    """Return values in the unit that is wanted, and that unit."""
    if unit is None:
        unit = default_unit if own_unit is None else own_unit
        if unit is None:
            raise ValueError("unit must be given for data without a unit of their own and without a survey")
    elif own_unit is not None and own_unit != u.Unit(unit):
        if not own_unit.is_equivalent(unit):
            raise ValueError(f"data are in {own_unit}, which is not convertible to unit {unit}")
        values = values * own_unit.to(unit)
    return values, unit


def checked_mask(mask, other, shape):
    """Return the union of two masks of shape (band, y, x) or (y, x), as bool; None where there is neither."""
    union = None
    for one in (mask, other):
        if one is None or one is np.ma.nomask:
            continue
        one = whole(one, "mask")
        if one.shape not in (shape, shape[1:]):
            raise ValueError(f"mask must have shape {shape} or {shape[1:]}, got {one.shape}")
        if one.dtype.kind not in "biu":
            raise TypeError(f"mask must be of bool, True where a pixel is bad, got dtype {one.dtype}")
        one = one.astype(bool, copy=False)
        union = one if union is None else union | one
    if union is None or union.shape == shape:
        return union
    return np.broadcast_to(union, shape).copy()


def band_meta(meta, band):
    """Return the entries of ``meta`` for one band alone; an empty dict without any."""
    return meta.get("band_meta", {}).get(band, {})
