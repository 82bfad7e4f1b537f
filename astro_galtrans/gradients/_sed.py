"""Gradients of the softened log flux along x, y and the passbands, with units and uncertainty."""

from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from astropy.nddata import NDData, StdDevUncertainty
from astropy.wcs import WCS, Sip

from astro_galtrans.gradients._flux import effective_wavelengths, flux_arrays, pixel_sides

__all__ = ["SEDGradients", "sed_gradients", "softened_log"]


def softened_log(flux, softening):
    """``asinh(flux / (2 softening))``: the logarithm far above the softening, linear and defined below it.

    Lupton, Gunn & Szalay (1999, AJ 118, 1406), eq. 3, without its constants.
    """
    return np.arcsinh(flux / (2 * softening))


@dataclass(frozen=True)
class SEDGradients:
    """The SED gradients of a multi-band image.

    Attributes
    ----------
    x, y : `~astropy.nddata.NDData`
        Forward differences of ``asinh(f / 2s)`` over the angle between neighbouring pixels, in 1/arcsec, shapes
        ``(band, ny, nx - 1)`` and ``(band, ny - 1, nx)``. Their WCS is that of the image moved by half a pixel.
    passband : `~astropy.nddata.NDData`
        ``d ln f_nu / d ln wavelength`` between neighbouring bands, without unit, shape ``(band - 1, ny, nx)``.
    bands : tuple of str
        Names of the bands.
    wavelength : `~astropy.units.Quantity`
        Their effective wavelengths.
    softening : `~astropy.units.Quantity`
        The ``s`` of each band, in Jy.
    total_flux : `~astropy.units.Quantity`
        Sum over the good pixels of each band, in Jy: the constant that gradients alone leave free.
    pixel_sides : tuple of float
        Angle of one pixel along x and y, in arcsec.
    meta : dict
        The meta of the image.
    """

    x: NDData
    y: NDData
    passband: NDData
    bands: tuple
    wavelength: u.Quantity
    softening: u.Quantity
    total_flux: u.Quantity
    pixel_sides: tuple
    wcs: object = None
    survey: object = None
    meta: dict = field(default_factory=dict, repr=False)


def sed_gradients(image, *, survey=None, softening=None):
    """Gradients of the log flux of an image along x, y and wavelength.

    Along x and y the gradient is the forward difference of ``l = asinh(f / (2 s))`` over the angle between the two
    pixels, with one softening ``s`` a band. Between neighbouring bands it is the difference of the same function of
    the flux density f_nu, over the difference of ln(effective wavelength); both bands are softened there by the
    larger of their two ``s``, so that a source of flat f_nu has a gradient of zero at every flux.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image, ``(band, y, x)``.
    survey : Survey or str, optional
        Where the image does not say it itself. The wavelengths of the bands come from it.
    softening : `~astropy.units.Quantity`, optional
        Scalar or one per band, in a unit of flux density. Default: the median standard deviation of the band's
        good pixels, from the image's uncertainty, else from the survey's sky noise.

    Returns
    -------
    SEDGradients
        An element is masked, and NaN, where either of its two pixels is masked or not finite. Uncertainties are
        propagated to first order for independent pixels: ``sigma_l = sigma_f / sqrt(f^2 + 4 s^2)``. Without an
        uncertainty in the image they follow the survey's sky noise and gain.

    Raises
    ------
    ValueError
        If neither the image nor ``survey`` tells the bands' wavelengths, or a band has no good pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.gradients import sed_gradients
    >>> from astro_galtrans.images import BandCube
    >>> x = 0.396 * np.arange(32)                                 # arcsec
    >>> image = np.broadcast_to(1000 * np.exp(-x / 4), (5, 32, 32))
    >>> g = sed_gradients(BandCube(image, unit="nmgy", wcs=None, bands="ugriz", survey="SDSS"))
    >>> print(f"{g.x.data.mean():.3f} {g.x.unit}, passband {g.passband.data.max():.3f}")
    -0.250 1 / arcsec, passband 0.000
    """
    arrays = flux_arrays(image, survey)
    cube = arrays.cube
    if len(cube.bands) < 1 or min(cube.shape[-2:]) < 2:
        raise ValueError(f"image must have at least 2 x 2 pixels, got shape {cube.shape}")
    wavelength = effective_wavelengths(cube)
    scale = _softening(arrays, softening)
    sides = pixel_sides(cube)
    log_flux, log_variance = _log_and_variance(arrays.flux, arrays.sigma, scale[:, None, None])
    along = [
        _difference(log_flux, log_variance, arrays.good, axis, side, u.arcsec**-1, _shifted(cube.wcs, axis))
        for axis, side in ((2, sides[0]), (1, sides[1]))
    ]
    return SEDGradients(
        *along, _passband(arrays, scale, wavelength, cube.wcs), cube.bands, wavelength, scale * u.Jy,
        np.where(arrays.good, arrays.flux, 0.0).sum(axis=(1, 2)) * u.Jy, sides, cube.wcs, cube.survey, dict(cube.meta),
    )


def _softening(arrays, softening):
    n_bands = len(arrays.cube.bands)
    if softening is not None:
        value = np.broadcast_to(u.Quantity(softening).to_value(u.Jy), (n_bands,)).astype(float)
        if not np.all(np.isfinite(value) & (value > 0)):
            raise ValueError(f"softening must be positive and finite, got {softening!r}")
        return value
    if arrays.sigma is None:
        raise ValueError("the image has neither uncertainty nor survey, so its noise is not known; give softening=")
    empty = [name for name, good in zip(arrays.cube.bands, arrays.good) if not good.any()]
    if empty:
        raise ValueError(f"image has no good pixel in band {', '.join(empty)}")
    if arrays.cube.uncertainty is None:
        bands = [arrays.cube.survey[name] for name in arrays.cube.bands]
        return np.array([band.sky_noise * band.flux_per_unit().to_value(u.Jy) for band in bands])
    return np.array([np.median(sigma[good]) for sigma, good in zip(arrays.sigma, arrays.good)])


def _log_and_variance(flux, sigma, softening):
    log_variance = None if sigma is None else sigma**2 / (flux**2 + 4 * softening**2)
    return softened_log(flux, softening), log_variance


def _ends(array, axis):
    before, after = [slice(None)] * 3, [slice(None)] * 3
    before[axis], after[axis] = slice(None, -1), slice(1, None)
    return array[tuple(before)], array[tuple(after)]


def _difference(log_flux, log_variance, good, axis, step, unit, wcs):
    first, second = _ends(log_flux, axis)
    mask = ~np.logical_and(*_ends(good, axis))
    uncertainty = None if log_variance is None else np.sqrt(np.add(*_ends(log_variance, axis))) / step
    return _nddata((second - first) / step, uncertainty, mask, unit, wcs)


def _passband(arrays, scale, wavelength, wcs):
    step = np.diff(np.log(wavelength.value))[:, None, None]
    shared = np.maximum(scale[:-1], scale[1:])[:, None, None]
    sigma = [None, None] if arrays.sigma is None else _ends(arrays.sigma, 0)
    blue, red = (_log_and_variance(f, s, shared) for f, s in zip(_ends(arrays.flux, 0), sigma))
    uncertainty = None if arrays.sigma is None else np.sqrt(blue[1] + red[1]) / step
    mask = ~np.logical_and(*_ends(arrays.good, 0))
    return _nddata((red[0] - blue[0]) / step, uncertainty, mask, u.dimensionless_unscaled, wcs)


def _nddata(values, uncertainty, mask, unit, wcs):
    values[mask] = np.nan
    if uncertainty is not None:
        uncertainty[mask] = np.nan
        uncertainty = StdDevUncertainty(uncertainty, copy=False)
    return NDData(values, uncertainty=uncertainty, mask=mask, unit=unit, meta={"celestial_wcs": wcs})


def _shifted(wcs, axis):
    """The image's WCS for elements that lie half a pixel further along an array axis; None where it cannot be moved."""
    if not isinstance(wcs, WCS):
        return None
    shifted = wcs.deepcopy()
    offset = np.array([0.5, 0.0] if axis == 2 else [0.0, 0.5])
    shifted.wcs.crpix = shifted.wcs.crpix - offset
    if wcs.sip is not None:
        shifted.sip = Sip(wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp, wcs.sip.crpix - offset)
    return shifted
