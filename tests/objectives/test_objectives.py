"""The objectives: their minimum, their gradients, and invariance to masked pixels, units and turns."""

import math

import pytest
import torch
from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans.backbones import Backbone
from astro_galtrans.objectives import (
    Objective, Target, available_objectives, build_objective, flux_error_nll, objective_class, register_objective,
)

NAMES = ["gradient", "gradient-unweighted", "pixel"]
OUTPUT = {"gradient": "log", "gradient-unweighted": "log", "pixel": "sqrt"}


def image_loss(objective, network, prediction, target, valid=None, generator=None, progress=1.0):
    """Loss of the images alone, and metrics."""
    further = {"progress": progress} if objective.uses_progress else {}
    target = Target(target, torch.ones_like(target), valid)
    return objective.image_loss(prediction, target, network.output_space, generator, **further)


def test_registry():
    assert set(NAMES) <= set(available_objectives())
    with pytest.raises(ValueError, match="objective must be one of .*gradient, .*pixel, got 'l2'"):
        objective_class("l2")
    with pytest.raises(ValueError, match="'pixel' is registered already: PixelObjective"):
        register_objective("pixel")(object)


@pytest.mark.parametrize("max_scales", [0, 11])
def test_number_of_scales_is_checked(max_scales):
    with pytest.raises(ValueError, match=f"max_scales must be 1 to 10, got {max_scales}"):
        build_objective("gradient-unweighted", n_bands=3, n_features=4, n_embedding=8, max_scales=max_scales)


@pytest.mark.parametrize("name", NAMES)
def test_perfect_prediction_is_the_minimum(name, make_network, make_objective, galaxies, predict, loss_of):
    network, objective = make_network(output=OUTPUT[name]), make_objective(name)
    target = galaxies()
    perfect = predict(network, target)
    best = loss_of(objective, network, perfect, target)
    if name != "gradient":
        assert best.item() == pytest.approx(0, abs=1e-10)
    grad, = torch.autograd.grad(best, perfect.flux)
    assert grad.abs().max() < 1e-6
    worse = [best.item()]
    for size in (0.05, 0.2, 1.0):
        prediction = predict(network, target * (1 + size * galaxies(seed=9, noise=1.0).sign()))
        worse.append(loss_of(objective, network, prediction, target).item())
    assert worse == sorted(worse)


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_gets_a_gradient(name, make_network, make_objective, galaxies, randn):
    network = make_network(output=OUTPUT[name])
    objective = make_objective(name)
    prediction = network(0.05 * randn(2, 3, 16, 16), (34, 34))
    target = galaxies(size=34)
    generator = torch.Generator().manual_seed(1)
    loss, metrics = objective(prediction, Target(target, torch.ones_like(target)), network.output_space, generator)
    loss.backward()
    assert loss.item() == pytest.approx(float(metrics["loss"] + metrics["flux_nll"]))
    assert all(value.ndim == 0 and not value.requires_grad for value in metrics.values())
    n_scales = 0 if name == "pixel" else objective.n_scales(target)
    for part, module in (("network", network), ("objective", objective)):
        for key, parameter in module.named_parameters():
            if "scale_" in key and int(key.split(".")[1]) >= n_scales:
                continue  # coarser than these images
            if "flow" in key and parameter.grad is not None and "final" not in key:
                continue  # the last layers of a new flow are zero: what is below them moves from the second step on
            if key.startswith("context"):
                continue
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, f"{part}.{key}"


def test_flow_and_context_get_gradients_after_the_first_step(make_network, make_objective, galaxies, randn):
    network, objective = make_network(), make_objective("gradient")
    parameters = [*network.parameters(), *objective.parameters()]
    optimizer = torch.optim.SGD(parameters, 1e-2)
    target, flux = galaxies(size=34), 0.05 * randn(2, 3, 16, 16)
    for step in range(3):
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(step)
        loss, _ = image_loss(objective, network, network(flux, (34, 34)), target, None, generator)
        loss.backward()
        optimizer.step()
    for key, parameter in objective.named_parameters():
        if key.startswith(("flow", "context")):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


def test_pixels_count_beside_the_likelihood(make_network, make_objective, galaxies, predict, loss_of):
    """What the image feels is the sum of the likelihood's pull and so many times that of the pixel objective."""
    network, target = make_network(), galaxies()
    prediction, pulls = predict(network, galaxies(seed=2)), {}
    runs = {"both": make_objective("gradient", pixel_weight=7.0), "alone": make_objective("gradient", pixel_weight=0.0),
            "pixel": make_objective("pixel")}
    for key, objective in runs.items():
        loss = loss_of(objective, network, prediction, target)
        pulls[key], = torch.autograd.grad(loss, prediction.flux, retain_graph=True)
    torch.testing.assert_close(pulls["both"], pulls["alone"] + 7.0 * pulls["pixel"])


def test_network_feels_the_flow(make_network, make_objective, galaxies, predict, loss_of):
    """With the flow's share of the likelihood left out, the gradient of the flux is another."""
    network, objective = make_network(), make_objective("gradient")
    with torch.no_grad():
        for parameter in objective.flow.parameters():
            parameter.add_(0.1)
    grads = {}
    for n_flow in (64, 0):
        objective.n_flow = n_flow
        prediction = predict(network, galaxies(seed=2))
        loss = loss_of(objective, network, prediction, galaxies(), progress=1.0, seed=3)
        grads[n_flow], = torch.autograd.grad(loss, prediction.flux)
    assert not torch.allclose(grads[64], grads[0])


def test_flow_estimate_is_unbiased(make_network, make_objective, galaxies, predict):
    """The mean over draws is the likelihood under the flow of all vectors."""
    network, objective = make_network(), make_objective(
        "gradient", max_scales=1, n_flow=256, aperture_weight=0.0, pixel_weight=0.0)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(5)
        for parameter in objective.flow.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        target, prediction = galaxies(), predict(network, galaxies(seed=2))
        drawn = torch.stack([
            image_loss(objective, network, prediction, target, None, torch.Generator().manual_seed(seed), 1.0)[0]
            for seed in range(150)])
        exact = []
        for y in range(2):
            for x in range(2):
                part = _one_phase(objective, network, prediction, target, (y, x))
                exact.append(part)
    error = drawn.std() / len(drawn)**0.5
    assert abs(drawn.mean() - torch.stack(exact).mean()) < 4 * error
    assert error < 0.02


def _one_phase(objective, network, prediction, target, phase):
    from astro_galtrans.objectives import gradient_residuals

    scale = gradient_residuals(target, prediction.flux, prediction.maps, None, network.target_noise, 1, phase)
    log_sigma = objective.log_excess(0, scale, prediction.embedding) - math.log(2)
    u = scale.residual * (-scale.log_noise - log_sigma).exp()
    n, _, height, width = u.shape
    galaxy = torch.arange(n).repeat_interleave(height * width)
    log_flux = scale.log_flux.flatten(2).transpose(1, 2).flatten(0, 1)
    flat = u.flatten(2).transpose(1, 2).flatten(0, 1)
    context = objective._contexts(galaxy, log_flux, prediction.embedding, 0)
    weight = log_flux.clamp(min=0).mean(1) + 0.05  # flux weight of a vector
    weight = weight / weight.mean()
    flow = -(objective.flow.log_prob(flat, context) * weight).mean() / u.shape[1]
    return flow + (log_sigma.mean(1).flatten() * weight).mean()


@pytest.mark.parametrize("name", NAMES)
def test_unit_of_the_target_does_not_matter(name, make_network, make_objective, galaxies, predict, loss_of):
    objective = make_objective(name)
    losses = []
    for factor in (1.0, 1000.0):
        network = make_network(output=OUTPUT[name])
        network.target_noise *= factor
        prediction = predict(network, factor * galaxies(seed=2))
        losses.append(loss_of(objective, network, prediction, factor * galaxies()).item())
    assert losses[0] == pytest.approx(losses[1], rel=2e-5)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_turned_images_cost_the_same_on_average(name, turns, make_network, make_objective, galaxies, predict, loss_of):
    # Differences reach to the right and downwards: the rim they leave out is another one, which matters where an
    # image of a coarse scale is little more than rim.
    network = make_network(output=OUTPUT[name])
    objective = make_objective(name, **({} if name == "pixel" else {"max_scales": 3}))
    target, flux = galaxies(size=32), galaxies(seed=2, size=32)
    losses = []
    for k in (0, turns):
        prediction = predict(network, flux)
        prediction = prediction._replace(
            flux=torch.rot90(flux, k, (2, 3)), value=network.from_flux(torch.rot90(flux, k, (2, 3))),
            maps=torch.rot90(prediction.maps, k, (2, 3)))
        losses.append(sum(
            loss_of(objective, network, prediction, torch.rot90(target, k, (2, 3)), seed=seed).item()
            for seed in range(4)))
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_masked_pixels_carry_no_gradient(name, make_network, make_objective, galaxies, predict, loss_of):
    network, objective = make_network(output=OUTPUT[name]), make_objective(name)
    target = galaxies()
    valid = torch.rand(target.shape, generator=torch.Generator().manual_seed(3)) > 0.1
    valid[0, :, 4:9, 3:8] = False
    results = []
    for garbage in (0.0, 1e4):
        prediction = predict(network, galaxies(seed=2))
        loss = loss_of(objective, network, prediction, torch.where(valid, target, garbage), valid)
        grad, = torch.autograd.grad(loss, prediction.flux)
        results.append((loss, grad))
        assert (grad[~valid] == 0).all()
        assert (grad[valid] != 0).any() and grad.isfinite().all()
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_any_valid_pixel(name, make_network, make_objective, galaxies, predict, loss_of):
    network, objective = make_network(output=OUTPUT[name]), make_objective(name)
    prediction = predict(network, galaxies(seed=2))
    target = galaxies()
    loss = loss_of(objective, network, prediction, target, torch.zeros_like(target, dtype=torch.bool))
    loss.backward()
    assert loss.isfinite() and prediction.flux.grad.abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, -1e4, 1e6, 1e12])
def test_extreme_flux_is_finite(name, value, make_network, make_objective, galaxies, predict, loss_of):
    network, objective = make_network(output=OUTPUT[name]), make_objective(name)
    target = torch.zeros(1, 3, 20, 20)
    target[..., 9:12, 9:12] = value * 0.5
    for flux in (galaxies(n=1), torch.zeros_like(target), target.clone(), -target):
        prediction = predict(network, flux)
        loss = loss_of(objective, network, prediction, target)
        loss.backward()
        assert loss.isfinite()
        for tensor in (prediction.flux, prediction.maps, prediction.embedding):
            assert tensor.grad is None or tensor.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_loss_of_a_fixed_batch_falls(name, make_network, make_objective, galaxies, randn):
    network, objective = make_network(output=OUTPUT[name]), make_objective(name)
    optimizer = torch.optim.Adam([*network.parameters(), *objective.parameters()], 3e-3)
    target = galaxies(size=34)
    flux = torch.nn.functional.interpolate(target, (16, 16), mode="area") / 200 + 0.02 * randn(2, 3, 16, 16)
    losses = []
    for step in range(25):
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(1)
        loss, _ = image_loss(objective, network, network(flux, (34, 34)), target, None, generator, step / 25)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.2 * abs(losses[0])


@pytest.mark.parametrize("name", NAMES)
def test_one_band_and_odd_sizes(name, make_network, make_objective, galaxies, predict, loss_of):
    network = make_network(n_bands=1, output=OUTPUT[name])
    objective = make_objective(name, n_bands=1)
    target = galaxies(n_bands=1, size=13)
    assert loss_of(objective, network, predict(network, target + 1), target).isfinite()


def test_draws_come_from_the_generator_alone(make_network, make_objective, galaxies, predict, loss_of):
    network, objective = make_network(), make_objective("gradient", n_flow=16)
    prediction, target = predict(network, galaxies(seed=2)), galaxies()
    one, same, other = (loss_of(objective, network, prediction, target, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_weights_fall_with_the_noise_and_skip_masked_pixels(make_network, make_objective, galaxies, predict):
    network, objective = make_network(), make_objective("gradient")
    target = galaxies(size=32, noise=0.0)
    valid = torch.ones_like(target, dtype=torch.bool)
    valid[0, 0, 10, 10] = False
    prediction = predict(network, target)
    for scale, side in ((1, 31), (2, 15), (8, 3)):
        weights = objective.weights(prediction, Target(target, target, valid), network.output_space, scale)
        assert weights.shape == (2, 8, side, side)
        assert weights.isfinite().all() and (weights >= 0).all()
    weights = objective.weights(prediction, Target(target, target, valid), network.output_space)
    assert (weights[0, :, 10, 10] == 0).all() and (weights[1] > 0).all()
    # Residuals are zero and scales those of the sky: the weight is 1.2 over the variance of the element.
    from astro_galtrans.objectives import gradient_residuals
    part = gradient_residuals(target, target, prediction.maps, None, network.target_noise, 1)
    torch.testing.assert_close(weights[1], (1.2 / (2 * part.log_noise).exp())[1], rtol=5e-3, atol=0)
    bright = target[1, 0, :-1, :-1] > 20
    assert weights[1, 0][bright].min() > weights[1, 0][target[1, 0, :-1, :-1] < 2].max()


@pytest.mark.parametrize("scale", [0, 3, 64])
def test_scale_of_the_weights_is_checked(scale, make_network, make_objective, galaxies, predict):
    network, objective = make_network(), make_objective("gradient")
    target = galaxies()
    with pytest.raises(ValueError, match=f"scale must be a power of 2 .*got {scale}"):
        objective.weights(predict(network, target), Target(target, target), network.output_space, scale)


def test_error_of_the_flux_learns_the_size_of_the_error(make_network, galaxies, predict):
    """At its minimum sigma is the scatter of the prediction about the truth, without the noise of the target."""
    network = make_network()
    truth = galaxies(n=8, size=32, noise=0.0)
    noise = network.target_noise
    target = truth + noise * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    wrong = truth + 2 * noise * torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    weight = (1 / noise**2).expand_as(target)
    prediction = predict(network, wrong)

    def nll(log_sigma, seed=0):
        images = prediction._replace(log_sigma=torch.full_like(truth, log_sigma))
        generator = torch.Generator().manual_seed(seed)
        return flux_error_nll(images, Target(target, weight), network.output_space, generator).item()

    values = {
        ratio: sum(nll(math.log(ratio), seed) for seed in range(8)) for ratio in (1.0, 1.8, 2.0, 2.2, 4.0)}
    assert min(values, key=values.get) in (1.8, 2.0, 2.2)


def test_error_of_the_flux_reads_no_masked_pixel_and_moves_no_flux(make_network, galaxies, predict):
    network = make_network()
    target, prediction = galaxies(), predict(network, galaxies(seed=2))
    weight = torch.ones_like(target)
    weight[:, :, 3:12] = 0
    results = [
        flux_error_nll(prediction, Target(torch.where(weight > 0, target, garbage), weight), network.output_space,
                       torch.Generator().manual_seed(1))
        for garbage in (0.0, 1e6)]
    assert torch.equal(*results)
    results[0].backward()
    assert prediction.flux.grad is None
    assert (prediction.log_sigma.grad[:, :, 3:12] == 0).all() and prediction.log_sigma.grad.abs().max() > 0


@pytest.mark.parametrize("log_sigma", [-60.0, 60.0, 3000.0])
def test_error_of_the_flux_is_finite_for_every_sigma(make_network, galaxies, predict, log_sigma):
    network, target = make_network(), galaxies()
    prediction = predict(network, galaxies(seed=2) * 1e6)
    sigma = torch.full_like(target, log_sigma, requires_grad=True)
    weight = torch.ones_like(target)
    nll = flux_error_nll(prediction._replace(log_sigma=sigma), Target(target, weight), network.output_space,
                         torch.Generator().manual_seed(1))
    nll.backward()
    assert nll.isfinite() and sigma.grad.isfinite().all()


@pytest.mark.parametrize("name", ["gradient", "gradient-unweighted"])
def test_a_color_of_the_whole_galaxy_is_an_error(make_network, make_objective, galaxies, predict, loss_of, name):
    """Half a magnitude in one band, in apertures alone, since one scale of spatial gradients feels none of it."""
    network, losses = make_network(), {}
    target = galaxies(noise=0.0)
    options = {"max_scales": 1, "elements": "spatial"} | ({"aperture_weight": 1.0} if name == "gradient" else {})
    objective = make_objective(name, **options)
    for change in (1.0, 0.6):
        flux = target * torch.tensor([1.0, change, 1.0])[:, None, None]
        losses[change] = loss_of(objective, network, predict(network, flux), target).item()
    assert losses[0.6] > losses[1.0] + 0.01


def test_a_neighbor_is_no_error_of_the_galaxy(make_network, make_objective, galaxies, predict):
    """Where apertures follow the galaxy, a neighbor that only the target has costs nothing in them."""
    network, target = make_network(), galaxies(noise=0.0)
    objective = make_objective("gradient-unweighted")
    flux = torch.zeros_like(target)
    flux[..., 13:16, 3:6] = 200.0
    weights = torch.ones(len(target), 3, *target.shape[-2:])
    weights[..., 13:16, 3:6], weights[..., 4:7, 14:17] = 0, 2
    residuals = []
    for own in (None, weights.flatten(2)):
        prediction = predict(network, target)._replace(aperture_weights=own)
        truth = Target(target + flux, torch.ones_like(target))
        residuals.append(objective._apertures(prediction, truth, network.output_space)[0].abs().max().item())
    assert residuals[0] > 0.1 and residuals[1] < 1e-5


@pytest.mark.parametrize("elements", ["spatial", "passband", "gradients", "log flux"])
def test_what_is_compared(make_network, make_objective, galaxies, predict, elements):
    """Gradient vectors of each kind have their length, and a translation without error has residuals of 0."""
    network, target = make_network(), galaxies()
    objective = make_objective("gradient", elements=elements)
    with torch.no_grad():
        prediction, truth = predict(network, target), Target(target, target)
        scales = list(objective.scales(prediction, truth, network.output_space, torch.Generator()))
    lengths = {"spatial": 2 * 3, "passband": 2, "gradients": 3 * 3 - 1, "log flux": 3}
    assert {part.residual.shape[1] for _, part in scales} == {lengths[elements]}
    assert all(float(part.residual.abs().max()) == 0 for _, part in scales)


def test_gaussian_weights_are_inverse_variances(make_network, make_objective, galaxies, predict):
    network, target = make_network(), galaxies()
    objective = make_objective("gradient", gaussian=True)
    prediction = predict(network, galaxies(seed=2))
    near, far = (objective.weights(prediction, Target(target + change, target), network.output_space)
                 for change in (0.0, 3.0))
    torch.testing.assert_close(near, far)
    assert objective.n_flow == 0


@pytest.mark.parametrize("options", [{"elements": "colours"}, {"aperture_weight": -1.0}])
def test_bad_options_are_named(make_objective, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make_objective("gradient", **options)


def test_an_objective_of_an_earlier_version(monkeypatch, make_network, galaxies, predict):
    from astro_galtrans.objectives import contract

    monkeypatch.setattr(contract, "_registry", dict(contract._registry))
    with pytest.warns(AstropyDeprecationWarning, match="selects, refusal, forward.*, output of objective 'old'"):
        @register_objective("old")
        class Old(Objective):
            output, selects = "sqrt", False

            def __init__(self, n_bands, n_features, n_embedding, power=1):
                super().__init__()
                self.power = power

            @classmethod
            def refusal(cls, backbone):
                return "it samples" if backbone.generative else None

            def forward(self, network, prediction, target, valid, generator, progress=1.0):
                error = ((prediction.flux - target) / network.target_noise).abs() ** self.power
                return error.mean() * progress, {"error": float(error.detach().mean())}

    network, target = make_network(), galaxies()
    prediction = predict(network, galaxies(seed=2))
    objective = build_objective("old", n_bands=3, n_features=4, n_embedding=8, power=2)
    loss, metrics = objective(prediction, Target(target, torch.ones_like(target)), network.output_space,
                              torch.Generator().manual_seed(1), progress=0.5)
    assert metrics["loss"] == pytest.approx(0.5 * metrics["error"])
    assert loss.item() == pytest.approx(float(metrics["loss"] + metrics["flux_nll"]))
    assert not Old.monitors_validation_loss and Old.network_parts == {"output": "sqrt"}
    Old.check_compatible(Backbone)
    with pytest.raises(ValueError, match="it samples"):
        Old.check_compatible(type("Sampled", (Backbone,), {"generative": True}))


def test_an_objective_needs_only_what_its_constructor_takes():
    assert build_objective("pixel", n_bands=3, n_features=4, n_embedding=8).state_dict() == {}
    with pytest.raises(TypeError, match="depth"):
        build_objective("pixel", depth=2)


def test_an_objective_without_a_loss_says_so(make_network, galaxies, predict):
    network, target = make_network(), galaxies()
    with pytest.raises(NotImplementedError, match="image_loss"):
        Objective().image_loss(predict(network, target), Target(target, target), network.output_space, None)
