"""Make a set of pairs from a catalog and the images of two surveys."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NamedTuple, TYPE_CHECKING, TypeAlias

import astropy.units as u
import numpy as np
from astropy.table import Column, Table, vstack
from astropy.utils.decorators import deprecated_renamed_argument

from astro_galtrans._utils.io import path_beside
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.positions import positions_of
from astro_galtrans._utils.validation import configured, whole_number
from astro_galtrans._utils.tables import read_table
from astro_galtrans.pairs._checks import checked_ids, psf_side
from astro_galtrans.pairs._match_astrometry import common_band
from astro_galtrans.pairs._match_catalog import match_one_to_one, read_sources
from astro_galtrans.pairs._match_config import MatchConfig
from astro_galtrans.pairs._match_images import images_of
from astro_galtrans.pairs._match_quality import FLAGS
from astro_galtrans.pairs._match_run import SIDES, Run
from astro_galtrans.pairs._match_sink import MemorySink, disk_sink, write_table
from astro_galtrans.pairs._pairset import PairSet
from astro_galtrans.surveys import get_survey, matching_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astro_galtrans.images import BandCube, FrameSet
    from astro_galtrans.surveys import Survey

    Tile: TypeAlias = Mapping[str, str | PathLike] | str | PathLike | BandCube | FrameSet
    Images: TypeAlias = Tile | Table | Sequence[Tile | Sequence[str | PathLike]]

__all__ = ["match_pairs"]

_DESCRIPTIONS = {
    "row": (None, "row of the catalog, from 0"),
    "flags": (None, "bits, described in the metadata of the table"),
    "field": (None, "row of the table of fields"),
    "offset_east": ("arcsec", "galaxy in the input minus galaxy in the target, after the correction"),
    "offset_north": ("arcsec", "galaxy in the input minus galaxy in the target, after the correction"),
    "target_east": ("arcsec", "centroid in the target minus position"),
    "target_north": ("arcsec", "centroid in the target minus position"),
}
_SIDE_DESCRIPTIONS = {
    "grid": (None, "pixel (x, y) of the position from 0, and pixels to arcsec towards east and north, row by row"),
    "snr": (None, "signal-to-noise ratio of the core of the galaxy in the common band"),
    "background": ("unit", "background around the galaxy in each band"),
    "noise": ("unit", "standard deviation of that background in one pixel"),
    "psf_fwhm": ("arcsec", "FWHM of the PSF in each band"),
    "psf_measured": (None, "whether the FWHM is that of the image's own PSF, not the typical one of the survey"),
    "coverage": (None, "fraction of good pixels"),
}
_FIELD_DESCRIPTIONS = {
    "input": "image of the input", "target": "image of the target", "n_galaxies": "galaxies on both",
    "east": "offset of the input from the target towards east", "north": "the same towards north",
    "error": "standard error of the offset", "scatter": "scatter of the offset from source to source",
    "n": "sources that give the offset", "method": "how the offset was found",
}


@deprecated_renamed_argument("neighbours", "neighbors", "0.2", arg_in_kwargs=True)
@numpy_defaults()
def match_pairs(
    catalog: Table | str | PathLike, input: Images, target: Images, *, input_survey: Survey | str | None = None,
    target_survey: Survey | str | None = None, path: str | PathLike | None = None, input_size: int = 64,
    overwrite: bool = False, resume: bool = False, progress: bool = False, config: MatchConfig | None = None,
    **settings: object,
) -> PairSet:
    """Make pairs of images of the galaxies of a catalog from the images of two surveys.

    Parameters
    ----------
    catalog : `~astropy.table.Table` or path-like
        The galaxies. Right ascension and declination, and if present redshift and its error, name (``id``) and E(B-V),
        are found under their usual names.
    input, target : dict of str to path, path-like, BandCube, FrameSet, Table, or list of these
        The images of each survey. A dict of band to file, a FITS cube, or an image in memory is one tile. A list, a
        folder or a pattern with ``*`` is many tiles; in a list, a list of files is one tile, whose bands are read from
        the headers. A table has one tile in each row, with a column of paths for each band or one column ``path``. A
        path with ``{id}``, with or without ``{band}``, or a dict of such for each band, is one file for each object.
    input_survey, target_survey : str or Survey, optional
        The surveys, if the images do not have them.
    path : path-like, optional
        Zarr folder to write to with little memory; by default the pairs stay in memory. The tables of dropped galaxies
        and of fields are written next to it: ``pairs-dropped.ecsv`` and ``pairs-fields.ecsv`` for ``pairs.zarr``.
    input_size : int, optional
        Side of the input stamps in pixels.
    overwrite : bool, optional
        Whether a set of pairs at ``path`` may be replaced.
    resume : bool, optional
        Whether to resume an interrupted call at ``path``; the same arguments give the same set as an uninterrupted
        call. By default an interrupted set is deleted.
    progress : bool, optional
        Whether to show a progress bar.
    config : MatchConfig, optional
        All other options; by default ``MatchConfig()``.
    **settings
        Fields of `~astro_galtrans.pairs.MatchConfig`, as ``resample="always"``; they replace those of ``config``.

    Returns
    -------
    PairSet
        Its ``catalog`` has the columns of ``catalog`` and the measurements of each pair; ``dropped`` is a table of the
        galaxies without a pair, with ``reason`` and ``detail``, and ``fields`` one of the pairs of tiles with their
        offset. Pairs are in the order of tiles, and within a tile in that of the catalog; column ``row`` is its row.
        If the images have a PSF, ``input_psf`` and ``target_psf`` have it at each galaxy, eight FWHM wide.

    Raises
    ------
    ValueError
        If an argument is wrong, or no galaxy has a pair; the message has the reasons.
    TypeError
        If a keyword is not a field of `MatchConfig`.
    SurveyError
        If the survey of images is not known, or another one.
    OSError
        If files are missing or cannot be written.
    """
    config = configured(MatchConfig, config, settings, function=match_pairs)
    whole_number(input_size, "input_size", 8)
    for name, value in (("resume", resume), ("overwrite", overwrite)):
        if value and path is None:
            raise ValueError(f"{name} has no effect without path, got {name}=True")
    sources = read_sources(catalog, config)
    checked_ids(sources.ids, len(sources.ids))
    counterparts = _counterparts(sources, config)
    images = {"input": images_of(input, "input", input_survey and get_survey(input_survey), config),
              "target": images_of(target, "target", target_survey and get_survey(target_survey), config)}
    candidates = _candidates(sources, images, counterparts)
    if not len(candidates.rows):
        _raise_no_pair(sources, candidates.lost, path)
    surveys = _surveys(images, candidates, sources)
    bands = common_band(surveys, config.band)
    scales = [survey.pixel_scale for survey in surveys.values()]
    sizes = {"input": int(input_size), "target": config.target_size or matching_size(input_size, *scales)}
    if config.max_residual is None:
        wider = max(survey[bands[side]].psf_fwhm for side, survey in surveys.items())
        config = replace(config, max_residual=wider / 2)
    run = Run(sources, images, candidates, surveys, sizes, bands, config)
    with _sink(run, path, overwrite, resume) as sink:
        run.execute(sink, progress)
        kept, dropped = sink.close()
        lost = vstack([candidates.lost, _dropped(sources, dropped)])
        if kept is None:
            sink.discard()
            _raise_no_pair(sources, lost, path)
        _finish(sink.writer, run, kept, counterparts)
        fields = _fields(sink.fields)
        if path is not None:
            write_table(lost, path_beside(path, "dropped.ecsv"))
            write_table(fields, path_beside(path, "fields.ecsv"))
    return sink.writer.pairs(dropped=lost, fields=fields)


class _Counterparts(NamedTuple):
    """The target catalog, and for each galaxy its row or -1 and the separation in arcsec of the nearest."""

    table: Table
    row: np.ndarray
    separation: np.ndarray


class _Candidates(NamedTuple):
    """Galaxies with images in both surveys."""

    rows: np.ndarray
    """Their rows in the catalog, in the order of tiles."""
    tiles: dict[str, np.ndarray]
    """The tile of each, by side."""
    lost: Table
    """The other galaxies, with the reason."""


def _counterparts(sources, config):
    if config.target_catalog is None:
        return None
    table = read_table(config.target_catalog, "target_catalog")
    position = positions_of(table, name="target_catalog")[0]
    row, separation = match_one_to_one(sources.position, position, config.match_radius)
    return _Counterparts(read_sources(table).table, row, separation.to_value(u.arcsec))


def _candidates(sources, images, counterparts):
    tiles = {side: one.assign(sources.position) for side, one in images.items()}
    n = len(sources.ids)
    checks = [(~np.isfinite(sources.position.ra.deg), "no position", "right ascension or declination is missing")]
    separation = np.full(n, np.nan)
    if counterparts is not None:
        separation = counterparts.separation
        checks.append((counterparts.row < 0, "no counterpart", "the nearest of target_catalog is {:.2f} arcsec away"))
    checks += [(tiles[side] < 0, "outside", f"on no image of {side}") for side in SIDES]
    # The first check that fails is the reason.
    failed = np.select([wrong for wrong, _, _ in checks], np.arange(len(checks)), -1)
    rows = np.flatnonzero(failed < 0)
    rows = rows[np.lexsort((rows, tiles["target"][rows], tiles["input"][rows]))]
    lost = [{"row": row, "reason": checks[failed[row]][1], "detail": checks[failed[row]][2].format(separation[row])}
            for row in np.flatnonzero(failed >= 0)]
    columns = {name: np.array([one[name] for one in lost]) for name in ("row", "reason", "detail")} if lost else None
    return _Candidates(rows, {side: tiles[side][rows] for side in SIDES}, _dropped(sources, columns))


def _surveys(images, candidates, sources):
    """Return the survey of each side, from the first image that can be read."""
    surveys = {}
    for side, one in images.items():
        tiles = candidates.tiles[side]
        first = range(min(len(tiles), 100)) if one.are_cutouts else np.sort(np.unique(tiles, return_index=True)[1])
        errors = []
        for number in first:
            try:
                surveys[side] = one.open(int(tiles[number]), sources.ids[candidates.rows[number]]).survey
                break
            except (OSError, ValueError) as error:
                errors.append(error)
        else:
            raise errors[0]
    return surveys


def _sink(run, path, overwrite, resume):
    """Return a sink for the pairs of a run, in memory or on disk."""
    n, shapes = len(run.rows), {}
    for side, survey in run.surveys.items():
        shapes |= dict.fromkeys((f"{side}_flux", f"{side}_weight"), (len(survey), *[run.sizes[side]] * 2))
        shapes[f"{side}_psf"] = (len(survey), *[psf_side(survey)] * 2)
    if path is None:
        return MemorySink(PairSet.writer(None, n, shapes, run.surveys))
    plan = {**_plan(run), "arrays": sorted(shapes)}
    return disk_sink(path, n, shapes, run.surveys, overwrite, PairSet, plan, resume)


def _plan(run):
    """Return what an interrupted set must have in common with the call that resumes it."""
    digest = hashlib.sha256()
    position, ids = run.sources.position, run.sources.ids
    ids = ids if ids.dtype.kind == "U" else ids.astype("U")
    for array in (position.ra.deg, position.dec.deg, run.rows, ids.view("u1")):
        digest.update(np.ascontiguousarray(array).tobytes())
    given = {side: [one.survey.name, *one.survey.band_names, one.fingerprint()] for side, one in run.images.items()}
    config = run.config
    choices = [run.sizes, run.bands, bool(config.correct_astrometry), float(run.search_radius), float(run.max_offset),
               float(run.max_residual), config.resample, config.background, config.neighbors, float(config.min_snr),
               float(config.min_coverage), config.drop]
    return {"catalog": digest.hexdigest(), "choices": list(map(repr, choices)), **given}


def _finish(writer, run, kept, counterparts):
    """Write all that is not images, and remove unused space."""
    for side in SIDES:
        if not kept[f"{side}_psf_measured"].any():
            writer.leave_out(f"{side}_psf")
    rows, sources = kept["row"], run.sources
    writer.shorten(len(rows))
    redshift, error = (None if column is None else column[rows]
                       for column in (sources.redshift, sources.redshift_error))
    writer.finish(sources.ids[rows], redshift, _catalog(run, kept, counterparts), redshift_error=error)


def _dropped(sources, records):
    """Return the table of galaxies without a pair."""
    records = records or {"row": np.empty(0, int), "reason": np.empty(0, "U1"), "detail": np.empty(0, "U1")}
    rows = records["row"]
    return Table([
        Column(rows, "row", description="row of the catalog, from 0"),
        Column(sources.ids[rows], "id", description="id of the catalog"),
        Column(sources.position.ra.deg[rows], "ra", unit=u.deg, description="right ascension (ICRS)"),
        Column(sources.position.dec.deg[rows], "dec", unit=u.deg, description="declination (ICRS)"),
        Column(records["reason"], "reason", description="why there is no pair"),
        Column(records["detail"], "detail", description="what was measured")])


def _raise_no_pair(sources, lost, path):
    """Write the table of dropped galaxies, and raise an error with the reasons."""
    if path is not None:
        write_table(lost, path_beside(path, "dropped.ecsv"))
    reasons, first, counts = np.unique(lost["reason"], return_index=True, return_counts=True)
    reasons = "; ".join(f"{reason} ({count}: {lost['detail'][row]})"
                        for reason, row, count in zip(reasons, first, counts))
    raise ValueError(f"none of the {len(sources.ids)} galaxies has a pair: {reasons}")


def _fields(fields):
    """Return the table of pairs of tiles and their offsets."""
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


def _catalog(run, kept, counterparts):
    """Return the columns of the user, and the measurements of the pairs."""
    rows, surveys, config = kept["row"], run.surveys, run.config
    catalog = run.sources.table[rows]
    catalog.meta.clear()
    if counterparts is not None:
        catalog["target_separation"] = Column(counterparts.separation[rows], unit=u.arcsec)
        for name in counterparts.table.colnames:
            catalog[_free(f"target_{name}", catalog)] = counterparts.table[name][counterparts.row[rows]]
    for name in [name for name in catalog.colnames if name in kept]:
        catalog.rename_column(name, _free(f"catalog_{name}", catalog))
    for name, values in kept.items():
        side, _, kind = name.partition("_")
        unit, description = _DESCRIPTIONS.get(name) or _SIDE_DESCRIPTIONS[kind]
        unit = surveys[side].unit if unit == "unit" else unit
        catalog[name] = Column(values, unit=unit, description=description)
    catalog.meta.update(
        flags=dict(FLAGS), compared_in=run.bands, resample=config.resample, background=config.background,
        neighbors=config.neighbors, bands={side: list(surveys[side].band_names) for side in SIDES})
    return catalog


def _free(name, catalog):
    return name if name not in catalog.colnames else _free(f"{name}_", catalog)
