"""Metrics of redshift probability densities against spectroscopic redshifts."""

import warnings

import numpy as np
import torch

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _piecewise
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._point import Metrics

__all__ = ["distribution_metrics"]

# Bounds of the PIT outside of which a galaxy is a catastrophic outlier, as in the DESC photo-z metrics.
_PIT_LOW, _PIT_HIGH = 1e-4, 1 - 1e-4
# Keeps the Anderson-Darling statistic and the log score finite for a redshift the density excludes.
_PIT_FLOOR, _DENSITY_FLOOR = 1e-10, 1e-10


def _pit_ks(case):
    ordered, n = case.sorted_pit, len(case.sorted_pit)
    steps = np.arange(n + 1) / n
    return max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1]))


def _pit_cvm(case):
    ordered, n = case.sorted_pit, len(case.sorted_pit)
    return 1 / (12 * n) + np.sum((ordered - (np.arange(n) + 0.5) / n) ** 2)


def _pit_ad(case):
    ordered = np.clip(case.sorted_pit, _PIT_FLOOR, 1 - _PIT_FLOOR)
    n = len(ordered)
    odd = 2 * np.arange(1, n + 1) - 1
    return -n - np.sum(odd * (np.log(ordered) + np.log1p(-ordered[::-1]))) / n


def _pit_outlier_rate(case):
    return np.mean((case.sorted_pit < _PIT_LOW) | (case.sorted_pit > _PIT_HIGH))


def _crps(case):
    return _piecewise.crps_of(case.grid, case.density, case.cumulative, case.redshift).mean().item()


def _cde_loss(case):
    return (_piecewise.integral_of_square(case.grid, case.density) - 2 * case.at_redshift).mean().item()


def _log_score(case):
    return -case.at_redshift.clamp(min=_DENSITY_FLOOR).log().mean().item()


def _brier(case):
    edges = case.edges
    wide = edges.expand(len(case.redshift), -1).contiguous()
    below = _piecewise.probability_below(case.grid, case.density, case.cumulative, wide)
    probability = torch.diff(below, dim=1)
    cell = torch.searchsorted(edges, case.redshift.contiguous(), right=True) - 1
    cell = torch.where(case.redshift == edges[-1], torch.full_like(cell, edges.numel() - 2), cell)
    inside = (cell >= 0) & (cell < edges.numel() - 1)
    chosen = probability.gather(1, cell.clamp(0, edges.numel() - 2)[:, None])[:, 0]
    # Outside of the edges is one more bin, so that the score stays in [0, 2].
    outside = (1 - probability.sum(dim=1)).clamp(min=0)
    score = (probability**2).sum(dim=1) + outside**2 + 1 - 2 * torch.where(inside, chosen, outside)
    return score.mean().item()


def _coverage(level):
    return lambda case: np.mean(np.abs(case.sorted_pit - 0.5) <= level / 2)


_METRICS = {
    "pit_ks": _pit_ks, "pit_cvm": _pit_cvm, "pit_ad": _pit_ad, "pit_outlier_rate": _pit_outlier_rate,
    "crps": _crps, "cde_loss": _cde_loss, "log_score": _log_score, "brier": _brier,
    "coverage_68": _coverage(0.68), "coverage_95": _coverage(0.95),
}


class _Case:
    """The densities and redshifts of the galaxies that count, in float64 on the densities' device."""

    def __init__(self, pdf, z_spec, edges):
        valid = pdf._valid
        redshift = pdf._paired(z_spec)[:, 0]
        dtype = torch.float32 if pdf.device.type == "mps" else torch.float64
        self.grid, self.density = pdf._grid.to(dtype), pdf._density[valid].to(dtype)
        self.redshift = redshift[valid].to(dtype)
        if not len(self.redshift):
            raise ValueError("pdf has no galaxy that is not masked")
        self.cumulative = _piecewise.cumulative_of(self.grid, self.density)
        column = self.redshift[:, None]
        self.at_redshift = _piecewise.evaluate_at(self.grid, self.density, column)[:, 0]
        pit = _piecewise.probability_below(self.grid, self.density, self.cumulative, column)[:, 0]
        self.sorted_pit = np.sort(pit.cpu().numpy().astype(float))
        self.edges = self.grid if edges is None else _checked_edges(edges).to(self.grid)


def _checked_edges(edges):
    edges = torch.from_numpy(np.array(edges, dtype=float))
    if edges.ndim != 1 or edges.numel() < 2 or not bool((torch.diff(edges) > 0).all()):
        raise ValueError(f"brier_edges must be at least 2 increasing redshifts, got shape {tuple(edges.shape)}")
    return edges


def distribution_metrics(pdf, z_spec, metrics=None, *, brier_edges=None):
    """Metrics of redshift densities against the true redshifts.

    With the PIT ``u = cdf(z_spec)``, sorted as ``u_(1) ... u_(n)``, and ``p`` linear between the grid points:

    ====================  ========================================================================================
    ``pit_ks``            Kolmogorov-Smirnov distance of the u from a uniform distribution, sup \\|F_n(u) - u\\|
    ``pit_cvm``           Cramer-von Mises, 1/(12 n) + sum (u_(i) - (2 i - 1)/(2 n))^2
    ``pit_ad``            Anderson-Darling, -n - sum (2 i - 1)/n [ln u_(i) + ln(1 - u_(n+1-i))], with u kept
                          between 1e-10 and 1 - 1e-10 (Anderson & Darling 1954, JASA 49, 765)
    ``pit_outlier_rate``  fraction with u < 0.0001 or u > 0.9999 (Schmidt et al. 2020, MNRAS 499, 1587)
    ``crps``              mean of the integral of (cdf(z) - [z >= z_spec])^2, exact, in redshift (Gneiting & Raftery
                          2007, JASA 102, 359)
    ``cde_loss``          mean of the integral of p^2, exact, minus 2 mean p(z_spec), interpolated (Izbicki & Lee
                          2017, EJS 11, 2800; without the term that is the same for all estimators)
    ``log_score``         mean of -ln max(p(z_spec), 1e-10); lower is better, as for the other scores
    ``brier``             mean over galaxies of sum over bins (P_bin - [z_spec in bin])^2, between 0 and 2 (Brier
                          1950, MWR 78, 1); what lies outside of the edges is one more bin
    ``coverage_68``,      fraction with z_spec in the central interval of that probability, \\|u - 1/2\\| <= level / 2
    ``coverage_95``
    ====================  ========================================================================================

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
        A dict of floats; with ``metrics=None`` also ``n`` and ``n_masked``.

    Raises
    ------
    TypeError
        If pdf is not a RedshiftPDF.
    ValueError
        For a name that is unknown, or redshifts of another shape or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF, distribution_metrics
    >>> pdf = RedshiftPDF(np.linspace(0, 1, 11), np.ones((3, 11)))
    >>> round(distribution_metrics(pdf, [0.25, 0.5, 0.75], metrics=["crps"])["crps"], 4)
    0.125
    """
    if not isinstance(pdf, RedshiftPDF):
        raise TypeError(f"pdf must be a RedshiftPDF, got {type(pdf).__name__}")
    if isinstance(metrics, str):
        raise TypeError(f"metrics must be a sequence of names, got the string {metrics!r}")
    wanted = list(_METRICS) if metrics is None else list(metrics)
    unknown = [name for name in wanted if name not in _METRICS]
    if unknown:
        raise ValueError(f"metrics must be among {', '.join(_METRICS)}, got {unknown}")
    case = _Case(pdf, z_spec, brier_edges)
    if pdf.n_masked:
        warnings.warn(f"{pdf.n_masked} of {len(pdf)} masked redshift densities are left out of the metrics",
                      GaltransWarning, 2)
    values = {name: float(_METRICS[name](case)) for name in wanted}
    if metrics is None:
        values.update(n=float(len(case.redshift)), n_masked=float(pdf.n_masked))
    return Metrics(values)
