import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.table import MaskedColumn, QTable, Table

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import (
    CatalogConfig, CatalogEstimator, distribution_metrics, fit_catalog_estimator, point_metrics,
)
from astro_galtrans.storage import load, save

BANDS = ("g", "r", "i")
QUICK = {"epochs": 3, "width": 16, "depth": 1, "n_bins": 20, "n_members": 2}


def catalog(n, seed):
    """Magnitudes with errors whose colors depend on the redshift, and a table of them."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.02, 0.3, n)
    errors = rng.uniform(0.01, 0.2, (n, 3))
    magnitudes = rng.uniform(16, 19, n)[:, None] + np.outer(z, [5, 2, 0]) + errors * rng.normal(size=(n, 3))
    return magnitudes, z, errors


@pytest.fixture(scope="module")
def galaxies():
    return catalog(120, 1)


@pytest.fixture(scope="module")
def estimator(galaxies):
    magnitudes, z, errors = galaxies
    return fit_catalog_estimator(magnitudes, z, errors=errors, **QUICK)


@pytest.mark.parametrize("output", ["bins", "density"])
def test_learns_redshift_and_how_well_it_is_known(output):
    magnitudes, z, errors = catalog(1100, 2)
    train, test = slice(None, 800), slice(800, None)
    estimator = fit_catalog_estimator(magnitudes[train], z[train], errors=errors[train], epochs=25, width=32, depth=1,
                                      batch_size=64, n_members=1, output=output)
    pdf = estimator.predict(magnitudes[test], errors[test])
    metrics = point_metrics(pdf.median(), z[test])
    blind = point_metrics(np.full(300, np.median(z)), z[test])
    assert metrics["nmad"] < 0.35 * blind["nmad"]
    assert distribution_metrics(pdf, z[test])["pit_ks"] < 0.15
    width = pdf.quantile(0.84) - pdf.quantile(0.16)
    correlation = np.corrcoef(width, np.hypot(errors[test, 0], errors[test, 2]))[0, 1]
    assert correlation > {"bins": 0.0, "density": 0.5}[output]  # a softmax learns widths from more galaxies


def test_tables_arrays_and_tensors_are_the_same_columns(estimator, galaxies):
    magnitudes, z, errors = galaxies
    wanted = estimator.predict(magnitudes, errors)
    table = Table(magnitudes, names=BANDS)
    assert np.array_equal(estimator.predict(table, errors).density, wanted.density)
    assert np.array_equal(estimator.predict(table[BANDS], Table(errors)).density, wanted.density)
    quantities = QTable({name: table[name] * u.mag for name in BANDS})
    assert np.array_equal(estimator.predict(quantities, errors).density, wanted.density)
    pdf = estimator.predict(torch.from_numpy(magnitudes), torch.from_numpy(errors))
    assert isinstance(pdf.density, torch.Tensor)
    torch.testing.assert_close(pdf.density, torch.from_numpy(wanted.density).float(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(estimator.predict(magnitudes, errors, batch_size=7).density, wanted.density, rtol=1e-4)


def test_names_are_kept_and_compared(galaxies):
    magnitudes, z, errors = galaxies
    table, other = Table(magnitudes, names=BANDS), Table(np.ones((120, 2)), names=("size", "ebv"))
    estimator = fit_catalog_estimator(table, z, features=other, **QUICK)
    assert estimator.column_names == {"magnitudes": list(BANDS), "errors": None, "features": ["size", "ebv"]}
    with pytest.raises(ValueError, match="^magnitudes "):
        estimator.predict(table["r", "g", "i"], features=other)
    with pytest.raises(ValueError, match="^features "):
        estimator.predict(table)
    with pytest.raises(ValueError, match="^errors "):
        estimator.predict(table, errors, other)


def test_missing_values():
    magnitudes, z, _ = catalog(300, 5)
    magnitudes[:60, 2] = np.nan
    estimator = fit_catalog_estimator(magnitudes, z, **QUICK)
    assert estimator.predict(magnitudes).n_masked == 0
    masked = Table(magnitudes, names=BANDS)
    masked["g"] = MaskedColumn(masked["g"], mask=np.arange(300) < 10)
    with pytest.warns(GaltransWarning, match="10 of 300"):
        pdf = estimator.predict(masked)
    assert not pdf.valid[:10].any() and pdf.valid[10:].all()


def test_seeds_and_random_states(estimator, galaxies):
    magnitudes, z, errors = galaxies
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = fit_catalog_estimator(magnitudes, z, errors=errors, **QUICK)
    other = fit_catalog_estimator(magnitudes, z, errors=errors, seed=1, **QUICK)
    densities = [fitted.predict(magnitudes, errors).density for fitted in (estimator, again, other)]
    assert np.array_equal(densities[0], densities[1]) and not np.array_equal(densities[0], densities[2])
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])


@pytest.mark.parametrize("settings", [{}, {"output": "bins"}, {"n_members": 1, "depth": 0}])
def test_files_hold_it_to_the_bit(tmp_path, galaxies, settings):
    magnitudes, z, errors = galaxies
    table = Table(magnitudes, names=BANDS)
    estimator = fit_catalog_estimator(table, z, features=errors, **{**QUICK, **settings})
    save(tmp_path / "e.asdf", estimator)
    read = load(tmp_path / "e.asdf")
    assert isinstance(read, CatalogEstimator) and read.config == estimator.config
    assert np.array_equal(read.predict(table, features=errors).density,
                          estimator.predict(table, features=errors).density)
    assert read.column_names == estimator.column_names and read.history.colnames == estimator.history.colnames
    assert repr(read) == repr(estimator)


def test_damaged_trees(estimator):
    tree = estimator.to_tree()
    with pytest.raises(ValueError, match="lacks columns"):
        CatalogEstimator.from_tree({name: value for name, value in tree.items() if name != "columns"})
    with pytest.raises(ValueError, match="do not fit"):
        CatalogEstimator.from_tree({**tree, "config": {**tree["config"], "width": 24}})


def test_validation_galaxies_and_checkpoints(tmp_path, galaxies):
    magnitudes, z, errors = galaxies
    held = catalog(50, 9)
    arguments = {"errors": errors, "validation": held, "patience": 1, "schedule": "plateau", "n_reductions": 0,
                 **{**QUICK, "epochs": 99}, "learning_rate": 0.03}
    wanted = fit_catalog_estimator(magnitudes, z, **arguments)
    fitted = fit_catalog_estimator(magnitudes, z, checkpoint=tmp_path, **arguments)
    again = fit_catalog_estimator(magnitudes, z, checkpoint=tmp_path, **arguments)
    for other in (fitted, again):
        assert np.array_equal(other.predict(magnitudes, errors).density, wanted.predict(magnitudes, errors).density)
    assert max(wanted.history["epoch"]) < 98
    with pytest.raises(ValueError, match="^validation errors "):
        fit_catalog_estimator(magnitudes, z, errors=errors, validation=held[:2], **QUICK)
    with pytest.raises(ValueError, match="^validation "):
        fit_catalog_estimator(magnitudes, z, validation=held[0], **QUICK)


@pytest.mark.parametrize("change, error, message", [
    ({"magnitudes": np.full((120, 3), 99.0)}, ValueError, "^magnitudes "),
    ({"magnitudes": np.full((120, 3), np.inf)}, ValueError, "^magnitudes "),
    ({"magnitudes": np.ones((120, 2, 2))}, ValueError, "^magnitudes "),
    ({"magnitudes": Table({"g": ["a"] * 120})}, TypeError, r"magnitudes\['g'\]"),
    ({"errors": np.zeros((120, 3))}, ValueError, "^errors "),
    ({"errors": np.ones((120, 2))}, ValueError, "^errors "),
    ({"features": np.ones((3, 2))}, ValueError, "^features "),
    ({"features": np.full(120, np.nan)}, ValueError, "has no value"),
    ({"redshift": np.ones(5)}, ValueError, "^redshift "),
    ({"config": {"width": 4}}, TypeError, "^config "),
    ({"architecture": "small"}, TypeError, "architecture"), ({"depth": -1}, ValueError, "depth"),
])
def test_bad_columns_and_settings(galaxies, change, error, message):
    arguments = {"magnitudes": galaxies[0], "redshift": galaxies[1], **change}
    with pytest.raises(error, match=message):
        fit_catalog_estimator(arguments.pop("magnitudes"), arguments.pop("redshift"), **arguments)


def test_config_round_trips():
    config = CatalogConfig(grid=np.linspace(0, 1, 9), n_members=2)
    assert CatalogConfig(**config.to_dict()) == config


def test_sdss_main_galaxy_sample():
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("GALTRANS_REAL_DATA is not set to a folder with photoz-sdss-mgs-mlz")
    train, test = (np.loadtxt(Path(folder) / "photoz-sdss-mgs-mlz" / f"SDSS_MGS.{part}") for part in ("train", "test"))
    estimator = fit_catalog_estimator(train[:, 1:6], train[:, 0], errors=train[:, 10:15], epochs=15, n_members=1)
    pdf = estimator.predict(test[:, 1:6], test[:, 10:15])
    assert point_metrics(pdf.median(), test[:, 0])["nmad"] <= 0.0130


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_an_accelerator(galaxies):
    magnitudes, z, errors = galaxies
    fitted = fit_catalog_estimator(magnitudes, z, errors=errors, device="cuda", **QUICK)
    pdf = fitted.predict(torch.from_numpy(magnitudes).cuda(), errors)
    assert pdf.device.type == "cuda"
    np.testing.assert_allclose(pdf.median().cpu().numpy(), fitted.predict(magnitudes, errors).median(), atol=1e-3)
