"""The one door from spectra with units, masks and uncertainties to plain arrays, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import InverseVariance

from astro_galtrans._utils.masked import floats
from astro_galtrans.spectra._grid import FLUX_UNIT, SpectrumGrid
from astro_galtrans.spectra._values import spectrum_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from specutils import Spectrum

__all__ = ["checked_grid", "rebinned", "resample_spectra", "resample_spectrum", "to_spectrum"]

_LEAST_COVERAGE = 0.5


def checked_grid(grid):
    """``grid``, or the default one for None."""
    if grid is None:
        return SpectrumGrid()
    if not isinstance(grid, SpectrumGrid):
        raise TypeError(f"grid must be a SpectrumGrid, got {type(grid).__name__}")
    return grid


def _overlaps(values, low, high):
    """Every piece that a pixel of a spectrum and one of others (``low``, ``high``) share: other, pixel and width."""
    cuts = np.concatenate([values.low, values.high, low, high])
    cuts = np.unique(cuts[(cuts >= low[0]) & (cuts <= high[-1])])
    middle, width = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    source = np.searchsorted(values.low, middle, side="right") - 1
    target = np.searchsorted(low, middle, side="right") - 1
    inside = (source >= 0) & (middle < values.high[source]) & (middle < high[target])
    return target[inside], source[inside], width[inside]


# The FluxConservingResampler of specutils (2.4) rests on the same equations (Carnall 2017, arXiv:1705.05165), but reads
# no mask, spreads a NaN over its neighbours, wants the axes in one unit and order, and loops over pixels in Python.
def rebinned(values, low, high):
    """Mean flux and its variance in each of other pixels; variance 0 where less than half a pixel is seen.

    Parameters
    ----------
    values : SpectrumValues
        The spectrum.
    low, high : ndarray
        Edges of the other pixels in Angstrom, in order of wavelength.

    Returns
    -------
    flux, variance : ndarray
    """
    target, source, width = _overlaps(values, low, high)
    width = width * values.good[source]

    def summed(terms):
        return np.bincount(target, terms, minlength=len(low))

    # Two pieces of one pixel in one other pixel cannot be: both are intervals. So the variances just add up.
    covered = summed(width)
    seen = covered >= _LEAST_COVERAGE * (high - low)
    covered = np.where(seen, covered, 1)
    flux = summed(width * values.flux[source]) / covered
    variance = summed(width**2 * values.variance[source]) / covered**2
    return np.where(seen, flux, 0), np.where(seen, variance, 0)


def resample_spectrum(spectrum: Spectrum, grid: SpectrumGrid | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Flux density and inverse variance of a spectrum on a grid, as float32 arrays.

    Each pixel of the grid gets the mean of the flux density over its width, so that the flux is conserved; a pixel
    that is finer than those of the spectrum gets the value of the one it lies in. The spectrum is not changed.

    Parameters
    ----------
    spectrum : `specutils.Spectrum`
        One-dimensional, of a flux density per unit wavelength, frequency or energy. Its axis may be a wavelength (in
        vacuum), frequency, energy or velocity, and run either way.
    grid : SpectrumGrid, optional
        Default: ``SpectrumGrid()``.

    Returns
    -------
    flux : ndarray of float32
        Shape ``(n_pixels,)``, in 1e-17 erg / (s cm2 Angstrom); 0 where there is no good pixel.
    weight : ndarray of float32
        Inverse variance in the inverse square of that; 0 where less than half of the pixel is covered by pixels that
        are not masked, finite, and of an uncertainty above 0. Without an uncertainty, the noise is estimated from
        the scatter between the pixels (DER_SNR, Stoehr et al. 2008), one value for the spectrum.

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
    grid = checked_grid(grid)
    edges = grid.edges.value
    flux, variance = rebinned(spectrum_values(spectrum), edges[:-1], edges[1:])
    with np.errstate(divide="ignore", over="ignore"):
        weight = np.where(variance > 0, 1 / variance, 0).astype(np.float32)
        flux = flux.astype(np.float32)
    if not np.all(np.isfinite(flux)) or not np.all(np.isfinite(weight)):
        raise ValueError(f"the flux or inverse variance of the spectrum in {FLUX_UNIT} is beyond single precision")
    return flux, weight


def resample_spectra(
    spectra: Sequence[Spectrum | None], grid: SpectrumGrid | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The spectra of many galaxies on one grid.

    Parameters
    ----------
    spectra : sequence of `specutils.Spectrum` or None
        One a galaxy; None for a galaxy without one.
    grid : SpectrumGrid, optional
        Default: ``SpectrumGrid()``.

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

    grid = checked_grid(grid)
    if isinstance(spectra, Spectrum) or not hasattr(spectra, "__len__"):
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
    """A spectrum of arrays on a grid: the way back from `resample_spectrum`.

    Parameters
    ----------
    flux, weight : array_like
        Shape ``(n_pixels,)``, in 1e-17 erg / (s cm2 Angstrom) and the inverse square of it. A pixel that is masked or
        not finite in either gets weight 0.
    grid : SpectrumGrid, optional
        Default: ``SpectrumGrid()``.

    Returns
    -------
    `specutils.Spectrum` or None
        With an inverse variance, and masked where the weight is 0. None if it is 0 everywhere.

    Raises
    ------
    ValueError
        If the arrays are not of the grid's length.
    """
    from specutils import Spectrum

    grid = checked_grid(grid)
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
