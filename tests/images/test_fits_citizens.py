"""Files of cubes and bands as other people's tools take them: names, units, WCS and zero points in every HDU."""

import json
from copy import deepcopy

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS, Sip

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import BandCube, read_cube, split_bands, stack_bands

GALTRANS = {"translator": "mine", "hash": 64 * "a", "astro_galtrans_version": "1.2", "input_survey": "SDSS",
            "list": [1, 2], "nothing": None,
            "input": {"gain": 4.7, "bands": {"g": {"header": fits.Header({"RUN": 1})}}}}


@pytest.fixture
def distorted(make_wcs):
    wcs = make_wcs((12, 14), angle=30)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], b[0, 2] = 4e-4, 3e-4
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


def cube_of(wcs=None, bands="gr", unit="nmgy", kind=StdDevUncertainty, survey="SDSS", **parts):
    rng = np.random.default_rng(1)
    shape = (len(bands), 12, 14)
    return BandCube(
        rng.normal(size=shape), unit=unit, wcs=wcs, bands=bands, survey=survey, mask=rng.random(shape) > 0.9,
        uncertainty=kind(rng.uniform(1, 2, shape)), psf=rng.random((len(bands), 5, 5)), **parts)


@pytest.mark.parametrize("single", [False, True])
def test_every_image_is_complete(distorted, tmp_path, single):
    cube = cube_of(distorted, meta={"galtrans": GALTRANS})
    if single:
        path = cube.write_bands(tmp_path / "{band}.fits")["g"]
    else:
        path = tmp_path / "cube.fits"
        cube.write(path)
    place = distorted.pixel_to_world(3, 9)
    with fits.open(path) as hdus:
        hdus.verify("exception")
        images = [hdu for hdu in hdus if hdu.is_image]
        assert [hdu.header["EXTNAME"] for hdu in images] == [
            "PRIMARY", "MASK", "UNCERT", "PSFIMAGE" if single else "PSF"]
        assert [hdu.header["BUNIT"] for hdu in images] == ["nanomaggy", "", "nanomaggy", ""]
        for hdu in images:
            header = hdu.header
            assert (header["SURVEY"], header["MAGZERO"]) == ("SDSS", 22.5)
            assert (header["GTTRANS"], header["GTHASH"], header["GTVERS"]) == ("mine", 64 * "a", "1.2")
            assert (header["FILTER"], header["BAND"]) == ("g", "g") if single else header["BAND2"] == "r"
        for hdu in images[:3]:
            wcs = WCS(hdu.header, naxis=2)
            assert wcs.sip.a[2, 0] == 4e-4 and wcs.pixel_to_world(3, 9).separation(place) < 1e-6 * u.arcsec
        assert "CTYPE1" not in images[3].header


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
@pytest.mark.parametrize(("unit", "text"), [
    ("nmgy", "nanomaggy"), ("mgy", "maggy"), ("adu", "adu"), ("ct", "count"), ("electron / s", "electron s-1"),
    ("DN", "DN"), ("uJy", "uJy"), ("Jy", "Jy"), ("1e-9 Jy", "10**-9 Jy"), ("2.5 adu", "2.5 adu"), ("", "")])
def test_units_are_spelled_as_others_read_them(tmp_path, unit, text, kind):
    cube = cube_of(unit=unit, kind=kind, survey=None)
    cube.write(tmp_path / "cube.fits")
    with fits.open(tmp_path / "cube.fits") as hdus:
        assert hdus[0].header["BUNIT"] == text
        assert u.Unit(hdus["UNCERT"].header["BUNIT"]) == cube.uncertainty.unit
    if unit:
        again = read_cube(tmp_path / "cube.fits")
        assert again.unit == cube.unit and again.uncertainty.unit == cube.uncertainty.unit


def test_zero_points_of_a_cube(tmp_path):
    counts = cube_of().to_unit("adu", zero_point=[25, 26])
    counts.write(tmp_path / "cube.fits")
    header = fits.getheader(tmp_path / "cube.fits")
    assert (header["MAGZP1"], header["MAGZP2"]) == (25, 26) and "MAGZERO" not in header
    counts["r"].write(tmp_path / "r.fits")
    assert fits.getheader(tmp_path / "r.fits")["MAGZERO"] == 26


def test_what_was_observed_is_told_where_it_is_true(tmp_path):
    header = fits.Header({"TELESCOP": "2.5m", "NMGY": 0.005, "MAGZERO": 20.0, "OBJECT": "M 51"})
    other = fits.Header({"TELESCOP": "2.5m", "OBJECT": "M 52"})
    meta = {"band_meta": {"g": {"header": header}, "r": {"header": other}}}
    cube_of(meta=meta).write(tmp_path / "cube.fits")
    found = fits.getheader(tmp_path / "cube.fits")
    assert found["TELESCOP"] == "2.5m" and found["MAGZERO"] == 22.5 and not {"NMGY", "OBJECT"} & set(found)
    one = fits.getheader(cube_of(meta=meta).write_bands(tmp_path / "{band}.fits")["r"])
    assert one["OBJECT"] == "M 52"
    cube_of(meta=meta | {"galtrans": GALTRANS}).write(tmp_path / "cube.fits", overwrite=True)
    assert "TELESCOP" not in fits.getheader(tmp_path / "cube.fits")


METAS = [
    {}, {"galtrans": GALTRANS}, {"zero_point": {"g": 22.5, "r": 22.5}},
    {"object": "M 51", "a long key": "x" * 100, "n": 3},
    {"none": None, "nan": np.nan, "big": 2**70, "text": "caf\u00e9\n& more ",
     "quotes": "'" * 90 + "&", "\u03b1": 1},
    {"NAXIS": 7, "end": 1, "CRPIX1": 5.0, "BUNIT": "x", "GTMETA": {"a": 1}, "Object": 1, "OBJECT": 2, "": 3,
     "a b": 4, "MAGZERO": 7.0},
    {"header": fits.Header([("CD1_1", 3.0), ("OBJECT", "x"), ("COMMENT", "one"), ("COMMENT", "two")])},
    {"array": np.arange(3), "unit": u.m, "length": 3 * u.m, "pair": (1, "comment"), "bool": True, "np": np.float32(2)},
    {"band_meta": {"g": {"gain": 4.0, "dark_variance": 2.0}, "r": {"gain": 5.0}}, "long_number_key": 3.5},
    {"long": {"text": "it's " * 4000}},
]


@pytest.mark.parametrize("meta", METAS)
def test_a_band_of_any_cube_is_written_by_astropy(distorted, tmp_path, meta):
    cube = cube_of(distorted, meta=meta)
    image = cube["r"]
    assert type(image) is CCDData
    for one in (image, deepcopy(image), image[:, :]):
        one.write(tmp_path / "r.fits", overwrite=True)
        back = CCDData.read(tmp_path / "r.fits")
        assert back.unit == u.nmgy and type(back.uncertainty) is StdDevUncertainty
        for name in ("data", "mask", "psf"):
            np.testing.assert_array_equal(getattr(back, name), getattr(one, name))
        np.testing.assert_array_equal(back.uncertainty.array, image.uncertainty.array)
        place = distorted.pixel_to_world(3, 9)
        assert back.wcs.pixel_to_world(3, 9).separation(place) < 1e-6 * u.arcsec
        assert back.header["MAGZERO"] == 22.5 and back.header["SURVEY"] == "SDSS"
    again = stack_bands({"r": back})
    assert again.bands == ("r",)
    assert dict(image.meta).keys() >= meta.keys() - {"band_meta"}


def test_nothing_is_lost_in_a_header(tmp_path):
    """What does not fit a card is in GTMETA, whole."""
    meta = {"galtrans": GALTRANS, "pair": (1, 2), "text": "caf\u00e9", "object": "M 51"}
    cube_of(meta=meta)["g"].write(tmp_path / "g.fits")
    header = fits.getheader(tmp_path / "g.fits")
    assert (header["OBJECT"], header["GTHASH"], header["FILTER"]) == ("M 51", 64 * "a", "g")
    rest = json.loads(header["GTMETA"])
    assert set(rest) == {"galtrans", "pair", "text"} and rest["text"] == "caf\u00e9"
    assert rest["galtrans"]["input"]["gain"] == 4.7 and rest["galtrans"]["list"] == [1, 2]


def test_what_json_cannot_hold_is_named(tmp_path):
    cube = cube_of(meta={"thing": object()})
    with pytest.warns(GaltransWarning, match="thing"):
        cube["g"].write(tmp_path / "g.fits")
    with pytest.warns(GaltransWarning, match="thing"):
        cube.write(tmp_path / "cube.fits")
    assert read_cube(tmp_path / "cube.fits").meta == {}


@pytest.mark.parametrize("meta", METAS[:6] + METAS[8:])
def test_meta_of_a_cube_comes_back(tmp_path, meta):
    cube = cube_of(meta=meta)
    cube.write(tmp_path / "cube.fits")
    again = read_cube(tmp_path / "cube.fits").meta
    assert set(again) == set(meta)
    np.testing.assert_equal(
        {key: value for key, value in again.items() if key != "galtrans"},
        {key: value for key, value in meta.items() if key != "galtrans"})
    assert {**split_bands(cube)["g"].meta}.get("galtrans") == meta.get("galtrans")


def test_files_of_before_are_read(sdss_cube, tmp_path):
    """Without the names, units and WCS that the HDUs have now."""
    sdss_cube.write(tmp_path / "cube.fits")
    new = ("EXTNAME", "SURVEY", "MAGZERO", "MAGZP?", "GT*")
    with fits.open(tmp_path / "cube.fits") as hdus:
        hdus[0].header["BUNIT"] = hdus["UNCERT"].header["BUNIT"] = "nmgy"
        place = [*WCS(hdus[0].header, naxis=2).to_header(), *hdus[0].header["C*3"], "WCSAXES"]
        for hdu, keywords in ((hdus[0], [new[0], *new[2:]]), (hdus["MASK"], ["BUNIT", *new[1:], *place]),
                              (hdus["UNCERT"], [*new[1:], *place]), (hdus["PSF"], ["BUNIT", *new[1:]])):
            for keyword in keywords:
                hdu.header.remove(keyword, ignore_missing=True, remove_all=True)
        hdus.writeto(tmp_path / "old.fits")
    old = read_cube(tmp_path / "old.fits")
    assert old.unit == u.nmgy and old.meta == sdss_cube.meta and old.uncertainty.unit == u.nmgy
    np.testing.assert_array_equal(old.data, sdss_cube.data)
    np.testing.assert_array_equal(old.uncertainty.array, sdss_cube.uncertainty.array)
    np.testing.assert_array_equal(old.mask, sdss_cube.mask)
