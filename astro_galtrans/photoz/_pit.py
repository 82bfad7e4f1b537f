"""Calibration of redshift densities: statistics of the PIT and coverage of credible regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.photoz._pdf import check_pdf
from astro_galtrans.photoz._point import Metrics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

__all__ = ["STATISTICS", "calibration_error", "coverage", "is_outlier", "pit_statistics", "sorted_levels"]

# A galaxy with a PIT outside of these is a catastrophic outlier, as in the DESC photo-z metrics.
_LOW, _HIGH = 1e-4, 1 - 1e-4
# The Anderson-Darling statistic stays finite for a redshift that the density excludes.
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


def is_outlier(pit):
    """Return which PIT values are catastrophic outliers."""
    return (pit < _LOW) | (pit > _HIGH)


def _outlier_rate(ordered):
    return is_outlier(ordered).to(ordered.dtype).mean()


def _coverage_within(ordered, level):
    """Return the fraction of the PIT values in the central interval of a probability."""
    return ((ordered - 0.5).abs() <= level / 2).to(ordered.dtype).mean()


def calibration_error(levels):
    """Return the integral of \\|C(a) - a\\| over a from 0 to 1, where C(a) is the fraction of ``levels`` up to a.

    ``levels`` are the sorted probabilities of the smallest regions that contain each redshift. Between two of them C is
    constant, and the integral of the distance from a line has a closed form.
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
    "coverage_68": lambda ordered: _coverage_within(ordered, 0.68),
    "coverage_95": lambda ordered: _coverage_within(ordered, 0.95),
    "ece": lambda ordered: calibration_error(_central_levels(ordered)),
}


def sorted_levels(values, name):
    """Return values from 0 to 1 as a sorted tensor, in float64 where the device has it."""
    if not isinstance(values, torch.Tensor):
        values = torch.from_numpy(np.array(floats(values, name, dtype=float)))
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name} must be one-dimensional and not empty, got the shape {tuple(values.shape)}")
    values = values.detach().to(torch.float32 if values.device.type == "mps" else torch.float64)
    if not bool(((values >= -1e-6) & (values <= 1 + 1e-6)).all()):
        raise ValueError(f"{name} must be between 0 and 1, and not NaN")
    return torch.sort(values.clamp(0, 1)).values


def pit_statistics(pit: ArrayLike | torch.Tensor) -> Metrics:
    """Return the distance of PIT values from the uniform distribution that calibrated densities have.

    The statistics are ``pit_ks``, ``pit_cvm``, ``pit_ad``, ``pit_outlier_rate``, ``coverage_68``, ``coverage_95`` and
    ``ece``, with the definitions in `distribution_metrics`.

    Parameters
    ----------
    pit : array_like or `torch.Tensor`
        Values from 0 to 1, shape ``(n_galaxies,)``, as from `RedshiftPDF.pit`; no NaN.

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


def coverage(pdf: RedshiftPDF, z_spec: ArrayLike, levels: ArrayLike | None = None) -> Table:
    """Compute the coverage of the credible regions of redshift densities.

    For calibrated densities a fraction a of the true redshifts is in the regions of probability a. The regions are
    central intervals, from the quantile (1 - a) / 2 to (1 + a) / 2, and regions of highest density, the smallest of
    their probability (Wittman, Bhaskar & Tobin 2016, MNRAS 457, 4005), which may have several parts.

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities; masked rows are left out and counted.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``.
    levels : array_like, optional
        Probabilities from 0 to 1, by default 0.05, 0.10 ... 0.95.

    Returns
    -------
    `~astropy.table.Table`
        Columns ``level``, ``central`` and ``highest_density``; ``meta`` has the expected calibration errors ``ece``
        and ``ece_hpd`` (integrals of \\|coverage - level\\| over all levels, `distribution_metrics`) and the numbers of
        galaxies ``n``, ``n_masked`` and ``n_normalised``.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF, coverage
    >>> pdf = RedshiftPDF([0.0, 1.0], np.ones((4, 2)))
    >>> table = coverage(pdf, [0.1, 0.4, 0.6, 0.95], [0.5])
    >>> print(table["central"][0])
    0.5
    """
    check_pdf(pdf)
    levels = np.arange(1, 20) / 20 if levels is None else np.atleast_1d(floats(levels, "levels", dtype=float))
    if levels.ndim != 1 or not np.all((levels >= 0) & (levels <= 1)):
        raise ValueError(f"levels must be one-dimensional and from 0 to 1, got {levels!r}")
    if pdf.n_masked == len(pdf):
        raise ValueError("pdf has no galaxy that is not masked")
    valid = pdf._valid
    regions = {
        "central": (2 * as_tensor(pdf.pit(z_spec)).to(pdf.device)[valid] - 1).abs(),
        "highest_density": as_tensor(pdf.credible_level(z_spec)).to(pdf.device)[valid],
    }
    counts = pdf.counts
    table = Table({"level": levels}, meta={**counts, "n": counts["n"] - counts["n_masked"]})
    for (name, values), error in zip(regions.items(), ("ece", "ece_hpd")):
        ordered = sorted_levels(values, name)
        inside = torch.searchsorted(ordered, torch.from_numpy(levels).to(ordered), right=True)
        table[name] = inside.cpu().numpy() / len(ordered)
        table.meta[error] = float(calibration_error(ordered))
    return table
