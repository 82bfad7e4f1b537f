"""Pixels without data: the values that replace them, and the target pixels that depend on them."""

import torch
from torch.nn import functional

from astro_galtrans.backbones.resampling import resample

__all__ = ["fill_from_bands", "fill_invalid", "invalid_footprint"]

# In units of the summed squared noise: below a signal-to-noise ratio of 20 the ratio of two bands tends to 1.
_RATIO_PRIOR = 400.0
_LARGEST_RATIO = 20.0


def fill_invalid(flux, valid):
    """Replace invalid pixels by the mean of their valid neighbors, from the edge of each gap inward.

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


def fill_from_bands(flux, valid, noise):
    """Replace invalid pixels by the nearest band that has data there, scaled to the band's flux.

    The scale is the ratio of the two bands over the pixels that both have, and tends to 1 where these hold too little
    signal. Pixels that no band has are filled by `fill_invalid`.

    Parameters
    ----------
    flux : torch.Tensor
        Shape ``(galaxy, band, y, x)``, bands in order of wavelength; values of invalid pixels are never read.
    valid : torch.Tensor of bool
        Same shape.
    noise : torch.Tensor
        Standard deviation of one pixel, shape ``(band, 1, 1)``.

    Returns
    -------
    torch.Tensor
        Same shape, finite where ``flux`` is finite at valid pixels.
    """
    flux = torch.where(valid, flux, 0)
    n_bands, filled, known = flux.shape[1], flux.clone(), valid.clone()
    both = valid.flatten(2).to(flux.dtype)
    flat, square = flux.flatten(2), (flux.square() - noise.square()).flatten(2)
    # Over the pixels that bands b and c share: the sums of f_b f_c and of f_c^2, without that of the noise.
    cross, power = flat @ flat.mT, (both @ (square * both).mT).clamp_min(0)
    variance = noise.flatten().square()
    ratio = (cross + _RATIO_PRIOR * variance) / (power + _RATIO_PRIOR * variance)
    ratio = ratio.clamp(1 / _LARGEST_RATIO, _LARGEST_RATIO)
    for band in range(n_bands):
        for other in sorted(range(n_bands), key=lambda c: (abs(c - band), -c)):
            take = valid[:, other] & ~known[:, band]
            scaled = flux[:, other] * ratio[:, band, other, None, None]
            filled[:, band] = torch.where(take, scaled, filled[:, band])
            known[:, band] |= take
    return fill_invalid(filled, known)


def invalid_footprint(network, valid, size):
    """Target pixels that depend on an invalid input pixel of the band that is nearest in wavelength.

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
        Shape ``(galaxy, target band, Y, X)``, True where the translation depends on an invalid pixel.
    """
    share = resample((~valid[:, network.nearest_band]).float(), size, network.step, network.base_smoothing)
    return share > 1e-6
