"""A few coordinates of many features, a mixture of normal densities in them, and the axis along which it lies apart."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

__all__ = ["Mixture", "Plane", "fit_mixture", "flattest_axes", "principal_plane"]

_CLIPPED = 0.5  # percent of the galaxies at either end of each feature, so that single ones do not set an axis
_STEPS = 500
_TOLERANCE = 1e-9  # of the mean log-likelihood
_RIDGE = 1e-6
# A part of a smaller share than this over the number of parts is a handful of outliers and no population.
_LEAST_SHARE = 0.3
_SAME_AXIS = 0.95  # cosine


class Plane(NamedTuple):
    """From features to a few uncorrelated coordinates, as `principal_plane` found."""

    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    """Shape ``(feature, component)``; coordinates have variance 1."""
    variance: np.ndarray
    """Share of each component in the variance of the features."""

    def coordinates(self, values):
        """Coordinates of features of shape ``(n, feature)``, shape ``(n, component)``."""
        return (np.clip(values, self.low, self.high) - self.centre) @ self.axes


class Mixture(NamedTuple):
    """What `fit_mixture` found, in the order of the parts along the axis."""

    shares: np.ndarray
    """Of the galaxies, shape ``(part,)``."""
    means: np.ndarray
    """Shape ``(part, dimension)``."""
    covariance: np.ndarray
    """Of each part, shape ``(dimension, dimension)``."""
    axis: np.ndarray
    """Direction that separates the means best against the scatter within the parts, which along it is 1."""
    bic_gain: float
    """Bayesian information criterion of a single normal density less that of the mixture."""

    def probabilities(self, points):
        """Probability of each part for points of shape ``(n, dimension)``, shape ``(n, part)``."""
        return _probabilities(points, self.shares, self.means, self.covariance)

    def score(self, points):
        """Place along the axis, 0 at the mean of all, shape ``(n,)``."""
        return (points - self.shares @ self.means) @ self.axis

    def reversed(self):
        """The same with the axis and the order of the parts turned round."""
        return self._replace(shares=self.shares[::-1], means=self.means[::-1], axis=-self.axis)


def principal_plane(values, n_components):
    """The `Plane` of the largest principal components of features of shape ``(n, feature)``, finite."""
    low, high = np.percentile(values, [_CLIPPED, 100 - _CLIPPED], axis=0)
    clipped = np.clip(values, low, high)
    centre = clipped.mean(0)
    _, sizes, axes = np.linalg.svd(clipped - centre, full_matrices=False)
    kept = np.flatnonzero(sizes > 1e-6 * sizes[0])[:n_components] if sizes[0] > 0 else []
    if not len(kept):
        raise ValueError("all galaxies have the same features: the translator is not trained, or they are one galaxy")
    return Plane(low, high, centre, axes[kept].T * (np.sqrt(len(values)) / sizes[kept]),
                 sizes[kept]**2 / np.sum(sizes**2))


def fit_mixture(points, n_parts):
    """Fit by expectation maximisation (Dempster, Laird & Rubin 1977), from the axis along which points are flattest.

    A common covariance makes it Fisher's linear discriminant with classes that nobody gave. The likeliest two parts
    of all may divide a tail or a bend, for clouds of galaxies are not normal; those that are kept start from the
    first of `flattest_axes`, or the next of them if a part ends next to empty. One part more is the likeliest fit
    that starts with one of the parts divided along one of these axes. No chance takes part.

    Parameters
    ----------
    points : ndarray
        Shape ``(n, dimension)``, finite, uncorrelated, of mean 0 and unit variance.
    n_parts : int
        At least 2.

    Returns
    -------
    Mixture

    Raises
    ------
    ValueError
        If every fit ends with a part that is next to empty.
    """
    axes, weight = flattest_axes(points), np.ones((len(points), 1))
    for number in range(2, n_parts + 1):
        fits = (_maximise(points, _divided(weight, part, points @ axis)) for axis in axes for part in range(number - 1))
        fits = (fit for fit in fits if fit[1].min() >= _LEAST_SHARE / n_parts)
        fit = next(fits, None) if number == 2 else max(fits, key=lambda fit: fit[0], default=None)
        if fit is None:
            raise ValueError(
                f"the galaxies do not fall into {n_parts} populations: each fit leaves one of them with less than "
                f"{100 * _LEAST_SHARE / n_parts:.0f} % of the galaxies; ask for fewer with n_populations")
        likelihood, shares, means, covariance = fit
        weight = _probabilities(points, shares, means, covariance)
    axis = _canonical_axis(shares, means, covariance)
    order = np.argsort(means @ axis)
    single = _maximise(points, np.ones((len(points), 1)))[0]
    dimension = points.shape[1]
    n_more = (n_parts - 1) * (dimension + 1)
    gain = 2 * len(points) * (likelihood - single) - n_more * np.log(len(points))
    return Mixture(shares[order], means[order], covariance, axis, float(gain))


def flattest_axes(points):
    """Directions of locally least kurtosis, which two heaps of like size have along the line between them.

    Kurtosis is 1 for two points, 1.8 for a uniform density, 3 for a normal one and more with tails; in a mixture of
    two normal densities of one covariance, each with more than 21 % of the points, the direction of least kurtosis
    is Fisher's discriminant (Pena & Prieto 2001, J. Am. Stat. Assoc. 96, 1433).

    Parameters
    ----------
    points : ndarray
        As of `fit_mixture`.

    Returns
    -------
    list of ndarray
        Unit vectors, the one of least kurtosis first.
    """
    norm = (points**2).sum(1)
    invariant = np.linalg.eigh((points.T * norm) @ points)[1].T  # those of the matrix of fourth moments
    found = [minimize(_kurtosis, start, args=(points,), jac=True, method="BFGS", options={"gtol": 1e-5})
             for start in (*invariant, *np.eye(len(invariant)))]
    axes = []
    for fit in sorted(found, key=lambda fit: fit.fun):
        axis = fit.x / np.linalg.norm(fit.x)
        if all(abs(axis @ other) < _SAME_AXIS for other in axes):
            axes.append(axis)
    return axes


def _kurtosis(vector, points):
    """Fourth moment along a direction, and its gradient by the vector, of any length."""
    length = np.linalg.norm(vector)
    unit = vector / length
    place = points @ unit
    slope = 4 * (place**3 @ points) / len(points)
    return np.mean(place**4), (slope - (slope @ unit) * unit) / length


def _divided(weight, part, place):
    """Probabilities to start from: those of each part, shape ``(n, part)``, with one of them halved along an axis."""
    order = np.argsort(place, kind="stable")
    below = np.cumsum(weight[order, part])
    share = np.full(len(weight), 0.1)
    share[order[below > 0.5 * below[-1]]] = 0.9
    return np.column_stack([np.delete(weight, part, 1), share * weight[:, part], (1 - share) * weight[:, part]])


def _maximise(points, weight):
    moment, previous = points.T @ points / len(points), -np.inf
    for _ in range(_STEPS):
        total = np.maximum(weight.sum(0), 1e-300)
        shares, means = total / len(points), (weight.T @ points) / total[:, None]
        covariance = moment - (means.T * shares) @ means + _RIDGE * np.eye(len(moment))
        joint = _log_joint(points, shares, means, covariance)
        norm = np.logaddexp.reduce(joint, axis=1, keepdims=True)
        weight = np.exp(joint - norm)
        likelihood = float(norm.mean()) + _common(moment, covariance)
        if likelihood - previous < _TOLERANCE:
            break
        previous = likelihood
    return likelihood, shares, means, covariance


def _log_joint(points, shares, means, covariance):
    """Log of share times density, up to what is the same for each part, shape ``(n, part)``."""
    slopes = np.linalg.solve(covariance, means.T)
    return points @ slopes - 0.5 * (means.T * slopes).sum(0) + np.log(np.maximum(shares, 1e-300))


def _probabilities(points, shares, means, covariance):
    joint = _log_joint(points, shares, means, covariance)
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))


def _common(moment, covariance):
    """What is the same for each part, as the mean over points of second moments ``moment``."""
    inner = np.trace(np.linalg.solve(covariance, moment))
    return -0.5 * (inner + np.linalg.slogdet(covariance)[1] + len(covariance) * np.log(2 * np.pi))


def _canonical_axis(shares, means, covariance):
    """First axis of canonical discriminant analysis; for two parts that of Fisher's linear discriminant."""
    root = np.linalg.cholesky(covariance)
    offset = np.linalg.solve(root, (means - shares @ means).T)
    vectors = np.linalg.svd(offset * np.sqrt(shares))[0]
    return np.linalg.solve(root.T, vectors[:, 0])
