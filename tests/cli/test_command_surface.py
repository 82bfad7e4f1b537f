"""What all subcommands have in common: help, options, JSON, exit status and completion."""

import argparse
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans.cli._common import Result
from astro_galtrans.cli._common import as_json
from astro_galtrans.cli._main import in_terms_of_options
from astro_galtrans.cli._parser import SUBCOMMANDS, make_parser

NAMES = [one[0] for one in SUBCOMMANDS]


def _subcommands():
    action = next(one for one in make_parser()._actions if isinstance(one, argparse._SubParsersAction))
    return action.choices


def _options():
    """Each option of each subcommand: subcommand, name, action."""
    return [(name, flag, action) for name, subparser in _subcommands().items() for action in subparser._actions
            for flag in action.option_strings if flag.startswith("--")]


def test_help_lists_subcommands_examples_and_exit_status(run):
    status, out, err = run("--help")
    text = "\n".join(out)
    assert (status, err) == (0, []) and "SUBCOMMAND\n" not in text.partition("subcommands:")[2]
    for name in NAMES:
        assert f"\n    {name} " in text
    assert "exit status: 0" in text and "\n  galtrans demo --out demo" in text


@pytest.mark.parametrize("name", NAMES)
def test_each_subcommand_has_help_and_an_example_that_parses(run, name):
    status, out, _ = run(name, "--help")
    example = next(line for line in " ".join(out).split("example: ")[1:])
    assert status == 0 and example.startswith(f"galtrans {name} ")
    arguments = next(one[4] for one in SUBCOMMANDS if one[0] == name).split()
    options = make_parser().parse_args([name, *arguments])
    assert options.subcommand == name and callable(options.run)


def test_every_argument_is_explained():
    for name, subparser in _subcommands().items():
        for action in subparser._actions:
            assert action.help, (name, action.dest)
            if action.nargs != 0 and not action.choices:
                assert action.metavar or name == "pair", (name, action.option_strings)


def test_the_same_word_is_the_same_thing():
    """An option of several subcommands takes the same kind of value in all, but for those that are listed here."""
    common = ("verbose", "quiet", "json", "debug")
    for name, subparser in _subcommands().items():
        assert set(common) <= {action.dest for action in subparser._actions}, name
    different = {"--out", "--redshift", "--size", "--input", "--catalog", "--table", "--survey", "--bands", "--unit"}
    found = {}
    for name, flag, action in _options():
        told = tuple(action.choices) if action.choices else action.metavar or (action.type and "N")
        found.setdefault(flag, {})[name] = type(action).__name__, action.type, told
    for flag, kinds in found.items():
        if flag not in different:
            assert len(set(kinds.values())) == 1, (flag, kinds)


@pytest.mark.parametrize("subcommand, text, wanted", [
    ("translate", "a.fits is there; overwrite=True replaces it", "a.fits is there; --overwrite replaces it"),
    ("translate", "a.fits: band u is missing; allow_missing=True translates without it",
     "a.fits: band u is missing; --allow-missing translates without it"),
    ("translate", "allow_missing is for translators that were trained with an input_dropout above 0 in TrainConfig",
     "--allow-missing is for translators that were trained with an --input-dropout of galtrans train above 0"),
    ("translate", "a.fits has no unit in BUNIT; give it with unit=, or the survey with survey=",
     "a.fits has no unit in BUNIT; give it with --unit, or the survey with SURVEY in the header"),
    ("info", "x and y contradict each other; unit='nmgy' takes the first, unit='adu' the second",
     "x and y contradict each other; --unit nmgy takes the first, --unit adu the second"),
    ("translate", "a.fits has no band; give the files as a dict of band to path",
     "a.fits has no band; give the files as g=my-g.fits r=my-r.fits"),
    ("info", "bits; mask_bits=() leaves it out", "bits; --mask-bits none leaves it out"),
    ("pair", "a.fits has no unit in BUNIT; give it with unit=",
     "a.fits has no unit in BUNIT; give it with BUNIT in the header"),
    ("pair", "ra must be below 24 hours; for degrees give unit='deg'",
     "--ra must be below 24 hours; for degrees give --unit deg"),
    ("evaluate", "test has no data in band u of galaxy 1; test.select(~test.missing_bands().any(1)) leaves them out",
     "test has no data in band u of galaxy 1"),
    ("translate", "catalog must have ra and dec, or named with ra= and dec=; it has x",
     "--catalog must have ra and dec; it has x"),
    ("pair", "it must have ra and dec, or named with ra= and dec=",
     "it must have ra and dec, or named with --ra and --dec"),
    ("train", "backbone 'unet' has no option 'width'", "--backbone-option: backbone 'unet' has no option 'width'"),
    ("train", "objective 'pixel' has no option 'a'", "--objective-option: objective 'pixel' has no option 'a'"),
    ("train", "backbone 'unet' cannot be built with widths='a': b",
     "--backbone-option: backbone 'unet' cannot be built with widths='a': b"),
    ("train", "backbone 'unet' cannot be built with its defaults: b",
     "backbone 'unet' cannot be built with its defaults: b"),
    ("train", "resume=True needs a checkpoint", "--resume needs a checkpoint"),
    ("translate", "my=True.fits and g=my-g.fits are paths", "my=True.fits and g=my-g.fits are paths"),
])
def test_messages_name_options(subcommand, text, wanted):
    assert in_terms_of_options(text, subcommand) == wanted


def test_unit_and_mask_bits_reach_the_reader(run, tmp_path, make_cube):
    cube = make_cube()
    cube.write(tmp_path / "cube.fits")
    status, out, err = run("info", tmp_path / "cube.fits", "--unit", "mJy", "--json", "--quiet")
    assert status == 0, err
    assert json.loads("\n".join(out))["found"][0]["unit"] == "mJy"
    cube.write_bands(str(tmp_path / "my-{band}.fits"))
    status, out, err = run("info", f"g={tmp_path}/my-g.fits", f"r={tmp_path}/my-r.fits", "--json", "--quiet")
    assert status == 0 and json.loads("\n".join(out))["found"][0]["bands"] == ["g", "r"]
    status, out, err = run("info", tmp_path / "cube.fits", "--unit", "foo")
    assert status == 2 and "--unit must be a flux unit" in err[0] and "'foo'" in err[0]
    status, out, err = run("info", tmp_path / "cube.fits", "--mask-bits", "SAT,3", "--quiet")
    assert status == 2 and "--mask-bits" in err[0]


def test_options_before_and_after_the_subcommand():
    for arguments in (["-q", "--json", "info"], ["info", "-q", "--json"]):
        options = make_parser().parse_args(arguments)
        assert options.quiet and options.json and not options.verbose


def test_options_are_not_abbreviated(run):
    status, _, err = run("train", "pairs.zarr", "--out", "t.asdf", "--epoch", 1)
    assert status == 2 and "unrecognized arguments: --epoch 1" in err[0]


def test_json_of_values():
    table = Table({"name": ["a", "b"], "value": [1.5, np.nan], "pair": np.arange(4).reshape(2, 2)})
    table["masked"] = np.ma.MaskedArray([1, 2], [False, True])
    values = {"t": table, "x": np.float32("inf"), "n": np.int64(3), "m": np.ma.masked, "r": range(2)}
    found = json.loads(as_json(values))
    assert found["t"] == [{"name": "a", "value": 1.5, "pair": [0, 1], "masked": 1},
                          {"name": "b", "value": None, "pair": [2, 3], "masked": None}]
    assert (found["x"], found["n"], found["m"], found["r"]) == (None, 3, None, [0, 1])


def test_json_is_all_of_standard_output(run, tmp_path, monkeypatch, make_cube, small_translator):
    from astro_galtrans.storage import save

    monkeypatch.chdir(tmp_path)
    make_cube().write("cube.fits")
    save("t.asdf", small_translator)
    status, out, err = run("translate", "t.asdf", "cube.fits", "--out", "made", "--json", "--quiet")
    assert (status, err) == (0, [])
    assert json.loads("\n".join(out)) == {"verb": "translate", "files": ["made/cube-cfhtls.fits"]}
    status, out, err = run("translate", "t.asdf", "missing.fits", "--out", "other", "--json", "--quiet")
    assert (status, out) == (2, []) and err == ["galtrans: error: no such file: missing.fits"]


def test_json_stands_alone(run, monkeypatch):
    def noisy(_):
        print("a library that prints")
        return Result([], {"n": 3})

    parser = SimpleNamespace(parse_args=lambda _: SimpleNamespace(
        json=True, subcommand="pair", verbose=False, debug=False, run=noisy))
    monkeypatch.setattr("astro_galtrans.cli._main.make_parser", lambda: parser)
    status, out, err = run("pair")
    assert json.loads("\n".join(out)) == {"verb": "pair", "n": 3} and err == ["a library that prints"]


def test_json_of_photoz(run, tmp_path):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(3)
    z_spec, grid = rng.uniform(0.2, 0.8, 80), np.linspace(0, 1, 51)
    centre = z_spec + 0.03 * rng.normal(size=80)
    pdf = np.exp(-0.5 * ((grid - centre[:, None]) / 0.03) ** 2)
    table = Table({"z_spec": z_spec, "pdf": pdf}, meta={"redshift_grid": grid.tolist()})
    table.write(tmp_path / "densities.ecsv")
    status, out, err = run("photoz", tmp_path / "densities.ecsv", "--out", tmp_path / "judged", "--n-bootstrap", 5,
                           "--json", "--quiet")
    assert status == 0, err
    found = json.loads("\n".join(out))
    assert found["counts"]["n_used"] == 80 and found["folder"] == str(tmp_path / "judged")
    nmad = next(row for row in found["metrics"] if row["metric"] == "nmad")
    assert nmad["low"] <= nmad["value"] <= nmad["high"]
    assert set(found["bins"]) == {"z_spec", "z_phot"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(run, shell):
    pytest.importorskip("shtab")
    status, out, err = run("--print-completion", shell)
    assert (status, err) == (0, [])
    text = "\n".join(out)
    assert all(name in text for name in ("info", "backbone-option"))


def test_completion_in_bash(run, tmp_path):
    pytest.importorskip("shtab")
    script = "\n".join(run("--print-completion", "bash")[1])
    (tmp_path / "galtrans.bash").write_text(script)
    (tmp_path / "pairs.zarr").mkdir()
    words = [["galtrans", "tra"], ["galtrans", "train", "--backbone-s"], ["galtrans", "train", "pa"]]
    asks = "\n".join(f"COMP_WORDS=({' '.join(line)}); COMP_CWORD={len(line) - 1}; COMPREPLY=(); _shtab_galtrans\n"
                     'echo "${COMPREPLY[@]}"' for line in words)
    done = subprocess.run(["bash", "-c", f"source galtrans.bash\n{asks}"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["train translate", "--backbone-size", "pairs.zarr"], done.stderr


def test_completion_without_shtab(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    status, out, err = run("--print-completion", "bash")
    assert (status, out, len(err)) == (2, [], 1) and "astro_galtrans[completion]" in err[0]


def test_output_that_nobody_reads():
    """A reader that is gone is no traceback."""
    code = "import os, sys\nfrom astro_galtrans.cli import main\nos.close(0)\nsys.exit(main(['info']))"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        process.stdout.close()
        told = process.stderr.read()
    assert told == "" and process.returncode in (0, 2)
