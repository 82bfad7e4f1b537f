"""How many pixels of one survey go with the cutout of another."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

import astropy.units as u

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = ["matching_size"]


def matching_size(size: int, input_scale: Quantity, target_scale: Quantity) -> int:
    """Side of the cutout on the target grid that goes with an input cutout and keeps its centre.

    On finer pixels it is the smallest that covers the input, on coarser pixels the largest that lies within it, so
    that the way back ends at the size from which it began. An odd side has a pixel at its centre and an even side a
    corner, so that the side keeps the parity of the input: both cutouts then have their centre at the same kind of
    place.

    Parameters
    ----------
    size : int
        Side of the input cutout in pixels.
    input_scale, target_scale : `~astropy.units.Quantity`
        Pixel scales.

    Returns
    -------
    int

    Examples
    --------
    >>> import astropy.units as u
    >>> from astro_galtrans.surveys import matching_size
    >>> matching_size(64, 0.396 * u.arcsec, 0.187 * u.arcsec)
    136
    >>> matching_size(136, 0.187 * u.arcsec, 0.396 * u.arcsec)
    64
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    sides = size * (input_scale / target_scale).to_value(u.dimensionless_unscaled)
    if sides >= size:
        covering = ceil(sides - 1e-6)
        return covering + (covering - size) % 2
    within = floor(sides + 1e-6)
    return max(within - (size - within) % 2, 2 - size % 2)
