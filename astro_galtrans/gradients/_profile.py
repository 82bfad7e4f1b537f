"""The colour of one galaxy as a function of radius."""

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astro_galtrans.gradients._flux import flux_arrays, pixel_sides
from astro_galtrans.gradients._radial import _two_bands, positive

__all__ = ["color_gradient_profile"]

_MAGNITUDE = 2.5 / np.log(10)
_FWHM = 2 * np.sqrt(2 * np.log(2))


def color_gradient_profile(image, bands=("g", "r"), *, radii=None, center=None, axis_ratio=1.0, theta=0 * u.deg,
                           ellipse=None, match_psf=True, survey=None):
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
    center : tuple of float, optional
        ``(x, y)`` in pixels; default the centre of the array, ``(n - 1) / 2``.
    axis_ratio : float, optional
        Minor over major axis, 1 for circles.
    theta : `~astropy.units.Quantity`, optional
        Angle of the major axis, counter-clockwise from the x axis of the array.
    ellipse : {None, "moments"}, optional
        ``"moments"`` measures ``axis_ratio`` and ``theta`` from the sum of both bands (second moments, photutils).
    match_psf : bool, optional
        Whether the sharper band is smoothed to the PSF of the other first, with the Gaussian that makes their widths
        equal. The widths come from ``image.psf``, else from the survey; with neither nothing is smoothed.
    survey : Survey or str, optional
        Where the image does not say it itself.

    Returns
    -------
    `~astropy.table.QTable`
        One row an annulus: ``radius_in``, ``radius_out``, ``radius`` (their mean, arcsec), ``color`` and
        ``color_err`` (mag), the two fluxes (Jy) and ``area`` (good pixels). A colour is NaN where either flux is
        not positive. ``meta["slope"]`` and ``meta["slope_err"]`` are d(colour) / d log10(radius) in mag per decade,
        weighted by the errors; ``meta`` also says centre, ellipse and PSF matching.

    Notes
    -----
    Errors are those of independent pixels before the smoothing: smoothing moves noise between pixels but hardly
    changes the sum over an annulus that is wider than the kernel.
    """
    arrays = flux_arrays(image, survey)
    index = [_index(arrays.cube, name) for name in _two_bands(bands)]
    good = arrays.good[index].all(axis=0)
    flux, smoothed = _matched(arrays, index, good, match_psf)
    sides = pixel_sides(arrays.cube)
    scale = float(np.sqrt(sides[0] * sides[1]))
    ny, nx = good.shape
    center = ((nx - 1) / 2, (ny - 1) / 2) if center is None else tuple(float(value) for value in center)
    if ellipse == "moments":
        axis_ratio, theta = _moments(np.where(good, flux.sum(axis=0), 0.0))
    elif ellipse is not None:
        raise ValueError(f"ellipse must be None or 'moments', got {ellipse!r}")
    if not 0 < axis_ratio <= 1:
        raise ValueError(f"axis_ratio must be above 0 and at most 1, got {axis_ratio!r}")
    edges = _edges(radii, arrays.cube, index, scale, min(ny, nx))
    shares = _annuli(edges / scale, center, axis_ratio, u.Quantity(theta, u.deg), (ny, nx)) * good
    sums = np.einsum("bp,ap->ab", flux.reshape(2, -1), shares.reshape(len(shares), -1))
    variance = None
    if arrays.sigma is not None:
        sigma = np.where(good, arrays.sigma[index], 0.0).reshape(2, -1)
        variance = np.einsum("bp,ap->ab", sigma**2, shares.reshape(len(shares), -1)**2)
    table = _table(edges, sums, variance, shares.sum(axis=(1, 2)), tuple(bands))
    table.meta.update(center=center, axis_ratio=float(axis_ratio), theta=u.Quantity(theta, u.deg), smoothed=smoothed)
    return table


def _index(cube, name):
    if name not in cube.bands:
        raise ValueError(f"bands names {name!r}, which is not among the image's bands {', '.join(cube.bands)}")
    return cube.bands.index(name)


def _psf_sigma(cube, index, sides):
    """Standard deviation of the PSF of two bands in pixels, or None where it is not known."""
    if cube.psf is not None:
        return [_second_moment(np.asarray(cube.psf, dtype=float)[i]) for i in index]
    if cube.survey is not None:
        scale = np.sqrt(sides[0] * sides[1])
        return [cube.survey[cube.bands[i]].psf_fwhm.to_value(u.arcsec) / _FWHM / scale for i in index]
    return None


def _second_moment(psf):
    """Width of the Gaussian with the half-light radius of the PSF: second moments would be set by its far wings."""
    y, x = np.indices(psf.shape)
    total = psf.sum()
    r = np.hypot(y - (psf * y).sum() / total, x - (psf * x).sum() / total).ravel()
    order = np.argsort(r)
    growth = np.cumsum(psf.ravel()[order]) / total
    return float(np.interp(0.5, growth, r[order])) / np.sqrt(2 * np.log(2))


def _matched(arrays, index, good, match_psf):
    """Flux of the two bands with equal PSF width, zero where bad, and the name of the band that was smoothed."""
    from scipy.ndimage import gaussian_filter

    flux = np.where(good, arrays.flux[index], 0.0)
    widths = _psf_sigma(arrays.cube, index, pixel_sides(arrays.cube)) if match_psf else None
    if widths is None or np.isclose(*widths, rtol=1e-3):
        return flux, None
    sharper = int(np.argmin(widths))
    kernel = np.sqrt(max(widths)**2 - min(widths)**2)
    weight = gaussian_filter(good.astype(float), kernel, mode="nearest")
    smooth = gaussian_filter(flux[sharper], kernel, mode="nearest")
    flux[sharper] = np.where(good, smooth / np.maximum(weight, 1e-6), 0.0)
    return flux, arrays.cube.bands[index[sharper]]


def _moments(flux):
    from photutils.morphology import data_properties

    peak = flux > 0.05 * flux.max()
    shape = data_properties(np.where(peak, flux, 0.0))
    ratio = (shape.semiminor_axis / shape.semimajor_axis).to_value(u.dimensionless_unscaled)
    return float(np.clip(ratio, 0.05, 1.0)), shape.orientation


def _edges(radii, cube, index, scale, size):
    if radii is not None:
        edges = u.Quantity(radii)
        edges = edges.value if edges.unit == u.dimensionless_unscaled else edges.to_value(u.arcsec)
        if edges.ndim != 1 or len(edges) < 2 or edges[0] < 0 or np.any(np.diff(edges) <= 0):
            raise ValueError(f"radii must be at least two increasing edges, not negative, got {radii!r}")
        return np.asarray(edges, dtype=float)
    widths = _psf_sigma(cube, index, (scale, scale))
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
    magnitude = -_MAGNITUDE * np.log(positive(sums))
    color = magnitude[:, 0] - magnitude[:, 1]
    error = np.full(len(color), np.nan)
    if variance is not None:
        error = _MAGNITUDE * np.sqrt((variance / positive(sums)**2).sum(axis=1))
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
