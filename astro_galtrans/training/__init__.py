"""Train translators."""

from astro_galtrans.training._config import TrainConfig
from astro_galtrans.training._fit import FitResult, fit
from astro_galtrans.training._reproduce import Reproduction, reproduce

__all__ = ["FitResult", "Reproduction", "TrainConfig", "fit", "reproduce"]
