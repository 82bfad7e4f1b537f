"""The pixel grid of a stamp around a place on the sky, and the stamp turned so that two surveys lie alike.

A grid is six numbers: the pixel ``(x, y)`` of the galaxy's position, counted from 0 at the middle of the first pixel,
and the matrix from pixels to arcsec towards east and north, row by row.
"""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

__all__ = ["best_turn", "grid_at", "grid_wcs", "matrix_of", "moved", "sky_of_pixel", "turned", "turned_grid"]

_ARCSEC = u.rad.to(u.arcsec)
# The eight ways of turning a square onto itself: from steps in new pixels to steps in old ones.
_TURNS = [np.array(turn) for turn in (
    [[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]],
    [[-1, 0], [0, 1]], [[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, -1], [-1, 0]])]


def grid_at(wcs, position):
    """The grid of a WCS at a position, ndarray of shape ``(6,)``."""
    x, y = (float(value) for value in wcs.world_to_pixel(position))
    vectors = _vectors_near(wcs, x, y)
    here = position.icrs
    lon, lat = here.ra.rad, here.dec.rad
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    steps = np.stack([vectors[:, 0] - vectors[:, 1], vectors[:, 2] - vectors[:, 3]], axis=1) * _ARCSEC
    return np.array([x, y, *(east @ steps), *(north @ steps)])


def _vectors_near(wcs, x, y):
    """Unit vectors of four places half a pixel around one, shape ``(3, 4)``."""
    x, y = x + np.array([0.5, -0.5, 0, 0]), y + np.array([0, 0, 0.5, -0.5])
    # The axes of these frames are the same to far less than a pixel, and this is much faster than by SkyCoord.
    frame = wcs.wcs.radesys.strip()
    if wcs.wcs.lngtyp == "RA" and (frame == "ICRS" or frame in ("", "FK5") and wcs.wcs.equinox == 2000):
        world = wcs.all_pix2world(x, y, 0)
        lon, lat = (np.radians(world[axis]) for axis in (wcs.wcs.lng, wcs.wcs.lat))
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return wcs.pixel_to_world(x, y).icrs.cartesian.xyz.value


def matrix_of(grid):
    """Pixels to arcsec towards east and north, shape ``(2, 2)``."""
    return np.reshape(grid[2:], (2, 2))


def grid_wcs(ra, dec, grid):
    """The TAN WCS of a grid whose position is at ``ra`` and ``dec`` in degrees (ICRS)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.cunit = "deg", "deg"
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = grid[0] + 1, grid[1] + 1
    wcs.wcs.cd = matrix_of(grid) / 3600
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def sky_of_pixel(position, grid, x, y):
    """The position on the sky of a pixel near the one that a grid is around."""
    east, north = matrix_of(grid) @ (x - grid[0], y - grid[1])
    return moved(position, east, north)


def moved(position, east, north):
    """Positions moved by arcsec towards east and north, on the tangent plane."""
    here = position.icrs
    lon, lat = here.ra.rad, here.dec.rad
    e, n = np.asarray(east) / _ARCSEC, np.asarray(north) / _ARCSEC
    x = np.cos(lat) * np.cos(lon) - e * np.sin(lon) - n * np.sin(lat) * np.cos(lon)
    y = np.cos(lat) * np.sin(lon) + e * np.cos(lon) - n * np.sin(lat) * np.sin(lon)
    z = np.sin(lat) + n * np.cos(lat)
    return SkyCoord(np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y))), unit="deg")


def best_turn(matrix, wanted, size):
    """The turn after which a grid lies most like the one wanted.

    Parameters
    ----------
    matrix, wanted : ndarray
        Pixels to arcsec, shape ``(2, 2)``.
    size : int
        Side of the stamp in pixels.

    Returns
    -------
    turn : ndarray of int
        Shape ``(2, 2)``.
    miss : float
        How far the corners of the stamp are from where they should be, in pixels of the grid wanted.
    """
    inverse = np.linalg.inv(wanted)
    corners = np.array([[1, 1], [1, -1]]) * size / 2
    misses = [np.abs(np.linalg.norm((inverse @ matrix @ turn - np.eye(2)) @ corners, axis=0)).max()
              for turn in _TURNS]
    best = int(np.argmin(misses))
    return _TURNS[best], float(misses[best])


def turned(array, turn):
    """The last two axes ``(y, x)``, of one length, of an array turned; a copy only where something changes."""
    if turn[0, 0] == 0:
        array, signs = np.swapaxes(array, -1, -2), (turn[0, 1], turn[1, 0])
    else:
        signs = turn[1, 1], turn[0, 0]
    flips = [axis for axis, sign in zip((-2, -1), signs) if sign < 0]
    return np.flip(array, flips) if flips else array


def turned_grid(grid, turn, size):
    """The grid of a turned stamp."""
    middle = (size - 1) / 2
    place = turn.T @ (grid[:2] - middle) + middle
    return np.concatenate([place, (matrix_of(grid) @ turn).ravel()])
