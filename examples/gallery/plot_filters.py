"""
Filters of the built-in surveys
===============================

A survey has the curves of its passbands. Simulated galaxies are observed through these curves. A translator must learn
their differences: no two g bands are the same.
"""

import matplotlib.pyplot as plt

from astro_galtrans.surveys import get_survey

names = ["SDSS", "CFHTLS", "Pan-STARRS", "DES", "HSC", "Euclid VIS"]
cmap = plt.get_cmap("turbo")

figure, axes = plt.subplots(len(names), 1, figsize=(8.5, 8), sharex=True)
for ax, name in zip(axes, names):
    for band in get_survey(name):
        wavelength = band.wavelength.to_value("nm")
        middle = band.effective_wavelength.to_value("nm")
        color = cmap((middle - 330) / 750)
        ax.fill_between(wavelength, band.response / band.response.max(), color=color, alpha=0.45, lw=0)
        ax.plot(wavelength, band.response / band.response.max(), color=color, lw=1)
        ax.text(middle, 1.05, band.name, ha="center", color=color)
    ax.set(ylim=(0, 1.3), yticks=[0, 1])
    ax.set_title(name, loc="right", y=0.72, fontsize=10)
axes[-1].set(xlabel="wavelength (nm)", xlim=(300, 1120))
figure.supylabel("photon response, relative to its peak", fontsize=10)
plt.show()
