"""Valid pixels: areas of zeros that hold no data, and the bands that lack data around a galaxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from scipy import ndimage

from astro_galtrans.exceptions import BandMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.units import Quantity
    from numpy.typing import ArrayLike

__all__ = ["check_coverage", "empty_pixels", "missing_bands"]

# Smallest connected area of exact zeros that continuous noise does not make.
_MIN_PIXELS = 9
# Images of rounded values have zeros by chance, which are adjacent where the noise is correlated: of
# rounded coadds of KiDS a tenth of the pixels is zero, in areas of up to 120 pixels. Above this share of the pixels in
# smaller areas, an empty area must hold a square of this side.
_MAX_CHANCE, _BLOCK = 0.005, 7
# Share of negative values among those that are not zero, above which an image counts as noise around zero.
_MIN_NEGATIVE = 0.02
# Values from which noise and coarseness are estimated.
_N_SAMPLED = 20_000
# Radius in arcsec around the middle of the image and the largest share of its pixels without data. Beyond these the
# other bands of a translation change by more than their own uncertainty (docs/translation.rst has the measurement).
_LIMITS = ((2.0, 0.1), (4.0, 0.25))
_MOST_NAMED = 5  # galaxies in a message


def empty_pixels(flux: ArrayLike) -> np.ndarray:
    """Return the pixels that hold no data although they are finite: connected areas of exact zeros.

    Surveys fill what was not observed with zeros. A pixel is empty if it belongs to an area of at least nine exact
    zeros that touch each other by their sides, in an image of which zero is not an ordinary value: the other pixels
    scatter around zero, or lie far from it (a sky that was not subtracted). An image of zeros alone is empty. Single
    zeros are data, and so are the zeros around a source in a simulated image without noise, where no pixel is
    negative. Images with more than 0.5 per cent of zeros in smaller areas hold rounded values, and an area that is
    empty must then hold a square of 7 x 7 zeros.

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
    areas, _ = ndimage.label(zero)
    sizes = np.bincount(areas.ravel())
    large = sizes >= _MIN_PIXELS
    large[0] = False
    by_chance = sizes[1:][~large[1:]].sum()
    if by_chance > _MAX_CHANCE * (zero.size - sizes[large].sum()):
        squares = ndimage.binary_erosion(zero, np.ones((_BLOCK, _BLOCK)))
        large &= np.bincount(areas[squares], minlength=large.size) > 0
    return large[areas]


def _is_outside(others):
    """Return whether an area of zeros is exceptional among these other values."""
    if np.count_nonzero(others < 0) >= _MIN_NEGATIVE * others.size:
        return True
    low, middle = np.quantile(others, [0.01, 0.5])
    return low > 5 * (middle - low)


def missing_bands(valid: ArrayLike, pixel_scale: float | Quantity) -> np.ndarray:
    """Return the bands without enough data on the galaxy in the middle.

    A band is missing if more than a tenth of its pixels within 2 arcsec of the middle of the image, or more than a
    quarter of those within 4 arcsec, have no data. Smaller gaps can be filled.

    Parameters
    ----------
    valid : ndarray of bool
        Pixels with data, shape ``(..., band, y, x)``.
    pixel_scale : float or `~astropy.units.Quantity`
        Arcsec per pixel.

    Returns
    -------
    ndarray of bool
        Shape ``(..., band)``.
    """
    valid = np.asarray(valid, dtype=bool)
    missing: np.ndarray = np.logical_not(valid.any((-2, -1)))
    if valid.all():
        return missing
    scale = u.Quantity(pixel_scale, u.arcsec).value
    y, x = (np.abs(np.arange(n) - 0.5 * (n - 1)) for n in valid.shape[-2:])
    radius = scale * np.hypot(y[:, None], x)
    for limit, share in _LIMITS:
        inside = radius <= max(limit, radius.min())
        missing = missing | (np.mean(~valid[..., inside], axis=-1) > share)
    return missing


def check_coverage(missing: np.ndarray, bands: Sequence[str], name: str, advice: str) -> None:
    """Raise an error that names the missing bands and their galaxies.

    Parameters
    ----------
    missing : ndarray of bool
        As `missing_bands` gives it, shape ``(galaxy, band)``.
    bands : sequence of str
        Names of the bands.
    name : str
        The argument, for the message.
    advice : str
        How to proceed, for the message.

    Raises
    ------
    BandMismatchError
        If any band is missing.
    """
    galaxies = np.flatnonzero(missing.any(1))
    if not len(galaxies):
        return
    found = ", ".join(bands[int(number)] for number in np.flatnonzero(missing.any(0)))
    which = ""
    if len(missing) > 1:
        shown = ", ".join(map(str, galaxies[:_MOST_NAMED])) + (", ..." if len(galaxies) > _MOST_NAMED else "")
        which = f" in {len(galaxies)} of {len(missing)} galaxies ({shown})"
    raise BandMismatchError(
        f"{name} has no data around the middle of the image in band {found}{which}; {advice}")
