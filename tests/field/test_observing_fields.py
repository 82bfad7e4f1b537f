"""PSFs of input and target in fields, files and sets of pairs, and on the command line."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans.cli import main
from astro_galtrans.field import translate_field, translate_files, translate_pairs
from astro_galtrans.images import read_cube
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import save
from astro_galtrans.training import fit


@pytest.fixture(scope="module")
def seen(small_pairs):
    """Pairs with PSFs that differ."""
    rng, n = np.random.default_rng(1), len(small_pairs)
    catalog = Table({f"{side}_psf_fwhm": median * np.exp(0.1 * rng.normal(size=(n, 5))) * u.arcsec
                     for side, median in (("input", 1.3), ("target", 0.8))})
    return PairSet.from_arrays(small_pairs.input_flux, small_pairs.target_flux, input_survey="SDSS",
                               target_survey="CFHTLS", catalog=catalog)


@pytest.fixture(scope="module")
def adaptive(seen):
    return fit(seen, objective="pixel", epochs=1, batch_size=8,
               backbone_options={"widths": [4, 8], "n_features": 4}).translator


def test_pairs_have_the_psf_of_their_translation(adaptive, small_translator, seen, tmp_path):
    made = translate_pairs(adaptive, seen, tmp_path / "a.zarr", target_psf=0.75 * u.arcsec)
    np.testing.assert_allclose(made.psf_fwhm("target"), 0.75)
    np.testing.assert_allclose(made.psf_fwhm("input"), seen.psf_fwhm("input"))
    own = adaptive.translate_array(seen.input_flux, psf_fwhm=seen.psf_fwhm("input"), target_psf_fwhm=0.75)
    np.testing.assert_allclose(made.read()["target_flux"], own, rtol=1e-5, atol=1e-4)
    medians = [median for _, median, _ in adaptive.network.config.observing["target_psf_fwhm"]]
    default = translate_pairs(adaptive, seen, tmp_path / "b.zarr")
    np.testing.assert_allclose(default.psf_fwhm("target"), np.tile(medians, (16, 1)), rtol=1e-6)
    assert translate_pairs(small_translator, seen, tmp_path / "c.zarr").psf_fwhm("target") is None
    with pytest.raises(ValueError, match="target_psf was given"):
        translate_pairs(small_translator, seen, tmp_path / "d.zarr", target_psf=0.75)


def test_files_and_fields(adaptive, make_cube, field_folder, field_sky, tmp_path):
    make_cube().write(tmp_path / "galaxy.fits")
    path = translate_files(adaptive, [tmp_path / "galaxy.fits"], tmp_path / "out", target_psf=0.8, psf_fwhm=1.3)[0]
    cube = read_cube(path)
    assert cube.psf is not None and cube.meta["galtrans"]["psf_fwhm"]["r"] == pytest.approx(1.3)
    catalog = Table({"ra": field_sky.ra.deg[:1], "dec": field_sky.dec.deg[:1]})
    table = translate_field(adaptive, field_folder, tmp_path / "field", catalog=catalog, size=24, max_sheet=0,
                            target_psf={"r": 0.8})
    stored = read_cube(tmp_path / "field" / table["file"][0])
    assert stored.meta["galtrans"]["target_psf_fwhm"]["r"] == 0.8
    median = adaptive.network.config.observing["target_psf_fwhm"][0][1]
    assert stored.meta["galtrans"]["target_psf_fwhm"]["u"] == pytest.approx(median, rel=1e-4)
    assert stored.psf.shape[0] == 5


def test_the_command_takes_widths(adaptive, make_cube, tmp_path, capsys):
    save(tmp_path / "t.asdf", adaptive)
    make_cube().write(tmp_path / "galaxy.fits")
    base = ["translate", str(tmp_path / "t.asdf"), str(tmp_path / "galaxy.fits"), "--quiet", "--out"]
    assert main([*base, str(tmp_path / "a"), "--target-psf", "0.8", "--psf-fwhm", "u=1.4,r=1.2"]) == 0
    meta = read_cube(tmp_path / "a" / "galaxy-cfhtls.fits").meta["galtrans"]
    assert meta["psf_fwhm"] == {"u": 1.4, "g": "unknown", "r": 1.2, "i": "unknown", "z": "unknown"}
    assert set(meta["target_psf_fwhm"].values()) == {0.8}
    assert main([*base, str(tmp_path / "b"), "--target-psf", "sharp"]) != 0
    assert "--target-psf must be a number of arcsec" in capsys.readouterr().err
