import os
import sys
from functools import partial
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest

from astro_galtrans.pairs import PairSet
from astro_galtrans.pairs._match_quality import psf_fwhm_of
from astro_galtrans.simulation import GalaxyPopulation, SimulationConfig, simulate_pairs
from astro_galtrans.surveys import get_survey

plain_pairs = partial(simulate_pairs, galaxies="templates", sky="plain")

PROPERTIES = [[17.6282067091, 0.0641985560806, 1.05258958011, 0.302092352167, 2.31207333776, -0.0730339801296],
              [17.920487528, 0.130812531052, 0.342078144956, 0.200621491527, 1.50228638099, -0.267723972642]]
INPUT_FLUX = [[0.813586, 0.730989, 0.563743], [0.807947, 0.722388, 0.561247]]
TARGET_FLUX = [[329.912, 302.648, 235.781], [396.32, 298.219, 199.287]]
SPECTRUM_FLUX = [[6.37791, 7.47718, 7.5025], [7.73488, 7.95124, 9.28504]]


def assert_same(one, other):
    for name, values in one.read().items():
        np.testing.assert_array_equal(values, other.read()[name])
    for name in one.catalog.colnames:
        np.testing.assert_array_equal(one.catalog[name], other.catalog[name])


def test_shapes_units_and_catalog(pairs):
    assert pairs.input_flux.shape == (60, 5, 32, 32) and pairs.target_flux.shape == (60, 5, 68, 68)
    assert pairs.input_flux.dtype == pairs.target_weight.dtype == np.float32
    assert pairs.input_survey.name == "SDSS" and pairs.target_survey.name == "CFHTLS"
    np.testing.assert_array_equal(pairs.redshift, pairs.catalog["redshift"])
    expected = {"r_mag", "bulge_fraction", "half_light_radius", "input_mag", "target_psf_fwhm"}
    assert expected <= set(pairs.catalog.colnames)
    assert pairs.catalog["half_light_radius"].unit == u.arcsec and pairs.catalog["input_mag"].shape == (60, 5)
    assert pairs.ids[3] == "bright-5-3" and pairs.catalog.meta["simulation"]["seed"] == 5
    for name in ("input_flux", "target_flux", "input_weight", "target_weight"):
        assert np.isfinite(getattr(pairs, name)).all()


def test_flux_is_calibrated(pairs):
    """The images hold the catalog's magnitudes, less what lies beyond a stamp of 12.7 arcsec."""
    small = pairs.catalog["half_light_radius"] < 1.5
    assert small.sum() > 10
    for side, zero_point in (("input", 22.5), ("target", 30.0)):
        truth = getattr(pairs, f"{side}_truth")[small]
        missing = zero_point - 2.5 * np.log10(truth.sum(axis=(2, 3))) - pairs.catalog[f"{side}_mag"][small]
        assert missing.min() > -0.005 and missing.max() < 0.2 and np.median(missing) < 0.08


def test_both_surveys_see_the_same_galaxy(pairs):
    """Aperture magnitudes of nearly the same band agree, and so does the place on the sky."""
    # g of SDSS at 4670 and of CFHTLS at 4830 Angstrom differ by a color term of a known sign: the redder is brighter.
    difference = pairs.catalog["input_mag"] - pairs.catalog["target_mag"]
    assert np.all(np.abs(difference[:, 1:]) < 0.35) and np.all(difference[:, 1] > -0.01)
    for side, scale in (("input", 0.396), ("target", 0.187)):
        image = getattr(pairs, f"{side}_truth")[:, 2]
        position = scale * (np.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2)
        x = (image.sum(axis=1) * position).sum(axis=1) / image.sum(axis=(1, 2))
        y = (image.sum(axis=2) * position).sum(axis=1) / image.sum(axis=(1, 2))
        calm = (pairs.catalog["n_knots"] == 0) & (pairs.catalog["half_light_radius"] < 2)
        np.testing.assert_allclose(x[calm], pairs.catalog["x_offset"][calm], atol=0.05)
        np.testing.assert_allclose(y[calm], pairs.catalog["y_offset"][calm], atol=0.05)


def test_noise_is_what_the_weight_says(pairs):
    for side in ("input", "target"):
        residual = getattr(pairs, f"{side}_flux") - getattr(pairs, f"{side}_truth")
        chi2 = np.mean(residual.astype(float) ** 2 * getattr(pairs, f"{side}_weight"), axis=(0, 2, 3))
        np.testing.assert_allclose(chi2, 1, atol=0.03)
        survey, weight = getattr(pairs, f"{side}_survey"), getattr(pairs, f"{side}_weight")
        assert np.all(weight <= survey.sky_noise[:, None, None] ** -2.0 * 1.0001)
        variance = 1 / weight[:, 2] - survey["r"].sky_noise ** 2
        expected = getattr(pairs, f"{side}_truth")[:, 2] / survey["r"].gain
        bright = expected > 0.1 * survey["r"].sky_noise ** 2
        np.testing.assert_allclose(variance[bright], expected[bright], rtol=1e-3)


def test_centers_are_redder_than_outskirts(pairs):
    """A color gradient of bulge and disk survives in the images."""
    galaxies = ~pairs.catalog["early"] & (pairs.catalog["bulge_fraction"] > 0.2)
    y, x = np.indices((68, 68)) - 33.5
    radius = np.hypot(x, y) * 0.187
    g, i = pairs.target_truth[galaxies, 1], pairs.target_truth[galaxies, 3]

    def color(region):
        return -2.5 * np.log10(g[:, region].sum(axis=1) / i[:, region].sum(axis=1))

    assert np.median(color(radius < 1) - color((radius > 2) & (radius < 4))) > 0.05


def test_seed_and_number_and_workers(pairs, with_spectra):
    few = plain_pairs(34, seed=5, input_size=32, truth=True, workers=2, spectra=True)
    assert_same(few, with_spectra.select(slice(0, 34)))
    other = plain_pairs(2, seed=6, input_size=32)
    assert not np.any(np.isin(other.redshift, pairs.redshift)) and other.input_truth is None
    assert not set(other.ids) & set(pairs.ids)


def test_the_random_numbers_of_a_seed_stay():
    """Those of version 0.1; shipped translators can be trained again from their seed."""
    pairs = plain_pairs(2, seed=7, input_size=16, spectra=True, psf=True)
    properties = ("r_mag", "redshift", "bulge_type", "disc_reddening", "half_light_radius", "x_offset")
    np.testing.assert_allclose([[row[name] for name in properties] for row in pairs.catalog], PROPERTIES, rtol=1e-9)
    np.testing.assert_allclose(pairs.input_flux[:, 2, 8, 7:10], INPUT_FLUX, rtol=1e-4)
    np.testing.assert_allclose(pairs.target_flux[:, 2, 17, 16:19], TARGET_FLUX, rtol=1e-4)
    np.testing.assert_allclose(pairs.spectrum_flux[:, 500:503], SPECTRUM_FLUX, rtol=1e-4)


def test_settings_replace_the_configuration(pairs):
    config = SimulationConfig(input_size=32, truth=False)
    again = plain_pairs(2, seed=5, config=config, truth=True)
    np.testing.assert_array_equal(again.input_truth, pairs.input_truth[:2])
    with pytest.raises(TypeError, match="spectrum.*spectra"):
        plain_pairs(1, seed=0, spectrum=True)
    with pytest.raises(TypeError, match="config"):
        plain_pairs(1, seed=0, config={"truth": True})


def test_global_random_state_is_left_alone():
    state = np.random.get_state()[1].copy()
    plain_pairs(1, seed=0, input_size=16)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_one_survey_twice_gives_one_truth_twice():
    calm = GalaxyPopulation("calm", (16, 18), (0.05, 0.2), psf_scatter=0)
    pairs = plain_pairs(3, seed=2, input_survey="CFHTLS", target_survey="CFHTLS", sample=calm, input_size=40,
                        truth=True)
    np.testing.assert_array_equal(pairs.input_truth, pairs.target_truth)
    assert pairs.target_flux.shape[-1] == 40 and np.all(pairs.input_flux != pairs.target_flux)


def test_written_while_made(tmp_path, pairs):
    on_disk = plain_pairs(34, seed=5, input_size=32, truth=True, path=tmp_path / "pairs.zarr")
    assert "on disk" in repr(on_disk)
    assert_same(on_disk, pairs.select(slice(0, 34)))
    with pytest.raises(FileExistsError):
        plain_pairs(1, seed=5, path=tmp_path / "pairs.zarr")
    assert len(PairSet.open(tmp_path / "pairs.zarr")) == 34


@pytest.mark.parametrize(("given", "message"), [
    ({"n": 0}, "n must"), ({"n": 2.0}, "n must"), ({"seed": -1}, "seed must"),
    ({"sample": "dim"}, "sample must be"), ({"workers": 0}, "workers must"), ({"input_survey": "DSS"}, "DSS"),
    ({"target_size": -5}, "target_size must"), ({"input_size": 2}, "input_size must be an int of at least 8, got 2"),
    ({"path": "pairs.fits"}, "path must name a Zarr folder, as pairs.zarr"),
])
def test_wrong_input_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        plain_pairs(**{"n": 1, "seed": 0, **given})


def test_without_galsim(monkeypatch):
    monkeypatch.setitem(sys.modules, "galsim", None)
    with pytest.raises(ImportError, match=r"astro_galtrans\[simulation\]"):
        plain_pairs(1, seed=0)


def test_morphologies_must_be_a_catalog(tmp_path):
    with pytest.raises(FileNotFoundError, match="morphologies"):
        plain_pairs(1, seed=0, input_size=16, morphologies=tmp_path / "none.fits")
    (tmp_path / "text.fits").write_text("no catalog")
    with pytest.raises(ValueError, match="morphologies"):
        plain_pairs(1, seed=0, input_size=16, morphologies=tmp_path / "text.fits")


def test_real_morphologies():
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("GALTRANS_REAL_DATA does not name the folder of real survey data")
    path = Path(folder) / "hst-cosmos-realgalaxy-btk" / "real_galaxy_catalog_26_extension_example.fits"
    pairs = plain_pairs(6, seed=1, truth=True, morphologies=path)
    assert np.all((pairs.catalog["morphology"] >= 0) & (pairs.catalog["morphology"] < 100))
    missing = 30 - 2.5 * np.log10(pairs.target_truth.sum(axis=(2, 3))) - pairs.catalog["target_mag"]
    assert np.all(np.abs(missing) < 0.15)
    assert np.all(pairs.target_truth.min(axis=(2, 3)) > -pairs.target_survey.sky_noise)
    # Real shapes: turned by half a turn they are not the same.
    image = pairs.target_truth[:, 2]
    assert np.median(np.abs(image - image[:, ::-1, ::-1]).sum(axis=(1, 2)) / image.sum(axis=(1, 2))) > 0.1


def test_psf_images(tmp_path, pairs):
    kept = plain_pairs(4, seed=5, input_size=32, psf=True, path=tmp_path / "pairs.zarr")
    for side, survey in (("input", kept.input_survey), ("target", kept.target_survey)):
        psf = getattr(kept, f"{side}_psf")[:]
        np.testing.assert_allclose(psf.sum(axis=(2, 3)), 1, rtol=1e-5)
        assert psf.shape[2] % 2 and np.all(psf[:, :, psf.shape[2] // 2, psf.shape[2] // 2] == psf.max(axis=(2, 3)))
        scale = survey.pixel_scale.value
        widths = [psf_fwhm_of(one, np.eye(2) * scale) for one in psf]
        # the pixel has the variance of a Gaussian of 0.68 pixels FWHM
        np.testing.assert_allclose(widths, np.hypot(kept.catalog[f"{side}_psf_fwhm"], 0.68 * scale), rtol=0.05)
    np.testing.assert_array_equal(kept.input_flux[:], pairs.input_flux[:4])


@pytest.mark.parametrize(("input_survey", "input_bands", "target_survey", "target_bands"), [
    ("DECaLS", "z", "Rubin", "y"), ("KiDS", "i", "Euclid NISP", ("YE",)), ("SkyMapper", "i", "CFIS", "r"),
    ("UNIONS", "r", "Roman", ("F106",)),
])
def test_pairs_of_any_two_surveys(input_survey, input_bands, target_survey, target_bands):
    """One band of each, as the spectra of the galaxies are integrated over every band first."""
    pairs = plain_pairs(1, input_survey=get_survey(input_survey).select(input_bands),
                        target_survey=get_survey(target_survey).select(target_bands), seed=2, sample="faint",
                        input_size=16, workers=1)
    for side in ("input", "target"):
        survey, flux = getattr(pairs, f"{side}_survey"), getattr(pairs, f"{side}_flux")[0]
        assert survey.pixel_scale == get_survey(survey.name).pixel_scale and np.isfinite(flux).all()
        # the photons of the galaxy add to the noise of the survey
        assert getattr(pairs, f"{side}_weight").max() ** -0.5 == pytest.approx(survey.sky_noise[0], rel=0.5)


def test_each_column_of_the_catalog_has_a_description():
    catalog = plain_pairs(2, seed=1, input_size=16, spectra=True).catalog
    assert all(column.description for column in catalog.itercols())
