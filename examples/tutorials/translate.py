"""
Translate a galaxy of your own FITS files
=========================================

From the FITS files of SDSS, one a band, to a FITS file of the same galaxy as CFHTLS would see it.
"""

# %%
# The files
# ---------
#
# Five images of a piece of sky, with a WCS and a unit. To have some without a download they are simulated here; with
# files of your own, skip this. SDSS corrected frames (``frame-r-003918-3-0213.fits.bz2``) are known by their headers,
# and need neither a unit nor a survey.

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from astropy.io import fits

from astro_galtrans.images import read_cube
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load

folder = TemporaryDirectory()
paths = {}
galaxy = simulate_pairs(25, seed=2)[24].input
for band in "ugriz":
    header = galaxy.wcs.to_header()
    header["BUNIT"] = "nanomaggy"
    paths[band] = Path(folder.name) / f"galaxy-{band}.fits"
    fits.writeto(paths[band], galaxy[band].data, header)

# %%
# Read
# ----
#
# A dict of band and path says which file is which; ``survey`` says what a pixel and a unit are.

sdss = read_cube(paths, survey="SDSS")
sdss

# %%
# It is a `~astro_galtrans.images.BandCube`: a `~astropy.nddata.NDData` of shape (band, y, x) with one WCS. A band is
# taken by its name, a piece of sky by its position. Put the galaxy in the middle: translators are trained on images
# whose galaxy is there.

position = galaxy.wcs.pixel_to_world(31.5, 31.5)  # or SkyCoord(229.6456, 42.7695, unit="deg")
sdss = sdss.cutout(position, size=64)
sdss.shape, sdss.unit, sdss["r"].wcs.world_to_pixel(position)

# %%
# Translate
# ---------
#
# The shipped translator is loaded by its name, one of yours by its path.

translator = load("sdss-to-cfhtls")
cfhtls = translator(sdss)
cfhtls

# %%
# The result is on the pixels and in the unit of CFHTLS, at the same place on the sky, and carries an uncertainty, a
# mask and what it was made with:

print(cfhtls.uncertainty.uncertainty_type, cfhtls.mask is None or int(cfhtls.mask.sum()))
print(cfhtls.wcs.pixel_to_world(67.5, 67.5).separation(position).to("arcsec"))
for key in ("translator", "hash", "objective", "input_survey"):
    print(key, "=", cfhtls.meta["galtrans"][key])

# %%
# Look
# ----
#
# Both are images with a WCS, so that everything that astropy draws, it draws.

figure = plt.figure(figsize=(9, 4.2))
for k, (cube, title) in enumerate(((sdss, "SDSS"), (cfhtls, "translated to CFHTLS"))):
    image = cube.to_unit("uJy")["r"]
    ax = figure.add_subplot(1, 2, k + 1, projection=image.wcs)
    surface = image.data / cube.pixel_scale.to_value("arcsec")**2
    shown = ax.imshow(np.arcsinh(surface), vmin=-1, vmax=5)
    ax.set(title=title, xlabel="right ascension", ylabel="declination" if k == 0 else " ")
figure.colorbar(shown, ax=figure.axes, shrink=0.8, label=r"arcsinh of r ($\mu$Jy arcsec$^{-2}$)")
plt.show()

# %%
# Write
# -----
#
# One FITS file, with the flux, the standard deviation and the mask in extensions. ``read_cube`` reads it again.

cfhtls.write(Path(folder.name) / "galaxy-as-cfhtls.fits")
fits.info(Path(folder.name) / "galaxy-as-cfhtls.fits")

# %%
# On the command line the same is
#
# .. code-block:: console
#
#    $ galtrans translate sdss-to-cfhtls my_galaxy.fits --out translated
#
# for cubes that ``write`` has made, and ``galtrans translate sdss-to-cfhtls --frames FOLDER --detect --out field``
# for every galaxy in the frames of a field (:ref:`real-field`).
#
# May you believe it?
# -------------------
#
# Not as a measurement. The translator was trained on simulated galaxies, and its card says how accurate it was on them
# and where it is not to be trusted; :ref:`trust` says how to find out for your own data.

print("\n".join(translator.provenance["card"].split("**Limitations**")[1].strip().splitlines()[:4]))
folder.cleanup()
