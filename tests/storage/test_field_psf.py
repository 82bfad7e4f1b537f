"""A cube whose PSF varies over the field keeps it in a file, or says that it does not."""

import os
from pathlib import Path

import asdf
import numpy as np
import pytest
from asdf.extension import Converter, Extension
from astropy.io import fits
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import SDSSPSF, BandCube, FieldPSF
from astro_galtrans.storage import load, save


def make_wcs(shift=0.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (229.5, 42.76), (100.5 + shift, 60.5), (-0.396 / 3600, 0.396 / 3600)
    return wcs


def gaussian(width, side=15):
    y, x = np.indices((side, side)) - side // 2
    return np.exp(-0.5 * (x**2 + y**2) / width**2) / (2 * np.pi * width**2)


def make_model():
    """The PSF gets wider along x by a factor over 200 pixels."""
    basis = np.stack([gaussian(1.2), gaussian(2.5) - gaussian(1.2)])
    coefficients = np.zeros((2, 2, 3))
    coefficients[:, 0, :2] = [1, 0], [0, 4]
    header = fits.Header([("RUN", 3918), ("CAMCOL", 3), ("FIELD", 213, "field number")])
    # r comes before g to see that the order is kept
    return SDSSPSF({band: (basis * factor, coefficients) for band, factor in (("r", 1.0), ("g", 1.0))}, header)


class Widening:
    """A model that ASDF does not know."""

    def __init__(self, rate=4e-3):
        self.rate = rate

    def image(self, band, x, y):
        plane = gaussian(1.2 + self.rate * x)
        return plane / plane.sum()


def make_cube(model):
    field = FieldPSF(model, {"r": make_wcs(), "g": make_wcs(2.5)})
    return BandCube(np.ones((2, 120, 200)), unit="nmgy", wcs=make_wcs(), bands="gr", survey="SDSS", psf=field)


@pytest.mark.parametrize("options", [{}, {"lazy_tree": True}, {"memmap": True}])
def test_a_psf_that_varies_comes_back(tmp_path, options):
    cube = make_cube(make_model())
    save(tmp_path / "cube.asdf", cube)
    with asdf.open(tmp_path / "cube.asdf", **options) as file:
        opened = file["cube"]
        opened.data.sum()
    loaded = load(tmp_path / "cube.asdf")
    (tmp_path / "cube.asdf").unlink()
    for read in (opened, loaded):
        assert read.psf_field.bands == ("g", "r")
        assert_allclose(read.psf, cube.psf, atol=1e-7)
        assert read.psf_field.variation(read.wcs, read.shape[1:]) > 0.3
        for x in (5, 100, 195):
            position = cube.wcs.pixel_to_world(x, 60)
            assert_allclose(read.cutout(position, 11).psf, cube.cutout(position, 11).psf, atol=1e-7)
        edge = [read.cutout(read.wcs.pixel_to_world(x, 60), 11).psf[0].max() for x in (5, 195)]
        assert edge[0] > 1.3 * edge[1]


def test_the_psf_alone_and_its_header(tmp_path):
    model = make_model()
    save(tmp_path / "psf.asdf", {"model": model, "field": FieldPSF(model, {"r": make_wcs(), "g": make_wcs()})})
    read = load(tmp_path / "psf.asdf")
    assert read["model"].bands == model.bands == ("r", "g") == read["field"].bands
    assert (read["model"].run, read["model"].camcol, read["model"].field) == (3918, 3, 213)
    assert_array_equal(read["model"].image("g", 10, 20), model.image("g", 10, 20))


def test_a_model_that_asdf_cannot_store_raises_a_warning(tmp_path):
    cube = make_cube(Widening())
    with pytest.warns(GaltransWarning, match=r"varies over the image by \d+% .* a Widening; .* of the middle only"):
        save(tmp_path / "cube.asdf", cube)
    read = load(tmp_path / "cube.asdf")
    assert read.psf_field is None
    assert_allclose(read.psf, cube.psf)


def test_a_model_that_hardly_varies_is_one_array(tmp_path):
    save(tmp_path / "cube.asdf", make_cube(Widening(rate=1e-6)))  # a warning would be an error
    assert load(tmp_path / "cube.asdf").psf.shape == (2, 15, 15)


def test_a_model_with_its_own_converter_is_stored(tmp_path):
    class WideningConverter(Converter):
        tags, types = ["asdf://example.org/tags/widening-1.0.0"], [Widening]

        def to_yaml_tree(self, obj, tag, ctx):
            return {"rate": obj.rate}

        def from_yaml_tree(self, node, tag, ctx):
            return Widening(node["rate"])

    class WideningExtension(Extension):
        extension_uri = "asdf://example.org/extensions/widening-1.0.0"
        converters, tags = [WideningConverter()], WideningConverter.tags

    cube = make_cube(Widening())
    with asdf.config_context() as config:
        config.add_extension(WideningExtension())
        save(tmp_path / "cube.asdf", cube)
        read = load(tmp_path / "cube.asdf")
    assert_allclose(read.cutout(cube.wcs.pixel_to_world(190, 60), 9).psf,
                    cube.cutout(cube.wcs.pixel_to_world(190, 60), 9).psf)


def test_a_real_psf_of_sdss(tmp_path):
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("GALTRANS_REAL_DATA is not set to a folder of real survey images")
    model = SDSSPSF.read(Path(folder) / "sdss-field-002583-2-0136-psf" / "psField-002583-2-0136.fits")
    save(tmp_path / "psf.asdf", model)
    read = load(tmp_path / "psf.asdf")
    assert (read.run, read.camcol, read.field, read.bands) == (2583, 2, 136, tuple("ugriz"))
    for band, x, y in (("u", 3, 4), ("r", 700, 900), ("z", 2000, 1400)):
        assert_array_equal(read.image(band, x, y), model.image(band, x, y))
