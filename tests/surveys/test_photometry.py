import bz2
import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from specutils import Spectrum

from astro_galtrans.surveys import band_flux_density, get_survey, synthetic_magnitude


@pytest.fixture
def real_data():
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("GALTRANS_REAL_DATA does not name the folder of real survey data")
    return Path(folder)


@pytest.mark.parametrize("name", ["SDSS", "CFHTLS"])
def test_flat_spectrum_is_the_same_in_every_band(name):
    wavelength = np.linspace(2800, 12000, 3000) * u.AA
    flat = Spectrum(flux=np.full((2, 3000), 3631e-6) * u.Jy, spectral_axis=wavelength)
    for band in get_survey(name):
        magnitude = synthetic_magnitude(flat, band)
        assert magnitude.unit == u.ABmag and magnitude.shape == (2,)
        np.testing.assert_allclose(magnitude.value, 15, atol=1e-3)


def test_a_steep_spectrum_has_the_flux_at_the_pivot_wavelength():
    """A constant f_lambda gives f_nu = f_lambda pivot^2 / c exactly, by the definition of the pivot wavelength."""
    band = get_survey("SDSS")["g"]
    grid = np.linspace(3000, 7000, 8001)
    response = np.interp(grid, band.wavelength.value, band.response)
    pivot = np.sqrt(np.trapezoid(response * grid, grid) / np.trapezoid(response / grid, grid)) * u.AA
    f_lambda = np.full(len(grid), 1e-16) * u.erg / u.s / u.cm**2 / u.AA
    expected = f_lambda[0].to(u.Jy, u.spectral_density(pivot))
    assert band_flux_density(grid * u.AA, f_lambda, band).to_value(u.Jy) == pytest.approx(expected.value, rel=1e-4)


def test_units_and_direction_of_the_spectral_axis_do_not_matter():
    wavelength = np.linspace(3000, 9000, 4000) * u.AA
    f_lambda = (1 + np.sin(wavelength.value / 300)) * 1e-16 * u.erg / u.s / u.cm**2 / u.AA
    reference = synthetic_magnitude(Spectrum(flux=f_lambda, spectral_axis=wavelength), get_survey("SDSS")["r"])
    f_nu = f_lambda.to(u.mJy, u.spectral_density(wavelength))
    frequency = wavelength.to(u.THz, u.spectral())
    other = synthetic_magnitude(Spectrum(flux=f_nu, spectral_axis=frequency), get_survey("SDSS")["r"])
    assert other.value == pytest.approx(reference.value, abs=1e-6)


def test_a_spectrum_may_miss_a_thousandth_of_the_band():
    wavelength = np.linspace(3800, 9000, 3000) * u.AA
    flat = Spectrum(flux=np.full(3000, 3631e-6) * u.Jy, spectral_axis=wavelength)
    assert synthetic_magnitude(flat, get_survey("SDSS")["g"]).value == pytest.approx(15, abs=1e-3)


def test_a_spectrum_that_ends_within_the_band_is_refused():
    wavelength = np.linspace(6000, 9000, 100) * u.AA
    short = Spectrum(flux=np.ones(100) * u.Jy, spectral_axis=wavelength)
    with pytest.raises(ValueError, match="band r needs"):
        synthetic_magnitude(short, get_survey("SDSS")["r"])
    with pytest.raises(TypeError, match="spectrum"):
        synthetic_magnitude(np.ones(3), get_survey("SDSS")["r"])
    with pytest.raises(TypeError, match="band"):
        band_flux_density(wavelength, short.flux, "r")


def test_magnitudes_of_sdss_spectra(real_data):
    files = sorted((real_data / "spectra-sdss-galaxies").glob("spec-*.fits"))
    assert files
    for path in files:
        with fits.open(path) as hdus:
            wavelength, flux = 10 ** hdus[1].data["loglam"].astype(float), hdus[1].data["flux"].astype(float)
            published = 22.5 - 2.5 * np.log10(hdus[2].data["SPECTROFLUX"][0])
        spectrum = Spectrum(flux=flux * 1e-17 * u.erg / u.s / u.cm**2 / u.AA, spectral_axis=wavelength * u.AA)
        for band, expected in zip("gri", published[1:4]):
            assert synthetic_magnitude(spectrum, get_survey("SDSS")[band]).value == pytest.approx(expected, abs=0.005)
        for band in "uz":
            with pytest.raises(ValueError, match=f"band {band} needs"):
                synthetic_magnitude(spectrum, get_survey("SDSS")[band])


def test_sky_noise_is_like_that_of_an_sdss_frame(real_data):
    for band in get_survey("SDSS"):
        path = real_data / "sdss-field-003918-3-0213" / f"frame-{band.name}-003918-3-0213.fits.bz2"
        with bz2.open(path) as file, fits.open(file) as hdus:
            scatter = mad_std(hdus[0].data[::4, ::4])
        assert 0.75 < scatter / band.sky_noise < 1.25


def test_sky_noise_is_like_that_of_a_cfhtls_stack(real_data):
    for band in "gri":
        scatter = mad_std(fits.getdata(real_data / "cfhtls-gri-humvi" / f"CFHTLS-test_{band}.fits").astype(float))
        assert 0.7 < scatter / get_survey("CFHTLS")[band].sky_noise < 1.5


def test_sky_noise_is_like_that_of_a_kids_coadd(real_data):
    paths = sorted((real_data / "pair-sdss-kids-profit" / "KiDS").glob("*sigma.fits"))
    noise = np.median([np.percentile(fits.getdata(path), 5) for path in paths])
    assert 0.75 < noise / get_survey("KiDS")["r"].sky_noise < 1.25
