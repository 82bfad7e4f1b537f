"""Import packages that only some features need."""

import importlib

__all__ = ["optional"]


def optional(module, extra="report", purpose="figures and reports"):
    """Import a module of an optional package, or raise an ImportError that names the extra of this package.

    ``purpose`` is for the message.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f'{package} is needed for {purpose}: pip install "astro_galtrans[{extra}]"') from error
