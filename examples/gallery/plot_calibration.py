"""
Calibrate densities that are too narrow
=======================================

Redshift densities from any code can be evaluated and calibrated. These densities are simulated: Gaussians whose stated
widths are two thirds of the true ones. `~astro_galtrans.photoz.PITCalibration` learns the correction on one half of the
galaxies and is evaluated on the other.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.photoz import PITCalibration, RedshiftPDF, distribution_metrics

rng = np.random.default_rng(3)
z_spec = rng.uniform(0.1, 0.9, 4000)
width = 0.03 * (1 + z_spec)
center = z_spec + width * rng.normal(size=z_spec.size)
grid = np.linspace(-0.3, 1.6, 381)
half = slice(0, 2000), slice(2000, 4000)
fitted, tested = (
    RedshiftPDF.from_gaussian_mixture(grid, [[1.0]], center[part, None], width[part, None] * 2 / 3) for part in half
)
calibration = PITCalibration.fit(fitted, z_spec[half[0]])
calibrated = calibration(tested)

# %%
# The probability integral transform before and after the calibration.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.9), sharey=True)
for ax, pdf, title, color in zip(axes, (tested, calibrated), ("as stated", "calibrated"), ("tab:orange", "tab:green")):
    scores = distribution_metrics(pdf, z_spec[half[1]])
    ax.hist(pdf.pit(z_spec[half[1]]), bins=np.linspace(0, 1, 21), color=color, alpha=0.85)
    ax.axhline(2000 / 20, color="black", ls=":", label="perfect")
    ax.set(title=f"{title}: CRPS {scores['crps']:.4f}, {scores['coverage_68']:.0%} within 68 %",
           xlabel="probability integral transform")
axes[0].set_ylabel("galaxies")
axes[0].legend()
plt.show()
