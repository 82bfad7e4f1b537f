"""Files and folders appear under their name only when they are complete."""

import os
import signal
import stat
import sys

import pytest

from astro_galtrans._utils import io
from astro_galtrans._utils.io import (
    check_new, remove_leftovers, unfinished_folder, whole_file, whole_files, whole_folder, write_whole,
)


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


def _refuse(path, *args):
    raise PermissionError(13, "Permission denied", str(path))


def test_folders_that_cannot_hold_anything(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for parent, error in (("missing", FileNotFoundError), ("file", NotADirectoryError)):
        with pytest.raises(error, match=parent):
            write_whole(tmp_path / parent / "a.txt", b"")
        with pytest.raises(error, match=parent), whole_folder(tmp_path / parent / "out"):
            pass
    monkeypatch.setattr("os.mkdir", _refuse)
    with pytest.raises(PermissionError, match="a.txt"):
        write_whole(tmp_path / "a.txt", b"")


def _killed_while(function):
    """Run a function in a process that kills itself in the end."""
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_the_next_write_removes_what_a_killed_one_left(tmp_path, whole):
    path = tmp_path / "out"

    def write():
        with whole(path) as temporary:
            (temporary / "part" if temporary.is_dir() else temporary).write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    _killed_while(write)
    _killed_while(write)
    assert len(os.listdir(tmp_path)) == 1 and not path.exists()
    with whole(path) as temporary, whole(path) as other:  # two at a time keep apart
        assert len(os.listdir(tmp_path)) == 2
        for one in (temporary, other):
            (one / "all" if one.is_dir() else one).write_text("all")
    assert os.listdir(tmp_path) == ["out"]
    _killed_while(write)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        check_new(path, overwrite=False)
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_is_replaced_in_one_call(tmp_path, monkeypatch):
    """Killed at any call of a replacement, the folder is the old one or the new one."""
    path, seen = tmp_path / "out", []
    with whole_folder(path) as temporary:
        (temporary / "old").write_text("")
    real = {name: getattr(io, name) for name in ("_exchange", "_discard")}
    for name in real:
        monkeypatch.setattr(io, name, lambda *args, name=name: (seen.append(os.listdir(path)), real[name](*args))[1])
    with whole_folder(path) as temporary:
        (temporary / "new").write_text("")
    assert seen == [["old"], ["new"]]


@pytest.mark.parametrize("n_calls", [1, 2])
def test_a_replacement_in_two_calls_is_finished_later(tmp_path, monkeypatch, n_calls):
    """Where the system cannot exchange two folders."""
    path = tmp_path / "out"
    with whole_folder(path) as temporary:
        (temporary / "old").write_text("")
    monkeypatch.setattr(io, "_exchange", lambda one, other: False)
    calls, replace = [], os.replace

    def replace_some(one, other):
        calls.append(one)
        if len(calls) == n_calls:
            raise KeyboardInterrupt
        replace(one, other)

    def write():
        with whole_folder(path) as temporary:
            (temporary / "new").write_text("")
            monkeypatch.setattr(os, "replace", replace_some)
            monkeypatch.setattr(io, "_discard", lambda folder: os.kill(os.getpid(), signal.SIGKILL))
    _killed_while(write)
    assert path.exists() is (n_calls == 1)
    remove_leftovers(path)
    assert os.listdir(path) == [["old"], ["new"]][n_calls - 1] and os.listdir(tmp_path) == ["out"]
    monkeypatch.undo()
    monkeypatch.setattr(io, "_exchange", lambda one, other: False)
    with whole_folder(path) as temporary:
        (temporary / "newest").write_text("")
    assert os.listdir(path) == ["newest"] and os.listdir(tmp_path) == ["out"]


def test_files_that_a_killed_call_moved_may_be_replaced(tmp_path, monkeypatch):
    out, names = tmp_path / "out", ["a", "b", "c"]
    out.mkdir()
    (out / "c").write_text("mine")

    def write(overwrite=False, stop=None):
        with whole_files(out, names, overwrite) as temporary:
            for name in names:
                (temporary / name).write_text("all")
            if stop is not None:
                move = io._move
                monkeypatch.setattr(io, "_move", lambda one, path: os.kill(os.getpid(), signal.SIGKILL)
                                    if path.name == stop else move(one, path))

    with pytest.raises(FileExistsError, match="c exists already"):
        write()
    (out / "c").unlink()
    _killed_while(lambda: write(stop="c"))
    _killed_while(lambda: write(stop="b"))
    assert {"a", "b"} < set(os.listdir(out))
    (out / "c").write_text("mine")  # the killed calls had not moved this one
    with pytest.raises(FileExistsError, match="c exists already"):
        write()
    (out / "c").unlink()
    write()
    assert sorted(os.listdir(out)) == names
    monkeypatch.setattr(io.shutil, "rmtree", lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL))
    _killed_while(lambda: write(overwrite=True))  # while it cleans up
    monkeypatch.undo()
    for folder, lock in io._leftovers(out / io._FILES):
        (folder / io._JOURNAL).unlink()
        os.close(lock)
    with pytest.raises(FileExistsError, match="a exists already"):
        write()
    assert sorted(os.listdir(out)) == names


def test_one_process_at_a_time_in_an_unfinished_folder(tmp_path):
    path = tmp_path / "out"
    with unfinished_folder(path) as folder:
        (folder / "part").write_text("")
        with pytest.raises(BlockingIOError, match="out is being written by another process"), unfinished_folder(path):
            pass
    with unfinished_folder(path) as folder:
        assert os.listdir(folder) == ["part"]
        (folder / "part").unlink()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_full_disk_is_named(tmp_path, whole):
    import resource

    path, limits = tmp_path / "out", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="cannot be written: File too large: .*out'"), whole(path) as temporary:
            (temporary / "part" if temporary.is_dir() else temporary).write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []
