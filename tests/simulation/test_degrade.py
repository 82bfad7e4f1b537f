"""Degrading an image to a shallower survey: light, places, widths and noise."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty
from astropy.wcs import WCS, Sip

from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import BandCube, split_bands
from astro_galtrans.simulation import DegradeConfig, degrade
from astro_galtrans.simulation._degrade import Degrader
from astro_galtrans.surveys import get_survey

galsim = pytest.importorskip("galsim")
SDSS, CFHTLS = get_survey("SDSS"), get_survey("CFHTLS")
TO_NMGY = 10 ** (0.4 * (22.5 - 30))


def star(fwhm, n, scale, x=0.0, y=0.0, beta=3.5):
    """A Moffat star of flux 1, ``x`` and ``y`` arcsec off the middle."""
    profile = galsim.Moffat(beta=beta, fwhm=fwhm).shift(x, y)
    return profile.drawImage(nx=n, ny=n, scale=scale, method="no_pixel").array.astype(float)


def tan(n, scale, at=(150.0, 2.0)):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], at
    wcs.wcs.crpix = [(n + 1) / 2 + 7, (n + 1) / 2 - 3]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs


def deep(n=136, x=0.13, y=-0.4, flux=1e4, **parts):
    """A star in CFHTLS."""
    scale = CFHTLS.pixel_scale.value
    data = np.stack([flux * star(band.psf_fwhm.value, n, scale, x, y) for band in CFHTLS])
    return BandCube(data, **{"unit": "adu", "bands": "ugriz", "survey": "CFHTLS", "wcs": tan(n, scale), **parts})


def moments(image):
    y, x = np.indices(image.shape)
    return np.array([np.sum(x * image), np.sum(y * image)]) / image.sum()


@pytest.mark.parametrize("matching", ["kernel", "gaussian"])
def test_light_of_a_compact_source_is_kept(matching):
    cube = deep()
    made = degrade(cube, SDSS, noise=False, matching=matching)
    assert made.unit == SDSS.unit and made.survey.name == "SDSS" and made.shape == (5, 64, 64)
    expected = cube.data.sum(axis=(1, 2)) * TO_NMGY
    np.testing.assert_allclose(np.nansum(made.data, axis=(1, 2)), expected, rtol=1e-3)


def test_the_star_is_that_of_the_shallow_survey():
    made = degrade(deep(), SDSS, noise=False)
    for plane, band in zip(made.data, SDSS):
        expected = 1e4 * TO_NMGY * star(band.psf_fwhm.value, 64, 0.396, 0.13, -0.4)
        assert np.nanmax(np.abs(plane - expected)) < 1e-3 * expected.max()


def test_places_on_the_sky_are_kept():
    cube = deep(x=0.0, y=0.0)
    x, y = cube.wcs.world_to_pixel(cube.wcs.pixel_to_world(67.5, 67.5))
    assert (float(x), float(y)) == pytest.approx((67.5, 67.5))
    made = degrade(cube, SDSS, noise=False, matching="gaussian")
    found = moments(np.nan_to_num(made.data[2]))
    expected = np.array(made.wcs.world_to_pixel(cube.wcs.pixel_to_world(67.5, 67.5)), dtype=float)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert made.pixel_scale.to_value(u.arcsec) == pytest.approx(0.396, rel=1e-4)


@pytest.mark.parametrize("off", [(3.3, -5.1), (-4.7, 2.2)])
def test_places_are_kept_with_distortion_and_rotation(off):
    n, scale = 136, 0.187
    wcs = tan(n, scale)
    angle = np.radians(30)
    matrix = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale / 3600
    wcs.wcs.cdelt = [1, 1]
    wcs.wcs.cd = matrix
    a = np.zeros((3, 3))
    a[2, 0], a[0, 2] = 1e-4, -5e-5
    wcs.sip = Sip(a, a.T, None, None, wcs.wcs.crpix)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.set()
    cube = deep(n, *(np.array(off) * scale), wcs=wcs)
    survey_scale = 2 * cube.pixel_scale
    shallow = type(SDSS)("half", SDSS.bands, survey_scale, SDSS.unit)
    made = degrade(cube, shallow, noise=False)
    # the star where the WCS of the result has its place
    sky = cube.wcs.pixel_to_world((n - 1) / 2 + off[0], (n - 1) / 2 + off[1])
    x, y = np.array(made.wcs.world_to_pixel(sky), dtype=float) - (made.shape[1] - 1) / 2
    side = survey_scale.value
    expected = 1e4 * TO_NMGY * star(SDSS["g"].psf_fwhm.value, made.shape[1], side, x * side, y * side)
    assert np.nanmax(np.abs(made.data[1] - expected)) < 0.01 * expected.max()
    # and for every pixel through the two WCS, to a hundredth of a pixel
    places = np.array([[0.0, 40.0, 67.0], [5.0, 60.0, 10.0]])
    old = (places - (np.array(made.shape[:0:-1])[:, None] - 1) / 2) * 2 + (n - 1) / 2
    distance = made.wcs.pixel_to_world(*places).separation(cube.wcs.pixel_to_world(*old))
    assert distance.max() < 1e-4 * u.arcsec


def test_width_of_the_psf():
    made = degrade(deep(), SDSS, noise=False)
    for psf, band in zip(made.psf, SDSS):
        expected = star(band.psf_fwhm.value, psf.shape[0], 0.396)
        assert psf.sum() == pytest.approx(1)
        # the width is in the central share: a Moffat's is as its FWHM to the power of -2
        assert (expected.max() / psf.max()) ** 0.5 == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("matching", ["kernel", "gaussian"])
def test_psf_images(matching):
    """Of another shape than Moffat of beta 3.5, and not in the middle of their pixels."""
    given = np.stack([star(band.psf_fwhm.value, 41, 0.187, 0.03, -0.05, beta=2.5) for band in CFHTLS])
    data = np.stack([1e4 * star(band.psf_fwhm.value, 136, 0.187, 0.2, 0.3, beta=2.5) for band in CFHTLS])
    cube = deep(psf=given)
    cube = BandCube(data, unit="adu", bands="ugriz", survey="CFHTLS", wcs=cube.wcs, psf=given)
    wanted = np.stack([star(1.5, 31, 0.396, -0.08, 0.04, beta=4) for _ in SDSS])
    made = degrade(cube, SDSS, noise=False, target_psf=wanted, matching=matching)
    expected = 1e4 * TO_NMGY * star(1.5, 64, 0.396, 0.2, 0.3, beta=4)
    tolerance = 0.01 if matching == "kernel" else 0.2  # the wings that the image had are kept
    for plane in made.data:
        assert np.nanmax(np.abs(plane - expected)) < tolerance * expected.max()
    at = [moments(np.where(image > 0.3 * np.nanmax(image), image, 0)) for image in (made.data[2], expected)]
    np.testing.assert_allclose(*at, atol=0.01)


def test_to_itself_is_the_identity():
    rng = np.random.default_rng(1)
    data = rng.normal(size=(5, 40, 50)).astype(np.float32)
    mask = np.zeros(data.shape, dtype=bool)
    mask[2, 10, 12] = True
    cube = BandCube(data, unit="nmgy", bands="ugriz", survey="SDSS", wcs=tan(50, 0.396), mask=mask,
                    uncertainty=StdDevUncertainty(rng.uniform(1, 2, data.shape).astype(np.float32)),
                    meta={"object": "M 51"})
    made = degrade(cube, "SDSS", noise=False)
    good = ~mask
    np.testing.assert_allclose(made.data[good], data[good], atol=2e-6)
    np.testing.assert_array_equal(made.mask, mask)
    np.testing.assert_allclose(made.uncertainty.array[good], cube.uncertainty.array[good], rtol=1e-5)
    np.testing.assert_allclose(made.wcs.wcs.crpix, cube.wcs.wcs.crpix)
    assert made.meta["object"] == "M 51" and cube.meta == {"object": "M 51"}
    assert np.array_equal(cube.data, data)


def test_noise_is_that_of_the_survey():
    rng = np.random.default_rng(3)
    n = 600
    data = rng.normal(size=(5, n, n)) * CFHTLS.sky_noise[:, None, None]
    cube = BandCube(data, unit="adu", bands="ugriz", survey="CFHTLS", wcs=tan(n, 0.187))
    made = degrade(cube, SDSS, seed=2)
    for plane, hidden, band, deviation in zip(made.data, made.mask, SDSS, made.uncertainty.array):
        assert np.std(plane[~hidden]) == pytest.approx(band.sky_noise, rel=0.02)
        assert np.median(deviation) == pytest.approx(band.sky_noise, rel=0.02)
    # most noise is the survey's here: what is left of the image's own is in meta, and right
    quiet = degrade(cube, SDSS, noise=False)
    for plane, hidden, left in zip(quiet.data, quiet.mask, quiet.meta["degrade"]["noise_left"]):
        assert np.std(plane[~hidden]) == pytest.approx(left, rel=0.04)


def test_own_noise_is_taken_off_in_quadrature():
    """An image almost as noisy as the survey."""
    rng, n = np.random.default_rng(4), 500
    sigma = 6.5 * CFHTLS.sky_noise[:, None, None]
    cube = BandCube(rng.normal(size=(5, n, n)) * sigma, unit="adu", bands="ugriz", survey="CFHTLS",
                    wcs=tan(n, 0.187), uncertainty=StdDevUncertainty(np.ones((5, n, n)) * sigma))
    made = degrade(cube.select_bands("ri"), SDSS, seed=2)
    for plane, hidden, left, band in zip(made.data, made.mask, made.meta["degrade"]["noise_left"], made.survey):
        assert left > 0.09 * band.sky_noise
        assert np.std(plane[~hidden]) == pytest.approx(band.sky_noise, rel=0.02)
    with pytest.raises(ValueError, match="image.*band r"):
        degrade(cube.select_bands("r"), SDSS, seed=2, noise_left=[0.05])


def test_photons_of_the_source():
    flux = 40 / TO_NMGY
    cube = deep(64, flux=flux).select_bands("ugr")
    degrader = Degrader(cube, SDSS)
    clean = degrader(cube).data
    many = np.stack([degrader(cube, np.random.default_rng(seed), 0).data for seed in range(60)])
    peak = np.unravel_index(np.nanargmax(clean[1]), clean[1].shape)
    square = np.s_[peak[0] - 1:peak[0] + 2, peak[1] - 1:peak[1] + 2]
    found = np.std(many[:, 1][(slice(None), *square)] - clean[1][square], axis=0)
    band = SDSS["g"]
    assert np.mean(found**2) == pytest.approx(np.mean(band.sky_noise**2 + clean[1][square] / band.gain), rel=0.12)


def test_the_seed_decides():
    cube = deep(64)
    one, same, other = (degrade(cube, SDSS, seed=seed).data for seed in (1, 1, 2))
    assert np.array_equal(one, same, equal_nan=True) and not np.array_equal(one, other, equal_nan=True)
    with pytest.raises(ValueError, match="seed"):
        degrade(cube, SDSS)


def test_a_sharper_target_is_refused():
    with pytest.raises(ValueError, match="target_psf of band u"):
        degrade(degrade(deep(), SDSS, noise=False), CFHTLS, noise=False)
    # a larger FWHM, but a core with more light at small scales than a Gaussian of almost that width has
    y, x = np.indices((41, 41)) - 20
    given = np.exp(-(x**2 + y**2) * 0.187**2 / (2 * (1.2 / 2.3548)**2))
    target = 0.6 * star(1.15, 41, 0.396, beta=2) + 0.4 * star(3.0, 41, 0.396)
    with pytest.raises(ValueError, match="target_psf.*at some scales"):
        degrade(deep(psf=given), SDSS, noise=False, target_psf=target)
    assert degrade(deep(psf=given), SDSS, noise=False, target_psf=target, matching="gaussian").survey.name == "SDSS"


def test_bad_pixels():
    cube = deep()
    data = cube.data.copy()
    data[2, 30:33, 40] = np.nan
    made = degrade(BandCube(data, unit="adu", bands="ugriz", survey="CFHTLS", wcs=cube.wcs), SDSS, noise=False)
    assert np.isfinite(made.data).all()
    y, x = (np.array([31, 40]) - 67.5) / made.meta["degrade"]["pixel_side_ratio"] + 31.5
    assert made.mask[2, int(round(y)), int(round(x))] and not made.mask[1, int(round(y)), int(round(x))]
    assert made.mask[2].sum() - made.mask[1].sum() < 40
    assert not made.mask[:, 10:-10, 28:-10].any()


def test_settings_replace_the_configuration():
    cube, config = deep(64), DegradeConfig(target_psf=3 * u.arcsec, matching="gaussian")
    one = degrade(cube, SDSS, noise=False, config=config, target_psf=2 * u.arcsec)
    other = degrade(cube, SDSS, noise=False, target_psf=2 * u.arcsec, matching="gaussian")
    np.testing.assert_array_equal(one.data, other.data)
    with pytest.raises(TypeError, match="target_fwhm.*target_psf"):
        degrade(cube, SDSS, noise=False, target_fwhm=2 * u.arcsec)


def test_kinds_in_and_out():
    cube = deep(64)
    planes = degrade(split_bands(cube), SDSS, noise=False)
    assert set(planes) == set("ugriz") and isinstance(planes["r"], CCDData)
    np.testing.assert_allclose(planes["r"].data, degrade(cube, SDSS, noise=False).data[2])
    inverse = InverseVariance(np.ones(cube.shape))
    made = degrade(BandCube(cube, bands="ugriz", survey="CFHTLS", uncertainty=inverse), SDSS, seed=1)
    assert isinstance(made.uncertainty, InverseVariance)
    with pytest.raises(TypeError):
        degrade(cube.data, SDSS, seed=1)
    with pytest.raises(ValueError, match="psf"):
        degrade(NDData(cube.data, unit="nmgy", wcs=cube.wcs, meta={"bands": "ugriz"}), SDSS, noise=False)


def test_without_a_wcs():
    cube = deep(64)
    bare = BandCube(cube.data, unit="adu", bands="ugriz", survey="CFHTLS")
    with pytest.raises(ValueError, match="pixel_scale"):
        degrade(bare, SDSS, noise=False)
    made = degrade(bare, SDSS, noise=False, pixel_scale=CFHTLS.pixel_scale)
    assert made.meta["degrade"]["plain_wcs"]
    np.testing.assert_allclose(made.data, degrade(cube, SDSS, noise=False).data, atol=1e-6)
    with pytest.raises(ValueError, match="pixel_scale"):
        degrade(cube, SDSS, noise=False, pixel_scale=CFHTLS.pixel_scale)


def test_bands_by_name_and_by_wavelength():
    cube = deep(64).select_bands("gr")
    assert degrade(cube, SDSS, noise=False).bands == ("g", "r")
    renamed = type(CFHTLS)("named", [
        type(band)(band.name.upper(), band.wavelength, band.response, band.zero_point, band.psf_fwhm, band.sky_noise,
                   band.gain) for band in CFHTLS.select("gi")], CFHTLS.pixel_scale, CFHTLS.unit)
    cube = BandCube(cube.data, unit="adu", bands="GI", survey=renamed, wcs=cube.wcs)
    made = degrade(cube, SDSS, noise=False)
    assert made.meta["degrade"]["bands"] == {"g": "G", "i": "I"}
    assert degrade(cube, SDSS, noise=False, bands={"r": "I"}).bands == ("r",)
    with pytest.raises(BandMismatchError, match="bands"):
        degrade(cube, SDSS, noise=False, bands={"r": "I", "i": "I"})
    plain = BandCube(cube.data, unit="nmgy", bands="GI", wcs=cube.wcs)
    with pytest.raises(BandMismatchError, match="none of the image's bands"):
        degrade(plain, SDSS, noise=False, psf=0.7 * u.arcsec)


@pytest.mark.parametrize("options, message", [
    ({"matching": "wiener"}, "matching"),
    ({"shape": (3,)}, "shape"), ({"psf": 1 * u.s}, "psf"),
    ({"psf": -1 * u.arcsec}, "psf"), ({"target_psf": np.ones((2, 5, 5))}, "target_psf"),
])
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        degrade(deep(64), SDSS, noise=False, **options)
