"""Which rows of a set of pairs are meant."""

import numpy as np

from astro_galtrans._utils.masked import whole

__all__ = ["row_numbers", "split_rows"]


def row_numbers(indices, n):
    """Row numbers of a set of ``n``, from a slice, a boolean mask or integers."""
    if isinstance(indices, slice):
        return np.arange(n)[indices]
    rows = np.atleast_1d(whole(indices, "indices"))
    if rows.size == 0:
        rows = rows.astype(int)
    if rows.dtype == bool and rows.shape != (n,):
        raise ValueError(f"a boolean selection must have shape ({n},), got {rows.shape}")
    if rows.ndim != 1 or rows.dtype.kind not in "biu":
        raise TypeError(f"indices must be integers, a boolean mask or a slice, got {indices!r}")
    return np.arange(n)[rows]


def split_rows(ids, fractions, seed):
    """Sorted row numbers of random parts; they depend on the ids and the seed, not on the order of the ids."""
    fractions = np.atleast_1d(np.asarray(fractions, dtype=float))
    if fractions.ndim != 1 or not np.all(fractions > 0) or fractions.sum() > 1 + 1e-9:
        raise ValueError(f"fractions must be above 0 and sum to at most 1, got {fractions.tolist()}")
    # Sorted by id first, so that the parts do not depend on how the pairs are ordered.
    order = np.argsort(ids)[np.random.default_rng(seed).permutation(len(ids))]
    edges = np.round(np.concatenate([[0], np.cumsum(fractions)]) * len(ids)).astype(int)
    if np.any(np.diff(edges) == 0):
        raise ValueError(f"{len(ids)} pairs are too few for parts of {fractions.tolist()}: one would be empty")
    return [np.sort(order[a:b]) for a, b in zip(edges[:-1], edges[1:])]
