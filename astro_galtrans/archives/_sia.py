"""Images from any archive with the Simple Image Access protocol, version 2, of the Virtual Observatory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import astropy.units as u
import numpy as np

from astro_galtrans.archives._files import (
    DownloadedImages, archive_module, checked_angle, checked_position, documented, fetch, named_bands, place,
    prepared,
)
from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.surveys import get_survey

__all__ = ["IMAGE_SERVICES", "ImageService", "download_euclid", "download_sia"]

_CUTOUTS = ("soda", "ibe", "none")
_CHOICES = ("exposure", "nearest")


@dataclass(frozen=True, repr=False)
class ImageService:
    """A service of the Simple Image Access protocol, version 2 (SIA2), and what to take from it.

    Parameters
    ----------
    url : str
        Address of the service.
    collection : str, optional
        Only images of this collection.
    bands : dict of str to str, optional
        Band name to the ``energy_bandpassname`` that the service has for it; the names of the service without it.
    columns : dict of str to str, optional
        Columns of the service and the values that they must have, as ``{"dataproduct_subtype": "science"}``.
    cutouts : {"soda", "ibe", "none"}, optional
        How cutouts are made: by the SODA service to which the datalink of an image points, by parameters in the address
        of the image as at IRSA, or not at all, so that whole images are downloaded.
    choose : {"exposure", "nearest"}, optional
        Which image of a band is taken where several are of the same calibration level: that of the longest exposure, or
        that whose center is nearest.
    session : requests.Session, optional
        For services that need a login.
    """

    url: str
    collection: str | None = None
    bands: dict = field(default_factory=dict)
    columns: dict = field(default_factory=dict)
    cutouts: str = "soda"
    choose: str = "exposure"
    session: Any = field(default=None, repr=False)

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
def download_sia(position, folder, service, *, bands=None, size=1 * u.arcmin, survey=None, overwrite=False,
                 progress=False, timeout=300):
    """Download cutouts of the images that a service of the Virtual Observatory has at a position.

    Parameters
    ----------
    {position}
    {folder}
    service : str or ImageService
        One of ``IMAGE_SERVICES``, the address of a service of the Simple Image Access protocol, version 2, or an
        `ImageService`, which also says which of its images to take.
    bands : str or sequence of str, optional
        The bands; all that the service has there without it. A str that is no name in ``bands`` of the service has one
        letter for each band.
    {size}
    survey : str, optional
        Name of the survey whose flux scale the images have.
    {options}

    Returns
    -------
    DownloadedImages
        An image for each band, of the highest calibration level.

    Raises
    ------
    SurveyError
        If the service has no image, or none in one of the bands. The message says which bands there are.
    {errors}

    Examples
    --------
    .. code-block:: python

        service = ImageService("https://ws.cadc-ccda.hia-iha.nrc-cnrc.gc.ca/sia", collection="CFHTMEGAPIPE")
        files = download_sia(SkyCoord(218.7268, 52.4806, unit="deg"), "lens", service, size=20 * u.arcsec)
    """
    position, side = checked_position(position), checked_angle(size)
    name, service = _service_named(service)
    survey = None if survey is None else get_survey(survey).name
    wanted = None if bands is None else named_bands(bands, service.bands)
    if wanted is not None and (not wanted or (service.bands and set(wanted) - set(service.bands))):
        raise BandMismatchError(f"bands must be of {', '.join(service.bands) or 'the service'}, got {bands!r}")
    if wanted is None and service.bands:
        wanted = tuple(service.bands)
    folder = prepared(folder)
    where = f"{position.ra.deg:.5f}{position.dec.deg:+.5f}-{side:g}"

    def path_of(band):
        return folder / f"{name}-{''.join(c if c.isalnum() else '_' for c in band)}-{where}.fits"

    if wanted is None or overwrite or not all(path_of(band).is_file() for band in wanted):
        rows = _rows(service, position, side)
        chosen = _chosen(rows, service, wanted, position)
        wanted = tuple(chosen)
        for band, row in chosen.items():
            if overwrite or not path_of(band).is_file():
                url = _address(row, service, position, side)
                get = None if service.session is None else service.session.get
                fetch(url, path_of(band), overwrite=overwrite, progress=progress, timeout=timeout, get=get)
    return DownloadedImages(survey, {band: path_of(band) for band in wanted}, position)


@documented
def download_euclid(position, folder, *, bands=None, size=1 * u.arcmin, overwrite=False, progress=False, timeout=300):
    """Download cutouts of the Euclid mosaics of the first quick release (Q1) from IRSA.

    Parameters
    ----------
    {position}
    {folder}
    bands : str or sequence of str, optional
        Of IE (VIS), YE, JE and HE (NISP); all of them without it.
    {size}
    {options}

    Returns
    -------
    DownloadedImages
        Of survey Euclid VIS or Euclid NISP, or of no survey for bands of both. All bands have pixels of 0.1 arcsec, and
        their zero point is in MAGZERO.

    Raises
    ------
    SurveyError
        If Euclid has no image there.
    {errors}
    """
    bands = tuple(IMAGE_SERVICES["IRSA-Euclid-Q1"].bands) if bands is None else (
        (bands,) if isinstance(bands, str) else tuple(bands))
    survey = "Euclid VIS" if set(bands) == {"IE"} else None if "IE" in bands else "Euclid NISP"
    return download_sia(position, folder, "IRSA-Euclid-Q1", bands=bands, size=size, survey=survey,
                        overwrite=overwrite, progress=progress, timeout=timeout)


def _service_named(service):
    """Return the name for files, and the service, of a name, an address or an ImageService."""
    if isinstance(service, ImageService):
        # files of services that differ in anything must not be taken for each other
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


def _rows(service, position, side):
    """Return the images of a service at a position, a list of records."""
    dal = archive_module("pyvo.dal")
    try:
        answer = dal.SIA2Service(service.url, session=service.session).search(
            pos=(position, side / 2 * u.arcsec), collection=service.collection, data_type="image")
        rows = list(answer)
    except (dal.DALAccessError, dal.DALFormatError, ValueError) as error:  # ValueError: the answer is no VOTable
        raise OSError(f"{service.url} cannot be asked: {' '.join(str(error).split())}") from error
    lacking = [column for column in service.columns if rows and column not in rows[0].keys()]
    if lacking:
        raise SurveyError(f"{service.url} has no column {', '.join(lacking)}")
    rows = [row for row in rows if all(_text(row, column) == value for column, value in service.columns.items())]
    if not rows:
        raise SurveyError(f"{service.url} has no image{_of(service)} at {place(position)}")
    return rows


def _chosen(rows, service, wanted, position):
    """Return a dict of band to the record of its image."""
    names = {bandpass: band for band, bandpass in service.bands.items()}
    there = {}
    for row in rows:
        bandpass = _text(row, "energy_bandpassname") or "image"
        there.setdefault(names.get(bandpass, bandpass), []).append(row)
    missing = [band for band in wanted or there if band not in there]
    if missing:
        raise SurveyError(f"{service.url} has no image{_of(service)} in {', '.join(missing)} at {place(position)}; its "
                          f"bands there are {', '.join(sorted(there))}")

    def rank(row):
        if service.choose == "exposure":
            return _number(row, "calib_level"), _number(row, "t_exptime")
        offset = np.hypot((_number(row, "s_ra") - position.ra.deg) * np.cos(position.dec.rad),
                          _number(row, "s_dec") - position.dec.deg)
        return _number(row, "calib_level"), -offset

    return {band: max(there[band], key=rank) for band in wanted or there}


def _address(row, service, position, side):
    """Return the address of a cutout of an image."""
    image = _text(row, "access_url")
    if service.cutouts == "none":
        return image
    if service.cutouts == "ibe":
        query = {"center": f"{position.ra.deg:.7f},{position.dec.deg:.7f}deg", "size": f"{side:g}arcsec",
                 "gzip": "false"}
        return f"{image}?{urlencode(query, safe=',')}"
    dal, adhoc = archive_module("pyvo.dal"), archive_module("pyvo.dal.adhoc")
    try:
        if "content=datalink" in _text(row, "access_format"):
            datalink = adhoc.DatalinkResults.from_result_url(image, session=service.session)
        else:
            datalink = row.getdatalink()
        links = list(datalink.bysemantics("#cutout"))
    except (dal.DALAccessError, dal.DALFormatError, ValueError) as error:  # ValueError: the answer is no VOTable
        raise OSError(f"{service.url} offers no cutouts by SODA: {' '.join(str(error).split())}") from error
    if not links:
        raise OSError(f"{service.url} offers no cutouts by SODA of {_text(row, 'obs_id')}; cutouts='none' of an "
                      "ImageService takes the whole image")
    parameters = {one.name: one.value for one in links[0].input_params if one.value is not None
                  and one.name in ("ID", "RUNID")}
    parameters["POS"] = f"CIRCLE {position.ra.deg} {position.dec.deg} {side / 7200}"
    access = str(links[0].access_url)
    return f"{access}{'&' if '?' in access else '?'}{urlencode(parameters)}"


def _of(service):
    return f" of {service.collection}" if service.collection else ""


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
