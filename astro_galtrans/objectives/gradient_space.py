"""Residuals of log-flux gradients along x, y and passband at several scales."""

from typing import NamedTuple

import torch
from torch.nn import functional

from astro_galtrans._utils.reprs import shapes

__all__ = ["ELEMENTS", "GradientResiduals", "gradient_residuals", "n_elements", "n_scales_of", "pool_scales"]

# Elements of the vector of a pixel; all but the first are for comparison.
ELEMENTS = ("gradients", "spatial", "passband", "log flux")


class GradientResiduals(NamedTuple):
    """Residuals of the gradient vector of each pixel at one scale."""

    residual: torch.Tensor
    """Target minus prediction, shape ``(galaxy, n_elements, h, w)``: x, y and passband gradients, or some of them."""
    log_noise: torch.Tensor
    """Log of the noise of each element from the sky alone, same shape, without autograd."""
    log_flux: torch.Tensor
    """Softened log flux of the prediction at the pixel, without autograd, shape ``(galaxy, band, h, w)``."""
    maps: torch.Tensor
    """Feature maps at the pixel, shape ``(galaxy, n_features, h, w)``."""
    valid: torch.Tensor
    """Whether the whole vector is valid, bool of shape ``(galaxy, h, w)``, or None if all are."""

    def __repr__(self):
        return shapes(self)


def n_elements(elements, n_bands):
    """Return the length of the vector of a pixel for a name from `ELEMENTS`."""
    if elements not in ELEMENTS:
        raise ValueError(f"elements must be one of {', '.join(ELEMENTS)}, got {elements!r}")
    return dict(zip(ELEMENTS, (3 * n_bands - 1, 2 * n_bands, n_bands - 1, n_bands)))[elements]


def n_scales_of(size):
    """Return the number of scales 1, 2, 4, ... with at least 2 pooled pixels a side, for images of ``size`` (Y, X)."""
    return max(min(size).bit_length() - 1, 0)


def pool_scales(target, prediction_flux, maps, valid, n_scales, generator=None):
    """Yield flux, features and validity averaged over 1, 2, 4, ... pixels a side.

    An odd side loses one row or column before it is halved, on a side drawn by the generator.

    Parameters
    ----------
    target, prediction_flux : torch.Tensor
        Shape ``(galaxy, band, Y, X)``.
    maps : torch.Tensor
        Shape ``(galaxy, n_features, Y, X)``.
    valid : torch.Tensor of bool or None
        Shape of ``target``. Invalid pixels take the prediction in both images, without autograd, so they have no
        residual and no gradient.
    n_scales : int
        Number of scales.
    generator : torch.Generator, optional
        Of the side that is cut; without it the last row or column is.

    Yields
    ------
    scale : int
    target, prediction_flux, maps : torch.Tensor
    share : torch.Tensor or None
        Share of valid pixels.
    """
    share = None
    if valid is not None:
        # Detached, since a masked pixel is still part of the coarser pixels around it.
        fixed = prediction_flux.detach()
        target, prediction_flux = torch.where(valid, target, fixed), torch.where(valid, prediction_flux, fixed)
        share = valid.to(target.dtype)
    tensors = [target, prediction_flux, maps, share]
    for level in range(n_scales):
        if level:
            height, width = tensors[0].shape[-2:]
            cut = torch.randint(2, (2,), generator=generator).tolist() if generator is not None else (0, 0)
            y, x = cut[0] * (height % 2), cut[1] * (width % 2)
            tensors = [
                None if t is None else functional.avg_pool2d(t[..., y:y + height // 2 * 2, x:x + width // 2 * 2], 2)
                for t in tensors
            ]
        yield 2**level, *tensors


def _log_flux_residual(target, prediction_flux, noise, scale):
    """Residual of the softened log flux, its variance from the sky alone, and the log flux, the last two detached."""
    softening = 2 * noise / scale
    scaled = prediction_flux / softening
    log_flux = torch.asinh(scaled)
    with torch.no_grad():
        # d asinh(f / 2s) = df / (2s sqrt(1 + (f / 2s)^2)), so that the noise is half the inverse square root.
        variance = 0.25 / (1 + scaled.square())
    return torch.asinh(target / softening) - log_flux, variance, log_flux.detach()


def gradient_residuals(target, prediction_flux, maps, share, noise, scale, phase=None, elements="gradients"):
    """Return the residuals of the log-flux gradients of images averaged over ``scale`` pixels a side.

    The softened log flux is asinh(f / 2s) (Lupton, Gunn & Szalay 1999) with s the noise at that scale.

    Parameters
    ----------
    target, prediction_flux, maps, share : torch.Tensor
        As of `pool_scales`.
    noise : torch.Tensor
        Sky noise of one target pixel, shape ``(band, 1, 1)``.
    scale : int
        Averaged pixels a side.
    phase : tuple of int, optional
        Row and column, 0 or 1, of a lattice of every second pixel to which the vectors are restricted.
    elements : str, optional
        Elements of the vector of a pixel: ``"gradients"`` along x, y and passband; ``"spatial"`` or ``"passband"``
        ones alone; or the ``"log flux"`` of the pixel itself.

    Returns
    -------
    GradientResiduals
    """
    height, width = target.shape[-2:]
    y, x, stride = (*phase, 2) if phase is not None else (0, 0, 1)
    here = (..., slice(y, height - 1, stride), slice(x, width - 1, stride))
    right = (..., slice(y, height - 1, stride), slice(x + 1, width, stride))
    below = (..., slice(y + 1, height, stride), slice(x, width - 1, stride))
    places = (here, right, below)
    if phase is None:
        # Every pixel serves as each of the three: compute once, then cut.
        whole = _log_flux_residual(target, prediction_flux, noise, scale)
        parts = [[images[place] for images in whole] for place in places]
    else:
        parts = [_log_flux_residual(target[place], prediction_flux[place], noise, scale) for place in places]
    (d, v, log_flux), (d_right, v_right, _), (d_below, v_below, _) = parts
    residual, variance = [], []
    if elements in ("gradients", "spatial"):
        residual += [d_right - d, d_below - d]
        variance += [v_right + v, v_below + v]
    if elements in ("gradients", "passband"):
        residual.append(d[:, 1:] - d[:, :-1])
        variance.append(v[:, 1:] + v[:, :-1])
    if elements == "log flux":
        residual.append(d)
        variance.append(v)
    residual = torch.cat(residual, 1)
    with torch.no_grad():
        log_noise = 0.5 * torch.cat(variance, 1).log()
        valid = None
        if share is not None:
            enough = 1.0 if scale == 1 else 0.5
            valid = ((share[here] >= enough) & (share[right] >= enough) & (share[below] >= enough)).all(1)
    return GradientResiduals(residual, log_noise, log_flux, maps[here], valid)
