"""Bands and regions of the input that are hidden in training, so that a network learns to do without them."""

import math

import torch

__all__ = ["hide_input"]

_BANDS = 0.5  # share of the galaxies with something hidden that lose whole bands; the others lose a region
_ONE_BAND = 0.6
_IN_A_BAND = 0.4  # probability with which a region is hidden in a band, beside the one that always loses it
_TRAIL_WIDTH = 4.0  # pixels


def hide_input(shape, share, generator):
    """Draw which input pixels are hidden.

    Half of the galaxies that lose anything lose bands, the others a region in some bands: a disk, what is beyond a
    straight edge, or a trail.

    Parameters
    ----------
    shape : tuple of int
        Of the input images, ``(galaxy, band, y, x)``.
    share : float
        Share of the galaxies that lose something.
    generator : torch.Generator

    Returns
    -------
    torch.Tensor of bool
        Pixels that are kept. Every galaxy keeps at least one pixel in each of two bands, or in its only one.
    """
    n_galaxies, n_bands, height, width = shape
    draws = torch.rand(8, n_galaxies, generator=generator)
    order = torch.rand(n_galaxies, n_bands, generator=generator).argsort(1).argsort(1)
    in_band = torch.rand(n_galaxies, n_bands, generator=generator) < _IN_A_BAND
    hidden, by_band = draws[0] < share, draws[1] < (_BANDS if n_bands > 1 else 0)
    most = max(1, n_bands - 2)
    n_lost = torch.where(draws[2] < _ONE_BAND, 1, 1 + (draws[3] * most).long().clamp(max=most - 1))
    bands = order < n_lost[:, None]
    region = _regions(draws[3:], height, width)[:, None] & (in_band | (order == 0))[..., None, None]
    lost = torch.where(by_band[:, None, None, None], bands[..., None, None], region)
    return ~(lost & hidden[:, None, None, None])


def _regions(draws, height, width):
    """A disk, half-plane or trail in each image, shape ``(galaxy, y, x)``."""
    kind, place_y, place_x, size, angle = (draw[:, None, None] for draw in draws)
    side = max(height, width)
    y = torch.arange(height)[:, None] - 0.5 * (height - 1) - (place_y - 0.5) * 0.7 * height
    x = torch.arange(width) - 0.5 * (width - 1) - (place_x - 0.5) * 0.7 * width
    across = x * torch.cos(2 * math.pi * angle) + y * torch.sin(2 * math.pi * angle)
    disk = torch.hypot(y, x) < torch.exp(size * math.log(side / 2))
    return torch.where(kind < 0.5, disk, torch.where(kind < 0.75, across > 0, across.abs() < 0.5 * _TRAIL_WIDTH * size))
