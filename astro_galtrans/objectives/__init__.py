"""Objectives of the training: tensors in, a loss out."""

import warnings

from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans.objectives.adversarial import AdversarialObjective, Discriminator, diversity
from astro_galtrans.objectives.contract import (
    Objective, Target, available_objectives, build_objective, flux_error_nll, objective_class, register_objective,
)
from astro_galtrans.objectives.conventional import DenoisingObjective, PixelObjective
from astro_galtrans.objectives.flow import ConditionalDensity, ResidualFlow, student_t_nll
from astro_galtrans.objectives.gradient import GradientObjective, UnweightedGradientObjective
from astro_galtrans.objectives.gradient_space import GradientResiduals, gradient_residuals, n_scales_of, pool_scales

__all__ = [
    "AdversarialObjective", "ConditionalDensity", "DenoisingObjective", "Discriminator", "GradientObjective",
    "GradientResiduals", "Objective", "PixelObjective", "ResidualFlow", "Target", "UnweightedGradientObjective",
    "available_objectives", "build_objective", "diversity", "flux_error_nll", "gradient_residuals", "n_scales_of",
    "objective_class", "pool_scales", "register_objective", "student_t_nll",
]


def __getattr__(name):
    if name != "Critic":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("Critic is deprecated since version 0.2; use Discriminator", AstropyDeprecationWarning, stacklevel=2)
    return Discriminator
