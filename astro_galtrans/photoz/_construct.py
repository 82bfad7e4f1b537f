"""Redshift densities made of histograms, samples and Gaussian mixtures."""

from __future__ import annotations

import warnings
from typing import Literal, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz._piecewise import blocks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

__all__ = ["from_gaussian_mixture", "from_histogram", "from_samples"]


def _floating(values, name):
    """A tensor of float32 or float64 and whether it came as a tensor."""
    if isinstance(values, torch.Tensor):
        values, as_tensor = values.detach(), True
        values = values if values.dtype == torch.float64 else values.to(torch.float32)
    else:
        values, as_tensor = torch.from_numpy(np.array(floats(values, name, dtype=float))), False
    if values.ndim != 2:
        raise ValueError(f"{name} must have two axes, the first of galaxies, got the shape {tuple(values.shape)}")
    return values, as_tensor


def _edges(grid, like, name):
    grid = as_tensor(grid if isinstance(grid, torch.Tensor) else np.array(floats(grid, name, dtype=float)))
    grid = grid.to(device=like.device, dtype=like.dtype)
    if grid.ndim != 1 or grid.numel() < 2 or not bool((torch.diff(grid) > 0).all()):
        raise ValueError(f"{name} must be at least 2 increasing redshifts, got the shape {tuple(grid.shape)}")
    return grid


def _made(cls, grid, density, as_tensor, on_invalid, interpolation):
    kind = (grid, density) if as_tensor else (grid.numpy(), density.numpy())
    return cls(*kind, on_invalid=on_invalid, interpolation=interpolation)


def _histogram(samples, edges):
    """Counts of the samples of each row between the edges, the upper end being part of the last bin."""
    cell = torch.searchsorted(edges, samples.contiguous(), right=True) - 1
    cell = torch.where(samples == edges[-1], torch.full_like(cell, edges.numel() - 2), cell)
    inside = ((cell >= 0) & (cell < edges.numel() - 1)).to(samples.dtype)
    counts = samples.new_zeros(len(samples), edges.numel() - 1)
    return counts.scatter_add_(1, cell.clamp(0, edges.numel() - 2), inside)


def _silverman(samples):
    """Bandwidth of each row: 0.9 min(standard deviation, interquartile range / 1.34) m^(-1/5)."""
    quartile = torch.quantile(samples, torch.tensor([0.25, 0.75], dtype=samples.dtype, device=samples.device), dim=1)
    spread, deviation = (quartile[1] - quartile[0]) / 1.34, samples.std(dim=1)
    smaller = torch.where(spread > 0, torch.minimum(spread, deviation), deviation)
    return 0.9 * smaller * samples.shape[1] ** -0.2


def _kernels(samples, grid, bandwidth):
    width = (_silverman(samples) if bandwidth is None else samples.new_full((len(samples),), bandwidth))[:, None]
    density = samples.new_zeros(len(samples), grid.numel())
    for column in samples.unbind(dim=1):
        density += torch.exp(-0.5 * ((grid - column[:, None]) / width) ** 2)
    return density / (samples.shape[1] * width * (2 * torch.pi) ** 0.5)


def from_histogram(
    cls, edges: ArrayLike, counts: ArrayLike | torch.Tensor, *, on_invalid: Literal["raise", "mask"] = "raise",
) -> RedshiftPDF:
    """Densities that are constant in the bins of histograms.

    Parameters
    ----------
    edges : array_like
        Edges of the bins, shape ``(n_bins + 1,)``.
    counts : array_like or `torch.Tensor`
        Counts or probabilities of the bins, not densities, shape ``(n_galaxies, n_bins)``; of any sum.
    on_invalid : {"raise", "mask"}, optional
        As of `RedshiftPDF`.

    Returns
    -------
    RedshiftPDF
        With ``interpolation="constant"``.

    Examples
    --------
    >>> from astro_galtrans.photoz import RedshiftPDF
    >>> pdf = RedshiftPDF.from_histogram([0.0, 0.1, 0.4], [[1, 3]])
    >>> pdf.density
    array([[2.5, 2.5]])
    """
    counts, as_tensor = _floating(counts, "counts")
    edges = _edges(edges, counts, "edges")
    if counts.shape[1] != edges.numel() - 1:
        raise ValueError(f"counts has {counts.shape[1]} bins a galaxy, edges are those of {edges.numel() - 1}")
    total = counts.sum(dim=1, keepdim=True)
    # Rows without any count stay as they are, for the policy on invalid rows.
    density = counts / torch.where(total > 0, total, torch.ones_like(total)) / torch.diff(edges)
    return _made(cls, edges, density, as_tensor, on_invalid, "constant")


def from_samples(
    cls, samples: ArrayLike | torch.Tensor, grid: ArrayLike, *, method: Literal["histogram", "kernel"] = "histogram",
    bandwidth: float | None = None, on_invalid: Literal["raise", "mask"] = "raise",
) -> RedshiftPDF:
    """Densities from random draws of each galaxy's redshift.

    Parameters
    ----------
    samples : array_like or `torch.Tensor`
        Shape ``(n_galaxies, n_samples)``. A row with a sample that is not finite is invalid.
    grid : array_like
        Edges of the bins, or the grid points for kernels.
    method : {"histogram", "kernel"}, optional
        Constant densities from the counts between the edges, or a sum of Gaussians at the samples, evaluated at
        the grid points.
    bandwidth : float, optional
        Standard deviation of the Gaussians. By default each galaxy has its own, of Silverman (1986, Density
        Estimation for Statistics and Data Analysis, eq. 3.31): 0.9 min(std, IQR / 1.34) n_samples^(-1/5).
    on_invalid : {"raise", "mask"}, optional
        As of `RedshiftPDF`.

    Returns
    -------
    RedshiftPDF
        Samples outside of the edges are left out, with a warning that gives the number of galaxies that had such.

    Examples
    --------
    >>> from astro_galtrans.photoz import RedshiftPDF
    >>> RedshiftPDF.from_samples([[0.1, 0.2, 0.6, 0.7]], [0.0, 0.5, 1.0]).density
    array([[1., 1.]])
    """
    if method not in ("histogram", "kernel"):
        raise ValueError(f"method must be 'histogram' or 'kernel', got {method!r}")
    if bandwidth is not None and not bandwidth > 0:
        raise ValueError(f"bandwidth must be positive, got {bandwidth!r}")
    samples, as_tensor = _floating(samples, "samples")
    grid = _edges(grid, samples, "grid")
    finite = torch.isfinite(samples).all(dim=1)
    filled = torch.where(finite[:, None], samples, grid[0])
    parts = []
    for rows in blocks(len(samples), max(grid.numel(), samples.shape[1]), samples.device):
        part = filled[rows]
        parts.append(_histogram(part, grid) if method == "histogram" else _kernels(part, grid, bandwidth))
    density = torch.cat(parts)
    # One NaN and not all, which would be a row that was masked before and go without a warning.
    density[~finite, 0] = float("nan")
    if method == "kernel":
        return _made(cls, grid, density, as_tensor, on_invalid, "linear")
    outside = int((((samples < grid[0]) | (samples > grid[-1])).any(dim=1) & finite).sum())
    if outside:
        warnings.warn(f"{outside} of {len(samples)} galaxies have samples outside of the grid, which are left out",
                      GaltransWarning, 2)
    return cls.from_histogram(grid if as_tensor else grid.numpy(), density if as_tensor else density.numpy(),
                              on_invalid=on_invalid)


def from_gaussian_mixture(
    cls, grid: ArrayLike, weights: ArrayLike | torch.Tensor, means: ArrayLike | torch.Tensor,
    stds: ArrayLike | torch.Tensor, *, interpolation: Literal["linear", "constant"] = "linear",
    on_invalid: Literal["raise", "mask"] = "raise",
) -> RedshiftPDF:
    """Densities that are sums of Gaussians.

    Parameters
    ----------
    grid : array_like
        Redshifts, shape ``(n_grid,)``.
    weights, means, stds : array_like or `torch.Tensor`
        Weight, mean and standard deviation of each Gaussian, shape ``(n_galaxies, n_gaussians)``, or such that
        they broadcast to it. Weights of any sum. A row with a negative weight or a standard deviation that is not
        positive is invalid.
    interpolation : {"linear", "constant"}, optional
        The values at the grid points with lines between them, or the exact probabilities of the bins between the
        grid points.
    on_invalid : {"raise", "mask"}, optional
        As of `RedshiftPDF`.

    Returns
    -------
    RedshiftPDF
        Cut off at the ends of the grid and normalised there, with the warning of `RedshiftPDF` where that
        changes them.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF
    >>> pdf = RedshiftPDF.from_gaussian_mixture(np.linspace(0, 1, 201), [[3, 1]], [[0.3, 0.7]], [[0.03, 0.03]])
    >>> pdf.mean().round(6)
    array([0.4])
    """
    tensors, kinds = zip(*(_floating(value, name) for value, name in (
        (weights, "weights"), (means, "means"), (stds, "stds"))))
    weights, means, stds = torch.broadcast_tensors(*(tensor.to(tensors[1]) for tensor in tensors))
    grid = _edges(grid, means, "grid")
    good = ((weights >= 0) & (stds > 0) & torch.isfinite(means)).all(dim=1)
    parts = []
    for rows in blocks(len(means), grid.numel(), means.device):
        part = means.new_zeros(len(means[rows]), grid.numel() - (interpolation == "constant"))
        for weight, mean, std in zip(*(value[rows].unbind(dim=1) for value in (weights, means, stds))):
            distance = (grid - mean[:, None]) / std[:, None]
            if interpolation == "constant":
                # Of the tail that is not close to one, or the difference has no digits left.
                sign = torch.where(distance[:, 1:] + distance[:, :-1] > 0, -1.0, 1.0).to(distance)
                tails = torch.special.ndtr(sign * distance[:, 1:]) - torch.special.ndtr(sign * distance[:, :-1])
                part += weight[:, None] * sign * tails / torch.diff(grid)
            else:
                part += (weight / std)[:, None] * torch.exp(-0.5 * distance**2) / (2 * torch.pi) ** 0.5
        parts.append(part / weights[rows].sum(dim=1, keepdim=True))
    density = torch.cat(parts)
    density[~good, 0] = float("nan")
    return _made(cls, grid, density, any(kinds), on_invalid, interpolation)
