"""Whether a galaxy is like those of the training, and its translation consistent with its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Assessment", "Assessor"]

_LIMITS = (0.5, 99.5)  # percentiles of the measures of the training galaxies
# A twentieth of ordinary galaxies has a neighbor so close that it is a blend.
_HIGHEST = {"second peak": 95.0, "trail": 99.0}
_MARGIN = 0.05  # of ln FWHM and ln noise beyond these
_FARTHEST = 12.0  # standard deviations at which a measure is clipped
_N_COMPONENTS = 16  # of the embedding
_RIDGE = 0.02  # of the correlation matrix
_COLORS = "color distance"


def _between(prefix):
    return lambda name: name == prefix or name.startswith(f"{prefix} ")


# Flag, the measures that raise it, and whether it is raised below and above their limits.
_RULES = (
    ("star", _between("extent"), True, False),
    ("saturated core", _between("plateau"), True, False),
    ("saturated core", _between("core masked"), False, True),
    ("trail", _between("trail"), False, True),
    ("blend", _between("second peak"), False, True),
    ("bands shuffled or zero point off", _between(_COLORS), False, True),
    ("PSF outside training range", _between("psf"), True, True),
    ("noise outside training range", _between("noise"), True, True),
    ("magnitude outside training range", _between("magnitude"), True, True),
    ("size outside training range", _between("size"), True, True),
    ("masked", _between("masked"), False, True),
    ("inconsistent with the input", _between("chi2"), False, True),
)


@dataclass(frozen=True, eq=False)
class Assessment:
    """Whether to believe the translation of a galaxy; the result of `Translator.assess`.

    Attributes
    ----------
    p_value : float
        Share of ordinary galaxies that are at least as unusual: of these, 5 % have a p-value below 0.05. At least
        ``1 / (n + 1)`` for n galaxies on which it was calibrated; NaN for a translator without an `Assessor`.
    chi2 : float
        Mean over the pixels of the squared ``residual``.
    residual : ndarray
        Input minus degraded translation, in standard deviations of the two, of the shape of the input; NaN where
        masked.
    unsupported : ndarray of bool
        Input pixels where the translation implies flux that the input does not have, by 5 standard deviations on
        3 x 3 pixels.
    flags : tuple of str
        Reasons for doubt: measures outside the range of 99 % of the training galaxies, or 95 % for blends.
    """

    p_value: float
    chi2: float
    residual: np.ndarray
    unsupported: np.ndarray
    flags: tuple[str, ...]

    @property
    def chi2_map(self) -> np.ndarray:
        """Squared residual of each pixel, shape ``(band, y, x)``; NaN where masked."""
        return self.residual**2

    def __repr__(self) -> str:
        flags = f", {', '.join(self.flags)}" if self.flags else ""
        return f"<Assessment: p-value {self.p_value:.3g}, chi2 {self.chi2:.3g} per pixel{flags}>"


class Assessor:
    """Density of the measures of training galaxies, and their limits.

    Made by `Assessor.fit`, which `~astro_galtrans.training.fit` calls.

    Parameters
    ----------
    center, spread : dict of str to float
        Median and half of the width of the middle 68 % of each measure, in the order of the features.
    limits : dict of str to tuple of float
        Percentiles 0.5 and 99.5 of each measure; 95 and 99 are the upper ones of second peaks and trails.
    arrays : dict of str to ndarray
        ``embedding_mean`` and ``components`` of the principal components of the embedding, ``mean`` and ``precision``
        of the standardized measures and components, ``colors`` the precision of the colors, and ``scores``, the sorted
        squared distances of the galaxies that calibrate the p-values.
    unstated : Assessor, optional
        That of the same galaxies with the PSF of the input not stated, for images of which it is not known.

    Attributes
    ----------
    FEWEST : int
        Galaxies needed for the density, and as many others for its calibration.
    """

    FEWEST = 64

    def __init__(
        self, center: dict[str, float], spread: dict[str, float], limits: dict[str, tuple[float, float]],
        arrays: dict[str, np.ndarray], unstated: Assessor | None = None,
    ) -> None:
        self.center, self.spread, self.limits, self.arrays = center, spread, limits, arrays
        self.unstated = unstated

    def __repr__(self) -> str:
        return f"<Assessor: {len(self.center)} measures, calibrated on {len(self.arrays['scores'])} galaxies>"

    @classmethod
    def fit(
        cls, measures: dict[str, np.ndarray], embedding: np.ndarray, held_measures: dict[str, np.ndarray],
        held_embedding: np.ndarray, unstated: Assessor | None = None,
    ) -> Assessor:
        """Measure the density of galaxies and calibrate it on others.

        Parameters
        ----------
        measures, held_measures : dict of str to ndarray
            Measures by name, each of shape ``(galaxy,)``, NaN where unknown.
        embedding, held_embedding : ndarray
            Shape ``(galaxy, n_embedding)``.
        unstated : Assessor, optional
            As of the constructor.
        """
        center, spread, limits = {}, {}, {}
        for name, values in measures.items():
            known = values[np.isfinite(values)]
            low, middle, high = np.percentile(known, (16, 50, 84)) if len(known) else (0.0, 0.0, 0.0)
            center[name] = float(middle)
            spread[name] = float(max((high - low) / 2, 1e-3))
            if len(known):
                percentiles = _LIMITS[0], _HIGHEST.get(name, _LIMITS[1])
                limits[name] = tuple(np.percentile(known, percentiles).tolist())
        mean = embedding.mean(0)
        _, singular, components = np.linalg.svd(embedding - mean, full_matrices=False)
        size = singular[:_N_COMPONENTS] / np.sqrt(len(embedding))
        components = components[:_N_COMPONENTS][size > 1e-6] / size[size > 1e-6, None]
        made = cls(center, spread, limits, {"embedding_mean": mean, "components": components}, unstated)
        features = made._features(measures, embedding)
        made.arrays |= {"mean": features.mean(0), "precision": _precision(features)}
        colors = made._colors(measures)
        made.arrays["colors"] = _precision(colors)
        made.limits[_COLORS] = (-np.inf, float(np.percentile(made._color_distance(measures), _LIMITS[1])))
        made.arrays["scores"] = np.sort(made.score(held_measures, held_embedding))
        return made

    def _features(self, measures, embedding):
        # A measure that no galaxy of the training has, as the width of the PSF, says nothing.
        standard = [np.nan_to_num((measures[name] - self.center[name]) / self.spread[name])
                    if name in self.limits else np.zeros(len(embedding)) for name in self.center]
        parts = (embedding - self.arrays["embedding_mean"]) @ self.arrays["components"].T
        return np.clip(np.column_stack([*standard, parts]), -_FARTHEST, _FARTHEST)

    def _colors(self, measures):
        colors = [np.nan_to_num((measures[name] - self.center[name]) / self.spread[name])
                  for name in self.center if "color " in name]
        return np.clip(np.array(colors).reshape(len(colors), len(measures["magnitude"])).T, -_FARTHEST, _FARTHEST)

    def _color_distance(self, measures):
        colors = self._colors(measures)
        return np.einsum("ni,ij,nj->n", colors, self.arrays["colors"], colors)

    def score(self, measures: dict[str, np.ndarray], embedding: np.ndarray) -> np.ndarray:
        """Return the squared Mahalanobis distance of galaxies from those of the training, shape ``(galaxy,)``."""
        features = self._features(measures, embedding) - self.arrays["mean"]
        return np.einsum("ni,ij,nj->n", features, self.arrays["precision"], features)

    def rank(
        self, measures: dict[str, np.ndarray], embedding: np.ndarray, has_psf: np.ndarray,
    ) -> tuple[np.ndarray, list[tuple[str, ...]]]:
        """Return p-values and flags of galaxies, of those whose PSF is not stated by the assessor for them.

        Parameters
        ----------
        measures, embedding
            As of `fit`.
        has_psf : ndarray of bool
            Whether the PSF of the input is stated, shape ``(galaxy,)``.
        """
        if self.unstated is None:
            return self.p_values(measures, embedding), self.flags(measures)
        p_values = np.full(has_psf.shape, np.nan)
        flags: list[tuple[str, ...]] = [()] * len(has_psf)
        for assessor, rows in ((self, np.flatnonzero(has_psf)), (self.unstated, np.flatnonzero(~has_psf))):
            if len(rows):
                some = {name: values[rows] for name, values in measures.items()}
                p_values[rows] = assessor.p_values(some, embedding[rows])
                for row, found in zip(rows, assessor.flags(some)):
                    flags[row] = found
        return p_values, flags

    def p_values(self, measures: dict[str, np.ndarray], embedding: np.ndarray) -> np.ndarray:
        """Return the share of the calibrating galaxies, and the galaxy itself, that are as unusual; ``(galaxy,)``."""
        scores = self.arrays["scores"]
        above = len(scores) - np.searchsorted(scores, self.score(measures, embedding), side="left")
        return (1 + above) / (1 + len(scores))

    def flags(self, measures: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        """Return the names of the reasons for doubt of each galaxy."""
        measures = measures | {_COLORS: self._color_distance(measures)}
        found: list[dict[str, None]] = [{} for _ in measures[_COLORS]]
        for flag, raises, below, above in _RULES:
            for name in filter(raises, measures):
                if name not in self.limits:
                    continue
                low, high = self.limits[name]
                margin = _MARGIN if name.startswith(("psf ", "noise ")) else 0.0
                outside = below & (measures[name] < low - margin) | above & (measures[name] > high + margin)
                for row in np.flatnonzero(outside):
                    found[row][flag] = None
        return [tuple(one) for one in found]

    def to_tree(self) -> dict[str, Any]:
        """Return plain Python values and arrays, from which `from_tree` restores the assessor."""
        limits = [self.limits.get(name, (-np.inf, np.inf)) for name in (*self.center, _COLORS)]
        return {"names": list(self.center), "center": np.array(list(self.center.values())),
                "spread": np.array(list(self.spread.values())), "limits": np.array(limits),
                "arrays": dict(self.arrays),
                **({} if self.unstated is None else {"unstated": self.unstated.to_tree()})}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Assessor:
        """Restore an assessor from the result of `to_tree`."""
        names = list(tree["names"])
        limits = {name: (float(low), float(high)) for name, (low, high) in zip((*names, _COLORS), tree["limits"])}
        return cls(dict(zip(names, map(float, tree["center"]))), dict(zip(names, map(float, tree["spread"]))), limits,
                   {name: np.array(values) for name, values in tree["arrays"].items()},
                   cls.from_tree(tree["unstated"]) if "unstated" in tree else None)


def _precision(features):
    """Inverse of the covariance of features about their mean, of shape ``(galaxy, feature)``."""
    if not features.shape[1]:
        return np.zeros((0, 0))
    covariance = np.atleast_2d(np.cov(features.T))
    scale = np.trace(covariance) / len(covariance)
    return np.linalg.inv(covariance + _RIDGE * max(scale, 1e-3) * np.eye(len(covariance)))
