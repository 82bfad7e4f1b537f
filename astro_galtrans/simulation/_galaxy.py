"""Images and spectrum of one simulated galaxy in two surveys, from its seed and number."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from astro_galtrans._utils.processes import ordered_results
from astro_galtrans.pairs import psf_side
from astro_galtrans.simulation._observation import RealisticSky
from astro_galtrans.simulation._observed_galaxies import ObservedGalaxies, observed_seds
from astro_galtrans.simulation._population import GalaxyPopulation
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._sky import Sky
from astro_galtrans.simulation._spectrograph import Fiber
from astro_galtrans.simulation._template_galaxies import TemplateGalaxies, TemplateSEDs
from astro_galtrans.surveys import Survey

__all__ = ["PlainSky", "Recipe", "Simulator", "simulated_blocks"]

_N_STREAMS = 5
_GALAXIES = {"observed": (ObservedGalaxies, observed_seds), "templates": (TemplateGalaxies, TemplateSEDs)}


@dataclass
class Recipe:
    """All that determines a set of galaxies; it is sent to worker processes with each of their tasks."""

    seed: int
    population: GalaxyPopulation
    surveys: dict[str, Survey]
    sizes: dict[str, int]
    galaxies: str = "templates"
    sky: Sky | None = None
    truth: bool = False
    spectra: bool = False
    psf: bool = False
    morphologies: str | None = None


class PlainSky:
    """Images of galaxies that are alone, through round PSFs, with white noise of the depth of the survey."""

    def __init__(self, recipe):
        self.population, self.truth = recipe.population, recipe.truth
        self.renderers = {side: Renderer(survey, recipe.sizes[side]) for side, survey in recipe.surveys.items()}
        self.psf_renderers = {side: Renderer(survey, psf_side(survey)) for side, survey in recipe.surveys.items()
                              if recipe.psf}

    def observe(self, galaxies, galaxy, seeing, noise):
        """Return the images of a galaxy by name; adds magnitudes and PSF widths to its row."""
        row, images = galaxy.row, {}
        for side, renderer in self.renderers.items():
            fluxes = galaxies.fluxes(galaxy, side)
            widths = self._psf_widths(seeing, renderer.survey)
            profile = self.population.psf_profile
            truth = renderer.draw([shape.transform(renderer) for shape in galaxy.shapes], fluxes,
                                  renderer.psfs(widths, profile), (row["x_offset"], row["y_offset"]))
            images[f"{side}_flux"], images[f"{side}_weight"] = _noisy(noise, truth, renderer.survey)
            if self.truth:
                images[f"{side}_truth"] = truth
            zero_points = np.array([band.zero_point for band in renderer.survey])
            row[f"{side}_mag"] = zero_points - 2.5 * np.log10(fluxes.sum(axis=0))
            row[f"{side}_psf_fwhm"] = widths
            if side in self.psf_renderers:
                small = self.psf_renderers[side]
                images[f"{side}_psf"] = small.point(small.psfs(widths, profile))
        return images

    def _psf_widths(self, rng, survey):
        """Return the PSF FWHM in arcsec for each band: seeing common to the bands and a smaller scatter of each."""
        typical = np.array([band.psf_fwhm.to_value(u.arcsec) for band in survey])
        deviates = rng.standard_normal(1 + len(typical))
        return typical * np.exp(self.population.psf_scatter * (deviates[0] + 0.4 * deviates[1:]))


def _noisy(rng, truth, survey):
    """Return the noisy image and its weight: Gaussian noise with the variance of sky and source photons."""
    sky = np.array([band.sky_noise**2 for band in survey], dtype=np.float32)[:, None, None]
    gain = np.array([band.gain for band in survey], dtype=np.float32)[:, None, None]
    variance = sky + np.clip(truth, 0, None) / gain
    noise = rng.standard_normal(truth.shape, dtype=np.float32)
    return truth + np.sqrt(variance) * noise, 1 / variance


class Simulator:
    """Simulates the galaxies of a `Recipe`."""

    def __init__(self, recipe):
        self.recipe = recipe
        kind, seds = _GALAXIES[recipe.galaxies]
        self.galaxies = kind(recipe.population, seds(recipe.surveys), recipe.morphologies)
        self.sky = PlainSky(recipe) if recipe.sky is None else RealisticSky(recipe)
        self.fiber = Fiber() if recipe.spectra else None

    def simulate(self, index):
        """Return the row of the catalog and the images by name of galaxy ``index``."""
        # The streams are apart, so that what a galaxy is does not depend on how it is observed.
        seed = np.random.SeedSequence(self.recipe.seed, spawn_key=(index,))
        properties, structure, seeing, noise, spectrograph = map(np.random.default_rng, seed.spawn(_N_STREAMS))
        galaxy = self.galaxies.draw(properties, structure)
        images = self.sky.observe(self.galaxies, galaxy, *((seeing, noise) if self.recipe.sky is None else (seed,)))
        if self.fiber is not None:
            truth = self.galaxies.spectrum(galaxy, self.fiber)
            images["spectrum_flux"], images["spectrum_weight"] = self.fiber.observe(spectrograph, truth)
        return galaxy.row, images

    def simulate_block(self, indices):
        """Return the rows and the stacked float32 images of some galaxies."""
        rows, images = zip(*map(self.simulate, indices))
        return list(rows), {name: np.stack([one[name] for one in images]).astype(
            np.uint8 if name.endswith("_label") else np.float32, copy=False) for name in images[0]}


def simulated_blocks(recipe, chunks, workers):
    """Yield rows and images of each chunk of indices, in order, from this process or from several."""
    if workers > 1:
        yield from ordered_results(Simulator, recipe, Simulator.simulate_block, chunks, workers)
        return
    simulator = Simulator(recipe)
    for chunk in chunks:
        yield simulator.simulate_block(chunk)
