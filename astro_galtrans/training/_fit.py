"""From pairs to a translator."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TYPE_CHECKING

import lightning
import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import check_coverage
from astro_galtrans.objectives import objective_class
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage._checkpoint import load_state
from astro_galtrans.training._build import build_module
from astro_galtrans.training._callbacks import AsdfCheckpointIO, EpochKeeper, StepBar
from astro_galtrans.training._config import TrainConfig
from astro_galtrans.training._data import PairBatches
from astro_galtrans.translation import Translator

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["FitResult", "fit"]

_CHECKPOINT = "checkpoint.asdf"
_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True, repr=False)
class FitResult:
    """What `fit` gives.

    Parameters
    ----------
    translator : Translator
        With the weights of the best epoch.
    history : `~astropy.table.Table`
        One row an epoch.
    config : TrainConfig
        As given.
    best_epoch : int
        From 0; the one of the smallest validation loss, or the last where there was no validation.
    seconds : float
        Wall-clock time of this call.
    """

    translator: Translator
    history: Table
    config: TrainConfig
    best_epoch: int
    seconds: float

    def __repr__(self) -> str:
        return (f"<FitResult: {self.translator!r}, best epoch {self.best_epoch} of {len(self.history)}, "
                f"{self.seconds:.3g} s>")


def fit(
    pairs: PairSet, config: TrainConfig | None = None, *, validation: PairSet | None = None,
    directory: str | PathLike | None = None, resume: bool = False, device: str | None = None, name: str | None = None,
    progress: bool = False, **settings: Any,
) -> FitResult:
    """Train a translator.

    Parameters
    ----------
    pairs : PairSet
        Training pairs.
    config : TrainConfig, optional
        Configuration of the training; by default ``TrainConfig()``.
    validation : PairSet, optional
        Pairs that choose the best epoch; their galaxies must not be among the training pairs.
    directory : path-like, optional
        Where a checkpoint is written after each epoch; made if it does not exist.
    resume : bool, optional
        Go on from the checkpoint in ``directory``, if there is one. The result is that of an unbroken run.
    device : str, optional
        ``"cpu"`` or ``"cuda"``, also ``"cuda:1"``; by default a GPU if there is one.
    name : str, optional
        Name of the translator.
    progress : bool, optional
        Whether to show a progress bar.
    **settings
        Fields of `TrainConfig`, as ``epochs=3``; they replace those of ``config``.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError, TypeError
        If pairs, configuration and checkpoint do not fit together, or a setting is unknown.
    FloatingPointError
        If the loss is not finite.
    KeyboardInterrupt
        If interrupted; what was reached before the current epoch is in the checkpoint.
    """
    config = _configured(config, settings)
    _check(pairs, config, validation, directory, resume)
    started = time.perf_counter()
    checkpoint = None
    if directory is not None:
        checkpoint = Path(directory) / _CHECKPOINT
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    spectra = config.conditioning == "spectrum"
    batches = PairBatches(pairs, config.batch_size, config.seed, config.augment, spectra)
    n_steps = config.epochs * len(batches)
    with torch_defaults(), torch.random.fork_rng(devices=[]), torch.enable_grad(), _quiet_lightning():
        torch.default_generator.manual_seed(config.seed)
        module = build_module(pairs, config, n_steps, _run(pairs, config, validation))
        keeper = EpochKeeper(checkpoint, config.patience, objective_class(config.objective).monitors_validation_loss)
        callbacks = [*([StepBar(n_steps, config.objective)] if progress else []), keeper]
        trainer = _trainer(config, device, callbacks)
        with _interrupts(trainer, checkpoint):
            trainer.fit(
                module, _loader(batches),
                None if validation is None else _loader(PairBatches(validation, config.batch_size, spectra=spectra)),
                ckpt_path=_checkpoint_to_resume(checkpoint, resume, module.run),
            )
        if keeper.best is None:
            raise FloatingPointError(
                "the validation loss was not finite in any epoch; a smaller learning_rate may help")
        module.load_state_dict(keeper.best)
    history = Table(rows=keeper.rows)
    translator = Translator(
        module.network.to("cpu"), module.objective.to("cpu"), objective_name=config.objective,
        objective_options=config.objective_options, input_survey=pairs.input_survey, target_survey=pairs.target_survey,
        name=name, history=history, provenance=_provenance(config, pairs, validation, device, keeper, module.notes),
    )
    return FitResult(translator, history, config, keeper.best_epoch, time.perf_counter() - started)


def _configured(config, settings):
    """The configuration with the fields in ``settings`` replaced."""
    config = TrainConfig() if config is None else config
    if not isinstance(config, TrainConfig):
        raise TypeError(f"config must be a TrainConfig, got {type(config).__name__}")
    known = [field.name for field in fields(TrainConfig)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise TypeError(f"fit() got the unknown keyword {', '.join(unknown)}; "
                        f"the fields of TrainConfig are {', '.join(known)}")
    return replace(config, **settings)


def _check(pairs, config, validation, directory, resume):
    for key, value in (("pairs", pairs), ("validation", validation)):
        if value is None and key == "validation":
            continue
        if not isinstance(value, PairSet):
            raise TypeError(f"{key} must be a PairSet, got {type(value).__name__}")
        if len(value) == 0:
            raise ValueError(f"{key} must hold at least one pair, got none")
    if config.patience is not None and validation is None:
        raise ValueError(f"patience={config.patience} needs validation pairs, got validation=None")
    if config.patience is not None and not objective_class(config.objective).monitors_validation_loss:
        raise ValueError(f"patience={config.patience} needs an objective whose validation loss tells the better epoch, "
                         f"got objective={config.objective!r}")
    if resume and directory is None:
        raise ValueError("resume=True needs the directory of the checkpoint, got directory=None")
    _check_condition(config, pairs, "pairs")
    if not config.input_dropout:
        for key, value in (("pairs", pairs), ("validation", validation)):
            if value is not None:
                check_coverage(value.missing_bands(), value.input_survey.band_names, key,
                               "an input_dropout above 0 in TrainConfig trains on them, "
                               "pairs.select(~pairs.missing_bands().any(1)) leaves them out")
    if validation is not None:
        _check_condition(config, validation, "validation")
        if config.conditioning == "spectrum" and validation.spectrum_grid != pairs.spectrum_grid:
            raise ValueError(f"validation must have the spectrum_grid of pairs, {pairs.spectrum_grid}, "
                             f"got {validation.spectrum_grid}")
        for side in ("input_survey", "target_survey"):
            mine, other = getattr(pairs, side), getattr(validation, side)
            if (mine.name, mine.band_names) != (other.name, other.band_names):
                raise ValueError(f"validation must have the {side} of pairs, {mine.name} {mine.band_names}, "
                                 f"got {other.name} {other.band_names}")
        shared = set(pairs.ids.tolist()) & set(validation.ids.tolist())
        if shared:
            raise ValueError(f"validation shares {len(shared)} galaxies with pairs, for one {next(iter(shared))!r}")


def _check_condition(config, pairs, key):
    """Whether some galaxy has what the network is conditioned on."""
    if config.conditioning == "redshift" and (pairs.redshift is None or not np.any(np.isfinite(pairs.redshift))):
        raise ValueError(f"conditioning='redshift' needs a finite redshift for galaxies of {key}, got none")
    if config.conditioning == "spectrum" and pairs.spectrum_flux is None:
        raise ValueError(f"conditioning='spectrum' needs spectra for galaxies of {key}, got none")


def _run(pairs, config, validation):
    """What tells one training from another: a short text for each thing that decides it."""
    return {"configuration": config.hash, "pairs": _digest(pairs),
            "validation": "none" if validation is None else _digest(validation)}


def _digest(pairs):
    digest = hashlib.sha256(json.dumps(pairs.ids.tolist()).encode())
    digest.update(np.ascontiguousarray(pairs.input_flux[:1]).tobytes())
    return digest.hexdigest()


def _loader(batches):
    return torch.utils.data.DataLoader(batches, batch_size=None)


def _trainer(config, device, callbacks):
    if device.type == "cuda":
        where = {"accelerator": "gpu", "devices": [device.index or 0]}
    else:
        where = {"accelerator": device.type, "devices": 1}
    return lightning.Trainer(
        **where, max_epochs=config.epochs, precision=_PRECISION[config.precision], callbacks=callbacks,
        plugins=[AsdfCheckpointIO()], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _checkpoint_to_resume(checkpoint, resume, run):
    """The path of a checkpoint of the same run, or None where there is nothing to go on from."""
    if not resume or not checkpoint.exists():
        return None
    stored = load_state(checkpoint).get("run")
    if not isinstance(stored, dict):
        raise FileFormatError(f"{checkpoint} is not a checkpoint of a training")
    changed = [key for key in run if stored.get(key) != run[key]]
    if changed:
        raise ValueError(f"{checkpoint} belongs to another training: its {' and '.join(changed)} differ")
    return str(checkpoint)


def _provenance(config, pairs, validation, device, keeper, notes):
    decided = {**config.network_parts, "backbone_options": config.all_backbone_options}
    return {
        "config": {**config.to_dict(), **decided}, "config_hash": config.hash,
        "seed": config.seed, "n_pairs": len(pairs),
        "n_validation": 0 if validation is None else len(validation), "best_epoch": keeper.best_epoch,
        "input_shape": list(pairs.input_flux.shape[1:]), "target_shape": list(pairs.target_flux.shape[1:]),
        "device": str(device), "notes": dict(notes),
        "versions": {
            package: version(package) for package in ("astro_galtrans", "torch", "lightning", "nflows", "numpy")},
    }


@contextmanager
def _interrupts(trainer, checkpoint):
    """A KeyboardInterrupt on Ctrl-C, where Lightning would exit the process and leave Ctrl-C disabled."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    cause = None
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        cause = error.__context__
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
    if cause is not None or trainer.interrupted:
        where = f"; resume=True goes on from {checkpoint}" if checkpoint is not None else ""
        raise KeyboardInterrupt(
            f"training stopped in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}{where}") from cause


@contextmanager
def _quiet_lightning():
    """Keep Lightning's announcements out of the user's log, and its advice on worker processes, which do not apply."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            warnings.filterwarnings("ignore", ".*`IterableDataset` has `__len__` defined.*")
            warnings.filterwarnings("ignore", ".*defined a `validation_step` but have no `val_dataloader`.*")
            # Lightning 2.6 still asks the old question of torch's pytree, once a process.
            warnings.filterwarnings("ignore", ".*isinstance\\(treespec, LeafSpec\\).*")
            yield
    finally:
        logger.setLevel(level)
