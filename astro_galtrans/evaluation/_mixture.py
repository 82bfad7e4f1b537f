"""A mixture of normal densities of one common covariance, and the axis along which its parts lie apart."""

from typing import NamedTuple

import numpy as np

__all__ = ["Mixture", "fit_mixture"]

_N_RANDOM = 16  # random directions that fits start from, beside the coordinates
_STEPS = 500
_TOLERANCE = 1e-9  # of the mean log-likelihood
_RIDGE = 1e-6
# A part of a smaller share than this over the number of parts is a handful of outliers and no population.
_LEAST_SHARE = 0.3


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
        joint = _log_joint(points, self.shares, self.means, self.covariance)
        return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))

    def score(self, points):
        """Place along the axis, 0 at the mean of all, shape ``(n,)``."""
        return (points - self.shares @ self.means) @ self.axis

    def reversed(self):
        """The same with the axis and the order of the parts turned round."""
        return self._replace(shares=self.shares[::-1], means=self.means[::-1], axis=-self.axis)


def fit_mixture(points, n_parts, seed):
    """Fit by expectation maximisation (Dempster, Laird & Rubin 1977) from many starts, and keep the likeliest.

    A common covariance makes it Fisher's linear discriminant with classes that nobody gave.

    Parameters
    ----------
    points : ndarray
        Shape ``(n, dimension)``, finite, uncorrelated and of unit variance.
    n_parts : int
        At least 2.
    seed : int
        Of the directions of the starts.

    Returns
    -------
    Mixture

    Raises
    ------
    ValueError
        If every fit ends with a part that is next to empty.
    """
    rng = np.random.default_rng(seed)
    dimension = points.shape[1]
    starts = np.concatenate([np.eye(dimension), rng.standard_normal((_N_RANDOM, dimension))])
    fits = [_maximise(points, _quantile_groups(points @ start, n_parts)) for start in starts]
    fits = [fit for fit in fits if fit[1].min() >= _LEAST_SHARE / n_parts]
    if not fits:
        raise ValueError(f"the galaxies do not fall into {n_parts} populations: each fit leaves one of them with less "
                         f"than {100 * _LEAST_SHARE / n_parts:.0f} % of the galaxies; ask for fewer with n_populations")
    likelihood, shares, means, covariance = max(fits, key=lambda fit: fit[0])
    axis = _canonical_axis(shares, means, covariance)
    order = np.argsort(means @ axis)
    single = _maximise(points, np.ones((len(points), 1)))[0]
    n_more = (n_parts - 1) * (dimension + 1)
    gain = 2 * len(points) * (likelihood - single) - n_more * np.log(len(points))
    return Mixture(shares[order], means[order], covariance, axis, float(gain))


def _quantile_groups(values, n_parts):
    """Probabilities to start from: mostly the part that the rank of a value says, shape ``(n, n_parts)``."""
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return 0.8 * np.eye(n_parts)[rank * n_parts // len(values)] + 0.2 / n_parts


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
