"""Conversion of array arguments: masked arrays, Quantity, table columns, pandas and torch to plain arrays.

A public function that takes an array calls `floats` for measurements, where a missing value becomes NaN, or `whole`
for identifiers, labels and grids, where a missing value is refused. `is_tensor` and `split` serve the functions that
compute with tensors or treat the mask in a way of their own.
"""

from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.utils.masked import Masked

__all__ = ["NULLS", "Parts", "floats", "is_null", "is_tensor", "split", "whole"]

# Text for a missing value, as archives and spreadsheets write it.
NULLS = ("null", "NULL", "Null", "nan", "NaN", "NAN", "-nan", "none", "None", "NONE", "n/a", "N/A", "na", "NA", "#N/A",
         "<NA>", "--", "---", "\\N", "masked")


class Parts(NamedTuple):
    """An array argument taken apart."""

    values: np.ndarray
    """Values, of any kind under the mask."""
    mask: np.ndarray | None
    """True where a value is missing, of the shape of the values; None where none is."""
    unit: u.UnitBase | None
    """Unit of a Quantity or of a table column."""


def is_tensor(values):
    """Return whether an argument is a torch tensor, without importing torch."""
    return type(values).__module__.partition(".")[0] == "torch"


def split(values, name):
    """Take an array argument apart into values, mask and unit.

    Parameters
    ----------
    values : array_like
        `numpy.ndarray`, `numpy.ma.MaskedArray`, `~astropy.table.Column`, `~astropy.table.MaskedColumn`,
        `~astropy.units.Quantity`, `~astropy.utils.masked.Masked`, pandas Series or DataFrame, torch tensor, or nested
        sequences of these and of numbers, in which None is a missing value.
    name : str
        Argument, for messages.

    Returns
    -------
    Parts

    Raises
    ------
    TypeError
        For an `~astropy.nddata.NDData`, whose uncertainty would be dropped.
    ValueError
        For sequences of uneven length.
    """
    unit = mask = None
    if is_tensor(values):
        values = values.detach().cpu()
        values = (values if values.dtype.itemsize != 2 or not values.is_floating_point() else values.float()).numpy()
    elif type(values).__module__.partition(".")[0] == "pandas":
        mask, values = np.asarray(values.isna()), np.asarray(values)
    elif isinstance(values, (list, tuple)) and any(map(_needs_care, values)):
        return _stacked([split(one, name) for one in values], name)
    elif not isinstance(values, (np.ndarray, np.generic, list, tuple, Masked)) and _is_image(values):
        raise TypeError(f"{name} must be an array, got {type(values).__name__}; flux_and_weight turns images with a "
                        "mask and an uncertainty into arrays")
    if isinstance(values, Masked):
        mask, values = np.asarray(values.mask), values.unmasked
    elif isinstance(values, np.ma.MaskedArray):
        mask, unit, values = np.ma.getmaskarray(values), getattr(values, "unit", None), np.ma.getdata(values)
    unit = getattr(values, "unit", None) if unit is None and isinstance(values, np.ndarray) else unit
    if isinstance(values, u.Quantity):
        values = values.value
    try:
        values = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, its rows are of uneven length") from error
    if values.dtype.kind == "O":
        values, none = _typed(values)
        mask = none if mask is None else mask | none
    return Parts(values, mask if mask is not None and mask.any() else None, unit)


def _is_image(values):
    from astropy.nddata import NDData

    return isinstance(values, NDData)


def _needs_care(value):
    """Return whether an entry of a sequence may hold a mask or a unit that `numpy.asarray` drops."""
    return value is None or isinstance(value, (list, tuple, np.ma.MaskedArray, Masked, u.Quantity)) or (
        not isinstance(value, (np.ndarray, np.generic, int, float, str, bytes, complex)))


def _stacked(parts, name):
    unit = next((part.unit for part in parts if part.unit is not None), None)
    if any(part.unit != unit for part in parts):
        try:
            parts = [part._replace(values=u.Quantity(part.values, part.unit).to_value(unit)) for part in parts]
        except (u.UnitConversionError, TypeError) as error:
            raise ValueError(f"{name} must be in one unit: {error}") from error
    if len({part.values.shape for part in parts}) > 1:
        raise ValueError(f"{name} must be an array, its rows have the shapes "
                         f"{', '.join(map(str, sorted({part.values.shape for part in parts})))}")
    if all(part.mask is None for part in parts):
        return Parts(np.array([part.values for part in parts]), None, unit)
    masks = [np.zeros(part.values.shape, bool) if part.mask is None else part.mask for part in parts]
    # A missing entry of a sequence has no type.
    known = next((part.values.dtype for part, mask in zip(parts, masks) if not mask.all()), np.dtype(float))
    filled = [np.zeros(part.values.shape, known) if mask.all() else part.values for part, mask in zip(parts, masks)]
    return Parts(np.array(filled), np.array(masks), unit)


def _typed(values):
    """Return an array of objects as one of numbers or text where it is one, and where it has None, NaN or pandas.NA."""
    missing = np.array([one is None or one is np.ma.masked or type(one).__name__ in ("NAType", "NaTType")
                        or (isinstance(one, float) and one != one) for one in values.ravel()], bool)
    missing = missing.reshape(values.shape)
    known = list(values[~missing])
    if not known:
        return np.full(values.shape, np.nan), missing
    try:
        typed = np.array(known)
    except ValueError:
        return values, missing
    if typed.ndim != 1 or (typed.dtype.kind in "US" and not all(isinstance(one, (str, bytes)) for one in known)):
        return values, missing
    out = np.zeros(values.shape, typed.dtype)
    out[~missing] = typed
    return out, missing


def floats(values, name, *, unit=None, dtype=None, kinds="fiu"):
    """Return measurements as a plain floating array with NaN where they are missing.

    Parameters
    ----------
    values : array_like or Parts
        See `split`.
    name : str
        Argument, for messages.
    unit : `~astropy.units.Unit`, optional
        Unit of the result, to which a Quantity or a column with a unit is converted. None takes the numbers in the unit
        that they have.
    dtype : dtype, optional
        Of the result; by default that of floating values, and for integers float32 where it holds them all, else
        float64.
    kinds : str, optional
        Kinds of dtype that count as numbers.

    Returns
    -------
    ndarray
        A new array if anything is changed, else the memory of ``values``.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If their unit does not convert.
    """
    array, mask, own = values if isinstance(values, Parts) else split(values, name)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if own is not None and unit is not None and own != unit:
        try:
            array = u.Quantity(array, own).to_value(unit)
        except (u.UnitConversionError, TypeError) as error:
            raise ValueError(f"{name} must be in {u.Unit(unit) or 'no unit'}, got {own}") from error
    if dtype is None:
        dtype = (array.dtype if array.dtype.kind == "f" else np.result_type(array, np.float32)).newbyteorder("=")
    with np.errstate(over="ignore"):  # what the type does not hold becomes infinite
        array = array.astype(dtype, copy=False)
    return array if mask is None else np.where(mask, array.dtype.type(np.nan), array)


def is_null(text):
    """Return whether the strings of an array are empty or a word for a missing value."""
    return np.isin(np.char.strip(text), ("", *NULLS))


def whole(values, name):
    """Return values as a plain array of any kind; missing ones are an error."""
    array, mask, _ = split(values, name)
    if mask is not None:
        raise ValueError(f"{name} must not have missing values, {np.count_nonzero(mask)} of {mask.size} are masked")
    return array
