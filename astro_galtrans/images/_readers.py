"""Read images of surveys from FITS files and from objects in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TYPE_CHECKING

from astropy.io import fits, registry
from astropy.nddata import CCDData, NDData

from astro_galtrans._utils.files import listed_files
from astro_galtrans._utils.validation import configured
from astro_galtrans.exceptions import BandMismatchError, FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.images._companions import add_masks, add_psf, check_names, given_uncertainty
from astro_galtrans.images._contents import PLAIN_BANDS, chosen_images, cube_bands, squeezed
from astro_galtrans.images._convert import split_bands, stack_bands
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._fits_read import (
    FitsSource, celestial_wcs, find_part, fits_errors, is_file, is_path, native, open_fits, split_path,
)
from astro_galtrans.images._fits_write import LAYOUT, meta_of_table, uncertainty_kinds
from astro_galtrans.images._frames import FrameSet
from astro_galtrans.images._headers import band_of_header, is_megacam, known_band, parse_unit
from astro_galtrans.images._image import ReadConfig, image_in_memory, image_of, on_survey_scale, survey_in_memory
from astro_galtrans.images._parts import parse_bands
from astro_galtrans.images._sdss import is_frame
from astro_galtrans.surveys import available_surveys, get_survey, same_name

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astro_galtrans.surveys import Survey

__all__ = ["read_cube", "read_frames"]

# In order of wavelength, with both i filters: i is i.MP9701, i2 is i.MP9702.
_MEGACAM = ("u", "g", "r", "i", "i2", "z")
_CFHTLS_FILTERS = ("MP9301", "MP9401", "MP9601", "MP9701", "MP9702", "MP9801")
# Names that headers of the Legacy Surveys have, whose images are those of surveys with names of their own.
_LEGACY = ("LegacySurvey", "DECaLS", "BASS", "MzLS")


def read_frames(
    paths: FitsSource | CCDData | Mapping[str, FitsSource | CCDData] | Iterable[FitsSource | CCDData],
    survey: Survey | str | None = None, *, bands: str | Sequence[str] | None = None,
    config: ReadConfig | None = None, **settings: Any,
) -> FrameSet:
    """Read the bands of a field, each on its own pixel grid.

    Parameters
    ----------
    paths, survey, bands, config, **settings
        See `read_cube`.

    Returns
    -------
    FrameSet
        Its ``cutout`` makes cubes on one grid, and ``to_cube`` resamples the whole field to it.
    """
    config = configured(ReadConfig, config, settings, function=read_frames)
    known = None if survey is None else get_survey(survey)
    wanted = None if bands is None else parse_bands(bands)
    found = _read_all(_named(paths, config.hdu), known, wanted, config)
    if config.mask_bits is not None and config.mask is None and not any(one.has_mask for one in found.values()):
        raise ValueError("mask_bits is given, and no file has a mask of bits")
    images = {band: one.image for band, one in found.items()}
    check_names("weight", config.weight or {}, images)
    if known is None:
        known = _common_survey({one.survey for one in found.values()}, images)
    _check_bands(images, wanted, known)
    if wanted is not None:
        images = {band: images[band] for band in wanted}
    elif known is None and not isinstance(paths, Mapping) and set(images) <= set(_MEGACAM):
        images = {band: images[band] for band in _MEGACAM if band in images}
    field = _add_companions(images, config)
    if known is not None:
        images = {band: on_survey_scale(image, band, known) for band, image in images.items()}
    return FrameSet(images, known, reference=config.reference, psf=field)


def read_cube(
    paths: FitsSource | CCDData | Mapping[str, FitsSource | CCDData] | Iterable[FitsSource | CCDData],
    survey: Survey | str | None = None, *, bands: str | Sequence[str] | None = None,
    position: SkyCoord | str | None = None, size: int | tuple[int, int] | Quantity | None = None,
    mode: Literal["partial", "strict"] | None = None, config: ReadConfig | None = None, **settings: Any,
) -> BandCube:
    """Read images of one region of the sky in several bands as a cube.

    The image, its noise, mask and PSF are found by the names and keywords of the HDUs; :ref:`read-your-files` lists
    them survey by survey. A header value that makes no sense is an error.

    Parameters
    ----------
    paths : file, folder, dict of str to file, or sequence of files
        One file with a cube (band, y, x) or with an image of each band, or a file for each band. A file is a path,
        also with the HDU as ``file.fits[2]`` or ``file.fits[SCI,2]``; an open file; an
        `~astropy.io.fits.HDUList`; an image HDU; or a `~astropy.nddata.CCDData`. Without a dict, the bands are those of
        the headers. A folder means all FITS images in it.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        Survey of the images. SDSS frames, MegaCam stacks and files of this package identify themselves.
    bands : str or sequence of str, optional
        Required bands; others are left out. For a cube whose file does not name its bands, their names.
    position : `~astropy.coordinates.SkyCoord` or str, optional
        Center of a cutout, also as text such as ``"189.23 1.03"`` or ``"12 34 56 +01 02 03"``. It is much faster than
        resampling whole frames.
    size, mode : optional
        Of the cutout, as of `BandCube.cutout`; 64 pixels and "partial" by default.
    config : ReadConfig, optional
        Options of reading: unit, noise, masks, PSF, choice of the HDU.
    **settings
        Fields of `ReadConfig`, which replace those of ``config``: ``unit``, ``noise``, ``weight``, ``mask``, ``psf``,
        ``reference``, ``hdu`` and ``mask_bits``.

    Returns
    -------
    BandCube
        In the survey's unit if there is one. ``meta["band_meta"][band]`` has the header of each file. Pixels without
        data are masked: not finite, of weight 0, of the value in BLANK, or in an area of zeros (`empty_pixels`).

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    FileFormatError
        If a file is not FITS, is truncated, lacks parts that a file of its kind has, is ambiguous, or has a unit, zero
        point, mask or WCS that is not understood. The message names the file.
    BandMismatchError
        If bands are missing, repeated, or not those of the headers.
    SurveyError
        If a file is of another survey.
    """
    config = configured(ReadConfig, config, settings, function=read_frames)
    if position is None and not (size is None and mode is None):
        raise ValueError(f"{'mode' if size is None else 'size'} is that of a cutout; position must be given with it")
    size, mode = 64 if size is None else size, "partial" if mode is None else mode
    if is_file(paths) and not _is_folder(paths):
        paths = open_fits(paths)
        with fits_errors(paths):
            part = cube_part(paths)
            if part is not None:
                cube = _stored_cube(paths, part, None if survey is None else get_survey(survey), bands, config)
                return cube if position is None else cube.cutout(position, size, mode=mode)
    frames = read_frames(paths, survey, bands=bands, config=config)
    with fits_errors(", ".join(str(source) for _, source in _named(paths, config.hdu))):
        return frames.to_cube() if position is None else frames.cutout(position, size, mode=mode)


registry.register_reader("fits", BandCube, read_cube)  # for BandCube.read


def cube_part(file):
    """Return the HDU of a file that holds a cube which this package wrote, or None."""
    for part in file.parts:
        if part.is_image and part.data.ndim == 3 and "GALTRANS" in part.header and "BANDS" in part.header:
            return part
    return None


def _stored_cube(file, part, survey, bands, config):
    """Return a cube that this package wrote, with the bands and companions that are asked for."""
    if config.hdu is not None and file.select(config.hdu) is not part:
        raise FileFormatError(f"{file} holds one cube, in HDU {part}; hdu= names another")
    cube = _written_cube(file, part, survey)
    if config.reference is not None and config.reference not in cube.bands:
        raise BandMismatchError(f"reference must be one of {', '.join(cube.bands)}, got {config.reference!r}")
    if config.mask_bits is not None and config.mask is None:
        raise ValueError(f"mask_bits is given, and {file} has no mask of bits")
    if any(given is not None for given in (config.weight, config.mask, config.psf, config.unit)):
        check_names("weight", config.weight or {}, cube.bands)
        images = {band: _with_unit_and_weight(image, band, config) for band, image in split_bands(cube).items()}
        field = _add_companions(images, config)
        cube = stack_bands(images, cube.survey)
        if field is not None:
            cube.psf = field
    wanted = cube.bands if bands is None else parse_bands(bands)
    if cube.bands != wanted:
        _check_bands(cube.bands, wanted, cube.survey)
        cube = cube.select_bands(wanted)
    return cube


def _written_cube(file, part, survey=None):
    """Return a cube that this package wrote, as it was; its survey must be ``survey``, if that is given."""
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
            uncertainty=_written_uncertainty(find_part(file.parts, "UNCERT")),
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


def _written_uncertainty(part):
    if part is None:
        return None
    kind = uncertainty_kinds.get(part.header.get("UTYPE", "StdDevUncertainty"))
    if kind is None:
        raise ValueError(f"an uncertainty of kind {part.header['UTYPE']}")
    return kind(native(part.data), unit=parse_unit(part.header.get("BUNIT")))


def _with_unit_and_weight(image, band, config):
    """Return an image of a stored cube with the unit and the noise that the user gives."""
    spread = image.uncertainty
    if spread is not None:
        spread = type(spread)(spread.array)
    image = CCDData(image.data, unit=image.unit if config.unit is None else config.unit, wcs=image.wcs,
                    mask=image.mask, uncertainty=spread, meta=image.meta, psf=image.psf)
    weight = config._weight_of(band)
    if weight is not None:
        image.uncertainty = given_uncertainty(weight, image, band)
    return image


def _add_companions(images, config):
    """Add the masks and PSF images that the user gives; return the model of a PSF that varies, or None."""
    if config.mask is not None:
        add_masks(images, config.mask, config.mask_bits)
    return None if config.psf is None else add_psf(images, config.psf)


def _is_folder(paths):
    return is_path(paths) and Path(paths).is_dir()


def _named(paths, hdu):
    """Return pairs of band name, or None, and file."""
    if isinstance(paths, Mapping):
        parse_bands(list(paths))
        return list(paths.items())
    if _is_folder(paths):
        return [(None, path) for path in listed_files(paths)]
    if isinstance(paths, CCDData) or is_file(paths):
        # One file with an HDU for each band.
        return [(band, paths) for band in hdu] if isinstance(hdu, Mapping) else [(None, paths)]
    if isinstance(paths, NDData) or not isinstance(paths, Iterable):
        raise TypeError(f"paths must be a file, a dict of band to file, or a sequence, got {type(paths).__name__}")
    named = [(None, path) for path in paths]
    if not named:
        raise BandMismatchError("paths must name at least one file")
    return named


class _Found(NamedTuple):
    """An image that was read."""

    band: str
    image: CCDData
    survey: str | None
    """Name of the survey that the file is known to be from."""
    has_mask: bool = False


def _read_all(named, survey, wanted, config):
    """Return the images of all files, a dict of band to `_Found`."""
    if isinstance(config.hdu, Mapping):
        check_names("hdu", config.hdu, [name for name, _ in named if name is not None])
    found, opened = {}, {}
    for name, source in named:
        if isinstance(source, CCDData):
            images = [_in_memory(source, name, survey, config)]
        else:
            file = _opened_once(source, opened)
            with fits_errors(file):
                images = _stored_bands(file, name, survey, config) or _bands_of_file(
                    file, name, survey, wanted, config)
        for one in images:
            if one.band in found:
                raise BandMismatchError(f"{source} is of band {one.band}, as is another file")
            one.image.meta["band"] = one.band
            found[one.band] = one
    return found


def _opened_once(source, opened):
    if not is_path(source):
        return open_fits(source)
    path, selected = split_path(source)
    if path not in opened:
        opened[path] = open_fits(path)
    return replace(opened[path], selected=selected)


def _in_memory(ccd, name, survey, config):
    """Return a CCDData with its band and survey."""
    if config._hdu_of(name) is not None:
        raise ValueError("hdu is that of a file, and a CCDData is given")
    names = () if survey is None else survey.band_names
    has_header = isinstance(ccd.meta, fits.Header)
    own = None if has_header else ccd.meta.get("band")
    for meta in (ccd.meta, None if has_header else ccd.meta.get("header")):
        if own is None and meta is not None:
            own = band_of_header(meta, names)
    band, origin = _agreed_band("the CCDData", name, own, names), survey_in_memory(ccd)
    if origin is not None and survey is not None and not survey.name.upper().startswith(origin.upper()):
        raise SurveyError(f"the CCDData is of survey {origin}, not {survey.name}")
    return _Found(band, image_in_memory(ccd, config, survey, band), origin)


def _stored_bands(file, name, survey, config):
    """Return the bands of a cube that this package wrote; an empty list for other files."""
    part, chosen = cube_part(file), config._hdu_of(name)
    chosen = file.selected if chosen is None else chosen
    if part is None or (chosen is not None and file.select(chosen) is not part):
        return []
    cube = _written_cube(file, part, survey)
    if name is not None:
        cube = cube.select_bands([name])
    origin = None if cube.survey is None else cube.survey.name
    return [_Found(band, _with_unit_and_weight(image, band, config), origin)
            for band, image in split_bands(cube).items()]


def _bands_of_file(file, name, survey, wanted, config):
    """Return the images of a file, with their bands and the survey that they are known to be from."""
    names = () if survey is None else survey.band_names
    found = []
    for planes in chosen_images(file, name, config._hdu_of(name), names, wanted):
        data, origin = squeezed(planes.image.data), _origin(planes, survey)
        if data.ndim > 3:
            raise FileFormatError(f"{file} has an image of {data.ndim} axes in HDU {planes.image}")
        # MegaCam stacks are on the scale of the survey, whose noise they then have.
        own = get_survey(origin) if survey is None and origin is not None else survey
        for band, index in _bands_of(planes, data, name, names, wanted):
            image = image_of(planes, config, own, band, index)
            known = origin != "CFHTLS" or not is_megacam(planes.keys) or "zero_point" in image.meta
            found.append(_Found(band, image, origin if known else None, planes.has_mask))
    return found


def _bands_of(planes, data, name, names, wanted):
    """Return band, and plane of a cube or None, of all images in an HDU."""
    file = planes.file
    if data.ndim == 2:
        own = planes.band
        if name is None and own is None:
            own = wanted[0] if wanted is not None and len(wanted) == 1 else names[0] if len(names) == 1 else None
        return [(_agreed_band(file, name, own, names), None)]
    own = cube_bands(planes.keys, len(data))
    bands = wanted if own is None else tuple(known_band(band, names) for band in own)
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
    """Return the name of the survey that a file is known to be from, or None; it must be ``survey``, if given."""
    file, keys = planes.file, planes.keys
    is_sdss, megacam = planes.image.index == 0 and is_frame(file.parts), is_megacam(keys)
    name = str(keys.get("SURVEY") or "").strip()
    known = next((one for one in available_surveys() if name and same_name(one, name)), None)
    legacy = any(same_name(name, one) for one in _LEGACY)
    if survey is not None:
        ours = survey.name.upper()
        if (is_sdss and not ours.startswith("SDSS")) or (megacam and ours == "SDSS"):
            origin = "SDSS" if is_sdss else "CFHT MegaCam"
            raise SurveyError(f"{file} is an image of {origin}, not of survey {survey.name}")
        if known is not None and not ours.startswith(known.upper()) and not legacy:
            raise SurveyError(f"{file} is of survey {name}, not {survey.name}")
    if megacam and (survey is None or survey.name == "CFHTLS"):
        _warn_of_later_filter(file, str(keys.get("FILTER")).strip())
    if is_sdss or megacam:
        return "SDSS" if is_sdss else "CFHTLS"
    # Without a unit that of the survey would be assumed; cutouts of the Legacy Surveys viewer have a known one.
    has_unit = legacy or keys.get("BUNIT") is not None or keys.get("BANDS") is not None
    return known if has_unit else None


def _common_survey(origins, bands):
    """Return the survey that all images are from, if it has all of their bands, or None."""
    if len(origins) != 1 or None in origins:
        return None
    survey = get_survey(origins.pop())
    return survey if set(bands) <= set(survey.band_names) else None


def _warn_of_later_filter(file, name):
    """Warn if an image was taken through a filter that MegaCam has had since 2015, which is not one of CFHTLS."""
    if name.upper().split(".")[-1] not in _CFHTLS_FILTERS:
        warnings.warn(f"{file} was taken through {name}, which is not one of the filters of CFHTLS: its curve differs",
                      GaltransWarning, stacklevel=2)


def _agreed_band(file, name, own, names=()):
    """Return the band that the user names, or that of the header; raise an error if they contradict each other."""
    if name is None:
        if own is None:
            raise BandMismatchError(f"{file} has no band in FILTER or BAND; give the files as a dict of band to path")
        return own
    if own is None or own == name:
        return name
    if {name, own} == {"i", "i2"}:
        warnings.warn(f"{file} was taken through filter {own} and is read as {name}: the two MegaCam i filters differ",
                      GaltransWarning, stacklevel=2)
        return name
    # Other surveys write names of their own, such as 'F814W'; only a plain other band is a swap.
    if (own.lower() in PLAIN_BANDS and name.lower() in PLAIN_BANDS and own.lower() != name.lower()) or (
            own in names and name in names):
        raise BandMismatchError(f"{file} is of band {own}, not {name}")
    return name


def _check_bands(found, wanted, survey):
    """Raise BandMismatchError if bands are missing, or not those of the survey."""
    missing = [band for band in wanted or () if band not in found]
    if missing:
        raise BandMismatchError(f"band {', '.join(missing)} is missing; there are {', '.join(found)}")
    if survey is not None:
        unknown = [band for band in wanted or found if band not in survey.band_names]
        if unknown:
            raise BandMismatchError(
                f"survey {survey.name} has bands {', '.join(survey.band_names)}, not {', '.join(unknown)}")
