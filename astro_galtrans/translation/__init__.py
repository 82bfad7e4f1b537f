"""Translate images of galaxies from one survey to another."""

from astro_galtrans.translation._arrays import TranslatedArrays
from astro_galtrans.translation._assessment import Assessment, Assessor
from astro_galtrans.translation._errors import ErrorModel
from astro_galtrans.translation._inputs import Conditions, Sampling
from astro_galtrans.translation._translator import Translator, calibrate

__all__ = [
    "Assessment", "Assessor", "Conditions", "ErrorModel", "Sampling", "TranslatedArrays", "Translator", "calibrate",
]
