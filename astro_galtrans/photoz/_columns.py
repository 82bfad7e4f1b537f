"""Catalogue columns as network inputs: standardised, with missing values told apart."""

import astropy.units as u
import numpy as np
import torch
from astropy.table import Table
from torch import nn

from astro_galtrans._utils.masked import floats, split
from astro_galtrans._utils.torch_state import as_tensor

__all__ = ["ColumnEncoder", "column_values", "same_columns"]

_CLIP = 8.0


def column_values(columns, n, name, unit=None):
    """Columns as an array of float64 with NaN where they are masked, and their names (None for an array).

    Parameters
    ----------
    columns : array_like, `torch.Tensor` or `~astropy.table.Table`
        Shape ``(n, n_columns)``; of one column also ``(n,)``.
    n : int or None
        The number of galaxies that is expected.
    name : str
        Of the argument, for messages.
    unit : `~astropy.units.Unit`, optional
        What columns with a unit are converted to; AB and ST magnitudes are in mag.
    """
    names = None
    if isinstance(columns, Table):
        names = list(columns.colnames)
        values = np.empty((len(columns), len(names)))
        for i, column in enumerate(names):
            one = _floats(columns[column], f"{name}[{column!r}]", unit)
            values[:, i] = one.reshape(len(columns))
    else:
        values = _floats(columns, name, unit)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] == 0 or (n is not None and len(values) != n):
        wanted = "n_galaxies" if n is None else n
        raise ValueError(f"{name} must have the shape ({wanted}, n_columns), got {values.shape}")
    if np.isinf(values).any():
        raise ValueError(f"{name} must not be infinite, got {int(np.isinf(values).sum())} such values; a missing value "
                         "is NaN or masked")
    return values, names


def _floats(column, name, unit):
    parts = split(column, name)
    if unit is not None and isinstance(parts.unit, u.MagUnit):
        parts = parts._replace(unit=parts.unit.function_unit)
    return floats(parts, name, unit=unit, dtype=float, kinds="iufb")


def same_columns(given, trained, n_given, n_trained, name):
    """Refuse other columns than those of the training."""
    if n_given != n_trained or (given is not None and trained is not None and list(given) != list(trained)):
        raise ValueError(f"{name} must have the {n_trained} columns of the training{_listed(trained)}, "
                         f"got {n_given}{_listed(given)}")


def _listed(names):
    return "" if names is None else f" ({', '.join(names)})"


class ColumnEncoder(nn.Module):
    """Standardises columns; a missing value (NaN) counts as the median, beside a flag that says it is missing.

    Centre and scale are the median and half the range of the central 68 % over the training galaxies. The flag of a
    column that is complete in training is never raised: nothing was learned about its absence.
    """

    def __init__(self, n_columns):
        super().__init__()
        self.n_columns, self.n_outputs = n_columns, 2 * n_columns
        self.register_buffer("centre", torch.zeros(n_columns))
        self.register_buffer("scale", torch.ones(n_columns))
        self.register_buffer("can_miss", torch.zeros(n_columns, dtype=torch.bool))

    def usable(self, values):
        """False for galaxies that miss what was complete in training, bool of shape ``(n,)``."""
        return ~(torch.isnan(values) & ~self.can_miss).any(dim=1)

    def forward(self, values):
        """Columns of shape ``(n, n_columns)`` as inputs of shape ``(n, n_outputs)``."""
        missing = torch.isnan(values)
        scaled = torch.where(missing, torch.zeros_like(values), (values - self.centre) / self.scale)
        return torch.cat([scaled.clamp(-_CLIP, _CLIP), (missing & self.can_miss).to(scaled.dtype)], dim=1)

    def standardise(self, values):
        """Set centre and scale from the training galaxies, an array of shape ``(n, n_columns)``."""
        empty = np.flatnonzero(np.isnan(values).all(axis=0))
        if empty.size:
            raise ValueError(f"column {empty[0]} has no value in any training galaxy")
        low, centre, high = np.nanpercentile(values, [16, 50, 84], axis=0)
        width, spread = 0.5 * (high - low), np.nanstd(values, axis=0)
        scale = np.where(width > 1e-9, width, np.where(spread > 1e-9, spread, 1.0))
        missing = np.isnan(values).any(axis=0)
        for buffer, value in ((self.centre, centre), (self.scale, scale), (self.can_miss, missing)):
            buffer.copy_(as_tensor(value))
