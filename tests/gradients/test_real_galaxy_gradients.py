import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from photutils.aperture import CircularAperture

from astro_galtrans.gradients import color_gradient_profile, integrate_gradients, sed_gradients, sed_spectrum
from astro_galtrans.images import read_cube

DATA = os.environ.get("GALTRANS_REAL_DATA")
FIELD = Path(DATA or ".") / "sdss-field-003918-3-0213"

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
    centre = np.nanmedian(gradients.passband.data[:, 20:28, 20:28], axis=(1, 2))
    assert np.all((centre > 0.2) & (centre < 6))  # an old population is redder than flat in every colour
    assert np.nanmean(gradients.x.data[2, 20:28, 24:30]) < 0 < np.nanmean(gradients.x.data[2, 20:28, 16:22])
    image = integrate_gradients(gradients, unit="nmgy")
    assert np.allclose(image.data, spiral.data, rtol=1e-5, atol=1e-3)


def test_real_colour_profile_and_spectrum(spiral):
    profile = color_gradient_profile(spiral, radii=[0, 1, 2, 3, 5])
    assert np.all((profile["color"].value > 0.4) & (profile["color"].value < 1.0))
    assert profile.meta["slope"].value < -0.2  # the bulge is redder than the disc
    spectrum = sed_spectrum(spiral, CircularAperture((23.5, 23.5), 8))
    assert np.all(np.diff(spectrum.flux.value) > 0)
    assert spectrum.flux[2].to_value(u.ABmag) == pytest.approx(16.5, abs=0.3)
    assert np.all(spectrum.flux.value > 20 * spectrum.uncertainty.array)
