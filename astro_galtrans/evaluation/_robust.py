"""Robust summaries and their bootstrap over galaxies."""

import numpy as np

__all__ = ["interval", "median", "nmad", "paired_reduction", "resampled"]

_BLOCK = 2_000_000


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
