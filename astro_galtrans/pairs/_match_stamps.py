"""The stamps of one galaxy in both surveys, around one place on the sky and lying alike."""

from typing import NamedTuple

import astropy.units as u
import numpy as np

from astro_galtrans.images import flux_and_weight, regrid
from astro_galtrans.pairs._match_grid import (
    best_turn, grid_at, grid_wcs, matrix_of, moved, sky_of_pixel, turned, turned_grid,
)

__all__ = ["RESAMPLE", "Stamp", "cut_pair"]

RESAMPLE = ("auto", "always", "never")
# How far, in its pixels, the corners of a stamp may be from where the other survey has them without being resampled.
_TOLERANCE = 0.5
# Pixels that an interpolation reaches beyond a stamp.
_MARGIN = 8


class Stamp(NamedTuple):
    """One survey's image of a galaxy.

    Parameters
    ----------
    flux, weight : ndarray of float32
        Shape ``(band, y, x)``.
    grid : ndarray
        Shape ``(6,)``, see `astro_galtrans.pairs._match_grid`.
    psf : ndarray or None
    has_uncertainty : bool
        Whether the weight is from an uncertainty of the image's own.
    coverage : float
        Part of the pixels that are on the image.
    resampled : bool
    miss : float
        How far its corners are from where the other survey has them, in pixels.
    """

    flux: np.ndarray
    weight: np.ndarray
    grid: np.ndarray
    psf: object
    has_uncertainty: bool
    coverage: float
    resampled: bool
    miss: float


def cut_pair(opened, position, offset, sizes, resample):
    """Stamps of one galaxy, dict of ``"input"`` and ``"target"`` to `Stamp`.

    The input is cut in whole pixels around the position, and the target around the middle of the input's stamp. The
    position in the input is moved by what its astrometry is off.

    Parameters
    ----------
    opened : dict of str to Opened
    position : SkyCoord
    offset : tuple of float
        Where the input has an object, less where the target has it, in arcsec towards east and north.
    sizes : dict of str to int
    resample : {"auto", "always", "never"}

    Raises
    ------
    astropy.nddata.NoOverlapError
        If one of the stamps is not on its image.
    """
    images, surveys = ({side: getattr(one, name) for side, one in opened.items()} for name in ("image", "survey"))
    scales = {side: survey.pixel_scale.to_value(u.arcsec) for side, survey in surveys.items()}
    there = moved(position, *offset)
    n, m = sizes["input"], sizes["target"]
    source = _cut(images["input"], surveys["input"], there, n, scales["input"], resample)
    middle = sky_of_pixel(position, source.grid, (n - 1) / 2, (n - 1) / 2)
    axes = matrix_of(source.grid)
    target = _cut(images["target"], surveys["target"], middle, m, scales["target"], resample, (position, axes))
    return {"input": source, "target": target}


def _cut(image, survey, place, size, scale, resample, like=None):
    """A stamp around ``place``, as the image has the sky, with pixels of ``scale`` arcsec.

    ``like`` is of a target: the position of the galaxy, and the matrix of the grid that its stamp should lie along. An
    input stamp is around the galaxy, where the image shows it.
    """
    here = grid_at(image.wcs, place)
    axes = matrix_of(here) if like is None else like[1]
    wanted = axes * scale / np.sqrt(abs(np.linalg.det(axes)))
    turn, miss = best_turn(matrix_of(here), wanted, size) if like else (np.eye(2, dtype=int), _scale_miss(
        matrix_of(here), wanted, size))
    again = (resample == "always" and like is not None) or (resample != "never" and miss > _TOLERANCE)
    if again:
        cube, grid = _resampled(image, place, size, wanted, matrix_of(here))
        turn, miss = np.eye(2, dtype=int), 0.0
    else:
        cube = image.cutout(place, size)
        x, y = (float(value) for value in cube.wcs.world_to_pixel(place))
        grid = turned_grid(np.array([x, y, *here[2:]]), turn, size)
    if like is not None:
        # Of the galaxy, and not of the middle of the stamp.
        sky = place.icrs
        grid = np.array([*grid_wcs(sky.ra.deg, sky.dec.deg, grid).world_to_pixel(like[0]), *grid[2:]], dtype=float)
    flux, weight = flux_and_weight(cube, survey=survey)
    outside = ~np.isfinite(cube.data)
    psf = None if cube.psf is None else turned(cube.psf, turn)
    return Stamp(*(np.ascontiguousarray(turned(array, turn)) for array in (flux, weight)), grid, psf,
                 cube.uncertainty is not None, 1 - float(outside.mean()), again, miss)


def _scale_miss(matrix, wanted, size):
    """How far the corners of a stamp are off for the size of the pixels alone, in pixels."""
    ratio = np.sqrt(abs(np.linalg.det(matrix) / np.linalg.det(wanted)))
    return abs(ratio - 1) * size / np.sqrt(2)


def _resampled(image, place, size, wanted, matrix):
    """A cutout on a grid of which ``place`` is the middle, and that grid."""
    grid = np.array([(size - 1) / 2, (size - 1) / 2, *wanted.ravel()])
    # The square that holds the new stamp however it lies on the old pixels.
    sides = np.abs(np.linalg.inv(matrix) @ wanted).sum(axis=1) * size
    near = image.cutout(place, tuple(int(np.ceil(side)) + 2 * _MARGIN for side in sides[::-1]))
    ra, dec = place.icrs.ra.deg, place.icrs.dec.deg
    return regrid(near, grid_wcs(ra, dec, grid), (size, size)), grid
