"""Pairs of real galaxies: stamps of a deep field, and the same stamps as a shallower survey would have taken them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Literal, NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import Table, vstack
from scipy import ndimage
from tqdm import tqdm

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans.gradients import aperture_weights, radial_fluxes
from astro_galtrans.images import BandCube, as_band_cube, detect_galaxies, empty_pixels, flux_and_weight
from astro_galtrans.pairs import PairSet, neighbor_masks, psf_side, psf_stamp
from astro_galtrans.simulation._degrade import Degrader, placed
from astro_galtrans.simulation._degrade_grid import scaled_wcs
from astro_galtrans.surveys import get_survey, matching_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["left_noise", "semi_real_pairs"]

_BOX = 128  # pixels, of the background's mesh
_NOISE_SIDE = 900  # pixels, of the largest piece of the field on which the noise that is left is measured
_MIN_BLANK = 500
_APERTURE = 2.0  # arcsec, radius, of the magnitudes in the catalogue
_MIN_GOOD = 0.9
_NEIGHBOURS = ("keep", "drop", "mask")


@numpy_defaults()
def semi_real_pairs(
    images: BandCube | Sequence[BandCube], survey: Survey | str, *, seed: int, band: str = "r",
    max_magnitude: float | None = None, min_magnitude: float | None = None, input_size: int = 32,
    target_size: int | None = None, realizations: int = 1, neighbours: Literal["keep", "drop", "mask"] = "keep",
    extended_only: bool = True, subtract_background: bool = True, bands: Mapping[str, str] | None = None,
    psf: Quantity | ArrayLike | None = None, target_psf: Quantity | ArrayLike | None = None,
    matching: Literal["kernel", "gaussian"] = "kernel", pixel_scale: Quantity | None = None,
    detection: dict[str, Any] | None = None, path: str | PathLike | None = None, overwrite: bool = False,
    progress: bool = False,
) -> PairSet:
    """Pairs of galaxies found in deep images: the target as it is, the input degraded to a shallower survey.

    Parameters
    ----------
    images : BandCube, or list of BandCube
        Fields of the deep survey, each with its survey.
    survey : Survey or str
        The shallower survey, which becomes the input.
    seed : int
        Of the noise. A galaxy's depends on the seed, the number of its field, and its own among those detected.
    band : str, optional
        Band of the deep images in which galaxies are found.
    max_magnitude : float, optional
        Faintest AB magnitude in that band.
    min_magnitude : float, optional
        Brightest magnitude: saturated stars look extended.
    input_size : int, optional
        Side of the input stamps in pixels.
    target_size : int, optional
        Side of the target stamps; default the smallest that covers the input.
    realizations : int, optional
        Inputs of each galaxy, with noise of their own.
    neighbours : {"keep", "drop", "mask"}, optional
        What is done with other sources. Both stamps show them, so that a translation can be learned from them;
        ``catalog["neighbour"]`` tells of which galaxies one is near. ``"drop"`` leaves such galaxies out; ``"mask"``
        gives the pixels of every other source in a stamp weight 0 in both, as `~astro_galtrans.pairs.match_pairs` does.
    extended_only : bool, optional
        Whether stars are left out.
    subtract_background : bool, optional
        Whether a smooth background is taken from the deep images (sources apart).
    bands, psf, target_psf, matching, pixel_scale
        As of `degrade`; ``psf`` may be a list, one a field.
    detection : dict, optional
        More arguments of `~astro_galtrans.images.detect_galaxies`.
    path : path-like, optional
        Write the pairs to this Zarr folder while they are made.
    overwrite : bool, optional
        Whether a set of pairs at ``path`` may be replaced.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    PairSet
        Both stamps are centred on the same place, the pixel (or corner) of the deep image that is nearest to the
        galaxy, so that the target is not resampled. The PSF is kept with the input, and with the target where a field
        knows its own. The catalogue has ``ra``, ``dec``, ``field``, ``x``, ``y`` (pixel
        of the deep image), what `~astro_galtrans.images.detect_galaxies` measures, ``target_mag`` (AB within 2 arcsec,
        one a band), ``target_good`` and ``input_good`` (share of good pixels), and in its ``meta`` what was dropped.

    Raises
    ------
    ValueError
        If no galaxy is left, or for the reasons that `degrade` has.

    Notes
    -----
    What is left of the deep images' own noise is measured on the blank sky of each degraded field, as stacks have
    correlated noise; only the rest up to the survey's sky noise is added.
    """
    fields = [images] if isinstance(images, BandCube) or not isinstance(images, (list, tuple)) else list(images)
    _check(fields, seed, realizations, neighbours, input_size)
    psfs = psf if isinstance(psf, (list, tuple)) and len(psf) == len(fields) else [psf] * len(fields)
    survey = get_survey(survey)
    options = {"bands": bands, "target_psf": target_psf, "matching": matching}
    made = [_Field(number, image, survey, pixel_scale, subtract_background, input_size, target_size,
                   {**options, "psf": one}) for number, (image, one) in enumerate(zip(fields, psfs))]
    if overwrite and path is None:
        raise ValueError("overwrite has no effect without path, got overwrite=True")
    twice = {"band", "max_magnitude", "extended_only"} & set(detection or {})
    if twice:
        raise ValueError(f"detection must not repeat arguments of their own, got {', '.join(sorted(twice))}")
    found = {"band": band, "max_magnitude": max_magnitude, "extended_only": extended_only, **(detection or {})}
    if len({field.cube.survey.band_names for field in made}) > 1:
        raise ValueError("images must have the same bands in every field")
    for field in made:
        field.find(found, neighbours, -np.inf if min_magnitude is None else min_magnitude)
    total = realizations * sum(len(field.table) for field in made)
    if total == 0:
        raise ValueError(f"no galaxy can be used; dropped were {_dropped(made)}")
    stamps = tqdm(_stamps(made, seed, realizations), desc="degrade", unit="pair", total=total, disable=not progress)
    surveys = {"input": made[0].degrader.survey, "target": made[0].cube.survey}
    return _collect(stamps, total, made, surveys, realizations, seed, path, overwrite)


def _check(fields, seed, realizations, neighbours, input_size):
    for name, value, low in (("seed", seed, 0), ("realizations", realizations, 1), ("input_size", input_size, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
            raise ValueError(f"{name} must be an integer of at least {low}, got {value!r}")
    if neighbours not in _NEIGHBOURS:
        raise ValueError(f"neighbours must be one of {', '.join(_NEIGHBOURS)}, got {neighbours!r}")
    if not fields:
        raise ValueError("images must have at least one field")


class _Stamp(NamedTuple):
    """What `neighbour_masks` has to know of a stamp: ``grid`` is the galaxy's pixel (x, y), and pixels to arcsec."""

    flux: np.ndarray
    weight: np.ndarray
    grid: np.ndarray


class _Field:
    """One deep image, its galaxies, and what makes their inputs."""

    def __init__(self, number, image, survey, pixel_scale, subtract, input_size, target_size, options):
        cube = as_band_cube(image)
        if cube.survey is None:
            raise ValueError("images must have a survey, which becomes the target survey of the pairs")
        cube, _ = placed(cube, None if cube.wcs is not None else pixel_scale)
        self.number, self.cube = number, _prepared(cube, subtract)
        own = self.cube.survey.pixel_scale
        if abs(self.cube.pixel_scale / own - 1) > 0.01:
            raise ValueError(f"images must have the pixel scale of their survey, {own}, got {self.cube.pixel_scale}")
        self.target_size = target_size or matching_size(input_size, survey.pixel_scale, own)
        self.noise_left = left_noise(self.cube, Degrader(_middle(self.cube), survey, **options))
        first = Degrader(self.cube, survey, shape=(1, 1), size=(16, 16), **options)
        reach = int(np.ceil(first.step * input_size / 2 + 2 * max(first.fwhm_after)))
        self.size = 2 * reach + self.target_size % 2
        self.degrader = Degrader(self.cube, survey, shape=(input_size,) * 2, size=(self.size,) * 2, **options)
        self.psfs = {f"{side}_psf": psf_stamp(psf, len(own), psf_side(own)) for side, psf, own in (
            ("input", self.degrader.psf, self.degrader.survey), ("target", self.cube.psf, self.cube.survey))}

    def find(self, options, neighbours, brightest):
        """Find the galaxies and keep those whose stamps lie on good pixels."""
        table = detect_galaxies(self.cube, **options)
        self.neighbours = neighbours
        self.masked_in = {"target": options["band"], "input": self._input_band(options["band"])}
        table["number"] = np.arange(len(table))
        self.dropped = {"bright": int(np.sum(table["magnitude"] < brightest))}
        table = table[table["magnitude"] >= brightest]
        if neighbours == "drop":
            self.dropped["neighbour"] = int(np.sum(table["neighbour"]))
            table = table[~table["neighbour"]]
        # first pixel of the target stamp and of the piece that is degraded, around the same centre
        half = (self.target_size - 1) / 2
        table["x0"], table["y0"] = (np.round(np.asarray(table[name]) - half).astype(int) for name in "xy")
        extra = (self.size - self.target_size) // 2
        height, width = self.cube.shape[1:]
        inside = (table["x0"] >= extra) & (table["y0"] >= extra)
        inside &= (table["x0"] + self.target_size + extra <= width)
        inside &= (table["y0"] + self.target_size + extra <= height)
        self.dropped["edge"] = int(np.sum(~inside))
        table = table[inside]
        good = np.array([self._good(row) for row in table], dtype=bool).reshape(len(table))
        self.dropped["bad pixels"] = int(np.sum(~good))
        self.table = table[good]

    def _input_band(self, band):
        """The input's band that is made from a band, or else its middle one."""
        made_from = {one: name for name, one in self.degrader.pairs.items()}
        names = self.degrader.survey.band_names
        return made_from.get(band, names[len(names) // 2])

    def _good(self, row):
        if self.cube.mask is None:
            return True
        piece = self.cube.mask[:, row["y0"]:row["y0"] + self.target_size, row["x0"]:row["x0"] + self.target_size]
        return 1 - piece.mean(axis=(1, 2)).max() > _MIN_GOOD

    def stamp(self, x0, y0, size):
        """A piece of the field from its pixel (x0, y0)."""
        where = np.s_[:, y0:y0 + size, x0:x0 + size]
        cube = self.cube
        return BandCube(
            cube.data[where], unit=cube.unit, bands=cube.bands, survey=cube.survey, psf=cube.psf,
            wcs=scaled_wcs(cube.wcs, (x0, y0), 1, (size, size)), mask=None if cube.mask is None else cube.mask[where],
            uncertainty=type(cube.uncertainty)(cube.uncertainty.array[where]))

    def pair(self, row, rng):
        """Flux and weight of target and input of one galaxy."""
        target = self.stamp(row["x0"], row["y0"], self.target_size)
        extra = (self.size - self.target_size) // 2
        piece = self.stamp(row["x0"] - extra, row["y0"] - extra, self.size)
        degraded = self.degrader(piece, rng, self.noise_left)
        images = {}
        for side, cube in (("input", degraded), ("target", target)):
            images[f"{side}_flux"], images[f"{side}_weight"] = flux_and_weight(cube)
        images |= self.psfs
        if self.neighbours == "mask":
            self._mask_others(images, row)
        return images

    def _mask_others(self, images, row):
        """Give other sources weight 0."""
        half, scale = (self.target_size - 1) / 2, self.cube.pixel_scale.to_value(u.arcsec)
        away = np.array([row["x"] - row["x0"] - half, row["y"] - row["y0"] - half])
        surveys, stamps = {"input": self.degrader.survey, "target": self.cube.survey}, {}
        for side, step in (("input", self.degrader.step), ("target", 1.0)):
            flux, weight = images[f"{side}_flux"], images[f"{side}_weight"]
            place = (flux.shape[-1] - 1) / 2 + away / step
            stamps[side] = _Stamp(flux, weight, np.array([*place, scale * step, 0, 0, scale * step]))
        found = neighbor_masks(stamps, surveys, self.masked_in)
        for side, hidden in found.masks.items():
            if hidden is not None:
                images[f"{side}_weight"][:, hidden] = 0


def _prepared(cube, subtract):
    """The field in its survey's unit without background, with an uncertainty and bad pixels masked."""
    cube = cube.to_unit(cube.survey.unit)
    bad = ~np.isfinite(cube.data) | empty_pixels(cube.data)
    if cube.mask is not None:
        bad |= cube.mask
    data = np.where(bad, 0, cube.data)
    if subtract:
        data = np.stack([plane - _background(plane, hidden) for plane, hidden in zip(data, bad)])
        data[bad] = 0
    uncertainty = cube.uncertainty
    if uncertainty is None:
        variance = [band.sky_noise**2 + np.maximum(plane, 0) / band.gain for band, plane in zip(cube.survey, data)]
        uncertainty = StdDevUncertainty(np.sqrt(variance).astype(cube.data.dtype))
    return BandCube(data.astype(cube.data.dtype), unit=cube.unit, bands=cube.bands, survey=cube.survey, wcs=cube.wcs,
                    mask=bad if bad.any() else None, psf=cube.psf, uncertainty=uncertainty)


def _background(plane, bad):
    from photutils.background import Background2D

    box = tuple(max(1, min(_BOX, side // 2)) for side in plane.shape)
    return Background2D(plane, box, mask=bad if bad.any() else None, filter_size=3, exclude_percentile=90).background


def _middle(cube):
    """The middle of a field, as large as is needed to measure noise."""
    (y0, y1), (x0, x1) = (((side - min(side, _NOISE_SIDE)) // 2, (side + min(side, _NOISE_SIDE)) // 2)
                          for side in cube.shape[1:])
    where = np.s_[:, y0:y1, x0:x1]
    return BandCube(cube.data[where], unit=cube.unit, bands=cube.bands, survey=cube.survey, psf=cube.psf,
                    wcs=scaled_wcs(cube.wcs, (x0, y0), 1, (y1 - y0, x1 - x0)),
                    mask=None if cube.mask is None else cube.mask[where],
                    uncertainty=type(cube.uncertainty)(cube.uncertainty.array[where]))


def left_noise(cube, degrader):
    """Standard deviation of what is left of a field's noise in its blank sky once it is degraded, one a band.

    Pixels near sources, which rise above 2.5 standard deviations of the smoothed image in any band, are left out. In a
    field with hardly any blank sky it is propagated from the uncertainty.
    """
    degraded = degrader(_middle(cube))
    bad = np.zeros(degraded.shape, dtype=bool) if degraded.mask is None else degraded.mask
    blank = ~bad.any(axis=0)
    for plane in degraded.data:
        smooth = ndimage.gaussian_filter(np.nan_to_num(plane), 1.5)
        middle = np.median(smooth[blank]) if blank.any() else 0
        below = smooth[blank & (smooth < middle)] - middle  # the lower half knows no sources
        scatter = np.sqrt(np.mean(below**2)) if below.size else 0
        blank &= ~ndimage.binary_dilation(smooth > middle + 2.5 * scatter, iterations=3)
    if blank.sum() < _MIN_BLANK:
        return np.array(degraded.meta["degrade"]["noise_left"])
    values = degraded.data[:, blank].astype(float)
    values = values - np.median(values, axis=1, keepdims=True)
    return 1.4826 * np.median(np.abs(values), axis=1)


def _stamps(fields, seed, realizations):
    """The pairs one after the other."""
    for field in fields:
        for row in field.table:
            for number in range(realizations):
                yield field.pair(row, np.random.default_rng([seed, field.number, int(row["number"]), number]))


def _collect(stamps, total, fields, surveys, realizations, seed, path, overwrite):
    """The set in memory, or written to disk a block at a time."""
    n_input, n_target = len(surveys["input"]), len(surveys["target"])
    first = fields[0]
    sizes = {"input": (n_input, *first.degrader.sampler.new_shape), "target": (n_target, *(first.target_size,) * 2)}
    shapes = {f"{side}_{kind}": sizes[side] for side in surveys for kind in ("flux", "weight")}
    for side, survey in surveys.items():
        if side == "input" or any(field.cube.psf is not None for field in fields):
            shapes[f"{side}_psf"] = (len(survey), psf_side(survey), psf_side(survey))
    in_memory = {} if path is not None else {
        name: np.empty((total, *shape), np.float32) for name, shape in shapes.items()}
    good, light = {side: np.empty(total) for side in surveys}, np.empty((total, n_target))
    aperture = aperture_weights(sizes["target"][1:], _APERTURE, surveys["target"].pixel_scale)[np.newaxis]
    with nullcontext() if path is None else PairSet.writer(path, total, shapes, surveys, overwrite) as writer:
        block = []
        for number, images in enumerate(stamps):
            for side in surveys:
                good[side][number] = np.mean(images[f"{side}_weight"] > 0)
            light[number] = radial_fluxes(images["target_flux"][np.newaxis], aperture)[0, :, 0]
            if path is None:
                for name, values in in_memory.items():
                    values[number] = images[name]
                continue
            block.append(images)
            if len(block) == writer.block or number == total - 1:
                start = number + 1 - len(block)
                writer.write_images(start, {name: np.stack([one[name] for one in block]) for name in shapes})
                block = []
        catalog = _catalog(fields, realizations, good, light, surveys["target"], seed)
        if path is not None:
            writer.finish(np.array(catalog["id"]), None, catalog)
    if path is not None:
        return PairSet.open(path)
    return PairSet(in_memory, redshift=None, ids=np.array(catalog["id"]), catalog=catalog,
                   input_survey=surveys["input"], target_survey=surveys["target"])


def _catalog(fields, realizations, good, light, survey, seed):
    tables = []
    for field in fields:
        table = field.table.copy()
        table["field"] = field.number
        centre = (field.target_size - 1) / 2
        sky = field.cube.wcs.pixel_to_world(table["x0"] + centre, table["y0"] + centre).icrs
        table["ra"], table["dec"] = sky.ra.deg * u.deg, sky.dec.deg * u.deg
        table.meta = {}
        tables.append(table[np.repeat(np.arange(len(table)), realizations)])
    catalog = vstack(tables)
    catalog["realization"] = np.tile(np.arange(realizations), len(catalog) // realizations)
    names = ("field", "number", "realization") if realizations > 1 else ("field", "number")
    catalog.add_column(["-".join(str(row[name]) for name in names) for row in catalog], name="id", index=0)
    catalog.remove_columns(["number", "x0", "y0"])
    zero_point = np.array([band.zero_point for band in survey])
    catalog["target_mag"] = (zero_point - 2.5 * np.log10(np.where(light > 0, light, np.nan))) * u.mag
    for side, share in good.items():
        catalog[f"{side}_good"] = share
    catalog.meta["semi_real"] = {
        "seed": int(seed), "realizations": int(realizations), "dropped": _dropped(fields),
        "neighbours": fields[0].neighbours,
        "bands": dict(fields[0].degrader.pairs), "matching": fields[0].degrader.matching,
        "fwhm_arcsec": [field.degrader.fwhm_arcsec for field in fields],
        "noise_left": [[float(one) for one in field.noise_left] for field in fields]}
    return Table(catalog)


def _dropped(fields):
    return [field.dropped for field in fields]
