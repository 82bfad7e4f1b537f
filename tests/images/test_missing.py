"""Areas of exact zeros are no data, zeros that an image may well have are."""

import numpy as np
import pytest
from scipy import ndimage

from astro_galtrans.images import empty_pixels


@pytest.fixture
def noise():
    return np.random.default_rng(4).normal(0, 2, (48, 40)).astype(np.float32)


@pytest.mark.parametrize("area", [
    np.s_[:, :10], np.s_[7:8, :], np.s_[:, -1:], np.s_[20:23, 11:14], np.s_[:40, :]],
    ids=["quarter", "row", "last column", "spot", "most"])
@pytest.mark.parametrize("level", [0, 500], ids=["sky subtracted", "sky"])
def test_areas_of_zeros_in_noise_are_empty(noise, area, level):
    noise += level
    noise[area] = 0
    expected = np.zeros(noise.shape, dtype=bool)
    expected[area] = True
    np.testing.assert_array_equal(empty_pixels(noise), expected)


def test_planes_are_treated_separately(noise):
    cube = np.stack([noise, noise, np.zeros_like(noise), np.full_like(noise, np.nan)])[np.newaxis]
    cube[0, 0, 4:14, 4:14] = 0
    empty = empty_pixels(cube)
    assert empty.shape == cube.shape and empty[0, 0].sum() == 100 and empty[0, 2].all()
    assert not empty[0, 1].any() and not empty[0, 3].any()


def test_zeros_that_are_data_are_kept(noise):
    rng = np.random.default_rng(5)
    noise.flat[rng.permutation(noise.size)[:30]] = 0
    y, x = np.indices((48, 40)) - 20
    source = np.where(np.hypot(x, y) < 12, np.exp(-np.hypot(x, y)), 0)
    clumpy = source * rng.exponential(size=source.shape)
    for image in (noise, source, clumpy, rng.poisson(0.2, (48, 40)), np.round(rng.normal(0, 0.7, (48, 40)))):
        assert not empty_pixels(image).any()


@pytest.mark.parametrize("step", [4, 1.5])
@pytest.mark.parametrize("width", [0, 1])
def test_zeros_of_rounded_noise_are_data(step, width):
    """Of white and of correlated noise, although its zeros lie together."""
    image = ndimage.gaussian_filter(np.random.default_rng(6).normal(0, 1, (300, 300)), width)
    image = np.round(step * image / image.std())
    assert not empty_pixels(image).any()
    image[:, :50] = 0
    empty = empty_pixels(image)
    assert empty[:, :50].all() and empty[:, 50:].mean() < 0.01


def test_flux_must_be_an_image():
    with pytest.raises(ValueError, match="flux"):
        empty_pixels([0.0, 0.0])
