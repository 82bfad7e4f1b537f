"""The FITS files in a folder or of a pattern."""

import bz2
import glob
import gzip
import lzma
import struct
import warnings
import zlib
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from astro_galtrans.exceptions import GaltransWarning

__all__ = ["FITS_ERRORS", "first_image", "listed_files"]

# The first bytes of a FITS file, and of one that gzip, bzip2, compress or zip made smaller.
_MAGIC = (b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"\x1f\x9d", b"PK\x03\x04")
# Errors of astropy for files that are truncated, damaged, of another kind, or closed.
FITS_ERRORS = (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, zlib.error,
               lzma.LZMAError, struct.error, AstropyUserWarning, fits.VerifyError)
_NAMED = 5  # files that a warning names


def listed_files(where):
    """Return the paths of the FITS images in a folder or of a pattern with wild cards, or the one file, sorted.

    A path that exists is no pattern, even with brackets. One warning names everything else in the folder: hidden files,
    folders, tables, text, and files that are empty or truncated.

    Raises
    ------
    FileNotFoundError
        If there is no image.
    """
    path = Path(where)
    if path.is_dir():
        found, label = sorted(path.iterdir()), f"folder {path}"
    elif path.exists():
        return [path]
    else:
        found, label = [Path(one) for one in sorted(_matching(str(where)))], f"pattern {where}"
        if not found:
            raise FileNotFoundError(f"no such file or folder, and no file of such a name: {where}")
    kept, skipped = [], {}
    for one in found:
        reason = _why_not(one)
        if reason is None:
            kept.append(one)
        else:
            skipped[one.name] = reason
    if not kept:
        reasons = f": {_named(skipped)}" if skipped else ""
        raise FileNotFoundError(f"the {label} has no FITS image{reasons}")
    if skipped:
        warnings.warn(f"the {label} has {len(kept)} FITS images; the rest is left out: {_named(skipped)}",
                      GaltransWarning, stacklevel=3)
    return kept


def _matching(pattern):
    """Return the files of a pattern; its folder is literal if it exists."""
    folder, name = Path(pattern).parent, Path(pattern).name
    if folder.is_dir() and glob.has_magic(str(folder)):
        pattern = str(Path(glob.escape(str(folder))) / name)
    return glob.glob(pattern)


def _why_not(path):
    """Return why a path is not a FITS image that can be read, or None."""
    if path.is_dir():
        return "a folder"
    if path.name.startswith("."):
        return "hidden"
    try:
        start = start_of(path)
    except OSError as error:
        return error.strerror or "cannot be opened"
    if not start:
        return "empty"
    if not start.startswith(_MAGIC):
        return "not FITS"
    try:
        header, end = first_image(path)
    except FITS_ERRORS as error:
        return f"not readable as FITS: {error}"
    if header is None:
        return "no image in it"
    return "cut off" if end is not None and end > path.stat().st_size else None


def first_image(path):
    """Return the header of the first image of a FITS file, or None, and the byte after its end.

    The pixels are not read where that is possible. The end is None for a compressed file. A file that cannot be read as
    FITS raises one of `FITS_ERRORS`.
    """
    for suffix, unpack in ((".bz2", bz2.open), (".gz", gzip.open)):
        if path.name.lower().endswith(suffix):
            with unpack(path) as stream:
                header = fits.Header.fromfile(stream)
            if header.get("NAXIS", 0) >= 2:
                return header, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # callers report truncated files
        with open(path, "rb") as stream, fits.open(stream) as parts:  # astropy leaves a damaged file open
            for part in parts:
                if part.is_image and part.header.get("NAXIS", 0) >= 2:
                    place = part.fileinfo()
                    plain = place is not None and start_of(path).startswith(_MAGIC[0])
                    return part.header.copy(), place["datLoc"] + part.size if plain else None
    return None, None


def start_of(path):
    """Return the first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC[0]))


def _named(skipped):
    names = [f"{name} ({reason})" for name, reason in skipped.items()]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
