"""Training learns, is bitwise repeatable, can be resumed, and leaves the process as it was."""

import os
import re
import signal
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import load, save
from astro_galtrans.storage.checkpoint import load_state, save_state
from astro_galtrans.training import TrainConfig, fit
from astro_galtrans.training._build import build_module
from astro_galtrans.training._module import TranslationModule


def weights_of(translator):
    tree = translator.to_tree()
    return {f"{part}.{name}": value for part in ("network", "objective")
            for name, value in tree[part]["weights"].items()}


def assert_same_weights(one, other):
    one, other = weights_of(one), weights_of(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert_array_equal(value, other[name], err_msg=name)


@pytest.fixture(scope="module")
def trained(pairs, validation, config):
    return fit(pairs, config(), validation=validation)


@pytest.mark.parametrize("objective", ["pixel", "gradient-unweighted"])
def test_learns(pairs, validation, config, objective):
    result = fit(pairs, config(objective=objective), validation=validation)
    loss = result.history["valid_loss"]
    assert loss[-1] < loss[0]
    assert result.translator.objective_name == objective


def test_gradient_objective_learns(trained):
    history = trained.history
    assert history["valid_loss"][-1] < history["valid_loss"][0]
    assert history["train_loss"][-1] < history["train_loss"][0]
    assert {"epoch", "step", "train_loss", "valid_loss", "train_flow_gain", "learning_rate", "seconds"} <= set(
        history.colnames)
    assert_array_equal(history["epoch"], [0, 1, 2])
    assert_array_equal(history["step"], [4, 8, 12])
    for name in history.colnames:
        assert np.all(np.isfinite(history[name])), name


def test_translation_is_nearer_to_the_target_than_before_training(trained, pairs, validation, config):
    target = validation.target_flux
    new = fit(pairs, config(epochs=1, learning_rate=0.0)).translator

    def error(translator):
        return np.median(np.abs(np.arcsinh(translator.translate_array(validation.input_flux)) - np.arcsinh(target)))

    assert error(trained.translator) < error(new)


def test_a_translator_keeps_the_flux_of_the_input_from_the_first_steps(pairs, validation, config):
    """These galaxies have the same flux in both surveys: three epochs of four steps do not lose it."""
    from astro_galtrans.backbones import log_apertures

    translator = fit(pairs, config(photometry=True)).translator
    noise = torch.tensor(validation.target_survey.sky_noise)[:, None, None].float()
    levels = [log_apertures(torch.from_numpy(np.asarray(flux)), noise, (10.0,)) for flux in
              (translator.translate_array(validation.input_flux), validation.target_flux)]
    assert float((levels[0] - levels[1]).abs().median()) < 0.03


def test_result_and_provenance(trained, pairs, config):
    assert trained.config == config()
    assert trained.seconds > 0
    provenance = trained.translator.provenance
    assert provenance["config"] == {**config().to_dict(), **config().network_parts}
    assert provenance["config_hash"] == config().hash
    assert (provenance["seed"], provenance["n_pairs"], provenance["n_validation"]) == (5, 64, 16)
    assert provenance["input_shape"] == [3, 16, 16]
    assert provenance["best_epoch"] == trained.best_epoch
    assert {"astro_galtrans", "torch", "lightning", "nflows"} <= set(provenance["versions"])
    assert trained.translator.input_survey is pairs.input_survey
    assert trained.translator.name == "sdss-to-cfhtls-unet-gradient"
    assert not trained.translator.network.training
    assert not any(p.requires_grad for p in trained.translator.network.parameters())


def test_trained_and_stored_translate_bitwise_the_same(trained, validation, tmp_path):
    save(tmp_path / "t.asdf", trained.translator)
    again = load(tmp_path / "t.asdf")
    assert again.hash == trained.translator.hash
    assert again.provenance == trained.translator.provenance
    for one, other in zip(again.translate_array_with_uncertainty(validation.input_flux),
                          trained.translator.translate_array_with_uncertainty(validation.input_flux)):
        assert_array_equal(one, other)


def test_same_seed_same_weights(trained, pairs, validation, config):
    assert_same_weights(trained.translator, fit(pairs, config(), validation=validation).translator)


def test_errors_are_measured_on_the_validation_pairs(trained, pairs, validation, config):
    translator = trained.translator
    assert translator.errors.n_pairs == len(validation)
    assert np.isfinite(translator.sample_array(validation.input_flux[:1], n_samples=2)).all()
    assert fit(pairs, config(epochs=1)).translator.errors.n_pairs == len(pairs)


def test_other_seed_other_weights(trained, pairs, validation, config):
    other = fit(pairs, config(seed=6), validation=validation).translator
    assert other.hash != trained.translator.hash
    assert not np.array_equal(weights_of(other)["network.image_head.weight"],
                              weights_of(trained.translator)["network.image_head.weight"])


def test_validation_does_not_change_the_training(pairs, config, make_pairs):
    with_it = fit(pairs, config(epochs=2), validation=make_pairs(4, seed=3, first_id=2000))
    without = fit(pairs, config(epochs=2))
    assert_array_equal(with_it.history["train_loss"], without.history["train_loss"])


def test_pairs_on_disk_train_as_those_in_memory(trained, pairs, validation, config, tmp_path):
    pairs.write(tmp_path / "pairs.zarr")
    result = fit(PairSet.open(tmp_path / "pairs.zarr"), config(), validation=validation)
    assert_same_weights(trained.translator, result.translator)


def interrupt_at(monkeypatch, step):
    """Raise what Ctrl-C raises when a training reaches ``step``."""
    original = TranslationModule.training_step

    def training_step(self, batch, batch_index):
        if self.global_step == step:
            raise KeyboardInterrupt
        return original(self, batch, batch_index)

    monkeypatch.setattr(TranslationModule, "training_step", training_step)


@pytest.mark.parametrize("step", [4, 6, 11])
def test_resumed_training_equals_an_uninterrupted_one(trained, pairs, validation, config, tmp_path, monkeypatch, step):
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        with pytest.raises(KeyboardInterrupt, match=r"epoch \d of 3; it can be resumed from .*checkpoint\.asdf"):
            fit(pairs, config(), validation=validation, directory=tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    result = fit(pairs, config(), validation=validation, directory=tmp_path, resume=True)
    assert_same_weights(trained.translator, result.translator)
    assert result.best_epoch == trained.best_epoch
    for name in trained.history.colnames:
        if name != "seconds":
            assert_array_equal(result.history[name], trained.history[name], err_msg=name)


def test_checkpoint_of_an_earlier_version_is_resumed(trained, pairs, validation, config, tmp_path, monkeypatch):
    """It has the state of a callback and no random states."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            fit(pairs, config(), validation=validation, directory=tmp_path)
    state = load_state(tmp_path / "checkpoint.asdf")
    old = state.pop("training")
    state["callbacks"]["EpochKeeper"] = {name: old[name] for name in ("rows", "best", "best_epoch", "best_loss")}
    del state["random"]
    save_state(tmp_path / "checkpoint.asdf", state)
    result = fit(pairs, config(), validation=validation, directory=tmp_path, resume=True)
    assert_same_weights(trained.translator, result.translator)


def test_sigterm_in_a_script(pairs, config, tmp_path, monkeypatch, caplog):
    """Lightning would end the training as if it were finished."""
    original = TranslationModule.training_step

    def training_step(self, batch, batch_index):
        if self.global_step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch, batch_index)

    monkeypatch.setattr(TranslationModule, "training_step", training_step)
    for directory, hint in ((tmp_path, "; it can be resumed from .*checkpoint.asdf"), (None, "$")):
        caplog.clear()
        with pytest.raises(SystemExit) as caught:
            fit(pairs, config(), directory=directory)
        assert caught.value.code == 143
        assert re.search(f"SIGTERM: training stopped in epoch 2 of 3{hint}", caplog.text, re.MULTILINE)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_interrupt_without_a_directory(pairs, config, monkeypatch):
    interrupt_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt, match="epoch 2 of 3$"):
        fit(pairs, config())


def test_resuming_a_finished_training_gives_its_result(trained, pairs, validation, config, tmp_path):
    fit(pairs, config(), validation=validation, directory=tmp_path)
    again = fit(pairs, config(), validation=validation, directory=tmp_path, resume=True)
    assert_same_weights(trained.translator, again.translator)
    assert len(again.history) == 3


def test_resume_without_a_checkpoint_starts(trained, pairs, validation, config, tmp_path):
    result = fit(pairs, config(), validation=validation, directory=tmp_path / "new" / "folder", resume=True)
    assert_same_weights(trained.translator, result.translator)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["checkpoint.asdf"]


def test_checkpoint_of_another_training_is_refused(pairs, validation, config, make_pairs, tmp_path):
    fit(pairs, config(epochs=1), validation=validation, directory=tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint\.asdf belongs to another training: its configuration differ"):
        fit(pairs, config(epochs=1, seed=9), validation=validation, directory=tmp_path, resume=True)
    with pytest.raises(ValueError, match="its pairs differ"):
        fit(make_pairs(64, seed=8), config(epochs=1), validation=validation, directory=tmp_path, resume=True)
    with pytest.raises(ValueError, match="its validation differ"):
        fit(pairs, config(epochs=1), directory=tmp_path, resume=True)
    (tmp_path / "checkpoint.asdf").write_bytes((tmp_path / "checkpoint.asdf").read_bytes()[:-200])
    with pytest.raises(FileFormatError, match=r"checkpoint\.asdf"):
        fit(pairs, config(epochs=1), validation=validation, directory=tmp_path, resume=True)


def scripted_validation(monkeypatch, losses):
    """Let the validation loss of each epoch be one of ``losses``."""
    def validation_step(self, batch, batch_index):
        self.add("valid", {"loss": torch.tensor(losses[self.trainer.current_epoch])}, len(batch["input_flux"]))

    monkeypatch.setattr(TranslationModule, "validation_step", validation_step)


def test_best_epoch_is_kept(pairs, validation, config, monkeypatch):
    scripted_validation(monkeypatch, [3.0, 1.0, 2.0])
    result = fit(pairs, config(), validation=validation)
    assert result.best_epoch == 1
    assert result.translator.provenance["best_epoch"] == 1
    # The weights of that epoch, not the last ones.
    scripted_validation(monkeypatch, [3.0, 2.0, 1.0])
    last = fit(pairs, config(), validation=validation)
    assert last.best_epoch == 2
    assert result.translator.hash != last.translator.hash
    assert_array_equal(result.history["train_loss"], last.history["train_loss"])


def test_without_validation_the_last_epoch_is_kept(pairs, config):
    result = fit(pairs, config(epochs=2))
    assert result.best_epoch == 1
    assert "valid_loss" not in result.history.colnames


def test_early_stopping_and_its_resume(pairs, validation, config, tmp_path, monkeypatch):
    scripted_validation(monkeypatch, [2.0, 1.0, 1.5, 1.2, 0.1, 0.1])
    options = {"validation": validation, "directory": tmp_path}
    result = fit(pairs, config(epochs=6, patience=2), **options)
    assert len(result.history) == 4
    assert result.best_epoch == 1
    again = fit(pairs, config(epochs=6, patience=2), **options, resume=True)
    assert len(again.history) == 4
    assert_same_weights(result.translator, again.translator)


@pytest.mark.parametrize("head", ["photometry", "sigma_head"])
def test_heads_are_clipped_apart_from_the_rest(pairs, config, head):
    """A gradient of thousands in one head, as at the start of a training, leaves the others as large as they were."""
    with torch.random.fork_rng():
        module = build_module(pairs, config(gradient_clip=1.0), 10, {})
    optimizer = module.configure_optimizers()["optimizer"]
    own = set(getattr(module.network, head).parameters())
    for parameter in module.parameters():
        parameter.grad = torch.full_like(parameter, 1e3 if parameter in own else 1e-4)
    module.on_before_optimizer_step(optimizer)
    assert all(torch.equal(p.grad, torch.full_like(p, 1e-4)) for p in module.parameters() if p not in own)
    assert torch.stack([p.grad.norm() for p in own]).norm() == pytest.approx(1.0, rel=1e-4)


def test_loss_that_is_not_finite_is_an_error(pairs, config):
    flux = np.array(pairs.target_flux)
    flux[:, :, 5, 5] = 1e38
    broken = PairSet.from_arrays(
        pairs.input_flux, flux, input_survey=pairs.input_survey, target_survey=pairs.target_survey)
    with pytest.raises(FloatingPointError, match="training loss became (inf|nan) at step 0"):
        fit(broken, config(objective="pixel"))


def test_validation_that_is_never_finite_is_an_error(pairs, validation, config, monkeypatch):
    scripted_validation(monkeypatch, [float("nan")] * 3)
    with pytest.raises(FloatingPointError, match="validation loss"):
        fit(pairs, config(), validation=validation)


def test_masked_pixels_have_no_influence(pairs, config):
    """The values of pixels with weight 0 change nothing, bitwise."""
    rng = np.random.default_rng(4)
    bad = {side: rng.random(getattr(pairs, f"{side}_flux").shape) < 0.03 for side in ("input", "target")}
    results = []
    for garbage in (0.0, 500.0):
        arrays = {}
        for side in ("input", "target"):
            arrays[f"{side}_flux"] = np.where(bad[side], garbage, getattr(pairs, f"{side}_flux"))
            arrays[f"{side}_weight"] = np.where(bad[side], 0, getattr(pairs, f"{side}_weight"))
        broken = PairSet.from_arrays(**arrays, input_survey=pairs.input_survey, target_survey=pairs.target_survey)
        results.append([fit(broken, config(epochs=1, objective=name)) for name in ("gradient", "pixel")])
    for one, other in zip(*results):
        assert_same_weights(one.translator, other.translator)


def test_conditioned_on_the_redshift(pairs, validation, config):
    result = fit(pairs, config(epochs=1, conditioning="redshift"), validation=validation)
    assert result.translator.conditioning == "redshift"
    assert np.all(np.isfinite(result.translator.translate_array(pairs.input_flux[:2], redshift=pairs.redshift[:2])))


def test_other_directions_sizes_and_last_batches(config, make_pairs):
    """Odd sides, a last batch of one galaxy, no weights, and the richer survey as the input."""
    odd = make_pairs(17, seed=4, size=15, weights=False)
    assert len(fit(odd, config(epochs=1)).history) == 1
    back = fit(odd.reversed(), config(epochs=1)).translator
    assert back.translate_array(odd.target_flux[:2]).shape == (2, 3, 15, 15)


def test_half_precision_trains(pairs, config):
    result = fit(pairs, config(epochs=1, precision="bf16"))
    assert np.isfinite(result.history["train_loss"]).all()
    assert weights_of(result.translator)["network.image_head.weight"].dtype == np.float32


def test_after_a_translation_in_the_same_process(pairs, config):
    first = fit(pairs, config(epochs=1)).translator
    first.translate_array(np.ones((1, 3, 11, 11), np.float32))
    fresh = PairSet.from_arrays(np.ones((4, 3, 11, 11)), np.ones((4, 3, 25, 25)), input_survey=pairs.input_survey,
                                target_survey=pairs.target_survey)
    assert len(fit(fresh, config(epochs=1)).history) == 1


def test_process_is_left_as_it_was(pairs, validation, config, tmp_path, monkeypatch):
    """Random states and torch settings are guarded for every test; here the rest."""
    monkeypatch.chdir(tmp_path)
    torch.rand(1, generator=torch.Generator().manual_seed(1))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    filters = list(warnings.filters)
    with torch.no_grad():
        fit(pairs, config(epochs=1), validation=validation, device="cpu")
        assert not torch.is_grad_enabled()
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert warnings.filters == filters
    assert not list(tmp_path.iterdir())


def test_progress_bar(pairs, config, capsys):
    fit(pairs, config(epochs=1), progress=True)
    out, err = capsys.readouterr()
    assert "4/4" in err and not out


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"config": {"epochs": 2}}, TypeError, "config must be a TrainConfig, got dict"),
    ({"config": TrainConfig(patience=2)}, ValueError, "patience=2 needs validation pairs"),
    ({"resume": True}, ValueError, "resume=True needs the directory"),
    ({"validation": "valid.zarr"}, TypeError, "validation must be a PairSet, got str"),
    ({"config": TrainConfig(backbone_options={"widths": [0]})}, ValueError, "widths and n_features must be positive"),
])
def test_wrong_arguments_are_named(pairs, options, error, message):
    with pytest.raises(error, match=message):
        fit(pairs, **options)


def test_wrong_pairs_are_named(pairs, validation, config):
    with pytest.raises(TypeError, match="pairs must be a PairSet, got str"):
        fit("pairs.zarr", config())
    with pytest.raises(ValueError, match="pairs must hold at least one pair"):
        fit(pairs.select([]), config())
    with pytest.raises(ValueError, match="validation must hold at least one pair"):
        fit(pairs, config(), validation=validation.select([]))
    with pytest.raises(ValueError, match="validation shares 8 galaxies"):
        fit(pairs, config(), validation=pairs.select(np.arange(8)))
    with pytest.raises(ValueError, match="validation must have the input_survey of pairs, SDSS"):
        fit(pairs, config(), validation=validation.reversed())
    bare = PairSet.from_arrays(pairs.input_flux, pairs.target_flux, input_survey=pairs.input_survey,
                               target_survey=pairs.target_survey)
    with pytest.raises(ValueError, match="conditioning='redshift' needs a finite redshift .*, got none"):
        fit(bare, config(conditioning="redshift"))
