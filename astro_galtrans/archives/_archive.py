"""Base of the archives: files at one position that are fetched completely or not at all."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TYPE_CHECKING

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

if TYPE_CHECKING:
    from os import PathLike

    from astro_galtrans.images import BandCube

__all__ = ["Archive", "DownloadedImages", "archive_module", "checked_angle", "checked_bands", "checked_position",
           "documented", "named_bands", "place", "write_fits"]

# Parts of docstrings that the functions of all archives share.
_SHARED = {
    "position": """position : `~astropy.coordinates.SkyCoord`
        The position.""",
    "folder": """folder : path-like
        Folder for the files; it is created if needed. A file that is in it already is not fetched again.""",
    "bands": """bands : str or sequence of str, optional
        The bands; by default all of the survey.""",
    "size": """size : `~astropy.units.Quantity`, optional
        Side of the cutout, an angle.""",
    "options": """overwrite : bool, optional
        Whether existing files are fetched again and replaced.
    progress : bool, optional
        Whether to show a progress bar for each file.""",
    "timeout": """timeout : float, optional
        Seconds without an answer after which to give up.""",
    "errors": """ImportError
        Without the extra ``archives``; the message names it.
    OSError
        If the archive cannot be reached. Downloaded files stay, and the next call fetches only the others.
    FileFormatError
        If the answer of the archive is not a complete FITS file.""",
}

_ATTEMPTS = 3
_PAUSE = 2.0  # seconds before a second attempt; archives are often busy for a moment


@dataclass(frozen=True, repr=False)
class DownloadedImages:
    """Files of one piece of sky.

    Attributes
    ----------
    survey : str or None
        Name of the survey whose flux scale the images have; None for images of a HiPS, for stacks with both i filters
        of MegaCam, and for images of several surveys or of none that is registered.
    images : dict of str to path
        Band name to FITS file.
    position : `~astropy.coordinates.SkyCoord`
        Position that was requested.
    psf : path or None
        File with the point spread function, as for `~astro_galtrans.images.read_cube`.
    mask : dict of str to path
        Band name to file of bad pixels.
    """

    survey: str | None
    images: dict[str, Path]
    position: SkyCoord
    psf: Path | None = None
    mask: dict[str, Path] = field(default_factory=dict)

    def __repr__(self) -> str:
        kind = "" if self.survey is None else f" of {self.survey}"
        place = " ".join(self.position.to_string("hmsdms", precision=1).split())
        return f"<DownloadedImages{kind}: {','.join(self.images)} at {place}, {len(self.files())} files>"

    def read(self, **options: Any) -> BandCube:
        """Read the images as a cube.

        Parameters
        ----------
        **options
            Arguments of `~astro_galtrans.images.read_cube`, as ``position`` and ``size`` for a cutout.

        Returns
        -------
        `~astro_galtrans.images.BandCube`
        """
        return read_cube(self.images, self.survey, **{"psf": self.psf, "mask": self.mask or None, **options})

    def files(self) -> list[Path]:
        """Return all files, a list of paths."""
        return [*self.images.values(), *([] if self.psf is None else [self.psf]), *self.mask.values()]


@dataclass(kw_only=True)
class Archive(ABC):
    """Images of bands at one position. A subclass names the file of a band and fetches those that are missing."""

    position: SkyCoord
    folder: str | PathLike
    overwrite: bool
    progress: bool
    timeout: float
    survey: str | None = None

    def __post_init__(self):
        self.position = checked_position(self.position)

    @abstractmethod
    def file_name(self, band):
        """Return the name of the file of a band."""

    @abstractmethod
    def fetch_bands(self, bands):
        """Write the files of some bands."""

    @property
    def coordinates(self):
        """The position for names of files."""
        return f"{self.position.ra.deg:.5f}{self.position.dec.deg:+.5f}"

    def path(self, band):
        """Return the path of the file of a band."""
        return Path(self.folder, self.file_name(band))

    def download(self, bands):
        """Fetch the files that are not there yet and return all as `DownloadedImages`."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        missing = [band for band in bands if self.overwrite or not self.path(band).is_file()]
        if missing:
            self.fetch_bands(missing)
        return DownloadedImages(self.survey, {band: self.path(band) for band in bands}, self.position)

    def fetch(self, url, path, get=None):
        """Download a FITS file, unless it is there already, and return its path.

        ``get`` sends the request, as the ``get`` of a ``requests.Session`` that is logged in.
        """
        if self.overwrite or not path.is_file():
            with _whole_fits(path, url) as temporary:
                self._receive(url, temporary, get)
        return path

    def _receive(self, url, path, get):
        import requests

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with (get or requests.get)(url, timeout=self.timeout, stream=True) as response:
                    if response.status_code == 200:
                        return _copy(response, path, self.progress)
                    status = f"{response.status_code} {response.reason}"
                if response.status_code < 500:
                    break
            except requests.RequestException as error:
                status = str(error)
            if attempt < _ATTEMPTS:
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


def write_fits(path, hdus, origin):
    """Write an HDUList completely or not at all."""
    with _whole_fits(path, origin) as temporary:
        hdus.writeto(temporary, overwrite=True)


@contextmanager
def _whole_fits(path, origin):
    """Yield a temporary path for a FITS file, which replaces ``path`` if it is complete and can be read."""
    with io.whole_file(path) as temporary:
        yield temporary
        try:
            _check_fits(temporary)
        except Exception as error:  # astropy, bz2 and gzip raise errors of many kinds for a file that is not FITS
            with open(temporary, "rb") as file:
                start = file.read(60)
            raise FileFormatError(f"{origin} did not send a whole FITS file, but {start!r}") from error


def _check_fits(path):
    """Raise an error if a file is not FITS, or truncated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus:
                hdu.data


def documented(function):
    """Insert the shared parts into the docstring of a function."""
    if function.__doc__:  # None under python -OO
        function.__doc__ = function.__doc__.format(**_SHARED)
    return function


def archive_module(name):
    """Return a module of astroquery or pyvo, or raise an ImportError that names the extra."""
    return optional(name, "archives", "downloads from archives")


def checked_position(position):
    """Return the position as a single SkyCoord in ICRS, or raise an error."""
    if not isinstance(position, SkyCoord) or not position.isscalar:
        raise TypeError(f"position must be a single SkyCoord, got {position!r}")
    return position.icrs


def place(position):
    """Return a position for messages."""
    return f"RA {position.ra.deg:.5f}, Dec {position.dec.deg:+.5f} deg"


def named_bands(bands, known=()):
    """Return the names of bands; a str that is none of the known names has one letter for each band."""
    return (bands,) if isinstance(bands, str) and bands in known else tuple(bands)


def checked_bands(bands, survey):
    """Return names of bands, by default all of the survey."""
    survey = get_survey(survey)
    return survey.band_names if bands is None else survey.select(named_bands(bands, survey.band_names)).band_names


def checked_angle(size):
    """Return the side of a cutout in arcsec, or raise an error."""
    side = u.Quantity(size)
    if not side.isscalar or not side.unit.is_equivalent(u.deg) or not side > 0:
        raise ValueError(f"size must be an angle above 0, got {size}")
    return side.to_value(u.arcsec)
