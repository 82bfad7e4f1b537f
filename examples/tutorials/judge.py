"""
Judge a translator
==================

What does a translation keep of colours, shapes and redshifts? `~astro_galtrans.evaluation.evaluate` asks this of
galaxies that the translator has not seen, and writes one HTML report.
"""

# %%
# Test galaxies, and galaxies to train the estimator on
# -----------------------------------------------------
#
# Redshift preservation is measured with an estimator of redshifts that is trained on images. ``train`` are the pairs
# that serve for this, with redshifts; ``test`` are pairs that nobody was trained on. Two seeds of the simulation have
# no galaxy in common. With ``truth=True`` images are compared with what they would be without noise.

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt

from astro_galtrans.evaluation import evaluate
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

train = simulate_pairs(400, input_survey="SDSS", target_survey="CFHTLS", seed=21, input_size=32)
test = simulate_pairs(150, input_survey="SDSS", target_survey="CFHTLS", seed=22, input_size=32, truth=True)

# %%
# Judge
# -----
#
# Any number of translators goes in as a dict; the first is the one that the others are compared with. This estimator is
# trained for seconds, on few galaxies: figures to lean on need thousands, and the default options.

evaluation = evaluate(
    load("sdss-to-cfhtls"), test, training=train, estimator_options={"epochs": 8}, n_bootstrap=200, seed=0)
list(evaluation.tables)

# %%
# Redshifts
# ---------
#
# "real target" and "real input" are the images before any translation: the ceiling, and what there is to preserve.
# "transfer" is the estimator of the real target images reading translated ones; "retrained" has learned on translated
# images. The intervals are of a bootstrap over the galaxies.

redshift = evaluation.tables["redshift"]
redshift["images", "nmad", "nmad_low", "nmad_high", "outlier_005"]

# %%
# The NMAD is that of (z_phot - z_spec) / (1 + z_spec); smaller is better. Where real target and real input are close to
# each other, as after such a short training, the estimator is the limit and not the images: differences between
# translators cannot show. More galaxies and more epochs part them.

figure, ax = plt.subplots(figsize=(7, 2.8))
place = range(len(redshift))
low, high = redshift["nmad"] - redshift["nmad_low"], redshift["nmad_high"] - redshift["nmad"]
ax.errorbar(redshift["nmad"], place, xerr=[low, high], fmt="o", color="tab:purple", capsize=3)
ax.set(yticks=place, yticklabels=redshift["images"], xlabel="NMAD and its 95 % interval", xlim=(0, None))
ax.invert_yaxis()
plt.show()

# %%
# Colours
# -------
#
# Bias is the median of translated minus true, scatter a normalised median absolute deviation, in magnitudes. The
# resampled input is the SDSS image put on the other pixels, without a network.

evaluation.tables["colors"]

# %%
# The report
# ----------
#
# It has every table and figure, and examples with residuals, in one file that needs nothing else.

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
# What the figures mean, and what they cannot tell: :ref:`figures` and :ref:`trust`.
