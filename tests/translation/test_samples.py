"""Samples of translators that are not generative: errors measured on pairs, and draws of them."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from astro_galtrans.backbones import aperture_fluxes
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import load, save
from astro_galtrans.translation import Sampling, calibrate


RADII = (5.3, 10.7)  # 1 and 2 arcsec in CFHTLS pixels


def smooth(rng, shape):
    """Noise that is correlated over a few pixels, of unit variance."""
    y, x = (np.fft.fftfreq(n) for n in shape[-2:])
    gain = np.exp(-0.5 * (np.hypot(y[:, None], x) / 0.08)**2)
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * gain).real
    return field / np.sqrt((gain**2).mean())


@pytest.fixture(scope="module")
def make_pairs(translator):
    """Pairs whose noiseless target differs from the translation by a known error: correlated, also between bands."""
    def make(n, seed, factor=1.5, noise=0.0):
        rng = np.random.default_rng(seed)
        source = rng.normal(0, 0.05, (n, 3, 24, 24)).astype(np.float32)
        y, x = np.indices((24, 24)) - 11.5
        source += (np.exp(-np.hypot(y, x) / 2) * rng.uniform(0.5, 3, (n, 3, 1, 1))).astype(np.float32)
        flux, sigma = translator.translate_array_with_uncertainty(source)
        error = smooth(rng, flux.shape) + smooth(rng, (n, 1, *flux.shape[2:]))
        truth = flux + factor / np.sqrt(2) * sigma * error
        extra = {"target_truth": truth.astype(np.float32)}
        if noise:
            extra = {"target_weight": np.full_like(truth, (noise * np.median(sigma))**-2)}
            truth = truth + rng.normal(0, noise * np.median(sigma), truth.shape)
        return PairSet.from_arrays(source, truth.astype(np.float32), input_survey="SDSS", target_survey="CFHTLS",
                                   input_bands="gri", target_bands="gri", **extra)
    return make


@pytest.fixture(scope="module")
def calibrated(translator, make_pairs):
    return calibrate(translator, make_pairs(300, 1))


def apertures(images):
    images = torch.from_numpy(np.ascontiguousarray(images))
    return aperture_fluxes(images.flatten(0, -4), RADII)[0].numpy().reshape(*images.shape[:-2], -1)


def test_the_spread_of_apertures_and_colors_is_their_error(calibrated, make_pairs):
    pairs = make_pairs(80, 2)
    found = apertures(calibrated.sample_array(pairs.input_flux, n_samples=12))
    error = apertures(np.asarray(pairs.target_truth)) - apertures(calibrated.translate_array(pairs.input_flux))
    assert_allclose(np.sqrt(found.var(0, ddof=1).mean(0)), np.sqrt((error**2).mean(0)), rtol=0.25)
    colors, color_error = np.diff(found, axis=2), np.diff(error, axis=1)
    assert_allclose(np.sqrt(colors.var(0, ddof=1).mean(0)), np.sqrt((color_error**2).mean(0)), rtol=0.25)
    # Independent pixels would have half of this error, or less.
    sigma = calibrated.translate_array_with_uncertainty(pairs.input_flux).uncertainty
    independent = np.sqrt(apertures(sigma**2).mean(0))
    assert np.all(np.sqrt((error**2).mean(0)) > 2 * independent)


def test_pixels_have_the_calibrated_uncertainty_and_bands_are_correlated(calibrated, translator, make_pairs):
    pairs = make_pairs(40, 3)
    flux, sigma = calibrated.translate_array_with_uncertainty(pairs.input_flux)
    plain = translator.translate_array_with_uncertainty(pairs.input_flux)
    assert_array_equal(flux, plain.flux)
    assert_allclose(sigma / plain.uncertainty, 1.5, rtol=0.1)
    drawn = (calibrated.sample_array(pairs.input_flux, n_samples=20) - flux) / sigma
    assert_allclose(drawn.std((0, 1, 3, 4)), 1, rtol=0.1)
    middle = drawn[..., 24:28, 24:28]
    assert_allclose(middle.std((0, 1, 3, 4)), 1, rtol=0.2)
    assert np.mean(drawn[:, :, 0] * drawn[:, :, 1]) == pytest.approx(0.5, abs=0.1)


def test_the_noise_of_the_target_is_not_an_error(translator, calibrated, make_pairs):
    errors = calibrate(translator, make_pairs(300, 4, noise=1.0)).errors
    assert_allclose(errors.scale, calibrated.errors.scale, rtol=0.15)
    assert_allclose(np.diag(errors.apertures), np.diag(calibrated.errors.apertures), rtol=0.35)


def test_samples_depend_on_seed_and_number_alone(calibrated, make_pairs):
    flux = make_pairs(5, 5).input_flux
    one = calibrated.sample_array(flux, n_samples=2, seed=3)
    assert_array_equal(one, calibrated.sample_array(flux, n_samples=2, seed=3))
    parts = [calibrated.sample_array(flux[rows], n_samples=2, seed=3, galaxies=np.arange(5)[rows])
             for rows in (slice(0, 3), slice(3, 5))]
    assert_allclose(np.concatenate(parts, 1), one, rtol=1e-4, atol=1e-5)
    other = calibrated.sample_array(flux, n_samples=2, seed=4)
    assert np.abs(one[0] - one[1]).min((1, 2, 3)).max() >= 0 and np.abs(one - other).max() > 1e-3
    assert calibrated.translate_array(flux).shape == one[0].shape


def test_samples_of_cubes(calibrated, make_cube):
    cube = make_cube(size=24)
    samples = calibrated.samples(cube, 3, seed=2)
    drawn = calibrated.sample_array(cube.data[None], n_samples=3, seed=2)
    assert [one.meta["galtrans"]["sample"] for one in samples] == [0, 1, 2]
    assert samples[0].meta["galtrans"]["sampling_seed"] == 2
    assert_allclose(np.stack([one.data for one in samples]), drawn[:, 0], rtol=1e-4, atol=1e-5)
    assert_array_equal(samples[0].uncertainty.array, calibrated(cube).uncertainty.array)
    assert len(calibrated.samples(cube)) == 16
    again = calibrated.samples([cube, cube], sampling=Sampling(n_samples=2, seed=2, galaxies=[4, 4]))
    assert_array_equal(again[0][1].data, again[1][1].data)


def test_masked_pixels_and_small_images(calibrated, make_pairs):
    flux = np.array(make_pairs(2, 6).input_flux)
    flux[0, 1, :3, :3] = np.nan
    masked, samples = np.isnan(calibrated.translate_array(flux)), calibrated.sample_array(flux, n_samples=2)
    assert masked.any() and not masked.all()
    assert_array_equal(np.isnan(samples), np.broadcast_to(masked, samples.shape))
    assert np.isfinite(calibrated.sample_array(flux[1:, :, 9:15, 9:15])).all()
    assert np.isfinite(calibrated.sample_array(np.pad(flux[1:], ((0, 0), (0, 0), (8, 9), (8, 9))) + 0.01)).all()


def test_errors_are_stored(calibrated, make_pairs, tmp_path):
    save(tmp_path / "t.asdf", calibrated)
    again, flux = load(tmp_path / "t.asdf"), make_pairs(2, 7).input_flux
    assert again.hash == calibrated.hash
    assert_array_equal(again.sample_array(flux), calibrated.sample_array(flux))


def test_translators_without_errors_say_so(translator, calibrated, make_cube):
    assert translator.errors is None and translator.hash != calibrated.hash
    for draw in (translator.samples, lambda cube: translator.sample_array(cube.data[None])):
        with pytest.raises(ValueError, match="has no errors to draw samples from.*calibrate"):
            draw(make_cube())
    with pytest.raises(ValueError, match="n_steps is for translators with backbone 'diffusion'"):
        calibrated.samples(make_cube(), n_steps=3)
    with pytest.raises(ValueError, match="n_samples is for translators that draw samples"):
        calibrated(make_cube(), n_samples=3)


def test_wrong_pairs_are_refused(translator, make_pairs):
    with pytest.raises(ValueError, match="pairs must have the input_survey SDSS"):
        calibrate(translator, make_pairs(2, 8).within("target"))
    with pytest.raises(TypeError, match="translator must be a Translator"):
        calibrate("sdss-to-cfhtls", make_pairs(2, 8))
