"""Damaged cards, WCSs and tiles end in one error that names the file."""

import bz2

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import read_cube, read_sdss_mask, read_stamps


@pytest.fixture
def header():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [150, 2], [-1e-4, 1e-4]
    header = wcs.to_header()
    header.update(FILTER="r", BUNIT="nanomaggy", SURVEY="SDSS", GAIN=4.0, EXPTIME=50.0)
    return header


def write(path, header):
    fits.writeto(path, np.random.default_rng(1).normal(1, 0.1, (24, 24)).astype(np.float32), header)


def damage(path, key, card):
    content = path.read_bytes()
    start = content.index(key.ljust(8).encode() + b"=")
    path.write_bytes(content[:start] + card.ljust(80).encode() + content[start + 80:])


@pytest.mark.parametrize(("key", "card"), [
    ("GAIN", "GAIN    = 4.0 3.0"), ("FILTER", "FILTER  = 'r"), ("BUNIT", "BUNIT   = (1,"), ("CDELT1", "CDELT1  = 0"),
    ("CDELT1", "CDELT1  = 1E400"), ("CRVAL1", "CRVAL1  = 'text'"), ("CRVAL1", "CRVAL1  ="),
    ("WCSAXES", "WCSAXES = 65536"), ("WCSAXES", "WCSAXES = -1"),
    ("BITPIX", "BITPIX  = -31"), ("NAXIS1", "NAXIS1  = 1E9"),
    ("NAXIS", "NAXIS   = 999"), ("NAXIS2", "NAXIS2  = 99999999999"), ("NAXIS1", "NAXIS1  = -4"),
])
def test_damaged_cards(tmp_path, header, key, card):
    path = tmp_path / "frame.fits"
    write(path, header)
    read_cube(path)
    damage(path, key, card)
    with pytest.raises(FileFormatError, match=r"frame\.fits"):
        read_cube(path)


@pytest.mark.parametrize(("key", "value", "reason"), [
    ("ZNAXIS1", 10**9, "tiles"), ("ZNAXIS2", 10**12, "tiles"), ("ZTILE1", 0, "tiles of"), ("ZTILE2", -3, "tiles of"),
    ("ZTILE1", 1, "tiles"), ("ZNAXIS", 9, "ZNAXIS3"),
])
def test_sizes_of_compressed_images(tmp_path, header, key, value, reason):
    path, flux = tmp_path / "frame.fits", np.random.default_rng(1).integers(1, 99, (24, 24)).astype(np.int32)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(flux, header, tile_shape=(8, 8))]).writeto(path)
    read_cube(path)
    damage(path, key, f"{key:8}= {value}")
    with pytest.raises(FileFormatError, match=rf"frame\.fits.*{reason}"):
        read_cube(path)


def test_one_tile_of_an_absurd_size(tmp_path, header):
    path, flux = tmp_path / "frame.fits", np.ones((8, 8), np.int32)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(flux, header, tile_shape=(8, 8))]).writeto(path)
    for key in ("ZNAXIS1", "ZTILE1", "ZNAXIS2", "ZTILE2"):
        damage(path, key, f"{key:8}= 100000")
    with pytest.raises(FileFormatError, match=r"frame\.fits claims 40,000,000,000 bytes"):
        read_cube(path)


def test_stamps_and_masks(tmp_path, header):
    path = tmp_path / "stamp.fits"
    image = fits.PrimaryHDU(np.ones((4, 4)), header)
    image.header.update({"RUN": 1, "CAMCOL": 2, "FIELD": 3, "BAND": "r", **{f"PSF_P{i}": 1.0 for i in range(18)}})
    fits.HDUList([image, fits.ImageHDU(np.ones((4, 4)))]).writeto(path)
    damage(path, "CAMCOL", "CAMCOL  = 1 2")
    with pytest.raises(FileFormatError, match=r"stamp\.fits has damaged values"):
        read_stamps([path])
    mask = fits.PrimaryHDU()
    mask.header.update(MASKROWS=10**6, MASKCOLS=10**6, NPLANE=0)
    mask.writeto(tmp_path / "fpM.fit")
    with pytest.raises(FileFormatError, match=r"fpM\.fit has a mask of shape"):
        read_sdss_mask(tmp_path / "fpM.fit", ())


def test_a_packed_file_is_bounded(tmp_path, header, monkeypatch):
    write(tmp_path / "frame.fits", header)
    path = tmp_path / "frame.fits.bz2"
    path.write_bytes(bz2.compress((tmp_path / "frame.fits").read_bytes()))
    read_cube(path)
    monkeypatch.setattr("astro_galtrans._utils.bounds._ANY_SIZE", 100)
    path.write_bytes(bz2.compress(bytes(10**7)))
    with pytest.raises(FileFormatError, match=r"frame\.fits\.bz2 claims"):
        read_cube(path)
