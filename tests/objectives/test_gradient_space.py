"""Residuals of log-flux gradients against a plain numpy reference."""

import numpy as np
import pytest
import torch

from astro_galtrans.objectives import gradient_residuals, n_scales_of, pool_scales

NOISE = torch.tensor([0.5, 0.75, 1.0])[:, None, None]


def log_flux(flux, noise):
    return np.arcsinh(flux.astype(float) / (2 * noise))


def reference(target, prediction, noise):
    """x, y and passband gradients of target minus prediction, (galaxy, 3 * band - 1, y - 1, x - 1)."""
    d = log_flux(target, noise) - log_flux(prediction, noise)
    return np.concatenate([
        d[:, :, :-1, 1:] - d[:, :, :-1, :-1], d[:, :, 1:, :-1] - d[:, :, :-1, :-1],
        np.diff(d, axis=1)[:, :, :-1, :-1]], 1)


def pooled(image, scale):
    height, width = (n // scale * scale for n in image.shape[2:])
    return image[:, :, :height, :width].reshape(
        *image.shape[:2], height // scale, scale, width // scale, scale).mean((3, 5))


def test_residuals_agree_with_numpy_at_each_scale(galaxies):
    target, prediction = galaxies(seed=1, size=16), galaxies(seed=2, size=16)
    maps = torch.zeros(2, 1, 16, 16)
    for scale, *tensors in pool_scales(target, prediction, maps, None, 4):
        found = gradient_residuals(*tensors, NOISE, scale)
        images = (pooled(image.numpy(), scale) for image in (target, prediction))
        np.testing.assert_allclose(found.residual, reference(*images, NOISE.numpy() / scale), rtol=0, atol=1e-5)
        assert found.valid is None
    assert scale == 8


def test_residuals_in_double_precision_agree_to_the_last_digits(galaxies):
    target, prediction = galaxies(seed=1).double(), galaxies(seed=2).double()
    found = gradient_residuals(target, prediction, torch.zeros(2, 1, 20, 20), None, NOISE.double(), 1)
    np.testing.assert_allclose(found.residual, reference(target.numpy(), prediction.numpy(), NOISE.numpy()), atol=1e-12)


@pytest.mark.parametrize("phase", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_phase_is_a_lattice_of_every_second_pixel(galaxies, phase):
    target, prediction = galaxies(seed=1, size=15), galaxies(seed=2, size=15)
    maps = torch.arange(15.0 * 15).reshape(1, 1, 15, 15).expand(2, 1, 15, 15)
    every = gradient_residuals(target, prediction, maps, None, NOISE, 1)
    part = gradient_residuals(target, prediction, maps, None, NOISE, 1, phase)
    for one, other in zip(part[:4], every[:4]):
        assert torch.equal(one, other[..., phase[0]::2, phase[1]::2])


def test_noise_of_an_element_is_that_of_simulated_noise():
    """The stated noise is the scatter of gradients under Gaussian sky noise, for faint and bright pixels alike."""
    truth = torch.tensor([0.0, 5.0, 400.0])[None, :, None, None].expand(1, 3, 400, 400)
    sky = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1)) * NOISE
    found = gradient_residuals(truth + sky, truth, torch.zeros(1, 1, 400, 400), None, NOISE, 1)
    scatter = found.residual.std((0, 2, 3))
    stated = found.log_noise.exp().mean((0, 2, 3))
    # Where flux is of the order of the noise the softened log is curved: the linear estimate is off by some per cent.
    assert ((scatter / stated) > 0.8).all() and ((scatter / stated) < 1.04).all()
    bright = [2, 5]
    torch.testing.assert_close(scatter[bright], stated[bright], rtol=0.01, atol=0)


def test_flux_in_all_bands_alike_leaves_colour_and_gradient_residuals():
    """Gradients of bright pixels do not know a factor on the flux: that is what the anchor is for."""
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    target = 1e4 * torch.exp(-0.1 * x - 0.05 * y) * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    found = gradient_residuals(target[None], 1.7 * target[None], torch.zeros(1, 1, 8, 8), None, NOISE, 1)
    assert found.residual.abs().max() < 1e-5


def test_odd_sides_are_cut_on_either_side(galaxies):
    target = galaxies(size=13)
    seen = set()
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        levels = list(pool_scales(target, target, target[:, :1], None, 3, generator))
        assert [level[1].shape[-1] for level in levels] == [13, 6, 3]
        cuts = [(i, j) for i in range(2) for j in range(2) if torch.allclose(
            levels[1][1], torch.nn.functional.avg_pool2d(target[..., i:i + 12, j:j + 12], 2))]
        seen.update(cuts)
    assert len(seen) == 4
    last_cut = list(pool_scales(target, target, target[:, :1], None, 2))[1][1]
    torch.testing.assert_close(last_cut, torch.nn.functional.avg_pool2d(target[..., :12, :12], 2))


@pytest.mark.parametrize(("size", "expected"), [((1, 8), 0), ((2, 2), 1), ((3, 9), 1), ((4, 4), 2), ((136, 136), 7)])
def test_number_of_scales(size, expected):
    assert n_scales_of(size) == expected


def test_invalid_pixels_make_invalid_vectors(galaxies):
    target = galaxies(size=8)
    valid = torch.ones_like(target, dtype=torch.bool)
    valid[0, 1, 4, 4] = False
    (_, *finest), (_, *coarser) = list(pool_scales(target, target + 1, target[:, :1], valid, 2))
    part = gradient_residuals(*finest, NOISE, 1)
    assert set(map(tuple, (~part.valid).nonzero().tolist())) == {(0, 4, 4), (0, 4, 3), (0, 3, 4)}
    # Three quarters of the coarser pixel are good: it stays.
    assert gradient_residuals(*coarser, NOISE, 2).valid.all()
