import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS
from photutils.aperture import CircularAperture, SkyCircularAperture

from astro_galtrans.gradients import (
    annulus_weights, aperture_weights, color_gradient_profile, radial_color_profiles, radial_fluxes, radial_slopes,
    sed_spectrum,
)
from astro_galtrans.images import BandCube
from astro_galtrans.surveys import get_survey

SDSS = get_survey("SDSS")
SIZE = 65


def make_wcs():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 2.2]
    wcs.wcs.crpix = [(SIZE + 1) / 2] * 2
    wcs.wcs.cdelt = np.array([-0.396, 0.396]) / 3600
    return wcs


def radius(axis_ratio=1.0):
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    return 0.396 * np.hypot(x, y / axis_ratio)


def graded(slope=-0.3, axis_ratio=1.0):
    """A galaxy with g - r = 0.7 + slope log10(r / arcsec), in nmgy."""
    r = np.maximum(radius(axis_ratio), 0.1)
    red = 20 * np.exp(-r / 4)
    data = np.stack([red, red * 10**(-0.4 * (0.7 + slope * np.log10(r))), red, red, red])
    return data


def make_cube(data, **kwargs):
    return BandCube(data, unit="nmgy", wcs=make_wcs(), bands="ugriz", survey="SDSS", **kwargs)


def test_spectrum_of_the_whole_image_in_jansky():
    data = graded()
    spectrum = sed_spectrum(make_cube(data, uncertainty=StdDevUncertainty(np.full(data.shape, 0.1))))
    assert spectrum.flux.unit == u.Jy and spectrum.flux.shape == (5,)
    nmgy = (22.5 * u.ABmag).to_value(u.Jy)
    assert np.allclose(spectrum.flux.value, data.sum(axis=(1, 2)) * nmgy)
    assert np.allclose(spectrum.uncertainty.array, 0.1 * SIZE * nmgy)
    assert np.allclose(spectrum.spectral_axis.to_value(u.AA), [b.effective_wavelength.value for b in SDSS])


def test_apertures_agree_and_leave_bad_pixels_out():
    data = graded()
    cube = make_cube(data)
    pixel = sed_spectrum(cube, CircularAperture((32, 32), 10))
    center = make_wcs().pixel_to_world(32, 32)
    sky = sed_spectrum(cube, SkyCircularAperture(SkyCoord(center), 3.96 * u.arcsec))
    assert np.allclose(pixel.flux.value, sky.flux.value, rtol=1e-5)
    mask = np.zeros(data.shape, dtype=bool)
    mask[3, 30:32, 30:32] = True
    masked = sed_spectrum(make_cube(data, mask=mask), radius() < 4)
    assert masked.meta["area"] < 1
    assert masked.flux.value[0] / masked.flux.value[2] == pytest.approx(1.0)


def test_spectrum_per_pixel():
    data = graded()
    data[2, 0, 0] = np.nan
    spectrum = sed_spectrum(make_cube(data), "pixel")
    assert spectrum.flux.shape == (SIZE, SIZE, 5) and spectrum.mask.sum() == 1
    assert spectrum[32, 32, :].flux.shape == (5,)


def test_segments_of_a_segmentation_map():
    from photutils.segmentation import SegmentationImage

    data = graded()
    cube = make_cube(data, uncertainty=StdDevUncertainty(np.full(data.shape, 0.1)))
    segments = np.zeros((SIZE, SIZE), dtype=int)
    segments[radius() < 4] = 7
    segments[:5, :5] = 2
    one = sed_spectrum(cube, segments, label=7)
    weights = sed_spectrum(cube, radius() < 4)
    assert np.allclose(one.flux.value, weights.flux.value)
    assert np.allclose(one.uncertainty.array, weights.uncertainty.array) and one.meta["area"] == 1
    both = sed_spectrum(cube, SegmentationImage(segments))
    assert both.flux.shape == (2, 5) and both.meta["labels"].tolist() == [2, 7]
    assert np.allclose(both[1].flux.value, one.flux.value)
    assert sed_spectrum(cube, segments, label=[7]).flux.shape == (1, 5)
    with pytest.raises(ValueError, match=r"\[2, 7\]"):
        sed_spectrum(cube, segments, label=3)
    with pytest.raises(ValueError, match="needs a segmentation map"):
        sed_spectrum(cube, radius() < 4, label=1)


def test_segment_without_a_good_pixel_is_masked():
    mask = np.zeros((5, SIZE, SIZE), dtype=bool)
    mask[1, :5, :5] = True
    segments = np.zeros((SIZE, SIZE), dtype=int)
    segments[radius() < 4], segments[:5, :5] = 7, 2
    cube = make_cube(graded(), mask=mask)
    both = sed_spectrum(cube, segments)
    assert both.mask.tolist() == [[True] * 5, [False] * 5] and both.meta["area"].tolist() == [0, 1]
    with pytest.raises(ValueError, match="no pixel that is good"):
        sed_spectrum(cube, segments, label=2)


def test_aperture_at_several_positions():
    cube = make_cube(graded())
    several = sed_spectrum(cube, CircularAperture([(20, 20), (32, 32)], 4))
    assert several.flux.shape == (2, 5) and several.meta["area"].shape == (2,)
    assert np.allclose(several[1].flux.value, sed_spectrum(cube, CircularAperture((32, 32), 4)).flux.value)


def test_pixel_spectra_know_sky_and_wavelength():
    pytest.importorskip("ndcube")
    spectrum = sed_spectrum(make_cube(graded()), "pixel")
    wavelength, sky = spectrum.wcs.pixel_to_world(2, 10, 20)
    assert wavelength.to_value(u.AA) == pytest.approx(SDSS["r"].effective_wavelength.value)
    assert sky.separation(make_wcs().pixel_to_world(10, 20)).arcsec < 1e-6
    assert np.allclose(spectrum.spectral_axis.value, [band.effective_wavelength.value for band in SDSS])
    assert spectrum[20, 10, :].spectral_axis.shape == (5,)


@pytest.mark.parametrize(("aperture", "message"), [
    ("row", "'pixel'"), (np.ones((3, 3)), "shape"), (np.zeros((SIZE, SIZE)), "positive"),
    (CircularAperture((900, 900), 3), "overlap"), (np.ones((3, 3), dtype=int), "segmentation map of shape"),
])
def test_apertures_that_do_not_fit(aperture, message):
    with pytest.raises(ValueError, match=message):
        sed_spectrum(make_cube(graded()), aperture)


@pytest.mark.parametrize("slope", [0.0, -0.3, 0.5])
def test_slope_of_the_color_is_recovered(slope):
    table = color_gradient_profile(make_cube(graded(slope)), radii=[1, 2, 3, 5, 8] * u.arcsec, match_psf=False)
    assert table.meta["slope"].to_value(u.mag / u.dex) == pytest.approx(slope, abs=0.01)
    assert table["color"].unit == u.mag
    expected = 0.7 + slope * np.log10(table["radius"].value)
    assert np.allclose(table["color"].value, expected, atol=0.02)


def test_ellipse_from_moments_follows_the_galaxy():
    cube = make_cube(graded(-0.4, axis_ratio=0.5))
    table = color_gradient_profile(cube, ellipse="moments", radii=[1, 2, 3, 5, 8], match_psf=False)
    assert table.meta["axis_ratio"] == pytest.approx(0.5, abs=0.07)
    assert table.meta["slope"].value == pytest.approx(-0.4, abs=0.03)


def test_errors_agree_with_monte_carlo():
    rng = np.random.default_rng(2)
    sigma = np.full((5, SIZE, SIZE), 0.3)
    draws, stated = [], None
    for _ in range(120):
        cube = make_cube(graded() + rng.normal(0, sigma), uncertainty=StdDevUncertainty(sigma))
        stated = color_gradient_profile(cube, radii=[1, 2, 4, 6])
        draws.append([*stated["color"].value, stated.meta["slope"].value])
    spread = np.std(draws, axis=0)
    stated_errors = np.array([*stated["color_err"].value, stated.meta["slope_err"].value])
    assert np.all(np.abs(stated_errors / spread - 1) < 0.3)


def test_psf_matching_removes_a_false_gradient():
    from scipy.ndimage import gaussian_filter

    point = np.zeros((SIZE, SIZE))
    point[32, 32] = 1000.0
    sigmas = np.array([1.9, 1.9, 1.3, 1.3, 1.3])
    data = np.stack([gaussian_filter(point, s, truncate=6) for s in sigmas])
    psf = data[:, 12:53, 12:53] / 1000
    raw = color_gradient_profile(make_cube(data, psf=psf), radii=[0, 1, 2], match_psf=False)
    matched = color_gradient_profile(make_cube(data, psf=psf), radii=[0, 1, 2])
    assert np.ptp(raw["color"].value) > 0.5
    assert np.ptp(matched["color"].value) < 0.01
    assert matched.meta["psf_match"] == {"to": "g", "method": "kernel", "smoothed": ("r",)}


def test_weights_have_the_area_of_the_circle():
    weights = aperture_weights((SIZE, SIZE), 4.0, 0.396 * u.arcsec)
    assert weights.sum() * 0.396**2 == pytest.approx(np.pi * 16, rel=2e-3)
    rings = annulus_weights((SIZE, SIZE), [0, 2, 4], 0.396)
    assert np.allclose(rings.sum(axis=0), weights)


def test_many_galaxies_agree_with_one():
    data = graded(-0.3)
    radii = [1, 2, 3, 5]
    many = radial_color_profiles(np.stack([data, 3 * data]), "SDSS", ("g", "r"), radii)
    one = color_gradient_profile(make_cube(data), radii=radii, match_psf=False)
    assert np.allclose(many[0], one["color"].value, atol=3e-3)
    assert np.allclose(many[0], many[1])
    assert radial_slopes(many, radii)[0] == pytest.approx(-0.3, abs=0.02)


def test_negative_flux_has_no_color():
    profile = radial_color_profiles(-np.ones((1, 5, 16, 16)), "SDSS", ("g", "r"), [0, 1, 2])
    assert np.isnan(profile).all() and np.isnan(radial_slopes(profile, [0, 1, 2])).all()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="radii"):
        annulus_weights((8, 8), [2, 1], 0.4)
    with pytest.raises(ValueError, match="flux must have shape"):
        radial_color_profiles(np.ones((5, 8, 8)), "SDSS", ("g", "r"), [0, 1])
    with pytest.raises(ValueError, match="flux must have shape"):
        radial_fluxes(np.ones((1, 5, 9, 9)), np.ones((1, 8, 8)))
    with pytest.raises(ValueError, match="two different"):
        radial_color_profiles(np.ones((1, 5, 8, 8)), "SDSS", ("g", "g"), [0, 1])
    with pytest.raises(ValueError, match="'y'"):
        color_gradient_profile(make_cube(graded()), ("g", "y"))
    with pytest.raises(ValueError, match="axis_ratio"):
        color_gradient_profile(make_cube(graded()), axis_ratio=0.0)
