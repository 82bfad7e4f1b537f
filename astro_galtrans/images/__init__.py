"""Read and hold images: the multi-band container, flux scales, survey readers, regridding, source detection."""

from astro_galtrans.images._coverage import check_coverage, missing_bands
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._detection import detect_galaxies, segment_galaxy
from astro_galtrans.images._fits_read import split_path
from astro_galtrans.images._frames import FrameSet
from astro_galtrans.images._kinds import as_band_cube, like_input
from astro_galtrans.images._missing import empty_pixels
from astro_galtrans.images._psf import SDSSPSF, FieldPSF
from astro_galtrans.images._readers import read_cube, read_frames
from astro_galtrans.images._regrid import regrid
from astro_galtrans.images._sdss_mask import read_sdss_mask
from astro_galtrans.images._sdss_stamps import read_stamps
from astro_galtrans.images._stack import split_bands, stack_bands
from astro_galtrans.images._weights import flux_and_weight

__all__ = [
    "BandCube", "FieldPSF", "FrameSet", "SDSSPSF", "as_band_cube", "check_coverage", "detect_galaxies", "empty_pixels",
    "flux_and_weight", "like_input", "missing_bands", "read_cube", "read_frames", "read_sdss_mask", "read_stamps",
    "regrid", "segment_galaxy", "split_bands", "split_path", "stack_bands",
]
