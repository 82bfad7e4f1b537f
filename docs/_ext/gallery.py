"""Order and style of the figures that sphinx-gallery makes from the scripts in ``examples``."""

from pathlib import Path

_ORDER = (
    "translate", "train", "evaluate", "own_survey", "extend",
    "plot_translated", "plot_six_surveys", "plot_realistic_sky", "plot_realism", "plot_residuals", "plot_uncertainty",
    "plot_sed_gradients", "plot_flow_weights", "plot_spatial_sed", "plot_color_profiles", "plot_colors_kept",
    "plot_peak_fluxes", "plot_populations", "plot_photoz", "plot_calibration", "plot_spectra", "plot_depths",
    "plot_filters",
)
_STYLE = {
    "figure.dpi": 100, "figure.constrained_layout.use": True, "figure.facecolor": "white",
    "font.size": 10, "axes.titlesize": 11, "axes.labelsize": 10, "legend.frameon": False, "legend.fontsize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.8,
    "image.origin": "lower", "image.interpolation": "nearest", "image.cmap": "magma",
}


class Order:
    """Sort the scripts of a folder; scripts that are not in the list come last."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        """Return the position of a script in the order, from its file name."""
        stem = Path(name).stem
        return (_ORDER.index(stem) if stem in _ORDER else len(_ORDER), stem)


def set_style(gallery_conf, name):
    """Reset every script to the same style."""
    import matplotlib.pyplot as plt

    plt.rcdefaults()
    plt.rcParams.update(_STYLE)
