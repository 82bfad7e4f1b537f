import os
import warnings
from functools import partial
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from specutils import Spectrum

from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.simulation._population import get_population
from astro_galtrans.simulation._spectrograph import Fiber, image_fraction, point_fraction, sersic_fraction
from astro_galtrans.simulation._template_galaxies import TemplateGalaxies, TemplateSEDs
from astro_galtrans.spectra import FLUX_UNIT, SpectrumGrid, resample_spectrum
from astro_galtrans.surveys import get_survey, synthetic_magnitude

plain_pairs = partial(simulate_pairs, galaxies="templates", sky="plain")


def test_images_and_galaxies_are_the_same_without(pairs, with_spectra):
    for name in ("input_flux", "target_flux", "input_weight", "target_weight", "input_truth", "target_truth", "ids"):
        np.testing.assert_array_equal(getattr(pairs, name), getattr(with_spectra, name))
    for name in pairs.catalog.colnames:
        np.testing.assert_array_equal(pairs.catalog[name], with_spectra.catalog[name])
    assert pairs.spectrum_flux is pairs.redshift_error is pairs.spectrum_grid is None
    assert set(with_spectra.catalog.colnames) - set(pairs.catalog.colnames) == {"fiber_r_mag"}


def test_shapes_and_coverage(with_spectra):
    grid = with_spectra.spectrum_grid
    assert grid == SpectrumGrid() and with_spectra.spectrum_flux.shape == (60, 1024)
    assert with_spectra.spectrum_flux.dtype == with_spectra.spectrum_weight.dtype == np.float32
    seen = (grid.edges[:-1] >= 3800 * u.AA) & (grid.edges[1:] <= 9200 * u.AA)
    np.testing.assert_array_equal(with_spectra.spectrum_weight > 0, np.broadcast_to(seen, (60, 1024)))
    assert np.all(with_spectra.spectrum_flux[:, ~seen] == 0) and np.isfinite(with_spectra.spectrum_flux).all()
    np.testing.assert_array_equal(with_spectra.redshift_error, 1e-4)
    assert with_spectra.catalog["fiber_r_mag"].unit == u.mag
    assert np.all(with_spectra.catalog["fiber_r_mag"] > with_spectra.catalog["r_mag"])


def test_galaxy_depends_on_seed_and_index_only(tmp_path, with_spectra):
    few = plain_pairs(3, seed=5, input_size=16, spectra=True).select([2])
    assert few.ids[0] == with_spectra.ids[2]
    np.testing.assert_array_equal(few.spectrum_flux[0], with_spectra.spectrum_flux[2])
    on_disk = plain_pairs(34, seed=5, input_size=16, spectra=True, path=tmp_path / "pairs.zarr")
    again = PairSet.open(tmp_path / "pairs.zarr")
    for other in (on_disk, again):
        np.testing.assert_array_equal(other.spectrum_flux, with_spectra.spectrum_flux[:34])
        np.testing.assert_array_equal(other.spectrum_weight, with_spectra.spectrum_weight[:34])
        np.testing.assert_array_equal(other.redshift_error, with_spectra.redshift_error[:34])
        assert other.spectrum_grid == with_spectra.spectrum_grid


def test_photometry_of_the_spectrum_is_that_of_the_light_in_the_fiber():
    fiber = Fiber()
    seds = TemplateSEDs({"input": get_survey("SDSS")})
    galaxies = TemplateGalaxies(get_population("bright"), seds)
    for index in range(12):
        galaxy = galaxies.draw(*(np.random.default_rng([5, index, stream]) for stream in range(2)))
        truth, row = galaxies.spectrum(galaxy, fiber), galaxy.row
        fractions = [sersic_fraction(1.5, row["bulge_radius"], row["bulge_axis_ratio"], 4),
                     sersic_fraction(1.5, row["disc_radius"], row["disc_axis_ratio"], 1), 0.0]
        if row["n_knots"]:
            knots = galaxy.shapes[2]
            fractions[2] = point_fraction(1.5, knots.x, knots.y, knots.brightness)
        spectrum = Spectrum(flux=truth * FLUX_UNIT, spectral_axis=fiber.grid.wavelength)
        inside = np.array(fractions) @ seds.fluxes(row, "input")
        expected = seds.zero_points["input"] - 2.5 * np.log10(inside)
        for band, magnitude in list(zip(get_survey("SDSS"), expected))[1:4]:
            assert synthetic_magnitude(spectrum, band).value == pytest.approx(magnitude, abs=0.004)


def test_magnitude_in_the_fiber_is_that_of_the_image(with_spectra):
    """Of the noise-free image of the sharper survey, whose seeing moves some light out of 1.5 arcsec."""
    catalog, scale = with_spectra.catalog, 0.187
    y, x = (np.indices((68, 68)) - 33.5) * scale
    distance = np.hypot(x - catalog["x_offset"].value[:, None, None], y - catalog["y_offset"].value[:, None, None])
    r = with_spectra.target_truth[:, 2]
    light = np.where(distance < 1.5, r, 0).sum(axis=(1, 2))
    difference = 30 - 2.5 * np.log10(light) - catalog["fiber_r_mag"] - (
        catalog["target_mag"][:, 2] - catalog["r_mag"])
    assert np.all(difference > -0.05) and np.all(difference < 0.3) and np.median(difference) < 0.15


def test_noise_is_what_the_weight_says():
    fiber, rng = Fiber(), np.random.default_rng(1)
    truth = np.full(1024, 5.0)
    flux, weight = np.array([fiber.observe(rng, truth) for _ in range(200)]).swapaxes(0, 1)
    chi = ((flux - truth) * np.sqrt(weight))[:, fiber.covered]
    assert abs(chi.mean()) < 0.01 and chi.std() == pytest.approx(1, abs=0.01)


def test_signal_to_noise_is_that_of_sdss():
    """4.5 for a pixel of an SDSS spectrum at g = 20.2 (Stoughton et al. 2002, AJ 123, 485)."""
    fiber = Fiber()
    f_lambda = (20.2 * u.ABmag).to_value(FLUX_UNIT, u.spectral_density(fiber.grid.wavelength))
    weight = fiber.observe(np.random.default_rng(0), f_lambda)[1]
    per_pixel = f_lambda * np.sqrt(weight * 1e-4 * np.log(10) / fiber.grid.step)
    g = (fiber.grid.wavelength > 4000 * u.AA) & (fiber.grid.wavelength < 5400 * u.AA)
    assert np.median(per_pixel[g]) == pytest.approx(4.5, rel=0.2)


def test_the_4000_angstrom_break_moves_with_redshift(with_spectra):
    grid, galaxies = with_spectra.spectrum_grid, with_spectra.select(with_spectra.catalog["early"])
    assert len(galaxies) > 10
    rest = grid.wavelength.value / (1 + galaxies.redshift[:, None])
    seen = galaxies.spectrum_weight > 0
    blue, red = (np.array([flux[one].mean() for flux, one in zip(galaxies.spectrum_flux, inside & seen)])
                 for inside in ((rest > 3700) & (rest < 3950), (rest > 4050) & (rest < 4250)))
    usable = galaxies.redshift > 0.06  # where the blue side is seen well
    assert np.median((red / blue)[usable]) > 1.4


@pytest.mark.parametrize("index", [1, 4])
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.2])
def test_aperture_is_that_of_the_drawn_profile(index, ratio):
    import galsim

    profile = galsim.Sersic(n=index, half_light_radius=1.2).shear(q=ratio, beta=0.7 * galsim.radians)
    photons = profile.shoot(200000, galsim.BaseDeviate(1))
    assert sersic_fraction(1.5, 1.2, ratio, index) == pytest.approx(np.mean(np.hypot(photons.x, photons.y) < 1.5),
                                                                    abs=0.004)
    if index == 1:
        smooth = galsim.Convolve(profile, galsim.Gaussian(fwhm=0.2))
        assert image_fraction(1.5, smooth) == pytest.approx(sersic_fraction(1.5, 1.2, ratio, 1), abs=0.02)


def test_aperture_limits():
    assert sersic_fraction(1.0, 1.0, 1.0, 4) == pytest.approx(0.5, abs=1e-6)
    assert sersic_fraction(1e4, 1.0, 0.3, 1) == pytest.approx(1, abs=1e-6)
    assert point_fraction(1.5, np.array([0.0, 1, 3]), np.array([0.0, 1, 0]), np.array([1.0, 2, 1])) == 0.75


def test_spectra_must_be_true_or_false():
    with pytest.raises(TypeError, match="spectra"):
        plain_pairs(1, seed=0, spectra="yes")


def test_spectra_of_real_morphologies():
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("GALTRANS_REAL_DATA does not name the folder of real survey data")
    path = Path(folder) / "hst-cosmos-realgalaxy-btk" / "real_galaxy_catalog_26_extension_example.fits"
    pairs = plain_pairs(6, seed=1, input_size=32, truth=True, morphologies=path, spectra=True)
    lost = pairs.catalog["fiber_r_mag"] - pairs.catalog["r_mag"]
    assert np.all(lost > 0.05) and np.all(lost < 3)
    r = pairs.spectrum_flux[:, np.abs(pairs.spectrum_grid.wavelength.value - 6200) < 300].mean(axis=1)
    expected = (np.asarray(pairs.catalog["fiber_r_mag"]) * u.ABmag).to_value(FLUX_UNIT, u.spectral_density(6166 * u.AA))
    np.testing.assert_allclose(r, expected, rtol=0.1)


@pytest.mark.parametrize("name", ["spec-0266-51602-0013", "spec-1039-52707-0207"])
def test_noise_is_that_of_real_spectra(name):
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("GALTRANS_REAL_DATA does not name the folder of real survey data")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*contains multiple slashes", category=u.UnitsWarning)
        read = Spectrum.read(Path(folder) / "spectra-sdss-galaxies" / f"{name}.fits")
    flux, weight = resample_spectrum(
        Spectrum(flux=read.flux, spectral_axis=read.spectral_axis, uncertainty=read.uncertainty))
    fiber = Fiber()
    simulated = fiber.observe(np.random.default_rng(0), flux.astype(float))[1]
    wavelength = fiber.grid.wavelength.value
    for low, high in ((3850, 4200), (4200, 5600), (5600, 6700), (6700, 7500), (7500, 8300), (8300, 9100)):
        inside = (wavelength > low) & (wavelength < high) & (weight > 0)
        assert 0.7 < np.sqrt(np.median(simulated[inside] / weight[inside])) < 1.3
