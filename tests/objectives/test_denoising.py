"""The objective of a diffusion: its weighting, the backbones that it refuses, and the training of a network."""

import pytest
import torch

from astro_galtrans.backbones import NetworkConfig, Noisy, TranslationNetwork, available_backbones, backbone_class
from astro_galtrans.objectives import Target, build_objective, objective_class

pytestmark = pytest.mark.monai

OPTIONS = {"channels": [8, 16], "n_features": 8, "n_groups": 4, "head_channels": 16}


@pytest.fixture(scope="module")
def make_diffusion():
    def make(**options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return TranslationNetwork(NetworkConfig(
                "diffusion", [0.02] * 3, [0.5, 0.75, 1.0], [900.0] * 3, [0, 1, 2], 0.187 / 0.396,
                backbone_options=OPTIONS,
                **{"output": "sqrt", "residual": False, "value_scale": [4.0, 5.0, 6.0], **options}))
    return make


def image_loss(objective, network, prediction, target, valid=None, generator=None, progress=1.0):
    """Loss of the images alone, and metrics."""
    further = {"progress": progress} if objective.uses_progress else {}
    target = Target(target, torch.ones_like(target), valid)
    return objective.image_loss(prediction, target, network.output_space, generator, **further)


def objective_of(**options):
    return build_objective("denoising", n_bands=3, n_features=8, n_embedding=16, **options)


def test_refuses_what_is_not_shown_noise():
    cls = objective_class("denoising")
    for name in available_backbones():
        backbone = backbone_class(name)
        if backbone.generative:
            cls.check_compatible(backbone)
            continue
        with pytest.raises(ValueError, match=f"generative backbone such as 'diffusion' .*{backbone.__name__}"):
            cls.check_compatible(backbone)


def test_weighting_is_checked():
    with pytest.raises(ValueError, match="weighting must be one of velocity, noise, truncated, got 'snr'"):
        objective_of(weighting="snr")


@pytest.mark.parametrize("residual", [True, False])
def test_loss_is_the_squared_error_of_the_noise(residual, make_diffusion, galaxies, randn):
    """And with the other weighting that of the velocity, computed from what the network's head says of both."""
    network = make_diffusion(residual=residual)
    flux, target = 0.05 * randn(4, 3, 10, 10), galaxies(4, size=20)
    schedule, time = network.backbone.schedule, torch.tensor([0, 30, 500, 999])
    clean = network.from_flux(target) - (network.base(flux, (20, 20)) if residual else 0)
    clean, noise = clean / network.value_scale, randn(4, 3, 20, 20, seed=5)
    with torch.no_grad():
        noisy = schedule.add_noise(clean, noise, time)
        prediction = network(flux, (20, 20), None, noisy)
        velocity = network.image_head(prediction.maps)
        signal, spread = (rate[time][:, None, None, None] for rate in (schedule.signal, schedule.noise))
        of_noise = (signal * velocity + spread * noisy.image - noise).square().mean()
        of_velocity = (velocity - signal * noise + spread * clean).square().mean()
        for weighting, expected in (("noise", of_noise), ("velocity", of_velocity)):
            loss, logs = image_loss(objective_of(weighting=weighting), network, prediction, target, None, None)
            torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-5)
            assert logs == {}


def test_all_times_are_weighed_but_the_last(make_diffusion, galaxies, randn):
    """An equal error of the clean image counts by how well it can be seen; at the last time it counts as a velocity."""
    network, target, weights = make_diffusion(), galaxies(1, size=20), {}
    prediction = network(0.05 * randn(1, 3, 10, 10), (20, 20), None, Noisy(randn(1, 3, 20, 20), torch.tensor([5])))
    snr = network.backbone.schedule.signal_to_noise
    for weighting in ("noise", "velocity", "truncated"):
        off = prediction._replace(value=network.from_flux(target) + network.value_scale)
        weights[weighting] = [
            image_loss(objective_of(weighting=weighting), network, off._replace(signal_to_noise=snr(time[None])),
                       target)[0].item()
            for time in torch.arange(0, 1000, 37)]
        assert weights[weighting] == sorted(weights[weighting], reverse=True)
    assert weights["noise"][-1] == 0 and min(weights["velocity"]) == min(weights["truncated"]) == pytest.approx(1)
    assert weights["noise"][0] == pytest.approx(weights["truncated"][0])


def test_masked_pixels_do_not_count(make_diffusion, galaxies, randn):
    network, target = make_diffusion(), galaxies(2, size=20)
    noisy = network.draw_noisy(0.05 * randn(2, 3, 10, 10), target, torch.Generator().manual_seed(1))
    prediction = network(0.05 * randn(2, 3, 10, 10), (20, 20), None, noisy)
    valid = torch.ones_like(target, dtype=torch.bool)
    valid[0, 1, 4:9, 3:12] = False
    changed = torch.where(valid, target, 1e6)
    one, other = (image_loss(objective_of(), network, prediction, image, valid, None)[0] for image in (target, changed))
    assert torch.equal(one, other)


@pytest.mark.parametrize("weighting", ["noise", "velocity"])
def test_learns_a_batch(weighting, make_diffusion, galaxies, randn):
    """With one batch and one draw of noise the loss falls by more than half, and the image is seen in the noise."""
    network, objective = make_diffusion(), objective_of(weighting=weighting)
    flux, target = 0.05 * randn(4, 3, 10, 10), galaxies(4, size=20)
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    losses = []
    for _ in range(60):
        noisy = network.draw_noisy(flux, target, torch.Generator().manual_seed(2))
        loss, _ = image_loss(objective, network, network(flux, (20, 20), None, noisy), target, None, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_sampling_repeats_for_a_seed(make_diffusion, randn):
    network, flux, noise = make_diffusion(), 0.05 * randn(2, 3, 10, 10), randn(2, 3, 20, 20)
    with torch.no_grad():
        one, again, other = (
            network.sample(flux, (20, 20), noise=start, n_steps=3).flux for start in (noise, noise, -noise))
    assert torch.equal(one, again) and one.isfinite().all()
    assert not torch.equal(one, other)
