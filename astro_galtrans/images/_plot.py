"""Drawing a cube with matplotlib, with the sky along the axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.rgb import rgb_bands
from astro_galtrans.images._picture import color_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["new_axes", "need_pyplot", "plot_cube"]

_NAMES = {"RA": "RA", "DEC": "Dec", "GLON": "Galactic l", "GLAT": "Galactic b"}


def need_pyplot():
    """`matplotlib.pyplot`, or an error that names the extra it is in."""
    return optional("matplotlib.pyplot", "report", "figures")


def plot_cube(
    cube: Any, bands: str | Sequence[str] | None = None, ax: Axes | None = None, *, colorbar: bool = True,
    **options: Any,
) -> Axes:
    """Draw one band, or three as a colour picture, with the sky along the axes.

    Parameters
    ----------
    bands : str or sequence of str, optional
        The name of a band, or three for red, green and blue, as ``"irg"``. By default i, r and g, or three that are
        spread over those of the cube; one band of a cube that has fewer than three.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw; by default a new figure of pyplot, with a `~astropy.visualization.wcsaxes.WCSAxes` where the
        cube has a WCS.
    colorbar : bool, optional
        Whether one band has a bar with the unit.
    **options
        Of `~matplotlib.axes.Axes.imshow`, as ``cmap``, or ``norm`` in place of the asinh stretch.

    Returns
    -------
    `~matplotlib.axes.Axes`
        As ``ax.figure.savefig(path)`` writes it.

    Raises
    ------
    BandMismatchError
        If the cube has no such bands, or their number is neither one nor three.
    ImportError
        Without matplotlib, which is in ``astro_galtrans[report]``.
    """
    chosen = _chosen(cube, bands)
    ax = new_axes(cube) if ax is None else ax
    if isinstance(chosen, tuple):
        ax.imshow(color_picture(cube, chosen), origin="lower", interpolation="nearest", **options)
        ax.set_title(", ".join(chosen))
    else:
        _one_band(cube, cube.bands.index(chosen), ax, colorbar, options)
    _label(ax, cube.wcs)
    return ax


def _chosen(cube, bands):
    """The name of one band, or a tuple of three."""
    if bands is None:
        return rgb_bands(cube.bands) if len(cube.bands) > 2 else cube.bands[0]
    if isinstance(bands, str) and (bands in cube.bands or len(bands) == 1):
        cube.select_bands((bands,))  # an error where there is none of this name
        return bands
    names = tuple(bands)
    if len(names) == 1:
        cube.select_bands(names)
        return names[0]
    return names


def new_axes(cube):
    """Axes of a new figure, with the sky along them where it is known."""
    plt = need_pyplot()
    figure = plt.figure(figsize=(5.4, 4.6), layout="constrained")
    return figure.add_subplot() if cube.wcs is None else figure.add_subplot(projection=cube.wcs)


def _one_band(cube, index, ax, colorbar, options):
    from astropy.visualization import AsinhStretch, ImageNormalize

    values = cube.data[index]
    values = np.where(np.isfinite(values) & (True if cube.mask is None else ~cube.mask[index]), values, np.nan)
    known = values[np.isfinite(values)]
    if "norm" not in options and not {"vmin", "vmax"} & set(options):
        low, noise, high = (np.percentile(known, (16, 50, 100)) if known.size else (0.0, 0.0, 1.0))
        spread = max(noise - low, 1e-6 * max(abs(high), 1e-30))
        options["norm"] = ImageNormalize(vmin=noise - 3 * spread, vmax=max(high, noise + 5 * spread),
                                         stretch=AsinhStretch(0.02))
    ax.set_facecolor("0.8")
    drawn = ax.imshow(values, **{"cmap": "gray_r", "origin": "lower", "interpolation": "nearest", **options})
    if colorbar:
        ax.figure.colorbar(drawn, ax=ax, label=f"flux ({cube.unit.to_string()} per pixel)", shrink=0.85)
    survey = "" if cube.survey is None else f"{cube.survey.name} "
    ax.set_title(f"{survey}{cube.bands[index]}")


def _label(ax, wcs):
    """Names of the axes; ticks that do not meet."""
    if not hasattr(ax, "coords"):
        ax.set(xlabel="x (pixel)", ylabel="y (pixel)")
        return
    for coordinate, kind in ((ax.coords[wcs.wcs.lng], wcs.wcs.lngtyp), (ax.coords[wcs.wcs.lat], wcs.wcs.lattyp)):
        frame = f" ({wcs.wcs.radesys.strip()})" if kind in ("RA", "DEC") and wcs.wcs.radesys.strip() else ""
        coordinate.set_axislabel(_NAMES.get(kind.strip(), kind.strip()) + frame)
        coordinate.set_ticks(number=4)
        coordinate.set_ticklabel(exclude_overlapping=True)
