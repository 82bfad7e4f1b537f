"""The same galaxies in two surveys: pairs of images to train on and to judge with."""

from astro_galtrans.pairs._pairset import GalaxyPair, PairSet

__all__ = ["GalaxyPair", "PairSet"]
