"""Inputs of a translator beside the images: spectroscopic information, and the options of sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.units import dimensionless_unscaled

from astro_galtrans._utils.masked import floats, is_tensor
from astro_galtrans._utils.validation import whole_number
from astro_galtrans.spectra import FLUX_UNIT, resample_spectra

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from specutils import Spectrum

__all__ = ["Conditions", "Sampling", "condition_rows", "described", "redshift_arrays", "spectrum_arrays"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """Spectroscopic information on galaxies, for a translator that is conditioned on it.

    Parameters
    ----------
    redshift : array_like, optional
        Shape ``(galaxy,)``, NaN where it is not known.
    redshift_error : float or array_like, optional
        Standard deviation of the redshift, of all galaxies or of each; by default 0.
    spectrum : sequence of `~specutils.Spectrum` or tuple of ndarray, optional
        A spectrum or None for each galaxy, on any grid of wavelengths; or flux density and inverse variance of shape
        ``(galaxy, pixel)`` on the ``spectrum_grid`` of the translator.
    """

    redshift: ArrayLike | None = None
    redshift_error: ArrayLike | None = None
    spectrum: Sequence[Spectrum | None] | tuple[ArrayLike, ArrayLike] | None = None


@dataclass(frozen=True)
class Sampling:
    """Sampling of a translator that draws images; None stands for the default.

    Parameters
    ----------
    n_samples : int, optional
        Images of each galaxy, by default 1.
    seed : int, optional
        Seed of the noise, by default 0. The samples of a galaxy depend on the seed and its number alone.
    n_steps : int, optional
        Steps of the sampler, by default those of the backbone.
    galaxies : array_like of int, optional
        Number of each galaxy, by default 0, 1, 2 ...; set it if you split galaxies over several calls.
    """

    n_samples: int | None = None
    seed: int | None = None
    n_steps: int | None = None
    galaxies: ArrayLike | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_samples", 1), ("seed", 0), ("n_steps", 1)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, whole_number(value, name, least))
        if self.galaxies is not None:
            galaxies = np.atleast_1d(self.galaxies)
            if galaxies.ndim != 1 or galaxies.dtype.kind not in "iu" or np.any(galaxies < 0):
                raise ValueError(f"galaxies must be ints of at least 0, one for each galaxy, got {self.galaxies!r}")
            object.__setattr__(self, "galaxies", tuple(galaxies.tolist()))

    def numbers(self, n_galaxies: int) -> Sequence[int]:
        """Return the number of each of ``n_galaxies`` galaxies."""
        if self.galaxies is None:
            return range(n_galaxies)
        numbers: list[int] = np.atleast_1d(self.galaxies).tolist()
        if len(numbers) != n_galaxies:
            raise ValueError(f"galaxies must be {n_galaxies} numbers, one for each galaxy, got {len(numbers)}")
        return numbers


def redshift_arrays(redshift, error, n_galaxies):
    """Return redshifts and their errors, float32 arrays of shape ``(galaxy,)``."""
    redshift = floats(redshift, "redshift", unit=dimensionless_unscaled, dtype=np.float32)
    if redshift.shape != (n_galaxies,) or np.any(np.isinf(redshift)) or np.any(redshift <= -1):
        raise ValueError(
            f"redshift must be {n_galaxies} numbers above -1 or nan, one for each galaxy, got {redshift!r}")
    if error is None:
        return redshift, np.zeros_like(redshift)
    error = floats(error, "redshift_error", unit=dimensionless_unscaled, dtype=np.float32)
    if error.ndim == 0:
        error = np.full_like(redshift, error)
    if error.shape != (n_galaxies,) or np.any(np.isinf(error)) or np.any(error < 0):
        raise ValueError(f"redshift_error must be one or {n_galaxies} numbers of at least 0 or nan, got {error!r}")
    return redshift, np.nan_to_num(error, nan=0.0)


def spectrum_arrays(spectra, grid, n_galaxies):
    """Return flux density and inverse variance on a grid, float32 arrays of shape ``(galaxy, pixel)``."""
    if isinstance(spectra, tuple) and len(spectra) == 2 and all(
            isinstance(part, np.ndarray) or is_tensor(part) for part in spectra):
        flux, weight = (floats(part, f"{name} of spectrum", unit=unit, dtype=np.float32) for part, name, unit in zip(
            spectra, ("flux", "weight"), (FLUX_UNIT, FLUX_UNIT**-2)))
        if flux.shape != (n_galaxies, grid.n_pixels) or weight.shape != flux.shape:
            raise ValueError(f"spectrum must be two arrays of shape {(n_galaxies, grid.n_pixels)} on the translator's "
                             f"spectrum_grid, got {flux.shape} and {weight.shape}")
        weight = np.where(np.isfinite(flux) & np.isfinite(weight), weight, 0)
        return np.where(weight > 0, flux, 0).astype(np.float32), weight.astype(np.float32)
    if not isinstance(spectra, Sequence):
        raise TypeError("spectrum must be a sequence with a specutils.Spectrum or None for each galaxy, or a tuple of "
                        f"the arrays of flux and weight, got {type(spectra).__name__}")
    if len(spectra) != n_galaxies:
        raise ValueError(f"spectrum must have one entry for each of {n_galaxies} galaxies, got {len(spectra)}")
    return resample_spectra(spectra, grid)


def condition_rows(condition, rows):
    """Return the condition of some galaxies."""
    return None if condition is None else tuple(part[rows] for part in condition)


def described(kind, condition, row):
    """Return a dict with the condition of one galaxy, for its provenance."""
    if condition is None:
        return {}
    value, error = (part[row] for part in condition)
    if kind == "spectrum":
        return {"spectrum_pixels": int(np.count_nonzero(error > 0))}
    return {"redshift": float(value), "redshift_error": float(error)} if np.isfinite(value) else {"redshift": "unknown"}
