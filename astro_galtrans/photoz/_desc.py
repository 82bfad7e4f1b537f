"""The numbers that qp and RAIL give, in their conventions, for comparison with what was published with them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from astro_galtrans._utils.masked import whole
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._pit import pit_statistics
from astro_galtrans.photoz._point import Metrics, point_metrics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["desc_metrics"]

# Of qp.metrics.CDELossMetric and of qp.metrics.BrierMetric.
_CDE_GRID = np.linspace(0, 2.5, 301)
_BRIER_LIMITS, _BRIER_STEP = (0.0, 3.0), 0.01


def _cumulative(grid, density):
    """Density and cumulative probability at the grid points, the first of which is not 0."""
    cells = 0.5 * np.diff(grid) * (density[:, 1:] + density[:, :-1])
    # Half a cell of the first value at the first point, which is not part of the sums at the others.
    first = 0.5 * density[:, :1] * (grid[1] - grid[0])
    cumulative = np.concatenate([first, np.cumsum(cells, axis=1)], axis=1)
    total = cumulative[:, -1:]
    return density / total, cumulative / total


def _on_chords(grid, values, redshift, outside):
    """Values between the grid points, on the chord, at one redshift of each galaxy."""
    cell = np.clip(np.searchsorted(grid, redshift, side="right") - 1, 0, len(grid) - 2)
    rows = np.arange(len(values))
    part = (redshift - grid[cell]) / np.diff(grid)[cell]
    result = values[rows, cell] * (1 - part) + values[rows, cell + 1] * part
    return np.where(redshift < grid[0], outside[0], np.where(redshift > grid[-1], outside[1], result))


def _evaluated(grid, density, points):
    cell = np.clip(np.searchsorted(grid, points, side="right") - 1, 0, len(grid) - 2)
    part = (points - grid[cell]) / np.diff(grid)[cell]
    values = density[:, cell] * (1 - part) + density[:, cell + 1] * part
    return np.where((points < grid[0]) | (points > grid[-1]), 0.0, values)


def _cde_loss(grid, density, redshift, points):
    values = _evaluated(grid, density, points)
    nearest = np.abs(points - redshift[:, None]).argmin(axis=1)
    return np.trapezoid(values**2, points, axis=1).mean() - 2 * values[np.arange(len(values)), nearest].mean()


def _brier(grid, density, redshift):
    low = min(redshift.min(), _BRIER_LIMITS[0])
    high = max(redshift.max(), _BRIER_LIMITS[1])
    n_points = int((high - low) / _BRIER_STEP)
    points = np.linspace(low, high, n_points)
    half = (high - low) / (n_points - 1) / 2
    edges = np.linspace(low - half, high + half, n_points + 1)
    truth = np.zeros((len(redshift), n_points))
    truth[np.arange(len(redshift)), np.clip(np.searchsorted(edges, redshift, side="right") - 1, 0, n_points - 1)] = 1
    return ((_evaluated(grid, density, points) - truth) ** 2).sum(axis=1).mean()


def _two_sample_ad(pit, low, high):
    inside = pit[(pit >= low) & (pit <= high)]
    if len(inside) < 2:
        return np.nan
    with warnings.catch_warnings():
        # Of the p-value, which is not used, and of arguments to come.
        warnings.simplefilter("ignore")
        return stats.anderson_ksamp([inside, np.linspace(low, high, len(inside))]).statistic


def desc_metrics(
    pdf: RedshiftPDF, z_spec: ArrayLike, *, point_grid: ArrayLike | None = None, cde_grid: ArrayLike | None = None,
    ad_range: tuple[float, ...] = (0.0, 1.0),
) -> Metrics:
    """The numbers that qp 1.1 and RAIL give for these densities: for comparison, not for judgement.

    Written from their definitions, without qp. They reproduce the constants in the test suites of qp and RAIL to the
    tolerances given there. Where a number differs from `point_metrics` and `distribution_metrics`, this is why:

    ======================  ======================================================================================
    ``point_*``             of the highest of the points of ``point_grid``. On a grid that is coarser than the scatter
                            the rounding, up to half a step, inflates ``point_sigma_mad``, as the square root of
                            1 + step^2 / (12 scatter^2): by 4 % where step and scatter are equal, 5 % for a step of
                            1.1 times the scatter. Here point estimates are refined, or are the median or the mean
    ``pit_ks, pit_cvm``     of a cumulative probability that is a chord between the grid points, and at the first of
                            them half a cell of the first value and not 0. Here: a parabola, from 0
    ``pit_ad``              the two-sample statistic of Scholz & Stephens (1987, JASA 82, 918), standardised, of the
                            PIT from ``ad_range`` and a regular sequence of as many values. Here: one sample against
                            the uniform distribution, `pit_statistics`
    ``pit_outlier_rate``    fraction of the PIT below 1e-4 or above 1 - 1e-4, as here. (qp reads it off 100 quantiles
                            of the PIT with lines between them, and gives 0.0486 for 0.05, and 0 for 0.001)
    ``cde_loss``            trapezoid rule over the squared density and density of the nearest point, on
                            ``cde_grid``, from 0 to 2.5 in 301 points whatever the densities need: 2.5 % off for
                            calibrated Gaussians of standard deviation 0.0107, 11 % for 0.005. Here: exact
    ``brier``               sum over points of (density - [z_spec in bin])^2: densities where the score has
                            probabilities, so that it is 100 or 10,000 where [0, 2] is possible
    ======================  ======================================================================================

    A density with NaN makes a PIT of 0 in qp, an outlier without an error. A `RedshiftPDF` refuses or masks it, and
    here masked rows are left out and counted.

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities, linear between the grid points; masked rows are left out.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``.
    point_grid : array_like, optional
        Points of which the highest is the point estimate; the grid of the densities by default.
    cde_grid : array_like, optional
        Points for ``cde_loss``; 301 from 0 to 2.5 by default, as in qp.
    ad_range : tuple of float, optional
        PIT values used for ``pit_ad``.

    Returns
    -------
    Metrics
        ``point_sigma_iqr``, ``point_bias``, ``point_sigma_mad``, ``point_outlier_rate``, ``pit_ks``, ``pit_cvm``,
        ``pit_ad``, ``pit_outlier_rate``, ``cde_loss``, ``brier``, and ``n`` and ``n_masked``.

    Raises
    ------
    TypeError
        If pdf is not a RedshiftPDF.
    ValueError
        For densities that are constant in bins.
    """
    if not isinstance(pdf, RedshiftPDF):
        raise TypeError(f"pdf must be a RedshiftPDF, got {type(pdf).__name__}")
    if pdf.interpolation != "linear":
        raise ValueError("pdf must be linear between the grid points; RedshiftPDF.regrid makes it so")
    redshift = pdf._paired(z_spec)[:, 0][pdf._valid].cpu().numpy().astype(float)
    grid = pdf._grid.cpu().numpy().astype(float)
    density, cumulative = _cumulative(grid, pdf._density[pdf._valid].cpu().numpy().astype(float))
    cde_grid = _CDE_GRID if cde_grid is None else whole(cde_grid, "cde_grid").astype(float)
    points = grid if point_grid is None else whole(point_grid, "point_grid").astype(float)
    z_phot = points[_evaluated(grid, density, points).argmax(axis=1)]
    point = point_metrics(z_phot, redshift)
    pit = _on_chords(grid, cumulative, redshift, (0.0, 1.0))
    uniform = pit_statistics(pit)
    return Metrics({
        "point_sigma_iqr": point["sigma_iqr"], "point_bias": point["bias_median"],
        "point_sigma_mad": point["sigma_mad"], "point_outlier_rate": point["outlier_desc"],
        "pit_ks": uniform["pit_ks"], "pit_cvm": uniform["pit_cvm"],
        "pit_ad": float(_two_sample_ad(pit, *ad_range)), "pit_outlier_rate": uniform["pit_outlier_rate"],
        "cde_loss": float(_cde_loss(grid, density, redshift, cde_grid)),
        "brier": float(_brier(grid, density, redshift)),
        "n": float(len(redshift)), "n_masked": float(pdf.n_masked),
    })
