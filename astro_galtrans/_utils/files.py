"""The FITS files in a folder or of a pattern."""

import bz2
import glob
import gzip
import warnings
import zlib
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from astro_galtrans.exceptions import GaltransWarning

__all__ = ["first_image", "listed_files", "path_beside"]

# The first bytes of a FITS file, and of one that gzip, bzip2, compress or zip made smaller.
_MAGIC = (b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"\x1f\x9d", b"PK\x03\x04")
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zlib.error)
_NAMED = 5  # files that a warning names


def path_beside(path, end):
    """Return the path of a file next to a folder: ``pairs-dropped.ecsv`` for ``pairs.zarr`` and ``dropped.ecsv``."""
    path = Path(path)
    return path.with_name(f"{path.name.removesuffix('.zarr')}-{end}")


def listed_files(where):
    """The FITS files of a folder or of a pattern with wild cards, or the one file.

    A path that exists is taken as it is, whatever brackets it has; else it is a pattern. What is no image in a folder
    or pattern is left out, with one warning that names it: hidden files, folders, tables and text, files that are
    empty or cut off.

    Parameters
    ----------
    where : path-like
        Folder, file or pattern.

    Returns
    -------
    list of `~pathlib.Path`
        Sorted, at least one.

    Raises
    ------
    FileNotFoundError
        If nothing is left.
    """
    path = Path(where)
    if path.is_dir():
        found, what = sorted(path.iterdir()), f"folder {path}"
    elif path.exists():
        return [path]
    else:
        found, what = [Path(one) for one in sorted(_matching(str(where)))], f"pattern {where}"
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
        raise FileNotFoundError(f"the {what} has no FITS image{reasons}")
    if skipped:
        warnings.warn(f"the {what} has {len(kept)} FITS images; the rest is left out: {_named(skipped)}",
                      GaltransWarning, stacklevel=3)
    return kept


def _matching(pattern):
    """Files of a pattern, whose folder is taken literally where it exists."""
    folder, name = Path(pattern).parent, Path(pattern).name
    if folder.is_dir() and glob.has_magic(str(folder)):
        pattern = str(Path(glob.escape(str(folder))) / name)
    return glob.glob(pattern)


def _why_not(path):
    """Why a path is not a FITS image that can be read, or None."""
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
    except _UNREADABLE as error:
        return f"not readable as FITS: {error}"
    if header is None:
        return "no image in it"
    return "cut off" if end is not None and end > path.stat().st_size else None


def first_image(path):
    """Header of the first image of a FITS file, without reading its pixels where that can be done.

    Parameters
    ----------
    path : `~pathlib.Path`

    Returns
    -------
    header : `~astropy.io.fits.Header` or None
        None where the file holds no image.
    end : int or None
        Byte after the image's last, None for a compressed file.

    Raises
    ------
    OSError, EOFError, ValueError, KeyError
        If the file cannot be read as FITS.
    """
    for suffix, unpack in ((".bz2", bz2.open), (".gz", gzip.open)):
        if path.name.lower().endswith(suffix):
            with unpack(path) as stream:
                header = fits.Header.fromfile(stream)
            if header.get("NAXIS", 0) >= 2:
                return header, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # that it is cut off is told by who asks
        with fits.open(path) as parts:
            for part in parts:
                if part.is_image and part.header.get("NAXIS", 0) >= 2:
                    place = part.fileinfo()
                    plain = place is not None and start_of(path).startswith(_MAGIC[0])
                    return part.header.copy(), place["datLoc"] + part.size if plain else None
    return None, None


def start_of(path):
    """The first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC[0]))


def _named(skipped):
    names = [f"{name} ({reason})" for name, reason in skipped.items()]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
