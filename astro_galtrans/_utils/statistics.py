"""Bootstrap over galaxies: the resamples and the intervals of their statistics."""

import numpy as np

from astro_galtrans._utils.validation import real_number, whole_number

__all__ = ["check_bootstrap", "interval", "resampled_rows"]

# Elements of one block of resamples, so that memory stays below about 200 MB.
_BLOCK = 2_000_000


def check_bootstrap(n_bootstrap, confidence):
    """Raise ValueError for a number of resamples or a confidence that is out of range."""
    whole_number(n_bootstrap, "n_bootstrap")
    real_number(confidence, "confidence", positive=True, below=1)


def resampled_rows(n, n_bootstrap, seed, dtype=np.int64):
    """Yield blocks of row numbers of resamples with replacement.

    Parameters
    ----------
    n : int
        Number of rows, which is the size of each resample.
    n_bootstrap : int
        Number of resamples.
    seed : int or `numpy.random.Generator`
        Seed of the bootstrap.
    dtype : dtype, optional
        Integer type of the row numbers; other types are other random numbers.

    Yields
    ------
    ndarray
        Shape ``(resamples of the block, n)``.
    """
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    for start in range(0, n_bootstrap, block):
        yield rng.integers(n, size=(min(block, n_bootstrap - start), n), dtype=dtype)


def interval(draws, confidence):
    """Return the central percentile interval (low, high) of the finite draws, NaN if there are none."""
    finite = draws[np.isfinite(draws)]
    if not finite.size:
        return np.nan, np.nan
    tail = 0.5 * (1 - confidence)
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)
