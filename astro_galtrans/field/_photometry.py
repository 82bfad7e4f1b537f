"""Aperture photometry and simple morphology of a source in a cube."""

import re
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.stats import mad_std

from astro_galtrans._utils.photometry import circle_mask
from astro_galtrans.images import flux_and_weight, segment_galaxy

__all__ = ["MORPHOLOGY", "aperture_magnitudes", "colors_of", "column_names", "correlated_error", "shape_band",
           "shape_of"]

# Descriptions of the fields of `Shape`.
MORPHOLOGY = {
    "concentration": "5 log10(r80 / r20) of the flux within 1.5 Petrosian radii (Conselice 2003, ApJS 147, 1)",
    "asymmetry": "rotational asymmetry within 1.5 Petrosian radii, that of the sky subtracted (Conselice 2003)",
    "axis_ratio": "minor over major axis, from the second moments of the flux",
}
# Correlation length of the errors of translated pixels, of the shipped translator on simulated galaxies:
# `benchmarks/aperture_errors.py`.
CORRELATION_LENGTH = 0.55 * u.arcsec
_PETROSIAN_RATIO, _PETROSIAN_RADII = 0.2, 1.5
_CENTER_SHIFT = 2  # pixels, largest shift of the center of the asymmetry
_MIN_PIXELS = 8


def aperture_magnitudes(cube, position, radii, correlated=False):
    """Measure AB magnitudes and errors, shape ``(radius, band)``, within circles around a position.

    Radii are in arcsec. Values are NaN if a circle touches a bad pixel or reaches beyond the image, or if the flux is
    not positive. ``correlated`` assumes correlated errors of neighboring pixels, see `correlated_error`.
    """
    flux, weight = flux_and_weight(cube)
    x, y = (float(value) for value in cube.wcs.world_to_pixel(position))
    zero_point = np.array([band.zero_point for band in cube.survey])
    variance = np.divide(1, weight, out=np.zeros(weight.shape), where=weight > 0)
    magnitude, spread = (np.full((len(radii), len(cube.bands)), np.nan) for _ in range(2))
    for row, radius in enumerate(radii):
        pixels = radius / cube.pixel_scale.to_value(u.arcsec)
        if not (pixels <= min(x, y) + 0.5 and x + pixels <= flux.shape[2] - 0.5 and y + pixels <= flux.shape[1] - 0.5):
            continue
        share = circle_mask(flux.shape[1:], pixels, (x, y))
        total = np.tensordot(flux, share, 2)
        good = (total > 0) & (weight[:, share > 0] > 0).all(axis=1)
        error = np.sqrt(np.tensordot(variance, share**2, 2))
        if correlated:
            error *= correlated_error(radius * u.arcsec, cube.pixel_scale)
        magnitude[row, good] = zero_point[good] - 2.5 * np.log10(total[good])
        spread[row, good] = 2.5 / np.log(10) * error[good] / total[good]
    return magnitude, spread


def correlated_error(radius, pixel_scale, length=CORRELATION_LENGTH):
    """Return the ratio of the error of the flux in a circle to that of independent pixels.

    With a correlation exp(-d² / L²) of pixels at distance d, the variance of a sum is that of independent pixels times
    1 + (π L² / pixel area) (1 - exp(-R² / L²)).
    """
    within = 1 - np.exp(-((radius / length).to_value(u.one))**2)
    return float(np.sqrt(1 + np.pi * (length / pixel_scale).to_value(u.one)**2 * within))


def column_names(prefix, names, radius):
    """Return the names of the columns of an aperture, as ``input_r_2arcsec``: letters, digits and underscores only."""
    return [re.sub(r"\W", "_", f"{prefix}_{name}_{f'{radius:g}'.replace('.', 'p')}arcsec") for name in names]


def colors_of(bands):
    """Return neighboring bands as names of colors: ``["u_g", "g_r", ...]``."""
    return [f"{blue}_{red}" for blue, red in zip(bands, bands[1:])]


class Shape(NamedTuple):
    """Simple morphology, NaN if it cannot be measured; ``MORPHOLOGY`` describes the fields."""

    concentration: float = np.nan
    asymmetry: float = np.nan
    axis_ratio: float = np.nan


def shape_band(survey):
    """Return the band in which shapes are measured: "r", otherwise the middle one."""
    names = survey.band_names
    return "r" if "r" in names else names[len(names) // 2]


def shape_of(cube, band, position):
    """Return the `Shape` of the source at a position in one band of a cube, without correction for the PSF."""
    index = cube.bands.index(band)
    flux, weight = flux_and_weight(cube)
    image, good = flux[index].astype(float), weight[index] > 0
    if good.sum() < _MIN_PIXELS:
        return Shape()
    # The scatter alone is too low for a translation, which has hardly any noise: faint bridges would join neighbors.
    sigma = max(mad_std(image[good]), float(np.median(weight[index][good]**-0.5)))
    if not sigma > 0:
        return Shape()
    segments = segment_galaxy(image, sigma, cube.pixel_scale)
    if segments is None or np.count_nonzero(segments == 1) < _MIN_PIXELS:
        return Shape()
    sky = good & (segments == 0)
    image = image - (np.median(image[sky]) if sky.any() else 0)
    center = _flux_center(image, segments == 1, cube.wcs.world_to_pixel(position))
    good &= segments != 2
    radii, growth = _growth(image, good, center)
    petrosian = _petrosian_radius(radii, growth)
    if petrosian is None:
        return Shape(axis_ratio=_axis_ratio(image, segments == 1))
    edge = min(_PETROSIAN_RADII * petrosian, radii[-1])
    r20, r80 = (_radius_of(radii, growth, share, edge) for share in (0.2, 0.8))
    y, x = np.indices(image.shape)
    own = (segments == 1) & (np.hypot(x - center[0], y - center[1]) <= edge)
    return Shape(5 * np.log10(r80 / r20), _asymmetry(image, good, center, edge), _axis_ratio(image, own))


def _flux_center(image, own, start):
    """Return the center of the flux of a segment in a Gaussian window of 2 pixels that follows it."""
    y, x = np.nonzero(own)
    flux = np.maximum(image[own], 0)
    center = np.array([float(start[0]), float(start[1])])
    for _ in range(3):
        near = np.exp(-((x - center[0])**2 + (y - center[1])**2) / (2 * 2.0**2)) * flux
        if near.sum() <= 0:
            break
        center = np.array([np.sum(near * x), np.sum(near * y)]) / near.sum()
    return center


def _growth(image, good, center):
    """Return radii in steps of half a pixel and the flux within; bad pixels have the flux of the opposite ones."""
    opposite, valid = _rotated(np.where(good, image, 0), good, center)
    filled = np.where(good, image, np.where(valid, opposite, 0))
    reach = min(*center, image.shape[1] - 1 - center[0], image.shape[0] - 1 - center[1])
    radii = np.arange(0.5, max(reach, 0.5) + 0.01, 0.5)
    sums = [np.sum(filled * circle_mask(filled.shape, radius, center)) for radius in radii]
    return radii, np.array(sums)


def _petrosian_radius(radii, growth):
    """Return the radius at which the surface brightness is a fifth of the mean within; None beyond the image."""
    inner, outer = 0.8 * radii, 1.25 * radii
    known = (outer <= radii[-1]) & (inner >= radii[0])
    annulus = (np.interp(outer, radii, growth) - np.interp(inner, radii, growth)) / (outer**2 - inner**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = annulus * radii**2 / growth
    below = np.flatnonzero(known & (ratio < _PETROSIAN_RATIO))
    return radii[below[0]] if below.size else None


def _radius_of(radii, growth, share, edge):
    """Return the radius that contains a fraction of the flux within ``edge``."""
    radii, growth = np.append(0, radii), np.maximum.accumulate(np.append(0, growth))
    total = np.interp(edge, radii, growth)
    k = int(np.argmax(growth >= share * total))
    part = (share * total - growth[k - 1]) / (growth[k] - growth[k - 1])
    # Inside the first circle the flux grows with the area.
    return radii[k] * np.sqrt(part) if k == 1 else radii[k - 1] + part * (radii[k] - radii[k - 1])


def _rotated(image, good, center):
    """Return an image rotated by 180 degrees about the nearest half pixel, and its good pixels."""
    two_x, two_y = (int(round(2 * value)) for value in center)
    y, x = np.indices(image.shape)
    y, x = two_y - y, two_x - x
    inside = (y >= 0) & (y < image.shape[0]) & (x >= 0) & (x < image.shape[1])
    y, x = np.where(inside, y, 0), np.where(inside, x, 0)
    return image[y, x], inside & good[y, x]


def _asymmetry(image, good, center, edge):
    """Return the smallest asymmetry about centers near that of the flux, with that of the sky subtracted."""
    shifts = np.arange(-_CENTER_SHIFT, _CENTER_SHIFT + 0.1, 0.5)
    y, x = np.indices(image.shape)
    least = np.inf
    for shift_y in shifts:
        for shift_x in shifts:
            place = np.round(2 * (center + (shift_x, shift_y))) / 2
            other, valid = _rotated(image, good, place)
            valid &= good
            inside = np.hypot(x - place[0], y - place[1]) <= edge
            difference, sky = np.abs(image - other), valid & ~inside
            inside &= valid
            total = np.abs(image[inside]).sum()
            if not total > 0:
                continue
            # The mean of |d| of a Gaussian is 1.183 times its median, which is robust against other sources.
            noise = 1.183 * np.median(difference[sky]) if sky.any() else 0
            least = min(least, (difference[inside].sum() - noise * np.count_nonzero(inside)) / total)
    return least if np.isfinite(least) else np.nan


def _axis_ratio(image, own):
    y, x = np.nonzero(own)
    flux = np.maximum(image[own], 0)
    if flux.sum() <= 0 or len(flux) < _MIN_PIXELS:
        return np.nan
    covariance = np.cov(np.array([x, y]), aweights=flux, ddof=0)
    small, large = np.linalg.eigvalsh(covariance)
    return float(np.sqrt(max(small, 0) / large)) if large > 0 else np.nan
