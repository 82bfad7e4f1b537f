"""Figures of peak fluxes, of colour gradients by type of galaxy, and of sizes and shapes."""

import numpy as np

from astro_galtrans._utils.figures import new_figure
from astro_galtrans.evaluation._drawing import (
    color_of, draw_errors, errors_of, figure_legend, images_of, marker_of, offsets_of,
)

__all__ = ["color_gradients_by_type", "morphology", "peaks", "slopes_by_type"]

_MEASURES = {"half_light_radius": "half-light radius", "concentration": "concentration", "asymmetry": "asymmetry",
             "sersic_index": "Sérsic index"}


def peaks(evaluation):
    """Scatter and bias of the peak fluxes and of their colours."""
    return draw_errors(evaluation, evaluation.tables["peaks"], "what", times=4,
                       titles=("Scatter of peak magnitudes and colours", "Median error of peak magnitudes and colours"))


def color_gradients_by_type(evaluation):
    """Median error of the colour in annuli, a row for each type of galaxy."""
    table = evaluation.tables.get("color_profiles_by_type")
    if table is None or not len(table):
        return None
    names, images, kinds = (list(dict.fromkeys(table[key])) for key in ("color", "image", "galaxies"))
    figure = new_figure(max(4.5, 2.3 * len(names)), 1.1 + 1.9 * len(kinds))
    axes = figure.subplots(len(kinds), len(names), sharex=True, sharey=True, squeeze=False)
    for line, kind in enumerate(kinds):
        for column, name in enumerate(names):
            axis = axes[line, column]
            axis.axhline(0, color="#5b6470", lw=0.9)
            for image in images:
                part = table[(table["image"] == image) & (table["color"] == name) & (table["galaxies"] == kind)]
                x = (np.asarray(part["radius_in"]) + np.asarray(part["radius_out"])) / 2
                axis.plot(x, part["bias"], label=image, color=color_of(evaluation, image),
                          marker=marker_of(evaluation, image), ms=5, lw=1.5)
        axes[line, 0].set_ylabel(f"{kind} types\nmedian error (mag)")
    for axis, name in zip(axes[0], names):
        axis.set_title(name)
    own = table[[image in evaluation.names for image in table["image"]]]
    side = 1.3 * max(1e-3, np.nanmax(np.abs(np.asarray(own["bias"])), initial=0))
    axes[0, 0].set_ylim(-side, side)
    figure.supxlabel("radius (arcsec)", fontsize=10)
    figure_legend(figure, axes[0, 0])
    return figure


def slopes_by_type(evaluation):
    """Scatter of the error of the colour gradient, a panel for each type of galaxy."""
    table = evaluation.tables.get("color_gradients_by_type")
    if table is None or not len(table):
        return None
    names, images, kinds = (list(dict.fromkeys(table[key])) for key in ("color", "image", "galaxies"))
    figure = new_figure(9, 3.6)
    axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axis, kind in zip(axes, kinds):
        for offset, image in zip(offsets_of(images), images):
            part = table[(table["image"] == image) & (table["galaxies"] == kind)]
            x = np.array([names.index(name) for name in part["color"]]) + offset
            axis.errorbar(x, part["slope_scatter"], yerr=errors_of(part, "slope_scatter"), label=image, ls="none",
                          color=color_of(evaluation, image), marker=marker_of(evaluation, image), ms=6.5, lw=1.4)
        axis.set_xticks(range(len(names)), names)
        axis.grid(False, axis="x")
        axis.set_title(f"{kind} types, {max(table['n'][table['galaxies'] == kind]):,} galaxies")
    own = table[[image in evaluation.names for image in table["image"]]]
    axes[0].set_ylim(0, 2.5 * max(1e-3, np.nanmax(np.asarray(own["slope_scatter"]), initial=0)))
    axes[0].set_ylabel("scatter of the slope error (mag/dex)")
    figure_legend(figure, axes[0])
    return figure


def morphology(evaluation):
    """Bias, and scatter about it, of each measure, a panel for each."""
    table = evaluation.tables.get("morphology")
    if table is None or not len(table):
        return None
    images, measures = images_of(table), [name for name in _MEASURES if name in table["measure"]]
    figure = new_figure(9, 1.5 + 0.34 * 2 * len(images))
    axes = figure.subplots(2, len(measures), sharey=True, squeeze=False)
    place = np.arange(len(images))
    for column, measure in enumerate(measures):
        part = table[table["measure"] == measure]
        axes[0, column].set_title(_MEASURES[measure])
        for axis, name in zip(axes[:, column], ("scatter", "bias")):
            for y, row in zip(place, part):
                style = {"color": color_of(evaluation, row["image"]), "marker": marker_of(evaluation, row["image"])}
                axis.plot(row[name], y, ms=6.5, ls="none", **style)
                if name == "scatter":
                    axis.plot([row["scatter_low"], row["scatter_high"]], [y, y], color=style["color"], lw=1.4)
            axis.grid(False, axis="y")
            axis.locator_params(axis="x", nbins=4)
        axes[0, column].set_xlim(left=0)
        axes[1, column].axvline(0, color="#5b6470", lw=0.9)
        relative = part["error"][0] == "relative"
        axes[0, column].set_xlabel("scatter (relative)" if relative else "scatter")
        axes[1, column].set_xlabel("median error (relative)" if relative else "median error")
    for axis in axes[:, 0]:
        axis.set_yticks(place, images)
    axes[0, 0].set_ylim(len(images) - 0.5, -0.5)
    return figure
