"""Checkpoints of a training as ASDF files, without pickle.

ASDF turns tuples into lists and knows no bfloat16, so the tree is written with the kind of each container and array.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.plugins.io import CheckpointIO

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.storage._files import open_tree, write_tree

__all__ = ["CheckpointFile", "load_state", "save_state"]

_FORMAT = 1
_LITERAL = 2**52  # within it every reader of ASDF knows an int literal exactly
_CONTAINERS = {"dict": dict, "ordered_dict": OrderedDict, "list": list, "tuple": tuple}
_SAME_SIZE_INT = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class CheckpointFile(CheckpointIO):
    """One checkpoint file of a training; as a plugin of Lightning it writes and reads the ASDF format.

    Parameters
    ----------
    path : path-like
        The file; its folder is made if it does not exist.
    resume : bool
        Whether to resume the training from the file if it exists.
    """

    def __init__(self, path, resume):
        self.path, self.resume = Path(path), resume
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def resumed(self, run):
        """Return the path to resume from, or None if there is no file or it is not to be used.

        ``run`` has checksums that identify the training; the file of another one raises a ValueError.
        """
        if not self.resume or not self.path.exists():
            return None
        state = load_state(self.path)
        stored = state.get("run") if isinstance(state, dict) else None
        if not isinstance(stored, dict):
            raise FileFormatError(f"{self.path} is not the checkpoint of a training")
        changed = [key for key in run if stored.get(key) != run[key]]
        if changed:
            raise ValueError(f"{self.path} belongs to another training: its {' and '.join(changed)} differ; use "
                             "another folder or remove the file")
        return str(self.path)

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        """Write a checkpoint; the file appears complete or not at all."""
        save_state(path, checkpoint)

    def load_checkpoint(self, path, map_location=None, weights_only=None):
        """Read a checkpoint, tensors on the CPU."""
        return load_state(path)

    def remove_checkpoint(self, path):
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def save_state(path, tree, *, overwrite=True):
    """Write a nested state to an ASDF file.

    Parameters
    ----------
    path : str or path-like
        The file to write; it appears under this name only once it is complete.
    tree : object
        Nested dict and OrderedDict (with keys of type str or int), list and tuple of str, bytes, bool, int, float,
        None, NumPy scalars, `numpy.ndarray` and dense `torch.Tensor`. Tensors that share memory are stored apart.
        Something else raises a TypeError that says where it is.
    overwrite : bool, optional
        Whether an existing file is replaced.
    """
    write_tree(path, {"checkpoint": {"format": _FORMAT, "state": _encode(tree, "state")}}, overwrite=overwrite)


def load_state(path):
    """Read the tree that `save_state` wrote, with all its types; tensors are on the CPU.

    A file that is not a checkpoint, truncated, altered, or of a newer version raises a FileFormatError.
    """
    with open_tree(path) as tree:
        node = tree.get("checkpoint")
        if not isinstance(node, dict) or "format" not in node:
            raise FileFormatError(f"{path} holds no training state")
        if node["format"] != _FORMAT:
            raise FileFormatError(
                f"{path} is a checkpoint of format {node['format']}, and this astro_galtrans reads {_FORMAT}; "
                "upgrade astro_galtrans to read it"
            )
        try:
            return _decode(node["state"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise FileFormatError(f"the training state in {path} is damaged: {error!r}") from error


def _encode(value, where):
    kind = type(value)
    if value is None or kind in (bool, str, float):
        return value
    if kind is int:
        return value if abs(value) < _LITERAL else {"kind": "int", "value": str(value)}
    if kind in (dict, OrderedDict):
        return _encode_mapping(value, where)
    if kind in (list, tuple):
        return {"kind": kind.__name__, "items": [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)]}
    if kind is bytes:
        return {"kind": "bytes", "data": np.frombuffer(value, np.uint8)}
    if isinstance(value, np.generic):
        return _encode_array(np.asarray(value), "scalar", where)
    if kind is np.ndarray:
        return _encode_array(value, "array", where)
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, where)
    raise TypeError(f"a {kind.__module__}.{kind.__qualname__} cannot be stored in a checkpoint, found at {where}")


def _encode_mapping(value, where):
    for key in value:
        if type(key) not in (str, int):
            raise TypeError(f"keys of a checkpoint must be str or int, got {key!r} at {where}")
    return {
        "kind": "dict" if type(value) is dict else "ordered_dict",
        "items": [[_encode(key, where), _encode(item, f"{where}[{key!r}]")] for key, item in value.items()],
    }


def _encode_array(array, kind, where):
    if array.dtype.hasobject or array.dtype.names is not None:
        raise TypeError(f"an array of dtype {array.dtype} cannot be stored in a checkpoint, found at {where}")
    return {
        "kind": kind, "dtype": array.dtype.str, "shape": list(array.shape),
        "data": np.frombuffer(array.tobytes(), np.uint8),
    }


def _encode_tensor(tensor, where):
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f"a tensor of layout {tensor.layout} cannot be stored in a checkpoint, found at {where}")
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    dtype = str(flat.dtype).removeprefix("torch.")
    try:
        data = flat.numpy()
    except TypeError:  # NumPy has no such dtype, as bfloat16
        data = flat.view(_SAME_SIZE_INT[flat.element_size()]).numpy()
    return {"kind": "tensor", "dtype": dtype, "shape": list(tensor.shape), "data": data.copy()}


def _decode(node):
    if not isinstance(node, dict):
        return node
    kind = node["kind"]
    if kind in ("dict", "ordered_dict"):
        return _CONTAINERS[kind]((_decode(key), _decode(item)) for key, item in node["items"])
    if kind in ("list", "tuple"):
        return _CONTAINERS[kind](_decode(item) for item in node["items"])
    if kind == "int":
        return int(node["value"])
    data = np.array(node["data"])
    if kind == "bytes":
        return data.tobytes()
    if kind == "tensor":
        dtype = getattr(torch, node["dtype"])
        tensor = torch.from_numpy(data)
        return (tensor if tensor.dtype is dtype else tensor.view(dtype)).reshape(node["shape"])
    if kind not in ("array", "scalar"):
        raise ValueError(f"unknown kind {kind!r}")
    array = np.frombuffer(data.tobytes(), np.dtype(node["dtype"])).reshape(node["shape"])
    return array.copy() if kind == "array" else array[()]
