"""Pairs of real images: an SDSS field, and a piece of CFHTLS."""

import os
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_galtrans.images import detect_galaxies, read_cube, read_frames, regrid
from astro_galtrans.pairs import FLAGS, flag_names, match_pairs

DATA = os.environ.get("GALTRANS_REAL_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="GALTRANS_REAL_DATA does not name the folder of real images")


@pytest.fixture(scope="module")
def frames():
    """Bands g, r and i of one SDSS field."""
    folder = Path(DATA) / "sdss-field-003918-3-0213"
    return read_frames({band: folder / f"frame-{band}-003918-3-0213.fits.bz2" for band in "gri"}, "SDSS")


@pytest.fixture(scope="module")
def galaxies(frames):
    return detect_galaxies(frames, max_magnitude=20.3, extended_only=True)


def north_up(frames, off=(0.0, 0.0)):
    """The middle of the field on pixels that lie north up, its WCS wrong by some arcsec."""
    center = frames.wcs.pixel_to_world(1024, 744)
    cube = frames.cutout(center, (900, 900))
    wcs = cube.wcs.deepcopy()
    scale = 0.396 / 3600
    wcs.wcs.crval = center.ra.deg, center.dec.deg
    wcs.wcs.crpix = 320.5, 320.5
    wcs.wcs.cd = [[-scale, 0], [0, scale]]
    wcs.wcs.set()
    turned = regrid(cube, wcs, (640, 640))
    moved = center.spherical_offsets_by(off[0] * u.arcsec, off[1] * u.arcsec)
    turned.wcs.wcs.crval = moved.ra.deg, moved.dec.deg
    turned.wcs.wcs.set()
    return turned


@pytest.mark.parametrize("off", [(0.0, 0.0), (0.5, 0.3)])
def test_field_with_itself(frames, galaxies, off):
    """The frames, which lie at 56 degrees, with a part of them that is north up and whose astrometry is off."""
    pairs = match_pairs(galaxies, frames, north_up(frames, off), input_size=48, target_size=48)
    assert 8 < len(pairs) < len(galaxies)
    assert pairs.fields["method"][0] == "sources" and pairs.fields["n"][0] > 50
    np.testing.assert_allclose([pairs.fields["east"][0], pairs.fields["north"][0]], np.negative(off), atol=0.02)
    left = np.hypot(pairs.catalog["offset_east"], pairs.catalog["offset_north"])
    assert np.nanmedian(left) < 0.05
    assert np.all(pairs.catalog["flags"] & FLAGS["resampled"])
    # resampled twice, and so the same but for the noise
    for row in range(len(pairs)):
        one, other = pairs.input_flux[row, 1, 12:36, 12:36], pairs.target_flux[row, 1, 12:36, 12:36]
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95
        assert abs(other.sum() / one.sum() - 1) < 0.03
    lost = set(pairs.dropped["reason"])
    assert "outside" in lost and lost <= {"outside", "edge", "masked_center", "astrometry", "empty"}


def test_field_with_a_wrong_wcs(frames, galaxies):
    with pytest.raises(ValueError, match=r"the images are (19.9|20.0)\d arcsec apart"):
        match_pairs(galaxies, frames, north_up(frames, (-12.0, 16.0)), input_size=48, target_size=48)


def test_neighbors_in_cfhtls():
    """Segments of a crowded piece of CFHTLS Wide have no weight, the galaxy in the middle keeps its own."""
    folder = Path(DATA) / "cfhtls-gri-humvi"
    cube = read_cube({band: folder / f"CFHTLS-test_{band}.fits" for band in "gri"}, "CFHTLS")
    table = detect_galaxies(cube)
    table = table[~table["edge"]][:25]
    plain, masked = (match_pairs(Table(table["ra", "dec"]), cube, cube, input_size=96, target_size=96,
                                 min_coverage=0.5, neighbors=neighbors, drop=()) for neighbors in ("flag", "mask"))
    assert len(masked) > 15
    np.testing.assert_array_equal(plain.catalog["flags"], masked.catalog["flags"])
    assert 0.3 < np.mean([("neighbor" in flag_names(flags)) for flags in plain.catalog["flags"]]) <= 1
    gone = (masked.target_weight == 0) & (plain.target_weight > 0)
    assert 0.02 < gone.mean() < 0.5
    for row in range(len(masked)):
        place = masked.catalog["target_grid"][row, :2].round().astype(int)
        assert np.all(masked.target_weight[row, :, place[1], place[0]] > 0)
        # other sources of the catalog that are as bright have no weight
        sky = SkyCoord(table["ra"], table["dec"])
        x, y = (value.round().astype(int) for value in masked[row].target.wcs.world_to_pixel(sky))
        far = np.hypot(x - place[0], y - place[1]) > 15
        inside = far & (x > 2) & (x < 93) & (y > 2) & (y < 93)
        if inside.any():
            assert gone[row, 1, y[inside], x[inside]].mean() > 0.7 or plain.target_weight[
                row, 1, y[inside], x[inside]].min() == 0
