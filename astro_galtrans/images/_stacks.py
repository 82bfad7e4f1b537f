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

from astro_galtrans.exceptions import FileFormatError, GaltransWarning
from astro_galtrans.images import _uncertainty
from astro_galtrans.images._contents import NOISE, Planes, companion, described, role_of, squeezed
from astro_galtrans.images._fits_read import Part, celestial_wcs, native, open_fits
from astro_galtrans.images._headers import Keywords, gain_of, parse_unit, unit_and_zero_point
from astro_galtrans.images._masks import bad_pixels
from astro_galtrans.images._missing import empty_pixels
from astro_galtrans.images._scales import is_counts, scale_factors, zero_points
from astro_galtrans.images._sdss import frame_meta, is_frame, is_whole_frame, sigma_of_frame

if TYPE_CHECKING:
    from astropy.units import UnitBase

    from astro_galtrans.surveys import Survey

__all__ = ["Reading", "image_in_memory", "image_of", "on_survey_scale", "pixel_noise", "uncertainty_from"]

_KINDS = {"sigma": StdDevUncertainty, "variance": VarianceUncertainty, "inverse variance": InverseVariance,
          "WHT": InverseVariance}
# Keywords of the value that stands for "no data", beside NaN.
_STAND_INS = ("BLANK", "NODATA", "FILLVAL", "NULLVAL", "BADVAL")
# Files of the Legacy Surveys, and their viewer's cutouts of SDSS, are in nanomaggies, which the cutouts do not say.
_IN_NANOMAGGIES = ("LEGACYSURVEY", "DECALS", "BASS", "MZLS")


@dataclass(frozen=True)
class Reading:
    """How images are read; see `astro_galtrans.images.read_cube`.

    Parameters
    ----------
    survey : Survey or None
    unit : unit or None
    noise : {"auto", None}
    mask_bits : tuple of str or int, or None
    """

    survey: Survey | None = None
    unit: UnitBase | str | None = None
    noise: str | None = "auto"
    mask_bits: tuple[str | int, ...] | None = None


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
    stored = _plane(squeezed(part.data), index)
    flux = _linear(part, stored)
    frame = frame_meta(part.header) if part.index == 0 and index is None and is_frame(file.parts) else {}
    unit, zero_point = unit_and_zero_point(keys, reading.unit, reading.survey, _usual_unit(part.header, frame))
    meta: dict[str, Any] = {**frame, "header": part.header}
    if band is not None:
        meta["band"] = band
    if zero_point is not None:
        meta["zero_point"] = zero_point
    if reading.survey is not None and "gain" in reading.survey.keywords:
        gain = gain_of(keys, unit, reading.survey)
        if gain is not None:
            meta["gain"] = gain
    mask = _no_data(part, stored, flux)
    if planes.mask is not None:
        mask |= np.broadcast_to(bad_pixels(file, _sliced(planes.mask, index), band, reading.mask_bits), flux.shape)
    psf = None if planes.psf is None else native(_plane(squeezed(planes.psf.data), index))
    image = CCDData(flux, unit=u.adu, wcs=celestial_wcs(file, part), mask=mask, meta=meta, psf=psf)
    area = _pixel_area(keys, unit)
    image.unit = unit
    if weight is not None:
        _set_noise(image, uncertainty_from(weight, band, flux.shape, unit, index, reading.unit is not None))
    elif planes.noise is not None:
        _set_noise(image, _uncertainty_of_part(
            file, planes.noise, role_of(planes.noise), flux.shape, unit, index, reading.unit is not None))
    elif frame and is_whole_frame(file.parts):
        image.uncertainty = StdDevUncertainty(sigma_of_frame(file, flux, frame))
    else:
        _estimate(image, keys, reading, band, planes.unread, frame)
    if area is not None:
        image = _scaled(image, area.value, unit * area.unit)
    return _without_empty_mask(image)


def image_in_memory(ccd: CCDData, reading: Reading, band: str | None = None, weight: Any = None) -> CCDData:
    """Return a CCDData as `image_of` gives one of a file: with its unit checked, and with noise and mask."""
    if ccd.data.ndim != 2:
        raise ValueError(f"a CCDData must be an image of one band, shape (y, x), got {ccd.data.shape}")
    header = ccd.meta if isinstance(ccd.meta, fits.Header) else ccd.meta.get("header", ccd.meta)
    told = {"BUNIT": None if ccd.unit is None else ccd.unit.to_string()}
    if ccd.meta.get("zero_point") is not None:
        told["MZP_AB"] = ccd.meta["zero_point"]
    keys = Keywords("the CCDData", {**dict(header), **told})
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
        _set_noise(image, uncertainty_from(weight, band, flux.shape, unit))
    elif ccd.uncertainty is not None:
        kind = ccd.uncertainty
        _set_noise(image, _uncertainty.checked(
            kind if reading.unit is None else type(kind)(kind.array), flux.shape, unit))
    else:
        _estimate(image, keys, reading, band)
    return _without_empty_mask(image)


def _plane(array, index):
    return array if index is None or array.ndim == 2 else array[index]


def _sliced(part, index):
    return Part(part.name, part.header, _plane(squeezed(part.data), index), part.version, part.index)


def _linear(part, stored):
    """Pixel values as float; those of Pan-STARRS stacks are asinh magnitudes: Waters et al. (2020, ApJS 251, 4)."""
    flux = native(stored, np.float32 if stored.dtype.itemsize <= 4 else np.float64)
    if "BSOFTEN" not in part.header or "BOFFSET" not in part.header:
        return flux.copy() if np.may_share_memory(flux, stored) else flux
    softening, offset = part.header["BSOFTEN"], part.header["BOFFSET"]
    counts = offset + 2 * softening * np.sinh(flux.astype(np.float64) * (0.4 * np.log(10)))
    return counts.astype(flux.dtype)


def _no_data(part, stored, flux):
    """Pixels that hold no data: not finite, a stand-in that the header tells, or an area of zeros."""
    missing = ~np.isfinite(flux) | empty_pixels(stored)
    for key in _STAND_INS:
        value = part.header.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if key == "BLANK":
                # astropy puts NaN for it in signed integers only
                value = value * part.header.get("BSCALE", 1) + part.header.get("BZERO", 0)
            missing |= stored == value
    return missing


def _usual_unit(header, frame):
    survey = str(header.get("SURVEY", "")).replace(" ", "").upper()
    viewer = survey == "SDSS" and "BANDS" in header
    return u.nmgy if frame or viewer or survey in _IN_NANOMAGGIES else None


def _pixel_area(keys, unit):
    """Solid angle of a pixel of an image in surface brightness; None for one in flux."""
    if not unit.is_equivalent(u.Jy / u.sr):
        return None
    value = keys.number("PIXAR_SR")
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
    weight: Any, band: str | None, shape: tuple[int, ...], unit: UnitBase, index: int | None = None,
    same_unit: bool = False,
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
    index : int, optional
        Plane of the image in its cube.
    same_unit : bool, optional
        Whether the numbers are in ``unit`` whatever the header says, as where the user gives the unit of the files.
    """
    if isinstance(weight, NDUncertainty):
        return _uncertainty.checked(weight, shape, unit)
    if isinstance(weight, np.ndarray):
        return InverseVariance(_of_shape(weight, shape, f"weight of band {band}"))
    file = open_fits(weight)
    part, role = companion(file, (*NOISE, "WHT"), band, "weight")
    if role in ("mask", "psf"):
        raise FileFormatError(f"{file} is given as weight, and its HDU {part} is a {role}")
    role = role if role in _KINDS else "inverse variance"
    return _uncertainty_of_part(file, part, role, shape, unit, index, same_unit)


def _of_shape(array, shape, what):
    if array.shape != shape:
        raise ValueError(f"the {what} has shape {array.shape}, the image {shape}")
    return array


def _uncertainty_of_part(file, part, role, shape, unit, index, same_unit):
    kind = _KINDS[role]
    array = _plane(_linear(part, squeezed(part.data)), index)
    array = _of_shape(array, shape, f"{'weight map' if role in ('WHT', 'inverse variance') else role} of {file}")
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


def _set_noise(image, uncertainty):
    """Give an image its noise; pixels without a weight, or of a noise that is no number, hold no data."""
    array = uncertainty.array
    image.uncertainty = uncertainty
    image.mask |= ~(np.isfinite(array) & (array > 0))


def _without_empty_mask(image):
    if not image.mask.any():
        image.mask = None
    return image


def _estimate(image, keys, reading, band, unread=(), frame=None):
    """Estimate the noise of an image that has none, if it is wanted."""
    if unread:
        warnings.warn(
            f"{keys.label} has noise that is not read: {described(unread)}. weight={{{band!r}: "
            f"'{keys.label}[{unread[0].name}]'}} takes it for inverse variance", GaltransWarning, stacklevel=2)
    if reading.noise is None:
        return
    if frame:
        warnings.warn(f"{keys.label} lacks the calibration vector or the sky of an SDSS frame, as cutouts do; its "
                      "noise is estimated from the scatter of its background", GaltransWarning, stacklevel=2)
    gain = _gain_of_image(image, keys, reading.survey, band, frame)
    sigma = pixel_noise(image.data, image.mask, gain)
    if not image.mask.all() and not np.nanmin(sigma) > 0:
        warnings.warn(f"{keys.label} has a background without scatter, from which no noise can be estimated",
                      GaltransWarning, stacklevel=2)
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
