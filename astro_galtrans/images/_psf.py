"""Point spread functions: moving one to other pixels, and one that varies over a field."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

import numpy as np
from scipy import ndimage

from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images._parts import as_float

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS

__all__ = ["CENTER_TOLERANCE", "FieldPSF", "centred_psf", "psf_centers", "resampled_psf", "stacked_psfs"]

# Pixels by which a PSF may miss the middle of its image before it is moved there with a spline.
CENTER_TOLERANCE = 0.01


class FieldPSF:
    """The point spread function of a field in several bands, at any place on the sky.

    A `BandCube` that is given one as ``psf`` has in ``cube.psf`` the PSF of its middle, and so has every cutout of it.

    Parameters
    ----------
    model : object
        With a method ``image(band, x, y)`` that gives the PSF at a pixel of the image of a band, as `SDSSPSF` has.
    wcs : dict of str to `~astropy.wcs.WCS`
        Band name to the WCS of the image whose pixels the model knows.

    Attributes
    ----------
    bands : tuple of str
        Band names.
    """

    def __init__(self, model: Any, wcs: Mapping[str, WCS]) -> None:
        if not callable(getattr(model, "image", None)):
            raise TypeError(f"model must have a method image(band, x, y), got {type(model).__name__}")
        lacking = [band for band, one in wcs.items() if one is None]
        if lacking:
            raise ValueError(f"wcs must be given for each band, it is None for {', '.join(lacking)}")
        self._model, self._wcs = model, dict(wcs)
        self.bands = tuple(self._wcs)

    def __repr__(self) -> str:
        return f"<FieldPSF {','.join(self.bands)} of {' '.join(repr(self._model).split())}>"

    def select(self, bands: Sequence[str]) -> FieldPSF:
        """The same with some of its bands.

        Parameters
        ----------
        bands : sequence of str
            Band names.

        Returns
        -------
        FieldPSF
        """
        missing = [band for band in bands if band not in self._wcs]
        if missing:
            raise BandMismatchError(f"the PSF is known in bands {', '.join(self.bands)}, not {', '.join(missing)}")
        return FieldPSF(self._model, {band: self._wcs[band] for band in bands})

    def image(self, band: str, position: SkyCoord) -> np.ndarray:
        """The PSF of a band on the pixels of the image it was measured on.

        Parameters
        ----------
        band : str
            Band name.
        position : `~astropy.coordinates.SkyCoord`
            Place on the sky.

        Returns
        -------
        ndarray
            Shape ``(py, px)``, of sum 1.
        """
        x, y = self.select((band,))._wcs[band].world_to_pixel(position)
        return self._model.image(band, float(x), float(y))

    def on_grid(self, wcs: WCS, x: float, y: float) -> np.ndarray:
        """The PSF of all bands at a pixel of a grid, on the pixels of that grid.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS`
            The grid.
        x, y : float
            Pixel, column and row.

        Returns
        -------
        ndarray
            Shape ``(band, py, px)``, each of sum 1.
        """
        position = wcs.pixel_to_world(x, y)
        planes = []
        for band, own in self._wcs.items():
            ends = own.world_to_pixel(wcs.pixel_to_world([x + 0.5, x - 0.5, x, x], [y, y, y + 0.5, y - 0.5]))
            jacobian = np.array([[end[0] - end[1], end[2] - end[3]] for end in ends])
            planes.append(resampled_psf(self.image(band, position), jacobian))
        return stacked_psfs(self.bands, planes)

    def variation(self, wcs: WCS, shape: tuple[int, ...]) -> float:
        """How much the PSF differs between the middle and the corners of a grid.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS`
            The grid.
        shape : tuple of int
            ``(ny, nx)``.

        Returns
        -------
        float
            Largest difference of any pixel and band, over the peak of the PSF in the middle.
        """
        middle = self.on_grid(wcs, (shape[1] - 1) / 2, (shape[0] - 1) / 2)
        corners = [self.on_grid(wcs, x, y) for x in (0, shape[1] - 1) for y in (0, shape[0] - 1)]
        peak = middle.max(axis=(1, 2))
        return float(max((np.abs(corner - middle).max(axis=(1, 2)) / peak).max() for corner in corners))


def resampled_psf(psf, jacobian):
    """PSF on new pixels; the same array where they have the size and orientation of the old ones.

    Parameters
    ----------
    psf : ndarray
        Shape ``(y, x)`` or ``(band, y, x)``.
    jacobian : ndarray
        How old pixels change with new ones, ``[[dx/dX, dx/dY], [dy/dX, dy/dY]]``.
    """
    psf = as_float(psf)
    if np.allclose(jacobian, np.eye(2), atol=2e-3):
        return psf
    planes = psf if psf.ndim == 3 else psf[np.newaxis]
    scale = np.sqrt(abs(np.linalg.det(jacobian)))
    # The parity of the side decides whether the centre is a pixel or a corner, and is kept.
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
    """PSFs of different sizes as one array (band, py, px), padded with zeros around the same centre."""
    largest = tuple(np.max([psf.shape for psf in psfs], axis=0))
    out = np.zeros((len(psfs),) + largest, dtype=np.result_type(*psfs))
    for plane, band, psf in zip(out, bands, psfs):
        margins = [side - length for side, length in zip(largest, psf.shape)]
        if any(margin % 2 for margin in margins):
            raise ValueError(f"the psf of band {band} has {psf.shape} pixels, which cannot be centred in {largest}")
        y0, x0 = (margin // 2 for margin in margins)
        plane[y0:y0 + psf.shape[0], x0:x0 + psf.shape[1]] = psf
    return out


def centred_psf(psf, side):
    """PSFs of shape (band, y, x), each moved to the middle of an image of ``side`` pixels and normalized to sum 1.

    ``side`` is one number or (ny, nx). The centroid of each PSF decides, so that PSFs whose stars are not centered
    alike, or have their peak at ``n / 2`` of an even number of pixels, end up centered alike. The images are moved
    with a cubic spline.
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
    """Centroids of the cores of PSFs, robust against their wings, noise and single bright pixels.

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
