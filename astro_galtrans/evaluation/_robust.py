"""Robust statistics and their bootstrap over galaxies."""

import warnings

import numpy as np
from scipy import stats

from astro_galtrans._utils.statistics import interval, resampled_rows

__all__ = ["Bootstrap", "median", "nmad", "paired_reduction"]

_BLOCK = 2_000_000
_KEPT = 8  # lengths of columns whose resampled rows are kept


def median(values):
    """Return the median of the finite values, NaN if there are none."""
    values = _finite(values)
    return np.median(values) if values.size else np.nan


def nmad(values):
    """Return 1.4826 median |x - median x| of the finite values, NaN if there are none."""
    values = _finite(values)
    return _nmad(values) if values.size else np.nan


def _finite(values):
    values = np.asarray(values, dtype=float)
    return values[np.isfinite(values)]


def _nmad(values, axis=-1):
    return 1.4826 * stats.median_abs_deviation(values, axis=axis)


def paired_reduction(first, other, *, n_bootstrap, seed, confidence):
    """Return 1 - nmad(other) / nmad(first) over the galaxies where both are finite, and its interval."""
    both = np.isfinite(first) & np.isfinite(other)
    first, other = np.asarray(first)[both], np.asarray(other)[both]
    if both.sum() < 2 or nmad(first) == 0:
        return np.nan, np.nan, np.nan
    value = 1 - nmad(other) / nmad(first)
    if not n_bootstrap:
        return value, np.nan, np.nan

    def reduction(first, other, axis=-1):
        return 1 - _nmad(other, axis) / _nmad(first, axis)

    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap((first, other), reduction, paired=True, vectorized=True, n_resamples=n_bootstrap,
                                batch=max(1, _BLOCK // len(first)), method="percentile",
                                random_state=np.random.default_rng(seed))
    # SciPy's own interval is NaN if a single resample has no scatter and thus no reduction.
    return value, *interval(found.bootstrap_distribution, confidence)


class Bootstrap:
    """Bootstrap intervals of the NMAD of one column after another.

    The sorted row numbers of a resample, applied to a sorted column, give the resampled values in order. Median and
    median deviation are then found without touching every value, and the row numbers serve all columns of one length.
    An evaluation has hundreds of columns, and `scipy.stats.bootstrap` takes 40 times as long.

    Parameters
    ----------
    n_bootstrap : int
        Number of resamples.
    seed : int
    confidence : float
        Probability of the intervals.
    """

    def __init__(self, n_bootstrap, seed, confidence):
        self.n_bootstrap, self.seed, self.confidence = n_bootstrap, seed, confidence
        self._kept = {}

    def nmad(self, values):
        """Return the interval (low, high) of the NMAD of the finite values, NaN if there are none."""
        values = np.sort(_finite(values))
        if not len(values) or not self.n_bootstrap:
            return np.nan, np.nan
        draws = np.concatenate([_sorted_nmad(values, rows) for rows in self._blocks(len(values))])
        return interval(draws, self.confidence)

    def _blocks(self, n):
        """Sorted row numbers, (resamples, n) per block; small ones are kept."""
        if n in self._kept:
            return [self._kept[n]]
        blocks = self._drawn(n)
        if n * self.n_bootstrap <= _BLOCK:
            blocks = [next(blocks)]
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[n] = blocks[0]
        return blocks

    def _drawn(self, n):
        kind = np.uint16 if n <= 2**16 else np.uint32
        for rows in resampled_rows(n, self.n_bootstrap, self.seed, kind):
            rows.sort(axis=1, kind="stable")  # a radix sort for 16 bits
            yield rows


def _sorted_nmad(values, rows):
    """NMAD of ``values[rows]`` for each row of ``rows``; both are sorted."""
    n = rows.shape[1]
    center = (values[rows[:, (n - 1) // 2]] + values[rows[:, n // 2]]) / 2
    distances = [_distance_within(values, rows, center, k) for k in {(n - 1) // 2 + 1, n // 2 + 1}]
    return 1.4826 * np.mean(distances, axis=0)


def _distance_within(values, rows, center, k):
    """The k-th smallest distance to the center: the least that holds k consecutive sorted values."""
    line = np.arange(len(rows))

    def sides(first):
        return center - values[rows[line, first]], values[rows[line, first + k - 1]] - center

    low, high = np.zeros(len(rows), dtype=int), np.full(len(rows), rows.shape[1] - k)
    while (low < high).any():  # bisection for the first place where the right side is the larger one
        middle = (low + high) // 2
        left, right = sides(middle)
        low, high = np.where(right >= left, low, np.minimum(middle + 1, high)), np.where(right >= left, middle, high)
    return np.minimum(np.maximum(*sides(low)), np.maximum(*sides(np.maximum(low - 1, 0))))
