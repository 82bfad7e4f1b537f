"""Pixels without a usable value: what the network is given in their place, and what rests on them."""

import torch
from torch.nn import functional

from astro_galtrans.backbones.resampling import resample

__all__ = ["fill_invalid", "invalid_footprint"]


def fill_invalid(flux, valid):
    """Replace invalid pixels by the mean of their valid neighbours, growing inwards from the rim of each gap.

    Parameters
    ----------
    flux : torch.Tensor
        Shape ``(galaxy, band, y, x)``; values of invalid pixels are never read.
    valid : torch.Tensor of bool
        Same shape.

    Returns
    -------
    torch.Tensor
        Finite where ``flux`` is finite at valid pixels; images without any valid pixel become 0.
    """
    flux = torch.where(valid, flux, 0)
    known = valid.to(flux.dtype)
    for _ in range(max(flux.shape[-2:])):
        if bool((known > 0).flatten(2).logical_or((known == 0).flatten(2).all(-1, keepdim=True)).all()):
            break
        weight = functional.avg_pool2d(known, 3, 1, 1)
        mean = functional.avg_pool2d(flux * known, 3, 1, 1) / weight.clamp_min(1e-9)
        grow = (known == 0) & (weight > 0)
        flux = torch.where(grow, mean, flux)
        known = torch.where(grow, 1, known)
    return flux


def invalid_footprint(network, valid, size):
    """Target pixels that take any light from an invalid input pixel of their own band or of no band at all.

    Parameters
    ----------
    network : TranslationNetwork
        The network.
    valid : torch.Tensor of bool
        Shape ``(galaxy, band, y, x)``.
    size : tuple of int
        Rows and columns of the target images.

    Returns
    -------
    torch.Tensor of bool
        Shape ``(galaxy, target band, Y, X)``, True where the translation rests on an invalid pixel.
    """
    share = resample((~valid[:, network.nearest_band]).float(), size, network.step, network.base_smoothing)
    return share > 1e-6
