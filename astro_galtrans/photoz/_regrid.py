"""Redshift densities on other grids, and stacked."""

from __future__ import annotations

import warnings
from typing import Literal, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _piecewise

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

__all__ = ["rebin", "regrid", "stack"]


def _integrals_at(grid, density, redshift):
    """Cumulative probability, and its integral, up to redshifts common to all rows."""
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
    """Integral of the density times each hat function of the points."""
    below, integral = _integrals_at(grid, density, points)
    mean = torch.diff(integral, dim=1) / torch.diff(points)
    lower, upper = mean - below[:, :-1], below[:, 1:] - mean
    return (torch.nn.functional.pad(lower, (0, 1)) + torch.nn.functional.pad(upper, (1, 0))).clamp(min=0)


def _projected(grid, density, points):
    """Values at the points of the line with the density's probability and mean about each point, not negative."""
    pad = torch.nn.functional.pad
    moments, width = _hat_integrals(grid, density, points), torch.diff(points)
    weights = _piecewise.trapezoid_weights(points)
    mass = torch.diag(weights * (2 / 3)) + torch.diag(width / 6, 1) + torch.diag(width / 6, -1)
    sharp, smooth = torch.linalg.solve(mass, moments.T).T, moments / weights
    # From the smooth to the sharp one probability flows between neighbours; no point gives more than it has.
    flow = (sharp[:, :-1] - sharp[:, 1:]) * (width / 6)
    given = pad((-flow).clamp(min=0), (0, 1)) + pad(flow.clamp(min=0), (1, 0))
    share = (moments / given.clamp(min=torch.finfo(density.dtype).tiny)).clamp(max=1)
    flow = flow * torch.where(flow < 0, share[:, :-1], share[:, 1:])
    return (smooth + (pad(flow, (0, 1)) - pad(flow, (1, 0))) / weights).clamp(min=0)


def _new_grid(pdf, grid, name, outside):
    if outside not in ("raise", "drop"):
        raise ValueError(f"outside must be 'raise' or 'drop', got {outside!r}")
    points = pdf._in(grid, name)
    if points.ndim != 1 or points.numel() < 2 or not bool((torch.diff(points) > 0).all()):
        raise ValueError(f"{name} must be at least 2 increasing redshifts, got the shape {tuple(points.shape)}")
    lost = as_tensor(1 - np.diff(_numpy(pdf.cdf(_numpy(points)[[0, -1]])), axis=1)[:, 0])
    count = int((lost > 1e-3).sum())
    if count and outside == "raise":
        raise ValueError(
            f"{count} of {len(pdf)} densities have more than 0.1 % of their probability outside of {name} "
            f'({float(points[0]):.4g} to {float(points[-1]):.4g}); outside="drop" leaves it out')
    if count:
        warnings.warn(f"{count} of {len(pdf)} redshift densities lose probability outside of {name} and are "
                      "normalised again", GaltransWarning, 3)
    return points


def _reshaped(pdf, density, grid):
    """The densities on another grid; a row that has lost everything, but for rounding, is masked."""
    integral = density @ _piecewise.measure_of(grid, density.shape[1])
    valid = pdf._valid & (integral > 1e-6)
    newly_masked = int((pdf._valid & ~valid).sum())
    if newly_masked:
        warnings.warn(f"{newly_masked} of {len(pdf)} redshift densities have no probability on the new grid and "
                      "are masked", GaltransWarning, 3)
    return pdf._like(torch.where(valid[:, None], density / integral[:, None], float("nan")), valid, grid=grid)


def rebin(pdf: RedshiftPDF, edges: ArrayLike, *, outside: Literal["raise", "drop"] = "raise") -> RedshiftPDF:
    """The densities in bins, each of which keeps its exact probability.

    Parameters
    ----------
    edges : array_like
        Edges of the bins, shape ``(n_bins + 1,)``.
    outside : {"raise", "drop"}, optional
        Whether it is an error that a density has more than 0.1 % of its probability outside of the edges, or
        that part is left out and the rest normalised again, with a warning that counts the densities. Those
        that have no more than 1e-6 inside are masked then.

    Returns
    -------
    RedshiftPDF
        With ``interpolation="constant"``.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF
    >>> pdf = RedshiftPDF([0.0, 1.0], [[0.0, 2.0]])
    >>> pdf.rebin([0.0, 0.5, 1.0]).density
    array([[0.5, 1.5]])
    """
    edges = _new_grid(pdf, edges, "edges", outside)

    def rows(grid, density):
        below = _piecewise.probability_below(
            grid, density, _piecewise.cumulative_of(grid, density), edges.expand(len(density), -1).contiguous())
        return torch.diff(below, dim=1).clamp(min=0) / torch.diff(edges)

    return _reshaped(pdf, pdf._rowwise(rows), edges)


def regrid(pdf: RedshiftPDF, grid: ArrayLike, *, outside: Literal["raise", "drop"] = "raise") -> RedshiftPDF:
    """The densities as lines between the points of another grid, with probability and mean kept.

    The values are those of the L2 projection on lines between the new points, which has the integral of the
    density with each hat function, and so its probability and its mean, and leaves a density that is such a line
    as it is. Where that would swing below zero, beside peaks sharper than the new grid can hold, it stays closer
    to the positive projection of the diagonal (lumped) mass matrix: the flow of probability between neighbouring
    points that leads from one to the other is limited (Zalesak 1979, J. Comput. Phys. 31, 335), which keeps
    the probability of each neighbourhood. Values taken at the new points, as in ``convert_to`` of qp, keep neither
    probability nor mean.

    Parameters
    ----------
    grid : array_like
        The new points, shape ``(n_new,)``.
    outside : {"raise", "drop"}, optional
        As of `rebin`.

    Returns
    -------
    RedshiftPDF
        With ``interpolation="linear"``.
    """
    points = _new_grid(pdf, grid, "grid", outside)
    return _reshaped(pdf, pdf._rowwise(lambda old, density: _projected(old, density, points)), points)


def stack(pdf: RedshiftPDF, weights: ArrayLike | None = None) -> RedshiftPDF:
    """The redshift distribution n(z) as the mean of the densities.

    The sum of the densities is what surveys stack; it is the distribution of the redshifts only where the
    densities are calibrated and their priors fit the sample (Malz & Hogg 2022, ApJ 928, 127).

    Parameters
    ----------
    weights : array_like, optional
        Weight of each galaxy, shape ``(n_galaxies,)``, not negative.

    Returns
    -------
    RedshiftPDF
        Of one row, exact. Masked rows are left out, with a warning; `counts` is that of this ensemble.

    Examples
    --------
    >>> from astro_galtrans.photoz import RedshiftPDF
    >>> pdf = RedshiftPDF([0.0, 1.0, 2.0], [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]], tolerance=1)
    >>> pdf.stack().density.round(4)
    array([[0.3333, 0.6667, 0.3333]])
    """
    used = pdf._valid.to(pdf._density.dtype)
    if weights is not None:
        weights = pdf._in(weights, "weights")
        if weights.shape != (len(pdf),):
            raise ValueError(f"weights must have the shape ({len(pdf)},), got {tuple(weights.shape)}")
        if not bool(((weights >= 0) & torch.isfinite(weights)).all()):
            raise ValueError("weights must be finite and not negative")
        used = used * weights
    if not bool(used.sum() > 0):
        raise ValueError("there is no galaxy to stack: all are masked or have no weight")
    if pdf.n_masked:
        warnings.warn(f"{pdf.n_masked} of {len(pdf)} masked redshift densities are left out of the stack",
                      GaltransWarning, 2)
    total = torch.zeros_like(pdf._density[:1], dtype=torch.float64 if pdf.device.type != "mps" else None)
    for rows in _piecewise.blocks(len(pdf), pdf._density.shape[1], pdf.device):
        part = torch.nan_to_num(pdf._density[rows]) if pdf.n_masked else pdf._density[rows]
        total += used[None, rows] @ part
    density = (total / used.sum().to(total)).to(pdf._density)
    one = torch.ones(1, dtype=torch.bool, device=pdf.device)
    result = pdf._like(density, one, ~one)
    result._source_counts = pdf.counts
    return result


def _numpy(values):
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else values
