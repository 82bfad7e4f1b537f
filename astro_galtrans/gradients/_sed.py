"""Gradients of the softened log flux along x, y and the passbands, and back to an image."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import NDData, StdDevUncertainty
from astropy.wcs import WCS
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.validation import positive_quantity
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.wcs import shifted_wcs
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.gradients._arrays import Steps, empty_gradients, fill_gradients
from astro_galtrans.gradients._flux import band_constants, effective_wavelengths, flux_arrays, pixel_sides
from astro_galtrans.images import BandCube

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.nddata import CCDData
    from astropy.units import Quantity, UnitBase
    from matplotlib.figure import Figure

    from astro_galtrans.surveys import Survey

__all__ = ["SEDGradients", "integrate_gradients", "sed_gradients"]


@dataclass(frozen=True, repr=False)
class SEDGradients:
    """The SED gradients of a multi-band image.

    Attributes
    ----------
    x, y : `~astropy.nddata.NDData`
        Forward differences of ``asinh(f / 2s)`` over the angle between adjacent pixels, in 1/arcsec, shapes
        ``(band, ny, nx - 1)`` and ``(band, ny - 1, nx)``. Their ``wcs`` is that of the image, moved by half a pixel.
    passband : `~astropy.nddata.NDData`
        ``d ln f_nu / d ln wavelength`` between adjacent bands, dimensionless, shape ``(band - 1, ny, nx)``.
    bands : tuple of str
        Names of the bands.
    wavelength : `~astropy.units.Quantity`
        Their effective wavelengths.
    softening : `~astropy.units.Quantity`
        Softening ``s`` of each band, in Jy.
    total_flux : `~astropy.units.Quantity`
        Sum over the good pixels of each band, in Jy: the constant that the gradients do not determine.
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
    bands: tuple[str, ...]
    wavelength: u.Quantity
    softening: u.Quantity
    total_flux: u.Quantity
    pixel_sides: tuple[float, float]
    wcs: WCS | None = None
    survey: Survey | None = None
    meta: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        ny, nx = self.passband.data.shape[-2:]
        survey = "" if self.survey is None else f", survey {self.survey.name}"
        return f"<SEDGradients {','.join(self.bands)} {ny} x {nx} pixels{survey}>"

    def plot(self, band: str | None = None) -> Figure:
        """Draw the gradients along x and y of one band and to the next redder band, on WCS axes.

        Parameters
        ----------
        band : str, optional
            Default: the band in the middle.

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
    """Return the gradients of the log flux of an image along x, y and wavelength.

    Along x and y the gradient is the forward difference of ``l = asinh(f / (2 s))`` over the angle between the two
    pixels, with one softening ``s`` per band (Lupton, Gunn & Szalay 1999, AJ 118, 1406, eq. 3, without its constants).
    Between adjacent bands it is the difference of the same function of the flux density f_nu, over the difference of
    ln(effective wavelength); both bands are softened there by the larger of their two ``s``, so that a source of flat
    f_nu has a gradient of zero at every flux.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image, ``(band, y, x)``.
    survey : Survey or str, optional
        Survey of an image that does not name one. It gives the wavelengths of the bands.
    softening : `~astropy.units.Quantity`, optional
        Scalar or one per band, in a unit of flux density. Default: the median standard deviation of the band's
        good pixels, from the image's uncertainty, else from the survey's sky noise.

    Returns
    -------
    SEDGradients
        An element is masked and NaN where either of its two pixels is masked or not finite. Uncertainties are
        propagated to first order for independent pixels: ``sigma_l = sigma_f / sqrt(f^2 + 4 s^2)``. For an image
        without uncertainty they follow from the survey's sky noise and gain.

    Raises
    ------
    ValueError
        If neither the image nor ``survey`` gives the bands' wavelengths, or a band has no good pixel.

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
    total = np.sum(arrays.flux, axis=(1, 2), where=arrays.good)
    return SEDGradients(
        _element(values.x, values.x_sigma, _either(bad, 2), per_arcsec, _shifted(cube.wcs, 2)),
        _element(values.y, values.y_sigma, _either(bad, 1), per_arcsec, _shifted(cube.wcs, 1)),
        _element(values.passband, values.passband_sigma, _either(bad, 0), u.dimensionless_unscaled, cube.wcs),
        cube.bands, wavelength, scale * u.Jy, total * u.Jy, sides, cube.wcs, cube.survey, dict(cube.meta),
    )


def _gradients(arrays, steps):
    flux = arrays.flux[np.newaxis]
    variance = None if arrays.sigma is None else np.square(arrays.sigma)[np.newaxis]
    out = empty_gradients(flux.shape, float, variance is not None)
    bad = None if arrays.good.all() else ~arrays.good[np.newaxis]
    fill_gradients(flux, variance, bad, steps, out, [np.empty_like(flux) for _ in range(3)])
    return out


def _softening(arrays, softening):
    n_bands = len(arrays.cube.bands)
    if softening is not None:
        value = np.broadcast_to(floats(softening, "softening", unit=u.Jy), (n_bands,)).astype(float)
        if not np.all(np.isfinite(value) & (value > 0)):
            raise ValueError(f"softening must be positive and finite, got {softening!r}")
        return value
    if arrays.sigma is None:
        raise ValueError("image has neither uncertainty nor survey, so its noise is not known; give softening=")
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
    """Return where one of the two pixels of an element along an axis of (band, y, x) is bad."""
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
    """Return the WCS of elements half a pixel further along an array axis; None without a WCS."""
    return shifted_wcs(wcs, *((0.5, 0.0) if axis == 2 else (0.0, 0.5)))


def integrate_gradients(
    gradients: SEDGradients, *, anchor: str | None = None, total_flux: Quantity | None = None,
    unit: UnitBase | str = u.Jy,
) -> BandCube:
    """Return the image whose SED gradients are nearest to the given ones.

    Gradients along x and y determine the softened log flux of each band up to a constant (a Poisson equation, solved by
    sparse least squares with equal weights). The constant of one band, the anchor, comes from its total flux; that
    of each other band comes from the passband gradients, by least squares from band to band.

    Parameters
    ----------
    gradients : SEDGradients
        As `sed_gradients` returns, possibly changed.
    anchor : str, optional
        Band whose total flux is known; default the one of highest flux over softening.
    total_flux : `~astropy.units.Quantity`, optional
        Sum of the anchor's good pixels; default that of ``gradients.total_flux``.
    unit : `~astropy.units.Unit` or str, optional
        Unit of the image, as ``"nmgy"``.

    Returns
    -------
    BandCube
        Without uncertainty. Pixels that no gradient connects to the others are masked and NaN; a warning gives the
        number of those that have gradients. The gradients of an image give it back to a relative 1e-6, or to the
        rounding of float32 images converted to Jy.

    Raises
    ------
    ValueError
        If no gradient of the anchor band is finite, or the bands are not connected by any passband gradient.
    """
    if not isinstance(gradients, SEDGradients):
        raise TypeError(f"gradients must be SEDGradients, got {type(gradients).__name__}")
    bands = gradients.bands
    index = _anchor_index(gradients, anchor)
    softening = gradients.softening.to_value(u.Jy)
    step = np.diff(np.log(gradients.wavelength.value))
    relative = [_integrate_band(gradients, band) for band in range(len(bands))]
    total = gradients.total_flux[index] if total_flux is None else positive_quantity(total_flux, "total_flux", u.Jy)
    flux = np.full(np.shape(relative), np.nan)
    flux[index] = _anchored(relative[index], softening[index], total.to_value(u.Jy))
    for this, known, pair, sign in _order(index, len(bands)):
        shared = max(softening[this], softening[known])
        slope = np.where(_finite(gradients.passband, pair), gradients.passband.data[pair], np.nan)
        wanted = _softened_log(flux[known], shared) + sign * slope * step[pair]
        flux[this] = _joined(relative[this], softening[this], wanted, shared, bands[this])
    mask = ~np.isfinite(flux)
    image = BandCube(flux, unit=u.Jy, wcs=gradients.wcs, bands=bands, survey=gradients.survey,
                     mask=mask if mask.any() else None, meta=dict(gradients.meta))
    return image.to_unit(unit)


def _softened_log(flux, softening):
    return np.arcsinh(flux / (2 * softening))


def _anchor_index(gradients, anchor):
    if anchor is None:
        return int(np.argmax((gradients.total_flux / gradients.softening).value))
    if anchor not in gradients.bands:
        raise ValueError(f"anchor must be one of {', '.join(gradients.bands)}, got {anchor!r}")
    return gradients.bands.index(anchor)


def _order(index, n_bands):
    """Yield (band, adjacent band already known, passband element, sign) from the anchor outward."""
    yield from ((band, band - 1, band - 1, 1) for band in range(index + 1, n_bands))
    yield from ((band, band + 1, band, -1) for band in range(index - 1, -1, -1))


def _finite(element, band):
    good = np.isfinite(element.data[band])
    return good if element.mask is None else good & ~element.mask[band]


def _integrate_band(gradients, band):
    """Return the softened log flux of a band, with mean 0 over its largest connected part and NaN elsewhere."""
    along_x, along_y = _finite(gradients.x, band), _finite(gradients.y, band)
    ny, nx = along_y.shape[0] + 1, along_x.shape[1] + 1
    number = np.arange(ny * nx).reshape(ny, nx)
    first = np.concatenate([number[:, :-1][along_x], number[:-1][along_y]])
    second = np.concatenate([number[:, 1:][along_x], number[1:][along_y]])
    values = np.concatenate([gradients.x.data[band][along_x] * gradients.pixel_sides[0],
                             gradients.y.data[band][along_y] * gradients.pixel_sides[1]])
    if not len(values):
        raise ValueError(f"band {gradients.bands[band]} has no finite gradient along x or y")
    kept = _largest_part(first, second, ny * nx, gradients.bands[band])
    inside = kept[first]
    order = np.cumsum(kept) - 1
    n, m = int(kept.sum()), int(inside.sum())
    rows = np.arange(m)
    difference = sparse.csc_matrix(
        (np.repeat([-1.0, 1.0], m), (np.tile(rows, 2), np.concatenate([order[first[inside]], order[second[inside]]]))),
        shape=(m, n))
    normal = (difference.T @ difference).tolil()
    normal[0, 0] += 1.0  # fix the free constant; the residual does not depend on it
    solution = splu(normal.tocsc()).solve(difference.T @ values[inside])
    out = np.full(ny * nx, np.nan)
    out[kept] = solution - solution.mean()
    return out.reshape(ny, nx)


def _largest_part(first, second, n, band):
    graph = sparse.coo_matrix((np.ones(len(first)), (first, second)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    size = np.bincount(label)
    touched = np.zeros(n, dtype=bool)
    touched[first] = touched[second] = True
    kept = label == np.argmax(size)
    lost = int((touched & ~kept).sum())
    if lost:
        warnings.warn(f"band {band}: {lost} pixels are cut off from the others by masked pixels and stay masked",
                      GaltransWarning, stacklevel=4)
    return kept


def _anchored(relative, softening, total):
    """Return the flux 2 s sinh(l + c), with the constant c that makes its sum the total."""
    good = np.isfinite(relative)
    rising = (2 * softening * np.exp(relative[good])).sum()
    falling = (2 * softening * np.exp(-relative[good])).sum()
    root = np.sqrt(total**2 + rising * falling)
    # The two forms are equal; each is free of cancellation for one sign of the total.
    constant = np.log((total + root) / rising if total > 0 else falling / (root - total))
    return 2 * softening * np.sinh(relative + constant)


def _joined(relative, softening, wanted, shared, band):
    """Return the flux of a band whose log flux, under the shared softening, is nearest to ``wanted``."""
    good = np.isfinite(relative) & np.isfinite(wanted)
    if not good.any():
        raise ValueError(f"band {band} is not connected to the next band by any finite passband gradient")
    guess = _softened_log(2 * shared * np.sinh(wanted[good]), softening) - relative[good]
    constant = np.median(guess)
    for _ in range(50):
        inner = relative[good] + constant
        flux = 2 * softening * np.sinh(inner)
        residual = wanted[good] - _softened_log(flux, shared)
        slope = 2 * softening * np.cosh(inner) / np.sqrt(flux**2 + 4 * shared**2)
        change = (slope * residual).sum() / (slope**2).sum()
        constant += np.clip(change, -1.0, 1.0)
        if abs(change) < 1e-13:
            break
    return 2 * softening * np.sinh(relative + constant)
