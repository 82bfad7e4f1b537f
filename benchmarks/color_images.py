"""Color images for the figures of the benchmarks."""

import numpy as np
from astropy.visualization import make_lupton_rgb

# Galaxies are red in f_nu: these factors give the bands i, r and g of a typical spiral about the same level.
BALANCE = {"i": 0.75, "r": 1.0, "g": 1.7}
SATURATION = 1.3


def color_planes(flux, survey):
    """Return the surface brightness in i, r and g in microjansky per square arcsecond, ndarray of shape (3, y, x)."""
    area = survey.pixel_scale.to_value("arcsec")**2
    planes = [np.nan_to_num(flux[survey.band_names.index(name)]) * survey[name].flux_per_unit().to_value("uJy")
              * factor / area for name, factor in BALANCE.items()]
    return np.array(planes)


def color_stretch(flux, survey):
    """Return the stretch that shows the faint parts of an image, for `color_image`."""
    gray = color_planes(flux, survey).mean(axis=0)
    middle = np.median(gray)
    noise = 1.4826 * np.median(middle - gray[gray <= middle])
    return max(1.5 * noise, 0.05 * np.percentile(gray, 99.8))


def color_image(flux, survey, stretch):
    """Return a color image, uint8 of shape (y, x, 3), of an image of shape (band, y, x) in the unit of its survey."""
    planes = color_planes(flux, survey)
    gray = planes.mean(axis=0)
    return make_lupton_rgb(*(gray + SATURATION * (planes - gray)), minimum=-0.3 * stretch, stretch=3 * stretch, Q=8)
