"""Reading images of surveys from FITS files and from objects in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TYPE_CHECKING

from astropy.io import fits, registry
from astropy.nddata import CCDData, NDData

from astro_galtrans.exceptions import BandMismatchError, FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.images._companions import add_masks, add_psf, check_names
from astro_galtrans.images._contents import PLAIN_BANDS, chosen_images, cube_bands, squeezed
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._cube_files import cube_part, own_cube
from astro_galtrans.images._fits_read import is_file, is_path, open_fits, split_path
from astro_galtrans.images._frames import FrameSet
from astro_galtrans.images._headers import band_of_header, is_megacam, known_band
from astro_galtrans.images._masks import checked_bits
from astro_galtrans.images._parts import parse_bands
from astro_galtrans.images._sdss import is_frame
from astro_galtrans.images._stack import split_bands, stack_bands
from astro_galtrans.images._stacks import (
    Reading, image_in_memory, image_of, on_survey_scale, survey_in_memory, uncertainty_from,
)
from astro_galtrans.surveys import available_surveys, get_survey, same_name

if TYPE_CHECKING:
    from os import PathLike

    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity, UnitBase

    from astro_galtrans.images._psf import SDSSPSF
    from astro_galtrans.surveys import Survey

__all__ = ["read_cube", "read_frames"]

# In order of wavelength, with both i filters: i is i.MP9701, i2 is i.MP9702.
_MEGACAM = ("u", "g", "r", "i", "i2", "z")
_CFHTLS_FILTERS = ("MP9301", "MP9401", "MP9601", "MP9701", "MP9702", "MP9801")
# Names that headers of the Legacy Surveys have, whose images are those of surveys with names of their own.
_LEGACY = ("LegacySurvey", "DECaLS", "BASS", "MzLS")


def read_frames(
    paths: Any, survey: Survey | str | None = None, *, bands: str | Sequence[str] | None = None,
    unit: UnitBase | str | None = None, noise: Literal["auto"] | None = "auto", weight: Mapping[str, Any] | None = None,
    mask: Mapping[str, Any] | None = None, psf: str | PathLike | SDSSPSF | Mapping[str, Any] | None = None,
    reference: str | None = None, hdu: Any = None, mask_bits: Sequence[str | int] | str | int | None = None,
) -> FrameSet:
    """Read the bands of a field, each on its own pixel grid.

    Parameters
    ----------
    paths : dict of str to file, sequence of files, or file
        Band name to FITS file; without names, the bands are those of the headers. A file is whatever `read_cube`
        takes.
    survey, bands, unit, noise, weight, mask, psf, reference, hdu, mask_bits
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
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(f"{name} must be a dict of band name to file, got {type(given).__name__}")
    wanted = None if bands is None else parse_bands(bands)
    reading = Reading(survey, unit, noise, checked_bits(mask_bits), psf is not None)
    images, origins, has_mask = _all_images(_named(paths, hdu), hdu, reading, wanted, weight or {})
    if mask_bits is not None and not has_mask and mask is None:
        raise ValueError("mask_bits is given, and no file has a mask of bits")
    check_names("weight", weight or {}, images)
    if survey is None and len(origins) == 1 and None not in origins:
        known = get_survey(origins.pop())
        survey = known if set(images) <= set(known.band_names) else None
        if survey is None and not isinstance(paths, Mapping) and set(images) <= set(_MEGACAM):
            images = {band: images[band] for band in _MEGACAM if band in images}
    _check_bands(images, bands, survey)
    if wanted is not None:
        images = {band: images[band] for band in wanted}
    if mask is not None:
        add_masks(images, mask, reading.mask_bits)
    field = None if psf is None else add_psf(images, psf)
    if survey is not None:
        images = {band: on_survey_scale(image, band, survey) for band, image in images.items()}
    return FrameSet(images, survey, reference=reference, psf=field)


def read_cube(
    paths: Any, survey: Survey | str | None = None, *, bands: str | Sequence[str] | None = None,
    position: SkyCoord | None = None, size: int | tuple[int, int] | Quantity | None = None,
    mode: Literal["partial", "strict"] | None = None, unit: UnitBase | str | None = None,
    noise: Literal["auto"] | None = "auto", weight: Mapping[str, Any] | None = None,
    mask: Mapping[str, Any] | None = None, psf: str | PathLike | SDSSPSF | Mapping[str, Any] | None = None,
    reference: str | None = None, hdu: Any = None, mask_bits: Sequence[str | int] | str | int | None = None,
) -> BandCube:
    """Read images of one piece of sky in several bands as a cube.

    The image, its noise, mask and PSF are found by the names and keywords of the HDUs; :ref:`read-your-files` lists
    what is read from where, survey by survey. A header value that is there and makes no sense is refused.

    Parameters
    ----------
    paths : file, dict of str to file, or sequence of files
        One file with a cube (band, y, x) or with an image of each band, or a file for each band. A file is a path,
        also with the HDU as ``file.fits[2]`` or ``file.fits[SCI,2]``; an open file; an
        `~astropy.io.fits.HDUList`; an image HDU; or a `~astropy.nddata.CCDData`.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey they are from. Without it, SDSS frames, MegaCam stacks and files of this package tell by themselves.
    bands : str or sequence of str, optional
        The bands that there must be; others are left out. For a cube whose file does not name its bands, their names.
    position : `~astropy.coordinates.SkyCoord`, optional
        Only the cutout around this position is made, which is much faster than resampling whole frames.
    size, mode : optional
        Of the cutout, as of `BandCube.cutout`; 64 pixels and "partial" by default.
    unit : `~astropy.units.Unit` or str, optional
        Unit of the files, which wins over BUNIT. Without both, an image with a zero point is in counts, and one
        without is taken to be in the survey's unit, with a warning.
    noise : {"auto", None}, optional
        Whether the noise of images that have none is estimated, from the scatter of the background and, with the gain
        of header or survey, the photons of the sources. With None it is not; noise that a file has is read in any
        case, and SDSS frames have that of their calibration. Cubes that this package wrote are given back as they were.
    weight : dict of str to file, array or uncertainty, optional
        Noise by band, instead of that of the files. A file or HDU is sigma, variance or inverse variance as its name
        tells (ERR, VAR, IVAR, ...; also ``tile-var.fits``), and inverse variance if it does not, as is an array; a
        `~astropy.nddata.StdDevUncertainty` or `~astropy.nddata.VarianceUncertainty` tells its kind.
    mask : dict of str to file or array, optional
        Bad pixels by band: an SDSS fpM file, of which pixels that are interpolated, saturated, hit by a cosmic ray or
        not checked are bad (`read_sdss_mask` reads others), or an image or array that is not 0 where a pixel is bad.
        They are added to those that the files of the images have.
    psf : file, `SDSSPSF`, or dict of str to file or array, optional
        Point spread function: the psField file of an SDSS field, from which ``cube.psf``, and that of each cutout, is
        made for its own place, or an image of the PSF for each band.
    reference : str, optional
        Band whose pixel grid is used where the grids differ; the default is r.
    hdu : int, str, tuple or dict of str to such, optional
        HDU of the image, by number, name or (name, version); a dict has one for each band. Without it the image of a
        band is found by FILTER and EXTNAME, and a file that leaves a choice is refused.
    mask_bits : sequence of str or int, optional
        The bits that are bad in masks that are bit planes, by name (of the MP_* keywords of HSC and LSST, or of the
        flags of JWST, DES and the Legacy Surveys) or by number, the lowest being 0. The defaults are listed in
        :ref:`read-your-files`; ``()`` is none.

    Returns
    -------
    BandCube
        In the survey's unit if there is one. ``meta["band_meta"][band]`` has the header of each file. Pixels without
        data are masked: not finite, of weight 0, of the value in BLANK, or in an area of zeros (`empty_pixels`).

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    FileFormatError
        If a file is not FITS, is truncated, lacks what a file of its kind has, leaves open which HDU is meant, or has
        a unit, zero point, mask or WCS that is not understood. The message names the file.
    BandMismatchError
        If bands are missing, repeated, or not those of the headers.
    SurveyError
        If a file is of another survey.
    """
    if position is None and not (size is None and mode is None):
        raise ValueError(f"{'mode' if size is None else 'size'} is that of a cutout; position must be given with it")
    size, mode = 64 if size is None else size, "partial" if mode is None else mode
    if is_file(paths):
        paths = open_fits(paths)
        part = cube_part(paths)
        if part is not None:
            cube = _read_own(paths, part, survey, reference, hdu, Reading(
                None, unit, noise, checked_bits(mask_bits)), weight, mask, psf)
            if bands is not None and cube.bands != parse_bands(bands):
                _check_bands(cube.bands, bands, cube.survey)
                cube = cube.select_bands(bands)
            return cube if position is None else cube.cutout(position, size, mode=mode)
    frames = read_frames(
        paths, survey, bands=bands, unit=unit, noise=noise, weight=weight, mask=mask, psf=psf, reference=reference,
        hdu=hdu, mask_bits=mask_bits)
    return frames.to_cube() if position is None else frames.cutout(position, size, mode=mode)


registry.register_reader("fits", BandCube, read_cube)  # for BandCube.read


def _read_own(file, part, survey, reference, hdu, reading, weight, mask, psf):
    """A cube that this package wrote, with what is given beside it."""
    if hdu is not None and file.select(hdu) is not part:
        raise FileFormatError(f"{file} holds one cube, in HDU {part}; hdu= names another")
    cube = own_cube(file, part, None if survey is None else get_survey(survey))
    if reference is not None and reference not in cube.bands:
        raise BandMismatchError(f"reference must be one of {', '.join(cube.bands)}, got {reference!r}")
    if reading.mask_bits is not None and mask is None:
        raise ValueError(f"mask_bits is given, and {file} has no mask of bits")
    if weight is None and mask is None and psf is None and reading.unit is None:
        return cube
    check_names("weight", weight or {}, cube.bands)
    images = {band: _given_anew(image, reading, band, (weight or {}).get(band))
              for band, image in split_bands(cube).items()}
    if mask is not None:
        add_masks(images, mask, reading.mask_bits)
    field = None if psf is None else add_psf(images, psf)
    cube = stack_bands(images, cube.survey)
    if field is not None:
        cube.psf = field
    return cube


def _given_anew(image, reading, band, weight):
    """An image of a cube of this package, with the unit and the noise that are given."""
    unit = image.unit if reading.unit is None else reading.unit
    spread = image.uncertainty
    if spread is not None:
        spread = type(spread)(spread.array)
    image = CCDData(image.data, unit=unit, wcs=image.wcs, mask=image.mask, uncertainty=spread, meta=image.meta,
                    psf=image.psf)
    if weight is not None:
        image.uncertainty = uncertainty_from(weight, band, image.data.shape, image.unit)
    return image


def _named(paths, hdu):
    """Pairs of band name, or None, and file."""
    if isinstance(paths, Mapping):
        parse_bands(list(paths))
        return list(paths.items())
    if _is_source(paths):
        # one file with an HDU for each band
        return [(band, paths) for band in hdu] if isinstance(hdu, Mapping) else [(None, paths)]
    if isinstance(paths, NDData) or not isinstance(paths, Iterable):
        raise TypeError(f"paths must be a file, a dict of band to file, or a sequence, got {type(paths).__name__}")
    named = [(None, path) for path in paths]
    if not named:
        raise BandMismatchError("paths must name at least one file")
    return named


def _is_source(paths):
    return isinstance(paths, CCDData) or is_file(paths)


def _all_images(named, hdu, reading, wanted, weight):
    """The images of all files by band, the surveys that they are known to be from, and whether there is a mask."""
    if isinstance(hdu, Mapping):
        check_names("hdu", hdu, [name for name, _ in named if name is not None])
    images, origins, opened, has_mask = {}, set(), {}, False
    for name, source in named:
        chosen = hdu.get(name) if isinstance(hdu, Mapping) else hdu
        if isinstance(source, CCDData):
            if chosen is not None:
                raise ValueError("hdu is that of a file, and a CCDData is given")
            found = [(_band_in_memory(source, name, reading.survey), source, _origin_in_memory(source, reading.survey))]
        else:
            file = _opened_once(source, opened)
            found = _of_file(file, name, chosen, reading, wanted, weight)
        for band, image, origin, *masked in found:
            if isinstance(source, CCDData):
                image = image_in_memory(image, reading, band, weight.get(band))
            if band in images:
                raise BandMismatchError(f"{source} is of band {band}, as is another file")
            image.meta["band"] = band
            images[band] = image
            origins.add(origin)
            has_mask |= any(masked)
    return images, origins, has_mask


def _opened_once(source, opened):
    if not is_path(source):
        return open_fits(source)
    path, selected = split_path(source)
    if path not in opened:
        opened[path] = open_fits(path)
    return replace(opened[path], selected=selected)


def _band_in_memory(ccd, name, survey):
    names = () if survey is None else survey.band_names
    told = None if isinstance(ccd.meta, fits.Header) else ccd.meta.get("band")
    for meta in (ccd.meta, None if isinstance(ccd.meta, fits.Header) else ccd.meta.get("header")):
        if told is None and meta is not None:
            told = band_of_header(meta, names)
    return _agreed_band("the CCDData", name, told, names)


def _origin_in_memory(ccd, survey):
    """The survey that a CCDData is from, or None; an error if it is not the one that is asked for."""
    told = survey_in_memory(ccd)
    if told is not None and survey is not None and not survey.name.upper().startswith(told.upper()):
        raise SurveyError(f"the CCDData is of survey {told}, not {survey.name}")
    return told


def _of_file(file, name, hdu, reading, wanted, weight):
    """Band, image, origin and whether it has a mask, of each image of a file."""
    survey = reading.survey
    part, chosen = cube_part(file), file.selected if hdu is None else hdu
    if part is not None and (chosen is None or file.select(chosen) is part):
        cube = own_cube(file, part, survey)
        if name is not None:
            cube = cube.select_bands([name])
        origin = None if cube.survey is None else cube.survey.name
        return [(band, _given_anew(image, reading, band, weight.get(band)), origin)
                for band, image in split_bands(cube).items()]
    names = () if survey is None else survey.band_names
    found = []
    for planes in chosen_images(file, name, hdu, names, wanted):
        data, origin = squeezed(planes.image.data), _origin(planes, survey)
        if data.ndim > 3:
            raise FileFormatError(f"{file} has an image of {data.ndim} axes in HDU {planes.image}")
        # MegaCam stacks tell that they are on the scale of the survey, whose noise they then have
        own = reading if survey is not None or origin is None else replace(reading, survey=get_survey(origin))
        for band, index in _bands_of(planes, data, name, names, wanted):
            image = image_of(planes, own, band=band, index=index, weight=weight.get(band))
            known = origin != "CFHTLS" or not is_megacam(planes.keys) or "zero_point" in image.meta
            found.append((band, image, origin if known else None, planes.has_mask))
    return found


def _bands_of(planes, data, name, names, wanted):
    """Band, and plane of a cube, of all images that an HDU holds."""
    file = planes.file
    if data.ndim == 2:
        told = planes.band
        if name is None and told is None:
            told = wanted[0] if wanted is not None and len(wanted) == 1 else names[0] if len(names) == 1 else None
        return [(_agreed_band(file, name, told, names), None)]
    told = cube_bands(planes.keys, len(data))
    bands = wanted if told is None else tuple(known_band(band, names) for band in told)
    if bands is None:
        raise FileFormatError(f"{file} has a cube without BANDS in its header; name its bands with bands=")
    if len(bands) != len(data):
        raise BandMismatchError(f"bands names {', '.join(bands)}, and {file} has a cube of {len(data)} planes")
    if name is not None:
        if name not in bands:
            raise BandMismatchError(f"{file} has a cube of bands {', '.join(bands)}, not {name}")
        return [(name, bands.index(name))]
    parse_bands(bands)
    return [(band, index) for index, band in enumerate(bands) if wanted is None or band in wanted]


def _origin(planes, survey):
    """The survey that a file is known to be from, or None; an error if it is not the one that is asked for."""
    file, keys = planes.file, planes.keys
    frame, megacam = planes.image.index == 0 and is_frame(file.parts), is_megacam(keys)
    told = str(keys.get("SURVEY") or "").strip()
    known = next((name for name in available_surveys() if told and same_name(name, told)), None)
    if survey is not None:
        ours = survey.name.upper()
        if (frame and not ours.startswith("SDSS")) or (megacam and ours == "SDSS"):
            origin = "SDSS" if frame else "CFHT MegaCam"
            raise SurveyError(f"{file} is an image of {origin}, not of survey {survey.name}")
        if known is not None and not ours.startswith(known.upper()) and not any(
                same_name(told, one) for one in _LEGACY):
            raise SurveyError(f"{file} is of survey {told}, not {survey.name}")
    if megacam and (survey is None or survey.name == "CFHTLS"):
        _warn_of_later_filter(file, str(keys.get("FILTER")).strip())
    if frame:
        return "SDSS"
    if megacam:
        return "CFHTLS"
    # without a unit that of the survey would be assumed; cutouts of the Legacy Surveys viewer have a known one
    sure = any(keys.get(key) is not None for key in ("BUNIT", "BANDS")) or any(same_name(told, one) for one in _LEGACY)
    return known if sure else None


def _warn_of_later_filter(file, told):
    """The filters that MegaCam has had since 2015 are not those of CFHTLS."""
    if told.upper().split(".")[-1] not in _CFHTLS_FILTERS:
        warnings.warn(f"{file} was taken through {told}, which is not one of the filters of CFHTLS: its curve differs",
                      GaltransWarning, stacklevel=2)


def _agreed_band(file, name, told, names=()):
    """The name that was given, if the header does not speak against it."""
    if name is None:
        if told is None:
            raise BandMismatchError(f"{file} tells no band in FILTER or BAND; give the files as a dict of band to path")
        return told
    if told is None or told == name:
        return name
    if {name, told} == {"i", "i2"}:
        warnings.warn(f"{file} was taken through filter {told} and is read as {name}: the two MegaCam i filters differ",
                      GaltransWarning, stacklevel=2)
        return name
    # Other surveys write names of their own, such as 'F814W'; only a plain other band is a swap.
    if (told.lower() in PLAIN_BANDS and name.lower() in PLAIN_BANDS and told.lower() != name.lower()) or (
            told in names and name in names):
        raise BandMismatchError(f"{file} is of band {told}, not {name}")
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
