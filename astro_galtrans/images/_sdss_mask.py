"""Masks of SDSS frames from their fpM files.

The file has a table for each kind of mask and a last one that names them (SDSS data model, ``fpM``). A row is an
OBJMASK of the photometric pipeline: some pixels as spans, triples of 16-bit integers (row, first column, last column),
both columns inside, counted from 0, which stand in the heap as bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images._fits_read import load_parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

__all__ = ["is_fpm", "mask_from_parts", "read_sdss_mask"]

# The order of the tables where no table tells it: S_MASKTYPE of the photometric pipeline.
_ORDER = ("INTERP", "SATUR", "NOTCHECKED", "OBJECT", "BRIGHTOBJECT", "BINOBJECT", "CATOBJECT", "SUBTRACTED", "GHOST",
          "CR")
_BAD = ("INTERP", "SATUR", "CR", "NOTCHECKED")


def read_sdss_mask(path: str | PathLike, planes: Sequence[str] = _BAD) -> np.ndarray:
    """Read the bad pixels of an SDSS frame from an fpM file.

    Parameters
    ----------
    path : path-like
        ``fpM-RUN-BANDCAMCOL-FIELD.fit``, compressed or not.
    planes : sequence of str, optional
        Kinds of mask that are bad, by default pixels that were interpolated over (INTERP), saturated (SATUR), hit by a
        cosmic ray (CR) or not searched for objects (NOTCHECKED). Others are OBJECT, BRIGHTOBJECT, BINOBJECT, CATOBJECT,
        SUBTRACTED and GHOST.

    Returns
    -------
    ndarray of bool
        True where a pixel is bad, of the shape of the frame.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is not an fpM file, or is truncated.
    """
    return mask_from_parts(path, load_parts(path), planes)


def is_fpm(parts):
    """Whether the parts of a file are those of an fpM file."""
    return all(key in parts[0].header for key in ("MASKROWS", "MASKCOLS", "NPLANE")) and parts[0].data is None


def mask_from_parts(path, parts, planes=_BAD):
    """The mask in the parts of an fpM file; see `read_sdss_mask`."""
    if not is_fpm(parts):
        raise FileFormatError(f"{path} is not an SDSS fpM file: MASKROWS, MASKCOLS or NPLANE is not in its header")
    header = parts[0].header
    tables = _tables(path, parts, int(header["NPLANE"]))
    wanted = [str(name).upper().removeprefix("S_MASK_") for name in ([planes] if isinstance(planes, str) else planes)]
    unknown = [name for name in wanted if name not in tables]
    if unknown:
        raise ValueError(f"planes must be among {', '.join(tables)} for {path}, got {', '.join(unknown)}")
    mask = np.zeros((int(header["MASKROWS"]), int(header["MASKCOLS"])), dtype=bool)
    for name in wanted:
        for row, first, last in _spans(path, name, tables[name]):
            # what reaches over the edge of the frame, as an object there may, is cut
            if 0 <= row < mask.shape[0]:
                mask[row, max(first, 0):max(last + 1, 0)] = True
    return mask


def _tables(path, parts, n_planes):
    """Kind of mask to its table."""
    if len(parts) < n_planes + 1:
        raise FileFormatError(f"{path} has {len(parts) - 1} tables, its header tells of {n_planes} planes")
    order = list(_ORDER)
    if len(parts) > n_planes + 1 and parts[n_planes + 1].data is not None:
        names = parts[n_planes + 1].data
        columns = {name.upper(): name for name in names.dtype.names or ()}
        if {"DEFNAME", "ATTRIBUTENAME", "VALUE"} <= set(columns):
            told = {int(row[columns["VALUE"]]): str(row[columns["ATTRIBUTENAME"]]).strip() for row in names
                    if str(row[columns["DEFNAME"]]).strip() == "S_MASKTYPE"}
            order = [told.get(index, f"PLANE{index}").upper().removeprefix("S_MASK_") for index in range(n_planes)]
    return {name: part.data for name, part in zip(order, parts[1:n_planes + 1])}


def _spans(path, name, table):
    """Row, first and last column of every span of a table."""
    if table is None or len(table) == 0:
        return np.zeros((0, 3), dtype=int)
    columns = {column.upper(): column for column in table.dtype.names or ()}
    if not {"NSPAN", "SPAN", "ROW0", "COL0"} <= set(columns):
        raise FileFormatError(f"{path} has no spans for {name}: its columns are {', '.join(columns)}")
    spans = []
    for row in table:
        values = np.asarray(row[columns["SPAN"]])
        # the heap is of bytes, in which the integers have the byte order of FITS
        if values.dtype.itemsize == 1:
            values = np.frombuffer(values.tobytes(), dtype=">i2") if values.size % 2 == 0 else values[:0]
        count = int(row[columns["NSPAN"]])
        if values.size < 3 * count:
            raise FileFormatError(f"{path} has {values.size} numbers for {count} spans of {name}")
        offset = (int(row[columns["ROW0"]]), int(row[columns["COL0"]]), int(row[columns["COL0"]]))
        spans.append(values[:3 * count].reshape(count, 3).astype(int) + offset)
    return np.concatenate(spans)
