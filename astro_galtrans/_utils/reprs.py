"""One-line representations of objects."""

from dataclasses import MISSING, fields

__all__ = ["changed_fields", "shapes"]


def changed_fields(settings):
    """Return a dataclass of settings as text, as ``TrainConfig(epochs=3)``, without fields that have their defaults."""
    parts = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default is MISSING or value != default:
            parts.append(f"{field.name}={value!r}")
    return f"{type(settings).__name__}({', '.join(parts)})"


def shapes(arrays):
    """Return name and shape of each array of a named tuple: ``<GradientArrays x (2, 5, 8, 7), y (2, 5, 7, 8)>``."""
    parts = [f"{name} {tuple(array.shape)}" for name, array in arrays._asdict().items() if array is not None]
    return f"<{type(arrays).__name__} {', '.join(parts)}>"
