"""
Real and simulated galaxies
===========================

Measured on stamps, simulated galaxies should be distributed like real ones. The figure compares six quantities in four
surveys; the comparison of all features is on the page on :ref:`simulated pairs <simulation>`.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from astropy.table import Table

# Percentiles of both samples, written by benchmarks/realism.py.
place = Path("benchmarks", "results", "realism", "distributions.ecsv")
table = Table.read(next(folder / place for folder in [Path.cwd(), *Path.cwd().parents] if (folder / place).exists()))
table = table[table["label"] == "realistic"]

# %%
# Thin lines have 90 % of the galaxies, thick lines half of them, and points are medians. Real and simulated galaxies
# have the same magnitudes. The noise correlation is that of adjacent pixels along x in g. The last quantity is the
# fraction of pixels far from the galaxy that are brighter than five times the noise.

quantities = {
    "g - r": "g - r (mag)", "half-light radius": "half-light radius (arcsec)", "concentration": "concentration",
    "ellipticity": "ellipticity", "noise correlation": "noise correlation",
    "fraction above 5 sigma": "fraction above 5 sigma",
}
colors = {"real": "black", "simulated": "tab:orange"}
surveys = list(dict.fromkeys(table["survey"]))

figure, axes = plt.subplots(2, 3, figsize=(10, 5.4), sharey=True, layout="constrained")
for ax, (quantity, label) in zip(axes.flat, quantities.items()):
    for row in table[table["quantity"] == quantity]:
        y = -surveys.index(row["survey"]) + (0.14 if row["sample"] == "real" else -0.14)
        color = colors[row["sample"]]
        ax.plot([row["p5"], row["p95"]], [y, y], color=color, lw=1)
        ax.plot([row["p25"], row["p75"]], [y, y], color=color, lw=4, solid_capstyle="butt")
        ax.plot(row["p50"], y, "o", color=color, mec="white", ms=7)
    ax.set(xlabel=label, yticks=[-n for n in range(len(surveys))], yticklabels=surveys)
figure.legend([plt.Line2D([], [], color=color, lw=4) for color in colors.values()], colors, loc="outside upper right",
              ncols=2)
plt.show()
