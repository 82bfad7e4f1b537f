"""Write objects to ASDF files and read them back, also the translators that come with the package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TYPE_CHECKING

import asdf

from astro_galtrans._utils.bounds import checked_asdf
from astro_galtrans._utils.io import check_new, whole_file
from astro_galtrans._utils.seal import write_seal
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.storage._converters import KEYS, TAG_BASE, TAGS, class_path
from astro_galtrans.storage._plugins import use_needed_plugins

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["load", "open_tree", "save", "shipped_translators", "write_tree"]

_SHIPPED = Path(__file__).resolve().parent.parent / "data"


def save(path: str | PathLike, obj: Any, overwrite: bool = False) -> None:
    """Write an object to an ASDF file.

    The file appears under its name only once it is complete.

    Parameters
    ----------
    path : str or path-like
        The file to write, in a folder that exists.
    obj : Translator, RedshiftEstimator, CatalogEstimator, RedshiftPDF, PITCalibration, BandCube, FieldPSF, SDSSPSF, \
            Survey, Band, or a dict of them
        Object to write. One object is stored under the key ``"translator"``, ``"estimator"``, ``"catalog_estimator"``,
        ``"pdf"``, ``"calibration"``, ``"cube"``, ``"field_psf"``, ``"sdss_psf"``, ``"survey"`` or ``"band"``, so that
        ``asdf.open(path)["translator"]`` reads it too; the objects of a dict are stored under its own keys.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is False.
    FileNotFoundError, NotADirectoryError, PermissionError
        If the folder does not exist or cannot be written to.
    TypeError
        If the object, or something inside it, has no place in an ASDF file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astro_galtrans.storage import load, save
    >>> from astro_galtrans.surveys import get_survey
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Path(folder) / "sdss.asdf", get_survey("SDSS"))
    ...     load(Path(folder) / "sdss.asdf").band_names
    ('u', 'g', 'r', 'i', 'z')
    """
    write_tree(path, _tree_of(obj), overwrite=overwrite)


def load(path: str | PathLike) -> Any:
    """Read what `save` wrote, or a translator that comes with the package.

    Parameters
    ----------
    path : str or path-like
        An ASDF file. A str without folder and suffix, as ``"sdss-to-cfhtls"``, is also the name of a shipped
        translator, see `shipped_translators`; a file of that name in the working directory takes precedence.

    Returns
    -------
    object
        The object of this package at the top of the file's tree; a dict from key to object where there are several.
        Its arrays are in memory, writeable, and independent of the file.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        If there is no such file and no shipped translator, or it cannot be opened.
    FileFormatError
        If the file is not ASDF, truncated, altered, was written by a newer version of this package than can be
        read, or holds nothing of this package.
    """
    path = _file_of(path)
    with open_tree(path) as tree:
        found = {key: value for key, value in tree.items() if class_path(type(value)) in KEYS}
    if not found:
        raise FileFormatError(f"{path} is an ASDF file without any object of astro_galtrans at the top of its tree")
    return next(iter(found.values())) if len(found) == 1 else found


def shipped_translators() -> dict[str, str]:
    """Return the translators that come with the package.

    Returns
    -------
    dict of str to str
        Name, which `load` takes in place of a path, and a description of one line. The model card,
        ``load(name).card``, has the training data, the accuracy and the limitations.

    Examples
    --------
    >>> from astro_galtrans.storage import shipped_translators
    >>> sorted(shipped_translators())
    ['sdss-to-cfhtls']
    """
    cards = {path.stem: path.with_suffix(".rst").read_text(encoding="utf-8")
             for path in sorted(_SHIPPED.glob("*.asdf"))}
    return {name: card.partition("\n")[0].strip() for name, card in cards.items()}


def _file_of(path):
    """Return the file of a shipped translator if ``path`` is its name, else ``path``."""
    if not isinstance(path, str) or os.path.basename(path) != path or os.path.splitext(path)[1] or not path:
        return path
    # A folder of that name, which may hold the results of a translator, cannot be loaded.
    if os.path.exists(path) and not os.path.isdir(path):
        return path
    shipped = shipped_translators()
    if path in shipped:
        return _SHIPPED / f"{path}.asdf"
    if os.path.isdir(path):
        return path
    raise FileNotFoundError(f"there is no file {path!r}, and no translator of that name comes with the package; "
                            f"those that do are: {', '.join(shipped) or 'none'}")


def _tree_of(obj):
    """Return the ASDF tree of an object or of a dict of objects."""
    if isinstance(obj, Mapping) and obj and all(isinstance(key, str) for key in obj):
        for key, value in obj.items():
            if class_path(type(value)) not in KEYS:
                raise TypeError(f"obj[{key!r}] cannot be stored: it is a {type(value).__name__}")
            if key in ("asdf_library", "history"):
                raise TypeError(f"obj[{key!r}] cannot be stored: ASDF uses this key itself")
        return dict(obj)
    key = KEYS.get(class_path(type(obj)))
    if key is None:
        kinds = sorted({name.rpartition(".")[2] for name in KEYS})
        raise TypeError(f"obj must be a {', '.join(kinds)} or a dict of them with str keys, got {type(obj).__name__}")
    return {key: obj}


def write_tree(path, tree, *, overwrite=False):
    """Write an ASDF tree to a file, which appears complete or not at all."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file to write to")
    check_new(path, overwrite)
    with whole_file(path) as temporary:
        try:
            with asdf.config_context() as config:
                config.default_array_save_base = False
                asdf.AsdfFile(tree).write_to(temporary)
            write_seal(temporary)
        except asdf.exceptions.AsdfSerializationError as error:
            raise TypeError(f"{path} was not written, because ASDF cannot store part of it: {error}") from error
        except asdf.exceptions.ValidationError as error:
            raise ValueError(f"{path} was not written: {str(error).splitlines()[0]}") from error


@contextmanager
def open_tree(path):
    """Yield the tree of an ASDF file, for use inside the block; all arrays are read and their checksums verified.

    Raises
    ------
    FileFormatError
        If the file cannot be read as ASDF, or not by this version of the package.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not an ASDF file; pairs in a folder are read by PairSet.open")
    with open(path, "rb") as stream:
        with _as_format_error(path):
            tagged = checked_asdf(stream, path)
            _check_tags(path, tagged)
            with asdf.config_context() as config:
                config.warn_on_failed_conversion = False
                config.validate_on_read = True
                use_needed_plugins(config, tagged)
                opened = asdf.open(stream, lazy_load=False, memmap=False, validate_checksums=True)
        with opened:
            yield opened.tree


@contextmanager
def _as_format_error(path):
    try:
        yield
    except (FileFormatError, MemoryError, ImportError, PermissionError) as error:
        if isinstance(error, FileFormatError) and str(path) not in str(error):
            raise FileFormatError(f"{path}: {error}") from error
        raise
    except asdf.exceptions.ValidationError as error:
        raise FileFormatError(f"{path} does not follow its schema: {str(error).splitlines()[0]}") from error
    # A damaged file makes ASDF, YAML and NumPy raise errors of almost any kind.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileFormatError(f"{path} is not an ASDF file, or is truncated or damaged: {reason}") from error


def _check_tags(path, node):
    """Raise FileFormatError for a tag of a newer version of this package, where ASDF would return a bare dict."""
    tag = str(getattr(node, "_tag", None) or "")
    if tag.startswith(TAG_BASE) and tag not in TAGS:
        kind, _, version = tag.removeprefix(TAG_BASE).rpartition("-")
        known = [known.rpartition("-")[2] for known in TAGS if known.startswith(f"{TAG_BASE}{kind}-")]
        raise FileFormatError(
            f"{path} holds a {kind} of format version {version}, and this astro_galtrans "
            f"{'knows version ' + ', '.join(known) if known else 'does not know this kind'}; "
            "upgrade astro_galtrans to read it"
        )
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        _check_tags(path, child)
