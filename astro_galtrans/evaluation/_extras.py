"""Optional packages, and files that appear whole or not at all."""

import importlib
import os
import tempfile
from pathlib import Path

__all__ = ["check_folder", "optional", "write_whole"]


def optional(module, extra="report", purpose="figures and reports"):
    """Import a module of an extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{package} is needed for {purpose}: python -m pip install 'astro_galtrans[{extra}]'") from error


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
