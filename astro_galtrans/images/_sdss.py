"""SDSS corrected frames with their noise, and stamps of one object from every run that observed it.

Frames are described by the SDSS data model, ``BOSS_PHOTOOBJ/frames/RERUN/RUN/CAMCOL/frame.html``, the same in DR9 to
DR17; the gains and dark variances below are its tables of electrons per count and of counts squared. The layout of
stamps is that of D. Lang's Tractor: a file for each band, and in it for each field an image in nanomaggies, whose
header has the field and a PSF of three Gaussians, and its inverse variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, InverseVariance

from astro_galtrans._utils.validation import whole_number
from astro_galtrans.exceptions import BandMismatchError, FileFormatError
from astro_galtrans.images._convert import stack_bands
from astro_galtrans.images._fits_read import fits_errors, is_path, load_parts, native, plain_wcs
from astro_galtrans.images._parts import parse_bands
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astro_galtrans.images._cube import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["frame_meta", "frame_noise", "gain_and_dark_variance", "gaussians_psf", "is_frame", "is_whole_frame",
           "read_stamps", "sigma_of_frame"]

_GAIN = {
    "u": (1.62, 1.825, 1.59, 1.6, 1.47, 2.17),
    "g": (3.32, 3.855, 3.845, 3.995, 4.05, 4.035),
    "r": (4.71, 4.6, 4.72, 4.76, 4.725, 4.895),
    "i": (5.165, 5.195, 4.86, 4.885, 4.64, 4.76),
    "z": (4.745, 5.155, 4.885, 4.775, 3.48, 4.69),
}
_DARK_VARIANCE = {
    "u": (9.61, 12.6025, 8.7025, 12.6025, 9.3025, 7.0225),
    "g": (15.6025, 1.44, 1.3225, 1.96, 1.1025, 1.8225),
    "r": (1.8225, 1.0, 1.3225, 1.3225, 0.81, 0.9025),
    "i": (7.84, 6.25, 4.6225, 7.5625, 7.84, 5.0625),
    "z": (0.81, 1.0, 1.0, 12.6025, 2.1025, 1.21),
}
# Before the electronics changed: (band, camcol) -> (last run, value). The data model gives 6.565 for the gain of i,
# column 2, at all times; the photometric pipeline's own files of runs 2583 to 3836 have 5.195, as is taken above.
_EARLY_GAIN = {("u", 2): (1100, 1.595), ("i", 2): (1500, 6.565)}
_EARLY_DARK_VARIANCE = {
    ("i", 2): (1500, 5.76), ("i", 4): (1500, 6.25), ("z", 4): (1500, 9.61), ("z", 5): (1500, 1.8225),
}


def gain_and_dark_variance(band, camcol, run):
    """Return the electrons per count, and the variance of dark current and read noise in counts squared."""
    if band not in _GAIN or camcol not in range(1, 7):
        raise ValueError(f"SDSS has bands u, g, r, i, z and camera columns 1 to 6, not {band!r} and {camcol!r}")
    values = []
    for table, early in ((_GAIN, _EARLY_GAIN), (_DARK_VARIANCE, _EARLY_DARK_VARIANCE)):
        last_run, value = early.get((band, camcol), (-1, None))
        values.append(value if run <= last_run else table[band][camcol - 1])
    return tuple(values)


def is_frame(parts):
    """Return whether the parts of a file are those of an SDSS corrected frame."""
    header = parts[0].header
    return all(key in header for key in ("CAMCOL", "RUN", "FILTER", "NMGY")) and np.ndim(parts[0].data) == 2


def frame_noise(flux, calibration, sky_counts, gain, dark_variance):
    """Return the standard deviation of each pixel of a frame in nanomaggies, as of the data model.

    ``calibration`` is in nanomaggies per count for each column, the gain in electrons per count, the rest in counts.
    """
    variance = np.maximum(flux / calibration + sky_counts, 0) / gain + dark_variance
    return np.sqrt(variance) * calibration


def frame_meta(header):
    """Return band, field, gain and dark variance from the header of a frame, or of a cutout of one."""
    band, run, camcol = str(header["FILTER"]).strip(), int(header["RUN"]), int(header["CAMCOL"])
    gain, dark_variance = gain_and_dark_variance(band, camcol, run)
    return {"band": band, "survey": "SDSS", "run": run, "camcol": camcol, "field": int(header.get("FRAME", 0)),
            "gain": gain, "dark_variance": dark_variance}


def is_whole_frame(parts):
    """Return whether a frame has its calibration vector and sky, which a cutout lacks."""
    return (len(parts) >= 3 and np.shape(parts[1].data) == np.shape(parts[0].data)[1:]
            and {"ALLSKY", "XINTERP", "YINTERP"} <= set(parts[2].columns)
            and np.size(parts[2].data["XINTERP"][0]) == np.shape(parts[0].data)[1]
            and np.size(parts[2].data["YINTERP"][0]) == np.shape(parts[0].data)[0])


def sigma_of_frame(file, flux, meta):
    """Return the standard deviation of each pixel of a whole frame, from its calibration and sky."""
    calibration = native(file.parts[1].data, np.float32)
    sky = _sky_counts(file, file.parts[2].data, flux.shape)
    return frame_noise(flux, calibration, sky, meta["gain"], meta["dark_variance"]).astype(np.float32)


def _sky_counts(path, table, shape):
    """Return the coarse sky image interpolated linearly to all pixels, in counts."""
    sky = native(table["ALLSKY"][0], np.float64)
    columns, rows = native(table["XINTERP"][0], np.float64), native(table["YINTERP"][0], np.float64)
    if sky.ndim != 2 or (len(rows), len(columns)) != shape:
        raise FileFormatError(f"{path} has a sky for {(len(rows), len(columns))} pixels, the frame has {shape}")
    return _lerp(_lerp(sky, columns).T, rows).T


def _lerp(image, places):
    """Interpolate linearly along the last axis at positions in pixels, which are clipped to it."""
    places = np.clip(places, 0, image.shape[1] - 1)
    low = np.minimum(places.astype(int), max(image.shape[1] - 2, 0))
    share = places - low
    return image[:, low] * (1 - share) + image[:, np.minimum(low + 1, image.shape[1] - 1)] * share


_PSF_KEYS = tuple(f"PSF_P{index}" for index in range(18))


class _Field(NamedTuple):
    run: int
    camcol: int
    field: int


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
        One for each field, in the order of run, camera column and field, which are in its ``meta``; each band's
        header is in ``meta["band_meta"]``. With the inverse variance as uncertainty, pixels without one masked, and the
        PSF of the header's three Gaussians. Fields of the same run overlap, where they have the same photons: repeat
        observations are those of different runs.

    Raises
    ------
    FileNotFoundError, FileFormatError
        If a file is not there, or not one of such stamps.
    BandMismatchError
        If a file is of another band than named, or a band is repeated.

    Examples
    --------
    .. code-block:: python

        cubes = read_stamps(sorted(folder.glob("stamp-*-187.5502-11.9079.fits")))
        first, second = cubes[0], cubes[1]
    """
    if whole_number(psf_size, "psf_size", 3) % 2 == 0:
        raise ValueError(f"psf_size must be an odd number of pixels of at least 3, got {psf_size!r}")
    survey = get_survey(survey)
    if is_path(paths):
        paths = [paths]
    named = list(paths.items()) if isinstance(paths, Mapping) else [(None, path) for path in paths]
    fields = {}
    for name, path in named:
        with fits_errors(path):
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
    """Return the image of a sum of three Gaussians, normalized to sum 1.

    Parameters
    ----------
    parameters : sequence of 18 floats
        Three amplitudes (the flux of each), three means (x, y) in pixels from the center, and three (variance of x,
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


def _read_band(path, psf_size):
    """Return the band of a file, and a dict of field to image."""
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
    return CCDData(flux, unit=u.nmgy, wcs=plain_wcs(header, path), mask=bad, psf=psf,
                   uncertainty=InverseVariance(np.where(bad, 0, weight)), meta={**meta, "header": header})
