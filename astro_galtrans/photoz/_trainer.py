"""One member of a redshift estimator in training; imported only by a fit, since Lightning takes seconds to import."""

import copy
import math

import torch

from astro_galtrans._utils.loop import TrainingModule

__all__ = ["MemberModule", "Rows"]

_REDUCTION = 0.3
_WARMUP_EPOCHS = 10
_LARGEST_GRADIENT = 5.0


class Rows:
    """Batches of the rows of all galaxies, on their device.

    Parameters
    ----------
    sample : Sample
        The galaxies.
    batch_size : int
    generator : torch.Generator, optional
        Generator of the order, another one in each epoch; None keeps that of the galaxies.
    """

    def __init__(self, sample, batch_size, generator=None):
        self.n_galaxies, self.device = len(sample), sample.inputs[0].device
        self.batch_size, self.generator = batch_size, generator

    def __len__(self):
        return math.ceil(self.n_galaxies / self.batch_size)

    def __iter__(self):
        if self.generator is None:
            rows = torch.arange(self.n_galaxies)
        else:
            rows = torch.randperm(self.n_galaxies, generator=self.generator)
        yield from rows.to(self.device).split(self.batch_size)


class MemberModule(TrainingModule):
    """Trains a model and keeps a running average of its parameters, which is validated.

    Parameters
    ----------
    model : DensityModel
    train, validation : Sample
        ``validation`` may be None.
    config : EstimatorConfig or CatalogConfig
    seed : int
        Seed of the order and the orientation of the galaxies.
    run : dict of str
        Checksums that identify the training.
    """

    def __init__(self, model, train, validation, config, seed, run):
        self.draws = torch.Generator().manual_seed(seed)
        self.train_rows = Rows(train, config.batch_size, self.draws)
        super().__init__(config.epochs * len(self.train_rows), run, config.patience)
        self.model, self.average = model, copy.deepcopy(model).requires_grad_(False)
        self.train_sample, self.validation, self.config = train, validation, config
        self.reductions = 0
        # Walking through the model in each step would take longer than averaging its parameters.
        self._parameters_of_model = list(model.parameters())
        self._parameters_of_average = list(self.average.parameters())

    @property
    def kept(self):
        """The running average."""
        return self.average

    def configure_optimizers(self):
        """Return AdamW, which decays weight matrices and kernels only."""
        groups = [{"params": [value for value in self._parameters_of_model if value.ndim > 1],
                   "weight_decay": self.config.weight_decay},
                  {"params": [value for value in self._parameters_of_model if value.ndim <= 1], "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate)

    def learning_rate(self):
        """Return the learning rate of the current step."""
        step = self.global_step
        plateau = self.config.schedule == "plateau"
        warm = min(self.n_steps, _WARMUP_EPOCHS * len(self.train_rows)) if plateau else self.n_steps
        rising = max(1, int(self.config.warmup * warm))
        if step < rising:
            return self.config.learning_rate * ((step + 1) / rising)
        if plateau:
            return self.config.learning_rate * _REDUCTION**self.reductions
        fraction = (step - rising) / max(1, self.n_steps - rising)
        return self.config.learning_rate * (0.5 * (1 + math.cos(math.pi * fraction)))

    def _loss(self, model, sample, rows, generator=None):
        inputs = sample.at(rows, generator)
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=self.config.autocast):
            outputs = model(*inputs)
        return sample.targets.loss(model, outputs, rows)

    def training_step(self, rows, batch_index):
        """Return the loss of some rows."""
        loss = self._loss(self.model, self.train_sample, rows, self.draws if self.config.augment else None)
        self.add("train", {"loss": loss}, len(rows))
        return loss

    def validation_step(self, rows, batch_index):
        """Log the loss of the running average."""
        self.add("valid", {"loss": self._loss(self.average, self.validation, rows)}, len(rows))

    def on_before_optimizer_step(self, optimizer):
        """Set the learning rate, which on a plateau depends on the epochs before, and clip the gradient."""
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate()
        torch.nn.utils.clip_grad_norm_(self._parameters_of_model, _LARGEST_GRADIENT)

    @torch.no_grad()
    def on_train_batch_end(self, outputs, batch, batch_index):
        """Update the running average."""
        step = self.global_step
        decay = min(self.config.ema_decay, step / (step + 10)) if self.config.ema_decay else 0.0
        for average, value in zip(self._parameters_of_average, self._parameters_of_model):
            average.lerp_(value, 1 - decay)

    def when_stale(self):
        """Return whether training ends; lower the learning rate first where the schedule says so."""
        if self.config.schedule == "cosine" or self.reductions >= self.config.n_reductions:
            return True
        self.reductions, self.waits_from = self.reductions + 1, self.current_epoch
        self.model.load_state_dict(self.best)
        self.average.load_state_dict(self.best)
        return False

    def on_save_checkpoint(self, checkpoint):
        """Add the state of the draws and the number of reductions."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["member"] = {"draws": self.draws.get_state(), "reductions": self.reductions}

    def on_load_checkpoint(self, checkpoint):
        """Restore the state that `on_save_checkpoint` saved."""
        super().on_load_checkpoint(checkpoint)
        self.draws.set_state(checkpoint["member"]["draws"])
        self.reductions = checkpoint["member"]["reductions"]
