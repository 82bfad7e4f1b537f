"""On the spectra that SDSS published, read by specutils."""

import os
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from specutils import Spectrum

from astro_galtrans.spectra import SpectrumGrid, resample_spectra, resample_spectrum, to_spectrum
from astro_galtrans.surveys import get_survey, synthetic_magnitude

NAMES = ("spec-0266-51602-0013", "spec-0528-52022-0137", "spec-1039-52707-0207", "spec-2515-54180-0377")


def read(path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*contains multiple slashes", category=u.UnitsWarning)
        return Spectrum.read(path)


@pytest.fixture(scope="module")
def folder():
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GALTRANS_REAL_DATA does not name the folder of real survey data")
    return Path(folder) / "spectra-sdss-galaxies"


def unmasked(spectrum):
    """Without the flags of the pipeline, that mask half of some spectra; the inverse variance is 0 where it is bad."""
    return Spectrum(flux=spectrum.flux, spectral_axis=spectrum.spectral_axis, uncertainty=spectrum.uncertainty)


@pytest.mark.parametrize("name", NAMES)
def test_magnitudes_survive(folder, name):
    spectrum = unmasked(read(folder / f"{name}.fits"))
    resampled = to_spectrum(*resample_spectrum(spectrum))
    seen = ~resampled.mask
    # 3800 to 9200 of 3600 to 10000 Angstrom.
    assert 0.84 < seen.mean() < 0.87
    resampled = Spectrum(flux=resampled.flux[seen], spectral_axis=resampled.spectral_axis[seen])
    for band in get_survey("SDSS").select("gri"):
        difference = synthetic_magnitude(resampled, band) - synthetic_magnitude(spectrum, band)
        assert abs(difference.value) < 0.003


@pytest.mark.parametrize("name", NAMES)
def test_masked_pixels_are_left_out(folder, name):
    spectrum = read(folder / f"{name}.fits")
    grid = SpectrumGrid()
    weight, everything = resample_spectrum(spectrum, grid)[1], resample_spectrum(unmasked(spectrum), grid)[1]
    assert np.all(everything[weight > 0] > 0)
    wavelength = spectrum.spectral_axis.to_value(u.AA)
    masked = np.interp(grid.wavelength.value, wavelength, spectrum.mask.astype(float), left=1, right=1)
    assert np.all(weight[np.convolve(masked, np.ones(3), "same") == 3] == 0)


def test_estimated_noise_is_that_of_the_pipeline(folder):
    """The median noise within 12 per cent, but for the brightest: its errors do not fall below 2 per cent."""
    spectra = [unmasked(read(folder / f"{name}.fits")) for name in NAMES]
    bare = [Spectrum(flux=one.flux, spectral_axis=one.spectral_axis) for one in spectra]
    given, estimated = resample_spectra(spectra)[1], resample_spectra(bare)[1]
    ratio = [np.sqrt(np.median(a[a > 0]) / np.median(b[b > 0])) for a, b in zip(given, estimated)]
    np.testing.assert_allclose(ratio[:3], 1, atol=0.12)
    assert 0.4 < ratio[3] < 1


def test_a_spectrum_of_another_spectrograph(folder):
    """The three arms of DESI overlap: each is a spectrum, and they agree where they do."""
    with fits.open(folder.parent / "spectra-desi-fastspecfit" / "coadd-4-80613-thru20210324.fits") as hdus:
        arms = [Spectrum(flux=hdus[f"{arm}_FLUX"].data[0] * 1e-17 * u.erg / u.s / u.cm**2 / u.AA,
                         spectral_axis=hdus[f"{arm}_WAVELENGTH"].data * u.AA,
                         mask=hdus[f"{arm}_IVAR"].data[0] == 0) for arm in "BRZ"]
    flux, weight = resample_spectra(arms)
    assert np.all((weight > 0).sum(axis=1) > 200)
    for one, other in ((0, 1), (1, 2)):
        both = (weight[one] > 0) & (weight[other] > 0)
        assert both.sum() > 5
        a, b = ((flux[i] * weight[i])[both].sum() / weight[i][both].sum() for i in (one, other))
        error = np.sqrt(sum(1 / weight[i][both].sum() for i in (one, other)))
        assert abs(a - b) < 5 * error
