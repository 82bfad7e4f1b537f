"""Densities on other grids, stacked, and combined."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import RedshiftPDF, combine

GRID = np.linspace(0, 1, 201)


def gaussians(centers, widths, grid=GRID, **keywords):
    centers = np.atleast_1d(np.asarray(centers, dtype=float))
    widths = np.broadcast_to(widths, centers.shape)
    return RedshiftPDF.from_gaussian_mixture(
        grid, np.ones((len(centers), 1)), centers[:, None], widths[:, None], **keywords)


def random_pdf(interpolation="linear", n=5):
    grid = np.sort(np.random.default_rng(8).uniform(0, 1, 14))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GaltransWarning)
        return RedshiftPDF(grid, np.random.default_rng(9).random((n, 14 - (interpolation == "constant"))),
                           interpolation=interpolation)


@pytest.mark.parametrize("interpolation", ["linear", "constant"])
def test_rebin_keeps_the_probability_of_each_bin(interpolation):
    pdf = random_pdf(interpolation)
    edges = np.array([0.0, 0.2, 0.21, 0.5, 0.77, 1.0])
    bins = pdf.rebin(edges)
    assert bins.interpolation == "constant"
    np.testing.assert_allclose(bins.density * np.diff(edges), np.diff(pdf.cdf(edges), axis=1), atol=1e-14)
    np.testing.assert_allclose(bins.cdf(edges), pdf.cdf(edges), atol=1e-14)


@pytest.mark.parametrize("interpolation", ["linear", "constant"])
@pytest.mark.parametrize("n_points", [7, 40, 400])
def test_regrid_keeps_probability_and_is_not_negative(interpolation, n_points):
    pdf = random_pdf(interpolation)
    other = pdf.regrid(np.linspace(0, 1, n_points))
    assert other.interpolation == "linear" and other.density.min() >= 0
    np.testing.assert_allclose(np.trapezoid(other.density, other.grid, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(other.mean(), pdf.mean(), atol=0.15 / n_points)
    # The probability up to any redshift moves by no more than what is in a cell.
    fine = np.linspace(0, 1, 1001)
    assert np.abs(other.cdf(fine) - pdf.cdf(fine)).max() < 3 / n_points


def test_regrid_leaves_lines_of_the_new_grid_alone():
    pdf = random_pdf()
    np.testing.assert_allclose(pdf.regrid(pdf.grid).density, pdf.density, atol=1e-10)
    finer = np.union1d(pdf.grid, np.linspace(pdf.grid[0], pdf.grid[-1], 50))
    np.testing.assert_allclose(pdf.regrid(finer).density, pdf.pdf(finer), atol=1e-9)


def test_regrid_of_smooth_densities_keeps_mean_and_width():
    pdf = gaussians([0.41, 0.5, 0.553], 0.05)
    coarse = pdf.regrid(np.linspace(0, 1, 31))
    np.testing.assert_allclose(coarse.mean(), pdf.mean(), atol=1e-6)
    np.testing.assert_allclose(coarse.std(), pdf.std(), rtol=0.02)
    taken = RedshiftPDF(coarse.grid, pdf.pdf(coarse.grid), tolerance=1)
    assert np.abs(coarse.density - gaussians([0.41, 0.5, 0.553], 0.05, coarse.grid).density).max() < 0.4
    assert np.abs(taken.std() / pdf.std() - 1).max() > 0.02


def test_a_peak_between_the_new_points_is_not_lost():
    pdf = gaussians(0.5125, 0.002, np.linspace(0, 1, 4001))
    coarse = pdf.regrid(np.linspace(0, 1, 41))
    assert coarse.mean()[0] == pytest.approx(0.5125, abs=1e-6)
    assert np.trapezoid(coarse.density, coarse.grid)[0] == pytest.approx(1)


def test_what_lies_outside_is_refused_or_counted():
    pdf = gaussians([0.3, 0.7], 0.05)
    for method in (pdf.rebin, pdf.regrid):
        with pytest.raises(ValueError, match="1 of 2 have more than 0.1 %"):
            method(np.linspace(0, 0.6, 13))
        with pytest.warns(GaltransWarning, match="1 of 2 .* lose probability"):
            rest = method(np.linspace(0, 0.6, 13), outside="drop")
        assert rest.median()[0] == pytest.approx(0.3, abs=2e-3) and 0.5 < rest.median()[1] < 0.6
        with pytest.warns(GaltransWarning, match="no probability on the new grid|lose probability"):
            nothing = method([2.0, 2.1, 2.2], outside="drop")
        assert nothing.n_masked == 2
    with pytest.raises(ValueError, match="^outside "):
        pdf.rebin([0, 1], outside="ignore")
    with pytest.raises(ValueError, match="^edges "):
        pdf.rebin([1, 0])


def test_masked_rows_stay_masked():
    density = np.ones((3, 201))
    density[1] = np.nan
    pdf = RedshiftPDF(GRID, density, on_invalid="mask")
    for other in (pdf.rebin(GRID[::20]), pdf.regrid(GRID[::20])):
        assert other.valid.tolist() == [True, False, True]
        np.testing.assert_allclose(other.density[0], 1)


def test_stack_is_the_mean_and_counts():
    density = np.ones((4, 201))
    density[3] = np.nan
    density[1] = 2 * GRID
    pdf = RedshiftPDF(GRID, density, on_invalid="mask")
    with pytest.warns(GaltransWarning, match="1 of 4 masked"):
        stack = pdf.stack()
    np.testing.assert_allclose(stack.density[0], (2 + 2 * GRID) / 3)
    assert len(stack) == 1 and stack.counts == {"n": 4, "n_masked": 1, "n_normalised": 0}
    with pytest.warns(GaltransWarning):
        weighted = pdf.stack([0, 3, 0, 1])
    np.testing.assert_allclose(weighted.density[0], 2 * GRID, atol=1e-12)
    for weights in ([1, 1], [-1, 1, 1, 1], [np.nan, 1, 1, 1]):
        with pytest.raises(ValueError, match="^weights "):
            pdf.stack(weights)
    with pytest.raises(ValueError, match="no galaxy to stack"):
        pdf.stack([0, 0, 0, 1])


def test_stack_of_calibrated_densities_is_the_redshift_distribution():
    rng = np.random.default_rng(2)
    z_spec = rng.normal(0.5, 0.08, 3000)
    # With the prior of the sample in them, as Bayes' theorem says.
    measured = z_spec + 0.06 * rng.normal(size=3000)
    shrink = 0.08**2 / (0.08**2 + 0.06**2)
    stack = gaussians(0.5 + shrink * (measured - 0.5), 0.06 * np.sqrt(shrink)).stack()
    assert stack.mean()[0] == pytest.approx(0.5, abs=0.005)
    assert stack.std()[0] == pytest.approx(0.08, rel=0.03)


def test_combinations_of_gaussians():
    one, other = gaussians([0.45], 0.05), gaussians([0.55], 0.05)
    pool = combine([one, other])
    np.testing.assert_allclose(pool.density, 0.5 * (one.density + other.density))
    assert pool.std()[0] == pytest.approx(np.hypot(0.05, 0.05), rel=1e-3)
    geometric = combine([one, other], method="geometric")
    np.testing.assert_allclose(geometric.density, gaussians([0.5], 0.05).density, atol=1e-6)
    leaning = combine([one, other], [3, 1], method="geometric")
    assert leaning.mean()[0] == pytest.approx(0.475, abs=1e-5)
    harmonic = combine([one, other], method="harmonic")
    expected = 1 / (1 / stats.norm.pdf(GRID, 0.45, 0.05) + 1 / stats.norm.pdf(GRID, 0.55, 0.05))
    np.testing.assert_allclose(harmonic.density[0], expected / np.trapezoid(expected, GRID), rtol=1e-4, atol=1e-12)
    assert harmonic.std()[0] < geometric.std()[0] < pool.std()[0]


def test_equal_members_combine_to_themselves():
    pdf = random_pdf("constant")
    for method in ("arithmetic", "harmonic", "geometric"):
        np.testing.assert_allclose(combine([pdf] * 3, method=method).density, pdf.density, rtol=1e-10)
    for dtype in (torch.float32, torch.float64):
        tensors = RedshiftPDF(torch.tensor(GRID), torch.tensor(gaussians([0.3], 0.01).density, dtype=dtype))
        result = combine([tensors, tensors], method="geometric").density
        assert isinstance(result, torch.Tensor) and result.dtype == dtype
        np.testing.assert_allclose(result.numpy(), tensors.density.numpy(), rtol=2e-4, atol=1e-20)


def test_members_that_exclude_each_other_are_counted():
    low, high = RedshiftPDF([0, 1, 2, 3.0], [[1, 1, 0, 0]], tolerance=9), RedshiftPDF(
        [0, 1, 2, 3.0], [[0, 0, 1, 1]], tolerance=9)
    for method in ("harmonic", "geometric"):
        with pytest.warns(GaltransWarning, match="1 of 1 .* masked"):
            assert combine([low, high], method=method).n_masked == 1
        with pytest.raises(ValueError, match="^density "):
            combine([low, high], method=method, on_invalid="raise")
        # A member without weight does not count.
        np.testing.assert_allclose(combine([low, high], [1, 0], method=method).density, low.density)
    assert combine([low, high]).n_masked == 0


def test_masked_members():
    density = np.ones((2, 201))
    density[0] = np.nan
    masked, whole = RedshiftPDF(GRID, density, on_invalid="mask"), gaussians([0.4, 0.5], 0.05)
    assert combine([masked, whole]).valid.tolist() == [False, True]
    skipped = combine([masked, whole], on_masked="skip")
    assert skipped.n_masked == 0
    np.testing.assert_allclose(skipped.density[0], whole.density[0])
    np.testing.assert_allclose(skipped.density[1], 0.5 * (1 + whole.density[1]))


def test_what_does_not_combine():
    one = gaussians([0.4], 0.05)
    with pytest.raises(ValueError, match="^ensembles "):
        combine([one, one.regrid(np.linspace(0, 1, 101))])
    with pytest.raises(ValueError, match="^ensembles "):
        combine([one, gaussians([0.4, 0.5], 0.05)])
    with pytest.raises(TypeError, match="^ensembles "):
        combine([])
    with pytest.raises(TypeError, match="^ensembles "):
        combine([one, np.ones((1, 201))])
    with pytest.raises(ValueError, match="^weights "):
        combine([one, one], [1])
    with pytest.raises(ValueError, match="^method "):
        combine([one, one], method="median")
