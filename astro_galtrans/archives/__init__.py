"""Images from the public archives of the surveys; needs the extra ``archives`` (astroquery and pyvo)."""

from astro_galtrans.archives._download import download_images
from astro_galtrans.archives._files import DownloadedImages
from astro_galtrans.archives._hips import download_hips
from astro_galtrans.archives._legacy import download_legacy
from astro_galtrans.archives._megapipe import download_megapipe
from astro_galtrans.archives._sdss import SDSSField, download_sdss, find_sdss_field
from astro_galtrans.archives._sia import IMAGE_SERVICES, ImageService, download_euclid, download_sia

__all__ = [
    "DownloadedImages", "IMAGE_SERVICES", "ImageService", "SDSSField", "download_euclid", "download_hips",
    "download_images", "download_legacy", "download_megapipe", "download_sdss", "download_sia", "find_sdss_field",
]
