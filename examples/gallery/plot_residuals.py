"""
Errors of a translation in units of the noise
=============================================

Simulated galaxies have a noiseless truth, so the error of each translated pixel is known. It is divided by the noise of
a CFHTLS image: a single real image cannot show an error of 1.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
pairs = simulate_pairs(
    25, input_survey="SDSS", target_survey="CFHTLS", seed=2, truth=True, galaxies="templates", sky="plain")
rows = [2, 11, 24]
translate = load("sdss-to-cfhtls")
translated = translate.translate_array(pairs.input_flux[rows])
truth, real = pairs.target_truth[rows], pairs.target_flux[rows]
noise = 1 / np.sqrt(pairs.target_weight[rows])

# %%
# Images in the r band. The image "CFHTLS" includes noise, as in an observation.

band = translate.target_survey.band_names.index("r")
figure, axes = plt.subplots(3, 4, figsize=(10, 7.4))
for k, row in enumerate(axes):
    top = np.arcsinh(np.percentile(truth[k, band], 99.9) / 20)
    for ax, image in zip(row, (translated[k, band], truth[k, band], real[k, band])):
        ax.imshow(np.arcsinh(image / 20), vmin=-0.3, vmax=top)
    error = row[3].imshow((translated[k, band] - truth[k, band]) / noise[k, band], cmap="RdBu_r", vmin=-5, vmax=5)
    figure.colorbar(error, ax=row[3], label="error / noise", extend="both")
for ax, title in zip(axes[0], ("translated", "truth, without noise", "CFHTLS", "translated - truth")):
    ax.set_title(title)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
# At knots and at the very center, where SDSS blurs what CFHTLS resolves, the error is many times the noise. It is
# visible over the whole disk of a bright galaxy, since the noise of CFHTLS is small. On the sky it is far below the
# noise.

for name, k in zip("ugriz", range(5)):
    chi = (translated[:, k] - truth[:, k]) / noise[:, k]
    print(f"{name}: {np.mean(np.abs(chi) < 1):.0%} of the pixels are within the noise of a CFHTLS image")
