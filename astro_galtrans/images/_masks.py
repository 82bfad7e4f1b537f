"""Masks as arrays of bool: one bit, bit planes of which some say that a pixel is bad, and the fpM files of SDSS.

An fpM file has a table for each kind of mask and a last one that names them (SDSS data model, ``fpM``). A row is an
OBJMASK of the photometric pipeline: some pixels as spans, triples of 16-bit integers (row, first column, last column),
both columns inside, counted from 0, which are stored in the heap as bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images._contents import role_of
from astro_galtrans.images._fits_read import fits_errors, load_parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

__all__ = ["bad_pixels", "checked_bits", "is_fpm", "mask_from_parts", "read_sdss_mask"]

# Planes of the pipeline of HSC and LSST, whose bits are in MP_* of the header. DETECTED and others are no defects.
_LSST_BAD = ("BAD", "SAT", "INTRP", "CR", "EDGE", "SUSPECT", "NO_DATA", "UNMASKEDNAN", "CROSSTALK", "VIGNETTED",
             "STREAK", "SPIKE", "ITL_DIP", "PARTLY_VIGNETTED")
# JWST data quality: https://jwst-pipeline.readthedocs.io, "Data Quality Flags".
_JWST = {"DO_NOT_USE": 0, "SATURATED": 1, "JUMP_DET": 2, "DROPOUT": 3, "OUTLIER": 4, "PERSISTENCE": 5, "AD_FLOOR": 6,
         "CHARGELOSS": 7, "UNRELIABLE_ERROR": 8, "NON_SCIENCE": 9, "DEAD": 10, "HOT": 11, "WARM": 12, "LOW_QE": 13,
         "TELEGRAPH": 15, "NONLINEAR": 16, "BAD_REF_PIXEL": 17, "NO_FLAT_FIELD": 18, "NO_GAIN_VALUE": 19,
         "NO_LIN_CORR": 20, "NO_SAT_CHECK": 21, "UNRELIABLE_BIAS": 22, "UNRELIABLE_DARK": 23, "UNRELIABLE_SLOPE": 24,
         "UNRELIABLE_FLAT": 25, "OPEN": 26, "ADJ_OPEN": 27, "OTHER_BAD_PIXEL": 30, "REFERENCE_PIXEL": 31}
# DESI Legacy Imaging Surveys, DR10: https://www.legacysurvey.org/dr10/bitmasks.
_LEGACY = {"NPRIMARY": 0, "BRIGHT": 1, "SATUR_G": 2, "SATUR_R": 3, "SATUR_Z": 4, "ALLMASK_G": 5, "ALLMASK_R": 6,
           "ALLMASK_Z": 7, "WISEM1": 8, "WISEM2": 9, "BAILOUT": 10, "MEDIUM": 11, "GALAXY": 12, "CLUSTER": 13,
           "SATUR_I": 14, "ALLMASK_I": 15}
# Dark Energy Survey: the BADPIX bits of its pipeline, Morganson et al. (2018, PASP 130, 074501), table 10.
_DES = {"BPM": 0, "SATURATE": 1, "INTERP": 2, "BADAMP": 3, "CRAY": 4, "STAR": 5, "TRAIL": 6, "EDGEBLEED": 7,
        "SSXTALK": 8, "EDGE": 9, "STREAK": 10, "SUSPECT": 11, "FIXED": 12, "NEAREDGE": 13, "TAPEBUMP": 14}
# HST: flags of ACS ("ACS data quality flags", https://www.stsci.edu/hst/acs) and WFC3 (Data Handbook, table 2.5), which
# agree but for details, by the names in stginga of STScI. The signal of warm pixels is corrected by the dark.
_HST = {"LOST": 0, "FILLED": 1, "BADPIX": 2, "MASKED": 3, "HOT": 4, "UNSTABLE": 5, "WARM": 6, "BADCOL": 7,
        "SATURATED": 8, "BADREF": 9, "TRAP": 10, "ATODSAT": 11, "CRDRIZ": 12, "CRREJ": 13, "USER": 14, "UNUSED": 15}
_HST_GOOD = ("WARM", "USER", "UNUSED")
# Share of bad pixels above which a mask of unknown origin is likely one of good pixels.
_MOST_BAD = 0.5
_DES_BAD = ("BPM", "SATURATE", "INTERP", "BADAMP", "CRAY", "TRAIL", "EDGEBLEED", "EDGE", "STREAK")
# The order of the tables of an fpM file that does not name them: S_MASKTYPE of the photometric pipeline.
_SDSS_ORDER = ("INTERP", "SATUR", "NOTCHECKED", "OBJECT", "BRIGHTOBJECT", "BINOBJECT", "CATOBJECT", "SUBTRACTED",
               "GHOST", "CR")
_SDSS_BAD = ("INTERP", "SATUR", "CR", "NOTCHECKED")
_LARGEST_SIDE = 2**14  # of the frame of an fpM file, which has 2048 x 1489 pixels


def checked_bits(mask_bits):
    """Return the names or numbers of the bits that are bad, or an error; None for None."""
    if mask_bits is None:
        return None
    given = (mask_bits,) if isinstance(mask_bits, (str, int, np.integer)) else tuple(mask_bits)
    for bit in given:
        if isinstance(bit, bool) or not isinstance(bit, (str, int, np.integer)) or (
                not isinstance(bit, str) and not 0 <= bit < 64):
            raise TypeError(
                f"mask_bits must be names of bit planes or numbers of bits, from 0 to 63, got {mask_bits!r}")
    return tuple(bit.strip().upper().removeprefix("MP_") if isinstance(bit, str) else int(bit) for bit in given)


def bad_pixels(file, part, band=None, mask_bits=None):
    """Return the bad pixels of a mask, an array of bool.

    ``file`` is the `FitsFile` of the mask, or its name in messages. Some masks have bits for each band. The default of
    the bits that are bad depends on the kind of the mask.
    """
    values = np.asarray(part.data)
    where = f"{file}, HDU {part}" if part.name or part.index else str(file)
    if values.dtype.kind == "f":
        whole = np.where(np.isfinite(values), values, 1)
        if not np.all(whole == np.round(whole)):
            raise FileFormatError(f"{where}, is a mask and must hold whole numbers")
        values = whole.astype(np.int64)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    if role_of(part) == "good pixels":
        if not np.all((values == 0) | (values == 1)):
            raise FileFormatError(f"{where}, marks good pixels and must be 0 or 1, it has {_examples(values)}")
        return values == 0
    known, bad = _planes(file, part, band)
    if mask_bits is not None:
        bad = tuple(mask_bits)
    elif not known:
        # Masks that were made as images of 8 bits have 255 instead of 1.
        if np.all((values == 0) | (values == 1)) or np.all((values == 0) | (values == 255)):
            bad = values != 0
            if bad.mean() > _MOST_BAD and not isinstance(file, str):
                file.warn(
                    f"{where}, is a mask that leaves {1 - bad.mean():.0%} of the pixels. If 1 is a good pixel there, "
                    "mask_bits=() leaves it out, and mask= takes an array of bad pixels")
            return bad
        raise FileFormatError(
            f"{where}, is a mask with values other than 0 and 1 ({_examples(values)}), and the meaning of its bits "
            "is not known; mask_bits= must name the numbers of those that are bad")
    bits = 0
    for one in bad:
        if isinstance(one, str) and one not in known:
            there = ", ".join(known) if known else "none is named"
            raise ValueError(f"mask_bits must be among the bit planes of {where} ({there}), got {one!r}")
        bits |= 1 << (known[one] if isinstance(one, str) else one)
    return (values.astype(np.int64).view(np.uint64) & np.uint64(bits)) != 0


def _planes(file, part, band):
    """Return a dict of name to number of all bit planes, and the names of bad ones; empty where they are not known."""
    headers = [part.header] if isinstance(file, str) else [part.header, file.parts[0].header]
    for header in headers:
        named = {key[3:]: header[key] for key in header if key.startswith("MP_") and type(header[key]) is int}
        if named:
            # Keywords of eight letters truncate the names.
            return named, tuple(name for name in named if name in _LSST_BAD or (
                len(name) == 5 and any(bad.startswith(name) for bad in _LSST_BAD)))
    telescope, instrument, detector = (_keyword(headers, key) for key in ("TELESCOP", "INSTRUME", "DETECTOR"))
    if telescope == "HST" and instrument in ("ACS", "WFC3"):
        # The bit of the converter marks sources in the first read of the infrared channel.
        good = (*_HST_GOOD, "ATODSAT") if detector == "IR" else _HST_GOOD
        return _HST, tuple(name for name in _HST if name not in good)
    # Masks of other instruments of HST have 16 bits.
    if telescope == "JWST" or (part.name == "DQ" and part.data.dtype.kind == "u" and part.data.dtype.itemsize == 4):
        return _JWST, ("DO_NOT_USE",)
    if part.name == "MASKBITS" or _keyword(headers[:1], "IMTYPE") == "MASKBITS":
        own = "" if band is None else band.upper()
        return _LEGACY, tuple(name for name in _LEGACY if name in (f"SATUR_{own}", f"ALLMASK_{own}"))
    if part.name == "MSK" or "DES_EXT" in part.header:
        return _DES, _DES_BAD
    return {}, ()


def _keyword(headers, key):
    """Return the text of a keyword in capitals, from the first header that has it."""
    return next((str(header[key]).strip().upper() for header in headers if key in header), "")


def _examples(values):
    found = np.unique(values[(values != 0) & (values != 1)])
    return ", ".join(str(value) for value in found[:3]) + (", ..." if len(found) > 3 else "")


def read_sdss_mask(path: str | PathLike, planes: Sequence[str] = _SDSS_BAD) -> np.ndarray:
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
    with fits_errors(path):
        return mask_from_parts(path, load_parts(path), planes)


def is_fpm(parts):
    """Return whether the parts of a file are those of an fpM file."""
    return all(key in parts[0].header for key in ("MASKROWS", "MASKCOLS", "NPLANE")) and parts[0].data is None


def mask_from_parts(path, parts, planes=_SDSS_BAD):
    """Return the mask in the parts of an fpM file; see `read_sdss_mask`."""
    if not is_fpm(parts):
        raise FileFormatError(f"{path} is not an SDSS fpM file: MASKROWS, MASKCOLS or NPLANE is not in its header")
    header = parts[0].header
    tables = _sdss_tables(path, parts, int(header["NPLANE"]))
    wanted = [str(name).upper().removeprefix("S_MASK_") for name in ([planes] if isinstance(planes, str) else planes)]
    unknown = [name for name in wanted if name not in tables]
    if unknown:
        raise ValueError(f"planes must be among {', '.join(tables)} for {path}, got {', '.join(unknown)}")
    shape = int(header["MASKROWS"]), int(header["MASKCOLS"])
    if min(shape) < 0 or max(shape) > _LARGEST_SIDE:
        raise FileFormatError(f"{path} has a mask of shape {shape}")
    mask = np.zeros(shape, dtype=bool)
    for name in wanted:
        for row, first, last in _sdss_spans(path, name, tables[name]):
            # Objects at the edge of the frame may extend beyond it.
            if 0 <= row < mask.shape[0]:
                mask[row, max(first, 0):max(last + 1, 0)] = True
    return mask


def _sdss_tables(path, parts, n_planes):
    """Return a dict of kind of mask to its table."""
    if len(parts) < n_planes + 1:
        raise FileFormatError(f"{path} has {len(parts) - 1} tables, its header has NPLANE = {n_planes}")
    order = list(_SDSS_ORDER)
    if len(parts) > n_planes + 1 and parts[n_planes + 1].data is not None:
        table = parts[n_planes + 1].data
        columns = {name.upper(): name for name in parts[n_planes + 1].columns}
        if {"DEFNAME", "ATTRIBUTENAME", "VALUE"} <= set(columns):
            names = {int(row[columns["VALUE"]]): str(row[columns["ATTRIBUTENAME"]]).strip() for row in table
                     if str(row[columns["DEFNAME"]]).strip() == "S_MASKTYPE"}
            order = [names.get(index, f"PLANE{index}").upper().removeprefix("S_MASK_") for index in range(n_planes)]
    return {name: part.data for name, part in zip(order, parts[1:n_planes + 1])}


def _sdss_spans(path, name, table):
    """Return row, first and last column of every span of a table."""
    if table is None or len(table) == 0:
        return np.zeros((0, 3), dtype=int)
    columns = {column.upper(): column for column in table.dtype.names or ()}
    if not {"NSPAN", "SPAN", "ROW0", "COL0"} <= set(columns):
        raise FileFormatError(f"{path} has no spans for {name}: its columns are {', '.join(columns)}")
    spans = []
    for row in table:
        values = np.asarray(row[columns["SPAN"]])
        # The heap is of bytes, in which the integers have the byte order of FITS.
        if values.dtype.itemsize == 1:
            values = np.frombuffer(values.tobytes(), dtype=">i2") if values.size % 2 == 0 else values[:0]
        count = int(row[columns["NSPAN"]])
        if values.size < 3 * count:
            raise FileFormatError(f"{path} has {values.size} numbers for {count} spans of {name}")
        offset = (int(row[columns["ROW0"]]), int(row[columns["COL0"]]), int(row[columns["COL0"]]))
        spans.append(values[:3 * count].reshape(count, 3).astype(int) + offset)
    return np.concatenate(spans)
