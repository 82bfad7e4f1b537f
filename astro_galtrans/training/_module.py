"""The Lightning modules of translators: one step of training or validation, with or without a discriminator."""

import logging
import math
import warnings

import torch

from astro_galtrans._utils.loop import TrainingModule
from astro_galtrans.backbones import fill_invalid
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.objectives import Target
from astro_galtrans.training._batches import draw_condition, draw_kept, draw_observing

__all__ = ["AdversarialModule", "TranslationModule"]

_LOGGER = logging.getLogger(__name__)
_NAN = float("nan")
_RISE = 0.05  # fraction of the steps over which the learning rate rises
# A long memory of gradients lets discriminator and generator swing around each other (Radford et al. 2016,
# arXiv:1511.06434).
_DISCRIMINATOR_BETAS = (0.5, 0.999)
# Columns of the history, also of epochs without a value.
_ADVERSARIAL_COLUMNS = ("diversity", "adversarial", "critic_loss", "critic_real", "critic_fake")


class TranslationModule(TrainingModule):
    """Network and objective under AdamW with a linear rise and a cosine fall of the learning rate.

    ``notes`` has plain values about the training that its user should know.

    Parameters
    ----------
    network : TranslationNetwork
    objective : Objective
    config : TrainConfig
    target_weight : ndarray
        Inverse variance per target band for pairs without weights, shape ``(band,)``.
    n_steps : int
        Steps of the whole training.
    run : dict of str
        Checksums that identify the training.
    """

    def __init__(self, network, objective, config, target_weight, n_steps, run):
        super().__init__(n_steps, run, config.patience)
        self.network, self.objective, self.config = network, objective, config
        self.monitors_validation_loss = objective.monitors_validation_loss
        self.register_buffer("default_weight", torch.tensor(target_weight)[:, None, None].float(), persistent=False)
        self.notes = {}

    def configure_optimizers(self):
        """Return AdamW and its schedule by step."""
        return self.scheduled(self.parameters())

    def scheduled(self, parameters):
        """Return an optimizer of some parameters with its schedule, as Lightning takes it."""
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

    def generator(self):
        """Return the generator of this step's draws; it depends on seed and step, so a resumed run draws the same."""
        return torch.Generator().manual_seed(1_000_003 * self.config.seed + self.step_number)

    @property
    def progress(self):
        """Finished fraction of the training."""
        return self.step_number / max(1, self.n_steps)

    def predict(self, batch, generator, training):
        """Return the prediction and the `Target` for a batch."""
        observed = self._observed(batch, generator, training)
        target, weight, valid = batch["target_flux"], batch["target_weight"], batch["target_valid"]
        if weight is None:
            weight = self.default_weight.expand_as(target)
        flux, target = (x.contiguous(memory_format=torch.channels_last) for x in (batch["input_flux"], target))
        fractions = (self.config.condition_dropout, self.config.condition_scatter) if training else None
        condition = draw_condition(batch, self.network.conditioning, fractions, generator)
        noisy = None
        if self.network.generative:
            whole = target if valid is None else fill_invalid(target, valid)
            noisy = self.network.draw_noisy(self.network.fill(flux, observed), whole, generator)
        observing = None
        if self.network.observing is not None:
            dropout = self.config.observing_dropout if training else None
            observing = draw_observing(batch, observed, dropout, generator)
        prediction = self.network(flux, target.shape[-2:], condition, noisy, observed, observing)
        return prediction, Target(target, weight, valid)

    def _observed(self, batch, generator, training):
        """Return the input pixels that the network receives, bool of the shape of the input; None if all are."""
        observed = batch["input_valid"]
        if training and self.config.input_dropout:
            kept = draw_kept(batch["input_flux"].shape, self.config.input_dropout, generator)
            kept = kept.to(batch["input_flux"].device)
            observed = kept if observed is None else observed & kept
        return observed

    def loss_of(self, prediction, target, generator, progress):
        """Return the loss of a prediction, and a dict of values to log."""
        further = {"progress": progress} if self.objective.uses_progress else {}
        with torch.autocast(target.flux.device.type, enabled=False):
            return self.objective(prediction, target, self.network.output_space, generator, **further)

    def training_step(self, batch, batch_index):
        """Return the loss of one batch."""
        generator = self.generator()
        loss, logs = self.loss_of(*self.predict(batch, generator, training=True), generator, self.progress)
        self.add("train", logs, len(batch["input_flux"]))
        return loss

    def validation_step(self, batch, batch_index):
        """Log the same loss of validation pairs, with the same draws in every epoch."""
        generator = torch.Generator().manual_seed(batch_index)
        _, logs = self.loss_of(*self.predict(batch, generator, training=False), generator, 1.0)
        self.add("valid", logs, len(batch["input_flux"]))

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

    def on_train_epoch_start(self):
        """Let the order of the pairs depend on the epoch."""
        super().on_train_epoch_start()
        self.trainer.train_dataloader.epoch = self.current_epoch

    def add(self, stage, values, n_galaxies):
        """Log values of a batch, and stop at a loss that is not finite where reading it makes no device wait."""
        super().add(stage, values, n_galaxies)
        if stage == "train" and self.device.type == "cpu":
            self._check_finite(last_only=True)

    def take_means(self):
        """Return the means of the epoch, after a check of the losses on all devices."""
        self._check_finite()
        return super().take_means()

    def _check_finite(self, last_only=False):
        """Raise FloatingPointError if a training loss of this epoch is not finite."""
        for name in ("train_loss", "train_critic_loss"):
            batches = self.logged.get(name, [])[-1 if last_only else 0:]
            values = torch.stack([value for value, _ in batches]) if batches else torch.zeros(0)
            if not bool(values.isfinite().all()):
                index = int((~values.isfinite()).nonzero()[0])
                step = self.step_number - (0 if last_only else len(values) - index)
                raise FloatingPointError(f"the training loss became {float(values[index])} at step {step}; "
                                         "a smaller learning_rate or precision='32' may help")


class AdversarialModule(TranslationModule):
    """Network and discriminator, each with its AdamW and schedule; the parameters are those of `TranslationModule`.

    In each step the network is updated and then, once it is trained, the discriminator, on the same batch and the
    earlier prediction. An epoch in which the generator has collapsed raises a warning and is kept in
    ``notes["collapsed_epochs"]``, one in which the discriminator has won is logged and kept in
    ``notes["critic_won_epochs"]``; both count from 0.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False
        self.steps_done = 0
        self.notes = {"collapsed_epochs": [], "critic_won_epochs": []}

    @property
    def step_number(self):
        """Number of finished steps of the training; Lightning counts the updates of both optimizers."""
        return self.steps_done

    def configure_optimizers(self):
        """Return an optimizer with its schedule for all but the discriminator, and one for the discriminator."""
        discriminator = list(self.objective.discriminator.parameters())
        own = {id(parameter) for parameter in discriminator}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in own]
        discriminator = self.scheduled(discriminator)
        discriminator["optimizer"].param_groups[0]["betas"] = _DISCRIMINATOR_BETAS
        return [self.scheduled(rest), discriminator]

    def training_step(self, batch, batch_index):
        """Update the network, and the discriminator once it is trained."""
        generator, progress = self.generator(), self.progress
        prediction, target = self.predict(batch, generator, training=True)
        loss, logs = self.loss_of(prediction, target, generator, progress)
        self._update(0, loss)
        if self.objective.trains_discriminator(progress):
            loss, critic_logs = self.objective.discriminator_loss(prediction, target, self.network.output_space)
            self._update(1, loss)
            logs |= critic_logs
        if self.objective.generator_uses_discriminator(progress):
            # After the warm-up, to see what goes wrong.
            logs |= {f"watched_{name}": logs[name] for name in ("diversity", "critic_loss") if name in logs}
        self.add("train", logs, len(batch["input_flux"]))
        self.steps_done += 1

    def _update(self, index, loss):
        """Take one step of one of the two optimizers and of its schedule."""
        optimizer, schedule = self.optimizers()[index], self.lr_schedulers()[index]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        schedule.step()

    def take_means(self):
        """Return the means of the epoch, after a check of the training's health."""
        means = super().take_means()
        self._check_health(means.pop("train_watched_diversity", _NAN), means.pop("train_watched_critic_loss", _NAN))
        return {**{f"train_{name}": _NAN for name in _ADVERSARIAL_COLUMNS}, **means}

    def _check_health(self, diversity, critic_loss):
        epoch = self.current_epoch
        if diversity < self.objective.collapse_below:
            self.notes["collapsed_epochs"].append(epoch)
            warnings.warn(
                f"mode collapse in epoch {epoch + 1}: translated images differ from galaxy to galaxy {diversity:.2f} "
                f"times as much as target images do; below {self.objective.collapse_below} is called a collapse. If "
                "more epochs do not help, a smaller weight of the discriminator or a smaller learning_rate may",
                GaltransWarning, stacklevel=2,
            )
        if critic_loss < self.objective.lost_below:
            self.notes["critic_won_epochs"].append(epoch)
            _LOGGER.warning(
                "the discriminator has won in epoch %d: its hinge loss is %.3f, so it separates all translated images "
                "from target images and learns nothing more", epoch + 1, critic_loss,
            )

    def on_save_checkpoint(self, checkpoint):
        """Add the number of finished steps and the notes."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["adversarial"] = {
            "steps_done": self.steps_done, "notes": {name: list(epochs) for name, epochs in self.notes.items()}}

    def on_load_checkpoint(self, checkpoint):
        """Restore the state that `on_save_checkpoint` saved."""
        super().on_load_checkpoint(checkpoint)
        self.steps_done, self.notes = checkpoint["adversarial"]["steps_done"], checkpoint["adversarial"]["notes"]
