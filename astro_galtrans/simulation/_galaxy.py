"""One galaxy from its seed to its images in two surveys."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from astro_galtrans.simulation._population import GalaxyPopulation, draw_galaxy
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._seds import TYPES, SEDGrid, reference_grid

__all__ = ["SurveyCamera", "make_galaxy"]

_KNOT_TYPE = float(len(TYPES) - 1)


@dataclass
class SurveyCamera:
    """What one side of a pair is made with."""

    renderer: Renderer
    seds: SEDGrid

    def component_fluxes(self, galaxy):
        """Flux of bulge, smooth disc and knots in each band, shape ``(3, n_bands)``, in the unit of the survey."""
        reference = reference_grid()
        knots = (1 - galaxy["bulge_fraction"]) * galaxy["knot_fraction"]
        shares = (galaxy["bulge_fraction"], 1 - galaxy["bulge_fraction"] - knots, knots)
        spectra = ((galaxy["bulge_type"], galaxy["bulge_reddening"]), (galaxy["disc_type"], galaxy["disc_reddening"]),
                   (_KNOT_TYPE, galaxy["disc_reddening"]))
        fluxes = []
        for share, spectrum in zip(shares, spectra):
            colour = self.seds.flux(galaxy["redshift"], *spectrum) / reference.flux(galaxy["redshift"], *spectrum)
            fluxes.append(share * colour)
        zero_points = np.array([band.zero_point for band in self.renderer.survey])
        return np.array(fluxes) * 10 ** (-0.4 * (galaxy["r_mag"] - zero_points))

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


def _shapes(galaxy, galsim):
    angle = galaxy["position_angle"] * galsim.radians
    bulge = galsim.DeVaucouleurs(half_light_radius=galaxy["bulge_radius"])
    disc = galsim.Exponential(half_light_radius=galaxy["disc_radius"])
    return (bulge.shear(q=galaxy["bulge_axis_ratio"], beta=angle),
            disc.shear(q=galaxy["disc_axis_ratio"], beta=angle))


def _knot_positions(rng, galaxy):
    """Positions in arcsec that follow the light of the exponential disc, within five of its scale lengths."""
    scale = galaxy["disc_radius"] / 1.6783469900166605
    # r exp(-r) is a Gamma distribution of shape 2.
    radius = scale * np.minimum(rng.gamma(2, size=galaxy["n_knots"]), 5.0)
    azimuth = rng.uniform(0, 2 * np.pi, galaxy["n_knots"])
    root = np.sqrt(galaxy["disc_axis_ratio"])
    major, minor = radius * np.cos(azimuth) / root, radius * np.sin(azimuth) * root
    cos, sin = np.cos(galaxy["position_angle"]), np.sin(galaxy["position_angle"])
    return major * cos - minor * sin, major * sin + minor * cos


def make_galaxy(seed, index, population: GalaxyPopulation, cameras):
    """Row of the catalogue and images of one galaxy.

    Parameters
    ----------
    seed : int
        Of the whole set.
    index : int
        Which galaxy: its random numbers depend on seed and index alone.
    population : GalaxyPopulation
        What it is drawn from.
    cameras : dict of str to SurveyCamera
        ``"input"`` and ``"target"``.

    Returns
    -------
    row : dict
    images : dict of str to ndarray
    """
    streams = np.random.SeedSequence(seed, spawn_key=(index,)).spawn(3)
    properties, knots, noise = (np.random.default_rng(stream) for stream in streams)
    galaxy = draw_galaxy(properties, population)
    positions = _knot_positions(knots, galaxy) if galaxy["n_knots"] else None
    images = {}
    for side, camera in cameras.items():
        renderer = camera.renderer
        fluxes = camera.component_fluxes(galaxy)
        transforms = [renderer.transform(shape) for shape in _shapes(galaxy, renderer.galsim)]
        if positions is None:
            fluxes = fluxes[:2]
        else:
            transforms.append(renderer.points(*positions))
        widths = camera.psf_widths(properties, population.psf_scatter)
        truth = renderer.draw(transforms, fluxes, widths, (galaxy["x_offset"], galaxy["y_offset"]),
                              population.psf_profile)
        flux, weight = camera.observe(noise, truth)
        images.update({f"{side}_flux": flux, f"{side}_weight": weight, f"{side}_truth": truth})
        zero_points = np.array([band.zero_point for band in renderer.survey])
        galaxy[f"{side}_mag"] = zero_points - 2.5 * np.log10(fluxes.sum(axis=0))
        galaxy[f"{side}_psf_fwhm"] = widths
    return galaxy, images
