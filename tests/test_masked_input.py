"""Masked input of every kind counts as missing in every public function that takes arrays."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.coordinates import SkyCoord
from astropy.nddata import CCDData
from astropy.table import Column, MaskedColumn
from astropy.utils.masked import Masked

from astro_galtrans._utils.masked import floats, split, whole
from astro_galtrans.gradients import radial_color_profiles, radial_fluxes, sed_gradient_arrays, sed_spectrum
from astro_galtrans.images import BandCube, flux_and_weight
from astro_galtrans.pairs import PairSet, match_one_to_one
from astro_galtrans.photoz import (
    PITCalibration, RedshiftPDF, binned_point_metrics, combine, coverage, distribution_metrics,
    fit_catalog_estimator, fit_redshift_estimator, evaluate_redshifts, nz_metrics, pit_statistics, point_metrics,
)
from astro_galtrans.spectra import SpectrumGrid, to_spectrum
from astro_galtrans.surveys import band_flux_density, get_survey, synthetic_magnitude

VALUES = np.array([0.5, 99.0, 0.25])
MASK = np.array([False, True, False])
NAN = np.array([0.5, np.nan, 0.25])


class Series:
    """What pandas has of a column, for an environment without it."""

    __module__ = "pandas.core.series"

    def __init__(self, values):
        self.values = values

    def isna(self):
        return np.array([value is None for value in self.values])

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


MASKED = {
    "numpy.ma": np.ma.array(VALUES, mask=MASK), "MaskedColumn": MaskedColumn(VALUES, mask=MASK),
    "Masked": Masked(VALUES, mask=MASK), "masked Quantity": Masked(VALUES * u.one, mask=MASK),
    "list with None": [0.5, None, 0.25], "list with masked": [0.5, np.ma.masked, 0.25],
    "objects": np.array([0.5, None, 0.25], dtype=object), "pandas": Series([0.5, None, 0.25]),
    "big endian": np.ma.array(VALUES, mask=MASK, dtype=">f8"),
    "list of Masked": [Masked(value * u.one, mask=bad) for value, bad in zip(VALUES, MASK)],
}


@pytest.fixture(params=MASKED)
def masked(request):
    return MASKED[request.param]


def dirty(kind, seed=0):
    """Images with a bad region of 5000 under a mask of some kind, the region, and the same images with NaN there."""
    flux = np.random.default_rng(seed).normal(1, 0.03, (3, 5, 16, 16)).astype(np.float32)
    bad = np.zeros(flux.shape, bool)
    bad[0, 2, 6:9, 6:9] = True
    filled = np.where(bad, np.float32(5000), flux)
    made = {"numpy.ma": np.ma.array(filled, mask=bad), "Masked": Masked(filled, mask=bad),
            "Quantity": Masked(filled * u.nmgy, mask=bad),
            "list": [np.ma.array(one, mask=hidden) for one, hidden in zip(filled, bad)]}[kind]
    return made, bad, np.where(bad, np.float32(np.nan), flux)


KINDS = pytest.mark.parametrize("kind", ["numpy.ma", "Masked", "Quantity", "list"])


def test_the_conversion(masked):
    np.testing.assert_array_equal(floats(masked, "z"), NAN)
    assert floats(masked, "z").dtype.isnative
    with pytest.raises(ValueError, match="^ids"):
        whole(masked, "ids")


def test_units_types_and_memory():
    angle = Masked([1.0, 2.0] * u.arcmin, mask=[False, True])
    np.testing.assert_array_equal(floats(angle, "radius", unit=u.arcsec), [60, np.nan])
    np.testing.assert_array_equal(floats(Column([1.0], unit="arcmin"), "radius", unit=u.arcsec), [60])
    np.testing.assert_array_equal(split([1 * u.arcmin, 90 * u.arcsec], "radius").values, [1, 1.5])
    with pytest.raises(ValueError, match="^radius"):
        floats(angle, "radius", unit=u.Jy)
    with pytest.raises(ValueError, match="^radius"):
        floats([1 * u.Jy, 1 * u.arcsec], "radius")
    with pytest.raises(ValueError, match="^flux"):
        floats([[1, 2], [3]], "flux")
    for wrong in (["a", "b"], [1j], [True], object()):
        with pytest.raises(TypeError, match="^flux"):
            floats(wrong, "flux")
    plain = np.ones(3, np.float32)
    assert floats(plain, "flux") is plain and floats(np.ones(2, np.int16), "flux").dtype == np.float32
    exact = np.ma.array([1237648720693755918, 1], mask=[0, 0])
    assert whole(exact, "ids")[0] == 1237648720693755918
    assert floats(torch.ones(2, requires_grad=True), "z").tolist() == [1, 1]
    assert floats(torch.ones(2, dtype=torch.bfloat16), "z").tolist() == [1, 1]
    hidden = np.ma.array(VALUES, mask=MASK)
    floats(hidden, "z")
    assert hidden.data[1] == 99


def test_images_are_no_arrays():
    with pytest.raises(TypeError, match="flux"):
        floats(CCDData(np.ones((4, 4)), unit="adu"), "flux")


@KINDS
def test_pairs(kind):
    flux, bad, clean = dirty(kind)
    target = np.ones((3, 5, 34, 34))
    surveys = {"input_survey": "SDSS", "target_survey": "CFHTLS"}
    pairs, expected = PairSet.from_arrays(flux, target, **surveys), PairSet.from_arrays(clean, target, **surveys)
    np.testing.assert_array_equal(pairs.input_flux, expected.input_flux)
    np.testing.assert_array_equal(pairs.input_weight, expected.input_weight)
    assert np.all(pairs.input_weight[bad] == 0)
    weight = np.ma.array(np.ones(bad.shape), mask=bad)
    assert np.all(PairSet.from_arrays(clean, target, input_weight=weight, **surveys).input_weight[bad] == 0)
    with pytest.raises(ValueError, match="input_truth"):
        PairSet.from_arrays(clean, target, input_truth=flux, **surveys)


def test_what_pairs_know(masked):
    ones = {"input_flux": np.ones((3, 5, 8, 8)), "target_flux": np.ones((3, 5, 18, 18)), "input_survey": "SDSS",
            "target_survey": "CFHTLS"}
    pairs = PairSet.from_arrays(**ones, redshift=masked, redshift_error=masked)
    np.testing.assert_array_equal(pairs.redshift, NAN)
    np.testing.assert_array_equal(pairs.redshift_error, NAN)
    for ids in (np.ma.array([1, 2, 3], mask=MASK), MaskedColumn(["a", "b", "c"], mask=MASK), ["a", None, "c"]):
        with pytest.raises(ValueError, match="ids"):
            PairSet.from_arrays(**ones, ids=ids)
    psf = np.ma.array(np.ones((3, 5, 5, 5)), mask=np.zeros((3, 5, 5, 5), bool))
    psf[1] = np.ma.masked
    assert not PairSet.from_arrays(**ones, input_psf=psf).input_psf[1].any()
    psf.mask[0, 0, 0, 0] = True
    with pytest.raises(ValueError, match="input_psf"):
        PairSet.from_arrays(**ones, input_psf=psf)
    with pytest.raises(ValueError, match="indices"):
        pairs.select(np.ma.array([0, 1], mask=[0, 1]))


def test_spectra_of_pairs():
    grid = SpectrumGrid(3800, 9200, 5)
    flux = np.ma.array(np.ones((1, 5)), mask=[[0, 1, 0, 0, 0]])
    weight = Masked(np.ones((1, 5)), mask=[[0, 0, 1, 0, 0]])
    pairs = PairSet.from_arrays(np.ones((1, 5, 8, 8)), np.ones((1, 5, 18, 18)), input_survey="SDSS",
                                target_survey="CFHTLS", spectra=(flux, weight), spectrum_grid=grid)
    assert (pairs.spectrum_weight[0] > 0).tolist() == [True, False, False, True, True]
    spectrum = to_spectrum(flux[0], weight[0], grid)
    assert spectrum.mask.tolist() == [False, True, True, False, False]


@KINDS
def test_gradients(kind):
    flux, bad, clean = dirty(kind)
    expected = sed_gradient_arrays(clean, "SDSS")
    for one, other in zip(sed_gradient_arrays(flux, "SDSS")[:3], expected[:3]):
        np.testing.assert_array_equal(one, other)
    assert np.isnan(expected.x).any()
    weight = np.ma.array(np.ones(bad.shape), mask=bad)
    np.testing.assert_array_equal(np.isnan(sed_gradient_arrays(np.nan_to_num(clean), "SDSS", weight=weight).x),
                                  np.isnan(expected.x))
    tensor = sed_gradient_arrays(torch.from_numpy(np.nan_to_num(clean)), "SDSS", weight=weight)
    np.testing.assert_array_equal(np.isnan(tensor.x.numpy()), np.isnan(expected.x))


@KINDS
def test_radial_profiles_lose_only_what_is_hidden(kind):
    flux, _, clean = dirty(kind)
    whole_image = radial_color_profiles(np.nan_to_num(clean, nan=1), "SDSS", ("g", "r"), [0, 1, 2, 3])
    colors = radial_color_profiles(flux, "SDSS", ("g", "r"), [0, 1, 2, 3])
    assert np.isnan(colors[0, :2]).all() and not np.isnan(colors[1:]).any()
    np.testing.assert_allclose(colors[1:], whole_image[1:])
    corner = np.zeros((1, 16, 16))
    corner[0, :2, :2] = 1
    assert np.isfinite(radial_fluxes(flux, corner)).all()


@KINDS
def test_cubes_and_stacks(kind):
    flux, bad, clean = dirty(kind)
    cube = BandCube(flux[0], unit="nmgy", wcs=None, bands="ugriz", survey="SDSS")
    np.testing.assert_array_equal(cube.mask, bad[0])
    image, weight = flux_and_weight(cube)
    assert not image[bad[0]].any() and not weight[bad[0]].any()


def test_masks_and_psfs_of_cubes():
    hidden = np.zeros((2, 8, 8), bool)
    hidden[0, 3, 3] = True
    with pytest.raises(ValueError, match="mask"):
        BandCube(np.ones((2, 8, 8)), unit="nmgy", wcs=None, bands="gr", mask=np.ma.array(hidden, mask=hidden))
    with pytest.raises(ValueError, match="psf"):
        BandCube(np.ones((2, 8, 8)), unit="nmgy", wcs=None, bands="gr",
                 psf=np.ma.array(np.ones((2, 8, 8)), mask=hidden))


def test_masked_sky_positions_match_nothing():
    angle = Masked([10.0, 20.0] * u.deg, mask=[False, True])
    other = SkyCoord([10.0, 20.0] * u.deg, [10.0, 20.0] * u.deg)
    for first, second in ((SkyCoord(angle, angle), other), (other, SkyCoord(angle, angle))):
        assert match_one_to_one(first, second, 1 * u.arcsec)[0].tolist() == [0, -1]


def test_bands_of_surveys():
    band = get_survey("SDSS")["r"]
    for changed in ({"response": np.ma.array(band.response, mask=band.response > 0.5 * band.response.max())},
                    {"wavelength": Masked(band.wavelength, mask=band.response > 0)}):
        with pytest.raises(ValueError, match=next(iter(changed))):
            replace(band, **changed)


def test_apertures():
    cube = BandCube(np.ones((2, 8, 8)), unit="nmgy", wcs=None, bands="gr", survey=get_survey("SDSS").select("gr"))
    for aperture in (np.ma.array(np.ones((8, 8)), mask=np.eye(8)), np.ma.array(np.ones((8, 8), int), mask=np.eye(8))):
        with pytest.raises(ValueError, match="aperture"):
            sed_spectrum(cube, aperture=aperture)


GRID = np.linspace(0, 2, 201)
Z = np.random.default_rng(0).uniform(0.2, 0.8, 50)


def densities():
    return np.exp(-0.5 * ((GRID - Z[:, None]) / 0.05) ** 2)


def hidden_redshifts(kind=np.ma.array):
    values, mask = Z.copy(), np.zeros(50, bool)
    values[3], values[4], mask[3:5] = -9, 99, True
    return kind(values, mask=mask)


@pytest.mark.parametrize("kind", [np.ma.array, Masked])
def test_densities(kind):
    values, hidden = densities(), np.zeros((50, 201), bool)
    hidden[7] = hidden[8, 100] = True
    values[hidden] = 1
    with pytest.warns(UserWarning, match="1 of 50"):  # one row came as missing throughout
        pdf = RedshiftPDF(GRID, kind(values, mask=hidden), on_invalid="mask", tolerance=np.inf)
    assert np.flatnonzero(~pdf.valid).tolist() == [7, 8]
    with pytest.raises(ValueError, match="densities"):
        RedshiftPDF(GRID, kind(values, mask=hidden), tolerance=np.inf)
    with pytest.raises(ValueError, match="grid"):
        RedshiftPDF(kind(GRID, mask=GRID > 1), values, tolerance=np.inf)
    samples = kind(np.full((2, 4), 0.5), mask=[[0, 0, 0, 1], [0] * 4])
    with pytest.raises(ValueError, match="densities"):
        RedshiftPDF.from_samples(samples, [0, 1, 2])
    with pytest.raises(ValueError, match="densities"):
        RedshiftPDF.from_histogram([0, 1, 2], samples[:, 2:])
    with pytest.raises(ValueError, match="densities"):
        RedshiftPDF.from_gaussian_mixture(GRID, [[1.0] * 4] * 2, samples, [[0.1] * 4] * 2)


@pytest.mark.parametrize("kind", [np.ma.array, Masked, MaskedColumn])
def test_metrics_refuse_hidden_redshifts(kind):
    pdf, z_spec = RedshiftPDF(GRID, densities(), tolerance=np.inf), hidden_redshifts(kind)
    for metric in (pdf.pit, pdf.crps, pdf.credible_level, pdf.density_at):
        with pytest.raises(ValueError, match="z_spec"):
            metric(z_spec)
    for metric in (distribution_metrics, nz_metrics, coverage):
        with pytest.raises(ValueError, match="z_spec"):
            metric(pdf, z_spec)
    with pytest.raises(ValueError, match="z_spec"):
        point_metrics(Z, z_spec)
    assert point_metrics(Z, z_spec, on_invalid="mask")["n_masked"] == 2
    assert point_metrics(z_spec, Z, on_invalid="mask")["n_masked"] == 2
    evaluation = evaluate_redshifts(pdf, z_spec, n_bootstrap=0)
    assert evaluation.metrics.meta["n_without_z_spec"] == 2
    table = binned_point_metrics(Z, Z, z_spec, [0, 1])
    assert table["count"][0] == 48 and table.meta["n_outside"] == 2
    assert PITCalibration.fit(pdf, z_spec).n_left_out == 2
    weights = kind(np.ones(50), mask=z_spec.mask)
    for call in (lambda: nz_metrics(pdf, Z, weights=weights), lambda: pdf.stack(weights),
                 lambda: combine([pdf, pdf], weights=np.ma.array([1, 2], mask=[0, 1])),
                 lambda: point_metrics(Z, Z, weights=weights)):
        with pytest.raises(ValueError, match="weights"):
            call()
    with pytest.raises(ValueError, match="pit"):
        pit_statistics(kind([0.1, 0.5], mask=[False, True]))
    with pytest.raises(ValueError, match="^z "):
        pdf.cdf(kind([0.1, 0.5], mask=[False, True]))


def test_catalog_estimators():
    rng = np.random.default_rng(1)
    magnitudes = 20 + rng.normal(size=(60, 3))
    hidden = np.zeros((60, 3), bool)
    hidden[:5, 1] = True
    dirty_columns = np.where(hidden, 30, magnitudes)
    options = {"width": 8, "epochs": 1, "n_members": 1, "batch_size": 32}
    z = rng.uniform(0.1, 1, 60)
    clean = fit_catalog_estimator(np.where(hidden, np.nan, magnitudes), z, **options)
    for kind in (np.ma.array, Masked):
        made = fit_catalog_estimator(kind(dirty_columns, mask=hidden), z, **options)
        expected = clean.predict(np.where(hidden, np.nan, magnitudes)).density
        np.testing.assert_array_equal(made.predict(kind(dirty_columns, mask=hidden)).density, expected)
    with pytest.raises(ValueError, match="redshift"):
        fit_catalog_estimator(magnitudes, np.ma.array(z, mask=z > 0.9), **options)


def test_image_estimators():
    flux, bad, clean = dirty("numpy.ma")
    # away from the middle, without which a band would be missing
    values, bad, clean = (np.concatenate([np.roll(one, 6, (2, 3))] * 4) for one in (np.ma.getdata(flux), bad, clean))
    flux = np.ma.array(values, mask=bad)
    z = np.linspace(0.1, 0.5, 12)
    options = {"survey": "SDSS", "epochs": 1, "n_members": 1, "width": 4, "batch_size": 4}
    expected = fit_redshift_estimator(clean, z, **options).predict(clean).density
    made = fit_redshift_estimator(flux, z, **options)
    np.testing.assert_array_equal(made.predict(flux).density, expected)
    weight = np.ma.array(np.ones(flux.shape), mask=flux.mask)
    np.testing.assert_array_equal(made.predict(np.nan_to_num(clean), weight).density, expected)


def test_synthetic_photometry_leaves_hidden_pixels_out():
    band = get_survey("SDSS")["r"]
    wavelength = np.linspace(5000, 8000, 3001) * u.AA
    flux, hidden = np.full(3001, 3631.0), np.zeros(3001, bool)
    hidden[1200:1220] = True
    flux[hidden] = 1e9
    made = band_flux_density(wavelength, Masked(flux * u.Jy, mask=hidden), band)
    assert made.to_value(u.Jy) == pytest.approx(3631, rel=1e-6)
    both = Masked(np.stack([flux, np.where(hidden, 3631, flux)]) * u.Jy, mask=np.stack([hidden, hidden & False]))
    np.testing.assert_allclose(band_flux_density(wavelength, both, band).to_value(u.Jy), 3631, rtol=1e-6)
    hidden[900:1700] = True
    with pytest.raises(ValueError, match="band r"):
        band_flux_density(wavelength, Masked(flux * u.Jy, mask=hidden), band)


def test_masked_spectra():
    specutils = pytest.importorskip("specutils")
    hidden = np.zeros(3001, bool)
    hidden[1200:1220] = True
    flux = np.where(hidden, 1e9, 3631.0)
    spectrum = specutils.Spectrum(flux=flux * u.Jy, spectral_axis=np.linspace(5000, 8000, 3001) * u.AA, mask=hidden)
    assert synthetic_magnitude(spectrum, get_survey("SDSS")["r"]).value == pytest.approx(0, abs=1e-3)
