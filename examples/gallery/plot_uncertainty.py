"""
Uncertainty of each pixel
=========================

A translated image has a standard deviation for each pixel, learned on the training pairs: the expected difference from
a noiseless image. It is small on the sky, and large where the galaxy has structure below the seeing of SDSS.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
pairs = simulate_pairs(
    19, input_survey="SDSS", target_survey="CFHTLS", seed=2, truth=True, input_size=32, galaxies="templates",
    sky="plain")
translate = load("sdss-to-cfhtls")
cube, truth = translate(pairs[18].input), pairs.target_truth[18]
band = cube.bands.index("r")
flux, sigma = cube.data[band], cube.uncertainty.array[band]

# %%
# The axes are sky coordinates: the WCS of the translation has the target's pixels at the same position.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.7), subplot_kw={"projection": cube.wcs})
panels = (
    (np.arcsinh(flux / 20), "magma", "translated flux in r", "arcsinh(flux / 20 adu)", None, None),
    (np.log10(sigma), "viridis", "its standard deviation", "log$_{10}$ (adu)", None, None),
    (np.abs(flux - truth[band]) / sigma, "cividis", "|error| / standard deviation", "", 0, 4),
)
for ax, (image, cmap, title, label, low, high) in zip(axes, panels):
    shown = ax.imshow(image, cmap=cmap, vmin=low, vmax=high)
    figure.colorbar(shown, ax=ax, label=label, shrink=0.85)
    ax.set_title(title)
    for axis in ax.coords:
        axis.set_ticks_visible(False)
        axis.set_ticklabel_visible(False)
        axis.set_axislabel("")
plt.show()

# %%
# With Gaussian errors and an exact uncertainty, 68 % of the pixels are within one standard deviation. The fraction is
# close to it within the size of the training stamps (16 SDSS pixels or 6.3 arcsec from the center), for any stamp size.
# Farther out the errors on the sky are small, but larger than stated.

for size in (32, 64):
    others = simulate_pairs(
        40, input_survey="SDSS", target_survey="CFHTLS", seed=6, truth=True, input_size=size, galaxies="templates",
        sky="plain")
    flux, sigma = translate.translate_array_with_uncertainty(others.input_flux)
    right = np.abs(flux - others.target_truth) < sigma
    place = (np.arange(flux.shape[-1]) - (flux.shape[-1] - 1) / 2) * others.target_survey.pixel_scale.value
    radius = np.hypot(place[:, None], place)
    for where, chosen in (("within", radius < 6.3), ("beyond", radius >= 6.3)):
        shares = right[..., chosen].mean(axis=(0, 2))
        shares = [f"{name} {share:.0%}" for name, share in zip(cube.bands, shares)]
        print(f"{size} pixels, {where} 6.3 arcsec:", *shares)

# %%
# Errors of neighboring pixels are correlated: the error of a sum over pixels is larger than for independent pixels with
# this uncertainty.
