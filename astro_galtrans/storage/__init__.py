"""Storage of surveys, cubes, translators and photometric redshifts in ASDF files."""

from astro_galtrans.storage._files import load, save, shipped_translators

__all__ = ["load", "save", "shipped_translators"]
