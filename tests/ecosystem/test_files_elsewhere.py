"""ASDF without this package, redshift densities in qp and RAIL's tables, spectra in specutils."""

import json
import subprocess
import sys
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io.fits.verify import VerifyWarning
from astropy.table import Table

from astro_galtrans.photoz import RedshiftPDF, read_pdf_table
from astro_galtrans.storage import save
from astro_galtrans.surveys import get_survey, synthetic_magnitude

PLAIN = """
import json, sys, warnings


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "astro_galtrans":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Absent())
import asdf
import numpy as np

found = {}
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    with asdf.open("t.asdf") as file:
        state = file["translator"]["state"]
        found["translator"] = {
            "name": state["name"], "hash": state["hash"], "survey": state["input_survey"]["name"],
            "backbone": state["network"]["options"]["backbone"],
            "weights": sum(np.asarray(value).size for value in state["network"]["weights"].values())}
    with asdf.open("cube.asdf") as file:
        cube = file["cube"]
        place = cube["wcs"].pixel_to_world(11.5, 11.5)
        found["cube"] = {
            "bands": list(cube["bands"]), "unit": cube["unit"], "sum": float(np.asarray(cube["data"]).sum()),
            "ra": place.ra.deg, "survey": cube["survey"]["name"], "fwhm": cube["survey"]["bands"][2]["psf_fwhm"].value,
            "note": cube["meta"]["note"]}
found["warnings"] = sorted({warning.category.__name__ for warning in told})
assert not [name for name in sys.modules if name.startswith(("astro_galtrans", "torch"))]
print(json.dumps(found))
"""


def test_asdf_without_the_package(small_translator, make_cube, tmp_path):
    cube = make_cube(meta={"note": "kept"})
    save(tmp_path / "t.asdf", small_translator)
    save(tmp_path / "cube.asdf", cube)
    done = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["translator"] == {
        "name": small_translator.name, "hash": small_translator.hash, "survey": "SDSS", "backbone": "unet",
        "weights": sum(value.numel() for value in small_translator.network.state_dict().values())}
    told = found["cube"]
    assert (told["bands"], told["unit"], told["survey"], told["note"]) == (list("ugriz"), "nmgy", "SDSS", "kept")
    assert told["sum"] == pytest.approx(float(cube.data.sum()), rel=1e-6)
    assert told["ra"] == pytest.approx(150, abs=1e-9) and told["fwhm"] == 1.32
    ours = {name for name in found["warnings"] if not name.endswith("DeprecationWarning")}  # of old releases of others
    assert ours <= {"AsdfWarning", "AsdfConversionWarning", "AsdfPackageVersionWarning"}


@pytest.fixture
def pdf():
    grid = np.linspace(0, 1.2, 121)
    centre = np.array([0.2, 0.5, 0.8])[:, None]
    return RedshiftPDF(grid, np.exp(-0.5 * ((grid - centre) / 0.05) ** 2) / (0.05 * np.sqrt(2 * np.pi)))


def test_qp_in_hdf5(pdf, tmp_path):
    qp = pytest.importorskip("qp")
    pytest.importorskip("h5py")
    path = str(tmp_path / "densities.hdf5")
    pdf.to_qp().write_to(path)
    ensemble = qp.read(path)
    assert ensemble.npdf == 3
    again = RedshiftPDF.from_qp(ensemble)
    np.testing.assert_allclose(again.density, pdf.density, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(again.grid, pdf.grid)
    np.testing.assert_allclose(ensemble.pdf(0.5).ravel(), pdf.pdf(0.5), rtol=1e-9, atol=1e-12)


def test_tables_as_rail_has_them(pdf, tmp_path):
    """A group ``data/yvals`` with the grid beside it, as tables_io writes an ensemble of qp."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "output.hdf5", "w") as file:
        file["meta/xvals"], file["data/yvals"] = pdf.grid[None], pdf.density
        file["data/z_spec"] = [0.2, 0.5, 0.8]
    found, table = read_pdf_table(tmp_path / "output.hdf5", columns=["data/z_spec"])
    np.testing.assert_allclose(table["data/z_spec"], [0.2, 0.5, 0.8])
    np.testing.assert_allclose(found.density, pdf.density, rtol=1e-6)


@pytest.mark.parametrize("name", ["densities.fits", "densities.ecsv"])
def test_densities_in_tables(pdf, tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)  # of keywords with more than eight letters
        pdf.to_table(ids=["a", "b", "c"]).write(tmp_path / name)
        table = Table.read(tmp_path / name)
    again, _ = read_pdf_table(tmp_path / name)
    np.testing.assert_allclose(again.density, pdf.density, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(table["z_median"], pdf.median())


def test_spectrum_to_a_file_and_to_magnitudes(make_cube, tmp_path):
    """The SED of a cube is a Spectrum; what specutils writes it reads, and magnitudes come back from it."""
    from specutils import Spectrum

    from astro_galtrans.gradients import sed_spectrum

    spectrum = sed_spectrum(make_cube())
    spectrum = spectrum if spectrum.flux.ndim == 1 else spectrum[tuple(side // 2 for side in spectrum.shape[:-1])]
    spectrum.write(tmp_path / "sed.fits", format="tabular-fits")
    again = Spectrum.read(tmp_path / "sed.fits", format="tabular-fits")
    np.testing.assert_allclose(again.flux.to_value(spectrum.flux.unit), spectrum.flux.value, rtol=1e-6)
    flat = Spectrum(flux=np.full(4000, 3631.0) * u.Jy, spectral_axis=np.linspace(2500, 12000, 4000) * u.AA)
    assert synthetic_magnitude(flat, get_survey("SDSS")["r"]).value == pytest.approx(0, abs=1e-3)
