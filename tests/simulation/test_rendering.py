import astropy.units as u
import galsim
import numpy as np
import pytest

from astro_galtrans.simulation._render import Renderer, isolated
from astro_galtrans.simulation._seds import MAX_REDSHIFT, SEDGrid, _templates, calzetti, reference_grid, sed_grid
from astro_galtrans.simulation._template_galaxies import TemplateSEDs
from astro_galtrans.surveys import Band, Survey, band_flux_density, get_survey


def one_band(scale, fwhm):
    r = get_survey("SDSS")["r"]
    band = Band("r", r.wavelength, r.response, 22.5, fwhm * u.arcsec, 0.02, 1000.0)
    return Survey("one band", (band,), scale * u.arcsec, "nmgy")


@pytest.mark.parametrize(("scale", "fwhm", "size"), [(0.396, 1.3, 48), (0.187, 0.7, 101), (0.5, 0.6, 40)])
def test_the_same_as_galsim_draws(scale, fwhm, size):
    renderer = Renderer(one_band(scale, fwhm), size)
    profile = galsim.Exponential(half_light_radius=1.2).shear(q=0.5, beta=0.4 * galsim.radians)
    image = renderer.draw([renderer.transform(profile)], [[50.0]], renderer.psfs([fwhm]), (0.13, -0.21))[0]
    accurate = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-4)
    both = galsim.Convolve(profile, galsim.Moffat(beta=3.5, fwhm=fwhm), gsparams=accurate) * 50
    expected = both.shift(0.13, -0.21).drawImage(nx=size, ny=size, scale=scale, dtype=float).array
    assert image.shape == (size, size) and image.dtype == np.float32
    assert np.abs(image - expected).max() < 1e-3 * expected.max()
    assert image.sum() == pytest.approx(expected.sum(), rel=2e-3)


@pytest.mark.parametrize(("scale", "fwhm", "size"), [(0.396, 1.3, 48), (0.5, 0.6, 41)])
def test_bands_drawn_together_are_those_drawn_one_by_one(scale, fwhm, size):
    renderer = Renderer(one_band(scale, fwhm), size)
    profile = galsim.Exponential(half_light_radius=1.2).shear(q=0.5, beta=0.4 * galsim.radians)
    transforms = [renderer.transform(profile), renderer.points(np.array([1.0]), np.array([-0.5]), np.ones(1))]
    fluxes, psfs, offsets = [[50.0, 20.0], [3.0, 9.0]], renderer.psfs([fwhm, 1.2 * fwhm]), [(0.1, -0.2), (0.4, 0.3)]
    images = renderer.images(renderer.mixed(transforms, fluxes, np.array(psfs, np.float32)), np.array(offsets))
    for number, (image, offset) in enumerate(zip(images, offsets)):
        expected = renderer.draw(transforms, fluxes, psfs, offset)[number]
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, expected, atol=1e-5 * expected.max())


def test_points_are_where_they_are_said_to_be():
    renderer = Renderer(one_band(0.4, 1.2), 33)
    transform = renderer.points(np.array([2.0, -1.2]), np.array([0.8, 0.0]), np.array([3.0, 1.0]))
    image = renderer.draw([transform], [[8.0]], renderer.psfs([1.2]), (0.0, 0.0))[0]
    y, x = np.indices(image.shape) - 16
    assert image.sum() == pytest.approx(8, rel=0.01)
    assert (image * x).sum() / image.sum() * 0.4 == pytest.approx(1.2, abs=0.02)
    assert (image * y).sum() / image.sum() * 0.4 == pytest.approx(0.6, abs=0.02)
    assert np.unravel_index(image.argmax(), image.shape) == (18, 21)


def test_psf_width_and_kolmogorov():
    renderer = Renderer(one_band(0.1, 1.0), 101)
    point = renderer.points(np.zeros(1), np.zeros(1), np.ones(1))
    for profile in ("moffat", "kolmogorov"):
        image = renderer.draw([point], [[1.0]], renderer.psfs([1.0], profile), (0, 0))[0]
        row = image[50] / image[50, 50]
        assert np.interp(-0.5, -row[50:], 0.1 * np.arange(51)) == pytest.approx(0.5, abs=0.01)


class _Flat(SEDGrid):
    """A spectrum of constant flux per unit frequency."""

    def __init__(self, n):
        self.n = n

    def flux(self, redshift, sed_type, reddening):
        return np.ones(self.n)


def test_a_flat_spectrum_has_one_magnitude_everywhere():
    galaxy = {"bulge_fraction": 0.4, "knot_fraction": 0.2, "bulge_type": 0, "bulge_reddening": 0, "disc_type": 1,
              "disc_reddening": 0, "redshift": 0.1, "r_mag": 17.0}
    profile = galsim.Exponential(half_light_radius=0.8)
    for name in ("SDSS", "CFHTLS"):
        survey = get_survey(name)
        size = round(25 / survey.pixel_scale.to_value(u.arcsec))
        seds, renderer = TemplateSEDs({"input": survey}), Renderer(survey, size)
        seds.grids, seds.reference = {"input": _Flat(5)}, _Flat(1)
        transforms = [renderer.transform(profile)] * 3
        widths = [band.psf_fwhm.value for band in survey]
        truth = renderer.draw(transforms, seds.fluxes(galaxy, "input"), renderer.psfs(widths), (0.0, 0.0))
        magnitudes = seds.zero_points["input"] - 2.5 * np.log10(truth.sum(axis=(1, 2)))
        np.testing.assert_allclose(magnitudes, 17.0, atol=0.005)


def test_grid_gives_the_fluxes_of_synthetic_photometry():
    survey, rng = get_survey("CFHTLS"), np.random.default_rng(3)
    grid, (rest, spectra) = sed_grid(survey), _templates()
    for _ in range(20):
        redshift, mix, reddening = rng.uniform(0, 0.75), rng.uniform(0, 3), rng.uniform(0, 0.6)
        low = min(int(mix), 2)
        spectrum = (1 - mix + low) * spectra[low] + (mix - low) * spectra[low + 1]
        spectrum = spectrum * 10 ** (-0.4 * reddening * calzetti(rest)) * u.erg / u.s / u.cm**2 / u.AA
        expected = [band_flux_density(rest * (1 + redshift) * u.AA, spectrum, band).value for band in survey]
        np.testing.assert_allclose(grid.flux(redshift, mix, reddening), expected, rtol=2e-3)
    assert sed_grid(survey) is grid and reference_grid().flux(MAX_REDSHIFT, 3, 0.6).shape == (1,)


def test_dust_curve():
    # Calzetti et al. (2000): k = R_V = 4.05 at V, and k(B) - k(V) = 1 by the definition of E(B-V).
    assert calzetti(5500.0) == pytest.approx(4.05, abs=0.02)
    assert calzetti(4400.0) - calzetti(5500.0) == pytest.approx(1.0, abs=0.06)
    assert np.all(np.diff(calzetti(np.linspace(1000, 25000, 500))) <= 1e-12)


def test_a_survey_beyond_the_spectra_is_refused():
    band = Band("m", [40000, 50000] * u.AA, [1.0, 1.0], 22.5, 1 * u.arcsec, 1.0, 1.0)
    with pytest.raises(ValueError, match="galaxy spectra reach"):
        SEDGrid(Survey("infrared", (band,), 1 * u.arcsec, "nmgy"))


def test_isolated_keeps_the_galaxy_and_drops_noise_and_neighbors():
    y, x = np.indices((61, 61)) - 30
    galaxy = 20 * np.exp(-(x**2 + y**2) / 32)
    neighbor = 20 * np.exp(-((x - 22) ** 2 + (y - 20) ** 2) / 8)
    noise = np.random.default_rng(0).normal(size=galaxy.shape)
    clean = isolated(galaxy + neighbor + noise + 3)
    assert clean[50, 52] == 0 and clean[0, 0] == 0
    assert clean.sum() == pytest.approx(galaxy.sum(), rel=0.05)
    with pytest.raises(ValueError, match="no galaxy"):
        isolated(np.where(neighbor > 1, neighbor, 0))
