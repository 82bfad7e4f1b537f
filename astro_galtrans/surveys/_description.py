"""Descriptions of surveys as mappings of plain values, in YAML and ASDF files."""

import os
from collections import UserList
from collections.abc import Mapping
from pathlib import Path

import astropy.units as u
import numpy as np

from astro_galtrans._utils.bounds import check_yaml, checked_asdf
from astro_galtrans._utils.io import check_new, whole_file
from astro_galtrans._utils.seal import write_seal
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.surveys._curves import curve_of_file, sedpy_curve, speclite_curve, top_hat

__all__ = ["KEYWORDS", "aperture_area", "description_of", "is_survey_file", "noise_area", "parsed", "read_tree",
           "write_tree"]

# Possible keywords in the header of an image: AB magnitude of one unit, counts of magnitude 0, electrons per unit.
KEYWORDS = ("zero_point", "flux_zero_point", "gain")

_YAML, _ASDF = (".yaml", ".yml"), ".asdf"
_REQUIRED = ("name", "pixel_scale", "unit", "bands")
_SURVEY_KEYS = (*_REQUIRED, "description", "zero_point", "psf_fwhm", "gain", "depth_sigma", "depth_aperture",
                "keywords")
_REQUIRED_OF_BAND = ("name", "curve")
_BAND_KEYS = (*_REQUIRED_OF_BAND, "zero_point", "psf_fwhm", "sky_noise", "depth", "gain")
_SHARED = ("zero_point", "psf_fwhm", "gain")  # of a band or, for all bands, of the survey
_CURVE_KEYS = {"file": ("file", "unit", "response"), "speclite": ("speclite",), "sedpy": ("sedpy",),
               "top_hat": ("top_hat",), "wavelength": ("wavelength", "response")}
_MEANING = {
    "name": "text", "pixel_scale": "an angle, as 0.2 arcsec", "unit": "unit of the images, as adu",
    "bands": "a list with an entry for each band", "curve": "a file, or {speclite: name}",
    "zero_point": "AB magnitude of one unit, here or for the survey",
    "psf_fwhm": "an angle, as 0.8 arcsec, here or for the survey", "gain": "electrons per unit, here or for the survey",
    "sky_noise or depth": "noise of a pixel in the unit, or AB magnitude of a point source at 5 sigma",
}


def is_survey_file(name):
    """Return whether a text or path is the name of a survey file, by its suffix."""
    return isinstance(name, (str, os.PathLike)) and Path(name).suffix.lower() in (*_YAML, _ASDF)


def read_tree(path):
    """Return the mapping in a survey file, or the object that an ASDF file has in its place."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if not is_survey_file(path):
        raise FileFormatError(f"{path} must be a YAML or ASDF file, named .yaml, .yml or .asdf")
    return _asdf_tree(path) if path.suffix.lower() == _ASDF else _yaml_tree(path)


def write_tree(survey, path, overwrite=False):
    """Write the description of a survey to a YAML or ASDF file, completely or not at all."""
    path = Path(path)
    if not is_survey_file(path):
        raise ValueError(f"path must end in .yaml, .yml or .asdf, got {path}")
    check_new(path, overwrite)
    with whole_file(path) as temporary:
        if path.suffix.lower() == _ASDF:
            import asdf

            asdf.AsdfFile({"survey": description_of(survey, arrays=True)}).write_to(temporary)
            write_seal(temporary)
        else:
            temporary.write_text(_yaml_text(description_of(survey)), encoding="utf-8")


def _yaml_tree(path):
    import yaml

    class Loader(yaml.SafeLoader):
        """Loader of plain YAML in which a duplicate key is an error."""

    def mapping(loader, node):
        keys = [loader.construct_object(key) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise FileFormatError(f"{path}: {', '.join(twice)} must be given once, the mapping from line "
                                  f"{node.start_mark.line + 1} on has it twice")
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        text = path.read_text(encoding="utf-8")
        check_yaml(text, path)
        tree = yaml.load(text, Loader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    return tree["survey"] if isinstance(tree, dict) and set(tree) == {"survey"} else tree


def _asdf_tree(path):
    import asdf

    try:
        with open(path, "rb") as stream:
            checked_asdf(stream, path)
            with asdf.open(stream, lazy_load=False, memmap=False, validate_checksums=True) as file:
                tree = {key: value for key, value in file.tree.items() if key not in ("asdf_library", "history")}
                return _plain(tree.get("survey", tree))
    except FileFormatError:
        raise
    # A damaged file makes ASDF, YAML and NumPy raise errors of almost any kind.
    except Exception as error:
        raise FileFormatError(f"{path} is not an ASDF file: {' '.join(str(error).split())}") from error


def _plain(value):
    """Return the mappings and lists of ASDF as those of Python."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, UserList)):
        return [_plain(item) for item in value]
    return value


def _yaml_text(tree):
    import yaml

    class Dumper(yaml.SafeDumper):
        """Dumper with several numbers of a list in a line."""

    def sequence(dumper, values):
        numbers = all(isinstance(value, float) for value in values)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=numbers)

    Dumper.add_representer(list, sequence)
    return yaml.dump(tree, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def description_of(survey, arrays=False):
    """Return the mapping that describes a survey completely, with its curves as lists of numbers, or as arrays."""
    bands = []
    for band in survey:
        wavelength, response = band.wavelength.value, band.response
        if not arrays:
            wavelength, response = wavelength.tolist(), response.tolist()
        bands.append({
            "name": band.name, "zero_point": band.zero_point, "psf_fwhm": _written(band.psf_fwhm),
            "sky_noise": band.sky_noise, "gain": band.gain, "curve": {"wavelength": wavelength, "response": response}})
    tree = {"name": survey.name, "description": survey.description, "pixel_scale": _written(survey.pixel_scale),
            "unit": survey.unit.to_string(), "keywords": dict(survey.keywords), "bands": bands}
    return {key: value for key, value in tree.items() if value not in ("", {})}


def _written(quantity):
    return f"{float(quantity.value)!r} {quantity.unit.to_string()}"


def parsed(tree, folder):
    """Return the arguments of the survey that a mapping describes, with a dict of arguments for each band.

    ``folder`` is that of the files of curves. A wrong description raises a ValueError that names the key, or all
    required keys that are missing.
    """
    _check_keys("the description", tree, _SURVEY_KEYS)
    bands = tree.get("bands", [{}])
    if not isinstance(bands, (list, tuple)) or not bands:
        raise ValueError(f"bands must be a list with an entry for each band, got {bands!r}")
    names = [_check_band(index, band) for index, band in enumerate(bands)]
    unit = _unit("unit", tree["unit"]) if "unit" in tree else None
    shared = {**_zero_point_of(unit), **{key: tree[key] for key in _SHARED if key in tree}}
    missing = [key for key in _REQUIRED if key not in tree]
    if "bands" in tree:
        missing += [f"{name}: {key}" for name, band in zip(names, bands) for key in _missing({**shared, **band}, band)]
    if missing:
        raise ValueError("the description lacks required keys: " + "; ".join(
            f"{key} ({_MEANING[key.rpartition(': ')[2]]})" for key in missing))
    pixel_scale = _quantity("pixel_scale", tree["pixel_scale"], u.arcsec)
    sigma = _number("depth_sigma", tree.get("depth_sigma", 5), positive=True)
    aperture = tree.get("depth_aperture")
    aperture = None if aperture is None else _quantity("depth_aperture", aperture, u.arcsec)
    keywords = tree.get("keywords") or {}
    if not isinstance(keywords, dict):
        raise ValueError(f"keywords must be a mapping of {', '.join(KEYWORDS)} to FITS keywords, got {keywords!r}")

    def noise(zero_point, depth, psf_fwhm):
        area = noise_area(psf_fwhm, pixel_scale) if aperture is None else aperture_area(aperture, pixel_scale)
        return 10 ** (0.4 * (zero_point - depth)) / sigma / np.sqrt(area)

    return {"name": str(tree["name"]), "pixel_scale": pixel_scale, "unit": unit,
            "description": str(tree.get("description") or ""),
            "keywords": {str(key): value for key, value in keywords.items()},
            "bands": [_band(name, {**shared, **band}, noise, Path(folder)) for name, band in zip(names, bands)]}


def noise_area(psf_fwhm, pixel_scale):
    """Return the number of pixels whose noise is in the flux of a point source, for a fit of a Gaussian PSF.

    It is :math:`4 \\pi \\sigma^2` (King 1983, PASP 95, 163), with the width of the PSF in pixels.
    """
    width = (psf_fwhm / pixel_scale).to_value(u.dimensionless_unscaled) / np.sqrt(8 * np.log(2))
    return 4 * np.pi * width**2


def aperture_area(diameter, pixel_scale):
    """Return the number of pixels in a circular aperture."""
    return np.pi / 4 * (diameter / pixel_scale).to_value(u.dimensionless_unscaled) ** 2


def _check_keys(where, tree, known):
    if not isinstance(tree, dict):
        raise ValueError(f"{where} must be a mapping with keys of {', '.join(known)}, got {tree!r}")
    unknown = [str(key) for key in tree if key not in known]
    if unknown:
        raise ValueError(f"{where} must have no key {', '.join(unknown)}; known are {', '.join(known)}")


def _check_band(index, tree):
    """Return how messages name a band."""
    _check_keys(f"bands[{index}]", tree, _BAND_KEYS)
    if "name" not in tree:
        return f"bands[{index}]"
    if not isinstance(tree["name"], str):
        raise ValueError(f"bands[{index}]: name must be text, got {tree['name']!r}; put it in quotes")
    return f"bands[{index}] ({tree['name']})"


def _missing(merged, own):
    """Return the required keys that a band lacks, of its own and merged with those of the survey."""
    missing = [key for key in _REQUIRED_OF_BAND if key not in own] + [key for key in _SHARED if key not in merged]
    return missing if "sky_noise" in own or "depth" in own else [*missing, "sky_noise or depth"]


def _band(where, tree, noise, folder):
    values = {"name": tree["name"], "zero_point": _number(f"{where}: zero_point", tree["zero_point"]),
              "psf_fwhm": _quantity(f"{where}: psf_fwhm", tree["psf_fwhm"], u.arcsec),
              "gain": _number(f"{where}: gain", tree["gain"], positive=True)}
    if "sky_noise" in tree and "depth" in tree:
        raise ValueError(f"{where}: either sky_noise or depth must be given, got both")
    if "depth" in tree:
        depth = _number(f"{where}: depth", tree["depth"])
        values["sky_noise"] = noise(values["zero_point"], depth, values["psf_fwhm"])
    else:
        values["sky_noise"] = _number(f"{where}: sky_noise", tree["sky_noise"], positive=True)
    wavelength, response = _curve(f"{where}: curve", tree["curve"], folder)
    return {"wavelength": wavelength, "response": response, **values}


def _curve(where, tree, folder):
    tree = {"file": tree} if isinstance(tree, str) else tree
    kinds = [kind for kind in _CURVE_KEYS if isinstance(tree, dict) and kind in tree]
    if len(kinds) != 1:
        raise ValueError(f"{where} must have one of {', '.join(_CURVE_KEYS)}, got {tree!r}")
    kind, = kinds
    _check_keys(where, tree, _CURVE_KEYS[kind])
    try:
        if kind == "file":
            unit = _unit("unit", tree.get("unit", "AA"))
            return curve_of_file(_inside(folder, str(tree["file"])), unit, tree.get("response", "photon"))
        if kind == "speclite":
            return speclite_curve(str(tree["speclite"]))
        if kind == "sedpy":
            return sedpy_curve(str(tree["sedpy"]))
        if kind == "top_hat":
            edges = tree["top_hat"]
            if not isinstance(edges, (list, tuple)) or len(edges) != 2:
                raise ValueError(f"top_hat must be two wavelengths, got {edges!r}")
            return top_hat(*(_quantity("top_hat", edge, u.AA) for edge in edges))
        if "response" not in tree:
            raise ValueError("response must be given with wavelength")
        wavelength, response = (np.array(tree[key], dtype=float) for key in ("wavelength", "response"))
        return wavelength * u.AA, response
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{where}: {error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error


def _inside(folder, name):
    """Return the path of a file that must be in a folder, or below it."""
    path = folder / name
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
        raise ValueError(f"file must be in the folder of the description, {folder}, got {name!r}")
    return path


def _zero_point_of(unit):
    """Return the zero point of a unit that is a flux by itself; an empty dict for counts."""
    if unit is None:
        return {}
    if unit.is_equivalent(u.mgy):
        return {"zero_point": float(-2.5 * np.log10(unit.to(u.mgy)))}
    return {"zero_point": float((1 * unit).to_value(u.ABmag))} if unit.is_equivalent(u.Jy) else {}


def _unit(name, value):
    try:
        return u.Unit(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be a unit of astropy, got {value!r}") from error


def _number(name, value, positive=False):
    # YAML reads 1e-3 as text and 1.0e-3 as a number.
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (ValueError, TypeError):
        number = float("nan")
    if not np.isfinite(number) or (positive and number <= 0):
        raise ValueError(f"{name} must be a finite number{' above 0' if positive else ''}, got {value!r}")
    return number


def _quantity(name, value, unit):
    try:
        if isinstance(value, (int, float)):
            raise TypeError
        return u.Quantity(value).to(unit)
    except (ValueError, TypeError, u.UnitConversionError):
        example = "0.2 arcsec" if unit is u.arcsec else "5500 AA"
        raise ValueError(f"{name} must be a number with its unit, as {example}, got {value!r}") from None
