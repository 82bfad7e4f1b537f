"""Figures of the report, drawn with the object interface of matplotlib."""

import numpy as np

from astro_galtrans._utils.figures import PALETTE, STYLE as _SHARED, new_figure
from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.optional import optional
from astro_galtrans.evaluation._galleries import gallery, weights
from astro_galtrans.evaluation._run import INPUT, TARGET

__all__ = [
    "STYLE", "color_gradients_by_type", "color_of", "draw_errors", "errors_of", "figure_legend", "images_of",
    "make_figures", "marker_of", "morphology", "offsets_of", "peaks", "slopes_by_type",
]

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


def make_figures(evaluation):
    """All figures that the evaluation has the numbers for, by name."""
    matplotlib = optional("matplotlib")
    makers = {
        "gallery": gallery, "redshift": redshift, "redshift_scatter": redshift_scatter,
        "color_errors": color_errors, "color_gradients": color_gradients,
        "color_gradients_by_type": color_gradients_by_type,
        "slopes_by_type": slopes_by_type, "weights": weights,
        "peaks": peaks, "morphology": morphology, "uncertainty": uncertainty,
        "training": training,
    }
    with matplotlib.rc_context(STYLE):
        figures = {name: make(evaluation) for name, make in makers.items()}
    return {name: figure for name, figure in figures.items() if figure is not None}


def redshift(evaluation):
    """Bars of NMAD and of the outlier fraction, with intervals."""
    if "redshift" not in evaluation.tables:
        return None
    table = evaluation.tables["redshift"]
    figure = new_figure(9, 1.3 + 0.42 * len(table))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    place = np.arange(len(table))
    for y, row in zip(place, table):
        alpha = 0.55 if row["estimator"] == "retrained" else 0.95
        shade = {"color": color_of(evaluation, row["image"]), "alpha": alpha}
        left.barh(y, row["nmad"], height=0.62, **shade)
        right.barh(y, 100 * row["outlier_005"], height=0.62, **shade)
        if np.isfinite(row["nmad_low"]):
            left.plot([row["nmad_low"], row["nmad_high"]], [y, y], color="#11151a", lw=1.6, solid_capstyle="butt")
        dark = row["image"] == TARGET or (row["estimator"] != "retrained" and row["image"] != INPUT)
        left.text(0.01, y, f" {row['nmad']:.4f}", transform=left.get_yaxis_transform(), va="center", fontsize=9,
                  fontweight="bold", color="white" if dark else "#11151a")
        right.text(100 * row["outlier_005"], y, f" {100 * row['outlier_005']:.1f} %", va="center", fontsize=9,
                   color="#2a313b")
    left.set_yticks(place, [str(label) for label in table["images"]])
    left.invert_yaxis()
    for axis in (left, right):
        axis.grid(False, axis="y")
        axis.tick_params(axis="y", length=0)
    left.set_xlabel("NMAD of the redshift error (less is better)")
    right.set_xlabel("galaxies off by more than 0.05 (%)")
    right.set_xlim(0, max(1.0, 125 * float(max(table["outlier_005"]))))
    return figure


def redshift_scatter(evaluation):
    """Estimated against true redshift, a panel for each kind of images and estimator."""
    if not evaluation.redshift:
        return None
    labels = list(evaluation.redshift)
    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure = new_figure(3.2 * columns, 3.2 * rows + 0.2)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    z = evaluation.z_spec
    table = {row["images"]: row for row in evaluation.tables["redshift"]}
    values = np.concatenate([z, *evaluation.redshift.values()])
    low, high = np.nanpercentile(values, [0, 100])
    edge = np.array([low - 0.02 * (high - low), high + 0.02 * (high - low)])
    for axis, label in zip(axes.flat, labels):
        row = table[label]
        axis.plot(edge, edge, color="#11151a", lw=0.9)
        for sign in (-1, 1):
            axis.plot(edge, edge + sign * 0.05 * (1 + edge), color="#8b939e", lw=0.8, ls="--")
        axis.scatter(z, evaluation.redshift[label], s=9, lw=0, alpha=0.45, rasterized=True,
                     color=color_of(evaluation, row["image"]))
        axis.set_title(label)
        axis.text(0.04, 0.95, f"NMAD {row['nmad']:.4f}\nbias {row['bias_median']:+.4f}", transform=axis.transAxes,
                  va="top", fontsize=9)
        axis.set(xlim=edge, ylim=edge, aspect="equal")
    for axis in axes.flat[len(labels):]:
        axis.set_axis_off()
    figure.supxlabel("true redshift", fontsize=10)
    figure.supylabel("estimated redshift", fontsize=10)
    return figure


def color_errors(evaluation):
    """Scatter and bias of the colours, for each kind of images."""
    titles = "Scatter of the colour error", "Median colour error"
    return draw_errors(evaluation, evaluation.tables["colors"], "color", titles)


def color_gradients(evaluation):
    """Error of the colour in annuli against radius."""
    table = evaluation.tables["color_profiles"]
    if not len(table):
        return None
    names, images = list(dict.fromkeys(table["color"])), images_of(table)
    figure = new_figure(max(4.5, 2.3 * len(names)), 4.8)
    axes = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
    for column, name in enumerate(names):
        for image in images:
            part = table[(table["image"] == image) & (table["color"] == name)]
            x = (np.asarray(part["radius_in"]) + np.asarray(part["radius_out"])) / 2
            style = {"color": color_of(evaluation, image), "marker": marker_of(evaluation, image), "ms": 5, "lw": 1.5}
            axes[0, column].plot(x, part["scatter"], label=image, **style)
            axes[1, column].plot(x, part["bias"], **style)
        axes[0, column].set_title(name)
        axes[1, column].axhline(0, color="#5b6470", lw=0.9)
    _readable_limits(axes, table, evaluation)
    axes[0, 0].set_ylabel("scatter (mag)")
    axes[1, 0].set_ylabel("median error (mag)")
    figure.supxlabel("radius (arcsec)", fontsize=10)
    figure_legend(figure, axes[0, 0])
    return figure


def _readable_limits(axes, table, evaluation):
    """Limits set by the translations: the input's own errors may be many times larger and may leave the panel."""
    own = table[[image in evaluation.names for image in table["image"]]]
    top = 2.2 * np.nanmax(np.asarray(own["scatter"]), initial=1e-3)
    side = 1.3 * np.nanmax(np.abs(np.asarray(own["bias"])), initial=1e-3)
    axes[0, 0].set_ylim(0, min(top, 1.05 * np.nanmax(np.asarray(table["scatter"]), initial=1e-3)))
    axes[1, 0].set_ylim(-side, side)


def uncertainty(evaluation):
    """Share of pixels within the stated uncertainty, against what it should be."""
    if "uncertainty" not in evaluation.tables:
        return None
    table = evaluation.tables["uncertainty"]
    bands, images = list(dict.fromkeys(table["band"])), images_of(table)
    regions = list(dict.fromkeys(table["region"]))
    figure = new_figure(9, 3.4)
    axes = figure.subplots(1, len(regions), sharey=True, squeeze=False)[0]
    for axis, region in zip(axes, regions):
        for level in (68, 95):
            axis.axhline(level, color="#5b6470", lw=0.9, ls="--")
            axis.text(1.0, level + 1.5, f"{level} %", transform=axis.get_yaxis_transform(), ha="right", fontsize=8.5,
                      color="#5b6470")
            for offset, image in zip(np.linspace(-0.15, 0.15, len(images)) if len(images) > 1 else [0.0], images):
                part = table[(table["image"] == image) & (table["region"] == region)]
                x = np.array([bands.index(name) for name in part["band"]]) + offset
                share = 100 * np.asarray(part[f"coverage_{level}"])
                axis.plot(x, share, marker=marker_of(evaluation, image), ls="none",
                          color=color_of(evaluation, image), ms=6.5, mfc="white" if level == 95 else None, mew=1.5,
                          label=f"{image}, {level} % interval")
        axis.set_xticks(range(len(bands)), bands)
        axis.set(title=region, xlabel="band")
        axis.grid(False)
    axes[0].set(ylabel="pixels within the interval (%)", ylim=(0, 104))
    figure_legend(figure, axes[0])
    return figure


def training(evaluation):
    """Losses of each translator against the epoch."""
    curves = {}
    for name, history in evaluation.history.items():
        losses = [column for column in history.colnames if "loss" in column.lower()]
        losses = [column for column in losses if np.isfinite(np.asarray(history[column], dtype=float)).any()]
        if losses:
            curves[name] = history, losses
    if not curves:
        return None
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = new_figure(4.5 * columns, 3.2 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, (name, (history, losses)) in zip(axes.flat, curves.items()):
        epoch = np.asarray(history["epoch"]) + 1 if "epoch" in history.colnames else np.arange(len(history)) + 1
        for column, style in zip(losses, ("-", "--", ":", "-.")):
            values = floats(history[column], column, dtype=float)
            axis.plot(epoch, values, style, marker="o", ms=3.5, color=color_of(evaluation, name),
                      label=column.replace("_", " "))
        axis.set(title=name, xlabel="epoch", ylabel="loss")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(fontsize=9)
    for axis in axes.flat[len(curves):]:
        axis.set_axis_off()
    return figure
