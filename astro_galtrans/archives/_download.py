"""Whatever archive has the images of a survey."""

import warnings

import astropy.units as u

from astro_galtrans.archives._files import checked_bands, documented
from astro_galtrans.archives._hips import download_hips
from astro_galtrans.archives._legacy import download_legacy
from astro_galtrans.archives._megapipe import download_megapipe
from astro_galtrans.archives._sdss import download_sdss
from astro_galtrans.archives._sia import download_euclid
from astro_galtrans.exceptions import GaltransWarning, SurveyError
from astro_galtrans.surveys import get_survey

__all__ = ["download_images"]

_ARCHIVES = {"CFHTLS": download_megapipe, "DECaLS": download_legacy, "Euclid VIS": download_euclid,
             "Euclid NISP": download_euclid, "SDSS": download_sdss}


@documented
def download_images(position, folder, survey, *, bands=None, size=None, mask=False, fallback=False,
                    overwrite=False, progress=False):
    """Download images of a survey at a position: from the archive of the survey, or as a fallback from its HiPS.

    Parameters
    ----------
    {position}
    {folder}
    survey : str or `~astro_galtrans.surveys.Survey`
        SDSS (whole frames with PSF, `download_sdss`), CFHTLS (cutouts of MegaPipe, `download_megapipe`), DECaLS
        (cutouts of the Legacy Surveys, `download_legacy`), Euclid VIS or Euclid NISP (cutouts of the first quick
        release, `download_euclid`). Others are available as a fallback only (`download_hips`).
    bands : str or sequence of str, optional
        The bands; all of the survey without it.
    size : `~astropy.units.Quantity`, optional
        Side of cutouts, an angle, 1 arcmin without it. SDSS frames are whole, so that it is for the fallback there.
    mask : bool, optional
        Whether to get the fpM files of SDSS too; only SDSS has them.
    fallback : bool, optional
        Whether to take images from a HiPS, which are not for photometry, where the survey's archive fails or is not
        known here.
    overwrite : bool, optional
        Whether files that are there are fetched and replaced.
    progress : bool, optional
        Whether to show a progress bar for each file.

    Returns
    -------
    DownloadedImages
    """
    survey = get_survey(survey)
    if mask and survey.name != "SDSS":
        raise ValueError(f"mask must be False for survey {survey.name}: only SDSS has files of masks")
    if size is not None and survey.name == "SDSS" and not fallback:
        raise ValueError(f"size has no effect on SDSS frames, which are whole, got {size}; read() of the files takes "
                         "one")
    size = 1 * u.arcmin if size is None else size
    # the names of bands are checked here, so that a wrong one is not taken for an archive that fails
    bands = checked_bands(bands, survey)
    options = {"bands": bands, "overwrite": overwrite, "progress": progress}
    try:
        if survey.name not in _ARCHIVES:
            raise SurveyError(
                f"the archive of survey {survey.name} is not known here, only those of {', '.join(_ARCHIVES)}; a HiPS "
                "of it, for a look, can be had with fallback=True")
        options.update({"mask": mask} if survey.name == "SDSS" else {"size": size})
        return _ARCHIVES[survey.name](position, folder, **options)
    except (OSError, SurveyError) as error:
        if not fallback:
            raise
        warnings.warn(f"{error}; images of a HiPS are taken instead", GaltransWarning, stacklevel=2)
    return download_hips(position, folder, survey, bands=bands, size=size, overwrite=overwrite, progress=progress)
