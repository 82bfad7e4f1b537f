import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from astropy.utils.masked import Masked

from astro_galtrans.evaluation import EvaluationConfig, TranslatorLike, evaluate, resample_input
from astro_galtrans.evaluation._robust import median, nmad, paired_reduction
from astro_galtrans.evaluation._tables import verdict
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey

SDSS, CFHTLS = get_survey("SDSS"), get_survey("CFHTLS")
SIZE = 33


def make_pairs(n=24, seed=0, noise=True, truth=False, target="SDSS", masked=False):
    """Galaxies whose colours are a function of redshift, on one grid, so that a perfect translation is known."""
    rng = np.random.default_rng(seed)
    redshift = rng.uniform(0.05, 0.4, n)
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    profile = np.exp(-0.396 * np.hypot(x, y)[None] / rng.uniform(1, 3, n)[:, None, None])
    color = np.stack([10**(-0.4 * slope * redshift) for slope in (6, 4, 0, -1, -2)], axis=1)
    clean = (rng.uniform(3, 10, n)[:, None, None, None] * color[:, :, None, None] * profile[:, None]).astype(np.float32)
    sigma = SDSS.sky_noise[:, None, None]
    images = [clean + (noise * sigma * rng.normal(size=clean.shape)).astype(np.float32) for _ in range(2)]
    weight = np.broadcast_to((sigma**-2.0).astype(np.float32), clean.shape).copy()
    if masked:
        weight[:, :, :3, :3] = 0
    return PairSet.from_arrays(images[0], images[1], input_survey="SDSS", target_survey=target, redshift=redshift,
                               input_weight=weight, target_weight=weight, target_truth=clean if truth else None)


class Scaled:
    """A translator that multiplies what it is given."""

    conditioning = None
    hash = "0123456789abcdef"

    def __init__(self, factor=1.0, name="scaled", source=None, sigma=None):
        self.factor, self.name, self.source, self.sigma = np.float32(factor), name, source, sigma
        self.input_survey = self.target_survey = SDSS
        self.gives_uncertainty = sigma is not None
        self.provenance = {"config": {"factor": float(factor)}}
        self.history = Table({"epoch": [0, 1, 2], "train_loss": [3.0, 2.0, 1.5], "valid_loss": [3.1, 2.3, 2.0]})

    def translate_array(self, flux, weight=None, redshift=None):
        flux = np.asarray(flux) if self.source is None else self._looked_up(flux)
        return self.factor * flux

    def translate_array_with_uncertainty(self, flux, **options):
        out = self.translate_array(flux, **options)
        return out, np.full_like(out, self.sigma)

    def _looked_up(self, flux):
        """The target image that belongs to each input image: a perfect translation, noise and all."""
        known = self.source.input_flux.sum(axis=(1, 2, 3), dtype=float)
        rows = [int(np.argmin(np.abs(known - image.sum(dtype=float)))) for image in flux]
        return self.source.target_flux[rows]


class Judge:
    """Reads the redshift off the g - r colour, after a straight line fitted to the training galaxies."""

    def __init__(self, flux, redshift):
        self.line = np.polyfit(self.color(flux), redshift, 1)

    @staticmethod
    def color(flux):
        sums = np.maximum(np.asarray(flux, dtype=float)[:, :, 8:25, 8:25].sum(axis=(2, 3)), 1e-6)
        return -2.5 * np.log10(sums[:, 1] / sums[:, 2])

    def predict(self, flux, weight=None):
        value = np.polyval(self.line, self.color(flux))
        return type("PDF", (), {"mean": lambda self: value})()


@pytest.fixture
def judges(monkeypatch):
    import astro_galtrans.photoz as photoz

    def fit(flux, redshift, *, survey, weight=None, **options):
        return Judge(flux, redshift)

    monkeypatch.setattr(photoz, "fit_redshift_estimator", fit)


def rows(table, **wanted):
    keep = np.ones(len(table), dtype=bool)
    for name, value in wanted.items():
        keep &= table[name] == value
    return table[keep]


@pytest.mark.parametrize("batch_size", [5, 64])
def test_identity_has_no_error_and_retrained_equals_real(judges, batch_size):
    training, test = make_pairs(40, seed=1), make_pairs(30, seed=2)
    both = make_joint(training, test)
    result = evaluate({"perfect": Scaled(source=both)}, test, training=training, n_bootstrap=20, batch_size=batch_size)
    pixels = rows(result.tables["pixels"], image="perfect")
    for name in ("relative_residual", "relative_rmse", "chi2", "aperture_bias_2", "aperture_scatter_4", "peak_scatter"):
        assert np.allclose(pixels[name], 0, atol=1e-6), name
    assert np.allclose(pixels["correlation"], 1)
    assert np.allclose(rows(result.tables["colors"], image="perfect")["scatter"], 0, atol=1e-6)
    assert np.allclose(rows(result.tables["color_gradients"], image="perfect")["slope_scatter"], 0, atol=1e-6)
    nmads = {row["images"]: row["nmad"] for row in result.tables["redshift"]}
    assert nmads["perfect, retrained"] == nmads["perfect, transfer"] == nmads["real target"]
    assert nmads["real input"] != nmads["real target"]


def make_joint(*sets):
    return PairSet.from_arrays(
        np.concatenate([pairs.input_flux for pairs in sets]), np.concatenate([pairs.target_flux for pairs in sets]),
        input_survey="SDSS", target_survey="SDSS")


def test_flux_scale_changes_magnitudes_and_no_colour():
    test = make_pairs(noise=False)
    result = evaluate(Scaled(10**-0.04), test, n_bootstrap=10)
    assert result.names == ["scaled"]
    pixels = rows(result.tables["pixels"], image="scaled")
    assert np.allclose(pixels["aperture_bias_2"], 0.1, atol=1e-4) and np.allclose(pixels["peak_bias"], 0.1, atol=1e-4)
    assert np.allclose(pixels["aperture_scatter_2"], 0, atol=1e-5)
    for table, name in (("colors", "bias"), ("color_profiles", "bias"), ("color_gradients", "slope_bias")):
        assert np.allclose(rows(result.tables[table], image="scaled")[name], 0, atol=1e-5)


def test_gains_follow_the_better_translator(judges):
    training, test = make_pairs(60, seed=3), make_pairs(80, seed=4)

    class Noisy(Scaled):
        def translate_array(self, flux, weight=None, redshift=None):
            shifts = np.random.default_rng(int(abs(flux[0].sum()) * 1e4)).normal(0, 0.3, (len(flux), 5, 1, 1))
            return flux * (1 + shifts).astype(np.float32)

    result = evaluate({"bad": Noisy(), "good": Scaled()}, test, training=training, n_bootstrap=200)
    gains = result.tables["gains"]
    assert set(gains["verdict"][:2]) == {"wins"} and (gains["reduction"][:2] > 0.3).all()
    assert gains["preservation_gain"][0] == pytest.approx(1, abs=0.2)
    turned = evaluate({"good": Scaled(), "bad": Noisy()}, test, training=training, n_bootstrap=200)
    assert set(turned.tables["gains"]["verdict"][:2]) == {"loses"}


def test_same_seed_same_numbers_and_other_seed_other_intervals():
    test = make_pairs()
    tables = [evaluate(Scaled(1.1), test, n_bootstrap=50, seed=seed).tables for seed in (1, 1, 2)]
    first, again, other = (table["colors"] for table in tables)
    assert np.array_equal(first["scatter_low"], again["scatter_low"])
    assert not np.array_equal(first["scatter_low"], other["scatter_low"])


def test_coverage_of_a_right_and_of_a_wrong_uncertainty():
    test = make_pairs(30)
    truth_like = Scaled(sigma=float(SDSS.sky_noise[2]))
    row = rows(evaluate(truth_like, test, n_bootstrap=0).tables["uncertainty"], band="r", region="all pixels")[0]
    assert row["coverage_68"] == pytest.approx(0.68, abs=0.02) and row["coverage_95"] == pytest.approx(0.95, abs=0.01)
    small = evaluate(Scaled(sigma=1e-6), test, n_bootstrap=0).tables["uncertainty"]
    assert rows(small, band="r", region="all pixels")["coverage_68"][0] == pytest.approx(0.52, abs=0.02)
    assert "uncertainty" not in evaluate(Scaled(), test, n_bootstrap=0).tables


def test_truth_is_the_reference_where_it_is_known():
    result = evaluate(Scaled(), make_pairs(truth=True), n_bootstrap=0)
    assert result.meta["reference"] == "noiseless truth images"
    target = rows(result.tables["pixels"], image="real target")
    assert np.allclose(target["chi2"], 1, atol=0.05)


def test_galaxies_that_are_not_finite_are_counted(judges):
    class Broken(Scaled):
        def translate_array(self, flux, weight=None, redshift=None):
            out = np.array(flux)
            out[flux[:, 2].sum(axis=(1, 2)) > self.factor, 0, 0, 0] = np.nan
            return out

    training, test = make_pairs(40, seed=6), make_pairs(seed=5)
    limit = np.quantile(test.input_flux[:, 2].sum(axis=(1, 2)), 0.8)
    result = evaluate({"broken": Broken(limit)}, test, training=training, n_bootstrap=10)
    assert 3 <= result.failed["broken"] <= 6
    assert (rows(result.tables["pixels"], image="broken")["n"] == len(test) - result.failed["broken"]).all()
    assert rows(result.tables["redshift"], images="broken, transfer")["n_left_out"][0] == result.failed["broken"]


def test_masked_target_pixels_do_not_count():
    test = make_pairs(masked=True)

    class Corner(Scaled):
        def translate_array(self, flux, weight=None, redshift=None):
            out = np.array(flux)
            out[:, :, :3, :3] = 1e6
            return out

    result = evaluate({"plain": Scaled(), "corner": Corner()}, test, n_bootstrap=0, aperture_radii=(6.4,))
    plain, corner = (rows(result.tables["pixels"], image=name) for name in ("plain", "corner"))
    for name in ("relative_rmse", "chi2", "aperture_bias_6.4"):
        assert np.allclose(plain[name], corner[name])


def test_resampling_keeps_flux_and_centre():
    flux = np.zeros((1, 5, 32, 32), dtype=np.float32)
    y, x = np.indices((32, 32)) - 15.5
    flux[:] = np.exp(-(x**2 + y**2) / 30)
    out = resample_input(flux, SDSS, CFHTLS, (68, 68))
    scale = 10**(0.4 * (30 - 22.5))
    assert np.allclose(out.sum(axis=(2, 3)), scale * flux.sum(axis=(2, 3)), rtol=2e-3)
    grid = np.arange(68) - 33.5
    assert abs((out[0, 2].sum(axis=0) * grid).sum() / out[0, 2].sum()) < 1e-4


def test_bands_that_the_input_lacks_have_no_reference():
    out = resample_input(np.ones((1, 3, 8, 8)), SDSS.select("gri"), CFHTLS, (17, 17))
    assert np.isnan(out[:, [0, 4]]).all() and np.isfinite(out[:, 1:4]).all()


def test_robust_numbers():
    values = np.random.default_rng(0).normal(2, 3, 20001)
    assert nmad(values) == pytest.approx(3, rel=0.03)
    assert median([1.0, np.nan, 3.0]) == 2 and np.isnan(median([np.nan]))
    assert np.isnan(nmad(np.full(3, np.nan)))
    gain, low, high = paired_reduction(values, values / 2, n_bootstrap=50, seed=0, confidence=0.9)
    assert gain == pytest.approx(0.5) and low == pytest.approx(0.5) and high == pytest.approx(0.5)
    assert [verdict(*span) for span in ((0.1, 0.2), (-0.1, 0.2), (-0.2, -0.1), (np.nan, np.nan))] == [
        "wins", "no difference measured", "loses", "no difference measured"]


def same_tables(first, second):
    assert set(first) == set(second)
    for name, table in first.items():
        other = second[name]
        for column in table.colnames:
            np.testing.assert_array_equal(np.asarray(table[column]), np.asarray(other[column]), err_msg=name)


def test_finished_images_are_evaluated_as_those_of_a_translator(judges):
    training, test = make_pairs(20, seed=3), make_pairs(10, seed=4)
    images = (1.1 * np.asarray(test.input_flux)).astype(np.float32)
    estimator = Judge(training.target_flux, training.redshift)
    options = {"n_bootstrap": 10, "batch_size": 4, "n_shown": 3, "estimator": estimator}
    made = evaluate({"a": Scaled(1.1), "b": Scaled(1.2)}, test, **options)
    found = evaluate({"a": images, "b": Scaled(1.2)}, test, **options)
    same_tables(made.tables, found.tables)
    np.testing.assert_array_equal(found.samples["translated"]["a"], made.samples["translated"]["a"])
    assert [found.meta["translators"][name]["kind"] for name in found.names] == ["images", "translator"]
    assert list(found.history) == ["b"] and found.failed == {"a": 0, "b": 0}
    retrained = evaluate({"a": images, "b": Scaled(1.2)}, test, training=training, **options).redshift
    assert "a, transfer" in retrained and "b, retrained" in retrained and "a, retrained" not in retrained


def test_one_array_of_images_needs_no_name():
    test = make_pairs(6)
    found = evaluate(np.asarray(test.target_flux), test, n_bootstrap=0)
    assert found.names == ["images"]
    assert np.allclose(rows(found.tables["pixels"], image="images")["relative_rmse"], 0, atol=1e-6)


@pytest.mark.parametrize("form", ["list", "float64", "nmgy", "mJy", "masked", "Masked"])
def test_forms_of_finished_images(form):
    test = make_pairs(6)
    flux, spot = np.asarray(test.target_flux), np.zeros(test.target_flux.shape, dtype=bool)
    spot[2, 0, 3, 4] = True
    images = {"list": list(flux), "float64": flux.astype(float), "nmgy": flux * u.Unit("nmgy"),
              "mJy": (flux * 3.63078e-3) * u.mJy, "masked": np.ma.array(flux, mask=spot),
              "Masked": Masked(flux * u.Unit("nmgy"), mask=spot)}[form]
    found = evaluate({"a": images}, test, n_bootstrap=0)
    assert np.allclose(rows(found.tables["pixels"], image="a")["relative_rmse"], 0, atol=1e-5)
    assert found.failed["a"] == (form in ("masked", "Masked"))


def test_masked_pixels_of_a_translation_are_not_taken_for_flux():
    class Masking(Scaled):
        def translate_array(self, flux, weight=None, redshift=None):
            return np.ma.array(flux, mask=np.arange(len(flux))[:, None, None, None] == np.full(flux.shape, 1))

    assert evaluate(Masking(), make_pairs(6), n_bootstrap=0).failed == {"scaled": 1}


@pytest.mark.parametrize("images, error", [
    (np.zeros((6, 5, SIZE, SIZE + 1)), ValueError), (np.zeros((5, 5, SIZE, SIZE)), ValueError),
    (np.zeros((6, 4, SIZE, SIZE)), ValueError), (np.zeros((5, SIZE, SIZE)) * u.nJy, ValueError),
    (np.zeros((6, 5, SIZE, SIZE)) * u.m, u.UnitConversionError), (None, TypeError), ("images.npy", TypeError),
    (np.zeros((6, 5, SIZE, SIZE), complex), TypeError), ([np.zeros(3), np.zeros(4)], TypeError),
])
def test_images_that_do_not_fit_are_named(images, error):
    with pytest.raises(error, match="'mine'"):
        evaluate({"mine": images}, make_pairs(6), n_bootstrap=0)


def test_names_of_rows_are_taken():
    test = make_pairs(4)
    with pytest.raises(ValueError, match="translators.*'real target'"):
        evaluate({"real target": np.asarray(test.target_flux)}, test)


@pytest.mark.parametrize("pairs", [None, "pairs.zarr", np.zeros((4, 5, SIZE, SIZE))])
def test_something_else_than_pairs_is_named(pairs):
    with pytest.raises(TypeError, match="test must be a PairSet"):
        evaluate(Scaled(), pairs)
    if pairs is not None:
        with pytest.raises(TypeError, match="training must be a PairSet"):
            evaluate(Scaled(), make_pairs(4), training=pairs)


def test_training_galaxies_are_refused_as_test_galaxies(judges):
    """Ids that are row numbers are shared by different sets."""
    test, other = make_pairs(20, seed=4), make_pairs(20, seed=3)
    evaluate(Scaled(), test.select(range(10)), training=other, n_bootstrap=0, n_shown=0)
    with pytest.raises(ValueError, match="training must not have galaxies of test, got 5 ids of both, for example 5"):
        evaluate(Scaled(), test.select(range(10)), training=test.select(range(5, 20)), n_bootstrap=0)


@pytest.mark.parametrize("error", [TypeError, ValueError, NotImplementedError, RuntimeError])
def test_the_error_of_a_failing_translator_surfaces(error, small_translator, small_pairs, monkeypatch):
    """Also where it fails at its uncertainty or at its gradient weights alone."""
    class Failing(Scaled):
        def translate_array_with_uncertainty(self, flux, **options):
            raise error("of the translator")

    with pytest.raises(error, match="of the translator"):
        evaluate(Failing(sigma=1.0), make_pairs(4), n_bootstrap=0)

    class NoWeights(Scaled):
        gives_gradient_weights = True

        def gradient_weights(self, input_flux, target_flux):
            raise error("of the weights")

    with pytest.raises(error, match="of the weights"):
        evaluate(NoWeights(), make_pairs(4), n_bootstrap=0, n_shown=1)

    def fails(*arguments, **options):
        raise error("of a trained translator")

    monkeypatch.setattr(small_translator, "translate_array_with_uncertainty", fails)
    with pytest.raises(error, match="of a trained translator"):
        evaluate(small_translator, small_pairs.select(slice(0, 2)), n_bootstrap=0)


def test_attributes_of_a_translator_have_defaults():
    class Plain:
        input_survey = target_survey = SDSS

        def translate_array(self, flux, weight=None):
            return flux

    assert isinstance(Plain(), TranslatorLike)
    found = evaluate(Plain(), make_pairs(4), n_bootstrap=0)
    assert found.names == ["translator"] and "uncertainty" not in found.tables
    about = found.meta["translators"]["translator"]
    assert about["kind"] == "translator" and about["hash"] is None and about["provenance"] == {}


def test_resampling_wants_the_bands_of_the_survey():
    with pytest.raises(ValueError, match="flux must have shape"):
        resample_input(np.zeros((2, 4, 8, 8)), "SDSS", "CFHTLS", (17, 17))


def test_bad_arguments_are_named():
    test = make_pairs(4)
    with pytest.raises(ValueError, match="at least one translator"):
        evaluate({}, test)
    with pytest.raises(TypeError, match="translate_array"):
        evaluate({"a": object()}, test)
    with pytest.raises(ValueError, match="confidence"):
        evaluate(Scaled(), test, confidence=1.0)
    wrong = Scaled()
    wrong.target_survey = CFHTLS
    with pytest.raises(ValueError, match="target survey CFHTLS"):
        evaluate(wrong, test)

    class Small(Scaled):
        def translate_array(self, flux, **options):
            return flux[:, :, :-1]

    with pytest.raises(ValueError, match="gave images of shape"):
        evaluate(Small(), test)


def test_settings_come_as_keywords_or_as_a_config():
    test = make_pairs(6)
    by_keyword = evaluate(Scaled(1.1), test, n_bootstrap=0, aperture_radii=[3], n_shown=1).tables["apertures"]
    config = EvaluationConfig(n_bootstrap=0, aperture_radii=[3], n_shown=2)
    by_config = evaluate(Scaled(1.1), test, config=config, n_shown=1)
    assert set(by_keyword["radius"]) == {3} and len(by_config.samples["rows"]) == 1
    assert np.array_equal(by_keyword["bias"], by_config.tables["apertures"]["bias"], equal_nan=True)
    assert repr(config) == "EvaluationConfig(n_bootstrap=0, aperture_radii=(3.0,), n_shown=2)"
    with pytest.raises(TypeError, match="n_boot .* n_bootstrap, confidence"):
        evaluate(Scaled(), test, n_boot=3)
    with pytest.raises(ValueError, match="confidence"):
        EvaluationConfig(confidence=1)
    with pytest.raises(ValueError, match="aperture_radii"):
        EvaluationConfig(aperture_radii=())


def test_an_error_in_an_optional_attribute_surfaces():
    class Broken(Scaled):
        @property
        def generative(self):
            raise AttributeError("no such part")

    with pytest.raises(AttributeError, match="no such part"):
        evaluate(Broken(), make_pairs(4), n_bootstrap=0)
