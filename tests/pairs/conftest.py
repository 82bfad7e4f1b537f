import astropy.units as u
import numpy as np
import pytest
from specutils import Spectrum

from astro_galtrans.pairs import PairSet
from astro_galtrans.spectra import FLUX_UNIT, SpectrumGrid


@pytest.fixture
def make_spectrum():
    def make(level=1.0):
        rng = np.random.default_rng(4)
        return Spectrum(flux=(level + 0.1 * rng.normal(size=900)) * FLUX_UNIT,
                        spectral_axis=np.linspace(4500, 9000, 900) * u.AA)
    return make


@pytest.fixture
def pairs_with_spectra(make_spectrum):
    """Four galaxies: with everything, without a spectrum, without a redshift, without its error."""
    rng = np.random.default_rng(3)
    return PairSet.from_arrays(
        rng.normal(size=(4, 5, 8, 8)), rng.normal(size=(4, 5, 18, 18)), input_survey="SDSS", target_survey="CFHTLS",
        input_weight=rng.random((4, 5, 8, 8)), redshift=[0.1, 0.2, np.nan, 0.4], ids=["a", "b", "c", "d"],
        redshift_error=[1e-4, 0.02, np.nan, np.nan], spectrum_grid=SpectrumGrid(4000, 8000, 64),
        spectra=[make_spectrum(1.0), None, make_spectrum(3.0), make_spectrum(4.0)])
