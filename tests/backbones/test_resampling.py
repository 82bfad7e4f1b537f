"""Resampling between grids that share their center, and the filling of invalid pixels."""

import numpy as np
import pytest
import torch

from astro_galtrans.backbones import (
    NetworkConfig, TranslationNetwork, fill_invalid, invalid_footprint, resample, resampling_matrix,
)

SCALE_RATIO = 0.187 / 0.396


@pytest.mark.parametrize(("n_in", "n_out", "scale_ratio", "smooth"), [
    (64, 136, SCALE_RATIO, 1), (64, 136, SCALE_RATIO, 5), (15, 33, SCALE_RATIO, 5), (136, 64, 1 / SCALE_RATIO, 3),
    (1, 3, SCALE_RATIO, 1), (4, 4, 1.0, 1)])
def test_rows_of_the_matrix_sum_to_one(n_in, n_out, scale_ratio, smooth):
    matrix = resampling_matrix(n_in, n_out, scale_ratio, smooth)
    assert matrix.shape == (n_out, n_in)
    torch.testing.assert_close(matrix.sum(1), torch.ones(n_out))
    assert matrix.min() >= 0
    torch.testing.assert_close(matrix, matrix.flip(0, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("smooth", [1, 5])
def test_a_ramp_is_reproduced(smooth):
    places = (np.arange(136) - 67.5) * SCALE_RATIO + 31.5
    inside = slice(6, -6)  # away from the rim, where the outermost sample is repeated
    ramp = 3 + 0.25 * torch.arange(64.0)
    result = resampling_matrix(64, 136, SCALE_RATIO, smooth) @ ramp
    np.testing.assert_allclose(result[inside], (3 + 0.25 * places)[inside], rtol=1e-5)
    image = ramp[:, None] - 2 * ramp
    result = resample(image[None, None], (136, 136), SCALE_RATIO, smooth)[0, 0]
    expected = 3 + 0.25 * places[:, None] - 2 * (3 + 0.25 * places)
    np.testing.assert_allclose(result[inside, inside], expected[inside, inside], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("place", [(31.5, 31.5), (30.2, 35.9), (24.0, 40.7)])
@pytest.mark.parametrize("smooth", [1, 5])
def test_a_source_keeps_its_place_on_the_sky(place, smooth):
    y, x = np.indices((64, 64))
    source = np.exp(-((y - place[0])**2 + (x - place[1])**2) / (2 * 2.2**2))
    image = resample(torch.tensor(source)[None, None].float(), (136, 136), SCALE_RATIO, smooth)[0, 0].double().numpy()
    rows, columns = np.indices(image.shape)
    found = np.array([(image * rows).sum(), (image * columns).sum()]) / image.sum()
    expected = (np.array(place) - 31.5) / SCALE_RATIO + 67.5
    assert np.abs(found - expected).max() < 0.01
    # The kinks of the interpolant fall differently on the two grids: total flux is kept to half a per cent.
    assert image.sum() * SCALE_RATIO**2 == pytest.approx(source.sum(), rel=5e-3)


def test_resampling_after_translation_can_be_trained_through():
    """A matrix first made in inference mode must not be unusable for autograd afterwards."""
    size, scale_ratio = (23, 23), 0.71
    with torch.inference_mode():
        resample(torch.ones(1, 1, 9, 9), size, scale_ratio)
    image = torch.ones(1, 1, 9, 9, requires_grad=True)
    resample(image, size, scale_ratio).sum().backward()
    assert image.grad.abs().sum() > 0


@pytest.mark.parametrize("smooth", [0, 2, -1])
def test_smoothing_must_be_odd(smooth):
    with pytest.raises(ValueError, match=f"smooth must be an odd positive number of samples, got {smooth}"):
        resampling_matrix(8, 8, 1.0, smooth)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
def test_invalid_values_are_never_read(garbage):
    rng = np.random.default_rng(1)
    flux = torch.tensor(rng.normal(size=(2, 3, 12, 11)), dtype=torch.float32)
    valid = torch.tensor(rng.random((2, 3, 12, 11)) > 0.3)
    valid[0, 1, 2:9, 3:10] = False
    filled = fill_invalid(torch.where(valid, flux, garbage), valid)
    assert filled.isfinite().all()
    assert torch.equal(filled[valid], flux[valid])
    assert torch.equal(filled, fill_invalid(torch.where(valid, flux, 0), valid))


def test_gaps_are_filled_from_their_rim():
    flux = torch.full((1, 1, 9, 9), 4.0)
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[..., 1:8, 1:8] = False
    torch.testing.assert_close(fill_invalid(flux * valid, valid), flux)
    ramp = torch.arange(9.0).expand(1, 1, 9, 9).clone()
    valid = torch.ones_like(valid)
    valid[..., 4, 4] = False
    assert fill_invalid(ramp, valid)[0, 0, 4, 4] == pytest.approx(4)


def test_an_image_without_valid_pixels_becomes_zero():
    flux = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[:, 1] = False
    filled = fill_invalid(flux, valid)
    assert torch.equal(filled[:, 0], flux[:, 0])
    assert (filled[:, 1] == 0).all()


def test_footprint_covers_the_invalid_pixel_on_the_target_grid_and_no_more():
    with torch.random.fork_rng(devices=[]):
        network = TranslationNetwork(NetworkConfig("unet", [0.02] * 2, [0.5] * 2, [900.0] * 2, [0, 1], SCALE_RATIO,
                                                   backbone_options={"widths": [4], "n_features": 4}))
    valid = torch.ones(1, 2, 16, 16, dtype=torch.bool)
    valid[0, 1, 5, 9] = False
    masked = invalid_footprint(network, valid, (34, 34))
    assert not masked[0, 0].any()
    rows, columns = (index.numpy() for index in masked[0, 1].nonzero().T)
    centre = (np.array([5, 9]) - 7.5) / SCALE_RATIO + 16.5
    # A target pixel reaches one input pixel for the interpolation, and two target pixels for the smoothing.
    reach = 1 / SCALE_RATIO + 2
    assert np.abs(rows - centre[0]).max() <= reach and np.abs(columns - centre[1]).max() <= reach
    own = np.abs(np.indices((34, 34)) - centre[:, None, None]).max(0) <= 0.5 / SCALE_RATIO
    assert masked[0, 1].numpy()[own].all()
