"""Colors of one galaxy: of each pixel and as a function of radius."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import gaussian_sigma_to_fwhm
from astropy.table import QTable
from scipy import ndimage

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans.gradients._flux import MAGNITUDE, annulus_edges, flux_arrays, pixel_sides, positive, two_bands
from astro_galtrans.gradients._psf import matched, psf_sigmas, unmatched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.nddata import NDData
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from astro_galtrans.images import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["color_gradient_profile", "color_map"]


@numpy_defaults()
def color_map(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], bands: Sequence[str] = ("g", "r"), *,
    significance: float = 3.0, match_psf: bool | Literal["kernel", "gaussian"] = True,
    survey: Survey | str | None = None,
) -> CCDData:
    """Return the color of every pixel.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        Background-subtracted image, ``(band, y, x)``.
    bands : tuple of str, optional
        The color is the first minus the second, in AB magnitudes.
    significance : float, optional
        A pixel is masked unless the flux of both bands exceeds this many standard deviations after PSF matching. With
        0, and for an image of unknown noise, both only have to be positive.
    match_psf : bool or {"kernel", "gaussian"}, optional
        Whether to smooth the sharper band to the PSF of the other first, or the method of `match_psf` to do so.
        Nothing is smoothed if the image has neither ``psf`` nor survey.
    survey : Survey or str, optional
        Survey of an image that does not name one.

    Returns
    -------
    `~astropy.nddata.CCDData`
        In mag, with the WCS of the image, a mask, and a first-order standard deviation where the noise is known.
        The color is NaN where a flux is not positive. ``meta`` has ``bands``, ``significance`` and ``psf_match``.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.gradients import color_map
    >>> from astro_galtrans.images import BandCube
    >>> data = np.ones((5, 16, 16)) * np.array([1, 10, 20, 20, 20])[:, None, None]
    >>> cube = BandCube(data, unit="nmgy", wcs=None, bands="ugriz", survey="SDSS")
    >>> print(f"{color_map(cube).data[8, 8]:.3f}")
    0.753
    """
    arrays = flux_arrays(image, survey)
    index = two_bands(bands, arrays.cube.bands)
    if not 0 <= significance < np.inf:
        raise ValueError(f"significance must be finite and not negative, got {significance!r}")
    bands_matched = _psf_matched(arrays, index, match_psf)
    flux, sigma = bands_matched.flux, bands_matched.sigma
    magnitude = -MAGNITUDE * np.log(positive(flux))
    with np.errstate(invalid="ignore"):
        good = (flux > (0.0 if sigma is None else significance * sigma)).all(axis=0) & (flux > 0).all(axis=0)
    uncertainty = None
    if sigma is not None:
        uncertainty = StdDevUncertainty(MAGNITUDE * np.hypot(*(sigma / positive(flux))))
    meta = {**arrays.cube.meta, "bands": tuple(bands), "significance": float(significance),
            "psf_match": bands_matched.info}
    return CCDData(magnitude[0] - magnitude[1], unit=u.mag, mask=~good, uncertainty=uncertainty, wcs=arrays.cube.wcs,
                   meta=meta)


def _psf_matched(arrays, index, match_psf):
    """Return `matched` for the argument ``match_psf`` of `color_map`."""
    if match_psf is False:
        return unmatched(arrays, index)
    if match_psf is not True and not isinstance(match_psf, str):
        raise ValueError(f"match_psf must be True, False, 'kernel' or 'gaussian', got {match_psf!r}")
    return matched(arrays, index, method=None if match_psf is True else match_psf)


@numpy_defaults()
def color_gradient_profile(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], bands: Sequence[str] = ("g", "r"), *,
    radii: Quantity | ArrayLike | None = None, center: tuple[float, float] | SkyCoord | None = None,
    axis_ratio: float = 1.0, theta: Quantity = 0 * u.deg, ellipse: Literal["moments"] | None = None,
    match_psf: bool | Literal["kernel", "gaussian"] = True, survey: Survey | str | None = None,
) -> QTable:
    """Return the color in annuli around one galaxy, and its slope with radius.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        Background-subtracted image of one galaxy, ``(band, y, x)``.
    bands : tuple of str, optional
        The color is the first minus the second, in AB magnitudes.
    radii : `~astropy.units.Quantity` or array_like, optional
        Edges of the annuli along the semi-major axis; bare numbers are in arcsec. Default: six annuli, spaced evenly
        in the logarithm from half the broader PSF's FWHM (or a pixel) to the edge of the image; the first contains
        the center.
    center : tuple of float or `~astropy.coordinates.SkyCoord`, optional
        ``(x, y)`` in pixels or a position on the sky; default the center of the array, ``(n - 1) / 2``.
    axis_ratio : float, optional
        Minor over major axis, 1 for circles.
    theta : `~astropy.units.Quantity`, optional
        Angle of the major axis, counterclockwise from the x axis of the array.
    ellipse : {None, "moments"}, optional
        ``"moments"`` measures ``axis_ratio`` and ``theta`` from the sum of both bands: the second moments of the
        pixels above 5 % of the central one that are connected to it.
    match_psf : bool or {"kernel", "gaussian"}, optional
        Whether to smooth the sharper band to the PSF of the other first, or the method of `match_psf` to do so.
        Nothing is smoothed if the image has neither ``psf`` nor survey.
    survey : Survey or str, optional
        Survey of an image that does not name one.

    Returns
    -------
    `~astropy.table.QTable`
        One row per annulus: ``radius_in``, ``radius_out``, ``radius`` (their mean, arcsec), ``color`` and
        ``color_err`` (mag), the two fluxes (Jy) and ``area`` (good pixels). A color is NaN where either flux is
        not positive. ``meta["slope"]`` and ``meta["slope_err"]`` are d(color) / d log10(radius) in mag per decade,
        weighted by the errors; ``meta`` also has ``center``, ``axis_ratio``, ``theta`` and ``psf_match``.

    Notes
    -----
    Errors are those of independent pixels before smoothing, which moves noise between pixels but hardly changes the sum
    over an annulus wider than the kernel.
    """
    arrays = flux_arrays(image, survey)
    index = two_bands(bands, arrays.cube.bands)
    bands_matched = _psf_matched(arrays, index, match_psf)
    good = np.isfinite(bands_matched.flux).all(axis=0)
    flux = np.where(good, bands_matched.flux, 0.0)
    center = _center(center, arrays.cube)
    if ellipse is not None and (axis_ratio != 1 or u.Quantity(theta, u.deg) != 0):
        raise ValueError(f"axis_ratio and theta have no effect with ellipse={ellipse!r}, got {axis_ratio!r} and "
                         f"{theta}")
    if ellipse == "moments":
        axis_ratio, theta = _moments(flux.sum(axis=0), center)
    elif ellipse is not None:
        raise ValueError(f"ellipse must be None or 'moments', got {ellipse!r}")
    if not 0 < axis_ratio <= 1:
        raise ValueError(f"axis_ratio must be above 0 and at most 1, got {axis_ratio!r}")
    theta = u.Quantity(theta, u.deg)
    scale = float(np.sqrt(np.prod(pixel_sides(arrays.cube))))
    edges = _edges(radii, psf_sigmas(arrays.cube, index), scale, min(good.shape))
    shares = _annuli(edges / scale, center, axis_ratio, theta, good.shape) * good
    sums = np.einsum("byx,ayx->ab", flux, shares)
    variance = None
    if arrays.sigma is not None:
        variance = np.einsum("byx,ayx->ab", np.where(good, arrays.sigma[index], 0.0)**2, shares**2)
    table = _table(edges, sums, variance, shares.sum(axis=(1, 2)), tuple(bands))
    table.meta.update(center=center, axis_ratio=float(axis_ratio), theta=theta, psf_match=bands_matched.info)
    return table


def _center(center, cube):
    """Return the center as (x, y) in pixels."""
    if center is None:
        return (cube.shape[-1] - 1) / 2, (cube.shape[-2] - 1) / 2
    if isinstance(center, SkyCoord):
        if cube.wcs is None:
            raise ValueError("center on the sky needs a WCS, and the image has none")
        center = cube.wcs.world_to_pixel(center)
    if len(center) != 2 or not np.all(np.isfinite(center)):
        raise ValueError(f"center must be (x, y) in pixels or a SkyCoord on the image, got {center!r}")
    return tuple(float(value) for value in center)


def _moments(flux, center):
    """Return axis ratio and angle from the second moments of the pixels connected to the central one."""
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
        return annulus_edges(radii)
    inner = scale * max(1.0, 0.0 if widths is None else 0.5 * gaussian_sigma_to_fwhm * max(widths))
    return np.concatenate([[0.0], np.geomspace(inner, size * scale / 2, 6)])


def _annuli(edges, center, axis_ratio, theta, shape):
    """Return the share of every pixel in each elliptical annulus, shape (n, y, x)."""
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
    """Return the slope of a weighted straight line and its error, NaN where the errors are not known."""
    used = np.isfinite(color) & (True if error is None else np.isfinite(error) & (error > 0))
    if used.sum() < 2:
        return np.nan, np.nan
    weight = None if error is None else 1 / error[used]
    (slope, _), covariance = np.polyfit(x[used], color[used], 1, w=weight, cov="unscaled")
    return slope, np.nan if error is None else np.sqrt(covariance[0, 0])
