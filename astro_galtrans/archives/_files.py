"""Fetching files whole or not at all, and what has been fetched."""

import os
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from astro_galtrans._utils.optional import optional
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import read_cube
from astro_galtrans.surveys import get_survey

__all__ = ["DownloadedImages", "astroquery_module", "checked_bands", "checked_position", "fetch", "place", "prepared",
           "write_whole"]

_PAUSE = 2.0  # seconds before a second attempt; archives are often busy for a moment


@dataclass(frozen=True)
class DownloadedImages:
    """The files of one piece of sky.

    Attributes
    ----------
    survey : str or None
        Name of the survey, whose scale the images are on; None for images of a HiPS and for stacks with both i filters
        of MegaCam.
    images : dict of str to path
        Band name to FITS file.
    psf : path or None
        File with the point spread function, as `~astro_galtrans.images.read_cube` takes it.
    mask : dict of str to path
        Band name to file of bad pixels.
    position : `~astropy.coordinates.SkyCoord`
        Place that was asked for.
    """

    survey: str | None
    images: dict
    position: SkyCoord
    psf: Path | None = None
    mask: dict = field(default_factory=dict)

    def read(self, **options):
        """Read the images as a cube.

        Parameters
        ----------
        **options
            Of `~astro_galtrans.images.read_cube`, as ``position`` and ``size`` for a cutout.

        Returns
        -------
        `~astro_galtrans.images.BandCube`
        """
        return read_cube(self.images, self.survey, **{"psf": self.psf, "mask": self.mask or None, **options})

    def files(self):
        """All files, a list of paths."""
        return [*self.images.values(), *([] if self.psf is None else [self.psf]), *self.mask.values()]


def astroquery_module(name):
    """A module of astroquery, or an error that says how to get it."""
    return optional(f"astroquery.{name}", "archives", "downloads from archives")


def checked_position(position):
    """``position`` as a single SkyCoord in ICRS, or an error."""
    if not isinstance(position, SkyCoord) or not position.isscalar:
        raise TypeError(f"position must be a single SkyCoord, got {position!r}")
    return position.icrs


def place(position):
    """A position in words."""
    return f"RA {position.ra.deg:.5f}, Dec {position.dec.deg:+.5f} deg"


def checked_bands(bands, survey):
    """Names of bands, by default all of the survey."""
    return get_survey(survey).select(bands).band_names if bands is not None else get_survey(survey).band_names


def prepared(folder):
    """The folder to write to, made where it is not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch(url, path, *, overwrite=False, timeout=60, attempts=3):
    """Download a FITS file.

    Parameters
    ----------
    url : str
        Its address.
    path : path-like
        Where to. A file that is there already is left alone, as it is whole.
    overwrite : bool, optional
        Whether to fetch it nevertheless.
    timeout : float, optional
        Seconds without an answer after which to give up.
    attempts : int, optional
        How often to try while the archive does not answer or is in trouble itself.

    Returns
    -------
    path

    Raises
    ------
    OSError
        If the archive cannot be reached, or has no such file.
    FileFormatError
        If what it sent is not a whole FITS file.
    """
    path = Path(path)
    if path.is_file() and not overwrite:
        return path
    write_whole(path, _content(url, timeout, attempts), url)
    return path


def _content(url, timeout, attempts):
    import requests

    for attempt in range(1, attempts + 1):
        try:
            response = requests.get(url, timeout=timeout)
            if response.status_code < 500:
                break
            trouble = f"{response.status_code} {response.reason}"
        except requests.RequestException as error:
            trouble = str(error)
        if attempt == attempts:
            raise OSError(f"{url} cannot be had: {trouble}")
        time.sleep(_PAUSE * attempt)
    if response.status_code == 404:
        raise FileNotFoundError(f"the archive has no {url}")
    if response.status_code != 200:
        raise OSError(f"{url} cannot be had: {response.status_code} {response.reason}")
    return response.content


def write_whole(path, content, origin):
    """Write the bytes of a FITS file, or an HDUList, under another name; give it its own where it is whole."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    try:
        # mkstemp lets nobody else read; an ordinary file has what the umask leaves.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with os.fdopen(handle, "wb") as file:
            if isinstance(content, fits.HDUList):
                content.writeto(file)
            else:
                file.write(content)
        try:
            _check(temporary)
        except Exception as error:
            told = content[:60] if isinstance(content, bytes) else ""
            raise FileFormatError(f"{origin} did not send a whole FITS file, but {told!r}") from error
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _check(path):
    """An error where a file is not FITS, or truncated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus:
                hdu.data
