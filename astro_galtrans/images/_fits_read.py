"""Open FITS files and objects of astropy.io.fits once, with errors that name them."""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS, FITSFixedWarning, WcsError

from astro_galtrans._utils.bounds import check_axes, check_unpacked, unpacked
from astro_galtrans._utils.files import FITS_ERRORS
from astro_galtrans.exceptions import FileFormatError, GaltransWarning
from astro_galtrans.images._headers import inherits, warn_once

__all__ = ["FitsFile", "FitsSource", "Part", "celestial_wcs", "find_part", "fits_errors", "is_file", "is_path",
           "load_parts", "native", "open_fits", "plain_wcs", "split_path"]

FitsSource = str | os.PathLike | BinaryIO | fits.HDUList | fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU
_SELECTOR = re.compile(r"(.+)\[([^\[\]]+)\]")
_WCS_NUMBER = re.compile(r"(CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|PC00[12]00[12]")
_FRAMES = ("ICRS", "FK5", "FK4", "FK4-NO-E")


@dataclass(frozen=True)
class Part:
    """One HDU with its data in memory."""

    name: str
    """EXTNAME in capitals."""
    header: fits.Header
    """As it is in the file, with the keywords of scaled integers."""
    data: Any
    """Image or table, ndarray, or None."""
    version: int = 1
    """EXTVER."""
    index: int = 0
    """Number of the HDU in its file."""

    def __str__(self):
        name = self.name or "without a name"
        shape = "" if not self.is_image else f" ({' x '.join(map(str, self.data.shape))} pixels)"
        return f"[{self.index}] {name}{f',{self.version}' if self.version != 1 else ''}{shape}"

    @property
    def is_image(self) -> bool:
        """Whether the HDU is an image of two or more axes."""
        return isinstance(self.data, np.ndarray) and self.data.dtype.names is None and self.data.ndim >= 2

    @property
    def columns(self):
        """Names of the columns of a table, empty for an image."""
        return () if self.data is None else self.data.dtype.names or ()


@dataclass(frozen=True)
class FitsFile:
    """The HDUs of a file."""

    label: str
    """Name of the file in messages."""
    parts: tuple[Part, ...]
    hdus: fits.HDUList
    """The same for `~astropy.wcs.WCS`, which takes the tables of distortions from it."""
    selected: Any = None
    """The HDU in the path, as of ``file.fits[2]`` or ``file.fits[SCI,2]``."""
    warned: set[str] = field(default_factory=set, compare=False, repr=False)
    """Texts of earlier warnings, which are not repeated for each image of a file."""

    def warn(self, text):
        """Warn about the file, once."""
        warn_once(text, self.warned)

    def __str__(self):
        return self.label

    @property
    def primary(self):
        """The primary header where it holds for all HDUs: where the primary HDU has no data of its own."""
        return self.parts[0].header if self.parts[0].data is None and len(self.parts) > 1 else None

    def select(self, hdu, argument="hdu"):
        """Return the HDU of a number, a name, or a name and version."""
        wanted = _parsed_hdu(hdu, argument)
        if isinstance(wanted, int):
            found = [part for part in self.parts if part.index == wanted]
        else:
            found = [part for part in self.parts if part.name == wanted[0] and wanted[1] in (None, part.version)]
        if not found:
            raise FileFormatError(f"{self} has no HDU {_spelled(wanted)}; it has {', '.join(map(str, self.parts))}")
        if len(found) > 1:
            raise FileFormatError(
                f"{self} has several HDUs {_spelled(wanted)}; {argument}= must name one by its number: "
                f"{', '.join(map(str, found))}")
        return found[0]


def _spelled(wanted):
    if isinstance(wanted, int):
        return str(wanted)
    return wanted[0] if wanted[1] is None else f"{wanted[0]},{wanted[1]}"


def _parsed_hdu(hdu, argument="hdu"):
    """Return a choice of HDU as a number, or as a pair of name and version or None."""
    if isinstance(hdu, (int, np.integer)) and not isinstance(hdu, bool) and hdu >= 0:
        return int(hdu)
    if isinstance(hdu, str) and hdu.strip():
        name, comma, version = hdu.strip().rpartition(",")
        if comma and version.strip().isdigit():
            return name.strip().upper(), int(version)
        return int(hdu) if hdu.strip().isdigit() else (hdu.strip().upper(), None)
    if isinstance(hdu, tuple) and len(hdu) == 2 and isinstance(hdu[0], str):
        version = hdu[1]
        if isinstance(version, (int, np.integer)) and not isinstance(version, bool):
            return hdu[0].strip().upper(), int(version)
    raise TypeError(f"{argument} must be the number of an HDU, its name, or (name, version), got {hdu!r}")


def is_path(value):
    """Return whether something is a path."""
    return isinstance(value, (str, os.PathLike))


def _is_stream(value):
    """Return whether something is an open file, or bytes."""
    return isinstance(value, (bytes, bytearray, io.IOBase)) or all(
        callable(getattr(value, name, None)) for name in ("read", "seek", "tell"))


def is_file(value):
    """Return whether something is a FITS file: a path, an open file or an object of astropy.io.fits."""
    return is_path(value) or _is_stream(value) or isinstance(
        value, (FitsFile, fits.HDUList, fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU))


def open_fits(source):
    """Read all HDUs of a FITS file, compressed or not, from a path, an open file or astropy's objects."""
    if isinstance(source, FitsFile):
        return source
    if isinstance(source, fits.HDUList):
        return _held("the HDUList" if source.filename() is None else str(source.filename()), source)
    if isinstance(source, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return _held(f"the {type(source).__name__} {source.name}".strip(), fits.HDUList([source]))
    if is_path(source):
        path, selected = split_path(source)
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        return _opened(str(path), path.read_bytes(), selected)
    if _is_stream(source):
        return _opened(str(getattr(source, "name", "the open file")), _content(source), None)
    raise TypeError(
        f"a file must be a path, an open file, an HDUList, an image HDU or a CCDData, got {type(source).__name__}")


def load_parts(source):
    """Return all HDUs of a FITS file; see `open_fits`."""
    return open_fits(source).parts


def split_path(source: str | os.PathLike) -> tuple[Path, int | str | tuple[str, int] | None]:
    """Return a path without the HDU that is named behind it, and that HDU.

    Parameters
    ----------
    source : path-like
        As ``file.fits``, ``file.fits[2]``, ``file.fits[SCI]`` or ``file.fits[SCI,2]``. A file that has brackets in its
        own name is taken as it is.

    Returns
    -------
    path : `~pathlib.Path`
        The file.
    hdu : int, str, tuple or None
        The HDU, as an index of an `~astropy.io.fits.HDUList`.
    """
    path = Path(source)
    match = None if path.exists() else _SELECTOR.fullmatch(str(path))
    if match is None or not match[2].strip():
        return path, None
    hdu = _parsed_hdu(match[2])
    return Path(match[1]), hdu if isinstance(hdu, int) or hdu[1] is not None else hdu[0]


def _content(source):
    if isinstance(source, (bytes, bytearray)):
        return bytes(source)
    # A file that was just written is at its end.
    place = source.tell() if not isinstance(source, io.IOBase) or source.seekable() else None
    if place is not None:
        source.seek(0)
    content = b"" if isinstance(source, io.TextIOBase) else source.read()
    if place is not None:
        source.seek(place)
    if isinstance(source, io.TextIOBase) or not isinstance(content, bytes):
        raise TypeError("an open file must be opened in binary mode, as open(path, 'rb')")
    return content


# Errors of astropy when a damaged card or WCS is used. ValueError and TypeError are also those of wrong arguments.
_CARD_ERRORS = (fits.VerifyError, LookupError, AttributeError, ArithmeticError, WcsError)


@contextmanager
def fits_errors(label):
    """Turn what astropy raises for damaged cards into a FileFormatError that names the file."""
    try:
        yield
    except _CARD_ERRORS as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{label} has damaged values in a header or table: {reason}") from error


def _held(label, hdus):
    try:
        return FitsFile(label, _parts(label, hdus), hdus)
    except FileFormatError:
        raise
    except FITS_ERRORS as error:
        raise FileFormatError(f"{label} cannot be read: {error}") from error


def _opened(label, content, selected):
    try:
        # astropy would decompress a bzip2 file again for each seek backwards in it.
        content = unpacked(content, label)
        if b"ZIMAGE  =" in content:
            _check_tiles(label, content)
        with _quiet(), fits.open(io.BytesIO(content), memmap=False) as hdus:
            parts = _parts(label, hdus)
            # astropy leaves out an extension whose header is truncated.
            last = hdus[-1].fileinfo()
            start = last["datLoc"] + last["datSpan"]
            rest = content[start:start + 8]
            if rest and b"XTENSION".startswith(rest):
                raise FileFormatError(f"{label} is not a whole FITS file: the header of HDU {len(hdus)} is cut off")
            return FitsFile(label, parts, hdus, selected)
    except FileFormatError:
        raise
    except FITS_ERRORS as error:
        # The message of astropy about another file advises an option that readers here do not have.
        reason = error if content.startswith(b"SIMPLE") or not content else "it does not begin with the word SIMPLE"
        raise FileFormatError(f"{label} is not a whole FITS file: {reason}") from error


class _quiet(warnings.catch_warnings):
    """Without notices on cards, and with an error for a truncated file, of which astropy only warns."""

    def __enter__(self):
        super().__enter__()
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)


def _check_tiles(label, content):
    """Raise FileFormatError if a compressed image has sizes that do not fit its table of tiles, or the file."""
    with _quiet(), fits.open(io.BytesIO(content), memmap=False, disable_image_compression=True) as tables:
        for table in tables:
            header = table.header
            if "ZIMAGE" not in header or "ZNAXIS" not in header:
                continue
            sides = [int(header[f"ZNAXIS{axis + 1}"]) for axis in range(int(header["ZNAXIS"]))]
            # Without ZTILE1 and ZTILE2 a tile is a row.
            tile = [int(header.get(f"ZTILE{axis + 1}", 1 if axis else sides[0])) for axis in range(len(sides))]
            if min(sides + tile, default=1) < 1:
                raise FileFormatError(f"{label} has a compressed image of sides {sides} in tiles of {tile}")
            n_tiles = math.prod(-(-side // step) for side, step in zip(sides, tile))
            if n_tiles != header["NAXIS2"]:
                raise FileFormatError(f"{label} has a compressed image of {n_tiles} tiles, and {header['NAXIS2']} of "
                                      "them in its table")
            check_unpacked(math.prod(sides) * abs(int(header.get("ZBITPIX", 8))) // 8, len(content), label)


def _data(label, hdu):
    if not isinstance(hdu, fits.CompImageHDU):
        return hdu.data
    try:
        return hdu.data
    except Exception as error:  # that of CFITSIO has no public name
        raise FileFormatError(f"{label} has a compressed image that cannot be unpacked: {error}") from error


def _parts(label, hdus):
    parts = []
    with _quiet():
        for index, hdu in enumerate(hdus):
            # Access to the data removes its scaling from the header.
            header = hdu.header.copy()
            name = str(header.get("EXTNAME") or header.get("HDUNAME") or hdu.name or "").strip().upper()
            parts.append(Part(name, header, _data(label, hdu), int(getattr(hdu, "ver", 1) or 1), index))
    if not parts:
        raise FileFormatError(f"{label} is empty")
    return tuple(parts)


def native(array, dtype=None):
    """Return a contiguous array in native byte order."""
    return np.ascontiguousarray(array, dtype=dtype or array.dtype.newbyteorder("="))


def find_part(parts, name):
    """Return the first part of a name that has data, or None."""
    return next((part for part in parts if part.name == name and part.data is not None), None)


def plain_wcs(header, label="the header", hdus=None):
    """Return the celestial WCS of the first two axes of a header, or None."""
    with fits_errors(label):
        header = _with_numbers(_with_known_frame(header, label), label)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            # wcslib warns of keywords of axes that are left out
            warnings.filterwarnings("ignore", message=".*more axes.*")
            wcs = WCS(header, fobj=hdus, naxis=2)
            if not wcs.has_celestial:
                if "CTYPE1" in header and str(header["CTYPE1"]).startswith(("RA", "DEC", "GLON", "GLAT")):
                    raise ValueError(f"CTYPE1 {header['CTYPE1']!r} and CTYPE2 {header.get('CTYPE2')!r} are not a pair")
                return None
            wcs.wcs.set()
            wcs.all_pix2world([[0, 0]], 0)
    # wcslib raises MemoryError for a distortion that lacks its terms.
    except (*FITS_ERRORS, MemoryError) as error:
        reason = " ".join(str(error).split()).rstrip(".:")
        raise FileFormatError(
            f"{label} has a WCS that cannot be read: {reason}. Correct its header and pass the HDU, or remove the "
            "keywords of the WCS to read the image without a position on the sky") from error
    return wcs


def _with_numbers(header, label):
    """Return the header with numbers where the WCS needs them: wcslib ignores text."""
    for key in header:
        if key.startswith("WCSAXES"):
            check_axes(key, header[key], label)
    texts = [key for key in header if _WCS_NUMBER.fullmatch(key) and not isinstance(header[key], int)
             and not (isinstance(header[key], float) and np.isfinite(header[key]))]
    if texts:
        header = header.copy()
    for key in texts:
        try:
            number = float(header[key])
        except (TypeError, ValueError):
            number = np.nan
        if not np.isfinite(number):
            raise FileFormatError(f"{label} has a WCS with {key} = {header[key]!r}, which must be a number")
        header[key] = number
    return header


def _with_known_frame(header, label):
    """Return the header with RADESYS in the spelling of the standard."""
    for key in ("RADESYS", "RADECSYS"):
        value = header.get(key)
        if not isinstance(value, str) or value in _FRAMES:
            continue
        name = value.strip().upper()
        if name == "GAPPT":
            raise FileFormatError(
                f"{label} has positions in the frame {key} = {value!r}, apparent places of a date; "
                "transform its WCS to ICRS first")
        header = header.copy()
        if name in _FRAMES:
            header[key] = name
            continue
        if name:
            warnings.warn(f"{label} has {key} = {value!r}, which is no known frame; its positions are taken for "
                          f"{'FK5' if 'EQUINOX' in header else 'ICRS'}", GaltransWarning, stacklevel=2)
        del header[key]
    return header


def celestial_wcs(file, part):
    """Return the WCS of an image, of its own header or the primary one, or None."""
    wcs = plain_wcs(part.header, file.label, file.hdus)
    if wcs is None and file.primary is not None and inherits(part.header):
        wcs = plain_wcs(file.primary, file.label, file.hdus)
    if wcs is not None:
        wcs.array_shape = part.data.shape[-2:]
    return wcs
