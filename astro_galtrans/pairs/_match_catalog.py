"""A user's catalogue, whatever its columns are called, and its one-to-one match with another."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.registry import IORegistryError
from astropy.table import Column, MaskedColumn, Table

from astro_galtrans.exceptions import FileFormatError

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = ["Sources", "match_one_to_one", "positions_of", "read_sources", "read_table"]

# What columns are called, in lower case, in the order in which they are taken.
_NAMES = {
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
# A column "z" beside one of these is a magnitude and no redshift.
_OTHER_BANDS = {"u", "g", "r", "i"}


class Sources(NamedTuple):
    """A catalogue as the rest of the pairing knows it.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord`
        ICRS; NaN where there is none.
    ids : ndarray of int or str
    redshift, redshift_error : ndarray or None
    table : `~astropy.table.Table`
        Columns ``ra`` and ``dec`` (deg), ``ebv`` where it is known, and all others that are plain.
    """

    position: SkyCoord
    ids: np.ndarray
    redshift: object
    redshift_error: object
    table: Table


def read_table(table, name="catalog"):
    """A table, or what a file holds, as a new table; FileFormatError where that is none."""
    if isinstance(table, Table):
        return table.copy(copy_data=False)
    if not isinstance(table, (str, Path)):
        raise TypeError(f"{name} must be a Table or the path of one, got {type(table).__name__}")
    if not Path(table).is_file():
        raise FileNotFoundError(f"no such file: {table}")
    try:
        return Table.read(table)
    except IORegistryError:
        try:
            return Table.read(table, format="ascii")
        except Exception as error:  # the readers have errors of many kinds, some of which are pages long
            raise FileFormatError(f"{table} is not a table that astropy reads") from error
    except Exception as error:
        raise FileFormatError(f"{table} is not a whole table: {(str(error).splitlines() or [''])[0]}") from error


def _found(table, what, given, name):
    """The column that is meant, or None."""
    if given is not None:
        if given not in table.colnames:
            raise ValueError(f"{what}={given!r} is no column of {name}, which has {', '.join(table.colnames)}")
        return given
    lower = {}
    for column in table.colnames:
        lower.setdefault(column.lower(), column)
    for candidate in _NAMES[what]:
        if candidate in lower and not (candidate == "z" and _OTHER_BANDS & set(lower)):
            return lower[candidate]
    return None


def _plain(column):
    """Values and mask of a column, the values without a unit."""
    mask = getattr(column, "mask", None)
    values = getattr(column, "unmasked", column)
    values = np.ma.getdata(np.asarray(getattr(values, "value", values)) if isinstance(column, u.Quantity) else column)
    mask = np.zeros(len(column), bool) if mask is None else np.broadcast_to(np.asarray(mask, bool), (len(column),))
    return np.asarray(values), mask


def _numbers(column, what):
    """Floats, NaN where masked."""
    values, mask = _plain(column)
    try:
        values = values.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {what} must hold numbers: {error}") from error
    if values.ndim != 1:
        raise ValueError(f"column {what} must hold one number a row, got shape {values.shape}")
    return np.where(mask, np.nan, values)


def positions_of(table, ra=None, dec=None, unit=None, name="catalog"):
    """ICRS positions of a table's rows, NaN where one is missing, and the names of the columns they are from.

    Numbers without a unit are degrees, text is hours, minutes and seconds with degrees, minutes and seconds.
    """
    units = (None, None) if unit is None else (unit, unit) if np.ndim(unit) == 0 else tuple(unit)
    found = [_found(table, what, given, name) for what, given in (("ra", ra), ("dec", dec))]
    if None in found:
        for column in table.colnames:
            if ra is None and dec is None and isinstance(table[column], SkyCoord):
                return table[column].icrs, [column]
        raise ValueError(f"{name} has no columns with right ascension and declination under a usual name; name them "
                         f"with ra= and dec=. It has {', '.join(table.colnames)}")
    angles = []
    for column, given, sexagesimal in zip(found, units, (u.hourangle, u.deg)):
        values, mask = _plain(table[column])
        if values.dtype.kind in "SU":
            angles.append(_text_angles(values, mask, given or sexagesimal, column))
            continue
        own = given or getattr(table[column], "unit", None) or u.deg
        try:
            angles.append(u.Quantity(_numbers(table[column], column), own).to_value(u.deg))
        except u.UnitConversionError as error:
            raise ValueError(f"column {column} of {name} must hold angles: {error}") from error
    wrong = ~np.isfinite(angles[0]) | ~(np.abs(angles[1]) <= 90)
    angles = [np.where(wrong, np.nan, angle) for angle in angles]
    return SkyCoord(*angles, unit="deg"), found


def _text_angles(values, mask, unit, column):
    from astropy.coordinates import Angle

    out = np.full(len(values), np.nan)
    text = values.astype(str)
    known = ~mask & (np.char.strip(text) != "")
    try:
        out[known] = Angle(text[known], unit=unit).to_value(u.deg) if known.any() else 0
    except ValueError as error:
        raise ValueError(f"column {column} must hold angles: {error}") from error
    return out


def _ids_of(table, column):
    if column is None:
        return np.arange(len(table))
    values, mask = _plain(table[column])
    if mask.any():
        raise ValueError(f"column {column} holds the names of the galaxies, {mask.sum()} of them are missing")
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    elif values.dtype.kind == "O":
        values = values.astype(str)
    if values.dtype.kind not in "iuU":
        raise ValueError(f"column {column} must hold integers or strings as names, got {values.dtype}")
    if values.dtype.kind == "U":
        values = np.char.strip(values)
    return values


def read_sources(catalog, *, ra=None, dec=None, unit=None, redshift=None, id=None):
    """A `Sources` of any table; a column that is not named is looked for under its usual names."""
    table = read_table(catalog)
    if len(table) == 0:
        raise ValueError("catalog has no row")
    position, taken = positions_of(table, ra, dec, unit)
    names = {"redshift": _found(table, "redshift", redshift, "catalog"), "id": _found(table, "id", id, "catalog")}
    names |= {what: _found(table, what, None, "catalog") for what in ("redshift_error", "ebv")}
    if names["redshift"] is None:
        names["redshift_error"] = None
    numbers = {what: None if column is None else _numbers(table[column], column) for what, column in names.items()
               if what != "id"}
    plain = Table({"ra": Column(position.ra.deg, unit=u.deg), "dec": Column(position.dec.deg, unit=u.deg)})
    if numbers["ebv"] is not None:
        plain["ebv"] = Column(numbers["ebv"], unit=u.mag, description=table[names["ebv"]].info.description)
    for column in table.colnames:
        if column not in (*taken, names["ebv"]) and _is_plain(table[column]):
            plain[column if column not in plain.colnames else f"catalog_{column}"] = _as_column(table[column])
    for what, column in (("redshift", numbers["redshift"]), ("redshift_error", numbers["redshift_error"])):
        if column is not None:  # what cannot be a redshift, as -99, is one that is not known
            column[~(np.isfinite(column) & (column > -1 if what == "redshift" else column >= 0))] = np.nan
    return Sources(position, _ids_of(table, names["id"]), numbers["redshift"], numbers["redshift_error"], plain)


def _is_plain(column):
    return getattr(column, "dtype", None) is not None and column.dtype.names is None and column.dtype.kind in "biufSU"


def _as_column(column):
    """A plain column, without a class of its own."""
    values, mask = _plain(column) if np.ndim(column) == 1 else (np.asarray(column), np.zeros(1, bool))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", errors="replace")
    kind = {"unit": getattr(column, "unit", None), "description": column.info.description}
    return MaskedColumn(values, mask=mask, **kind) if mask.any() else Column(values, **kind)


def match_one_to_one(position: SkyCoord, other: SkyCoord, radius: Quantity) -> tuple[np.ndarray, Quantity]:
    """Match two lists of positions so that no source is used twice.

    Two sources are a match where each is the nearest to the other, and within a radius.

    Parameters
    ----------
    position, other : `~astropy.coordinates.SkyCoord`
        Shape ``(n,)`` and ``(m,)``; NaN matches nothing.
    radius : `~astropy.units.Quantity`
        Largest separation.

    Returns
    -------
    index : ndarray of int
        Shape ``(n,)``: the row of ``other``, or -1.
    separation : `~astropy.units.Quantity`
        Shape ``(n,)``: from the nearest of ``other``, in arcsec, whether it is a match or not; NaN without one.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from astro_galtrans.pairs import match_one_to_one
    >>> one = SkyCoord([10.0, 10.0001, 20.0] * u.deg, [0, 0, 0] * u.deg)
    >>> match_one_to_one(one, SkyCoord([10.00008, 20.00001] * u.deg, [0, 0] * u.deg), 1 * u.arcsec)[0]
    array([-1,  0,  1])
    """
    from astropy.coordinates import match_coordinates_sky

    index, separation = np.full(len(position), -1), np.full(len(position), np.nan)
    rows, others = np.flatnonzero(np.isfinite(position.ra)), np.flatnonzero(np.isfinite(other.ra))
    if len(rows) and len(others):
        mine, theirs = position[rows], other[others]
        nearest, apart, _ = match_coordinates_sky(mine, theirs)
        back = match_coordinates_sky(theirs, mine)[0]
        mutual = (back[nearest] == np.arange(len(rows))) & (apart <= radius)
        separation[rows] = apart.to_value(u.arcsec)
        index[rows[mutual]] = others[nearest[mutual]]
    return index, separation * u.arcsec
