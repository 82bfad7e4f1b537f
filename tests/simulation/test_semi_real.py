"""Pairs of galaxies cut from deep fields, and parts of a field."""

import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.utils.exceptions import AstropyDeprecationWarning
from astropy.wcs import WCS

from astro_galtrans.images import BandCube, read_cube
from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import DegradeConfig, SemiRealConfig, semi_real_pairs, split_by_position
from astro_galtrans.surveys import get_survey

CFHTLS = get_survey("CFHTLS").select("gri")
SHAPE = (260, 420)
GALAXIES = [(60.3, 70.8), (150.9, 190.2), (200.4, 60.1), (290.7, 130.6), (360.2, 60.3), (350.5, 195.4)]
STARS = [(30.3, 150.2), (110.1, 30.4), (100.6, 120.7), (240.2, 215.3), (310.8, 30.9), (390.1, 130.2), (250.5, 100.5)]


def gaussians(places, width, magnitude):
    y, x = np.indices(SHAPE)
    image = np.zeros(SHAPE)
    for x0, y0 in places:
        image += np.exp(-((x - x0)**2 + (y - y0)**2) / (2 * width**2))
    return image * 10 ** (0.4 * (30 - magnitude)) / (2 * np.pi * width**2)


@pytest.fixture(scope="module")
def field():
    """Six galaxies of magnitude 18 and some stars, in three bands, with a background that rises."""
    rng, planes = np.random.default_rng(5), []
    for band in CFHTLS:
        seeing = band.psf_fwhm.value / 0.187 / 2.3548
        image = gaussians(GALAXIES, np.hypot(seeing, 3.5), 18) + gaussians(STARS, seeing, 19)
        planes.append(image + band.sky_noise * rng.normal(size=SHAPE) + 3 + 0.01 * np.arange(SHAPE[1]))
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [215.0, 52.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [200.0, 100.0], [-0.187 / 3600, 0.187 / 3600]
    return BandCube(np.array(planes, dtype=np.float32), unit="adu", bands="gri", survey="CFHTLS", wcs=wcs)


@pytest.fixture(scope="module")
def pairs(field):
    return semi_real_pairs(field, "SDSS", seed=1, input_size=16, realizations=2, max_magnitude=20)


def test_every_galaxy_and_no_star(pairs):
    assert len(pairs) == 2 * len(GALAXIES)
    found = sorted({(row["x"], row["y"]) for row in pairs.catalog})
    np.testing.assert_allclose(found, sorted(GALAXIES), atol=0.1)
    assert pairs.input_survey.name == "SDSS" and pairs.target_survey.band_names == ("g", "r", "i")
    assert len(set(pairs.ids)) == len(pairs) and pairs.catalog.meta["semi_real"]["dropped"] == [
        {"bright": 0, "edge": 0, "bad pixels": 0}]


def test_both_sides_show_the_same_galaxy(pairs):
    light = [np.asarray(flux)[..., 2:-2, 2:-2].sum(axis=(2, 3)) for flux in (pairs.input_flux, pairs.target_flux)]
    magnitudes = 22.5 - 2.5 * np.log10(light[0]), 30 - 2.5 * np.log10(light[1])
    np.testing.assert_allclose(*magnitudes, atol=0.15)
    np.testing.assert_allclose(magnitudes[1], 18.15, atol=0.25)
    # centered within half a target pixel, both at the same place
    for side, scale in (("input", 0.396), ("target", 0.187)):
        flux = np.mean(getattr(pairs, f"{side}_flux"), axis=1)
        y, x = (np.indices(flux.shape[1:]) - (flux.shape[-1] - 1) / 2) * scale
        window = np.exp(-(x**2 + y**2) / 2)
        center = [2 * (axis * flux * window).sum(axis=(1, 2)) / (flux * window).sum(axis=(1, 2)) for axis in (x, y)]
        assert np.abs(center).max() < 0.25
    row = pairs[0]
    assert row.input.wcs.pixel_to_world(7.5, 7.5).separation(
        row.target.wcs.pixel_to_world(*[(pairs.target_flux.shape[-1] - 1) / 2] * 2)) < 0.01 * u.arcsec


def test_noise_and_weight(pairs):
    corner = np.s_[..., :4, :4]
    for name in ("input", "target"):
        chi = getattr(pairs, f"{name}_flux")[corner] * np.sqrt(getattr(pairs, f"{name}_weight")[corner])
        assert 0.85 < 1.4826 * np.median(np.abs(chi - np.median(chi))) < 1.2
    one, other = pairs.input_flux[0], pairs.input_flux[1]
    assert np.array_equal(pairs.target_flux[0], pairs.target_flux[1]) and not np.array_equal(one, other)


def test_the_seed_decides(field, pairs):
    again, other = (semi_real_pairs(field, "SDSS", seed=seed, input_size=16, realizations=2, max_magnitude=20)
                    for seed in (1, 2))
    assert np.array_equal(pairs.input_flux, again.input_flux) and list(pairs.ids) == list(again.ids)
    assert not np.array_equal(pairs.input_flux, other.input_flux)
    assert np.array_equal(pairs.target_flux, other.target_flux)


def test_on_disk(field, pairs, tmp_path):
    path = tmp_path / "pairs.zarr"
    stored = semi_real_pairs(field, "SDSS", seed=1, input_size=16, realizations=2, max_magnitude=20, path=path)
    for name, values in pairs.read(images=["input_flux", "target_weight"]).items():
        if values is not None:
            assert np.array_equal(values, stored.read(images=["input_flux", "target_weight"])[name])
    assert PairSet.open(path).catalog.colnames == pairs.catalog.colnames


def test_parts_of_the_field_share_nothing(pairs):
    first, second = split_by_position(pairs, (0.5, 0.5))
    half = pairs.target_flux.shape[-1] / 2
    assert first.catalog["x"].max() + half < second.catalog["x"].min() - half
    assert not set(zip(first.catalog["x"], first.catalog["y"])) & set(zip(second.catalog["x"], second.catalog["y"]))
    with pytest.raises(ValueError, match="fractions"):
        split_by_position(pairs, (0.99, 0.01))
    with pytest.raises(ValueError, match="fractions"):
        split_by_position(pairs, (0.9, 0.2))
    with pytest.raises(ValueError, match="axis"):
        split_by_position(pairs, (0.5, 0.5), axis="z")


def test_bad_pixels_edges_and_bright_sources(field):
    data = field.data.copy()
    data[1, 50:90, 40:80] = np.nan
    cube = BandCube(data, unit="adu", bands="gri", survey="CFHTLS", wcs=field.wcs)
    made = semi_real_pairs(cube, "SDSS", seed=1, input_size=16, band="i", max_magnitude=20)
    assert len(made) == 5 and made.catalog.meta["semi_real"]["dropped"][0]["bad pixels"] == 1
    wide = semi_real_pairs(field, "SDSS", seed=1, input_size=60, max_magnitude=20)
    assert len(wide) < 6 and wide.catalog.meta["semi_real"]["dropped"][0]["edge"] > 0
    with pytest.raises(ValueError, match="images.*'bright': 6"):
        semi_real_pairs(field, "SDSS", seed=1, input_size=16, max_magnitude=20, min_magnitude=19)


def test_other_sources_are_masked_in_both(field):
    beside = [(x + 22, y - 6) for x, y in GALAXIES[:3]]
    star = [gaussians(beside, band.psf_fwhm.value / 0.187 / 2.3548, 19) for band in CFHTLS]
    crowded = BandCube(field.data + np.array(star, dtype=np.float32), unit="adu", bands="gri", survey="CFHTLS",
                       wcs=field.wcs)
    kept, masked = (semi_real_pairs(crowded, "SDSS", neighbors=how, seed=1, input_size=32, max_magnitude=18.5)
                    for how in ("keep", "mask"))
    assert masked.catalog.meta["semi_real"]["neighbours"] == "mask" and len(masked) == len(kept) == 6
    assert np.array_equal(kept.input_flux, masked.input_flux) and np.array_equal(kept.target_flux, masked.target_flux)
    for number, place in enumerate(zip(masked.catalog["x"], masked.catalog["y"])):
        near = [other for other in beside if np.hypot(*np.subtract(other, place)) < 30]
        for side, scale in (("target", 1.0), ("input", 0.396 / 0.187)):
            weight, before = (getattr(pairs, f"{side}_weight")[number] for pairs in (masked, kept))
            hidden = weight == 0
            assert np.array_equal(weight[~hidden], before[~hidden]) and (hidden == hidden[0]).all()
            assert hidden.any() == bool(near)
            y, x = np.indices(weight.shape[1:]) - (weight.shape[-1] - 1) / 2
            assert not hidden[0][np.hypot(x, y) * scale < 6].any()
            for other in near:
                away = np.subtract(other, place)
                distance = np.hypot(x * scale - away[0], y * scale - away[1])
                assert hidden[0][distance < 3].all() and not hidden[0][distance > 20].any()


@pytest.mark.parametrize("options, message", [
    ({"seed": -1}, "seed"), ({"seed": 1, "neighbors": "hide"}, "neighbors"),
    ({"seed": 1, "realizations": 0}, "realizations"),
])
def test_wrong_arguments(field, options, message):
    with pytest.raises(ValueError, match=message):
        semi_real_pairs(field, "SDSS", **options)


def test_each_field_has_its_psf(field):
    widths = ([0.8, 0.75, 0.7] * u.arcsec, 0.9 * u.arcsec)
    both = semi_real_pairs([field, field], "SDSS", seed=1, input_size=16, max_magnitude=20, psf=widths)
    before = [[value[0] for value in one.values()] for one in both.catalog.meta["semi_real"]["fwhm_arcsec"]]
    np.testing.assert_allclose(before, [[0.8, 0.75, 0.7], [0.9, 0.9, 0.9]], rtol=1e-3)


def test_the_old_spelling_of_neighbors(field):
    settings = {"seed": 1, "input_size": 32, "max_magnitude": 18.5}
    with pytest.warns(AstropyDeprecationWarning, match="neighbors"):
        old = semi_real_pairs(field, "SDSS", neighbours="drop", **settings)
    new = semi_real_pairs(field, "SDSS", config=SemiRealConfig(neighbors="drop"), **settings)
    assert np.array_equal(old.input_flux, new.input_flux) and list(old.ids) == list(new.ids)


def test_settings_replace_the_configuration(field, pairs):
    config = SemiRealConfig(realizations=3, min_magnitude=10)
    again = semi_real_pairs(field, "SDSS", seed=1, input_size=16, max_magnitude=20, config=config, realizations=2)
    assert np.array_equal(again.input_flux, pairs.input_flux)
    with pytest.raises(TypeError, match="realisations.*realizations"):
        semi_real_pairs(field, "SDSS", seed=1, realisations=2)
    with pytest.raises(TypeError, match="config"):
        semi_real_pairs(field, "SDSS", seed=1, config=DegradeConfig())


@pytest.mark.skipif("GALTRANS_REAL_DATA" not in os.environ, reason="GALTRANS_REAL_DATA does not name the data folder")
def test_a_real_field():
    folder = Path(os.environ["GALTRANS_REAL_DATA"]) / "cfhtls-gri-humvi"
    cube = read_cube({band: folder / f"CFHTLS-test_{band}.fits" for band in "gri"}, survey="CFHTLS")
    made = semi_real_pairs(cube, "SDSS", seed=1, input_size=16, max_magnitude=22.5)
    assert len(made) >= 3
    chi = made.input_flux[..., :3, :3] * np.sqrt(made.input_weight[..., :3, :3])
    assert 0.8 < 1.4826 * np.median(np.abs(chi - np.median(chi))) < 1.6
