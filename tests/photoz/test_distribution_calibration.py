"""Coverage, calibration errors, metrics in parts, and stacked distributions."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import (
    DistributionAccumulator,
    RedshiftPDF,
    coverage,
    distribution_metrics,
    nz_metrics,
    pit_statistics,
)

GRID = np.linspace(0, 1, 401)


def sample(factor, n=4000, width=0.05, seed=1):
    """Gaussian densities that are wider than their errors by a factor, and the redshifts."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0.4, 0.6, n)
    pdf = RedshiftPDF.from_gaussian_mixture(GRID, np.ones((n, 1)), centers[:, None], np.full((n, 1), factor * width))
    return pdf, centers + width * rng.normal(size=n)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_coverage_of_gaussians(factor):
    pdf, z_spec = sample(factor)
    table = coverage(pdf, z_spec, levels=[0.1, 0.5, 0.68, 0.9])
    expected = 2 * stats.norm.cdf(factor * stats.norm.ppf(0.5 + table["level"] / 2)) - 1
    for kind in ("central", "highest_density"):
        np.testing.assert_allclose(table[kind], expected, atol=0.03)
    metrics = distribution_metrics(pdf, z_spec)
    assert table.meta["ece"] == pytest.approx(metrics["ece"]) and table.meta["n"] == 4000
    assert table.meta["ece_hpd"] == pytest.approx(metrics["ece_hpd"])
    assert metrics["coverage_68"] == table["central"][2]
    level = np.linspace(0, 1, 20001)
    curve = 2 * stats.norm.cdf(factor * stats.norm.ppf(0.5 + level / 2)) - 1
    error = np.trapezoid(np.abs(curve - level), level)
    assert metrics["ece"] == pytest.approx(error, abs=0.015)
    assert metrics["ece_hpd"] == pytest.approx(error, abs=0.015)


def test_calibration_error_by_hand():
    # All redshifts at the median: coverage is one for each level, the mean distance of one from the level 1/2.
    assert pit_statistics([0.5, 0.5])["ece"] == pytest.approx(0.5)
    # All at the ends: no coverage up to level one.
    assert pit_statistics([0.0, 1.0])["ece"] == pytest.approx(0.5)
    pit = np.random.default_rng(3).random(50)
    level = (np.arange(200000) + 0.5) / 200000
    curve = np.searchsorted(np.sort(np.abs(2 * pit - 1)), level, side="right") / 50
    assert pit_statistics(pit)["ece"] == pytest.approx(np.abs(curve - level).mean(), abs=1e-6)


def test_two_peaks_need_regions_of_highest_density():
    # The truth is always in a peak; the central interval of 10 % holds the gap between the peaks.
    n = 2000
    rng = np.random.default_rng(5)
    pdf = RedshiftPDF.from_gaussian_mixture(GRID, np.ones((n, 2)), np.tile([0.25, 0.75], (n, 1)), np.full((n, 2), 0.03))
    z_spec = rng.choice([0.25, 0.75], n) + 0.03 * rng.normal(size=n)
    table = coverage(pdf, z_spec)
    np.testing.assert_allclose(table["highest_density"], table["level"], atol=0.04)
    np.testing.assert_allclose(table["central"], table["level"], atol=0.04)
    np.testing.assert_allclose(pdf.credible_level(np.full(n, 0.5)), 1, atol=1e-6)


def test_coverage_counts_and_refuses():
    pdf, z_spec = sample(1.0, n=5)
    density = pdf.density.copy()
    density[2] = np.nan
    table = coverage(RedshiftPDF(GRID, density, on_invalid="mask"), z_spec)
    assert table.meta["n"] == 4 and table.meta["n_masked"] == 1
    rest = coverage(pdf.select([0, 1, 3, 4]), z_spec[[0, 1, 3, 4]])
    assert np.array_equal(table["central"], rest["central"])
    with pytest.raises(ValueError, match="^levels "):
        coverage(pdf, z_spec, [1.5])
    with pytest.raises(TypeError, match="^pdf "):
        coverage(pdf.density, z_spec)


def test_pit_statistics_are_those_of_scipy_and_of_the_metrics():
    pdf, z_spec = sample(1.3, n=300)
    pit = pdf.pit(z_spec)
    statistics, metrics = pit_statistics(pit), distribution_metrics(pdf, z_spec)
    assert statistics["pit_ks"] == pytest.approx(stats.kstest(pit, "uniform").statistic)
    assert statistics["pit_cvm"] == pytest.approx(stats.cramervonmises(pit, "uniform").statistic)
    for name in set(statistics):
        assert statistics[name] == pytest.approx(metrics[name]), name
    assert dict(pit_statistics(torch.tensor(pit))) == dict(statistics)
    for bad in ([0.5, np.nan], [1.2], [], [[0.5]]):
        with pytest.raises(ValueError, match="^pit "):
            pit_statistics(bad)


def test_pit_outside_of_the_densities_is_an_outlier():
    pdf = RedshiftPDF([0.2, 0.3], np.ones((4, 2)) * 10)
    assert distribution_metrics(pdf, [0.1, 0.25, 0.25, 0.4])["pit_outlier_rate"] == 0.5


def test_metrics_in_parts_are_those_of_the_whole():
    pdf, z_spec = sample(1.2, n=1001)
    other = pdf.regrid(np.linspace(0, 1, 333))
    accumulator = DistributionAccumulator()
    for rows in (slice(0, 400), slice(400, 401), slice(401, None)):
        accumulator.add(pdf.select(rows), z_spec[rows])
    assert dict(accumulator.result()) == pytest.approx(dict(distribution_metrics(pdf, z_spec)), rel=1e-12)
    accumulator.add(other, z_spec)
    assert accumulator.result()["n"] == 2002
    with pytest.raises(ValueError, match="no galaxy"):
        DistributionAccumulator().result()


def test_metrics_in_parts_count_what_is_masked():
    density = np.ones((3, 5))
    density[1] = np.nan
    accumulator = DistributionAccumulator(["pit_ks"])
    for _ in range(2):
        accumulator.add(RedshiftPDF(np.linspace(0, 1, 5), density, on_invalid="mask"), [0.2, 0.2, 0.6])
    result = accumulator.result()
    assert result["n"] == 4 and result["n_masked"] == 2


def test_stack_against_redshifts():
    rng = np.random.default_rng(4)
    z_spec = rng.uniform(0, 1, 5000)
    uniform = RedshiftPDF([0.0, 0.4, 1.0], np.ones((5000, 3)))
    metrics = nz_metrics(uniform, z_spec)
    assert metrics["ks"] == pytest.approx(stats.kstest(z_spec, "uniform").statistic)
    assert metrics["mean_difference"] == pytest.approx(0.5 - z_spec.mean())
    assert metrics["std_difference"] == pytest.approx(1 / np.sqrt(12) - z_spec.std())
    # What 5000 galaxies in 50 bins have by chance.
    assert metrics["l1"] == pytest.approx(np.sqrt(2 * 50 / (np.pi * 5000)), rel=0.3)
    assert metrics["kl"] == pytest.approx(50 / 10000, rel=0.5)
    assert metrics["js"] == pytest.approx(50 / 40000, rel=0.5)
    moved = nz_metrics(uniform, 0.9 * z_spec)
    assert moved["mean_difference"] > metrics["mean_difference"] and moved["ks"] > metrics["ks"]


def test_stack_by_hand():
    pdf = RedshiftPDF.from_histogram([0.0, 0.5, 1.0], [[1, 0], [1, 1]])
    metrics = nz_metrics(pdf, [0.25, 0.3], edges=[0, 0.5, 1])
    assert metrics["l1"] == pytest.approx(0.5)
    assert metrics["kl"] == pytest.approx(np.log(1 / 0.75))
    half = np.array([0.875, 0.125])
    js = 0.5 * (np.log(1 / half[0]) + 0.75 * np.log(0.75 / half[0]) + 0.25 * np.log(0.25 / half[1]))
    assert metrics["js"] == pytest.approx(js)
    assert metrics["mean_difference"] == pytest.approx(0.375 - 0.275)
    weighted = nz_metrics(pdf, [0.25, 0.3], weights=[0, 2], edges=[0, 0.5, 1])
    assert weighted["l1"] == pytest.approx(1) and weighted["median_difference"] == pytest.approx(0.5 - 0.3)
    empty = nz_metrics(pdf.select([0]), [0.8], edges=[0, 0.5, 1])
    assert empty["kl"] == np.inf and empty["l1"] == pytest.approx(2) and empty["js"] == pytest.approx(np.log(2))
    outside = nz_metrics(pdf, [0.25, 7.0], edges=[0, 0.5, 1])
    assert outside["l1"] == pytest.approx(0.25 + 0.25 + 0.5)


def test_stack_leaves_masked_galaxies_out_on_both_sides():
    density = np.ones((3, 5))
    density[1] = np.nan
    pdf = RedshiftPDF(np.linspace(0, 1, 5), density, on_invalid="mask")
    with pytest.warns(GaltransWarning, match="1 of 3 masked"):
        metrics = nz_metrics(pdf, [0.2, 0.9, 0.6])
    rest = nz_metrics(pdf.select([0, 2]), [0.2, 0.6])
    assert metrics["n_masked"] == 1
    assert {**metrics, "n_masked": 0.0} == dict(rest)
    with pytest.raises(TypeError, match="^pdf "):
        nz_metrics(density, [0.2, 0.9, 0.6])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GaltransWarning)
        with pytest.raises(ValueError, match="^edges "):
            nz_metrics(pdf, [0.2, 0.9, 0.6], edges=[1, 0])


def test_tensors_agree():
    pdf, z_spec = sample(1.2, n=50)
    tensors = RedshiftPDF(torch.tensor(GRID), torch.tensor(pdf.density))
    truth = torch.tensor(z_spec)
    assert dict(nz_metrics(tensors, truth)) == pytest.approx(dict(nz_metrics(pdf, z_spec)))
    ours, theirs = coverage(tensors, truth), coverage(pdf, z_spec)
    assert np.array_equal(ours["central"], theirs["central"]) and ours.meta == pytest.approx(theirs.meta)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_an_accelerator_agrees():
    pdf, z_spec = sample(1.2, n=500)
    there = RedshiftPDF(torch.tensor(GRID), torch.tensor(pdf.density, device="cuda"))
    assert dict(distribution_metrics(there, z_spec)) == pytest.approx(dict(distribution_metrics(pdf, z_spec)))
    assert dict(nz_metrics(there, z_spec)) == pytest.approx(dict(nz_metrics(pdf, z_spec)))
