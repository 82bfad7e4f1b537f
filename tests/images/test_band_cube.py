import copy
import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import (CCDData, InverseVariance, NDData, NoOverlapError, PartialOverlapError, StdDevUncertainty,
                            UnknownUncertainty, VarianceUncertainty)
from astropy.wcs import WCS, Sip

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.images import BandCube
from astro_galtrans.surveys import get_survey

ONES = np.ones((3, 6, 8), dtype=np.float32)


def cube_of(**changed):
    return BandCube(changed.pop("data", ONES), **{"unit": "nmgy", "bands": "gri", **changed})


@pytest.mark.parametrize("bands", ["gr", "griz", "gg" + "r", ""])
def test_bands_that_do_not_fit_the_data(bands):
    with pytest.raises(BandMismatchError):
        cube_of(bands=bands)


@pytest.mark.parametrize("bands", ["gir", "gry"])
def test_bands_that_do_not_fit_the_survey(bands):
    with pytest.raises(BandMismatchError, match="SDSS"):
        cube_of(bands=bands, survey="SDSS")


def test_unknown_survey():
    with pytest.raises(SurveyError, match="nowhere"):
        cube_of(survey="nowhere")


@pytest.mark.parametrize(("changed", "error", "words"), [
    ({"data": np.ones((6, 8))}, ValueError, "band, y, x"),
    ({"data": np.ones((3, 6, 8), dtype=complex)}, TypeError, "real"),
    ({"mask": np.zeros((3, 6, 7), dtype=bool)}, ValueError, "mask"),
    ({"mask": np.zeros((3, 6, 8))}, TypeError, "bool"),
    ({"uncertainty": StdDevUncertainty(np.ones((6, 8)))}, ValueError, "uncertainty"),
    ({"uncertainty": UnknownUncertainty(np.ones((3, 6, 8)))}, TypeError, "unknown"),
    ({"uncertainty": StdDevUncertainty(np.ones((3, 6, 8)), unit="m")}, ValueError, "nmgy"),
    ({"psf": np.ones((2, 5, 5))}, ValueError, "psf"),
    ({"psf": np.zeros((3, 5, 5))}, ValueError, "sum"),
    ({"unit": "m"}, ValueError, "flux"),
    ({"unit": u.ABmag}, ValueError, "linear"),
    ({"unit": "no such unit"}, ValueError, "unit"),
    ({"unit": None}, ValueError, "unit must be given"),
    ({"unit": "adu", "survey": "SDSS"}, ValueError, "zero_point"),
    ({"data": ONES * u.Jy}, ValueError, "Jy"),
    ({"wcs": "here"}, TypeError, "wcs"),
    ({"wcs": WCS(naxis=2)}, ValueError, "celestial"),
])
def test_wrong_parts_are_refused_by_name(changed, error, words):
    with pytest.raises(error, match=words):
        cube_of(**changed)


def test_everything_is_kept_and_nothing_given_is_changed(make_wcs):
    data, mask, psf = ONES.copy(), np.zeros((3, 6, 8), dtype=bool), np.full((5, 5), 2.0)
    uncertainty, wcs, meta = StdDevUncertainty(ONES * 0.1), make_wcs((6, 8)), {"a": [1]}
    before = copy.deepcopy((data, mask, psf, uncertainty.array, meta))
    cube = cube_of(data=data, mask=mask, psf=psf, uncertainty=uncertainty, wcs=wcs, meta=meta, survey="sdss")
    cube.to_unit("Jy"), cube.cutout(None, 4), cube["g"].meta["a"].append(2)
    cube["g"].data[:] = 7
    for one, other in zip(before, (data, mask, psf, uncertainty.array, meta)):
        np.testing.assert_equal(one, other)
    assert uncertainty.unit is None
    assert cube.survey.band_names == ("g", "r", "i")
    assert cube.psf.shape == (3, 5, 5)
    np.testing.assert_allclose(cube.psf.sum(axis=(1, 2)), 1)


def test_masks_of_data_and_argument_are_joined():
    own, other = np.zeros((3, 6, 8), dtype=bool), np.zeros((6, 8), dtype=bool)
    own[0, 1, 2] = other[3, 4] = True
    cube = cube_of(data=np.ma.MaskedArray(ONES, own), mask=other)
    assert cube.mask.sum() == 4 and cube.mask[0, 1, 2] and cube.mask[:, 3, 4].all()
    assert not np.ma.isMaskedArray(cube.data)
    assert BandCube(cube, bands="gri", mask=own).mask.sum() == 4


def test_quantity_brings_its_unit_and_is_converted():
    assert cube_of(data=ONES * u.Jy, unit=None).unit == u.Jy
    np.testing.assert_allclose(cube_of(data=ONES * u.Jy, unit="mJy").data, 1000)


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_uncertainty_is_put_into_the_unit_of_the_data(kind):
    power = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}[kind]
    cube = cube_of(unit="Jy", uncertainty=kind(ONES, unit=u.mJy**power))
    np.testing.assert_allclose(cube.uncertainty.array, 1e-3**power, rtol=1e-5)


def test_a_header_as_meta_keeps_its_repeated_cards():
    header = fits.Header([("HISTORY", "one"), ("HISTORY", "two"), ("OBJECT", "M31")])
    cube = cube_of(meta=header)
    assert list(cube.meta["header"]["HISTORY"]) == ["one", "two"]


def test_a_band_is_a_ccddata_with_everything(sdss_cube):
    ccd = sdss_cube["g"]
    assert isinstance(ccd, CCDData) and ccd.unit == u.nmgy
    np.testing.assert_array_equal(ccd.data, sdss_cube.data[1])
    np.testing.assert_array_equal(ccd.mask, sdss_cube.mask[1])
    np.testing.assert_array_equal(ccd.uncertainty.array, sdss_cube.uncertainty.array[1])
    np.testing.assert_array_equal(ccd.psf, sdss_cube.psf[1])
    assert ccd.meta["band"] == "g" and ccd.meta["object"] == "galaxy" and ccd.wcs.wcs.compare(sdss_cube.wcs.wcs)
    with pytest.raises(KeyError, match="'y'"):
        sdss_cube["y"]
    for index in (0, slice(2), (0, 1)):
        with pytest.raises(TypeError, match="name of a band"):
            sdss_cube[index]
    assert "g" in sdss_cube and "y" not in sdss_cube


def test_no_slicing_or_arithmetic_is_inherited(sdss_cube):
    assert isinstance(sdss_cube, NDData) and not hasattr(sdss_cube, "add")


@pytest.mark.parametrize("size", [20, 21, (20, 31), 8 * u.arcsec])
def test_cutout_keeps_the_sky_and_everything_else(sdss_cube, size):
    position = sdss_cube.wcs.pixel_to_world(30.2, 33.9)
    cut = sdss_cube.cutout(position, size, mode="strict")
    x, y = cut.wcs.world_to_pixel(position)
    assert abs(x - (cut.shape[2] - 1) / 2) <= 0.5 + 1e-5 and abs(y - (cut.shape[1] - 1) / 2) <= 0.5 + 1e-5
    x0, y0 = (int(round(float(one))) for one in sdss_cube.wcs.world_to_pixel(cut.wcs.pixel_to_world(0, 0)))
    inner = (slice(None), slice(y0, y0 + cut.shape[1]), slice(x0, x0 + cut.shape[2]))
    np.testing.assert_array_equal(cut.data, sdss_cube.data[inner])
    np.testing.assert_array_equal(cut.mask, sdss_cube.mask[inner])
    np.testing.assert_array_equal(cut.uncertainty.array, sdss_cube.uncertainty.array[inner])
    np.testing.assert_array_equal(cut.psf, sdss_cube.psf)
    assert (cut.unit, cut.bands, cut.survey.name, cut.meta) == (u.nmgy, sdss_cube.bands, "SDSS", sdss_cube.meta)
    assert not np.shares_memory(cut.data, sdss_cube.data)


def test_cutout_beyond_the_border(sdss_cube):
    corner = sdss_cube.wcs.pixel_to_world(2, 3)
    cut = sdss_cube.cutout(corner, 16)
    outside = np.ones((16, 16), dtype=bool)
    outside[5:, 6:] = False
    np.testing.assert_array_equal(cut.mask[0], outside)
    assert np.isnan(cut.data[:, outside]).all() and np.isfinite(cut.data[:, ~outside]).all()
    with pytest.raises(PartialOverlapError):
        sdss_cube.cutout(corner, 16, mode="strict")
    with pytest.raises(NoOverlapError):
        sdss_cube.cutout(sdss_cube.wcs.pixel_to_world(500, 3), 16)
    with pytest.raises(NoOverlapError):
        sdss_cube.cutout(SkyCoord(330 * u.deg, -2 * u.deg), 16)


@pytest.mark.parametrize(("position", "size", "error"), [
    ((150, 2), 10, TypeError), (SkyCoord([1, 2] * u.deg, [1, 2] * u.deg), 10, TypeError),
    (None, 0, ValueError), (None, 2.5, ValueError), (None, 3 * u.s, ValueError)])
def test_cutout_arguments(sdss_cube, position, size, error):
    with pytest.raises(error):
        sdss_cube.cutout(position, size)


def test_cutout_of_a_distorted_image_and_pixel_scale(make_wcs):
    shape = (200, 220)
    wcs = make_wcs(shape, angle=30)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[1, 1], b[0, 2] = 4e-5, -2e-5, 3e-5
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    cube = BandCube(np.ones((1,) + shape), unit="nmgy", wcs=wcs, bands="r")
    position = wcs.pixel_to_world(180, 30)
    cut = cube.cutout(position, 21)
    np.testing.assert_allclose(cut.wcs.world_to_pixel(position), [10, 10], atol=0.01)
    np.testing.assert_allclose(cut.wcs.world_to_pixel(wcs.pixel_to_world(170, 40)), [0, 20], atol=0.01)
    # x changes by 1 + 2 a20 dx + a11 dy and y by 1 + 2 b02 dy a pixel
    dx, dy = 180 - 109.5, 30 - 99.5
    area = (1 + 2 * 4e-5 * dx - 2e-5 * dy) * (1 + 2 * 3e-5 * dy)
    assert cut.pixel_scale.to_value(u.arcsec) == pytest.approx(0.396 * np.sqrt(area), rel=1e-5)
    assert cube.pixel_scale.to_value(u.arcsec) == pytest.approx(0.396, rel=1e-4)


@pytest.mark.parametrize("matrix", ["cd", "pc"])
@pytest.mark.parametrize("swapped", [False, True])
def test_pixel_scale_of_any_matrix_and_axis_order(make_wcs, matrix, swapped):
    wcs = make_wcs(angle=40, scale=0.2)
    if matrix == "pc":
        wcs = WCS(wcs.to_header())
    if swapped:
        wcs = wcs.sub([2, 1])
    cube = BandCube(np.ones((1, 64, 64)), unit="nmgy", wcs=wcs, bands="r")
    assert cube.pixel_scale.to_value(u.arcsec) == pytest.approx(0.2, rel=1e-6)
    position = wcs.pixel_to_world(20, 40)
    np.testing.assert_allclose(cube.cutout(position, 11).wcs.world_to_pixel(position), [5, 5], atol=1e-6)


def test_select_bands(sdss_cube):
    part = sdss_cube.select_bands("gi")
    np.testing.assert_array_equal(part.data, sdss_cube.data[[1, 3]])
    np.testing.assert_array_equal(part.psf, sdss_cube.psf[[1, 3]])
    assert part.survey.band_names == ("g", "i")
    with pytest.raises(BandMismatchError, match="y"):
        sdss_cube.select_bands("gy")
    with pytest.raises(BandMismatchError):
        sdss_cube.select_bands("ig")


def test_nanomaggies_to_jansky_and_back(sdss_cube):
    jansky = sdss_cube.to_unit("Jy")
    # an AB magnitude of 0 is 10**(-48.6 / 2.5) erg/s/cm2/Hz (Oke & Gunn 1983)
    nanomaggy = 1e-9 * 10 ** (-48.6 / 2.5) * 1e23
    np.testing.assert_allclose(jansky.data, sdss_cube.data * nanomaggy, rtol=1e-5)
    np.testing.assert_allclose(jansky.uncertainty.array, sdss_cube.uncertainty.array * nanomaggy, rtol=1e-5)
    back = jansky.to_unit("nmgy")
    np.testing.assert_allclose(back.data, sdss_cube.data, rtol=1e-5)
    np.testing.assert_array_equal(back.mask, sdss_cube.mask)
    assert back.uncertainty.unit == u.nmgy and sdss_cube.unit == u.nmgy


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_counts_with_a_zero_point_a_band(kind):
    cube = cube_of(uncertainty=kind(ONES * 4))
    counts = cube.to_unit("adu", zero_point={"g": 25.0, "r": 22.5, "i": 30.0})
    factors = np.array([10.0, 1.0, 1000.0])
    np.testing.assert_allclose(counts.data[:, 0, 0], factors, rtol=1e-6)
    power = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}[kind]
    np.testing.assert_allclose(counts.uncertainty.array[:, 0, 0], 4 * factors**power, rtol=1e-5)
    assert counts.meta["zero_point"] == {"g": 25.0, "r": 22.5, "i": 30.0}
    again = counts.to_unit("nmgy")
    np.testing.assert_allclose(again.data, 1, rtol=1e-6)
    assert "zero_point" not in again.meta
    assert counts["i"].meta["zero_point"] == 30.0
    assert counts.select_bands("gr").meta["zero_point"] == {"g": 25.0, "r": 22.5}


def test_counts_of_a_survey_use_its_zero_points():
    cube = cube_of(unit="adu", survey="CFHTLS")
    np.testing.assert_allclose(cube.to_unit("nmgy").data, 10 ** (0.4 * (22.5 - 30)), rtol=1e-6)
    flux = get_survey("CFHTLS")["g"].flux_per_unit()
    np.testing.assert_allclose(cube.to_unit("uJy").data, flux.to_value("uJy"), rtol=1e-6)


def test_counts_without_a_zero_point_are_not_converted():
    with pytest.raises(ValueError, match="zero_point"):
        cube_of(unit="adu").to_unit("Jy")
    np.testing.assert_allclose(cube_of(unit="adu").to_unit("Jy", zero_point=22.5).to_unit("nmgy").data, 1, rtol=1e-6)
    with pytest.raises(ValueError, match="zero_point"):
        cube_of().to_unit("adu")
    with pytest.raises(ValueError, match="finite"):
        cube_of().to_unit("adu", zero_point=[1, 2])


def test_copies_and_pickles(sdss_cube):
    for other in (copy.deepcopy(sdss_cube), pickle.loads(pickle.dumps(sdss_cube))):
        np.testing.assert_array_equal(other.data, sdss_cube.data)
        assert other.bands == sdss_cube.bands and other.survey.name == "SDSS" and other.meta == sdss_cube.meta


def test_repr_tells_what_is_there_and_what_is_not(sdss_cube):
    assert repr(sdss_cube) == "<BandCube ugriz 64 x 64 pixels of 0.396 arcsec, nmgy, survey SDSS>"
    assert repr(cube_of(bands=("F1", "F2", "F3"))) == (
        "<BandCube F1,F2,F3 6 x 8 pixels, nmgy, without wcs, mask, uncertainty, psf>")
