import bz2

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, PartialOverlapError, StdDevUncertainty, VarianceUncertainty
from astropy.stats import mad_std
from astropy.wcs import WCS, Sip

from astro_galtrans.exceptions import BandMismatchError, FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.images import BandCube, FrameSet, read_cube, read_frames
from astro_galtrans.images._sdss import gain_and_dark_variance

STAR = (150.002, 2.001, 900.0)


@pytest.fixture(scope="module")
def frames(tmp_path_factory, write_frame):
    """A field of five frames with the pixel offsets between bands that drift scanning makes."""
    folder = tmp_path_factory.mktemp("field")
    offsets = {"u": (2.3, -3.7), "g": (1.1, 4.4), "r": (0, 0), "i": (-0.6, 3.2), "z": (1.5, -7.8)}
    return {band: write_frame(folder / f"frame-{band}.fits", band, offset=offsets[band], stars=[STAR], seed=seed)
            for seed, band in enumerate("ugriz")}


def test_noise_of_a_frame_is_that_of_its_pixels(frames):
    fields = read_frames(frames, "SDSS")
    # The files have the gain and dark variance of r in column 3.
    assert mad_std(fields["r"].data / fields["r"].uncertainty.array) == pytest.approx(1, abs=0.03)
    star = fields["r"].wcs.world_to_pixel(SkyCoord(*STAR[:2], unit="deg"))
    assert fields["r"].uncertainty.array[int(star[1]), int(star[0])] > 1.3 * np.median(fields["r"].uncertainty.array)


@pytest.mark.parametrize(("band", "camcol", "run", "expected"), [
    ("r", 3, 3918, (4.72, 1.3225)), ("u", 2, 1000, (1.595, 12.6025)), ("u", 2, 1101, (1.825, 12.6025)),
    ("i", 4, 1500, (4.885, 6.25)), ("i", 4, 1501, (4.885, 7.5625)), ("z", 5, 94, (3.48, 1.8225))])
def test_gain_and_dark_variance(band, camcol, run, expected):
    assert gain_and_dark_variance(band, camcol, run) == expected


def test_frames_come_to_one_grid(frames):
    cube = read_cube(frames)
    assert cube.survey.name == "SDSS" and cube.bands == tuple("ugriz") and cube.unit == u.nmgy
    assert cube.meta["band_meta"]["g"]["header"]["FILTER"] == "g" and cube.meta["run"] == 3918
    x0, y0 = (float(one) for one in cube.wcs.world_to_pixel(SkyCoord(*STAR[:2], unit="deg")))
    y, x = np.indices(cube.shape[1:])
    near = (x - x0) ** 2 + (y - y0) ** 2 < 10**2
    for plane in cube.data:
        assert plane[near].sum() == pytest.approx(900, rel=0.01)
        window = np.where(near, plane * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 18), 0)
        assert abs((window * x).sum() / window.sum() - x0) < 0.05
        assert abs((window * y).sum() / window.sum() - y0) < 0.05
    assert not cube.mask[2].any() and cube.mask[4].any()


def test_cutouts_are_those_of_the_whole_field(frames):
    position = SkyCoord(*STAR[:2], unit="deg")
    whole = read_cube(frames).cutout(position, 32)
    for cut in (read_cube(frames, position=position, size=32), read_frames(frames).cutout(position, 32)):
        np.testing.assert_allclose(cut.data, whole.data, atol=2e-3 * np.nanmax(whole.data))
        np.testing.assert_allclose(cut.uncertainty.array, whole.uncertainty.array, rtol=1e-3)
        np.testing.assert_allclose(cut.wcs.wcs.crpix, whole.wcs.wcs.crpix)


def test_cutouts_at_the_border_of_a_band(frames):
    fields = read_frames(frames)
    corner = fields.wcs.pixel_to_world(10, 8)
    cut = fields.cutout(corner, 24)
    # u saw two more columns on this side than r did
    assert cut.mask[2, :, 0].all() and np.isnan(cut.data[2, :, 0]).all()
    assert cut.mask[2, :4].all() and not cut.mask[2, 4:, 3:].any() and not cut.mask[0, 10:, 1].any()
    inside = fields.wcs.pixel_to_world(12.5, 12.5)
    assert fields.cutout(inside, 24).mask.any()
    with pytest.raises(PartialOverlapError, match="band"):
        fields.cutout(inside, 24, mode="strict")


def test_a_compressed_frame(frames, tmp_path):
    path = tmp_path / "frame-r.fits.bz2"
    path.write_bytes(bz2.compress(frames["r"].read_bytes()))
    np.testing.assert_array_equal(read_cube(path).data[0], fits.getdata(frames["r"]))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match="frame-r.fits.bz2"):
        read_cube(path)


def test_files_that_are_not_there_or_not_whole(frames, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.fits"):
        read_cube({"r": tmp_path / "nothing.fits"})
    content = frames["r"].read_bytes()
    for name, part in (("text", b"hello"), ("empty", b""), ("header", content[:1000]), ("data", content[:20000])):
        path = tmp_path / f"{name}.fits"
        path.write_bytes(part)
        with pytest.raises(FileFormatError, match=f"{name}.fits"):
            read_cube(path, "SDSS")


def test_bands_and_surveys_that_do_not_fit(frames):
    with pytest.raises(BandMismatchError, match="frame-g.fits is of band g, not r"):
        read_cube({"r": frames["g"]})
    with pytest.raises(BandMismatchError, match="z is missing"):
        read_cube({"g": frames["g"], "r": frames["r"]}, "SDSS", bands="grz")
    with pytest.raises(BandMismatchError, match="another file"):
        read_frames([frames["g"], frames["g"]])
    with pytest.raises(SurveyError, match="SDSS"):
        read_cube(frames, "CFHTLS")
    assert read_cube(frames, bands="gr").bands == ("g", "r")


def stack(path, band="g.MP9401", make_wcs=None, data=None, **cards):
    rng = np.random.default_rng(3)
    data = rng.normal(0, 1.5, (50, 60)).astype(np.float32) if data is None else data
    header = make_wcs(data.shape, scale=0.186).to_header()
    header.update({"FILTER": band, "MZP_AB": 30.0, "GAIN": 50.0, **cards})
    fits.PrimaryHDU(data, header).writeto(path)
    return path


def test_megacam_stacks(tmp_path, make_wcs):
    data = np.random.default_rng(3).normal(0, 1.5, (50, 60)).astype(np.float32)
    data[25, 30] = 1e4
    paths = {"g": stack(tmp_path / "g.fits", make_wcs=make_wcs, data=data),
             "r": stack(tmp_path / "r.fits", "r.MP9601", make_wcs, data, MZP_AB=27.5)}
    cube = read_cube(paths)
    assert cube.survey.name == "CFHTLS" and cube.unit == u.adu
    np.testing.assert_allclose(cube.data[1], cube.data[0] * 10, rtol=1e-5)
    noise = cube.uncertainty.array
    assert noise[0, 5, 5] == pytest.approx(1.5, rel=0.06)
    assert noise[0, 25, 30] == pytest.approx(np.sqrt(1.5**2 + 1e4 / 50), rel=0.02)
    np.testing.assert_allclose(noise[1], noise[0] * 10, rtol=1e-5)
    assert read_cube(paths, noise=None).uncertainty is None
    with pytest.raises(SurveyError, match="MegaCam"):
        read_cube(paths, "SDSS")


def test_the_second_i_filter_is_not_taken_for_the_first_in_silence(tmp_path, make_wcs):
    path = stack(tmp_path / "i2.fits", "i.MP9702", make_wcs)
    with pytest.warns(GaltransWarning, match="i2"):
        assert read_cube({"i": path}, "CFHTLS").bands == ("i",)
    assert read_cube(path).bands == ("i2",)
    others = [stack(tmp_path / f"{band[0]}.fits", band, make_wcs) for band in ("z.MP9801", "i.MP9701", "r.MP9601")]
    cube = read_cube([path, *others])
    # in order of wavelength, and with a survey only where it has both
    assert cube.bands == ("r", "i", "i2", "z") and cube.survey is None
    np.testing.assert_array_equal(cube.zero_points, 30)
    assert read_cube({"i2": path, "r": others[2]}).bands == ("i2", "r")
    with pytest.raises(BandMismatchError, match="CFHTLS has bands u, g, r, i, z, not i2"):
        read_cube([path, *others], "CFHTLS")


def test_the_second_i_filter_has_the_noise_of_its_photons(tmp_path, make_wcs):
    data = np.random.default_rng(3).normal(0, 1.5, (50, 60)).astype(np.float32)
    data[25, 30] = 1e4
    paths = [stack(tmp_path / f"{band}.fits", band, make_wcs, data, GAIN="") for band in ("i.MP9701", "i.MP9702")]
    noise = {path.stem: read_cube(path).uncertainty.array for path in paths}
    np.testing.assert_array_equal(*noise.values())
    assert noise["i.MP9702"][0, 25, 30] > 2 * noise["i.MP9702"][0, 5, 5]


def test_later_filters_of_megacam_are_told(tmp_path, make_wcs):
    path = stack(tmp_path / "r.fits", "r.MP9602", make_wcs)
    with pytest.warns(GaltransWarning, match="r.MP9602, which is not one of the filters of CFHTLS"):
        assert read_cube(path).bands == ("r",)


def test_weight_maps(tmp_path, make_wcs):
    path, weight = stack(tmp_path / "g.fits", make_wcs=make_wcs), np.full((50, 60), 0.25, dtype=np.float32)
    fits.PrimaryHDU(weight).writeto(tmp_path / "w.fits")
    cube = read_cube({"g": path}, "CFHTLS", weight={"g": tmp_path / "w.fits"})
    assert isinstance(cube.uncertainty, InverseVariance) and (cube.uncertainty.array == 0.25).all()


def test_any_fits_image(tmp_path, make_wcs):
    header = make_wcs((20, 20)).to_header()
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((20, 20)), header, name="SCI"),
                         fits.ImageHDU(np.full((20, 20), 4.0), name="IVAR"),
                         fits.ImageHDU(np.eye(20, dtype=np.uint8), name="MASK")])
    hdus[1].header["BUNIT"] = "nanomaggies"
    hdus.writeto(tmp_path / "one.fits")
    cube = read_cube({"r": tmp_path / "one.fits"})
    assert cube.unit == u.nmgy and cube.survey is None and cube.mask.sum() == 20
    assert isinstance(cube.uncertainty, InverseVariance)
    np.testing.assert_allclose(read_cube({"r": tmp_path / "one.fits"}, unit="Jy", survey="SDSS").data[0, 0, 0],
                               1 / 3.6307805e-6, rtol=1e-6)
    fits.PrimaryHDU(np.ones((20, 20)), header).writeto(tmp_path / "bare.fits")
    with pytest.raises(ValueError, match="bare.fits has no unit"):
        read_cube({"r": tmp_path / "bare.fits"})
    with pytest.raises(BandMismatchError, match="bare.fits has no band"):
        read_cube(tmp_path / "bare.fits", unit="Jy")
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "nothing.fits")
    with pytest.raises(FileFormatError, match="nothing.fits has no image"):
        read_cube({"r": tmp_path / "nothing.fits"})


def test_a_written_cube_comes_back_equal(sdss_cube, tmp_path):
    path = tmp_path / "cube.fits"
    sdss_cube.meta.update(
        size=3 * u.arcsec, table=np.arange(3), pair=(1, None), when="später", header=fits.Header([("HISTORY", "x")]))
    sdss_cube.write(path)
    back = read_cube(path)
    for name in ("data", "mask", "psf"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sdss_cube, name))
    np.testing.assert_array_equal(back.uncertainty.array, sdss_cube.uncertainty.array)
    assert type(back.uncertainty) is StdDevUncertainty
    assert (back.unit, back.bands, back.survey) == (sdss_cube.unit, sdss_cube.bands, sdss_cube.survey)
    assert back.wcs.wcs.compare(sdss_cube.wcs.wcs, cmp=1) or np.allclose(
        back.wcs.all_pix2world([[3, 50]], 0), sdss_cube.wcs.all_pix2world([[3, 50]], 0), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(back.meta.pop("table"), sdss_cube.meta.pop("table"))
    assert back.meta == sdss_cube.meta
    assert back.data.dtype == sdss_cube.data.dtype and back.data.dtype.isnative


def test_a_written_cube_is_plain_fits(sdss_cube, tmp_path):
    path = tmp_path / "cube.fits"
    sdss_cube.write(path)
    assert [one.name for one in tmp_path.iterdir()] == ["cube.fits"]
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK", "UNCERT", "PSF", "META"]
        header = hdus[0].header
        assert header["BANDS"] == "u,g,r,i,z" and header["SURVEY"] == "SDSS" and u.Unit(header["BUNIT"]) == u.nmgy
        wcs = WCS(header)
    world = wcs.celestial.pixel_to_world(20, 30)
    assert world.separation(sdss_cube.wcs.pixel_to_world(20, 30)).arcsec < 1e-6
    with pytest.raises(OSError, match="overwrite"):
        sdss_cube.write(path)
    sdss_cube.write(path, overwrite=True)


@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance])
def test_other_cubes_come_back_equal(tmp_path, make_wcs, kind):
    wcs = make_wcs((9, 8), angle=20)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.sip = Sip(np.eye(3) * 1e-4, np.eye(3) * 1e-5, None, None, wcs.wcs.crpix)
    cube = BandCube(np.random.default_rng(0).normal(size=(2, 9, 8)), unit="mJy", wcs=wcs, bands=("F435W", "F814W"),
                    uncertainty=kind(np.ones((2, 9, 8))))
    cube.write(tmp_path / "cube.fits")
    back = read_cube(tmp_path / "cube.fits")
    np.testing.assert_array_equal(back.data, cube.data)
    assert back.bands == cube.bands and type(back.uncertainty) is kind and back.meta == {} and back.mask is None
    np.testing.assert_allclose(back.wcs.all_pix2world([[1, 7]], 0), wcs.all_pix2world([[1, 7]], 0), rtol=0, atol=1e-10)
    bare = BandCube(np.ones((1, 3, 3)), unit="ct", bands="r")
    bare.write(tmp_path / "bare.fits")
    assert read_cube(tmp_path / "bare.fits").wcs is None


def test_what_fits_cannot_take_is_told(tmp_path):
    cube = BandCube(np.ones((1, 3, 3)), unit="ct", bands="r", meta={"good": 1, "bad": object()})
    with pytest.warns(GaltransWarning, match="bad"):
        cube.write(tmp_path / "cube.fits")
    assert read_cube(tmp_path / "cube.fits").meta == {"good": 1}


def test_cubes_of_another_survey_version_or_kind(sdss_cube, tmp_path):
    path = tmp_path / "cube.fits"
    sdss_cube.write(path)
    assert read_cube(path, "SDSS", bands="gr").bands == ("g", "r")
    assert read_cube(path, position=sdss_cube.wcs.pixel_to_world(30, 30), size=10).shape == (5, 10, 10)
    with pytest.raises(SurveyError, match="cube.fits is of survey SDSS"):
        read_cube(path, "CFHTLS")
    with pytest.raises(BandMismatchError, match="y"):
        read_cube(path, bands="gy")
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["SURVEY"] = "LSST2"
    with pytest.raises(SurveyError, match="register_survey"):
        read_cube(path)
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["GALTRANS"] = 99
    with pytest.raises(FileFormatError, match="99"):
        read_cube(path)
    fits.writeto(tmp_path / "other.fits", np.ones((2, 4, 4)), fits.Header({"BUNIT": "nmgy"}))
    assert read_cube(tmp_path / "other.fits", bands="gr", noise=None).bands == ("g", "r")
    with pytest.raises(FileFormatError, match="other.fits.*BANDS"):
        read_cube(tmp_path / "other.fits")
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(FileFormatError, match="cube.fits"):
        read_cube(path)


def test_frame_set_arguments(make_wcs):
    ccd = CCDData(np.ones((5, 5)), unit="nmgy", wcs=make_wcs((5, 5)))
    fields = FrameSet({"i": ccd, "g": ccd}, "SDSS")
    assert fields.bands == ("g", "i") and fields.reference == "i" and len(fields) == 2 and "g" in fields
    assert fields.to_cube().mask is None
    with pytest.raises(BandMismatchError, match="reference"):
        FrameSet({"g": ccd}, reference="r")
    with pytest.raises(ValueError, match="WCS"):
        FrameSet({"g": ccd, "r": CCDData(np.ones((6, 5)), unit="nmgy")})
    with pytest.raises(TypeError, match="CCDData"):
        FrameSet({"g": np.ones((5, 5))})


@pytest.mark.parametrize("size", [0.4, 0.6, 0.9])
def test_a_cube_that_is_cut_off_anywhere_is_refused(tmp_path, size):
    rng = np.random.default_rng(0)
    cube = BandCube(rng.normal(size=(2, 36, 40)), wcs=None, bands="gr", survey="SDSS", mask=np.zeros((2, 36, 40), bool),
                    uncertainty=StdDevUncertainty(np.ones((2, 36, 40))))
    cube.write(tmp_path / "whole.fits")
    content = (tmp_path / "whole.fits").read_bytes()
    # within the data, and within the header of an extension, which astropy leaves out
    starts = [i for i in range(2880, len(content), 2880) if content.startswith(b"XTENSION", i)]
    for n in (int(size * len(content)), *(start + 2880 * int(size > 0.5) + 5 for start in starts), *starts):
        (tmp_path / "half.fits").write_bytes(content[:n])
        with pytest.raises(FileFormatError, match="half.fits"):
            read_cube(tmp_path / "half.fits")
