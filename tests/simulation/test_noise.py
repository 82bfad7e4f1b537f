"""Noise, background, and errors of positions and zero points: their statistics are those of the conditions."""

from dataclasses import replace

import numpy as np
import pytest

from astro_galtrans.simulation import (
    Astrometry, AstrometryConditions, Background, BackgroundConditions, Calibration, CalibrationConditions, Extinction,
    Noise, NoiseConditions, PSFConditions, SurveyConditions, get_conditions,
)
from astro_galtrans.simulation._noise import (
    digitized, draw_background, draw_depths, draw_ebv, draw_offsets, draw_weight_errors, draw_zero_points,
    extinction_coefficients, unit_noise,
)
from astro_galtrans.surveys import get_survey

_BANDS = ("g", "r", "i")


def _conditions(**parts):
    return SurveyConditions(_BANDS, PSFConditions(1.0), **parts)


def _correlations(noise):
    """Return the variance, and the correlation at lags of one and two pixels along x and along y, for each band."""
    variance = noise.var(axis=(-2, -1))
    along_x = [(noise[:, :, lag:] * noise[:, :, :-lag]).mean(axis=(1, 2)) / variance for lag in (1, 2)]
    along_y = [(noise[:, lag:] * noise[:, :-lag]).mean(axis=(1, 2)) / variance for lag in (1, 2)]
    return variance, along_x, along_y


def test_noise_is_white_without_correlation():
    conditions = _conditions(noise=NoiseConditions(resampling="lanczos3"))
    for part in (None, Noise(correlated=False)):
        noise = unit_noise(np.random.default_rng(1), part, conditions, 256)
        variance, along_x, along_y = _correlations(noise)
        np.testing.assert_allclose(variance, 1, atol=0.03)
        np.testing.assert_allclose([along_x, along_y], 0, atol=0.02)
        assert noise.shape == (3, 256, 256) and noise.dtype == np.float32


@pytest.mark.parametrize("resampling, first, second", [("lanczos2", 0.15, -0.04), ("lanczos3", 0.11, -0.08)])
def test_noise_of_a_stack_correlates_as_resampling_does(resampling, first, second):
    # Lags of one and two pixels of white noise that is interpolated with the kernel, mean over sub-pixel shifts.
    conditions = _conditions(noise=NoiseConditions(resampling=resampling))
    variance, *along = _correlations(unit_noise(np.random.default_rng(2), Noise(), conditions, 300))
    np.testing.assert_allclose(variance, 1, atol=0.03)
    for one, other in along:
        np.testing.assert_allclose(one, first, atol=0.025)
        np.testing.assert_allclose(other, second, atol=0.025)


def test_noise_of_one_image_is_that_of_spline_interpolation():
    from scipy import ndimage

    shift = 0.4
    settings = NoiseConditions(resampling="cubic", reference="r", shifts=[[(shift, 0.0)]] * 3)
    variance, along_x, along_y = _correlations(
        unit_noise(np.random.default_rng(3), Noise(), _conditions(noise=settings), 300))
    white = np.random.default_rng(4).standard_normal((1, 300, 300))
    expected = _correlations(ndimage.shift(white, (0, 0, shift), order=3, mode="grid-wrap"))
    for row in (0, 2):
        assert variance[row] == pytest.approx(expected[0][0], abs=0.02)
        np.testing.assert_allclose([lag[row] for lag in along_x], np.ravel(expected[1]), atol=0.02)
        np.testing.assert_allclose([lag[row] for lag in along_y], 0, atol=0.02)
    assert variance[1] == pytest.approx(1, abs=0.02) and along_x[0][1] == pytest.approx(0, abs=0.02)


def test_noise_of_few_photons_is_skewed():
    conditions = _conditions(noise=NoiseConditions(resampling="none", photons=(1.0, 0.5, 0.0)))
    noise = unit_noise(np.random.default_rng(5), Noise(), conditions, 400, skewness=np.full(3, 0.2))
    np.testing.assert_allclose(np.median(noise, axis=(1, 2)), 0, atol=0.01)
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose((noise**3).mean(axis=(1, 2)), [0.2, 0.1, 0.0], atol=0.03)


def test_depths_follow_the_conditions():
    conditions = _conditions(noise=NoiseConditions(depth=(0.8, 1.0, 1.2), scatter=0.1, band_scatter=(0.0, 0.1, 0.2)))
    rng = np.random.default_rng(6)
    depths = np.log([draw_depths(rng, Noise(), conditions) for _ in range(4000)])
    np.testing.assert_allclose(depths.mean(axis=0), np.log([0.8, 1.0, 1.2]), atol=0.015)
    np.testing.assert_allclose(depths.std(axis=0), np.hypot(0.1, [0, 0.1, 0.2]), rtol=0.05)
    assert np.cov(depths.T)[0, 1] == pytest.approx(0.01, rel=0.1)
    np.testing.assert_allclose(draw_depths(rng, Noise(depth_scale=0), conditions), [0.8, 1.0, 1.2])
    np.testing.assert_array_equal(draw_depths(rng, None, conditions), 1)


def test_stated_weights_scatter_around_the_true_ones():
    conditions = _conditions(noise=NoiseConditions(weight_scatter=0.05))
    rng = np.random.default_rng(7)
    errors = np.log([draw_weight_errors(rng, Noise(), conditions) for _ in range(2000)])
    assert errors.mean() == pytest.approx(0, abs=0.003) and errors.std() == pytest.approx(0.05, rel=0.05)
    np.testing.assert_array_equal(draw_weight_errors(rng, None, conditions), 1)


def test_digitized_values_are_steps_apart_in_the_band_that_is_not_resampled():
    conditions = _conditions(noise=NoiseConditions(resampling="cubic", reference="r", quantum=0.2))
    flux = np.random.default_rng(8).standard_normal((3, 32, 32)).astype(np.float32)
    image = digitized(np.random.default_rng(9), Noise(), conditions, flux, np.ones(3))
    np.testing.assert_array_equal(image[[0, 2]], flux[[0, 2]])
    assert np.abs(image[1] - flux[1]).max() <= 0.11
    # Neighbors have nearly the phase of the steps in common.
    steps = np.diff(image[1], axis=1) / 0.2
    assert np.abs(steps - np.rint(steps)).max() < 0.05
    assert digitized(np.random.default_rng(9), None, conditions, flux, np.ones(3)) is flux


def test_background_follows_the_conditions():
    settings = BackgroundConditions(offset=(0.0, 0.1, 0.2), gradient=0.5, curvature=0.0, correlation=(0.0, 0.9, 0.4))
    conditions, rng = _conditions(background=settings), np.random.default_rng(10)
    planes = np.array([draw_background(rng, Background(), conditions, 31, 2.0) for _ in range(3000)])
    middle = planes[:, :, 15, 15]
    np.testing.assert_allclose(middle.std(axis=0), [0, 0.1, 0.2], rtol=0.05, atol=1e-6)
    assert np.corrcoef(middle[:, 1], middle[:, 2])[0, 1] == pytest.approx(0.6, abs=0.04)
    # From edge to edge, 30 pixels of 2 arcsec are one arcmin.
    np.testing.assert_allclose((planes[:, :, 15, -1] - planes[:, :, 15, 0]).std(axis=0), 0.5, rtol=0.05)
    half = draw_background(np.random.default_rng(11), Background(scale=0.5), conditions, 8, 1.0)
    full = draw_background(np.random.default_rng(11), Background(), conditions, 8, 1.0)
    np.testing.assert_allclose(2 * half, full, rtol=1e-5)
    assert draw_background(rng, None, conditions, 8, 1.0) is None


def test_background_is_curved():
    settings = BackgroundConditions(offset=0.0, gradient=0.0, curvature=1.0)
    rng = np.random.default_rng(12)
    planes = np.array([draw_background(rng, Background(), _conditions(background=settings), 61, 1.0)
                       for _ in range(500)])
    second = planes[:, :, 30, 60] + planes[:, :, 30, 0] - 2 * planes[:, :, 30, 30]
    np.testing.assert_allclose(second.std(axis=0), 0.25, rtol=0.1)


def test_offsets_and_zero_points_follow_the_conditions():
    conditions = _conditions(astrometry=AstrometryConditions(survey=0.04, band=(0.0, 0.03, 0.03)),
                             calibration=CalibrationConditions(survey=0.01, band=(0.0, 0.02, 0.02)))
    rng = np.random.default_rng(13)
    offsets = np.array([draw_offsets(rng, Astrometry(), conditions) for _ in range(3000)])
    np.testing.assert_allclose(offsets.std(axis=0), np.array([[0.04, 0.05, 0.05]] * 2).T, rtol=0.05)
    errors = np.array([draw_zero_points(rng, Calibration(scale=2.0), conditions) for _ in range(3000)])
    np.testing.assert_allclose(errors.std(axis=0), 2 * np.hypot(0.01, [0, 0.02, 0.02]), rtol=0.05)
    np.testing.assert_array_equal(draw_offsets(rng, None, conditions), np.zeros((3, 2)))
    np.testing.assert_array_equal(draw_zero_points(rng, None, conditions), 0)


def test_reddening_is_lognormal():
    rng = np.random.default_rng(14)
    values = np.array([draw_ebv(rng, Extinction(median=0.03, scatter=0.5)) for _ in range(3000)])
    assert np.median(values) == pytest.approx(0.03, rel=0.05) and np.log(values).std() == pytest.approx(0.5, rel=0.05)
    assert values.max() <= 0.3 and draw_ebv(rng, None) == 0


def test_extinction_is_that_of_the_sdss_bands():
    # Schlafly & Finkbeiner (2011, ApJ 737, 103), table 6, for R_V = 3.1, over the 0.86 of their E(B-V).
    published = np.array([4.239, 3.303, 2.285, 1.698, 1.263]) / 0.86
    np.testing.assert_allclose(extinction_coefficients(get_survey("SDSS")), published, rtol=0.04)


@pytest.mark.parametrize("part, draw", [
    (Noise, lambda rng, part, conditions: unit_noise(rng, part, conditions, 16)),
    (Noise, draw_depths), (Noise, draw_weight_errors), (Astrometry, draw_offsets), (Calibration, draw_zero_points),
    (Background, lambda rng, part, conditions: draw_background(rng, part, conditions, 16, 0.4)),
    (Extinction, lambda rng, part, conditions: draw_ebv(rng, part)),
])
def test_parts_that_are_off_draw_as_many_numbers(part, draw):
    conditions = get_conditions("SDSS")
    generators = [np.random.default_rng(15) for _ in range(3)]
    on, off, again = (draw(rng, one, conditions) for rng, one in zip(generators, (part(), None, part())))
    np.testing.assert_array_equal(on, again)
    assert len({rng.random() for rng in generators}) == 1


def test_conditions_of_single_bands_are_used():
    conditions = get_conditions("SDSS").select("rz")
    quiet = replace(conditions, noise=replace(conditions.noise, scatter=0.0, band_scatter=0.0))
    np.testing.assert_allclose(draw_depths(np.random.default_rng(16), Noise(), quiet), conditions.noise.depth)
