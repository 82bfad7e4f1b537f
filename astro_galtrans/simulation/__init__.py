"""Simulated galaxies in two surveys, the embedded default data set, and degraded real images."""

from astro_galtrans.simulation._degrade import DegradeConfig, degrade
from astro_galtrans.simulation._observed_population import ObservedPopulation
from astro_galtrans.simulation._observed_seds import ObservedSEDs
from astro_galtrans.simulation._population import GalaxyPopulation
from astro_galtrans.simulation._semi_real import SemiRealConfig, semi_real_pairs, split_by_position
from astro_galtrans.simulation._simulate import SimulationConfig, simulate_pairs

__all__ = [
    "DegradeConfig", "GalaxyPopulation", "ObservedPopulation", "ObservedSEDs", "SemiRealConfig", "SimulationConfig",
    "degrade", "semi_real_pairs", "simulate_pairs", "split_by_position",
]
