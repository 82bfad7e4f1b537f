"""Training of a redshift estimator."""

import math
import warnings

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz._config import EstimatorConfig
from astro_galtrans.photoz._estimator import RedshiftEstimator, check_images, image_batch, seen_galaxies
from astro_galtrans.photoz._piecewise import evaluate_at
from astro_galtrans.surveys import get_survey

__all__ = ["fit_redshift_estimator"]

_POWERS = np.geomspace(0.5, 4.0, 43).tolist()


def _redshift_array(redshift, n, name):
    redshift = redshift.detach().cpu().numpy() if isinstance(redshift, torch.Tensor) else redshift
    redshift = np.asarray(redshift, dtype=float)
    if redshift.shape != (n,):
        raise ValueError(f"{name} must have the shape ({n},), got {redshift.shape}")
    if not np.all(np.isfinite(redshift)):
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(redshift)).sum())} values that are not")
    return redshift


def _default_grid(redshift, n_bins):
    low, high = redshift.min(), redshift.max()
    if not high > low:
        raise ValueError(f"redshift must have a range to learn, all are {low}")
    margin = 0.05 * (high - low)
    return np.linspace(max(0.0, low - margin) if low >= 0 else low - margin, high + margin, n_bins)


def _soft_labels(grid, redshift, label_width):
    """Probability of each grid point: a Gaussian around the redshift, of a width in local grid steps."""
    step = np.interp(redshift, 0.5 * (grid[1:] + grid[:-1]), np.diff(grid))
    distance = (grid - redshift[:, None]) / (label_width * step[:, None])
    logarithm = -0.5 * distance**2 + np.log(np.gradient(grid))
    weights = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    return torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


class _Sample:
    """Galaxies to train or to validate on, encoded once, as the tensors a step needs."""

    def __init__(self, flux, redshift, weight, rows, grid, label_width, encoder, device):
        parts = []
        with torch.no_grad():
            for start in range(0, len(rows), 512):
                parts.append(encoder(*image_batch(flux, weight, rows[start:start + 512], device)))
        self.levels, self.colours = (torch.cat(part) for part in zip(*parts))
        redshift = redshift[rows]
        self.redshift = torch.tensor(redshift, dtype=torch.float32, device=device)
        self.labels = _soft_labels(grid, redshift, label_width).to(device)
        self.beyond = torch.from_numpy((grid >= redshift[:, None]).astype(np.float32)).to(device)

    def __len__(self):
        return len(self.levels)


def _loss(logits, labels, beyond, steps, crps_weight):
    """Cross-entropy with smoothed labels plus the ranked probability score in mean grid steps."""
    entropy = -(labels * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
    if not crps_weight:
        return entropy
    below = torch.softmax(logits, dim=1).cumsum(dim=1)
    return entropy + crps_weight * ((below - beyond) ** 2 * steps).sum(dim=1).mean()


def _oriented(images, generator):
    """The images in one of the eight orientations of a square, another for each quarter of the batch."""
    parts = []
    for part in images.chunk(4):
        turn, mirror = torch.randint(4, (2,), generator=generator).tolist()
        part = torch.rot90(part, turn if images.shape[2] == images.shape[3] else 2 * (turn // 2), (2, 3))
        parts.append(part.flip(3) if mirror % 2 else part)
    return torch.cat(parts)


def _learning_rate(step, total, config):
    rising = max(1, int(config.warmup * total))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def _optimizer(model, config):
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


class _Trainer:
    """The training loop of one estimator."""

    def __init__(self, estimator, train, validation, device):
        self.config, self.device = estimator.config, device
        self.estimator, self.train_sample, self.validation = estimator, train, validation
        self.model = estimator._model.to(device)
        steps = np.gradient(estimator.grid)
        self.steps = torch.tensor(steps / steps.mean(), dtype=torch.float32, device=device)
        self.generator = torch.Generator().manual_seed(self.config.seed + 1)
        self.optimizer = _optimizer(self.model, self.config)
        self.total = self.config.epochs * math.ceil(len(train) / self.config.batch_size)
        self.step = 0
        self.average = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        self.best, self.best_loss, self.best_epoch = None, math.inf, -1

    def _batch_loss(self, sample, chosen, augment=False):
        levels = sample.levels[chosen]
        if augment:
            levels = _oriented(levels, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast):
            logits = self.model(levels, sample.colours[chosen])
        return _loss(logits.float(), sample.labels[chosen], sample.beyond[chosen], self.steps, self.config.crps_weight)

    def _epoch(self):
        self.model.train()
        total = 0.0
        order = torch.randperm(len(self.train_sample), generator=self.generator).to(self.device)
        for chosen in order.split(self.config.batch_size):
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate * _learning_rate(self.step, self.total, self.config)
            loss = self._batch_loss(self.train_sample, chosen, self.config.augment)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self.optimizer.step()
            self._update_average()
            total += loss.item() * len(chosen)
        return total / len(order)

    @torch.no_grad()
    def _update_average(self):
        self.step += 1
        decay = min(self.config.ema_decay, self.step / (self.step + 10)) if self.config.ema_decay else 0.0
        for name, value in self.model.named_parameters():
            self.average[name].lerp_(value, 1 - decay)

    @torch.inference_mode()
    def _validation_loss(self):
        self.model.eval()
        total = 0.0
        for chosen in torch.arange(len(self.validation), device=self.device).split(512):
            total += self._batch_loss(self.validation, chosen).item() * len(chosen)
        return total / len(self.validation)

    @torch.inference_mode()
    def _calibrate(self):
        """Set the power of the densities to the one with the best log score of the validation galaxies."""
        self.model.eval()
        parts = [self.model(self.validation.levels[chosen], self.validation.colours[chosen])
                 for chosen in torch.arange(len(self.validation), device=self.device).split(512)]
        logits, column = torch.cat(parts), self.validation.redshift[:, None]
        grid = torch.tensor(self.estimator.grid, dtype=torch.float32, device=self.device)
        scores = []
        for power in _POWERS:
            self.model.power.fill_(power)
            density = evaluate_at(grid, self.model.density(logits), column)
            scores.append(density.clamp(min=1e-10).log().mean().item())
        self.model.power.fill_(_POWERS[int(np.argmax(scores))])

    def _load(self, parameters):
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                value.copy_(parameters[name])

    def run(self, progress):
        history = {"epoch": [], "training_loss": [], "validation_loss": []}
        bar = tqdm(range(self.config.epochs), desc="redshift estimator", disable=not progress)
        for epoch in bar:
            training_loss = self._epoch()
            running = {name: value.detach().clone() for name, value in self.model.named_parameters()}
            self._load(self.average)
            loss = self._validation_loss() if self.validation is not None else -float(epoch)
            if loss < self.best_loss or self.best is None:
                self.best = {name: value.clone() for name, value in self.average.items()}
                self.best_loss, self.best_epoch = loss, epoch
            self._load(running)
            shown = math.nan if self.validation is None else loss
            for name, value in zip(history, (epoch, training_loss, shown)):
                history[name].append(value)
            bar.set_postfix(training=f"{training_loss:.3f}", validation=f"{shown:.3f}")
            if self.config.patience is not None and epoch - self.best_epoch >= self.config.patience:
                break
        bar.close()
        self._load(self.best)
        if self.config.calibrate and self.validation is not None:
            self._calibrate()
        self.model.to("cpu").eval()
        return history


def _geometry(flux, survey):
    return {
        "survey": survey.name, "bands": list(survey.band_names), "unit": survey.unit.to_string(),
        "sky_noise": np.array(survey.sky_noise, dtype=float), "shape": [int(n) for n in flux.shape[2:]],
        "pixel_scale": float(survey.pixel_scale.to_value("arcsec")),
        "psf_fwhm": float(np.median([band.psf_fwhm.to_value("arcsec") for band in survey])),
    }


def _usable(flux, weight, name):
    seen = seen_galaxies(flux, weight)
    if not seen.all():
        warnings.warn(f"{int((~seen).sum())} of {len(seen)} {name} galaxies have no good pixel in some band "
                      "and are left out", GaltransWarning, 4)
    return np.flatnonzero(seen)


def _divided(flux, redshift, weight, validation, config):
    """Arrays and rows of the training and of the validation galaxies."""
    rows = _usable(flux, weight, "training")
    if validation is not None:
        held_flux, held_redshift, *held_weight = validation
        held_weight = held_weight[0] if held_weight else None
        check_images(held_flux, held_weight, flux.shape[1], flux.shape[2:])
        held_redshift = _redshift_array(held_redshift, len(held_flux), "validation redshift")
        held_rows = _usable(held_flux, held_weight, "validation")
        held = (held_flux, held_redshift, held_weight, held_rows)
    else:
        rows = np.random.default_rng(config.seed).permutation(rows)
        n_held = int(round(config.validation_fraction * len(rows)))
        held = (flux, redshift, weight, np.sort(rows[:n_held]))
        rows = np.sort(rows[n_held:])
    if len(rows) < 2:
        raise ValueError(f"at least 2 training galaxies are needed, {len(rows)} are left")
    return (flux, redshift, weight, rows), held


def fit_redshift_estimator(flux, redshift, *, survey, weight=None, config=None, validation=None, device=None,
                           progress=False, **overrides):
    """Train a network that reads redshift densities off multi-band images.

    Parameters
    ----------
    flux : array_like or `torch.Tensor`
        Images in the survey's unit, shape ``(n_galaxies, n_bands, y, x)``.
    redshift : array_like
        True redshifts, shape ``(n_galaxies,)``.
    survey : Survey or str
        Survey of the images, `~astro_galtrans.surveys.Survey.select`-ed to their bands.
    weight : array_like or `torch.Tensor`, optional
        Inverse variance of the shape of ``flux``; 0, like a flux that is not finite, masks a pixel.
    config : EstimatorConfig, optional
        Settings.
    validation : tuple, optional
        ``(flux, redshift)`` or ``(flux, redshift, weight)`` of the galaxies on which the best epoch is chosen. By
        default ``config.validation_fraction`` of the training galaxies is set aside for it.
    device : str or `torch.device`, optional
        Where to train, the CPU by default.
    progress : bool, optional
        Show a progress bar.
    **overrides
        Settings of `EstimatorConfig` that differ from ``config``, as ``epochs=10, seed=1``.

    Returns
    -------
    RedshiftEstimator

    Raises
    ------
    ValueError
        For images that do not fit the survey, redshifts that are not finite, or too few galaxies.
    TypeError
        For a setting that does not exist.

    Notes
    -----
    The state of the global random number generators of NumPy and torch is left as it was. On one device, with one
    number of threads, the same seed gives the same estimator.
    """
    if config is not None and not isinstance(config, EstimatorConfig):
        raise TypeError(f"config must be an EstimatorConfig, got {type(config).__name__}")
    config = (config or EstimatorConfig()).changed(**overrides)
    survey = get_survey(survey)
    flux = flux if hasattr(flux, "shape") else np.asarray(flux)
    check_images(flux, weight, len(survey))
    redshift = _redshift_array(redshift, len(flux), "redshift")
    grid = _default_grid(redshift, config.n_bins) if config.grid is None else np.array(config.grid)
    train, held = _divided(flux, redshift, weight, validation, config)
    device = torch.device("cpu" if device is None else device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        estimator = RedshiftEstimator(_geometry(flux, survey), grid, config)
        encoder = estimator._model.encoder.to(device)
        samples = [_Sample(*part, grid, config.label_width, encoder, device) if len(part[3]) else None
                   for part in (train, held)]
        encoder.standardise(samples[0].levels, samples[0].colours)
        estimator._history = _Trainer(estimator, *samples, device).run(progress)
    return estimator
