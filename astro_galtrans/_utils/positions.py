"""Find the columns of catalogs, and convert right ascensions and declinations to degrees."""

import re

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle, SkyCoord

from astro_galtrans._utils.masked import floats, is_null, split

__all__ = ["angle_unit", "degrees", "find_column", "parse_position", "positions_of",
           "without_mask"]

# Names of columns in lower case, in the order in which they are tried.
_COLUMNS = {
    "ra": ("ra", "raj2000", "_raj2000", "ra_j2000", "ra_icrs", "ra_deg", "radeg", "alpha_j2000", "alphawin_j2000",
           "right_ascension", "ramean", "mean_ra", "target_ra", "fiber_ra", "plug_ra"),
    "dec": ("dec", "dej2000", "decj2000", "_dej2000", "_decj2000", "dec_j2000", "de_icrs", "dec_icrs", "dec_deg",
            "decdeg", "dedeg", "delta_j2000", "deltawin_j2000", "declination", "decmean", "mean_dec", "target_dec",
            "fiber_dec", "plug_dec"),
    "id": ("id", "objid", "object_id", "source_id", "targetid", "galaxy_id", "catalog_id", "specobjid", "cataid",
           "name"),
    "redshift": ("redshift", "z_spec", "zspec", "specz", "spec_z", "z_best", "zbest", "z_helio", "zsp", "z"),
    "redshift_error": ("redshift_error", "redshift_err", "z_spec_err", "zspec_err", "specz_err", "z_err", "zerr",
                       "z_error", "e_z"),
    "ebv": ("ebv", "e_bv", "e(b-v)", "e_b_v", "ebmv", "ebv_sfd", "sfd_ebv", "mw_ebv", "e(b-v)_sfd"),
}
# A column "z" next to one of these is a magnitude, not a redshift.
_OTHER_BANDS = {"u", "g", "r", "i"}

_SPELLINGS = {
    **dict.fromkeys(("deg", "degs", "degree", "degrees", "°", "d:m:s", "dms"), u.deg),
    **dict.fromkeys(("rad", "rads", "radian", "radians"), u.rad),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "hourangle", "h:m:s", "hms"), u.hourangle),
}
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def angle_unit(unit, name):
    """Return a unit of angle from a unit or its name in any spelling, as ``"DEG"``; ValueError for others."""
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
    """Return right ascensions or declinations in degrees.

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
        angles[place] = _sexagesimal(str(text[place]), name, unit or (u.hourangle if kind == "ra" else u.deg))
    return _checked(angles, text, name, kind)


def _sexagesimal(text, name, unit):
    first = re.match(r"[+-]?\s*(\d+)", text)
    if first is not None and unit == u.hourangle and int(first.group(1)) >= 24 and not re.search("[dD°]", text):
        raise ValueError(f"{name} must be from 0 to below 24 hours, got {text!r}; for degrees give unit='deg'")
    try:
        return Angle(text, unit=unit).to_value(u.deg)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must hold angles, got {text!r}") from error


def _checked(angles, given, name, kind):
    wrong = (angles < -180) | (angles >= 360) if kind == "ra" else np.abs(angles) > 90
    if np.any(wrong):
        allowed = "from -180 to below 360 degrees" if kind == "ra" else "from -90 to 90 degrees"
        raise ValueError(f"{name} must be {allowed}, got {given[wrong].flat[0]} for {np.count_nonzero(wrong)} of "
                         f"{angles.size} positions; a missing one is masked, empty or NaN")
    return angles


def parse_position(text, name="position"):
    """Return the ICRS position in a text: right ascension and declination in degrees, or hours and degrees.

    Parameters
    ----------
    text : str
        As ``"189.23 1.03"``, ``"12 34 56 +01 02 03"``, ``"12:34:56, +01:02:03"`` or ``"12h34m56s +1d02m03s"``.
    name : str, optional
        Argument, for messages.

    Raises
    ------
    ValueError
        If it is something else, such as the name of an object.
    """
    words = text.replace(",", " ").split()
    middle = len(words) // 2
    parts = [" ".join(words[:middle]), " ".join(words[middle:])]
    if len(words) % 2 or not all(re.match(r"[+-]?[\d.]", part) for part in parts):
        raise ValueError(f"{name} must be a SkyCoord or text such as '189.23 1.03' (degrees) or '12 34 56 +01 02 03', "
                         f"got {text!r}; SkyCoord.from_name finds the position of a named object")
    ra, dec = (degrees(part, f"{kind} of {name}", kind) for part, kind in zip(parts, ("ra", "dec")))
    return SkyCoord(ra, dec, unit="deg")


def find_column(table, kind, given=None, name="catalog"):
    """Return the name of a column, None if the table does not have it.

    Parameters
    ----------
    table : `~astropy.table.Table`
    kind : {"ra", "dec", "id", "redshift", "redshift_error", "ebv"}
        Content of the column, which is found under its usual names.
    given : str, optional
        Name of the column, if the user gives it.
    name : str, optional
        Name of the table for messages.
    """
    if given is not None:
        if given not in table.colnames:
            raise ValueError(f"{kind}={given!r} is not a column of {name}, which has {', '.join(table.colnames)}")
        return given
    lower = {}
    for column in table.colnames:
        lower.setdefault(column.lower(), column)
    for candidate in _COLUMNS[kind]:
        if candidate in lower and not (candidate == "z" and _OTHER_BANDS & set(lower)):
            return lower[candidate]
    return None


def positions_of(table, ra=None, dec=None, unit=None, name="catalog"):
    """Return the ICRS positions of the rows of a table, NaN if missing, and the names of the columns that have them."""
    units = (None, None) if unit is None else (unit, unit) if np.ndim(unit) == 0 else tuple(unit)
    found = [find_column(table, kind, given, name) for kind, given in (("ra", ra), ("dec", dec))]
    if None in found:
        for column in table.colnames:
            if ra is None and dec is None and isinstance(table[column], SkyCoord):
                return without_mask(table[column].icrs), [column]
        raise ValueError(f"{name} must have the columns ra and dec or others under a usual name, or named with ra= "
                         f"and dec=; it has {', '.join(table.colnames)}")
    angles = [degrees(table[column], f"column {column} of {name}", kind, given)
              for column, kind, given in zip(found, ("ra", "dec"), units)]
    return _position(*angles), found


def without_mask(position):
    """Return positions with NaN instead of a mask."""
    return _position(*(floats(angle, name, unit=u.deg) for angle, name in ((position.ra, "ra"), (position.dec, "dec"))))


def _position(ra, dec):
    missing = np.isnan(ra) | np.isnan(dec)
    return SkyCoord(np.where(missing, np.nan, ra), np.where(missing, np.nan, dec), unit="deg")
