"""Opening FITS files with errors that name them, and reading back the cubes that this package writes."""

import bz2
import gzip
import io
import json
import warnings
import zlib
from collections import namedtuple
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS, FITSFixedWarning

from astro_galtrans.exceptions import FileFormatError, SurveyError
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._fits_write import LAYOUT, decoded, uncertainty_kinds
from astro_galtrans.surveys import get_survey, same_name

__all__ = ["Part", "cube_of_parts", "find_part", "load_parts", "native", "parse_unit", "plain_wcs"]

Part = namedtuple("Part", "name header data")

# Spellings that headers have and astropy has not.
_UNIT_NAMES = {"nanomaggies": "nmgy", "nanomaggy": "nmgy", "maggies": "mgy", "counts": "ct", "count": "ct",
               "adus": "adu", "dn": "DN", "electrons": "electron", "e-": "electron"}


def load_parts(path):
    """All HDUs of a FITS file, compressed or not, as `Part` with the data in memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is not FITS, or truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            # astropy tells of a truncated file in a warning and then gives whatever is there.
            warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
            with fits.open(_source(path), memmap=False) as hdus:
                parts = [Part(hdu.name, hdu.header.copy(), hdu.data) for hdu in hdus]
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zlib.error, AstropyUserWarning,
            fits.VerifyError) as error:
        raise FileFormatError(f"{path} is not a whole FITS file: {error}") from error
    return parts


def _source(path):
    """The bytes of a file, unpacked: astropy would unpack a bzip2 file again for each seek backwards in it."""
    content = path.read_bytes()
    for magic, unpack in ((b"BZh", bz2.decompress), (b"\x1f\x8b", gzip.decompress)):
        if content.startswith(magic):
            content = unpack(content)
    return io.BytesIO(content)


def native(array, dtype=None):
    """An array of this machine's byte order."""
    return np.ascontiguousarray(array, dtype=dtype or array.dtype.newbyteorder("="))


def plain_wcs(header):
    """The celestial WCS of the first two axes of a header, or None; without notices about old keywords."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        # wcslib warns of what the header says of axes that are left out
        warnings.filterwarnings("ignore", message=".*more axes.*")
        wcs = WCS(header, naxis=2)
    if not wcs.has_celestial:
        return None
    wcs.array_shape = (header["NAXIS2"], header["NAXIS1"]) if "NAXIS2" in header else None
    return wcs


def parse_unit(text):
    """Unit of a BUNIT, with the spellings that surveys use; None if there is none or it is none."""
    if not isinstance(text, str) or not text.strip():
        return None
    text = text.strip()
    try:
        return u.Unit(_UNIT_NAMES.get(text.lower(), text))
    except ValueError:
        try:
            return u.Unit(text.lower())
        except ValueError:
            return None


def find_part(parts, *names):
    """The first part with one of these names, or None."""
    for name in names:
        for part in parts:
            if part.name.upper() == name and part.data is not None:
                return part
    return None


def cube_of_parts(path, parts, survey=None, bands=None):
    """The cube in the parts of a file that `write_cube` made, or of another's cube with ``bands`` named.

    The survey that the file names is used where it is known; ``survey`` must agree with it.
    """
    primary = next(part for part in parts if part.data is not None and np.ndim(part.data) == 3)
    header = primary.header
    if header.get("GALTRANS", 0) > LAYOUT:
        raise FileFormatError(f"{path} has layout version {header['GALTRANS']}, this package reads up to {LAYOUT}")
    if "BANDS" in header:
        bands = tuple(name.strip() for name in header["BANDS"].split(","))
    if bands is None:
        raise FileFormatError(f"{path} has a cube without BANDS in its header; name its bands with bands=")
    unit = parse_unit(header.get("BUNIT"))
    mask, psf = find_part(parts, "MASK"), find_part(parts, "PSF")
    try:
        cube = BandCube(
            native(primary.data), unit=unit, wcs=plain_wcs(header), bands=bands,
            survey=_survey_of_file(path, header.get("SURVEY"), survey),
            mask=None if mask is None else mask.data.astype(bool), psf=None if psf is None else native(psf.data),
            uncertainty=_read_uncertainty(find_part(parts, "UNCERT")), meta=_read_meta(find_part(parts, "META")))
    except SurveyError:
        raise
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"{path} does not hold a cube that fits together: {error}") from error
    return cube


def _survey_of_file(path, name, survey):
    if survey is not None:
        survey = get_survey(survey)
        if name is not None and not same_name(name, survey.name):
            raise SurveyError(f"{path} is of survey {name}, not {survey.name}")
        return survey
    if name is None:
        return None
    try:
        return get_survey(name)
    except SurveyError as error:
        raise SurveyError(
            f"{path} is of survey {name!r}, which is not known here: register_survey() makes it known") from error


def _read_uncertainty(part):
    if part is None:
        return None
    kind = uncertainty_kinds.get(part.header.get("UTYPE", "StdDevUncertainty"))
    if kind is None:
        raise ValueError(f"an uncertainty of kind {part.header['UTYPE']}")
    return kind(native(part.data), unit=parse_unit(part.header.get("BUNIT")))


def _read_meta(part):
    if part is None or "JSON" not in (getattr(part.data, "names", None) or ()):
        return None
    # the keys are JSON strings without their quotes
    keys = [json.loads(f'"{key}"') if "\\" in key else str(key) for key in part.data["KEY"]]
    return {key: decoded(json.loads(text)) for key, text in zip(keys, part.data["JSON"])}
