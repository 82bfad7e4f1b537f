import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.nddata import CCDData, StdDevUncertainty

from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import BandCube, detect_galaxies


@pytest.fixture(scope="module")
def field(make_wcs):
    """Stars and Gaussian galaxies on a noisy background that is not flat."""
    shape, rng = (400, 420), np.random.default_rng(8)
    y, x = np.indices(shape, dtype=float)
    image = rng.normal(0, 0.02, shape) + 0.05 + 0.0002 * x
    stars = [(x0, y0, 1.4, 60.0) for x0 in range(40, 400, 60) for y0 in (60, 200, 340)]
    galaxies = [(70.0, 130.0, 3.5, 100.0), (190.0, 130.0, 2.6, 50.0), (310.0, 130.0, 5.0, 200.0),
                (70.0, 270.0, 2.2, 40.0), (190.0, 270.0, 3.0, 80.0), (205.0, 270.0, 1.4, 60.0), (2.0, 300.0, 3.0, 80.0)]
    for x0, y0, sigma, total in stars + galaxies:
        image += total / (2 * np.pi * sigma**2) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))
    cube = BandCube(image[np.newaxis], unit="nmgy", wcs=make_wcs(shape), bands="r", survey="SDSS",
                    uncertainty=StdDevUncertainty(np.full((1,) + shape, 0.02)))
    return cube, np.array(stars), np.array(galaxies)


def matched(table, cube, places):
    sky = SkyCoord(table["ra"], table["dec"], unit="deg")
    index, distance, _ = cube.wcs.pixel_to_world(places[:, 0], places[:, 1]).match_to_catalog_sky(sky)
    assert distance.arcsec.max() < 0.3
    return table[index]


def test_galaxies_are_told_from_stars_and_measured(field):
    cube, stars, galaxies = field
    before = cube.data.copy()
    table = detect_galaxies(cube)
    np.testing.assert_array_equal(cube.data, before)
    assert not matched(table, cube, stars)["extended"].any()
    inside = galaxies[:5]
    found = matched(table, cube, inside)
    assert found["extended"].all()
    # a Kron aperture holds some 94 per cent of the light of a faint source (Kron 1980)
    np.testing.assert_allclose(found["magnitude"], 22.5 - 2.5 * np.log10(inside[:, 3]), atol=0.12)
    # half of a Gaussian's light is within 1.1774 sigma
    np.testing.assert_allclose(found["half_light_radius"], 1.1774 * inside[:, 2] * 0.396, rtol=0.08)
    assert list(found["neighbour"]) == [False, False, False, False, True] and not found["edge"].any()
    assert table["edge"].sum() == 1 and (np.diff(table["magnitude"]) >= 0).all()
    assert table.meta["n_stars"] >= 15
    chosen = detect_galaxies(cube, max_magnitude=18.0, extended_only=True)
    assert chosen["extended"].all() and chosen["magnitude"].max() <= 18 and len(chosen) == 3


def test_the_same_on_a_masked_single_image(field):
    cube, _, galaxies = field
    ccd = cube["r"]
    ccd.mask = np.zeros(ccd.shape, dtype=bool)
    ccd.mask[120:141, 60:81] = True
    table = detect_galaxies(ccd)
    sky = SkyCoord(table["ra"], table["dec"], unit="deg")
    assert ccd.wcs.pixel_to_world(*galaxies[0, :2]).separation(sky).arcsec.min() > 2
    matched(table, cube, galaxies[1:3])


def test_arguments(field, make_wcs):
    cube = field[0]
    with pytest.raises(BandMismatchError, match="not g"):
        detect_galaxies(cube, "g")
    with pytest.raises(TypeError, match="ndarray"):
        detect_galaxies(cube.data)
    with pytest.raises(ValueError, match="WCS"):
        detect_galaxies(CCDData(np.ones((5, 5)), unit="nmgy"))
    with pytest.raises(ValueError, match="zero point"):
        detect_galaxies(CCDData(np.ones((50, 50)), unit="adu", wcs=make_wcs((50, 50))))
    with pytest.raises(ValueError, match="no good pixel"):
        detect_galaxies(CCDData(np.full((50, 50), np.nan), unit="nmgy", wcs=make_wcs((50, 50))))
    with pytest.raises(ValueError, match="no source"):
        detect_galaxies(CCDData(np.zeros((50, 50)), unit="nmgy", wcs=make_wcs((50, 50))))
