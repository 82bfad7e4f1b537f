"""Noise, masks and point spread functions: planes of a file, and files or arrays beside the images."""

from collections.abc import Mapping

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import InverseVariance, NDUncertainty, StdDevUncertainty, VarianceUncertainty

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans.exceptions import BandMismatchError, FileFormatError, SurveyError
from astro_galtrans.images import _uncertainty
from astro_galtrans.images._contents import MASKS, NOISE, companion, plane_of
from astro_galtrans.images._fits_read import Part, fits_errors, is_file, native, open_fits
from astro_galtrans.images._headers import Keywords, parse_unit
from astro_galtrans.images._masks import bad_pixels, is_fpm, mask_from_parts
from astro_galtrans.images._psf import PSFModel, SDSSPSF, is_psfield
from astro_galtrans.images._scales import is_counts

__all__ = ["add_masks", "add_psf", "check_names", "given_uncertainty", "linear_flux", "plane_uncertainty"]

_KINDS = {"sigma": StdDevUncertainty, "variance": VarianceUncertainty, "inverse variance": InverseVariance,
          "WHT": InverseVariance}
# Attributes of an SDSSPSF and keys of the meta of a frame, and the keywords of the SDSS files.
_FIELD_KEYS = {"run": "RUN", "camcol": "CAMCOL", "field": "FIELD"}


def check_names(name, given, bands):
    """Raise BandMismatchError if a mapping of bands has a band that there is not."""
    unknown = [band for band in given if band not in bands]
    if unknown:
        raise BandMismatchError(f"{name} is given for band {', '.join(unknown)}; there are {', '.join(bands)}")


def linear_flux(keys, stored):
    """Return pixel values as linear floats: Pan-STARRS has asinh magnitudes (Waters et al. 2020, ApJS 251, 4)."""
    flux = native(stored, np.float32 if stored.dtype.itemsize <= 4 else np.float64)
    softening, offset = keys.number("BSOFTEN"), keys.number("BOFFSET")
    if softening is None or offset is None:
        return flux.copy() if np.may_share_memory(flux, stored) else flux
    if not np.isfinite(softening + offset):
        raise FileFormatError(f"{keys.label} must have the asinh scaling in BSOFTEN and BOFFSET, it has "
                              f"{keys.get('BSOFTEN')!r} and {keys.get('BOFFSET')!r}")
    counts = offset + 2 * softening * np.sinh(flux.astype(np.float64) * (0.4 * np.log(10)))
    return counts.astype(flux.dtype)


def given_uncertainty(weight, image, band, *, place=None, same_unit=False):
    """Return the uncertainty of an image from a file, an array of inverse variance, or an uncertainty.

    ``place`` is the number of the image in its cube, and the number of images there. With ``same_unit`` the numbers of
    a file are in the unit of the image, whatever their header says.
    """
    shape, unit = image.data.shape, image.unit
    if isinstance(weight, NDUncertainty):
        return _uncertainty.checked(weight, shape, unit)
    if not is_file(weight):
        given = weight.unit if isinstance(weight, u.Quantity) else None
        if given is not None and not given.is_equivalent(unit**-2):
            raise ValueError(f"the weight of band {band} must be an inverse variance in {unit**-2}, got {given}")
        array = floats(weight, f"weight of band {band}", unit=None if given is None else unit**-2)
        # A masked value is NaN, and a pixel without weight holds no data.
        return InverseVariance(np.nan_to_num(_of_shape(array, shape, f"weight of band {band}"), posinf=0))
    file = open_fits(weight)
    with fits_errors(file):
        part, role = companion(file, (*NOISE, "WHT"), band, "weight")
        if role in ("mask", "psf"):
            raise FileFormatError(f"{file} is given as weight, and its HDU {part} is a {role}")
        return plane_uncertainty(file, part, role if role in _KINDS else "inverse variance", image, band, place=place,
                                 same_unit=same_unit)


def plane_uncertainty(file, part, role, image, band, *, place=None, same_unit=False):
    """Return the uncertainty in an HDU of noise; see `given_uncertainty`."""
    kind, name = _KINDS[role], f"{'weight map' if role in ('WHT', 'inverse variance') else role} of {file}"
    array = linear_flux(Keywords(file.label, part.header), plane_of(part, band, place, f"the {name}"))
    array = _of_shape(array, image.data.shape, name)
    wanted = image.unit ** _uncertainty.POWERS[kind]
    try:
        own = parse_unit(part.header.get("BUNIT"))
    except ValueError:
        own = None
    # Maps of weights often keep the header of their image.
    usable = own is not None and not same_unit and own not in (wanted, image.unit) and not is_counts(image.unit)
    if usable and own.is_equivalent(wanted):
        array = array * array.dtype.type(own.to(wanted))
    if kind is not VarianceUncertainty:
        return kind(array)
    with np.errstate(invalid="ignore"):
        return StdDevUncertainty(np.sqrt(array))


def _of_shape(array, shape, name):
    if array.shape != shape:
        raise ValueError(f"the {name} has shape {array.shape}, the image {shape}")
    return array


def add_masks(images, masks, mask_bits=None):
    """Add bad pixels, a dict of band to file or array, to the masks of single-band images, in place."""
    check_names("mask", masks, images)
    for band, given in masks.items():
        image = images[band]
        bad = _given_mask(given, image, band, mask_bits)
        if bad.shape != image.data.shape:
            raise ValueError(f"mask of band {band} has shape {bad.shape}, the image {image.data.shape}")
        image.mask = bad if image.mask is None else bad | image.mask


def _given_mask(given, image, band, mask_bits):
    if not is_file(given):
        return bad_pixels(f"mask of band {band}", Part("", fits.Header(), whole(given, "mask")), band, mask_bits)
    file = open_fits(given)
    with fits_errors(file):
        if is_fpm(file.parts):
            _check_field(given, file.parts[0].header, band, image)
            return mask_from_parts(given, file.parts, **({} if mask_bits is None else {"planes": mask_bits}))
        part, _ = companion(file, MASKS, band, "mask")
        plane = plane_of(part, band, None, f"the mask {part} of {file}")
        return bad_pixels(file, Part(part.name, part.header, plane, part.version, part.index), band, mask_bits)


def add_psf(images, psf):
    """Set the PSF of single-band images in place, or return the model of a PSF that varies over the field.

    ``psf`` is the argument of `astro_galtrans.images.read_cube`. The model has a method ``image(band, x, y)``.
    """
    if isinstance(psf, Mapping):
        check_names("psf", psf, images)
        lacking = [band for band in images if band not in psf]
        if lacking:
            raise BandMismatchError(f"psf has no entry for band {', '.join(lacking)}")
        for band, given in psf.items():
            images[band].psf = _given_psf(given, band)
        return None
    if is_file(psf):
        file = open_fits(psf)
        with fits_errors(file):
            if not is_psfield(file.parts):
                raise FileFormatError(
                    f"{psf} is not an SDSS psField file; give PSF images of other surveys as a dict of band to path")
            psf = SDSSPSF.from_parts(psf, file.parts)
    if not isinstance(psf, PSFModel):
        raise TypeError(f"psf must be a psField file, an SDSSPSF or a dict of band to image, got {type(psf).__name__}")
    if isinstance(psf, SDSSPSF):
        own = {key: getattr(psf, name) for name, key in _FIELD_KEYS.items()}
        for band, image in images.items():
            _check_field(repr(psf), own, band, image)
    return psf


def _given_psf(given, band):
    if is_file(given):
        file = open_fits(given)
        with fits_errors(file):
            part, _ = companion(file, ("psf",), band, "psf")
            plane = plane_of(part, band, None, f"the psf of band {band}")
    else:
        plane = floats(given, "psf")
    if plane.ndim != 2:
        raise ValueError(f"psf of band {band} must be an image (py, px), got shape {plane.shape}")
    return native(plane, np.result_type(plane.dtype, np.float32))


def _check_field(name, header, band, image):
    """Raise SurveyError if a file of SDSS is not of the field of a frame."""
    if image.meta.get("survey") != "SDSS" or "run" not in image.meta:
        raise SurveyError(f"{name} is of SDSS, and the image of band {band} is not an SDSS frame")
    own = {key: image.meta[name] for name, key in _FIELD_KEYS.items()}
    wrong = {key: header[key] for key in own if key in header and header[key] != own[key]}
    if wrong:
        raise SurveyError(f"{name} is of {_listed(wrong)}, the image of band {band} of {_listed(own)}")


def _listed(values):
    return ", ".join(f"{key.lower()} {value}" for key, value in values.items())
