"""Color images with the stretch of Lupton et al. (2004, PASP 116, 133)."""

import numpy as np

__all__ = ["BALANCE", "rgb_bands", "lupton_image", "rgb_stretch"]

# Galaxies are red in f_nu: these factors bring red, green and blue of a typical spiral to one level.
BALANCE = (0.75, 1.0, 1.7)
_SATURATION = 1.3


def rgb_bands(names):
    """Return the bands for red, green and blue: i, r, g if they are among the names, else three spread over them."""
    if all(name in names for name in "irg"):
        return tuple("irg")
    return tuple(names[int(round(part * (len(names) - 1)))] for part in (1.0, 0.5, 0.0))


def rgb_stretch(gray, n_sigma):
    """Return the stretch of an image.

    Parameters
    ----------
    gray : ndarray
        Mean of the three planes, of any shape.
    n_sigma : float
        Linear part of the stretch in units of the noise of the faint half of the pixels.

    Returns
    -------
    float
        At least 5 % of the peak.
    """
    values = np.ravel(gray)
    if not values.size:
        return 1.0
    middle = np.median(values)
    noise = 1.4826 * np.median(middle - values[values <= middle])
    return float(max(n_sigma * noise, 0.05 * np.percentile(values, 99.8), 1e-30))


def lupton_image(planes, stretch, saturate=True):
    """Return an image, uint8 of shape ``(y, x, 3)``, of planes for red, green and blue, shape ``(3, y, x)``."""
    from astropy.visualization import make_lupton_rgb  # imports matplotlib where it is installed

    gray = planes.mean(axis=0)
    planes = gray + _SATURATION * (planes - gray) if saturate else planes
    return make_lupton_rgb(*planes, minimum=-0.3 * stretch, stretch=3 * stretch, Q=8)
