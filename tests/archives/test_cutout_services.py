"""Cutouts of the Legacy Surveys, of Euclid, and of any service of the Virtual Observatory."""

import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import StdDevUncertainty

from astro_galtrans.archives import (
    IMAGE_SERVICES, ImageService, download_euclid, download_images, download_legacy, download_sia,
)
from astro_galtrans.exceptions import BandMismatchError, FileFormatError, SurveyError

HERE = SkyCoord(229.59, 42.82, unit="deg")
SERVICE = ImageService("https://sia.test/sia")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_legacy_surveys(legacy, tmp_path):
    files = download_legacy(HERE, tmp_path / "new", bands="grz", size=5.24 * u.arcsec)
    assert files.survey == "DECaLS" and list(files.images) == list("grz") and len(names(tmp_path / "new")) == 3
    assert "layer=ls-dr10" in legacy.asked[0] and "size=20" in legacy.asked[0] and "bands=grz" in legacy.asked[0]
    for band, level in zip("grz", (1, 2, 4)):
        with fits.open(files.images[band]) as hdus:
            assert hdus[0].shape == hdus["IVAR"].shape == (20, 20)
            assert (hdus[0].data == level).all() and (hdus["IVAR"].data == 4 * level).all()
            header = hdus[0].header
            assert (header["BANDS"], header["FILTER"], header["BUNIT"], header["MAGZERO"]) == (
                band, band, "nanomaggy", 22.5)
            assert header["VERSION"] == "DR10"
    cube = files.read()
    assert cube.bands == ("g", "r", "z") and cube.survey.name == "DECaLS" and cube.unit == u.nmgy
    np.testing.assert_array_equal(cube.data[:, 3, 4], [1, 2, 4])
    np.testing.assert_allclose(cube.uncertainty.represent_as(StdDevUncertainty).array[:, 3, 4], [0.5, 8**-0.5, 0.25])
    assert cube.wcs.pixel_to_world(9.5, 9.5).separation(HERE).arcsec < 0.01


def test_legacy_surveys_go_on_where_they_were(legacy, tmp_path):
    options = {"size": 20 * 0.262 * u.arcsec}
    download_legacy(HERE, tmp_path, bands="g", **options)
    files = download_legacy(HERE, tmp_path, **options)
    assert len(legacy.asked) == 2 and "bands=riz" in legacy.asked[1] and list(files.images) == list("griz")
    download_legacy(HERE, tmp_path, **options)
    assert len(legacy.asked) == 2
    download_legacy(HERE, tmp_path, bands="g", overwrite=True, **options)
    assert len(legacy.asked) == 3
    other = download_legacy(HERE, tmp_path, bands="r", layer="ls-dr9", pixel_scale=0.5 * u.arcsec, size=10 * u.arcsec)
    assert "layer=ls-dr9" in legacy.asked[-1] and "pixscale=0.5" in legacy.asked[-1]
    assert fits.getdata(other.images["r"]).shape == (20, 20)


@pytest.mark.parametrize(("answer", "status", "error", "match"), [
    (b"<html>busy</html>", 200, FileFormatError, "fits-cutout"), (b"", 404, SurveyError, "ls-dr10"),
    (b"", 503, OSError, "fits-cutout.*503"),
])
def test_legacy_surveys_that_fail(legacy, tmp_path, answer, status, error, match):
    legacy.add("viewer/fits-cutout", answer, status)
    with pytest.raises(error, match=match):
        download_legacy(HERE, tmp_path, bands="gr")
    assert names(tmp_path) == []


def test_legacy_surveys_send_other_bands(legacy, tmp_path):
    content = next(answer for part, answer, _ in legacy.answers if "viewer" in part)
    legacy.add("viewer/fits-cutout", lambda url: content(url.replace("bands=gi", "bands=g")))
    with pytest.raises(FileFormatError, match="bands g, not gi"):
        download_legacy(HERE, tmp_path, bands="gi")
    legacy.add("viewer/fits-cutout", lambda url: fits_of_nothing())
    with pytest.raises(SurveyError, match="fits-cutout"):
        download_legacy(HERE, tmp_path, bands="gi")
    assert names(tmp_path) == []


def fits_of_nothing():
    import io

    file = io.BytesIO()
    fits.PrimaryHDU(header=fits.Header({"OVERLAP": False, "BANDS": "gi"})).writeto(file)
    return file.getvalue()


@pytest.mark.parametrize(("options", "error", "match"), [
    ({"size": 2000 * u.arcsec}, ValueError, "size"), ({"size": 3 * u.pix}, ValueError, "size"),
    ({"bands": "gy"}, BandMismatchError, "y"), ({"layer": ""}, ValueError, "layer"),
])
def test_legacy_surveys_validate(legacy, tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        download_legacy(HERE, tmp_path, **options)
    assert legacy.asked == [] and names(tmp_path) == []


def test_any_service(sia, tmp_path):
    files = download_sia(HERE, tmp_path, SERVICE, size=6 * u.arcsec, survey="DECaLS")
    assert sorted(files.images) == ["g", "r"]
    cutouts = [url for url in sia.asked if "soda" in url]
    # the deepest image of the highest calibration level
    assert sorted(url.split("ID=")[1].split("&")[0] for url in cutouts) == ["deep", "green"]
    assert "POS=CIRCLE+229.59+42.82+0.00083" in cutouts[0]
    assert files.read().bands == ("g", "r")
    asked = len(sia.asked)
    again = download_sia(HERE, tmp_path, SERVICE, bands="gr", size=6 * u.arcsec)
    assert len(sia.asked) == asked and again.images == {band: files.images[band] for band in "gr"}
    # what another service sent is not taken for what this one sends
    deep = ImageService("https://sia.test/sia", columns={"obs_id": "deep"})
    assert not set(download_sia(HERE, tmp_path, deep, bands="r", size=6 * u.arcsec).images.values()) & set(
        files.images.values())
    whole = ImageService("https://sia.test/sia", bands={"red": "r"}, cutouts="none")
    sia.add("sia.test/links?ID=deep", next(answer for part, answer, _ in sia.answers if "soda" in part))
    one = download_sia(HERE, tmp_path, whole, bands="red", size=6 * u.arcsec)
    assert list(one.images) == ["red"]


def test_a_service_without_images(sia, tmp_path):
    with pytest.raises(SurveyError, match=r"sia.test.*in z at RA.*bands there are g, r"):
        download_sia(HERE, tmp_path, SERVICE, bands="rz")
    with pytest.raises(SurveyError, match="column nonsense"):
        download_sia(HERE, tmp_path, ImageService("https://sia.test/sia", columns={"nonsense": "1"}))
    with pytest.raises(SurveyError, match="no image"):
        download_sia(HERE, tmp_path, ImageService("https://sia.test/sia", columns={"obs_id": "other"}))
    sia.add("sia.test/links?ID=deep", "trouble", 503)
    with pytest.raises(OSError, match="sia.test"):
        download_sia(HERE, tmp_path, SERVICE, bands="r")
    sia.add("sia.test/sia/v2query", "trouble", 503)
    with pytest.raises(OSError, match="sia.test.*cannot be asked"):
        download_sia(HERE, tmp_path, SERVICE)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("service", "error", "match"), [
    ("nonsense", ValueError, "service.*IRSA"), (3, TypeError, "service"),
])
def test_services_are_validated(tmp_path, service, error, match):
    with pytest.raises(error, match=match):
        download_sia(HERE, tmp_path, service)
    for options, name in (({"url": "sia.test"}, "url"), ({"cutouts": "all"}, "cutouts"), ({"choose": "any"}, "choose")):
        with pytest.raises(ValueError, match=name):
            ImageService(**{"url": "https://sia.test", **options})
    with pytest.raises(BandMismatchError, match="IE"):
        download_sia(HERE, tmp_path, "irsa-euclid-q1", bands="g")
    assert {"CADC", "IRSA", "IRSA-Euclid-Q1", "Rubin-DP1"} <= set(IMAGE_SERVICES)


def test_euclid(irsa, tmp_path):
    files = download_euclid(HERE, tmp_path, size=2 * u.arcsec)
    assert list(files.images) == ["IE", "YE", "JE", "HE"] and files.survey is None
    cutouts = [url for url in irsa.asked if "irsa.test" in url]
    # science mosaics of the tile that is nearest
    assert [url.split("ibe/")[1].split("?")[0] for url in cutouts] == [
        f"2-{band}-science.fits" for band in ("VIS", "Y", "J", "H")]
    assert "center=229.5900000,42.8200000deg" in cutouts[0] and "size=2arcsec" in cutouts[0]
    assert "COLLECTION=euclid_DpdMerBksMosaic" in next(url for url in irsa.asked if "POS=" in url)
    asked = len(irsa.asked)
    assert download_euclid(HERE, tmp_path, bands="IE", size=2 * u.arcsec).survey == "Euclid VIS"
    assert download_euclid(HERE, tmp_path, bands=("YE", "HE"), size=2 * u.arcsec).survey == "Euclid NISP"
    assert len(irsa.asked) == asked
    cube = download_euclid(HERE, tmp_path, bands=("YE", "JE"), size=2 * u.arcsec).read()
    assert cube.bands == ("YE", "JE") and cube.survey.name == "Euclid NISP" and cube.unit == u.uJy


def test_surveys_by_name(legacy, irsa, tmp_path):
    assert download_images(HERE, tmp_path, "Legacy Surveys", bands="g").survey == "DECaLS"
    assert download_images(HERE, tmp_path, "Euclid VIS", size=2 * u.arcsec).survey == "Euclid VIS"
    assert list(download_images(HERE, tmp_path, "NISP", bands="JE", size=2 * u.arcsec).images) == ["JE"]
    with pytest.raises(ValueError, match="mask"):
        download_images(HERE, tmp_path, "DECaLS", mask=True)
    with pytest.raises(ValueError, match="size"):
        download_images(HERE, tmp_path, "SDSS", size=2 * u.arcmin)


def test_progress_goes_to_standard_error(legacy, tmp_path, capsys):
    download_legacy(HERE, tmp_path, bands="g", size=5 * u.arcsec)
    assert capsys.readouterr().err == ""
    download_legacy(HERE, tmp_path, bands="r", size=5 * u.arcsec, progress=True)
    printed = capsys.readouterr()
    assert "fits-cutout" in printed.err and printed.out == ""


def test_without_pyvo(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyvo.dal", None)
    with pytest.raises(ImportError, match=r"pyvo.*astro_galtrans\[archives\]"):
        download_sia(HERE, tmp_path, SERVICE)


@pytest.mark.remote_data
def test_the_real_legacy_surveys(tmp_path):
    files = download_legacy(SkyCoord(154.7709, 46.4537, unit="deg"), tmp_path, bands="grz", layer="ls-dr9",
                            size=20 * u.arcsec)
    cube = files.read()
    assert cube.shape == (3, 76, 76) and cube.data.max() > 0


@pytest.mark.remote_data
def test_the_real_euclid(tmp_path):
    files = download_euclid(SkyCoord(273.8667, 64.525, unit="deg"), tmp_path, bands=("IE", "HE"), size=10 * u.arcsec)
    assert all(abs(max(fits.getdata(path).shape) - 100) <= 2 for path in files.images.values())


@pytest.mark.remote_data
def test_the_real_cadc(tmp_path):
    files = download_sia(SkyCoord(218.7268, 52.4806, unit="deg"), tmp_path, "CADC-MegaPipe", bands="r",
                         size=20 * u.arcsec, survey="CFHTLS")
    assert files.read().bands == ("r",)
