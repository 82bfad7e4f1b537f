"""Read and hold images: the multi-band container, flux scales, survey readers, regridding, source detection."""

from astro_galtrans._utils.psf import psf_fwhm
from astro_galtrans.images._convert import as_band_cube, flux_and_weight, like_input, split_bands, stack_bands
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._detection import detect_galaxies, segment_galaxy
from astro_galtrans.images._fits_read import split_path
from astro_galtrans.images._frames import FrameSet
from astro_galtrans.images._image import ReadConfig
from astro_galtrans.images._masks import read_sdss_mask
from astro_galtrans.images._psf import SDSSPSF, FieldPSF, PSFModel
from astro_galtrans.images._readers import read_cube, read_frames
from astro_galtrans.images._regrid import regrid
from astro_galtrans.images._sdss import read_stamps
from astro_galtrans.images._valid import check_coverage, empty_pixels, missing_bands

__all__ = [
    "BandCube", "FieldPSF", "FrameSet", "PSFModel", "ReadConfig", "SDSSPSF", "as_band_cube", "check_coverage",
    "detect_galaxies", "empty_pixels", "flux_and_weight", "like_input", "missing_bands", "psf_fwhm", "read_cube",
    "read_frames", "read_sdss_mask", "read_stamps", "regrid", "segment_galaxy", "split_bands", "split_path",
    "stack_bands",
]
