"""Checks of what a cube is made from: band names, data, mask, meta."""

import astropy.units as u
import numpy as np
from astropy.nddata import NDData

from astro_galtrans._utils.masked import split, whole
from astro_galtrans._utils.numerics import as_float
from astro_galtrans.exceptions import BandMismatchError

__all__ = ["band_meta", "checked_data", "checked_mask", "parse_bands"]


def parse_bands(bands):
    """Band names as a tuple of str; a string is read letter by letter."""
    if not isinstance(bands, str) and (not hasattr(bands, "__iter__") or isinstance(bands, bytes)):
        raise TypeError(f"bands must be a string or a sequence of names, got {bands!r}")
    names = tuple(bands)
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"bands must be names of bands, got {bands!r}")
    names = tuple(str(name) for name in names)
    if not names:
        raise BandMismatchError("bands must name at least one band")
    if len(set(names)) != len(names):
        raise BandMismatchError(f"bands must be different, got {', '.join(names)}")
    return names


def checked_data(data, unit, default_unit):
    """``(data, unit, mask)``: a plain float array (band, y, x), its unit, and the mask that came with it."""
    mask = None
    if isinstance(data, NDData):
        if data.mask is not None:
            mask = np.asarray(data.mask)
        own_unit, data = data.unit, data.data
    else:
        data, mask, own_unit = split(data, "data")
    if data.dtype.kind not in "fiu":
        raise TypeError(f"data must hold real numbers, got dtype {data.dtype}")
    if data.ndim != 3 or 0 in data.shape:
        raise ValueError(f"data must have shape (band, y, x) with no empty axis, got {data.shape}")
    data = as_float(data)
    if unit is None:
        unit = own_unit if own_unit is not None else default_unit
        if unit is None:
            raise ValueError("unit must be given for data without a unit of their own and without a survey")
    elif own_unit is not None and own_unit != u.Unit(unit):
        if not own_unit.is_equivalent(unit):
            raise ValueError(f"data are in {own_unit}, which is not convertible to unit {unit}")
        data = data * own_unit.to(unit)
    return data, unit, mask


def checked_mask(mask, other, shape):
    """The union of two masks of shape (band, y, x) or (y, x), as bool; None where there is neither."""
    masks = []
    for one in (mask, other):
        if one is None or one is np.ma.nomask:
            continue
        one = whole(one, "mask")
        if one.shape not in (shape, shape[1:]):
            raise ValueError(f"mask must have shape {shape} or {shape[1:]}, got {one.shape}")
        if one.dtype.kind not in "biu":
            raise TypeError(f"mask must be of bool, True where a pixel is bad, got dtype {one.dtype}")
        masks.append(one.astype(bool, copy=False))
    if not masks:
        return None
    if len(masks) == 1 and masks[0].shape == shape:
        return masks[0]
    return np.broadcast_to(np.logical_or(*masks) if len(masks) == 2 else masks[0], shape).copy()


def band_meta(meta, band):
    """What ``meta`` tells of one band alone; an empty dict where it tells nothing."""
    return meta.get("band_meta", {}).get(band, {})
