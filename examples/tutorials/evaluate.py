"""
Evaluate a translator
=====================

Measure how well a translation keeps colors, shapes and redshifts. `~astro_galtrans.evaluation.evaluate` does this with
galaxies that the translator has not seen, and writes one HTML report. Here the galaxies are simulated.
"""

# %%
# Test galaxies, and galaxies to train the estimator on
# -----------------------------------------------------
#
# Redshift preservation is measured with a redshift estimator that is trained on images. ``train`` contains pairs with
# redshifts for this training; ``test`` contains pairs that nothing was trained on. Two seeds of the simulation share no
# galaxy. With ``truth=True`` images are compared with the noiseless target images.

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt

from astro_galtrans.evaluation import evaluate
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

# Smooth galaxies that are alone, like those of the training of the shipped translator.
train = simulate_pairs(
    400, input_survey="SDSS", target_survey="CFHTLS", seed=21, input_size=32, galaxies="templates", sky="plain")
test = simulate_pairs(
    150, input_survey="SDSS", target_survey="CFHTLS", seed=22, input_size=32, truth=True, galaxies="templates",
    sky="plain")

# %%
# Evaluate
# --------
#
# Several translators are given as a dict; the first is the reference for the others. This estimator is trained for
# seconds on few galaxies. For reliable numbers use thousands of galaxies and the default options.

evaluation = evaluate(
    load("sdss-to-cfhtls"), test, training=train, estimator_options={"epochs": 8}, n_bootstrap=200, seed=0)
list(evaluation.tables)

# %%
# Redshifts
# ---------
#
# "real target" and "real input" are the images before translation: the ceiling, and the information that can be
# preserved. "transfer" is the estimator of the real target images on translated images; "retrained" is trained on
# translated images. The intervals are from a bootstrap of the galaxies.

redshift = evaluation.tables["redshift"]
redshift["images", "nmad", "nmad_low", "nmad_high", "outlier_005"]

# %%
# The NMAD is that of (z_phot - z_spec) / (1 + z_spec); smaller is better. If real target and real input are close to
# each other, as after such a short training, the estimator is the limit and differences between translators do not
# show. Train it on more galaxies and for more epochs.

figure, ax = plt.subplots(figsize=(7, 2.8))
place = range(len(redshift))
low, high = redshift["nmad"] - redshift["nmad_low"], redshift["nmad_high"] - redshift["nmad"]
ax.errorbar(redshift["nmad"], place, xerr=[low, high], fmt="o", color="tab:purple", capsize=3)
ax.set(yticks=place, yticklabels=redshift["images"], xlabel="NMAD and its 95 % interval", xlim=(0, None))
ax.invert_yaxis()
plt.show()

# %%
# Colors
# ------
#
# Bias is the median of translated minus true, scatter a normalized median absolute deviation, in magnitudes. The
# resampled input is the SDSS image on the target pixels, without a network.

evaluation.tables["colors"]

# %%
# The report
# ----------
#
# It has every table and figure, and examples with residuals, in one self-contained file.

with TemporaryDirectory() as folder:
    evaluation.write_report(Path(folder) / "report.html", title="SDSS to CFHTLS")
    print(f"{(Path(folder) / 'report.html').stat().st_size / 1e6:.1f} MB")

# %%
# On the command line:
#
# .. code-block:: console
#
#    $ galtrans evaluate sdss-to-cfhtls mine.asdf test.zarr --training train.zarr --out report.html
#
# :ref:`figures` explains the figures, :ref:`trust` their limits.
