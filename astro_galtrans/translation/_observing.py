"""Observing conditions of images for a translator that takes them: widths of PSFs, and noise of the sky."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import astropy.units as u
import numpy as np
import torch

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.psf import checked_psf, moffat_psf, psf_fwhm, scaled_psf
from astro_galtrans.backbones import Observing, sky_noise
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import flux_and_weight

__all__ = [
    "TargetPSF", "check_range", "cube_conditions", "fwhm_array", "images_of_psf", "noise_of", "observing_described",
    "observing_rows", "target_psf_of",
]

_MARGIN = 0.05
_HALF_WIDTH = 4  # FWHM, of the image of a Moffat profile


class TargetPSF(NamedTuple):
    """The PSF wanted in a translation."""

    fwhm: np.ndarray | None = None
    """In arcsec, shape ``(galaxy, target band)``; None for that of the training."""
    images: np.ndarray | None = None
    """Images of shape ``(target band, y, x)``, where the PSF was given so."""


def fwhm_array(value, survey, n_galaxies, name, default=None):
    """Return FWHMs in arcsec, float32 of shape ``(galaxy, band)``, NaN where unknown; None for None.

    ``value`` is one for all, one for each band, an array of shape ``(galaxy, band)``, or a mapping of bands to FWHMs,
    in which bands that are not named have the value in ``default``, by band, or are unknown.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        unknown = [str(band) for band in value if band not in survey.band_names]
        if unknown:
            raise ValueError(f"{name} names band {', '.join(unknown)}; {survey.name} has {','.join(survey.band_names)}")
        others = np.full(len(survey), np.nan) if default is None else default
        value = [floats(value.get(band, other), f"{name} of band {band}", unit=u.arcsec, dtype=float)
                 for band, other in zip(survey.band_names, others)]
    widths = floats(value, name, unit=u.arcsec, dtype=np.float32)
    shape = n_galaxies, len(survey)
    if widths.shape not in ((), shape[1:], shape):
        raise ValueError(f"{name} must be one number, {shape[1]}, one for each band of {survey.name}, or an array of "
                         f"shape {shape}, got shape {widths.shape}")
    if np.any(widths <= 0) or np.any(np.isinf(widths)):
        raise ValueError(f"{name} must be FWHMs above 0 arcsec or nan, got {value!r}")
    return np.array(np.broadcast_to(widths, shape))


def target_psf_of(target_psf, survey, n_galaxies, default):
    """Return the `TargetPSF` of an argument: FWHMs as of `fwhm_array`, or an array of PSF images."""
    if not isinstance(target_psf, (Mapping, u.Quantity)) and np.ndim(target_psf) > 1:
        images = checked_psf(target_psf, len(survey), "target_psf")
        widths = psf_fwhm(images, survey.pixel_scale.to_value(u.arcsec))
        if not np.all(widths > 0):
            raise ValueError("target_psf must be images of PSFs, wider than a pixel, that fall to half of their "
                             f"maximum, got FWHMs of {widths} arcsec")
        return TargetPSF(np.tile(widths.astype(np.float32), (n_galaxies, 1)), images)
    return TargetPSF(fwhm_array(target_psf, survey, n_galaxies, "target_psf", default))


def check_range(fwhm, survey, ranges, name):
    """Warn where a wanted FWHM of shape ``(band,)`` is more than 5 % outside the range of the training."""
    outside = [f"{width:.3g} arcsec in {band} ({low:.3g} to {high:.3g})"
               for width, band, (low, _, high) in zip(fwhm, survey.band_names, ranges)
               if width < low * (1 - _MARGIN) or width > high * (1 + _MARGIN)]
    if outside:
        warnings.warn(f"{name} is outside of the PSFs of the training: {', '.join(outside)}; the translation may not "
                      "have it", GaltransWarning, stacklevel=6)


def noise_of(weight, rows, name="weight"):
    """Return the noise of the sky of some galaxies from their weights, NaN without weights."""
    weight = np.ascontiguousarray(floats(weight[rows], name), dtype=np.float32)
    return sky_noise(torch.from_numpy(weight)).numpy()


def cube_conditions(cube, survey):
    """Return FWHM and sky noise of each band of a cube, float32 arrays, NaN where unknown."""
    unknown = np.full(len(survey), np.nan, np.float32)
    widths = unknown
    if cube.psf is not None:
        widths = psf_fwhm(cube.psf, survey.pixel_scale.to_value(u.arcsec)).astype(np.float32)
    if cube.uncertainty is None:
        return np.where(widths > 0, widths, np.nan), unknown
    return np.where(widths > 0, widths, np.nan), noise_of(flux_and_weight(cube, copy=False)[1][np.newaxis], [0])[0]


def observing_rows(observing, rows, device, noise=None):
    """Return the observing conditions of some galaxies as tensors, with another noise if there is one."""
    if observing is None:
        return None
    parts = [None if part is None else part[rows] for part in observing]
    if noise is not None:
        parts[1] = noise
    return Observing(*(None if part is None else torch.from_numpy(part).to(device) for part in parts))


def observing_described(observing, row, surveys):
    """Return a dict with the observing conditions of one galaxy, for its provenance.

    ``surveys`` are those of the input and the target.
    """
    described = {}
    for (name, part), survey in zip(observing._asdict().items(), (surveys[0], surveys[0], surveys[1])):
        if part is None:
            continue
        values = {band: float(f"{value:.5g}") if np.isfinite(value) else "unknown"
                  for band, value in zip(survey.band_names, part[row])}
        described[name] = "unknown" if set(values.values()) == {"unknown"} else values
    return described


def images_of_psf(fwhm, survey, stored):
    """Return images of PSFs of the given FWHM in arcsec for each band, shape ``(band, y, x)``.

    They are the ``stored`` images of a translator, stretched, or else Moffat profiles.
    """
    scale = survey.pixel_scale.to_value(u.arcsec)
    if stored is None:
        side = 2 * int(np.ceil(_HALF_WIDTH * max(fwhm) / scale)) + 1
        return np.stack([moffat_psf(width, scale, side) for width in fwhm])
    return np.stack([scaled_psf(image, width, scale) for image, width in zip(stored, fwhm)])
