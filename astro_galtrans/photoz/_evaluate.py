"""Evaluation of redshift densities with all metrics: tables, also in bins, figures, and a folder with both."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING, TypeAlias

import numpy as np
from astropy.table import Table
from scipy import stats

from astro_galtrans._utils.figures import STYLE
from astro_galtrans._utils.io import check_result_folder, whole_folder
from astro_galtrans._utils.masked import floats, split
from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.statistics import check_bootstrap, interval, resampled_rows
from astro_galtrans._utils.validation import mapping
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _piecewise
from astro_galtrans.photoz._bins import binned_point_metrics, describe
from astro_galtrans.photoz._distribution import DENSITY_FLOOR, distribution_metrics, nz_metrics
from astro_galtrans.photoz._figures import make_figures
from astro_galtrans.photoz._pdf import as_numpy, check_pdf
from astro_galtrans.photoz._pit import is_outlier
from astro_galtrans.photoz._point import point_metrics
from astro_galtrans.photoz._tables import MissingColumnError, read_pdf_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

    # Number of bins, their edges, or None for the default number.
    Bins: TypeAlias = int | ArrayLike | None

__all__ = ["RedshiftEvaluation", "evaluate_redshifts", "evaluate_table"]

_ESTIMATES = ("median", "mean", "mode")
_N_BINS, _FEWEST_IN_BIN = 12, 20
_METRICS_FILE = "metrics.ecsv"
_COUNTS = ("n", "n_masked", "n_normalised")
_IN_BINS = ("crps", "cde_loss", "log_score", "pit_ks", "pit_outlier_rate", "coverage_68", "coverage_95", "ece")


@dataclass(frozen=True, repr=False, eq=False)
class RedshiftEvaluation:
    """Tables and figures of `evaluate_redshifts`.

    Attributes
    ----------
    metrics : `~astropy.table.Table`
        One row per metric: ``of`` (``"point"``, ``"density"`` or ``"n(z)"``), ``estimate`` (the point estimate),
        ``metric``, ``value``, its interval ``low`` and ``high`` (NaN if there is none), and ``n`` galaxies. ``meta``
        has the numbers of galaxies that are left out, and the settings.
    bins : dict of str to `~astropy.table.Table`
        Metrics in bins of ``"z_spec"``, ``"z_phot"`` and each other quantity.
    z_spec, z_phot, pit : ndarray
        Values of the galaxies with a density and a true redshift; z_phot may be NaN.
    nz : `~astropy.table.Table`
        ``redshift``, and ``stacked``, the mean of the densities.
    """

    metrics: Table
    bins: dict[str, Table]
    z_spec: np.ndarray
    z_phot: np.ndarray
    pit: np.ndarray
    nz: Table

    def __repr__(self) -> str:
        return f"<RedshiftEvaluation: {len(self.z_spec)} galaxies, {len(self.metrics)} metrics>"

    def __getitem__(self, name: str) -> float:
        """Return the value of a metric, of the first estimate that has it."""
        return float(self.metrics["value"][list(self.metrics["metric"]).index(name)])

    def summary(self) -> str:
        """Return the numbers of galaxies that are evaluated and left out, and the main metrics, in one line."""
        meta = self.metrics.meta
        left_out = [f"{meta[key]:,} {words}" for key, words in (
            ("n_without_density", "without a valid density"), ("n_without_z_spec", "without a usable true redshift"),
            ) if meta[key]]
        text = f"{meta['n_used']:,} of {meta['n_galaxies']:,} galaxies evaluated"
        text += f" ({', '.join(left_out)})" if left_out else ""
        if meta["n_without_z_phot"]:
            text += f", {meta['n_without_z_phot']:,} of them without a point estimate"
        return (f"{text}; NMAD {self['nmad']:.4f}, bias {self['bias_median']:+.4f}, CRPS {self['crps']:.4f}, "
                f"KS of the PIT {self['pit_ks']:.4f}")

    def figures(self) -> dict[str, Figure]:
        """Return the diagnostic figures.

        Returns
        -------
        dict of str to `matplotlib.figure.Figure`
            ``"z_density"``, ``"pit"``, ``"qq"``, ``"bias"``, ``"nz"``, and ``"bins_NAME"`` for each other quantity in
            ``bins``.

        Raises
        ------
        ImportError
            Without matplotlib, which is in ``astro_galtrans[report]``.
        """
        return make_figures(self)

    def write(self, out: str | PathLike, overwrite: bool = False) -> Path:
        """Write the tables and figures into a folder, which appears when all of them are written.

        Parameters
        ----------
        out : str or path-like
            New or empty folder.
        overwrite : bool, optional
            Whether a folder that an earlier call wrote may be replaced.

        Returns
        -------
        `~pathlib.Path`
            The folder.
        """
        matplotlib = optional("matplotlib", "report", "figures")
        path = check_result_folder(out, overwrite, _METRICS_FILE)
        with whole_folder(path) as partial:
            self.metrics.write(partial / _METRICS_FILE, format="ascii.ecsv")
            self.nz.write(partial / "nz.ecsv", format="ascii.ecsv")
            for name, table in self.bins.items():
                table.write(partial / f"bins_{_file_name(name)}.ecsv", format="ascii.ecsv")
            with matplotlib.rc_context(STYLE):
                for name, figure in self.figures().items():
                    figure.savefig(partial / f"{_file_name(name)}.png", dpi=150, metadata={"Software": None})
        return path


def _file_name(name):
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)


def evaluate_redshifts(
    pdf: RedshiftPDF, z_spec: ArrayLike, *, z_phot: Literal["median", "mean", "mode"] | ArrayLike = "median",
    by: Mapping[str, ArrayLike | tuple[ArrayLike, Bins]] | None = None, n_bootstrap: int = 200,
    confidence: float = 0.68, seed: int = 0,
) -> RedshiftEvaluation:
    """Evaluate redshift densities against true redshifts with all metrics, also in bins.

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities; masked rows are left out and counted.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``. Galaxies without a redshift (masked, not finite, or at most -1) are
        left out and counted.
    z_phot : {"median", "mean", "mode"} or array_like, optional
        Point estimate of figures and bins: one of the densities, or values of shape ``(n_galaxies,)``. The table of
        metrics has all three of the densities in any case.
    by : dict, optional
        Quantities for bins: name to values of shape ``(n_galaxies,)``, or to a tuple of values and bins, which are a
        number of equally full bins (5), or their edges.
    n_bootstrap : int, optional
        Resamples of the galaxies for intervals; 0 for none.
    confidence : float, optional
        Probability that the intervals hold.
    seed : int, optional
        Seed of the bootstrap.

    Returns
    -------
    RedshiftEvaluation

    Raises
    ------
    TypeError
        If pdf is not a RedshiftPDF.
    ValueError
        For shapes that do not fit, or if no galaxy is left.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF, evaluate_redshifts
    >>> rng = np.random.default_rng(0)
    >>> grid, z_spec = np.linspace(0, 1, 201), rng.uniform(0.2, 0.8, 500)
    >>> center = z_spec + 0.03 * rng.normal(size=500)
    >>> pdf = RedshiftPDF(grid, np.exp(-0.5 * ((grid - center[:, None]) / 0.03) ** 2), tolerance=np.inf)
    >>> evaluation = evaluate_redshifts(pdf, z_spec, n_bootstrap=50)
    >>> round(evaluation["nmad"], 3), round(evaluation["coverage_68"], 2)
    (0.018, 0.71)
    """
    check_pdf(pdf)
    check_bootstrap(n_bootstrap, confidence)
    by = {} if by is None else mapping(by, "by")
    if isinstance(z_phot, str) and z_phot not in _ESTIMATES:
        raise ValueError(f"z_phot must be among {', '.join(_ESTIMATES)}, or values, got {z_phot!r}")
    redshift = _column(z_spec, len(pdf), "z_spec")
    used, counts = _usable(pdf, redshift)
    chosen, estimates = _point_estimates(pdf, used, z_phot)
    pdf, redshift = (pdf if len(used) == len(pdf) else pdf.select(used)), redshift[used]
    counts["n_without_z_phot"] = int((~np.isfinite(estimates[chosen])).sum())
    bootstrap = {"n_bootstrap": n_bootstrap, "confidence": confidence, "seed": seed}
    metrics = _metric_table(pdf, redshift, estimates, bootstrap)
    metrics.meta.update({**counts, "n_bootstrap": int(n_bootstrap), "confidence": confidence if n_bootstrap else None,
                         "seed": seed, "z_phot": chosen, "version": version("astro_galtrans")})
    n_bins = int(np.clip(len(used) // _FEWEST_IN_BIN, 1, _N_BINS))
    bins = {name: _bin_table(pdf, redshift, estimates[chosen], (values, n_bins), bootstrap)
            for name, values in (("z_spec", redshift), ("z_phot", estimates[chosen]))}
    for name, entry in by.items():
        values, edges = entry if isinstance(entry, tuple) else (entry, None)
        within = (_column(values, counts["n_galaxies"], name)[used], 5 if edges is None else edges)
        bins[name] = _bin_table(pdf, redshift, estimates[chosen], within, bootstrap)
        for column in ("low", "high", "mean"):
            bins[name][column].unit = split(values, name).unit
    stack = pdf.stack()
    nz = describe(Table({"redshift": as_numpy(stack.grid), "stacked": as_numpy(stack.pdf(stack.grid))[0]}))
    return RedshiftEvaluation(metrics, bins, redshift, estimates[chosen], as_numpy(pdf.pit(redshift)).astype(float), nz)


def _column(values, n, name):
    values = floats(values, name, dtype=float)
    if values.shape != (n,):
        raise ValueError(f"{name} must be {n} numbers, got shape {values.shape}")
    return values


def _usable(pdf, redshift):
    """Return the rows of the galaxies with a density and a redshift, and counts of the galaxies."""
    known = np.isfinite(redshift) & (redshift > -1)
    valid = as_numpy(pdf.valid)
    used = np.flatnonzero(known & valid)
    if not used.size:
        raise ValueError(f"no galaxy is left: of {len(pdf)}, {int((~valid).sum())} have no valid density and "
                         f"{int((~known).sum())} no usable z_spec")
    return used, {"n_galaxies": len(pdf), "n_used": len(used), "n_without_density": int((~valid).sum()),
                  "n_without_z_spec": int((valid & ~known).sum()), "n_normalised": pdf.counts["n_normalised"]}


def _point_estimates(pdf, used, z_phot):
    """Return the name of the chosen point estimate, and all by name, the chosen one first."""
    part = pdf if len(used) == len(pdf) else pdf.select(used)
    estimates = {"median": part.median(), "mean": part.mean(), "mode": part.mode()}
    estimates = {name: as_numpy(values).astype(float) for name, values in estimates.items()}
    if isinstance(z_phot, str):
        return z_phot, {z_phot: estimates[z_phot], **estimates}
    return "z_phot", {"z_phot": _column(z_phot, len(pdf), "z_phot")[used], **estimates}


def _metric_table(pdf, z_spec, estimates, bootstrap):
    none = (np.nan, np.nan)
    rows = []
    for name, values in estimates.items():
        metrics = point_metrics(values, z_spec, on_invalid="mask", **bootstrap)
        rows += [("point", name, metric, value, *metrics.intervals.get(metric, none), int(metrics["n"]))
                 for metric, value in metrics.items() if metric not in _COUNTS]
    intervals = _intervals(pdf, z_spec, **bootstrap)
    rows += [("density", "", metric, value, *intervals.get(metric, none), len(pdf))
             for metric, value in distribution_metrics(pdf, z_spec).items() if metric not in _COUNTS]
    pit = as_numpy(pdf.pit(z_spec)).astype(float)
    rows.append(("density", "", "pit_ks_p_value", stats.kstest(pit, "uniform").pvalue, *none, len(pdf)))
    rows += [("n(z)", "", f"nz_{metric}", value, *none, len(pdf))
             for metric, value in nz_metrics(pdf, z_spec).items() if metric not in _COUNTS]
    names = ("of", "estimate", "metric", "value", "low", "high", "n")
    return describe(Table(rows=rows, names=names), value="value of the metric", low="lower end of its interval",
                    high="upper end of its interval")


def _intervals(pdf, z_spec, n_bootstrap, confidence, seed):
    """Return bootstrap intervals of the metrics that are means over galaxies.

    Statistics of the distribution of the PIT have none, because each resample is less uniform than the sample.
    """
    if not n_bootstrap:
        return {}
    pit, density = as_numpy(pdf.pit(z_spec)).astype(float), as_numpy(pdf.density_at(z_spec)).astype(float)
    square = as_numpy(_piecewise.integral_of_square(as_tensor(pdf.grid), as_tensor(pdf.density))).astype(float)
    columns = {
        "crps": as_numpy(pdf.crps(z_spec)), "cde_loss": square - 2 * density,
        "log_score": -np.log(np.maximum(density, DENSITY_FLOOR)), "pit_outlier_rate": is_outlier(pit),
        "coverage_68": np.abs(pit - 0.5) <= 0.34, "coverage_95": np.abs(pit - 0.5) <= 0.475,
    }
    values = np.stack([column.astype(float) for column in columns.values()], axis=1)
    draws = [np.bincount(rows, minlength=len(values)) @ values / len(values)
             for block in resampled_rows(len(values), n_bootstrap, seed) for rows in block]
    return {name: interval(draw, confidence) for name, draw in zip(columns, np.transpose(draws))}


def _bin_table(pdf, z_spec, z_phot, within, bootstrap):
    """Return metrics of point estimates and densities in bins; ``within`` are values and edges."""
    values, edges = within
    finite = values[np.isfinite(values)]
    if np.ndim(edges) == 0 and not (finite.size and finite.min() < finite.max()):
        edges = [finite[0] - 0.5, finite[0] + 0.5] if finite.size else [0.0, 1.0]
    table = binned_point_metrics(z_phot, z_spec, values, edges, binning="count", on_invalid="mask", **bootstrap)
    columns = {name: np.full(len(table), np.nan) for name in _IN_BINS}
    for row, (low, high) in enumerate(zip(table["low"], table["high"])):
        inside = (values >= low) & ((values <= high) if row == len(table) - 1 else (values < high))
        if inside.any():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", GaltransWarning)
                metrics = distribution_metrics(pdf.select(np.flatnonzero(inside)), z_spec[inside], _IN_BINS)
            for name in _IN_BINS:
                columns[name][row] = metrics[name]
    for name, column in columns.items():
        table[name] = column
    return describe(table)


def evaluate_table(
    source: str | PathLike | Table, out: str | PathLike | None = None, *, z_spec: str = "z_spec",
    z_phot: str = "median", by: Mapping[str, Bins] | None = None, overwrite: bool = False, n_bootstrap: int = 200,
    confidence: float = 0.68, seed: int = 0, **reading: Any,
) -> RedshiftEvaluation:
    """Evaluate a table with densities and true redshifts, and write tables and figures into a folder.

    Parameters
    ----------
    source : str, path-like or `~astropy.table.Table`
        FITS, HDF5, Parquet, ECSV ..., see `read_pdf_table`.
    out : str or path-like, optional
        New folder, see `RedshiftEvaluation.write`; None writes nothing.
    z_spec : str, optional
        Column of true redshifts.
    z_phot : str, optional
        ``"median"``, ``"mean"`` or ``"mode"`` of the densities, or the name of another column.
    by : dict, optional
        Columns for bins: name to a number of equally full bins, to their edges, or to None for five.
    overwrite : bool, optional
        Whether a folder that an earlier call wrote may be replaced.
    n_bootstrap, confidence, seed
        As in `evaluate_redshifts`.
    **reading
        ``pdf``, ``grid``, ``table``, ``format``, ``interpolation``, ``device`` of `read_pdf_table`.

    Returns
    -------
    RedshiftEvaluation
    """
    if out is not None:
        optional("matplotlib", "report", "figures")
        check_result_folder(out, overwrite, _METRICS_FILE)
    by = dict(by or {})
    wanted = list(dict.fromkeys([z_spec, *by, *([] if z_phot in _ESTIMATES else [z_phot])]))
    try:
        pdf, table = read_pdf_table(source, columns=wanted, **reading)
    except MissingColumnError as error:
        argument = "z_spec" if error.column == z_spec else "by" if error.column in by else "z_phot"
        raise ValueError(f"{argument} must name a column: {error}") from error
    evaluation = evaluate_redshifts(
        pdf, table[z_spec], z_phot=z_phot if z_phot in _ESTIMATES else table[z_phot],
        by={name: (table[name], edges) for name, edges in by.items()}, n_bootstrap=n_bootstrap, confidence=confidence,
        seed=seed)
    evaluation.metrics.meta.update(source="table" if isinstance(source, Table) else str(source), z_spec=z_spec,
                                   z_phot=z_phot)
    if out is not None:
        evaluation.write(out, overwrite)
    return evaluation
