"""Translate every galaxy of a field, cubes in files, or a set of pairs."""

from astro_galtrans.field._config import FieldConfig, TranslationConfig
from astro_galtrans.field._field import translate_field
from astro_galtrans.field._files import translate_files
from astro_galtrans.field._pairs import translate_pairs

__all__ = ["FieldConfig", "TranslationConfig", "translate_field", "translate_files", "translate_pairs"]
