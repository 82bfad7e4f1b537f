"""Drawn PSFs: their transforms against real-space images, and their statistics."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import fft

from astro_galtrans.simulation import PSFConditions, PSFVariation, SurveyConditions, get_conditions
from astro_galtrans.simulation._psf import PSF, Blurs, draw_psfs

_SIDE, _SCALE = 512, 0.08


def _image(psf):
    """Return an image from the transform, its middle at pixel (_SIDE / 2, _SIDE / 2)."""
    step = 2 * np.pi / (_SIDE * _SCALE)
    kx, ky = step * np.arange(_SIDE // 2 + 1), step * _SIDE * fft.fftfreq(_SIDE)
    return fft.fftshift(fft.irfft2(psf.transform(kx, ky), s=(_SIDE, _SIDE)))


def _moffat(psf):
    """Return the same in real space, for a Moffat profile with wings too faint to change its FWHM."""
    y, x = (np.indices((_SIDE, _SIDE)) - _SIDE / 2) * _SCALE
    a = psf.fwhm / (2 * np.sqrt(2 ** (1 / psf.beta) - 1))
    r2 = ((1 - psf.e1) * x**2 - 2 * psf.e2 * x * y + (1 + psf.e1) * y**2) / np.sqrt(1 - psf.e1**2 - psf.e2**2)
    s = psf.wing_scale * psf.fwhm
    core = (psf.beta - 1) / (np.pi * a**2) * (1 + r2 / a**2) ** -psf.beta
    return _SCALE**2 * ((1 - psf.wings) * core + psf.wings / (2 * np.pi * s**2) * (1 + r2 / s**2) ** -1.5)


@pytest.mark.parametrize("psf", [
    PSF(1.0, beta=3.0), PSF(1.3, 0.1, -0.15, beta=2.5), PSF(0.8, 0.0, 0.2, beta=4.5, wings=0.03, wing_scale=3.0),
], ids=["round", "elliptical", "wings"])
def test_transform_is_that_of_the_profile(psf):
    image, expected = _image(psf), _moffat(psf)
    middle = slice(_SIDE // 2 - 80, _SIDE // 2 + 80)
    # The images repeat, and so have some of the wings of their neighbors.
    assert np.abs(image - expected)[middle, middle].max() < 0.002 * expected.max()
    assert psf.transform(np.zeros(1), np.zeros(1)).item() == pytest.approx(1)
    assert psf.transform(np.zeros(1), np.zeros(1)).dtype == np.float32


@pytest.mark.parametrize("n", [96, 32, 64, 128])
def test_grids_share_transforms_where_their_sizes_divide(n):
    def wave_numbers(n):
        step = 2 * np.pi / (n * 0.2)
        return step * np.arange(n // 2 + 1), step * n * fft.fftfreq(n)

    psfs = [PSF(1.0, 0.1, -0.05, beta=3.0), PSF(0.9, beta=2.5, wings=0.1)]
    shared = Blurs(psfs)
    shared.on(96, *wave_numbers(96))
    expected = [psf.transform(*wave_numbers(n)) for psf in psfs]
    np.testing.assert_allclose(shared.on(n, *wave_numbers(n)), expected, atol=1e-6)


@pytest.mark.parametrize("psf", [
    PSF(1.0, beta=2.0), PSF(1.4, beta=4.7), PSF(1.0, beta=3.3, wings=0.3, wing_scale=1.0), PSF(1.0, beta=0, blur=0.0),
    PSF(1.2, beta=0, blur=1.0, obscuration=0.0),
])
def test_fwhm_is_that_of_the_image(psf):
    image = _image(psf)
    profile = image[_SIDE // 2, _SIDE // 2:]
    first = int(np.argmax(profile < profile[0] / 2))
    half = np.interp(-profile[0] / 2, -profile[first - 1:first + 1], _SCALE * np.arange(first - 1, first + 1))
    assert 2 * half == pytest.approx(psf.fwhm, rel=0.01)


def test_diffraction_pattern_is_that_of_a_mirror():
    # The Airy pattern has its first dark ring at 1.22 and a FWHM of 1.029 wavelengths over diameter.
    image = _image(PSF(1.029, beta=0, obscuration=0.0, blur=0.0))
    profile = image[_SIDE // 2, _SIDE // 2:]
    dark = np.argmin(profile[:int(1.5 / _SCALE)]) * _SCALE
    assert dark == pytest.approx(1.22, abs=_SCALE)
    assert profile[int(round(1.635 / _SCALE))] / profile[0] == pytest.approx(0.0175, abs=0.002)


def test_ellipticity_is_along_its_axis():
    y, x = np.indices((_SIDE, _SIDE)) - _SIDE / 2
    weight = _image(PSF(1.5, 0.2, 0.1, beta=6.0)) * np.exp(-(x**2 + y**2) * _SCALE**2 / 20)
    xx, yy, xy = (float((weight * product).sum() / weight.sum()) for product in (x * x, y * y, x * y))
    assert 2 * xy / (xx - yy) == pytest.approx(0.5, rel=0.05)
    assert (xx - yy) / (xx + yy) == pytest.approx(0.2, rel=0.1)


@pytest.fixture
def conditions():
    psf = PSFConditions(fwhm=(1.2, 0.9), scatter=0.1, band_scatter=(0.05, 0.02), ellipticity=0.03,
                        band_ellipticity=0.04, beta=(3.0, 0.0), wings=(0.02, 0.05))
    return SurveyConditions(("g", "r"), psf)


def test_statistics_are_those_of_the_conditions(conditions):
    rng = np.random.default_rng(1)
    drawn = [draw_psfs(rng, PSFVariation(), conditions) for _ in range(2000)]
    width = np.log([[psf.fwhm for psf in psfs] for psfs in drawn]) - np.log([1.2, 0.9])
    np.testing.assert_allclose(np.median(width, axis=0), 0, atol=0.008)
    np.testing.assert_allclose(width.std(axis=0), np.hypot(0.1, [0.05, 0.02]), rtol=0.05)
    assert np.cov(width.T)[0, 1] == pytest.approx(0.01, rel=0.1)
    ellipticity = np.array([[psf.e1 for psf in psfs] for psfs in drawn])
    np.testing.assert_allclose(ellipticity.std(axis=0), 0.05, rtol=0.05)
    beta = np.array([[psf.beta for psf in psfs] for psfs in drawn])
    assert np.median(beta[:, 0]) == pytest.approx(3, rel=0.02) and np.all(beta[:, 1] == 0)
    assert drawn[0][1].wings == 0.05


def test_psf_is_typical_and_round_without_variation(conditions):
    for part in (None, PSFVariation(0, 0)):
        psfs = draw_psfs(np.random.default_rng(2), part, conditions)
        assert [psf.fwhm for psf in psfs] == [1.2, 0.9]
        assert all(psf.e1 == psf.e2 == 0 for psf in psfs)


def test_scales_leave_the_stream_as_it_is(conditions):
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    wide = draw_psfs(one, PSFVariation(ellipticity_scale=0), conditions)
    full = draw_psfs(other, PSFVariation(), conditions)
    assert [psf.fwhm for psf in wide] == [psf.fwhm for psf in full]
    assert one.random() == other.random()


def test_ellipticity_is_limited(conditions):
    psf = replace(conditions.psf, ellipticity=1.0)
    psfs = draw_psfs(np.random.default_rng(4), PSFVariation(), replace(conditions, psf=psf))
    assert all(np.hypot(psf.e1, psf.e2) < 0.31 for psf in psfs)


@pytest.mark.parametrize("name", ["SDSS", "Euclid VIS", "Roman WFI"])
def test_transform_is_positive_at_low_and_vanishes_at_high_frequency(name):
    for psf in draw_psfs(np.random.default_rng(5), PSFVariation(), get_conditions(name)):
        values = psf.transform(np.linspace(0, 60 / psf.fwhm, 500), np.zeros(1))[0]
        assert np.all(np.diff(values) < 1e-3) and abs(values[-1]) < 1e-3
