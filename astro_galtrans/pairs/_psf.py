"""Images of point spread functions beside the images of galaxies: of one size, centred, of sum 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.psf import centered_psf

if TYPE_CHECKING:
    from astro_galtrans.surveys import Survey

__all__ = ["checked_psf", "psf_side", "psf_stamp"]

# Within four FWHM of the centre a Moffat profile of beta 3.5 has all but 4e-4 of its light.
_WIDTHS = 8


def psf_side(survey: Survey) -> int:
    """Return the side in pixels, odd, of the PSF images of a survey: eight FWHM of its widest band.

    Examples
    --------
    >>> from astro_galtrans.pairs import psf_side
    >>> from astro_galtrans.surveys import get_survey
    >>> psf_side(get_survey("SDSS"))
    33
    """
    widest = max((band.psf_fwhm / survey.pixel_scale).to_value(u.one) for band in survey)
    return 2 * int(np.ceil(_WIDTHS * widest / 2)) + 1


def psf_stamp(psf: np.ndarray | None, n_bands: int, side: int) -> np.ndarray:
    """Return a PSF as an image of a given size, as `PairSet` stores it.

    Parameters
    ----------
    psf : ndarray or None
        Shape ``(band, y, x)``; None if it is not known.
    n_bands : int
        Number of bands.
    side : int
        Side of the image in pixels, odd; see `psf_side`.

    Returns
    -------
    ndarray of float32
        Shape ``(n_bands, side, side)``, centered, with a sum of 1 in each band; all 0 if ``psf`` is None.
    """
    if psf is None:
        return np.zeros((n_bands, side, side), np.float32)
    return centered_psf(psf, side).astype(np.float32)


def checked_psf(name, psf, n, n_bands):
    """PSFs that a user hands in as float32 of shape ``(galaxy, band, y, x)``; None where it is None.

    Parameters
    ----------
    name : str
        Argument, for messages.
    psf : array_like or None
        Shape ``(galaxy, band, y, x)``, or ``(band, y, x)`` for all galaxies. Zeros or NaN where it is not known.
    n, n_bands : int
    """
    if psf is None:
        return None
    values = floats(psf, name)
    if values.ndim == 3:
        values = np.broadcast_to(values, (n, *values.shape))
    if values.ndim != 4 or values.shape[:2] != (n, n_bands) or 0 in values.shape:
        raise ValueError(f"{name} must have shape (galaxy, band, y, x) or (band, y, x) with {n} galaxies and {n_bands} "
                         f"bands, got {np.shape(psf)}")
    values = values.astype(float)
    values[np.isnan(values).all(axis=(2, 3))] = 0
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, or NaN in the whole image of a PSF that is not known")
    total = values.sum(axis=(2, 3), keepdims=True)
    known = np.any(values != 0, axis=(2, 3), keepdims=True)
    if np.any(known & (total <= 0)):
        raise ValueError(f"{name} must have a sum above 0")
    if np.any(known.any(axis=1) != known.all(axis=1)):
        raise ValueError(f"{name} must be known in all bands of a galaxy or in none")
    return (values / np.where(known, total, 1)).astype(np.float32)
