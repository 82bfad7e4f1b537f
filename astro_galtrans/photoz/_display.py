"""What a notebook shows of redshift densities, and their figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans._utils.optional import optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["pdf_html", "plot_pdf"]

_N_SHOWN = 8


def _array(values):
    return values.cpu().numpy() if hasattr(values, "cpu") else np.asarray(values)


def pdf_html(pdf: Any) -> str:
    """A table of the first galaxies: median, interval and mode."""
    from astro_galtrans._utils import html

    first = pdf.select(slice(0, _N_SHOWN))
    quantiles, mode = _array(first.quantile([0.16, 0.5, 0.84])), _array(first.mode())
    rows = [(row, *(f"{value:.4g}" for value in (quantiles[row, 1], quantiles[row, 0], quantiles[row, 2], mode[row])))
            for row in range(len(first))]
    more = [("...", "", "", "", "")] if len(pdf) > len(first) else []
    grid = _array(pdf.grid)
    text = f"{len(pdf)} galaxies, {grid.size} redshifts from {grid[0]:.4g} to {grid[-1]:.4g}"
    text += f", {pdf.n_masked} masked" if pdf.n_masked else ""
    return html.heading("RedshiftPDF", text) + html.table(
        rows + more, ("galaxy", "median", "16 %", "84 %", "mode"))


def plot_pdf(
    pdf: Any, galaxies: slice | ArrayLike = slice(0, 5), z_spec: ArrayLike | None = None, ax: Axes | None = None,
    **options: Any,
) -> Axes:
    """Draw the densities of some galaxies.

    Parameters
    ----------
    galaxies : slice, array_like of int or of bool, optional
        Which; by default the first five.
    z_spec : array_like, optional
        True redshifts of all galaxies, drawn as dashed lines; shape ``(n_galaxies,)``.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw; by default a new figure of pyplot.
    **options
        Of `~matplotlib.axes.Axes.plot`.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        Without matplotlib, which is in ``astro_galtrans[report]``.
    """
    optional("matplotlib", "report", "figures")
    if z_spec is not None and np.shape(z_spec) != (len(pdf),):
        raise ValueError(f"z_spec must have the shape ({len(pdf)},), got {np.shape(z_spec)}")
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(figsize=(6.4, 4.2), layout="constrained").add_subplot()
    rows = np.atleast_1d(np.arange(len(pdf))[galaxies if isinstance(galaxies, slice) else whole(galaxies, "galaxies")])
    known = None if z_spec is None else floats(z_spec, "z_spec", dtype=float)
    grid, density = _array(pdf.grid), _array(pdf.select(rows).density)
    for row, values in zip(rows, density):
        if density.shape[1] == len(grid):
            color = ax.plot(grid, values, **{"label": f"galaxy {row}", **options})[0].get_color()
        else:
            color = ax.stairs(values, grid, **{"label": f"galaxy {row}", **options}).get_edgecolor()
        if known is not None and np.isfinite(known[row]):
            ax.axvline(known[row], color=color, ls="--", lw=0.9)
    ax.set(xlabel="redshift", ylabel="probability per unit redshift")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax
