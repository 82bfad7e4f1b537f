"""Spectral energy distributions of parts of an image."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans.gradients._flux import effective_wavelengths, flux_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.nddata import CCDData, NDData
    from photutils.aperture import Aperture
    from photutils.segmentation import SegmentationImage
    from specutils import Spectrum

    from astro_galtrans.images import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["sed_spectrum"]


def sed_spectrum(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData],
    aperture: Aperture | SegmentationImage | np.ndarray | Literal["pixel"] | None = None, *,
    label: int | Sequence[int] | None = None, survey: Survey | str | None = None,
) -> Spectrum:
    """Return the spectral energy distribution at the bands' effective wavelengths.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image, ``(band, y, x)``.
    aperture : None, photutils aperture, segmentation map, ndarray or "pixel", optional
        Region of the sum:

        - None: the whole image.
        - A photutils pixel or sky aperture: each pixel weighted by the share inside it. Several positions give one
          spectrum each.
        - A `photutils.segmentation.SegmentationImage` or an array of int, shape ``(y, x)``: the segment ``label``,
          or one spectrum for each of several.
        - An array of bool or float, shape ``(y, x)``: the weight of each pixel.
        - ``"pixel"``: no sum, one spectrum per pixel.
    label : int or sequence of int, optional
        Segments of a segmentation map; default: all but 0, in increasing order.
    survey : Survey or str, optional
        Survey of an image that does not name one.

    Returns
    -------
    `specutils.Spectrum`
        In Jy, with a standard deviation where the noise is known, of shape ``(band,)``, ``(n, band)`` for several
        positions or segments, or ``(y, x, band)``.

        A pixel that is bad in one band is left out of the sum in all bands, so that they cover the same region.
        ``meta["area"]`` is the share of the area that was summed, ``meta["labels"]`` the segments. A region without a
        good pixel is NaN and masked if it is one of several.

        With ``"pixel"``, bad values are NaN and masked, ``spectrum[y, x, :]`` is the spectrum of one pixel, and
        ``spectrum.wcs`` has the wavelengths and the sky. specutils does not slice that WCS;
        ``meta["celestial_wcs"]`` is the WCS of the image.

    Raises
    ------
    ValueError
        If the aperture has no good pixel, or does not fit the image.
    """
    from specutils import Spectrum

    arrays = flux_arrays(image, survey)
    cube = arrays.cube
    wavelength = effective_wavelengths(cube)
    meta = {**cube.meta, "bands": cube.bands, "celestial_wcs": cube.wcs}
    wcs = mask = None
    if isinstance(aperture, str):
        if aperture != "pixel":
            raise ValueError(f"aperture must be None, an aperture, an array or 'pixel', got {aperture!r}")
        flux, sigma, mask = _per_pixel(arrays)
        wcs = None if cube.wcs is None else _compound(wavelength, cube.wcs)
    else:
        labels = _segments(aperture, label, cube.shape[-2:])
        if labels is None:
            flux, sigma, meta["area"] = _of_weights(arrays, _pixel_weights(aperture, cube))
        else:
            meta["labels"] = labels[1]
            flux, sigma, meta["area"] = _of_segments(arrays, *labels)
        if flux.ndim == 2:
            mask = ~np.isfinite(flux)
        elif not np.isfinite(flux).all():
            raise ValueError("aperture holds no pixel that is good in every band")
    uncertainty = None if sigma is None else StdDevUncertainty(sigma * u.Jy)
    return Spectrum(flux=flux * u.Jy, spectral_axis=wavelength, uncertainty=uncertainty, mask=mask, meta=meta,
                    wcs=wcs, spectral_axis_index=flux.ndim - 1)


def _per_pixel(arrays):
    flux = np.moveaxis(np.where(arrays.good, arrays.flux, np.nan), 0, -1)
    sigma = None if arrays.sigma is None else np.moveaxis(np.where(arrays.good, arrays.sigma, np.nan), 0, -1)
    return flux, sigma, ~np.moveaxis(arrays.good, 0, -1)


def _compound(wavelength, celestial):
    """Return the WCS (wavelength table, sky) of a spectrum per pixel; None if specutils is not based on NDCube."""
    from astropy.wcs.wcsapi import HighLevelWCSWrapper
    from specutils import Spectrum

    try:
        from ndcube import NDCube
        from ndcube.wcs.wrappers import CompoundLowLevelWCS
    except ImportError:
        return None
    if not issubclass(Spectrum, NDCube):
        return None
    spectral = Spectrum(flux=np.zeros(len(wavelength)) * u.Jy, spectral_axis=wavelength).wcs
    return HighLevelWCSWrapper(CompoundLowLevelWCS(getattr(spectral, "low_level_wcs", spectral), celestial))


def _segments(aperture, label, shape):
    """Return (map, requested labels) of a segmentation map, None for anything else."""
    from photutils.segmentation import SegmentationImage

    values = aperture.data if isinstance(aperture, SegmentationImage) else aperture
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
        if label is not None:
            raise ValueError(f"label needs a segmentation map as aperture, got {type(aperture).__name__}")
        return None
    values = whole(values, "aperture")
    if values.shape != shape:
        raise ValueError(f"aperture must be a segmentation map of shape {shape}, got {values.shape}")
    known = np.unique(values)
    known = known[known != 0]
    wanted = known if label is None else whole(label, "label")
    missing = np.setdiff1d(wanted, known)
    if wanted.dtype.kind not in "iu" or missing.size or wanted.ndim > 1 or not wanted.size:
        raise ValueError(f"label must be of segments in the map, {known.tolist()}, got {label!r}")
    return values, wanted


def _of_segments(arrays, segments, labels):
    """Return the sums over the good pixels of each segment."""
    known, place = np.unique(segments, return_inverse=True)
    row = np.searchsorted(known, labels)
    place = place.ravel()
    used = arrays.good.all(axis=0).ravel()
    count = np.bincount(place, used, len(known))[row]
    lost = np.where(count > 0, 1.0, np.nan)[..., np.newaxis]

    def total(planes):
        return np.stack([np.bincount(place[used], plane.ravel()[used], len(known))[row] for plane in planes], -1) * lost

    sigma = None if arrays.sigma is None else np.sqrt(total(arrays.sigma**2))
    area = count / np.bincount(place, minlength=len(known))[row]
    return total(arrays.flux), sigma, area if area.ndim else float(area)


def _of_weights(arrays, weights):
    """Return the sums under weights of shape (y, x) or (n, y, x); NaN where no weight is on a good pixel."""
    good = arrays.good.all(axis=0)
    used = weights * good
    area = used.sum(axis=(-2, -1)) / weights.sum(axis=(-2, -1))
    lost = np.where(area > 0, 1.0, np.nan)[..., np.newaxis]
    flux = np.einsum("...yx,byx->...b", used, np.where(good, arrays.flux, 0.0)) * lost
    sigma = None
    if arrays.sigma is not None:
        sigma = np.sqrt(np.einsum("...yx,byx->...b", used**2, np.where(good, arrays.sigma, 0.0)**2)) * lost
    return flux, sigma, area if area.ndim else float(area)


def _pixel_weights(aperture, cube):
    """Return the aperture as weights of shape (y, x), or (n, y, x) for n positions."""
    from photutils.aperture import PixelAperture, SkyAperture

    shape = cube.shape[-2:]
    if aperture is None:
        return np.ones(shape)
    if isinstance(aperture, SkyAperture):
        if cube.wcs is None:
            raise ValueError("aperture on the sky needs a WCS, and the image has none")
        aperture = aperture.to_pixel(cube.wcs)
    if isinstance(aperture, PixelAperture):
        masks = aperture.to_mask(method="exact")
        images = [mask.to_image(shape) for mask in (masks if isinstance(masks, list) else [masks])]
        if any(image is None for image in images):
            raise ValueError(f"aperture at {aperture.positions} does not overlap the image of shape {shape}")
        return np.stack(images) if isinstance(masks, list) else images[0]
    weights = floats(aperture, "aperture", dtype=float, kinds="bf")
    if weights.shape != shape:
        raise ValueError(f"aperture must be an array of shape {shape}, got {weights.shape}")
    if not np.all(np.isfinite(weights)) or weights.min() < 0 or not weights.any():
        raise ValueError("aperture weights must be finite, not negative, and positive somewhere")
    return weights
