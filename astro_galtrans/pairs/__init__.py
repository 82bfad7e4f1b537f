"""The same galaxies in two surveys: pairs of images to train on and to judge with."""

from astro_galtrans.pairs._cubes import GalaxyPair
from astro_galtrans.pairs._match import match_pairs
from astro_galtrans.pairs._match_catalog import match_one_to_one
from astro_galtrans.pairs._match_quality import FLAGS, flag_names
from astro_galtrans.pairs._pairset import PairSet

__all__ = ["FLAGS", "GalaxyPair", "PairSet", "flag_names", "match_one_to_one", "match_pairs"]
