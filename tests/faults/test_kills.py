"""A few of the kills of ``kills.py``, and disks that cannot be written."""

import contextlib
import importlib.util
import math
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import save

_spec = importlib.util.spec_from_file_location("kills", Path(__file__).with_name("kills.py"))
kills = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kills)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has started threads")


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    names = ["simulate, overwrite", "pair", "train", "translate, existing folder"]
    return kills.Runner(names, tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("name, number, share", [
    ("simulate, overwrite", signal.SIGKILL, 0.99), ("simulate, overwrite", signal.SIGTERM, 0.5),
    ("pair", signal.SIGKILL, 0.5), ("pair", signal.SIGKILL, 0.9), ("pair", signal.SIGINT, 0.7),
    ("translate, existing folder", signal.SIGKILL, 0.75), ("translate, existing folder", signal.SIGTERM, 0.5),
    ("train", signal.SIGKILL, 0.7), ("train", signal.SIGTERM, 0.7),
])
def test_a_killed_command_is_run_again(runner, name, number, share):
    status = runner.kill_at_event(name, number, math.ceil(share * runner.events[name]))
    assert status == kills.STATUS.get(number, -number), runner.log.read_text()
    said = runner.log.read_text()
    wrong, left = runner.check(name, number, status)
    assert wrong == [] and (number == signal.SIGKILL or not left or name == "pair")
    if name == "train" and number == signal.SIGTERM:
        assert re.search("terminated: training stopped in epoch . of 3; the same command with --resume resumes", said)


@pytest.fixture
def refused(small_translator, small_pairs):
    """Write twice to a folder, the second time on a disk that refuses, and find the first results."""
    @contextlib.contextmanager
    def refused(folder, message):
        save(folder / "t.asdf", small_translator)
        small_pairs.write(folder / "pairs.zarr")
        small_pairs[0].input.write(folder / "cube.fits")
        before = [(folder / name).read_bytes() for name in ("t.asdf", "cube.fits")]
        yield
        for write in (lambda: save(folder / "t.asdf", small_translator, overwrite=True),
                      lambda: small_pairs.write(folder / "pairs.zarr", overwrite=True),
                      lambda: small_pairs[0].input.write(folder / "cube.fits", overwrite=True)):
            with pytest.raises(OSError, match=message) as caught:
                write()
            assert "partial" not in str(caught.value)
        assert kills.leftovers(folder) == []
        assert [(folder / name).read_bytes() for name in ("t.asdf", "cube.fits")] == before
        assert PairSet.open(folder / "pairs.zarr").hash == small_pairs.hash
    return refused


def test_a_file_that_may_not_grow(refused, tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with refused(tmp_path, "cannot be written: File too large"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def disk(tmp_path):
    """A folder with a disk of 8 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("may not mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(refused, disk):
    with refused(disk, "cannot be written: No space left on device|MiB free"):
        filler = (disk / "filler").open("wb", buffering=0)
        for size in (2**16, 2**10):
            with contextlib.suppress(OSError):
                while filler.write(bytes(size)) == size:
                    pass
        filler.close()


def test_a_read_only_disk(refused, disk):
    with refused(disk, "cannot write .* there: Read-only file system"):
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
