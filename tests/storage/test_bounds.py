"""Files that claim more than they have, or that were altered, are refused before anything is allocated."""

import bz2
import hashlib
import struct

import asdf
import numpy as np
import pytest
import torch

from astro_galtrans._utils.bounds import check_yaml, unpacked
from astro_galtrans._utils.torch_state import check_weights
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import BandCube
from astro_galtrans.photoz import RedshiftPDF
from astro_galtrans.storage import load, save
from astro_galtrans.storage.checkpoint import load_state, save_state
from astro_galtrans.surveys import Survey, get_survey

SEAL = b"#ASTRO_GALTRANS_SHA256"
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]\n" for old, new in zip("abcdefgh", "bcdefghi"))


def _alter(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def _write_cube(path):
    save(path, BandCube(np.arange(128.0).reshape(2, 8, 8), unit="nmgy", wcs=None, bands="gr", survey="SDSS"))


def _write_density(path):
    save(path, RedshiftPDF(np.linspace(0, 1, 5), np.ones((2, 5))))


@pytest.mark.parametrize(("write", "read", "old", "new"), [
    (_write_cube, load, b"unit: nmgy", b"unit: nJy "),
    (_write_cube, load, np.float64(77).tobytes(), np.float64(78).tobytes()),
    (_write_density, load, b"interpolation: linear", b"interpolation: linear "),
    (lambda path: save(path, get_survey("SDSS")), load, b"name: SDSS", b"name: SDDS"),
    (lambda path: get_survey("SDSS").write(path), Survey.read, b"zero_point: 22.5", b"zero_point: 21.5"),
    (lambda path: save_state(path, {"epoch": 3}), load_state, b"epoch, 3", b"epoch, 4"),
])
def test_altered_values_are_refused(tmp_path, write, read, old, new):
    path = tmp_path / "file.asdf"
    write(path)
    read(path)
    _alter(path, old, new)
    with pytest.raises(FileFormatError, match=r"file\.asdf"):
        read(path)


@pytest.mark.parametrize("write", [_write_cube, _write_density])
def test_files_without_a_checksum_are_read(tmp_path, write):
    path = tmp_path / "file.asdf"
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[:content.index(SEAL)])
    earlier = load(path)
    with asdf.open(path, lazy_load=False, memmap=False) as file:  # ASDF writes without the comment
        file.write_to(tmp_path / "again.asdf")
    assert SEAL not in (tmp_path / "again.asdf").read_bytes()
    assert type(load(tmp_path / "again.asdf")) is type(earlier)


@pytest.mark.parametrize(("text", "reason"), [
    (BOMB, "aliases"), ("a: &a [*a]", "itself"), ("[" * 200 + "]" * 200, "levels"), ("a: [", "not a YAML file"),
    ("x" * (2**25 + 1), "more than"),
])
def test_trees_beyond_the_bounds_are_refused(tmp_path, text, reason):
    with pytest.raises(FileFormatError, match=f"some file.*{reason}"):
        check_yaml(text, "some file")
    for name, head, read in (("a.yaml", "", Survey.read), ("a.asdf", "#ASDF 1.0.0\n%YAML 1.1\n---\n", Survey.read),
                             ("b.asdf", "#ASDF 1.0.0\n%YAML 1.1\n---\n", load)):
        (tmp_path / name).write_text(f"{head}{text}\n...\n" if head else text)
        with pytest.raises(FileFormatError, match=name):
            read(tmp_path / name)


def test_ordinary_aliases_are_read():
    check_yaml("a: &a [1, 2]\nb: *a\nc: [*a, *a]", "file")


def _block(data, size, kind=b"bzp2"):
    checksum = hashlib.md5(data, usedforsecurity=False).digest()
    return b"\xd3BLK" + struct.pack(">HI4sQQQ16s", 48, 0, kind, len(data), len(data), size, checksum) + data


@pytest.mark.parametrize(("kind", "claimed", "reason"), [
    (b"bzp2", 5 * 10**9, "claims 5,000,000,000 bytes"), (b"bzp2", 32 * 2**30, "claims"), (b"\0\0\0\0", 2**40, "claims"),
    (b"zstd", 64, "zstd"),
])
def test_blocks_that_unpack_to_too_much_are_refused(tmp_path, kind, claimed, reason):
    tree = (b"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%%YAML 1.1\n%%TAG ! tag:stsci.edu:asdf/\n--- !core/asdf-1.1.0\n"
            b"a: !core/ndarray-1.1.0 {source: 0, datatype: uint8, byteorder: big, shape: [%d]}\n...\n" % claimed)
    path = tmp_path / "bomb.asdf"
    path.write_bytes(tree + _block(bz2.compress(bytes(4096)), claimed, kind) + b"#ASDF BLOCK INDEX\n...\n")
    for read in (load, load_state, Survey.read):
        with pytest.raises(FileFormatError, match=rf"bomb\.asdf.*{reason}"):
            read(path)


def test_a_library_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("astro_galtrans._utils.bounds.find_spec", lambda name: None)
    path = tmp_path / "packed.asdf"
    path.write_bytes(b"#ASDF 1.0.0\n%YAML 1.1\n---\na: 1\n...\n" + _block(b"1234", 4, b"lz4\0") + b"...\n")
    with pytest.raises(FileFormatError, match="lz4, which is not installed"):
        load(path)


@pytest.mark.parametrize(("array", "reason"), [
    ("{source: 0, datatype: float64, byteorder: big, shape: [1000000000000], strides: [0]}", "array of 8,000"),
    ("{source: 0, datatype: [ucs4, 1000000], byteorder: big, shape: [9], strides: [1]}", "array of 36,000,000"),
    ("{source: ../other.asdf, datatype: uint8, byteorder: big, shape: [4]}", "other.asdf"),
    ("{source: 5, datatype: uint8, byteorder: big, shape: [4]}", "own blocks"),
    ("{source: 0, datatype: uint8, byteorder: big, shape: [-4]}", "shape"),
])
def test_arrays_beyond_their_blocks_are_refused(tmp_path, array, reason):
    path = tmp_path / "a.asdf"
    path.write_bytes(b"#ASDF 1.0.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n--- !core/asdf-1.1.0\n"
                     b"a: !core/ndarray-1.1.0 " + array.encode() + b"\n...\n"
                     + _block(bytes(64), 64, b"\0\0\0\0") + b"...\n")
    with pytest.raises(FileFormatError, match=rf"a\.asdf.*{reason}"):
        load(path)


def test_references_to_other_files_are_refused(tmp_path):
    (tmp_path / "a.asdf").write_text("#ASDF 1.0.0\n%YAML 1.1\n---\na: {$ref: 'file:///etc/hosts#'}\n...\n")
    with pytest.raises(FileFormatError, match="not followed"):
        load(tmp_path / "a.asdf")


@pytest.mark.parametrize("key", ["WCSAXES", "NAXIS", "TFIELDS"])
def test_headers_of_many_axes_are_refused(tmp_path, key):
    (tmp_path / "a.asdf").write_text(f"#ASDF 1.0.0\n%YAML 1.1\n---\nheader:\n- [{key}, 65536, axes]\n...\n")
    with pytest.raises(FileFormatError, match=f"{key} = 65536"):
        load(tmp_path / "a.asdf")


def test_files_packed_by_gzip_and_bzip2_are_bounded(monkeypatch):
    assert unpacked(bz2.compress(b"galaxy"), "file") == b"galaxy"
    monkeypatch.setattr("astro_galtrans._utils.bounds._ANY_SIZE", 1000)
    with pytest.raises(FileFormatError, match="file claims"):
        unpacked(bz2.compress(bytes(10**6)), "file")


@pytest.mark.parametrize(("options", "change", "reason"), [
    ({"width": 10**9}, {}, "ask for 1000000000"), ({"width": 4}, {"bias": np.full(4, np.nan)}, "must be finite"),
    ({"width": 5}, {}, "do not fit"), ({"width": 4}, {"other": np.zeros(1)}, "do not fit"),
])
def test_weights_are_checked_before_their_network_is_built(options, change, reason):
    weights = {"weight": np.zeros((4, 4)), "bias": np.zeros(4)}
    check_weights(lambda: torch.nn.Linear(4, 4), {"width": 4}, weights, "network")
    with pytest.raises(ValueError, match=f"network.*{reason}"):
        check_weights(lambda: torch.nn.Linear(options["width"], options["width"]), options, {**weights, **change},
                      "network")
