"""Reading images of surveys from FITS files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

import numpy as np

from astro_galtrans.exceptions import BandMismatchError, GaltransWarning, SurveyError
from astro_galtrans.images._companions import add_masks, add_psf
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._fits_read import cube_of_parts, load_parts
from astro_galtrans.images._frames import FrameSet
from astro_galtrans.images._parts import parse_bands
from astro_galtrans.images._scales import scale_factors, zero_points
from astro_galtrans.images._sdss import frame_from_parts, is_frame
from astro_galtrans.images._stacks import image_from_parts, is_megacam, load_weight
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity, UnitBase

    from astro_galtrans.images._sdss_psf import SDSSPSF
    from astro_galtrans.surveys import Survey

__all__ = ["read_cube", "read_frames"]

# In order of wavelength, with both i filters: i is i.MP9701, i2 is i.MP9702.
_MEGACAM = ("u", "g", "r", "i", "i2", "z")
_CFHTLS_FILTERS = ("MP9301", "MP9401", "MP9601", "MP9701", "MP9702", "MP9801")


def read_frames(
    paths: Mapping[str, str | PathLike] | Sequence[str | PathLike] | str | PathLike, survey: Survey | str | None = None,
    *, bands: str | Sequence[str] | None = None, unit: UnitBase | str | None = None,
    noise: Literal["auto"] | None = "auto", weight: Mapping[str, str | PathLike] | None = None,
    mask: Mapping[str, Any] | None = None, psf: str | PathLike | SDSSPSF | Mapping[str, Any] | None = None,
    reference: str | None = None,
) -> FrameSet:
    """Read the bands of a field, each on its own pixel grid.

    Parameters
    ----------
    paths : dict of str to path, sequence of paths, or path
        Band name to FITS file; without names, the band is that of the header.
    survey, bands, unit, noise, weight, mask, psf, reference
        As of `read_cube`.

    Returns
    -------
    FrameSet
        Its ``cutout`` makes cubes on one grid, and ``to_cube`` puts the whole field on it.
    """
    if noise not in ("auto", None):
        raise ValueError(f"noise must be 'auto' or None, got {noise!r}")
    survey = None if survey is None else get_survey(survey)
    for name, given in (("weight", weight), ("mask", mask)):
        if given is not None and not hasattr(given, "get"):
            raise TypeError(f"{name} must be a dict of band name to path, got {type(given).__name__}")
    named = _named(paths)
    images, origins = {}, set()
    for name, path in named:
        image, origin = _read_image(path, name, survey, unit, noise, (weight or {}).get(name))
        band = _agreed_band(path, name, image.meta.get("band"))
        if band in images:
            raise BandMismatchError(f"{path} is of band {band}, as is another file")
        image.meta["band"] = band
        images[band] = image
        origins.add(origin)
    if survey is None and len(origins) == 1 and None not in origins:
        known = get_survey(origins.pop())
        survey = known if set(images) <= set(known.band_names) else None
        if survey is None and named[0][0] is None and set(images) <= set(_MEGACAM):
            images = {band: images[band] for band in _MEGACAM if band in images}
    _check_bands(images, bands, survey)
    if bands is not None:
        images = {band: images[band] for band in parse_bands(bands)}
    if mask is not None:
        add_masks(images, mask)
    field = None if psf is None else add_psf(images, psf)
    if survey is not None:
        images = {band: _on_survey_scale(image, band, survey) for band, image in images.items()}
    return FrameSet(images, survey, reference=reference, psf=field)


def read_cube(
    paths: Mapping[str, str | PathLike] | Sequence[str | PathLike] | str | PathLike, survey: Survey | str | None = None,
    *, bands: str | Sequence[str] | None = None, position: SkyCoord | None = None,
    size: int | tuple[int, int] | Quantity = 64, mode: Literal["partial", "strict"] = "partial",
    unit: UnitBase | str | None = None, noise: Literal["auto"] | None = "auto",
    weight: Mapping[str, str | PathLike] | None = None, mask: Mapping[str, Any] | None = None,
    psf: str | PathLike | SDSSPSF | Mapping[str, Any] | None = None, reference: str | None = None,
) -> BandCube:
    """Read images of one piece of sky in several bands as a cube.

    Known by their headers are SDSS corrected frames (``frame-*.fits``, also ``.bz2``) and stacks of CFHT MegaCam
    (CFHTLS, MegaPipe); any other FITS image is read too.

    Parameters
    ----------
    paths : path, dict of str to path, or sequence of paths
        One file that `BandCube.write` made or that holds a cube (band, y, x), or a file for each band.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey they are from. Without it, SDSS frames and MegaCam stacks tell by themselves.
    bands : str or sequence of str, optional
        The bands that there must be; others are left out. For a cube whose file does not name its bands, their names.
    position : `~astropy.coordinates.SkyCoord`, optional
        Only the cutout around this position is made, which is much faster than resampling whole frames.
    size, mode : optional
        Of the cutout, as of `BandCube.cutout`.
    unit : `~astropy.units.Unit` or str, optional
        Unit of the files, where they do not tell or tell wrongly.
    noise : {"auto", None}, optional
        What to do with images without an uncertainty: "auto" estimates it from the scatter of the background and,
        with the gain of header or survey, the photons of the sources. SDSS frames have the noise of their calibration.
    weight : dict of str to path, optional
        Inverse variance maps by band.
    mask : dict of str to path or array, optional
        Bad pixels by band: an SDSS fpM file, of which pixels that are interpolated, saturated, hit by a cosmic ray or
        not checked are bad (`read_sdss_mask` reads others), or an image or array that is not 0 where a pixel is bad.
        They are added to those that the files of the images have.
    psf : path, `SDSSPSF`, or dict of str to path or array, optional
        Point spread function: the psField file of an SDSS field, from which ``cube.psf``, and that of each cutout, is
        made for its own place, or an image of the PSF for each band.
    reference : str, optional
        Band whose pixel grid is used where the grids differ; the default is r.

    Returns
    -------
    BandCube
        In the survey's unit if there is one. ``meta["band_meta"][band]`` has the header of each file.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    FileFormatError
        If a file is not FITS, truncated, or lacks what a file of its kind has. The message names the file.
    BandMismatchError
        If bands are missing, repeated, or not those of the headers.
    SurveyError
        If a file is of another survey.
    """
    if isinstance(paths, (str, Path)) or hasattr(paths, "__fspath__"):
        parts = load_parts(paths)
        if any(np.ndim(part.data) == 3 for part in parts):
            if mask is not None or psf is not None:
                raise ValueError(f"mask and psf are for images of single bands; {paths} holds a cube with its own")
            named = None if bands is None or any("BANDS" in part.header for part in parts) else bands
            cube = cube_of_parts(paths, parts, survey, named)
            if bands is not None and cube.bands != parse_bands(bands):
                _check_bands(cube.bands, bands, cube.survey)
                cube = cube.select_bands(bands)
            return cube if position is None else cube.cutout(position, size, mode=mode)
    frames = read_frames(
        paths, survey, bands=bands, unit=unit, noise=noise, weight=weight, mask=mask, psf=psf, reference=reference)
    return frames.to_cube() if position is None else frames.cutout(position, size, mode=mode)


def _named(paths):
    """Pairs of band name, or None, and path."""
    if hasattr(paths, "items"):
        parse_bands(list(paths))
        return list(paths.items())
    if isinstance(paths, (str, Path)) or hasattr(paths, "__fspath__"):
        return [(None, paths)]
    named = [(None, path) for path in paths]
    if not named:
        raise BandMismatchError("paths must name at least one file")
    return named


def _read_image(path, band, survey, unit, noise, weight):
    """The image of a file and the name of the survey that it is known to be from, or None."""
    parts = load_parts(path)
    frame, megacam = is_frame(parts), is_megacam(parts)
    if survey is not None:
        ours = survey.name.upper()
        if (frame and not ours.startswith("SDSS")) or (megacam and ours == "SDSS"):
            origin = "SDSS" if frame else "CFHT MegaCam"
            raise SurveyError(f"{path} is an image of {origin}, not of survey {survey.name}")
        if ours == "SDSS" and not frame and str(parts[0].header.get("SURVEY", "SDSS")).upper() not in ("SDSS", ""):
            raise SurveyError(f"{path} is of survey {parts[0].header['SURVEY']}, not {survey.name}")
    if frame:
        return frame_from_parts(path, parts), "SDSS"
    weight = None if weight is None else load_weight(load_parts(weight))
    if megacam:
        _warn_of_later_filter(path, parts)
    if survey is None and megacam:
        survey = get_survey("CFHTLS")
    image = image_from_parts(path, parts, unit=unit, survey=survey, noise=noise, weight=weight, band=band)
    return image, "CFHTLS" if megacam and "zero_point" in image.meta else None


def _warn_of_later_filter(path, parts):
    """The filters that MegaCam has had since 2015 are not those of CFHTLS."""
    told = next(str(part.header["FILTER"]).strip() for part in parts if ".MP9" in str(part.header.get("FILTER", "")))
    if told.split(".")[-1] not in _CFHTLS_FILTERS:
        warnings.warn(f"{path} was taken through {told}, which is not one of the filters of CFHTLS: its curve differs",
                      GaltransWarning, stacklevel=5)


def _agreed_band(path, name, told):
    """The name that was given, if the header does not speak against it."""
    if name is None:
        if told is None:
            raise BandMismatchError(f"{path} tells no band in FILTER or BAND; give the files as a dict of band to path")
        return told
    if told is None or told == name:
        return name
    if {name, told} == {"i", "i2"}:
        warnings.warn(f"{path} was taken through filter {told} and is read as {name}: the two MegaCam i filters differ",
                      GaltransWarning, stacklevel=4)
        return name
    # Other surveys write names of their own, such as 'HSC-R' or 'F814W'; only a plain other band is a swap.
    if told.lower() in ("u", "g", "r", "i", "z", "y", "i2") and name in ("u", "g", "r", "i", "z", "y", "i2"):
        raise BandMismatchError(f"{path} is of band {told}, not {name}")
    return name


def _check_bands(found, bands, survey):
    if bands is not None:
        missing = [band for band in parse_bands(bands) if band not in found]
        if missing:
            raise BandMismatchError(f"band {', '.join(missing)} is missing; there are {', '.join(found)}")
    if survey is not None:
        wanted = found if bands is None else parse_bands(bands)
        unknown = [band for band in wanted if band not in survey.band_names]
        if unknown:
            raise BandMismatchError(
                f"survey {survey.name} has bands {', '.join(survey.band_names)}, not {', '.join(unknown)}")


def _on_survey_scale(image, band, survey):
    """The image in the survey's unit and zero point."""
    own = zero_points(image.unit, (band,), survey, image.meta.get("zero_point"))
    if own is None:
        raise ValueError(
            f"band {band} is in {image.unit}, which is not on the scale of survey {survey.name}; give unit=")
    cube = BandCube(
        image.data[np.newaxis], unit=image.unit, wcs=image.wcs, bands=(band,), survey=survey, mask=_plane(image.mask),
        uncertainty=_cube_uncertainty(image.uncertainty), psf=image.psf, meta={"zero_point": float(own[0])})
    factor = scale_factors(own, [survey[band].zero_point])
    meta = {key: value for key, value in image.meta.items() if key != "zero_point"}
    if factor[0] != 1 or image.unit != survey.unit:
        image = cube.to_unit(survey.unit)[band]
    image.meta = {**meta, "survey": survey.name}
    return image


def _plane(array):
    return None if array is None else array[np.newaxis]


def _cube_uncertainty(uncertainty):
    return None if uncertainty is None else type(uncertainty)(uncertainty.array[np.newaxis], unit=uncertainty.unit)
