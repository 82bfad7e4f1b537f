"""Training of a redshift estimator on the columns of a catalogue."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.photoz._catalog import PARTS, CatalogEstimator, ColumnModel, catalog_columns, network_inputs
from astro_galtrans.photoz._columns import ColumnEncoder, same_columns
from astro_galtrans.photoz._config import CatalogConfig
from astro_galtrans.photoz._members import fit_members
from astro_galtrans.photoz._targets import Targets, default_grid, redshift_array
from astro_galtrans.photoz._trainer import Sample

if TYPE_CHECKING:
    from os import PathLike

    from astropy.table import Table
    from numpy.typing import ArrayLike

__all__ = ["fit_catalog_estimator"]


def _validation_columns(validation, names, values):
    """Inputs and redshifts of ``(magnitudes, redshift[, errors[, features]])``, of the training's columns."""
    if not isinstance(validation, (tuple, list)) or not 2 <= len(validation) <= 4:
        raise ValueError("validation must be (magnitudes, redshift), (magnitudes, redshift, errors) or "
                         "(magnitudes, redshift, errors, features)")
    magnitudes, redshift, errors, features = (*validation, None, None)[:4]
    held, held_names = catalog_columns(magnitudes, errors, features)
    for name in PARTS:
        counts = [part[name].shape[1] if name in part else 0 for part in (held, values)]
        same_columns(held_names.get(name), names.get(name), *counts, f"validation {name}")
    return network_inputs(held), redshift_array(redshift, len(held["magnitudes"]), "validation redshift")


def _divided(given, held, config):
    """Inputs and redshifts of the training and of the validation galaxies."""
    train = given
    if held is None:
        rows = np.random.default_rng(config.seed).permutation(len(given[0]))
        n_held = int(round(config.validation_fraction * len(rows)))
        train, held = (tuple(array[np.sort(part)] for array in given) for part in (rows[n_held:], rows[:n_held]))
    if len(train[0]) < 2:
        raise ValueError(f"at least 2 training galaxies are needed, {len(train[0])} are left")
    return train, held


def _sample(part, encoder, grid, config, device):
    """Galaxies as tensors, without those that lack what no training galaxy lacks; None without any."""
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
    config: CatalogConfig | None = None, validation: tuple[Any, ...] | None = None,
    device: str | torch.device | None = None, progress: bool = False, checkpoint: str | PathLike | None = None,
    **overrides: Any,
) -> CatalogEstimator:
    """Train a network that reads redshift densities off magnitudes and other columns of a catalogue.

    A residual perceptron on the magnitudes, the colours of adjacent bands, the logarithms of the errors and the other
    columns, each standardised by its median and the range of its central 68 %.

    Parameters
    ----------
    magnitudes : array_like, `torch.Tensor` or `~astropy.table.Table`
        Shape ``(n_galaxies, n_bands)``, ordered by wavelength; of a table all columns count, as in
        ``table["u", "g", "r"]``. NaN or masked is missing; a stand-in such as 99 is refused.
    redshift : array_like
        True redshifts, shape ``(n_galaxies,)``.
    errors : array_like, `torch.Tensor` or `~astropy.table.Table`, optional
        Errors of the magnitudes, above 0, in the shape of ``magnitudes``. They tell the network how far to trust each
        band.
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
    A missing value counts as the median of its column, and the network is told that it is missing. What is missing
    nowhere in training must not be missing in `CatalogEstimator.predict`: such a galaxy is masked.

    As point estimate take the median of the densities, ``predict(...).median()``: it minimises the expected absolute
    error, and the NMAD is a median absolute error. The mode of "bins" scatters more: its top is uneven.

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
    if config is not None and not isinstance(config, CatalogConfig):
        raise TypeError(f"config must be a CatalogConfig, got {type(config).__name__}")
    config = (config or CatalogConfig()).changed(**overrides)
    values, names = catalog_columns(magnitudes, errors, features)
    inputs = network_inputs(values)
    redshift = redshift_array(redshift, len(inputs), "redshift")
    grid = default_grid(redshift, config.n_bins) if config.grid is None else np.array(config.grid)
    held = None if validation is None else _validation_columns(validation, names, values)
    train, held = _divided((inputs, redshift), held, config)
    description = {"names": names, **{f"n_{name}": values[name].shape[1] if name in values else 0 for name in PARTS}}
    device = torch.device("cpu" if device is None else device)
    encoder = ColumnEncoder(inputs.shape[1])
    encoder.standardise(train[0])
    samples = (_sample(train, encoder, grid, config, device), _sample(held, encoder, grid, config, device))

    def build():
        model = ColumnModel(description, grid, config)
        model.columns.load_state_dict(encoder.state_dict())
        return model.to(device)

    models, history = fit_members(build, samples, grid, config, progress, checkpoint)
    return CatalogEstimator(description, grid, config, models, history)
