"""Redshifts and spectra in training: hidden, scattered, missing."""

import numpy as np
import pytest
import torch

from astro_galtrans.pairs import PairSet
from astro_galtrans.spectra import SpectrumGrid
from astro_galtrans.training import TrainConfig, fit
from astro_galtrans.training._batches import draw_condition

GRID = SpectrumGrid(3800.0, 9200.0, 64)


def with_condition(pairs, **changes):
    weights = {name: getattr(pairs, name) for name in ("input_weight", "target_weight")}
    return PairSet.from_arrays(
        pairs.input_flux, pairs.target_flux, input_survey=pairs.input_survey, target_survey=pairs.target_survey,
        ids=pairs.ids, **{"redshift": pairs.redshift, **weights, **changes})


def spectra_of(redshift):
    """Flux and weight with a break where the redshift puts it."""
    edge = 4000 * (1 + redshift)[:, None]
    flux = 1 + 2 / (1 + np.exp(-(GRID.wavelength.value - edge) / 100))
    return flux.astype(np.float32), np.full(flux.shape, 50.0, np.float32)


@pytest.fixture(scope="module")
def few(make_pairs):
    return make_pairs(16, seed=6)


@pytest.fixture(scope="module")
def spectroscopic(few):
    flux, weight = spectra_of(few.redshift)
    weight[3] = 0
    return with_condition(few, spectra=(flux, weight), spectrum_grid=GRID)


def options(**changes):
    return TrainConfig(**{"objective": "pixel", "epochs": 2, "batch_size": 8, "learning_rate": 5e-3,
                          "backbone_options": {"widths": [4, 8], "n_features": 4}, **changes})


def batch(n=4000):
    return {"redshift": torch.linspace(0, 1, n), "redshift_error": None}


def test_some_redshifts_are_hidden_and_some_scattered_by_a_known_error():
    true = batch()["redshift"]
    redshift, error = draw_condition(batch(), "redshift", (0.2, 0.25), torch.Generator().manual_seed(1))
    known = redshift.isfinite()
    assert (~known).float().mean() == pytest.approx(0.2, abs=0.02)
    scattered = known & (error > 0)
    assert scattered.sum() / known.sum() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(redshift[known & (error == 0)], true[known & (error == 0)])
    pull = (redshift - true)[scattered] / error[scattered]
    assert pull.std() == pytest.approx(1, abs=0.1) and abs(pull.mean()) < 0.1
    relative = error[scattered] / (1 + true[scattered])
    assert 1e-3 <= relative.min() and relative.max() <= 0.1 * 1.0001


def test_validation_sees_redshifts_as_they_are():
    redshift, error = draw_condition(batch(), "redshift", None, torch.Generator().manual_seed(1))
    assert torch.equal(redshift, batch()["redshift"]) and not error.any()


def test_the_error_of_the_pairs_is_used():
    own = {**batch(), "redshift_error": torch.full((4000,), 0.01)}
    own["redshift_error"][7] = torch.nan
    _, error = draw_condition(own, "redshift", None, torch.Generator())
    assert error[0] == 0.01 and error[7] == 0
    _, error = draw_condition(own, "redshift", (0.0, 0.25), torch.Generator().manual_seed(1))
    assert error.max() > 0.05 and (error[8:] >= 0.01 - 1e-9).all()


def test_some_spectra_are_hidden():
    given = {"spectrum_flux": torch.ones(2000, 4), "spectrum_weight": torch.ones(2000, 4)}
    _, weight = draw_condition(given, "spectrum", (0.1, 0.25), torch.Generator().manual_seed(1))
    assert (weight == 0).all(1).float().mean() == pytest.approx(0.1, abs=0.03)
    assert torch.equal(given["spectrum_weight"], torch.ones(2000, 4))


@pytest.mark.parametrize("backbone", ["unet", "swin", "srgan", "capsule", "diffusion"])
@pytest.mark.parametrize("conditioning", ["redshift", "spectrum"])
def test_one_translator_for_galaxies_with_and_without(spectroscopic, backbone, conditioning):
    own = {"unet": {"widths": [4, 8], "n_features": 4}, "diffusion": {"sampling_steps": 2}}.get(backbone, {})
    translator = fit(spectroscopic, options(
        backbone=backbone, conditioning=conditioning, backbone_options=own, condition_dropout=0.3)).translator
    assert translator.conditioning == conditioning and translator.takes_unknown
    flux = spectroscopic.input_flux[:2]
    if conditioning == "redshift":
        known, unknown = {"redshift": spectroscopic.redshift[:2]}, {"redshift": [spectroscopic.redshift[0], np.nan]}
    else:
        assert translator.spectrum_grid == GRID
        spectra, weight = (part.copy() for part in spectra_of(spectroscopic.redshift[:2]))
        known = {"spectrum": (spectra, weight.copy())}
        weight[1] = 0
        unknown = {"spectrum": (spectra, weight)}
    both, one = (translator.translate_array(flux, **given) for given in (known, unknown))
    assert np.all(np.isfinite(both)) and np.all(np.isfinite(one))
    np.testing.assert_allclose(both[0], one[0], rtol=1e-3, atol=1e-3 * np.abs(both[0]).max())
    assert np.abs(both[1] - one[1]).max() > 0


def test_trained_with_every_redshift_it_takes_none_without(few):
    translator = fit(few, options(conditioning="redshift", condition_dropout=0.0)).translator
    assert not translator.takes_unknown
    with pytest.raises(ValueError, match="takes none without, got 1 without"):
        translator.translate_array(few.input_flux[:2], redshift=[0.1, np.nan])


def test_pairs_without_some_redshifts_train(few):
    redshift = few.redshift.copy()
    redshift[::3] = np.nan
    translator = fit(with_condition(few, redshift=redshift), options(
        conditioning="redshift", condition_dropout=0.0)).translator
    assert translator.takes_unknown


@pytest.mark.parametrize("conditioning", ["redshift", "spectrum"])
def test_pairs_must_have_it(few, conditioning):
    bare = with_condition(few, redshift=None)
    with pytest.raises(ValueError, match=f"conditioning='{conditioning}' needs .* galaxies of pairs, got none"):
        fit(bare, options(conditioning=conditioning))


def test_validation_must_have_the_grid_of_the_pairs(spectroscopic, make_pairs):
    other = make_pairs(4, seed=9, first_id=500)
    flux, weight = np.ones((4, 32), np.float32), np.ones((4, 32), np.float32)
    other = with_condition(other, spectra=(flux, weight), spectrum_grid=SpectrumGrid(4000.0, 9000.0, 32))
    with pytest.raises(ValueError, match="validation must have the spectrum_grid of pairs"):
        fit(spectroscopic, options(conditioning="spectrum"), validation=other)


@pytest.mark.parametrize("value", [-0.1, 1.0, True, "0.1"])
@pytest.mark.parametrize("name", ["condition_dropout", "condition_scatter"])
def test_shares_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        options(**{name: value})


def test_without_hiding_and_scattering_redshifts_stay_as_they_are():
    redshift, error = draw_condition(batch(), "redshift", (0.0, 0.0), torch.Generator().manual_seed(1))
    assert torch.equal(redshift, batch()["redshift"]) and not error.any()
