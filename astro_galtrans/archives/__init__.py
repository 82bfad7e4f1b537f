"""Images from the public archives of the surveys, through astroquery; needs the extra ``archives``."""

from astro_galtrans.archives._download import download_images
from astro_galtrans.archives._files import DownloadedImages
from astro_galtrans.archives._hips import download_hips
from astro_galtrans.archives._megapipe import download_megapipe
from astro_galtrans.archives._sdss import SDSSField, download_sdss, find_sdss_field

__all__ = [
    "DownloadedImages", "SDSSField", "download_hips", "download_images", "download_megapipe", "download_sdss",
    "find_sdss_field",
]
