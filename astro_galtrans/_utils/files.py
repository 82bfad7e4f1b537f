"""Files: written completely or not at all, and the FITS files in a folder."""

import bz2
import glob
import gzip
import os
import shutil
import uuid
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from astro_galtrans.exceptions import GaltransWarning

__all__ = ["atomic_file", "atomic_folder", "check_parent", "first_image", "listed_files", "new_folder", "put_folder"]

# The first bytes of a FITS file, and of one that gzip, bzip2, compress or zip made smaller.
_MAGIC = (b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"\x1f\x9d", b"PK\x03\x04")
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zlib.error)
_NAMED = 5  # files that a warning names


def check_parent(path):
    """Return an absolute `~pathlib.Path`, or raise an error where the folder that it is in does not exist."""
    path = Path(os.path.abspath(path))
    if not path.parent.is_dir():
        kind = NotADirectoryError if path.parent.exists() else FileNotFoundError
        reason = "is not a folder" if path.parent.exists() else "does not exist"
        raise kind(f"cannot write {path.name}: the folder {path.parent} {reason}")
    return path


def _beside(path):
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial{path.suffix}")


@contextmanager
def atomic_file(path):
    """Give a path beside ``path``; the file written there takes its place at the end, or is removed on an error.

    Parameters
    ----------
    path : path-like
        The file wanted. The permissions of a file that is replaced are kept.

    Yields
    ------
    `~pathlib.Path`
        With the suffix of ``path``.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, PermissionError
        If the file cannot be created.
    """
    path = check_parent(path)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path.name}: the folder {path.parent} is not writable")
    temporary = _beside(path)
    try:
        yield temporary
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise type(error)(error.errno, f"cannot write the file: {error.strerror}", str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def new_folder(path):
    """Create a folder under a temporary name beside ``path`` and return its path."""
    path = check_parent(path)
    partial = _beside(path)
    try:
        partial.mkdir()
    except OSError as error:
        raise type(error)(f"cannot write in {partial.parent}: {error.strerror}") from error
    return partial


@contextmanager
def atomic_folder(path):
    """Give a new folder beside ``path``, which takes its place at the end, or is removed on an error."""
    partial = new_folder(path)
    try:
        yield partial
        put_folder(partial, check_parent(path))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_folder(partial, path):
    """Move a finished folder to ``path``; a folder that was there is removed at the end."""
    if not path.exists():
        os.replace(partial, path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.old")
    os.replace(path, old)
    os.replace(partial, path)
    shutil.rmtree(old)


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
