import pickle

import numpy as np
import pytest

from astro_galtrans.pairs import PairSet
from astro_galtrans.spectra import FLUX_UNIT, SpectrumGrid, resample_spectra


def make(n=3, **given):
    rng = np.random.default_rng(1)
    return PairSet.from_arrays(rng.normal(size=(n, 5, 8, 8)), rng.normal(size=(n, 5, 18, 18)), input_survey="SDSS",
                               target_survey="CFHTLS", **given)


def test_spectra_are_resampled_onto_the_grid(make_spectrum, pairs_with_spectra):
    pairs = pairs_with_spectra
    assert pairs.spectrum_flux.shape == pairs.spectrum_weight.shape == (4, 64)
    assert pairs.spectrum_flux.dtype == np.float32 and pairs.redshift_error.dtype == np.float64
    flux, weight = resample_spectra([make_spectrum(1.0), None], pairs.spectrum_grid)
    np.testing.assert_array_equal(pairs.spectrum_flux[:2], flux)
    np.testing.assert_array_equal(pairs.spectrum_weight[:2], weight)
    assert make(1, spectra=[None]).spectrum_grid == SpectrumGrid()
    nothing = make()
    assert nothing.spectrum_flux is nothing.spectrum_weight is nothing.spectrum_grid is nothing.redshift_error is None


def test_arrays_on_the_grid_are_taken_as_they_are():
    grid = SpectrumGrid(4000, 8000, 7)
    flux, weight = np.ones((2, 7)), np.full((2, 7), 4.0)
    flux[0, 1], weight[1, 2] = np.nan, np.nan
    pairs = make(2, spectra=(flux, weight), spectrum_grid=grid)
    assert pairs.spectrum_weight[0, 1] == pairs.spectrum_weight[1, 2] == pairs.spectrum_flux[0, 1] == 0
    assert pairs.spectrum_flux.sum() == 12 and pairs.spectrum_weight.sum() == 48 and np.isnan(flux).sum() == 1
    scaled = make(2, spectra=(np.ones((2, 7)) * 10 * FLUX_UNIT, np.full((2, 7), 4e34) / (1e17 * FLUX_UNIT) ** 2),
                  spectrum_grid=grid)
    np.testing.assert_allclose(scaled.spectrum_flux, 10, rtol=1e-6)
    np.testing.assert_allclose(scaled.spectrum_weight, 4, rtol=1e-6)


def test_two_galaxies_in_a_tuple_are_spectra_and_not_arrays(make_spectrum):
    pairs = make(2, spectra=(make_spectrum(), None))
    assert pairs.spectrum_weight[0].any() and not pairs.spectrum_weight[1].any()
    assert not make(2, spectra=(None, None)).spectrum_weight.any()


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"redshift_error": [0.1, 0.1, 0.1]}, ValueError, "redshift_error"),
    ({"redshift": [0.1] * 3, "redshift_error": [0.1]}, ValueError, "redshift_error"),
    ({"redshift": [0.1] * 3, "redshift_error": [0.1, -1, 0]}, ValueError, "redshift_error"),
    ({"redshift": [0.1] * 3, "redshift_error": [0.1, np.inf, 0]}, ValueError, "redshift_error"),
    ({"spectrum_grid": SpectrumGrid()}, ValueError, "spectrum_grid"),
    ({"spectra": [None] * 3, "spectrum_grid": 5}, TypeError, "spectrum_grid"),
    ({"spectra": [None] * 2}, ValueError, "spectra"),
    ({"spectra": [None, 1, None]}, TypeError, r"spectra\[1\]: spectrum must be a specutils.Spectrum"),
    ({"spectra": 5}, TypeError, "spectra"),
    ({"spectra": np.ones((3, 1024))}, TypeError, "spectra"),
    ({"spectra": (np.ones((3, 5)), np.ones((3, 5)))}, ValueError, "flux of spectra"),
    ({"spectra": (np.ones((3, 1024)), -np.ones((3, 1024)))}, ValueError, "weight of spectra"),
])
def test_wrong_input_is_named(given, error, message):
    with pytest.raises(error, match=message):
        make(**given)


@pytest.mark.parametrize("how", ["select", "split", "reversed", "within", "slice", "pickle"])
def test_nothing_is_lost_on_the_way(pairs_with_spectra, how):
    pairs = pairs_with_spectra
    other, rows = {
        "select": lambda: (pairs.select([2, 0]), [2, 0]),
        "split": lambda: ((part := pairs.split((0.5, 0.5), seed=1)[1]), ["abcd".index(one) for one in part.ids]),
        "reversed": lambda: (pairs.reversed(), [0, 1, 2, 3]),
        "within": lambda: (pairs.within("input"), [0, 1, 2, 3]),
        "slice": lambda: (pairs[1:3], [1, 2]),
        "pickle": lambda: (pickle.loads(pickle.dumps(pairs)), [0, 1, 2, 3]),
    }[how]()
    assert other.spectrum_grid == pairs.spectrum_grid
    for name in ("spectrum_flux", "spectrum_weight", "redshift", "redshift_error", "ids"):
        np.testing.assert_array_equal(getattr(other, name), getattr(pairs, name)[rows])


def test_one_galaxy_has_its_spectrum(pairs_with_spectra):
    pair = pairs_with_spectra[0]
    np.testing.assert_array_equal(pair.spectrum.flux.value, pairs_with_spectra.spectrum_flux[0])
    np.testing.assert_array_equal(pair.spectrum.mask, pairs_with_spectra.spectrum_weight[0] == 0)
    assert pair.spectrum.mask.any() and not pair.spectrum.mask.all() and pair.spectrum.flux.unit == FLUX_UNIT
    assert (pair.redshift, pair.redshift_error) == (0.1, 1e-4)
    assert pairs_with_spectra[1].spectrum is None
    assert pairs_with_spectra[2].redshift is None and pairs_with_spectra[2].redshift_error is None
    assert pairs_with_spectra[3].redshift == 0.4 and pairs_with_spectra[3].redshift_error is None


def test_read_gives_what_is_asked_for(pairs_with_spectra):
    batch = pairs_with_spectra.read([1, 0], images=("input_flux", "spectrum_weight"))
    assert set(batch) == {"input_flux", "spectrum_weight", "redshift", "redshift_error", "ids"}
    np.testing.assert_array_equal(batch["redshift_error"], [0.02, 1e-4])
    everything = pairs_with_spectra.read()
    assert everything["spectrum_flux"].shape == (4, 64) and len(everything) == 15
    plain = make().read()
    assert plain["spectrum_flux"] is plain["redshift_error"] is None
    with pytest.raises(ValueError, match="images must be among .*spectrum_weight, got spectrum"):
        pairs_with_spectra.read(images=["spectrum"])


def test_within_one_survey_input_and_target_are_one_image(pairs_with_spectra):
    inside = pairs_with_spectra.within("target")
    assert inside.input_survey is inside.target_survey is pairs_with_spectra.target_survey
    assert inside.input_flux is inside.target_flux is pairs_with_spectra.target_flux
    assert inside.input_weight is None and pairs_with_spectra.within("input").target_weight is not None
    assert "CFHTLS ugriz 18x18 adu -> CFHTLS ugriz 18x18 adu" in repr(inside)
    with pytest.raises(ValueError, match="side must be 'input' or 'target', got 'SDSS'"):
        pairs_with_spectra.within("SDSS")
