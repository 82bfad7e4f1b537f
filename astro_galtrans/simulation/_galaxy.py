"""Images and spectrum of one simulated galaxy in two surveys, from its seed and number."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from astro_galtrans._utils.processes import ordered_results
from astro_galtrans.pairs import psf_side
from astro_galtrans.simulation._population import GalaxyPopulation, draw_galaxy
from astro_galtrans.simulation._render import RealMorphologies, Renderer, import_galsim
from astro_galtrans.simulation._seds import SEDGrid, galaxy_components, reference_grid, sed_grid
from astro_galtrans.simulation._spectrograph import Fiber
from astro_galtrans.surveys import Survey

__all__ = ["Recipe", "Simulator", "SurveyCamera", "simulated_blocks"]

_DISK_SCALES = 1.6783469900166605  # half-light radius of an exponential disk in scale lengths


@dataclass
class SurveyCamera:
    """Renderer of one survey, and SEDs in the bands of the survey and in the SDSS r band."""

    renderer: Renderer
    seds: SEDGrid
    reference: SEDGrid

    @property
    def zero_points(self):
        return np.array([band.zero_point for band in self.renderer.survey])

    def component_fluxes(self, galaxy):
        """Return the flux of bulge, smooth disk and knots in each band, shape ``(3, n_bands)``, in the survey unit."""
        redshift = galaxy["redshift"]
        fluxes = [fraction * (self.seds.flux(redshift, *spectrum) / self.reference.flux(redshift, *spectrum))
                  for fraction, spectrum in zip(component_fractions(galaxy), galaxy_components(galaxy))]
        return np.array(fluxes) * 10 ** (-0.4 * (galaxy["r_mag"] - self.zero_points))

    def psf_widths(self, rng, scatter):
        """Return the PSF FWHM in arcsec for each band: seeing common to the bands and a smaller scatter of each."""
        typical = np.array([band.psf_fwhm.to_value(u.arcsec) for band in self.renderer.survey])
        deviates = rng.standard_normal(1 + len(typical))
        return typical * np.exp(scatter * (deviates[0] + 0.4 * deviates[1:]))

    def observe(self, rng, truth):
        """Return the noisy image and its weight: Gaussian noise with the variance of sky and source photons."""
        bands = self.renderer.survey.bands
        sky = np.array([band.sky_noise**2 for band in bands], dtype=np.float32)[:, None, None]
        gain = np.array([band.gain for band in bands], dtype=np.float32)[:, None, None]
        variance = sky + np.clip(truth, 0, None) / gain
        noise = rng.standard_normal(truth.shape, dtype=np.float32)
        return truth + np.sqrt(variance) * noise, 1 / variance


def component_fractions(galaxy):
    """Return the fractions of bulge, smooth disk and knots in the r-band flux, ndarray of shape ``(3,)``."""
    knots = (1 - galaxy["bulge_fraction"]) * galaxy["knot_fraction"]
    return np.array([galaxy["bulge_fraction"], 1 - galaxy["bulge_fraction"] - knots, knots])


def _knots(rng, galaxy):
    """Return positions in arcsec that follow the exponential disk, within five scale lengths, and brightness."""
    scale = galaxy["disc_radius"] / _DISK_SCALES
    # r exp(-r) is a Gamma distribution of shape 2.
    radius = scale * np.minimum(rng.gamma(2, size=galaxy["n_knots"]), 5.0)
    azimuth = rng.uniform(0, 2 * np.pi, galaxy["n_knots"])
    root = np.sqrt(galaxy["disc_axis_ratio"])
    major, minor = radius * np.cos(azimuth) / root, radius * np.sin(azimuth) * root
    cos, sin = np.cos(galaxy["position_angle"]), np.sin(galaxy["position_angle"])
    return major * cos - minor * sin, major * sin + minor * cos, rng.exponential(size=galaxy["n_knots"])


@dataclass
class Recipe:
    """All that determines a set of galaxies; it is sent to worker processes, with the SEDs, which take long."""

    seed: int
    population: GalaxyPopulation
    surveys: dict[str, Survey]
    sizes: dict[str, int]
    truth: bool = False
    spectra: bool = False
    psf: bool = False
    morphologies: str | None = None

    def __post_init__(self):
        self.seds = {side: sed_grid(survey) for side, survey in self.surveys.items()}
        self.reference = reference_grid()


class Simulator:
    """Simulates the galaxies of a `Recipe`."""

    def __init__(self, recipe):
        self.recipe, self.galsim = recipe, import_galsim()
        self.cameras = {side: SurveyCamera(Renderer(survey, recipe.sizes[side]), recipe.seds[side], recipe.reference)
                        for side, survey in recipe.surveys.items()}
        self.morphologies = None if recipe.morphologies is None else RealMorphologies(recipe.morphologies)
        self.fiber = Fiber() if recipe.spectra else None
        self.psf_renderers = {side: Renderer(survey, psf_side(survey)) for side, survey in recipe.surveys.items()
                              if recipe.psf}

    def _profiles(self, rng, galaxy):
        """Return the GalSim profiles of the components, and the knots or None; may add to the row."""
        angle = galaxy["position_angle"] * self.galsim.radians
        bulge = self.galsim.DeVaucouleurs(half_light_radius=galaxy["bulge_radius"])
        bulge = bulge.shear(q=galaxy["bulge_axis_ratio"], beta=angle)
        if self.morphologies is not None:
            disk, index, radius = self.morphologies.draw(rng, galaxy["disc_radius"])
            galaxy.update(morphology=index, disc_radius=radius, knot_fraction=0.0, n_knots=0)
            return [bulge, disk], None
        disk = self.galsim.Exponential(half_light_radius=galaxy["disc_radius"])
        disk = disk.shear(q=galaxy["disc_axis_ratio"], beta=angle)
        return [bulge, disk], _knots(rng, galaxy) if galaxy["n_knots"] else None

    def simulate(self, index):
        """Return the row of the catalog and the images by name of galaxy ``index``."""
        # The streams are apart, so that what a galaxy is does not depend on how it is observed.
        streams = np.random.SeedSequence(self.recipe.seed, spawn_key=(index,)).spawn(5)
        properties, structure, seeing, noise, spectrograph = (np.random.default_rng(stream) for stream in streams)
        population, images = self.recipe.population, {}
        galaxy = draw_galaxy(properties, population)
        profiles, knots = self._profiles(structure, galaxy)
        for side, camera in self.cameras.items():
            fluxes = camera.component_fluxes(galaxy)
            transforms = [camera.renderer.transform(profile) for profile in profiles]
            if knots is None:
                fluxes = fluxes[:2]
            else:
                transforms.append(camera.renderer.points(*knots))
            widths = camera.psf_widths(seeing, population.psf_scatter)
            truth = camera.renderer.draw(transforms, fluxes, widths, (galaxy["x_offset"], galaxy["y_offset"]),
                                         population.psf_profile)
            images[f"{side}_flux"], images[f"{side}_weight"] = camera.observe(noise, truth)
            if self.recipe.truth:
                images[f"{side}_truth"] = truth
            galaxy[f"{side}_mag"] = camera.zero_points - 2.5 * np.log10(fluxes.sum(axis=0))
            galaxy[f"{side}_psf_fwhm"] = widths
            if self.recipe.psf:
                images[f"{side}_psf"] = self.psf_renderers[side].point(widths, population.psf_profile)
        if self.fiber is not None:
            images.update(self._spectrum(spectrograph, galaxy, profiles, knots))
        return galaxy, images

    def _spectrum(self, rng, galaxy, profiles, knots):
        """Return the spectrum through the fiber; adds the magnitude in it to the row."""
        disk = None if self.morphologies is None else profiles[1]
        fractions = component_fractions(galaxy) * self.fiber.fractions(galaxy, knots, disk)
        galaxy["fiber_r_mag"] = galaxy["r_mag"] - 2.5 * np.log10(fractions.sum())
        flux, weight = self.fiber.observe(rng, self.fiber.spectrum(fractions, self.recipe.reference, galaxy))
        return {"spectrum_flux": flux, "spectrum_weight": weight}

    def simulate_block(self, indices):
        """Return the rows and the stacked float32 images of some galaxies."""
        rows, images = zip(*map(self.simulate, indices))
        return list(rows), {name: np.stack([one[name] for one in images]).astype(np.float32, copy=False)
                            for name in images[0]}


def simulated_blocks(recipe, chunks, workers):
    """Yield rows and images of each chunk of indices, in order, from this process or from several."""
    if workers > 1:
        yield from ordered_results(Simulator, recipe, Simulator.simulate_block, chunks, workers)
        return
    simulator = Simulator(recipe)
    for chunk in chunks:
        yield simulator.simulate_block(chunk)
