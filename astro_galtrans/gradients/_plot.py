"""The figure with all gradients and colors of one galaxy."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import astropy.units as u

from astro_galtrans._utils.figures import new_figure
from astro_galtrans._utils.optional import optional
from astro_galtrans.gradients import _psf
from astro_galtrans.gradients._colors import color_gradient_profile, color_map
from astro_galtrans.gradients._flux import flux_arrays, two_bands
from astro_galtrans.gradients._panels import (
    STYLE, color_panel, gradient_panel, image_panel, profile_panel, spatial_panels,
)
from astro_galtrans.gradients._sed import sed_gradients

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.coordinates import SkyCoord
    from astropy.nddata import CCDData, NDData
    from astropy.units import Quantity
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from astro_galtrans.images import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["plot_sed_gradients"]


def plot_sed_gradients(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], bands: Sequence[str] = ("g", "r"), *,
    survey: Survey | str | None = None, match_psf: bool | Literal["kernel", "gaussian"] = True,
    radii: Quantity | ArrayLike | None = None, center: tuple[float, float] | SkyCoord | None = None,
    axis_ratio: float = 1.0, theta: Quantity = 0 * u.deg, ellipse: Literal["moments"] | None = None,
) -> Figure:
    """Draw one galaxy: image, gradients, color map and color profile.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        Background-subtracted image, ``(band, y, x)``.
    bands : tuple of str, optional
        The color is the first minus the second. The image and its gradients along x and y are those of the second; the
        passband gradient is from the first to the next redder band, after PSF matching where the PSFs are known.
    survey : Survey or str, optional
        Survey of an image that does not name one.
    match_psf, radii, center, axis_ratio, theta, ellipse
        As of `color_gradient_profile`.

    Returns
    -------
    `matplotlib.figure.Figure`
        Six panels, on WCS axes where the image has a WCS. The figure is not registered in pyplot:
        ``figure.savefig(path)`` writes it.

    Raises
    ------
    ImportError
        Without matplotlib, which is in ``astro_galtrans[report]``.
    """
    matplotlib = optional("matplotlib", "report", "figures")
    arrays = flux_arrays(image, survey)
    cube = arrays.cube
    blue, red = two_bands(bands, cube.bands)
    table = color_gradient_profile(cube, bands, radii=radii, center=center, axis_ratio=axis_ratio, theta=theta,
                                   ellipse=ellipse, match_psf=match_psf)
    gradients = sed_gradients(cube)
    passband = gradients.passband
    method = table.meta["psf_match"]["method"]
    if method is not None:
        passband = sed_gradients(_psf.match_psf(cube, method=method)).passband
    pair = min(blue, len(cube.bands) - 2)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(9.5, 5.6)
        cells = figure.add_gridspec(2, 3)
        image_panel(figure, cells[0, 0], arrays, red)
        spatial_panels(figure, cells[0, 1], cells[0, 2], gradients, red, labels=False)
        gradient_panel(figure, cells[1, 0], passband, pair, f"{cube.bands[pair]} to {cube.bands[pair + 1]}",
                       r"d ln f$_\nu$ / d ln $\lambda$")
        color_panel(figure, cells[1, 1], color_map(cube, bands, match_psf=match_psf), bands)
        profile_panel(figure, cells[1, 2], table, bands)
    return figure
