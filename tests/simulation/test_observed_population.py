"""Draws of observed galaxies: limits, determinism and the distributions that surveys measured."""

import numpy as np
import pytest

from astro_galtrans.simulation import GalaxyPopulation, ObservedPopulation
from astro_galtrans.simulation._population import draw_magnitudes, get_population

pytest.importorskip("kcorrect")


@pytest.fixture(scope="module")
def population():
    return ObservedPopulation(get_population("faint"))


def draws(population, n, seed=1):
    rng = np.random.default_rng(seed)
    return [population.draw(rng) for _ in range(n)]


@pytest.mark.parametrize("sample", ["bright", "faint", GalaxyPopulation("narrow", (14.5, 25.5), (0.6, 0.61)),
                                    GalaxyPopulation("unlikely", (17.0, 17.1), (0.5, 0.6))])
def test_galaxies_are_within_the_limits(sample):
    population = get_population(sample)
    rows = draws(ObservedPopulation(population), 60)
    for name, (low, high) in (("r_mag", population.magnitude_range), ("redshift", population.redshift_range)):
        assert all(low <= row[name] <= high for row in rows)
    assert all(0 < row["half_light_radius"] <= population.max_radius for row in rows)
    fractions = np.array([row["template_fractions"] for row in rows])
    assert np.all(fractions >= 0)
    np.testing.assert_allclose(fractions.sum(axis=1), 1)


def test_same_seed_gives_the_same_galaxy(population):
    one, same, other = (draws(population, 1, seed)[0] for seed in (3, 3, 4))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert one["redshift"] != other["redshift"]


@pytest.mark.parametrize("magnitude, low, high", [
    # SDSS main (Strauss et al. 2002: median 0.10 to r = 17.77), GAMA (Driver et al. 2011: 0.2 to r = 19.8),
    # DEEP2 in the EGS (Newman et al. 2013: about 0.7 to R = 24.1).
    (17.5, 0.09, 0.16), (19.5, 0.19, 0.33), (22.0, 0.45, 0.65), (23.8, 0.7, 1.05)])
def test_median_redshift_rises_as_in_surveys(population, magnitude, low, high):
    rows = population.draw_at(np.random.default_rng(2), np.full(2000, magnitude))
    assert low < np.median(rows["redshift"]) < high


def test_early_types_are_more_frequent_among_luminous_galaxies(population):
    rows = population.draw_at(np.random.default_rng(5), np.full(6000, 17.5), (0.01, 0.4))
    luminous, faint = rows["absolute_r_mag"] < -22.5, rows["absolute_r_mag"] > -20
    assert rows["early"][luminous].mean() > rows["early"][faint].mean() + 0.1
    # Rest-frame luminosities at the knee of the luminosity function (Blanton et al. 2003: M* = -21.2 for h = 0.7).
    assert -22.5 < np.median(rows["absolute_r_mag"]) < -20.5


def test_radii_grow_with_luminosity_and_shrink_with_redshift(population):
    rng = np.random.default_rng(6)
    # 1.84 kpc per arcsec at redshift 0.1 (H0 = 70 km/s/Mpc).
    bright, faint = (1.84 * population.draw_at(rng, np.full(1500, magnitude), (0.095, 0.105))["half_light_radius"]
                     for magnitude in (15.5, 18.5))
    assert 4 < np.median(bright) < 12 and 1.5 < np.median(faint) < 5 and np.median(bright) > 1.5 * np.median(faint)
    far = population.draw_at(rng, np.full(1000, 23.5), (0.9, 1.1))
    assert 0.15 < np.median(far["half_light_radius"]) < 0.8


def test_counts_follow_the_slope():
    population = GalaxyPopulation("steep", (16.0, 20.0), (0.01, 1.0), counts_slope=0.6)
    magnitudes = draw_magnitudes(np.random.default_rng(7), population, 4000)
    assert np.mean(magnitudes > 19) == pytest.approx(1 - 10**-0.6, abs=0.03)


def test_max_radius_that_leaves_nothing_is_an_error():
    population = ObservedPopulation(GalaxyPopulation("tiny", (14.5, 15.0), (0.01, 0.1), max_radius=0.01))
    with pytest.raises(ValueError, match="max_radius"):
        population.draw(np.random.default_rng(8))
