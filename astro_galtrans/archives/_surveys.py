"""Cutouts of MegaPipe, of the Legacy Surveys and of HiPS, and images of a survey from its archive."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, Latitude, Longitude
from astropy.io import fits
from tqdm.auto import tqdm

from astro_galtrans._utils.masked import floats
from astro_galtrans.archives._archive import (
    Archive, DownloadedImages, archive_module, checked_angle, checked_bands, documented, named_bands, place, write_fits,
)
from astro_galtrans.archives._sdss import download_sdss
from astro_galtrans.archives._sia import IMAGE_SERVICES, download_euclid
from astro_galtrans.exceptions import BandMismatchError, FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astro_galtrans.surveys import Survey

__all__ = ["download_hips", "download_images", "download_legacy", "download_megapipe"]

# The filters of CFHTLS, and the second i. The filters of 2015 have other curves and are not used.
_MEGACAM = IMAGE_SERVICES["CADC-MegaPipe"].bands
_VIEWER = "https://www.legacysurvey.org/viewer/fits-cutout"
_LARGEST_LEGACY = 3000  # pixels; the server reduces larger cutouts to that without a warning
_LARGEST_HIPS = 8000  # pixels
_HIPS = {
    "SDSS": "CDS/P/SDSS9/{band}", "CFHTLS": "CDS/P/CFHTLS/W/{band}", "DES": "CDS/P/DES-DR2/{band}",
    "Pan-STARRS": "CDS/P/PanSTARRS/DR1/{band}", "HSC": "CDS/P/HSC/DR2/wide/{band}", "Euclid VIS": "CDS/P/Euclid/Q1/VIS",
}


@documented
def download_megapipe(
    position: SkyCoord, folder: str | PathLike, *, bands: str | Sequence[str] = "ugriz", size: Quantity = 1 * u.arcmin,
    overwrite: bool = False, progress: bool = False, timeout: float = 300,
) -> DownloadedImages:
    """Download cutouts of the deepest MegaPipe stacks of CFHT MegaCam at a position.

    Parameters
    ----------
    {position}
    {folder}
    bands : str or sequence of str, optional
        Bands of u, g, r, i, z, and i2 for the second i filter, i.MP9702.
    {size}
    {options}
    {timeout}

    Returns
    -------
    DownloadedImages

    Raises
    ------
    SurveyError
        If there is no stack in one of the bands. The message lists the filters that there are.
    {errors}

    Notes
    -----
    The archive (CADC) cuts circles, of which it sends the enclosing square; the cutout of
    `DownloadedImages.read` is exact. A stack without zero point (PHOTZP) is read only if one is given.
    """
    bands = named_bands(bands, _MEGACAM)
    unknown = [band for band in bands if band not in _MEGACAM]
    if unknown or not bands:
        raise BandMismatchError(f"bands must be of {', '.join(_MEGACAM)}, got {', '.join(unknown) or 'none'}")
    return _MegaPipe(position=position, folder=folder, overwrite=overwrite, progress=progress, timeout=timeout,
                     side=checked_angle(size), survey="CFHTLS" if set(bands) <= set("ugriz") else None).download(bands)


@dataclass(kw_only=True)
class _MegaPipe(Archive):
    """Cutouts of MegaPipe; ``side`` in arcsec."""

    side: float

    def file_name(self, band):
        return f"megapipe-{_MEGACAM[band]}-{self.coordinates}-{self.side:g}.fits"

    def fetch_bands(self, bands):
        cadc = archive_module("astroquery.cadc").Cadc()
        radius = self.side / 2 * u.arcsec
        planes = _answer(cadc.query_region, self.position, radius=radius, collection="CFHTMEGAPIPE")
        for band, plane in self._deepest(planes, bands).items():
            urls = _answer(cadc.get_image_list, plane, self.position, radius)
            if not urls:
                raise SurveyError(f"MegaPipe offers no cutout of its {_MEGACAM[band]} stack at {place(self.position)}")
            self.fetch(urls[0], self.path(band))

    def _deepest(self, planes, bands):
        """Return a dict of band to the row of its stack of the longest exposure."""
        if planes is None or len(planes) == 0:
            raise SurveyError(f"MegaPipe has no image at {place(self.position)}")
        level = np.nan_to_num(floats(planes["calibrationLevel"], "calibrationLevel", dtype=float))
        kind = np.array([str(one) for one in planes["dataProductType"]])
        name = np.array([str(one).strip() for one in planes["energy_bandpassName"]])
        exposure = np.nan_to_num(floats(planes["time_exposure"], "time_exposure", dtype=float))
        stacks = (level >= 3) & (kind == "image")
        chosen = {}
        for band in bands:
            rows = np.flatnonzero(stacks & (name == _MEGACAM[band]))
            if rows.size == 0:
                there = ", ".join(sorted(set(name[stacks]))) or "none"
                raise SurveyError(f"MegaPipe has no stack in {_MEGACAM[band]} at {place(self.position)}; its filters "
                                  f"there are {there}")
            best = rows[np.argmax(exposure[rows])]
            chosen[band] = planes[best:best + 1]
        return chosen


def _answer(ask, *arguments, **options):
    """Return the answer of the archive; network failures raise OSError."""
    from pyvo.dal import DALAccessError

    try:
        return ask(*arguments, **options)
    except DALAccessError as error:
        raise OSError(f"the archive of CADC (MegaPipe) cannot be asked: {' '.join(str(error).split())}") from error


@documented
def download_legacy(
    position: SkyCoord, folder: str | PathLike, *, bands: str | Sequence[str] | None = None,
    size: Quantity = 1 * u.arcmin, layer: str = "ls-dr10", pixel_scale: Quantity | None = None,
    overwrite: bool = False, progress: bool = False, timeout: float = 120,
) -> DownloadedImages:
    """Download cutouts of the Legacy Surveys from their sky viewer, with their inverse variance.

    Parameters
    ----------
    {position}
    {folder}
    bands : str or sequence of str, optional
        Bands of g, r, i, z, by default all. Only data release 10 has i.
    {size}
    layer : str, optional
        Layer of the sky viewer: ``"ls-dr10"``, ``"ls-dr9"``, ``"ls-dr9-south"``, or models and residuals as
        ``"ls-dr10-model"``.
    pixel_scale : `~astropy.units.Quantity`, optional
        Side of a pixel, an angle; by default 0.262 arcsec, as in the coadds. The server resamples its images to these
        pixels.
    {options}
    {timeout}

    Returns
    -------
    DownloadedImages
        Of survey DECaLS, a file for each band: the image in nanomaggies and, in extension IVAR, its inverse variance,
        if the layer has one.

    Raises
    ------
    SurveyError
        If the layer has no image at the position.
    {errors}

    Notes
    -----
    The server sends all bands in one file, which is split so that a file for each band can be used without the others.
    The files have the keywords of the server, and BUNIT, FILTER and MAGZERO, which the server leaves out.

    Examples
    --------
    .. code-block:: python

        files = download_legacy(SkyCoord(154.7709, 46.4537, unit="deg"), "legacy", bands="grz")
        cube = files.read()
    """
    bands = checked_bands(bands, "DECaLS")
    scale = checked_angle(get_survey("DECaLS").pixel_scale if pixel_scale is None else pixel_scale)
    pixels = round(checked_angle(size) / scale)
    if not 1 <= pixels <= _LARGEST_LEGACY:
        raise ValueError(f"size must be of 1 to {_LARGEST_LEGACY} pixels of {scale:g} arcsec, got {size}")
    if not isinstance(layer, str) or not layer:
        raise ValueError(f"layer must be the name of a layer of the sky viewer, as 'ls-dr10', got {layer!r}")
    return _Legacy(position=position, folder=folder, overwrite=overwrite, progress=progress, timeout=timeout,
                   layer=layer, pixels=pixels, scale=scale).download(bands)


@dataclass(kw_only=True)
class _Legacy(Archive):
    """Cutouts of the sky viewer, of a number of pixels of a scale in arcsec."""

    layer: str
    pixels: int
    scale: float
    survey: str | None = "DECaLS"

    def file_name(self, band):
        return f"legacy-{self.layer}-{band}-{self.coordinates}-{self.pixels}x{self.scale:g}.fits"

    def fetch_bands(self, bands):
        query = {"ra": f"{self.position.ra.deg:.7f}", "dec": f"{self.position.dec.deg:.7f}", "layer": self.layer,
                 "size": self.pixels, "pixscale": f"{self.scale:g}", "bands": "".join(bands)}
        url = f"{_VIEWER}?{urlencode(query)}&invvar"
        together = Path(self.folder, f".{self.file_name(''.join(bands))}")
        together.unlink(missing_ok=True)
        try:
            self.fetch(url, together)
            with fits.open(together, memmap=False) as hdus:
                for band in bands:
                    write_fits(self.path(band), _of_band(hdus, band, bands, url), url)
        except FileNotFoundError as error:
            raise SurveyError(
                f"layer {self.layer} of the Legacy Surveys has no image at {place(self.position)}") from error
        finally:
            together.unlink(missing_ok=True)


def _of_band(hdus, band, bands, url):
    """Return the HDUs of one band of a file of the server, which has the bands along the first axis."""
    if hdus[0].data is None:
        raise SurveyError(f"{url} has no image: the layer does not cover the position")
    sent = str(hdus[0].header.get("BANDS", ""))
    if sent != "".join(bands):
        raise FileFormatError(f"{url} sent bands {sent or 'without names'}, not {''.join(bands)}")
    parts = []
    for hdu in hdus:
        kind = {"IMAGE": "SCI", "INVVAR": "IVAR"}.get(hdu.header.get("IMAGETYP", "IMAGE"))
        if kind is None or hdu.data is None:
            continue
        data = hdu.data if hdu.data.ndim == 2 else hdu.data[bands.index(band)]
        header = fits.Header(hdu.header, copy=True)
        for keyword in ("EXTEND", "NAXIS3", *(f"BAND{index}" for index in range(len(bands)))):
            header.remove(keyword, ignore_missing=True)
        header["BANDS"] = header["FILTER"] = band
        header["BUNIT"] = "nanomaggy" if kind == "SCI" else "nanomaggy^-2"
        if kind == "SCI":
            header["MAGZERO"] = (22.5, "AB magnitude of one unit")
            parts.append(fits.PrimaryHDU(data, header))
        else:
            parts.append(fits.ImageHDU(data, header, name=kind))
    return fits.HDUList(parts)


@documented
def download_hips(
    position: SkyCoord, folder: str | PathLike, survey: Survey | str, *, bands: str | Sequence[str] | None = None,
    size: Quantity | int = 1 * u.arcmin, hips: str | None = None, overwrite: bool = False, progress: bool = False,
    timeout: float = 120,
) -> DownloadedImages:
    """Download images that the CDS resamples from the HiPS of a survey, for a look if there is nothing better.

    They are not for photometry: the CDS resampled the images to a grid on the sphere and back, gives no unit, no zero
    point and no noise, and neighboring pixels correlate. The files therefore state counts of unknown kind, and are read
    on the scale of a survey only with a ``unit`` given by hand.

    Parameters
    ----------
    {position}
    {folder}
    survey : str or `~astro_galtrans.surveys.Survey`
        The survey; its pixel scale is that of the images.
    {bands}
    size : `~astropy.units.Quantity` or int, optional
        Side, an angle or a number of pixels.
    hips : str, optional
        Identifier of the HiPS, with ``{{band}}`` in place of the band, for a survey other than SDSS, CFHTLS, DES,
        Pan-STARRS, HSC and Euclid VIS, or for another HiPS.
    {options}
    {timeout}

    Returns
    -------
    DownloadedImages

    Raises
    ------
    SurveyError
        If no HiPS of the survey is known.
    {errors}

    Warns
    -----
    GaltransWarning
        The images are not for photometry.
    """
    survey = get_survey(survey)
    bands = checked_bands(bands, survey)
    hips = _HIPS.get(survey.name) if hips is None else hips
    if hips is None:
        raise SurveyError(f"no HiPS of survey {survey.name} is known here; known are {', '.join(_HIPS)}, or give hips=")
    scale = survey.pixel_scale.to(u.deg)
    pixels = size if isinstance(size, int) else round((u.Quantity(size) / scale).to_value(u.dimensionless_unscaled))
    if not 1 <= pixels <= _LARGEST_HIPS:
        raise ValueError(f"size must be of 1 to {_LARGEST_HIPS} pixels of {survey.pixel_scale}, got {size}")
    images = _HiPS(position=position, folder=folder, overwrite=overwrite, progress=progress, timeout=timeout,
                   hips=hips, pixels=pixels, scale=scale).download(bands)
    warnings.warn("images of a HiPS are for a look, not for photometry: their unit and zero point are not known",
                  GaltransWarning, stacklevel=2)
    return images


@dataclass(kw_only=True)
class _HiPS(Archive):
    """Images of a HiPS, of a number of pixels of a scale."""

    hips: str
    pixels: int
    scale: Quantity

    def file_name(self, band):
        return f"{self.hips.format(band=band).replace('/', '-')}-{self.coordinates}-{self.pixels}.fits"

    def fetch_bands(self, bands):
        service = archive_module("astroquery.hips2fits").hips2fits
        for band in tqdm(bands, desc="HiPS", unit="image", disable=not self.progress):
            name = self.hips.format(band=band)
            hdus = self._query(service, name)
            header = hdus[0].header
            header["FILTER"], header["HIPS"], header["BUNIT"] = band, name, "adu"
            header["COMMENT"] = "Resampled from a HiPS by the CDS: counts of unknown zero point, not for photometry"
            write_fits(self.path(band), hdus, name)

    def _query(self, service, name):
        before, service.timeout = service.timeout, self.timeout
        try:
            return service.query(
                hips=name, width=self.pixels, height=self.pixels, projection="TAN", ra=Longitude(self.position.ra),
                dec=Latitude(self.position.dec), fov=Angle(self.pixels * self.scale), format="fits")
        except AttributeError as error:  # raised by astroquery if the service refuses
            raise OSError(f"the HiPS {name} cannot be downloaded: {error}") from error
        finally:
            service.timeout = before


_ARCHIVES = {"CFHTLS": download_megapipe, "DECaLS": download_legacy, "Euclid VIS": download_euclid,
             "Euclid NISP": download_euclid, "SDSS": download_sdss}


@documented
def download_images(
    position: SkyCoord, folder: str | PathLike, survey: Survey | str, *, bands: str | Sequence[str] | None = None,
    size: Quantity | None = None, mask: bool = False, fallback: bool = False, overwrite: bool = False,
    progress: bool = False,
) -> DownloadedImages:
    """Download images of a survey at a position from the archive of the survey, or as a fallback from its HiPS.

    Parameters
    ----------
    {position}
    {folder}
    survey : str or `~astro_galtrans.surveys.Survey`
        SDSS (whole frames with PSF, `download_sdss`), CFHTLS (cutouts of MegaPipe, `download_megapipe`), DECaLS
        (cutouts of the Legacy Surveys, `download_legacy`), Euclid VIS or Euclid NISP (cutouts of the first quick
        release, `download_euclid`). Others are available as a fallback only (`download_hips`).
    {bands}
    size : `~astropy.units.Quantity`, optional
        Side of cutouts, an angle, by default 1 arcmin. SDSS frames are whole; there it is for the fallback.
    mask : bool, optional
        Whether to download the fpM files of SDSS too; only SDSS has them.
    fallback : bool, optional
        Whether to take images from a HiPS, which are not for photometry, if the archive of the survey fails or is not
        known here.
    {options}

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
    # A wrong name of a band is an error, not a failing archive.
    bands = checked_bands(bands, survey)
    options = {"bands": bands, "overwrite": overwrite, "progress": progress}
    try:
        if survey.name not in _ARCHIVES:
            raise SurveyError(
                f"the archive of survey {survey.name} is not known here, only those of {', '.join(_ARCHIVES)}; "
                "fallback=True gives a HiPS of it, for a look")
        own = {"mask": mask} if survey.name == "SDSS" else {"size": size}
        return _ARCHIVES[survey.name](position, folder, **options, **own)
    except (OSError, SurveyError) as error:
        if not fallback:
            raise
        warnings.warn(f"{error}; images of a HiPS are taken instead", GaltransWarning, stacklevel=2)
    return download_hips(position, folder, survey, size=size, **options)
