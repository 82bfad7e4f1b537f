"""The pixel grid of an image on the sky: its scale, comparison with another grid, and windows of it."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.nddata import NoOverlapError, PartialOverlapError, overlap_slices
from astropy.wcs import WCS

from astro_galtrans._utils.positions import parse_position
from astro_galtrans._utils.validation import choice

__all__ = ["Window", "check_celestial", "local_pixel_scale", "same_grid"]


def check_celestial(wcs):
    """Return a FITS WCS of two celestial axes, the first two if it has more, or raise an error; None for None."""
    if wcs is None:
        return None
    if not isinstance(wcs, WCS):
        raise TypeError(f"wcs must be an astropy.wcs.WCS or None, got {type(wcs).__name__}")
    if wcs.naxis > 2:
        wcs = wcs.sub([1, 2])
    if wcs.naxis != 2 or not wcs.has_celestial:
        raise ValueError(f"wcs must have two celestial axes, got axes {list(wcs.wcs.ctype)}")
    return wcs


def _directions(wcs, x, y):
    """Return unit vectors on the sky of pixel positions, shape ``(..., 3)``."""
    world = wcs.pixel_to_world_values(x, y)
    units = wcs.world_axis_units
    lon, lat = (np.radians(world[axis] * (1 if units[axis] == "deg" else u.Unit(units[axis]).to(u.deg)))
                for axis in (wcs.wcs.lng, wcs.wcs.lat))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def local_pixel_scale(wcs, shape):
    """Return the side of the square with the area on the sky of the central pixel, a Quantity in arcsec.

    It follows from sky positions, so that CD, PC and distortion terms and the projection all count.
    """
    x, y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    sides = _directions(wcs, x + np.array([-0.5, 0.5, 0, 0]), y + np.array([0, 0, -0.5, 0.5]))
    area = np.linalg.norm(np.cross(sides[1] - sides[0], sides[3] - sides[2]))
    return np.degrees(np.sqrt(area)) * 3600 * u.arcsec


def same_grid(wcs, other, shape, tolerance=0.01):
    """Return whether two WCS have the pixels of an image at the same positions, within ``tolerance`` pixels."""
    if wcs is other:
        return True
    if wcs is None or other is None:
        return False
    y, x = np.meshgrid(*[np.linspace(0, side - 1, 3) for side in shape], indexing="ij")
    distance = np.linalg.norm(_directions(wcs, x, y) - _directions(other, x, y), axis=-1)
    return bool(np.all(distance < tolerance * local_pixel_scale(wcs, shape).to_value(u.rad)))


class Window:
    """A rectangle of pixels of an image, which may extend beyond the image.

    ``x0`` and ``y0`` are the first column and row, ``shape`` is ``(ny, nx)``; ``overlaps`` is whether any pixel is on
    the image, and ``inside`` whether all are.
    """

    def __init__(self, x0, y0, shape, image_shape):
        self.x0, self.y0, self.shape = x0, y0, tuple(shape)
        try:
            self._from, self._to = overlap_slices(
                image_shape, shape, (y0 + shape[0] / 2, x0 + shape[1] / 2), mode="partial")
        except NoOverlapError:
            self._from = self._to = (slice(0, 0),) * 2
        covered = tuple(part.stop - part.start for part in self._from)
        self.overlaps, self.inside = min(covered) > 0, covered == self.shape

    @classmethod
    def around(cls, position, size, wcs, image_shape, mode="partial"):
        """Return the window of ``size`` with its middle as near as possible to a position on the sky.

        See `astro_galtrans.images.BandCube.cutout` for the arguments.
        """
        choice(mode, "mode", ("partial", "strict"))
        shape = _pixel_shape(size, wcs, image_shape)
        x, y = _pixel_position(position, wcs, image_shape)
        # A position on the border of two windows must not depend on rounding errors.
        x0, y0 = (int(np.ceil(middle - side / 2 - 1e-6)) for middle, side in ((x, shape[1]), (y, shape[0])))
        window = cls(x0, y0, shape, image_shape)
        text = f"a window of {shape[0]} x {shape[1]} pixels around pixel (x, y) = ({x:.1f}, {y:.1f})"
        if not window.overlaps:
            raise NoOverlapError(f"{text} is outside the image of {image_shape[0]} x {image_shape[1]} pixels")
        if mode == "strict" and not window.inside:
            raise PartialOverlapError(f"{text} reaches beyond the image of {image_shape[0]} x {image_shape[1]} pixels")
        return window

    def take(self, array, fill):
        """Return a copy of the window of an array (its last two axes), with ``fill`` beyond the image."""
        out = np.full(array.shape[:-2] + self.shape, fill, dtype=array.dtype)
        out[..., *self._to] = array[..., *self._from]
        return out


def _pixel_shape(size, wcs, image_shape):
    if isinstance(size, u.Quantity) and not size.unit.is_equivalent(u.pix):
        if wcs is None:
            raise ValueError("size must be in pixels for an image without a WCS")
        try:
            size = np.round((size / local_pixel_scale(wcs, image_shape)).to_value(u.dimensionless_unscaled))
        except u.UnitConversionError as error:
            raise ValueError(f"size must be in pixels or an angle, got {size}") from error
    values = np.asarray(size.value if isinstance(size, u.Quantity) else size)
    if values.dtype.kind not in "iuf" or values.shape not in ((), (2,)) or np.any(values != np.round(values)) or np.any(
            values < 1) or not np.isfinite(values).all():
        raise ValueError(f"size must be one or two (ny, nx) whole numbers of pixels above 0, or angles, got {size!r}")
    return tuple(int(side) for side in np.broadcast_to(values, 2))


def _pixel_position(position, wcs, image_shape):
    if position is None:
        return (image_shape[1] - 1) / 2, (image_shape[0] - 1) / 2
    if isinstance(position, str):
        position = parse_position(position)
    if not isinstance(position, SkyCoord) or not position.isscalar:
        raise TypeError("position must be a single SkyCoord, text with right ascension and declination, or None for "
                        f"the middle of the image, got {position!r}")
    if wcs is None:
        raise ValueError("position needs an image with a WCS; None cuts around the middle of the image")
    x, y = (float(value) for value in wcs.world_to_pixel(position))
    if not (np.isfinite(x) and np.isfinite(y)):
        raise NoOverlapError(f"position {position.to_string('decimal')} is not on the projection of the image")
    return x, y
