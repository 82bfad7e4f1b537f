"""
Translate a galaxy from your FITS files
=======================================

From the SDSS FITS files of a galaxy, one per band, to a FITS file of the same galaxy as CFHTLS would see it.
"""

# %%
# The files
# ---------
#
# Five images of the same part of the sky, with a WCS and a unit. They are simulated here to avoid a download; with your
# own files, skip this. SDSS corrected frames (``frame-r-003918-3-0213.fits.bz2``) are recognized by their headers and
# need neither a unit nor a survey.

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
# Smooth galaxies that are alone, like those of the training of the shipped translator.
galaxy = simulate_pairs(25, seed=2, galaxies="templates", sky="plain")[24].input
for band in "ugriz":
    header = galaxy.wcs.to_header()
    header["BUNIT"] = "nanomaggy"
    paths[band] = Path(folder.name) / f"galaxy-{band}.fits"
    fits.writeto(paths[band], galaxy[band].data, header)

# %%
# Read
# ----
#
# The dict gives the file of each band; ``survey`` defines pixels and units.

sdss = read_cube(paths, survey="SDSS")
sdss

# %%
# The result is a `~astro_galtrans.images.BandCube`: a `~astropy.nddata.NDData` of shape (band, y, x) with one WCS.
# Select bands by name and cutouts by position. Center the cutout on the galaxy: translators are trained on such images.

position = galaxy.wcs.pixel_to_world(31.5, 31.5)  # or SkyCoord(229.6456, 42.7695, unit="deg")
sdss = sdss.cutout(position, size=64)
sdss.shape, sdss.unit, sdss["r"].wcs.world_to_pixel(position)

# %%
# Translate
# ---------
#
# Load the shipped translator by its name, your own by its path.

translator = load("sdss-to-cfhtls")
cfhtls = translator(sdss)
cfhtls

# %%
# The result has the pixels and the unit of CFHTLS at the same position on the sky, with an uncertainty, a mask and the
# provenance:

print(cfhtls.uncertainty.uncertainty_type, cfhtls.mask is None or int(cfhtls.mask.sum()))
print(cfhtls.wcs.pixel_to_world(67.5, 67.5).separation(position).to("arcsec"))
for key in ("translator", "hash", "objective", "input_survey"):
    print(key, "=", cfhtls.meta["galtrans"][key])

# %%
# Plot
# ----
#
# Both are images with a WCS, ready for plotting with astropy.

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
# One FITS file has the flux, the standard deviation and the mask in extensions. ``read_cube`` reads it again.

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
# Can you trust it?
# -----------------
#
# Not as a measurement. The translator was trained on simulated galaxies. Its model card states how accurate it is for
# them and where not to trust it; :ref:`trust` explains how to check it for your data.

print("\n".join(translator.provenance["card"].split("**Limitations**")[1].strip().splitlines()[:4]))
folder.cleanup()
