"""Evaluation of translations: pixels, colors, color gradients, redshift preservation, figures and the report."""

from astro_galtrans.evaluation._evaluation import Evaluation, EvaluationConfig, evaluate
from astro_galtrans.evaluation._galleries import contact_sheet
from astro_galtrans.evaluation._measure import resample_input
from astro_galtrans.evaluation._populations import Populations, PopulationsConfig, populations
from astro_galtrans.evaluation._sources import TranslatorLike

__all__ = [
    "Evaluation", "EvaluationConfig", "Populations", "PopulationsConfig", "TranslatorLike", "contact_sheet",
    "evaluate", "populations", "resample_input",
]
