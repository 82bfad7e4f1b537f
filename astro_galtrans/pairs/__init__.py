"""The same galaxies in two surveys: pairs of images to train on and to judge with."""

from astro_galtrans.pairs._cubes import GalaxyPair
from astro_galtrans.pairs._pairset import PairSet

__all__ = ["GalaxyPair", "PairSet"]
