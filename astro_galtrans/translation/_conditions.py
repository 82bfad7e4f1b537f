"""What a translator is told of each galaxy beside its image: checked, and as arrays."""

import warnings

import numpy as np
from astropy.units import Quantity, dimensionless_unscaled

from astro_galtrans._utils.masked import floats, is_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.spectra import FLUX_UNIT, SpectrumGrid, resample_spectra

__all__ = ["checked_condition", "condition_rows", "described", "spectrum_grid"]


def spectrum_grid(network):
    """The `~astro_galtrans.spectra.SpectrumGrid` that a network takes spectra on, or None."""
    grid = network.config.conditioning_options.get("grid")
    return None if grid is None else SpectrumGrid.from_dict(grid)


def checked_condition(translator, n_galaxies, redshift=None, redshift_error=None, spectrum=None):
    """What the network is given beside the images.

    Parameters
    ----------
    translator : Translator
    n_galaxies : int
    redshift, redshift_error, spectrum
        As of `Translator.translate_array`.

    Returns
    -------
    tuple of ndarray or None
        Two float32 arrays with a row for each galaxy.
    """
    kind = translator.conditioning
    for name, value in (("redshift", redshift), ("spectrum", spectrum)):
        if value is not None and kind != name:
            raise ValueError(f"{name} was given, but translator {translator.name!r} is not conditioned on it")
    if redshift_error is not None and redshift is None:
        raise ValueError("redshift_error was given without the redshift that it is the error of")
    if kind is None:
        return None
    if (redshift if kind == "redshift" else spectrum) is None:
        if not translator.takes_unknown:
            raise ValueError(f"translator {translator.name!r} is conditioned on the {kind}: {kind} must be given")
        if kind == "redshift":
            warnings.warn(f"translator {translator.name!r} is conditioned on the redshift and none was given: it is "
                          "taken as unknown, as redshift=nan says without this warning", GaltransWarning, 7)
        redshift, spectrum = np.full(n_galaxies, np.nan), [None] * n_galaxies
    if kind == "redshift":
        condition = _redshifts(redshift, redshift_error, n_galaxies)
        known = np.isfinite(condition[0])
    else:
        condition = _spectra(spectrum, spectrum_grid(translator.network), n_galaxies)
        known = (condition[1] > 0).any(1)
    if not known.all() and not translator.takes_unknown:
        raise ValueError(f"translator {translator.name!r} was trained with the {kind} of each galaxy and takes none "
                         f"without, got {np.count_nonzero(~known)} without")
    return condition


def _redshifts(redshift, error, n_galaxies):
    redshift = floats(redshift, "redshift", unit=dimensionless_unscaled, dtype=np.float32)
    if redshift.shape != (n_galaxies,) or np.any(np.isinf(redshift)) or np.any(redshift <= -1):
        raise ValueError(f"redshift must be {n_galaxies} numbers above -1 or nan, one a galaxy, got {redshift!r}")
    if error is None:
        return redshift, np.zeros_like(redshift)
    error = floats(error, "redshift_error", unit=dimensionless_unscaled, dtype=np.float32)
    if error.ndim == 0:
        error = np.full_like(redshift, error)
    if error.shape != (n_galaxies,) or np.any(np.isinf(error)) or np.any(error < 0):
        raise ValueError(f"redshift_error must be one or {n_galaxies} numbers of at least 0 or nan, got {error!r}")
    return redshift, np.nan_to_num(error, nan=0.0)


def _spectra(spectra, grid, n_galaxies):
    if isinstance(spectra, tuple) and len(spectra) == 2 and all(
            isinstance(part, np.ndarray) or is_tensor(part) for part in spectra):
        flux, weight = (floats(part, f"{name} of spectrum", unit=unit, dtype=np.float32) for part, name, unit in zip(
            spectra, ("flux", "weight"), (FLUX_UNIT, FLUX_UNIT**-2)))
        if flux.shape != (n_galaxies, grid.n_pixels) or weight.shape != flux.shape:
            raise ValueError(f"spectrum must be two arrays of shape {(n_galaxies, grid.n_pixels)} on the translator's "
                             f"spectrum_grid, got {flux.shape} and {weight.shape}")
        weight = np.where(np.isfinite(flux) & np.isfinite(weight), weight, 0)
        return np.where(weight > 0, flux, 0).astype(np.float32), weight.astype(np.float32)
    alone = isinstance(spectra, (np.ndarray, Quantity)) or hasattr(spectra, "spectral_axis")
    if alone or not hasattr(spectra, "__len__"):
        raise TypeError("spectrum must be a sequence of specutils.Spectrum or None, one a galaxy, or a tuple of the "
                        f"arrays of flux and weight, got {type(spectra).__name__}")
    if len(spectra) != n_galaxies:
        raise ValueError(f"spectrum must have one entry for each of {n_galaxies} galaxies, got {len(spectra)}")
    return resample_spectra(spectra, grid)


def condition_rows(condition, rows):
    """The condition of some galaxies."""
    return None if condition is None else tuple(part[rows] for part in condition)


def described(kind, condition, row):
    """What was told of one galaxy, for its provenance, a dict."""
    if condition is None:
        return {}
    value, error = (part[row] for part in condition)
    if kind == "spectrum":
        return {"spectrum_pixels": int(np.count_nonzero(error > 0))}
    return {"redshift": float(value), "redshift_error": float(error)} if np.isfinite(value) else {"redshift": "unknown"}
