"""The log-flux gradients of many galaxies at once, as plain arrays or tensors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, TYPE_CHECKING

import numpy as np

from astro_galtrans._utils.masked import floats, is_tensor
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans.gradients._flux import band_constants
from astro_galtrans.gradients._kernel import GradientArrays, Steps, fill_gradients, tensor_gradients
from astro_galtrans.gradients._radial import arcsec
from astro_galtrans.images import empty_pixels
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["sed_gradient_arrays"]

_BLOCK = 2**17  # elements worked on at a time, so that the buffers stay in a core's cache


@numpy_defaults()
def sed_gradient_arrays(
    flux: Any, survey: Survey | str, *, weight: Any = None, softening: ArrayLike | None = None,
    pixel_scale: float | Quantity | None = None, uncertainty: bool = False, out: GradientArrays | None = None,
    workers: int = 1,
) -> GradientArrays:
    """Log-flux gradients of many galaxies along x, y and the passbands.

    The definitions are those of `sed_gradients`, with the survey's pixel scale along both axes and one softening for
    all galaxies.

    Parameters
    ----------
    flux : ndarray, `~astropy.units.Quantity` or Tensor of shape (galaxy, band, y, x)
        In the survey's unit, its bands in the survey's order. A tensor gives tensors on its device, through which
        autograd works.
    survey : Survey or str
        The survey; ``survey.select("gri")`` for some of its bands.
    weight : ndarray or Tensor, optional
        Inverse variance of the shape of ``flux``; 0, or not finite, where a pixel is bad.
    softening : array_like, optional
        In the survey's unit, one number or one a band; default the survey's sky noise.
    pixel_scale : float or `~astropy.units.Quantity`, optional
        Side of a pixel, a bare number in arcsec; default the survey's.
    uncertainty : bool, optional
        Whether to give standard deviations too: from ``weight``, else from the survey's sky noise and gain.
    out : GradientArrays, optional
        Arrays of an earlier call, of the same shape and type, to be overwritten. New memory takes as long to get as
        the gradients to compute. Not with tensors.
    workers : int, optional
        Threads that share the galaxies. Not with tensors.

    Returns
    -------
    GradientArrays
        Of the floating type of ``flux``. An element is NaN where either of its two pixels is bad, not finite or in an
        area of zeros (`~astro_galtrans.images.empty_pixels`).

    Raises
    ------
    ValueError
        If shapes do not fit together or to the survey, or a softening is not positive.

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
    flux = _plain("flux", flux, survey)
    if flux.ndim != 4 or flux.shape[1] != len(survey) or min(flux.shape[2:]) < 2:
        raise ValueError(f"flux must have shape (galaxy, {len(survey)}, y, x) of at least 2 x 2 pixels for "
                         f"{survey.name}, got {tuple(flux.shape)}")
    if weight is not None:
        if not is_tensor(weight) or not is_tensor(flux):
            weight = floats(weight, "weight", unit=survey.unit**-2, dtype=None if is_tensor(flux) else flux.dtype)
            weight = flux.new_tensor(weight) if is_tensor(flux) else weight
        if tuple(weight.shape) != tuple(flux.shape):
            raise ValueError(f"weight must have the shape of flux, {tuple(flux.shape)}, got {tuple(weight.shape)}")
    steps = _steps(survey, softening, pixel_scale)
    noise = survey.sky_noise**2, 1 / np.array([band.gain for band in survey])
    if not is_tensor(flux):
        return _numpy(flux, weight, noise, steps, uncertainty, out, workers)
    if out is not None or workers != 1:
        raise ValueError("out and workers are for NumPy arrays, not for tensors")
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
    return tensor_gradients(flux, variance, bad if bad.any() else None, steps)


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
    shapes = [(n, n_bands, ny, nx - 1), (n, n_bands, ny - 1, nx), (n, n_bands - 1, ny, nx)] * (2 if uncertainty else 1)
    if out is None:
        out = GradientArrays(*(np.empty(shape, flux.dtype) for shape in shapes))
    else:
        given = [None if one is None else (one.shape, one.dtype) for one in out]
        if given != [(shape, flux.dtype) for shape in shapes] + [None] * (6 - len(shapes)):
            raise ValueError(f"out must hold {len(shapes)} arrays of {flux.dtype} of shapes {shapes[:3]}, got {given}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers!r}")
    size = max(1, _BLOCK // (n_bands * ny * nx))
    sky, electron = (one.astype(flux.dtype)[:, None, None] for one in noise)

    def run(first, last):
        scratch = [np.empty((min(size, max(last - first, 1)), n_bands, ny, nx), flux.dtype) for _ in range(4)]
        for start in range(first, last, size):
            block = slice(start, min(start + size, last))
            buffers = [one[:block.stop - start] for one in scratch]
            bad, variance = _bad_and_variance(
                flux[block], None if weight is None else weight[block], sky, electron,
                buffers.pop() if uncertainty else None)
            parts = GradientArrays(*(None if one is None else one[block] for one in out))
            with np.errstate(invalid="ignore", over="ignore"):  # of pixels that become NaN
                fill_gradients(flux[block], variance, bad, steps, parts, buffers[:3])

    edges = np.linspace(0, n, workers + 1).astype(int)
    if workers == 1:
        run(0, n)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, edges[:-1], edges[1:]))
    return out


def _bad_and_variance(flux, weight, sky, electron, buffer):
    """The bad pixels of a block, None if there are none, and its variance in ``buffer`` unless that is None."""
    good = np.isfinite(flux)
    if not flux.all():
        good &= ~empty_pixels(flux)
    if weight is not None:
        good &= weight > 0
        good &= weight < np.inf
    bad = None if good.all() else ~good
    if buffer is not None and weight is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(1, weight, out=buffer)
    elif buffer is not None:
        np.maximum(flux, 0, out=buffer)
        buffer *= electron
        buffer += sky
    return bad, buffer
