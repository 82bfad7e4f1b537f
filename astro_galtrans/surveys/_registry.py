"""The registry of surveys, and the built-in ones, put together from public filter and depth data."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans.exceptions import SurveyError
from astro_galtrans.surveys._curves import coarser, sedpy_curve, speclite_curve
from astro_galtrans.surveys._description import noise_area
from astro_galtrans.surveys._files import is_survey_file
from astro_galtrans.surveys._survey import Band, Survey, read_survey

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["available_surveys", "get_survey", "register_survey", "same_name"]

# The MegaCam filters of CFHTLS are the first set, which astro-sedpy has; speclite's MegaCam curves are the later ones.
_CFHTLS_CURVES = {"u": "us_9301", "g": "gs_9401", "r": "rs_9601", "i": "is_9701", "z": "zs_9801"}

_registered = {}


def _from_surveycodex(name, unit, zero_point, curve, description, codex_name=None, bands=None, depth=None):
    """Return a Survey with the numbers of surveycodex, its flux in ``unit`` of AB magnitude ``zero_point``.

    The noise of a pixel is that of the photons of the sky in the full exposure, or follows from ``depth``, the
    published AB magnitudes of a point source at 5 sigma, where the sky alone gives images that are too deep.
    """
    import surveycodex

    codex = surveycodex.get_survey(codex_name or name)
    pixel_scale = codex.pixel_scale.to(u.arcsec)
    built = []
    for index, band in enumerate(bands or codex.available_filters):
        entry = codex.get_filter(band)
        exposure = entry.full_exposure_time.to_value(u.s)
        # surveycodex's zero point is the magnitude of one electron per second.
        gain = exposure * 10 ** (0.4 * (entry.zeropoint.value - zero_point))
        wavelength, response = curve(band)
        fwhm = entry.psf_fwhm.to(u.arcsec)
        if depth is None:
            sky = exposure * 10 ** (0.4 * (entry.zeropoint.value - entry.sky_brightness.value)) * pixel_scale.value**2
            noise = np.sqrt(sky) / gain
        else:
            noise = 10 ** (0.4 * (zero_point - depth[index])) / 5 / np.sqrt(noise_area(fwhm, pixel_scale))
        built.append(Band(band, wavelength, response, zero_point, fwhm, noise, gain))
    return Survey(name, tuple(built), pixel_scale, unit, description)


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
        "et al. (2012), PSF and exposure from surveycodex, whose w band is not one of this survey, depth of Chambers "
        "et al. (2016, arXiv:1612.05560)",
        codex_name="PanSTARRS", bands="grizy", depth=(23.3, 23.2, 23.1, 22.3, 21.4),
    )


def _euclid_vis():
    return _from_surveycodex(
        "Euclid VIS", u.uJy, 23.9, lambda band: speclite_curve("Euclid-VIS"),
        "Euclid Wide Survey, VIS imager, in microjansky; curve of speclite, PSF and exposure from surveycodex, depth "
        "of Scaramella et al. (2022, A&A 662, A112)",
        codex_name="Euclid_VIS", depth=(26.2,),
    )


def _euclid_nisp():
    return _from_surveycodex(
        "Euclid NISP", u.uJy, 23.9, lambda band: coarser(*speclite_curve(f"Euclid-{band[0]}")),
        "Euclid Wide Survey, NISP photometer, in microjansky on its own pixels (MER mosaics have those of VIS); curves "
        "of Schirmer et al. (2022) from speclite, PSF and exposure from surveycodex, depth of Scaramella et al. (2022, "
        "A&A 662, A112)",
        codex_name="Euclid_NISP", depth=(24.5, 24.5, 24.5),
    )


def _roman_wfi():
    return _from_surveycodex(
        "Roman WFI", u.uJy, 23.9, lambda band: sedpy_curve(f"roman_wfi_{band.lower()}"),
        "Roman High Latitude Wide Area Survey, medium tier, in microjansky; curves of astro-sedpy, PSF and exposure "
        "from surveycodex, depth of the Roman Observations Time Allocation Committee (2025, arXiv:2505.10574)",
        codex_name="Roman_WFI", depth=(26.5, 26.4, 26.4),
    )


def _lsst():
    return _from_surveycodex(
        "LSST", u.nJy, 31.4, lambda band: coarser(*speclite_curve(f"lsst2023-{band}")),
        "Legacy Survey of Space and Time of the Vera C. Rubin Observatory after ten years, in nanojansky; curves of "
        "2023 from speclite, PSF and exposure from surveycodex, depth of Ivezic et al. (2019, ApJ 873, 111)",
        depth=(26.1, 27.4, 27.5, 26.8, 26.1, 24.9),
    )


def _described(name):
    """Return a function that reads the description of a survey that comes with the package."""
    return lambda: read_survey(Path(__file__).parent / "descriptions" / name)


_BUILT_IN = {"SDSS": _sdss, "CFHTLS": _cfhtls, "DES": _des, "HSC": _hsc, "Pan-STARRS": _pan_starrs,
             "Euclid VIS": _euclid_vis, "Euclid NISP": _euclid_nisp, "Roman WFI": _roman_wfi, "LSST": _lsst,
             "DECaLS": _described("decals.yaml"), "KiDS": _described("kids.yaml"),
             "SkyMapper": _described("skymapper.yaml"), "UNIONS": _described("unions.yaml")}
# Other names in use, spelled as `_plain` gives them.
_ALIASES = {
    "SDSS": ("sloan", "sloandigitalskysurvey"),
    "CFHTLS": ("cfhtlegacysurvey", "cfhtlswide"),
    "DES": ("darkenergysurvey",),
    "HSC": ("hscssp", "hypersuprimecam", "subaruhsc"),
    "Pan-STARRS": ("ps1", "panstarrs1", "ps13pi", "panstarrs13pi"),
    "Euclid VIS": ("vis",),
    "Euclid NISP": ("nisp",),
    "Roman WFI": ("roman", "wfirst", "romanhlwas"),
    "LSST": ("rubin", "rubinlsst", "lsstcam", "verarubin", "verac.rubin", "rubinobservatory"),
    "DECaLS": ("decam", "decamlegacysurvey", "legacysurvey", "legacysurveys", "desilegacysurveys",
               "desilegacyimagingsurveys", "lsdr9", "lsdr10"),
    "KiDS": ("kilodegreesurvey",),
    "SkyMapper": ("smss", "skymappersouthernsurvey", "skymappersouthernskysurvey"),
    "UNIONS": ("cfis", "unionscfis", "cfisunions", "canadafranceimagingsurvey"),
}
_NAME_OF_ALIAS = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}


@lru_cache(maxsize=None)
def _built_in(name):
    return _BUILT_IN[name]()


@lru_cache(maxsize=64)
def _of_file(path, modified, size):
    return read_survey(path)


def same_name(one: str, other: str) -> bool:
    """Return whether two names are of the same survey.

    Case, spaces, hyphens, underscores and slashes are ignored, and other names of the built-in surveys are known, as
    Rubin for LSST.

    Parameters
    ----------
    one, other : str
        The names.

    Returns
    -------
    bool
    """
    return _canonical(one) == _canonical(other)


def _plain(name):
    return "".join(letter for letter in name.casefold() if letter not in " -_/")


def _canonical(name):
    """Return a plain name, that of the survey where it is another name for it and not one that was registered."""
    plain = _plain(name)
    if any(_plain(known) == plain for known in _registered):
        return plain
    return _plain(_NAME_OF_ALIAS.get(plain, plain))


def available_surveys() -> list[str]:
    """Return the names of the surveys that `get_survey` knows.

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
        A registered name, or the path of a YAML or ASDF file that describes a survey (`read_survey`); a `Survey` is
        returned as it is. Case, spaces, hyphens, underscores and slashes in a name are ignored, and other names of the
        built-in surveys are known: "Rubin" is LSST, "Legacy Surveys" DECaLS, "CFIS" UNIONS.

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
    >>> get_survey("legacy-survey").name
    'DECaLS'
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
    similar = [key for key in available_surveys() if _plain(key).startswith(_plain(name)) and _plain(name)]
    if similar:
        raise SurveyError(f"name {name!r} is the beginning of {' and '.join(similar)}: give the whole name")
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
    taken = [key for key in available_surveys() if _plain(key) == _plain(survey.name)]
    if taken and not overwrite:
        raise SurveyError(f"a survey named {taken[0]!r} is registered already; overwrite=True replaces it")
    for key in taken:
        _registered.pop(key, None)
    _registered[taken[0] if taken and taken[0] in _BUILT_IN else survey.name] = survey
    return survey
