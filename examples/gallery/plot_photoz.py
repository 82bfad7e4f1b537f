"""
Redshifts from translated images
================================

A redshift estimator is trained on simulated CFHTLS images and then reads translated images of other galaxies. If the
translation preserves the redshift information, it is as accurate as on the input images. This estimator is trained for
seconds on few galaxies to show the figures; :ref:`redshift` has the measurement.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.photoz import fit_redshift_estimator, point_metrics
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
train = simulate_pairs(
    700, input_survey="SDSS", target_survey="CFHTLS", seed=7, input_size=32, galaxies="templates", sky="plain")
test = simulate_pairs(
    300, input_survey="SDSS", target_survey="CFHTLS", seed=6, input_size=32, truth=True, galaxies="templates",
    sky="plain")
estimator = fit_redshift_estimator(train.target_flux, train.redshift, survey=train.target_survey, epochs=12, seed=0)
pdf = estimator.predict(load("sdss-to-cfhtls").translate_array(test.input_flux))
metrics = point_metrics(pdf.median(), test.redshift)

# %%
# Left: the densities of all galaxies, one per row, sorted by true redshift. Right: the probability integral transform,
# the fraction of each density below the true redshift. It is flat for correct densities. A peak in the middle means
# that they are too wide, peaks at both ends that they are too narrow.

order = np.argsort(test.redshift)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), width_ratios=(1.4, 1))
density = np.asarray(pdf.density)[order]
image = left.imshow(density / density.max(axis=1, keepdims=True), aspect="auto", cmap="magma",
                    extent=(pdf.grid[0], pdf.grid[-1], 0, len(test)))
left.plot(test.redshift[order], np.arange(len(test)) + 0.5, color="cyan", lw=1, label="true redshift")
left.set(xlim=(0, 0.35), xlabel="redshift", ylabel="galaxies, by true redshift",
         title=f"NMAD {metrics['nmad']:.4f}, {len(test)} galaxies")
left.legend(loc="lower right", labelcolor="white")
figure.colorbar(image, ax=left, label="density over its peak")
pit = pdf.pit(test.redshift)
right.hist(pit, bins=np.linspace(0, 1, 13), color="tab:purple", alpha=0.8)
right.axhline(len(test) / 12, color="black", ls=":")
right.set(xlabel="probability integral transform", ylabel="galaxies", title="calibration")
plt.show()
