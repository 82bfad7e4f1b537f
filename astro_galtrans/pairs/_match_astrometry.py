"""Measure the offset between two images of the same sky: of whole fields, and of one galaxy."""

from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.stats import mad_std
from scipy import ndimage
from scipy.spatial import cKDTree

from astro_galtrans.pairs._match_stamps import matrix_of, scale_of

__all__ = ["NO_OFFSET", "Centroid", "FieldOffset", "centroid", "common_band", "field_offset", "offset_of_galaxies"]

_MAX_SOURCES = 400  # that are compared in a field
_MAX_SIDE = 4096  # pixels, of the part of a field in which sources are detected
_THRESHOLD = 6.0  # standard deviations of the smoothed background
_CELL = 0.75  # arcsec, of the histogram of offsets
_NEAR = 1.5  # arcsec, between a source in both images after the offset
_MIN_MATCHES = 5


class FieldOffset(NamedTuple):
    """Positions in the input minus those in the target."""

    east: float
    """Arcsec; NaN if it is not known."""
    north: float
    error: float
    """Standard error of each, arcsec."""
    scatter: float
    """Robust standard deviation of single sources, arcsec."""
    n: int
    """Number of sources."""
    method: str
    """``"sources"``, ``"galaxies"`` or ``"none"``."""

    @property
    def size(self):
        return float(np.hypot(self.east, self.north))

    @property
    def is_known(self):
        return self.method != "none"


NO_OFFSET = FieldOffset(np.nan, np.nan, np.nan, np.nan, 0, "none")


class Centroid(NamedTuple):
    """The galaxy in one band of a stamp."""

    place: np.ndarray
    """Arcsec towards east and north of its expected position; NaN if the window has run away."""
    snr: float
    """Signal-to-noise ratio in the window at the expected position or at the centroid, whichever is higher."""


def common_band(surveys, name=None):
    """Return the band of each survey in which galaxies are most similar, a dict of side to name.

    Of pairs of bands within 12 per cent in effective wavelength this is the one nearest to the r band; without such a
    pair, the two bands that are nearest to each other.
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
    """Return the positions of the brightest peaks around some objects, or None."""
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
    sample = smooth[::3, ::3][~bad[::3, ::3]]
    sample = sample if sample.size else smooth
    level, noise = np.median(sample), mad_std(sample)
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
    """Return the slice from the smallest to the largest value with a margin, on an image and not too long."""
    values = values[np.isfinite(values)]
    if not len(values):
        return slice(0, 0)
    low, high = values.min() - margin, values.max() + margin
    if high - low > _MAX_SIDE:
        low, high = np.median(values) - _MAX_SIDE / 2, np.median(values) + _MAX_SIDE / 2
    low, high = (int(np.clip(edge, 0, side)) for edge in (np.floor(low), np.ceil(high)))
    return slice(low, high)


def _vertex(before, here, after):
    """Return the distance of the vertex of the parabola through three values from the middle one."""
    bend = before - 2 * here + after
    with np.errstate(all="ignore"):
        return np.clip(np.nan_to_num(0.5 * (before - after) / bend), -0.5, 0.5)


def _plane(sky, center):
    """Return gnomonic positions in arcsec towards east and north of a center, shape ``(n, 2)``."""
    d, d0 = sky.icrs.dec.rad, center.dec.rad
    da = sky.icrs.ra.rad - center.ra.rad
    cosine = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(da)
    east = np.cos(d) * np.sin(da) / cosine
    north = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(da)) / cosine
    return np.stack([east, north], axis=-1) * u.rad.to(u.arcsec)


def field_offset(opened, bands, positions, reach):
    """Measure the offset between two images from the sources in both.

    The separations of all sources of one image from those of the other, up to ``reach`` arcsec, are histogrammed; the
    true offset is the peak. The result is the median of the sources that agree with it. Sources are detected around
    ``positions``.
    """
    found = {side: _bright_peaks(one, bands[side], positions, reach) for side, one in opened.items()}
    if any(sky is None for sky in found.values()):
        return NO_OFFSET
    center = positions[np.isfinite(positions.ra)][0].icrs
    source, target = (_plane(found[side], center) for side in ("input", "target"))
    near = cKDTree(target).query_ball_tree(cKDTree(source), reach)
    apart = [source[rows] - place for place, rows in zip(target, near) if rows]
    if not apart:
        return NO_OFFSET
    start = _histogram_peak(np.concatenate(apart), reach)
    return NO_OFFSET if start is None else _refined(source, target, start)


def _histogram_peak(apart, reach):
    """Return the offset that most pairs of sources have, or None if that may be chance."""
    n = int(np.ceil(reach / _CELL))
    edges = np.arange(-n, n + 1) * _CELL
    counts = np.histogram2d(*apart.T, bins=[edges, edges])[0]
    counts = ndimage.uniform_filter(counts, 3, mode="constant") * 9
    best = np.unravel_index(np.argmax(counts), counts.shape)
    # Chance pairs are spread evenly over the circle; clustering of sources gives more of them at small offsets.
    chance = len(apart) * (3 * _CELL)**2 / (np.pi * reach**2)
    if counts[best] < max(_MIN_MATCHES, 2 * chance + 5 * np.sqrt(chance)):
        return None
    return np.array([edges[i] + _CELL / 2 for i in best])


def _refined(source, target, offset):
    """Return the median of the sources that agree with a first offset."""
    apart = np.empty((0, 2))
    for _ in range(4):
        distance, row = cKDTree(source).query(target + offset, distance_upper_bound=_NEAR)
        back = cKDTree(target + offset).query(source, distance_upper_bound=_NEAR)[1]
        good = np.flatnonzero(np.isfinite(distance))
        good = good[back[row[good]] == good]
        if len(good) < _MIN_MATCHES:
            return NO_OFFSET
        apart = source[row[good]] - target[good]
        offset = np.median(apart, axis=0)
    return _median(apart, "sources")


def _median(apart, method):
    """Return the median without outliers."""
    for _ in range(3):
        middle = np.median(apart, axis=0)
        spread = mad_std(apart, axis=0).mean()
        kept = np.all(np.abs(apart - middle) < max(4 * spread, 0.05), axis=1)
        if kept.all():
            break
        apart = apart[kept]
    east, north = np.median(apart, axis=0)
    return FieldOffset(float(east), float(north), float(1.2533 * spread / np.sqrt(len(apart))), float(spread),
                       len(apart), method)


def offset_of_galaxies(apart, largest_scatter=0.5):
    """Return the offset of a field from that of its galaxies, in arcsec, if there are at least three that agree."""
    apart = np.reshape(np.asarray(apart, dtype=float), (-1, 2))
    apart = apart[np.isfinite(apart).all(axis=1)]
    if len(apart) < 3:
        return NO_OFFSET
    offset = _median(apart, "galaxies")
    agrees = offset.scatter < largest_scatter and offset.n >= max(3, 0.5 * len(apart))
    return offset if agrees else NO_OFFSET


def centroid(flux, weight, grid, fwhm):
    """Measure the centroid of a galaxy in a Gaussian window that follows it, as XWIN_IMAGE of SExtractor.

    The window has the width of the wider of the two PSFs, ``fwhm`` arcsec, so that both surveys measure the same part
    of the galaxy.
    """
    scale = scale_of(grid)
    sigma = max(fwhm / 2.3548, scale)
    y, x = np.indices(flux.shape)
    east, north = np.tensordot(matrix_of(grid), np.stack([x - grid[0], y - grid[1]]), axes=1)
    place = np.zeros(2)
    snr = _matched_snr(flux, weight, np.exp(-(east**2 + north**2) / (2 * sigma**2)))
    good = weight > 0
    for _ in range(20):
        window = np.where(good, np.exp(-((east - place[0])**2 + (north - place[1])**2) / (2 * sigma**2)), 0)
        total = float((window * flux).sum())
        if not total > 0:
            return Centroid(np.full(2, np.nan), snr)
        # Twice, since the product of two equal Gaussians is centered half way between them.
        share = window * flux / total
        step = 2 * np.array([(share * (east - place[0])).sum(), (share * (north - place[1])).sum()])
        step *= min(1, sigma / max(np.hypot(*step), 1e-9))
        place = place + step
        if np.hypot(*place) > 0.45 * scale * min(flux.shape):
            return Centroid(np.full(2, np.nan), snr)
        if np.hypot(*step) < 1e-4 * sigma:
            break
    window = np.exp(-((east - place[0])**2 + (north - place[1])**2) / (2 * sigma**2))
    return Centroid(place, max(snr, _matched_snr(flux, weight, window)))


def _matched_snr(flux, weight, window):
    """Return the signal-to-noise ratio of a source with the shape of the window."""
    norm = float((weight * window**2).sum())
    return float((weight * window * flux).sum()) / np.sqrt(norm) if norm > 0 else 0.0
