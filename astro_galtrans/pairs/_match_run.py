"""One candidate after the other: cut, measured, flagged, and kept or dropped."""

import logging
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.nddata import NoOverlapError
from tqdm.auto import tqdm

from astro_galtrans.pairs._match_astrometry import NONE, FieldOffset, centroid, field_offset, offset_of_galaxies
from astro_galtrans.pairs._match_quality import (
    FLAGS, background_of, centre_is_bad, neighbor_masks, psf_fwhm_of, saturated,
)
from astro_galtrans.pairs._match_stamps import cut_pair
from astro_galtrans.pairs._psf import psf_side, psf_stamp

__all__ = ["Choices", "Run"]

_LOG = logging.getLogger(__name__)
SIDES = ("input", "target")
# Galaxies from which the offset of a field is measured where its sources do not tell.
_SAMPLE = 100
# Sides of the square for the background, in sides of the stamp.
_BACKGROUND_SIDES = 2


class Choices(NamedTuple):
    """What the user chose; see `astro_galtrans.pairs.match_pairs`. Angles are in arcsec."""

    sizes: dict
    bands: dict
    correct_astrometry: bool
    search_radius: float
    max_offset: float
    max_residual: float
    resample: str
    background: object
    neighbours: object
    min_snr: float
    min_coverage: float
    drop: tuple


class Dropped(Exception):
    """A candidate that has no pair: why, in a word and in more."""

    def __init__(self, reason, detail):
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Run:
    """Goes through the candidates of a catalogue, tile by tile.

    Parameters
    ----------
    sources : Sources
    images : dict of str to Tiles or Cutouts
    rows : ndarray of int
        Rows of the candidates in the catalogue, those of a pair of tiles together.
    tiles : dict of str to ndarray of int
        Tile of each candidate.
    surveys : dict of str to Survey
    choices : Choices
    """

    def __init__(self, sources, images, rows, tiles, surveys, choices):
        self.sources, self.images, self.rows, self.tiles = sources, images, rows, tiles
        self.surveys, self.choices = surveys, choices
        self.psf_sides = {side: psf_side(survey) for side, survey in surveys.items()}
        self.window = max(survey[choices.bands[side]].psf_fwhm.value for side, survey in surveys.items())

    def go(self, sink, progress):
        """Hand every candidate from ``sink.first`` on to the sink."""
        starts = [0, *(np.flatnonzero(np.any([np.diff(tile) != 0 for tile in self.tiles.values()], axis=0)) + 1)]
        with tqdm(total=len(self.rows), initial=min(sink.first, len(self.rows)), desc="pair", unit="galaxy",
                  disable=not progress) as bar:
            for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(self.rows)])):
                if stop > sink.first:
                    self._field(number, start, stop, sink, bar)

    def _field(self, number, start, stop, sink, bar):
        """All candidates of one tile of each survey."""
        tile = {side: int(self.tiles[side][start]) for side in SIDES}
        names = {side: self.images[side].name(tile[side]) for side in SIDES}
        try:
            opened = {side: None if self.images[side].are_cutouts else self.images[side].open(tile[side])
                      for side in SIDES}
        except (OSError, ValueError, TypeError) as error:
            _LOG.warning("%d objects are left out: %s", stop - start, error)
            for candidate in range(max(start, sink.first), stop):
                sink.drop(candidate, self._lost(candidate, Dropped("unreadable", str(error))))
                bar.update()
            return
        if number in sink.fields:
            offset = FieldOffset(**sink.fields[number]["offset"])
        else:
            offset = self._offset(opened, tile, start, stop)
            sink.field(number, {"offset": offset._asdict(), "n_galaxies": stop - start, **names})
        places = {side: _places(one, self.sources.position[self.rows[start:stop]]) for side, one in opened.items()}
        for candidate in range(max(start, sink.first), stop):
            here = {side: None if one is None else {band: (x[candidate - start], y[candidate - start])
                                                    for band, (x, y) in one.items()} for side, one in places.items()}
            try:
                sink.keep(candidate, *self._pair(candidate, number, opened, tile, here, offset))
            except Dropped as why:
                sink.drop(candidate, self._lost(candidate, why))
            bar.update()

    def _lost(self, candidate, why):
        return {"row": int(self.rows[candidate]), "reason": why.reason, "detail": why.detail}

    def _opened(self, candidate, opened, tile):
        """Both images of a candidate, those of cutouts read now."""
        both = {}
        for side, one in opened.items():
            try:
                both[side] = one or self.images[side].open(tile[side], self.sources.ids[self.rows[candidate]])
            except (OSError, ValueError, TypeError) as error:
                raise Dropped("unreadable", str(error)) from None
        return both

    def _cut(self, candidate, opened, offset, sizes):
        position = self.sources.position[self.rows[candidate]]
        try:
            return cut_pair(opened, position, offset, sizes, self.choices.resample)
        except NoOverlapError as error:
            raise Dropped("outside", str(error)) from None

    def _offset(self, opened, tile, start, stop):
        """How far the two images of a field are apart."""
        offset = NONE
        if None not in opened.values():
            positions = self.sources.position[self.rows[start:stop]]
            offset = field_offset(opened, self.choices.bands, positions, self.choices.search_radius)
        if offset.method != "none":
            return offset
        apart = []
        for candidate in np.unique(np.linspace(start, stop - 1, min(_SAMPLE, stop - start)).astype(int)):
            try:
                both = self._opened(candidate, opened, tile)
                seen = self._centroids(self._cut(candidate, both, (0.0, 0.0), self.choices.sizes))
            except Dropped:
                continue
            if min(signal for _, signal in seen.values()) >= self.choices.min_snr:
                apart.append(seen["input"][0] - seen["target"][0])
        return offset_of_galaxies(apart)

    def _centroids(self, stamps, levels=None):
        """Place and signal-to-noise of the galaxy in each stamp."""
        seen = {}
        for side, stamp in stamps.items():
            band = self.surveys[side].band_names.index(self.choices.bands[side])
            flux, weight = stamp.flux[band], stamp.weight[band]
            if levels is not None and np.isfinite(levels[side][band]):
                flux = np.where(weight > 0, flux - levels[side][band], 0)
            seen[side] = centroid(flux, weight, stamp.grid, self.window)
        return seen

    def _pair(self, candidate, number, opened, tile, places, offset):
        """Arrays and record of one pair, or Dropped."""
        choices, row = self.choices, int(self.rows[candidate])
        far = offset.size > choices.max_offset
        if far:
            self._refuse("astrometry", f"the images are {offset.size:.2f} arcsec apart "
                         f"({offset.n} {offset.method}), more than max_offset")
        moved = choices.correct_astrometry and not far and offset.method != "none"
        both = self._opened(candidate, opened, tile)
        stamps = self._cut(candidate, both, (offset.east, offset.north) if moved else (0.0, 0.0), choices.sizes)
        flags, record = 0, {"row": row, "field": number}
        levels, noises = self._backgrounds(both, places, row)
        stamps = {side: _weighted(stamp, noises[side], levels[side] if choices.background == "subtract" else None)
                  for side, stamp in stamps.items()}
        flags |= self._defects(both, stamps)
        seen = self._centroids(stamps, levels if choices.background == "measure" else None)
        flags |= self._judge(seen, offset, moved or offset.size < choices.max_residual, record)
        masks, rival = {}, False
        if choices.neighbours is not None:
            masks, rival = neighbor_masks(stamps, self.surveys, choices.bands)
        flags |= FLAGS["neighbour"] * rival
        images = {}
        for side, stamp in stamps.items():
            if choices.neighbours == "mask" and masks[side] is not None:
                stamp.weight[:, masks[side]] = 0
            images |= {f"{side}_flux": stamp.flux, f"{side}_weight": stamp.weight, f"{side}_psf": psf_stamp(
                stamp.psf, len(stamp.flux), self.psf_sides[side])}
            record |= self._told(side, stamp, levels[side], noises[side], seen[side][1])
        return images, {**record, "flags": flags}

    def _refuse(self, flag, detail):
        if flag in self.choices.drop:
            raise Dropped(flag, detail)
        return FLAGS[flag]

    def _backgrounds(self, both, places, row):
        levels, noises = {}, {}
        for side, one in both.items():
            here = places[side]
            if here is None:
                here = {band: (x[0], y[0]) for band, (x, y) in _places(one, self.sources.position[[row]]).items()}
            uncertain = not _has_uncertainty(one)
            if self.choices.background is None and not uncertain:
                levels[side], noises[side] = np.full((2, len(one.survey)), np.nan)
            else:
                levels[side], noises[side] = background_of(one, here, _BACKGROUND_SIDES * self.choices.sizes[side])
        return levels, noises

    def _defects(self, both, stamps):
        """Bits of what is wrong with the pixels, or Dropped."""
        flags = 0
        for side, stamp in stamps.items():
            if stamp.coverage < 1:
                flags |= FLAGS["edge"]
                if stamp.coverage < self.choices.min_coverage:
                    raise Dropped("edge", f"{100 * stamp.coverage:.0f} per cent of the {side} stamp is on the image")
            empty = [band for band, plane in zip(self.surveys[side].band_names, stamp.weight) if not plane.any()]
            if empty:
                raise Dropped("empty", f"every pixel of {side} band {', '.join(empty)} is bad")
            if centre_is_bad(stamp):
                flags |= self._refuse("masked_centre", f"a bad pixel where the galaxy is in the {side} image")
            if saturated(stamp, both[side]):
                flags |= self._refuse("saturated", f"a pixel at the saturation level in the {side} image")
            flags |= FLAGS["resampled"] * stamp.resampled
            if stamp.miss > 0.5 and not stamp.resampled:
                flags |= self._refuse("misaligned", f"the corners of the {side} stamp are {stamp.miss:.1f} pixels from "
                                      "where the other survey has them")
        return flags

    def _judge(self, seen, offset, field_is_right, record):
        """Bits of signal and astrometry, or Dropped; the residual offset goes into the record."""
        choices, flags = self.choices, 0
        (here, strong), (there, strong_there) = (seen[side] for side in SIDES)
        weak = [side for side in SIDES if not seen[side][1] >= choices.min_snr]
        residual = here - there if not weak else np.full(2, np.nan)
        record |= {"offset_east": residual[0], "offset_north": residual[1],
                   "target_east": there[0], "target_north": there[1]}
        if weak:
            flags |= self._refuse("low_snr", f"signal-to-noise below {choices.min_snr:g} in {' and '.join(weak)}")
        size = float(np.hypot(*residual))
        error = self.window / 2.3548 * np.hypot(1 / max(strong, 1e-3), 1 / max(strong_there, 1e-3))
        if size > choices.max_residual + 3 * error:
            flags |= self._refuse("astrometry", f"the galaxy is {size:.2f} arcsec apart in the two images")
        elif offset.size > choices.max_offset or (offset.method != "none" and not field_is_right):
            flags |= self._refuse("astrometry", f"the images are {offset.size:.2f} arcsec apart, and not corrected")
        if offset.method == "none" and not np.isfinite(size):
            flags |= self._refuse("unverified", "nothing tells whether the images have the galaxy at the same place")
        return flags

    def _told(self, side, stamp, level, noise, signal):
        """What is known of one stamp, by the names of the catalogue's columns."""
        measured = stamp.psf is not None
        fwhm = psf_fwhm_of(stamp.psf, stamp.grid[2:].reshape(2, 2)) if measured else [
            band.psf_fwhm.to_value(u.arcsec) for band in self.surveys[side]]
        return {f"{side}_grid": stamp.grid, f"{side}_snr": np.float32(signal),
                f"{side}_background": level.astype(np.float32), f"{side}_noise": noise.astype(np.float32),
                f"{side}_psf_fwhm": np.asarray(fwhm, np.float32), f"{side}_psf_measured": measured,
                f"{side}_coverage": np.float32((stamp.weight > 0).mean())}


def _places(opened, positions):
    """Pixels of positions on the grid of each band, dict of band to ``(x, y)``; None for cutouts."""
    if opened is None:
        return None
    places, last = {}, (None, None)
    for band in opened.survey.band_names:
        wcs = opened.plane(band)[2]
        if wcs is not last[0]:
            last = wcs, wcs.world_to_pixel(positions)
        places[band] = last[1]
    return places


def _has_uncertainty(opened):
    image = opened.image
    if hasattr(image, "uncertainty"):
        return image.uncertainty is not None
    return all(image[band].uncertainty is not None for band in image)


def _weighted(stamp, noise, level):
    """A stamp with the measured noise where it has none of its own, and without background where one is given."""
    flux, weight = stamp.flux, stamp.weight
    if not stamp.has_uncertainty:
        known = np.isfinite(noise) & (noise > 0)
        inverse = np.where(known, 1 / np.where(known, noise, 1)**2, 0)[:, None, None]
        weight = np.where((weight > 0) & known[:, None, None], inverse, weight).astype(np.float32)
    if level is not None:
        flux = np.where(weight > 0, flux - np.nan_to_num(level)[:, None, None], 0).astype(np.float32)
    return stamp._replace(flux=flux, weight=weight)
