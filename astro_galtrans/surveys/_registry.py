"""Registry of surveys, with the built-in ones from public filter and depth data."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.validation import flag, text
from astro_galtrans.exceptions import SurveyError
from astro_galtrans.surveys._curves import coarser, sedpy_curve, speclite_curve
from astro_galtrans.surveys._description import is_survey_file, noise_area
from astro_galtrans.surveys._survey import Band, Survey

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

__all__ = ["available_surveys", "get_survey", "register_survey", "same_name"]

# The MegaCam filters of CFHTLS are the first set, from astro-sedpy; the MegaCam curves of speclite are the later ones.
_CFHTLS_CURVES = {"u": "us_9301", "g": "gs_9401", "r": "rs_9601", "i": "is_9701", "z": "zs_9801"}

_registered = {}


class _Codex(NamedTuple):
    """A survey with the numbers of surveycodex, its flux in ``unit`` of AB magnitude ``zero_point``.

    The noise of a pixel is that of the photons of the sky in the full exposure, or follows from ``depth``, the
    published AB magnitudes of a point source at 5 sigma, where the sky alone gives images that are too deep.
    """

    unit: u.UnitBase
    zero_point: float
    curve: Callable[[str], tuple[u.Quantity, np.ndarray]]
    description: str
    codex_name: str | None = None
    bands: str | None = None
    depth: tuple[float, ...] | None = None

    def survey(self, name):
        """Return the survey under a name."""
        import surveycodex

        codex = surveycodex.get_survey(self.codex_name or name)
        pixel_scale = codex.pixel_scale.to(u.arcsec)
        bands = []
        for index, band in enumerate(self.bands or codex.available_filters):
            entry = codex.get_filter(band)
            exposure = entry.full_exposure_time.to_value(u.s)
            # The zero point of surveycodex is the magnitude of one electron per second.
            gain = exposure * 10 ** (0.4 * (entry.zeropoint.value - self.zero_point))
            fwhm = entry.psf_fwhm.to(u.arcsec)
            if self.depth is None:
                per_second = 10 ** (0.4 * (entry.zeropoint.value - entry.sky_brightness.value))
                noise = np.sqrt(exposure * per_second * pixel_scale.value**2) / gain
            else:
                flux = 10 ** (0.4 * (self.zero_point - self.depth[index]))
                noise = flux / 5 / np.sqrt(noise_area(fwhm, pixel_scale))
            bands.append(Band(band, *self.curve(band), self.zero_point, fwhm, noise, gain))
        return Survey(name, tuple(bands), pixel_scale, self.unit, self.description)


_CODEX = {
    "SDSS": _Codex(
        u.nmgy, 22.5, lambda band: speclite_curve(f"sdss2010-{band}"),
        "Sloan Digital Sky Survey imaging, corrected frames in nanomaggies; curves of Doi et al. (2010), "
        "PSF, sky and exposure from surveycodex"),
    "CFHTLS": _Codex(
        u.adu, 30.0, lambda band: sedpy_curve(f"cfht_megacam_{_CFHTLS_CURVES[band]}"),
        "CFHT Legacy Survey Wide, MegaCam stacks with zero point 30; first-generation MegaCam filter curves, "
        "PSF, sky and exposure from surveycodex"),
    "DES": _Codex(
        u.adu, 30.0, lambda band: speclite_curve(f"decamDR1-{band}"),
        "Dark Energy Survey, DECam coadds with zero point 30; curves of Abbott et al. (2018), PSF, sky and exposure "
        "from surveycodex"),
    "HSC": _Codex(
        u.adu, 27.0, lambda band: speclite_curve(f"hsc2017-{band}"),
        "Hyper Suprime-Cam Subaru Strategic Program, Wide coadds with zero point 27; curves of Kawanomoto et al. "
        "(2018) with the first r and i filters, PSF, sky and exposure from surveycodex"),
    "Pan-STARRS": _Codex(
        u.nmgy, 22.5, lambda band: speclite_curve(f"panstarrs-{band}"),
        "Pan-STARRS1 3 pi survey, stacks, in nanomaggies as the stacks have no zero point in common; curves of Tonry "
        "et al. (2012), PSF and exposure from surveycodex, whose w band is not one of this survey, depth of Chambers "
        "et al. (2016, arXiv:1612.05560)",
        "PanSTARRS", "grizy", (23.3, 23.2, 23.1, 22.3, 21.4)),
    "Euclid VIS": _Codex(
        u.uJy, 23.9, lambda band: speclite_curve("Euclid-VIS"),
        "Euclid Wide Survey, VIS imager, in microjansky; curve of speclite, PSF and exposure from surveycodex, depth "
        "of Scaramella et al. (2022, A&A 662, A112)",
        "Euclid_VIS", depth=(26.2,)),
    "Euclid NISP": _Codex(
        u.uJy, 23.9, lambda band: coarser(*speclite_curve(f"Euclid-{band[0]}")),
        "Euclid Wide Survey, NISP photometer, in microjansky on its own pixels (MER mosaics have those of VIS); curves "
        "of Schirmer et al. (2022) from speclite, PSF and exposure from surveycodex, depth of Scaramella et al. (2022, "
        "A&A 662, A112)",
        "Euclid_NISP", depth=(24.5, 24.5, 24.5)),
    "Roman WFI": _Codex(
        u.uJy, 23.9, lambda band: sedpy_curve(f"roman_wfi_{band.lower()}"),
        "Roman High Latitude Wide Area Survey, medium tier, in microjansky; curves of astro-sedpy, PSF and exposure "
        "from surveycodex, depth of the Roman Observations Time Allocation Committee (2025, arXiv:2505.10574)",
        "Roman_WFI", depth=(26.5, 26.4, 26.4)),
    "LSST": _Codex(
        u.nJy, 31.4, lambda band: coarser(*speclite_curve(f"lsst2023-{band}")),
        "Legacy Survey of Space and Time of the Vera C. Rubin Observatory after ten years, in nanojansky; curves of "
        "2023 from speclite, PSF and exposure from surveycodex, depth of Ivezic et al. (2019, ApJ 873, 111)",
        depth=(26.1, 27.4, 27.5, 26.8, 26.1, 24.9)),
}
# Surveys whose description comes with the package.
_DESCRIBED = {"DECaLS": "decals.yaml", "KiDS": "kids.yaml", "SkyMapper": "skymapper.yaml", "UNIONS": "unions.yaml"}
_BUILT_IN = (*_CODEX, *_DESCRIBED)
# Other names in use, in the spelling of `_plain`.
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
    if name in _CODEX:
        return _CODEX[name].survey(name)
    return Survey.read(Path(__file__).parent / "descriptions" / _DESCRIBED[name])


@lru_cache(maxsize=64)
def _of_file(path, modified, size):
    """Return the survey of a file, as long as the file does not change."""
    return Survey.read(path)


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
    return _canonical(text(one, "one")) == _canonical(text(other, "other"))


def _plain(name):
    return "".join(letter for letter in name.casefold() if letter not in " -_/")


def _canonical(name):
    """Return a plain name; that of the survey for another name of it, unless that name was registered."""
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
    """Return a survey by its name or the path of its file.

    Parameters
    ----------
    name : str, path-like or Survey
        A registered name, or the path of a YAML or ASDF file that describes a survey (`Survey.read`); a `Survey` is
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
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        # The same object for the same file, as for a name.
        status = path.stat()
        return _of_file(path.resolve(), status.st_mtime_ns, status.st_size)
    if not isinstance(name, str):
        raise TypeError(f"name must be a str or a Survey, got {type(name).__name__}")
    similar = [key for key in available_surveys() if _plain(key).startswith(_plain(name)) and _plain(name)]
    if similar:
        raise SurveyError(f"no survey is named {name!r}; did you mean {' or '.join(map(repr, similar))}?")
    raise SurveyError(f"no survey is named {name!r}; known are {', '.join(available_surveys())}")


def register_survey(survey: Survey | str | PathLike, *, overwrite: bool = False) -> Survey:
    """Make a survey known to `get_survey` for the rest of the session.

    Parameters
    ----------
    survey : Survey or path-like
        The survey, or a YAML or ASDF file that describes one (`Survey.read`).
    overwrite : bool, optional
        Whether a survey of the same name, in any case, may be replaced.

    Returns
    -------
    Survey
        The survey.
    """
    if is_survey_file(survey):
        survey = Survey.read(survey)  # type: ignore[arg-type]
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a Survey or a path that ends in .yaml, .yml or .asdf, got {survey!r}")
    flag(overwrite, "overwrite")
    taken = [key for key in available_surveys() if _plain(key) == _plain(survey.name)]
    if taken and not overwrite:
        raise SurveyError(f"a survey named {taken[0]!r} is registered already; overwrite=True replaces it")
    for key in taken:
        _registered.pop(key, None)
    _registered[taken[0] if taken and taken[0] in _BUILT_IN else survey.name] = survey
    return survey
