"""
How sure a translation is of each pixel
=======================================

A translated image carries a standard deviation for each pixel, learned on the training pairs: how far the translation
is from an image without noise. It is small on the sky and large where the galaxy has structure below the seeing of
SDSS.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

pairs = simulate_pairs(19, input_survey="SDSS", target_survey="CFHTLS", seed=2, truth=True, input_size=32)
translate = load("sdss-to-cfhtls")
cube, truth = translate(pairs[18].input), pairs.target_truth[18]
band = cube.bands.index("r")
flux, sigma = cube.data[band], cube.uncertainty.array[band]

# %%
# The axes are on the sky: the WCS of the translation is that of the target's pixels, at the same place.

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
# Were the errors Gaussian and the uncertainty exact, 68 % of the pixels would be within one standard deviation. As far
# from the galaxy as the stamps of the training reach, 16 pixels of SDSS or 6.3 arcsec, it comes near that, whatever the
# size of the stamp. Beyond it does not: the errors on the sky are small there, but larger than stated.

for size in (32, 64):
    others = simulate_pairs(40, input_survey="SDSS", target_survey="CFHTLS", seed=6, truth=True, input_size=size)
    flux, sigma = translate.translate_array(others.input_flux, return_uncertainty=True)
    right = np.abs(flux - others.target_truth) < sigma
    place = (np.arange(flux.shape[-1]) - (flux.shape[-1] - 1) / 2) * others.target_survey.pixel_scale.value
    radius = np.hypot(place[:, None], place)
    for where, chosen in (("within", radius < 6.3), ("beyond", radius >= 6.3)):
        shares = right[..., chosen].mean(axis=(0, 2))
        shares = [f"{name} {share:.0%}" for name, share in zip(cube.bands, shares)]
        print(f"{size} pixels, {where} 6.3 arcsec:", *shares)

# %%
# Errors of neighbouring pixels go together: the error of a sum over pixels is larger than this map says for
# independent ones.
