"""Options of functions and of frozen dataclasses: replacement and checks.

Each message names the argument, the requirement and the value received.
"""

import difflib
import inspect
import math
from collections.abc import Mapping
from dataclasses import fields, replace

import astropy.units as u
import numpy as np

__all__ = [
    "OptionTypeError", "angle", "check_fields", "choice", "configured", "finite_number", "flag", "fraction", "mapping",
    "numbers", "positive_quantity", "real_number", "text", "whole_number",
]


class OptionTypeError(TypeError, ValueError):
    """An option of a wrong type; also a ValueError, as `astropy.units.UnitTypeError` is."""


def check_fields(settings, checks):
    """Check fields of a frozen dataclass and replace their values by plain Python numbers.

    Parameters
    ----------
    settings : dataclass
        A field that is None is accepted if None is its default.
    checks : dict of callable
        Function of value and name for each field; it returns the value to store.
    """
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in checks and not (value is None and field.default is None):
            object.__setattr__(settings, field.name, checks[field.name](value, field.name))


def configured(kind, config, settings, name="config", function=None):
    """Return a configuration in which the fields in ``settings`` replace those of ``config``.

    Parameters
    ----------
    kind : type
        Dataclass of the configuration.
    config : dataclass or None
        Instance of ``kind``, by default ``kind()``.
    settings : dict
        Keywords that a function received beside its own.
    name : str, optional
        Argument ``config`` of the function, for messages.
    function : callable, optional
        The function, whose own keywords the message about an unknown one names too.

    Raises
    ------
    TypeError
        If ``config`` is of another type, or a keyword is not a field of ``kind``.
    """
    config = kind() if config is None else config
    if not isinstance(config, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, got {type(config).__name__}")
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        own = [] if function is None else [
            key for key, one in inspect.signature(function).parameters.items()
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        near = [match for word in unknown for match in difflib.get_close_matches(word, [*own, *known], 1)]
        raise TypeError(
            f"{', '.join(unknown)} is not a keyword argument; the fields of {kind.__name__} are {', '.join(known)}"
            + (f"; those of the function itself are {', '.join(own)}" if own else "")
            + (f"; did you mean {', '.join(near)}?" if near else ""))
    return replace(config, **settings)


def whole_number(value, name, least=0):
    """Return an int of at least ``least``."""
    requirement = f"{name} must be an int of at least {least}, got {value!r}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise OptionTypeError(requirement)
    if value < least:
        raise ValueError(requirement)
    return int(value)


def real_number(value, name, *, positive=False, below=math.inf, most=math.inf):
    """Return a finite float of at least 0, or above 0 if ``positive``, below ``below`` and at most ``most``."""
    bounds = "above 0" if positive else "of at least 0"
    bounds += f" and below {below}" if below < math.inf else f" and at most {most}" if most < math.inf else ""
    requirement = f"{name} must be a finite number {bounds}, got {value!r}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise OptionTypeError(requirement)
    if not 0 <= value < below or value > most or (positive and value == 0):
        raise ValueError(requirement)
    return float(value)


def finite_number(value, name):
    """Return a finite float of any sign."""
    requirement = f"{name} must be a finite number, got {value!r}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise OptionTypeError(requirement)
    if not math.isfinite(value):
        raise ValueError(requirement)
    return float(value)


def numbers(value, name):
    """Return a tuple of floats of at least 0, from a sequence."""
    if isinstance(value, (str, bytes, Mapping)) or not np.iterable(value):
        raise OptionTypeError(f"{name} must be a sequence of numbers, got {value!r}")
    return tuple(real_number(one, name) for one in value)


def mapping(value, name):
    """Return a dict with names as keys, from a mapping."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise OptionTypeError(f"{name} must be a dict with keys of type str, got {value!r}")
    return dict(value)


def positive_quantity(value, name, unit):
    """Return a positive finite scalar Quantity in a unit."""
    requirement = f"{name} must be a Quantity convertible to {unit}, got {value!r}"
    try:
        quantity = u.Quantity(value).to(unit)
    except (TypeError, u.UnitConversionError) as error:
        raise OptionTypeError(requirement) from error
    if not quantity.isscalar or not np.isfinite(quantity.value) or quantity.value <= 0:
        raise ValueError(f"{name} must be a positive finite scalar, got {value!r}")
    return quantity


def angle(value, name):
    """Return a positive finite scalar Quantity in arcsec."""
    return positive_quantity(value, name, u.arcsec)


def fraction(value, name):
    """Return a float of at least 0 and below 1."""
    return real_number(value, name, below=1)


def flag(value, name):
    """Return a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise OptionTypeError(f"{name} must be a bool, got {value!r}")
    return bool(value)


def text(value, name):
    """Return a str."""
    if not isinstance(value, str):
        raise OptionTypeError(f"{name} must be a str, got {value!r}")
    return value


def choice(value, name, allowed):
    """Return a str, or None, that is one of the allowed values."""
    if value is None or isinstance(value, str):
        if value in allowed:
            return value
        error = ValueError
    else:
        error = OptionTypeError
    raise error(f"{name} must be one of {', '.join(map(str, allowed))}, got {value!r}")
