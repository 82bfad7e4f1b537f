"""Read the catalog of `match_pairs`, and match positions one to one."""

from __future__ import annotations

from typing import NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, match_coordinates_sky
from astropy.table import Column, MaskedColumn, Table

from astro_galtrans._utils.masked import split
from astro_galtrans._utils.positions import find_column, positions_of, without_mask
from astro_galtrans._utils.tables import numbers, read_table
from astro_galtrans._utils.validation import angle
from astro_galtrans.pairs._match_config import MatchConfig

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = ["Sources", "match_one_to_one", "read_sources"]


class Sources(NamedTuple):
    """The galaxies of a catalog."""

    position: SkyCoord
    """ICRS; NaN if missing."""
    ids: np.ndarray
    """Int or str."""
    redshift: np.ndarray | None
    redshift_error: np.ndarray | None
    table: Table
    """Columns ``ra`` and ``dec`` (deg), ``ebv`` if known, and all other plain columns."""


def read_sources(catalog, config=MatchConfig()):
    """Read the `Sources` of a table, whose columns are named in a `MatchConfig` or found under their usual names."""
    table = read_table(catalog)
    if len(table) == 0:
        raise ValueError("catalog has no row")
    position, used = positions_of(table, config.ra, config.dec, config.unit)
    redshift_column = find_column(table, "redshift", config.redshift)
    id_column = find_column(table, "id", config.id)
    ebv_column = find_column(table, "ebv")
    redshift = _numbers(table, redshift_column)
    error = None if redshift is None else _numbers(table, find_column(table, "redshift_error"))
    plain = Table({"ra": Column(position.ra.deg, unit=u.deg), "dec": Column(position.dec.deg, unit=u.deg)})
    if ebv_column is not None:
        plain["ebv"] = Column(_numbers(table, ebv_column), unit=u.mag, description=table[ebv_column].info.description)
    for column in table.colnames:
        if column not in (*used, ebv_column) and _is_plain(table[column]):
            plain[column if column not in plain.colnames else f"catalog_{column}"] = _as_column(table[column])
    # Placeholders that cannot be redshifts or errors, as -99, are unknown values.
    if redshift is not None:
        redshift[~(np.isfinite(redshift) & (redshift > -1))] = np.nan
    if error is not None:
        error[~(np.isfinite(error) & (error >= 0))] = np.nan
    return Sources(position, _ids_of(table, id_column), redshift, error, plain)


def _numbers(table, column):
    """Return a column as floats, NaN if missing; None for no column."""
    if column is None:
        return None
    values = np.array(numbers(table[column], f"column {column}"))
    if values.ndim != 1:
        raise ValueError(f"column {column} must hold one number in each row, got shape {values.shape}")
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
    return np.char.strip(values) if values.dtype.kind == "U" else values


def _is_plain(column):
    """Whether a column is an array of numbers or strings, not of objects or coordinates."""
    return isinstance(column, np.ndarray) and column.dtype.names is None and column.dtype.kind in "biufSU"


def _as_column(column):
    """Return a `Column`, also of a Quantity."""
    values, mask, unit = split(column, column.info.name)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", errors="replace")
    described = {"unit": unit, "description": column.info.description}
    return Column(values, **described) if mask is None else MaskedColumn(values, mask=mask, **described)


def match_one_to_one(position: SkyCoord, other: SkyCoord, radius: Quantity) -> tuple[np.ndarray, Quantity]:
    """Match two lists of positions so that no source is used twice.

    Two sources match if each is the nearest to the other, and their separation is at most ``radius``.

    Parameters
    ----------
    position, other : `~astropy.coordinates.SkyCoord`
        Shape ``(n,)`` and ``(m,)``; a position that is NaN or masked does not match.
    radius : `~astropy.units.Quantity`
        Largest separation.

    Returns
    -------
    index : ndarray of int
        Shape ``(n,)``: the row of ``other``, or -1.
    separation : `~astropy.units.Quantity`
        Shape ``(n,)``: separation from the nearest of ``other`` in arcsec, also if it does not match; NaN if there is
        none.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from astro_galtrans.pairs import match_one_to_one
    >>> one = SkyCoord([10.0, 10.0001, 20.0] * u.deg, [0, 0, 0] * u.deg)
    >>> match_one_to_one(one, SkyCoord([10.00008, 20.00001] * u.deg, [0, 0] * u.deg), 1 * u.arcsec)[0]
    array([-1,  0,  1])
    """
    for name, value in (("position", position), ("other", other)):
        if not isinstance(value, SkyCoord) or value.ndim != 1:
            raise TypeError(f"{name} must be a SkyCoord of shape (n,), got {value!r}")
    radius = angle(radius, "radius")
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
