"""Convert images: bands to cubes and back, any kind of image to a cube and back, and cubes to plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.nddata import NDData

from astro_galtrans._utils.masked import whole
from astro_galtrans._utils.numerics import as_float, numpy_defaults
from astro_galtrans._utils.psf import stacked_psfs
from astro_galtrans._utils.validation import flag
from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.images import _scales, _uncertainty
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._grid import same_grid
from astro_galtrans.images._headers import band_of_header
from astro_galtrans.images._parts import parse_bands
from astro_galtrans.images._valid import empty_pixels
from astro_galtrans.surveys import get_survey, same_name

if TYPE_CHECKING:
    from astropy.nddata import CCDData

    from astro_galtrans.surveys import Survey

__all__ = ["as_band_cube", "flux_and_weight", "like_input", "split_bands", "stack_bands"]


def stack_bands(images: Mapping[str, CCDData], survey: Survey | str | None = None) -> BandCube:
    """Stack single-band images on one pixel grid to a cube.

    Parameters
    ----------
    images : dict of str to `~astropy.nddata.CCDData`
        Band name to image. All must have the same shape and grid; `regrid` brings an image to the grid of another.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey they are from; the bands are then put in its order. Without it, the survey that all images
        name in ``meta["survey"]``, if they come from a cube.

    Returns
    -------
    BandCube
        Units and kinds of uncertainty that differ are converted to those of the first band, point spread functions
        of different sizes are padded with zeros to the largest. Entries that are the same in the ``meta`` of all images
        are in the ``meta`` of the cube, others in ``meta["band_meta"][band]``.

    Raises
    ------
    BandMismatchError
        If there are no images, or the survey has no such band.
    ValueError
        If grids differ, or one band has a WCS, an uncertainty or a PSF and another has none.
    """
    if not isinstance(images, Mapping):
        raise TypeError(f"images must be a dict of band name to CCDData, got {type(images).__name__}")
    bands = parse_bands(list(images.keys()))
    for band in bands:
        image = images[band]
        if not isinstance(image, NDData) or image.data.ndim != 2:
            raise TypeError(f"images[{band!r}] must be a CCDData of two axes, got {_described(image)}")
    metas = {band: images[band].meta for band in bands}
    tagged = all(not isinstance(meta, fits.Header) and meta.get("band") == band for band, meta in metas.items())
    if survey is None and tagged:
        survey = _named_survey(metas)
    if survey is not None:
        survey = get_survey(survey)
        known = [band for band in survey.band_names if band in bands]
        bands = tuple(known + [band for band in bands if band not in known])
    parts = [images[band] for band in bands]
    _check_grids(bands, parts)
    unit = parts[0].unit
    arrays, uncertainties = zip(*[_in_unit(band, part, unit) for band, part in zip(bands, parts)])
    return BandCube(
        np.stack(arrays), unit=unit, wcs=deepcopy(parts[0].wcs), bands=bands, survey=survey,
        mask=_stacked_masks(parts),
        uncertainty=_stacked_uncertainties(bands, uncertainties),
        psf=_stacked_psfs(bands, [part.psf for part in parts]),
        meta=_joined_meta({band: metas[band] for band in bands}, tagged))


def split_bands(cube: BandCube) -> dict[str, CCDData]:
    """Split a cube into images of its bands, the inverse of `stack_bands`.

    Parameters
    ----------
    cube : BandCube
        The cube.

    Returns
    -------
    dict of str to `~astropy.nddata.CCDData`
        In the order of the bands, each with its own copy of everything.
    """
    if not isinstance(cube, BandCube):
        raise TypeError(f"cube must be a BandCube, got {type(cube).__name__}")
    return {band: cube[band] for band in cube.bands}


def _described(image):
    return f"{type(image).__name__} of shape {image.data.shape}" if isinstance(image, NDData) else type(image).__name__


def _named_survey(metas):
    names = {meta.get("survey") for meta in metas.values()}
    if len(names) > 1:
        raise SurveyError(f"images are of different surveys: {', '.join(sorted(map(str, names)))}")
    return names.pop()


def _check_grids(bands, parts):
    first, name = parts[0], bands[0]
    for band, part in zip(bands[1:], parts[1:]):
        if part.data.shape != first.data.shape:
            raise ValueError(
                f"band {band} has {part.data.shape} pixels, band {name} has {first.data.shape}; regrid() first")
        if not same_grid(first.wcs, part.wcs, first.data.shape):
            lacking = " (one of them has no WCS)" if (first.wcs is None) != (part.wcs is None) else ""
            raise ValueError(f"band {band} is on another pixel grid than band {name}{lacking}; regrid() first")


def _in_unit(band, part, unit):
    """Return data in ``unit``, and their uncertainty."""
    if part.unit == unit:
        return as_float(part.data), part.uncertainty
    if part.unit is None or unit is None or not part.unit.is_equivalent(unit):
        raise ValueError(f"band {band} is in {part.unit}, the first band in {unit}")
    return as_float(part.data) * part.unit.to(unit), part.uncertainty


def _stacked_masks(parts):
    if all(part.mask is None for part in parts):
        return None
    return np.stack([np.zeros(part.data.shape, dtype=bool) if part.mask is None else np.broadcast_to(
        whole(part.mask, "mask").astype(bool), part.data.shape) for part in parts])


def _all_or_none(name, bands, values):
    lacking = [band for band, value in zip(bands, values) if value is None]
    if lacking and len(lacking) < len(bands):
        raise ValueError(f"band {', '.join(lacking)} has no {name} while other bands have one")
    return not lacking


def _stacked_uncertainties(bands, uncertainties):
    if not _all_or_none("uncertainty", bands, uncertainties):
        return None
    kind = type(uncertainties[0])
    alike = [_uncertainty.as_kind(one, kind) for one in uncertainties]
    units = [one.unit for one in alike]
    if None in units or len(set(units)) == 1:
        return kind(np.stack([one.array for one in alike]), unit=units[0])
    return kind(np.stack([one.array * one.unit.to(units[0]) for one in alike]), unit=units[0])


def _stacked_psfs(bands, psfs):
    return stacked_psfs(bands, psfs) if _all_or_none("psf", bands, psfs) else None


def _same(a, b):
    """Return whether two values of any type are equal."""
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(np.all(a == b))
    except (TypeError, ValueError):
        return False


def _joined_meta(metas, tagged):
    """Return one meta of several: common entries, and all others in ``band_meta``.

    Images of a cube are tagged with band and survey, which are attributes of the cube. Other images always get a
    ``band_meta``, even an empty one, so that splitting the cube adds no tag.
    """
    if any(isinstance(meta, fits.Header) for meta in metas.values()):
        return {"band_meta": {band: deepcopy(meta) for band, meta in metas.items()}}
    metas = {band: dict(meta) for band, meta in metas.items()}  # the items of a BandMeta are cards
    first = next(iter(metas.values()))
    common = {key: deepcopy(value) for key, value in first.items()
              if key not in ("band", "survey")
              and all(key in meta and _same(value, meta[key]) for meta in metas.values())}
    own = {band: {key: deepcopy(value) for key, value in meta.items() if key not in common}
           for band, meta in metas.items()}
    if all("zero_point" in meta for meta in own.values()):
        common["zero_point"] = {band: meta.pop("zero_point") for band, meta in own.items()}
    if not tagged or any(set(meta) - {"band", "survey"} for meta in own.values()):
        common["band_meta"] = own
    return common


def as_band_cube(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], survey: Survey | str | None = None,
) -> BandCube:
    """Return any image that this package accepts as a cube.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData`, `~astropy.nddata.CCDData` or dict of str to CCDData
        A stock NDData has shape ``(band, y, x)`` and names its bands in ``meta["bands"]``. A single-band CCDData
        names its band in ``meta["band"]`` or in the ``FILTER`` of a header, or is of a survey with one band.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey that the image must be from, or is from if it names none.

    Returns
    -------
    BandCube
        ``image`` itself where it is such a cube.

    Raises
    ------
    SurveyError
        If the image is of another survey.
    BandMismatchError
        If its bands are not named or do not fit the survey.
    """
    survey = None if survey is None else get_survey(survey)
    if isinstance(image, BandCube):
        return _of_survey(image, survey)
    if isinstance(image, Mapping):
        return stack_bands(image, survey)
    if not isinstance(image, NDData):
        raise TypeError(
            "image must be a BandCube, an NDData (band, y, x), a CCDData or a dict of CCDData, "
            f"got {type(image).__name__}")
    name = image.meta.get("survey")
    if survey is None and name is not None:
        survey = _known(name)
    elif survey is not None:
        _check_survey(name, survey)
    if image.data.ndim == 2:
        return stack_bands({_single_band(image, survey): image}, survey)
    if image.meta.get("bands") is None:
        raise BandMismatchError('an NDData of shape (band, y, x) must name its bands in meta["bands"]')
    meta = {key: value for key, value in image.meta.items() if key not in ("bands", "survey")}
    return BandCube(image, bands=image.meta["bands"], survey=survey, meta=meta)


def _of_survey(cube, survey):
    """Return a cube with a survey, itself where it has the same bands of that survey."""
    if survey is None or cube.survey is survey:
        return cube
    if cube.survey is not None:
        _check_survey(cube.survey.name, survey)
        if all(band in survey.band_names and cube.survey[band] is survey[band] for band in cube.bands):
            return cube
    return BandCube(cube, bands=cube.bands, survey=survey)


def like_input(
    cube: BandCube, original: BandCube | NDData | CCDData | Mapping[str, CCDData],
) -> BandCube | CCDData | dict[str, CCDData]:
    """Return a cube as the type of another image.

    Parameters
    ----------
    cube : BandCube
        The result.
    original : BandCube, NDData, CCDData or dict of str to CCDData
        The image whose type is wanted.

    Returns
    -------
    BandCube, CCDData or dict of str to CCDData
        A dict for a dict, a CCDData for an image of one band, or else the cube itself.
    """
    if not isinstance(cube, BandCube):
        raise TypeError(f"cube must be a BandCube, got {type(cube).__name__}")
    if isinstance(original, BandCube):
        return cube
    if isinstance(original, Mapping):
        return split_bands(cube)
    if isinstance(original, NDData) and original.data.ndim == 2:
        if len(cube.bands) != 1:
            raise BandMismatchError(
                f"a single-band image cannot stand for the {len(cube.bands)} bands {', '.join(cube.bands)}")
        return cube[cube.bands[0]]
    return cube


def _known(name):
    """Return the survey of a name, or None: an image may be of a survey that is not registered."""
    try:
        return get_survey(name)
    except (SurveyError, TypeError):
        return None


def _check_survey(name, survey):
    if isinstance(name, str) and _known(name) is not None and not same_name(name, survey.name):
        raise SurveyError(f"the image is of survey {name}, not {survey.name}")


def _single_band(image, survey):
    meta, names = image.meta, () if survey is None else survey.band_names
    band = None if isinstance(meta, fits.Header) else meta.get("band")
    for header in (meta, meta.get("header")):
        if band is None and header is not None:
            band = band_of_header(header, names)
    if band is None and survey is not None and len(survey) == 1:
        band = survey.band_names[0]
    if band is None:
        raise BandMismatchError('a single-band image must name its band in meta["band"]')
    return str(band)


@numpy_defaults()
def flux_and_weight(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], *, survey: Survey | str | None = None,
    copy: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and inverse variance of an image as float32 arrays.

    Parameters
    ----------
    image : BandCube, NDData, CCDData or dict of str to CCDData
        The image, of any type that `as_band_cube` accepts.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey that the image must be from, or is from if it names none.
    copy : bool, optional
        If False, the flux may share memory with the image where nothing had to be converted.

    Returns
    -------
    flux : ndarray of float32
        Shape ``(band, y, x)``, in the unit of the survey, or in the image's own unit without a survey. 0 where a
        pixel is bad.
    weight : ndarray of float32
        Inverse variance in the same unit, 0 where a pixel is bad: masked, not finite in flux or uncertainty, of an
        uncertainty that is not positive, or in an area of zeros (`empty_pixels`). Without an uncertainty, the
        survey's typical sky noise is used; without a survey too, the weight is 1.

    Raises
    ------
    ValueError
        If the numbers in the image's own unit are too large for float32.
    """
    flag(copy, "copy")
    cube = as_band_cube(image, survey)
    factors = _survey_factors(cube)
    data = cube.data
    flux = np.array(data, dtype=np.float32, copy=True if copy else None) if factors is None else (
        data * factors).astype(np.float32, copy=False)
    weight = _weight(cube, factors)
    good = np.isfinite(flux)
    good &= np.isfinite(weight)
    good &= weight > 0
    good &= ~empty_pixels(data)
    if cube.mask is not None:
        good &= ~cube.mask
    if good.all():
        return flux, weight
    if not flux.flags.owndata or np.may_share_memory(flux, data):
        flux = flux.copy()
    flux[~good] = 0
    weight[~good] = 0
    return flux, weight


def _survey_factors(cube):
    """Return the factors to the unit of the survey, shape (band, 1, 1); None where the flux is in that unit."""
    survey = cube.survey
    if survey is None or (cube.unit == survey.unit and "zero_point" not in cube.meta and "band_meta" not in cube.meta):
        return None
    wanted = [band.zero_point for band in survey]
    own = cube.zero_points
    if np.allclose(own, wanted, rtol=0, atol=1e-9):
        return None
    return _scales.scale_factors(own, wanted)[:, np.newaxis, np.newaxis]


def _weight(cube, factors):
    """Return a new float32 array of inverse variance; not finite or not positive where it is not known."""
    if cube.uncertainty is None:
        if cube.survey is None:
            return np.ones(cube.shape, dtype=np.float32)
        level = (1 / np.square(cube.survey.sky_noise)).astype(np.float32)
        return np.repeat(level, cube.shape[1] * cube.shape[2]).reshape(cube.shape)
    exact = _uncertainty.inverse_variance(cube.uncertainty, factors)
    with np.errstate(over="ignore", invalid="ignore"):
        weight = exact.astype(np.float32)
    if cube.survey is None and not np.isfinite(weight).any() and np.isfinite(exact).any():
        raise ValueError(f"the inverse variance in {cube.unit} is beyond float32; convert with to_unit() first")
    return weight
