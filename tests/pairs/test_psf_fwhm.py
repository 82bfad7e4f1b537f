"""Widths of the PSFs of pairs, from the catalog and from images."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans._utils.psf import moffat_psf, psf_fwhm, scaled_psf
from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import simulate_pairs


def make(**extras):
    return PairSet.from_arrays(np.ones((3, 2, 8, 8)), np.ones((3, 2, 18, 18)), input_survey="SDSS", input_bands="gr",
                               target_survey="CFHTLS", target_bands="gr", **extras)


@pytest.fixture(scope="module")
def simulated():
    return simulate_pairs(6, seed=3, input_size=16, psf=True)


@pytest.mark.parametrize("side", ("input", "target"))
def test_images_and_catalog_agree(simulated, side):
    bare = PairSet.from_arrays(
        simulated.input_flux, simulated.target_flux, input_survey="SDSS", target_survey="CFHTLS",
        input_psf=simulated.input_psf, target_psf=simulated.target_psf)
    np.testing.assert_allclose(bare.psf_fwhm(side), simulated.psf_fwhm(side), rtol=0.02)
    np.testing.assert_array_equal(simulated.psf_fwhm(side, [4, 1]), simulated.psf_fwhm(side)[[4, 1]])


def test_the_center_within_a_pixel_does_not_matter():
    fine = moffat_psf(0.9, 0.05, 165)
    binned = [np.roll(fine, (shift, 2 * shift), (0, 1)).reshape(33, 5, 33, 5).sum((1, 3)) for shift in (0, 1, 2)]
    np.testing.assert_allclose(psf_fwhm(np.stack(binned), 0.25), 0.9, rtol=0.01)
    wider = scaled_psf(binned[2], 1.2, 0.25)
    assert psf_fwhm(wider, 0.25) == pytest.approx(1.2, rel=0.01) and wider.sum() == pytest.approx(1)


def test_unknown_widths_are_nan():
    psf = np.zeros((3, 2, 21, 21))
    psf[1] = moffat_psf(1.2, 0.396, 21)
    known = np.isfinite(make(input_psf=psf).psf_fwhm("input"))
    assert known.tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert make().psf_fwhm("input") is None and make(input_psf=psf).psf_fwhm("target") is None
    catalog = Table({"input_psf_fwhm": np.array([[1.1, np.nan], [0, 1], [-1, 2]])})
    assert np.isnan(make(catalog=catalog).psf_fwhm("input")).sum() == 3
    assert np.isnan(psf_fwhm(np.ones((9, 9)), 1.0))


def test_columns_follow_the_images():
    catalog = Table({"input_psf_fwhm": np.full((3, 2), 1300) * u.mas, "target_psf_fwhm": np.full((3, 2), 0.7)})
    pairs = make(catalog=catalog)
    np.testing.assert_allclose(pairs.psf_fwhm("input"), 1.3)
    np.testing.assert_allclose(pairs.reversed().psf_fwhm("input"), 0.7)
    np.testing.assert_allclose(pairs.reversed().psf_fwhm("target"), 1.3)
    np.testing.assert_allclose(pairs.within("target").psf_fwhm("input"), 0.7)
    np.testing.assert_allclose(pairs.psf_fwhm("input"), 1.3)
    one = make(catalog=catalog["input_psf_fwhm",])
    assert one.reversed().psf_fwhm("input") is None
    np.testing.assert_allclose(one.reversed().psf_fwhm("target"), 1.3)


def test_a_column_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match="column input_psf_fwhm of the catalog must have a number for each of the 2"):
        make(catalog=Table({"input_psf_fwhm": [1.0, 1.1, 1.2]})).psf_fwhm("input")
    with pytest.raises(ValueError, match="side must be"):
        make().psf_fwhm("both")
