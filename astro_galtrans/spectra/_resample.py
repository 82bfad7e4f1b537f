"""Conversion of spectra with units, masks and uncertainties to plain arrays on one grid, and back."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance, NDUncertainty, StdDevUncertainty, VarianceUncertainty

from astro_galtrans._utils.masked import floats
from astro_galtrans.spectra._grid import FLUX_UNIT, SpectrumGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from specutils import Spectrum

__all__ = ["SpectrumValues", "rebinned", "resample_spectra", "resample_spectrum", "spectrum_values", "to_spectrum"]

_LEAST_COVERAGE = 0.5
_KINDS = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}  # power of the flux unit
_LONGEST = 2.0
_LEAST_NOISE = 1e-3
_LEAST_TRIPLES = 3


@dataclass
class SpectrumValues:
    """Pixels of one spectrum, arrays of shape ``(n,)``, in order of wavelength.

    ``center``, ``low`` and ``high`` are in Angstrom, ``flux`` and ``variance`` in `FLUX_UNIT` and its square. A good
    pixel is not masked, of finite flux, and of a finite uncertainty above 0; flux and variance of others are 0.
    """

    center: np.ndarray
    low: np.ndarray
    high: np.ndarray
    flux: np.ndarray
    variance: np.ndarray
    good: np.ndarray


def spectrum_values(spectrum):
    """Return the `SpectrumValues` of a one-dimensional `specutils.Spectrum`, which is not changed."""
    from specutils import Spectrum

    if not isinstance(spectrum, Spectrum):
        raise TypeError(f"spectrum must be a specutils.Spectrum, got {type(spectrum).__name__}")
    if spectrum.flux.ndim != 1 or len(spectrum.flux) < 2:
        raise ValueError(f"spectrum must be one-dimensional, of at least 2 pixels, got shape {spectrum.flux.shape}")
    wavelength, low, high = _pixels(spectrum)
    equivalence = u.spectral_density(wavelength * u.AA)
    try:
        flux = floats(spectrum.flux.to(FLUX_UNIT, equivalence), "the flux of the spectrum", dtype=float)
    except u.UnitConversionError as error:
        raise u.UnitConversionError(
            f"spectrum must have a flux density that can be converted to {FLUX_UNIT}, got {spectrum.flux.unit}"
        ) from error
    good = np.isfinite(flux)
    if spectrum.mask is not None:
        good &= ~np.broadcast_to(np.asarray(spectrum.mask).astype(bool), flux.shape)
    order = np.argsort(wavelength)
    if spectrum.uncertainty is None:
        flux, good = flux[order], good[order]
        variance = np.full(flux.shape, _noise(flux, good) ** 2)
    else:
        variance = _variance(spectrum, equivalence)[order]
        flux, good = flux[order], good[order]
    good &= np.isfinite(variance) & (variance > 0)
    return SpectrumValues(wavelength[order], low[order], high[order], np.where(good, flux, 0),
                          np.where(good, variance, 0), good)


def _pixels(spectrum):
    """Return centers, lower and upper edges of the pixels in Angstrom, in the order of the spectrum."""
    try:
        center = u.Quantity(spectrum.wavelength).to_value(u.AA)
    except u.UnitConversionError as error:
        unit = spectrum.spectral_axis.unit
        raise u.UnitConversionError(
            f"the spectral axis of the spectrum must be one of wavelength, got {unit}") from error
    if not np.all(np.isfinite(center)) or np.any(center <= 0):
        raise ValueError("the spectral axis of the spectrum must be finite, and above 0 as a wavelength")
    edges = u.Quantity(spectrum.bin_edges)
    if edges.unit.is_equivalent(u.km / u.s):  # the rest wavelength is known for the centers only
        edges = np.concatenate([[1.5 * center[0] - 0.5 * center[1]], (center[1:] + center[:-1]) / 2,
                                [1.5 * center[-1] - 0.5 * center[-2]]])
    elif edges.unit.is_equivalent(u.AA):
        edges = edges.to_value(u.AA)
    else:
        # Half a pixel below a low frequency or energy may be negative.
        edges = np.where(edges.value > 0, edges, np.nan * edges.unit)
        edges = np.nan_to_num(edges.to_value(u.AA, u.spectral()), nan=np.inf)
    low, high = np.minimum(edges[1:], edges[:-1]), np.maximum(edges[1:], edges[:-1])
    # The two halves of a pixel are about equal. Where one is far longer there is a gap in the axis, as between the arms
    # of a spectrograph, that no pixel covers.
    below, above = center - low, high - center
    return center, center - np.minimum(below, _LONGEST * above), center + np.minimum(above, _LONGEST * below)


def _variance(spectrum, equivalence):
    """Return the variance of the flux in the square of `FLUX_UNIT`; not finite or 0 where it is not known."""
    uncertainty = spectrum.uncertainty
    kind = next((kind for kind in _KINDS if isinstance(uncertainty, kind)), None)
    if kind is None:
        got = uncertainty.uncertainty_type if isinstance(uncertainty, NDUncertainty) else type(uncertainty).__name__
        raise TypeError("the uncertainty of the spectrum must be a StdDevUncertainty, VarianceUncertainty or "
                        f"InverseVariance of astropy.nddata, got {got}")
    own = spectrum.flux.unit ** _KINDS[kind]
    values = np.asarray(uncertainty.array, dtype=float)
    if values.shape != spectrum.flux.shape:
        raise ValueError(
            f"the uncertainty of the spectrum must have its shape, {spectrum.flux.shape}, got {values.shape}")
    if uncertainty.unit is not None and uncertainty.unit != own:
        values = values * uncertainty.unit.to(own)
    factor = (1.0 * spectrum.flux.unit).to_value(FLUX_UNIT, equivalence)
    with np.errstate(all="ignore"):
        if kind is InverseVariance:
            return np.where(values > 0, factor**2 / values, np.nan)
        if kind is StdDevUncertainty:
            return np.where(values > 0, np.square(values * factor), np.nan)
        return values * factor**2


def _noise(flux, good):
    """Return the standard deviation of the noise of a spectrum, from the scatter between its good pixels.

    The median of abs(2 f(i) - f(i-2) - f(i+2)), times 1.482602 / sqrt(6): DER_SNR, Stoehr et al. (2008, ASP Conf.
    Ser. 394, 505). Pixels with a distance of two are not affected by correlations between neighbors, and the second
    difference not by the slope of the spectrum. At least a thousandth of the median of abs(flux), so that the weights
    of a model without noise are finite. 0 if no pixel is good; too few good pixels raise a ValueError.
    """
    if not good.any():
        return 0.0
    triples = good[2:-2] & good[:-4] & good[4:]
    if triples.sum() < _LEAST_TRIPLES:
        raise ValueError("spectrum must have an uncertainty, or more good pixels to estimate one from their scatter")
    with np.errstate(invalid="ignore"):
        differences = np.abs(2 * flux[2:-2] - flux[:-4] - flux[4:])[triples]
    noise = 1.482602 / np.sqrt(6) * np.median(differences)
    return float(max(noise, _LEAST_NOISE * np.median(np.abs(flux[good]))))


def _checked_grid(grid):
    """Return the grid, or the default one for None."""
    if grid is None:
        return SpectrumGrid()
    if not isinstance(grid, SpectrumGrid):
        raise TypeError(f"grid must be a SpectrumGrid, got {type(grid).__name__}")
    return grid


def _overlaps(values, low, high):
    """Return the pieces that pixels of a spectrum and others (``low``, ``high``) share: other, pixel and width."""
    cuts = np.concatenate([values.low, values.high, low, high])
    cuts = np.unique(cuts[(cuts >= low[0]) & (cuts <= high[-1])])
    middle, width = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    source = np.searchsorted(values.low, middle, side="right") - 1
    target = np.searchsorted(low, middle, side="right") - 1
    inside = (source >= 0) & (middle < values.high[source]) & (middle < high[target])
    return target[inside], source[inside], width[inside]


# The FluxConservingResampler of specutils (2.4) uses the same equations (Carnall 2017, arXiv:1705.05165), but ignores
# masks, spreads a NaN over its neighbors, requires axes in one unit and order, and loops over pixels in Python.
def rebinned(values, low, high):
    """Return the mean flux and its variance in other pixels; both 0 where less than half a pixel is covered.

    ``low`` and ``high`` are the edges of the other pixels in Angstrom, in order of wavelength.
    """
    target, source, width = _overlaps(values, low, high)
    width = width * values.good[source]

    def summed(terms):
        return np.bincount(target, terms, minlength=len(low))

    # A pixel has at most one piece in another pixel, as both are intervals, so the variances add up.
    covered = summed(width)
    good = covered >= _LEAST_COVERAGE * (high - low)
    covered = np.where(good, covered, 1)
    flux = summed(width * values.flux[source]) / covered
    variance = summed(width**2 * values.variance[source]) / covered**2
    return np.where(good, flux, 0), np.where(good, variance, 0)


def resample_spectrum(spectrum: Spectrum, grid: SpectrumGrid | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the flux density and inverse variance of a spectrum on a grid, as float32 arrays.

    Each pixel of the grid gets the mean of the flux density over its width, so that the flux is conserved. A pixel that
    is finer than those of the spectrum gets the value of the one that contains it. The spectrum is not changed.

    Parameters
    ----------
    spectrum : `specutils.Spectrum`
        One-dimensional spectrum of a flux density per unit wavelength, frequency or energy. Its axis may be a
        wavelength (in vacuum), frequency, energy or velocity, in either direction.
    grid : SpectrumGrid, optional
        The grid, by default ``SpectrumGrid()``.

    Returns
    -------
    flux : ndarray of float32
        Shape ``(n_pixels,)``, in 1e-17 erg / (s cm2 Angstrom); 0 where there is no good pixel.
    weight : ndarray of float32
        Inverse variance in the inverse square of that; 0 where less than half of the pixel is covered by pixels that
        are not masked, finite, and of an uncertainty above 0. Without an uncertainty, the noise is estimated as one
        value from the scatter between the pixels (DER_SNR, Stoehr et al. 2008).

    Raises
    ------
    TypeError
        If it is not a Spectrum, or its uncertainty is not a standard deviation, variance or inverse variance.
    ValueError
        If it is not one-dimensional, or has no uncertainty and too few pixels to estimate it, or its numbers are
        beyond float32.
    `~astropy.units.UnitConversionError`
        If its flux is not a flux density.

    Examples
    --------
    >>> import numpy as np, astropy.units as u
    >>> from astropy.nddata import StdDevUncertainty
    >>> from specutils import Spectrum
    >>> from astro_galtrans.spectra import SpectrumGrid, resample_spectrum
    >>> spectrum = Spectrum(flux=np.full(500, 3.0) * 1e-17 * u.erg / u.s / u.cm**2 / u.AA,
    ...                     spectral_axis=np.linspace(400, 900, 500) * u.nm,
    ...                     uncertainty=StdDevUncertainty(np.full(500, 0.5e-17)))
    >>> flux, weight = resample_spectrum(spectrum, SpectrumGrid(3800, 9200, 5))
    >>> flux
    array([0., 3., 3., 3., 0.], dtype=float32)
    """
    grid = _checked_grid(grid)
    edges = grid.edges.value
    flux, variance = rebinned(spectrum_values(spectrum), edges[:-1], edges[1:])
    with np.errstate(divide="ignore", over="ignore"):
        weight = np.where(variance > 0, 1 / variance, 0).astype(np.float32)
        flux = flux.astype(np.float32)
    if not np.all(np.isfinite(flux)) or not np.all(np.isfinite(weight)):
        raise ValueError(f"spectrum must have flux and inverse variance in {FLUX_UNIT} within single precision")
    return flux, weight


def resample_spectra(
    spectra: Sequence[Spectrum | None], grid: SpectrumGrid | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectra of many galaxies on one grid.

    Parameters
    ----------
    spectra : sequence of `specutils.Spectrum` or None
        One per galaxy; None for a galaxy without a spectrum.
    grid : SpectrumGrid, optional
        The grid, by default ``SpectrumGrid()``.

    Returns
    -------
    flux, weight : ndarray of float32
        Shape ``(galaxy, n_pixels)``, as of `resample_spectrum`; all 0 for None.

    Raises
    ------
    TypeError, ValueError
        As `resample_spectrum`, with the number of the spectrum.
    """
    from specutils import Spectrum

    grid = _checked_grid(grid)
    if isinstance(spectra, Spectrum) or not isinstance(spectra, Sized):
        raise TypeError(f"spectra must be a sequence of Spectrum or None, got {type(spectra).__name__}")
    flux = np.zeros((len(spectra), grid.n_pixels), np.float32)
    weight = np.zeros_like(flux)
    for row, spectrum in enumerate(spectra):
        if spectrum is None:
            continue
        try:
            flux[row], weight[row] = resample_spectrum(spectrum, grid)
        except (TypeError, ValueError) as error:
            raise type(error)(f"spectra[{row}]: {error}") from error
    return flux, weight


def to_spectrum(flux: ArrayLike, weight: ArrayLike, grid: SpectrumGrid | None = None) -> Spectrum | None:
    """Return the spectrum of arrays on a grid, the inverse of `resample_spectrum`.

    Parameters
    ----------
    flux, weight : array_like
        Shape ``(n_pixels,)``, in 1e-17 erg / (s cm2 Angstrom) and its inverse square. A pixel that is masked or not
        finite in either gets weight 0.
    grid : SpectrumGrid, optional
        The grid, by default ``SpectrumGrid()``.

    Returns
    -------
    `specutils.Spectrum` or None
        Spectrum with an inverse variance, masked where the weight is 0; None if it is 0 everywhere.

    Raises
    ------
    ValueError
        If the arrays are not of the length of the grid.
    """
    from specutils import Spectrum

    grid = _checked_grid(grid)
    flux = floats(flux, "flux", unit=FLUX_UNIT, dtype=np.float32)
    weight = floats(weight, "weight", unit=FLUX_UNIT**-2, dtype=np.float32)
    bad = ~(np.isfinite(flux) & np.isfinite(weight)) if flux.shape == weight.shape else False
    flux, weight = np.where(bad, 0, flux), np.where(bad, 0, weight)
    for name, values in (("flux", flux), ("weight", weight)):
        if values.shape != (grid.n_pixels,):
            raise ValueError(f"{name} must have shape ({grid.n_pixels},), the pixels of the grid, got {values.shape}")
    if not np.any(weight > 0):
        return None
    return Spectrum(flux=flux * FLUX_UNIT, spectral_axis=grid.wavelength, mask=weight == 0,
                    uncertainty=InverseVariance(weight, unit=FLUX_UNIT**-2))
