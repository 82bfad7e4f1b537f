"""How many pixels of one survey cover the cutout of another."""

from math import ceil

import astropy.units as u

__all__ = ["matching_size"]


def matching_size(size, input_scale, target_scale):
    """Smallest cutout side on the target grid that covers an input cutout and keeps its centre.

    An odd side has a pixel at its centre and an even side a corner, so that the side keeps the parity of the
    input: both cutouts then have their centre at the same kind of place.

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
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    needed = ceil(size * (input_scale / target_scale).to_value(u.dimensionless_unscaled) - 1e-6)
    return needed + (needed - size) % 2
