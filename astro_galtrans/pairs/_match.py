"""From a catalogue and two surveys' images to a set of pairs."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.table import Column, Table, vstack

from astro_galtrans._utils.files import path_beside
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.positions import positions_of
from astro_galtrans._utils.tables import read_table
from astro_galtrans.pairs._checks import checked_ids
from astro_galtrans.pairs._match_astrometry import common_band
from astro_galtrans.pairs._match_catalog import Sources, match_one_to_one, read_sources
from astro_galtrans.pairs._match_images import images_of
from astro_galtrans.pairs._match_quality import FLAGS
from astro_galtrans.pairs._match_run import SIDES, Choices, Run
from astro_galtrans.pairs._match_sink import DiskSink, MemorySink, write_table
from astro_galtrans.pairs._match_stamps import RESAMPLE
from astro_galtrans.pairs._pairset import PairSet
from astro_galtrans.pairs._psf import psf_side
from astro_galtrans.surveys import get_survey, matching_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astropy.units import Quantity

    from astro_galtrans.images import BandCube, FrameSet
    from astro_galtrans.surveys import Survey

__all__ = ["match_pairs"]

_DROP = ("masked_centre", "saturated", "astrometry", "unverified", "misaligned")
_DESCRIPTIONS = {
    "row": (None, "Row of the catalogue, from 0"),
    "flags": (None, "Bits, see the meta data of the table"),
    "field": (None, "Row of the table of fields"),
    "offset_east": ("arcsec", "Galaxy in the input less galaxy in the target, after the correction"),
    "offset_north": ("arcsec", "Galaxy in the input less galaxy in the target, after the correction"),
    "target_east": ("arcsec", "Centroid in the target less position"),
    "target_north": ("arcsec", "Centroid in the target less position"),
}
_FIELD_DESCRIPTIONS = {
    "input": "image of the input", "target": "image of the target", "n_galaxies": "galaxies on both",
    "east": "offset of the input from the target towards east", "north": "the same towards north",
    "error": "standard error of the offset", "scatter": "scatter of the offset from source to source",
    "n": "sources that tell the offset", "method": "how the offset was found",
}
_SIDE_DESCRIPTIONS = {
    "grid": (None, "Pixel (x, y) of the position from 0, and pixels to arcsec towards east and north, row by row"),
    "snr": (None, "Signal-to-noise of the core of the galaxy in the common band"),
    "background": ("unit", "Background around the galaxy in each band"),
    "noise": ("unit", "Standard deviation of that background, one pixel"),
    "psf_fwhm": ("arcsec", "FWHM of the PSF in each band"),
    "psf_measured": (None, "Whether the FWHM is from the image's own PSF, and not typical of the survey"),
    "coverage": (None, "Part of the pixels that are good"),
}


@numpy_defaults()
def match_pairs(
    catalog: Table | str | PathLike,
    input: Mapping[str, str | PathLike] | str | PathLike | BandCube | FrameSet | Table | Sequence[Any],
    target: Mapping[str, str | PathLike] | str | PathLike | BandCube | FrameSet | Table | Sequence[Any], *,
    input_survey: Survey | str | None = None, target_survey: Survey | str | None = None,
    path: str | PathLike | None = None, input_size: int = 64, target_size: int | None = None,
    input_bands: str | Sequence[str] | None = None, target_bands: str | Sequence[str] | None = None,
    ra: str | None = None, dec: str | None = None, unit: Any = None, redshift: str | None = None, id: str | None = None,
    target_catalog: Table | str | PathLike | None = None, match_radius: Quantity = 1 * u.arcsec,
    band: str | None = None, correct_astrometry: bool = True, search_radius: Quantity = 60 * u.arcsec,
    max_offset: Quantity = 3 * u.arcsec, max_residual: Quantity | None = None,
    resample: Literal["auto", "always", "never"] = "auto",
    background: Literal["measure", "subtract"] | None = "measure", neighbours: Literal["flag", "mask"] | None = "flag",
    min_snr: float = 5.0, min_coverage: float = 0.9, drop: Sequence[str] = _DROP,
    input_options: dict[str, Any] | None = None, target_options: dict[str, Any] | None = None, max_open: int = 2,
    overwrite: bool = False, resume: bool = False, progress: bool = False,
) -> PairSet:
    """Make pairs of images of the galaxies of a catalogue from two surveys' images.

    Parameters
    ----------
    catalog : `~astropy.table.Table` or path-like
        The galaxies. Right ascension and declination, and if they are there redshift and its error, name (``id``) and
        E(B-V), are found under their usual names.
    input, target : dict of str to path, path-like, BandCube, FrameSet, Table, or list of these
        The images of each survey. A dict of band to file, a FITS cube, or an image in memory is one tile; a list, a
        folder or a pattern with ``*`` is many, and in a list one tile may be a list of files whose headers tell their
        bands; a table has a tile a row, with a column of paths for each band or one column ``path``. A path with
        ``{id}``, with or without ``{band}``, or a dict of such for each band, is a file for each object.
    input_survey, target_survey : str or Survey, optional
        The surveys, where the images do not tell.
    path : path-like, optional
        Zarr folder to write to, with little memory; without it the pairs stay in memory. What was dropped is written
        beside it: ``pairs-dropped.ecsv`` and ``pairs-fields.ecsv`` for ``pairs.zarr``.
    input_size, target_size : int, optional
        Sides of the stamps in pixels; the target's by default that of `~astro_galtrans.surveys.matching_size`.
    input_bands, target_bands : str or sequence of str, optional
        Bands to take; all that there are by default.
    ra, dec, redshift, id : str, optional
        Columns of ``catalog``, where they are not found by themselves.
    unit : unit or tuple of two, optional
        Of right ascension and declination; by default the columns' own, or degrees. Text with separators, as
        ``"10:30:00"``, is hours of right ascension and degrees of declination.
    target_catalog : `~astropy.table.Table` or path-like, optional
        A catalogue of the target survey. Only galaxies with a counterpart in it are taken, one to one
        (`~astro_galtrans.pairs.match_one_to_one`); its columns are kept with ``target_`` before their names.
    match_radius : `~astropy.units.Quantity`, optional
        For the counterpart.
    band : str, optional
        The band in which the surveys are compared; by default the one that is most alike in both.
    correct_astrometry : bool, optional
        Whether the offset between the images of a field is corrected: the input is cut around the position that the
        galaxies have there. The target's astrometry is taken to be right.
    search_radius : `~astropy.units.Quantity`, optional
        Largest offset between two images that is looked for.
    max_offset : `~astropy.units.Quantity`, optional
        Largest offset of a field that is corrected; the galaxies of one with a larger offset have the flag
        ``astrometry``.
    max_residual : `~astropy.units.Quantity`, optional
        How far a galaxy may be apart in the two images after the correction; by default half the FWHM of the wider
        PSF.
    resample : {"auto", "always", "never"}, optional
        Whether a target stamp is put onto the grid of its input stamp, with the target's pixel scale. "auto" does so
        only where a stamp would else not lie within half a pixel of it, after quarter turns and mirroring.
    background : {"measure", "subtract"} or None, optional
        What is done with the background around each galaxy.
    neighbours : {"flag", "mask"} or None, optional
        Whether other sources in the stamp are looked for, and their pixels given weight 0 in both surveys.
    min_snr : float, optional
        Signal-to-noise of the core of a galaxy below which it is flagged ``low_snr`` and its place not compared.
    min_coverage : float, optional
        Part of a stamp that must be on its image.
    drop : sequence of str, optional
        Flags, of ``astro_galtrans.pairs.FLAGS``, with which a pair is left out.
    input_options, target_options : dict, optional
        Keywords of `~astro_galtrans.images.read_cube` or `~astro_galtrans.images.read_frames`.
    max_open : int, optional
        Tiles of each survey that are kept in memory.
    overwrite : bool, optional
        Whether a set of pairs at ``path`` may be replaced.
    resume : bool, optional
        Whether to go on with a set at ``path`` that was interrupted; the same call gives the same set as an unbroken
        run. Without it, what there was is forgotten.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    PairSet
        Its ``catalog`` has what is known of each pair, with the columns of ``catalog``; ``dropped`` is a table of the
        galaxies without a pair, with ``reason`` and ``detail``, and ``fields`` one of the pairs of tiles with their
        offset. Pairs are in the order of tiles, and in each of the catalogue; column ``row`` is its row. Where the
        images know their PSF, ``input_psf`` and ``target_psf`` have it at the place of each galaxy, eight FWHM wide.

    Raises
    ------
    ValueError
        If an argument is not as said, or no galaxy has a pair; the message has the reasons.
    SurveyError
        If the survey of images is not known, or another one.
    OSError
        If files are missing or cannot be written.
    """
    _check(resample, background, neighbours, drop, path, resume, input_size, target_size, min_coverage)
    if overwrite and path is None:
        raise ValueError("overwrite has no effect without path, got overwrite=True")
    if target_catalog is None and u.Quantity(match_radius) != 1 * u.arcsec:
        raise ValueError(f"match_radius has no effect without target_catalog, got {match_radius}")
    if isinstance(max_open, bool) or not isinstance(max_open, (int, np.integer)) or max_open < 1:
        raise ValueError(f"max_open must be an integer of at least 1, got {max_open!r}")
    sources = read_sources(catalog, ra=ra, dec=dec, unit=unit, redshift=redshift, id=id)
    checked_ids(sources.ids, len(sources.ids))
    counterpart = _counterparts(sources, target_catalog, match_radius)
    given = {"input": (input, input_survey, input_bands, input_options),
             "target": (target, target_survey, target_bands, target_options)}
    images = {side: images_of(one, side, None if survey is None else get_survey(survey), bands, options, max_open)
              for side, (one, survey, bands, options) in given.items()}
    rows, tiles, lost = _candidates(sources, images, counterpart)
    if not len(rows):
        return _refused(sources, lost, path)
    surveys = _surveys(images, tiles, sources, rows)
    scales = {side: survey.pixel_scale for side, survey in surveys.items()}
    sizes = {"input": int(input_size), "target": int(target_size or matching_size(input_size, *scales.values()))}
    bands = common_band(surveys, band)
    wider = max(survey[bands[side]].psf_fwhm for side, survey in surveys.items())
    search, offset, residual = (u.Quantity(angle).to_value(u.arcsec) for angle in (
        search_radius, max_offset, wider / 2 if max_residual is None else max_residual))
    choices = Choices(sizes, bands, bool(correct_astrometry), search, offset, residual, resample, background,
                      neighbours, float(min_snr), float(min_coverage), tuple(drop))
    run = Run(sources, images, rows, tiles, surveys, choices)
    sides = {f"{side}_{kind}": (side, psf_side(surveys[side]) if kind == "psf" else sizes[side])
             for side in SIDES for kind in ("flux", "weight", "psf")}
    sink = MemorySink() if path is None else DiskSink(
        path, len(rows), {name: (len(surveys[side]), n, n) for name, (side, n) in sides.items()},
        surveys, overwrite, {**_plan(sources, rows, images, choices), "arrays": sorted(sides)}, resume)
    with sink:
        run.go(sink, progress)
        kept, dropped = sink.close()
        lost = vstack([lost, _dropped(sources, dropped)])
        fields = _fields(sink.fields)
        if kept is None:
            if isinstance(sink, DiskSink):
                sink.discard()
            return _refused(sources, lost, path)
        for side in SIDES:
            if not kept[f"{side}_psf_measured"].any():
                sink.leave_out(f"{side}_psf")
        catalog = _catalog(sources, kept, surveys, choices, counterpart)
        parts = {"ids": sources.ids[kept["row"]], "catalog": catalog, **{
            name: None if column is None else column[kept["row"]]
            for name, column in (("redshift", sources.redshift), ("redshift_error", sources.redshift_error))}}
        if isinstance(sink, MemorySink):
            pairs = PairSet(sink.arrays(), **parts, input_survey=surveys["input"], target_survey=surveys["target"])
        else:
            sink.shorten()
            sink.finish(parts["ids"], parts["redshift"], catalog, redshift_error=parts["redshift_error"])
            for kind, table in (("dropped", lost), ("fields", fields)):
                write_table(table, path_beside(path, f"{kind}.ecsv"))
    if path is not None:
        pairs = PairSet.open(path)
    pairs.dropped, pairs.fields = lost, fields
    return pairs


def _check(resample, background, neighbours, drop, path, resume, input_size, target_size, min_coverage):
    for name, value, known in (("resample", resample, RESAMPLE), ("neighbours", neighbours, ("flag", "mask", None)),
                               ("background", background, ("measure", "subtract", None))):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    unknown = [drop] if isinstance(drop, str) else [name for name in drop if name not in FLAGS]
    if unknown:
        raise ValueError(f"drop must be a sequence of {', '.join(FLAGS)}, got {', '.join(map(repr, unknown))}")
    if resume and path is None:
        raise ValueError("resume goes with path: pairs in memory are gone when they are interrupted")
    for name, size in (("input_size", input_size), ("target_size", target_size)):
        if size is not None and (isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 8):
            raise ValueError(f"{name} must be an integer of at least 8, got {size!r}")
    if not 0 <= min_coverage <= 1:
        raise ValueError(f"min_coverage must be from 0 to 1, got {min_coverage!r}")


def _counterparts(sources, target_catalog, radius):
    """Table of the target survey's catalogue with the row for each galaxy, and the separation; or None."""
    if target_catalog is None:
        return None
    table = read_table(target_catalog, "target_catalog")
    other = read_sources(table) if "id" in table.colnames else Sources(
        positions_of(table, name="target_catalog")[0], None, None, None, read_sources(table).table)
    return other.table, *match_one_to_one(sources.position, other.position, radius)


def _candidates(sources, images, counterpart):
    """Rows that have images in both surveys, in the order of tiles, their tiles, and a table of the others."""
    tiles = {side: one.assign(sources.position) for side, one in images.items()}
    apart = np.full(len(sources.ids), np.nan) if counterpart is None else counterpart[2].to_value(u.arcsec)
    checks = [  # in the order in which they count
        (~np.isfinite(sources.position.ra.deg), "no position", "right ascension or declination is missing"),
        (False if counterpart is None else counterpart[1] < 0, "no counterpart",
         "the nearest of the target's catalogue is {:.2f} arcsec away"),
        *((tiles[side] < 0, "outside", f"on no image of {side}") for side in SIDES)]
    failed = np.zeros(len(sources.ids), dtype=np.int8)
    for number, (wrong, _, _) in enumerate(checks, start=1):
        failed[wrong & (failed == 0)] = number
    rows, lost = np.flatnonzero(failed == 0), np.flatnonzero(failed)
    rows = rows[np.lexsort((rows, tiles["target"][rows], tiles["input"][rows]))]
    told = [checks[number - 1][1:] for number in failed[lost]]
    lost = _dropped(sources, {"row": lost, "reason": np.array([reason for reason, _ in told]), "detail": np.array(
        [detail.format(apart[row]) for row, (_, detail) in zip(lost, told)])} if len(lost) else None)
    return rows, {side: tiles[side][rows] for side in SIDES}, lost


def _surveys(images, tiles, sources, rows):
    """The survey of each side, from the first image that can be read."""
    surveys = {}
    for side, one in images.items():
        first, error = np.unique(tiles[side], return_index=True)[1], None
        tries = range(min(len(rows), 100)) if one.are_cutouts else np.sort(first)
        for candidate in tries:
            try:
                surveys[side] = one.open(int(tiles[side][candidate]), sources.ids[rows[candidate]]).survey
                break
            except (OSError, ValueError) as failed:
                error = error or failed
        else:
            raise error
        one.survey, one.bands = surveys[side], surveys[side].band_names
    return surveys


def _plan(sources, rows, images, choices):
    """What an unfinished set must have in common with the call that goes on with it."""
    digest = hashlib.sha256()
    for array in (sources.position.ra.deg, sources.position.dec.deg, rows, sources.ids.astype("U").view("u1")
                  if sources.ids.dtype.kind != "U" else sources.ids.view("u1")):
        digest.update(np.ascontiguousarray(array).tobytes())
    given = {side: [one.survey.name, *one.survey.band_names, one.told()] for side, one in images.items()}
    return {"catalog": digest.hexdigest(), "choices": list(map(repr, choices)), **given}


def _dropped(sources, records):
    """The table of galaxies without a pair."""
    records = records or {"row": np.empty(0, int), "reason": np.empty(0, "U1"), "detail": np.empty(0, "U1")}
    rows = records["row"]
    return Table([
        Column(rows, "row", description="row of the catalog, from 0"),
        Column(sources.ids[rows], "id", description="id of the catalog"),
        Column(sources.position.ra.deg[rows], "ra", unit=u.deg, description="right ascension (ICRS)"),
        Column(sources.position.dec.deg[rows], "dec", unit=u.deg, description="declination (ICRS)"),
        Column(records["reason"], "reason", description="why there is no pair"),
        Column(records["detail"], "detail", description="what was measured")])


def _refused(sources, lost, path):
    """No pair at all: what was dropped is written, and the error says why."""
    if path is not None:
        write_table(lost, path_beside(path, "dropped.ecsv"))
    reasons, first, counts = np.unique(lost["reason"], return_index=True, return_counts=True)
    told = "; ".join(f"{reason} ({count}: {lost['detail'][row]})" for reason, row, count in zip(reasons, first, counts))
    raise ValueError(f"none of the {len(sources.ids)} galaxies has a pair: {told}")


def _fields(fields):
    """The table of pairs of tiles and of how far they are apart."""
    rows = [fields[number] for number in sorted(fields)]
    table = Table({side: [row[side] for row in rows] for side in SIDES})
    table["n_galaxies"] = [row["n_galaxies"] for row in rows]
    for name in ("east", "north", "error", "scatter"):
        table[name] = Column([row["offset"][name] for row in rows], unit=u.arcsec, dtype=float)
    for name in ("n", "method"):
        table[name] = [row["offset"][name] for row in rows]
    for name, description in _FIELD_DESCRIPTIONS.items():
        table[name].description = description
    return table


def _catalog(sources, kept, surveys, choices, counterpart):
    """The columns of the user, and those of the pairs."""
    rows = kept["row"]
    catalog = sources.table[rows]
    catalog.meta.clear()
    if counterpart is not None:
        other, index, separation = counterpart
        catalog["target_separation"] = Column(separation[rows].to_value(u.arcsec), unit=u.arcsec)
        for name in other.colnames:
            catalog[_free(f"target_{name}", catalog)] = other[name][index[rows]]
    taken = [name for name in catalog.colnames if name in kept]
    for name in taken:
        catalog.rename_column(name, _free(f"catalog_{name}", catalog))
    for name, values in kept.items():
        side, _, what = name.partition("_")
        unit, told = _DESCRIPTIONS.get(name) or _SIDE_DESCRIPTIONS[what]
        unit = surveys[side].unit if unit == "unit" else unit
        catalog[name] = Column(values, unit=unit, description=told)
    catalog.meta.update(
        flags=dict(FLAGS), compared_in=choices.bands, resample=choices.resample, background=choices.background,
        neighbours=choices.neighbours, bands={side: list(surveys[side].band_names) for side in SIDES})
    return catalog


def _free(name, catalog):
    return name if name not in catalog.colnames else _free(f"{name}_", catalog)
