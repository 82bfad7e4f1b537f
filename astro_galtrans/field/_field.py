"""Every galaxy of a real field through a translator."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.table import Column, Table

from astro_galtrans.evaluation import contact_sheet
from astro_galtrans._utils.optional import optional
from astro_galtrans.field._conditions import CatalogConditions
from astro_galtrans.field._galaxies import FieldRun
from astro_galtrans.field._inputs import detected, listed, open_frames
from astro_galtrans.field._output import check_space, cube_bytes, whole_folder
from astro_galtrans.field._photometry import CORRELATION_LENGTH, MORPHOLOGY, colors_of, column_names, shape_band
from astro_galtrans.translation import Translator
from astro_galtrans.translation._arrays import check_allowed
from astro_galtrans.translation._sampling import checked_sampling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astro_galtrans.images import BandCube, FrameSet

__all__ = ["translate_field"]

_SHEET_COLUMNS = 5
_SHEET_BYTES = 100_000  # a galaxy on the contact sheet


def translate_field(
    translator: Translator,
    frames: FrameSet | BandCube | Mapping[str, str | PathLike] | Sequence[str | PathLike] | str | PathLike,
    out: str | PathLike, *, catalog: Table | str | PathLike | None = None, size: int = 64, band: str | None = None,
    min_magnitude: float | None = 14.5, max_magnitude: float | None = 20.5, extended_only: bool = True,
    radii: Sequence[float] = (2.0, 4.0), min_coverage: float = 0.5, max_sheet: int = 100, n_samples: int | None = None,
    seed: int | None = None, n_steps: int | None = None, allow_missing: bool = False, overwrite: bool = False,
    device: str | None = None, progress: bool = False,
) -> Table:
    """Find the galaxies of a field, or take those of a catalogue, and translate each of them.

    Parameters
    ----------
    translator : Translator
        Trained translator.
    frames : FrameSet, BandCube, dict of str to path, list of path, or path
        The field in the bands of the translator's input survey. A path is a folder of FITS files, a pattern with wild
        cards, or one file; the bands of SDSS corrected frames are known by their headers.
    out : path-like
        Folder to make. It appears once everything in it is complete.
    catalog : `~astropy.table.Table` or path, optional
        Sources with ``ra`` and ``dec``, or columns under another usual name, as for
        `~astro_galtrans.pairs.match_pairs`, and if known ``saturated`` (bool; such sources are not translated). For a
        translator that is conditioned on them also ``redshift``, with ``redshift_error`` if there is one (NaN or
        masked where not known), or ``spectrum``, paths of files that `~astro_galtrans.spectra.read_spectrum` reads
        (empty or masked where there is none; relative ones begin at the folder of the catalog). Other columns are kept.
        Without it, galaxies are detected.
    size : int, optional
        Side of the cutouts in input pixels.
    band : str, optional
        Band in which sources are detected: "r", or else the middle one.
    min_magnitude, max_magnitude : float or None, optional
        Limits of the magnitudes of the galaxies that are detected. Sources brighter than the first are listed and not
        translated, as a star would be saturated, in SDSS from about r = 14 on.
    extended_only : bool, optional
        Leave out stars when detecting. Saturated stars are listed and not translated.
    radii : sequence of float, optional
        Radii of the apertures in arcsec.
    min_coverage : float, optional
        Least share of good pixels of a cutout, over all bands. Pixels beyond the edge of the field are bad.
    max_sheet : int, optional
        Largest number of galaxies on the contact sheet, which takes the first of them; 0 for no sheet.
    n_samples, seed, n_steps : int, optional
        How a generative translator is sampled from; see `~astro_galtrans.translation.Translator`.
    allow_missing : bool, optional
        Whether to translate sources of which a band, or the middle of one, has no data; see
        `~astro_galtrans.translation.Translator`. By default they are dropped, with the reason in the table.
    overwrite : bool, optional
        Whether a field translated before may be replaced.
    device : str, optional
        Where to compute.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    `~astropy.table.Table`
        A row a source, also of those that were not translated: ``number`` (from 1), the columns of the detection or
        the catalogue, ``status`` ("translated" or "dropped"), ``reason``, ``file``, ``coverage`` (share of good
        pixels), ``condition`` (what a conditioned translator was told: "redshift", "spectrum" or "none"), and for input
        and translation the aperture magnitudes (AB) and colors with their errors, as ``input_r_2arcsec``,
        ``translated_g_r_4arcsec`` and ``translated_g_r_4arcsec_error``, NaN where an aperture touches bad pixels, and
        ``input_concentration``, ``input_asymmetry``, ``input_axis_ratio`` and so on, measured in r, or else the middle
        band, on the image as the PSF leaves it. Each column has a description, and a unit where it has one. The errors
        of a translation take its neighboring pixels as correlated; how well they hold is in :ref:`real-field`. The
        table is also in the folder, as ``catalog.ecsv``, beside ``cubes`` with a FITS cube for each galaxy and
        ``contact_sheet.png``.

    Raises
    ------
    OSError
        If the folder is there already (FileExistsError), cannot be made, or the disk has too little space.
    BandMismatchError, SurveyError, FileFormatError
        If the frames do not fit the translator or cannot be read.
    ValueError, TypeError
        If an argument is not as said, there is no galaxy, or none of them can be translated.
    """
    _check(translator, size, radii, min_coverage, max_sheet)
    if catalog is not None:
        _check_detection(band, min_magnitude, max_magnitude)
    sampling = checked_sampling(translator, n_samples, seed, n_steps)
    check_allowed(translator, allow_missing)
    conditions = None
    if catalog is None:  # whether it can do without, before the work of detecting
        conditions = CatalogConditions(translator, Table(), ".", detected=True)
    with whole_folder(out, overwrite, "catalog.ecsv") as folder:
        frames = open_frames(frames, translator.input_survey)
        if catalog is None:
            band = _band(frames, band)
            sources = detected(frames, band, max_magnitude, extended_only)
            sources.meta.update(min_magnitude=min_magnitude, max_magnitude=max_magnitude, extended_only=extended_only)
        else:
            sources = listed(catalog)
            conditions = CatalogConditions(translator, sources, _folder(catalog), detected=False)
        target_size = translator.target_size((size, size))
        check_space(folder, len(sources) * (cube_bytes(translator.target_survey, target_size) + _SHEET_BYTES))
        if device is not None:
            translator.to(device)
        table = _output_table(sources, translator, radii)
        run = FieldRun(translator, frames, folder, table, conditions, sampling, size, radii, min_coverage, max_sheet,
                       allow_missing)
        if catalog is None and min_magnitude is not None:
            run.too_bright = np.asarray(sources["magnitude"]) < min_magnitude
        if "saturated" in sources.colnames and sources["saturated"].dtype == bool:
            run.saturated = np.ma.filled(sources["saturated"], False)
        run.translate_all(progress)
        table.meta = {"galtrans": {
            **translator.describe(), "size": int(size), "detected": catalog is None,
            "conditioning": translator.conditioning, **_provenance(translator, sampling), "sources": dict(sources.meta),
        }}
        table.write(folder / "catalog.ecsv", format="ascii.ecsv")
        if max_sheet:
            columns = min(_SHEET_COLUMNS, len(run.pictures))
            contact_sheet(run.pictures, folder / "contact_sheet.png", run.labels, columns=columns,
                          title=f"{translator.input_survey.name} to {translator.target_survey.name}: {translator.name}")
    return table


def _provenance(translator, sampling):
    """By the names that translated images have them."""
    if sampling is None:
        return {}
    steps = sampling.n_steps or translator.network.backbone.sampling_steps
    return {"n_samples": sampling.n_samples, "sampling_seed": sampling.seed, "sampling_steps": steps}


def _folder(catalog):
    """Where relative paths in a catalogue begin."""
    return Path(catalog).parent if isinstance(catalog, (str, Path)) else Path()


def _check(translator, size, radii, min_coverage, max_sheet):
    if not isinstance(translator, Translator):
        raise TypeError(f"translator must be a Translator, got {type(translator).__name__}")
    for name, value, least in (("size", size, 8), ("max_sheet", max_sheet, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an int of at least {least}, got {value!r}")
    if len(radii) == 0 or not all(0 < radius < np.inf for radius in radii):
        raise ValueError(f"radii must be at least one positive number of arcsec, got {radii!r}")
    if not 0 <= min_coverage <= 1:
        raise ValueError(f"min_coverage must be between 0 and 1, got {min_coverage!r}")
    if max_sheet:
        optional("matplotlib")


def _check_detection(band, min_magnitude, max_magnitude):
    """Whether nothing was asked of the detection, which a catalog replaces."""
    for name, value, default in (("band", band, None), ("min_magnitude", min_magnitude, 14.5),
                                 ("max_magnitude", max_magnitude, 20.5)):
        if value not in (None, default):
            raise ValueError(f"{name} is of the detection and has no effect with a catalog, got {value!r}")


def _band(frames, band):
    if band is None:
        return "r" if "r" in frames.bands else frames.bands[len(frames.bands) // 2]
    return band


def _output_table(sources, translator, radii):
    """A row a source with its place and whatever else is known of it, and columns to fill."""
    n = len(sources)
    table = Table({"number": Column(np.arange(1, n + 1), description="number of the source, from 1")})
    measures = _measures(translator, radii)
    own = {"number", *(column.name for column in measures)}
    for name in ("ra", "dec", *(name for name in sources.colnames if name not in ("ra", "dec"))):
        table[f"catalog_{name}" if name in own else name] = sources[name]
    for name, what in (("ra", "right ascension"), ("dec", "declination")):
        table[name] = Column(np.asarray(sources[name], dtype=float), unit=u.deg, description=f"{what} (ICRS)")
    for column in measures:
        fill = np.nan if column.dtype.kind == "f" else ""
        table[column.name] = Column(np.full(n, fill, column.dtype), unit=column.unit, description=column.description)
    return table


def _measures(translator, radii):
    """The columns that are filled, without rows."""
    columns = [
        Column([], "status", "U10", description="translated or dropped"),
        Column([], "reason", "U200", description="why the source was dropped"),
        Column([], "file", "U60", description="FITS cube of the translation, in this folder"),
        Column([], "coverage", float, description="share of good pixels of the cutout, over all bands")]
    if translator.conditioning is not None:
        columns.append(Column([], "condition", "U10", description="what the translator was told of the galaxy"))
    for prefix, survey in (("input", translator.input_survey), ("translated", translator.target_survey)):
        image = f"{survey.name} image" if prefix == "input" else f"translation to {survey.name}"
        correlated = "" if prefix == "input" else f", with a correlation of pixels over {CORRELATION_LENGTH}"
        bands, colors = survey.band_names, colors_of(survey.band_names)
        told = [*(f"AB magnitude in {band}" for band in bands),
                *(f"color {blue} - {red} (AB)" for blue, red in zip(bands, bands[1:]))]
        for radius in radii:
            for name, what in zip(column_names(prefix, [*bands, *colors], radius), told):
                columns.append(Column(
                    [], name, float, unit=u.mag, description=f"{what} within {radius:g} arcsec of the {image}"))
                columns.append(Column(
                    [], f"{name}_error", float, unit=u.mag, description=f"standard error of {name}{correlated}"))
        columns += [Column([], f"{prefix}_{name}", float, unit=u.one,
                           description=f"{what}; {shape_band(survey)} of the {image}")
                    for name, what in MORPHOLOGY.items()]
    return columns
