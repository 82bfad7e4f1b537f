"""Training of a translator from pairs."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.loop import seeded, train
from astro_galtrans._utils.validation import configured, fraction
from astro_galtrans._utils.torch_state import checked_device, torch_defaults
from astro_galtrans.images import check_coverage
from astro_galtrans.objectives import objective_class
from astro_galtrans.pairs import PairSet
from astro_galtrans.storage.checkpoint import CheckpointFile
from astro_galtrans.training._batches import PairBatches
from astro_galtrans.training._build import build_module, mean_psf, observing_ranges
from astro_galtrans.training._config import TrainConfig
from astro_galtrans.translation import Assessor, Translator

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["FitResult", "fit"]

_CHECKPOINT = "checkpoint.asdf"


@dataclass(frozen=True, repr=False)
class FitResult:
    """Result of `fit`.

    Parameters
    ----------
    translator : Translator
        With the weights of the best epoch.
    history : `~astropy.table.Table`
        One row per epoch.
    config : TrainConfig
        Configuration of the training.
    best_epoch : int
        Index of the best row of the history: the epoch of the smallest validation loss, or the last without validation.
    seconds : float
        Wall-clock time of this call.
    """

    translator: Translator
    history: Table
    config: TrainConfig
    best_epoch: int
    seconds: float

    def __repr__(self) -> str:
        return (f"<FitResult: {self.translator!r}, best epoch {self.best_epoch + 1} of {len(self.history)}, "
                f"{self.seconds:.3g} s>")


def fit(
    pairs: PairSet, config: TrainConfig | None = None, *, validation: PairSet | float | None = None,
    directory: str | PathLike | None = None, resume: bool = False, device: str | None = None, name: str | None = None,
    progress: bool = False, **settings: Any,
) -> FitResult:
    """Train a translator.

    After the training, up to 2048 training pairs and up to 1024 validation pairs, or the last fifth of the training
    pairs, give the translator an assessor (`~astro_galtrans.translation.Translator.assess`), if each of the two parts
    has at least 64.

    Parameters
    ----------
    pairs : PairSet
        Training pairs.
    config : TrainConfig, optional
        Configuration of the training; by default ``TrainConfig()``.
    validation : PairSet or float, optional
        Pairs that choose the best epoch, and on which the errors of the translator are measured, for its samples; their
        galaxies must not be among the training pairs. Without them, errors are measured on the training pairs, on which
        they are smaller. A number above 0 and below 1 splits off that fraction of ``pairs``, with the seed of the
        configuration.
    directory : path-like, optional
        Folder of the checkpoint that is written after each epoch; made if it does not exist.
    resume : bool, optional
        Whether to resume from the checkpoint in ``directory`` if there is one. The result is bitwise identical to that
        of an uninterrupted training.
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
        If interrupted; the checkpoint contains the epochs before the current one.
    SystemExit
        On SIGTERM, with status 143, unless the program has a handler of its own.
    """
    config = configured(TrainConfig, config, settings, function=fit)
    share = None
    if isinstance(validation, Real) and isinstance(pairs, PairSet):
        share = fraction(validation, "validation")
        pairs, validation = pairs.split((1 - share, share), seed=config.seed)
    _check(pairs, config, validation)
    if resume and directory is None:
        raise ValueError("resume=True needs the directory of the checkpoint, got directory=None")
    started = time.perf_counter()
    device = checked_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    spectra = config.conditioning == "spectrum"
    observing = observing_ranges(pairs, config)
    parts = {"spectra": spectra, "observing": observing is not None}
    batches = PairBatches(pairs, config.batch_size, config.seed, config.augment, **parts)
    held = None if validation is None else PairBatches(validation, config.batch_size, **parts)
    with seeded(config.seed, device), torch_defaults():
        module = build_module(
            pairs, config, config.epochs * len(batches), _run(pairs, config, validation), observing)
        train(module, batches, held, n_epochs=config.epochs, device=device, precision=config.precision,
              checkpoint=None if directory is None else CheckpointFile(Path(directory) / _CHECKPOINT, resume),
              label=config.objective if progress else None)
        module.load_state_dict(module.best)
    history = Table(rows=module.rows)
    translator = Translator(
        module.network, module.objective, objective_name=config.objective, objective_options=config.objective_options,
        input_survey=pairs.input_survey, target_survey=pairs.target_survey, name=name, history=history,
        provenance=_provenance(config, pairs, validation, share, device, module),
        target_psf=mean_psf(pairs.target_psf),
    ).with_errors(pairs if validation is None else validation)  # type: ignore[arg-type]
    translator = _with_assessor(translator, pairs, validation)
    return FitResult(translator, history, config, module.best_epoch, time.perf_counter() - started)


def _with_assessor(translator, pairs, validation):
    """Return the translator with an assessor where there are enough pairs.

    Without enough validation pairs the last fifth of the training pairs calibrates it.
    """
    if translator.conditioning is not None and not translator.takes_unknown:
        pairs, validation = (None if part is None else part.select(_has_condition(part, translator.conditioning))
                             for part in (pairs, validation))
    if validation is None or len(validation) < Assessor.FEWEST:
        n_held = max(len(pairs) // 5, Assessor.FEWEST)
        pairs, validation = pairs[:-n_held], pairs[-n_held:]
    if min(len(pairs), len(validation)) < Assessor.FEWEST:
        return translator
    return translator.with_assessor(pairs, validation)


def _has_condition(pairs, conditioning):
    if conditioning == "redshift":
        return np.isfinite(pairs.redshift)
    return np.array([np.any(pairs.spectrum_weight[row] > 0) for row in range(len(pairs))], dtype=bool)


def _check(pairs, config, validation):
    """Raise if pairs, validation pairs and configuration do not fit together."""
    given = {"pairs": pairs} | ({} if validation is None else {"validation": validation})
    for key, value in given.items():
        if not isinstance(value, PairSet):
            raise TypeError(f"{key} must be a PairSet, got {type(value).__name__}")
        if len(value) == 0:
            raise ValueError(f"{key} must hold at least one pair, got none")
    if config.patience is not None and validation is None:
        raise ValueError(f"patience={config.patience} needs validation pairs, got validation=None")
    if config.patience is not None and not objective_class(config.objective).monitors_validation_loss:
        raise ValueError(f"patience={config.patience} needs an objective whose validation losses are comparable, "
                         f"got objective={config.objective!r}")
    for key, value in given.items():
        _check_condition(config, value, key)
        if not config.input_dropout:
            check_coverage(value.missing_bands(), value.input_survey.band_names, key,
                           "an input_dropout above 0 in TrainConfig trains on them, "
                           "pairs.select(~pairs.missing_bands().any(1)) leaves them out")
    if validation is not None:
        _check_validation(pairs, validation, config)


def _check_validation(pairs, validation, config):
    """Raise if validation pairs are of another kind than the pairs, or shared with them."""
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
        raise ValueError(f"validation shares {len(shared)} galaxies with pairs, for example {next(iter(shared))!r}")


def _check_condition(config, pairs, key):
    """Raise if no galaxy has the property that the network is conditioned on."""
    if config.conditioning == "redshift" and (pairs.redshift is None or not np.any(np.isfinite(pairs.redshift))):
        raise ValueError(f"conditioning='redshift' needs a finite redshift for galaxies of {key}, got none")
    if config.conditioning == "spectrum" and pairs.spectrum_flux is None:
        raise ValueError(f"conditioning='spectrum' needs spectra for galaxies of {key}, got none")


def _run(pairs, config, validation):
    """Return checksums of everything that decides a training."""
    return {"configuration": config.hash, "pairs": _digest(pairs),
            "validation": "none" if validation is None else _digest(validation)}


def _digest(pairs):
    digest = hashlib.sha256(json.dumps(pairs.ids.tolist()).encode())
    digest.update(np.ascontiguousarray(pairs.input_flux[:1]).tobytes())
    return digest.hexdigest()


def _provenance(config, pairs, validation, share, device, module):
    decided = {**config.network_parts, "backbone_options": config.all_backbone_options}
    return {
        "config": {**config.to_dict(), **decided}, "config_hash": config.hash,
        "seed": config.seed, "n_pairs": len(pairs),
        "n_validation": 0 if validation is None else len(validation), "validation_fraction": share,
        "pairs_hash": pairs.hash, "validation_hash": None if validation is None else validation.hash,
        "best_epoch": module.best_epoch,
        "input_shape": list(pairs.input_flux.shape[1:]), "target_shape": list(pairs.target_flux.shape[1:]),
        "device": str(device), "n_threads": torch.get_num_threads(), "notes": dict(module.notes),
        "versions": {
            **{package: version(package) for package in ("astro_galtrans", "torch", "lightning", "nflows", "numpy")},
            "python": platform.python_version()},
    }
