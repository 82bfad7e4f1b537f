"""Training of the members of an estimator: targets, losses, and the common calibration."""

import hashlib
import json
import math
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.validation import flag
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz._piecewise import evaluate_at

__all__ = ["Sample", "Targets", "fit_members", "mean_density", "redshift_array", "redshift_grid", "validation_parts"]

_POWERS = np.geomspace(0.5, 4.0, 43).tolist()
_VALIDATION_BATCH = 512


def redshift_array(redshift, n, name):
    """Return finite redshifts as an array of shape ``(n,)``."""
    redshift = floats(redshift, name, dtype=float)
    if redshift.shape != (n,):
        raise ValueError(f"{name} must have the shape ({n},), got {redshift.shape}")
    if not np.all(np.isfinite(redshift)):
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(redshift)).sum())} values that are not")
    return redshift


def validation_parts(validation, inputs, errors):
    """Return the four entries of ``(inputs, redshift[, errors[, features]])``, None where not given."""
    if not isinstance(validation, (tuple, list)) or not 2 <= len(validation) <= 4:
        raise ValueError(f"validation must be ({inputs}, redshift), ({inputs}, redshift, {errors}) or "
                         f"({inputs}, redshift, {errors}, features)")
    return (*validation, None, None)[:4]


def redshift_grid(redshift, config):
    """Return the grid of the settings, by default evenly spaced, 5 % wider on both sides but not below 0."""
    if config.grid is not None:
        return np.array(config.grid)
    low, high = redshift.min(), redshift.max()
    if not high > low:
        raise ValueError(f"redshift must have a range to learn, all are {low}")
    margin = 0.05 * (high - low)
    return np.linspace(max(0.0, low - margin) if low >= 0 else low - margin, high + margin, config.n_bins)


def _soft_labels(grid, redshift, label_width):
    """Return the probability of each grid point: a Gaussian around the redshift, of a width in local grid steps."""
    step = np.interp(redshift, 0.5 * (grid[1:] + grid[:-1]), np.diff(grid))
    distance = (grid - redshift[:, None]) / (label_width * step[:, None])
    logarithm = -0.5 * distance**2 + np.log(np.gradient(grid))
    weights = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    return torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


class Targets:
    """The true redshifts of some galaxies, and the loss of a model's outputs for them."""

    def __init__(self, redshift, grid, config, device):
        self.redshift = torch.tensor(redshift, dtype=torch.float32, device=device)
        self.crps_weight, self.bins = config.crps_weight, config.output == "bins"
        if self.bins:
            steps = np.gradient(grid)
            self.steps = torch.tensor(steps / steps.mean(), dtype=torch.float32, device=device)
            self.labels = _soft_labels(grid, redshift, config.label_width).to(device)
            self.beyond = torch.from_numpy((grid >= redshift[:, None]).astype(np.float32)).to(device)

    def loss(self, model, outputs, chosen):
        """Return the mean loss of the chosen galaxies, which have these outputs."""
        if self.bins:
            return self._bins_loss(outputs.float(), self.labels[chosen], self.beyond[chosen])
        return -model.flow.log_prob(model.standardized(self.redshift[chosen])[:, None], outputs).mean()

    def _bins_loss(self, logits, labels, beyond):
        """Return the cross-entropy with smoothed labels plus the ranked probability score in mean grid steps."""
        entropy = -(labels * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
        if not self.crps_weight:
            return entropy
        below = torch.softmax(logits, dim=1).cumsum(dim=1)
        return entropy + self.crps_weight * ((below - beyond) ** 2 * self.steps).sum(dim=1).mean()


class Sample:
    """Galaxies of the training or validation: tensors that are inputs of the model, images first, and `Targets`."""

    def __init__(self, inputs, targets):
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return len(self.inputs[0])

    def at(self, chosen, generator=None):
        """Return the inputs of some galaxies, the images in random orientations where a generator is given."""
        first, *others = (part[chosen] for part in self.inputs)
        return (first if generator is None else _oriented(first, generator), *others)


def _oriented(images, generator):
    """Return the images in one of the eight orientations of a square, another for each quarter of the batch."""
    parts = []
    for part in images.chunk(4):
        turn, mirror = torch.randint(4, (2,), generator=generator).tolist()
        part = torch.rot90(part, turn if images.shape[2] == images.shape[3] else 2 * (turn // 2), (2, 3))
        parts.append(part.flip(3) if mirror % 2 else part)
    return torch.cat(parts)


def _run(config, grid, samples):
    """Return checksums of the settings and of all data of a training."""
    data = hashlib.sha256(np.ascontiguousarray(grid))
    for sample in filter(None, samples):
        for tensor in (*sample.inputs, sample.targets.redshift):
            data.update(np.ascontiguousarray(tensor.cpu().numpy()))
    settings = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode())
    return {"settings": settings.hexdigest(), "galaxies": data.hexdigest()}


def _member_seed(seed, index):
    """Return the seed of a member: that of the estimator for the first, others derived from it."""
    return seed if index == 0 else int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def mean_density(models, outputs):
    """Return the arithmetic mean of the densities of the members, from their logits."""
    densities = [model.density(logits) for model, logits in zip(models, outputs)]
    return densities[0] if len(densities) == 1 else torch.stack(densities).mean(dim=0)


def fit_members(build, samples, grid, config, progress, checkpoint):
    """Train ``config.n_members`` models, calibrate their mean, and return them, on the CPU, and the history.

    ``build()`` returns an untrained model on the device of the samples, which are the training galaxies and the
    validation galaxies or None. ``checkpoint`` is a folder for the state of each member, or None.
    """
    # Lightning takes seconds to import, which the metrics of this subpackage should not cost.
    from astro_galtrans._utils.loop import seeded, train
    from astro_galtrans.photoz._trainer import MemberModule, Rows
    from astro_galtrans.storage.checkpoint import CheckpointFile

    flag(progress, "progress")
    device = samples[0].inputs[0].device
    if config.schedule == "plateau" and samples[1] is None:
        raise ValueError("schedule='plateau' needs validation galaxies: give validation, or a validation_fraction")
    run = None if checkpoint is None else _run(config, grid, samples)
    held = None if samples[1] is None else Rows(samples[1], _VALIDATION_BATCH)
    models, history = [], {}
    for index in range(config.n_members):
        seed = _member_seed(config.seed, index)
        file = None
        if checkpoint is not None:
            file = CheckpointFile(Path(checkpoint) / f"member-{index:03d}.asdf", resume=True)
        count = "" if config.n_members == 1 else f" {index + 1}/{config.n_members}"
        with seeded(seed, device):
            module = MemberModule(build(), *samples, config, seed + 1, run)
            train(module, module.train_rows, held, n_epochs=config.epochs, device=device, checkpoint=file,
                  label=f"redshift estimator{count}" if progress else None)
        if config.schedule == "plateau" and not module.stopped:
            warnings.warn(f"the estimator may still have improved after all {config.epochs} epochs", GaltransWarning, 4)
        module.model.load_state_dict(module.best)
        models.append(module.model.to(device).eval())
        if config.n_members > 1:
            history.setdefault("member", []).extend([index] * len(module.rows))
        for name, key in (("epoch", "epoch"), ("training_loss", "train_loss"), ("validation_loss", "valid_loss")):
            history.setdefault(name, []).extend(row.get(key, math.nan) for row in module.rows)
    if config.calibrate and samples[1] is not None:
        _calibrate(models, samples[1], grid)
    return [model.to("cpu") for model in models], history


@torch.inference_mode()
def _calibrate(models, validation, grid):
    """Set the one power of all densities with which their mean has the best log score of the validation galaxies."""
    blocks = [slice(start, start + _VALIDATION_BATCH) for start in range(0, len(validation), _VALIDATION_BATCH)]
    outputs = [torch.cat([model.logits(model(*validation.at(block))) for block in blocks])
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
