"""From flux to log-flux gradients on plain arrays, in NumPy with buffers that are used again, and on tensors."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from astro_galtrans._utils.reprs import shapes

__all__ = ["GradientArrays", "Steps", "fill_gradients", "tensor_gradients"]


class GradientArrays(NamedTuple):
    """Gradients of the log flux of many galaxies, and their standard deviations where these were asked for.

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
    """What takes flux to gradients.

    Attributes
    ----------
    softening : ndarray of shape (band,)
        In the unit of the flux.
    jansky : ndarray of shape (band,)
        One unit of flux in Jy.
    log_wavelength : ndarray of shape (band,)
        ln of the effective wavelengths.
    sides : tuple of float
        Angle between neighbouring pixels along x and y, in arcsec.
    """

    softening: np.ndarray
    jansky: np.ndarray
    log_wavelength: np.ndarray
    sides: tuple

    def pairs(self):
        """For each two neighbouring bands ``(own, other, shared, rate)``.

        ``own`` is the band of the larger softening, whose log flux serves as it is; ``shared`` softens the ``other``
        alike, and ``rate * (own - other)`` is the gradient.
        """
        softening = self.softening * self.jansky
        for blue in range(len(softening) - 1):
            own, other = (blue, blue + 1) if softening[blue] >= softening[blue + 1] else (blue + 1, blue)
            shared = self.jansky[other] / (2 * softening[own])
            step = self.log_wavelength[own] - self.log_wavelength[other]
            yield own, other, float(shared), float(1 / step)


def fill_gradients(flux, variance, bad, steps, out, scratch):
    """Gradients of a block of galaxies into ``out``.

    Parameters
    ----------
    flux, variance : ndarray of shape (galaxy, band, y, x)
        The variance may be None where ``out`` has no standard deviations.
    bad : ndarray of bool or None
        Pixels whose elements become NaN.
    steps : Steps
        Constants.
    out : GradientArrays
        Arrays of the floating type of ``flux``, which are overwritten.
    scratch : tuple of 3 ndarray
        Of the shape and type of ``flux``, overwritten.
    """
    scaled, log_flux, spare = scratch
    inverse = (0.5 / steps.softening).astype(flux.dtype)[:, None, None]
    np.multiply(flux, inverse, out=scaled)
    np.arcsinh(scaled, out=log_flux)
    if bad is not None:
        np.copyto(log_flux, np.nan, where=bad)
    for (before, after), side, target in zip(_neighbours(log_flux), steps.sides, (out.x, out.y)):
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
    for (before, after), side, target in zip(_neighbours(log_variance), steps.sides, (out.x_sigma, out.y_sigma)):
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
    """``variance * square / (1 + scaled**2)`` into ``out``; ``scaled`` is overwritten."""
    np.multiply(scaled, scaled, out=scaled)
    scaled += 1
    np.divide(variance, scaled, out=out)
    out *= square
    return out


def _neighbours(values):
    """(before, after) along x and along y."""
    return (values[..., :-1], values[..., 1:]), (values[..., :-1, :], values[..., 1:, :])


def tensor_gradients(flux, variance, bad, steps):
    """The same gradients of a tensor of shape ``(galaxy, band, y, x)``, on its device, open to autograd."""
    inverse = flux.new_tensor(0.5 / steps.softening)[:, None, None]
    pairs = list(steps.pairs())
    own, other = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    shared, rate = (flux.new_tensor([pair[i] for pair in pairs])[:, None, None] for i in (2, 3))
    scaled, scaled_other = flux * inverse, flux[:, other] * shared
    log_flux, log_other = scaled.asinh(), scaled_other.asinh()
    if bad is not None:
        log_flux, log_other = log_flux.masked_fill(bad, np.nan), log_other.masked_fill(bad[:, other], np.nan)
    values = [(after - before) / side for (before, after), side in zip(_neighbours(log_flux), steps.sides)]
    values.append((log_flux[:, own] - log_other) * rate)
    if variance is None:
        return GradientArrays(*values)
    log_variance = variance * inverse**2 / (1 + scaled**2)
    other_variance = variance[:, other] * shared**2 / (1 + scaled_other**2)
    if bad is not None:
        log_variance = log_variance.masked_fill(bad, np.nan)
        other_variance = other_variance.masked_fill(bad[:, other], np.nan)
    sigma = [(after + before).sqrt() / side for (before, after), side in zip(_neighbours(log_variance), steps.sides)]
    sigma.append((log_variance[:, own] + other_variance).sqrt() * rate.abs())
    return GradientArrays(*values, *sigma)
