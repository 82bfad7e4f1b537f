"""Right ascensions and declinations as catalogs and command lines write them, to degrees."""

import re

import numpy as np
from astropy import units as u

from astro_galtrans._utils.masked import is_null, split

__all__ = ["angle_unit", "degrees"]

_SPELLINGS = {
    **dict.fromkeys(("deg", "degs", "degree", "degrees", "°", "d:m:s", "dms"), u.deg),
    **dict.fromkeys(("rad", "rads", "radian", "radians"), u.rad),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "hourangle", "h:m:s", "hms"), u.hourangle),
}
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def angle_unit(unit, name):
    """A unit of angle from a unit or its name in any spelling, as ``"degrees"`` or ``"DEG"``; ValueError for others."""
    text = str(unit).strip().strip("'\"").lower()
    if text in _SPELLINGS:
        return _SPELLINGS[text]
    try:
        parsed = u.Unit(unit)
    except ValueError:
        parsed = None
    if parsed is None or not parsed.is_equivalent(u.deg):
        raise ValueError(f"{name} must be in a unit of angle, got {str(unit)!r}; give it with unit=")
    return parsed


def degrees(values, name, kind, unit=None):
    """Right ascensions or declinations in degrees.

    Numbers, and text of decimal numbers, are in the unit of the column, or in degrees. Text with separators, as
    ``"10:30:00"``, ``"10 30 00"`` or ``"10h30m"``, is hours, minutes and seconds of right ascension, and degrees,
    minutes and seconds of declination.

    Parameters
    ----------
    values : array_like
        Numbers or text.
    name : str
        Of the column, for messages.
    kind : {"ra", "dec"}
        Which it is.
    unit : `~astropy.units.Unit` or str, optional
        Takes precedence over the unit of the column, and over hours for text with separators.

    Returns
    -------
    ndarray
        NaN where a value is missing: masked, not finite, empty, or a word such as "null".

    Raises
    ------
    ValueError
        For a value that is no angle, a right ascension that is not from -180 to below 360 degrees, or a declination
        beyond 90 degrees; the message has the column and the value.
    """
    array, mask, own = split(values, name)
    unit = own if unit is None else unit
    unit = None if unit is None or unit == u.dimensionless_unscaled else angle_unit(unit, name)
    shape, array, mask = array.shape, np.atleast_1d(array), None if mask is None else np.atleast_1d(mask)
    if array.dtype.kind in "SU":
        return _of_text(array, mask, name, kind, unit).reshape(shape)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold angles, got dtype {array.dtype}")
    angles = (array.astype(float) * (unit or u.deg)).to_value(u.deg)
    missing = ~np.isfinite(angles) if mask is None else ~np.isfinite(angles) | mask
    return _checked(np.where(missing, np.nan, angles), array, name, kind).reshape(shape)


def _of_text(array, mask, name, kind, unit):
    from astropy.coordinates import Angle

    text = np.char.strip(np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array)
    known = ~is_null(text) if mask is None else ~(is_null(text) | mask)
    decimal = np.array([_DECIMAL.fullmatch(one) is not None for one in text.ravel()], bool).reshape(text.shape)
    if np.any(known & decimal) and np.any(known & ~decimal):
        one, other = (str(text[known & which].flat[0]) for which in (decimal, ~decimal))
        raise ValueError(f"{name} must hold angles written in one way, got {one!r} beside {other!r}")
    angles = np.full(text.shape, np.nan)
    if np.any(known & decimal):
        angles[known] = (text[known].astype(float) * (unit or u.deg)).to_value(u.deg)
    for place in zip(*np.nonzero(known & ~decimal)):
        angles[place] = _sexagesimal(Angle, str(text[place]), name, unit or (u.hourangle if kind == "ra" else u.deg))
    return _checked(angles, text, name, kind)


def _sexagesimal(make, text, name, unit):
    first = re.match(r"[+-]?\s*(\d+)", text)
    if first is not None and unit == u.hourangle and int(first.group(1)) >= 24 and not re.search("[dD°]", text):
        raise ValueError(f"{name} must be from 0 to below 24 hours, got {text!r}; for degrees give unit='deg'")
    try:
        return make(text, unit=unit).to_value(u.deg)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must hold angles, got {text!r}") from error


def _checked(angles, given, name, kind):
    wrong = (angles < -180) | (angles >= 360) if kind == "ra" else np.abs(angles) > 90
    if np.any(wrong):
        allowed = "from -180 to below 360 degrees" if kind == "ra" else "from -90 to 90 degrees"
        raise ValueError(f"{name} must be {allowed}, got {given[wrong].flat[0]} for {np.count_nonzero(wrong)} of "
                         f"{angles.size} positions; a missing one is masked, empty or NaN")
    return angles
