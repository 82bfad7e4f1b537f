"""Defects of images: saturated stars, trails, cosmic rays, bad columns and the edges of fields."""

from functools import lru_cache
from typing import NamedTuple

import astropy.units as u
import numpy as np
from scipy.ndimage import binary_dilation

__all__ = ["ArtifactRates", "apply_artifacts", "get_rates"]


class ArtifactRates(NamedTuple):
    """Defects of the images of a survey; rates are those of one band.

    Attributes
    ----------
    saturation : float
        AB magnitude at which a star saturates in the typical PSF.
    trails : float
        Trails of satellites and airplanes per degree of width of a stamp, that is, per stamp one degree wide.
    cosmic_rays : float
        Per square arcmin.
    bad_columns : float
        Per arcmin of width.
    edges : float
        Fraction of stamps that reach beyond the edge of the field, in all bands.
    """

    saturation: float
    trails: float
    cosmic_rays: float
    bad_columns: float
    edges: float


# Saturation: SDSS York et al. (2000, AJ 120, 1579), mean of the bands; CFHTLS, UNIONS Gwyn (2012, AJ 143, 38); HSC
# Aihara et al. (2018, PASJ 70, S8); KiDS de Jong et al. (2015, A&A 582, A62); DES Abbott et al. (2018, ApJS 239, 18);
# DECaLS Dey et al. (2019, AJ 157, 168); Pan-STARRS Magnier et al. (2020, ApJS 251, 6); LSST Ivezic et al. (2019, ApJ
# 873, 111); Euclid Cropper et al. (2016, SPIE 9904, 99040Q).
# Cosmic rays: a hit per minute and square cm of detector, which is 0.13 per square arcmin in the 54 s and 24 micron
# pixels of SDSS. The rejection of outliers leaves about 1 % of those of a stack. benchmarks/number_counts.py finds no
# trail in three bands of an SDSS and a KiDS field, 1.1 degrees wide in all: fewer than 2.7 per degree at 95 %. The
# rates of trails, bad columns and edges are assumed.
_SINGLE = ArtifactRates(14.0, 0.3, 0.13, 0.01, 0.005)
_STACK = ArtifactRates(17.0, 0.3, 0.03, 0.003, 0.005)
_SURVEYS = {
    "SDSS": _SINGLE, "SkyMapper": _SINGLE._replace(saturation=11.0), "CFHTLS": _STACK,
    "UNIONS": _STACK, "KiDS": _STACK, "DES": _STACK._replace(saturation=16.5),
    "DECaLS": _STACK._replace(saturation=16.0), "HSC": _STACK._replace(saturation=18.0),
    "Pan-STARRS": _STACK._replace(saturation=14.5, bad_columns=0.02), "LSST": _STACK._replace(saturation=17.5),
    "Euclid VIS": _STACK._replace(saturation=17.8, trails=0.02, cosmic_rays=0.3),
    "Euclid NISP": _STACK._replace(saturation=16.0, trails=0.02, cosmic_rays=0.3),
    "Roman WFI": _STACK._replace(saturation=18.0, trails=0.02, cosmic_rays=0.3),
}
_DILATION = 1  # pixels masked around a defect
_LONGEST_BLEED = 60  # pixels on either side
_TRAIL_WIDTH = 1.5  # standard deviation in arcsec, of an airplane or an unfocused satellite
_LARGEST_COSMIC_RAY = 8  # pixels


def get_rates(survey):
    """Return the `ArtifactRates` of a survey; those of a typical stack if it is not a registered one."""
    return _SURVEYS.get(survey.name, _STACK)


def apply_artifacts(rng, part, renderer, flux, weight):
    """Return flux and weight with defects, of which a fraction ``part.unknown`` keeps its weight.

    Parameters
    ----------
    rng : numpy.random.Generator
    part : Artifacts
        Settings.
    renderer : Renderer
        Pixel grid and survey of the stamp.
    flux, weight : ndarray of shape (n_bands, size, size)
        Noisy image in the unit of the survey and its inverse variance. They are changed in place.

    Returns
    -------
    flux, weight : ndarray
        The weight is 0 in pixels that are known to be bad; the flux stays finite.
    """
    rates, size, scale = get_rates(renderer.survey), renderer.size, renderer.scale
    width = size * scale / 60
    numbers = rng.poisson(part.scale * np.array([
        rates.trails * width / 60, rates.cosmic_rays * width**2, rates.bad_columns * width])[:, None], (3, len(flux)))
    noise = np.array([band.sky_noise for band in renderer.survey])
    full_wells = _full_wells(renderer.survey, rates.saturation)
    for band, (trails, hits, columns) in enumerate(numbers.T):
        plane, level = flux[band], noise[band]
        bad = np.zeros((size, size), dtype=bool)
        for _ in range(trails):
            _mark(rng, part, bad, _trail(rng, plane, level, scale))
        for _ in range(hits):
            _mark(rng, part, bad, _cosmic_ray(rng, plane, level))
        for _ in range(columns):
            _mark(rng, part, bad, _bad_column(rng, plane, level))
        saturated = _saturation(plane, full_wells[band]) if part.scale else None
        if saturated is not None:
            _mark(rng, part, bad, saturated)
        if bad.any():
            weight[band][binary_dilation(bad, iterations=_DILATION)] = 0
    if rng.random() < min(part.scale * rates.edges, 1.0):
        _edge(rng, flux, weight)
    return flux, weight


def _mark(rng, part, bad, pixels):
    """Add pixels to the bad ones, unless no mask knows them."""
    if rng.random() >= part.unknown:
        bad |= pixels


@lru_cache(maxsize=32)
def _full_wells(survey, magnitude):
    """Return the flux of a pixel at which each band saturates: the peak of a Gaussian PSF of a star of the magnitude.
    """
    scale = survey.pixel_scale.to_value(u.arcsec)
    fwhm = np.maximum([band.psf_fwhm.to_value(u.arcsec) for band in survey], scale)
    zero_points = np.array([band.zero_point for band in survey])
    return 10 ** (-0.4 * (magnitude - zero_points)) * scale**2 * 4 * np.log(2) / (np.pi * fwhm**2)


def _saturation(plane, full):
    """Clip saturated pixels and let their charge flow along the columns; return the pixels, or None."""
    over = plane > full
    if not over.any():
        return None
    for column in np.flatnonzero(over.any(axis=0)):
        rows = np.flatnonzero(over[:, column])
        spilled = (plane[rows, column] - full).sum() / full
        reach = min(int(np.ceil(spilled / 2)), _LONGEST_BLEED)
        low, high = max(rows[0] - reach, 0), rows[-1] + reach + 1
        over[low:high, column] = True
    plane[over] = full
    return over


def _trail(rng, plane, level, scale):
    """Add a straight trail across the stamp; return its pixels."""
    size = plane.shape[0]
    angle, distance = rng.uniform(0, np.pi), rng.uniform(-0.6, 0.6) * size
    y, x = np.indices(plane.shape) - (size - 1) / 2
    across = (x * np.cos(angle) + y * np.sin(angle) - distance) * scale
    width = _TRAIL_WIDTH * rng.uniform(0.4, 1.2)
    trail = level * np.exp(rng.uniform(np.log(1), np.log(30))) * np.exp(-0.5 * (across / width) ** 2)
    plane += trail.astype(plane.dtype)
    return trail > level


def _cosmic_ray(rng, plane, level):
    """Add a short straight streak of one pixel width; return its pixels."""
    size = plane.shape[0]
    x, y = rng.uniform(0, size, 2)
    angle, length = rng.uniform(0, 2 * np.pi), min(1 + rng.exponential(2), _LARGEST_COSMIC_RAY)
    steps = np.arange(0, length, 0.5)
    columns, rows = np.floor(x + steps * np.cos(angle)).astype(int), np.floor(y + steps * np.sin(angle)).astype(int)
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
    pixels = np.zeros(plane.shape, dtype=bool)
    pixels[rows[inside], columns[inside]] = True
    plane[pixels] += np.float32(level * np.exp(rng.uniform(np.log(5), np.log(300))))
    return pixels


def _bad_column(rng, plane, level):
    """Replace a column, or a part of it, by one of another level; return its pixels."""
    size = plane.shape[0]
    column, start = rng.integers(size), rng.integers(size) if rng.random() < 0.5 else 0
    plane[start:, column] += np.float32(level * rng.choice((-1, 1)) * rng.uniform(3, 20))
    pixels = np.zeros(plane.shape, dtype=bool)
    pixels[start:, column] = True
    return pixels


def _edge(rng, flux, weight):
    """Set all bands to 0 beyond a line that leaves the middle of the stamp."""
    size = flux.shape[-1]
    missing = int(rng.integers(1, max(size // 3, 2)))
    views = {0: np.s_[:, :missing], 1: np.s_[:, -missing:], 2: np.s_[:, :, :missing], 3: np.s_[:, :, -missing:]}
    view = views[int(rng.integers(4))]
    flux[view], weight[view] = 0, 0
