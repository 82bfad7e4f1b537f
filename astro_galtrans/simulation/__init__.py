"""Simulated galaxies in two surveys: the embedded default data set."""

from astro_galtrans.simulation._degrade import degrade
from astro_galtrans.simulation._degrade_pairs import semi_real_pairs
from astro_galtrans.simulation._degrade_split import split_by_position
from astro_galtrans.simulation._population import GalaxyPopulation
from astro_galtrans.simulation._simulate import simulate_pairs

__all__ = ["GalaxyPopulation", "degrade", "semi_real_pairs", "simulate_pairs", "split_by_position"]
