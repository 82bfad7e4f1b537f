from collections import OrderedDict

import numpy as np
import pytest
import torch

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.storage import load
from astro_galtrans.storage.checkpoint import load_state, save_state

SCALARS = [
    None, True, 0, -1,
    2**63 - 1, -(2**63), 2**200, 0.1, 1e-05, 1e300, float("nan"), float("-inf"), -0.0, "", "1e-5",
    "yes", "null", "a: b\n---\n...\n", "\x00\x1b\x85\u2028é", b"", b"\x00\xff", np.float32(0.1),
    np.int64(3), np.bool_(True),
]
ARRAYS = [
    np.array(3.0),
    np.zeros((0, 2)), np.arange(6, dtype=">i2").reshape(2, 3), np.array([1 + 2j]), np.array(["é", "abc"]),
    np.array([b"a"]), np.array(["2020-01-01"], "M8[D]"), np.arange(10)[::3],
    np.asfortranarray(np.eye(3)[:2]),
]
DTYPES = [
    torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.complex64,
]


def assert_same(read, written):
    assert type(read) is type(written)
    if isinstance(written, dict):
        assert [(type(key), key) for key in read] == [(type(key), key) for key in written]
        for key in written:
            assert_same(read[key], written[key])
    elif isinstance(written, (list, tuple)):
        assert len(read) == len(written)
        for pair in zip(read, written):
            assert_same(*pair)
    elif isinstance(written, torch.Tensor):
        assert (read.dtype, read.shape, read.device.type) == (written.dtype, written.shape, "cpu")
        assert torch.equal(read, written)
    elif isinstance(written, (np.ndarray, np.generic)):
        assert (read.dtype, read.shape, read.tobytes()) == (written.dtype, written.shape, written.tobytes())
    else:
        assert repr(read) == repr(written)


def roundtrip(tmp_path, tree):
    save_state(tmp_path / "last.ckpt", tree)
    return load_state(tmp_path / "last.ckpt")


def test_scalars_and_arrays(tmp_path):
    assert_same(roundtrip(tmp_path, SCALARS), SCALARS)
    assert_same(roundtrip(tmp_path, ARRAYS), ARRAYS)


def test_containers(tmp_path):
    tree = {"a": (1, [2, ()], {}), 3: {"x": OrderedDict([("b", 1), (0, 2)])}, -(2**70): [], "": ((),)}
    assert_same(roundtrip(tmp_path, tree), tree)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors(tmp_path, dtype):
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).mul(3).to(dtype)
    tree = [values, values[1, 2], values.t(), values[:, ::2], values[:0]]
    assert_same(roundtrip(tmp_path, tree), tree)


def test_optimizer_continues_as_if_it_had_not_stopped(tmp_path):
    def train(steps, state=None):
        generator = torch.Generator().manual_seed(0)
        layer = torch.nn.Linear(4, 1)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
        if state:
            layer.load_state_dict(state["layer"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
        for _ in range(steps):
            optimizer.zero_grad()
            layer(torch.arange(8.0).reshape(2, 4)).square().sum().backward()
            optimizer.step()
            schedule.step()
        return {"layer": layer.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}

    with torch.random.fork_rng(devices=[]):
        resumed = train(3, roundtrip(tmp_path, {**train(2)}))
        straight = train(5)
    assert_same(resumed["optimizer"], straight["optimizer"])
    assert all(torch.equal(resumed["layer"][name], straight["layer"][name]) for name in straight["layer"])


@pytest.mark.parametrize(("tree", "place"), [
    ({"a": [print]}, r"state\['a'\]\[0\]"),
    ({1.5: 0}, "keys"), ({True: 0}, "keys"), ([np.array([None])], r"state\[0\]"),
    ({"s": torch.eye(2).to_sparse()}, r"state\['s'\]"),
])
def test_what_cannot_be_stored_is_named_and_nothing_is_written(tmp_path, tree, place):
    with pytest.raises(TypeError, match=place):
        save_state(tmp_path / "last.ckpt", tree)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_refused(tmp_path):
    path = tmp_path / "last.ckpt"
    save_state(path, {"weights": torch.ones(1000)})
    content = path.read_bytes()
    for damaged in (content[:-200], content[:600], content.replace(b"\x80?\x00\x00\x80?", b"\x80?\x00\x00\x81?", 1)):
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=r"last\.ckpt"):
            load_state(path)
    unsealed = content[:content.index(b"#ASTRO_GALTRANS_SHA256")]
    path.write_bytes(unsealed.replace(b"format: 1", b"format: 9"))
    with pytest.raises(FileFormatError, match="upgrade"):
        load_state(path)
    path.write_bytes(unsealed.replace(b"kind: tensor", b"kind: tenser"))
    with pytest.raises(FileFormatError, match="damaged"):
        load_state(path)
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="without any object"):
        load(path)


def test_replacing_can_be_refused(tmp_path):
    save_state(tmp_path / "last.ckpt", {})
    with pytest.raises(FileExistsError):
        save_state(tmp_path / "last.ckpt", {}, overwrite=False)
