"""What the figures of the report share: colors, markers, error bars and legends of each kind of images."""

import numpy as np

from astro_galtrans._utils.figures import PALETTE, STYLE as _SHARED, new_figure
from astro_galtrans.evaluation._run import INPUT, TARGET

__all__ = ["STYLE", "color_of", "draw_errors", "errors_of", "figure_legend", "images_of", "marker_of", "offsets_of"]

STYLE = {**_SHARED, "svg.hashsalt": "astro_galtrans", "svg.fonttype": "path"}
_REAL = {INPUT: "#8b939e", "resampled input": "#b79f5a", TARGET: "#2a313b"}
_MARKERS = ("s", "o", "^", "D", "v", "P")


def color_of(evaluation, image):
    """One colour for each kind of images throughout the report."""
    return _REAL[image] if image in _REAL else PALETTE[evaluation.names.index(image) % len(PALETTE)]


def marker_of(evaluation, image):
    own = {INPUT: "x", "resampled input": "*", TARGET: "+"}.get(image)
    return own or _MARKERS[evaluation.names.index(image) % len(_MARKERS)]


def images_of(table):
    return list(dict.fromkeys(table["image"]))


def draw_errors(evaluation, table, key, titles, *, times=np.inf):
    """Scatter and bias in magnitudes of the quantities named in the column ``key``, for each kind of images.

    What is more than so many ``times`` larger than the largest error of a translator may leave the panel.
    """
    if not len(table):
        return None
    names, images = list(dict.fromkeys(table[key])), images_of(table)
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    for offset, image in zip(offsets_of(images), images):
        part = table[table["image"] == image]
        x = np.array([names.index(name) for name in part[key]]) + offset
        style = {"color": color_of(evaluation, image), "marker": marker_of(evaluation, image), "ls": "none", "ms": 6.5}
        left.errorbar(x, part["scatter"], yerr=errors_of(part, "scatter"), label=image, lw=1.4, **style)
        right.plot(x, part["bias"], **style)
    right.axhline(0, color="#5b6470", lw=0.9)
    for axis in (left, right):
        axis.set_xticks(range(len(names)), names)
        axis.grid(False, axis="x")
    own = table[[image in evaluation.names for image in table["image"]]]
    left.set_ylim(0, min(left.get_ylim()[1], times * np.nanmax(np.asarray(own["scatter"]), initial=1e-3)))
    side = times * np.nanmax(np.abs(np.asarray(own["bias"])), initial=1e-3)
    right.set_ylim(max(right.get_ylim()[0], -side), min(right.get_ylim()[1], side))
    left.set(title=titles[0], ylabel="mag")
    right.set(title=titles[1], ylabel="mag")
    figure_legend(figure, left)
    return figure


def offsets_of(images):
    """Places beside each other for the points of each kind of images."""
    return np.linspace(-0.24, 0.24, len(images)) if len(images) > 1 else [0.0]


def errors_of(part, name):
    """Lengths of the error bars of a column that has an interval, or None."""
    low = np.asarray(part[name]) - np.asarray(part[f"{name}_low"])
    high = np.asarray(part[f"{name}_high"]) - np.asarray(part[name])
    return None if not np.isfinite(low).all() else np.clip([low, high], 0, None)


def figure_legend(figure, axis):
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)), fontsize=9)
