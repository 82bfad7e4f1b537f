"""Aperture magnitudes and colours of a source in a cube, at its place on the sky."""

import astropy.units as u
import numpy as np

from astro_galtrans.images import flux_and_weight

__all__ = ["aperture_magnitudes", "column_names", "colors_of"]


def aperture_magnitudes(cube, position, radii):
    """AB magnitudes within circles around a position.

    Parameters
    ----------
    cube : BandCube
        With a survey and a WCS.
    position : `~astropy.coordinates.SkyCoord`
        Middle of the circles.
    radii : sequence of float
        In arcsec.

    Returns
    -------
    magnitude, error : ndarray of shape (radius, band)
        NaN where a circle touches a bad pixel or reaches beyond the image, or where the flux is not positive. The
        error is that of the pixels' uncertainties, taken as independent.
    """
    from photutils.aperture import CircularAperture

    flux, weight = flux_and_weight(cube)
    x, y = (float(value) for value in cube.wcs.world_to_pixel(position))
    zero_point = np.array([band.zero_point for band in cube.survey])
    variance = np.divide(1, weight, out=np.zeros(weight.shape), where=weight > 0)
    magnitude, spread = (np.full((len(radii), len(cube.bands)), np.nan) for _ in range(2))
    for row, radius in enumerate(radii):
        pixels = radius / cube.pixel_scale.to_value(u.arcsec)
        if not (pixels <= min(x, y) + 0.5 and x + pixels <= flux.shape[2] - 0.5 and y + pixels <= flux.shape[1] - 0.5):
            continue
        share = CircularAperture((x, y), pixels).to_mask(method="exact").to_image(flux.shape[1:])
        total = np.tensordot(flux, share, 2)
        good = (total > 0) & (weight[:, share > 0] > 0).all(axis=1)
        error = np.sqrt(np.tensordot(variance, share**2, 2))
        magnitude[row, good] = zero_point[good] - 2.5 * np.log10(total[good])
        spread[row, good] = 2.5 / np.log(10) * error[good] / total[good]
    return magnitude, spread


def column_names(prefix, names, radius):
    """Names of the columns of an aperture, as ``input_r_2arcsec``."""
    return [f"{prefix}_{name}_{radius:g}arcsec" for name in names]


def colors_of(bands):
    """Neighbouring bands as names of colours: ``["u-g", "g-r", ...]``."""
    return [f"{blue}-{red}" for blue, red in zip(bands, bands[1:])]
