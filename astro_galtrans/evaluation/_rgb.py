"""Color pictures with one stretch for all images of a galaxy."""

import astropy.units as u
import numpy as np

from astro_galtrans._utils.rgb import BALANCE, rgb_bands, rgb_picture
from astro_galtrans._utils.rgb import rgb_stretch as stretch_of

__all__ = ["rgb_image", "rgb_index", "rgb_stretch"]

_N_SIGMA = 1.5


def rgb_index(survey):
    """Indices of the bands of a survey for red, green and blue."""
    return [survey.band_names.index(name) for name in rgb_bands(survey.band_names)]


def _planes(flux, survey):
    """Red, green and blue as surface brightness in microjansky per square arcsecond, (3, y, x)."""
    area = survey.pixel_scale.to_value(u.arcsec)**2
    index = rgb_index(survey)
    scale = [survey.bands[band].flux_per_unit().to_value(u.uJy) * balance / area
             for band, balance in zip(index, BALANCE)]
    return np.nan_to_num(np.asarray(flux, dtype=float)[index]) * np.reshape(scale, (3, 1, 1))


def rgb_stretch(flux, survey):
    """Stretch of the picture of an image, as `rgb_image` takes it."""
    return stretch_of(_planes(flux, survey).mean(axis=0), _N_SIGMA)


def rgb_image(flux, survey, stretch):
    """The picture of an image, uint8 of shape ``(y, x, 3)``.

    Parameters
    ----------
    flux : ndarray of shape (band, y, x)
        In the survey's unit.
    survey : Survey
    stretch : float
        As of `rgb_stretch`, the same for all images of a galaxy.
    """
    return rgb_picture(_planes(flux, survey), stretch)
