"""Make pairs from a catalog and the images of two surveys."""

import importlib.util
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans.exceptions import SurveyError
from astro_galtrans.images import FrameSet, flux_and_weight
from astro_galtrans.pairs import FLAGS, MatchConfig, PairSet, flag_names, match_one_to_one, match_pairs

_spec = importlib.util.spec_from_file_location("pairs_sky", Path(__file__).with_name("sky.py"))
sky = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sky)


@pytest.fixture(scope="module")
def table():
    return sky.galaxies(n=26)


@pytest.fixture(scope="module")
def images(table):
    """SDSS and CFHTLS, both north up."""
    return sky.image(table, "SDSS"), sky.image(table, "CFHTLS", seed=2)


@pytest.fixture(scope="module")
def sparse():
    """Galaxies that do not reach into each other's stamps."""
    return sky.galaxies(n=9, side=80, least=19.5, seed=3)


@pytest.fixture(scope="module")
def clean(sparse):
    """Without noise, the input turned and mirrored."""
    return (sky.image(sparse, "SDSS", noise=0, angle=33, mirror=True, shift=(1.3, -2.6)),
            sky.image(sparse, "CFHTLS", noise=0))


def flux_center(plane):
    """Centroid of a symmetric source, in a window that follows it."""
    y, x = np.indices(plane.shape)
    place = np.array([(plane.shape[1] - 1) / 2, (plane.shape[0] - 1) / 2])
    for _ in range(60):
        window = plane * np.exp(-((x - place[0])**2 + (y - place[1])**2) / (2 * 4.0**2))
        place = place + 2 * np.array([(window * (x - place[0])).sum(), (window * (y - place[1])).sum()]) / window.sum()
    return place


# Pixels, grids and the sky

def test_pixels_are_those_of_the_images(table, images):
    pairs = match_pairs(table, *images, input_size=32)
    assert pairs.input_flux.shape[1:] == (3, 32, 32) and pairs.target_flux.shape[1:] == (3, 68, 68)
    assert len(pairs) + len(pairs.dropped) == len(table)
    for pair, row in zip((pairs[0], pairs[7]), (pairs.catalog["row"][0], pairs.catalog["row"][7])):
        place = SkyCoord(table["ra"][row], table["dec"][row], unit="deg")
        expected = images[0].cutout(place, 32)
        np.testing.assert_array_equal(pair.input.data, expected.data)
        np.testing.assert_allclose(flux_and_weight(pair.input)[1], flux_and_weight(expected)[1])
        # whole pixels of the target too, around the middle of the input's stamp
        x, y = images[1].wcs.world_to_pixel(pair.target.wcs.pixel_to_world(0, 0))
        x, y = int(np.rint(x)), int(np.rint(y))
        np.testing.assert_array_equal(pair.target.data, images[1].data[:, y:y + 68, x:x + 68])
    assert not np.any(pairs.catalog["flags"] & FLAGS["resampled"])


def test_redshift_names_and_columns_are_kept(table, images):
    given = QTable(table, copy=True)
    given.rename_columns(["ra", "dec", "redshift", "id"], ["RAJ2000", "DEJ2000", "z_spec", "objID"])
    given["RAJ2000"].unit = given["DEJ2000"].unit = u.deg
    given["E(B-V)"] = np.linspace(0.01, 0.05, len(given)) * u.mag
    given["flags"] = np.arange(len(given))
    given["z_spec"] = MaskedColumn(given["z_spec"], mask=np.arange(len(given)) == 3)
    given["thing"] = [object() for _ in given]
    pairs = match_pairs(given, *images, input_size=24)
    rows = np.asarray(pairs.catalog["row"])
    assert list(pairs.ids) == [table["id"][row] for row in rows]
    assert np.isnan(pairs.redshift[rows == 3]).all() and np.isfinite(pairs.redshift[rows != 3]).all()
    np.testing.assert_allclose(pairs.catalog["ebv"], np.linspace(0.01, 0.05, len(given))[rows])
    np.testing.assert_array_equal(pairs.catalog["catalog_flags"], rows)
    assert pairs.catalog["mag"].dtype == table["mag"].dtype and "thing" not in pairs.catalog.colnames
    assert pairs.catalog.meta["flags"] == FLAGS


@pytest.mark.parametrize("resample", ["auto", "always"])
def test_sky_positions_to_a_hundredth_of_a_pixel(sparse, clean, resample):
    """The galaxy's light is where the WCS of each stamp has its position, also in turned and mirrored images."""
    pairs = match_pairs(sparse, *clean, input_size=32, resample=resample)
    assert len(pairs) == 9
    for pair, row in zip(pairs, pairs.catalog["row"]):
        place = SkyCoord(sparse["ra"], sparse["dec"], unit="deg")[row]
        for cube in (pair.input, pair.target):
            expected = np.array([float(value) for value in cube.wcs.world_to_pixel(place)])
            for band in range(3):
                np.testing.assert_allclose(flux_center(cube.data[band].astype(float)), expected, atol=0.01)
        # one sky under both stamps: their middles are at one place
        middle = pair.input.wcs.pixel_to_world(15.5, 15.5)
        assert middle.separation(pair.target.wcs.pixel_to_world(33.5, 33.5)).arcsec < 0.003
        total = pair.target["r"].data.sum() / 10 ** (0.4 * (30 - sparse["mag"][row]))
        assert abs(total - 1) < 5e-3
    # both stamps lie alike, with the handedness of the input
    one, other = (pairs.catalog[f"{side}_grid"][:, 2:].reshape(-1, 2, 2) for side in ("input", "target"))
    np.testing.assert_allclose(other / 0.187, one / 0.396, atol=2e-3)
    assert np.linalg.det(one[0]) > 0  # east to the right


def test_quarter_turns_are_exact(sparse):
    """A target that lies along the input but for a turn or a mirror is not resampled."""
    given = sky.image(sparse, "SDSS", noise=0)
    plain = match_pairs(sparse, given, sky.image(sparse, "CFHTLS", noise=0), input_size=24)
    for angle, mirror in ((90, False), (180, False), (0, True), (270, True)):
        pairs = match_pairs(sparse, given, sky.image(sparse, "CFHTLS", noise=0, angle=angle, mirror=mirror),
                            input_size=24)
        assert not np.any(pairs.catalog["flags"] & FLAGS["resampled"])
        np.testing.assert_allclose(pairs.target_flux, plain.target_flux, rtol=1e-4,
                                   atol=2e-4 * plain.target_flux.max())
        np.testing.assert_allclose(pairs.catalog["target_grid"], plain.catalog["target_grid"], atol=2e-4)


def test_never_resampled_is_flagged(sparse, clean):
    with pytest.raises(ValueError, match="misaligned"):
        match_pairs(sparse, *clean, input_size=24, resample="never")
    pairs = match_pairs(sparse, *clean, input_size=24, resample="never", drop=())
    assert np.all(pairs.catalog["flags"] & FLAGS["misaligned"])


def test_reversed_pairs_keep_their_place_on_the_sky(table, images):
    pairs = match_pairs(table, *images, input_size=24)
    there, back = pairs[2], pairs.reversed()[2]
    for one, other in ((there.input, back.target), (there.target, back.input)):
        assert one.wcs.pixel_to_world(3, 5).separation(other.wcs.pixel_to_world(3, 5)).arcsec < 1e-6
    again = pairs.within("target")[2]
    assert again.input.wcs.pixel_to_world(3, 5).separation(there.target.wcs.pixel_to_world(3, 5)).arcsec < 1e-6


def test_best_tile_is_chosen(table):
    """Of tiles that overlap, the one in which the object is farthest from the border."""
    east = sky.CENTER.spherical_offsets_by(40 * u.arcsec, 0 * u.arcsec)
    tiles = [sky.image(table, "SDSS", center=center) for center in (sky.CENTER, east)]
    target = sky.image(table, "CFHTLS", seed=2)
    pairs = match_pairs(table, tiles, target, input_size=24)
    assert len(pairs.fields) == 2
    place = SkyCoord(pairs.catalog["ra"], pairs.catalog["dec"])
    inside = []
    for tile in tiles:
        x, y = tile.wcs.world_to_pixel(place)
        inside.append(np.min([x, 302 - x, y, 302 - y], axis=0))
    np.testing.assert_array_equal(pairs.catalog["field"], (inside[1] > inside[0] + 1e-6).astype(int))
    assert np.all(np.diff(pairs.catalog["field"]) >= 0) and len(set(pairs.catalog["field"])) == 2


# Astrometry

def test_half_an_arcsec_is_corrected(table, images):
    off = (0.4, -0.3)
    pairs = match_pairs(table, sky.image(table, "SDSS", off=off), images[1], input_size=32)
    assert pairs.fields["method"][0] == "sources" and pairs.fields["n"][0] > 15
    np.testing.assert_allclose([pairs.fields["east"][0], pairs.fields["north"][0]], off, atol=0.02)
    left = np.median([pairs.catalog["offset_east"], pairs.catalog["offset_north"]], axis=1)
    assert np.all(np.abs(left) < 0.02)
    assert not np.any(pairs.catalog["flags"] & FLAGS["astrometry"])
    plain = match_pairs(table, sky.image(table, "SDSS", off=off), images[1], input_size=32, correct_astrometry=False)
    kept = np.median([plain.catalog["offset_east"], plain.catalog["offset_north"]], axis=1)
    np.testing.assert_allclose(kept, off, atol=0.03)


@pytest.mark.parametrize("off", [(20.0, 0.0), (-12.0, 16.0), (0.0, -45.0)])
def test_wrong_wcs_is_found_and_dropped(table, images, off):
    with pytest.raises(ValueError, match="arcsec apart"):
        match_pairs(table, sky.image(table, "SDSS", off=off), images[1], input_size=24)
    flagged = match_pairs(table, images[0], sky.image(table, "CFHTLS", off=off), input_size=24, drop=())
    size = np.hypot(flagged.fields["east"][0], flagged.fields["north"][0])
    assert abs(size - np.hypot(*off)) < 0.05
    assert np.all(flagged.catalog["flags"] & FLAGS["astrometry"])


def test_wrong_wcs_can_be_corrected(table, images):
    pairs = match_pairs(table, sky.image(table, "SDSS", off=(20, 0)), images[1], input_size=24,
                        max_offset=30 * u.arcsec)
    assert len(pairs) > 10
    assert np.nanmedian(np.hypot(pairs.catalog["offset_east"], pairs.catalog["offset_north"])) < 0.05


def test_wcs_that_is_off_by_more_than_is_looked_for(table, images):
    """No offset is found, and so no pair is trusted."""
    with pytest.raises(ValueError, match="unverified|astrometry"):
        match_pairs(table, sky.image(table, "SDSS", off=(47.0, 0)), images[1], input_size=24,
                    search_radius=10 * u.arcsec)


def test_one_wrong_tile_among_two(table, images, tmp_path):
    """Its galaxies are dropped, the others are kept."""
    east, west = (sky.CENTER.spherical_offsets_by(side * 40 * u.arcsec, 0 * u.arcsec) for side in (1, -1))
    tiles = [sky.image(table, "SDSS", center=west), sky.image(table, "SDSS", center=east, off=(0, 20))]
    pairs = match_pairs(table, tiles, images[1], input_size=24)
    wrong = pairs.dropped[pairs.dropped["reason"] == "astrometry"]
    assert len(wrong) > 5 and len(pairs) > 5
    same(match_pairs(table, tiles, images[1], input_size=24, path=tmp_path / "pairs.zarr"), pairs)
    assert all("19.99 arcsec" in detail or "20.0" in detail for detail in wrong["detail"])
    assert set(pairs.catalog["field"]) == {0}


# Background, noise, neighbors, flags

def test_background_and_noise(table, images):
    raised = sky.image(table, "SDSS", uncertainty=False)
    raised.data[...] += np.array([0.05, 0.1, 0.2], np.float32)[:, None, None]
    measured = match_pairs(table, raised, images[1], input_size=32)
    noise = images[0].survey.sky_noise
    level = np.median(measured.catalog["input_background"], axis=0)
    np.testing.assert_allclose(level, [0.05, 0.1, 0.2], atol=0.2 * noise.max())
    spread = np.median(measured.catalog["input_noise"], axis=0)
    np.testing.assert_allclose(spread, noise, rtol=0.1)
    np.testing.assert_allclose(measured.input_weight[:, :, 0, 0], measured.catalog["input_noise"]**-2.0, rtol=1e-4)
    np.testing.assert_allclose(measured.target_weight[0, :, 0, 0], images[1].survey.sky_noise**-2.0, rtol=1e-4)
    subtracted = match_pairs(table, raised, images[1], input_size=32, background="subtract")
    np.testing.assert_allclose(
        measured.input_flux - subtracted.input_flux,
        np.broadcast_to(measured.catalog["input_background"][:, :, None, None], measured.input_flux.shape), atol=1e-5)
    none = match_pairs(table, images[0], images[1], input_size=32, background=None)
    assert np.isnan(none.catalog["input_background"]).all()


def test_neighbors_are_masked_in_both(table):
    """Two galaxies 7 arcsec apart: the light of the second has no weight, that of the first keeps it."""
    two = table[:2].copy()
    place = sky.CENTER.spherical_offsets_by([0, 7] * u.arcsec, [0, 0] * u.arcsec)
    two["ra"], two["dec"], two["mag"] = place.ra.deg, place.dec.deg, [17.5, 18.0]
    # others far away, for the astrometry
    far = sky.galaxies(n=20, seed=5)
    far = far[SkyCoord(far["ra"], far["dec"], unit="deg").separation(sky.CENTER) > 20 * u.arcsec]
    everything = Table({name: np.concatenate([two[name], far[name]]) for name in ("ra", "dec", "mag", "sigma")})
    given, target = sky.image(everything, "SDSS"), sky.image(everything, "CFHTLS", seed=2)
    plain = match_pairs(two[:1], given, target, input_size=40)
    assert flag_names(plain.catalog["flags"][0]) == ("neighbor",) and np.all(plain.input_weight > 0)
    pairs = match_pairs(two[:1], given, target, input_size=40, neighbors="mask")
    np.testing.assert_array_equal(pairs.input_flux, plain.input_flux)
    for cube in (pairs[0].input, pairs[0].target):
        bad = cube.mask[1]
        x, y = (int(np.rint(float(value))) for value in cube.wcs.world_to_pixel(place[1]))
        assert bad[y - 2:y + 3, x - 2:x + 3].all()
        x, y = (int(np.rint(float(value))) for value in cube.wcs.world_to_pixel(place[0]))
        assert not bad[y - 2:y + 3, x - 2:x + 3].any()
        assert 0.01 < bad.mean() < 0.3
    none = match_pairs(two[:1], given, target, input_size=40, neighbors=None)
    assert none.catalog["flags"][0] == 0


def test_bad_pixels_and_edges(table, images):
    given = images[0]
    place = SkyCoord(table["ra"], table["dec"], unit="deg")
    x, y = given.wcs.world_to_pixel(place)
    edge = np.minimum(np.minimum(x, 302 - x), np.minimum(y, 302 - y))
    inner = int(np.argmax(edge))
    mask = np.zeros(given.shape, bool)
    mask[1, int(np.rint(y[inner])), int(np.rint(x[inner]))] = True
    broken = sky.image(table, "SDSS")
    broken.mask = mask
    pairs = match_pairs(table, broken, images[1], input_size=64, min_coverage=0.95)
    assert inner not in pairs.catalog["row"]
    assert dict(zip(pairs.dropped["row"], pairs.dropped["reason"]))[inner] == "masked_center"
    flagged = match_pairs(table, broken, images[1], input_size=64, min_coverage=0.5, drop=())
    names = {row: flag_names(flags) for row, flags in zip(flagged.catalog["row"], flagged.catalog["flags"])}
    assert "masked_center" in names[inner]
    reaching = edge < 30
    assert reaching.any() and all("edge" in names[row] for row in np.flatnonzero(reaching))
    assert not any("edge" in names[row] for row in np.flatnonzero(edge > 34))
    lost = pairs.dropped[pairs.dropped["reason"] == "edge"]
    assert all("per cent" in detail for detail in lost["detail"])


def test_faint_galaxies_are_flagged(table, images):
    blank = sky.CENTER.spherical_offsets_by(np.linspace(-40, 40, 400) * u.arcsec, np.zeros(400) * u.arcsec)
    far = SkyCoord(table["ra"], table["dec"], unit="deg")[:, None].separation(blank).min(axis=0) > 8 * u.arcsec
    place = blank[far][:1]
    pairs = match_pairs(Table({"ra": place.ra, "dec": place.dec}), *images, input_size=16)
    assert "low_snr" in flag_names(pairs.catalog["flags"][0])
    assert np.isnan(pairs.catalog["offset_east"][0])


def test_psf_width_is_measured(table, images):
    given = sky.image(table, "SDSS")
    y, x = np.indices((25, 25)) - 12
    widths = np.array([1.5, 2.0, 2.5])[:, None, None]
    given.psf = np.exp(-(x**2 + y**2) / (2 * widths**2))
    pairs = match_pairs(table[:5], given, images[1], input_size=16)
    np.testing.assert_allclose(pairs.catalog["input_psf_fwhm"][0], 2.3548 * 0.396 * np.array([1.5, 2, 2.5]), rtol=0.02)
    assert pairs.catalog["input_psf_measured"].all() and not pairs.catalog["target_psf_measured"].any()
    np.testing.assert_allclose(pairs.catalog["target_psf_fwhm"][0], [b.psf_fwhm.value for b in images[1].survey])


@pytest.mark.parametrize("side", [25, 24, 61])
def test_psfs_are_kept(table, images, tmp_path, side):
    given = sky.image(table, "SDSS")
    y, x = np.indices((side, side)) - (side - 1) / 2
    widths = np.array([1.5, 2.0, 2.5])[:, None, None]
    given.psf = np.exp(-(x**2 + y**2) / (2 * widths**2))
    pairs = match_pairs(table[:3], given, images[1], input_size=16, path=tmp_path / "pairs.zarr")
    assert pairs.target_psf is None and pairs[0].target.psf is None
    kept = pairs[1].input.psf
    assert kept.shape[0] == 3 and kept.shape[1] == kept.shape[2] > 25
    y, x = np.indices(kept.shape[1:]) - kept.shape[1] // 2
    expected = np.exp(-(x**2 + y**2) / (2 * widths**2))
    expected /= expected.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(kept, expected, atol=0.01 * expected.max())
    np.testing.assert_allclose(kept.sum(axis=(1, 2)), 1, rtol=1e-6)
    np.testing.assert_array_equal(
        match_pairs(table[:3], given, images[1], input_size=16).input_psf, pairs.read()["input_psf"])
    assert pairs.reversed().input_psf is None and len(pairs.reversed().target_psf) == len(pairs)


def test_psf_lies_as_its_stamp_does(table, images):
    # turned by 90 degrees against the input: a PSF long in x of the image is long in y of the stamp
    turned = sky.image(table, "CFHTLS", angle=90)
    y, x = np.indices((41, 41)) - 20
    turned.psf = np.exp(-(x**2 / 50 + y**2 / 18))
    pairs = match_pairs(table[:3], images[0], turned, input_size=16)
    y, x = np.indices(pairs.target_psf.shape[2:]) - pairs.target_psf.shape[2] // 2
    along_x, along_y = ((pairs.target_psf[0, 0] * one**2).sum() for one in (x, y))
    assert along_y > 2 * along_x


def test_psfs_of_a_field_are_of_the_place(table, images):
    class Model:
        def image(self, band, x, y):
            rows, columns = np.indices((21, 21)) - 10
            return np.exp(-(rows**2 + columns**2) / (2 * (1.5 + x / 200)**2))

    plain = sky.image(table, "SDSS")
    frames = FrameSet({band: plain[band] for band in plain.bands}, "SDSS", psf=Model())
    pairs = match_pairs(table, frames, images[1], input_size=16)
    x = frames.wcs.world_to_pixel(SkyCoord(pairs.catalog["ra"], pairs.catalog["dec"], unit="deg"))[0]
    widths = 1 / np.sqrt(2 * np.pi * pairs.input_psf[:, 0].max(axis=(1, 2)))
    np.testing.assert_allclose(widths, 1.5 + x / 200, rtol=0.01)


# The catalog

def test_match_one_to_one():
    place = SkyCoord([10, 10.0002, 20, 30, np.nan] * u.deg, [0, 0, 0, 0, 0] * u.deg)
    other = SkyCoord([30, 10.00005, 20.001, 10.1] * u.deg, [0.0001, 0, 0, 0] * u.deg)
    index, separation = match_one_to_one(place, other, 1 * u.arcsec)
    assert index.tolist() == [1, -1, -1, 0, -1]
    np.testing.assert_allclose(separation.value, [0.18, 0.54, 3.6, 0.36, np.nan], atol=1e-6)


def test_counterparts_are_one_to_one(table, images):
    twice = table[[0, 1, 2, 3, 4, 4]].copy()
    twice["ra"][5] += 0.4 / 3600
    twice["id"] = [*twice["id"][:5], "again"]
    other = Table({"RA": table["ra"][[4, 2, 0, 1]], "DEC": table["dec"][[4, 2, 0, 1]], "name": ["E", "C", "A", "B"]})
    pairs = match_pairs(twice, *images, input_size=16, target_catalog=other)
    assert list(pairs.catalog["target_name"]) == ["A", "B", "C", "E"]
    assert np.all(pairs.catalog["target_separation"] < 0.01 * u.arcsec)
    reasons = dict(zip(pairs.dropped["id"], pairs.dropped["reason"]))
    assert reasons == {"g003": "no counterpart", "again": "no counterpart"}


@pytest.mark.parametrize("columns", [("ALPHA_J2000", "DELTA_J2000"), ("RA", "Dec"), ("raMean", "decMean")])
def test_usual_names_of_positions(table, images, columns):
    given = Table({columns[0]: table["ra"][:4], columns[1]: table["dec"][:4]})
    assert len(match_pairs(given, *images, input_size=16)) == 4


def test_other_units_and_names(table, images, tmp_path):
    place = SkyCoord(table["ra"], table["dec"], unit="deg")[:3]
    forms = [
        (Table({"a": place.ra.hourangle, "b": place.dec.deg}), {"ra": "a", "dec": "b", "unit": ("hourangle", "deg")}),
        (Table({"ra": place.ra.to_string(u.hourangle, sep=":", precision=4),
                "dec": place.dec.to_string(sep=":", precision=3)}), {}),
        (QTable({"ra": place.ra.to(u.rad), "dec": place.dec.to(u.arcmin)}), {}),
        (QTable({"where": place.galactic}), {}),
    ]
    for given, options in forms:
        pairs = match_pairs(given, *images, input_size=16, **options)
        np.testing.assert_allclose(pairs.catalog["ra"], place.ra.deg, atol=1e-6)
    table[:3].write(tmp_path / "t.fits")
    assert len(match_pairs(tmp_path / "t.fits", *images, input_size=16)) == 3


def test_a_magnitude_z_is_no_redshift(table, images):
    given = table["ra", "dec"][:3]
    given["z"] = [18.0, 18.1, 18.2]
    assert match_pairs(given, *images, input_size=16).redshift is not None
    given["r"] = 18.5
    assert match_pairs(given, *images, input_size=16).redshift is None


def test_what_is_dropped_has_a_reason(table, images):
    given = table.copy()
    given["ra"][0] = np.nan
    given["ra"][1] = 200.0
    pairs = match_pairs(given, *images, input_size=24)
    reasons = {row: reason for row, reason in zip(pairs.dropped["row"], pairs.dropped["reason"])}
    assert reasons[0] == "no position" and reasons[1] == "outside"
    assert sorted([*reasons, *pairs.catalog["row"]]) == list(range(len(given)))


@pytest.mark.parametrize("options, words", [
    ({"ra": "right"}, "ra='right'"), ({"resample": "yes"}, "resample"), ({"drop": ("rain",)}, "drop.*rain"),
    ({"drop": "edge"}, "drop"), ({"input_size": 4}, "input_size"), ({"resume": True}, "resume"),
    ({"band": "z"}, "band"), ({"neighbors": True}, "neighbors"), ({"min_coverage": 90}, "min_coverage"),
    ({"id": "sigma"}, "sigma"),
])
def test_wrong_arguments(table, images, options, words):
    with pytest.raises(ValueError, match=words):
        match_pairs(table, *images, **options)


def test_unknown_keywords_are_named(table, images):
    with pytest.raises(TypeError, match="neighbor_mode.*max_offset"):
        match_pairs(table, *images, neighbor_mode="mask")
    with pytest.raises(TypeError, match="config"):
        match_pairs(table, *images, config={"band": "r"})


def test_config_and_keywords_agree(table, images):
    config = MatchConfig(min_snr=7, resample="always", drop=())
    pairs = match_pairs(table[:4], *images, input_size=16, config=config)
    assert pairs.catalog.meta["resample"] == "always" and len(pairs) == 4
    same(match_pairs(table[:4], *images, input_size=16, min_snr=7, resample="always", drop=()), pairs)
    replaced = match_pairs(table[:4], *images, input_size=16, config=config, resample="never")
    assert replaced.catalog.meta["resample"] == "never"
    assert repr(config) == "MatchConfig(resample='always', min_snr=7.0, drop=())"
    assert "target_catalog" in repr(MatchConfig(target_catalog=table))


def test_deprecated_names(table, images):
    with pytest.warns(AstropyDeprecationWarning, match="neighbours"):
        pairs = match_pairs(table[:3], *images, input_size=16, neighbours="mask")
    same(pairs, match_pairs(table[:3], *images, input_size=16, neighbors="mask"))
    with pytest.warns(AstropyDeprecationWarning, match="masked_center"):
        assert MatchConfig(drop=("masked_centre",)) == MatchConfig(drop=("masked_center",))
    with pytest.warns(AstropyDeprecationWarning, match="neighbor"):
        assert FLAGS["neighbour"] == FLAGS["neighbor"] == 64
    with pytest.raises(KeyError):
        FLAGS["rain"]


def test_wrong_images(table, images, tmp_path):
    with pytest.raises(SurveyError, match="SDSS"):
        match_pairs(table, *images, input_survey="CFHTLS")
    with pytest.raises(FileNotFoundError, match="no such"):
        match_pairs(table, tmp_path / "none.fits", images[1])
    with pytest.raises(TypeError, match="input must be"):
        match_pairs(table, 3, images[1])
    with pytest.raises(ValueError, match="at least one image"):
        match_pairs(table, [], images[1])
    with pytest.raises(ValueError, match="columns ra and dec"):
        match_pairs(table["mag", "sigma"], *images)


# Files

@pytest.fixture(scope="module")
def files(table, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for side, cube in zip(("input", "target"), images):
        cube.write(folder / f"{side}.fits")
        for band in cube.bands:
            header = cube.wcs.to_header()
            header["FILTER"], header["BUNIT"] = band, "nanomaggy" if side == "input" else "adu"
            header["MZP_AB"] = 30.0 if side == "target" else 22.5
            fits.HDUList([fits.PrimaryHDU(cube[band].data, header),
                          fits.ImageHDU(cube[band].uncertainty.array, name="SIGMA")]).writeto(
                              folder / f"{side}-{band}.fits")
    place = SkyCoord(table["ra"], table["dec"], unit="deg")
    for row, size in zip(range(8), [48] * 8):
        images[0].cutout(place[row], size).write(folder / f"cut-{table['id'][row]}.fits")
        for band in "gri":
            cut = images[1].cutout(place[row], 2 * size)[band]
            header = cut.wcs.to_header()
            header["FILTER"], header["BUNIT"], header["MZP_AB"] = band, "adu", 30.0
            fits.HDUList([fits.PrimaryHDU(cut.data, header), fits.ImageHDU(cut.uncertainty.array, name="SIGMA")]
                         ).writeto(folder / f"cut-{table['id'][row]}-{band}.fits")
    return folder


def test_every_kind_of_images_gives_the_same(table, images, files):
    expected = match_pairs(table, *images, input_size=16)
    by_band = [{band: files / f"{side}-{band}.fits" for band in "gri"} for side in ("input", "target")]
    tiles = Table({band: [f"target-{band}.fits"] for band in "gri"})
    tiles.write(files / "tiles.ecsv")
    kinds = [(files / "input.fits", [files / "target.fits"], {}),
             (*by_band, {"input_survey": "SDSS", "target_survey": "CFHTLS"}),
             (str(files / "inpu?.fits"), files / "tiles.ecsv", {"target_survey": "CFHTLS"})]
    for given, target, options in kinds:
        pairs = match_pairs(table, given, target, input_size=16, **options)
        assert pairs.ids.tolist() == expected.ids.tolist()
        np.testing.assert_allclose(pairs.input_flux, expected.input_flux, rtol=1e-6)
        np.testing.assert_allclose(pairs.target_weight, expected.target_weight, rtol=1e-5)


def test_a_file_for_each_object(table, files, images):
    """Cutouts; one of them is missing, and one is of another place."""
    with fits.open(files / "cut-g001.fits") as other:
        other[0].header["CRVAL2"] += 20 / 3600
        other.writeto(files / "cut-wrong.fits")
    given = table[:9].copy()
    given["id"] = given["id"].astype("U8")
    given["id"][1] = "wrong"
    for band in "gri":
        shutil.copy(files / f"cut-g001-{band}.fits", files / f"cut-wrong-{band}.fits")
    pairs = match_pairs(given, files / "cut-{id}.fits", str(files / "cut-{id}-{band}.fits"), target_survey="CFHTLS",
                        target_bands="gri", input_size=24)
    reasons = dict(zip(pairs.dropped["id"], pairs.dropped["reason"]))
    assert reasons.pop("g008") == "unreadable"
    assert reasons.pop("wrong") in ("astrometry", "outside", "unverified", "edge")
    assert pairs.fields["method"][0] == "galaxies"
    assert len(pairs) == 7
    for pair in pairs:
        for cube, image in ((pair.input, images[0]), (pair.target, images[1])):
            x, y = (int(np.rint(float(value))) for value in image.wcs.world_to_pixel(cube.wcs.pixel_to_world(0, 0)))
            side = cube.shape[1]
            np.testing.assert_allclose(cube.data, image.data[:, y:y + side, x:x + side], rtol=1e-5)


def test_missing_tile_is_named(table, images, files):
    with pytest.raises(FileNotFoundError, match="gone.fits"):
        match_pairs(table, [files / "input.fits", files / "gone.fits"], images[1], input_size=16)


def test_a_broken_tile_costs_its_own_galaxies_only(table, images, files, tmp_path, caplog):
    east, west = (sky.CENTER.spherical_offsets_by(side * 40 * u.arcsec, 0 * u.arcsec) for side in (1, -1))
    sky.image(table, "SDSS", center=west).write(tmp_path / "west.fits")
    sky.image(table, "SDSS", center=east).write(tmp_path / "east.fits")
    content = (tmp_path / "east.fits").read_bytes()
    (tmp_path / "east.fits").write_bytes(content[:len(content) // 2])
    pairs = match_pairs(table, tmp_path / "*.fits", images[1], input_size=16)
    assert len(pairs) > 3 and "east.fits" in caplog.text
    lost = pairs.dropped[pairs.dropped["reason"] == "unreadable"]
    assert len(lost) > 3 and all("east.fits" in detail for detail in lost["detail"])
    assert sorted([*pairs.dropped["row"], *pairs.catalog["row"]]) == list(range(len(table)))


# On disk

def same(one, other):
    assert one.ids.tolist() == other.ids.tolist()
    for name in ("input_flux", "target_flux", "input_weight", "target_weight"):
        np.testing.assert_array_equal(np.asarray(getattr(one, name)), np.asarray(getattr(other, name)))
    assert one.catalog.colnames == other.catalog.colnames
    for name in one.catalog.colnames:
        np.testing.assert_array_equal(np.asarray(one.catalog[name]), np.asarray(other.catalog[name]))


def test_disk_and_memory_agree(table, images, tmp_path):
    expected = match_pairs(table, *images, input_size=16)
    pairs = match_pairs(table, *images, input_size=16, path=tmp_path / "pairs.zarr")
    same(pairs, expected)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pairs-dropped.ecsv", "pairs-fields.ecsv", "pairs.zarr"]
    stored = PairSet.open(tmp_path / "pairs.zarr")
    same(stored, expected)
    np.testing.assert_allclose(stored.redshift, expected.redshift)
    assert stored[0].input.wcs.pixel_to_world(0, 0).separation(expected[0].input.wcs.pixel_to_world(0, 0)).arcsec < 1e-9
    assert Table.read(tmp_path / "pairs-dropped.ecsv")["reason"].tolist() == expected.dropped["reason"].tolist()
    with pytest.raises(FileExistsError, match="overwrite"):
        match_pairs(table, *images, input_size=16, path=tmp_path / "pairs.zarr")
    match_pairs(table[:3], *images, input_size=16, path=tmp_path / "pairs.zarr", overwrite=True)
    assert len(PairSet.open(tmp_path / "pairs.zarr")) == 3


class _Stop(KeyboardInterrupt):
    pass


def _broken_after(monkeypatch, n):
    """Interrupt the run after some candidates."""
    from astro_galtrans.pairs import _match_run

    count, whole = [0], _match_run.cut_pair

    def cut(*arguments):
        count[0] += 1
        if count[0] > n:
            raise _Stop
        return whole(*arguments)
    monkeypatch.setattr(_match_run, "cut_pair", cut)
    return count


@pytest.mark.parametrize("n", [3, 9, 21])
def test_resumed_store_is_the_same(table, images, tmp_path, monkeypatch, n):
    from astro_galtrans.pairs import _disk

    monkeypatch.setattr(_disk, "MAX_BLOCK", 8)
    given = table.copy()
    given["ra"][5] = 200
    expected = match_pairs(given, *images, input_size=16, min_coverage=1.0)
    path = tmp_path / "pairs.zarr"
    with monkeypatch.context() as patch:
        _broken_after(patch, n)
        with pytest.raises(KeyboardInterrupt):
            match_pairs(given, *images, input_size=16, min_coverage=1.0, path=path)
    assert not path.exists()
    if n >= 9:
        with pytest.raises(ValueError, match="resume"):
            match_pairs(given, *images, input_size=16, min_coverage=0.5, path=path, resume=True)
    with monkeypatch.context() as patch:
        count = _broken_after(patch, 1000)
        pairs = match_pairs(given, *images, input_size=16, min_coverage=1.0, path=path, resume=True)
    assert count[0] == len(given) - 1 - 8 * (n // 8)  # what was written is not done again
    same(pairs, expected)
    assert sorted(pairs.dropped["row"]) == sorted(expected.dropped["row"])
    assert pairs.fields["east"][0] == expected.fields["east"][0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pairs-dropped.ecsv", "pairs-fields.ecsv", "pairs.zarr"]


def test_memory_is_bounded(table, images, tmp_path, monkeypatch):
    """Never more than a block of galaxies is held, however many there are."""
    from astro_galtrans.pairs import _disk, _match_sink

    monkeypatch.setattr(_disk, "MAX_BLOCK", 4)
    held = []
    whole = _match_sink.MemorySink.keep

    def keep(sink, number, images, record):
        whole(sink, number, images, record)
        held.append(len(sink.pending))
    monkeypatch.setattr(_match_sink.MemorySink, "keep", keep)
    match_pairs(table, *images, input_size=16, path=tmp_path / "pairs.zarr")
    assert max(held) < 4 and len(held) > 20


def test_nothing_is_left_where_no_pair_is(table, images, tmp_path):
    with pytest.raises(ValueError, match="none of the"):
        match_pairs(table, sky.image(table, "SDSS", off=(20, 0)), images[1], input_size=16,
                    path=tmp_path / "pairs.zarr")
    assert [file.name for file in tmp_path.iterdir()] == ["pairs-dropped.ecsv"]
    assert set(Table.read(tmp_path / "pairs-dropped.ecsv")["reason"]) <= {"astrometry", "outside"}
