"""Training against a critic: two optimisers, and an eye on what goes wrong in such a training."""

import logging
import warnings

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.training._module import TranslationModule, accumulate, take_means

__all__ = ["AdversarialModule"]

_LOGGER = logging.getLogger(__name__)
_NAN = float("nan")
# A long memory of gradients lets critic and generator swing around each other (Radford et al. 2016, arXiv:1511.06434).
_CRITIC_BETAS = (0.5, 0.999)
_WATCHED = ("diversity", "critic_loss")  # after the warm-up, to see what goes wrong
# Columns of the history, also of epochs in which there was nothing to say.
_COLUMNS = ("diversity", "adversarial", "critic_loss", "critic_real", "critic_fake")


class AdversarialModule(TranslationModule):
    """Network and critic, each with its AdamW and schedule; the parameters are those of `TranslationModule`.

    Each step the network is updated and then, once it learns, the critic, on the same batch and the prediction from
    before. An epoch in which the generator has collapsed is warned of and kept in ``notes["collapsed_epochs"]``, one
    in which the critic has won is logged and kept in ``notes["critic_won_epochs"]``.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False
        self.steps_done = 0
        self.notes = {"collapsed_epochs": [], "critic_won_epochs": []}
        self.watched = {}

    @property
    def step_number(self):
        """Steps of the training that are done; Lightning counts the updates of both optimisers."""
        return self.steps_done

    def configure_optimizers(self):
        """An optimiser with its schedule for all but the critic, and one for the critic."""
        critic = list(self.objective.discriminator.parameters())
        own = {id(parameter) for parameter in critic}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in own]
        critic = self.scheduled(critic)
        critic["optimizer"].param_groups[0]["betas"] = _CRITIC_BETAS
        return [self.scheduled(rest), critic]

    def training_step(self, batch, batch_index):
        """Update the network, and the critic where it learns."""
        generator, progress, n_galaxies = self.generator(), self.progress, len(batch["input_flux"])
        prediction, target = self.predict(batch, generator, training=True)
        loss, logs = self.loss_of(prediction, target, generator, progress)
        self._update(0, loss)
        if self.objective.trains_discriminator(progress):
            loss, critic_logs = self.objective.discriminator_loss(prediction, target, self.network.output_space)
            self._update(1, loss)
            logs |= critic_logs
        self.add("train", logs, n_galaxies)
        if self.objective.generator_uses_discriminator(progress):
            accumulate(self.watched, {name: logs[name] for name in _WATCHED if name in logs}, n_galaxies)
        self.steps_done += 1

    def _update(self, index, loss):
        """One step of one of the two optimisers and of its schedule."""
        optimizer, schedule = self.optimizers()[index], self.lr_schedulers()[index]
        self.check(loss)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        schedule.step()

    def take_means(self):
        """Means of the epoch, as of `TranslationModule`, after a look at whether it went wrong."""
        watched = take_means(self.watched)
        self._judge(watched.get("diversity", _NAN), watched.get("critic_loss", _NAN))
        return {**{f"train_{name}": _NAN for name in _COLUMNS}, **super().take_means()}

    def _judge(self, diversity, critic_loss):
        epoch = self.trainer.current_epoch
        if diversity < self.objective.collapse_below:
            self.notes["collapsed_epochs"].append(epoch)
            warnings.warn(
                f"mode collapse in epoch {epoch + 1}: translated images differ from galaxy to galaxy {diversity:.2f} "
                f"times as much as target images do, where less than {self.objective.collapse_below} is called a "
                "collapse. If more epochs do not help, a smaller weight of the critic or a smaller learning_rate may",
                GaltransWarning, stacklevel=2,
            )
        if critic_loss < self.objective.lost_below:
            self.notes["critic_won_epochs"].append(epoch)
            _LOGGER.warning(
                "the critic has won in epoch %d: its hinge loss is %.3f, so that it tells all translated images from "
                "target images and learns nothing more", epoch + 1, critic_loss,
            )

    def on_save_checkpoint(self, checkpoint):
        """Add what tells this training from others, and where it is."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["adversarial"] = {
            "steps_done": self.steps_done, "notes": {name: list(epochs) for name, epochs in self.notes.items()}}

    def on_load_checkpoint(self, checkpoint):
        """Take up where a training was."""
        state = checkpoint["adversarial"]
        self.steps_done, self.notes = state["steps_done"], state["notes"]
