import numpy as np
import pytest
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

from astro_galtrans.images import BandCube, flux_and_weight, split_bands
from astro_galtrans.surveys import get_survey

DATA = np.arange(1, 25, dtype=np.float64).reshape(2, 3, 4)


def cube_of(**parts):
    return BandCube(DATA, **{"unit": "nmgy", "bands": "gr", "survey": "SDSS", **parts})


@pytest.mark.parametrize("uncertainty", [
    StdDevUncertainty(DATA), VarianceUncertainty(DATA**2), InverseVariance(DATA**-2)])
@pytest.mark.parametrize("unit", ["nmgy", "Jy", "mJy"])
def test_inverse_variance_in_the_unit_of_the_survey(uncertainty, unit):
    flux, weight = flux_and_weight(cube_of(uncertainty=uncertainty).to_unit(unit))
    assert flux.dtype == weight.dtype == np.float32
    np.testing.assert_allclose(flux, DATA, rtol=1e-6)
    np.testing.assert_allclose(weight, DATA**-2, rtol=1e-6)


def test_counts_on_another_scale_come_to_that_of_the_survey():
    cube = cube_of(unit="adu", survey="CFHTLS", meta={"zero_point": [27.5, 32.5]})
    np.testing.assert_allclose(flux_and_weight(cube)[0], DATA * np.array([10, 0.1])[:, None, None], rtol=1e-6)


def test_bad_pixels_have_neither_flux_nor_weight():
    data, sigma, mask = DATA.copy(), np.ones_like(DATA), np.zeros(DATA.shape, dtype=bool)
    data[0, 0, 0], data[0, 0, 1] = np.nan, -np.inf
    sigma[0, 1, 0], sigma[0, 1, 1], sigma[0, 1, 2] = 0, np.nan, -1
    mask[1, 2, 3] = True
    cube = BandCube(data, unit="nmgy", bands="gr", survey="SDSS", mask=mask, uncertainty=StdDevUncertainty(sigma))
    for copy in (True, False):
        flux, weight = flux_and_weight(cube, copy=copy)
        assert (weight == 0).sum() == (flux == 0).sum() == 6
        assert weight[1, 2, 3] == 0 and weight[1, 2, 2] == 1
    np.testing.assert_array_equal(cube.data, data)


def test_without_uncertainty_the_sky_of_the_survey_stands_in():
    weight = flux_and_weight(cube_of())[1]
    expected = get_survey("SDSS").select("gr").sky_noise ** -2
    np.testing.assert_allclose(weight[:, 1, 1], expected, rtol=1e-6)
    assert (flux_and_weight(cube_of(survey=None))[1] == 1).all()


def test_copies_are_made_unless_told_otherwise():
    data = DATA.astype(np.float32)
    cube = BandCube(data, unit="nmgy", bands="gr", survey="SDSS")
    assert not np.shares_memory(flux_and_weight(cube)[0], data)
    assert np.shares_memory(flux_and_weight(cube, copy=False)[0], data)


def test_other_kinds_pass_the_same_door(sdss_cube):
    flux, weight = flux_and_weight(split_bands(sdss_cube))
    for one, other in zip((flux, weight), flux_and_weight(sdss_cube)):
        np.testing.assert_array_equal(one, other)


def test_big_endian_data_come_out_native():
    cube = BandCube(DATA.astype(">f4"), unit="nmgy", bands="gr")
    assert flux_and_weight(cube, copy=False)[0].dtype.isnative


def test_numbers_beyond_float32_are_refused():
    cube = BandCube(DATA * 1e-29, unit="erg / (s cm2 Hz)", bands="gr", uncertainty=StdDevUncertainty(DATA * 1e-30))
    with pytest.raises(ValueError, match="float32"):
        flux_and_weight(cube)
