"""The training loop of one member of an estimator."""

import math
import warnings

import torch
from tqdm.auto import tqdm

from astro_galtrans.exceptions import GaltransWarning

__all__ = ["Sample", "Trainer"]

_REDUCTION = 0.3
_WARMUP_EPOCHS = 10
_VALIDATION_BATCH = 512


class Sample:
    """Galaxies to train or to validate on, as the tensors a step needs.

    Parameters
    ----------
    inputs : tuple of torch.Tensor
        What the model takes, each of length n; the first holds images where the model has any.
    targets : Targets
        Of the same galaxies.
    """

    def __init__(self, inputs, targets):
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return len(self.inputs[0])

    def batches(self, size):
        """Rows of consecutive galaxies."""
        return torch.arange(len(self), device=self.inputs[0].device).split(size)

    def at(self, chosen, generator=None):
        """Inputs of some galaxies, the images in random orientations where a generator is given."""
        first, *others = (part[chosen] for part in self.inputs)
        return (first if generator is None else _oriented(first, generator), *others)


def _oriented(images, generator):
    """The images in one of the eight orientations of a square, another for each quarter of the batch."""
    parts = []
    for part in images.chunk(4):
        turn, mirror = torch.randint(4, (2,), generator=generator).tolist()
        part = torch.rot90(part, turn if images.shape[2] == images.shape[3] else 2 * (turn // 2), (2, 3))
        parts.append(part.flip(3) if mirror % 2 else part)
    return torch.cat(parts)


def _optimizer(model, config):
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


class Trainer:
    """Trains a model; `run` leaves it with the parameters of the best epoch.

    Parameters
    ----------
    model : DensityModel
        On the device of the samples.
    train, validation : Sample
        ``validation`` may be None.
    config : EstimatorConfig or CatalogConfig
    seed : int
        Of the order and the orientation of the galaxies.
    """

    def __init__(self, model, train, validation, config, seed):
        self.model, self.train_sample, self.validation, self.config = model, train, validation, config
        self.device = train.inputs[0].device
        self.generator = torch.Generator().manual_seed(seed)
        self.augment = getattr(config, "augment", False)
        self.optimizer = _optimizer(model, config)
        self.steps_per_epoch = math.ceil(len(train) / config.batch_size)
        self.step, self.epoch, self.reductions, self.reduced_at = 0, -1, 0, -1
        self.average = self._copy()
        self.best, self.best_loss, self.best_epoch = None, math.inf, -1
        self.history = {"epoch": [], "training_loss": [], "validation_loss": []}
        self.finished = False

    def _copy(self):
        return {name: value.detach().clone() for name, value in self.model.named_parameters()}

    def _load(self, parameters):
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                value.copy_(parameters[name])

    def _learning_rate(self):
        total = self.config.epochs * self.steps_per_epoch
        plateau = self.config.schedule == "plateau"
        warm = min(total, _WARMUP_EPOCHS * self.steps_per_epoch) if plateau else total
        rising = max(1, int(self.config.warmup * warm))
        if self.step < rising:
            return self.config.learning_rate * ((self.step + 1) / rising)
        if plateau:
            return self.config.learning_rate * _REDUCTION**self.reductions
        fraction = (self.step - rising) / max(1, total - rising)
        return self.config.learning_rate * (0.5 * (1 + math.cos(math.pi * fraction)))

    def _batch_loss(self, sample, chosen, generator=None):
        inputs = sample.at(chosen, generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=getattr(self.config, "autocast", False)):
            outputs = self.model(*inputs)
        return sample.targets.loss(self.model, outputs, chosen)

    def _train_epoch(self):
        self.model.train()
        total = 0.0
        order = torch.randperm(len(self.train_sample), generator=self.generator).to(self.device)
        for chosen in order.split(self.config.batch_size):
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate()
            loss = self._batch_loss(self.train_sample, chosen, self.generator if self.augment else None)
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
        for chosen in self.validation.batches(_VALIDATION_BATCH):
            total += self._batch_loss(self.validation, chosen).item() * len(chosen)
        return total / len(self.validation)

    def _one_epoch(self):
        """Train over all galaxies once and judge the running average of the parameters."""
        self.epoch += 1
        training_loss = self._train_epoch()
        running = self._copy()
        self._load(self.average)
        loss = self._validation_loss() if self.validation is not None else -float(self.epoch)
        if loss < self.best_loss or self.best is None:
            self.best = {name: value.clone() for name, value in self.average.items()}
            self.best_loss, self.best_epoch = loss, self.epoch
        self._load(running)
        row = (self.epoch, training_loss, math.nan if self.validation is None else loss)
        for name, value in zip(self.history, row):
            self.history[name].append(value)

    def _stalled(self):
        """Whether training is over; lowers the learning rate first where the schedule says so."""
        patience = self.config.patience
        if patience is None or self.epoch - max(self.best_epoch, self.reduced_at) < patience:
            return False
        if self.config.schedule == "cosine" or self.reductions >= self.config.n_reductions:
            return True
        self.reductions, self.reduced_at = self.reductions + 1, self.epoch
        self._load(self.best)
        self.average = self._copy()
        return False

    def run(self, progress=False, description="redshift estimator", store=None):
        """Train to the end.

        Parameters
        ----------
        progress : bool, optional
            Show a progress bar.
        description : str, optional
            Beside the bar.
        store : StateFile, optional
            Where the state is written after each epoch, and from which an earlier one goes on.
        """
        if store is not None:
            store.read(self)
        with tqdm(total=self.config.epochs, initial=self.epoch + 1, desc=description, disable=not progress) as bar:
            while not self.finished:
                self._one_epoch()
                stalled = self._stalled()
                self.finished = stalled or self.epoch + 1 >= self.config.epochs
                bar.update()
                bar.set_postfix({name: f"{self.history[name][-1]:.3f}" for name in list(self.history)[1:]})
                if self.finished and not stalled and self.config.schedule == "plateau":
                    warnings.warn(f"the estimator may still have improved after all {self.config.epochs} epochs",
                                  GaltransWarning, 5)
                if store is not None:
                    store.write(self)
        self._load(self.best)
        self.model.eval()
