"""Files and folders that appear under their name only when they are complete."""

import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "check_folder", "check_space", "new_folder", "path_beside", "put_folder", "whole_file", "whole_folder",
    "write_whole",
]


def check_folder(path):
    """Return the path as a `~pathlib.Path`; raise FileNotFoundError if its folder does not exist."""
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        kind = NotADirectoryError if folder.exists() else FileNotFoundError
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise kind(f"cannot write {path.name}: the folder {folder} {reason}")
    return path


def check_space(folder, needed):
    """Raise OSError if the disk of a folder has less than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"the output needs about {needed / 2**20:.0f} MiB, {folder} has {free / 2**20:.0f} MiB free")


def _beside(path):
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial{path.suffix}")


@contextmanager
def whole_file(path):
    """Yield a temporary path in the same folder; the file there replaces ``path`` if the block raises no error.

    The temporary path has the suffix of ``path``. A file that is replaced leaves its permissions to the new one.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, PermissionError
        If no file can be created in the folder.
    """
    path = check_folder(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder, not a file")
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


def write_whole(path, content):
    """Write bytes to a file that appears complete or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def new_folder(path):
    """Create a folder under a temporary name next to ``path`` and return its path."""
    partial = _beside(check_folder(os.path.abspath(path)))
    try:
        partial.mkdir()
    except OSError as error:
        raise type(error)(f"cannot write in {partial.parent}: {error.strerror}") from error
    return partial


@contextmanager
def whole_folder(path):
    """Yield a new temporary folder next to ``path``, which replaces it if the block raises no error."""
    partial = new_folder(path)
    try:
        yield partial
        put_folder(partial, Path(os.path.abspath(path)))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_folder(partial, path):
    """Move a finished folder to ``path``; an old folder there is removed after that."""
    if not path.exists():
        os.replace(partial, path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    os.replace(path, old)
    os.replace(partial, path)
    shutil.rmtree(old)


def path_beside(path, end):
    """Return the path of a file next to a folder: ``pairs-dropped.ecsv`` for ``pairs.zarr`` and ``dropped.ecsv``."""
    path = Path(path)
    return path.with_name(f"{path.name.removesuffix('.zarr')}-{end}")
