import numpy as np
import pytest
import torch

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import (
    EstimatorConfig,
    RedshiftEstimator,
    distribution_metrics,
    fit_redshift_estimator,
    point_metrics,
)
from astro_galtrans.photoz._inputs import ImageEncoder, default_pooling
from astro_galtrans.photoz._network import build_network
from astro_galtrans.surveys import get_survey

SDSS = get_survey("SDSS")
QUICK = {"survey": "SDSS", "epochs": 2, "width": 4, "n_bins": 16, "n_apertures": 3}


def color_galaxies(n, seed, size=12):
    """Round galaxies whose color, and nothing else, depends on the redshift; with the survey's noise."""
    rng = np.random.default_rng(seed)
    redshift = rng.uniform(0.02, 0.4, n)
    y, x = np.mgrid[:size, :size] - 0.5 * (size - 1)
    profile = np.exp(-(x**2 + y**2) / 8) / 25
    level = rng.uniform(40, 200, n)[:, None] * np.exp(np.outer(redshift, np.linspace(-3, 3, 5)))
    flux = level[:, :, None, None] * profile + SDSS.sky_noise[:, None, None] * rng.normal(size=(n, 5, size, size))
    return flux.astype(np.float32), redshift


@pytest.fixture(scope="module")
def galaxies():
    return color_galaxies(60, 1)


@pytest.fixture(scope="module")
def estimator(galaxies):
    return fit_redshift_estimator(*galaxies, **QUICK)


def test_learns_redshift_from_color():
    flux, redshift = color_galaxies(500, 2)
    estimator = fit_redshift_estimator(flux[:350], redshift[:350], survey="SDSS", epochs=15, width=8, n_bins=60)
    pdf = estimator.predict(flux[350:])
    metrics = point_metrics(pdf.median(), redshift[350:])
    guess = point_metrics(np.full(150, np.median(redshift)), redshift[350:])
    assert metrics["nmad"] < 0.15 * guess["nmad"]
    losses = estimator.history["validation_loss"]
    assert losses.min() < 0.7 * losses[0] and len(losses) == 15


def test_prediction_is_normalized_and_the_same_in_any_batches(estimator, galaxies):
    whole = estimator.predict(galaxies[0])
    np.testing.assert_allclose(np.trapezoid(whole.density, whole.grid, axis=1), 1, rtol=1e-8)
    np.testing.assert_allclose(estimator.predict(galaxies[0], batch_size=7).density, whole.density, rtol=1e-3)
    assert np.array_equal(whole.grid, estimator.grid)


def test_prediction_ignores_the_training_mode(estimator, galaxies):
    before = estimator.predict(galaxies[0]).density
    estimator._model.train()
    assert np.array_equal(estimator.predict(galaxies[0]).density, before)


def test_same_seed_same_estimator(estimator, galaxies):
    again, other = fit_redshift_estimator(*galaxies, **QUICK), fit_redshift_estimator(*galaxies, **QUICK, seed=1)
    assert np.array_equal(again.predict(galaxies[0]).density, estimator.predict(galaxies[0]).density)
    assert not np.array_equal(other.predict(galaxies[0]).density, estimator.predict(galaxies[0]).density)


def test_random_states_and_torch_settings_are_left_alone(galaxies):
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads(), torch.is_grad_enabled()
    fitted = fit_redshift_estimator(*galaxies, **QUICK)
    RedshiftEstimator.from_tree(fitted.to_tree())
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2:] == (torch.get_num_threads(), torch.is_grad_enabled())


def plain(value):
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(part) for key, part in value.items())
    if isinstance(value, list):
        return all(plain(part) for part in value)
    return value is None or type(value) in (str, int, float, bool, np.ndarray)


def test_tree_round_trip_is_bitwise(estimator, galaxies):
    tree = estimator.to_tree()
    assert plain(tree)
    again = RedshiftEstimator.from_tree(tree)
    assert np.array_equal(again.predict(galaxies[0]).density, estimator.predict(galaxies[0]).density)
    assert again.config == estimator.config and again.survey == "SDSS" and again.bands == tuple("ugriz")
    assert again.history.colnames == estimator.history.colnames
    for name, value in again.to_tree()["state"].items():
        assert np.array_equal(value, tree["state"][name])


def test_tree_shares_no_memory(estimator, galaxies):
    before = estimator.predict(galaxies[0]).density
    for value in estimator.to_tree()["state"].values():
        value[...] = 0
    assert np.array_equal(estimator.predict(galaxies[0]).density, before)


def test_damaged_trees(estimator):
    tree = estimator.to_tree()
    with pytest.raises(ValueError, match="lacks state"):
        RedshiftEstimator.from_tree({name: value for name, value in tree.items() if name != "state"})
    with pytest.raises(ValueError, match="format 99"):
        RedshiftEstimator.from_tree({**tree, "format": 99})
    with pytest.raises(ValueError, match="do not fit"):
        RedshiftEstimator.from_tree({**tree, "config": {**tree["config"], "width": 8}})
    with pytest.raises(ValueError, match="no estimator architecture"):
        RedshiftEstimator.from_tree({**tree, "config": {**tree["config"], "architecture": "none"}})


def test_gradient_reaches_every_parameter():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network("small", n_planes=9, n_features=20, n_outputs=16, width=4, dropout=0.0)
        planes, features = torch.randn(4, 9, 8, 8), torch.randn(4, 20)
    (network(planes, features) ** 2).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_masked_pixels_do_not_matter(estimator, galaxies):
    flux = galaxies[0][:5].copy()
    weight = np.ones_like(flux)
    weight[:, :, 2, 3] = 0
    expected = estimator.predict(flux, weight).density
    flux[:, :, 2, 3] = 1e6
    np.testing.assert_array_equal(estimator.predict(flux, weight).density, expected)
    flux[:, :, 2, 3] = np.nan
    np.testing.assert_array_equal(estimator.predict(flux).density, expected)


def test_galaxy_without_pixels_is_masked(estimator, galaxies):
    flux = galaxies[0][:4].copy()
    flux[1, 2] = np.nan
    with pytest.warns(GaltransWarning, match="1 of 4"):
        pdf = estimator.predict(flux)
    assert pdf.valid.tolist() == [True, False, True, True]


def test_training_galaxy_without_pixels_is_left_out(galaxies):
    flux = galaxies[0].copy()
    flux[3] = np.nan
    with pytest.warns(GaltransWarning, match="1 of 60 training"):
        fit_redshift_estimator(flux, galaxies[1], **QUICK)


def test_tensor_in_tensor_out(estimator, galaxies):
    pdf = estimator.predict(torch.from_numpy(galaxies[0]))
    assert isinstance(pdf.density, torch.Tensor)
    np.testing.assert_allclose(pdf.median().numpy(), estimator.predict(galaxies[0]).median(), atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_trains_on_the_accelerator(galaxies):
    fitted = fit_redshift_estimator(*galaxies, **QUICK, device="cuda")
    pdf = fitted.predict(torch.from_numpy(galaxies[0]).cuda())
    assert pdf.device.type == "cuda" and np.isfinite(pdf.median().cpu().numpy()).all()


def test_own_grid_and_validation_galaxies(galaxies):
    grid = np.concatenate([np.linspace(0, 0.2, 20), np.linspace(0.22, 0.6, 10)])
    held = color_galaxies(20, 5)
    config = EstimatorConfig(grid=grid, epochs=4, width=4, patience=1)
    fitted = fit_redshift_estimator(*galaxies, survey=SDSS, config=config, validation=held)
    pdf = fitted.predict(held[0])
    assert np.array_equal(pdf.grid, grid) and np.isfinite(fitted.history["validation_loss"]).all()
    np.testing.assert_allclose(np.trapezoid(pdf.density, grid, axis=1), 1, rtol=1e-8)


def test_calibration_keeps_the_validation_log_score_from_rising():
    flux, redshift = color_galaxies(300, 8)
    held = color_galaxies(200, 9)
    scores = []
    for calibrate in (False, True):
        fitted = fit_redshift_estimator(flux, redshift, survey="SDSS", epochs=6, width=6, n_bins=40, validation=held,
                                        label_width=3.0, calibrate=calibrate)
        scores.append(distribution_metrics(fitted.predict(held[0]), held[1])["log_score"])
    assert scores[1] < scores[0] - 0.02


def test_without_validation_the_last_epoch_is_kept(galaxies):
    fitted = fit_redshift_estimator(*galaxies, **QUICK, validation_fraction=0.0, crps_weight=0.0, augment=False)
    assert np.isnan(fitted.history["validation_loss"]).all() and np.isfinite(fitted.history["training_loss"]).all()


def test_some_bands_odd_and_oblong_images(galaxies):
    flux, redshift = galaxies
    cut = flux[:, 1:4, :11, :9]
    fitted = fit_redshift_estimator(cut, redshift, **{**QUICK, "survey": SDSS.select("gri")}, autocast=True)
    assert fitted.image_shape == (11, 9)
    assert np.isfinite(fitted.predict(cut).median()).all()


@pytest.mark.parametrize("change", [
    {"flux": np.ones((4, 5, 12))}, {"flux": np.ones((60, 4, 12, 12))}, {"redshift": np.ones(3)},
    {"redshift": np.full(60, np.nan)}, {"redshift": np.full(60, 0.1)}, {"weight": np.ones((60, 5, 3, 3))},
    {"architecture": "vast"},
])
def test_bad_training_data(galaxies, change):
    arguments = {"flux": galaxies[0], "redshift": galaxies[1], **QUICK, **change}
    with pytest.raises(ValueError, match=next(iter(change))):
        fit_redshift_estimator(arguments.pop("flux"), arguments.pop("redshift"), **arguments)


def test_bad_images_to_predict(estimator, galaxies):
    with pytest.raises(ValueError, match="^flux "):
        estimator.predict(galaxies[0][:, :, :8])
    with pytest.raises(ValueError, match="batch_size"):
        estimator.predict(galaxies[0], batch_size=0)


@pytest.mark.parametrize("settings, error, message", [
    ({"epochs": 0}, ValueError, "epochs"), ({"epochs": 1.5}, TypeError, "epochs"),
    ({"learning_rate": 0}, ValueError, "learning_rate"), ({"dropout": 1.0}, ValueError, "dropout"),
    ({"ema_decay": np.nan}, ValueError, "ema_decay"), ({"augment": 1}, TypeError, "augment"),
    ({"grid": [0.3] * 9}, ValueError, "grid"), ({"patience": 0}, ValueError, "patience"),
    ({"n_bin": 3}, TypeError, "n_bin"), ({"architecture": 3}, TypeError, "architecture"),
    ({"label_width": "wide"}, TypeError, "label_width"),
])
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        EstimatorConfig().changed(**settings)


def test_config_is_frozen_and_round_trips():
    config = EstimatorConfig(grid=np.linspace(0, 1, 9), seed=3)
    with pytest.raises(AttributeError):
        config.seed = 4
    assert EstimatorConfig(**config.to_dict()) == config


def test_config_of_another_type(galaxies):
    with pytest.raises(TypeError, match="^config "):
        fit_redshift_estimator(*galaxies, survey="SDSS", config={"epochs": 1})


def test_annuli_hold_their_area_and_are_symmetric():
    annuli = ImageEncoder(SDSS.sky_noise, (20, 20), 0.396, 1.3, None, 3).annuli.reshape(3, 20, 20)
    assert float(annuli.sum()) == pytest.approx(np.pi * 10**2, rel=1e-2)
    for turned in (torch.rot90(annuli, dims=(1, 2)), annuli.flip(1)):
        torch.testing.assert_close(turned, annuli)


def test_encoder_sees_colors_at_any_orientation_and_through_masks():
    encoder = ImageEncoder(SDSS.sky_noise, (12, 12), 0.396, 1.3, None, 3)
    flux = torch.from_numpy(color_galaxies(3, 4)[0])
    colors = encoder(flux)[1]
    torch.testing.assert_close(encoder(torch.rot90(flux, 1, (2, 3)))[1], colors, rtol=1e-4, atol=1e-4)
    flat = torch.full((1, 5, 12, 12), 2.0)
    valid = torch.rand((1, 5, 12, 12), generator=torch.Generator().manual_seed(0)) > 0.3
    masked = encoder(torch.where(valid, flat, 0 * flat), valid)[1]
    torch.testing.assert_close(masked, encoder(flat)[1], rtol=1e-3, atol=1e-3)


def test_default_pooling_follows_the_psf():
    assert default_pooling(0.396, 1.32) == 2
    assert default_pooling(0.187, 0.71) == 4
    assert default_pooling(1.0, 0.5) == 1
