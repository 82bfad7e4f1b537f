"""Point spread functions of single images, as Fourier transforms."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gamma, kv

__all__ = ["PSF", "draw_psfs"]

_SPACING, _N_VALUES = 0.01, 4000
_BETA_STEP = 0.05


@lru_cache(maxsize=256)
def _moffat(beta):
    """Return the transform of a Moffat profile of scale radius 1 at multiples of the spacing, and its differences."""
    k = np.maximum(_SPACING * np.arange(_N_VALUES), 1e-9)
    order = beta - 1
    values = 2 / gamma(order) * (k / 2) ** order * kv(order, k)
    values[0] = 1.0
    values = values.astype(np.float32)
    return values, np.append(np.diff(values), np.float32(0))


@dataclass(frozen=True)
class PSF:
    """An elliptical Moffat profile with wings, of flux 1.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum in arcsec, the geometric mean of both axes.
    e1, e2 : float
        Ellipticity (a^2 - b^2) / (a^2 + b^2) times the cosine and the sine of twice the angle from x toward y.
    beta : float
        Exponent of the Moffat profile.
    wings, wing_scale : float
        Fraction of the flux in wings of profile (1 + (r / s)^2)^-1.5, and s in FWHM.
    """

    fwhm: float
    e1: float = 0.0
    e2: float = 0.0
    beta: float = 3.5
    wings: float = 0.0
    wing_scale: float = 3.0

    def transform(self, kx, ky):
        """Return the real Fourier transform, float32 of shape ``(ny, nx)``, at wave numbers in rad/arcsec."""
        radius = self.fwhm / (2 * np.sqrt(2 ** (1 / self.beta) - 1))
        norm = 1 / np.sqrt(max(1 - self.e1**2 - self.e2**2, 1e-3))
        kx, ky = np.asarray(kx, dtype=np.float32), np.asarray(ky, dtype=np.float32)
        k = (kx**2 * np.float32((1 + self.e1) * norm))[None] + (ky**2 * np.float32((1 - self.e1) * norm))[:, None]
        k += np.multiply.outer(ky, kx * np.float32(2 * self.e2 * norm))
        np.sqrt(np.maximum(k, 0, out=k), out=k)
        values, slopes = _moffat(round(self.beta / _BETA_STEP) * _BETA_STEP)
        position = k * np.float32(radius / _SPACING)
        np.minimum(position, np.float32(_N_VALUES - 1), out=position)
        index = position.astype(np.int32)
        position -= index
        position *= slopes.take(index)
        position += values.take(index)
        if self.wings:
            position *= np.float32(1 - self.wings)
            position += np.float32(self.wings) * np.exp(k * np.float32(-self.wing_scale * self.fwhm))
        return position


def draw_psfs(rng, part, conditions):
    """Return the `PSF` of each band.

    Parameters
    ----------
    rng : numpy.random.Generator
    part : PSFVariation or None
        None for the median round PSF.
    conditions : SurveyConditions
    """
    psf, n = conditions.psf, len(conditions.bands)
    deviates = rng.standard_normal((4, n + 1))
    wider, rounder = (0.0, 0.0) if part is None else (part.width_scale, part.ellipticity_scale)

    def scattered(row, common, band):
        return np.multiply(common, deviates[row, 0]) + np.multiply(band, deviates[row, 1:])

    fwhm = psf.fwhm * np.exp(wider * scattered(0, psf.scatter, psf.band_scatter))
    e1, e2 = (np.clip(rounder * scattered(row, psf.ellipticity, psf.band_ellipticity), -0.3, 0.3) for row in (1, 2))
    beta = np.clip(np.broadcast_to(psf.beta, n) * np.exp(wider * scattered(3, 0.0, psf.beta_scatter)), 1.6, 12)
    columns = fwhm, e1, e2, beta, np.broadcast_to(psf.wings, n), np.broadcast_to(psf.wing_scale, n)
    return [PSF(*map(float, values)) for values in zip(*columns)]
