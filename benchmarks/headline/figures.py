"""Figures of a benchmark, from its tables."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from headline.lookup import ESTIMATORS, INPUT, TARGET, VARIANTS, Runs
from headline.measures import color_names
from headline.tables import benchmark_tables
from headline.words import ablation_words, backbone_words, variant_words

__all__ = ["STYLE", "benchmark_figures"]

STYLE = {
    "font.size": 10, "axes.titlesize": 10.5, "axes.labelsize": 10, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": "#5b6470", "axes.labelcolor": "#2a313b", "xtick.color": "#5b6470", "ytick.color": "#5b6470",
    "xtick.labelcolor": "#2a313b", "ytick.labelcolor": "#2a313b", "axes.grid": True, "grid.color": "#e3e6ea",
    "grid.linewidth": 0.8, "axes.axisbelow": True, "legend.frameon": False, "figure.facecolor": "white",
    "svg.hashsalt": "astro_galtrans", "svg.fonttype": "path",
}
# The colorblind-safe palette of Okabe & Ito
PALETTE = ("#d55e00", "#0072b2", "#009e73")

_DARK, _MIDDLE, _LIGHT = "#2a313b", "#5b6470", "#8b939e"
_COLORS = dict(zip(VARIANTS, (_MIDDLE, PALETTE[1], PALETTE[0], PALETTE[2])))
_MARKERS = dict(zip(VARIANTS, ("s", "o", "^", "D")))
_LIMITS = {INPUT: "--", TARGET: "-"}
_PALE = "#a9cfe8"
_WIDTH = 8.0
_STEPS = ((12, (1, 2, 5)), (2.5, (1, 1.5, 2, 3, 5, 7)), (0, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
_OWN = (INPUT, "resampled input")


def _new_figure(width, height):
    return Figure(figsize=(width, height), layout="constrained")


def benchmark_figures(results, sample=None):
    """Return the figures of a benchmark.

    Parameters
    ----------
    results : `~astropy.table.Table`
        As in `benchmark_tables`.
    sample : str, optional
        Use only this sample.

    Returns
    -------
    dict of str to `matplotlib.figure.Figure`
        ``"headline"``, ``"gains"``, ``"learning_curve"``, ``"scarcity"``, ``"ablation"``, ``"color_gradients"`` and
        ``"peaks"``; figures without numbers are left out.

    Raises
    ------
    ValueError
        If the sample is unknown.
    """
    tables, runs = benchmark_tables(results, sample), Runs(results, sample)
    colors = color_names(runs)
    makers = {
        "headline": lambda: headline(tables["headline"]), "gains": lambda: gains(tables["best"]),
        "learning_curve": lambda: learning_curve(tables["learning_curve"], tables["headline"]),
        "scarcity": lambda: scarcity(tables["scarcity"], tables["headline"]),
        "ablation": lambda: ablation(tables["ablation"]),
        "color_gradients": lambda: pairs_of_errors(
            tables["color_gradients"], {"slope_scatter": ("scatter of the slope error (mag/dex)", colors)}),
        "peaks": lambda: pairs_of_errors(
            tables["peaks"], {"peak_scatter": ("scatter of the peak flux (mag)", list(runs.bands)),
                              "peak_color_scatter": ("scatter of the peak color (mag)", colors)}),
    }
    with matplotlib.rc_context(STYLE):
        figures = {name: make() for name, make in makers.items()}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _samples(table):
    return list(dict.fromkeys(table["sample"])) if len(table) else []


def _part(table, **wanted):
    keep = np.ones(len(table), dtype=bool)
    for name, value in wanted.items():
        keep &= np.asarray(table[name] == value)
    return table[keep]


def _panels(table, height, **options):
    """Return a figure with a panel for each sample, or None without rows."""
    samples = _samples(table)
    if not samples:
        return None, {}
    figure = _new_figure(_WIDTH if len(samples) > 1 else 0.6 * _WIDTH, height)
    axes = figure.subplots(1, len(samples), squeeze=False, **options)[0]
    for axis, name in zip(axes, samples):
        axis.set_title(f"{name} sample")
    return figure, dict(zip(samples, axes))


def _key(figure, entries, columns=4):
    """Add a legend of (label, style of a line)."""
    from matplotlib.lines import Line2D

    if figure.get_figwidth() < _WIDTH:
        columns = 2
    handles = [Line2D([], [], label=label, **style) for label, style in entries]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(columns, len(handles)), fontsize=9)


def _dot(axis, x, low, high, y, color, marker, filled, horizontal=True):
    """Draw a number with its interval."""
    if not np.isfinite(x):
        return
    if np.isfinite([low, high]).all():
        span, place = [low, high], [y, y]
        axis.plot(*((span, place) if horizontal else (place, span)), color=color, lw=1.3, solid_capstyle="butt")
    axis.plot(*((x, y) if horizontal else (y, x)), marker=marker, color=color, ms=6, ls="none", mew=1.4,
              mfc=color if filled else "white")


def _limit_lines(axis, headline_table, sample, estimator, horizontal=False):
    for name, style in _LIMITS.items():
        rows = _part(headline_table, sample=sample, images=name)
        if len(rows) and np.isfinite(rows[f"nmad_{estimator}"][0]):
            line = axis.axhline if horizontal else axis.axvline
            line(rows[f"nmad_{estimator}"][0], color=_LIGHT, lw=1.2, ls=style, zorder=1)


_LIMIT_KEY = [(f"{name} images", {"color": _LIGHT, "lw": 1.2, "ls": style}) for name, style in _LIMITS.items()]


def _variant_key(variants):
    return [(variant_words(name), {"color": _COLORS[name], "marker": _MARKERS[name], "ls": "none", "ms": 6})
            for name in variants]


def headline(table):
    """Draw the NMAD of each backbone and variant and of real images; rows of panels are the estimators."""
    rows = table[[str(row["variant"]) in VARIANTS for row in table]] if len(table) else table
    samples = _samples(rows)
    if not samples:
        return None
    backbones = list(dict.fromkeys(rows["images"]))
    figure = _new_figure(_WIDTH if len(samples) > 1 else 0.6 * _WIDTH, 1.6 + 0.9 * len(backbones))
    axes = figure.subplots(len(ESTIMATORS), len(samples), squeeze=False, sharey=True, sharex="col")
    for column, sample in enumerate(samples):
        for axis, estimator in zip(axes[:, column], ESTIMATORS):
            _limit_lines(axis, table, sample, estimator)
            for row in _part(rows, sample=sample):
                variant = str(row["variant"])
                y = backbones.index(row["images"]) + 0.2 * (VARIANTS.index(variant) - 1.5)
                name = f"nmad_{estimator}"
                _dot(axis, row[name], row[f"{name}_low"], row[f"{name}_high"], y, _COLORS[variant], _MARKERS[variant],
                     True)
            axis.set_title(f"{sample} sample, {estimator}")
            _rows_of(axis, [backbone_words(name) for name in backbones])
        axes[-1, column].set_xlabel("NMAD of the redshift error (less is better)")
    axes[0, 0].invert_yaxis()
    _key(figure, [*_variant_key([name for name in VARIANTS if name in rows["variant"]]), *_LIMIT_KEY], columns=3)
    return figure


def _rows_of(axis, labels):
    """Label the y axis with names and draw lines between them."""
    axis.set_yticks(range(len(labels)), labels)
    axis.tick_params(axis="y", length=0)
    axis.grid(False, axis="y")
    for edge in range(len(labels) - 1):
        axis.axhline(edge + 0.5, color="#e3e6ea", lw=0.8, zorder=0)
    axis.set_ylim(-0.5, len(labels) - 0.5) if not axis.yaxis_inverted() else axis.set_ylim(len(labels) - 0.5, -0.5)


def gains(table):
    """Draw gain and reduction of the best translators against each conventional one."""
    samples = _samples(table)
    if not samples:
        return None
    names = list(dict.fromkeys(table["conventional"]))
    variants = [name for name in VARIANTS[1:] if name in table["variant"]]
    figure = _new_figure(0.8 * _WIDTH if len(samples) > 1 else 0.6 * _WIDTH, 1.6 + 1.15 * len(names))
    axes = figure.subplots(2, len(samples), squeeze=False, sharey=True, sharex="row")
    for column, sample in enumerate(samples):
        for axis, (stem, label) in zip(axes[:, column], (("gain", "preservation gain"), ("reduction", "reduction"))):
            for row in _part(table, sample=sample):
                variant = str(row["variant"])
                for shift, estimator in zip((-0.065, 0.065), ESTIMATORS):
                    y = names.index(row["conventional"]) + 0.3 * (variants.index(variant) - (len(variants) - 1) / 2)
                    name = f"{stem}_{estimator}"
                    values = [100 * row[f"{name}{end}"] for end in ("", "_low", "_high")]
                    _dot(axis, *values, y + shift, _COLORS[variant], _MARKERS[variant], estimator == "transfer")
            axis.axvline(0, color=_MIDDLE, lw=0.9)
            for goal in (40, 80) if stem == "gain" else ():
                axis.axvline(goal, color=_LIGHT, lw=1.1, ls=":")
            _rows_of(axis, [backbone_words(name) for name in names])
            axis.set_title(f"{sample} sample")
            axis.set_xlabel(f"{label} (%)")
            if not column:
                axis.set_ylabel("conventional translator")
    _limit_range(axes[0], table, "gain")
    _limit_range(axes[1], table, "reduction")
    axes[0, 0].invert_yaxis()
    _key(figure, [*_variant_key(variants), ("open: retrained", _open()),
                  ("goals", {"color": _LIGHT, "lw": 1.1, "ls": ":"})], columns=3)
    return figure


def _open():
    return {"color": _MIDDLE, "marker": "o", "mfc": "white", "mew": 1.4, "ls": "none", "ms": 6}


def _limit_range(axes, table, stem):
    """Set the range by the values; intervals of an ill-defined gain may exceed it."""
    values = 100 * np.concatenate([np.asarray(table[f"{stem}_{name}"]) for name in ESTIMATORS])
    ends = 100 * np.concatenate([np.asarray(table[f"{stem}_{name}{end}"]) for name in ESTIMATORS
                                 for end in ("_low", "_high")])
    if np.isfinite(values).any():
        low, high = min(0.0, np.nanmin(values)), np.nanmax(values)
        ends = ends[np.isfinite(ends)]
        near = ends[(ends > low - 60) & (ends < high + 60)]
        low, high = (pick([edge, *near]) for pick, edge in ((min, low), (max, high)))
        axes[0].set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))


def _curves(table, headline_table, x, xlabel):
    """Draw the NMAD of the conventional and the gradient translator against a quantity; None if it does not vary."""
    if not len(table) or len(set(table[x])) < 2:
        return None
    figure, axes = _panels(table, 3.9)
    if figure is None:
        return None
    for sample, axis in axes.items():
        part = _part(table, sample=sample)
        for variant in VARIANTS[:2]:
            for estimator, style in zip(ESTIMATORS, ("-", (0, (4, 2)))):
                rows = _part(part, estimator=estimator) if "estimator" in part.colnames else part
                name = f"nmad_{variant}" if "estimator" in part.colnames else f"nmad_{variant}_{estimator}"
                there = np.isfinite(np.asarray(rows[name]))
                color = _COLORS[variant]
                axis.plot(rows[x][there], rows[name][there], color=color, ls=style, lw=1.6)
                for row in rows[there]:
                    _dot(axis, row[name], row[f"{name}_low"], row[f"{name}_high"], row[x], color, _MARKERS[variant],
                         estimator == "transfer", horizontal=False)
        _limit_lines(axis, headline_table, sample, "transfer", horizontal=True)
        axis.set_xscale("log")
        ticks = sorted(set(np.asarray(part[x])))
        axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], fontsize=9)
        axis.set_xticks([], minor=True)
        axis.set_xlabel(xlabel)
    next(iter(axes.values())).set_ylabel("NMAD of the redshift error")
    lines = [(variant_words(name), {"color": _COLORS[name], "marker": _MARKERS[name], "ms": 6, "lw": 1.6})
             for name in VARIANTS[:2]]
    open_line = ("open, dashed: retrained", {**_open(), "ls": (0, (4, 2)), "lw": 1.6})
    _key(figure, [*lines, open_line, *((f"{label} (transfer)", style) for label, style in _LIMIT_KEY)], columns=3)
    return figure


def learning_curve(table, headline_table):
    return _curves(table, headline_table, "n_steps", "optimizer steps")


def scarcity(table, headline_table):
    rows = table[np.asarray(table["fraction"]) > 0] if len(table) else table
    return _curves(rows, headline_table, "n_pairs", "training pairs, same number of steps")


def ablation(table):
    """Draw the change of the NMAD when a part is left out."""
    rows = table[[str(name) != "full" for name in table["variant"]]] if len(table) else table
    names = list(dict.fromkeys(rows["variant"])) if len(rows) else []
    figure, axes = _panels(rows, 1.3 + 0.42 * len(names), sharey=True)
    if figure is None:
        return None
    for sample, axis in axes.items():
        for row in _part(rows, sample=sample):
            y = names.index(row["variant"])
            for shift, estimator in zip((-0.19, 0.19), ESTIMATORS):
                value, low, high = (100 * row[f"increase_{estimator}{end}"] for end in ("", "_low", "_high"))
                if np.isfinite(value):
                    shade = PALETTE[1] if estimator == "transfer" else _PALE
                    axis.barh(y + shift, value, height=0.34, color=shade)
                    axis.plot([low, high], [y + shift, y + shift], color=_DARK, lw=1.2, solid_capstyle="butt")
        axis.axvline(0, color=_MIDDLE, lw=0.9)
        _rows_of(axis, [ablation_words(name) for name in names])
        axis.set_xlabel("change of the NMAD (%)")
    first = next(iter(axes.values()))
    first.invert_yaxis()
    _key(figure, [(name, {"color": shade, "lw": 7, "solid_capstyle": "butt"})
                  for name, shade in zip(ESTIMATORS, (PALETTE[1], _PALE))])
    return figure


def pairs_of_errors(table, columns):
    """Draw errors of each backbone, with a line from the conventional to the gradient translator."""
    table = table[[str(row["variant"]) in VARIANTS[:2] or row["images"] in _OWN
                   for row in table]] if len(table) else table
    samples = _samples(table)
    columns = {stem: (label, names) for stem, (label, names) in columns.items()
               if samples and f"{stem}_{names[0]}" in table.colnames
               and any(np.isfinite(np.asarray(table[f"{stem}_{name}"])).any() for name in names)}
    if not columns:
        return None
    figure = _new_figure(_WIDTH if len(samples) > 1 else 0.6 * _WIDTH, 0.6 + 2.9 * len(columns))
    axes = figure.subplots(len(columns), len(samples), squeeze=False, sharey="row")
    for line, (stem, (label, names)) in enumerate(columns.items()):
        for axis, sample in zip(axes[line], samples):
            _pair_panel(axis, _part(table, sample=sample), stem, names)
            axis.set_title(f"{sample} sample")
        _logarithmic(axes[line, 0])  # the axis is shared
        axes[line, 0].set_ylabel(label)
    backbones = [name for name in dict.fromkeys(table["images"]) if name not in _OWN]
    _key(figure, [*_variant_key(VARIANTS[:2]), ("input images", {"color": _LIGHT, "lw": 2.2})])
    figure.supxlabel(f"from left to right in each group: {', '.join(map(backbone_words, backbones))}", fontsize=9)
    return figure


def _pair_panel(axis, part, stem, names):
    backbones = [name for name in dict.fromkeys(part["images"]) if name not in _OWN]
    places = np.linspace(-0.3, 0.3, len(backbones)) if len(backbones) > 1 else [0.0]
    for index, name in enumerate(names):
        column = f"{stem}_{name}"
        for reference in reversed(_OWN):
            own = _part(part, images=reference)
            if len(own) and np.isfinite(own[column][0]):
                axis.plot([index - 0.4, index + 0.4], 2 * [own[column][0]], color=_LIGHT, lw=2.2, zorder=1)
                break
        for shift, backbone in zip(places, backbones):
            rows = _part(part, images=backbone)
            values = {str(row["variant"]): row[column] for row in rows if np.isfinite(row[column])}
            axis.plot([index + shift] * len(values), list(values.values()), color=_LIGHT, lw=1.0, zorder=2)
            for variant, value in values.items():
                axis.plot(index + shift, value, marker=_MARKERS[variant], color=_COLORS[variant], ms=5.5, ls="none")
    axis.set_xticks(range(len(names)), names)
    axis.grid(False, axis="x")


def _logarithmic(axis):
    """Make the y axis logarithmic with plain tick labels."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    steps = next(steps for widest, steps in _STEPS if high / low > widest)
    ticks = np.outer(10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high) + 1), steps).ravel()
    axis.yaxis.set_major_locator(FixedLocator(ticks[(ticks >= low) & (ticks <= high)]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:.3g}"))
    axis.yaxis.set_minor_locator(NullLocator())
