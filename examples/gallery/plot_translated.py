"""
Translate SDSS galaxies to CFHTLS
=================================

Four simulated galaxies: the SDSS image, its translation with the shipped translator, and the CFHTLS image of the same
galaxy. Each column has one stretch in surface brightness, so differences are in the images and not in the display.
"""

import matplotlib.pyplot as plt
import numpy as np
from astropy.visualization import make_lupton_rgb

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
pairs = simulate_pairs(60, input_survey="SDSS", target_survey="CFHTLS", seed=2, galaxies="templates", sky="plain")
translate = load("sdss-to-cfhtls")


def planes(cube):
    """Return the surface brightness in i, r and g in microjansky per square arcsecond."""
    g, r, i = cube.select_bands("gri").to_unit("uJy").data / cube.pixel_scale.to_value("arcsec")**2
    return 0.75 * i, r, 1.6 * g


# %%
# A pair is an input image and a target image, each a cube of bands with unit, WCS and noise. The translator takes the
# input image and returns an image like the target image.

figure, axes = plt.subplots(3, 4, figsize=(8, 6.5))
for column, which in zip(axes.T, (11, 24, 18, 57)):
    pair = pairs[which]
    cubes = pair.input, translate(pair.input), pair.target
    stretch = 0.15 * np.percentile(planes(pair.target)[1], 99.8)
    for ax, cube in zip(column, cubes):
        half = cube.shape[1] * cube.pixel_scale.to_value("arcsec") / 2
        ax.imshow(make_lupton_rgb(*planes(cube), stretch=stretch, Q=8), extent=(-half, half, -half, half))
        ax.set(xticks=[], yticks=[])
    column[0].set_title(f"z = {pair.redshift:.2f}\nr = {pairs.catalog['r_mag'][which]:.1f}", fontsize=14)
axes[0, 0].plot([-11, -6], [-11, -11], color="white")
axes[0, 0].text(-8.5, -10.5, '5"', color="white", ha="center", fontsize=14)
for ax, name in zip(axes[:, 0], ("SDSS", "translation", "CFHTLS")):
    ax.set_ylabel(name, fontsize=15)
plt.show()

# %%
# The translation is sharper than the SDSS image and almost noiseless: it is the most likely CFHTLS image. It has no
# knots below the seeing of SDSS, since the SDSS image does not show them.
