"""Tables of densities in each format, evaluated from the command line."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans.exceptions import FileFormatError, GaltransWarning
from astro_galtrans.photoz import RedshiftPDF, evaluate_redshifts, evaluate_table, point_metrics, read_pdf_table

N, GRID = 60, np.linspace(0, 1, 51)
FIGURES = ("z_density.png", "pit.png", "qq.png", "bias.png", "nz.png")
TABLES = ("metrics.ecsv", "nz.ecsv", "bins_z_spec.ecsv", "bins_z_phot.ecsv")


def make_table(meta=True):
    """Densities of which two are of no use, and a galaxy without a redshift."""
    rng = np.random.default_rng(2)
    z_spec = rng.uniform(0.2, 0.8, N)
    center = z_spec + 0.04 * rng.normal(size=N)
    density = np.exp(-0.5 * ((GRID - center[:, None]) / 0.04) ** 2)
    density /= np.trapezoid(density, GRID, axis=1)[:, None]
    density[3], density[4, 7] = np.nan, -1
    z_spec[5] = np.nan
    table = Table({"z_spec": z_spec, "pdf": density, "r_mag": rng.uniform(17, 21, N), "z_best": center})
    if meta:
        table.meta["redshift_grid"] = GRID.tolist()
    return table


def parquet(path, table):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {name: table[name].tolist() for name in table.colnames}
    columns["pdf"][3] = None
    parquet.write_table(pyarrow.table(columns), path)


def datasets(path, table):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name in table.colnames:
            file[f"catalog/{name}"] = table[name]
        file["grid"] = GRID


def second_hdu(path, table):
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU(Table({"a": [1, 2]}), name="OTHER"),
            fits.BinTableHDU(table, name="PHOTOZ"), fits.ImageHDU(GRID, name="ZVALUES")]
    fits.HDUList(hdus).writeto(path)


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")  # long names in FITS headers
@pytest.mark.parametrize("name, write, options", [
    ("t.ecsv", lambda path, table: table.write(path), []),
    ("t.fits", lambda path, table: table.write(path), []),
    ("t.fits", second_hdu, ["--table", "PHOTOZ", "--grid", "zvalues"]),
    ("t.fits", second_hdu, ["--table", "2", "--grid", "0:1:51"]),
    ("t.h5", lambda path, table: table.write(path, path="data", serialize_meta=True), []),
    ("t.hdf5", datasets, ["--table", "catalog"]),
    ("t.hdf5", datasets, ["--z-spec", "catalog/z_spec", "--pdf", "catalog/pdf", "--bins", "catalog/r_mag"]),
    ("t.parquet", parquet, ["--grid", "0:1:51"]),
    ("t.parquet", lambda path, table: table.write(path), []),
], ids=["ecsv", "fits", "fits-hdu", "fits-number", "hdf5-astropy", "hdf5-group", "hdf5-paths", "parquet-lists",
        "parquet-astropy"])
def test_each_format(tmp_path, run, name, write, options):
    if name.startswith(("t.h", "t.parquet")):
        pytest.importorskip("h5py" if name.startswith("t.h") else "pyarrow")
    pytest.importorskip("matplotlib")
    write(tmp_path / name, make_table())
    status, out, err = run("photoz", tmp_path / name, "--out", tmp_path / "results", "--n-bootstrap", 5, *options)
    assert status == 0, err
    assert len(out) == 1
    assert "57 of 60 galaxies evaluated (2 without a valid density, 1 without a usable true redshift)" in out[0]
    assert any("redshift densities are invalid and masked" in line for line in err)
    folder = tmp_path / "results"
    assert {path.name for path in folder.iterdir()} >= {*FIGURES, *TABLES}
    assert all((folder / figure).read_bytes().startswith(b"\x89PNG") for figure in FIGURES)
    metrics = Table.read(folder / "metrics.ecsv")
    with pytest.warns(GaltransWarning):
        expected = evaluate_table(make_table(), n_bootstrap=0)
    row = metrics[(metrics["metric"] == "nmad") & (metrics["estimate"] == "median")][0]
    assert row["value"] == pytest.approx(expected["nmad"]) and row["low"] < row["value"] < row["high"]
    assert (metrics.meta["n_galaxies"], metrics.meta["n_used"]) == (60, 57)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "results"])


def test_point_estimates_and_bins(tmp_path, run):
    pytest.importorskip("matplotlib")
    table = make_table()
    table["z_best"][9] = np.nan
    table.write(tmp_path / "t.ecsv")
    status, out, _ = run("photoz", tmp_path / "t.ecsv", "--out", tmp_path / "results", "--z-phot", "z_best", "--bins",
                         "r_mag=17,19,21", "--bins", "z_best=3", "--n-bootstrap", 0)
    assert status == 0
    assert "1 of them without a point estimate" in out[0]
    metrics = Table.read(tmp_path / "results" / "metrics.ecsv")
    good = np.isfinite(table["z_spec"]) & np.isfinite(table["z_best"]) & ~np.isin(np.arange(N), [3, 4])
    expected = point_metrics(table["z_best"][good], table["z_spec"][good])
    first = metrics[metrics["metric"] == "bias_mean"][0]
    assert first["estimate"] == "z_phot" and first["value"] == pytest.approx(expected["bias_mean"])
    assert first["n"] == 56
    bins = Table.read(tmp_path / "results" / "bins_r_mag.ecsv")
    assert list(bins["low"]) == [17, 19] and sum(bins["count"]) == 57
    assert np.all(np.isfinite(bins["crps"]))
    assert len(Table.read(tmp_path / "results" / "bins_z_best.ecsv")) == 3
    assert (tmp_path / "results" / "bins_r_mag.png").stat().st_size > 10_000


def test_folder_appears_whole_and_is_replaced_only_when_asked(tmp_path, run, monkeypatch):
    pytest.importorskip("matplotlib")
    make_table().write(tmp_path / "t.ecsv")
    arguments = ("photoz", tmp_path / "t.ecsv", "--out", tmp_path / "results", "--n-bootstrap", 0)
    assert run(*arguments)[0] == 0
    status, out, err = run(*arguments)
    assert (status, out) == (2, [])
    assert "not empty; --overwrite replaces it" in err[-1]
    (tmp_path / "results" / "old.txt").write_text("x")
    assert run(*arguments, "--overwrite")[0] == 0
    assert not (tmp_path / "results" / "old.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "paper.tex").write_text("x")
    assert "holds something else" in run(*arguments[:3], tmp_path / "mine", "--overwrite")[2][-1]
    monkeypatch.setattr("astro_galtrans.photoz._figures._qq", lambda evaluation: 1 / 0)
    assert run(*arguments[:3], tmp_path / "new", "--n-bootstrap", 0)[0] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "results", "t.ecsv"]


@pytest.mark.parametrize("change, message", [
    (["--z-spec", "zs"], "--z-spec must name a column: t.ecsv has no column 'zs'; it has z_spec, pdf, r_mag, z_best"),
    (["--z-phot", "zp"], "--z-phot must name a column: t.ecsv has no column 'zp'"),
    (["--bins", "g_mag=1,2"], "--bins must name a column: t.ecsv has no column 'g_mag'"),
    (["--pdf", "r_mag"], "--pdf must name a vector column, shape (n_galaxies, n_grid), got 'r_mag'"),
    (["--pdf", "z_spec"], "--pdf must name a vector column, shape (n_galaxies, n_grid), got 'z_spec'"),
    (["--pdf", "nothing"], "--pdf must name a column of t.ecsv, got 'nothing'"),
    (["--pdf", "p_*"], "--pdf must match columns of t.ecsv, got 'p_*'"),
    (["--grid", "0:1:7"], "grid has 7 redshifts, pdf of"),
    (["--grid", "0:1:x"], "grid must be first:last:n"),
    (["--grid", "nowhere"], "--grid must be first:last:n"),
    (["--grid", "0:1"], "got '0:1'"),
    (["--table", "3"], "table chooses among the parts of FITS and HDF5 files"),
    (["--bins", "r_mag=a"], "--bins must be NAME, NAME=N or NAME=EDGE,EDGE,..., got 'r_mag=a'"),
    (["--bins", "r_mag=20,18"], "--bins must have edges that increase, got 'r_mag=20,18'"),
    (["--bins", "r_mag=0"], "--bins must be NAME, NAME=N or"),
    (["--n-bootstrap", "-1"], "--n-bootstrap must be"),
    (["--out", "nowhere/results"], "does not exist"),
])
def test_bad_input_is_one_line(tmp_path, run, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    make_table().write("t.ecsv")
    status, out, err = run("photoz", "t.ecsv", "--out", "results", *change)
    assert (status, out) == (2, [])
    assert message in err[-1] and err[-1].startswith("galtrans: error: ") and "--debug" not in err[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["t.ecsv"]


def test_a_table_without_densities(tmp_path, run):
    make_table()["z_spec", "r_mag"].write(tmp_path / "points.csv")
    status, _, err = run("photoz", tmp_path / "points.csv", "--out", tmp_path / "results")
    assert status == 2 and "--pdf must name the column of densities" in err[-1]


@pytest.mark.parametrize("name", ["t.fits", "t.h5", "t.parquet", "t.ecsv"])
def test_broken_files(tmp_path, name):
    pytest.importorskip({"t.h5": "h5py", "t.parquet": "pyarrow"}.get(name, "numpy"))
    (tmp_path / name).write_bytes(b"nothing of the kind" * 10)
    with pytest.raises((FileFormatError, ValueError), match=name):
        read_pdf_table(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_pdf_table(tmp_path / f"missing-{name}")


@pytest.mark.parametrize("name, package", [("t.h5", "h5py"), ("t.parquet", "pyarrow")])
def test_missing_packages_are_named(tmp_path, monkeypatch, name, package):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=rf"{package}.*astro_galtrans\[tables\]"):
        read_pdf_table(tmp_path / name)


def test_densities_in_columns_of_numbers_in_bins_and_of_uneven_length(tmp_path):
    wide = Table({f"p{i}": np.full(4, value) for i, value in enumerate([0.5, 1.5])})
    pdf, _ = read_pdf_table(wide, pdf="p*", grid=[0, 0.5, 1])
    assert pdf.interpolation == "constant"
    assert pdf.mean() == pytest.approx([0.625] * 4)
    uneven = np.empty(3, dtype=object)
    uneven[:] = [np.ones(3), np.ones(2), np.ones(3)]
    with pytest.warns(GaltransWarning, match="normalized"):
        pdf, others = read_pdf_table(Table({"pz": uneven, "id": [1, 2, 3]}), columns=["id"], grid="0:2:3")
    assert list(pdf.valid) == [True, False, True] and list(others["id"]) == [1, 2, 3]
    masked = Table({"pdf": MaskedColumn(np.ones((3, 2)), mask=[[0, 0], [1, 1], [0, 0]]), "grid": [[0.0, 1.0]] * 3})
    assert list(read_pdf_table(masked)[0].valid) == [True, False, True]
    masked["grid"][1, 1] = 2
    with pytest.raises(ValueError, match="not the same grid in each row"):
        read_pdf_table(masked)


def test_files_of_qp(tmp_path):
    """Datasets as qp lays them out, in groups data, meta and ancil."""
    h5py = pytest.importorskip("h5py")
    table = make_table()
    with h5py.File(tmp_path / "qp.hdf5", "w") as file:
        file["meta/xvals"], file["meta/pdf_name"], file["meta/pdf_version"] = GRID[None], [b"interp"], [0]
        file["data/yvals"], file["ancil/z"] = table["pdf"], table["z_spec"]
    with pytest.warns(GaltransWarning, match="1 of 60 redshift densities are invalid"):
        pdf, others = read_pdf_table(tmp_path / "qp.hdf5", columns=["ancil/z"])
    assert (len(pdf), pdf.n_masked, len(others)) == (60, 2, 60)


def test_evaluation_of_known_densities():
    """Calibrated Gaussians: intervals hold what is known, and chance explains the PIT."""
    rng = np.random.default_rng(0)
    z_spec, grid = rng.uniform(0.3, 0.7, 2000), np.linspace(0, 1, 201)
    center = z_spec + 0.03 * rng.normal(size=2000)
    pdf = RedshiftPDF(grid, np.exp(-0.5 * ((grid - center[:, None]) / 0.03) ** 2), tolerance=np.inf)
    evaluation = evaluate_redshifts(pdf, z_spec, confidence=0.999, n_bootstrap=200)
    rows = {(row["estimate"], row["metric"]): row for row in evaluation.metrics}
    known = {"crps": 0.03 / np.sqrt(np.pi), "coverage_68": 0.68, "coverage_95": 0.95,
             "cde_loss": -1 / (2 * 0.03 * np.sqrt(np.pi)), "log_score": np.log(0.03 * np.sqrt(2 * np.pi * np.e))}
    for name, value in known.items():
        assert rows["", name]["low"] < value < rows["", name]["high"]
    assert evaluation["pit_ks_p_value"] > 0.01
    assert evaluation["nz_mean_difference"] == pytest.approx(np.mean(center - z_spec), abs=1e-5)
    assert sum(evaluation.bins["z_spec"]["count"]) == 2000
    assert evaluate_redshifts(pdf, z_spec, n_bootstrap=0).metrics["low"].tolist() != evaluation.metrics["low"].tolist()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_galaxies(tmp_path, n):
    pytest.importorskip("matplotlib")
    table = make_table()[10:10 + n]
    evaluation = evaluate_table(table, tmp_path / "results", by={"r_mag": 2}, n_bootstrap=3)
    assert len(evaluation.z_spec) == n
    assert (tmp_path / "results" / "bias.png").exists()
    table["z_spec"] = np.nan
    with pytest.raises(ValueError, match="no galaxy is left"):
        evaluate_table(table)


@pytest.mark.parametrize("old, new", [
    ("judge_table", "evaluate_table"), ("judge_redshifts", "evaluate_redshifts"),
    ("RedshiftJudgement", "RedshiftEvaluation"),
])
def test_names_of_version_0_1(old, new):
    from astro_galtrans import photoz

    with pytest.warns(AstropyDeprecationWarning, match=new):
        assert getattr(photoz, old) is getattr(photoz, new)
    with pytest.raises(AttributeError, match="nothing"):
        photoz.nothing
