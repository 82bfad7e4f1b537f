"""A survey as a mapping of plain values, the form in which people write it down, and back."""

from pathlib import Path

import astropy.units as u
import numpy as np

from astro_galtrans.surveys._curves import curve_of_file, sedpy_curve, speclite_curve, top_hat

__all__ = ["KEYWORDS", "aperture_area", "description_of", "noise_area", "parsed"]

# What the header of an image may say about it: AB magnitude of one unit, counts of magnitude 0, electrons per unit.
KEYWORDS = ("zero_point", "flux_zero_point", "gain")

_SURVEY_KEYS = ("name", "description", "pixel_scale", "unit", "zero_point", "psf_fwhm", "gain", "depth_sigma",
                "depth_aperture", "keywords", "bands")
_BAND_KEYS = ("name", "curve", "zero_point", "psf_fwhm", "sky_noise", "depth", "gain")
# What a band may leave to its survey.
_SHARED = ("zero_point", "psf_fwhm", "gain")
_CURVE_KEYS = {"file": ("file", "unit", "response"), "speclite": ("speclite",), "sedpy": ("sedpy",),
               "top_hat": ("top_hat",), "wavelength": ("wavelength", "response")}


def parsed(tree, folder="."):
    """Return the arguments of a survey that a mapping describes, with a dict of arguments for each band.

    Parameters
    ----------
    tree : dict
        The description; see "Add a survey" in the documentation.
    folder : path-like, optional
        Where the files of its curves are.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If the description is wrong. The message names the key.
    """
    _check_keys("the description", tree, _SURVEY_KEYS, ("name", "pixel_scale", "unit", "bands"))
    bands = tree["bands"]
    if not isinstance(bands, (list, tuple)) or not bands:
        raise ValueError(f"bands must be a list with an entry for each band, got {bands!r}")
    unit = _named("unit", u.Unit, tree["unit"])
    pixel_scale = _quantity("pixel_scale", tree["pixel_scale"], u.arcsec)
    shared = {key: tree[key] for key in _SHARED if key in tree}
    if "zero_point" not in shared:
        shared.update(_zero_point_of(unit))
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
            "bands": [_band(f"bands[{index}]", band, shared, noise, Path(folder)) for index, band in enumerate(bands)]}


def noise_area(psf_fwhm, pixel_scale):
    """Return the number of pixels whose noise is in the flux of a point source, for a fit of a Gaussian PSF.

    It is :math:`4 \\pi \\sigma^2` (King 1983, PASP 95, 163), with the width of the PSF in pixels.
    """
    width = (psf_fwhm / pixel_scale).to_value(u.dimensionless_unscaled) / np.sqrt(8 * np.log(2))
    return 4 * np.pi * width**2


def aperture_area(diameter, pixel_scale):
    """Return the number of pixels in a circular aperture."""
    return np.pi / 4 * (diameter / pixel_scale).to_value(u.dimensionless_unscaled) ** 2


def description_of(survey, arrays=False):
    """Return the mapping that describes a survey in full, with its curves in it.

    Parameters
    ----------
    survey : Survey
        The survey.
    arrays : bool, optional
        Whether curves stay arrays, or become lists of numbers.
    """
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


def _band(where, tree, shared, noise, folder):
    _check_keys(where, tree, _BAND_KEYS, ("name", "curve"))
    name = tree["name"]
    if not isinstance(name, str):
        raise ValueError(f"{where}: name must be text, got {name!r}; put it in quotes")
    where = f"{where} ({name})"
    merged = {**shared, **tree}
    for key in _SHARED:
        if key not in merged:
            raise ValueError(f"{where}: {key} is missing, here and for the survey")
    values = {"name": name, "zero_point": _number(f"{where}: zero_point", merged["zero_point"]),
              "psf_fwhm": _quantity(f"{where}: psf_fwhm", merged["psf_fwhm"], u.arcsec),
              "gain": _number(f"{where}: gain", merged["gain"], positive=True)}
    if ("sky_noise" in tree) == ("depth" in tree):
        raise ValueError(f"{where}: either sky_noise or depth must be given, " + (
            "not both" if "depth" in tree else "neither is"))
    if "depth" in tree:
        depth = _number(f"{where}: depth", tree["depth"])
        values["sky_noise"] = noise(values["zero_point"], depth, values["psf_fwhm"])
    else:
        values["sky_noise"] = _number(f"{where}: sky_noise", tree["sky_noise"], positive=True)
    wavelength, response = _curve(f"{where}: curve", tree["curve"], folder)
    return {"wavelength": wavelength, "response": response, **values}


def _curve(where, tree, folder):
    if isinstance(tree, str):
        tree = {"file": tree}
    kinds = [kind for kind in _CURVE_KEYS if isinstance(tree, dict) and kind in tree]
    if len(kinds) != 1:
        raise ValueError(f"{where} must have one of {', '.join(_CURVE_KEYS)}, got {tree!r}")
    kind = kinds[0]
    _check_keys(where, tree, _CURVE_KEYS[kind], _CURVE_KEYS[kind] if kind == "wavelength" else ())
    try:
        if kind == "file":
            path, unit = folder / str(tree["file"]), u.Unit(tree.get("unit", "AA"))
            return curve_of_file(path, unit, tree.get("response", "photon"))
        if kind == "speclite":
            return speclite_curve(str(tree["speclite"]))
        if kind == "sedpy":
            return sedpy_curve(str(tree["sedpy"]))
        if kind == "top_hat":
            edges = tree["top_hat"]
            if not isinstance(edges, (list, tuple)) or len(edges) != 2:
                raise ValueError(f"top_hat must be two wavelengths, got {edges!r}")
            return top_hat(*(_quantity("top_hat", edge, u.AA) for edge in edges))
        wavelength, response = (np.array(tree[key], dtype=float) for key in ("wavelength", "response"))
        return wavelength * u.AA, response
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{where}: {error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error


def _zero_point_of(unit):
    """The zero point of a unit that is a flux by itself; an empty dict for counts."""
    if unit.is_equivalent(u.mgy):
        return {"zero_point": float(-2.5 * np.log10(unit.to(u.mgy)))}
    return {"zero_point": float((1 * unit).to_value(u.ABmag))} if unit.is_equivalent(u.Jy) else {}


def _check_keys(where, tree, allowed, needed):
    if not isinstance(tree, dict):
        raise ValueError(f"{where} must be a mapping with {', '.join(needed or allowed)}, got {tree!r}")
    unknown = [str(key) for key in tree if key not in allowed]
    if unknown:
        raise ValueError(f"{where} has {', '.join(unknown)}; known are {', '.join(allowed)}")
    missing = [key for key in needed if key not in tree]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")


def _named(name, kind, value):
    try:
        return kind(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be a unit that astropy knows, got {value!r}") from error


def _number(name, value, positive=False):
    # YAML takes 1e-3 for text and 1.0e-3 for a number
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
