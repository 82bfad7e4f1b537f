"""SED gradients for people: log-flux gradients with units, spatially resolved SEDs and colour profiles."""

from astro_galtrans.gradients._integrate import integrate_gradients
from astro_galtrans.gradients._profile import color_gradient_profile
from astro_galtrans.gradients._radial import (
    annulus_weights, aperture_weights, radial_color_profiles, radial_fluxes, radial_slopes,
)
from astro_galtrans.gradients._sed import SEDGradients, sed_gradients
from astro_galtrans.gradients._spectrum import sed_spectrum

__all__ = [
    "SEDGradients", "annulus_weights", "aperture_weights", "color_gradient_profile", "integrate_gradients",
    "radial_color_profiles", "radial_fluxes", "radial_slopes", "sed_gradients", "sed_spectrum",
]
