"""Many galaxies as arrays through a translator, and the storage of translators."""

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.utils.exceptions import AstropyDeprecationWarning
from numpy.testing import assert_array_equal

from astro_galtrans.exceptions import BandMismatchError, GaltransWarning
from astro_galtrans.storage import load, save
from astro_galtrans.translation import TranslatedArrays, Translator


def test_shape_type_and_uncertainty(translator, flux):
    result, sigma = translator.translate_array_with_uncertainty(flux)
    for array in (result, sigma):
        assert array.shape == (7, 3, 34, 34) and array.dtype == np.float32 and np.isfinite(array).all()
    assert (sigma > 0).all()
    assert_array_equal(translator.translate_array(flux), result)


def test_size_of_the_batch_does_not_matter(translator, flux):
    expected = translator.translate_array(flux)
    for batch_size in (1, 2, 3, 100):
        result = translator.translate_array(flux, batch_size=batch_size)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [(4, 4), (15, 15), (16, 21)])
def test_other_sizes(translator, size):
    result = translator.translate_array(np.ones((2, 3, *size)))
    assert result.shape[2:] == translator.target_size(size)


def test_no_galaxies(translator):
    assert translator.translate_array(np.empty((0, 3, 16, 16))).shape == (0, 3, 34, 34)


def test_input_is_not_changed(translator, flux):
    flux = flux.copy()
    flux[0, 0, 3, 3] = np.nan
    kept = flux.copy()
    translator.translate_array(flux, weight=np.ones_like(flux))
    assert_array_equal(flux, kept)
    translator.translate_array(flux[:, :, ::-1, ::-1])  # strides that torch does not know
    flux.flags.writeable = False
    translator.translate_array(flux)


def test_quantities_are_converted(translator, flux):
    expected = translator.translate_array(flux)
    nmgy = u.Quantity(flux, "nmgy")
    assert_array_equal(translator.translate_array(nmgy), expected)
    for unit in ("Jy", "uJy"):
        converted = nmgy.value * (22.5 * u.ABmag).to(unit)
        np.testing.assert_allclose(translator.translate_array(converted), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e30])
def test_masked_pixels_do_not_reach_the_output(translator, flux, garbage):
    rng = np.random.default_rng(5)
    weight = (rng.random(flux.shape) > 0.02).astype(np.float32)
    expected = translator.translate_array_with_uncertainty(flux, weight=weight)
    result = translator.translate_array_with_uncertainty(np.where(weight > 0, flux, garbage), weight=weight)
    for one, other in zip(result, expected):
        assert_array_equal(one, other)
        assert np.isnan(one).any() and np.isfinite(one).any()
    if not np.isfinite(garbage):
        assert_array_equal(translator.translate_array(np.where(weight > 0, flux, garbage)), expected[0])
    masked = np.ma.MaskedArray(np.where(weight > 0, flux, 7.0), weight == 0)
    assert_array_equal(translator.translate_array(masked), expected[0])


def test_a_masked_galaxy_does_not_touch_its_neighbors(translator, flux):
    broken = flux.copy()
    broken[2, 1, :2] = np.nan
    result, expected = translator.translate_array(broken), translator.translate_array(flux)
    others = [0, 1, 3, 4, 5, 6]
    assert_array_equal(result[others], expected[others])
    assert np.isnan(result[2, 1]).any() and not np.isnan(result[2, [0, 2]]).any()


def test_a_galaxy_without_pixels_becomes_nan_with_a_warning(translator, flux):
    broken = flux.copy()
    broken[2] = np.nan
    with pytest.warns(GaltransWarning, match="1 of 7 galaxies have no usable pixel"):
        result = translator.translate_array(broken)
    assert np.isnan(result[2]).all() and np.isfinite(np.delete(result, 2, 0)).all()


def test_redshift(make_translator, flux):
    translator = make_translator(conditioning="redshift")
    near, far = (translator.translate_array(flux, redshift=np.full(7, z), batch_size=4) for z in (0.05, 0.3))
    mixed = translator.translate_array(flux, redshift=[0.05] * 6 + [0.3], batch_size=4)
    np.testing.assert_allclose(mixed[:6], near[:6], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(mixed[6], far[6], rtol=1e-5, atol=1e-4)
    assert np.abs(near - far).max() > 1e-3
    with pytest.raises(ValueError, match="redshift must be given"):
        translator.translate_array(flux)
    with pytest.raises(ValueError, match="redshift must be 7 numbers above -1 or nan"):
        translator.translate_array(flux, redshift=[0.1, 0.2])


@pytest.mark.parametrize(("array", "options", "error", "message"), [
    (np.ones((3, 16, 16)), {}, ValueError, r"flux must have shape \(galaxy, band, y, x\), got \(3, 16, 16\)"),
    (np.ones((2, 5, 16, 16)), {}, BandMismatchError, "flux must have the 3 bands g,r,i of SDSS, got 5"),
    (np.ones((2, 3, 3, 16)), {}, ValueError, "flux must have at least 4 x 4 pixels"),
    (np.ones((3, 16, 16)) * u.Jy, {}, ValueError, r"flux must have shape \(galaxy, band, y, x\)"),
    (np.ones((2, 5, 16, 16)) * u.Jy, {}, BandMismatchError, "flux must have the 3 bands"),
    (np.ones((2, 3, 16, 16)) * u.m, {}, ValueError, "flux must be convertible to nmgy or Jy, got m"),
    (np.ones((2, 3, 16, 16), complex), {}, TypeError, "flux must hold real numbers, got dtype complex128"),
    (np.full((2, 3, 16, 16), "a"), {}, TypeError, "flux must hold real numbers"),
    (np.ones((2, 3, 16, 16)), {"weight": np.ones((3, 16, 16))}, ValueError, "weight must have the shape of flux"),
    (np.ones((2, 3, 16, 16)), {"batch_size": 0}, ValueError, "batch_size must be a positive int, got 0"),
    (np.ones((2, 3, 16, 16)), {"batch_size": 2.5}, ValueError, "batch_size must be a positive int, got 2.5"),
    (np.ones((2, 3, 16, 16)), {"redshift": [0.1, 0.2]}, ValueError, "is not conditioned on it"),
])
def test_wrong_arguments_are_named(translator, array, options, error, message):
    with pytest.raises(error, match=message):
        translator.translate_array(array, **options)


def test_numbers_beyond_float32_count_as_masked(translator, flux):
    result = translator.translate_array(np.where(np.arange(16) == 14, 1e300, flux.astype(float)))
    assert np.isnan(result).any() and np.isfinite(result).any()


def test_progress_bar(translator, flux, capsys):
    translator.translate_array(flux, batch_size=2, progress=True)
    out, err = capsys.readouterr()
    assert "4/4" in err and not out
    translator.translate_array(flux)
    assert capsys.readouterr() == ("", "")


def test_a_stored_translator_gives_bitwise_identical_images(make_translator, flux, tmp_path):
    translator = make_translator()
    save(tmp_path / "t.asdf", translator)
    again = load(tmp_path / "t.asdf")
    assert again.hash == translator.hash and again.name == translator.name
    assert_array_equal(again.translate_array(flux), translator.translate_array(flux))


def test_hash_depends_on_weights_options_and_surveys(make_translator):
    base = make_translator()
    assert base.hash == make_translator().hash and len(base.hash) == 64
    others = [make_translator(seed=5), make_translator("gr"), make_translator(residual=False),
              make_translator(output="sqrt"), make_translator(objective="pixel")]
    assert len({base.hash, *(other.hash for other in others)}) == 6


def test_hash_follows_a_change_of_a_weight(make_translator, flux):
    translator = make_translator()
    before, images = translator.hash, translator.translate_array(flux)
    with torch.no_grad():
        translator.network.image_head.bias[1] += 0.25
    assert translator.hash != before
    assert np.abs(translator.translate_array(flux) - images)[:, 1].min() > 0
    Translator.from_tree(translator.to_tree())
    changed = translator.hash
    with torch.no_grad():
        next(translator.objective.parameters()).add_(1)
    assert translator.hash != changed


def test_tree_is_checked(make_translator):
    tree = make_translator().to_tree()
    weights = tree["network"]["weights"]
    with pytest.raises(ValueError, match="hashes differ"):
        Translator.from_tree(tree | {"hash": "0" * 64})
    name = "image_head.bias"
    with pytest.raises(ValueError, match=r"(?s)weights of the network do not fit its options.*image_head"):
        wrong = weights | {name: np.zeros(9, np.float32)}
        Translator.from_tree(tree | {"network": tree["network"] | {"weights": wrong}})
    missing = {key: value for key, value in weights.items() if key != name}
    with pytest.raises(ValueError, match=r"(?s)do not fit.*image_head\.bias"):
        Translator.from_tree(tree | {"network": tree["network"] | {"weights": missing}})


def test_tree_holds_copies_without_torch(make_translator):
    translator = make_translator()
    tree = translator.to_tree()
    assert all(type(value) is np.ndarray for value in tree["network"]["weights"].values())
    before = translator.hash
    tree["network"]["weights"]["image_head.bias"][:] = 7
    assert translator._compute_hash() == before


def test_wrong_parts_are_named(make_translator):
    translator = make_translator()
    parts = {"network": translator.network, "objective": translator.objective, "objective_name": "gradient",
             "input_survey": translator.input_survey, "target_survey": translator.target_survey}
    with pytest.raises(TypeError, match="network must be a TranslationNetwork, got Linear"):
        Translator(**parts | {"network": torch.nn.Linear(1, 1, device="meta")})
    with pytest.raises(TypeError, match="target_survey must be a Survey, got str"):
        Translator(**parts | {"target_survey": "CFHTLS"})


def test_name_and_description(make_translator):
    translator = make_translator(conditioning="redshift")
    assert translator.name == "sdss-to-cfhtls-unet-gradient"
    assert repr(translator) == (
        "<Translator sdss-to-cfhtls-unet-gradient: SDSS g,r,i -> CFHTLS g,r,i, given the redshift>")
    assert translator.conditioning == "redshift"
    assert translator.device == torch.device("cpu")
    assert translator.to("cpu") is translator


def test_gradient_weights(translator, flux):
    target = translator.translate_array(flux) + np.random.default_rng(1).normal(0, 1, (7, 3, 34, 34)).astype(np.float32)
    weights = translator.gradient_weights(flux, target)
    assert {name: weight.shape for name, weight in weights.items()} == {
        "x": (7, 3, 33, 33), "y": (7, 3, 33, 33), "passband": (7, 2, 33, 33)}
    for weight in weights.values():
        assert np.isfinite(weight).all() and (weight >= 0).all() and weight.mean() == pytest.approx(1, rel=1e-4)
    # A new flow weights by signal-to-noise: the middle of the galaxies counts more than the sky.
    assert weights["x"][:, 2, 12:20, 12:20].mean() > 3 * weights["x"][:, 2, :4].mean()
    coarse = translator.gradient_weights(flux, target, scale=4)
    assert coarse["x"].shape == (7, 3, 7, 7)


def test_gradient_weights_of_masked_targets(translator, flux):
    target = translator.translate_array(flux)
    target_weight = np.ones_like(target)
    target_weight[0, 1, 10, 10] = 0
    target[3, 0, 4, 4] = np.nan
    for garbage in (0.0, 1e5):
        target[0, 1, 10, 10] = garbage
        weights = translator.gradient_weights(flux, target, target_weight=target_weight)
        for weight in weights.values():
            assert np.isfinite(weight).all()
            assert (weight[0, :, 10, 10] == 0).all() and (weight[3, :, 4, 4] == 0).all()


def test_gradient_weights_need_all_gradients(make_translator, flux):
    translator = make_translator()
    translator.objective.elements = "passband"
    with pytest.raises(ValueError, match="elements='gradients', got 'passband'"):
        translator.gradient_weights(flux, translator.translate_array(flux))


def test_gradient_weights_need_their_objective(make_translator, flux, translator):
    with pytest.raises(ValueError, match="only objective 'gradient' weights its elements, this translator has 'pixel'"):
        make_translator(objective="pixel").gradient_weights(flux, flux)
    target = np.ones((3, 3, 34, 34))
    with pytest.raises(ValueError, match="target_flux must have 7 galaxies as input_flux, got 3"):
        translator.gradient_weights(flux, target)
    with pytest.raises(ValueError, match="target_weight must have the shape of target_flux"):
        translator.gradient_weights(flux[:3], target, target_weight=np.ones((3, 34, 34)))
    with pytest.raises(ValueError, match=r"target_flux must have 34 x 34 pixels.*got 16 x 16"):
        translator.gradient_weights(flux, flux)


def test_flags_of_earlier_versions_are_deprecated(make_translator, translator, flux):
    expected = translator.translate_array_with_uncertainty(flux)
    assert isinstance(expected, TranslatedArrays) and repr(expected).startswith("<TranslatedArrays flux (7, 3, 34, 34)")
    with pytest.warns(AstropyDeprecationWarning, match="translate_array_with_uncertainty"):
        old = translator.translate_array(flux, return_uncertainty=True)
    for one, other in zip(old, expected):
        assert_array_equal(one, other)
    with pytest.warns(AstropyDeprecationWarning, match="sample_array"):
        assert_array_equal(translator.translate_array(flux, return_samples=False), expected.flux)


def test_unknown_keywords_are_named(translator, flux):
    for translate in (translator.translate_array, translator.translate_array_with_uncertainty, translator.sample_array):
        with pytest.raises(TypeError, match="n_sample is not a keyword argument; the fields of Sampling are n_samples"):
            translate(flux, n_sample=2)
    with pytest.raises(TypeError, match="sampling must be a Sampling, got int"):
        translator.translate_array(flux, sampling=3)


@pytest.mark.parametrize("method", ["translate_array", "translate_array_with_uncertainty"])
def test_the_weights_return_after_a_call_with_a_device(make_translator, flux, monkeypatch, method):
    translator, moves = make_translator(), []
    before = translator.hash
    monkeypatch.setattr(translator, "to", moves.append)
    getattr(translator, method)(flux, device="cuda:3")
    with pytest.raises(ValueError, match="flux must have shape"):
        getattr(translator, method)(flux[0], device="cuda:3")
    assert moves == ["cuda:3", torch.device("cpu")] * 2
    assert translator.device == torch.device("cpu") and translator.hash == before
