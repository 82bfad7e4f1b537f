"""Astropy images through a translator: what comes in is checked, what goes out is complete."""

import re
from copy import deepcopy

import astropy.units as u
import numpy as np
import torch
from astropy.io import fits
from astropy.nddata import StdDevUncertainty

from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.images import BandCube, as_band_cube, flux_and_weight, like_input, missing_bands
from astro_galtrans.translation._arrays import check_allowed, check_missing, forward
from astro_galtrans.translation._conditions import checked_condition, condition_rows, described
from astro_galtrans.translation._sampling import checked_sampling
from astro_galtrans.translation._wcs import rescaled_wcs

__all__ = ["translate"]

# Largest relative departure of an image's pixel scale from the survey's. The network sees pixels, so that a
# departure is a change of size of everything in the image; SDSS frames vary by less than 0.1 per cent.
_SCALE_TOLERANCE = 0.02
# Keys of meta, without case, blanks, underscores, hyphens and dots, which say how an image was observed, calibrated and
# processed, in the words of this package and of FITS headers.
_OF_THE_INPUT = re.compile(
    r"band|survey|(fpa)?filter\d*|zeropoint\w*|magzero|zeropnt|magzpt?|photzp|mzpab|photc|fluxmag0\w*|fpazp|nmgy\w*|"
    r"bunit|bsoften|boffset|phot(flam|fnu|zpt|plam|bw)|e?gain\w*|dark\w*|rd?nois\w*|read(out)?nois\w*|ronoise|"
    r"satur\w*|satlev\w*|maxlin|fullwell|t?exp(time|osure|osuretime|num|id)|ncombine|ncoadds?|nimages?|telescope?|"
    r"instrume(nt)?|detector|camera|ccd(id|num)?|run|rerun|camcol|field|frame|stripe|strip|plate|mjd\w*|"
    r"date(obs|end|avg)|time(obs|sys)?|ut(c|obs)?|tai\w*|obsid|airmass|seeing|fwhm|psf\w*|sky\w*|background|"
    r"back(lev|sig)|depth|maglim\w*|regrid|degrade|header", re.IGNORECASE)


def _checked_cube(translator, image):
    """The image as a BandCube of the translator's input survey, or an error that says what does not fit."""
    survey = translator.input_survey
    for declared in _declared_surveys(image):
        if declared.lower() != survey.name.lower():
            raise SurveyError(f"the image is of survey {declared}, translator {translator.name!r} takes {survey.name}")
    cube = as_band_cube(image, survey=survey)
    if cube.bands != survey.band_names:
        raise BandMismatchError(
            f"translator {translator.name!r} takes bands {','.join(survey.band_names)} in this order, "
            f"the image has {','.join(cube.bands)}"
        )
    if cube.wcs is None:
        raise ValueError("the image has no WCS, which its place and pixel scale on the sky are read from")
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
    """Names of the surveys that an image, or each image of a dict, says it is from."""
    parts = image.values() if hasattr(image, "values") else [image]
    for part in parts:
        name = getattr(getattr(part, "survey", None), "name", None)
        if name is None:
            name = getattr(part, "meta", {}).get("survey")
        if isinstance(name, str):
            yield name


def _meta(cube, provenance):
    """The meta of a translation: what holds for it too, and its provenance with what was true of the input alone.

    Whatever is told of a single input band, and what says how the input was observed, calibrated or processed, goes
    to ``galtrans.input``.
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


def _wrap(translator, cube, flux, sigma, mask, provenance):
    """A translated array as a BandCube, with everything the input had that still holds."""
    size = flux.shape[-2:]
    return BandCube(
        flux, unit=translator.target_survey.unit, bands=translator.target_survey.band_names,
        survey=translator.target_survey,
        wcs=rescaled_wcs(cube.wcs, cube.shape[1:], size, translator.network.scale_ratio),
        mask=mask, uncertainty=StdDevUncertainty(sigma), meta=_meta(cube, provenance),
    )


@torch_defaults()
@torch.inference_mode()
def translate(translator, images, condition, sampling, batch_size, separate=False, allow_missing=False):
    """Translate a list of images of any accepted kind; see `Translator.__call__`.

    With ``separate``, each becomes a list of its samples instead of their mean; see `Translator.samples`.
    """
    cubes = [_checked_cube(translator, image) for image in images]
    condition = checked_condition(translator, len(images), **condition)
    sampling = checked_sampling(translator, **sampling)
    check_allowed(translator, allow_missing)
    arrays = [flux_and_weight(cube) for cube in cubes]
    for number, (_, weight) in enumerate(arrays):
        which = f" {number}" if len(images) > 1 else ""
        if not np.any(weight > 0):
            raise ValueError(f"every pixel of the image{which} is masked or not finite")
        check_missing(translator, (weight > 0)[np.newaxis], allow_missing, f"image{which}")
    provenance, numbers = translator.describe(), None
    if sampling is not None:
        numbers = sampling.numbers(len(images))
        provenance |= {"n_samples": sampling.n_samples, "sampling_seed": sampling.seed,
                       "sampling_steps": sampling.n_steps or translator.network.backbone.sampling_steps}
    translated = [None] * len(images)
    for rows in _batches(cubes, batch_size):
        size = translator.target_size(cubes[rows[0]].shape[1:])
        flux, weight = (np.stack([arrays[row][part] for row in rows]) for part in (0, 1))
        drawn = None if numbers is None else [numbers[row] for row in rows]
        result = forward(translator, flux, weight > 0, condition_rows(condition, rows), size, sampling, drawn)
        sigma = result.sigma.cpu().numpy()
        masks = np.zeros(sigma.shape, bool) if result.masked is None else result.masked.cpu().numpy()
        fluxes = result.samples if separate else result.flux[None]
        fluxes = fluxes.cpu().numpy()
        for place, row in enumerate(rows):
            told = {**provenance, **described(translator.conditioning, condition, row)}
            missing = missing_bands(arrays[row][1] > 0, translator.input_survey.pixel_scale)
            if missing.any():
                told["missing_bands"] = [band for band, lost in zip(cubes[row].bands, missing) if lost]
            if numbers is not None:
                told["sampling_galaxy"] = numbers[row]
            made = []
            for number, flux in enumerate(fluxes):
                own = {**told, "sample": number} if separate else told
                cube = _wrap(translator, cubes[row], flux[place], sigma[place], masks[place], own)
                made.append(like_input(cube, images[row]))
            translated[row] = made if separate else made[0]
    return translated


def _batches(cubes, batch_size):
    """Lists of row numbers of cubes of one shape, at most ``batch_size`` long."""
    by_shape = {}
    for row, cube in enumerate(cubes):
        by_shape.setdefault(cube.shape, []).append(row)
    for rows in by_shape.values():
        for start in range(0, len(rows), batch_size):
            yield rows[start:start + batch_size]
