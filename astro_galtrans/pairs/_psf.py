"""Images of point spread functions beside the images of galaxies: of one size, centred, of sum 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans.images._psf import centred_psf

if TYPE_CHECKING:
    from astro_galtrans.surveys import Survey

__all__ = ["psf_side", "psf_stamp"]

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
    return centred_psf(psf, side).astype(np.float32)
