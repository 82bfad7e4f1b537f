"""Noise, background, and errors of positions and zero points of single images, drawn from the conditions of a survey.

Every function takes its own generator and draws the same numbers of it whether its part is on or off.
"""

from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline

__all__ = [
    "digitized", "draw_background", "draw_depths", "draw_ebv", "draw_offsets", "draw_weight_errors",
    "draw_zero_points", "extinction_coefficients", "unit_noise",
]

_N_SHIFTS = 32
# The background that is subtracted from digitized values changes by some hundredths of a step over a stamp.
_PHASE_SLOPE = 2e-4
# Inverse wavelength in 1/micron and A / E(B-V) for R_V = 3.1: Fitzpatrick (1999, PASP 111, 63), table 3.
_FITZPATRICK = ((0.0, 0.377, 0.820, 1.667, 1.828, 2.141, 2.433, 3.704, 3.846),
                (0.0, 0.265, 0.829, 2.688, 3.055, 3.806, 4.315, 6.265, 6.591))


def unit_noise(rng, part, conditions, size, skewness=None):
    """Return the noise of the sky, float32 of shape ``(n_bands, size, size)``.

    Its variance is 1 before the resampling of a single image ("cubic"), which reduces it, and 1 after that of a stack.
    Neighboring pixels correlate as after the resampling. ``skewness``, one number per band, is that of few photons.
    """
    settings, bands = conditions.noise, conditions.bands
    noise = rng.standard_normal((len(bands), size, size), dtype=np.float32)
    if part is not None and skewness is not None:
        # The first term of Cornish & Fisher (1938) in the skewness. The median stays 0, not the mean: surveys subtract
        # the level of the blank sky without outliers.
        amplitude = np.multiply(settings.photons, skewness) / 6
        noise += amplitude.astype(np.float32)[:, None, None] * noise**2
    shifts, place = rng.uniform(-0.5, 0.5, (len(bands), 2)), rng.random()
    if settings.shifts is not None:
        places = np.array(settings.shifts)
        shifts = places[:, int(place * places.shape[1])]
    if part is None or not part.correlated or settings.resampling == "none":
        return noise
    resampled = [row for row, band in enumerate(bands) if band != settings.reference]
    if settings.resampling == "cubic":
        along_x, along_y = np.moveaxis(_circulant(_cubic_response(shifts[resampled], size)), 1, 0)
    else:
        along_x = along_y = _stack_matrix(settings.resampling, settings.pixel_ratio, size)
    noise[resampled] = along_y @ noise[resampled] @ along_x
    return noise


def _circulant(response):
    """Return the matrices of circular convolutions of the real responses at the frequencies of an FFT of n points.

    float32 of shape ``(..., n, n)``. They are symmetric. For stamps, their products are faster than an FFT.
    """
    n = response.shape[-1]
    return fft.ifft(response).real.astype(np.float32)[..., np.subtract.outer(np.arange(n), np.arange(n))]


def _cubic_response(shifts, n):
    """Return the absolute response of cubic spline interpolation at shifts, shape ``(..., n)``."""
    points, phases, prefilter = _cubic_phases(n)
    distance = np.abs(points - shifts[..., None] % 1)
    spline = np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6)
    return np.abs(spline @ phases) * prefilter


@lru_cache(maxsize=64)
def _cubic_phases(n):
    """Return the points of a cubic spline, their phases and the response of the prefilter at n frequencies."""
    frequency, points = 2 * np.pi * fft.fftfreq(n), np.arange(-2, 4)
    return points, np.exp(-1j * np.outer(points, frequency)), 3 / (2 + np.cos(frequency))


@lru_cache(maxsize=64)
def _stack_matrix(resampling, pixel_ratio, n):
    """Return the matrix that gives white noise the correlation of Lanczos interpolation at all shifts, and variance 1.

    The correlation of the stack at a distance is that of the kernel with itself. ``pixel_ratio`` is the side of a
    pixel of the stack over that of an exposure.
    """
    order = int(resampling.removeprefix("lanczos"))
    x = np.arange(-order, order, 1 / _N_SHIFTS) + 0.5 / _N_SHIFTS
    kernel = np.sinc(x) * np.sinc(x / order)
    correlation = np.correlate(kernel, kernel, "full") / np.sum(kernel**2)
    distance = np.arange(1 - len(x), len(x)) / _N_SHIFTS
    values = np.interp(pixel_ratio * n * np.abs(fft.fftfreq(n)), distance, correlation, right=0)
    power = np.clip(fft.fft(values).real, 0, None)
    return _circulant(np.sqrt(power / power.mean()))


def draw_depths(rng, part, conditions):
    """Return the noise of the sky in each band over ``sky_noise``, shape ``(n_bands,)``."""
    noise, n = conditions.noise, len(conditions.bands)
    deviates = rng.standard_normal(n + 1)
    if part is None:
        return np.ones(n)
    exponent = np.multiply(noise.scatter, deviates[0]) + np.multiply(noise.band_scatter, deviates[1:])
    return noise.depth * np.exp(part.depth_scale * exponent)


def draw_weight_errors(rng, part, conditions):
    """Return the factor of the weight that the survey states, shape ``(n_bands,)``."""
    deviates = rng.standard_normal(len(conditions.bands))
    if part is None:
        return np.ones_like(deviates)
    return np.exp(np.multiply(conditions.noise.weight_scatter, deviates))


def digitized(rng, part, conditions, flux, sky_noise):
    """Return images whose values are steps apart, in the bands that are not resampled and whose ``quantum`` is not 0.

    ``flux`` has shape ``(n_bands, y, x)`` and ``sky_noise`` ``(n_bands,)``, in the unit of the survey.
    """
    phases, slopes = rng.uniform(size=len(flux)), _PHASE_SLOPE * rng.standard_normal((len(flux), 2))
    noise, pixel = conditions.noise, np.arange(flux.shape[-1], dtype=np.float32)
    steps = np.multiply(noise.quantum, sky_noise)
    if part is None or not np.any(steps):
        return flux
    flux = flux.copy()
    for row, (band, step, phase, (x, y)) in enumerate(zip(conditions.bands, steps, phases, slopes)):
        if step and (noise.resampling == "none" or band == noise.reference):
            phase = (phase + x * pixel + y * pixel[:, None]).astype(np.float32)
            flux[row] = (np.rint(flux[row] / step - phase) + phase) * step
    return flux


def draw_background(rng, part, conditions, size, scale):
    """Return planes of offset, gradient and curvature in units of the noise of a pixel, or None if there are none.

    ``scale`` is the pixel scale in arcsec; the planes are float32 of shape ``(n_bands, size, size)``.
    """
    background, n = conditions.background, len(conditions.bands)
    deviates = rng.standard_normal((6, n + 1))
    if part is None:
        return None
    share = np.asarray(background.correlation)
    deviates = np.sqrt(share) * deviates[:, :1] + np.sqrt(1 - share) * deviates[:, 1:]
    amplitudes = part.scale * np.array([
        np.broadcast_to(one, n) for one in (background.offset, background.gradient, background.curvature)])
    terms = amplitudes[[0, 1, 1, 2, 2, 2]] * deviates
    terms[0] += part.scale * np.broadcast_to(background.level, n)
    return (terms.T.astype(np.float32) @ _polynomials(size, scale)).reshape(n, size, size)


@lru_cache(maxsize=64)
def _polynomials(size, scale):
    """Return 1, x, y, x^2 / 2, y^2 / 2 and x y in arcmin from the center, float32 of shape ``(6, size**2)``."""
    x = np.broadcast_to((np.arange(size) - (size - 1) / 2) * scale / 60, (size, size)).ravel()
    y = x.reshape(size, size).T.ravel()
    return np.stack([np.ones(size**2), x, y, x**2 / 2, y**2 / 2, x * y]).astype(np.float32)


def draw_offsets(rng, part, conditions):
    """Return the astrometric offset of each band in x and y, in arcsec, shape ``(n_bands, 2)``."""
    astrometry, n = conditions.astrometry, len(conditions.bands)
    deviates = rng.standard_normal((n + 1, 2))
    if part is None:
        return np.zeros((n, 2))
    common, band = (np.broadcast_to(one, n)[:, None] for one in (astrometry.survey, astrometry.band))
    return part.scale * (common * deviates[0] + band * deviates[1:])


def draw_zero_points(rng, part, conditions):
    """Return the error of the zero point of each band in magnitudes, shape ``(n_bands,)``."""
    calibration, n = conditions.calibration, len(conditions.bands)
    deviates = rng.standard_normal(n + 1)
    if part is None:
        return np.zeros(n)
    return part.scale * (np.multiply(calibration.survey, deviates[0]) + np.multiply(calibration.band, deviates[1:]))


def draw_ebv(rng, part):
    """Return E(B-V) of the dust of the Galaxy in magnitudes, 0 without a part."""
    deviate = rng.standard_normal()
    return 0.0 if part is None else min(float(part.median * np.exp(part.scatter * deviate)), part.maximum)


def extinction_coefficients(survey):
    """Return A / E(B-V) in each band of a survey at its effective wavelength, shape ``(n_bands,)``.

    The law is that of Fitzpatrick (1999, PASP 111, 63) for R_V = 3.1, as Schlafly & Finkbeiner (2011, ApJ 737, 103)
    found in the optical.
    """
    inverse = np.array([1 / band.effective_wavelength.to_value("um") for band in survey])
    return CubicSpline(*_FITZPATRICK)(inverse)
