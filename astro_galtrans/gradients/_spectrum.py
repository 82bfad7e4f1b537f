"""The spectral energy distribution of a part of an image as a spectrum."""

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty

from astro_galtrans.gradients._flux import effective_wavelengths, flux_arrays

__all__ = ["sed_spectrum"]


def sed_spectrum(image, aperture=None, *, survey=None):
    """Spectral energy distribution at the bands' effective wavelengths.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image, ``(band, y, x)``.
    aperture : None, photutils aperture, ndarray or "pixel", optional
        None sums the whole image. A photutils pixel or sky aperture counts each pixel by the share inside it, an
        array of shape ``(y, x)`` (bool, or weights) by its value. ``"pixel"`` gives a spectrum for every pixel.
    survey : Survey or str, optional
        Where the image does not say it itself.

    Returns
    -------
    `specutils.Spectrum`
        In Jy with a standard deviation where the noise is known, of shape ``(band,)`` or ``(y, x, band)``. A pixel
        that is bad in one band is left out of the sum in all, since the colours would be those of different
        regions otherwise; ``meta["area"]`` is the share of the aperture's area that was summed. With ``"pixel"``
        bad values are NaN and masked, ``spectrum[y, x, :]`` is one pixel, and ``meta["celestial_wcs"]`` is the
        image's WCS.

    Raises
    ------
    ValueError
        If the aperture has no good pixel, or does not fit the image.
    """
    from specutils import Spectrum

    arrays = flux_arrays(image, survey)
    wavelength = effective_wavelengths(arrays.cube)
    meta = {**arrays.cube.meta, "bands": arrays.cube.bands, "celestial_wcs": arrays.cube.wcs}
    if isinstance(aperture, str):
        if aperture != "pixel":
            raise ValueError(f"aperture must be None, an aperture, an array or 'pixel', got {aperture!r}")
        flux, sigma, mask = _per_pixel(arrays)
        meta["area"] = None
    else:
        flux, sigma, meta["area"] = _summed(arrays, _pixel_weights(aperture, arrays.cube))
        mask = None
    uncertainty = None if sigma is None else StdDevUncertainty(sigma * u.Jy)
    return Spectrum(flux=flux * u.Jy, spectral_axis=wavelength, uncertainty=uncertainty, mask=mask, meta=meta,
                    spectral_axis_index=flux.ndim - 1)


def _per_pixel(arrays):
    flux = np.moveaxis(np.where(arrays.good, arrays.flux, np.nan), 0, -1)
    sigma = None if arrays.sigma is None else np.moveaxis(np.where(arrays.good, arrays.sigma, np.nan), 0, -1)
    return flux, sigma, ~np.moveaxis(arrays.good, 0, -1)


def _summed(arrays, weights):
    used = np.where(arrays.good.all(axis=0), weights, 0.0)
    if not used.any():
        raise ValueError("aperture holds no pixel that is good in every band")
    flux = np.where(used > 0, arrays.flux, 0.0)
    sigma = None
    if arrays.sigma is not None:
        sigma = np.sqrt((used**2 * np.where(used > 0, arrays.sigma, 0.0)**2).sum(axis=(1, 2)))
    return (flux * used).sum(axis=(1, 2)), sigma, float(used.sum() / weights.sum())


def _pixel_weights(aperture, cube):
    """The aperture as weights of shape (y, x)."""
    shape = cube.shape[-2:]
    if aperture is None:
        return np.ones(shape)
    if hasattr(aperture, "to_pixel"):
        if cube.wcs is None:
            raise ValueError("a sky aperture needs a WCS, and the image has none")
        aperture = aperture.to_pixel(cube.wcs)
    if hasattr(aperture, "to_mask"):
        if not aperture.isscalar:
            raise ValueError(f"aperture must be at one position, got {len(aperture)} positions")
        weights = aperture.to_mask(method="exact").to_image(shape)
        if weights is None:
            raise ValueError(f"aperture at {aperture.positions} does not overlap the image of shape {shape}")
        return weights
    weights = np.asarray(aperture)
    if weights.shape != shape or weights.dtype.kind not in "biuf":
        raise ValueError(f"aperture must be an array of shape {shape}, got {weights.dtype} of shape {weights.shape}")
    weights = weights.astype(float)
    if not np.all(np.isfinite(weights)) or weights.min() < 0 or not weights.any():
        raise ValueError("aperture weights must be finite, not negative, and positive somewhere")
    return weights
