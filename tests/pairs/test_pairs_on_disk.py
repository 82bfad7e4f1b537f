import json
import os
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import Band, Survey, get_survey


@pytest.fixture
def pairs():
    rng = np.random.default_rng(2)
    n = 70
    catalog = Table({"mag": rng.normal(size=n) * u.mag, "name": [f"été {i}" for i in range(n)],
                     "early": np.arange(n) % 2 == 0, "many": rng.normal(size=(n, 3)),
                     "count": MaskedColumn(np.arange(n), mask=np.arange(n) == 5, description="of knots")})
    catalog.meta["where"] = {"field": 1}
    return PairSet.from_arrays(
        rng.normal(size=(n, 5, 8, 8)), rng.normal(size=(n, 5, 18, 18)), input_survey="SDSS", target_survey="CFHTLS",
        redshift=rng.random(n), input_weight=rng.random((n, 5, 8, 8)), ids=[f"g{i}" for i in range(n)],
        catalog=catalog, target_truth=rng.normal(size=(n, 5, 18, 18)))


@pytest.fixture
def path(tmp_path, pairs):
    pairs.write(tmp_path / "pairs.zarr")
    return tmp_path / "pairs.zarr"


def test_round_trip_is_exact(pairs, path):
    again = PairSet.open(path)
    assert "on disk" in repr(again) and len(again) == len(pairs)
    expected, got = pairs.read(), again.read()
    assert got["input_flux"].dtype == np.float32 and got["target_weight"] is None and got["input_truth"] is None
    for name in ("input_flux", "target_flux", "input_weight", "target_truth", "redshift", "ids"):
        np.testing.assert_array_equal(got[name], expected[name])
    assert again.input_survey is get_survey("SDSS") and again.target_survey is get_survey("CFHTLS")


def test_catalog_round_trip(pairs, path):
    catalog = PairSet.open(path).catalog
    assert catalog.colnames == pairs.catalog.colnames and catalog.meta == pairs.catalog.meta
    for name in catalog.colnames:
        np.testing.assert_array_equal(np.ma.getdata(catalog[name]), np.ma.getdata(pairs.catalog[name]))
        assert catalog[name].unit == pairs.catalog[name].unit
    assert catalog["count"].mask.sum() == 1 and catalog["count"].mask[5]
    assert catalog["count"].description == "of knots"


def test_rows_are_read_when_asked_for(pairs, path):
    again = PairSet.open(path)
    some = again.select([65, 3, 40])
    assert "on disk" in repr(some)
    for lazy in (some.target_flux[:], np.asarray(some.target_flux), some.read()["target_flux"]):
        np.testing.assert_array_equal(lazy, pairs.target_flux[[65, 3, 40]])
    flux = again.input_flux
    assert flux.shape == pairs.input_flux.shape and flux.ndim == 4 and len(flux) == 70
    np.testing.assert_array_equal(flux[-1, 2], pairs.input_flux[-1, 2])
    np.testing.assert_array_equal(flux[10:50:7, :, 3], pairs.input_flux[10:50:7, :, 3])
    np.testing.assert_array_equal(flux[[4, 4, 1]], pairs.input_flux[[4, 4, 1]])
    np.testing.assert_array_equal(flux[..., 2], pairs.input_flux[..., 2])
    np.testing.assert_array_equal(flux[np.arange(70) < 2], pairs.input_flux[:2])
    assert flux[[]].shape == (0, 5, 8, 8)
    part = again.split((0.5, 0.5), seed=1)[1].reversed()
    np.testing.assert_array_equal(part.ids, pairs.split((0.5, 0.5), seed=1)[1].ids)
    assert again[4].input.shape == (5, 8, 8)


def test_a_lazy_selection_can_be_written(pairs, path, tmp_path):
    PairSet.open(path).select([60, 2]).write(tmp_path / "some.zarr")
    np.testing.assert_array_equal(PairSet.open(tmp_path / "some.zarr").input_flux[:], pairs.input_flux[[60, 2]])
    PairSet.open(path).select([]).write(tmp_path / "none.zarr")
    assert len(PairSet.open(tmp_path / "none.zarr")) == 0
    with pytest.raises(ValueError, match="over itself"):
        PairSet.open(path).select([1]).write(path, overwrite=True)


def test_an_existing_file_is_replaced_only_when_asked(pairs, path, tmp_path):
    with pytest.raises(FileExistsError, match="overwrite=True"):
        pairs.write(path)
    pairs.select([1, 2]).write(path, overwrite=True)
    assert len(PairSet.open(path)) == 2
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("all")
    with pytest.raises(FileExistsError, match="not a set of pairs"):
        pairs.write(precious, overwrite=True)
    assert (precious / "thesis.tex").read_text() == "all"
    assert sorted(os.listdir(tmp_path)) == ["pairs.zarr", "precious"]


def test_a_failed_write_leaves_nothing(pairs, tmp_path, monkeypatch):
    path = tmp_path / "pairs.zarr"
    pairs.catalog["place"] = SkyCoord(np.zeros(70), np.zeros(70), unit="deg")
    with pytest.raises(TypeError, match="'place'.*SkyCoord"):
        pairs.write(path)
    pairs.catalog.remove_column("place")
    pairs.catalog["things"] = [{}] * 70
    with pytest.raises(TypeError, match="'things'"):
        pairs.write(path)
    pairs.catalog.remove_column("things")
    pairs.catalog.meta["survey"] = get_survey("SDSS")
    with pytest.raises(TypeError, match="catalog.meta"):
        pairs.write(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        pairs.write(tmp_path / "nowhere" / "pairs.zarr")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_seen_before_writing(pairs, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(OSError, match="MiB free"):
        pairs.write(tmp_path / "pairs.zarr")
    assert os.listdir(tmp_path) == []


def test_what_is_not_a_set_of_pairs_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        PairSet.open(tmp_path / "nothing.zarr")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    for name in ("text", "folder"):
        with pytest.raises(FileFormatError, match="not a set of pairs"):
            PairSet.open(tmp_path / name)


def _attributes(path):
    return json.loads((path / "zarr.json").read_text())


def test_a_newer_version_is_refused(path):
    tree = _attributes(path)
    tree["attributes"]["version"] = 99
    (path / "zarr.json").write_text(json.dumps(tree))
    with pytest.raises(FileFormatError, match="version 99"):
        PairSet.open(path)


def _blocks(path, name):
    return sorted(one for one in Path(path, name, "c").rglob("*") if one.is_file())


def test_a_lost_block_is_seen_on_opening(path):
    _blocks(path, "target_flux")[0].unlink()
    with pytest.raises(FileFormatError, match="target_flux has 2 of 3 blocks"):
        PairSet.open(path)


def test_a_damaged_block_is_seen_on_reading(path):
    block = _blocks(path, "target_flux")[0]
    content = bytearray(block.read_bytes())
    content[100] ^= 1
    block.write_bytes(content)
    with pytest.raises(FileFormatError, match="broken"):
        PairSet.open(path).read([0])
    block.write_bytes(content[:50])
    with pytest.raises(FileFormatError, match="broken"):
        PairSet.open(path).read([0])
    PairSet.open(path).read([69])


@pytest.mark.parametrize("part", ["ids", "input_weight", "catalog"])
def test_a_lost_array_is_seen(path, part):
    shutil.rmtree(path / part)
    with pytest.raises(FileFormatError, match="broken"):
        PairSet.open(path)


def test_a_survey_of_ones_own_comes_back(tmp_path):
    sdss = get_survey("SDSS")
    band = Band("h", sdss["r"].wavelength, sdss["r"].response, 25.0, 0.9 * u.arcsec, 0.1, 20.0)
    own = Survey("own survey", (band,), 0.3 * u.arcsec, "nmgy", "of one band", {"gain": "EGAIN"})
    pairs = PairSet.from_arrays(np.ones((2, 1, 4, 4)), np.ones((2, 5, 4, 4)), input_survey=own, target_survey="SDSS")
    pairs.write(tmp_path / "own.zarr")
    survey = PairSet.open(tmp_path / "own.zarr").input_survey
    assert survey.name == "own survey" and survey["h"].psf_fwhm == 0.9 * u.arcsec and survey.unit == own.unit
    assert survey.keywords == {"gain": "EGAIN"}
    np.testing.assert_array_equal(survey["h"].response, band.response)


def test_a_folder_has_no_name_of_a_file(tmp_path):
    pairs = PairSet.from_arrays(np.ones((1, 5, 8, 8)), np.ones((1, 5, 8, 8)), input_survey="SDSS", target_survey="SDSS")
    with pytest.raises(ValueError, match=r"path must name a Zarr folder, as pairs.zarr, got '.*pairs.FITS'"):
        pairs.write(tmp_path / "pairs.FITS")
    pairs.write(tmp_path / "pairs.v2")
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.v2"]


@pytest.fixture
def spectra_path(tmp_path, pairs_with_spectra):
    pairs_with_spectra.write(tmp_path / "spectra.zarr")
    return tmp_path / "spectra.zarr"


def test_spectra_and_errors_come_back(pairs_with_spectra, spectra_path):
    again = PairSet.open(spectra_path)
    assert again.spectrum_grid == pairs_with_spectra.spectrum_grid
    expected, got = pairs_with_spectra.read(), again.read()
    assert expected.keys() == got.keys() and got["spectrum_flux"].dtype == np.float32
    for name in ("spectrum_flux", "spectrum_weight", "redshift", "redshift_error"):
        np.testing.assert_array_equal(got[name], expected[name])
    some = again.select([3, 1]).within("target")
    assert not isinstance(some.spectrum_flux, np.ndarray) and not isinstance(some.input_flux, np.ndarray)
    np.testing.assert_array_equal(some.read()["spectrum_weight"], pairs_with_spectra.spectrum_weight[[3, 1]])
    np.testing.assert_array_equal(some.redshift_error, pairs_with_spectra.redshift_error[[3, 1]])
    assert again[1].spectrum is None and again[0].spectrum.spectral_axis[0] == 4000 * u.AA


def test_pairs_without_spectra_are_as_they_always_were(pairs, path, spectra_path):
    """Folders written before there were spectra open, and those without are still written so that old readers can."""
    assert _attributes(path)["attributes"]["version"] == 1 and _attributes(spectra_path)["attributes"]["version"] == 2
    again = PairSet.open(path)
    assert again.spectrum_grid is None and again.spectrum_flux is None and again.redshift_error is None
    assert again[0].spectrum is None


def test_block_by_block_with_spectra(pairs_with_spectra, tmp_path):
    whole, n = pairs_with_spectra, len(pairs_with_spectra)
    arrays = {name: values for name, values in whole.read().items() if name.endswith(("flux", "weight"))
              and values is not None}
    shapes = {name: values.shape[1:] for name, values in arrays.items()}
    surveys = {"input": whole.input_survey, "target": whole.target_survey}
    with PairSet.writer(tmp_path / "streamed.zarr", n, shapes, surveys) as writer:
        for first in (0, 2):
            writer.write_images(first, {name: values[first:first + 2] for name, values in arrays.items()})
        writer.finish(whole.ids, whole.redshift, None, redshift_error=whole.redshift_error,
                      spectrum_grid=whole.spectrum_grid)
    got = PairSet.open(tmp_path / "streamed.zarr").read()
    for name in arrays:
        np.testing.assert_array_equal(got[name], arrays[name])
    with pytest.raises(ValueError, match="spectrum_grid must be given with spectra"):
        with PairSet.writer(tmp_path / "no_grid.zarr", n, shapes, surveys) as writer:
            writer.write_images(0, arrays)
            writer.finish(whole.ids, whole.redshift, None)
    assert not (tmp_path / "no_grid.zarr").exists()


def test_a_lost_block_of_spectra_is_seen(spectra_path):
    _blocks(spectra_path, "spectrum_weight")[0].unlink()
    with pytest.raises(FileFormatError, match="spectrum_weight has 0 of 1 blocks"):
        PairSet.open(spectra_path)


def test_bytes_and_formats_of_columns(tmp_path):
    catalog = Table({"name": np.array([b"ab", b"c"]), "ra": [1.0, 2.0]})
    catalog["ra"].format = ".3f"
    flux = np.ones((2, 5, 8, 8)), np.ones((2, 5, 18, 18))
    PairSet.from_arrays(*flux, input_survey="SDSS", target_survey="CFHTLS", catalog=catalog).write(tmp_path / "p.zarr")
    found = PairSet.open(tmp_path / "p.zarr").catalog
    assert found["name"].dtype == "S2" and list(found["name"].data) == [b"ab", b"c"] and found["ra"].format == ".3f"


@pytest.mark.parametrize("on_disk", [True, False])
def test_writer_on_disk_and_in_memory(pairs, tmp_path, on_disk):
    """Both give the set that was written, also with fewer pairs than planned and without an array."""
    arrays = {name: np.asarray(getattr(pairs, name)) for name in ("input_flux", "target_flux", "input_weight")}
    surveys = {"input": pairs.input_survey, "target": pairs.target_survey}
    shapes = {name: array.shape[1:] for name, array in arrays.items()}
    n = len(pairs) - 2
    with PairSet.writer(tmp_path / "w.zarr" if on_disk else None, len(pairs), shapes, surveys) as writer:
        for first in range(0, n, writer.block):
            rows = slice(first, min(first + writer.block, n))
            writer.write_images(first, {name: array[rows] for name, array in arrays.items()})
        writer.leave_out("input_weight")
        writer.shorten(n)
        writer.finish(pairs.ids[:n], None, None)
    made = writer.pairs()
    assert len(made) == n and made.input_weight is None and made.redshift is None
    assert made.input_survey is pairs.input_survey
    np.testing.assert_array_equal(np.asarray(made.input_flux), arrays["input_flux"][:n])
    np.testing.assert_array_equal(np.asarray(made.target_flux), arrays["target_flux"][:n])


@pytest.fixture
def labels():
    rng = np.random.default_rng(4)
    return {"input_label": rng.integers(0, 3, (70, 8, 8)), "target_label": rng.integers(0, 3, (70, 18, 18))}


@pytest.fixture
def labeled(pairs, labels):
    return PairSet.from_arrays(pairs.input_flux, pairs.target_flux, input_survey="SDSS", target_survey="CFHTLS",
                               **labels)


def test_labels_on_disk(path, labeled, labels, tmp_path):
    labeled.write(tmp_path / "labeled.zarr")
    again = PairSet.open(tmp_path / "labeled.zarr")
    assert again.input_label.dtype == np.uint8 and again.target_label.shape == (70, 18, 18)
    for name, values in labels.items():
        np.testing.assert_array_equal(again.read([5, 60])[name], values[[5, 60]])
    # Readers without labels still open sets without them.
    assert _attributes(tmp_path / "labeled.zarr")["attributes"]["version"] == 4
    assert _attributes(path)["attributes"]["version"] == 1 and PairSet.open(path).input_label is None
    _blocks(tmp_path / "labeled.zarr", "target_label")[0].unlink()
    assert again.read([65])["target_label"].shape == (1, 18, 18)
    with pytest.raises(FileFormatError, match="not complete"):
        again.read([5])
    with pytest.raises(FileFormatError, match="target_label has 2 of 3 blocks"):
        PairSet.open(tmp_path / "labeled.zarr")


@pytest.mark.parametrize("on_disk", [True, False])
def test_labels_block_by_block(labeled, labels, tmp_path, on_disk):
    arrays = {name: values for name, values in labeled.read().items() if values is not None and values.ndim > 1}
    surveys = {"input": labeled.input_survey, "target": labeled.target_survey}
    shapes = {name: array.shape[1:] for name, array in arrays.items()}
    with PairSet.writer(tmp_path / "w.zarr" if on_disk else None, 70, shapes, surveys) as writer:
        for first in range(0, 70, writer.block):
            writer.write_images(first, {name: array[first:first + writer.block] for name, array in arrays.items()})
        writer.leave_out("input_label")
        writer.shorten(40)
        writer.finish(labeled.ids[:40], None, None)
    made = writer.pairs()
    assert made.input_label is None and made.target_label.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(made.target_label), labels["target_label"][:40])


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("label", [np.full((1, 8, 8), 3), np.zeros((1, 5, 8, 8), int)])
def test_writer_refuses_wrong_labels(labeled, tmp_path, on_disk, label):
    surveys = {"input": labeled.input_survey, "target": labeled.target_survey}
    with pytest.raises(ValueError, match="input_label must"):
        with PairSet.writer(tmp_path / "w.zarr" if on_disk else None, 1, {"input_label": (8, 8)}, surveys) as writer:
            writer.write_images(0, {"input_label": label})
