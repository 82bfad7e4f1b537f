"""Unit, zero point, gain and band in FITS headers.

A keyword is looked up in the header of the image, then in a primary header without data (the convention of INHERIT).
One that is absent has a documented default; one that makes no sense is an error that quotes it.
"""

import re
import warnings

import astropy.units as u
import numpy as np
from astropy.io.fits.card import Undefined

from astro_galtrans.exceptions import FileFormatError, GaltransWarning
from astro_galtrans.images._scales import check_flux_unit, is_counts, zero_points

__all__ = ["Keywords", "band_of_header", "gain_of", "inherits", "is_megacam", "known_band", "parse_unit",
           "plane_zero_point", "unit_and_zero_point", "warn_once"]

# AB magnitude of one count of the stack. PHOT_C is the same in older stacks; single exposures use it for one count per
# second, and so it comes last.
_ZERO_POINT_KEYS = ("MZP_AB", "PHOTZP", "MAGZP", "MAGZPT", "MAGZERO", "ZEROPNT", "PHOT_C")
_LOWEST, _HIGHEST = 0.0, 60.0
# Electrons per count above which a gain is not a real one: a day of exposure with 100 electrons per count and second.
_MAX_GAIN = 1e7
_FILTER_KEYS = ("FILTER", "BAND", "FPA.FILTER", "FILTERS", "FILTNAM", "FILTER1", "FILTER2")
# Spellings of units in headers that astropy does not know.
_UNIT_NAMES = {
    "nanomaggies": "nmgy", "nanomaggy": "nmgy", "maggies": "mgy", "maggy": "mgy", "counts": "ct", "count": "ct",
    "adus": "adu", "dn": "DN", "electrons": "electron", "e-": "electron", "e": "electron", "sec": "s", "second": "s",
    "seconds": "s", "jansky": "Jy", "photons": "ph"}
# A zero point that differs by more from BUNIT contradicts it; corrections to AB are smaller.
_ZERO_POINT_TOLERANCE = 0.1
# Names of keywords that are likely zero points of a kind that is not known.
_LIKE_ZERO_POINT = re.compile(
    r"(MAG|AB|PHOT|IMAGE|SEX|SEXMG|STACK)?_?(ZP|ZPT|ZERO|ZEROP|ZEROPT|ZEROPNT|ZEROPOINT|ZPOINT|MAG0|MAGZ)_?(AB|MAG)?")
# Words next to the band in the names of filters.
_FILTER_WORDS = {
    "SDSS", "DECAM", "MEGACAM", "MEGAPRIME", "HSC", "LSST", "LSSTCAM", "OCAM", "OMEGACAM", "PANSTARRS", "PS1", "NIR",
    "NISP", "EUCLID", "WISHES", "CFHT", "CFIS", "UNIONS", "KIDS", "DES", "VIRCAM", "VISTA", "SKYMAPPER", "FILTER",
    "BAND", "PRIME", "WFI", "BASS", "MZLS", "DECALS", "LEGACYSURVEY", "CFHTLS", "SUBARU"}


class Keywords:
    """The keywords of an image, with those that it inherits.

    ``label`` is the name of the file in messages, ``primary`` a primary header without data, whose keywords hold for
    all images without ``INHERIT = F``, and ``warned`` the texts of earlier warnings.
    """

    def __init__(self, label, header, primary=None, warned=None):
        self.label, self._headers = label, [header]
        self._warned = set() if warned is None else warned
        if primary is not None and inherits(header):
            self._headers.append(primary)

    def warn(self, text):
        """Warn about the file, once."""
        warn_once(text, self._warned)

    def __iter__(self):
        return iter([key for header in self._headers for key in header])

    def get(self, key):
        """Return the value of a keyword; None where it is absent, undefined or blank."""
        for header in self._headers:
            value = header.get(key)
            if value is not None and not isinstance(value, Undefined) and not (
                    isinstance(value, str) and not value.strip()):
                return value
        return None

    def number(self, key):
        """Return a keyword as a finite number; None where it is absent, NaN where it is not a finite number."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, str, np.number)):
            return np.nan
        try:
            value = float(value)
        except ValueError:
            return np.nan
        return value if np.isfinite(value) else np.nan

    def positive(self, key, meaning):
        """Return a required keyword as a positive number."""
        value = self.number(key)
        if value is None or not value > 0:
            raise FileFormatError(f"{self.label} must have {meaning} in {key}, it has {self.get(key)!r}")
        return value


def inherits(header):
    """Return whether an image takes keywords from the primary header too, unless INHERIT forbids it."""
    value = header.get("INHERIT", True)
    return value.strip().upper() not in ("F", "FALSE", "NO", "0") if isinstance(value, str) else bool(value)


def warn_once(text, warned):
    """Warn, unless the text is among earlier ones."""
    if text not in warned:
        warned.add(text)
        warnings.warn(text, GaltransWarning, stacklevel=3)


def parse_unit(text):
    """Return the unit in a BUNIT; None for an empty one, ValueError for one that is not understood."""
    if text is None or isinstance(text, Undefined) or not str(text).strip():
        return None
    # S of 'ELECTRONS/S' is the second, not the siemens.
    text = re.sub(r"/\s*S\b", "/s", str(text).strip())
    plain = re.sub(r"\b[Ee]-(?!\d)|[A-Za-z]+", lambda word: _UNIT_NAMES.get(word[0].lower(), word[0]), text)
    for spelled in (text, plain, text.lower()):
        try:
            with warnings.catch_warnings():
                # erg/s/cm2/Hz has slashes that the standard discourages.
                warnings.simplefilter("ignore", u.UnitsWarning)
                return u.Unit(spelled)
        except ValueError:
            continue
    raise ValueError(f"{text!r} is not a unit that is understood")


def unit_and_zero_point(keys, unit, survey, default=None):
    """Return the unit of an image, and the AB magnitude of one unit where it is counts.

    ``unit`` is that of the user, which takes precedence over BUNIT, and ``default`` that of files of this kind without
    BUNIT. The survey may name the keyword of the zero point; its unit is the last resort.
    """
    if unit is not None:
        unit = check_flux_unit(unit)
    else:
        unit = _header_unit(keys)
        if unit is not None:
            _check_agreement(keys, unit)
    if unit is not None and not is_counts(unit):
        return unit, None
    zero_point = _zero_point_of(keys, {} if survey is None else survey.keywords)
    if zero_point is None:
        zero_point, rate = _hst_zero_point(keys, unit)
        if zero_point is not None:
            return rate, zero_point
    if unit is None:
        unit = u.adu if zero_point is not None else default
    if unit is None and survey is not None:
        unit = survey.unit
        keys.warn(f"{keys.label} has neither a unit in BUNIT nor a zero point; it is taken to be in {unit} of "
                  f"{survey.name}, as its images are. unit= gives another")
    if unit is None:
        raise ValueError(f"{keys.label} has no unit in BUNIT; give it with unit=, or the survey with survey=")
    if zero_point is None and survey is not None and zero_points(unit, survey.band_names, survey) is None:
        raise FileFormatError(
            f"{keys.label} is in {unit} (BUNIT {keys.get('BUNIT')!r}) and has no zero point, so that one unit is not "
            f"known on the scale of survey {survey.name}; give unit=")
    if zero_point is None and survey is not None and is_counts(unit):
        _warn_of_unread_zero_point(keys, survey)
    return unit, zero_point


def _check_agreement(keys, unit):
    """Raise FileFormatError if a BUNIT with an absolute scale contradicts a zero point in the same header."""
    own = None if is_counts(unit) or unit.is_equivalent(u.Jy / u.sr) else zero_points(unit, ("",))
    for key in () if own is None else _ZERO_POINT_KEYS:
        value = keys.number(key)
        if value is not None and _LOWEST < value <= _HIGHEST:
            if abs(value - own[0]) > _ZERO_POINT_TOLERANCE:
                raise FileFormatError(
                    f"{keys.label} has BUNIT = {keys.get('BUNIT')!r}, of AB magnitude {own[0]:.4g} for one unit, and "
                    f"{key} = {keys.get(key)!r}, which contradict each other; unit={str(unit)!r} takes the first, "
                    "unit='adu' the second")
            return


def _warn_of_unread_zero_point(keys, survey):
    """Warn about a keyword that looks like a zero point, where that of the survey is used."""
    for key in keys:
        value = keys.number(key) if _LIKE_ZERO_POINT.fullmatch(key) and key not in _ZERO_POINT_KEYS else None
        if value is not None and _LOWEST < value <= _HIGHEST:
            keys.warn(f"{keys.label} has {key} = {keys.get(key)!r}, which is not read; the zero point is taken to be "
                      f"that of survey {survey.name}. A keyword MAGZERO would be read")
            return


def _header_unit(keys):
    """Return the unit in BUNIT, or raise an error that quotes it."""
    text = keys.get("BUNIT")
    try:
        unit = parse_unit(text)
        # Surface brightness becomes flux with the area of the pixel in the same header.
        if unit is None or unit.is_equivalent(u.Jy / u.sr):
            return unit
        return check_flux_unit(unit, "BUNIT")
    except ValueError as error:
        raise FileFormatError(
            f"{keys.label} has BUNIT = {text!r}, which cannot be used: {error}; give unit=") from error


def _checked(keys, key, value):
    if value is None:
        raise FileFormatError(f"{keys.label} must have the zero point in {key}, it has no such keyword")
    if not _LOWEST <= value <= _HIGHEST:
        raise FileFormatError(
            f"{keys.label} must have the zero point in {key} as an AB magnitude between {_LOWEST:.0f} and "
            f"{_HIGHEST:.0f}, it has {keys.get(key)!r}; correct it, or give unit= for an image with a unit of its own")
    return value


def _zero_point_of(keys, named):
    """Return the AB magnitude of one count, by the keyword that the survey names, else by a common one; or None."""
    if "zero_point" in named:
        return _checked(keys, named["zero_point"], keys.number(named["zero_point"]))
    if "flux_zero_point" in named:
        return _of_flux(keys, named["flux_zero_point"])
    for key in _ZERO_POINT_KEYS:
        value = keys.number(key)
        if value is not None:
            return _checked(keys, key, value)
    if keys.get("FLUXMAG0") is not None:  # of the pipeline of HSC and LSST
        return _of_flux(keys, "FLUXMAG0")
    if keys.get("FPA.ZP") is not None and keys.get("EXPTIME") is not None:  # of Pan-STARRS, for one count per second
        zero_point = _checked(keys, "FPA.ZP", keys.number("FPA.ZP"))
        return zero_point + 2.5 * np.log10(keys.positive("EXPTIME", "the exposure time"))
    return None


def plane_zero_point(keys, index, default):
    """Return the zero point of a plane of a cube, from MAGZP1, MAGZP2 ..., or that of the whole cube."""
    for key in (*_ZERO_POINT_KEYS, "MAGZP_"):
        first = 0 if keys.get(f"{key}0") is not None else 1
        value = keys.number(f"{key}{index + first}")
        if value is not None:
            return _checked(keys, f"{key}{index + first}", value)
    return default


def _of_flux(keys, key):
    return _checked(keys, key, 2.5 * np.log10(keys.positive(key, "the flux of magnitude 0")))


def _hst_zero_point(keys, unit):
    """Return the zero point and unit of an image of HST, whose PHOTFLAM is for one electron, or count, per second.

    From the definition of AB: -2.5 log10(PHOTFLAM PHOTPLAM**2 / c) - 48.60, in erg, cm, s and Angstrom.
    """
    if keys.get("PHOTFLAM") is None or keys.get("PHOTPLAM") is None:
        return None, None
    inverse = keys.positive("PHOTFLAM", "the flux density of one count per second")
    pivot = keys.positive("PHOTPLAM", "the pivot wavelength")
    zero_point = float(-2.5 * np.log10(inverse * pivot**2 / 2.99792458e18) - 48.60)
    if unit is None:
        unit = u.electron / u.s
        keys.warn(f"{keys.label} has PHOTFLAM and no BUNIT; it is taken to be in {unit}, as drizzled images of HST "
                  "are. unit= gives another")
    if not (unit * u.s).is_equivalent(u.s) and any(
            unit.is_equivalent(one) for one in (u.electron, u.ct, u.adu, u.DN, u.ph)):
        zero_point += 2.5 * np.log10(keys.positive("EXPTIME", "the exposure time"))
    return _checked(keys, "PHOTFLAM", zero_point), unit


def gain_of(keys, unit, survey):
    """Return the electrons per unit of an image in its header; None where there is nothing that applies."""
    named = {} if survey is None else survey.keywords
    if "gain" in named and survey is not None and (is_counts(unit) or unit == survey.unit):
        return keys.positive(named["gain"], "the gain")
    if not is_counts(unit):
        return None
    per_second = unit.is_equivalent(u.adu / u.s) or any(
        unit.is_equivalent(one / u.s) for one in (u.electron, u.ct, u.DN, u.ph))
    gain = 1.0 if unit.is_equivalent(u.electron) or unit.is_equivalent(u.electron / u.s) else keys.number("GAIN")
    exposure = keys.number("EXPTIME") if per_second else 1.0
    if gain is None or exposure is None:
        return None
    if not 0 < gain < _MAX_GAIN or not exposure > 0:
        key = "EXPTIME" if 0 < gain < _MAX_GAIN else "GAIN"
        keys.warn(f"{keys.label} has {key} = {keys.get(key)!r}, which cannot be right and is ignored; the noise of its "
                  "sources is that of the survey's typical gain")
        return None
    return gain * exposure


def is_megacam(header):
    """Return whether a header is of an image taken through a MegaCam filter."""
    return ".MP9" in str(header.get("FILTER")).upper()


def band_of_header(header, names=()):
    """Return the band in FILTER, BAND or FPA.FILTER, as ``r`` of ``'r.MP9601'``, in the spelling of ``names``, or None.

    The second MegaCam i filter, MP9702, is ``i2``.
    """
    for key in _FILTER_KEYS:
        value = header.get(key)
        if isinstance(value, str) and value.strip() and not value.strip().upper().startswith(("CLEAR", "N/A")):
            return known_band(value, names)
    return None


def known_band(text, names=()):
    """Return the band in the name of a filter: without instrument and number, in the spelling of the survey."""
    text = text.strip()
    if text in names:
        return text
    megacam = re.fullmatch(r"(\w+)\.MP(9\d{3})", text, re.IGNORECASE)
    if megacam:
        band = megacam[1].lower()
        return "i2" if megacam[2] == "9702" and band == "i" else _spelled(band, names)
    # 'HSC-R2' of HSC, 'g DECam SDSS c0001 4720.0 1520.0' of DES, 'i.00000' of Pan-STARRS, 'r_57' of LSSTCam
    hsc = re.fullmatch(r"HSC-([GRIZY])2?", text, re.IGNORECASE)
    if hsc:
        return _spelled(hsc[1].lower(), names)
    decam = re.fullmatch(r"(\w+) DECam .*", text, re.IGNORECASE)
    words = [decam[1]] if decam else [
        word for word in re.split(r"[^A-Za-z0-9]+", text) if word and not word.isdigit()
        and word.upper() not in _FILTER_WORDS]
    if len(words) != 1:
        return _spelled(text, names)
    return _spelled(words[0], names)


def _spelled(band, names):
    """Return a band in the spelling of the survey, or with the common bands in lower case."""
    if band in names:
        return band
    alike = [name for name in names if name.lower() == band.lower()]
    if len(alike) == 1:
        return alike[0]
    # Euclid calls its bands IE, YE, JE and HE, and the files VIS, NIR_Y ...
    euclid = ("I" if band.upper() == "VIS" else band.upper()) + "E"
    if euclid in names:
        return euclid
    return band.lower() if band in ("U", "G", "R", "I", "Z") else band
