"""What a process has set for torch, NumPy and text does not change what the package computes."""

import contextlib
import locale
import warnings

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import StdDevUncertainty

from astro_galtrans.evaluation import evaluate
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.gradients import color_gradient_profile, color_map, match_psf, sed_gradient_arrays, sed_gradients
from astro_galtrans.images import BandCube, detect_galaxies, read_cube, regrid
from astro_galtrans.pairs import PairSet
from astro_galtrans.photoz import (
    PITCalibration,
    RedshiftPDF,
    distribution_metrics,
    fit_catalog_estimator,
    fit_redshift_estimator,
    point_metrics,
)
from astro_galtrans.simulation import degrade, simulate_pairs
from astro_galtrans.storage import load, save
from astro_galtrans.training import TrainConfig, fit


def _set_locale(name=None):
    return locale.setlocale(locale.LC_NUMERIC, name)


def _decimal_comma():
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "de_DE", "fr_FR"):
        with contextlib.suppress(locale.Error):
            return _set_locale(name)
    pytest.skip("no locale with a decimal comma is installed")


CHANGES = {
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "bfloat16": lambda: torch.set_default_dtype(torch.bfloat16),
    "meta device": lambda: torch.set_default_device("meta"),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "numpy raises": lambda: np.seterr(all="raise"),
    "decimal comma": _decimal_comma,
}
SETTINGS = (torch.get_default_dtype, torch.get_default_device, torch.are_deterministic_algorithms_enabled, np.geterr,
            _set_locale)


@contextlib.contextmanager
def hostile(state):
    """A process in another state, which what runs in it leaves alone."""
    usual = [read() for read in SETTINGS]
    try:
        CHANGES[state]()
        before = [read() for read in SETTINGS]
        yield
        assert [read() for read in SETTINGS] == before
    finally:
        torch.set_default_dtype(usual[0])
        torch.set_default_device(None)
        torch.use_deterministic_algorithms(usual[2])
        np.seterr(**usual[3])
        _set_locale(usual[4])


@np.errstate(under="ignore")
def _smooth_cube(size=32):
    """A galaxy whose wings are so faint that their squares and products underflow."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    plane = np.exp(-(x**2 + y**2) / 4)
    psf = np.exp(-(x**2 + y**2) / 3)
    return BandCube(np.stack([plane, 2 * plane]).astype("f4"), bands="gr", survey="SDSS", unit="nmgy",
                    wcs=_wcs(size), psf=np.stack([psf, np.exp(-(x**2 + y**2) / 5)]),
                    uncertainty=StdDevUncertainty(np.full((2, size, size), 1e-3, "f4")))


def _wcs(size, scale=0.396):
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [(size + 1) / 2] * 2
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs


def _read_and_regrid(folder, pairs):
    _smooth_cube().write(folder / "cube.fits")
    cube = read_cube(folder / "cube.fits")
    return [regrid(cube, _wcs(60, 0.2), (60, 60)).data, cube.cutout(size=40).data, cube.to_unit("Jy").data,
            np.array(detect_galaxies(cube, "r")["magnitude"])]


def _gradients(folder, pairs):
    cube = _smooth_cube()
    return [sed_gradients(cube).x.data, match_psf(cube).data, color_map(cube).data,
            color_gradient_profile(cube)["color"].value, sed_gradient_arrays(cube.data[None], cube.survey).x]


def _simulation(folder, pairs):
    made = simulate_pairs(2, seed=1, galaxies="templates", sky="plain", input_size=16, psf=True, spectra=True)
    degraded = degrade(_smooth_cube(), "SDSS", target_psf=2 * u.arcsec, noise=False)
    return [made.input_flux[:], made.target_flux[:], made.spectrum_flux[:], degraded.data]


def _pairs(folder, pairs):
    pairs.write(folder / "pairs.zarr")
    return [PairSet.open(folder / "pairs.zarr").input_flux[:]]


def _shipped(folder, pairs):
    translator = load("sdss-to-cfhtls")
    flux, sigma = translator.translate_array_with_uncertainty(np.asarray(pairs.input_flux[:2]))
    save(folder / "translator.asdf", translator)
    assert load(folder / "translator.asdf").hash == translator.hash
    return [flux, sigma]


def _training(folder, pairs):
    config = TrainConfig(objective="gradient", epochs=1, batch_size=8, seed=0,
                         backbone_options={"widths": [4, 8], "n_features": 4})
    translator = fit(pairs, config, directory=folder).translator
    kinds = {one.dtype for one in translator.network.state_dict().values()}
    assert kinds <= {torch.float32, torch.int64, torch.bool}
    return [translator.translate_array(np.asarray(pairs.input_flux[:2]))]


def _adversarial_training(folder, pairs):
    config = TrainConfig(objective="adversarial", epochs=1, batch_size=8, seed=0,
                         backbone_options={"widths": [4, 8], "n_features": 4})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "mode collapse", GaltransWarning)  # of one epoch
        return [fit(pairs, config).translator.translate_array(np.asarray(pairs.input_flux[:2]))]


def _redshifts(folder, pairs):
    rng = np.random.default_rng(0)
    z = rng.uniform(0.1, 0.5, 60)
    magnitudes = 18 + np.outer(z, [5, 2, 0]) + 0.02 * rng.normal(size=(60, 3))
    estimator = fit_catalog_estimator(magnitudes, z, epochs=1, n_members=1, width=8, batch_size=16)
    save(folder / "estimator.asdf", estimator)
    pdf = load(folder / "estimator.asdf").predict(magnitudes)
    images = fit_redshift_estimator(pairs.target_flux[:], pairs.redshift, survey=pairs.target_survey, epochs=1,
                                    n_members=1, batch_size=8)
    calibration = PITCalibration.fit(pdf, z)
    grid = np.linspace(0, 1, 500)
    with np.errstate(under="ignore"):
        density = np.exp(-(100 * (grid - 0.1))**2)[np.newaxis]
        density /= np.trapezoid(density, grid)
    measures = {**point_metrics(pdf.median(), z), **distribution_metrics(pdf, z)}
    return [np.asarray(pdf.density), np.asarray(images.predict(pairs.target_flux[:4]).density),
            np.asarray(calibration(pdf).density), np.array([float(value) for value in measures.values()]),
            np.asarray(RedshiftPDF(grid, density).mode())]


def _report(folder, pairs):

    config = TrainConfig(objective="pixel", epochs=1, batch_size=8, seed=0,
                         backbone_options={"widths": [4, 8], "n_features": 4})
    result = evaluate({"t": fit(pairs, config).translator}, pairs)
    result.write_report(folder / "report.html")
    assert (folder / "report.html").stat().st_size > 1000
    return []


ENTRIES = (_read_and_regrid, _gradients, _simulation, _pairs, _shipped, _training, _adversarial_training, _redshifts,
           _report)


@pytest.fixture(scope="module")
def usual(small_pairs, tmp_path_factory):
    """What each entry point gives in the usual state, computed once."""
    known = {}

    def give(entry):
        if entry not in known:
            known[entry] = entry(tmp_path_factory.mktemp("usual"), small_pairs)
        return known[entry]
    return give


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__.strip("_"))
@pytest.mark.parametrize("state", CHANGES)
def test_results_do_not_depend_on_the_state(entry, state, usual, small_pairs, tmp_path):
    expected = usual(entry)
    with hostile(state):
        found = entry(tmp_path, small_pairs)
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
