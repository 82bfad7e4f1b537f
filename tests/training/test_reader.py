"""The redshift reader learns from spectra of known redshift; with too few there is none."""

import numpy as np
import pytest
import torch

from astro_galtrans.backbones.conditioning import RedshiftReader
from astro_galtrans.pairs import PairSet
from astro_galtrans.spectra import SpectrumGrid
from astro_galtrans.training import TrainConfig, fit
from astro_galtrans.training._build import fit_reader, readable_redshift

GRID = SpectrumGrid(4000.0, 8000.0, 256)
REST = np.log(np.array([3728.0, 3969.0, 4341.0, 4862.0, 5008.0, 5176.0, 5894.0, 6564.0]))
STRENGTH = np.array([1.0, -0.5, 0.4, 0.6, 1.5, -0.4, -0.4, 2.0])


def spectra(n, seed, redshift_range=(0.02, 0.4)):
    """Continua with lines of known places, and their redshifts."""
    rng = np.random.default_rng(seed)
    redshift = rng.uniform(*redshift_range, n)
    place = np.log(GRID.wavelength.value)
    offset = place - (REST[:, None, None] + np.log1p(redshift)[:, None])
    lines = (STRENGTH[:, None, None] * np.exp(-0.5 * (offset / (1.5 * GRID.step)) ** 2)).sum(0)
    flux = 1 + 0.3 * rng.normal(size=(n, 1)) * (place - place.mean()) + lines
    noise = 0.1
    return (flux + noise * rng.normal(size=flux.shape)).astype("f4"), np.full(flux.shape, noise**-2.0, "f4"), redshift


def pair_set(n, seed=0, redshift=True):
    flux, weight, z = spectra(n, seed)
    images = np.random.default_rng(seed + 100).normal(size=(n, 2, 8, 8)).astype("f4")
    return PairSet.from_arrays(images, images, input_survey="SDSS", target_survey="SDSS", input_bands="gr",
                               target_bands="gr", redshift=z if redshift else None, spectra=(flux, weight),
                               spectrum_grid=GRID, ids=np.arange(n) + 1000 * seed)


@pytest.fixture(scope="module")
def made():
    pairs = pair_set(256)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        reader = RedshiftReader(GRID.to_dict(), readable_redshift(pairs))
    before = torch.get_rng_state()
    fit_reader(reader, pairs, torch.Generator().manual_seed(2))
    assert torch.equal(torch.get_rng_state(), before)
    return reader


def test_it_reads_spectra_that_it_has_not_seen(made):
    flux, weight, redshift = spectra(200, seed=7)
    read, error = made(torch.from_numpy(flux), torch.from_numpy(weight))
    difference = (read.numpy() - redshift) / (1 + redshift)
    assert np.median(np.abs(difference)) < GRID.step
    assert np.mean(np.abs(difference) < 5 * GRID.step) > 0.9
    assert np.all(error.numpy() > 0)
    assert not any(parameter.requires_grad for parameter in made.parameters())


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr("astro_galtrans.training._build._MOST_STEPS", 10)


def test_the_same_seed_gives_the_same_reader(short):
    pairs = pair_set(64)
    states = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            reader = RedshiftReader(GRID.to_dict(), 0.5)
        fit_reader(reader, pairs, torch.Generator().manual_seed(2))
        states.append(reader.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_too_few_redshifts_make_no_reader():
    assert readable_redshift(pair_set(63)) is None
    assert readable_redshift(pair_set(80, redshift=False)) is None
    assert readable_redshift(pair_set(80)) == pytest.approx(1.05 * (1 + pair_set(80).redshift.max()) - 1)


def test_a_translator_with_a_reader_is_stored_whole(tmp_path, short):
    from astro_galtrans.storage import load, save

    pairs = pair_set(72)
    config = TrainConfig(epochs=1, batch_size=36, conditioning="spectrum",
                         backbone_options={"widths": [4, 8], "n_features": 4})
    translator = fit(pairs, config).translator
    assert translator.network.condition.reader is not None
    save(tmp_path / "t.asdf", translator)
    again = load(tmp_path / "t.asdf")
    flux, weight, _ = spectra(4, seed=9)
    images = pairs.input_flux[:4]
    np.testing.assert_array_equal(again.translate_array(images, spectrum=(flux, weight)),
                                  translator.translate_array(images, spectrum=(flux, weight)))
