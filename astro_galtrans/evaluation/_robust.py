"""Robust summaries and their bootstrap over galaxies."""

import numpy as np

__all__ = ["Bootstrap", "interval", "median", "nmad", "paired_reduction", "resampled"]

_BLOCK = 2_000_000
_KEPT = 8  # lengths of columns whose resampled rows are kept


def median(values, axis=-1):
    """Median of the finite values; NaN where there are none."""
    return _finite_median(np.asarray(values, dtype=float), axis)


def nmad(values, axis=-1):
    """1.4826 median |x - median x| of the finite values."""
    values = np.asarray(values, dtype=float)
    centre = np.expand_dims(_finite_median(values, axis), axis)
    return 1.4826 * _finite_median(np.abs(values - centre), axis)


def _finite_median(values, axis):
    values = np.moveaxis(values, axis, -1)
    if np.isfinite(values).all() and values.shape[-1]:
        return np.median(values, axis=-1)
    ordered = np.sort(np.where(np.isfinite(values), values, np.inf), axis=-1)
    count = np.isfinite(values).sum(axis=-1)
    pick = [np.take_along_axis(ordered, np.maximum(index, 0)[..., None], -1)[..., 0]
            for index in ((count - 1) // 2, count // 2 - (count == 0))] if values.shape[-1] else [np.nan, np.nan]
    return np.where(count > 0, (pick[0] + pick[1]) / 2, np.nan)


def resampled(statistic, columns, n_bootstrap, seed):
    """A statistic of several columns over the same resampled rows, ndarray of shape (n_bootstrap, len(columns))."""
    columns = [np.asarray(column, dtype=float) for column in columns]
    n = len(columns[0])
    if not n or not n_bootstrap:
        return np.empty((0, len(columns)))
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    parts = []
    for start in range(0, n_bootstrap, block):
        rows = rng.integers(n, size=(min(block, n_bootstrap - start), n))
        parts.append(np.stack([statistic(column[rows]) for column in columns], axis=1))
    return np.concatenate(parts)


def interval(draws, confidence):
    """Central interval (low, high) of the finite draws."""
    draws = draws[np.isfinite(draws)]
    if not draws.size:
        return np.nan, np.nan
    return tuple(float(value) for value in np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2]))


def paired_reduction(first, other, *, n_bootstrap, seed, confidence):
    """1 - nmad(other) / nmad(first) over the galaxies where both are finite, and its interval."""
    both = np.isfinite(first) & np.isfinite(other)
    first, other = np.asarray(first)[both], np.asarray(other)[both]
    if both.sum() < 2 or nmad(first) == 0:
        return np.nan, np.nan, np.nan
    draws = resampled(nmad, [other, first], n_bootstrap, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = 1 - draws[:, 0] / draws[:, 1]
    return (1 - nmad(other) / nmad(first), *interval(spread, confidence))


class Bootstrap:
    """Intervals of the NMAD of one column after another.

    In a sorted column the numbers of the resampled rows, sorted too, are the resampled values in order: median and
    median deviation are then found without touching every value, and the numbers serve all columns of one length.

    Parameters
    ----------
    n_bootstrap : int
        Resamples.
    seed : int
    confidence : float
        Probability that an interval holds.
    """

    def __init__(self, n_bootstrap, seed, confidence):
        self.n_bootstrap, self.seed, self.confidence = n_bootstrap, seed, confidence
        self._kept = {}

    def nmad(self, values):
        """Interval (low, high) of the NMAD of the finite values; NaN without any."""
        values = np.asarray(values, dtype=float)
        values = np.sort(values[np.isfinite(values)])
        if not len(values) or not self.n_bootstrap:
            return np.nan, np.nan
        draws = np.concatenate([_sorted_nmad(values, rows) for rows in self._blocks(len(values))])
        return interval(draws, self.confidence)

    def _blocks(self, n):
        """Sorted row numbers, (resamples, n) at a time; kept where they are few."""
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
        rng = np.random.default_rng(self.seed)
        block = max(1, _BLOCK // n)
        kind = np.uint16 if n <= 2**16 else np.uint32
        for start in range(0, self.n_bootstrap, block):
            rows = rng.integers(n, size=(min(block, self.n_bootstrap - start), n), dtype=kind)
            rows.sort(axis=1, kind="stable")  # a radix sort for 16 bits
            yield rows


def _sorted_nmad(values, rows):
    """NMAD of ``values[rows]`` for each line of ``rows``; both are sorted."""
    n = rows.shape[1]
    centre = (values[rows[:, (n - 1) // 2]] + values[rows[:, n // 2]]) / 2
    distances = [_distance_within(values, rows, centre, k) for k in {(n - 1) // 2 + 1, n // 2 + 1}]
    return 1.4826 * np.mean(distances, axis=0)


def _distance_within(values, rows, centre, k):
    """The k-th smallest distance to the centre: the least that k neighbours in the sorted values all lie within."""
    line = np.arange(len(rows))

    def sides(first):
        return centre - values[rows[line, first]], values[rows[line, first + k - 1]] - centre

    low, high = np.zeros(len(rows), dtype=int), np.full(len(rows), rows.shape[1] - k)
    while (low < high).any():  # the first place from which the right side is the farther one
        middle = (low + high) // 2
        left, right = sides(middle)
        low, high = np.where(right >= left, low, np.minimum(middle + 1, high)), np.where(right >= left, middle, high)
    return np.minimum(np.maximum(*sides(low)), np.maximum(*sides(np.maximum(low - 1, 0))))
