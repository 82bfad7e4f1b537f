"""Training with missing bands and regions; without ``input_dropout``, pairs that lack bands are an error."""

import numpy as np
import pytest
import torch
from astropy.wcs import WCS

from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import BandCube, read_cube
from astro_galtrans.pairs import PairSet
from astro_galtrans.training import TrainConfig, fit
from astro_galtrans.training._batches import draw_kept

SETTINGS = {"epochs": 1, "batch_size": 8, "backbone_options": {"widths": [4, 8], "n_features": 4}}


def _without(pairs, rows, band):
    weight = np.ones(pairs.input_flux.shape, np.float32)
    weight[rows, band] = 0
    return PairSet.from_arrays(pairs.input_flux, pairs.target_flux, input_survey=pairs.input_survey,
                               target_survey=pairs.target_survey, input_weight=weight)


@pytest.mark.parametrize("n_bands", [1, 2, 5])
def test_fractions_of_hidden_data(n_bands):
    kept = draw_kept((3000, n_bands, 24, 24), 0.4, torch.Generator().manual_seed(1))
    lost = ~kept
    assert lost.flatten(1).any(1).float().mean() == pytest.approx(0.4, abs=0.04)
    whole = lost.flatten(2).all(2).sum(1)
    assert whole.max() == {1: 0, 2: 1, 5: 3}[n_bands]
    if n_bands > 1:
        assert (whole > 0).float().mean() == pytest.approx(0.2, abs=0.03)
    assert kept.flatten(1).any(1).all()
    assert torch.equal(kept, draw_kept((3000, n_bands, 24, 24), 0.4, torch.Generator().manual_seed(1)))


def test_a_translator_trained_with_gaps_takes_them(small_pairs):
    translator = fit(small_pairs, TrainConfig(**SETTINGS, input_dropout=0.5)).translator
    assert translator.network.takes_missing
    flux = np.array(small_pairs.input_flux[:2])
    flux[0, 3] = np.nan
    with pytest.raises(BandMismatchError, match="band i .*allow_missing"):
        translator.translate_array(flux)
    made, sigma = translator.translate_array_with_uncertainty(flux, allow_missing=True)
    assert np.isnan(made[0, 3]).all() and np.isfinite(made[0, [0, 1, 2, 4]]).all() and np.isfinite(made[1]).all()
    assert np.all(sigma[0, [0, 1, 2, 4]] > 0)


def test_pairs_without_a_band_are_refused_or_trained_on(small_pairs):
    pairs = _without(small_pairs, [3, 7], 1)
    assert pairs.missing_bands().sum(0).tolist() == [0, 2, 0, 0, 0]
    assert not pairs.missing_bands("target").any()
    with pytest.raises(BandMismatchError, match=r"pairs .*band g in 2 of 16 galaxies \(3, 7\)"):
        fit(pairs, TrainConfig(**SETTINGS))
    with pytest.raises(BandMismatchError, match="validation .*band g"):
        fit(small_pairs.select(slice(0, 4)), TrainConfig(**SETTINGS), validation=pairs.select(slice(6, 9)))
    assert fit(pairs, TrainConfig(**SETTINGS, input_dropout=0.1)).translator.network.takes_missing
    whole = pairs.select(~pairs.missing_bands().any(1))
    assert len(whole) == 14 and not fit(whole, TrainConfig(**SETTINGS)).translator.network.takes_missing


def test_side_is_checked(small_pairs):
    with pytest.raises(ValueError, match="side"):
        small_pairs.missing_bands("both")


@pytest.mark.parametrize("value", [1.0, -0.1, True, "0.2"])
def test_input_dropout_is_checked(value):
    with pytest.raises(ValueError, match="input_dropout"):
        TrainConfig(input_dropout=value)


def test_provenance_names_the_missing_bands(small_pairs, tmp_path):
    translator = fit(small_pairs, TrainConfig(**SETTINGS, input_dropout=0.5)).translator
    wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 8.5,
               "CRPIX2": 8.5, "CDELT1": -0.396 / 3600, "CDELT2": 0.396 / 3600})
    flux = np.array(small_pairs.input_flux[0])
    whole = BandCube(flux, wcs=wcs, bands="ugriz", survey="SDSS")
    flux = flux.copy()
    flux[[0, 3]] = np.nan
    broken = BandCube(flux, wcs=wcs, bands="ugriz", survey="SDSS")
    made = translator([whole, broken], allow_missing=True)
    assert "missing_bands" not in made[0].meta["galtrans"]
    assert made[1].meta["galtrans"]["missing_bands"] == ["u", "i"]
    assert made[1].mask[[0, 3]].all() and not made[1].mask[[1, 2, 4]].any()
    made[1].write(tmp_path / "made.fits")
    assert read_cube(tmp_path / "made.fits").meta["galtrans"]["missing_bands"] == ["u", "i"]
