"""Masks of several kinds as bool: one bit, or bit planes of which only some say that a pixel is bad."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

import numpy as np
from astropy.io import fits

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images._contents import role_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astro_galtrans.images._fits_read import FitsFile, Part

__all__ = ["bad_pixels", "checked_bits"]

# Planes of the pipeline of HSC and LSST, whose bits the header names in MP_*. DETECTED and the like are no defects.
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


def checked_bits(mask_bits: Any) -> tuple[str | int, ...] | None:
    """Return the names or numbers of the bits that are bad, or an error."""
    if mask_bits is None:
        return None
    given = (mask_bits,) if isinstance(mask_bits, (str, int, np.integer)) else tuple(mask_bits)
    for bit in given:
        if isinstance(bit, bool) or not isinstance(bit, (str, int, np.integer)) or (
                not isinstance(bit, str) and not 0 <= bit < 64):
            raise TypeError(
                f"mask_bits must be names of bit planes or numbers of bits, from 0 to 63, got {mask_bits!r}")
    return tuple(bit.strip().upper().removeprefix("MP_") if isinstance(bit, str) else int(bit) for bit in given)


def bad_pixels(
    file: FitsFile | str, part: Part, band: str | None = None, mask_bits: Iterable[str | int] | None = None,
) -> np.ndarray:
    """Return the bad pixels of a mask, an array of bool.

    Parameters
    ----------
    file : FitsFile or str
        The file that it is in, or what messages call it.
    part : Part
        The mask.
    band : str, optional
        Band of the image, for masks that have bits for each band.
    mask_bits : sequence of str or int, optional
        The bits that are bad, as `checked_bits` gives them. The default depends on the kind of the mask.
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
            raise FileFormatError(f"{where}, tells good pixels and must be 0 or 1, it has {_examples(values)}")
        return values == 0
    known, bad = _planes(file, part, band)
    if mask_bits is not None:
        bad = tuple(mask_bits)
    elif not known:
        # 255 is the 1 of masks that were made as pictures
        if np.all((values == 0) | (values == 1)) or np.all((values == 0) | (values == 255)):
            bad = values != 0
            if bad.mean() > _MOST_BAD and not isinstance(file, str):
                file.warn(
                    f"{where}, is a mask that leaves {1 - bad.mean():.0%} of the pixels. If 1 is a good pixel there, "
                    "mask_bits=() leaves it out, and mask= takes an array of bad pixels")
            return bad
        raise FileFormatError(
            f"{where}, is a mask with values other than 0 and 1 ({_examples(values)}), and nothing tells the meaning "
            "of its bits; mask_bits= must name the numbers of those that are bad")
    bits = 0
    for one in bad:
        if isinstance(one, str) and one not in known:
            there = ", ".join(known) if known else "none is named"
            raise ValueError(f"mask_bits must be among the bit planes of {where} ({there}), got {one!r}")
        bits |= 1 << (known[one] if isinstance(one, str) else one)
    return (values.astype(np.int64).view(np.uint64) & np.uint64(bits)) != 0


def _planes(file, part, band):
    """Name to number of all bit planes, and the names of those that are bad; empty where they are not known."""
    header = part.header
    primary = fits.Header() if isinstance(file, str) else file.parts[0].header
    for one in (header, primary):
        named = {key[3:]: one[key] for key in one if key.startswith("MP_") and type(one[key]) is int}
        if named:
            break
    if named:
        # keywords of eight letters cut the names
        return named, tuple(name for name in named if name in _LSST_BAD or (
            len(name) == 5 and any(bad.startswith(name) for bad in _LSST_BAD)))
    telescope, instrument, detector = (str(header.get(key, primary.get(key, ""))).strip().upper() for key in (
        "TELESCOP", "INSTRUME", "DETECTOR"))
    if telescope == "HST" and instrument in ("ACS", "WFC3"):
        # the bit of the converter marks sources in the first read of the infrared channel
        return _HST, tuple(name for name in _HST if name not in _HST_GOOD and (
            name != "ATODSAT" or detector != "IR"))
    # those of other instruments of HST have 16 bits
    if telescope == "JWST" or (part.name == "DQ" and part.data.dtype.kind == "u" and part.data.dtype.itemsize == 4):
        return _JWST, ("DO_NOT_USE",)
    if part.name == "MASKBITS" or str(header.get("IMTYPE", "")).strip().lower() == "maskbits":
        own = "" if band is None else band.upper()
        return _LEGACY, tuple(name for name in _LEGACY if name in (f"SATUR_{own}", f"ALLMASK_{own}"))
    if part.name == "MSK" or "DES_EXT" in header:
        return _DES, _DES_BAD
    return {}, ()


def _examples(values):
    found = np.unique(values[(values != 0) & (values != 1)])
    return ", ".join(str(value) for value in found[:3]) + (", ..." if len(found) > 3 else "")
