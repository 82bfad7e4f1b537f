"""NumPy's default error state around a computation, whatever the process has set."""

from contextlib import contextmanager

import numpy as np

__all__ = ["numpy_defaults"]


@contextmanager
def numpy_defaults():
    """Compute with NumPy's default error state, and leave that of the caller as it was.

    The code is written for it: underflow to zero, as in the wings of a profile, is not an error.
    """
    with np.errstate(divide="warn", over="warn", invalid="warn", under="ignore"):
        yield
