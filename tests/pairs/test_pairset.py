import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.pairs import PairExtras, PairSet
from astro_galtrans.surveys import get_survey, matching_size


def make_pairs(n=12, **given):
    rng = np.random.default_rng(1)
    arrays = {"input_flux": rng.normal(size=(n, 5, 8, 8)), "target_flux": rng.normal(size=(n, 5, 18, 18))}
    arrays.update({name: given.pop(name) for name in ("input_flux", "target_flux") if name in given})
    given = {"redshift": np.linspace(0.1, 0.4, n), **given}
    return PairSet.from_arrays(**arrays, input_survey="SDSS", target_survey="CFHTLS", **given)


@pytest.mark.parametrize("sides", [((8, 8), (8, 8)), ((8, 8), (18, 40)), ((64, 64), (120, 136))])
def test_stamps_cover_the_same_sky(sides):
    images = [np.ones((1, 5, *side)) for side in sides]
    with pytest.raises(ValueError, match="input_flux and target_flux must cover the same sky, got .* of 0.396 arcsec"):
        PairSet.from_arrays(*images, input_survey="SDSS", target_survey="CFHTLS")


@pytest.mark.parametrize("side", [2, 7, 31, 64])
@pytest.mark.parametrize("surveys", [("SDSS", "CFHTLS"), ("CFHTLS", "SDSS"), ("HSC", "Euclid NISP")])
def test_matching_sides_cover_the_same_sky(surveys, side):
    bands = [get_survey(name).select(get_survey(name).band_names[:1]) for name in surveys]
    other = matching_size(side, *(survey.pixel_scale for survey in bands))
    images = [np.ones((1, 1, n, n)) for n in (side, max(other, 1))]
    assert len(PairSet.from_arrays(*images, input_survey=bands[0], target_survey=bands[1])) == 1


def test_arrays_are_float32_copies_and_nothing_is_made_up():
    flux = np.ones((3, 5, 8, 8), dtype=np.float32)
    pairs = make_pairs(3, input_flux=flux)
    assert pairs.input_flux.dtype == np.float32 and pairs.redshift.dtype == np.float64
    pairs.input_flux[:] = 5
    assert np.all(flux == 1)
    assert pairs.input_weight is None and pairs.target_truth is None and pairs.catalog is None
    assert pairs.ids.tolist() == [0, 1, 2] and len(pairs) == 3


def test_pixels_that_are_not_finite_get_weight_zero():
    flux = np.ones((3, 5, 8, 8))
    flux[1, 2, 3, 4], flux[2, 0, 0, 0] = np.nan, -np.inf
    pairs = make_pairs(3, input_flux=flux)
    bad = ~np.isfinite(flux)
    assert np.all(pairs.input_flux[bad] == 0) and np.all(pairs.input_weight[bad] == 0)
    # No weight was given: the others have that of the survey's background.
    assert pairs.input_weight[0, 2, 0, 0] == pytest.approx(get_survey("SDSS")["r"].sky_noise ** -2, rel=1e-6)
    assert pairs.target_weight is None
    assert np.isnan(flux).sum() == 1
    weight = np.full(flux.shape, 4.0)
    weight[0, 0, 0, 1] = np.nan
    given = make_pairs(3, input_flux=flux, input_weight=weight)
    assert given.input_weight[0, 0, 0, 1] == 0 and given.input_weight[0, 0, 0, 0] == 4
    assert np.all(given.input_weight[bad] == 0) and weight[1, 2, 3, 4] == 4


def test_quantities_are_converted_through_each_zero_point():
    ab_20 = (20 * u.ABmag).to(u.uJy)
    pairs = make_pairs(2, input_flux=np.ones((2, 5, 8, 8)) * ab_20, target_flux=np.ones((2, 5, 18, 18)) * ab_20,
                       target_weight=np.full((2, 5, 18, 18), 0.01) / u.uJy**2)
    np.testing.assert_allclose(pairs.input_flux, 10 ** (-0.4 * (20 - 22.5)), rtol=1e-5)
    np.testing.assert_allclose(pairs.target_flux, 10 ** (-0.4 * (20 - 30)), rtol=1e-5)
    # Signal-to-noise is the same in any unit.
    expected = ab_20.value**2 * 0.01
    np.testing.assert_allclose(pairs.target_flux**2 * pairs.target_weight, expected, rtol=1e-4)
    own = make_pairs(2, target_flux=np.ones((2, 5, 18, 18)) * u.adu)
    assert np.all(own.target_flux == 1)
    with pytest.raises(u.UnitConversionError, match="target_flux"):
        make_pairs(2, target_flux=np.ones((2, 5, 18, 18)) * u.m)


@pytest.mark.parametrize(("given", "message"), [
    ({"input_flux": np.ones((12, 5, 8))}, "input_flux"),
    ({"input_flux": np.ones((11, 5, 8, 8))}, "input_flux.*target_flux"),
    ({"redshift": [0.1, 0.2]}, "redshift"),
    ({"redshift": np.full(12, np.inf)}, "redshift"),
    ({"ids": [1] * 12}, "ids"),
    ({"ids": np.arange(3)}, "ids"),
    ({"ids": np.arange(12.0)}, "ids"),
    ({"input_weight": -np.ones((12, 5, 8, 8))}, "input_weight"),
    ({"input_weight": np.full((12, 5, 8, 8), np.inf)}, "input_weight"),
    ({"input_weight": np.ones((12, 5, 8, 7))}, "input_weight"),
    ({"target_truth": np.ones((12, 5, 8, 7))}, "target_truth"),
    ({"target_truth": np.full((12, 5, 18, 18), np.nan)}, "target_truth"),
    ({"catalog": Table({"a": [1]})}, "catalog"),
])
def test_wrong_input_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        make_pairs(**given)


def test_extras_and_keywords_agree():
    flux = np.ones((12, 3, 8, 8))
    extras = PairExtras(input_bands="gri", redshift_error=np.full(12, 0.1))
    pairs = make_pairs(input_flux=flux, redshift=np.full(12, 0.3), extras=extras)
    assert pairs.input_survey.band_names == ("g", "r", "i") and np.all(pairs.redshift_error == 0.1)
    replaced = make_pairs(input_flux=flux, redshift=np.full(12, 0.3), extras=extras, redshift_error=np.full(12, 0.2))
    assert np.all(replaced.redshift_error == 0.2)
    with pytest.raises(TypeError, match="input_band.*input_bands"):
        make_pairs(input_flux=flux, input_band="gri")
    with pytest.raises(TypeError, match="extras"):
        make_pairs(extras={"input_bands": "gri"})


def test_bands_must_fit_the_survey():
    flux = np.ones((2, 3, 8, 8))
    with pytest.raises(BandMismatchError, match="input_flux.*input_bands"):
        make_pairs(2, input_flux=flux)
    with pytest.raises(BandMismatchError, match="order"):
        make_pairs(2, input_flux=flux, input_bands="rig")
    pairs = make_pairs(2, input_flux=flux, input_bands="gri")
    assert pairs.input_survey.band_names == ("g", "r", "i")
    with pytest.raises(TypeError, match="input_flux"):
        make_pairs(2, input_flux=flux + 1j, input_bands="gri")


def test_selection_keeps_rows_together():
    pairs = make_pairs(ids=[f"galaxy {i}" for i in range(12)], catalog=Table({"number": np.arange(12)}))
    some = pairs.select([7, 2])
    assert some.ids.tolist() == ["galaxy 7", "galaxy 2"] and some.catalog["number"].tolist() == [7, 2]
    np.testing.assert_array_equal(some.input_flux, pairs.input_flux[[7, 2]])
    np.testing.assert_array_equal(some.redshift, pairs.redshift[[7, 2]])
    assert pairs.select(pairs.redshift > 0.3).redshift.min() > 0.3
    assert pairs[2:5].catalog["number"].tolist() == [2, 3, 4] and len(pairs.select([])) == 0
    with pytest.raises(ValueError, match="twice"):
        pairs.select([1, 1])
    with pytest.raises(ValueError, match="boolean selection"):
        pairs.select([True, False])
    with pytest.raises(IndexError):
        pairs[12]


def test_split_is_seeded_and_shares_no_galaxy():
    pairs = make_pairs(20, ids=np.random.default_rng(0).permutation(100)[:20])
    parts = pairs.split((0.5, 0.25, 0.25), seed=3)
    assert [len(part) for part in parts] == [10, 5, 5]
    ids = np.concatenate([part.ids for part in parts])
    assert sorted(ids) == sorted(pairs.ids)
    again = pairs.split((0.5, 0.25, 0.25), seed=3)
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(parts, again))
    # By galaxy and not by place: another order of the same pairs gives the same parts.
    shuffled = pairs.select(np.random.default_rng(1).permutation(20)).split((0.5, 0.25, 0.25), seed=3)
    assert all(set(a.ids) == set(b.ids) for a, b in zip(parts, shuffled))
    assert set(pairs.split([0.5], seed=4)[0].ids) != set(parts[0].ids)
    state = np.random.get_state()[1].copy()
    pairs.split((0.3, 0.3))
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("fractions", [(0.8, 0.3), (0.5, 0), (-0.1, 0.5), (np.nan, 0.5)])
def test_fractions_must_make_sense(fractions):
    with pytest.raises(ValueError, match="fractions"):
        make_pairs().split(fractions)


def test_empty_part_is_refused():
    with pytest.raises(ValueError, match="too few"):
        make_pairs(3).split((0.9, 0.05))


def test_reversed_exchanges_the_sides():
    pairs = make_pairs(input_weight=np.ones((12, 5, 8, 8)))
    back = pairs.reversed()
    assert back.input_survey.name == "CFHTLS" and back.target_weight is pairs.input_weight
    np.testing.assert_array_equal(back.reversed().input_flux, pairs.input_flux)


def test_one_pair_is_two_cubes_on_one_place():
    catalog = Table({"ra": [150.0, 10.0], "dec": [2.0, np.nan]})
    weight = np.full((2, 5, 8, 8), 4.0)
    weight[0, 1, 2, 3] = 0
    pairs = make_pairs(2, catalog=catalog, input_weight=weight, redshift=[0.2, np.nan])
    pair = pairs[0]
    assert pair.redshift == 0.2 and pair.id == 0 and pairs[-1].redshift is None
    for cube, center in ((pair.input, 3.5), (pair.target, 8.5)):
        place = cube.wcs.pixel_to_world(center, center)
        assert place.separation(SkyCoord(150, 2, unit="deg")) < 1e-6 * u.arcsec
    assert pair.input.pixel_scale.to_value("arcsec") == pytest.approx(0.396, rel=1e-6)
    assert pair.input.unit == u.Unit("nmgy") and pair.target.survey.name == "CFHTLS"
    assert pair.input.mask.sum() == 1 and pair.input.mask[1, 2, 3]
    assert pair.input.uncertainty.array[0, 0, 0] == 4 and pair.target.uncertainty is None
    assert "not known" in pairs[1].input.meta["position"]
    pair.input.data[:] = 0
    assert np.any(pairs.input_flux[0])


def test_read_gives_arrays():
    pairs = make_pairs()
    batch = pairs.read([3, 1])
    assert batch["target_flux"].shape == (2, 5, 18, 18) and batch["input_weight"] is None
    assert batch["ids"].tolist() == [3, 1] and pairs.read(5)["input_flux"].shape == (1, 5, 8, 8)
    with pytest.raises(TypeError, match="indices"):
        pairs.read([0.5])


def test_pickles():
    pairs = make_pairs()
    again = pickle.loads(pickle.dumps(pairs))
    np.testing.assert_array_equal(again.input_flux, pairs.input_flux)


def test_psfs_of_the_user(tmp_path):
    psf = np.zeros((3, 5, 9, 9))
    psf[:2, :, 4, 4] = 2
    psf[2] = np.nan
    pairs = make_pairs(3, input_psf=psf, target_psf=np.ones((5, 3, 3)))
    assert pairs.input_psf.dtype == np.float32 and pairs.target_psf.shape == (3, 5, 3, 3)
    np.testing.assert_allclose(pairs.target_psf, 1 / 9)
    pairs.write(tmp_path / "pairs.zarr")
    again = PairSet.open(tmp_path / "pairs.zarr").select([2, 0])
    assert again[0].input.psf is None and again[0].target.psf.shape == (5, 3, 3)
    np.testing.assert_array_equal(again[1].input.psf, psf[0] / 2)


@pytest.mark.parametrize(["psf", "error", "words"], [
    (np.ones((4, 3, 3)), ValueError, r"input_psf must have shape .* 3 galaxies and 5 bands, got \(4, 3, 3\)"),
    (np.full((5, 3, 3), -1.0), ValueError, "input_psf must have a sum above 0"),
    (np.where(np.eye(3), np.inf, np.ones((5, 3, 3))), ValueError, "input_psf must be finite"),
    (np.ones((3, 5, 3, 3)) * (np.arange(5) != 1)[:, None, None], ValueError, "input_psf must be known in all bands"),
    (np.ones((5, 3, 3), dtype=bool), TypeError, "input_psf must hold real numbers")])
def test_wrong_psfs(psf, error, words):
    with pytest.raises(error, match=words):
        make_pairs(3, input_psf=psf)


def labels(n, side, seed=3):
    return np.random.default_rng(seed).integers(0, 3, (n, side, side))


def test_labels_follow_their_galaxies():
    given = labels(4, 8)
    pairs = make_pairs(4, input_label=given)
    assert pairs.input_label.dtype == np.uint8 and pairs.target_label is None
    np.testing.assert_array_equal(pairs.input_label, given)
    np.testing.assert_array_equal(pairs.select([3, 1]).input_label, given[[3, 1]])
    part = pairs.split((0.5, 0.5), seed=0)[0]
    np.testing.assert_array_equal(part.input_label, given[part.ids])
    batch = pairs.read(2, images=["input_label"])
    assert batch["input_label"].shape == (1, 8, 8) and "input_flux" not in batch
    assert pairs.reversed().target_label is pairs.input_label and pairs.reversed().input_label is None
    assert pairs.within("input").target_label is pairs.input_label
    assert "with label" in pairs._repr_html_()


@pytest.mark.parametrize(("label", "message"), [
    (np.full((3, 8, 8), 3), r"input_label must be 0 \(sky\), 1 .* got 3"),
    (np.full((3, 8, 8), -1), "input_label must be 0.*got -1"),
    (np.full((3, 8, 8), 0.5), "input_label must be 0.*got 0.5"),
    (np.full((3, 8, 8), np.nan), "input_label must be 0.*got nan"),
    (np.ma.masked_less(np.zeros((3, 8, 8), int), 1), "input_label must not have missing values"),
    (np.zeros((3, 5, 8, 8), int), r"input_label must have shape \(3, 8, 8\)"),
])
def test_wrong_labels(label, message):
    with pytest.raises(ValueError, match=message):
        make_pairs(3, input_label=label)
