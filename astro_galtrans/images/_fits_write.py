"""Writing a cube as one FITS file, whole or not at all."""

import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import _uncertainty
from astro_galtrans.images._meta import decoded, writable

__all__ = ["LAYOUT", "meta_of_table", "uncertainty_kinds", "write_cube"]

# Version of the layout; it stands in the header, so that a reader refuses a newer one instead of guessing.
LAYOUT = 1
# Part of the peak by which a PSF that varies may differ between middle and corners and still be one PSF.
_PSF_VARIATION = 0.02
uncertainty_kinds = {kind.__name__: kind for kind in _uncertainty.POWERS}


def write_cube(cube, path, overwrite=False):
    """See `astro_galtrans.images.BandCube.write`."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise OSError(f"{path} exists already; overwrite=True replaces it")
    hdus = fits.HDUList([fits.PrimaryHDU(cube.data, header=_primary_header(cube))])
    if cube.mask is not None:
        hdus.append(fits.ImageHDU(cube.mask.astype(np.uint8), name="MASK"))
    if cube.uncertainty is not None:
        hdus.append(fits.ImageHDU(cube.uncertainty.array, name="UNCERT"))
        hdus["UNCERT"].header["UTYPE"] = (type(cube.uncertainty).__name__, "kind of uncertainty, as in astropy.nddata")
        hdus["UNCERT"].header["BUNIT"] = cube.uncertainty.unit.to_string()
    if cube.psf is not None:
        _warn_of_variation(cube)
        hdus.append(fits.ImageHDU(cube.psf, name="PSF"))
    if cube.meta:
        hdus.append(_meta_table(cube.meta))
    _write_atomically(hdus, path)


def _warn_of_variation(cube):
    """A file holds one PSF a band: say so where that is not enough."""
    if cube.psf_field is None:
        return
    variation = cube.psf_field.variation(cube.wcs, cube.shape[1:])
    if variation > _PSF_VARIATION:
        warnings.warn(
            f"the PSF varies over the image by {variation:.0%} of its peak; the file holds that of the middle only",
            GaltransWarning, stacklevel=4)


def _write_atomically(hdus, path):
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".fits", dir=path.parent)
    try:
        # mkstemp lets nobody else read; an ordinary file has what the umask leaves.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with os.fdopen(handle, "wb") as file:
            hdus.writeto(file, checksum=True)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _primary_header(cube):
    header = fits.Header() if cube.wcs is None else _wcs_header(cube.wcs)
    header["BUNIT"] = cube.unit.to_string()
    header["GALTRANS"] = (LAYOUT, "layout version of an astro_galtrans cube")
    header["BANDS"] = (",".join(cube.bands), "bands along axis 3")
    for index, band in enumerate(cube.bands, start=1):
        header[f"BAND{index}"] = band
    if cube.survey is not None:
        header["SURVEY"] = cube.survey.name
    return header


def _wcs_header(wcs):
    if any(getattr(wcs, name) is not None for name in ("cpdis1", "cpdis2", "det2im1", "det2im2")):
        raise ValueError(
            "a WCS with lookup-table distortion cannot be written to a cube's header; regrid() to a plain one")
    header = wcs.to_header(relax=True)
    # to_header rounds to 12 digits; the cube that is read back shall be where it was.
    pc, cdelt = wcs.wcs.get_pc(), wcs.wcs.get_cdelt()
    for i in range(2):
        header[f"CRPIX{i + 1}"], header[f"CRVAL{i + 1}"] = float(wcs.wcs.crpix[i]), float(wcs.wcs.crval[i])
        header[f"CDELT{i + 1}"] = float(cdelt[i])
        for j in range(2):
            header[f"PC{i + 1}_{j + 1}"] = float(pc[i, j])
    header["WCSAXES"] = 3
    header["CTYPE3"], header["CRPIX3"], header["CRVAL3"], header["CDELT3"] = "BAND", 1.0, 1.0, 1.0
    return header


def _meta_table(meta):
    rows = [(_ascii(key), json.dumps(value)) for key, value in writable(meta, stacklevel=4).items()]
    columns = []
    for name, texts in zip(("KEY", "JSON"), zip(*rows)):
        columns.append(fits.Column(name=name, format=f"{max(1, *map(len, texts))}A", array=list(texts)))
    return fits.BinTableHDU.from_columns(columns, name="META")


def _ascii(key):
    """A key in ASCII, as JSON escapes it: a character column of FITS holds nothing else, and no spaces at its end."""
    text = json.dumps(key)[1:-1]
    stripped = text.rstrip(" ")
    return stripped + r"\u0020" * (len(text) - len(stripped))


def meta_of_table(part):
    """The meta in a table that `_meta_table` made; None where it is another table."""
    if part is None or "JSON" not in (getattr(part.data, "names", None) or ()):
        return None
    found = {}
    for row in part.data:
        key = str(row["KEY"])
        try:
            key = json.loads(f'"{key}"')
        except json.JSONDecodeError:  # a backslash or a quote in a file of the first version
            pass
        found[key] = decoded(json.loads(row["JSON"]))
    return found
