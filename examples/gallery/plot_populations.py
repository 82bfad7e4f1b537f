"""
Populations without labels
==========================

The scales that the flow learns for the gradients distinguish a smooth red galaxy from a blue one with star-forming
knots. `~astro_galtrans.evaluation.populations` finds the two populations without a label, a color or a redshift. See
:ref:`populations` for the accuracy.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.evaluation import populations
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
pairs = simulate_pairs(
    300, input_survey="SDSS", target_survey="CFHTLS", seed=6, input_size=32, truth=True, galaxies="templates",
    sky="plain")
found = populations(load("sdss-to-cfhtls"), pairs)
found

# %%
# The labels of the simulation are used only in this figure.

score, population = np.asarray(found.table["score"]), np.asarray(found.table["population"])
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
for which, color in ((0, "tab:blue"), (1, "tab:red")):
    chosen = population == which
    left.hist(score[chosen], bins=np.linspace(score.min(), score.max(), 40), color=color, alpha=0.8,
              label=f"population {which}: {chosen.sum()} galaxies")
    right.scatter(score[chosen], pairs.catalog["bulge_fraction"][chosen], s=14, color=color, alpha=0.8)
left.set(xlabel="score", ylabel="galaxies")
left.legend(loc="upper left")
left.set_ylim(0, 1.35 * left.get_ylim()[1])
right.set(xlabel="score", ylabel="bulge fraction")
plt.show()
