"""What a cube looks like: a colour picture of three bands, and how a notebook shows a cube."""

from typing import Any

import astropy.units as u
import numpy as np

from astro_galtrans._utils.rgb import BALANCE, rgb_bands, rgb_picture, rgb_stretch
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import _html

__all__ = ["color_picture", "cube_html"]

_THUMBNAIL = 160
_N_SIGMA = 2.5


def color_picture(cube, bands=None, step=1):
    """A colour picture by the stretch of Lupton et al. (2004, PASP 116, 133).

    Parameters
    ----------
    cube : BandCube
    bands : sequence of str, optional
        Those for red, green and blue.
    step : int, optional
        Every so many pixels are shown.

    Returns
    -------
    ndarray
        uint8 of shape ``(y, x, 3)``; pixels without a valid value are grey.
    """
    bands = rgb_bands(cube.bands) if bands is None else tuple(bands)
    index = _indices(cube, bands)
    flux = np.stack([cube.data[number, ::step, ::step] for number in index]).astype(float)
    bad = ~np.isfinite(flux)
    if cube.mask is not None:
        bad |= np.stack([cube.mask[number, ::step, ::step] for number in index])
    planes = np.where(bad, 0, flux) * _scales(cube, index)[:, None, None]
    stretch = rgb_stretch(planes.mean(axis=0)[~bad.all(axis=0)], _N_SIGMA)
    pixels = rgb_picture(planes, stretch, saturate=len(set(index)) > 1)
    pixels[bad.all(axis=0)] = 96
    return pixels


def _indices(cube, bands):
    unknown = [name for name in bands if name not in cube.bands]
    if unknown or len(bands) != 3:
        raise BandMismatchError(
            f"bands must be three of {', '.join(cube.bands)} for red, green and blue, got {', '.join(bands)}")
    return [cube.bands.index(name) for name in bands]


def _scales(cube, index):
    """Factors to one scale of flux in all bands, microjansky where it is known."""
    zero_points = cube.zero_points
    scale = np.ones(3) if zero_points is None else 10 ** (0.4 * (23.9 - zero_points[index]))
    return scale * (np.array(BALANCE) if len(set(index)) > 1 else 1.0)


def cube_html(cube: Any) -> str:
    """What a notebook shows of a cube."""
    names = ",".join(cube.bands)
    survey = "" if cube.survey is None else f", survey {cube.survey.name}"
    scale = cube.pixel_scale
    pixels = "" if scale is None else f" of {scale.to_value(u.arcsec):.4g} arcsec"
    rows = [("bands", names), ("size", f"{cube.shape[1]} x {cube.shape[2]} pixels{pixels}"), ("unit", cube.unit)]
    if cube.wcs is not None:
        rows.append(("middle", _middle(cube)))
    zero_points = cube.zero_points
    if zero_points is not None:
        rows.append(("AB magnitude of one unit", ", ".join(f"{value:.4g}" for value in zero_points)))
    good = np.isfinite(cube.data) & (True if cube.mask is None else ~cube.mask)
    rows.append(("bad pixels", f"{1 - good.mean():.1%}"))
    rows.append(("uncertainty", "none" if cube.uncertainty is None else cube.uncertainty.uncertainty_type))
    rows.append(("PSF", "none" if cube.psf is None else "{} x {} pixels".format(*cube.psf.shape[1:])))
    made = cube.meta.get("galtrans") if hasattr(cube.meta, "get") else None
    if isinstance(made, dict):
        rows.append(("translated by", f"{made.get('translator')} ({str(made.get('hash'))[:12]})"))
    return _html.heading("BandCube", f"{names}{survey}") + _html.row(thumbnail(cube), _html.table(rows))


def thumbnail(cube, height=_THUMBNAIL, title=""):
    """The picture of a cube as an element of HTML; empty where none can be drawn."""
    step = max(1, int(np.ceil(max(cube.shape[1:]) / 256)))
    bands = rgb_bands(cube.bands)
    try:
        pixels = color_picture(cube, bands, step)
    except ImportError:  # an astropy whose pictures need matplotlib
        return ""
    return _html.picture(pixels, title or f"{', '.join(bands)} as red, green, blue", height)


def _middle(cube):
    x, y = ((side - 1) / 2 for side in cube.shape[:0:-1])
    place = cube.wcs.pixel_to_world(x, y)
    return place.to_string("hmsdms", precision=1) if hasattr(place, "to_string") else str(place)
