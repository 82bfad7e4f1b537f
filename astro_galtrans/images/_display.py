"""Color images of a cube, figures with matplotlib, and the HTML that a notebook shows."""

import astropy.units as u
import numpy as np

from astro_galtrans._utils import html
from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.rgb import BALANCE, rgb_bands, lupton_image, rgb_stretch
from astro_galtrans.exceptions import BandMismatchError

__all__ = ["color_image", "cube_html", "draw"]

_N_SIGMA = 2.5
_NAMES = {"RA": "RA", "DEC": "Dec", "GLON": "Galactic l", "GLAT": "Galactic b"}


def color_image(cube, bands, step=1):
    """See `astro_galtrans.images.BandCube.color_image`."""
    unknown = [name for name in bands if name not in cube.bands]
    if unknown or len(bands) != 3:
        raise BandMismatchError(
            f"bands must be three of {', '.join(cube.bands)} for red, green and blue, got {', '.join(bands)}")
    index = [cube.bands.index(name) for name in bands]
    flux = cube.data[index, ::step, ::step].astype(float)
    bad = ~np.isfinite(flux)
    if cube.mask is not None:
        bad |= cube.mask[index, ::step, ::step]
    is_gray = len(set(index)) == 1
    scale = np.ones(3) if is_gray else np.array(BALANCE)
    if cube.zero_points is not None:  # to microjansky
        scale *= 10 ** (0.4 * (23.9 - cube.zero_points[index]))
    planes = np.where(bad, 0, flux) * scale[:, np.newaxis, np.newaxis]
    without = bad.all(axis=0)
    stretch = rgb_stretch(planes.mean(axis=0)[~without], _N_SIGMA)
    pixels = lupton_image(planes, stretch, saturate=not is_gray)
    pixels[without] = 96
    return pixels


def cube_html(cube):
    """Return the HTML that a notebook shows of a cube."""
    names = ",".join(cube.bands)
    survey = "" if cube.survey is None else f", survey {cube.survey.name}"
    scale = cube.pixel_scale
    pixels = "" if scale is None else f" of {scale.to_value(u.arcsec):.4g} arcsec"
    rows = [("bands", names), ("size", f"{cube.shape[1]} x {cube.shape[2]} pixels{pixels}"), ("unit", cube.unit)]
    if cube.wcs is not None:
        x, y = ((side - 1) / 2 for side in cube.shape[:0:-1])
        rows.append(("center", cube.wcs.pixel_to_world(x, y).to_string("hmsdms", precision=1)))
    if cube.zero_points is not None:
        rows.append(("AB magnitude of one unit", ", ".join(f"{value:.4g}" for value in cube.zero_points)))
    good = np.isfinite(cube.data) & (True if cube.mask is None else ~cube.mask)
    rows.append(("bad pixels", f"{1 - good.mean():.1%}"))
    rows.append(("uncertainty", "none" if cube.uncertainty is None else cube.uncertainty.uncertainty_type))
    rows.append(("PSF", "none" if cube.psf is None else "{} x {} pixels".format(*cube.psf.shape[1:])))
    provenance = cube.meta.get("galtrans")
    if isinstance(provenance, dict):
        rows.append(("translated by", f"{provenance.get('translator')} ({str(provenance.get('hash'))[:12]})"))
    title = f"{', '.join(rgb_bands(cube.bands))} as red, green, blue"
    return html.heading("BandCube", f"{names}{survey}") + html.row(
        html.thumbnail(cube, title=title), html.table(rows))


def draw(cube, bands, ax, colorbar, options):
    """See `astro_galtrans.images.BandCube.plot`."""
    names = _chosen(cube, bands)
    if ax is None:
        figure = optional("matplotlib.pyplot", "report", "figures").figure(figsize=(5.4, 4.6), layout="constrained")
        ax = figure.add_subplot(**({} if cube.wcs is None else {"projection": cube.wcs}))
    if len(names) == 1:
        _draw_band(cube, names[0], ax, colorbar, options)
    else:
        ax.imshow(color_image(cube, names), origin="lower", interpolation="nearest", **options)
        ax.set_title(", ".join(names))
    _label(ax, cube.wcs)
    return ax


def _chosen(cube, bands):
    """Names of the bands to draw, one or three."""
    if bands is None:
        return rgb_bands(cube.bands) if len(cube.bands) > 2 else cube.bands[:1]
    names = (bands,) if bands in cube.bands else tuple(bands)
    if len(names) == 1:
        cube.select_bands(names)  # an error where there is none of this name
    return names


def _draw_band(cube, band, ax, colorbar, options):
    from astropy.visualization import AsinhStretch, ImageNormalize

    index = cube.bands.index(band)
    values = cube.data[index]
    values = np.where(np.isfinite(values) & (True if cube.mask is None else ~cube.mask[index]), values, np.nan)
    known = values[np.isfinite(values)]
    options = {"cmap": "gray_r", "origin": "lower", "interpolation": "nearest", **options}
    if not {"norm", "vmin", "vmax"} & set(options):
        low, middle, high = (np.percentile(known, (16, 50, 100)) if known.size else (0.0, 0.0, 1.0))
        spread = max(middle - low, 1e-6 * max(abs(high), 1e-30))
        options["norm"] = ImageNormalize(vmin=middle - 3 * spread, vmax=max(high, middle + 5 * spread),
                                         stretch=AsinhStretch(0.02))
    ax.set_facecolor("0.8")
    drawn = ax.imshow(values, **options)
    if colorbar:
        ax.figure.colorbar(drawn, ax=ax, label=f"flux ({cube.unit.to_string()} per pixel)", shrink=0.85)
    survey = "" if cube.survey is None else f"{cube.survey.name} "
    ax.set_title(f"{survey}{band}")


def _label(ax, wcs):
    """Label the axes, with ticks that do not overlap."""
    if not hasattr(ax, "coords"):
        ax.set(xlabel="x (pixel)", ylabel="y (pixel)")
        return
    for coordinate, kind in ((ax.coords[wcs.wcs.lng], wcs.wcs.lngtyp), (ax.coords[wcs.wcs.lat], wcs.wcs.lattyp)):
        frame = f" ({wcs.wcs.radesys.strip()})" if kind in ("RA", "DEC") and wcs.wcs.radesys.strip() else ""
        coordinate.set_axislabel(_NAMES.get(kind.strip(), kind.strip()) + frame)
        coordinate.set_ticks(number=4)
        coordinate.set_ticklabel(exclude_overlapping=True)
