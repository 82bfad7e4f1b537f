"""
Spectral energy distributions across a galaxy
=============================================

A cube of five bands is a spectrograph of five pixels at every position. `~astro_galtrans.gradients.sed_spectrum` sums
any region of it into a `specutils.Spectrum`; here the regions are rings. Relative to the whole galaxy the bulge is red
and the disk blue, in the simulated CFHTLS image and, within a few per cent, in the translation.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.gradients import sed_spectrum
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
pair = simulate_pairs(25, input_survey="SDSS", target_survey="CFHTLS", seed=2, galaxies="templates", sky="plain")[24]
translated = load("sdss-to-cfhtls")(pair.input)
edges = [0, 1, 2, 4, 8]


def rings(cube):
    """Return boolean maps of rings around the center."""
    y, x = np.indices(cube.shape[1:]) - (cube.shape[1] - 1) / 2
    radius = np.hypot(x, y) * cube.pixel_scale.to_value("arcsec")
    return [(radius >= low) & (radius < high) for low, high in zip(edges, edges[1:])]


# %%
# Flux densities are divided by those of the whole galaxy and normalized at r. The points are the CFHTLS image; most
# error bars are smaller than the points.

figure, ax = plt.subplots(figsize=(7.5, 4.6))
colors = plt.get_cmap("plasma")(np.linspace(0.05, 0.85, len(edges) - 1))
at_r = translated.bands.index("r")
whole = np.any(rings(pair.target), axis=0)
reference = sed_spectrum(pair.target, whole).flux.value
wavelength = sed_spectrum(pair.target, whole).spectral_axis.to_value("um")
for color, low, high, ring in zip(colors, edges, edges[1:], rings(translated)):
    sed, real = (sed_spectrum(cube, ring) for cube in (translated, pair.target))
    for spectrum, style in ((sed, {"ls": "-", "label": f'{low} to {high}"'}), (real, {"fmt": "o"})):
        ratio = spectrum.flux.value / reference
        if spectrum is sed:
            ax.plot(wavelength, ratio / ratio[at_r], color=color, **style)
        else:
            error = spectrum.uncertainty.array / reference / ratio[at_r]
            ax.errorbar(wavelength, ratio / ratio[at_r], error, color=color, **style)
ax.axhline(1, color="0.6", lw=0.8, zorder=0)
ax.set(xlabel="effective wavelength (micron)", ylabel=r"$f_\nu$ over that of the galaxy, 1 at r")
ax.legend(title="distance from the center\nline: translated, points: CFHTLS", ncols=2)
plt.show()
