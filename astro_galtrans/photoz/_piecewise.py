"""Exact integrals of densities that are linear between the points of one shared grid; tensors in and out.

Throughout, ``grid`` has shape ``(n_grid,)``, ``density`` ``(n_galaxies, n_grid)``, and ``cumulative`` is the integral
of the density up to each grid point. The density is zero outside the grid.
"""

import torch

__all__ = [
    "crps_of", "cumulative_of", "evaluate_at", "integral_of_square", "mean_of", "probability_below", "quantile_of",
    "refined_mode", "trapezoid_weights",
]


def trapezoid_weights(grid):
    """Weights that turn values at the grid points into the integral of the line through them."""
    half = 0.5 * torch.diff(grid)
    zero = torch.zeros(1, dtype=grid.dtype, device=grid.device)
    return torch.cat([half, zero]) + torch.cat([zero, half])


def cumulative_of(grid, density):
    """Integral of the density from the first grid point to each grid point."""
    cells = 0.5 * (density[:, 1:] + density[:, :-1]) * torch.diff(grid)
    return torch.nn.functional.pad(torch.cumsum(cells, dim=1), (1, 0))


def _cell_of(grid, redshift):
    """Index of the lower grid point of the cell of each redshift, the outermost cells for those outside."""
    return (torch.searchsorted(grid, redshift.contiguous(), right=True) - 1).clamp(0, grid.numel() - 2)


def _line_in_cell(grid, density, cell):
    """Lower grid point, density there and slope of the density in the cells, each of the shape of ``cell``."""
    left, right = density.gather(1, cell), density.gather(1, cell + 1)
    return grid[cell], left, (right - left) / (grid[cell + 1] - grid[cell])


def evaluate_at(grid, density, redshift):
    """Density at redshifts of shape ``(n_galaxies, m)``."""
    start, left, slope = _line_in_cell(grid, density, _cell_of(grid, redshift))
    value = left + slope * (redshift - start)
    return torch.where((redshift < grid[0]) | (redshift > grid[-1]), torch.zeros_like(value), value)


def probability_below(grid, density, cumulative, redshift):
    """Cumulative probability at redshifts of shape ``(n_galaxies, m)``: a parabola in each cell."""
    inside = redshift.clamp(grid[0], grid[-1])
    cell = _cell_of(grid, inside)
    start, left, slope = _line_in_cell(grid, density, cell)
    step = inside - start
    return (cumulative.gather(1, cell) + step * (left + 0.5 * slope * step)).clamp(max=1.0)


def quantile_of(grid, density, cumulative, probability):
    """Lowest redshift with at least the cumulative probability, which has the shape ``(n_galaxies, m)``."""
    wanted = probability * cumulative[:, -1:]
    cell = (torch.searchsorted(cumulative.contiguous(), wanted.contiguous()) - 1).clamp(0, grid.numel() - 2)
    start, left, slope = _line_in_cell(grid, density, cell)
    missing = (wanted - cumulative.gather(1, cell)).clamp(min=0)
    # The root of the cell's parabola in the form that loses no digits for a small slope.
    divisor = left + torch.sqrt((left**2 + 2 * slope * missing).clamp(min=0))
    tiny = torch.finfo(divisor.dtype).tiny
    step = torch.where(divisor > tiny, 2 * missing / divisor.clamp(min=tiny), torch.zeros_like(divisor))
    return torch.minimum(start + step, grid[cell + 1])


def mean_of(grid, density):
    """Mean redshift: the integral of redshift times density, cell by cell."""
    low, high = grid[:-1], grid[1:]
    left, right = density[:, :-1], density[:, 1:]
    return ((high - low) / 6 * (low * (2 * left + right) + high * (left + 2 * right))).sum(dim=1)


def refined_mode(grid, density, refine):
    """Grid point of the largest density, or the vertex of the parabola through it and its two neighbours."""
    top = density.argmax(dim=1, keepdim=True)
    peak = grid[top[:, 0]]
    if not refine or grid.numel() < 3:
        return peak
    middle = top.clamp(1, grid.numel() - 2)
    below, above = grid[middle[:, 0] - 1] - peak, grid[middle[:, 0] + 1] - peak
    height = density.gather(1, middle)[:, 0]
    fall_below = height - density.gather(1, middle - 1)[:, 0]
    fall_above = height - density.gather(1, middle + 1)[:, 0]
    divisor = below * fall_above - above * fall_below
    shift = (below**2 * fall_above - above**2 * fall_below) / (2 * divisor)
    usable = (top[:, 0] == middle[:, 0]) & (divisor < 0)
    return torch.where(usable, peak + shift, peak)


def integral_of_square(grid, density):
    """Integral of the squared density, the exact one of the piecewise-linear function."""
    left, right = density[:, :-1], density[:, 1:]
    return (torch.diff(grid) / 3 * (left**2 + left * right + right**2)).sum(dim=1)


def _integral_in_cells(cumulative, density, width, lower, upper, fall):
    """Integral of the squared (``fall=0``) cumulative probability, or of its complement squared (``fall=1``).

    From ``lower`` to ``upper``, given as distances from the cells' start. The integrand is a quartic, so that three
    Gauss-Legendre nodes are exact.
    """
    left, slope, base = density[0], (density[1] - density[0]) / width, cumulative
    half, centre = 0.5 * (upper - lower), 0.5 * (upper + lower)
    total = torch.zeros_like(half * left)
    for node, weight in ((-0.6**0.5, 5 / 9), (0.0, 8 / 9), (0.6**0.5, 5 / 9)):
        step = centre + node * half
        total = total + weight * (base + step * (left + 0.5 * slope * step) - fall) ** 2
    return total * half


def crps_of(grid, density, cumulative, redshift):
    """Continuous ranked probability score of each galaxy for one redshift each, shape ``(n_galaxies,)``."""
    width = torch.diff(grid)
    inside = redshift.clamp(grid[0], grid[-1])
    # Each cell is integrated below the redshift as F squared and above it as 1 - F squared.
    split = torch.minimum((inside[:, None] - grid[:-1]).clamp(min=0), width)
    lines = (density[:, :-1], density[:, 1:])
    zero = torch.zeros_like(split)
    below = _integral_in_cells(cumulative[:, :-1], lines, width, zero, split, 0.0)
    above = _integral_in_cells(cumulative[:, :-1], lines, width, split, width.expand_as(split), 1.0)
    return (below + above).sum(dim=1) + (redshift - inside).abs()
