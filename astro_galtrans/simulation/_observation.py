"""Images of galaxies through a realistic sky, composed of its parts."""

import astropy.units as u
import numpy as np

from astro_galtrans.images import missing_bands
from astro_galtrans.pairs import psf_side
from astro_galtrans.simulation._artifacts import apply_artifacts
from astro_galtrans.simulation._conditions import get_conditions
from astro_galtrans.simulation._noise import (
    digitized, draw_background, draw_depths, draw_ebv, draw_offsets, draw_weight_errors, draw_zero_points,
    extinction_coefficients, unit_noise,
)
from astro_galtrans.simulation._psf import Blurs, draw_psfs
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._scene import draw_scene, label_pixels, render_scene, scene_library

__all__ = ["RealisticSky"]

# Scatter in x and y of the center that a detection gives a galaxy, in arcsec.
_CENTROID = 0.05
_SHARED = ("centering", "extinction", "scene")
_N_ATTEMPTS = 5  # at artifacts that do not hide the galaxy
_OF_SURVEY = ("psf", "noise", "depth", "background", "astrometry", "calibration", "artifacts")


class _Camera:
    """The grid, the conditions and constants of the bands of one survey."""

    def __init__(self, survey, size, conditions, with_psf):
        self.survey, self.conditions = survey, conditions
        self.renderer = Renderer(survey, size)
        self.psf_renderer = Renderer(survey, psf_side(survey)) if with_psf else None
        self.zero_points = np.array([band.zero_point for band in survey])
        self.sky_noise = np.array([band.sky_noise for band in survey])
        self.gain = np.array([band.gain for band in survey])
        self.extinction = extinction_coefficients(survey)


def _with_artifacts(rng, part, renderer, flux, weight):
    """Return flux and weight with artifacts that leave enough data on the galaxy; none where that fails.

    Other galaxies are dropped when real pairs are matched.
    """
    for _ in range(_N_ATTEMPTS):
        found = apply_artifacts(rng, part, renderer, flux.copy(), weight.copy())
        if not missing_bands(found[1] > 0, renderer.scale).any():
            return found
    return flux, weight


class RealisticSky:
    """Images of galaxies with their neighbors, through the parts of a `Sky`.

    The truth has all that is on the sky in the PSF of the image; noise, background, artifacts and errors of positions
    and zero points are not part of it.
    """

    def __init__(self, recipe):
        self.sky, self.truth = recipe.sky, recipe.truth
        self.cameras = {side: _Camera(survey, recipe.sizes[side], get_conditions(survey, self.sky.conditions),
                                      recipe.psf)
                        for side, survey in recipe.surveys.items()}
        self.library = None if self.sky.scene is None else scene_library(*(recipe.surveys[side]
                                                                           for side in ("input", "target")))
        self.half_width = max(camera.renderer.size * camera.renderer.scale for camera in self.cameras.values()) / 2
        self.pixel = recipe.surveys["input"].pixel_scale.to_value(u.arcsec)

    def observe(self, galaxies, galaxy, seed):
        """Return the images of a galaxy by name; adds magnitudes, PSF widths, offsets and extinction to its row.

        ``seed`` is the SeedSequence of the galaxy, from which each part gets a stream of its own, so that turning one
        off leaves the others as they are.
        """
        n_sides = len(self.cameras)
        streams = map(np.random.default_rng, seed.spawn(len(_SHARED) + n_sides * len(_OF_SURVEY)))
        shared = dict(zip(_SHARED, streams))
        row, images = galaxy.row, {}
        # A cutout is centered on the pixel of the input survey on which the galaxy was detected.
        centering = shared["centering"]
        if self.sky.astrometry is not None:
            row["x_offset"], row["y_offset"] = (centering.uniform(-0.5, 0.5, 2) * self.pixel
                                                + _CENTROID * centering.standard_normal(2))
        row["ebv"] = draw_ebv(shared["extinction"], self.sky.extinction)
        scene = None if self.library is None else draw_scene(shared["scene"], self.sky.scene, row, self.half_width,
                                                             self.library)
        for side, camera in self.cameras.items():
            images |= self._image(side, camera, galaxies, galaxy, scene, dict(zip(_OF_SURVEY, streams)))
        return images

    def _image(self, side, camera, galaxies, galaxy, scene, streams):
        """Return the images of one survey by name."""
        sky, conditions, renderer, row = self.sky, camera.conditions, camera.renderer, galaxy.row
        psfs = draw_psfs(streams["psf"], sky.psf, conditions)
        offsets = draw_offsets(streams["astrometry"], sky.astrometry, conditions)
        dimming = 10 ** (-0.4 * row["ebv"] * camera.extinction)
        fluxes = galaxies.fluxes(galaxy, side)
        row[f"{side}_mag"] = camera.zero_points - 2.5 * np.log10(fluxes.sum(axis=0))
        row[f"{side}_psf_fwhm"] = np.array([psf.fwhm for psf in psfs])
        blurs = Blurs(psfs)
        bands = renderer.mixed([shape.transform(renderer) for shape in galaxy.shapes], fluxes * dimming,
                               blurs.on(renderer.n, renderer.kx, renderer.ky))
        fluxes_of_scene = None if scene is None else self.library.fluxes(scene, side) * dimming

        def draw(shifts):
            """Return the images of the galaxy, and of its neighbors or 0."""
            offsets = np.array([row["x_offset"], row["y_offset"]]) + shifts
            own = renderer.images(bands, offsets)
            if scene is None:
                return own, np.zeros_like(own)
            return own, render_scene(renderer, scene, fluxes_of_scene, blurs, offsets)

        own, others = draw(offsets)
        images = {}
        depths = camera.sky_noise * draw_depths(streams["depth"], sky.noise, conditions)
        calibration = 10 ** (0.4 * draw_zero_points(streams["calibration"], sky.calibration, conditions))
        observed = (own + others) * calibration.astype(np.float32)[:, None, None]
        variance = (depths**2).astype(np.float32)[:, None, None] + np.clip(observed, 0, None) / camera.gain.astype(
            np.float32)[:, None, None]
        # That of Poisson noise: the sky of a pixel has (depths * gain)**2 photons.
        skewness = 1 / (depths * camera.gain)
        noise = unit_noise(streams["noise"], sky.noise, conditions, renderer.size, skewness)
        flux = observed + np.sqrt(variance) * noise
        background = draw_background(streams["background"], sky.background, conditions, renderer.size, renderer.scale)
        if background is not None:
            flux += background * depths.astype(np.float32)[:, None, None]
        flux = digitized(streams["noise"], sky.noise, conditions, flux, camera.sky_noise)
        stated = draw_weight_errors(streams["depth"], sky.noise, conditions)
        weight = stated.astype(np.float32)[:, None, None] / variance
        if sky.artifacts is not None:
            flux, weight = _with_artifacts(streams["artifacts"], sky.artifacts, renderer, flux, weight)
        images[f"{side}_flux"], images[f"{side}_weight"] = flux, weight
        if self.truth:
            own, others = draw(np.zeros_like(offsets)) if np.any(offsets) else (own, others)
            images[f"{side}_truth"] = own + others
            images[f"{side}_label"] = label_pixels(own, others, camera.sky_noise)
        if camera.psf_renderer is not None:
            small = camera.psf_renderer
            images[f"{side}_psf"] = small.point([psf.transform(small.kx, small.ky) for psf in psfs])
        return images
