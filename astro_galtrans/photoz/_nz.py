"""The stacked redshift distribution against that of the spectroscopic redshifts."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from astro_galtrans._utils.masked import floats, is_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._point import Metrics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["nz_metrics"]


def _plain(values):
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values)


def _bins(stack, redshift, weights, edges):
    """Probabilities of the bins, the last of which is everything outside of the edges, of both distributions."""
    stacked = np.diff(_plain(stack.cdf(edges))[0].astype(float))
    beyond = 1 - stacked.sum()
    counted = np.histogram(redshift, edges, weights=weights)[0]
    outside = weights[(redshift < edges[0]) | (redshift > edges[-1])].sum()
    # What rounding leaves of nothing is nothing, or it would have a finite logarithm.
    return np.append(stacked, beyond if beyond > 1e-9 else 0), np.append(counted, outside) / weights.sum()


def _divergence(first, second):
    """Kullback-Leibler divergence sum of first ln(first / second), infinite where only the second is zero."""
    used = first > 0
    if np.any(second[used] == 0):
        return np.inf
    return float(np.sum(first[used] * np.log(first[used] / second[used])))


def _ks(stack, redshift, weights):
    order = np.argsort(redshift)
    above = np.cumsum(weights[order]) / weights.sum()
    below = above - weights[order] / weights.sum()
    stacked = _plain(stack.cdf(redshift[order]))[0].astype(float)
    return max(np.max(above - stacked), np.max(stacked - below))


def nz_metrics(
    pdf: RedshiftPDF, z_spec: ArrayLike, *, weights: ArrayLike | None = None, edges: ArrayLike | None = None,
) -> Metrics:
    """Compare the stacked densities n(z) with the spectroscopic redshifts of the same galaxies.

    With n(z) the mean of the densities (`RedshiftPDF.stack`), N(z) its cumulative probability, S(z) the fraction of the
    true redshifts up to z, and n_b, s_b the probabilities of bins:

    =====================  =======================================================================================
    ``mean_difference``    mean of n(z) - mean of z_spec, what weak lensing asks for (Ma, Hu & Huterer 2006, ApJ
                           636, 21)
    ``std_difference``     standard deviation of n(z) - that of z_spec (with 1/n)
    ``median_difference``  median of n(z) - median of z_spec
    ``ks``                 largest \\|N(z) - S(z)\\| over all z, exact (Kolmogorov-Smirnov distance)
    ``l1``                 sum over bins of \\|n_b - s_b\\|, from 0 to 2; half of it is the fraction of galaxies in
                           the wrong bin (total variation)
    ``kl``                 sum over bins of s_b ln(s_b / n_b), in nats (Kullback & Leibler 1951, Ann. Math. Stat.
                           22, 79); infinite where redshifts are observed in a bin without probability
    ``js``                 Jensen-Shannon divergence, the mean of the Kullback-Leibler divergences of n_b and s_b
                           from their mean, from 0 to ln 2 (Lin 1991, IEEE Trans. Inf. Theory 37, 145)
    =====================  =======================================================================================

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities; masked rows are left out on both sides, with a warning.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``.
    weights : array_like, optional
        Weight of each galaxy, in the stack and among the true redshifts alike.
    edges : array_like, optional
        Edges of the bins; by default 50 even ones over the grid. What lies outside is one more bin. With few galaxies
        a bin, noise alone makes ``l1``, ``kl`` and ``js`` differ from 0, by about sqrt(2 n_bins / (pi n)),
        n_bins / 2n and n_bins / 8n.

    Returns
    -------
    Metrics
        A dict of floats, with ``n``, ``n_masked`` and ``n_normalised``.

    Raises
    ------
    TypeError
        If pdf is not a RedshiftPDF.
    ValueError
        For shapes that do not fit, or redshifts that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF, nz_metrics
    >>> pdf = RedshiftPDF([0.0, 1.0], np.ones((2, 2)))
    >>> metrics = nz_metrics(pdf, [0.25, 0.75], edges=[0, 0.5, 1])
    >>> round(metrics["ks"], 6), round(metrics["l1"], 6)
    (0.25, 0.0)
    """
    if not isinstance(pdf, RedshiftPDF):
        raise TypeError(f"pdf must be a RedshiftPDF, got {type(pdf).__name__}")
    pdf._paired(z_spec)
    valid = _plain(pdf.valid)
    redshift = floats(z_spec, "z_spec", dtype=float)[valid]
    weights = None if weights is None else floats(weights, "weights", dtype=float)[valid]
    stack = (pdf.select(valid) if pdf.n_masked else pdf).stack(weights)
    weights = np.ones(len(redshift)) if weights is None else weights
    edges = np.linspace(float(pdf._grid[0]), float(pdf._grid[-1]), 51) if edges is None else floats(
        edges, "edges", dtype=float)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise ValueError(f"edges must be at least 2 increasing redshifts, got {edges!r}")
    if pdf.n_masked:
        warnings.warn(f"{pdf.n_masked} of {len(pdf)} masked redshift densities are left out of the metrics",
                      GaltransWarning, 2)
    mean = np.average(redshift, weights=weights)
    order = np.argsort(redshift)
    middle = np.interp(0.5, (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum(), redshift[order])
    stacked, counted = _bins(stack, redshift, weights, edges)
    half = 0.5 * (stacked + counted)
    counts = pdf.counts
    values = {
        "mean_difference": float(stack.mean()[0]) - mean,
        "std_difference": float(stack.std()[0]) - np.sqrt(np.average((redshift - mean) ** 2, weights=weights)),
        "median_difference": float(stack.median()[0]) - middle,
        "ks": _ks(stack, redshift, weights),
        "l1": np.abs(stacked - counted).sum(),
        "kl": _divergence(counted, stacked),
        "js": 0.5 * (_divergence(counted, half) + _divergence(stacked, half)),
        "n": len(redshift), "n_masked": counts["n_masked"], "n_normalised": counts["n_normalised"],
    }
    return Metrics({name: float(value) for name, value in values.items()})
