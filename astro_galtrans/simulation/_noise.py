"""Noise, background and errors of calibration and position of single images, drawn from the conditions of a survey."""

from functools import lru_cache

import numpy as np
from scipy import fft

__all__ = ["draw_background", "draw_depths", "draw_ebv", "draw_offsets", "draw_weight_errors", "draw_zero_points",
           "unit_noise"]

_N_SHIFTS = 16
# E(B-V) of the sky at Galactic latitudes above 30 degrees: median, and scatter of the natural log.
_EBV, _EBV_SCATTER = 0.03, 0.6


def _lanczos(order):
    return order, lambda x: np.sinc(x) * np.sinc(x / order)


def _keys(x):
    x = np.abs(x)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def _power(resampling, shift, n):
    """Return the power of interpolation at a shift, for white noise of n pixels, at the frequencies of a real FFT."""
    reach, kernel = (2, _keys) if resampling == "cubic" else _lanczos(int(resampling[-1]))
    points = np.arange(-reach, reach + 1)
    values = kernel(points - shift) * (np.abs(points - shift) < reach)
    frequency = 2 * np.pi * fft.fftfreq(n)
    return np.abs(np.exp(-1j * np.outer(frequency, points)) @ (values / values.sum())) ** 2


@lru_cache(maxsize=64)
def _mean_power(resampling, n):
    """Return the power of interpolation, mean over shifts."""
    return np.mean([_power(resampling, shift, n) for shift in np.arange(_N_SHIFTS) / _N_SHIFTS - 0.5], axis=0)


def unit_noise(rng, part, conditions, size):
    """Return noise of unit variance, float32 of shape ``(n_bands, size, size)``.

    Neighboring pixels correlate as after the resampling of the survey: that of one exposure at a random shift of each
    band ("cubic"), or of a stack of exposures at all shifts.
    """
    n = len(conditions.bands)
    noise = rng.standard_normal((n, size, size), dtype=np.float32)
    shifts = rng.uniform(-0.5, 0.5, (n, 2))
    noise_conditions = conditions.noise
    if part is None or not part.correlated or noise_conditions.resampling == "none":
        return noise
    spectrum = fft.rfft2(noise, workers=1)
    for plane, name, (x, y) in zip(spectrum, conditions.bands, shifts):
        if name == noise_conditions.reference:
            continue
        if noise_conditions.resampling == "cubic":
            along_y, along_x = (_power("cubic", shift, size) for shift in (y, x))
        else:
            along_y = along_x = _mean_power(noise_conditions.resampling, size)
        scale = 1 / np.sqrt(along_y.mean() * along_x.mean())
        plane *= np.outer(np.sqrt(along_y), np.sqrt(along_x[:size // 2 + 1]) * scale).astype(np.float32)
    return fft.irfft2(spectrum, s=(size, size), overwrite_x=True, workers=1)


def draw_depths(rng, part, conditions):
    """Return the noise of the sky in each band over ``sky_noise``, shape ``(n_bands,)``."""
    noise, n = conditions.noise, len(conditions.bands)
    deviates = rng.standard_normal(n + 1)
    if part is None:
        return np.ones(n)
    exponent = np.multiply(noise.scatter, deviates[0]) + np.multiply(noise.band_scatter, deviates[1:])
    return np.broadcast_to(noise.depth, n) * np.exp(part.depth_scale * exponent)


def draw_weight_errors(rng, part, conditions):
    """Return the factor of the weight that the survey states, shape ``(n_bands,)``."""
    deviates = rng.standard_normal(len(conditions.bands))
    return np.exp((0 if part is None else 1) * np.multiply(conditions.noise.weight_scatter, deviates))


def draw_background(rng, part, conditions, size, scale):
    """Return planes of offset, gradient and curvature in units of the noise of a pixel, or None if there are none."""
    background, n = conditions.background, len(conditions.bands)
    deviates = rng.standard_normal((6, n + 1))
    if part is None:
        return None
    share = np.sqrt(np.broadcast_to(background.correlation, n))
    offset, gx, gy, xx, yy, xy = share * deviates[:, :1] + np.sqrt(1 - share**2) * deviates[:, 1:]
    x = ((np.arange(size) - (size - 1) / 2) * scale / 60).astype(np.float32)
    amplitudes = (background.offset, *[background.gradient] * 2, *[background.curvature] * 3)
    terms = [(np.multiply(amplitude, deviate) * part.scale).astype(np.float32)[:, None, None]
             for amplitude, deviate in zip(amplitudes, (offset, gx, gy, xx, yy, xy))]
    return (terms[0] + terms[1] * x + terms[2] * x[:, None] + terms[3] * x**2 / 2 + terms[4] * x[:, None]**2 / 2
            + terms[5] * x * x[:, None])


def draw_offsets(rng, part, conditions):
    """Return the astrometric offset of each band in x and y, in arcsec, shape ``(n_bands, 2)``."""
    astrometry, n = conditions.astrometry, len(conditions.bands)
    deviates = rng.standard_normal((n + 1, 2))
    if part is None:
        return np.zeros((n, 2))
    band = np.broadcast_to(astrometry.band, n)[:, None]
    return part.scale * (astrometry.survey * deviates[0] + band * deviates[1:])


def draw_zero_points(rng, part, conditions):
    """Return the error of the zero point of each band in mag, shape ``(n_bands,)``."""
    calibration, n = conditions.calibration, len(conditions.bands)
    deviates = rng.standard_normal(n + 1)
    if part is None:
        return np.zeros(n)
    return part.scale * (np.multiply(calibration.survey, deviates[0]) + np.multiply(calibration.band, deviates[1:]))


def draw_ebv(rng, part):
    """Return E(B-V) of the dust of the Galaxy in mag."""
    deviate = rng.standard_normal()
    return 0.0 if part is None else float(_EBV * np.exp(_EBV_SCATTER * deviate))
