"""Cutouts of the Legacy Surveys from the server of their sky viewer."""

from urllib.parse import urlencode

import astropy.units as u
from astropy.io import fits

from astro_galtrans.archives._files import (
    DownloadedImages, checked_angle, checked_bands, checked_position, documented, fetch, place, prepared, write_whole,
)
from astro_galtrans.exceptions import FileFormatError, SurveyError
from astro_galtrans.surveys import get_survey

__all__ = ["download_legacy"]

_VIEWER = "https://www.legacysurvey.org/viewer/fits-cutout"
_LARGEST = 3000  # pixels; the server makes larger cutouts smaller without a word


@documented
def download_legacy(position, folder, *, bands=None, size=1 * u.arcmin, layer="ls-dr10", pixel_scale=None,
                    overwrite=False, progress=False, timeout=120):
    """Download cutouts of the Legacy Surveys, with their inverse variance.

    Parameters
    ----------
    {position}
    {folder}
    bands : str or sequence of str, optional
        Of g, r, i, z; all of them without it. Only data release 10 has i.
    {size}
    layer : str, optional
        What to cut from, as the sky viewer names it: ``"ls-dr10"``, ``"ls-dr9"``, ``"ls-dr9-south"``, or models and
        residuals as ``"ls-dr10-model"``.
    pixel_scale : `~astropy.units.Quantity`, optional
        Side of a pixel, an angle; 0.262 arcsec without it, as the coadds have. The server resamples its images to these
        pixels.
    {options}

    Returns
    -------
    DownloadedImages
        Of survey DECaLS, a file for each band: the image in nanomaggies and, in extension IVAR, its inverse variance,
        where the layer has one.

    Raises
    ------
    SurveyError
        If the layer has no image there.
    {errors}

    Notes
    -----
    All bands come in one file, which is parted here: a file for each band can be used without the others. The files
    have the keywords of the server and BUNIT, FILTER and MAGZERO besides, which it leaves out.

    Examples
    --------
    .. code-block:: python

        files = download_legacy(SkyCoord(154.7709, 46.4537, unit="deg"), "legacy", bands="grz")
        cube = files.read()
    """
    position, bands = checked_position(position), checked_bands(bands, "DECaLS")
    side = checked_angle(size)
    scale = checked_angle(get_survey("DECaLS").pixel_scale if pixel_scale is None else pixel_scale)
    pixels = round(side / scale)
    if not 1 <= pixels <= _LARGEST:
        raise ValueError(f"size must be of 1 to {_LARGEST} pixels of {scale:g} arcsec, got {size}")
    if not isinstance(layer, str) or not layer:
        raise ValueError(f"layer must be the name of a layer of the sky viewer, as 'ls-dr10', got {layer!r}")
    folder = prepared(folder)
    where = f"{position.ra.deg:.5f}{position.dec.deg:+.5f}-{pixels}x{scale:g}"
    paths = {band: folder / f"legacy-{layer}-{band}-{where}.fits" for band in bands}
    wanted = [band for band in bands if overwrite or not paths[band].is_file()]
    if wanted:
        query = {"ra": f"{position.ra.deg:.7f}", "dec": f"{position.dec.deg:.7f}", "layer": layer, "size": pixels,
                 "pixscale": f"{scale:g}", "bands": "".join(wanted)}
        url = f"{_VIEWER}?{urlencode(query)}&invvar"
        together = folder / f".legacy-{layer}-{''.join(wanted)}-{where}.fits"
        try:
            try:
                fetch(url, together, overwrite=True, progress=progress, timeout=timeout)
            except FileNotFoundError as error:
                raise SurveyError(f"layer {layer} of the Legacy Surveys has no image at {place(position)}") from error
            with fits.open(together, memmap=False) as hdus:
                for band in wanted:
                    write_whole(paths[band], _of_band(hdus, band, wanted, url), url)
        finally:
            together.unlink(missing_ok=True)
    return DownloadedImages("DECaLS", paths, position)


def _of_band(hdus, band, bands, url):
    """Return the HDUs of one band of a file of the server, which has the bands along the first axis."""
    if hdus[0].data is None:
        raise SurveyError(f"{url} has no image: the layer does not reach there")
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
