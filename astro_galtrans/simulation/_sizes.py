"""How large galaxies and their bulges and discs are."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv

__all__ = ["component_radii", "shen_half_light_radius"]

_BULGE_INDEX = 4.0
_BULGE_B = gammaincinv(2 * _BULGE_INDEX, 0.5)
_DISC_B = gammaincinv(2, 0.5)


def shen_half_light_radius(luminosity, early, deviate):
    """Circularised half-light radius in kpc of a galaxy of some luminosity.

    Shen et al. (2003, MNRAS 343, 978), eqs. 14 to 16 with the constants of their Sersic half-light radii: log-normal
    about a median that rises with luminosity, more steeply for early types.

    Parameters
    ----------
    luminosity : float
        Absolute r magnitude (H0 = 70 km/s/Mpc).
    early : bool
        Whether it is an early type.
    deviate : float
        Distance from the median in standard deviations.

    Returns
    -------
    float
    """
    if early:
        log_radius = -0.4 * 0.60 * luminosity - 4.63
    else:
        log_radius = -0.4 * 0.21 * luminosity + (0.53 - 0.21) * np.log10(1 + 10 ** (-0.4 * (luminosity + 20.52))) - 1.31
    scatter = 0.25 + (0.48 - 0.25) / (1 + 10 ** (-0.8 * (luminosity + 20.52)))
    return 10**log_radius * np.exp(scatter * deviate)


def component_radii(radius, bulge_fraction, ratio):
    """Half-light radii of bulge and disc that together have a half-light radius.

    Parameters
    ----------
    radius : float
        Circularised half-light radius of the whole, any unit.
    bulge_fraction : float
        Share of the bulge in the light.
    ratio : float
        Half-light radius of the bulge over that of the disc, at most 1.

    Returns
    -------
    bulge_radius, disc_radius : float
    """
    def missing(disc):
        bulge_light = gammainc(2 * _BULGE_INDEX, _BULGE_B * (1 / (ratio * disc)) ** (1 / _BULGE_INDEX))
        return bulge_fraction * bulge_light + (1 - bulge_fraction) * gammainc(2, _DISC_B / disc) - 0.5

    disc = brentq(missing, 0.9, 1.1 / ratio, xtol=1e-6)
    return ratio * disc * radius, disc * radius
