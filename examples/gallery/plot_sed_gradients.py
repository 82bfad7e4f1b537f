"""
SED gradients of a galaxy
=========================

The gradient objectives use gradients of the logarithm of the flux, along x, along y, and across the bands. The
gradients along x and y describe the light profile, independent of the brightness. The gradient across bands is the
color.
"""

import matplotlib.pyplot as plt

import numpy as np

from astro_galtrans.gradients import match_psf, sed_gradients
from astro_galtrans.simulation import simulate_pairs

# A smooth galaxy that is alone in its image.
galaxy = simulate_pairs(
    14, input_survey="SDSS", target_survey="CFHTLS", seed=2, galaxies="templates", sky="plain")[13].target
gradients = sed_gradients(match_psf(galaxy))  # otherwise the seeing changes the colors
gradients

# %%
# Pixels fade with the signal-to-noise in r. On the sky the gradients are noise, and the softened logarithm keeps them
# finite. Knots are visible in all three maps; the disk is bluer than the bulge.

band, edge = galaxy.bands.index("r"), galaxy.bands.index("g")
maps = (
    (gradients.x.data[band], r"$\partial \ln f_r / \partial x$  (arcsec$^{-1}$)", "RdBu_r", (-1.5, 1.5)),
    (gradients.y.data[band], r"$\partial \ln f_r / \partial y$  (arcsec$^{-1}$)", "RdBu_r", (-1.5, 1.5)),
    (gradients.passband.data[edge], r"d ln $f_\nu$ / d ln $\lambda$  from g to r", "Spectral_r", (0, 3.5)),
)
clear = np.clip(galaxy.data[band] * np.sqrt(galaxy.uncertainty.array[band]) / 8, 0, 1)  # an inverse variance
half = galaxy.shape[1] * galaxy.pixel_scale.to_value("arcsec") / 2
figure, axes = plt.subplots(1, 3, figsize=(11, 3.9))
for ax, (image, title, cmap, limits) in zip(axes, maps):
    shown = ax.imshow(image, cmap=cmap, clim=limits, extent=(-half, half, -half, half),
                      alpha=clear[:image.shape[0], :image.shape[1]])
    figure.colorbar(plt.cm.ScalarMappable(shown.norm, cmap), ax=ax, shrink=0.8, extend="both")
    ax.set(title=title, xlabel="x (arcsec)", facecolor="0.93")
axes[0].set_ylabel("y (arcsec)")
plt.show()
