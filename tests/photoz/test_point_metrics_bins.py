import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.table import MaskedColumn, Table

from astro_galtrans.photoz import (
    RedshiftPDF, binned_point_metrics, evaluate_redshifts, paired_bootstrap, point_metrics,
)
from astro_galtrans.photoz._point import STATISTICS, weighted_quantiles


@pytest.fixture
def sample():
    rng = np.random.default_rng(3)
    z_spec = rng.uniform(0.05, 0.5, 600)
    return z_spec + 0.03 * rng.normal(size=600) * (1 + z_spec), z_spec, rng.uniform(17, 21, 600)


def test_rows_are_the_metrics_of_their_galaxies(sample):
    z_phot, z_spec, magnitude = sample
    weights = np.random.default_rng(0).uniform(0.5, 2, 600)
    table = binned_point_metrics(z_phot, z_spec, magnitude, [17, 18, 20, 20.5], weights=weights)
    assert table["count"].sum() + table.meta["n_outside"] == 600
    for row in table:
        inside = (magnitude >= row["low"]) & (magnitude < row["high"])
        wanted = point_metrics(z_phot[inside], z_spec[inside], weights=weights[inside])
        assert row["count"] == row["n"] == inside.sum()
        assert row["mean"] == pytest.approx(magnitude[inside].mean())
        assert {name: row[name] for name in STATISTICS} == pytest.approx({name: wanted[name] for name in STATISTICS})


def test_empty_bins_are_rows():
    table = binned_point_metrics([0.1, 0.2], [0.1, 0.2], [1.0, 3.0], [0, 1, 2, 3], n_bootstrap=5)
    assert list(table["count"]) == [0, 1, 1]
    for name in (*STATISTICS, "nmad_low", "nmad_high", "mean"):
        assert np.isnan(table[name][0]) and not np.isnan(table[name][2])
    nothing = binned_point_metrics([0.1], [0.1], [9.0], [0, 1, 2])
    assert list(nothing["count"]) == [0, 0] and np.isnan(nothing["nmad"]).all() and nothing.meta["n_outside"] == 1


def test_edges_belong_to_the_bin_above_and_the_last_to_the_last():
    table = binned_point_metrics(np.zeros(4), np.zeros(4), [0.0, 1.0, 2.0, np.nan], [0, 1, 2])
    assert list(table["count"]) == [1, 2] and table.meta["n_outside"] == 1


def test_equally_wide_and_equally_full_bins(sample):
    z_phot, z_spec, magnitude = sample
    wide = binned_point_metrics(z_phot, z_spec, magnitude, 4)
    np.testing.assert_allclose(np.diff(wide["low"]), np.ptp(magnitude) / 4)
    full = binned_point_metrics(z_phot, z_spec, magnitude, 4, binning="count")
    assert list(full["count"]) == [150] * 4


def test_intervals_are_seeded_and_each_bin_draws_its_own(sample):
    z_phot, z_spec, _ = sample
    half = np.repeat([0, 1], 300)
    twice = [np.tile(values[:300], 2) for values in (z_phot, z_spec)]
    first, again = (binned_point_metrics(*twice, half, [0, 1, 2], n_bootstrap=30, seed=2) for _ in range(2))
    assert np.all(first["nmad_low"] < first["nmad"]) and np.all(first["nmad"] < first["nmad_high"])
    assert np.array_equal(first["nmad_low"], again["nmad_low"]) and first["nmad_low"][0] != first["nmad_low"][1]
    assert first["nmad"][0] == first["nmad"][1] and first.meta["n_bootstrap"] == 30


def test_not_usable_galaxies_are_counted_in_their_bin(sample):
    z_phot, z_spec, magnitude = (values.copy() for values in sample)
    faint = magnitude > 20
    z_phot[faint] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        binned_point_metrics(z_phot, z_spec, magnitude, [17, 20, 21])
    table = binned_point_metrics(z_phot, z_spec, magnitude, [17, 20, 21], on_invalid="mask")
    assert table["n"][1] == 0 and table["n_masked"][1] == table["count"][1] == faint.sum()
    assert np.isnan(table["nmad"][1]) and table["nmad"][0] > 0


def test_classes_and_units_and_masks():
    z_spec = np.array([0.1, 0.2, 0.3, 0.4])
    table = binned_point_metrics(z_spec, z_spec, np.array(["late", "early", "late", "late"]))
    assert list(table["value"]) == ["early", "late"] and list(table["count"]) == [1, 3]
    table = binned_point_metrics(z_spec, z_spec, [10, 20, 30, 40] * u.arcsec, [0, 0.5, 1] * u.arcmin)
    assert table["high"].unit == u.arcsec and list(table["high"]) == [30, 60] and list(table["count"]) == [2, 2]
    by = MaskedColumn([1, 2, 3, 4], mask=[0, 0, 0, 1], unit=u.mag)
    table = binned_point_metrics(Table({"z": z_spec})["z"], z_spec, by, [0, 2.5, 5])
    assert list(table["count"]) == [2, 1] and table["low"].unit == u.mag and table.meta["n_outside"] == 1


@pytest.mark.parametrize("change, error", [
    ({"edges": [0, 0, 1]}, ValueError), ({"edges": 0}, ValueError), ({"edges": 1.5}, TypeError),
    ({"by": [1.0]}, ValueError), ({"by": [1j, 1]}, TypeError), ({"binning": "log"}, ValueError),
    ({"z_spec": [0.1]}, ValueError), ({"weights": [1.0]}, ValueError), ({"n_bootstrap": -1}, ValueError),
])
def test_bad_bins(change, error):
    arguments = {"z_phot": [0.1, 0.2], "z_spec": [0.1, 0.2], "by": [1.0, 2.0], **change}
    with pytest.raises(error, match=next(iter(change))):
        binned_point_metrics(**arguments)


def devices():
    return ["cpu", pytest.param("cuda", marks=[
        pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")])]


@pytest.mark.parametrize("device", devices())
def test_tensors_give_what_arrays_give(sample, device):
    tensors = [torch.tensor(values, device=device) for values in sample]
    plain, given = point_metrics(*sample[:2], n_bootstrap=20), point_metrics(*tensors[:2], n_bootstrap=20)
    assert dict(given) == pytest.approx(dict(plain), rel=1e-12)
    assert given.intervals["nmad"] == pytest.approx(plain.intervals["nmad"], rel=1e-12)
    tables = [binned_point_metrics(*values, 5) for values in (sample, tensors)]
    np.testing.assert_allclose(tables[0]["sigma_iqr"], tables[1]["sigma_iqr"], rtol=1e-12)
    paired = [paired_bootstrap(values[0], values[0] + 0.1, values[1], n_bootstrap=9) for values in (sample, tensors)]
    assert dict(paired[0]) == pytest.approx(dict(paired[1]), rel=1e-9)


def test_masked_arrays_are_masked(sample):
    z_phot = np.ma.masked_greater(sample[0], 0.4)
    metrics = point_metrics(z_phot, sample[1], on_invalid="mask")
    assert metrics["n_masked"] == z_phot.mask.sum() > 0


def test_weighted_quantiles_by_hand():
    values = torch.tensor([[3.0, 1.0, 2.0]], dtype=torch.float64)
    weights = torch.tensor([[2.0, 1.0, 1.0]], dtype=torch.float64)
    # Midpoints of the cumulative weight at 0.5, 1.5 and 3.0, stretched to 0, 0.4 and 1.
    result = weighted_quantiles(values, [0.0, 0.2, 0.4, 0.7, 1.0], weights)[:, 0]
    torch.testing.assert_close(result, torch.tensor([1.0, 1.5, 2.0, 2.5, 3.0], dtype=torch.float64))
    for given in (None, torch.full((1, 3), 7.0, dtype=torch.float64)):
        wanted = torch.from_numpy(np.quantile([1, 2, 3], [0.1, 0.5, 0.77]))
        torch.testing.assert_close(weighted_quantiles(values, [0.1, 0.5, 0.77], given)[:, 0], wanted)
    assert weighted_quantiles(values[:, :1], [0.3], weights[:, :1]).item() == 3.0


def test_columns_of_all_tables_are_described():
    rng = np.random.default_rng(0)
    z = rng.uniform(0.1, 0.9, 60)
    grid = np.linspace(0, 1, 41)
    density = np.exp(-0.5 * ((grid - z[:, None]) / 0.05)**2)
    pdf = RedshiftPDF(grid, density / np.trapezoid(density, grid, axis=1)[:, None])
    found = evaluate_redshifts(pdf, z, by={"r_mag": 20 + z}, n_bootstrap=3)
    for table in (found.metrics, found.nz, *found.bins.values()):
        assert all(column.description for column in table.itercols())
    assert "interval of nmad" in found.bins["z_spec"]["nmad_low"].description
