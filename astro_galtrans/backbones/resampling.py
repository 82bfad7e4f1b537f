"""Resampling between two pixel grids that share their center, and values for pixels without data."""

import math
from functools import lru_cache

import torch
from astropy.utils.decorators import deprecated_renamed_argument
from torch.nn import functional

__all__ = ["fill_from_bands", "fill_invalid", "invalid_footprint", "resample", "resampling_matrix"]

# In units of the summed squared noise: below a signal-to-noise ratio of 20 the ratio of two bands tends to 1.
_RATIO_PRIOR = 400.0
_LARGEST_RATIO = 20.0


@deprecated_renamed_argument("step", "scale_ratio", "0.2")
# Not in inference mode, where the matrix would be kept in a form that a training later on could not use.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def resampling_matrix(n_in, n_out, scale_ratio, smooth=1):
    """Return the matrix that interpolates ``n_in`` samples linearly at ``n_out`` places around the same center.

    Output samples that are wider than the input's are averages over an odd number of places within them, so that no
    flux falls between them.

    Parameters
    ----------
    n_in, n_out : int
        Number of input and output samples.
    scale_ratio : float
        Distance of two output samples, in input samples (target pixel scale over input pixel scale).
    smooth : int, optional
        Odd number of neighboring output samples that are averaged.

    Returns
    -------
    torch.Tensor
        Shape ``(n_out, n_in)``, float32; each row sums to 1. Places beyond the last sample take its value.
    """
    if smooth < 1 or smooth % 2 == 0:
        raise ValueError(f"smooth must be an odd positive number of samples, got {smooth}")
    n_parts = 1 if scale_ratio <= 1 else math.ceil(scale_ratio) // 2 * 2 + 1
    n_places = (n_out + smooth - 1) * n_parts
    place = torch.arange(n_places, dtype=torch.float64) - (n_places - 1) / 2
    place = (place * scale_ratio / n_parts + (n_in - 1) / 2).clamp(0, n_in - 1)
    lower = place.floor().clamp(max=max(n_in - 2, 0)).long()
    upper = (lower + 1).clamp(max=n_in - 1)
    fraction = place - lower
    rows = torch.arange(len(place))
    matrix = torch.zeros(len(place), n_in, dtype=torch.float64)
    matrix.index_put_((rows, lower), 1 - fraction, accumulate=True)
    matrix.index_put_((rows, upper), fraction, accumulate=True)
    return matrix.unfold(0, smooth * n_parts, n_parts).mean(-1).float()


@deprecated_renamed_argument("step", "scale_ratio", "0.2")
def resample(images, size, scale_ratio, smooth=1):
    """Interpolate images bilinearly onto another grid with the same center.

    Parameters
    ----------
    images : torch.Tensor
        Shape ``(galaxy, channel, y, x)``.
    size : tuple of int
        Rows and columns of the output.
    scale_ratio : float
        Side of an output pixel in input pixels.
    smooth : int, optional
        Side, in output pixels, of the square that is averaged around each output pixel.

    Returns
    -------
    torch.Tensor
        Shape ``(galaxy, channel, *size)``. Surface brightness is kept: multiply by ``scale_ratio**2`` for fluxes per
        pixel.
    """
    rows = resampling_matrix(images.shape[-2], size[0], scale_ratio, smooth).to(images)
    columns = resampling_matrix(images.shape[-1], size[1], scale_ratio, smooth).to(images)
    return rows @ (images @ columns.T)


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
    filled = torch.where(valid, flux, 0)
    n_valid = valid.flatten(2).sum(-1)
    # Few images have gaps, and each is filled on its own.
    gaps = torch.nonzero((n_valid > 0) & (n_valid < math.prod(flux.shape[-2:])), as_tuple=True)
    if not len(gaps[0]):
        return filled
    part, known = filled[gaps], valid[gaps].to(flux.dtype)
    while bool((known == 0).any()):
        weight, mean = (functional.avg_pool2d(one[None], 3, 1, 1)[0] for one in (known, part * known))
        grow = (known == 0) & (weight > 0)
        part = torch.where(grow, mean / weight.clamp_min(1e-9), part)
        known = torch.where(grow, 1, known)
    return filled.index_put(gaps, part)


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
    """Return the target pixels that depend on an invalid input pixel of the band that is nearest in wavelength.

    Parameters
    ----------
    network : TranslationNetwork
    valid : torch.Tensor of bool
        Shape ``(galaxy, band, y, x)``.
    size : tuple of int
        Rows and columns of the target images.

    Returns
    -------
    torch.Tensor of bool
        Shape ``(galaxy, target band, Y, X)``.
    """
    share = resample((~valid[:, network.nearest_band]).float(), size, network.scale_ratio, network.base_smoothing)
    return share > 1e-6
