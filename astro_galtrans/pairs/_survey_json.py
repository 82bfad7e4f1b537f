"""A survey as JSON, so that a file of pairs needs no registry to be read."""

import astropy.units as u
import numpy as np

from astro_galtrans.exceptions import SurveyError
from astro_galtrans.surveys import Band, Survey, get_survey

__all__ = ["survey_from_json", "survey_to_json"]

_NUMBERS = ("zero_point", "sky_noise", "gain")


def survey_to_json(survey):
    """Everything a `Survey` is, as a dict of JSON types."""
    bands = [{"name": band.name, "wavelength": band.wavelength.value.tolist(), "response": band.response.tolist(),
              "psf_fwhm": band.psf_fwhm.value, **{name: getattr(band, name) for name in _NUMBERS}} for band in survey]
    return {"name": survey.name, "description": survey.description, "unit": survey.unit.to_string(),
            "pixel_scale": survey.pixel_scale.value, "keywords": dict(survey.keywords), "bands": bands}


def _same(one, other):
    return survey_to_json(one) == survey_to_json(other)


def survey_from_json(tree):
    """The `Survey` of a dict; the registered object itself where it is the same survey."""
    bands = [Band(band["name"], np.array(band["wavelength"]) * u.AA, np.array(band["response"]),
                  psf_fwhm=band["psf_fwhm"] * u.arcsec, **{name: band[name] for name in _NUMBERS})
             for band in tree["bands"]]
    survey = Survey(tree["name"], tuple(bands), tree["pixel_scale"] * u.arcsec, tree["unit"], tree["description"],
                    tree.get("keywords", {}))
    try:
        known = get_survey(survey.name).select(survey.band_names)
    except SurveyError:
        return survey
    return known if _same(known, survey) else survey
