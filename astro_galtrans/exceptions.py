"""Errors and warnings of the package."""

from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["BandMismatchError", "FileFormatError", "GaltransWarning", "SurveyError"]


class GaltransWarning(AstropyUserWarning):
    """Something was converted, completed or left out that the user may want to know of."""


class SurveyError(ValueError):
    """An unknown survey, or an image that does not belong to the survey that was asked for."""


class BandMismatchError(SurveyError):
    """Bands are missing, repeated or in another order than the one that was asked for."""


class FileFormatError(ValueError):
    """A file that is truncated, altered, of another kind or of a newer version than this package reads."""
