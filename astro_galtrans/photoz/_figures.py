"""Diagnostic figures of redshift estimates, with matplotlib's object interface."""

import numpy as np
from scipy import stats

from astro_galtrans._utils.figures import STYLE, new_figure
from astro_galtrans._utils.optional import optional

__all__ = ["make_figures"]

# Okabe & Ito's palette, which color-blind readers can distinguish
_INK, _SOFT, _FIRST, _SECOND = "#11151a", "#8b939e", "#0072b2", "#d55e00"
_BAND = "#cfd5dc"
_PIT_BINS, _FEW = 20, 3000


def make_figures(evaluation):
    """Return all figures of an evaluation by name."""
    matplotlib = optional("matplotlib", "report", "figures")
    with matplotlib.rc_context(STYLE):
        figures = {"z_density": _z_density(evaluation), "pit": _pit(evaluation), "qq": _qq(evaluation),
                   "bias": _bias(evaluation), "nz": _nz(evaluation)}
        for name in evaluation.bins:
            if name not in ("z_spec", "z_phot"):
                figures[f"bins_{name}"] = _in_bins(evaluation, name)
    return figures


def _note(axis, text, x=0.04, y=0.96):
    axis.text(x, y, text.replace("-", "\u2212"), transform=axis.transAxes, va="top", fontsize=9, color=_INK,
              linespacing=1.4, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2})


def _estimate(evaluation):
    """Return the name of the point estimate."""
    name = evaluation.metrics.meta["z_phot"]
    return f"{name} of the density" if name in ("median", "mean", "mode") else str(name)


def _cloud(axis, x, y, x_range, y_range, height=1.0):
    """Draw points if they are few, else their number in bins."""
    from matplotlib.colors import LogNorm

    if len(x) <= _FEW:
        axis.plot(x, y, ".", ms=4, mew=0, alpha=0.5, color=_FIRST, rasterized=True)
        return None
    n = int(np.clip(1.5 * np.sqrt(len(x)), 100, 200))
    counts, x_edges, y_edges = np.histogram2d(x, y, (n, max(1, int(n * height))), range=[x_range, y_range])
    return axis.pcolormesh(x_edges, y_edges, np.where(counts > 0, counts, np.nan).T, cmap="viridis_r",
                           norm=LogNorm(1, max(10, counts.max())), rasterized=True)


def _z_density(evaluation):
    """Draw estimated against true redshift, and the difference."""
    good = np.isfinite(evaluation.z_phot)
    z_spec, z_phot = evaluation.z_spec[good], evaluation.z_phot[good]
    dz = (z_phot - z_spec) / (1 + z_spec)
    figure = new_figure(6, 7.6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    low, high = min(z_spec.min(), z_phot.min()), max(z_spec.max(), z_phot.max())
    edge = np.array([low - 0.02 * (high - low), high + 0.02 * (high - low)])
    reach = 1.2 * max(0.06, 3 * evaluation["sigma_iqr"], np.percentile(np.abs(dz), 99) if len(dz) else 0)
    image = _cloud(top, z_spec, z_phot, edge, edge)
    _cloud(bottom, z_spec, dz, edge, (-reach, reach), 0.35)
    top.plot(edge, edge, color=_INK, lw=0.9)
    bottom.axhline(0, color=_INK, lw=0.9)
    for size, style in ((0.05, "--"), (0.15, ":")):
        for sign in (-1, 1):
            top.plot(edge, edge + sign * size * (1 + edge), color=_SOFT, lw=0.9, ls=style,
                     label=f"off by {size} (1 + z)" if sign > 0 else None)
            if size < reach:
                bottom.axhline(sign * size, color=_SOFT, lw=0.9, ls=style)
    top.set(xlim=edge, ylim=edge, ylabel=f"estimated redshift ({_estimate(evaluation)})")
    bottom.set(ylim=(-reach, reach), xlabel="true redshift", ylabel="$\\Delta z\\,/\\,(1 + z)$")
    top.legend(loc="lower right", fontsize=9)
    beyond = int((np.abs(dz) > reach).sum())
    if beyond:
        bottom.set_title(f"{beyond} of {len(dz)} galaxies are beyond this range", fontsize=9, loc="left", color=_SOFT)
    _note(top, f"{len(dz):,} galaxies\nNMAD {evaluation['nmad']:.4f}\nbias {evaluation['bias_median']:+.4f} (median)\n"
          f"off by more than 0.05: {100 * evaluation['outlier_005']:.2f} %\n"
          f"off by more than 0.15: {100 * evaluation['outlier_015']:.2f} %")
    if image is not None:
        figure.colorbar(image, ax=top, label="galaxies", pad=0.02, shrink=0.8)
    return figure


def _pit(evaluation):
    """Draw the histogram of the PIT, and the scatter of a uniform one by chance."""
    n = len(evaluation.pit)
    figure = new_figure(6.4, 4.2)
    axis = figure.subplots()
    counts, edges = np.histogram(evaluation.pit, _PIT_BINS, range=(0, 1))
    scale = _PIT_BINS / n
    for probability, shade in ((0.95, "#e6e9ed"), (0.68, _BAND)):
        low, high = stats.binom.interval(probability, n, 1 / _PIT_BINS)
        axis.axhspan(scale * low, scale * high, color=shade, lw=0, zorder=0,
                     label=f"{100 * probability:.0f} % of chance")
    axis.stairs(scale * counts, edges, color=_FIRST, lw=1.8, fill=False)
    axis.stairs(scale * counts, edges, color=_FIRST, alpha=0.18, fill=True)
    axis.axhline(1, color=_INK, lw=0.9)
    top = max(1.6, 1.4 * scale * counts.max())
    axis.set(xlim=(0, 1), ylim=(0, top), xlabel="PIT, cumulative probability at the true redshift", ylabel="density")
    axis.grid(False)
    _note(axis, f"KS {evaluation['pit_ks']:.4f}, by chance with p = {evaluation['pit_ks_p_value']:.2g}\n"
          f"outside 0.0001 to 0.9999: {100 * evaluation['pit_outlier_rate']:.2f} %\n"
          f"in the central 68 %: {100 * evaluation['coverage_68']:.1f} %, "
          f"95 %: {100 * evaluation['coverage_95']:.1f} %", x=0.03)
    axis.legend(loc="upper right", fontsize=9)
    return figure


def _qq(evaluation):
    """Draw quantiles of the PIT against those of a uniform distribution."""
    n = len(evaluation.pit)
    level = np.linspace(0, 1, 401)
    found = np.searchsorted(np.sort(evaluation.pit), level, side="right") / n
    low, high = (stats.binom.ppf(tail, n, level) / n for tail in (0.025, 0.975))
    low[[0, -1]], high[[0, -1]] = (0, 1), (0, 1)
    figure = new_figure(5.2, 6.6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    top.fill_between(level, low, high, color=_BAND, lw=0, label="95 % of chance, at each level")
    top.plot([0, 1], [0, 1], color=_INK, lw=0.9)
    top.plot(level, found, color=_FIRST, lw=1.8, label=f"{n:,} galaxies")
    bottom.fill_between(level, low - level, high - level, color=_BAND, lw=0)
    bottom.axhline(0, color=_INK, lw=0.9)
    bottom.plot(level, found - level, color=_FIRST, lw=1.8)
    reach = 1.25 * max(np.abs(found - level).max(), np.abs(high - level).max())
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="fraction of galaxies with a PIT up to it")
    bottom.set(ylim=(-reach, reach), xlabel="cumulative probability", ylabel="difference")
    top.legend(loc="upper left", fontsize=9)
    return figure


def _series(axis, table, name, shift, **style):
    """Draw a metric in bins with its interval, shifted by a fraction of the axis."""
    good = np.isfinite(table[name]) & (table["count"] > 0)
    x, value = np.asarray(table["mean"], float)[good], np.asarray(table[name], float)[good]
    x = x + shift * (float(table["high"][-1]) - float(table["low"][0]))
    errors = None
    if f"{name}_low" in table.colnames:
        errors = np.abs(np.stack([value - table[f"{name}_low"][good], table[f"{name}_high"][good] - value]))
    axis.errorbar(x, value, yerr=errors, lw=1.3, ms=5.5, **style)


def _bias(evaluation):
    """Draw bias, scatter and outliers against redshift."""
    figure = new_figure(6.4, 7.4)
    panels = figure.subplots(3, 1, sharex=True)
    styles = {"z_spec": {"color": _FIRST, "marker": "o", "label": "in bins of the true redshift"},
              "z_phot": {"color": _SECOND, "marker": "s", "mfc": "white", "label": "in bins of the estimated redshift"}}
    for axis, name, label in zip(panels, ("bias_median", "nmad", "outlier_015"), (
            "median of $\\Delta z\\,/\\,(1+z)$", "NMAD", "fraction off by more than 0.15")):
        for shift, (by, style) in zip((-0.004, 0.004), styles.items()):
            _series(axis, evaluation.bins[by], name, shift, **style)
        axis.set_ylabel(label)
    panels[0].axhline(0, color=_INK, lw=0.9)
    for axis in panels[1:]:
        axis.set_ylim(bottom=0)
    panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9, borderaxespad=0)
    panels[-1].set_xlabel("mean redshift of the bin")
    return figure


def _nz(evaluation):
    """Draw stacked densities against the distribution of the true redshifts."""
    grid, stacked = np.asarray(evaluation.nz["redshift"]), np.asarray(evaluation.nz["stacked"])
    z_spec = evaluation.z_spec
    inside = np.flatnonzero(stacked > 1e-3 * stacked.max())
    low = min(grid[inside[0]], z_spec.min())
    high = max(grid[inside[-1]], z_spec.max())
    n_bins = int(np.clip(np.sqrt(len(z_spec)), 8, 40))
    counts, edges = np.histogram(z_spec, np.linspace(low, high, n_bins + 1))
    scale = 1 / (len(z_spec) * np.diff(edges))
    figure = new_figure(6.4, 4.2)
    axis = figure.subplots()
    axis.stairs(scale * counts, edges, color=_BAND, fill=True, label=f"true redshifts of {len(z_spec):,} galaxies")
    center = 0.5 * (edges[1:] + edges[:-1])
    axis.errorbar(center, scale * counts, yerr=scale * np.sqrt(counts), ls="none", color=_SOFT, lw=1.2)
    axis.plot(grid, stacked, color=_FIRST, lw=1.8, label="mean of the densities")
    axis.set(xlim=(low, high), xlabel="redshift", ylabel="n(z)")
    axis.set_ylim(0, 1.5 * max(stacked.max(), (scale * counts).max()))
    axis.legend(loc="upper right", fontsize=9)
    _note(axis, f"difference of the means {evaluation['nz_mean_difference']:+.4f}\nof the widths "
          f"{evaluation['nz_std_difference']:+.4f}\nKS {evaluation['nz_ks']:.4f}", x=0.03)
    return figure


def _in_bins(evaluation, name):
    """Draw metrics against another quantity."""
    table = evaluation.bins[name]
    figure = new_figure(9, 5.2)
    panels = figure.subplots(2, 3, sharex=True)
    for axis, metric, label in zip(
            panels.flat, ("bias_median", "nmad", "outlier_015", "crps", "pit_ks", "coverage_68"),
            ("median of $\\Delta z\\,/\\,(1+z)$", "NMAD", "fraction off by more than 0.15", "CRPS",
             "KS distance of the PIT", "fraction in the central 68 %")):
        _series(axis, table, metric, 0, color=_FIRST, marker="o")
        axis.set_title(label)
        if metric in ("nmad", "outlier_015", "crps", "pit_ks"):
            axis.set_ylim(bottom=0)
    panels[0, 0].axhline(0, color=_INK, lw=0.9)
    panels[1, 2].axhline(0.68, color=_INK, lw=0.9)
    unit = f" ({table['low'].unit})" if table["low"].unit is not None else ""
    for axis in panels[1]:
        axis.set_xlabel(f"{name}{unit}")
    return figure
