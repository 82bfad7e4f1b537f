"""Surveys in YAML and ASDF files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.surveys._description import description_of, survey_of
from astro_galtrans.surveys._survey import Survey

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["is_survey_file", "read_survey", "write_survey"]

_YAML, _ASDF = (".yaml", ".yml"), (".asdf",)


def is_survey_file(name):
    """Whether a text or path names a file of a survey, by its ending."""
    return (isinstance(name, str) or hasattr(name, "__fspath__")) and Path(name).suffix.lower() in _YAML + _ASDF


def read_survey(path: str | PathLike) -> Survey:
    """Read the description of a survey.

    Parameters
    ----------
    path : path-like
        A YAML file (``.yaml``, ``.yml``) or an ASDF file (``.asdf``), in which the description is the whole tree or
        stands under ``survey``; an ASDF file may hold a `Survey` itself.

    Returns
    -------
    Survey
        It is not registered: `register_survey` does that, and takes such a path too.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or a filter curve that it names is not there.
    FileFormatError
        If the description is wrong. The message names the file and the key.

    Examples
    --------
    .. code-block:: python

        survey = read_survey("mysurvey.yaml")
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if not is_survey_file(path):
        raise FileFormatError(f"{path} must be a YAML or ASDF file, named .yaml, .yml or .asdf")
    tree = _asdf_tree(path) if path.suffix.lower() in _ASDF else _yaml_tree(path)
    if isinstance(tree, Survey):
        return tree
    try:
        return survey_of(tree, path.parent)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: {error}") from error
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"{path}: {error}") from error


def write_survey(survey, path, overwrite=False):
    """See `astro_galtrans.surveys.Survey.write`."""
    path = Path(path)
    if not is_survey_file(path):
        raise ValueError(f"path must end in .yaml, .yml or .asdf, got {path}")
    if path.exists() and not overwrite:
        raise OSError(f"{path} exists already; overwrite=True replaces it")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        # mkstemp lets nobody else read; an ordinary file has what the umask leaves.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with os.fdopen(handle, "wb") as file:
            (_write_asdf if path.suffix.lower() in _ASDF else _write_yaml)(survey, file)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _yaml_tree(path):
    import yaml

    class Loader(yaml.SafeLoader):
        """Of plain YAML, in which a key that comes twice is an error."""

    def mapping(loader, node):
        keys = [loader.construct_object(key) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise FileFormatError(f"{path}: {', '.join(twice)} comes twice, at line {node.start_mark.line + 1} and on")
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    return tree["survey"] if isinstance(tree, dict) and set(tree) == {"survey"} else tree


def _asdf_tree(path):
    import asdf

    try:
        with asdf.open(path, lazy_load=False, memmap=False) as file:
            tree = {key: value for key, value in file.tree.items() if key not in ("asdf_library", "history")}
            return _plain(tree.get("survey", tree))
    except (OSError, ValueError, asdf.exceptions.ValidationError) as error:
        raise FileFormatError(f"{path} is not an ASDF file: {' '.join(str(error).split())}") from error


def _plain(value):
    """Mappings and lists of ASDF's own as those of Python."""
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) or type(value).__name__ == "TaggedList":
        return [_plain(item) for item in value]
    return value


def _write_yaml(survey, file):
    import yaml

    class Dumper(yaml.SafeDumper):
        """With lists of numbers in lines rather than a line a number."""

    def sequence(dumper, values):
        numbers = all(isinstance(value, float) for value in values)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=numbers)

    Dumper.add_representer(list, sequence)
    text = yaml.dump(description_of(survey), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    file.write(text.encode("utf-8"))


def _write_asdf(survey, file):
    import asdf

    asdf.AsdfFile({"survey": description_of(survey, arrays=True)}).write_to(file)
