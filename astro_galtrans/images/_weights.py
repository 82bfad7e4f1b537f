"""The one door from images with units, masks and uncertainties to the plain arrays that networks and loops work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans.images import _scales, _uncertainty
from astro_galtrans.images._kinds import as_band_cube
from astro_galtrans.images._missing import empty_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.nddata import CCDData, NDData

    from astro_galtrans.images._cube import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["flux_and_weight"]


@numpy_defaults()
def flux_and_weight(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], *, survey: Survey | str | None = None,
    copy: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Flux and inverse variance of an image as float32 arrays.

    Parameters
    ----------
    image : BandCube or whatever `as_band_cube` accepts
        The image.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey it must be from, or is from if it does not tell.
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
    bad = ~good
    if not flux.flags.owndata or np.may_share_memory(flux, data):
        flux = flux.copy()
    flux[bad] = 0
    weight[bad] = 0
    return flux, weight


def _survey_factors(cube):
    """What takes the cube's flux to the unit of its survey, shape (band, 1, 1); None where it is there already."""
    survey = cube.survey
    if survey is None or (cube.unit == survey.unit and "zero_point" not in cube.meta and "band_meta" not in cube.meta):
        return None
    wanted = [band.zero_point for band in survey]
    own = cube.zero_points
    if np.allclose(own, wanted, rtol=0, atol=1e-9):
        return None
    return _scales.scale_factors(own, wanted)[:, np.newaxis, np.newaxis]


def _weight(cube, factors):
    """A fresh float32 array of inverse variance; not finite or not positive where it is not known."""
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
