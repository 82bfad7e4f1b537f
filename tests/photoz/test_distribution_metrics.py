import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import RedshiftPDF, distribution_metrics

GRID = np.linspace(0, 1, 1001)


def gaussians(centers, width, grid=GRID):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GaltransWarning)
        return RedshiftPDF(grid, stats.norm.pdf(grid, np.asarray(centers)[:, None], width))


def test_gaussian_closed_forms():
    width, z_spec = 0.05, np.linspace(0.4, 0.6, 41)
    metrics = distribution_metrics(gaussians(np.full(41, 0.5), width), z_spec)
    y = (z_spec - 0.5) / width
    crps = width * (y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi))
    density = stats.norm.pdf(y) / width
    assert metrics["crps"] == pytest.approx(crps.mean(), rel=1e-4)
    assert metrics["cde_loss"] == pytest.approx(1 / (2 * width * np.sqrt(np.pi)) - 2 * density.mean(), rel=1e-4)
    assert metrics["log_score"] == pytest.approx(-np.log(density).mean(), rel=1e-3)
    assert metrics["coverage_68"] == np.mean(np.abs(y) < stats.norm.ppf(0.84))
    assert metrics["n"] == 41


@pytest.mark.parametrize("grid", [np.linspace(0, 1, 5), np.array([0, 0.1, 0.5, 0.55, 1.0])], ids=["even", "uneven"])
def test_uniform_closed_forms(grid):
    z_spec = np.array([0.0, 0.2, 0.37, 0.5, 1.0])
    metrics = distribution_metrics(RedshiftPDF(grid, np.ones((5, 5))), z_spec)
    assert metrics["crps"] == pytest.approx(np.mean(1 / 3 - z_spec + z_spec**2))
    assert metrics["cde_loss"] == pytest.approx(-1)
    assert metrics["log_score"] == pytest.approx(0, abs=1e-12)
    assert metrics["pit_outlier_rate"] == pytest.approx(0.4)


def test_crps_outside_the_grid_adds_the_distance():
    pdf = RedshiftPDF([0.0, 0.5, 1.0], [[1.0, 1.0, 1.0]])
    for z_spec in (-0.3, 1.3):
        assert distribution_metrics(pdf, [z_spec], ["crps"])["crps"] == pytest.approx(1 / 3 + 0.3)


def test_crps_is_the_integral_for_any_density():
    rng = np.random.default_rng(0)
    grid = np.sort(rng.uniform(0, 1, 12))
    with pytest.warns(GaltransWarning):
        pdf = RedshiftPDF(grid, rng.random((6, 12)))
    z_spec = rng.uniform(grid[0], grid[-1], 6)
    fine = np.linspace(grid[0], grid[-1], 200001)
    direct = [np.trapezoid((pdf.select([i]).cdf(fine)[0] - (fine >= z_spec[i])) ** 2, fine) for i in range(6)]
    assert distribution_metrics(pdf, z_spec, ["crps"])["crps"] == pytest.approx(np.mean(direct), rel=1e-4)


def test_pit_statistics_agree_with_scipy():
    rng = np.random.default_rng(5)
    u = rng.beta(1.3, 1, 300)
    metrics = distribution_metrics(RedshiftPDF([0.0, 0.5, 1.0], np.ones((300, 3))), u)
    assert metrics["pit_ks"] == pytest.approx(stats.kstest(u, "uniform").statistic)
    assert metrics["pit_cvm"] == pytest.approx(stats.cramervonmises(u, "uniform").statistic)
    ordered, odd = np.sort(u), 2 * np.arange(1, 301) - 1
    assert metrics["pit_ad"] == pytest.approx(-300 - np.mean(odd * np.log(ordered * (1 - ordered[::-1]))))


def test_calibrated_densities_score_best_and_cover():
    rng = np.random.default_rng(6)
    centers, width = rng.uniform(0.3, 0.7, 2000), 0.04
    z_spec = centers + width * rng.normal(size=2000)
    scores = {factor: distribution_metrics(gaussians(centers, factor * width, GRID[::4]), z_spec)
              for factor in (0.5, 1.0, 2.0)}
    for name in ("pit_ks", "pit_cvm", "pit_ad", "crps", "cde_loss", "log_score", "brier"):
        assert scores[1.0][name] < min(scores[0.5][name], scores[2.0][name]), name
    assert scores[1.0]["coverage_68"] == pytest.approx(0.68, abs=0.03)
    assert scores[1.0]["coverage_95"] == pytest.approx(0.95, abs=0.02)
    assert scores[0.5]["coverage_95"] < 0.8 < scores[2.0]["coverage_68"]


def test_brier_by_hand_and_its_bounds():
    pdf = RedshiftPDF(np.linspace(0, 1, 5), np.ones((3, 5)))
    score = distribution_metrics(pdf, [0.1, 0.1, 1.0], ["brier"], brier_edges=[0.0, 0.5, 1.0])["brier"]
    assert score == pytest.approx(0.5)
    assert distribution_metrics(pdf, [2.0] * 3, ["brier"], brier_edges=[0.0, 1.0])["brier"] == pytest.approx(2)
    assert distribution_metrics(pdf, [0.5] * 3, ["brier"], brier_edges=[0.0, 1.0])["brier"] == pytest.approx(0)
    sharp = gaussians([0.5], 1e-3)
    assert distribution_metrics(sharp, [0.9], ["brier"])["brier"] < 2
    with pytest.raises(ValueError, match="brier_edges"):
        distribution_metrics(pdf, [0.5] * 3, brier_edges=[1.0, 0.0])


def test_excluded_redshift_stays_finite():
    metrics = distribution_metrics(gaussians([0.2], 0.001), [0.9])
    assert all(np.isfinite(list(metrics.values())))
    assert metrics["pit_outlier_rate"] == 1


def test_masked_rows_are_left_out_with_a_warning():
    density = np.ones((3, 5))
    density[1] = np.nan
    pdf = RedshiftPDF(np.linspace(0, 1, 5), density, on_invalid="mask")
    with pytest.warns(GaltransWarning, match="1 of 3 masked"):
        metrics = distribution_metrics(pdf, [0.2, 0.2, 0.6])
    rest = distribution_metrics(pdf.select([0, 2]), [0.2, 0.6])
    assert metrics["n_masked"] == 1 and metrics["n"] == 2
    assert metrics["crps"] == rest["crps"] and metrics["pit_ks"] == rest["pit_ks"]


def test_some_metrics_and_bad_requests():
    pdf = RedshiftPDF([0.0, 1.0], [[1.0, 1.0]])
    some = distribution_metrics(pdf, [0.5], metrics=["crps", "pit_ks"])
    assert list(some) == ["crps", "pit_ks", "n", "n_masked", "n_normalised"]
    with pytest.raises(ValueError, match="^metrics "):
        distribution_metrics(pdf, [0.5], metrics=["crsp"])
    with pytest.raises(TypeError, match="^metrics "):
        distribution_metrics(pdf, [0.5], metrics="crps")
    with pytest.raises(TypeError, match="^pdf "):
        distribution_metrics(np.ones((1, 2)), [0.5])
    with pytest.raises(ValueError, match="^z_spec "):
        distribution_metrics(pdf, [0.5, 0.6])


def test_tensors_give_the_same_numbers():
    pdf = gaussians([0.4, 0.5], 0.05)
    single = RedshiftPDF(torch.tensor(GRID), torch.tensor(pdf.density))
    z_spec = torch.tensor([0.42, 0.53])
    assert dict(distribution_metrics(single, z_spec)) == pytest.approx(dict(distribution_metrics(pdf, z_spec.numpy())))
