"""Aperture masks and deblending with photutils."""

import numpy as np
from astropy.utils import minversion

__all__ = ["circle_masks", "deblended"]


def circle_masks(shape, radii, center=None):
    """Return the exact share of each pixel that lies within circles.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    radii : sequence of float
        In pixels.
    center : tuple of float, optional
        ``(x, y)``; the default is the middle of the image.

    Returns
    -------
    ndarray
        Shape ``(radius, ny, nx)``.
    """
    from photutils.aperture import CircularAperture

    center = ((shape[1] - 1) / 2, (shape[0] - 1) / 2) if center is None else center
    masks = [CircularAperture(center, radius).to_mask(method="exact").to_image(shape) for radius in radii]
    return np.stack([np.zeros(shape) if mask is None else mask for mask in masks])


def deblended(image, segments, min_pixels):
    """Return segments of which those that hold several sources are divided, without a progress bar."""
    from photutils.segmentation import deblend_sources

    quiet = {} if minversion("photutils", "3.1") else {"progress_bar": False}  # deprecated there
    return deblend_sources(image, segments, min_pixels, contrast=0.005, **quiet)
