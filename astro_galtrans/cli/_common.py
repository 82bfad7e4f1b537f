"""Arguments, checks and results that several subcommands share."""

import json
import math
import os
from pathlib import Path, PurePath
from typing import NamedTuple

from astro_galtrans._utils.io import remove_leftovers

__all__ = [
    "Result", "add_device", "add_direction", "add_overwrite", "add_reading", "add_seed", "as_json", "bands_of",
    "check_output", "device_named", "directed", "load_one", "read_config",
]


class Result(NamedTuple):
    """Result of a subcommand, for people and for scripts."""

    lines: list
    """For standard output."""
    data: dict
    """For ``--json``: str, numbers, paths, tables, and lists and dicts of them."""


def bands_of(paths):
    """Return a dict of band to path where every path has a band, as ``r=tile-r.fits``, else None."""
    named = [path.partition("=") for path in paths]
    if not named or not all(equals and "/" not in band for band, equals, _ in named):
        return None
    bands = {band: path for band, _, path in named}
    if len(bands) < len(named):
        raise ValueError(f"{' '.join(paths)} names a band twice")
    return bands


def add_seed(parser, what, default=0):
    """Add ``--seed``; ``what`` uses it."""
    parser.add_argument("--seed", type=int, default=default, metavar="N",
                        help=f"seed of {what} (default: {default or 0})")


def add_device(parser):
    """Add ``--device``."""
    parser.add_argument("--device", metavar="DEVICE",
                        help="cpu, cuda or cuda:N (default: a GPU if there is one for training, else cpu)")


def add_overwrite(parser):
    """Add ``--overwrite``."""
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def add_direction(parser, does):
    """Add ``--direction``; ``does`` is what the subcommand does in it."""
    parser.add_argument("--direction", choices=("forward", "reverse", "input", "target"), default="forward",
                        help=f"{does} from input to target survey, the reverse, or within one of them, which shows "
                        "the loss by the network alone (default: %(default)s)")


def add_reading(parser):
    """Add the options for reading images."""
    parser.add_argument("--unit", metavar="UNIT", help="unit of the images, as nJy, instead of BUNIT in their headers")
    parser.add_argument("--mask-bits", metavar="BIT[,BIT...]",
                        help="names or numbers of the bits that are bad in masks of bit planes; none for no bit")


def read_config(options):
    """Return the `ReadConfig` of the options for reading images, or None without any."""
    if options.unit is None and options.mask_bits is None:
        return None
    from astropy.units import Unit

    from astro_galtrans.images import ReadConfig

    try:
        Unit(options.unit or "")
    except ValueError:
        raise ValueError(f"--unit must be a flux unit such as nmgy, adu or Jy, got {options.unit!r}") from None
    bits = options.mask_bits
    if bits is not None:
        bits = [] if bits == "none" else [int(bit) if bit.isdigit() else bit for bit in bits.split(",")]
    return ReadConfig(unit=options.unit, mask_bits=bits)


def directed(pairs, direction):
    """Return pairs with the input and target of a direction."""
    if direction == "forward":
        return pairs
    return pairs.reversed() if direction == "reverse" else pairs.within(direction)


def check_output(path, overwrite):
    """Raise an error if the file of ``--out`` cannot be written, before the work that leads to it."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"--out {path} is a folder, not a file to write to")
    remove_leftovers(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"--out {path} exists already; --overwrite replaces it")
    if not path.parent.is_dir():
        kind = "is not a folder" if path.parent.exists() else "does not exist"
        raise OSError(f"cannot write {path}: {path.parent} {kind}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: the folder {path.parent.absolute()} is not writeable")


def load_one(path, kind):
    """Return the only object of a kind in an ASDF file."""
    from astro_galtrans.storage import load

    found = load(path)
    found = found if isinstance(found, dict) else {"": found}
    wanted = [value for value in found.values() if type(value).__name__ == kind]
    if len(wanted) != 1:
        held = ", ".join(type(value).__name__ for value in found.values())
        raise ValueError(f"{path} must hold one {kind}, it holds {held}")
    return wanted[0]


def device_named(name):
    """Return the name of a device if it is available, else raise ValueError."""
    if name is not None:
        from astro_galtrans._utils.torch_state import checked_device

        checked_device(name)
    return name


def as_json(value):
    """Return JSON of str, numbers, paths, arrays, quantities and tables; values that are not finite become null.

    A table is a list of its rows, each an object; a quantity is an object with its value and unit.
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
    # NumPy and astropy are loaded already where there is such a value.
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
