"""Numbers with the draws of their bootstrap, so that ratios and differences of them have paired intervals."""

import hashlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Drawn", "combine_seeds", "known", "missing", "preservation_gain", "ratio", "reduction"]


@dataclass(frozen=True)
class Drawn:
    """A number and what it would be on resampled galaxies.

    Attributes
    ----------
    value : float
        On the galaxies as they are; NaN where it was not measured or does not exist.
    draws : ndarray
        On resamples of the galaxies, the same ones for every number of a sample: functions of several numbers are
        taken draw by draw.
    n_seeds : int
        Trainings behind it.
    """

    value: float
    draws: np.ndarray
    n_seeds: int = 1

    def interval(self, confidence=0.95):
        """Central interval that holds at least ``confidence`` of the draws.

        A draw in which the number does not exist (a gain over nothing lost) counts against both ends, so that the
        interval becomes infinite when there are enough of them.

        Returns
        -------
        low, high : float
            NaN without the number or without draws.
        """
        if not np.isfinite(self.value) or not np.isfinite(self.draws).any():
            return np.nan, np.nan
        tail = (1 - confidence) / 2
        undefined = np.isnan(self.draws)
        low = np.quantile(np.where(undefined, -np.inf, self.draws), tail, method="lower")
        high = np.quantile(np.where(undefined, np.inf, self.draws), 1 - tail, method="higher")
        return float(low), float(high)

    def columns(self, name, confidence=0.95):
        """The number and its interval as three entries of a row."""
        low, high = self.interval(confidence)
        return {name: self.value, f"{name}_low": low, f"{name}_high": high}

    def plus(self, constant):
        """The number shifted by a constant."""
        return Drawn(self.value + constant, self.draws + constant, self.n_seeds)

    def __add__(self, other):
        return _paired(np.add, self, other)

    def __sub__(self, other):
        return _paired(np.subtract, self, other)


def known(value):
    """A number without draws."""
    return Drawn(float(value), np.full(1, np.nan))


def missing():
    """What was not measured."""
    return Drawn(np.nan, np.full(1, np.nan), 0)


def _paired(function, *numbers):
    """A function of several numbers, on the galaxies and draw by draw; undefined values come out as NaN."""
    sizes = {number.draws.size for number in numbers} - {1}
    if len(sizes) > 1:
        raise ValueError(f"results must have the same number of draws in every row, got {sorted(sizes)}")
    with np.errstate(all="ignore"):
        value = float(function(*(np.float64(number.value) for number in numbers)))
        draws = np.asarray(function(*(number.draws for number in numbers)), dtype=float)
    value = value if np.isfinite(value) else np.nan
    return Drawn(value, np.where(np.isfinite(draws), draws, np.nan), min(number.n_seeds for number in numbers))


def combine_seeds(values, draws, label):
    """The mean over trainings that differ in their seed, with draws over galaxies and seeds.

    Parameters
    ----------
    values : array-like
        One for each seed.
    draws : array-like
        Shape (seed, draw), all on the same resampled galaxies.
    label : str
        What the trainings are, which decides how the seeds are drawn: the same each time, and independently of other
        trainings.

    Returns
    -------
    Drawn
        In each draw the seeds are resampled too, with replacement, and the mean of the resampled ones is moved away
        from that of all by sqrt(n / (n - 1)), since the spread of n resampled numbers is too small by that factor.
        A single seed has the spread of the galaxies alone.
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
    """``numerator / denominator``, which exists where the denominator is above zero."""
    return _paired(lambda a, b: a / _positive(b), numerator, denominator)


def reduction(ours, conventional):
    """``1 - ours / conventional``."""
    return _paired(lambda a, b: 1 - a / _positive(b), ours, conventional)


def preservation_gain(ours, conventional, target):
    """``(conventional - ours) / (conventional - target)``: the share of what was lost that is won back.

    It exists where the conventional translation has lost something.
    """
    return _paired(lambda a, b, c: (b - a) / _positive(b - c), ours, conventional, target)
