"""Check what users give for a set of pairs, and convert it to arrays in the unit of the survey."""

from __future__ import annotations

from collections.abc import Sized
from typing import NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import NDData

from astro_galtrans._utils.masked import floats, split, whole
from astro_galtrans._utils.psf import centered_psf
from astro_galtrans._utils.validation import text
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import empty_pixels
from astro_galtrans.spectra import FLUX_UNIT, SpectrumGrid, resample_spectra
from astro_galtrans.surveys import Survey, get_survey, matching_size

if TYPE_CHECKING:
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

__all__ = [
    "FluxArrays", "Spectra", "check_same_sky", "checked_flux", "checked_ids", "checked_label", "checked_psf",
    "checked_redshift", "checked_redshift_error", "checked_spectra", "checked_truth", "psf_side", "psf_stamp",
    "select_bands",
]

# Of the coarser survey: an even number of pixels covers an even number of other ones only so well.
_SAME_SKY = 2
# Within four FWHM of the center a Moffat profile of beta 3.5 has all but 4e-4 of its flux.
_PSF_WIDTHS = 8


class FluxArrays(NamedTuple):
    """Images of many galaxies in one survey."""

    flux: np.ndarray
    """Shape ``(galaxy, band, y, x)``, float32, in the unit of the survey; 0 in bad pixels."""
    weight: np.ndarray | None
    """Inverse variance, same shape; 0 in bad pixels. None if it was not given and no pixel is bad."""


def select_bands(survey, bands, side):
    """Return a `Survey` with the given bands, which must be in its order."""
    survey = get_survey(survey)
    if bands is None:
        return survey
    selected = survey.select(bands)
    if tuple(bands) != selected.band_names:
        raise BandMismatchError(
            f"{side}_bands must be in the order of survey {survey.name} ({', '.join(selected.band_names)}), "
            f"got {', '.join(bands)}"
        )
    return selected


def _band_factors(name, unit, survey, power):
    """Return factors, one for each band, from ``unit**power`` to the survey's unit to the same power."""
    factors = []
    for band in survey:
        # The zero point defines one survey unit, also for a unit like adu that has no size of its own.
        one = survey.unit**power
        if unit == one:
            factors.append(1.0)
            continue
        try:
            factors.append((1 * unit).to_value(u.Jy**power) / band.flux_per_unit().to_value(u.Jy) ** power)
        except u.UnitConversionError as error:
            raise u.UnitConversionError(
                f"{name} is in {unit}, which is not {one} and cannot be converted to it through the zero points "
                f"of survey {survey.name}"
            ) from error
    return np.array(factors)


def _in_survey_unit(name, values, survey, power):
    parts = split(values, name)
    array = floats(parts, name)
    # Arrays of another shape are rejected by the caller.
    if parts.unit is not None and array.ndim == 4 and array.shape[1] == len(survey):
        return array * _band_factors(name, parts.unit, survey, power)[:, None, None]
    return array


def checked_flux(
    flux: ArrayLike | Quantity, survey: Survey, weight: ArrayLike | Quantity | None = None, *, name: str = "flux",
) -> FluxArrays:
    """Convert images of many galaxies to float32 in the unit of a survey, with bad pixels as flux 0 and weight 0.

    Parameters
    ----------
    flux : array_like or `~astropy.units.Quantity`
        Shape ``(galaxy, band, y, x)``. A bare array is in the unit of the survey. A pixel that is NaN or infinite, or
        in an area of zeros (`~astro_galtrans.images.empty_pixels`), is bad.
    survey : Survey
        With the bands of the arrays.
    weight : array_like or `~astropy.units.Quantity`, optional
        Inverse variance of the flux, same shape.
    name : str, optional
        Name of the flux argument for messages.

    Returns
    -------
    FluxArrays

    Raises
    ------
    ValueError
        If shapes or weights are wrong.
    BandMismatchError
        If the number of bands is not that of the survey.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.pairs import checked_flux
    >>> from astro_galtrans.surveys import get_survey, matching_size
    >>> flux = np.ones((1, 5, 8, 8))
    >>> flux[0, 2, 4, 4] = np.nan
    >>> int((checked_flux(flux, get_survey("SDSS")).weight == 0).sum())
    1
    """
    if not isinstance(survey, Survey):
        raise TypeError(f"survey must be a Survey, got {survey!r}")
    values = _in_survey_unit(text(name, "name"), flux, survey, 1)
    if values.ndim != 4 or 0 in values.shape[1:]:
        raise ValueError(f"{name} must have shape (galaxy, band, y, x), got {values.shape}")
    if values.shape[1] != len(survey):
        raise BandMismatchError(
            f"{name} has {values.shape[1]} bands (shape {values.shape}), survey {survey.name} has {len(survey)}: "
            f"{', '.join(survey.band_names)}; name the given bands with {name.removesuffix('flux')}bands"
        )
    checked = np.array(values, dtype=np.float32)
    bad = ~np.isfinite(checked) | empty_pixels(checked)
    inverse_variance: np.ndarray | None = None
    if weight is not None:
        inverse_variance = _checked_weight(name.removesuffix("flux") + "weight", weight, survey, checked.shape)
    elif bad.any():
        typical = (survey.sky_noise**-2.0).astype(np.float32)[:, None, None]
        inverse_variance = np.broadcast_to(typical, checked.shape).copy()
    if inverse_variance is not None:
        checked[bad] = 0
        inverse_variance[bad] = 0
    return FluxArrays(checked, inverse_variance)


def check_same_sky(images, surveys):
    """Raise if the stamps of the two surveys are of different size on the sky, which no reader of them would notice.

    ``images`` has ``"input_flux"`` and ``"target_flux"``; ``surveys`` has ``"input"`` and ``"target"``.
    """
    scales = {side: survey.pixel_scale.to_value(u.arcsec) for side, survey in surveys.items()}
    for axis in (-2, -1):
        pixels = {side: images[f"{side}_flux"].shape[axis] for side in surveys}
        sides = {side: pixels[side] * scale for side, scale in scales.items()}
        if abs(sides["input"] - sides["target"]) > _SAME_SKY * max(scales.values()):
            wanted = matching_size(pixels["input"], *(survey.pixel_scale for survey in surveys.values()))
            found = " and ".join(f"{pixels[side]} pixels of {scales[side]:.4g} arcsec ({sides[side]:.4g} arcsec)"
                                 for side in surveys)
            raise ValueError(f"input_flux and target_flux must cover the same sky, got {found}; {pixels['input']} "
                             f"pixels of the input need {wanted} of the target")


def _checked_weight(name, weight, survey, shape):
    values = _in_survey_unit(name, weight, survey, -2)
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape of the flux, {shape}, got {values.shape}")
    if np.any(values < 0) or np.any(np.isinf(values)):
        raise ValueError(f"{name} is an inverse variance: it must be finite and not negative")
    weight = np.array(values, dtype=np.float32)
    if np.any(np.isinf(weight)):
        raise ValueError(f"{name} is larger than single precision holds; give the flux in a larger unit")
    weight[np.isnan(weight)] = 0
    return weight


def checked_truth(name, truth, survey, shape):
    """Return noiseless flux as float32 in the unit of the survey."""
    if truth is None:
        return None
    values = _in_survey_unit(name, truth, survey, 1)
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape of {name.replace('truth', 'flux')}, {shape}, got {values.shape}")
    truth = np.array(values, dtype=np.float32)
    if not np.isfinite(truth).all():
        raise ValueError(f"{name} must be finite")
    return truth


def checked_label(name, label, shape):
    """Return labels of pixels, 0, 1 or 2, as uint8 of shape ``(galaxy, y, x)``; None for None."""
    if label is None:
        return None
    values = whole(label, name)
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, one value for all bands of a pixel, got {values.shape}")
    known = np.isin(values, (0, 1, 2))
    if not known.all():
        raise ValueError(f"{name} must be 0 (sky), 1 (target galaxy) or 2 (neighbors and stars) in each pixel, got "
                         f"{values[~known][0].item()!r}")
    return values.astype(np.uint8)


def checked_ids(ids, n):
    """Return the ids of ``n`` galaxies, different int or str; the row numbers if ``ids`` is None."""
    if ids is None:
        return np.arange(n)
    ids = np.array(whole(ids, "ids"))
    if ids.shape != (n,) or ids.dtype.kind not in "iuU":
        raise ValueError(f"ids must be {n} integers or strings, got shape {ids.shape} of dtype {ids.dtype}")
    values, counts = np.unique(ids, return_counts=True)
    if np.any(counts > 1):
        repeated = values[np.argmax(counts)].item()
        raise ValueError(f"ids must be different from each other, got {repeated!r} {counts.max()} times")
    return ids


def checked_psf(name, psf, n, n_bands):
    """Return PSFs as float32 of shape ``(galaxy, band, y, x)`` and sum 1, or 0 if unknown; None for None."""
    if psf is None:
        return None
    values = floats(psf, name)
    if values.ndim == 3:
        values = np.broadcast_to(values, (n, *values.shape))
    if values.ndim != 4 or values.shape[:2] != (n, n_bands) or 0 in values.shape:
        raise ValueError(f"{name} must have shape (galaxy, band, y, x) or (band, y, x) with {n} galaxies and {n_bands} "
                         f"bands, got {np.shape(psf)}")
    values = values.astype(float)
    values[np.isnan(values).all(axis=(2, 3))] = 0
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, or NaN in the whole image of an unknown PSF")
    total = values.sum(axis=(2, 3), keepdims=True)
    known = np.any(values != 0, axis=(2, 3), keepdims=True)
    if np.any(known & (total <= 0)):
        raise ValueError(f"{name} must have a sum above 0")
    if np.any(known.any(axis=1) != known.all(axis=1)):
        raise ValueError(f"{name} must be known in all bands of a galaxy or in none")
    return (values / np.where(known, total, 1)).astype(np.float32)


def psf_side(survey: Survey) -> int:
    """Return the side in pixels, odd, of the PSF images of a survey: eight FWHM of its widest band.

    Examples
    --------
    >>> from astro_galtrans.pairs import psf_side
    >>> from astro_galtrans.surveys import get_survey, matching_size
    >>> psf_side(get_survey("SDSS"))
    33
    """
    widest = max((band.psf_fwhm / survey.pixel_scale).to_value(u.one) for band in survey)
    return 2 * int(np.ceil(_PSF_WIDTHS * widest / 2)) + 1


def psf_stamp(psf: np.ndarray | None, n_bands: int, side: int) -> np.ndarray:
    """Return a PSF as an image of a given size, as `PairSet` stores it.

    Parameters
    ----------
    psf : ndarray or None
        Shape ``(band, y, x)``; None if it is not known.
    n_bands : int
        Number of bands.
    side : int
        Side of the image in pixels, odd; see `psf_side`.

    Returns
    -------
    ndarray of float32
        Shape ``(n_bands, side, side)``, centered, with a sum of 1 in each band; all 0 if ``psf`` is None.
    """
    if psf is None:
        return np.zeros((n_bands, side, side), np.float32)
    return centered_psf(psf, side).astype(np.float32)


class Spectra(NamedTuple):
    """Spectra of many galaxies on one grid; all None without spectra."""

    flux: np.ndarray | None
    weight: np.ndarray | None
    grid: SpectrumGrid | None


def _numbers_per_galaxy(name, values, n):
    values = np.array(floats(values, name, unit=u.dimensionless_unscaled, dtype=float))
    if values.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {values.shape}")
    return values


def checked_redshift(redshift, n):
    """Return redshifts as float64 of shape ``(n,)``, NaN if unknown; None for None."""
    if redshift is None:
        return None
    redshift = _numbers_per_galaxy("redshift", redshift, n)
    if np.any(np.isinf(redshift)) or np.any(redshift <= -1):
        raise ValueError("redshift must be above -1, and finite or NaN if it is unknown")
    return redshift


def checked_redshift_error(error, redshift, n):
    """Return errors of redshifts as float64 of shape ``(n,)``, NaN if unknown; None for None."""
    if error is None:
        return None
    if redshift is None:
        raise ValueError("redshift_error needs redshift, which is None")
    error = _numbers_per_galaxy("redshift_error", error, n)
    if np.any(np.isinf(error)) or np.any(error < 0):
        raise ValueError("redshift_error must not be negative, and finite or NaN if it is unknown")
    return error


def checked_spectra(spectra, grid, n):
    """Return the `Spectra` of ``n`` galaxies on a grid, by default ``SpectrumGrid()``; all None without spectra."""
    if grid is not None and not isinstance(grid, SpectrumGrid):
        raise TypeError(f"spectrum_grid must be a SpectrumGrid, got {type(grid).__name__}")
    if spectra is None:
        if grid is not None:
            raise ValueError("spectrum_grid needs spectra, which are None")
        return Spectra(None, None, None)
    grid = SpectrumGrid() if grid is None else grid
    if isinstance(spectra, tuple) and len(spectra) == 2 and all(map(_is_table_of_pixels, spectra)):
        return Spectra(*_spectrum_arrays(*spectra, grid, n), grid)
    if isinstance(spectra, np.ndarray) and spectra.dtype.kind != "O":
        raise TypeError("spectra must be a sequence of Spectrum or None, or a tuple of two arrays, flux and weight; "
                        f"got one array of shape {spectra.shape}")
    if isinstance(spectra, Sized) and len(spectra) != n:
        raise ValueError(f"spectra must have {n} entries, one for each galaxy, got {len(spectra)}")
    return Spectra(*resample_spectra(spectra, grid), grid)


def _is_table_of_pixels(values):
    """Whether values are a two-dimensional array, not a Spectrum."""
    return not isinstance(values, NDData) and np.ndim(values) == 2


def _spectrum_arrays(flux, weight, grid, n):
    """Return float32 copies, with flux 0 and weight 0 where one of them is not finite."""
    arrays = []
    for name, values, unit in (("flux", flux, FLUX_UNIT), ("weight", weight, FLUX_UNIT**-2)):
        values = floats(values, f"the {name} of spectra", unit=unit)
        if values.shape != (n, grid.n_pixels):
            raise ValueError(f"the {name} of spectra must be real numbers of shape {(n, grid.n_pixels)}, galaxies and "
                             f"pixels of spectrum_grid, got {values.dtype} of shape {values.shape}")
        arrays.append(np.array(values, dtype=np.float32))
    flux, weight = arrays
    if np.any(weight < 0) or np.any(np.isinf(weight)):
        raise ValueError("the weight of spectra is an inverse variance: it must be finite and not negative")
    bad = ~np.isfinite(flux) | np.isnan(weight)
    flux[bad] = 0
    weight[bad] = 0
    return flux, weight
