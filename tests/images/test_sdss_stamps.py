"""Stamps of several SDSS runs, from small files with their layout."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import InverseVariance

from astro_galtrans.exceptions import BandMismatchError, FileFormatError
from astro_galtrans.images import flux_and_weight, read_cube, read_stamps
from astro_galtrans.images._sdss import gaussians_psf

PSF = [0.65, 0.3, 0.05, 0.0, 0.0, 0.1, 0.05, -0.2, -0.8, 1.2, 1.3, 0.04, 5.5, 5.1, 0.1, 45, 53, 4.8]
FIELDS = ((3063, 2, 51), (3836, 2, 258), (3836, 2, 257))


def write_stamp(path, band, make_wcs, fields=FIELDS, side=21, seed=0, drop=()):
    rng = np.random.default_rng(seed)
    hdus = []
    for run, camcol, field in fields:
        header = make_wcs((side, side)).to_header()
        header.update({"RUN": run, "CAMCOL": camcol, "FIELD": field, "BAND": band, "NMGY": 0.005, "CALIB": 0.005,
                       "SKY": 137.0, "GAIN": 4.6, "DARKVAR": 1.0})
        header.update({f"PSF_P{index}": value for index, value in enumerate(PSF)})
        for key in drop:
            del header[key]
        weight = np.full((side, side), 2500.0)
        weight[0, :3] = 0
        kind = fits.ImageHDU if hdus else fits.PrimaryHDU
        hdus += [kind(rng.normal(0, 0.02, (side, side)), header), fits.ImageHDU(weight)]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def stamps(tmp_path, make_wcs):
    return {band: write_stamp(tmp_path / f"stamp-{band}.fits", band, make_wcs, FIELDS[:2] if band == "u" else FIELDS,
                              seed=seed) for seed, band in enumerate("ugr")}


def test_a_cube_for_each_field(stamps):
    cubes = read_stamps(stamps)
    assert [(cube.meta["run"], cube.meta["field"], cube.bands) for cube in cubes] == [
        (3063, 51, tuple("ugr")), (3836, 257, tuple("gr")), (3836, 258, tuple("ugr"))]
    for cube in cubes:
        assert cube.survey.name == "SDSS" and cube.unit == u.nmgy and cube.meta["gain"] == 4.6
        assert isinstance(cube.uncertainty, InverseVariance) and cube.psf.shape == (len(cube.bands), 25, 25)
        assert cube.meta["band_meta"]["g"]["header"]["PSF_P0"] == 0.65 and cube.pixel_scale.value == pytest.approx(.396)
        assert cube.mask.sum() == 3 * len(cube.bands) and (cube.uncertainty.array[~cube.mask] == 2500).all()
        flux, weight = flux_and_weight(cube)
        assert weight[0, 0, 0] == 0 and weight[0, 5, 5] == 2500
    np.testing.assert_allclose(cubes[0]["g"].data, fits.getdata(stamps["g"], 0), rtol=1e-6)
    np.testing.assert_allclose(cubes[2]["g"].data, fits.getdata(stamps["g"], 2), rtol=1e-6)
    assert [cube.meta["field"] for cube in read_stamps(list(stamps.values()), bands="ug", psf_size=11)] == [51, 258]


def test_a_stamp_is_stored_as_any_cube(stamps, tmp_path):
    cube = read_stamps(stamps)[0]
    cube.write(tmp_path / "cube.fits")
    back = read_cube(tmp_path / "cube.fits")
    np.testing.assert_array_equal(back.psf, cube.psf)
    assert back.meta["run"] == 3063 and back.meta["band_meta"]["u"]["header"]["BAND"] == "u"


def test_gaussians():
    one = gaussians_psf([1, 0, 0, *[0] * 6, 2.0, 3.0, 0.5, 1, 1, 0, 1, 1, 0], 41)
    y, x = np.indices(one.shape) - 20
    assert one.dtype == np.float32 and one.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose([(one * x * x).sum(), (one * y * y).sum(), (one * x * y).sum()], [2, 3, 0.5], rtol=1e-3)
    moved = gaussians_psf([0, 2, 0, 0, 0, 1.5, -2, 0, 0, 1, 1, 0, 2, 2, 0, 1, 1, 0], 41)
    np.testing.assert_allclose([(moved * x).sum(), (moved * y).sum()], [1.5, -2], atol=1e-4)
    with pytest.raises(ValueError, match="positive definite"):
        gaussians_psf([1, 0, 0, *[0] * 6, 1, 1, 2, 1, 1, 0, 1, 1, 0], 11)


def test_files_that_are_not_stamps(tmp_path, make_wcs, stamps):
    with pytest.raises(BandMismatchError, match="of band g, not r"):
        read_stamps({"r": stamps["g"]})
    with pytest.raises(BandMismatchError, match="second time"):
        read_stamps([stamps["g"], stamps["g"]])
    with pytest.raises(BandMismatchError, match="at least one"):
        read_stamps([])
    with pytest.raises(FileNotFoundError):
        read_stamps(tmp_path / "nothing.fits")
    with pytest.raises(ValueError, match="psf_size"):
        read_stamps(stamps, psf_size=10)
    with pytest.raises(FileFormatError, match="run.fits does not hold pairs"):
        read_stamps(write_stamp(tmp_path / "run.fits", "r", make_wcs, drop=["RUN"]))
    with pytest.raises(FileFormatError, match="p7.fits has an image without PSF_P7"):
        read_stamps(write_stamp(tmp_path / "p7.fits", "r", make_wcs, drop=["PSF_P7"]))
    with pytest.raises(FileFormatError, match="twice"):
        read_stamps(write_stamp(tmp_path / "twice.fits", "r", make_wcs, fields=FIELDS[:1] * 2))
