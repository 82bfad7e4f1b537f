"""Images from any archive with the Simple Image Access protocol, version 2, of the Virtual Observatory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import astropy.units as u
import numpy as np

from astro_galtrans.archives._archive import (
    Archive, archive_module, checked_angle, documented, named_bands, place,
)
from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import requests
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astro_galtrans.archives._archive import DownloadedImages

__all__ = ["IMAGE_SERVICES", "ImageService", "download_euclid", "download_sia"]

_CUTOUTS = ("soda", "ibe", "none")
_CHOICES = ("exposure", "nearest")


@dataclass(frozen=True, repr=False)
class ImageService:
    """A service of the Simple Image Access protocol, version 2 (SIA2), and its images to download.

    Parameters
    ----------
    url : str
        Address of the service.
    collection : str, optional
        Only images of this collection.
    bands : dict of str to str, optional
        Band name to its ``energy_bandpassname`` in the service; by default the names of the service.
    columns : dict of str to str, optional
        Columns of the service and their required values, as ``{"dataproduct_subtype": "science"}``.
    cutouts : {"soda", "ibe", "none"}, optional
        Source of cutouts: the SODA service to which the datalink of an image points, parameters in the address of the
        image as at IRSA, or none, so that whole images are downloaded.
    choose : {"exposure", "nearest"}, optional
        Image to take if several of a band have the same calibration level: that of the longest exposure, or that with
        the nearest center.
    session : requests.Session, optional
        Session for services that need a login.
    """

    url: str
    collection: str | None = None
    bands: dict = field(default_factory=dict)
    columns: dict = field(default_factory=dict)
    cutouts: str = "soda"
    choose: str = "exposure"
    session: requests.Session | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<ImageService {self.url}, {self.collection or 'all collections'}, {self.cutouts} cutouts>"

    def __post_init__(self) -> None:
        if not isinstance(self.url, str) or not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url must be the address of a service, as https://..., got {self.url!r}")
        for name, known in (("cutouts", _CUTOUTS), ("choose", _CHOICES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")


IMAGE_SERVICES = {
    "CADC": ImageService("https://ws.cadc-ccda.hia-iha.nrc-cnrc.gc.ca/sia"),
    "CADC-MegaPipe": ImageService(
        "https://ws.cadc-ccda.hia-iha.nrc-cnrc.gc.ca/sia", "CFHTMEGAPIPE",
        {"u": "u.MP9301", "g": "g.MP9401", "r": "r.MP9601", "i": "i.MP9701", "i2": "i.MP9702", "z": "z.MP9801"}),
    "IRSA": ImageService("https://irsa.ipac.caltech.edu/SIA", cutouts="ibe"),
    "IRSA-Euclid-Q1": ImageService(
        "https://irsa.ipac.caltech.edu/SIA", "euclid_DpdMerBksMosaic",
        {"IE": "VIS", "YE": "Y", "JE": "J", "HE": "H"}, {"dataproduct_subtype": "science"}, "ibe", "nearest"),
    "Rubin-DP1": ImageService("https://data.lsst.cloud/api/sia/dp1"),
}


@documented
def download_sia(
    position: SkyCoord, folder: str | PathLike, service: str | ImageService, *,
    bands: str | Sequence[str] | None = None, size: Quantity = 1 * u.arcmin, survey: str | None = None,
    overwrite: bool = False, progress: bool = False, timeout: float = 300,
) -> DownloadedImages:
    """Download cutouts of the images of a service of the Virtual Observatory at a position.

    Parameters
    ----------
    {position}
    {folder}
    service : str or ImageService
        One of ``IMAGE_SERVICES``, the address of a service of the Simple Image Access protocol, version 2, or an
        `ImageService`, which also selects images.
    bands : str or sequence of str, optional
        The bands; by default all that the service has at the position. A str that is no name in ``bands`` of the
        service has one letter for each band.
    {size}
    survey : str, optional
        Name of the survey whose flux scale the images have.
    {options}
    {timeout}

    Returns
    -------
    DownloadedImages
        An image for each band, of the highest calibration level.

    Raises
    ------
    SurveyError
        If the service has no image, or none in one of the bands. The message lists the bands that it has.
    {errors}

    Examples
    --------
    .. code-block:: python

        service = ImageService("https://ws.cadc-ccda.hia-iha.nrc-cnrc.gc.ca/sia", collection="CFHTMEGAPIPE")
        files = download_sia(SkyCoord(218.7268, 52.4806, unit="deg"), "lens", service, size=20 * u.arcsec)
    """
    name, service = _service_named(service)
    archive = _SIA(position=position, folder=folder, overwrite=overwrite, progress=progress, timeout=timeout,
                   service=service, name=name, side=checked_angle(size),
                   survey=None if survey is None else get_survey(survey).name)
    wanted = None if bands is None else named_bands(bands, service.bands)
    if wanted is not None and (not wanted or (service.bands and set(wanted) - set(service.bands))):
        raise BandMismatchError(f"bands must be of {', '.join(service.bands) or 'the service'}, got {bands!r}")
    return archive.download(wanted or tuple(service.bands) or tuple(archive.images))


@documented
def download_euclid(
    position: SkyCoord, folder: str | PathLike, *, bands: str | Sequence[str] | None = None,
    size: Quantity = 1 * u.arcmin, overwrite: bool = False, progress: bool = False, timeout: float = 300,
) -> DownloadedImages:
    """Download cutouts of the Euclid mosaics of the first quick release (Q1) from IRSA.

    Parameters
    ----------
    {position}
    {folder}
    bands : str or sequence of str, optional
        Bands of IE (VIS), YE, JE and HE (NISP), by default all.
    {size}
    {options}
    {timeout}

    Returns
    -------
    DownloadedImages
        Of survey Euclid VIS or Euclid NISP, or of no survey for bands of both. All bands have pixels of 0.1 arcsec, and
        their zero point is in MAGZERO.

    Raises
    ------
    SurveyError
        If Euclid has no image at the position.
    {errors}
    """
    known = IMAGE_SERVICES["IRSA-Euclid-Q1"].bands
    bands = tuple(known) if bands is None else (bands,) if isinstance(bands, str) else tuple(bands)
    survey = "Euclid VIS" if set(bands) == {"IE"} else None if "IE" in bands else "Euclid NISP"
    return download_sia(position, folder, "IRSA-Euclid-Q1", bands=bands, size=size, survey=survey,
                        overwrite=overwrite, progress=progress, timeout=timeout)


def _service_named(service):
    """Return the name for files, and the ImageService, of a name, an address or an ImageService."""
    if isinstance(service, ImageService):
        # Files of services that differ in anything must have different names.
        parts = [service.url, service.collection, service.bands, service.columns, service.cutouts, service.choose]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return f"{service.collection or service.url.split('/')[2]}-{digest[:8]}", service
    if not isinstance(service, str):
        raise TypeError(f"service must be a str or an ImageService, got {type(service).__name__}")
    for name, known in IMAGE_SERVICES.items():
        if name.casefold() == service.casefold():
            return name, known
    if "://" not in service:
        raise ValueError(f"service must be one of {', '.join(IMAGE_SERVICES)} or the address of a service, "
                         f"got {service!r}")
    return _service_named(ImageService(service))


@dataclass(kw_only=True)
class _SIA(Archive):
    """Images of an `ImageService`; ``side`` of the cutouts in arcsec."""

    service: ImageService
    name: str
    side: float

    def file_name(self, band):
        return f"{self.name}-{''.join(c if c.isalnum() else '_' for c in band)}-{self.coordinates}-{self.side:g}.fits"

    def fetch_bands(self, bands):
        missing = [band for band in bands if band not in self.images]
        if missing:
            raise SurveyError(f"{self._no_image} in {', '.join(missing)} at {place(self.position)}; its bands there "
                              f"are {', '.join(sorted(self.images))}")
        get = None if self.service.session is None else self.service.session.get
        for band in bands:
            self.fetch(self._address(self.images[band]), self.path(band), get)

    @property
    def _no_image(self):
        collection = self.service.collection
        return f"{self.service.url} has no image" + (f" of {collection}" if collection else "")

    @cached_property
    def images(self):
        """The record of the best image of each band at the position."""
        names = {bandpass: band for band, bandpass in self.service.bands.items()}
        images = {}
        for row in self._rows():
            bandpass = _text(row, "energy_bandpassname") or "image"
            images.setdefault(names.get(bandpass, bandpass), []).append(row)
        return {band: max(rows, key=self._rank) for band, rows in images.items()}

    def _rows(self):
        """Return the records of all images at the position."""
        dal, service = archive_module("pyvo.dal"), self.service
        try:
            rows = list(dal.SIA2Service(service.url, session=service.session).search(
                pos=(self.position, self.side / 2 * u.arcsec), collection=service.collection, data_type="image"))
        except (dal.DALAccessError, dal.DALFormatError, ValueError) as error:  # ValueError: the answer is no VOTable
            raise OSError(f"{service.url} cannot be asked: {' '.join(str(error).split())}") from error
        missing = [column for column in service.columns if rows and column not in rows[0].keys()]
        if missing:
            raise SurveyError(f"{service.url} has no column {', '.join(missing)}")
        rows = [row for row in rows if all(_text(row, column) == value for column, value in service.columns.items())]
        if not rows:
            raise SurveyError(f"{self._no_image} at {place(self.position)}")
        return rows

    def _rank(self, row):
        level = _number(row, "calib_level")
        if self.service.choose == "exposure":
            return level, _number(row, "t_exptime")
        ra, dec = self.position.ra, self.position.dec
        return level, -np.hypot((_number(row, "s_ra") - ra.deg) * np.cos(dec.rad), _number(row, "s_dec") - dec.deg)

    def _address(self, row):
        """Return the address of a cutout of an image."""
        image, position = _text(row, "access_url"), self.position
        if self.service.cutouts == "none":
            return image
        if self.service.cutouts == "ibe":
            query = {"center": f"{position.ra.deg:.7f},{position.dec.deg:.7f}deg", "size": f"{self.side:g}arcsec",
                     "gzip": "false"}
            return f"{image}?{urlencode(query, safe=',')}"
        dal, adhoc, url = archive_module("pyvo.dal"), archive_module("pyvo.dal.adhoc"), self.service.url
        try:
            if "content=datalink" in _text(row, "access_format"):
                datalink = adhoc.DatalinkResults.from_result_url(image, session=self.service.session)
            else:
                datalink = row.getdatalink()
            links = list(datalink.bysemantics("#cutout"))
        except (dal.DALAccessError, dal.DALFormatError, ValueError) as error:  # ValueError: the answer is no VOTable
            raise OSError(f"{url} offers no cutouts by SODA: {' '.join(str(error).split())}") from error
        if not links:
            raise OSError(f"{url} offers no cutouts by SODA of {_text(row, 'obs_id')}; cutouts='none' of an "
                          "ImageService takes the whole image")
        parameters = {one.name: one.value for one in links[0].input_params
                      if one.value is not None and one.name in ("ID", "RUNID")}
        parameters["POS"] = f"CIRCLE {position.ra.deg} {position.dec.deg} {self.side / 7200}"
        access = str(links[0].access_url)
        return f"{access}{'&' if '?' in access else '?'}{urlencode(parameters)}"


def _text(row, column):
    """Return a value of a record as text; empty where the service has no such column or no value."""
    value = row.get(column)
    return "" if value is None or value is np.ma.masked else str(value).strip()


def _number(row, column):
    """Return a value of a record as a number; minus infinity where there is none."""
    try:
        value = float(row.get(column))
    except (TypeError, ValueError):
        return -np.inf
    return value if np.isfinite(value) else -np.inf
