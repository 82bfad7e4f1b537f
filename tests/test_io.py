"""Files and folders appear under their name only when they are complete."""

import os
import stat

import pytest

from astro_galtrans._utils.io import new_folder, whole_file, whole_folder, write_whole


def test_an_error_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, b"first")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_of_a_file_that_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, b"first")
    path.chmod(0o640)
    write_whole(path, b"second")
    assert path.read_text() == "second" and stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_full_disk_is_reported_with_the_file(tmp_path):
    with pytest.raises(OSError, match="a.txt") as caught, whole_file(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert caught.value.errno == 28 and os.listdir(tmp_path) == []


def test_a_folder_replaces_another_at_the_end(tmp_path):
    path = tmp_path / "out"
    for content in ("first", "second"):
        with whole_folder(path) as partial:
            (partial / content).write_text(content)
    assert os.listdir(path) == ["second"] and os.listdir(tmp_path) == ["out"]
    with pytest.raises(RuntimeError), whole_folder(path):
        raise RuntimeError
    assert os.listdir(path) == ["second"] and os.listdir(tmp_path) == ["out"]


def test_folders_that_cannot_hold_anything(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for parent, error in (("missing", FileNotFoundError), ("file", NotADirectoryError)):
        with pytest.raises(error, match=parent):
            write_whole(tmp_path / parent / "a.txt", b"")
        with pytest.raises(error, match=parent):
            new_folder(tmp_path / parent / "out")
    monkeypatch.setattr("os.access", lambda *args: False)
    with pytest.raises(PermissionError, match="a.txt"):
        write_whole(tmp_path / "a.txt", b"")
