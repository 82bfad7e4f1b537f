"""A galaxy of one color keeps it, wherever the stars of the PSF images are in their stamps."""

import numpy as np
import pytest
from astropy.wcs import WCS

from astro_galtrans.gradients import color_gradient_profile, color_map, match_psf
from astro_galtrans.images import BandCube
from astro_galtrans.pairs import psf_stamp
from astro_galtrans.simulation import degrade

WIDTHS = {"g": 1.2, "r": 1.8}
COLOR = 1.0
SIZE = 64


def _gaussian(n, x, y, sigma):
    yy, xx = np.indices((n, n))
    return np.exp(-((xx - x)**2 + (yy - y)**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def _stamps(case):
    rng = np.random.default_rng(2)
    n = 24 if "even" in case else 25
    middle = (n - 1) / 2
    g, r = ([middle, middle] for _ in range(2))
    if case == "even, peak at n/2":
        g = [n / 2, n / 2]
    elif case == "both off":
        g, r = [middle + 0.3, middle - 0.4], [middle - 0.7, middle + 0.2]
    elif case == "far off":
        r = [middle + 3.3, middle - 2.6]
    elif case != "centered":
        r = [middle + 0.25, middle]
    psf = np.stack([_gaussian(n, *place, WIDTHS[band]) for band, place in (("g", g), ("r", r))])
    if case == "noisy wings":
        psf += 2e-5 * rng.normal(size=psf.shape)
    elif case == "not normalized":
        psf *= 14.57
    elif case == "negative wings":
        psf -= 4e-6
    return psf


CASES = ("centered", "0.25 pixels off", "even, peak at n/2", "even, 0.25 pixels off", "both off", "far off",
         "noisy wings", "not normalized", "negative wings")


def _galaxy(psf, **changes):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [SIZE / 2, SIZE / 2]
    wcs.wcs.cdelt = [-0.396 / 3600, 0.396 / 3600]
    middle = (SIZE - 1) / 2
    data = np.stack([flux * _gaussian(SIZE, middle, middle, np.hypot(3, WIDTHS[band]))
                     for band, flux in (("g", 400), ("r", 400 * 10 ** (0.4 * COLOR)))])
    return BandCube(data, wcs=wcs, bands="gr", survey="SDSS", psf=psf, **changes)


@pytest.mark.parametrize("case", CASES)
def test_one_color_stays_one_color(case):
    cube = _galaxy(_stamps(case))
    tolerance = 0.005 if case in ("noisy wings", "negative wings") else 0.002
    colors = color_map(cube).data[32, 24:41]
    np.testing.assert_allclose(colors, COLOR, atol=tolerance)
    profile = color_gradient_profile(cube, radii=[0, 1, 2, 3, 4])
    np.testing.assert_allclose(profile["color"].value, COLOR, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_matching_moves_neither_the_galaxy_nor_the_psf_off_the_middle(case):
    y, x = np.indices((SIZE, SIZE))
    matched = match_psf(_galaxy(_stamps(case)))
    for plane in matched.data:
        plane = np.where(np.hypot(y - (SIZE - 1) / 2, x - (SIZE - 1) / 2) < 12, plane, 0)
        center = [(plane * axis).sum() / plane.sum() for axis in (y, x)]
        np.testing.assert_allclose(center, (SIZE - 1) / 2, atol=0.01)
    # Both bands have the same PSF, at the same place.
    np.testing.assert_allclose(matched.psf[0], matched.psf[1], atol=0.01 * matched.psf.max())


@pytest.mark.parametrize("case", CASES[1:6:2])
def test_degraded_images_and_stamps_of_psfs_are_centered(case):
    psf = _stamps(case)
    y, x = np.indices((25, 25))
    for plane in psf_stamp(psf, 2, 25):
        core = np.where(np.hypot(y - 12, x - 12) < 6, plane, 0)
        np.testing.assert_allclose([(core * axis).sum() / core.sum() for axis in (y, x)], 12, atol=0.02)
    degraded = degrade(_galaxy(psf), "SDSS", target_psf=_gaussian(25, 12, 12, 2.5),
                       noise=False)
    y, x = np.indices(degraded.shape[1:])
    flux = np.where(np.hypot(y - y.mean(), x - x.mean()) < 20, np.nan_to_num(degraded.data), 0)
    sky = degraded.wcs.pixel_to_world_values(*[(flux * axis).sum((1, 2)) / flux.sum((1, 2)) for axis in (x, y)])
    truth = _galaxy(psf).wcs.pixel_to_world_values((SIZE - 1) / 2, (SIZE - 1) / 2)
    assert np.abs((np.array(sky).T - truth) * 3600 / 0.396).max() < 0.02


@pytest.mark.parametrize("spoil", [
    lambda psf: np.where(psf > psf.max() / 2, np.nan, psf), lambda psf: psf * np.inf, lambda psf: -psf,
    lambda psf: psf - 0.99 / psf[0].size, lambda psf: 0 * psf])
def test_psfs_that_are_none_are_refused(spoil):
    with pytest.raises(ValueError, match="psf"), np.errstate(invalid="ignore"):
        _galaxy(spoil(_stamps("centered")))
    with pytest.raises(ValueError, match="target_psf"), np.errstate(invalid="ignore"):
        degrade(_galaxy(_stamps("centered")), "SDSS", target_psf=spoil(_stamps("centered")), noise=False)
