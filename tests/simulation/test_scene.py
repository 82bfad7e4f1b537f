"""Neighbors and stars around simulated galaxies: their numbers, images and labels."""

import numpy as np
import pytest

from astro_galtrans.simulation._psf import Blurs, PSF
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._scene import (
    SceneLibrary, SceneSources, draw_scene, galaxy_counts, label_pixels, render_scene, star_counts,
)
from astro_galtrans.simulation._sky import Scene
from astro_galtrans.surveys import get_survey

galsim = pytest.importorskip("galsim")

SURVEYS = {"input": get_survey("SDSS"), "target": get_survey("CFHTLS")}
SIZES = {"input": 64, "target": 136}
ROW = {"r_mag": 17.5, "absolute_r_mag": -20.9, "redshift": 0.1}


class GaussianPSF:
    wings, wing_scale = 0.0, 1.0

    def __init__(self, fwhm):
        self.fwhm, self.sigma = fwhm, fwhm / 2.354820045

    def transform(self, kx, ky):
        return np.exp(-0.5 * self.sigma**2 * (kx[None, :] ** 2 + ky[:, None] ** 2)).astype(np.float32)


@pytest.fixture(scope="module")
def library():
    return SceneLibrary(SURVEYS)


def sources(**changed):
    """Return sources at the given positions, round galaxies of r = 20 by default."""
    n = len(changed["x"])
    values = {"y": np.zeros(n), "r_mag": np.full(n, 20.0), "sed": np.zeros(n, dtype=int), "radius": np.full(n, 0.5),
              "axis_ratio": np.ones(n), "angle": np.zeros(n), "concentrated": np.zeros(n),
              "is_star": np.zeros(n, dtype=bool)}
    return SceneSources(**{**values, **{name: np.asarray(value) for name, value in changed.items()}})


def render(side, scene, fluxes, offsets=None, survey=None, size=None):
    survey = survey or SURVEYS[side]
    renderer = Renderer(survey, size or SIZES[side])
    blurs = Blurs([GaussianPSF(band.psf_fwhm.value) for band in survey])
    return render_scene(renderer, scene, fluxes, blurs, np.zeros((len(survey), 2)) if offsets is None else offsets)


def test_numbers_follow_the_counts(library):
    part, drawn = Scene(clustering=0), []
    for seed in range(400):
        scene = draw_scene(np.random.default_rng(seed), part, ROW, 12.5, library)
        inside = np.maximum(np.abs(scene.x), np.abs(scene.y)) < 12.5
        drawn.append(scene[inside])
    drawn, area = SceneSources.stack(drawn), 400 * 25.0**2
    for low, high in ((19, 22), (22, 25), (25, 27)):
        magnitudes = np.linspace(low, high, 200)
        for is_star, counts in ((False, galaxy_counts), (True, star_counts)):
            expected = np.trapezoid(counts(magnitudes), magnitudes) * area
            found = np.sum((drawn.r_mag > low) & (drawn.r_mag < high) & (drawn.is_star == is_star))
            assert found == pytest.approx(expected, abs=4 * np.sqrt(expected) + 0.02 * expected)


@pytest.mark.parametrize("change, kind", [({"galaxies": 0, "clustering": 0}, False), ({"stars": 0}, True)])
def test_a_kind_can_be_left_out(library, change, kind):
    scene = draw_scene(np.random.default_rng(1), Scene(**change), ROW, 12.5, library)
    assert len(scene) and not np.any(scene.is_star == kind)


def test_satellites_crowd_around_the_target(library):
    scene = SceneSources.stack([draw_scene(np.random.default_rng(seed), Scene(galaxies=0, stars=0), ROW, 12.5, library)
                                for seed in range(300)])
    radius = np.hypot(scene.x, scene.y)
    inner, outer = np.sum(radius < 6), np.sum((radius > 6) & (radius < 12))
    share = 0.5**1.16
    assert inner == pytest.approx(outer * share / (1 - share), abs=4 * np.sqrt(outer))
    assert inner > 30


def test_same_seed_same_scene(library):
    first, second = (draw_scene(np.random.default_rng(5), Scene(), ROW, 12.5, library) for _ in range(2))
    for name in SceneSources.__slots__:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("name", ["faintest", "galaxies"])
def test_settings_are_checked(name):
    with pytest.raises(ValueError, match=name):
        Scene(**{name: -1})


@pytest.mark.parametrize("side", SURVEYS)
def test_flux_is_conserved(side):
    scene = sources(x=[0.3, -4.1], y=[0.1, 3.3], axis_ratio=[1.0, 0.4], angle=[0, 0.7], is_star=[True, False])
    scene.radius[0] = 0
    fluxes = np.outer([300.0, 1000.0], np.ones(5))
    image = render(side, scene, fluxes)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image.sum(axis=(1, 2)), 1300, rtol=3e-3)


@pytest.mark.parametrize("name, size", [("SDSS", 64), ("CFHTLS", 136), ("Euclid VIS", 101)])
def test_images_agree_with_galsim(name, size):
    survey = get_survey(name)
    scene = sources(x=[1.23, -2.2], y=[-0.71, 1.9], axis_ratio=[0.5, 0.8], angle=[0.6, 2.0], radius=[0.9, 0.6])
    fluxes = np.outer([500.0, 300.0], np.ones(len(survey)))
    image = render(None, scene, fluxes, survey=survey, size=size)
    scale = survey.pixel_scale.to_value("arcsec")
    for plane, band in zip(image, survey):
        parts = [galsim.Exponential(half_light_radius=h, flux=flux).shear(q=q, beta=angle * galsim.radians).shift(x, y)
                 for x, y, h, q, angle, flux in zip(scene.x, scene.y, scene.radius, scene.axis_ratio, scene.angle,
                                                    fluxes[:, 0])]
        whole = galsim.Convolve(galsim.Add(parts), galsim.Gaussian(fwhm=band.psf_fwhm.to_value("arcsec")))
        expected = whole.drawImage(nx=size, ny=size, scale=scale, method="auto").array
        assert np.abs(plane - expected).max() < 0.01 * expected.max()
        assert plane.sum() == pytest.approx(expected.sum(), rel=0.01)


def test_centroids_of_points_are_exact():
    offsets = np.array([[0.05 * band, -0.03 * band] for band in range(5)])
    scene = sources(x=[1.234], y=[-2.345], radius=[0.0], is_star=[True])
    image = render("target", scene, np.full((1, 5), 1e4), offsets=offsets)
    y, x = (np.indices(image.shape[1:]) - (image.shape[-1] - 1) / 2) * 0.187
    for plane, offset in zip(image, offsets):
        assert (plane * x).sum() / plane.sum() == pytest.approx(1.234 + offset[0], abs=0.005)
        assert (plane * y).sum() / plane.sum() == pytest.approx(-2.345 + offset[1], abs=0.005)


def test_light_of_stars_outside_reaches_the_stamp():
    scene = sources(x=[15.0], radius=[0.0], is_star=[True])
    image = render("input", scene, np.full((1, 5), 1e5))
    assert image[2, 32, -1] > 0.1 and image[2].argmax() % 64 == 63
    assert not render("input", scene, np.full((1, 5), 0.02)).any()


@pytest.mark.parametrize("changed", [{"radius": [0.0], "is_star": [True]}, {"radius": [2.0], "concentrated": [1.0]}])
def test_light_of_bright_sources_has_no_edge(changed, monkeypatch):
    scene, flux, psfs = sources(x=[-8.0], y=[-8.0], **changed), np.full((1, 5), 3000.0), [PSF(1.3, wings=0.3)] * 5
    renderer = Renderer(SURVEYS["input"], 64)
    image = render_scene(renderer, scene, flux, Blurs(psfs), np.zeros((5, 2)))
    monkeypatch.setattr("astro_galtrans.simulation._scene._INVISIBLE", 1e-4)
    whole = render_scene(renderer, scene, flux, Blurs(psfs), np.zeros((5, 2)))
    noise = np.array([band.sky_noise for band in SURVEYS["input"]])[:, None, None]
    assert np.abs((image - whole) / noise).max() < 0.3


def test_fluxes_are_those_of_the_magnitude(library):
    scene = draw_scene(np.random.default_rng(3), Scene(stars=20), ROW, 12.5, library)
    r_band = library.fluxes(scene, "input")[:, 2]
    magnitude = 22.5 - 2.5 * np.log10(r_band)
    np.testing.assert_allclose(magnitude, scene.r_mag, atol=0.01)
    colors = scene.r_mag - (30 - 2.5 * np.log10(library.fluxes(scene, "target")[:, 2]))
    assert np.abs(np.median(colors)) < 0.1 and np.abs(colors).max() < 0.5


def test_stars_are_on_the_locus(library):
    stars = sources(x=np.zeros(120), sed=np.arange(120), is_star=np.ones(120, dtype=bool))
    u, g, r, i, z = -2.5 * np.log10(library.fluxes(stars, "input").T)
    expected = np.polynomial.polynomial.polyval(
        g - i, (0.4290263, -0.8852323, 2.0740616, -1.1091553, 0.2397461, -0.0183195))
    np.testing.assert_allclose(g - r, expected, atol=0.02)
    assert np.all(np.diff(g - i) > 0) and np.all(np.isfinite(u - z))


def test_labels_of_two_separated_sources():
    target, scene = np.zeros((2, 5, 40, 40), dtype=np.float32)
    target[:, 18:22, 18:22] = 3
    scene[:, 30:33, 30:33] = 3
    scene[:, 18, 18] = 4
    label = label_pixels(target, scene, np.ones(5))
    assert label.dtype == np.uint8
    assert np.bincount(label.ravel()).tolist() == [1600 - 16 - 9, 15, 10]
    assert label[20, 20] == 1 and label[18, 18] == 2 and label[31, 31] == 2
