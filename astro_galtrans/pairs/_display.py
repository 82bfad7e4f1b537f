"""What a notebook shows of pairs, and their figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from astro_galtrans._utils import html
from astro_galtrans._utils.optional import optional

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["pair_html", "pairs_html", "plot_pair"]

_N_SHOWN, _HEIGHT = 4, 84


def _redshift(pair):
    return "redshift not known" if pair.redshift is None else f"redshift {pair.redshift:.4g}"


def _sides(pair):
    return [(side, cube, "" if cube.survey is None else cube.survey.name)
            for side, cube in (("input", pair.input), ("target", pair.target))]


def pair_html(pair: Any) -> str:
    """What a notebook shows of one pair: both images and what is known."""
    rows = [(side, f"{survey} {','.join(cube.bands)}, {cube.shape[1]} x {cube.shape[2]} pixels, {cube.unit}")
            for side, cube, survey in _sides(pair)]
    pictures = "".join(html.thumbnail(cube, title=f"{side}: {survey}") for side, cube, survey in _sides(pair))
    return html.heading("GalaxyPair", f"{pair.id}, {_redshift(pair)}") + html.row(pictures, html.table(rows))


def plot_pair(pair: Any, bands: str | Sequence[str] | None = None, **options: Any) -> Figure:
    """Draw both images beside each other, with the sky along the axes.

    Parameters
    ----------
    bands, **options
        As of `~astro_galtrans.images.BandCube.plot`.

    Returns
    -------
    `~matplotlib.figure.Figure`
        A figure of pyplot.

    Raises
    ------
    ImportError
        Without matplotlib, which is in ``astro_galtrans[report]``.
    """
    figure = optional("matplotlib.pyplot", "report", "figures").figure(figsize=(9.4, 4.4), layout="constrained")
    for number, (side, cube, survey) in enumerate(_sides(pair), start=1):
        where = {} if cube.wcs is None else {"projection": cube.wcs}
        ax = cube.plot(bands, ax=figure.add_subplot(1, 2, number, **where), **options)
        ax.set_title(f"{side}: {survey} ({ax.get_title()})")
    figure.suptitle(f"{pair.id}, {_redshift(pair)}")
    return figure


def pairs_html(pairs: Any) -> str:
    """What a notebook shows of a set of pairs: its size, its surveys, and the first galaxies."""
    rows = []
    for side in ("input", "target"):
        survey, flux = getattr(pairs, f"{side}_survey"), getattr(pairs, f"{side}_flux")
        also = [name for name in ("weight", "truth", "psf") if getattr(pairs, f"{side}_{name}") is not None]
        rows.append((side, f"{survey.name} {','.join(survey.band_names)}, {flux.shape[-2]} x {flux.shape[-1]} pixels, "
                     f"{survey.unit}" + (f", with {' and '.join(also)}" if also else "")))
    rows.append(("redshift", _redshifts(pairs.redshift)))
    rows.append(("spectra", "none" if pairs.spectrum_grid is None else str(pairs.spectrum_grid)))
    rows.append(("catalog", "none" if pairs.catalog is None else f"{len(pairs.catalog.colnames)} columns: "
                 + ", ".join(pairs.catalog.colnames[:12]) + (" ..." if len(pairs.catalog.colnames) > 12 else "")))
    shown = [pairs[row] for row in range(min(_N_SHOWN, len(pairs)))]
    pictures = "".join(f"<div>{_thumbnails(pair)}</div>" for pair in shown)
    where = "in memory" if isinstance(pairs.input_flux, np.ndarray) else "on disk"
    return html.heading("PairSet", f"{len(pairs)} pairs, {where}") + html.row(pictures, html.table(rows))


def _thumbnails(pair):
    return "".join(html.thumbnail(cube, _HEIGHT, f"{pair.id}, {side}: {survey}") for side, cube, survey in _sides(pair))


def _redshifts(redshift):
    known = np.array([]) if redshift is None else redshift[np.isfinite(redshift)]
    if not known.size:
        return "none"
    return f"{known.size} known, {known.min():.3g} to {known.max():.3g}, median {np.median(known):.3g}"
