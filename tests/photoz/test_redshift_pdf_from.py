"""Densities from histograms, samples, mixtures, tables and qp."""

import sys

import numpy as np
import pytest
import torch
from astropy.table import Table
from scipy import stats

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import RedshiftPDF

GRID = np.linspace(0, 1, 101)


def test_histogram_keeps_its_probabilities():
    edges, counts = np.array([0.0, 0.1, 0.3, 1.0]), np.array([[2, 6, 2], [0, 0, 5]])
    pdf = RedshiftPDF.from_histogram(edges, counts)
    np.testing.assert_allclose(np.diff(pdf.cdf(edges), axis=1), counts / counts.sum(axis=1, keepdims=True))
    tensor = RedshiftPDF.from_histogram(edges, torch.tensor(counts))
    assert isinstance(tensor.density, torch.Tensor)
    np.testing.assert_allclose(tensor.density.numpy(), pdf.density, rtol=1e-6)


@pytest.mark.parametrize("row", [[1, -1, 1], [0, 0, 0], [1, np.nan, 1]])
def test_histogram_that_is_none(row):
    edges, counts = [0.0, 0.1, 0.3, 1.0], [[1, 1, 1], row]
    with pytest.raises(ValueError, match=r"1 of 2 .*\[1\]"):
        RedshiftPDF.from_histogram(edges, counts)
    with pytest.warns(GaltransWarning, match="1 of 2"):
        assert RedshiftPDF.from_histogram(edges, counts, on_invalid="mask").valid.tolist() == [True, False]
    with pytest.raises(ValueError, match="^counts "):
        RedshiftPDF.from_histogram(edges, [[1, 1]])


def test_samples_as_histogram_and_with_kernels():
    samples = np.random.default_rng(0).normal([[0.4], [0.6]], [[0.05], [0.08]], (2, 5000))
    counted = RedshiftPDF.from_samples(samples, GRID)
    assert counted.interpolation == "constant"
    expected = np.histogram(samples[0], GRID)[0] / 5000
    np.testing.assert_allclose(counted.density[0] * 0.01, expected, atol=1e-12)
    smooth = RedshiftPDF.from_samples(samples, GRID, method="kernel")
    assert smooth.interpolation == "linear"
    np.testing.assert_allclose(smooth.density, [stats.norm.pdf(GRID, 0.4, 0.05), stats.norm.pdf(GRID, 0.6, 0.08)],
                               atol=0.6)
    wide = RedshiftPDF.from_samples(samples, GRID, method="kernel", bandwidth=0.05)
    np.testing.assert_allclose(wide.std(), np.hypot(samples.std(axis=1), 0.05), rtol=2e-3)


def test_samples_that_do_not_fit():
    with pytest.warns(GaltransWarning, match="1 of 2 galaxies have samples outside"):
        pdf = RedshiftPDF.from_samples([[0.1, 0.2], [0.3, 7.0]], [0.0, 0.25, 0.5])
    np.testing.assert_allclose(pdf.density, [[4, 0], [0, 4]])
    for method in ("histogram", "kernel"):
        with pytest.raises(ValueError, match=r"1 of 2 .*\[1\]"):
            RedshiftPDF.from_samples([[0.1, 0.2], [np.nan, 0.3]], GRID, method=method)
        with pytest.warns(GaltransWarning, match="1 of 2 .* masked"):
            masked = RedshiftPDF.from_samples([[0.3, 0.7], [np.nan, 0.3]], GRID, method=method, bandwidth=0.05,
                                              on_invalid="mask")
        assert masked.valid.tolist() == [True, False]
    assert RedshiftPDF.from_samples([[1.0]], [0.0, 0.5, 1.0]).density.tolist() == [[0, 2]]
    with pytest.raises(ValueError, match="^method "):
        RedshiftPDF.from_samples([[0.1]], GRID, method="spline")
    with pytest.raises(ValueError, match="bandwidth"):
        RedshiftPDF.from_samples([[0.1]], GRID, method="kernel", bandwidth=0)
    with pytest.raises(ValueError, match="^samples "):
        RedshiftPDF.from_samples([0.1], GRID)


def test_samples_of_a_density_give_it_back():
    pdf = RedshiftPDF.from_gaussian_mixture(GRID, [[2, 1]], [[0.3, 0.6]], [[0.05, 0.1]])
    again = RedshiftPDF.from_samples(pdf.sample(20000, seed=1), GRID[::5])
    np.testing.assert_allclose(again.density, pdf.rebin(GRID[::5]).density, atol=0.25)


def test_mixtures():
    weights, means, stds = [[3, 1], [1, 1]], [[0.3, 0.6], [0.5, 0.5]], [[0.03, 0.05], [0.1, 0.1]]
    lines = RedshiftPDF.from_gaussian_mixture(GRID, weights, means, stds)
    expected = 0.75 * stats.norm.pdf(GRID, 0.3, 0.03) + 0.25 * stats.norm.pdf(GRID, 0.6, 0.05)
    np.testing.assert_allclose(lines.density[0], expected, rtol=1e-9)
    bins = RedshiftPDF.from_gaussian_mixture(GRID, weights, means, stds, interpolation="constant")
    exact = 0.75 * stats.norm.cdf(GRID, 0.3, 0.03) + 0.25 * stats.norm.cdf(GRID, 0.6, 0.05)
    np.testing.assert_allclose(bins.cdf(GRID)[0], exact, atol=1e-12)
    tensor = RedshiftPDF.from_gaussian_mixture(GRID, torch.tensor(weights), torch.tensor(means), torch.tensor(stds))
    np.testing.assert_allclose(tensor.density.numpy(), lines.density, rtol=1e-4, atol=1e-5)


def test_far_tails_of_a_mixture_keep_their_digits():
    with pytest.warns(GaltransWarning, match="normalized"):
        bins = RedshiftPDF.from_gaussian_mixture(np.linspace(0, 1, 11), [[1.0]], [[0.05]], [[0.05]],
                                                 interpolation="constant")
    assert bins.density[0, -1] / bins.density[0, 0] == pytest.approx(
        (stats.norm.sf(17) - stats.norm.sf(19)) / (stats.norm.cdf(1) - stats.norm.cdf(-1)), rel=1e-6)


def test_mixtures_that_leave_the_grid_or_are_none():
    with pytest.warns(GaltransWarning, match="1 of 2 .* were normalized"):
        RedshiftPDF.from_gaussian_mixture(GRID, [[1], [1]], [[0.5], [0.98]], [[0.05], [0.05]])
    with pytest.raises(ValueError, match=r"2 of 3 .*\[1, 2\]"):
        RedshiftPDF.from_gaussian_mixture(GRID, [[1], [1], [-1]], [[0.5]] * 3, [[0.05], [0.0], [0.1]])


@pytest.mark.parametrize("interpolation", ["linear", "constant"])
def test_tables_of_any_file(tmp_path, interpolation):
    pdf = RedshiftPDF.from_gaussian_mixture(GRID, [[1]] * 3, [[0.3], [0.4], [0.5]], [[0.05]] * 3,
                                            interpolation=interpolation)
    table = pdf.to_table(ids=[7, 8, 9])
    assert table.meta["n"] == 3 and table.meta["n_masked"] == 0 and table.meta["interpolation"] == interpolation
    table.write(tmp_path / "pdf.ecsv")
    again = RedshiftPDF.from_table(Table.read(tmp_path / "pdf.ecsv"))
    assert again.interpolation == interpolation and np.array_equal(again.density, pdf.density)
    # FITS has no room for the grid.
    plain = Table({"pz": table["density"]})
    plain.write(tmp_path / "pdf.fits")
    read = RedshiftPDF.from_table(Table.read(tmp_path / "pdf.fits"), grid=GRID, column="pz",
                                  interpolation=interpolation)
    np.testing.assert_array_equal(read.density, pdf.density)
    with pytest.raises(ValueError, match=r'column "density".*\[\'pz\'\]'):
        RedshiftPDF.from_table(plain)


def test_qp_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "qp", None)
    with pytest.raises(ImportError, match=r"astro_galtrans\[qp\]"):
        RedshiftPDF([0.0, 1.0], [[1.0, 1.0]]).to_qp()


def test_qp_ensembles_and_back():
    qp = pytest.importorskip("qp")
    lines = RedshiftPDF.from_gaussian_mixture(GRID, [[1]] * 2, [[0.3], [0.4]], [[0.05]] * 2)
    ensemble = lines.to_qp()
    np.testing.assert_allclose(ensemble.pdf(GRID), lines.density, rtol=1e-12)
    np.testing.assert_allclose(RedshiftPDF.from_qp(ensemble).density, lines.density, rtol=1e-12)
    bins = lines.rebin(GRID[::5])
    again = RedshiftPDF.from_qp(bins.to_qp())
    assert again.interpolation == "constant"
    np.testing.assert_allclose(again.density, bins.density, rtol=1e-12)
    normal = qp.Ensemble(qp.stats.norm, data={"loc": np.array([[0.3], [0.4]]), "scale": np.array([[0.05], [0.05]])})
    np.testing.assert_allclose(RedshiftPDF.from_qp(normal, GRID).density, lines.density, rtol=1e-6)
    with pytest.raises(ValueError, match="^grid "):
        RedshiftPDF.from_qp(normal)


def test_masked_rows_do_not_go_to_qp_in_silence():
    pytest.importorskip("qp")
    density = np.ones((3, 101))
    density[1] = np.nan
    pdf = RedshiftPDF(GRID, density, on_invalid="mask")
    with pytest.raises(ValueError, match="1 of 3 densities are masked"):
        pdf.to_qp()
    assert pdf.to_qp(on_masked="drop").npdf == 2
