"""The training loop that translators, redshift estimators and redshift readers share, run by Lightning.

Three parts of Lightning are replaced. ModelCheckpoint needs a folder and writes best and last weights to two files;
here one file has both, so an interruption never leaves a state that does not fit, and without a folder the best weights
stay in memory. EarlyStopping trains on when a stopped training is resumed. The progress bars start anew in each epoch
and write to stdout.
"""

import logging
import math
import signal
import threading
import time
import warnings
from contextlib import contextmanager

import lightning
import numpy as np
import torch
from tqdm.auto import tqdm

from astro_galtrans._utils.signals import TERMINATED, interrupted_by_sigterm

__all__ = ["TrainingModule", "seeded", "train"]

_LOGGER = logging.getLogger(__name__)
_ONE_AT_A_TIME = threading.RLock()
_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class TrainingModule(lightning.LightningModule):
    """Base of the modules that `train` trains, which keeps the history and the best weights.

    A subclass implements ``training_step``, ``configure_optimizers`` and ``validation_step``; its steps call `add`.

    Parameters
    ----------
    n_steps : int
        Steps of the whole training.
    run : dict of str, optional
        Checksums that identify the training; its checkpoints contain them.
    patience : int, optional
        Epochs without a better validation loss after which `when_stale` is called.
    """

    monitors_validation_loss = True
    """Whether the epoch of the smallest validation loss is the best; otherwise the last one is."""

    def __init__(self, n_steps, run=None, patience=None):
        super().__init__()
        self.n_steps, self.run, self.patience, self.checkpoint = n_steps, run, patience, None
        self.rows, self.best, self.best_epoch, self.best_loss = [], None, -1, math.inf
        self.waits_from, self.stopped = 0, False
        self.logged = {}
        self._start, self._random = None, {}

    @property
    def step_number(self):
        """Number of finished steps of the training."""
        return self.global_step

    @property
    def kept(self):
        """Module of which the weights of the best epoch are kept."""
        return self

    def when_stale(self):
        """Return whether the training ends, called when the patience is used up."""
        return True

    def add(self, stage, values, n_galaxies):
        """Log means over the galaxies of a batch.

        The tensors stay on their device until the end of the epoch: to read one would hold up the next step.

        Parameters
        ----------
        stage : {"train", "valid"}
        values : dict of torch.Tensor
            Scalars by name.
        n_galaxies : int
        """
        for name, value in values.items():
            self.logged.setdefault(f"{stage}_{name}", []).append((value.detach(), n_galaxies))

    def take_means(self):
        """Return the means over all galaxies since the last call, a dict of float."""
        means = {name: _mean(*zip(*batches)) for name, batches in self.logged.items()}
        self.logged.clear()
        return means

    def on_train_start(self):
        """Restore the random states of a resumed training, and stop if it had stopped."""
        # Here, because a checkpoint is loaded before the module is on its device.
        if "cpu" in self._random:
            torch.set_rng_state(self._random["cpu"])
        if "cuda" in self._random and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._random["cuda"], self.device)
        self.trainer.should_stop = self.stopped

    def on_train_epoch_start(self):
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self):
        """Add a row to the history, keep the weights if they are the best, and write the checkpoint."""
        epoch = self.current_epoch
        row = {"epoch": epoch, "step": self.step_number, **self.take_means(),
               "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
               "seconds": time.perf_counter() - self._start}
        self.rows.append(row)
        loss = row.get("valid_loss", -epoch) if self.monitors_validation_loss else -epoch
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch
            self.best = {name: value.detach().cpu().clone() for name, value in self.kept.state_dict().items()}
        if self.patience is not None and epoch - max(self.best_epoch, self.waits_from) >= self.patience:
            self.stopped = self.trainer.should_stop = self.when_stale()
        if self.checkpoint is not None:
            self.trainer.save_checkpoint(self.checkpoint)

    def on_save_checkpoint(self, checkpoint):
        """Add the history, the best weights and the random states."""
        checkpoint["run"] = self.run
        checkpoint["training"] = {
            "rows": self.rows, "best": self.best, "best_epoch": self.best_epoch, "best_loss": self.best_loss,
            "waits_from": self.waits_from, "stopped": self.stopped}
        checkpoint["random"] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            checkpoint["random"]["cuda"] = torch.cuda.get_rng_state(self.device)

    def on_load_checkpoint(self, checkpoint):
        """Restore the state that `on_save_checkpoint` saved."""
        # Checkpoints of earlier versions have the state of a callback instead, and no random states.
        for name, value in (checkpoint.get("training") or checkpoint["callbacks"]["EpochKeeper"]).items():
            setattr(self, name, value)
        self._random = checkpoint.get("random", {})


def _mean(values, counts):
    """Return the mean of scalar tensors, weighted by the counts."""
    return float(np.average(torch.stack(values).cpu().double().numpy(), weights=counts))


class _StepBar(lightning.Callback):
    """One progress bar over all steps of the training."""

    def __init__(self, label):
        self.label, self.bar = label, None

    def on_train_start(self, trainer, module):
        self.bar = tqdm(total=module.n_steps, initial=module.step_number, desc=self.label, unit="step")

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.bar.update()

    def on_train_epoch_end(self, trainer, module):
        losses = module.logged.get("train_loss")
        if losses:
            self.bar.set_postfix(epoch=trainer.current_epoch + 1, loss=f"{_mean(*zip(*losses)):.4f}")

    def teardown(self, trainer, module, stage):
        if self.bar is not None:
            self.bar.close()


@contextmanager
def seeded(seed, device):
    """Seed torch's generators of the CPU and of a device inside the block, and restore their states after it.

    All threads share these generators and the settings of torch, so only one is in such a block; others wait for it.
    """
    devices = [device] if device.type == "cuda" else []
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for one in devices:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        yield


def train(module, batches, validation=None, *, n_epochs, device=torch.device("cpu"), precision="32", checkpoint=None,
          label=None):
    """Train a module; `TrainingModule.best` then has the weights of the best epoch.

    Parameters
    ----------
    module : TrainingModule
        On the CPU afterwards.
    batches, validation : iterable
        Batches of each epoch, with a length.
    n_epochs : int
        Largest number of epochs.
    device : torch.device, optional
        Where to train.
    precision : {"32", "bf16", "16"}, optional
        Arithmetic of the steps outside of blocks that set their own.
    checkpoint : `~astro_galtrans.storage.checkpoint.CheckpointFile`, optional
        File to write after each epoch and to resume from.
    label : str, optional
        Label of a progress bar; None shows no bar.

    Raises
    ------
    ValueError
        If the checkpoint belongs to another training.
    FloatingPointError
        If the validation loss is not finite in any epoch.
    KeyboardInterrupt
        If interrupted; the message names the epoch and the checkpoint.
    SystemExit
        On SIGTERM, with status 143, after the same message was logged.
    """
    devices = [device.index or 0] if device.type == "cuda" else 1
    module.checkpoint = None if checkpoint is None else checkpoint.path
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else device.type, devices=devices, max_epochs=n_epochs,
            precision=_PRECISION[precision], callbacks=[] if label is None else [_StepBar(label)],
            plugins=[] if checkpoint is None else [checkpoint], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        resumed = None if checkpoint is None else checkpoint.resumed(module.run)
        with torch.enable_grad(), _interrupts(trainer, module.checkpoint):
            trainer.fit(module, batches, validation, ckpt_path=resumed)
    if module.best is None:
        raise FloatingPointError("the validation loss was not finite in any epoch; a smaller learning_rate may help")
    module.to("cpu")


@contextmanager
def _interrupts(trainer, checkpoint):
    """Raise KeyboardInterrupt on Ctrl-C, where Lightning would exit the process and leave Ctrl-C disabled.

    SIGTERM, at which Lightning would end the training as if it were finished, does the same where the program has a
    handler that raises KeyboardInterrupt, as the command has. Otherwise it ends the process.
    """
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    cause = None
    try:
        with interrupted_by_sigterm() as received:
            yield
    except (SystemExit, KeyboardInterrupt) as error:
        cause = error if isinstance(error, KeyboardInterrupt) else error.__context__
        if not isinstance(cause, KeyboardInterrupt):
            raise
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
    if cause is not None or trainer.interrupted:
        # There is no file before the end of the first epoch.
        hint = f"; it can be resumed from {checkpoint}" if checkpoint is not None and checkpoint.exists() else ""
        message = f"training stopped in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}{hint}"
        if received:
            _LOGGER.warning("SIGTERM: %s", message)
            raise SystemExit(TERMINATED) from cause
        raise KeyboardInterrupt(message) from cause


@contextmanager
def _quiet_lightning():
    """Silence the announcements of Lightning and those of its warnings that do not apply."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*defined a `validation_step` but have no `val_dataloader`.*")
            warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")
            # Lightning 2.6 still asks the old question of torch's pytree, once a process.
            warnings.filterwarnings("ignore", ".*isinstance\\(treespec, LeafSpec\\).*")
            yield
    finally:
        logger.setLevel(level)
