"""Metrics of redshift point estimates, with bootstrap intervals over galaxies."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.statistics import check_bootstrap, interval, resampled_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

__all__ = [
    "STATISTICS", "Metrics", "NoGalaxiesError", "as_columns", "paired_bootstrap", "point_metrics", "weighted_quantiles",
]

STATISTICS = ("bias_mean", "bias_median", "nmad", "sigma_mad", "sigma_iqr", "rms", "outlier_005", "outlier_015",
              "outlier_desc")

_NORMAL_MAD, _NORMAL_IQR = 1.4826, 1.349


class NoGalaxiesError(ValueError):
    """No galaxy with usable redshifts is left."""


class Metrics(dict):
    """Metrics by name, with their bootstrap intervals.

    Attributes
    ----------
    intervals : dict
        Name -> ``(low, high)``, the central bootstrap percentile interval; empty without a bootstrap.
    confidence : float or None
        Probability that the intervals hold.
    n_bootstrap : int
        Number of resamples.
    """

    def __init__(
        self, values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]] | None = None,
        confidence: float | None = None, n_bootstrap: int = 0,
    ) -> None:
        super().__init__(values)
        self.intervals = dict(intervals or {})
        self.confidence = confidence
        self.n_bootstrap = n_bootstrap


def as_columns(arrays):
    """Return arrays by name as tensors of shape ``(n,)``, in double precision where the device has it."""
    device = next((value.device for value in arrays.values() if isinstance(value, torch.Tensor)), torch.device("cpu"))
    precision = torch.float32 if device.type == "mps" else torch.float64
    columns = {}
    for name, value in arrays.items():
        if not isinstance(value, torch.Tensor):
            value = torch.from_numpy(np.array(floats(value, name, dtype=float)))
        columns[name] = value.detach().to(device=device, dtype=precision)
    shapes = {name: tuple(value.shape) for name, value in columns.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) != 1:
        named = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{' and '.join(shapes)} must be one-dimensional and of one length, got the shapes {named}")
    return columns


def _usable(arrays, on_invalid):
    """Return one-dimensional arrays with the galaxies that are usable in all, and the number left out."""
    converted = as_columns(arrays)
    if on_invalid not in ("raise", "mask"):
        raise ValueError(f"on_invalid must be 'raise' or 'mask', got {on_invalid!r}")
    finite = {name: torch.isfinite(value) for name, value in converted.items()}
    good = torch.stack([*finite.values(), converted["z_spec"] > -1]).all(dim=0)
    if "weights" in converted:
        if bool((converted["weights"] < 0).any()):
            raise ValueError("weights must not be negative")
        good &= converted["weights"] != 0
    counts = {name: int((~value).sum()) for name, value in finite.items()}
    low = converted["z_spec"][converted["z_spec"] <= -1]
    if on_invalid == "raise" and (sum(counts.values()) or len(low)):
        faults = [f"{name} has {count} not finite" for name, count in counts.items() if count]
        if len(low):
            faults.append(f"z_spec has {len(low)} of -1 or less, the first is {float(low[0]):g}")
        raise ValueError(f"redshifts must be finite and z_spec above -1: {', '.join(faults)}; "
                         'on_invalid="mask" leaves those galaxies out')
    if not bool(good.any()):
        raise NoGalaxiesError("no galaxy with usable redshifts is left")
    return {name: value[good] for name, value in converted.items()}, int((~good).sum())


def weighted_quantiles(values, probabilities, weights=None):
    """Return quantiles along the last axis, linear between order statistics (Hyndman & Fan 1996, type 7).

    With weights an order statistic is at the midpoint of its share of the cumulative weight, stretched so that the
    extremes have probability 0 and 1; equal weights then give type 7. The shapes are ``(..., n)`` for values and
    positive weights, ``(m,)`` for probabilities and ``(m, ...)`` for the result.
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


def _point_statistics(dz, weights=None):
    """Return every metric of `point_metrics`, of shape ``(...)``, for errors of shape ``(..., n)``."""
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


def point_metrics(
    z_phot: ArrayLike | torch.Tensor, z_spec: ArrayLike | torch.Tensor, *,
    weights: ArrayLike | torch.Tensor | None = None, n_bootstrap: int = 0, seed: int | np.random.Generator = 0,
    confidence: float = 0.68, on_invalid: Literal["raise", "mask"] = "raise",
) -> Metrics:
    """Compute metrics of redshift point estimates.

    All are statistics of ``dz = (z_phot - z_spec) / (1 + z_spec)``:

    ========================  ============================================================================
    ``bias_mean``             mean of dz
    ``bias_median``           median of dz
    ``nmad``                  1.4826 median \\|dz - median dz\\|
    ``sigma_mad``             the same number, under the name used by Pasquet et al. (2019, A&A 621, A26)
    ``sigma_iqr``             (75th - 25th percentile of dz) / 1.349
    ``rms``                   square root of the mean of dz squared
    ``outlier_005``           fraction with \\|dz\\| > 0.05
    ``outlier_015``           fraction with \\|dz\\| > 0.15
    ``outlier_desc``          fraction with \\|dz\\| > max(0.06, 3 sigma_iqr)
    ``n``, ``n_masked``       galaxies used and left out
    ========================  ============================================================================

    Parameters
    ----------
    z_phot, z_spec : array_like or `torch.Tensor`
        Estimated and true redshifts, shape ``(n_galaxies,)``. The computation runs, in double precision, on the
        device of the first tensor among the arguments, else on the CPU.
    weights : array_like or `torch.Tensor`, optional
        Weight of each galaxy in means, fractions and quantiles, shape ``(n_galaxies,)``. Weight 0 leaves out. Only
        the ratios of weights count.
    n_bootstrap : int, optional
        Resamples of the galaxies for ``intervals``; 0 for none.
    seed : int or `numpy.random.Generator`, optional
        Seed of the bootstrap.
    confidence : float, optional
        Probability that the intervals hold.
    on_invalid : {"raise", "mask"}, optional
        Whether a galaxy with a redshift that is not finite is an error or is left out and counted.

    Returns
    -------
    Metrics
        A dict of floats; ``metrics.intervals["nmad"]`` is ``(low, high)``.

    Raises
    ------
    ValueError
        For shapes that differ, redshifts that are not finite or a z_spec of -1 or less.

    Notes
    -----
    The factors make ``nmad``, ``sigma_mad`` and ``sigma_iqr`` the standard deviation of normal errors. ``nmad``
    subtracts the median, as Brammer et al. (2008, ApJ 686, 1503, section 4.1) do. ``outlier_desc`` is the definition
    of the LSST DESC Science Requirements Document as RAIL and qp have it (Schmidt et al. 2020, MNRAS 499, 1587).
    Lin et al. (2022, A&A 662, A36) call the mean of dz bias and count outliers beyond 0.05 (SDSS) and 0.15 (CFHTLS).

    A quantile is linear between the ordered errors: the k-th of n has probability (k - 1) / (n - 1) (Hyndman & Fan
    1996, Am. Stat. 50, 361, type 7, the one of `numpy.quantile`). With weights w_k it has probability
    (C_k - C_1) / (C_n - C_1), where C_k = w_1 + ... + w_(k-1) + w_k / 2; equal weights give the same as none. A whole
    weight is close to, and not quite the same as, so many copies of the galaxy.

    Intervals are percentiles of the metric over resamples of the galaxies with replacement (Efron 1979, Ann. Stat. 7,
    1); a galaxy keeps its weight. The resamples of a seed are the same on every device.

    Examples
    --------
    >>> from astro_galtrans.photoz import point_metrics
    >>> metrics = point_metrics([0.11, 0.2, 0.3, 0.5], [0.1, 0.2, 0.3, 0.4])
    >>> round(metrics["outlier_005"], 3)
    0.25
    """
    check_bootstrap(n_bootstrap, confidence)
    arrays = {"z_phot": z_phot, "z_spec": z_spec, **({} if weights is None else {"weights": weights})}
    kept, left_out = _usable(arrays, on_invalid)
    dz = (kept["z_phot"] - kept["z_spec"]) / (1 + kept["z_spec"])
    weights = kept.get("weights")

    def statistics(rows):
        found = _point_statistics(dz[rows], None if weights is None else weights[rows])
        return {name: value.cpu().numpy() for name, value in found.items()}

    values, draws = _bootstrapped(statistics, len(dz), n_bootstrap, seed, dz.device)
    intervals = {name: interval(draw, confidence) for name, draw in draws.items()}
    values.update(n=float(len(dz)), n_masked=float(left_out))
    return Metrics(values, intervals, confidence if n_bootstrap else None, n_bootstrap)


def _bootstrapped(statistics, n, n_bootstrap, seed, device):
    """Return ``statistics(rows)``, a dict, for all of n galaxies and, as arrays, for the resamples, if any."""
    values = {name: float(value) for name, value in statistics(slice(None)).items()}
    draws = [statistics(torch.from_numpy(rows).to(device)) for rows in resampled_rows(n, n_bootstrap, seed)]
    return values, {name: np.concatenate([draw[name] for draw in draws]) for name in values if draws}


def _compare(a, b, real=None):
    """Return differences and ratios of a statistic of several estimates."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result = {"a": a, "b": b, "difference": b - a, "reduction": 1 - np.divide(a, b)}
        if real is not None:
            # Without a loss between b and the real images the gain is not defined.
            lost = np.where(b > real, b - real, np.nan)
            result.update(real=real, preservation_gain=(b - a) / lost)
    return result


def paired_bootstrap(
    z_phot_a: ArrayLike, z_phot_b: ArrayLike, z_spec: ArrayLike, *, z_phot_real: ArrayLike | None = None,
    statistic: str = "nmad", n_bootstrap: int = 1000, seed: int = 0, confidence: float = 0.68,
    on_invalid: Literal["raise", "mask"] = "raise",
) -> Metrics:
    """Compare two estimates of the same galaxies, with intervals over the same resampled galaxies.

    ========================  ============================================================================
    ``a``, ``b``, ``real``    the statistic of each estimate
    ``difference``            b - a
    ``reduction``             1 - a / b
    ``preservation_gain``     (b - a) / (b - real); NaN where b is not above real
    ``n``, ``n_masked``       galaxies used and left out
    ``undefined_fraction``    fraction of the resamples in which the preservation gain is not defined;
                              its interval is that of the other resamples
    ========================  ============================================================================

    Parameters
    ----------
    z_phot_a, z_phot_b : array_like
        Redshifts estimated from two kinds of images, the new ones (a) and the reference (b), shape ``(n_galaxies,)``.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``.
    z_phot_real : array_like, optional
        Redshifts estimated from the real target images, for the preservation gain.
    statistic : str, optional
        A metric of `point_metrics` that is smaller for better estimates.
    n_bootstrap, seed, confidence, on_invalid
        As in `point_metrics`.

    Returns
    -------
    Metrics
        A dict of floats with ``intervals``.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import paired_bootstrap
    >>> error = np.random.default_rng(0).normal(size=1000)
    >>> z_spec = np.linspace(0.1, 0.4, 1000)
    >>> result = paired_bootstrap(z_spec + 0.01 * error, z_spec + 0.02 * error, z_spec, n_bootstrap=100)
    >>> round(result["reduction"], 3)
    0.5
    """
    check_bootstrap(n_bootstrap, confidence)
    arrays = {"z_phot_a": z_phot_a, "z_phot_b": z_phot_b, "z_spec": z_spec}
    if z_phot_real is not None:
        arrays["z_phot_real"] = z_phot_real
    kept, left_out = _usable(arrays, on_invalid)
    truth = kept.pop("z_spec")
    errors = [(value - truth) / (1 + truth) for value in kept.values()]
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}, got {statistic!r}")

    def comparison(rows):
        return _compare(*(_point_statistics(error[rows])[statistic].cpu().numpy() for error in errors))

    values, draws = _bootstrapped(comparison, len(truth), n_bootstrap, seed, truth.device)
    intervals = {name: interval(draw, confidence) for name, draw in draws.items()}
    if "preservation_gain" in draws:
        values["undefined_fraction"] = float(np.mean(~np.isfinite(draws["preservation_gain"])))
    values.update(n=float(len(truth)), n_masked=float(left_out))
    return Metrics(values, intervals, confidence if n_bootstrap else None, n_bootstrap)
