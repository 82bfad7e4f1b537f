"""Trees of plain values: the form in which they are stored, and their checksum.

The checksum covers what neither the block checksums of ASDF nor the hash of a translator do: options, surveys, history
and provenance, and the objects other than translators.
"""

import hashlib
import struct
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from asdf.tags.core import NDArrayType

__all__ = ["digest", "plain"]


def plain(tree):
    """Return a copy of a tree that depends on no file.

    Mappings become dict, sequences list, and arrays of ASDF, which may still be in the open file, new ndarrays.
    """
    if isinstance(tree, Mapping):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [plain(value) for value in tree]
    if isinstance(tree, (NDArrayType, np.memmap)):
        return np.array(tree)
    if isinstance(tree, np.ndarray) or hasattr(tree, "colnames"):  # also a Quantity, and a Table
        return tree.copy()
    return tree


def digest(tree):
    """Return the SHA-256 of a tree, 64 hexadecimal digits, the same before it is written and after it is read.

    Parameters
    ----------
    tree : object
        Nested mappings, and lists or tuples (not distinguished), of None, bool, int, float, str, ndarrays, Quantities,
        units, Tables, Surveys and Bands.

    Raises
    ------
    TypeError
        If something else is in the tree; the message says where.
    """
    sha = hashlib.sha256()
    _feed(sha, tree, "")
    return sha.hexdigest()


def _head(sha, kind, *facts):
    sha.update(":".join([kind, *map(str, facts)]).encode() + b"\n")


def _feed(sha, value, where):
    if isinstance(value, Mapping):
        _head(sha, "dict", len(value))
        for key in sorted(value, key=str):
            _feed(sha, str(key), where)
            _feed(sha, value[key], f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        _head(sha, "list", len(value))
        for i, item in enumerate(value):
            _feed(sha, item, f"{where}[{i}]")
    elif type(value) is np.ndarray:
        _feed_array(sha, value, where)
    elif value is None or isinstance(value, (bool, np.bool_, Real, str)):
        _feed_scalar(sha, value)
    else:
        _feed_object(sha, value, where)


def _feed_scalar(sha, value):
    if value is None or isinstance(value, (bool, np.bool_)):
        _head(sha, "constant", None if value is None else bool(value))
    elif isinstance(value, Integral):
        _head(sha, "int", int(value))
    elif isinstance(value, Real):
        # The NaN of YAML has a sign.
        _head(sha, "float", "nan" if value != value else struct.pack("<d", float(value)).hex())
    else:
        encoded = value.encode()
        _head(sha, "str", len(encoded))
        sha.update(encoded)


def _feed_array(sha, array, where):
    if array.dtype.kind not in "biufcSU":
        raise TypeError(f"an array of dtype {array.dtype} cannot be stored, found at {where or 'the top'}")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind == "U":
        _feed(sha, array.ravel().tolist(), where)
        return
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
    _head(sha, "array", array.dtype.str, array.shape)
    sha.update(array.reshape(-1).view(np.uint8))


def _feed_object(sha, value, where):
    from astropy.table import Table
    from astropy.units import Quantity, UnitBase

    from astro_galtrans.surveys import Band, Survey

    if isinstance(value, Quantity):
        _feed(sha, [value.unit.to_string(), np.asarray(value.value)], where)
    elif isinstance(value, UnitBase):
        _feed(sha, value.to_string(), where)
    elif isinstance(value, Table):
        for name in value.colnames:
            _feed(sha, [name, _column_values(value[name])], f"{where}[{name!r}]")
    elif isinstance(value, Survey):
        # Only where there are keywords: most surveys have none, and earlier versions did not know them.
        keywords = [dict(value.keywords)] if value.keywords else []
        _feed(sha, [value.name, value.bands, value.pixel_scale, value.unit, value.description, *keywords], where)
    elif isinstance(value, Band):
        _feed(sha, [value.name, value.wavelength, value.response, value.zero_point, value.psf_fwhm, value.sky_noise,
                    value.gain], where)
    else:
        raise TypeError(f"a {type(value).__name__} cannot be stored, found at {where or 'the top'}")


def _column_values(column):
    """Return the values of a column, zero under the mask, and the mask, so that both count."""
    if getattr(column, "unit", None) is not None and not hasattr(column, "mask"):
        return [str(column.unit), np.array(getattr(column, "value", column))]
    mask = np.array(np.ma.getmaskarray(np.ma.asarray(column)))
    values = np.array(np.ma.getdata(np.ma.asarray(column)))
    values[mask] = np.zeros((), values.dtype)
    return [values, mask]
