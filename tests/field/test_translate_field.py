"""Translate whole fields and files of cubes."""

import os
import re
import shutil
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from photutils.centroids import centroid_2dg

from astro_galtrans.exceptions import BandMismatchError, FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.field import FieldConfig, TranslationConfig, translate_field, translate_files
from astro_galtrans.field._photometry import correlated_error, shape_of
from astro_galtrans.images import BandCube, read_cube, read_frames

pytest.importorskip("matplotlib", reason="the contact sheet needs matplotlib")
REAL = os.environ.get("GALTRANS_REAL_DATA")


@pytest.fixture(scope="module")
def field(small_translator, field_folder, tmp_path_factory):
    """A folder of a translated field, and the table."""
    out = tmp_path_factory.mktemp("translated") / "out"
    return out, translate_field(small_translator, field_folder, out, size=24)


@pytest.fixture
def catalog(field_sky):
    return Table({"ra": field_sky.ra.deg, "dec": field_sky.dec.deg, "id": [f"g{i}" for i in range(len(field_sky))]})


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*"))


def test_galaxies_are_found_and_stars_are_not(field, field_sky):
    table = field[1]
    found = SkyCoord(table["ra"], table["dec"])
    assert all(found.separation(place).min() < 0.3 * u.arcsec for place in field_sky)
    assert len(table) == len(field_sky) + 1  # and the saturated star
    dropped = table[table["status"] == "dropped"]
    assert [reason.split()[0] for reason in dropped["reason"]] == ["so", "no"]
    assert list(dropped["file"]) == ["", ""]
    assert np.all(table["number"] == np.arange(1, len(table) + 1))


def test_folder_holds_a_cube_each_the_table_and_the_sheet(field):
    out, table = field
    done = table[table["status"] == "translated"]
    assert files_in(out) == sorted(["cubes", *done["file"], "catalog.ecsv", "contact_sheet.png"])
    stored = Table.read(out / "catalog.ecsv")
    assert stored.colnames == table.colnames
    assert stored.meta["galtrans"]["input_survey"] == "SDSS"
    np.testing.assert_array_equal(stored["input_r_2arcsec"], table["input_r_2arcsec"])
    cube = read_cube(out / done["file"][0])
    assert cube.survey.name == "CFHTLS"
    assert cube.meta["source"]["number"] == done["number"][0]
    assert not [path for path in out.parent.iterdir() if path.name != out.name]


def test_cubes_are_at_the_place_of_the_galaxy(field):
    """By astropy alone: the center of the flux is at the position of the catalog."""
    out, table = field
    for row in table[table["status"] == "translated"]:
        with fits.open(out / row["file"]) as hdus:
            image, wcs = hdus[0].data[2].astype(float), WCS(hdus[0].header).celestial
        x, y = centroid_2dg(image)
        offset = wcs.pixel_to_world(x, y).separation(SkyCoord(row["ra"], row["dec"], unit="deg"))
        assert offset < 0.05 * u.arcsec


def test_magnitudes_of_input_and_translation(field):
    """A translator that does little more than resample keeps magnitudes; all galaxies are of color zero."""
    table = field[1][field[1]["status"] == "translated"]
    for band in "ugriz":
        np.testing.assert_allclose(table[f"translated_{band}_4arcsec"], table[f"input_{band}_4arcsec"], atol=0.1)
    expected = table["magnitude"] - 2.5 * np.log10(1 - np.exp(-16 / 2 / 1.4**2))
    np.testing.assert_allclose(table["input_r_4arcsec"], expected, atol=0.1)
    np.testing.assert_allclose(table["input_g_r_4arcsec"], table["input_g_4arcsec"] - table["input_r_4arcsec"])
    assert np.all(np.abs(table["input_g_r_2arcsec"]) < 4 * np.hypot(
        table["input_g_2arcsec_error"], table["input_r_2arcsec_error"]))


def test_columns_are_described_and_named_for_topcat(field):
    table = Table.read(field[0] / "catalog.ecsv")
    assert all(re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) for name in table.colnames)
    assert [name for name in table.colnames if not table[name].description] == []
    assert {str(table[name].unit) for name in table.colnames if "arcsec" in name} == {"mag"}
    assert [str(table[name].unit) for name in ("ra", "x", "half_light_radius")] == ["deg", "pix", "arcsec"]
    assert "Conselice" in table["translated_asymmetry"].description


def test_errors_of_everything_that_is_measured(field):
    table = field[1][field[1]["status"] == "translated"]
    measured = [name for name in table.colnames if name.endswith("arcsec")]
    assert len(measured) == 2 * 2 * (5 + 4)
    for name in measured:
        assert np.all(table[f"{name}_error"] > 0)
    for prefix in ("input", "translated"):
        np.testing.assert_allclose(table[f"{prefix}_g_r_2arcsec_error"], np.hypot(
            table[f"{prefix}_g_2arcsec_error"], table[f"{prefix}_r_2arcsec_error"]), atol=2e-5)


def test_shapes_of_round_galaxies(field):
    """Gaussians: r80 / r20 is 2.69, less the flux beyond 1.5 Petrosian radii, and they are round and symmetric."""
    table = field[1][field[1]["status"] == "translated"]
    for prefix in ("input", "translated"):
        np.testing.assert_allclose(table[f"{prefix}_concentration"], 2.13, atol=0.1)
        np.testing.assert_allclose(table[f"{prefix}_asymmetry"], 0, atol=0.1)
        np.testing.assert_allclose(table[f"{prefix}_axis_ratio"], 1, atol=0.1)


def image_of(make_cube, profile):
    """An SDSS cube whose galaxy of magnitude 15 has a profile, a function of x and y in arcsec from the center."""
    cube = make_cube(96)
    y, x = (np.indices((96, 96)) - 47.5) * 0.396
    flux = profile(x, y)
    noise = cube.survey.sky_noise[:, None, None] * np.random.default_rng(1).normal(size=(5, 96, 96))
    return BandCube(1000 * flux / flux.sum() + noise, unit="nmgy", bands="ugriz", survey="SDSS", wcs=cube.wcs)


@pytest.mark.parametrize(("profile", "expected", "error"), [
    # Sersic profiles; r80 / r20 of all of the flux is 3.63 for n = 1, the axis ratio is that of the Gaussian isophotes
    (lambda x, y: np.exp(-np.hypot(x, y) / 1.5), (2.7, 0, 1), (0.15, 0.04, 0.06)),
    (lambda x, y: np.exp(-(x**2 + (y / 0.5)**2) / 8), (2.4, 0, 0.5), (0.3, 0.04, 0.06)),
    (lambda x, y: np.exp(-7.67 * (np.hypot(np.hypot(x, y), 0.3) / 2)**0.25), (3.9, 0, 1), (0.5, 0.04, 0.06)),
    # a knot of a tenth of the flux on one side has twice that share of |I - I180|
    (lambda x, y: 0.9 * np.exp(-(x**2 + y**2) / 8) / 8 + 0.1 * np.exp(-((x - 3)**2 + y**2) / 0.5) / 0.5,
     (2.2, 0.2, 0.9), (0.4, 0.05, 0.12)),
])
def test_shapes_of_known_profiles(make_cube, profile, expected, error):
    cube = image_of(make_cube, profile)
    shape = shape_of(cube, "r", cube.wcs.pixel_to_world(47.5, 47.5))
    np.testing.assert_array_less(np.abs(np.subtract(shape, expected)), error)


def test_shape_of_nothing(make_cube):
    cube = make_cube()
    empty = BandCube(cube.data * 0 + np.random.default_rng(0).normal(0, 0.01, cube.shape), unit="nmgy", bands="ugriz",
                     survey="SDSS", wcs=cube.wcs)
    assert np.isnan(shape_of(empty, "r", cube.wcs.pixel_to_world(11.5, 11.5))).all()
    masked = BandCube(cube, bands="ugriz", survey="SDSS", mask=np.ones(cube.shape, bool))
    assert np.isnan(shape_of(masked, "r", cube.wcs.pixel_to_world(11.5, 11.5))).all()


def test_saturated_sources_are_listed(small_translator, field_folder, catalog, tmp_path):
    catalog = catalog[[0, 1]]
    catalog["saturated"] = [True, False]
    table = translate_field(small_translator, field_folder, tmp_path / "out", catalog=catalog, size=16, max_sheet=0)
    assert list(table["reason"]) == ["saturated", ""] and list(table["status"]) == ["dropped", "translated"]


def test_errors_of_sums_of_correlated_pixels():
    """By the definition: the double sum over the pixels of a circle."""
    radius, length = 2.0, 0.7
    y, x = np.indices((41, 41)) - 20.0
    inside = np.hypot(x, y) * 0.2 <= radius
    places = np.column_stack([x[inside], y[inside]]) * 0.2
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    exact = np.sqrt(np.exp(-(distance / length)**2).sum() / len(places))
    error = correlated_error(radius * u.arcsec, 0.2 * u.arcsec, length * u.arcsec)
    assert error == pytest.approx(exact, rel=0.2) and error > 5
    assert correlated_error(radius * u.arcsec, 0.2 * u.arcsec, 1e-3 * u.arcsec) == pytest.approx(1, abs=1e-3)


def test_dropped_sources_have_no_measurement(field):
    dropped = field[1][field[1]["status"] == "dropped"]
    assert np.all(np.isnan(dropped["input_r_2arcsec"])) and np.all(np.isnan(dropped["translated_g_r_4arcsec"]))


def test_same_again(small_translator, field_folder, field, tmp_path):
    frames = read_frames(list(field_folder.iterdir()), "SDSS")
    table = translate_field(small_translator, frames, tmp_path / "a", size=24)
    for name in field[1].colnames:
        np.testing.assert_array_equal(table[name], field[1][name])
    first = next(name for name in table["file"] if name)
    np.testing.assert_array_equal(read_cube(tmp_path / "a" / first).data, read_cube(field[0] / first).data)


@pytest.mark.parametrize("kind", ["dict", "list", "pattern", "cube"])
def test_kinds_of_frames(small_translator, field_folder, catalog, tmp_path, kind):
    files = sorted(field_folder.iterdir())
    frames = {"dict": {path.stem[-1]: path for path in files}, "list": files, "pattern": str(field_folder / "f*.fits"),
              "cube": read_cube(files, "SDSS") if kind == "cube" else None}[kind]
    table = translate_field(small_translator, frames, tmp_path / "out", catalog=catalog[:1], size=16, max_sheet=0)
    assert list(table["status"]) == ["translated"]
    assert "contact_sheet.png" not in files_in(tmp_path / "out")


def test_catalog_keeps_its_columns_and_all_of_its_rows(small_translator, field_folder, catalog, tmp_path):
    catalog = catalog[[0, 1, 4]]
    catalog.add_row([10.0, 42.7, "far"])
    catalog.add_row([np.nan, 42.7, "nowhere"])
    catalog["status"] = "mine"
    catalog.rename_column("ra", "RA")
    catalog["RA"] = (catalog["RA"] / 15 * u.hourangle)
    catalog.write(tmp_path / "sources.ecsv")
    table = translate_field(
        small_translator, field_folder, tmp_path / "out", catalog=tmp_path / "sources.ecsv", size=16)
    assert list(table["id"]) == ["g0", "g1", "g4", "far", "nowhere"]
    assert list(table["catalog_status"]) == ["mine"] * 5
    assert list(table["reason"]) == [
        "", "", "no data around the source in band u, g", "beyond the edge of the field", "no position"]
    assert np.all(np.isfinite(table["translated_u_2arcsec"][:2]))


def test_coverage(small_translator, field_folder, catalog, tmp_path):
    """Cutouts partly beyond the edge are used and flagged, down to a limit."""
    options = {"catalog": catalog[[0, 1]], "size": 160, "max_sheet": 0}
    table = translate_field(small_translator, field_folder, tmp_path / "a", min_coverage=0.5, **options)
    assert list(table["status"]) == ["translated"] * 2
    assert np.all((0.5 < table["coverage"]) & (table["coverage"] < 1))
    assert read_cube(tmp_path / "a" / table["file"][0]).mask.any()
    with pytest.raises(ValueError, match="none of the 2 sources.*per cent of the cutout's pixels are good"):
        translate_field(small_translator, field_folder, tmp_path / "b", min_coverage=0.99, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_conditioned_translator_needs_redshifts(conditioned_translator, field_folder, catalog, tmp_path):
    with pytest.raises(ValueError, match="redshift"):
        translate_field(conditioned_translator, field_folder, tmp_path / "out")
    with pytest.raises(ValueError, match="redshift.*catalog"):
        translate_field(conditioned_translator, field_folder, tmp_path / "out", catalog=catalog)
    catalog["redshift"] = np.ma.MaskedArray([0.1, 0.2, np.nan, 0.1, 0.2], [0, 1, 0, 0, 0])
    table = translate_field(conditioned_translator, field_folder, tmp_path / "out", catalog=catalog, size=16)
    assert list(table["reason"][:4]) == ["", "no redshift", "no redshift", ""]
    assert (tmp_path / "out" / table["file"][0]).is_file()


def test_unknown_redshifts(tolerant_translator, field_folder, catalog, tmp_path):
    """Galaxies whose redshift is not known are translated where the translator has learned to."""
    catalog = catalog[:4]
    catalog["Redshift"] = np.ma.MaskedArray([0.1, 0.2, np.nan, -9999], [0, 1, 0, 0])
    catalog["redshift_error"] = [0.01, 0.01, np.nan, 0]
    table = translate_field(tolerant_translator, field_folder, tmp_path / "a", catalog=catalog, size=16, max_sheet=0)
    assert list(table["condition"]) == ["redshift", "none", "none", ""]
    assert list(table["reason"]) == ["", "", "", "redshift is -9999, which is not above -1 and finite"]
    cubes = [read_cube(tmp_path / "a" / name) for name in table["file"] if name]
    assert [cube.meta["galtrans"]["redshift"] for cube in cubes] == [pytest.approx(0.1), "unknown", "unknown"]
    assert cubes[0].meta["galtrans"]["redshift_error"] == pytest.approx(0.01)
    assert table.meta["galtrans"]["conditioning"] == "redshift"
    with pytest.warns(GaltransWarning, match="redshift"):
        translate_field(tolerant_translator, field_folder, tmp_path / "b", size=24, max_sheet=0)
    catalog["redshift_error"] = [0.01, -1, 0, 0]
    catalog["Redshift"] = 0.1
    table = translate_field(tolerant_translator, field_folder, tmp_path / "c", catalog=catalog, size=16, max_sheet=0)
    assert list(table["reason"]) == ["", "redshift_error is -1, which is not at least 0 and finite", "", ""]
    catalog.replace_column("Redshift", ["red"] * 4)
    with pytest.raises(ValueError, match="redshift"):
        translate_field(tolerant_translator, field_folder, tmp_path / "d", catalog=catalog, size=16)


def test_spectra_of_a_catalog(spectrum_translator, field_folder, catalog, make_spectrum, tmp_path):
    """Paths begin at the folder of the catalog; what cannot be read is a reason, and what is not there is unknown."""
    (tmp_path / "spectra").mkdir()
    make_spectrum().write(tmp_path / "spectra" / "one.fits", format="tabular-fits")
    (tmp_path / "broken.fits").write_text("broken")
    catalog = catalog[[0, 1, 2, 3, 0]]
    paths = ["spectra/one.fits", "", "broken.fits", "missing.fits", "x"]
    catalog["spectrum"] = np.ma.MaskedArray(paths, [0, 0, 0, 0, 1])
    catalog.write(tmp_path / "sources.ecsv")
    table = translate_field(spectrum_translator, field_folder, tmp_path / "out", catalog=tmp_path / "sources.ecsv",
                            size=16, max_sheet=0)
    assert list(table["condition"]) == ["spectrum", "none", "", "", "none"]
    assert "broken.fits is not a spectrum that specutils reads" in table["reason"][2]
    assert table["reason"][3] == f"no such file: {tmp_path / 'missing.fits'}"
    provenance = read_cube(tmp_path / "out" / table["file"][0]).meta["galtrans"]
    assert provenance["spectrum_file"] == str(tmp_path / "spectra" / "one.fits") and provenance["spectrum_pixels"] > 40
    with_and_without = [read_cube(tmp_path / "out" / table["file"][row]).data for row in (0, 4)]
    assert not np.array_equal(*with_and_without)
    with pytest.raises(ValueError, match="column spectrum"):
        catalog.replace_column("spectrum", [5] * 5)
        translate_field(spectrum_translator, field_folder, tmp_path / "again", catalog=catalog, size=16, max_sheet=0)


def test_samples_of_a_field(sampling_translator, small_translator, field_folder, catalog, tmp_path):
    """The same seed the same images, another seed others; no two galaxies are made from the same noise."""
    catalog = catalog[[0] * 18]
    options = {"catalog": catalog, "size": 16, "max_sheet": 0, "n_samples": 2, "n_steps": 1}

    def images(name, seed):
        table = translate_field(sampling_translator, field_folder, tmp_path / name, seed=seed, **options)
        assert table.meta["galtrans"]["sampling_seed"] == seed and table.meta["galtrans"]["sampling_steps"] == 1
        return [read_cube(tmp_path / name / file) for file in table["file"]]

    first, again, other = images("a", 3), images("b", 3), images("c", 4)
    for one, same, different in zip(first, again, other):
        np.testing.assert_array_equal(one.data, same.data)
        assert not np.array_equal(one.data, different.data)
    assert len({image.data.tobytes() for image in first}) == 18
    provenance = first[17].meta["galtrans"]
    assert (provenance["n_samples"], provenance["sampling_galaxy"], provenance["sampling_seed"]) == (2, 17, 3)
    with pytest.raises(ValueError, match="n_samples"):
        translate_field(small_translator, field_folder, tmp_path / "d", **options)


def test_existing_folder(small_translator, field_folder, catalog, tmp_path):
    def run(name, **options):
        return translate_field(small_translator, field_folder, tmp_path / name, catalog=catalog[:1], size=16,
                               max_sheet=0, **options)

    (tmp_path / "empty").mkdir()
    run("empty")
    before = files_in(tmp_path)
    with pytest.raises(FileExistsError, match="empty"):
        run("empty")
    run("empty", overwrite=True)
    assert files_in(tmp_path) == before
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("all of it")
    with pytest.raises(FileExistsError, match="holds something else"):
        run("work", overwrite=True)
    assert (tmp_path / "work" / "thesis.tex").read_text() == "all of it"
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        run("file/out")
    with pytest.raises(FileNotFoundError, match="missing does not exist"):
        run("missing/out")
    with pytest.raises(FileExistsError, match="is a file"):
        run("file", overwrite=True)


def test_nothing_is_left_of_a_run_that_broke(small_translator, field_folder, catalog, tmp_path, monkeypatch):
    """Also when the disk fills up while writing, and on an interrupt."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(OSError, match="needs about .* MiB free"):
        translate_field(small_translator, field_folder, tmp_path / "out", catalog=catalog, size=16)
    monkeypatch.undo()
    written = []

    def write(self, path, overwrite=False):
        written.append(path)
        raise OSError(28, "No space left on device", str(path)) if len(written) == 2 else KeyboardInterrupt

    monkeypatch.setattr("astro_galtrans.images.BandCube.write", write)
    for error in (KeyboardInterrupt, OSError):
        with pytest.raises(error):
            translate_field(small_translator, field_folder, tmp_path / "out", catalog=catalog, size=16)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("spoil, error, message", [
    (lambda files: files[:-1], BandMismatchError, "band z is missing"),
    (lambda files: [*files, files[0]], BandMismatchError, "is of band g, as is another file"),
    (lambda files: {"r": files[0], "g": files[2], "u": files[3], "i": files[1], "z": files[4]}, BandMismatchError,
     "is of band g, not r"),
    (lambda files: files[0].parent / "missing*.fits", FileNotFoundError, "missing"),
    (lambda files: [], ValueError, "at least one file"),
    (lambda files: 5, TypeError, "frames"),
    (lambda files: read_frames(files[:2], "SDSS"), BandMismatchError, "lack band"),
    (lambda files: read_frames(files, "CFHTLS", unit="adu"), SurveyError, "of survey CFHTLS"),
])
def test_frames_that_do_not_fit(small_translator, field_folder, tmp_path, spoil, error, message):
    with pytest.raises(error, match=message):
        translate_field(small_translator, spoil(sorted(field_folder.iterdir())), tmp_path / "out")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("changes, error, message", [
    ({"size": 7}, ValueError, "size"),
    ({"size": 16.0}, ValueError, "size"),
    ({"max_sheet": -1}, ValueError, "max_sheet"),
    ({"radii": ()}, ValueError, "radii"),
    ({"min_coverage": 2}, ValueError, "min_coverage"),
    ({"max_magnitude": 5.0}, ValueError, "no extended source brighter than r = 5"),
    ({"catalog": Table({"x": [1.0]})}, ValueError, "columns ra and dec"),
    ({"catalog": Table({"ra": ["a"], "dec": [1.0]})}, ValueError, "column ra"),
    ({"catalog": Table({"ra": [], "dec": []})}, ValueError, "no row"),
    ({"catalog": 3}, TypeError, "catalog must be a Table"),
    ({"catalog": "missing.fits"}, FileNotFoundError, "missing.fits"),
    ({"catalog": __file__}, FileFormatError, "not a table"),
    ({"translator": "t.asdf"}, TypeError, "translator"),
])
def test_bad_arguments(small_translator, field_folder, tmp_path, changes, error, message):
    arguments = {"translator": small_translator, "frames": field_folder, "out": tmp_path / "out", **changes}
    with pytest.raises(error, match=message):
        translate_field(**arguments)
    assert files_in(tmp_path) == []


def test_config_and_keywords_agree(small_translator, field_folder, catalog, tmp_path):
    config = FieldConfig(radii=(3.0,), max_sheet=0)
    table = translate_field(small_translator, field_folder, tmp_path / "a", catalog=catalog, size=16, config=config)
    again = translate_field(small_translator, field_folder, tmp_path / "b", catalog=catalog, size=16, radii=(3.0,),
                            max_sheet=0)
    assert table.colnames == again.colnames and "input_r_3arcsec" in table.colnames
    with pytest.raises(TypeError, match="radius.*radii"):
        translate_field(small_translator, field_folder, tmp_path / "c", radius=3.0)
    with pytest.raises(TypeError, match="config"):
        translate_field(small_translator, field_folder, tmp_path / "c", config=TranslationConfig())


def test_translator_stays_on_its_device(small_translator, make_cube, tmp_path, monkeypatch):
    moves = []
    monkeypatch.setattr(type(small_translator), "to", lambda translator, device: moves.append(str(device)))
    make_cube().write(tmp_path / "one.fits")
    with pytest.raises(TypeError, match="batch"):
        translate_files(small_translator, [tmp_path / "one.fits"], tmp_path / "out", batch=3)
    translate_files(small_translator, [tmp_path / "one.fits"], tmp_path / "out", device="cpu:0")
    assert moves == ["cpu:0", "cpu"]


def test_without_matplotlib(small_translator, field_folder, catalog, tmp_path, monkeypatch):
    """It is missed before the work and not after it, and only for the sheet."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    options = {"catalog": catalog[:1], "size": 16}
    with pytest.raises(ImportError, match=r"astro_galtrans\[report\]"):
        translate_field(small_translator, field_folder, tmp_path / "out", **options)
    assert files_in(tmp_path) == []
    translate_field(small_translator, field_folder, tmp_path / "out", max_sheet=0, **options)


def test_files(small_translator, make_cube, tmp_path):
    cubes = [make_cube(seed=seed, size=size) for seed, size in ((0, 24), (1, 20))]
    paths = [tmp_path / "one.fits", tmp_path / "two.fits"]
    for cube, path in zip(cubes, paths):
        cube.write(path)
    made = translate_files(small_translator, paths, tmp_path / "out")
    assert files_in(tmp_path / "out") == ["one-cfhtls.fits", "two-cfhtls.fits"]
    for cube, path in zip(cubes, made):
        np.testing.assert_array_equal(read_cube(path).data, small_translator(cube).data)
    with pytest.raises(FileExistsError, match="one-cfhtls.fits"):
        translate_files(small_translator, paths, tmp_path / "out")
    translate_files(small_translator, paths[:1], tmp_path / "out", overwrite=True)


def test_a_galaxy_with_a_file_for_each_band(small_translator, make_cube, tmp_path):
    cube = make_cube()
    cube.write(tmp_path / "whole.fits")
    files = cube.write_bands(tmp_path / "my-{band}.fits")
    whole, bands = translate_files(small_translator, [tmp_path / "whole.fits", files], tmp_path / "out")
    assert bands.name == "my-cfhtls.fits"
    np.testing.assert_array_equal(read_cube(bands).data, read_cube(whole).data)
    with pytest.raises(FileNotFoundError, match="not-there-g.fits"):
        translate_files(small_translator, [{**files, "g": tmp_path / "not-there-g.fits"}], tmp_path / "out2")
    with pytest.raises(ValueError, match="paths"):
        translate_files(small_translator, [{}], tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_files_are_all_translated_or_none(small_translator, make_cube, tmp_path):
    make_cube().write(tmp_path / "good.fits")
    make_cube(wcs=None).write(tmp_path / "bad.fits")
    paths = [tmp_path / "good.fits", tmp_path / "bad.fits"]
    with pytest.raises(ValueError, match="bad.fits: .*WCS"):
        translate_files(small_translator, paths, tmp_path / "out")
    assert files_in(tmp_path) == ["bad.fits", "good.fits"]
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="bad.fits"):
        translate_files(small_translator, paths, tmp_path / "there")
    assert files_in(tmp_path / "there") == []


def test_files_of_one_name(small_translator, make_cube, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        make_cube().write(tmp_path / folder / "galaxy.fits")
    paths = sorted(tmp_path.glob("*/galaxy.fits"))
    with pytest.raises(ValueError, match="galaxy-cfhtls.fits"):
        translate_files(small_translator, paths, tmp_path / "out")


def test_files_with_redshift(conditioned_translator, make_cube, tmp_path):
    make_cube().write(tmp_path / "a.fits")
    with pytest.raises(ValueError, match="a.fits: .*redshift"):
        translate_files(conditioned_translator, [tmp_path / "a.fits"], tmp_path / "out")
    with pytest.raises(ValueError, match="redshift"):
        translate_files(conditioned_translator, [tmp_path / "a.fits"], tmp_path / "out", redshift=[0.1, 0.2])
    assert translate_files(conditioned_translator, [tmp_path / "a.fits"], tmp_path / "out", redshift=[0.1])[0].is_file()


def test_files_with_uncertain_and_unknown_redshifts(tolerant_translator, make_cube, tmp_path):
    paths = [tmp_path / f"{name}.fits" for name in "abc"]
    for path in paths:
        make_cube().write(path)
    made = translate_files(tolerant_translator, paths, tmp_path / "out", redshift=[0.1, None, 0.1],
                           redshift_error=[0.02, 0, np.nan])
    provenance = [read_cube(path).meta["galtrans"] for path in made]
    assert [one["redshift"] for one in provenance] == [pytest.approx(0.1), "unknown", pytest.approx(0.1)]
    assert provenance[0]["redshift_error"] == pytest.approx(0.02) and provenance[2]["redshift_error"] == 0
    cubes = [read_cube(path).data for path in made]
    expected = tolerant_translator(make_cube(), redshift=0.1, redshift_error=0.02)
    np.testing.assert_array_equal(cubes[0], expected.data)
    assert not np.array_equal(cubes[0], cubes[1]) and not np.array_equal(cubes[0], cubes[2])
    with pytest.raises(ValueError, match="redshift_error"):
        translate_files(tolerant_translator, paths, tmp_path / "x", redshift=[0.1] * 3, redshift_error=[0.1, 0.1])
    with pytest.raises(ValueError, match="a.fits: redshift_error"):
        translate_files(tolerant_translator, paths, tmp_path / "x", redshift_error=0.1)


def test_files_with_spectra(spectrum_translator, small_translator, make_cube, make_spectrum, tmp_path):
    paths = [tmp_path / f"{name}.fits" for name in "abc"]
    for path in paths:
        make_cube().write(path)
    make_spectrum().write(tmp_path / "s.fits", format="tabular-fits")
    made = translate_files(spectrum_translator, paths, tmp_path / "out",
                           spectrum=[tmp_path / "s.fits", make_spectrum(), None])
    one, same, without = map(read_cube, made)
    np.testing.assert_array_equal(one.data, same.data)
    np.testing.assert_array_equal(without.data, spectrum_translator(make_cube(), spectrum=None).data)
    assert not np.array_equal(one.data, without.data)
    assert one.meta["galtrans"]["spectrum_file"] == str(tmp_path / "s.fits")
    assert "spectrum_file" not in same.meta["galtrans"] and without.meta["galtrans"]["spectrum_pixels"] == 0
    with pytest.raises(ValueError, match="spectrum"):
        translate_files(small_translator, paths[:1], tmp_path / "x", spectrum=[make_spectrum()])
    with pytest.raises(FileFormatError, match="a.fits is not a spectrum that specutils reads"):
        translate_files(spectrum_translator, paths[:1], tmp_path / "x", spectrum=[tmp_path / "a.fits"])
    with pytest.raises(TypeError, match="b.fits: spectrum"):
        translate_files(spectrum_translator, paths[1:2], tmp_path / "x", spectrum=[5])
    assert not (tmp_path / "x").exists()


def test_files_of_samples(sampling_translator, make_cube, tmp_path):
    """The first is what the translator makes with the seed; each is made again with its number."""
    paths = [tmp_path / f"{name}.fits" for name in "ab"]
    for path in paths:
        make_cube().write(path)
    first, second = map(read_cube, translate_files(sampling_translator, paths, tmp_path / "out", n_samples=2, seed=5))
    np.testing.assert_array_equal(first.data, sampling_translator(make_cube(), n_samples=2, seed=5).data)
    assert not np.array_equal(first.data, second.data)
    again = sampling_translator(make_cube(), n_samples=2, seed=5, galaxies=second.meta["galtrans"]["sampling_galaxy"])
    np.testing.assert_array_equal(second.data, again.data)


@pytest.mark.skipif(not REAL, reason="GALTRANS_REAL_DATA does not name the folder of real data")
def test_sdss_field(small_translator, tmp_path):
    table = translate_field(
        small_translator, Path(REAL) / "sdss-field-003918-3-0213", tmp_path / "out", size=32, max_sheet=0)
    done = table[table["status"] == "translated"]
    assert len(done) > 60
    assert np.all(done["magnitude"] < 20.5)
    assert (table["reason"] == "saturated").sum() == 3 and not done["saturated"].any()
    assert len(list((tmp_path / "out" / "cubes").iterdir())) == len(done)
    # translator and apertures keep the flux of what is not cut off by the edge
    inside = done["coverage"] == 1
    assert np.nanmedian(np.abs(done["translated_r_4arcsec"] - done["input_r_4arcsec"])[inside]) < 0.1
