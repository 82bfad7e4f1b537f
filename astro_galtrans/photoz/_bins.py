"""Metrics of redshift point estimates in bins of another quantity."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import numpy as np
from astropy import units
from astropy.table import Table

from astro_galtrans._utils.masked import floats, split, whole
from astro_galtrans._utils.statistics import check_bootstrap
from astro_galtrans.photoz._point import STATISTICS, NoGalaxiesError, as_columns, point_metrics

if TYPE_CHECKING:
    import torch
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

__all__ = ["binned_point_metrics", "describe"]

# dz is (z_phot - z_spec) / (1 + z_spec).
_DESCRIPTIONS = {
    "low": "lower edge of the bin", "high": "upper edge of the bin", "mean": "mean over the galaxies in the bin",
    "value": "value that the galaxies in the bin share", "count": "galaxies in the bin",
    "n": "galaxies that the metrics are of", "n_masked": "galaxies in the bin that were left out",
    "bias_mean": "mean of dz", "bias_median": "median of dz",
    "nmad": "1.4826 times the median of |dz - median(dz)|", "sigma_mad": "the same as nmad",
    "sigma_iqr": "interquartile range of dz over 1.349", "rms": "root mean square of dz",
    "outlier_005": "share of galaxies of |dz| above 0.05", "outlier_015": "share of galaxies of |dz| above 0.15",
    "outlier_desc": "share of galaxies of |dz| above 0.06 and above 3 sigma_iqr",
    "crps": "mean continuous ranked probability score", "cde_loss": "conditional density estimation loss",
    "log_score": "mean of -ln(density at z_spec)", "pit_ks": "Kolmogorov-Smirnov distance of the PIT from uniform",
    "pit_outlier_rate": "share of galaxies of PIT below 0.0001 or above 0.9999",
    "coverage_68": "share of z_spec within the central 68 per cent of the density",
    "coverage_95": "share of z_spec within the central 95 per cent of the density",
    "ece": "expected calibration error of the PIT",
    "of": "point, density or n(z)", "estimate": "point estimate of the redshift", "metric": "name of the metric",
    "redshift": "redshift", "stacked": "mean of the densities at the redshift",
}


def describe(table, **others):
    """Set the description of each column of a table of metrics and return the table."""
    for name in table.colnames:
        metric, _, end = name.rpartition("_")
        text = {**_DESCRIPTIONS, **others}.get(name)
        if text is None:
            text = f"{'lower' if end == 'low' else 'upper'} end of the interval of {metric} by the bootstrap"
        table[name].description = text
    return table


def _without_unit(values, name, n):
    """Return n values, NaN where masked if they are numbers, and their unit."""
    parts = split(values, name)
    kind = parts.values.dtype
    if kind.kind not in "iufUSb":
        raise TypeError(f"{name} must hold numbers, text or bools, got dtype {kind}")
    values = floats(parts, name, dtype=float) if kind.kind in "iuf" else whole(values, name)
    if values.shape != (n,):
        raise ValueError(f"{name} must have the shape ({n},), got {values.shape}")
    return values, parts.unit


def _edges_of(values, edges, binning, unit):
    if binning not in ("width", "count"):
        raise ValueError(f"binning must be 'width' or 'count', got {binning!r}")
    if np.ndim(edges) == 0 and not isinstance(edges, (int, np.integer)):
        raise TypeError(f"edges must be a whole number of bins or an array, got {edges!r}")
    if np.ndim(edges) == 0:
        finite = values[np.isfinite(values)]
        if edges < 1 or not finite.size or not finite.min() < finite.max():
            raise ValueError(f"edges must be at least 1 and by must hold different finite values, got {edges} bins "
                             f"of {finite.size} finite values")
        if binning == "width":
            return np.linspace(finite.min(), finite.max(), edges + 1)
        return np.unique(np.quantile(finite, np.linspace(0, 1, edges + 1)))
    edges = floats(edges, "edges", unit=unit or units.dimensionless_unscaled, dtype=float)
    if edges.ndim != 1 or edges.size < 2 or not np.all(np.isfinite(edges)) or np.any(np.diff(edges) <= 0):
        raise ValueError(f"edges must be at least 2 finite increasing numbers, got {edges!r}")
    return edges


def _numeric_bins(values, edges):
    """Return columns that describe the bins, and the bin of each galaxy, -1 outside all of them."""
    inside = np.isfinite(values) & (values >= edges[0]) & (values <= edges[-1])
    place = np.where(inside, np.clip(np.searchsorted(edges, np.where(inside, values, edges[0]), "right") - 1,
                                     0, len(edges) - 2), -1)
    total = np.bincount(place[inside], values[inside], minlength=len(edges) - 1)
    count = np.bincount(place[inside], minlength=len(edges) - 1)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return {"low": edges[:-1], "high": edges[1:], "mean": mean}, place


def binned_point_metrics(
    z_phot: ArrayLike | torch.Tensor, z_spec: ArrayLike | torch.Tensor, by: ArrayLike | Quantity | torch.Tensor,
    edges: ArrayLike = 10, *, binning: Literal["width", "count"] = "width", weights: ArrayLike | None = None,
    n_bootstrap: int = 0, seed: int = 0, confidence: float = 0.68, on_invalid: Literal["raise", "mask"] = "raise",
) -> Table:
    """Compute `point_metrics` in bins of magnitude, redshift or any other quantity.

    Parameters
    ----------
    z_phot, z_spec : array_like or `torch.Tensor`
        Estimated and true redshifts, shape ``(n_galaxies,)``; tensors are computed on their device.
    by : array_like, `~astropy.units.Quantity` or `torch.Tensor`
        Quantity of the bins, shape ``(n_galaxies,)``. Each value of text and bools is one bin.
    edges : int or array_like, optional
        Number of bins between the smallest and the largest value, or increasing edges, in the unit of ``by`` or a
        Quantity. A bin includes its lower edge, the last bin both. Unused for text and bools.
    binning : {"width", "count"}, optional
        Whether bins given by their number are equally wide or, up to ties, equally full.
    weights, n_bootstrap, seed, confidence, on_invalid
        As in `point_metrics`. Each bin has its own resamples.

    Returns
    -------
    `~astropy.table.Table`
        One row per bin: ``low``, ``high`` and ``mean`` (unweighted mean of ``by``), or ``value`` for text and bools;
        ``count`` (galaxies in the bin), ``n`` and ``n_masked`` (used and left out of them); each metric of
        `point_metrics`; and with a bootstrap each metric's ``*_low`` and ``*_high``. A bin without a usable galaxy is
        a row of NaN. ``meta`` has ``n_outside``, the galaxies in no bin or without a finite ``by``, and
        ``confidence`` and ``n_bootstrap``.

    Raises
    ------
    ValueError
        For shapes that differ, edges that do not increase, and as in `point_metrics`.
    TypeError
        If ``by`` is not numbers, text or bools.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import binned_point_metrics
    >>> z_spec = np.array([0.0, 0.0, 0.25, 0.25])
    >>> table = binned_point_metrics(z_spec + [0.01, 0.01, 0, 0.125], z_spec, z_spec, [0, 0.1, 0.2, 0.3])
    >>> print(table["low", "high", "count", "bias_mean", "outlier_005"])
    low high count bias_mean outlier_005
    --- ---- ----- --------- -----------
    0.0  0.1     2      0.01         0.0
    0.1  0.2     0       nan         nan
    0.2  0.3     2      0.05         0.5
    """
    check_bootstrap(n_bootstrap, confidence)
    columns = as_columns({"z_phot": z_phot, "z_spec": z_spec, **({} if weights is None else {"weights": weights})})
    values, unit = _without_unit(by, "by", len(columns["z_phot"]))
    if values.dtype.kind == "f":
        bins, place = _numeric_bins(values, _edges_of(values, edges, binning, unit))
    else:
        distinct, place = np.unique(values, return_inverse=True)
        bins = {"value": distinct}
    n_bins = len(next(iter(bins.values())))
    keywords = {"n_bootstrap": n_bootstrap, "confidence": confidence, "on_invalid": on_invalid}
    rows = [_row(columns, np.flatnonzero(place == i), _seed_of(seed, i), keywords) for i in range(n_bins)]
    table = Table(bins, meta={"n_outside": int((place < 0).sum()), "n_bootstrap": int(n_bootstrap),
                              "confidence": confidence if n_bootstrap else None})
    names = ["count", "n", "n_masked", *STATISTICS]
    if n_bootstrap:
        names += [f"{name}_{end}" for name in STATISTICS for end in ("low", "high")]
    for name in names:
        table[name] = [row.get(name, np.nan) for row in rows]
    if unit is not None and "low" in bins:
        for name in bins:
            table[name].unit = unit
    return describe(table)


def _seed_of(seed, index):
    return seed if isinstance(seed, np.random.Generator) else np.random.SeedSequence([seed, index])


def _row(columns, rows, seed, keywords):
    """Return the metrics of some galaxies as one flat dict; without a usable one only the counts."""
    part = {name: value[rows] for name, value in columns.items()}
    counts = {"count": len(rows), "n": 0, "n_masked": len(rows)}
    if not len(rows):
        return counts
    try:
        metrics = point_metrics(**part, seed=np.random.default_rng(seed), **keywords)
    except NoGalaxiesError:
        return counts
    counts.update(n=int(metrics["n"]), n_masked=int(metrics["n_masked"]))
    row = {**counts, **{name: metrics[name] for name in STATISTICS}}
    for name, (low, high) in metrics.intervals.items():
        row[f"{name}_low"], row[f"{name}_high"] = low, high
    return row
