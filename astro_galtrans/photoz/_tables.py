"""Redshift densities and other columns from a table."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans._utils.tables import matching_columns, numbers, open_source, ragged
from astro_galtrans._utils.torch_state import checked_device
from astro_galtrans._utils.validation import text, whole_number
from astro_galtrans.photoz._pdf import RedshiftPDF

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import ArrayLike

__all__ = ["read_pdf_table"]

_PDF_NAMES = ("pdf", "density", "pdfs", "pz", "yvals", "data/yvals", "data/pdfs")
_GRID_NAMES = ("redshift_grid", "grid", "z_grid", "zgrid", "xvals", "meta/xvals", "bins", "meta/bins")


class MissingColumnError(ValueError):
    """A table has no column ``column``."""

    def __init__(self, message, column):
        super().__init__(message)
        self.column = column


def read_pdf_table(
    source: str | PathLike | Table, *, columns: Sequence[str] = (), pdf: str | None = None,
    grid: str | ArrayLike | None = None, table: str | int | None = None, format: str | None = None,
    interpolation: Literal["linear", "constant"] | None = None, device: str | torch.device | None = None,
) -> tuple[RedshiftPDF, Table]:
    """Read redshift densities from a table in a FITS, HDF5, Parquet, VOTable or text file.

    Parameters
    ----------
    source : str, path-like or `~astropy.table.Table`
        The table: FITS, HDF5, Parquet, VOTable, ECSV, or text with commas, semicolons, tabs or spaces. HDF5 files
        contain it as `astropy.table.Table.write` does, or as one dataset for each column, also in groups, as in files
        of qp; the names of columns are paths then, such as ``"data/yvals"``.
    columns : sequence of str, optional
        Names of other columns to read.
    pdf : str, optional
        The column of densities, a vector column; with a ``*`` the columns of numbers whose names match, in the order
        of the number in their names (``p_2`` before ``p_10``). By default the first of pdf, density, pdfs, pz,
        yvals that exists.
    grid : str or array_like, optional
        The redshifts of the densities: values; ``"first:last:n"``; or the name of an entry of the table's meta data,
        of a vector column that is the same in each row, of another HDU, or of a dataset of the HDF5 file. By default
        the first of redshift_grid, grid, z_grid, zgrid, xvals, bins that exists. One more value than densities means
        edges of bins.
    table : str or int, optional
        HDU of a FITS file, or dataset or group of an HDF5 file; by default the first table.
    format : str, optional
        ``"fits"``, ``"hdf5"``, ``"parquet"``, ``"votable"``, ``"text"`` or a format of `astropy.table.Table.read`; by
        default that of the content or name of the file.
    interpolation : {"linear", "constant"}, optional
        As in `RedshiftPDF`; it must agree with the numbers of redshifts and densities.
    device : str or `torch.device`, optional
        Device of the densities as tensors; by default they are NumPy arrays.

    Returns
    -------
    RedshiftPDF
        Rows that are masked, have another length or are no densities are masked, with a warning that counts them.
    `~astropy.table.Table`
        The other columns.

    Raises
    ------
    ImportError
        If h5py or pyarrow is missing and the format needs it.
    FileFormatError
        If the file cannot be read as a table.
    ValueError
        If there is no such column, or no grid that fits; the message has the existing names.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from astro_galtrans.photoz import read_pdf_table
    >>> table = Table({"z_spec": [0.2, 0.7], "pdf": np.ones((2, 11))})
    >>> read_pdf_table(table, columns=["z_spec"], grid="0:1:11")
    (<RedshiftPDF: 2 galaxies, 11 points from 0 to 1>, <Table length=2>
     z_spec
    float64
    -------
        0.2
        0.7)
    """
    for name, value in (("format", format), ("pdf", pdf)):
        if value is not None:
            text(value, name)
    if table is not None and not isinstance(table, str):
        whole_number(table, "table")
    device = None if device is None else checked_device(device)
    opened = open_source(source, table, format)
    try:
        density, chosen = _density(opened, pdf)
        redshifts = _grid(opened, grid)
    except ValueError as error:
        if opened.name in str(error):
            raise
        raise ValueError(f"{opened.name}: {error}") from error
    if len(redshifts) not in (density.shape[1], density.shape[1] + 1):
        raise ValueError(f"grid has {len(redshifts)} redshifts, {chosen} of {opened.name} {density.shape[1]} values "
                         "per galaxy: it must have as many, or one more if they are the edges of bins")
    known: Literal["linear", "constant"] = "linear" if len(redshifts) == density.shape[1] else "constant"
    if interpolation not in (None, known):
        raise ValueError(f"interpolation must be {known!r} for {len(redshifts)} redshifts and {density.shape[1]} "
                         f"values, got {interpolation!r}")
    others = Table({name: _column(opened, name) for name in columns})
    if columns and len(others) != len(density):
        raise ValueError(f"{opened.name} has {len(density)} densities and {len(others)} rows in its other columns")
    if device is not None:
        density, redshifts = (torch.from_numpy(values).to(device) for values in (density, redshifts))
    return RedshiftPDF(redshifts, density, on_invalid="mask", interpolation=known), others


def _names(opened):
    shown = ", ".join(opened.columns[:30])
    return shown + (f" and {len(opened.columns) - 30} more" if len(opened.columns) > 30 else "")


def _column(opened, name):
    if name not in opened.columns:
        raise MissingColumnError(f"{opened.name} has no column {name!r}; it has {_names(opened)}", name)
    return opened.column(name)


def _density(opened, name):
    """Return the densities, NaN where masked, and the name of their column."""
    if name is None:
        name = next((known for known in _PDF_NAMES if known in opened.columns), None)
        if name is None:
            raise ValueError(f"pdf must name the column of densities, because {opened.name} has no column "
                             f"{', '.join(_PDF_NAMES[:4])}; it has {_names(opened)}")
    if "*" in name:
        matching = matching_columns(opened.columns, name, opened.name)
        if not matching:
            raise ValueError(f"pdf must match columns of {opened.name}, got {name!r}; it has {_names(opened)}")
        values = np.stack([numbers(opened.column(column), column) for column in matching], axis=-1)
    else:
        if name not in opened.columns:
            raise ValueError(f"pdf must name a column of {opened.name}, got {name!r}; it has {_names(opened)}")
        values = opened.column(name)
        if isinstance(values, np.ndarray) and values.dtype == np.dtype("O"):
            values = ragged(list(values))
        values = numbers(values, name)
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(f"pdf must name a vector column, shape (n_galaxies, n_grid), got {name!r} of shape "
                         f"{values.shape}")
    return values, name


def _grid(opened, grid):
    """Return the redshifts of the densities."""
    if grid is not None and not isinstance(grid, str):
        return floats(whole(grid, "grid"), "grid", dtype=float)
    if grid is not None and grid.count(":") == 2:
        try:
            first, last, n = (kind(part) for kind, part in zip((float, float, int), grid.split(":")))
            return np.linspace(first, last, n)
        except ValueError:
            raise ValueError(f"grid must be first:last:n, as 0:2:201, got {grid!r}") from None
    for name in _GRID_NAMES if grid is None else (grid,):
        values = _named_grid(opened, name)
        if values is not None:
            return values
    if grid is None:
        raise ValueError(f"grid must be given, because {opened.name} has none: as first:last:n, or as the name of a "
                         f"column, of another HDU or dataset; its columns are {_names(opened)}")
    raise ValueError(f"grid must be first:last:n, as 0:2:201, or a name in the meta data, the columns "
                     f"({_names(opened)}) or beside the table of {opened.name}, got {grid!r}")


def _named_grid(opened, name):
    found = next((opened.meta[key] for key in opened.meta if key.lower() == name.lower()), None)
    if found is not None:
        return np.ravel(np.asarray(found, dtype=float))
    if name in opened.columns:
        values = numbers(opened.column(name), name)
        if values.ndim == 2 and len(values) and np.all(values == values[0]):
            return values[0]
        if values.ndim == 2 and len(values):
            raise ValueError(f"the column {name!r} of {opened.name} is not the same grid in each row; RedshiftPDF has "
                             "one for all galaxies")
    found = opened.other(name)
    return None if found is None else np.ravel(found).astype(float)
