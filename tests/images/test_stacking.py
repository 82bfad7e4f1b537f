import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.images import BandCube, as_band_cube, like_input, split_bands, stack_bands


def image(value=1.0, shape=(6, 8), **parts):
    return CCDData(np.full(shape, value), unit=parts.pop("unit", "nmgy"), **parts)


def test_stack_and_split_are_inverse(make_wcs):
    wcs = make_wcs((6, 8))
    mask = np.arange(48).reshape(6, 8) % 7 == 0
    images = {band: image(value, wcs=wcs, mask=mask, uncertainty=StdDevUncertainty(np.full((6, 8), value / 10)),
                          psf=np.full((5, 5), 0.04), meta={"airmass": value, "night": "one"})
              for value, band in enumerate("gri", start=1)}
    cube = stack_bands(images, survey="SDSS")
    assert cube.bands == ("g", "r", "i") and cube.meta["night"] == "one"
    back = split_bands(cube)
    assert list(back) == list(images)
    for band, one in images.items():
        other = back[band]
        np.testing.assert_array_equal(other.data, one.data)
        np.testing.assert_array_equal(other.mask, one.mask)
        np.testing.assert_array_equal(other.uncertainty.array, one.uncertainty.array)
        np.testing.assert_array_equal(other.psf, one.psf)
        assert type(other.uncertainty) is StdDevUncertainty and other.unit == one.unit
        assert other.meta == one.meta and other.wcs.wcs.compare(wcs.wcs)


def test_split_and_stack_are_inverse(sdss_cube):
    back = stack_bands(split_bands(sdss_cube))
    assert back.bands == sdss_cube.bands and back.survey is sdss_cube.survey and back.meta == sdss_cube.meta
    for name in ("data", "mask", "psf"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sdss_cube, name))
    np.testing.assert_array_equal(back.uncertainty.array, sdss_cube.uncertainty.array)
    counts = sdss_cube.to_unit("adu", zero_point=[25, 26, 27, 28, 29])
    again = stack_bands(split_bands(counts))
    np.testing.assert_allclose(again.to_unit("nmgy").data, sdss_cube.data, rtol=1e-5)
    assert again.meta == counts.meta


def test_headers_as_meta_come_back_whole():
    header = fits.Header([("HISTORY", "one"), ("HISTORY", "two")])
    back = split_bands(stack_bands({"g": image(meta=header), "r": image(meta=header)}))
    assert list(back["g"].header["HISTORY"]) == ["one", "two"]


def test_kinds_of_uncertainty_are_brought_to_one():
    images = {"g": image(uncertainty=VarianceUncertainty(np.full((6, 8), 0.04))),
              "r": image(uncertainty=StdDevUncertainty(np.full((6, 8), 0.2))),
              "i": image(uncertainty=InverseVariance(np.full((6, 8), 25.0)))}
    cube = stack_bands(images)
    assert isinstance(cube.uncertainty, VarianceUncertainty) and cube.uncertainty.unit == u.nmgy**2
    np.testing.assert_allclose(cube.uncertainty.array, 0.04)


def test_units_are_brought_to_one():
    images = {"g": image(unit="Jy", uncertainty=StdDevUncertainty(np.ones((6, 8)))),
              "r": image(unit="mJy", uncertainty=StdDevUncertainty(np.ones((6, 8))))}
    cube = stack_bands(images)
    np.testing.assert_allclose([cube.data[1], cube.uncertainty.array[1]], 1e-3)
    assert cube.unit == u.Jy


def test_survey_puts_the_bands_in_order():
    assert stack_bands({"r": image(2), "g": image(1)}, "SDSS").bands == ("g", "r")
    assert stack_bands({"r": image(2), "g": image(1)}).bands == ("r", "g")


def test_smaller_psfs_are_padded():
    cube = stack_bands({"g": image(psf=np.ones((3, 3)) / 9), "r": image(psf=np.ones((5, 5)) / 25)})
    np.testing.assert_allclose(cube.psf[0, 1:4, 1:4], 1 / 9)
    assert cube.psf[0, 0].sum() == 0


@pytest.mark.parametrize(("images", "error", "words"), [
    ({}, BandMismatchError, "at least one"),
    ([image()], TypeError, "dict"),
    ({"g": np.ones((6, 8))}, TypeError, "CCDData"),
    ({"g": image(), "r": image(shape=(5, 8))}, ValueError, "regrid"),
    ({"g": image(), "r": image(unit="Jy")}, ValueError, "Jy"),
    ({"g": image(), "r": image(uncertainty=StdDevUncertainty(np.ones((6, 8))))}, ValueError, "uncertainty"),
    ({"g": image(), "r": image(psf=np.ones((3, 3)))}, ValueError, "psf"),
    ({"g": image(psf=np.ones((4, 4))), "r": image(psf=np.ones((3, 3)))}, ValueError, "psf"),
    ({"g": image(meta={"band": "g", "survey": "SDSS"}), "r": image(meta={"band": "r", "survey": "X"})},
     SurveyError, "X"),
])
def test_images_that_do_not_fit(images, error, words):
    with pytest.raises(error, match=words):
        stack_bands(images)


def test_grids_must_be_one(make_wcs):
    here, there = make_wcs((6, 8)), make_wcs((6, 8), offset=(0.1, 0))
    assert stack_bands({"g": image(wcs=here), "r": image(wcs=make_wcs((6, 8)))}).wcs is not here
    for other in (there, None):
        with pytest.raises(ValueError, match="another pixel grid"):
            stack_bands({"g": image(wcs=here), "r": image(wcs=other)})
    with pytest.raises(BandMismatchError, match="y"):
        stack_bands({"y": image()}, "SDSS")


def test_every_kind_becomes_a_cube_and_goes_back(sdss_cube):
    assert as_band_cube(sdss_cube, "SDSS") is sdss_cube and like_input(sdss_cube, sdss_cube) is sdss_cube
    as_dict = split_bands(sdss_cube)
    assert list(like_input(as_band_cube(as_dict, "SDSS"), as_dict)) == list("ugriz")
    stock = NDData(sdss_cube.data, unit="nmgy", wcs=sdss_cube.wcs, mask=sdss_cube.mask, psf=sdss_cube.psf,
                   uncertainty=sdss_cube.uncertainty, meta={"bands": list("ugriz"), "survey": "SDSS", "a": 1})
    cube = as_band_cube(stock)
    assert cube.survey.name == "SDSS" and cube.meta == {"a": 1} and cube.mask.sum() == 1
    np.testing.assert_array_equal(cube.uncertainty.array, sdss_cube.uncertainty.array)
    assert like_input(cube, stock) is cube
    single = as_band_cube(sdss_cube["r"])
    assert single.bands == ("r",) and single.survey.name == "SDSS"
    ccd = like_input(single, sdss_cube["r"])
    np.testing.assert_array_equal(ccd.data, sdss_cube["r"].data)
    assert ccd.meta == sdss_cube["r"].meta


@pytest.mark.parametrize("meta", [{"band": "g"}, {"FILTER": "g.MP9401"}, fits.Header({"FILTER": "g"}),
                                  {"header": fits.Header({"BAND": "g"})}])
def test_the_band_of_a_single_image(meta):
    assert as_band_cube(image(meta=meta)).bands == ("g",)


def test_images_that_cannot_become_a_cube(sdss_cube):
    with pytest.raises(BandMismatchError, match='meta\\["band"\\]'):
        as_band_cube(image())
    with pytest.raises(BandMismatchError, match='meta\\["bands"\\]'):
        as_band_cube(NDData(np.ones((2, 3, 3)), unit="nmgy"))
    with pytest.raises(SurveyError, match="SDSS"):
        as_band_cube(sdss_cube, "CFHTLS")
    with pytest.raises(SurveyError, match="SDSS"):
        as_band_cube(sdss_cube["r"], "CFHTLS")
    with pytest.raises(TypeError, match="ndarray"):
        as_band_cube(np.ones((5, 3, 3)))
    with pytest.raises(BandMismatchError):
        like_input(sdss_cube, sdss_cube["r"])


def test_a_cube_without_survey_is_given_one():
    cube = as_band_cube(BandCube(np.ones((2, 3, 3)), unit="nmgy", bands="gr"), "SDSS")
    assert cube.survey.band_names == ("g", "r")
