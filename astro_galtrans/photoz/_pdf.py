"""Redshift probability densities of many galaxies on one shared grid."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self, TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _construct, _piecewise

if TYPE_CHECKING:
    import qp
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

__all__ = ["Array", "RedshiftPDF", "as_numpy", "check_pdf"]

# NumPy arrays for densities given as arrays, tensors for densities given as tensors.
Array: TypeAlias = np.ndarray | torch.Tensor

# An integral this close to one is rounding: the row is kept bitwise.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5}
_N_SHOWN = 8


def as_numpy(values: ArrayLike | torch.Tensor) -> np.ndarray:
    """Return an array or a tensor on any device as an array."""
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def check_pdf(pdf: RedshiftPDF) -> None:
    """Raise TypeError for anything but a RedshiftPDF."""
    if not isinstance(pdf, RedshiftPDF):
        raise TypeError(f"pdf must be a RedshiftPDF, got {type(pdf).__name__}")


class RedshiftPDF:
    """Redshift probability densities of an ensemble of galaxies on a shared grid.

    Between the grid points the densities are straight lines, or constant where they come from histograms; outside
    the grid they are zero. Every quantity is exact for that function: for lines the integral is the trapezoid rule
    and the cumulative probability a parabola in each cell. Results are NumPy arrays for densities given as arrays,
    and tensors on the same device for densities given as tensors.

    Parameters
    ----------
    grid : array_like or `torch.Tensor`
        Redshifts, strictly increasing, evenly spaced or not, shape ``(n_grid,)``.
    density : array_like or `torch.Tensor`
        Probability per unit redshift, shape ``(n_galaxies, n_grid)``, or ``(n_galaxies, n_grid - 1)`` under
        ``interpolation="constant"``. Copied. NumPy arrays become float64, tensors keep float32 or float64.
    on_invalid : {"raise", "mask"}, optional
        Whether a row with a NaN, an infinite or a negative value, or without any probability, is an error or a masked
        row. A masked row keeps its place, is False in `valid`, and has NaN for each result. A warning gives the number
        of masked rows, without those that are NaN throughout, as in `density`.
    tolerance : float, optional
        Each row is divided by its own integral over the grid. A warning gives the number of rows whose integral
        differs from one by more than this, which is also in `counts`. Differences below 1e-9 (float32: 1e-5) are not
        corrected.
    interpolation : {"linear", "constant"}, optional
        Whether ``density`` holds the values at the grid points, with straight lines between them, or the values of
        the bins of which ``grid`` gives the edges.

    Raises
    ------
    ValueError
        For shapes that do not fit, a grid that does not increase, or an invalid row under ``on_invalid="raise"``.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF
    >>> grid = np.linspace(0, 1, 101)
    >>> pdf = RedshiftPDF(grid, np.ones((2, 101)))
    >>> pdf.median()
    array([0.5, 0.5])
    >>> pdf.quantile([0.16, 0.84])
    array([[0.16, 0.84],
           [0.16, 0.84]])
    """

    def __init__(
        self, grid: ArrayLike | torch.Tensor, density: ArrayLike | torch.Tensor, *,
        on_invalid: Literal["raise", "mask"] = "raise", tolerance: float = 1e-3,
        interpolation: Literal["linear", "constant"] = "linear",
    ) -> None:
        if on_invalid not in ("raise", "mask"):
            raise ValueError(f"on_invalid must be 'raise' or 'mask', got {on_invalid!r}")
        if interpolation not in ("linear", "constant"):
            raise ValueError(f"interpolation must be 'linear' or 'constant', got {interpolation!r}")
        values = _construct.as_rows(density, "density").contiguous()
        # The values are changed below; arrays are copied already.
        values = values.clone() if isinstance(density, torch.Tensor) else values
        points = _construct.as_grid(grid, "grid", values)
        if interpolation == "linear" and values.shape[1] != points.numel():
            raise ValueError(f"density has {values.shape[1]} points per galaxy, grid has {points.numel()}")
        if interpolation == "constant" and values.shape[1] != points.numel() - 1:
            raise ValueError(
                f"density has {values.shape[1]} bins per galaxy, grid has edges for {points.numel() - 1}")
        integral = values @ _piecewise.measure_of(points, values.shape[1])
        # The smallest value of a row with a NaN is NaN, which is not above zero either.
        good = (values.amin(dim=1) >= 0) & (integral > 0) & torch.isfinite(integral)
        invalid = torch.nonzero(~good)[:, 0]
        if len(invalid) and on_invalid == "raise":
            raise ValueError(
                f"density must be finite, not negative and not zero everywhere; {len(invalid)} of {len(values)} "
                f'densities are not (first rows: {invalid[:5].tolist()}); on_invalid="mask" keeps them as masked rows')
        newly_masked = int((~torch.isnan(values[invalid]).all(dim=1)).sum())
        values[invalid] = float("nan")
        # NaN rows are False in each comparison.
        off = good & ((integral - 1).abs() > _ROUNDING[values.dtype])
        if bool(off.any()):
            values /= torch.where(off, integral, torch.ones_like(integral))[:, None]
        rescaled = good & ((integral - 1).abs() > tolerance)
        self._set(points, values, good, rescaled, isinstance(density, torch.Tensor))
        self._warn_of(newly_masked, "are invalid and masked")
        self._warn_of(int(rescaled.sum()), "did not integrate to one and were normalized")

    def _set(self, grid, density, valid, rescaled, is_tensor, counts=None):
        self._grid, self._density, self._valid, self._rescaled = grid, density, valid, rescaled
        self._is_tensor, self._source_counts = is_tensor, counts
        return self

    def _like(self, density, valid, rescaled=None, grid=None, counts=None):
        """Return normalized densities of the same kind of arrays without checks."""
        grid = self._grid if grid is None else grid
        rescaled = self._rescaled if rescaled is None else rescaled
        return object.__new__(type(self))._set(grid, density, valid, rescaled, self._is_tensor, counts)

    def _warn_of(self, n, state, stacklevel=3):
        if n:
            warnings.warn(f"{n} of {len(self)} redshift densities {state}", GaltransWarning, stacklevel)

    def _out(self, tensor):
        return tensor if self._is_tensor else tensor.cpu().numpy()

    def _in(self, value, name):
        if not isinstance(value, torch.Tensor):
            value = torch.from_numpy(np.array(floats(value, name, dtype=float)))
        tensor = value.detach()
        if tensor.ndim > 1:
            raise ValueError(f"{name} must be a number or one-dimensional, got shape {tuple(tensor.shape)}")
        if bool(torch.isnan(tensor).any()):
            raise ValueError(f"{name} must be finite, got {int(torch.isnan(tensor).sum())} values that are NaN or "
                             "masked")
        return tensor.to(device=self._density.device, dtype=self._density.dtype)

    def _paired(self, z_spec):
        """Return one finite redshift per galaxy as a column."""
        redshift = self._in(z_spec, "z_spec")
        if redshift.shape != (len(self),):
            raise ValueError(f"z_spec must have the shape ({len(self)},), got {tuple(redshift.shape)}")
        if not bool(torch.isfinite(redshift).all()):
            raise ValueError("z_spec must be finite")
        return redshift[:, None]

    def _rowwise(self, function, *columns):
        """Return ``function(grid, density, *columns)`` in blocks of galaxies, NaN for masked rows."""
        parts, masked = [], self.n_masked > 0
        for rows in _piecewise.blocks(len(self), self._density.shape[1], self.device):
            density = self._density[rows]
            result = function(self._grid, torch.nan_to_num(density) if masked else density,
                              *[column[rows] for column in columns])
            if masked:
                valid = self._valid[rows].reshape(-1, *[1] * (result.ndim - 1))
                result = torch.where(valid, result, torch.full_like(result, float("nan")))
            parts.append(result)
        return torch.cat(parts)

    @classmethod
    def from_histogram(
        cls, edges: ArrayLike, counts: ArrayLike | torch.Tensor, *, on_invalid: Literal["raise", "mask"] = "raise",
    ) -> Self:
        """Create densities that are constant in the bins of histograms.

        Parameters
        ----------
        edges : array_like
            Edges of the bins, shape ``(n_bins + 1,)``.
        counts : array_like or `torch.Tensor`
            Counts or probabilities of the bins, not densities, with any sum, shape ``(n_galaxies, n_bins)``.
        on_invalid : {"raise", "mask"}, optional
            As in `RedshiftPDF`.

        Returns
        -------
        RedshiftPDF
            With ``interpolation="constant"``.

        Examples
        --------
        >>> from astro_galtrans.photoz import RedshiftPDF
        >>> pdf = RedshiftPDF.from_histogram([0.0, 0.1, 0.4], [[1, 3]])
        >>> pdf.density
        array([[2.5, 2.5]])
        """
        numbers = _construct.as_rows(counts, "counts")
        points = _construct.as_grid(edges, "edges", numbers)
        if numbers.shape[1] != points.numel() - 1:
            raise ValueError(f"counts has {numbers.shape[1]} bins per galaxy, edges are those of {points.numel() - 1}")
        density = _construct.from_counts(points, numbers)
        return cls._of_tensors(points, density, isinstance(counts, torch.Tensor), on_invalid, "constant")

    @classmethod
    def _of_tensors(cls, grid, density, is_tensor, on_invalid, interpolation):
        arrays = (grid, density) if is_tensor else (grid.numpy(), density.numpy())
        return cls(*arrays, on_invalid=on_invalid, interpolation=interpolation)

    @classmethod
    def from_samples(
        cls, samples: ArrayLike | torch.Tensor, grid: ArrayLike, *,
        method: Literal["histogram", "kernel"] = "histogram", bandwidth: float | None = None,
        on_invalid: Literal["raise", "mask"] = "raise",
    ) -> Self:
        """Create densities from random draws of the redshift of each galaxy.

        Parameters
        ----------
        samples : array_like or `torch.Tensor`
            Shape ``(n_galaxies, n_samples)``. A row with a sample that is not finite is invalid.
        grid : array_like
            Edges of the bins, or the grid points for kernels.
        method : {"histogram", "kernel"}, optional
            Constant densities from the counts between the edges, or a sum of Gaussians at the samples, evaluated at
            the grid points.
        bandwidth : float, optional
            Standard deviation of the Gaussians, by default that of Silverman (1986, Density Estimation for Statistics
            and Data Analysis, eq. 3.31) for each galaxy: 0.9 min(std, IQR / 1.34) n_samples^(-1/5).
        on_invalid : {"raise", "mask"}, optional
            As in `RedshiftPDF`.

        Returns
        -------
        RedshiftPDF
            Samples outside of the edges are left out, with a warning that gives the number of their galaxies.

        Examples
        --------
        >>> from astro_galtrans.photoz import RedshiftPDF
        >>> RedshiftPDF.from_samples([[0.1, 0.2, 0.6, 0.7]], [0.0, 0.5, 1.0]).density
        array([[1., 1.]])
        """
        if method not in ("histogram", "kernel"):
            raise ValueError(f"method must be 'histogram' or 'kernel', got {method!r}")
        if bandwidth is not None and not bandwidth > 0:
            raise ValueError(f"bandwidth must be positive, got {bandwidth!r}")
        draws = _construct.as_rows(samples, "samples")
        points = _construct.as_grid(grid, "grid", draws)
        density = _construct.from_samples(draws, points, method, bandwidth)
        interpolation = "linear" if method == "kernel" else "constant"
        outside = ((draws < points[0]) | (draws > points[-1])).any(dim=1) & torch.isfinite(draws).all(dim=1)
        if method == "histogram" and bool(outside.any()):
            warnings.warn(f"{int(outside.sum())} of {len(draws)} galaxies have samples outside of the grid, which are "
                          "left out", GaltransWarning, 2)
        return cls._of_tensors(points, density, isinstance(samples, torch.Tensor), on_invalid, interpolation)

    @classmethod
    def from_gaussian_mixture(
        cls, grid: ArrayLike, weights: ArrayLike | torch.Tensor, means: ArrayLike | torch.Tensor,
        stds: ArrayLike | torch.Tensor, *, interpolation: Literal["linear", "constant"] = "linear",
        on_invalid: Literal["raise", "mask"] = "raise",
    ) -> Self:
        """Create densities that are sums of Gaussians.

        Parameters
        ----------
        grid : array_like
            Redshifts, shape ``(n_grid,)``.
        weights, means, stds : array_like or `torch.Tensor`
            Weight, mean and standard deviation of each Gaussian, of shapes that broadcast to ``(n_galaxies,
            n_gaussians)``. Weights may have any sum. A row with a negative weight or a standard deviation that is not
            positive is invalid.
        interpolation : {"linear", "constant"}, optional
            The values at the grid points with lines between them, or the exact probabilities of the bins between the
            grid points.
        on_invalid : {"raise", "mask"}, optional
            As in `RedshiftPDF`.

        Returns
        -------
        RedshiftPDF
            Normalized within the grid, with the warning of `RedshiftPDF` where that changes the densities.

        Examples
        --------
        >>> import numpy as np
        >>> from astro_galtrans.photoz import RedshiftPDF
        >>> pdf = RedshiftPDF.from_gaussian_mixture(np.linspace(0, 1, 201), [[3, 1]], [[0.3, 0.7]], [[0.03, 0.03]])
        >>> pdf.mean().round(6)
        array([0.4])
        """
        is_tensor = any(isinstance(value, torch.Tensor) for value in (weights, means, stds))
        centers = _construct.as_rows(means, "means")
        shares, centers, widths = torch.broadcast_tensors(
            _construct.as_rows(weights, "weights").to(centers), centers, _construct.as_rows(stds, "stds").to(centers))
        points = _construct.as_grid(grid, "grid", centers)
        density = _construct.from_mixture(points, shares, centers, widths, interpolation)
        return cls._of_tensors(points, density, is_tensor, on_invalid, interpolation)

    @property
    def grid(self) -> Array:
        """Redshifts of the grid, shape ``(n_grid,)``."""
        return self._out(self._grid)

    @property
    def density(self) -> Array:
        """Normalized probability per unit redshift, shape ``(n_galaxies, n_grid)``, or bins; NaN in masked rows."""
        return self._out(self._density)

    @property
    def valid(self) -> Array:
        """False for masked rows, bool of shape ``(n_galaxies,)``."""
        return self._out(self._valid)

    @property
    def n_masked(self) -> int:
        """Number of masked rows, an int."""
        return int((~self._valid).sum())

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of galaxies, a dict of int.

        ``n`` galaxies, of which ``n_masked`` are masked, and ``n_normalised`` did not integrate to one as given. For a
        stack these are the numbers of the stacked galaxies.
        """
        if self._source_counts is not None:
            return dict(self._source_counts)
        return {"n": len(self), "n_masked": self.n_masked, "n_normalised": int(self._rescaled.sum())}

    @property
    def interpolation(self) -> Literal["linear", "constant"]:
        """``"linear"`` between the grid points, or ``"constant"`` in bins with the edges `grid`."""
        return "linear" if self._density.shape[1] == self._grid.numel() else "constant"

    @property
    def device(self) -> torch.device:
        """Device of the arrays, a `torch.device`."""
        return self._density.device

    def __len__(self) -> int:
        return self._density.shape[0]

    def __repr__(self) -> str:
        low, high = float(self._grid[0]), float(self._grid[-1])
        columns = f"{self._density.shape[1]} {'points' if self.interpolation == 'linear' else 'bins'}"
        return f"<RedshiftPDF: {len(self)} galaxies, {columns} from {low:.4g} to {high:.4g}>"

    def select(self, indices: slice | ArrayLike) -> RedshiftPDF:
        """Return the densities of some galaxies.

        Parameters
        ----------
        indices : slice, array_like of int or of bool

        Returns
        -------
        RedshiftPDF
        """
        index = indices if isinstance(indices, slice) else self._rows(indices)
        return self._like(self._density[index].clone(), self._valid[index].clone(), self._rescaled[index].clone())

    def _rows(self, indices):
        given = indices if isinstance(indices, torch.Tensor) else np.array(whole(indices, "indices"), ndmin=1)
        index = as_tensor(given).to(self.device)
        return index if index.dtype == torch.bool else index.long()

    def mode(self, refine: bool = True) -> Array:
        """Return the redshift of the largest density.

        Parameters
        ----------
        refine : bool, optional
            Take the vertex of the parabola through the highest grid point and its neighbors (the default), which
            removes the rounding to the grid; False gives the grid point. At the ends of the grid and where neighbors
            are equally high it is the grid point in both cases. For constant densities the centers of the bins are
            the points.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, as for `mean` and `median`.

        Notes
        -----
        qp and RAIL take the highest of the points of some grid, often coarser than the densities, as does
        ``refine=False``. The rounding, up to half a grid step, adds to every scatter of these point estimates.
        """
        points = self._grid if self.interpolation == "linear" else 0.5 * (self._grid[1:] + self._grid[:-1])
        return self._out(self._rowwise(lambda _, density: _piecewise.refined_mode(points, density, refine)))

    def mean(self) -> Array:
        """Return the mean redshift of each galaxy, shape ``(n_galaxies,)``."""
        return self._out(self._rowwise(_piecewise.mean_of))

    def std(self) -> Array:
        """Return the standard deviation of the redshift of each galaxy, shape ``(n_galaxies,)``."""
        return self._out(self._rowwise(_piecewise.variance_of).clamp(min=0).sqrt())

    def entropy(self) -> Array:
        """Return the differential entropy of each galaxy, the integral of -p ln p in nats, shape ``(n_galaxies,)``.

        Shannon (1948, Bell System Technical Journal 27, 623), in closed form for lines and constants. It is
        ln(s sqrt(2 pi e)) for a Gaussian of standard deviation s, and ln(b - a) for a uniform density from a to b.
        """
        return self._out(self._rowwise(_piecewise.entropy_of))

    def median(self) -> Array:
        """Return the redshift of cumulative probability one half, shape ``(n_galaxies,)``."""
        return self.quantile(0.5)

    def quantile(self, q: ArrayLike) -> Array:
        """Return the redshift below which the probability is ``q``.

        Parameters
        ----------
        q : float or array_like
            Probabilities from 0 to 1, a number or of shape ``(m,)``.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, or ``(n_galaxies, m)``. Where the density is zero, the lowest such redshift.
        """
        probability = self._in(q, "q")
        if not bool(((probability >= 0) & (probability <= 1)).all()):
            raise ValueError(f"q must be between 0 and 1, got {q!r}")
        return self._out(self._at(_piecewise.quantile_of, probability))

    def _at(self, function, values):
        """Return ``function(grid, density, values)`` for values that are common to all galaxies."""
        result = self._rowwise(lambda grid, density: function(
            grid, density, values.reshape(1, -1).expand(len(density), -1)))
        return result[:, 0] if values.ndim == 0 else result

    def _at_own(self, function, z_spec):
        """Return ``function(grid, density, z_spec)`` for one redshift per galaxy."""
        return self._out(self._rowwise(function, self._paired(z_spec))[:, 0])

    def cdf(self, z: ArrayLike) -> Array:
        """Return the cumulative probability at redshifts common to all galaxies.

        Parameters
        ----------
        z : float or array_like
            A number or shape ``(m,)``; the result is 0 below and 1 above the grid.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, or ``(n_galaxies, m)``.
        """
        return self._out(self._at(_piecewise.probability_below, self._in(z, "z")))

    def pdf(self, z: ArrayLike | torch.Tensor) -> Array:
        """Return the density at redshifts common to all galaxies, shaped as `cdf`; zero outside the grid."""
        return self._out(self._at(_piecewise.evaluate_at, self._in(z, "z")))

    def density_at(self, z_spec: ArrayLike | torch.Tensor) -> Array:
        """Return the density of each galaxy at its own redshift, shape ``(n_galaxies,)``."""
        return self._at_own(_piecewise.evaluate_at, z_spec)

    def pit(self, z_spec: ArrayLike) -> Array:
        """Return the probability integral transform: the cumulative probability at the redshift of each galaxy.

        Parameters
        ----------
        z_spec : array_like
            Shape ``(n_galaxies,)``.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, from 0 to 1; uniform for calibrated densities (Dawid 1984, JRSS A 147, 278). NaN
            for masked rows, never 0 as in qp.
        """
        return self._at_own(_piecewise.probability_below, z_spec)

    def crps(self, z_spec: ArrayLike) -> Array:
        """Return the continuous ranked probability score: the integral of (F(x) - [x >= z_spec])^2 for each galaxy.

        Matheson & Winkler (1976, Management Science 22, 1087), exact for lines and for constants, in units of
        redshift. For a density without width it is the absolute error.

        Parameters
        ----------
        z_spec : array_like
            Shape ``(n_galaxies,)``. Outside of the grid the distance is added.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``; lower is better.
        """
        return self._at_own(_piecewise.crps_of, z_spec)

    def credible_level(self, z_spec: ArrayLike) -> Array:
        """Return the probability of the smallest credible region that contains the redshift of each galaxy.

        The probability of all redshifts whose density is at least that at ``z_spec`` (Wittman, Bhaskar & Tobin 2016,
        MNRAS 457, 4005). It is uniform for calibrated densities, as `pit`, and suits densities with several peaks.

        Parameters
        ----------
        z_spec : array_like
            Shape ``(n_galaxies,)``.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, from 0 at the mode to 1.
        """
        return self._at_own(_piecewise.credible_level_of, z_spec)

    def sample(self, n: int, seed: int | np.random.Generator) -> Array:
        """Draw random redshifts by exact inversion of the cumulative probability.

        Parameters
        ----------
        n : int
            Draws for each galaxy.
        seed : int or `numpy.random.Generator`
            Seed of the draws, which are the same on every device up to rounding.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies, n)``.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        draws = torch.from_numpy(np.random.default_rng(seed).random((len(self), n)))
        draws = draws.to(device=self.device, dtype=self._density.dtype)
        return self._out(self._rowwise(_piecewise.quantile_of, draws))

    def rebin(self, edges: ArrayLike, *, outside: Literal["raise", "drop"] = "raise") -> RedshiftPDF:
        """Return the densities in bins with their exact probabilities.

        Parameters
        ----------
        edges : array_like
            Edges of the bins, shape ``(n_bins + 1,)``.
        outside : {"raise", "drop"}, optional
            Whether more than 0.1 % of the probability of a density outside of the edges is an error, or is left out
            and the rest normalized again, with a warning that counts the densities. Those with at most 1e-6 inside
            are masked then.

        Returns
        -------
        RedshiftPDF
            With ``interpolation="constant"``.

        Examples
        --------
        >>> import numpy as np
        >>> from astro_galtrans.photoz import RedshiftPDF
        >>> pdf = RedshiftPDF([0.0, 1.0], [[0.0, 2.0]])
        >>> pdf.rebin([0.0, 0.5, 1.0]).density
        array([[0.5, 1.5]])
        """
        points = self._new_grid(edges, "edges", outside)
        return self._reshaped(self._rowwise(
            lambda grid, density: _construct.binned(grid, density, points)), points)

    def regrid(self, grid: ArrayLike, *, outside: Literal["raise", "drop"] = "raise") -> RedshiftPDF:
        """Return the densities as lines between the points of another grid, with the same probability and mean.

        The values are those of the L2 projection on lines between the new points, which has the integral of the
        density with each hat function, and so its probability and mean. Beside peaks that are sharper than the new
        grid the projection would be negative; there a limited flow of probability between neighboring points
        (Zalesak 1979, J. Comput. Phys. 31, 335) keeps it positive. Values at the new points, as in ``convert_to`` of
        qp, keep neither probability nor mean.

        Parameters
        ----------
        grid : array_like
            The new points, shape ``(n_new,)``.
        outside : {"raise", "drop"}, optional
            As in `rebin`.

        Returns
        -------
        RedshiftPDF
            With ``interpolation="linear"``.
        """
        points = self._new_grid(grid, "grid", outside)
        return self._reshaped(self._rowwise(
            lambda old, density: _construct.projected(old, density, points)), points)

    def _new_grid(self, grid, name, outside):
        """Return another grid as a tensor, after a check of the probability outside of it."""
        if outside not in ("raise", "drop"):
            raise ValueError(f"outside must be 'raise' or 'drop', got {outside!r}")
        points = _construct.as_grid(grid, name, self._density)
        lost = 1 - torch.diff(self._at(_piecewise.probability_below, points[[0, -1]]), dim=1)[:, 0]
        count = int((lost > 1e-3).sum())
        if count and outside == "raise":
            raise ValueError(
                f"{name} must have the densities inside: {count} of {len(self)} have more than 0.1 % of their "
                f"probability outside of {float(points[0]):.4g} to {float(points[-1]):.4g}; "
                'outside="drop" leaves it out')
        self._warn_of(count, f"lose probability outside of {name} and are normalized again", 4)
        return points

    def _reshaped(self, density, grid):
        """Return densities on another grid; a row without any probability there, but for rounding, is masked."""
        integral = density @ _piecewise.measure_of(grid, density.shape[1])
        valid = self._valid & (integral > 1e-6)
        self._warn_of(int((self._valid & ~valid).sum()), "have no probability on the new grid and are masked", 4)
        return self._like(torch.where(valid[:, None], density / integral[:, None], float("nan")), valid, grid=grid)

    def stack(self, weights: ArrayLike | None = None) -> RedshiftPDF:
        """Return the redshift distribution n(z) as the mean of the densities.

        It is the distribution of the redshifts only if the densities are calibrated and their priors match the sample
        (Malz & Hogg 2022, ApJ 928, 127).

        Parameters
        ----------
        weights : array_like, optional
            Weight of each galaxy, shape ``(n_galaxies,)``, not negative.

        Returns
        -------
        RedshiftPDF
            One row. Masked rows are left out, with a warning; `counts` is that of this ensemble.

        Examples
        --------
        >>> from astro_galtrans.photoz import RedshiftPDF
        >>> pdf = RedshiftPDF([0.0, 1.0, 2.0], [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]], tolerance=1)
        >>> pdf.stack().density.round(4)
        array([[0.3333, 0.6667, 0.3333]])
        """
        used = self._valid.to(self._density.dtype)
        if weights is not None:
            used = used * self._weights(weights)
        if not bool(used.sum() > 0):
            raise ValueError("there is no galaxy to stack: all are masked or have no weight")
        if self.n_masked:
            warnings.warn(f"{self.n_masked} of {len(self)} masked redshift densities are left out of the stack",
                          GaltransWarning, 2)
        total = torch.zeros_like(self._density[:1], dtype=torch.float64 if self.device.type != "mps" else None)
        for rows in _piecewise.blocks(len(self), self._density.shape[1], self.device):
            part = torch.nan_to_num(self._density[rows]) if self.n_masked else self._density[rows]
            total += used[None, rows] @ part
        density = (total / used.sum().to(total)).to(self._density)
        one = torch.ones(1, dtype=torch.bool, device=self.device)
        return self._like(density, one, ~one, counts=self.counts)

    def _weights(self, weights):
        values = self._in(weights, "weights")
        if values.shape != (len(self),):
            raise ValueError(f"weights must have the shape ({len(self)},), got {tuple(values.shape)}")
        if not bool(((values >= 0) & torch.isfinite(values)).all()):
            raise ValueError("weights must be finite and not negative")
        return values

    def to_table(self, ids: ArrayLike | None = None) -> Table:
        """Return a table with one row per galaxy.

        Parameters
        ----------
        ids : array_like, optional
            Identifiers for a first column ``id``.

        Returns
        -------
        `~astropy.table.Table`
            Columns ``z_mode``, ``z_mean``, ``z_median`` and ``density`` (a vector column). ``meta`` has the grid as a
            list in ``redshift_grid``, so that ECSV files contain it, the ``interpolation``, and the `counts`.
        """
        table = Table(meta={"redshift_grid": self._grid.cpu().tolist(), "interpolation": self.interpolation,
                            **self.counts})
        if ids is not None:
            table["id"] = whole(ids, "ids")
        for name, values in (("z_mode", self.mode()), ("z_mean", self.mean()), ("z_median", self.median()),
                             ("density", self.density)):
            table[name] = as_numpy(values)
        return table

    @classmethod
    def from_table(
        cls, table: Table, *, grid: ArrayLike | None = None, column: str = "density",
        interpolation: Literal["linear", "constant"] | None = None, on_invalid: Literal["mask", "raise"] = "mask",
    ) -> Self:
        """Create densities from a vector column of a table, as NumPy arrays; masked rows stay masked.

        Parameters
        ----------
        table : `~astropy.table.Table`
            As in `to_table`, or any other with a column of densities.
        grid : array_like, optional
            Redshifts of the columns of the densities; ``meta["redshift_grid"]`` by default.
        column : str, optional
            Name of the vector column.
        interpolation : {"linear", "constant"}, optional
            As in `RedshiftPDF`; ``meta["interpolation"]`` by default, and else ``"linear"``.
        on_invalid : {"mask", "raise"}, optional
            As in `RedshiftPDF`.

        Returns
        -------
        RedshiftPDF

        Raises
        ------
        ValueError
            If the table has no such column, or no grid is known.
        """
        grid = table.meta.get("redshift_grid") if grid is None else grid
        if grid is None or column not in table.colnames:
            raise ValueError(
                f'table must have a column "{column}" and meta["redshift_grid"] (or grid be given), as '
                f"RedshiftPDF.to_table writes; got the columns {table.colnames}")
        density = floats(table[column], column, dtype=float)
        interpolation = table.meta.get("interpolation", "linear") if interpolation is None else interpolation
        return cls(grid, density, on_invalid=on_invalid, interpolation=interpolation)

    def to_qp(self, on_masked: Literal["raise", "drop"] = "raise") -> qp.Ensemble:
        """Return the densities as an ensemble of qp (extra ``qp``).

        Lines become ``qp.interp``, constants ``qp.hist``, in float64, with the same values (``norm=False``). The
        cumulative probability of qp is a chord between the grid points, and half a cell of the first value at the
        first of them, so that its cdf and quantiles differ slightly.

        Parameters
        ----------
        on_masked : {"raise", "drop"}, optional
            Whether masked rows are an error or left out. qp has no masked rows; a NaN has a PIT of 0 there.

        Returns
        -------
        ``qp.Ensemble``

        Raises
        ------
        ImportError
            Without qp.
        ValueError
            For masked rows under ``on_masked="raise"``.
        """
        library = optional("qp", "qp", "qp ensembles")
        if on_masked not in ("raise", "drop"):
            raise ValueError(f"on_masked must be 'raise' or 'drop', got {on_masked!r}")
        if self.n_masked and on_masked == "raise":
            raise ValueError(f'{self.n_masked} of {len(self)} densities are masked; on_masked="drop" leaves them out')
        grid = self._grid.cpu().numpy().astype(float)
        density = self._density[self._valid].cpu().numpy().astype(float)
        if self.interpolation == "linear":
            return library.Ensemble(library.interp, data={"xvals": grid, "yvals": density, "norm": False})
        return library.Ensemble(library.hist, data={"bins": grid, "pdfs": density, "norm": False})

    @classmethod
    def from_qp(
        cls, ensemble: qp.Ensemble, grid: ArrayLike | None = None, *, on_invalid: Literal["raise", "mask"] = "raise",
    ) -> Self:
        """Create densities from a qp ensemble, as NumPy arrays.

        Parameters
        ----------
        ensemble : qp.Ensemble
            The values of ``interp`` and ``hist`` ensembles are used without change. Other kinds, and all of them if
            ``grid`` is given, are evaluated at the grid points and linear between them.
        grid : array_like, optional
            Redshifts; needed for ensembles that have none.
        on_invalid : {"raise", "mask"}, optional
            As in `RedshiftPDF`.

        Returns
        -------
        RedshiftPDF

        Raises
        ------
        ValueError
            If the ensemble has no grid of its own and none is given.
        """
        kind = ensemble.gen_class.name
        if grid is None and kind == "interp":
            points = np.ravel(ensemble.metadata["xvals"])
            return cls(points, np.atleast_2d(ensemble.objdata["yvals"]), on_invalid=on_invalid)
        if grid is None and kind == "hist":
            return cls(np.ravel(ensemble.metadata["bins"]), np.atleast_2d(ensemble.objdata["pdfs"]),
                       on_invalid=on_invalid, interpolation="constant")
        if grid is None:
            raise ValueError(f"grid must be given: a qp ensemble of the kind {kind!r} needs the redshifts to evaluate")
        return cls(grid, np.atleast_2d(ensemble.pdf(whole(grid, "grid").astype(float))), on_invalid=on_invalid)

    def _repr_html_(self):
        """Return a table of the first galaxies: median, interval and mode."""
        from astro_galtrans._utils import html

        first = self.select(slice(0, _N_SHOWN))
        quantiles, mode = as_numpy(first.quantile([0.16, 0.5, 0.84])), as_numpy(first.mode())
        rows = [(row, *(f"{value:.4g}" for value in (middle, low, high, mode[row])))
                for row, (low, middle, high) in enumerate(quantiles)]
        more = [("...", "", "", "", "")] if len(self) > len(first) else []
        grid = self._grid.tolist()
        text = f"{len(self)} galaxies, {len(grid)} redshifts from {grid[0]:.4g} to {grid[-1]:.4g}"
        text += f", {self.n_masked} masked" if self.n_masked else ""
        return html.heading("RedshiftPDF", text) + html.table(
            rows + more, ("galaxy", "median", "16 %", "84 %", "mode"))

    def plot(
        self, galaxies: slice | ArrayLike = slice(0, 5), z_spec: ArrayLike | None = None, ax: Axes | None = None,
        **options: Any,
    ) -> Axes:
        """Draw the densities of some galaxies.

        Parameters
        ----------
        galaxies : slice, array_like of int or of bool, optional
            Galaxies to draw, by default the first five.
        z_spec : array_like, optional
            True redshifts of all galaxies, drawn as dashed lines; shape ``(n_galaxies,)``.
        ax : `~matplotlib.axes.Axes`, optional
            Axes to draw on, by default of a new figure of pyplot.
        **options
            Keywords of `~matplotlib.axes.Axes.plot`.

        Returns
        -------
        `~matplotlib.axes.Axes`

        Raises
        ------
        ImportError
            Without matplotlib, which is in ``astro_galtrans[report]``.
        """
        optional("matplotlib", "report", "figures")
        if z_spec is not None and np.shape(z_spec) != (len(self),):
            raise ValueError(f"z_spec must have the shape ({len(self)},), got {np.shape(z_spec)}")
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure(figsize=(6.4, 4.2), layout="constrained").add_subplot()
        chosen = galaxies if isinstance(galaxies, slice) else whole(galaxies, "galaxies")
        rows = np.atleast_1d(np.arange(len(self))[chosen])
        known = None if z_spec is None else floats(z_spec, "z_spec", dtype=float)
        grid, density = as_numpy(self.grid), as_numpy(self.select(rows).density)
        for row, values in zip(rows, density):
            settings = {"label": f"galaxy {row}", **options}
            if self.interpolation == "linear":
                color = ax.plot(grid, values, **settings)[0].get_color()
            else:
                color = ax.stairs(values, grid, **settings).get_edgecolor()
            if known is not None and np.isfinite(known[row]):
                ax.axvline(known[row], color=color, ls="--", lw=0.9)
        ax.set(xlabel="redshift", ylabel="probability per unit redshift")
        ax.set_ylim(bottom=0)
        ax.legend(frameon=False)
        return ax
