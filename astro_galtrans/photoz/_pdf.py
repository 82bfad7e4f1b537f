"""An ensemble of redshift probability densities on one shared grid."""

import warnings

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz import _piecewise

__all__ = ["RedshiftPDF"]

# An integral this close to one is rounding: the row is kept to the bit.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5}


def _as_grid(grid, like):
    values = torch.as_tensor(grid if isinstance(grid, torch.Tensor) else np.array(grid, dtype=float))
    values = values.detach().to(device=like.device, dtype=like.dtype)
    if values.ndim != 1 or values.numel() < 2:
        raise ValueError(f"grid must be one-dimensional with at least 2 points, got shape {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()) or not bool((torch.diff(values) > 0).all()):
        raise ValueError("grid must be finite and strictly increasing")
    return values


def _as_density(density):
    """The density as a floating tensor of two axes and whether it came as a tensor."""
    if isinstance(density, torch.Tensor):
        values = density.detach()
        values = values.clone() if values.dtype in _ROUNDING else values.to(torch.float32)
    else:
        values = torch.from_numpy(np.array(density, dtype=np.float64))
    if values.ndim != 2:
        raise ValueError(f"density must have the shape (n_galaxies, n_grid), got {tuple(values.shape)}")
    return values


class RedshiftPDF:
    """Redshift probability densities of an ensemble of galaxies, linear between the points of a shared grid.

    Every quantity is the exact one of the piecewise-linear density, which is zero outside the grid: the integral is
    the trapezoid rule, the cumulative probability a parabola in each cell. Arrays are computed on the device the
    density is on; NumPy arrays in give NumPy arrays out, tensors in give tensors out on their device.

    Parameters
    ----------
    grid : array_like or `torch.Tensor`
        Redshifts, strictly increasing, evenly spaced or not, shape ``(n_grid,)``.
    density : array_like or `torch.Tensor`
        Probability per unit redshift, shape ``(n_galaxies, n_grid)``. Copied. NumPy arrays become float64, tensors
        keep float32 or float64.
    on_invalid : {"raise", "mask"}, optional
        What becomes of a row with a NaN, an infinite or a negative value, or with no probability at all: an error,
        or a masked row. A masked row keeps its place, is False in `valid`, and has NaN for each result. A warning
        gives the number of rows that were masked, without those that came as NaN throughout, as `density` has them.
    tolerance : float, optional
        Each row is divided by its own trapezoid integral. Where integrals differ from one by more than this, a
        warning gives their number; differences below 1e-9 (float32: 1e-5) are left as they are.

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

    def __init__(self, grid, density, *, on_invalid="raise", tolerance=1e-3):
        if on_invalid not in ("raise", "mask"):
            raise ValueError(f"on_invalid must be 'raise' or 'mask', got {on_invalid!r}")
        values = _as_density(density)
        self._as_tensor = isinstance(density, torch.Tensor)
        self._grid = _as_grid(grid, values)
        if values.shape[1] != self._grid.numel():
            raise ValueError(f"density has {values.shape[1]} points a galaxy, grid has {self._grid.numel()}")
        integral = values @ _piecewise.trapezoid_weights(self._grid)
        good = torch.isfinite(values).all(dim=1) & (values >= 0).all(dim=1) & (integral > 0) & torch.isfinite(integral)
        refused = int((~good).sum())
        if refused and on_invalid == "raise":
            rows = torch.nonzero(~good)[:5, 0].tolist()
            raise ValueError(
                f"{refused} of {len(values)} densities are not finite, negative or zero everywhere "
                f"(first rows: {rows}); "
                'on_invalid="mask" keeps them as masked rows'
            )
        newly_masked = int((~good & ~torch.isnan(values).all(dim=1)).sum())
        off = good & ((integral - 1).abs() > _ROUNDING[values.dtype])
        values[off] /= integral[off, None]
        values[~good] = float("nan")
        self._density, self._valid, self._cumulative_cache = values, good, None
        self._warn(newly_masked, int((good & ((integral - 1).abs() > tolerance)).sum()))

    def _warn(self, refused, rescaled):
        if refused:
            warnings.warn(f"{refused} of {len(self)} redshift densities are invalid and masked", GaltransWarning, 3)
        if rescaled:
            warnings.warn(f"{rescaled} of {len(self)} redshift densities did not integrate to one and were normalised",
                          GaltransWarning, 3)

    def _out(self, tensor):
        return tensor if self._as_tensor else tensor.cpu().numpy()

    def _in(self, value, name):
        tensor = value.detach() if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value, dtype=float))
        if tensor.ndim > 1:
            raise ValueError(f"{name} must be a number or one-dimensional, got shape {tuple(tensor.shape)}")
        return tensor.to(device=self._density.device, dtype=self._density.dtype)

    def _paired(self, z_spec):
        """One redshift a galaxy as a column, checked."""
        redshift = self._in(z_spec, "z_spec")
        if redshift.shape != (len(self),):
            raise ValueError(f"z_spec must have the shape ({len(self)},), got {tuple(redshift.shape)}")
        if not bool(torch.isfinite(redshift).all()):
            raise ValueError("z_spec must be finite")
        return redshift[:, None]

    @property
    def _cumulative(self):
        if self._cumulative_cache is None:
            self._cumulative_cache = _piecewise.cumulative_of(self._grid, self._density)
        return self._cumulative_cache

    @property
    def grid(self):
        """Redshifts of the grid, shape ``(n_grid,)``."""
        return self._out(self._grid)

    @property
    def density(self):
        """Normalised probability per unit redshift, shape ``(n_galaxies, n_grid)``; NaN in masked rows."""
        return self._out(self._density)

    @property
    def valid(self):
        """False for masked rows, bool of shape ``(n_galaxies,)``."""
        return self._out(self._valid)

    @property
    def n_masked(self):
        """Number of masked rows, an int."""
        return int((~self._valid).sum())

    @property
    def device(self):
        """Device of the arrays, a `torch.device`."""
        return self._density.device

    def __len__(self):
        return self._density.shape[0]

    def __repr__(self):
        low, high = float(self._grid[0]), float(self._grid[-1])
        return f"<RedshiftPDF: {len(self)} galaxies, {self._grid.numel()} points from {low:.4g} to {high:.4g}>"

    def select(self, indices):
        """The densities of some galaxies.

        Parameters
        ----------
        indices : slice, array_like of int or of bool

        Returns
        -------
        RedshiftPDF
        """
        chosen = object.__new__(RedshiftPDF)
        chosen._as_tensor, chosen._grid, chosen._cumulative_cache = self._as_tensor, self._grid, None
        index = indices
        if not isinstance(indices, slice):
            index = indices if isinstance(indices, torch.Tensor) else torch.from_numpy(np.array(indices, ndmin=1))
            index = (index if index.dtype == torch.bool else index.long()).to(self.device)
        chosen._density, chosen._valid = self._density[index].clone(), self._valid[index].clone()
        return chosen

    def mode(self, refine=True):
        """Redshift of the largest density.

        Parameters
        ----------
        refine : bool, optional
            Take the vertex of the parabola through the highest grid point and its neighbours (the default), which
            removes the rounding to the grid; False gives the grid point. At the ends of the grid and where neighbours
            are equally high it is the grid point in both cases.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, as for `mean` and `median`.
        """
        mode = _piecewise.refined_mode(self._grid, self._density, refine)
        return self._out(torch.where(self._valid, mode, torch.full_like(mode, float("nan"))))

    def mean(self):
        """Mean redshift of each galaxy, shape ``(n_galaxies,)``."""
        return self._out(_piecewise.mean_of(self._grid, self._density))

    def median(self):
        """Redshift of cumulative probability one half, shape ``(n_galaxies,)``."""
        return self.quantile(0.5)

    def quantile(self, q):
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
        wide = values.reshape(1, -1).expand(len(self), -1)
        cumulative = self._cumulative
        filled = [torch.nan_to_num(part) for part in (self._density, cumulative)]
        result = function(self._grid, *filled, wide)
        result = torch.where(self._valid[:, None], result, torch.full_like(result, float("nan")))
        return result[:, 0] if values.ndim == 0 else result

    def cdf(self, z):
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

    def pdf(self, z):
        """Density at redshifts common to all galaxies, shaped as `cdf`; zero outside the grid."""
        return self._out(self._at(lambda grid, density, _, wide: _piecewise.evaluate_at(grid, density, wide),
                                  self._in(z, "z")))

    def density_at(self, z_spec):
        """Density of each galaxy at its own redshift, shape ``(n_galaxies,)``."""
        return self._out(_piecewise.evaluate_at(self._grid, self._density, self._paired(z_spec))[:, 0])

    def pit(self, z_spec):
        """Probability integral transform: each galaxy's cumulative probability at its own redshift.

        Parameters
        ----------
        z_spec : array_like
            Shape ``(n_galaxies,)``.

        Returns
        -------
        ndarray or `torch.Tensor`
            Shape ``(n_galaxies,)``, from 0 to 1; uniform for calibrated densities (Dawid 1984, JRSS A 147, 278).
        """
        return self._out(
            _piecewise.probability_below(self._grid, self._density, self._cumulative, self._paired(z_spec))[:, 0])

    def sample(self, n, seed):
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
        redshift = _piecewise.quantile_of(self._grid, torch.nan_to_num(self._density),
                                          torch.nan_to_num(self._cumulative), draws)
        return self._out(torch.where(self._valid[:, None], redshift, torch.full_like(redshift, float("nan"))))

    def to_table(self, ids=None):
        """A table with one row a galaxy.

        Parameters
        ----------
        ids : array_like, optional
            Put into a first column ``id``.

        Returns
        -------
        `~astropy.table.Table`
            Columns ``z_mode``, ``z_mean``, ``z_median`` and ``density`` (a vector column), and the grid as a list in
            ``meta["redshift_grid"]``, so that ECSV files hold all of it.
        """
        table = Table(meta={"redshift_grid": self._grid.cpu().tolist()})
        if ids is not None:
            table["id"] = np.asarray(ids)
        for name, values in (("z_mode", self.mode()), ("z_mean", self.mean()), ("z_median", self.median()),
                             ("density", self.density)):
            table[name] = values.cpu().numpy() if self._as_tensor else values
        return table

    @classmethod
    def from_table(cls, table):
        """The densities in a table of `to_table`, with NumPy arrays inside; rows masked there stay masked.

        Parameters
        ----------
        table : `~astropy.table.Table`

        Returns
        -------
        RedshiftPDF
        """
        if "redshift_grid" not in table.meta or "density" not in table.colnames:
            raise ValueError(
                'table must have a column "density" and meta["redshift_grid"], as RedshiftPDF.to_table writes')
        density = np.ma.filled(np.ma.asarray(table["density"], dtype=float), np.nan)
        return cls(table.meta["redshift_grid"], density, on_invalid="mask")
