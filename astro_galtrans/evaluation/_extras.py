"""Files that appear complete or not at all."""

import os
import tempfile
from pathlib import Path

from astro_galtrans._utils.optional import optional  # noqa: F401, kept for modules that import it from here

__all__ = ["check_folder", "optional", "write_whole"]


def check_folder(path):
    """The path as a `~pathlib.Path`, or an error where its folder does not exist: better before the work than after."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} of the file {path.name} does not exist")
    return path


def write_whole(path, content):
    """Write bytes to a temporary file beside ``path``, then move it there."""
    path = check_folder(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
