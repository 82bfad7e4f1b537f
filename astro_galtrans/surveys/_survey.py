"""A passband, a survey, and the sizes of their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import whole
from astro_galtrans._utils.validation import angle, finite_number, text, whole_number
from astro_galtrans.exceptions import BandMismatchError, FileFormatError
from astro_galtrans.surveys._description import KEYWORDS, noise_area, parsed, read_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from astropy.units import Quantity

__all__ = ["Band", "Survey", "matching_size", "read_survey"]


@dataclass(frozen=True, eq=False)
class Band:
    """One passband of a survey, and the properties of images in it.

    Parameters
    ----------
    name : str
        Short name, as ``"r"``.
    wavelength : `~astropy.units.Quantity`
        Wavelengths of the response curve, increasing, shape ``(n_wavelength,)``.
    response : array_like
        Photon response (relative detected photons per incident photon), shape ``(n_wavelength,)``, of any
        normalization.
    zero_point : float
        AB magnitude of one survey unit of flux.
    psf_fwhm : `~astropy.units.Quantity`
        Typical full width at half maximum of the point spread function.
    sky_noise : float
        Typical standard deviation of the background of one pixel, in the survey unit.
    gain : float
        Electrons detected per survey unit, for the Poisson noise of the source.
    """

    name: str
    wavelength: u.Quantity = field(repr=False)
    response: np.ndarray = field(repr=False)
    zero_point: float
    psf_fwhm: u.Quantity
    sky_noise: float
    gain: float

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be a non-empty string, got {self.name!r}")
        try:
            wavelength = u.Quantity(whole(self.wavelength, "wavelength"), self.wavelength.unit).to(u.AA)
        except (AttributeError, TypeError, u.UnitConversionError) as error:
            raise TypeError(f"wavelength must be a Quantity of length, got {self.wavelength!r}") from error
        response = np.array(whole(self.response, "response"))
        if response.dtype.kind not in "biuf":
            raise TypeError(f"response must hold real numbers, got dtype {response.dtype}")
        response = response.astype(float)
        if wavelength.ndim != 1 or wavelength.shape != response.shape or response.size < 2:
            raise ValueError(
                "wavelength and response must be one-dimensional, of one length of at least 2, "
                f"got shapes {wavelength.shape} and {response.shape}"
            )
        if not np.all(np.diff(wavelength.value) > 0) or not np.isfinite(wavelength.value[[0, -1]]).all():
            raise ValueError("wavelength must be finite and strictly increasing")
        if not np.all(np.isfinite(response)) or np.any(response < 0) or not np.any(response > 0):
            raise ValueError("response must be finite and not negative, and positive somewhere")
        for name in ("zero_point", "sky_noise", "gain"):
            value = finite_number(getattr(self, name), name)
            if name != "zero_point" and value <= 0:
                raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
            object.__setattr__(self, name, value)
        wavelength = wavelength.copy()
        wavelength.flags.writeable = False
        response.flags.writeable = False
        object.__setattr__(self, "wavelength", wavelength)
        object.__setattr__(self, "response", response)
        object.__setattr__(self, "psf_fwhm", angle(self.psf_fwhm, "psf_fwhm"))

    @property
    def effective_wavelength(self) -> Quantity:
        """Photon-weighted mean wavelength for a source of constant flux per unit frequency, a Quantity.

        Fukugita et al. (1996, AJ 111, 1748), eq. 3: exp of the mean of ln(wavelength) over d ln(wavelength), weighted
        by the photon response.
        """
        log_wavelength = np.log(self.wavelength.value)
        norm = np.trapezoid(self.response, log_wavelength)
        return np.exp(np.trapezoid(self.response * log_wavelength, log_wavelength) / norm) * u.AA

    def flux_per_unit(self) -> Quantity:
        """Return the flux density of one survey unit, a Quantity in Jy: AB, Oke & Gunn (1983, ApJ 266, 713)."""
        return (self.zero_point * u.ABmag).to(u.Jy)


@dataclass(frozen=True, eq=False, repr=False)
class Survey:
    """A survey: its bands, pixel grid and flux unit.

    A survey is indexed by band name, iterated over its bands, and has a length.

    Parameters
    ----------
    name : str
        Name, as ``"SDSS"``.
    bands : sequence of `Band`
        In order of effective wavelength.
    pixel_scale : `~astropy.units.Quantity`
        Angle on the sky of the side of one pixel.
    unit : `~astropy.units.Unit` or str
        Unit of the images, as ``"nmgy"`` or ``"adu"``; the ``zero_point`` of each band defines it.
    description : str, optional
        One sentence, with the source of the numbers.
    keywords : dict of str to str, optional
        FITS keywords of quantities that differ between images: ``"zero_point"`` (AB magnitude of one unit),
        ``"flux_zero_point"`` (flux of magnitude 0, as FLUXMAG0) and ``"gain"`` (electrons per unit). They replace the
        values of the bands when images are read.

    Examples
    --------
    >>> from astro_galtrans.surveys import get_survey
    >>> sdss = get_survey("SDSS")
    >>> sdss
    <Survey SDSS: u, g, r, i, z; 0.396 arcsec per pixel; nmgy>
    >>> sdss.band_names
    ('u', 'g', 'r', 'i', 'z')
    >>> sdss["r"].psf_fwhm
    <Quantity 1.32 arcsec>
    """

    name: str
    bands: tuple
    pixel_scale: u.Quantity
    unit: u.UnitBase
    description: str = ""
    keywords: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be a non-empty string, got {self.name!r}")
        object.__setattr__(self, "keywords", _checked_keywords(self.keywords))
        text(self.description, "description")
        if not np.iterable(self.bands):
            raise TypeError(f"bands must be a sequence of Band, got {self.bands!r}")
        bands = tuple(self.bands)
        if not bands or not all(isinstance(band, Band) for band in bands):
            raise TypeError(f"bands must be a non-empty sequence of Band, got {self.bands!r}")
        names = [band.name for band in bands]
        if len(set(names)) != len(names):
            raise BandMismatchError(f"bands must have different names, got {names}")
        wavelengths = [band.effective_wavelength.value for band in bands]
        if any(b <= a for a, b in zip(wavelengths, wavelengths[1:])):
            raise BandMismatchError(f"bands must be in order of effective wavelength, got {names}")
        object.__setattr__(self, "bands", bands)
        object.__setattr__(self, "unit", _unit(self.unit))
        object.__setattr__(self, "pixel_scale", angle(self.pixel_scale, "pixel_scale"))

    def __repr__(self) -> str:
        return (f"<Survey {self.name}: {', '.join(self.band_names)}; "
                f"{self.pixel_scale.to_value(u.arcsec):.4g} arcsec per pixel; {self.unit}>")

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[Band]:
        return iter(self.bands)

    def __getitem__(self, name: str) -> Band:
        for band in self.bands:
            if band.name == name:
                return band
        raise KeyError(f"survey {self.name} has no band {name!r}; its bands are {', '.join(self.band_names)}")

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, a tuple of str."""
        return tuple(band.name for band in self.bands)

    @property
    def sky_noise(self) -> np.ndarray:
        """Background standard deviation of one pixel for each band, ndarray of shape ``(n_bands,)``, survey unit."""
        return np.array([band.sky_noise for band in self.bands])

    @property
    def depth(self) -> np.ndarray:
        """AB magnitude of a point source at 5 sigma for each band, ndarray of shape ``(n_bands,)``.

        The flux error is that of a fit of a Gaussian PSF of width ``psf_fwhm`` on a background of ``sky_noise`` (King
        1983, PASP 95, 163).
        """
        return np.array([band.zero_point - 2.5 * np.log10(5 * band.sky_noise * np.sqrt(
            noise_area(band.psf_fwhm, self.pixel_scale))) for band in self.bands])

    def select(self, names: Iterable[str]) -> Survey:
        """Return this survey with the named bands only, in the order of the survey.

        Parameters
        ----------
        names : iterable of str
            Band names; a string is read letter by letter.

        Returns
        -------
        Survey
            Survey of the same name; ``self`` if nothing is left out.
        """
        wanted = list(names)
        missing = [name for name in wanted if name not in self.band_names]
        if missing or not wanted:
            raise BandMismatchError(f"survey {self.name} has bands {', '.join(self.band_names)}, not {wanted}")
        if len(set(wanted)) < len(wanted):
            raise BandMismatchError(f"bands must be different from each other, got {', '.join(wanted)}")
        kept = tuple(band for band in self.bands if band.name in wanted)
        return self if len(kept) == len(self.bands) else Survey(
            self.name, kept, self.pixel_scale, self.unit, self.description, self.keywords)

    @classmethod
    def read(cls, path: str | PathLike) -> Survey:
        """Read a survey from a YAML or ASDF file; ``get_survey(path)`` does the same and remembers the file.

        Parameters
        ----------
        path : path-like
            A YAML file (``.yaml``, ``.yml``) or an ASDF file (``.asdf``). The description is the whole tree or is
            stored under ``survey``; an ASDF file may contain a `Survey` itself.

        Returns
        -------
        Survey
            It is not registered: `register_survey` does that, and takes such a path too.

        Raises
        ------
        FileNotFoundError
            If there is no such file, or the file of a filter curve is missing.
        FileFormatError
            If the description is wrong. The message names the file, the key, and what is expected, or all required
            keys that are missing.

        Examples
        --------
        .. code-block:: python

            survey = Survey.read("mysurvey.yaml")
        """
        path = Path(path)
        tree = read_tree(path)
        if isinstance(tree, Survey):
            return tree
        try:
            fields = parsed(tree, path.parent)
            return cls(**{**fields, "bands": tuple(map(_numbered_band, enumerate(fields["bands"])))})
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{path}: {error}") from error
        except (ValueError, TypeError) as error:
            raise FileFormatError(f"{path}: {error}") from error

    def write(self, path: str | PathLike, overwrite: bool = False) -> None:
        """Write the survey with its curves to one file, from which `Survey.read` restores it exactly.

        Parameters
        ----------
        path : path-like
            Ending in ``.yaml``, ``.yml`` or ``.asdf``. The file is written completely or not at all.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If there is such a file and ``overwrite`` is False.
        """
        write_tree(self, path, overwrite)


def read_survey(path: str | PathLike) -> Survey:
    """Read a survey from a YAML or ASDF file, as `Survey.read` does.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Survey
    """
    return Survey.read(path)


def _numbered_band(numbered):
    """Return the band of a description, or raise an error that says which of them it is."""
    index, fields = numbered
    try:
        return Band(**fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"bands[{index}] ({fields['name']}): {error}") from error


def _unit(unit):
    try:
        if isinstance(unit, (u.UnitBase, str)):
            return u.Unit(unit)
    except ValueError as error:
        raise ValueError(f"unit must be a unit of astropy, got {unit!r}") from error
    raise TypeError(f"unit must be a unit of astropy or its name, got {unit!r}")


def _checked_keywords(keywords):
    """Return a copy of the keywords, or raise an error."""
    if not isinstance(keywords, Mapping):
        raise TypeError(f"keywords must be a dict, got {type(keywords).__name__}")
    for name, keyword in keywords.items():
        if name not in KEYWORDS:
            raise ValueError(f"keywords must be of {', '.join(KEYWORDS)}, got {name!r}")
        if not isinstance(keyword, str) or not keyword.strip():
            raise ValueError(f"keywords[{name!r}] must be a FITS keyword, got {keyword!r}")
    if "zero_point" in keywords and "flux_zero_point" in keywords:
        raise ValueError("keywords must have zero_point or flux_zero_point, not both")
    return {str(name): keyword.strip() for name, keyword in keywords.items()}


def matching_size(size: int, input_scale: Quantity, target_scale: Quantity) -> int:
    """Return the side of the cutout on the target grid that matches an input cutout, around the same center.

    On finer pixels it is the smallest that covers the input, on coarser pixels the largest within it, so that the
    reverse gives the original size. It keeps the parity of the input: an odd side has a pixel at its center and an even
    side a corner.

    Parameters
    ----------
    size : int
        Side of the input cutout in pixels.
    input_scale, target_scale : `~astropy.units.Quantity`
        Pixel scales.

    Returns
    -------
    int

    Examples
    --------
    >>> import astropy.units as u
    >>> from astro_galtrans.surveys import matching_size
    >>> matching_size(64, 0.396 * u.arcsec, 0.187 * u.arcsec)
    136
    >>> matching_size(136, 0.187 * u.arcsec, 0.396 * u.arcsec)
    64
    """
    whole_number(size, "size", 1)
    input_scale, target_scale = angle(input_scale, "input_scale"), angle(target_scale, "target_scale")
    sides = size * (input_scale / target_scale).to_value(u.dimensionless_unscaled)
    if sides >= size:
        covering = ceil(sides - 1e-6)
        return covering + (covering - size) % 2
    within = floor(sides + 1e-6)
    return max(within - (size - within) % 2, 2 - size % 2)
