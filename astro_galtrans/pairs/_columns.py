"""What a set of pairs on disk holds beside images: one array a column, and no Python objects."""

import numpy as np
from astropy.table import Table

from astro_galtrans._utils.masked import split
from astro_galtrans._utils.meta import decoded, writable

__all__ = ["get_catalog", "get_column", "put_catalog", "put_column"]


def put_column(group, name, values):
    """An array of numbers as it is, of strings as the bytes of their UTF-8, of bytes as bytes."""
    encoding = {"U": "utf-8", "S": "bytes"}.get(values.dtype.kind, "plain")
    if encoding != "plain":
        encoded = values if encoding == "bytes" else np.char.encode(values, "utf-8")
        width = max(encoded.dtype.itemsize, 1)
        values = np.frombuffer(encoded.astype(f"S{width}").tobytes(), np.uint8).reshape(*values.shape, width)
    elif values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise TypeError(f"column {name!r} cannot be written: it holds {values.dtype}, not numbers or strings")
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("="))
    array = group.create_array(name, shape=values.shape, dtype=values.dtype, config={"write_empty_chunks": True},
                               chunks=tuple(max(side, 1) for side in values.shape))
    array[...] = values
    array.attrs["encoding"] = encoding


def get_column(group, name):
    array = group[name]
    values = np.asarray(array[...])
    if array.attrs["encoding"] == "plain":
        return values
    values = np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0]
    return np.char.decode(values, "utf-8") if array.attrs["encoding"] == "utf-8" else values


def put_catalog(group, catalog):
    """The columns as arrays; what describes them is returned, as JSON types."""
    columns = []
    for name in catalog.colnames:
        column = catalog[name]
        if not hasattr(column, "dtype") or not hasattr(column, "unit"):
            kind = type(column).__name__
            raise TypeError(f"column {name!r} of the catalog cannot be written: {kind} is not a plain column")
        values, mask, _ = split(column, name)
        key = f"column_{len(columns)}"
        try:
            put_column(group, key, values)
        except TypeError as error:
            raise TypeError(f"column {name!r} of the catalog cannot be written: it holds {values.dtype}") from error
        if mask is not None:
            put_column(group, f"{key}_mask", mask)
        columns.append({"name": name, "key": key, "unit": None if column.unit is None else column.unit.to_string(),
                        "description": column.description, "masked": mask is not None,
                        "format": column.format if isinstance(column.format, str) else None,
                        "meta": writable(column.meta, f"catalog[{name!r}].meta", refuse=True)})
    return {"columns": columns, "meta": writable(catalog.meta, "catalog.meta", refuse=True)}


def get_catalog(group, described):
    catalog = Table(meta=decoded(described["meta"]), masked=False)
    for column in described["columns"]:
        values = get_column(group, column["key"])
        if column["masked"]:
            values = np.ma.MaskedArray(values, get_column(group, f"{column['key']}_mask"))
        catalog[column["name"]] = values
        catalog[column["name"]].unit = column["unit"]
        catalog[column["name"]].description = column["description"]
        catalog[column["name"]].format = column.get("format")
        catalog[column["name"]].meta.update(decoded(column.get("meta", {})))
    return catalog
