"""Floating point types, and the error state of NumPy."""

from contextlib import contextmanager

import numpy as np

__all__ = ["as_float", "numpy_defaults"]


@contextmanager
def numpy_defaults():
    """Compute with NumPy's default error state, and restore that of the caller.

    The code is written for it: underflow to zero, as in the wings of a profile, is not an error.
    """
    with np.errstate(divide="warn", over="warn", invalid="warn", under="ignore"):
        yield


def as_float(array):
    """Return an array as float32 or float64 in native byte order, itself where it is that already.

    Integers, booleans and half precision hold neither NaN nor the results of resampling.
    """
    array = np.asarray(array)
    if array.dtype.kind == "b":
        return array.astype(np.float32)
    if array.dtype.kind in "iu" or (array.dtype.kind == "f" and array.dtype.itemsize < 4):
        return array.astype(np.result_type(array.dtype.newbyteorder("="), np.float32))
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
