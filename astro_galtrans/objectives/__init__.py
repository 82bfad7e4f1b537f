"""What training minimises: tensors in, a loss out."""

from astro_galtrans.objectives.adversarial import AdversarialObjective
from astro_galtrans.objectives.contract import (
    Objective, available_objectives, build_objective, flux_error_nll, objective_class, register_objective,
)
from astro_galtrans.objectives.critic import Critic, diversity
from astro_galtrans.objectives.denoising import DenoisingObjective
from astro_galtrans.objectives.flow import ResidualFlow, student_t_nll
from astro_galtrans.objectives.gradient import GradientObjective, UnweightedGradientObjective
from astro_galtrans.objectives.gradient_space import GradientResiduals, gradient_residuals, n_scales_of, pool_scales
from astro_galtrans.objectives.pixel import PixelObjective

__all__ = [
    "AdversarialObjective", "Critic", "DenoisingObjective", "GradientObjective", "GradientResiduals", "Objective",
    "PixelObjective", "ResidualFlow", "UnweightedGradientObjective", "available_objectives", "build_objective",
    "diversity", "flux_error_nll", "gradient_residuals", "n_scales_of", "objective_class", "pool_scales",
    "register_objective", "student_t_nll",
]
