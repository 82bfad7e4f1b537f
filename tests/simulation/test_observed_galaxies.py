import numpy as np
import pytest

pytest.importorskip("kcorrect", reason="observed galaxies need kcorrect")

from astro_galtrans.simulation import GalaxyPopulation  # noqa: E402
from astro_galtrans.simulation._observed_galaxies import ObservedGalaxies, observed_seds  # noqa: E402
from astro_galtrans.simulation._render import Renderer  # noqa: E402
from astro_galtrans.simulation._spectrograph import Fiber  # noqa: E402
from astro_galtrans.surveys import get_survey  # noqa: E402

SURVEYS = {"input": get_survey("SDSS"), "target": get_survey("CFHTLS")}
POPULATION = GalaxyPopulation("near", (15.0, 17.5), (0.02, 0.2))


@pytest.fixture(scope="module")
def source():
    return ObservedGalaxies(POPULATION, observed_seds(SURVEYS))


def draw(source, index):
    streams = np.random.SeedSequence(3, spawn_key=(index,)).spawn(2)
    return source.draw(*map(np.random.default_rng, streams))


@pytest.fixture(scope="module")
def galaxies(source):
    return [draw(source, index) for index in range(150)]


@pytest.mark.parametrize("side", ["input", "target"])
def test_components_add_up_to_the_galaxy(source, galaxies, side):
    for galaxy in galaxies:
        continuum, lines = source.seds.galaxy(galaxy.row, side)
        expected = (1 - galaxy.structure.nucleus) * (continuum.sum(axis=0) + lines)
        if galaxy.structure.nucleus:
            expected = expected + galaxy.structure.nucleus * source.seds.nucleus(galaxy.row, side)
        fluxes = source.fluxes(galaxy, side)
        assert fluxes.shape == (len(galaxy.shapes), len(SURVEYS[side]))
        np.testing.assert_allclose(fluxes.sum(axis=0), expected, rtol=1e-6)
        # Only a lane is negative.
        assert np.sum(np.any(fluxes < 0, axis=1)) == (galaxy.structure.lane is not None)


def test_r_magnitude_is_that_of_the_catalog(source, galaxies):
    for galaxy in galaxies:
        flux = source.fluxes(galaxy, "input").sum(axis=0)[2]
        assert 22.5 - 2.5 * np.log10(flux) == pytest.approx(galaxy.row["r_mag"], abs=1e-4)


def test_galaxies_are_redder_inside(source, galaxies):
    steps = {True: [], False: []}
    for galaxy in galaxies:
        if galaxy.structure.nucleus:
            continue
        radius = galaxy.row["half_light_radius"]
        growth = np.array([[shape.fraction(size * radius) for size in (0.5, 1, 2)] for shape in galaxy.shapes])
        g, r = (source.fluxes(galaxy, "input").T @ growth)[1:3]
        steps[galaxy.row["early"]].append(-2.5 * np.log10((g[2] - g[1]) / g[0] * r[0] / (r[2] - r[1])))
    assert min(map(len, steps.values())) > 25
    # The two samples are about 0.5 dex of radius apart.
    assert -0.08 < np.median(steps[True]) < -0.01
    assert -0.20 < np.median(steps[False]) < -0.02


def test_a_galaxy_depends_on_its_seeds_alone(source, galaxies):
    again = draw(source, 7)
    assert again.row.keys() == galaxies[7].row.keys()
    np.testing.assert_array_equal(again.row["axis_ratio"], galaxies[7].row["axis_ratio"])
    np.testing.assert_array_equal(source.fluxes(again, "input"), source.fluxes(galaxies[7], "input"))


def test_the_fiber_gets_what_images_have_within_it(source, galaxies):
    renderer, fiber = Renderer(SURVEYS["target"], 136), Fiber()
    y, x = (np.indices((136, 136)) - 67.5) * renderer.scale
    inside = np.hypot(x, y) < 1.5
    for galaxy in galaxies[:25]:
        fluxes = source.fluxes(galaxy, "target")
        # The PSF moves some light across the border of the fiber.
        psfs = renderer.psfs(np.full(5, 0.5))
        image = renderer.draw([shape.transform(renderer) for shape in galaxy.shapes], fluxes, psfs, (0, 0))[2]
        expected = np.array([shape.fraction(1.5) for shape in galaxy.shapes]) @ fluxes[:, 2]
        total = fluxes[:, 2].sum()
        assert expected / total == pytest.approx(image[inside].sum() / total, abs=0.04)
        spectrum = source.spectrum(galaxy, fiber)
        assert spectrum.shape == (fiber.grid.n_pixels,) and np.all(spectrum[fiber.covered] > 0)
        assert galaxy.row["fiber_r_mag"] > galaxy.row["r_mag"]


def test_the_spectrum_has_the_magnitude_in_the_fiber(source, galaxies):
    fiber, center = Fiber(), Fiber().grid.wavelength.value
    band = get_survey("SDSS")["r"]
    response = np.interp(center, band.wavelength.value, band.response, left=0, right=0)
    for galaxy in galaxies[:25]:
        flux = 1e-17 * source.spectrum(galaxy, fiber)
        jansky = np.sum(flux * response * center) / np.sum(response / center * 2.99792458e18) * 1e23
        assert -2.5 * np.log10(jansky / 3631) == pytest.approx(galaxy.row["fiber_r_mag"], abs=0.02)
