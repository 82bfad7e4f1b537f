"""Reading back the cubes that `BandCube.write` makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astro_galtrans.exceptions import FileFormatError, SurveyError
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._fits_read import celestial_wcs, find_part, native
from astro_galtrans.images._fits_write import LAYOUT, meta_of_table, uncertainty_kinds
from astro_galtrans.images._headers import parse_unit
from astro_galtrans.surveys import get_survey, same_name

if TYPE_CHECKING:
    from astro_galtrans.images._fits_read import FitsFile, Part
    from astro_galtrans.surveys import Survey

__all__ = ["cube_part", "own_cube"]


def cube_part(file: FitsFile) -> Part | None:
    """Return the HDU of a file that holds a cube which this package wrote, or None."""
    for part in file.parts:
        if part.is_image and part.data.ndim == 3 and "GALTRANS" in part.header and "BANDS" in part.header:
            return part
    return None


def own_cube(file: FitsFile, part: Part, survey: Survey | None = None) -> BandCube:
    """Return the cube in a file that this package wrote, as it was.

    The survey that the file names is used where it is known; ``survey`` must agree with it.
    """
    header = part.header
    if file.selected is not None and file.select(file.selected) is not part:
        raise FileFormatError(f"{file} holds one cube, in HDU {part}, not in {file.selected}")
    if not isinstance(header["GALTRANS"], int) or header["GALTRANS"] > LAYOUT:
        raise FileFormatError(f"{file} has layout version {header['GALTRANS']}, this package reads up to {LAYOUT}")
    if header.get("NEXTEND", 0) > len(file.parts) - 1:
        raise FileFormatError(f"{file} is not a whole FITS file: it has {len(file.parts) - 1} of its "
                              f"{header['NEXTEND']} extensions")
    bands = tuple(name.strip() for name in header["BANDS"].split(","))
    mask, psf = find_part(file.parts, "MASK"), find_part(file.parts, "PSF")
    try:
        return BandCube(
            native(part.data), unit=parse_unit(header.get("BUNIT")), wcs=celestial_wcs(file, part), bands=bands,
            survey=_survey_of_file(file, header.get("SURVEY"), survey),
            mask=None if mask is None else mask.data.astype(bool), psf=None if psf is None else native(psf.data),
            uncertainty=_read_uncertainty(find_part(file.parts, "UNCERT")),
            meta=meta_of_table(find_part(file.parts, "META")))
    except (SurveyError, FileFormatError):
        raise
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"{file} does not hold a cube that fits together: {error}") from error


def _survey_of_file(file, name, survey):
    if survey is not None:
        if name is not None and not same_name(name, survey.name):
            raise SurveyError(f"{file} is of survey {name}, not {survey.name}")
        return survey
    if name is None:
        return None
    try:
        return get_survey(name)
    except SurveyError as error:
        raise SurveyError(
            f"{file} is of survey {name!r}, which is not known here: register_survey() makes it known") from error


def _read_uncertainty(part):
    if part is None:
        return None
    kind = uncertainty_kinds.get(part.header.get("UTYPE", "StdDevUncertainty"))
    if kind is None:
        raise ValueError(f"an uncertainty of kind {part.header['UTYPE']}")
    return kind(native(part.data), unit=parse_unit(part.header.get("BUNIT")))
