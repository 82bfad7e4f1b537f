"""Images of hierarchical progressive surveys (HiPS), which the CDS keeps of nearly every survey."""

import warnings

import astropy.units as u
from astropy.coordinates import Angle, Latitude, Longitude
from tqdm.auto import tqdm

from astro_galtrans.archives._files import (
    DownloadedImages, archive_module, checked_bands, checked_position, documented, prepared, write_whole,
)
from astro_galtrans.exceptions import GaltransWarning, SurveyError
from astro_galtrans.surveys import get_survey

__all__ = ["download_hips"]

_HIPS = {
    "SDSS": "CDS/P/SDSS9/{band}", "CFHTLS": "CDS/P/CFHTLS/W/{band}", "DES": "CDS/P/DES-DR2/{band}",
    "Pan-STARRS": "CDS/P/PanSTARRS/DR1/{band}", "HSC": "CDS/P/HSC/DR2/wide/{band}", "Euclid VIS": "CDS/P/Euclid/Q1/VIS",
}


@documented
def download_hips(position, folder, survey, *, bands=None, size=1 * u.arcmin, hips=None, overwrite=False,
                  progress=False, timeout=120):
    """Download images of a survey that the CDS resamples from its HiPS, for a look where nothing better is to be had.

    They are not for photometry: the CDS resampled the images to a grid on the sphere and back, tells no unit, no zero
    point and no noise, and neighboring pixels correlate. The files therefore say that they are in counts of an unknown
    kind, and are read on the scale of a survey only with a ``unit`` given by hand.

    Parameters
    ----------
    {position}
    {folder}
    survey : str or `~astro_galtrans.surveys.Survey`
        The survey; its pixel scale is that of the images.
    bands : str or sequence of str, optional
        The bands; all of the survey without it.
    size : `~astropy.units.Quantity` or int, optional
        Side, an angle or a number of pixels.
    hips : str, optional
        Identifier of the HiPS, with ``{{band}}`` in place of the band, where the survey is none of SDSS, CFHTLS, DES,
        Pan-STARRS, HSC and Euclid VIS, or another is wanted.
    {options}

    Returns
    -------
    DownloadedImages

    Warns
    -----
    GaltransWarning
        That the images are not for photometry.
    """
    position, survey = checked_position(position), get_survey(survey)
    bands = checked_bands(bands, survey)
    hips = _HIPS.get(survey.name) if hips is None else hips
    if hips is None:
        raise SurveyError(f"no HiPS of survey {survey.name} is known here; known are {', '.join(_HIPS)}, or give hips=")
    scale = survey.pixel_scale.to(u.deg)
    pixels = size if isinstance(size, int) else round((u.Quantity(size) / scale).to_value(u.dimensionless_unscaled))
    if not 1 <= pixels <= 8000:
        raise ValueError(f"size must be of 1 to 8000 pixels of {survey.pixel_scale}, got {size}")
    service = archive_module("astroquery.hips2fits").hips2fits
    folder, images = prepared(folder), {}
    for band in tqdm(bands, desc="HiPS", unit="image", disable=not progress):
        name = hips.format(band=band)
        where = f"{position.ra.deg:.5f}{position.dec.deg:+.5f}-{pixels}"
        images[band] = folder / f"{name.replace('/', '-')}-{where}.fits"
        if overwrite or not images[band].is_file():
            hdus = _query(service, name, position, pixels, scale, timeout)
            header = hdus[0].header
            header["FILTER"], header["HIPS"], header["BUNIT"] = band, name, "adu"
            header["COMMENT"] = "Resampled from a HiPS by the CDS: counts of unknown zero point, not for photometry"
            write_whole(images[band], hdus, name)
    warnings.warn("images of a HiPS are for a look, not for photometry: their unit and zero point are not known",
                  GaltransWarning, stacklevel=2)
    return DownloadedImages(None, images, position)


def _query(service, name, position, pixels, scale, timeout):
    before, service.timeout = service.timeout, timeout
    try:
        return service.query(
            hips=name, width=pixels, height=pixels, projection="TAN", ra=Longitude(position.ra),
            dec=Latitude(position.dec), fov=Angle(pixels * scale), format="fits")
    except AttributeError as error:  # what astroquery raises where the service refuses
        raise OSError(f"the HiPS {name} cannot be had: {error}") from error
    finally:
        service.timeout = before
