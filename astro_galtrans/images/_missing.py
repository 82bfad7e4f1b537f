"""Pixels without data that neither a mask nor NaN marks: areas of exact zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["empty_pixels"]

# Smallest connected area of exact zeros that no noise makes. Where values are coarse, a share p of the pixels is zero
# by chance, and n connected pixels are by about (4 p)**n (growth of lattice animals, the shapes of such areas).
_MIN_PIXELS = 9
_MIN_PIXELS_COARSE = 25
_COARSE, _TOO_COARSE = 0.04, 0.2
# Share of negative values among those that are not zero, above which an image counts as noise around zero.
_MIN_NEGATIVE = 0.02
# Values from which noise and coarseness are estimated.
_N_SAMPLED = 20_000


def empty_pixels(flux: ArrayLike) -> np.ndarray:
    """Return the pixels that hold no data although they are finite: connected areas of exact zeros.

    Surveys fill what was not observed with zeros. A pixel is empty if it belongs to an area of at least nine exact
    zeros that touch each other by their sides, in an image of which zero is not an ordinary value: the other pixels
    scatter around zero, or lie far from it (a sky that was not subtracted). An image of zeros alone is empty. Single
    zeros are data, and so are the zeros around a source in a simulated image without noise, where no pixel is
    negative, and those of images that hold few different values, such as counts of single photons.

    Parameters
    ----------
    flux : array_like
        Images, shape ``(..., y, x)``. Each plane is treated separately.

    Returns
    -------
    ndarray of bool
        Shape of ``flux``, True where a pixel is empty.

    Raises
    ------
    ValueError
        If ``flux`` has fewer than two axes.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.images import empty_pixels
    >>> flux = np.random.default_rng(0).normal(size=(2, 32, 32))
    >>> flux[0, :, :8] = 0                      # not observed
    >>> flux[1, 5, 5] = 0                       # one zero
    >>> empty_pixels(flux).sum(axis=(1, 2)).tolist()
    [256, 0]
    """
    flux = np.asarray(flux)
    if flux.ndim < 2:
        raise ValueError(f"flux must have shape (..., y, x), got {flux.shape}")
    zero = flux == 0
    if not zero.any():
        return zero
    planes, zeros = flux.reshape(-1, *flux.shape[-2:]), zero.reshape(-1, *flux.shape[-2:])
    counts = np.count_nonzero(zeros, axis=(1, 2))
    empty = np.zeros_like(zeros)
    for index in np.flatnonzero(counts >= min(_MIN_PIXELS, planes[0].size)):
        empty[index] = _empty(planes[index], zeros[index])
    return empty.reshape(flux.shape)


def _empty(plane, zero):
    others = plane[~zero & np.isfinite(plane)]
    if others.size == 0:
        return zero
    others = others[::max(1, others.size // _N_SAMPLED)]
    if not _is_outside(others):
        return np.zeros_like(zero)
    # the share of the most frequent other value is about that of the zeros that chance makes
    coarseness = np.unique(others, return_counts=True)[1].max() / others.size if others.size > 100 else 0
    if coarseness > _TOO_COARSE:
        return np.zeros_like(zero)
    areas, _ = ndimage.label(zero)
    sizes = np.bincount(areas.ravel())
    sizes[0] = 0
    return sizes[areas] >= (_MIN_PIXELS if coarseness <= _COARSE else _MIN_PIXELS_COARSE)


def _is_outside(others):
    """Whether an area of zeros is out of the ordinary among these values, which are not zero."""
    if np.count_nonzero(others < 0) >= _MIN_NEGATIVE * others.size:
        return True
    low, middle = np.quantile(others, [0.01, 0.5])
    return low > 5 * (middle - low)
