"""Conditions under which surveys observe: seeing, noise, background, astrometry and calibration, with their scatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Self, TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.validation import choice, text
from astro_galtrans.surveys import get_survey, same_name

if TYPE_CHECKING:
    from astro_galtrans.surveys import Survey

__all__ = [
    "AstrometryConditions", "BackgroundConditions", "CalibrationConditions", "NoiseConditions", "PSFConditions",
    "SurveyConditions", "get_conditions",
]

_RESAMPLINGS = ("none", "cubic", "lanczos2", "lanczos3", "lanczos4", "lanczos5")
# Of fractions and of scatter in the natural log; where 1 has no meaning, the largest is smaller.
_LARGEST = {"correlation": 1.0, "photons": 1.0, "wings": 0.9, "obscuration": 0.95,
            **dict.fromkeys(("scatter", "band_scatter", "beta_scatter", "weight_scatter"), 1.0)}
_LARGEST_NUMBER = 100.0  # of all others: arcsec, noise of the sky, pixels
_NOT_NUMBERS = ("resampling", "reference", "shifts")
_POSITIVE = ("fwhm", "depth", "pixel_ratio", "wing_scale")


@dataclass(frozen=True)
class _PerBand:
    """Base of conditions whose numbers are one for all bands, or a tuple with one for each band."""

    _largest: ClassVar[Mapping[str, float]] = _LARGEST

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _NOT_NUMBERS:
                continue
            array = floats(value, one.name, dtype=float)
            lowest = np.nextafter(0, 1) if one.name in _POSITIVE else 0.0
            if array.ndim > 1 or array.size == 0 or not np.all(np.isfinite(array)) or np.any(array < lowest):
                kind = "positive numbers" if lowest else "numbers of at least 0"
                raise ValueError(f"{one.name} must be finite {kind}, one or one for each band, got {value!r}")
            largest = self._largest.get(one.name, _LARGEST_NUMBER)
            if np.any(array > largest):
                raise ValueError(f"{one.name} must be at most {largest}, got {value!r}")
            object.__setattr__(self, one.name, float(array) if array.ndim == 0 else tuple(array.tolist()))

    def select(self, rows: Sequence[int]) -> Self:
        """Return the conditions of some of the bands."""
        return replace(self, **{one.name: tuple(value[row] for row in rows) for one in fields(self)
                                if isinstance(value := getattr(self, one.name), tuple)})

    def lengths(self) -> dict[str, int]:
        """Return the number of values of each field that has one for each band."""
        return {one.name: len(value) for one in fields(self)
                if isinstance(value := getattr(self, one.name), tuple)}


@dataclass(frozen=True)
class PSFConditions(_PerBand):
    """Point spread function of a survey.

    Every number is one for all bands, or a tuple with one for each band.

    Parameters
    ----------
    fwhm : float or tuple of float
        Median full width at half maximum in arcsec, without the pixel.
    scatter, band_scatter : float or tuple of float
        Standard deviation of ln FWHM: of the part that all bands share, and of the part of each band.
    ellipticity, band_ellipticity : float or tuple of float
        Standard deviation of each of the two components of the ellipticity (a^2 - b^2) / (a^2 + b^2): of the part that
        all bands share, and of the part of each band.
    beta : float or tuple of float
        Exponent of the Moffat profile of the core. 0 is a diffraction-limited core.
    beta_scatter : float
        Standard deviation of ln beta.
    wings : float or tuple of float
        Fraction of the flux in the wings, of profile (1 + (r / s)^2)^-1.5.
    wing_scale : float or tuple of float
        Scale s of the wings, in FWHM of the core.
    obscuration, blur : float or tuple of float
        For a diffraction-limited core: ratio of the diameters of the central obscuration and of the mirror, and the
        FWHM of the Gaussian blur by jitter and detector over that of the diffraction pattern.
    """

    fwhm: float | tuple[float, ...]
    scatter: float | tuple[float, ...] = 0.12
    band_scatter: float | tuple[float, ...] = 0.05
    ellipticity: float | tuple[float, ...] = 0.02
    band_ellipticity: float | tuple[float, ...] = 0.02
    beta: float | tuple[float, ...] = 4.0
    beta_scatter: float | tuple[float, ...] = 0.08
    wings: float | tuple[float, ...] = 0.2
    wing_scale: float | tuple[float, ...] = 1.0
    obscuration: float | tuple[float, ...] = 0.33
    blur: float | tuple[float, ...] = 0.5


@dataclass(frozen=True)
class NoiseConditions(_PerBand):
    """Noise of the images of a survey.

    Every number is one for all bands, or a tuple with one for each band.

    Parameters
    ----------
    depth : float or tuple of float
        Median standard deviation of the noise of the sky over ``sky_noise`` of the band, before resampling.
    scatter, band_scatter : float or tuple of float
        Standard deviation of ln noise: of the part that all bands share, and of the part of each band.
    resampling : str
        How the images were resampled, which makes neighboring pixels correlate. "none"; "cubic", one image of each
        band but the reference, by cubic splines at a sub-pixel shift; "lanczos2" to "lanczos5", the mean of many
        exposures at all shifts.
    reference : str, optional
        With "cubic", the band that is not resampled.
    shifts : array_like, optional
        With "cubic", fractions of a pixel in x and y by which the bands are shifted at places of a field, shape
        ``(n_bands, n_places, 2)``; one place is drawn for each galaxy. None for any shifts.
    pixel_ratio : float
        With "lanczos", the side of a pixel over that of a pixel of the exposures.
    photons : float or tuple of float
        Fraction of the variance of the sky that is due to photons, which make it skewed; the rest is of the detector.
    weight_scatter : float or tuple of float
        Standard deviation of ln of the variance that the survey states over the true variance.
    quantum : float or tuple of float
        Step of the digitized pixel values over ``sky_noise`` of the band; 0 for continuous values.
    """

    depth: float | tuple[float, ...] = 1.0
    scatter: float | tuple[float, ...] = 0.08
    band_scatter: float | tuple[float, ...] = 0.06
    resampling: str = "lanczos3"
    reference: str | None = None
    shifts: tuple | None = None
    pixel_ratio: float = 1.0
    photons: float | tuple[float, ...] = 1.0
    weight_scatter: float | tuple[float, ...] = 0.04
    quantum: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shifts is not None:
            shifts = floats(self.shifts, "shifts", dtype=float)
            if shifts.ndim != 3 or shifts.shape[2] != 2 or not np.all(np.isfinite(shifts)):
                raise ValueError(f"shifts must be finite, of shape (n_bands, n_places, 2), got shape {shifts.shape}")
            if np.abs(shifts).max(initial=0) > 1:
                raise ValueError(f"shifts must be fractions of a pixel, got {shifts[np.abs(shifts) > 1][0]:g}")
            object.__setattr__(self, "shifts", tuple(tuple(map(tuple, band)) for band in shifts.tolist()))
        choice(self.resampling, "resampling", _RESAMPLINGS)
        if self.reference is not None:
            text(self.reference, "reference")


@dataclass(frozen=True)
class BackgroundConditions(_PerBand):
    """Errors of the subtracted background, in standard deviations of the noise of one pixel.

    Every number is one for all bands, or a tuple with one for each band.

    Parameters
    ----------
    level : float or tuple of float
        Mean of the offset: the faint outskirts of bright objects that no background holds.
    offset : float or tuple of float
        Standard deviation of the offset.
    gradient : float or tuple of float
        Standard deviation of each component of the gradient, per arcmin.
    curvature : float or tuple of float
        Standard deviation of each second derivative, per arcmin squared.
    correlation : float or tuple of float
        Correlation of these errors between bands, of two bands the geometric mean of their numbers.
    """

    level: float | tuple[float, ...] = 0.0
    offset: float | tuple[float, ...] = 0.05
    gradient: float | tuple[float, ...] = 0.05
    curvature: float | tuple[float, ...] = 0.05
    correlation: float | tuple[float, ...] = 0.5


@dataclass(frozen=True)
class AstrometryConditions(_PerBand):
    """Astrometric errors in arcsec.

    Every number is one for all bands, or a tuple with one for each band.

    Parameters
    ----------
    survey : float
        Standard deviation in x and y of the offset that all bands share.
    band : float or tuple of float
        Standard deviation in x and y of the offset of each band.
    """

    survey: float | tuple[float, ...] = 0.03
    band: float | tuple[float, ...] = 0.015


@dataclass(frozen=True)
class CalibrationConditions(_PerBand):
    """Errors of the zero points in magnitudes.

    Every number is one for all bands, or a tuple with one for each band.

    Parameters
    ----------
    survey : float
        Standard deviation of the error that all bands share.
    band : float or tuple of float
        Standard deviation of the error of each band.
    """

    _largest: ClassVar[Mapping[str, float]] = {"survey": 1.0, "band": 1.0}

    survey: float | tuple[float, ...] = 0.005
    band: float | tuple[float, ...] = 0.01


@dataclass(frozen=True)
class SurveyConditions:
    """Conditions under which a survey observes. `get_conditions` returns those of a survey.

    Parameters
    ----------
    bands : tuple of str
        Names of the bands, in the order of all tuples.
    psf : PSFConditions
        Point spread function.
    noise : NoiseConditions, optional
        Noise.
    background : BackgroundConditions, optional
        Errors of the background.
    astrometry : AstrometryConditions, optional
        Offsets between bands and surveys.
    calibration : CalibrationConditions, optional
        Errors of zero points.

    Raises
    ------
    ValueError
        If a tuple has not one number for each band.

    Examples
    --------
    A field of better seeing than usual:

    >>> from dataclasses import replace
    >>> from astro_galtrans.simulation import get_conditions
    >>> conditions = get_conditions("SDSS")
    >>> conditions = replace(conditions, psf=replace(conditions.psf, fwhm=1.0, scatter=0.02))
    """

    bands: tuple[str, ...]
    psf: PSFConditions
    noise: NoiseConditions = field(default_factory=NoiseConditions)
    background: BackgroundConditions = field(default_factory=BackgroundConditions)
    astrometry: AstrometryConditions = field(default_factory=AstrometryConditions)
    calibration: CalibrationConditions = field(default_factory=CalibrationConditions)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        if len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands must be different from each other, got {', '.join(self.bands)}")
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} must be a {kind.__name__}, got {getattr(self, name)!r}")
            for key, length in getattr(self, name).lengths().items():
                if length != len(self.bands):
                    raise ValueError(
                        f"{name}.{key} must have a number for each of the {len(self.bands)} bands, got {length}")

    def select(self, bands: tuple[str, ...]) -> SurveyConditions:
        """Return the conditions of some of the bands.

        Parameters
        ----------
        bands : sequence of str
            Names of the bands.

        Returns
        -------
        SurveyConditions
        """
        missing = [band for band in bands if band not in self.bands]
        if missing:
            raise ValueError(f"bands must be of {', '.join(self.bands)}, got {', '.join(missing)}")
        rows = [self.bands.index(band) for band in bands]
        return replace(self, bands=tuple(bands), **{name: getattr(self, name).select(rows) for name in _PARTS})


_PARTS = {"psf": PSFConditions, "noise": NoiseConditions, "background": BackgroundConditions,
          "astrometry": AstrometryConditions, "calibration": CalibrationConditions}


def get_conditions(
    survey: Survey | str, own: Mapping[str, SurveyConditions] | None = None,
) -> SurveyConditions:
    """Return the conditions under which a survey observes.

    Parameters
    ----------
    survey : `~astro_galtrans.surveys.Survey` or str
        The survey, or its name.
    own : dict of str to SurveyConditions, optional
        Conditions by name of the survey, which replace those of the package.

    Returns
    -------
    SurveyConditions
        Of the bands of the survey. The numbers of the registered surveys and their sources are in the file
        ``simulation/conditions.yaml`` of the package. Other surveys have typical values, the PSF width and the noise
        of their bands, and the resampling of a stack.

    Examples
    --------
    >>> from astro_galtrans.simulation import get_conditions
    >>> get_conditions("CFHTLS").noise.resampling
    'lanczos3'
    """
    survey = get_survey(survey)
    for name, conditions in (own or {}).items():
        if same_name(name, survey.name):
            return conditions.select(survey.band_names)
    return _known_conditions(survey)


@lru_cache(maxsize=64)
def _known_conditions(survey):
    tree = next((tree for name, tree in _read_table().items() if same_name(name, survey.name)), {})
    widths = tuple(band.psf_fwhm.to_value(u.arcsec) for band in survey)
    parts = {}
    for name, kind in _PARTS.items():
        values = {key: _per_band(value, survey.band_names) for key, value in tree.get(name, {}).items()
                  if key != "source"}
        parts[name] = kind(**({"fwhm": widths} | values if name == "psf" else values))
    return SurveyConditions(survey.band_names, **parts)


def _per_band(value, bands):
    """Return the numbers of the bands; a band that the table does not have gets the median."""
    if not isinstance(value, dict):
        return value
    typical = float(np.median(list(value.values())))
    return tuple(float(value.get(band, typical)) for band in bands)


@lru_cache(maxsize=1)
def _read_table():
    import yaml

    return yaml.safe_load((Path(__file__).parent / "conditions.yaml").read_text())
