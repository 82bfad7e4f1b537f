"""
Spectra sorted by redshift
==========================

Simulated galaxies can have a spectrum like that of an SDSS fiber. Sorted by redshift, the 4000 Angstrom break moves to
the red. A translator with ``conditioning="spectrum"`` is conditioned on such spectra (:ref:`spectra`).
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.simulation import simulate_pairs

# The types of smooth galaxies are known.
pairs = simulate_pairs(600, seed=8, input_size=16, spectra=True, galaxies="templates", sky="plain")
wavelength = pairs.spectrum_grid.wavelength.to_value("AA")
flux = np.where(pairs.spectrum_weight > 0, pairs.spectrum_flux, np.nan)
chosen = np.flatnonzero((pairs.redshift < 0.4) & np.asarray(pairs.catalog["early"], dtype=bool))
order = chosen[np.argsort(pairs.redshift[chosen])]

# %%
# Each spectrum of an early type is divided by its median.

inside = (wavelength > 3850) & (wavelength < 9150)
image = flux[order][:, inside]
image = image / np.nanmedian(image, axis=1, keepdims=True)
figure, ax = plt.subplots(figsize=(8.5, 5))
shown = ax.pcolormesh(wavelength[inside], np.arange(order.size), image, cmap="inferno", vmin=0.2, vmax=1.4)
ax.plot(4000 * (1 + pairs.redshift[order]), np.arange(order.size), color="cyan", lw=1, ls=":")
ax.text(4000 * (1 + pairs.redshift[order[-1]]), order.size + 2, "4000 Angstrom", color="teal", ha="center", fontsize=9)
ticks = np.searchsorted(pairs.redshift[order], [0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
ticks = ticks[ticks < order.size]
ax.set(xlabel="observed wavelength (Angstrom)", ylabel="redshift", xlim=(3850, 9150), ylim=(0, order.size),
       yticks=ticks, yticklabels=[f"{pairs.redshift[order[tick]]:.2f}" for tick in ticks])
figure.colorbar(shown, label=r"$f_\lambda$ over its median")
plt.show()
