"""The surveys known by name, and how the built-in ones are put together from public filter and depth data."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans.exceptions import SurveyError
from astro_galtrans.surveys._curves import sedpy_curve, speclite_curve
from astro_galtrans.surveys._files import is_survey_file, read_survey
from astro_galtrans.surveys._survey import Band, Survey

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["available_surveys", "get_survey", "register_survey", "same_name"]

# The MegaCam filters of CFHTLS are the first set, which astro-sedpy has; speclite's MegaCam curves are the later ones.
_CFHTLS_CURVES = {"u": "us_9301", "g": "gs_9401", "r": "rs_9601", "i": "is_9701", "z": "zs_9801"}

_registered = {}


def _from_surveycodex(name, unit, zero_point, curve, description, codex_name=None, bands=None):
    """A Survey with the pixel scale, PSF, depth and sky of surveycodex, its flux in ``unit`` of ``zero_point``."""
    import surveycodex

    codex = surveycodex.get_survey(codex_name or name)
    pixel_scale = codex.pixel_scale.to(u.arcsec)
    made = []
    for band in bands or codex.available_filters:
        entry = codex.get_filter(band)
        exposure = entry.full_exposure_time.to_value(u.s)
        # surveycodex's zero point is the magnitude of one electron per second.
        gain = exposure * 10 ** (0.4 * (entry.zeropoint.value - zero_point))
        sky = exposure * 10 ** (0.4 * (entry.zeropoint.value - entry.sky_brightness.value)) * pixel_scale.value**2
        wavelength, response = curve(band)
        fwhm = entry.psf_fwhm.to(u.arcsec)
        made.append(Band(band, wavelength, response, zero_point, fwhm, np.sqrt(sky) / gain, gain))
    return Survey(name, tuple(made), pixel_scale, unit, description)


def _sdss():
    return _from_surveycodex(
        "SDSS", u.nmgy, 22.5, lambda band: speclite_curve(f"sdss2010-{band}"),
        "Sloan Digital Sky Survey imaging, corrected frames in nanomaggies; curves of Doi et al. (2010), "
        "PSF, sky and exposure from surveycodex",
    )


def _cfhtls():
    return _from_surveycodex(
        "CFHTLS", u.adu, 30.0, lambda band: sedpy_curve(f"cfht_megacam_{_CFHTLS_CURVES[band]}"),
        "CFHT Legacy Survey Wide, MegaCam stacks with zero point 30; first-generation MegaCam filter curves, "
        "PSF, sky and exposure from surveycodex",
    )


def _des():
    return _from_surveycodex(
        "DES", u.adu, 30.0, lambda band: speclite_curve(f"decamDR1-{band}"),
        "Dark Energy Survey, DECam coadds with zero point 30; curves of Abbott et al. (2018), PSF, sky and exposure "
        "from surveycodex",
    )


def _hsc():
    return _from_surveycodex(
        "HSC", u.adu, 27.0, lambda band: speclite_curve(f"hsc2017-{band}"),
        "Hyper Suprime-Cam Subaru Strategic Program, Wide coadds with zero point 27; curves of Kawanomoto et al. "
        "(2018) with the first r and i filters, PSF, sky and exposure from surveycodex",
    )


def _pan_starrs():
    return _from_surveycodex(
        "Pan-STARRS", u.nmgy, 22.5, lambda band: speclite_curve(f"panstarrs-{band}"),
        "Pan-STARRS1 3 pi survey, stacks, in nanomaggies as the stacks have no zero point in common; curves of Tonry "
        "et al. (2012), PSF, sky and exposure from surveycodex, whose w band is left out as the survey has none",
        codex_name="PanSTARRS", bands="grizy",
    )


def _euclid_vis():
    return _from_surveycodex(
        "Euclid VIS", u.uJy, 23.9, lambda band: speclite_curve("Euclid-VIS"),
        "Euclid Wide Survey, VIS imager, in microjansky; curve of speclite, PSF, sky and exposure from surveycodex",
        codex_name="Euclid_VIS",
    )


_BUILT_IN = {"SDSS": _sdss, "CFHTLS": _cfhtls, "DES": _des, "HSC": _hsc, "Pan-STARRS": _pan_starrs,
             "Euclid VIS": _euclid_vis}
# Surveys that are asked for, and what of them is not to be had: nothing is made up in its place.
_NOT_BUILT_IN = {
    "KiDS": "surveycodex has no KiDS, and neither speclite nor astro-sedpy has the filter curves of OmegaCAM; with "
            "these, a description in a YAML file makes it known (register_survey)",
}


@lru_cache(maxsize=None)
def _built_in(name):
    return _BUILT_IN[name]()


@lru_cache(maxsize=64)
def _of_file(path, modified, size):
    return read_survey(path)


def same_name(one: str, other: str) -> bool:
    """Whether two names are of the same survey: case, blanks, hyphens and underscores do not count."""
    return _plain(one) == _plain(other)


def _plain(name):
    return "".join(letter for letter in name.casefold() if letter not in " -_")


def available_surveys() -> list[str]:
    """Names of the surveys that `get_survey` knows.

    Returns
    -------
    list of str
    """
    return sorted({*_BUILT_IN, *_registered})


def get_survey(name: str | PathLike | Survey) -> Survey:
    """Look up a survey by name.

    Parameters
    ----------
    name : str, path-like or Survey
        A registered name, in which case, blanks, hyphens and underscores do not count, or the path of a YAML or ASDF
        file that describes a survey (`read_survey`); a `Survey` is given back as it is.

    Returns
    -------
    Survey

    Raises
    ------
    SurveyError
        If no survey of that name is known.
    FileNotFoundError, FileFormatError
        If there is no such file, or its description is wrong.

    Examples
    --------
    >>> from astro_galtrans.surveys import get_survey
    >>> get_survey("CFHTLS").pixel_scale
    <Quantity 0.187 arcsec>
    """
    if isinstance(name, Survey):
        return name
    if isinstance(name, str):
        for key in available_surveys():
            if same_name(key, name):
                return _registered[key] if key in _registered else _built_in(key)
    if is_survey_file(name):
        path = Path(name)
        # the same object for the same file, as for a name
        status = path.stat() if path.is_file() else None
        return read_survey(path) if status is None else _of_file(path.resolve(), status.st_mtime_ns, status.st_size)
    if not isinstance(name, str):
        raise TypeError(f"name must be a str or a Survey, got {type(name).__name__}")
    for key, reason in _NOT_BUILT_IN.items():
        if same_name(key, name):
            raise SurveyError(f"{key} is not built in: {reason}")
    raise SurveyError(f"no survey is named {name!r}; known are {', '.join(available_surveys())}")


def register_survey(survey: Survey | str | PathLike, *, overwrite: bool = False) -> Survey:
    """Make a survey known to `get_survey` for the rest of the session.

    Parameters
    ----------
    survey : Survey or path-like
        The survey, or a YAML or ASDF file that describes one (`read_survey`).
    overwrite : bool, optional
        Whether a survey of the same name, in any case, may be replaced.

    Returns
    -------
    Survey
        The survey.
    """
    if is_survey_file(survey):
        survey = read_survey(survey)  # type: ignore[arg-type]
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a Survey or a path that ends in .yaml, .yml or .asdf, got {survey!r}")
    taken = [key for key in available_surveys() if same_name(key, survey.name)]
    if taken and not overwrite:
        raise SurveyError(f"a survey named {taken[0]!r} is registered already; overwrite=True replaces it")
    for key in taken:
        _registered.pop(key, None)
    _registered[taken[0] if taken and taken[0] in _BUILT_IN else survey.name] = survey
    return survey
