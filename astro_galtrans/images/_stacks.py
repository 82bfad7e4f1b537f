"""Single-band images of any survey, from the HDUs of a file or from astropy's objects, with noise and mask."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDUncertainty, StdDevUncertainty, VarianceUncertainty
from astropy.stats import mad_std, sigma_clip
from astropy.utils.exceptions import AstropyUserWarning

from astro_galtrans._utils.masked import floats
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import _uncertainty
from astro_galtrans.images._ccd_write import BandMeta
from astro_galtrans.images._contents import MASKS, NOISE, Planes, companion, described, plane_of, role_of, squeezed
from astro_galtrans.images._fits_read import Part, celestial_wcs, find_part, is_file, native, open_fits
from astro_galtrans.images._fits_write import meta_of_table
from astro_galtrans.images._headers import Keywords, gain_of, parse_unit, plane_zero_point, unit_and_zero_point
from astro_galtrans.images._masks import bad_pixels
from astro_galtrans.images._missing import empty_pixels
from astro_galtrans.images._scales import is_counts, scale_factors, zero_points
from astro_galtrans.images._sdss import frame_meta, is_frame, is_whole_frame, sigma_of_frame
from astro_galtrans.surveys import available_surveys, get_survey, same_name

if TYPE_CHECKING:
    from astropy.units import UnitBase

    from astro_galtrans.surveys import Survey

__all__ = ["Reading", "image_in_memory", "image_of", "on_survey_scale", "pixel_noise", "survey_in_memory",
           "uncertainty_from"]

_KINDS = {"sigma": StdDevUncertainty, "variance": VarianceUncertainty, "inverse variance": InverseVariance,
          "WHT": InverseVariance}
# Keywords of the value that stands for "no data", beside NaN.
_STAND_INS = ("BLANK", "NODATA", "FILLVAL", "NULLVAL", "BADVAL")
# Files of the Legacy Surveys, and their viewer's cutouts of SDSS, are in nanomaggies, which the cutouts do not say.
_IN_NANOMAGGIES = ("LegacySurvey", "DECaLS", "BASS", "MzLS")


@dataclass(frozen=True)
class Reading:
    """How images are read; see `astro_galtrans.images.read_cube`.

    Parameters
    ----------
    survey : Survey or None
    unit : unit or None
    noise : {"auto", None}
    mask_bits : tuple of str or int, or None
    has_psf : bool
        Whether the PSF is given beside the files.
    """

    survey: Survey | None = None
    unit: UnitBase | str | None = None
    noise: str | None = "auto"
    mask_bits: tuple[str | int, ...] | None = None
    has_psf: bool = False


def image_of(
    planes: Planes, reading: Reading, *, band: str | None = None, index: int | None = None, weight: Any = None,
) -> CCDData:
    """Return an image of a file in the unit of the file.

    Parameters
    ----------
    planes : Planes
        The image and what belongs to it.
    reading : Reading
        How.
    band : str, optional
        Band of the image.
    index : int, optional
        Plane of a cube.
    weight : optional
        Noise that is used instead of that of the file; see `uncertainty_from`.
    """
    file, part, keys = planes.file, planes.image, planes.keys
    cube = squeezed(part.data)
    stored, place = (cube, None) if index is None else (cube[index], (index, len(cube)))
    flux = _linear(keys, stored)
    frame = frame_meta(part.header) if part.index == 0 and index is None and is_frame(file.parts) else {}
    unit, zero_point = unit_and_zero_point(keys, reading.unit, reading.survey, _usual_unit(keys, frame))
    if index is not None and is_counts(unit):
        zero_point = plane_zero_point(keys, index, zero_point)
    stored_meta = _written_meta(file, part) if index is None else {}
    meta: dict[str, Any] = {**frame, "header": part.header, **stored_meta}
    if band is not None:
        meta["band"] = band
    if zero_point is not None:
        meta["zero_point"] = zero_point
    if reading.survey is not None and "gain" in reading.survey.keywords:
        gain = gain_of(keys, unit, reading.survey)
        if gain is not None:
            meta["gain"] = gain
    mask = _no_data(keys, stored, flux)
    for plane in planes.masks(band):
        mask |= _bad_of(file, plane, band, place, reading)
    _warn_of_unread(planes, reading)
    psf = None if reading.has_psf else planes.psf(band)
    psf = None if psf is None else native(plane_of(psf, band, place, f"the PSF {psf} of {file}"))
    image = CCDData(flux, unit=u.adu, wcs=celestial_wcs(file, part), mask=mask, meta=meta, psf=psf)
    area = _pixel_area(keys, unit)
    image.unit = unit
    noise = planes.noise(band) if weight is None else None
    if weight is not None:
        _set_noise(image, uncertainty_from(weight, band, flux.shape, unit, place, reading.unit is not None), keys)
    elif noise is not None:
        _set_noise(image, _uncertainty_of_part(
            file, noise, role_of(noise), flux.shape, unit, band, place, reading.unit is not None), keys)
    elif frame and is_whole_frame(file.parts):
        image.uncertainty = StdDevUncertainty(sigma_of_frame(file, flux, frame))
    else:
        _estimate(image, keys, reading, band, planes, frame)
    if area is not None:
        image = _scaled(image, area.value, unit * area.unit)
    return _without_empty_mask(image)


def image_in_memory(ccd: CCDData, reading: Reading, band: str | None = None, weight: Any = None) -> CCDData:
    """Return a CCDData as `image_of` gives one of a file: with its unit checked, and with noise and mask."""
    if ccd.data.ndim != 2:
        raise ValueError(f"a CCDData must be an image of one band, shape (y, x), got {ccd.data.shape}")
    keys = _keywords_in_memory(ccd, band)
    unit, zero_point = unit_and_zero_point(keys, reading.unit, reading.survey)
    meta = {"header": ccd.meta.copy()} if isinstance(ccd.meta, fits.Header) else dict(ccd.meta)
    if band is not None:
        meta["band"] = band
    if zero_point is not None:
        meta.setdefault("zero_point", zero_point)
    flux = native(ccd.data, np.float64 if ccd.data.dtype.itemsize > 4 else np.float32)
    mask = ~np.isfinite(flux) | empty_pixels(flux)
    if ccd.mask is not None:
        mask |= np.asarray(ccd.mask, dtype=bool)
    image = CCDData(flux, unit=unit, wcs=ccd.wcs, mask=mask, meta=meta, psf=ccd.psf)
    if weight is not None:
        _set_noise(image, uncertainty_from(weight, band, flux.shape, unit), keys)
    elif ccd.uncertainty is not None:
        kind = ccd.uncertainty
        _set_noise(image, _uncertainty.checked(
            kind if reading.unit is None else type(kind)(kind.array), flux.shape, unit), keys)
    else:
        _estimate(image, keys, reading, band)
    return _without_empty_mask(image)


def survey_in_memory(ccd: CCDData) -> str | None:
    """Return the name of the survey that a CCDData of this package is from, or None."""
    meta = ccd.meta
    told = meta.cards.get("SURVEY", "") if isinstance(meta, BandMeta) else meta.get(
        "SURVEY" if isinstance(meta, fits.Header) else "survey", "")
    told = told[0] if isinstance(told, tuple) else told
    return next((name for name in available_surveys() if isinstance(told, str) and same_name(name, told)), None)


def _keywords_in_memory(ccd, band):
    """The keywords of a CCDData that hold for its numbers as they are now."""
    meta, zero_point = ccd.meta, ccd.meta.get("zero_point")
    told = {"BUNIT": None if ccd.unit is None else ccd.unit.to_string()}
    if isinstance(meta, fits.Header):
        told = {**dict(meta), **told}
    elif zero_point is None and isinstance(meta, BandMeta) and "MAGZERO" in meta.cards:
        zero_point = meta.cards["MAGZERO"][0]
    elif zero_point is None and survey_in_memory(ccd) is not None and ccd.unit is not None:
        # its header is that of a file that had another unit
        survey = get_survey(survey_in_memory(ccd))
        known = zero_points(ccd.unit, (band,), survey) if band in survey.band_names else None
        zero_point = None if known is None else float(known[0])
    elif zero_point is None:
        told = {**dict(meta.get("header", meta)), **told}
    if zero_point is not None and ccd.unit is not None and is_counts(ccd.unit):
        told["MZP_AB"] = zero_point
    if not isinstance(meta, fits.Header) and meta.get("gain") is not None:
        told["GAIN"] = meta["gain"]
    return Keywords("the CCDData", told)


def _written_meta(file, part):
    """The meta of an image that this package wrote with `write_bands`, or as a CCDData; an empty dict of others."""
    table = find_part(file.parts, "META")
    try:
        found = meta_of_table(table)
        return BandMeta.rest_of(part.header) if found is None else found
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileFormatError(f"{file} has meta of this package that cannot be read: {error}") from error


def _bad_of(file, part, band, place, reading):
    """The bad pixels of an image that a mask of its file tells."""
    plane = plane_of(part, band, place, f"the mask {part} of {file}")
    return bad_pixels(file, Part(part.name, part.header, plane, part.version, part.index), band, reading.mask_bits)


def _warn_of_unread(planes, reading):
    """Name what belongs to an image and is not read: masks of another shape, and PSFs in tables."""
    file = planes.file
    masks = [part for part in planes.unread if role_of(part) in MASKS]
    if masks:
        file.warn(f"{file} has masks of another shape than its image, which are not read: {described(masks)}")
    if not reading.has_psf and not any(role_of(part) == "psf" for part in planes.companions):
        tables = [part for part in file.parts if not part.is_image and part.data is not None and "PSF" in (
            part.name + str(part.header.get("AR_NAME", "")).upper())]
        if tables:
            file.warn(f"{file} has a model of its PSF that is not read, in {described(tables)}; give images of it with "
                      "psf=")


def _linear(keys, stored):
    """Pixel values as float; those of Pan-STARRS stacks are asinh magnitudes: Waters et al. (2020, ApJS 251, 4)."""
    flux = native(stored, np.float32 if stored.dtype.itemsize <= 4 else np.float64)
    softening, offset = keys.number("BSOFTEN"), keys.number("BOFFSET")
    if softening is None or offset is None:
        return flux.copy() if np.may_share_memory(flux, stored) else flux
    if not np.isfinite(softening + offset):
        raise FileFormatError(f"{keys.label} must tell the asinh scaling in BSOFTEN and BOFFSET, it has "
                              f"{keys.get('BSOFTEN')!r} and {keys.get('BOFFSET')!r}")
    counts = offset + 2 * softening * np.sinh(flux.astype(np.float64) * (0.4 * np.log(10)))
    return counts.astype(flux.dtype)


def _no_data(keys, stored, flux):
    """Pixels that hold no data: not finite, a stand-in that the header tells, or an area of zeros."""
    missing = ~np.isfinite(flux) | empty_pixels(stored)
    for key in _STAND_INS:
        value = keys.number(key)
        if value is not None and np.isfinite(value):
            if key == "BLANK":
                # astropy puts NaN for it in signed integers only
                value = value * (keys.number("BSCALE") or 1) + (keys.number("BZERO") or 0)
            missing |= stored == stored.dtype.type(value) if stored.dtype.kind == "f" else stored == value
    return missing


def _usual_unit(keys, frame):
    survey = str(keys.get("SURVEY") or "")
    viewer = same_name(survey, "SDSS") and keys.get("BANDS") is not None
    return u.nmgy if frame or viewer or any(same_name(survey, one) for one in _IN_NANOMAGGIES) else None


def _pixel_area(keys, unit):
    """Solid angle of a pixel of an image in surface brightness; None for one in flux."""
    if not unit.is_equivalent(u.Jy / u.sr):
        return None
    value = keys.number("PIXAR_SR")
    if value is None and keys.number("PIXAR_A2") is not None:
        value = keys.number("PIXAR_A2") * u.arcsec.to(u.rad)**2
    if value is None or not value > 0:
        raise FileFormatError(
            f"{keys.label} is in {unit}, a surface brightness, and PIXAR_SR must tell the area of its pixels, it has "
            f"{keys.get('PIXAR_SR')!r}; give the flux per pixel with unit=")
    return value * u.sr


def _scaled(image, factor, unit):
    """An image with its numbers multiplied by a factor, in another unit."""
    spread = image.uncertainty
    if spread is not None:
        factors = np.asarray(factor, dtype=np.result_type(spread.array.dtype, np.float32))
        spread = type(spread)(_uncertainty.scaled(spread, factors))
    return CCDData(image.data * image.data.dtype.type(factor), unit=unit, wcs=image.wcs, mask=image.mask,
                   uncertainty=spread, meta=image.meta, psf=image.psf)


def on_survey_scale(image: CCDData, band: str, survey: Survey) -> CCDData:
    """Return an image in the unit and on the zero point of a survey."""
    own = zero_points(image.unit, (band,), survey, image.meta.get("zero_point"))
    if own is None:
        raise ValueError(
            f"band {band} is in {image.unit}, which is not on the scale of survey {survey.name}; give unit=")
    factor = float(scale_factors(own, [survey[band].zero_point])[0])
    meta = {key: value for key, value in image.meta.items() if key != "zero_point"}
    if factor != 1 or image.unit != survey.unit:
        image = _scaled(image, factor, survey.unit)
        if "gain" in meta and "camcol" not in meta:
            meta["gain"] = meta["gain"] / factor
    image.meta = {**meta, "survey": survey.name}
    return image


def uncertainty_from(
    weight: Any, band: str | None, shape: tuple[int, ...], unit: UnitBase,
    place: tuple[int, int] | None = None, same_unit: bool = False,
) -> NDUncertainty:
    """Return the uncertainty of an image that is given beside it.

    Parameters
    ----------
    weight : file, array or NDUncertainty
        Of a file, names tell the kind of noise; without, and for an array, it is inverse variance.
    band : str
        Band of the image.
    shape : tuple of int
        Shape of the image.
    unit : unit
        Unit of the image.
    place : tuple of int, optional
        Number of the image in its cube, and number of images there.
    same_unit : bool, optional
        Whether the numbers are in ``unit`` whatever the header says, as where the user gives the unit of the files.
    """
    if isinstance(weight, NDUncertainty):
        return _uncertainty.checked(weight, shape, unit)
    if not is_file(weight):
        given = weight.unit if isinstance(weight, u.Quantity) else None
        if given is not None and not given.is_equivalent(unit**-2):
            raise ValueError(f"the weight of band {band} must be an inverse variance in {unit**-2}, got {given}")
        array = floats(weight, f"weight of band {band}", unit=None if given is None else unit**-2)
        # a masked value is NaN, and a pixel without weight holds no data
        return InverseVariance(np.nan_to_num(_of_shape(array, shape, f"weight of band {band}"), posinf=0))
    file = open_fits(weight)
    part, role = companion(file, (*NOISE, "WHT"), band, "weight")
    if role in ("mask", "psf"):
        raise FileFormatError(f"{file} is given as weight, and its HDU {part} is a {role}")
    role = role if role in _KINDS else "inverse variance"
    return _uncertainty_of_part(file, part, role, shape, unit, band, place, same_unit)


def _of_shape(array, shape, what):
    if array.shape != shape:
        raise ValueError(f"the {what} has shape {array.shape}, the image {shape}")
    return array


def _uncertainty_of_part(file, part, role, shape, unit, band, place, same_unit):
    kind, what = _KINDS[role], f"{'weight map' if role in ('WHT', 'inverse variance') else role} of {file}"
    array = _linear(Keywords(file.label, part.header), plane_of(part, band, place, f"the {what}"))
    array = _of_shape(array, shape, what)
    wanted = unit ** _uncertainty.POWERS[kind]
    try:
        told = parse_unit(part.header.get("BUNIT"))
    except ValueError:
        told = None
    # maps of weights often keep the header of their image
    usable = told is not None and not same_unit and told not in (wanted, unit) and not is_counts(unit)
    if usable and told.is_equivalent(wanted):
        array = array * array.dtype.type(told.to(wanted))
    if kind is not VarianceUncertainty:
        return kind(array)
    with np.errstate(invalid="ignore"):
        return StdDevUncertainty(np.sqrt(array))


def _set_noise(image, uncertainty, keys):
    """Give an image its noise; pixels without a weight, or of a noise that is no number, hold no data."""
    array = uncertainty.array
    image.uncertainty = uncertainty
    usable = np.isfinite(array) & (array > 0)
    if not usable.any() and not image.mask.all():
        keys.warn(f"{keys.label} has a noise or weight that is nowhere a positive number, so that all pixels are "
                  "masked; weight= gives another")
    image.mask |= ~usable


def _without_empty_mask(image):
    if not image.mask.any():
        image.mask = None
    return image


def _estimate(image, keys, reading, band, planes=None, frame=None):
    """Estimate the noise of an image that has none, if it is wanted."""
    others = [] if planes is None else [part for part in (*planes.unread, *planes.companions)
                                        if role_of(part) in (*NOISE, "WHT")]
    if others:
        drizzled = [part for part in others if role_of(part) == "WHT" and part.data.shape == planes.image.data.shape]
        keys.warn(f"{keys.label} has noise that is not read: {described(others)}" + (
            f". weight={{{band!r}: '{keys.label}[{drizzled[0].index}]'}} takes it for inverse variance" if drizzled else
            "; it is of another shape or band"))
    if reading.noise is None:
        return
    if frame:
        keys.warn(f"{keys.label} lacks the calibration vector or the sky of an SDSS frame, as cutouts do; its noise is "
                  "estimated from the scatter of its background")
    gain = _gain_of_image(image, keys, reading.survey, band, frame)
    sigma = pixel_noise(image.data, image.mask, gain)
    if not image.mask.all() and not np.nanmin(sigma) > 0:
        keys.warn(f"{keys.label} has a background without scatter, from which no noise can be estimated")
        sigma = _typical_noise(image, reading.survey, band)
    if sigma is not None:
        image.uncertainty = StdDevUncertainty(sigma.astype(image.data.dtype))


def _gain_of_image(image, keys, survey, band, frame):
    """Electrons per unit of an image, of its header or of its survey; None where it is not known."""
    if frame and image.unit == u.nmgy:
        calibration = keys.number("NMGY")
        return frame["gain"] / calibration if calibration is not None and calibration > 0 else None
    gain = gain_of(keys, image.unit, survey)
    if gain is not None:
        return gain
    band = "i" if band == "i2" else band
    # the two i filters of MegaCam pass as many photons to some per cent, and their stacks are of like depth
    if survey is None or band not in survey.band_names:
        return None
    own = zero_points(image.unit, (band,), survey, image.meta.get("zero_point"))
    return None if own is None else float(survey[band].gain * scale_factors(own, [survey[band].zero_point])[0])


def _typical_noise(image, survey, band):
    """The sky noise of a survey in the unit of an image; None where it is not known."""
    if survey is None or band not in survey.band_names:
        return None
    own = zero_points(image.unit, (band,), survey, image.meta.get("zero_point"))
    if own is None:
        return None
    return np.full(image.data.shape, survey[band].sky_noise / scale_factors(own, [survey[band].zero_point])[0])


def pixel_noise(flux: np.ndarray, mask: np.ndarray | None = None, gain: float | None = None) -> np.ndarray:
    """Return the standard deviation of each pixel: the scatter of the background, and the photons of the sources.

    Parameters
    ----------
    flux : ndarray
        Background-subtracted image, shape ``(y, x)``.
    mask : ndarray of bool, optional
        True where a pixel is bad.
    gain : float, optional
        Electrons per unit of flux; without it there is no photon noise.

    Returns
    -------
    ndarray
        Shape ``(y, x)``.
    """
    good = np.isfinite(flux) if mask is None else np.isfinite(flux) & ~mask
    if not good.any():
        return np.full(flux.shape, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        background = sigma_clip(flux[good].astype(float), sigma=3, stdfunc=mad_std, masked=False)
    level, scatter = np.median(background), mad_std(background)
    photons = np.zeros(flux.shape) if gain is None else np.maximum(np.nan_to_num(flux) - level, 0) / gain
    return np.sqrt(scatter**2 + photons)
