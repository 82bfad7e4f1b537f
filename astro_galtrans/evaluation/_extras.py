"""Files that appear complete or not at all."""

from pathlib import Path

from astro_galtrans._utils.files import atomic_file
from astro_galtrans._utils.optional import optional  # noqa: F401, kept for modules that import it from here

__all__ = ["check_folder", "optional", "write_whole"]


def check_folder(path):
    """The path as a `~pathlib.Path`, or an error where its folder does not exist: better before the work than after."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} of the file {path.name} does not exist")
    return path


def write_whole(path, content):
    """Write bytes to a file that appears completely or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
