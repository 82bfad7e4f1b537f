"""What happens at the end of an epoch: history, best weights, checkpoint, early stop, progress bar."""

import time

import lightning
from lightning.pytorch.plugins.io import CheckpointIO
from tqdm.auto import tqdm

from astro_galtrans.storage._checkpoint import load_state, save_state

__all__ = ["AsdfCheckpointIO", "EpochKeeper", "StepBar"]


class AsdfCheckpointIO(CheckpointIO):
    """Lightning checkpoints as ASDF files, without pickle, written to a temporary file and renamed."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        """Write a checkpoint."""
        save_state(path, checkpoint)

    def load_checkpoint(self, path, map_location=None, weights_only=None):
        """Read a checkpoint, tensors on the CPU."""
        return load_state(path)

    def remove_checkpoint(self, path):
        """Delete a checkpoint."""
        path.unlink(missing_ok=True)


class EpochKeeper(lightning.Callback):
    """Keeps a row of history and the best weights, writes the checkpoint, and stops when nothing improves.

    Parameters
    ----------
    path : `pathlib.Path` or None
        Where the checkpoint goes after each epoch.
    patience : int or None
        Epochs without a better validation loss after which training stops.
    selects : bool, optional
        Whether the epoch of the smallest validation loss is the best; otherwise the last is.
    """

    def __init__(self, path, patience, selects=True):
        self.path, self.patience, self.selects = path, patience, selects
        self.rows, self.best, self.best_epoch, self.best_loss = [], None, -1, float("inf")
        self._start = None

    def on_train_start(self, trainer, module):
        """Stop at once where the training that is resumed had stopped."""
        self._stop_if_stale(trainer, trainer.current_epoch - 1)

    def on_train_epoch_start(self, trainer, module):
        """Let the order of the pairs depend on the epoch."""
        trainer.train_dataloader.dataset.epoch = trainer.current_epoch
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer, module):
        """Keep the row, the weights if they are the best, and the checkpoint."""
        row = {"epoch": trainer.current_epoch, "step": module.step_number, **module.take_means(),
               "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
               "seconds": time.perf_counter() - self._start}
        self.rows.append(row)
        last = -trainer.current_epoch  # without validation, the last epoch is the best
        loss = row.get("valid_loss", last) if self.selects else last
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, trainer.current_epoch
            self.best = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
        self._stop_if_stale(trainer, trainer.current_epoch)
        if self.path is not None:
            trainer.save_checkpoint(self.path)

    def _stop_if_stale(self, trainer, epoch):
        if self.patience is not None and epoch - max(self.best_epoch, 0) >= self.patience:
            trainer.should_stop = True

    def state_dict(self):
        """What a resumed run needs."""
        return {"rows": self.rows, "best": self.best, "best_epoch": self.best_epoch, "best_loss": self.best_loss}

    def load_state_dict(self, state):
        """Take up what `state_dict` gave."""
        self.rows, self.best = list(state["rows"]), state["best"]
        self.best_epoch, self.best_loss = state["best_epoch"], state["best_loss"]


class StepBar(lightning.Callback):
    """One progress bar over all steps of the training.

    Parameters
    ----------
    n_steps : int
        Steps of the whole training.
    label : str
        What stands before the bar.
    """

    def __init__(self, n_steps, label):
        self.n_steps, self.label, self.bar = n_steps, label, None

    def on_train_start(self, trainer, module):
        """Open the bar."""
        self.bar = tqdm(total=self.n_steps, initial=module.step_number, desc=self.label, unit="step")

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        """One step further."""
        self.bar.update()

    def on_train_epoch_end(self, trainer, module):
        """Say how it goes; the losses wait in the module until the epoch's row is made."""
        total = module.sums.get("train_loss")
        if total:
            self.bar.set_postfix(epoch=trainer.current_epoch + 1, loss=f"{float(total[0]) / total[1]:.4f}")

    def teardown(self, trainer, module, stage):
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
