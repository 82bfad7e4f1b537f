import hashlib
import os
import re
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.testing import assert_array_equal

from astro_galtrans.field import translate_field
from astro_galtrans.images import BandCube, read_cube
from astro_galtrans.storage import load, save, shipped_translators
from astro_galtrans.storage._files import _SHIPPED
from astro_galtrans.surveys import get_survey

NAME = "sdss-to-cfhtls"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def translator():
    return load(NAME)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def sdss_cube():
    """A round galaxy of magnitude 17 with the noise of SDSS, on a turned grid."""
    survey, size = get_survey("SDSS"), 64
    y, x = (np.indices((size, size)) - (size - 1) / 2) * 0.396
    profile = np.exp(-np.hypot(x, y) / 1.5)
    flux = 10 ** (0.4 * (22.5 - np.array([18.7, 17.6, 17.0, 16.7, 16.5])))[:, None, None] * profile / profile.sum()
    flux = flux + survey.sky_noise[:, None, None] * np.random.default_rng(1).normal(size=flux.shape)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.1, 2.2], [32.5, 32.5]
    turn = np.deg2rad(30)
    wcs.wcs.cd = 0.396 / 3600 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return BandCube(flux.astype(np.float32), unit="nmgy", wcs=wcs, bands="ugriz", survey="SDSS")


def aperture_magnitude(cube, radius=4.0):
    scale = cube.survey.pixel_scale.to_value(u.arcsec)
    y, x = np.indices(cube.shape[1:]) - (np.array(cube.shape[1:])[:, None, None] - 1) / 2
    flux = cube.data[:, np.hypot(x, y) * scale < radius].sum(axis=1)
    return np.array([band.zero_point for band in cube.survey]) - 2.5 * np.log10(flux)


def test_each_has_a_description_of_one_line():
    shipped = shipped_translators()
    assert NAME in shipped
    for name, line in shipped.items():
        assert re.fullmatch("[a-z0-9-]+", name)
        assert 20 < len(line) <= 120 and "\n" not in line


@pytest.mark.parametrize("name", shipped_translators())
def test_card_and_file_are_of_one_run(name):
    translator, card = load(name), (_SHIPPED / f"{name}.rst").read_text(encoding="utf-8")
    assert translator.name == name
    assert translator.provenance["card"] == card
    assert translator.hash[:16] in card
    assert card.splitlines()[0] == shipped_translators()[name]
    for needed in ("**Trained on**", "**Measured**", "**Limitations**", "fainter", "PSF", "neighbor", "stars",
                   "mergers", translator.provenance["command"]):
        assert needed in card
    assert max(map(len, card.splitlines())) <= 120


@pytest.mark.parametrize("name", shipped_translators())
def test_file_is_small_plain_and_not_changed_by_reading(name):
    path = _SHIPPED / f"{name}.asdf"
    content = path.read_bytes()
    assert 10_000 < len(content) < 5_000_000
    head = content[:content.index(b"\n...")]
    assert b"pickle" not in head and b"!!python" not in head
    assert load(name).hash == load(str(path)).hash
    assert path.read_bytes() == content


def test_loaded_translators_are_independent(translator):
    other = load(NAME)
    assert other is not translator
    other.provenance.clear()
    assert load(NAME).provenance


def test_shipped_comes_back_from_a_copy(translator, here):
    save("copy.asdf", translator)
    assert load("copy.asdf").hash == translator.hash


@pytest.mark.skipif(os.name != "posix", reason="permissions as of POSIX")
def test_read_only_installation(translator, tmp_path, monkeypatch):
    for suffix in (".asdf", ".rst"):
        copy = tmp_path / f"{NAME}{suffix}"
        copy.write_bytes((_SHIPPED / copy.name).read_bytes())
        copy.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        monkeypatch.setattr("astro_galtrans.storage._files._SHIPPED", tmp_path)
        assert load(NAME).hash == translator.hash
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"{NAME}.asdf", f"{NAME}.rst"]
    finally:
        tmp_path.chmod(0o755)


def test_a_file_of_that_name_takes_precedence(here):
    save(NAME, get_survey("SDSS"))
    assert load(NAME).name == "SDSS"
    assert load(Path(NAME)).name == load(f".{os.sep}{NAME}").name == "SDSS"


def test_a_folder_of_that_name_does_not_hide_it(here, translator):
    (here / NAME).mkdir()
    assert load(NAME).hash == translator.hash


@pytest.mark.parametrize("name", ["sdss-to-hsc", "SDSS-to-CFHTLS", "sdss_to_cfhtls"])
def test_unknown_name_names_those_that_are_there(here, name):
    with pytest.raises(FileNotFoundError, match=rf"no file '{name}'.*{NAME}"):
        load(name)


@pytest.mark.parametrize("path", [f"{NAME}.asdf", f".{os.sep}{NAME}", Path(NAME), os.path.join("folder", NAME), ""])
def test_a_path_is_only_a_path(here, path):
    with pytest.raises(FileNotFoundError) as caught:
        load(path)
    assert "comes with the package" not in str(caught.value)


@pytest.mark.parametrize("path", [".", "..", "folder"])
def test_a_folder_is_no_file(here, path):
    (here / "folder").mkdir()
    with pytest.raises((IsADirectoryError, PermissionError)):
        load(path)


def test_file_of_a_name_with_a_broken_content_is_not_passed_over(here):
    Path(NAME).write_text("notes\n")
    with pytest.raises(ValueError, match="not an ASDF file"):
        load(NAME)


def test_translates_a_cube_onto_its_place(translator, sdss_cube):
    made = translator(sdss_cube)
    assert made.shape == (5, 136, 136) and made.bands == tuple("ugriz")
    assert made.survey.name == "CFHTLS" and made.unit == u.adu
    assert np.isfinite(made.data).all() and not made.mask.any() and (made.uncertainty.array > 0).all()
    centre = made.wcs.pixel_to_world(67.5, 67.5)
    assert centre.separation(SkyCoord(150.1, 2.2, unit="deg")) < 0.01 * u.arcsec
    one, other = (cube.wcs.pixel_to_world(*pixel) for cube, pixel in ((sdss_cube, (41.5, 31.5)), (made, (67.5, 67.5))))
    assert abs(one.separation(other) - 3.96 * u.arcsec) < 0.01 * u.arcsec
    assert made.meta["galtrans"]["translator"] == NAME and made.meta["galtrans"]["hash"] == translator.hash
    # A galaxy of usual colours: filters and aperture losses differ by less than this, and so does a bad translator.
    change = aperture_magnitude(made) - aperture_magnitude(sdss_cube)
    assert_array_equal(np.abs(change) < [1.0, 0.4, 0.25, 0.25, 0.3], True, err_msg=str(change))


def test_translation_is_the_same_each_time(translator, sdss_cube):
    first, second = (load(NAME)(sdss_cube).data for _ in range(2))
    assert hashlib.sha256(first.tobytes()).digest() == hashlib.sha256(second.tobytes()).digest()
    assert_array_equal(first, translator(sdss_cube).data)


@pytest.mark.parametrize("size", [32, 48, 64, 96])
def test_other_stamps(translator, sdss_cube, size):
    flux = np.zeros((1, 5, size, size), np.float32)
    middle = slice((96 - 64) // 2, (96 + 64) // 2)
    whole = get_survey("SDSS").sky_noise[:, None, None] * np.random.default_rng(2).normal(size=(5, 96, 96))
    whole[:, middle, middle] = sdss_cube.data
    edge = (96 - size) // 2
    flux[0] = whole[:, edge:96 - edge, edge:96 - edge]
    made = translator.translate_array(flux)
    assert made.shape[-2:] == translator.target_size((size, size)) and np.isfinite(made).all()


def test_command_line_takes_the_name(here, sdss_cube, run):
    sdss_cube.write("galaxy.fits")
    status, out, err = run("translate", NAME, "galaxy.fits", "--out", NAME)
    assert (status, out) == (0, [os.path.join(NAME, "galaxy-cfhtls.fits")]), err
    assert read_cube(out[0]).shape == (5, 136, 136)
    # again: the folder of the results has the name of the translator now
    assert run("translate", NAME, "galaxy.fits", "--out", NAME, "--overwrite")[0] == 0
    status, _, err = run("translate", "sdss-to-hsc", "galaxy.fits", "--out", "other")
    assert status == 2 and len(err) == 1 and NAME in err[0]


def test_a_field_through_the_shipped_translator(here, translator, field_folder):
    table = translate_field(translator, field_folder, "field", size=24, max_sheet=0)
    assert (table["status"] == "translated").sum() >= 3
    assert len(list((here / "field" / "cubes").iterdir())) == (table["status"] == "translated").sum()


def test_real_field(here, translator):
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("needs GALTRANS_REAL_DATA, the folder of real images")
    table = translate_field(translator, Path(folder) / "sdss-field-003918-3-0213", "field", max_sheet=0,
                            max_magnitude=17.5)
    done = table[(table["status"] == "translated") & (table["coverage"] == 1)]
    assert len(done) > 3
    for band, most in zip("gri", (0.5, 0.4, 0.4)):
        change = done[f"translated_{band}_4arcsec"] - done[f"input_{band}_4arcsec"]
        assert abs(np.median(change)) < most


def test_first_example_of_the_readme_runs(here):
    pytest.importorskip("galsim")
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", (ROOT / "README.rst").read_text())
    code = next(block for block in blocks if NAME in block)
    names = {}
    exec(compile("\n".join(line[3:] for line in code.splitlines()), "README.rst", "exec"), names)
    written = list(here.glob("*.fits"))
    assert len(written) == 1 and read_cube(written[0]).survey.name == "CFHTLS"
