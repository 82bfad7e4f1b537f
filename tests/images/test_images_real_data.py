"""On the bytes that the surveys published."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.stats import mad_std, sigma_clip

from astro_galtrans.exceptions import SurveyError
from astro_galtrans.images import SDSSPSF, detect_galaxies, flux_and_weight, read_cube, read_frames, read_stamps
from astro_galtrans.images._sdss import gain_and_dark_variance


@pytest.fixture(scope="module")
def field(real_data):
    return read_frames(sorted((real_data / "sdss-field-003918-3-0213").glob("frame-*")), "SDSS")


def windowed_centroid(image, x0, y0, sigma=2.0):
    y, x = np.indices(image.shape)
    for _ in range(40):
        weight = image * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))
        x0, y0 = (x0 + 1.5 * ((weight * one).sum() / weight.sum() - old) if one is x else
                  y0 + 1.5 * ((weight * one).sum() / weight.sum() - old) for one, old in ((x, x0), (y, y0)))
    return np.array([x0, y0])


def test_noise_of_the_frames_is_the_scatter_of_the_background(field):
    for band in field:
        ratio = field[band].data[::2, ::2] / field[band].uncertainty.array[::2, ::2]
        sky = sigma_clip(ratio, sigma=2.5, stdfunc=mad_std, masked=False)
        assert 0.9 < mad_std(sky) < 1.12, band


def test_gains_of_the_pipeline(real_data):
    for path in sorted((real_data / "sdss-stamps-ugriz-desimcmc").glob("stamp-*")):
        header = fits.getheader(path)
        expected = header["GAIN"], header["DARKVAR"]
        told = gain_and_dark_variance(header["BAND"], header["CAMCOL"], header["RUN"])
        np.testing.assert_allclose(told, expected, rtol=1e-6)


def test_stars_stay_where_they_are_in_each_band(field):
    table = detect_galaxies(field, max_magnitude=18.0)
    stars = table[~table["extended"] & ~table["edge"] & ~table["neighbor"] & (table["magnitude"] > 15.5)][:8]
    for row in stars:
        position = SkyCoord(row["ra"], row["dec"], unit="deg")
        cut = field.cutout(position, 31)
        assert abs(np.nansum(cut["r"].data) - 10 ** (0.4 * (22.5 - row["magnitude"]))) < 0.2 * np.nansum(cut["r"].data)
        for band in "gi":
            x, y = (int(one) for one in field[band].wcs.world_to_pixel(position))
            if min(x, y) < 15 or x + 16 > field[band].shape[1] or y + 16 > field[band].shape[0]:
                continue
            own = windowed_centroid(field[band].data[y - 15:y + 16, x - 15:x + 16], 15, 15) + [x - 15, y - 15]
            expected = cut.wcs.world_to_pixel(field[band].wcs.pixel_to_world(*own))
            np.testing.assert_allclose(windowed_centroid(cut[band].data, 15, 15), expected, atol=0.01)


def test_galaxies_of_the_field(field):
    table = detect_galaxies(field, max_magnitude=20.5)
    # their cores are interpolated; seen on the images, as the galaxies, of which the brightest is r = 14.7
    saturated = SkyCoord([229.58928, 229.45983, 229.56646], [42.82262, 42.68824, 42.72934], unit="deg")
    found = table[table["saturated"]]
    assert len(found) == 3 and SkyCoord(found["ra"], found["dec"]).match_to_catalog_sky(saturated)[1].arcsec.max() < 1
    table = table[table["extended"] & ~table["saturated"]]
    assert 75 <= len(table) <= 95 and table["magnitude"][0] > 14.6
    cut = field.cutout(SkyCoord(table["ra"][5], table["dec"][5], unit="deg"), 64)
    flux, weight = flux_and_weight(cut)
    assert flux.shape == (5, 64, 64) and (weight > 0).mean() > 0.9


def test_cfhtls_stacks(real_data):
    files = {band: real_data / "cfhtls-gri-humvi" / f"CFHTLS-test_{band}.fits" for band in "gri"}
    cube = read_cube(files, survey="CFHTLS")
    assert cube.unit == cube.survey.unit and cube.shape == (3, 440, 440)
    np.testing.assert_array_equal(cube.data[0], fits.getdata(files["g"]))
    flux, weight = flux_and_weight(cube)
    sky = sigma_clip(flux * np.sqrt(weight), sigma=2.5, axis=(1, 2), stdfunc=mad_std, masked=True)
    for plane in sky:
        assert mad_std(plane.compressed()) == pytest.approx(1, abs=0.1)
    with pytest.raises(SurveyError):
        read_cube(files, survey="SDSS")


def test_cfhtls_lens_signal_to_noise(real_data):
    folder = real_data / "cfhtls-ugriz-gleam"
    cube = read_cube({band: next(folder.glob(f"*.{band.upper()}.*")) for band in "ugriz"})
    assert cube.survey.name == "CFHTLS"
    cut = cube.cutout(SkyCoord(218.7268, 52.4806, unit="deg"), 20)
    snr = cut.data.sum(axis=(1, 2)) / np.sqrt((cut.uncertainty.array**2).sum(axis=(1, 2)))
    assert snr[0] < snr[1] < snr[2] < snr[3]
    np.testing.assert_allclose(snr, [10, 93, 158, 272, 196], rtol=0.7)


def test_both_i_filters_of_megacam(real_data):
    folder = real_data / "cfhtls-ugriz-gleam"
    files = {path.name.split(".")[1].lower(): path for path in sorted(folder.glob("*.fits"))}
    cube = read_cube(list(files.values()))
    assert cube.bands == ("u", "g", "r", "i", "i2", "z") and cube.unit == "adu"
    np.testing.assert_array_equal(cube.zero_points, 30)
    for band in cube.bands:
        np.testing.assert_array_equal(cube[band].data, fits.getdata(files[band]))
    assert cube.meta["band_meta"]["i2"]["header"]["FILTER"] == "i.MP9702"
    # what is bright has the noise of its photons in both
    for band in ("i", "i2"):
        noise = cube[band].uncertainty.array
        assert noise.max() > 1.1 * np.median(noise)
    # with a small colour term between them
    aperture = np.hypot(*(np.indices((128, 128)) - 63.5)) < 12
    assert abs(2.5 * np.log10(cube["i"].data[aperture].sum() / cube["i2"].data[aperture].sum())) < 0.15
    assert read_cube(files, "CFHTLS", bands="ugriz").bands == tuple("ugriz")


def test_hsc_files_with_their_variance_and_psf(real_data):
    folder = real_data / "hsc-galaxy-pyplz"
    files = {kind: {band: next(folder.glob(f"*_{band}_{kind}.fits")) for band in "grizy"} for kind in (
        "sci", "var", "psf")}
    cube = read_cube(files["sci"], "HSC", weight=files["var"], psf=files["psf"], unit="adu")
    np.testing.assert_allclose(cube["r"].uncertainty.array ** 2, fits.getdata(files["var"]["r"]), rtol=1e-5)
    assert cube.psf.shape == (5, 43, 43)
    corner = cube.data[:, :40, :40] / cube.uncertainty.array[:, :40, :40]
    assert all(0.8 < mad_std(plane) < 1.4 for plane in corner)


def test_zeros_of_rounded_pixels_are_data(real_data):
    """A tenth of the pixels of these files is exactly zero: they were rounded."""
    cube = read_cube({"r": real_data / "kids-viking-9band-profound" / "r.fits"}, unit="mgy")
    assert (cube.data == 0).mean() > 0.05 and (cube.mask is None or cube.mask.mean() < 1e-4)


@pytest.mark.parametrize("survey", ["SDSS", "KiDS"])
def test_sigma_images_of_profit(real_data, survey):
    files = {kind: real_data / "pair-sdss-kids-profit" / survey / f"G265911{kind}.fits" for kind in (
        "fitim", "sigma", "mskim", "psfim")}
    cube = read_cube({"r": files["fitim"]}, unit="mgy", weight={"r": files["sigma"]}, mask={"r": files["mskim"]},
                     psf={"r": files["psfim"]})
    good = ~cube.mask[0]
    np.testing.assert_allclose(cube.uncertainty.array[0][good], fits.getdata(files["sigma"])[good], rtol=1e-6)
    assert cube.psf.sum() == pytest.approx(1)


def test_repeat_observations_differ_by_their_sigma(real_data):
    folder, ratios = real_data / "sdss-stamps-ugriz-desimcmc", []
    places = sorted({path.name.split("-", 2)[2] for path in folder.glob("stamp-*")})
    assert len(places) == 12
    for place in places:
        cubes = read_stamps([folder / f"stamp-{band}-{place}" for band in "ugriz"])
        for index, one in enumerate(cubes):
            for other in cubes[:index]:
                # fields of one run overlap, and have the same photons there
                if one.meta["run"] == other.meta["run"]:
                    continue
                for band in set(one.bands) & set(other.bands):
                    a, b = one[band], other[band]
                    good = ~a.mask & ~b.mask
                    if good.mean() > 0.5:
                        ratios.append(((a.data - b.data) / np.sqrt(
                            1 / a.uncertainty.array.clip(1e-9) + 1 / b.uncertainty.array.clip(1e-9)))[good])
    assert len(ratios) > 50
    assert 0.87 < mad_std(np.concatenate(ratios)) < 0.95
    assert 0.87 < np.median([mad_std(one) for one in ratios]) < 0.95


def test_psf_of_a_stamp_is_that_of_its_star(real_data):
    folder = real_data / "sdss-stamps-ugriz-desimcmc"
    place = "187.5640-11.8884.fits"
    flux = fits.getdata(folder / f"cat-{place}")[1]
    for cube in read_stamps([folder / f"stamp-{band}-{place}" for band in "ugriz"], psf_size=51):
        for band in "riz":
            one = cube[band]
            fitted = (one.data * one.psf).sum() / (one.psf**2).sum()
            assert fitted == pytest.approx(flux[f"psfflux_{band}"], rel=0.1)


def test_psf_of_a_field_is_the_published_one(real_data):
    folder = real_data / "sdss-field-002583-2-0136-psf"
    psf = SDSSPSF.read(folder / "psField-002583-2-0136.fits")
    given = fits.getdata(folder / "sdss-002583-2-0136-psf-r.fits").astype(float)
    # drawn for (x, y) = (600, 500) by a tool that takes rows for columns
    ours = psf.image("r", 500, 600)[13:38, 13:38]
    np.testing.assert_allclose(ours / ours.sum(), given / given.sum(), atol=1e-6 * given.max())
    # so do the effective areas that the pipeline states for the middle of the field: their ratio to ours is a smooth
    # function of the seeing one way round, and not the other
    area = [1 / np.sum(np.square(psf.image(band), dtype=float)) for band in "ugriz"]
    table = fits.getdata(folder / "photoField-002583-2.fits")
    stated = table["NEFF_PSF"][table["FIELD"] == 136][0]
    ratio = (np.array(area) / stated)[np.argsort(stated)]
    assert np.all(np.diff(ratio) < 0) and ratio[0] < 1.13 and ratio[-1] > 1.03, ratio
