"""The Lightning module: one step of training or validation."""

import math

import lightning
import torch

from astro_galtrans.backbones import fill_invalid
from astro_galtrans.objectives import flux_error_nll

__all__ = ["TranslationModule"]

_RISE = 0.05  # share of the steps over which the learning rate rises


class TranslationModule(lightning.LightningModule):
    """Network and objective under AdamW with a linear rise and a cosine fall of the learning rate.

    Parameters
    ----------
    network : TranslationNetwork
    objective : Objective
    config : TrainConfig
    target_weight : ndarray
        Inverse variance per target band for pairs without weights, shape ``(band,)``.
    n_steps : int
        Steps of the whole training.
    run : dict
        What tells this training from others, kept in its checkpoints.
    """

    def __init__(self, network, objective, config, target_weight, n_steps, run):
        super().__init__()
        self.network, self.objective, self.config, self.n_steps, self.run = network, objective, config, n_steps, run
        self.register_buffer("default_weight", torch.tensor(target_weight)[:, None, None].float(), persistent=False)
        self.sums = {}

    def on_save_checkpoint(self, checkpoint):
        """Add what tells this training from others."""
        checkpoint["run"] = self.run

    def configure_optimizers(self):
        """AdamW and its schedule by step."""
        optimizer = torch.optim.AdamW(
            [parameter for parameter in self.parameters() if parameter.requires_grad],
            lr=self.config.learning_rate, weight_decay=self.config.weight_decay,
        )
        rise = max(1, round(_RISE * self.n_steps))

        def factor(step):
            if step < rise:
                return (step + 1) / rise
            return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.n_steps - rise)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _loss(self, batch, generator, progress):
        flux, valid = batch["input_flux"], None
        if batch["input_weight"] is not None and not bool((batch["input_weight"] > 0).all()):
            flux = fill_invalid(flux, batch["input_weight"] > 0)
        target = batch["target_flux"]
        weight = batch["target_weight"]
        if weight is None:
            weight = self.default_weight.expand_as(target)
        elif not bool((weight > 0).all()):
            valid = weight > 0
        flux, target = (x.contiguous(memory_format=torch.channels_last) for x in (flux, target))
        redshift = batch["redshift"] if self.network.conditioning else None
        prediction = self.network(flux, target.shape[-2:], redshift)
        with torch.autocast(target.device.type, enabled=False):
            loss, logs = self.objective(self.network, prediction, target, valid, generator, progress)
            error_nll = flux_error_nll(self.network, prediction, target, weight, generator)
        logs = {"loss": float(loss.detach()), "flux_nll": float(error_nll.detach()), **logs}
        return loss + error_nll, logs

    def training_step(self, batch, batch_index):
        """Loss of one batch."""
        # A generator made from seed and step, so that a resumed run draws what an unbroken one does.
        generator = torch.Generator().manual_seed(1_000_003 * self.config.seed + self.global_step)
        loss, logs = self._loss(batch, generator, self.global_step / max(1, self.n_steps))
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(
                f"the training loss became {float(loss.detach())} at step {self.global_step}; "
                "a smaller learning_rate or precision='32' may help"
            )
        self._add("train", logs, len(batch["input_flux"]))
        return loss

    def validation_step(self, batch, batch_index):
        """The same loss on validation pairs, with the same draws in every epoch."""
        generator = torch.Generator().manual_seed(batch_index)
        _, logs = self._loss(batch, generator, 1.0)
        self._add("valid", logs, len(batch["input_flux"]))

    def _add(self, stage, logs, n_galaxies):
        for name, value in logs.items():
            total = self.sums.setdefault(f"{stage}_{name}", [0.0, 0])
            total[0] += value * n_galaxies
            total[1] += n_galaxies

    def take_means(self):
        """Means of everything logged since the last call, over galaxies, as a dict of float."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means
