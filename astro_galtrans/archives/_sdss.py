"""Fields of SDSS: corrected frames, psField and fpM files of the Science Archive Server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TYPE_CHECKING

import astropy.units as u

from astro_galtrans.archives._archive import (
    Archive, DownloadedImages, archive_module, checked_bands, checked_position, documented, place,
)
from astro_galtrans.exceptions import SurveyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

__all__ = ["SDSSField", "download_sdss", "find_sdss_field"]

_RELEASE = 17
_FRAMES = "{base}/dr{release}/{project}/photoObj/frames/{rerun}/{run}/{camcol}/"
_REDUCTIONS = "{base}/dr{release}/{project}/photo/redux/{rerun}/{run}/objcs/{camcol}/"


class SDSSField(NamedTuple):
    """Numbers of a field of SDSS."""

    run: int
    camcol: int
    field: int
    rerun: int = 301


@documented
def find_sdss_field(
    position: SkyCoord, *, radius: Quantity = 1 * u.arcmin, data_release: int = _RELEASE, timeout: float = 60,
) -> SDSSField:
    """Return the field of SDSS with the primary observation of a position.

    It is that of the nearest object of the photometric catalog: the archive describes the borders of fields only as
    boxes along right ascension and declination, which fields are not.

    Parameters
    ----------
    {position}
    radius : `~astropy.units.Quantity`, optional
        Largest distance of the nearest object.
    data_release : int, optional
        Data release; the images are the same from DR13 on.
    {timeout}

    Returns
    -------
    SDSSField

    Raises
    ------
    SurveyError
        If SDSS has no object at the position.
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
def download_sdss(
    position: SkyCoord, folder: str | PathLike, *, bands: str | Sequence[str] | None = None,
    field: SDSSField | tuple[int, ...] | None = None, psf: bool = True, mask: bool = False, overwrite: bool = False,
    progress: bool = False, data_release: int = _RELEASE, timeout: float = 120,
) -> DownloadedImages:
    """Download the frames of the SDSS field at a position, with its PSF.

    Parameters
    ----------
    {position}
    {folder}
    {bands}
    field : SDSSField or tuple, optional
        ``(run, camcol, field)`` if known, instead of the field at ``position``.
    psf, mask : bool, optional
        Whether to download the psField file, and the fpM file of each band.
    {options}
    {timeout}
    data_release : int, optional
        Data release.

    Returns
    -------
    DownloadedImages

    Raises
    ------
    SurveyError
        If SDSS has no image at the position.
    {errors}

    Examples
    --------
    .. code-block:: python

        files = download_sdss(SkyCoord("15h18m34.9s +42d46m10s"), "sdss-field")
        cube = files.read(position=files.position, size=64)
    """
    bands = checked_bands(bands, "SDSS")
    archive = _SDSS(position=position, folder=folder, overwrite=overwrite, progress=progress, timeout=timeout,
                    field=field, data_release=data_release)
    images = archive.download(bands)
    masks = {band: archive.get(_REDUCTIONS, "fpM-{run:06d}-" + band + "{camcol}-{field:04d}.fit.gz")
             for band in bands if mask}
    psf_file = archive.get(_REDUCTIONS, "psField-{run:06d}-{camcol}-{field:04d}.fit") if psf else None
    return DownloadedImages("SDSS", images.images, images.position, psf_file, masks)


@dataclass(kw_only=True)
class _SDSS(Archive):
    """Files of a field on the Science Archive Server."""

    field: SDSSField | tuple | None
    data_release: int
    survey: str | None = "SDSS"

    def __post_init__(self):
        super().__post_init__()
        self.base = archive_module("astroquery.sdss").conf.sas_baseurl
        if self.field is None:
            self.field = find_sdss_field(self.position, data_release=self.data_release, timeout=self.timeout)
        self.field = SDSSField(*self.field)

    def file_name(self, band):
        return f"frame-{band}-{self.field.run:06d}-{self.field.camcol}-{self.field.field:04d}.fits.bz2"

    def fetch_bands(self, bands):
        for band in bands:
            self.get(_FRAMES, self.file_name(band))

    def get(self, folder, name):
        """Fetch a file of the field and return its path."""
        release = self.data_release
        project = "boss" if release <= 12 else "eboss" if release <= 17 else "prior-surveys/sdss4-dr17-eboss"
        url = (folder + name).format(base=self.base, release=release, project=project, **self.field._asdict())
        return self.fetch(url, Path(self.folder, url.rsplit("/", 1)[1]))
