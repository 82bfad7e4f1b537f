"""Detect and measure the galaxies of a field."""

from __future__ import annotations

import warnings
from typing import NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.stats import mad_std
from astropy.table import Column, Table
from astropy.utils.decorators import deprecated_renamed_argument
from astropy.utils.exceptions import AstropyDeprecationWarning
from scipy import ndimage
from scipy.spatial import cKDTree

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.photometry import deblended
from astro_galtrans._utils.validation import angle, finite_number, flag, real_number, text, whole_number
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images._cube import BandCube
from astro_galtrans.images._frames import FrameSet
from astro_galtrans.images._valid import empty_pixels
from astro_galtrans.images._grid import local_pixel_scale
from astro_galtrans.images._scales import is_counts, zero_points
from astro_galtrans.images._uncertainty import inverse_variance
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = ["detect_galaxies", "segment_galaxy"]

# The edge of a galaxy in units of the noise of a pixel, and how much the image is smoothed before.
_ISOPHOTE, _SMOOTHING = 1.5, 0.4 * u.arcsec
# Signal-to-noise and number of stars that are enough to measure the size of the PSF.
_STAR_SIGNAL_TO_NOISE = 50
_MIN_STARS = 5
# The search for saturation uses sources of at least this signal-to-noise, and annuli of these radii, in units of the
# half-light radius of the stars; an annulus counts at a signal-to-noise of 5.
_BRIGHT_SIGNAL_TO_NOISE = 100
_ANNULI = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0)
_ANNULUS_SIGNAL_TO_NOISE = 5
# Annuli of a saturated star agree about its flux to the first factor, and exceed that of its core by the second.
_WINGS_AGREE, _CORE_DEFICIT = 1.35, 1.2
# It is not much fainter than the brightest star that is not saturated.
_FAINTEST_SATURATED = 0.5
# Of the pixels brighter than half of the peak, those brighter than 95 per cent are 7 per cent in a Gaussian, which is
# the flattest profile of a galaxy, and this share if the Gaussian is cut off at 0.85 of its peak.
_FLAT_TOP = 0.25
_FLAT_TOP_SIGNAL_TO_NOISE = 50
_ZERO_POINT_KEYS = ("MZP_AB", "PHOTZP", "MAGZP", "MAGZPT", "MAGZERO", "ZEROPNT", "PHOT_C")
_DESCRIPTIONS = {
    "ra": "right ascension of the centroid (ICRS)", "dec": "declination of the centroid (ICRS)",
    "x": "column of the centroid in band {band}, the first pixel is 0",
    "y": "row of the centroid in band {band}, the first pixel is 0",
    "magnitude": "Kron magnitude in band {band} (AB)", "magnitude_error": "standard error of magnitude",
    "half_light_radius": "radius of half of the Kron flux in band {band}, with the PSF",
    "semimajor_axis": "square root of the larger second moment in band {band}",
    "semiminor_axis": "square root of the smaller second moment in band {band}",
    "position_angle": "angle of the major axis, counterclockwise from the x axis of the image",
    "signal_to_noise": "Kron flux over its error in band {band}", "extended": "wider than the stars of the field",
    "saturated": "star with a saturated core", "neighbor": "another source nearby, at most 2 mag fainter",
    "edge": "touches the border of the image or a bad pixel",
}
_SATURATION_KEYS = ("SATURATE", "SATLEVEL", "SATURAT", "SATURATA")


class _SourceTable(Table):
    """Table of sources, which still knows the earlier name of a column."""

    def __getitem__(self, item):
        if isinstance(item, str) and item == "neighbour":
            warnings.warn("the column ``neighbour`` is deprecated since 0.2; use ``neighbor``",
                          AstropyDeprecationWarning, stacklevel=2)
            item = "neighbor"
        return super().__getitem__(item)


@deprecated_renamed_argument("neighbour_radius", "neighbor_radius", since="0.2")
@numpy_defaults()
def detect_galaxies(
    image: FrameSet | BandCube | CCDData, band: str = "r", *, threshold: float = 1.5, min_pixels: int = 8,
    kernel_fwhm: float | None = None, max_magnitude: float | None = None, extended_only: bool = False,
    neighbor_radius: Quantity = 10 * u.arcsec,
) -> Table:
    """Detect and measure sources in one band of a field, and classify them as extended sources or stars.

    The background is subtracted, the image smoothed with a Gaussian of the width of the PSF, pixels above the
    threshold are joined to sources and blends are divided (`photutils.segmentation`); magnitudes are those of Kron
    (1980, ApJS 43, 305) with the factor 2.5.

    A source is extended if its half-light radius exceeds that of the stars of the same field. The stars are the
    crowd of sources of nearly one size: the mode of the sizes of all sources with signal-to-noise above 50, and its
    scatter. The limit is the mode plus the largest of 10 per cent, 4 times that scatter, and 3 times the mode over the
    signal-to-noise. In a field with too few stars, half the FWHM of the survey's PSF is used as their size.

    A saturated star is wider than the others, and so ``extended``. It is ``saturated`` if one of its pixels reaches the
    saturation limit of the image (``meta["saturation"]`` in its unit, or ``SATURATE`` and similar keywords of its
    header), if its core is flat, or if it has the wings of a star and a core that is too faint for them: the flux
    ratios between the source and the stars of the field in the outermost three measured annuli, from 2 half-light radii
    outwards, agree to 35 per cent and exceed that of the core by 20 per cent. This applies to sources with
    signal-to-noise above 100.

    Parameters
    ----------
    image : FrameSet, BandCube or `~astropy.nddata.CCDData`
        The field, with a WCS.
    band : str, optional
        The band of the detection.
    threshold : float, optional
        In standard deviations of the background of one pixel, for the smoothed image.
    min_pixels : int, optional
        Least number of joined pixels.
    kernel_fwhm : float, optional
        FWHM of the smoothing kernel in pixels; the default is the survey's PSF, or 3 pixels.
    max_magnitude : float, optional
        Leave out fainter sources.
    extended_only : bool, optional
        Leave out stars, saturated ones too.
    neighbor_radius : `~astropy.units.Quantity`, optional
        Angle within which another source, not more than 2 magnitudes fainter, counts as a neighbor.

    Returns
    -------
    `~astropy.table.Table`
        One row per source, brightest first: ``ra``, ``dec`` (deg), ``x``, ``y`` (pixel of the band's image, from 0),
        ``magnitude`` (AB; of band r for the default), ``magnitude_error``, ``half_light_radius``, ``semimajor_axis``
        and ``semiminor_axis`` (second moments; arcsec), ``position_angle`` (deg from the x axis), ``signal_to_noise``,
        ``extended``, ``saturated``, ``neighbor`` and ``edge`` (bool; the last for sources whose pixels touch the
        border or a bad pixel). Each column has a description. ``meta`` has the size of the stars and their number.

    Examples
    --------
    ``galaxies = detect_galaxies(read_frames(paths), max_magnitude=20.5, extended_only=True)``
    """
    real_number(threshold, "threshold", positive=True)
    whole_number(min_pixels, "min_pixels", 1)
    flag(extended_only, "extended_only")
    text(band, "band")
    if kernel_fwhm is not None:
        real_number(kernel_fwhm, "kernel_fwhm", positive=True)
    if max_magnitude is not None:
        finite_number(max_magnitude, "max_magnitude")
    if not isinstance(neighbor_radius, u.Quantity) or not neighbor_radius.unit.is_equivalent(u.arcsec):
        raise u.UnitTypeError(f"neighbor_radius must be a Quantity with a unit of angle, got {neighbor_radius!r}")
    ccd, survey = _image_of(image, band)
    scale = local_pixel_scale(ccd.wcs, ccd.data.shape).to_value(u.arcsec)
    if kernel_fwhm is not None and kernel_fwhm > max(ccd.data.shape):
        raise ValueError(f"kernel_fwhm must be at most the side of the image, {max(ccd.data.shape)}, got {kernel_fwhm}")
    zero_point = zero_points(ccd.unit, (band,), survey, ccd.meta.get("zero_point"))
    if zero_point is None:
        raise ValueError(
            f"image is in {ccd.unit} without a zero point; give it in meta['zero_point'] or with a survey")
    psf_fwhm = None if survey is None else survey[band].psf_fwhm.to_value(u.arcsec) / scale
    flux, bad, smooth, level = _prepared(ccd, kernel_fwhm or psf_fwhm or 3.0)
    table, segments = _measured(flux, bad, smooth, level, threshold, min_pixels, ccd.uncertainty)
    table["magnitude"] = zero_point[0] - 2.5 * np.log10(table["flux"])
    table["magnitude_error"] = 2.5 / np.log(10) / table["signal_to_noise"]
    _flag_extended(table, psf_fwhm)
    _flag_saturated(table, flux, segments, bad, level, _limit(ccd, zero_point[0]))
    _place(table, ccd.wcs, scale)
    _flag_neighbors(table, neighbor_radius.to_value(u.arcsec) / scale)
    table.sort("magnitude")
    keep = np.ones(len(table), dtype=bool)
    if max_magnitude is not None:
        keep &= table["magnitude"] <= max_magnitude
    if extended_only:
        keep &= table["extended"] & ~table["saturated"]
    table.meta["band"] = band
    table = table[keep][list(_DESCRIPTIONS)]
    for name, description in _DESCRIPTIONS.items():
        table[name].description = description.format(band=band)
    return table


def _image_of(image, band):
    """Return the single-band image, and its survey or None."""
    if isinstance(image, (BandCube, FrameSet)):
        if band not in image.bands:
            raise BandMismatchError(f"image has bands {', '.join(image.bands)}, not {band}")
        ccd, survey = image[band], image.survey
    elif isinstance(image, CCDData):
        ccd, survey = image, image.meta.get("survey")
        survey = None if survey is None else get_survey(survey)
        if image.meta.get("band") not in (None, band):
            raise BandMismatchError(f"band must be that of the image, {image.meta['band']}, got {band}")
        if survey is not None and band not in survey.band_names:
            raise BandMismatchError(f"survey {survey.name} has bands {', '.join(survey.band_names)}, not {band}")
    else:
        raise TypeError(f"image must be a FrameSet, a BandCube or a CCDData, got {type(image).__name__}")
    if ccd.wcs is None:
        raise ValueError("image needs a WCS")
    return ccd, survey


def _prepared(ccd, kernel_fwhm):
    """Return flux without background, bad pixels, the smoothed flux, and the background scatter of each pixel."""
    from photutils.background import Background2D

    flux = ccd.data.astype(float)
    bad = ~np.isfinite(flux) | empty_pixels(flux)
    if ccd.mask is not None:
        bad |= ccd.mask
    if bad.all():
        raise ValueError("image has no good pixel")
    flux[bad] = 0
    box = tuple(max(1, min(128, side // 2)) for side in flux.shape)
    background = Background2D(flux, box, mask=bad, filter_size=3, exclude_percentile=90)
    flux = np.where(bad, 0, flux - background.background)
    return flux, bad, ndimage.gaussian_filter(flux, kernel_fwhm / 2.3548), background.background_rms


def segment_galaxy(image: np.ndarray, sigma: float, pixel_scale: Quantity) -> np.ndarray | None:
    """Return the pixels of the galaxy in the middle of an image, and those of its neighbors.

    Parameters
    ----------
    image : ndarray
        Shape ``(y, x)``, finite, its background subtracted.
    sigma : float
        Noise of a pixel. The edge of a source is where the image, smoothed by a Gaussian with a standard deviation of
        0.4 arcsec, is 1.5 times as bright.
    pixel_scale : `~astropy.units.Quantity`
        Side of a pixel, an angle.

    Returns
    -------
    ndarray of int or None
        Shape of ``image``: 1 for the galaxy, 2 for all other sources, 0 for the sky. None where nothing in the middle
        is bright enough.
    """
    image = floats(image, "image")
    if image.ndim != 2:
        raise ValueError(f"image must have shape (y, x), got {image.shape}")
    real_number(sigma, "sigma", positive=True)
    pixel_scale = angle(pixel_scale, "pixel_scale")
    smooth = ndimage.gaussian_filter(image, (_SMOOTHING / pixel_scale).to_value(u.dimensionless_unscaled))
    labels, _ = ndimage.label(smooth > _ISOPHOTE * sigma)
    own = labels[labels.shape[0] // 2, labels.shape[1] // 2]
    return np.where(labels == own, 1, np.where(labels > 0, 2, 0)) if own else None


def _measured(flux, bad, smooth, scatter, threshold, min_pixels, uncertainty):
    """Return a table of the sources that photutils finds, in pixels and the unit of the image, and the segments.

    Only names and positional arguments that photutils 2 and 3 share are used, but for the radius.
    """
    from photutils.segmentation import SourceCatalog, detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning

    limit = threshold * scatter
    segments = None
    if np.any(smooth > limit) and min_pixels <= smooth.size:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoDetectionsWarning)  # an error follows
            segments = detect_sources(smooth, limit, min_pixels, mask=bad)
    if segments is None:
        raise ValueError("no source is above the threshold")
    segments = deblended(smooth, segments, min_pixels)
    error = scatter
    if uncertainty is not None:
        with np.errstate(all="ignore"):
            error = 1 / np.sqrt(inverse_variance(uncertainty).astype(float))
        error = np.where(np.isfinite(error), error, 0)
    sources = SourceCatalog(flux, segments, convolved_data=smooth, error=error, mask=bad)
    kron, half = sources.kron_flux, (sources.flux_radius if hasattr(type(sources), "flux_radius") else
                                     sources.fluxfrac_radius)(0.5)
    kron_error = sources.kron_flux_err if hasattr(type(sources), "kron_flux_err") else sources.kron_fluxerr
    moments = np.sqrt(np.atleast_2d(u.Quantity(sources.covariance_eigvals).value))
    centroid = np.atleast_2d(sources.centroid)
    table = _SourceTable({
        "x": centroid[:, 0], "y": centroid[:, 1], "flux": np.atleast_1d(kron), "half_light_radius": _plain(half),
        "semimajor_axis": moments.max(axis=1), "semiminor_axis": moments.min(axis=1),
        "position_angle": _plain(sources.orientation),
        "signal_to_noise": np.atleast_1d(kron) / np.atleast_1d(kron_error), "edge": _touches(segments, bad),
        "label": np.atleast_1d(segments.labels),
    })
    good = (table["flux"] > 0) & (table["half_light_radius"] > 0)
    for name in ("x", "y", "signal_to_noise"):
        good &= np.isfinite(table[name])
    return table[good], segments.data


def _plain(values):
    """Return a value or Quantity of one source or many as a plain array."""
    return np.atleast_1d(u.Quantity(values).value)


def _touches(segments, bad):
    """Return whether the pixels of each source touch the border or a bad pixel."""
    near = ndimage.binary_dilation(bad, iterations=2)
    near[[0, -1], :] = near[:, [0, -1]] = True
    touched = np.unique(segments.data[near])
    return np.isin(segments.labels, touched)


def _mode(values):
    """Return the half-sample mode: the densest half of the values, then the densest half of those, and so on."""
    values = np.sort(values)
    while len(values) > 3:
        half = (len(values) + 1) // 2
        start = np.argmin(values[half - 1:] - values[:len(values) - half + 1])
        values = values[start:start + half]
    return values.mean()


def _flag_extended(table, psf_fwhm):
    """Add ``extended``, and the size of the stars to ``meta``."""
    size, snr = np.asarray(table["half_light_radius"]), np.asarray(table["signal_to_noise"])
    good = size[(snr > _STAR_SIGNAL_TO_NOISE) & ~np.asarray(table["edge"])]
    stars = good[:0]
    if len(good) >= _MIN_STARS:
        middle = _mode(good)
        stars = good[np.abs(good - middle) < 0.15 * middle]
    if len(stars) >= _MIN_STARS:
        middle = np.median(stars)
        scatter = mad_std(stars)
    elif psf_fwhm is not None:
        stars, middle, scatter = good[:0], psf_fwhm / 2, 0.025 * psf_fwhm
    else:
        raise ValueError("image has too few stars to measure the size of the PSF, and no survey to take it from")
    margin = np.maximum(max(0.1 * middle, 4 * scatter), 3 * middle / np.maximum(snr, 1e-3))
    table["extended"] = size > middle + margin
    table.meta.update(
        star_half_light_radius_pixels=float(middle), star_scatter_pixels=float(scatter), n_stars=len(stars))


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)


def _limit(ccd, zero_point):
    """Return the flux at which a pixel saturates, from the meta or header of an image; infinite if unknown.

    The header has it in the counts of its file, and the image may be on another zero point.
    """
    limit = ccd.meta.get("saturation")
    if limit is not None:
        return float(limit)
    header = ccd.meta if isinstance(ccd.meta, fits.Header) else ccd.meta.get("header", {})
    level = next((header[key] for key in _SATURATION_KEYS if _is_number(header.get(key)) and header[key] > 0), None)
    if level is None:
        return np.inf
    own = next((header[key] for key in _ZERO_POINT_KEYS if _is_number(header.get(key))), None)
    if own is not None:
        return level * 10 ** (0.4 * (zero_point - own))
    return level if is_counts(ccd.unit) else np.inf


def _flag_saturated(table, flux, segments, bad, scatter, limit):
    """Add ``saturated``: a pixel at the limit, a flat core, or a core too faint for the wings of a star.

    The wings of a saturated star are those of the other stars, times its flux; its core has less. A galaxy is brighter
    than a star at all radii, and the more so the farther out. The surface brightness of an annulus is the median of its
    pixels, which spikes and trails do not move.
    """
    size, n = table.meta["star_half_light_radius_pixels"], len(table)
    table["saturated"] = np.zeros(n, dtype=bool)
    snr = np.asarray(table["signal_to_noise"])
    bright = np.flatnonzero(snr > _STAR_SIGNAL_TO_NOISE)
    profiles = {row: _profile(table[row], flux, segments, bad, scatter, size) for row in bright}
    stars = [row for row in bright if not table["extended"][row] and not table["edge"][row]]
    fluxes = np.asarray(table["flux"])[stars]
    psf = _star_profile([profiles[row] for row in stars], fluxes)
    faintest = _FAINTEST_SATURATED * fluxes.max(initial=0.0)
    for row in bright[snr[bright] > _BRIGHT_SIGNAL_TO_NOISE]:
        table["saturated"][row] = profiles[row].peak >= limit or profiles[row].flat or (
            psf is not None and _cored(profiles[row], psf, faintest))


class _Profile(NamedTuple):
    """Core flux, surface brightness of the annuli and its error, brightest pixel, and whether the top is flat."""

    core: float
    annuli: np.ndarray
    error: np.ndarray
    peak: float
    flat: bool


def _profile(row, flux, segments, bad, scatter, size):
    reach = int(np.ceil(_ANNULI[-1] * size)) + 1
    y0, x0 = (min(max(round(row[axis]), 0), n - 1) for axis, n in zip("yx", flux.shape))
    window = tuple(slice(max(middle - reach, 0), min(middle + reach + 1, n)) for middle, n in zip((y0, x0), flux.shape))
    y, x = np.mgrid[window]
    image, label = flux[window], segments[window]
    own = ~bad[window] & ((label == 0) | (label == row["label"]))
    radius = np.hypot(x - row["x"], y - row["y"]) / size
    annuli, error = np.full((2, len(_ANNULI) - 1), np.nan)
    for k, (inner, outer) in enumerate(zip(_ANNULI, _ANNULI[1:])):
        inside = (radius >= inner) & (radius < outer)
        if np.count_nonzero(inside & own) > 0.5 * np.count_nonzero(inside):
            annuli[k] = np.median(image[inside & own])
            error[k] = 1.2533 * scatter[y0, x0] / np.sqrt(np.count_nonzero(inside & own))
    source = image[(label == row["label"]) & own & (radius < 2 * _ANNULI[0] + _ANNULI[-1])]
    peak = source.max(initial=0.0)
    top, half = np.count_nonzero(source > 0.95 * peak), np.count_nonzero(source > 0.5 * peak)
    flat = top >= 5 and top > _FLAT_TOP * half and peak > _FLAT_TOP_SIGNAL_TO_NOISE * scatter[y0, x0]
    return _Profile(2 * image[own & (radius < 1)].sum(), annuli, error, peak, bool(flat))


def _star_profile(stars, fluxes):
    """Return the median surface brightness in the annuli, and core, of stars of flux 1; None for too few stars."""
    if len(stars) < _MIN_STARS:
        return None
    annuli = np.array([star.annuli for star in stars]) / fluxes[:, np.newaxis]
    error = np.array([star.error for star in stars]) / fluxes[:, np.newaxis]
    brightest = np.argsort(fluxes)[::-1][:30]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # annuli in which no star has enough pixels
        middle = np.nanmedian(annuli[brightest], axis=0)
    error = 1.2533 * np.sqrt(np.nanmean(error[brightest]**2, axis=0) / len(brightest))
    core = np.median(np.array([star.core for star in stars])[brightest] / fluxes[brightest])
    return _Profile(core, middle, error, np.nan, False)


def _cored(source, psf, faintest):
    """Return whether a source has the wings of a star of at least the flux ``faintest``, and less in the core."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = source.annuli / psf.annuli
        known = ((source.annuli > _ANNULUS_SIGNAL_TO_NOISE * source.error)
                 & (psf.annuli > _ANNULUS_SIGNAL_TO_NOISE * psf.error))
    outer = ratio[known][-3:]
    if len(outer) < 2:
        return False
    return (outer.max() < _WINGS_AGREE * outer.min() and np.median(outer) > faintest
            and np.median(outer) > _CORE_DEFICIT * source.core / psf.core)


def _place(table, wcs, scale):
    """Add the positions on the sky and convert lengths to arcsec."""
    sky = wcs.pixel_to_world(np.asarray(table["x"]), np.asarray(table["y"])).icrs
    table["ra"], table["dec"] = Column(sky.ra.deg, unit=u.deg), Column(sky.dec.deg, unit=u.deg)
    for name in ("half_light_radius", "semimajor_axis", "semiminor_axis"):
        table[name] = Column(np.asarray(table[name]) * scale, unit=u.arcsec)
    for name in ("magnitude", "magnitude_error"):
        table[name].unit = u.mag
    table["position_angle"].unit = u.deg
    table["x"].unit = table["y"].unit = u.pix


def _flag_neighbors(table, radius):
    """Add ``neighbor``: another source within ``radius`` pixels that is at most 2 magnitudes fainter."""
    pairs = cKDTree(np.column_stack([table["x"], table["y"]])).query_pairs(radius, output_type="ndarray")
    magnitude, flag = np.asarray(table["magnitude"]), np.zeros(len(table), dtype=bool)
    for one, other in (pairs.T, pairs.T[::-1]):
        flag[one[magnitude[other] < magnitude[one] + 2]] = True
    table["neighbor"] = flag
