import os
from pathlib import Path

import numpy as np
import pytest
from scipy.special import gammainc

from astro_galtrans.simulation import GalaxyPopulation
from astro_galtrans.simulation._population import (
    component_radii, draw_galaxy, get_population, shen_half_light_radius,
)
from astro_galtrans.simulation._template_galaxies import TemplateSEDs
from astro_galtrans.surveys import get_survey


def draw(sample, n, seed=0):
    """Properties of n galaxies as a dict of arrays, with SDSS magnitudes of the whole, of bulge and of disk."""
    seds = TemplateSEDs({"input": get_survey("SDSS")})
    rows = [draw_galaxy(np.random.default_rng([seed, i]), get_population(sample)) for i in range(n)]
    galaxies = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    flux = np.array([seds.fluxes(row, "input") for row in rows])
    galaxies["mag"] = 22.5 - 2.5 * np.log10(flux.sum(axis=1))
    galaxies["bulge_mag"], galaxies["disc_mag"] = (22.5 - 2.5 * np.log10(one) for one in (flux[:, 0], flux[:, 1]))
    return galaxies


@pytest.fixture(scope="module")
def bright():
    return draw("bright", 3000)


@pytest.fixture(scope="module")
def faint():
    return draw("faint", 1500)


def test_ranges_are_kept(bright, faint):
    for galaxies, sample in ((bright, "bright"), (faint, "faint")):
        population = get_population(sample)
        for name, (low, high) in (("r_mag", population.magnitude_range), ("redshift", population.redshift_range)):
            assert low <= galaxies[name].min() and galaxies[name].max() <= high
        assert 0 < galaxies["half_light_radius"].min() and galaxies["half_light_radius"].max() <= population.max_radius
        assert np.all((galaxies["bulge_fraction"] >= 0) & (galaxies["bulge_fraction"] <= 1))
        assert np.abs(galaxies["x_offset"]).max() <= population.offset
        assert galaxies["knot_fraction"].max() <= population.knot_fraction
        for part in ("bulge", "disc"):
            assert np.all((galaxies[f"{part}_type"] >= 0) & (galaxies[f"{part}_type"] <= 3))
            assert np.all((galaxies[f"{part}_axis_ratio"] > 0.1) & (galaxies[f"{part}_axis_ratio"] <= 1))
            assert galaxies[f"{part}_reddening"].min() >= 0 and galaxies[f"{part}_reddening"].max() <= 0.6


def test_samples_are_what_they_are_named_after(bright, faint):
    # The main sample reaches r = 17.77 with a median redshift of 0.10 (Strauss et al. 2002).
    main = bright["r_mag"] < 17.77
    assert np.median(bright["redshift"][main]) == pytest.approx(0.10, abs=0.015)
    assert np.median(faint["redshift"]) > 0.2 and np.median(faint["r_mag"]) > 19
    # Number counts rise by 0.6 dex a magnitude.
    counts = np.histogram(bright["r_mag"], bins=[15.8, 16.8, 17.8])[0]
    assert np.log10(counts[1] / counts[0]) == pytest.approx(0.6, abs=0.12)


def test_magnitude_is_that_of_sdss_r(bright):
    np.testing.assert_allclose(bright["mag"][:, 2], bright["r_mag"], atol=1e-4)


def test_early_types_redden_with_redshift(bright, faint):
    for galaxies in (bright, faint):
        early = galaxies["early"] & (galaxies["redshift"] < 0.4)
        color, redshift = (galaxies["mag"][:, 1] - galaxies["mag"][:, 2])[early], galaxies["redshift"][early]
        medians = [np.median(color[(redshift > low) & (redshift < low + 0.1)]) for low in (0.03, 0.13, 0.23)]
        assert np.all(np.diff(medians) > 0.15)
        late = ~galaxies["early"] & (galaxies["redshift"] < 0.4)
        assert np.median(color) > np.median((galaxies["mag"][:, 1] - galaxies["mag"][:, 2])[late]) + 0.15


def test_bulges_are_redder_than_discs(bright):
    difference = (bright["bulge_mag"] - bright["disc_mag"])[:, 1] - (bright["bulge_mag"] - bright["disc_mag"])[:, 3]
    assert np.mean(difference > 0) > 0.95 and np.median(difference) > 0.1


def test_early_types_are_bulge_dominated_and_luminous(bright):
    early = bright["early"]
    assert bright["bulge_fraction"][early].mean() > 0.6 > 0.35 > bright["bulge_fraction"][~early].mean()
    assert np.median(bright["absolute_r_mag"][early]) < np.median(bright["absolute_r_mag"][~early])
    assert np.all(bright["n_knots"][early] == 0) and np.all(bright["n_knots"][~early] >= 5)


def test_sizes_follow_shen_et_al():
    # Read off their figures: about 2.5 kpc for an early and 4 kpc for a late type of M_r = -21.
    assert shen_half_light_radius(-21, True, 0) == pytest.approx(2.6, abs=0.2)
    assert shen_half_light_radius(-21, False, 0) == pytest.approx(3.9, abs=0.3)
    scatter = np.log(shen_half_light_radius(-23, False, 1) / shen_half_light_radius(-23, False, 0))
    assert scatter == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(("fraction", "ratio"), [(0.0, 0.3), (0.5, 0.3), (0.9, 0.1), (1.0, 0.6), (0.4, 1.0)])
def test_components_together_have_the_half_light_radius(fraction, ratio):
    bulge, disk = component_radii(2.0, fraction, ratio)
    light = fraction * gammainc(8, 7.66925 * (2 / bulge) ** 0.25) + (1 - fraction) * gammainc(2, 1.678347 * 2 / disk)
    assert light == pytest.approx(0.5, abs=1e-4) and bulge / disk == pytest.approx(ratio)


@pytest.mark.parametrize(("change", "message"), [
    ({"name": ""}, "name"), ({"magnitude_range": (18, 17)}, "magnitude_range"),
    ({"redshift_range": (0, 0.5)}, "redshift_range"),
    ({"redshift_range": (0.1, 2.5)}, "redshift_range"), ({"knot_fraction": 1.5}, "knot_fraction"),
    ({"psf_scatter": -0.1}, "psf_scatter"), ({"psf_profile": "gaussian"}, "psf_profile"),
    ({"max_knots": 7.5}, "max_knots"),
    ({"early_fraction": True}, "early_fraction"), ({"counts_slope": "steep"}, "counts_slope"),
])
def test_a_population_is_validated(change, message):
    with pytest.raises(ValueError, match=message):
        GalaxyPopulation(**{"name": "own", "magnitude_range": (17, 18), "redshift_range": (0.1, 0.2), **change})


def test_a_population_of_giants_ends_in_an_error():
    giants = GalaxyPopulation("giants", (10, 11), (0.005, 0.006), max_radius=0.02)
    with pytest.raises(ValueError, match="max_radius"):
        draw_galaxy(np.random.default_rng(0), giants)


def test_unknown_sample():
    with pytest.raises(ValueError, match="bright.*faint"):
        get_population("dim")


def test_colors_are_those_of_the_sdss_main_sample(bright):
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("GALTRANS_REAL_DATA does not name the folder of real survey data")
    real = np.loadtxt(Path(folder) / "photoz-sdss-mgs-mlz" / "SDSS_MGS.train")
    main = bright["r_mag"] < 17.77
    for low, high in ((0.03, 0.06), (0.06, 0.1), (0.1, 0.15), (0.15, 0.25)):
        there = -np.diff(real[(real[:, 0] > low) & (real[:, 0] < high), 1:6], axis=1)
        here = -np.diff(bright["mag"][main & (bright["redshift"] > low) & (bright["redshift"] < high)], axis=1)
        assert np.all(np.abs(np.median(there, axis=0) - np.median(here, axis=0)) < [0.3, 0.15, 0.06, 0.08])
