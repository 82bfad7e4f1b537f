"""Fetching files whole or not at all, and what has been fetched."""

import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import astropy.units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from tqdm.auto import tqdm

from astro_galtrans._utils import io
from astro_galtrans._utils.optional import optional
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import read_cube
from astro_galtrans.surveys import get_survey

__all__ = ["DownloadedImages", "archive_module", "checked_angle", "checked_bands", "checked_position", "documented",
           "fetch", "named_bands", "place", "prepared", "whole_file", "write_whole"]

# Parts of docstrings that the functions of all archives share.
_SHARED = {
    "position": """position : `~astropy.coordinates.SkyCoord`
        The position.""",
    "folder": """folder : path-like
        Where to; it is made if it is not there. A file that is in it already is not fetched again.""",
    "size": """size : `~astropy.units.Quantity`, optional
        Side of the cutout, an angle.""",
    "options": """overwrite : bool, optional
        Whether files that are there are fetched and replaced.
    progress : bool, optional
        Whether to show a progress bar for each file.
    timeout : float, optional
        Seconds without an answer after which to give up.""",
    "errors": """ImportError
        Without the extra ``archives``; the message names it.
    OSError
        If the archive cannot be reached. What has been downloaded stays, and the next call goes on from it.
    FileFormatError
        If what the archive sent is not a whole FITS file.""",
}

_PAUSE = 2.0  # seconds before a second attempt; archives are often busy for a moment


@dataclass(frozen=True, repr=False)
class DownloadedImages:
    """The files of one piece of sky.

    Attributes
    ----------
    survey : str or None
        Name of the survey whose flux scale the images have; None for images of a HiPS, for stacks with both i filters
        of MegaCam, and for images of several surveys or of none that is registered.
    images : dict of str to path
        Band name to FITS file.
    psf : path or None
        File with the point spread function, as `~astro_galtrans.images.read_cube` takes it.
    mask : dict of str to path
        Band name to file of bad pixels.
    position : `~astropy.coordinates.SkyCoord`
        Position that was asked for.
    """

    survey: str | None
    images: dict
    position: SkyCoord
    psf: Path | None = None
    mask: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        kind = "" if self.survey is None else f" of {self.survey}"
        place = " ".join(self.position.to_string("hmsdms", precision=1).split())
        return f"<DownloadedImages{kind}: {','.join(self.images)} at {place}, {len(self.files())} files>"

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


def documented(function):
    """Fill the shared parts into the docstring of a function."""
    if function.__doc__:  # None under python -OO
        function.__doc__ = function.__doc__.format(**_SHARED)
    return function


def archive_module(name):
    """Return a module of astroquery or pyvo, or an error that says how to install it."""
    return optional(name, "archives", "downloads from archives")


def checked_position(position):
    """Return ``position`` as a single SkyCoord in ICRS, or an error."""
    if not isinstance(position, SkyCoord) or not position.isscalar:
        raise TypeError(f"position must be a single SkyCoord, got {position!r}")
    return position.icrs


def place(position):
    """Return a position in words."""
    return f"RA {position.ra.deg:.5f}, Dec {position.dec.deg:+.5f} deg"


def named_bands(bands, known=()):
    """Return the names of bands; a str that is none of the known names has one letter for each band."""
    return (bands,) if isinstance(bands, str) and bands in known else tuple(bands)


def checked_bands(bands, survey):
    """Return names of bands, by default all of the survey."""
    survey = get_survey(survey)
    return survey.band_names if bands is None else survey.select(named_bands(bands, survey.band_names)).band_names


def prepared(folder):
    """Return the folder to write to, made where it is not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def checked_angle(size):
    """Return the side of a cutout in arcsec, or an error."""
    side = u.Quantity(size)
    if not side.isscalar or not side.unit.is_equivalent(u.deg) or not side > 0:
        raise ValueError(f"size must be an angle above 0, got {size}")
    return side.to_value(u.arcsec)


def fetch(url, path, *, overwrite=False, progress=False, timeout=60, attempts=3, get=None):
    """Download a FITS file.

    Parameters
    ----------
    url : str
        Its address.
    path : path-like
        Where to. A file that is there already is left alone, as it is whole.
    overwrite : bool, optional
        Whether to fetch it nevertheless.
    progress : bool, optional
        Whether to show a progress bar.
    timeout : float, optional
        Seconds without an answer after which to give up.
    attempts : int, optional
        How often to try while the archive does not answer or has an error of its own.
    get : callable, optional
        What sends the request, as the ``get`` of a ``requests.Session`` that is logged in.

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
    if overwrite or not path.is_file():
        with whole_file(path, url) as temporary:
            _receive(url, temporary, progress, timeout, attempts, get)
    return path


def _receive(url, path, progress, timeout, attempts, get):
    """Write what is at an address to a file."""
    import requests

    for attempt in range(1, attempts + 1):
        try:
            with (get or requests.get)(url, timeout=timeout, stream=True) as response:
                if response.status_code == 200:
                    return _copy(response, path, progress)
                status = f"{response.status_code} {response.reason}"
            if response.status_code < 500:
                break
        except requests.RequestException as error:
            status = str(error)
        if attempt < attempts:
            time.sleep(_PAUSE * attempt)
    if status.startswith("404"):
        raise FileNotFoundError(f"the archive has no {url}")
    raise OSError(f"{url} cannot be downloaded: {status}")


def _copy(response, path, progress):
    total = response.headers.get("Content-Length", "")
    name = response.url.split("?")[0].rsplit("/", 1)[-1]
    with open(path, "wb") as file, tqdm(
            total=int(total) if total.isdigit() else None, desc=name, unit="B", unit_scale=True,
            disable=not progress) as bar:
        for piece in response.iter_content(1 << 20):
            file.write(piece)
            bar.update(len(piece))


def write_whole(path, hdus, origin):
    """Write an HDUList completely or not at all."""
    with whole_file(path, origin) as temporary:
        hdus.writeto(temporary, overwrite=True)


@contextmanager
def whole_file(path, origin):
    """Give a path for writing a FITS file, which gets its own name when it is complete and can be read."""
    with io.whole_file(path) as temporary:
        yield temporary
        try:
            _check(temporary)
        except Exception as error:  # whatever a file that is no FITS file makes astropy, bz2 or gzip raise
            with open(temporary, "rb") as file:
                start = file.read(60)
            raise FileFormatError(f"{origin} did not send a whole FITS file, but {start!r}") from error


def _check(path):
    """Raise an error where a file is not FITS, or truncated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus:
                hdu.data
