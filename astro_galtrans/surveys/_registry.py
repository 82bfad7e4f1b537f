"""The surveys known by name, and how the built-in ones are put together from public filter and depth data."""

from functools import lru_cache

import astropy.units as u
import numpy as np

from astro_galtrans.exceptions import SurveyError
from astro_galtrans.surveys._survey import Band, Survey

__all__ = ["available_surveys", "get_survey", "register_survey"]

# The MegaCam filters of CFHTLS are the first set, which astro-sedpy has; speclite's MegaCam curves are the later ones.
_CFHTLS_CURVES = {"u": "us_9301", "g": "gs_9401", "r": "rs_9601", "i": "is_9701", "z": "zs_9801"}

_registered = {}


def _speclite_curve(name):
    from speclite.filters import load_filter

    curve = load_filter(name)
    return curve.wavelength * u.AA, curve.response


def _sedpy_curve(name):
    from sedpy.observate import Filter

    curve = Filter(name)
    # These tables hold the photon response times the wavelength-free throughput, relative to its maximum.
    order = np.argsort(curve.wavelength)
    wavelength, first = np.unique(curve.wavelength[order], return_index=True)
    return wavelength * u.AA, np.clip(curve.transmission[order][first], 0, None)


def _from_surveycodex(name, unit, zero_point, curve, description):
    """A Survey with the pixel scale, PSF, depth and sky of surveycodex, its flux in ``unit`` of ``zero_point``."""
    import surveycodex

    codex = surveycodex.get_survey(name)
    pixel_scale = codex.pixel_scale.to(u.arcsec)
    bands = []
    for band in codex.available_filters:
        entry = codex.get_filter(band)
        exposure = entry.full_exposure_time.to_value(u.s)
        # surveycodex's zero point is the magnitude of one electron per second.
        gain = exposure * 10 ** (0.4 * (entry.zeropoint.value - zero_point))
        sky = exposure * 10 ** (0.4 * (entry.zeropoint.value - entry.sky_brightness.value)) * pixel_scale.value**2
        wavelength, response = curve(band)
        fwhm = entry.psf_fwhm.to(u.arcsec)
        bands.append(Band(band, wavelength, response, zero_point, fwhm, np.sqrt(sky) / gain, gain))
    return Survey(name, tuple(bands), pixel_scale, unit, description)


def _sdss():
    return _from_surveycodex(
        "SDSS", u.nmgy, 22.5, lambda band: _speclite_curve(f"sdss2010-{band}"),
        "Sloan Digital Sky Survey imaging, corrected frames in nanomaggies; curves of Doi et al. (2010), "
        "PSF, sky and exposure from surveycodex",
    )


def _cfhtls():
    return _from_surveycodex(
        "CFHTLS", u.adu, 30.0, lambda band: _sedpy_curve(f"cfht_megacam_{_CFHTLS_CURVES[band]}"),
        "CFHT Legacy Survey Wide, MegaCam stacks with zero point 30; first-generation MegaCam filter curves, "
        "PSF, sky and exposure from surveycodex",
    )


_BUILT_IN = {"SDSS": _sdss, "CFHTLS": _cfhtls}


@lru_cache(maxsize=None)
def _built_in(name):
    return _BUILT_IN[name]()


def available_surveys():
    """Names of the surveys that `get_survey` knows.

    Returns
    -------
    list of str
    """
    return sorted({*_BUILT_IN, *_registered})


def get_survey(name):
    """Look up a survey by name.

    Parameters
    ----------
    name : str or Survey
        A registered name, in any case; a `Survey` is given back as it is.

    Returns
    -------
    Survey

    Raises
    ------
    SurveyError
        If no survey of that name is known.

    Examples
    --------
    >>> from astro_galtrans.surveys import get_survey
    >>> get_survey("CFHTLS").pixel_scale
    <Quantity 0.187 arcsec>
    """
    if isinstance(name, Survey):
        return name
    if not isinstance(name, str):
        raise TypeError(f"name must be a str or a Survey, got {type(name).__name__}")
    for key in available_surveys():
        if key.lower() == name.lower():
            return _registered[key] if key in _registered else _built_in(key)
    raise SurveyError(f"no survey is named {name!r}; known are {', '.join(available_surveys())}")


def register_survey(survey, *, overwrite=False):
    """Make a survey known to `get_survey` for the rest of the session.

    Parameters
    ----------
    survey : Survey
        The survey.
    overwrite : bool, optional
        Whether a survey of the same name, in any case, may be replaced.

    Returns
    -------
    Survey
        The same survey.
    """
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a Survey, got {type(survey).__name__}")
    taken = [key for key in available_surveys() if key.lower() == survey.name.lower()]
    if taken and not overwrite:
        raise SurveyError(f"a survey named {taken[0]!r} is registered already; overwrite=True replaces it")
    for key in taken:
        _registered.pop(key, None)
    _registered[taken[0] if taken and taken[0] in _BUILT_IN else survey.name] = survey
    return survey
