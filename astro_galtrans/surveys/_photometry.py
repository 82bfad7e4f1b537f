"""Synthetic photometry of a spectrum through a survey's band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import floats, split
from astro_galtrans.surveys._survey import Band

if TYPE_CHECKING:
    from astropy.units import Quantity
    from specutils import Spectrum

__all__ = ["band_flux_density", "synthetic_magnitude"]

# Largest part of a band that may lie outside a spectrum, and on pixels that are interpolated because they are missing.
_MISSING, _MASKED = 0.005, 0.05
_LIGHT_SPEED = 2.99792458e18  # Angstrom per second, exact (SI)


def band_flux_density(wavelength: Quantity, flux_density: Quantity, band: Band) -> Quantity:
    """Return the band-averaged flux density per unit frequency, of a photon-counting detector on the AB system.

    .. math:: f_\\nu = \\int f_\\lambda R \\lambda d\\lambda / \\int R c / \\lambda d\\lambda

    (Bessell & Murphy 2012, PASP 124, 140, eq. A12). If a spectrum ends a little inside the band, both integrals are
    over the part that it covers: SDSS spectra begin at 3800 Angstrom and miss a thousandth of the g band.

    Parameters
    ----------
    wavelength : `~astropy.units.Quantity`
        Increasing observed wavelengths, shape ``(n_wavelength,)``.
    flux_density : `~astropy.units.Quantity`
        Flux per unit wavelength or frequency, shape ``(..., n_wavelength)``. Pixels that are masked or not finite
        are interpolated between their neighbors.
    band : Band
        The passband.

    Returns
    -------
    `~astropy.units.Quantity`
        In Jy, shape ``(...)``.

    Raises
    ------
    ValueError
        If more than 0.5 percent of the band, as the integral of R / wavelength, is outside the spectrum, or more than
        5 percent on pixels that are missing.
    """
    if not isinstance(band, Band):
        raise TypeError(f"band must be a Band, got {type(band).__name__}")
    wavelength = floats(wavelength, "wavelength", unit=u.AA, dtype=float)
    if wavelength.ndim != 1 or not wavelength.size or not np.all(np.diff(wavelength) > 0):
        raise ValueError(f"wavelength must be one-dimensional and increasing, got shape {wavelength.shape}")
    parts = split(flux_density, "flux_density")
    f_lambda = u.Quantity(floats(parts, "flux_density"), parts.unit).to_value(
        u.erg / u.s / u.cm**2 / u.AA, u.spectral_density(wavelength * u.AA))
    rows = f_lambda.reshape(-1, f_lambda.shape[-1])
    covered, average = {}, []  # computed once for all spectra with the same good pixels
    for row in rows:
        good = np.isfinite(row)
        key = good.tobytes()
        if key not in covered:
            covered[key] = _covered_response(wavelength, good, band)
        grid, response, norm = covered[key]
        sampled = np.interp(grid, wavelength[good], row[good], left=0.0, right=0.0)
        average.append(np.trapezoid(sampled * response * grid, grid) / norm)
    return (np.reshape(average, f_lambda.shape[:-1]) * u.erg / u.s / u.cm**2 / u.Hz).to(u.Jy)


def _covered_response(wavelength, good, band):
    """Return wavelengths, response of a band where good pixels cover it, and the integral of R c / wavelength."""
    if not good.any():
        raise ValueError("flux_density must have good pixels, all are masked or not finite")
    first, last = np.flatnonzero(good)[[0, -1]]
    span = wavelength[first], wavelength[last]
    curve = band.wavelength.value
    grid = np.union1d(curve, wavelength[(wavelength > curve[0]) & (wavelength < curve[-1])])
    response = np.interp(grid, curve, band.response)
    covered = np.where((grid >= span[0]) & (grid <= span[1]), response, 0)
    whole = np.trapezoid(response / grid, grid)
    if np.trapezoid(covered / grid, grid) < (1 - _MISSING) * whole:
        used = curve[band.response > 1e-3 * band.response.max()]
        raise ValueError(
            f"wavelength covers {span[0]:.0f} to {span[1]:.0f} Angstrom, "
            f"band {band.name} needs {used[0]:.0f} to {used[-1]:.0f}"
        )
    bad = np.interp(grid, wavelength, np.where(good, 0.0, 1.0))
    lost = np.trapezoid(covered * bad / grid, grid) / whole
    if lost > _MASKED:
        raise ValueError(f"flux_density is masked or not finite on {100 * lost:.0f} percent of band {band.name}")
    return grid, covered, np.trapezoid(covered * _LIGHT_SPEED / grid, grid)


def synthetic_magnitude(spectrum: Spectrum, band: Band) -> Quantity:
    """Return the AB magnitude of a spectrum through a band.

    Parameters
    ----------
    spectrum : `specutils.Spectrum`
        Spectrum of a flux density per unit wavelength or frequency, which must cover the band. Masked pixels are
        interpolated.
    band : Band
        The passband, as ``get_survey("SDSS")["r"]``.

    Returns
    -------
    `~astropy.units.Quantity`
        AB magnitude, of the shape of the spectrum without its spectral axis.

    Examples
    --------
    A source of 3631 Jy at every frequency has magnitude 0 in each band.

    >>> import numpy as np, astropy.units as u
    >>> from specutils import Spectrum
    >>> from astro_galtrans.surveys import get_survey, synthetic_magnitude
    >>> wavelength = np.linspace(3000, 12000, 2000) * u.AA
    >>> flat = Spectrum(flux=np.full(2000, 3631.0) * u.Jy, spectral_axis=wavelength)
    >>> print(f"{abs(synthetic_magnitude(flat, get_survey('SDSS')['r']).value):.3f}")
    0.000
    """
    from specutils import Spectrum

    if not isinstance(spectrum, Spectrum):
        raise TypeError(f"spectrum must be a specutils.Spectrum, got {type(spectrum).__name__}")
    wavelength = spectrum.spectral_axis.to(u.AA, u.spectral())
    flux = floats(spectrum.flux, "flux")
    if spectrum.mask is not None:
        flux = np.where(spectrum.mask, np.nan, flux)
    flux = u.Quantity(flux, spectrum.flux.unit)
    order = np.argsort(wavelength.value)
    return band_flux_density(wavelength[order], flux[..., order], band).to(u.ABmag)
