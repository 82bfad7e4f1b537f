"""The fit of PIT densities: how strong a prior, how large a neighbourhood, judged on galaxies held out."""

import warnings

import numpy as np
import torch

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz._neighbors import FeatureSpace

__all__ = ["fit_global", "fit_local", "standard_error"]

_STRENGTHS = tuple(10.0**power for power in np.arange(0.5, 5, 0.5))
_LOCAL_STRENGTHS = (10.0, 30.0, 100.0)
_FEWEST, _MOST, _N_ANCHORS, _N_FOLDS = 25, 5000, 2000, 5
_ITERATIONS, _LOCAL_ITERATIONS = 200, 20


def standard_error(values):
    """Standard error of the mean, a float."""
    return (values.std() / len(values) ** 0.5).item()


def _fit_folds(basis, bins, share, fold, strength):
    """The global weights without each fold, shape ``(n_folds, n_nodes)``."""
    inside = [fold != number for number in range(_N_FOLDS)]
    counts = torch.cat([basis.histogram(bins[rows][None], share[rows][None]) for rows in inside])
    return basis.fit(counts, basis.uniform, strength, _ITERATIONS)


def fit_global(basis, bins, share, strength, rng):
    """One PIT density for all galaxies.

    Parameters
    ----------
    basis : PITBasis
    bins, share : `torch.Tensor`
        Bin of the PIT of each galaxy, and its weight with mean 1.
    strength : float or "auto"
        Of the prior; by default the strongest that in a cross-validation is no worse than the best by more than
        the standard error.
    rng : `numpy.random.Generator`

    Returns
    -------
    tuple
        Weights ``(1, n_nodes)``, strength, for each galaxy its gain in log score while it was held out, and the
        weights ``(n, n_nodes)`` without it.
    """
    fold = torch.from_numpy(rng.permutation(len(bins)) % _N_FOLDS).to(bins.device)
    tried = []
    for candidate in _STRENGTHS if strength == "auto" else (float(strength),):
        without = _fit_folds(basis, bins, share, fold, candidate)
        tried.append((candidate, share * _log_density(basis, without, fold, bins), without))
    best = max(tried, key=lambda entry: entry[1].mean().item())
    # The strongest prior that is no worse than the best by more than chance.
    strength, gain, without = next(
        entry for entry in reversed(tried)
        if (best[1] - entry[1]).mean().item() <= standard_error(best[1] - entry[1]))
    weights = basis.fit(basis.histogram(bins[None], share[None]), basis.uniform, strength, _ITERATIONS)
    return weights, strength, gain, without[fold]


def _log_density(basis, weights, row, bins):
    return (weights @ basis.shapes.T)[row, bins].log()


def fit_local(basis, bins, share, features, prior, gain, n_neighbors, rng):
    """PIT densities that depend on features: fitted to the nearest galaxies of some of them, the anchors.

    Parameters
    ----------
    basis, bins, share, rng
        As in `fit_global`.
    features : ndarray
        Shape ``(n, n_features)``; galaxies with a NaN do not count.
    prior : tuple of `torch.Tensor`
        The global weights ``(1, n_nodes)``, and those without each galaxy ``(n, n_nodes)``.
    gain : `torch.Tensor`
        Gain of each galaxy by the global weights.
    n_neighbors : int or "auto"

    Returns
    -------
    dict or None, `torch.Tensor`
        What a local calibration keeps, None where it is no better than the global one, and the gain of each galaxy.
    """
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    if len(known) < 2 * _FEWEST:
        raise ValueError(f"a local calibration needs at least {2 * _FEWEST} galaxies that have all features, got "
                         f"{len(known)}")
    space, place = FeatureSpace(features[known]), torch.from_numpy(known).to(bins.device)
    anchors = np.sort(rng.permutation(len(known))[:_N_ANCHORS])
    case = _Neighborhoods(basis, bins[place], share[place], space, anchors)
    own = place[torch.from_numpy(anchors).to(bins.device)]
    scores = case.scores(_sizes(n_neighbors, len(known)), prior[1][own])
    n_neighbors_best, strength = max(scores, key=lambda key: scores[key].mean().item())
    local_gain = scores[n_neighbors_best, strength]
    better = local_gain - gain[own]
    if n_neighbors == "auto" and better.mean().item() <= standard_error(better):
        warnings.warn("the PIT does not depend on the features by more than chance: the calibration is global",
                      GaltransWarning, 4)
        return None, gain
    weights = case.weights(n_neighbors_best, strength, prior[0])
    return {
        "anchors": space.features[anchors], "weights": weights.cpu().numpy(), "scale": space.scale,
        "range": np.array([space.features.min(axis=0), space.features.max(axis=0)]),
        "n_neighbors": n_neighbors_best, "strength": strength,
    }, local_gain


def _sizes(n_neighbors, n):
    """Sizes of neighbourhoods to try, increasing."""
    if n_neighbors != "auto":
        if n_neighbors >= n:
            raise ValueError(f"n_neighbors must be below the {n} galaxies of the fit, got {n_neighbors}")
        return [int(n_neighbors)]
    largest = max(_FEWEST, min(n // 4, _MOST))
    return sorted({max(largest >> step, _FEWEST) for step in range(9)})


class _Neighborhoods:
    """The galaxies around each anchor."""

    def __init__(self, basis, bins, share, space, anchors):
        self.basis, self.bins, self.share, self.space, self.anchors = basis, bins, share, space, anchors

    def _counts(self, index):
        return self.basis.histogram(self.bins[index], self.share[index])

    def scores(self, sizes, prior):
        """For each size and strength the log density at each anchor's own PIT, which has no part in the fit."""
        scores = {(size, strength): [] for size in sizes for strength in _LOCAL_STRENGTHS}
        nearest = self.space.nearest(self.space.features[self.anchors], sizes[-1], self.bins.device, own=self.anchors)
        for rows, index, _ in nearest:
            own = torch.from_numpy(self.anchors[rows]).to(self.bins.device)
            counts = {size: self._counts(index[:, :size]) for size in sizes}
            for size, strength in scores:
                fitted = self.basis.fit(counts[size], prior[rows], strength, _LOCAL_ITERATIONS)
                each = torch.arange(len(own), device=own.device)
                scores[size, strength].append(
                    self.share[own] * _log_density(self.basis, fitted, each, self.bins[own]))
        return {key: torch.cat(parts) for key, parts in scores.items()}

    def weights(self, size, strength, prior):
        """Weights of the PIT density around each anchor, shape ``(n_anchors, n_nodes)``."""
        return torch.cat([
            self.basis.fit(self._counts(index), prior, strength, _LOCAL_ITERATIONS) for _, index, _ in
            self.space.nearest(self.space.features[self.anchors], size, self.bins.device)])
