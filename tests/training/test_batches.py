"""Batches have each pair once per epoch, in an order of the seed, flux and weight rotated together."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey
from astro_galtrans.training._batches import PairBatches


@pytest.fixture(scope="module")
def marked():
    """Pairs whose weight is a function of their flux, and whose flux identifies them."""
    rng = np.random.default_rng(2)
    arrays = {}
    for side, name, size in (("input", "SDSS", 8), ("target", "CFHTLS", 18)):
        flux = rng.uniform(1, 2, (10, 1, size, size)) + 10 * np.arange(10)[:, None, None, None]
        arrays |= {f"{side}_flux": flux, f"{side}_weight": flux**2, f"{side}_survey": get_survey(name).select("r")}
    return PairSet.from_arrays(**arrays)


def epoch(batches, number=0):
    batches.epoch = number
    return list(batches)


def galaxies(batches):
    return np.concatenate([batch["input_flux"][:, 0, 0, 0].numpy() // 10 for batch in batches]).astype(int)


def test_each_pair_once_in_an_order_of_seed_and_epoch(marked):
    batches = PairBatches(marked, 4, seed=1)
    assert len(batches) == 3
    first = galaxies(epoch(batches, 0))
    assert_array_equal(np.sort(first), np.arange(10))
    assert_array_equal(galaxies(epoch(batches, 0)), first)
    assert not np.array_equal(galaxies(epoch(batches, 1)), first)
    assert not np.array_equal(galaxies(epoch(PairBatches(marked, 4, seed=2))), first)
    assert_array_equal(galaxies(epoch(PairBatches(marked, 4))), np.arange(10))


def test_turns_move_data_and_weight_of_both_surveys_together(marked):
    kinds = set()
    for number in range(12):
        for batch in epoch(PairBatches(marked, 4, seed=3, augment=True), number):
            rows = galaxies([batch])
            transforms = {}
            for side in ("input", "target"):
                flux, weight = batch[f"{side}_flux"].numpy(), batch[f"{side}_weight"].numpy()
                np.testing.assert_allclose(weight, flux**2, rtol=1e-6)
                original = getattr(marked, f"{side}_flux")[rows]
                transforms[side] = [
                    (turns, flip) for turns in range(4) for flip in range(2)
                    if np.array_equal(np.rot90(original, turns, (2, 3))[..., ::-1 if flip else 1], flux)]
            assert len(transforms["input"]) == 1
            assert transforms["input"] == transforms["target"]
            kinds.update(transforms["input"])
    assert len(kinds) == 8


def test_images_that_are_not_square_keep_their_shape():
    arrays = {"input_flux": np.random.default_rng(1).normal(size=(6, 1, 8, 12)), "target_flux": np.ones((6, 1, 18, 26))}
    pairs = PairSet.from_arrays(**arrays, input_survey=get_survey("SDSS").select("r"),
                                target_survey=get_survey("CFHTLS").select("r"))
    for batch in PairBatches(pairs, 2, seed=1, augment=True):
        assert batch["input_flux"].shape == (2, 1, 8, 12)


def test_pairs_are_not_changed(make_pairs):
    pairs = make_pairs(4, seed=1)
    kept = pairs.input_flux.copy()
    for batch in PairBatches(pairs, 2, seed=1, augment=True):
        batch["input_flux"].zero_()
    for batch in PairBatches(pairs, 4):
        batch["input_flux"].zero_()
    assert_array_equal(pairs.input_flux, kept)
