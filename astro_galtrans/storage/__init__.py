"""Surveys, cubes, translators and photometric redshifts in ASDF files."""

from astro_galtrans.storage._files import load, save

__all__ = ["load", "save"]
