"""Settings of a public function: a frozen dataclass, keywords that replace its fields, or both."""

from dataclasses import fields, replace

__all__ = ["merge_settings"]


def merge_settings(cls, config, settings, function, name="config"):
    """Return ``config``, by default ``cls()``, with the fields in ``settings`` replaced.

    Parameters
    ----------
    cls : type
        Frozen dataclass, all fields of which have defaults.
    config : object or None
        Instance of ``cls``.
    settings : dict
        Keywords of the public function.
    function, name : str
        Names of the function and of its argument ``config`` for messages.

    Raises
    ------
    TypeError
        If ``config`` has another type, or a setting is not a field of ``cls``.
    """
    config = cls() if config is None else config
    if not isinstance(config, cls):
        raise TypeError(f"{name} must be a {cls.__name__}, got {type(config).__name__}")
    known = [field.name for field in fields(cls)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise TypeError(f"{function}() got the unknown keyword {', '.join(unknown)}; "
                        f"the fields of {cls.__name__} are {', '.join(known)}")
    return replace(config, **settings) if settings else config
