"""Aperture masks and deblending with photutils."""

import numpy as np
from astropy.utils import minversion

__all__ = ["circle_mask", "deblended"]


def circle_mask(shape, radius, center=None, subpixels=None):
    """Return the share of each pixel that lies within a circle.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    radius : float
        In pixels.
    center : tuple of float, optional
        ``(x, y)``; the default is the middle of the image.
    subpixels : int, optional
        Sample each pixel at so many points along each side; the default is the exact overlap.

    Returns
    -------
    ndarray
        Shape ``(ny, nx)``.
    """
    from photutils.aperture import CircularAperture

    if radius == 0:
        return np.zeros(shape)
    aperture = CircularAperture(((shape[1] - 1) / 2, (shape[0] - 1) / 2) if center is None else center, radius)
    method = {"method": "exact"} if subpixels is None else {"method": "subpixel", "subpixels": subpixels}
    mask = aperture.to_mask(**method).to_image(shape)
    return np.zeros(shape) if mask is None else mask


def deblended(image, segments, min_pixels):
    """Return segments of which those that hold several sources are divided, without a progress bar."""
    from photutils.segmentation import deblend_sources

    quiet = {} if minversion("photutils", "3.1") else {"progress_bar": False}  # deprecated there
    return deblend_sources(image, segments, min_pixels, contrast=0.005, **quiet)
