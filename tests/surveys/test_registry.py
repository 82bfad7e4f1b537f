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
    with pytest.raises(BandMismatchError, match="bands must be different from each other, got g, r, g"):
        sdss.select("grg")
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
    with pytest.raises(BandMismatchError, match="bands"):
        Survey("own", [red, band()], 0.3 * u.arcsec, "nmgy")
    with pytest.raises(BandMismatchError, match="bands"):
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


@pytest.mark.parametrize(("name", "other"), [
    ("Pan-STARRS", "panstarrs"), ("Pan-STARRS", "PS1"), ("Euclid VIS", "Euclid_VIS"), ("SDSS", "sdss"),
    ("LSST", "lsst"), ("LSST", "Rubin"), ("LSST", "Vera C. Rubin"), ("DECaLS", "LegacySurvey"),
    ("DECaLS", "Legacy Surveys"), ("DECaLS", "decals"), ("DECaLS", "decam"), ("KiDS", "kids"), ("UNIONS", "CFIS"),
    ("UNIONS", "unions"), ("UNIONS", "UNIONS/CFIS"), ("Euclid NISP", "euclid-nisp"), ("Euclid NISP", "NISP"),
    ("Roman WFI", "Roman"), ("Roman WFI", "roman_wfi"), ("SkyMapper", "skymapper"), ("SkyMapper", "SMSS"),
])
def test_names_in_other_spelling(name, other):
    assert get_survey(other) is get_survey(name) and get_survey(name).name == name
    assert same_name(other, name) and same_name(name, other)


def test_names_of_different_surveys():
    assert same_name("Pan STARRS", "pan-starrs") and not same_name("HSC", "HST")
    assert not same_name("Euclid VIS", "Euclid NISP") and not same_name("DES", "DECaLS")
    with pytest.raises(SurveyError, match="'euclid'.*'Euclid NISP' or 'Euclid VIS'"):
        get_survey("euclid")
    with pytest.raises(SurveyError, match="''"):
        get_survey("")


def test_your_own_survey_goes_before_another_name_of_a_built_in_one(registry):
    own = register_survey(Survey("Roman", [band()], 0.3 * u.arcsec, "nmgy"))
    assert get_survey("roman") is own and get_survey("Roman WFI").name == "Roman WFI"
    assert not same_name("Roman", "Roman WFI")


def mean_wavelength(one):
    """Mean wavelength of a response curve, in Angstrom."""
    wavelength = one.wavelength.value
    return np.trapezoid(one.response * wavelength, wavelength) / np.trapezoid(one.response, wavelength)


# Wavelengths in Angstrom that tell these filters from those of another survey or generation. LSST: throughputs v1.9 of
# the Rubin Observatory, weighted by phi, from policy/instruments/LsstCam.yaml of lsst-ts/ts_wep. KiDS: the filters
# KiDSVIKING_aibn139 of LePHARE before they were thinned. Others: typical values.
@pytest.mark.parametrize(("name", "unit", "scale", "zero_point", "wavelengths"), [
    ("LSST", "nJy", 0.2, 31.4, {"u": 3709, "g": 4767, "r": 6194, "i": 7539, "z": 8668, "y": 9739}),
    ("Euclid NISP", "uJy", 0.3, 23.9, {"YE": 10809, "JE": 13673, "HE": 17714}),
    ("Roman WFI", "uJy", 0.11, 23.9, {"F106": 10600, "F129": 12930, "F158": 15770}),
    ("SkyMapper", "nmgy", 0.4976, 22.5, {"u": 3500, "v": 3840, "g": 5100, "r": 6170, "i": 7790, "z": 9160}),
    ("DECaLS", "nmgy", 0.262, 22.5, {"g": 4830, "r": 6430, "i": 7826, "z": 9178}),
    ("KiDS", "mgy", 0.2, 0, {"u": 3573, "g": 4728, "r": 6299, "i": 7569}),
    ("UNIONS", "adu", 0.1857, 30, {"u": None, "g": 4816, "r": 6400, "i": 7545, "z": 8912}),
])
def test_curves_have_the_expected_mean_wavelengths(name, unit, scale, zero_point, wavelengths):
    survey = get_survey(name)
    assert survey.band_names == tuple(wavelengths) and survey.unit == u.Unit(unit)
    assert survey.pixel_scale.to_value(u.arcsec) == pytest.approx(scale)
    assert [one.zero_point for one in survey] == pytest.approx([zero_point] * len(survey), abs=1e-6)
    for one, expected in zip(survey, wavelengths.values()):
        assert expected is None or mean_wavelength(one) == pytest.approx(expected, rel=0.01)


# 5 sigma, point source: Ivezic et al. (2019), coadded; abstract of Scaramella et al. (2022); table 1 of ROTAC (2025,
# arXiv:2505.10574), medium tier; abstract of Chambers et al. (2016); SkyMapper: single epoch, page of the survey;
# DECaLS: datalab.noirlab.edu/ls/decals.php, and DELVE DR2 in i (Drlica-Wagner et al. 2022).
@pytest.mark.parametrize(("name", "depth"), [
    ("LSST", (26.1, 27.4, 27.5, 26.8, 26.1, 24.9)), ("Euclid NISP", (24.5, 24.5, 24.5)), ("Euclid VIS", (26.2,)),
    ("Roman WFI", (26.5, 26.4, 26.4)), ("SkyMapper", (19.5, 19.5, 21.0, 21.0, 20.0, 19.0)),
    ("DECaLS", (24.7, 23.9, 23.5, 23.0)), ("Pan-STARRS", (23.3, 23.2, 23.1, 22.3, 21.4)),
])
def test_published_depth_of_point_sources(name, depth):
    np.testing.assert_allclose(get_survey(name).depth, depth, atol=0.3)


@pytest.mark.parametrize(("name", "depth"), [
    # 5 sigma in 2 arcsec: abstract of Kuijken et al. (2019, A&A 625, A2)
    ("KiDS", (24.23, 25.12, 25.02, 23.68)),
    # 10 sigma in 2 arcsec: abstract of Gwyn et al. (2025, arXiv:2503.13783)
    ("UNIONS", np.array((23.7, 24.5, 24.2, 23.8, 23.3)) + 2.5 * np.log10(2)),
])
def test_published_depth_of_apertures(name, depth):
    survey = get_survey(name)
    noise = survey.sky_noise * np.sqrt(np.pi) / survey.pixel_scale.value
    zero_point = np.array([one.zero_point for one in survey])
    np.testing.assert_allclose(zero_point - 2.5 * np.log10(5 * noise), depth, atol=0.3)


@pytest.mark.parametrize("name", available_surveys())
def test_gain_is_that_of_photons_of_the_sky(name):
    """The sky whose photons give the noise of a pixel is not brighter than a moonlit one, nor darker than zodiacal."""
    survey = get_survey(name)
    for one in survey:
        sky = one.gain * one.sky_noise**2 / survey.pixel_scale.value**2
        assert 16.5 < one.zero_point - 2.5 * np.log10(sky) < 23.5


def test_representation_is_one_line():
    assert repr(get_survey("DECaLS")) == "<Survey DECaLS: g, r, i, z; 0.262 arcsec per pixel; nmgy>"
