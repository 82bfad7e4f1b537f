"""Calibration by PIT: uniform on galaxies held out, and nothing lost on the way."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import PITCalibration, RedshiftPDF, distribution_metrics
from astro_galtrans.photoz._pit_density import PITBasis
from astro_galtrans.storage import load, save

GRID = np.linspace(0, 1.2, 241)
N_FIT, N_TEST = 3000, 2000
FIT, TEST = slice(N_FIT), slice(N_FIT, None)
# Beyond this the Kolmogorov-Smirnov distance is one of 1000 that chance gives, of the fit and the test together.
KS_LIMIT = 1.95 * np.sqrt(1 / N_TEST + 1 / N_FIT)


def gaussians(center, width, grid=GRID):
    width = np.broadcast_to(width, center.shape)[:, None]
    return RedshiftPDF(grid, stats.norm.pdf(grid, center[:, None], width), tolerance=np.inf)


class Galaxies:
    """True redshifts, magnitudes, and estimates whose scatter grows with the magnitude."""

    def __init__(self, seed=1, n=N_FIT + N_TEST):
        rng = np.random.default_rng(seed)
        self.z_spec, self.magnitude = rng.uniform(0.3, 0.9, n), rng.uniform(18, 22, n)
        self.scatter = 0.01 + 0.01 * (self.magnitude - 18)
        self.center = self.z_spec + self.scatter * rng.normal(size=n)

    def ensemble(self, kind):
        return {
            "calibrated": lambda: gaussians(self.center, self.scatter),
            "narrow": lambda: gaussians(self.center, self.scatter / 2),
            "wide": lambda: gaussians(self.center, self.scatter * 2),
            "biased": lambda: gaussians(self.center + 0.7 * self.scatter, self.scatter),
            # Right on average, too wide where galaxies are bright and too narrow where they are faint.
            "blind": lambda: gaussians(self.center, 0.03),
        }[kind]()


@pytest.fixture(scope="module")
def galaxies():
    return Galaxies()


def ks(pdf, z_spec):
    return stats.kstest(pdf.pit(z_spec), "uniform").statistic


@pytest.mark.parametrize("kind, before, most", [("narrow", 0.15, 0.06), ("wide", 0.15, 0.02), ("biased", 0.2, 0.02)])
def test_global_calibration_makes_the_pit_uniform(galaxies, kind, before, most):
    pdf, ideal = galaxies.ensemble(kind), galaxies.ensemble("calibrated").select(TEST)
    z_spec = galaxies.z_spec[TEST]
    calibration = PITCalibration.fit(pdf.select(FIT), galaxies.z_spec[FIT])
    made = calibration(pdf.select(TEST))
    assert ks(pdf.select(TEST), z_spec) > before
    assert ks(made, z_spec) < KS_LIMIT
    scores = [distribution_metrics(each, z_spec, ["log_score"])["log_score"]
              for each in (pdf.select(TEST), made, ideal)]
    assert scores[1] - scores[2] < most
    assert scores[0] - scores[1] == pytest.approx(calibration.gain, abs=5 * calibration.gain_error)


def test_calibrated_densities_stay_as_they_are(galaxies):
    pdf = galaxies.ensemble("calibrated")
    made = PITCalibration.fit(pdf.select(FIT), galaxies.z_spec[FIT])(pdf.select(TEST))
    assert ks(made, galaxies.z_spec[TEST]) < KS_LIMIT
    assert np.abs(made.mean() - pdf.mean()[TEST]).max() < 0.01
    unchanged = PITCalibration.fit(pdf.select(FIT), galaxies.z_spec[FIT], strength=1e12)(pdf)
    assert_allclose(unchanged.density, pdf.density, rtol=1e-6, atol=1e-12)


def test_local_calibration_mends_what_depends_on_magnitude(galaxies):
    pdf, z_spec, magnitude = galaxies.ensemble("blind"), galaxies.z_spec, galaxies.magnitude
    everywhere = PITCalibration.fit(pdf.select(FIT), z_spec[FIT])
    local = PITCalibration.fit(pdf.select(FIT), z_spec[FIT], magnitude[FIT])
    made = {"global": everywhere(pdf.select(TEST)), "local": local(pdf.select(TEST), magnitude[TEST])}
    distances = {}
    for name, each in made.items():
        pit = each.pit(z_spec[TEST])
        assert stats.kstest(pit, "uniform").statistic < KS_LIMIT  # for all galaxies together both are uniform
        parts = [np.abs(magnitude[TEST] - middle) < 0.5 for middle in (18.5, 19.5, 20.5, 21.5)]
        distances[name] = [stats.kstest(pit[part], "uniform").statistic for part in parts]
    limit = 1.95 * np.sqrt(4 / N_TEST + 4 / N_FIT)
    assert min(distances["global"][0], distances["global"][-1]) > 1.2 * limit
    assert max(distances["local"]) < limit
    scores = [distribution_metrics(each, z_spec[TEST], ["log_score"])["log_score"] for each in made.values()]
    assert scores[1] < scores[0] - 0.08
    assert local.is_local and local.gain > everywhere.gain + 0.08


def test_features_that_tell_nothing_leave_the_calibration_global(galaxies):
    pdf = galaxies.ensemble("wide").select(slice(1000))
    noise = np.random.default_rng(5).normal(size=(1000, 2))
    with pytest.warns(GaltransWarning, match="calibration is global"):
        calibration = PITCalibration.fit(pdf, galaxies.z_spec[:1000], noise)
    assert not calibration.is_local
    assert_array_equal(calibration(pdf, noise).density, calibration(pdf).density)


@pytest.mark.parametrize("n", [10, 30, 100])
def test_few_galaxies_do_no_harm(n):
    galaxies = Galaxies(seed=3, n=n + 1000)
    for kind in ("calibrated", "narrow", "wide", "biased"):
        pdf = galaxies.ensemble(kind)
        made = PITCalibration.fit(pdf.select(slice(n)), galaxies.z_spec[:n])(pdf.select(slice(n, None)))
        scores = [distribution_metrics(each, galaxies.z_spec[n:], ["log_score"])["log_score"]
                  for each in (pdf.select(slice(n, None)), made)]
        assert scores[1] < scores[0] + 0.05


@pytest.mark.parametrize("step", [0.02, 0.01, 0.003])
def test_coarse_grids_get_the_cumulative_probability_they_should(step):
    galaxies = Galaxies(seed=4, n=3000)
    pdf = gaussians(galaxies.center, galaxies.scatter / 2, np.arange(0, 1.2, step))
    calibration = PITCalibration.fit(pdf, galaxies.z_spec)
    made = calibration(pdf)
    assert ks(made, galaxies.z_spec) < 0.03
    wanted = calibration.pit_cdf(pdf.cdf(pdf.grid).clip(0, 1).ravel()).reshape(pdf.density.shape)
    assert np.abs(made.cdf(pdf.grid) - wanted).mean() < 1e-3


def test_bins_get_the_probability_they_should(galaxies):
    pdf = galaxies.ensemble("narrow").rebin(np.linspace(0, 1.2, 601))
    calibration = PITCalibration.fit(pdf.select(FIT), galaxies.z_spec[FIT])
    made = calibration(pdf)
    assert made.interpolation == "constant"
    assert_allclose(made.cdf(0.66), calibration.pit_cdf(pdf.cdf(0.66).clip(0, 1)), atol=1e-8)
    assert ks(made.select(TEST), galaxies.z_spec[TEST]) < KS_LIMIT


def test_monotone_and_normalized(galaxies):
    pdf = galaxies.ensemble("biased")
    calibration = PITCalibration.fit(pdf.select(FIT), galaxies.z_spec[FIT], galaxies.magnitude[FIT], n_neighbors=200)
    at = np.linspace(0, 1, 1001)
    cumulative = calibration.pit_cdf(at, [18, 19, 20, 21, 22, 30])
    assert cumulative.shape == (6, 1001)
    assert np.all(np.diff(cumulative, axis=1) > 0)
    assert_allclose(cumulative[:, [0, -1]], [[0, 1]] * 6, atol=1e-12)
    assert_array_equal(cumulative[-1], calibration.pit_cdf(at, [30])[0])
    density = calibration.pit_density(at, [20.0])[0]
    assert_allclose(np.gradient(cumulative[2], at)[20:-20], density[20:-20], rtol=0.05)
    made = calibration(pdf, galaxies.magnitude)
    assert_allclose(np.trapezoid(made.density, GRID, axis=1), 1, rtol=1e-9)
    assert_array_equal(calibration.feature_range[:, 0],
                       [galaxies.magnitude[FIT].min(), galaxies.magnitude[FIT].max()])


def test_weights_stand_for_galaxies(galaxies):
    """A sample of which faint galaxies were left out, weighted back, calibrates as the fair one does."""
    pdf, rng = galaxies.ensemble("blind"), np.random.default_rng(6)
    kept = np.where(galaxies.magnitude > 20, rng.random(len(pdf)) < 0.25, True)
    weights = np.where(galaxies.magnitude > 20, 4.0, 1.0)
    fits = {
        "fair": PITCalibration.fit(pdf, galaxies.z_spec, strength=1),
        "unfair": PITCalibration.fit(pdf.select(kept), galaxies.z_spec[kept], strength=1),
        "weighted": PITCalibration.fit(pdf.select(kept), galaxies.z_spec[kept], weights=weights[kept], strength=1),
    }
    at = np.linspace(0, 1, 101)
    fair, unfair, weighted = (each.pit_cdf(at) for each in fits.values())
    assert np.abs(weighted - fair).max() < 0.5 * np.abs(unfair - fair).max()


def test_nothing_is_lost_in_silence(galaxies):
    n = 400
    density = galaxies.ensemble("wide").select(slice(n)).density.copy()
    density[3] = np.nan
    pdf = RedshiftPDF(GRID, density, on_invalid="mask")
    z_spec, magnitude = np.ma.array(galaxies.z_spec[:n].copy()), galaxies.magnitude[:n].copy()
    z_spec[5], z_spec[6], magnitude[7] = np.nan, np.ma.masked, np.nan
    z_spec[8] = 1.5
    calibration = PITCalibration.fit(pdf, z_spec, magnitude, n_neighbors=100)
    assert (calibration.n_galaxies, calibration.n_left_out, calibration.n_excluded) == (n - 3, 3, 1)
    with pytest.warns(GaltransWarning, match="1 of 400 galaxies have features that are not finite"):
        made = calibration(pdf, magnitude)
    assert_array_equal(made.valid, np.arange(n) != 3)
    everywhere = PITCalibration.fit(pdf, z_spec)(pdf)
    assert_allclose(made.density[7], everywhere.density[7])
    assert not np.allclose(made.density[9], everywhere.density[9])
    before = np.array(pdf.density)
    calibration.pit_density([0.5], {"r_mag": magnitude[:2]})
    assert_array_equal(pdf.density, before)


@pytest.mark.parametrize("features", ["none", "magnitude"])
def test_tensors_stay_tensors_and_files_keep_everything(tmp_path, galaxies, features):
    pdf, n = galaxies.ensemble("narrow").select(slice(500)), 500
    given = () if features == "none" else (galaxies.magnitude[:n],)
    options = {} if features == "none" else {"n_neighbors": 100}
    calibration = PITCalibration.fit(pdf, galaxies.z_spec[:n], *given, **options)
    save(tmp_path / "calibration.asdf", calibration)
    read = load(tmp_path / "calibration.asdf")
    assert repr(read) == repr(calibration)
    assert_array_equal(read(pdf, *given).density, calibration(pdf, *given).density)
    tensors = RedshiftPDF(torch.from_numpy(GRID), torch.from_numpy(pdf.density).float())
    made = read(tensors, *(torch.from_numpy(each) for each in given))
    assert isinstance(made.density, torch.Tensor) and made.density.dtype == torch.float32
    assert_allclose(made.density.numpy(), calibration(pdf, *given).density, atol=2e-3)
    again = PITCalibration.fit(pdf, torch.from_numpy(galaxies.z_spec[:n]), *given, **options)
    assert_array_equal(again(pdf, *given).density, calibration(pdf, *given).density)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(galaxies):
    pdf = galaxies.ensemble("narrow").select(slice(500))
    there = RedshiftPDF(torch.from_numpy(GRID).cuda(), torch.from_numpy(pdf.density).cuda())
    magnitude, z_spec = galaxies.magnitude[:500], galaxies.z_spec[:500]
    here = PITCalibration.fit(pdf, z_spec, magnitude, n_neighbors=100)(pdf, magnitude)
    made = PITCalibration.fit(there, z_spec, magnitude, n_neighbors=100)(there, magnitude)
    assert made.density.is_cuda
    assert_allclose(made.density.cpu().numpy(), here.density, rtol=1e-6, atol=1e-9)


def test_basis_is_normalized_and_finds_a_known_density():
    basis = PITBasis(torch.device("cpu"), torch.float64)
    assert_allclose(basis.density(basis.uniform, torch.linspace(0, 1, 97, dtype=torch.float64)[None])[0], 1)
    assert_allclose((basis.shapes * torch.diff(basis.edges)[:, None]).sum(0), 1)
    rng = np.random.default_rng(0)
    pit = torch.from_numpy(rng.beta(2, 1, (1, 200_000)))  # of density 2 u
    weights = basis.fit(basis.histogram(basis.bins_of(pit)), basis.uniform, 10.0, 200)
    assert float(weights.sum()) == pytest.approx(1)
    at = torch.linspace(0.05, 0.95, 11, dtype=torch.float64)[None]
    assert_allclose(basis.density(weights, at)[0], 2 * at[0], atol=0.1)
    assert_allclose(basis.cumulative(weights, at)[0], at[0] ** 2, atol=0.005)


@pytest.mark.parametrize("change, error", [
    ({"pdf": 3}, TypeError), ({"z_spec": np.ones(3)}, ValueError), ({"z_spec": np.full(100, np.nan)}, ValueError),
    ({"features": np.ones((3, 2))}, ValueError), ({"features": np.full(100, np.nan)}, ValueError),
    ({"features": np.ones(100), "n_neighbors": 100}, ValueError), ({"n_neighbors": 30}, ValueError),
    ({"features": np.ones(100), "n_neighbors": 2.5}, ValueError), ({"strength": -1}, ValueError),
    ({"weights": np.full(100, -1.0)}, ValueError),
])
def test_bad_input_of_the_fit(galaxies, change, error):
    arguments = {"pdf": galaxies.ensemble("wide").select(slice(100)), "z_spec": galaxies.z_spec[:100], **change}
    with pytest.raises(error, match=f"^{list(change)[-1]} "):
        PITCalibration.fit(**arguments)


def test_bad_input_of_the_calibration(galaxies):
    pdf, magnitude = galaxies.ensemble("wide").select(slice(100)), galaxies.magnitude[:100]
    calibration = PITCalibration.fit(pdf, galaxies.z_spec[:100], magnitude, n_neighbors=30)
    with pytest.raises(TypeError, match="^pdf "):
        calibration(pdf.density)
    with pytest.raises(ValueError, match="^features "):
        calibration(pdf)
    with pytest.raises(ValueError, match="^features "):
        calibration(pdf, np.ones((100, 2)))
    with pytest.raises(ValueError, match="^pit "):
        calibration.pit_density([1.5], magnitude)
    with pytest.raises(ValueError, match="^weights "):
        PITCalibration.from_tree({**calibration.to_tree(), "weights": np.ones(4)})
