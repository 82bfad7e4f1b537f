"""Translate every galaxy of a field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table

from astro_galtrans._utils.files import listed_files
from astro_galtrans._utils.io import check_result_folder, check_space, whole_folder
from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.positions import positions_of
from astro_galtrans._utils.validation import configured, whole_number
from astro_galtrans._utils.tables import read_table
from astro_galtrans._utils.torch_state import on_device
from astro_galtrans.evaluation import contact_sheet
from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.field._conditions import COLUMNS, CatalogConditions
from astro_galtrans.field._config import FieldConfig, check_translation
from astro_galtrans.field._files import cube_bytes
from astro_galtrans.field._galaxies import FieldRun
from astro_galtrans.images import BandCube, FrameSet, detect_galaxies, read_frames

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astro_galtrans.translation import Translator

__all__ = ["frame_files", "read_sources", "translate_field"]

_CATALOG_FILE = "catalog.ecsv"
_SHEET_COLUMNS = 5
_SHEET_BYTES = 100_000  # of a galaxy on the contact sheet


def translate_field(
    translator: Translator,
    frames: FrameSet | BandCube | Mapping[str, str | PathLike] | Sequence[str | PathLike] | str | PathLike,
    out: str | PathLike, *, catalog: Table | str | PathLike | None = None, size: int = 64, overwrite: bool = False,
    progress: bool = False, config: FieldConfig | None = None, **settings: object,
) -> Table:
    """Detect the galaxies of a field, or take those of a catalog, and translate each of them.

    Parameters
    ----------
    translator : Translator
        Trained translator.
    frames : FrameSet, BandCube, dict of str to path, list of path, or path
        The field in the bands of the translator's input survey. A path is a folder of FITS files, a pattern with
        wildcards, or one file; the bands of SDSS corrected frames are read from their headers.
    out : path-like
        Folder to create. It appears when everything in it is complete.
    catalog : `~astropy.table.Table` or path, optional
        Sources with ``ra`` and ``dec``, or columns under another usual name, as for
        `~astro_galtrans.pairs.match_pairs`, and if known ``saturated`` (bool; such sources are not translated). For a
        translator that is conditioned on them also ``redshift``, with ``redshift_error`` if there is one (NaN or
        masked if unknown), or ``spectrum``, paths of files that `~astro_galtrans.spectra.read_spectrum` reads (empty or
        masked if there is none, and relative to the folder of the catalog). Other columns are kept. By default galaxies
        are detected.
    size : int, optional
        Side of the cutouts in input pixels.
    overwrite : bool, optional
        Whether an earlier translation of a field may be replaced.
    progress : bool, optional
        Whether to show a progress bar.
    config : FieldConfig, optional
        Options of detection, apertures, contact sheet and sampling; by default ``FieldConfig()``.
    **settings
        Fields of `~astro_galtrans.field.FieldConfig`, as ``max_magnitude=19``; they replace those of ``config``.

    Returns
    -------
    `~astropy.table.Table`
        One row for each source, also if it was not translated: ``number`` (from 1), the columns of the detection or
        the catalog, ``status`` ("translated" or "dropped"), ``reason``, ``file``, ``coverage`` (fraction of good
        pixels), ``condition`` (metadata that a conditioned translator used: "redshift", "spectrum" or "none"), and for
        input and translation the aperture magnitudes (AB) and colors with their errors, as ``input_r_2arcsec``,
        ``translated_g_r_4arcsec`` and ``translated_g_r_4arcsec_error``, NaN if an aperture touches bad pixels, and
        ``input_concentration``, ``input_asymmetry``, ``input_axis_ratio`` and so on, measured in r, otherwise the
        middle band, without correction for the PSF. Each column has a description, and a unit if it has one. The errors
        of a translation assume that its neighboring pixels are correlated; :ref:`real-field` shows how accurate they
        are. The table is also in the folder, as ``catalog.ecsv``, with the FITS cubes in ``cubes`` and
        ``contact_sheet.png``.

    Raises
    ------
    OSError
        If the folder exists (FileExistsError), cannot be created, or the disk has too little space.
    BandMismatchError, SurveyError, FileFormatError
        If the frames do not fit the translator or cannot be read.
    ValueError, TypeError
        If an argument is wrong, there is no galaxy, or none of them can be translated.
    """
    config = configured(FieldConfig, config, settings, function=translate_field)
    check_translation(translator, config)
    whole_number(size, "size", 8)
    if config.max_sheet:
        optional("matplotlib")
    if catalog is None:  # raises an error before the detection if a catalog is needed
        conditions = CatalogConditions(translator, Table(), detected=True)
    else:
        _check_no_detection(config)
    out = check_result_folder(out, overwrite, _CATALOG_FILE)
    with whole_folder(out) as folder, on_device(translator, config.device):
        frames = _open_frames(frames, translator.input_survey, config.read_config)
        if catalog is None:
            sources = _detect(frames, config)
        else:
            sources = read_sources(catalog)
            conditions = CatalogConditions(translator, sources, _folder_of(catalog))
        target_size = translator.target_size((size, size))
        check_space(out.parent, len(sources) * (cube_bytes(translator.target_survey, target_size) + _SHEET_BYTES))
        run = FieldRun(translator, frames, folder, sources, conditions, int(size), config)
        run.translate_all(progress, _excluded(sources, config if catalog is None else None))
        table = run.table
        table.meta = {"galtrans": {
            **translator.describe(), "size": int(size), "detected": catalog is None,
            "conditioning": translator.conditioning, **_sampling_provenance(translator, config),
            "sources": dict(sources.meta),
        }}
        table.write(folder / _CATALOG_FILE, format="ascii.ecsv")
        if config.max_sheet:
            title = f"{translator.input_survey.name} to {translator.target_survey.name}: {translator.name}"
            contact_sheet(run.images, folder / "contact_sheet.png", run.labels, title=title,
                          columns=min(_SHEET_COLUMNS, len(run.images)))
    return table


def _check_no_detection(config):
    """Raise ValueError if an option of the detection is set, which a catalog replaces."""
    default = FieldConfig()
    for name in ("band", "min_magnitude", "max_magnitude"):
        value = getattr(config, name)
        if value not in (None, getattr(default, name)):
            raise ValueError(f"{name} is an option of the detection and has no effect with a catalog, got {value!r}")


def _sampling_provenance(translator, config):
    """Return the sampling under the names that translated images have."""
    if not translator.network.generative:
        return {}
    return {"n_samples": int(config.n_samples or 1), "sampling_seed": int(config.seed or 0),
            "sampling_steps": int(config.n_steps or translator.network.backbone.sampling_steps)}


def _folder_of(catalog):
    """Return the folder of relative paths in a catalog."""
    return Path(catalog).parent if isinstance(catalog, (str, Path)) else Path()


def _open_frames(frames, survey, config):
    """Return frames as a FrameSet or BandCube of a survey, with its bands and no others."""
    if isinstance(frames, (FrameSet, BandCube)):
        return _of_survey(frames, survey)
    if isinstance(frames, (str, Path)):
        frames = frame_files(frames)
    if isinstance(frames, (list, tuple)) and len(frames) == 0:
        raise ValueError("frames must name at least one file, got none")
    if not isinstance(frames, (list, tuple, dict)):
        raise TypeError(
            "frames must be a FrameSet, a BandCube, a dict of band to path, a list of paths, a folder or a pattern, "
            f"got {type(frames).__name__}")
    return read_frames(frames, survey, bands=survey.band_names, config=config)


def frame_files(where):
    """Return the FITS files in a folder or of a pattern; of a folder with SDSS corrected frames, only these."""
    files = listed_files(where)
    return [file for file in files if file.name.startswith("frame-")] or files if Path(where).is_dir() else files


def _of_survey(frames, survey):
    if frames.survey is not None and frames.survey.name.lower() != survey.name.lower():
        raise SurveyError(f"frames are of survey {frames.survey.name}, the translator takes {survey.name}")
    missing = [band for band in survey.band_names if band not in frames.bands]
    if missing:
        raise BandMismatchError(f"frames lack band {', '.join(missing)}; there are {', '.join(frames.bands)}")
    if frames.wcs is None:
        raise ValueError("frames have no WCS, which is needed for the positions of sources")
    if isinstance(frames, BandCube):
        cube = frames if frames.bands == survey.band_names else frames.select_bands(survey.band_names)
        return cube if cube.survey is not None else BandCube(cube, bands=cube.bands, survey=survey)
    return FrameSet({band: frames[band] for band in survey.band_names}, survey)


def _detect(frames, config):
    """Return the table of galaxies and saturated stars that are detected; ValueError if there are none."""
    band = config.band
    if band is None:
        band = "r" if "r" in frames.bands else frames.bands[len(frames.bands) // 2]
    sources = detect_galaxies(frames, band, max_magnitude=config.max_magnitude)
    if config.extended_only:
        sources = sources[sources["extended"] | sources["saturated"]]
    if len(sources) == 0:
        kind = "extended source" if config.extended_only else "source"
        limit = "" if config.max_magnitude is None else f" brighter than {band} = {config.max_magnitude:g}"
        raise ValueError(f"no {kind}{limit} was found in the field")
    sources.meta.update({name: getattr(config, name) for name in ("min_magnitude", "max_magnitude", "extended_only")})
    return sources


def read_sources(catalog):
    """Return a catalog as a new table with ``ra`` and ``dec`` in degrees and all its other columns."""
    table = Table(read_table(catalog), copy=True)
    if len(table) == 0:
        raise ValueError("catalog has no row")
    position, found = positions_of(table)
    names = {name.lower(): name for name in table.colnames}
    for name, values in (("ra", position.ra.deg), ("dec", position.dec.deg)):
        if names.get(name, name) != name:
            table.remove_column(names[name])
        table[name] = values
    table.remove_columns([name for name in found if name in table.colnames and name not in ("ra", "dec")])
    for name in COLUMNS:
        if names.get(name, name) != name:
            table.rename_column(names[name], name)
    return table


def _excluded(sources, detection):
    """Return for each source the reason why it is not translated, or an empty text."""
    reasons = np.full(len(sources), "", dtype=object)
    if detection is not None and detection.min_magnitude is not None:
        bright = np.asarray(sources["magnitude"]) < detection.min_magnitude
        reasons[bright] = "so bright that a star would be saturated"
    if "saturated" in sources.colnames and sources["saturated"].dtype == bool:
        reasons[np.ma.filled(sources["saturated"], False)] = "saturated"
    return reasons
