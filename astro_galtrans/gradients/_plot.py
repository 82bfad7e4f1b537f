"""Figures of SED gradients, with matplotlib's object interface and the sky along the axes."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

from astro_galtrans._utils.figures import new_figure
from astro_galtrans._utils.optional import optional
from astro_galtrans.gradients._colors import color_map
from astro_galtrans.gradients._flux import band_index, flux_arrays
from astro_galtrans.gradients._panels import STYLE, color_panel, gradient_panel, image_panel, profile_panel
from astro_galtrans.gradients._profile import color_gradient_profile
from astro_galtrans.gradients._psf import match_psf
from astro_galtrans.gradients._sed import sed_gradients

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.nddata import CCDData, NDData
    from matplotlib.figure import Figure

    from astro_galtrans.images import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["plot_sed_gradients"]


def plot_sed_gradients(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], bands: Sequence[str] = ("g", "r"), *,
    survey: Survey | str | None = None, **profile: Any,
) -> Figure:
    """A page on one galaxy: image, gradients, colour map and colour profile.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image, ``(band, y, x)``, its background subtracted.
    bands : tuple of str, optional
        The colour is the first minus the second. The image and its gradients along x and y are of the second; the
        passband gradient is from the first to the next redder band, after the matching of PSFs where they are known.
    survey : Survey or str, optional
        Where the image does not say it itself.
    **profile
        Passed to `color_gradient_profile`, as ``ellipse="moments"``.

    Returns
    -------
    `matplotlib.figure.Figure`
        Of six panels, with the sky along the axes of the images where there is a WCS. It is not registered in pyplot:
        ``figure.savefig(path)`` writes it.

    Raises
    ------
    ImportError
        Without matplotlib, which is in ``astro_galtrans[report]``.
    """
    matplotlib = optional("matplotlib", "report", "figures")
    arrays = flux_arrays(image, survey)
    cube = arrays.cube
    blue, band = (band_index(cube, name) for name in bands)
    table = color_gradient_profile(cube, bands, **profile)
    match = profile.get("match_psf", True)
    colors = color_map(cube, bands, match_psf=match)
    gradients = sed_gradients(cube)
    pair = min(blue, len(cube.bands) - 2)
    passband = gradients.passband
    if match is not False and table.meta["psf_match"]["method"] is not None:
        passband = sed_gradients(match_psf(cube, method=table.meta["psf_match"]["method"])).passband
    with matplotlib.rc_context(STYLE):
        figure = new_figure(9.5, 5.6)
        cells = figure.add_gridspec(2, 3)
        image_panel(figure, cells[0, 0], arrays, band)
        gradient_panel(figure, cells[0, 1], gradients.x, band, f"{bands[1]}: along x",
                       "d ln f / dx (arcsec$^{-1}$)", False)
        gradient_panel(figure, cells[0, 2], gradients.y, band, f"{bands[1]}: along y",
                       "d ln f / dy (arcsec$^{-1}$)", False)
        gradient_panel(figure, cells[1, 0], passband, pair, f"{cube.bands[pair]} to {cube.bands[pair + 1]}",
                       r"d ln f$_\nu$ / d ln $\lambda$")
        color_panel(figure, cells[1, 1], colors, bands)
        profile_panel(figure, cells[1, 2], table, bands)
    return figure
