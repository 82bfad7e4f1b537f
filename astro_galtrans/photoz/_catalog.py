"""Redshift estimator on the columns of a catalog: magnitudes, their errors, and other columns."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

import astropy.units as u
import numpy as np
import torch

from astro_galtrans._utils.validation import configured
from astro_galtrans._utils.torch_state import checked_device, torch_defaults
from astro_galtrans.photoz._config import CatalogConfig
from astro_galtrans.photoz._inputs import ColumnEncoder, column_values, same_columns
from astro_galtrans.photoz._members import Sample, Targets, fit_members, redshift_array, redshift_grid, validation_parts
from astro_galtrans.photoz._network import ColumnNetwork, DensityModel
from astro_galtrans.photoz._stored import StoredEstimator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astropy.table import Table
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

__all__ = ["CatalogEstimator", "fit_catalog_estimator"]

_PARTS = ("magnitudes", "errors", "features")
_LARGEST_MAGNITUDE = 50.0


class _ColumnModel(DensityModel):
    """From columns to the outputs of a density model."""

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


def _catalog_columns(magnitudes, errors, features, n=None):
    """Return the given columns as arrays by the name of their argument, and their names."""
    values, names = {}, {}
    for name, given in zip(_PARTS, (magnitudes, errors, features)):
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


def _network_inputs(values):
    """Return magnitudes, colors of adjacent bands, logarithms of errors, and the other columns, side by side."""
    parts = [values["magnitudes"], -np.diff(values["magnitudes"], axis=1)]
    if "errors" in values:
        parts.append(np.log10(values["errors"]))
    if "features" in values:
        parts.append(values["features"])
    return np.concatenate(parts, axis=1)


class CatalogEstimator(StoredEstimator):
    """Redshift estimator on the columns of a catalog, the result of `fit_catalog_estimator`.

    Attributes
    ----------
    config : CatalogConfig
        Settings of the training.
    grid : ndarray
        Redshifts of the densities.
    """

    config: CatalogConfig
    _config_class = CatalogConfig
    _description_key = "columns"

    def _build(self):
        return _ColumnModel(self._description, self.grid, self.config)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self._description[f'n_{name}']} {name}" for name in _PARTS
                           if self._description[f"n_{name}"])
        members = f" x {self.config.n_members}" if self.config.n_members > 1 else ""
        return f"<CatalogEstimator{members}: {counts}>"

    @property
    def column_names(self) -> dict[str, list[str] | None]:
        """Names of the columns by argument, a dict of list of str; None for one that was an array or not given."""
        return {name: self._description["names"].get(name) for name in _PARTS}

    def predict(
        self, magnitudes: ArrayLike | torch.Tensor | Table, errors: ArrayLike | torch.Tensor | Table | None = None,
        features: ArrayLike | torch.Tensor | Table | None = None, *, batch_size: int = 8192,
        device: str | torch.device | None = None,
    ) -> RedshiftPDF:
        """Return redshift densities of galaxies.

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
            Densities on ``grid``, as tensors where ``magnitudes`` is a tensor. A galaxy without the value of a column
            that had all values in training is masked, with a warning from `RedshiftPDF`.

        Raises
        ------
        ValueError
            For other columns than those of the training, or values that `fit_catalog_estimator` refuses.
        """
        values, names = _catalog_columns(magnitudes, errors, features)
        for name in _PARTS:
            given = values[name].shape[1] if name in values else 0
            same_columns(names.get(name), self.column_names[name], given, self._description[f"n_{name}"], name)
        is_tensor = isinstance(magnitudes, torch.Tensor)
        if device is None:
            device = magnitudes.device if isinstance(magnitudes, torch.Tensor) else "cpu"
        device = checked_device(device)
        inputs = torch.from_numpy(_network_inputs(values)).float()

        def batch(rows):
            part = inputs[rows].to(device)
            return (part,), self._model.columns.usable(part)

        return self._predict(len(inputs), batch_size, device, is_tensor, batch)


def _validation_columns(validation, names, values):
    """Return inputs and redshifts of the given validation galaxies, which have the columns of the training."""
    magnitudes, redshift, errors, features = validation_parts(validation, "magnitudes", "errors")
    held, held_names = _catalog_columns(magnitudes, errors, features)
    for name in _PARTS:
        counts = [part[name].shape[1] if name in part else 0 for part in (held, values)]
        same_columns(held_names.get(name), names.get(name), *counts, f"validation {name}")
    return _network_inputs(held), redshift_array(redshift, len(held["magnitudes"]), "validation redshift")


def _split(inputs, redshift, config):
    """Return inputs and redshifts of training galaxies and, set aside from them, of validation galaxies."""
    rows = np.random.default_rng(config.seed).permutation(len(inputs))
    n_held = int(round(config.validation_fraction * len(rows)))
    return [(inputs[np.sort(part)], redshift[np.sort(part)]) for part in (rows[n_held:], rows[:n_held])]


def _sample(part, encoder, grid, config, device):
    """Return galaxies as tensors, without those that lack a value that all training galaxies have; None if empty."""
    inputs, redshift = part
    usable = encoder.usable(torch.from_numpy(inputs)).numpy()
    if not usable.any():
        return None
    inputs = torch.from_numpy(inputs[usable]).to(device, torch.float32)
    return Sample((inputs,), Targets(redshift[usable], grid, config, device))


@torch_defaults()
def fit_catalog_estimator(
    magnitudes: ArrayLike | torch.Tensor | Table, redshift: ArrayLike, *,
    errors: ArrayLike | torch.Tensor | Table | None = None, features: ArrayLike | torch.Tensor | Table | None = None,
    config: CatalogConfig | None = None, validation: Sequence[ArrayLike | Table | None] | None = None,
    device: str | torch.device | None = None, progress: bool = False, checkpoint: str | PathLike | None = None,
    **overrides: Any,
) -> CatalogEstimator:
    """Train a network that estimates redshift densities from magnitudes and other columns of a catalog.

    The network is a residual perceptron on the magnitudes, the colors of adjacent bands, the logarithms of the errors
    and the other columns, each standardized by its median and the range of its central 68 %.

    Parameters
    ----------
    magnitudes : array_like, `torch.Tensor` or `~astropy.table.Table`
        Shape ``(n_galaxies, n_bands)``, ordered by wavelength; of a table all columns count, as in
        ``table["u", "g", "r"]``. NaN or masked is missing; a stand-in such as 99 is refused.
    redshift : array_like
        True redshifts, shape ``(n_galaxies,)``.
    errors : array_like, `torch.Tensor` or `~astropy.table.Table`, optional
        Errors of the magnitudes, above 0, in the shape of ``magnitudes``.
    features : array_like, `torch.Tensor` or `~astropy.table.Table`, optional
        Other columns, such as sizes or E(B-V), shape ``(n_galaxies, n_features)``.
    config : CatalogConfig, optional
        Settings.
    validation : tuple, optional
        ``(magnitudes, redshift)``, ``(magnitudes, redshift, errors)`` or ``(magnitudes, redshift, errors, features)``
        of the galaxies on which the best epoch is chosen; errors may be None. By default
        ``config.validation_fraction`` of the training galaxies is set aside for it.
    device : str or `torch.device`, optional
        Where to train, the CPU by default.
    progress : bool, optional
        Show a progress bar.
    checkpoint : str or path-like, optional
        Folder of the training's state, as for `fit_redshift_estimator`.
    **overrides
        Settings of `CatalogConfig` that differ from ``config``, as ``n_members=1, seed=1``.

    Returns
    -------
    CatalogEstimator

    Raises
    ------
    ValueError
        For shapes that do not fit, infinite values, magnitudes beyond 50, errors not above 0, a column without any
        value, or too few galaxies.
    TypeError
        For a setting that does not exist or a column of text.

    Notes
    -----
    A missing value counts as the median of its column, and a further input says that it is missing. A galaxy that
    lacks the value of a column that is complete in training is masked in `CatalogEstimator.predict`.

    Use the median of the densities, ``predict(...).median()``, as point estimate. It minimizes the expected absolute
    error. The mode of "bins" has a larger scatter.

    The state of the global random number generators is left as it was. On one device, with one number of threads, the
    same seed gives the same estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import fit_catalog_estimator, point_metrics
    >>> rng = np.random.default_rng(0)
    >>> z = rng.uniform(0.02, 0.3, 400)
    >>> magnitudes = 18 + np.outer(z, [5, 2, 0]) + 0.02 * rng.normal(size=(400, 3))
    >>> settings = {"width": 32, "epochs": 20, "batch_size": 16, "n_members": 1}
    >>> estimator = fit_catalog_estimator(magnitudes[:300], z[:300], **settings)
    >>> pdf = estimator.predict(magnitudes[300:])
    >>> point_metrics(pdf.median(), z[300:])["nmad"] < 0.02
    True
    """
    config = configured(CatalogConfig, config, overrides, function=fit_catalog_estimator)
    device = checked_device("cpu" if device is None else device)
    values, names = _catalog_columns(magnitudes, errors, features)
    inputs = _network_inputs(values)
    redshift = redshift_array(redshift, len(inputs), "redshift")
    grid = redshift_grid(redshift, config)
    if validation is None:
        train, held = _split(inputs, redshift, config)
    else:
        train, held = (inputs, redshift), _validation_columns(validation, names, values)
    if len(train[0]) < 2:
        raise ValueError(f"at least 2 training galaxies are needed, {len(train[0])} are left")
    description = {"names": names, **{f"n_{name}": values[name].shape[1] if name in values else 0 for name in _PARTS}}
    encoder = ColumnEncoder(inputs.shape[1])
    encoder.standardize(train[0])
    samples = (_sample(train, encoder, grid, config, device), _sample(held, encoder, grid, config, device))

    def build():
        model = _ColumnModel(description, grid, config)
        model.columns.load_state_dict(encoder.state_dict())
        return model.to(device)

    models, history = fit_members(build, samples, grid, config, progress, checkpoint)
    return CatalogEstimator(description, grid, config, models, history)
