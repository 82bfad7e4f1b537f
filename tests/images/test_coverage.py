"""Which bands of a galaxy image lack the data that a measurement needs."""

import astropy.units as u
import numpy as np
import pytest
from astropy.wcs import WCS

from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import BandCube, check_coverage, detect_galaxies, flux_and_weight, missing_bands
from astro_galtrans.pairs import PairSet

SCALE = 0.4  # arcsec: a core of 5 pixels radius, 80 pixels


def _gap(rows, columns, shape=(3, 32, 32)):
    valid = np.ones(shape, dtype=bool)
    valid[1, rows, columns] = False
    return valid


@pytest.mark.parametrize(("rows", "columns", "missing"), [
    (slice(None), slice(None), True), (slice(14, 18), slice(14, 18), True), (slice(None), slice(16, None), True),
    (slice(8, 24), slice(19, None), True), (slice(15, 17), slice(15, 17), False), (slice(0, 4), slice(None), False),
    (slice(None), 16, True), (slice(16, 17), slice(14, 19), False),
])
def test_only_a_gap_around_the_middle_makes_a_band_missing(rows, columns, missing):
    assert missing_bands(_gap(rows, columns), SCALE).tolist() == [False, missing, False]


def test_units_and_leading_axes():
    valid = np.stack([_gap(slice(None), slice(None)), np.ones((3, 32, 32), dtype=bool)])
    assert missing_bands(valid, SCALE * u.arcsec).tolist() == [[False, True, False], [False] * 3]


def test_the_core_is_measured_in_arcsec():
    gap = _gap(slice(14, 18), slice(14, 18))
    assert missing_bands(gap, SCALE)[1] and not missing_bands(gap, SCALE / 4)[1]


def test_a_stamp_smaller_than_the_core_counts_whole():
    valid = np.ones((2, 4, 4), dtype=bool)
    valid[0, 0, 0] = False
    assert missing_bands(valid, 5.0).tolist() == [False, False]
    valid[0] = False
    assert missing_bands(valid, 5.0).tolist() == [True, False]


def test_errors_name_bands_and_galaxies():
    missing = np.zeros((4, 3), dtype=bool)
    check_coverage(missing, "gri", "flux", "leave it out")
    missing[2, 1] = missing[3, 2] = True
    with pytest.raises(BandMismatchError, match=r"flux .* band r, i in 2 of 4 galaxies \(2, 3\); leave it out"):
        check_coverage(missing, "gri", "flux", "leave it out")


def _with_zeros(rng, shape=(2, 3, 32, 32)):
    flux = rng.normal(1, 2, shape).astype(np.float32)
    flux[1, 1] = 0
    flux[0, 2, :6] = 0
    return flux


def test_areas_of_zeros_have_no_weight():
    flux = _with_zeros(np.random.default_rng(1))
    value, weight = flux_and_weight(BandCube(flux[1], wcs=None, bands="gri", survey="SDSS"))
    assert (weight[1] == 0).all() and (weight[[0, 2]] > 0).all() and (value[1] == 0).all()
    pairs = PairSet.from_arrays(flux, flux, input_survey="SDSS", target_survey="SDSS", input_bands="gri",
                                target_bands="gri", input_weight=np.ones(flux.shape))
    for side in ("input", "target"):
        found = getattr(pairs, f"{side}_weight")
        assert (found[1, 1] == 0).all() and (found[0, 2, :6] == 0).all()
        assert np.count_nonzero(found) == flux.size - 32 * 32 - 6 * 32
        assert pairs.missing_bands(side).tolist() == [[False] * 3, [False, True, False]]


def test_zeros_of_an_image_without_noise_are_data():
    radius = np.hypot(*(np.indices((32, 32)) - 15.5))
    flux = np.broadcast_to(np.where(radius < 8, np.exp(-radius), 0), (1, 3, 32, 32))
    pairs = PairSet.from_arrays(flux, flux, input_survey="SDSS", target_survey="SDSS", input_bands="gri",
                                target_bands="gri")
    assert pairs.input_weight is None


def test_detection_leaves_areas_of_zeros_out_of_the_background():
    rng = np.random.default_rng(2)
    y, x = np.indices((96, 96))
    sky = rng.normal(0, 0.02, (96, 96)) + 3 * np.exp(-((x - 70) ** 2 + (y - 40) ** 2) / 18)
    wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 48.5,
               "CRPIX2": 48.5, "CDELT1": -SCALE / 3600, "CDELT2": SCALE / 3600})
    found = []
    for zeros in (0, 40):
        data = sky.copy()
        data[:, :zeros] = 0
        found.append(detect_galaxies(BandCube(data[None], wcs=wcs, bands="r", survey="SDSS"), threshold=5))
    assert len(found[1]) == len(found[0]) == 1
    assert found[1]["signal_to_noise"][0] == pytest.approx(found[0]["signal_to_noise"][0], rel=0.2)
