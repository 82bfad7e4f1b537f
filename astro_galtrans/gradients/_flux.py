"""Images as plain arrays in Jy, and the checks of arguments that the functions of this subpackage share."""

from dataclasses import dataclass
from functools import lru_cache

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty

from astro_galtrans._utils.masked import split
from astro_galtrans.images import as_band_cube, empty_pixels

__all__ = [
    "MAGNITUDE", "FluxArrays", "annulus_edges", "arcsec", "band_constants", "band_index", "effective_wavelengths",
    "flux_arrays", "pixel_sides", "positive", "two_bands",
]

MAGNITUDE = 2.5 / np.log(10)
_ONE_JY = u.Jy.to(u.ABmag)


@dataclass(frozen=True)
class FluxArrays:
    """Arrays of shape ``(band, y, x)``."""

    cube: object
    flux: np.ndarray
    """In Jy."""
    sigma: np.ndarray | None
    """Standard deviation in Jy, None where the noise is not known."""
    good: np.ndarray
    """Whether a pixel is finite, unmasked and of finite error."""
    jansky: np.ndarray
    """One unit of the image in Jy, shape ``(band,)``."""


def flux_arrays(image, survey=None):
    """Return any accepted image as `FluxArrays`."""
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
    """Return the survey's sky noise with the source's Poisson noise, in Jy, or None without a survey."""
    if cube.survey is None:
        return None
    unit = band_constants(cube.survey.bands)[1][:, None, None]
    sky = cube.survey.sky_noise[:, None, None] * unit
    electron = unit / np.array([band.gain for band in cube.survey])[:, None, None]
    return np.sqrt(sky**2 + np.maximum(flux, 0.0) * electron)


@lru_cache(maxsize=64)
def band_constants(bands):
    """Return effective wavelengths in Angstrom and flux densities of one survey unit in Jy of a tuple of bands."""
    constants = np.array([(band.effective_wavelength.to_value(u.AA), band.flux_per_unit().to_value(u.Jy))
                          for band in bands]).T
    constants.flags.writeable = False
    return constants


def effective_wavelengths(cube):
    """Return the effective wavelength of each band, a Quantity in Angstrom of shape ``(band,)``."""
    if cube.survey is None:
        raise ValueError("image has no survey, so the wavelengths of its bands are not known; "
                         "give survey=, as survey='SDSS'")
    return band_constants(cube.survey.bands)[0] * u.AA


def two_bands(names, known):
    """Return the positions of two different bands among the known names."""
    names = tuple(names)
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"bands must be two different band names, as ('g', 'r'), got {names!r}")
    return [band_index(name, known) for name in names]


def band_index(name, known):
    """Return the position of a band among the known names."""
    if name not in known:
        raise ValueError(f"bands names {name!r}, which is not among the bands {', '.join(known)}")
    return tuple(known).index(name)


def arcsec(name, value):
    """Return an angle as a plain array in arcsec; a bare number is in arcsec already."""
    value, mask, unit = split(value, name)
    if mask is not None:
        raise ValueError(f"{name} must not be masked")
    try:
        value = value if unit in (None, u.dimensionless_unscaled) else u.Quantity(value, unit).to_value(u.arcsec)
    except u.UnitConversionError as error:
        raise TypeError(f"{name} must be in arcsec or an angle, got {unit}") from error
    value = np.asarray(value)
    if value.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {value.dtype}")
    return value.astype(float)


def annulus_edges(radii):
    """Return the edges of annuli in arcsec."""
    edges = arcsec("radii", radii)
    if edges.ndim != 1 or edges.size < 2 or np.any(np.diff(edges) <= 0) or edges[0] < 0 or not np.isfinite(edges).all():
        raise ValueError(f"radii must be at least two increasing edges, not negative, got {radii!r}")
    return edges


def positive(values):
    """Return the values with NaN where they are not above zero, so that their logarithm does not warn."""
    return np.where(values > 0, values, np.nan)


def pixel_sides(cube):
    """Return the angle of one pixel along x and along y at the center of the image, two floats in arcsec."""
    if cube.wcs is None:
        if cube.survey is None:
            raise ValueError("image has neither a WCS nor a survey, so its pixel scale is not known")
        scale = cube.survey.pixel_scale.to_value(u.arcsec)
        return scale, scale
    y, x = (np.array(cube.shape[-2:]) - 1) / 2
    sky = cube.wcs.pixel_to_world([x - 0.5, x + 0.5, x, x], [y, y, y - 0.5, y + 0.5])
    return tuple(float(sky[i].separation(sky[i + 1]).arcsec) for i in (0, 2))
