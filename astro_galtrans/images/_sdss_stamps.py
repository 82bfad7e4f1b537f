"""Stamps of one object from every SDSS run that saw it, with inverse variance and a PSF of three Gaussians.

The layout is that of the stamps which D. Lang's Tractor writes: a file for each band, and in it for each field an image
in nanomaggies, whose header tells the field and the PSF, and its inverse variance.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, InverseVariance

from astro_galtrans.exceptions import BandMismatchError, FileFormatError
from astro_galtrans.images._fits_read import load_parts, native, plain_wcs
from astro_galtrans.images._parts import parse_bands
from astro_galtrans.images._stack import stack_bands
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astro_galtrans.images._cube import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["gaussians_psf", "read_stamps"]

_Field = namedtuple("_Field", "run camcol field")
_PSF_KEYS = tuple(f"PSF_P{index}" for index in range(18))


def read_stamps(
    paths: Sequence[str | PathLike] | Mapping[str, str | PathLike], survey: Survey | str = "SDSS", *,
    bands: str | Sequence[str] | None = None, psf_size: int = 25,
) -> list[BandCube]:
    """Read stamps of one object that hold an image for each SDSS field that covers it.

    Parameters
    ----------
    paths : sequence of paths, or dict of str to path
        A file for each band, with pairs of HDUs: image in nanomaggies, and inverse variance.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey of the cubes.
    bands : str or sequence of str, optional
        The bands that a field must have; fields that lack one are left out. Without it, a field has the bands in which
        it was observed.
    psf_size : int, optional
        Side of the PSF images in pixels, an odd number.

    Returns
    -------
    list of BandCube
        One for each field, in the order of run, camera column and field, which stand in its ``meta``; each band's
        header is in ``meta["band_meta"]``. With the inverse variance as uncertainty, pixels without one masked, and the
        PSF of the header's three Gaussians. Fields of the same run overlap, where they have the same photons: repeat
        observations are those of different runs.

    Raises
    ------
    FileNotFoundError, FileFormatError
        If a file is not there, or not one of such stamps.
    BandMismatchError
        If a file is of another band than named, or a band comes twice.

    Examples
    --------
    .. code-block:: python

        cubes = read_stamps(sorted(folder.glob("stamp-*-187.5502-11.9079.fits")))
        first, second = cubes[0], cubes[1]
    """
    if isinstance(psf_size, bool) or int(psf_size) != psf_size or psf_size < 3 or psf_size % 2 == 0:
        raise ValueError(f"psf_size must be an odd number of pixels of at least 3, got {psf_size!r}")
    survey = get_survey(survey)
    named = list(paths.items()) if hasattr(paths, "items") else [(None, path) for path in _listed(paths)]
    fields = {}
    for name, path in named:
        band, images = _read_band(path, int(psf_size))
        if name not in (None, band):
            raise BandMismatchError(f"{path} is of band {band}, not {name}")
        for key, image in images.items():
            if band in fields.setdefault(key, {}):
                raise BandMismatchError(f"{path} has band {band} of run {key.run}, field {key.field} a second time")
            fields[key][band] = image
    if not fields:
        raise BandMismatchError("paths must name at least one file")
    wanted = None if bands is None else parse_bands(bands)
    cubes = []
    for key in sorted(fields):
        images = fields[key]
        if wanted is not None:
            if any(band not in images for band in wanted):
                continue
            images = {band: images[band] for band in wanted}
        cubes.append(stack_bands(images, survey))
    return cubes


def gaussians_psf(parameters, size):
    """The image of a sum of three Gaussians, of sum 1.

    Parameters
    ----------
    parameters : sequence of 18 floats
        Three amplitudes (the flux of each), three means (x, y) in pixels from the centre, and three (variance of x,
        variance of y, covariance) in pixels squared.
    size : int
        Side in pixels.

    Returns
    -------
    ndarray of float32
        Shape ``(size, size)``.
    """
    parameters = np.asarray(parameters, dtype=float)
    y, x = np.indices((size, size)) - (size - 1) / 2
    image = np.zeros((size, size))
    for amplitude, (x0, y0), (xx, yy, xy) in zip(
            parameters[:3], parameters[3:9].reshape(3, 2), parameters[9:].reshape(3, 3)):
        determinant = xx * yy - xy**2
        if not determinant > 0 or not xx > 0:
            raise ValueError(f"a Gaussian must have a positive definite covariance, got {xx}, {yy}, {xy}")
        distance = (yy * (x - x0)**2 - 2 * xy * (x - x0) * (y - y0) + xx * (y - y0)**2) / determinant
        image += amplitude / (2 * np.pi * np.sqrt(determinant)) * np.exp(-distance / 2)
    return (image / image.sum()).astype(np.float32)


def _listed(paths):
    return [paths] if isinstance(paths, str) or hasattr(paths, "__fspath__") else paths


def _read_band(path, psf_size):
    """Band of a file, and field to image."""
    parts = load_parts(path)
    if len(parts) % 2 or any(key not in parts[0].header for key in ("RUN", "CAMCOL", "FIELD", "BAND", _PSF_KEYS[0])):
        raise FileFormatError(f"{path} does not hold pairs of image and inverse variance of SDSS fields")
    images, bands = {}, set()
    for image, weight in zip(parts[::2], parts[1::2]):
        header = image.header
        missing = [key for key in ("RUN", "CAMCOL", "FIELD", "BAND", *_PSF_KEYS) if key not in header]
        if missing or np.ndim(image.data) != 2 or np.shape(image.data) != np.shape(weight.data):
            raise FileFormatError(
                f"{path} has an image without {missing[0]}" if missing else
                f"{path} has an image of shape {np.shape(image.data)} with a weight of {np.shape(weight.data)}")
        key = _Field(*(int(header[name]) for name in ("RUN", "CAMCOL", "FIELD")))
        if key in images:
            raise FileFormatError(f"{path} has run {key.run}, camcol {key.camcol}, field {key.field} twice")
        images[key] = _image(path, header, image.data, weight.data, psf_size)
        bands.add(str(header["BAND"]).strip())
    if len(bands) != 1:
        raise FileFormatError(f"{path} has images of bands {', '.join(sorted(bands))}")
    return bands.pop(), images


def _image(path, header, flux, weight, psf_size):
    flux, weight = native(flux, np.float32), native(weight, np.float32)
    bad = ~(np.isfinite(flux) & np.isfinite(weight) & (weight > 0))
    try:
        psf = gaussians_psf([header[key] for key in _PSF_KEYS], psf_size)
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"{path} has no PSF in PSF_P0 to PSF_P17: {error}") from error
    meta = {name: int(header[name.upper()]) for name in ("run", "camcol", "field")}
    for name, key in (("gain", "GAIN"), ("dark_variance", "DARKVAR"), ("sky_counts", "SKY"), ("calibration", "CALIB")):
        if key in header:
            meta[name] = float(header[key])
    return CCDData(flux, unit=u.nmgy, wcs=plain_wcs(header), mask=bad, psf=psf,
                   uncertainty=InverseVariance(np.where(bad, 0, weight)), meta={**meta, "header": header})
