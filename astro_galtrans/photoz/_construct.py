"""Densities on a grid from histograms, samples, Gaussian mixtures and densities on other grids; tensors in and out.

Grids and densities are those of `astro_galtrans.photoz._piecewise`.
"""

import numpy as np
import torch

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.photoz import _piecewise
from astro_galtrans.photoz._piecewise import blocks

__all__ = ["as_grid", "as_rows", "binned", "from_counts", "from_mixture", "from_samples", "projected"]


def as_grid(grid, name, like):
    """Return increasing redshifts as a tensor of its own, of the type and on the device of ``like``."""
    values = as_tensor(grid if isinstance(grid, torch.Tensor) else np.array(floats(grid, name, dtype=float)))
    values = values.detach().to(device=like.device, dtype=like.dtype)
    if values.ndim != 1 or values.numel() < 2:
        raise ValueError(f"{name} must be at least 2 increasing redshifts, got shape {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()) or not bool((torch.diff(values) > 0).all()):
        raise ValueError(f"{name} must be at least 2 increasing, finite redshifts, got {values.tolist()[:5]} ...")
    return values


def as_rows(values, name):
    """Return an array as a tensor of float32 or float64 with two axes, the first of galaxies."""
    if isinstance(values, torch.Tensor):
        values = values.detach()
        values = values if values.dtype == torch.float64 else values.to(torch.float32)
    else:
        values = torch.from_numpy(np.array(floats(values, name, dtype=float)))
    if values.ndim != 2:
        raise ValueError(f"{name} must have two axes, shape (n_galaxies, n_{name}), got {tuple(values.shape)}")
    return values


def from_counts(edges, counts):
    """Return the densities in the bins of histograms; rows without any count are zero."""
    total = counts.sum(dim=1, keepdim=True)
    return counts / torch.where(total > 0, total, torch.ones_like(total)) / torch.diff(edges)


def _counts(samples, edges):
    """Return the number of samples of each row between the edges; the last bin includes its upper edge."""
    cell = torch.searchsorted(edges, samples.contiguous(), right=True) - 1
    cell = torch.where(samples == edges[-1], torch.full_like(cell, edges.numel() - 2), cell)
    inside = ((cell >= 0) & (cell < edges.numel() - 1)).to(samples.dtype)
    counts = samples.new_zeros(len(samples), edges.numel() - 1)
    return counts.scatter_add_(1, cell.clamp(0, edges.numel() - 2), inside)


def _silverman(samples):
    """Return the bandwidth of each row: 0.9 min(standard deviation, interquartile range / 1.34) m^(-1/5)."""
    quartile = torch.quantile(samples, torch.tensor([0.25, 0.75], dtype=samples.dtype, device=samples.device), dim=1)
    spread, deviation = (quartile[1] - quartile[0]) / 1.34, samples.std(dim=1)
    smaller = torch.where(spread > 0, torch.minimum(spread, deviation), deviation)
    return 0.9 * smaller * samples.shape[1] ** -0.2


def _kernels(samples, grid, bandwidth):
    """Return the mean of Gaussians at the samples of each row, at the grid points."""
    width = (_silverman(samples) if bandwidth is None else samples.new_full((len(samples),), bandwidth))[:, None]
    density = samples.new_zeros(len(samples), grid.numel())
    for column in samples.unbind(dim=1):
        density += torch.exp(-0.5 * ((grid - column[:, None]) / width) ** 2)
    return density / (samples.shape[1] * width * (2 * torch.pi) ** 0.5)


def from_samples(samples, grid, method, bandwidth):
    """Return densities in the bins of the edges ``grid``, or kernel densities at its points, from samples.

    A row with a sample that is not finite has one NaN.
    """
    finite = torch.isfinite(samples).all(dim=1)
    filled = torch.where(finite[:, None], samples, grid[0])
    parts = []
    for rows in blocks(len(samples), max(grid.numel(), samples.shape[1]), samples.device):
        part = filled[rows]
        parts.append(from_counts(grid, _counts(part, grid)) if method == "histogram" else
                     _kernels(part, grid, bandwidth))
    density = torch.cat(parts)
    # Rows of NaN throughout count as masked before, and give no warning.
    density[~finite, 0] = float("nan")
    return density


def _gaussian(grid, mean, std, interpolation):
    """Return a normalized Gaussian of each galaxy at the grid points, or its mean in the bins between them."""
    distance = (grid - mean[:, None]) / std[:, None]
    if interpolation == "linear":
        return torch.exp(-0.5 * distance**2) / (std[:, None] * (2 * torch.pi) ** 0.5)
    # The tail that is not close to one; the difference of the other has no digits left.
    sign = torch.where(distance[:, 1:] + distance[:, :-1] > 0, -1.0, 1.0).to(distance)
    tails = torch.special.ndtr(sign * distance[:, 1:]) - torch.special.ndtr(sign * distance[:, :-1])
    return sign * tails / torch.diff(grid)


def from_mixture(grid, weights, means, stds, interpolation):
    """Return sums of Gaussians; a row with a negative weight or a deviation that is not positive has one NaN."""
    good = ((weights >= 0) & (stds > 0) & torch.isfinite(means)).all(dim=1)
    parts = []
    for rows in blocks(len(means), grid.numel(), means.device):
        part = means.new_zeros(len(means[rows]), grid.numel() - (interpolation == "constant"))
        for weight, mean, std in zip(*(value[rows].unbind(dim=1) for value in (weights, means, stds))):
            part += weight[:, None] * _gaussian(grid, mean, std, interpolation)
        parts.append(part / weights[rows].sum(dim=1, keepdim=True))
    density = torch.cat(parts)
    density[~good, 0] = float("nan")
    return density


def binned(grid, density, edges):
    """Return the mean density in bins, from their exact probabilities."""
    below = _piecewise.probability_below(grid, density, edges.expand(len(density), -1).contiguous())
    return torch.diff(below, dim=1).clamp(min=0) / torch.diff(edges)


def _integrals_at(grid, density, redshift):
    """Return the cumulative probability, and its integral, up to redshifts common to all rows."""
    cumulative = _piecewise.cumulative_of(grid, density)
    second = _piecewise.second_cumulative_of(grid, density, cumulative)
    wide = redshift.clamp(grid[0], grid[-1]).expand(len(density), -1).contiguous()
    cell = _piecewise.cell_of(grid, wide)
    start, left, slope = _piecewise.line_in_cell(grid, density, cell)
    step = wide - start
    first = cumulative.gather(1, cell)
    beyond = (redshift - grid[-1]).clamp(min=0) * cumulative[:, -1:]
    return (first + step * (left + 0.5 * slope * step),
            second.gather(1, cell) + step * (first + step * (left / 2 + slope * step / 6)) + beyond)


def _hat_integrals(grid, density, points):
    """Return the integral of the density times the hat function of each point."""
    below, integral = _integrals_at(grid, density, points)
    mean = torch.diff(integral, dim=1) / torch.diff(points)
    lower, upper = mean - below[:, :-1], below[:, 1:] - mean
    return (torch.nn.functional.pad(lower, (0, 1)) + torch.nn.functional.pad(upper, (1, 0))).clamp(min=0)


def projected(grid, density, points):
    """Return values at the points of the line with the probability and mean of the density about each point.

    The L2 projection has the integral of the density with each hat function. Where it is negative the result is
    closer to the projection with the diagonal mass matrix, by a limited flow of probability between neighbors
    (Zalesak 1979, J. Comput. Phys. 31, 335).
    """
    pad = torch.nn.functional.pad
    moments, width = _hat_integrals(grid, density, points), torch.diff(points)
    weights = _piecewise.trapezoid_weights(points)
    mass = torch.diag(weights * (2 / 3)) + torch.diag(width / 6, 1) + torch.diag(width / 6, -1)
    sharp, smooth = torch.linalg.solve(mass, moments.T).T, moments / weights
    # From the smooth to the sharp one probability flows between neighbors; no point gives more than it has.
    flow = (sharp[:, :-1] - sharp[:, 1:]) * (width / 6)
    given = pad((-flow).clamp(min=0), (0, 1)) + pad(flow.clamp(min=0), (1, 0))
    share = (moments / given.clamp(min=torch.finfo(density.dtype).tiny)).clamp(max=1)
    flow = flow * torch.where(flow < 0, share[:, :-1], share[:, 1:])
    return (smooth + (pad(flow, (0, 1)) - pad(flow, (1, 0))) / weights).clamp(min=0)
