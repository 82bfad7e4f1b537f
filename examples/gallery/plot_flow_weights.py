"""
Weights of the normalizing flow
===============================

Training weights each gradient by how well it can be predicted. No weight is set by hand: a normalizing flow learns the
distribution of the residuals, and the weight is the slope of its logarithm. The figure shows the weights of the shipped
translator for the gradients of three simulated galaxies.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
pairs = simulate_pairs(25, input_survey="SDSS", target_survey="CFHTLS", seed=2, galaxies="templates", sky="plain")
rows = [2, 13, 24]
weights = load("sdss-to-cfhtls").gradient_weights(pairs.input_flux[rows], pairs.target_flux[rows])
{kind: array.shape for kind, array in weights.items()}

# %%
# The mean weight of each kind is 1. The color scale is logarithmic. A gradient in the bright part of a galaxy has a
# weight orders of magnitude above that of one on the sky, and one from g to r more than one from u to g.

figure, axes = plt.subplots(3, 4, figsize=(10.5, 7.4))
for k, (row, which) in enumerate(zip(axes, rows)):
    row[0].imshow(np.arcsinh(pairs.target_flux[which, 2] / 20), vmin=-0.3)
    images = weights["x"][k, 2], weights["passband"][k, 1], weights["passband"][k, 0]
    for ax, image in zip(row[1:], images):
        shown = ax.imshow(np.log10(np.maximum(image, 1e-3)), cmap="viridis", vmin=-2, vmax=2)
    figure.colorbar(shown, ax=row, label="log$_{10}$ weight", extend="both")
for ax, title in zip(axes[0], ("CFHTLS, r", "weight of the gradient\nalong x, r", "weight of the gradient\ng to r",
                               "weight of the gradient\nu to g")):
    ax.set_title(title)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
