"""The probability density of the PIT: its fit to all galaxies, and to the neighbors of each in a space of features.

The density on [0, 1] is linear between nodes, a mixture of the triangles ("hats") of the nodes. Its weights, one row
for each density, have the shape ``(m, n_nodes)``, are positive and sum to one, so that each density is normalized.
"""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.masked import floats
from astro_galtrans.exceptions import GaltransWarning

__all__ = ["FeatureSpace", "PITBasis", "PITSample", "feature_array", "fit_global", "fit_local", "standard_error"]

_BINS_OF_CELL = 8
# Elements of one block of distances, so that memory stays below about 100 MB.
_BLOCK = 4_000_000
_STRENGTHS = tuple(10.0**power for power in np.arange(0.5, 5, 0.5))
_LOCAL_STRENGTHS = (10.0, 30.0, 100.0)
_FEWEST, _MOST, _N_ANCHORS, _N_FOLDS = 25, 5000, 2000, 5
_ITERATIONS, _LOCAL_ITERATIONS = 200, 20
# With densities too narrow by a factor of two, 5 % of the PITs are beyond four sigma.
_TAIL_SIGMAS = (-4.0, -3.5, -3.0, -2.5, -2.0)


def _nodes():
    tail = torch.special.ndtr(torch.tensor(_TAIL_SIGMAS, dtype=torch.float64, device="cpu"))
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device="cpu")
    inner = torch.arange(1, 20, dtype=torch.float64, device="cpu")
    return torch.cat([ends[:1], tail, inner / 20, 1 - tail.flip(0), ends[1:]])


class PITBasis:
    """Nodes of the PIT density, dense near 0 and 1, and the fit of the weights.

    The nodes are 0.05 apart, and beyond 0.05 and 0.95 half a sigma of a normal distribution, up to 4 sigma, because
    the PITs of densities that are too narrow accumulate at both ends.
    """

    def __init__(self, device, dtype):
        place = {"device": device, "dtype": dtype}
        nodes = _nodes()
        parts = torch.arange(_BINS_OF_CELL, dtype=torch.float64, device="cpu") / _BINS_OF_CELL
        edges = (nodes[:-1, None] + parts * torch.diff(nodes)[:, None]).flatten()
        edges = torch.cat([edges, nodes[-1:]])
        centers = 0.5 * (edges[1:] + edges[:-1])
        half = 0.5 * torch.diff(nodes)
        area = torch.nn.functional.pad(half, (0, 1)) + torch.nn.functional.pad(half, (1, 0))
        above = (centers[:, None] - nodes[:-1]) / torch.diff(nodes)
        rise = torch.nn.functional.pad(above, (1, 0), value=torch.inf)
        fall = torch.nn.functional.pad(1 - above, (0, 1), value=torch.inf)
        hats = torch.minimum(rise, fall).clamp(min=0)
        self.nodes, self.area, self.edges = nodes.to(**place), area.to(**place), edges.to(**place)
        # Hats are straight within a bin, so that the value at the center is the mean over the bin.
        self.shapes = (hats / area).to(**place)

    @property
    def uniform(self):
        """Weights of the uniform density, shape ``(1, n_nodes)``."""
        return self.area[None]

    def bins_of(self, pit):
        """Return the bin of the histogram of each PIT."""
        inner = self.edges[1:-1]
        return torch.bucketize(pit.to(self.edges).contiguous(), inner, right=True)

    def histogram(self, bins, weights=None):
        """Return weighted counts of the bins along the last axis, shape ``(m, n_bins)`` for ``(m, k)``."""
        counts = torch.zeros(len(bins), len(self.edges) - 1, device=self.edges.device, dtype=self.edges.dtype)
        weights = torch.ones_like(bins, dtype=counts.dtype) if weights is None else weights
        return counts.scatter_add_(1, bins, weights)

    def fit(self, counts, prior, strength, n_iterations):
        """Return the weights of maximum posterior probability for histograms, by expectation maximization.

        The Dirichlet prior has weights of shape ``(1, n_nodes)`` or ``(m, n_nodes)``, where the iterations start, and
        corresponds to ``strength`` galaxies.
        """
        weights = prior.expand(len(counts), -1)
        total = counts.sum(dim=1, keepdim=True) + strength
        for _ in range(n_iterations):
            share = weights * ((counts / (weights @ self.shapes.T)) @ self.shapes)
            weights = (share + strength * prior) / total
        return weights

    def density(self, weights, pit):
        """Return densities at PITs of shape ``(m, k)``."""
        cell = self._cell(pit)
        height = (weights / self.area).expand(len(pit), -1)
        left, right = height.gather(1, cell), height.gather(1, cell + 1)
        return left + (right - left) * self._part(pit, cell)

    def cumulative(self, weights, pit):
        """Return cumulative probabilities at PITs of shape ``(m, k)``."""
        cell = self._cell(pit)
        height = (weights / self.area).expand(len(pit), -1)
        whole = 0.5 * (height[:, 1:] + height[:, :-1]) * torch.diff(self.nodes)
        before = torch.nn.functional.pad(torch.cumsum(whole, dim=1), (1, 0)).gather(1, cell)
        left, right = height.gather(1, cell), height.gather(1, cell + 1)
        part, width = self._part(pit, cell), torch.diff(self.nodes)[cell]
        return before + width * part * (left + 0.5 * (right - left) * part)

    def _cell(self, pit):
        return (torch.searchsorted(self.nodes, pit.contiguous(), right=True) - 1).clamp(0, len(self.nodes) - 2)

    def _part(self, pit, cell):
        return (pit - self.nodes[cell]) / (self.nodes[cell + 1] - self.nodes[cell])


def feature_array(features, n=None):
    """Return features as a float64 array of shape ``(n, n_features)``, NaN where masked or not finite."""
    if isinstance(features, Table):
        features = {name: features[name] for name in features.colnames}
    columns = []
    for column in list(features.values()) if isinstance(features, dict) else [features]:
        column = floats(column, "features", dtype=float, kinds="iufb")
        columns.append(column[:, None] if column.ndim == 1 else column)
    n = len(columns[0]) if n is None and columns and columns[0].ndim else n
    if not columns or any(column.ndim != 2 or len(column) != n or not column.shape[1] for column in columns):
        shapes = ", ".join(str(column.shape) for column in columns)
        raise ValueError(f"features must have the shape ({n},) or ({n}, n_features), got {shapes or 'no column'}")
    joined = np.concatenate(columns, axis=1)
    return np.where(np.isfinite(joined), joined, np.nan)


class FeatureSpace:
    """Galaxies in a space of features, each divided by its spread so that units have no effect.

    The spread ``scale`` is by default the difference of the 75th and 25th percentile, or the standard deviation if that
    is zero.
    """

    def __init__(self, features, scale=None):
        self.features = np.array(features, dtype=float)
        if scale is None:
            low, high = np.percentile(self.features, [25, 75], axis=0)
            scale = np.where(high > low, high - low, np.std(self.features, axis=0))
        self.scale = np.where(np.asarray(scale) > 0, scale, 1.0)

    def __len__(self):
        return len(self.features)

    def nearest(self, features, k, device, own=None):
        """Yield rows of the features in blocks, their ``k`` nearest galaxies, nearest first, and the distances.

        ``own`` is the galaxy of each row, which is excluded.
        """
        dtype = torch.float32 if device.type == "mps" else torch.float64
        here = torch.from_numpy(self.features / self.scale).to(device, dtype)
        there = torch.from_numpy(np.asarray(features, dtype=float) / self.scale).to(device, dtype)
        block = max(1, _BLOCK // len(here))
        for start in range(0, len(there), block):
            rows = slice(start, min(start + block, len(there)))
            distance = torch.cdist(there[rows], here, compute_mode="donot_use_mm_for_euclid_dist")
            if own is not None:
                distance.scatter_(1, torch.as_tensor(own[rows], device=device)[:, None], torch.inf)
            found = torch.topk(distance, k, dim=1, largest=False, sorted=True)
            yield rows, found.indices, found.values


class PITSample(NamedTuple):
    """PITs of the galaxies of a fit: the bin of each, and its weight, with mean 1."""

    basis: PITBasis
    bins: torch.Tensor
    share: torch.Tensor

    def histogram(self, rows):
        """Return the weighted histograms of rows of shape ``(m, k)``."""
        return self.basis.histogram(self.bins[rows], self.share[rows])

    def log_density(self, weights, row, galaxies):
        """Return the weighted log density at the PIT of some galaxies, each of one row of weights."""
        density = (weights @ self.basis.shapes.T)[row, self.bins[galaxies]]
        return self.share[galaxies] * density.log()


class GlobalFit(NamedTuple):
    """One PIT density for all galaxies."""

    weights: torch.Tensor
    """Weights, shape ``(1, n_nodes)``."""
    strength: float
    """Number of galaxies that the prior corresponds to."""
    gain: torch.Tensor
    """Gain in log score of each galaxy by the fit without its fold, shape ``(n,)``."""
    without: torch.Tensor
    """Weights of the fit without the fold of each galaxy, shape ``(n, n_nodes)``."""


def standard_error(values):
    """Return the standard error of the mean as a float."""
    return (values.std() / len(values) ** 0.5).item()


def fit_global(sample, strength, rng):
    """Return the `GlobalFit` to a `PITSample`.

    The strength "auto" of the prior is the largest that in a cross-validation is not worse than the best by more than
    the standard error.
    """
    basis, everyone = sample.basis, torch.arange(len(sample.bins), device=sample.bins.device)
    fold = torch.from_numpy(rng.permutation(len(everyone)) % _N_FOLDS).to(everyone.device)
    counts = torch.cat([sample.histogram(everyone[fold != number][None]) for number in range(_N_FOLDS)])
    tried = []
    for candidate in _STRENGTHS if strength == "auto" else (float(strength),):
        without = basis.fit(counts, basis.uniform, candidate, _ITERATIONS)
        tried.append((candidate, sample.log_density(without, fold, everyone), without))
    best = max(tried, key=lambda entry: entry[1].mean().item())
    strength, gain, without = next(
        entry for entry in reversed(tried)
        if (best[1] - entry[1]).mean().item() <= standard_error(best[1] - entry[1]))
    weights = basis.fit(sample.histogram(everyone[None]), basis.uniform, strength, _ITERATIONS)
    return GlobalFit(weights, strength, gain, without[fold])


def fit_local(sample, features, prior, n_neighbors, rng):
    """Fit PIT densities to the nearest galaxies of some galaxies with all features, the anchors.

    The result is the state of a local calibration, None if it is not better than that of the `GlobalFit` ``prior``, and
    the gain of each galaxy.
    """
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    if len(known) < 2 * _FEWEST:
        raise ValueError(f"features must be known for at least {2 * _FEWEST} galaxies for a local calibration, got "
                         f"{len(known)}")
    space, place = FeatureSpace(features[known]), torch.from_numpy(known).to(sample.bins.device)
    anchors = np.sort(rng.permutation(len(known))[:_N_ANCHORS])
    own = place[torch.from_numpy(anchors).to(place.device)]
    neighborhoods = _Neighborhoods(PITSample(sample.basis, sample.bins[place], sample.share[place]), space, anchors)
    scores = neighborhoods.scores(_sizes(n_neighbors, len(known)), prior.without[own])
    size, strength = max(scores, key=lambda key: scores[key].mean().item())
    gain = scores[size, strength]
    better = gain - prior.gain[own]
    if n_neighbors == "auto" and better.mean().item() <= standard_error(better):
        warnings.warn("the PIT does not depend on the features by more than chance: the calibration is global",
                      GaltransWarning, 4)
        return None, prior.gain
    return {
        "anchors": space.features[anchors], "weights": neighborhoods.weights(size, strength, prior.weights),
        "scale": space.scale, "range": np.array([space.features.min(axis=0), space.features.max(axis=0)]),
        "n_neighbors": size, "strength": strength,
    }, gain


def _sizes(n_neighbors, n):
    """Return the increasing sizes of neighborhoods to try."""
    if n_neighbors != "auto":
        if n_neighbors >= n:
            raise ValueError(f"n_neighbors must be below the {n} galaxies of the fit, got {n_neighbors}")
        return [int(n_neighbors)]
    largest = max(_FEWEST, min(n // 4, _MOST))
    return sorted({max(largest >> step, _FEWEST) for step in range(9)})


class _Neighborhoods:
    """The galaxies around each anchor."""

    def __init__(self, sample, space, anchors):
        self.sample, self.space, self.anchors = sample, space, anchors

    def _nearest(self, size, own=None):
        return self.space.nearest(self.space.features[self.anchors], size, self.sample.bins.device, own)

    def scores(self, sizes, prior):
        """Return for each size and strength the log density at the PIT of each anchor, fitted without it."""
        scores = {(size, strength): [] for size in sizes for strength in _LOCAL_STRENGTHS}
        for rows, index, _ in self._nearest(sizes[-1], own=self.anchors):
            own = torch.from_numpy(self.anchors[rows]).to(index.device)
            each = torch.arange(len(own), device=own.device)
            counts = {size: self.sample.histogram(index[:, :size]) for size in sizes}
            for size, strength in scores:
                fitted = self.sample.basis.fit(counts[size], prior[rows], strength, _LOCAL_ITERATIONS)
                scores[size, strength].append(self.sample.log_density(fitted, each, own))
        return {key: torch.cat(parts) for key, parts in scores.items()}

    def weights(self, size, strength, prior):
        """Return the weights of the PIT density around each anchor, an array of shape ``(n_anchors, n_nodes)``."""
        return torch.cat([
            self.sample.basis.fit(self.sample.histogram(index), prior, strength, _LOCAL_ITERATIONS)
            for _, index, _ in self._nearest(size)]).cpu().numpy()
