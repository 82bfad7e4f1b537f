"""All metrics of redshift densities as tables: of all galaxies, and in bins."""

import warnings

import numpy as np
import torch
from astropy.table import Table
from scipy import stats

from astro_galtrans._utils.statistics import interval, resampled_rows
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _piecewise
from astro_galtrans.photoz._bins import binned_point_metrics, describe
from astro_galtrans.photoz._distribution import distribution_metrics
from astro_galtrans.photoz._nz import nz_metrics
from astro_galtrans.photoz._point import point_metrics

__all__ = ["as_numpy", "bin_table", "metric_table"]

_COUNTS = ("n", "n_masked", "n_normalised")
_IN_BINS = ("crps", "cde_loss", "log_score", "pit_ks", "pit_outlier_rate", "coverage_68", "coverage_95", "ece")
# A mean over galaxies has an interval by the bootstrap; the statistics of the PIT's distribution do not, for each
# resample is less uniform than the sample.
_MEANS = ("crps", "cde_loss", "log_score", "pit_outlier_rate", "coverage_68", "coverage_95")


def as_numpy(values):
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def metric_table(pdf, z_spec, estimates, options):
    rows = []
    for name, values in estimates.items():
        metrics = point_metrics(values, z_spec, on_invalid="mask", **options)
        for metric, value in metrics.items():
            if metric not in ("n", "n_masked"):
                rows.append(("point", name, metric, value, *metrics.intervals.get(metric, (np.nan, np.nan)),
                             int(metrics["n"])))
    densities = distribution_metrics(pdf, z_spec)
    intervals = _intervals(pdf, z_spec, options)
    for metric, value in densities.items():
        if metric not in _COUNTS:
            rows.append(("density", "", metric, value, *intervals.get(metric, (np.nan, np.nan)), len(pdf)))
    pit = as_numpy(pdf.pit(z_spec)).astype(float)
    rows.append(("density", "", "pit_ks_p_value", stats.kstest(pit, "uniform").pvalue, np.nan, np.nan, len(pdf)))
    for metric, value in nz_metrics(pdf, z_spec).items():
        if metric not in _COUNTS:
            rows.append(("n(z)", "", f"nz_{metric}", value, np.nan, np.nan, len(pdf)))
    names = ("of", "estimate", "metric", "value", "low", "high", "n")
    return describe(Table(rows=rows, names=names), value="value of the metric", low="lower end of its interval",
                    high="upper end of its interval")


def _intervals(pdf, z_spec, options):
    """Bootstrap intervals of the metrics that are means over galaxies."""
    if not options["n_bootstrap"]:
        return {}
    values = _each(pdf, z_spec)
    draws = [np.bincount(rows, minlength=len(values)) @ values / len(values)
             for block in resampled_rows(len(values), options["n_bootstrap"], options["seed"]) for rows in block]
    return {name: interval(draw, options["confidence"]) for name, draw in zip(_MEANS, np.transpose(draws))}


def _each(pdf, z_spec):
    """For each galaxy what the metrics of `_MEANS` are the means of."""
    pit, at = as_numpy(pdf.pit(z_spec)).astype(float), as_numpy(pdf.density_at(z_spec)).astype(float)
    grid, density = as_tensor(pdf.grid), as_tensor(pdf.density)
    square = as_numpy(_piecewise.integral_of_square(grid, density)).astype(float)
    columns = [as_numpy(pdf.crps(z_spec)).astype(float), square - 2 * at, -np.log(np.maximum(at, 1e-10)),
               (pit < 1e-4) | (pit > 1 - 1e-4), np.abs(pit - 0.5) <= 0.34, np.abs(pit - 0.5) <= 0.475]
    return np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)


def bin_table(pdf, z_spec, z_phot, values, edges, options):
    """Point metrics in bins, and beside them those of the densities."""
    finite = values[np.isfinite(values)]
    if np.ndim(edges) == 0 and not (finite.size and finite.min() < finite.max()):
        edges = [finite[0] - 0.5, finite[0] + 0.5] if finite.size else [0.0, 1.0]
    table = binned_point_metrics(z_phot, z_spec, values, edges, binning="count", on_invalid="mask", **options)
    columns = {name: np.full(len(table), np.nan) for name in _IN_BINS}
    for row, (low, high) in enumerate(zip(table["low"], table["high"])):
        inside = (values >= low) & ((values <= high) if row == len(table) - 1 else (values < high))
        if inside.any():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", GaltransWarning)
                found = distribution_metrics(pdf.select(np.flatnonzero(inside)), z_spec[inside], _IN_BINS)
            for name in _IN_BINS:
                columns[name][row] = found[name]
    for name, column in columns.items():
        table[name] = column
    return describe(table)
