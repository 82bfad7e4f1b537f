"""Single-band images of any survey, from the HDUs of a file or from a CCDData, with noise and mask."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import mad_std, sigma_clip
from astropy.utils.exceptions import AstropyUserWarning

from astro_galtrans._utils.validation import choice, text
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import _uncertainty
from astro_galtrans.images._companions import given_uncertainty, linear_flux, plane_uncertainty
from astro_galtrans.images._contents import MASKS, NOISE, described, plane_of, role_of, squeezed
from astro_galtrans.images._fits_read import FitsSource, Part, celestial_wcs, find_part, native
from astro_galtrans.images._fits_write import BandMeta, meta_of_table
from astro_galtrans.images._headers import Keywords, gain_of, plane_zero_point, unit_and_zero_point
from astro_galtrans.images._masks import bad_pixels, checked_bits
from astro_galtrans.images._psf import PSFModel
from astro_galtrans.images._scales import is_counts, scale_factors, zero_points
from astro_galtrans.images._sdss import frame_meta, is_frame, is_whole_frame, sigma_of_frame
from astro_galtrans.images._valid import empty_pixels
from astro_galtrans.surveys import available_surveys, get_survey, same_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.nddata import NDUncertainty
    from numpy.typing import ArrayLike

__all__ = ["ReadConfig", "image_in_memory", "image_of", "on_survey_scale", "pixel_noise", "survey_in_memory"]

# Keywords of the value of pixels without data, besides NaN.
_STAND_INS = ("BLANK", "NODATA", "FILLVAL", "NULLVAL", "BADVAL")
# Files of the Legacy Surveys, and their viewer's cutouts of SDSS, are in nanomaggies, which the cutouts do not state.
_IN_NANOMAGGIES = ("LegacySurvey", "DECaLS", "BASS", "MzLS")


@dataclass(frozen=True, eq=False)
class ReadConfig:
    """Options of `read_cube` and `read_frames`, which also take them as keywords.

    Parameters
    ----------
    unit : `~astropy.units.Unit` or str, optional
        Unit of the files, which takes precedence over BUNIT. Without both, an image with a zero point is in counts, and
        one without is taken to be in the survey's unit, with a warning.
    noise : {"auto", None}, optional
        Whether to estimate the noise of images that have none, from the scatter of the background and, with the gain
        of header or survey, the photons of the sources. Noise in a file is read in any case, and SDSS frames have that
        of their calibration. Cubes that this package wrote are returned as they were.
    weight : dict of str to file, array or uncertainty, optional
        Noise by band, instead of that of the files. A file or HDU is sigma, variance or inverse variance as its name
        says (ERR, VAR, IVAR, ...; also ``tile-var.fits``), and inverse variance if it does not say, as is an array; a
        `~astropy.nddata.StdDevUncertainty` or `~astropy.nddata.VarianceUncertainty` has its kind.
    mask : dict of str to file or array, optional
        Bad pixels by band, in addition to those in the image files: an SDSS fpM file, of which pixels that are
        interpolated, saturated, hit by a cosmic ray or not checked are bad (`read_sdss_mask` reads others), or an image
        or array that is not 0 where a pixel is bad.
    psf : file, PSFModel, or dict of str to file or array, optional
        Point spread function: the psField file of an SDSS field, or another model with a PSF for the position of each
        cutout, or an image of the PSF for each band.
    reference : str, optional
        Band whose pixel grid is used where the grids differ; the default is r.
    hdu : int, str, tuple or dict of str to such, optional
        HDU of the image, by number, name or (name, version); a dict has one for each band. Without it the image of a
        band is found by FILTER and EXTNAME, and an ambiguous file is an error.
    mask_bits : sequence of str or int, optional
        The bits that are bad in masks that are bit planes, by name (of the MP_* keywords of HSC and LSST, or of the
        flags of JWST, DES and the Legacy Surveys) or by number, the lowest being 0. :ref:`read-your-files` lists the
        defaults; ``()`` is none.
    """

    unit: u.UnitBase | str | None = None
    noise: Literal["auto"] | None = "auto"
    weight: Mapping[str, FitsSource | ArrayLike | NDUncertainty] | None = None
    mask: Mapping[str, FitsSource | ArrayLike] | None = None
    psf: FitsSource | PSFModel | Mapping[str, FitsSource | ArrayLike] | None = None
    reference: str | None = None
    hdu: int | str | tuple[str, int] | Mapping[str, int | str | tuple[str, int]] | None = None
    mask_bits: Sequence[str | int] | str | int | None = None

    def __post_init__(self) -> None:
        choice(self.noise, "noise", ("auto", None))
        for name in ("weight", "mask"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, Mapping):
                raise TypeError(f"{name} must be a dict of band name to file, got {type(given).__name__}")
        if self.reference is not None:
            text(self.reference, "reference")
        object.__setattr__(self, "mask_bits", checked_bits(self.mask_bits))

    def _weight_of(self, band):
        return None if self.weight is None else self.weight.get(band)

    def _hdu_of(self, band):
        return self.hdu.get(band) if isinstance(self.hdu, Mapping) else self.hdu


def image_of(planes, config, survey, band=None, index=None):
    """Return an image of a file in the unit of the file, with noise, mask and PSF.

    Parameters
    ----------
    planes : Planes
        The image and its companions.
    config : ReadConfig
    survey : Survey or None
    band : str, optional
        Band of the image.
    index : int, optional
        Plane of a cube.
    """
    file, part, keys = planes.file, planes.image, planes.keys
    cube = squeezed(part.data)
    stored, place = (cube, None) if index is None else (cube[index], (index, len(cube)))
    flux = linear_flux(keys, stored)
    frame = frame_meta(part.header) if part.index == 0 and index is None and is_frame(file.parts) else {}
    unit, zero_point = unit_and_zero_point(keys, config.unit, survey, _usual_unit(keys, frame))
    if index is not None and is_counts(unit):
        zero_point = plane_zero_point(keys, index, zero_point)
    meta = {**frame, "header": part.header, **(_written_meta(file, part) if index is None else {})}
    gain = gain_of(keys, unit, survey) if survey is not None and "gain" in survey.keywords else None
    found = {"band": band, "zero_point": zero_point, "gain": gain}
    meta |= {key: value for key, value in found.items() if value is not None}
    mask = _no_data(keys, stored, flux)
    for plane in planes.masks(band):
        mask |= _bad_of(file, plane, band, place, config)
    _warn_of_unread(planes, config)
    psf = None if config.psf is not None else planes.psf(band)
    psf = None if psf is None else native(plane_of(psf, band, place, f"the PSF {psf} of {file}"))
    area = _pixel_area(keys, unit)
    image = CCDData(flux, unit=unit, wcs=celestial_wcs(file, part), mask=mask, meta=meta, psf=psf)
    spread = _uncertainty_in(planes, image, config, band, place)
    if spread is not None:
        _set_noise(image, spread, keys)
    elif frame and is_whole_frame(file.parts):
        image.uncertainty = StdDevUncertainty(sigma_of_frame(file, flux, frame))
    else:
        _warn_of_unread_noise(planes, keys, band)
        _estimate(image, keys, config, survey, band, frame)
    if area is not None:
        image = _scaled(image, area.value, unit * area.unit)
    return _without_empty_mask(image)


def _uncertainty_in(planes, image, config, band, place):
    """Return the uncertainty that the user or the file gives, or None."""
    options = {"place": place, "same_unit": config.unit is not None}
    weight = config._weight_of(band)
    if weight is not None:
        return given_uncertainty(weight, image, band, **options)
    part = planes.noise(band)
    return None if part is None else plane_uncertainty(planes.file, part, role_of(part), image, band, **options)


def image_in_memory(ccd, config, survey, band=None):
    """Return a CCDData as `image_of` returns an image of a file: with its unit checked, and with noise and mask."""
    if ccd.data.ndim != 2:
        raise ValueError(f"a CCDData must be an image of one band, shape (y, x), got {ccd.data.shape}")
    keys = _keywords_in_memory(ccd, band)
    unit, zero_point = unit_and_zero_point(keys, config.unit, survey)
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
    if config._weight_of(band) is not None:
        _set_noise(image, given_uncertainty(config._weight_of(band), image, band), keys)
    elif ccd.uncertainty is not None:
        own = ccd.uncertainty if config.unit is None else type(ccd.uncertainty)(ccd.uncertainty.array)
        _set_noise(image, _uncertainty.checked(own, flux.shape, unit), keys)
    else:
        _estimate(image, keys, config, survey, band)
    return _without_empty_mask(image)


def survey_in_memory(ccd):
    """Return the name of the survey that a CCDData of this package is from, or None."""
    meta = ccd.meta
    if isinstance(meta, BandMeta):
        own, _ = meta.cards.get("SURVEY", (None, ""))
    else:
        own = meta.get("SURVEY" if isinstance(meta, fits.Header) else "survey")
    return next((name for name in available_surveys() if isinstance(own, str) and same_name(name, own)), None)


def _keywords_in_memory(ccd, band):
    """Return the keywords of a CCDData that hold for its numbers as they are now."""
    meta, zero_point = ccd.meta, ccd.meta.get("zero_point")
    values = {"BUNIT": None if ccd.unit is None else ccd.unit.to_string()}
    if isinstance(meta, fits.Header):
        values = {**dict(meta), **values}
    elif zero_point is None and isinstance(meta, BandMeta) and "MAGZERO" in meta.cards:
        zero_point = meta.cards["MAGZERO"][0]
    elif zero_point is None and survey_in_memory(ccd) is not None and ccd.unit is not None:
        # its header is that of a file that had another unit
        survey = get_survey(survey_in_memory(ccd))
        known = zero_points(ccd.unit, (band,), survey) if band in survey.band_names else None
        zero_point = None if known is None else float(known[0])
    elif zero_point is None:
        values = {**dict(meta.get("header", meta)), **values}
    if zero_point is not None and ccd.unit is not None and is_counts(ccd.unit):
        values["MZP_AB"] = zero_point
    if not isinstance(meta, fits.Header) and meta.get("gain") is not None:
        values["GAIN"] = meta["gain"]
    return Keywords("the CCDData", values)


def _written_meta(file, part):
    """Return the meta of an image that this package wrote, with `write_bands` or as a CCDData; else an empty dict."""
    table = find_part(file.parts, "META")
    try:
        found = meta_of_table(table)
        return BandMeta.rest_of(part.header) if found is None else found
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileFormatError(f"{file} has meta of this package that cannot be read: {error}") from error


def _bad_of(file, part, band, place, config):
    """Return the bad pixels of an image from a mask in its file."""
    plane = plane_of(part, band, place, f"the mask {part} of {file}")
    return bad_pixels(file, Part(part.name, part.header, plane, part.version, part.index), band, config.mask_bits)


def _warn_of_unread(planes, config):
    """Warn about companions of an image that are not read: masks of another shape, and PSFs in tables."""
    file = planes.file
    masks = [part for part in planes.unread if role_of(part) in MASKS]
    if masks:
        file.warn(f"{file} has masks of another shape than its image, which are not read: {described(masks)}")
    if config.psf is None and not any(role_of(part) == "psf" for part in planes.companions):
        tables = [part for part in file.parts if not part.is_image and part.data is not None and "PSF" in (
            part.name + str(part.header.get("AR_NAME", "")).upper())]
        if tables:
            file.warn(f"{file} has a model of its PSF that is not read, in {described(tables)}; give images of it with "
                      "psf=")


def _no_data(keys, stored, flux):
    """Return the pixels without data: not finite, the stand-in of the header, or an area of zeros."""
    missing = ~np.isfinite(flux) | empty_pixels(stored)
    for key in _STAND_INS:
        value = keys.number(key)
        if value is not None and np.isfinite(value):
            if key == "BLANK":
                # astropy replaces it by NaN in signed integers only
                value = value * (keys.number("BSCALE") or 1) + (keys.number("BZERO") or 0)
            missing |= stored == stored.dtype.type(value) if stored.dtype.kind == "f" else stored == value
    return missing


def _usual_unit(keys, frame):
    survey = str(keys.get("SURVEY") or "")
    viewer = same_name(survey, "SDSS") and keys.get("BANDS") is not None
    return u.nmgy if frame or viewer or any(same_name(survey, one) for one in _IN_NANOMAGGIES) else None


def _pixel_area(keys, unit):
    """Return the solid angle of a pixel of an image in surface brightness; None for one in flux."""
    if not unit.is_equivalent(u.Jy / u.sr):
        return None
    value = keys.number("PIXAR_SR")
    if value is None and keys.number("PIXAR_A2") is not None:
        value = keys.number("PIXAR_A2") * u.arcsec.to(u.rad)**2
    if value is None or not value > 0:
        raise FileFormatError(
            f"{keys.label} is in {unit}, a surface brightness, and PIXAR_SR must have the area of its pixels, it has "
            f"{keys.get('PIXAR_SR')!r}; give the flux per pixel with unit=")
    return value * u.sr


def _scaled(image, factor, unit):
    """Return an image multiplied by a factor, in another unit."""
    spread = image.uncertainty
    if spread is not None:
        factors = np.asarray(factor, dtype=np.result_type(spread.array.dtype, np.float32))
        spread = type(spread)(_uncertainty.scaled(spread, factors))
    return CCDData(image.data * image.data.dtype.type(factor), unit=unit, wcs=image.wcs, mask=image.mask,
                   uncertainty=spread, meta=image.meta, psf=image.psf)


def on_survey_scale(image, band, survey):
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


def _set_noise(image, uncertainty, keys):
    """Set the uncertainty of an image; mask the pixels without a weight or with a noise that is not a number."""
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


def _warn_of_unread_noise(planes, keys, band):
    """Warn about noise in a file that is not read: of another shape or band, or the weights of drizzle."""
    others = [part for part in (*planes.unread, *planes.companions) if role_of(part) in (*NOISE, "WHT")]
    if not others:
        return
    drizzled = [part for part in others if role_of(part) == "WHT" and part.data.shape == planes.image.data.shape]
    advice = f". weight={{{band!r}: '{keys.label}[{drizzled[0].index}]'}} takes it for inverse variance" \
        if drizzled else "; it is of another shape or band"
    keys.warn(f"{keys.label} has noise that is not read: {described(others)}{advice}")


def _estimate(image, keys, config, survey, band, frame=None):
    """Estimate the noise of an image that has none, if it is wanted."""
    if config.noise is None:
        return
    if frame:
        keys.warn(f"{keys.label} lacks the calibration vector or the sky of an SDSS frame, as cutouts do; its noise is "
                  "estimated from the scatter of its background")
    sigma = pixel_noise(image.data, image.mask, _gain_of_image(image, keys, survey, band, frame))
    if not image.mask.all() and not np.nanmin(sigma) > 0:
        keys.warn(f"{keys.label} has a background without scatter, from which no noise can be estimated")
        sigma = _typical_noise(image, survey, band)
    if sigma is not None:
        image.uncertainty = StdDevUncertainty(sigma.astype(image.data.dtype))


def _gain_of_image(image, keys, survey, band, frame):
    """Return the electrons per unit of an image, of its header or of its survey; None where it is not known."""
    if frame and image.unit == u.nmgy:
        calibration = keys.number("NMGY")
        return frame["gain"] / calibration if calibration is not None and calibration > 0 else None
    gain = gain_of(keys, image.unit, survey)
    if gain is not None:
        return gain
    band = "i" if band == "i2" else band
    # The two i filters of MegaCam transmit the same number of photons to some per cent.
    if survey is None or band not in survey.band_names:
        return None
    own = zero_points(image.unit, (band,), survey, image.meta.get("zero_point"))
    return None if own is None else float(survey[band].gain * scale_factors(own, [survey[band].zero_point])[0])


def _typical_noise(image, survey, band):
    """Return the sky noise of a survey in the unit of an image; None where it is not known."""
    if survey is None or band not in survey.band_names:
        return None
    own = zero_points(image.unit, (band,), survey, image.meta.get("zero_point"))
    if own is None:
        return None
    return np.full(image.data.shape, survey[band].sky_noise / scale_factors(own, [survey[band].zero_point])[0])


def pixel_noise(flux, mask=None, gain=None):
    """Return the standard deviation of each pixel: the scatter of the background, and the photons of the sources.

    Without a gain, in electrons per unit of flux, there is no photon noise.
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
