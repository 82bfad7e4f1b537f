"""Numbers with their bootstrap draws, for paired intervals of ratios and differences."""

import hashlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Drawn", "combine_seeds", "known", "missing", "preservation_gain", "ratio", "reduction"]


@dataclass(frozen=True)
class Drawn:
    """A number and its values on resampled galaxies.

    Attributes
    ----------
    value : float
        On the original galaxies; NaN where it was not measured or is undefined.
    draws : ndarray
        On resampled galaxies, the same resamples for every number of a sample: functions of several numbers are
        computed draw by draw.
    n_seeds : int
        Number of trainings.
    """

    value: float
    draws: np.ndarray
    n_seeds: int = 1

    def interval(self, confidence=0.95):
        """Return the central interval that contains at least ``confidence`` of the draws.

        A draw in which the number is undefined (a gain where nothing was lost) counts against both ends; with enough
        of them the interval becomes infinite.

        Returns
        -------
        low, high : float
            NaN if there is no value or no draw.
        """
        if not np.isfinite(self.value) or not np.isfinite(self.draws).any():
            return np.nan, np.nan
        tail = (1 - confidence) / 2
        undefined = np.isnan(self.draws)
        low = np.quantile(np.where(undefined, -np.inf, self.draws), tail, method="lower")
        high = np.quantile(np.where(undefined, np.inf, self.draws), 1 - tail, method="higher")
        return float(low), float(high)

    def columns(self, name, confidence=0.95):
        """Return the number and its interval as three entries of a row."""
        low, high = self.interval(confidence)
        return {name: self.value, f"{name}_low": low, f"{name}_high": high}

    def plus(self, constant):
        """Return the number shifted by a constant."""
        return Drawn(self.value + constant, self.draws + constant, self.n_seeds)

    def __add__(self, other):
        return _paired(np.add, self, other)

    def __sub__(self, other):
        return _paired(np.subtract, self, other)


def known(value):
    """Return a number without draws."""
    return Drawn(float(value), np.full(1, np.nan))


def missing():
    """Return a number that was not measured."""
    return Drawn(np.nan, np.full(1, np.nan), 0)


def _paired(function, *numbers):
    """Return a function of several numbers, draw by draw; undefined values are NaN."""
    sizes = {number.draws.size for number in numbers} - {1}
    if len(sizes) > 1:
        raise ValueError(f"results must have the same number of draws in every row, got {sorted(sizes)}")
    with np.errstate(all="ignore"):
        value = float(function(*(np.float64(number.value) for number in numbers)))
        draws = np.asarray(function(*(number.draws for number in numbers)), dtype=float)
    value = value if np.isfinite(value) else np.nan
    return Drawn(value, np.where(np.isfinite(draws), draws, np.nan), min(number.n_seeds for number in numbers))


def combine_seeds(values, draws, label):
    """Return the mean over trainings that differ in their seed, with draws over galaxies and seeds.

    Parameters
    ----------
    values : array-like
        One per seed.
    draws : array-like
        Shape (seed, draw), all on the same resampled galaxies.
    label : str
        Name of the trainings; it seeds the resampling of the seeds.

    Returns
    -------
    Drawn
        In each draw the seeds are also resampled, with replacement, and the deviation of their mean is widened by
        sqrt(n / (n - 1)), because the spread of n resampled numbers is too small by that factor. With a single seed,
        the spread is that of the galaxies.
    """
    values, draws = np.asarray(values, dtype=float), np.atleast_2d(np.asarray(draws, dtype=float))
    there = np.isfinite(values)
    values, draws = values[there], draws[there]
    n = len(values)
    if not n:
        return missing()
    mean = draws.mean(axis=0)
    if n > 1:
        digest = hashlib.sha256(label.encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        picked = rng.integers(n, size=(n, draws.shape[1]))
        mean = mean + np.sqrt(n / (n - 1)) * (np.take_along_axis(draws, picked, axis=0).mean(axis=0) - mean)
    return Drawn(float(values.mean()), mean, n)


def _positive(values):
    return np.where(values > 0, values, np.nan)


def ratio(numerator, denominator):
    """Return ``numerator / denominator``, defined where the denominator is positive."""
    return _paired(lambda a, b: a / _positive(b), numerator, denominator)


def reduction(ours, conventional):
    """Return ``1 - ours / conventional``."""
    return _paired(lambda a, b: 1 - a / _positive(b), ours, conventional)


def preservation_gain(ours, conventional, target):
    """Return ``(conventional - ours) / (conventional - target)``, the fraction of the loss that is recovered.

    It is defined where the conventional translation has lost something.
    """
    return _paired(lambda a, b, c: (b - a) / _positive(b - c), ours, conventional, target)
