"""Checks that the settings of the estimators share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from astro_galtrans._utils.masked import whole
from astro_galtrans._utils.reprs import changed_fields

__all__ = ["CheckedSettings"]

_POSITIVE = ("learning_rate", "label_width")
_FRACTION = ("ema_decay", "dropout", "warmup", "validation_fraction")
_CHOICES = {"output": ("bins", "density"), "schedule": ("cosine", "plateau")}


@dataclass(frozen=True)
class CheckedSettings:
    """Base of a frozen dataclass of settings, which are checked by their names and the types of their defaults."""

    _least: ClassVar[dict] = {}

    def __repr__(self) -> str:
        return changed_fields(self)

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(field.default, bool):
                self._flag(field.name)
            elif isinstance(field.default, int):
                self._whole(field.name, self._least[field.name])
            elif isinstance(field.default, float):
                self._real(field.name)
            elif isinstance(field.default, str):
                self._name(field.name)
            elif field.name in self._least and getattr(self, field.name) is not None:
                self._whole(field.name, self._least[field.name])
        settings = vars(self)
        if settings["grid"] is not None:
            grid = whole(settings["grid"], "grid").astype(float)
            if grid.ndim != 1 or grid.size < 8 or not np.all(np.isfinite(grid)) or np.any(np.diff(grid) <= 0):
                raise ValueError(f"grid must be at least 8 finite increasing redshifts, got shape {grid.shape}")
            object.__setattr__(self, "grid", tuple(grid.tolist()))
        if settings["schedule"] == "plateau" and settings["patience"] is None:
            raise ValueError("schedule='plateau' needs patience, the epochs without a better validation loss")

    def _flag(self, name):
        value = getattr(self, name)
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be a bool, got {value!r}")
        object.__setattr__(self, name, bool(value))

    def _name(self, name):
        value = getattr(self, name)
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, got {value!r}")
        if value not in _CHOICES.get(name, (value,)):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, _CHOICES[name]))}, got {value!r}")

    def _whole(self, name, least):
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an int, got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
        object.__setattr__(self, name, int(value))

    def _real(self, name):
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name} must be a number, got {value!r}")
        outside = value < 0 or (name in _POSITIVE and value == 0) or (name in _FRACTION and value >= 1)
        if outside or not np.isfinite(value):
            bounds = "above 0" if name in _POSITIVE else "at least 0" + (" and below 1" if name in _FRACTION else "")
            raise ValueError(f"{name} must be {bounds}, got {value!r}")
        object.__setattr__(self, name, float(value))

    def changed(self, **overrides: Any) -> Self:
        """A configuration with some settings replaced, checked again.

        Returns
        -------
        object
            Of the same class.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(overrides) - known)
        if unknown:
            raise TypeError(
                f"unknown settings of an estimator: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return replace(self, **overrides)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain Python values, a dict."""
        settings = asdict(self)
        settings["grid"] = None if settings["grid"] is None else list(settings["grid"])
        return settings
