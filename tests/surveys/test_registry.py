import astropy.units as u
import numpy as np
import pytest

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.surveys import (
    Band, Survey, _registry, available_surveys, get_survey, matching_size, register_survey, same_name,
)


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(_registry, "_registered", {})


def band(**change):
    given = {"name": "r", "wavelength": [5000.0, 6000.0, 7000.0] * u.AA, "response": [0.0, 1.0, 0.0],
             "zero_point": 25.0, "psf_fwhm": 1 * u.arcsec, "sky_noise": 0.1, "gain": 10.0}
    return Band(**{**given, **change})


def test_built_in_surveys():
    assert {"SDSS", "CFHTLS"} <= set(available_surveys())
    sdss, cfhtls = get_survey("sdss"), get_survey("CFHTLS")
    assert sdss is get_survey(sdss) and sdss is get_survey("SDSS")
    assert (sdss.unit, cfhtls.unit) == (u.Unit("nmgy"), u.adu)
    assert sdss.pixel_scale == 0.396 * u.arcsec and cfhtls.pixel_scale == 0.187 * u.arcsec
    for survey, zero_point in ((sdss, 22.5), (cfhtls, 30.0)):
        assert survey.band_names == tuple("ugriz") and all(one.zero_point == zero_point for one in survey)
        assert survey.sky_noise.shape == (5,) and len(survey) == 5
    with pytest.raises(SurveyError, match="DSS2.*SDSS"):
        get_survey("DSS2")
    with pytest.raises(TypeError, match="name"):
        get_survey(3)


# Doi et al. (2010, AJ 139, 1628), table 4 without reddening; CFHT's table of the first MegaCam filters.
@pytest.mark.parametrize(("name", "published"), [
    ("SDSS", (3551, 4686, 6166, 7480, 8932)), ("CFHTLS", (3828, 4870, 6245, 7676, 8872)),
])
def test_curves_have_the_published_pivot_wavelengths(name, published):
    for one, expected in zip(get_survey(name), published):
        wavelength = one.wavelength.value
        pivot = np.sqrt(np.trapezoid(one.response * wavelength, wavelength)
                        / np.trapezoid(one.response / wavelength, wavelength))
        assert pivot == pytest.approx(expected, rel=0.012)
        # Fukugita's mean lies below the pivot wavelength of any curve of some width.
        assert 0.98 * pivot < one.effective_wavelength.value < pivot


def test_cfhtls_has_the_first_megacam_filters():
    wavelength = get_survey("CFHTLS")["r"]
    pivot = np.sqrt(np.trapezoid(wavelength.response * wavelength.wavelength.value, wavelength.wavelength.value)
                    / np.trapezoid(wavelength.response / wavelength.wavelength.value, wavelength.wavelength.value))
    assert pivot == pytest.approx(6245, abs=5)  # the later filter has 6425


def test_select_and_index():
    sdss = get_survey("SDSS")
    assert sdss.select("ig").band_names == ("g", "i") and sdss.select("ugriz") is sdss
    assert sdss["r"] is list(sdss)[2]
    with pytest.raises(BandMismatchError, match="y"):
        sdss.select("gy")
    with pytest.raises(BandMismatchError):
        sdss.select("")
    with pytest.raises(KeyError, match="no band 'y'"):
        sdss["y"]


def test_surveys_are_frozen():
    sdss = get_survey("SDSS")
    with pytest.raises(AttributeError):
        sdss.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        sdss["r"].response[0] = 1
    response = np.array([0.0, 1.0, 0.0])
    own = band(response=response)
    response[1] = 5
    assert own.response[1] == 1


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"name": ""}, ValueError, "name"), ({"wavelength": [5000.0, 6000.0, 7000.0]}, TypeError, "wavelength"),
    ({"wavelength": [1, 2, 3] * u.s}, TypeError, "wavelength"),
    ({"wavelength": [3, 2, 1] * u.um}, ValueError, "increasing"),
    ({"response": [1.0, 1.0]}, ValueError, "shapes"), ({"response": [0.0, -1.0, 0.0]}, ValueError, "response"),
    ({"response": [0.0, 0.0, 0.0]}, ValueError, "response"), ({"psf_fwhm": 1.0}, TypeError, "psf_fwhm"),
    ({"psf_fwhm": 0 * u.arcsec}, ValueError, "psf_fwhm"), ({"sky_noise": 0}, ValueError, "sky_noise"),
    ({"gain": np.inf}, ValueError, "gain"), ({"zero_point": np.nan}, ValueError, "zero_point"),
])
def test_a_band_is_validated(change, error, message):
    with pytest.raises(error, match=message):
        band(**change)


def test_a_survey_is_validated():
    red = band(name="i", wavelength=[7000.0, 8000.0, 9000.0] * u.AA)
    assert Survey("own", [band(), red], 0.3 * u.arcsec, "nmgy").band_names == ("r", "i")
    with pytest.raises(BandMismatchError, match="order of effective wavelength"):
        Survey("own", [red, band()], 0.3 * u.arcsec, "nmgy")
    with pytest.raises(BandMismatchError, match="different names"):
        Survey("own", [band(), band()], 0.3 * u.arcsec, "nmgy")
    with pytest.raises(TypeError, match="bands"):
        Survey("own", ["r"], 0.3 * u.arcsec, "nmgy")
    with pytest.raises(ValueError, match="pixel_scale"):
        Survey("own", [band()], -0.3 * u.arcsec, "nmgy")


def test_registering(registry):
    own = Survey("Own", [band()], 0.3 * u.arcsec, "nmgy")
    assert register_survey(own) is own and get_survey("own") is own and "Own" in available_surveys()
    with pytest.raises(SurveyError, match="overwrite"):
        register_survey(Survey("OWN", [band()], 0.3 * u.arcsec, "nmgy"))
    with pytest.raises(TypeError):
        register_survey("own")
    other = Survey("SDSS", [band()], 0.3 * u.arcsec, "nmgy")
    with pytest.raises(SurveyError, match="overwrite"):
        register_survey(other)
    register_survey(other, overwrite=True)
    assert get_survey("sdss") is other and available_surveys().count("SDSS") == 1


@pytest.mark.parametrize(("size", "scales", "expected"), [
    (64, (0.396, 0.187), 136), (32, (0.396, 0.187), 68), (33, (0.396, 0.187), 71), (64, (0.2, 0.2), 64),
    (10, (0.2, 0.1), 20), (136, (0.187, 0.396), 64), (10, (0.187, 0.396), 4),
    (1, (0.187, 0.396), 1),
])
def test_matching_size(size, scales, expected):
    assert matching_size(size, *(scale * u.arcsec for scale in scales)) == expected
    with pytest.raises(ValueError, match="size"):
        matching_size(0, 1 * u.arcsec, 1 * u.arcsec)


@pytest.mark.parametrize("scales", [(0.396, 0.187), (0.396, 0.2), (0.4, 0.1), (0.2, 0.2), (0.3, 0.25)])
def test_matching_size_there_and_back(scales):
    there = [scale * u.arcsec for scale in scales]
    for size in range(4, 140):
        assert matching_size(matching_size(size, *there), *reversed(there)) == size


@pytest.mark.parametrize(("name", "bands", "unit", "scale", "zero_point", "wavelengths"), [
    ("DES", "grizY", "adu", 0.2637, 30.0, (4830, 6430, 7826, 9178, 9899)),
    ("HSC", "grizy", "adu", 0.168, 27.0, (4816, 6234, 7741, 8912, 9780)),
    ("Pan-STARRS", "grizy", "nmgy", 0.258, 22.5, (4866, 6215, 7545, 8679, 9633)),
    ("Euclid VIS", ("IE",), "uJy", 0.1, 23.9, (7100,)),
])
def test_surveys_of_surveycodex(name, bands, unit, scale, zero_point, wavelengths):
    survey = get_survey(name)
    assert survey.band_names == tuple(bands) and survey.unit == u.Unit(unit) and survey.name == name
    assert survey.pixel_scale.value == pytest.approx(scale) and "surveycodex" in survey.description
    for one, expected in zip(survey, wavelengths):
        assert one.zero_point == zero_point and one.effective_wavelength.value == pytest.approx(expected, rel=0.015)
        # one electron is the same light, whatever the unit: the gain is that of unit and exposure
        width = one.psf_fwhm.value / scale / 2.3548
        depth = zero_point - 2.5 * np.log10(5 * one.sky_noise * np.sqrt(4 * np.pi) * width)
        assert 21.5 < depth < 27.5


def test_names_in_other_spelling():
    for name, other in (("Pan-STARRS", "panstarrs"), ("Euclid VIS", "Euclid_VIS"), ("SDSS", "sdss")):
        assert get_survey(other) is get_survey(name)
    assert same_name("Pan STARRS", "pan-starrs") and not same_name("HSC", "HST")


def test_what_is_missing_of_a_survey_is_told():
    with pytest.raises(SurveyError, match="KiDS is not built in.*OmegaCAM.*YAML"):
        get_survey("kids")
