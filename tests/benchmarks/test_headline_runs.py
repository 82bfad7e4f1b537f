"""The plan of the headline benchmark, and one run that is as small as possible."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans.storage import load

from headline import benchmark_runs, run_benchmark
from headline import data as data_module, run as run_module
from headline.evaluate import redshift_columns
from headline.plan import GROUPS, SCALES, chosen_runs, scale_named
from headline.results import column_names, merge_rows, write_row

RUN = {"scale": "tiny", "samples": ["bright"], "progress": False}
ONE = ["unet/conventional/seed0"]
TIMES = {"seconds", "translate_seconds", "memory"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with one finished run, and the table of results."""
    pytest.importorskip("galsim")
    out = tmp_path_factory.mktemp("headline") / "out"
    return out, run_benchmark(out, runs=ONE, command="python benchmarks/headline", **RUN)


def same(first, second, ignored=TIMES):
    """Whether two tables of results say the same, but for what the clock decides."""
    assert first.colnames == second.colnames and len(first) == len(second)
    for name in set(first.colnames) - ignored:
        np.testing.assert_array_equal(np.asarray(first[name]), np.asarray(second[name]), err_msg=name)
    return True


def refuse(*arguments, **keywords):
    raise AssertionError("nothing was to be trained or simulated")


# the plan ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scale", SCALES)
def test_one_name_is_one_training(scale):
    runs = benchmark_runs(scale)
    assert len({(run.sample, run.name) for run in runs}) == len({run.key for run in runs})
    assert len({(run.sample, run.name, run.key) for run in runs}) == len({run.key for run in runs})
    assert {run.group for run in runs} == set(GROUPS)


def test_matrix():
    runs = benchmark_runs("small", ["bright"], ["matrix"])
    assert len(runs) == 4 * (3 + 4)
    assert {run.n_steps for run in runs} == {1450} and {run.n_pairs for run in runs} == {11_600}
    by_name = {run.name: run.config for run in runs}
    objectives = {name: by_name[f"{name}/conventional/seed0"].objective for name in ("unet", "srgan", "diffusion")}
    assert objectives == {"unet": "pixel", "srgan": "adversarial", "diffusion": "denoising"}
    spectrum = by_name["capsule/gradient+spectrum/seed0"]
    assert (spectrum.conditioning, spectrum.condition_dropout, spectrum.condition_scatter) == ("spectrum", 0, 0)


def test_the_objective_alone_differs():
    runs = {run.name: run.config for run in benchmark_runs("small", ["faint"], ["objective"])}
    pixel, gradient = (runs[f"unet/{name}/seed2"] for name in ("pixel+residual", "gradient"))
    assert pixel.uses_residual and gradient.uses_residual and pixel.uses_photometry and gradient.uses_photometry
    assert replace(pixel, objective="gradient", residual=None, photometry=None) == gradient


def test_each_ablation_takes_one_thing_away():
    runs = {run.variant: run.config.to_dict() for run in benchmark_runs("small", ["bright"], ["ablation"])}
    gradient = runs["gradient"]
    for variant, config in runs.items():
        whole = runs["bare"] if variant.startswith("bare-") else gradient
        if variant not in ("gradient", "bare", "nothing-else", "pixel+residual"):
            assert len([name for name in whole if config[name] != whole[name]]) == 1


def test_weights_are_compared_with_several_seeds():
    runs = benchmark_runs("short", ["bright"], ["weights"])
    assert {(run.variant, run.seed) for run in runs} == {
        (variant, seed) for variant in ("gradient", "no-flow", "gaussian", "unweighted", "pixel+residual")
        for seed in (0, 1, 2)}
    keys = {run.name: run.key for run in benchmark_runs("short", ["bright"])}
    assert {run.name: run.key for run in runs}.items() <= keys.items()


def test_budgets_and_scarce_pairs():
    runs = benchmark_runs("small", ["bright"], ["learning-curve"])
    assert [run.n_steps for run in runs[:4]] == [725, 1450, 2900, 5800]
    for run in benchmark_runs("small", ["bright"], ["scarcity"]):
        assert abs(run.n_steps - 1450) < 15
        assert run.n_pairs == int(11_600 * run.fraction + 1e-6)


def test_small_studies_are_of_one_sample_unless_asked_for():
    whole = {(run.sample, run.group) for run in benchmark_runs("small")}
    assert ("bright", "ablation") in whole and {group for sample, group in whole if sample == "faint"} == {
        "matrix", "objective"}
    assert benchmark_runs("small", ["faint"], ["scarcity"])
    assert {(run.sample, run.group) for run in benchmark_runs("full")} > whole


def test_rows_of_studies_that_were_not_asked_for_are_left_out(tmp_path):
    scale = replace(SCALES["tiny"], studies=("bright",))
    runs = {run.name: run for run in benchmark_runs(scale, ["faint"], ["matrix", "ablation"])}

    def groups_after(name):
        write_row(tmp_path, "faint", name, runs[name].key, {"nmad_transfer": 0.02})
        return set(merge_rows(tmp_path, scale)["group"])

    assert groups_after("unet/gradient/seed0") == {"matrix", "objective"}
    assert groups_after("unet/no-flow/seed0") == {"matrix", "objective", "weights", "ablation"}


@pytest.mark.parametrize("keywords, words", [
    ({"scale": "huge"}, "scale must be one of small, full, short, tiny, got 'huge'"),
    ({"sky": "cloudy"}, "sky must be one of realistic, smooth, got 'cloudy'"),
    ({"samples": ["dim"]}, "samples must be among bright, faint, got 'dim'"),
    ({"groups": ["all"]}, "groups must be among matrix"),
])
def test_what_is_not_known_is_named(keywords, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        run_benchmark(tmp_path / "out", **{**RUN, **keywords})
    assert not (tmp_path / "out").exists()


def test_runs_are_chosen_by_pattern(tmp_path):
    runs = benchmark_runs("tiny", ["bright"])
    assert {run.backbone for run in chosen_runs(runs, "swin/*")} == {"swin"}
    assert len(chosen_runs(runs, ["unet/gradient/seed?"])) > 2
    with pytest.raises(ValueError, match="runs must name a run .* got 'resnet/.'"):
        run_benchmark(tmp_path / "out", runs=["swin/*", "resnet/*"], **RUN)


# one run -------------------------------------------------------------------------------------------------------------

def test_a_run_has_a_row_in_each_of_its_groups(finished):
    out, table = finished
    assert list(table["group"]) == 3 * ["reference"] + ["matrix", "learning-curve", "scarcity"]
    assert list(table["run"][:3]) == ["real input", "real target", "resampled input"]
    assert set(table["run"][3:]) == {"unet/conventional/seed0"}
    for name in set(table.colnames) - {"group"}:
        assert np.array_equal(*np.asarray(table[name][[3, 5]]), equal_nan=table[name].dtype.kind == "f"), name
    row = table[3]
    assert (row["n_steps"], row["n_pairs"], row["fraction"], row["budget"]) == (6, 24, 1, 1)
    assert (row["device"], row["n_failed"], row["sampling_steps"]) == ("cpu", 0, 0)
    assert row["config_hash"] == benchmark_runs("tiny", ["bright"])[0].config.hash
    assert row["translator_hash"] == load(out / "bright/translators/unet-conventional-seed0.asdf").hash
    assert row["threads"] >= 1 and row["seconds"] > 0 and row["translate_seconds"] > 0


def test_what_is_measured(finished):
    _, table = finished
    missing = [name for name in column_names() if not np.isfinite(table[name][3]).all()]
    assert missing == [name for name in column_names() if name.startswith(("morphology_", "population_"))]
    assert table["nmad_transfer_draws"].shape == (6, 200)
    assert np.isfinite(table["nmad_retrained_draws"][:3]).all() and np.isfinite(table["color_scatter"]).all()
    assert np.isfinite(table["aperture_scatter"]).all()
    # a real target image is nearer to the truth than the resampled input, and both than six steps of training
    assert (table["relative_rmse"][1] < table["relative_rmse"][2]).all()
    assert (table["relative_rmse"][2] < table["relative_rmse"][3]).all()


def test_the_file_is_the_table(finished):
    out, table = finished
    again = Table.read(out / "results.ecsv")
    assert same(table, again, set())
    assert again["slope_scatter"].unit == "mag / dex" and "log10 radius" in again["slope_scatter"].description
    assert again.meta["sizes"] == SCALES["tiny"].to_dict() and again.meta["n_test"] == 16
    assert again.meta["sizes"]["sky"] == "realistic"
    assert again.meta["commands"] == ["python benchmarks/headline"] and "preservation gain" in again.meta["definitions"]


def test_what_is_done_is_not_done_again(finished, monkeypatch):
    out, table = finished
    for module, name in ((run_module, "fit"), (data_module, "simulate_pairs"),
                         (data_module, "fit_redshift_estimator")):
        monkeypatch.setattr(module, name, refuse)
    (out / "results.ecsv").unlink()
    assert same(run_benchmark(out, runs=ONE, command="python benchmarks/headline", **RUN), table, set())


def test_a_folder_has_one_sky(finished):
    out, _ = finished
    with pytest.raises(ValueError, match="out: .* contains a benchmark with sky realistic, not smooth"):
        run_benchmark(out, runs=ONE, sky="smooth", **RUN)


@pytest.mark.parametrize("sky, galaxies", [("realistic", "observed"), ("smooth", "templates")])
def test_galaxies_are_those_of_the_sky(sky, galaxies, tmp_path, monkeypatch):
    pytest.importorskip("galsim")
    scale = replace(scale_named("tiny", sky), n_estimator=2, n_estimator_validation=1, n_test=1)
    monkeypatch.setattr(data_module, "_reference_estimator", lambda *arguments: None)
    monkeypatch.setattr(data_module, "_divided", lambda pairs, test, *others: (pairs, test))
    for _ in range(2):  # simulated, and read again
        for pairs in data_module.prepare_sample(tmp_path, "bright", scale):
            assert pairs.catalog.meta["simulation"].get("galaxies", "templates") == galaxies
    other = "smooth" if galaxies == "observed" else "realistic"
    with pytest.raises(ValueError, match="out holds other pairs"):
        data_module.prepare_sample(tmp_path, "bright", replace(scale, sky=other))


# parts ---------------------------------------------------------------------------------------------------------------

def test_draws_are_paired():
    scale, rng = SCALES["tiny"], np.random.default_rng(1)
    redshift = rng.uniform(0.1, 0.4, 500)
    error = rng.normal(size=500) * 0.01 * (1 + redshift)
    once, twice = (redshift_columns(redshift + factor * error, redshift, "transfer", scale) for factor in (1, 2))
    np.testing.assert_allclose(twice["nmad_transfer_draws"], 2 * np.array(once["nmad_transfer_draws"]), atol=2e-7)
    assert np.std(once["nmad_transfer_draws"]) > 1e-4
    assert np.mean(once["outlier_transfer_draws"]) < 0.01 < np.mean(twice["outlier_transfer_draws"])
    assert once["nmad_transfer"] == pytest.approx(0.01, rel=0.15)
    lost = redshift_columns(np.where(np.arange(500) < 5, np.nan, redshift + error), redshift, "transfer", scale)
    assert np.isfinite(lost["nmad_transfer_draws"]).all()
