"""Checks of astropy images before a translation, and metadata and WCS after it."""

import re
from collections.abc import Mapping
from copy import deepcopy

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import NDData, StdDevUncertainty
from astropy.wcs import WCS

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.images import BandCube, as_band_cube

__all__ = ["batches_by_shape", "checked_cube", "rescaled_wcs", "translated_cube"]

# Largest relative departure of an image's pixel scale from the survey's. The network sees pixels, so that a
# departure is a change of size of everything in the image; SDSS frames vary by less than 0.1 per cent.
_SCALE_TOLERANCE = 0.02
# Keys of meta, without case, blanks, underscores, hyphens and dots, of the observation, calibration and processing of
# an image, as in this package and in FITS headers.
_OF_THE_INPUT = re.compile(
    r"band|survey|(fpa)?filter\d*|zeropoint\w*|magzero|zeropnt|magzpt?|photzp|mzpab|photc|fluxmag0\w*|fpazp|nmgy\w*|"
    r"bunit|bsoften|boffset|phot(flam|fnu|zpt|plam|bw)|e?gain\w*|dark\w*|rd?nois\w*|read(out)?nois\w*|ronoise|"
    r"satur\w*|satlev\w*|maxlin|fullwell|t?exp(time|osure|osuretime|num|id)|ncombine|ncoadds?|nimages?|telescope?|"
    r"instrume(nt)?|detector|camera|ccd(id|num)?|run|rerun|camcol|field|frame|stripe|strip|plate|mjd\w*|"
    r"date(obs|end|avg)|time(obs|sys)?|ut(c|obs)?|tai\w*|obsid|airmass|seeing|fwhm|psf\w*|sky\w*|background|"
    r"back(lev|sig)|depth|maglim\w*|regrid|degrade|header", re.IGNORECASE)


def checked_cube(image, survey, name):
    """Return an image as a BandCube of the input survey of translator ``name``, or raise an error."""
    for declared in _declared_surveys(image):
        if declared.lower() != survey.name.lower():
            raise SurveyError(f"the image is of survey {declared}, translator {name!r} takes {survey.name}")
    cube = as_band_cube(image, survey=survey)
    if cube.bands != survey.band_names:
        raise BandMismatchError(
            f"translator {name!r} takes bands {','.join(survey.band_names)} in this order, "
            f"the image has {','.join(cube.bands)}"
        )
    if cube.wcs is None:
        raise ValueError("the image has no WCS, which is needed for its position and pixel scale")
    scale = cube.pixel_scale / survey.pixel_scale
    if abs(scale.to_value(u.dimensionless_unscaled) - 1) > _SCALE_TOLERANCE:
        raise ValueError(
            f"the image has pixels of {cube.pixel_scale.to(u.arcsec):.4f}, survey {survey.name} of "
            f"{survey.pixel_scale}; regrid it first"
        )
    if min(cube.shape[1:]) < 4:
        raise ValueError(f"the image must have at least 4 x 4 pixels, got {cube.shape[1:]}")
    return cube


def _declared_surveys(image):
    """Names of the surveys in the metadata of an image, or of each image of a dict."""
    for part in image.values() if isinstance(image, Mapping) else [image]:
        survey = part.survey if isinstance(part, BandCube) else None
        name = survey.name if survey is not None else part.meta.get("survey") if isinstance(part, NDData) else None
        if isinstance(name, str):
            yield name


def _meta(cube, provenance):
    """The meta of a translation: entries of the input that still apply, and the provenance under ``galtrans``.

    Entries on single input bands, and on the observation, calibration and processing of the input, move to
    ``galtrans.input``.
    """
    meta, given = {}, {}
    for key, value in cube.meta.items():
        if key in ("galtrans", "band_meta"):
            continue
        of_input = isinstance(value, fits.Header) or _OF_THE_INPUT.fullmatch(re.sub(r"[\s_.-]", "", str(key)))
        (given if of_input else meta)[key] = deepcopy(value)
    own = {band: deepcopy(values) for band, values in cube.meta.get("band_meta", {}).items() if len(values)}
    for values in own.values():
        if not isinstance(values, fits.Header):
            values.pop("band", None), values.pop("survey", None)
    if any(own.values()):
        given["bands"] = {band: values for band, values in own.items() if len(values)}
    meta["galtrans"] = dict(provenance)
    if given:
        meta["galtrans"]["input"] = given
    if "galtrans" in cube.meta:
        meta["galtrans"]["previous"] = deepcopy(cube.meta["galtrans"])
    return meta


def translated_cube(cube, flux, sigma, mask, survey, scale_ratio, provenance, psf=None):
    """Return a translated array as a BandCube of the target survey, with the valid properties of the input."""
    return BandCube(
        flux, unit=survey.unit, bands=survey.band_names, survey=survey, mask=mask,
        wcs=rescaled_wcs(cube.wcs, cube.shape[1:], flux.shape[-2:], scale_ratio),
        uncertainty=StdDevUncertainty(sigma), psf=psf, meta=_meta(cube, provenance),
    )


def batches_by_shape(cubes, batch_size):
    """Yield lists of row numbers of cubes of one shape, at most ``batch_size`` long."""
    by_shape = {}
    for row, cube in enumerate(cubes):
        by_shape.setdefault(cube.shape, []).append(row)
    for rows in by_shape.values():
        for start in range(0, len(rows), batch_size):
            yield rows[start:start + batch_size]


def _tangent_plane(lon, lat, lon0, lat0):
    """Gnomonic projection about (lon0, lat0), in degrees (Calabretta & Greisen 2002, A&A 395, 1077, sect. 5.1.3)."""
    lon, lat, lon0, lat0 = (np.radians(x) for x in (lon, lat, lon0, lat0))
    cosine = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon - lon0)
    x = np.cos(lat) * np.sin(lon - lon0) / cosine
    y = (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon - lon0)) / cosine
    return np.degrees(x), np.degrees(y)


def rescaled_wcs(wcs, shape, new_shape, scale_ratio):
    """Return the WCS of a grid with the same center and axes as another and pixels ``scale_ratio`` times as large.

    The best linear map over the cutout, about its center, replaces the distortion of the input WCS.
    """
    if wcs.naxis != 2 or not wcs.has_celestial:
        raise ValueError(f"wcs must be a two-dimensional celestial WCS, got {wcs.naxis} axes {list(wcs.wcs.ctype)}")
    center = (np.array(shape[::-1]) - 1) / 2
    # A 3 x 3 grid of places over the cutout; the middle one is the center.
    offset = np.stack(np.meshgrid(*(c * np.array([-1.0, 0.0, 1.0]) for c in np.maximum(center, 0.5)))).reshape(2, -1)
    world = wcs.all_pix2world(*(offset + center[:, None]), 0)
    lon, lat = world[wcs.wcs.lng], world[wcs.wcs.lat]
    if not np.all(np.isfinite(world)):
        raise ValueError("wcs gives no sky position for part of the image")
    plane = np.stack(_tangent_plane(lon, lat, lon[4], lat[4]))
    plane = plane - plane[:, 4:5]
    new = WCS(naxis=2)
    new.wcs.ctype = [f"{prefix:-<4}-TAN" for prefix in (wcs.wcs.lngtyp.strip(), wcs.wcs.lattyp.strip())]
    new.wcs.cunit = ["deg", "deg"]
    new.wcs.crval = [lon[4], lat[4]]
    new.wcs.lonpole = 180.0  # that of the tangent plane above, also at a pole, where the default differs
    new.wcs.crpix = (np.array(new_shape[::-1]) + 1) / 2
    new.wcs.cd = plane @ np.linalg.pinv(offset) * scale_ratio
    new.wcs.radesys = wcs.wcs.radesys
    if np.isfinite(wcs.wcs.equinox):
        new.wcs.equinox = wcs.wcs.equinox
    new.wcs.set()
    return new
