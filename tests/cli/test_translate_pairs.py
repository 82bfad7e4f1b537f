"""A set of pairs through a translator, in Python and by ``galtrans translate``."""

import json

import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.field import translate_pairs
from astro_galtrans.pairs import PairSet, _disk
from astro_galtrans.storage import save


def test_arrays_are_those_of_the_translator(small_pairs, small_translator, tmp_path, monkeypatch):
    monkeypatch.setattr(_disk, "MAX_BLOCK", 4)
    made = translate_pairs(small_translator, small_pairs, tmp_path / "out.zarr")
    flux, sigma = small_translator.translate_array_with_uncertainty(small_pairs.input_flux)
    got = made.read()
    np.testing.assert_allclose(got["target_flux"], flux, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(got["target_weight"], sigma**-2, rtol=1e-3)
    for name in ("input_flux", "redshift", "ids", "spectrum_flux"):
        np.testing.assert_array_equal(got[name], small_pairs.read()[name])
    assert made.target_survey.name == "CFHTLS" and made.spectrum_grid == small_pairs.spectrum_grid
    assert made.catalog.meta["galtrans"]["hash"] == small_translator.hash


def test_masked_pixels_have_no_weight(small_pairs, small_translator, tmp_path):
    flux = small_pairs.input_flux.copy()
    flux[0, :, 2, 3], flux[1] = np.nan, np.nan
    pairs = PairSet.from_arrays(flux, small_pairs.target_flux, input_survey="SDSS", target_survey="CFHTLS")
    with pytest.warns(UserWarning, match="no usable pixel"):
        made = translate_pairs(small_translator, pairs, tmp_path / "out.zarr").read()
    assert np.all(np.isfinite(made["target_flux"]))
    bad = (made["target_weight"] == 0).mean((1, 2, 3))
    assert 0 < bad[0] < 0.5 and bad[1] == 1 and np.all(bad[2:] == 0)
    assert np.all(made["target_flux"][1] == 0)


def test_places_on_the_sky(small_pairs, small_translator, tmp_path):
    """The grid of the translation is that which the translator gives the cube."""
    grid = np.tile([7.1, 8.3, -0.396, 0.01, 0.01, 0.396], (16, 1))
    catalog = Table({"ra": np.full(16, 150.0), "dec": np.full(16, 2.0), "input_grid": grid, "target_grid": grid})
    pairs = PairSet.from_arrays(small_pairs.input_flux, small_pairs.target_flux, input_survey="SDSS",
                                target_survey="CFHTLS", catalog=catalog)
    made = translate_pairs(small_translator, pairs, tmp_path / "out.zarr")[3].target
    expected = small_translator(pairs[3].input)
    corner = [one.wcs.pixel_to_world(np.array([0.0, 33]), np.array([0.0, 20])) for one in (made, expected)]
    assert corner[0].separation(corner[1]).arcsec.max() < 1e-3


def test_conditions(small_pairs, conditioned_translator, spectrum_translator, tmp_path):
    made = translate_pairs(conditioned_translator, small_pairs, tmp_path / "z.zarr").read()["target_flux"]
    expected = conditioned_translator.translate_array(small_pairs.input_flux, redshift=small_pairs.redshift)
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-3)
    assert len(translate_pairs(spectrum_translator, small_pairs, tmp_path / "s.zarr")) == 16
    bare = PairSet.from_arrays(small_pairs.input_flux, small_pairs.target_flux, input_survey="SDSS",
                               target_survey="CFHTLS")
    for translator in (conditioned_translator, spectrum_translator):
        with pytest.raises(ValueError, match="the pairs have none"):
            translate_pairs(translator, bare, tmp_path / "none.zarr")
    assert not (tmp_path / "none.zarr").exists()


def test_what_does_not_fit(small_pairs, small_translator, tmp_path):
    with pytest.raises(SurveyError, match="takes SDSS, the input images of the pairs are of CFHTLS"):
        translate_pairs(small_translator, small_pairs.reversed(), tmp_path / "out.zarr")
    few = PairSet.from_arrays(small_pairs.input_flux[:, 1:4], small_pairs.target_flux, input_survey="SDSS",
                              target_survey="CFHTLS", input_bands="gri")
    with pytest.raises(BandMismatchError, match="g,r,i"):
        translate_pairs(small_translator, few, tmp_path / "out.zarr")
    with pytest.raises(TypeError, match="translator"):
        translate_pairs("t.asdf", small_pairs, tmp_path / "out.zarr")


def test_by_command(run, small_pairs, small_translator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("t.asdf", small_translator)
    small_pairs.write("pairs.zarr")
    status, out, err = run("translate", "t.asdf", "pairs.zarr", "--out", "a.zarr", "--quiet")
    assert (status, err) == (0, []) and out[0].startswith("a.zarr: <PairSet: 16 pairs")
    status, out, err = run("translate", "t.asdf", "--catalog", "pairs.zarr", "--out", "b.zarr", "--quiet", "--json")
    assert status == 0 and json.loads("\n".join(out)) == {"verb": "translate", "pairs": "b.zarr", "n": 16}
    np.testing.assert_array_equal(*(PairSet.open(name).read()["target_flux"] for name in ("a.zarr", "b.zarr")))
    status, out, err = run("translate", "t.asdf", "pairs.zarr", "--out", "a.zarr", "--quiet")
    assert status == 2 and "--overwrite" in err[0]
    assert run("translate", "t.asdf", "pairs.zarr", "--out", "pairs.zarr", "--overwrite", "--quiet")[0] == 2
    np.testing.assert_array_equal(PairSet.open("pairs.zarr").read()["input_flux"], small_pairs.input_flux)
