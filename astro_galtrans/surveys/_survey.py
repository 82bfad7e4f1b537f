"""The frozen descriptions of a passband and of a survey."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import whole
from astro_galtrans.exceptions import BandMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from astropy.units import Quantity

__all__ = ["KEYWORDS", "Band", "Survey"]

# What the header of an image may tell of it: AB magnitude of one unit, counts of magnitude 0, electrons per unit.
KEYWORDS = ("zero_point", "flux_zero_point", "gain")


def _positive(name, value, unit):
    """``value`` as a positive finite scalar Quantity in ``unit``, or an error that names it."""
    try:
        quantity = u.Quantity(value).to(unit)
    except (TypeError, u.UnitConversionError) as error:
        raise TypeError(f"{name} must be a Quantity convertible to {unit}, got {value!r}") from error
    if not quantity.isscalar or not np.isfinite(quantity.value) or quantity.value <= 0:
        raise ValueError(f"{name} must be a positive finite scalar, got {value!r}")
    return quantity


@dataclass(frozen=True, eq=False)
class Band:
    """One passband of a survey, with what an image taken through it looks like.

    Parameters
    ----------
    name : str
        Short name, as ``"r"``.
    wavelength : `~astropy.units.Quantity`
        Wavelengths of the response curve, increasing, shape ``(n_wavelength,)``.
    response : array_like
        Photon response (relative detected photons per incident photon), shape ``(n_wavelength,)``. Its
        normalisation is free.
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
        response = np.array(whole(self.response, "response"), dtype=float)
        if wavelength.ndim != 1 or wavelength.shape != response.shape or response.size < 2:
            raise ValueError(
                "wavelength and response must be one-dimensional, of one length of at least 2, "
                f"got shapes {wavelength.shape} and {response.shape}"
            )
        if np.any(np.diff(wavelength.value) <= 0):
            raise ValueError("wavelength must be strictly increasing")
        if not np.all(np.isfinite(response)) or np.any(response < 0) or not np.any(response > 0):
            raise ValueError("response must be finite and not negative, and positive somewhere")
        for name in ("zero_point", "sky_noise", "gain"):
            value = getattr(self, name)
            if not np.isfinite(value) or (name != "zero_point" and value <= 0):
                range_ = "" if name == "zero_point" else " above 0"
                raise ValueError(f"{name} must be a finite number{range_}, got {value!r}")
            object.__setattr__(self, name, float(value))
        wavelength = wavelength.copy()
        wavelength.flags.writeable = False
        response.flags.writeable = False
        object.__setattr__(self, "wavelength", wavelength)
        object.__setattr__(self, "response", response)
        object.__setattr__(self, "psf_fwhm", _positive("psf_fwhm", self.psf_fwhm, u.arcsec))

    @property
    def effective_wavelength(self) -> Quantity:
        """Photon-weighted mean wavelength for a source of constant flux per unit frequency, a Quantity.

        This is the definition of Fukugita et al. (1996, AJ 111, 1748), eq. 3, as exp of the mean of the
        logarithm of the wavelength over d ln(wavelength), weighted by the photon response.
        """
        log_wavelength = np.log(self.wavelength.value)
        norm = np.trapezoid(self.response, log_wavelength)
        return np.exp(np.trapezoid(self.response * log_wavelength, log_wavelength) / norm) * u.AA

    def flux_per_unit(self) -> Quantity:
        """The flux density of one survey unit, a Quantity in Jy: AB, Oke & Gunn (1983, ApJ 266, 713)."""
        return (self.zero_point * u.ABmag).to(u.Jy)


@dataclass(frozen=True, eq=False)
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
        Unit of the survey's images, as ``"nmgy"`` or ``"adu"``; each band's ``zero_point`` says what one is.
    description : str, optional
        One sentence for people, with the source of the numbers.
    keywords : dict of str to str, optional
        FITS keywords in which the images tell what varies from one to the next: ``"zero_point"`` (AB magnitude of one
        unit), ``"flux_zero_point"`` (flux of magnitude 0, as FLUXMAG0) and ``"gain"`` (electrons per unit). They are
        used instead of the values of the bands when images are read.

    Examples
    --------
    >>> from astro_galtrans.surveys import get_survey
    >>> sdss = get_survey("SDSS")
    >>> sdss.band_names
    ('u', 'g', 'r', 'i', 'z')
    >>> sdss["r"].psf_fwhm
    <Quantity 1.32 arcsec>
    """

    name: str
    bands: tuple
    pixel_scale: u.Quantity
    unit: u.UnitBase
    description: str = field(default="", repr=False)
    keywords: dict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be a non-empty string, got {self.name!r}")
        object.__setattr__(self, "keywords", _checked_keywords(self.keywords))
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
        object.__setattr__(self, "unit", u.Unit(self.unit))
        object.__setattr__(self, "pixel_scale", _positive("pixel_scale", self.pixel_scale, u.arcsec))

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

    def select(self, names: Iterable[str]) -> Survey:
        """This survey with the named bands only, in the order of the survey.

        Parameters
        ----------
        names : iterable of str
            Band names; a string is read letter by letter.

        Returns
        -------
        Survey
            With the same name; ``self`` where nothing is left out.
        """
        wanted = list(names)
        missing = [name for name in wanted if name not in self.band_names]
        if missing or not wanted:
            raise BandMismatchError(f"survey {self.name} has bands {', '.join(self.band_names)}, not {wanted}")
        kept = tuple(band for band in self.bands if band.name in wanted)
        return self if len(kept) == len(self.bands) else Survey(
            self.name, kept, self.pixel_scale, self.unit, self.description, self.keywords)

    @classmethod
    def read(cls, path: str | PathLike) -> Survey:
        """Read a survey from a YAML or ASDF file; see `read_survey`.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        Survey
        """
        from astro_galtrans.surveys._files import read_survey

        return read_survey(path)

    def write(self, path: str | PathLike, overwrite: bool = False) -> None:
        """Write the survey with its curves to one file that `read` gives it back from.

        Parameters
        ----------
        path : path-like
            Ending in ``.yaml``, ``.yml`` or ``.asdf``. It is written under another name first, and so whole or not at
            all.
        overwrite : bool, optional
            Whether an existing file may be replaced.
        """
        from astro_galtrans.surveys._files import write_survey

        write_survey(self, path, overwrite)


def _checked_keywords(keywords):
    """A copy of the keywords, or an error."""
    if not hasattr(keywords, "items"):
        raise TypeError(f"keywords must be a dict, got {type(keywords).__name__}")
    for name, keyword in keywords.items():
        if name not in KEYWORDS:
            raise ValueError(f"keywords must be of {', '.join(KEYWORDS)}, got {name!r}")
        if not isinstance(keyword, str) or not keyword.strip():
            raise ValueError(f"keywords[{name!r}] must be a FITS keyword, got {keyword!r}")
    if "zero_point" in keywords and "flux_zero_point" in keywords:
        raise ValueError("keywords must have zero_point or flux_zero_point, not both")
    return {str(name): keyword.strip() for name, keyword in keywords.items()}
