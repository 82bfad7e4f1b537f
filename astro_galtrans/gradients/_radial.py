"""Aperture and annulus photometry of many stamps at once, by products with fixed pixel weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.photometry import circle_mask
from astro_galtrans._utils.validation import whole_number
from astro_galtrans.gradients._flux import annulus_edges, arcsec, positive, two_bands
from astro_galtrans.images import empty_pixels
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["annulus_weights", "aperture_weights", "radial_color_profiles", "radial_fluxes", "radial_slopes"]


def aperture_weights(shape: tuple[int, ...], radius: float | Quantity, pixel_scale: float | Quantity) -> np.ndarray:
    """Return the share of every pixel inside a circle around the center of the stamp, ``(n - 1) / 2``.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    radius, pixel_scale : float or `~astropy.units.Quantity`
        Angles; a bare number is in arcsec.

    Returns
    -------
    ndarray of shape (ny, nx)
        Between 0 and 1, from 10 x 10 samples per pixel.
    """
    ny, nx = _side(shape, 0), _side(shape, 1)
    radius, scale = arcsec("radius", radius), arcsec("pixel_scale", pixel_scale)
    for name, value in (("radius", radius), ("pixel_scale", scale)):
        if value.ndim or not 0 <= value < np.inf or (name == "pixel_scale" and value == 0):
            raise ValueError(f"{name} must be one positive angle, got {value}")
    return circle_mask((ny, nx), float(radius / scale), subpixels=10)


def _side(shape, axis):
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"shape must be (ny, nx), got {shape!r}")
    return whole_number(shape[axis], f"shape[{axis}]", 1)


def annulus_weights(shape: tuple[int, ...], radii: ArrayLike | Quantity, pixel_scale: float | Quantity) -> np.ndarray:
    """Return the share of every pixel inside each annulus around the center of the stamp.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    radii : array_like or `~astropy.units.Quantity`
        The n + 1 increasing edges of n annuli; bare numbers are in arcsec. The first may be 0.
    pixel_scale : float or `~astropy.units.Quantity`
        Side of a pixel; a bare number is in arcsec.

    Returns
    -------
    ndarray of shape (n, ny, nx)
    """
    return np.diff([aperture_weights(shape, edge, pixel_scale) for edge in annulus_edges(radii)], axis=0)


def radial_fluxes(flux: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sums of many stamps under fixed pixel weights.

    Parameters
    ----------
    flux : array_like of shape (n, band, ny, nx)
        Stamps. A sum over a pixel that is NaN or masked is NaN.
    weights : ndarray of shape (m, ny, nx)
        As `annulus_weights` returns.

    Returns
    -------
    ndarray of shape (n, band, m)
    """
    flux, weights = floats(flux, "flux"), floats(weights, "weights", kinds="biuf")
    if weights.ndim != 3:
        raise ValueError(f"weights must have shape (m, ny, nx), got {weights.shape}")
    if flux.ndim != 4 or flux.shape[-2:] != weights.shape[-2:]:
        raise ValueError(f"flux must have shape (n, band, {weights.shape[-2]}, {weights.shape[-1]}), got {flux.shape}")
    n, n_bands = flux.shape[:2]
    kind = flux.dtype if flux.dtype in (np.float32, np.float64) else np.dtype(float)
    flat = weights.reshape(len(weights), -1).astype(kind).T
    stamps = flux.reshape(n * n_bands, -1).astype(kind, copy=False)
    bad = ~np.isfinite(stamps)
    sums = np.where(bad, 0, stamps) @ flat if bad.any() else stamps @ flat
    if bad.any():
        sums[bad.astype(kind) @ (flat != 0).astype(kind) > 0] = np.nan
    return sums.reshape(n, n_bands, len(weights)).astype(float)


@numpy_defaults()
def radial_color_profiles(
    flux: np.ndarray, survey: Survey | str, bands: Sequence[str], radii: ArrayLike | Quantity,
    pixel_scale: float | Quantity | None = None,
) -> np.ndarray:
    """Return the color in circular annuli for many galaxies, each centered in its stamp.

    Parameters
    ----------
    flux : array_like of shape (n, band, ny, nx)
        In the survey's unit, with its bands in the survey's order. Missing pixels are NaN or masked, or in an area of
        zeros (`~astro_galtrans.images.empty_pixels`).
    survey : Survey or str
        Survey with the bands and zero points of ``flux``.
    bands : tuple of str
        The two bands of the color, as ``("g", "r")`` for g - r.
    radii : array_like or `~astropy.units.Quantity`
        Edges of the annuli; bare numbers are in arcsec.
    pixel_scale : float or `~astropy.units.Quantity`, optional
        Default: the survey's.

    Returns
    -------
    ndarray of shape (n, n_annuli)
        AB magnitudes; NaN where the flux of either band is not positive or lacks a pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.gradients import radial_color_profiles
    >>> flux = np.ones((3, 5, 64, 64)) * np.array([1, 2, 4, 4, 4])[:, None, None]
    >>> radial_color_profiles(flux, "SDSS", ("g", "r"), [0, 1, 2]).round(3)[0]
    array([0.753, 0.753])
    """
    survey = get_survey(survey)
    flux = floats(flux, "flux", unit=survey.unit)
    if flux.ndim != 4 or flux.shape[1] != len(survey):
        raise ValueError(f"flux must have shape (n, {len(survey)}, y, x) for {survey.name}, got {flux.shape}")
    index = two_bands(bands, survey.band_names)
    scale = survey.pixel_scale if pixel_scale is None else pixel_scale
    flux = flux[:, index]
    if not flux.all():
        flux = np.where(empty_pixels(flux), flux.dtype.type(np.nan), flux)
    sums = radial_fluxes(flux, annulus_weights(flux.shape[-2:], radii, scale))
    magnitude = np.array([survey.bands[i].zero_point for i in index])[:, None] - 2.5 * np.log10(positive(sums))
    return magnitude[:, 0] - magnitude[:, 1]


def radial_slopes(colors: np.ndarray, radii: ArrayLike | Quantity) -> np.ndarray:
    """Return the least-squares slope of the color against log10 of the annulus radius, for many galaxies.

    Parameters
    ----------
    colors : ndarray of shape (n, n_annuli)
        As `radial_color_profiles` returns; NaN values are left out.
    radii : array_like or `~astropy.units.Quantity`
        Edges of the annuli. The radius of an annulus is the mean of its two edges.

    Returns
    -------
    ndarray of shape (n,)
        Magnitudes per decade in radius; NaN with fewer than two finite colors.
    """
    edges, colors = annulus_edges(radii), floats(colors, "colors", dtype=float)
    if colors.ndim != 2 or colors.shape[1] != len(edges) - 1:
        raise ValueError(f"colors must have shape (n, {len(edges) - 1}), got {colors.shape}")
    x = np.broadcast_to(np.log10((edges[1:] + edges[:-1]) / 2), colors.shape)
    used = np.isfinite(colors)
    count = used.sum(axis=1)
    safe = np.maximum(count, 1)[:, None]
    dx = np.where(used, x - np.where(used, x, 0).sum(axis=1, keepdims=True) / safe, 0)
    spread = (dx**2).sum(axis=1)
    product = (dx * np.where(used, colors, 0)).sum(axis=1)
    return np.divide(product, spread, out=np.full(len(colors), np.nan), where=(count > 1) & (spread > 0))
