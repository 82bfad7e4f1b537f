"""Cut, measure and flag each candidate, and keep or drop it."""

import logging
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.nddata import NoOverlapError
from tqdm.auto import tqdm

from astro_galtrans.pairs._checks import psf_side, psf_stamp
from astro_galtrans.pairs._match_astrometry import NO_OFFSET, FieldOffset, centroid, field_offset, offset_of_galaxies
from astro_galtrans.pairs._match_quality import (
    FLAGS, background_of, center_is_bad, neighbor_masks, psf_fwhm_of, saturated,
)
from astro_galtrans.pairs._match_stamps import TOLERANCE, cut_pair, matrix_of

__all__ = ["SIDES", "Run"]

_LOG = logging.getLogger(__name__)
SIDES = ("input", "target")
_SAMPLE = 100  # galaxies that give the offset of a field if its sources do not
_BACKGROUND_SIDES = 2  # side of the square for the background, in sides of the stamp


class _Field(NamedTuple):
    """One tile of each survey, and its candidates from number ``start`` on."""

    number: int
    start: int
    tile: dict
    """Number of the tile by side."""
    opened: dict
    """The image by side; None for cutouts, which are opened for each galaxy."""
    pixels: dict
    """Pixels of the candidates in each band by side; None for cutouts."""
    offset: FieldOffset


class _Dropped(Exception):
    """A candidate does not give a pair."""

    def __init__(self, reason, detail):
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Run:
    """The candidates of a catalog, tile by tile."""

    def __init__(self, sources, images, candidates, surveys, sizes, bands, config):
        self.sources, self.images, self.rows, self.tiles = sources, images, candidates.rows, candidates.tiles
        self.surveys, self.sizes, self.bands, self.config = surveys, sizes, bands, config
        self.psf_sides = {side: psf_side(survey) for side, survey in surveys.items()}
        self.window = max(survey[bands[side]].psf_fwhm.value for side, survey in surveys.items())
        self.search_radius, self.max_offset, self.max_residual = (
            angle.to_value(u.arcsec) for angle in (config.search_radius, config.max_offset, config.max_residual))

    def execute(self, sink, progress):
        """Give all candidates from ``sink.first`` on to the sink."""
        changes = np.any([np.diff(tile) != 0 for tile in self.tiles.values()], axis=0)
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        with tqdm(total=len(self.rows), initial=min(sink.first, len(self.rows)), desc="pair", unit="galaxy",
                  disable=not progress) as bar:
            for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(self.rows)])):
                if stop > sink.first:
                    self._run_field(number, start, stop, sink, bar)

    def _run_field(self, number, start, stop, sink, bar):
        """Give the candidates of one tile of each survey to the sink."""
        candidates = range(max(start, sink.first), stop)
        tile = {side: int(self.tiles[side][start]) for side in SIDES}
        try:
            opened = {side: None if self.images[side].are_cutouts else self.images[side].open(tile[side])
                      for side in SIDES}
        except (OSError, ValueError, TypeError) as error:
            _LOG.warning("%d objects are left out: %s", stop - start, error)
            for candidate in candidates:
                sink.drop(candidate, self._lost(candidate, _Dropped("unreadable", str(error))))
                bar.update()
            return
        if number in sink.fields:
            offset = FieldOffset(**sink.fields[number]["offset"])
        else:
            offset = self._offset(opened, tile, start, stop)
            names = {side: self.images[side].name(tile[side]) for side in SIDES}
            sink.field(number, {"offset": offset._asdict(), "n_galaxies": stop - start, **names})
        positions = self.sources.position[self.rows[start:stop]]
        pixels = {side: None if one is None else one.pixels(positions) for side, one in opened.items()}
        field = _Field(number, start, tile, opened, pixels, offset)
        for candidate in candidates:
            try:
                sink.keep(candidate, *self._pair(candidate, field))
            except _Dropped as why:
                sink.drop(candidate, self._lost(candidate, why))
            bar.update()

    def _lost(self, candidate, why):
        return {"row": int(self.rows[candidate]), "reason": why.reason, "detail": why.detail}

    def _both(self, candidate, opened, tile):
        """Return both images of a candidate."""
        both = {}
        for side, one in opened.items():
            try:
                both[side] = one or self.images[side].open(tile[side], self.sources.ids[self.rows[candidate]])
            except (OSError, ValueError, TypeError) as error:
                raise _Dropped("unreadable", str(error)) from None
        return both

    def _cut(self, candidate, opened, offset=(0.0, 0.0)):
        position = self.sources.position[self.rows[candidate]]
        try:
            return cut_pair(opened, position, offset, self.sizes, self.config.resample)
        except NoOverlapError as error:
            raise _Dropped("outside", str(error)) from None

    def _offset(self, opened, tile, start, stop):
        """Measure the offset between the two images of a field."""
        offset = NO_OFFSET
        if None not in opened.values():
            positions = self.sources.position[self.rows[start:stop]]
            offset = field_offset(opened, self.bands, positions, self.search_radius)
        if offset.is_known:
            return offset
        apart = []
        for candidate in np.unique(np.linspace(start, stop - 1, min(_SAMPLE, stop - start)).astype(int)):
            try:
                seen = self._centroids(self._cut(candidate, self._both(candidate, opened, tile)))
            except _Dropped:
                continue
            if min(one.snr for one in seen.values()) >= self.config.min_snr:
                apart.append(seen["input"].place - seen["target"].place)
        return offset_of_galaxies(apart)

    def _centroids(self, stamps, levels=None):
        """Return the `Centroid` of the galaxy in each stamp."""
        seen = {}
        for side, stamp in stamps.items():
            band = self.surveys[side].band_names.index(self.bands[side])
            flux, weight = stamp.flux[band], stamp.weight[band]
            if levels is not None and np.isfinite(levels[side][band]):
                flux = np.where(weight > 0, flux - levels[side][band], 0)
            seen[side] = centroid(flux, weight, stamp.grid, self.window)
        return seen

    def _pair(self, candidate, field):
        """Return the arrays and the record of one pair."""
        config, offset, row = self.config, field.offset, int(self.rows[candidate])
        far = offset.size > self.max_offset
        if far:
            self._flag("astrometry", f"the images are {offset.size:.2f} arcsec apart "
                       f"({offset.n} {offset.method}), more than max_offset")
        corrected = config.correct_astrometry and not far and offset.is_known
        both = self._both(candidate, field.opened, field.tile)
        stamps = self._cut(candidate, both, (offset.east, offset.north) if corrected else (0.0, 0.0))
        levels, noises = self._backgrounds(candidate, field, both)
        stamps = {side: _weighted(stamp, noises[side], levels[side] if config.background == "subtract" else None)
                  for side, stamp in stamps.items()}
        flags = self._defects(both, stamps)
        seen = self._centroids(stamps, levels if config.background == "measure" else None)
        residual = self._residual(seen)
        flags |= self._check_position(seen, residual, offset, corrected or offset.size < self.max_residual)
        if config.neighbors is not None:
            found = neighbor_masks(stamps, self.surveys, self.bands)
            flags |= FLAGS["neighbor"] * found.bright
            if config.neighbors == "mask":
                for side, mask in found.masks.items():
                    if mask is not None:
                        stamps[side].weight[:, mask] = 0
        images, record = {}, {
            "row": row, "field": field.number, "offset_east": residual[0], "offset_north": residual[1],
            "target_east": seen["target"].place[0], "target_north": seen["target"].place[1]}
        for side, stamp in stamps.items():
            psf = psf_stamp(stamp.psf, len(stamp.flux), self.psf_sides[side])
            images |= {f"{side}_flux": stamp.flux, f"{side}_weight": stamp.weight, f"{side}_psf": psf}
            record |= self._record(side, stamp, levels[side], noises[side], seen[side].snr)
        return images, {**record, "flags": flags}

    def _flag(self, name, detail):
        """Return the bit of a flag, or drop the candidate if the flag excludes it."""
        if name in self.config.drop:
            raise _Dropped(name, detail)
        return FLAGS[name]

    def _backgrounds(self, candidate, field, both):
        """Return background and noise of each side, NaN if they are not needed."""
        levels, noises = {}, {}
        for side, one in both.items():
            if self.config.background is None and one.has_uncertainty:
                levels[side], noises[side] = np.full((2, len(one.survey)), np.nan)
                continue
            pixels, index = field.pixels[side], candidate - field.start
            if pixels is None:
                pixels, index = one.pixels(self.sources.position[self.rows[[candidate]]]), 0
            place = {band: (x[index], y[index]) for band, (x, y) in pixels.items()}
            levels[side], noises[side] = background_of(one, place, _BACKGROUND_SIDES * self.sizes[side])
        return levels, noises

    def _defects(self, both, stamps):
        """Return the bits of defects of the pixels."""
        flags = 0
        for side, stamp in stamps.items():
            if stamp.coverage < 1:
                flags |= FLAGS["edge"]
                if stamp.coverage < self.config.min_coverage:
                    raise _Dropped("edge", f"{100 * stamp.coverage:.0f} per cent of the {side} stamp is on the image")
            empty = [band for band, plane in zip(self.surveys[side].band_names, stamp.weight) if not plane.any()]
            if empty:
                raise _Dropped("empty", f"every pixel of {side} band {', '.join(empty)} is bad")
            if center_is_bad(stamp):
                flags |= self._flag("masked_center", f"a bad pixel at the galaxy in the {side} image")
            if saturated(stamp, both[side]):
                flags |= self._flag("saturated", f"a pixel at the saturation level in the {side} image")
            flags |= FLAGS["resampled"] * stamp.resampled
            if stamp.miss > TOLERANCE and not stamp.resampled:
                flags |= self._flag("misaligned", f"the corners of the {side} stamp are {stamp.miss:.1f} pixels from "
                                    "their positions in the other survey")
        return flags

    def _weak(self, seen):
        return [side for side, one in seen.items() if not one.snr >= self.config.min_snr]

    def _residual(self, seen):
        """Return the position in the input minus that in the target; NaN if the galaxy is faint in one of them."""
        return np.full(2, np.nan) if self._weak(seen) else seen["input"].place - seen["target"].place

    def _check_position(self, seen, residual, offset, field_is_right):
        """Return the bits of signal-to-noise and astrometry."""
        flags, weak = 0, self._weak(seen)
        if weak:
            flags |= self._flag("low_snr", f"signal-to-noise below {self.config.min_snr:g} in {' and '.join(weak)}")
        size = float(np.hypot(*residual))
        error = self.window / 2.3548 * np.hypot(*(1 / max(one.snr, 1e-3) for one in seen.values()))
        if size > self.max_residual + 3 * error:
            flags |= self._flag("astrometry", f"the galaxy is {size:.2f} arcsec apart in the two images")
        elif offset.size > self.max_offset or (offset.is_known and not field_is_right):
            flags |= self._flag("astrometry", f"the images are {offset.size:.2f} arcsec apart, and not corrected")
        if not offset.is_known and not np.isfinite(size):
            flags |= self._flag("unverified", "neither the field nor the galaxy gives the offset of the images")
        return flags

    def _record(self, side, stamp, level, noise, snr):
        """Return the measurements of one stamp, by column of the catalog."""
        measured = stamp.psf is not None
        fwhm = psf_fwhm_of(stamp.psf, matrix_of(stamp.grid)) if measured else [
            band.psf_fwhm.to_value(u.arcsec) for band in self.surveys[side]]
        return {f"{side}_grid": stamp.grid, f"{side}_snr": np.float32(snr),
                f"{side}_background": level.astype(np.float32), f"{side}_noise": noise.astype(np.float32),
                f"{side}_psf_fwhm": np.asarray(fwhm, np.float32), f"{side}_psf_measured": measured,
                f"{side}_coverage": np.float32((stamp.weight > 0).mean())}


def _weighted(stamp, noise, level):
    """Return a stamp with the measured noise if it has no uncertainty, and with ``level`` subtracted if given."""
    flux, weight = stamp.flux, stamp.weight
    if not stamp.has_uncertainty:
        known = np.isfinite(noise) & (noise > 0)
        inverse = np.where(known, 1 / np.where(known, noise, 1)**2, 0)[:, None, None]
        weight = np.where((weight > 0) & known[:, None, None], inverse, weight).astype(np.float32)
    if level is not None:
        flux = np.where(weight > 0, flux - np.nan_to_num(level)[:, None, None], 0).astype(np.float32)
    return stamp._replace(flux=flux, weight=weight)
