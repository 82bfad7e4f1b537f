"""Galaxies with spectra of observed ones and components of many kinds, each of colors of its own."""

from dataclasses import dataclass

import numpy as np

from astro_galtrans.simulation._components import Ellipse, Profile, sersic
from astro_galtrans.simulation._observed_population import ObservedPopulation
from astro_galtrans.simulation._observed_seds import ObservedSEDs
from astro_galtrans.simulation._render import RealMorphologies
from astro_galtrans.simulation._seds import calzetti
from astro_galtrans.simulation._spectrograph import RADIUS
from astro_galtrans.simulation._structure import Structure, draw_structure
from astro_galtrans.surveys import get_survey

__all__ = ["ObservedGalaxies", "ObservedGalaxy", "observed_seds"]

_REFERENCE = "reference"
_REPLACED = ("outer", "disk", "arms", "clumps", "ring", "tidal")
_POINT = 1e-3  # arcsec


def observed_seds(surveys):
    """Return the `ObservedSEDs` of the surveys, and of the SDSS r band."""
    return ObservedSEDs({**surveys, _REFERENCE: get_survey("SDSS").select("r")})


@dataclass
class ObservedGalaxy:
    """A simulated galaxy: ``row`` has the columns of the catalog, ``shapes`` are its components."""

    row: dict
    shapes: list
    structure: Structure


class ObservedGalaxies:
    """Draws galaxies like the observed ones.

    Parameters
    ----------
    population : GalaxyPopulation
    seds : ObservedSEDs
        From `observed_seds`.
    morphologies : path-like, optional
        Catalog of real galaxies, whose shapes replace disk, arms, ring, clumps and tidal features.
    """

    def __init__(self, population, seds, morphologies=None):
        self.offset, self.seds, self.population = population.offset, seds, ObservedPopulation(population)
        self.morphologies = None if morphologies is None else RealMorphologies(morphologies)

    def draw(self, properties, structure):
        """Return a galaxy, from one generator of its properties and another of its structure."""
        row = self.population.draw(properties)
        row["x_offset"], row["y_offset"] = properties.uniform(-self.offset, self.offset, 2)
        continuum, lines = self.seds.galaxy(row, _REFERENCE)
        total = continuum.sum() + lines[0]
        drawn = draw_structure(structure, row, continuum[:, 0] / total, lines[0] / total)
        row.update(drawn.columns)
        if self.morphologies is not None:
            self._replace(structure, row, drawn)
        shapes = list(drawn.shapes)
        if drawn.lane is not None:
            shapes.append(drawn.lane[0])
        if drawn.nucleus:
            shapes.append(Ellipse(sersic(1.0), _POINT * np.eye(2)))
        return ObservedGalaxy(row, shapes, drawn)

    def _replace(self, rng, row, structure):
        """Put one real galaxy in the place of disk, arms, ring, clumps and tidal features."""
        kept = [i for i, name in enumerate(structure.names) if name not in _REPLACED]
        gone = [i for i, name in enumerate(structure.names) if name in _REPLACED]
        main = structure.shapes[structure.names.index("disk" if "disk" in structure.names else "outer")]
        profile, index, _ = self.morphologies.draw(rng, main.size)
        row["morphology"] = index
        structure.names = [structure.names[i] for i in kept] + ["real"]
        structure.shapes = [structure.shapes[i] for i in kept] + [Profile(profile)]
        for name in ("shares", "line_shares"):
            values = getattr(structure, name)
            setattr(structure, name, np.concatenate([values[kept], values[gone].sum(axis=0, keepdims=True)]))
        structure.reddening = np.append(structure.reddening[kept], structure.reddening[gone].mean())
        structure.lane = None

    def fluxes(self, galaxy, side):
        """Return the flux of each shape of a galaxy in each band, ``(n_shapes, n_bands)``, in the survey unit."""
        row = galaxy.row
        attenuation, reference = self.seds.attenuation(row, side), self.seds.attenuation(row, _REFERENCE)[0]
        nucleus = self.seds.nucleus(row, side) if galaxy.structure.nucleus else None
        return _shared(galaxy.structure, *self.seds.galaxy(row, side), nucleus, attenuation, reference)

    def spectrum(self, galaxy, fiber):
        """Return the flux density through the fiber, 1e-17 erg / (s cm2 Angstrom); adds the magnitude in it to the row.
        """
        row = galaxy.row
        inside = np.array([shape.fraction(RADIUS) for shape in galaxy.shapes])
        flux = self.fluxes(galaxy, _REFERENCE)[:, 0]
        row["fiber_r_mag"] = row["r_mag"] - 2.5 * np.log10(inside @ flux / flux.sum())
        continuum, lines, nucleus = self.seds.spectrum(row, fiber.edges)
        center = 0.5 * (fiber.edges[1:] + fiber.edges[:-1])
        reference = self.seds.attenuation(row, _REFERENCE)[0]
        return inside @ _shared(galaxy.structure, continuum, lines, nucleus, calzetti(center / (1 + row["redshift"])),
                                reference)


def _shared(structure, continuum, lines, nucleus, attenuation, reference):
    """Return the flux of each shape: components, lane and nucleus, shape ``(n_shapes, n)``.

    ``continuum`` has shape ``(n_templates, n)``, ``lines``, ``nucleus`` and ``attenuation``, A / E(B-V), have shape
    ``(n,)``; ``reference`` is the attenuation in SDSS r. Without the nucleus, columns add up to continuum and lines.
    """
    total = continuum.sum(axis=0) + lines
    flux = structure.shares @ continuum + np.multiply.outer(structure.line_shares, lines)
    flux *= 10 ** (-0.4 * np.multiply.outer(structure.reddening, attenuation - reference))
    flux *= total / np.maximum(flux.sum(axis=0), 1e-300)
    if structure.lane is not None:
        _, cover, reddening = structure.lane
        # The other components emit the light that the lane absorbs.
        absorbed = cover * (1 - 10 ** (-0.4 * reddening * attenuation))
        flux = np.concatenate([flux * (1 + absorbed), (-absorbed * total)[None]])
    if structure.nucleus:
        flux = np.concatenate([(1 - structure.nucleus) * flux, structure.nucleus * nucleus[None]])
    return flux
