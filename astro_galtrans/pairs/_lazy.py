"""An array on disk of which only the rows that are asked for are read."""

import os
from pathlib import Path

import numpy as np

from astro_galtrans.exceptions import FileFormatError

__all__ = ["LazyArray"]


class LazyArray:
    """Some rows of a Zarr array, indexed like an ndarray; every read gives an ndarray.

    Parameters
    ----------
    source : `zarr.Array`
        The array on disk.
    rows : ndarray, optional
        Which of its rows this one shows, all by default.
    """

    def __init__(self, source, rows=None):
        self.source = source
        self.rows = np.arange(source.shape[0]) if rows is None else rows

    @property
    def shape(self):
        return (len(self.rows), *self.source.shape[1:])

    @property
    def dtype(self):
        return self.source.dtype

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def nbytes(self):
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self):
        return len(self.rows)

    def __repr__(self):
        return f"<LazyArray {self.shape} {self.dtype} of {self.source.store_path}>"

    def is_within(self, path):
        """Whether this array is part of the file at ``path``."""
        return Path(os.path.realpath(self.source.store.root)).is_relative_to(os.path.realpath(path))

    def take_rows(self, rows):
        """Some rows of this array, not read yet."""
        return LazyArray(self.source, self.rows[rows])

    def _read(self, rows):
        wanted, back = np.unique(rows, return_inverse=True)
        if not len(wanted):
            return np.empty((0, *self.shape[1:]), self.dtype)
        try:
            if wanted[-1] - wanted[0] + 1 == len(wanted):
                values = self.source[int(wanted[0]):int(wanted[-1]) + 1]
            else:
                values = self.source.get_orthogonal_selection((wanted,))
        except Exception as error:  # each codec has errors of its own for broken bytes
            raise FileFormatError(f"{self.source.store_path} cannot be read, part of it is broken: {error}") from error
        if np.isnan(values).any():
            raise FileFormatError(f"{self.source.store_path} is not complete: part of the images is missing")
        return values if np.array_equal(back, np.arange(len(wanted))) else values[back]

    def __getitem__(self, key):
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if first is Ellipsis or first is None or (isinstance(key, tuple) and not key):
            return np.asarray(self)[key]
        rows = self.rows[first]
        if np.ndim(rows) == 0:
            return self._read(np.array([rows]))[0][rest]
        if np.ndim(rows) != 1:
            raise IndexError(f"the first index must be an integer, a slice or one-dimensional, got {first!r}")
        return self._read(rows)[(slice(None), *rest)]

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("an array on disk cannot be had without a copy")
        values = self._read(self.rows)
        return values if dtype is None else values.astype(dtype, copy=False)
