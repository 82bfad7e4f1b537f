"""Statistics of probability integral transforms: how far they are from uniform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.masked import floats
from astro_galtrans.photoz._point import Metrics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["STATISTICS", "calibration_error", "coverage_within", "pit_statistics", "sorted_levels"]

# Bounds of the PIT outside of which a galaxy is a catastrophic outlier, as in the DESC photo-z metrics.
_LOW, _HIGH = 1e-4, 1 - 1e-4
# Keeps the Anderson-Darling statistic finite for a redshift the density excludes.
_FLOOR = 1e-10


def _steps(ordered):
    return torch.arange(1, len(ordered) + 1, dtype=ordered.dtype, device=ordered.device)


def _ks(ordered):
    n = len(ordered)
    step = _steps(ordered)
    return torch.maximum((step / n - ordered).max(), (ordered - (step - 1) / n).max())


def _cvm(ordered):
    n = len(ordered)
    return 1 / (12 * n) + ((ordered - (_steps(ordered) - 0.5) / n) ** 2).sum()


def _ad(ordered):
    n = len(ordered)
    inside = ordered.clamp(_FLOOR, 1 - _FLOOR)
    return -n - ((2 * _steps(ordered) - 1) * (inside.log() + torch.log1p(-inside.flip(0)))).sum() / n


def _outlier_rate(ordered):
    return ((ordered < _LOW) | (ordered > _HIGH)).to(ordered.dtype).mean()


def coverage_within(ordered, level):
    """Fraction of the PIT values in the central interval of a probability."""
    return ((ordered - 0.5).abs() <= level / 2).to(ordered.dtype).mean()


def calibration_error(levels):
    """Mean distance of the coverage C(a) from a over all levels a: the exact integral of \\|C(a) - a\\| from 0 to 1.

    ``levels`` are the sorted probabilities of the smallest regions that hold each redshift; C(a) is the fraction of
    them up to a. Between two of them C is constant, and the integral of the distance from a line has a closed form.
    """
    n = len(levels)
    inside = levels.clamp(0, 1)
    zero, one = torch.zeros_like(inside[:1]), torch.ones_like(inside[:1])
    ends = torch.cat([zero, inside, one])
    step = torch.cat([zero, _steps(inside)]) / n
    # The primitive of |a - c| is (a - c) |a - c| / 2.
    low, high = ends[:-1] - step, ends[1:] - step
    return 0.5 * (high * high.abs() - low * low.abs()).sum()


def _central_levels(ordered):
    return torch.sort((2 * ordered - 1).abs()).values


STATISTICS = {
    "pit_ks": _ks, "pit_cvm": _cvm, "pit_ad": _ad, "pit_outlier_rate": _outlier_rate,
    "coverage_68": lambda ordered: coverage_within(ordered, 0.68),
    "coverage_95": lambda ordered: coverage_within(ordered, 0.95),
    "ece": lambda ordered: calibration_error(_central_levels(ordered)),
}


def sorted_levels(values, name):
    """Sorted values from 0 to 1 as a tensor, in float64 where the device has it."""
    if not isinstance(values, torch.Tensor):
        values = torch.from_numpy(np.array(floats(values, name, dtype=float)))
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name} must be one-dimensional and not empty, got the shape {tuple(values.shape)}")
    values = values.detach().to(torch.float32 if values.device.type == "mps" else torch.float64)
    if not bool(((values >= -1e-6) & (values <= 1 + 1e-6)).all()):
        raise ValueError(f"{name} must be between 0 and 1, and not NaN")
    return torch.sort(values.clamp(0, 1)).values


def pit_statistics(pit: ArrayLike | torch.Tensor) -> Metrics:
    """Distance of PIT values from the uniform distribution that calibrated densities have.

    With the values sorted as ``u_(1) ... u_(n)``; the statistics are those of one sample against the uniform
    distribution:

    ====================  ========================================================================================
    ``pit_ks``            max over i of max(i/n - u_(i), u_(i) - (i - 1)/n) (Kolmogorov-Smirnov)
    ``pit_cvm``           1 / 12n + sum of (u_(i) - (2i - 1)/2n)^2 (Cramer-von Mises; the number n omega^2)
    ``pit_ad``            -n - sum of (2i - 1) [ln u_(i) + ln(1 - u_(n+1-i))] / n (Anderson & Darling 1954, JASA 49,
                          765), with u from 1e-10 to 1 - 1e-10
    ``pit_outlier_rate``  fraction with u < 1e-4 or u > 1 - 1e-4
    ``coverage_68``,      fraction in the central interval of that probability, \\|u - 1/2\\| <= level / 2
    ``coverage_95``
    ``ece``               expected calibration error: integral over all levels a of \\|coverage(a) - a\\|, exact
    ====================  ========================================================================================

    Parameters
    ----------
    pit : array_like or `torch.Tensor`
        Values from 0 to 1, shape ``(n_galaxies,)``, as of `RedshiftPDF.pit`; no NaN.

    Returns
    -------
    Metrics
        A dict of floats, with the number of values ``n``.

    Examples
    --------
    >>> from astro_galtrans.photoz import pit_statistics
    >>> statistics = pit_statistics([0.1, 0.3, 0.5, 0.7, 0.9])
    >>> round(statistics["pit_ks"], 6), round(statistics["pit_cvm"], 6)
    (0.1, 0.016667)
    """
    ordered = sorted_levels(pit, "pit")
    return Metrics({**{name: float(function(ordered)) for name, function in STATISTICS.items()},
                    "n": float(len(ordered))})
