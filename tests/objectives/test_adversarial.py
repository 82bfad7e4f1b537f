"""The adversarial objective: what the discriminator receives, what moves it, and what must not."""

import pytest
import torch
from astropy.utils.exceptions import AstropyDeprecationWarning
from torch import nn

from astro_galtrans.backbones import Backbone, stretch
from astro_galtrans.objectives import Discriminator, Target, build_objective, diversity, objective_class


def image_loss(objective, network, prediction, target, valid=None, generator=None, progress=1.0):
    """Loss of the images alone, and metrics."""
    further = {"progress": progress} if objective.uses_progress else {}
    target = Target(target, torch.ones_like(target), valid)
    return objective.image_loss(prediction, target, network.output_space, generator, **further)


def discriminator_loss(objective, network, prediction, target, valid=None):
    return objective.discriminator_loss(prediction, Target(target, torch.ones_like(target), valid),
                                        network.output_space)


@pytest.fixture
def network(make_network):
    return make_network(output="sqrt", residual=False)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def discriminator(n_bands=3, seed=1, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Discriminator(n_bands, **options)


def gradients(module):
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_equal_states(one, other, equal=True):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one) is equal


@pytest.mark.parametrize("size", [(10, 10), (11, 13), (34, 34), (136, 40), (1, 3)])
@pytest.mark.parametrize("n_bands", [1, 5])
def test_discriminator_takes_any_size_and_number_of_bands(randn, size, n_bands):
    for spectral in (True, False):
        scores = discriminator(n_bands, widths=(4, 6, 8), spectral=spectral)(randn(2, n_bands, *size))
        assert scores.shape[0] == 2 and scores.ndim == 2
        assert scores.isfinite().all()


def test_discriminator_is_bounded_in_steepness(randn):
    """Each convolution has a largest singular value of about 1 as a matrix, however large its weights are."""
    module = discriminator()
    with torch.no_grad():
        for layer in module.layers:
            layer.parametrizations.weight.original.mul_(100)
    module.train()
    for _ in range(20):
        module(randn(2, 3, 16, 16))
    for layer in module.eval().layers:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert float(norm.detach()) == pytest.approx(1, abs=0.02)


def test_discriminator_modules_each_image_by_itself(randn):
    module, images = discriminator().eval(), randn(3, 3, 20, 20)
    torch.testing.assert_close(module(images)[:1], module(images[:1]))


def test_discriminator_is_in_float32_under_autocast(randn):
    module, images = discriminator().eval(), randn(1, 3, 20, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = module(images)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, module(images))


@pytest.mark.parametrize("masked", [False, True])
def test_warm_up_is_the_pixel_objective(network, make_objective, galaxies, predict, randn, generator, masked):
    target, valid = galaxies(), randn(2, 3, 20, 20) > -1 if masked else None
    losses, grads = [], []
    for objective in (make_objective("adversarial", warm_up=0.3), make_objective("pixel")):
        prediction = predict(network, galaxies(seed=2))
        loss, _ = image_loss(objective, network, prediction, target, valid, generator, 0.29)
        losses.append(loss)
        grads += torch.autograd.grad(loss, prediction.flux)
    assert torch.equal(*losses)
    assert torch.equal(*grads)


def test_discriminator_is_used_after_the_warm_up_and_trains_before(make_objective):
    objective = make_objective("adversarial", warm_up=0.3)
    assert [objective.generator_uses_discriminator(x) for x in (0.0, 0.29, 0.3, 1.0)] == [False, False, True, True]
    assert [objective.trains_discriminator(x) for x in (0.0, 0.19, 0.21, 1.0)] == [False, False, True, True]
    at_once = make_objective("adversarial", warm_up=0.0)
    assert at_once.generator_uses_discriminator(0.0) and at_once.trains_discriminator(0.0)


def test_weight_scales_the_term_of_the_critic(network, make_objective, galaxies, predict, generator):
    target, prediction = galaxies(), predict(network, galaxies(seed=2))
    loss, logs = image_loss(make_objective("adversarial", weight=0.5), network, prediction, target, None, generator)
    assert float(loss.detach()) == pytest.approx(logs["pixel"] + 0.5 * logs["adversarial"], rel=1e-6)
    alone, _ = image_loss(make_objective("adversarial", weight=0.0), network, prediction, target, None, generator)
    assert float(alone.detach()) == pytest.approx(logs["pixel"], rel=1e-6)


@pytest.mark.parametrize("regularization", ["spectral", "r1"])
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_loss_of_the_network_leaves_the_discriminator_alone(
        network, make_objective, galaxies, randn, generator, progress, regularization):
    objective = make_objective("adversarial", regularization=regularization).train()
    before = state(objective)
    prediction = network(0.05 * randn(2, 3, 10, 10), (20, 20))
    image_loss(objective, network, prediction, galaxies(), None, generator, progress)[0].backward()
    assert set(gradients(objective).values()) == {None}
    assert_equal_states(state(objective), before)
    assert objective.discriminator.training
    assert all(parameter.requires_grad for parameter in objective.parameters())
    moved = {name for name, grad in gradients(network).items() if grad is not None and grad.abs().max() > 0}
    assert moved == {name for name in gradients(network) if not name.startswith("sigma_head")}


@pytest.mark.parametrize("regularization", ["spectral", "r1"])
def test_loss_of_the_discriminator_leaves_the_network_alone(network, make_objective, galaxies, randn, regularization):
    objective = make_objective("adversarial", regularization=regularization).train()
    prediction = network(0.05 * randn(2, 3, 10, 10), (20, 20))
    loss, logs = discriminator_loss(objective, network, prediction, galaxies(), None)
    loss.backward()
    assert set(gradients(network).values()) == {None}
    for name, grad in gradients(objective.discriminator).items():
        assert grad is not None and grad.isfinite().all(), name
        if "layers.4.bias" not in name:  # the hinge loss of an undecided discriminator: its last bias cancels
            assert grad.abs().max() > 0, name
    assert set(logs) == {"critic_loss", "critic_real", "critic_fake"}


def test_power_iteration_steps_with_the_discriminator_alone(network, make_objective, galaxies, predict, generator):
    objective, prediction = make_objective("adversarial").train(), predict(network, galaxies(seed=2))
    before = state(objective)
    image_loss(objective, network, prediction, galaxies(), None, generator)
    assert_equal_states(state(objective), before)
    discriminator_loss(objective, network, prediction, galaxies(), None)
    assert_equal_states(state(objective), before, equal=False)


def test_hinge_loss(network, make_objective, galaxies, predict, generator):
    """Of equal scores s of all images: max(0, 1 - s) + max(0, 1 + s), and -s for the generator."""
    objective, prediction = make_objective("adversarial", regularization="r1"), predict(network, galaxies(seed=2))
    last = objective.discriminator.layers[-1]
    nn.init.zeros_(last.weight)
    for score, expected in ((0.0, 2.0), (0.5, 2.0), (3.0, 4.0)):
        nn.init.constant_(last.bias, score)
        loss, logs = discriminator_loss(objective, network, prediction, galaxies(), None)
        assert logs == {"critic_loss": expected, "critic_real": score, "critic_fake": score}
        assert float(loss.detach()) == pytest.approx(expected)  # no gradient, no penalty
        assert image_loss(objective, network, prediction, galaxies(), None, generator)[1]["adversarial"] == -score


def test_penalty_is_the_squared_gradient_at_target_images(network, make_objective, galaxies, predict, generator):
    losses = {}
    for penalty in (0.0, 3.0):
        objective = make_objective("adversarial", regularization="r1", penalty=penalty)
        losses[penalty], _ = discriminator_loss(objective, network, predict(network, galaxies(seed=2)), galaxies())
    images = stretch(galaxies(), network.target_noise).requires_grad_()
    slope, = torch.autograd.grad(objective.discriminator(images).mean(1).sum(), images)
    expected = 1.5 * slope.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(losses[3.0] - losses[0.0], expected, rtol=1e-4, atol=1e-5)


def test_masked_pixels_change_nothing_and_feel_nothing(network, make_objective, galaxies, predict, randn, generator):
    valid = randn(2, 3, 20, 20, seed=3) > -0.5
    flux, results = galaxies(seed=2), []
    for garbage in (0.0, 1e4):
        objective = make_objective("adversarial").eval()
        prediction = predict(network, flux)
        target = torch.where(valid, galaxies(), garbage)
        loss, logs = image_loss(objective, network, prediction, target, valid, generator)
        grad, = torch.autograd.grad(loss, prediction.flux)
        assert (grad[~valid] == 0).all()
        assert (grad[valid] != 0).any()
        results.append((loss.detach(), logs, discriminator_loss(objective, network, prediction, target, valid)[1]))
    assert results[0] == results[1]


def test_fully_masked_images_train_nothing_and_break_nothing(network, make_objective, galaxies, predict, generator):
    objective, valid = make_objective("adversarial"), torch.zeros(2, 3, 20, 20, dtype=torch.bool)
    prediction = predict(network, galaxies(seed=2))
    loss, _ = image_loss(objective, network, prediction, galaxies(), valid, generator)
    grad, = torch.autograd.grad(loss, prediction.flux)
    assert loss.isfinite() and (grad == 0).all()
    assert discriminator_loss(objective, network, prediction, galaxies(), valid)[0].isfinite()


@pytest.mark.parametrize("regularization", ["spectral", "r1"])
def test_discriminator_learns_to_separate_blurred_images_from_sharp_ones(
        network, make_objective, galaxies, predict, generator, regularization):
    objective = make_objective("adversarial", regularization=regularization, penalty=0.1).train()
    optimizer = torch.optim.AdamW(objective.discriminator.parameters(), 3e-3, betas=(0.5, 0.999))

    def blurred(images):
        return nn.functional.avg_pool2d(images, 5, 1, 2)

    losses = []
    for step in range(60):
        target = 0.05 * galaxies(8, seed=step, noise=10.0)
        loss, logs = discriminator_loss(objective, network, predict(network, blurred(target)), target, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(logs["critic_loss"])
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    # And the generator is told so, of images that the discriminator has not seen.
    target = 0.05 * galaxies(8, seed=99, noise=10.0)
    scores = [image_loss(objective, network, predict(network, images), target, None, generator)[1]["adversarial"]
              for images in (target, blurred(target))]
    assert scores[0] < scores[1] - 0.5


def test_diversity_is_one_of_the_targets_and_none_of_equal_images(galaxies):
    target = stretch(galaxies(12, size=34), 0.5)
    assert diversity(target, target) == pytest.approx(1)
    assert diversity(target[:1].expand_as(target), target) == 0
    mean = target.mean(0, keepdim=True)
    assert diversity(mean + 0.3 * (target - mean), target) == pytest.approx(0.3, rel=1e-4)


def test_diversity_does_not_see_noise(galaxies, randn):
    """Neither the missing noise of a smooth translation, nor noise that is all that differs."""
    target, smooth = (stretch(galaxies(12, size=34, noise=noise), 0.5) for noise in (0.5, 0.0))
    assert diversity(smooth, target) == pytest.approx(1, abs=0.05)
    same = smooth[:1] + 0.4 * randn(12, 3, 34, 34)
    assert diversity(same, target) < 0.1


def test_diversity_of_few_galaxies_or_small_images(galaxies):
    target = stretch(galaxies(6, size=5), 0.5)
    assert diversity(target[:3], target[:3]) is None
    assert diversity(target, target) == pytest.approx(1)
    assert diversity(target, torch.zeros_like(target)) < float("inf")


def test_generative_backbones_are_refused():
    class Sampled(Backbone):
        generative = True

    cls = objective_class("adversarial")
    with pytest.raises(ValueError, match="blurred mean"):
        cls.check_compatible(Sampled)
    cls.check_compatible(Backbone)


@pytest.mark.parametrize(("options", "message"), [
    ({"warm_up": 1.5}, "warm_up must be 0 to 1, got 1.5"),
    ({"weight": -1.0}, "weight must be a finite number of at least 0, got -1.0"),
    ({"penalty": float("nan")}, "penalty must be a finite number of at least 0, got nan"),
    ({"regularization": "wgan"}, "regularization must be one of spectral, r1, got 'wgan'"),
    ({"discriminator_widths": []}, r"discriminator_widths must be ints of at least 1, got \[\]"),
    ({"discriminator_widths": [8, 0]}, r"discriminator_widths must be ints of at least 1, got \[8, 0\]"),
])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        build_objective("adversarial", n_bands=3, n_features=4, n_embedding=8, **options)


def test_names_of_earlier_versions_are_deprecated():
    import astro_galtrans.objectives as objectives

    with pytest.warns(AstropyDeprecationWarning, match="Discriminator"):
        assert objectives.Critic is Discriminator
    with torch.random.fork_rng(devices=[]), pytest.warns(AstropyDeprecationWarning, match="discriminator_widths"):
        made = objectives.AdversarialObjective(3, critic_widths=[4, 6])
    with torch.random.fork_rng(devices=[]):
        stored = build_objective("adversarial", n_bands=3, n_features=4, n_embedding=8, critic_widths=[4, 6])
    assert made.state_dict().keys() == stored.state_dict().keys()
    assert all(name.startswith("critic.") for name in stored.state_dict())  # as in files
