"""Translators that come with the package, by name."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["file_of", "shipped_translators"]

_FOLDER = Path(__file__).resolve().parent.parent / "data"


def shipped_translators() -> dict[str, str]:
    """Translators that come with the package.

    Returns
    -------
    dict of str to str
        Name, which `load` takes in place of a path, and a description of one line. The model card,
        ``load(name).card``, has the training data, the accuracy and the limits.

    Examples
    --------
    >>> from astro_galtrans.storage import shipped_translators
    >>> sorted(shipped_translators())
    ['sdss-to-cfhtls']
    """
    return {path.stem: _first_line(path.with_suffix(".rst")) for path in sorted(_FOLDER.glob("*.asdf"))}


def file_of(path):
    """The file that is meant by the argument of `load`.

    Parameters
    ----------
    path : str or path-like
        A str without folder and suffix that is no file of the working directory is the name of a shipped translator.

    Returns
    -------
    str or path-like
        ``path`` itself, or the file of the shipped translator.

    Raises
    ------
    FileNotFoundError
        If it is such a name, and nothing of that name is shipped.
    """
    if not isinstance(path, str) or os.path.basename(path) != path or os.path.splitext(path)[1] or not path:
        return path
    # A folder of that name, as the results of a translator may be kept in, cannot be meant by who loads one object.
    if os.path.exists(path) and not os.path.isdir(path):
        return path
    shipped = shipped_translators()
    if path in shipped:
        return _FOLDER / f"{path}.asdf"
    if os.path.isdir(path):
        return path
    raise FileNotFoundError(f"there is no file {path!r}, and no translator of that name comes with the package; "
                            f"those that do are: {', '.join(shipped) or 'none'}")


def _first_line(path):
    with open(path, encoding="utf-8") as lines:
        return next(lines).strip()
