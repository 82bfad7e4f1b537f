"""Images of point spread functions: validation, centering and resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.numerics import as_float
from astro_galtrans._utils.validation import real_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "CENTER_TOLERANCE", "MOFFAT_BETA", "PIXEL_FWHM", "centered_psf", "checked_psf", "moffat_psf", "psf_centers",
    "psf_fwhm", "resampled_psf", "scaled_psf", "stacked_psfs",
]

# Pixels by which a PSF may miss the middle of its image before it is moved there with a spline.
CENTER_TOLERANCE = 0.01
# Part of the sum of a PSF that its negative pixels may have: noise in the wings has less, a wrong background more.
_MAX_NEGATIVE = 0.5
MOFFAT_BETA, _OVERSAMPLING = 3.5, 11
# Pixels by which the pixel broadens, in quadrature, a Moffat profile of this exponent. It broadens a Gaussian less.
PIXEL_FWHM = 0.866
_ANGLES = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_RADIAL_STEP = 0.2  # pixels


def checked_psf(psf, n_bands, name="psf"):
    """Return the PSF of each band, shape (band, py, px), each of sum 1, or an error; None for None."""
    if psf is None:
        return None
    psf = floats(psf, name)
    if psf.ndim == 2:
        psf = np.repeat(psf[np.newaxis], n_bands, axis=0)
    if psf.ndim != 3 or psf.shape[0] != n_bands or 0 in psf.shape:
        raise ValueError(f"{name} must have shape ({n_bands}, py, px) or (py, px), got {psf.shape}")
    sums = psf.sum(axis=(1, 2), dtype=float)
    if not np.all(np.isfinite(sums)) or np.any(sums <= 0):
        raise ValueError(f"{name} must be finite with a positive sum in each band, got sums {sums}")
    negative = -np.minimum(psf, 0).sum(axis=(1, 2), dtype=float)
    if np.any(negative > _MAX_NEGATIVE * sums):
        raise ValueError(f"{name} must be mostly positive, its negative pixels have {(negative / sums).round(3)} of "
                         "the sum; subtract the background of the star first")
    psf = as_float(psf)
    if np.all(np.abs(sums - 1) < 1e-6):
        return psf
    return (psf / sums[:, np.newaxis, np.newaxis]).astype(psf.dtype)


def resampled_psf(psf, jacobian):
    """Return a PSF on new pixels, or the same array where they have the size and orientation of the old ones.

    Parameters
    ----------
    psf : ndarray
        Shape ``(y, x)`` or ``(band, y, x)``.
    jacobian : ndarray
        Derivative of the old pixel coordinates by the new ones, ``[[dx/dX, dx/dY], [dy/dX, dy/dY]]``.
    """
    psf = as_float(psf)
    if np.allclose(jacobian, np.eye(2), atol=2e-3):
        return psf
    planes = psf if psf.ndim == 3 else psf[np.newaxis]
    scale = np.sqrt(abs(np.linalg.det(jacobian)))
    # The parity of the side decides whether the center is a pixel or a corner, and is kept.
    sides = [max(1, int(np.ceil(side / scale))) for side in planes.shape[1:]]
    sides = [side + (side - old) % 2 for side, old in zip(sides, planes.shape[1:])]
    y, x = np.meshgrid(*[np.arange(side) - (side - 1) / 2 for side in sides], indexing="ij")
    old_x = jacobian[0, 0] * x + jacobian[0, 1] * y + (planes.shape[2] - 1) / 2
    old_y = jacobian[1, 0] * x + jacobian[1, 1] * y + (planes.shape[1] - 1) / 2
    out = np.stack([ndimage.map_coordinates(plane.astype(float), [old_y, old_x], order=3, mode="constant")
                    for plane in planes])
    out = (out / out.sum(axis=(1, 2), keepdims=True)).astype(psf.dtype)
    return out if psf.ndim == 3 else out[0]


def stacked_psfs(bands, psfs):
    """Return PSFs of different sizes as one array (band, py, px), padded with zeros around the same center."""
    largest = tuple(max(sides) for sides in zip(*[psf.shape for psf in psfs]))
    out = np.zeros((len(psfs),) + largest, dtype=np.result_type(*psfs))
    for plane, band, psf in zip(out, bands, psfs):
        margins = [side - length for side, length in zip(largest, psf.shape)]
        if any(margin % 2 for margin in margins):
            raise ValueError(f"the psf of band {band} has {psf.shape} pixels, which cannot be centered in {largest}")
        y0, x0 = (margin // 2 for margin in margins)
        plane[y0:y0 + psf.shape[0], x0:x0 + psf.shape[1]] = psf
    return out


def centered_psf(psf, side):
    """Return PSFs of shape (band, y, x), each centered in an image of ``side`` pixels and normalized to sum 1.

    ``side`` is one number or (ny, nx). The centroid of each PSF is moved to the center with a cubic spline, also of
    PSFs that have their peak at ``n / 2`` of an even number of pixels.
    """
    middle = (np.array(psf.shape[1:]) - 1) / 2
    centers = psf_centers(psf)
    near = np.abs(centers - middle).max(axis=1, keepdims=True) < CENTER_TOLERANCE
    out = []
    for plane, center in zip(psf, np.where(near, middle, centers)):
        places = (np.arange(n) - (n - 1) / 2 + one for n, one in zip(np.broadcast_to(side, 2), center))
        grid = np.meshgrid(*places, indexing="ij")
        out.append(ndimage.map_coordinates(plane.astype(float), grid, order=3, mode="constant"))
    out = np.stack(out)
    return out / out.sum(axis=(1, 2), keepdims=True)


def psf_centers(images):
    """Return the centroids of the cores of PSFs, robust against their wings, noise and single bright pixels.

    The centroid is that in a round Gaussian window of about the width of the core, which starts at the peak of the
    smoothed image and is iterated.

    Parameters
    ----------
    images : ndarray
        Shape ``(n, y, x)``.

    Returns
    -------
    ndarray of shape (n, 2)
        ``(y, x)`` in pixels.

    Raises
    ------
    ValueError
        If an image has no core.
    """
    images = np.asarray(images, dtype=float)
    smooth = ndimage.gaussian_filter(images, (0, 1, 1), mode="constant")
    flat = smooth.reshape(len(images), -1)
    center = np.stack(np.unravel_index(flat.argmax(axis=1), images.shape[1:]), axis=-1).astype(float)
    core = np.count_nonzero(flat > flat.max(axis=1, keepdims=True) / 2, axis=1)
    twice_variance = np.maximum(core / np.pi, 0.5)[:, np.newaxis] / np.log(2)
    axes = [np.arange(side) for side in images.shape[1:]]
    for _ in range(50):
        windows = [np.exp(-(axis - one[:, np.newaxis])**2 / twice_variance) for axis, one in zip(axes, center.T)]
        along_y = np.einsum("nyx,nx->ny", images, windows[1]) * windows[0]
        along_x = np.einsum("nyx,ny->nx", images, windows[0]) * windows[1]
        total = along_y.sum(axis=1)
        if not np.all(total > 0):
            raise ValueError("psf must have a core with positive flux")
        # Twice the step, for the window halves the displacement of a profile of its own width.
        step = 2 * (np.stack([along_y @ axes[0], along_x @ axes[1]], axis=-1) / total[:, np.newaxis] - center)
        center += step
        if np.abs(step).max() < 1e-8:
            break
    return center


def psf_fwhm(psf: ArrayLike, pixel_scale: float) -> np.ndarray:
    """Return the FWHM of PSF images without their pixel, in the unit of the pixel scale.

    The FWHM is that of a circle with the area within half of the central value, less the width of a pixel in
    quadrature.

    Parameters
    ----------
    psf : array_like
        Shape ``(..., y, x)``; images that are not finite, or are 0 throughout, have an unknown FWHM.
    pixel_scale : float
        Width of a pixel.

    Returns
    -------
    ndarray
        Shape ``(...)``, NaN where the FWHM is unknown or half of the central value is beyond the edge.

    Raises
    ------
    ValueError
        If ``psf`` has less than two dimensions or ``pixel_scale`` is not positive.
    """
    pixel_scale = real_number(pixel_scale, "pixel_scale", positive=True)
    psf = floats(psf, "psf").astype(float)
    if psf.ndim < 2:
        raise ValueError(f"psf must have shape (..., y, x), got {psf.shape}")
    flat = psf.reshape(-1, *psf.shape[-2:])
    widths = np.full(len(flat), np.nan)
    known = np.flatnonzero(np.isfinite(flat).all((1, 2)) & (flat.sum((1, 2)) > 0))
    if len(known):
        for index, center in zip(known, psf_centers(flat[known])):
            widths[index] = _half_maximum_width(flat[index], center)
    squared = widths**2 - PIXEL_FWHM**2
    # Of a PSF that is much narrower than a pixel nothing is left.
    widths = np.sqrt(np.maximum(squared, 0, out=squared, where=np.isfinite(squared)))
    return (widths * pixel_scale).reshape(psf.shape[:-2])


def _half_maximum_width(image, center):
    """Return the FWHM in pixels of one PSF around its center, NaN if half of the maximum is beyond the edge."""
    edge = min(np.minimum(center, np.array(image.shape) - 1 - center))
    core = np.sqrt(np.count_nonzero(image > image.max() / 2) / np.pi)
    radius = np.arange(0, min(edge, 2 * core + 2), _RADIAL_STEP)
    if len(radius) < 2:
        return np.nan
    places = center[:, None, None] + np.stack([np.sin(_ANGLES), np.cos(_ANGLES)])[:, :, None] * radius
    profiles = ndimage.map_coordinates(image, places, order=3, mode="nearest")
    below = profiles < 0.5 * profiles[:, :1]
    if not below.any(1).all():
        return np.nan
    last = below.argmax(1)
    rows = np.arange(len(profiles))
    before, after = profiles[rows, last - 1], profiles[rows, last]
    half = radius[last - 1] + _RADIAL_STEP * (before - 0.5 * profiles[:, 0]) / (before - after)
    return 2 * np.sqrt(np.mean(half**2))


def moffat_psf(fwhm, pixel_scale, side):
    """Return the image of a round Moffat PSF with exponent 3.5, pixel included, of sum 1.

    Parameters
    ----------
    fwhm : float
        Without the pixel, as `psf_fwhm` returns it.
    pixel_scale : float
        In the same unit.
    side : int
        Rows and columns.
    """
    places = ((np.arange(side * _OVERSAMPLING) + 0.5) / _OVERSAMPLING - side / 2) * pixel_scale
    radius = fwhm / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    fine = (1 + (places[:, None] ** 2 + places**2) / radius**2) ** -MOFFAT_BETA
    image = fine.reshape(side, _OVERSAMPLING, side, _OVERSAMPLING).mean((1, 3))
    return image / image.sum()


def scaled_psf(psf, fwhm, pixel_scale):
    """Return a PSF image of the same size, centered, stretched to another FWHM.

    Parameters
    ----------
    psf : ndarray
        Shape ``(y, x)``.
    fwhm, pixel_scale : float
        FWHM of the result as of `psf_fwhm`, in the unit of the pixel scale.
    """
    own, wanted = (np.hypot(width, PIXEL_FWHM * pixel_scale) for width in (psf_fwhm(psf, pixel_scale), fwhm))
    if not np.isfinite(own):
        raise ValueError("psf must fall to half of its maximum within its image")
    center = psf_centers(psf[np.newaxis])[0]
    axes = [(np.arange(side) - (side - 1) / 2) * own / wanted + middle for side, middle in zip(psf.shape, center)]
    image = ndimage.map_coordinates(psf.astype(float), np.meshgrid(*axes, indexing="ij"), order=3, mode="constant")
    return image / image.sum()
