"""The YAML and ASDF files that hold the description of a survey, as mappings of plain values."""

import os
from pathlib import Path

from astro_galtrans._utils.io import whole_file
from astro_galtrans.exceptions import FileFormatError

__all__ = ["is_asdf", "is_survey_file", "read_tree", "write_tree"]

_YAML, _ASDF = (".yaml", ".yml"), (".asdf",)


def is_survey_file(name):
    """Return whether a text or path names a file of a survey, by its suffix."""
    return isinstance(name, (str, os.PathLike)) and Path(name).suffix.lower() in _YAML + _ASDF


def is_asdf(path):
    """Return whether a path names an ASDF file, in which curves stay arrays."""
    return Path(path).suffix.lower() in _ASDF


def read_tree(path):
    """Return the mapping in a file of a survey, or the object that an ASDF file holds in its place."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if not is_survey_file(path):
        raise FileFormatError(f"{path} must be a YAML or ASDF file, named .yaml, .yml or .asdf")
    return _asdf_tree(path) if is_asdf(path) else _yaml_tree(path)


def write_tree(tree, path, overwrite=False):
    """Write a mapping to a YAML or ASDF file, completely or not at all."""
    path = Path(path)
    if not is_survey_file(path):
        raise ValueError(f"path must end in .yaml, .yml or .asdf, got {path}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; overwrite=True replaces it")
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        (_write_asdf if is_asdf(path) else _write_yaml)(tree, file)


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


def _write_yaml(tree, file):
    import yaml

    class Dumper(yaml.SafeDumper):
        """With lists of numbers in lines rather than a line a number."""

    def sequence(dumper, values):
        numbers = all(isinstance(value, float) for value in values)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=numbers)

    Dumper.add_representer(list, sequence)
    text = yaml.dump(tree, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    file.write(text.encode("utf-8"))


def _write_asdf(tree, file):
    import asdf

    asdf.AsdfFile({"survey": tree}).write_to(file)
