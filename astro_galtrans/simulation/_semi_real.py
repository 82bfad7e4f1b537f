"""Pairs of real galaxies: stamps of a deep field, and the same stamps as a shallower survey would have taken them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import Table, vstack
from astropy.utils.decorators import deprecated_renamed_argument
from scipy import ndimage
from tqdm import tqdm

from astro_galtrans._utils.masked import whole
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.validation import (
    check_fields, choice, configured, finite_number, flag, mapping, whole_number,
)
from astro_galtrans.gradients import aperture_weights, radial_fluxes
from astro_galtrans.images import BandCube, as_band_cube, detect_galaxies, empty_pixels, flux_and_weight
from astro_galtrans.pairs import PairSet, neighbor_masks, psf_side, psf_stamp
from astro_galtrans.simulation._degrade import DegradeConfig, Degrader, with_wcs
from astro_galtrans.simulation._degrade_grid import scaled_wcs
from astro_galtrans.simulation._simulate import BLOCK, collected
from astro_galtrans.surveys import get_survey, matching_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astro_galtrans.surveys import Survey

__all__ = ["SemiRealConfig", "semi_real_pairs", "split_by_position"]

_BOX = 128  # pixels, of the mesh of the background
_NOISE_SIDE = 900  # pixels, of the largest piece of the field on which the remaining noise is measured
_MIN_BLANK = 500  # pixels of blank sky
_APERTURE = 2.0  # arcsec, radius, of the magnitudes in the catalog
_MIN_GOOD = 0.9
_NEIGHBORS = ("keep", "drop", "mask")


@dataclass(frozen=True, eq=False)
class SemiRealConfig(DegradeConfig):
    """Selection of galaxies, stamps and degradation for `semi_real_pairs`.

    Parameters
    ----------
    bands, psf, target_psf, matching, pixel_scale
        As of `DegradeConfig`; ``psf`` may be a list, one per field.
    min_magnitude : float, optional
        Brightest AB magnitude of galaxies in the detection band: saturated stars look extended.
    target_size : int, optional
        Side of the target stamps; by default the smallest that covers the input.
    realizations : int, optional
        Number of inputs of each galaxy, with independent noise.
    neighbors : {"keep", "drop", "mask"}, optional
        Treatment of other sources. Both stamps show them, so that a translation can be learned from them; the column
        ``neighbour`` of the catalog flags galaxies near another source. ``"drop"`` leaves such galaxies out;
        ``"mask"`` gives the pixels of every other source weight 0 in both stamps, as
        `~astro_galtrans.pairs.match_pairs` does.
    extended_only : bool, optional
        Whether stars are left out.
    subtract_background : bool, optional
        Whether a smooth background, without the sources, is subtracted from the deep images.
    detection : dict, optional
        More arguments of `~astro_galtrans.images.detect_galaxies`.
    """

    min_magnitude: float | None = None
    target_size: int | None = None
    realizations: int = 1
    neighbors: Literal["keep", "drop", "mask"] = "keep"
    extended_only: bool = True
    subtract_background: bool = True
    detection: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, {"realizations": partial(whole_number, least=1), "min_magnitude": finite_number,
                            "target_size": partial(whole_number, least=1), "extended_only": flag,
                            "subtract_background": flag, "detection": mapping,
                            "neighbors": partial(choice, allowed=_NEIGHBORS)})
        twice = {"band", "max_magnitude", "extended_only"} & set(self.detection or {})
        if twice:
            raise ValueError(f"detection must not repeat arguments of their own, got {', '.join(sorted(twice))}")


@deprecated_renamed_argument("neighbours", "neighbors", since="0.2", arg_in_kwargs=True)
@numpy_defaults()
def semi_real_pairs(
    images: BandCube | Sequence[BandCube], survey: Survey | str, *, seed: int, band: str = "r",
    max_magnitude: float | None = None, input_size: int = 32, path: str | PathLike | None = None,
    overwrite: bool = False, progress: bool = False, config: SemiRealConfig | None = None, **settings: Any,
) -> PairSet:
    """Build pairs of the galaxies in deep images: the target as it is, the input degraded to a shallower survey.

    Parameters
    ----------
    images : BandCube, or list of BandCube
        Fields of the deep survey, each with its survey.
    survey : Survey or str
        The shallower survey, which becomes the input survey.
    seed : int
        Seed of the noise. The noise of a galaxy depends on the seed, the number of its field, and its own number among
        the detected galaxies.
    band : str, optional
        Band of the deep images in which galaxies are detected.
    max_magnitude : float, optional
        Faintest AB magnitude in that band.
    input_size : int, optional
        Side of the input stamps in pixels.
    path : path-like, optional
        Zarr folder to which the pairs are written while they are made.
    overwrite : bool, optional
        Whether a set of pairs at ``path`` may be replaced.
    progress : bool, optional
        Whether to show a progress bar.
    config : SemiRealConfig, optional
        Selection of galaxies, stamps and degradation.
    **settings
        Fields of `SemiRealConfig`, as ``realizations=4``; they replace those of ``config``.

    Returns
    -------
    PairSet
        Both stamps are centered on the same position, the pixel (or corner) of the deep image that is nearest to the
        galaxy, so that the target is not resampled. The PSF is kept with the input, and with the target where a field
        has a PSF. The catalog has ``ra``, ``dec``, ``field``, ``x``, ``y`` (pixel of the deep image), the measurements
        of `~astro_galtrans.images.detect_galaxies`, ``target_mag`` (AB within 2 arcsec, one per band), ``target_good``
        and ``input_good`` (fraction of good pixels), and in its ``meta`` the number of galaxies that were dropped.

    Raises
    ------
    ValueError
        If no galaxy is left, or for the reasons of `degrade`.
    TypeError
        If a setting is unknown.

    Notes
    -----
    The noise of the deep images that is left is measured on the blank sky of each degraded field, as stacks have
    correlated noise; only the difference from the sky noise of the survey is added.
    """
    config = configured(SemiRealConfig, config, settings, function=semi_real_pairs)
    seed, input_size = whole_number(seed, "seed"), whole_number(input_size, "input_size", 1)
    if overwrite and path is None:
        raise ValueError("overwrite has no effect without path, got overwrite=True")
    cubes = list(images) if isinstance(images, (list, tuple)) else [images]
    if not cubes:
        raise ValueError("images must have at least one field")
    each = isinstance(config.psf, (list, tuple)) and len(config.psf) == len(cubes)
    psfs = config.psf if each else [config.psf] * len(cubes)
    survey = get_survey(survey)
    detection = {"band": band, "max_magnitude": max_magnitude, "extended_only": config.extended_only,
                 **(config.detection or {})}
    deep = [_Field(number, cube, survey, input_size, replace(config, psf=psf), detection)
            for number, (cube, psf) in enumerate(zip(cubes, psfs))]
    if len({field.cube.survey.band_names for field in deep}) > 1:
        raise ValueError("images must have the same bands in every field")
    total = config.realizations * sum(len(field.table) for field in deep)
    if total == 0:
        raise ValueError(f"images must have galaxies that can be used; dropped were {[one.dropped for one in deep]}")
    surveys = {"input": deep[0].degrader.survey, "target": deep[0].cube.survey}
    stamps = iter(tqdm(_stamps(deep, seed, config.realizations), desc="degrade", unit="pair", total=total,
                       disable=not progress))
    shapes = _shapes(deep, surveys)
    writer = PairSet.writer(path, total, shapes, surveys, overwrite)
    return collected(writer, _blocks(stamps, shapes, surveys["target"]), partial(_described, deep, config, seed))


class _Stamp(NamedTuple):
    """A stamp for `neighbor_masks`; ``grid`` is the pixel (x, y) of the galaxy, and the matrix of pixels to arcsec."""

    flux: np.ndarray
    weight: np.ndarray
    grid: np.ndarray


class _Field:
    """A deep image, the degrader of its inputs, and the table of its galaxies, detected with some options."""

    def __init__(self, number, image, survey, input_size, config, detection):
        cube = as_band_cube(image)
        if cube.survey is None:
            raise ValueError("images must have a survey, which becomes the target survey of the pairs")
        cube = with_wcs(cube, config.pixel_scale if cube.wcs is None else None)
        self.number, self.config = number, config
        self.cube = _prepared(cube, config.subtract_background)
        own = self.cube.survey.pixel_scale
        if abs(self.cube.pixel_scale / own - 1) > 0.01:
            raise ValueError(f"images must have the pixel scale of their survey, {own}, got {self.cube.pixel_scale}")
        self.target_size = config.target_size or matching_size(input_size, survey.pixel_scale, own)
        middle = self._middle()
        self.noise_left = _remaining_noise(Degrader(middle, survey, config)(middle))
        first = Degrader(self.cube, survey, config, shape=(1, 1), size=(16, 16))
        reach = int(np.ceil(first.scale_ratio * input_size / 2 + 2 * max(first.fwhm_after)))
        self.size = 2 * reach + self.target_size % 2
        self.margin = (self.size - self.target_size) // 2
        self.degrader = Degrader(self.cube, survey, config, shape=(input_size,) * 2, size=(self.size,) * 2)
        self.psfs = {f"{side}_psf": psf_stamp(psf, len(of), psf_side(of)) for side, psf, of in (
            ("input", self.degrader.psf, self.degrader.survey), ("target", self.cube.psf, self.cube.survey))}
        self.mask_bands = {"target": detection["band"], "input": self._input_band(detection["band"])}
        self.dropped = {}
        self.table = self._selected(detect_galaxies(self.cube, **detection))

    def _selected(self, table):
        """Return the galaxies whose stamps are on good pixels, and count the others."""
        table["number"] = np.arange(len(table))
        brightest = -np.inf if self.config.min_magnitude is None else self.config.min_magnitude
        table = self._kept(table, "bright", table["magnitude"] >= brightest)
        if self.config.neighbors == "drop":
            table = self._kept(table, "neighbour", ~table["neighbor"])
        # First pixel of the target stamp; the piece that is degraded has the same center.
        half = (self.target_size - 1) / 2
        table["x0"], table["y0"] = (np.round(np.asarray(table[name]) - half).astype(int) for name in "xy")
        height, width = self.cube.shape[1:]
        inside = (table["x0"] >= self.margin) & (table["y0"] >= self.margin)
        inside &= (table["x0"] + self.target_size + self.margin <= width)
        inside &= (table["y0"] + self.target_size + self.margin <= height)
        table = self._kept(table, "edge", inside)
        good = np.array([self._is_good(row) for row in table], dtype=bool).reshape(len(table))
        return self._kept(table, "bad pixels", good)

    def _kept(self, table, reason, rows):
        """Return the rows to keep, and count the others."""
        self.dropped[reason] = int(np.sum(~rows))
        return table[rows]

    def _input_band(self, band):
        """Return the band of the input that is made from a band, or else its middle one."""
        made_from = {one: name for name, one in self.degrader.pairs.items()}
        names = self.degrader.survey.band_names
        return made_from.get(band, names[len(names) // 2])

    def _is_good(self, row):
        if self.cube.mask is None:
            return True
        piece = self.cube.mask[:, row["y0"]:row["y0"] + self.target_size, row["x0"]:row["x0"] + self.target_size]
        return 1 - piece.mean(axis=(1, 2)).max() > _MIN_GOOD

    def _piece(self, x0, y0, nx, ny):
        """Return a piece of the field from its pixel (x0, y0)."""
        cube, where = self.cube, np.s_[:, y0:y0 + ny, x0:x0 + nx]
        return BandCube(
            cube.data[where], unit=cube.unit, bands=cube.bands, survey=cube.survey, psf=cube.psf,
            wcs=scaled_wcs(cube.wcs, (x0, y0), 1, (ny, nx)), mask=None if cube.mask is None else cube.mask[where],
            uncertainty=type(cube.uncertainty)(cube.uncertainty.array[where]))

    def _middle(self):
        """Return the middle of the field, as large as is needed to measure noise."""
        height, width = self.cube.shape[1:]
        ny, nx = min(height, _NOISE_SIDE), min(width, _NOISE_SIDE)
        return self._piece((width - nx) // 2, (height - ny) // 2, nx, ny)

    def pair(self, row, rng):
        """Return flux, weight and PSF of target and input of one galaxy by name."""
        target = self._piece(row["x0"], row["y0"], self.target_size, self.target_size)
        piece = self._piece(row["x0"] - self.margin, row["y0"] - self.margin, self.size, self.size)
        images = {}
        for side, cube in (("input", self.degrader(piece, rng, self.noise_left)), ("target", target)):
            images[f"{side}_flux"], images[f"{side}_weight"] = flux_and_weight(cube)
        images |= self.psfs
        if self.config.neighbors == "mask":
            self._mask_others(images, row)
        return images

    def _mask_others(self, images, row):
        """Set the weight of other sources to 0."""
        half, scale = (self.target_size - 1) / 2, self.cube.pixel_scale.to_value(u.arcsec)
        away = np.array([row["x"] - row["x0"] - half, row["y"] - row["y0"] - half])
        surveys, stamps = {"input": self.degrader.survey, "target": self.cube.survey}, {}
        for side, ratio in (("input", self.degrader.scale_ratio), ("target", 1.0)):
            flux, weight = images[f"{side}_flux"], images[f"{side}_weight"]
            position = (flux.shape[-1] - 1) / 2 + away / ratio
            stamps[side] = _Stamp(flux, weight, np.array([*position, scale * ratio, 0, 0, scale * ratio]))
        for side, hidden in neighbor_masks(stamps, surveys, self.mask_bands).masks.items():
            if hidden is not None:
                images[f"{side}_weight"][:, hidden] = 0

    def catalog(self, realizations):
        """Return the table of the galaxies with their positions, a row for each realization."""
        table = self.table.copy()
        table["field"] = self.number
        center = (self.target_size - 1) / 2
        sky = self.cube.wcs.pixel_to_world(table["x0"] + center, table["y0"] + center).icrs
        table["ra"], table["dec"] = sky.ra.deg * u.deg, sky.dec.deg * u.deg
        table.meta = {}
        return table[np.repeat(np.arange(len(table)), realizations)]


def _prepared(cube, subtract):
    """Return the field in the unit of its survey without background, with an uncertainty and bad pixels masked."""
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


def _remaining_noise(degraded):
    """Return the standard deviation of the noise in the blank sky of a degraded field, one per band.

    Pixels near sources, which exceed 2.5 standard deviations of the smoothed image in any band, are left out. In a
    field with hardly any blank sky it is the propagated uncertainty.
    """
    bad = np.zeros(degraded.shape, dtype=bool) if degraded.mask is None else degraded.mask
    blank = ~bad.any(axis=0)
    for plane in degraded.data:
        smooth = ndimage.gaussian_filter(np.nan_to_num(plane), 1.5)
        middle = np.median(smooth[blank]) if blank.any() else 0
        below = smooth[blank & (smooth < middle)] - middle  # the lower half has no sources
        scatter = np.sqrt(np.mean(below**2)) if below.size else 0
        blank &= ~ndimage.binary_dilation(smooth > middle + 2.5 * scatter, iterations=3)
    if blank.sum() < _MIN_BLANK:
        return np.array(degraded.meta["degrade"]["noise_left"])
    values = degraded.data[:, blank].astype(float)
    # The rounded factor, where mad_std has more digits, keeps the noise of a seed bitwise identical.
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=1, keepdims=True)), axis=1)


def _stamps(deep, seed, realizations):
    """Yield the images of the pairs one after the other."""
    for field in deep:
        for row in field.table:
            for number in range(realizations):
                yield field.pair(row, np.random.default_rng([seed, field.number, int(row["number"]), number]))


def _blocks(stamps, shapes, survey):
    """Yield blocks of pairs: fractions of good pixels and aperture fluxes as rows, and stacked images."""
    aperture = aperture_weights(shapes["target_flux"][1:], _APERTURE, survey.pixel_scale)[np.newaxis]
    while block := list(islice(stamps, BLOCK)):
        rows = [{"flux": radial_fluxes(images["target_flux"][np.newaxis], aperture)[0, :, 0],
                 **{f"{side}_good": np.mean(images[f"{side}_weight"] > 0) for side in ("input", "target")}}
                for images in block]
        yield rows, {name: np.stack([images[name] for images in block]) for name in shapes}


def _shapes(deep, surveys):
    """Return the shape of each array of images of one pair."""
    sizes = {"input": deep[0].degrader.sampler.new_shape, "target": (deep[0].target_size,) * 2}
    shapes = {f"{side}_{kind}": (len(survey), *sizes[side]) for side, survey in surveys.items()
              for kind in ("flux", "weight")}
    for side, survey in surveys.items():
        if side == "input" or any(field.cube.psf is not None for field in deep):
            shapes[f"{side}_psf"] = (len(survey), psf_side(survey), psf_side(survey))
    return shapes


def _described(deep, config, seed, rows):
    """Return ids and catalog of the pairs."""
    catalog = vstack([field.catalog(config.realizations) for field in deep])
    catalog["realization"] = np.tile(np.arange(config.realizations), len(catalog) // config.realizations)
    names = ("field", "number", "realization") if config.realizations > 1 else ("field", "number")
    catalog.add_column(["-".join(str(row[name]) for name in names) for row in catalog], name="id", index=0)
    catalog.remove_columns(["number", "x0", "y0"])
    catalog.rename_column("neighbor", "neighbour")  # as in the sets of earlier versions
    flux = np.array([row["flux"] for row in rows])
    zero_point = np.array([band.zero_point for band in deep[0].cube.survey])
    catalog["target_mag"] = (zero_point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))) * u.mag
    for name in ("input_good", "target_good"):
        catalog[name] = np.array([row[name] for row in rows])
    catalog.meta["semi_real"] = {
        "seed": seed, "realizations": config.realizations, "dropped": [field.dropped for field in deep],
        "neighbours": config.neighbors, "bands": dict(deep[0].degrader.pairs), "matching": config.matching,
        "fwhm_arcsec": [field.degrader.fwhm_arcsec for field in deep],
        "noise_left": [[float(one) for one in field.noise_left] for field in deep]}
    return {"ids": np.array(catalog["id"]), "redshift": None, "catalog": Table(catalog)}


def split_by_position(
    pairs: PairSet, fractions: Sequence[float], *, axis: Literal["x", "y"] = "x",
) -> tuple[PairSet, ...]:
    """Split a set of pairs into parts from different strips of their fields, which share no galaxy and no pixel.

    A random split would put neighbors, and the same galaxy in two realizations of the noise, on both sides. Here each
    field is cut into strips across one axis, and galaxies whose target stamp crosses a border are left out.

    Parameters
    ----------
    pairs : PairSet
        From `semi_real_pairs`: the catalog must have ``field`` and the pixel of each galaxy.
    fractions : sequence of float
        Fractions of the length of the field, each above 0, at most 1 together.
    axis : {"x", "y"}, optional
        Axis of the deep image that is cut.

    Returns
    -------
    tuple of PairSet

    Raises
    ------
    ValueError
        If the fractions or the catalog are not as described, or a part would be empty.
    """
    if axis not in ("x", "y"):
        raise ValueError(f"axis must be 'x' or 'y', got {axis!r}")
    shares = whole(fractions, "fractions").astype(float)
    if shares.ndim != 1 or not len(shares) or np.any(~(shares > 0)) or shares.sum() > 1 + 1e-9:
        raise ValueError(f"fractions must be above 0 and together at most 1, got {fractions!r}")
    if pairs.catalog is None or not {"field", axis} <= set(pairs.catalog.colnames):
        raise ValueError(f"pairs must have a catalog with columns field and {axis}")
    position, field = np.asarray(pairs.catalog[axis], dtype=float), np.asarray(pairs.catalog["field"])
    reach = pairs.target_flux.shape[-1] / 2 + 0.5
    low, high = position.copy(), position.copy()
    for number in np.unique(field):
        own = field == number
        low[own], high[own] = position[own].min(), position[own].max()
    # A field reaches from the border of its first stamp to that of its last.
    start, length = low - reach, high - low + 2 * reach
    parts, left = [], 0.0
    for share in shares:
        begin, end = start + left * length, start + (left + share) * length
        rows = np.flatnonzero((position - reach >= begin - 1e-6) & (position + reach <= end + 1e-6))
        if not len(rows):
            raise ValueError(f"fractions {list(map(float, shares))} leave a part without galaxies")
        parts.append(pairs.select(rows))
        left += share
    return tuple(parts)
