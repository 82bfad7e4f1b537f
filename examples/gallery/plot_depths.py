"""
Degrade a deep image
====================

`~astro_galtrans.simulation.degrade` converts a deep image to the PSF, pixels and noise of a shallower survey. Here a
simulated CFHTLS image becomes an SDSS image, and one with a tenth and a hundredth of the SDSS exposure. Real deep
images make :ref:`semi-real pairs <semi_real>` in this way.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.simulation import degrade, simulate_pairs
from astro_galtrans.surveys import Survey, get_survey

# A smooth galaxy that is alone in its image.
deep = simulate_pairs(
    53, input_survey="SDSS", target_survey="CFHTLS", seed=2, galaxies="templates", sky="plain")[52].target
sdss = get_survey("SDSS")


def shallower(name, share):
    """Return SDSS with a fraction of its exposure: more sky noise, fewer electrons per nanomaggy."""
    bands = tuple(replace(band, sky_noise=band.sky_noise / np.sqrt(share), gain=band.gain * share) for band in sdss)
    return Survey(name, bands, sdss.pixel_scale, sdss.unit, f"SDSS with {share} of the exposure")


# %%
# All images have the same stretch in surface brightness.

images = {"CFHTLS": deep, "SDSS": degrade(deep, sdss, seed=1)}
for share in (0.1, 0.01):
    images[f"SDSS, {share:g} of the exposure"] = degrade(deep, shallower(f"SDSS {share:g}", share), seed=1)
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4))
for ax, (name, cube) in zip(axes, images.items()):
    surface = cube.to_unit("uJy")["r"].data / cube.pixel_scale.to_value("arcsec")**2
    shown = ax.imshow(np.arcsinh(surface / 1.0), vmin=-1, vmax=4)
    ax.set(title=name, xticks=[], yticks=[])
bar = figure.colorbar(shown, ax=axes, shrink=0.9, label=r"r ($\mu$Jy arcsec$^{-2}$)")
levels = np.array([0, 1, 3, 10, 25])
bar.set_ticks(np.arcsinh(levels), labels=levels)
plt.show()
