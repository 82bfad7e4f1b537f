"""An ensemble of redshift probability densities on one shared grid."""

from __future__ import annotations

import warnings
from typing import Any, Literal, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _construct, _convert, _display, _piecewise, _regrid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["RedshiftPDF"]

# An integral this close to one is rounding: the row is kept to the bit.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5}


def _as_grid(grid, like):
    values = as_tensor(grid if isinstance(grid, torch.Tensor) else np.array(floats(grid, "grid", dtype=float)))
    values = values.detach().to(device=like.device, dtype=like.dtype)
    if values.ndim != 1 or values.numel() < 2:
        raise ValueError(f"grid must be one-dimensional with at least 2 points, got shape {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()) or not bool((torch.diff(values) > 0).all()):
        raise ValueError("grid must be finite and strictly increasing")
    return values


def _as_density(density):
    """The density as a floating tensor of two axes of its own."""
    if isinstance(density, torch.Tensor):
        values = density.detach()
        values = values.clone() if values.dtype in _ROUNDING else values.to(torch.float32)
    else:
        values = torch.from_numpy(np.array(floats(density, "density", dtype=float)))
    if values.ndim != 2:
        raise ValueError(f"density must have the shape (n_galaxies, n_grid), got {tuple(values.shape)}")
    return values.contiguous()


def _check_columns(values, grid, interpolation):
    if interpolation not in ("linear", "constant"):
        raise ValueError(f"interpolation must be 'linear' or 'constant', got {interpolation!r}")
    if interpolation == "linear" and values.shape[1] != grid.numel():
        raise ValueError(f"density has {values.shape[1]} points a galaxy, grid has {grid.numel()}")
    if interpolation == "constant" and values.shape[1] != grid.numel() - 1:
        raise ValueError(f"density has {values.shape[1]} bins a galaxy, grid has edges for {grid.numel() - 1}")


class RedshiftPDF:
    """Redshift probability densities of an ensemble of galaxies on a shared grid.

    Between the grid points the densities are straight lines, or constant where they come from histograms; outside
    the grid they are zero. Every quantity is the exact one of that function: for lines the integral is the trapezoid
    rule and the cumulative probability a parabola in each cell. Arrays are computed on the device the density is on;
    NumPy arrays in give NumPy arrays out, tensors in give tensors out on their device.

    Parameters
    ----------
    grid : array_like or `torch.Tensor`
        Redshifts, strictly increasing, evenly spaced or not, shape ``(n_grid,)``.
    density : array_like or `torch.Tensor`
        Probability per unit redshift, shape ``(n_galaxies, n_grid)``, or ``(n_galaxies, n_grid - 1)`` under
        ``interpolation="constant"``. Copied. NumPy arrays become float64, tensors keep float32 or float64.
    on_invalid : {"raise", "mask"}, optional
        What becomes of a row with a NaN, an infinite or a negative value, or with no probability at all: an error,
        or a masked row. A masked row keeps its place, is False in `valid`, and has NaN for each result. A warning
        gives the number of rows that were masked, without those that came as NaN throughout, as `density` has them.
    tolerance : float, optional
        Each row is divided by its own integral over the grid. Where integrals differ from one by more than this, a
        warning gives their number, which stays in `counts`; differences below 1e-9 (float32: 1e-5) are left as they
        are.
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

    from_histogram = classmethod(_construct.from_histogram)
    from_samples = classmethod(_construct.from_samples)
    from_gaussian_mixture = classmethod(_construct.from_gaussian_mixture)
    from_table = classmethod(_convert.from_table)
    from_qp = classmethod(_convert.from_qp)
    to_table, to_qp = _convert.to_table, _convert.to_qp
    _repr_html_, plot = _display.pdf_html, _display.plot_pdf
    rebin, regrid, stack = _regrid.rebin, _regrid.regrid, _regrid.stack

    def __init__(
        self, grid: ArrayLike | torch.Tensor, density: ArrayLike | torch.Tensor, *,
        on_invalid: Literal["raise", "mask"] = "raise", tolerance: float = 1e-3,
        interpolation: Literal["linear", "constant"] = "linear",
    ) -> None:
        if on_invalid not in ("raise", "mask"):
            raise ValueError(f"on_invalid must be 'raise' or 'mask', got {on_invalid!r}")
        values = _as_density(density)
        grid = _as_grid(grid, values)
        _check_columns(values, grid, interpolation)
        integral = values @ _piecewise.measure_of(grid, values.shape[1])
        # The smallest value of a row with a NaN is NaN, which is not above zero either.
        good = (values.amin(dim=1) >= 0) & (integral > 0) & torch.isfinite(integral)
        refused = int((~good).sum())
        if refused and on_invalid == "raise":
            rows = torch.nonzero(~good)[:5, 0].tolist()
            raise ValueError(
                f"{refused} of {len(values)} densities are not finite, negative or zero everywhere "
                f"(first rows: {rows}); "
                'on_invalid="mask" keeps them as masked rows'
            )
        newly_masked = 0
        if refused:
            newly_masked = refused - int(torch.isnan(values[~good]).all(dim=1).sum())
            values[~good] = float("nan")
        # NaN rows are False in each comparison.
        off = good & ((integral - 1).abs() > _ROUNDING[values.dtype])
        if bool(off.any()):
            values /= torch.where(off, integral, torch.ones_like(integral))[:, None]
        self._set(grid, values, good, good & ((integral - 1).abs() > tolerance), isinstance(density, torch.Tensor))
        self._warn(newly_masked, int(self._rescaled.sum()))

    def _set(self, grid, density, valid, rescaled, as_tensor):
        self._grid, self._density, self._valid, self._rescaled = grid, density, valid, rescaled
        self._as_tensor, self._source_counts = as_tensor, None
        return self

    def _like(self, density, valid=None, rescaled=None, grid=None):
        """Normalised densities of the same kind of arrays, unchecked."""
        grid = self._grid if grid is None else grid
        valid = self._valid if valid is None else valid
        rescaled = self._rescaled if rescaled is None else rescaled
        return object.__new__(type(self))._set(grid, density, valid, rescaled, self._as_tensor)

    def _warn(self, refused, rescaled):
        if refused:
            warnings.warn(f"{refused} of {len(self)} redshift densities are invalid and masked", GaltransWarning, 3)
        if rescaled:
            warnings.warn(f"{rescaled} of {len(self)} redshift densities did not integrate to one and were normalised",
                          GaltransWarning, 3)

    def _out(self, tensor):
        return tensor if self._as_tensor else tensor.cpu().numpy()

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
        """One redshift a galaxy as a column, checked."""
        redshift = self._in(z_spec, "z_spec")
        if redshift.shape != (len(self),):
            raise ValueError(f"z_spec must have the shape ({len(self)},), got {tuple(redshift.shape)}")
        if not bool(torch.isfinite(redshift).all()):
            raise ValueError("z_spec must be finite")
        return redshift[:, None]

    def _rowwise(self, function, *columns):
        """``function(grid, density, *columns)`` in blocks of galaxies, NaN for masked rows."""
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

    @property
    def grid(self) -> Any:
        """Redshifts of the grid, shape ``(n_grid,)``."""
        return self._out(self._grid)

    @property
    def density(self) -> Any:
        """Normalised probability per unit redshift, shape ``(n_galaxies, n_grid)``, or bins; NaN in masked rows."""
        return self._out(self._density)

    @property
    def valid(self) -> Any:
        """False for masked rows, bool of shape ``(n_galaxies,)``."""
        return self._out(self._valid)

    @property
    def n_masked(self) -> int:
        """Number of masked rows, an int."""
        return int((~self._valid).sum())

    @property
    def counts(self) -> Any:
        """What went into the densities, a dict of int.

        ``n`` galaxies, of which ``n_masked`` are masked, and ``n_normalised`` did not integrate to one as they came.
        For a stack these are the numbers of the galaxies that it was made of.
        """
        if self._source_counts is not None:
            return dict(self._source_counts)
        return {"n": len(self), "n_masked": self.n_masked, "n_normalised": int(self._rescaled.sum())}

    @property
    def interpolation(self) -> str:
        """``"linear"`` between the grid points, or ``"constant"`` in bins with the edges `grid`."""
        return "linear" if self._density.shape[1] == self._grid.numel() else "constant"

    @property
    def device(self) -> torch.device | None:
        """Device of the arrays, a `torch.device`."""
        return self._density.device

    def __len__(self) -> int:
        return self._density.shape[0]

    def __repr__(self) -> str:
        low, high = float(self._grid[0]), float(self._grid[-1])
        columns = f"{self._density.shape[1]} {'points' if self.interpolation == 'linear' else 'bins'}"
        return f"<RedshiftPDF: {len(self)} galaxies, {columns} from {low:.4g} to {high:.4g}>"

    def select(self, indices: slice | ArrayLike) -> RedshiftPDF:
        """The densities of some galaxies.

        Parameters
        ----------
        indices : slice, array_like of int or of bool

        Returns
        -------
        RedshiftPDF
        """
        index = indices
        if not isinstance(indices, slice):
            if not isinstance(indices, torch.Tensor):
                index = torch.from_numpy(np.array(whole(indices, "indices"), ndmin=1))
            index = (index if index.dtype == torch.bool else index.long()).to(self.device)
        return self._like(self._density[index].clone(), self._valid[index].clone(), self._rescaled[index].clone())

    def mode(self, refine: bool = True) -> Any:
        """Redshift of the largest density.

        Parameters
        ----------
        refine : bool, optional
            Take the vertex of the parabola through the highest grid point and its neighbours (the default), which
            removes the rounding to the grid; False gives the grid point. At the ends of the grid and where neighbours
            are equally high it is the grid point in both cases. Of constant densities the centres of the bins are
            the points.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, as for `mean` and `median`.

        Notes
        -----
        qp and RAIL take the highest of the points of some grid, often coarser than the densities: the rounding, up to
        half a step, adds to every scatter that is measured with it (``refine=False`` and `desc_metrics` do the same).
        """
        points = self._grid if self.interpolation == "linear" else 0.5 * (self._grid[1:] + self._grid[:-1])
        return self._out(self._rowwise(lambda _, density: _piecewise.refined_mode(points, density, refine)))

    def mean(self) -> Any:
        """Mean redshift of each galaxy, shape ``(n_galaxies,)``."""
        return self._out(self._rowwise(_piecewise.mean_of))

    def std(self) -> Any:
        """Standard deviation of the redshift of each galaxy, shape ``(n_galaxies,)``."""
        return self._out(self._rowwise(_piecewise.variance_of).clamp(min=0).sqrt())

    def entropy(self) -> Any:
        """Differential entropy of each galaxy, the integral of -p ln p in nats, shape ``(n_galaxies,)``.

        Shannon (1948, Bell System Technical Journal 27, 623), in closed form for lines and constants. It is
        ln(s sqrt(2 pi e)) for a Gaussian of standard deviation s, and ln(b - a) for a uniform density from a to b.
        """
        return self._out(self._rowwise(_piecewise.entropy_of))

    def median(self) -> Any:
        """Redshift of cumulative probability one half, shape ``(n_galaxies,)``."""
        return self.quantile(0.5)

    def quantile(self, q: ArrayLike) -> Any:
        """Redshift below which the probability is ``q``.

        Parameters
        ----------
        q : float or array_like
            Probabilities from 0 to 1, a number or of shape ``(m,)``.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, or ``(n_galaxies, m)``. Where the density vanishes the lowest such redshift.
        """
        probability = self._in(q, "q")
        if not bool(((probability >= 0) & (probability <= 1)).all()):
            raise ValueError(f"q must be between 0 and 1, got {q!r}")
        return self._out(self._at(_piecewise.quantile_of, probability))

    def _at(self, function, values):
        """A function of the density, its cumulative and values that are common to all galaxies."""
        def rows(grid, density):
            wide = values.reshape(1, -1).expand(len(density), -1)
            return function(grid, density, _piecewise.cumulative_of(grid, density), wide)

        result = self._rowwise(rows)
        return result[:, 0] if values.ndim == 0 else result

    def cdf(self, z: ArrayLike) -> Any:
        """Cumulative probability at redshifts common to all galaxies.

        Parameters
        ----------
        z : float or array_like
            A number or shape ``(m,)``; 0 and 1 are given below and above the grid.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, or ``(n_galaxies, m)``.
        """
        return self._out(self._at(_piecewise.probability_below, self._in(z, "z")))

    def pdf(self, z: ArrayLike | torch.Tensor) -> Any:
        """Density at redshifts common to all galaxies, shaped as `cdf`; zero outside the grid."""
        return self._out(self._at(lambda grid, density, _, wide: _piecewise.evaluate_at(grid, density, wide),
                                  self._in(z, "z")))

    def density_at(self, z_spec: ArrayLike | torch.Tensor) -> Any:
        """Density of each galaxy at its own redshift, shape ``(n_galaxies,)``."""
        return self._out(self._rowwise(_piecewise.evaluate_at, self._paired(z_spec))[:, 0])

    def pit(self, z_spec: ArrayLike) -> Any:
        """Probability integral transform: each galaxy's cumulative probability at its own redshift.

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
        return self._out(self._rowwise(_pit_of, self._paired(z_spec)))

    def crps(self, z_spec: ArrayLike) -> Any:
        """Continuous ranked probability score of each galaxy: the integral of (F(x) - [x >= z_spec])^2.

        Matheson & Winkler (1976, Management Science 22, 1087), exact for lines and for constants, in units of
        redshift. For a density without width it is the absolute error.

        Parameters
        ----------
        z_spec : array_like
            Shape ``(n_galaxies,)``. What lies outside of the grid adds its distance.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``; lower is better.
        """
        return self._out(self._rowwise(
            lambda grid, density, z: _piecewise.crps_of(
                grid, density, _piecewise.cumulative_of(grid, density), z[:, 0]), self._paired(z_spec)))

    def credible_level(self, z_spec: ArrayLike) -> Any:
        """Probability of the smallest credible region that holds each galaxy's own redshift.

        The probability of all redshifts whose density is at least that at ``z_spec`` (Wittman, Bhaskar & Tobin 2016,
        MNRAS 457, 4005): uniform for calibrated densities, as `pit`, and meant for densities of several peaks.

        Parameters
        ----------
        z_spec : array_like
            Shape ``(n_galaxies,)``.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, from 0 at the mode to 1.
        """
        return self._out(self._rowwise(
            lambda grid, density, z: _piecewise.probability_above(
                grid, density, _piecewise.evaluate_at(grid, density, z)[:, 0]), self._paired(z_spec)))

    def sample(self, n: int, seed: int | np.random.Generator) -> Any:
        """Random redshifts, drawn exactly by inverting the cumulative probability.

        Parameters
        ----------
        n : int
            Draws for each galaxy.
        seed : int or `numpy.random.Generator`
            The draws of one seed are the same on every device, up to rounding.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies, n)``.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        draws = torch.from_numpy(np.random.default_rng(seed).random((len(self), n)))
        draws = draws.to(device=self.device, dtype=self._density.dtype)
        return self._out(self._rowwise(
            lambda grid, density, level: _piecewise.quantile_of(
                grid, density, _piecewise.cumulative_of(grid, density), level), draws))


def _pit_of(grid, density, redshift):
    return _piecewise.probability_below(grid, density, _piecewise.cumulative_of(grid, density), redshift)[:, 0]
