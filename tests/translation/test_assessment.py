"""Assessments tell galaxies unlike those of the training, and translations that disagree with their input."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal

from astro_galtrans.images import BandCube
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey, matching_size
from astro_galtrans.training import fit
from astro_galtrans.translation import TranslatedArrays, Translator
from astro_galtrans.translation._consistency import consistency

SIZE, NOISE = 24, 0.02
FWHM = 1.3  # arcsec
COLORS = np.array([1.0, 2.0, 3.0])


def blob(center, width, size=SIZE, scale=1.0):
    """A round Gaussian of flux 1 per pixel area, its center relative to that of the image."""
    y, x = (np.indices((size, size)) - (size - 1) / 2) * scale
    return scale**2 * np.exp(-((y - center[0])**2 + (x - center[1])**2) / (2 * width**2)) / (2 * np.pi * width**2)


def galaxies(n, seed, width=(2.0, 4.0), colors=COLORS):
    rng = np.random.default_rng(seed)
    images = np.stack([blob(rng.uniform(-0.5, 0.5, 2), rng.uniform(*width)) for _ in range(n)])[:, None]
    flux = 10 ** rng.uniform(1, 1.7, (n, 1)) * colors * 10 ** rng.normal(0, 0.05, (n, 3))
    return (images * flux[..., None, None] + rng.normal(0, NOISE, (n, 3, SIZE, SIZE))).astype(np.float32)


def pairs_of(flux, bands="gri", **options):
    side = matching_size(flux.shape[-1], *(get_survey(name).pixel_scale for name in ("SDSS", "CFHTLS")))
    return PairSet.from_arrays(flux, np.ones((*flux.shape[:2], side, side), np.float32),
                               input_survey=get_survey("SDSS").select(bands),
                               target_survey=get_survey("CFHTLS").select(bands),
                               input_weight=np.full(flux.shape, NOISE**-2), **options)


@pytest.fixture(scope="module")
def assessing(translator):
    return translator.with_assessor(pairs_of(galaxies(300, 1)), pairs_of(galaxies(200, 2)))


@pytest.fixture(scope="module")
def cubes_of(make_wcs):
    def make(flux, mask=None):
        return [BandCube(one, unit="nmgy", wcs=make_wcs(one.shape[1:]), bands="gri", survey="SDSS", mask=mask,
                         uncertainty=StdDevUncertainty(np.full(one.shape, NOISE))) for one in flux]
    return make


def test_false_alarms_have_the_stated_rate(assessing, cubes_of):
    p_values = np.array([one.p_value for one in assessing.assess(cubes_of(galaxies(200, 3)))])
    for rate in (0.05, 0.2, 0.5):
        # The scatter is that of two binomial samples: of these galaxies, and of those of the calibration.
        assert abs(np.mean(p_values < rate) - rate) < 3.5 * np.sqrt(rate * (1 - rate) * (1 / 200 + 1 / 200))


def line(flux):
    y, x = np.indices((SIZE, SIZE))
    flux[:, 1] += 10 * NOISE * (np.abs(y - x - 4) < 3)
    return flux


def test_a_psf_that_is_not_stated_is_no_reason_for_doubt(translator, cubes_of):
    rng = np.random.default_rng(7)

    def with_psf(n, seed):
        widths = Table({"input_psf_fwhm": FWHM * np.exp(0.1 * rng.normal(size=(n, 3))) * u.arcsec})
        return pairs_of(galaxies(n, seed), catalog=widths)

    assessing = translator.with_assessor(with_psf(300, 1), with_psf(200, 2))
    cubes = cubes_of(galaxies(200, 3))
    for stated in ({}, {"psf_fwhm": FWHM}):
        p_values = np.array([one.p_value for one in assessing.assess(cubes, **stated)])
        assert abs(np.mean(p_values < 0.2) - 0.2) < 3.5 * np.sqrt(0.2 * 0.8 * (1 / 200 + 1 / 200))
    assert "PSF outside training range" in assessing.assess(cubes[0], psf_fwhm=3.0).flags


def test_a_psf_counts_only_where_the_training_has_some(assessing, cubes_of):
    cubes = cubes_of(galaxies(20, 3))
    without, stated = ([one.p_value for one in assessing.assess(cubes, **options)] for options in
                       ({}, {"psf_fwhm": FWHM}))
    assert stated == without


@pytest.mark.parametrize("flux, flag", [
    (galaxies(20, 4, width=(1.3, 1.32)), "star"),
    (galaxies(20, 4, colors=COLORS[::-1]), "bands shuffled or zero point off"),
    (galaxies(20, 4) * np.array([1, 10, 1], np.float32)[:, None, None], "bands shuffled or zero point off"),
    (galaxies(20, 4) / 10, "magnitude outside training range"),
    (galaxies(20, 4, width=(6.0, 6.5)), "size outside training range"),
    (galaxies(20, 4) + np.roll(galaxies(20, 5), 6, axis=-1), "blend"),
    (line(galaxies(20, 4)), "trail"),
    (np.minimum(galaxies(20, 4), 0.8 * galaxies(20, 4).max((2, 3), keepdims=True)) * 30, "saturated core"),
], ids=["star", "colors", "zero point", "faint", "large", "blend", "trail", "saturated"])
def test_unusual_images_are_recognized_with_the_reason(assessing, cubes_of, flux, flag):
    assessed = assessing.assess(cubes_of(flux))
    assert np.mean([one.p_value < 0.05 for one in assessed]) > 0.8
    assert np.mean([flag in one.flags for one in assessed]) > 0.8


def test_unusual_noise_is_flagged(assessing, cubes_of):
    cube = cubes_of(galaxies(1, 6))[0]
    noisy = BandCube(cube.data, unit="nmgy", wcs=cube.wcs, bands="gri", survey="SDSS",
                     uncertainty=StdDevUncertainty(np.full(cube.shape, 3 * NOISE)))
    assert "noise outside training range" in assessing.assess(noisy).flags
    assert "noise outside training range" not in assessing.assess(cube).flags


def test_masked_images_and_lists_of_several_shapes(assessing, cubes_of):
    mask = np.zeros((3, SIZE, SIZE), bool)
    mask[:, 10:14] = True
    flux = galaxies(2, 7)
    cubes = cubes_of(flux[:1], mask) + cubes_of(flux[1:, :, 2:-2, 2:-2]) + cubes_of(flux[1:])
    masked, small, whole = assessing.assess(cubes)
    assert {"masked", "saturated core"} <= set(masked.flags)
    assert np.isnan(masked.residual[mask]).all() and not masked.unsupported[mask].any()
    assert small.residual.shape == cubes[1].shape
    alone = assessing.assess(cubes[2])
    assert alone.p_value == whole.p_value and alone.flags == whole.flags
    assert_allclose(alone.chi2_map, alone.residual**2)
    assert alone.chi2 == pytest.approx(np.nanmean(alone.chi2_map), rel=1e-5)


def test_without_an_assessor_there_is_chi2_alone(translator, cubes_of):
    assessed = translator.assess(cubes_of(galaxies(1, 8))[0])
    assert np.isnan(assessed.p_value) and assessed.flags == () and np.isfinite(assessed.chi2)


def test_stored_with_the_translator(assessing, cubes_of, tmp_path):
    assessing.write(tmp_path / "t.asdf")
    read = Translator.read(tmp_path / "t.asdf")
    assert read.hash == assessing.hash
    cubes = cubes_of(np.concatenate([galaxies(3, 9), galaxies(3, 9, colors=COLORS[::-1])]))
    for one, other in zip(assessing.assess(cubes), read.assess(cubes)):
        assert (one.p_value, one.chi2, one.flags) == (other.p_value, other.chi2, other.flags)
        assert_array_equal(one.residual, other.residual)


def test_fit_makes_an_assessor_from_enough_pairs():
    options = dict(epochs=1, seed=0, objective="pixel", backbone_options={"widths": [4, 8], "n_features": 4})
    pairs, held = (pairs_of(galaxies(n, n)) for n in (64, 65))
    held.ids = held.ids + 1000
    assert fit(pairs, validation=held, **options).translator.assessor is not None
    assert fit(pairs, **options).translator.assessor is None


@pytest.mark.parametrize("bands, size, options", [
    ("gri", SIZE, {"conditioning": "redshift"}),
    ("gri", 4, {"backbone": "diffusion", "backbone_options": {"sampling_steps": 2}}),
    ("r", 12, {}),
], ids=["redshift", "diffusion", "one band"])
def test_every_kind_of_translator_assesses(make_translator, make_wcs, bands, size, options):
    given = make_translator(bands, **options)
    margin = (SIZE - size) // 2
    flux = galaxies(64, 1)[:, :len(bands), margin:margin + size, margin:margin + size]
    pairs = pairs_of(flux, bands, redshift=np.full(64, 0.1))
    assessing = given.with_assessor(pairs, pairs)
    cube = BandCube(flux[3], unit="nmgy", wcs=make_wcs(flux.shape[2:]), bands=bands, survey="SDSS")
    assessment = assessing.assess(cube, **({"redshift": 0.1} if "conditioning" in options else {}))
    assert 1 / 65 <= assessment.p_value <= 1 and assessment.residual.shape == cube.shape


def test_too_few_galaxies(translator):
    enough, few = pairs_of(galaxies(64, 1)), pairs_of(galaxies(10, 1))
    with pytest.raises(ValueError, match="held_out must hold at least 64 pairs, got 10"):
        translator.with_assessor(enough, few)


def seen(seed=None, extra=0.0):
    """A galaxy through the PSFs of two surveys, with noise in the input and ``extra`` flux in the translation."""
    surveys = [get_survey(name).select("gri") for name in ("SDSS", "CFHTLS")]
    scales, widths = (0.396, 0.186), (FWHM / 2.3548, 0.7 / 2.3548)
    scales = [survey.pixel_scale.to_value("arcsec") for survey in surveys]
    own = 1.2  # arcsec, of the galaxy
    images = [blob((0.2, -0.3), np.hypot(own, width), size, scale)
              for width, size, scale in zip(widths, (32, 68), scales)]
    units = [np.array([band.flux_per_unit().to_value("Jy") for band in survey]) for survey in surveys]
    flux, translated = (1e-4 * image / unit[:, None, None] for image, unit in zip(images, units))
    noise = flux.max() / 50
    translated = translated + extra * 1e-4 / units[1][:, None, None] * blob((4, 4), 0.5, 68, scales[1])
    rng = np.random.default_rng(seed)
    flux = flux + (0 if seed is None else rng.normal(0, noise, flux.shape))
    fwhms = [np.full((1, 3), width, np.float32) for width in (FWHM, 0.7)]
    arrays = TranslatedArrays(translated[None].astype(np.float32), np.zeros((1, *translated.shape), np.float32))
    return consistency(flux[None].astype(np.float32), np.full((1, *flux.shape), noise**-2.0, np.float32), arrays,
                       surveys, fwhms)


def test_a_right_translation_is_consistent():
    exact = seen()
    assert_allclose(exact.factor, 1, atol=0.02)
    assert np.abs(exact.residual).max() < 1.0
    noisy = seen(seed=1)
    assert noisy.chi2()[0] == pytest.approx(1, abs=4 * np.sqrt(2 / noisy.residual.size))
    assert not noisy.unsupported().any()


def test_an_invented_feature_is_marked():
    compared = seen(seed=1, extra=0.3)
    assert compared.chi2()[0] > 1.3
    marked = compared.unsupported()[0, 1]
    assert marked.any()
    y, x = (np.argwhere(marked).mean(0) - 15.5) * 0.396
    assert (y, x) == pytest.approx((4, 4), abs=0.5)
