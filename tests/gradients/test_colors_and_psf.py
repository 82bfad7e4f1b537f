import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

from astro_galtrans.gradients import color_gradient_profile, color_map, match_psf, sed_gradients
from astro_galtrans.images import BandCube, split_bands
from astro_galtrans.surveys import get_survey

SDSS = get_survey("SDSS")
SIZE = 49
SIGMAS = np.array([1.9, 1.7, 1.3, 1.3, 1.3])


def moffat(sigma, size=SIZE):
    """A PSF with wings, of about the half-light radius of a Gaussian."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    psf = (1 + (x**2 + y**2) / (2.5 * sigma**2) / 1.6)**-2.5
    return psf / psf.sum()


def make_wcs():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 2.2]
    wcs.wcs.crpix = [(SIZE + 1) / 2] * 2
    wcs.wcs.cdelt = np.array([-0.396, 0.396]) / 3600
    return wcs


def make_cube(data, **kwargs):
    return BandCube(data, unit="nmgy", wcs=make_wcs(), bands="ugriz", survey="SDSS", **kwargs)


def star(psf):
    return 1000 * psf * np.array([1, 1, 2, 2, 2])[:, None, None]


def test_kernel_of_psf_images_matches_wings_too():
    psf = np.stack([moffat(sigma) for sigma in SIGMAS])
    cube = make_cube(star(psf), psf=psf)
    matched = match_psf(cube)
    assert matched.meta["psf_match"] == {"to": "u", "method": "kernel", "smoothed": ("g", "r", "i", "z")}
    error = np.abs(matched.psf - matched.psf[0]).max(axis=(1, 2)) / psf[0].max()
    assert np.all(error < [1e-9, 0.03, 0.01, 0.01, 0.01])
    assert matched.unit == cube.unit and matched.bands == cube.bands and matched.wcs is not None
    ratio = matched.data[2] / matched.data[1]
    assert np.allclose(ratio[14:35, 14:35], 2, rtol=0.02)
    assert np.abs(sed_gradients(matched).passband.data[1, 20:29, 20:29] - 2.5).max() < 1.0
    assert np.ptp(sed_gradients(cube).passband.data[1, 20:29, 20:29]) > 1.0


@pytest.mark.parametrize("broad", [1.35, 1.9])
def test_gaussian_has_exactly_the_missing_width(broad):
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    psf = np.stack([np.exp(-(x**2 + y**2) / (2 * sigma**2)) for sigma in (broad, 1.3)])
    cube = BandCube(psf, unit="nmgy", wcs=None, bands="ug", survey="SDSS", psf=psf)
    matched = match_psf(cube, method="gaussian")
    moments = (matched.psf * (x**2 + y**2)).sum(axis=(1, 2)) / 2
    assert moments[0] == pytest.approx(broad**2, rel=1e-3)
    assert moments[1] == pytest.approx(moments[0], rel=0.02)


def test_survey_widths_stand_in_for_psfs():
    cube = make_cube(np.full((5, SIZE, SIZE), 3.0))
    matched = match_psf(cube)
    assert matched.psf is None and matched.meta["psf_match"]["method"] == "gaussian"
    assert matched.meta["psf_match"]["to"] == "u"  # 1.44 arcsec, the broadest of SDSS
    assert np.allclose(matched.data, 3.0)
    assert isinstance(match_psf(split_bands(cube), survey="SDSS"), dict)


def test_uncertainty_after_matching_agrees_with_monte_carlo():
    rng = np.random.default_rng(7)
    psf = np.stack([moffat(sigma, 25) for sigma in SIGMAS])
    sigma = np.broadcast_to(rng.uniform(0.5, 1.5, (SIZE, SIZE)), (5, SIZE, SIZE))
    mask = np.zeros(sigma.shape, dtype=bool)
    mask[:, 20:24, 20:24] = True
    draws = [match_psf(make_cube(rng.normal(0, sigma), uncertainty=StdDevUncertainty(sigma), psf=psf, mask=mask))
             for _ in range(150)]
    assert np.array_equal(draws[0].mask, mask)
    spread = np.std([draw.data for draw in draws], axis=0)
    ratio = (draws[0].uncertainty.array / spread)[~mask]
    assert abs(np.mean(ratio) - 1) < 0.02 and np.all(np.abs(ratio - 1) < 0.35)
    assert draws[0].uncertainty.array[2, 5, 5] < 0.6 * sigma[2, 5, 5]


def test_matching_around_bad_pixels_keeps_a_flat_image_flat():
    data = np.full((5, SIZE, SIZE), 3.0)
    data[2, 10:14, 10:14] = np.nan
    matched = match_psf(make_cube(data))
    assert np.array_equal(matched.mask, np.isnan(data)) and np.allclose(matched.data[~matched.mask], 3.0)


def test_what_cannot_be_matched():
    cube = make_cube(np.ones((5, SIZE, SIZE)))
    with pytest.raises(ValueError, match="u, g is broader"):
        match_psf(cube, "r")
    with pytest.raises(ValueError, match="'kernel' needs"):
        match_psf(cube, method="kernel")
    with pytest.raises(ValueError, match="method"):
        match_psf(cube, method="sharpen")
    with pytest.raises(ValueError, match="neither psf nor survey"):
        match_psf(BandCube(np.ones((2, 4, 4)), unit="nmgy", wcs=None, bands="gr"))


def galaxy(noise=0.0, seed=0):
    """g - r = 0.5 in magnitudes everywhere, both of the broadest PSF."""
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    red = 50 * np.exp(-np.hypot(x, y) / 5)
    data = np.stack([red, red * 10**-0.2, red, red, red])
    return data + np.random.default_rng(seed).normal(0, 1, data.shape) * noise


def test_color_map_with_mask_error_and_wcs():
    sigma = np.full((5, SIZE, SIZE), 0.5)
    bad = np.zeros(sigma.shape, dtype=bool)
    bad[1, 24, 20] = True
    cube = make_cube(galaxy(0.5), uncertainty=StdDevUncertainty(sigma), mask=bad)
    colors = color_map(cube, match_psf=False)
    assert isinstance(colors, CCDData) and colors.unit == u.mag and colors.data.shape == (SIZE, SIZE)
    assert colors.wcs.pixel_to_world(3, 4).separation(cube.wcs.pixel_to_world(3, 4)).arcsec < 1e-9
    assert colors.mask[24, 20] and not colors.mask[24, 21]
    significant = (cube.data[1:3] > 1.5).all(axis=0)
    significant[24, 20] = False
    assert np.array_equal(colors.mask, ~significant)
    pull = (colors.data - 0.5)[~colors.mask] / colors.uncertainty.array[~colors.mask]
    bright = (galaxy()[1] > 7.5)[~colors.mask]  # fainter ones are there for their noise is positive
    assert abs(pull[bright].mean()) < 0.15 and 0.85 < pull[bright].std() < 1.15
    assert not np.isfinite(colors.data[(cube.data[1:3] <= 0).any(axis=0)]).any()


def test_color_map_is_matched_in_psf():
    psf = np.stack([moffat(sigma) for sigma in SIGMAS])
    cube = make_cube(star(psf), psf=psf)
    core = (slice(18, 31), slice(18, 31))
    matched, raw = color_map(cube), color_map(cube, match_psf=False)
    assert np.abs(matched.data[core] - 2.5 * np.log10(2)).max() < 0.02
    assert np.ptp(raw.data[core]) > 0.2
    assert matched.meta["psf_match"]["smoothed"] == ("r",) and raw.meta["psf_match"]["method"] is None
    assert color_map(cube, match_psf="gaussian").meta["psf_match"]["method"] == "gaussian"


def test_color_map_refuses_bad_arguments():
    cube = make_cube(galaxy())
    with pytest.raises(ValueError, match="significance"):
        color_map(cube, significance=-1)
    with pytest.raises(ValueError, match="match_psf"):
        color_map(cube, match_psf=None)
    with pytest.raises(ValueError, match="'y'"):
        color_map(cube, ("y", "r"))


def test_profile_without_a_false_gradient_around_a_center_on_the_sky():
    psf = np.stack([moffat(sigma, 31) for sigma in SIGMAS])
    point = np.zeros((SIZE, SIZE))
    point[24, 28] = 1.0
    extended = gaussian_filter(point, 2.0)
    data = np.stack([np.real(np.fft.ifft2(np.fft.fft2(extended) * np.fft.fft2(np.fft.ifftshift(
        np.pad(one, 9))))) for one in psf]) * 1000
    cube = make_cube(data, psf=psf)
    center = cube.wcs.pixel_to_world(28, 24)
    radii = [0, 0.8, 1.6, 2.4]
    matched = color_gradient_profile(cube, radii=radii, center=center)
    raw = color_gradient_profile(cube, radii=radii, center=(28, 24), match_psf=False)
    assert matched.meta["center"] == pytest.approx((28, 24), abs=1e-6)
    assert np.ptp(matched["color"].value) < 0.01 < 0.1 < np.ptp(raw["color"].value)


def test_ellipse_is_that_of_the_central_galaxy():
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    turned = (x + y) / np.sqrt(2), (y - x) / np.sqrt(2)
    data = np.stack([100 * np.exp(-np.hypot(turned[0], turned[1] / 0.5) / 4)] * 5)
    data[:, 3:8, 40:46] += 500  # a neighbor
    table = color_gradient_profile(make_cube(data), ellipse="moments", match_psf=False)
    assert table.meta["axis_ratio"] == pytest.approx(0.5, abs=0.08)
    assert table.meta["theta"].to_value(u.deg) == pytest.approx(45, abs=2)
    with pytest.raises(ValueError, match="not positive"):
        color_gradient_profile(make_cube(-data), ellipse="moments")
