"""Configuration of a realistic sky: the parts of what happens to the light of a galaxy, each with its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans._utils.validation import check_fields, flag, real_number
from astro_galtrans.simulation._conditions import SurveyConditions

__all__ = [
    "Artifacts", "Astrometry", "Background", "Calibration", "Extinction", "Noise", "PSFVariation", "Scene", "Sky",
]

# Far beyond any sky. Larger values would overflow, or draw sources without end.
_factor = partial(real_number, most=10.0)
_density = partial(real_number, most=100.0)


@dataclass(frozen=True)
class PSFVariation:
    """Variation of the PSF between galaxies and bands; the typical PSF is that of the survey.

    Parameters
    ----------
    width_scale : float, optional
        Factor on the scatter of widths of each survey, at most 10; 0 gives every galaxy the typical PSF.
    ellipticity_scale : float, optional
        Factor on the ellipticities of each survey, at most 10.
    """

    width_scale: float = 1.0
    ellipticity_scale: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("width_scale", "ellipticity_scale"), _factor))


@dataclass(frozen=True)
class Noise:
    """Noise of the images.

    Parameters
    ----------
    correlated : bool, optional
        Whether the noise of neighboring pixels is correlated as in the images of each survey.
    depth_scale : float, optional
        Factor on the scatter of the depth between fields and bands, at most 10.
    """

    correlated: bool = True
    depth_scale: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, {"correlated": flag, "depth_scale": _factor})


@dataclass(frozen=True)
class _Scaled:
    """Base of the parts that have no setting but a factor on the errors of each survey."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, {"scale": _factor})


@dataclass(frozen=True)
class Background(_Scaled):
    """Errors of the subtracted background: an offset and a gradient in each band.

    Parameters
    ----------
    scale : float, optional
        Factor on the errors of each survey, at most 10.
    """


@dataclass(frozen=True)
class Astrometry(_Scaled):
    """Offsets between bands and between surveys, and of the galaxy from the center of its stamp.

    Parameters
    ----------
    scale : float, optional
        Factor on the astrometric errors of each survey, at most 10.
    """


@dataclass(frozen=True)
class Calibration(_Scaled):
    """Errors of the zero points.

    Parameters
    ----------
    scale : float, optional
        Factor on the errors of each survey, at most 10.
    """


@dataclass(frozen=True)
class Extinction:
    """Extinction by dust of the Galaxy, the same in both surveys: E(B-V) is lognormal.

    The default is that of 10,000 SDSS galaxies in the catalog of kcorrect 5.1.9, times 0.86 (Schlafly & Finkbeiner
    2011, ApJ 737, 103).

    Parameters
    ----------
    median : float, optional
        Median E(B-V) in magnitudes, at most 10.
    scatter : float, optional
        Standard deviation of ln E(B-V), at most 10.
    maximum : float, optional
        Largest E(B-V) in magnitudes, at most 10.
    """

    median: float = 0.022
    scatter: float = 0.64
    maximum: float = 0.3

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("median", "scatter", "maximum"), _factor))


@dataclass(frozen=True)
class Scene:
    """Neighboring galaxies and stars, the same in both surveys.

    Galaxies follow the published number counts, and those that belong to the target its redshift and a density that
    falls with the distance; stars follow the counts at high Galactic latitude.

    Parameters
    ----------
    galaxies : float, optional
        Factor on the number of galaxies that have nothing to do with the target, at most 100.
    clustering : float, optional
        Factor on the number of satellites of the target, at most 100.
    stars : float, optional
        Factor on the number of stars, at most 100: about 3 at a Galactic latitude of 20 degrees.
    faintest : float, optional
        Signal-to-noise, at most 100, of the faintest sources in the deeper of the two surveys, if they were points.
    """

    galaxies: float = 1.0
    clustering: float = 1.0
    stars: float = 1.0
    faintest: float = 2.0

    def __post_init__(self) -> None:
        check_fields(self, {**dict.fromkeys(("galaxies", "clustering", "stars"), _density),
                            "faintest": partial(_density, positive=True)})


@dataclass(frozen=True)
class Artifacts:
    """Saturated stars, trails, cosmic rays, bad columns and edges of fields, at the rates of each survey.

    Parameters
    ----------
    scale : float, optional
        Factor on the rates, at most 100.
    unknown : float, optional
        Fraction of the defects that no mask marks: their pixels keep their weight.
    """

    scale: float = 1.0
    unknown: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self, {"scale": _density, "unknown": partial(real_number, most=1.0)})


@dataclass(frozen=True, repr=False)
class Sky:
    """The sky and the instruments through which simulated galaxies are seen.

    Every part can be replaced, or turned off with None. The parts have random streams of their own: turning one off
    leaves the others as they were.

    Parameters
    ----------
    psf : PSFVariation or None, optional
        Variation of the PSF; None for the typical round PSF of each survey. ``psf=True`` of
        `~astro_galtrans.simulation.SimulationConfig` keeps its images, which are cut off at eight FWHM.
    noise : Noise or None, optional
        Noise of the images; None for white noise of the typical depth.
    background : Background or None, optional
        Errors of the background; None for no background.
    astrometry : Astrometry or None, optional
        Offsets between bands and surveys; None for perfect alignment.
    calibration : Calibration or None, optional
        Zero-point errors; None for none.
    extinction : Extinction or None, optional
        Dust of the Galaxy; None for none.
    scene : Scene or None, optional
        Neighbors and stars; None for galaxies that are alone.
    artifacts : Artifacts or None, optional
        Saturated stars, trails, cosmic rays, edges; None for none.
    conditions : dict of str to SurveyConditions, optional
        Conditions by name of the survey, in place of those of `get_conditions`.

    Examples
    --------
    >>> from astro_galtrans.simulation import Sky
    >>> Sky(scene=None)
    Sky(scene=None)
    """

    psf: PSFVariation | None = field(default_factory=PSFVariation)
    noise: Noise | None = field(default_factory=Noise)
    background: Background | None = field(default_factory=Background)
    astrometry: Astrometry | None = field(default_factory=Astrometry)
    calibration: Calibration | None = field(default_factory=Calibration)
    extinction: Extinction | None = field(default_factory=Extinction)
    scene: Scene | None = field(default_factory=Scene)
    artifacts: Artifacts | None = field(default_factory=Artifacts)
    conditions: Mapping[str, SurveyConditions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            part = getattr(self, name)
            if part is not None and not isinstance(part, kind):
                raise TypeError(f"{name} must be {kind.__name__}(...) or None, got {part!r}")
        if not isinstance(self.conditions, Mapping):
            raise TypeError(f"conditions must be a dict of survey name to SurveyConditions, got {self.conditions!r}")
        for name, conditions in self.conditions.items():
            if not isinstance(name, str) or not isinstance(conditions, SurveyConditions):
                raise TypeError(f"conditions[{name!r}] must be a SurveyConditions under the name of a survey, got "
                                f"{conditions!r}")

    def __repr__(self) -> str:
        return changed_fields(self)


_PARTS = {"psf": PSFVariation, "noise": Noise, "background": Background, "astrometry": Astrometry,
          "calibration": Calibration, "extinction": Extinction, "scene": Scene, "artifacts": Artifacts}
