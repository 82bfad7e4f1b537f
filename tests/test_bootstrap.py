"""The bootstrap that metrics of redshifts and evaluations share."""

import numpy as np
import pytest
from scipy import stats

import astro_galtrans._utils.statistics as statistics


def test_resamples_are_rows_of_the_seed_in_any_blocks(monkeypatch):
    whole = np.concatenate(list(statistics.resampled_rows(50, 30, seed=3)))
    assert whole.shape == (30, 50) and whole.min() >= 0 and whole.max() < 50
    monkeypatch.setattr(statistics, "_BLOCK", 50 * 7)
    blocks = list(statistics.resampled_rows(50, 30, seed=3))
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert list(statistics.resampled_rows(50, 0, seed=3)) == []


def test_interval_is_that_of_scipy():
    values = np.random.default_rng(1).normal(size=200)
    draws = np.concatenate([values[rows].mean(axis=1) for rows in statistics.resampled_rows(200, 500, seed=2)])
    found = stats.bootstrap((values,), np.mean, n_resamples=500, confidence_level=0.68, method="percentile",
                            random_state=np.random.default_rng(2))
    np.testing.assert_allclose(statistics.interval(draws, 0.68), found.confidence_interval)


def test_interval_leaves_out_what_is_not_finite():
    assert statistics.interval(np.array([np.nan, 1.0, 2.0, np.inf, 3.0]), 0.5) == (1.5, 2.5)
    assert np.isnan(statistics.interval(np.full(3, np.nan), 0.5)).all()


@pytest.mark.parametrize("n_bootstrap, confidence, name", [
    (-1, 0.5, "n_bootstrap"), (2.5, 0.5, "n_bootstrap"), (10, 0.0, "confidence"), (10, 1.0, "confidence"),
])
def test_bad_numbers_of_a_bootstrap(n_bootstrap, confidence, name):
    with pytest.raises(ValueError, match=name):
        statistics.check_bootstrap(n_bootstrap, confidence)
