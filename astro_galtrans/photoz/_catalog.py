"""A redshift estimator on the columns of a catalogue: magnitudes, their errors, and what else there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
import torch

from astro_galtrans.photoz._columns import ColumnEncoder, column_values, same_columns
from astro_galtrans.photoz._config import CatalogConfig
from astro_galtrans.photoz._model import DensityModel
from astro_galtrans.photoz._network import ColumnNetwork
from astro_galtrans.photoz._stored import StoredEstimator

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

__all__ = ["PARTS", "CatalogEstimator", "ColumnModel", "catalog_columns", "network_inputs"]

PARTS = ("magnitudes", "errors", "features")

_LARGEST_MAGNITUDE = 50.0


class ColumnModel(DensityModel):
    """Columns to the outputs of a density model."""

    def __init__(self, description, grid, config):
        super().__init__(grid, config.output)
        self.columns = ColumnEncoder(_n_inputs(description))
        self.network = ColumnNetwork(
            self.columns.n_outputs, self.n_outputs, width=config.width, depth=config.depth, dropout=config.dropout)

    def forward(self, values):
        return self.network(self.columns(values))


def _n_inputs(description):
    n_bands = description["n_magnitudes"]
    return 2 * n_bands - 1 + description["n_errors"] + description["n_features"]


def catalog_columns(magnitudes, errors, features, n=None):
    """The given columns as arrays by the name of their argument, and their names."""
    values, names = {}, {}
    for name, given in zip(PARTS, (magnitudes, errors, features)):
        if given is not None:
            values[name], names[name] = column_values(given, n, name, None if name == "features" else u.mag)
            n = len(values[name])
    beyond = np.abs(np.nan_to_num(values["magnitudes"])) > _LARGEST_MAGNITUDE
    if beyond.any():
        raise ValueError(f"magnitudes must lie within +-{_LARGEST_MAGNITUDE:g}, got {int(beyond.sum())} beyond; mark a "
                         "missing one by NaN or a mask")
    if "errors" in values:
        if values["errors"].shape != values["magnitudes"].shape:
            raise ValueError(f"errors must have the shape of magnitudes {values['magnitudes'].shape}, "
                             f"got {values['errors'].shape}")
        if np.any(values["errors"] <= 0):
            raise ValueError(f"errors must be above 0, got {int((values['errors'] <= 0).sum())} that are not")
    return values, names


def network_inputs(values):
    """Magnitudes, colours of adjacent bands, logarithms of errors, and the other columns, side by side."""
    parts = [values["magnitudes"], -np.diff(values["magnitudes"], axis=1)]
    if "errors" in values:
        parts.append(np.log10(values["errors"]))
    if "features" in values:
        parts.append(values["features"])
    return np.concatenate(parts, axis=1)


class CatalogEstimator(StoredEstimator):
    """Reads redshift densities off the columns of a catalogue; made by `fit_catalog_estimator`.

    Attributes
    ----------
    config : CatalogConfig
        The settings of the training.
    grid : ndarray
        Redshifts of its densities.
    """

    _config_class = CatalogConfig
    _description_key = "columns"
    _build = staticmethod(ColumnModel)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self._description[f'n_{name}']} {name}" for name in PARTS
                           if self._description[f"n_{name}"])
        members = f" x {self.config.n_members}" if self.config.n_members > 1 else ""
        return f"<CatalogEstimator{members}: {counts}>"

    @property
    def column_names(self) -> dict[str, list[str] | None]:
        """Names of the columns by argument, a dict of list of str; None for one that was an array or not given."""
        return {name: self._description["names"].get(name) for name in PARTS}

    def predict(
        self, magnitudes: ArrayLike | torch.Tensor | Table, errors: ArrayLike | torch.Tensor | Table | None = None,
        features: ArrayLike | torch.Tensor | Table | None = None, *, batch_size: int = 8192,
        device: str | torch.device | None = None,
    ) -> RedshiftPDF:
        """Redshift densities of galaxies.

        Parameters
        ----------
        magnitudes, errors, features : array_like, `torch.Tensor` or `~astropy.table.Table`
            The columns of the training, in its order, shape ``(n_galaxies, n_columns)`` each.
        batch_size : int, optional
            Galaxies at a time.
        device : str or `torch.device`, optional
            Where to compute; by default where tensor ``magnitudes`` are, else the CPU.

        Returns
        -------
        RedshiftPDF
            On the estimator's grid; of tensors where ``magnitudes`` is a tensor. A galaxy without the value of a column
            that had all values in training is masked, with a warning from `RedshiftPDF`.

        Raises
        ------
        ValueError
            For other columns than those of the training, or values that `fit_catalog_estimator` refuses.
        """
        values, names = catalog_columns(magnitudes, errors, features)
        for name in PARTS:
            given = values[name].shape[1] if name in values else 0
            same_columns(names.get(name), self.column_names[name], given, self._description[f"n_{name}"], name)
        is_tensor = isinstance(magnitudes, torch.Tensor)
        device = torch.device(device if device is not None else magnitudes.device if is_tensor else "cpu")
        inputs = torch.from_numpy(network_inputs(values)).float()

        def batch(rows):
            part = inputs[rows].to(device)
            return (part,), self._model.columns.usable(part)

        return self._predict(len(inputs), batch_size, device, is_tensor, batch)
