"""Cut the stamps of a galaxy in both surveys, around the same position and with the same orientation.

A grid is six numbers: the pixel ``(x, y)`` of the galaxy's position, counted from 0 at the center of the first pixel,
and the matrix from pixels to arcsec towards east and north, row by row.
"""

from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from astro_galtrans.images import flux_and_weight, regrid

__all__ = ["Stamp", "cut_pair", "grid_wcs", "matrix_of", "scale_of"]

# Largest distance in pixels between the corners of a stamp and their positions in the other survey without resampling.
TOLERANCE = 0.5
_MARGIN = 8  # pixels around a stamp that interpolation needs
_ARCSEC = u.rad.to(u.arcsec)
# The eight ways to map a square onto itself: from steps in new pixels to steps in old ones.
_TURNS = [np.array(turn) for turn in (
    [[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]],
    [[-1, 0], [0, 1]], [[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, -1], [-1, 0]])]


class Stamp(NamedTuple):
    """The image of a galaxy in one survey."""

    flux: np.ndarray
    """Shape ``(band, y, x)``, float32."""
    weight: np.ndarray
    """Inverse variance, same shape."""
    grid: np.ndarray
    """Shape ``(6,)``."""
    psf: np.ndarray | None
    has_uncertainty: bool
    """Whether the weight is from the uncertainty of the image."""
    coverage: float
    """Fraction of the pixels that are on the image."""
    resampled: bool
    miss: float
    """Distance of its corners from their positions in the other survey, in pixels."""


def matrix_of(grid):
    """Return the matrix from pixels to arcsec towards east and north, shape ``(2, 2)``."""
    return np.reshape(grid[2:], (2, 2))


def scale_of(grid):
    """Return the side of a pixel in arcsec."""
    return np.sqrt(abs(np.linalg.det(matrix_of(grid))))


def grid_wcs(ra, dec, grid):
    """Return the TAN WCS of a grid whose position is at ``ra`` and ``dec`` in degrees (ICRS)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.cunit = "deg", "deg"
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = grid[0] + 1, grid[1] + 1
    wcs.wcs.cd = matrix_of(grid) / 3600
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def cut_pair(opened, position, offset, sizes, resample):
    """Return the stamps of a galaxy, a dict of ``"input"`` and ``"target"`` to `Stamp`.

    The input is cut in whole pixels around the position, and the target around the center of the input stamp. The
    offset is the position in the input minus that in the target, in arcsec towards east and north. Raises astropy's
    NoOverlapError if one of the stamps is not on its image.
    """
    source = _input_stamp(opened["input"], _moved(position, *offset), sizes["input"], resample)
    axes, middle = matrix_of(source.grid), (sizes["input"] - 1) / 2
    center = _moved(position, *(axes @ (middle - source.grid[0], middle - source.grid[1])))
    return {"input": source,
            "target": _target_stamp(opened["target"], position, center, axes, sizes["target"], resample)}


def _input_stamp(opened, place, size, resample):
    """Cut a stamp around the place of the galaxy in the image, with the image's own orientation."""
    here = _grid_at(opened.wcs, place)
    wanted = _with_scale(matrix_of(here), opened.survey)
    ratio = np.sqrt(abs(np.linalg.det(matrix_of(here)) / np.linalg.det(wanted)))
    miss = abs(ratio - 1) * size / np.sqrt(2)
    if resample != "never" and miss > TOLERANCE:
        return _resampled(opened, place, size, wanted, here)
    cube = opened.image.cutout(place, size)
    return _stamp(opened, cube, np.array([*_pixel(cube.wcs, place), *here[2:]]), miss=miss)


def _target_stamp(opened, position, center, axes, size, resample):
    """Cut a stamp around ``center`` with the orientation ``axes``; its grid is that of the galaxy at ``position``."""
    here = _grid_at(opened.wcs, center)
    wanted = _with_scale(axes, opened.survey)
    turn, miss = _best_turn(matrix_of(here), wanted, size)
    if resample == "always" or (resample == "auto" and miss > TOLERANCE):
        stamp = _resampled(opened, center, size, wanted, here)
    else:
        cube = opened.image.cutout(center, size)
        grid = _turned_grid(np.array([*_pixel(cube.wcs, center), *here[2:]]), turn, size)
        stamp = _stamp(opened, cube, grid, turn, miss)
    sky = center.icrs
    place = _pixel(grid_wcs(sky.ra.deg, sky.dec.deg, stamp.grid), position)
    return stamp._replace(grid=np.array([*place, *stamp.grid[2:]]))


def _pixel(wcs, position):
    return [float(value) for value in wcs.world_to_pixel(position)]


def _with_scale(axes, survey):
    """Return a matrix with the orientation of ``axes`` and the pixel scale of a survey."""
    return axes * survey.pixel_scale.to_value(u.arcsec) / np.sqrt(abs(np.linalg.det(axes)))


def _stamp(opened, cube, grid, turn=_TURNS[0], miss=0.0, resampled=False):
    flux, weight = flux_and_weight(cube, survey=opened.survey)
    return Stamp(
        np.ascontiguousarray(_turned(flux, turn)), np.ascontiguousarray(_turned(weight, turn)), grid,
        psf=None if cube.psf is None else _turned(cube.psf, turn), has_uncertainty=cube.uncertainty is not None,
        coverage=float(np.isfinite(cube.data).mean()), resampled=resampled, miss=miss)


def _resampled(opened, center, size, wanted, here):
    """Return a stamp that is resampled to a grid around ``center`` with the matrix ``wanted``."""
    grid = np.array([(size - 1) / 2, (size - 1) / 2, *wanted.ravel()])
    # The rectangle that holds the new stamp for any orientation of the old pixels.
    sides = np.abs(np.linalg.inv(matrix_of(here)) @ wanted).sum(axis=1) * size
    near = opened.image.cutout(center, tuple(int(np.ceil(side)) + 2 * _MARGIN for side in sides[::-1]))
    sky = center.icrs
    cube = regrid(near, grid_wcs(sky.ra.deg, sky.dec.deg, grid), (size, size))
    return _stamp(opened, cube, grid, resampled=True)


def _grid_at(wcs, position):
    """Return the grid of a WCS at a position."""
    x, y = _pixel(wcs, position)
    vectors = _vectors_near(wcs, x, y)
    here = position.icrs
    lon, lat = here.ra.rad, here.dec.rad
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    steps = np.stack([vectors[:, 0] - vectors[:, 1], vectors[:, 2] - vectors[:, 3]], axis=1) * _ARCSEC
    return np.array([x, y, *(east @ steps), *(north @ steps)])


def _vectors_near(wcs, x, y):
    """Return unit vectors of four places half a pixel around one, shape ``(3, 4)``."""
    x, y = x + np.array([0.5, -0.5, 0, 0]), y + np.array([0, 0, 0.5, -0.5])
    # The axes of these frames agree to much less than a pixel, and this is much faster than a SkyCoord.
    frame = wcs.wcs.radesys.strip()
    if wcs.wcs.lngtyp == "RA" and (frame == "ICRS" or frame in ("", "FK5") and wcs.wcs.equinox == 2000):
        world = wcs.all_pix2world(x, y, 0)
        lon, lat = (np.radians(world[axis]) for axis in (wcs.wcs.lng, wcs.wcs.lat))
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return wcs.pixel_to_world(x, y).icrs.cartesian.xyz.value


def _moved(position, east, north):
    """Return positions moved by arcsec towards east and north on the tangent plane."""
    here = position.icrs
    lon, lat = here.ra.rad, here.dec.rad
    e, n = np.asarray(east) / _ARCSEC, np.asarray(north) / _ARCSEC
    x = np.cos(lat) * np.cos(lon) - e * np.sin(lon) - n * np.sin(lat) * np.cos(lon)
    y = np.cos(lat) * np.sin(lon) + e * np.cos(lon) - n * np.sin(lat) * np.sin(lon)
    z = np.sin(lat) + n * np.cos(lat)
    return SkyCoord(np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y))), unit="deg")


def _best_turn(matrix, wanted, size):
    """Return the turn after which a grid is most similar to ``wanted``, and the miss of the corners in its pixels."""
    inverse = np.linalg.inv(wanted)
    corners = np.array([[1, 1], [1, -1]]) * size / 2
    misses = [np.abs(np.linalg.norm((inverse @ matrix @ turn - np.eye(2)) @ corners, axis=0)).max()
              for turn in _TURNS]
    best = int(np.argmin(misses))
    return _TURNS[best], float(misses[best])


def _turned(array, turn):
    """Turn the last two axes ``(y, x)``, of the same length; copies only if something changes."""
    if turn[0, 0] == 0:
        array, signs = np.swapaxes(array, -1, -2), (turn[0, 1], turn[1, 0])
    else:
        signs = turn[1, 1], turn[0, 0]
    flips = [axis for axis, sign in zip((-2, -1), signs) if sign < 0]
    return np.flip(array, flips) if flips else array


def _turned_grid(grid, turn, size):
    middle = (size - 1) / 2
    place = turn.T @ (grid[:2] - middle) + middle
    return np.concatenate([place, (matrix_of(grid) @ turn).ravel()])
