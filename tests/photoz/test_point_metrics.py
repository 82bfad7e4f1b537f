import time

import numpy as np
import pytest
from scipy import stats

from astro_galtrans.photoz import Metrics, paired_bootstrap, point_metrics


@pytest.fixture
def normal_errors():
    rng = np.random.default_rng(1)
    z_spec = rng.uniform(0.05, 0.5, 4000)
    return z_spec + (0.01 + 0.02 * rng.normal(size=4000)) * (1 + z_spec), z_spec


def test_each_definition_by_hand():
    dz = np.array([-0.2, -0.04, 0.0, 0.01, 0.07, 0.3])
    z_spec = np.linspace(0.1, 0.6, 6)
    metrics = point_metrics(z_spec + dz * (1 + z_spec), z_spec)
    iqr = (np.percentile(dz, 75) - np.percentile(dz, 25)) / 1.349
    mad = 1.4826 * np.median(np.abs(dz - np.median(dz)))
    expected = {"bias_mean": dz.mean(), "bias_median": np.median(dz), "nmad": mad, "sigma_mad": mad, "sigma_iqr": iqr,
                "rms": np.sqrt(np.mean(dz**2)), "outlier_005": 3 / 6, "outlier_015": 2 / 6,
                "outlier_desc": np.mean(np.abs(dz) > max(0.06, 3 * iqr)), "n": 6, "n_masked": 0}
    assert dict(metrics) == pytest.approx(expected)
    assert metrics.intervals == {}


def test_normal_errors_have_their_width(normal_errors):
    metrics = point_metrics(*normal_errors)
    assert metrics["nmad"] == pytest.approx(0.02, rel=0.05)
    assert metrics["sigma_iqr"] == pytest.approx(0.02, rel=0.05)
    assert metrics["bias_mean"] == pytest.approx(0.01, abs=1e-3)
    assert metrics["outlier_005"] == pytest.approx(stats.norm.sf(2) + stats.norm.sf(3), abs=5e-3)


def test_outliers_do_not_move_robust_metrics(normal_errors):
    z_phot, z_spec = normal_errors
    spoiled = z_phot.copy()
    spoiled[:40] += 3
    clean, dirty = point_metrics(z_phot, z_spec), point_metrics(spoiled, z_spec)
    assert dirty["nmad"] == pytest.approx(clean["nmad"], rel=0.03)
    assert dirty["rms"] > 5 * clean["rms"]
    assert dirty["outlier_015"] == pytest.approx(0.01)


def test_equal_weights_change_nothing_and_zero_leaves_out(normal_errors):
    z_phot, z_spec = (values[:500] for values in normal_errors)
    plain = point_metrics(z_phot, z_spec)
    assert dict(point_metrics(z_phot, z_spec, weights=np.full(500, 2.5))) == pytest.approx(dict(plain))
    weights = (np.arange(500) < 300).astype(float)
    weighted = dict(point_metrics(z_phot, z_spec, weights=weights))
    cut = dict(point_metrics(z_phot[:300], z_spec[:300]))
    assert weighted.pop("n_masked") == 200 and cut.pop("n_masked") == 0
    assert weighted == pytest.approx(cut)


def test_weights_pull_the_median():
    dz = np.linspace(0, 1, 2001)
    metrics = point_metrics(dz, np.zeros(2001), weights=np.where(dz > 0.5, 3.0, 1.0))
    assert metrics["bias_median"] == pytest.approx(2 / 3, abs=1e-3)
    assert metrics["bias_mean"] == pytest.approx((0.25 + 3 * 0.75) / 4, abs=1e-3)
    assert metrics["outlier_015"] == pytest.approx(1 - 0.15 / 2, abs=1e-3)


def test_bootstrap_interval_covers_the_truth():
    rng = np.random.default_rng(4)
    hits = []
    for trial in range(60):
        dz = 0.02 * rng.normal(size=200)
        low, high = point_metrics(dz, np.zeros(200), n_bootstrap=200, seed=trial).intervals["bias_mean"]
        hits.append(low < 0 < high)
    assert 0.5 < np.mean(hits) < 0.85


def test_bootstrap_is_seeded_and_leaves_the_global_state(normal_errors):
    state = np.random.get_state()[1].copy()
    first, second, other = (point_metrics(*normal_errors, n_bootstrap=50, seed=seed) for seed in (7, 7, 8))
    assert first.intervals == second.intervals != other.intervals
    assert np.array_equal(state, np.random.get_state()[1])
    assert first.confidence == 0.68 and first.n_bootstrap == 50 and isinstance(first, Metrics)
    wide = point_metrics(*normal_errors, n_bootstrap=50, seed=7, confidence=0.95).intervals["nmad"]
    assert wide[0] < first.intervals["nmad"][0] < first["nmad"] < first.intervals["nmad"][1] < wide[1]


def test_bootstrap_is_fast(normal_errors):
    z_phot, z_spec = (values[:2000] for values in normal_errors)
    start = time.process_time()
    point_metrics(z_phot, z_spec, n_bootstrap=1000)
    assert time.process_time() - start < 3


def test_many_galaxies_go_in_blocks(normal_errors, monkeypatch):
    import astro_galtrans._utils.statistics as module

    whole = point_metrics(*normal_errors, n_bootstrap=20, seed=1).intervals
    monkeypatch.setattr(module, "_BLOCK", 4000 * 3)
    assert point_metrics(*normal_errors, n_bootstrap=20, seed=1).intervals == whole


def test_not_finite_is_refused_or_counted():
    z_phot, z_spec = np.array([0.1, np.nan, 0.3]), np.array([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="z_phot has 1"):
        point_metrics(z_phot, z_spec)
    metrics = point_metrics(z_phot, z_spec, on_invalid="mask")
    assert metrics["n"] == 2 and metrics["n_masked"] == 1 and metrics["nmad"] == 0
    with pytest.raises(ValueError, match="no galaxy"):
        point_metrics([np.nan], [0.1], on_invalid="mask")
    with pytest.raises(ValueError, match="above -1"):
        point_metrics([0.1], [-1.0])


@pytest.mark.parametrize("keywords", [{"n_bootstrap": -1}, {"confidence": 1.0}, {"on_invalid": "drop"},
                                      {"weights": [1.0, -1.0]}, {"weights": [1.0]}])
def test_bad_keywords(keywords):
    with pytest.raises(ValueError, match=next(iter(keywords)).replace("weights", "weights|shapes")):
        point_metrics([0.1, 0.2], [0.1, 0.2], **keywords)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one length"):
        point_metrics([0.1, 0.2], [0.1])


def test_paired_comparison_by_hand():
    rng = np.random.default_rng(2)
    z_spec, error = np.full(3000, 0.3), rng.normal(size=3000)
    estimates = [z_spec + width * 1.3 * error for width in (0.02, 0.03, 0.01)]
    result = paired_bootstrap(*estimates[:2], z_spec, z_phot_real=estimates[2], n_bootstrap=100)
    assert result["reduction"] == pytest.approx(1 / 3)
    assert result["preservation_gain"] == pytest.approx(0.5)
    assert result["difference"] == pytest.approx(result["b"] - result["a"])
    # The same error in each estimate: over the same resampled galaxies the ratio does not scatter at all.
    assert np.ptp(result.intervals["reduction"]) == pytest.approx(0, abs=1e-12)
    assert np.ptp(result.intervals["a"]) > 1e-4
    assert result["undefined_fraction"] == 0


def test_paired_interval_is_narrower_than_unpaired():
    rng = np.random.default_rng(2)
    z_spec = np.zeros(1000)
    shared, own = 0.02 * rng.normal(size=1000), 0.005 * rng.normal(size=(2, 1000))
    result = paired_bootstrap(shared + own[0], shared + own[1], z_spec, n_bootstrap=300)
    unpaired = np.hypot(*(np.ptp(result.intervals[name]) for name in ("a", "b")))
    assert np.ptp(result.intervals["difference"]) < 0.8 * unpaired


def test_no_gain_where_nothing_was_lost():
    dz = 0.01 * np.random.default_rng(0).normal(size=300)
    result = paired_bootstrap(dz, dz, np.zeros(300), z_phot_real=2 * dz, n_bootstrap=20)
    assert np.isnan(result["preservation_gain"]) and result["undefined_fraction"] == 1
    assert np.isnan(result.intervals["preservation_gain"][0])


def test_paired_other_statistic_and_unknown():
    dz = 0.1 * np.random.default_rng(0).normal(size=300)
    result = paired_bootstrap(0.5 * dz, dz, np.zeros(300), statistic="outlier_015", n_bootstrap=0)
    assert result["b"] == np.mean(np.abs(dz) > 0.15) and result.intervals == {}
    with pytest.raises(ValueError, match="statistic must be one of"):
        paired_bootstrap(dz, dz, np.zeros(300), statistic="mad")


def test_galaxies_unusable_in_one_estimate_leave_all():
    a, b = np.array([0.1, np.nan, 0.3, 0.5]), np.array([0.1, 0.2, np.nan, 0.4])
    assert paired_bootstrap(a, b, np.full(4, 0.2), on_invalid="mask", n_bootstrap=5)["n"] == 2
