import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS

from astro_galtrans.images import BandCube


@pytest.fixture(scope="session")
def make_wcs():
    def make(shape=(64, 64), scale=0.396, angle=0.0, offset=(0.0, 0.0), crval=(150.0, 2.0)):
        """A TAN WCS with its reference in the middle of the image, moved by ``offset`` (x, y) pixels."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = crval
        wcs.wcs.crpix = [(shape[1] + 1) / 2 + offset[0], (shape[0] + 1) / 2 + offset[1]]
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        wcs.wcs.cd = scale / 3600 * np.array([[-cos, sin], [sin, cos]])
        wcs.wcs.set()
        return wcs
    return make


@pytest.fixture
def sdss_cube(make_wcs):
    rng = np.random.default_rng(5)
    shape = (5, 64, 64)
    mask = np.zeros(shape, dtype=bool)
    mask[1, 10, 12] = True
    psf = rng.random((5, 9, 9)).astype(np.float32)
    return BandCube(
        rng.normal(size=shape).astype(np.float32), unit="nmgy", wcs=make_wcs(), bands="ugriz", survey="SDSS", mask=mask,
        uncertainty=StdDevUncertainty(rng.uniform(0.05, 0.2, shape).astype(np.float32)), psf=psf,
        meta={"object": "galaxy", "galtrans": {"seed": 3, "history": ["a", "b"]}})


@pytest.fixture(scope="session")
def write_frame(make_wcs):
    """A small file with the layout of an SDSS corrected frame, with sky and noise that are known."""
    def write(path, band, *, shape=(120, 150), offset=(0.0, 0.0), stars=(), seed=0, run=3918, camcol=3):
        rng = np.random.default_rng(seed)
        calibration = np.linspace(0.0050, 0.0052, shape[1]).astype(np.float32)
        sky = 150 + 20 * np.linspace(0, 1, shape[0])[:, np.newaxis] + np.zeros(shape)
        gain = 4.72
        wcs = make_wcs(shape, offset=offset)
        y, x = np.indices(shape)
        flux = np.zeros(shape)
        for ra, dec, total in stars:
            x0, y0 = wcs.wcs_world2pix(ra, dec, 0)
            flux += total / (2 * np.pi * 1.6**2) * np.exp(-((x - x0)**2 + (y - y0)**2) / (2 * 1.6**2))
        counts = rng.normal(flux / calibration + sky, np.sqrt((flux / calibration + sky) / gain + 1.3225))
        header = wcs.to_header()
        header.update(
            {"RUN": run, "CAMCOL": camcol, "FRAME": 213, "FILTER": band, "BUNIT": "nanomaggy", "NMGY": 0.0051})
        columns = [
            fits.Column("ALLSKY", "300E", dim="(20, 15)",
                        array=(150 + 20 * np.linspace(0, 1, 15)[:, np.newaxis] + np.zeros((15, 20)))[np.newaxis]),
            fits.Column("XINTERP", f"{shape[1]}E", array=np.linspace(0, 19, shape[1])[np.newaxis]),
            fits.Column("YINTERP", f"{shape[0]}E", array=np.linspace(0, 14, shape[0])[np.newaxis])]
        fits.HDUList([
            fits.PrimaryHDU(((counts - sky) * calibration).astype(np.float32), header=header),
            fits.ImageHDU(calibration), fits.BinTableHDU.from_columns(columns)]).writeto(path)
        return path
    return write


@pytest.fixture(scope="session")
def real_data():
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GALTRANS_REAL_DATA does not name the folder of real survey data")
    return Path(folder)
