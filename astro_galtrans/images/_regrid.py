"""Resample images to another pixel grid with flux, uncertainty, mask and PSF."""

from __future__ import annotations

from copy import deepcopy
from typing import Literal, TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, VarianceUncertainty
from scipy import ndimage

from astro_galtrans._utils.numerics import as_float, numpy_defaults
from astro_galtrans._utils.psf import resampled_psf
from astro_galtrans._utils.validation import choice
from astro_galtrans.images import _uncertainty
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._grid import check_celestial, same_grid
from astro_galtrans.images._valid import empty_pixels

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["regrid"]

_METHODS = ("bicubic", "bilinear", "exact", "adaptive")


@numpy_defaults()
def regrid(
    image: BandCube | CCDData, wcs: WCS, shape: tuple[int, ...], *,
    method: Literal["bicubic", "bilinear", "exact", "adaptive"] | None = None,
) -> BandCube | CCDData:
    """Resample an image to another pixel grid, with its flux conserved.

    The image is resampled as a surface brightness and multiplied by the ratio of the areas of the new and the old
    pixels on the sky, place by place.

    Parameters
    ----------
    image : BandCube or `~astropy.nddata.CCDData`
        The image, with a WCS.
    wcs : `~astropy.wcs.WCS`
        Celestial WCS of the new grid.
    shape : tuple of int
        ``(ny, nx)`` of the new grid.
    method : {"bicubic", "bilinear", "exact", "adaptive"}, optional
        How `reproject` resamples: cubic spline or linear interpolation, overlap of pixel areas, or an adaptive
        Gaussian kernel. The default is "exact" where the new pixels have more than 1.5 times the area of the old, so
        that none are skipped, and else "bicubic", which widens the PSF least.

    Returns
    -------
    BandCube or `~astropy.nddata.CCDData`
        Of the type of ``image``, in float32 or float64: integers, booleans and half precision become the nearest of
        the two. Pixels that touch a bad pixel or have no image under them are masked, the latter NaN.
        ``meta["regrid"]`` has the method and the area ratio in the middle.

    Notes
    -----
    The variance of a new pixel is that of the area on the sky under it: variance per area is resampled and multiplied
    by the new area. A sum over an aperture of many pixels then has the right variance when pixels are taken to be
    independent. They are not: resampling makes neighbors correlate, and the scatter of single pixels is smaller
    than their standard deviation here, by 0.76 to 1 where the pixel size stays the same.

    The PSF is resampled where scale or orientation change; widening by the resampling itself is not added to it.
    """
    wcs, shape = _checked(image, wcs, shape, method)
    if image.data.shape[-2:] == shape and same_grid(image.wcs, wcs, shape, tolerance=1e-4):
        return _in_floating_point(image)
    jacobian, ratio = _jacobian(image.wcs, wcs, shape)
    middle = float(ratio[shape[0] // 2, shape[1] // 2])
    method = method or ("exact" if middle > 1.5 else "bicubic")
    data, variance, mask = _resampled(image, wcs, ratio, method)
    grid = deepcopy(wcs)
    grid.array_shape = shape
    meta = deepcopy(image.meta)
    meta["regrid"] = f"{method} {middle:.6g}" if isinstance(meta, fits.Header) else {
        "method": method, "pixel_area_ratio": middle}
    return _with_planes(image, data, variance, mask, wcs=grid, meta=meta, psf=_psf_on(image, jacobian))


def _checked(image, wcs, shape, method):
    """Return the WCS and the shape, or raise an error."""
    if not isinstance(image, (BandCube, CCDData)):
        raise TypeError(f"image must be a BandCube or a CCDData, got {type(image).__name__}")
    wcs = check_celestial(wcs)
    if image.wcs is None or wcs is None:
        raise ValueError("image and target need a WCS" if image.wcs is None else "wcs must not be None")
    shape = tuple(int(side) for side in shape)
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be (ny, nx), got {shape}")
    choice(method, "method", (*_METHODS, None))
    return wcs, shape


def _resampled(image, wcs, ratio, method):
    """Return data, variance or None, and mask on the new grid, each of shape (plane, y, x)."""
    data, variance, bad = _planes(image)
    out = _resampler(method, image.wcs, wcs, ratio.shape)(_filled(data, bad)) * ratio
    support = [bad.astype(np.float64)] + ([] if variance is None else [_filled(variance, bad)])
    smooth = _resampler("bilinear" if method == "bicubic" else method, image.wcs, wcs, ratio.shape)(
        np.concatenate(support))
    touched = smooth[:len(data)]
    outside = ~np.isfinite(out) | ~np.isfinite(touched)
    out[outside] = np.nan
    if variance is not None:
        variance = np.where(outside, np.nan, smooth[len(data):] * ratio)
    return out.astype(data.dtype), variance, outside | (np.nan_to_num(touched) > 1e-3)


def _psf_on(image, jacobian):
    """Return the PSF on the new pixels; a `FieldPSF` is known everywhere on the sky and stays as it is."""
    if isinstance(image, BandCube) and image.psf_field is not None:
        return image.psf_field
    return None if image.psf is None else resampled_psf(image.psf, jacobian)


def _with_planes(image, data, variance, mask, **parts):
    """Return an image of the same type with other planes and parts."""
    spread = None if variance is None else _as_kind(variance, image.uncertainty, data.dtype)
    if isinstance(image, BandCube):
        return image._replace(data, mask=mask, uncertainty=spread, **parts)
    uncertainty = None if spread is None else _uncertainty.like(image.uncertainty, spread[0], image.uncertainty.unit)
    return CCDData(data[0], unit=image.unit, mask=mask[0], uncertainty=uncertainty, **parts)


def _in_floating_point(image):
    """Return a copy of the image in floating point."""
    out = deepcopy(image)
    if isinstance(out, CCDData):
        out.data = as_float(out.data)
        if out.uncertainty is not None:
            out.uncertainty.array = as_float(out.uncertainty.array)
    return out


def _planes(image):
    """Return data, variance or None, and bad pixels, each of shape (plane, y, x)."""
    data = as_float(image.data if image.data.ndim == 3 else image.data[np.newaxis])
    bad = ~np.isfinite(data) | empty_pixels(data)
    if image.mask is not None:
        bad |= np.asarray(image.mask, dtype=bool)
    if image.uncertainty is None:
        return data, None, bad
    with np.errstate(all="ignore"):
        variance = np.reshape(1 / _uncertainty.inverse_variance(image.uncertainty).astype(float), data.shape)
    # A pixel of unknown error is bad: with a guess instead it would pass for a good one.
    unknown = ~np.isfinite(variance) | (variance <= 0)
    if not unknown.all():
        bad |= unknown
    return data, variance, bad


def _as_kind(variance, uncertainty, dtype):
    """Return the array of an uncertainty of the same kind as another one."""
    with np.errstate(all="ignore"):
        if isinstance(uncertainty, VarianceUncertainty):
            return variance.astype(dtype)
        if isinstance(uncertainty, InverseVariance):
            return np.nan_to_num(1 / variance, nan=0, posinf=0).astype(dtype)
        return np.sqrt(variance).astype(dtype)


def _filled(planes, bad):
    """Return planes with the value of the nearest good pixel in each bad one, for interpolation across it."""
    out = np.array(planes, dtype=np.float64)
    for plane, holes in zip(out, bad):
        if holes.all():
            plane[:] = 0
        elif holes.any():
            nearest = ndimage.distance_transform_edt(holes, return_distances=False, return_indices=True)
            plane[holes] = plane[tuple(nearest)][holes]
    return out


def _resampler(method, from_wcs, to_wcs, shape):
    from reproject import reproject_adaptive, reproject_exact, reproject_interp

    options = {"shape_out": shape, "return_footprint": False}
    if method == "exact":
        return lambda planes: reproject_exact((planes, from_wcs), to_wcs, **options)
    if method == "adaptive":
        return lambda planes: reproject_adaptive((planes, from_wcs), to_wcs, **options)
    return lambda planes: reproject_interp((planes, from_wcs), to_wcs, order=method, roundtrip_coords=False, **options)


def _jacobian(from_wcs, to_wcs, shape):
    """Return the derivative of old by new pixel coordinates in the middle, and new over old area of each new pixel.

    Both grids are smooth on the scale of many pixels, so that linear interpolation between some nodes is enough.
    """
    nodes = [np.linspace(0, side - 1, min(side, 2 + side // 16)) for side in shape]
    y, x = np.meshgrid(*nodes, indexing="ij")
    sky = to_wcs.pixel_to_world(
        np.stack([x + 0.5, x - 0.5, x, x]), np.stack([y, y, y + 0.5, y - 0.5]))
    xx, yy = from_wcs.world_to_pixel(sky)
    matrix = np.array([[xx[0] - xx[1], xx[2] - xx[3]], [yy[0] - yy[1], yy[2] - yy[3]]])
    area = np.abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])
    middle = matrix[:, :, area.shape[0] // 2, area.shape[1] // 2]
    if not np.all(np.isfinite(area)):
        raise ValueError("the new grid reaches where the image's projection is not defined")
    fine = [np.interp(np.arange(side), node, np.arange(len(node))) for side, node in zip(shape, nodes)]
    return middle, ndimage.map_coordinates(area, np.meshgrid(*fine, indexing="ij"), order=1, mode="nearest")
