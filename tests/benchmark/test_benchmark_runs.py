"""The benchmark's plan, its folder, and its runs, as small as they go."""

import json
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from filelock import FileLock

from astro_galtrans.benchmark import BenchmarkScale, benchmark_runs, prepare_benchmark, run_benchmark
from astro_galtrans.benchmark import _data, _run
from astro_galtrans.benchmark._judged import Known, redshift_columns
from astro_galtrans.benchmark._plan import SCALES, chosen_runs
from astro_galtrans.benchmark._results import column_names, merge_rows, write_row
from astro_galtrans.storage import load

RUN = {"scale": "tiny", "samples": ["bright"], "progress": False}
ONE = ["unet/conventional/seed0"]
TIMES = {"seconds", "translate_seconds", "memory"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with the galaxies and the judges of one sample."""
    pytest.importorskip("galsim")
    out = tmp_path_factory.mktemp("benchmark") / "prepared"
    prepare_benchmark(out, **RUN)
    return out


@pytest.fixture(scope="module")
def finished(prepared):
    """A folder with one run that is done."""
    out = prepared.with_name("finished")
    shutil.copytree(prepared, out)
    return out, run_benchmark(out, runs=ONE, command="galtrans benchmark", **RUN)


@pytest.fixture
def folder(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def done(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    return tmp_path / "out"


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
    assert {run.group for run in runs} == {"matrix", "objective", "ablation", "learning-curve", "scarcity"}


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
    assert groups_after("unet/no-flow/seed0") == {"matrix", "objective", "ablation"}


@pytest.mark.parametrize("keywords, words", [
    ({"scale": "huge"}, "scale must be one of small, full, tiny, got 'huge'"),
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
    assert again.meta["commands"] == ["galtrans benchmark"] and "preservation gain" in again.meta["definitions"]


def test_what_is_done_is_not_done_again(done, finished, monkeypatch):
    for module, name in ((_run, "fit"), (_data, "simulate_pairs"), (_data, "fit_redshift_estimator")):
        monkeypatch.setattr(module, name, refuse)
    assert same(run_benchmark(done, runs=ONE, **RUN), finished[1], set())
    (done / "results.ecsv").unlink()
    assert same(run_benchmark(done, runs=ONE, **RUN), finished[1], set())


def test_translators_are_judged_again(done, finished, monkeypatch):
    monkeypatch.setattr(_run, "fit", refuse)
    assert same(run_benchmark(done, runs=ONE, rejudge=True, **RUN), finished[1], {"translate_seconds", "memory"})


def test_interrupted_and_gone_on_with(folder, finished, monkeypatch):
    """One run is done, the next one interrupted at the end of its training, and later gone on with."""
    whole = _run.fit

    def interrupted(*arguments, **keywords):
        whole(*arguments, **keywords)
        raise KeyboardInterrupt("training stopped")

    def wrapped(pairs, config, **keywords):
        return (interrupted if config.seed else whole)(pairs, config, **keywords)

    monkeypatch.setattr(_run, "fit", wrapped)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(folder, runs=["unet/conventional/seed?"], groups="matrix", **RUN)
    assert same(Table.read(folder / "results.ecsv"), finished[1])
    assert not list((folder / "bright" / "translators").glob("*seed1*"))
    resumed = []
    monkeypatch.setattr(_run, "fit", lambda *arguments, **keywords: resumed.append(whole(*arguments, **keywords))
                        or resumed[-1])
    table = run_benchmark(folder, runs=["unet/conventional/seed?"], groups="matrix", **RUN)
    assert len(resumed) == 1 and resumed[0].seconds < 5
    assert not list((folder / "bright" / "checkpoints").glob("*"))
    fresh = whole(*_training(folder, "unet/conventional/seed1"))
    assert fresh.translator.hash == table[table["seed"] == 1]["translator_hash"][0]


def _training(folder, name):
    run = next(run for run in benchmark_runs("tiny", ["bright"]) if run.name == name)
    data = _data.prepare_sample(folder / "bright", "bright", SCALES["tiny"])
    return data.training, run.config


def test_a_run_that_another_process_is_at_is_left_to_it(folder):
    run = chosen_runs(benchmark_runs("tiny", ["bright"], ["matrix"]), ONE)[0]
    work = _run._Work(folder, SCALES["tiny"], {}, "cpu", False, False, None)
    (folder / "bright" / "locks").mkdir()
    with FileLock(folder / "bright" / "locks" / f"{run.key[:12]}.lock"):
        assert not work.do(run, wait=False)


def test_generative_translators_are_told_how_to_sample(folder):
    pytest.importorskip("monai")
    table = run_benchmark(folder, runs=["diffusion/conventional/seed0"], **RUN)
    assert table["sampling_steps"][-1] == 2 and np.isfinite(table["nmad_transfer"][-1])


# parts ---------------------------------------------------------------------------------------------------------------

def test_draws_are_paired():
    scale, rng = SCALES["tiny"], np.random.default_rng(1)
    redshift = rng.uniform(0.1, 0.4, 500)
    error = rng.normal(size=500) * 0.01 * (1 + redshift)
    once, twice = (redshift_columns(redshift + factor * error, redshift, "transfer", scale) for factor in (1, 2))
    np.testing.assert_allclose(twice["nmad_transfer_draws"], 2 * np.array(once["nmad_transfer_draws"]), atol=2e-7)
    assert np.std(once["nmad_transfer_draws"]) > 1e-4
    assert once["nmad_transfer"] == pytest.approx(0.01, rel=0.15)
    lost = redshift_columns(np.where(np.arange(500) < 5, np.nan, redshift + error), redshift, "transfer", scale)
    assert np.isfinite(lost["nmad_transfer_draws"]).all()


def test_known_images_are_found_by_their_input(small_pairs):
    images = np.random.default_rng(0).normal(size=small_pairs.target_flux.shape).astype(np.float32)
    known = Known(small_pairs, images)
    rows = [7, 3, 11]
    np.testing.assert_array_equal(known.translate_array(small_pairs.input_flux[rows]), images[rows])


def test_other_folders_are_refused(tmp_path, done):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match="not empty and holds no benchmark"):
        run_benchmark(tmp_path / "mine", **RUN)
    with pytest.raises(ValueError, match="holds a benchmark with n_test 16, not 17"):
        run_benchmark(done, **{**RUN, "scale": replace(SCALES["tiny"], n_test=17)})
    assert isinstance(SCALES["tiny"], BenchmarkScale)


def test_too_little_room(tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "free")
    monkeypatch.setattr(_data.shutil, "disk_usage", lambda path: Usage(1e6))
    with pytest.raises(OSError, match="GB free"):
        prepare_benchmark(tmp_path / "out", **RUN)


def test_damaged_row_is_named(done):
    path = next((done / "bright" / "rows").glob("unet*.json"))
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        run_benchmark(done, runs=ONE, **RUN)


def test_notes_on_what_was_prepared(prepared):
    notes = json.loads((prepared / "bright" / "prepared.json").read_text())
    assert set(notes) == {"pairs.zarr", "test.zarr", *_data.JUDGES}


# the command ---------------------------------------------------------------------------------------------------------

def test_command(done, run):
    arguments = ("benchmark", "--scale", "tiny", "--samples", "bright", "--quiet", "--out", done)
    status, out, err = run(*arguments, "--list", "--groups", "matrix")
    assert (status, err) == (0, []) and len(out) == 4 * (2 + 4)
    assert [line.split()[2] for line in out if line.endswith("done")] == ONE
    assert run(*arguments, "--prepare") == (0, [str(done)], [])
    status, out, err = run(*arguments, "--runs", *ONE, "--threads", 1)
    assert (status, out, err) == (0, [f"{done}/results.ecsv: 6 rows"], [])
    commands = Table.read(done / "results.ecsv").meta["commands"]
    assert commands[-1] == "galtrans benchmark --scale tiny --samples bright --runs unet/conventional/seed0 --out DIR"
    report = done.parent / "report.html"
    status, out, _ = run(*arguments, "--runs", *ONE, "--report", report)
    assert status == 0 and out[-1] == str(report) and "<img" in report.read_text()
    assert run(*arguments, "--list", "--report", report)[0] == 2
    assert run(*arguments, "--runs", *ONE, "--report", done / "nowhere" / "report.html")[0] == 2
    assert run(*arguments, "--runs", "x")[0] == 2 and run(*arguments, "--threads", 0)[0] == 2
