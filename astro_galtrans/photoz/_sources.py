"""Columns of tables in FITS, HDF5, Parquet and text files, read by name and only when asked for."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from astro_galtrans._utils.optional import optional
from astro_galtrans.exceptions import FileFormatError

__all__ = ["open_source"]

_HDF5, _PARQUET, _FITS = (".h5", ".hdf5", ".hdf"), (".parquet", ".parq", ".pq"), (".fits", ".fit", ".fits.gz")


def open_source(source, table=None, format=None):
    """A table to take columns from.

    Parameters
    ----------
    source : str, path-like or `~astropy.table.Table`
    table : str or int, optional
        Which HDU of a FITS file, or which dataset or group of an HDF5 file.
    format : str, optional
        ``"fits"``, ``"hdf5"``, ``"parquet"`` or a format of `astropy.table.Table.read`; by the name of the file.

    Returns
    -------
    TableSource
    """
    if isinstance(source, Table):
        return TableSource(source, "the table")
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    name = path.name.lower()
    if format is None:
        kinds = (("hdf5", _HDF5), ("parquet", _PARQUET), ("fits", _FITS))
        format = next((kind for kind, ends in kinds if name.endswith(ends)), None)
    try:
        if format == "fits":
            return _FitsSource(path, table)
        if format == "hdf5":
            return _HDF5Source(path, table)
        if table is not None:
            raise ValueError(f"table chooses among the parts of FITS and HDF5 files, {path} is neither")
        if format == "parquet":
            return _ParquetSource(path)
        return TableSource(Table.read(path, format=format), str(path))
    except ImportError:
        raise
    except Exception as error:  # each format has errors of its own for a broken file
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileFormatError(f"{path} cannot be read as a table: {reason}") from error


class TableSource:
    """The columns of a table in memory.

    Attributes
    ----------
    name : str
        What it is, for messages.
    columns : list of str
        The names that it has.
    meta : dict
    """

    def __init__(self, table, name):
        self._table, self.name, self.columns, self.meta = table, name, list(table.colnames), dict(table.meta)

    def column(self, name):
        """One column as an array or masked array."""
        return self._table[name]

    def other(self, name):
        """What the file has under a name beside the table, as an array, or None."""


class _FitsSource(TableSource):
    def __init__(self, path, table):
        self._path = path
        with fits.open(path) as hdus:
            tables = [i for i, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU)]
            index = tables[0] if table is None and tables else table
            index = int(index) if isinstance(index, str) and index.isdigit() else index
            found = [i for i in tables if index in (i, hdus[i].name)]
            if not found:
                named = ", ".join(f"{i} {hdus[i].name}".strip() for i in tables) or "none"
                raise ValueError(f"{path} has no table {table if table is not None else ''}; its tables: {named}")
        super().__init__(Table.read(path, hdu=found[0]), str(path))

    def other(self, name):
        with fits.open(self._path) as hdus:
            if name.upper() not in [hdu.name for hdu in hdus]:
                return None
            data = hdus[name].data
            data = data[data.names[0]] if isinstance(hdus[name], fits.BinTableHDU) else data
            return None if data is None else np.array(data)


class _HDF5Source(TableSource):
    """A table as astropy writes it, or datasets, one a column, by their paths below a group."""

    def __init__(self, path, table):
        self._h5py, self._path = optional("h5py", "tables", "HDF5 files"), path
        with self._h5py.File(path) as file:
            if table is not None and table not in file:
                raise ValueError(f"{path} has no {table!r}; at its top: {', '.join(file)}")
            node = file if table is None else file[table]
            inside = node.items() if isinstance(node, self._h5py.Group) else [("", node)]
            whole = [key for key, item in inside if self._is_table(item) and not key.endswith("__table_column_meta__")]
            self._group = f"{node.name.rstrip('/')}/"
            columns, meta = [], dict(node.attrs)
            if len(whole) != 1 and isinstance(node, self._h5py.Group):
                node.visititems(lambda key, item: columns.append(key) if self._is_dataset(item) else None)
        if len(whole) == 1:
            super().__init__(Table.read(path, path=f"{self._group}{whole[0]}".rstrip("/"), format="hdf5"), str(path))
            return
        self._table, self.name, self.columns, self.meta = None, str(path), columns, meta

    def _is_dataset(self, item):
        return isinstance(item, self._h5py.Dataset)

    def _is_table(self, item):
        return self._is_dataset(item) and item.dtype.names is not None

    def column(self, name):
        if self._table is not None:
            return super().column(name)
        with self._h5py.File(self._path) as file:
            return file[f"{self._group}{name}"][()]

    def other(self, name):
        with self._h5py.File(self._path) as file:
            found = [file[path] for path in (f"{self._group}{name}", name) if path in file]
            return next((item[()] for item in found if self._is_dataset(item)), None)


class _ParquetSource(TableSource):
    def __init__(self, path):
        self._file = optional("pyarrow.parquet", "tables", "Parquet files").ParquetFile(path)
        schema = self._file.schema_arrow
        self.name, self.columns, self.meta = str(path), list(schema.names), {}
        text = (schema.metadata or {}).get(b"table_meta_yaml")
        if text is not None:  # as astropy writes it
            from astropy.table.meta import get_header_from_yaml

            self.meta = dict(get_header_from_yaml(text.decode().splitlines()).get("meta", {}))

    def column(self, name):
        column = self._file.read(columns=[name]).column(0).combine_chunks()
        if not column.type.num_fields:
            values = column.to_numpy(zero_copy_only=False)
            return np.ma.array(values, mask=np.asarray(column.is_null())) if column.null_count else values
        lengths = np.asarray(column.value_lengths().fill_null(-1)) if hasattr(column, "value_lengths") else None
        even = lengths is not None and len(lengths) and np.all(lengths == lengths[0])
        if column.null_count or not even:
            return ragged(column.to_pylist())
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def ragged(rows):
    """Rows as one array; those that are missing or of another length than most are NaN throughout."""
    rows = [None if row is None else np.ma.filled(np.ma.asarray(row, dtype=float), np.nan).ravel() for row in rows]
    lengths = [len(row) for row in rows if row is not None]
    if not lengths:
        return np.full((len(rows), 0), np.nan)
    n = int(np.bincount(lengths).argmax())
    return np.array([row if row is not None and len(row) == n else np.full(n, np.nan) for row in rows])
