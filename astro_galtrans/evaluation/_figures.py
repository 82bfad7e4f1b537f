"""Charts of the report, drawn with the object interface of matplotlib.

They are 5 inches wide, with panels below each other, so that their text is legible on a phone.
"""

import numpy as np

from astro_galtrans._utils.figures import PALETTE, STYLE as _SHARED, new_figure
from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.optional import optional
from astro_galtrans.evaluation._galleries import gallery, weights
from astro_galtrans.evaluation._run import INPUT, RESAMPLED, TARGET, display_name

__all__ = ["STYLE", "make_figures"]

STYLE = {**_SHARED, "svg.hashsalt": "astro_galtrans", "svg.fonttype": "path"}
_WIDTH = 5.0
_REAL_COLORS = {INPUT: "#8b939e", RESAMPLED: "#b79f5a", TARGET: "#2a313b"}
_REAL_MARKERS = {INPUT: "x", RESAMPLED: "*", TARGET: "+"}
_MARKERS = ("s", "o", "^", "D", "v", "P")
_DARK, _GRAY = "#11151a", "#5b6470"
_MEASURES = {"half_light_radius": "half-light radius", "concentration": "concentration", "asymmetry": "asymmetry",
             "sersic_index": "Sérsic index"}


def make_figures(evaluation):
    """Return all figures that the evaluation has the numbers for, by name."""
    matplotlib = optional("matplotlib")
    makers = {
        "gallery": gallery, "redshift": _redshift, "redshift_scatter": _redshift_scatter,
        "color_errors": _color_errors, "color_gradients": _color_gradients,
        "color_gradients_by_type": _color_gradients_by_type, "slopes_by_type": _slopes_by_type, "weights": weights,
        "peaks": _peaks, "morphology": _morphology, "uncertainty": _uncertainty, "training": _training,
    }
    with matplotlib.rc_context(STYLE):
        figures = {name: make(evaluation) for name, make in makers.items()}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _style(evaluation, image, size=6.5):
    """Color and marker of a kind of images, the same in the whole report."""
    if image in _REAL_COLORS:
        return {"color": _REAL_COLORS[image], "marker": _REAL_MARKERS[image], "ms": size}
    number = evaluation.names.index(image)
    return {"color": PALETTE[number % len(PALETTE)], "marker": _MARKERS[number % len(_MARKERS)], "ms": size}


def _labeled(figure, evaluation, axis=None):
    """Add the legend of an axis, and say where galaxies are simulated."""
    title = "Simulated galaxies" if evaluation.meta["simulated"] else None
    if axis is not None:
        handles, labels = axis.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9, title=title,
                      title_fontsize=9)
    elif title:
        figure.suptitle(title, fontsize=9)
    return figure


def _distinct(column):
    return list(dict.fromkeys(column))


def _table(evaluation, name):
    """A table with at least one row, or None."""
    table = evaluation.tables.get(name)
    return table if table is not None and len(table) else None


def _largest(evaluation, table, name):
    """Largest absolute value of a column among the translators."""
    own = table[[image in evaluation.names for image in table["image"]]]
    return np.nanmax(np.abs(np.asarray(own[name])), initial=1e-3)


def _offsets(images, width=0.24):
    return np.linspace(-width, width, len(images)) if len(images) > 1 else [0.0]


def _error_bars(part, name):
    """Lengths of the error bars of a column that has an interval, or None."""
    low = np.asarray(part[name]) - np.asarray(part[f"{name}_low"])
    high = np.asarray(part[f"{name}_high"]) - np.asarray(part[name])
    return None if not np.isfinite(low).all() else np.clip([low, high], 0, None)


def _redshift(evaluation):
    """Bars of NMAD and of the outlier fraction, with intervals."""
    table = _table(evaluation, "redshift")
    if table is None:
        return None
    figure = new_figure(_WIDTH, 1.6 + 0.8 * len(table))
    axes = figure.subplots(2, 1)
    place = np.arange(len(table))
    names = [display_name(label, evaluation.meta["simulated"]).replace(", ", ",\n") for label in table["images"]]
    for axis, column, factor, pattern in zip(axes, ("nmad", "outlier_005"), (1, 100), ("{:.4f}", "{:.1f} %")):
        values = factor * np.asarray(table[column], dtype=float)
        ends = values
        for y, row, value in zip(place, table, values):
            axis.barh(y, value, height=0.62, color=_style(evaluation, row["image"])["color"],
                      alpha=0.55 if row["estimator"] == "retrained" else 0.95)
        if column == "nmad" and np.isfinite(table["nmad_low"]).all():
            axis.hlines(place, table["nmad_low"], table["nmad_high"], color=_DARK, lw=1.6)
            ends = np.asarray(table["nmad_high"])
        for y, value, end in zip(place, values, ends):
            axis.annotate(pattern.format(value), (end, y), (4, 0), textcoords="offset points", va="center",
                          fontsize=9, color=_DARK)
        axis.set_xlim(0, 1.25 * max(np.nanmax(ends, initial=0), 1e-4 * factor))
        axis.set_yticks(place, names, fontsize=9)
        axis.invert_yaxis()
        axis.grid(False, axis="y")
        axis.tick_params(axis="y", length=0)
    axes[0].set_xlabel("NMAD of the redshift error (less is better)")
    axes[1].set_xlabel("galaxies off by more than 0.05 (1 + z) (%)")
    return _labeled(figure, evaluation)


def _redshift_scatter(evaluation):
    """Estimated against true redshift, a panel for each kind of images and estimator."""
    if not evaluation.redshift:
        return None
    labels = list(evaluation.redshift)
    n_rows = -(-len(labels) // 2)
    figure = new_figure(_WIDTH, 2.5 * n_rows + 0.6)
    axes = figure.subplots(n_rows, 2, sharex=True, sharey=True, squeeze=False)
    z = evaluation.z_spec
    table = {row["images"]: row for row in evaluation.tables["redshift"]}
    values = np.concatenate([z, *evaluation.redshift.values()])
    low, high = np.nanmin(values), np.nanmax(values)
    edge = np.array([low - 0.02 * (high - low), high + 0.02 * (high - low)])
    for axis, label in zip(axes.flat, labels):
        row = table[label]
        axis.plot(edge, edge, color=_DARK, lw=0.9)
        for sign in (-1, 1):
            axis.plot(edge, edge + sign * 0.05 * (1 + edge), color="#8b939e", lw=0.8, ls="--")
        axis.scatter(z, evaluation.redshift[label], s=6, lw=0, alpha=0.45, rasterized=True,
                     color=_style(evaluation, row["image"])["color"])
        axis.set_title(display_name(label, evaluation.meta["simulated"]).replace(", ", ",\n"), fontsize=9.5)
        axis.text(0.04, 0.95, f"NMAD {row['nmad']:.4f}\nbias {row['bias_median']:+.4f}", transform=axis.transAxes,
                  va="top", fontsize=9)
        axis.set(xlim=edge, ylim=edge, aspect="equal")
    for axis in axes.flat[len(labels):]:
        axis.set_axis_off()
    figure.supxlabel("true redshift", fontsize=10)
    figure.supylabel("estimated redshift", fontsize=10)
    return _labeled(figure, evaluation)


def _draw_errors(evaluation, table, key, titles, limit=np.inf):
    """Scatter and bias in magnitudes of the quantities in the column ``key``, for each kind of images.

    Values more than ``limit`` times the largest error of a translator may leave the panel.
    """
    if table is None:
        return None
    names, images = _distinct(table[key]), _distinct(table["image"])
    figure = new_figure(_WIDTH, 5.6)
    upper, lower = figure.subplots(2, 1)
    for offset, image in zip(_offsets(images), images):
        part = table[table["image"] == image]
        x = np.array([names.index(name) for name in part[key]]) + offset
        style = {**_style(evaluation, image), "ls": "none"}
        upper.errorbar(x, part["scatter"], yerr=_error_bars(part, "scatter"), lw=1.4,
                       label=display_name(image, evaluation.meta["simulated"]), **style)
        lower.plot(x, part["bias"], **style)
    lower.axhline(0, color=_GRAY, lw=0.9)
    for axis, title in zip((upper, lower), titles):
        axis.set_xticks(range(len(names)), names)
        axis.grid(False, axis="x")
        axis.set(title=title, ylabel="mag")
    upper.set_ylim(0, min(upper.get_ylim()[1], limit * _largest(evaluation, table, "scatter")))
    side = limit * _largest(evaluation, table, "bias")
    lower.set_ylim(max(lower.get_ylim()[0], -side), min(lower.get_ylim()[1], side))
    return _labeled(figure, evaluation, upper)


def _color_errors(evaluation):
    titles = "Scatter of the color error", "Median color error"
    return _draw_errors(evaluation, _table(evaluation, "colors"), "color", titles)


def _peaks(evaluation):
    titles = "Scatter of peak magnitudes and colors", "Median error of peak magnitudes and colors"
    return _draw_errors(evaluation, _table(evaluation, "peaks"), "what", titles, limit=4)


def _radial_panels(evaluation, table, columns):
    """A row of panels for each color; a column for each (rows of the table, column of the table)."""
    names, images = _distinct(table["color"]), _distinct(table["image"])
    figure = new_figure(_WIDTH, 1.0 + 1.55 * len(names))
    axes = figure.subplots(len(names), len(columns), sharex=True, sharey="col", squeeze=False)
    for name, line in zip(names, axes):
        for (used, column), axis in zip(columns, line):
            for image in images:
                part = table[used & (table["image"] == image) & (table["color"] == name)]
                x = (np.asarray(part["radius_in"]) + np.asarray(part["radius_out"])) / 2
                axis.plot(x, part[column], label=display_name(image, evaluation.meta["simulated"]), lw=1.5,
                          **_style(evaluation, image, 5))
            if column == "bias":
                axis.axhline(0, color=_GRAY, lw=0.9)
        line[0].set_ylabel(name)
    figure.supxlabel("radius (arcsec)", fontsize=10)
    return figure, axes


def _color_gradients(evaluation):
    """Error of the color in annuli against radius."""
    table = _table(evaluation, "color_profiles")
    if table is None:
        return None
    every = np.ones(len(table), dtype=bool)
    figure, axes = _radial_panels(evaluation, table, [(every, "scatter"), (every, "bias")])
    axes[0, 0].set_title("scatter (mag)")
    axes[0, 1].set_title("median error (mag)")
    # The errors of the input itself may be many times larger and leave the panel.
    top = min(2.2 * _largest(evaluation, table, "scatter"), 1.05 * np.nanmax(table["scatter"], initial=1e-3))
    side = 1.3 * _largest(evaluation, table, "bias")
    axes[0, 0].set_ylim(0, top)
    axes[0, 1].set_ylim(-side, side)
    return _labeled(figure, evaluation, axes[0, 0])


def _color_gradients_by_type(evaluation):
    """Median error of the color in annuli, a column for each type of galaxy."""
    table = _table(evaluation, "color_profiles_by_type")
    if table is None:
        return None
    kinds = _distinct(table["galaxies"])
    figure, axes = _radial_panels(evaluation, table, [(table["galaxies"] == kind, "bias") for kind in kinds])
    side = 1.3 * _largest(evaluation, table, "bias")
    for axis, kind in zip(axes[0], kinds):
        axis.set_title(f"{kind} types")
        axis.set_ylim(-side, side)
    figure.supylabel("median error of the color (mag)", fontsize=10)
    return _labeled(figure, evaluation, axes[0, 0])


def _slopes_by_type(evaluation):
    """Scatter of the error of the color gradient, a panel for each type of galaxy."""
    table = _table(evaluation, "color_gradients_by_type")
    if table is None:
        return None
    names, images, kinds = (_distinct(table[key]) for key in ("color", "image", "galaxies"))
    figure = new_figure(_WIDTH, 0.9 + 2.2 * len(kinds))
    axes = figure.subplots(len(kinds), 1, sharey=True, squeeze=False)[:, 0]
    for axis, kind in zip(axes, kinds):
        for offset, image in zip(_offsets(images), images):
            part = table[(table["image"] == image) & (table["galaxies"] == kind)]
            x = np.array([names.index(name) for name in part["color"]]) + offset
            axis.errorbar(x, part["slope_scatter"], yerr=_error_bars(part, "slope_scatter"), ls="none", lw=1.4,
                          label=display_name(image, evaluation.meta["simulated"]), **_style(evaluation, image))
        axis.set_xticks(range(len(names)), names)
        axis.grid(False, axis="x")
        axis.set_title(f"{kind} types, {max(table['n'][table['galaxies'] == kind]):,} galaxies")
    axes[0].set_ylim(0, 2.5 * _largest(evaluation, table, "slope_scatter"))
    figure.supylabel("scatter of the slope error (mag/dex)", fontsize=10)
    return _labeled(figure, evaluation, axes[0])


def _morphology(evaluation):
    """Scatter and median of the error of each measure, a row of panels for each."""
    table = _table(evaluation, "morphology")
    if table is None:
        return None
    images, measures = _distinct(table["image"]), [name for name in _MEASURES if name in table["measure"]]
    labels = [display_name(image, evaluation.meta["simulated"]) for image in images]
    figure = new_figure(_WIDTH, 0.5 + len(measures) * (0.75 + 0.22 * len(images)))
    axes = figure.subplots(len(measures), 2, sharey=True, squeeze=False)
    for line, measure in zip(axes, measures):
        part = table[table["measure"] == measure]
        for axis, name, label in zip(line, ("scatter", "bias"), ("scatter", "median error")):
            for y, row in enumerate(part):
                style = _style(evaluation, row["image"])
                axis.plot(row[name], y, ls="none", **style)
                if name == "scatter":
                    axis.plot([row["scatter_low"], row["scatter_high"]], [y, y], color=style["color"], lw=1.4)
            axis.grid(False, axis="y")
            axis.locator_params(axis="x", nbins=4)
            axis.set_xlabel(f"{label} (relative)" if part["error"][0] == "relative" else label, fontsize=9)
        line[0].set_title(_MEASURES[measure], loc="left")
        line[0].set_xlim(left=0)
        line[1].axvline(0, color=_GRAY, lw=0.9)
        line[0].set_yticks(range(len(images)), labels, fontsize=9)
    axes[0, 0].set_ylim(len(images) - 0.5, -0.5)
    return _labeled(figure, evaluation)


def _uncertainty(evaluation):
    """Share of pixels within the stated uncertainty, against what it should be."""
    table = _table(evaluation, "uncertainty")
    if table is None:
        return None
    bands, images, regions = (_distinct(table[key]) for key in ("band", "image", "region"))
    figure = new_figure(_WIDTH, 4.0)
    axes = figure.subplots(1, len(regions), sharey=True, squeeze=False)[0]
    for axis, region in zip(axes, regions):
        for level in (68, 95):
            axis.axhline(level, color=_GRAY, lw=0.9, ls="--")
            for offset, image in zip(_offsets(images, 0.15), images):
                part = table[(table["image"] == image) & (table["region"] == region)]
                x = np.array([bands.index(name) for name in part["band"]]) + offset
                axis.plot(x, 100 * np.asarray(part[f"coverage_{level}"]), ls="none", mew=1.5,
                          mfc="white" if level == 95 else None, label=f"{image}, {level} %",
                          **_style(evaluation, image))
        axis.set_xticks(range(len(bands)), bands)
        axis.set(title=region, xlabel="band")
        axis.grid(False)
    axes[0].set(ylabel="pixels within the interval (%)", ylim=(0, 104), yticks=(0, 20, 40, 68, 95))
    return _labeled(figure, evaluation, axes[0])


def _training(evaluation):
    """Losses of each translator against the epoch."""
    curves = {}
    for name, history in evaluation.history.items():
        losses = {column: floats(history[column], column, dtype=float) for column in history.colnames
                  if "loss" in column.lower()}
        losses = {column: values for column, values in losses.items() if np.isfinite(values).any()}
        if losses:
            curves[name] = np.arange(len(history)), losses
            if "epoch" in history.colnames:
                curves[name] = np.asarray(history["epoch"]), losses
    if not curves:
        return None
    figure = new_figure(_WIDTH, 2.6 * len(curves) + 0.3)
    axes = figure.subplots(len(curves), 1, squeeze=False)[:, 0]
    for axis, (name, (epoch, losses)) in zip(axes, curves.items()):
        for (column, values), style in zip(losses.items(), ("-", "--", ":", "-.")):
            axis.plot(epoch + 1, values, style, marker="o", ms=3.5, color=_style(evaluation, name)["color"],
                      label=column.replace("_", " "))
        axis.set(title=name, xlabel="epoch", ylabel="loss")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(fontsize=9)
    return _labeled(figure, evaluation)
