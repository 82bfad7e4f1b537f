import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import InverseVariance, StdDevUncertainty
from astropy.wcs import WCS

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.gradients import integrate_gradients, sed_gradients
from astro_galtrans.images import BandCube, split_bands
from astro_galtrans.surveys import get_survey

SDSS = get_survey("SDSS")


def make_wcs(scale=0.396, size=32, rotation=30.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 2.2]
    wcs.wcs.crpix = [(size + 1) / 2] * 2
    angle = np.radians(rotation)
    wcs.wcs.cd = scale / 3600 * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return wcs


def galaxy(size=32, slope=0.0, amplitude=50.0):
    """Exponential profile in nmgy with f_nu proportional to wavelength**slope."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    profile = amplitude * np.exp(-np.hypot(x, 0.7 * y + 0.2) / 4)
    wavelength = np.array([band.effective_wavelength.value for band in SDSS])
    return profile * ((wavelength / 5000.0)**slope)[:, None, None]


def make_cube(data, **kwargs):
    return BandCube(data, unit="nmgy", wcs=make_wcs(size=data.shape[-1]), bands="ugriz", survey="SDSS", **kwargs)


@pytest.mark.parametrize("amplitude", [1000.0, 0.05, 0.0, -0.02])
def test_flat_source_has_no_passband_gradient(amplitude):
    gradients = sed_gradients(make_cube(galaxy(amplitude=amplitude)))
    assert np.abs(gradients.passband.data).max() < 1e-8


def test_flat_source_in_counts_of_another_survey():
    data = np.full((5, 8, 8), 500.0)
    for unit, survey in (("adu", "CFHTLS"), ("Jy", "CFHTLS")):
        cube = BandCube(data, unit=unit, wcs=None, bands="ugriz", survey=survey)
        assert np.abs(sed_gradients(cube).passband.data).max() < 1e-8


@pytest.mark.parametrize("slope", [-2.0, 1.0, 3.0])
def test_power_law_is_recovered(slope):
    gradients = sed_gradients(make_cube(galaxy(slope=slope, amplitude=5000.0)))
    center = gradients.passband.data[:, 12:20, 12:20]
    assert np.allclose(center, slope, atol=1e-3)
    assert gradients.passband.unit == u.dimensionless_unscaled


def test_spatial_gradient_is_per_arcsec_whatever_the_pixel():
    for scale in (0.2, 0.396):
        x = scale * np.arange(24)
        data = np.broadcast_to(1e4 * np.exp(-x / 2.0), (5, 24, 24))
        wcs = make_wcs(scale, 24)
        gradients = sed_gradients(BandCube(data, unit="nmgy", wcs=wcs, bands="ugriz", survey="SDSS"))
        assert gradients.x.unit == u.arcsec**-1
        assert np.allclose(gradients.x.data, -0.5, atol=1e-5)
        assert np.allclose(gradients.y.data, 0.0, atol=1e-12)


def test_sides_of_oblong_pixels_and_swapped_axes():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["DEC--TAN", "RA---TAN"]
    wcs.wcs.crval = [40.0, 150.0]
    wcs.wcs.crpix = [4.5, 4.5]
    wcs.wcs.cdelt = np.array([0.2, 0.5]) / 3600
    cube = BandCube(np.ones((1, 8, 8)), unit="nmgy", wcs=wcs, bands="r", survey="SDSS")
    assert sed_gradients(cube).pixel_sides == pytest.approx((0.2, 0.5), rel=1e-6)


def test_element_wcs_is_between_the_two_pixels():
    gradients = sed_gradients(make_cube(galaxy()))
    image = make_wcs().pixel_to_world(10.5, 7.0)
    element = gradients.x.meta["celestial_wcs"].pixel_to_world(10, 7)
    assert image.separation(element).arcsec < 1e-6


def test_uncertainty_agrees_with_monte_carlo():
    rng = np.random.default_rng(4)
    sigma = np.full((5, 6, 6), 0.05)
    clean = np.linspace(0.2, 3.0, 5 * 36).reshape(5, 6, 6)  # from 4 to 60 sigma
    scale = 0.05 * (22.5 * u.ABmag).to(u.Jy)
    stated = sed_gradients(make_cube(clean, uncertainty=StdDevUncertainty(sigma)), softening=scale)
    noisy = [make_cube(clean + rng.normal(0, sigma), uncertainty=StdDevUncertainty(sigma)) for _ in range(600)]
    draws = [sed_gradients(cube, softening=scale) for cube in noisy]
    for name in ("x", "y", "passband"):
        spread = np.std([getattr(draw, name).data for draw in draws], axis=0)
        ratio = getattr(stated, name).uncertainty.array / spread
        assert abs(ratio.mean() - 1) < 0.02
        assert np.all(np.abs(ratio - 1) < 0.2)


def test_uncertainty_at_zero_flux_errs_on_the_safe_side():
    rng = np.random.default_rng(5)
    sigma = np.full((5, 16, 16), 0.05)
    noise = make_cube(rng.normal(0, sigma), uncertainty=StdDevUncertainty(sigma))
    gradients = sed_gradients(noise)
    stated = np.sqrt(np.mean(gradients.x.uncertainty.array**2))
    assert 0.95 < stated / gradients.x.data.std() < 1.25


def test_masked_and_non_finite_pixels():
    data = galaxy()
    data[1, 5, 6] = np.nan
    mask = np.zeros(data.shape, dtype=bool)
    mask[2, 10, 10] = True
    gradients = sed_gradients(make_cube(data, mask=mask))
    assert gradients.x.mask.sum() == gradients.y.mask.sum() == 4
    assert gradients.passband.mask.sum() == 4
    assert gradients.x.mask[1, 5, 5] and gradients.x.mask[1, 5, 6] and gradients.y.mask[2, 9, 10]
    assert np.isnan(gradients.x.data[gradients.x.mask]).all() and np.isfinite(gradients.x.data[~gradients.x.mask]).all()


def test_inverse_variance_of_zero_is_masked():
    data = galaxy()
    weight = np.full(data.shape, 400.0)
    weight[0, 3, 3] = 0
    gradients = sed_gradients(make_cube(data, uncertainty=InverseVariance(weight)))
    assert gradients.x.mask.sum() == 2
    assert gradients.softening[0].to_value(u.Jy) == pytest.approx(0.05 * (22.5 * u.ABmag).to_value(u.Jy), rel=1e-6)


def test_dict_of_ccddata_and_input_unchanged():
    cube = make_cube(galaxy())
    before = cube.data.copy()
    parts = split_bands(cube)
    from_dict = sed_gradients(parts, survey="SDSS")
    assert np.allclose(from_dict.x.data, sed_gradients(cube).x.data)
    assert np.array_equal(cube.data, before)


def test_what_is_missing_is_named():
    cube = BandCube(np.ones((2, 4, 4)), unit="nmgy", wcs=None, bands="gr")
    with pytest.raises(ValueError, match="survey"):
        sed_gradients(cube)
    with pytest.raises(ValueError, match="softening"):
        sed_gradients(make_cube(galaxy()), softening=-1 * u.Jy)
    with pytest.raises(ValueError, match="no good pixel in band g"):
        mask = np.zeros((5, 32, 32), dtype=bool)
        mask[1] = True
        sed_gradients(make_cube(galaxy(), mask=mask))


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_integration_gives_the_image_back(noise):
    data = galaxy(slope=1.5) + np.random.default_rng(1).normal(0, noise, (5, 32, 32))
    cube = make_cube(data)
    image = integrate_gradients(sed_gradients(cube), unit="nmgy")
    assert image.bands == cube.bands and image.wcs is not None and image.mask is None
    assert np.abs(image.data - data).max() < 1e-6 * np.abs(data).max()
    assert np.allclose(image.data, data, rtol=1e-6, atol=1e-6 * SDSS.sky_noise.min())


def test_integration_with_another_total_flux_and_anchor():
    cube = make_cube(galaxy())
    gradients = sed_gradients(cube)
    image = integrate_gradients(gradients, anchor="u", total_flux=gradients.total_flux[0] * 2, unit="nmgy")
    assert image.data[0].sum() == pytest.approx(2 * cube.data[0].sum(), rel=1e-9)


def test_integration_around_masked_pixels():
    data = galaxy(slope=1.0)
    mask = np.zeros(data.shape, dtype=bool)
    mask[1, 10:14, 10:14] = True
    image = integrate_gradients(sed_gradients(make_cube(data, mask=mask)), unit="nmgy")
    assert np.array_equal(image.mask, mask)
    assert np.allclose(image.data[~mask], data[~mask], rtol=1e-6)


def test_integration_of_a_divided_image_warns():
    mask = np.zeros((5, 32, 32), dtype=bool)
    mask[:, :, 20] = True
    gradients = sed_gradients(make_cube(galaxy(slope=1.0), mask=mask))
    with pytest.warns(GaltransWarning, match="cut off"):
        image = integrate_gradients(gradients)
    assert image.mask[:, :, 20:].all() and not image.mask[:, :, :20].any()


def test_integration_refuses_what_is_not_there():
    gradients = sed_gradients(make_cube(galaxy()))
    with pytest.raises(ValueError, match="anchor must be one of"):
        integrate_gradients(gradients, anchor="y")
