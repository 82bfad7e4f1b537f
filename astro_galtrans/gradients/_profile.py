"""The colour of one galaxy as a function of radius."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from scipy import ndimage

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans.gradients._colors import MAGNITUDE, psf_matched
from astro_galtrans.gradients._flux import band_index, flux_arrays, pixel_sides
from astro_galtrans.gradients._psf import psf_sigmas
from astro_galtrans.gradients._radial import _two_bands, arcsec, positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.nddata import CCDData, NDData
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from astro_galtrans.images import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["color_gradient_profile"]

_FWHM = 2 * np.sqrt(2 * np.log(2))


@numpy_defaults()
def color_gradient_profile(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], bands: Sequence[str] = ("g", "r"), *,
    radii: Quantity | ArrayLike | None = None, center: tuple[float, float] | SkyCoord | None = None,
    axis_ratio: float = 1.0, theta: Quantity = 0 * u.deg, ellipse: Literal["moments"] | None = None,
    match_psf: bool | Literal["kernel", "gaussian"] = True, survey: Survey | str | None = None,
) -> QTable:
    """Colour in annuli and its slope with radius.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image of one galaxy, ``(band, y, x)``, its background subtracted.
    bands : tuple of str, optional
        The colour is the first minus the second, in AB magnitudes.
    radii : `~astropy.units.Quantity` or array_like, optional
        Edges of the annuli along the semi-major axis; bare numbers are in arcsec. Default: six annuli, spaced evenly
        in the logarithm from half the broader PSF's FWHM (or a pixel) to the edge of the image, with the centre
        inside the first.
    center : tuple of float or `~astropy.coordinates.SkyCoord`, optional
        ``(x, y)`` in pixels or a place on the sky; default the centre of the array, ``(n - 1) / 2``.
    axis_ratio : float, optional
        Minor over major axis, 1 for circles.
    theta : `~astropy.units.Quantity`, optional
        Angle of the major axis, counter-clockwise from the x axis of the array.
    ellipse : {None, "moments"}, optional
        ``"moments"`` measures ``axis_ratio`` and ``theta`` from the sum of both bands: the second moments of the
        pixels above 5 % of the central one, and joined to it.
    match_psf : bool or {"kernel", "gaussian"}, optional
        Whether the sharper band is smoothed to the PSF of the other first, or the method of `match_psf` by which it
        is. With neither ``image.psf`` nor a survey nothing is smoothed.
    survey : Survey or str, optional
        Where the image does not say it itself.

    Returns
    -------
    `~astropy.table.QTable`
        One row an annulus: ``radius_in``, ``radius_out``, ``radius`` (their mean, arcsec), ``color`` and
        ``color_err`` (mag), the two fluxes (Jy) and ``area`` (good pixels). A colour is NaN where either flux is
        not positive. ``meta["slope"]`` and ``meta["slope_err"]`` are d(colour) / d log10(radius) in mag per decade,
        weighted by the errors; ``meta`` also says centre, ellipse and, under ``psf_match``, what was smoothed.

    Notes
    -----
    Errors are those of independent pixels before the smoothing: smoothing moves noise between pixels but hardly
    changes the sum over an annulus that is wider than the kernel.
    """
    arrays = flux_arrays(image, survey)
    index = [band_index(arrays.cube, name) for name in _two_bands(bands)]
    flux, _, done = psf_matched(arrays, index, match_psf)
    good = np.isfinite(flux).all(axis=0)
    flux = np.where(good, flux, 0.0)
    sides = pixel_sides(arrays.cube)
    scale = float(np.sqrt(sides[0] * sides[1]))
    ny, nx = good.shape
    center = _center(center, arrays.cube, (ny, nx))
    if ellipse is not None and (axis_ratio != 1 or u.Quantity(theta, u.deg) != 0):
        raise ValueError(f"axis_ratio and theta have no effect with ellipse={ellipse!r}, got {axis_ratio!r} and "
                         f"{theta}")
    if ellipse == "moments":
        axis_ratio, theta = _moments(flux.sum(axis=0), center)
    elif ellipse is not None:
        raise ValueError(f"ellipse must be None or 'moments', got {ellipse!r}")
    if not 0 < axis_ratio <= 1:
        raise ValueError(f"axis_ratio must be above 0 and at most 1, got {axis_ratio!r}")
    edges = _edges(radii, psf_sigmas(arrays.cube, index), scale, min(ny, nx))
    shares = _annuli(edges / scale, center, axis_ratio, u.Quantity(theta, u.deg), (ny, nx)) * good
    sums = np.einsum("bp,ap->ab", flux.reshape(2, -1), shares.reshape(len(shares), -1))
    variance = None
    if arrays.sigma is not None:
        sigma = np.where(good, arrays.sigma[index], 0.0).reshape(2, -1)
        variance = np.einsum("bp,ap->ab", sigma**2, shares.reshape(len(shares), -1)**2)
    table = _table(edges, sums, variance, shares.sum(axis=(1, 2)), tuple(bands))
    table.meta.update(center=center, axis_ratio=float(axis_ratio), theta=u.Quantity(theta, u.deg), psf_match=done)
    return table


def _center(center, cube, shape):
    """Pixel (x, y) of the centre."""
    if center is None:
        return (shape[1] - 1) / 2, (shape[0] - 1) / 2
    if isinstance(center, SkyCoord):
        if cube.wcs is None:
            raise ValueError("a centre on the sky needs a WCS, and the image has none")
        center = cube.wcs.world_to_pixel(center)
    if len(center) != 2 or not np.all(np.isfinite(center)):
        raise ValueError(f"center must be (x, y) in pixels or a SkyCoord on the image, got {center!r}")
    return tuple(float(value) for value in center)


def _moments(flux, center):
    """Axis ratio and angle from the second moments of the pixels above 5 % of the peak, joined to the central one."""
    y, x = (int(np.clip(np.round(value), 0, n - 1)) for value, n in zip(center[::-1], flux.shape))
    bright, _ = ndimage.label(flux > 0.05 * flux[y, x])
    if flux[y, x] <= 0:
        raise ValueError(f"ellipse cannot be measured: the flux at the center, {center}, is not positive")
    weight = np.where(bright == bright[y, x], flux, 0.0)
    weight /= weight.sum()
    y, x = np.indices(flux.shape)
    dx, dy = x - (weight * x).sum(), y - (weight * y).sum()
    covariance = [[(weight * a * b).sum() for a in (dx, dy)] for b in (dx, dy)] + np.eye(2) / 12
    values, vectors = np.linalg.eigh(covariance)
    major = vectors[:, 1] * np.sign(vectors[0, 1] or 1.0)
    return float(np.clip(np.sqrt(values[0] / values[1]), 0.05, 1.0)), np.arctan2(major[1], major[0]) * u.rad


def _edges(radii, widths, scale, size):
    if radii is not None:
        edges = arcsec("radii", radii)
        if edges.ndim != 1 or len(edges) < 2 or edges[0] < 0 or np.any(np.diff(edges) <= 0):
            raise ValueError(f"radii must be at least two increasing edges, not negative, got {radii!r}")
        return edges
    inner = scale * max(1.0, 0.0 if widths is None else 0.5 * _FWHM * max(widths))
    return np.concatenate([[0.0], np.geomspace(inner, size * scale / 2, 6)])


def _annuli(edges, center, axis_ratio, theta, shape):
    """Share of every pixel in each elliptical annulus, shape (n, y, x)."""
    from photutils.aperture import EllipticalAperture

    filled = []
    for edge in edges:
        if edge == 0:
            filled.append(np.zeros(shape))
            continue
        aperture = EllipticalAperture(center, edge, edge * axis_ratio, theta=theta)
        image = aperture.to_mask(method="exact").to_image(shape)
        filled.append(np.zeros(shape) if image is None else image)
    return np.diff(filled, axis=0)


def _table(edges, sums, variance, area, bands):
    magnitude = -MAGNITUDE * np.log(positive(sums))
    color = magnitude[:, 0] - magnitude[:, 1]
    error = np.full(len(color), np.nan)
    if variance is not None:
        error = MAGNITUDE * np.sqrt((variance / positive(sums)**2).sum(axis=1))
    radius = (edges[1:] + edges[:-1]) / 2
    slope, slope_error = _slope(np.log10(radius), color, error if variance is not None else None)
    table = QTable({
        "radius_in": edges[:-1] * u.arcsec, "radius_out": edges[1:] * u.arcsec, "radius": radius * u.arcsec,
        "color": color * u.mag, "color_err": error * u.mag, f"flux_{bands[0]}": sums[:, 0] * u.Jy,
        f"flux_{bands[1]}": sums[:, 1] * u.Jy, "area": area,
    })
    table.meta.update(bands=bands, slope=slope * u.mag / u.dex, slope_err=slope_error * u.mag / u.dex)
    return table


def _slope(x, color, error):
    """Weighted straight line; its error is from the stated errors, NaN where there are none."""
    used = np.isfinite(color) & (True if error is None else np.isfinite(error) & (error > 0))
    if used.sum() < 2:
        return np.nan, np.nan
    weight = np.ones(used.sum()) if error is None else error[used]**-2.0
    dx = x[used] - np.average(x[used], weights=weight)
    spread = (weight * dx**2).sum()
    return (weight * dx * color[used]).sum() / spread, np.nan if error is None else spread**-0.5
