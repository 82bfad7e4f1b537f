"""Spectra as arrays: from a `specutils.Spectrum` on any grid to float32 arrays on one grid, and back."""

from astro_galtrans.spectra._grid import FLUX_UNIT, SpectrumGrid
from astro_galtrans.spectra._read import join_arms, read_spectrum
from astro_galtrans.spectra._resample import resample_spectra, resample_spectrum, to_spectrum

__all__ = [
    "FLUX_UNIT", "SpectrumGrid", "join_arms", "read_spectrum", "resample_spectra", "resample_spectrum", "to_spectrum",
]
