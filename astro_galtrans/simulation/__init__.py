"""Simulated galaxies in two surveys: the embedded default data set."""

from astro_galtrans.simulation._population import GalaxyPopulation
from astro_galtrans.simulation._simulate import simulate_pairs

__all__ = ["GalaxyPopulation", "simulate_pairs"]
