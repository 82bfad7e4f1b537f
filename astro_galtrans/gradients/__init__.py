"""SED gradients for people: log-flux gradients with units, spatially resolved SEDs and colour profiles."""

from astro_galtrans.gradients._arrays import sed_gradient_arrays
from astro_galtrans.gradients._colors import color_map
from astro_galtrans.gradients._integrate import integrate_gradients
from astro_galtrans.gradients._kernel import GradientArrays
from astro_galtrans.gradients._plot import plot_sed_gradients
from astro_galtrans.gradients._profile import color_gradient_profile
from astro_galtrans.gradients._psf import match_psf
from astro_galtrans.gradients._radial import (
    annulus_weights, aperture_weights, radial_color_profiles, radial_fluxes, radial_slopes,
)
from astro_galtrans.gradients._sed import SEDGradients, sed_gradients
from astro_galtrans.gradients._spectrum import sed_spectrum

__all__ = [
    "GradientArrays", "SEDGradients", "annulus_weights", "aperture_weights", "color_gradient_profile", "color_map",
    "integrate_gradients", "match_psf", "plot_sed_gradients", "radial_color_profiles", "radial_fluxes",
    "radial_slopes", "sed_gradient_arrays", "sed_gradients", "sed_spectrum",
]
