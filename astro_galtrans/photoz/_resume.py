"""The state of an unfinished training in a file, so that it can go on as if it had not been interrupted."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import torch

from astro_galtrans._utils.io import whole_file

__all__ = ["StateFile", "training_key"]

_NUMBERS = ("step", "epoch", "reductions", "reduced_at", "best_loss", "best_epoch", "history", "finished")


def training_key(config, grid, samples):
    """A checksum of the settings and of all data of a training, hexadecimal."""
    sha = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode())
    sha.update(np.ascontiguousarray(grid))
    for sample in filter(None, samples):
        for tensor in (*sample.inputs, sample.targets.redshift):
            sha.update(np.ascontiguousarray(tensor.cpu().numpy()))
    return sha.hexdigest()


class StateFile:
    """One file of NumPy arrays, without pickle, for the state of a `Trainer`.

    Parameters
    ----------
    path : path-like
        The file; it need not exist.
    key : str
        `training_key` of the training.
    """

    def __init__(self, path, key):
        self.path, self.key = Path(path), key

    def read(self, trainer):
        """Set a trainer to the state in the file, if there is one."""
        if not self.path.exists():
            return
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(bytes(arrays.pop("header")).decode())
            key = header["key"]
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.path} is not the state of a training: {error}") from error
        if key != self.key:
            raise ValueError(f"{self.path} is the state of a training with other settings or on other galaxies; "
                             "give another checkpoint folder, or remove it")
        _restore(trainer, header, {name: torch.from_numpy(value) for name, value in arrays.items()})

    def write(self, trainer):
        """Write the trainer's state; the file appears complete or not at all."""
        header = {"key": self.key, **{name: getattr(trainer, name) for name in _NUMBERS}}
        arrays = {name: value.detach().cpu().numpy() for name, value in _tensors(trainer).items()}
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **arrays)


def _tensors(trainer):
    """Every tensor of a trainer's state by name; of a finished one the parameters alone."""
    named = {f"best.{name}": value for name, value in trainer.best.items()}
    if trainer.finished:
        return named
    named.update({f"running.{name}": value for name, value in trainer.model.named_parameters()})
    named.update({f"average.{name}": value for name, value in trainer.average.items()})
    for index, state in trainer.optimizer.state_dict()["state"].items():
        named.update({f"optimizer.{index}.{name}": value for name, value in state.items()})
    named.update({"random.order": trainer.generator.get_state(), "random.dropout": torch.get_rng_state()})
    if trainer.device.type == "cuda":
        named["random.cuda"] = torch.cuda.get_rng_state(trainer.device)
    return named


def _part(tensors, prefix):
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore(trainer, header, tensors):
    for name in _NUMBERS:
        setattr(trainer, name, header[name])
    trainer.best = {name: value.to(trainer.device) for name, value in _part(tensors, "best.").items()}
    if trainer.finished:
        return
    trainer._load(_part(tensors, "running."))
    trainer.average = {name: value.to(trainer.device) for name, value in _part(tensors, "average.").items()}
    states = {}
    for name, value in _part(tensors, "optimizer.").items():
        index, _, moment = name.partition(".")
        states.setdefault(int(index), {})[moment] = value
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": states, "param_groups": groups})
    trainer.generator.set_state(tensors["random.order"])
    torch.set_rng_state(tensors["random.dropout"])
    if trainer.device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], trainer.device)
