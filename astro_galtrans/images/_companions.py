"""What comes with an image in files of its own: masks and point spread functions."""

import numpy as np
from astropy.io import fits

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans.exceptions import BandMismatchError, FileFormatError, SurveyError
from astro_galtrans.images._contents import MASKS, companion, plane_of
from astro_galtrans.images._fits_read import Part, is_file, native, open_fits
from astro_galtrans.images._masks import bad_pixels
from astro_galtrans.images._psf import SDSSPSF, is_psfield
from astro_galtrans.images._sdss_mask import is_fpm, mask_from_parts

__all__ = ["add_masks", "add_psf", "check_names"]

# What a file of SDSS and the meta of a frame call the field.
_FIELD_KEYS = {"run": "RUN", "camcol": "CAMCOL", "field": "FIELD"}


def add_masks(images, masks, mask_bits=None):
    """Join masks, by band, to those of single-band images.

    Parameters
    ----------
    images : dict of str to `~astropy.nddata.CCDData`
        Which are changed.
    masks : dict of str to file or array
        True, or not 0, where a pixel is bad.
    mask_bits : tuple of str or int, optional
        The bits that are bad, of masks that are bit planes.
    """
    check_names("mask", masks, images)
    for band, given in masks.items():
        image = images[band]
        if is_file(given):
            file = open_fits(given)
            if is_fpm(file.parts):
                _check_field(given, file.parts[0].header, band, image)
                bad = mask_from_parts(given, file.parts) if mask_bits is None else mask_from_parts(
                    given, file.parts, mask_bits)
            else:
                part, _ = companion(file, MASKS, band, "mask")
                plane = plane_of(part, band, None, f"the mask {part} of {file}")
                bad = bad_pixels(file, Part(part.name, part.header, plane, part.version, part.index), band, mask_bits)
        else:
            bad = bad_pixels(f"mask of band {band}", Part("", fits.Header(), whole(given, "mask")), band, mask_bits)
        if bad.shape != image.data.shape:
            raise ValueError(f"mask of band {band} has shape {bad.shape}, the image {image.data.shape}")
        image.mask = bad if image.mask is None else bad | image.mask


def add_psf(images, psf):
    """Give single-band images their point spread function, or return the model of one that varies.

    Parameters
    ----------
    images : dict of str to `~astropy.nddata.CCDData`
        Which are changed where ``psf`` is an image for each band.
    psf : path, object with a method ``image``, or dict of str to path or array
        As `astro_galtrans.images.read_cube` takes it.

    Returns
    -------
    object or None
        A model with a method ``image(band, x, y)``.
    """
    if hasattr(psf, "items"):
        check_names("psf", psf, images)
        lacking = [band for band in images if band not in psf]
        if lacking:
            raise BandMismatchError(f"psf has no entry for band {', '.join(lacking)}")
        for band, given in psf.items():
            if is_file(given):
                part = companion(open_fits(given), ("psf",), band, "psf")[0]
                plane = plane_of(part, band, None, f"the psf of band {band}")
            else:
                plane = floats(given, "psf")
            if plane.ndim != 2:
                raise ValueError(f"psf of band {band} must be an image (py, px), got shape {plane.shape}")
            images[band].psf = native(plane, np.result_type(plane.dtype, np.float32))
        return None
    if is_file(psf):
        parts = open_fits(psf).parts
        if not is_psfield(parts):
            raise FileFormatError(
                f"{psf} is not an SDSS psField file; give PSF images of other surveys as a dict of band to path")
        psf = SDSSPSF.from_parts(psf, parts)
    if not callable(getattr(psf, "image", None)):
        raise TypeError(f"psf must be a psField file, an SDSSPSF or a dict of band to image, got {type(psf).__name__}")
    if isinstance(psf, SDSSPSF):
        told = {key: getattr(psf, name) for name, key in _FIELD_KEYS.items()}
        for band, image in images.items():
            _check_field(repr(psf), told, band, image)
    return psf


def check_names(name, given, images):
    """Refuse what is given for bands that there are not."""
    unknown = [band for band in given if band not in images]
    if unknown:
        raise BandMismatchError(f"{name} is given for band {', '.join(unknown)}; there are {', '.join(images)}")


def _check_field(what, told, band, image):
    """Whether a companion of an SDSS frame is of the same field."""
    if image.meta.get("survey") != "SDSS" or "run" not in image.meta:
        raise SurveyError(f"{what} is of SDSS, and the image of band {band} is not an SDSS frame")
    own = {key: image.meta[name] for name, key in _FIELD_KEYS.items()}
    wrong = {key: told[key] for key in own if key in told and told[key] != own[key]}
    if wrong:
        raise SurveyError(f"{what} is of {_listed(wrong)}, the image of band {band} of {_listed(own)}")


def _listed(values):
    return ", ".join(f"{key.lower()} {value}" for key, value in values.items())
