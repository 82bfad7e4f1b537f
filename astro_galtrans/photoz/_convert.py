"""Redshift densities to and from tables and qp ensembles."""

from __future__ import annotations

from typing import Any, Literal, TYPE_CHECKING

import numpy as np
from astropy.table import Table

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans._utils.optional import optional

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

__all__ = ["from_qp", "from_table", "to_qp", "to_table"]


def _array(values):
    return values.cpu().numpy() if hasattr(values, "cpu") else np.asarray(values)


def to_table(pdf: RedshiftPDF, ids: ArrayLike | None = None) -> Table:
    """A table with one row a galaxy.

    Parameters
    ----------
    ids : array_like, optional
        Put into a first column ``id``.

    Returns
    -------
    `~astropy.table.Table`
        Columns ``z_mode``, ``z_mean``, ``z_median`` and ``density`` (a vector column). ``meta`` holds the grid as
        a list in ``redshift_grid``, so that ECSV files hold all of it, the ``interpolation``, and the `counts`.
    """
    table = Table(meta={"redshift_grid": pdf._grid.cpu().tolist(), "interpolation": pdf.interpolation,
                        **pdf.counts})
    if ids is not None:
        table["id"] = whole(ids, "ids")
    for name, values in (("z_mode", pdf.mode()), ("z_mean", pdf.mean()), ("z_median", pdf.median()),
                         ("density", pdf.density)):
        table[name] = _array(values)
    return table


def from_table(
    cls, table: Table, *, grid: ArrayLike | None = None, column: str = "density",
    interpolation: Literal["linear", "constant"] | None = None, on_invalid: Literal["mask", "raise"] = "mask",
) -> RedshiftPDF:
    """The densities in a vector column of a table, with NumPy arrays inside; rows masked there stay masked.

    Parameters
    ----------
    table : `~astropy.table.Table`
        As of `to_table`, or any other with a column of densities.
    grid : array_like, optional
        Redshifts of the columns of the densities; ``meta["redshift_grid"]`` by default.
    column : str, optional
        Name of the vector column.
    interpolation : {"linear", "constant"}, optional
        As of `RedshiftPDF`; ``meta["interpolation"]`` by default, and else ``"linear"``.
    on_invalid : {"mask", "raise"}, optional
        As of `RedshiftPDF`.

    Returns
    -------
    RedshiftPDF

    Raises
    ------
    ValueError
        If the table has no such column, or no grid is known.
    """
    grid = table.meta.get("redshift_grid") if grid is None else grid
    if grid is None or column not in table.colnames:
        raise ValueError(
            f'table must have a column "{column}" and meta["redshift_grid"] (or grid be given), as '
            f"RedshiftPDF.to_table writes; got the columns {table.colnames}")
    density = floats(table[column], column, dtype=float)
    interpolation = table.meta.get("interpolation", "linear") if interpolation is None else interpolation
    return cls(grid, density, on_invalid=on_invalid, interpolation=interpolation)


def to_qp(pdf: RedshiftPDF, on_masked: Literal["raise", "drop"] = "raise") -> Any:
    """The densities as an ensemble of qp (extra ``qp``).

    Lines become ``qp.interp``, constants ``qp.hist``, in float64, with the values as they are (``norm=False``).
    qp integrates lines in its own way: its cumulative probability is a chord between the grid points, and at the
    first of them half a cell of the first value and not 0, so that its cdf and quantiles differ slightly from
    those here.

    Parameters
    ----------
    on_masked : {"raise", "drop"}, optional
        Whether masked rows are refused or left out. qp has no masked rows, and takes a NaN for a PIT of 0.

    Returns
    -------
    ``qp.Ensemble``

    Raises
    ------
    ImportError
        Without qp.
    ValueError
        For masked rows under ``on_masked="raise"``.
    """
    qp = optional("qp", "qp", "qp ensembles")
    if on_masked not in ("raise", "drop"):
        raise ValueError(f"on_masked must be 'raise' or 'drop', got {on_masked!r}")
    if pdf.n_masked and on_masked == "raise":
        raise ValueError(f'{pdf.n_masked} of {len(pdf)} densities are masked; on_masked="drop" leaves them out')
    grid = pdf._grid.cpu().numpy().astype(float)
    density = pdf._density[pdf._valid].cpu().numpy().astype(float)
    if pdf.interpolation == "linear":
        return qp.Ensemble(qp.interp, data={"xvals": grid, "yvals": density, "norm": False})
    return qp.Ensemble(qp.hist, data={"bins": grid, "pdfs": density, "norm": False})


def from_qp(
    cls, ensemble: Any, grid: ArrayLike | None = None, *, on_invalid: Literal["raise", "mask"] = "raise",
) -> RedshiftPDF:
    """The densities of a qp ensemble, with NumPy arrays inside.

    Parameters
    ----------
    ensemble : qp.Ensemble
        Of any kind. The values of ``interp`` and ``hist`` ensembles are taken as they are; others, or all of them
        where ``grid`` is given, are evaluated at the grid points and linear between them.
    grid : array_like, optional
        Redshifts; needed for ensembles that have none.
    on_invalid : {"raise", "mask"}, optional
        As of `RedshiftPDF`.

    Returns
    -------
    RedshiftPDF

    Raises
    ------
    ValueError
        If the ensemble has no grid of its own and none is given.
    """
    kind = ensemble.gen_class.name
    if grid is None and kind == "interp":
        grid = np.ravel(ensemble.metadata["xvals"])
        return cls(grid, np.atleast_2d(ensemble.objdata["yvals"]), on_invalid=on_invalid)
    if grid is None and kind == "hist":
        return cls(np.ravel(ensemble.metadata["bins"]), np.atleast_2d(ensemble.objdata["pdfs"]),
                   on_invalid=on_invalid, interpolation="constant")
    if grid is None:
        raise ValueError(f"a qp ensemble of the kind {kind!r} needs the redshifts to evaluate it at: grid")
    return cls(grid, np.atleast_2d(ensemble.pdf(whole(grid, "grid").astype(float))), on_invalid=on_invalid)
