"""Read tables: FITS, HDF5, Parquet, VOTable and text files, as archives and their users write them.

The first bytes of a file decide its format, not its name. `read_table` returns a whole table; `open_source` reads
columns by name when they are needed. `numbers` converts a column to floats, and `matching_columns` sorts columns by the
numbers in their names.
"""

import csv
import io
import itertools
import re
import warnings
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import ascii, fits
from astropy.table import Column, MaskedColumn, Table
from astropy.utils.exceptions import AstropyWarning

from astro_galtrans._utils.bounds import check_unpacked, check_yaml, unpacked
from astro_galtrans._utils.masked import NULLS, floats, is_null, split
from astro_galtrans._utils.positions import angle_unit
from astro_galtrans._utils.optional import optional
from astro_galtrans.exceptions import FileFormatError

__all__ = ["matching_columns", "numbers", "open_source", "ragged", "read_table"]

_MAGIC = {b"\x89HDF\r\n\x1a\n": "hdf5", b"PAR1": "parquet", b"SIMPLE  =": "fits"}
_ENDS = {"hdf5": (".h5", ".hdf5", ".hdf"), "parquet": (".parquet", ".parq", ".pq")}
# Text formats with readers of their own.
_OTHER_TEXT = (".html", ".htm", ".tex", ".rst", ".mrt", ".qdp", ".rdb", ".asdf")
# Patterns of texts with a special layout, by the format of astropy that reads them.
_MARKS = {
    "ipac": r"\A(\\.*\n)*\|", "cds": "^Byte-by-byte Description of file", "sextractor": r"\A#\s*1\s+[A-Z]\w+",
    "daophot": r"\A#K\s",
}
_DELIMITERS = (",", ";", "\t", "|")
_LARGE_INTEGER = re.compile(r"\d{1,20}")
_DRAWN = re.compile(r"(?=.*---)[-+|=;\s]+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?|[+-]?\d+")


def read_table(source, name="catalog", table=None, format=None):
    """Return a new `~astropy.table.Table` with masked values where they are missing, from a file or another table.

    See `open_source` for the arguments and errors.
    """
    return open_source(source, table, format, name).whole()


def open_source(source, table=None, format=None, name="source"):
    """Return a `TableSource`, which reads columns by name.

    Parameters
    ----------
    source : str, path-like or `~astropy.table.Table`
    table : str or int, optional
        The HDU of a FITS file, table of a VOTable file, or dataset or group of an HDF5 file.
    format : str, optional
        ``"fits"``, ``"hdf5"``, ``"parquet"``, ``"votable"``, ``"text"`` or a format of `astropy.table.Table.read`; by
        default the content of the file decides.
    name : str, optional
        Argument, for messages.

    Raises
    ------
    TypeError, FileNotFoundError, FileFormatError
        If ``source`` is neither a table nor a path, does not exist, or is not a complete table.
    """
    if isinstance(source, Table):
        return TableSource(source, "the table")
    try:
        path = Path(source)
    except TypeError:
        raise TypeError(f"{name} must be a Table or the path of one, got {type(source).__name__}") from None
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        kind = _kind(path) if format is None else format
        if kind in _READERS:
            return _READERS[kind](path, table)
        if table is not None:
            raise ValueError(f"table chooses among the parts of FITS and HDF5 files, and of VOTables; {path} is none")
        if kind == "parquet":
            return _ParquetSource(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)  # of a unit that is quoted where it matters
            read = _read_text(path) if kind == "text" else Table.read(path, format=format)
        return TableSource(read, str(path))
    except ImportError:
        raise
    except Exception as error:  # each format has errors of its own for a broken file
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileFormatError(f"{path} is not a table, or not a whole one: {reason}") from error


def _bytes_of(path):
    """Return the bytes of a file, decompressed."""
    return unpacked(path.read_bytes(), path)


def _kind(path):
    with open(path, "rb") as file:
        start = file.read(8)
    kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)
    if kind is not None:
        return kind
    named = next((kind for kind, ends in _ENDS.items() if path.name.lower().endswith(ends)), None)
    if named is not None:  # a damaged one is not text
        return named
    start = _bytes_of(path)[:4096]
    if start.startswith(b"SIMPLE  ="):
        return "fits"
    if re.search(rb"<(\w+:)?VOTABLE", start.replace(b"\0", b"")):
        return "votable"
    if Path(path.name.lower().removesuffix(".gz")).suffix in _OTHER_TEXT:
        return None
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("its bytes are of none of the formats that are read")
    return "text"


def _decoded(data):
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _read_text(path):
    """Read lines separated by commas, semicolons, tabs, bars or spaces, with comments anywhere."""
    text = _decoded(_bytes_of(path))
    if text.startswith("# %ECSV"):
        header = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
        check_yaml("\n".join(line.removeprefix("#").removeprefix(" ") for line in header if "%ECSV" not in line), path)
        return Table.read(text, format="ascii.ecsv")
    lines = [line for line in text.splitlines() if line.strip()]
    comments = [line for line in lines if line.lstrip().startswith("#")]
    body = [line for line in lines if not line.lstrip().startswith("#")]
    if not body:
        raise ValueError("it has no line that is not a comment")
    for format, mark in _MARKS.items():
        if re.search(mark, text, re.MULTILINE):
            return ascii.read(text, format=format)
    header = _header_in_comments(comments, body[0])
    if header is not None:
        body.insert(0, header)
    if re.fullmatch("sep=.", body[0].strip()):  # of spreadsheets
        del body[0]
    units = _removed_units(body)
    delimiter = _delimiter(body)
    names = _fields(body[0], delimiter)
    if all(_is_number(name) for name in names):
        raise ValueError(f"its first line, {body[0][:60]!r}, holds numbers and not the names of columns")
    if len(set(names)) < len(names):
        raise ValueError(f"its columns must have different names, got {', '.join(names)}")
    table = _parsed(body, delimiter)
    table.meta.pop("comments", None)
    if comments:
        table.meta["comments"] = [line.lstrip("# ").rstrip() for line in comments]
    for line in units:
        for name, unit in zip(table.colnames, line.split(delimiter)):
            if unit.strip():
                table[name].unit = u.Unit(unit.strip(), parse_strict="silent")
    return table


def _removed_units(body):
    """Remove and return the lines between the names and a drawn line, where VizieR has the units."""
    drawn = next((row for row in (1, 2) if len(body) > row and _DRAWN.fullmatch(body[row])), 0)
    units = body[1:drawn]
    del body[1:drawn + 1]
    return units


def _parsed(body, delimiter):
    """Return the table of lines, with text converted to numbers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "OverflowError converting", AstropyWarning)  # see _typed
        kind = {"format": "tab"} if delimiter == "\t" else {"format": "basic", "delimiter": delimiter}
        table = ascii.read(body, **kind, guess=False, comment="a^",
                           fill_values=[("", "0"), *((one, "0") for one in NULLS)])
    for name in table.colnames:
        table[name] = _typed(table[name], delimiter)
    return table


def _fields(line, delimiter):
    return line.split() if delimiter == " " else [one.strip() for one in next(csv.reader([line], delimiter=delimiter))]


def _delimiter(body):
    """Return the delimiter with the same number of fields in the first lines, or with most in the first line."""
    counts = {one: [len(_fields(line, one)) for line in body[:20]] for one in (*_DELIMITERS, " ")}
    counts = {one: found for one, found in counts.items() if found[0] > 1} or {" ": [1]}
    even = {one: found for one, found in counts.items() if len(set(found)) == 1} or counts
    return max(even, key=lambda one: (one != " ", even[one][0]))


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _header_in_comments(comments, first):
    """Return the last comment if it has the names of columns and the first line after it has numbers; or None."""
    if not comments:
        return None
    header = comments[-1].lstrip().lstrip("#").strip()
    delimiter = _delimiter([header, first])
    values = _fields(first, delimiter)
    if len(_fields(header, delimiter)) == len(values) and any(_is_number(one) for one in values) and not any(
            _is_number(one) for one in _fields(header, delimiter)):
        return header
    return None


def _typed(column, delimiter):
    """Convert text to numbers: unsigned integers of 64 bits, and decimal commas between semicolons."""
    values, mask, _ = split(column, column.name)
    if values.dtype.kind != "U":
        return column
    known = values if mask is None else values[~mask]
    if len(known) and all(_LARGE_INTEGER.fullmatch(one) for one in known) and max(map(int, known)) < 2**64:
        kind, convert = np.uint64, int
    elif delimiter == ";" and len(known) and all(_DECIMAL_COMMA.fullmatch(one) for one in known):
        kind, convert = float, lambda one: float(one.replace(",", "."))
    else:
        return column
    new = np.zeros(len(values), kind)
    new[slice(None) if mask is None else ~mask] = [convert(one) for one in known]
    return Column(new, column.name) if mask is None else MaskedColumn(new, column.name, mask=mask)


def numbers(column, name):
    """Return a column of numbers or text as floats, NaN where it is masked or has a word for a missing value."""
    values, mask, _ = parts = split(column, name)
    if values.dtype.kind not in "SU":
        return floats(parts, name, dtype=float, kinds="iufb")
    values = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    missing = is_null(values) if mask is None else is_null(values) | mask
    out = np.full(values.shape, np.nan)
    for place in zip(*np.nonzero(~missing)):
        try:
            out[place] = float(values[place])
        except ValueError:
            raise ValueError(f"{name} must hold numbers, got {str(values[place])!r}") from None
    return out


def matching_columns(columns, pattern, name="the table"):
    """Return the columns whose names match a pattern, as ``"p_*"``, in the order of the numbers in their names.

    The names of several columns must differ in one number, else it is a ValueError.
    """
    found = [column for column in columns if fnmatchcase(column, pattern)]
    if len(found) < 2:
        return found
    parts = [re.split(r"(\d+(?:\.\d+)?)", column) for column in found]
    usual = max({tuple(part[::2]) for part in parts}, key=[tuple(part[::2]) for part in parts].count)
    strange = [column for column, part in zip(found, parts) if tuple(part[::2]) != usual]
    if strange:
        raise ValueError(f"{pattern!r} must match columns of {name} whose names differ in a number alone, it matches "
                         f"{', '.join(found[:3])} and {', '.join(strange[:10])}")
    values = np.array([[float(one) for one in part[1::2]] for part in parts])
    varying = [index for index in range(values.shape[1]) if len(set(values[:, index])) > 1]
    if len(varying) != 1:
        raise ValueError(f"{pattern!r} must match columns of {name} whose names differ in one number, got "
                         f"{', '.join(found[:10])}")
    order = values[:, varying[0]]
    if len(set(order)) < len(order):
        same = [column for column, value in zip(found, order) if np.count_nonzero(order == value) > 1]
        raise ValueError(f"{pattern!r} matches columns of {name} with the same number: {', '.join(same[:10])}")
    return [found[index] for index in np.argsort(order)]


class TableSource:
    """The columns of a table in memory: its ``name`` in messages, the names of its ``columns``, and ``meta``."""

    def __init__(self, table, name):
        self._table, self.name, self.columns, self.meta = table, name, list(table.colnames), dict(table.meta)

    def column(self, name):
        """Return one column as an array or masked array."""
        return self._table[name]

    def whole(self):
        """Return all columns as a new `~astropy.table.Table`."""
        table = self._table.copy(copy_data=False)
        for name in table.colnames:
            column = table[name]
            if isinstance(column, Column) and column.dtype.kind == "O":  # text of VOTable and Parquet
                values, mask, _ = split(column, name)
                if values.dtype.kind != "O":
                    kind = {"unit": column.unit, "description": column.description}
                    table[name] = Column(values, **kind) if mask is None else MaskedColumn(values, mask=mask, **kind)
            elif isinstance(column, Column) and isinstance(column.unit, u.UnrecognizedUnit):
                try:
                    column.unit = angle_unit(column.unit, name)
                except ValueError:  # reported where the column is used
                    continue
        return table

    def other(self, name):
        """Return the array that the file has under a name beside the table, or None."""


class _FitsSource(TableSource):
    def __init__(self, path, table):
        self._path = path
        with open(path, "rb") as stream, fits.open(stream) as hdus:  # astropy leaves a damaged file open
            for hdu in hdus:
                _check_comments(hdu.header, path)
            tables = [i for i, hdu in enumerate(hdus)
                      if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)) and not isinstance(hdu, fits.CompImageHDU)]
            index = tables[0] if table is None and tables else table
            index = int(index) if isinstance(index, str) and index.isdigit() else index
            found = [i for i in tables if index in (i, hdus[i].name)]
            if not found:
                named = ", ".join(f"{i} {hdus[i].name}".strip() for i in tables) or "none"
                raise ValueError(f"{path} has no table {table if table is not None else ''}; its tables: {named}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)  # of a unit that is quoted where it matters
            super().__init__(Table.read(path, hdu=found[0], format="fits"), str(path))

    def other(self, name):
        with open(self._path, "rb") as stream, fits.open(stream) as hdus:
            if name.upper() not in [hdu.name for hdu in hdus]:
                return None
            data = hdus[name].data
            data = data[data.names[0]] if isinstance(hdus[name], fits.BinTableHDU) else data
            return None if data is None else np.array(data)


class _VOTableSource(TableSource):
    def __init__(self, path, table):
        from astropy.io.votable import parse

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # small faults of the archives' files
            content = _bytes_of(path)
            if re.search(rb"<(\w+:)?STREAM[^>]*\shref\s*=\s*[\"'](?!data:)", content, re.IGNORECASE):
                raise ValueError(f"{path} refers to values in another file, which is not followed")
            found = list(parse(io.BytesIO(content), verify="ignore").iter_tables())
            index = str(0 if table is None else table)
            chosen = [one for number, one in enumerate(found) if index in (str(number), one.ID, one.name)]
            if not chosen:
                named = ", ".join(f"{number} {one.name or one.ID or ''}".strip() for number, one in enumerate(found))
                raise ValueError(f"{path} has no table {index}; its tables: {named or 'none'}")
            super().__init__(chosen[0].to_table(use_names_over_ids=True), str(path))


class _HDF5Source(TableSource):
    """A table that astropy wrote, or datasets as columns, by their paths below a group."""

    def __init__(self, path, table):
        self._h5py, self._path = _module("h5py", "HDF5"), path
        with self._h5py.File(path) as file:
            self._check(file, path)
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

    def _check(self, group, path):
        """Check the datasets of a group before any is read: their place, their sizes and their YAML."""
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, self._h5py.ExternalLink):
                raise ValueError(f"{path} refers to {link.filename!r} in {name!r}, which is not followed")
        size = path.stat().st_size

        def check(name, item):
            if not self._is_dataset(item):
                return
            if item.external or item.is_virtual:
                raise ValueError(f"{path} has the values of {name!r} in another file, which is not followed")
            check_unpacked(item.nbytes, size, path)
            if name.endswith("__table_column_meta__"):
                check_yaml(b"\n".join(np.atleast_1d(item[()]).astype("S").tolist()), path)

        group.visititems(check)

    def _is_dataset(self, item):
        return isinstance(item, self._h5py.Dataset)

    def _is_table(self, item):
        return self._is_dataset(item) and item.dtype.names is not None

    def column(self, name):
        if self._table is not None:
            return super().column(name)
        with self._h5py.File(self._path) as file:
            return file[f"{self._group}{name}"][()]

    def whole(self):
        if self._table is not None:
            return super().whole()
        columns = {name: self.column(name) for name in self.columns}
        lengths = [len(values) for values in columns.values() if np.ndim(values)]
        n = max(set(lengths), key=lengths.count) if lengths else 0
        self._table = Table({name: values for name, values in columns.items() if np.ndim(values) and len(values) == n},
                            meta=self.meta)
        return super().whole()

    def other(self, name):
        with self._h5py.File(self._path) as file:
            found = [file[path] for path in (f"{self._group}{name}", name) if path in file]
            return next((item[()] for item in found if self._is_dataset(item)), None)


class _ParquetSource(TableSource):
    def __init__(self, path):
        self._file = _module("pyarrow.parquet", "Parquet").ParquetFile(path)
        schema = self._file.schema_arrow
        self.name, self.columns, self.meta, self._units = str(path), list(schema.names), {}, {}
        text = (schema.metadata or {}).get(b"table_meta_yaml")
        if text is not None:  # as astropy writes it
            from astropy.table.meta import get_header_from_yaml

            check_yaml(text, path)
            header = get_header_from_yaml(text.decode().splitlines())
            self.meta = dict(header.get("meta", {}))
            self._units = {one["name"]: one["unit"] for one in header.get("datatype", ()) if one.get("unit")}

    def column(self, name):
        try:
            column = self._file.read(columns=[name]).column(0).combine_chunks()
        except (OSError, ValueError) as error:  # of pyarrow, for damaged pages
            reason = " ".join(str(error).split())
            raise FileFormatError(f"{self.name} has a damaged column {name!r}: {reason}") from error
        if not column.type.num_fields:
            if not column.null_count:
                return column.to_numpy(zero_copy_only=False)
            filled = column.fill_null(0) if "int" in str(column.type) else column  # an integer stays exact
            return MaskedColumn(filled.to_numpy(zero_copy_only=False), mask=np.asarray(column.is_null()))
        lengths = np.asarray(column.value_lengths().fill_null(-1)) if hasattr(column, "value_lengths") else None
        even = lengths is not None and len(lengths) and np.all(lengths == lengths[0])
        if column.null_count or not even:
            return ragged(column.to_pylist())
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)

    def whole(self):
        self._table = Table({name: self.column(name) for name in self.columns}, meta=self.meta)
        for name, unit in self._units.items():
            self._table[name].unit = unit
        return super().whole()


def _check_comments(header, path):
    """Check the YAML that astropy writes to the comments of a FITS table."""
    comments = [str(line) for line in header.get("COMMENT", ())]
    begin, end = "--BEGIN-ASTROPY-SERIALIZED-COLUMNS--", "--END-ASTROPY-SERIALIZED-COLUMNS--"
    if begin in comments:
        lines = itertools.takewhile(lambda line: line != end, comments[comments.index(begin) + 1:])
        # A line that goes on ends in a backslash.
        check_yaml("\n".join(lines).replace("\\\n", ""), path)


_READERS = {"fits": _FitsSource, "hdf5": _HDF5Source, "votable": _VOTableSource}


def ragged(rows):
    """Return rows as one array; rows that are missing or of another length than most are all NaN."""
    rows = [None if row is None or row is np.ma.masked else floats(row, "row", dtype=float).ravel() for row in rows]
    lengths = [len(row) for row in rows if row is not None]
    if not lengths:
        return np.full((len(rows), 0), np.nan)
    n = int(np.bincount(lengths).argmax())
    return np.array([row if row is not None and len(row) == n else np.full(n, np.nan) for row in rows])


def _module(name, format):
    return optional(name, "tables", f"reading {format} files")
