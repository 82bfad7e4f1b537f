"""Images from the public archives of the surveys; needs the extra ``archives`` (astroquery and pyvo)."""

from astro_galtrans.archives._archive import DownloadedImages
from astro_galtrans.archives._sdss import SDSSField, download_sdss, find_sdss_field
from astro_galtrans.archives._sia import IMAGE_SERVICES, ImageService, download_euclid, download_sia
from astro_galtrans.archives._surveys import download_hips, download_images, download_legacy, download_megapipe

__all__ = [
    "DownloadedImages", "IMAGE_SERVICES", "ImageService", "SDSSField", "download_euclid", "download_hips",
    "download_images", "download_legacy", "download_megapipe", "download_sdss", "download_sia", "find_sdss_field",
]
