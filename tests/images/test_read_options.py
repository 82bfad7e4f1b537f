"""Options of reading, folders, and positions as text."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans.exceptions import BandMismatchError, GaltransWarning
from astro_galtrans.images import BandCube, ReadConfig, detect_galaxies, read_cube, read_frames


@pytest.fixture
def folder(tmp_path, make_wcs):
    rng = np.random.default_rng(0)
    for band in "gr":
        header = make_wcs().to_header()
        header["FILTER"], header["BUNIT"] = band, "uJy"
        fits.writeto(tmp_path / f"{band}.fits", rng.normal(size=(64, 64)).astype("f4"), header)
    return tmp_path


def test_options_as_config_and_as_keywords(folder):
    config = ReadConfig(unit="nJy", noise=None)
    for read in (read_cube, read_frames, BandCube.read):
        for options in ({"config": config}, {"unit": "nJy", "noise": None},
                        {"config": ReadConfig(unit="Jy", noise=None), "unit": "nJy"}):
            image = read(folder / "r.fits", **options)["r"]
            assert image.unit == "nJy" and image.uncertainty is None


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"nois": None}, TypeError, "nois.*noise"), ({"config": {"noise": None}}, TypeError, "config"),
    ({"noise": "none"}, ValueError, "noise"), ({"weight": 3}, TypeError, "weight"),
    ({"mask": "m.fits"}, TypeError, "mask"), ({"mask_bits": [1.5]}, TypeError, "mask_bits"),
])
def test_options_that_are_wrong_are_named(folder, options, error, words):
    for read in (read_cube, read_frames):
        with pytest.raises(error, match=words):
            read(folder / "r.fits", **options)


def test_a_folder_stands_for_its_images(folder):
    cube = read_cube(folder, noise=None)
    assert cube.bands == ("g", "r") and cube.shape == (2, 64, 64)
    assert read_frames(str(folder), bands="r").bands == ("r",)
    (folder / "notes.txt").write_text("seen by nobody")
    with pytest.warns(GaltransWarning, match="notes.txt"):
        assert read_cube(folder).bands == ("g", "r")
    fits.delval(folder / "g.fits", "FILTER")
    with pytest.warns(GaltransWarning), pytest.raises(BandMismatchError, match="g.fits has no band.*dict of band"):
        read_cube(folder)


@pytest.mark.parametrize("text", ["150.001 2.002", "150.001, +2.002", "10 00 00.24 +02 00 07.2", "10:00:00.24 2:0:7.2",
                                  "10h00m00.24s +02d00m07.2s"])
def test_positions_as_text(folder, text):
    position = SkyCoord(150.001, 2.002, unit="deg")
    expected = read_cube(folder / "r.fits", position=position, size=9)
    given = read_cube(folder / "r.fits", position=text, size=9)
    np.testing.assert_array_equal(given.data, expected.data)
    np.testing.assert_array_equal(read_cube(folder / "r.fits").cutout(text, 9).data, expected.data)


@pytest.mark.parametrize("text", ["M 51", "NGC5194", "150.001", "150.001 95", "25 0 0 2 0 0", ""])
def test_text_that_is_no_position(folder, text):
    with pytest.raises(ValueError, match="position"):
        read_cube(folder / "r.fits", position=text)


def test_earlier_names_of_neighbors(make_wcs):
    y, x = np.indices((80, 80))
    image = np.random.default_rng(0).normal(0, 0.02, (1, 80, 80))
    image += 5 * np.exp(-((x - 40)**2 + (y - 40)**2) / 8) + 4 * np.exp(-((x - 52)**2 + (y - 40)**2) / 8)
    cube = BandCube(image, unit="nmgy", wcs=make_wcs((80, 80)), bands="r", survey="SDSS")
    table = detect_galaxies(cube, neighbor_radius=10 * cube.pixel_scale.unit)
    assert table["neighbor"].all() and len(table) == 2
    with pytest.warns(AstropyDeprecationWarning, match="neighbour"):
        assert not detect_galaxies(cube, neighbour_radius=1 * cube.pixel_scale.unit)["neighbor"].any()
    with pytest.warns(AstropyDeprecationWarning, match="neighbor"):
        assert table["neighbour"].all()


@pytest.mark.parametrize(("name", "start"), [("a.fits", b"SIMPLE"), ("a.fits.gz", b"\x1f\x8b"), ("a.fits.bz2", b"BZh")])
def test_a_file_is_compressed_as_its_name_says(tmp_path, name, start):
    cube = BandCube(np.ones((1, 40, 40)), unit="nmgy", bands="r", survey="SDSS")
    cube.write(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    np.testing.assert_array_equal(read_cube(tmp_path / name).data, cube.data)
