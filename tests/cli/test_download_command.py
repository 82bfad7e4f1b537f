"""``galtrans download``, with a function that notes what it is asked for."""

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord

from astro_galtrans import archives
from astro_galtrans.exceptions import SurveyError


@pytest.fixture
def asked(monkeypatch, tmp_path):
    calls = []

    def download_images(position, folder, survey, **options):
        calls.append((position, folder, survey, options))
        return archives.DownloadedImages(survey, {"r": tmp_path / "r.fits"}, position, tmp_path / "psf.fit")

    monkeypatch.setattr(archives, "download_images", download_images)
    return calls


@pytest.mark.parametrize("place", [("229.58958", "42.8225"), ("15h18m21.5s", "+42d49m21s"), ("229.58958d", "42.8225")])
def test_what_is_asked_for(run, asked, tmp_path, place):
    options = ("--bands", "gr", "--size", 30, "--mask", "--overwrite")
    status, out, err = run("download", *place, "--out", tmp_path, *options)
    assert (status, err) == (0, [])
    assert out == [str(tmp_path / "r.fits"), str(tmp_path / "psf.fit")]
    position, folder, survey, options = asked[0]
    assert position.separation(SkyCoord(229.58958, 42.8225, unit="deg")).arcsec < 0.1
    assert (folder, survey) == (str(tmp_path), "SDSS")
    assert options == {"bands": "gr", "size": 30 * u.arcsec, "mask": True, "fallback": False, "overwrite": True,
                       "progress": True}


def test_defaults_and_the_south(run, asked):
    assert run("download", "10.5", "-5.25", "--survey", "CFHTLS", "--out", "x", "--fallback")[0] == 0
    position, _, survey, options = asked[0]
    assert position.dec.deg == -5.25 and survey == "CFHTLS"
    assert options["bands"] is None and "size" not in options and options["fallback"]


def test_errors_are_one_line(run, monkeypatch):
    def refuse(*arguments, **options):
        raise SurveyError("SDSS has no object there")

    monkeypatch.setattr(archives, "download_images", refuse)
    for place in (("10", "95"), ("ten", "5"), ("10", "5")):
        status, out, err = run("download", *place, "--out", "x")
        assert status == 2 and not out and len(err) == 1 and err[0].startswith("galtrans: error: ")
    assert "no object there" in err[0]
    assert run("download", "10", "5")[0] == 2


@pytest.fixture
def others(monkeypatch, tmp_path):
    calls = []
    for name in ("download_sia", "download_legacy"):
        def download(position, folder, *, name=name, **options):
            calls.append((name, options))
            return archives.DownloadedImages(None, {"r": tmp_path / "r.fits"}, position)

        monkeypatch.setattr(archives, name, download)
    return calls


def test_other_archives(run, others):
    here = ("10", "5", "--out", "x", "-q")
    assert run("download", *here, "--survey", "legacy surveys", "--layer", "ls-dr9", "--pixel-scale", "0.5")[0] == 0
    assert run("download", *here, "--service", "CADC", "--collection", "CFHTMEGAPIPE", "--survey", "CFHTLS")[0] == 0
    assert run("download", *here, "--service", "irsa-euclid-q1", "--bands", "YE,JE")[0] == 0
    (legacy, layer), (sia, cadc), (_, euclid) = others
    assert (legacy, sia) == ("download_legacy", "download_sia")
    assert layer["layer"] == "ls-dr9" and layer["pixel_scale"] == 0.5 * u.arcsec and not layer["progress"]
    assert cadc["service"].collection == "CFHTMEGAPIPE" and "cadc" in cadc["service"].url and cadc["survey"] == "CFHTLS"
    assert euclid["service"] == "irsa-euclid-q1" and euclid["bands"] == ["YE", "JE"] and euclid["survey"] is None


@pytest.mark.parametrize(("options", "named"), [
    (("--layer", "ls-dr9"), "--layer"), (("--survey", "KiDS", "--pixel-scale", "1"), "--pixel-scale"),
    (("--collection", "x"), "--collection"), (("--service", "CADC", "--mask"), "--mask"),
    (("--survey", "DECaLS", "--layer", "ls-dr9", "--fallback"), "--fallback"), (("--service", "nonsense"), "service"),
])
def test_options_without_effect_are_errors(run, options, named):
    status, _, err = run("download", "10", "5", "--out", "x", *options)
    assert status == 2 and len(err) == 1 and named in err[0]
