"""Metrics of redshift probability densities against spectroscopic redshifts."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.masked import floats
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _piecewise
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._pit import STATISTICS, calibration_error, sorted_levels
from astro_galtrans.photoz._point import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = ["DistributionAccumulator", "distribution_metrics"]

# Keeps the log score finite for a redshift the density excludes.
_DENSITY_FLOOR = 1e-10


class _Block:
    """Some galaxies' densities and redshifts in float64 on the densities' device, and what several metrics need."""

    def __init__(self, grid, density, redshift, edges):
        self.grid, self.density, self.redshift, self.given_edges = grid, density, redshift, edges

    @cached_property
    def cumulative(self):
        return _piecewise.cumulative_of(self.grid, self.density)

    @cached_property
    def at_redshift(self):
        return _piecewise.evaluate_at(self.grid, self.density, self.redshift[:, None])[:, 0]

    @cached_property
    def pit(self):
        return _piecewise.probability_below(self.grid, self.density, self.cumulative, self.redshift[:, None])[:, 0]

    @cached_property
    def credible_level(self):
        return _piecewise.probability_above(self.grid, self.density, self.at_redshift)

    @cached_property
    def bins(self):
        """Edges and probabilities of the bins of the Brier score."""
        if self.given_edges is None:
            return self.grid, _piecewise.mass_of(self.grid, self.density)
        edges = self.given_edges.to(self.grid)
        wide = edges.expand(len(self.redshift), -1).contiguous()
        below = _piecewise.probability_below(self.grid, self.density, self.cumulative, wide)
        return edges, torch.diff(below, dim=1)


def _crps(block):
    return _piecewise.crps_of(block.grid, block.density, block.cumulative, block.redshift)


def _cde_loss(block):
    return _piecewise.integral_of_square(block.grid, block.density) - 2 * block.at_redshift


def _log_score(block):
    return -block.at_redshift.clamp(min=_DENSITY_FLOOR).log()


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


def _checked_edges(edges):
    edges = torch.from_numpy(np.array(floats(edges, "brier_edges", dtype=float)))
    if edges.ndim != 1 or edges.numel() < 2 or not bool((torch.diff(edges) > 0).all()):
        raise ValueError(f"brier_edges must be at least 2 increasing redshifts, got shape {tuple(edges.shape)}")
    return edges


class DistributionAccumulator:
    """The metrics of `distribution_metrics` for more galaxies than memory holds, added in parts.

    Of each galaxy only the PIT is kept, 8 bytes, and its credible level where that is asked for.

    Parameters
    ----------
    metrics, brier_edges
        As of `distribution_metrics`.

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
        self._edges = None if brier_edges is None else _checked_edges(brier_edges)
        self._sums = {name: 0.0 for name in self._wanted if name in _MEANS}
        self._pit, self._levels = [], []
        self._counts = {"n": 0, "n_masked": 0, "n_normalised": 0}

    def __repr__(self) -> str:
        return f"<DistributionAccumulator of {', '.join(self._wanted)}: {self._counts['n']} galaxies>"

    def add(self, pdf: RedshiftPDF, z_spec: ArrayLike) -> None:
        """Count in some galaxies.

        Parameters
        ----------
        pdf : RedshiftPDF
            Their densities, on a grid that may be another in each part; masked rows are left out and counted.
        z_spec : array_like
            Their true redshifts, shape ``(n_galaxies,)``.
        """
        if not isinstance(pdf, RedshiftPDF):
            raise TypeError(f"pdf must be a RedshiftPDF, got {type(pdf).__name__}")
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
        """The metrics of all galaxies that were added, as `distribution_metrics` gives them.

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
    """Metrics of redshift densities against the true redshifts.

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
                          1950, MWR 78, 1); what lies outside of the edges is one more bin
    ``coverage_68``,      fraction with z_spec in the central interval of that probability, \\|u - 1/2\\| <= level / 2
    ``coverage_95``
    ``ece``               expected calibration error: integral over all levels a of \\|coverage(a) - a\\| for central
                          intervals (Kuleshov, Fenner & Ermon 2018, arXiv:1807.00263, with the absolute distance and
                          all levels); 0 calibrated, at most 1/2
    ``ece_hpd``           the same for regions of highest density, `RedshiftPDF.credible_level`
    ====================  ========================================================================================

    The integrals are exact for the density as it is given, on even and uneven grids. Scores are computed in float64 on
    the device of the densities, in blocks of galaxies, so that memory stays close to that of the densities.

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities; masked rows are left out, with a warning.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``.
    metrics : sequence of str, optional
        Names of the metrics wanted; all by default.
    brier_edges : array_like, optional
        Edges of the bins of the Brier score, the grid points by default. Scores of different bins do not compare.

    Returns
    -------
    Metrics
        A dict of floats, always with the numbers of galaxies used, ``n``, left out because they are masked,
        ``n_masked``, and whose densities did not integrate to one as they came, ``n_normalised``.

    Raises
    ------
    TypeError
        If pdf is not a RedshiftPDF.
    ValueError
        For a name that is unknown, or redshifts of another shape or not finite.

    See Also
    --------
    desc_metrics : the numbers of qp and RAIL, which differ
    DistributionAccumulator : for more galaxies than memory holds

    Notes
    -----
    qp 1.1 and RAIL differ as follows; `desc_metrics` gives their numbers.

    - Their cumulative probability is a chord between the grid points, where that of a linear density is a parabola, and
      at the first point half a cell of the first value and not 0: their PIT, KS and CvM differ a little, on coarse
      grids more.
    - ``pit_ad`` is a two-sample statistic there, of the PIT and a regular sequence of as many values (Scholz & Stephens
      1987), standardised: another number.
    - A density with NaN gets a PIT of 0 there without an error: it counts as an outlier in each statistic. Here it is
      refused, or masked and counted.
    - ``pit_outlier_rate`` is read there off a distribution through 100 quantiles of the PIT, and so only nearly the
      fraction of galaxies.
    - ``cde_loss`` takes p at the point nearest to z_spec and the integral by the trapezoid rule over p^2, by default on
      301 points from 0 to 2.5, whatever the grid of the density is.
    - ``brier`` sums (density - [z_spec in bin])^2 there, densities in the place of probabilities: it grows without
      limit as densities become sharp.
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
    if pdf.n_masked:
        warnings.warn(f"{pdf.n_masked} of {len(pdf)} masked redshift densities are left out of the metrics",
                      GaltransWarning, 2)
    return result
