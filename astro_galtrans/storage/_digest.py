"""Trees of plain values: the form in which they are stored, and their checksum."""

import hashlib
import struct
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from asdf.tags.core import NDArrayType

__all__ = ["digest", "plain"]


def plain(tree):
    """A copy of a tree that depends on no file: dicts, lists, scalars, arrays in memory, and objects as they are.

    Parameters
    ----------
    tree : object
        As ASDF hands it to a converter; its arrays may still lie in the open file.

    Returns
    -------
    object
        Mappings as dict, sequences as list, ASDF arrays as new, writeable ndarrays. ASDF sorts the keys of a mapping.
    """
    if isinstance(tree, Mapping):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [plain(value) for value in tree]
    if isinstance(tree, NDArrayType):
        return np.array(tree)
    if isinstance(tree, np.memmap):
        return np.array(tree)
    if isinstance(tree, np.ndarray) or hasattr(tree, "colnames"):  # also a Quantity, and a Table
        return tree.copy()
    return tree


def digest(tree):
    """SHA-256 of a tree, the same before it is written and after it is read.

    Parameters
    ----------
    tree : object
        Nested mappings, lists and tuples (not told apart), None, bool, int, float, str, ndarrays, Quantities, units,
        Tables, Surveys and Bands.

    Returns
    -------
    str
        64 hexadecimal digits.

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
    if value is None or isinstance(value, (bool, np.bool_)):
        _head(sha, "constant", None if value is None else bool(value))
    elif isinstance(value, Integral):
        _head(sha, "int", int(value))
    elif isinstance(value, Real):
        _head(sha, "float", "nan" if value != value else struct.pack("<d", float(value)).hex())  # YAML's has a sign
    elif isinstance(value, str):
        encoded = value.encode()
        _head(sha, "str", len(encoded))
        sha.update(encoded)
    elif isinstance(value, Mapping):
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
    else:
        _feed_object(sha, value, where)


def _feed_array(sha, array, where):
    if array.dtype.kind not in "biufcSU":
        raise TypeError(f"an array of dtype {array.dtype} cannot be stored, found at {where or 'the top'}")
    if array.dtype.kind in "SU":
        _feed(sha, [str(item) for item in np.char.decode(array, "utf-8").flat] if array.dtype.kind == "S"
              else array.ravel().tolist(), where)
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
        # Keywords are fed only where there are some: most surveys have none, and their hash was there before them.
        _feed(sha, [value.name, value.bands, value.pixel_scale, value.unit, value.description,
                    *([dict(value.keywords)] if value.keywords else [])], where)
    elif isinstance(value, Band):
        _feed(sha, [value.name, value.wavelength, value.response, value.zero_point, value.psf_fwhm, value.sky_noise,
                    value.gain], where)
    else:
        raise TypeError(f"a {type(value).__name__} cannot be stored, found at {where or 'the top'}")


def _column_values(column):
    """The column's values with a fixed one under the mask, beside the mask itself, so that both count."""
    if getattr(column, "unit", None) is not None and not hasattr(column, "mask"):
        return [str(column.unit), np.array(getattr(column, "value", column))]
    mask = np.array(np.ma.getmaskarray(np.ma.asarray(column)))
    values = np.array(np.ma.getdata(np.ma.asarray(column)))
    values[mask] = np.zeros((), values.dtype)
    return [values, mask]
