"""Calibrated single-band stacks: MegaPipe and TERAPIX images of CFHT MegaCam, and FITS images of any origin."""

import warnings

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty
from astropy.stats import mad_std, sigma_clip
from astropy.utils.exceptions import AstropyUserWarning

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images._fits_read import find_part, native, parse_unit, plain_wcs
from astro_galtrans.images._fits_write import uncertainty_kinds
from astro_galtrans.images._kinds import band_of_header
from astro_galtrans.images._scales import is_counts, scale_factors, zero_points

__all__ = ["image_from_parts", "is_megacam", "load_weight", "pixel_noise"]

# AB magnitude of one count of the stack. PHOT_C is the same in older stacks; single exposures use it for one count per
# second, and so it comes last.
_ZERO_POINT_KEYS = ("MZP_AB", "PHOTZP", "MAGZP", "MAGZPT", "MAGZERO", "ZEROPNT", "PHOT_C")


def is_megacam(parts):
    """Whether a header is of an image taken through a MegaCam filter."""
    return any(".MP9" in str(part.header.get("FILTER", "")) for part in parts)


def image_from_parts(path, parts, *, unit=None, survey=None, noise="auto", weight=None, band=None):
    """A single-band image as a CCDData; see `astro_galtrans.images.read_cube` for the choices."""
    image = next((part for part in parts if np.ndim(part.data) == 2 and isinstance(part.data, np.ndarray)
                  and part.data.dtype.names is None), None)
    if image is None:
        raise FileFormatError(f"{path} has no image of two axes")
    header = image.header
    flux = native(image.data, np.float32 if image.data.dtype.itemsize <= 4 else np.float64)
    if "BSOFTEN" in header and "BOFFSET" in header:
        flux = _linear(flux, header["BSOFTEN"], header["BOFFSET"])
    keywords = {} if survey is None else survey.keywords
    zero_point = _zero_point_of(path, header, keywords)
    unit = _unit_of(path, header, unit, survey, zero_point)
    meta = {"header": header}
    if "gain" in keywords:
        meta["gain"] = _positive(path, header, keywords["gain"], "the gain")
    told = band_of_header(header)
    if told is not None:
        meta["band"] = told
    if zero_point is not None and is_counts(unit):
        meta["zero_point"] = zero_point
    mask = find_part(parts, "MASK", "MSK")
    mask = None if mask is None else mask.data != 0
    psf = find_part(parts, "PSF", "PSFIMAGE", "PSFIM")
    psf = None if psf is None else native(psf.data)
    ccd = CCDData(flux, unit=unit, wcs=plain_wcs(header), mask=mask, meta=meta, psf=psf)
    ccd.uncertainty = _uncertainty_of(path, parts, ccd, meta.get("band", band), survey, noise, weight)
    return ccd


def _linear(flux, softening, offset):
    """Counts of a Pan-STARRS stack, which are stored as asinh magnitudes: Waters et al. (2020, ApJS 251, 4)."""
    counts = offset + 2 * softening * np.sinh(flux.astype(np.float64) * (0.4 * np.log(10)))
    return counts.astype(flux.dtype)


def _positive(path, header, keyword, what):
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < np.inf:
        raise FileFormatError(f"{path} must tell {what} in {keyword}, it has {value!r}")
    return float(value)


def _zero_point_of(path, header, keywords):
    """AB magnitude of one count, by the keyword that the survey names, else by one in common use; None if untold."""
    if "zero_point" in keywords:
        value = header.get(keywords["zero_point"])
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            raise FileFormatError(f"{path} must tell the zero point in {keywords['zero_point']}, it has {value!r}")
        return float(value)
    if "flux_zero_point" in keywords:
        return 2.5 * np.log10(_positive(path, header, keywords["flux_zero_point"], "the flux of magnitude 0"))
    told = [header[key] for key in _ZERO_POINT_KEYS if isinstance(header.get(key), (int, float))]
    if told:
        return float(told[0])
    if "FLUXMAG0" in header:  # of the pipeline of HSC and LSST
        return 2.5 * np.log10(_positive(path, header, "FLUXMAG0", "the flux of magnitude 0"))
    if "FPA.ZP" in header and "EXPTIME" in header:  # of Pan-STARRS, for one count per second
        return float(header["FPA.ZP"]) + 2.5 * np.log10(_positive(path, header, "EXPTIME", "the exposure time"))
    return None


def _unit_of(path, header, unit, survey, zero_point):
    if unit is not None:
        return u.Unit(unit)
    told = parse_unit(header.get("BUNIT"))
    if told is not None:
        return told
    if zero_point is not None:
        return u.adu
    if survey is not None:
        return survey.unit
    raise ValueError(f"{path} tells no unit in BUNIT; say it with unit=, or the survey with survey=")


def _uncertainty_of(path, parts, ccd, band, survey, noise, weight):
    """Inverse variance from a weight map, else what the file has, else an estimate."""
    if weight is not None:
        weight = native(weight)
        if weight.shape != ccd.data.shape:
            raise ValueError(f"the weight map of {path} has shape {weight.shape}, the image {ccd.data.shape}")
        return InverseVariance(weight)
    part = find_part(parts, "UNCERT")
    if part is not None:
        return uncertainty_kinds.get(part.header.get("UTYPE"), StdDevUncertainty)(native(part.data))
    part = find_part(parts, "IVAR", "INVVAR", "WEIGHT", "WHT")
    if part is not None:
        return InverseVariance(native(part.data))
    part = find_part(parts, "SIGMA", "ERR", "ERROR", "STDDEV", "RMS")
    if part is not None:
        return StdDevUncertainty(native(part.data))
    if noise is None:
        return None
    gain = ccd.meta.get("gain", ccd.meta["header"].get("GAIN"))
    if not isinstance(gain, (int, float)) or gain <= 0:
        gain = _typical_gain(ccd, band, survey)
    return StdDevUncertainty(pixel_noise(ccd.data, ccd.mask, gain).astype(ccd.data.dtype))


def _typical_gain(ccd, band, survey):
    """Electrons per unit of an image, if it is one of the typical depth of its survey; None where that is not known."""
    # the two i filters of MegaCam pass as many photons to some per cent, and their stacks are of like depth
    band = "i" if band == "i2" else band
    if survey is None or band not in survey.band_names:
        return None
    own = zero_points(ccd.unit, (band,), survey, ccd.meta.get("zero_point"))
    return None if own is None else float(survey[band].gain * scale_factors(own, [survey[band].zero_point])[0])


def pixel_noise(flux, mask=None, gain=None):
    """Standard deviation of each pixel: the scatter of the background, and the photons of what stands above it.

    Parameters
    ----------
    flux : ndarray
        Background-subtracted image, shape ``(y, x)``.
    mask : ndarray of bool, optional
        True where a pixel is bad.
    gain : float, optional
        Electrons per unit of flux; without it there is no photon noise.

    Returns
    -------
    ndarray
        Shape ``(y, x)``.
    """
    good = np.isfinite(flux) if mask is None else np.isfinite(flux) & ~mask
    if not good.any():
        return np.full(flux.shape, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        background = sigma_clip(flux[good].astype(float), sigma=3, stdfunc=mad_std, masked=False)
    level, scatter = np.median(background), mad_std(background)
    photons = np.zeros(flux.shape) if gain is None else np.maximum(np.nan_to_num(flux) - level, 0) / gain
    return np.sqrt(scatter**2 + photons)


def load_weight(parts):
    """The first image of a file of weights."""
    return next((part.data for part in parts if isinstance(part.data, np.ndarray) and not isinstance(
        part.data, fits.FITS_rec)), None)
