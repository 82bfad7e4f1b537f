"""Folders that appear whole or not at all, and a look at the space left on the disk first."""

import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from astro_galtrans._utils.io import put_folder

__all__ = ["check_space", "cube_bytes", "new_folder", "whole_folder"]

# Headers, checksums and meta data of a FITS cube, those of the input frames among them.
_HEADER_BYTES = 300_000


def cube_bytes(survey, size):
    """About how many bytes the FITS file of a translated cube takes: flux, standard deviation and mask."""
    return int(9 * len(survey) * np.prod(size)) + _HEADER_BYTES


def check_space(folder, needed):
    """OSError if the disk that a folder is on has less than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"the output needs about {needed / 2**20:.0f} MiB, {folder} has {free / 2**20:.0f} MiB free")


def _check_parent(path):
    parent = path.parent
    if not parent.is_dir():
        if parent.exists():
            raise NotADirectoryError(f"cannot make {path}: {parent} is not a folder")
        raise FileNotFoundError(f"cannot make {path}: the folder {parent} does not exist")


def new_folder(path, name=None):
    """Make a folder under a temporary name beside ``path``, or inside it with ``name``; its path."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial") if name is None else path / name
    try:
        partial.mkdir()
    except OSError as error:
        raise type(error)(f"cannot write in {partial.parent}: {error.strerror}") from error
    return partial


@contextmanager
def whole_folder(path, overwrite, marker):
    """A new folder beside ``path`` that takes its place at the end, or is removed on an error.

    Parameters
    ----------
    path : path-like
        The folder wanted; an empty one may be there already.
    overwrite : bool
        Whether a folder that holds a file named ``marker`` may be replaced.
    marker : str
        A file that tells that the folder was made by the same function.
    """
    path = Path(os.path.realpath(path))
    _check_parent(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, not a folder to write to")
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{path} is there already and not empty; overwrite=True replaces it")
        if not (path / marker).is_file():
            raise FileExistsError(f"{path} has no {marker}: it holds something else and is not overwritten")
    partial = new_folder(path)
    try:
        yield partial
        put_folder(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
