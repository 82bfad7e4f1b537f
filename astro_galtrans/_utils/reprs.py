"""Texts of one line for what a session shows of an object."""

from dataclasses import MISSING, fields

__all__ = ["changed_fields", "shapes"]


def changed_fields(settings):
    """The call that makes a dataclass of settings again, with the fields that differ from their defaults only.

    Parameters
    ----------
    settings : dataclass

    Returns
    -------
    str
        As ``TrainConfig(epochs=3)``.
    """
    parts = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default is MISSING or value != default:
            parts.append(f"{field.name}={value!r}")
    return f"{type(settings).__name__}({', '.join(parts)})"


def shapes(arrays):
    """Name and shape of each array of a named tuple.

    Parameters
    ----------
    arrays : NamedTuple
        Of arrays, tensors and None.

    Returns
    -------
    str
        As ``<GradientArrays x (2, 5, 8, 7), y (2, 5, 7, 8)>``.
    """
    parts = [f"{name} {tuple(array.shape)}" for name, array in arrays._asdict().items() if array is not None]
    return f"<{type(arrays).__name__} {', '.join(parts)}>"
