"""Translate images of galaxies from one survey to another."""

from astro_galtrans.translation._translator import Translator

__all__ = ["Translator"]
