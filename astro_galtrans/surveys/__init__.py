"""Surveys: passbands, pixel grid, point spread function, noise and flux unit."""

from astro_galtrans.surveys._photometry import band_flux_density, synthetic_magnitude
from astro_galtrans.surveys._registry import available_surveys, get_survey, register_survey, same_name
from astro_galtrans.surveys._survey import Band, Survey, matching_size, read_survey

__all__ = [
    "Band", "Survey", "available_surveys", "band_flux_density", "get_survey", "matching_size", "read_survey",
    "register_survey", "same_name", "synthetic_magnitude",
]
