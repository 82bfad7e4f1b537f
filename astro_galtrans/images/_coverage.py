"""Whether the bands of galaxy images have the data that a measurement of the galaxy needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans.exceptions import BandMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.units import Quantity
    from numpy.typing import ArrayLike

__all__ = ["check_coverage", "missing_bands"]

# Radius in arcsec around the middle of the image and the largest share of its pixels without data. Beyond these the
# other bands of a translation change by more than their own uncertainty (docs/translation.rst has the measurement).
_LIMITS = ((2.0, 0.1), (4.0, 0.25))
_MOST_NAMED = 5  # galaxies in a message


def missing_bands(valid: ArrayLike, pixel_scale: float | Quantity) -> np.ndarray:
    """Bands of which the galaxy in the middle has no data, or too little.

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
