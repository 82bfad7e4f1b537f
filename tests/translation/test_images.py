"""Astropy images through a translator: the kind that came in, complete, in the target survey."""

from copy import deepcopy

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty
from numpy.testing import assert_array_equal

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.images import BandCube, split_bands
from astro_galtrans.surveys import get_survey


def assert_is_translation(cube, translator, size=34):
    survey = translator.target_survey
    assert isinstance(cube, BandCube)
    assert cube.bands == survey.band_names and cube.unit == survey.unit and cube.survey.name == survey.name
    assert cube.shape == (len(survey), size, size)
    assert cube.pixel_scale.to_value(u.arcsec) == pytest.approx(0.187, rel=1e-4)
    assert isinstance(cube.uncertainty, StdDevUncertainty) and cube.uncertainty.unit in (None, survey.unit)
    assert np.all(cube.uncertainty.array[~cube.mask] > 0)
    assert np.all(np.isfinite(cube.data[~cube.mask])) and np.all(np.isfinite(cube.uncertainty.array[~cube.mask]))


def test_cube(translator, make_cube):
    cube = translator(make_cube(meta={"object": "M 51"}))
    assert_is_translation(cube, translator)
    assert not cube.mask.any()
    assert cube.meta["object"] == "M 51"
    provenance = cube.meta["galtrans"]
    assert provenance["translator"] == translator.name
    assert provenance["hash"] == translator.hash
    assert (provenance["input_survey"], provenance["target_survey"]) == ("SDSS", "CFHTLS")
    assert provenance["seed"] == 4
    assert {"astro_galtrans_version", "torch_version", "astropy_version"} <= set(provenance)


def test_every_kind_comes_back_as_it_went_in(translator, make_cube):
    cube = make_cube()
    expected = translator(cube)
    stock = NDData(cube.data, unit="nmgy", wcs=cube.wcs, meta={"bands": "gri", "note": 3})
    from_stock = translator(stock)
    assert_is_translation(from_stock, translator)
    assert from_stock.meta["note"] == 3
    assert_array_equal(from_stock.data, expected.data)
    images = translator(split_bands(cube))
    assert type(images) is dict and list(images) == ["g", "r", "i"]
    for band, image in images.items():
        assert type(image) is CCDData and image.unit == u.adu
        assert_array_equal(image.data, expected[band].data)
        assert_array_equal(image.uncertainty.array, expected[band].uncertainty.array)
        assert image.wcs.wcs_world2pix([[150.0, 2.0]], 0) == pytest.approx(np.array([[16.5, 16.5]]), abs=1e-3)
        assert image.meta["galtrans"]["hash"] == translator.hash
        assert image.meta.get("survey", "CFHTLS") == "CFHTLS"
    shuffled = {band: split_bands(cube)[band] for band in "igr"}
    assert_array_equal(translator(shuffled)["g"].data, expected["g"].data)


def test_one_band(make_translator, make_cube):
    translator = make_translator("r")
    cube = make_cube("r")
    image = translator(cube["r"])
    assert type(image) is CCDData and image.shape == (34, 34) and image.unit == u.adu
    assert_array_equal(image.data, translator(cube).data[0])
    bare = CCDData(cube.data[0], unit="nmgy", wcs=cube.wcs)
    assert_array_equal(translator(bare).data, image.data)
    assert image.meta["band"] == "r" and image.meta["survey"] == "CFHTLS"


def test_lists_of_several_kinds_and_sizes(translator, make_cube):
    images = [make_cube(seed=1), split_bands(make_cube(seed=2)), make_cube(seed=3, size=15), make_cube(seed=4)]
    results = translator(images)
    assert type(results) is list and [type(result) for result in results] == [BandCube, dict, BandCube, BandCube]
    assert results[2].shape == (3, 33, 33)
    for image, result in zip(images, results):
        alone = translator(image)
        for band in "gri":
            np.testing.assert_allclose(result[band].data, alone[band].data, rtol=1e-5, atol=1e-4)
    assert translator([]) == []
    assert len(translator((images[0],))) == 1


def test_other_target_bands(make_translator, make_cube):
    translator = make_translator("gri", target_bands="ugriz", residual_only=True)
    cube = make_cube()
    result = translator(cube)
    assert_is_translation(result, translator)
    np.testing.assert_allclose(result.data[0], result.data[1], rtol=1e-5)  # u is made from g, the nearest band there is


def test_a_cube_in_another_unit_is_converted(translator, make_cube):
    cube = make_cube()
    expected = translator(cube)
    for unit in ("Jy", "uJy", "mgy"):
        np.testing.assert_allclose(translator(cube.to_unit(unit)).data, expected.data, rtol=1e-4, atol=1e-3)
    counts = cube.to_unit("adu", zero_point=25.0)
    result = translator(counts)
    np.testing.assert_allclose(result.data, expected.data, rtol=1e-4, atol=1e-3)
    # The zero point of the input's counts is not that of the output's.
    assert_array_equal(result.zero_points, [30, 30, 30])


@pytest.mark.parametrize("zero_points", [{"g": 25.0, "r": 26.0, "i": 27.0}, dict.fromkeys("gri", 25.0)])
def test_zero_points_of_single_bands_do_not_reach_the_output(translator, make_cube, zero_points):
    images = split_bands(make_cube().to_unit("adu", zero_point=zero_points))
    for image in images.values():
        image.meta["program"] = "wide"
    expected = translator(make_cube())
    result = translator(images)
    for band, image in result.items():
        np.testing.assert_allclose(image.data, expected[band].data, rtol=1e-4, atol=1e-3)
        assert image.meta.get("zero_point", 30.0) == 30.0
        assert image.meta["program"] == "wide"


def test_headers_of_the_input_are_provenance(translator, make_cube):
    images = split_bands(make_cube())
    for band, image in images.items():
        image.meta = fits.Header({"FILTER": band, "RUN": 3918})
    meta = translator(images)["r"].meta
    assert meta["galtrans"]["input"]["bands"]["r"]["RUN"] == 3918
    assert "RUN" not in meta and "FILTER" not in meta
    assert meta["galtrans"]["hash"] == translator.hash


def test_what_is_true_of_the_input_alone_does_not_reach_the_output(translator, make_cube):
    own = {"gain": 4.7, "dark_variance": 1.8, "header": fits.Header({"NMGY": 0.005, "FLUXMAG0": 1e9})}
    of_all = {"run": 3918, "EXPTIME": 53.9, "SATURATE": 6e4, "Telescope": "2.5 m", "psf_fwhm": 1.3}
    cube = make_cube(meta={"object": "M 51", "note": 3, **of_all, "band_meta": {band: own for band in "gri"}})
    meta = translator(cube).meta
    assert set(meta) == {"object", "note", "galtrans"}
    assert meta["galtrans"]["input"] == {**of_all, "bands": {band: own for band in "gri"}}
    assert meta["galtrans"]["input"]["bands"]["g"]["header"] is not own["header"]


def test_tags_of_the_input_survey_do_not_reach_the_output(translator, make_cube):
    images = split_bands(make_cube())
    images["g"].meta["airmass"] = 1.2
    for image in images.values():
        assert image.meta["survey"] == "SDSS"
    for image in translator(images).values():
        assert image.meta.get("survey", "CFHTLS") == "CFHTLS"


def test_a_translation_of_a_translation_tells_of_both(make_translator, make_cube):
    translator = make_translator()
    first = make_cube(meta={"galtrans": {"translator": "the first"}})
    provenance = translator(first).meta["galtrans"]
    assert provenance["translator"] == translator.name
    assert provenance["previous"] == {"translator": "the first"}
    assert first.meta == {"galtrans": {"translator": "the first"}}


def test_input_is_not_changed_and_shares_nothing(translator, make_cube):
    cube = make_cube(meta={"list": [1, 2]}, mask=np.zeros((3, 16, 16), bool), psf=np.ones((3, 5, 5)),
                     uncertainty=StdDevUncertainty(np.full((3, 16, 16), 0.02)))
    cube.mask[1, 3, 4] = True
    cube.data[1, 3, 4] = np.nan
    kept = deepcopy(cube)
    result = translator(cube)
    result.meta["list"].append(3)
    result.data[:] = 0
    assert_array_equal(cube.data, kept.data)
    assert_array_equal(cube.mask, kept.mask)
    assert_array_equal(cube.uncertainty.array, kept.uncertainty.array)
    assert cube.meta == kept.meta == {"list": [1, 2]}
    assert cube.wcs.to_header_string() == kept.wcs.to_header_string()
    assert result.psf is None  # the input's does not hold for the output


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, 1e30, -5.0])
def test_masked_pixels_do_not_reach_the_output(translator, make_cube, garbage):
    mask = np.zeros((3, 16, 16), bool)
    mask[1, 4:7, 8] = mask[0, 0, 0] = mask[2, :, 3] = True
    cube = make_cube(mask=mask)
    expected = translator(cube)
    data = cube.data.copy()
    data[mask] = garbage
    result = translator(make_cube(mask=mask)._replace(data))
    for one, other in ((result.data, expected.data), (result.mask, expected.mask),
                       (result.uncertainty.array, expected.uncertainty.array)):
        assert_array_equal(one, other)
    assert_is_translation(result, translator)
    if not np.isfinite(garbage):
        without_mask = translator(cube._replace(data, mask=None))
        assert_array_equal(without_mask.mask, expected.mask)
        assert_array_equal(without_mask.data, expected.data)


def test_mask_covers_what_rests_on_masked_pixels(make_translator, make_cube):
    """With the residual path alone, what an input pixel can change is exactly what its mask hides."""
    translator = make_translator(residual_only=True)
    cube = make_cube()
    changed = cube.data.copy()
    changed[1, 5, 9] += 100
    moved = translator(cube).data != translator(cube._replace(changed)).data
    mask = np.zeros(cube.shape, bool)
    mask[1, 5, 9] = True
    found = translator(cube._replace(cube.data, mask=mask)).mask
    assert moved.any() and not moved[[0, 2]].any() and not found[[0, 2]].any()
    assert np.all(found[moved])
    assert found.sum() <= 1.5 * moved.sum()


_WHOLE, _CORE = (slice(None), slice(None)), (slice(5, 11), slice(5, 11))


@pytest.mark.parametrize("where", [_WHOLE, _CORE], ids=["whole", "core"])
@pytest.mark.parametrize("how", ["mask", "nan", "infinite", "weight"])
def test_a_band_without_data_is_refused_by_name(translator, make_cube, how, where):
    cube = make_cube()
    mask, data, weight = np.zeros(cube.shape, bool), cube.data.copy(), np.ones(cube.shape)
    mask[(1, *where)] = how == "mask"
    weight[(1, *where)] = how != "weight"
    if how in ("nan", "infinite"):
        data[(1, *where)] = np.nan if how == "nan" else np.inf
    broken = BandCube(data, unit=cube.unit, wcs=cube.wcs, bands=cube.bands, survey=cube.survey, mask=mask,
                      uncertainty=InverseVariance(weight))
    for call in (lambda: translator(broken), lambda: translator([cube, broken])):
        with pytest.raises(BandMismatchError, match="band r;"):
            call()
    with pytest.raises(ValueError, match="allow_missing"):
        translator(broken, allow_missing=True)


def test_output_that_overflows_is_masked(translator, make_cube):
    data = make_cube().data.copy()
    data[1, 8, 8] = 3e37
    result = translator(make_cube()._replace(data))
    for array in (result.data, result.uncertainty.array):
        assert np.all(np.isfinite(array[~result.mask]))


def test_redshift(make_translator, make_cube):
    translator = make_translator(conditioning="redshift")
    cube = make_cube()
    near, far = translator(cube, redshift=0.05), translator(cube, redshift=0.4)
    assert np.abs(near.data - far.data).max() > 0
    assert near.meta["galtrans"]["redshift"] == pytest.approx(0.05)
    both = translator([cube, cube], redshift=[0.05, 0.4])
    for one, other in zip(both, (near, far)):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-5, atol=1e-4)
    for redshift, message in (
            (None, "redshift must be given"), (np.nan, "takes none without, got 1 without"), (-1.0, "above -1")):
        with pytest.raises(ValueError, match=message):
            translator(cube, redshift=redshift)
    with pytest.raises(ValueError, match="redshift must be 2 numbers"):
        translator([cube, cube], redshift=[0.1])
    with pytest.raises(ValueError, match="is not conditioned on it"):
        make_translator()(cube, redshift=0.1)


def test_array_and_image_door_agree(translator, flux, make_wcs):
    cubes = [BandCube(one, unit="nmgy", wcs=make_wcs(), bands="gri", survey="SDSS") for one in flux]
    array, sigma = translator.translate_array_with_uncertainty(flux)
    for cube, one, error in zip(translator(cubes), array, sigma):
        np.testing.assert_allclose(cube.data, one, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(cube.uncertainty.array, error, rtol=1e-6)


def refused(translator, image, error, *words):
    with pytest.raises(error) as caught:
        translator(image)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in {caught.value}"


def test_wrong_bands_are_refused(translator, make_cube, make_translator):
    refused(translator, make_cube("gr"), BandMismatchError, "takes bands g,r,i", "the image has g,r")
    refused(translator, make_cube("ugriz"), BandMismatchError, "g, r, i", "u, z")
    swapped = NDData(make_cube().data, unit="nmgy", wcs=make_cube().wcs, meta={"bands": "rgi"})
    refused(translator, swapped, BandMismatchError, "r", "g")
    two = split_bands(make_cube())
    del two["i"]
    refused(translator, two, BandMismatchError, "the image has g,r")
    nameless = NDData(make_cube().data, unit="nmgy", wcs=make_cube().wcs)
    refused(translator, nameless, BandMismatchError, 'meta["bands"]')
    refused(translator, make_cube()["r"], BandMismatchError, "g,r,i", "the image has r")
    one_of_two = make_translator("r", target_bands="gr")
    refused(one_of_two, make_cube("r")["r"], BandMismatchError, "g, r")


def test_another_survey_is_refused(translator, make_cube, make_wcs):
    wcs = make_wcs((34, 34), scale=0.187)
    other = BandCube(np.ones((3, 34, 34)), unit="adu", wcs=wcs, bands="gri", survey="CFHTLS")
    refused(translator, other, SurveyError, "CFHTLS", translator.name, "SDSS")
    same_pixels = BandCube(np.ones((3, 16, 16)), unit="Jy", wcs=make_wcs(), bands="gri", survey="CFHTLS")
    refused(translator, same_pixels, SurveyError, "CFHTLS", "SDSS")
    refused(translator, split_bands(same_pixels), SurveyError, "CFHTLS", "SDSS")
    stock = NDData(np.ones((3, 16, 16)), unit="Jy", wcs=make_wcs(), meta={"bands": "gri", "survey": "CFHTLS"})
    refused(translator, stock, SurveyError, "CFHTLS", "SDSS")


def test_wrong_units_are_refused(translator, make_cube, make_wcs):
    for unit in ("adu", "m", u.ABmag):
        image = NDData(np.ones((3, 16, 16)), unit=unit, wcs=make_wcs(), meta={"bands": "gri"})
        refused(translator, image, ValueError, "unit", str(unit))


def test_wrong_places_and_pixels_are_refused(translator, make_cube, make_wcs):
    refused(translator, make_cube(wcs=None), ValueError, "no WCS")
    refused(translator, make_cube(wcs=make_wcs(scale=0.187)), ValueError, "0.187", "0.396", "regrid")
    refused(translator, make_cube(size=3, wcs=make_wcs((3, 3))), ValueError, "at least 4 x 4 pixels", "(3, 3)")
    images = split_bands(make_cube())
    images["i"] = CCDData(np.ones((15, 16)), unit="nmgy", wcs=images["i"].wcs)
    refused(translator, images, ValueError, "band i", "(15, 16)")


def test_images_without_a_usable_pixel_are_refused(translator, make_cube):
    refused(translator, make_cube(mask=np.ones((3, 16, 16), bool)), ValueError, "every pixel of the image is masked")
    empty = make_cube()._replace(np.full((3, 16, 16), np.nan, np.float32))
    refused(translator, empty, ValueError, "every pixel of the image is masked or not finite")
    refused(translator, [make_cube(), empty], ValueError, "image 1")


@pytest.mark.parametrize("thing", [3, "cube.fits", None, np.zeros((3, 16, 16)), {"g": np.zeros((16, 16))}])
def test_other_things_are_refused(translator, thing):
    with pytest.raises((TypeError, BandMismatchError), match="CCDData|BandCube"):
        translator(thing)


def test_survey_of_the_output_has_the_bands_of_the_output(translator, make_cube):
    assert translator(make_cube()).survey.band_names == ("g", "r", "i")
    assert len(get_survey("CFHTLS")) == 5
