"""
Train a translator on your own pairs
====================================

A training needs two arrays of images of the same galaxies, as two surveys see them.
"""

# %%
# The pairs
# ---------
#
# ``input_flux`` and ``target_flux`` have the axes (galaxy, band, y, x), in the units of the surveys, with the galaxy in
# the middle. Here they are simulated. `~astro_galtrans.pairs.match_pairs` makes pairs from a catalog and the images of
# two surveys (:ref:`catalog-to-pairs`).

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load, save
from astro_galtrans.training import TrainConfig, fit

simulated = simulate_pairs(320, input_survey="SDSS", target_survey="CFHTLS", seed=11, input_size=32)
input_flux, target_flux = np.asarray(simulated.input_flux), np.asarray(simulated.target_flux)
input_weight, target_weight = np.asarray(simulated.input_weight), np.asarray(simulated.target_weight)

pairs = PairSet.from_arrays(
    input_flux, target_flux, input_survey="SDSS", target_survey="CFHTLS", input_weight=input_weight,
    target_weight=target_weight, redshift=simulated.redshift, ids=simulated.ids)
pairs

# %%
# Weights are inverse variances, 0 for bad pixels. Without them the typical noise of the survey is used, and NaN marks
# bad pixels. Redshifts are needed only for the evaluation. ``pairs.write("pairs.zarr")`` stores the pairs on disk; a
# training reads them from there without loading all into memory.
#
# Split the pairs
# ---------------
#
# The parts share no galaxy.

train, valid, test = pairs.split((0.8, 0.1, 0.1), seed=0)
len(train), len(valid), len(test)

# %%
# Train
# -----
#
# A `~astro_galtrans.training.TrainConfig` sets the network, the objective, the length of the training and the seed.
# This one is small, to run while you wait; a useful training takes thousands of galaxies and about ten epochs.

config = TrainConfig(backbone="unet", objective="gradient", epochs=4, batch_size=16, seed=0,
                     backbone_options={"widths": [12, 24], "n_features": 8})
result = fit(train, config, validation=valid)
translator = result.translator
translator

# %%
# The history has a row for each epoch. The loss is a negative log-likelihood and can be negative; it should fall. The
# translator is that of the best epoch on the validation pairs.

result.history["epoch", "train_loss", "valid_loss"]

# %%
# Check the result
# ----------------
#
# The translated flux of each pixel against the target, for galaxies that the training has not seen. The next tutorial
# evaluates a translator properly.

translated = translator.translate_array(test.input_flux)
band = translator.target_survey.band_names.index("r")
true, made = np.asarray(test.target_flux)[:, band].ravel(), translated[:, band].ravel()
figure, ax = plt.subplots(figsize=(5.5, 4.6))
grid = ax.hexbin(np.arcsinh(true / 20), np.arcsinh(made / 20), bins="log", gridsize=60, cmap="viridis")
low, high = np.arcsinh(true.min() / 20), np.arcsinh(true.max() / 20)
ax.plot([low, high], [low, high], color="white", lw=1, ls=":")
ax.set(xlabel="CFHTLS, arcsinh(r flux / 20 adu)", ylabel="translated, arcsinh(r flux / 20 adu)")
figure.colorbar(grid, label="pixels")
plt.show()

# %%
# Save it
# -------
#
# One ASDF file without any code stores the weights, the two surveys and the provenance.

with TemporaryDirectory() as folder:
    save(Path(folder) / "mine.asdf", translator)
    again = load(Path(folder) / "mine.asdf")
again.hash == translator.hash, sorted(again.provenance)

# %%
# On the command line:
#
# .. code-block:: console
#
#    $ galtrans train pairs.zarr --backbone unet --objective gradient --epochs 10 --seed 0 --out mine.asdf
#
# :ref:`training` describes every setting, :ref:`backbones` the other networks, and :ref:`method` the objectives.
