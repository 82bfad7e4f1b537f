"""
Populations that nobody labelled
================================

The scales that the flow learned for the gradients tell a smooth red galaxy from a blue one with star-forming knots.
`~astro_galtrans.evaluation.populations` finds the two heaps without a label, a colour or a redshift; see
:ref:`populations` for how well.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.evaluation import populations
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

pairs = simulate_pairs(300, input_survey="SDSS", target_survey="CFHTLS", seed=6, input_size=32, truth=True)
found = populations(load("sdss-to-cfhtls"), pairs)
found

# %%
# The labels of the simulation are looked at only now.

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
right.set(xlabel="score", ylabel="share of the bulge in the light")
plt.show()
