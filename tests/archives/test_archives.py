"""Downloads, from archives that answer from memory."""

import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astro_galtrans.archives import (
    SDSSField, download_hips, download_images, download_megapipe, download_sdss, find_sdss_field,
)
from astro_galtrans.exceptions import BandMismatchError, FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.images import read_cube

HERE = SkyCoord(229.59, 42.82, unit="deg")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_field_of_sdss(sdss, tmp_path):
    assert find_sdss_field(HERE) == SDSSField(3918, 3, 213, 301)
    files = download_sdss(HERE, tmp_path / "new" / "field", bands="gr", mask=True)
    assert names(tmp_path / "new" / "field") == [
        "fpM-003918-g3-0213.fit.gz", "fpM-003918-r3-0213.fit.gz", "frame-g-003918-3-0213.fits.bz2",
        "frame-r-003918-3-0213.fits.bz2", "psField-003918-3-0213.fit"]
    assert len(files.files()) == 5 and list(files.images) == ["g", "r"]
    cube = files.read(position=files.position, size=16)
    assert cube.bands == ("g", "r") and cube.unit == u.nmgy and cube.psf.shape == (2, 9, 9)
    assert files.read().mask[0, 5, 6] and files.read(psf=None).psf is None
    frames = [url for url in sdss.asked if "frame-" in url]
    assert frames[0].startswith("https://data.sdss.org/sas/dr17/eboss/photoObj/frames/301/3918/3/")


def test_files_that_are_there_are_not_fetched_again(sdss, tmp_path):
    known = {"field": (3918, 3, 213), "bands": "r"}
    files = download_sdss(HERE, tmp_path, **known)
    asked = len(sdss.asked)
    assert download_sdss(HERE, tmp_path, **known).images == files.images
    assert len(sdss.asked) == asked == 2
    download_sdss(HERE, tmp_path, overwrite=True, **known)
    assert len(sdss.asked) == 4


def test_a_place_that_sdss_did_not_see(sdss, tmp_path):
    sdss.add("x_results.aspx", "#Table1\nrun,rerun,camcol,field\n")
    with pytest.raises(SurveyError, match="SDSS has no object within 1 arcmin of RA 229.59000, Dec"):
        download_sdss(HERE, tmp_path)
    with pytest.raises(TypeError, match="position"):
        download_sdss("229 42", tmp_path)
    with pytest.raises(BandMismatchError, match="y"):
        download_sdss(HERE, tmp_path, bands="gy")


@pytest.mark.parametrize(("answer", "status", "error", "message"), [
    (b"<html>maintenance</html>", 200, FileFormatError, "did not send a whole FITS file, but b'<html>"),
    (b"", 404, FileNotFoundError, "https.*frame-r"), (b"", 403, OSError, "frame-r.*403"),
    (b"", 503, OSError, "frame-r.*503"),
])
def test_nothing_is_left_of_a_download_that_failed(sdss, tmp_path, answer, status, error, message):
    sdss.add("frame-r-", answer, status)
    with pytest.raises(error, match=message):
        download_sdss(HERE, tmp_path, field=(3918, 3, 213), bands="gr")
    assert names(tmp_path) == ["frame-g-003918-3-0213.fits.bz2"]


def test_a_download_that_was_cut_short(sdss, tmp_path):
    content = next(answer for part, answer, _ in sdss.answers if "psField" in part)
    sdss.add("psField", content[:20000])
    with pytest.raises(FileFormatError, match="psField.*whole FITS"):
        download_sdss(HERE, tmp_path, field=(3918, 3, 213), bands="r")
    assert names(tmp_path) == ["frame-r-003918-3-0213.fits.bz2"]


def test_a_second_attempt(sdss, tmp_path):
    import requests

    sdss.add("frame-r-", requests.ConnectionError("reset"))
    with pytest.raises(OSError, match="frame-r.*reset"):
        download_sdss(HERE, tmp_path, field=(3918, 3, 213), bands="r")
    assert len(sdss.asked) == 3


def test_megapipe(cadc, tmp_path):
    files = download_megapipe(HERE, tmp_path, size=5 * u.arcsec)
    assert list(files.images) == list("ugriz") and len(names(tmp_path)) == 5
    asked = [url for url in cadc.asked if "caom2ops/sync" in url]
    # the deepest calibrated stack of each of the filters of CFHTLS
    assert [url.split("plane-")[1][0] for url in asked] == ["0", "2", "4", "6", "8"]
    assert "CIRCLE" in asked[0] and "0.00069" in asked[0]
    cube = files.read()
    assert cube.survey.name == "CFHTLS" and cube.shape == (5, 30, 30)
    again = len(cadc.asked)
    download_megapipe(HERE, tmp_path, size=5 * u.arcsec)
    assert len(cadc.asked) == again


def test_megapipe_with_both_i_filters(cadc, tmp_path):
    files = download_megapipe(HERE, tmp_path, bands=("i", "i2"))
    cube = files.read()
    assert cube.bands == ("i", "i2") and [cube.meta["band_meta"][band]["header"]["FILTER"] for band in cube.bands] == [
        "i.MP9701", "i.MP9702"]
    with pytest.raises(BandMismatchError, match="y"):
        download_megapipe(HERE, tmp_path, bands="gy")
    with pytest.raises(ValueError, match="size"):
        download_megapipe(HERE, tmp_path, size=5 * u.pix)


def test_a_place_that_megapipe_has_not(cadc, votable, tmp_path):
    columns = [("publisherID", "char"), ("energy_bandpassName", "char"), ("calibrationLevel", "int"),
               ("dataProductType", "char"), ("time_exposure", "double")]
    cadc.add("argus/sync", votable(columns, [("plane-5", "r.MP9602", 3, "image", 99)]))
    with pytest.raises(SurveyError, match="no stack in r.MP9601 at RA.*filters there are r.MP9602"):
        download_megapipe(HERE, tmp_path, bands="r")
    cadc.add("argus/sync", votable(columns, []))
    with pytest.raises(SurveyError, match="MegaPipe has no image"):
        download_megapipe(HERE, tmp_path, bands="r")


def test_an_archive_that_does_not_answer(cadc, tmp_path):
    cadc.add("argus/sync", "trouble", 503)
    with pytest.raises(OSError, match="MegaPipe.*503"):
        download_megapipe(HERE, tmp_path, bands="r")


def test_hips(hips, tmp_path):
    with pytest.warns(GaltransWarning, match="not for photometry"):
        files = download_hips(HERE, tmp_path, "panstarrs", bands="gr", size=20)
    assert "hips=CDS%2FP%2FPanSTARRS%2FDR1%2Fg" in hips.asked[0] and "width=20" in hips.asked[0]
    cube = files.read(noise=None)
    assert cube.bands == ("g", "r") and cube.unit == u.adu and cube.survey is None and cube.zero_points is None
    with pytest.raises(ValueError, match="scale of survey"):
        read_cube(files.images, "Pan-STARRS")
    asked = len(hips.asked)
    with pytest.warns(GaltransWarning):
        download_hips(HERE, tmp_path, "panstarrs", bands="gr", size=20)
    assert len(hips.asked) == asked
    with pytest.raises(ValueError, match="size"):
        download_hips(HERE, tmp_path, "panstarrs", size=0)
    with pytest.warns(GaltransWarning):
        download_hips(HERE, tmp_path, "SDSS", bands="r", size=5 * u.arcsec, hips="CDS/P/DSS2/red")
    assert "DSS2" in hips.asked[-1] and "width=13" in hips.asked[-1]


def test_hips_that_is_not_there(transport, tmp_path):
    transport.add("hips2fits", '{"title": "Bad Request", "description": "no such HiPS"}', 400)
    with pytest.raises(OSError, match="no such HiPS"):
        download_hips(HERE, tmp_path, "SDSS", bands="r")
    assert names(tmp_path) == []


def test_whatever_archive_there_is(sdss, hips, tmp_path):
    assert download_images(HERE, tmp_path / "sdss", "SDSS", bands="r").survey == "SDSS"
    with pytest.raises(SurveyError, match="fallback"):
        download_images(HERE, tmp_path / "hsc", "HSC", bands="r")
    with pytest.warns(GaltransWarning) as caught:
        files = download_images(HERE, tmp_path / "hsc", "HSC", bands="r", fallback=True)
    assert files.survey is None and "HSC" in str(caught[0].message)
    hips.add("x_results.aspx", "#Table1\nrun,rerun,camcol,field\n")
    with pytest.warns(GaltransWarning) as caught:
        files = download_images(HERE, tmp_path / "sdss9", "SDSS", bands="r", size=8 * u.arcsec, fallback=True)
    assert "SDSS9" in files.images["r"].name and "SDSS has no object" in str(caught[0].message)


def test_without_astroquery(monkeypatch, tmp_path):
    for name in ("astroquery", "astroquery.sdss", "astroquery.cadc", "astroquery.hips2fits"):
        monkeypatch.setitem(sys.modules, name, None)
    for download in (download_sdss, download_megapipe):
        with pytest.raises(ImportError, match=r"astro_galtrans\[archives\]"):
            download(HERE, tmp_path)
    with pytest.raises(ImportError, match="archives"):
        download_hips(HERE, tmp_path, "SDSS")


@pytest.mark.remote_data
def test_the_real_sdss(tmp_path):
    files = download_sdss(SkyCoord(229.58958, 42.82250, unit="deg"), tmp_path, bands="r")
    cube = files.read(position=files.position, size=64)
    assert cube.psf.shape == (1, 51, 51) and np.isfinite(cube.data).all() and cube.data.max() > 20 * np.std(
        cube.data[0, :8])


@pytest.mark.remote_data
def test_the_real_megapipe(tmp_path):
    files = download_megapipe(SkyCoord(218.7268, 52.4806, unit="deg"), tmp_path, bands="gr", size=20 * u.arcsec)
    cube = files.read(position=files.position, size=64)
    assert cube.survey.name == "CFHTLS" and cube.data[1, 28:36, 28:36].mean() > 10 * cube.uncertainty.array[1].min()


@pytest.mark.remote_data
def test_the_real_hips(tmp_path):
    with pytest.warns(GaltransWarning):
        files = download_hips(SkyCoord(229.58958, 42.82250, unit="deg"), tmp_path, "SDSS", bands="r", size=64)
    assert files.read(noise=None).shape == (1, 64, 64)
