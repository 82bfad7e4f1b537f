"""Folders and patterns as people have them: what is no image is left out and named."""

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from astro_galtrans._utils.files import listed_files
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.field._field import frame_files
from astro_galtrans.pairs import MatchConfig
from astro_galtrans.pairs._match_images import images_of

JUNK = {
    "._tile.fits": b"\0\5\x16\7" + bytes(200), ".DS_Store": b"\0\0\0\1Bud1", ".hidden.fits": None,
    "notes.txt": b"seeing 0.8",
    "empty.fits": b"", "text.fits": b"not an image" * 300, "table.fits": "table", "short.fits": "short",
    "shortest.fits": "shortest", "catalog.csv": b"ra,dec\n1,2\n", "nested.fits": "folder", "plain.fits": "no image",
    "broken.fits.gz": b"\x1f\x8b\x08 and then nothing",
}


def _put(folder, name, what):
    path = folder / name
    if what == "folder":
        path.mkdir()
    elif what == "table":
        Table({"ra": [150.0], "dec": [2.0]}).write(path)
    elif what == "no image":
        fits.HDUList([fits.PrimaryHDU()]).writeto(path)
    elif isinstance(what, bytes):
        path.write_bytes(what)
    else:
        fits.writeto(path, np.ones((60, 60), "f4"))
        if what in ("short", "shortest"):
            path.write_bytes(path.read_bytes()[:5000 if what == "short" else 1000])


LISTERS = {
    "listed_files": listed_files, "frames": frame_files,
    "tiles": lambda where: images_of(where, "input", None, MatchConfig()).tiles,
}


@pytest.mark.parametrize("lister", LISTERS)
@pytest.mark.parametrize("name", ["field", "field[1]", "a*b", "what?"])
def test_images_are_found_beside_anything(tmp_path, lister, name):
    folder = tmp_path / name
    folder.mkdir()
    for junk, what in JUNK.items():
        _put(folder, junk, what)
    wanted = ["one.fits", "two.fit", "three[x].fits.gz"]
    for good in wanted[:2]:
        _put(folder, good, None)
    with gzip.open(folder / wanted[2], "wb") as stream:
        stream.write((folder / "one.fits").read_bytes())
    with pytest.warns(GaltransWarning) as caught:
        found = LISTERS[lister](folder)
    assert sorted(path.name for path in found) == sorted(wanted)
    [warning] = caught
    assert str(folder) in str(warning.message)
    with pytest.warns(GaltransWarning, match="plain.fits"):
        found = LISTERS[lister](folder / "*.fits")
    assert [path.name for path in found] == ["one.fits"]
    # Brackets that are there are no wild cards.
    assert [path.name for path in LISTERS[lister](folder / "three[x].fits.gz")] == ["three[x].fits.gz"]


@pytest.mark.parametrize("lister", LISTERS)
@pytest.mark.parametrize("junk", JUNK)
def test_each_reason_names_its_file(tmp_path, lister, junk):
    _put(tmp_path, junk, JUNK[junk])
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}.*{junk}"):
        LISTERS[lister](tmp_path)
    _put(tmp_path, "good.fits", None)
    with pytest.warns(GaltransWarning, match=junk.replace(".", r"\.")):
        assert [path.name for path in LISTERS[lister](str(tmp_path))] == ["good.fits"]


@pytest.mark.parametrize("lister", LISTERS)
def test_clean_folders_give_no_warning_and_empty_ones_an_error(tmp_path, lister):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        LISTERS[lister](tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        LISTERS[lister](tmp_path / "missing*.fits")
    _put(tmp_path, "good.fits", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for where in (tmp_path, tmp_path / "*.fits", tmp_path / "good.fits", tmp_path / "[g]ood.fits"):
            assert [path.name for path in LISTERS[lister](where)] == ["good.fits"]
