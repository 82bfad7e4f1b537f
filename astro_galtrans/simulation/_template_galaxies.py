"""Smooth galaxies: a bulge, a disk and knots, each with one of four template spectra."""

from dataclasses import dataclass, field

import numpy as np

from astro_galtrans.simulation._components import Profile
from astro_galtrans.simulation._population import DISK_SCALES, draw_galaxy
from astro_galtrans.simulation._render import RealMorphologies, import_galsim
from astro_galtrans.simulation._seds import galaxy_components, reference_grid, sed_grid
from astro_galtrans.simulation._spectrograph import RADIUS, point_fraction, sersic_fraction

__all__ = ["Galaxy", "TemplateGalaxies", "TemplateSEDs", "component_fractions"]


@dataclass
class Galaxy:
    """A simulated galaxy.

    ``row`` has the columns of the catalog. ``shapes`` are its components; each has a method ``transform(renderer)``,
    the Fourier transform of the component, of flux 1, on the grid of a `Renderer`.
    """

    row: dict
    shapes: list = field(default_factory=list)


@dataclass(frozen=True)
class _Points:
    """Points at positions in arcsec, of relative brightness."""

    x: np.ndarray
    y: np.ndarray
    brightness: np.ndarray

    def transform(self, renderer):
        return renderer.points(self.x, self.y, self.brightness)


class TemplateSEDs:
    """Band fluxes of the components of galaxies in each survey."""

    def __init__(self, surveys):
        self.grids = {side: sed_grid(survey) for side, survey in surveys.items()}
        self.zero_points = {side: np.array([band.zero_point for band in survey]) for side, survey in surveys.items()}
        self.reference = reference_grid()

    def fluxes(self, row, side):
        """Return the flux of bulge, smooth disk and knots in each band, shape ``(3, n_bands)``, in the survey unit."""
        grid, redshift = self.grids[side], row["redshift"]
        fluxes = [fraction * (grid.flux(redshift, *spectrum) / self.reference.flux(redshift, *spectrum))
                  for fraction, spectrum in zip(component_fractions(row), galaxy_components(row))]
        return np.array(fluxes) * 10 ** (-0.4 * (row["r_mag"] - self.zero_points[side]))


def component_fractions(galaxy):
    """Return the fractions of bulge, smooth disk and knots in the r-band flux, ndarray of shape ``(3,)``."""
    knots = (1 - galaxy["bulge_fraction"]) * galaxy["knot_fraction"]
    return np.array([galaxy["bulge_fraction"], 1 - galaxy["bulge_fraction"] - knots, knots])


def _knots(rng, galaxy):
    """Return positions in arcsec that follow the exponential disk, within five scale lengths, and brightness."""
    scale = galaxy["disc_radius"] / DISK_SCALES
    # r exp(-r) is a Gamma distribution of shape 2.
    radius = scale * np.minimum(rng.gamma(2, size=galaxy["n_knots"]), 5.0)
    azimuth = rng.uniform(0, 2 * np.pi, galaxy["n_knots"])
    root = np.sqrt(galaxy["disc_axis_ratio"])
    major, minor = radius * np.cos(azimuth) / root, radius * np.sin(azimuth) * root
    cos, sin = np.cos(galaxy["position_angle"]), np.sin(galaxy["position_angle"])
    return _Points(major * cos - minor * sin, major * sin + minor * cos, rng.exponential(size=galaxy["n_knots"]))


class TemplateGalaxies:
    """Draws smooth galaxies of a `GalaxyPopulation`.

    Parameters
    ----------
    population : GalaxyPopulation
    seds : TemplateSEDs
    morphologies : path-like, optional
        Catalog of real galaxies whose shapes replace disk and knots.
    """

    def __init__(self, population, seds, morphologies=None):
        self.population, self.seds, self.galsim = population, seds, import_galsim()
        self.morphologies = None if morphologies is None else RealMorphologies(morphologies)

    def draw(self, properties, structure):
        """Return a `Galaxy`, from one generator of its properties and another of its structure."""
        row = draw_galaxy(properties, self.population)
        angle = row["position_angle"] * self.galsim.radians
        bulge = self.galsim.DeVaucouleurs(half_light_radius=row["bulge_radius"])
        bulge = bulge.shear(q=row["bulge_axis_ratio"], beta=angle)
        if self.morphologies is not None:
            disk, index, radius = self.morphologies.draw(structure, row["disc_radius"])
            row.update(morphology=index, disc_radius=radius, knot_fraction=0.0, n_knots=0)
            return Galaxy(row, [Profile(bulge), Profile(disk)])
        disk = self.galsim.Exponential(half_light_radius=row["disc_radius"])
        disk = disk.shear(q=row["disc_axis_ratio"], beta=angle)
        knots = [_knots(structure, row)] if row["n_knots"] else []
        return Galaxy(row, [Profile(bulge), Profile(disk), *knots])

    def fluxes(self, galaxy, side):
        """Return the flux of each shape of a galaxy in each band, ``(n_shapes, n_bands)``, in the survey unit."""
        return self.seds.fluxes(galaxy.row, side)[:len(galaxy.shapes)]

    def spectrum(self, galaxy, fiber):
        """Return the flux density through the fiber, 1e-17 erg / (s cm2 Angstrom); adds the magnitude in it to the row.
        """
        row = galaxy.row
        bulge = sersic_fraction(RADIUS, row["bulge_radius"], row["bulge_axis_ratio"], 4)
        if self.morphologies is None:
            smooth = sersic_fraction(RADIUS, row["disc_radius"], row["disc_axis_ratio"], 1)
        else:
            smooth = galaxy.shapes[1].fraction(RADIUS)
        knots = galaxy.shapes[2] if len(galaxy.shapes) > 2 else None
        inside = 0.0 if knots is None else point_fraction(RADIUS, knots.x, knots.y, knots.brightness)
        fractions = component_fractions(row) * np.array([bulge, smooth, inside])
        row["fiber_r_mag"] = row["r_mag"] - 2.5 * np.log10(fractions.sum())
        return fiber.spectrum(fractions, self.seds.reference, row)
