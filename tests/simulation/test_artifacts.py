"""Defects of simulated images."""

import numpy as np
import pytest

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.simulation._artifacts import apply_artifacts
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._sky import Artifacts, Sky
from astro_galtrans.surveys import get_survey

pytest.importorskip("galsim")


@pytest.fixture(scope="module", params=["SDSS", "CFHTLS"])
def renderer(request):
    return Renderer(get_survey(request.param), 64)


def blank(renderer, seed=0):
    noise = renderer.survey.sky_noise[:, None, None]
    flux = (noise * np.random.default_rng(seed).standard_normal((5, 64, 64))).astype(np.float32)
    return flux, np.broadcast_to(1 / noise**2, flux.shape).astype(np.float32)


def apply(renderer, part, seed):
    flux, weight = blank(renderer, seed)
    return apply_artifacts(np.random.default_rng(seed), part, renderer, flux, weight)


def test_without_defects_nothing_changes(renderer):
    for changed, original in zip(apply(renderer, Artifacts(scale=0), 3), blank(renderer, 3)):
        np.testing.assert_array_equal(changed, original)


def test_same_seed_same_defects(renderer):
    for first, second in zip(*(apply(renderer, Artifacts(scale=100), 4) for _ in range(2))):
        np.testing.assert_array_equal(first, second)


def test_masks_cover_what_they_know(renderer):
    touched = 0
    for seed in range(30):
        flux, weight = apply(renderer, Artifacts(scale=30, unknown=0), seed)
        original, _ = blank(renderer, seed)
        assert np.all(np.isfinite(flux)) and np.all(np.isfinite(weight)) and np.all(weight >= 0)
        changed = np.abs(flux - original) > 1.2 * renderer.survey.sky_noise[:, None, None]
        assert not np.any(changed & (weight > 0))
        touched += np.any(changed)
    assert touched > 10


def test_unknown_defects_keep_their_weight(renderer):
    touched = 0
    for seed in range(30):
        flux, weight = apply(renderer, Artifacts(scale=30, unknown=1), seed)
        original, before = blank(renderer, seed)
        missing = weight == 0
        np.testing.assert_array_equal(weight[~missing], before[~missing])
        assert not flux[missing].any()
        touched += np.any((flux != original) & ~missing)
    assert touched > 10


def test_defects_are_rare(renderer):
    changed = [np.any(apply(renderer, Artifacts(), seed)[0] != blank(renderer, seed)[0]) for seed in range(300)]
    assert 0.005 < np.mean(changed) < 0.3


def test_bright_stars_saturate_and_bleed():
    renderer = Renderer(get_survey("SDSS"), 64)
    sigma = 0.56
    y, x = (np.indices((64, 64)) - 31.5) * 0.396
    star = 10 ** (0.4 * (22.5 - 12)) * 0.396**2 / (2 * np.pi * sigma**2) * np.exp(-(x**2 + y**2) / (2 * sigma**2))
    flux, weight = blank(renderer)
    flux[2] += star.astype(np.float32)
    flux, weight = apply_artifacts(np.random.default_rng(0), Artifacts(unknown=0), renderer, flux, weight)
    top = flux[2].max()
    saturated = flux[2] == top
    assert top < 0.3 * star.max() and np.all(weight[2][saturated] == 0)
    rows, columns = np.nonzero(saturated)
    assert np.ptp(rows) > 2 * np.ptp(columns)
    assert np.all(weight[0] > 0)


@pytest.mark.parametrize("change", [{"scale": -1}, {"unknown": 1.5}])
def test_settings_are_checked(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Artifacts(**change)


def test_artifacts_leave_the_galaxy_in_all_bands():
    """Such galaxies are dropped from matched pairs, and translators refuse them."""
    sky = Sky(scene=None, artifacts=Artifacts(scale=20))
    pairs = simulate_pairs(12, seed=2, input_size=16, galaxies="templates", sky=sky)
    assert np.any(np.asarray(pairs.input_weight) == 0)
    assert not pairs.missing_bands("input").any() and not pairs.missing_bands("target").any()
