"""What a `specutils.Spectrum` says, as plain arrays in order of wavelength."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance, NDUncertainty, StdDevUncertainty, VarianceUncertainty

from astro_galtrans._utils.masked import floats
from astro_galtrans.spectra._grid import FLUX_UNIT

__all__ = ["SpectrumValues", "spectrum_values"]

_KINDS = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}  # power of the flux unit
_LONGEST = 2.0
_LEAST_NOISE = 1e-3
_LEAST_TRIPLES = 3


@dataclass
class SpectrumValues:
    """Pixels of one spectrum, all of shape ``(n,)``, in order of wavelength.

    Parameters
    ----------
    centre, low, high : ndarray
        Centres and edges of the pixels in Angstrom.
    flux, variance : ndarray
        In `FLUX_UNIT` and its square; 0 where a pixel is not good.
    good : ndarray of bool
        Not masked, of finite flux, and of a finite uncertainty above 0.
    """

    centre: np.ndarray
    low: np.ndarray
    high: np.ndarray
    flux: np.ndarray
    variance: np.ndarray
    good: np.ndarray


def spectrum_values(spectrum):
    """The `SpectrumValues` of a one-dimensional `specutils.Spectrum`, which is left as it is."""
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
            f"spectrum must have a flux density, that can be converted to {FLUX_UNIT}, got {spectrum.flux.unit}"
        ) from error
    good = np.isfinite(flux)
    if spectrum.mask is not None:
        good &= ~np.broadcast_to(np.asarray(spectrum.mask).astype(bool), flux.shape)
    order = np.argsort(wavelength)
    if spectrum.uncertainty is None:
        flux, good = flux[order], good[order]
        variance = np.full(flux.shape, scatter(flux, good) ** 2)
    else:
        variance = _variance(spectrum, equivalence)[order]
        flux, good = flux[order], good[order]
    good &= np.isfinite(variance) & (variance > 0)
    return SpectrumValues(wavelength[order], low[order], high[order], np.where(good, flux, 0),
                          np.where(good, variance, 0), good)


def _pixels(spectrum):
    """Centres, lower and upper edges of the pixels in Angstrom, in the order of the spectrum."""
    try:
        centre = u.Quantity(spectrum.wavelength).to_value(u.AA)
    except u.UnitConversionError as error:
        unit = spectrum.spectral_axis.unit
        raise u.UnitConversionError(
            f"the spectral axis of the spectrum must be one of wavelength, got {unit}") from error
    if not np.all(np.isfinite(centre)) or np.any(centre <= 0):
        raise ValueError("the spectral axis of the spectrum must be finite, and above 0 as a wavelength")
    edges = u.Quantity(spectrum.bin_edges)
    if edges.unit.is_equivalent(u.km / u.s):  # the edges do not know the rest wavelength, the centres do
        edges = np.concatenate([[1.5 * centre[0] - 0.5 * centre[1]], (centre[1:] + centre[:-1]) / 2,
                                [1.5 * centre[-1] - 0.5 * centre[-2]]])
    elif edges.unit.is_equivalent(u.AA):
        edges = edges.to_value(u.AA)
    else:
        # Half a step below a low frequency or energy may be none at all.
        edges = np.where(edges.value > 0, edges, np.nan * edges.unit)
        edges = np.nan_to_num(edges.to_value(u.AA, u.spectral()), nan=np.inf)
    low, high = np.minimum(edges[1:], edges[:-1]), np.maximum(edges[1:], edges[:-1])
    # On a steady axis the two halves of a pixel are about equal. Where one is far longer there is a gap in the axis,
    # as between the arms of a spectrograph, that no pixel saw.
    below, above = centre - low, high - centre
    return centre, centre - np.minimum(below, _LONGEST * above), centre + np.minimum(above, _LONGEST * below)


def _variance(spectrum, equivalence):
    """Variance of the flux in the square of `FLUX_UNIT`; not finite or 0 where it is not known."""
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


def scatter(flux, good):
    """Standard deviation of the noise of a spectrum, from the scatter between its pixels.

    The median of abs(2 f(i) - f(i-2) - f(i+2)), times 1.482602 / sqrt(6): DER_SNR, Stoehr et al. (2008, ASP Conf.
    Ser. 394, 505). Pixels two apart keep correlations between neighbours out, and the second difference the slope of
    the spectrum. At least a thousandth of the median of abs(flux), so that a model without noise does not get weights
    without bounds.

    Parameters
    ----------
    flux : ndarray
        In order of wavelength.
    good : ndarray of bool
        Which pixels count.

    Returns
    -------
    float
        0 if the flux is 0 everywhere, or no pixel is good.

    Raises
    ------
    ValueError
        If there are too few good pixels.
    """
    if not good.any():
        return 0.0
    triples = good[2:-2] & good[:-4] & good[4:]
    if triples.sum() < _LEAST_TRIPLES:
        raise ValueError("the spectrum has no uncertainty, and too few good pixels to estimate one from their scatter")
    with np.errstate(invalid="ignore"):
        differences = np.abs(2 * flux[2:-2] - flux[:-4] - flux[4:])[triples]
    noise = 1.482602 / np.sqrt(6) * np.median(differences)
    return float(max(noise, _LEAST_NOISE * np.median(np.abs(flux[good]))))
