"""A few of the kills of ``kills.py``, and disks that cannot be written."""

import errno
import math
import signal
import sys

import pytest
from kills import SIGNALS, STATUS, Runner, leftovers

from astro_galtrans.pairs import PairSet
from astro_galtrans.storage import load, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has started threads")


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    names = ["simulate, overwrite", "pair", "train", "translate, existing folder"]
    return Runner(names, tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("share", [0.3, 0.75, 1])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["simulate, overwrite", "pair", "translate, existing folder"])
def test_a_killed_command_is_run_again(runner, name, number, share):
    status = runner.kill_at_event(name, number, math.ceil(share * runner.events[name]))
    assert status == STATUS.get(number, -number)
    wrong, left = runner.check(name, number, status)
    assert wrong == [] and (number == signal.SIGKILL or not left or name == "pair")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_killed_training_is_resumed(runner, number):
    status = runner.kill_at_event("train", number, math.ceil(0.7 * runner.events["train"]))
    assert status == STATUS.get(number, -number)
    if number != signal.SIGKILL:
        word = "terminated" if number == signal.SIGTERM else "interrupted"
        assert f"{word}: training stopped in epoch" in runner.log.read_text()
        assert "of 3; the same command with --resume resumes it" in runner.log.read_text()
    assert runner.check("train", number, status)[0] == []


def test_a_full_disk_loses_nothing(small_translator, small_pairs, tmp_path):
    save(tmp_path / "t.asdf", small_translator)
    small_pairs.write(tmp_path / "pairs.zarr")

    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        for write in (lambda: save(tmp_path / "t.asdf", small_translator, overwrite=True),
                      lambda: small_pairs.write(tmp_path / "pairs.zarr", overwrite=True)):
            with pytest.raises(OSError, match="cannot be written: File too large") as caught:
                write()
            assert caught.value.errno == errno.EFBIG and "partial" not in str(caught.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert leftovers(tmp_path) == []
    assert load(tmp_path / "t.asdf").hash == small_translator.hash
    assert PairSet.open(tmp_path / "pairs.zarr").hash == small_pairs.hash
