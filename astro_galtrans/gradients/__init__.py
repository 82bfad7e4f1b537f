"""Log-flux gradients with units, spatially resolved SEDs, color maps and color profiles."""

from astro_galtrans.gradients._arrays import GradientArrays, sed_gradient_arrays
from astro_galtrans.gradients._colors import color_gradient_profile, color_map
from astro_galtrans.gradients._plot import plot_sed_gradients
from astro_galtrans.gradients._psf import match_psf
from astro_galtrans.gradients._radial import (
    annulus_weights, aperture_weights, radial_color_profiles, radial_fluxes, radial_slopes,
)
from astro_galtrans.gradients._sed import SEDGradients, integrate_gradients, sed_gradients
from astro_galtrans.gradients._spectrum import sed_spectrum

__all__ = [
    "GradientArrays", "SEDGradients", "annulus_weights", "aperture_weights", "color_gradient_profile", "color_map",
    "integrate_gradients", "match_psf", "plot_sed_gradients", "radial_color_profiles", "radial_fluxes",
    "radial_slopes", "sed_gradient_arrays", "sed_gradients", "sed_spectrum",
]
