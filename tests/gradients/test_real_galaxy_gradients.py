import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from photutils.aperture import CircularAperture

from astro_galtrans.gradients import (
    color_gradient_profile, color_map, integrate_gradients, match_psf, sed_gradient_arrays, sed_gradients, sed_spectrum,
)
from astro_galtrans.images import SDSSPSF, BandCube, flux_and_weight, read_cube

DATA = os.environ.get("GALTRANS_REAL_DATA")
FIELD = Path(DATA or ".") / "sdss-field-003918-3-0213"
PSFIELD = Path(DATA or ".") / "sdss-field-002583-2-0136-psf" / "psField-002583-2-0136.fits"

pytestmark = pytest.mark.skipif(not DATA, reason="GALTRANS_REAL_DATA is not set to the folder of real images")


@pytest.fixture(scope="module")
def spiral():
    """A bright spiral of the field, r = 15.5."""
    paths = {band: FIELD / f"frame-{band}-003918-3-0213.fits.bz2" for band in "ugriz"}
    position = SkyCoord(229.52666, 42.74389, unit="deg")
    return read_cube(paths, survey="SDSS", position=position, size=48)


def test_real_galaxy(spiral):
    gradients = sed_gradients(spiral)
    assert np.allclose(gradients.pixel_sides, 0.396, rtol=1e-3)
    sky = np.array([band.sky_noise * band.flux_per_unit().to_value(u.Jy) for band in spiral.survey])
    assert np.all(np.abs(np.log(gradients.softening.value / sky)) < np.log(2.5))
    center = np.nanmedian(gradients.passband.data[:, 20:28, 20:28], axis=(1, 2))
    assert np.all((center > 0.2) & (center < 6))  # an old population is redder than flat in every color
    assert np.nanmean(gradients.x.data[2, 20:28, 24:30]) < 0 < np.nanmean(gradients.x.data[2, 20:28, 16:22])
    image = integrate_gradients(gradients, unit="nmgy")
    assert np.allclose(image.data, spiral.data, rtol=1e-5, atol=1e-3)


def test_real_color_profile_and_spectrum(spiral):
    profile = color_gradient_profile(spiral, radii=[0, 1, 2, 3, 5])
    assert np.all((profile["color"].value > 0.4) & (profile["color"].value < 1.0))
    assert profile.meta["slope"].value < -0.2  # the bulge is redder than the disk
    spectrum = sed_spectrum(spiral, CircularAperture((23.5, 23.5), 8))
    assert np.all(np.diff(spectrum.flux.value) > 0)
    assert spectrum.flux[2].to_value(u.ABmag) == pytest.approx(16.5, abs=0.3)
    assert np.all(spectrum.flux.value > 20 * spectrum.uncertainty.array)


def test_real_arrays_are_those_of_the_cube(spiral):
    flux, weight = flux_and_weight(spiral)
    one = sed_gradients(spiral, softening=0.02 * (22.5 * u.ABmag).to(u.Jy))
    many = sed_gradient_arrays(flux[None], "SDSS", weight=weight[None], softening=0.02, uncertainty=True,
                               pixel_scale=one.pixel_sides[0])
    assert np.allclose(many.x[0], one.x.data, rtol=1e-4, atol=1e-4)
    assert np.allclose(many.passband_sigma[0], one.passband.uncertainty.array, rtol=1e-3)


def test_real_color_map(spiral):
    colors = color_map(spiral)
    core = (slice(20, 28), slice(20, 28))
    assert not colors.mask[core].any() and colors.wcs is not None
    assert np.all((colors.data[core] > 0.3) & (colors.data[core] < 1.2))
    assert np.all(colors.uncertainty.array[core] < 0.15)
    pixel = sed_spectrum(match_psf(spiral), "pixel")[24, 24, :]
    assert -2.5 * np.log10(pixel.flux[1] / pixel.flux[2]).value == pytest.approx(colors.data[24, 24], abs=0.1)


def test_real_psfs_of_two_bands_are_matched():
    model = SDSSPSF.read(PSFIELD)
    psf = np.stack([model.image(band) for band in "ugriz"]).astype(float)
    star = BandCube(1000 * psf, unit="nmgy", wcs=None, bands="ugriz", survey="SDSS", psf=psf)
    spread = {}
    for method in (False, "gaussian", "kernel"):
        table = color_gradient_profile(star, radii=[0, 0.5, 1, 1.5, 2, 3], match_psf=method)
        spread[method] = np.ptp(table["color"].value)
    assert spread["kernel"] < 0.02 < spread["gaussian"] < spread[False]
