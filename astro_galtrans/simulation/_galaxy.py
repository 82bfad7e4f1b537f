"""One galaxy from its seed to its images in two surveys."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from astro_galtrans.simulation._galsim import import_galsim
from astro_galtrans.simulation._population import GalaxyPopulation, draw_galaxy
from astro_galtrans.simulation._real import RealMorphologies
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._seds import SEDGrid, galaxy_components
from astro_galtrans.simulation._spectrograph import Fiber

__all__ = ["Simulator", "SurveyCamera"]

_DISC_SCALES = 1.6783469900166605  # half-light radius of an exponential disc in scale lengths


@dataclass
class SurveyCamera:
    """What one side of a pair is made with: the renderer, and the SEDs of its survey and of the SDSS r band."""

    renderer: Renderer
    seds: SEDGrid
    reference: SEDGrid

    @property
    def zero_points(self):
        return np.array([band.zero_point for band in self.renderer.survey])

    def component_fluxes(self, galaxy):
        """Flux of bulge, smooth disc and knots in each band, shape ``(3, n_bands)``, in the unit of the survey."""
        fluxes = []
        for share, spectrum in zip(_shares(galaxy), galaxy_components(galaxy)):
            colour = self.seds.flux(galaxy["redshift"], *spectrum) / self.reference.flux(galaxy["redshift"], *spectrum)
            fluxes.append(share * colour)
        return np.array(fluxes) * 10 ** (-0.4 * (galaxy["r_mag"] - self.zero_points))

    def psf_widths(self, rng, scatter):
        """PSF width in arcsec for each band: a night's seeing common to the bands and a smaller part of each."""
        typical = np.array([band.psf_fwhm.to_value(u.arcsec) for band in self.renderer.survey])
        deviates = rng.standard_normal(1 + len(typical))
        return typical * np.exp(scatter * (deviates[0] + 0.4 * deviates[1:]))

    def observe(self, rng, truth):
        """Noisy image and its weight: Gaussian noise of the sky's variance plus that of the source's photons."""
        bands = self.renderer.survey.bands
        sky = np.array([band.sky_noise**2 for band in bands], dtype=np.float32)[:, None, None]
        gain = np.array([band.gain for band in bands], dtype=np.float32)[:, None, None]
        variance = sky + np.clip(truth, 0, None) / gain
        noise = rng.standard_normal(truth.shape, dtype=np.float32)
        return truth + np.sqrt(variance) * noise, 1 / variance


def _shares(galaxy):
    """Shares of bulge, smooth disc and knots in the r-band light of a galaxy, ndarray of shape ``(3,)``."""
    knots = (1 - galaxy["bulge_fraction"]) * galaxy["knot_fraction"]
    return np.array([galaxy["bulge_fraction"], 1 - galaxy["bulge_fraction"] - knots, knots])


def _knots(rng, galaxy):
    """Positions in arcsec that follow the light of the exponential disc, within five scale lengths, and brightness."""
    scale = galaxy["disc_radius"] / _DISC_SCALES
    # r exp(-r) is a Gamma distribution of shape 2.
    radius = scale * np.minimum(rng.gamma(2, size=galaxy["n_knots"]), 5.0)
    azimuth = rng.uniform(0, 2 * np.pi, galaxy["n_knots"])
    root = np.sqrt(galaxy["disc_axis_ratio"])
    major, minor = radius * np.cos(azimuth) / root, radius * np.sin(azimuth) * root
    cos, sin = np.cos(galaxy["position_angle"]), np.sin(galaxy["position_angle"])
    return major * cos - minor * sin, major * sin + minor * cos, rng.exponential(size=galaxy["n_knots"])


class Simulator:
    """Makes the galaxies of one set.

    Parameters
    ----------
    seed : int
        Of the whole set.
    population : GalaxyPopulation
        What the galaxies are drawn from.
    cameras : dict of str to SurveyCamera
        ``"input"`` and ``"target"``.
    morphologies : RealMorphologies, optional
        Real galaxies in the place of discs and knots.
    fiber : Fiber, optional
        Takes a spectrum of each galaxy.
    points : dict of str to Renderer, optional
        Draw the PSF of each galaxy.
    """

    def __init__(self, seed, population: GalaxyPopulation, cameras, morphologies: RealMorphologies | None = None,
                 fiber: Fiber | None = None, points: dict[str, Renderer] | None = None):
        self.seed, self.population, self.cameras, self.morphologies = seed, population, cameras, morphologies
        self.fiber, self.points = fiber, points or {}
        self.galsim = import_galsim()

    def _profiles(self, rng, galaxy):
        """GalSim profiles of the components, and the knots or None; may add to the row."""
        angle = galaxy["position_angle"] * self.galsim.radians
        bulge = self.galsim.DeVaucouleurs(half_light_radius=galaxy["bulge_radius"])
        bulge = bulge.shear(q=galaxy["bulge_axis_ratio"], beta=angle)
        if self.morphologies is not None:
            disc, index, radius = self.morphologies.draw(rng, galaxy["disc_radius"])
            galaxy.update(morphology=index, disc_radius=radius, knot_fraction=0.0, n_knots=0)
            return [bulge, disc], None
        disc = self.galsim.Exponential(half_light_radius=galaxy["disc_radius"])
        disc = disc.shear(q=galaxy["disc_axis_ratio"], beta=angle)
        return [bulge, disc], _knots(rng, galaxy) if galaxy["n_knots"] else None

    def make(self, index):
        """Row of the catalogue and images of one galaxy.

        Parameters
        ----------
        index : int
            Which galaxy: its random numbers depend on seed and index alone.

        Returns
        -------
        row : dict
        images : dict of str to ndarray
        """
        # The streams are apart, so that what a galaxy is does not depend on how it is observed.
        streams = np.random.SeedSequence(self.seed, spawn_key=(index,)).spawn(5)
        properties, structure, seeing, noise, spectrograph = (np.random.default_rng(stream) for stream in streams)
        galaxy = draw_galaxy(properties, self.population)
        profiles, knots = self._profiles(structure, galaxy)
        images = {}
        for side, camera in self.cameras.items():
            fluxes = camera.component_fluxes(galaxy)
            transforms = [camera.renderer.transform(profile) for profile in profiles]
            if knots is None:
                fluxes = fluxes[:2]
            else:
                transforms.append(camera.renderer.points(*knots))
            widths = camera.psf_widths(seeing, self.population.psf_scatter)
            truth = camera.renderer.draw(transforms, fluxes, widths, (galaxy["x_offset"], galaxy["y_offset"]),
                                         self.population.psf_profile)
            flux, weight = camera.observe(noise, truth)
            images.update({f"{side}_flux": flux, f"{side}_weight": weight, f"{side}_truth": truth})
            galaxy[f"{side}_mag"] = camera.zero_points - 2.5 * np.log10(fluxes.sum(axis=0))
            galaxy[f"{side}_psf_fwhm"] = widths
            if side in self.points:
                images[f"{side}_psf"] = self.points[side].point(widths, self.population.psf_profile)
        if self.fiber is not None:
            images.update(self._spectrum(spectrograph, galaxy, profiles, knots))
        return galaxy, images

    def _spectrum(self, rng, galaxy, profiles, knots):
        """The spectrum through the fibre; adds the magnitude in it to the row."""
        disc = None if self.morphologies is None else profiles[1]
        light = _shares(galaxy) * self.fiber.fractions(galaxy, knots, disc)
        galaxy["fiber_r_mag"] = galaxy["r_mag"] - 2.5 * np.log10(light.sum())
        truth = self.fiber.spectrum(light, self.cameras["input"].reference, galaxy)
        return dict(zip(("spectrum_flux", "spectrum_weight"), self.fiber.observe(rng, truth)))

    def make_block(self, indices, truth):
        """Rows and stacked images of some galaxies; the noise-free images only where wanted."""
        rows, images = [], {}
        for row, index in enumerate(indices):
            galaxy, stamps = self.make(index)
            rows.append(galaxy)
            for name, stamp in stamps.items():
                if truth or not name.endswith("truth"):
                    images.setdefault(name, np.empty((len(indices), *stamp.shape), np.float32))[row] = stamp
        return rows, images
