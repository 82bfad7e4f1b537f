import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty

from astro_galtrans.gradients import sed_gradient_arrays, sed_gradients
from astro_galtrans.images import BandCube
from astro_galtrans.surveys import get_survey

SDSS, CFHTLS = get_survey("SDSS"), get_survey("CFHTLS")
NAMES = ("x", "y", "passband", "x_sigma", "y_sigma", "passband_sigma")


def galaxies(n=6, size=24, survey=SDSS, seed=0, noise=1.0):
    """Exponential galaxies on sky noise, with a few bright and many negative pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size)) - (size - 1) / 2
    sky = survey.sky_noise[:, None, None]
    flux = 100 * sky * np.exp(-np.hypot(x, y) / rng.uniform(2, 5, (n, 1, 1, 1)))
    return flux + noise * rng.normal(0, sky, flux.shape)


def random_weight(flux, survey=SDSS, seed=1):
    rng = np.random.default_rng(seed)
    weight = survey.sky_noise[:, None, None]**-2.0 * rng.uniform(0.5, 2, flux.shape)
    weight[rng.random(flux.shape) < 0.03] = 0
    return weight


@pytest.mark.parametrize("survey", [SDSS, CFHTLS])
def test_arrays_agree_with_cubes(survey):
    flux = galaxies(survey=survey)
    many = sed_gradient_arrays(flux, survey, uncertainty=True)
    for row in (0, 4):
        one = sed_gradients(BandCube(flux[row], unit=survey.unit, wcs=None, bands="ugriz", survey=survey))
        for name in NAMES[:3]:
            element = getattr(one, name)
            assert np.allclose(getattr(many, name)[row], element.data, rtol=1e-9, atol=1e-9)
            assert np.allclose(getattr(many, name + "_sigma")[row], element.uncertainty.array, rtol=1e-9)


def test_arrays_with_weights_agree_with_masked_cubes():
    flux = galaxies()
    weight = random_weight(flux)
    many = sed_gradient_arrays(flux, SDSS, weight=weight, uncertainty=True, softening=0.02)
    sigma = np.where(weight[2] > 0, np.maximum(weight[2], 1e-9)**-0.5, 1.0)
    cube = BandCube(flux[2], unit="nmgy", wcs=None, bands="ugriz", survey=SDSS, mask=weight[2] == 0,
                    uncertainty=StdDevUncertainty(sigma))
    one = sed_gradients(cube, softening=0.02 * (22.5 * u.ABmag).to(u.Jy))
    for name in NAMES[:3]:
        assert np.array_equal(np.isnan(getattr(many, name)[2]), getattr(one, name).mask)
        assert np.allclose(getattr(many, name)[2], getattr(one, name).data, rtol=1e-9, atol=1e-9, equal_nan=True)
        assert np.allclose(getattr(many, name + "_sigma")[2], getattr(one, name).uncertainty.array, rtol=1e-9,
                           equal_nan=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_tensors_agree_with_arrays(dtype, tolerance, weighted):
    torch = pytest.importorskip("torch")
    flux = galaxies(survey=CFHTLS).astype(dtype)
    weight = random_weight(flux, CFHTLS).astype(dtype) if weighted else None
    flux[1, 2, 3, 4], flux[2, 1, 5, 5], flux[2, 1, 5, 6] = np.nan, np.inf, -np.inf
    arrays = sed_gradient_arrays(flux, CFHTLS, weight=weight, uncertainty=True)
    tensors = sed_gradient_arrays(torch.from_numpy(flux), CFHTLS, uncertainty=True,
                                  weight=None if weight is None else torch.from_numpy(weight))
    for name, array, tensor in zip(NAMES, arrays, tensors):
        assert array.dtype == dtype and tensor.numpy().dtype == dtype
        assert np.array_equal(np.isnan(array), np.isnan(tensor.numpy())) and np.isnan(array).any()
        scale = np.nanmax(np.abs(array))
        assert np.nanmax(np.abs(array - tensor.numpy())) < tolerance * scale, name


def test_float32_is_close_to_float64():
    flux = galaxies(survey=CFHTLS)
    exact = sed_gradient_arrays(flux, CFHTLS, uncertainty=True)
    single = sed_gradient_arrays(flux.astype(np.float32), CFHTLS, uncertainty=True)
    for one, other in zip(single, exact):
        assert one.dtype == np.float32
        assert np.abs(one - other).max() < 3e-6 * np.abs(other).max()


def test_autograd_goes_through_tensors():
    torch = pytest.importorskip("torch")
    flux = torch.from_numpy(galaxies(1, 8)).requires_grad_()
    sed_gradient_arrays(flux, SDSS).passband.sum().backward()
    assert torch.isfinite(flux.grad).all() and flux.grad.abs().sum() > 0


def test_torch_is_not_imported_for_arrays():
    code = ("import sys, numpy as np; from astro_galtrans.gradients import sed_gradient_arrays; "
            "sed_gradient_arrays(np.ones((1, 5, 4, 4)), 'SDSS', uncertainty=True); sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_uncertainty_agrees_with_monte_carlo():
    rng = np.random.default_rng(3)
    sky = SDSS.sky_noise[:, None, None]
    clean = galaxies(1, 10, noise=0.0) + 5 * sky  # at least 5 times the noise
    flux = clean + rng.normal(0, sky, (1500, *clean.shape[1:]))
    weight = np.broadcast_to(sky**-2.0, clean.shape)
    stated = sed_gradient_arrays(clean, SDSS, weight=weight, uncertainty=True)
    draws = sed_gradient_arrays(flux, SDSS)
    for name in NAMES[:3]:
        ratio = getattr(stated, name + "_sigma")[0] / getattr(draws, name).std(axis=0)
        assert abs(ratio.mean() - 1) < 0.02
        assert np.all(np.abs(ratio - 1) < 0.15)


def test_negative_flux_mirrors_positive_flux():
    flux = galaxies()
    for plus, minus in zip(sed_gradient_arrays(flux, SDSS)[:3], sed_gradient_arrays(-flux, SDSS)[:3]):
        assert np.isfinite(minus).all() and np.allclose(plus, -minus)


def test_buffers_and_workers_change_nothing():
    flux = galaxies(7, 96).astype(np.float32)  # blocks of several galaxies, the last one smaller
    weight = random_weight(flux).astype(np.float32)
    flux[3, 2, 10, 10:12], flux[4, 1, 7, 7] = np.inf, np.nan
    out = sed_gradient_arrays(flux, SDSS, weight=weight, uncertainty=True)
    before = [one.copy() for one in out]
    for one in out:
        one.fill(7)
    again = sed_gradient_arrays(flux, SDSS, weight=weight, uncertainty=True, out=out, workers=3)
    assert all(one is two for one, two in zip(again, out))
    assert all(np.array_equal(one, two, equal_nan=True) for one, two in zip(again, before))
    one_by_one = [sed_gradient_arrays(flux[i:i + 1], SDSS, weight=weight[i:i + 1]).x[0] for i in range(7)]
    assert np.array_equal(before[0], one_by_one, equal_nan=True)


def test_some_bands_quantities_and_integers():
    flux = galaxies()[:, 1:4]
    survey = SDSS.select("gri")
    gradients = sed_gradient_arrays(flux * u.nmgy, survey, pixel_scale=0.5 * u.arcsec)
    assert gradients.passband.shape[1] == 2 and gradients.x_sigma is None
    assert np.allclose(gradients.x, sed_gradient_arrays(flux, survey).x * 0.396 / 0.5)
    assert np.allclose(sed_gradient_arrays(1e-9 * flux * u.mgy, survey, pixel_scale=0.5).x, gradients.x)
    assert sed_gradient_arrays(np.ones((1, 3, 4, 4), dtype=np.int16), survey).x.dtype == np.float32


def test_bad_arguments_are_named():
    flux = galaxies(2, 8)
    for values, options, message in (
            (flux[:, :3], {}, "flux must have shape"), (flux[0], {}, "flux must have shape"),
            (flux, {"weight": flux[:, :2]}, "weight must have the shape"), (flux, {"softening": -1}, "softening"),
            (flux, {"softening": [1, 2]}, "softening"), (flux, {"pixel_scale": 0}, "pixel_scale"),
            (flux, {"workers": 0}, "workers"), (flux * u.Jy / u.s, {}, "flux must be in"),
            (flux, {"out": sed_gradient_arrays(flux, SDSS), "uncertainty": True}, "out must hold 6")):
        with pytest.raises(ValueError, match=message):
            sed_gradient_arrays(values, SDSS, **options)
    with pytest.raises(TypeError, match="real numbers"):
        sed_gradient_arrays(flux > 0, SDSS)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="floating"):
        sed_gradient_arrays(torch.ones((1, 5, 4, 4), dtype=torch.int32), SDSS)
    with pytest.raises(ValueError, match="not for tensors"):
        sed_gradient_arrays(torch.from_numpy(flux), SDSS, workers=2)
