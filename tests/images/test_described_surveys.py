"""Images of surveys that are described by what their headers tell."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from astro_galtrans.exceptions import FileFormatError, SurveyError
from astro_galtrans.images import read_cube
from astro_galtrans.surveys import Survey, get_survey


@pytest.fixture
def survey():
    bands = get_survey("DES").select("gr").bands
    return Survey("Mine", bands, 0.25 * u.arcsec, "adu", keywords={"zero_point": "MYZP", "gain": "MYGAIN"})


@pytest.fixture
def image(tmp_path, make_wcs):
    def write(name="r.fits", data=None, **cards):
        data = np.random.default_rng(0).normal(0, 2, (40, 50)).astype(np.float32) if data is None else data
        header = make_wcs(data.shape, scale=0.25).to_header()
        header.update(cards)
        fits.PrimaryHDU(data, header).writeto(tmp_path / name, overwrite=True)
        return tmp_path / name
    return write


def test_keywords_of_a_survey(image, survey):
    data = np.random.default_rng(0).normal(0, 2, (40, 50)).astype(np.float32)
    data[20, 20] = 1e4
    path = image(data=data, MYZP=27.5, MYGAIN=5.0, MAGZPT=99.0, GAIN=1e9)
    cube = read_cube({"r": path}, survey)
    assert cube.unit == u.adu and cube.survey.name == "Mine"
    np.testing.assert_allclose(cube.data[0], 10 * data, rtol=1e-5)
    noise = cube.uncertainty.array[0]
    assert noise[20, 20] == pytest.approx(10 * np.sqrt(4 + 1e4 / 5), rel=0.05)
    for lacking in ({"MYZP": 27.5}, {"MYGAIN": 5.0}, {"MYZP": "high", "MYGAIN": 5.0}, {"MYZP": 27.5, "MYGAIN": -1.0}):
        with pytest.raises(FileFormatError, match="MY(ZP|GAIN)"):
            read_cube({"r": image(**lacking)}, survey)


def test_flux_of_magnitude_zero(image):
    bands = get_survey("DES").bands
    own = Survey("Mine", bands, 0.25 * u.arcsec, "nmgy", keywords={"flux_zero_point": "F0"})
    data = np.ones((9, 9), dtype=np.float32)
    np.testing.assert_allclose(read_cube({"r": image(data=data, F0=1e9)}, own, noise=None).to_unit("uJy").data, 3.6308,
                               rtol=1e-4)
    hsc = read_cube({"r": image(data=data, FLUXMAG0=63095734448.0194)}, "HSC", noise=None)
    np.testing.assert_allclose(hsc.data, 1, rtol=1e-6)
    assert hsc.survey.name == "HSC" and hsc.zero_points == pytest.approx(27)


def test_stacks_of_pan_starrs(image):
    """Their pixels are asinh magnitudes, of counts in the exposure time of the stack."""
    counts = np.array([[-30.0, 0.0, 50.0, 1e5]])
    stored = (np.arcsinh((counts - 2.0) / (2 * 90.0)) * 1.0857362).astype(np.float32)
    cards = {"BSOFTEN": 90.0, "BOFFSET": 2.0, "HIERARCH FPA.ZP": 25.0, "EXPTIME": 500.0,
             "HIERARCH FPA.FILTER": "i.00000"}
    cube = read_cube(image(data=stored, **cards), "pan-starrs", noise=None)
    assert cube.bands == ("i",) and cube.unit == u.nmgy
    np.testing.assert_allclose(cube.data[0], counts * 10 ** (0.4 * (22.5 - 25 - 2.5 * np.log10(500))), rtol=1e-4,
                               atol=1e-5)
    linear = read_cube(image(data=counts.astype(np.float32), **dict(list(cards.items())[2:])), "pan-starrs", noise=None)
    np.testing.assert_allclose(linear.data, cube.data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("told", "survey", "band"), [
    ("HSC-R2", "HSC", "r"), ("HSC-Y", "HSC", "y"), ("Y DECam c0006 10095.0 1130.0", "DES", "Y"),
    ("g DECam SDSS c0001 4720.0 1520.0", "DES", "g")])
def test_names_of_filters(image, told, survey, band):
    assert read_cube(image(FILTER=told, MAGZERO=30.0), survey).bands == (band,)


def test_photons_on_another_zero_point(image):
    """Without a gain of its own, an image has that of its survey, for as much light."""
    data = np.random.default_rng(0).normal(0, 2, (40, 50)).astype(np.float32)
    data[20, 20] = 1e4
    des = get_survey("DES")
    noise = read_cube({"r": image(data=data, MAGZERO=27.5)}, des).uncertainty.array[0, 20, 20]
    assert noise == pytest.approx(np.sqrt(20**2 + 1e5 / des["r"].gain), rel=0.05)


def test_cubes_name_their_survey_in_any_spelling(image, tmp_path):
    cube = read_cube({"i": image(data=np.ones((9, 9)), BUNIT="nmgy")}, "panstarrs", noise=None)
    cube.write(tmp_path / "cube.fits")
    assert read_cube(tmp_path / "cube.fits", "Pan STARRS").survey.name == "Pan-STARRS"
    with pytest.raises(SurveyError):
        read_cube(tmp_path / "cube.fits", "HSC")


def test_a_file_for_a_survey(image, survey, tmp_path):
    survey.write(tmp_path / "mine.yaml")
    cube = read_cube({"r": image(MYZP=30.0, MYGAIN=5.0)}, tmp_path / "mine.yaml")
    assert cube.survey.name == "Mine" and cube.survey.keywords == survey.keywords
