"""Training of the members of an estimator, and their common calibration."""

from pathlib import Path

import numpy as np
import torch

from astro_galtrans.photoz._piecewise import evaluate_at
from astro_galtrans.photoz._resume import StateFile, training_key
from astro_galtrans.photoz._trainer import Trainer

__all__ = ["fit_members", "mean_density", "member_seed"]

_POWERS = np.geomspace(0.5, 4.0, 43).tolist()


def member_seed(seed, index):
    """Seed of a member: the estimator's own for the first, others derived from it."""
    return seed if index == 0 else int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def mean_density(models, outputs):
    """Arithmetic mean of the members' densities, of each member's logits."""
    densities = [model.density(logits) for model, logits in zip(models, outputs)]
    return densities[0] if len(densities) == 1 else torch.stack(densities).mean(dim=0)


def fit_members(build, samples, grid, config, progress, checkpoint):
    """Train ``config.n_members`` models and calibrate their mean.

    Parameters
    ----------
    build : callable
        Makes an untrained model on the device of the samples.
    samples : tuple of Sample
        Of training and, or None, of validation.
    grid : ndarray
        Redshifts of the densities.
    config : EstimatorConfig or CatalogConfig
    progress : bool
    checkpoint : path-like or None
        Folder of the states.

    Returns
    -------
    list of DensityModel, dict of list
        The models, on the CPU, and the history.
    """
    device = samples[0].inputs[0].device
    if config.schedule == "plateau" and samples[1] is None:
        raise ValueError("schedule='plateau' needs validation galaxies: give validation, or a validation_fraction")
    key = None if checkpoint is None else training_key(config, grid, samples)
    models, history = [], {}
    for index in range(config.n_members):
        seed = member_seed(config.seed, index)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            trainer = Trainer(build(), *samples, config, seed + 1)
            store = None if checkpoint is None else StateFile(Path(checkpoint) / f"member-{index:03d}.npz", key)
            count = "" if config.n_members == 1 else f" {index + 1}/{config.n_members}"
            trainer.run(progress, f"redshift estimator{count}", store)
        models.append(trainer.model)
        if config.n_members > 1:
            history.setdefault("member", []).extend([index] * len(trainer.history["epoch"]))
        for name, column in trainer.history.items():
            history.setdefault(name, []).extend(column)
    if config.calibrate and samples[1] is not None:
        _calibrate(models, samples[1], grid)
    return [model.to("cpu").eval() for model in models], history


@torch.inference_mode()
def _calibrate(models, validation, grid):
    """Raise all members' densities to the power that gives their mean the best log score of the validation galaxies."""
    outputs = [torch.cat([model.logits(model(*validation.at(chosen))) for chosen in validation.batches(512)])
               for model in models]
    column = validation.targets.redshift[:, None]
    points = torch.tensor(grid, dtype=torch.float32, device=column.device)
    scores = []
    for power in _POWERS:
        for model in models:
            model.power.fill_(power)
        density = evaluate_at(points, mean_density(models, outputs), column)
        scores.append(density.clamp(min=1e-10).log().mean().item())
    for model in models:
        model.power.fill_(_POWERS[int(np.argmax(scores))])
