"""The command line: every subcommand, and bad input, which ends in one line and exit status 2."""

import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from astro_galtrans import __version__
from astro_galtrans.backbones import available_backbones
from astro_galtrans.images import read_cube
from astro_galtrans.objectives import available_objectives
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import load, save
from astro_galtrans.surveys import get_survey


@pytest.fixture
def work(tmp_path, small_translator, make_cube, monkeypatch):
    """A folder to work in, with a translator and a cube."""
    save(tmp_path / "t.asdf", small_translator)
    make_cube().write(tmp_path / "cube.fits")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(result, *words):
    """Whether a run ended with exit status 2 and one line that has these words."""
    status, out, err = result
    assert (status, out, len(err)) == (2, [], 1), result
    assert err[0].startswith("galtrans: error: ")
    assert "Traceback" not in err[0] and "--debug" not in err[0]
    for word in words:
        assert word in err[0]


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*"))


def python(*arguments, cwd=None):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd)


def test_help_is_fast_and_has_examples():
    code = """
import sys
from astro_galtrans.cli import main
for verb in ([], ["demo"], ["simulate"], ["train"], ["translate"], ["evaluate"]):
    assert main([*verb, "--help"]) == 0
assert not {"numpy", "torch", "astropy", "asdf"} & set(sys.modules)
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("example: galtrans") == 5


def test_version(run):
    assert run("--version") == (0, [f"galtrans {__version__}"], [])


def test_in_a_process_of_its_own(work):
    done = python("-m", "astro_galtrans", "translate", "t.asdf", "missing.fits", "--out", "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "galtrans: error: no such file: missing.fits\n"
    assert python("-m", "astro_galtrans", "--version").returncode == 0


@pytest.mark.parametrize("arguments, words", [
    ([], ["SUBCOMMAND"]), (["fly"], ["fly"]), (["train"], ["PAIRS", "--out"]),
    (["demo", "--seed", "x"], ["--seed", "'x'"]),
    (["simulate", "--n", "3", "p.zarr"], ["--seed"]),
    (["simulate", "--n", "3", "--seed", "1", "--without", "moon", "p.zarr"], ["--without", "'moon'", "scene"]),
    (["simulate", "--n", "3", "--seed", "1", "--galaxies", "smooth", "p.zarr"], ["--galaxies", "'smooth'"]),
    (["translate", "t.asdf"], ["--out"]),
    (["translate", "t.asdf", "--out", "o", "--frames", "f", "--detect", "--catalog", "c"], ["--catalog", "--detect"]),
])
def test_usage(run, arguments, words):
    refused(run(*arguments), *words)


def test_simulate_train_translate_evaluate(work, run):
    """The whole way, as small as it goes."""
    pytest.importorskip("galsim")
    pytest.importorskip("jinja2")
    status, out, err = run("simulate", "--n", 12, "--seed", 1, "--input-size", 16, "--truth", "--spectra", "--galaxies",
                           "templates", "--sky", "plain", "--quiet", "pairs.zarr")
    assert (status, err) == (0, []) and "12 pairs, SDSS" in out[0]
    assert len(PairSet.open("pairs.zarr").spectrum_flux) == 12
    status, out, err = run("train", "pairs.zarr", "--objective", "pixel", "--epochs", 1, "--batch-size", 4, "--seed", 5,
                           "--validation-fraction", 0.25, "--checkpoint", "check", "--out", "new.asdf", "--quiet")
    assert (status, err) == (0, []) and "best epoch 1 of 1" in out[0]
    translator = load("new.asdf")
    assert translator.provenance["config"]["batch_size"] == 4
    assert (translator.provenance["n_pairs"], translator.provenance["n_validation"]) == (9, 3)
    assert translator.provenance["seed"] == 5
    status, out, err = run("translate", "new.asdf", "cube.fits", "--out", "made", "--quiet")
    assert (status, out, err) == (0, ["made/cube-cfhtls.fits"], [])
    np.testing.assert_array_equal(read_cube(out[0]).data, translator(read_cube("cube.fits")).data)
    status, out, err = run("evaluate", "new.asdf", "t.asdf", "pairs.zarr", "--out", "report.html", "--quiet")
    assert (status, out) == (0, ["report.html"])
    assert all(line.startswith("galtrans: warning: ") for line in err)
    assert "</html>" in Path("report.html").read_text()
    refused(run("evaluate", "t.asdf", "pairs.zarr", "--out", "report.html"), "report.html", "--overwrite")
    refused(run("simulate", "--n", 12, "--seed", 1, "pairs.zarr"), "pairs.zarr exists already; --overwrite replaces")
    refused(run("train", "pairs.zarr", "--out", "new.asdf"), "new.asdf exists already", "--overwrite")
    refused(run("train", "pairs.zarr", "--validation-fraction", 0.01, "--out", "x.asdf"), "too few")
    refused(run("train", "pairs.zarr", "--checkpoint", "check", "--resume", "--epochs", 2, "--out", "x.asdf"),
            "checkpoint.asdf belongs to another training")


@pytest.fixture
def pairs(work, small_pairs):
    """A set of pairs in the folder to work in."""
    small_pairs.write("pairs.zarr")


TINY = {"srgan": ("n_blocks=1", "n_channels=4", "n_features=4"),
        "capsule": ("stem=4", "types=[2,2]", "poses=[2,2]", "n_features=4")}


@pytest.mark.parametrize("backbone, objective, found, further", [
    ("srgan", "conventional", "adversarial",
     ["--objective-option", "discriminator_widths=[4,4]", "--direction", "reverse"]),
    ("capsule", "gradient", "gradient", ["--conditioning", "spectrum", "--condition-dropout", "0.5", "--no-residual"]),
])
def test_pairs_of_backbone_and_objective(pairs, run, backbone, objective, found, further):
    options = [part for text in TINY[backbone] for part in ("--option", text)]
    status, out, err = run("train", "pairs.zarr", "--backbone", backbone, "--objective", objective, *options, *further,
                           "--epochs", 1, "--batch-size", 8, "--out", "new.asdf", "--quiet")
    assert status == 0 and all(line.startswith("galtrans: warning: ") for line in err)
    translator = load("new.asdf")
    assert (translator.network.config.backbone, translator.objective_name) == (backbone, found)
    assert not translator.network.residual
    reverse = "reverse" in further
    assert translator.input_survey.name == ("CFHTLS" if reverse else "SDSS")
    assert translator.conditioning == (None if reverse else "spectrum") and translator.takes_unknown != reverse


def test_training_is_told_what_was_asked(pairs, run, small_translator, monkeypatch):
    told = []

    def fit(pairs, config, **options):
        told.append((pairs, config))
        return SimpleNamespace(translator=small_translator, best_epoch=0, history=[0])

    monkeypatch.setattr("astro_galtrans.training.fit", fit)
    assert run("train", "pairs.zarr", "--out", "a.asdf", "--size", "tiny", "--option", "n_features=8", "--residual",
               "--objective", "pixel", "--conditioning", "redshift", "--direction", "target")[0] == 0
    assert run("train", "pairs.zarr", "--out", "b.asdf")[0] == 0
    (pairs, config), (forward, default) = told
    assert (pairs.input_survey.name, pairs.target_survey.name) == ("CFHTLS", "CFHTLS")
    assert pairs.input_flux.shape == pairs.target_flux.shape
    assert config.all_backbone_options == {"widths": [16, 32, 64], "n_features": 8}
    assert (config.uses_residual, config.conditioning, config.condition_dropout) == (True, "redshift", 0.1)
    assert (forward.input_survey.name, forward.target_survey.name) == ("SDSS", "CFHTLS")
    assert (default.backbone, default.objective, default.residual, default.conditioning) == (
        "unet", "gradient", None, None)


def test_help_names_what_there_is(run):
    text = " ".join(" ".join(run("train", "--help")[1]).split()).replace("- ", "-")  # lines are broken at hyphens
    for name in (*available_backbones(), *available_objectives(), "conventional"):
        assert name in text


def test_demo_is_told_what_was_asked(run, monkeypatch):
    asked = {}
    monkeypatch.setattr("astro_galtrans.demo.run_demo", lambda out, **options: asked.update(out=out, **options) or out)
    assert run("demo", "--out", "d", "--seed", 4, "--quick", "--device", "cpu") == (0, ["d"], [])
    assert asked == {"out": "d", "seed": 4, "device": "cpu", "quick": True, "workers": 1, "overwrite": False,
                     "progress": True}


def test_a_field(work, run, field_folder, field_sky):
    pytest.importorskip("matplotlib")
    status, out, err = run("translate", "t.asdf", "--frames", field_folder, "--detect", "--size", 24, "--out", "field",
                           "--max-magnitude", 19, "--quiet")
    assert (status, err) == (0, [])
    assert out == ["field: 4 of 6 sources translated; catalog.ecsv has the reason for each of the others"]
    assert len(list(Path("field/cubes").iterdir())) == 4
    Table({"ra": field_sky.ra.deg[:2], "dec": field_sky.dec.deg[:2]}).write("sources.fits")
    files = sorted(field_folder.iterdir())
    result = run("translate", "t.asdf", "--frames", *files, "--catalog", "sources.fits", "--size", 16, "--out", "two",
                 "--quiet")
    assert result == (0, ["two: 2 of 2 sources translated"], [])


def test_translators_that_are_told_more(work, run, tolerant_translator, spectrum_translator, make_spectrum):
    save("z.asdf", tolerant_translator)
    save("s.asdf", spectrum_translator)
    make_spectrum().write("one.fits", format="tabular-fits")
    shutil.copy("cube.fits", "other.fits")
    cubes = "cube.fits", "other.fits"
    status, out, err = run("translate", "z.asdf", *cubes, "--redshift", "0.1,nan", "--redshift-error", "0.02", "--out",
                           "z", "--quiet")
    assert (status, err) == (0, [])
    told = [read_cube(path).meta["galtrans"] for path in out]
    assert [one["redshift"] for one in told] == [pytest.approx(0.1), "unknown"]
    assert told[0]["redshift_error"] == pytest.approx(0.02)
    status, out, err = run("translate", "s.asdf", *cubes, "--spectrum", "none,one.fits", "--out", "s", "--quiet")
    assert (status, err) == (0, [])
    assert [read_cube(path).meta["galtrans"].get("spectrum_file") for path in out] == [None, "one.fits"]
    status, out, err = run("translate", "z.asdf", "cube.fits", "--out", "w", "--quiet")
    assert status == 0 and len(err) == 1 and "none was given: it is taken as unknown" in err[0]
    before = files_in(work)
    for arguments, words in (
            (["s.asdf", "cube.fits", "--spectrum", "missing.fits"], ["no such file: missing.fits"]),
            (["s.asdf", "cube.fits", "--spectrum", "t.asdf"], ["t.asdf is not a spectrum that specutils reads"]),
            (["s.asdf", *cubes, "--spectrum", "one.fits"], ["spectrum must have one value for each of the 2 files"]),
            (["t.asdf", "cube.fits", "--spectrum", "one.fits"], ["not conditioned on it"]),
            (["z.asdf", "cube.fits", "--redshift", "-2"], ["cube.fits", "redshift must be"]),
            (["z.asdf", "cube.fits", "--redshift-error", "x"], ["--redshift-error must be numbers", "x"]),
            (["z.asdf", "--frames", "f", "--redshift-error", "0.1"], ["--redshift-error goes with cubes", "column"]),
            (["z.asdf", "--frames", "f", "--spectrum", "one.fits"], ["--spectrum goes with cubes", "column spectrum"])):
        refused(run("translate", *arguments, "--out", "no", "--quiet"), *words)
    assert files_in(work) == before


def test_the_bands_of_one_galaxy(work, run):
    read_cube("cube.fits").write_bands("my-{band}.fits")
    status, out, err = run("translate", "t.asdf", *(f"{band}=my-{band}.fits" for band in "ugriz"), "--out", "made",
                           "--quiet")
    assert (status, out, err) == (0, ["made/my-cfhtls.fits"], [])
    status, out, err = run("translate", "t.asdf", "cube.fits", "--out", "made", "--quiet")
    np.testing.assert_array_equal(read_cube("made/my-cfhtls.fits").data, read_cube(out[0]).data)


def test_samples(work, run, sampling_translator):
    save("d.asdf", sampling_translator)
    arguments = "translate", "d.asdf", "cube.fits", "--quiet", "--n-samples", 3, "--steps", 1
    status, out, err = run(*arguments, "--seed", 7, "--out", "a")
    assert (status, err) == (0, [])
    made = read_cube(out[0])
    assert {name: made.meta["galtrans"][name] for name in ("n_samples", "sampling_seed", "sampling_steps")} == {
        "n_samples": 3, "sampling_seed": 7, "sampling_steps": 1}
    np.testing.assert_array_equal(
        made.data, sampling_translator(read_cube("cube.fits"), n_samples=3, seed=7, n_steps=1).data)
    refused(run("translate", "d.asdf", "cube.fits", "--n-samples", "0", "--out", "b"), "--n-samples must be", "0")
    refused(run("translate", "t.asdf", "cube.fits", "--n-samples", "2", "--out", "b"), "--n-samples is for translators")


def test_progress_and_messages_go_to_standard_error(work, run):
    status, out, err = run("translate", "t.asdf", "cube.fits", "--out", "a", "--verbose")
    assert (status, out) == (0, ["a/cube-cfhtls.fits"])
    assert any("1/1" in line for line in err) and any("galtrans: info: astro_galtrans" in line for line in err)
    assert run("--quiet", "translate", "t.asdf", "cube.fits", "--out", "b")[2] == []


def test_warnings_are_lines():
    code = ("import sys, types, warnings; from astro_galtrans import cli\n"
            "def warn(*a, **k): warnings.warn('two\\nlines', UserWarning); warnings.warn('old', FutureWarning)\n"
            "sys.modules['astro_galtrans.demo'] = types.SimpleNamespace(run_demo=warn)\n"
            "sys.exit(cli.main(['demo']))")
    done = python("-c", code)
    assert (done.returncode, done.stdout) == (0, "None\n")
    assert done.stderr == "galtrans: warning: two lines\n"


def test_interrupt(work, run, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("astro_galtrans.field.translate_files", interrupted)
    assert run("translate", "t.asdf", "cube.fits", "--out", "out") == (130, [], ["galtrans: interrupted"])


def test_errors_of_the_program_itself(work, run, monkeypatch):
    """They tell their kind, and --debug raises them."""
    def broken(*arguments, **options):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("astro_galtrans.field.translate_files", broken)
    arguments = "translate", "t.asdf", "cube.fits", "--out", "out"
    assert run(*arguments) == (2, [], ["galtrans: error: RuntimeError: two lines (--debug shows where)"])
    with pytest.raises(RuntimeError):
        run(*arguments, "--debug")


def _swapped(make_cube):
    return make_cube(bands=("g", "u", "r", "i", "z"), survey=None)


def _change(path, index, **values):
    with fits.open(path) as hdus:
        hdus = fits.HDUList([hdu.copy() for hdu in hdus])
    for key, value in values.items():
        hdus[index].header[key] = value
    hdus.writeto(path, overwrite=True)


def _mismatched(path):
    with fits.open(path) as hdus:
        flux = hdus[0].copy()
    fits.HDUList([flux, fits.ImageHDU(np.zeros((5, 7, 7), np.uint8), name="MASK")]).writeto(path, overwrite=True)


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-4000])


def _all(value):
    return np.full((5, 24, 24), value)


@pytest.mark.parametrize("spoil, words", [
    pytest.param(lambda make: make(bands="gri", survey=None), ["g,r,i", "u,g,r,i,z"], id="missing bands"),
    pytest.param(_swapped, ["order", "g, u, r, i, z"], id="swapped bands"),
    pytest.param(lambda make: make(unit="adu", survey=None), ["adu"], id="unit without scale"),
    pytest.param(lambda path: _change(path, 0, BUNIT="K"), ["K"], id="wrong unit"),
    pytest.param(lambda make: make(wcs=None), ["WCS"], id="no WCS"),
    pytest.param(_mismatched, ["(5, 7, 7)", "(5, 24, 24)"], id="mismatched shapes"),
    pytest.param(lambda make: make(survey="CFHTLS", unit="adu"), ["CFHTLS", "SDSS"], id="another survey"),
    pytest.param(lambda path: _change(path, 0, CDELT1=-1e-4, CDELT2=1e-4), ["0.36", "regrid"], id="pixel scale"),
    pytest.param(lambda make: make(mask=_all(True)), ["every pixel"], id="all masked"),
    pytest.param(lambda path: fits.writeto(path, _all(np.nan), fits.getheader(path), overwrite=True), ["every pixel"],
                 id="all NaN"),
    pytest.param(_truncated, ["not a whole FITS file"], id="truncated"),
    pytest.param(lambda path: path.write_text("not FITS"), ["not a whole FITS file"], id="not FITS"),
    pytest.param(lambda path: path.write_bytes(b""), ["not a whole FITS file"], id="empty"),
])
def test_bad_cubes(work, run, make_cube, spoil, words):
    path = work / "bad.fits"
    if spoil.__code__.co_varnames[0] == "path":
        make_cube().write(path)
        spoil(path)
    else:
        spoil(make_cube).write(path)
    before = files_in(work)
    refused(run("translate", "t.asdf", "cube.fits", "bad.fits", "--out", "out", "--quiet"), "bad.fits", *words)
    assert files_in(work) == before


def test_bad_pixels_are_masked(work, run, make_cube):
    """NaN and infinite pixels do not stop a translation, and do not pass through it unmarked."""
    cube = make_cube()
    cube.data[:, 3, 4], cube.data[2, 20, 18] = np.nan, np.inf
    cube.write(work / "holes.fits")
    assert run("translate", "t.asdf", "holes.fits", "--out", "out", "--quiet")[0] == 0
    made = read_cube("out/holes-cfhtls.fits")
    assert made.mask.any(axis=(1, 2)).all() and not made.mask.all()
    assert np.all(np.isfinite(made.data[~made.mask]))


@pytest.mark.parametrize("arguments, words", [
    (["t.asdf", "--out", "out"], ["name the FITS cubes"]),
    (["t.asdf", "--catalog", "pairs.zarr", "--out", "out.zarr"], ["no such file: pairs.zarr"]),
    (["t.asdf", "a.zarr", "b.zarr", "--out", "out"], ["one set of pairs at a time", "a.zarr and b.zarr"]),
    (["t.asdf", ".", "--out", "out"], ["folder of FITS files", "--frames ."]),
    (["t.asdf", "--catalog", "sources.ecsv", "--out", "out"], ["--catalog needs --frames", "sources.ecsv"]),
    (["t.asdf", "pairs.zarr", "--out", "out.zarr", "--redshift", "0.1"], ["--redshift does not go with pairs"]),
    (["t.asdf", "cube.fits", "--frames", "f", "--out", "out"], ["either cubes or --frames"]),
    (["t.asdf", "cube.fits", "--size", "32", "--out", "out"], ["--input-size goes with --frames"]),
    (["t.asdf", "--frames", "f", "--redshift", "0.1", "--out", "out"], ["--redshift goes with cubes"]),
    (["t.asdf", "--frames", "f", "--catalog", "c", "--max-magnitude", "9", "--out", "o"], ["--max-magnitude goes"]),
    (["t.asdf", "--frames", "missing", "--out", "out"], ["missing"]),
    (["t.asdf", "--frames", ".", "--out", "out", "--size", "2"], ["size must be"]),
    (["t.asdf", "cube.fits", "--out", "out", "--redshift", "0.1"], ["redshift", "not conditioned"]),
    (["t.asdf", "cube.fits", "--out", "out", "--redshift", "red"], ["--redshift must be numbers", "red"]),
    (["t.asdf", "cube.fits", "--out", "out", "--redshift", "0.1,0.2"], ["one value for each of the 1 files"]),
    (["t.asdf", "cube.fits", "--out", "out", "--device", "abacus"], ["--device", "abacus"]),
    (["missing.asdf", "cube.fits", "--out", "out"], ["missing.asdf"]),
    (["cube.fits", "cube.fits", "--out", "out"], ["cube.fits", "ASDF"]),
    (["survey.asdf", "cube.fits", "--out", "out"], ["survey.asdf must hold one Translator, it holds Survey"]),
    (["cut.asdf", "cube.fits", "--out", "out"], ["cut.asdf", "truncated"]),
    (["t.asdf", "g=cube.fits", "g=cube.fits", "--out", "out"], ["g=cube.fits g=cube.fits names a band twice"]),
    (["t.asdf", "g=missing.fits", "r=cube.fits", "--out", "out"], ["no such file: missing.fits"]),
    (["t.asdf", "cube.fits", "--out", "t.asdf"], ["t.asdf is a file"]),
    (["t.asdf", "cube.fits", "--out", "t.asdf/out"], ["t.asdf is not a folder"]),
    (["t.asdf", "cube.fits", "--out", "no/out"], ["no does not exist"]),
    (["t.asdf", "--frames", ".", "--out", "t.asdf/out"], ["t.asdf is not a folder"]),
])
def test_translate_refuses(work, run, arguments, words):
    pytest.importorskip("matplotlib")
    save("survey.asdf", get_survey("SDSS"))
    Path("cut.asdf").write_bytes(Path("t.asdf").read_bytes()[:-500])
    before = files_in(work)
    refused(run("translate", *arguments, "--quiet"), *words)
    assert files_in(work) == before


def test_bad_fields(work, run, field_folder):
    pytest.importorskip("matplotlib")
    shutil.copytree(field_folder, "frames")
    _truncated(work / "frames" / "frame-i.fits")
    Path("sources.txt").write_text("ra dec\n229.5 42.7\n")
    Path("positions.csv").write_text("x,y\n1,2\n")
    before = files_in(work)

    def translate(*frames, **options):
        return run("translate", "t.asdf", "--frames", *frames, "--out", "out", "--quiet",
                   *(part for name, value in options.items() for part in (f"--{name}", value)))

    status, out, err = translate("frames")
    assert (status, out, len(err)) == (2, [], 2)
    assert "frame-i.fits (cut off)" in err[0] and "band i is missing" in err[1]
    four = sorted(field_folder.iterdir())[:4]
    refused(translate(*four), "band z is missing")
    refused(translate(*four, four[0]), "frame-g.fits is of band g")
    refused(translate("t.asdf"), "t.asdf is not a whole FITS file")
    refused(translate(field_folder, catalog="positions.csv"), "columns ra and dec")
    refused(translate(field_folder, catalog="missing.fits"), "missing.fits")
    refused(translate(field_folder, catalog="cube.fits"), "cube.fits")
    Path("far.csv").write_text("ra,dec\n10,10\n")
    before.append("far.csv")
    refused(translate(field_folder, catalog="far.csv"), "none of the 1 sources", "beyond the edge")
    assert files_in(work) == sorted(before)


def test_parts_of_the_sky_are_turned_off(work, run):
    pytest.importorskip("galsim")
    from astro_galtrans.cli import _pairs
    from astro_galtrans.simulation import Sky, simulate_pairs

    assert {*_pairs._SKY_PARTS, "conditions"} == {field.name for field in fields(Sky)}
    settings = ["--n", 1, "--seed", 3, "--input-size", 16, "--galaxies", "templates", "--truth", "--quiet"]
    status, _, err = run("simulate", *settings, "--without", "scene", "--without", "artifacts", "alone.zarr")
    assert (status, err) == (0, [])
    sky = Sky(scene=None, artifacts=None)
    made = simulate_pairs(1, seed=3, input_size=16, galaxies="templates", sky=sky, truth=True)
    for name, values in made.read().items():
        if values is not None:
            np.testing.assert_array_equal(PairSet.open("alone.zarr").read()[name], values)


def test_full_disk(work, run, field_folder, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("galsim")
    before = files_in(work)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
        refused(run("translate", "t.asdf", "cube.fits", "--out", "out", "--quiet"), "MiB free")
        refused(run("translate", "t.asdf", "--frames", field_folder, "--out", "out", "--quiet"), "MiB free")
        refused(run("simulate", "--n", 2, "--seed", 0, "pairs.zarr"), "MiB free")

    def write(self, path, overwrite=False):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("astro_galtrans.images.BandCube.write", write)
    refused(run("translate", "t.asdf", "cube.fits", "--out", "out", "--quiet"), "No space left on device")
    assert files_in(work) == before


@pytest.mark.parametrize("arguments, words", [
    (["train", "--option", "widths=5", "--out", "x.asdf"], ["backbone 'unet' cannot be built with widths=5"]),
    (["train", "--option", "widths=[0]", "--out", "x.asdf"], ["widths and n_features must be positive"]),
    (["train", "--option", "widths=wide", "--out", "x.asdf"], ["wide"]),
    (["evaluate", "t.asdf", "--direction", "reverse", "--out", "r.html"], ["survey SDSS", "the test pairs CFHTLS"]),
    (["evaluate", "t.asdf", "--n-samples", "0", "--out", "r.html"], ["--n-samples must be at least 1, got 0"]),
])
def test_what_does_not_fit_the_pairs(pairs, work, run, arguments, words):
    if arguments[0] == "evaluate":
        pytest.importorskip("jinja2")
    verb, *arguments = arguments
    files = ["pairs.zarr"] if verb == "train" else [arguments.pop(0), "pairs.zarr"]
    refused(run(verb, *files, *arguments, "--quiet"), *words)
    assert not Path("x.asdf").exists()


@pytest.mark.parametrize("arguments, words", [
    (["simulate", "--n", "0", "--seed", "1", "p.zarr"], ["n must be"]),
    (["simulate", "--n", "2", "--seed", "1", "--input-survey", "DSS", "p.zarr"], ["DSS", "SDSS"]),
    (["simulate", "--n", "2", "--seed", "1", "--input-survey", "SDS", "p.zarr"],
     ["no survey is named 'SDS'; did you mean 'SDSS'?"]),
    (["simulate", "--n", "2", "--seed", "1", "--sky", "plain", "--without", "scene", "p.zarr"],
     ["--without has no effect with --sky plain"]),
    (["simulate", "--n", "2", "--seed", "1", "t.asdf/p.zarr"], ["t.asdf"]),
    (["simulate", "--n", "2", "--seed", "1", "t.asdf"], ["t.asdf"]),
    (["train", "missing.zarr", "--out", "x.asdf"], ["missing.zarr"]),
    (["train", "cube.fits", "--out", "x.asdf"], ["cube.fits"]),
    (["train", "missing.zarr", "--out", "t.asdf/x.asdf"], ["t.asdf is not a folder"]),
    (["train", "missing.zarr", "--out", "."], ["is a folder"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--objective", "beauty"], ["objective", "beauty", "gradient"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--backbone", "spine"], ["backbone", "spine", "unet"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--epochs", "0"], ["epochs"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--backbone", "unet", "--objective", "denoising"],
     ["'denoising' cannot train backbone 'unet': ", "noise"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--size", "huge"], ["size must be one of", "tiny", "base", "huge"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--option", "width=[4,8]"],
     ["backbone 'unet' has no option 'width'; its options are widths, n_features"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--option", "widths"],
     ["--backbone-option must be NAME=VALUE, got 'widths'"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--option", "a=1", "--option", "a=2"],
     ["--backbone-option a is given twice"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--objective", "pixel", "--objective-option", "n_flow=1"],
     ["objective 'pixel' has no option 'n_flow'; it has none"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--condition-dropout", "0.5"], ["--condition-dropout goes with"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--conditioning", "spectrum", "--condition-scatter", "0.5"],
     ["--condition-scatter goes with"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--conditioning", "redshift", "--condition-dropout", "1"],
     ["--condition-dropout must be", "got 1.0"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--validation-fraction", "1.5"], ["--validation-fraction", "1.5"]),
    (["train", "missing.zarr", "--out", "x.asdf", "--resume"], ["--resume needs --checkpoint"]),
    (["evaluate", ".", "t.asdf", "--out", "r.html"], ["translators come first and the pairs last"]),
    (["evaluate", "t.asdf", "--out", "r.html"], ["at least one translator"]),
    (["evaluate", "t.asdf", "missing.zarr", "--out", "r.html"], ["missing.zarr"]),
    (["evaluate", "t.asdf", "t.asdf", "x.zarr", "--out", "r.html"], ["named twice"]),
    (["evaluate", "cube.fits", "x.zarr", "--out", "r.html"], ["cube.fits"]),
    (["evaluate", "t.asdf", "x.zarr", "--out", "no/r.html"], ["no does not exist"]),
])
def test_other_subcommands_refuse(work, run, arguments, words):
    if arguments[0] == "simulate":
        pytest.importorskip("galsim")
    before = files_in(work)
    refused(run(*arguments, "--quiet"), *words)
    assert files_in(work) == before
