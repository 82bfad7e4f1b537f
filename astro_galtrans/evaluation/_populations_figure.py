"""The figure of populations."""

import numpy as np

from astro_galtrans._utils.figures import new_figure
from astro_galtrans._utils.optional import optional
from astro_galtrans.evaluation._figures import STYLE
from astro_galtrans.evaluation._galleries import image_stretch, show_galaxy

__all__ = ["draw"]

# The palette of Okabe & Ito, blue first as the populations
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
_MOST_DRAWN = 4000


def draw(found, labels, names):
    """Draw the figure; ``labels`` is None, or labels and which of them are known."""
    matplotlib = optional("matplotlib")
    colors = [_COLORS[number % len(_COLORS)] for number in range(len(found.shares))]
    if len(colors) == 3:
        colors = [_COLORS[0], _COLORS[2], _COLORS[1]]
    with matplotlib.rc_context(STYLE):
        lines = 2 if found.examples and found.examples[0]["weight"] is not None else 1
        height = 3.6 + (1.45 * lines + 0.4 if found.examples else 0)
        figure = new_figure(10.5, height)
        top, *rest = figure.subfigures(2, 1, height_ratios=(3.6, height - 3.6), squeeze=False)[:, 0] \
            if found.examples else [figure]
        axes = top.subplots(1, 2 if found.kind == "embedding" else 3)
        _plane(found, axes[0], colors)
        _scores(found, axes[1], colors, labels, names)
        if found.kind != "embedding":
            _differences(found, axes[2])
        for part in rest:
            _typical(found, part, colors, lines)
    return figure


def _plane(found, axis, colors):
    """Score against the direction in which galaxies of a population differ most."""
    score, population = np.asarray(found.table["score"]), np.asarray(found.table["population"])
    rows = np.flatnonzero(population >= 0)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_DRAWN)).astype(int)]
    other = _across(found, rows)
    for number, color in enumerate(colors):
        part = population[rows] == number
        axis.scatter(score[rows][part], other[part], s=7, lw=0, alpha=0.5, color=color, rasterized=True,
                     label=f"population {number}")
    axis.set(xlabel="score", ylabel="largest scatter across it", title="Found without labels")
    axis.legend(fontsize=9, loc="upper left", markerscale=2, handletextpad=0.2, frameon=True, framealpha=0.8,
                edgecolor="none")
    low, high = np.percentile(other, [0, 100]) if len(other) else (0, 1)
    axis.set_ylim(low - 0.05 * (high - low), high + 0.3 * (high - low))


def _across(found, rows):
    """Coordinate of largest scatter among those perpendicular to the score."""
    points = found.coordinates[rows]
    axis = found._mixture.axis
    points = points - points.mean(0)
    left = points - np.outer(points @ axis, axis) / (axis @ axis)
    return left @ np.linalg.svd(left, full_matrices=False)[2][0]


def _scores(found, axis, colors, labels, names):
    score, population = np.asarray(found.table["score"]), np.asarray(found.table["population"])
    good = np.isfinite(score)
    edges = np.linspace(*np.percentile(score[good], [0, 100]), 41)
    parts = [score[population == number] for number in range(len(colors))]
    axis.hist(parts, edges, stacked=True, color=colors, alpha=0.45)
    title = f"separation {found.separation:.1f}"
    if labels is not None:
        labels, known = labels
        for value, name, style in ((False, names[0], "-"), (True, names[1], "--")):
            axis.hist(score[good & known & (labels == value)], edges, histtype="step", color="#11151a", lw=1.4,
                      ls=style, label=name)
        axis.set_ylim(0, 1.28 * axis.get_ylim()[1])
        axis.legend(fontsize=9, loc="upper left")
        title = f"area under the ROC curve {found.auc(np.ma.array(labels, mask=~known)):.3f}"
    axis.set(xlabel="score", ylabel="galaxies", title=title)
    axis.grid(False, axis="x")


def _differences(found, axis):
    """Difference of the features of the last population and the first, against radius."""
    from matplotlib import colormaps

    population = np.asarray(found.table["population"])
    last, first = (np.median(found.features[population == number], axis=0) if np.any(population == number)
                   else np.full(found.features.shape[1], np.nan) for number in (len(found.shares) - 1, 0))
    features = found._reader.describe(found.shape)
    scales = found._reader.scales
    shown, wanted = {}, "passband" if any(one[0] == "passband" for one in features) else features[0][0]
    for (kind, element, scale, inner, outer), value in zip(features, last - first):
        if (kind, scale) == (wanted, scales[len(scales) // 2]):
            shown.setdefault(element, []).append((0.5 * (inner + outer), value))
    shown = {element: np.array(points) for element, points in shown.items()}
    for (element, points), place in zip(shown.items(), np.linspace(0.1, 0.85, len(shown))):
        axis.plot(*points.T, marker="o", ms=4, lw=1.6, color=colormaps["viridis"](place), label=element)
    axis.axhline(0, color="#5b6470", lw=0.9)
    what = "weight" if found.kind == "weights" else "scale"
    axis.set(xlabel="radius (arcsec)", ylabel=f"log {what}, population {len(found.shares) - 1} minus 0",
             title=f"Difference: {wanted} gradients")
    axis.legend(fontsize=9)


def _typical(found, figure, colors, lines):
    n_columns = max(sum(one["population"] == number for one in found.examples) for number in range(len(colors)))
    blocks = figure.subfigures(1, len(colors), squeeze=False)[0]
    for number, (block, color) in enumerate(zip(blocks, colors)):
        block.suptitle(f"Typical of population {number}" + (", with the weight of its colors" if lines > 1 else ""),
                       color=color, fontsize=10)
        axes = block.subplots(lines, n_columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for column, one in zip(axes.T, (one for one in found.examples if one["population"] == number)):
            show_galaxy(column[0], one["flux"], one["survey"], image_stretch(one["flux"], one["survey"]))
            if lines > 1:
                column[1].imshow(np.log(one["weight"]), origin="lower", cmap="viridis", vmin=-1.5, vmax=2.5,
                                 interpolation="nearest")
