"""Translators that are conditioned on a redshift or a spectrum, and translators that draw samples."""

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import StdDevUncertainty
from astropy.utils.exceptions import AstropyDeprecationWarning
from numpy.testing import assert_allclose, assert_array_equal
from specutils import Spectrum

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import BandCube
from astro_galtrans.spectra import SpectrumGrid, resample_spectra
from astro_galtrans.translation import Sampling

GRID = SpectrumGrid(3800.0, 9200.0, 128)
FLUX = np.random.default_rng(5).normal(0, 1, (3, 3, 16, 16)).astype(np.float32)


def spectrum(edge=5000.0, n=900, low=3700, high=9500):
    wavelength = np.linspace(low, high, n)
    flux = 2 + 3 / (1 + np.exp(-(wavelength - edge) / 60))
    unit = u.Unit(1e-17 * u.erg / u.s / u.cm**2 / u.AA)
    return Spectrum(flux=flux * unit, spectral_axis=wavelength * u.AA, uncertainty=StdDevUncertainty(np.full(n, 0.1)))


@pytest.fixture(scope="module")
def by_redshift(make_translator):
    translator = make_translator(conditioning="redshift")
    torch.nn.init.ones_(translator.network.condition.unknown)
    return translator


@pytest.fixture(scope="module")
def by_spectrum(make_translator):
    translator = make_translator(conditioning="spectrum", conditioning_options={"grid": GRID.to_dict()})
    torch.nn.init.ones_(translator.network.condition.unknown)
    return translator


@pytest.fixture(scope="module")
def generative(make_translator):
    pytest.importorskip("monai")
    pytest.importorskip("einops")
    # 2 steps of an untrained network give images of noise, which is enough to tell them apart
    return make_translator(backbone="diffusion", backbone_options={"sampling_steps": 2}, value_scale=[2.0, 2.0, 2.0])


def test_an_unknown_redshift_among_known_ones(by_redshift):
    known = by_redshift.translate_array(FLUX, redshift=[0.1, 0.2, 0.3])
    one = by_redshift.translate_array(FLUX, redshift=[0.1, np.nan, 0.3])
    assert_allclose(one[[0, 2]], known[[0, 2]], rtol=1e-5, atol=1e-4)
    assert np.all(np.isfinite(one)) and np.abs(one[1] - known[1]).max() > 1e-4


def test_redshift_that_is_not_given_is_unknown_with_a_warning(by_redshift):
    with pytest.warns(GaltransWarning, match="none was given: it is taken as unknown"):
        result = by_redshift.translate_array(FLUX)
    assert_array_equal(result, by_redshift.translate_array(FLUX, redshift=[np.nan] * 3))


def test_the_error_of_a_redshift_counts(by_redshift):
    exact, again, vague = (by_redshift.translate_array(FLUX, redshift=[0.1] * 3, redshift_error=error)
                           for error in (None, 0.0, [0.05, np.nan, 0.0]))
    assert_array_equal(exact, again)
    assert np.abs(vague[0] - exact[0]).max() > 1e-5
    assert_allclose(vague[1:], exact[1:], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("given", "message"), [
    ({"redshift": [0.1, 0.2]}, "redshift must be 3 numbers above -1 or nan"),
    ({"redshift": [0.1, 0.2, np.inf]}, "redshift must be 3 numbers"),
    ({"redshift": [0.1] * 3, "redshift_error": [0.1, 0.2]}, "redshift_error must be one or 3 numbers"),
    ({"redshift": [0.1] * 3, "redshift_error": -0.1}, "redshift_error must be one or 3 numbers of at least 0"),
    ({"redshift_error": 0.1}, "redshift_error was given without the redshift"),
    ({"spectrum": [None] * 3}, "spectrum was given, but translator .* is not conditioned on it"),
    ({"redshift": [0.1] * 3, "n_samples": 2}, "n_samples is for translators that draw samples"),
    ({"redshift": [0.1] * 3, "seed": 2}, "seed is for translators that draw samples"),
])
def test_wrong_redshifts_are_named(by_redshift, given, message):
    with pytest.raises(ValueError, match=message):
        by_redshift.translate_array(FLUX, **given)


def test_provenance_of_a_redshift(by_redshift, make_cube):
    cube = make_cube()
    given = by_redshift(cube, redshift=0.1, redshift_error=0.01).meta["galtrans"]
    assert given["redshift"] == pytest.approx(0.1) and given["redshift_error"] == pytest.approx(0.01)
    assert by_redshift(cube, redshift=np.nan).meta["galtrans"]["redshift"] == "unknown"
    both = by_redshift([cube, cube], redshift=[0.1, 0.2], redshift_error=0.01)
    assert [round(one.meta["galtrans"]["redshift"], 3) for one in both] == [0.1, 0.2]


def test_spectra_on_any_grid(by_spectrum):
    """The same spectrum finer, coarser, in frequency and in nm gives the same translation but for the resampling."""
    fine = spectrum(n=4000)
    other = Spectrum(flux=fine.flux[::-1].to(u.Jy, u.spectral_density(fine.spectral_axis[::-1])),
                     spectral_axis=fine.spectral_axis[::-1].to(u.Hz, u.spectral()),
                     uncertainty=StdDevUncertainty((0.1 * fine.flux.unit * np.ones(4000)).to(
                         u.Jy, u.spectral_density(fine.spectral_axis[::-1]))))
    one, same, moved = (by_spectrum.translate_array(FLUX[:1], spectrum=[s]) for s in (fine, other, spectrum(7000.0)))
    assert np.abs(one - same).max() < 0.1 * np.abs(one - moved).max()


def test_arrays_on_the_grid_are_those_spectra(by_spectrum):
    assert by_spectrum.spectrum_grid == GRID and by_spectrum.takes_unknown
    spectra = [spectrum(), None, spectrum(6000.0)]
    one = by_spectrum.translate_array(FLUX, spectrum=spectra)
    assert_array_equal(one, by_spectrum.translate_array(FLUX, spectrum=resample_spectra(spectra, GRID)))
    assert np.all(np.isfinite(one))


def test_a_cube_with_and_without_a_spectrum(by_spectrum, make_cube):
    cube = make_cube()
    told, untold = by_spectrum(cube, spectrum=spectrum()), by_spectrum(cube)
    assert told.meta["galtrans"]["spectrum_pixels"] == 128 and untold.meta["galtrans"]["spectrum_pixels"] == 0
    assert np.abs(told.data - untold.data).max() > 0
    both = by_spectrum([cube, cube], spectrum=[spectrum(), None])
    assert_allclose(both[0].data, told.data, rtol=1e-5, atol=1e-4)
    assert_allclose(both[1].data, untold.data, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("given", "error", "message"), [
    ([None, None], ValueError, "one entry for each of 3 galaxies, got 2"),
    ((np.ones((3, 4)), np.ones((3, 4))), ValueError, r"two arrays of shape \(3, 128\)"),
    (np.ones((3, 128)), TypeError, "spectrum must be a sequence"),
    ([1.0, 2.0, 3.0], TypeError, "Spectrum"),
])
def test_wrong_spectra_are_named(by_spectrum, given, error, message):
    with pytest.raises(error, match=message):
        by_spectrum.translate_array(FLUX, spectrum=given)


def test_samples_depend_on_seed_and_row_alone(generative):
    one = generative.translate_array(FLUX, seed=1)
    assert_array_equal(one, generative.translate_array(FLUX, seed=1, n_samples=1))
    assert_allclose(one, generative.translate_array(FLUX, seed=1, batch_size=2), rtol=1e-3, atol=1e-3)
    assert np.abs(one - generative.translate_array(FLUX, seed=2)).max() > 1e-3
    assert_array_equal(generative.translate_array(FLUX), generative.translate_array(FLUX, seed=0))


def test_a_galaxy_keeps_its_number_in_another_call(generative, make_cube):
    whole = generative.translate_array(FLUX, seed=1)
    assert_allclose(generative.translate_array(FLUX[2:], seed=1, galaxies=[2]), whole[2:], rtol=1e-3, atol=1e-3)
    cube = make_cube()
    both = generative([cube, cube], seed=1)
    alone = generative(cube, seed=1, galaxies=1)
    assert_allclose(alone.data, both[1].data, rtol=1e-3, atol=1e-3)
    assert alone.meta["galtrans"]["sampling_galaxy"] == 1
    for wrong in ([1, 2], [-1], [0.5]):
        with pytest.raises(ValueError, match="galaxies must be"):
            generative(cube, galaxies=wrong)


def test_mean_and_spread_of_samples(generative):
    samples = generative.sample_array(FLUX, n_samples=4, seed=1)
    mean, spread = generative.translate_array_with_uncertainty(FLUX, n_samples=4, seed=1)
    assert samples.shape == (4, *mean.shape)
    assert_allclose(mean, samples.mean(0), rtol=1e-4, atol=1e-4)
    assert_allclose(spread, samples.std(0, ddof=1), rtol=1e-3, atol=1e-4)
    assert len({sample.tobytes() for sample in samples}) == 4
    fewer = generative.sample_array(FLUX, n_samples=2, seed=1)
    assert_array_equal(fewer, samples[:2])


def test_more_steps_are_other_images(generative):
    assert np.abs(generative.translate_array(FLUX, n_steps=5) - generative.translate_array(FLUX)).max() > 1e-4


def test_cube_of_samples(generative, make_cube):
    cube = make_cube()
    translated = generative(cube, n_samples=3, seed=1)
    assert isinstance(translated, BandCube)
    told = translated.meta["galtrans"]
    assert (told["n_samples"], told["sampling_seed"], told["sampling_steps"]) == (3, 1, 2)
    samples = generative.samples(cube, 3, seed=1)
    assert_allclose(np.mean([sample.data for sample in samples], 0), translated.data, rtol=1e-4, atol=1e-4)
    spread = np.std([sample.data for sample in samples], 0, ddof=1)
    assert_allclose(translated.uncertainty.array, spread, rtol=1e-3, atol=1e-4)
    assert [sample.meta["galtrans"]["sample"] for sample in samples] == [0, 1, 2]
    many = generative.samples([cube, cube], 2, seed=1)
    assert [len(each) for each in many] == [2, 2]
    assert_allclose(many[0][1].data, samples[1].data, rtol=1e-3, atol=1e-3)
    assert np.abs(many[0][0].data - many[1][0].data).max() > 1e-4


def test_masked_pixels_of_the_input_mask_samples(generative):
    flux = FLUX.copy()
    flux[0, 1, :3, :3] = np.nan
    samples = generative.sample_array(flux, n_samples=2)
    assert np.isnan(samples[:, 0, 1]).any() and not np.isnan(samples[:, 0, 0]).any()
    assert_array_equal(np.isnan(samples[0]), np.isnan(samples[1]))


@pytest.mark.parametrize(("given", "message"), [
    ({"n_samples": 0}, "n_samples must be an int of at least 1, got 0"),
    ({"n_samples": 1.5}, "n_samples must be an int"), ({"seed": -1}, "seed must be an int of at least 0"),
    ({"n_steps": True}, "n_steps must be an int of at least 1, got True"),
    ({"n_steps": 5000}, "n_steps"),
])
def test_wrong_sampling_is_named(generative, given, message):
    with pytest.raises(ValueError, match=message):
        generative.translate_array(FLUX, **given)


def test_gradient_weights_of_a_generative_translator(generative):
    target = np.random.default_rng(6).normal(0, 1, (3, 3, 34, 34)).astype(np.float32)
    weights = generative.gradient_weights(FLUX, target)
    assert weights["x"].shape == (3, 3, 33, 33) and np.all(np.isfinite(weights["passband"]))
    assert weights["x"].mean() == pytest.approx(1, rel=1e-4)


def test_global_random_state_is_left_alone(generative):
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    generative.translate_array(FLUX, n_samples=2)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert_array_equal(before[1], np.random.get_state()[1])


def test_sampling_as_one_argument(generative, make_cube):
    sampling = Sampling(n_samples=2, seed=3, n_steps=1, galaxies=np.array([4, 5, 6]))
    keywords = {"n_samples": 2, "seed": 3, "n_steps": 1, "galaxies": [4, 5, 6]}
    assert sampling.galaxies == (4, 5, 6)
    assert_array_equal(generative.sample_array(FLUX, sampling=sampling), generative.sample_array(FLUX, **keywords))
    mean, spread = generative.translate_array_with_uncertainty(FLUX, sampling=sampling)
    assert_allclose(mean, generative.sample_array(FLUX, sampling=sampling).mean(0), rtol=1e-5, atol=1e-5)
    assert np.all(spread > 0)
    with pytest.warns(AstropyDeprecationWarning, match="sample_array"):
        old = generative.translate_array(FLUX, return_samples=True, return_uncertainty=True, **keywords)
    assert old[0].shape == (2, 3, 3, 34, 34)
    assert_array_equal(old[1], spread)
    one = generative(make_cube(), sampling=Sampling(n_samples=2), seed=7)
    assert_array_equal(one.data, generative(make_cube(), n_samples=2, seed=7).data)
    assert generative.resolve_sampling(Sampling()) == Sampling(1, 0, 2)
