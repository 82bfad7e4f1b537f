"""The photometry head: aperture fluxes in, aperture fluxes out."""

import numpy as np
import pytest
import torch

from astro_galtrans.backbones import PhotometryHead, aperture_fluxes, aperture_radii, log_apertures

SCALE_RATIO = 0.187 / 0.396
NOISE = torch.tensor([2.0, 1.0, 3.0])[:, None, None]


def galaxies(n, size, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y, x = (torch.arange(size) - (size - 1) / 2 for _ in range(2))
    light = torch.exp(-torch.hypot(y[:, None], x[None]) / width)
    return light * (200 + 400 * torch.rand(n, 3, 1, 1, generator=generator))


def solve(head, flux, target):
    head.solve(head.features(flux, NOISE), log_apertures(target, NOISE, head.radii))


@pytest.fixture
def head():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PhotometryHead(3, 3, 0, SCALE_RATIO)


def test_apertures_measure_the_area_of_a_circle():
    for radius in (3.0, 7.3):
        fluxes, areas = aperture_fluxes(torch.ones(1, 1, 32, 33), (radius,))
        assert fluxes.item() == pytest.approx(np.pi * radius**2, rel=2e-2)
        assert areas.item() == pytest.approx(fluxes.item())


def test_apertures_are_wide_in_both_directions_of_a_translation():
    # the same circles on the sky whichever survey is the target
    forth, back = aperture_radii(SCALE_RATIO), aperture_radii(1 / SCALE_RATIO)
    np.testing.assert_allclose(np.array(forth) * 0.187, np.array(back) * 0.396, rtol=1e-6)


def test_images_agree_with_the_predicted_fluxes(head):
    image, other = galaxies(4, 68, 6.0), galaxies(4, 68, 7.0, seed=1)
    levels = log_apertures(other, NOISE, head.radii)
    changed = log_apertures(head.apply_to(image, levels, NOISE), NOISE, head.radii)
    before = (log_apertures(image, NOISE, head.radii) - levels).abs()
    after = (changed - levels).abs()
    assert after[..., 0].max() < 1e-3
    assert after.max() < 1e-2
    assert before.mean() > 50 * after.mean()


def test_an_image_that_agrees_is_left_alone(head):
    image = galaxies(2, 68, 6.0)
    same = head.apply_to(image, log_apertures(image, NOISE, head.radii), NOISE)
    torch.testing.assert_close(same, image, rtol=1e-5, atol=1e-5)


def test_images_smaller_than_the_apertures(head):
    """What lies outside has no flux to be changed; the rest is left alone where it agrees."""
    image = galaxies(2, 9, 3.0)
    levels = log_apertures(image, NOISE, head.radii)
    torch.testing.assert_close(head.apply_to(image, levels, NOISE), image, rtol=1e-5, atol=1e-5)
    brighter = log_apertures(1.5 * image, NOISE, head.radii)
    torch.testing.assert_close(head.apply_to(image, brighter, NOISE), 1.5 * image, rtol=2e-2, atol=0)


def test_dark_images_give_no_nan(head):
    image = torch.zeros(2, 3, 68, 68, requires_grad=True)
    result = head.apply_to(image, torch.full((2, 3, 3), 5.0), NOISE)
    result.sum().backward()
    assert torch.isfinite(result).all() and torch.isfinite(image.grad).all()


def test_fluxes_start_from_those_of_the_input(head):
    """The same galaxies on both grids: a head that is not trained yet has them right, also beyond what it has seen."""
    flux, target = galaxies(200, 32, 3.0), galaxies(200, 68, 3.0 / SCALE_RATIO) * SCALE_RATIO**2
    solve(head, flux, target)
    for factor in (1.0, 3.0):
        with torch.no_grad():
            levels = head(factor * flux, NOISE, torch.zeros(200, 0))
        error = levels - log_apertures(factor * target, NOISE, head.radii)
        assert error.mean(0).abs().max() < 0.05
        assert error.abs().max() < 0.2
    assert log_apertures(target, NOISE, head.radii).std() > 0.3


def test_noise_of_a_band_is_not_handed_on(head):
    """A band that is noise in the input is told from the others, which have the same brightness."""
    generator = torch.Generator().manual_seed(3)
    light = galaxies(400, 32, 3.0)[:, :1].repeat(1, 3, 1, 1)
    noise = torch.tensor([0.0, 0.0, 40.0])[:, None, None] * torch.randn(light.shape, generator=generator)
    target = torch.nn.functional.interpolate(light, size=(68, 68), mode="bilinear")
    solve(head, light + noise, target)
    with torch.no_grad():
        error = head(light + noise, NOISE, torch.zeros(400, 0)) - log_apertures(target, NOISE, head.radii)
    handed_on = log_apertures(light + noise, NOISE, head.input_radii) - log_apertures(light, NOISE, head.input_radii)
    assert error[:, 2].std() < 0.25 * handed_on[:, 2].std()


def test_every_parameter_of_the_head_gets_a_gradient(make_network):
    net = make_network(photometry=True)
    flux, target = galaxies(3, 32, 3.0) * 0.01, galaxies(3, 68, 6.0)
    solve(net.photometry, flux, target)
    prediction = net(flux, (68, 68))
    log_apertures(prediction.flux, net.target_noise, net.photometry.radii).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.photometry.parameters())


@pytest.mark.parametrize("output", ["log", "sqrt"])
def test_value_and_flux_stay_one(make_network, output):
    net = make_network(photometry=True, output=output)
    prediction = net(galaxies(2, 32, 3.0) * 0.01, (68, 68))
    torch.testing.assert_close(net.to_flux(prediction.value), prediction.flux, rtol=1e-3, atol=1e-3)


@pytest.mark.monai
def test_samples_of_a_galaxy_share_its_fluxes(make_network):
    # the embedding of a generative backbone has seen a noisy target, and is not read
    net = make_network("diffusion", photometry=True, value_scale=[0.02] * 3)
    flux, radii = galaxies(2, 32, 3.0) * 0.01, net.photometry.radii
    net.photometry.level_mean.copy_(log_apertures(net.to_flux(net.base(flux, (68, 68))), net.target_noise, radii)[0])
    images = [net.sample(flux, (68, 68), n_steps=2, noise=torch.randn(
        2, 3, 68, 68, generator=torch.Generator().manual_seed(seed))).flux for seed in range(2)]
    assert (images[0] - images[1]).abs().max() > 0.1
    levels = [log_apertures(image, net.target_noise, radii[:1]) for image in images]
    torch.testing.assert_close(levels[0], levels[1], rtol=1e-4, atol=1e-4)
