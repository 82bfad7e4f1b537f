"""Fields of SDSS: corrected frames, psField and fpM files of the Science Archive Server."""

from typing import NamedTuple

import astropy.units as u

from astro_galtrans.archives._files import (
    DownloadedImages, archive_module, checked_bands, checked_position, documented, fetch, place, prepared,
)
from astro_galtrans.exceptions import SurveyError

__all__ = ["SDSSField", "download_sdss", "find_sdss_field"]

_RELEASE = 17
_REDUCTIONS = "{base}/dr{release}/{project}/photo/redux/{rerun}/{run}/objcs/{camcol}/"


class SDSSField(NamedTuple):
    """The numbers that name a field of SDSS."""

    run: int
    camcol: int
    field: int
    rerun: int = 301


def find_sdss_field(position, *, radius=1 * u.arcmin, data_release=_RELEASE, timeout=60):
    """Return the field of SDSS that has the primary observation of a position.

    It is that of the nearest object of the photometric catalogue, since the archive knows the borders of fields only as
    boxes along right ascension and declination, which fields are not.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord`
        The place.
    radius : `~astropy.units.Quantity`, optional
        How far the nearest object may be.
    data_release : int, optional
        Data release; the images are the same from DR13 on.
    timeout : float, optional
        Seconds.

    Returns
    -------
    SDSSField

    Raises
    ------
    SurveyError
        If SDSS has no object there.
    """
    position = checked_position(position)
    sdss = archive_module("astroquery.sdss").SDSS
    arcmin = u.Quantity(radius).to_value(u.arcmin)
    query = (f"SELECT TOP 1 p.run, p.rerun, p.camcol, p.field FROM dbo.fGetNearestObjEq({position.ra.deg:.7f}, "
             f"{position.dec.deg:.7f}, {arcmin:.4f}) AS n JOIN PhotoPrimary AS p ON n.objID = p.objID")
    table = sdss.query_sql(query, timeout=timeout, data_release=data_release, cache=False)
    if table is None or len(table) == 0:
        raise SurveyError(f"SDSS has no object within {arcmin:g} arcmin of {place(position)}")
    return SDSSField(*(int(table[name][0]) for name in SDSSField._fields))


@documented
def download_sdss(position, folder, *, bands=None, field=None, psf=True, mask=False, overwrite=False,
                  progress=False, data_release=_RELEASE, timeout=120):
    """Download the frames of the SDSS field at a position, with its PSF.

    Parameters
    ----------
    {position}
    {folder}
    bands : str or sequence of str, optional
        The bands; all five without it.
    field : SDSSField or tuple, optional
        ``(run, camcol, field)`` where it is known, instead of that found at ``position``.
    psf, mask : bool, optional
        Whether to get the psField file, and the fpM file of each band.
    {options}
    data_release : int, optional
        Data release.

    Returns
    -------
    DownloadedImages

    Raises
    ------
    SurveyError
        If SDSS has no image there.
    {errors}

    Examples
    --------
    .. code-block:: python

        files = download_sdss(SkyCoord("15h18m34.9s +42d46m10s"), "sdss-field")
        cube = files.read(position=files.position, size=64)
    """
    position = checked_position(position)
    bands = checked_bands(bands, "SDSS")
    sdss = archive_module("astroquery.sdss")
    if field is None:
        field = find_sdss_field(position, data_release=data_release, timeout=timeout)
    field = SDSSField(*field)
    folder = prepared(folder)
    project = "boss" if data_release <= 12 else "eboss" if data_release <= 17 else "prior-surveys/sdss4-dr17-eboss"
    numbers = {"run": field.run, "camcol": field.camcol, "field": field.field, "rerun": field.rerun}

    def get(template, name):
        url = template + name
        url = url.format(base=sdss.conf.sas_baseurl, release=data_release, project=project, **numbers)
        return fetch(url, folder / url.rsplit("/", 1)[1], overwrite=overwrite,
                     progress=progress, timeout=timeout)

    frames = "{base}/dr{release}/{project}/photoObj/frames/{rerun}/{run}/{camcol}/"
    images = {band: get(frames, f"frame-{band}" + "-{run:06d}-{camcol}-{field:04d}.fits.bz2") for band in bands}
    masks = {band: get(_REDUCTIONS, "fpM-{run:06d}-" + band + "{camcol}-{field:04d}.fit.gz") for band in bands if mask}
    told = get(_REDUCTIONS, "psField-{run:06d}-{camcol}-{field:04d}.fit") if psf else None
    return DownloadedImages("SDSS", images, position, told, masks)
