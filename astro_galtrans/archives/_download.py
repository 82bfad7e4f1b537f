"""Whatever archive has the images of a survey."""

import warnings

import astropy.units as u

from astro_galtrans.archives._hips import download_hips
from astro_galtrans.archives._megapipe import download_megapipe
from astro_galtrans.archives._sdss import download_sdss
from astro_galtrans.exceptions import GaltransWarning, SurveyError
from astro_galtrans.surveys import get_survey

__all__ = ["download_images"]


def download_images(position, folder, survey, *, bands=None, size=1 * u.arcmin, mask=False, fallback=False,
                    overwrite=False):
    """Download images of a survey at a place: from the archive of the survey, or as a fallback from its HiPS.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord`
        The place.
    folder : path-like
        Where to; it is made if it is not there. A file that is in it already is not fetched again.
    survey : str or `~astro_galtrans.surveys.Survey`
        SDSS (whole frames with PSF, `download_sdss`) or CFHTLS (cutouts of MegaPipe, `download_megapipe`). Others are
        only to be had as a fallback (`download_hips`).
    bands : str or sequence of str, optional
        The bands; all of the survey without it.
    size : `~astropy.units.Quantity`, optional
        Side of cutouts, an angle. SDSS frames are whole.
    mask : bool, optional
        Whether to get the fpM files of SDSS too.
    fallback : bool, optional
        Whether to take images from a HiPS, which are not for photometry, where the survey's archive fails or is not
        known here.
    overwrite : bool, optional
        Whether files that are there are fetched and replaced.

    Returns
    -------
    DownloadedImages
    """
    survey = get_survey(survey)
    try:
        if survey.name == "SDSS":
            return download_sdss(position, folder, bands=bands, mask=mask, overwrite=overwrite)
        if survey.name == "CFHTLS":
            return download_megapipe(position, folder, bands=bands or "ugriz", size=size, overwrite=overwrite)
        raise SurveyError(
            f"the archive of survey {survey.name} is not asked here, only those of SDSS and CFHTLS; a HiPS of it, for "
            "a look, is to be had with fallback=True")
    except (OSError, SurveyError) as error:
        if not fallback:
            raise
        warnings.warn(f"{error}; images of a HiPS are taken instead", GaltransWarning, stacklevel=2)
    return download_hips(position, folder, survey, bands=bands, size=size, overwrite=overwrite)
