"""Exact integrals of densities that are linear or constant between the points of one grid; tensors in and out.

Throughout, ``grid`` has shape ``(n_grid,)``. A ``density`` of shape ``(n_galaxies, n_grid)`` is linear between the grid
points, one of shape ``(n_galaxies, n_grid - 1)`` is constant between them; it is zero outside the grid in both cases.
``cumulative`` is the integral of the density up to each grid point, of shape ``(n_galaxies, n_grid)``; it is computed
if it is not given.
"""

import torch

__all__ = [
    "blocks", "cell_of", "credible_level_of", "crps_of", "cumulative_of", "ends_of", "entropy_of", "evaluate_at",
    "integral_of_square", "line_in_cell", "mass_of", "mean_of", "measure_of", "probability_below", "quantile_of",
    "refined_mode", "second_cumulative_of", "trapezoid_weights", "variance_of",
]

# Elements of one block of galaxies: on a CPU its temporary arrays stay in the cache.
_BLOCK = {"cpu": 2**18}
_ACCELERATOR_BLOCK = 2**23


def blocks(n_rows, n_columns, device):
    """Yield slices that divide the rows of an array into blocks of a size that the device computes fast."""
    step = max(1, _BLOCK.get(torch.device(device).type, _ACCELERATOR_BLOCK) // max(1, n_columns))
    for start in range(0, max(n_rows, 1), step):
        yield slice(start, min(start + step, n_rows))


def trapezoid_weights(grid):
    """Return weights that turn values at the grid points into the integral of the line through them."""
    half = 0.5 * torch.diff(grid)
    zero = torch.zeros(1, dtype=grid.dtype, device=grid.device)
    return torch.cat([half, zero]) + torch.cat([zero, half])


def measure_of(grid, n_columns):
    """Return weights that turn the columns of a density into its integral: trapezoid weights or cell widths."""
    return trapezoid_weights(grid) if n_columns == grid.numel() else torch.diff(grid)


def ends_of(grid, density):
    """Return the density at the lower and at the upper end of each cell, each of shape ``(n_galaxies, n_grid - 1)``."""
    return (density[:, :-1], density[:, 1:]) if density.shape[1] == grid.numel() else (density, density)


def mass_of(grid, density):
    """Return the probability of each cell, shape ``(n_galaxies, n_grid - 1)``."""
    left, right = ends_of(grid, density)
    return torch.add(left, right).mul_(0.5 * torch.diff(grid))


def _summed(cells):
    """Return the sums of the cells before each grid point."""
    total = cells.new_zeros(cells.shape[0], cells.shape[1] + 1)
    torch.cumsum(cells, dim=1, out=total[:, 1:])
    return total


def cumulative_of(grid, density):
    """Return the integral of the density from the first grid point to each grid point."""
    return _summed(mass_of(grid, density))


def second_cumulative_of(grid, density, cumulative):
    """Return the integral of the cumulative probability from the first grid point to each grid point."""
    left, right = ends_of(grid, density)
    width = torch.diff(grid)
    mean = 0.5 * (cumulative[:, 1:] + cumulative[:, :-1])
    return _summed(width * (mean - (right - left) * (width / 12)))


def cell_of(grid, redshift):
    """Return the index of the lower grid point of the cell of each redshift, an outermost cell for those outside."""
    return (torch.searchsorted(grid, redshift.contiguous(), right=True) - 1).clamp(0, grid.numel() - 2)


def line_in_cell(grid, density, cell):
    """Return the lower grid point, the density there and its slope in the cells, each of the shape of ``cell``."""
    left = density.gather(1, cell)
    if density.shape[1] < grid.numel():
        return grid[cell], left, torch.zeros_like(left)
    right = density.gather(1, cell + 1)
    return grid[cell], left, (right - left) / (grid[cell + 1] - grid[cell])


def evaluate_at(grid, density, redshift):
    """Return the density at redshifts of shape ``(n_galaxies, m)``."""
    start, left, slope = line_in_cell(grid, density, cell_of(grid, redshift))
    value = left + slope * (redshift - start)
    return torch.where((redshift < grid[0]) | (redshift > grid[-1]), torch.zeros_like(value), value)


def probability_below(grid, density, redshift, cumulative=None):
    """Return the cumulative probability at redshifts of shape ``(n_galaxies, m)``: a parabola in each cell."""
    cumulative = cumulative_of(grid, density) if cumulative is None else cumulative
    inside = redshift.clamp(grid[0], grid[-1])
    cell = cell_of(grid, inside)
    start, left, slope = line_in_cell(grid, density, cell)
    step = inside - start
    return (cumulative.gather(1, cell) + step * (left + 0.5 * slope * step)).clamp(max=1.0)


def quantile_of(grid, density, probability):
    """Return the lowest redshift with at least the cumulative probability, of shape ``(n_galaxies, m)``."""
    cumulative = cumulative_of(grid, density)
    wanted = probability * cumulative[:, -1:]
    cell = (torch.searchsorted(cumulative.contiguous(), wanted.contiguous()) - 1).clamp(0, grid.numel() - 2)
    start, left, slope = line_in_cell(grid, density, cell)
    missing = (wanted - cumulative.gather(1, cell)).clamp(min=0)
    # The root of the cell's parabola in the form that loses no digits for a small slope.
    divisor = left + torch.sqrt((left**2 + 2 * slope * missing).clamp(min=0))
    tiny = torch.finfo(divisor.dtype).tiny
    step = torch.where(divisor > tiny, 2 * missing / divisor.clamp(min=tiny), torch.zeros_like(divisor))
    return torch.minimum(start + step, grid[cell + 1])


def mean_of(grid, density):
    """Return the mean redshift: the integral of redshift times density, cell by cell."""
    low, high = grid[:-1], grid[1:]
    left, right = ends_of(grid, density)
    return ((high - low) / 6 * (low * (2 * left + right) + high * (left + 2 * right))).sum(dim=1)


def variance_of(grid, density):
    """Return the variance of the redshift: a cubic in each cell, for which two Gauss-Legendre nodes are exact."""
    left, right = ends_of(grid, density)
    width, center = torch.diff(grid), 0.5 * (grid[1:] + grid[:-1])
    mean = mean_of(grid, density)[:, None]
    total = torch.zeros_like(mean[:, 0])
    for node in (-(3**-0.5), 3**-0.5):
        part = 0.5 * (1 + node)
        value = left + part * (right - left)
        total = total + (0.5 * width * value * (center + 0.5 * node * width - mean) ** 2).sum(dim=1)
    return total


def entropy_of(grid, density):
    """Return the differential entropy in nats: the integral of -p ln p, cell by cell in closed form."""
    left, right = ends_of(grid, density)
    middle, half = 0.5 * (left + right), 0.5 * (right - left)

    def primitive(value):
        return value * (torch.xlogy(value, value) / 2 - value / 4)

    # The difference of nearly equal ends has no digits left; the series of the mean about the middle has.
    tiny = torch.finfo(density.dtype).tiny
    ratio = half / middle.clamp(min=tiny)
    flat = ratio.abs() < 0.02
    series = torch.xlogy(middle, middle) + middle * (ratio**2 / 6 + ratio**4 / 60)
    exact = (primitive(right) - primitive(left)) / torch.where(flat, torch.ones_like(half), 2 * half)
    return -(torch.diff(grid) * torch.where(flat, series, exact)).sum(dim=1)


def credible_level_of(grid, density, redshift):
    """Return the probability of all redshifts with at least the density at one redshift per galaxy.

    In a cell with the density l and r at its ends, and l' and r' the larger of these and the threshold, it is the
    width times (r'^2 - l'^2) / (2 (r - l)). Both have the shape ``(n_galaxies, 1)``.
    """
    level, half = evaluate_at(grid, density, redshift), 0.5 * torch.diff(grid)[:, None]
    if density.shape[1] < grid.numel():
        return ((density >= level) * density) @ (2 * half)
    above = torch.maximum(density, level)
    rise = torch.diff(density, dim=1)
    share = torch.diff(above, dim=1).div_(rise)
    share = torch.where(rise == 0, (density[:, 1:] >= level).to(share), share)
    return ((above[:, 1:] + above[:, :-1]).mul_(share) @ half).clamp(max=1.0)


def refined_mode(grid, density, refine):
    """Return the grid point of the largest density, or the vertex of the parabola through it and its neighbors."""
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
    """Return the integral of the squared density, exact: a quadratic form of the values at the grid points.

    In a cell of width h with the density l and r at its ends it is h (l^2 + l r + r^2) / 3.
    """
    width = torch.diff(grid)
    if density.shape[1] < grid.numel():
        return (density * density) @ width
    return (density * density) @ (trapezoid_weights(grid) * (2 / 3)) + (density[:, 1:] * density[:, :-1]) @ (width / 3)


def _integral_of_squared_cumulative(grid, density, cumulative):
    """Return the integral of the squared cumulative probability F over the grid, by the corrected trapezoid rule.

    In a cell of width h with the density l and r at its ends it is exactly
    h (F0^2 + F1^2) / 2 - h^2 (F1 r - F0 l) / 6 + h^3 (r - l)^2 / 120.
    """
    width = torch.diff(grid)
    total = (cumulative * cumulative) @ trapezoid_weights(grid)
    if density.shape[1] < grid.numel():
        return total - (density * density) @ (width**3 / 6)
    rise = torch.diff(density, dim=1)
    return total - (cumulative * density) @ (_step_of_square(width) / 6) + rise.mul_(rise) @ (width**3 / 120)


def _step_of_square(width):
    """Return h^2 of the cell below each grid point minus that of the cell above it; 0 at both ends of the grid."""
    zero = torch.zeros_like(width[:1])
    square = width**2
    return torch.cat([zero, square]) - torch.cat([square, zero])


def _integral_of_cumulative_above(grid, density, cumulative, redshift):
    """Return the integral of the cumulative probability from redshifts in the grid to its end.

    Up to each grid point it is the trapezoid rule minus h^2 (r - l) / 12 in each cell, summed by parts.
    """
    width = torch.diff(grid)
    linear = density.shape[1] == grid.numel()
    summed = cumulative * trapezoid_weights(grid)
    if linear:
        summed.addcmul_(density, _step_of_square(width), value=-1 / 12)
    torch.cumsum(summed, dim=1, out=summed)
    cell = cell_of(grid, redshift)
    start, left, slope = line_in_cell(grid, density, cell)
    step, below, h = redshift - start, cumulative.gather(1, cell), width[cell]
    up_to = summed.gather(1, cell) - h * (0.5 * below + linear * h * left / 12)
    up_to = up_to + step * (below + step * (left / 2 + slope * step / 6))
    return summed[:, -1:] - up_to


def crps_of(grid, density, redshift, cumulative=None):
    """Return the continuous ranked probability score for one redshift per galaxy, both of shape ``(n_galaxies, 1)``.

    The integral of (F - [x >= z])^2 is that of F^2, minus twice that of F above z, plus the length above z. Outside of
    the grid the distance is added.
    """
    cumulative = cumulative_of(grid, density) if cumulative is None else cumulative
    inside = redshift.clamp(grid[0], grid[-1])
    square = _integral_of_squared_cumulative(grid, density, cumulative)[:, None]
    above = _integral_of_cumulative_above(grid, density, cumulative, inside)
    return (square - 2 * above + (grid[-1] - inside)).clamp(min=0) + (redshift - inside).abs()
