"""Adversarial training: two separate optimizers, bitwise resume, and warnings when the training goes wrong."""

import logging
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.objectives import Discriminator
from astro_galtrans.storage import load, save
from astro_galtrans.training import fit
from astro_galtrans.training._module import AdversarialModule

SMALL = {"n_blocks": 1, "n_channels": 6, "n_features": 4}
CRITIC = {"discriminator_widths": [4, 6], "warm_up": 0.5}
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
COLUMNS = ("train_diversity", "train_adversarial", "train_critic_loss", "train_critic_real", "train_critic_fake")


@pytest.fixture(scope="module")
def settings(config):
    def make(**changes):
        changed = changes.pop("objective_options", {})
        options = {} if changed is None else {**CRITIC, **changed}
        return config(**{"backbone": "srgan", "objective": "adversarial", "backbone_options": SMALL, "epochs": 4,
                         "objective_options": options, **changes})
    return make


def quiet_fit(*args, **kwargs):
    """Fit, and ignore that a short training may not distinguish galaxies."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "mode collapse", GaltransWarning)
        return fit(*args, **kwargs)


@pytest.fixture(scope="module")
def trained(pairs, validation, settings):
    return quiet_fit(pairs, settings(), validation=validation)


def weights_of(translator, part=None):
    tree = translator.to_tree()
    return {f"{name}.{key}": value for name in ([part] if part else ["network", "objective"])
            for key, value in tree[name]["weights"].items()}


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert_array_equal(value, other[name], err_msg=name)


def watch_steps(monkeypatch, look):
    """Call ``look(module, batch)`` before each step, and its result after the step."""
    original = AdversarialModule.training_step

    def training_step(self, batch, batch_index):
        after = look(self, batch)
        original(self, batch, batch_index)
        after()

    monkeypatch.setattr(AdversarialModule, "training_step", training_step)


def test_learns_and_logs_its_losses(trained):
    history = trained.history
    assert history["train_pixel"][-1] < 0.5 * history["train_pixel"][0]
    assert history["valid_pixel"][-1] < history["valid_pixel"][0]
    assert_array_equal(history["step"], [4, 8, 12, 16])
    assert set(COLUMNS) <= set(history.colnames)
    # The warm-up is the first half, and the discriminator is trained in the last third of it.
    assert_array_equal(np.isfinite(history["train_adversarial"]), [False, False, True, True])
    assert_array_equal(np.isfinite(history["train_critic_loss"]), [False, True, True, True])
    assert np.isfinite(history["train_diversity"]).all()
    assert trained.translator.name == "sdss-to-cfhtls-srgan-adversarial"


def test_the_last_epoch_is_kept_and_patience_refused(trained, pairs, validation, settings):
    assert trained.best_epoch == 3
    with pytest.raises(ValueError, match="patience=1"):
        fit(pairs, settings(patience=1), validation=validation)


def test_warm_up_is_the_pixel_training(pairs, settings):
    """Bitwise, also while the discriminator is trained already."""
    adversarial = quiet_fit(pairs, settings(epochs=2, objective_options={"warm_up": 1.0}))
    pixel = fit(pairs, settings(epochs=2, objective="pixel", objective_options=None))
    assert np.isfinite(adversarial.history["train_critic_loss"][-1])
    for name in ("train_loss", "train_flux_nll", "learning_rate"):
        assert_array_equal(adversarial.history[name], pixel.history[name])
    assert_same_weights(*(weights_of(result.translator, "network") for result in (adversarial, pixel)))


def test_discriminator_changes_the_network_only_through_its_weight(pairs, settings):
    without, with_it = (
        quiet_fit(pairs, settings(epochs=2, objective_options={"weight": weight})) for weight in (0.0, 0.5))
    assert without.history["train_pixel"][0] == with_it.history["train_pixel"][0]
    assert without.history["train_pixel"][1] != with_it.history["train_pixel"][1]
    without_weight = quiet_fit(pairs, settings(epochs=2, objective_options={"weight": 0.0, "regularization": "r1"}))
    assert_same_weights(weights_of(without.translator, "network"), weights_of(without_weight.translator, "network"))


def test_optimizers_share_no_parameter_and_leave_none_out(pairs, settings, monkeypatch):
    seen = []

    def look(module, batch):
        network, critic = ([p for group in optimizer.param_groups for p in group["params"]]
                           for optimizer in module.optimizers())
        assert {id(p) for p in critic} == {id(p) for p in module.objective.discriminator.parameters()}
        assert not {id(p) for p in network} & {id(p) for p in critic}
        assert {id(p) for p in network} | {id(p) for p in critic} == {id(p) for p in module.parameters()}
        seen.append(module.step_number)
        return lambda: None

    watch_steps(monkeypatch, look)
    quiet_fit(pairs, settings(epochs=1))
    assert seen == [0, 1, 2, 3]


def test_own_steps_are_counted_and_both_schedules_end(pairs, settings, monkeypatch):
    steps = []

    def look(module, batch):
        before = module.step_number, module.global_step, module.progress
        return lambda: steps.append((*before, [o.param_groups[0]["lr"] for o in module.optimizers()]))

    watch_steps(monkeypatch, look)
    quiet_fit(pairs, settings(epochs=2, objective_options={"warm_up": 0.0}))
    assert [step[0] for step in steps] == list(range(8))
    assert [step[1] for step in steps] == list(range(0, 16, 2))  # Lightning counts both
    assert [step[2] for step in steps] == [number / 8 for number in range(8)]
    assert steps[-1][3] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert max(step[3][0] for step in steps) == 5e-3


@pytest.mark.parametrize("clip", [1e-3, 0.0])
def test_both_gradients_are_clipped(pairs, settings, monkeypatch, clip):
    norms = []
    original = torch.optim.AdamW.step

    def step(self, closure=None):
        if closure is not None:
            closure()
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        return original(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    quiet_fit(pairs, settings(epochs=1, gradient_clip=clip, objective_options={"warm_up": 0.0}))
    assert len(norms) == 8
    assert (max(norms) <= 1.001e-3 * 2**0.5) is (clip > 0)  # the sigma head is clipped apart


def test_validation_does_not_train_the_discriminator(pairs, validation, settings):
    one, other = (quiet_fit(pairs, settings(epochs=2), validation=part) for part in (validation, None))
    assert_same_weights(weights_of(one.translator), weights_of(other.translator))


@pytest.mark.parametrize(("step", "regularization"), [(5, "spectral"), (13, "spectral"), (9, "r1")])
def test_resumed_training_equals_an_uninterrupted_one(pairs, settings, tmp_path, monkeypatch, step, regularization):
    """Weights, the power iteration's vectors, both optimisers and schedules, in the warm-up and after it."""
    options = settings(objective_options={"regularization": regularization})
    uninterrupted = quiet_fit(pairs, options)

    def look(module, batch):
        if module.step_number == step:
            raise KeyboardInterrupt
        return lambda: None

    with monkeypatch.context() as patch:
        watch_steps(patch, look)
        with pytest.raises(KeyboardInterrupt):
            quiet_fit(pairs, options, directory=tmp_path)
    resumed = quiet_fit(pairs, options, directory=tmp_path, resume=True)
    assert_same_weights(weights_of(uninterrupted.translator), weights_of(resumed.translator))
    for name in uninterrupted.history.colnames:
        if name != "seconds":
            assert_array_equal(resumed.history[name], uninterrupted.history[name], err_msg=name)
    assert resumed.translator.provenance["notes"] == uninterrupted.translator.provenance["notes"]


def test_stored_and_loaded(trained, validation, tmp_path):
    save(tmp_path / "t.asdf", trained.translator)
    again = load(tmp_path / "t.asdf")
    assert again.hash == trained.translator.hash
    assert_same_weights(weights_of(again), weights_of(trained.translator))
    assert_array_equal(again.translate_array(validation.input_flux), trained.translator.translate_array(
        validation.input_flux))


@pytest.mark.parametrize(("precision", "device"), [
    ("bf16", "cpu"), *(pytest.param(p, "cuda", marks=[pytest.mark.gpu, GPU]) for p in ("32", "bf16", "16"))])
def test_half_precision_trains(pairs, settings, precision, device):
    history = quiet_fit(pairs, settings(epochs=2, precision=precision), device=device).history
    assert np.isfinite(history["train_loss"]).all()
    assert np.isfinite(history["train_critic_loss"][-1])


def test_masked_target_pixels_have_no_influence(pairs, settings):
    rng = np.random.default_rng(4)
    bad = rng.random(pairs.target_flux.shape) < 0.03
    results = []
    for garbage in (0.0, 500.0):
        broken = type(pairs).from_arrays(
            pairs.input_flux, np.where(bad, garbage, pairs.target_flux), input_survey=pairs.input_survey,
            target_survey=pairs.target_survey, input_weight=pairs.input_weight,
            target_weight=np.where(bad, 0, pairs.target_weight))
        results.append(quiet_fit(broken, settings(epochs=1, objective_options={"warm_up": 0.2})))
    assert_same_weights(*(weights_of(result.translator) for result in results))


def test_last_batches_of_few_galaxies(make_pairs, settings):
    """A batch of one has no diversity; if all are so small, the column is NaN, without a warning."""
    history = fit(make_pairs(5, seed=4), settings(epochs=2, batch_size=2)).history
    assert np.isnan(history["train_diversity"]).all()
    assert len(quiet_fit(make_pairs(17, seed=4), settings(epochs=1)).history) == 1


def test_loss_that_is_not_finite_is_an_error(pairs, settings):
    flux = np.array(pairs.target_flux)
    flux[:, :, 5, 5] = 1e38
    broken = type(pairs).from_arrays(
        pairs.input_flux, flux, input_survey=pairs.input_survey, target_survey=pairs.target_survey)
    with pytest.raises(FloatingPointError, match="training loss became (inf|nan) at step 0"):
        fit(broken, settings())


def collapse(monkeypatch):
    """Let the generator return the same image for each galaxy."""
    original = AdversarialModule.training_step

    def training_step(self, batch, batch_index):
        with torch.no_grad():
            self.network.image_head.weight.zero_()
        original(self, batch, batch_index)

    monkeypatch.setattr(AdversarialModule, "training_step", training_step)


def test_mode_collapse_raises_a_warning_and_is_recorded(pairs, settings, monkeypatch):
    collapse(monkeypatch)
    with pytest.warns(GaltransWarning, match="mode collapse in epoch [34]: .* 0.00 times") as caught:
        result = fit(pairs, settings())
    assert len([one for one in caught if issubclass(one.category, GaltransWarning)]) == 2
    # Not in the warm-up, in which a new generator does not distinguish galaxies yet.
    assert result.translator.provenance["notes"]["collapsed_epochs"] == [2, 3]
    assert_array_equal(result.history["train_diversity"], 0)


def test_mode_collapse_is_recorded_when_a_training_is_resumed(pairs, settings, monkeypatch, tmp_path):
    collapse(monkeypatch)
    quiet_fit(pairs, settings(), directory=tmp_path)
    again = quiet_fit(pairs, settings(), directory=tmp_path, resume=True)
    assert again.translator.provenance["notes"]["collapsed_epochs"] == [2, 3]


def test_collapse_within_one_epoch_raises_a_warning(pairs, settings, monkeypatch):
    collapse(monkeypatch)
    with pytest.warns(GaltransWarning, match="mode collapse in epoch 1"):
        fit(pairs, settings(epochs=1))


def test_healthy_training_is_not_called_collapsed(pairs, settings, caplog):
    """With warnings as errors, as everywhere in these tests."""
    result = fit(pairs, settings(epochs=8, learning_rate=1e-2, batch_size=8))
    assert result.translator.provenance["notes"] == {"collapsed_epochs": [], "critic_won_epochs": []}
    assert result.history["train_diversity"][-1] > 0.5
    assert not caplog.records


def test_a_discriminator_that_has_won_is_logged_and_recorded(pairs, settings, monkeypatch, caplog):
    """A discriminator that knows which half of its images is translated."""
    original = Discriminator.forward

    def forward(self, images):
        scores = original(self, images)
        half = len(images) // 2
        return scores * 0 + torch.cat([torch.ones(half), -torch.ones(len(images) - half)])[:, None] * 2

    monkeypatch.setattr(Discriminator, "forward", forward)
    with caplog.at_level(logging.WARNING, "astro_galtrans"):
        result = quiet_fit(pairs, settings())
    assert result.translator.provenance["notes"]["critic_won_epochs"] == [2, 3]
    assert "has won in epoch 3: its hinge loss is 0.000" in caplog.text
