"""How much of a galaxy's light falls into a round aperture on its centre, without seeing."""

import numpy as np
from scipy.special import gammainc, gammaincinv

__all__ = ["image_fraction", "point_fraction", "sersic_fraction"]

_N_ANGLES = 64
_PIXEL = 0.1  # arcsec


def sersic_fraction(radius, half_light_radius, axis_ratio, index):
    """Share of the light of an elliptical Sersic profile within a circle.

    The integral over radius is the curve of growth of the profile, an incomplete Gamma function (Graham & Driver 2005,
    PASA 22, 118, eq. 2); what remains is a mean over the angles of a quarter turn.

    Parameters
    ----------
    radius : float
        Of the circle.
    half_light_radius : float
        Circularised, in the unit of ``radius``.
    axis_ratio : float
        Minor over major axis, above 0.
    index : float
        Sersic index: 1 for an exponential disc, 4 for a de Vaucouleurs bulge.

    Returns
    -------
    float
    """
    angle = (np.arange(_N_ANGLES) + 0.5) / _N_ANGLES * np.pi / 2
    # Elliptical radius, of the circle of equal area, over radius on the sky.
    stretch2 = axis_ratio * np.cos(angle) ** 2 + np.sin(angle) ** 2 / axis_ratio
    scaled = gammaincinv(2 * index, 0.5) * (radius * np.sqrt(stretch2) / half_light_radius) ** (1 / index)
    return float(np.mean(gammainc(2 * index, scaled) / stretch2))


def point_fraction(radius, x, y, brightness):
    """Share of the light of some points within a circle around the origin."""
    return float(np.sum(brightness[np.hypot(x, y) < radius]) / np.sum(brightness))


def image_fraction(radius, profile):
    """Share of the light of a centred GalSim profile within a circle of a radius in arcsec, drawn in fine pixels."""
    n = 2 * int(np.ceil(radius / _PIXEL)) + 1
    image = profile.drawImage(nx=n, ny=n, scale=_PIXEL, method="no_pixel").array
    y, x = (np.indices((n, n)) - n // 2) * _PIXEL
    return float(np.clip(image[np.hypot(x, y) < radius].sum(dtype=float) / profile.flux, 0, 1))
