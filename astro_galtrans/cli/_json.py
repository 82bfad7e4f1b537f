"""Results of the verbs as JSON."""

import json
import math
from pathlib import PurePath

__all__ = ["as_json"]


def as_json(value):
    """JSON of str, numbers, paths, arrays, quantities and tables; what is not finite becomes null.

    A table is a list of its rows, each an object; a quantity the object of its value and unit.
    """
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value):
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [_plain(item) for item in value]
    return _plain_array(value)


def _plain_array(value):
    """Of NumPy and astropy, which are there already where such a value is."""
    import numpy as np
    from astropy.table import Table
    from astropy.units import Quantity, UnitBase

    if isinstance(value, Table):
        return [{name: _plain(row[name]) for name in value.colnames} for row in value]
    if isinstance(value, Quantity):
        return {"value": _plain(value.value), "unit": value.unit.to_string()}
    if isinstance(value, UnitBase):
        return value.to_string()
    if value is np.ma.masked:
        return None
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())  # None where it is masked
    if isinstance(value, np.generic):
        return _plain(value.item())
    return str(value)
