"""Inception networks, conditional densities, catalog columns, ensembles, schedules and checkpoints."""

import itertools

import numpy as np
import pytest
import torch
from astropy.table import MaskedColumn, Table

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.objectives import ConditionalDensity
from astro_galtrans.photoz import (
    EstimatorConfig, RedshiftEstimator, distribution_metrics, fit_redshift_estimator, point_metrics,
)
from astro_galtrans.photoz._inputs import ColumnEncoder, column_values
from astro_galtrans.photoz._network import build_network
from astro_galtrans.photoz._trainer import MemberModule
from astro_galtrans.storage import load, save
from astro_galtrans.surveys import get_survey

SDSS = get_survey("SDSS")
QUICK = {"survey": "SDSS", "epochs": 2, "width": 4, "n_bins": 16, "n_apertures": 3}


def galaxies_of_color(n, seed, size=12):
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
    return galaxies_of_color(60, 1)


@pytest.mark.parametrize("settings", [
    {"architecture": "inception", "learning_rate": 3e-3}, {"output": "density"},
    {"architecture": "inception", "output": "density", "learning_rate": 3e-3},
])
def test_each_kind_learns_redshift_from_color(settings):
    flux, redshift = galaxies_of_color(400, 2)
    settings = {"survey": "SDSS", "epochs": 15, "width": 6, "n_bins": 80, "seed": 1, **settings}
    estimator = fit_redshift_estimator(flux[:300], redshift[:300], **settings)
    pdf = estimator.predict(flux[300:])
    guess = point_metrics(np.full(100, np.median(redshift)), redshift[300:])
    assert point_metrics(pdf.median(), redshift[300:])["nmad"] < 0.2 * guess["nmad"]
    assert distribution_metrics(pdf, redshift[300:])["pit_ks"] < 0.3
    np.testing.assert_allclose(np.trapezoid(pdf.density, pdf.grid, axis=1), 1, rtol=1e-6)


def test_inception_depends_on_no_other_galaxy_nor_on_the_training_mode():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network("inception", n_planes=9, n_features=20, n_outputs=16, width=4, dropout=0.0)
        planes, features = torch.randn(5, 9, 11, 7), torch.randn(5, 20)
    whole = network.train()(planes, features)
    torch.testing.assert_close(network.eval()(planes[2:3], features[2:3]), whole[2:3], rtol=1e-4, atol=1e-5)
    (whole**2).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert torch.isfinite(network(torch.zeros(1, 9, 1, 1), torch.zeros(1, 20))).all()


def test_conditional_density_integrates_to_one_and_starts_as_students_t():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        density = ConditionalDensity(n_context=4, n_hidden=8)
        condition = torch.randn(5, density.n_inputs)
        x = torch.linspace(-60, 60, 60001).expand(5, -1)
        with torch.no_grad():
            value = density.log_prob(x, condition)
            student = torch.distributions.StudentT(5.0, condition[:, :1], (6 * torch.tanh(condition[:, 1:2] / 6)).exp())
            torch.testing.assert_close(value, student.log_prob(x), rtol=1e-3, atol=1e-3)
            for parameter in density.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
            total = torch.trapezoid(density.log_prob(x, condition).exp().double(), x.double())
    torch.testing.assert_close(total, torch.ones(5, dtype=torch.float64), rtol=2e-3, atol=0)
    with pytest.raises(ValueError, match=r"\(5, 6\)"):
        density.log_prob(x, condition[:, 1:])


def test_conditional_density_learns_a_two_sided_distribution():
    rng = np.random.default_rng(0)
    side, noise = rng.choice([-1.0, 1.0], 2000), 0.1 * rng.normal(size=2000)
    x = torch.tensor(side + noise, dtype=torch.float32)[:, None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        density = ConditionalDensity(n_context=2, n_hidden=16)
        optimizer = torch.optim.Adam(density.parameters(), lr=1e-2)
        condition = torch.zeros(2000, density.n_inputs)
        for _ in range(150):
            loss = -density.log_prob(x, condition).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    entropy = np.log(2) + 0.5 * np.log(2 * np.pi * np.e * 0.01)
    assert loss.item() < entropy + 0.15
    peak, valley = density.log_prob(torch.tensor([[1.0, 0.0]]), condition[:1])[0].tolist()
    assert peak - valley > 2


# Catalog columns


def test_columns_are_used_and_missing_ones_are_distinguished():
    rng = np.random.default_rng(0)
    flux = SDSS.sky_noise[:, None, None] * rng.normal(size=(400, 5, 8, 8))
    redshift = rng.uniform(0.05, 0.4, 400)
    column = redshift + 0.005 * rng.normal(size=400)
    column[rng.random(400) < 0.3] = np.nan
    estimator = fit_redshift_estimator(flux, redshift, survey="SDSS", features=column, epochs=50, width=4, n_bins=40,
                                       n_apertures=2)
    pdf = estimator.predict(flux, features=column)
    known = np.isfinite(column)
    widths = np.subtract(*pdf.quantile([0.84, 0.16]).T)
    assert np.median(np.abs(pdf.median() - redshift)[known]) < 0.02
    assert np.median(widths[~known]) > 2 * np.median(widths[known])
    assert "1 columns" in repr(estimator) and pdf.n_masked == 0


def test_column_that_was_complete_in_training_must_be_there(galaxies):
    flux, redshift = galaxies
    columns = Table({"ebv": np.linspace(0.01, 0.1, 60), "size": MaskedColumn(np.ones(60), mask=np.arange(60) < 9)})
    estimator = fit_redshift_estimator(flux, redshift, features=columns, **QUICK)
    assert estimator.column_names == ["ebv", "size"]
    whole = estimator.predict(flux, features=columns)
    columns["ebv"][4] = np.nan
    with pytest.warns(GaltransWarning, match="1 of 60"):
        pdf = estimator.predict(flux, features=columns)
    assert not pdf.valid[4] and pdf.n_masked == 1
    assert np.array_equal(pdf.density[5:], whole.density[5:])


@pytest.mark.parametrize("features, message", [
    (None, "must be given"), (np.ones((60, 3)), "2 columns"), (np.ones((5, 2)), r"shape \(60, n_columns\)"),
    (Table({"size": np.ones(60), "ebv": np.ones(60)}), "ebv, size"), (np.full((60, 2), np.inf), "infinite"),
])
def test_other_columns_are_refused(galaxies, features, message):
    columns = Table({"ebv": np.linspace(0.01, 0.1, 60), "size": np.linspace(1, 2, 60)})
    estimator = fit_redshift_estimator(*galaxies, features=columns, **{**QUICK, "epochs": 1})
    with pytest.raises(ValueError, match=message):
        estimator.predict(galaxies[0], features=features)
    with pytest.raises(ValueError, match="validation must have features"):
        fit_redshift_estimator(*galaxies, features=columns, validation=galaxies, **QUICK)
    with pytest.raises(ValueError, match="images alone"):
        fit_redshift_estimator(*galaxies, **{**QUICK, "epochs": 1}).predict(galaxies[0], features=columns)


def test_column_values_and_their_scale():
    with pytest.raises(TypeError, match="numbers, got dtype"):
        column_values(np.array([["a"]]), 1, "features")
    values, names = column_values(Table({"a": MaskedColumn([1, 2], mask=[True, False]), "b": [True, False]}), 2, "x")
    assert names == ["a", "b"] and np.isnan(values[0, 0]) and values[1].tolist() == [2, 0]
    rng = np.random.default_rng(0)
    columns = np.stack([5 + 3 * rng.normal(size=4000), np.full(4000, 2.0), rng.normal(size=4000)], axis=1)
    columns[:, 2] = np.where(rng.random(4000) < 0.5, np.nan, columns[:, 2])
    encoder = ColumnEncoder(3)
    encoder.standardize(columns)
    encoded = encoder(torch.from_numpy(columns).float()).numpy()
    assert np.isfinite(encoded).all() and encoded.shape == (4000, 6)
    assert np.std(encoded[:, 0]) == pytest.approx(1, abs=0.05) and np.all(encoded[:, 1] == 0)
    assert np.array_equal(encoded[:, 5] == 1, np.isnan(columns[:, 2])) and np.all(encoded[:, 3:5] == 0)
    with pytest.raises(ValueError, match="column 1 has no value"):
        encoder.standardize(np.array([[1.0, np.nan, 1.0]] * 3))


# Ensembles


def test_ensemble_is_the_mean_of_its_members(galaxies):
    flux, redshift = galaxies
    single = fit_redshift_estimator(flux, redshift, calibrate=False, **QUICK)
    ensemble = fit_redshift_estimator(flux, redshift, n_members=3, calibrate=False, **QUICK)
    members = []
    for model in ensemble._models:
        part = RedshiftEstimator(ensemble._description, ensemble.grid, single.config, models=[model])
        members.append(part.predict(flux).density)
    assert np.array_equal(members[0], single.predict(flux).density)
    assert not np.array_equal(members[1], members[2])
    np.testing.assert_allclose(ensemble.predict(flux).density, np.mean(members, axis=0), rtol=1e-5, atol=1e-6)
    assert list(ensemble.history["member"]) == [0, 0, 1, 1, 2, 2] and "x 3" in repr(ensemble)


def test_calibration_is_of_the_mean():
    flux, redshift = galaxies_of_color(250, 8)
    held = galaxies_of_color(150, 9)
    settings = {"survey": "SDSS", "epochs": 5, "width": 6, "n_bins": 40, "label_width": 3.0, "n_members": 2}
    scores = []
    for calibrate in (False, True):
        fitted = fit_redshift_estimator(flux, redshift, validation=held, calibrate=calibrate, **settings)
        scores.append(distribution_metrics(fitted.predict(held[0]), held[1])["log_score"])
        assert len({float(model.power) for model in fitted._models}) == 1
    assert scores[1] < scores[0]


@pytest.mark.parametrize("settings", [
    {}, {"n_members": 2}, {"output": "density"}, {"architecture": "inception", "n_members": 2, "output": "density"},
])
def test_files_hold_every_kind_bitwise(tmp_path, galaxies, settings):
    flux, redshift = galaxies
    columns = Table({"ebv": MaskedColumn(np.linspace(0.01, 0.1, 60), mask=np.arange(60) > 50)})
    estimator = fit_redshift_estimator(flux, redshift, features=columns, **{**QUICK, "epochs": 1, **settings})
    save(tmp_path / "e.asdf", estimator)
    read = load(tmp_path / "e.asdf")
    assert np.array_equal(read.predict(flux, features=columns).density,
                          estimator.predict(flux, features=columns).density)
    assert read.config == estimator.config and read.column_names == ["ebv"]
    assert read.history.colnames == estimator.history.colnames


def test_trees_of_other_members_and_of_before(galaxies):
    tree = fit_redshift_estimator(*galaxies, **{**QUICK, "epochs": 1, "n_members": 2}).to_tree()
    assert tree["format"] == 2
    with pytest.raises(ValueError, match="1 members"):
        RedshiftEstimator.from_tree({**tree, "state": tree["state"][:1]})
    old = fit_redshift_estimator(*galaxies, **{**QUICK, "epochs": 1}).to_tree()
    for name in ("output", "n_members", "schedule", "n_reductions"):
        del old["config"][name]
    again = RedshiftEstimator.from_tree(old)
    assert old["format"] == 1 and again.config.n_members == 1 and len(again.predict(galaxies[0])) == 60


# Schedules


def test_plateau_lowers_the_rate_and_stops_by_itself(monkeypatch):
    rates = []
    losses = itertools.chain([5.0, 4.0, 4.5, 4.5, 3.0], itertools.repeat(3.5))

    def validation_step(self, rows, batch_index):
        rates.append(self.learning_rate())
        self.add("valid", {"loss": torch.tensor(next(losses))}, len(rows))

    monkeypatch.setattr(MemberModule, "validation_step", validation_step)
    config = EstimatorConfig(schedule="plateau", patience=2, n_reductions=2, epochs=60, learning_rate=1e-3, width=4,
                             n_bins=16, n_apertures=3)
    fitted = fit_redshift_estimator(*galaxies_of_color(40, 3), survey="SDSS", config=config)
    np.testing.assert_allclose(rates[:4], 1e-3)
    # Not better in epochs 2 and 3: 0.3 times the rate; from epoch 4 on never better: once more, then the end.
    np.testing.assert_allclose(rates[4:7], 3e-4)
    np.testing.assert_allclose(rates[7:], 9e-5)
    assert len(rates) == len(fitted.history) == 9


def test_plateau_says_when_the_epochs_run_out(galaxies):
    with pytest.warns(GaltransWarning, match="after all 2 epochs"):
        fit_redshift_estimator(*galaxies, schedule="plateau", patience=2, **QUICK)
    with pytest.raises(ValueError, match="needs validation galaxies"):
        fit_redshift_estimator(*galaxies, schedule="plateau", patience=2, validation_fraction=0.0, **QUICK)
    with pytest.raises(ValueError, match="needs patience"):
        EstimatorConfig(schedule="plateau")


@pytest.mark.parametrize("settings, error", [
    ({"output": "points"}, ValueError), ({"schedule": "steps"}, ValueError), ({"n_members": 0}, ValueError),
    ({"n_members": True}, TypeError), ({"n_reductions": -1}, ValueError), ({"pooling": 1.5}, TypeError),
])
def test_bad_options(settings, error):
    with pytest.raises(error, match=next(iter(settings))):
        EstimatorConfig().changed(**settings)


# Checkpoints


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("at", [0, 3, 4])
@pytest.mark.parametrize("output", ["bins", "density"])
def test_interrupted_training_goes_on_to_the_same_estimator(tmp_path, galaxies, monkeypatch, at, output):
    settings = {**QUICK, "epochs": 3, "n_members": 2, "output": output}
    wanted = fit_redshift_estimator(*galaxies, **settings)
    epochs = itertools.count()
    start = MemberModule.on_train_epoch_start

    def interrupted(self):
        if next(epochs) == at + 1:
            raise Interrupted
        start(self)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(MemberModule, "on_train_epoch_start", interrupted)
        fit_redshift_estimator(*galaxies, checkpoint=tmp_path, **settings)
    left = itertools.count()
    monkeypatch.setattr(MemberModule, "on_train_epoch_start", lambda self: (next(left), start(self)))
    fitted = fit_redshift_estimator(*galaxies, checkpoint=tmp_path, **settings)
    assert next(left) == 6 - (at + 1)
    assert np.array_equal(fitted.predict(galaxies[0]).density, wanted.predict(galaxies[0]).density)
    assert fitted.history["training_loss"].tolist() == wanted.history["training_loss"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["member-000.asdf", "member-001.asdf"]


def test_checkpoints_of_another_training_are_refused(tmp_path, galaxies):
    fit_redshift_estimator(*galaxies, checkpoint=tmp_path / "run", **QUICK)
    with pytest.raises(ValueError, match="settings and galaxies differ"):
        fit_redshift_estimator(*galaxies, checkpoint=tmp_path / "run", seed=1, **QUICK)
    with pytest.raises(ValueError, match="galaxies differ"):
        fit_redshift_estimator(galaxies[0] + 1, galaxies[1], checkpoint=tmp_path / "run", **QUICK)
    (tmp_path / "run" / "member-000.asdf").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="member-000.asdf"):
        fit_redshift_estimator(*galaxies, checkpoint=tmp_path / "run", **QUICK)


def test_random_states_are_left_alone(tmp_path, galaxies):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    for _ in range(2):
        fit_redshift_estimator(*galaxies, n_members=2, output="density", checkpoint=tmp_path, **QUICK)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("output", ["bins", "density"])
def test_on_an_accelerator(galaxies, output, tmp_path):
    settings = {**QUICK, "n_members": 2, "output": output, "features": np.linspace(0, 1, 60)}
    for _ in range(2):
        fitted = fit_redshift_estimator(*galaxies, device="cuda", architecture="inception", checkpoint=tmp_path,
                                        **settings)
    pdf = fitted.predict(torch.from_numpy(galaxies[0]).cuda(), features=settings["features"])
    assert pdf.device.type == "cuda"
    host = fitted.predict(galaxies[0], features=settings["features"])
    np.testing.assert_allclose(pdf.median().cpu().numpy(), host.median(), atol=2e-2)
