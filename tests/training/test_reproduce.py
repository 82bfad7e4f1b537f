"""A translator is trained again from its provenance, and two threads train as one does."""

import threading

import numpy as np
import pytest
import torch

from astro_galtrans.exceptions import SurveyError
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import load, save
from astro_galtrans.training import TrainConfig, fit, reproduce

OPTIONS = {"epochs": 2, "batch_size": 4, "backbone_options": {"widths": [4, 8], "n_features": 4}}


def train(pairs, seed=3, **changes):
    return fit(pairs, TrainConfig(**{**OPTIONS, "seed": seed, **changes}), validation=0.25).translator


@pytest.fixture(scope="module")
def translator(small_pairs):
    return train(small_pairs)


def test_identical_after_a_file_and_from_disk(translator, small_pairs, tmp_path):
    save(tmp_path / "t.asdf", translator)
    small_pairs.write(tmp_path / "pairs.zarr")
    pairs = PairSet.open(tmp_path / "pairs.zarr")
    assert pairs.hash == small_pairs.hash
    found = reproduce(load(tmp_path / "t.asdf"), pairs)
    assert found.identical and found.changes == {} and found.largest_difference == 0
    assert found.translator.hash == translator.hash
    stored, again = ({**one.provenance, "config_hash": ""} for one in (translator, found.translator))
    assert stored == again  # of the configuration all defaults are stored, filled in


def test_a_fraction_is_the_split_with_the_seed(translator, small_pairs):
    training, validation = small_pairs.split((0.75, 0.25), seed=3)
    apart = fit(training, TrainConfig(**OPTIONS, seed=3), validation=validation).translator
    assert apart.hash == translator.hash
    assert apart.provenance["validation_fraction"] is None
    assert reproduce(apart, training, validation=validation).identical
    with pytest.raises(ValueError, match="validation must be the 4 validation pairs"):
        reproduce(apart, training)
    with pytest.raises(ValueError, match="validation must be None: .* fraction of 0.25"):
        reproduce(translator, training, validation=validation)


def test_what_differs_is_named(translator, small_pairs, monkeypatch):
    changed = small_pairs.select(slice(None))
    changed.target_flux[0] += 1
    monkeypatch.setitem(translator.provenance, "versions", {**translator.provenance["versions"], "torch": "0.0"})
    found = reproduce(translator, changed)
    assert not found.identical and 0 < found.n_different <= found.n_weights and found.largest_difference > 0
    assert set(found.changes) - {"validation_hash", "pairs_hash", "best_epoch"} == {"torch version"}
    assert found.changes["torch version"] == ("0.0", torch.__version__)
    assert {"validation_hash", "pairs_hash"} & set(found.changes)


def test_pairs_and_translators_that_do_not_fit(translator, small_pairs, monkeypatch):
    with pytest.raises(SurveyError, match="pairs must have the input_survey of translator"):
        reproduce(translator, small_pairs.reversed())
    config = translator.provenance["config"]
    monkeypatch.setitem(translator.provenance, "config", {**config, "magic": 1})
    with pytest.raises(ValueError, match="not one of this version of astro_galtrans: .*magic"):
        reproduce(translator, small_pairs)
    monkeypatch.delitem(translator.provenance, "config")
    with pytest.raises(ValueError, match="no configuration"):
        reproduce(translator, small_pairs)


@pytest.mark.parametrize("change", [
    {"input_flux": 1.0}, {"redshift": 0.01}, {"ids": 99}])
def test_hash_of_pairs(small_pairs, change):
    parts = {name: getattr(small_pairs, name).copy() for name in ("input_flux", "target_flux", "redshift", "ids")}
    surveys = {"input_survey": "SDSS", "target_survey": "CFHTLS"}
    same = PairSet.from_arrays(**parts, **surveys)
    assert same.hash == PairSet.from_arrays(**parts, **surveys).hash
    for name, value in change.items():
        parts[name][-1] = value
    assert PairSet.from_arrays(**parts, **surveys).hash != same.hash


def test_trainings_in_two_threads(small_pairs):
    """They share torch's generators, so one waits for the other."""
    expected = [train(small_pairs, seed).hash for seed in (1, 2)]
    found, states = {}, torch.get_rng_state()
    threads = [threading.Thread(target=lambda seed=seed: found.update({seed: train(small_pairs, seed).hash}))
               for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[1], found[2]] == expected
    np.testing.assert_array_equal(torch.get_rng_state(), states)
