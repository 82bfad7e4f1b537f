"""Conversion of the values of ``meta`` to JSON and back."""

import base64
import json
import warnings
from collections.abc import Mapping

import astropy.units as u
import numpy as np
import yaml
from astropy.io import fits
from astropy.io.misc import yaml as astropy_yaml
from astropy.table import Column, MaskedColumn
from astropy.utils.masked import Masked

from astro_galtrans._utils.bounds import check_yaml
from astro_galtrans.exceptions import GaltransWarning

__all__ = ["decoded", "encoded", "writable"]

_CARDS = "fits_header_cards"
# Errors of encoding a value that a file cannot hold.
_UNWRITABLE = (TypeError, ValueError, AttributeError, RecursionError, fits.VerifyError, yaml.YAMLError)


def writable(meta, name="meta", *, arrays=False, refuse=False, stacklevel=2):
    """Return the entries of ``meta`` that can be written and read again, encoded; a warning names each of the others.

    With ``arrays``, arrays and quantities stay as they are, for ASDF. With ``refuse``, an entry that cannot be written
    is a TypeError.
    """
    found = {}
    for key, value in meta.items():
        try:
            if not isinstance(key, str):
                raise TypeError("its key is not text")
            text = json.dumps(encoded(value))
            if json.dumps(encoded(decoded(json.loads(text)))) != text:
                raise ValueError("it comes back changed")
            found[str(key)] = encoded(value, arrays=True) if arrays else json.loads(text)
        except _UNWRITABLE as error:
            message = f"{name}[{key!r}] is a {type(value).__name__} or holds something that cannot be written and read"
            if refuse:
                raise TypeError(message) from error
            warnings.warn(f"{message}; it is left out", GaltransWarning, stacklevel + 1)
    return found


def encoded(value, *, arrays=False):
    """Return a value in types of JSON, with a tag on other types.

    With ``arrays``, plain arrays and quantities stay as they are, and values that YAML alters are tagged.
    """
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if value is np.ma.masked:
        return {"__masked__": None}
    if isinstance(value, (str, int, float)):
        return _encoded_plain(value, arrays)
    if isinstance(value, np.generic):
        plain = value.item()
        if type(plain) in (int, float, str):
            return _encoded_plain(plain, arrays)
        return {"__scalar__": encoded(np.asarray(value), arrays=arrays)}
    if isinstance(value, complex):
        return {"__complex__": [value.real, value.imag]}
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode()}
    if isinstance(value, u.UnitBase):
        return {"__unit__": value.to_string()}
    if isinstance(value, (set, frozenset, tuple, list, Mapping, fits.Header)):
        return _encoded_container(value, arrays)
    return _encoded_array(value, arrays)


def _encoded_container(value, arrays):
    if isinstance(value, (set, frozenset)):
        items = sorted((encoded(item, arrays=arrays) for item in value), key=repr)
        return {"__set__": items, "frozen": isinstance(value, frozenset)}
    if isinstance(value, tuple):
        return {"__tuple__": [encoded(item, arrays=arrays) for item in value]}
    if isinstance(value, list):
        return [encoded(item, arrays=arrays) for item in value]
    if isinstance(value, fits.Header):
        if arrays:  # the form in which ASDF files have always had it
            return {_CARDS: value.tostring(sep="\n", endcard=False, padding=False)}
        return {"__header__": value.tostring(sep="\n")}
    if all(isinstance(key, str) and key not in _DECODERS for key in value):
        return {str(key): encoded(item, arrays=arrays) for key, item in value.items()}
    return {"__dict__": [[encoded(one, arrays=arrays) for one in pair] for pair in value.items()]}


def _encoded_plain(value, arrays):
    """Return a str, int or float as the type of Python."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return {"__int__": str(int(value))} if arrays and not -2**63 <= value < 2**63 else int(value)
    odd = any(not (letter.isprintable() or letter in "\n\t") for letter in value)
    return {"__text__": json.dumps(str(value))} if arrays and odd else str(value)


def _encoded_array(value, arrays):
    """Return the encoding of an array of any type, or of an object that astropy stores in YAML."""
    if isinstance(value, Column):
        plain = np.asarray(value)
        if isinstance(value, MaskedColumn):
            plain = np.ma.MaskedArray(plain, np.array(np.ma.getmaskarray(value)))
        return {"__column__": encoded(plain, arrays=arrays), "name": value.name, "description": value.description,
                "unit": None if value.unit is None else value.unit.to_string(),
                "meta": encoded(dict(value.meta), arrays=arrays)}
    if type(value) is np.ma.MaskedArray:
        return {"__masked__": encoded(value.data, arrays=arrays),
                "mask": encoded(np.asarray(np.ma.getmaskarray(value)), arrays=arrays)}
    if isinstance(value, Masked):
        return {"__astropy_masked__": encoded(value.unmasked, arrays=arrays),
                "mask": encoded(np.asarray(value.mask), arrays=arrays)}
    if type(value) is u.Quantity:
        if arrays and value.dtype.kind == "f" and value.dtype.itemsize <= 8:
            return value
        return {"__quantity__": encoded(np.asarray(value.value), arrays=arrays), "unit": value.unit.to_string()}
    if type(value) is not np.ndarray:
        return {"__yaml__": astropy_yaml.dump(value)}
    kind = value.dtype.kind
    if arrays and kind in "biuf" and value.dtype.itemsize <= 8:
        return value
    found = {"__array__": value.tolist(), "dtype": value.dtype.str}
    if kind in "Mm":
        found["__array__"] = encoded(value.view("i8"), arrays=arrays)
    elif kind == "S":
        found["__array__"] = np.char.decode(value, "latin-1").tolist()
    elif kind == "f" and value.dtype.itemsize > 8:
        found["__array__"] = [np.format_float_scientific(one) for one in value.flat]
        found["shape"] = list(value.shape)
    elif kind == "c" and value.dtype.itemsize <= 16:
        found["__array__"] = [value.real.tolist(), value.imag.tolist()]
    elif kind not in "biufU":
        raise TypeError(f"an array of dtype {value.dtype}")
    if value.size == 0:
        found["shape"] = list(value.shape)
    return found


def decoded(value):
    """Return a value from its encoding by `encoded`."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    for tag, decode in _DECODERS.items():
        if tag in value:
            return decode(value)
    return {key: decoded(item) for key, item in value.items()}


def _decoded_array(value):
    dtype, items = np.dtype(value["dtype"]), value["__array__"]
    if dtype.kind in "Mm":
        array = decoded(items).astype("i8").view(dtype)
    elif dtype.kind == "S":
        array = np.char.encode(np.array(items, dtype=f"U{max(dtype.itemsize, 1)}"), "latin-1").astype(dtype)
    elif dtype.kind == "c" and isinstance(items, list) and len(items) == 2:
        array = np.array(np.array(items[0]) + 1j * np.array(items[1]), dtype=dtype)
        array.real, array.imag = items
    else:
        array = np.array(items, dtype=dtype)
    return array.reshape(value["shape"]) if "shape" in value else array


def _decoded_quantity(value):
    number = value["__quantity__"]  # a list in files of the first version
    if isinstance(number, (list, float, int)):
        return u.Quantity(number, value["unit"])
    number = decoded(number)
    return u.Quantity(number, value["unit"], dtype=number.dtype)


def _decoded_masked(value):
    if value["__masked__"] is None:
        return np.ma.masked
    return np.ma.MaskedArray(decoded(value["__masked__"]), decoded(value["mask"]))


def _decoded_column(value):
    data = decoded(value["__column__"])
    kind = MaskedColumn if isinstance(data, np.ma.MaskedArray) else Column
    return kind(data, name=value["name"], unit=value["unit"], description=value["description"],
                meta=decoded(value["meta"]))


def _decoded_yaml(value):
    check_yaml(value["__yaml__"], "meta")
    return astropy_yaml.load(value["__yaml__"])


_DECODERS = {
    "__header__": lambda value: fits.Header.fromstring(value["__header__"], sep="\n"),
    _CARDS: lambda value: fits.Header.fromstring(value[_CARDS], sep="\n"),
    "__unit__": lambda value: u.Unit(value["__unit__"]),
    "__quantity__": _decoded_quantity,
    "__array__": _decoded_array,
    "__scalar__": lambda value: decoded(value["__scalar__"])[()],
    "__masked__": _decoded_masked,
    "__astropy_masked__": lambda value: Masked(decoded(value["__astropy_masked__"]), mask=decoded(value["mask"])),
    "__column__": _decoded_column,
    "__tuple__": lambda value: tuple(decoded(item) for item in value["__tuple__"]),
    "__set__": lambda value: (frozenset if value["frozen"] else set)(decoded(value["__set__"])),
    "__dict__": lambda value: {key: item for key, item in (decoded(pair) for pair in value["__dict__"])},
    "__complex__": lambda value: complex(*value["__complex__"]),
    "__bytes__": lambda value: base64.b64decode(value["__bytes__"]),
    "__int__": lambda value: int(value["__int__"]),
    "__text__": lambda value: json.loads(value["__text__"]),
    "__yaml__": _decoded_yaml,
}
