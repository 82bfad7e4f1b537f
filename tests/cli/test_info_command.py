"""``galtrans info``."""

import json
import shutil

import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans.photoz import RedshiftPDF
from astro_galtrans.storage import save
from astro_galtrans.surveys import available_surveys, get_survey


@pytest.fixture
def work(tmp_path, monkeypatch, make_cube, small_pairs, conditioned_translator):
    monkeypatch.chdir(tmp_path)
    make_cube(meta={"note": 1}).write("cube.fits")
    small_pairs.write("pairs.zarr")
    save("z.asdf", conditioned_translator)
    save("pdf.asdf", RedshiftPDF(np.linspace(0, 1, 11), np.ones((3, 11))))
    save("both.asdf", {"one": get_survey("SDSS"), "two": make_cube(wcs=None)})
    get_survey("DES").write("des.yaml")
    return tmp_path


def _asked(run, *what):
    status, out, err = run("info", *what, "--json")
    assert (status, err) == (0, [])
    return json.loads("\n".join(out))


def test_what_there_is(run):
    found = _asked(run)
    assert [one["name"] for one in found["surveys"]] == available_surveys()
    assert found["translators"][0]["name"] == "sdss-to-cfhtls"
    status, out, err = run("info")
    assert (status, err) == (0, []) and out[0] == "surveys:"
    assert any(line.split()[:2] == ["SDSS", "u,g,r,i,z;"] for line in out)


def test_each_kind(run, work, conditioned_translator):
    names = "cube.fits", "pairs.zarr", "z.asdf", "pdf.asdf", "both.asdf", "des.yaml", "sdss"
    cube, pairs, translator, pdf, both, des, sdss = _asked(run, *names)["found"]
    assert (cube["kind"], cube["bands"], cube["size"]) == ("cube", list("ugriz"), [24, 24])
    assert cube["center"]["ra"]["value"] == pytest.approx(150, abs=1e-6) and cube["meta"] == ["note"]
    assert (pairs["kind"], pairs["n"], pairs["target"]["size"]) == ("pairs", 16, [34, 34])
    assert pairs["redshift"]["known"] == 16 and 0.05 < pairs["redshift"]["median"] < 0.4
    assert (translator["kind"], translator["conditioning"]) == ("translator", "redshift")
    assert translator["hash"] == conditioned_translator.hash and translator["training"]["pairs"] == 16
    assert translator["input"]["survey"] == "SDSS" and translator["card"] is None
    assert (pdf["n"], pdf["n_grid"], pdf["highest"]) == (3, 11, 1)
    assert (both["one"]["kind"], both["two"]["pixel_scale"]) == ("survey", None)
    assert des["name"] == "DES" and sdss["name"] == "SDSS"
    assert sdss["bands"]["r"]["psf_fwhm"] == {"value": 1.32, "unit": "arcsec"}
    for name in names:
        status, out, err = run("info", name)
        assert (status, err) == (0, []) and any("kind:" in line for line in out)


def test_the_card_of_a_shipped_translator(run):
    text = "\n".join(run("info", "sdss-to-cfhtls")[1])
    assert "Trained on 19,000 simulated galaxies" in text and "Limitations" in text
    assert "**" not in text and "====" not in text


def test_what_is_none_of_it(run, work):
    (work / "notes.txt").write_text("nothing")
    (work / "empty").mkdir()
    shutil.copy("cube.fits", "cut.fits")
    (work / "cut.fits").write_bytes((work / "cut.fits").read_bytes()[:9000])
    Table({"pdf": [[0.0, 1.0]]}).write("densities.fits")
    for name, words in (("notes.txt", "neither ASDF"), ("empty", "not a set of pairs"), ("cut.fits", "not a whole"),
                        ("densities.fits", "galtrans photoz"), ("nowhere", "sdss-to-cfhtls"), ("DSS", "SDSS")):
        status, out, err = run("info", name)
        assert (status, out, len(err)) == (2, [], 1)
        assert name in err[0] and words in err[0], err
