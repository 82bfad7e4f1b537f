"""Real images through a translator: every galaxy of a field, or cubes in files."""

from astro_galtrans.field._field import translate_field
from astro_galtrans.field._files import translate_files

__all__ = ["translate_field", "translate_files"]
