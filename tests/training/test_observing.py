"""Translators that take PSF and noise of the input and the PSF of the target."""

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import InverseVariance
from astropy.table import Table
from astropy.wcs import WCS

from astro_galtrans._utils.psf import psf_fwhm
from astro_galtrans.backbones import available_backbones
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import BandCube
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import load, save
from astro_galtrans.surveys import get_survey
from astro_galtrans.training import TrainConfig, fit
from astro_galtrans.training._batches import PairBatches, draw_observing

SIGMA = 1 / np.sqrt(8 * np.log(2))
MEDIANS = {"input": 1.3, "target": 0.75}


def gaussians(fwhm, size, scale):
    """Round images of sum 1, pixel included, with the FWHM of each galaxy and band, (galaxy, band, size, size)."""
    y, x = (np.indices((size, size)) - (size - 1) / 2) * scale
    variance = (fwhm * SIGMA)[..., None, None]**2 + scale**2 / 12
    return np.exp(-(x**2 + y**2) / (2 * variance)) * scale**2 / (2 * np.pi * variance)


def make_pairs(n, seed, psf_scatter=0.15, noise_scatter=0.2, first_id=0, columns=True, weights=True):
    """Point-like and round sources through PSFs and noise that differ from galaxy to galaxy."""
    rng = np.random.default_rng(seed)
    radius = np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0.5, 1.5, n))[:, None]
    flux = 10 ** rng.uniform(1, 2, (n, 1)) * np.ones(3)
    images, catalog = {}, Table()
    for side, name, size in (("input", "SDSS", 16), ("target", "CFHTLS", 34)):
        survey = get_survey(name).select("gri")
        unit = 10 ** (0.4 * (np.array([band.zero_point for band in survey]) - 22.5))
        fwhm = MEDIANS[side] * np.exp(psf_scatter * rng.normal(size=(n, 1)) * np.ones(3))
        noise = (survey.sky_noise * np.exp(noise_scatter * rng.normal(size=(n, 1))))[:, :, None, None]
        clean = gaussians(np.hypot(radius, fwhm), size, survey.pixel_scale.value) * (flux * unit)[:, :, None, None]
        images[f"{side}_flux"] = clean + noise * rng.normal(size=clean.shape)
        images[f"{side}_survey"] = survey
        if weights:
            images[f"{side}_weight"] = np.broadcast_to(noise**-2.0, clean.shape)
        if columns:
            catalog[f"{side}_psf_fwhm"] = fwhm * u.arcsec
    ids = np.arange(first_id, first_id + n)
    return PairSet.from_arrays(**images, ids=ids, catalog=catalog if columns else None)


def config(**changes):
    return TrainConfig(**{
        "objective": "gradient", "epochs": 1, "batch_size": 16, "learning_rate": 5e-3, "seed": 5,
        "backbone_options": {"widths": [8, 16], "n_features": 8}, "objective_options": {"n_flow": 32}, **changes})


@pytest.fixture(scope="module")
def translator():
    return fit(make_pairs(320, seed=1), config(epochs=8)).translator


@pytest.fixture(scope="module")
def star():
    """A point source through the median PSF as a cube with PSF and noise."""
    survey = get_survey("SDSS").select("gri")
    image = gaussians(np.full((1, 3), MEDIANS["input"]), 16, survey.pixel_scale.value)[0]
    noise = survey.sky_noise[:, None, None] * np.ones_like(image)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [8.5, 8.5]
    wcs.wcs.cdelt = np.array([-0.396, 0.396]) / 3600
    return BandCube(60 * image, unit=survey.unit, survey=survey, bands="gri", wcs=wcs, psf=image,
                    uncertainty=InverseVariance(noise**-2.0))


def width(image):
    """Mean FWHM over the bands in target pixels, pixel included, of a translated point source."""
    return psf_fwhm(np.asarray(image.data), 1.0).mean()


def test_the_wanted_psf_sets_the_width_of_point_sources(translator, star):
    assert translator.observing == ("psf_fwhm", "noise", "target_psf_fwhm")
    narrow, median, wide = (translator(star, target_psf=one * u.arcsec) for one in (0.6, MEDIANS["target"], 0.95))
    assert width(narrow) < width(median) < width(wide)
    assert width(wide) / width(narrow) > 1.15
    own = psf_fwhm(wide.psf, translator.target_survey.pixel_scale.value)
    np.testing.assert_allclose(own, 0.95, rtol=0.02)
    assert wide.meta["galtrans"]["target_psf_fwhm"] == {band: pytest.approx(0.95) for band in "gri"}


def test_a_broader_psf_of_the_input_is_not_taken_for_the_source(translator, star):
    """Within the core of a point source the flux depends on the PSF that the image is said to have."""
    sharp, broad = (translator(star, psf_fwhm=factor * MEDIANS["input"] * u.arcsec) for factor in (0.8, 1.2))
    assert width(broad) < width(sharp)


def test_psf_images_are_taken_as_they_are(translator, star):
    wanted = gaussians(np.full((1, 3), 0.9), 31, translator.target_survey.pixel_scale.value)[0]
    new = translator(star, target_psf=wanted)
    np.testing.assert_allclose(new.psf, wanted, rtol=1e-5)
    assert all(value == pytest.approx(0.9, rel=0.02) for value in new.meta["galtrans"]["target_psf_fwhm"].values())


def test_unknown_conditions_have_a_learned_default(translator, star):
    bare = BandCube(star.data, unit=star.unit, survey=star.survey, bands=star.bands, wcs=star.wcs)
    new, known = translator(bare), translator(star)
    assert new.meta["galtrans"]["psf_fwhm"] == new.meta["galtrans"]["noise"] == "unknown"
    assert known.meta["galtrans"]["psf_fwhm"]["g"] == pytest.approx(MEDIANS["input"], rel=0.02)
    assert known.meta["galtrans"]["noise"]["r"] == pytest.approx(star.survey.sky_noise[1], rel=1e-4)
    assert np.all(np.isfinite(new.data)) and np.abs(new.data - known.data).max() > 0
    assert new.data.sum() == pytest.approx(known.data.sum(), rel=0.1)


def test_arrays_take_the_same_conditions(translator, star):
    flux, weight = star.data[None].astype(np.float32), star.uncertainty.array[None]
    one = translator(star, psf_fwhm=1.2, target_psf={"g": 0.8, "r": 0.7, "i": 0.7})
    many = translator.translate_array(
        np.repeat(flux, 2, 0), weight=np.repeat(weight, 2, 0), psf_fwhm=[[1.2] * 3, [np.nan] * 3],
        target_psf_fwhm=[0.8, 0.7, 0.7])
    np.testing.assert_allclose(many[0], one.data, rtol=1e-4, atol=1e-3)
    assert np.abs(many[1] - one.data).max() > 1e-3
    for wrong in (-1.0, [1.0, 1.0], {"z": 1.0}, 1 * u.s):
        with pytest.raises((ValueError, TypeError), match="psf_fwhm"):
            translator.translate_array(flux, psf_fwhm=wrong)


def test_a_psf_outside_of_the_training_is_warned_of(translator, star):
    with pytest.warns(GaltransWarning, match="target_psf is outside .* 0.3 arcsec in g"):
        translator(star, target_psf=0.3)


def test_files_keep_conditions(translator, star, tmp_path):
    save(tmp_path / "t.asdf", translator)
    again = load(tmp_path / "t.asdf")
    assert again.hash == translator.hash and again.observing == translator.observing
    assert np.array_equal(again(star, target_psf=0.7).data, translator(star, target_psf=0.7).data)


@pytest.mark.parametrize("backbone", available_backbones())
def test_every_backbone_takes_them(backbone, star):
    pairs = make_pairs(8, seed=3)
    translator = fit(pairs, config(backbone=backbone, batch_size=8, size="tiny", backbone_options={},
                                   objective="gradient")).translator
    narrow, wide = (translator(star, target_psf=one) for one in (0.7, 0.8))
    assert np.all(np.isfinite(narrow.data)) and np.abs(narrow.data - wide.data).max() > 0


def test_only_what_varies_is_taken_by_default():
    alike = make_pairs(16, seed=2, psf_scatter=0, noise_scatter=0)
    assert fit(alike, config(objective="pixel", objective_options={})).translator.observing == ()
    noisy = make_pairs(16, seed=2, columns=False)
    assert fit(noisy, config(objective="pixel", objective_options={})).translator.observing == ("noise",)
    given = fit(alike, config(observing=True, objective="pixel", objective_options={})).translator
    assert given.observing == ("psf_fwhm", "noise", "target_psf_fwhm")
    varied = make_pairs(16, seed=2)
    off = fit(varied, config(observing=False, objective="pixel", objective_options={})).translator
    assert off.observing == ()
    with pytest.raises(ValueError, match="observing=True needs"):
        fit(make_pairs(16, seed=2, columns=False, weights=False), config(observing=True))
    with pytest.raises(ValueError, match="observing_dropout has no effect"):
        TrainConfig(observing=False, observing_dropout=0.3)


def test_a_translator_that_takes_none_refuses_them(star):
    alike = make_pairs(16, seed=2, psf_scatter=0, noise_scatter=0)
    translator = fit(alike, config(objective="pixel", objective_options={})).translator
    new = translator(star)
    assert new.psf is None and "psf_fwhm" not in new.meta["galtrans"]
    with pytest.raises(ValueError, match="target_psf was given, but translator .* was not trained"):
        translator(star, target_psf=0.7)
    with pytest.raises(ValueError, match="psf_fwhm was given, but translator .* was not trained"):
        translator(star, psf_fwhm=1.3)


def test_each_kind_is_hidden_on_its_own():
    pairs = make_pairs(400, seed=4)
    batch = next(iter(PairBatches(pairs, 400, observing=True)))
    whole = draw_observing(batch, None, None, torch.Generator())
    assert torch.equal(whole.psf_fwhm, batch["psf_fwhm"])
    hidden = draw_observing(batch, None, 0.2, torch.Generator().manual_seed(1))
    unknown = [part.isnan() for part in hidden]
    for one in unknown:
        assert torch.equal(one.any(1), one.all(1)) and one.all(1).float().mean() == pytest.approx(0.2, abs=0.06)
    assert not torch.equal(unknown[0], unknown[2])
    known = ~unknown[0]
    ratio = (hidden.psf_fwhm / batch["psf_fwhm"])[known].log()
    assert ratio.std() == pytest.approx(0.02, rel=0.2)
    assert torch.equal(hidden.target_psf_fwhm[~unknown[2]], batch["target_psf_fwhm"][~unknown[2]])
