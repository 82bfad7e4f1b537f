"""Spectra of simulated galaxies, as a fibre of the SDSS spectrograph would take them."""

import numpy as np

from astro_galtrans.simulation._aperture import image_fraction, point_fraction, sersic_fraction
from astro_galtrans.simulation._seds import component_spectra, galaxy_components
from astro_galtrans.spectra import SpectrumGrid

__all__ = ["REDSHIFT_ERROR", "Fiber"]

RADIUS = 1.5  # arcsec
# 30 km/s: somewhat above the errors that SDSS states for its galaxies, and far below what an image could tell.
REDSHIFT_ERROR = 1e-4
_RANGE = (3800.0, 9200.0)  # Angstrom
_PIXEL = 1e-4 * np.log(10)  # of an SDSS spectrum, in ln(wavelength)
# Sensitivity: (signal-to-noise)**2 of a pixel of an SDSS spectrum, times (flux + sky) / flux**2, in the inverse of
# 1e-17 erg/s/cm2/Angstrom, and mean brightness of the sky with its lines in the fibre. Rounded from published spectra
# of 45 to 60 minutes (plates 266 and 1039). The jump at 6000 Angstrom is from the blue to the red camera.
_SENSITIVITY = np.array([
    (3800, 1.2), (4000, 3), (4250, 6.5), (4500, 10), (5000, 16.5), (5500, 19.5), (5900, 19), (6100, 26), (6500, 32),
    (7000, 32), (7500, 29), (8000, 28), (8500, 20), (9000, 14), (9200, 12)])
_SKY = np.array([
    (3800, 8), (4100, 9.5), (4500, 8), (5000, 7.7), (5400, 7.5), (5550, 18), (5650, 11), (5800, 12), (6200, 10),
    (6700, 6.5), (7000, 9), (7300, 20), (7600, 12), (7900, 26), (8200, 9), (8500, 20), (8800, 36), (9050, 14),
    (9200, 14)])
# The errors of even the brightest SDSS spectra are about 1.5 per cent of the flux in a pixel.
_RELATIVE = 0.015


class Fiber:
    """A fibre of 3 arcsec on the centre of each galaxy.

    Parameters
    ----------
    grid : SpectrumGrid, optional
        The default grid where it is not given.
    """

    def __init__(self, grid=None):
        self.grid = SpectrumGrid() if grid is None else grid
        self.edges, centre = self.grid.edges.value, self.grid.wavelength.value
        self.seen = (self.edges[:-1] >= _RANGE[0]) & (self.edges[1:] <= _RANGE[1])
        self.sensitivity = np.interp(centre, *_SENSITIVITY.T)
        self.sky = np.interp(centre, *_SKY.T)

    def fractions(self, galaxy, knots=None, disc=None):
        """Share of the light of bulge, smooth disc and knots that enters the fibre, ndarray of shape ``(3,)``.

        Parameters
        ----------
        galaxy : dict
            Its row of the catalogue.
        knots : tuple of ndarray, optional
            Positions x, y in arcsec from the centre, and brightness.
        disc : `galsim.GSObject`, optional
            What stands in the place of an exponential disc.
        """
        bulge = sersic_fraction(RADIUS, galaxy["bulge_radius"], galaxy["bulge_axis_ratio"], 4)
        if disc is None:
            smooth = sersic_fraction(RADIUS, galaxy["disc_radius"], galaxy["disc_axis_ratio"], 1)
        else:
            smooth = image_fraction(RADIUS, disc)
        return np.array([bulge, smooth, 0.0 if knots is None else point_fraction(RADIUS, *knots)])

    def spectrum(self, light, reference, galaxy):
        """Flux density without noise.

        Parameters
        ----------
        light : ndarray
            Shape ``(component,)``: the r-band light of each component, as a share of the whole galaxy's.
        reference : SEDGrid
            Of the SDSS r band.
        galaxy : dict
            Its row of the catalogue.

        Returns
        -------
        ndarray
            Shape ``(n_pixels,)``, in 1e-17 erg / (s cm2 Angstrom): means over the pixels of the grid.
        """
        components = galaxy_components(galaxy)
        shapes = component_spectra(self.edges, galaxy["redshift"], components)
        jansky = 3631 * 10 ** (-0.4 * galaxy["r_mag"]) * np.asarray(light)
        # The shapes are in erg / (s cm2 Angstrom), as those that the reference went through the band with, in Jy.
        scales = [flux / reference.flux(galaxy["redshift"], *one)[0] for flux, one in zip(jansky, components)]
        return 1e17 * np.sum(np.array(scales)[:, None] * shapes, axis=0)

    def observe(self, rng, truth):
        """Noisy flux and its weight, float32: photons of galaxy and sky, and an error in proportion to the flux."""
        source = np.clip(truth, 0, None)
        variance = (source + self.sky) / self.sensitivity + (_RELATIVE * source) ** 2
        variance *= _PIXEL / self.grid.step
        flux = truth + np.sqrt(variance) * rng.standard_normal(len(truth))
        return (np.where(self.seen, flux, 0).astype(np.float32),
                np.where(self.seen, 1 / variance, 0).astype(np.float32))
