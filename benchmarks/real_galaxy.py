"""Draw the real galaxy of the page about SED gradients: a merger in SDSS field 3918-3-213.

    python benchmarks/real_galaxy.py $GALTRANS_REAL_DATA/sdss-field-003918-3-0213 docs/_static/sed_merger.png

Two spirals with tidal arms: image in g, r and i; gradients along x and y in r; gradient from g to r and color map after
PSF matching; SEDs of the southern nucleus and of the two arms; color in annuli around that nucleus. The values of the
SEDs and of the profile are logged.
"""

import argparse
import logging
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
from astropy.coordinates import SkyCoord  # noqa: E402
from matplotlib.cm import ScalarMappable  # noqa: E402
from matplotlib.colors import Normalize  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from PIL import Image  # noqa: E402
from photutils.aperture import CircularAperture  # noqa: E402
from color_images import color_image  # noqa: E402

from astro_galtrans.gradients import (  # noqa: E402
    color_gradient_profile, color_map, match_psf, sed_gradients, sed_spectrum,
)
from astro_galtrans.images import read_cube  # noqa: E402

log = logging.getLogger("real_galaxy")
POSITION, SIZE = SkyCoord(229.52513, 42.74365, unit="deg"), 125
NUCLEUS = SkyCoord(229.52643, 42.74402, unit="deg")
RADII = [0, 0.6, 1.2, 1.8, 2.4, 3.0, 3.6, 4.2] * u.arcsec
# Name, offset from the middle in pixels (x, y), radius in arcsec and color in the figure.
REGIONS = (("nucleus", (7, 6), 1.5, "#d6604d"), ("northern arm", (5.5, -40.5), 3.0, "#2166ac"),
           ("southern arm", (-20.5, 40.5), 3.0, "#41ab5d"))
STYLE = {"font.size": 8, "axes.titlesize": 9, "image.origin": "lower", "image.interpolation": "nearest"}


def apertures(cube):
    """Return aperture and color by region."""
    middle = np.array([(side - 1) / 2 for side in cube.shape[:0:-1]])
    scale = cube.pixel_scale.to_value(u.arcsec)
    return {name: (CircularAperture(middle + offset, radius / scale), color)
            for name, offset, radius, color in REGIONS}


def sky_axes(figure, cell, wcs, title):
    """Return axes without coordinate labels."""
    axes = figure.add_subplot(cell, projection=wcs)
    axes.set(title=title, facecolor="0.93")
    for coordinate in axes.coords:
        coordinate.set_ticks(number=3)
        coordinate.set_ticklabel_visible(False)
        coordinate.set_axislabel("")
    return axes


def draw_gradient(figure, cell, gradient, index, title, label):
    """Draw one gradient, faded where its uncertainty is as large as the largest values."""
    values = np.where(gradient.mask[index], np.nan, gradient.data[index])
    sigma = gradient.uncertainty.array[index]
    known = np.isfinite(values) & (sigma < 0.3 * np.nanpercentile(sigma, 99))
    limit = np.percentile(np.abs(values[known]), 99)
    colors = ScalarMappable(Normalize(-limit, limit), "RdBu_r")
    axes = sky_axes(figure, cell, gradient.wcs, title)
    axes.imshow(values, cmap=colors.cmap, norm=colors.norm, alpha=np.nan_to_num(1 / (1 + (2 * sigma / limit)**2)))
    figure.colorbar(colors, ax=axes, label=label, shrink=0.85)


def draw_color(figure, cell, colors):
    values = np.where(colors.mask, np.nan, colors.data)
    low, high = np.nanpercentile(values, (2, 98))
    axes = sky_axes(figure, cell, colors.wcs, "g - r")
    drawn = axes.imshow(values, cmap="Spectral_r", vmin=low, vmax=high)
    figure.colorbar(drawn, ax=axes, label="g - r (mag)", shrink=0.85)


def draw_profile(figure, cell, table):
    """Draw the color against radius with its slope."""
    axes = figure.add_subplot(cell)
    radius, color, error = table["radius"].value, table["color"].value, table["color_err"].value
    width = radius - table["radius_in"].value, table["radius_out"].value - radius
    axes.errorbar(radius, color, error, width, fmt="o", ms=3, lw=1, color="#2a313b")
    slope = table.meta["slope"].value
    level = np.average(color - slope * np.log10(radius), weights=error**-2)
    axes.plot(radius, level + slope * np.log10(radius), color="#d55e00", lw=1,
              label=f"{slope:.3f} $\\pm$ {table.meta['slope_err'].value:.3f} mag / dex")
    axes.legend(frameon=False, handlelength=1)
    axes.margins(y=0.2)
    axes.set(xscale="log", xlabel="radius (arcsec)", ylabel="g - r (mag)",
             title="g - r in annuli around the nucleus", xticks=[0.5, 1, 2, 4])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")


def draw_image(figure, cell, cube):
    axes = sky_axes(figure, cell, cube.wcs, "g, r, i")
    axes.imshow(color_image(cube.data, cube.survey, 0.5))
    for aperture, color in apertures(cube).values():
        aperture.plot(ax=axes, color=color, lw=1.2)
    length = 10 / cube.pixel_scale.to_value(u.arcsec)
    axes.plot([8, 8 + length], [8, 8], color="w", lw=1.5)
    axes.text(8 + length / 2, 10, '10"', color="w", ha="center", va="bottom", fontsize=7)
    foot = np.array([cube.shape[2] - 24, cube.shape[1] - 24])
    place = cube.wcs.pixel_to_world(*foot)
    for name, angle in (("N", 0 * u.deg), ("E", 90 * u.deg)):
        tip = np.array(cube.wcs.world_to_pixel(place.directional_offset_by(angle, 5 * u.arcsec)))
        axes.annotate("", tip, foot, arrowprops={"arrowstyle": "->", "color": "w", "lw": 1})
        axes.text(*(foot + 1.35 * (tip - foot)), name, color="w", ha="center", va="center", fontsize=7)


def draw_seds(figure, cell, cube):
    axes = figure.add_subplot(cell)
    for name, (aperture, color) in apertures(cube).items():
        spectrum = sed_spectrum(cube, aperture)
        flux = spectrum.flux.to_value(u.Jy)
        reference = flux[2]
        wave = spectrum.spectral_axis.to_value(u.nm)
        order = np.argsort(wave)
        axes.errorbar(wave[order], (flux / reference)[order], (spectrum.uncertainty.array / reference)[order], fmt="o-",
                      ms=3.5, lw=1, color=color, label=name)
        log.info("%s: f_nu / f_nu(r) %s +- %s", name, np.round(flux / reference, 4),
                 np.round(spectrum.uncertainty.array / reference, 4))
    axes.set(xlabel="wavelength (nm)", ylabel=r"f$_\nu$ / f$_\nu$(r)", title="resolved SEDs", yscale="log")
    axes.yaxis.set_major_locator(matplotlib.ticker.FixedLocator([0.1, 0.2, 0.5, 1, 2]))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.legend(frameon=False, loc="lower right")


def draw(cube):
    """Return the figure."""
    matched = match_psf(cube)
    table = color_gradient_profile(cube, ("g", "r"), center=NUCLEUS, radii=RADII)
    gradients = sed_gradients(cube)
    for row in table:
        log.info("%.2f arcsec: g - r = %.3f +- %.3f", row["radius"].to_value(u.arcsec), row["color"].to_value(u.mag),
                 row["color_err"].to_value(u.mag))
    log.info("slope %s +- %s", table.meta["slope"], table.meta["slope_err"])
    band = cube.bands.index("r")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12.4, 5.8), layout="constrained")
        upper, lower = figure.add_gridspec(2, 1)
        upper, lower = upper.subgridspec(1, 4), lower.subgridspec(1, 4)
        draw_image(figure, upper[0], cube)
        draw_gradient(figure, upper[1], gradients.x, band, "r: along x", "d ln f / dx (arcsec$^{-1}$)")
        draw_gradient(figure, upper[2], gradients.y, band, "r: along y", "d ln f / dy (arcsec$^{-1}$)")
        draw_gradient(figure, upper[3], sed_gradients(matched).passband, band - 1, "g to r",
                      r"d ln f$_\nu$ / d ln $\lambda$")
        draw_color(figure, lower[0], color_map(cube, ("g", "r")))
        draw_seds(figure, lower[1], matched)
        draw_profile(figure, lower[2:], table)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("field", help="folder of the frames of the field")
    parser.add_argument("out", help="PNG file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    paths = {band: next(Path(options.field).glob(f"frame-{band}-003918-3-0213.fits*")) for band in "ugriz"}
    cube = read_cube(paths, survey="SDSS", position=POSITION, size=SIZE)
    with NamedTemporaryFile(suffix=".png") as file:
        draw(cube).savefig(file, dpi=90)
        Image.open(file.name).convert("RGB").quantize(255, dither=Image.Dither.NONE).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
