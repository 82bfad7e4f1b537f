"""Bilinear resampling between two pixel grids that share their centre, as a pair of small matrices."""

import math
from functools import lru_cache

import torch

__all__ = ["resample", "resampling_matrix"]


# Not in inference mode, where the matrix would be kept in a form that a training later on could not use.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def resampling_matrix(n_in, n_out, step, smooth=1):
    """Matrix that interpolates ``n_in`` samples linearly at ``n_out`` places around the same centre.

    Output samples that are wider than the input's are averages over an odd number of places within them, so that no
    light falls between them.

    Parameters
    ----------
    n_in, n_out : int
        Number of input and output samples.
    step : float
        Distance of two output samples, in input samples (target pixel scale over input pixel scale).
    smooth : int, optional
        Odd number of neighbouring output samples that are averaged.

    Returns
    -------
    torch.Tensor
        Shape ``(n_out, n_in)``, float32; each row sums to 1. Places beyond the last sample take its value.
    """
    if smooth < 1 or smooth % 2 == 0:
        raise ValueError(f"smooth must be an odd positive number of samples, got {smooth}")
    n_parts = 1 if step <= 1 else math.ceil(step) // 2 * 2 + 1
    n_places = (n_out + smooth - 1) * n_parts
    place = (torch.arange(n_places, dtype=torch.float64) - (n_places - 1) / 2) * step / n_parts + (n_in - 1) / 2
    place = place.clamp(0, n_in - 1)
    lower = place.floor().clamp(max=max(n_in - 2, 0)).long()
    upper = (lower + 1).clamp(max=n_in - 1)
    fraction = place - lower
    rows = torch.arange(len(place))
    matrix = torch.zeros(len(place), n_in, dtype=torch.float64)
    matrix.index_put_((rows, lower), 1 - fraction, accumulate=True)
    matrix.index_put_((rows, upper), fraction, accumulate=True)
    return matrix.unfold(0, smooth * n_parts, n_parts).mean(-1).float()


def resample(images, size, step, smooth=1):
    """Interpolate images bilinearly onto another grid with the same centre.

    Parameters
    ----------
    images : torch.Tensor
        Shape ``(galaxy, channel, y, x)``.
    size : tuple of int
        Rows and columns of the output.
    step : float
        Side of an output pixel in input pixels.
    smooth : int, optional
        Side, in output pixels, of the square that is averaged around each output pixel.

    Returns
    -------
    torch.Tensor
        Shape ``(galaxy, channel, *size)``; surface brightness is kept, so that fluxes per pixel are to be
        multiplied by ``step**2``.
    """
    rows = resampling_matrix(images.shape[-2], size[0], step, smooth).to(images)
    columns = resampling_matrix(images.shape[-1], size[1], step, smooth).to(images)
    return rows @ (images @ columns.T)
