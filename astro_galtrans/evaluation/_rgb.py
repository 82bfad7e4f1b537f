"""Colour pictures with one stretch for all images of a galaxy."""

import astropy.units as u
import numpy as np

__all__ = ["rgb_bands", "rgb_image", "rgb_stretch"]

# Galaxies are red in f_nu: these bring the three planes of a typical spiral to one level.
_BALANCE = (0.75, 1.0, 1.7)
_SATURATION = 1.3


def rgb_bands(survey):
    """Indices of the bands for red, green and blue: i, r, g, or else spread over what there is."""
    names = survey.band_names
    if all(name in names for name in "irg"):
        return tuple(names.index(name) for name in "irg")
    return tuple(int(round(part * (len(names) - 1))) for part in (1.0, 0.5, 0.0))


def _planes(flux, survey):
    """Red, green and blue as surface brightness in microjansky per square arcsecond, (3, y, x)."""
    area = survey.pixel_scale.to_value(u.arcsec)**2
    planes = []
    for index, balance in zip(rgb_bands(survey), _BALANCE):
        scale = survey.bands[index].flux_per_unit().to_value(u.uJy)
        planes.append(np.nan_to_num(np.asarray(flux[index], dtype=float)) * (scale * balance / area))
    return np.stack(planes)


def rgb_stretch(flux, survey):
    """Stretch for an image: 1.5 times the noise of its grey version, at least 5 % of its peak."""
    grey = _planes(flux, survey).mean(axis=0)
    edge = np.concatenate([grey[:4].ravel(), grey[-4:].ravel(), grey[:, :4].ravel(), grey[:, -4:].ravel()])
    noise = 1.4826 * np.median(np.abs(edge - np.median(edge)))
    return float(max(1.5 * noise, 0.05 * np.percentile(grey, 99.8), 1e-12))


def rgb_image(flux, survey, stretch):
    """Picture by the stretch of Lupton et al. (2004, PASP 116, 133), uint8 of shape (y, x, 3).

    Parameters
    ----------
    flux : ndarray of shape (band, y, x)
        In the survey's unit.
    survey : Survey
    stretch : float
        As `rgb_stretch` gives, the same for all images of a galaxy.
    """
    from astropy.visualization import make_lupton_rgb  # draws in matplotlib where there is one

    planes = _planes(flux, survey)
    grey = planes.mean(axis=0)
    planes = grey + _SATURATION * (planes - grey)
    return make_lupton_rgb(*planes, minimum=-0.3 * stretch, stretch=3 * stretch, Q=8)
