"""Options of a function that travel together in a frozen dataclass."""

from dataclasses import fields, replace

__all__ = ["configured"]


def configured(kind, config, settings, name="config"):
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
        raise TypeError(f"{', '.join(unknown)} is not a keyword argument; the fields of {kind.__name__} are "
                        f"{', '.join(known)}")
    return replace(config, **settings)
