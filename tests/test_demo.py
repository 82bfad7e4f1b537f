"""The demo at its quick sizes: everything is written, and an interrupted run goes on."""

import json
import re

import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

pytest.importorskip("galsim")
pytest.importorskip("matplotlib")

from astro_galtrans import demo  # noqa: E402
from astro_galtrans.storage import load  # noqa: E402

SMALL = demo.DemoSettings(n_training=24, n_validation=8, n_test=16, epochs=1, widths=(4, 8), estimator_epochs=1,
                          n_bootstrap=20, n_fits=1)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    report = demo.run_demo(out, seed=1, settings=SMALL, device="cpu", progress=False)
    assert report == out / "report.html"
    return out


def test_everything_is_written(results):
    names = {path.name for path in results.iterdir()}
    assert {"report.html", "pixel.asdf", "gradient.asdf", "tables", "galaxies", "settings.json"} == names
    assert not list(results.parent.glob(".*"))
    text = (results / "report.html").read_text()
    assert len(re.findall("<img|<svg", text)) >= 5
    assert not re.findall(r"""(?:src|href)=["']https?://""", text)


def test_the_translators_differ_in_the_objective_and_its_network(results):
    pixel, gradient = (load(results / f"{name}.asdf").provenance["config"] for name in ("pixel", "gradient"))
    assert {key for key in pixel if pixel[key] != gradient[key]} == {
        "objective", "output", "residual", "photometry", "centered"}
    for part in ("residual", "photometry", "centered"):
        assert (pixel[part], gradient[part]) == (False, True)


def test_galaxies_are_cubes_on_the_sky(results):
    centres = []
    for key in ("input", "pixel", "gradient", "target"):
        with fits.open(results / "galaxies" / f"galaxy-00-{key}.fits") as hdus:
            shape = hdus[0].data.shape
            wcs = WCS(hdus[0].header, naxis=2)
            centres.append(wcs.pixel_to_world((shape[2] - 1) / 2, (shape[1] - 1) / 2))
    assert max(centres[0].separation(other).arcsec for other in centres) < 1e-3


def test_tables_hold_what_the_report_shows(results):
    table = Table.read(results / "tables" / "redshift.ecsv")
    assert len(table) == 6  # real target, real input, and two translators by transfer and retrained


def test_same_seed_same_translator(results, tmp_path):
    report = demo.run_demo(tmp_path / "again", seed=1, settings=SMALL, device="cpu", progress=False)
    assert load(report.parent / "gradient.asdf").hash == load(results / "gradient.asdf").hash


def test_interrupted_run_goes_on(tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(demo, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            demo.run_demo(out, seed=1, settings=SMALL, device="cpu", progress=False)
    assert not out.exists()
    monkeypatch.setattr(demo, "simulate_pairs", stop)  # the pairs are there already
    demo.run_demo(out, seed=1, settings=SMALL, device="cpu", progress=False)
    assert json.loads((out / "settings.json").read_text())["seed"] == 1


def test_foreign_folder_is_left_alone(tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="mine"):
        demo.run_demo(out, settings=SMALL)
    assert (out / "thesis.tex").exists()


def test_too_little_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(demo.shutil, "disk_usage", lambda path: demo.shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(OSError, match="needs about 1431 MiB"):
        demo.run_demo(tmp_path / "out", settings=SMALL)
