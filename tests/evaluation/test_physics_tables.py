"""Aperture fluxes, peaks, colour gradients by type of galaxy, and morphology."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from scipy import stats
from scipy.ndimage import gaussian_filter

from astro_galtrans.evaluation import evaluate
from astro_galtrans.evaluation._robust import Bootstrap
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey

SDSS = get_survey("SDSS")
SIZE = 49
SIGMA = SDSS.sky_noise[:, None, None]


def make_pairs(n=20, seed=0, truth=True, noise=1.0, catalog=True, flux=(20, 60)):
    """Exponential discs of two types with opposite colour gradients, seen twice; the image is the number's."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    radius = np.hypot(x, y / 0.8)
    early = np.arange(n) % 2 == 0
    scale = rng.uniform(3, 4.5, n)[:, None]
    trend = np.where(early, 0.03, -0.03)[:, None] * np.arange(-2, 3)
    lengths = scale * (1 + trend)
    clean = np.exp(-radius / lengths[..., None, None]) * rng.uniform(*flux, n)[:, None, None, None]
    images = [clean + noise * SIGMA * rng.normal(size=clean.shape) for _ in range(2)]
    table = Table({"bulge_fraction": np.where(early, 0.8, 0.2)}) if catalog else None
    return PairSet.from_arrays(*images, input_survey="SDSS", target_survey="SDSS", catalog=table,
                               redshift=rng.uniform(0.1, 0.3, n), target_truth=clean if truth else None,
                               target_weight=np.broadcast_to(SIGMA**-2.0, clean.shape))


class Known:
    """A translator that knows the galaxies and does one thing to their true images."""

    conditioning, input_survey, target_survey = None, SDSS, SDSS

    def __init__(self, pairs, change=lambda image: image, name="known", generative=False):
        self.pairs, self.change, self.name = pairs, change, name
        self.clean = np.asarray(pairs.target_flux if pairs.target_truth is None else pairs.target_truth)
        self.known = np.asarray(pairs.input_flux).sum(axis=(1, 2, 3))
        self.generative = generative

    def translate_array(self, flux, weight=None, **options):
        rows = [int(np.argmin(np.abs(self.known - image.sum()))) for image in flux]
        return np.stack([self.change(image) for image in self.clean[rows]]).astype(np.float32)


def blurred(image, sigma=1.5):
    return gaussian_filter(image, (0, sigma, sigma), mode="nearest")


def shifted(image):
    return np.roll(image, 1, axis=2)


def rows(table, **wanted):
    keep = np.ones(len(table), dtype=bool)
    for name, value in wanted.items():
        keep &= table[name] == value
    return table[keep]


@pytest.fixture(scope="module")
def judged():
    pairs = make_pairs()
    translators = {"perfect": Known(pairs), "bright": Known(pairs, lambda image: 1.02 * image),
                   "red": Known(pairs, lambda image: image * [[[1]], [[0.9]], [[1]], [[1]], [[1]]]),
                   "blurred": Known(pairs, blurred)}
    return evaluate(translators, pairs, n_bootstrap=50, n_shown=1)


def test_a_perfect_translation_has_no_error(judged):
    for name, start in (("apertures", ""), ("peaks", ""), ("color_gradients_by_type", "slope_")):
        part = rows(judged.tables[name], image="perfect")
        assert len(part) and (part["n"] > 0).all()
        for column in ("bias", "scatter", "scatter_low", "scatter_high"):
            assert np.allclose(part[start + column], 0, atol=1e-5), (name, column)
    assert np.allclose(rows(judged.tables["color_profiles_by_type"], image="perfect")["bias"], 0, atol=1e-5)


def test_a_flux_scale_is_a_bias_of_apertures_and_no_scatter(judged):
    part = rows(judged.tables["apertures"], image="bright")
    assert set(part["band"]) == set("ugriz") and set(part["radius"]) == {2.0, 4.0} and set(part["snr_min"]) == {20.0}
    assert judged.tables["apertures"]["radius"].unit == u.arcsec
    assert np.allclose(part["bias"], 0.02, atol=1e-5) and np.allclose(part["scatter"], 0, atol=1e-5)


def test_noise_of_real_images_is_the_scatter_of_their_apertures(judged):
    """With one survey and one pixel grid, input, resampled input and target have the same errors but for the draw."""
    noise = SDSS.sky_noise * np.sqrt(np.pi * (2 / SDSS.pixel_scale.to_value(u.arcsec))**2)
    truth = np.median(make_pairs().target_truth.sum(axis=(2, 3)), axis=0)
    for image in ("real input", "resampled input", "real target"):
        scatter = np.array([rows(judged.tables["apertures"], image=image, band=band, radius=2.0)["scatter"][0]
                            for band in "gri"])
        expected = (noise / truth)[1:4]
        assert (scatter > 0.7 * expected).all() and (scatter < 6 * expected).all(), image


def test_faint_galaxies_do_not_count_in_apertures():
    pairs = make_pairs(flux=(0.001, 1))
    tables = [evaluate(Known(pairs), pairs, n_bootstrap=0, n_shown=0, snr_min=limit).tables["apertures"]
              for limit in (0, 20, 1e9)]
    n = [rows(table, image="known", band="u", radius=4.0)["n"][0] for table in tables]
    assert n[0] == len(pairs) > n[1] > n[2] == 0
    noise = SDSS.sky_noise[0] * np.sqrt(np.pi) * 4 / SDSS.pixel_scale.to_value(u.arcsec)
    sums = pairs.target_truth[:, 0]
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    sums = sums[:, np.hypot(x, y) * SDSS.pixel_scale.to_value(u.arcsec) < 4].sum(axis=1)
    assert n[1] == pytest.approx((sums / noise > 20).sum(), abs=1)


def test_units_of_the_input_are_those_of_the_target():
    """Apertures of the input are compared in the target's unit."""
    scale = 10**(0.4 * (30 - 22.5))
    flux = np.asarray(make_pairs().target_truth)
    same_pixels = replace(get_survey("CFHTLS"), pixel_scale=SDSS.pixel_scale)
    pairs = PairSet.from_arrays(flux, scale * flux, input_survey="SDSS", target_survey=same_pixels)
    same = Known(pairs)
    same.target_survey = same_pixels
    table = evaluate(same, pairs, n_bootstrap=0, n_shown=0, snr_min=0).tables["apertures"]
    np.testing.assert_allclose(rows(table, image="real input", radius=4.0)["bias"], 0, atol=1e-5)


def test_peaks_know_bands_and_their_colours(judged):
    table = judged.tables["peaks"]
    assert list(rows(table, image="red")["what"]) == [*"ugriz", "u-g", "g-r", "r-i", "i-z"]
    shift = 2.5 * np.log10(1 / 0.9)
    bias = {row["what"]: row["bias"] for row in rows(table, image="red")}
    expected = dict.fromkeys(bias, 0) | {"g": shift, "u-g": -shift, "g-r": shift}
    assert bias == pytest.approx(expected, abs=1e-4)
    for band in "ugriz":
        pixels = rows(judged.tables["pixels"], image="blurred", band=band)[0]
        peak = rows(table, image="blurred", what=band)[0]
        assert (pixels["peak_bias"], pixels["peak_scatter"]) == (peak["bias"], peak["scatter"])
        assert peak["bias"] > 0.05
    assert {"real input", "resampled input", "real target"} <= set(table["image"])


def test_types_are_judged_apart(judged):
    """A translator that makes all galaxies alike is wrong with opposite sign for the two types."""
    pairs = make_pairs()
    mean = np.asarray(pairs.target_truth).mean(axis=0)
    table = evaluate(Known(pairs, lambda image: mean), pairs, n_bootstrap=20, n_shown=0).tables
    for color in ("u-g", "r-i"):
        early, late = (rows(table["color_gradients_by_type"], image="known", color=color, galaxies=kind)[0]
                       for kind in ("early", "late"))
        assert early["slope_bias"] * late["slope_bias"] < 0 and early["n"] == late["n"] == 10
        profile = rows(table["color_profiles_by_type"], image="known", color=color)
        assert set(profile["galaxies"]) == {"early", "late"} and np.isfinite(profile["reference"]).all()
    slope = rows(judged.tables["color_gradients"], image="red", color="u-g")
    assert np.allclose(slope["slope_bias"], 0, atol=1e-5)


def test_types_need_a_catalogue():
    pairs = make_pairs(6, catalog=False)
    assert not {"color_gradients_by_type", "color_profiles_by_type"} & set(
        evaluate(Known(pairs), pairs, n_bootstrap=0, n_shown=0).tables)
    pairs = make_pairs(6)
    pairs.catalog["bulge_fraction"] = [np.nan, np.nan, np.nan, 0.9, 0.7, 0.6]
    table = evaluate(Known(pairs), pairs, n_bootstrap=0, n_shown=0).tables["color_gradients_by_type"]
    assert set(table["galaxies"]) == {"early"} and set(rows(table, image="known")["n"]) == {3}


def test_given_estimators_are_not_trained_again(monkeypatch):
    trained = []

    def estimator(value):
        def predict(flux, weight=None):
            return SimpleNamespace(mean=lambda: np.full(len(flux), value))

        return SimpleNamespace(predict=predict)

    def fit(flux, redshift, *, survey, weight=None, **options):
        trained.append(len(flux))
        return estimator(0.9)

    monkeypatch.setattr("astro_galtrans.photoz.fit_redshift_estimator", fit)
    pairs, training = make_pairs(8), make_pairs(10, seed=1)
    given = {"real target": estimator(0.1), "real input": estimator(0.2)}
    found = evaluate(Known(pairs), pairs, estimator=given, n_bootstrap=0, n_shown=0).redshift
    assert {name: value[0] for name, value in found.items()} == {
        "real target": 0.1, "real input": 0.2, "known, transfer": 0.1}
    assert trained == []
    translator = Known(pairs)
    translator.known, translator.clean = np.zeros(1), np.asarray(training.target_truth)
    found = evaluate(translator, pairs, estimator=given, training=training, n_bootstrap=0, n_shown=0).redshift
    assert trained == [10] and found["known, retrained"][0] == 0.9 and found["real input"][0] == 0.2
    found = evaluate(Known(pairs), pairs, estimator={"real input": estimator(0.2)}, n_bootstrap=0, n_shown=0).redshift
    assert list(found) == ["real input"]
    with pytest.raises(ValueError, match="keys 'real input' and 'real target', got 'target'"):
        evaluate(Known(pairs), pairs, estimator={"target": estimator(0.1)})
    with pytest.raises(TypeError, match="'real input' must have predict, got str"):
        evaluate(Known(pairs), pairs, estimator={"real input": "a"})


@pytest.mark.parametrize("n", [1, 2, 3, 10, 51])
def test_quick_intervals_are_those_of_the_resampled_values(n):
    """Of sorted values with sorted row numbers, median and deviation are those of the values themselves."""
    from astro_galtrans.evaluation._robust import _sorted_nmad

    rng = np.random.default_rng(n)
    values = np.sort(rng.normal(size=n).round(1))
    lines = np.sort(rng.integers(n, size=(100, n)), axis=1)
    expected = 1.4826 * stats.median_abs_deviation(values[lines], axis=1)
    np.testing.assert_allclose(_sorted_nmad(values, lines), expected, atol=1e-14)


def test_quick_intervals_agree_with_slow_ones():
    values = np.random.default_rng(0).normal(size=400)
    quick = Bootstrap(2000, 1, 0.9).nmad(np.append(values, np.nan))
    slow = stats.bootstrap((values,), stats.median_abs_deviation, n_resamples=2000, confidence_level=0.9,
                           method="percentile", random_state=np.random.default_rng(1)).confidence_interval
    assert quick == pytest.approx(1.4826 * np.array(slow), rel=0.02)
    assert np.isnan(Bootstrap(10, 0, 0.9).nmad([np.nan])).all() and np.isnan(Bootstrap(0, 0, 0.9).nmad(values)).all()


# morphology ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shapes():
    pytest.importorskip("statmorph")
    pairs = make_pairs()
    translators = {"perfect": Known(pairs), "bright": Known(pairs, lambda image: 1.02 * image),
                   "blurred": Known(pairs, blurred), "shifted": Known(pairs, shifted),
                   "broken": Known(pairs, lambda image: np.nan * image)}
    return evaluate(translators, pairs, n_bootstrap=20, n_shown=1, n_morphology=8)


def bias(evaluation, image, measure):
    return rows(evaluation.tables["morphology"], image=image, measure=measure)["bias"][0]


def test_a_perfect_translation_has_the_shapes_of_the_truth(shapes):
    table = shapes.tables["morphology"]
    assert list(dict.fromkeys(table["image"])) == ["resampled input", *shapes.names, "real target"]
    for image in ("perfect", "bright"):
        part = rows(table, image=image)
        assert set(part["measure"]) == {"half_light_radius", "concentration", "asymmetry", "sersic_index"}
        assert set(part["band"]) == {"r"} and set(part["n"]) == {8} and set(part["n_failed"]) == {0}
        assert np.allclose(part["bias"], 0, atol=1e-4) and np.allclose(part["scatter"], 0, atol=1e-4)
    assert shapes.meta["n_morphology"] == 8 and shapes.meta["noise_added"] is False


def test_what_blur_and_shift_do_to_shapes(shapes):
    assert bias(shapes, "blurred", "half_light_radius") > 0.02
    assert bias(shapes, "blurred", "concentration") < -0.02 and bias(shapes, "blurred", "sersic_index") < -0.02
    assert abs(bias(shapes, "blurred", "asymmetry")) < 0.02
    assert bias(shapes, "shifted", "asymmetry") > 0.1  # about the centre of the reference
    assert abs(bias(shapes, "shifted", "half_light_radius")) < 0.05
    target = rows(shapes.tables["morphology"], image="real target")
    assert (target["scatter"] > 0).all() and (target["scatter"] < 0.2).all()


def test_translations_without_a_shape_are_counted(shapes):
    part = rows(shapes.tables["morphology"], image="broken")
    assert set(part["n"]) == {0} and set(part["n_failed"]) == {8} and np.isnan(part["bias"]).all()


def test_noise_is_added_where_the_reference_has_it():
    """The truth behind a noisy reference: as if taken a second time; the same seed gives the same numbers."""
    pytest.importorskip("statmorph")
    pairs = make_pairs(8, truth=False)
    clean = np.asarray(make_pairs(8).target_truth)
    tables = []
    for seed, generative in ((0, False), (0, False), (1, False), (0, True)):
        translator = Known(pairs, generative=generative)
        translator.clean = clean
        result = evaluate(translator, pairs, n_bootstrap=0, n_shown=0, n_morphology=8, seed=seed)
        assert result.meta["noise_added"] is True
        tables.append(result.tables["morphology"])
    assert "real target" not in tables[0]["image"]
    first, again, other, sampled = (rows(table, image="known") for table in tables)
    assert np.array_equal(first["bias"], again["bias"]) and not np.array_equal(first["bias"], other["bias"])
    assert not np.array_equal(first["bias"], sampled["bias"])  # a sample is taken to have noise of its own
    row = rows(first, measure="half_light_radius")[0]
    assert 0 < row["scatter"] < 0.1 and abs(row["bias"]) < 0.05


def test_masked_pixels_have_no_shape():
    pytest.importorskip("statmorph")
    pairs = make_pairs(4, noise=0)
    weight = np.array(pairs.target_weight)
    weight[:, :, :6, :6] = 0
    pairs.target_weight = weight

    def spoiled(image):
        image = image.copy()
        image[:, :6, :6] = 1e4
        return image

    table = evaluate(Known(pairs, spoiled), pairs, n_bootstrap=0, n_shown=0, n_morphology=4).tables["morphology"]
    part = rows(table, image="known")
    assert set(part["n"]) == {4} and np.allclose(part["bias"], 0, atol=1e-4)


def test_galaxies_too_faint_to_be_seen_have_no_shape():
    pytest.importorskip("statmorph")
    pairs = make_pairs(4, flux=(1e-4, 2e-4))
    part = evaluate(Known(pairs), pairs, n_bootstrap=0, n_shown=0, n_morphology=4).tables["morphology"]
    assert set(part["n"]) == {0} and set(part["n_failed"]) == {4}


def test_morphology_is_asked_for(judged, monkeypatch):
    assert "morphology" not in judged.tables and judged.meta["n_morphology"] == 0
    pairs = make_pairs(4)
    with pytest.raises(ValueError, match="n_morphology must be at least 0, got -1"):
        evaluate(Known(pairs), pairs, n_morphology=-1)
    monkeypatch.setitem(sys.modules, "statmorph", None)
    with pytest.raises(ImportError, match=r"statmorph is needed .*astro_galtrans\[morphology\]"):
        evaluate(Known(pairs), pairs, n_morphology=2)
    evaluate(Known(pairs), pairs, n_bootstrap=0, n_shown=0)


def test_neighbours_are_no_part_of_a_galaxy():
    pytest.importorskip("statmorph")
    from astro_galtrans.evaluation._morphology import measure_galaxy
    from astro_galtrans.images import segment_galaxy

    y, x = np.indices((101, 101)) - 50
    alone = 50 * np.exp(-np.hypot(x, y / 0.8) / 4)
    crowded = alone + 80 * np.exp(-np.hypot(x - 33, y - 30) / 2)
    sigma = np.ones(alone.shape)
    segmentation = segment_galaxy(crowded, 1, SDSS.pixel_scale)
    assert set(np.unique(segmentation)) == {0, 1, 2} and segmentation[50, 50] == 1 and segmentation[80, 83] == 2
    values, center = measure_galaxy(crowded, segmentation, sigma)
    expected, _ = measure_galaxy(alone, segment_galaxy(alone, 1, SDSS.pixel_scale), sigma)
    assert center == pytest.approx((50, 50), abs=0.05)
    assert values == pytest.approx(expected, rel=0.03, abs=0.02)
    assert expected[0] == pytest.approx(4 * 1.678 * np.sqrt(0.8), rel=0.05)
    assert expected[3] == pytest.approx(1, abs=0.02)


def test_no_galaxy_need_be_shown(tmp_path):
    pytest.importorskip("matplotlib")
    pairs = make_pairs(4)
    assert "gallery" not in evaluate(Known(pairs), pairs, n_bootstrap=0, n_shown=0).figures()


def test_the_report_shows_it_all(shapes, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    assert {"peaks", "morphology", "color_gradients_by_type", "slopes_by_type"} <= set(shapes.figures())
    shapes.write_report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("half light radius", "measured by statmorph on 8 galaxies", "early types", "S/N above",
                  "Translated images have no noise of the sky"):
        assert words in text
