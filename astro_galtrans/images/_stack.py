"""From single-band CCDData to a cube and back."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.nddata import NDData

from astro_galtrans._utils.masked import whole
from astro_galtrans._utils.numerics import as_float
from astro_galtrans._utils.psf import stacked_psfs
from astro_galtrans.exceptions import SurveyError
from astro_galtrans.images import _uncertainty
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._grid import same_grid
from astro_galtrans.images._parts import parse_bands
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.nddata import CCDData

    from astro_galtrans.surveys import Survey

__all__ = ["split_bands", "stack_bands"]


def stack_bands(images: Mapping[str, CCDData], survey: Survey | str | None = None) -> BandCube:
    """Put single-band images of one pixel grid together to a cube.

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
        of different sizes are padded with zeros to the largest. What all images have in their ``meta`` stands in
        the cube's ``meta``; what differs in ``meta["band_meta"][band]``.

    Raises
    ------
    BandMismatchError
        If there are no images, or the survey has no such band.
    ValueError
        If grids differ, or one band has a WCS, an uncertainty or a PSF and another has none.
    """
    if not hasattr(images, "keys"):
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
    """The bands of a cube as single images, the inverse of `stack_bands`.

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
    """Data in ``unit`` and uncertainty that goes with them."""
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
    """Whether two meta values are equal, whatever they are."""
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(np.all(a == b))
    except (TypeError, ValueError):
        return False


def _joined_meta(metas, tagged):
    """One meta of many: what is the same everywhere in the open, the rest in ``band_meta``.

    Images of a cube are tagged with band and survey, which the cube tells by itself. Images from elsewhere always get
    a ``band_meta``, even an empty one, so that splitting gives them back without a tag that they did not have.
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
