"""Files as surveys and tools write them: which HDU is what, which header value counts, and what is refused."""

import io
import lzma
import os

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.stats import mad_std
from astropy.wcs import WCS, DistortionLookupTable

from astro_galtrans.exceptions import BandMismatchError, FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.images import BandCube, read_cube, read_frames, split_path
from astro_galtrans.images import _readers

N = 40


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(1).normal(0, 2, (N, N)).astype(np.float32)


@pytest.fixture
def header(make_wcs):
    def make(scale=0.2, **cards):
        result = make_wcs((N, N), scale=scale).to_header()
        for key, value in cards.items():
            result[key.replace("__", ".")] = value
        return result
    return make


@pytest.fixture
def write(tmp_path, header):
    """A file of HDUs, each a name, an array and cards; the first is the primary HDU where its name is None."""
    def make(*hdus, name="file.fits", primary=None, kind=fits.ImageHDU):
        made = [] if hdus[0][0] is None else [fits.PrimaryHDU(header=fits.Header(primary or {}))]
        for one, data, cards in hdus:
            made.append(fits.PrimaryHDU(data, header(**cards)) if one is None else kind(
                data, header(**cards), name=one))
        fits.HDUList(made).writeto(tmp_path / name, overwrite=True)
        return tmp_path / name
    return make


def sigma(cube):
    return cube.uncertainty.represent_as(StdDevUncertainty).array


# header values


@pytest.mark.parametrize("shape", [(N, N), (2, N, N)], ids=["image", "cube"])
@pytest.mark.parametrize("bunit", ["microJy", "JY/PIXEL", "e-/s", "cps", "unknown", "mag", "K"])
def test_a_unit_that_is_not_understood_is_refused(write, noise, bunit, shape):
    path = write((None, np.broadcast_to(noise, shape), {"BUNIT": bunit}))
    paths, bands = (path, "gr") if len(shape) == 3 else ({"g": path}, None)
    with pytest.raises(FileFormatError, match=f"file.fits.*'{bunit}'.*unit="):
        read_cube(paths, "SDSS", bands=bands)
    np.testing.assert_allclose(read_cube(paths, "SDSS", bands=bands, unit="uJy").data[0], noise / 3.6308, rtol=1e-4)


@pytest.mark.parametrize(("bunit", "unit"), [
    ("nanomaggies", "nmgy"), ("NANOMAGGY", "nmgy"), ("ELECTRONS/S", "electron / s"), ("counts/sec", "ct / s"),
    ("ADU", "adu"), ("uJy", "uJy"), ("nJy", "nJy"), ("DN", "DN")])
def test_spellings_of_units(write, noise, bunit, unit):
    assert read_cube({"g": write((None, noise, {"BUNIT": bunit}))}).unit == u.Unit(unit)


def test_a_file_without_unit_and_zero_point_is_warned_of(write, noise):
    path = write((None, noise, {}))
    with pytest.warns(GaltransWarning, match="file.fits.*BUNIT"):
        assert read_cube({"g": path}, "DES").unit == u.adu
    with pytest.raises(ValueError, match="unit="):
        read_cube({"g": path})


@pytest.mark.parametrize("kind", [fits.ImageHDU, fits.CompImageHDU])
@pytest.mark.parametrize("where", ["image", "primary"])
def test_keywords_of_the_primary_header_are_inherited(write, noise, where, kind):
    cards = {"FILTER": "g.MP9401", "PHOTZP": 25.0, "GAIN": 4.0}
    data = noise.copy()
    data[20, 20] = 1e4
    own, primary = (cards, {}) if where == "image" else ({"INHERIT": True}, cards)
    cube = read_cube(write(("IMAGE", data, own), primary=primary, kind=kind))
    assert cube.bands == ("g",) and cube.survey.name == "CFHTLS"
    np.testing.assert_allclose(cube.data[0, 20, 20], 1e6, rtol=1e-3)
    assert sigma(cube)[0, 20, 20] == pytest.approx(100 * np.sqrt(1e4 / 4), rel=0.01)
    with pytest.raises(BandMismatchError, match="of band g, not r"):
        read_cube({"r": write(("IMAGE", data, own), primary=primary)}, "CFHTLS")


def test_keywords_of_another_image_are_not_inherited(write, noise):
    path = write((None, noise, {"FILTER": "g", "MAGZERO": 25.0}), ("SCI2", noise, {"FILTER": "r", "MAGZERO": 30.0}),
                 ("SCI3", noise, {"FILTER": "i", "INHERIT": False, "BUNIT": "nmgy"}))
    cube = read_cube(path, "DES", bands="gr")
    np.testing.assert_allclose(cube.data[0], 100 * cube.data[1], rtol=1e-5)


@pytest.mark.parametrize(("value", "expected"), [(25, 25), (25.0, 25), ("25.0", 25), (" 25.0 ", 25), (0.0, 0)])
def test_zero_points_are_numbers_or_text(write, noise, value, expected):
    cube = read_cube({"g": write((None, noise, {"PHOTZP": value}))}, "DES")
    np.testing.assert_allclose(cube.data[0], noise * 10 ** (0.4 * (30 - expected)), rtol=1e-5)


@pytest.mark.parametrize(("key", "value"), [
    *[(key, value) for key in ("PHOTZP", "MAGZERO") for value in (999.0, -99.0, True, "high")],
    ("FLUXMAG0", -99.0), ("FLUXMAG0", True), ("FLUXMAG0", "high"), ("FLUXMAG0", 1e-30)])
def test_zero_points_that_cannot_be_right_are_refused(write, noise, key, value):
    for shape, bands in (((N, N), "g"), ((2, N, N), "gr")):
        with pytest.raises(FileFormatError, match=f"file.fits.*{key}"):
            read_cube(write((None, np.broadcast_to(noise, shape), {key: value})), "DES", bands=bands)
    # nothing is asked of a zero point where there is a unit
    assert read_cube({"g": write((None, noise, {key: value, "BUNIT": "uJy"}))}, "DES").unit == u.adu


@pytest.mark.parametrize(("cards", "electrons"), [
    ({"BUNIT": "adu", "MAGZERO": 30.0, "GAIN": 5.0}, 5), ({"BUNIT": "electron", "MAGZERO": 30.0, "GAIN": 5.0}, 1),
    ({"BUNIT": "adu/s", "MAGZERO": 30.0, "GAIN": 5.0, "EXPTIME": 100.0}, 500),
    ({"BUNIT": "adu", "MAGZERO": 30.0, "GAIN": "5.0"}, 5)])
def test_gain_of_counts(write, noise, cards, electrons):
    data = noise.copy()
    data[20, 20] = 1e5
    spread = sigma(read_cube({"g": write((None, data, cards))}, "DES"))[0]
    assert spread[20, 20] == pytest.approx(np.sqrt(1e5 / electrons + 4), rel=0.02)


@pytest.mark.parametrize("unit", ["nanomaggy", "uJy"])
def test_gain_is_not_that_of_a_calibrated_flux(write, noise, unit):
    data = noise / 60
    data[20, 20] = 100
    with_gain, without = (sigma(read_cube({"g": write((None, data, cards))}, "SDSS")) for cards in (
        {"BUNIT": unit, "GAIN": 4.7}, {"BUNIT": unit}))
    np.testing.assert_array_equal(with_gain, without)


@pytest.mark.parametrize("gain", [0.0, -1.0, "unknown", True, 1e12])
def test_a_gain_that_cannot_be_right_is_ignored_with_a_warning(write, noise, gain):
    with pytest.warns(GaltransWarning, match="GAIN"):
        read_cube({"g": write((None, noise, {"MAGZERO": 30.0, "GAIN": gain}))}, "DES")


@pytest.mark.parametrize(("told", "survey", "band"), [
    ("R.MP9602", "CFHTLS", "r"), ("R", "CFHTLS", "r"), ("SDSS_R", "SDSS", "r"), ("R SDSS", "SDSS", "r"),
    ("r_SDSS", None, "r"), ("HSC-R2", "HSC", "r"), ("y", "DES", "Y"), ("DECam_g", None, "g"), ("r_57", None, "r"),
    ("MEGACAM_u", None, "u"), ("i.00000", "Pan-STARRS", "i"), ("F814W", None, "F814W"), ("VIS", "Euclid VIS", "IE")])
@pytest.mark.filterwarnings("ignore:.*not one of the filters of CFHTLS")
def test_names_of_filters(write, noise, told, survey, band):
    path = write((None, noise, {"FILTER": told, "BUNIT": "uJy"}))
    assert read_cube(path, survey).bands == (band,)
    assert read_cube({band: path}, survey).bands == (band,)


# which HDU is what


def test_a_band_is_found_by_filter_or_name(write, noise):
    hdus = [("MEGACAM_U_FLUX", noise, {"MAGZERO": 30.0}), ("MEGACAM_U_RMS", np.full_like(noise, 1), {}),
            ("MEGACAM_R_FLUX", 3 * noise, {"MAGZERO": 30.0}), ("MEGACAM_R_RMS", np.full_like(noise, 3), {})]
    path = write(*hdus)
    for cube in (read_cube({"r": path}, "CFHTLS"), read_cube({"r": f"{path}[3]"}, "CFHTLS"),
                 read_cube({"r": f"{path}[megacam_r_flux]"}, "CFHTLS"), read_cube({"r": path}, "CFHTLS", hdu=3),
                 read_cube(path, "CFHTLS", hdu={"r": "MEGACAM_R_FLUX"})):
        np.testing.assert_array_equal(cube.data[0], 3 * noise)
        assert (sigma(cube) == 3).all()
    both = read_cube(path, "CFHTLS")
    assert both.bands == ("u", "r") and (sigma(both)[0] == 1).all()
    with pytest.raises(FileFormatError, match="band g.*MEGACAM_U_FLUX.*MEGACAM_R_FLUX.*hdu="):
        read_cube({"g": path}, "CFHTLS")


def test_bands_of_hdus_with_one_name(write, noise):
    path = write(*[("SCI", index * noise, {"BAND": band, "BUNIT": "uJy"}) for index, band in enumerate("igr", 1)])
    cube = read_cube(path, "CFHTLS", bands="gri", unit="adu")
    for band, factor in zip("gri", (2, 3, 1)):
        np.testing.assert_array_equal(cube[band].data, factor * noise)
    with pytest.raises(BandMismatchError, match="band z"):
        read_cube(path, bands="gz")


def test_a_choice_of_images_is_refused(write, noise):
    path = write(("SCI", noise, {"BUNIT": "uJy"}), ("SCI", 2 * noise, {"BUNIT": "uJy"}))
    with fits.open(path, mode="update") as hdus:
        hdus[2].ver = 2
    for paths in ({"r": path}, path):
        with pytest.raises(FileFormatError, match=r"\[1\] SCI.*\[2\] SCI,2.*hdu="):
            read_cube(paths)
    for paths, hdu in ((f"{path}[SCI,2]", None), (path, ("SCI", 2)), (path, "SCI,2"), (path, 2)):
        np.testing.assert_array_equal(read_cube({"r": paths}, hdu=hdu).data[0], 2 * noise)
    with pytest.raises(FileFormatError, match="no HDU 7"):
        read_cube({"r": path}, hdu=7)
    with pytest.raises(ValueError, match="hdu"):
        read_cube({"r": f"{path}[1]"}, hdu=1)
    with pytest.raises(TypeError, match="hdu"):
        read_cube({"r": path}, hdu=1.5)
    with pytest.raises(BandMismatchError, match="hdu"):
        read_cube({"r": path}, hdu={"g": 1})


@pytest.mark.parametrize("name", ["WEIGHT", "MSK", "ERR", "SKY", "PSF"])
def test_another_plane_is_never_the_image(write, noise, name):
    plane = np.ones((N, N), dtype=np.int16 if name == "MSK" else np.float32)
    path = write((name, plane, {}), ("SCI", noise, {"BUNIT": "uJy"}))
    np.testing.assert_array_equal(read_cube({"r": path}, noise=None).data[0], noise)
    with pytest.raises(FileFormatError, match=f"file.fits has no image.*{name}"):
        read_cube({"r": write((name, plane, {}))}, unit="uJy")
    if name != "SKY":
        with pytest.raises(FileFormatError, match=name):
            read_cube({"r": path}, hdu=name)


@pytest.mark.parametrize(("planes", "expected"), [
    ({"ERR": 2.0, "WHT": 1500.0}, 2), ({"VARIANCE": 4.0}, 2), ({"VAR": 4.0}, 2), ({"WGT": 0.25}, 2), ({"NOISE": 2}, 2),
    ({"RMS": 2.0}, 2), ({"INVVAR": 0.25}, 2), ({"WEIGHT": 0.25, "ERR": 2.0}, 2), ({"SCI_ERR": 2.0}, 2)])
def test_noise_by_the_name_of_its_hdu(write, noise, planes, expected):
    path = write(("SCI", noise, {"BUNIT": "adu"}), *[
        (name, np.full((N, N), value, np.float32), {}) for name, value in planes.items()])
    for choice in ("auto", None):
        np.testing.assert_allclose(sigma(read_cube({"r": path}, "DES", noise=choice)), expected)


def test_a_plane_of_noise_that_is_not_read_is_named(write, noise):
    path = write(("SCI", noise, {"BUNIT": "adu"}), ("WHT", np.full((N, N), 1500, np.float32), {}))
    with pytest.warns(GaltransWarning, match="WHT.*weight="):
        assert sigma(read_cube({"r": path}, "DES"))[0, 0, 0] == pytest.approx(2, rel=0.1)
    cube = read_cube({"r": path}, "DES", weight={"r": f"{path}[WHT]"})
    np.testing.assert_allclose(sigma(cube), 1500**-0.5, rtol=1e-6)
    path = write(("SCI", noise, {"BUNIT": "adu"}), ("ERR", np.ones((5, 5), np.float32), {}))
    with pytest.warns(GaltransWarning, match="ERR"):
        read_cube({"r": path}, "DES")


@pytest.mark.parametrize(("name", "value"), [
    ("r_var.fits", 4), ("tile-invvar-r.fits", 0.25), ("r.weight.fits", 0.25), ("r.rms.fits", 2), ("G1sigma.fits", 2),
    ("plain.fits", 0.25)])
def test_noise_in_a_file_of_its_own(write, noise, name, value):
    path = write((None, noise, {"BUNIT": "adu"}))
    plane = write((None, np.full((N, N), value, np.float32), {}), name=name)
    np.testing.assert_allclose(sigma(read_cube({"r": path}, "DES", weight={"r": plane})), 2)
    np.testing.assert_allclose(
        sigma(read_cube({"r": path}, "DES", weight={"r": VarianceUncertainty(np.full((N, N), 4.0))})), 2)
    with pytest.raises(BandMismatchError, match="weight is given for band g"):
        read_cube({"r": path}, "DES", weight={"g": plane})
    with pytest.raises(ValueError, match="weight"):
        read_cube({"r": path}, "DES", weight={"r": np.ones((3, 3))})


def test_units_of_noise(write, noise):
    path = write(("IMAGE", noise, {"BUNIT": "nJy"}), ("VARIANCE", np.full((N, N), 4e-6, np.float32), {"BUNIT": "uJy2"}))
    np.testing.assert_allclose(sigma(read_cube({"r": path})), 2, rtol=1e-5)


# masks


def lsst(write, noise, planes=("BAD", "SAT", "INTRP", "CR", "EDGE", "DETECTED"), **cards):
    mask = np.zeros((N, N), np.int32)
    mask[10:30, 10:30] |= 1 << planes.index("DETECTED")
    mask[5, 5] |= 1 << planes.index("SAT")
    bits = {f"HIERARCH MP_{name}" if len(name) > 5 else f"MP_{name}": bit for bit, name in enumerate(planes)}
    return write(("IMAGE", noise, {"EXTTYPE": "IMAGE", **cards}), ("MASK", mask, {"EXTTYPE": "MASK", **bits}),
                 ("VARIANCE", np.full((N, N), 4, np.float32), {"EXTTYPE": "VARIANCE"}))


def test_an_exposure_of_lsst_or_hsc(write, noise):
    path = lsst(write, noise, FLUXMAG0=10 ** (0.4 * 27), FILTER="HSC-R")
    cube = read_cube(path, "HSC")
    assert cube.bands == ("r",) and cube.mask.sum() == 1 and cube.mask[0, 5, 5]
    np.testing.assert_allclose(cube.data[0], noise, rtol=1e-6)
    np.testing.assert_allclose(sigma(cube), 2)
    assert read_cube(path, "HSC", mask_bits="DETECTED").mask.sum() == 400
    assert read_cube(path, "HSC", mask_bits=[1, 5]).mask.sum() == 401
    assert read_cube(path, "HSC", mask_bits=()).mask is None
    with pytest.raises(ValueError, match="mask_bits.*SAT.*NOSUCH"):
        read_cube(path, "HSC", mask_bits=["NOSUCH"])
    # another order of the planes, and calibrated flux
    other = lsst(write, noise, ("DETECTED", "EDGE", "CR", "SAT"), BUNIT="nJy")
    cube = read_cube({"r": other}, "HSC")
    assert cube.mask.sum() == 1
    assert cube.data[0, 3, 3] == pytest.approx(noise[3, 3] * 10 ** (0.4 * (27 - 31.4)), rel=1e-3)


def test_masks_of_bits_that_nothing_explains_are_refused(write, noise):
    mask = np.zeros((N, N), np.int16)
    mask[3, 3], mask[4, 4] = 1, 32
    path = write(("SCI", noise, {"BUNIT": "uJy"}), ("FLAG", mask, {}))
    plane = write((None, mask, {}), name="plane.fits")
    image = write((None, noise, {"BUNIT": "uJy"}), name="image.fits")
    for paths, given in (({"r": path}, None), ({"r": image}, {"r": plane}), ({"r": image}, {"r": mask})):
        with pytest.raises(FileFormatError, match="32.*mask_bits="):
            read_cube(paths, mask=given)
        assert read_cube(paths, mask=given, mask_bits=[5]).mask.sum() == 1
        assert read_cube(paths, mask=given, mask_bits=5).mask[0, 4, 4]
    with pytest.raises(ValueError, match="mask_bits"):
        read_cube({"r": image}, mask_bits=[5])
    for wrong in ([1.5], [-1], [True]):
        with pytest.raises(TypeError, match="mask_bits"):
            read_cube({"r": path}, mask_bits=wrong)


def test_data_quality_of_jwst(write, noise):
    quality = np.zeros((N, N), np.uint32)
    quality[1, 1], quality[2, 2] = 1, 4
    path = write(("SCI", noise, {"BUNIT": "MJy/sr", "PIXAR_SR": 2e-14}), ("ERR", np.full((N, N), 2, np.float32), {}),
                 ("DQ", quality, {}), ("VAR_POISSON", noise**2, {}), ("WHT", noise**2, {}),
                 primary={"TELESCOP": "JWST", "FILTER": "F200W"})
    cube = read_cube(path)
    assert cube.bands == ("F200W",) and cube.mask.sum() == 1 and cube.mask[0, 1, 1]
    np.testing.assert_allclose(cube.to_unit("nJy").data[0], noise * 2e-14 * 1e15, rtol=1e-5)
    np.testing.assert_allclose(sigma(cube.to_unit("nJy")), 40, rtol=1e-5)
    assert read_cube(path, mask_bits=["JUMP_DET"]).mask[0, 2, 2]
    path = write(("SCI", noise, {"BUNIT": "MJy/sr"}))
    with pytest.raises(FileFormatError, match="PIXAR_SR.*unit="):
        read_cube({"r": path})


def test_a_brick_of_the_legacy_surveys(write, noise):
    bits = np.zeros((N, N), np.int16)
    bits[1, 1], bits[2, 2], bits[3, 3], bits[4, 4] = 1 << 6, 1 << 5, 1, 1 << 3
    cards = {"BUNIT": "nanomaggy", "SURVEY": "DECaLS", "MAGZERO": 22.5}
    paths = {band: write(("", noise, {**cards, "BAND": band, "IMTYPE": "image"}), name=f"image-{band}.fits",
                         kind=fits.CompImageHDU) for band in "gr"}
    ivar = {band: write(("", np.full((N, N), 0.25, np.float32), {"IMTYPE": "invvar"}), name=f"iv-{band}.fits")
            for band in "gr"}
    mask = write(("MASKBITS", bits, {}), name="maskbits.fits")
    cube = read_cube(paths, "DES", weight=ivar, mask={band: mask for band in "gr"})
    assert cube.mask[0].sum() == 1 and cube.mask[0, 2, 2] and cube.mask[1].sum() == 2
    np.testing.assert_allclose(cube.data[0], noise * 1000, atol=100)
    np.testing.assert_allclose(sigma(cube), 2000, rtol=1e-5)


def test_a_coadd_of_des(write, noise):
    mask = np.zeros((N, N), np.int16)
    mask[1, 1], mask[2, 2] = 2, 32
    weight = np.full((N, N), 0.25, np.float32)
    weight[7, 7] = 0
    cube = read_cube(write(("SCI", noise, {"MAGZERO": 30.0, "FILTER": "g DECam SDSS c0001 4720.0 1520.0"}),
                           ("MSK", mask, {}), ("WGT", weight, {}), kind=fits.CompImageHDU), "DES")
    assert cube.bands == ("g",) and cube.mask.sum() == 2 and cube.mask[0, 1, 1] and cube.mask[0, 7, 7]
    assert isinstance(cube.uncertainty, InverseVariance) and cube.uncertainty.array[0, 0, 0] == 0.25


def test_a_drizzled_image_of_hst(write, noise):
    cards = {"PHOTFLAM": 7.0331e-20, "PHOTPLAM": 8045.5, "EXPTIME": 100.0}
    rate = read_cube({"F814W": write(("SCI", noise, {"BUNIT": "ELECTRONS/S", **cards}))})
    # the AB zero point of ACS F814W in 2009 is 25.95
    assert rate.zero_points[0] == pytest.approx(25.947, abs=0.01)
    total = read_cube({"F814W": write(("SCI", noise, {"BUNIT": "ELECTRONS", **cards}))})
    assert total.zero_points[0] == pytest.approx(rate.zero_points[0] + 5)
    with pytest.warns(GaltransWarning, match="PHOTFLAM"):
        assert read_cube({"F814W": write(("SCI", noise, cards))}).unit == u.electron / u.s


# no data


@pytest.mark.parametrize("fill", ["nan", "inf", "zeros", "blank", "unsigned blank", "weight", "mask"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_pixels_without_data_are_masked_and_not_in_the_noise(write, noise, fill, share):
    missing = np.zeros((N, N), bool)
    missing[:, :int(share * N)] = True
    data, cards, more = noise.copy(), {}, []
    if fill in ("nan", "inf", "zeros"):
        data[missing] = {"nan": np.nan, "inf": np.inf, "zeros": 0}[fill]
    elif fill == "blank":
        data, cards = np.where(missing, -32768, np.round(noise * 50)).astype(np.int16), {"BLANK": -32768}
    elif fill == "unsigned blank":
        data, cards = np.where(missing, 65535, np.round(noise * 50 + 1000)).astype(np.uint16), {"BLANK": 32767}
    else:
        data[missing] = 1e4
        plane = (~missing).astype(np.float32) if fill == "weight" else missing.astype(np.uint8)
        more = [("WEIGHT" if fill == "weight" else "MASK", plane, {})]
    cube = read_cube({"g": write(("SCI", data, {"BUNIT": "uJy", **cards}), *more)})
    np.testing.assert_array_equal(cube.mask[0], missing)
    if fill != "weight":
        expected = 2 if "blank" not in fill else 100
        assert np.median(sigma(cube)[0][~missing]) == pytest.approx(expected, rel=0.1)


def test_an_image_without_scatter_has_no_estimate_of_its_noise(write):
    with pytest.warns(GaltransWarning, match="scatter"):
        assert read_cube({"g": write((None, np.ones((N, N)), {"BUNIT": "uJy"}))}).uncertainty is None
    with pytest.warns(GaltransWarning, match="scatter"):
        cube = read_cube({"g": write((None, np.ones((N, N)), {"BUNIT": "nmgy"}))}, "SDSS")
    np.testing.assert_allclose(sigma(cube), cube.survey["g"].sky_noise)


# cubes, axes, objects in memory


def test_a_cube_is_read_as_its_bands(write, noise):
    flux = np.stack([noise, 2 * noise, 3 * noise])
    path = write((None, flux, {"MAGZERO": 25.0, "BUNIT": "adu"}), ("INVVAR", np.full(flux.shape, 4, np.float32), {}))
    cube = read_cube(path, "DES", bands="gri")
    np.testing.assert_allclose(cube.data, 100 * flux, rtol=1e-5)
    np.testing.assert_allclose(sigma(cube), 50, rtol=1e-5)
    np.testing.assert_allclose(sigma(read_cube(path, "DES", bands="gri", weight={
        band: StdDevUncertainty(np.full((N, N), 3.0)) for band in "gri"})), 300, rtol=1e-5)
    mask, psf = np.eye(N, dtype=bool), np.ones((5, 5))
    cube = read_cube(path, "DES", bands="gri", mask={"r": mask}, psf={band: psf for band in "gri"}, unit="nmgy")
    assert cube.mask[1].sum() == N and not cube.mask[0].any() and cube.psf.shape == (3, 5, 5)
    np.testing.assert_allclose(cube.data, 1000 * flux, rtol=1e-5)
    with pytest.raises(BandMismatchError, match="3 planes"):
        read_cube(path, "DES", bands="gr")
    bare = write((None, flux, {"MAGZERO": 25.0}))
    assert read_cube(bare, "DES", bands="gri", noise=None).uncertainty is None
    assert sigma(read_cube(bare, "DES", bands="gri"))[2, 0, 0] == pytest.approx(600, rel=0.1)
    np.testing.assert_array_equal(
        read_frames(write((None, flux, {"BANDS": "gri", "BUNIT": "uJy"})))["i"].data, 3 * noise)


@pytest.mark.parametrize(("survey", "bands", "ours"), [("LegacySurvey", "grz", "DES"), ("sdss", "gri", "SDSS")])
def test_cutouts_of_the_legacy_surveys_viewer(write, noise, survey, bands, ours):
    cards = {"SURVEY": survey, "BANDS": bands, **{f"BAND{i}": band for i, band in enumerate(bands)}}
    path = write((None, np.stack([noise, 2 * noise, 3 * noise]), cards))
    cube = read_cube(path)
    assert cube.bands == tuple(bands) and cube.unit == u.nmgy
    np.testing.assert_array_equal(cube.data[2], 3 * noise)
    for options in ({}, {"bands": bands}, {"bands": bands[1:], "unit": "nmgy"}):
        cube = read_cube(path, ours, **options)
        assert cube.survey.name == ours and "".join(cube.bands) == options.get("bands", bands)
        np.testing.assert_allclose(cube.to_unit("nmgy").data[-1], 3 * noise, rtol=1e-5)
    one = write((None, noise, {"SURVEY": survey, "BANDS": "r", "BAND0": "r"}))
    assert read_cube(one).bands == ("r",) and read_cube(one, ours).survey.name == ours


def test_a_cutout_of_an_sdss_frame(write, noise):
    cards = {"BUNIT": "nanomaggy", "FILTER": "r", "RUN": 7264, "CAMCOL": 3, "NMGY": 0.005, "SURVEY": "sdss"}
    data = noise / 50
    data[20, 20] = 50
    path = write((None, data, cards))
    with pytest.warns(GaltransWarning, match="file.fits.*estimated"):
        cube = read_cube({"r": path}, "SDSS")
    assert sigma(cube)[0, 0, 0] == pytest.approx(0.04, rel=0.1)
    # 4.72 electrons per count in camera column 3
    assert sigma(cube)[0, 20, 20] == pytest.approx(np.sqrt(50 / (4.72 / 0.005)), rel=0.02)
    assert read_cube({"r": path}, "SDSS", noise=None).uncertainty is None
    assert (sigma(read_cube({"r": path}, "SDSS", weight={"r": np.full((N, N), 4.0)})) == 0.5).all()
    np.testing.assert_allclose(read_cube({"r": path}, "SDSS", unit="uJy", noise=None).data[0], data / 3.6308, rtol=1e-4)
    with pytest.raises(SurveyError, match="SDSS"):
        read_cube({"r": path}, "DES", noise=None)


@pytest.mark.parametrize("shape", [(1, N, N), (1, 1, N, N)])
def test_axes_of_length_one_are_dropped(write, noise, shape):
    path = write((None, noise.reshape(shape), {"BUNIT": "nmgy"}))
    for cube in (read_cube({"r": path}, "SDSS"), read_cube(path, "SDSS", bands="r")):
        assert cube.shape == (1, N, N) and cube.bands == ("r",) and cube.wcs is not None
    path = write((None, np.stack([noise, noise]).reshape(2, *shape), {"BUNIT": "nmgy"}))
    assert read_cube(path, "SDSS", bands="gr").shape == (2, N, N)


def test_objects_in_memory(write, noise, header, make_wcs):
    path = write((None, noise, {"BUNIT": "nmgy", "FILTER": "R"}))
    expected = read_cube({"r": path}, "SDSS")
    stream, hdus = io.BytesIO(), fits.HDUList([fits.PrimaryHDU(noise, header(BUNIT="nmgy", FILTER="R"))])
    hdus.writeto(stream)
    ccd = CCDData(noise, unit="nmgy", wcs=make_wcs((N, N), scale=0.2), meta={"FILTER": "R"})
    with open(path, "rb") as file:
        for one in (hdus, hdus[0], stream, path.read_bytes(), file, ccd):
            for paths in (one, {"r": one}, [one]):
                cube = read_cube(paths, "SDSS")
                np.testing.assert_array_equal(cube.data, expected.data)
                np.testing.assert_array_equal(sigma(cube), sigma(expected))
                assert cube.bands == ("r",)
    assert ccd.uncertainty is None and hdus[0].header["BUNIT"] == "nmgy"
    np.testing.assert_allclose(read_cube({"r": ccd}, "SDSS", unit="uJy").data[0], noise / 3.6308, rtol=1e-4)
    weight = fits.ImageHDU(np.full((N, N), 4.0), name="IVAR")
    assert (sigma(read_cube({"r": ccd}, "SDSS", weight={"r": weight}, mask={"r": fits.ImageHDU(
        np.eye(N, dtype=np.uint8))})) == 0.5).all()
    for wrong in (3, {"r": 3}, [noise]):
        with pytest.raises(TypeError):
            read_cube(wrong, "SDSS")
    with pytest.raises(TypeError, match="binary"):
        read_cube({"r": io.StringIO("SIMPLE")}, "SDSS")


def test_a_file_is_read_once(write, noise, monkeypatch):
    path = write(("G", noise, {"FILTER": "g", "BUNIT": "uJy"}), ("R", noise, {"FILTER": "r", "BUNIT": "uJy"}))
    opened = []
    original = _readers.open_fits
    monkeypatch.setattr(_readers, "open_fits", lambda source: opened.append(source) or original(source))
    read_cube({"g": path, "r": path})
    read_cube({"g": f"{path}[1]", "r": f"{path}[R]"})
    assert opened == [path, path]
    opened.clear()
    read_cube(path)
    assert [one for one in opened if isinstance(one, os.PathLike)] == [path]


def test_paths_with_an_hdu(tmp_path):
    assert split_path("a.fits[2]") == (tmp_path.__class__("a.fits"), 2)
    assert split_path("a.fits[sci]")[1] == "SCI" and split_path("a.fits[SCI,2]")[1] == ("SCI", 2)
    assert split_path("a.fits") == (tmp_path.__class__("a.fits"), None)
    odd = tmp_path / "tile[1]"
    odd.write_bytes(b"")
    assert split_path(odd) == (odd, None)


# places on the sky


@pytest.mark.parametrize("cards", [
    {"CTYPE1": "GLON---TAN", "CTYPE2": "GLAT---TAN"}, {"CTYPE1": "RA--TAN"}, {"CDELT1": 0.0},
    {"CPDIS1": "LOOKUP", "CPDIS2": "LOOKUP"}, {"CTYPE1": "RA---TAN", "CTYPE2": "FREQ"}])
def test_a_wcs_that_cannot_be_read_names_the_file(write, noise, cards):
    path = write((None, noise, {"BUNIT": "nmgy"}))
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update(cards)
        if "CPDIS1" in cards:
            for axis in (1, 2):
                for key, value in (("EXTVER", float(axis)), ("NAXES", 2.0), ("AXIS.1", 1.0), ("AXIS.2", 2.0)):
                    hdus[0].header[f"HIERARCH DP{axis}.{key}"] = value
    with pytest.raises(FileFormatError, match="file.fits.*WCS"):
        read_cube({"r": path}, "SDSS")


def test_lookup_tables_are_read_from_the_file(noise, header):
    wcs = WCS(header())
    table = DistortionLookupTable(np.full((4, 4), 1.5, np.float32), (1, 1), (1, 1), (N / 3, N / 3))
    wcs.cpdis1 = wcs.cpdis2 = table
    hdus = wcs.to_fits()
    hdus[0].header["BUNIT"] = "nmgy"
    hdus[0] = fits.PrimaryHDU(noise, hdus[0].header)
    cube = read_cube({"r": hdus}, "SDSS")
    moved = WCS(header()).pixel_to_world(21.5, 21.5)
    assert cube.wcs.pixel_to_world(20, 20).separation(moved) < 0.01 * u.arcsec


def test_frames_of_reference(write, noise):
    place = SkyCoord(150, 2, unit="deg")
    for told in ("fk5", " ICRS"):
        path = write((None, noise, {"BUNIT": "nmgy", "RADESYS": told}))
        assert read_cube({"r": path}, "SDSS", position=place, size=20).shape == (1, 20, 20)
    with pytest.warns(GaltransWarning, match="RADESYS"):
        read_cube({"r": write((None, noise, {"BUNIT": "nmgy", "RADESYS": "SKY"}))}, "SDSS", position=place, size=20)
    with pytest.raises(FileFormatError, match="file.fits.*GAPPT"):
        read_cube({"r": write((None, noise, {"BUNIT": "nmgy", "RADESYS": "GAPPT"}))}, "SDSS")


def test_the_wcs_of_the_primary_header(noise, header, tmp_path):
    fits.HDUList([fits.PrimaryHDU(header=header(BUNIT="uJy", FILTER="r")), fits.ImageHDU(noise)]).writeto(
        tmp_path / "x.fits")
    cube = read_cube(tmp_path / "x.fits")
    assert cube.pixel_scale.to_value(u.arcsec) == pytest.approx(0.2) and cube.bands == ("r",)


# arguments and written files


def test_every_argument_takes_effect_or_is_refused(write, noise, sdss_cube, tmp_path):
    path = write((None, noise, {"BUNIT": "nmgy", "FILTER": "r"}))
    for options in ({"size": 10}, {"mode": "strict"}):
        with pytest.raises(ValueError, match="position"):
            read_cube(path, "SDSS", **options)
    with pytest.raises(TypeError, match="weight"):
        read_cube(path, "SDSS", weight=np.ones((N, N)))
    sdss_cube.write(tmp_path / "cube.fits")
    own = tmp_path / "cube.fits"
    np.testing.assert_allclose(read_cube(own, unit="uJy").to_unit("nmgy").data, sdss_cube.data / 3.6308, rtol=1e-4)
    cube = read_cube(own, weight={band: np.full((64, 64), 4.0) for band in "ugriz"}, psf={
        band: np.ones((3, 3)) for band in "ugriz"}, mask={"u": np.ones((64, 64))})
    assert (sigma(cube) == 0.5).all() and cube.psf.shape == (5, 3, 3) and cube.mask[0].all()
    for options, error in (({"reference": "y"}, BandMismatchError), ({"hdu": 1}, FileFormatError), (
            {"mask_bits": [1]}, ValueError), ({"weight": {"y": np.ones((64, 64))}}, BandMismatchError)):
        with pytest.raises(error, match=next(iter(options))):
            read_cube(own, **options)


def test_written_bands_are_read_as_they_were(sdss_cube, tmp_path):
    again = read_cube(sdss_cube.write_bands(tmp_path / "x-{band}.fits"))
    assert again.survey is sdss_cube.survey and again.unit == sdss_cube.unit
    for name in ("data", "mask", "psf"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sdss_cube, name))
    np.testing.assert_array_equal(again.uncertainty.array, sdss_cube.uncertainty.array)
    assert mad_std(again.data) == mad_std(sdss_cube.data)


# planes of one band of several


def psf_image(width):
    y, x = np.indices((11, 11)) - 5
    return np.exp(-(x**2 + y**2) / (2 * width**2))


def test_planes_of_a_cube_are_each_of_their_own_band(write, noise):
    planes = [(f"{kind}_{band}", array, {}) for number, band in enumerate("IRG", start=1) for kind, array in (
        ("SIGMA", np.full((N, N), number, "f4")), ("PSF", psf_image(number)))]
    path = write((None, np.stack([noise] * 3), {"BUNIT": "adu", "BANDS": "gri"}), *planes)
    cube = read_cube(path, "CFHTLS")
    assert sigma(cube)[:, 0, 0].tolist() == [3, 2, 1]
    assert np.all(np.diff(cube.psf.max(axis=(1, 2))) > 0)
    # a plane of another band is not used, and named
    path = write((None, np.stack([noise] * 2), {"BUNIT": "adu", "BANDS": "gr"}), planes[-2])
    with pytest.warns(GaltransWarning, match="SIGMA_G"):
        cube = read_cube(path, "CFHTLS")
    assert sigma(cube)[0, 0, 0] == 3 and sigma(cube)[1, 0, 0] != 3


def test_the_psf_of_the_band_is_taken_and_a_choice_is_refused(write, noise):
    science = ("SCI", noise, {"BUNIT": "adu", "FILTER": "r"})
    path = write(science, ("PSF_G", psf_image(1), {}), ("PSF_R", psf_image(2), {}))
    expected = psf_image(2) / psf_image(2).sum()
    np.testing.assert_allclose(read_cube({"r": path}, "CFHTLS").psf[0], expected, rtol=1e-5)
    path = write(science, ("PSF", psf_image(1), {}), ("PSF", psf_image(2), {}))
    with pytest.raises(FileFormatError, match="psf="):
        read_cube({"r": path}, "CFHTLS")
    chosen = read_cube({"r": path}, "CFHTLS", psf={"r": f"{path}[3]"})
    np.testing.assert_allclose(chosen.psf[0], expected, rtol=1e-5)
    path = write(science, ("ERR", np.abs(noise) + 1, {}), ("RMS", np.abs(noise) + 2, {}))
    with pytest.raises(FileFormatError, match="weight="):
        read_cube({"r": path}, "CFHTLS")


@pytest.mark.parametrize("shape", [(5, 11, 11), (2, 3, 11, 11)])
def test_a_psf_of_other_planes_than_its_image_is_refused(write, noise, shape):
    image = (None, np.stack([noise] * 3), {"BUNIT": "adu", "BANDS": "gri"})
    with pytest.raises(FileFormatError, match="PSF"):
        read_cube(write(image, ("PSF", np.ones(shape), {})), "CFHTLS")


def test_a_model_of_the_psf_in_a_table_is_named(write, noise):
    path = write(("IMAGE", noise, {"BUNIT": "nJy", "FILTER": "r"}), ("VARIANCE", np.full((N, N), 4, "f4"), {}))
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])], name="PsfexPsf"))
    with pytest.warns(GaltransWarning, match="PSFEXPSF"):
        read_cube({"r": path}, "LSST")
    read_cube({"r": path}, "LSST", psf={"r": psf_image(2)})    # without the warning


def test_weights_of_a_cube_are_taken_by_band(write, noise):
    cube = write((None, np.stack([noise] * 2), {"BUNIT": "adu", "BANDS": "gr"}))
    planes = np.stack([np.full((N, N), 4.0), np.full((N, N), 1.0)])
    weights = write(("IVAR", planes, {"BANDS": "rg"}), name="w.fits")
    assert sigma(read_cube(cube, "CFHTLS", weight={"g": weights, "r": weights}))[:, 0, 0].tolist() == [1, 0.5]
    masked = np.ma.MaskedArray(np.full((N, N), 0.25), mask=np.eye(N))
    assert read_cube(cube, "CFHTLS", weight={"g": masked}).mask.sum(axis=(1, 2)).tolist() == [N, 0]
    quantity = masked.data * u.adu**-2
    assert sigma(read_cube(cube, "CFHTLS", weight={"g": quantity}))[0, 0, 0] == 2
    with pytest.raises(ValueError, match="weight of band g"):
        read_cube(cube, "CFHTLS", weight={"g": quantity.value * u.Jy**-2})


# masks


def test_all_masks_of_a_file_count(write, noise):
    one = np.zeros((N, N), np.uint8)
    one[3] = 1
    path = write(("SCI", noise, {"BUNIT": "adu"}), ("MASK", one, {}), ("DQ", one.T.copy(), {}),
                 ("GOOD", 1 - one[::-1], {}))
    assert read_cube({"r": path}, "CFHTLS").mask.sum() == 3 * N - 2


@pytest.mark.parametrize("place", [0, 2])
def test_one_mask_of_all_images(write, noise, place):
    hdus = [("SCI", noise, {"BUNIT": "adu", "FILTER": band}) for band in "gr"]
    hdus.insert(place, ("MASK", np.eye(N, dtype="u1"), {}))
    assert read_cube(write(*hdus), "CFHTLS").mask.sum(axis=(1, 2)).tolist() == [N, N]


def test_bands_of_euclid_by_name(write, noise):
    path = write(*(hdu for number, band in enumerate("YH", start=1) for hdu in (
        (f"NIR_{band}_FLUX", noise, {"MAGZERO": 23.9}), (f"NIR_{band}_RMS", np.full((N, N), number, "f4"), {}))))
    cube = read_cube(path, "Euclid NISP").to_unit("uJy")
    assert cube.bands == ("YE", "HE")
    np.testing.assert_allclose(sigma(cube)[:, 0, 0], [1, 2], rtol=1e-3)


def test_a_mask_that_does_not_fit_or_leaves_little_is_named(write, noise):
    image = ("SCI", noise, {"BUNIT": "adu"})
    with pytest.warns(GaltransWarning, match="MASK"):
        assert read_cube({"r": write(image, ("MASK", np.ones((9, 9), "u1"), {}))}, "CFHTLS").mask is None
    with pytest.warns(GaltransWarning, match="good pixel"):
        read_cube({"r": write(image, ("MASK", np.ones((N, N), "u1"), {}))}, "CFHTLS")
    with pytest.warns(GaltransWarning, match="weight="):
        assert read_cube({"r": write(image, ("ERR", np.zeros((N, N)), {}))}, "CFHTLS").mask.all()


@pytest.mark.parametrize("where", ["primary", "image"])
def test_names_of_bit_planes_in_the_primary_header(noise, header, tmp_path, where):
    planes = np.zeros((N, N), np.int32)
    planes[10:20, 10:20], planes[3, 4] = 1 << 5, 1 << 1
    names = {"MP_BAD": 0, "MP_SAT": 1, "MP_DETEC": 5}
    first = fits.PrimaryHDU(header=fits.Header(names)) if where == "primary" else fits.PrimaryHDU(
        noise, header(BUNIT="nJy", **names))
    rest = [fits.ImageHDU(noise, header(BUNIT="nJy"), name="IMAGE")] if where == "primary" else []
    fits.HDUList([first, *rest, fits.ImageHDU(planes, name="MASK")]).writeto(tmp_path / "file.fits")
    assert np.argwhere(read_cube({"r": tmp_path / "file.fits"}, "LSST").mask[0]).tolist() == [[3, 4]]


@pytest.mark.parametrize(("instrument", "detector", "bad"), [
    ("ACS", "WFC", [1, 4, 5, 6]), ("WFC3", "UVIS", [1, 4, 5, 6]), ("WFC3", "IR", [1, 4, 6])])
def test_data_quality_of_hst(write, noise, instrument, detector, bad):
    quality = np.zeros((N, N), np.int16)
    # bad detector pixel, warm, user, cosmic ray, saturation of the converter (or first read), hot
    for place, value in ((1, 4), (2, 64), (3, 16384), (4, 4096), (5, 2048), (6, 16)):
        quality[place, place] = value
    path = write(("SCI", noise, {"BUNIT": "ELECTRONS/S", "PHOTFLAM": 7e-20, "PHOTPLAM": 8045.0}), ("DQ", quality, {}),
                 primary={"TELESCOP": "HST", "INSTRUME": instrument, "DETECTOR": detector})
    assert np.argwhere(read_cube({"F814W": path}).mask[0])[:, 0].tolist() == bad
    assert np.argwhere(read_cube({"F814W": path}, mask_bits=["WARM", 12]).mask[0])[:, 0].tolist() == [2, 4]


# header values


@pytest.mark.parametrize("kind", [fits.ImageHDU, fits.CompImageHDU])
def test_a_cube_inherits_from_the_primary_header(write, noise, kind):
    data = np.stack([noise, 2 * noise])
    alone = read_cube(write((None, data, {"BANDS": "gr", "PHOTZP": 25.0})), "CFHTLS")
    path = write(("SCI", data, {}), primary={"BANDS": "gr", "PHOTZP": 25.0}, kind=kind, name="x.fits")
    np.testing.assert_allclose(read_cube(path, "CFHTLS").data, alone.data, atol=np.abs(alone.data).max() / 20)
    with pytest.raises(FileFormatError, match="BANDS"):
        read_cube(write(("SCI", data, {"INHERIT": "F"}), primary={"BANDS": "gr"}), "CFHTLS")


def test_zero_points_of_the_planes_of_a_cube(write, noise):
    path = write((None, np.stack([noise] * 2), {"BANDS": "g,r", "BUNIT": "adu", "MAGZP1": 25.0, "MAGZP2": 27.5}))
    ratio = read_cube(path, "CFHTLS").data / noise
    np.testing.assert_allclose(ratio, np.broadcast_to([[[100]], [[10]]], ratio.shape), rtol=1e-5)


def test_a_unit_and_a_zero_point_that_contradict_each_other_are_refused(write, noise):
    path = write((None, noise, {"BUNIT": "uJy", "MAGZERO": 25.0}))
    with pytest.raises(FileFormatError, match="BUNIT.*MAGZERO"):
        read_cube({"r": path}, "CFHTLS")
    by_unit, by_zero_point = (read_cube({"r": path}, "CFHTLS", unit=unit).data for unit in ("uJy", "adu"))
    np.testing.assert_allclose(by_unit / by_zero_point, 10**(-0.4 * (23.9 - 25)), rtol=1e-3)
    read_cube({"r": write((None, noise, {"BUNIT": "nanomaggy", "MAGZERO": 22.5}))}, "CFHTLS")


def test_a_zero_point_that_is_not_read_is_named(write, noise):
    with pytest.warns(GaltransWarning, match="ABZP"):
        read_cube({"r": write((None, noise, {"BUNIT": "adu", "ABZP": 27.0, "ZPERR": 0.1}))}, "CFHTLS")


def test_a_warning_comes_once_for_a_file(write, noise):
    for path in (write((None, np.stack([noise] * 3), {"BANDS": "gri"})),
                 write(*(("SCI", noise, {"FILTER": band}) for band in "gri"), name="many.fits")):
        with pytest.warns(GaltransWarning, match="BUNIT") as caught:
            read_cube(path, "CFHTLS")
        assert len(caught) == 1


@pytest.mark.parametrize("value", ["-99.0", -99.0])
def test_stand_ins_of_the_primary_header(write, noise, value):
    data = np.where(np.eye(N) > 0, -99, noise).astype("f4")
    path = write(("SCI", data, {"BUNIT": "adu"}), primary={"NODATA": value})
    assert read_cube({"r": path}, "CFHTLS").mask.sum() == N


@pytest.mark.parametrize(("key", "value"), [("CRVAL1", "nan"), ("CRPIX2", "middle"), ("CDELT1", "'")])
def test_numbers_of_the_wcs_as_text(write, noise, header, key, value):
    cards = {"BUNIT": "adu"}
    right = read_cube({"r": write((None, noise, cards))}, "CFHTLS").wcs.pixel_to_world(3, 4)
    text = read_cube({"r": write((None, noise, cards | {"CRVAL1": str(header()["CRVAL1"])}))}, "CFHTLS")
    assert right.separation(text.wcs.pixel_to_world(3, 4)).arcsec < 1e-3
    with pytest.raises(FileFormatError, match=f"file.fits.*{key}"):
        read_cube({"r": write((None, noise, cards | {key: value}))}, "CFHTLS")


def test_pixel_area_in_square_arcseconds(write, noise):
    path = write((None, noise, {"BUNIT": "MJy/sr", "PIXAR_A2": 0.04, "FILTER": "r"}))
    expected = noise * u.Quantity(1, "MJy/sr").to_value("uJy/arcsec2") * 0.04
    np.testing.assert_allclose(read_cube(path).to_unit("uJy").data[0], expected, rtol=1e-4)


def test_units_without_warnings_of_astropy(write, noise):
    value = read_cube({"r": write((None, noise, {"BUNIT": "1e-29 erg/s/cm2/Hz"}))}, "CFHTLS").data
    expected = read_cube({"r": write((None, noise, {"BUNIT": "uJy"}))}, "CFHTLS").data
    np.testing.assert_allclose(value, expected, rtol=1e-5)


# files and objects


def test_viewer_cutouts_with_inverse_variance(write, noise):
    cards = {"SURVEY": "LegacySurvey", "BANDS": "grz"}
    data = np.stack([noise] * 3)
    weight = np.full(data.shape, 4.0)
    path = write((None, data, cards | {"IMAGETYP": "IMAGE"}), ("", weight, cards | {"IMAGETYP": "INVVAR"}))
    cube = read_cube(path)
    assert cube.survey.name == "DECaLS" and cube.unit == u.nmgy
    assert np.all(sigma(cube) == 0.5)


def test_files_packed_with_xz_and_text_files(write, noise, tmp_path):
    path = write((None, noise, {"BUNIT": "adu"}))
    (tmp_path / "file.fits.xz").write_bytes(lzma.compress(path.read_bytes()))
    assert np.array_equal(read_cube({"r": tmp_path / "file.fits.xz"}, "CFHTLS").data[0], noise)
    with open(path) as file, pytest.raises(TypeError, match="binary"):
        read_cube({"r": file}, "CFHTLS")


def test_a_band_of_a_cube_keeps_its_scale(write, noise):
    cube = read_cube({"r": write((None, noise, {"BUNIT": "adu", "MAGZERO": 25.0}))}, "CFHTLS")
    frames = read_frames({"r": write((None, noise, {"BUNIT": "adu", "MAGZERO": 25.0}))}, "CFHTLS")
    for band in (cube["r"], CCDData(cube["r"], meta=dict(cube["r"].meta)), frames["r"]):
        assert np.array_equal(read_cube({"r": band}, "CFHTLS").data, cube.data)
    assert read_cube({"r": cube["r"]}).survey.name == "CFHTLS"
    with pytest.raises(SurveyError, match="CFHTLS"):
        read_cube({"r": cube["r"]}, "DES")


def test_written_bands_keep_their_meta(noise, make_wcs, tmp_path):
    meta = {"note": {"a": [1, 2]}, "band_meta": {"g": {"exposure": 3}, "r": {"exposure": 4}}}
    cube = BandCube(np.stack([noise] * 2), unit="nmgy", bands="gr", survey="SDSS", wcs=make_wcs((N, N)), meta=meta)
    files = cube.write_bands(tmp_path / "{band}.fits")
    for band in "gr":
        cube[band].write(tmp_path / f"ccd-{band}.fits")
    again = read_cube(files, noise=None)
    assert again.meta["note"] == meta["note"]
    assert [again[band].meta["exposure"] for band in "gr"] == [3, 4]
    # those that fit a card are in the header of a CCDData
    ccds = read_cube({band: tmp_path / f"ccd-{band}.fits" for band in "gr"}, noise=None)
    assert ccds.meta["note"] == meta["note"]
    assert [ccds[band].meta["header"]["EXPOSURE"] for band in "gr"] == [3, 4]
