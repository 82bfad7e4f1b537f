import sys

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from astro_galtrans.evaluation import Populations, PopulationsConfig, populations
from astro_galtrans.evaluation._mixture import fit_mixture, flattest_axes
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey
from astro_galtrans.training import TrainConfig, fit

pytest.importorskip("sklearn")

N, SIZE = 96, 16
OPTIONS = {"widths": [4, 8], "n_features": 4}


def galaxies(n=N, seed=5):
    """Compact red and extended blue round galaxies with noise, and which are which."""
    rng = np.random.default_rng(seed)
    red = np.arange(n) % 2 == 0
    width = np.where(red, 0.9, 2.2) * rng.lognormal(0, 0.1, n)
    color = np.where(red, 1.0, 0.25) + 0.05 * rng.normal(size=n)
    magnitude = rng.uniform(16.5, 18, n)
    images = {}
    for side, name, n_pixels in (("input", "SDSS", SIZE), ("target", "CFHTLS", 34)):
        survey = get_survey(name)
        y, x = (np.indices((n_pixels, n_pixels)) - (n_pixels - 1) / 2) * survey.pixel_scale.value
        profile = np.exp(-np.hypot(x, y) / width[:, None, None])
        profile /= profile.sum((1, 2), keepdims=True)
        band = magnitude[:, None] + color[:, None] * np.linspace(1, -1, 5)
        flux = 10 ** (0.4 * (survey.bands[0].zero_point - band))[..., None, None] * profile[:, None]
        noise = survey.sky_noise[:, None, None]
        images[f"{side}_flux"] = flux + noise * rng.normal(size=flux.shape)
        images[f"{side}_weight"] = np.broadcast_to(noise**-2.0, flux.shape).copy()
    pairs = PairSet.from_arrays(**images, input_survey="SDSS", target_survey="CFHTLS", ids=[f"g{k}" for k in range(n)])
    return pairs, red


@pytest.fixture(scope="module")
def sample():
    return galaxies()


@pytest.fixture(scope="module")
def translator(sample):
    config = TrainConfig(objective="gradient", epochs=6, batch_size=16, backbone_options=OPTIONS)
    return fit(sample[0], config).translator


@pytest.fixture(scope="module")
def found(translator, sample):
    return populations(translator, sample[0])


def test_types_are_told_apart_without_labels(found, sample):
    assert isinstance(found, Populations) and len(found) == N
    assert found.auc(sample[1]) > 0.97
    assert found.separation > 2 and found.bic_gain > 0
    assert found.shares.sum() == pytest.approx(1)


def test_table(found):
    table = found.table
    assert table.colnames == ["id", "population", "probability_0", "probability_1", "score"]
    assert list(table["id"][:2]) == ["g0", "g1"]
    np.testing.assert_allclose(table["probability_0"] + table["probability_1"], 1)
    np.testing.assert_array_equal(table["population"], (table["probability_1"] > 0.5).astype(int))
    assert abs(np.mean(table["score"])) < 0.3
    assert "scales of" in repr(found) and str(N) in repr(found)


def test_features_have_names(found):
    assert found.features.shape == (N, len(found.feature_names))
    assert len(set(found.feature_names)) == len(found.feature_names)
    assert {"spatial u, 1 pixels, 0-0.5 arcsec", "passband i-z, 4 pixels, 2-3 arcsec"} <= set(found.feature_names)
    np.testing.assert_allclose(found.features.mean(1), 0, atol=1e-5)
    assert found.coordinates.shape == (N, N // 20)


def test_the_same_again_whatever_the_batch(found, translator, sample):
    again = populations(translator, sample[0], batch_size=7)
    np.testing.assert_allclose(again.table["score"], found.table["score"], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.refit().table["score"], found.table["score"])


def test_half_of_the_galaxies_say_the_same(found, sample):
    halves = [found.refit(rows) for rows in (np.arange(N // 2), np.arange(N) >= N // 2)]
    for half in halves:
        assert len(half) == N and half.auc(sample[1]) > 0.95 and half.n_components == 2
        assert np.mean(half.table["population"] == found.table["population"]) > 0.9
    assert found.refit(n_components=2).coordinates.shape == (N, 2)
    assert len(found.refit(n_populations=3).shares) == 3
    with pytest.raises(ValueError, match="need at least 40 galaxies with usable pixels, got 30"):
        found.refit(np.arange(30))
    with pytest.raises(ValueError, match="n_components must be an int of at least 1, got 0"):
        found.refit(n_components=0)


def test_populations_do_not_depend_on_how_bright_or_turned(found, translator, sample):
    flux, weight = (np.asarray(getattr(sample[0], name)) for name in ("input_flux", "input_weight"))
    turned = PairSet.from_arrays(np.rot90(flux, axes=(2, 3)), np.zeros((N, 5, 34, 34)), input_survey="SDSS",
                                 target_survey="CFHTLS", input_weight=weight)
    other = found.assign(translator, turned)
    assert np.mean(other.table["population"] == found.table["population"]) > 0.95
    brighter = found.assign(translator, 1.3 * flux)
    assert np.mean(brighter.table["population"] == found.table["population"]) > 0.9


def test_images_alone_are_enough(found, translator, sample):
    alone = populations(translator, np.asarray(sample[0].input_flux))
    np.testing.assert_allclose(alone.table["score"], found.table["score"], rtol=1e-4, atol=1e-4)
    assert list(alone.table["id"][:3]) == [0, 1, 2]
    assert alone.examples[0]["survey"].name == "SDSS" and found.examples[0]["survey"].name == "CFHTLS"


def test_masked_pixels_and_empty_galaxies(found, translator, sample):
    flux = np.array(sample[0].input_flux)
    flux[:, :, 3, 4] = np.nan
    flux[7] = np.nan
    with pytest.warns(GaltransWarning, match="1 of 96 galaxies have no usable pixel"):
        masked = populations(translator, flux)
    assert masked.table["population"][7] == -1
    assert np.isnan(masked.table["score"][7]) and np.isnan(masked.table["probability_0"][7])
    rest = np.arange(N) != 7
    assert np.mean(masked.table["population"][rest] == found.table["population"][rest]) > 0.9
    assert masked.auc(sample[1]) > 0.95


def test_assigning_one_galaxy(found, translator, sample):
    one = found.assign(translator, sample[0].select([11]))
    assert len(one) == 1 and one.table["id"][0] == "g11"
    assert one.table["score"][0] == pytest.approx(found.table["score"][11], rel=1e-3, abs=1e-3)


def test_assigning_with_another_translator(found, small_translator, sample):
    with pytest.raises(ValueError, match="is not the one that these populations were found with"):
        found.assign(small_translator, sample[0])


def test_scales_are_noise_and_excess(found, translator, sample):
    parts = [populations(translator, sample[0], features=kind) for kind in ("noise", "excess")]
    np.testing.assert_allclose(sum(part.features for part in parts), found.features, atol=1e-4)
    assert [part.kind for part in parts] == ["noise", "excess"]


def test_weights_need_targets(translator, sample):
    by_weights = populations(translator, sample[0], features="weights")
    assert by_weights.kind == "weights" and by_weights.features.shape[0] == N
    with pytest.raises(ValueError, match="need target images"):
        populations(translator, np.asarray(sample[0].input_flux), features="weights")


def test_masked_targets_do_not_spread(translator, sample):
    pairs = sample[0].select(np.arange(N))
    pairs.target_weight = np.array(pairs.target_weight)
    pairs.target_weight[3] = 0
    pairs.target_weight[:, :, :6] = 0
    assert np.isfinite(populations(translator, pairs, features="weights").features).all()


def test_other_objectives_have_an_embedding_alone(small_translator, sample):
    with pytest.raises(ValueError, match="trained with 'pixel': it has 'embedding' and 'noise' alone"):
        populations(small_translator, sample[0])
    assert populations(small_translator, sample[0], features="noise").auc(sample[1]) > 0.9
    by_embedding = populations(small_translator, sample[0], features="embedding")
    assert by_embedding.feature_names[1] == "embedding 1" and by_embedding.kind == "embedding"
    assert by_embedding.examples[0]["weight"] is None


@pytest.mark.parametrize("objective_options", [{"elements": "passband"}, {"elements": "log flux"},
                                               {"gaussian": True, "max_scales": 1}])
def test_variants_of_the_objective(sample, objective_options):
    config = TrainConfig(objective="gradient", epochs=1, backbone_options=OPTIONS, objective_options=objective_options)
    found = populations(fit(sample[0], config).translator, sample[0], n_components=2)
    assert np.isfinite(found.features).all() and len(found.feature_names) == found.features.shape[1]


def test_conditioned_translators_are_told(sample):
    config = TrainConfig(objective="gradient", epochs=1, conditioning="redshift", backbone_options=OPTIONS)
    flux = {name: np.asarray(getattr(sample[0], name)) for name in ("input_flux", "target_flux")}
    pairs = PairSet.from_arrays(**flux, input_survey="SDSS", target_survey="CFHTLS", redshift=np.linspace(0.1, 0.3, N))
    translator = fit(pairs, config).translator
    assert len(populations(translator, pairs, n_components=2)) == N
    with pytest.raises(ValueError, match="needs a redshift"):
        populations(translator, sample[0])


def test_three_populations(translator, sample):
    found = populations(translator, sample[0], n_populations=3)
    assert set(found.table["population"]) == {0, 1, 2} and "probability_2" in found.table.colnames
    medians = [np.median(found.table["score"][found.table["population"] == number]) for number in range(3)]
    assert medians == sorted(medians)


@pytest.mark.parametrize("options, message", [
    ({"n_populations": 1}, "n_populations must be an int of at least 2, got 1"),
    ({"seed": -1}, "seed must be an int of at least 0, got -1"),
    ({"features": "types"}, "features must be one of scales, excess, noise, weights, embedding, got 'types'"),
    ({"annuli": (2, 1)}, "annuli must be two or more increasing radii"),
    ({"annuli": (50, 60)}, "no annulus of"),
    ({"n_populations": 8}, "8 populations need at least 160 galaxies with usable pixels, got 96"),
])
def test_bad_input(translator, sample, options, message):
    with pytest.raises(ValueError, match=message):
        populations(translator, sample[0], **options)


def test_other_surveys_are_refused(translator, sample):
    with pytest.raises(ValueError, match="has the input survey SDSS"):
        populations(translator, sample[0].reversed())


def test_auc_is_that_of_scipy(found):
    rng = np.random.default_rng(1)
    labels = rng.random(N) < 0.3
    score = np.round(np.asarray(found.table["score"]))  # with ties
    expected = mannwhitneyu(score[labels], score[~labels]).statistic / (labels.sum() * (~labels).sum())
    tied = Populations.__new__(Populations)
    tied.table = {"score": score}
    tied.__class__ = type("Tied", (Populations,), {"__len__": lambda self: N})
    assert tied.auc(labels) == pytest.approx(expected)
    assert tied.auc(~labels) == pytest.approx(1 - expected)
    assert tied.auc(np.ma.array(labels, mask=np.arange(N) >= N - 5)) != tied.auc(labels)


@pytest.mark.parametrize("labels, message", [
    (np.zeros(N), "labels must be bool"), (np.zeros(3, bool), "must have shape"), (np.zeros(N, bool), "of both kinds"),
])
def test_bad_labels(found, labels, message):
    with pytest.raises(ValueError, match=message):
        found.auc(labels)


def whitened(points):
    points = points - points.mean(0)
    return np.linalg.svd(points, full_matrices=False)[0] * np.sqrt(len(points))


def test_mixture_finds_what_was_drawn():
    rng = np.random.default_rng(2)
    covariance = np.array([[9.0, 2.9], [2.9, 1.0]])  # the scatter is along the first axis, the difference across it
    member = rng.random(3000) < 0.3
    points = rng.multivariate_normal([0, 0], covariance, 3000) + np.where(member, 1, 0)[:, None] * [0.0, 1.2]
    mixture = fit_mixture(whitened(points), 2)
    assert sorted(mixture.shares) == pytest.approx([0.3, 0.7], abs=0.05)
    part = int(np.argmin(mixture.shares))
    assert np.mean((mixture.probabilities(whitened(points))[:, part] > 0.5) == member) > 0.9
    distance = np.sqrt([0, 1.2] @ np.linalg.solve(covariance, [0, 1.2]))
    assert np.ptp(mixture.score(mixture.means)) == pytest.approx(distance, rel=0.05)
    stretched = whitened(points @ np.array([[5.0, 1.0], [0.0, 0.2]]))
    again = fit_mixture(stretched, 2).score(stretched)
    assert abs(np.corrcoef(again, mixture.score(whitened(points)))[0, 1]) > 0.999


def test_tails_are_no_population():
    """A skewed and a long-tailed coordinate are what the likeliest two normal densities would divide."""
    rng = np.random.default_rng(4)
    member = rng.random(2000) < 0.4
    others = rng.standard_gamma(0.5, (2000, 3)), rng.standard_t(3, (2000, 3)).clip(-8, 8)
    points = whitened(np.column_stack([*others, rng.standard_normal((2000, 3)), rng.normal(3.5 * member)])
                      @ rng.standard_normal((10, 10)))
    mixture = fit_mixture(points, 2)
    assert abs(np.corrcoef(mixture.score(points), member)[0, 1]) > 0.8
    unsorted = [np.mean((points @ axis)**4) for axis in flattest_axes(points)]
    assert unsorted == sorted(unsorted) and unsorted[0] < 2.2


def test_three_heaps_are_found():
    rng = np.random.default_rng(6)
    member = rng.choice(3, 1500, p=(0.25, 0.35, 0.4))
    points = rng.standard_normal((1500, 4)) + np.array([[0, 0, 0, 0], [6, 0, 0, 0], [3, 5, 0, 0]])[member]
    mixture = fit_mixture(whitened(points), 3)
    part = mixture.probabilities(whitened(points)).argmax(1)
    table = np.array([[np.mean(part[member == one] == other) for other in range(3)] for one in range(3)])
    assert sorted(table.max(1)) == pytest.approx([1, 1, 1], abs=0.03) and set(table.argmax(1)) == {0, 1, 2}
    assert sorted(mixture.shares) == pytest.approx([0.25, 0.35, 0.4], abs=0.04)


def test_a_single_heap_is_said_to_be_one():
    points = whitened(np.random.default_rng(3).standard_normal((1000, 3)))
    try:
        assert fit_mixture(points, 2).bic_gain < 0
    except ValueError as error:
        assert "do not fall into 2 populations" in str(error)


@pytest.mark.parametrize("labelled", [False, True])
def test_figure(found, sample, labelled):
    pytest.importorskip("matplotlib")
    figure = found.figure(sample[1] if labelled else None, names=("blue", "red"))
    figure.draw_without_rendering()
    axes = figure.subfigs[0].axes
    assert len(axes) == 3 and axes[1].get_title().startswith("area" if labelled else "separation")
    assert {"u-g", "i-z"} <= {line.get_label() for line in axes[2].lines}


def test_missing_scikit_learn_is_named_before_the_work(translator, sample, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr(type(translator.network), "forward", None)
    with pytest.raises(ImportError, match=r"astro_galtrans\[populations\]"):
        populations(translator, sample[0])


def test_figure_without_matplotlib(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"astro_galtrans\[report\]"):
        found.figure()


def test_settings_come_as_keywords_or_as_a_config(translator, sample):
    found = populations(translator, sample[0], config=PopulationsConfig(n_components=2))
    assert found.n_components == populations(translator, sample[0], n_components=2).n_components == 2
    with pytest.raises(TypeError, match="n_component .* annuli, n_components"):
        populations(translator, sample[0], n_component=2)
    with pytest.raises(ValueError, match="batch_size"):
        PopulationsConfig(batch_size=0)
