"""Metrics of redshift point estimates, with bootstrap intervals over galaxies."""

from __future__ import annotations

from typing import Any, Literal, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans.photoz._point_statistics import NoGalaxiesError, as_tensors, point_statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

__all__ = ["Metrics", "check_bootstrap", "paired_bootstrap", "point_metrics"]

# Elements of one block of resamples, so that memory stays below about 200 MB.
_BLOCK = 2_000_000


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
        self, values: Mapping[str, Any], intervals: Mapping[str, tuple[float, float]] | None = None,
        confidence: float | None = None, n_bootstrap: int = 0,
    ) -> None:
        super().__init__(values)
        self.intervals = dict(intervals or {})
        self.confidence = confidence
        self.n_bootstrap = n_bootstrap


def _redshifts(arrays, on_invalid):
    """One-dimensional arrays of one length with the galaxies where all are usable, and the number left out."""
    converted = as_tensors(arrays)
    shapes = {name: tuple(value.shape) for name, value in converted.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) != 1:
        raise ValueError(f"redshifts must be one-dimensional and of one length, got shapes {shapes}")
    if on_invalid not in ("raise", "mask"):
        raise ValueError(f"on_invalid must be 'raise' or 'mask', got {on_invalid!r}")
    finite = {name: torch.isfinite(value) for name, value in converted.items()}
    good = torch.stack([*finite.values(), converted["z_spec"] > -1]).all(dim=0)
    if "weights" in converted:
        if bool((converted["weights"] < 0).any()):
            raise ValueError("weights must not be negative")
        good &= converted["weights"] != 0
    counts = {name: int((~value).sum()) for name, value in finite.items()}
    if on_invalid == "raise" and (sum(counts.values()) or bool((converted["z_spec"] <= -1).any())):
        raise ValueError(f"redshifts must be finite and z_spec above -1; values that are not finite: {counts}; "
                         'on_invalid="mask" leaves those galaxies out')
    if not bool(good.any()):
        raise NoGalaxiesError("no galaxy with usable redshifts is left")
    return {name: value[good] for name, value in converted.items()}, int((~good).sum())


def _resamples(n, n_bootstrap, seed, device):
    """Blocks of galaxy indices, shape ``(resamples of the block, n)``; on every device those of the seed."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    for start in range(0, n_bootstrap, block):
        yield torch.from_numpy(rng.integers(n, size=(min(block, n_bootstrap - start), n))).to(device)


def _on_host(statistics):
    return {name: value.cpu().numpy() for name, value in statistics.items()}


def _interval(values, confidence):
    finite = values[np.isfinite(values)]
    if not finite.size:
        return (np.nan, np.nan)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(finite, [tail, 100 - tail])
    return (float(low), float(high))


def check_bootstrap(n_bootstrap, confidence):
    """Refuse a number of resamples or a confidence that cannot be."""
    if int(n_bootstrap) != n_bootstrap or n_bootstrap < 0:
        raise ValueError(f"n_bootstrap must be a whole number of at least 0, got {n_bootstrap!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")


def point_metrics(
    z_phot: ArrayLike | torch.Tensor, z_spec: ArrayLike | torch.Tensor, *,
    weights: ArrayLike | torch.Tensor | None = None, n_bootstrap: int = 0, seed: int | np.random.Generator = 0,
    confidence: float = 0.68, on_invalid: Literal["raise", "mask"] = "raise",
) -> Metrics:
    """Metrics of redshift point estimates.

    All are of ``dz = (z_phot - z_spec) / (1 + z_spec)``:

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
    kept, left_out = _redshifts(arrays, on_invalid)
    dz = (kept["z_phot"] - kept["z_spec"]) / (1 + kept["z_spec"])
    weights = kept.get("weights")
    values = {name: float(value) for name, value in point_statistics(dz, weights).items()}
    draws = [_on_host(point_statistics(dz[rows], None if weights is None else weights[rows]))
             for rows in _resamples(len(dz), n_bootstrap, seed, dz.device)]
    intervals = {}
    if draws:
        intervals = {name: _interval(np.concatenate([draw[name] for draw in draws]), confidence) for name in values}
    values.update(n=float(len(dz)), n_masked=float(left_out))
    return Metrics(values, intervals, confidence if n_bootstrap else None, n_bootstrap)


def _compare(a, b, real):
    """Differences and ratios of a statistic of several estimates."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result = {"a": a, "b": b, "difference": b - a, "reduction": 1 - np.divide(a, b)}
        if real is not None:
            # Where b is not worse than the real images there is nothing to win back.
            lost = np.where(b > real, b - real, np.nan)
            result.update(real=real, preservation_gain=(b - a) / lost)
    return result


def paired_bootstrap(
    z_phot_a: ArrayLike, z_phot_b: ArrayLike, z_spec: ArrayLike, *, z_phot_real: ArrayLike | None = None,
    statistic: str = "nmad", n_bootstrap: int = 1000, seed: int = 0, confidence: float = 0.68,
    on_invalid: Literal["raise", "drop"] = "raise",
) -> Metrics:
    """Compare two estimates of the same galaxies, with intervals over the same resampled galaxies.

    ========================  ============================================================================
    ``a``, ``b``, ``real``    the statistic of each estimate
    ``difference``            b - a
    ``reduction``             1 - a / b
    ``preservation_gain``     (b - a) / (b - real); NaN where b is not above real
    ``n``, ``n_masked``       galaxies used and left out
    ``undefined_fraction``    fraction of the resamples in which the preservation gain is not defined;
                              its interval is of the others
    ========================  ============================================================================

    Parameters
    ----------
    z_phot_a, z_phot_b : array_like
        Redshifts estimated from two kinds of images, the new ones (a) and those to be compared with (b), shape
        ``(n_galaxies,)``.
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
    kept, left_out = _redshifts(arrays, on_invalid)
    truth = kept.pop("z_spec")
    errors = [(value - truth) / (1 + truth) for value in kept.values()]
    known = point_statistics(errors[0])
    if statistic not in known:
        raise ValueError(f"statistic must be one of {', '.join(known)}, got {statistic!r}")

    def compare(rows):
        measured = [point_statistics(error[rows])[statistic].cpu().numpy() for error in errors]
        return _compare(*measured, *([None] if len(measured) == 2 else []))

    values = {name: float(value) for name, value in compare(slice(None)).items()}
    draws = [compare(rows) for rows in _resamples(len(truth), n_bootstrap, seed, truth.device)]
    intervals = {}
    if draws:
        joined = {name: np.concatenate([draw[name] for draw in draws]) for name in values}
        intervals = {name: _interval(draw, confidence) for name, draw in joined.items()}
        if z_phot_real is not None:
            values["undefined_fraction"] = float(np.mean(~np.isfinite(joined["preservation_gain"])))
    values.update(n=float(len(truth)), n_masked=float(left_out))
    return Metrics(values, intervals, confidence if n_bootstrap else None, n_bootstrap)
