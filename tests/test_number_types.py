"""Pixels of every number type give the floating-point results that the same numbers give in float64."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty

from astro_galtrans.gradients import color_map, match_psf, radial_color_profiles, sed_gradient_arrays, sed_gradients
from astro_galtrans.images import BandCube, FrameSet, detect_galaxies, flux_and_weight, regrid, stack_bands
from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import degrade

TYPES = ("u1", "i1", "<i2", ">i2", "u2", "i4", ">i8", "u8", "f2", ">f4", ">f8", "bool")
SIZE = 40


@pytest.fixture(scope="module")
def image():
    """A galaxy of whole numbers from 0 to 100 on a sky of ones, which each type but bool holds exactly."""
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    return np.round(1 + 99 * np.exp(-(x**2 + y**2) / 32))


@pytest.fixture(scope="module")
def grid():
    from astropy.wcs import WCS

    def make(shape, scale=0.396, shift=0.0):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
        wcs.wcs.crpix = [(shape[1] + 1) / 2 + shift, (shape[0] + 1) / 2]
        wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
        return wcs
    return make


def _ccd(image, kind, grid, shift=0.0):
    # A standard deviation of 20 has a square beyond int8 and uint8.
    return CCDData(image.astype(kind), unit="nmgy", wcs=grid(image.shape, shift=shift),
                   uncertainty=StdDevUncertainty(np.full(image.shape, 20).astype("f8" if kind == "bool" else kind)))


def _cube(image, kind, grid):
    psf = np.zeros((2, 9, 9))
    psf[:, 3:6, 3:6], psf[:, 4, 4] = 10, 40
    return BandCube(np.stack([image, 2 * image // 2]).astype(kind), unit="nmgy", wcs=grid(image.shape), bands="gr",
                    survey="SDSS", psf=psf.astype(kind),
                    uncertainty=StdDevUncertainty(np.full((2, *image.shape), 20).astype(kind)))


def _parts(result):
    parts = [result.data]
    if result.uncertainty is not None:
        parts.append(result.uncertainty.array)
    if result.psf is not None:
        parts.append(result.psf)
    return parts


OF_CCD = {
    "regrid to smaller pixels": lambda ccd, grid: regrid(ccd, grid((90, 90), 0.2), (90, 90)),
    "regrid to larger pixels": lambda ccd, grid: regrid(ccd, grid((24, 24), 0.8), (24, 24)),
    "regrid to the same pixels": lambda ccd, grid: regrid(ccd, grid((SIZE, SIZE)), (SIZE, SIZE)),
    "stack_bands": lambda ccd, grid: stack_bands({"g": ccd, "r": ccd}),
    "cutout of frames": lambda ccd, grid: FrameSet({"g": ccd, "r": ccd}, "SDSS").cutout(size=SIZE + 6),
}
OF_CUBE = {
    "regrid": lambda cube, grid: regrid(cube, grid((90, 90), 0.2), (90, 90)),
    "cutout": lambda cube, grid: cube.cutout(size=SIZE + 6),
    "to_unit": lambda cube, grid: cube.to_unit("uJy"),
    "match_psf": lambda cube, grid: match_psf(cube),
    "color_map": lambda cube, grid: color_map(cube, significance=1),
    "degrade": lambda cube, grid: degrade(cube, "SDSS", target_psf=2 * u.arcsec, noise=False),
}


@pytest.mark.parametrize("function", OF_CCD)
@pytest.mark.parametrize("kind", TYPES)
def test_single_bands(image, grid, kind, function):
    if kind == "bool":
        image = image > 50
    result, expected = (OF_CCD[function](_ccd(image, one, grid), grid) for one in (kind, "f8"))
    for got, wanted in zip(_parts(result), _parts(expected), strict=True):
        assert got.dtype in (np.float32, np.float64) and got.dtype.isnative
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("function", OF_CUBE)
@pytest.mark.parametrize("kind", TYPES[:-1])
def test_cubes(image, grid, kind, function):
    result, expected = (OF_CUBE[function](_cube(image, one, grid), grid) for one in (kind, "f8"))
    for got, wanted in zip(_parts(result), _parts(expected), strict=True):
        assert got.dtype in (np.float32, np.float64) and got.dtype.isnative
        np.testing.assert_allclose(got, wanted, rtol=5e-5, atol=2e-4)


@pytest.mark.parametrize("kind", TYPES[:-1])
def test_arrays_and_measurements(image, grid, kind):
    cube, exact = _cube(image, kind, grid), _cube(image, "f8", grid)
    for got, wanted in zip(flux_and_weight(cube), flux_and_weight(exact)):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    np.testing.assert_allclose(sed_gradients(cube).x.data, sed_gradients(exact).x.data, rtol=1e-3, atol=1e-4)
    stamps, survey = exact.data[None], cube.survey
    for function in (lambda flux: sed_gradient_arrays(flux, survey).x,
                     lambda flux: radial_color_profiles(flux, survey, "gr", [0, 2, 4]),
                     lambda flux: PairSet.from_arrays(flux, flux, input_survey=survey, target_survey=survey)
                     .input_flux[:]):
        np.testing.assert_allclose(function(stamps.astype(kind)), function(stamps), rtol=1e-3, atol=1e-4)
    for got, wanted in zip(*(detect_galaxies(one, "r")[["x", "magnitude"]].as_array() for one in (cube, exact))):
        np.testing.assert_allclose(list(got), list(wanted), rtol=1e-4)


@pytest.mark.parametrize("other", [VarianceUncertainty, InverseVariance])
def test_uncertainties_of_small_integers_are_not_squared_as_integers(image, grid, other):
    first, second = _ccd(image, "f8", grid), _ccd(image, "u1", grid)
    first.uncertainty = other(np.ones(image.shape))
    cube = stack_bands({"g": first, "r": second})
    assert isinstance(cube.uncertainty, other)
    np.testing.assert_allclose(cube.uncertainty.array[1], 400.0 if other is VarianceUncertainty else 1 / 400)
