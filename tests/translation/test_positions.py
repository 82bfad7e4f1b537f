"""A star stays where it is on the sky, whatever the WCS."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose

from astro_galtrans.images import BandCube
from astro_galtrans.translation._images import rescaled_wcs

CASES = {
    "tan": {},
    "rotated": {"angle": 37.0},
    "flipped": {"flipped": True, "angle": -70.0},
    "sip": {"sip": True, "angle": 12.0, "offset": (1000.0, -740.0)},
    "far reference": {"offset": (-900.0, 650.0)},
    "southern": {"crval": (0.001, -88.0), "angle": 5.0},
    "pole": {"crval": (20.0, 90.0)},
    "across zero": {"crval": (359.9999, 10.0)},
    "galactic": {"ctype": ("GLON-TAN", "GLAT-TAN"), "crval": (120.0, 40.0)},
    "latitude first": {"ctype": ("DEC--TAN", "RA---TAN"), "crval": (2.0, 150.0)},
    "other projection": {"ctype": ("RA---SIN", "DEC--SIN"), "angle": 20.0, "offset": (300.0, 200.0)},
}


def centroid(image):
    y, x = np.indices(image.shape)
    image = image.astype(float)
    return (image * x).sum() / image.sum(), (image * y).sum() / image.sum()


@pytest.mark.parametrize("place", [(15.5, 15.5), (13.2, 18.9)])
@pytest.mark.parametrize("case", CASES)
def test_sky_position_of_a_star(case, place, make_translator, make_wcs, paint):
    wcs = make_wcs((32, 32), **CASES[case])
    cube = BandCube(np.repeat(paint((32, 32), place)[None], 3, 0), unit="nmgy", wcs=wcs, bands="gri", survey="SDSS")
    result = make_translator(residual_only=True)(cube)
    wanted = cube.wcs.pixel_to_world(place[1], place[0])
    for image in result.data:
        found = result.wcs.pixel_to_world(*centroid(image))
        assert type(found.frame) is type(wanted.frame)
        assert wanted.separation(found).to_value(u.arcsec) < 0.05 * 0.187
    # Also corners of the field, as the WCS alone has it.
    corners = np.array([[0, 0, 31, 31], [0, 31, 0, 31]])
    on_target = (corners - 15.5) / (0.187 / 0.396) + (result.shape[1] - 1) / 2
    separation = cube.wcs.pixel_to_world(*corners).separation(result.wcs.pixel_to_world(*on_target))
    assert separation.max().to_value(u.arcsec) < 0.05 * 0.187
    assert result.pixel_scale.to_value(u.arcsec) == pytest.approx(0.187, rel=2e-3)


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (16, 21)])
def test_total_flux_of_a_star(shape, make_translator, make_wcs, paint):
    place = ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    cube = BandCube(paint(shape, place, width=1.5)[None], unit="nmgy", wcs=make_wcs(shape), bands="r", survey="SDSS")
    result = make_translator("r", residual_only=True)(cube)
    flux = result.data.sum() * 10**(-0.4 * (30 - 22.5))  # adu of zero point 30 to nanomaggies
    assert flux == pytest.approx(cube.data.sum(), rel=0.01)
    assert result.shape[1:] == tuple({16: 34, 15: 33, 21: 45}[n] for n in shape)


def test_frame_and_equinox_are_kept(make_wcs):
    wcs = make_wcs()
    wcs.wcs.radesys, wcs.wcs.equinox = "FK5", 1975.0
    wcs.wcs.set()
    new = rescaled_wcs(wcs, (16, 16), (34, 34), 0.187 / 0.396)
    assert new.wcs.radesys == "FK5" and new.wcs.equinox == 1975.0
    assert isinstance(new.pixel_to_world(1, 2), SkyCoord)
    assert wcs.wcs.crpix[0] == 8.5


def test_same_grid_gives_the_same_wcs(make_wcs):
    wcs = make_wcs(angle=20.0)
    new = rescaled_wcs(wcs, (16, 16), (16, 16), 1.0)
    pixels = np.random.default_rng(1).uniform(-5, 20, (20, 2))
    assert_allclose(new.wcs_pix2world(pixels, 0), wcs.wcs_pix2world(pixels, 0), atol=1e-10)


def test_survives_a_fits_header(make_translator, make_cube):
    from astropy.wcs import WCS

    result = make_translator()(make_cube())
    again = WCS(result.wcs.to_header())
    corners = [[0, 0], [33, 33]]
    assert_allclose(again.wcs_pix2world(corners, 0), result.wcs.wcs_pix2world(corners, 0), atol=1e-9)


def test_spectral_axes_are_refused(make_wcs):
    from astropy.wcs import WCS

    wcs = WCS(naxis=3)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN", "FREQ"]
    with pytest.raises(ValueError, match="two-dimensional celestial WCS, got 3 axes"):
        rescaled_wcs(wcs, (16, 16), (34, 34), 0.5)


def test_places_off_the_sky_are_refused(make_wcs):
    wcs = make_wcs(ctype=("RA---SIN", "DEC--SIN"), scale=36000.0)
    with pytest.raises(ValueError, match="no sky position"):
        rescaled_wcs(wcs, (64, 64), (34, 34), 0.5)
