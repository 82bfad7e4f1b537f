"""Train translators."""

from astro_galtrans.training._config import TrainConfig
from astro_galtrans.training._fit import FitResult, fit

__all__ = ["FitResult", "TrainConfig", "fit"]
