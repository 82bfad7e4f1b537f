"""Pairs of images of the same galaxies in two surveys."""

from astro_galtrans.pairs._checks import FluxArrays, checked_flux, psf_side, psf_stamp
from astro_galtrans.pairs._match import match_pairs
from astro_galtrans.pairs._match_catalog import match_one_to_one
from astro_galtrans.pairs._match_config import MatchConfig
from astro_galtrans.pairs._match_quality import FLAGS, NeighborMasks, flag_names, neighbor_masks
from astro_galtrans.pairs._pair import GalaxyPair
from astro_galtrans.pairs._pairset import PairExtras, PairSet

__all__ = [
    "FLAGS", "FluxArrays", "GalaxyPair", "MatchConfig", "NeighborMasks", "PairExtras", "PairSet", "checked_flux",
    "flag_names", "match_one_to_one", "match_pairs", "neighbor_masks", "psf_side", "psf_stamp",
]
