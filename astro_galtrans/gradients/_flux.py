"""A cube as plain arrays in Jy: flux, its standard deviation, which pixels are good, and the grid on the sky."""

from dataclasses import dataclass
from functools import lru_cache

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty

from astro_galtrans.images import as_band_cube, empty_pixels

__all__ = ["FluxArrays", "band_constants", "band_index", "effective_wavelengths", "flux_arrays", "pixel_sides"]

_ONE_JY = u.Jy.to(u.ABmag)


@dataclass(frozen=True)
class FluxArrays:
    """Flux and standard deviation in Jy and the good pixels, each of shape ``(band, y, x)``; Jy of one image unit."""

    cube: object
    flux: np.ndarray
    sigma: np.ndarray | None
    good: np.ndarray
    jansky: np.ndarray


def flux_arrays(image, survey=None):
    """Read any accepted image into a `FluxArrays`; a pixel is good if it is finite, unmasked and has a finite error."""
    cube = as_band_cube(image, survey=survey)
    zero_points = cube.zero_points
    if zero_points is None:
        zero_points = cube.to_unit(u.Jy).zero_points  # raises, with what is missing
    jansky = 10**(0.4 * (_ONE_JY - zero_points))
    factor = jansky[:, None, None]
    flux = cube.data * factor
    good = np.isfinite(flux)
    if np.any(cube.data):  # an image of zeros alone is a sky without sources
        good &= ~empty_pixels(cube.data)
    if cube.mask is not None:
        good &= ~cube.mask
    sigma = _stated_sigma(cube, factor)
    if sigma is None:
        sigma = _survey_sigma(cube, np.where(good, flux, 0.0))
    if sigma is not None:
        good &= np.isfinite(sigma) & (sigma > 0)
    return FluxArrays(cube, flux, sigma, good, jansky)


def _stated_sigma(cube, factor):
    if cube.uncertainty is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # an inverse variance of 0 is a pixel without information
        stated = cube.uncertainty.represent_as(StdDevUncertainty)
    scale = 1.0 if stated.unit in (None, cube.unit) else stated.unit.to(cube.unit)
    return stated.array * (factor * scale)


def _survey_sigma(cube, flux):
    """Sky noise of the survey and the source's Poisson noise through its gain, in Jy, or None without a survey."""
    if cube.survey is None:
        return None
    unit = band_constants(cube.survey.bands)[1][:, None, None]
    sky = cube.survey.sky_noise[:, None, None] * unit
    electron = unit / np.array([band.gain for band in cube.survey])[:, None, None]
    return np.sqrt(sky**2 + np.maximum(flux, 0.0) * electron)


@lru_cache(maxsize=64)
def _band_constants(bands):
    constants = np.array([(band.effective_wavelength.to_value(u.AA), band.flux_per_unit().to_value(u.Jy))
                          for band in bands]).T
    constants.flags.writeable = False
    return constants


def band_constants(bands):
    """Effective wavelength in Angstrom and flux density of one survey unit in Jy, two arrays of shape ``(band,)``."""
    return _band_constants(tuple(bands))


def effective_wavelengths(cube):
    """Effective wavelength of each band of the cube's survey, Quantity in Angstrom of shape ``(band,)``."""
    if cube.survey is None:
        raise ValueError(
            "the cube has no survey, so that the wavelengths of its bands are not known; "
            "give survey=, as survey='SDSS'"
        )
    return band_constants(cube.survey.bands)[0] * u.AA


def band_index(cube, name):
    """Where the cube has a band, or a ValueError that names those it has."""
    if name not in cube.bands:
        raise ValueError(f"bands names {name!r}, which is not among the image's bands {', '.join(cube.bands)}")
    return cube.bands.index(name)


def pixel_sides(cube):
    """Length on the sky of one step along x and along y at the centre of the image, two floats in arcsec."""
    if cube.wcs is None:
        if cube.survey is None:
            raise ValueError("the cube has neither a WCS nor a survey, so that its pixel scale is not known")
        scale = cube.survey.pixel_scale.to_value(u.arcsec)
        return scale, scale
    y, x = (np.array(cube.shape[-2:]) - 1) / 2
    steps = np.array([[x - 0.5, x + 0.5, x, x], [y, y, y - 0.5, y + 0.5]])
    world = cube.wcs.pixel_to_world_values(*steps)
    types = [kind or "" for kind in cube.wcs.world_axis_physical_types]
    latitude = next((i for i, kind in enumerate(types) if kind.endswith((".dec", ".lat"))), 1)
    units = [u.Unit(unit) for unit in cube.wcs.world_axis_units]
    lon, lat = (np.asarray(world[i]) * units[i].to(u.rad) for i in (1 - latitude, latitude))
    sides = []
    for a, b in ((0, 1), (2, 3)):
        # Haversine: the steps are far too small for the arc cosine.
        h = np.sin((lat[b] - lat[a]) / 2)**2 + np.cos(lat[a]) * np.cos(lat[b]) * np.sin((lon[b] - lon[a]) / 2)**2
        sides.append(float(2 * np.arcsin(np.sqrt(h)) * u.rad.to(u.arcsec)))
    return tuple(sides)
