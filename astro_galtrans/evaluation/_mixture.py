"""Principal components of many features, and a Gaussian mixture in them, with scikit-learn."""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize

from astro_galtrans._utils.optional import optional

__all__ = ["PURPOSE", "Mixture", "Plane", "fit_mixture", "flattest_axes", "principal_plane"]

PURPOSE = "populations of galaxies"

_CLIPPED = 0.5  # percent of the galaxies at either end of each feature, so that outliers do not set an axis
# A part with a smaller share than this over the number of parts holds outliers and is no population.
_LEAST_SHARE = 0.3
_SAME_AXIS = 0.95  # cosine


def _sklearn(module):
    return optional(f"sklearn.{module}", "populations", PURPOSE)


@dataclass(frozen=True)
class Plane:
    """Transformation from features to a few uncorrelated coordinates of unit variance."""

    low: np.ndarray
    high: np.ndarray
    pca: Any
    """A fitted `sklearn.decomposition.PCA` with ``whiten=True``."""

    def coordinates(self, values):
        """Return coordinates (n, component) of features (n, feature); NaN in, NaN out."""
        good = np.isfinite(values).all(1)
        points = np.full((len(values), self.pca.n_components_), np.nan)
        if good.any():
            points[good] = self.pca.transform(np.clip(values[good], self.low, self.high))
        return points


@dataclass(frozen=True)
class Mixture:
    """Gaussian mixture with one common covariance, its parts in order along the axis that separates them."""

    model: Any
    """A fitted `sklearn.mixture.GaussianMixture` with ``covariance_type="tied"``."""
    order: np.ndarray
    """Index in the model of each part."""
    axis: np.ndarray
    """Direction that separates the means best against the scatter within the parts, which along it is 1."""
    seed: int
    bic_gain: float
    """Bayesian information criterion of a single normal density minus that of the mixture."""

    @property
    def shares(self):
        """Shares of the parts, shape ``(part,)``."""
        return self.model.weights_[self.order]

    @property
    def means(self):
        """Means of the parts, shape ``(part, dimension)``."""
        return self.model.means_[self.order]

    @property
    def precision(self):
        """Inverse covariance of each part, shape ``(dimension, dimension)``."""
        return self.model.precisions_

    def probabilities(self, points):
        """Return the probability of each part (n, part) for points (n, dimension)."""
        return self.model.predict_proba(points)[:, self.order] if len(points) else np.empty((0, len(self.order)))

    def score(self, points):
        """Return the position along the axis, 0 at the mean of all, shape ``(n,)``."""
        return (points - self.shares @ self.means) @ self.axis

    def reversed(self):
        """Return the mixture with the axis and the order of the parts reversed."""
        return replace(self, order=self.order[::-1], axis=-self.axis)


def principal_plane(values, n_components, seed=0):
    """Return the `Plane` of the largest principal components of finite features of shape ``(n, feature)``."""
    low, high = np.percentile(values, [_CLIPPED, 100 - _CLIPPED], axis=0)
    clipped = np.clip(values, low, high)
    sizes = np.linalg.svd(clipped - clipped.mean(0), compute_uv=False)
    n_kept = min(n_components, int(np.count_nonzero(sizes > 1e-6 * sizes[0]))) if sizes[0] > 0 else 0
    if not n_kept:
        raise ValueError("all galaxies have the same features: the translator is not trained, or they are one galaxy")
    pca = _sklearn("decomposition").PCA(n_kept, whiten=True, svd_solver="full", random_state=seed)
    return Plane(low, high, pca.fit(clipped))


def fit_mixture(points, n_parts, seed=0):
    """Fit a Gaussian mixture of one common covariance, starting from the axis along which the points are flattest.

    With a common covariance it is Fisher's linear discriminant with unknown classes. The likeliest two parts may
    divide a tail or a bend, since clouds of galaxies are not normal; so the fit starts from the direction of least
    kurtosis, or the next one if a part ends almost empty. Each further part is the likeliest fit that starts with one
    of the parts divided along one of these directions.

    The points of shape ``(n, dimension)`` must be finite and uncorrelated, with mean 0 and unit variance. ValueError if
    every fit ends with a part that is almost empty.
    """
    axes, labels, model = flattest_axes(points), np.zeros(len(points), dtype=int), None
    for number in range(2, n_parts + 1):
        fits = (_fitted(points, _divided(labels, part, points @ axis), seed) for axis in axes
                for part in range(number - 1))
        fits = (fit for fit in fits if fit is not None and fit.weights_.min() >= _LEAST_SHARE / n_parts)
        model = next(fits, None) if number == 2 else max(fits, key=lambda fit: fit.lower_bound_, default=None)
        if model is None:
            raise ValueError(
                f"the galaxies do not fall into {n_parts} populations: each fit leaves one of them with less than "
                f"{100 * _LEAST_SHARE / n_parts:.0f} % of the galaxies; ask for fewer with n_populations")
        labels = model.predict(points)
    axis = _canonical_axis(model)
    single = _fitted(points, np.zeros(len(points), dtype=int), seed)
    return Mixture(model, np.argsort(model.means_ @ axis), axis, seed, float(single.bic(points) - model.bic(points)))


def flattest_axes(points):
    """Return directions of locally least kurtosis, as of the line between two clusters of similar size.

    Kurtosis is 1 for two points, 1.8 for a uniform density, 3 for a normal one and more with tails; in a mixture of
    two normal densities of one covariance, each with more than 21 % of the points, the direction of least kurtosis
    is Fisher's discriminant (Pena & Prieto 2001, J. Am. Stat. Assoc. 96, 1433).

    The points are those of `fit_mixture`. Returns a list of unit vectors, the one of least kurtosis first.
    """
    # FastICA of scikit-learn stays in maxima of the kurtosis where there are many components.
    norm = (points**2).sum(1)
    invariant = np.linalg.eigh((points.T * norm) @ points)[1].T  # axes of the matrix of fourth moments
    found = [minimize(_kurtosis, start, args=(points,), jac=True, method="BFGS", options={"gtol": 1e-5})
             for start in (*invariant, *np.eye(len(invariant)))]
    axes = []
    for fit in sorted(found, key=lambda fit: fit.fun):
        axis = fit.x / np.linalg.norm(fit.x)
        if all(abs(axis @ other) < _SAME_AXIS for other in axes):
            axes.append(axis)
    return axes


def _kurtosis(vector, points):
    """Fourth moment along a direction, and its gradient with respect to the vector, of any length."""
    length = np.linalg.norm(vector)
    unit = vector / length
    place = points @ unit
    slope = 4 * (place**3 @ points) / len(points)
    return np.mean(place**4), (slope - (slope @ unit) * unit) / length


def _divided(labels, part, place):
    """Labels with one part divided in two at its median along an axis."""
    own = np.flatnonzero(labels == part)
    upper = own[place[own] > np.median(place[own])]
    labels = labels.copy()
    labels[upper] = labels.max() + 1
    return labels


def _fitted(points, labels, seed):
    """The mixture that expectation maximization reaches from parts with these labels; None if a part is empty."""
    counts = np.bincount(labels)
    if counts.min() < 2:
        return None
    means = np.array([points[labels == part].mean(0) for part in range(len(counts))])
    covariance = np.cov((points - means[labels]).T, bias=True).reshape(2 * points.shape[1:])
    mixture = _sklearn("mixture").GaussianMixture(
        len(counts), covariance_type="tied", tol=1e-8, max_iter=500, weights_init=counts / len(points),
        means_init=means, precisions_init=np.linalg.inv(covariance + 1e-6 * np.eye(len(covariance))),
        init_params="random", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _sklearn("exceptions").ConvergenceWarning)
        return mixture.fit(points)


def _canonical_axis(model):
    """First axis of canonical discriminant analysis; for two parts that of Fisher's linear discriminant."""
    root = model.precisions_cholesky_
    offset = (model.means_ - model.weights_ @ model.means_) @ root
    return root @ np.linalg.svd(offset.T * np.sqrt(model.weights_))[0][:, 0]
