"""Cutouts of the MegaPipe stacks of CFHT MegaCam at the Canadian Astronomy Data Centre."""

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import floats
from astro_galtrans.archives._files import (
    DownloadedImages, archive_module, checked_angle, checked_position, documented, fetch, named_bands, place,
    prepared,
)
from astro_galtrans.exceptions import BandMismatchError, SurveyError

__all__ = ["download_megapipe"]

# The filters of CFHTLS, and the second i. Those that replaced them in 2015 have other curves and are not taken.
_FILTERS = {"u": "u.MP9301", "g": "g.MP9401", "r": "r.MP9601", "i": "i.MP9701", "i2": "i.MP9702", "z": "z.MP9801"}


@documented
def download_megapipe(position, folder, *, bands="ugriz", size=1 * u.arcmin, overwrite=False,
                      progress=False, timeout=300):
    """Download cutouts of the deepest MegaPipe stacks at a position.

    Parameters
    ----------
    {position}
    {folder}
    bands : str or sequence of str, optional
        Of u, g, r, i, z, and i2 for the second i filter, i.MP9702.
    {size}
    {options}

    Returns
    -------
    DownloadedImages

    Raises
    ------
    SurveyError
        If there is no stack in one of the bands. The message says which filters there are.
    {errors}

    Notes
    -----
    The archive cuts circles, of which it sends the square around; the cutout of `DownloadedImages.read` is exact. A
    stack without zero point (PHOTZP) is read only with one given.
    """
    position, bands = checked_position(position), named_bands(bands, _FILTERS)
    unknown = [band for band in bands if band not in _FILTERS]
    if unknown or not bands:
        raise BandMismatchError(f"bands must be of {', '.join(_FILTERS)}, got {', '.join(unknown) or 'none'}")
    side = checked_angle(size)
    folder = prepared(folder)
    where = f"{position.ra.deg:.5f}{position.dec.deg:+.5f}-{side:g}"
    paths = {band: folder / f"megapipe-{_FILTERS[band]}-{where}.fits" for band in bands}
    if overwrite or not all(path.is_file() for path in paths.values()):
        cadc = archive_module("astroquery.cadc").Cadc()
        planes = _asked(cadc.query_region, position, radius=side / 2 * u.arcsec, collection="CFHTMEGAPIPE")
        chosen = _deepest(planes, bands, position)
        for band, path in paths.items():
            if overwrite or not path.is_file():
                urls = _asked(cadc.get_image_list, chosen[band], position, side / 2 * u.arcsec)
                if not urls:
                    raise SurveyError(f"MegaPipe offers no cutout of its {_FILTERS[band]} stack at {place(position)}")
                fetch(urls[0], path, overwrite=overwrite, progress=progress, timeout=timeout)
    survey = "CFHTLS" if set(bands) <= set("ugriz") else None
    return DownloadedImages(survey, paths, position)


def _asked(ask, *arguments, **options):
    """The answer of the archive, or an OSError, which is what a trouble of a network is elsewhere."""
    from pyvo.dal import DALAccessError

    try:
        return ask(*arguments, **options)
    except DALAccessError as error:
        raise OSError(f"the Canadian Astronomy Data Centre cannot be asked: {' '.join(str(error).split())}") from error


def _deepest(planes, bands, position):
    """Band to the row of its stack of the longest exposure."""
    if planes is None or len(planes) == 0:
        raise SurveyError(f"MegaPipe has no image at {place(position)}")
    level = np.nan_to_num(floats(planes["calibrationLevel"], "calibrationLevel", dtype=float))
    kind = np.array([str(one) for one in planes["dataProductType"]])
    name = np.array([str(one).strip() for one in planes["energy_bandpassName"]])
    exposure = np.nan_to_num(floats(planes["time_exposure"], "time_exposure", dtype=float))
    stacks = (level >= 3) & (kind == "image")
    chosen = {}
    for band in bands:
        rows = np.flatnonzero(stacks & (name == _FILTERS[band]))
        if rows.size == 0:
            there = ", ".join(sorted(set(name[stacks]))) or "none"
            raise SurveyError(
                f"MegaPipe has no stack in {_FILTERS[band]} at {place(position)}; its filters there are {there}")
        best = rows[np.argmax(exposure[rows])]
        chosen[band] = planes[best:best + 1]
    return chosen
