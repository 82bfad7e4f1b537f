"""Style of all figures of reports, which use matplotlib's object interface."""

__all__ = ["PALETTE", "STYLE", "new_figure"]

STYLE = {
    "font.size": 10, "axes.titlesize": 10.5, "axes.labelsize": 10, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": "#5b6470", "axes.labelcolor": "#2a313b", "xtick.color": "#5b6470", "ytick.color": "#5b6470",
    "xtick.labelcolor": "#2a313b", "ytick.labelcolor": "#2a313b", "axes.grid": True, "grid.color": "#e3e6ea",
    "grid.linewidth": 0.8, "axes.axisbelow": True, "legend.frameon": False, "figure.facecolor": "white",
}
# The colorblind-safe palette of Okabe & Ito
PALETTE = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def new_figure(width, height):
    """Return a `matplotlib.figure.Figure` of a size in inches that is not registered in pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
