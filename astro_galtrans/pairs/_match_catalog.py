"""A user's catalogue, whatever its columns are called, and its one-to-one match with another."""

from __future__ import annotations

from typing import NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn, Table

from astro_galtrans._utils.masked import split
from astro_galtrans._utils.positions import find_column, positions_of, without_mask
from astro_galtrans._utils.tables import numbers, read_table

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = ["Sources", "match_one_to_one", "read_sources"]


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


def _numbers(column, what):
    """Floats, NaN where missing."""
    values = np.array(numbers(column, f"column {what}"))
    if values.ndim != 1:
        raise ValueError(f"column {what} must hold one number a row, got shape {values.shape}")
    return values


def _ids_of(table, column):
    if column is None:
        return np.arange(len(table))
    values, mask, _ = split(table[column], column)
    if mask is not None:
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
    names = {"redshift": find_column(table, "redshift", redshift), "id": find_column(table, "id", id)}
    names |= {what: find_column(table, what) for what in ("redshift_error", "ebv")}
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
    values, mask, _ = split(column, column.info.name)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", errors="replace")
    kind = {"unit": getattr(column, "unit", None), "description": column.info.description}
    return Column(values, **kind) if mask is None else MaskedColumn(values, mask=mask, **kind)


def match_one_to_one(position: SkyCoord, other: SkyCoord, radius: Quantity) -> tuple[np.ndarray, Quantity]:
    """Match two lists of positions so that no source is used twice.

    Two sources are a match where each is the nearest to the other, and within a radius.

    Parameters
    ----------
    position, other : `~astropy.coordinates.SkyCoord`
        Shape ``(n,)`` and ``(m,)``; a position that is NaN or masked matches nothing.
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

    position, other = without_mask(position.icrs), without_mask(other.icrs)
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
