"""Translate multi-band galaxy images between surveys without losing the physics in them."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("astro_galtrans")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
