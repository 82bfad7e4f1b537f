"""
Train a translator on your own pairs
====================================

Two arrays of images of the same galaxies, as two surveys see them, are all that a training needs.
"""

# %%
# The pairs
# ---------
#
# ``input_flux`` and ``target_flux`` have the axes (galaxy, band, y, x), in the units of the surveys, with the galaxy
# in the middle of each stamp. Here they are simulated. To make them of a catalogue and the images of two surveys
# there is `~astro_galtrans.pairs.match_pairs` (:ref:`catalogue-to-pairs`).

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
# Weights are inverse variances, 0 where a pixel is bad. Without them the noise is taken to be the typical one of the
# survey, and NaN marks bad pixels. Redshifts are not needed to train, but to judge. ``pairs.write("pairs.zarr")``
# keeps the pairs on disk, from where they are trained on without being read into memory.
#
# Parts
# -----
#
# No galaxy is in two parts.

train, valid, test = pairs.split((0.8, 0.1, 0.1), seed=0)
len(train), len(valid), len(test)

# %%
# Train
# -----
#
# A `~astro_galtrans.training.TrainConfig` says everything: which network, what is minimised, for how long, with which
# seed. This one is small, to run while you wait; a useful training takes thousands of galaxies and some ten epochs.

config = TrainConfig(backbone="unet", objective="gradient", epochs=4, batch_size=16, seed=0,
                     backbone_options={"widths": [12, 24], "n_features": 8})
result = fit(train, config, validation=valid)
translator = result.translator
translator

# %%
# The history has a row for each epoch. The loss is a negative log-likelihood, which may well be negative; what counts
# is that it falls. The translator is that of the best epoch on the validation pairs.

result.history["epoch", "train_loss", "valid_loss"]

# %%
# Did it learn anything?
# ----------------------
#
# A quick look at galaxies that the training has not seen: the error of the flux, pixel by pixel, against the
# brightness. The proper judge is the next tutorial.

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
# Keep it
# -------
#
# In one ASDF file without any code: the weights, the two surveys, and where it is from.

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
# From here: :ref:`training` has every setting, :ref:`backbones` the other networks, and :ref:`method` what is
# minimised.
