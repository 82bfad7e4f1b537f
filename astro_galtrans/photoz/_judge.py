"""Redshift densities judged in one go: tables of metrics, in bins too, and diagnostic figures."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Literal, TYPE_CHECKING

import numpy as np
from astropy.table import Table

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.statistics import check_bootstrap
from astro_galtrans.photoz._bins import describe
from astro_galtrans.photoz._judge_tables import as_numpy, bin_table, metric_table
from astro_galtrans.photoz._judgement import RedshiftJudgement, check_folder
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._tables import read_pdf_table

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike

__all__ = ["judge_redshifts", "judge_table"]

ESTIMATES = ("median", "mean", "mode")
_N_BINS, _FEWEST_IN_BIN = 12, 20


def judge_redshifts(
    pdf: RedshiftPDF, z_spec: ArrayLike, *, z_phot: Literal["median", "mean", "mode"] | ArrayLike = "median",
    by: dict[str, Any] | None = None, n_bootstrap: int = 200, confidence: float = 0.68, seed: int = 0,
) -> RedshiftJudgement:
    """Judge redshift densities against true redshifts with all metrics, in bins too.

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities; masked rows are left out and counted.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``; galaxies without (masked, not finite, or -1 and less) are left out
        and counted.
    z_phot : {"median", "mean", "mode"} or array_like, optional
        The point estimate that figures and bins are made with: one of the density, or values of shape
        ``(n_galaxies,)``. The metrics of all three of the density are given in any case.
    by : dict, optional
        Quantities to judge in bins of: name to values of shape ``(n_galaxies,)``, or to a tuple of values and bins: a
        number of equally full bins (5), or their edges.
    n_bootstrap : int, optional
        Resamples of the galaxies for intervals; 0 for none.
    confidence : float, optional
        Probability that the intervals hold.
    seed : int, optional
        Of the bootstrap.

    Returns
    -------
    RedshiftJudgement

    Raises
    ------
    TypeError
        If pdf is not a RedshiftPDF.
    ValueError
        For shapes that do not fit, or where no galaxy is left.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF, judge_redshifts
    >>> rng = np.random.default_rng(0)
    >>> grid, z_spec = np.linspace(0, 1, 201), rng.uniform(0.2, 0.8, 500)
    >>> centre = z_spec + 0.03 * rng.normal(size=500)
    >>> pdf = RedshiftPDF(grid, np.exp(-0.5 * ((grid - centre[:, None]) / 0.03) ** 2), tolerance=np.inf)
    >>> judgement = judge_redshifts(pdf, z_spec, n_bootstrap=50)
    >>> round(judgement["nmad"], 3), round(judgement["coverage_68"], 2)
    (0.018, 0.71)
    """
    if not isinstance(pdf, RedshiftPDF):
        raise TypeError(f"pdf must be a RedshiftPDF, got {type(pdf).__name__}")
    check_bootstrap(n_bootstrap, confidence)
    redshift = _column(z_spec, len(pdf), "z_spec")
    known = np.isfinite(redshift) & (redshift > -1)
    valid = as_numpy(pdf.valid)
    counts = {"n_galaxies": len(pdf), "n_used": int((known & valid).sum()), "n_without_density": int((~valid).sum()),
              "n_without_z_spec": int((valid & ~known).sum()), "n_normalised": pdf.counts["n_normalised"]}
    if not counts["n_used"]:
        raise ValueError(f"no galaxy is left: of {len(pdf)}, {counts['n_without_density']} have no valid density and "
                         f"{int((~known).sum())} no usable z_spec")
    used = np.flatnonzero(known & valid)
    pdf, redshift = (pdf if len(used) == len(pdf) else pdf.select(used)), redshift[used]
    estimates = {name: as_numpy(getattr(pdf, name)()).astype(float) for name in ESTIMATES}
    chosen: str = z_phot if isinstance(z_phot, str) else "z_phot"
    if isinstance(z_phot, str):
        if z_phot not in ESTIMATES:
            raise ValueError(f"z_phot must be among {', '.join(ESTIMATES)}, or values, got {z_phot!r}")
    else:
        estimates = {chosen: _column(z_phot, counts["n_galaxies"], "z_phot")[used], **estimates}
    counts["n_without_z_phot"] = int((~np.isfinite(estimates[chosen])).sum())
    settings = {"n_bootstrap": int(n_bootstrap), "confidence": confidence if n_bootstrap else None, "seed": seed}
    options = {"n_bootstrap": n_bootstrap, "confidence": confidence, "seed": seed}
    ordered = {chosen: estimates[chosen], **estimates}
    metrics = metric_table(pdf, redshift, ordered, options)
    metrics.meta.update({**counts, **settings, "z_phot": chosen, "version": version("astro_galtrans")})
    bins = {}
    for name, (values, edges) in _quantities(by, counts["n_galaxies"], used, redshift, estimates[chosen]).items():
        bins[name] = bin_table(pdf, redshift, estimates[chosen], values, edges, options)
        for column in ("low", "high", "mean"):
            bins[name][column].unit = _unit((by or {}).get(name))
    stack = pdf.stack()
    nz = describe(Table({"redshift": as_numpy(stack.grid), "stacked": as_numpy(stack.pdf(stack.grid))[0]}))
    return RedshiftJudgement(metrics, bins, redshift, estimates[chosen], as_numpy(pdf.pit(redshift)).astype(float), nz)


def judge_table(
    source: str | PathLike | Table, out: str | PathLike | None = None, *, z_spec: str = "z_spec",
    z_phot: str = "median", by: dict[str, Any] | None = None, overwrite: bool = False, n_bootstrap: int = 200,
    confidence: float = 0.68, seed: int = 0, **reading: Any,
) -> RedshiftJudgement:
    """Read a table with densities and true redshifts, judge it, and write tables and figures into a folder.

    Parameters
    ----------
    source : str, path-like or `~astropy.table.Table`
        FITS, HDF5, Parquet, ECSV ..., see `read_pdf_table`.
    out : str or path-like, optional
        Folder to make, see `RedshiftJudgement.write`; None writes nothing.
    z_spec : str, optional
        The column of true redshifts.
    z_phot : str, optional
        ``"median"``, ``"mean"`` or ``"mode"`` of the densities, or the name of a column. A column has precedence.
    by : dict, optional
        Columns to judge in bins of: name to a number of equally full bins, to their edges, or to None for five.
    overwrite : bool, optional
        Whether a folder that an earlier call wrote may be replaced.
    n_bootstrap, confidence, seed
        As in `judge_redshifts`.
    **reading
        ``pdf``, ``grid``, ``table``, ``format``, ``interpolation``, ``device`` of `read_pdf_table`.

    Returns
    -------
    RedshiftJudgement
    """
    if out is not None:
        optional("matplotlib", "report", "figures")
        check_folder(out, overwrite)
    by = dict(by or {})
    wanted = list(dict.fromkeys([z_spec, *by, *([] if z_phot in ESTIMATES else [z_phot])]))
    pdf, table = read_pdf_table(source, columns=wanted, **reading)
    judgement = judge_redshifts(
        pdf, table[z_spec], z_phot=z_phot if z_phot in ESTIMATES else table[z_phot], n_bootstrap=n_bootstrap,
        confidence=confidence, seed=seed,
        by={name: (table[name], edges) for name, edges in by.items()})
    judgement.metrics.meta.update(source="table" if isinstance(source, Table) else str(source), z_spec=z_spec,
                                  z_phot=z_phot)
    if out is not None:
        judgement.write(out, overwrite)
    return judgement


def _column(values, n, name):
    values = floats(values, name, dtype=float)
    if values.shape != (n,):
        raise ValueError(f"{name} must be {n} numbers, got shape {values.shape}")
    return values


def _quantities(by, n, used, z_spec, z_phot):
    """Name to values and bins of each quantity."""
    quantities = {"z_spec": (z_spec, None), "z_phot": (z_phot, None)}
    n_bins = int(np.clip(len(used) // _FEWEST_IN_BIN, 1, _N_BINS))
    quantities = {name: (values, n_bins) for name, (values, _) in quantities.items()}
    for name, entry in (by or {}).items():
        values, bins = entry if isinstance(entry, tuple) else (entry, None)
        quantities[name] = _column(values, n, name)[used], 5 if bins is None else bins
    return quantities


def _unit(entry):
    return getattr(entry[0] if isinstance(entry, tuple) else entry, "unit", None)
