"""A translation degraded back to its input: what it predicts for the input, and the residual."""

from typing import NamedTuple

import astropy.units as u
import numpy as np
from scipy import ndimage

from astro_galtrans.backbones import resampling_matrix

__all__ = ["Consistency", "consistency"]

_SIGMA = 1 / np.sqrt(8 * np.log(2))  # of a Gaussian over its FWHM
_LARGEST_FACTOR = 10.0
_DETECTED = 5.0  # signal-to-noise of a band from which its factor is fitted
_UNSUPPORTED = -5.0  # standard deviations by which the input lacks a feature


class Consistency(NamedTuple):
    """Comparison of a batch of inputs with their degraded translations."""

    residual: np.ndarray
    """Input minus degraded translation over its standard deviation, shape ``(galaxy, band, y, x)``, NaN where masked.
    """
    factor: np.ndarray
    """Factor on the degraded translation, shape ``(galaxy, band)``."""

    def chi2(self, axis=(1, 2, 3)):
        """Return the mean squared residual of the pixels with data, NaN without any."""
        known = np.isfinite(self.residual)
        total = np.where(known, self.residual, 0).astype(float) ** 2
        count = known.sum(axis)
        return np.where(count > 0, total.sum(axis) / np.maximum(count, 1), np.nan)

    def unsupported(self):
        """Return where the translation implies flux, on 3 x 3 input pixels, that the input does not have."""
        known = np.isfinite(self.residual)
        kernel = (1, 1, 3, 3)
        total, count = (ndimage.uniform_filter(part.astype(np.float32), kernel, mode="constant") * 9
                        for part in (np.where(known, self.residual, 0), known))
        return (total < _UNSUPPORTED * np.sqrt(np.maximum(count, 1))) & known


def _matrices(n_in, n_out, scale_ratio, widths):
    """Matrices of a Gaussian of ``widths`` samples and of the resampling after it, ``(galaxy, band, n_out, n_in)``."""
    places = np.arange(n_in, dtype=np.float32)
    distance = (places[:, None] - places) / np.maximum(widths, 1e-2)[..., None, None]
    kernel = np.exp(-0.5 * np.minimum(distance**2, 80))
    kernel /= kernel.sum(-1, keepdims=True)
    return resampling_matrix(n_in, n_out, scale_ratio).numpy() @ kernel.astype(np.float32)


def consistency(flux, weight, translated, surveys, fwhms):
    """Degrade translations to their inputs and compare.

    The nearest target band in wavelength, smoothed by a Gaussian from the PSF of the translation to that of the input
    and resampled, stands for each input band, times a fitted factor, for the filters differ.

    Parameters
    ----------
    flux, weight : ndarray
        Input and inverse variance, 0 where masked, shape ``(galaxy, band, y, x)``.
    translated : TranslatedArrays
        NaN where masked.
    surveys : tuple of Survey
        Of input and target.
    fwhms : tuple of ndarray
        FWHM of the PSFs of input and translation in arcsec, shape ``(galaxy, band)``.

    Returns
    -------
    Consistency
    """
    waves = [np.log([band.effective_wavelength.to_value(u.AA) for band in survey]) for survey in surveys]
    nearest = np.abs(waves[0][:, None] - waves[1]).argmin(1)
    scales = [survey.pixel_scale.to_value(u.arcsec) for survey in surveys]
    ratio = scales[0] / scales[1]
    units = np.array([
        (surveys[1].bands[k].flux_per_unit() / band.flux_per_unit()).to_value(u.dimensionless_unscaled)
        for k, band in zip(nearest, surveys[0])], dtype=np.float32)
    widths = np.sqrt(np.maximum(fwhms[0]**2 - fwhms[1][:, nearest]**2, 0)) * _SIGMA / scales[1]
    image, sigma = (part[:, nearest] for part in translated)
    known = np.isfinite(image) & np.isfinite(sigma)
    sides = list(zip(image.shape[-2:], flux.shape[-2:]))
    made = {side: _matrices(*side, ratio, widths.astype(np.float32)) for side in set(sides)}
    along = [made[side] for side in sides]

    def degraded(part):
        return along[0] @ part @ np.swapaxes(along[1], -1, -2)

    scale = units[:, None, None] * np.float32(ratio**2)
    # The errors of neighboring pixels of a translation are correlated: they add like the flux, not in quadrature.
    model, error = (degraded(np.where(known, part, 0)) * scale for part in (image, sigma))
    usable = weight > 0
    if not known.all():
        usable = usable & (degraded(known.astype(np.float32)) > 0.99)
    weight = np.where(usable, weight, 0)
    power = (weight * model**2).sum((2, 3))
    factor = np.ones_like(power)
    np.divide((weight * flux * model).sum((2, 3)), power, out=factor, where=power > _DETECTED**2)
    factor = np.clip(factor, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR)
    scaled = factor[:, :, None, None]
    variance = 1 / np.where(usable, weight, 1) + (scaled * error)**2
    return Consistency(np.where(usable, (flux - scaled * model) / np.sqrt(variance), np.nan), factor)
