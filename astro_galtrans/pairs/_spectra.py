"""What a user hands in of the galaxies' spectra and redshifts, checked."""

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import floats
from astro_galtrans.spectra import FLUX_UNIT, SpectrumGrid, resample_spectra

__all__ = ["checked_redshift", "checked_redshift_error", "checked_spectra"]


def _numbers_per_galaxy(name, values, n):
    values = np.array(floats(values, name, unit=u.dimensionless_unscaled, dtype=float))
    if values.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one a galaxy, got {values.shape}")
    return values


def checked_redshift(redshift, n):
    """Redshifts as float64 of shape ``(n,)``; NaN stands for an unknown one."""
    if redshift is None:
        return None
    redshift = _numbers_per_galaxy("redshift", redshift, n)
    if np.any(np.isinf(redshift)) or np.any(redshift <= -1):
        raise ValueError("redshift must be above -1, and finite or NaN where it is not known")
    return redshift


def checked_redshift_error(error, redshift, n):
    """Standard deviations of the redshifts as float64 of shape ``(n,)``; NaN stands for an unknown one."""
    if error is None:
        return None
    if redshift is None:
        raise ValueError("redshift_error goes with redshift, which is None")
    error = _numbers_per_galaxy("redshift_error", error, n)
    if np.any(np.isinf(error)) or np.any(error < 0):
        raise ValueError("redshift_error must not be negative, and finite or NaN where it is not known")
    return error


def checked_spectra(spectra, grid, n):
    """Flux, weight and grid of the spectra, or three times None.

    Parameters
    ----------
    spectra : sequence of `specutils.Spectrum` or None, tuple of array_like, or None
        One spectrum a galaxy, or flux and weight of shape ``(galaxy, pixel)``.
    grid : SpectrumGrid or None
        None is the default grid.
    n : int
        Number of galaxies.

    Returns
    -------
    flux, weight : ndarray of float32 or None
    grid : SpectrumGrid or None
    """
    if grid is not None and not isinstance(grid, SpectrumGrid):
        raise TypeError(f"spectrum_grid must be a SpectrumGrid, got {type(grid).__name__}")
    if spectra is None:
        if grid is not None:
            raise ValueError("spectrum_grid goes with spectra, which are None")
        return None, None, None
    grid = SpectrumGrid() if grid is None else grid
    if isinstance(spectra, tuple) and len(spectra) == 2 and all(np.ndim(_plain(one)) == 2 for one in spectra):
        return *_checked_arrays(*spectra, grid, n), grid
    if isinstance(spectra, np.ndarray) and spectra.dtype.kind != "O":
        raise TypeError("spectra must be a sequence of Spectrum or None, or a tuple of two arrays, flux and weight; "
                        f"got one array of shape {spectra.shape}")
    if hasattr(spectra, "__len__") and len(spectra) != n:
        raise ValueError(f"spectra must have {n} entries, one a galaxy, got {len(spectra)}")
    return *resample_spectra(spectra, grid), grid


def _plain(values):
    """Something that numpy can count the axes of: a Spectrum, which is not an array, has none."""
    return values if isinstance(values, (np.ndarray, list, tuple)) or hasattr(values, "__array__") else None


def _checked_arrays(flux, weight, grid, n):
    """Both as float32 copies, with flux 0 and weight 0 where one is not finite."""
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
