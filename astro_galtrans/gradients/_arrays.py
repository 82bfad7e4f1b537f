"""Log-flux gradients of many galaxies at once, as plain arrays or tensors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TYPE_CHECKING

import numpy as np

from astro_galtrans._utils.masked import floats, is_tensor
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.reprs import shapes
from astro_galtrans._utils.validation import flag, whole_number
from astro_galtrans.gradients._flux import arcsec, band_constants
from astro_galtrans.images import empty_pixels
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["GradientArrays", "Steps", "empty_gradients", "fill_gradients", "sed_gradient_arrays"]

# Elements per block, so that the buffers stay in a core's cache.
_BLOCK = 2**17


class GradientArrays(NamedTuple):
    """Gradients of the log flux of many galaxies, and their standard deviations where requested.

    Attributes
    ----------
    x, y : ndarray or Tensor
        In 1/arcsec, shapes ``(galaxy, band, ny, nx - 1)`` and ``(galaxy, band, ny - 1, nx)``.
    passband : ndarray or Tensor
        ``d ln f_nu / d ln wavelength``, shape ``(galaxy, band - 1, ny, nx)``.
    x_sigma, y_sigma, passband_sigma : ndarray, Tensor or None
        Standard deviations, of the same shapes.
    """

    x: object
    y: object
    passband: object
    x_sigma: object = None
    y_sigma: object = None
    passband_sigma: object = None

    def __repr__(self):
        return shapes(self)


@dataclass(frozen=True)
class Steps:
    """Constants that turn flux into gradients; arrays of shape ``(band,)``."""

    softening: np.ndarray
    """In the unit of the flux."""
    jansky: np.ndarray
    """One unit of flux in Jy."""
    log_wavelength: np.ndarray
    """ln of the effective wavelengths."""
    sides: tuple[float, float]
    """Angle between adjacent pixels along x and y, in arcsec."""

    def pairs(self):
        """Yield ``(own, other, shared, rate)`` for each two adjacent bands.

        ``own`` is the band with the larger softening, whose log flux is used as it is; ``shared`` softens the flux of
        the ``other`` band by as much, and ``rate * (own - other)`` is the gradient.
        """
        softening = self.softening * self.jansky
        for blue in range(len(softening) - 1):
            own, other = (blue, blue + 1) if softening[blue] >= softening[blue + 1] else (blue + 1, blue)
            shared = self.jansky[other] / (2 * softening[own])
            step = self.log_wavelength[own] - self.log_wavelength[other]
            yield own, other, float(shared), float(1 / step)


@numpy_defaults()
def sed_gradient_arrays(
    flux: ArrayLike, survey: Survey | str, *, weight: ArrayLike | None = None, softening: ArrayLike | None = None,
    pixel_scale: float | Quantity | None = None, uncertainty: bool = False, out: GradientArrays | None = None,
    workers: int = 1,
) -> GradientArrays:
    """Return the log-flux gradients of many galaxies along x, y and the passbands.

    The definitions are those of `sed_gradients`, with the survey's pixel scale along both axes and one softening for
    all galaxies.

    Parameters
    ----------
    flux : ndarray, `~astropy.units.Quantity` or Tensor of shape (galaxy, band, y, x)
        In the survey's unit, with its bands in the survey's order. A tensor gives tensors on its device and supports
        autograd.
    survey : Survey or str
        Use ``survey.select("gri")`` for some of its bands.
    weight : ndarray or Tensor, optional
        Inverse variance of the shape of ``flux``; 0, or not finite, where a pixel is bad.
    softening : array_like, optional
        In the survey's unit, one number or one per band; default the survey's sky noise.
    pixel_scale : float or `~astropy.units.Quantity`, optional
        Side of a pixel, a bare number in arcsec; default the survey's.
    uncertainty : bool, optional
        Whether to compute standard deviations: from ``weight``, else from the survey's sky noise and gain.
    out : GradientArrays, optional
        Arrays of an earlier call, of the same shape and type, to be overwritten: allocating them takes as long as
        computing the gradients. Not with tensors.
    workers : int, optional
        Number of threads. Not with tensors.

    Returns
    -------
    GradientArrays
        Of the floating type of ``flux``. An element is NaN where either of its two pixels is bad, not finite or in an
        area of zeros (`~astro_galtrans.images.empty_pixels`).

    Raises
    ------
    ValueError
        If shapes do not agree with each other or with the survey, or a softening is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.gradients import sed_gradient_arrays
    >>> x = 0.396 * np.arange(32)
    >>> flux = np.broadcast_to(1000 * np.exp(-x / 4), (3, 5, 32, 32)).astype(np.float32)
    >>> gradients = sed_gradient_arrays(flux, "SDSS")
    >>> gradients.x.shape, gradients.passband.shape
    ((3, 5, 32, 31), (3, 4, 32, 32))
    >>> print(f"{gradients.x.mean():.3f} per arcsec")
    -0.250 per arcsec
    """
    survey = get_survey(survey)
    flag(uncertainty, "uncertainty")
    whole_number(workers, "workers", 1)
    values = _plain("flux", flux, survey)
    if values.ndim != 4 or values.shape[1] != len(survey) or min(values.shape[2:]) < 2:
        raise ValueError(f"flux must have shape (galaxy, {len(survey)}, y, x) of at least 2 x 2 pixels for "
                         f"{survey.name}, got {tuple(values.shape)}")
    weights = None if weight is None else _weights(weight, values, survey)
    steps = _steps(survey, softening, pixel_scale)
    noise = survey.sky_noise**2, 1 / np.array([band.gain for band in survey])
    if not is_tensor(values):
        return _numpy(values, weights, noise, steps, uncertainty, out, workers)
    if out is not None or workers != 1:
        raise ValueError("out and workers are for NumPy arrays, not for tensors")
    return _tensor(values, weights, noise, steps, uncertainty)


def _weights(weight, flux, survey):
    if not is_tensor(weight) or not is_tensor(flux):
        weight = floats(weight, "weight", unit=survey.unit**-2, dtype=None if is_tensor(flux) else flux.dtype)
        weight = flux.new_tensor(weight) if is_tensor(flux) else weight
    if tuple(weight.shape) != tuple(flux.shape):
        raise ValueError(f"weight must have the shape of flux, {tuple(flux.shape)}, got {tuple(weight.shape)}")
    return weight


def _tensor(flux, weight, noise, steps, uncertainty):
    bad = ~flux.isfinite()
    if bool((flux == 0).any()):
        bad = bad | bad.new_tensor(empty_pixels(flux.detach().cpu().numpy()))
    if weight is not None:
        bad = bad | ~((weight > 0) & weight.isfinite())
    variance = None
    if uncertainty and weight is not None:
        variance = 1 / weight
    elif uncertainty:
        sky, electron = (flux.new_tensor(one)[:, None, None] for one in noise)
        variance = sky + flux.clamp(min=0) * electron
    return _tensor_gradients(flux, variance, bad if bad.any() else None, steps)


def _plain(name, values, survey):
    if is_tensor(values):
        if not values.is_floating_point():
            raise TypeError(f"{name} must be a tensor of floating numbers, got {values.dtype}")
        return values
    values = floats(values, name, unit=survey.unit)
    return values if values.dtype != np.float16 else values.astype(np.float32)


def _steps(survey, softening, pixel_scale):
    softening = survey.sky_noise if softening is None else _plain("softening", softening, survey)
    if softening.shape not in ((), (len(survey),)) or not np.all(np.isfinite(softening) & (softening > 0)):
        raise ValueError(f"softening must be positive and finite, one number or {len(survey)}, got {softening!r}")
    scale = float(arcsec("pixel_scale", survey.pixel_scale if pixel_scale is None else pixel_scale))
    if not 0 < scale < np.inf:
        raise ValueError(f"pixel_scale must be positive and finite, got {pixel_scale!r}")
    wavelength, jansky = band_constants(survey.bands)
    softening = np.broadcast_to(softening, len(survey)).astype(float)
    return Steps(softening, jansky, np.log(wavelength), (scale, scale))


def _numpy(flux, weight, noise, steps, uncertainty, out, workers):
    n, n_bands, ny, nx = flux.shape
    if out is None:
        out = empty_gradients(flux.shape, flux.dtype, uncertainty)
    else:
        _check_out(out, flux, uncertainty)
    size = max(1, _BLOCK // (n_bands * ny * nx))
    noise = [one.astype(flux.dtype)[:, None, None] for one in noise]

    def run(first, last):
        scratch = [np.empty((min(size, max(last - first, 1)), n_bands, ny, nx), flux.dtype) for _ in range(4)]
        for start in range(first, last, size):
            block = slice(start, min(start + size, last))
            *buffers, variance = (one[:block.stop - start] for one in scratch)
            some_weight = None if weight is None else weight[block]
            bad = _bad_pixels(flux[block], some_weight)
            if uncertainty:
                _fill_variance(flux[block], some_weight, noise, variance)
            parts = GradientArrays(*(None if one is None else one[block] for one in out))
            fill_gradients(flux[block], variance, bad, steps, parts, buffers)

    workers = max(1, min(workers, n))
    edges = np.linspace(0, n, workers + 1).astype(int)
    if workers == 1:
        run(0, n)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, edges[:-1], edges[1:]))
    return out


def empty_gradients(shape, dtype, uncertainty):
    """Return uninitialized `GradientArrays` for flux of shape ``(galaxy, band, y, x)``."""
    n, n_bands, ny, nx = shape
    three = [(n, n_bands, ny, nx - 1), (n, n_bands, ny - 1, nx), (n, n_bands - 1, ny, nx)]
    return GradientArrays(*(np.empty(one, dtype) for one in three * (2 if uncertainty else 1)))


def _check_out(out, flux, uncertainty):
    wanted = [(one.shape, one.dtype) for one in empty_gradients(flux.shape, flux.dtype, uncertainty) if one is not None]
    given = [(one.shape, one.dtype) for one in out if one is not None]
    if given != wanted:
        raise ValueError(f"out must hold {len(wanted)} arrays of {flux.dtype} of shapes "
                         f"{[shape for shape, _ in wanted[:3]]}, got {given}")


def _bad_pixels(flux, weight):
    """Return the mask of bad pixels, None if there are none."""
    good = np.isfinite(flux)
    if not flux.all():
        good &= ~empty_pixels(flux)
    if weight is not None:
        good &= weight > 0
        good &= weight < np.inf
    return None if good.all() else ~good


def _fill_variance(flux, weight, noise, out):
    if weight is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(1, weight, out=out)
        return
    sky, electron = noise
    np.maximum(flux, 0, out=out)
    out *= electron
    out += sky


@np.errstate(invalid="ignore", over="ignore")  # of pixels that become NaN
def fill_gradients(flux, variance, bad, steps, out, scratch):
    """Compute the gradients of a block of galaxies into the `GradientArrays` ``out``.

    Elements of ``bad`` pixels, None if there are none, become NaN. The variance is not read where ``out`` has no
    standard deviations. The three arrays of ``scratch``, of the shape and type of ``flux``, are overwritten.
    """
    scaled, log_flux, spare = scratch
    inverse = (0.5 / steps.softening).astype(flux.dtype)[:, None, None]
    np.multiply(flux, inverse, out=scaled)
    np.arcsinh(scaled, out=log_flux)
    if bad is not None:
        np.copyto(log_flux, np.nan, where=bad)
    for (before, after), side, target in zip(_adjacent(log_flux), steps.sides, (out.x, out.y)):
        np.subtract(after, before, out=target)
        target *= 1 / side
    for pair, (own, other, shared, rate) in enumerate(steps.pairs()):
        target = out.passband[:, pair]
        np.multiply(flux[:, other], shared, out=target)
        np.arcsinh(target, out=target)
        np.subtract(log_flux[:, own], target, out=target)
        target *= rate
        if bad is not None:
            np.copyto(target, np.nan, where=bad[:, other])
    if out.x_sigma is None:
        return
    log_variance = _log_variance(scaled, variance, inverse**2, log_flux)
    if bad is not None:
        np.copyto(log_variance, np.nan, where=bad)
    for (before, after), side, target in zip(_adjacent(log_variance), steps.sides, (out.x_sigma, out.y_sigma)):
        np.add(after, before, out=target)
        np.sqrt(target, out=target)
        target *= 1 / side
    for pair, (own, other, shared, rate) in enumerate(steps.pairs()):
        target = out.passband_sigma[:, pair]
        np.multiply(flux[:, other], shared, out=spare[:, 0])
        _log_variance(spare[:, 0], variance[:, other], shared**2, target)
        target += log_variance[:, own]
        np.sqrt(target, out=target)
        target *= abs(rate)
        if bad is not None:
            np.copyto(target, np.nan, where=bad[:, other])


def _log_variance(scaled, variance, square, out):
    """Compute ``variance * square / (1 + scaled**2)`` into ``out``; ``scaled`` is overwritten."""
    np.multiply(scaled, scaled, out=scaled)
    scaled += 1
    np.divide(variance, scaled, out=out)
    out *= square
    return out


def _adjacent(values):
    """Return the two elements of each difference, along x and along y."""
    return (values[..., :-1], values[..., 1:]), (values[..., :-1, :], values[..., 1:, :])


def _tensor_gradients(flux, variance, bad, steps):
    """Return the gradients of a tensor of shape ``(galaxy, band, y, x)``, on its device, for autograd."""
    inverse = flux.new_tensor(0.5 / steps.softening)[:, None, None]
    pairs = list(steps.pairs())
    own, other = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    shared, rate = (flux.new_tensor([pair[i] for pair in pairs])[:, None, None] for i in (2, 3))
    scaled, scaled_other = flux * inverse, flux[:, other] * shared
    log_flux, log_other = scaled.asinh(), scaled_other.asinh()
    if bad is not None:
        log_flux, log_other = log_flux.masked_fill(bad, np.nan), log_other.masked_fill(bad[:, other], np.nan)
    values = [(after - before) / side for (before, after), side in zip(_adjacent(log_flux), steps.sides)]
    values.append((log_flux[:, own] - log_other) * rate)
    if variance is None:
        return GradientArrays(*values)
    log_variance = variance * inverse**2 / (1 + scaled**2)
    other_variance = variance[:, other] * shared**2 / (1 + scaled_other**2)
    if bad is not None:
        log_variance = log_variance.masked_fill(bad, np.nan)
        other_variance = other_variance.masked_fill(bad[:, other], np.nan)
    sigma = [(after + before).sqrt() / side for (before, after), side in zip(_adjacent(log_variance), steps.sides)]
    sigma.append((log_variance[:, own] + other_variance).sqrt() * rate.abs())
    return GradientArrays(*values, *sigma)
