"""What a field is given as: frames in files or in memory, and a catalogue of positions in it."""

from pathlib import Path

from astropy.table import Table

from astro_galtrans._utils.positions import positions_of
from astro_galtrans._utils.tables import read_table
from astro_galtrans._utils.files import listed_files
from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.field._conditions import COLUMNS
from astro_galtrans.images import BandCube, FrameSet, detect_galaxies, read_frames

__all__ = ["detected", "listed", "open_frames"]


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
    files = listed_files(where)
    # A folder of SDSS files may hold others beside the corrected frames.
    return [file for file in files if file.name.startswith("frame-")] or files if Path(where).is_dir() else files


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
