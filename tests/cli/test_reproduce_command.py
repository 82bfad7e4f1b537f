"""``galtrans reproduce``."""

import json

import pytest

OPTIONS = ("--epochs", 1, "--batch-size", 4, "--backbone-option", "widths=[4,8]", "--backbone-option", "n_features=4",
           "--validation-fraction", 0.25, "--quiet")


@pytest.fixture
def work(small_pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_pairs.write("pairs.zarr")
    changed = small_pairs.select(slice(None))
    changed.target_flux[:] *= 1.1
    changed.write("changed.zarr")


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_identical_or_what_differs(run, work, direction):
    direction = ("--direction", direction)
    assert run("train", "pairs.zarr", "--out", "t.asdf", "--seed", 3, *OPTIONS, *direction)[0] == 0
    status, out, err = run("reproduce", "t.asdf", "pairs.zarr", "--quiet", *direction)
    assert (status, err, len(out)) == (0, [], 1) and "t.asdf: identical, all " in out[0]
    status, out, err = run("reproduce", "t.asdf", "changed.zarr", "--quiet", *direction)
    assert status == 0 and "t.asdf: different, " in out[0] and any(line.startswith("pairs_hash: ") for line in out)
    status, out, err = run("reproduce", "t.asdf", "changed.zarr", "--quiet", "--json", *direction)
    found = json.loads("\n".join(out))
    assert not found["identical"] and found["n_different"] > 0 and "validation_hash" in found["changes"]


def test_pairs_in_another_direction(run, work):
    assert run("train", "pairs.zarr", "--out", "t.asdf", *OPTIONS)[0] == 0
    status, _, err = run("reproduce", "t.asdf", "pairs.zarr", "--quiet", "--direction", "reverse")
    assert status == 2 and "must have the input_survey of translator" in err[-1]
