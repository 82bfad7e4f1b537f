"""Simulated galaxies in two surveys, the embedded default data set, and degraded real images."""

from astro_galtrans.simulation._conditions import (
    AstrometryConditions, BackgroundConditions, CalibrationConditions, NoiseConditions, PSFConditions,
    SurveyConditions, get_conditions,
)
from astro_galtrans.simulation._degrade import DegradeConfig, degrade
from astro_galtrans.simulation._observed_population import ObservedPopulation
from astro_galtrans.simulation._observed_seds import ObservedSEDs
from astro_galtrans.simulation._population import GalaxyPopulation
from astro_galtrans.simulation._scene import galaxy_counts, galaxy_radius, star_counts
from astro_galtrans.simulation._semi_real import SemiRealConfig, semi_real_pairs, split_by_position
from astro_galtrans.simulation._simulate import SimulationConfig, simulate_pairs
from astro_galtrans.simulation._sky import (
    Artifacts, Astrometry, Background, Calibration, Extinction, Noise, PSFVariation, Scene, Sky,
)

__all__ = [
    "Artifacts", "Astrometry", "AstrometryConditions", "Background", "BackgroundConditions", "Calibration",
    "CalibrationConditions", "DegradeConfig", "Extinction", "GalaxyPopulation", "Noise", "NoiseConditions",
    "ObservedPopulation", "ObservedSEDs", "PSFConditions", "PSFVariation", "Scene", "SemiRealConfig",
    "SimulationConfig", "Sky", "SurveyConditions", "degrade", "galaxy_counts", "galaxy_radius", "get_conditions",
    "semi_real_pairs", "simulate_pairs", "split_by_position", "star_counts",
]
