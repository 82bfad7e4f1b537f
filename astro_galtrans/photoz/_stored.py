"""Base of the redshift estimators: members, history, prediction in batches, and the form in files."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Self, TYPE_CHECKING

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.torch_state import check_weights, torch_defaults
from astro_galtrans._utils.validation import whole_number
from astro_galtrans.photoz._members import mean_density
from astro_galtrans.photoz._pdf import RedshiftPDF

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._config import CatalogConfig, EstimatorConfig
    from astro_galtrans.photoz._network import DensityModel

__all__ = ["StoredEstimator"]

_HISTORY = ("member", "epoch", "training_loss", "validation_loss")
# Format 1 has the arrays of one member as "state"; format 2 a list of them.
_FORMATS = (1, 2)


class StoredEstimator:
    """Base of the estimators; a subclass sets the class of its settings and builds its models.

    Parameters
    ----------
    description : dict
        Plain values and arrays that the models are built from, stored with them.
    grid : array_like
        Redshifts of the densities.
    config : EstimatorConfig or CatalogConfig
    models : list of DensityModel, optional
        By default untrained ones.
    history : dict of list, optional
        Losses.
    """

    _config_class: type[EstimatorConfig] | type[CatalogConfig]
    _description_key = ""

    @torch_defaults()
    def __init__(
        self, description: dict[str, Any], grid: ArrayLike, config: EstimatorConfig | CatalogConfig,
        models: list[DensityModel] | None = None, history: dict[str, list] | None = None,
    ) -> None:
        self.config = config
        self.grid = np.array(grid, dtype=float)
        self._description = deepcopy(description)
        history = history or {}
        # Columns of a file may have any order.
        self._history = {name: list(history[name]) for name in _HISTORY if name in history}
        self._models = models or [self._build() for _ in range(config.n_members)]
        for model in self._models:
            model.eval()

    def _build(self):
        """Return an untrained model."""
        raise NotImplementedError

    @property
    def _model(self):
        return self._models[0]

    @property
    def history(self) -> Table:
        """Losses of each epoch (of each member), a `~astropy.table.Table`."""
        return Table(self._history)

    def _predict(self, n, batch_size, device, as_tensor, batch):
        """Return densities of n galaxies; ``batch(rows)`` gives the inputs and which galaxies are usable."""
        whole_number(batch_size, "batch_size", 1)
        models = [model.to(device).eval() for model in self._models]
        parts = []
        try:
            with torch_defaults(), torch.inference_mode():
                for start in range(0, n, batch_size):
                    inputs, usable = batch(slice(start, start + batch_size))
                    density = mean_density(models, [self._logits(model, inputs) for model in models])
                    density[~usable] = torch.inf
                    parts.append(density if as_tensor else density.cpu())
        finally:
            for model in models:
                model.to("cpu")
        density = torch.cat(parts) if parts else torch.zeros((0, len(self.grid)), dtype=torch.float32, device="cpu")
        return RedshiftPDF(self.grid, density.clone() if as_tensor else density.numpy(), on_invalid="mask")

    def _logits(self, model, inputs):
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=self.config.autocast):
            outputs = model(*inputs)
        return model.logits(outputs)

    def to_tree(self) -> dict[str, Any]:
        """Return the estimator as plain Python values and NumPy arrays.

        Returns
        -------
        dict
            Keys ``format``, ``config``, ``grid``, ``history``, a description of the data, and ``state``: name ->
            ndarray, or a list of such dicts where there are several members.
        """
        states = [{name: value.detach().cpu().contiguous().numpy().copy()
                   for name, value in model.state_dict().items()} for model in self._models]
        return {"format": 1 if len(states) == 1 else 2, "config": self.config.to_dict(),
                self._description_key: deepcopy(self._description), "grid": self.grid.copy(),
                "history": deepcopy(self._history), "state": states[0] if len(states) == 1 else states}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Self:
        """Return the estimator of a tree of `to_tree`.

        Parameters
        ----------
        tree : dict

        Returns
        -------
        RedshiftEstimator or CatalogEstimator

        Raises
        ------
        ValueError
            If a part is missing, does not fit the others, or the format is newer than this package reads.
        """
        missing = {"format", "config", cls._description_key, "grid", "history", "state"} - set(tree)
        if missing:
            raise ValueError(f"tree lacks {', '.join(sorted(missing))}")
        if tree["format"] not in _FORMATS:
            raise ValueError(f"tree has format {tree['format']}, this package reads {' and '.join(map(str, _FORMATS))}")
        config = cls._config_class().changed(**tree["config"])
        states = [tree["state"]] if tree["format"] == 1 else tree["state"]
        if len(states) != config.n_members:
            raise ValueError(f"tree['state'] has {len(states)} members, tree['config'] says {config.n_members}")

        def build():
            return cls(tree[cls._description_key], tree["grid"], config, history=tree["history"])

        with torch_defaults(), torch.random.fork_rng(devices=[]):
            for arrays in states:
                check_weights(lambda: build()._model, {}, arrays, "estimator")
            estimator = build()
        for model, arrays in zip(estimator._models, states, strict=True):
            state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
            wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
            if {name: tuple(value.shape) for name, value in state.items()} != wanted:
                raise ValueError("the arrays in tree['state'] do not fit the architecture in tree['config']")
            model.load_state_dict(state)
        return estimator
