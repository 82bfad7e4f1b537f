"""
One galaxy, six surveys
=======================

A seed gives the same galaxies in any survey. The figure shows one simulated spiral with the pixels, filters, seeing and
noise of six built-in surveys. You can add your own survey (:ref:`add-a-survey`).
"""

import matplotlib.pyplot as plt
import numpy as np
from astropy.visualization import make_lupton_rgb

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.surveys import available_surveys, get_survey

names = ["SDSS", "Pan-STARRS", "DES", "CFHTLS", "HSC", "Euclid VIS"]
set(names) <= set(available_surveys())

# %%
# Stamps are 14 arcsec wide in all surveys. Euclid VIS has one broad band and gives a gray image.

figure, axes = plt.subplots(2, 3, figsize=(9, 6.6))
for ax, name in zip(axes.flat, names):
    survey = get_survey(name)
    size = round(14 / survey.pixel_scale.to_value("arcsec"))
    # A smooth galaxy that is alone in its image.
    cube = simulate_pairs(
        6, input_survey=survey, target_survey="SDSS", seed=2, input_size=size, galaxies="templates",
        sky="plain")[5].input
    flux = cube.to_unit("uJy").data / cube.pixel_scale.to_value("arcsec")**2
    if len(cube.bands) == 1:
        image = make_lupton_rgb(flux[0], flux[0], flux[0], stretch=5, Q=8)
    else:
        g, r, i = (flux[cube.bands.index(band)] for band in "gri")
        image = make_lupton_rgb(0.75 * i, r, 1.6 * g, stretch=5, Q=8)
    ax.imshow(image)
    ax.set(xticks=[], yticks=[], title=name)
    seeing = np.median([band.psf_fwhm.to_value("arcsec") for band in survey])
    pixel = survey.pixel_scale.to_value("arcsec")
    ax.text(0.03, 0.03, f'{size} x {size} pixels of {pixel:.2f}"\nseeing {seeing:.2f}"', color="white", fontsize=9,
            transform=ax.transAxes)
plt.show()
