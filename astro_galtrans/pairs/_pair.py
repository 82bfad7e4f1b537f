"""One pair as images with a WCS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import InverseVariance

from astro_galtrans._utils import html
from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.optional import optional
from astro_galtrans.images import BandCube
from astro_galtrans.pairs._match_stamps import grid_wcs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from specutils import Spectrum

__all__ = ["GalaxyPair", "pair_cubes"]


@dataclass(frozen=True, repr=False)
class GalaxyPair:
    """One galaxy in two surveys.

    Parameters
    ----------
    input, target : `~astro_galtrans.images.BandCube`
        The images.
    redshift : float or None
        Spectroscopic or true redshift; None if unknown.
    id : int or str
        Name of the galaxy.
    redshift_error : float or None, optional
        Standard deviation of the redshift; None if unknown.
    spectrum : `specutils.Spectrum` or None, optional
        On the grid of the set of pairs; None if the galaxy has none.
    """

    input: BandCube
    target: BandCube
    redshift: float | None
    id: int | str
    redshift_error: float | None = None
    spectrum: Spectrum | None = None

    def __repr__(self) -> str:
        redshift = "" if self.redshift is None else f", redshift {self.redshift:.4g}"
        spectrum = "" if self.spectrum is None else ", with a spectrum"
        return f"<GalaxyPair {self.id}: {self.input!r} -> {self.target!r}{redshift}{spectrum}>"

    def _sides(self):
        return [(side, cube, "" if cube.survey is None else cube.survey.name)
                for side, cube in (("input", self.input), ("target", self.target))]

    def _redshift_text(self):
        return "redshift not known" if self.redshift is None else f"redshift {self.redshift:.4g}"

    def _thumbnails(self, height=160, title=""):
        """Return both images as HTML, with the side and survey below each."""
        return "".join(html.thumbnail(cube, height, f"{title}{side}: {survey}") for side, cube, survey in self._sides())

    def _repr_html_(self) -> str:
        rows = [(side, f"{survey} {','.join(cube.bands)}, {cube.shape[1]} x {cube.shape[2]} pixels, {cube.unit}")
                for side, cube, survey in self._sides()]
        heading = html.heading("GalaxyPair", f"{self.id}, {self._redshift_text()}")
        return heading + html.row(self._thumbnails(), html.table(rows))

    def plot(self, bands: str | Sequence[str] | None = None, **options: object) -> Figure:
        """Draw both images side by side, with sky coordinates along the axes.

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
        for number, (side, cube, survey) in enumerate(self._sides(), start=1):
            projection = {} if cube.wcs is None else {"projection": cube.wcs}
            ax = cube.plot(bands, ax=figure.add_subplot(1, 2, number, **projection), **options)
            ax.set_title(f"{side}: {survey} ({ax.get_title()})")
        figure.suptitle(f"{self.id}, {self._redshift_text()}")
        return figure


def _position(catalog, row):
    """Return the ICRS position of a row in degrees, None if unknown."""
    if catalog is None or not {"ra", "dec"} <= set(catalog.colnames):
        return None
    ra, dec = (float(floats(catalog[name][row], name)) for name in ("ra", "dec"))
    return (ra, dec) if np.isfinite([ra, dec]).all() and abs(dec) <= 90 else None


def _grid(catalog, row, side, survey, shape):
    """Return the pixel grid of an image: that in the catalog, or one with the position at the center, north up."""
    name = f"{side}_grid"
    if catalog is not None and name in catalog.colnames and np.shape(catalog[name]) == (len(catalog), 6):
        return np.asarray(catalog[name][row], dtype=float)
    scale = survey.pixel_scale.to_value("arcsec")
    return np.array([(shape[-1] - 1) / 2, (shape[-2] - 1) / 2, -scale, 0, 0, scale])


def pair_cubes(batch, row, catalog, surveys):
    """Return the input and the target of the pair in a row as BandCubes; ``batch`` has its arrays."""
    name = batch["ids"][0].item()
    position = _position(catalog, row)
    meta = {"id": name}
    if position is None:
        meta["position"] = "not known; the WCS is centered on ra 0, dec 0"
    cubes = []
    for side, survey in surveys.items():
        flux, weight, psf = (None if batch[f"{side}_{kind}"] is None else batch[f"{side}_{kind}"][0]
                             for kind in ("flux", "weight", "psf"))
        grid = _grid(catalog, row, side, survey, flux.shape)
        cubes.append(BandCube(
            flux, unit=survey.unit, survey=survey, bands=survey.band_names, wcs=grid_wcs(*(position or (0, 0)), grid),
            mask=None if weight is None else weight == 0,
            uncertainty=None if weight is None else InverseVariance(weight),
            psf=psf if psf is not None and psf.any() else None, meta=dict(meta)))
    return cubes
