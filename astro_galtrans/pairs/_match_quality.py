"""Measure the quality of a stamp: background, noise, neighbors, PSF, saturation."""

from __future__ import annotations

import warnings
from typing import NamedTuple, Protocol, TYPE_CHECKING

import numpy as np
from astropy.utils.exceptions import AstropyDeprecationWarning
from scipy import ndimage

from astro_galtrans._utils.photometry import deblended
from astro_galtrans.pairs._match_stamps import matrix_of, scale_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astro_galtrans.surveys import Survey

__all__ = ["FLAGS", "NeighborMasks", "background_of", "center_is_bad", "current_flag", "flag_names", "neighbor_masks",
           "psf_fwhm_of", "saturated"]

_OLD_FLAGS = {"masked_centre": "masked_center", "neighbour": "neighbor"}


def current_flag(name):
    """Return the name of a flag; warn if it is the name of an earlier version."""
    if name not in _OLD_FLAGS:
        return name
    warnings.warn(f"the flag {name!r} is deprecated since 0.2; use {_OLD_FLAGS[name]!r}", AstropyDeprecationWarning, 3)
    return _OLD_FLAGS[name]


class _Flags(dict):
    """Bits by name; also knows the names of earlier versions."""

    def __missing__(self, name):
        if name not in _OLD_FLAGS:
            raise KeyError(name)
        return self[current_flag(name)]


# Bits of the column ``flags``.
FLAGS = _Flags({
    "edge": 1,  # part of a stamp is beyond the image
    "masked_center": 2,  # a bad pixel at the galaxy
    "saturated": 4,  # a pixel at the galaxy reaches 80 per cent of the saturation level of the header
    "astrometry": 8,  # the galaxy is at different positions in the two images
    "unverified": 16,  # the relative astrometry of the two images is unknown
    "low_snr": 32,  # faint in one of the images
    "neighbor": 64,  # another source in the stamp, at most two magnitudes fainter
    "resampled": 128,  # one of the stamps was resampled
    "misaligned": 256,  # the pixel grids differ, and resampling is disabled
})
_BACKGROUND_PIXELS = 6000  # enough for an error of a hundredth of the noise of one pixel
_SATURATED = 0.8
_ZERO_POINT_KEYS = ("MZP_AB", "PHOTZP", "MAGZP", "MAGZPT", "MAGZERO", "ZEROPNT", "PHOT_C")


def flag_names(flags: int) -> tuple[str, ...]:
    """Return the names of the bits of a flag value.

    Examples
    --------
    >>> from astro_galtrans.pairs import flag_names
    >>> flag_names(9)
    ('edge', 'astrometry')
    """
    return tuple(name for name, bit in FLAGS.items() if int(flags) & bit)


def background_of(opened, places, size):
    """Measure the background and its noise in each band, NaN if there are too few pixels.

    The background is the mode of SExtractor (`photutils.background`) of the pixels of a square of side ``size`` around
    the galaxy, clipped at three standard deviations. ``places`` has the pixel ``(x, y)`` of the galaxy in each band.
    """
    from astropy.stats import SigmaClip
    from photutils.background import MADStdBackgroundRMS, SExtractorBackground

    clip = SigmaClip(sigma=3.0, maxiters=10)
    mode, spread = SExtractorBackground(sigma_clip=None), MADStdBackgroundRMS(sigma_clip=None)
    out = np.full((2, len(opened.survey)), np.nan)
    for index, band in enumerate(opened.survey.band_names):
        data, mask, _ = opened.plane(band)
        x, y = places[band]
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        window = tuple(slice(max(0, int(place) - size // 2), max(0, int(place) + size // 2 + 1)) for place in (y, x))
        values = data[window]
        good = np.isfinite(values) if mask is None else np.isfinite(values) & ~mask[window]
        values = values[good].astype(float)
        if len(values) < 50:
            continue
        values = clip(values[::max(1, len(values) // _BACKGROUND_PIXELS)], masked=False, copy=False)
        out[:, index] = mode(values), spread(values)
    return out


def psf_fwhm_of(psf, matrix):
    """Return the FWHM in arcsec of the PSF image of each band: the diameter of the area above half of the peak."""
    widths = []
    for plane in psf:
        fine = ndimage.zoom(plane.astype(float), 5, order=3)
        # The first and the last pixel stay where they are.
        area = np.prod([(old - 1) / (new - 1) for old, new in zip(plane.shape, fine.shape)])
        widths.append(2 * np.sqrt((fine > fine.max() / 2).sum() * area / np.pi))
    return np.array(widths) * np.sqrt(abs(np.linalg.det(matrix)))


class HasGrid(Protocol):
    """A stamp with its pixel grid."""

    @property
    def flux(self) -> np.ndarray: ...

    @property
    def weight(self) -> np.ndarray: ...

    @property
    def grid(self) -> np.ndarray: ...


class NeighborMasks(NamedTuple):
    """Pixels of other sources in the stamps of a galaxy."""

    masks: dict[str, np.ndarray | None]
    """For each side a bool array of shape ``(y, x)``; None if there is no other source."""
    bright: bool
    """Whether a neighbor is at most two magnitudes fainter than the galaxy."""


def _segments(flux, weight, fwhm):
    """Return the labels of the sources of one band, and their total fluxes by label; None if there is no source."""
    from photutils.segmentation import detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning

    good = weight > 0
    if good.sum() < 50:
        return None
    noise = 1 / np.sqrt(np.median(weight[good]))
    smooth = ndimage.gaussian_filter(np.where(good, flux, 0).astype(float), fwhm / 2.3548)
    # The same threshold as in detect_galaxies, in the noise of one pixel.
    limit = np.full(flux.shape, 1.5 * noise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        found = detect_sources(smooth, limit, 8, mask=~good)
    if found is None:
        return None
    found = deblended(smooth, found, 8)
    labels = np.asarray(found.data)
    fluxes = ndimage.sum_labels(np.where(good, flux, 0), labels, np.arange(labels.max() + 1))
    return labels, fluxes


def neighbor_masks(
    stamps: Mapping[str, HasGrid], surveys: Mapping[str, Survey], bands: Mapping[str, str],
) -> NeighborMasks:
    """Mask the other sources in the stamps of a galaxy.

    Sources are detected and deblended in the survey with the sharper PSF. Segments that are not the galaxy are widened
    by half the PSF of each survey, and mapped to the pixels of both.

    Parameters
    ----------
    stamps : dict of str to object
        For ``"input"`` and ``"target"`` an object with ``flux`` and ``weight``, shape ``(band, y, x)``, and ``grid``,
        shape ``(6,)``: the pixel ``(x, y)`` of the galaxy, and the matrix from pixels to arcsec towards east and north,
        row by row.
    surveys : dict of str to Survey
        Surveys of the stamps.
    bands : dict of str to str
        Band of each survey in which sources are detected.

    Returns
    -------
    NeighborMasks
    """
    widths = {side: survey[bands[side]].psf_fwhm.value for side, survey in surveys.items()}
    sharp = min(widths, key=widths.__getitem__)
    stamp, band = stamps[sharp], surveys[sharp].band_names.index(bands[sharp])
    scale = scale_of(stamp.grid)
    found = _segments(stamp.flux[band], stamp.weight[band], widths[sharp] / scale)
    if found is None:
        return NeighborMasks(dict.fromkeys(stamps), False)
    labels, fluxes = found
    own = _label_at(labels, stamp.grid[:2], widths[sharp] / scale)
    others = (labels > 0) & (labels != own)
    if not others.any():
        return NeighborMasks(dict.fromkeys(stamps), False)
    rivals = np.delete(fluxes[1:], own - 1) if own else fluxes[1:]
    mine = fluxes[own] if own else 0.0
    masks = {}
    for side, one in stamps.items():
        reach = 0.5 * widths[side] / scale
        wide = ndimage.distance_transform_edt(~others) <= reach
        wide &= labels != own if own else True
        masks[side] = wide if side == sharp else _on_grid(wide, stamp.grid, one.grid, one.flux.shape[1:])
    return NeighborMasks(masks, bool(np.any(rivals > 0.16 * mine)))


def _label_at(labels, place, reach):
    """Return the label nearest to a place, 0 if none is within ``reach`` pixels."""
    y, x = np.indices(labels.shape)
    distance = np.where(labels > 0, np.hypot(x - place[0], y - place[1]), np.inf)
    nearest = np.argmin(distance)
    return int(labels.flat[nearest]) if distance.flat[nearest] <= max(reach, 1.0) else 0


def _on_grid(mask, grid, to, shape):
    """Map a mask to another grid: True if the center or a corner of a pixel is on the mask."""
    matrix = np.linalg.inv(matrix_of(grid)) @ matrix_of(to)
    y, x = np.indices(shape)
    out = np.zeros(shape, dtype=bool)
    for dx, dy in ((0, 0), (-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)):
        column, row = np.tensordot(matrix, np.stack([x + dx - to[0], y + dy - to[1]]), axes=1)
        column, row = np.rint(column + grid[0]).astype(int), np.rint(row + grid[1]).astype(int)
        inside = (column >= 0) & (column < mask.shape[1]) & (row >= 0) & (row < mask.shape[0])
        out[inside] |= mask[row[inside], column[inside]]
    return out


def saturated(stamp, opened):
    """Whether a pixel within two pixels of the galaxy reaches 80 per cent of SATURATE in the header.

    The flat tops of stars in CFHTLS stacks are at 88 per cent of it. The level is in the unit of the file; it is used
    only if the zero point of the header is that of the survey.
    """
    x, y = np.rint(stamp.grid[:2]).astype(int)
    for index, band in enumerate(opened.survey):
        header = opened.header(band.name)
        level = header.get("SATURATE")
        zero_points = [header[key] for key in _ZERO_POINT_KEYS if isinstance(header.get(key), (int, float))]
        if not isinstance(level, (int, float)) or not zero_points or abs(zero_points[0] - band.zero_point) > 1e-3:
            continue
        if np.any(stamp.flux[index, max(y - 2, 0):y + 3, max(x - 2, 0):x + 3] >= _SATURATED * level):
            return True
    return False


def center_is_bad(stamp):
    """Whether one of the nine pixels around the galaxy is bad in any band."""
    x, y = np.rint(stamp.grid[:2]).astype(int)
    core = stamp.weight[:, max(y - 1, 0):y + 2, max(x - 1, 0):x + 2]
    return core.shape[1:] != (3, 3) or not np.all(core > 0)
