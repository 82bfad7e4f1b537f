"""Metrics of redshift probability densities against spectroscopic redshifts."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import rel_entr

from astro_galtrans._utils.masked import floats
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _piecewise
from astro_galtrans.photoz._construct import as_grid
from astro_galtrans.photoz._pdf import as_numpy, check_pdf
from astro_galtrans.photoz._pit import STATISTICS, calibration_error, sorted_levels
from astro_galtrans.photoz._point import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

__all__ = ["DENSITY_FLOOR", "DistributionAccumulator", "distribution_metrics", "nz_metrics"]

# The log score stays finite for a redshift that the density excludes.
DENSITY_FLOOR = 1e-10


class _Block:
    """Densities and redshifts of some galaxies in float64, and quantities that several metrics need."""

    def __init__(self, grid, density, redshift, brier_edges):
        self.grid, self.density, self.redshift, self.brier_edges = grid, density, redshift, brier_edges

    @cached_property
    def cumulative(self):
        return _piecewise.cumulative_of(self.grid, self.density)

    @cached_property
    def at_redshift(self):
        return _piecewise.evaluate_at(self.grid, self.density, self.redshift[:, None])[:, 0]

    @cached_property
    def pit(self):
        return _piecewise.probability_below(self.grid, self.density, self.redshift[:, None], self.cumulative)[:, 0]

    @cached_property
    def credible_level(self):
        return _piecewise.credible_level_of(self.grid, self.density, self.redshift[:, None])[:, 0]

    @cached_property
    def bins(self):
        """Edges and probabilities of the bins of the Brier score."""
        if self.brier_edges is None:
            return self.grid, _piecewise.mass_of(self.grid, self.density)
        edges = self.brier_edges.to(self.grid)
        wide = edges.expand(len(self.redshift), -1).contiguous()
        below = _piecewise.probability_below(self.grid, self.density, wide, self.cumulative)
        return edges, torch.diff(below, dim=1)


def _crps(block):
    return _piecewise.crps_of(block.grid, block.density, block.redshift[:, None], block.cumulative)[:, 0]


def _cde_loss(block):
    return _piecewise.integral_of_square(block.grid, block.density) - 2 * block.at_redshift


def _log_score(block):
    return -block.at_redshift.clamp(min=DENSITY_FLOOR).log()


def _brier(block):
    edges, probability = block.bins
    cell = torch.searchsorted(edges, block.redshift.contiguous(), right=True) - 1
    cell = torch.where(block.redshift == edges[-1], torch.full_like(cell, edges.numel() - 2), cell)
    inside = (cell >= 0) & (cell < edges.numel() - 1)
    chosen = probability.gather(1, cell.clamp(0, edges.numel() - 2)[:, None])[:, 0]
    # Outside of the edges is one more bin, so that the score stays in [0, 2].
    outside = (1 - probability.sum(dim=1)).clamp(min=0)
    return (probability**2).sum(dim=1) + outside**2 + 1 - 2 * torch.where(inside, chosen, outside)


_MEANS = {"crps": _crps, "cde_loss": _cde_loss, "log_score": _log_score, "brier": _brier}
_OF_LEVELS = {"ece_hpd": calibration_error}
_NAMES = ("pit_ks", "pit_cvm", "pit_ad", "pit_outlier_rate", "crps", "cde_loss", "log_score", "brier", "coverage_68",
          "coverage_95", "ece", "ece_hpd")


class DistributionAccumulator:
    """Metrics of `distribution_metrics` for galaxies that do not fit into memory together, added in parts.

    Only the PIT of each galaxy is kept, 8 bytes, and its credible level if a metric needs it.

    Parameters
    ----------
    metrics, brier_edges
        As in `distribution_metrics`.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import DistributionAccumulator, RedshiftPDF
    >>> accumulator = DistributionAccumulator(["crps", "pit_ks"])
    >>> for z_spec in ([0.25, 0.5], [0.75]):
    ...     accumulator.add(RedshiftPDF(np.linspace(0, 1, 11), np.ones((len(z_spec), 11))), z_spec)
    >>> metrics = accumulator.result()
    >>> round(metrics["crps"], 4), metrics["n"]
    (0.125, 3.0)
    """

    def __init__(self, metrics: Sequence[str] | None = None, *, brier_edges: ArrayLike | None = None) -> None:
        if isinstance(metrics, str):
            raise TypeError(f"metrics must be a sequence of names, got the string {metrics!r}")
        self._wanted = list(_NAMES) if metrics is None else list(metrics)
        unknown = [name for name in self._wanted if name not in _NAMES]
        if unknown:
            raise ValueError(f"metrics must be among {', '.join(_NAMES)}, got {unknown}")
        self._edges = None
        if brier_edges is not None:
            self._edges = as_grid(brier_edges, "brier_edges", torch.zeros(0, dtype=torch.float64, device="cpu"))
        self._sums = {name: 0.0 for name in self._wanted if name in _MEANS}
        self._pit, self._levels = [], []
        self._counts = {"n": 0, "n_masked": 0, "n_normalised": 0}

    def __repr__(self) -> str:
        return f"<DistributionAccumulator of {', '.join(self._wanted)}: {self._counts['n']} galaxies>"

    def add(self, pdf: RedshiftPDF, z_spec: ArrayLike) -> None:
        """Add some galaxies.

        Parameters
        ----------
        pdf : RedshiftPDF
            Densities, on any grid; masked rows are left out and counted.
        z_spec : array_like
            True redshifts, shape ``(n_galaxies,)``.
        """
        check_pdf(pdf)
        redshift = pdf._paired(z_spec)[:, 0]
        dtype = torch.float32 if pdf.device.type == "mps" else torch.float64
        grid, masked = pdf._grid.to(dtype), pdf.n_masked
        for rows in _piecewise.blocks(len(pdf), pdf._density.shape[1], pdf.device):
            density, part = pdf._density[rows], redshift[rows]
            if masked:
                density, part = density[pdf._valid[rows]], part[pdf._valid[rows]]
            if len(part):
                self._add(_Block(grid, density.to(dtype), part.to(dtype), self._edges))
        self._counts["n"] += len(pdf) - masked
        self._counts["n_masked"] += masked
        self._counts["n_normalised"] += pdf.counts["n_normalised"]

    def _add(self, block):
        for name in self._sums:
            self._sums[name] = self._sums[name] + _MEANS[name](block).sum()
        if any(name in STATISTICS for name in self._wanted):
            self._pit.append(block.pit)
        if any(name in _OF_LEVELS for name in self._wanted):
            self._levels.append(block.credible_level)

    def result(self) -> Metrics:
        """Return the metrics of all added galaxies, as `distribution_metrics`.

        Returns
        -------
        Metrics
        """
        if not self._counts["n"]:
            raise ValueError("pdf has no galaxy that is not masked")
        pit = sorted_levels(torch.cat(self._pit), "pit") if self._pit else None
        levels = sorted_levels(torch.cat(self._levels), "level") if self._levels else None
        values = {}
        for name in self._wanted:
            if name in self._sums:
                values[name] = float(self._sums[name]) / self._counts["n"]
            else:
                values[name] = float(STATISTICS[name](pit) if name in STATISTICS else _OF_LEVELS[name](levels))
        return Metrics({**values, **{name: float(count) for name, count in self._counts.items()}})


def distribution_metrics(
    pdf: RedshiftPDF, z_spec: ArrayLike, metrics: Sequence[str] | None = None, *, brier_edges: ArrayLike | None = None,
) -> Metrics:
    """Compute metrics of redshift densities against the true redshifts.

    With the PIT ``u = F(z_spec)`` of each galaxy, its cumulative probability at the true redshift, sorted as
    ``u_(1) ... u_(n)``, and ``p`` the density, linear or constant between the grid points:

    ====================  ========================================================================================
    ``pit_ks``            max over i of max(i/n - u_(i), u_(i) - (i - 1)/n) (Kolmogorov-Smirnov)
    ``pit_cvm``           1 / 12n + sum of (u_(i) - (2i - 1)/2n)^2 (Cramer-von Mises; the number n omega^2)
    ``pit_ad``            -n - sum of (2i - 1) [ln u_(i) + ln(1 - u_(n+1-i))] / n (Anderson & Darling 1954, JASA 49,
                          765), with u from 1e-10 to 1 - 1e-10
    ``pit_outlier_rate``  fraction with u < 1e-4 or u > 1 - 1e-4 (Schmidt et al. 2020, MNRAS 499, 1587)
    ``crps``              mean of the integral of (F(x) - [x >= z_spec])^2 (Matheson & Winkler 1976, Manag. Sci. 22,
                          1087), in units of redshift; outside of the grid the distance is added
    ``cde_loss``          mean of the integral of p^2 - 2 p(z_spec) (Izbicki & Lee 2017, EJS 11, 2800): the squared
                          distance from the true density up to a constant that is the same for all estimators
    ``log_score``         mean of -ln max(p(z_spec), 1e-10) (Good 1952, JRSS B 14, 107); lower is better, as for the
                          other scores
    ``brier``             mean over galaxies of sum over bins (P_bin - [z_spec in bin])^2, between 0 and 2 (Brier
                          1950, MWR 78, 1); outside of the edges is one more bin
    ``coverage_68``,      fraction with z_spec in the central interval of that probability, \\|u - 1/2\\| <= level / 2
    ``coverage_95``
    ``ece``               expected calibration error: integral over all levels a of \\|coverage(a) - a\\| for central
                          intervals (Kuleshov, Fenner & Ermon 2018, arXiv:1807.00263, with the absolute distance and
                          all levels); 0 calibrated, at most 1/2
    ``ece_hpd``           the same for regions of highest density, `RedshiftPDF.credible_level`
    ====================  ========================================================================================

    The integrals are exact for the given density, on even and uneven grids. Scores are computed in float64 on the
    device of the densities, in blocks of galaxies.

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities; masked rows are left out, with a warning.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``.
    metrics : sequence of str, optional
        Names of the metrics wanted; all by default.
    brier_edges : array_like, optional
        Edges of the bins of the Brier score, the grid points by default. Scores of different bins are not comparable.

    Returns
    -------
    Metrics
        A dict of floats, always with the numbers of galaxies that are used, ``n``, masked, ``n_masked``, and whose
        densities did not integrate to one as given, ``n_normalised``.

    Raises
    ------
    TypeError
        If pdf is not a RedshiftPDF.
    ValueError
        For a name that is unknown, or redshifts of another shape or not finite.

    See Also
    --------
    DistributionAccumulator : for galaxies that do not fit into memory together

    Notes
    -----
    qp 1.1 and RAIL have other definitions:

    - Their cumulative probability is a chord between the grid points, where that of a linear density is a parabola, and
      half a cell of the first value at the first point instead of 0. Their PIT, KS and CvM differ slightly, more on
      coarse grids.
    - ``pit_ad`` is the standardized two-sample statistic of the PIT and a regular sequence of as many values (Scholz &
      Stephens 1987), which is another number.
    - A density with NaN has a PIT of 0 without an error, an outlier in each statistic. Here it is an error, or masked
      and counted.
    - ``pit_outlier_rate`` is interpolated between 100 quantiles of the PIT, an approximation of the fraction.
    - ``cde_loss`` uses p at the point nearest to z_spec and the trapezoid rule over p^2, by default on 301 points from
      0 to 2.5 for all grids.
    - ``brier`` sums (density - [z_spec in bin])^2 with densities instead of probabilities, which has no upper limit for
      sharp densities.
    - There is no CRPS.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF, distribution_metrics
    >>> pdf = RedshiftPDF(np.linspace(0, 1, 11), np.ones((3, 11)))
    >>> round(distribution_metrics(pdf, [0.25, 0.5, 0.75], metrics=["crps"])["crps"], 4)
    0.125
    """
    accumulator = DistributionAccumulator(metrics, brier_edges=brier_edges)
    accumulator.add(pdf, z_spec)
    result = accumulator.result()
    _warn_of_masked(pdf)
    return result


def _warn_of_masked(pdf):
    if pdf.n_masked:
        warnings.warn(f"{pdf.n_masked} of {len(pdf)} masked redshift densities are left out of the metrics",
                      GaltransWarning, 3)


def _bins(stack, redshift, weights, edges):
    """Return the probabilities of the bins, the last of which is outside of the edges, of both distributions."""
    stacked = np.diff(as_numpy(stack.cdf(edges))[0].astype(float))
    beyond = 1 - stacked.sum()
    counted = np.histogram(redshift, edges, weights=weights)[0]
    outside = weights[(redshift < edges[0]) | (redshift > edges[-1])].sum()
    # A remainder that is rounding would have a finite logarithm.
    return np.append(stacked, beyond if beyond > 1e-9 else 0), np.append(counted, outside) / weights.sum()


def _nz_ks(stack, redshift, weights):
    order = np.argsort(redshift)
    above = np.cumsum(weights[order]) / weights.sum()
    below = above - weights[order] / weights.sum()
    stacked = as_numpy(stack.cdf(redshift[order]))[0].astype(float)
    return max(np.max(above - stacked), np.max(stacked - below))


def nz_metrics(
    pdf: RedshiftPDF, z_spec: ArrayLike, *, weights: ArrayLike | None = None, edges: ArrayLike | None = None,
) -> Metrics:
    """Compare the stacked densities n(z) with the spectroscopic redshifts of the same galaxies.

    With n(z) the mean of the densities (`RedshiftPDF.stack`), N(z) its cumulative probability, S(z) the fraction of the
    true redshifts up to z, and n_b, s_b the probabilities of bins:

    =====================  =======================================================================================
    ``mean_difference``    mean of n(z) - mean of z_spec, which matters for weak lensing (Ma, Hu & Huterer 2006,
                           ApJ 636, 21)
    ``std_difference``     standard deviation of n(z) - that of z_spec (with 1/n)
    ``median_difference``  median of n(z) - median of z_spec
    ``ks``                 largest \\|N(z) - S(z)\\| over all z, exact (Kolmogorov-Smirnov distance)
    ``l1``                 sum over bins of \\|n_b - s_b\\|, from 0 to 2; half of it is the fraction of galaxies in
                           the wrong bin (total variation)
    ``kl``                 sum over bins of s_b ln(s_b / n_b), in nats (Kullback & Leibler 1951, Ann. Math. Stat.
                           22, 79); infinite where redshifts are observed in a bin without probability
    ``js``                 Jensen-Shannon divergence, the mean of the Kullback-Leibler divergences of n_b and s_b
                           from their mean, from 0 to ln 2 (Lin 1991, IEEE Trans. Inf. Theory 37, 145)
    =====================  =======================================================================================

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities; masked rows are left out on both sides, with a warning.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``.
    weights : array_like, optional
        Weight of each galaxy, in the stack and among the true redshifts alike.
    edges : array_like, optional
        Edges of the bins; by default 50 even ones over the grid. Outside of them is one more bin. With few galaxies
        per bin, noise alone makes ``l1``, ``kl`` and ``js`` differ from 0, by about sqrt(2 n_bins / (pi n)),
        n_bins / 2n and n_bins / 8n.

    Returns
    -------
    Metrics
        A dict of floats, with ``n``, ``n_masked`` and ``n_normalised``.

    Raises
    ------
    TypeError
        If pdf is not a RedshiftPDF.
    ValueError
        For shapes that do not fit, or redshifts that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF, nz_metrics
    >>> pdf = RedshiftPDF([0.0, 1.0], np.ones((2, 2)))
    >>> metrics = nz_metrics(pdf, [0.25, 0.75], edges=[0, 0.5, 1])
    >>> round(metrics["ks"], 6), round(metrics["l1"], 6)
    (0.25, 0.0)
    """
    check_pdf(pdf)
    pdf._paired(z_spec)
    valid = as_numpy(pdf.valid)
    redshift = floats(z_spec, "z_spec", dtype=float)[valid]
    share = None if weights is None else floats(weights, "weights", dtype=float)
    if share is not None:
        if share.shape != valid.shape:
            raise ValueError(f"weights must have shape {valid.shape}, got {share.shape}")
        share = share[valid]
    stack = (pdf.select(valid) if pdf.n_masked else pdf).stack(share)
    if edges is None:
        edges = np.linspace(float(pdf._grid[0]), float(pdf._grid[-1]), 51)
    limits = as_grid(edges, "edges", torch.zeros(0, dtype=torch.float64, device="cpu")).numpy()
    _warn_of_masked(pdf)
    weights = np.ones(len(redshift)) if share is None else share
    mean = np.average(redshift, weights=weights)
    order = np.argsort(redshift)
    middle = np.interp(0.5, (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum(), redshift[order])
    stacked, counted = _bins(stack, redshift, weights, limits)
    half = 0.5 * (stacked + counted)
    counts = pdf.counts
    values = {
        "mean_difference": float(stack.mean()[0]) - mean,
        "std_difference": float(stack.std()[0]) - np.sqrt(np.average((redshift - mean) ** 2, weights=weights)),
        "median_difference": float(stack.median()[0]) - middle,
        "ks": _nz_ks(stack, redshift, weights),
        "l1": np.abs(stacked - counted).sum(),
        "kl": rel_entr(counted, stacked).sum(),
        "js": 0.5 * (rel_entr(counted, half) + rel_entr(stacked, half)).sum(),
        "n": len(redshift), "n_masked": counts["n_masked"], "n_normalised": counts["n_normalised"],
    }
    return Metrics({name: float(value) for name, value in values.items()})
