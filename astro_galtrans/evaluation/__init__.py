"""Judging translators: pixels, colours, colour gradients, redshift preservation, figures and the report."""

from astro_galtrans.evaluation._evaluation import Evaluation, evaluate
from astro_galtrans.evaluation._populations import Populations, populations
from astro_galtrans.evaluation._sheet import contact_sheet

__all__ = ["Evaluation", "Populations", "contact_sheet", "evaluate", "populations"]
