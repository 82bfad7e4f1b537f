import warnings

import numpy as np
import pytest
import torch
from astropy.table import Table
from scipy import stats

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import RedshiftPDF

UNEVEN = np.concatenate([np.linspace(0, 0.3, 200), np.linspace(0.301, 1.2, 300)])


def gaussians(grid, centers, width):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GaltransWarning)
        return RedshiftPDF(grid, stats.norm.pdf(grid, np.asarray(centers)[:, None], width))


@pytest.fixture
def random_pdf():
    density = np.random.default_rng(3).random((20, UNEVEN.size))
    density[:, 50:70] = 0
    with pytest.warns(GaltransWarning, match="20 of 20 .* normalized"):
        return RedshiftPDF(UNEVEN, density)


@pytest.mark.parametrize("grid", [np.linspace(0, 1.2, 600), UNEVEN], ids=["even", "uneven"])
def test_gaussian_point_estimates(grid):
    centers = np.array([0.25, 0.4, 0.777])
    pdf = gaussians(grid, centers, 0.03)
    for name in ("mode", "mean", "median"):
        np.testing.assert_allclose(getattr(pdf, name)(), centers, atol=2e-4, err_msg=name)
    np.testing.assert_allclose(pdf.quantile([0.16, 0.975]) - centers[:, None],
                               [stats.norm.ppf([0.16, 0.975]) * 0.03] * 3, atol=2e-4)


def test_refined_mode_beats_the_grid():
    centers = np.linspace(0.4, 0.41, 7)
    pdf = gaussians(np.linspace(0, 1, 101), centers, 0.03)
    assert np.abs(pdf.mode() - centers).max() < 2e-4
    assert np.abs(pdf.mode(refine=False) - centers).max() > 3e-3
    edge = RedshiftPDF([0.0, 1.0, 2.0], [[1.0, 0.0, 1.0]])
    assert edge.mode() == [0.0]


def test_every_row_integrates_to_one_and_is_kept_when_it_does(random_pdf):
    np.testing.assert_allclose(np.trapezoid(random_pdf.density, UNEVEN, axis=1), 1, rtol=1e-12)
    again = RedshiftPDF(random_pdf.grid, random_pdf.density)
    assert np.array_equal(again.density, random_pdf.density)


def test_input_is_copied():
    grid, density = np.linspace(0, 1, 5), np.ones((1, 5))
    pdf = RedshiftPDF(grid, density)
    density[:] = 7
    assert pdf.density[0, 0] == 1


def test_quantile_inverts_cdf(random_pdf):
    probabilities = np.linspace(0.01, 0.99, 30)
    redshifts = random_pdf.quantile(probabilities)
    for row in range(len(random_pdf)):
        np.testing.assert_allclose(random_pdf.pit(np.full(20, redshifts[row, 7]))[row], probabilities[7], atol=1e-12)
        np.testing.assert_allclose(random_pdf.select([row]).cdf(redshifts[row])[0], probabilities, atol=1e-12)


def test_cdf_is_the_integral_of_pdf(random_pdf):
    fine = np.union1d(np.linspace(0, 1.2, 20001), UNEVEN)
    np.testing.assert_allclose(np.trapezoid(random_pdf.pdf(fine), fine, axis=1), random_pdf.cdf(1.2), rtol=1e-10)
    inside = fine <= 0.51234
    np.testing.assert_allclose(np.trapezoid(random_pdf.pdf(fine[inside]), fine[inside], axis=1),
                               random_pdf.cdf(fine[inside][-1]), rtol=1e-10)


def test_quantile_ends_are_the_support():
    grid = np.linspace(0, 1, 11)
    density = np.zeros((1, 11))
    density[0, 4:7] = [0, 10, 0]
    low, high = RedshiftPDF(grid, density).quantile([0, 1])[0]
    assert low <= 0.4 + 1e-12 and high == pytest.approx(0.6)


def test_outside_the_grid():
    pdf = RedshiftPDF([0.1, 0.2, 0.3], [[5.0, 5.0, 5.0]])
    assert pdf.cdf(0.0) == 0 and pdf.cdf(0.4) == pytest.approx(1, abs=1e-15)
    assert pdf.pdf(0.05) == 0 and pdf.pdf(0.35) == 0 and pdf.pdf(0.3) == pytest.approx(5)


def test_samples_follow_the_density():
    pdf = gaussians(np.linspace(0, 1, 501), [0.5, 0.3], 0.05)
    draws = pdf.sample(4000, seed=5)
    assert draws.shape == (2, 4000)
    assert stats.kstest(draws[0], stats.norm(0.5, 0.05).cdf).pvalue > 0.01
    assert np.array_equal(draws, pdf.sample(4000, seed=5))
    assert not np.array_equal(draws, pdf.sample(4000, seed=6))


def test_pit_of_own_samples_is_uniform():
    rng = np.random.default_rng(0)
    pdf = gaussians(np.linspace(0, 1, 301), rng.uniform(0.3, 0.6, 2000), 0.04)
    assert stats.kstest(pdf.pit(pdf.sample(1, seed=1)[:, 0]), "uniform").pvalue > 0.01


@pytest.mark.parametrize("value", [np.nan, -1e-3, np.inf], ids=["nan", "negative", "inf"])
def test_invalid_rows(value):
    density = np.ones((4, 11))
    density[2, 3] = value
    with pytest.raises(ValueError, match=r"1 of 4 .*\[2\]"):
        RedshiftPDF(np.linspace(0, 1, 11), density)
    with pytest.warns(GaltransWarning, match="1 of 4 .* masked"):
        pdf = RedshiftPDF(np.linspace(0, 1, 11), density, on_invalid="mask")
    assert pdf.n_masked == 1 and len(pdf) == 4 and pdf.valid.tolist() == [True, True, False, True]
    results = [pdf.mode(), pdf.mean(), pdf.median(), pdf.cdf(0.3), pdf.pdf(0.3), pdf.pit(np.full(4, 0.5)),
               pdf.density_at(np.full(4, 0.5)), pdf.sample(1, seed=0)[:, 0]]
    for result in results:
        assert np.isnan(result[2]) and np.all(np.isfinite(result[[0, 1, 3]]))


def test_zero_row_is_invalid():
    with pytest.raises(ValueError, match="^density "):
        RedshiftPDF([0.0, 1.0], [[0.0, 0.0]])


@pytest.mark.parametrize("grid, density, name", [
    ([0.0, 0.0, 1.0], np.ones((1, 3)), "grid"), ([0.0, np.nan, 1.0], np.ones((1, 3)), "grid"),
    ([0.5], np.ones((1, 1)), "grid"), ([0.0, 1.0], np.ones((1, 3)), "density"), ([0.0, 1.0], np.ones(2), "density"),
])
def test_bad_shapes(grid, density, name):
    with pytest.raises(ValueError, match=f"^{name} "):
        RedshiftPDF(grid, density)


def test_bad_arguments():
    pdf = RedshiftPDF([0.0, 1.0], [[1.0, 1.0]])
    with pytest.raises(ValueError, match="^q "):
        pdf.quantile(1.2)
    with pytest.raises(ValueError, match="^z_spec "):
        pdf.pit([0.1, 0.2])
    with pytest.raises(ValueError, match="^z_spec "):
        pdf.pit([np.nan])
    with pytest.raises(ValueError, match="^n "):
        pdf.sample(0, seed=1)
    with pytest.raises(ValueError, match="on_invalid"):
        RedshiftPDF([0.0, 1.0], [[1.0, 1.0]], on_invalid="ignore")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_stay_tensors_and_agree_with_numpy(random_pdf, dtype):
    pdf = RedshiftPDF(torch.tensor(UNEVEN), torch.tensor(random_pdf.density, dtype=dtype))
    tolerance = 1e-12 if dtype == torch.float64 else 2e-4
    for name, arguments in (("mode", ()), ("mean", ()), ("median", ()), ("quantile", ([0.1, 0.9],)), ("cdf", (0.4,)),
                            ("pit", (np.linspace(0.1, 1, 20),)), ("sample", (3, 1))):
        result = getattr(pdf, name)(*arguments)
        assert isinstance(result, torch.Tensor) and result.dtype == dtype
        np.testing.assert_allclose(result.numpy(), getattr(random_pdf, name)(*arguments), atol=tolerance, err_msg=name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_results_stay_on_the_accelerator():
    pdf = RedshiftPDF(np.linspace(0, 1, 11), torch.ones((2, 11), device="cuda"))
    assert pdf.median().device.type == "cuda" and pdf.sample(2, seed=0).device.type == "cuda"


def test_select(random_pdf):
    assert np.array_equal(random_pdf.select([3, 1]).density, random_pdf.density[[3, 1]])
    assert len(random_pdf.select(slice(0, 5))) == 5
    assert np.array_equal(random_pdf.select(np.arange(20) > 16).median(), random_pdf.median()[17:])


def test_table_round_trip_through_ecsv(tmp_path):
    density = np.ones((3, 5))
    density[1] = np.nan
    pdf = RedshiftPDF(np.linspace(0, 1, 5), density, on_invalid="mask")
    table = pdf.to_table(ids=["a", "b", "c"])
    assert table.colnames == ["id", "z_mode", "z_mean", "z_median", "density"]
    table.write(tmp_path / "pdf.ecsv")
    again = RedshiftPDF.from_table(Table.read(tmp_path / "pdf.ecsv"))
    assert np.array_equal(again.density, pdf.density, equal_nan=True) and again.n_masked == 1
    with pytest.raises(ValueError, match="redshift_grid"):
        RedshiftPDF.from_table(Table({"density": [1.0]}))
