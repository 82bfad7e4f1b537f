"""Recalibration of redshift densities by their PIT, the same for all galaxies or as a function of their features."""

from __future__ import annotations

import warnings
from typing import Any, Literal, TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz._pdf import RedshiftPDF, as_numpy, check_pdf
from astro_galtrans.photoz._pit_density import (
    FeatureSpace, PITBasis, PITSample, feature_array, fit_global, fit_local, standard_error,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import Table
    from numpy.typing import ArrayLike

    Features: TypeAlias = ArrayLike | Table | Mapping[str, ArrayLike]

__all__ = ["PITCalibration"]

_FEWEST = 10
# Number of anchors in the interpolation of the PIT density of a galaxy.
_N_AROUND = 8
_N_ITERATIONS = 5
# Elements of one block of densities.
_BLOCK = 1_000_000


class PITCalibration:
    """Calibration that makes the PIT of redshift densities uniform, the result of `PITCalibration.fit`.

    With F(z) the cumulative probability of a galaxy and r(u) the density of the PIT ``u = F(z_spec)`` among the
    galaxies of the fit, the calibrated density is ::

        p'(z) = p(z) r(F(z)),    F'(z) = R(F(z)),    R(u) = integral of r from 0 to u

    (Bordoloi, Lilly & Amara 2010, MNRAS 406, 881). R increases, so that p' is a density, and PITs distributed as r
    become uniform. If r depends on features of a galaxy, r(u | features) replaces it (Zhao et al. 2021,
    arXiv:2102.10473; Dey et al. 2022, arXiv:2110.15209). It is fitted to the PITs of the galaxies that are nearest in
    the features, with the global density as prior. p' is zero where p is.

    Attributes
    ----------
    n_galaxies : int
        Galaxies used.
    n_left_out : int
        Galaxies of the fit with a masked density, no usable redshift or no weight.
    n_excluded : int
        Galaxies used at whose redshift the density is zero; their PIT is 0 or 1 in most cases.
    strength, local_strength : float
        Numbers of galaxies that the priors correspond to: the uniform density, and the global density (None for a
        global calibration).
    n_neighbors : int or None
        Number of galaxies in the fit of a local PIT density; None for a global calibration.
    gain, gain_error : float
        Mean of ln p'(z_spec) - ln p(z_spec) over galaxies held out from the fit, which is the improvement of the log
        score, and its standard error.
    feature_range : ndarray or None
        Lowest and highest value of each feature in the fit, shape ``(2, n_features)``.

    Examples
    --------
    Densities that are too narrow by a factor of two:

    >>> import numpy as np
    >>> from astro_galtrans.photoz import PITCalibration, RedshiftPDF, distribution_metrics
    >>> rng = np.random.default_rng(0)
    >>> z_spec, grid = rng.uniform(0.3, 0.7, 2000), np.linspace(0, 1, 201)
    >>> center = z_spec + 0.04 * rng.normal(size=2000)
    >>> pdf = RedshiftPDF(grid, np.exp(-0.5 * ((grid - center[:, None]) / 0.02) ** 2) / (0.02 * np.sqrt(2 * np.pi)))
    >>> fit, test = slice(1000), slice(1000, None)
    >>> calibration = PITCalibration.fit(pdf.select(fit), z_spec[fit])
    >>> for each in (pdf.select(test), calibration(pdf.select(test))):
    ...     print(f"{distribution_metrics(each, z_spec[test], ['coverage_68'])['coverage_68']:.2f}")
    0.37
    0.65
    """

    def __init__(
        self, *, weights: ArrayLike, strength: float, n_galaxies: int, n_left_out: int = 0, n_excluded: int = 0,
        gain: float = np.nan, gain_error: float = np.nan, local: dict[str, Any] | None = None,
    ) -> None:
        self._weights = np.array(weights, dtype=float)
        self.strength, self.gain, self.gain_error = float(strength), float(gain), float(gain_error)
        self.n_galaxies, self.n_left_out, self.n_excluded = int(n_galaxies), int(n_left_out), int(n_excluded)
        self._local, self._space = local, None
        self.n_neighbors = self.local_strength = self.feature_range = None
        if local is not None:
            self._space = FeatureSpace(local["anchors"], local["scale"])
            self.n_neighbors, self.local_strength = int(local["n_neighbors"]), float(local["strength"])
            self.feature_range = np.array(local["range"], dtype=float)

    @classmethod
    def fit(
        cls, pdf: RedshiftPDF, z_spec: ArrayLike, features: Features | None = None,
        *, weights: ArrayLike | None = None, n_neighbors: int | Literal["auto"] = "auto",
        strength: float | Literal["auto"] = "auto", seed: int | np.random.Generator = 0,
    ) -> PITCalibration:
        """Fit the PIT density to galaxies of known redshift.

        Parameters
        ----------
        pdf : RedshiftPDF
            Densities of galaxies that are not in the training of the estimator; masked rows are left out and counted.
        z_spec : array_like
            True redshifts, shape ``(n_galaxies,)``; galaxies without a redshift (NaN or masked) are left out and
            counted.
        features : array_like, `~astropy.table.Table` or dict, optional
            Properties that the calibration depends on and that are known without a redshift, such as magnitude, color
            or the mean of the density. Shape ``(n_galaxies,)`` or ``(n_galaxies, n_features)``, or one column per
            feature. Use few: a feature without effect makes the calibration less accurate. Galaxies with a NaN are
            used in the global fit alone. None for a global calibration.
        weights : array_like, optional
            Weight of each galaxy, for spectroscopic samples that are not representative. Shape ``(n_galaxies,)``.
        n_neighbors : int or "auto", optional
            Number of galaxies of a neighborhood. By default the number, from 25 to a quarter of all (5000 at most),
            with the best log score of held-out galaxies; if that is not better than that of the global calibration by
            its standard error, the calibration is global, with a warning.
        strength : float or "auto", optional
            Number of galaxies that the prior of a uniform PIT corresponds to. By default the largest number, from 3 to
            30,000, with a log score in a cross-validation with five folds that is not worse than the best one by more
            than its standard error.
        seed : int or `numpy.random.Generator`, optional
            Seed of the folds, and of the galaxies around which local densities are fitted (2000 at most).

        Returns
        -------
        PITCalibration

        Raises
        ------
        TypeError
            If pdf is not a RedshiftPDF.
        ValueError
            For shapes that do not fit, fewer than 10 usable galaxies (50 with features), or values out of range.
        """
        check_pdf(pdf)
        _check_options(n_neighbors, strength, features)
        rng = np.random.default_rng(seed)
        redshift, share, good = _usable(pdf, z_spec, weights)
        table = None if features is None else feature_array(features, len(pdf))[good]
        basis = _basis(pdf.device)
        used = pdf.select(np.flatnonzero(good))
        bins = basis.bins_of(as_tensor(used.pit(redshift)))
        sample = PITSample(basis, bins, torch.from_numpy(share / share.mean()).to(basis.nodes))
        found = fit_global(sample, strength, rng)
        local, gain = None, found.gain
        if table is not None:
            local, gain = fit_local(sample, table, found, n_neighbors, rng)
        return cls(weights=found.weights[0].cpu().numpy(), strength=found.strength, n_galaxies=int(good.sum()),
                   n_left_out=int((~good).sum()), n_excluded=int((used.density_at(redshift) <= 0).sum()),
                   gain=gain.mean().item(), gain_error=standard_error(gain), local=local)

    @property
    def is_local(self) -> bool:
        """Whether the calibration depends on features."""
        return self._local is not None

    def __repr__(self) -> str:
        kind = f"local, {self.n_neighbors} neighbors" if self.is_local else "global"
        return f"<PITCalibration: {kind}, {self.n_galaxies} galaxies, gain {self.gain:.4f} +/- {self.gain_error:.4f}>"

    def __call__(
        self, pdf: RedshiftPDF, features: Features | None = None,
    ) -> RedshiftPDF:
        """Return the calibrated densities.

        Parameters
        ----------
        pdf : RedshiftPDF
            Densities of the same estimator as in the fit.
        features : array_like, `~astropy.table.Table` or dict, optional
            The features of the fit, in its order. Galaxies with a NaN have the global calibration, with a warning.
            Beyond the range of the fit the calibration is that at its edge.

        Returns
        -------
        RedshiftPDF
            On the same grid and device; the cumulative probability between grid points increases as R(F), as far as
            straight lines allow. Masked rows stay masked.
        """
        check_pdf(pdf)
        basis, density = _basis(pdf.device), as_tensor(pdf.density)
        grid = as_tensor(pdf.grid).to(basis.nodes)
        result = torch.empty_like(density)
        weights = self._rows_of_weights(basis, features, len(pdf))
        block = max(1, _BLOCK // len(grid))
        for start in range(0, len(pdf), block):
            rows = slice(start, start + block)
            part = density[rows].to(basis.nodes)
            calibrated = _calibrated(basis, weights if len(weights) == 1 else weights[rows], grid,
                                     torch.nan_to_num(part))
            result[rows] = torch.where(torch.isnan(part), part, calibrated).to(result.dtype)
        return RedshiftPDF(pdf.grid, result if isinstance(pdf.density, torch.Tensor) else result.numpy(),
                           on_invalid="mask", tolerance=np.inf, interpolation=pdf.interpolation)

    def pit_density(
        self, pit: ArrayLike, features: Features | None = None,
    ) -> np.ndarray:
        """Return the PIT density r.

        Parameters
        ----------
        pit : array_like
            From 0 to 1, shape ``(k,)``.
        features : optional
            Features of m galaxies, as in `PITCalibration.fit`; required for a local calibration.

        Returns
        -------
        ndarray
            Shape ``(m, k)``, or ``(k,)`` for a global calibration.
        """
        return self._evaluate(PITBasis.density, pit, features)

    def pit_cdf(
        self, pit: ArrayLike, features: Features | None = None,
    ) -> np.ndarray:
        """Return the cumulative probability R of the PIT, which is the PIT of the calibrated densities.

        Parameters and results are those of `PITCalibration.pit_density`.
        """
        return self._evaluate(PITBasis.cumulative, pit, features)

    def _evaluate(self, function, pit, features):
        basis = _basis(torch.device("cpu"))
        pit = torch.from_numpy(np.array(floats(pit, "pit", dtype=float), ndmin=1))
        if pit.ndim != 1 or not bool(((pit >= 0) & (pit <= 1)).all()):
            raise ValueError(f"pit must be one-dimensional and between 0 and 1, got shape {tuple(pit.shape)}")
        weights = self._rows_of_weights(basis, features, None)
        values = function(basis, weights, pit.expand(len(weights), -1)).numpy()
        return values if self.is_local else values[0]

    def _rows_of_weights(self, basis, features, n):
        """Return the weights of the PIT density of each galaxy, or one row for all."""
        one = torch.from_numpy(self._weights)[None].to(basis.nodes)
        if not self.is_local:
            return one
        n_features = self._space.features.shape[1]
        if features is None:
            raise ValueError(f"features must be given: the calibration depends on {n_features}")
        features = feature_array(features, n)
        if features.shape[1] != n_features:
            raise ValueError(f"features must have {n_features} columns as in the fit, got {features.shape[1]}")
        known = np.flatnonzero(np.isfinite(features).all(axis=1))
        if len(known) < len(features):
            warnings.warn(f"{len(features) - len(known)} of {len(features)} galaxies have features that are not finite "
                          "and have the global calibration", GaltransWarning, 3)
        weights = torch.from_numpy(self._local["weights"]).to(basis.nodes)
        result = one.repeat(len(features), 1)
        place = torch.from_numpy(known).to(result.device)
        around = min(_N_AROUND, len(self._space))
        for rows, index, distance in self._space.nearest(features[known], around, result.device):
            share = 1 / (distance + torch.finfo(distance.dtype).eps)
            share = share / share.sum(dim=1, keepdim=True)
            result[place[rows]] = (weights[index] * share[:, :, None]).sum(dim=1)
        return result

    def to_tree(self) -> dict[str, Any]:
        """Return the calibration as plain values and arrays, for `PITCalibration.from_tree`.

        Returns
        -------
        dict
        """
        names = ("strength", "n_galaxies", "n_left_out", "n_excluded", "gain", "gain_error")
        local = None if self._local is None else {
            key: value.copy() if isinstance(value, np.ndarray) else value for key, value in self._local.items()}
        return {"weights": self._weights.copy(), **{name: getattr(self, name) for name in names}, "local": local}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> PITCalibration:
        """Return the calibration of a tree of `PITCalibration.to_tree`.

        Parameters
        ----------
        tree : dict

        Returns
        -------
        PITCalibration
        """
        n_nodes, local = len(_basis(torch.device("cpu")).nodes), tree["local"]
        widths = [np.shape(tree["weights"])[-1], *([] if local is None else [np.shape(local["weights"])[-1]])]
        if set(widths) != {n_nodes}:
            raise ValueError(f"weights must have {n_nodes} values, got {widths}")
        return cls(**tree)


def _basis(device):
    return PITBasis(device, torch.float32 if device.type == "mps" else torch.float64)


def _check_options(n_neighbors, strength, features):
    whole = isinstance(n_neighbors, (int, np.integer)) and not isinstance(n_neighbors, bool)
    if n_neighbors != "auto" and not (whole and n_neighbors >= 1):
        raise ValueError(f"n_neighbors must be 'auto' or a whole number of at least 1, got {n_neighbors!r}")
    if n_neighbors != "auto" and features is None:
        raise ValueError("n_neighbors needs features, which define the distances of galaxies")
    number = isinstance(strength, (int, float, np.number)) and not isinstance(strength, bool)
    if strength != "auto" and not (number and 0 < strength < np.inf):
        raise ValueError(f"strength must be 'auto' or a positive number, got {strength!r}")


def _column(value, n, name):
    value = floats(value, name, dtype=float)
    if value.shape != (n,):
        raise ValueError(f"{name} must have the shape ({n},), got {value.shape}")
    return value


def _usable(pdf, z_spec, weights):
    """Return redshifts and weights of the galaxies that can be used, and which these are."""
    z_spec = _column(z_spec, len(pdf), "z_spec")
    weights = np.ones(len(pdf)) if weights is None else _column(weights, len(pdf), "weights")
    if np.any(weights < 0):
        raise ValueError("weights must not be negative")
    good = as_numpy(pdf.valid) & np.isfinite(z_spec) & np.isfinite(weights) & (weights > 0)
    if good.sum() < _FEWEST:
        raise ValueError(f"z_spec must be known for at least {_FEWEST} galaxies with a density, got {good.sum()} of "
                         f"{len(pdf)}")
    return z_spec[good], weights[good], good


def _target(basis, weights, cells):
    """Return the probabilities of the cells after calibration, differences of R(F), and r(F) at the grid points."""
    below = torch.nn.functional.pad(torch.cumsum(cells, dim=1), (1, 0))
    total = below[:, -1:].clamp(min=torch.finfo(below.dtype).tiny)
    below = (below / total).clamp(max=1)
    wanted = torch.diff(basis.cumulative(weights, below), dim=1) * total
    # For smaller cells the difference of cumulative probabilities has no digits left.
    exact = cells > torch.finfo(cells.dtype).eps ** 0.5
    ratio = basis.density(weights, below)
    middle = 0.5 * (ratio[:, 1:] + ratio[:, :-1])
    return torch.where(exact, wanted, middle * cells), ratio


def _calibrated(basis, weights, grid, density):
    """Return densities with the probability of R(F) in each cell.

    Straight lines through p r(F) at the grid points are not exact where r changes within a cell. The difference is
    shared among the grid points by Richardson-Lucy iterations, which keep densities positive.
    """
    width = torch.diff(grid)
    if density.shape[1] < len(grid):
        return _target(basis, weights, density * width)[0] / width
    left, right = torch.nn.functional.pad(width, (1, 0)), torch.nn.functional.pad(width, (0, 1))
    wanted, ratio = _target(basis, weights, 0.5 * width * (density[:, 1:] + density[:, :-1]))
    result = density * ratio
    for _ in range(_N_ITERATIONS):
        found = 0.5 * width * (result[:, 1:] + result[:, :-1])
        missing = torch.where(found > 0, wanted / found, torch.ones_like(found))
        share = right * torch.nn.functional.pad(missing, (0, 1)) + left * torch.nn.functional.pad(missing, (1, 0))
        result = result * share / (left + right)
    return result
