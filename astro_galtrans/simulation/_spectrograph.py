"""Spectra of simulated galaxies through a fiber of the SDSS spectrograph."""

import numpy as np
from scipy.special import gammainc, gammaincinv

from astro_galtrans.simulation._seds import component_spectra, galaxy_components
from astro_galtrans.spectra import SpectrumGrid

__all__ = ["RADIUS", "REDSHIFT_ERROR", "Fiber", "image_fraction", "point_fraction", "sersic_fraction"]

RADIUS = 1.5  # arcsec
# 30 km/s: somewhat above the errors that SDSS states for its galaxies, and far below what an image could tell.
REDSHIFT_ERROR = 1e-4
_RANGE = (3800.0, 9200.0)  # Angstrom
_SDSS_PIXEL = 1e-4 * np.log(10)  # in ln(wavelength)
# Sensitivity: (signal-to-noise)**2 of a pixel of an SDSS spectrum, times (flux + sky) / flux**2, in the inverse of
# 1e-17 erg/s/cm2/Angstrom, and mean brightness of the sky with its lines in the fiber. Rounded from published spectra
# of 45 to 60 minutes (plates 266 and 1039). The jump at 6000 Angstrom is from the blue to the red camera.
_SENSITIVITY = np.array([
    (3800, 1.2), (4000, 3), (4250, 6.5), (4500, 10), (5000, 16.5), (5500, 19.5), (5900, 19), (6100, 26), (6500, 32),
    (7000, 32), (7500, 29), (8000, 28), (8500, 20), (9000, 14), (9200, 12)])
_SKY = np.array([
    (3800, 8), (4100, 9.5), (4500, 8), (5000, 7.7), (5400, 7.5), (5550, 18), (5650, 11), (5800, 12), (6200, 10),
    (6700, 6.5), (7000, 9), (7300, 20), (7600, 12), (7900, 26), (8200, 9), (8500, 20), (8800, 36), (9050, 14),
    (9200, 14)])
# The errors of even the brightest SDSS spectra are about 1.5 percent of the flux in a pixel.
_RELATIVE_ERROR = 0.015
_N_ANGLES = 64
_FINE_PIXEL = 0.1  # arcsec


def sersic_fraction(radius, half_light_radius, axis_ratio, index):
    """Return the fraction of the flux of an elliptical Sersic profile within a circle.

    The integral over radius is the curve of growth of the profile, an incomplete Gamma function (Graham & Driver 2005,
    PASA 22, 118, eq. 2); what remains is a mean over the angles of a quadrant. The half-light radius is circularized,
    in the unit of ``radius``; the Sersic index is 1 for an exponential disk and 4 for a de Vaucouleurs bulge.
    """
    angle = (np.arange(_N_ANGLES) + 0.5) / _N_ANGLES * np.pi / 2
    # Elliptical radius, of the circle of equal area, over radius on the sky.
    stretch2 = axis_ratio * np.cos(angle) ** 2 + np.sin(angle) ** 2 / axis_ratio
    scaled = gammaincinv(2 * index, 0.5) * (radius * np.sqrt(stretch2) / half_light_radius) ** (1 / index)
    return float(np.mean(gammainc(2 * index, scaled) / stretch2))


def point_fraction(radius, x, y, brightness):
    """Return the fraction of the flux of points within a circle around the origin."""
    return float(np.sum(brightness[np.hypot(x, y) < radius]) / np.sum(brightness))


def image_fraction(radius, profile):
    """Return the fraction of the flux of a centered GalSim profile within a radius in arcsec, from fine pixels."""
    n = 2 * int(np.ceil(radius / _FINE_PIXEL)) + 1
    image = profile.drawImage(nx=n, ny=n, scale=_FINE_PIXEL, method="no_pixel").array
    y, x = (np.indices((n, n)) - n // 2) * _FINE_PIXEL
    return float(np.clip(image[np.hypot(x, y) < radius].sum(dtype=float) / profile.flux, 0, 1))


class Fiber:
    """A fiber of 3 arcsec on the center of each galaxy, with the default `SpectrumGrid`."""

    def __init__(self):
        self.grid = SpectrumGrid()
        self.edges, center = self.grid.edges.value, self.grid.wavelength.value
        self.covered = (self.edges[:-1] >= _RANGE[0]) & (self.edges[1:] <= _RANGE[1])
        self.sensitivity = np.interp(center, *_SENSITIVITY.T)
        self.sky = np.interp(center, *_SKY.T)

    def spectrum(self, flux_fractions, reference, galaxy):
        """Return the flux density without noise: means over the pixels of the grid, 1e-17 erg / (s cm2 Angstrom).

        ``flux_fractions`` are the r-band fluxes of the components in the fiber over that of the whole galaxy;
        ``reference`` is the grid of the SDSS r band.
        """
        components = galaxy_components(galaxy)
        shapes = component_spectra(self.edges, galaxy["redshift"], components)
        jansky = 3631 * 10 ** (-0.4 * galaxy["r_mag"]) * np.asarray(flux_fractions)
        # The shapes are in erg / (s cm2 Angstrom), as those that the reference went through the band with, in Jy.
        scales = [flux / reference.flux(galaxy["redshift"], *one)[0] for flux, one in zip(jansky, components)]
        return 1e17 * np.sum(np.array(scales)[:, None] * shapes, axis=0)

    def observe(self, rng, truth):
        """Return noisy flux and its weight, float32: photons of galaxy and sky, and an error relative to the flux."""
        source = np.clip(truth, 0, None)
        variance = (source + self.sky) / self.sensitivity + (_RELATIVE_ERROR * source) ** 2
        variance *= _SDSS_PIXEL / self.grid.step
        flux = truth + np.sqrt(variance) * rng.standard_normal(len(truth))
        return (np.where(self.covered, flux, 0).astype(np.float32),
                np.where(self.covered, 1 / variance, 0).astype(np.float32))
