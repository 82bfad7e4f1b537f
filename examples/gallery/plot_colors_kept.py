"""
Are the colors of galaxies preserved?
=====================================

Redshifts are estimated from colors, so a translation must preserve them. The figure compares colors within 2 arcsec
with the noiseless truth, for 300 simulated galaxies that are not in the training set of the shipped translator.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.gradients import radial_color_profiles
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
pairs = simulate_pairs(
    300, input_survey="SDSS", target_survey="CFHTLS", seed=6, input_size=32, truth=True, galaxies="templates",
    sky="plain")
translated = load("sdss-to-cfhtls").translate_array(pairs.input_flux)

# %%
# The scatter is 1.4826 times the median absolute deviation. Most of it is the noise of the SDSS image, which is largest
# in u and which no translator can remove.

figure, axes = plt.subplots(1, 4, figsize=(12.5, 3.6))
for ax, bands in zip(axes, (("u", "g"), ("g", "r"), ("r", "i"), ("i", "z"))):
    true = radial_color_profiles(pairs.target_truth, "CFHTLS", bands, [0, 2])[:, 0]
    color = radial_color_profiles(translated, "CFHTLS", bands, [0, 2])[:, 0]
    shown = ax.scatter(true, color, c=pairs.catalog["r_mag"], s=9, cmap="viridis_r")
    low, high = np.nanpercentile(true, [0.5, 99.5]) + [-0.1, 0.1]
    ax.plot([low, high], [low, high], color="0.3", lw=0.8, zorder=0)
    error = color - true
    scatter = 1.4826 * np.nanmedian(np.abs(error - np.nanmedian(error)))
    ax.set(title=f"{bands[0]} - {bands[1]}: scatter {scatter:.3f} mag", xlabel="true (mag)", xlim=(low, high),
           ylim=(low, high), aspect="equal")
axes[0].set_ylabel("translated (mag)")
figure.colorbar(shown, ax=axes, label="r (mag)", shrink=0.8)
plt.show()
