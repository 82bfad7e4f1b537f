import copy
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from specutils import Spectrum

from astro_galtrans.spectra import FLUX_UNIT, SpectrumGrid, resample_spectra, resample_spectrum, to_spectrum

GRID = SpectrumGrid(4000, 8000, 100)


def bumpy(wavelength):
    """A slope, a break and lines, in FLUX_UNIT."""
    lines = 8 * np.exp(-((wavelength - 6500) / 30) ** 2) + 5 * np.exp(-((wavelength - 5003) / 15) ** 2)
    return 3 + (wavelength - 4000) / 2000 + (wavelength > 5500) + lines


def make(flux=None, wavelength=None, sigma=0.1, **given):
    wavelength = np.linspace(3500, 9000, 6000) if wavelength is None else wavelength
    flux = bumpy(wavelength) if flux is None else flux
    uncertainty = given.pop("uncertainty", StdDevUncertainty(np.full(len(flux), sigma), unit=FLUX_UNIT))
    return Spectrum(flux=flux * FLUX_UNIT, spectral_axis=wavelength * u.AA, uncertainty=uncertainty, **given)


def test_a_constant_stays_and_nothing_is_made_up():
    flux, weight = resample_spectrum(make(np.full(2000, 2.5), np.linspace(4500, 7000, 2000)), GRID)
    assert flux.dtype == weight.dtype == np.float32 and flux.shape == weight.shape == (100,)
    seen = weight > 0
    np.testing.assert_allclose(flux[seen], 2.5, rtol=1e-6)
    wavelength = GRID.wavelength.value
    assert np.all(flux[~seen] == 0)
    half = GRID.step / 2
    assert np.all(seen == (wavelength > 4500 * np.exp(-half * 1e-2)) & (wavelength < 7000 * np.exp(half * 1e-2)))


@pytest.mark.parametrize("n", [60, 173, 6000, 30000])
def test_flux_is_conserved(n):
    wavelength = np.linspace(3500, 9000, n)
    spectrum = make(wavelength=wavelength)
    flux, weight = resample_spectrum(spectrum, GRID)
    assert np.all(weight > 0)
    # The integral of the histogram that the spectrum is, between the ends of the grid.
    edges = spectrum.bin_edges.value
    total = np.concatenate([[0], np.cumsum(bumpy(wavelength) * np.diff(edges))])
    expected = np.diff(np.interp(GRID.edges.value[[0, -1]], edges, total))
    assert flux @ np.diff(GRID.edges.value) == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(
        flux, np.diff(np.interp(GRID.edges.value, edges, total)) / np.diff(GRID.edges.value), rtol=1e-5)


def test_every_axis_and_direction_gives_the_same():
    reference = resample_spectrum(make(), GRID)
    wavelength = np.linspace(3500, 9000, 6000) * u.AA
    f_lambda, sigma = bumpy(wavelength.value) * FLUX_UNIT, np.full(6000, 0.1) * FLUX_UNIT
    density = u.spectral_density(wavelength)
    rest = u.doppler_optical(6000 * u.AA)
    for unit, flux_unit in ((u.nm, FLUX_UNIT), (u.Hz, FLUX_UNIT), (u.GHz, u.mJy), (u.eV, u.Jy), (u.um, u.W / u.m**3),
                            (u.AA, u.photon / u.s / u.cm**2 / u.AA), (u.km / u.s, FLUX_UNIT)):
        axis = wavelength.to(unit, rest if unit == u.km / u.s else u.spectral())
        if unit == u.km / u.s:
            from specutils import SpectralAxis
            axis = SpectralAxis(axis, doppler_rest=6000 * u.AA, doppler_convention="optical")
        flux, error = f_lambda.to(flux_unit, density), sigma.to(flux_unit, density)
        for step in (1, -1):
            spectrum = Spectrum(flux=flux[::step], spectral_axis=axis[::step],
                                uncertainty=StdDevUncertainty(error[::step]))
            got = resample_spectrum(spectrum, GRID)
            np.testing.assert_allclose(got[0], reference[0], rtol=2e-4, err_msg=f"{unit} {flux_unit} {step}")
            np.testing.assert_allclose(got[1], reference[1], rtol=2e-3, err_msg=f"{unit} {flux_unit} {step}")


def test_bin_edges_are_used_where_they_are_given():
    edges = np.array([4000.0, 4100, 4300, 4350, 5000])
    spectrum = Spectrum(flux=np.array([1.0, 2, 3, 4]) * FLUX_UNIT, spectral_axis=edges * u.AA,
                        uncertainty=VarianceUncertainty(np.ones(4)))
    grid = SpectrumGrid(4150, 4200, 2)
    flux, weight = resample_spectrum(spectrum, grid)
    np.testing.assert_allclose(flux, 2, rtol=1e-6)
    np.testing.assert_allclose(weight, 1, rtol=1e-6)


def test_kinds_of_uncertainty_agree():
    sigma = np.linspace(0.05, 0.3, 6000)
    reference = resample_spectrum(make(uncertainty=StdDevUncertainty(sigma)), GRID)[1]
    for uncertainty in (VarianceUncertainty(sigma**2), InverseVariance(sigma**-2), StdDevUncertainty(
            sigma * 1e-17 * u.erg / u.s / u.cm**2 / u.AA), InverseVariance(sigma**-2 * 1e34 * (
                u.s * u.cm**2 * u.AA / u.erg) ** 2)):
        np.testing.assert_allclose(resample_spectrum(make(uncertainty=uncertainty), GRID)[1], reference, rtol=1e-5)
    with pytest.raises(TypeError, match="uncertainty.*unknown"):
        resample_spectrum(make(uncertainty=UnknownUncertainty(sigma)))


@pytest.mark.parametrize("n", [130, 1000, 5000])
def test_weight_is_the_inverse_variance_of_many_trials(n):
    rng = np.random.default_rng(2)
    wavelength = np.geomspace(3800, 9000, n)
    sigma = 0.2 + 0.1 * np.sin(wavelength / 300)
    trials = []
    for _ in range(300):
        noisy = bumpy(wavelength) + sigma * rng.normal(size=n)
        flux, weight = resample_spectrum(make(noisy, wavelength, uncertainty=StdDevUncertainty(sigma)), GRID)
        trials.append(flux)
    expected = resample_spectrum(make(wavelength=wavelength), GRID)[0]
    chi = (np.array(trials) - expected) * np.sqrt(weight)
    assert abs(chi.mean()) < 0.05
    np.testing.assert_allclose((chi**2).mean(axis=0), 1, atol=0.5)
    assert (chi**2).mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("how", ["mask", "nan flux", "nan error", "zero error", "inf flux"])
def test_bad_pixels_do_not_count(how):
    wavelength = np.linspace(3500, 9000, 6000)
    flux, sigma, mask = np.full(6000, 2.0), np.full(6000, 0.1), np.zeros(6000, bool)
    bad = (wavelength > 5000) & (wavelength < 5300)
    bad[::7] = True
    flux[bad] = 99
    if how == "mask":
        mask = bad
    elif how.endswith("flux"):
        flux[bad] = np.nan if how == "nan flux" else np.inf
    else:
        sigma[bad] = np.nan if how == "nan error" else 0
    got, weight = resample_spectrum(make(flux, wavelength, uncertainty=StdDevUncertainty(sigma), mask=mask), GRID)
    hole = (GRID.edges[:-1].value > 5000) & (GRID.edges[1:].value < 5300)
    assert hole.sum() >= 6 and np.all(weight[hole] == 0) and np.all(got[hole] == 0)
    np.testing.assert_allclose(got[weight > 0], 2, rtol=1e-6)
    assert np.all(weight[(GRID.wavelength.value < 4970) | (GRID.wavelength.value > 5330)] > 0)


def test_a_mask_of_bits_masks_what_is_not_zero():
    mask = np.zeros(6000, dtype=int)
    mask[:3000] = 16
    weight = resample_spectrum(make(mask=mask), GRID)[1]
    assert np.all(weight[GRID.wavelength.value < 6200] == 0) and np.all(weight[GRID.wavelength.value > 6300] > 0)


def test_a_gap_in_the_axis_is_not_covered():
    """As between the arms of a spectrograph."""
    wavelength = np.concatenate([np.arange(3500, 5500), np.arange(6000, 9000)]).astype(float)
    flux, weight = resample_spectrum(make(np.ones(5000), wavelength), GRID)
    center = GRID.wavelength.value
    np.testing.assert_array_equal(weight > 0, (center < 5500) | (center > 6000))


def test_noise_is_estimated_where_it_is_not_given():
    rng = np.random.default_rng(3)
    wavelength = np.linspace(3500, 9000, 6000)
    noisy = bumpy(wavelength) + 0.3 * rng.normal(size=6000)
    weight = resample_spectrum(make(noisy, wavelength, uncertainty=None), GRID)[1]
    given = resample_spectrum(make(noisy, wavelength, 0.3), GRID)[1]
    np.testing.assert_allclose(weight, given, rtol=0.1)
    clean = resample_spectrum(make(np.full(6000, 2.0), wavelength, uncertainty=None), GRID)[1]
    np.testing.assert_allclose(clean, resample_spectrum(make(np.full(6000, 2.0), wavelength, 2e-3), GRID)[1], rtol=1e-5)
    assert np.all(resample_spectrum(make(np.zeros(6000), wavelength, uncertainty=None), GRID)[1] == 0)
    nothing = make(uncertainty=None, mask=np.ones(6000, bool))
    assert not resample_spectrum(nothing, GRID)[1].any()
    with pytest.raises(ValueError, match="spectrum must have an uncertainty"):
        resample_spectrum(make(np.ones(5), np.linspace(4000, 5000, 5), uncertainty=None))


def test_coarse_photometry_on_a_frequency_axis():
    frequency = np.array([3.0, 5, 7, 10]) * 1e14 * u.Hz
    spectrum = Spectrum(flux=np.array([4.0, 3, 2, 1]) * u.mJy, spectral_axis=frequency,
                        uncertainty=StdDevUncertainty(np.full(4, 0.1)))
    flux, weight = resample_spectrum(spectrum)
    at = np.argmin(np.abs(SpectrumGrid().wavelength.value - 5995.8))
    f_lambda = (3 * u.mJy).to_value(FLUX_UNIT, u.spectral_density(5e14 * u.Hz))
    assert flux[at] == pytest.approx(f_lambda, rel=1e-5)
    assert flux[at] * np.sqrt(weight[at]) == pytest.approx(30, rel=1e-4)


def test_the_spectrum_is_not_changed():
    spectrum = make(mask=np.arange(6000) % 5 == 0, meta={"a": [1]})
    before = copy.deepcopy(spectrum)
    flux, weight = resample_spectrum(spectrum)
    flux[:] = weight[:] = 7
    np.testing.assert_array_equal(spectrum.flux, before.flux)
    np.testing.assert_array_equal(spectrum.uncertainty.array, before.uncertainty.array)
    np.testing.assert_array_equal(spectrum.mask, before.mask)
    assert spectrum.meta == before.meta


@pytest.mark.parametrize(("spectrum", "error", "message"), [
    (np.ones(5), TypeError, "spectrum.*ndarray"),
    (None, TypeError, "got NoneType"),
    (Spectrum(flux=np.ones((2, 50)) * FLUX_UNIT, spectral_axis=np.linspace(4000, 5000, 50) * u.AA), ValueError,
     r"spectrum.*\(2, 50\)"),
    (Spectrum(flux=np.ones(50) * u.ct, spectral_axis=np.linspace(4000, 5000, 50) * u.AA), u.UnitConversionError,
     "spectrum"),
    (Spectrum(flux=np.ones(50) * FLUX_UNIT, spectral_axis=np.arange(1, 51) * u.pix), u.UnitConversionError,
     "spectrum.*pix"),
    (make(np.full(50, 1e60), np.linspace(4000, 5000, 50), 1e60), ValueError, "spectrum.*single precision"),
])
def test_wrong_input_is_named(spectrum, error, message):
    with pytest.raises(error, match=message):
        resample_spectrum(spectrum)


def test_many_galaxies_with_and_without_a_spectrum():
    flux, weight = resample_spectra([make(), None, make(uncertainty=None)], GRID)
    assert flux.shape == weight.shape == (3, 100) and flux.dtype == weight.dtype == np.float32
    np.testing.assert_array_equal(flux[0], resample_spectrum(make(), GRID)[0])
    assert not flux[1].any() and not weight[1].any() and weight[2].any()
    assert resample_spectra([])[0].shape == (0, 1024)
    with pytest.raises(TypeError, match=r"spectra\[1\]: spectrum"):
        resample_spectra([None, "spectrum"])
    with pytest.raises(TypeError, match="spectra"):
        resample_spectra(make())
    with pytest.raises(TypeError, match="grid"):
        resample_spectra([], 5)


def test_there_and_back():
    flux, weight = resample_spectrum(make(wavelength=np.linspace(4500, 7000, 3000)), GRID)
    spectrum = to_spectrum(flux, weight, GRID)
    assert spectrum.flux.unit == FLUX_UNIT and isinstance(spectrum.uncertainty, InverseVariance)
    np.testing.assert_array_equal(spectrum.mask, weight == 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = resample_spectrum(spectrum, GRID)
    np.testing.assert_allclose(again[0], flux, rtol=2e-2)
    np.testing.assert_array_equal(again[1] > 0, weight > 0)
    assert to_spectrum(flux, np.zeros(100), GRID) is None
    with pytest.raises(ValueError, match="flux"):
        to_spectrum(flux, weight)
