"""The names of the top level, the same verbs for reading and writing everywhere, and texts of one line."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

import astro_galtrans as gt
from astro_galtrans.exceptions import FileFormatError

SUBPACKAGE_OF = {
    "BandCube": "images", "read_cube": "images", "stack_bands": "images", "split_bands": "images",
    "get_survey": "surveys", "register_survey": "surveys", "PairSet": "pairs", "match_pairs": "pairs",
    "simulate_pairs": "simulation", "TrainConfig": "training", "fit": "training", "Translator": "translation",
    "load": "storage", "save": "storage", "evaluate": "evaluation", "RedshiftPDF": "photoz", "point_metrics": "photoz",
    "distribution_metrics": "photoz", "sed_gradients": "gradients",
}
PAGE = Path(__file__).parent.parent / "docs" / "reference" / "toplevel.rst"


def run(code):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(1)
    return gt.PairSet.from_arrays(
        rng.normal(1, 0.1, (6, 5, 8, 8)), rng.normal(1, 0.1, (6, 5, 17, 17)), input_survey="SDSS",
        target_survey="CFHTLS", redshift=np.linspace(0.1, 0.2, 6))


@pytest.fixture(scope="module")
def result(pairs):
    config = gt.TrainConfig(objective="pixel", backbone_options={"widths": (4,)}, epochs=5)
    return gt.fit(pairs, config, epochs=1, batch_size=3)


@pytest.fixture(scope="module")
def cube():
    return gt.BandCube(np.ones((5, 8, 8)), bands="ugriz", survey="SDSS")


def test_the_top_level_shows_its_names_only():
    assert set(dir(gt)) == {*SUBPACKAGE_OF, "__version__"}
    assert sorted(gt.__all__) == dir(gt)


@pytest.mark.parametrize("name", sorted(SUBPACKAGE_OF))
def test_a_name_is_that_of_its_subpackage(name):
    if name == "simulate_pairs":
        pytest.importorskip("galsim")
    assert getattr(gt, name) is getattr(import_module(f"astro_galtrans.{SUBPACKAGE_OF[name]}"), name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="translate_everything"):
        gt.translate_everything


def test_importing_the_package_imports_no_other():
    libraries = ("torch", "matplotlib", "photutils", "specutils", "zarr", "scipy", "numpy", "astropy", "asdf")
    loaded = run(f"import sys, astro_galtrans; dir(astro_galtrans); print(*({set(libraries)} & set(sys.modules)))")
    assert loaded == ""


def test_a_name_loads_its_subpackage_only():
    loaded = run("import sys, astro_galtrans as gt; gt.get_survey; gt.save\n"
                 "print(*({'torch', 'matplotlib', 'photutils', 'specutils', 'zarr'} & set(sys.modules)))")
    assert loaded == ""


def test_the_page_of_the_reference_has_all_names():
    page = PAGE.read_text()
    assert [name for name in SUBPACKAGE_OF if f"astro_galtrans.{SUBPACKAGE_OF[name]}.{name}>" not in page] == []


def test_loading_a_translator_leaves_plugins_of_other_packages_out():
    loaded = run("import sys, astro_galtrans as gt; gt.load('sdss-to-cfhtls')\n"
                 "print(*({'ndcube', 'matplotlib', 'gwcs', 'asdf_astropy.extensions'} & set(sys.modules)))")
    assert loaded == ""


def test_files_are_read_and_written_by_the_same_verbs(tmp_path, pairs, cube, result):
    for thing, name in ((cube, "cube.fits"), (pairs, "pairs.zarr"), (gt.get_survey("SDSS"), "survey.yaml"),
                        (result.translator, "translator.asdf")):
        path = tmp_path / name
        thing.write(path)
        assert repr(type(thing).read(path)).replace("on disk", "in memory") == repr(thing)
        with pytest.raises(FileExistsError, match=f"{name}.*overwrite=True"):
            thing.write(path)
        thing.write(path, overwrite=True)
    assert gt.Translator.read(str(tmp_path / "translator.asdf")).hash == result.translator.hash
    with pytest.raises(FileExistsError, match="cube.fits.*overwrite=True"):
        gt.save(tmp_path / "cube.fits", cube)


def test_a_cube_is_read_with_the_options_of_read_cube(tmp_path, make_field):
    cube = make_field()
    cube.write(tmp_path / "cube.fits")
    part = gt.BandCube.read(tmp_path / "cube.fits", bands="gr", position=cube.wcs.pixel_to_world(8, 8), size=4)
    assert (part.bands, part.shape) == (("g", "r"), (2, 4, 4))


@pytest.fixture
def make_field():
    from astropy.wcs import WCS

    def make():
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10, 2], [8, 8]
        wcs.wcs.cdelt = [-1.1e-4, 1.1e-4]
        return gt.BandCube(np.ones((5, 16, 16)), bands="ugriz", survey="SDSS", wcs=wcs)

    return make


def test_translator_read_wants_one_translator(tmp_path, result, cube):
    gt.save(tmp_path / "cube.asdf", cube)
    with pytest.raises(FileFormatError, match="cube.asdf.*BandCube"):
        gt.Translator.read(tmp_path / "cube.asdf")
    gt.save(tmp_path / "both.asdf", {"cube": cube, "translator": result.translator})
    assert gt.Translator.read(tmp_path / "both.asdf").hash == result.translator.hash


def test_model_card(result):
    translator = gt.load("sdss-to-cfhtls")
    assert translator.card == translator.provenance["card"] and "SDSS" in translator.card
    assert result.translator.card is None


def test_keywords_of_fit_replace_fields_of_the_configuration(result):
    config = result.translator.provenance["config"]
    assert (result.config.epochs, result.config.batch_size, len(result.history)) == (1, 3, 1)
    assert (config["objective"], config["epochs"]) == ("pixel", 1)


def test_fit_names_an_unknown_keyword(pairs):
    with pytest.raises(TypeError, match="epoch is not a keyword argument;.*epochs"):
        gt.fit(pairs, epoch=3)
    with pytest.raises(ValueError, match="epochs"):
        gt.fit(pairs, epochs=0)


def test_a_report_is_kept_where_it_may_not_be_replaced(tmp_path):
    from astro_galtrans.evaluation import Evaluation

    pytest.importorskip("jinja2")
    (tmp_path / "report.html").write_text("mine")
    evaluation = Evaluation({}, names=["a"], redshift={}, z_spec=None, samples=None, history={}, failed={}, meta={})
    with pytest.raises(FileExistsError, match="report.html.*overwrite=True"):
        evaluation.write_report(tmp_path / "report.html", overwrite=False)
    assert (tmp_path / "report.html").read_text() == "mine"


def things(pairs, result):
    from astro_galtrans.archives import DownloadedImages, ImageService
    from astro_galtrans.gradients import sed_gradient_arrays
    from astro_galtrans.photoz import CatalogConfig, DistributionAccumulator, EstimatorConfig
    from astro_galtrans.spectra import SpectrumGrid

    yield from (pairs, pairs[0], pairs[0].input, pairs.input_survey, pairs.input_survey["r"], result, result.config)
    yield from (result.translator, replace(result.config, patience=None, size="small"), gt.TrainConfig())
    yield from (EstimatorConfig(), EstimatorConfig(epochs=3, grid=np.linspace(0, 1, 9)), CatalogConfig())
    yield from (gt.RedshiftPDF(np.linspace(0, 1, 9), np.ones((3, 9))), DistributionAccumulator(), SpectrumGrid())
    yield from (gt.sed_gradients(pairs[0].input), sed_gradient_arrays(pairs.input_flux, pairs.input_survey))
    yield from (DownloadedImages("SDSS", {"r": Path("r.fits")}, SkyCoord(1, 2, unit="deg")),
                ImageService("https://example.org", bands={"r": "R band"}))


def test_a_repr_is_one_short_line(pairs, result):
    texts = [repr(thing) for thing in things(pairs, result)]
    assert [text for text in texts if "\n" in text or len(text) > 280] == []


def test_the_repr_of_a_configuration_makes_it_again():
    config = gt.TrainConfig(objective="pixel", epochs=3, backbone_options={"widths": [4, 8]})
    assert repr(config) == "TrainConfig(objective='pixel', epochs=3, backbone_options={'widths': [4, 8]})"
    assert eval(repr(config), {"TrainConfig": gt.TrainConfig}) == config
