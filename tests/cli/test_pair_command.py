"""``galtrans pair``."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans.pairs import FLAGS, PairSet

_spec = importlib.util.spec_from_file_location("pair_sky", Path(__file__).parents[1] / "pairs" / "sky.py")
sky = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sky)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, table = tmp_path_factory.mktemp("pair"), sky.galaxies(n=14)
    table.write(folder / "galaxies.ecsv")
    sky.image(table, "SDSS", off=(0.5, 0)).write(folder / "sdss.fits")
    sky.image(table, "SDSS", off=(0, 20)).write(folder / "wrong.fits")
    cfhtls = sky.image(table, "CFHTLS", seed=2)
    cfhtls.write(folder / "cfhtls.fits")
    for band in "gr":
        cfhtls.select_bands(band).write(folder / f"cfhtls-{band}.fits")
    return folder


@pytest.fixture
def work(folder, tmp_path, monkeypatch):
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pairs_sheet_and_tables(run, work):
    pytest.importorskip("matplotlib")
    status, out, err = run("pair", "galaxies.ecsv", "pairs.zarr", "--input", "sdss.fits", "--target", "cfhtls.fits",
                           "--input-size", 20, "--mask-neighbors", "--sheet", 6, "--quiet")
    assert status == 0, err
    pairs = PairSet.open("pairs.zarr")
    assert out[0].startswith("pairs.zarr: <PairSet: ") and out[1] == "pairs-sheet.png"
    assert "1 field, the images 0.5" in out[-1]
    assert Path("pairs-sheet.png").read_bytes().startswith(b"\x89PNG")
    assert pairs.redshift is not None and pairs.ids[0] == "g000"
    dropped = Table.read("pairs-dropped.ecsv")
    assert len(dropped) + len(pairs) == 14
    assert (len(dropped) > 0) == any("without a pair" in line for line in out)
    assert np.nanmedian(np.abs(pairs.catalog["offset_east"])) < 0.05


def test_result_for_scripts(run, work):
    status, out, err = run("pair", "galaxies.ecsv", "pairs.zarr", "--input", "sdss.fits", "--target", "cfhtls.fits",
                           "--input-size", 20, "--sheet", 0, "--quiet", "--json")
    assert status == 0, err
    made = json.loads("\n".join(out))
    assert made["pairs"] == "pairs.zarr" and made["sheet"] is None and Path(made["fields"]).is_file()
    assert made["n"] + made["n_dropped"] == 14 and (made["dropped"] is None) == (made["n_dropped"] == 0)
    status, out, err = run("pair", "galaxies.ecsv", "x.zarr", "--input", "sdss.fits", "--target", "g=cfhtls-g.fits",
                           "g=cfhtls-r.fits")
    assert status == 2 and "--target: g=cfhtls-g.fits g=cfhtls-r.fits names a band twice" in err[0]


def test_options_reach_the_function(run, work):
    status, out, err = run("pair", "galaxies.ecsv", "pairs.zarr", "--input", "sdss.fits", "--target", "cfhtls.fits",
                           "--input-size", 20, "--input-bands", "gr", "--no-correction", "--drop", "masked_center",
                           "--resample", "always", "--subtract-background", "--sheet", 0, "--quiet", "--unit", "deg")
    assert status == 0, err
    pairs = PairSet.open("pairs.zarr")
    assert pairs.input_survey.band_names == ("g", "r") and pairs.target_survey.band_names == ("g", "r", "i")
    assert np.all(pairs.catalog["flags"] & FLAGS["resampled"])
    assert abs(np.nanmedian(pairs.catalog["offset_east"]) - 0.5) < 0.05
    assert not Path("pairs-sheet.png").exists()
    again = run("pair", "galaxies.ecsv", "pairs.zarr", "--input", "sdss.fits", "--target", "cfhtls.fits")
    assert again[0] == 2 and "--overwrite" in again[2][0]


@pytest.mark.parametrize("arguments, words", [
    (["--input", "wrong.fits", "--target", "cfhtls.fits"], "20.0.? arcsec apart|19.9.? arcsec apart"),
    (["--input", "none.fits", "--target", "cfhtls.fits"], "none.fits"),
    (["--input", "sdss.fits", "--target", "r=a.fits", "r=b.fits"], "band twice"),
    (["--input", "sdss.fits", "--target", "cfhtls.fits", "--sheet", "-1"], "--sheet"),
    (["--input", "sdss.fits", "--target", "cfhtls.fits", "--drop", "rain"], "rain"),
    (["--input", "sdss.fits", "--target", "cfhtls.fits", "--redshift", "zz"], "zz"),
    (["--input", "sdss.fits"], "--target"),
])
def test_bad_input_is_one_line(run, work, arguments, words):
    import re

    status, out, err = run("pair", "galaxies.ecsv", "pairs.zarr", "--quiet", "--input-size", 20, *arguments)
    assert (status, out, len(err)) == (2, [], 1), err
    assert err[0].startswith("galtrans: error: ") and re.search(words, err[0]), err
    assert not Path("pairs.zarr").exists()


def test_resume_after_an_interrupt(run, work, monkeypatch):
    from astro_galtrans.pairs import _disk, _match_run

    monkeypatch.setattr(_disk, "MAX_BLOCK", 4)
    command = ("pair", "galaxies.ecsv", "pairs.zarr", "--input", "sdss.fits", "--target", "cfhtls.fits",
               "--input-size", 20, "--sheet", 0, "--quiet")
    count, whole = [0], _match_run.cut_pair

    def cut(*arguments):
        count[0] += 1
        if count[0] == 7:
            raise KeyboardInterrupt
        return whole(*arguments)
    monkeypatch.setattr(_match_run, "cut_pair", cut)
    status, out, err = run(*command)
    assert status == 130 and "--resume" in err[-1] and not Path("pairs.zarr").exists()
    status, out, err = run(*command, "--resume")
    assert status == 0, err
    assert count[0] < 7 + 14
    assert len(PairSet.open("pairs.zarr")) + len(Table.read("pairs-dropped.ecsv")) == 14
