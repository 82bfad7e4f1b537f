"""Linear flux scales: the units that an image may have, and the AB magnitude of one unit."""

import astropy.units as u
import numpy as np

__all__ = ["check_flux_unit", "is_counts", "scale_factors", "zero_points"]

_COUNTS = (u.adu, u.electron, u.ct, u.ph, u.DN)
# An image is built for every cutout, and unit arithmetic would take most of the time.
_known = {}


def _classify(unit):
    if isinstance(unit, u.FunctionUnitBase):
        return "logarithmic", None
    if unit.is_equivalent(u.Jy):
        return "absolute", (1 * unit).to_value(u.ABmag)
    if unit.is_equivalent(u.mgy):
        return "absolute", -2.5 * np.log10(unit.to(u.mgy))
    if unit == u.dimensionless_unscaled or any(
            unit.is_equivalent(one) or unit.is_equivalent(one / u.s) for one in _COUNTS):
        return "counts", None
    return "other", None


def _class_of(unit):
    if unit not in _known:
        _known[unit] = _classify(unit)
    return _known[unit]


def check_flux_unit(unit, name="unit"):
    """Return a Unit, or raise ValueError if it is not a linear flux per pixel."""
    try:
        unit = u.Unit(unit)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be a flux unit such as 'nmgy', 'adu' or 'Jy', got {unit!r}") from error
    kind = _class_of(unit)[0]
    if kind == "logarithmic":
        raise ValueError(f"{name} must be linear in flux, got {unit}; convert magnitudes to flux first")
    if kind == "other":
        raise ValueError(
            f"{name} must be a flux per pixel: maggies (nmgy), a flux density (Jy), counts (adu, electron, ct, ph, DN, "
            f"also per second) or dimensionless, got {unit}"
        )
    return unit


def is_counts(unit):
    """Return whether a unit is counts of an instrument, whose flux only a zero point gives."""
    return _class_of(unit)[0] == "counts"


def _explicit(zero_point, bands):
    """Return a zero point for each band from a number, a sequence or a mapping."""
    if isinstance(zero_point, dict):
        missing = [band for band in bands if band not in zero_point]
        if missing:
            raise ValueError(f"zero_point has no entry for band {', '.join(missing)}")
        zero_point = [zero_point[band] for band in bands]
    try:
        values = np.array(zero_point, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"zero_point must be one AB magnitude, or one per band, got {zero_point!r}") from error
    if values.shape not in ((), (len(bands),)) or not np.all(np.isfinite(values)):
        raise ValueError(f"zero_point must be one finite number or {len(bands)}, one per band, got {zero_point!r}")
    return np.broadcast_to(values, len(bands)).copy()


def zero_points(unit, bands, survey=None, zero_point=None):
    """Return the AB magnitude of one ``unit`` of flux in each band; None for counts of which it is not known.

    An explicit zero point takes precedence for counts; then that of the survey, for its unit; then that of the unit.
    """
    if is_counts(unit) and zero_point is not None:
        return _explicit(zero_point, bands)
    if survey is not None and unit.is_equivalent(survey.unit):
        factor = 1.0 if unit == survey.unit else unit.to(survey.unit)
        return np.array([survey[band].zero_point for band in bands]) - 2.5 * np.log10(factor)
    absolute = _class_of(unit)[1]
    return None if absolute is None else np.full(len(bands), absolute)


def scale_factors(from_zero_points, to_zero_points):
    """Return the factors from one flux scale to another for each band; exactly 1 where the zero points agree."""
    return 10.0 ** (0.4 * (np.asarray(to_zero_points) - np.asarray(from_zero_points)))
