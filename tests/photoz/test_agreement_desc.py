"""The constants in the test suites of qp and RAIL, and where and why their numbers are not ours.

Four defects of qp 1.1 are restated in a line or two each, shown, and, where qp is installed, shown with qp itself.
"""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import RedshiftPDF, distribution_metrics, pit_statistics, point_metrics

real_data = pytest.mark.skipif("GALTRANS_REAL_DATA" not in os.environ,
                               reason="GALTRANS_REAL_DATA does not name the real-data folder")
FOLDER = Path(os.environ.get("GALTRANS_REAL_DATA", "")) / "photoz-metric-fixture-qp-rail"


# Of qp.metrics.CDELossMetric and of qp.metrics.BrierMetric.
_CDE_GRID = np.linspace(0, 2.5, 301)
_BRIER_LIMITS, _BRIER_STEP = (0.0, 3.0), 0.01


def _cumulative(grid, density):
    """Return density and cumulative probability at the grid points, the first of which is not 0."""
    cells = 0.5 * np.diff(grid) * (density[:, 1:] + density[:, :-1])
    # Half a cell of the first value at the first point, which is not part of the sums at the others.
    first = 0.5 * density[:, :1] * (grid[1] - grid[0])
    cumulative = np.concatenate([first, np.cumsum(cells, axis=1)], axis=1)
    total = cumulative[:, -1:]
    return density / total, cumulative / total


def _on_chords(grid, values, redshift, outside):
    """Return values on the chord between grid points, at one redshift per galaxy."""
    cell = np.clip(np.searchsorted(grid, redshift, side="right") - 1, 0, len(grid) - 2)
    rows = np.arange(len(values))
    part = (redshift - grid[cell]) / np.diff(grid)[cell]
    result = values[rows, cell] * (1 - part) + values[rows, cell + 1] * part
    return np.where(redshift < grid[0], outside[0], np.where(redshift > grid[-1], outside[1], result))


def _evaluated(grid, density, points):
    cell = np.clip(np.searchsorted(grid, points, side="right") - 1, 0, len(grid) - 2)
    part = (points - grid[cell]) / np.diff(grid)[cell]
    values = density[:, cell] * (1 - part) + density[:, cell + 1] * part
    return np.where((points < grid[0]) | (points > grid[-1]), 0.0, values)


def _cde_loss(grid, density, redshift, points):
    values = _evaluated(grid, density, points)
    nearest = np.abs(points - redshift[:, None]).argmin(axis=1)
    return np.trapezoid(values**2, points, axis=1).mean() - 2 * values[np.arange(len(values)), nearest].mean()


def _brier(grid, density, redshift):
    low = min(redshift.min(), _BRIER_LIMITS[0])
    high = max(redshift.max(), _BRIER_LIMITS[1])
    n_points = int((high - low) / _BRIER_STEP)
    points = np.linspace(low, high, n_points)
    half = (high - low) / (n_points - 1) / 2
    edges = np.linspace(low - half, high + half, n_points + 1)
    truth = np.zeros((len(redshift), n_points))
    truth[np.arange(len(redshift)), np.clip(np.searchsorted(edges, redshift, side="right") - 1, 0, n_points - 1)] = 1
    return ((_evaluated(grid, density, points) - truth) ** 2).sum(axis=1).mean()


def _two_sample_ad(pit, low, high):
    inside = pit[(pit >= low) & (pit <= high)]
    if len(inside) < 2:
        return np.nan
    with warnings.catch_warnings():
        # About the p-value, which is not used, and future arguments.
        warnings.simplefilter("ignore")
        return stats.anderson_ksamp([inside, np.linspace(low, high, len(inside))]).statistic


def desc_metrics(pdf, z_spec, point_grid=None, cde_grid=None, ad_range=(0.0, 1.0)):
    """Return the numbers that qp 1.1 and RAIL give, written from their definitions.

    ``point_*`` are of the highest of the points of ``point_grid``; PIT statistics of a cumulative probability that is a
    chord between the grid points; ``pit_ad`` is the two-sample statistic of Scholz & Stephens (1987, JASA 82, 918) of
    the PIT within ``ad_range`` and a regular sequence; ``cde_loss`` is a trapezoid rule on ``cde_grid``; ``brier`` sums
    (density - [z_spec in bin])^2 over points.
    """
    grid, density = pdf.grid, pdf.density[pdf.valid]
    redshift = np.asarray(z_spec)[pdf.valid]
    density, cumulative = _cumulative(grid, density)
    points = grid if point_grid is None else point_grid
    point = point_metrics(points[_evaluated(grid, density, points).argmax(axis=1)], redshift)
    pit = _on_chords(grid, cumulative, redshift, (0.0, 1.0))
    uniform = pit_statistics(pit)
    return {
        "point_sigma_iqr": point["sigma_iqr"], "point_bias": point["bias_median"],
        "point_sigma_mad": point["sigma_mad"], "point_outlier_rate": point["outlier_desc"],
        "pit_ks": uniform["pit_ks"], "pit_cvm": uniform["pit_cvm"], "pit_ad": _two_sample_ad(pit, *ad_range),
        "pit_outlier_rate": uniform["pit_outlier_rate"],
        "cde_loss": _cde_loss(grid, density, redshift, _CDE_GRID if cde_grid is None else cde_grid),
        "brier": _brier(grid, density, redshift),
    }


def same(ours, theirs):
    """As the suites compare: numpy.isclose with its tolerances, 1e-5 of the number and 1e-8."""
    return np.isclose(ours, theirs)


@pytest.fixture(scope="module")
def fixture():
    with np.load(FOLDER / "qp_rail_ensemble_seed87.npz") as data:
        grid, density, z_spec = data["z_grid"], data["pdf_unnormalised"], data["z_spec"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GaltransWarning)
        return RedshiftPDF(grid, density), z_spec


@pytest.fixture(scope="module")
def expected():
    return json.loads((FOLDER / "expected.json").read_text())["expected"]


def calibrated(width, n=3000):
    """Gaussian densities on a fine grid, and redshifts as if drawn from them, but evenly spread."""
    z_spec = 0.1 + 0.4 * (np.arange(n) * np.sqrt(2) % 1)
    centers = z_spec + width * stats.norm.ppf((0.5 + np.arange(n)) * 0.6180339887 % 1)
    grid = np.linspace(0, 0.6, 601)
    with warnings.catch_warnings():
        # The narrowest ones are a few points wide, the widest leave the grid a little.
        warnings.simplefilter("ignore", GaltransWarning)
        return RedshiftPDF.from_gaussian_mixture(
            grid, np.ones((n, 1)), centers[:, None], np.full((n, 1), width)), z_spec


@real_data
def test_unnormalized_densities_are_counted():
    with np.load(FOLDER / "qp_rail_ensemble_seed87.npz") as data:
        with pytest.warns(GaltransWarning, match="117 of 399 .* normalized"):
            pdf = RedshiftPDF(data["z_grid"], data["pdf_unnormalised"])
    assert pdf.counts == {"n": 399, "n_masked": 0, "n_normalised": 117}


@real_data
def test_every_constant_of_the_suites(fixture, expected):
    metrics = desc_metrics(*fixture)
    for ours, theirs in (
            ("point_sigma_iqr", "point_sigma_iqr"), ("point_bias", "point_bias_median"),
            ("point_sigma_mad", "point_sigma_mad"), ("point_outlier_rate", "point_outlier_rate"),
            ("pit_ks", "pit_ks"), ("pit_cvm", "pit_cvm"), ("pit_ad", "pit_ad_all"),
            ("pit_outlier_rate", "pit_outlier_rate"), ("cde_loss", "cde_loss")):
        assert same(metrics[ours], expected[theirs]), ours
    cut = desc_metrics(*fixture, ad_range=(0.6, 0.9))
    assert same(cut["pit_ad"], expected["pit_ad_0.6_0.9"])


@real_data
def test_point_metrics_are_the_same(fixture, expected):
    pdf, z_spec = fixture
    metrics = point_metrics(pdf.mode(refine=False), z_spec)
    assert same(metrics["sigma_iqr"], expected["point_sigma_iqr"])
    assert same(metrics["bias_median"], expected["point_bias_median"])
    assert same(metrics["sigma_mad"], expected["point_sigma_mad"])
    assert metrics["outlier_desc"] == expected["point_outlier_rate"]


@real_data
def test_our_pit_differs_by_half_a_cell_and_by_chords(fixture, expected):
    """From our KS and CvM to theirs in two steps, each to the last digit."""
    pdf, z_spec = fixture
    ours = distribution_metrics(pdf, z_spec)
    assert ours["pit_ks"] == pytest.approx(0.36740985524, abs=1e-10)
    assert ours["pit_cvm"] == pytest.approx(20.62891871, abs=1e-7)
    # First step: chords between the grid points in place of parabolas.
    at_points = pdf.cdf(pdf.grid)
    chords = np.array([np.interp(z, pdf.grid, row) for z, row in zip(z_spec, at_points)])
    assert np.abs(chords - pdf.pit(z_spec)).max() < 1.3e-4
    between = pit_statistics(chords)
    assert between["pit_cvm"] == pytest.approx(20.63064199, abs=1e-7)
    # Second step: half a cell of the first value in the place of 0 at the first grid point; the others have none of it.
    at_points[:, 0] = 0.5 * pdf.density[:, 0] * np.diff(pdf.grid)[0]
    theirs = pit_statistics([np.interp(z, pdf.grid, row) for z, row in zip(z_spec, at_points)])
    assert same(theirs["pit_cvm"], expected["pit_cvm"])
    assert same(theirs["pit_ks"], expected["pit_ks"])
    # Densities whose integral is one within 1e-9 are kept as they are, which is all that remains.
    assert theirs["pit_cvm"] == pytest.approx(desc_metrics(pdf, z_spec)["pit_cvm"], rel=1e-9)


@real_data
def test_our_anderson_darling_is_of_one_sample(fixture, expected):
    pdf, z_spec = fixture
    pit = np.sort(pdf.pit(z_spec))
    n = len(pit)
    one = -n - np.mean((2 * np.arange(1, n + 1) - 1) * (np.log(pit) + np.log1p(-pit[::-1])))
    assert distribution_metrics(pdf, z_spec, ["pit_ad"])["pit_ad"] == pytest.approx(one)
    assert one == pytest.approx(100.519675, abs=1e-5)
    # The two-sample statistic compares with as many regular values, and is standardized.
    assert same(desc_metrics(pdf, z_spec)["pit_ad"], expected["pit_ad_all"])


@real_data
def test_our_cde_loss_is_exact(fixture, expected):
    """From our CDE loss to theirs: the exact integral and the trapezoid rule, the line and the nearest point."""
    pdf, z_spec = fixture
    ours = distribution_metrics(pdf, z_spec, ["cde_loss"])["cde_loss"]
    assert ours == pytest.approx(-4.311805146, abs=1e-8)
    density, width = pdf.density, np.diff(pdf.grid)
    # Of a line from l to r the trapezoid rule takes (l^2 + r^2) / 2 in the place of (l^2 + l r + r^2) / 3.
    trapezoid = (width * np.diff(density, axis=1) ** 2 / 6).sum(axis=1).mean()
    nearest = density[np.arange(399), np.abs(pdf.grid - z_spec[:, None]).argmin(axis=1)]
    points = -2 * (nearest - pdf.density_at(z_spec)).mean()
    assert ours + trapezoid + points == pytest.approx(desc_metrics(pdf, z_spec)["cde_loss"], abs=1e-8)
    assert same(ours + trapezoid + points, expected["cde_loss"])


def test_defect_1_modes_on_a_coarse_grid_inflate_the_scatter():
    pdf, z_spec = calibrated(0.009, n=10000)
    coarse = np.linspace(0, 3, 301)
    ours = point_metrics(pdf.mode(), z_spec)["sigma_mad"]
    theirs = desc_metrics(pdf, z_spec, point_grid=coarse)["point_sigma_mad"]
    restated = point_metrics(coarse[pdf.pdf(coarse).argmax(axis=1)], z_spec)["sigma_mad"]
    assert theirs == pytest.approx(restated)
    assert theirs / ours == pytest.approx(1.05, abs=0.01)
    assert theirs / ours == pytest.approx(np.sqrt(1 + 0.01**2 / (12 * 0.009**2)), abs=0.01)
    centers = pdf.mean()
    assert ours == pytest.approx(point_metrics(centers, z_spec)["sigma_mad"], rel=0.005)


def test_defect_2_a_brier_score_of_densities_has_no_bound():
    for width, order in ((0.05, 500), (0.01, 2500), (0.002, 10000)):
        pdf, z_spec = calibrated(width, n=300)
        ours = distribution_metrics(pdf, z_spec, ["brier"], brier_edges=np.linspace(0, 0.6, 61))["brier"]
        assert 0 <= ours <= 2
        theirs = desc_metrics(pdf, z_spec)["brier"]
        assert theirs > order
        points = np.linspace(0, 3, 300)
        in_bin = np.abs(points - z_spec[:, None]).argmin(axis=1)[:, None] == np.arange(300)
        assert theirs == pytest.approx(((pdf.pdf(points) - in_bin) ** 2).sum(axis=1).mean(), rel=1e-9)
        # With probabilities of the bins in the place of densities it is the score.
        probability = np.diff(pdf.cdf(np.linspace(-0.005, 0.605, 62)), axis=1)
        in_bin = np.histogram2d(np.arange(300), z_spec, [np.arange(301), np.linspace(-0.005, 0.605, 62)])[0]
        score = ((probability - in_bin) ** 2).sum(axis=1).mean()
        assert 0 <= score <= 2


def test_defect_3_the_cde_loss_on_the_default_grid():
    pdf, z_spec = calibrated(0.0107, n=10000)
    exact = distribution_metrics(pdf, z_spec, ["cde_loss"])["cde_loss"]
    # The closed form of calibrated Gaussians: the integral of the squared density, once less twice.
    assert exact == pytest.approx(-1 / (2 * 0.0107 * np.sqrt(np.pi)), rel=5e-4)
    points = np.linspace(0, 2.5, 301)
    values = pdf.pdf(points)
    restated = np.trapezoid(values**2, points, axis=1).mean() - 2 * values[
        np.arange(len(values)), np.abs(points - z_spec[:, None]).argmin(axis=1)].mean()
    theirs = desc_metrics(pdf, z_spec)["cde_loss"]
    assert theirs == pytest.approx(restated, rel=1e-9)
    assert 1 - theirs / exact == pytest.approx(0.025, abs=0.002)
    # With the points of the densities they agree.
    assert desc_metrics(pdf, z_spec, cde_grid=pdf.grid)["cde_loss"] == pytest.approx(exact, rel=1e-3)


def test_defect_4_nan_densities_become_outliers():
    pdf, z_spec = calibrated(0.02, n=1000)
    density = pdf.density.copy()
    density[:50] = np.nan
    restated = np.nan_to_num(np.where(np.isnan(density).any(axis=1), np.nan, pdf.pit(z_spec)))
    assert pit_statistics(restated)["pit_outlier_rate"] == 0.05
    assert pit_statistics(restated)["pit_ks"] >= 0.05
    with pytest.raises(ValueError, match="50 of 1000"):
        RedshiftPDF(pdf.grid, density)
    masked = RedshiftPDF(pdf.grid, density, on_invalid="mask")
    with pytest.warns(GaltransWarning, match="50 of 1000 masked"):
        metrics = distribution_metrics(masked, z_spec)
    assert metrics["n"] == 950 and metrics["n_masked"] == 50 and metrics["pit_outlier_rate"] < 0.005
    assert metrics["pit_ks"] == pytest.approx(distribution_metrics(pdf.select(slice(50, None)), z_spec[50:])["pit_ks"])


def test_outliers_are_counted():
    """qp reads the rate off 100 quantiles of the PIT, with lines between them."""
    pdf, z_spec = calibrated(0.02, n=1000)
    z_spec[:3] = -1
    assert distribution_metrics(pdf, z_spec)["pit_outlier_rate"] == pytest.approx(0.003)


@pytest.fixture
def qp():
    return pytest.importorskip("qp")


def _ensemble(qp, pdf):
    return qp.Ensemble(qp.interp, data={"xvals": pdf.grid, "yvals": pdf.density})


@pytest.mark.filterwarnings("ignore")
def test_qp_itself_gives_these_numbers(qp):
    from qp.metrics.concrete_metric_classes import BrierMetric, CDELossMetric
    from qp.metrics.pit import PIT

    pdf, z_spec = calibrated(0.011, n=500)
    ensemble, ours = _ensemble(qp, pdf), desc_metrics(pdf, z_spec, point_grid=np.linspace(0, 3, 301))
    pit = PIT(ensemble, z_spec)
    assert ours["pit_ks"] == pytest.approx(pit.evaluate_PIT_KS().statistic, rel=1e-10)
    assert ours["pit_cvm"] == pytest.approx(pit.evaluate_PIT_CvM().statistic, rel=1e-10)
    assert ours["pit_ad"] == pytest.approx(pit.evaluate_PIT_anderson_ksamp().statistic, rel=1e-10)
    assert ours["cde_loss"] == pytest.approx(CDELossMetric().evaluate(ensemble, z_spec), rel=1e-10)
    assert ours["brier"] == pytest.approx(BrierMetric().evaluate(ensemble, z_spec), rel=1e-10)
    mode = ensemble.mode(np.linspace(0, 3, 301))[:, 0]
    assert ours["point_sigma_mad"] == pytest.approx(point_metrics(mode, z_spec)["sigma_mad"])


@pytest.mark.filterwarnings("ignore")
def test_qp_itself_takes_nan_for_an_outlier(qp):
    from qp.metrics.pit import PIT

    pdf, z_spec = calibrated(0.02, n=1000)
    density = pdf.density.copy()
    density[:50] = np.nan
    pit = PIT(qp.Ensemble(qp.interp, data={"xvals": pdf.grid, "yvals": density}), z_spec)
    assert np.all(pit.pit_samps[:50] == 0) and np.all(np.isfinite(pit.pit_samps))
    assert pit.evaluate_PIT_outlier_rate() == pytest.approx(0.05, abs=0.003)
