"""Gradients of the softened log flux along x, y and the passbands, with units and uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import NDData, StdDevUncertainty
from astropy.wcs import WCS, Sip

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans.gradients._flux import band_constants, effective_wavelengths, flux_arrays, pixel_sides
from astro_galtrans.gradients._kernel import GradientArrays, Steps, fill_gradients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.nddata import CCDData
    from astropy.units import Quantity
    from matplotlib.figure import Figure

    from astro_galtrans.images import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["SEDGradients", "sed_gradients", "softened_log"]


def softened_log(flux, softening):
    """``asinh(flux / (2 softening))``: the logarithm far above the softening, linear and defined below it.

    Lupton, Gunn & Szalay (1999, AJ 118, 1406), eq. 3, without its constants.
    """
    return np.arcsinh(flux / (2 * softening))


@dataclass(frozen=True, repr=False)
class SEDGradients:
    """The SED gradients of a multi-band image.

    Attributes
    ----------
    x, y : `~astropy.nddata.NDData`
        Forward differences of ``asinh(f / 2s)`` over the angle between neighbouring pixels, in 1/arcsec, shapes
        ``(band, ny, nx - 1)`` and ``(band, ny - 1, nx)``. Their ``wcs``, of the last two axes as that of a BandCube,
        is the image's moved by half a pixel.
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
    wcs : `~astropy.wcs.WCS` or None
        WCS of the image.
    survey : Survey or None
        Survey of the image.
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
    wcs: WCS | None = None
    survey: Survey | None = None
    meta: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        ny, nx = self.passband.data.shape[-2:]
        survey = "" if self.survey is None else f", survey {self.survey.name}"
        return f"<SEDGradients {','.join(self.bands)} {ny} x {nx} pixels{survey}>"

    def plot(self, band: str | None = None) -> Figure:
        """The gradients along x and y of one band and to the next redder band, on WCS axes.

        Parameters
        ----------
        band : str, optional
            Default the one in the middle.

        Returns
        -------
        `matplotlib.figure.Figure`

        Raises
        ------
        ImportError
            Without matplotlib, which is in ``astro_galtrans[report]``.
        """
        from astro_galtrans.gradients._panels import plot_elements

        return plot_elements(self, band)


@numpy_defaults()
def sed_gradients(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], *, survey: Survey | str | None = None,
    softening: Quantity | None = None,
) -> SEDGradients:
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
    if min(cube.shape[-2:]) < 2:
        raise ValueError(f"image must have at least 2 x 2 pixels, got shape {cube.shape}")
    wavelength = effective_wavelengths(cube)
    scale = _softening(arrays, softening)
    sides = pixel_sides(cube)
    values = _gradients(arrays, Steps(scale, np.ones(len(scale)), np.log(wavelength.value), sides))
    bad = None if arrays.good.all() else ~arrays.good
    per_arcsec = u.arcsec**-1
    return SEDGradients(
        _element(values.x, values.x_sigma, _either(bad, 2), per_arcsec, _shifted(cube.wcs, 2)),
        _element(values.y, values.y_sigma, _either(bad, 1), per_arcsec, _shifted(cube.wcs, 1)),
        _element(values.passband, values.passband_sigma, _either(bad, 0), u.dimensionless_unscaled, cube.wcs),
        cube.bands, wavelength, scale * u.Jy, _total(arrays) * u.Jy, sides, cube.wcs, cube.survey, dict(cube.meta),
    )


def _gradients(arrays, steps):
    """The kernel's gradients of one image; NaN pixels give NaN elements."""
    flux = arrays.flux[np.newaxis]
    variance = None if arrays.sigma is None else np.square(arrays.sigma)[np.newaxis]
    n_bands, ny, nx = arrays.flux.shape
    shapes = [(1, n_bands, ny, nx - 1), (1, n_bands, ny - 1, nx), (1, n_bands - 1, ny, nx)]
    out = GradientArrays(*(np.empty(shape) for shape in shapes * (1 if variance is None else 2)))
    bad = None if arrays.good.all() else ~arrays.good[np.newaxis]
    with np.errstate(invalid="ignore", over="ignore"):  # of bad pixels, which become NaN
        fill_gradients(flux, variance, bad, steps, out, [np.empty_like(flux) for _ in range(3)])
    return out


def _total(arrays):
    return np.sum(arrays.flux, axis=(1, 2), where=arrays.good)


def _softening(arrays, softening):
    n_bands = len(arrays.cube.bands)
    if softening is not None:
        value = np.broadcast_to(floats(softening, "softening", unit=u.Jy), (n_bands,)).astype(float)
        if not np.all(np.isfinite(value) & (value > 0)):
            raise ValueError(f"softening must be positive and finite, got {softening!r}")
        return value
    if arrays.sigma is None:
        raise ValueError("the image has neither uncertainty nor survey, so its noise is not known; give softening=")
    empty = [name for name, good in zip(arrays.cube.bands, arrays.good) if not good.any()]
    if empty:
        raise ValueError(f"image has no good pixel in band {', '.join(empty)}")
    if arrays.cube.uncertainty is None:
        survey = arrays.cube.survey
        return survey.sky_noise * band_constants(survey.bands)[1]
    if arrays.good.all():
        return np.median(arrays.sigma.reshape(n_bands, -1), axis=1)
    return np.array([np.median(sigma[good]) for sigma, good in zip(arrays.sigma, arrays.good)])


def _either(bad, axis):
    """Where one of two neighbours along an axis of (band, y, x) is bad."""
    if bad is None:
        return None
    before, after = [slice(None)] * 3, [slice(None)] * 3
    before[axis], after[axis] = slice(None, -1), slice(1, None)
    return bad[tuple(before)] | bad[tuple(after)]


def _element(values, sigma, mask, unit, wcs):
    values = values[0]
    uncertainty = None if sigma is None else StdDevUncertainty(sigma[0], copy=False)
    mask = np.zeros(values.shape, dtype=bool) if mask is None else mask
    return NDData(values, uncertainty=uncertainty, mask=mask, unit=unit, wcs=wcs, meta={"celestial_wcs": wcs})


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
