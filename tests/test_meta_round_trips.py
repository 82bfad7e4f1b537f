"""What is written is read again with equal content, or left out with a warning that names its key."""

import datetime
import json
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Angle, SkyCoord
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table
from astropy.time import Time
from astropy.utils.masked import Masked

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import BandCube, read_cube
from astro_galtrans.images._fits_write import meta_of_table
from astro_galtrans._utils.meta import encoded
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import load, save

_TABLE = Table({"objid": MaskedColumn([1, 2], mask=[False, True]),
                "name": MaskedColumn(["a", "b"], mask=[False, True])})

KEPT = {
    "None": None, "bool": True, "numpy bool": np.bool_(False), "int": 5, "large int": 2**70, "float": 1.5,
    "nan": float("nan"), "infinity": float("-inf"), "float32": np.float32(0.1), "longdouble": np.longdouble(1) / 3,
    "complex": 1 + 2j, "complex64": np.complex64(1 - 2j), "text": "plain", "empty text": "",
    "numpy text": np.str_("np"),
    "spaces": "  both ends  ", "lines": "one\ntwo\r\nthree\n", "control": "\x00\x85\u2028\ufeff", "surrogate": "\ud800",
    "non-ASCII": "Å – 銀河 🌌", "long text": "x" * 50000, "bytes": b"\x00\xff", "set": {1, 2, "a"},
    "frozenset": frozenset([1.5]), "tuple": (1, (2, "a"), []), "empty dict": {},
    "keys that are no text": {1: "a", (2, 3): "b", None: 4}, "keys like tags": {"__tuple__": [1], "__array__": "x"},
    "keys that are not ASCII": {"Å": 1},
    "array": np.arange(6, dtype=">i2").reshape(2, 3), "empty array": np.zeros((0, 3), "f4"),
    "0-d array": np.array(2.5), "bool array": np.array([True, False]), "text array": np.array(["a", "Å"]),
    "bytes array": np.array([b"a", b"\xff"]), "complex array": np.array([1j, 2, np.nan]),
    "longdouble array": np.ones((2, 2), np.longdouble) / 3, "dates": np.array(["2026-01-01", "NaT"], "M8[D]"),
    "masked int column": _TABLE["objid"], "masked text column": _TABLE["name"],
    "column": Column([1.0, 2.0], name="z", unit="km/s", description="speed"),
    "np.ma int": np.ma.array([1, 2], mask=[0, 1]), "np.ma bool": np.ma.array([True, False], mask=[0, 1]),
    "np.ma float": np.ma.array([1.0, np.nan], mask=[1, 0]), "np.ma 0-d": np.ma.array(5, mask=True),
    "np.ma.masked": np.ma.masked, "nested": {"a": [np.ma.array([1, 2], mask=[0, 1]), {"b": (np.int8(3),)}]},
    "Masked": Masked([1.0, 2.0], mask=[True, False]), "masked Quantity": Masked([1.0, 2.0] * u.m, mask=[True, False]),
    "Quantity": 3 * u.arcsec, "Quantity array": np.ones((2, 2), "f4") * u.Jy,
    "integer Quantity": u.Quantity(3, dtype=int),
    "unit": u.Unit("nmgy"), "Angle": Angle("1d30m"), "Time": Time("2026-01-01T12:00:00", scale="tai"),
    "times": Time([2461000.5, 2461001.25], format="jd"), "SkyCoord": SkyCoord(10 * u.deg, -5 * u.deg, frame="galactic"),
    "date": datetime.date(2026, 1, 1), "header": fits.Header([("OBJECT", "NGC 1", "name"), ("HISTORY", "a"),
                                                              ("HISTORY", "b")]),
}
LEFT_OUT = {
    "function": len, "object": object(), "table": _TABLE, "row": _TABLE[0], "path": Path("x"),
    "object array": np.array([None, {}], dtype=object), "structured array": np.zeros(2, "i4,f8"),
    "nested object": {"a": [1, object()]}, "generator": iter([1]), "clongdouble": np.ones(1, np.clongdouble),
}


def _cube(meta):
    return BandCube(np.ones((1, 4, 4)), unit="nmgy", wcs=None, bands="r", meta=meta)


def _by_write(meta, folder, make):
    _cube(meta).write(folder / "cube.fits")
    return read_cube(folder / "cube.fits").meta


def _by_write_bands(meta, folder, make):
    [path] = _cube(meta).write_bands(folder / "{band}.fits").values()
    with fits.open(path) as hdus:
        found = meta_of_table(hdus["META"])
    assert found.pop("band") == "r"
    return found


def _by_save(meta, folder, make):
    save(folder / "cube.asdf", _cube(meta))
    return load(folder / "cube.asdf").meta


def _by_pairs(meta, folder, make):
    catalog = Table({"z": Column([1.0, 2.0], meta=meta)}, meta=meta)
    pairs = PairSet.from_arrays(np.ones((2, 1, 8, 8)), np.ones((2, 1, 8, 8)), input_survey="SDSS", input_bands="r",
                                target_survey="SDSS", target_bands="r", catalog=catalog)
    pairs.write(folder / "pairs.zarr")
    found = PairSet.open(folder / "pairs.zarr").catalog
    assert encoded(dict(found["z"].meta)) == encoded(dict(found.meta)) or "nan" in str(meta)
    return dict(found.meta)


def _by_provenance(meta, folder, make):
    translator = make.from_tree({**make.to_tree(), "provenance": {}})
    translator.provenance.update(meta)
    save(folder / "translator.asdf", translator)
    return load(folder / "translator.asdf").provenance


WRITERS = {"write": _by_write, "write_bands": _by_write_bands, "save": _by_save, "pairs": _by_pairs,
           "provenance": _by_provenance}


def _same(one, other):
    """Equal content, NaN included; numbers of Python and NumPy are alike."""
    return type(one) is type(other) and json.dumps(encoded(one)) == json.dumps(encoded(other))


@pytest.fixture(scope="module", params=WRITERS)
def round_trip(request, small_translator, tmp_path_factory):
    def write(meta):
        return WRITERS[request.param](meta, tmp_path_factory.mktemp("meta"), small_translator)
    return write


def test_every_value_comes_back(round_trip):
    found = round_trip(KEPT)
    assert set(found) == set(KEPT)
    numbers = (bool, np.bool_, int, float, str, np.generic)
    changed = [name for name, value in KEPT.items() if not (
        _same(found[name], value) or isinstance(value, numbers) and encoded(found[name]) == encoded(value))]
    assert changed == []


def test_keys_come_back(round_trip):
    meta = {"": 1, "Å銀": 2, " spaces ": 3, 'quote " and \\ and \\u0041': 4, "a" * 300: 5, "tab\t": 6}
    assert round_trip(meta) == meta


@pytest.mark.parametrize("key", [5, *LEFT_OUT])
def test_what_cannot_be_written_is_named(key, tmp_path, small_translator):
    """FITS files leave it out with a warning, as it was; the others refuse, and write nothing."""
    meta = {"kept": 1, key: LEFT_OUT.get(key, "a key that is no text")}
    for number, (name, write) in enumerate(WRITERS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        if name in ("write", "write_bands"):
            with pytest.warns(GaltransWarning, match=repr(key)):
                assert write(meta, folder, small_translator) == {"kept": 1}
        elif name != "provenance" or key in ("object", "table"):
            with pytest.raises(TypeError, match=repr(key)):
                write(meta, folder, small_translator)
            assert list(folder.iterdir()) == []


def test_content_is_that_of_the_original():
    """`encoded` tells values apart that differ, on which the tests above rest."""
    texts = {name: json.dumps(encoded(value)) for name, value in KEPT.items()}
    assert len(set(texts.values())) == len(texts)
