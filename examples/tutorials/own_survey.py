"""
Add your own survey
===================

A few lines of YAML describe a survey: filters, pixels, seeing and depth. With these you can simulate galaxies as it
would see them, train a translator to it, and get images in its unit and on its pixels.
"""

# %%
# Describe it
# -----------
#
# Two bands of an imaginary camera: one with a built-in curve, one with a curve in a file of two columns.

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.surveys import get_survey, register_survey
from astro_galtrans.training import TrainConfig, fit

folder = TemporaryDirectory()
here = Path(folder.name)
(here / "r.dat").write_text("# wavelength in Angstrom, response\n5600 0\n5800 0.7\n6700 0.6\n6900 0\n")
(here / "mycamera.yaml").write_text("""\
description: Twenty nights with my camera
# All other keys are required; zero_point, gain and psf_fwhm here or in each band.
name: MyCamera
pixel_scale: 0.25 arcsec
unit: adu
zero_point: 27          # AB magnitude of one adu
gain: 3                 # electrons in one adu
psf_fwhm: 0.8 arcsec
bands:
  - name: g
    curve: {speclite: decam2014-g}
    depth: 25.1         # 5 sigma, point source; or sky_noise
  - name: r
    curve: r.dat
    depth: 24.8
""")
survey = register_survey(here / "mycamera.yaml")
survey.band_names, survey.pixel_scale, survey.sky_noise.round(2)

# %%
# :ref:`add-a-survey` lists all keys and defines the depth. Check the curves first:

figure, ax = plt.subplots(figsize=(6.5, 3))
for name, color in (("SDSS", "0.6"), ("MyCamera", "tab:blue")):
    for band in get_survey(name).select("gr"):
        ax.plot(band.wavelength.to_value("nm"), band.response / band.response.max(), color=color,
                label=f"{name} {band.name}")
ax.set(xlabel="wavelength (nm)", ylabel="response over its peak", xlim=(350, 750))
ax.legend(loc="upper right")
plt.show()

# %%
# Simulate and train
# ------------------
#
# The name of the survey, or the path of its file, is now enough. The numbers are small so that this takes seconds.

pairs = simulate_pairs(200, input_survey="SDSS", target_survey="MyCamera", seed=31, input_size=32)
pairs

# %%
train, valid, test = pairs.split((0.8, 0.1, 0.1), seed=0)
config = TrainConfig(objective="gradient", epochs=3, batch_size=16, seed=0,
                     backbone_options={"widths": [12, 24], "n_features": 8})
translator = fit(train, config, validation=valid).translator
translator

# %%
# Translate
# ---------

pair = test[0]
made = translator(pair.input)
print(made)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for ax, cube, title in zip(axes, (pair.input, made, pair.target), ("SDSS", "translated", "MyCamera")):
    surface = cube.to_unit("uJy")["r"].data / cube.pixel_scale.to_value("arcsec")**2
    ax.imshow(np.arcsinh(surface), vmin=-1, vmax=4)
    ax.set(title=f"{title}, {cube.shape[1]} pixels", xticks=[], yticks=[])
plt.show()

# %%
# Five bands of SDSS went in and two of MyCamera came out: the surveys need not have the same bands. The quality is that
# of a training of seconds. ``survey.write("mycamera.asdf")`` writes description and curves into one file, and a
# translator stores its surveys in its own file.

folder.cleanup()
