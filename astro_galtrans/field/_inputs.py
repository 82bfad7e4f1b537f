"""What a field is given as: frames in files or in memory, and a catalogue of positions in it."""

import glob
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.field._conditions import COLUMNS
from astro_galtrans.images import BandCube, FrameSet, detect_galaxies, read_frames
from astro_galtrans.pairs._match_catalog import read_table

__all__ = ["detected", "listed", "open_frames"]

_SUFFIXES = (".fits", ".fit", ".fits.bz2", ".fits.gz", ".fits.fz")


def open_frames(frames, survey):
    """Frames of any accepted kind as a FrameSet or BandCube of a survey, with its bands and no others."""
    if isinstance(frames, (FrameSet, BandCube)):
        return _of_survey(frames, survey)
    if isinstance(frames, (str, Path)):
        frames = _found(frames)
    if isinstance(frames, (list, tuple)) and len(frames) == 0:
        raise ValueError("frames must name at least one file, got none")
    if not isinstance(frames, (list, tuple, dict)):
        raise TypeError(
            "frames must be a FrameSet, a BandCube, a dict of band to path, a list of paths, a folder or a pattern, "
            f"got {type(frames).__name__}")
    return read_frames(frames, survey, bands=survey.band_names)


def _found(where):
    """FITS files in a folder, of a pattern with wild cards, or the one file."""
    path = Path(where)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.lower().endswith(_SUFFIXES))
        # a folder of SDSS files may hold others beside the corrected frames
        files = [file for file in files if file.name.startswith("frame-")] or files
        if not files:
            raise FileNotFoundError(f"the folder {path} holds no FITS file")
        return files
    if path.is_file():
        return [path]
    files = sorted(glob.glob(str(where)))
    if not files:
        raise FileNotFoundError(f"no such file or folder: {where}")
    return [Path(file) for file in files]


def _of_survey(frames, survey):
    if frames.survey is not None and frames.survey.name.lower() != survey.name.lower():
        raise SurveyError(f"frames are of survey {frames.survey.name}, the translator takes {survey.name}")
    missing = [band for band in survey.band_names if band not in frames.bands]
    if missing:
        raise BandMismatchError(f"frames lack band {', '.join(missing)}; there are {', '.join(frames.bands)}")
    if frames.wcs is None:
        raise ValueError("frames have no WCS, without which no source has a place on them")
    if isinstance(frames, BandCube):
        cube = frames if frames.bands == survey.band_names else frames.select_bands(survey.band_names)
        return cube if cube.survey is not None else BandCube(cube, bands=cube.bands, survey=survey)
    return FrameSet({band: frames[band] for band in survey.band_names}, survey)


def detected(frames, band, max_magnitude, extended_only):
    """The galaxies that are found in a band of the frames, and saturated stars; an error where there are none."""
    sources = detect_galaxies(frames, band, max_magnitude=max_magnitude)
    if extended_only:
        sources = sources[sources["extended"] | sources["saturated"]]
    if len(sources) == 0:
        kind = "extended source" if extended_only else "source"
        limit = "" if max_magnitude is None else f" brighter than {band} = {max_magnitude:g}"
        raise ValueError(f"no {kind}{limit} was found in the field")
    return sources


def listed(catalog):
    """A catalogue as a new table with ``ra`` and ``dec`` in degrees and whatever else it has."""
    table = Table(read_table(catalog), copy=True)
    if len(table) == 0:
        raise ValueError("catalog has no row")
    names = {name.lower(): name for name in table.colnames}
    for name in ("ra", "dec"):
        if name not in names:
            raise ValueError(f"catalog must have the columns ra and dec, got {', '.join(table.colnames)}")
        values = _degrees(table[names[name]], name)
        if names[name] != name:
            table.remove_column(names[name])
        table[name] = values
    for name in COLUMNS:
        if names.get(name, name) != name:
            table.rename_column(names[name], name)
    return table


def _degrees(column, name):
    """Values in degrees, NaN where masked; a column without a unit is in degrees."""
    unit = getattr(column, "unit", None) or u.deg
    values = np.ma.getdata(column) if hasattr(column, "mask") else column
    try:
        values = u.Quantity(np.asarray(getattr(values, "value", values), dtype=float), unit).to_value(u.deg)
    except (TypeError, ValueError, u.UnitConversionError) as error:
        raise ValueError(f"column {name} of the catalog must hold angles as numbers: {error}") from error
    return np.where(np.ma.getmaskarray(np.ma.asarray(column)), np.nan, values) if hasattr(column, "mask") else values
