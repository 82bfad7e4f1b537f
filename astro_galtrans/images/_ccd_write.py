"""Writing the bands of a cube as FITS images that everybody's tools read."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from astro_galtrans.images._fits_write import _meta_table, _wcs_header, _write_atomically

__all__ = ["write_bands"]

# What a header has of the provenance of a translated image; all of it is in the extension META.
_PROVENANCE = {"translator": "GTNAME", "hash": "GTHASH", "input_survey": "GTINPUT", "objective": "GTTRAIN",
               "backbone": "GTNET", "astro_galtrans_version": "GTVERS", "redshift": "GTZ"}
_AXIS_3 = ("CTYPE3", "CRPIX3", "CRVAL3", "CDELT3")


def write_bands(cube: Any, path: str | PathLike, overwrite: bool = False) -> dict[str, Path]:
    """Write each band to a FITS image of its own, in the layout of `~astropy.nddata.CCDData`.

    The primary HDU has the image with its celestial WCS, ``BUNIT``, ``FILTER``, ``BAND``, ``SURVEY`` and, where it is
    known, ``MAGZERO``, the AB magnitude of one unit; the extensions MASK (1 = bad), UNCERT and PSFIMAGE what the cube
    has of them. DS9, ginga and any reader of FITS images show it, ``CCDData.read`` and ccdproc take all of it, and
    `read_cube` makes a cube of the files again. Of a translated image ``GTNAME``, ``GTHASH`` and others tell by what.

    Parameters
    ----------
    path : str or path-like
        Where to, with ``{band}`` for the name of the band, as ``"galaxy-{band}.fits"``.
    overwrite : bool, optional
        Whether existing files may be replaced.

    Returns
    -------
    dict of str to `~pathlib.Path`
        Band name to file.

    Raises
    ------
    ValueError
        If ``path`` has no ``{band}``.
    FileExistsError
        If a file exists and ``overwrite`` is False; then none is written.
    """
    if "{band}" not in str(path):
        raise ValueError(f"path must have {{band}} for the name of the band, as galaxy-{{band}}.fits, got {path}")
    files = {band: Path(str(path).replace("{band}", band)) for band in cube.bands}
    there = [str(file) for file in files.values() if file.exists()]
    if there and not overwrite:
        raise FileExistsError(f"{', '.join(there)} exists already; overwrite=True replaces it")
    for band, file in files.items():
        _write_atomically(_hdus(cube, band), file)
    return files


def _hdus(cube, band):
    image, index = cube[band], cube.bands.index(band)
    hdus = fits.HDUList([fits.PrimaryHDU(image.data, header=_header(cube, band, index))])
    if image.mask is not None:
        hdus.append(fits.ImageHDU(image.mask.astype(np.uint8), name="MASK"))
    if image.uncertainty is not None:
        hdus.append(fits.ImageHDU(image.uncertainty.array, name="UNCERT"))
        hdus["UNCERT"].header["UTYPE"] = (type(image.uncertainty).__name__, "kind of uncertainty, as in astropy.nddata")
        hdus["UNCERT"].header["BUNIT"] = image.uncertainty.unit.to_string()
    if image.psf is not None:
        hdus.append(fits.ImageHDU(image.psf, name="PSFIMAGE"))
    hdus.append(_meta_table(image.meta))
    return hdus


def _header(cube, band, index):
    header = fits.Header()
    if cube.wcs is not None:
        header = _wcs_header(cube.wcs)
        for key in _AXIS_3:
            del header[key]
        header["WCSAXES"] = 2
    header["BUNIT"] = cube.unit.to_string()
    header["BAND"] = header["FILTER"] = band
    if cube.survey is not None:
        header["SURVEY"] = cube.survey.name
    if cube.zero_points is not None:
        header["MAGZERO"] = (float(cube.zero_points[index]), "AB magnitude of one BUNIT")
    made = cube.meta.get("galtrans")
    for name, key in _PROVENANCE.items():
        if isinstance(made, dict) and isinstance(made.get(name), (str, int, float)):
            header[key] = (made[name], name.replace("_", " ") if name != "hash" else "")
    return header
