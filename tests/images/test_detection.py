import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
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
    assert list(found["neighbor"]) == [False, False, False, False, True] and not found["edge"].any()
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
    with pytest.raises(ValueError, match="image has no"):
        detect_galaxies(CCDData(np.zeros((50, 50)), unit="nmgy", wcs=make_wcs((50, 50))))


@pytest.fixture(scope="module")
def saturated_field(make_wcs):
    """Stars of a Moffat (1969, A&A 3, 455) PSF of beta 3, three cut off or hollow, and bright galaxies."""
    shape, rng = (400, 420), np.random.default_rng(3)
    y, x = np.indices(shape, dtype=float)

    def moffat(x0, y0, total):
        return total * 2 / (np.pi * 2.4**2) * (1 + ((x - x0)**2 + (y - y0)**2) / 2.4**2)**-3

    image = np.zeros(shape)
    for x0 in range(30, 400, 40):
        image += moffat(x0, 30, 300.0) + moffat(x0 + 15, 370, 150.0)
    stars, galaxies = [(80, 120), (200, 120), (320, 120)], [(80, 260), (200, 260), (320, 260)]
    clipped = np.minimum(moffat(*stars[0], 6000.0), 100.0)
    trail = np.minimum(moffat(*stars[1], 20000.0), 100.0)
    trail[100:140, 199:202] = 100.0
    hollow = moffat(*stars[2], 6000.0)
    hollow[np.hypot(x - stars[2][0], y - stars[2][1]) < 4] *= 0.2  # as an interpolated core of SDSS
    image += clipped + trail + hollow
    for (x0, y0), scale in zip(galaxies, (4.0, 2.5, 6.0)):
        radius = np.hypot(x - x0, (y - y0) / 0.7)
        image += 4000 / (2 * np.pi * scale**2 * 0.7) * np.exp(-radius / scale)
    image += rng.normal(0, np.sqrt(0.02**2 + np.maximum(image, 0) / 900))
    cube = BandCube(image[np.newaxis], unit="nmgy", wcs=make_wcs(shape), bands="r", survey="SDSS")
    return cube, np.array(stars), np.array(galaxies)


def test_saturated_stars_are_no_galaxies(saturated_field):
    cube, stars, galaxies = saturated_field
    table = detect_galaxies(cube, max_magnitude=17.5)
    places = np.column_stack([table["x"], table["y"]])

    def at(place):
        return np.hypot(*(places - place).T).argmin()

    assert [table["saturated"][at(star)] for star in stars] == [True] * 3
    assert not any(table["saturated"][at(galaxy)] for galaxy in galaxies) and table["saturated"].sum() == 3
    chosen = detect_galaxies(cube, max_magnitude=17.5, extended_only=True)
    assert not chosen["saturated"].any() and len(chosen) == 3


@pytest.mark.parametrize("meta", [
    {"saturation": 60.0}, {"header": fits.Header({"SATURATE": 60.0 * 1000, "MAGZERO": 30.0})}])
def test_the_limit_of_the_image(field, meta):
    """Pixels beyond it are saturated whatever the profile is, and in the counts of the file where a header has it."""
    cube, stars, galaxies = field
    ccd = cube["r"]
    ccd.meta = {"survey": "SDSS", **meta}
    ccd.data[58:63, 38:43] += 50.0
    assert not detect_galaxies(cube)["saturated"].any()
    ccd.data[60, 40] += 30.0
    table = detect_galaxies(ccd)
    assert np.hypot(table["x"] - 40, table["y"] - 60)[table["saturated"]].max() < 1 and table["saturated"].sum() == 1


def test_columns_are_described(field):
    table = detect_galaxies(field[0])
    assert all(table[name].description for name in table.colnames)
    units = {"ra": "deg", "x": "pix", "magnitude": "mag", "half_light_radius": "arcsec", "position_angle": "deg"}
    assert {name: str(table[name].unit) for name in units} == units
