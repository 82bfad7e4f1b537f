"""
Color gradients: input, translated, true
========================================

The median g - i color against radius of 150 simulated galaxies, for early and late types. The seeing blurs the
simulated SDSS image. A translator should recover the gradient of CFHTLS.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.gradients import radial_color_profiles
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
pairs = simulate_pairs(
    150, input_survey="SDSS", target_survey="CFHTLS", seed=5, input_size=32, truth=True, galaxies="templates",
    sky="plain")
translated = load("sdss-to-cfhtls").translate_array(pairs.input_flux)
edges = np.array([0, 0.4, 0.8, 1.2, 1.7, 2.3, 3, 4])
profiles = {
    "SDSS, without noise": radial_color_profiles(pairs.input_truth, "SDSS", ("g", "i"), edges),
    "translated": radial_color_profiles(translated, "CFHTLS", ("g", "i"), edges),
    "CFHTLS, without noise": radial_color_profiles(pairs.target_truth, "CFHTLS", ("g", "i"), edges),
}

# %%
# The filters of the two surveys differ, so the colors differ too. The translation should follow CFHTLS, not SDSS.

radius = 0.5 * (edges[1:] + edges[:-1])
early = np.asarray(pairs.catalog["early"], dtype=bool)
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharex=True)
styles = {name: style for name, style in zip(profiles, (("0.55", "--"), ("tab:red", "-"), ("black", ":")))}
for ax, chosen, title in zip(axes, (early, ~early), ("early types", "late types")):
    for name, profile in profiles.items():
        color, line = styles[name]
        ax.plot(radius, np.nanmedian(profile[chosen], axis=0), line, color=color, marker="o", ms=4, label=name)
    ax.set(title=f"{title}, {chosen.sum()} galaxies", xlabel="distance from the center (arcsec)", ylabel="g - i (mag)")
axes[0].legend()
plt.show()
