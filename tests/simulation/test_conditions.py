"""Conditions of surveys: every registered survey, other surveys, and errors."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
import yaml

from astro_galtrans.simulation import (
    Artifacts, Astrometry, AstrometryConditions, Background, BackgroundConditions, Calibration, CalibrationConditions,
    Extinction, Noise, NoiseConditions, PSFConditions, PSFVariation, Scene, Sky, SurveyConditions, get_conditions,
    simulate_pairs,
)
from astro_galtrans.simulation import _conditions
from astro_galtrans.surveys import Band, Survey, available_surveys, get_survey


@pytest.mark.parametrize("name", available_surveys())
def test_every_survey_has_conditions_of_its_bands(name):
    survey = get_survey(name)
    conditions = get_conditions(name)
    assert conditions.bands == survey.band_names
    assert len(conditions.psf.fwhm) == len(survey)
    for part in ("psf", "noise", "background", "astrometry", "calibration"):
        getattr(conditions, part)
    # Without the pixel, and near the typical width of the survey.
    typical = np.array([band.psf_fwhm.to_value(u.arcsec) for band in survey])
    np.testing.assert_array_less(np.abs(np.log(np.array(conditions.psf.fwhm) / typical)), 0.4)


def test_table_has_a_source_for_each_group_of_each_survey():
    table = yaml.safe_load((_conditions.Path(_conditions.__file__).parent / "conditions.yaml").read_text())
    assert set(table) <= set(available_surveys())
    for survey, groups in table.items():
        for group, values in groups.items():
            assert values.get("source"), f"{survey}: {group}"


def test_survey_of_your_own_has_typical_conditions():
    wavelength = np.linspace(5000, 6000, 5) * u.AA
    survey = Survey("own", (Band("V", wavelength, np.ones(5), 25.0, 0.9 * u.arcsec, 0.1, 10.0),), 0.3 * u.arcsec, "adu")
    conditions = get_conditions(survey)
    assert conditions.psf.fwhm == (0.9,)
    assert conditions.noise == NoiseConditions()


def test_own_conditions_replace_those_of_the_package_by_name():
    sharp = get_conditions("SDSS")
    sharp = replace(sharp, psf=replace(sharp.psf, fwhm=0.8))
    sky = Sky(conditions={"sloan": sharp})
    some = get_conditions(get_survey("SDSS").select("gr"), sky.conditions)
    assert some.bands == ("g", "r") and some.psf.fwhm == 0.8
    assert some.psf.beta == sharp.psf.beta[1:3]
    assert get_conditions("CFHTLS", sky.conditions) == get_conditions("CFHTLS")


@pytest.mark.parametrize("make, match", [
    (lambda: PSFConditions(0.0), "fwhm must be finite positive numbers"),
    (lambda: PSFConditions(1.0, scatter=-0.1), "scatter must be finite numbers of at least 0"),
    (lambda: NoiseConditions(depth=(1.0, np.nan)), "depth must be"),
    (lambda: NoiseConditions(resampling="linear"), "resampling must be one of none, cubic"),
    (lambda: BackgroundConditions(offset=[[0.1]]), "offset must be"),
    (lambda: SurveyConditions(("g", "r"), PSFConditions(1.0), astrometry=AstrometryConditions(band=(0.1,) * 3)),
     "astrometry.band must have a number for each of the 2 bands, got 3"),
    (lambda: get_conditions("SDSS").select("gq"), "bands must be of u, g, r, i, z, got q"),
    (lambda: get_conditions("SDSS").select("gg"), "bands must be different from each other, got g, g"),
    (lambda: PSFConditions(1e30), "fwhm must be at most 100"),
    (lambda: NoiseConditions(scatter=2.0), "scatter must be at most 1"),
    (lambda: CalibrationConditions(band=3.0), "band must be at most 1"),
    (lambda: NoiseConditions(shifts=[[[1e30, 0.0]]]), "shifts must be fractions of a pixel"),
    (lambda: Scene(galaxies=1e4), "galaxies must be a finite number of at least 0 and at most 100"),
    (lambda: PSFVariation(width_scale=1e3), "width_scale must be .* at most 10"),
    (lambda: Extinction(scatter=1e3), "scatter must be .* at most 10"),
])
def test_errors_name_the_argument(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("make, match", [
    (lambda: PSFConditions("1.3"), "fwhm"), (lambda: PSFConditions((1.2, "wide")), "fwhm"),
    (lambda: BackgroundConditions(offset=True), "offset"), (lambda: NoiseConditions(shifts="half"), "shifts"),
    (lambda: NoiseConditions(reference=2), "reference"),
])
def test_other_types_name_the_argument(make, match):
    with pytest.raises(TypeError, match=match):
        make()


def test_the_largest_values_have_finite_images():
    sky = Sky(psf=PSFVariation(10, 10), noise=Noise(depth_scale=10), background=Background(10),
              astrometry=Astrometry(10), calibration=Calibration(10), extinction=Extinction(10, 10, 10), scene=None,
              artifacts=Artifacts(100))
    pairs = simulate_pairs(2, seed=1, galaxies="templates", sky=sky, input_size=8, psf=True)
    for side in ("input", "target"):
        for kind in ("flux", "weight", "psf"):
            assert np.isfinite(getattr(pairs, f"{side}_{kind}")).all()


def test_conditions_of_a_sky_must_be_conditions():
    with pytest.raises(TypeError, match=r"conditions\['SDSS'\] must be a SurveyConditions"):
        Sky(conditions={"SDSS": 1.0})


@pytest.mark.parametrize("settings, match", [
    ({"scene": False}, "scene must be Scene"), ({"noise": Noise}, "noise must be Noise"),
    ({"background": Noise()}, "background must be Background"), ({"conditions": None}, "conditions must be a dict"),
])
def test_parts_of_a_sky_have_their_types(settings, match):
    with pytest.raises(TypeError, match=match):
        Sky(**settings)


def test_conditions_have_parts_and_numbers_with_a_meaning():
    conditions = get_conditions("SDSS")
    with pytest.raises(TypeError, match="noise must be a NoiseConditions"):
        replace(conditions, noise=conditions.psf)
    for part, values in (("background", {"correlation": 2}), ("psf", {"wings": 1.0}), ("noise", {"photons": 1.5})):
        with pytest.raises(ValueError, match=f"{next(iter(values))} must be at most"):
            replace(getattr(conditions, part), **values)
    with pytest.raises(ValueError, match="pixel_ratio must be finite positive"):
        replace(conditions.noise, pixel_ratio=0)
    with pytest.raises(TypeError, match="correlated"):
        Noise(correlated="no")


def test_conditions_of_an_unknown_survey_are_refused():
    sky = Sky(conditions={"SDDS": get_conditions("SDSS")})
    with pytest.raises(ValueError, match="sky.conditions must be of known surveys, got 'SDDS'"):
        simulate_pairs(1, seed=1, input_size=8, sky=sky)
    with pytest.raises(TypeError, match="sky must be 'realistic', 'plain' or a Sky"):
        simulate_pairs(1, seed=1, input_size=8, sky={"scene": None})
