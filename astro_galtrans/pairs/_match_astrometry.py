"""How far two images of the same sky are apart: as whole fields, and for one galaxy."""

from typing import NamedTuple

import astropy.units as u
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = ["FieldOffset", "centroid", "common_band", "field_offset", "offset_of_galaxies"]

# Sources of a field that are compared, and the longest side of the part of it in which they are looked for.
_MAX_SOURCES = 400
_MAX_SIDE = 4096
# In standard deviations of the smoothed background.
_THRESHOLD = 6.0
_CELL = 0.75
_NEAR = 1.5
_MIN_MATCHES = 5


class FieldOffset(NamedTuple):
    """Where the input has the sky, less where the target has it.

    Parameters
    ----------
    east, north : float
        In arcsec; NaN where it could not be measured.
    error : float
        Standard error of each, arcsec.
    scatter : float
        Robust standard deviation of single sources, arcsec.
    n : int
        Sources it is from.
    method : str
        ``"sources"``, ``"galaxies"`` or ``"none"``.
    """

    east: float
    north: float
    error: float
    scatter: float
    n: int
    method: str

    @property
    def size(self):
        return float(np.hypot(self.east, self.north))


NONE = FieldOffset(np.nan, np.nan, np.nan, np.nan, 0, "none")


def common_band(surveys, name=None):
    """The band of each survey in which galaxies look most alike, dict of side to name.

    The r band, or else that nearest to it, of those of each survey within 12 per cent in effective wavelength; and
    else the two that are nearest to each other.
    """
    if name is not None:
        for side, survey in surveys.items():
            if name not in survey.band_names:
                raise ValueError(f"band must be one of both surveys, {side} has {', '.join(survey.band_names)}, "
                                 f"got {name!r}")
        return dict.fromkeys(surveys, name)
    best, chosen = (np.inf,), None
    for one in surveys["input"]:
        for other in surveys["target"]:
            waves = [band.effective_wavelength.to_value(u.AA) for band in (one, other)]
            apart = abs(np.log(waves[0] / waves[1]))
            rank = (0 if apart < 0.12 else apart, abs(np.log(np.sqrt(waves[0] * waves[1]) / 6200)) + apart)
            if rank < best:
                best, chosen = rank, {"input": one.name, "target": other.name}
    return chosen


def _bright_peaks(opened, band, positions, reach):
    """Positions of the brightest peaks around some objects, a SkyCoord; None where there are none."""
    data, mask, wcs = opened.plane(band)
    x, y = wcs.world_to_pixel(positions)
    fwhm = opened.survey[band].psf_fwhm.to_value(u.arcsec) / opened.survey.pixel_scale.to_value(u.arcsec)
    margin = reach / opened.survey.pixel_scale.to_value(u.arcsec) + 3 * fwhm
    window = tuple(_span(values, margin, side) for values, side in zip((y, x), data.shape))
    flux = np.array(data[window], dtype=np.float32)
    bad = ~np.isfinite(flux)
    if mask is not None:
        bad |= mask[window]
    if flux.size == 0 or bad.all():
        return None
    flux[bad] = np.median(flux[~bad])
    smooth = ndimage.gaussian_filter(flux, max(fwhm, 1.5) / 2.3548)
    thin = smooth[::3, ::3][~bad[::3, ::3]]
    level = np.median(thin if thin.size else smooth)
    noise = 1.4826 * np.median(np.abs((thin if thin.size else smooth) - level))
    side = 2 * int(np.ceil(fwhm)) + 1
    peak = (smooth == ndimage.maximum_filter(smooth, side)) & (smooth > level + _THRESHOLD * noise)
    peak &= ~ndimage.binary_dilation(bad, iterations=2) if bad.any() else True
    peak[[0, -1], :] = peak[:, [0, -1]] = False
    rows, columns = np.nonzero(peak)
    brightest = np.argsort(smooth[rows, columns])[::-1][:_MAX_SOURCES]
    rows, columns = rows[brightest], columns[brightest]
    if not len(rows):
        return None
    dy, dx = (_vertex(smooth[rows - a, columns - b], smooth[rows, columns], smooth[rows + a, columns + b])
              for a, b in ((1, 0), (0, 1)))
    return wcs.pixel_to_world(columns + dx + window[1].start, rows + dy + window[0].start)


def _span(values, margin, side):
    """The pixels from the first to the last of some places, with a margin, on an image and not too many."""
    values = values[np.isfinite(values)]
    if not len(values):
        return slice(0, 0)
    low, high = values.min() - margin, values.max() + margin
    if high - low > _MAX_SIDE:
        low, high = np.median(values) - _MAX_SIDE / 2, np.median(values) + _MAX_SIDE / 2
    low, high = (int(np.clip(edge, 0, side)) for edge in (np.floor(low), np.ceil(high)))
    return slice(low, high)


def _vertex(before, here, after):
    """Where the parabola through three values has its top, from the middle one."""
    bend = before - 2 * here + after
    with np.errstate(all="ignore"):
        return np.clip(np.nan_to_num(0.5 * (before - after) / bend), -0.5, 0.5)


def _plane(sky, centre):
    """Positions in arcsec towards east and north of a centre, gnomonic, shape ``(n, 2)``."""
    d, d0 = sky.icrs.dec.rad, centre.dec.rad
    da = sky.icrs.ra.rad - centre.ra.rad
    cosine = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(da)
    east = np.cos(d) * np.sin(da) / cosine
    north = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(da)) / cosine
    return np.stack([east, north], axis=-1) * u.rad.to(u.arcsec)


def field_offset(opened, bands, positions, reach):
    """The offset between two images from the sources that both have.

    Every source of one image votes with its distance from every source of the other, up to ``reach``; a true offset
    has many votes and chance has few. The sources that agree then give the median.

    Parameters
    ----------
    opened : dict of str to Opened
    bands : dict of str to str
    positions : SkyCoord
        The objects for which the offset is needed.
    reach : float
        Largest offset that is looked for, arcsec.

    Returns
    -------
    FieldOffset
    """
    found = {side: _bright_peaks(one, bands[side], positions, reach) for side, one in opened.items()}
    if any(sky is None for sky in found.values()):
        return NONE
    centre = positions[np.isfinite(positions.ra)][0].icrs
    source, target = (_plane(found[side], centre) for side in ("input", "target"))
    near = cKDTree(target).query_ball_tree(cKDTree(source), reach)
    apart = [source[rows] - place for place, rows in zip(target, near) if rows]
    if not apart:
        return NONE
    start = _vote(np.concatenate(apart), reach)
    return NONE if start is None else _refined(source, target, start)


def _vote(apart, reach):
    """The offset that most pairs of sources have, or None where that may be chance."""
    n = int(np.ceil(reach / _CELL))
    edges = np.arange(-n, n + 1) * _CELL
    votes = np.histogram2d(*apart.T, bins=[edges, edges])[0]
    votes = ndimage.uniform_filter(votes, 3, mode="constant") * 9
    best = np.unravel_index(np.argmax(votes), votes.shape)
    # Chance is as likely at all offsets of one size; clusters of sources make it likelier at small ones.
    chance = len(apart) * (3 * _CELL)**2 / (np.pi * reach**2)
    if votes[best] < max(_MIN_MATCHES, 2 * chance + 5 * np.sqrt(chance)):
        return None
    return np.array([edges[i] + _CELL / 2 for i in best])


def _refined(source, target, offset):
    """The median of the sources that agree, from an offset that is nearly right."""
    apart = np.empty((0, 2))
    for _ in range(4):
        distance, row = cKDTree(source).query(target + offset, distance_upper_bound=_NEAR)
        back = cKDTree(target + offset).query(source, distance_upper_bound=_NEAR)[1]
        good = np.flatnonzero(np.isfinite(distance))
        good = good[back[row[good]] == good]
        if len(good) < _MIN_MATCHES:
            return NONE
        apart = source[row[good]] - target[good]
        offset = np.median(apart, axis=0)
    return _median(apart, "sources")


def _median(apart, method):
    """Median with outliers left out."""
    for _ in range(3):
        middle = np.median(apart, axis=0)
        spread = 1.4826 * np.median(np.abs(apart - middle), axis=0).mean()
        kept = np.all(np.abs(apart - middle) < max(4 * spread, 0.05), axis=1)
        if kept.all():
            break
        apart = apart[kept]
    east, north = np.median(apart, axis=0)
    return FieldOffset(float(east), float(north), float(1.2533 * spread / np.sqrt(len(apart))), float(spread),
                       len(apart), method)


def offset_of_galaxies(apart, largest_scatter=0.5):
    """The offset of a field from its galaxies alone, where there are at least three and they agree.

    Parameters
    ----------
    apart : sequence of tuple
        East and north of each, arcsec.
    """
    apart = np.reshape(np.asarray(apart, dtype=float), (-1, 2))
    apart = apart[np.isfinite(apart).all(axis=1)]
    if len(apart) < 3:
        return NONE
    offset = _median(apart, "galaxies")
    agrees = offset.scatter < largest_scatter and offset.n >= max(3, 0.5 * len(apart))
    return offset if agrees else NONE


def centroid(flux, weight, grid, fwhm):
    """Where the light of a stamp is, and how well it stands out.

    The centroid is of the light in a Gaussian window that follows it, as of SExtractor's XWIN_IMAGE, with the width of
    the wider of the two PSFs, so that both surveys look at the same part of the galaxy.

    Parameters
    ----------
    flux, weight : ndarray
        One band, shape ``(y, x)``.
    grid : ndarray
        Where in the stamp the galaxy should be.
    fwhm : float
        Of the window, arcsec.

    Returns
    -------
    place : ndarray
        Arcsec towards east and north of where it should be; NaN where the window has run away.
    signal_to_noise : float
        In the window, matched to it, where the galaxy should be or where the centroid is, whichever has more.
    """
    matrix = np.reshape(grid[2:], (2, 2))
    scale = np.sqrt(abs(np.linalg.det(matrix)))
    sigma = max(fwhm / 2.3548, scale)
    y, x = np.indices(flux.shape)
    east, north = np.tensordot(matrix, np.stack([x - grid[0], y - grid[1]]), axes=1)
    place = np.zeros(2)
    seen = [_matched(flux, weight, np.exp(-(east**2 + north**2) / (2 * sigma**2)))]
    good = weight > 0
    for _ in range(20):
        window = np.where(good, np.exp(-((east - place[0])**2 + (north - place[1])**2) / (2 * sigma**2)), 0)
        light = float((window * flux).sum())
        if not light > 0:
            return np.full(2, np.nan), max(seen)
        # Twice, as light and window of the same width have their common middle half way between.
        light_at = window * flux / light
        step = 2 * np.array([(light_at * (east - place[0])).sum(), (light_at * (north - place[1])).sum()])
        step *= min(1, sigma / max(np.hypot(*step), 1e-9))
        place = place + step
        if np.hypot(*place) > 0.45 * scale * min(flux.shape):
            return np.full(2, np.nan), max(seen)
        if np.hypot(*step) < 1e-4 * sigma:
            break
    window = np.exp(-((east - place[0])**2 + (north - place[1])**2) / (2 * sigma**2))
    seen.append(_matched(flux, weight, window))
    return place, max(seen)


def _matched(flux, weight, window):
    """Signal-to-noise of what has the shape of the window."""
    norm = float((weight * window**2).sum())
    return float((weight * window * flux).sum()) / np.sqrt(norm) if norm > 0 else 0.0
