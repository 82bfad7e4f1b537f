"""Cubes, densities, estimators and translators through files."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import asdf
import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.table import Table
from astropy.time import Time
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.images import BandCube, read_cube
from astro_galtrans.photoz import RedshiftPDF, fit_redshift_estimator
from astro_galtrans.storage import load, save
from astro_galtrans.surveys import get_survey


def distorted_wcs():
    """A rotated tangential projection with a second-order SIP distortion, in a CD matrix."""
    header = fits.Header()
    header.update(
        CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", CRPIX1=17.123456789, CRPIX2=15.5, CRVAL1=210.802429123456789,
        CRVAL2=54.348753987654321, CD1_1=-9.1e-05, CD1_2=6.01234567e-05, CD2_1=6.1e-05, CD2_2=9.2e-05,
        A_ORDER=2, B_ORDER=2, A_2_0=1.23456789e-05, B_0_2=-2.3456789e-05, B_1_1=3.1e-06,
    )
    return WCS(header)


@pytest.fixture
def cube():
    rng = np.random.default_rng(3)
    data = rng.normal(size=(3, 32, 30)).astype(np.float32)
    data[0, 0, 0] = np.nan
    header = fits.Header([("RUN", 3918, "run number"), ("AIRMASS", 1.25)])
    header["COMMENT"] = "a comment"
    return BandCube(
        data, unit="nmgy", wcs=distorted_wcs(), bands="gri", survey="SDSS", mask=data > 2,
        uncertainty=InverseVariance(rng.uniform(1, 2, data.shape).astype(np.float32)), psf=np.ones((3, 5, 5)) / 25,
        meta={"exposure": 53.9 * u.s, "date": Time("2020-01-01"), "header": header, "runs": [1, 2], "note": None},
    )


def assert_same_cube(read, written):
    assert (read.bands, read.unit, read.shape) == (written.bands, written.unit, written.shape)
    assert (read.survey and read.survey.band_names) == (written.survey and written.survey.band_names)
    for name in ("data", "mask", "psf"):
        if getattr(written, name) is None:
            assert getattr(read, name) is None
        else:
            assert getattr(read, name).dtype == getattr(written, name).dtype
            assert_array_equal(getattr(read, name), getattr(written, name))
    assert type(read.uncertainty) is type(written.uncertainty)
    if written.uncertainty is not None:
        assert read.uncertainty.unit == written.uncertainty.unit
        assert read.uncertainty.array.dtype == written.uncertainty.array.dtype
        assert_array_equal(read.uncertainty.array, written.uncertainty.array)


@pytest.mark.parametrize("options", [{}, {"memmap": True}, {"lazy_tree": True}])
def test_cube_keeps_everything(tmp_path, cube, options):
    save(tmp_path / "cube.asdf", cube)
    with asdf.open(tmp_path / "cube.asdf", **options) as file:
        opened = file["cube"]
    loaded = load(tmp_path / "cube.asdf")
    (tmp_path / "cube.asdf").unlink()
    for read in (opened, loaded):
        assert_same_cube(read, cube)
        assert read.meta["exposure"] == 53.9 * u.s
        assert read.meta["date"] == Time("2020-01-01")
        assert read.meta["runs"] == [1, 2] and read.meta["note"] is None
        assert read.meta["header"].tostring() == cube.meta["header"].tostring()
        read.data[0, 0, 0] = 1  # neither read-only nor tied to the file


def test_distortion_and_position_are_exact(tmp_path, cube):
    save(tmp_path / "cube.asdf", cube)
    read = load(tmp_path / "cube.asdf").wcs
    assert_array_equal(read.sip.a, cube.wcs.sip.a)
    assert_array_equal(read.sip.b, cube.wcs.sip.b)
    y, x = np.mgrid[:32:5, :30:5]
    back = read.world_to_pixel_values(*cube.wcs.pixel_to_world_values(x, y))
    assert_allclose(back, [x, y], atol=1e-4)


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance, None])
def test_kinds_of_uncertainty_and_absent_parts(tmp_path, kind):
    data = np.ones((2, 4, 4))
    cube = BandCube(data, unit="adu", wcs=None, bands=["one", "two"], uncertainty=kind and kind(data * 2))
    save(tmp_path / "cube.asdf", cube)
    assert_same_cube(load(tmp_path / "cube.asdf"), cube)


def test_meta_that_has_no_place_in_a_file_is_named(tmp_path):
    cube = BandCube(np.ones((1, 4, 4)), unit="adu", wcs=None, bands="r", meta={"callback": object()})
    with pytest.raises(TypeError, match="object"):
        save(tmp_path / "cube.asdf", cube)
    assert os.listdir(tmp_path) == []


def test_real_frames(tmp_path, real_data):
    folder = real_data / "sdss-field-003918-3-0213"
    field = read_cube({band: folder / f"frame-{band}-003918-3-0213.fits.bz2" for band in "gr"}, survey="SDSS")
    cube = field.cutout(size=200)
    save(tmp_path / "cube.asdf", cube)
    read = load(tmp_path / "cube.asdf")
    assert_same_cube(read, cube)
    separation = read.wcs.pixel_to_world(10, 190).separation(cube.wcs.pixel_to_world(10, 190))
    assert separation < 0.001 * u.arcsec


@pytest.mark.parametrize("as_tensor", [False, True])
def test_densities_keep_masked_rows_and_kind(tmp_path, as_tensor):
    grid = np.linspace(0, 1, 51)
    density = np.exp(-0.5 * ((grid - np.array([[0.2], [0.5], [0.7]])) / 0.1) ** 2)
    density /= np.trapezoid(density, grid, axis=1)[:, np.newaxis]
    density[1] = np.nan
    pdf = RedshiftPDF(grid, torch.tensor(density, dtype=torch.float32) if as_tensor else density, on_invalid="mask")
    save(tmp_path / "pdf.asdf", pdf)
    read = load(tmp_path / "pdf.asdf")
    assert type(read.density) is type(pdf.density)
    assert read.density.dtype == pdf.density.dtype
    assert_array_equal(np.asarray(read.density), np.asarray(pdf.density))
    assert_array_equal(np.asarray(read.valid), [True, False, True])


def test_densities_of_histograms_stay_constant_in_their_bins(tmp_path):
    pdf = RedshiftPDF.from_histogram([0.0, 0.1, 0.4], [[1, 3], [2, 2]])
    save(tmp_path / "pdf.asdf", pdf)
    read = load(tmp_path / "pdf.asdf")
    assert read.interpolation == "constant"
    assert_array_equal(read.density, pdf.density)


@pytest.fixture(scope="module")
def estimator():
    rng = np.random.default_rng(0)
    return fit_redshift_estimator(
        rng.normal(size=(24, 5, 16, 16)).astype(np.float32), rng.uniform(0.02, 0.3, 24), survey="SDSS",
        epochs=1, seed=1)


def test_estimator_predicts_bitwise_the_same(tmp_path, estimator):
    flux = np.random.default_rng(1).normal(size=(4, 5, 16, 16)).astype(np.float32)
    save(tmp_path / "e.asdf", estimator)
    read = load(tmp_path / "e.asdf")
    assert_array_equal(read.predict(flux).density, estimator.predict(flux).density)
    save(tmp_path / "again.asdf", read)
    sums = [asdf.util.load_yaml(tmp_path / name)["estimator"]["sha256"] for name in ("e.asdf", "again.asdf")]
    assert sums[0] == sums[1]


@pytest.fixture(scope="module", params=["pixel", "gradient"])
def translator(request):
    """Untrained, with weights from a seed."""
    from astro_galtrans.backbones import NetworkConfig, TranslationNetwork
    from astro_galtrans.objectives import build_objective
    from astro_galtrans.translation import Translator

    surveys = get_survey("SDSS").select("gri"), get_survey("CFHTLS").select("gri")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = TranslationNetwork(NetworkConfig(
            "unet", surveys[0].sky_noise, surveys[1].sky_noise, [1000.0] * 3, [0, 1, 2], 0.187 / 0.396,
            backbone_options={"widths": (4, 8), "n_features": 4}))
        objective = build_objective(
            request.param, n_bands=3, n_features=network.backbone.n_features, n_embedding=network.backbone.n_embedding)
    return Translator(
        network, objective, objective_name=request.param, input_survey=surveys[0], target_survey=surveys[1],
        history=Table({"epoch": [0, 1], "loss": [1.5, 1.25]}), provenance={"seed": 4, "config": {"epochs": 2}})


FLUX = np.random.default_rng(2).normal(size=(3, 3, 32, 32)).astype(np.float32)


def test_translator_translates_bitwise_the_same(tmp_path, translator):
    save(tmp_path / "t.asdf", translator)
    with asdf.open(tmp_path / "t.asdf") as file:
        opened = file["translator"]
    loaded = load(tmp_path / "t.asdf")
    (tmp_path / "t.asdf").unlink()
    wanted = translator.translate_array_with_uncertainty(FLUX)
    for read in (opened, loaded):
        assert read.hash == translator.hash
        assert read.provenance == translator.provenance
        assert read.input_survey.band_names == ("g", "r", "i")
        assert_array_equal(read.history["loss"], translator.history["loss"])
        for one, other in zip(read.translate_array_with_uncertainty(FLUX), wanted):
            assert_array_equal(one, other)


def test_translator_in_another_process_translates_the_same(tmp_path, translator):
    save(tmp_path / "t.asdf", translator)
    np.save(tmp_path / "flux.npy", FLUX)
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom astro_galtrans.storage import load\n"
        "import torch\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        "folder = Path(sys.argv[1])\n"
        "flux = load(folder / 't.asdf').translate_array(np.load(folder / 'flux.npy'))\n"
        "np.save(folder / 'out.npy', flux)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert_array_equal(np.load(tmp_path / "out.npy"), translator.translate_array(FLUX))


def test_translator_of_an_unknown_backbone_is_refused(tmp_path, translator):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translator.network, "config", replace(translator.network.config, backbone="unet-of-tomorrow"))
        save(tmp_path / "t.asdf", translator)
    with pytest.raises(FileFormatError, match=r"t\.asdf.*unet-of-tomorrow"):
        load(tmp_path / "t.asdf")


def test_opening_a_cube_does_not_import_torch(tmp_path, cube):
    save(tmp_path / "cube.asdf", cube)
    code = (
        f"import sys, asdf\nwith asdf.open({str(tmp_path / 'cube.asdf')!r}) as file:\n    file['cube'].data.sum()\n"
        "sys.exit(sorted({'torch', 'lightning', 'nflows'} & set(sys.modules)) or 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def real_data():
    folder = os.environ.get("GALTRANS_REAL_DATA")
    if not folder:
        pytest.skip("GALTRANS_REAL_DATA is not set to a folder of real survey images")
    return Path(folder)
