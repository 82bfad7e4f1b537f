"""Files and folders that appear under their name only when they are complete."""

import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_folder", "put_folder", "whole_file", "write_whole"]


def check_folder(path):
    """Return the path as a `~pathlib.Path`; raise FileNotFoundError if its folder does not exist."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} of the file {path.name} does not exist")
    return path


@contextmanager
def whole_file(path, suffix=""):
    """Yield a temporary path in the same folder; the file there replaces ``path`` if the block raises no error."""
    path = check_folder(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path, content):
    """Write bytes to a file that appears complete or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def put_folder(partial, path):
    """Move a finished folder to ``path``; an old folder there is removed after that."""
    if not path.exists():
        os.replace(partial, path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    os.replace(path, old)
    os.replace(partial, path)
    shutil.rmtree(old)
