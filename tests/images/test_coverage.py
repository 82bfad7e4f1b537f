"""Which bands of a galaxy image lack the data that a measurement needs."""

import astropy.units as u
import numpy as np
import pytest

from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import check_coverage, missing_bands

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
