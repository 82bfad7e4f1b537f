"""Densities that are constant in bins, and what both kinds share: moments, entropy, scores of each galaxy."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import RedshiftPDF, distribution_metrics

EDGES = np.array([0.0, 0.1, 0.15, 0.4, 0.9, 1.0])


def random_pdf(interpolation, n=7, seed=4):
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GaltransWarning)
        return RedshiftPDF(EDGES, rng.random((n, 6 if interpolation == "linear" else 5)), interpolation=interpolation)


@pytest.fixture(params=["linear", "constant"])
def pdf(request):
    return random_pdf(request.param)


def fine_grid(n=400001):
    """Points so dense, and placed so, that sums in the middle of their cells are integrals to 1e-9."""
    return np.linspace(0, 1, n)


def middle(pdf):
    points = fine_grid()
    center = 0.5 * (points[1:] + points[:-1])
    return center, np.diff(points), pdf.pdf(center)


def test_moments_and_entropy_are_integrals(pdf):
    center, width, density = middle(pdf)
    mean = (center * density * width).sum(axis=1)
    np.testing.assert_allclose(pdf.mean(), mean, rtol=1e-8)
    np.testing.assert_allclose(pdf.std() ** 2, ((center - mean[:, None]) ** 2 * density * width).sum(axis=1), rtol=1e-8)
    np.testing.assert_allclose(pdf.entropy(), -(density * np.log(density) * width).sum(axis=1), rtol=1e-7, atol=1e-9)


def test_cumulative_quantiles_and_scores_are_integrals(pdf):
    center, width, density = middle(pdf)
    z_spec = np.linspace(0.03, 0.97, len(pdf))
    below = ((center < z_spec[:, None]) * density * width).sum(axis=1)
    np.testing.assert_allclose(pdf.pit(z_spec), below, atol=1e-5)
    cumulative = pdf.cdf(center)
    crps = (((cumulative - (center >= z_spec[:, None])) ** 2) * width).sum(axis=1)
    np.testing.assert_allclose(pdf.crps(z_spec), crps, atol=3e-6)
    level = ((density >= pdf.density_at(z_spec)[:, None]) * density * width).sum(axis=1)
    np.testing.assert_allclose(pdf.credible_level(z_spec), level, atol=2e-5)
    for probability in (0.01, 0.5, 0.93):
        redshift = pdf.quantile(probability)
        np.testing.assert_allclose(pdf.pit(redshift), probability, atol=1e-12)
    metrics = distribution_metrics(pdf, z_spec)
    assert metrics["cde_loss"] == pytest.approx(
        ((density**2 * width).sum(axis=1) - 2 * pdf.density_at(z_spec)).mean(), rel=1e-7)
    assert metrics["crps"] == pytest.approx(crps.mean(), abs=3e-6)


def test_crps_outside_of_the_grid_and_at_its_points(pdf):
    n = len(pdf)
    inside = pdf.crps(np.zeros(n))
    np.testing.assert_allclose(pdf.crps(np.full(n, -0.25)), inside + 0.25)
    for point in EDGES:
        near = [pdf.crps(np.full(n, point + offset)) for offset in (-1e-9, 0, 1e-9)]
        np.testing.assert_allclose(near[0], near[1], atol=1e-8)
        np.testing.assert_allclose(near[2], near[1], atol=1e-8)


@pytest.mark.parametrize("width", [0.02, 0.05])
def test_gaussian_closed_forms(width):
    grid = np.linspace(0, 1, 2001)
    pdf = RedshiftPDF.from_gaussian_mixture(grid, [[1.0]], [[0.5]], [[width]])
    assert pdf.std()[0] == pytest.approx(width, rel=1e-4)
    assert pdf.entropy()[0] == pytest.approx(np.log(width * np.sqrt(2 * np.pi * np.e)), abs=1e-4)
    z = 0.5 + 1.3 * width
    assert pdf.credible_level([z])[0] == pytest.approx(2 * stats.norm.cdf(1.3) - 1, abs=1e-4)
    crps = width * (1.3 * (2 * stats.norm.cdf(1.3) - 1) + 2 * stats.norm.pdf(1.3) - 1 / np.sqrt(np.pi))
    assert pdf.crps([z])[0] == pytest.approx(crps, rel=1e-4)


def test_uniform_closed_forms():
    pdf = RedshiftPDF.from_histogram([0.2, 0.3, 0.7], [[1, 4]])
    assert pdf.interpolation == "constant"
    assert pdf.mean()[0] == pytest.approx(0.45) and pdf.median()[0] == pytest.approx(0.45)
    assert pdf.std()[0] == pytest.approx(0.5 / np.sqrt(12))
    assert pdf.entropy()[0] == pytest.approx(np.log(0.5))
    assert pdf.crps([0.45])[0] == pytest.approx(0.5 / 12)
    assert pdf.credible_level([0.25])[0] == pytest.approx(1)
    assert distribution_metrics(pdf, [0.3], ["cde_loss"])["cde_loss"] == pytest.approx(-2)


def test_entropy_of_a_nearly_flat_and_of_a_partly_zero_density():
    slope = 1e-9
    nearly = RedshiftPDF([0.0, 1.0], [[1 - slope, 1 + slope]])
    assert nearly.entropy()[0] == pytest.approx(0, abs=1e-12)
    triangle = RedshiftPDF([0.0, 1.0, 2.0, 3.0], [[0.0, 1.0, 0.0, 0.0]])
    assert triangle.entropy()[0] == pytest.approx(0.5)


def test_mode_of_bins_is_refined_between_their_centers():
    edges = np.linspace(0, 1, 41)
    pdf = RedshiftPDF.from_gaussian_mixture(edges, [[1.0]], [[0.508]], [[0.06]], interpolation="constant")
    assert pdf.mode()[0] == pytest.approx(0.508, abs=1e-3)
    assert pdf.mode(refine=False)[0] == pytest.approx(0.5125)


def test_float32_and_tensors_agree(pdf):
    tensors = RedshiftPDF(torch.tensor(EDGES), torch.tensor(pdf.density, dtype=torch.float32),
                          interpolation=pdf.interpolation)
    z_spec = np.linspace(0.03, 0.97, len(pdf))
    for name, arguments in (("mean", ()), ("std", ()), ("entropy", ()), ("quantile", ([0.2, 0.9],)), ("pit", (z_spec,)),
                            ("crps", (z_spec,)), ("credible_level", (z_spec,)), ("sample", (4, 1))):
        result = getattr(tensors, name)(*arguments)
        assert result.dtype == torch.float32
        np.testing.assert_allclose(result.numpy(), getattr(pdf, name)(*arguments), atol=2e-5, err_msg=name)
    ours, theirs = (dict(distribution_metrics(each, z_spec)) for each in (tensors, pdf))
    assert (ours.pop("n_normalised"), theirs.pop("n_normalised")) == (0, 7)
    assert ours == pytest.approx(theirs, abs=2e-5)


def test_blocks_of_galaxies_do_not_show(monkeypatch, pdf):
    z_spec = np.linspace(0.03, 0.97, len(pdf))

    def results():
        return [pdf.quantile([0.1, 0.9]), pdf.pit(z_spec), pdf.crps(z_spec), pdf.mean(), pdf.stack().density,
                list(distribution_metrics(pdf, z_spec).values())]

    whole = results()
    monkeypatch.setattr("astro_galtrans.photoz._piecewise._BLOCK", {"cpu": 10})
    for ours, theirs in zip(results(), whole):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_counts():
    density = np.ones((4, 3))
    density[1] *= 3
    density[2, 1] = -1
    with pytest.warns(GaltransWarning) as record:
        pdf = RedshiftPDF([0.0, 0.5, 1.0], density, on_invalid="mask")
    assert sorted(str(each.message)[:8] for each in record) == ["1 of 4 r", "1 of 4 r"]
    assert pdf.counts == {"n": 4, "n_masked": 1, "n_normalised": 1}
    assert pdf.select([0, 1]).counts == {"n": 2, "n_masked": 0, "n_normalised": 1}
    with pytest.warns(GaltransWarning, match="1 of 4 masked"):
        metrics = distribution_metrics(pdf, [0.2, 0.4, 0.6, 0.8], ["crps"])
    assert metrics["n"] == 3 and metrics["n_masked"] == 1 and metrics["n_normalised"] == 1


def test_bad_interpolation():
    with pytest.raises(ValueError, match="^interpolation "):
        RedshiftPDF(EDGES, np.ones((1, 6)), interpolation="cubic")
    with pytest.raises(ValueError, match="^density "):
        RedshiftPDF(EDGES, np.ones((1, 6)), interpolation="constant")
    assert "5 bins" in repr(random_pdf("constant"))
