"""Each spelling of "no data" is missing in every function that takes arrays of images, and units are converted."""

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.table import Column, Table
from astropy.utils.masked import Masked
from astropy.wcs import WCS

from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.gradients import (
    color_gradient_profile, color_map, match_psf, radial_color_profiles, sed_gradient_arrays,
)
from astro_galtrans.images import BandCube, regrid
from astro_galtrans.photoz import fit_catalog_estimator, fit_redshift_estimator
from astro_galtrans.simulation import degrade
from astro_galtrans.surveys import get_survey
from astro_galtrans.training import TrainConfig, fit

N = 12
FLUX = np.random.default_rng(5).normal(1, 0.1, (N, 5, 16, 16)).astype(np.float32)
HIDDEN = np.zeros(FLUX.shape, bool)
HIDDEN[1, 1] = True
STRANGE = np.where(HIDDEN, 1e5, FLUX)
MISSING = {
    "NaN": np.where(HIDDEN, np.nan, FLUX), "infinite": np.where(HIDDEN, np.inf, FLUX),
    "zeros": np.where(HIDDEN, 0, FLUX), "np.ma": np.ma.array(STRANGE, mask=HIDDEN),
    "Masked Quantity": Masked(STRANGE * u.nmgy, mask=HIDDEN),
    "list": [np.ma.array(one, mask=mask) for one, mask in zip(STRANGE, HIDDEN)],
    "list of Masked": [Masked(one * u.nmgy, mask=mask) for one, mask in zip(STRANGE, HIDDEN)],
}
REDSHIFT = np.linspace(0.05, 0.3, N)


@pytest.fixture(scope="module")
def estimator():
    return fit_redshift_estimator(FLUX, REDSHIFT, survey="SDSS", epochs=1, n_members=1)


@pytest.mark.parametrize("kind", MISSING)
def test_gradients_and_profiles(kind):
    gradients = sed_gradient_arrays(MISSING[kind], "SDSS")
    assert [np.isnan(one).any((2, 3)).nonzero()[1].tolist() for one in gradients[:3]] == [[1], [1], [0, 1]]
    profiles = radial_color_profiles(MISSING[kind], "SDSS", ("g", "r"), [0, 1, 2])
    assert np.isnan(profiles).all(1).nonzero()[0].tolist() == [1]


def test_gradients_of_tensors():
    gradients = sed_gradient_arrays(torch.tensor(MISSING["zeros"]), "SDSS")
    assert torch.isnan(gradients.passband).any(3).any(2).nonzero().tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("kind", MISSING)
def test_a_redshift_estimator_masks_the_galaxy(kind, estimator):
    with pytest.warns(UserWarning):
        found = estimator.predict(MISSING[kind])
    assert np.flatnonzero(~np.asarray(found.valid)).tolist() == [1]
    with pytest.warns(UserWarning, match="1 of 12"):
        fitted = fit_redshift_estimator(MISSING[kind], REDSHIFT, survey="SDSS", epochs=1, n_members=1)
    with pytest.warns(UserWarning, match="1 of 12"):
        wanted = fit_redshift_estimator(MISSING["NaN"], REDSHIFT, survey="SDSS", epochs=1, n_members=1)
    assert np.array_equal(fitted.predict(FLUX).density, wanted.predict(FLUX).density)


@pytest.mark.parametrize("weight", [0, np.nan, np.inf, -1])
def test_weights_that_are_no_inverse_variance(weight, estimator, small_translator, small_pairs):
    given = np.where(HIDDEN, weight, 1)
    with pytest.warns(UserWarning):
        found = estimator.predict(FLUX, given)
    assert np.flatnonzero(~np.asarray(found.valid)).tolist() == [1]
    flux = small_pairs.input_flux[:2]
    given = np.ones(flux.shape)
    given[1, 0] = weight
    with pytest.raises(BandMismatchError, match=small_translator.input_survey.band_names[0]):
        small_translator.translate_array(flux, weight=given)


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_gradient_weights_refuse_a_missing_band(value, small_pairs):
    config = TrainConfig(epochs=1, backbone_options={"widths": [4, 8], "n_features": 4})
    translator = fit(small_pairs, config).translator
    flux, target = small_pairs.input_flux[:2].copy(), small_pairs.target_flux[:2]
    target = np.random.default_rng(0).normal(0, 1, target.shape)
    hidden = np.zeros(target.shape, bool)
    hidden[1, 0, :12] = True
    weights = [translator.gradient_weights(flux, np.where(hidden, filling, target)) for filling in (np.nan, value)]
    assert all(np.array_equal(one, other) for one, other in zip(*(each.values() for each in weights)))
    flux[1, 0] = value
    with pytest.raises(BandMismatchError, match=translator.input_survey.band_names[0]):
        translator.gradient_weights(flux, target)


def test_images_in_other_units(estimator):
    same = estimator.predict(FLUX[:3] * 1e-9 * u.mgy, np.ones((3, 5, 16, 16)) * 1e18 * u.mgy**-2)
    assert np.allclose(same.density, estimator.predict(FLUX[:3], np.ones((3, 5, 16, 16))).density, rtol=1e-4)
    with pytest.raises(ValueError, match="flux"):
        estimator.predict(FLUX[:3] * u.m)


def test_magnitudes_in_other_units():
    magnitudes = 20 + np.outer(REDSHIFT, [5, 2, 0])
    wanted = fit_catalog_estimator(magnitudes, REDSHIFT, epochs=1, n_members=1)
    for given in (magnitudes * u.ABmag, magnitudes * 1000 * u.mmag):
        assert np.allclose(wanted.predict(given).density, wanted.predict(magnitudes).density, rtol=1e-4)
    table = Table([Column(column, name=name, unit="nmgy") for name, column in zip("gri", magnitudes.T)])
    for given in (magnitudes * u.Jy, table):
        with pytest.raises(ValueError, match="magnitudes"):
            wanted.predict(given)
        with pytest.raises(ValueError, match="magnitudes"):
            fit_catalog_estimator(given, REDSHIFT, epochs=1)


def _half_empty(filling):
    data = np.random.default_rng(2).normal(0.5, 0.3, (2, 40, 40))
    data[0, :, :15] = filling
    wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 20.5,
               "CRPIX2": 20.5, "CDELT1": -0.187 / 3600, "CDELT2": 0.187 / 3600})
    return BandCube(data, unit="adu", wcs=wcs, bands="gr", survey="CFHTLS")


@pytest.mark.parametrize("function", [
    lambda cube: regrid(cube, rescaled(cube.wcs), (20, 20)), lambda cube: match_psf(cube),
    lambda cube: degrade(cube, get_survey("SDSS").select("gr"), seed=1), lambda cube: color_map(cube, significance=0),
], ids=["regrid", "match_psf", "degrade", "color_map"])
def test_images_with_an_area_of_zeros(function):
    zeros, missing = function(_half_empty(0)), function(_half_empty(np.nan))
    assert zeros.mask.any() and not zeros.mask.all()
    assert np.array_equal(zeros.mask, missing.mask)
    good = ~zeros.mask
    assert np.array_equal(np.asarray(zeros.data)[good], np.asarray(missing.data)[good])


def test_profiles_of_images_with_an_area_of_zeros():
    zeros, missing = (color_gradient_profile(_half_empty(filling), radii=[0, 1, 3]) for filling in (0, np.nan))
    assert np.array_equal(zeros["color"], missing["color"], equal_nan=True)
    assert np.array_equal(zeros["area"], missing["area"])


def rescaled(wcs):
    wcs = wcs.deepcopy()
    wcs.wcs.cdelt *= 2
    wcs.wcs.crpix = [10.5, 10.5]
    return wcs
