"""The Lightning module: one step of training or validation."""

import math

import lightning
import torch

from astro_galtrans.backbones import fill_invalid
from astro_galtrans.objectives import Target
from astro_galtrans.training._condition import condition_of
from astro_galtrans.training._missing import hide_input

__all__ = ["TranslationModule", "accumulate", "take_means"]

_RISE = 0.05  # share of the steps over which the learning rate rises


def accumulate(sums, logs, n_galaxies):
    """Add what is to log of a batch to sums over galaxies, a dict of ``[total, count]`` by name."""
    for name, value in logs.items():
        total = sums.setdefault(name, [0.0, 0])
        total[0] = total[0] + (value.double() if isinstance(value, torch.Tensor) else value) * n_galaxies
        total[1] += n_galaxies


def take_means(sums):
    """Means over galaxies of what was accumulated, a dict of float; the sums are emptied."""
    means = {name: float(total) / count for name, (total, count) in sums.items()}
    sums.clear()
    return means


class TranslationModule(lightning.LightningModule):
    """Network and objective under AdamW with a linear rise and a cosine fall of the learning rate.

    What happened in the training that its user should know, plain values, stands in ``notes``.

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
        self.notes = {}

    def on_save_checkpoint(self, checkpoint):
        """Add what tells this training from others."""
        checkpoint["run"] = self.run

    def configure_optimizers(self):
        """AdamW and its schedule by step."""
        return self.scheduled(self.parameters())

    def scheduled(self, parameters):
        """Optimiser of some parameters with its schedule, as Lightning takes it."""
        optimizer = torch.optim.AdamW(
            [parameter for parameter in parameters if parameter.requires_grad],
            lr=self.config.learning_rate, weight_decay=self.config.weight_decay,
        )
        rise = max(1, round(_RISE * self.n_steps))

        def factor(step):
            if step < rise:
                return (step + 1) / rise
            return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.n_steps - rise)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def step_number(self):
        """Steps of the training that are done."""
        return self.global_step

    def generator(self):
        """Generator of the draws of this step, made from seed and step, so that a resumed run draws alike."""
        return torch.Generator().manual_seed(1_000_003 * self.config.seed + self.step_number)

    @property
    def progress(self):
        """Share of the training that is done."""
        return self.step_number / max(1, self.n_steps)

    def predict(self, batch, generator, training):
        """Prediction and `Target` for a batch."""
        flux, observed, valid = batch["input_flux"], self.observed(batch, generator, training), None
        target = batch["target_flux"]
        weight = batch["target_weight"]
        if weight is None:
            weight = self.default_weight.expand_as(target)
        elif not bool((weight > 0).all()):
            valid = weight > 0
        flux, target = (x.contiguous(memory_format=torch.channels_last) for x in (flux, target))
        shares = (self.config.condition_dropout, self.config.condition_scatter) if training else None
        condition = condition_of(batch, self.network.conditioning, shares, generator)
        noisy = None
        if self.network.generative:
            whole = target if valid is None else fill_invalid(target, valid)
            noisy = self.network.draw_noisy(self.network.fill(flux, observed), whole, generator)
        return self.network(flux, target.shape[-2:], condition, noisy, observed), Target(target, weight, valid)

    def observed(self, batch, generator, training):
        """Input pixels with data that the network is given, of the shape of the input; None if all are."""
        weight, observed = batch["input_weight"], None
        if weight is not None and not bool((weight > 0).all()):
            observed = weight > 0
        if training and self.config.input_dropout:
            kept = hide_input(batch["input_flux"].shape, self.config.input_dropout, generator)
            kept = kept.to(batch["input_flux"].device)
            observed = kept if observed is None else observed & kept
        return observed

    def loss(self, batch, generator, progress, training):
        """Loss of network and objective on a batch, and what to log of it."""
        return self.loss_of(*self.predict(batch, generator, training), generator, progress)

    def loss_of(self, prediction, target, generator, progress):
        """The same for a prediction."""
        further = {"progress": progress} if self.objective.uses_progress else {}
        with torch.autocast(target.flux.device.type, enabled=False):
            return self.objective(prediction, target, self.network.output_space, generator, **further)

    def training_step(self, batch, batch_index):
        """Loss of one batch."""
        loss, logs = self.loss(batch, self.generator(), self.progress, training=True)
        self.check(loss)
        self.add("train", logs, len(batch["input_flux"]))
        return loss

    def on_before_optimizer_step(self, optimizer):
        """Clip the gradient, which here has its true size also under a loss that was scaled for half precision.

        Photometry head and sigma head are clipped apart from the rest. A common norm is that of whichever is largest:
        beside the rest the photometry head's gradient would vanish, and beside the sigma head's, which is huge until it
        knows the size of the errors, that of the rest, whose steps would then jump where the sigma head has learned.
        """
        if not self.config.gradient_clip:
            return
        heads = (self.network.photometry, self.network.sigma_head)
        apart = [set(head.parameters()) for head in heads if head is not None]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        rest = [p for p in parameters if not any(p in part for part in apart)]
        for part in (rest, *([p for p in parameters if p in part] for part in apart)):
            torch.nn.utils.clip_grad_norm_(part, self.config.gradient_clip)

    def check(self, loss):
        """Raise a FloatingPointError if a loss is not finite."""
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(
                f"the training loss became {float(loss.detach())} at step {self.step_number}; "
                "a smaller learning_rate or precision='32' may help"
            )

    def validation_step(self, batch, batch_index):
        """The same loss on validation pairs, with the same draws in every epoch."""
        generator = torch.Generator().manual_seed(batch_index)
        _, logs = self.loss(batch, generator, 1.0, training=False)
        self.add("valid", logs, len(batch["input_flux"]))

    def add(self, stage, logs, n_galaxies):
        """Add what is to log of a batch to the sums of its stage, "train" or "valid"."""
        accumulate(self.sums, {f"{stage}_{name}": value for name, value in logs.items()}, n_galaxies)

    def take_means(self):
        """Means of everything logged since the last call, over galaxies, as a dict of float."""
        return take_means(self.sums)
