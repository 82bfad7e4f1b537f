"""Import packages that only some features need."""

import importlib

__all__ = ["optional"]


def optional(module, extra="report", purpose="figures and reports"):
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        Full name of the module.
    extra : str, optional
        Extra of this package that installs it.
    purpose : str, optional
        What it is needed for, for the message.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        Where it is not installed; the message names the package and the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f'{package} is needed for {purpose}: pip install "astro_galtrans[{extra}]"') from error
