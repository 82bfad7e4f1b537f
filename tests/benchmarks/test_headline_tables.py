"""Tables and figures of a benchmark, on made-up results with known answers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from headline import benchmark_figures, benchmark_tables, write_benchmark_report
from headline.bootstrap import Drawn, combine_seeds, preservation_gain, ratio, reduction
from headline.layout import number, sheets

N_GALAXIES, N_DRAWS = 500, 200
BACKBONES = ("unet", "swin", "srgan", "capsule", "diffusion")
# What a network loses, as the scatter that it adds to the redshifts read off real targets
LOSS = {"unet": 0.020, "swin": 0.024, "srgan": 0.028, "capsule": 0.036, "diffusion": 0.030}
KEPT = {"conventional": 1.0, "gradient": 0.6, "gradient+redshift": 0.2, "gradient+spectrum": 0.25}
ABLATED = {"no-flow": 0.65, "gaussian": 0.7, "unweighted": 0.8, "single-scale": 0.9, "no-residual-path": 0.95,
           "bare": 1.2, "bare-gaussian": 1.0}
WEIGHTED = {"no-flow": 0.65, "gaussian": 0.7, "unweighted": 0.8, "pixel+residual": 0.9}


def nmad(values):
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=-1, keepdims=True)), axis=-1)


class Maker:
    """Rows of results for galaxies whose errors have a part that all translators share."""

    def __init__(self, sample):
        self.sample, seed = sample, {"bright": 1, "faint": 2}[sample]
        self.rng = np.random.default_rng(seed)
        self.floor = self.rng.normal(0, 0.015 * seed, N_GALAXIES)
        self.lost = self.rng.normal(0, 1, N_GALAXIES)
        self.picked = np.random.default_rng(7).integers(N_GALAXIES, size=(N_DRAWS, N_GALAXIES))
        self.rows = []

    def add(self, group, backbone, variant, scale, *, run=None, seed=0, fraction=1.0, n_steps=1450):
        more = ("" if fraction == 1 else f"/pairs-{fraction:.2f}") + ("" if n_steps == 1450 else f"/{n_steps}")
        row = {"sample": self.sample, "group": group, "run": run or f"{backbone}/{variant}/seed{seed}{more}",
               "backbone": backbone, "variant": variant, "seed": seed, "fraction": fraction,
               "n_pairs": round(11600 * fraction), "n_steps": n_steps, "config_hash": "0" * 8, "parameters": 260_000,
               "device": "cpu", "threads": 1, "precision": "bf16", "translate_seconds": 4.0,
               "n_morphology": N_GALAXIES // 4,
               "seconds": np.nan if group == "reference" else 300.0}
        for estimator, more in (("transfer", 1.0), ("retrained", 0.9)):
            errors = self.floor + more * scale * self.lost + self.rng.normal(0, 0.002, N_GALAXIES)
            row[f"nmad_{estimator}"] = nmad(errors)
            row[f"outlier_{estimator}"] = np.mean(np.abs(errors) > 0.05)
            row[f"bias_{estimator}"] = np.median(errors)
            row[f"nmad_{estimator}_draws"] = nmad(errors[self.picked])
            row[f"outlier_{estimator}_draws"] = np.mean(np.abs(errors[self.picked]) > 0.05, axis=-1)
        size = 1 + 40 * scale
        for stem, length in (("color", 4), ("slope", 4), ("aperture", 5), ("peak", 5)):
            shape = np.linspace(2, 1, length)
            row[f"{stem}_scatter"], row[f"{stem}_bias"] = 0.01 * size * shape, 0.002 * shape
        row["slope_scatter_early"], row["slope_scatter_late"] = (x * row["slope_scatter"] for x in (0.8, 1.2))
        row["peak_color_scatter"], row["relative_rmse"] = 0.02 * size * np.ones(4), 0.1 * size * np.ones(5)
        for measure in ("half_light_radius", "concentration"):
            row[f"morphology_{measure}_scatter"], row[f"morphology_{measure}_bias"] = 0.05 * size, 0.0
        self.rows.append(row)

    def add_all(self):
        for name, scale in (("real target", 0.0), ("real input", 0.012), ("resampled input", 0.012)):
            self.add("reference", "", "", scale, run=name)
        for backbone in BACKBONES:
            for variant, kept in KEPT.items():
                for seed in range(3 if backbone == "unet" else 1):
                    self.add("matrix", backbone, variant, LOSS[backbone] * kept * (1 + 0.05 * seed), seed=seed)
        for seed in range(3):
            self.add("objective", "unet", "pixel+residual", 0.016 * (1 + 0.05 * seed), seed=seed)
        for variant, kept in ABLATED.items():
            self.add("ablation", "unet", variant, 0.02 * kept)
        for variant, kept in WEIGHTED.items():
            for seed in range(2):
                self.add("weights", "unet", variant, 0.02 * kept * (1 + 0.05 * seed), seed=seed)
        for budget in (0.5, 2, 4, 8):
            for variant in ("conventional", "gradient"):
                self.add("learning-curve", "unet", variant, 0.02 * KEPT[variant] * (1 + 0.2 / budget),
                         n_steps=int(1450 * budget))
        for part in (2, 4, 10, 30):
            for variant, slope in (("conventional", 0.3), ("gradient", 0.1)):
                self.add("scarcity", "unet", variant, 0.02 * (KEPT[variant] + slope * np.log(part)),
                         fraction=1 / part)
        return self.rows


@pytest.fixture(scope="module")
def results():
    rows = [row for sample in ("faint", "bright") for row in Maker(sample).add_all()]
    table = Table(rows)
    for name in table.colnames:
        if name.startswith(("color", "aperture", "peak")):
            table[name].unit = "mag"
    table.meta.update(scale="small", n_test=N_GALAXIES)
    return table


@pytest.fixture(scope="module")
def tables(results):
    return benchmark_tables(results)


def value_of(results, sample, group, run, column):
    """The mean over the rows whose run begins so."""
    rows = [row for row in results if row["sample"] == sample and row["group"] == group
            and row["run"].startswith(run)]
    return np.mean([row[column] for row in rows], axis=0)


def row_of(table, **wanted):
    found = [row for row in table if all(row[name] == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("sample", ["bright", "faint"])
@pytest.mark.parametrize("estimator", ["transfer", "retrained"])
def test_headline_gains_are_those_of_the_definitions(results, tables, sample, estimator):
    column = f"nmad_{estimator}"
    target = value_of(results, sample, "reference", "real target", column)
    for backbone in BACKBONES:
        conventional = value_of(results, sample, "matrix", f"{backbone}/conventional/", column)
        ours = value_of(results, sample, "matrix", f"{backbone}/gradient+redshift/", column)
        row = row_of(tables["headline"], sample=sample, images=backbone, variant="gradient+redshift")
        assert row[column] == pytest.approx(ours)
        assert row[f"reduction_{estimator}"] == pytest.approx(1 - ours / conventional)
        assert row[f"gain_{estimator}"] == pytest.approx((conventional - ours) / (conventional - target))
        limit = value_of(results, sample, "reference", "real input", column)
        assert row[f"allowed_{estimator}"] == pytest.approx((conventional - limit) / (conventional - target))
        assert row[f"gain_{estimator}_low"] < row[f"gain_{estimator}"] < row[f"gain_{estimator}_high"]
        assert row["n_seeds"] == (3 if backbone == "unet" else 1)


def test_headline_compares_nothing_with_itself(tables):
    for row in tables["headline"]:
        if row["variant"] in ("", "conventional"):
            assert np.isnan([row["reduction_transfer"], row["gain_retrained"]]).all()
    assert list(dict.fromkeys(tables["headline"]["sample"])) == ["bright", "faint"]


def test_best_translator_is_one_for_all_figures(results, tables):
    for variant in ("gradient", "gradient+spectrum"):
        part = tables["best"][tables["best"]["variant"] == variant]
        assert set(part["images"]) == {"unet"}
        assert list(part["conventional"]) == 2 * list(BACKBONES)
    row = row_of(tables["best"], sample="faint", variant="gradient", conventional="capsule")
    ours = value_of(results, "faint", "matrix", "unet/gradient/", "nmad_transfer")
    other = value_of(results, "faint", "matrix", "capsule/conventional/", "nmad_transfer")
    assert row["reduction_transfer"] == pytest.approx(1 - ours / other)


def test_objective_alone(results, tables):
    row = row_of(tables["objective"], sample="bright", estimator="transfer")
    ours = value_of(results, "bright", "matrix", "unet/gradient/", "nmad_transfer")
    pixel = value_of(results, "bright", "objective", "unet/pixel", "nmad_transfer")
    target = value_of(results, "bright", "reference", "real target", "nmad_transfer")
    assert row["gain"] == pytest.approx((pixel - ours) / (pixel - target))
    assert row["n_seeds"] == 3


def test_limit(results, tables):
    row = row_of(tables["limits"], sample="bright", images="unet", variant="gradient", estimator="retrained")
    limit = value_of(results, "bright", "reference", "real input", "nmad_retrained")
    assert row["over_input"] == pytest.approx(row["nmad"] / limit)
    assert row["within_5_percent"] == ("yes" if row["over_input"] <= 1.05 else "no")
    assert {"yes", "no"} == set(tables["limits"]["within_5_percent"])


def test_scarcity_is_the_loss_over_that_of_the_conventional(results, tables):
    part = tables["scarcity"][(tables["scarcity"]["sample"] == "faint")
                              & (tables["scarcity"]["estimator"] == "transfer")]
    assert np.allclose(part["fraction"], [1, 1 / 2, 1 / 4, 1 / 10, 1 / 30, 0])
    assert np.allclose(part["loss_gradient"][1:5], part["nmad_gradient"][1:5] - part["nmad_gradient"][0])
    assert np.allclose(part["loss_ratio"][1:5], part["loss_gradient"][1:5] / part["loss_conventional"][1:5])
    assert part["loss_ratio"][-1] == pytest.approx(
        np.sum(part["loss_gradient"][1:5]) / np.sum(part["loss_conventional"][1:5]))
    # all pairs are those of the matrix, of the seed that the others have
    assert part["nmad_gradient"][0] == value_of(results, "faint", "matrix", "unet/gradient/seed0", "nmad_transfer")


def test_ablation_is_beside_the_whole(tables):
    part = tables["ablation"][tables["ablation"]["sample"] == "bright"]
    assert list(part["variant"]) == ["full", *ABLATED, "pixel", "conventional"]
    assert np.isnan(part["increase_transfer"][0])
    assert np.allclose(part["increase_transfer"][1:], part["nmad_transfer"][1:] / part["nmad_transfer"][0] - 1)
    assert (part["increase_color"][1:] > 0).all()


def test_weights_are_compared_with_the_same_seeds(results, tables):
    part = tables["weights"][tables["weights"]["sample"] == "faint"]
    assert list(part["variant"]) == ["full", *WEIGHTED] and set(part["n_seeds"]) == {2}
    row, column = row_of(part, variant="gaussian"), "outlier_retrained"
    values = [np.mean([value_of(results, "faint", group, f"unet/{variant}/seed{seed}", column) for seed in (0, 1)])
              for group, variant in (("matrix", "gradient"), ("weights", "gaussian"))]
    assert row[column] == pytest.approx(values[1])
    assert row[f"reduction_{column}"] == pytest.approx(1 - values[0] / values[1])
    assert row[f"reduction_{column}_low"] < row[f"reduction_{column}"] < row[f"reduction_{column}_high"]
    assert row["color_scatter"] == pytest.approx(max(
        np.mean([value_of(results, "faint", "weights", f"unet/gaussian/seed{seed}", "color_scatter")
                 for seed in (0, 1)], axis=0)))
    assert np.isnan(row_of(part, variant="full")["reduction_nmad_transfer"])


def test_learning_curve_has_the_budget_of_the_matrix(tables):
    part = tables["learning_curve"][tables["learning_curve"]["sample"] == "bright"]
    assert list(part["n_steps"]) == [725, 1450, 2900, 5800, 11600]
    assert np.isfinite(part["nmad_gradient_transfer"]).all()
    assert np.allclose(part["reduction_transfer"], 1 - part["nmad_gradient_transfer"]
                       / part["nmad_conventional_transfer"])


def test_factors_of_colors_and_slopes(results, tables):
    for stem, table in (("color", "colors"), ("slope", "color_gradients")):
        row = row_of(tables[table], sample="bright", images="swin", variant="gradient")
        errors = [np.hypot(*(value_of(results, "bright", "matrix", f"swin/{variant}/", f"{stem}_{what}")
                             for what in ("scatter", "bias"))) for variant in ("conventional", "gradient")]
        assert row[f"{stem}_factor"] == pytest.approx(np.exp(np.mean(np.log(errors[0] / errors[1]))))
    assert tables["colors"]["color_scatter_u-g"].unit == "mag"
    assert "peak_color_scatter_g-r" in tables["peaks"].colnames and "peak_bias_z" in tables["peaks"].colnames


def test_targets_have_a_verdict(tables):
    table = tables["targets"]
    assert set(table["verdict"]) == {"met", "missed", "not measured"}
    assert set(table[table["verdict"] == "not measured"]["target"]) == {"populations"}
    row = row_of(table, target="best translator", sample="bright", estimator="transfer")
    gains = tables["best"][(tables["best"]["sample"] == "bright") & (tables["best"]["variant"] == "gradient")
                           & (tables["best"]["conventional"] != "unet")]
    assert row["value"] == pytest.approx(min(gains["gain_transfer"]))
    assert row["against"] == gains["conventional"][np.argmin(gains["gain_transfer"])]
    assert (row["verdict"] == "met") == (row["value"] >= 0.4)
    assert row["clear"] == ("yes" if (row["low"] >= 0.4) == (row["high"] >= 0.4) else "no")
    assert row["allowed"] == pytest.approx(row_of(
        gains, conventional=row["against"])["allowed_transfer"])
    for against in ("gaussian", "no-flow"):
        assert row_of(table, target="the flow helps", sample="bright", estimator="transfer",
                      against=against)["value"] > 0
    shapes, slopes = (row_of(table, target=name, sample="bright") for name in ("morphology", "color gradients"))
    # a quarter of the galaxies: twice the width, in the logarithm
    assert np.log(shapes["high"] / shapes["value"]) == pytest.approx(2 * np.log(slopes["high"] / slopes["value"]))
    bias = row_of(table, target="aperture flux", sample="bright", measure="largest median bias")
    assert bias["value"] == pytest.approx(0.004 * np.log(10) / 2.5)


def test_intervals_of_paired_numbers_are_narrower():
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 0.02, 2000)
    errors = [shared + rng.normal(0, sigma, 2000) for sigma in (0.006, 0.005)]
    first, second, other = (np.random.default_rng(seed).integers(2000, size=(200, 2000)) for seed in (0, 0, 1))
    numbers = [Drawn(float(nmad(error)), nmad(error[picked])) for error, picked in zip(errors, (first, second))]
    unpaired = Drawn(numbers[1].value, nmad(errors[1][other]))
    paired, apart = (np.diff(reduction(number, numbers[0]).interval())[0] for number in (numbers[1], unpaired))
    assert paired < 0.7 * apart


def test_seeds_are_combined_by_their_mean_and_spread():
    rng = np.random.default_rng(5)
    galaxies = rng.normal(0, 1e-4, 20_000)
    values = np.array([0.020, 0.022, 0.027])
    number = combine_seeds(values, values[:, None] + galaxies, "unet")
    assert number.value == pytest.approx(0.023) and number.n_seeds == 3
    # of the mean of three: the variance of the sample (with n - 1) over three, and that of the galaxies
    assert np.std(number.draws) == pytest.approx(np.hypot(np.std(values, ddof=1) / np.sqrt(3), 1e-4), rel=0.03)
    assert np.mean(number.draws) == pytest.approx(0.023, abs=1e-4)
    again = combine_seeds(values, values[:, None] + galaxies, "unet")
    assert np.array_equal(number.draws, again.draws)
    assert not np.array_equal(number.draws, combine_seeds(values, values[:, None] + galaxies, "swin").draws)


def test_one_seed_has_the_spread_of_the_galaxies():
    draws = np.linspace(0.01, 0.03, 201)
    number = combine_seeds([0.02], draws, "any")
    assert np.array_equal(number.draws, draws) and number.n_seeds == 1
    assert number.interval() == pytest.approx((0.0105, 0.0295))


def test_seed_that_failed_is_left_out():
    number = combine_seeds([0.02, np.nan], [[0.02, 0.021], [np.nan, np.nan]], "any")
    assert number.value == 0.02 and number.n_seeds == 1
    assert np.array_equal(number.draws, [0.02, 0.021])


def test_gain_where_nothing_was_lost_is_undefined():
    target, ours = Drawn(0.02, np.full(100, 0.02)), Drawn(0.018, np.full(100, 0.018))
    none = preservation_gain(ours, Drawn(0.019, np.full(100, 0.019)), target)
    assert np.isnan(none.value) and np.isnan(none.interval()).all()
    # lost on the galaxies as they are, but not on a tenth of the resamples: no end can be given
    sometimes = np.where(np.arange(100) < 10, 0.019, 0.03)
    gain = preservation_gain(ours, Drawn(0.03, sometimes), target)
    assert gain.value == pytest.approx(1.2)
    assert gain.interval() == (-np.inf, np.inf)


def test_numbers_of_draws_must_agree():
    with pytest.raises(ValueError, match="same number of draws"):
        ratio(Drawn(1.0, np.ones(100)), Drawn(1.0, np.ones(200)))


def test_missing_runs_leave_gaps_and_no_more(results):
    keep = [row["sample"] == "bright" and not row["run"].startswith(("capsule/conventional", "real input"))
            and row["group"] not in ("scarcity", "learning-curve") for row in results]
    part = results[keep]
    part.remove_columns(["slope_scatter", "slope_bias"])
    tables = benchmark_tables(part)
    assert not len(tables["scarcity"]) and not len(tables["learning_curve"])
    row = row_of(tables["headline"], images="capsule", variant="gradient")
    assert np.isfinite(row["nmad_transfer"]) and np.isnan(row["gain_transfer"])
    assert "capsule" not in tables["best"]["conventional"]
    assert np.isnan(tables["limits"]["over_input"]).all() and set(tables["limits"]["within_5_percent"]) == {""}
    verdicts = {(row["target"], row["estimator"]): row["verdict"] for row in tables["targets"]}
    for estimator in ("transfer", "retrained"):
        assert verdicts["information limit", estimator] == verdicts["scarce data", estimator] == "not measured"
        assert verdicts["objective alone", estimator] in ("met", "missed")
    assert verdicts["color gradients", ""] == "not measured"


def test_one_conventional_translator_missing_cannot_make_a_target_met(results):
    part = results[[not (row["run"].startswith("srgan/conventional")) for row in results]]
    table = benchmark_tables(part, "bright")["targets"]
    whole = benchmark_tables(results, "bright")["targets"]
    before = row_of(whole, target="with redshift", estimator="transfer")
    after = row_of(table, target="with redshift", estimator="transfer")
    assert before["verdict"] == "met" and after["verdict"] == "not measured"
    assert after["against"].endswith("(3 of 4)") and set(table["sample"]) == {"bright"}


def test_masked_cells_read_as_missing(results):
    masked = Table(results[:20], masked=True)
    masked["nmad_transfer"].mask[:] = True
    table = benchmark_tables(masked)["headline"]
    assert np.isnan(table["nmad_transfer"]).all() and np.isfinite(table["nmad_retrained"]).any()


def test_figures_are_there_for_what_was_measured(results):
    figures = benchmark_figures(results, "bright")
    assert set(figures) == {"headline", "gains", "learning_curve", "scarcity", "ablation", "color_gradients", "peaks"}
    assert {axis.get_title() for axis in figures["gains"].axes} == {"bright sample"}
    figures["peaks"].draw_without_rendering()
    part = results[[row["group"] in ("matrix", "reference") for row in results]]
    part.remove_columns([name for name in part.colnames if name.startswith(("peak", "slope"))])
    part = benchmark_figures(part)
    assert set(part) == {"headline", "gains"}
    assert [axis.get_title() for axis in part["gains"].axes][:2] == ["bright sample", "faint sample"]


@pytest.mark.parametrize("empty", [Table(), "no rows"])
def test_nothing_yet(results, empty):
    empty = results[:0] if isinstance(empty, str) else empty
    assert all(len(table) == 0 for table in benchmark_tables(empty).values())
    assert benchmark_figures(empty) == {}


def test_sheets_are_full_and_plain(tables):
    made = sheets(tables)
    for name, own in made.items():
        assert own, name
        for sheet in own:
            assert all(len(row) == len(sheet.header) for row in sheet.rows), sheet.title
            assert all(type(cell) is str and "nan" not in cell for row in sheet.rows for cell in row), sheet.title
    row = next(row for row in made["best"][0].rows if row[1] == "Swin")
    found = row_of(tables["best"], sample="bright", variant="gradient", conventional="swin")
    assert row[3] == f"{found['gain_transfer']:.0%} [".replace("%", "\u00a0%") + (
        f"{100 * found['gain_transfer_low']:.0f},\u00a0{100 * found['gain_transfer_high']:.0f}]")
    assert all(not own for own in sheets(benchmark_tables(Table())).values())


def test_report_is_one_file(results, tmp_path):
    part = results[[row["group"] in ("matrix", "reference") for row in results]]
    part.remove_columns([name for name in part.colnames if name.startswith(("peak", "slope"))])
    write_benchmark_report(part, tmp_path / "report.html", sample="bright", title="Small & fast")
    text = (tmp_path / "report.html").read_text()
    assert "<h1>Small &amp; fast</h1>" in text and 'id="headline"' in text and 'id="scarcity"' not in text
    assert text.count("<img ") == 2 and "http" not in text.replace("http-equiv", "")
    with pytest.raises(FileNotFoundError):
        write_benchmark_report(Table(), tmp_path / "missing" / "report.html")
    write_benchmark_report(Table(), tmp_path / "report.html")
    assert "no results yet" in (tmp_path / "report.html").read_text()


@pytest.fixture(scope="module")
def make_docs():
    path = Path(__file__).parents[2] / "benchmarks" / "headline" / "make_docs.py"
    if not path.exists():
        pytest.skip("needs the benchmarks of the repository")
    spec = importlib.util.spec_from_file_location("make_docs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_made_of_the_results(results, tables, make_docs, tmp_path):
    make_docs.write_tables(results, tables, tmp_path, "headline")
    written = {path.stem: path.read_text() for path in (tmp_path / "headline").iterdir()}
    assert not [name for name, text in written.items() if "No results yet" in text]
    gains = tables["best"][(tables["best"]["sample"] == "bright") & (tables["best"]["variant"] == "gradient")
                           & (tables["best"]["conventional"] != "unet")]
    values = [100 * gains[f"gain_{name}"] for name in ("transfer", "retrained")]
    assert f'"image alone (U-Net)","{np.min(values):.0f} to {np.max(values):.0f}\u00a0%"' in written["answer"]
    assert f'"trainings","{len(set(zip(results["sample"], results["run"]))) - 6}"' in written["setup"]
    part = results[[row["group"] == "ablation" and row["sample"] == "bright" for row in results]]
    assert make_docs.write_figures(part, tmp_path, "headline") == 1
    assert [path.name for path in (tmp_path / "_static").iterdir()] == ["headline_ablation.png"]
    assert "No results yet" in (tmp_path / "headline" / "figure_gains.inc").read_text()


def test_pages_of_no_results(make_docs, tmp_path):
    make_docs.write_tables(Table(), benchmark_tables(Table()), tmp_path, "headline")
    assert all("No results yet" in path.read_text() for path in (tmp_path / "headline").iterdir())
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "headline_gains.png").touch()
    assert make_docs.write_figures(Table(), tmp_path, "headline") == 0
    assert not list((tmp_path / "_static").iterdir())


def test_numbers_as_text():
    assert [number(value, "+.1%") for value in (0.123, -0.123, -0.0001, np.nan, -np.inf)] == [
        "+12.3\u00a0%", "\u221212.3\u00a0%", "0.0\u00a0%", "\u2013", "\u2212\u221e"]


def test_unknown_sample(results):
    with pytest.raises(ValueError, match="sample must be one of .*'deep'"):
        benchmark_tables(results, "deep")


def test_tables_survive_the_file(results, tables, tmp_path):
    results.write(tmp_path / "results.ecsv")
    again = benchmark_tables(Table.read(tmp_path / "results.ecsv"))
    for name, table in tables.items():
        assert table.colnames == again[name].colnames
        for column in table.colnames:
            if table[column].dtype.kind == "f":
                assert np.allclose(table[column], again[name][column], equal_nan=True), (name, column)


def test_targets_of_studies_are_of_the_samples_that_have_them(results):
    studies = np.isin(results["group"], ("weights", "ablation", "learning-curve", "scarcity"))
    fewer = results[~(studies & (results["sample"] == "faint"))]

    def named(table):
        return {(row["target"], row["sample"]) for row in benchmark_tables(table)["targets"]}

    own = {("the flow helps", "faint"), ("scarce data", "faint")}
    assert named(fewer) == named(results) > own
    fewer.meta["sizes"] = {"studies": ["bright"]}
    assert named(fewer) == named(results) - own
    results = results.copy()
    results.meta["sizes"] = {"studies": ["bright"]}
    assert named(results) > own
