"""Files and folders that appear under their name only when they are complete.

Each is made in a hidden folder next to it, ``.name.<number>.partial``. The process that writes holds the lock of that
folder, which the system releases when the process ends in any way. A folder that is not locked was left by a killed
process, and the next write to the same path removes it.
"""

import ctypes
import errno
import json
import os
import re
import shutil
import sys
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows, where nothing is removed for a killed process
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "check_folder", "check_new", "check_result_folder", "check_space", "path_beside", "remove_leftovers",
    "unfinished_folder", "whole_file", "whole_files", "whole_folder", "write_whole",
]

# The numbers of the hidden folders of a path: to list its folder instead would be slow where there are many files.
_NUMBERS = range(4)
_NUMBERED = re.compile(r"\.[0-9a-f]+\.partial$")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_JOURNAL, _FILES = "moving.json", "galtrans"
_EXCHANGE, _AT_CWD = 2, -100  # RENAME_EXCHANGE and AT_FDCWD of Linux
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def check_folder(path):
    """Return the path as a `~pathlib.Path`; raise FileNotFoundError if its folder does not exist."""
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        kind = NotADirectoryError if folder.exists() else FileNotFoundError
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise kind(f"cannot write {path.name}: the folder {folder} {reason}")
    return path


def check_new(path, overwrite):
    """Return the path as a `~pathlib.Path`; raise FileExistsError if it exists, unless it may be replaced."""
    path = Path(path)
    remove_leftovers(path)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path} exists already; overwrite=True replaces it")
    return path


def check_result_folder(out, overwrite, content):
    """Return the real path of a folder to write; raise an error unless it is free or may be replaced.

    It may be replaced if it is empty, or with ``overwrite`` if it has a file of the name ``content``.
    """
    path = check_folder(os.path.realpath(out))
    remove_leftovers(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, not a folder to write to")
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{path} exists already and is not empty; overwrite=True replaces it")
        if not (path / content).is_file():
            raise FileExistsError(f"{path} has no {content}: it holds something else and is not overwritten")
    return path


def check_space(folder, needed):
    """Raise OSError if the disk of a folder has less than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"the output needs about {needed / 2**20:.0f} MiB, {folder} has {free / 2**20:.0f} MiB free")


@contextmanager
def whole_file(path):
    """Yield a temporary path of the same name; the file there replaces ``path`` if the block raises no error.

    A file that is replaced leaves its permissions to the new one.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, PermissionError
        If no file can be created in the folder.
    """
    path = check_folder(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder, not a file")
    remove_leftovers(path)
    with _beside(path) as temporary:
        yield temporary
        _move(temporary, path)


def write_whole(path, content):
    """Write bytes to a file that appears complete or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def whole_folder(path):
    """Yield a new temporary folder, which replaces ``path`` if the block raises no error."""
    path = check_folder(os.path.abspath(path))
    remove_leftovers(path)
    with _beside(path) as temporary:
        temporary.mkdir()
        yield temporary
        if not os.path.lexists(path):
            os.replace(temporary, path)
        elif not _exchange(temporary, path):
            # Between these calls nothing is at ``path``: `_discard` finishes them.
            os.replace(path, _earlier(temporary))
            os.replace(temporary, path)


@contextmanager
def whole_files(folder, names, overwrite=False):
    """Yield a temporary folder for files of these names, which go to ``folder`` if the block raises no error.

    The folder is created if it does not exist. The files are moved one by one when all are complete. If the process is
    killed meanwhile, the next call may replace those that were moved.

    Raises
    ------
    FileExistsError
        If one of the files exists and may not be replaced.
    """
    given, folder = Path(folder), check_folder(os.path.abspath(folder))
    together = folder / _FILES
    moved = [name for name in _moved(together) if name in names]
    if not moved:  # also where the files are refused
        remove_leftovers(together)
    for name in names:
        if (folder / name).exists() and not overwrite and name not in moved:
            raise FileExistsError(f"{given / name} exists already; overwrite=True replaces it")
    is_new = not folder.exists()
    try:
        with suppress(FileExistsError):
            folder.mkdir()
        with _beside(together) as temporary:
            _write_journal(temporary, moved, [])
            remove_leftovers(together)
            temporary.mkdir()
            yield temporary
            _write_journal(temporary, moved, names)
            for name in names:
                _move(temporary / name, folder / name)
    except BaseException:
        if is_new:
            with suppress(OSError):  # another process writes there too
                folder.rmdir()
        raise


@contextmanager
def unfinished_folder(path):
    """Yield a hidden folder next to ``path`` that an error leaves as it is, so that the same call can resume in it.

    Raises
    ------
    BlockingIOError
        If another process has it.
    """
    path = check_folder(os.path.abspath(path))
    remove_leftovers(path)
    folder = path.with_name(f".{path.name}.unfinished")
    folder.mkdir(exist_ok=True)
    lock = None
    try:
        lock = _lock(folder)
    except BlockingIOError as error:
        raise BlockingIOError(f"{path} is being written by another process") from error
    except OSError:  # a file system without locks
        pass
    try:
        yield folder
    finally:
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
        if lock is not None:
            os.close(lock)


def remove_leftovers(path):
    """Remove what killed processes left of their writes to a path, of a file or a folder."""
    for folder, lock in _leftovers(Path(os.path.abspath(path))):
        _discard(folder)
        os.close(lock)


def path_beside(path, end):
    """Return the path of a file next to a folder: ``pairs-dropped.ecsv`` for ``pairs.zarr`` and ``dropped.ecsv``."""
    path = Path(path)
    return path.with_name(f"{path.name.removesuffix('.zarr')}-{end}")


@contextmanager
def _beside(path):
    """Yield a path of the same name in a new hidden folder next to ``path``, which is removed at the end."""
    path = Path(os.path.abspath(path))
    folder, lock = _new_folder(path)
    temporary = folder / path.name
    try:
        yield temporary
    except OSError as error:
        reason = error
        while isinstance(reason, OSError) and reason.errno is None:  # astropy puts a text in place of a full disk
            reason = reason.__context__
        if isinstance(reason, OSError) and (
                reason.filename == str(temporary) or reason.filename is None and reason.errno in _FULL):
            raise type(reason)(reason.errno, f"cannot be written: {reason.strerror}", str(path)) from error
        raise
    finally:
        _discard(folder)
        if lock is not None:
            os.close(lock)


def _new_folder(path):
    """Return a new hidden folder next to ``path``, and its lock or None."""
    for number in (*_NUMBERS, uuid.uuid4().hex):
        folder = _hidden(path, number)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise type(error)(error.errno, f"cannot write {path.name} there: {error.strerror}",
                              str(path.parent)) from error
        try:
            return folder, _lock(folder)
        except (BlockingIOError, FileNotFoundError):  # another process took it for a leftover before it was locked
            continue
        except OSError:  # a file system without locks
            return folder, None
    raise BlockingIOError(errno.EWOULDBLOCK, "is being written by other processes", str(path))


def _hidden(path, number):
    return path.with_name(f".{path.name}.{number}.partial")


def _lock(folder):
    """Return a descriptor that locks a folder until it is closed; raise BlockingIOError if another process has it."""
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system has no locks of folders")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino != os.stat(folder).st_ino:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _leftovers(path):
    """Yield the hidden folders of a path that no process holds, with their locks."""
    for number in _NUMBERS:
        folder = _hidden(path, number)
        try:
            yield folder, _lock(folder)
        except OSError:  # there is none, or a process has it
            continue


def _discard(folder):
    """Remove a hidden folder, after a replacement that was begun in it is finished."""
    name = _NUMBERED.sub("", folder.name[1:])
    temporary, path = folder / name, folder.with_name(name)
    if _earlier(temporary).exists() and not os.path.lexists(path):
        os.replace(temporary, path)
    shutil.rmtree(folder, ignore_errors=True)


def _earlier(temporary):
    """Return where the earlier folder is during a replacement that takes two calls."""
    return temporary.with_name(f"{temporary.name}.earlier")


def _exchange(one, other):
    """Exchange two paths in one call; return whether the system can."""
    if sys.platform != "linux":
        return False
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # an old C library
        return False
    if call(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_SUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _move(temporary, path):
    """Let a file replace another, whose permissions it takes."""
    if path.exists():
        shutil.copymode(path, temporary)
    os.replace(temporary, path)


def _write_journal(temporary, moved, moving):
    """Note which files an earlier call moved, and which this one is about to move."""
    if moved or moving:
        new = temporary.with_name("new.json")
        new.write_text(json.dumps({"moved": moved, "moving": list(moving)}))
        os.replace(new, temporary.with_name(_JOURNAL))


def _moved(together):
    """Return the names of the files that killed processes had moved before all were."""
    names = []
    for folder, lock in _leftovers(together):
        journal = folder / _JOURNAL
        if journal.is_file():
            noted = json.loads(journal.read_text())
            names += noted["moved"]
            names += [name for name in noted["moving"] if not (folder / together.name / name).exists()]
        os.close(lock)
    return names
