"""Panels of the figures of gradients: images on WCS axes, maps and profiles."""

import astropy.units as u
import numpy as np
from astropy.wcs import WCS

from astro_galtrans._utils.figures import new_figure
from astro_galtrans._utils.optional import optional

__all__ = ["STYLE", "color_panel", "gradient_panel", "image_panel", "plot_elements", "profile_panel", "spatial_panels"]

STYLE = {"font.size": 8, "axes.titlesize": 9, "image.origin": "lower", "image.interpolation": "nearest",
         "figure.dpi": 120}
_DIVERGING, _COLOR, _IMAGE = "RdBu_r", "Spectral_r", "gray_r"


def plot_elements(gradients, band=None):
    """Return the figure of `SEDGradients.plot`."""
    matplotlib = optional("matplotlib", "report", "figures")
    names = gradients.bands
    if band is None:
        band = names[len(names) // 2]
    if band not in names:
        raise ValueError(f"band must be one of {', '.join(names)}, got {band!r}")
    index = names.index(band)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(9.5, 2.9)
        cells = figure.add_gridspec(1, 3)
        spatial_panels(figure, cells[0], cells[1], gradients, index, labels=True)
        if len(names) > 1:
            pair = min(index, len(names) - 2)
            gradient_panel(figure, cells[2], gradients.passband, pair, f"{names[pair]} to {names[pair + 1]}",
                           r"d ln f$_\nu$ / d ln $\lambda$", False)
    return figure


def spatial_panels(figure, x_cell, y_cell, gradients, index, labels):
    """Draw the gradients of a band along x and y; only the first may have labeled axes."""
    band = gradients.bands[index]
    gradient_panel(figure, x_cell, gradients.x, index, f"{band}: along x", "d ln f / dx (arcsec$^{-1}$)", labels)
    gradient_panel(figure, y_cell, gradients.y, index, f"{band}: along y", "d ln f / dy (arcsec$^{-1}$)", False)


def _sky_axes(figure, cell, wcs, title, labels=True):
    """Return axes with the sky along them, or with pixels if there is no WCS."""
    if not isinstance(wcs, WCS):
        axes = figure.add_subplot(cell)
        axes.set_title(title)
        axes.set(xlabel="x (pixel)" if labels else "", ylabel="y (pixel)" if labels else "")
        return axes
    from astropy.visualization.wcsaxes import WCSAxes

    axes = figure.add_subplot(cell, axes_class=WCSAxes, wcs=wcs)
    axes.set_title(title)
    longitude, latitude = axes.coords[wcs.wcs.lng], axes.coords[wcs.wcs.lat]
    for coordinate, name in ((longitude, wcs.wcs.lngtyp), (latitude, wcs.wcs.lattyp)):
        coordinate.set_ticks(number=3)
        coordinate.set_ticklabel(size=7, exclude_overlapping=True)
        coordinate.set_axislabel({"RA": "RA", "DEC": "Dec", "GLON": "l", "GLAT": "b"}.get(name, name), minpad=0.4)
        if not labels:
            coordinate.set_ticklabel_visible(False)
            coordinate.set_axislabel("")
    return axes


def gradient_panel(figure, cell, element, index, title, label, labels=True):
    """Draw one gradient, faded where its uncertainty is as large as the values."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    values = np.where(element.mask[index], np.nan, element.data[index])
    axes = _sky_axes(figure, cell, element.wcs, title, labels)
    sigma = None if element.uncertainty is None else element.uncertainty.array[index]
    limit = _limit(values, sigma)
    alpha = None if sigma is None else np.nan_to_num(1 / (1 + (2 * sigma / limit)**2))
    axes.set_facecolor("0.93")
    axes.imshow(values, cmap=_DIVERGING, vmin=-limit, vmax=limit, alpha=alpha)
    # The color bar of the image itself would fade too.
    scale = ScalarMappable(Normalize(-limit, limit), _DIVERGING)
    figure.colorbar(scale, ax=axes, label=label, shrink=0.85)


def _limit(values, sigma):
    """Return the end of the color scale, from the elements of small uncertainty; the sky would dominate otherwise."""
    used = np.isfinite(values)
    if sigma is not None and used.any():
        known = used & (sigma < 0.3 * np.nanpercentile(sigma, 99))
        used = known if known.sum() > 0.01 * used.sum() else used
    limit = np.percentile(np.abs(values[used]), 99) if used.any() else 1.0
    return limit if limit > 0 else 1.0


def image_panel(figure, cell, arrays, band):
    from astropy.visualization import AsinhStretch, ImageNormalize

    values = np.where(arrays.good[band], arrays.flux[band], np.nan) * 1e6
    axes = _sky_axes(figure, cell, arrays.cube.wcs, f"{arrays.cube.bands[band]}: image")
    noise = np.nanstd(values) if arrays.sigma is None else np.nanmedian(arrays.sigma[band]) * 1e6
    norm = ImageNormalize(vmin=-3 * noise, vmax=np.nanmax(values), stretch=AsinhStretch(0.02))
    drawn = axes.imshow(values, cmap=_IMAGE, norm=norm)
    figure.colorbar(drawn, ax=axes, label=r"flux ($\mu$Jy per pixel)", shrink=0.85)


def color_panel(figure, cell, colors, bands):
    values = np.where(colors.mask, np.nan, colors.data)
    axes = _sky_axes(figure, cell, colors.wcs, f"{bands[0]} - {bands[1]}", False)
    axes.set_facecolor("0.93")
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (2, 98)) if finite.size else (0, 1)
    drawn = axes.imshow(values, cmap=_COLOR, vmin=low, vmax=high)
    figure.colorbar(drawn, ax=axes, label=f"{bands[0]} - {bands[1]} (mag)", shrink=0.85)


def profile_panel(figure, cell, table, bands):
    from matplotlib.ticker import LogLocator

    axes = figure.add_subplot(cell)
    radius, color = table["radius"].to_value(u.arcsec), table["color"].to_value(u.mag)
    error = table["color_err"].to_value(u.mag)
    spread = [radius - table["radius_in"].value, table["radius_out"].value - radius]
    axes.errorbar(radius, color, np.where(np.isfinite(error), error, 0.0), spread, fmt="o", ms=3, lw=1, color="#2a313b")
    slope = table.meta["slope"].value
    used = np.isfinite(color)
    if np.isfinite(slope):
        weight = np.where(np.isfinite(error[used]) & (error[used] > 0), error[used], 1.0)**-2.0
        level = np.average(color[used] - slope * np.log10(radius[used]), weights=weight)
        line = np.geomspace(radius[used].min(), radius[used].max(), 50)
        axes.plot(line, level + slope * np.log10(line), color="#d55e00", lw=1,
                  label=f"{slope:.3f} $\\pm$ {table.meta['slope_err'].value:.3f} mag / dex")
        axes.legend(frameon=False, handlelength=1)
    axes.margins(y=0.2)
    axes.set(xscale="log", xlabel="semi-major axis (arcsec)", ylabel=f"{bands[0]} - {bands[1]} (mag)",
             title=f"{bands[0]} - {bands[1]} in annuli")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
