"""Evaluation of translations: pixels, colors, color gradients, redshift preservation, figures and the report."""

from astro_galtrans.evaluation._evaluation import Evaluation, evaluate
from astro_galtrans.evaluation._galleries import contact_sheet
from astro_galtrans.evaluation._measure import resample_input
from astro_galtrans.evaluation._populations import Populations, populations
from astro_galtrans.evaluation._sources import TranslatorLike

__all__ = ["Evaluation", "Populations", "TranslatorLike", "contact_sheet", "evaluate", "populations", "resample_input"]
