"""Images of this package in the hands of astropy, ccdproc, ginga, photutils, reproject and DS9-like readers."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty
from astropy.wcs import WCS

from astro_galtrans.images import as_band_cube, read_cube, regrid, split_bands


@pytest.fixture(scope="module")
def translated(small_translator, make_cube):
    """A translated galaxy, with a corner that is masked."""
    mask = np.zeros((5, 24, 24), bool)
    mask[:, :2, :2] = True
    return small_translator(make_cube(mask=mask))


@pytest.fixture
def files(translated, tmp_path):
    return translated.write_bands(tmp_path / "galaxy-{band}.fits")


def test_headers_are_those_that_others_look_for(files, translated):
    assert list(files) == list("ugriz")
    with fits.open(files["r"]) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK", "UNCERT", "META"]
        hdus.verify("exception")
        header = hdus[0].header
        assert (header["BUNIT"], header["FILTER"], header["SURVEY"], header["MAGZERO"]) == ("adu", "r", "CFHTLS", 30)
        assert (header["GTNAME"], header["GTHASH"]) == (
            translated.meta["galtrans"]["translator"], translated.meta["galtrans"]["hash"])
        assert header["NAXIS"] == 2 and "CTYPE3" not in header
        wcs = WCS(header)
    corner = translated.wcs.pixel_to_world(3, 40)
    assert wcs.pixel_to_world(3, 40).separation(corner) < 1e-6 * u.arcsec
    assert hdus["MASK"].header["BITPIX"] == 8


def test_astropy_reads_all_of_it(files, translated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = CCDData.read(files["g"])
    assert image.unit == u.adu and isinstance(image.uncertainty, StdDevUncertainty)
    np.testing.assert_array_equal(image.data, translated.data[1])
    np.testing.assert_array_equal(image.uncertainty.array, translated.uncertainty.array[1])
    np.testing.assert_array_equal(image.mask, translated.mask[1])


def test_back_to_a_cube(files, translated):
    again = read_cube(files, survey="CFHTLS")
    assert again.bands == translated.bands and again.unit == translated.unit
    np.testing.assert_array_equal(again.data, translated.data)
    np.testing.assert_array_equal(again.mask, translated.mask)
    np.testing.assert_allclose(again.uncertainty.array, translated.uncertainty.array, rtol=1e-6)


def test_what_a_cube_has_is_written(make_cube, tmp_path):
    """A PSF and an inverse variance too, and a cube without a place on the sky."""
    rng = np.random.default_rng(0)
    cube = make_cube(psf=rng.random((5, 7, 7)), uncertainty=InverseVariance(rng.random((5, 24, 24)) + 1), wcs=None)
    files = cube.write_bands(str(tmp_path / "x-{band}.fits"))
    image = CCDData.read(files["i"])
    assert image.wcs is None and isinstance(image.uncertainty, InverseVariance)
    np.testing.assert_array_equal(image.psf, cube.psf[3])
    with pytest.raises(FileExistsError, match="x-u.fits"):
        cube.write_bands(tmp_path / "x-{band}.fits")
    with pytest.raises(ValueError, match="{band}"):
        cube.write_bands(tmp_path / "x.fits")
    cube.write_bands(tmp_path / "x-{band}.fits", overwrite=True)


def test_ccdproc(files, translated):
    ccdproc = pytest.importorskip("ccdproc")
    images = ccdproc.ImageFileCollection(files["r"].parent, keywords=["filter", "bunit"])
    assert sorted(images.summary["filter"]) == sorted("ugriz")
    image = ccdproc.CCDData.read(files["r"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        combined = ccdproc.Combiner([image, image]).average_combine()
    good = ~image.mask
    np.testing.assert_allclose(combined.data[good], image.data[good], rtol=1e-5)


def test_ginga(files, translated):
    pytest.importorskip("ginga")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import logging

        from ginga.util.loader import load_data

        image = load_data(str(files["r"]), logger=logging.getLogger("ginga"))
        ra, dec = image.pixtoradec(10, 20)
    np.testing.assert_array_equal(image.get_data(), translated.data[2])
    place = translated.wcs.pixel_to_world(10, 20)
    assert (ra, dec) == (pytest.approx(place.ra.deg, abs=1e-7), pytest.approx(place.dec.deg, abs=1e-7))


def test_kinds_of_astropy_go_through_a_translator(small_translator, make_cube):
    made = small_translator(split_bands(make_cube()))
    assert set(made) == set("ugriz") and all(isinstance(image, CCDData) for image in made.values())
    assert as_band_cube(made, survey="CFHTLS").shape == (5, 52, 52)


def test_photutils_catalogue(translated, small_translator, make_cube):
    """A catalogue of a translated cube gives the magnitude that the galaxy was made with."""
    from photutils.segmentation import SourceCatalog, detect_sources

    cube = small_translator(make_cube())
    band = cube["r"]
    segments = detect_sources(band.data, 5 * cube.survey["r"].sky_noise, 5)
    table = SourceCatalog(band.data, segments, error=band.uncertainty.array, wcs=band.wcs).to_table(
        columns=["label", "sky_centroid", "segment_flux", "kron_flux"])
    row = table[int(np.argmax(table["kron_flux"]))]
    assert row["sky_centroid"].separation(cube.wcs.pixel_to_world(25.5, 25.5)) < 0.1 * u.arcsec
    magnitude = cube.zero_points[2] - 2.5 * np.log10(row["kron_flux"])
    assert magnitude == pytest.approx(17.0, abs=0.1)


def test_reproject_of_surface_brightness(translated):
    """reproject keeps surface brightness; with the area of the pixels flux is kept, as `regrid` does by itself."""
    from reproject import reproject_exact

    cube = translated.select_bands("r")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    wcs.wcs.crpix, wcs.wcs.cdelt, wcs.array_shape = [18.5, 18.5], [-0.3 / 3600, 0.3 / 3600], (36, 36)
    values = np.nan_to_num(cube.data[0])
    there, _ = reproject_exact((values, cube.wcs), wcs, shape_out=(36, 36))
    area = (0.3 / cube.pixel_scale.to_value(u.arcsec)) ** 2
    inner = slice(8, 28), slice(8, 28)
    ours = regrid(cube, wcs, (36, 36)).data[0]
    assert np.nansum(there[inner]) * area == pytest.approx(np.nansum(ours[inner]), rel=0.02)
