"""Statistics of redshift errors along the last axis of a tensor, on its device."""

import numpy as np
import torch

from astro_galtrans._utils.masked import floats

__all__ = ["STATISTICS", "NoGalaxiesError", "as_tensors", "point_statistics", "weighted_quantiles"]

STATISTICS = ("bias_mean", "bias_median", "nmad", "sigma_mad", "sigma_iqr", "rms", "outlier_005", "outlier_015",
              "outlier_desc")

_NORMAL_MAD, _NORMAL_IQR = 1.4826, 1.349


class NoGalaxiesError(ValueError):
    """No galaxy with usable redshifts is left."""


def as_tensors(arrays):
    """Tensors in double precision (single on devices without it) on the device of the first tensor among them."""
    device = next((value.device for value in arrays.values() if isinstance(value, torch.Tensor)), torch.device("cpu"))
    precision = torch.float32 if device.type == "mps" else torch.float64
    converted = {}
    for name, value in arrays.items():
        if not isinstance(value, torch.Tensor):
            value = torch.from_numpy(np.array(floats(value, name, dtype=float)))
        converted[name] = value.detach().to(device=device, dtype=precision)
    return converted


def weighted_quantiles(values, probabilities, weights=None):
    """Quantiles along the last axis, linear between order statistics (Hyndman & Fan 1996, type 7).

    With weights the order statistics stand at the midpoints of their share of the cumulative weight, stretched so
    that the extremes have probability 0 and 1; equal weights then give type 7.

    Parameters
    ----------
    values, weights : torch.Tensor
        Shape ``(..., n)``; the weights are positive.
    probabilities : sequence of float
        Length m.

    Returns
    -------
    torch.Tensor
        Shape ``(m, ...)``.
    """
    wanted = torch.tensor(probabilities, dtype=values.dtype, device=values.device)
    ordered, order = torch.sort(values, dim=-1)
    last = values.shape[-1] - 1
    if weights is None:
        position = wanted * last
        low = position.floor().long()
        start, end = ordered[..., low], ordered[..., (low + 1).clamp(max=last)]
        return (start + (end - start) * (position - low)).movedim(-1, 0)
    weights = weights.gather(-1, order)
    middle = weights.cumsum(-1) - 0.5 * weights
    span = middle[..., -1:] - middle[..., :1]
    place = (middle - middle[..., :1]) / torch.where(span > 0, span, torch.ones_like(span))
    wanted = wanted.expand(*values.shape[:-1], -1).contiguous()
    high = torch.searchsorted(place.contiguous(), wanted).clamp(min(1, last), last)
    low = (high - 1).clamp(min=0)
    start, end = place.gather(-1, low), place.gather(-1, high)
    part = ((wanted - start) / torch.where(end > start, end - start, torch.ones_like(end))).clamp(0, 1)
    start, end = ordered.gather(-1, low), ordered.gather(-1, high)
    return (start + (end - start) * part).movedim(-1, 0)


def point_statistics(dz, weights=None):
    """Every metric of `point_metrics` that is a statistic of the errors.

    Parameters
    ----------
    dz, weights : torch.Tensor
        Shape ``(..., n)``.

    Returns
    -------
    dict of str to torch.Tensor
        Shape ``(...)`` each.
    """
    total = None if weights is None else weights.sum(-1)

    def average(values):
        values = values.to(dz.dtype)
        return values.mean(-1) if weights is None else (values * weights).sum(-1) / total

    low, middle, high = weighted_quantiles(dz, [0.25, 0.5, 0.75], weights)
    deviation = weighted_quantiles((dz - middle[..., None]).abs(), [0.5], weights)[0]
    sigma_iqr = (high - low) / _NORMAL_IQR
    size = dz.abs()
    nmad = _NORMAL_MAD * deviation
    outliers = [average(size > limit) for limit in (0.05, 0.15, (3 * sigma_iqr).clamp(min=0.06)[..., None])]
    return dict(zip(STATISTICS, (
        average(dz), middle, nmad, nmad, sigma_iqr, average(dz.square()).sqrt(), *outliers), strict=True))
