"""Kind in, kind out: every kind of image that a public function accepts to a cube, and a cube back to that kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astropy.io import fits
from astropy.nddata import NDData

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._headers import band_of_header
from astro_galtrans.images._stack import split_bands, stack_bands
from astro_galtrans.surveys import get_survey, same_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.nddata import CCDData

    from astro_galtrans.surveys import Survey

__all__ = ["as_band_cube", "like_input"]


def as_band_cube(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], survey: Survey | str | None = None,
) -> BandCube:
    """Any image that this package accepts, as a cube.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData`, `~astropy.nddata.CCDData` or dict of str to CCDData
        A stock NDData has shape ``(band, y, x)`` and names its bands in ``meta["bands"]``. A single-band CCDData
        names its band in ``meta["band"]`` or in the ``FILTER`` of a header, or is of a survey with one band.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey it must be from, or is from if it does not tell.

    Returns
    -------
    BandCube
        The same object where nothing had to be done.

    Raises
    ------
    SurveyError
        If the image is of another survey.
    BandMismatchError
        If its bands are not told or do not fit the survey.
    """
    survey = None if survey is None else get_survey(survey)
    if isinstance(image, BandCube):
        if survey is None or image.survey is survey:
            return image
        if image.survey is not None:
            _check_survey(image.survey.name, survey)
            if all(image.survey[band] is survey[band] for band in image.bands if band in survey.band_names):
                if set(image.bands) <= set(survey.band_names):
                    return image
        return BandCube(image, bands=image.bands, survey=survey)
    if hasattr(image, "keys") and not isinstance(image, NDData):
        return stack_bands(image, survey)
    if not isinstance(image, NDData):
        raise TypeError(
            "image must be a BandCube, an NDData (band, y, x), a CCDData or a dict of CCDData, "
            f"got {type(image).__name__}")
    if survey is None and image.meta.get("survey") is not None:
        survey = _known(image.meta.get("survey"))
    elif survey is not None:
        _check_survey(image.meta.get("survey"), survey)
    if image.data.ndim == 2:
        band = _single_band(image, survey)
        return stack_bands({band: image}, survey)
    if image.meta.get("bands") is None:
        raise BandMismatchError('an NDData of shape (band, y, x) must name its bands in meta["bands"]')
    meta = {key: value for key, value in image.meta.items() if key not in ("bands", "survey")}
    return BandCube(image, bands=image.meta["bands"], survey=survey, meta=meta)


def like_input(
    cube: BandCube, original: BandCube | NDData | CCDData | Mapping[str, CCDData],
) -> BandCube | CCDData | dict[str, CCDData]:
    """A cube as the kind of image that another one was given as.

    Parameters
    ----------
    cube : BandCube
        The result.
    original : BandCube, NDData, CCDData or dict of str to CCDData
        What came in.

    Returns
    -------
    BandCube, CCDData or dict of str to CCDData
        A dict for a dict, a CCDData for an image of one band, else the cube itself.
    """
    if not isinstance(cube, BandCube):
        raise TypeError(f"cube must be a BandCube, got {type(cube).__name__}")
    if isinstance(original, BandCube):
        return cube
    if hasattr(original, "keys") and not isinstance(original, NDData):
        return split_bands(cube)
    if isinstance(original, NDData) and original.data.ndim == 2:
        if len(cube.bands) != 1:
            raise BandMismatchError(
                f"a single-band image cannot stand for the {len(cube.bands)} bands {', '.join(cube.bands)}")
        return cube[cube.bands[0]]
    return cube


def _known(name):
    """The survey of that name, or None: an image may be of a survey that nobody registered."""
    try:
        return get_survey(name)
    except (SurveyError, TypeError):
        return None


def _check_survey(name, survey):
    if isinstance(name, str) and _known(name) is not None and not same_name(name, survey.name):
        raise SurveyError(f"the image is of survey {name}, not {survey.name}")


def _single_band(image, survey):
    meta = image.meta
    band = meta.get("band") if not isinstance(meta, fits.Header) else None
    names = () if survey is None else survey.band_names
    if band is None:
        band = band_of_header(meta, names)
    if band is None and isinstance(meta.get("header"), fits.Header):
        band = band_of_header(meta["header"], names)
    if band is None and survey is not None and len(survey) == 1:
        band = survey.band_names[0]
    if band is None:
        raise BandMismatchError('a single-band image must name its band in meta["band"]')
    return str(band)
