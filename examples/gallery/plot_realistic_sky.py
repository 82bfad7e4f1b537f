"""
From a galaxy to a realistic image
==================================

Simulated galaxies are seen through a sky of several parts, and each part can be turned off (:ref:`simulation`). The
figures show four galaxies in SDSS and CFHTLS while the parts are turned on one after another.
"""

from dataclasses import fields

import matplotlib.pyplot as plt
import numpy as np
from astropy.visualization import make_lupton_rgb

from astro_galtrans.simulation import Sky, simulate_pairs


def sky_of(*parts):
    """Return a sky with these parts alone."""
    return Sky(**{one.name: None for one in fields(Sky) if one.name not in (*parts, "conditions")})


# %%
# Galaxies of a seed are the same in each sky. Galactic extinction, offsets, zero-point errors, the background and
# artifacts come last.

skies = {
    "plain sky": "plain", "PSF and noise": sky_of("psf", "noise"),
    "+ neighbors, stars": sky_of("psf", "noise", "scene"), "everything": "realistic",
}
sets = {name: simulate_pairs(40, seed=4, sky=sky, truth=True) for name, sky in skies.items()}

# %%
# The last two columns are the truth of "everything" and its labels: blue is the galaxy, orange its neighbors and stars.
# Shown are the galaxies with most light of neighbors.

last = sets["everything"]
chosen = np.argsort(-np.mean(last.input_label == 2, axis=(1, 2)), kind="stable")[[0, 2, 5, 9]]
label_colors = np.array([(0.08, 0.08, 0.12), (0.25, 0.5, 0.95), (0.98, 0.6, 0.15)])


def color_image(flux, survey, stretch):
    """Return a color image of one galaxy from its fluxes."""
    unit = [10 ** (-0.4 * (band.zero_point - 22.5)) / survey.pixel_scale.to_value("arcsec") ** 2 for band in survey]
    g, r, i = flux[1:4] * np.array(unit)[1:4, None, None]
    return make_lupton_rgb(0.75 * i, r, 1.6 * g, stretch=stretch, Q=8)


def draw(side, survey):
    """Draw the galaxies in one of the two surveys."""
    figure, axes = plt.subplots(len(chosen), len(skies) + 2, figsize=(10.5, 7.2))
    for row, galaxy in zip(axes, chosen):
        truth = getattr(last, f"{side}_truth")[galaxy]
        images = [getattr(pairs, f"{side}_flux")[galaxy] for pairs in sets.values()]
        for ax, flux, name in zip(row, [*images, truth], [*skies, "truth"]):
            ax.imshow(color_image(flux, survey, 3))
            ax.set_title(name)
        row[-1].imshow(label_colors[getattr(last, f"{side}_label")[galaxy]])
        row[-1].set_title("label")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    for ax in axes[1:].flat:
        ax.set_title("")
    figure.suptitle(survey.name)


draw("input", last.input_survey)
plt.show()

# %%
# The same galaxies in CFHTLS.

draw("target", last.target_survey)
plt.show()
