"""Tables as archives and their users write them: one reader for pairs, fields and redshift densities."""

import bz2
import gzip

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from astro_galtrans._utils.positions import angle_unit, degrees
from astro_galtrans._utils.tables import matching_columns, numbers, read_table
from astro_galtrans.cli import main
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.field import _field
from astro_galtrans.pairs import MatchConfig
from astro_galtrans.pairs._match_catalog import read_sources
from astro_galtrans.photoz import RedshiftPDF, read_pdf_table

IDS = [1237648720693755918, 1237648720693755919]
ROWS = f"objID,ra,dec,redshift\n{IDS[0]},150.001,2.001,0.1\n{IDS[1]},150.002,2.002,0.2\n"
TEXTS = {
    "plain": ROWS, "SkyServer": "#Table1\n" + ROWS, "comment": "# made by hand\n\n" + ROWS,
    "comments anywhere": ROWS.replace(f"{IDS[1]}", f"# a break, here\n{IDS[1]}"), "BOM": "\ufeff" + ROWS,
    "semicolons": ROWS.replace(",", ";"), "tabs": ROWS.replace(",", "\t"), "spaces": ROWS.replace(",", "   "),
    "bars": ROWS.replace(",", " | "), "psql": ROWS.replace(",", " | ").replace("\n", "\n----+----+---+---\n", 1),
    "decimal commas": ROWS.replace(",", ";").replace(".", ","), "Windows": ROWS.replace("\n", "\r\n"),
    "names in a comment": "# by a program\n#" + ROWS.replace(",", " "),
    "quotes": ROWS.replace(str(IDS[0]), f'"{IDS[0]}"'),
    "spreadsheet": "sep=;\n" + ROWS.replace(",", ";"),
    "VizieR": ROWS.replace("redshift\n", "redshift\n,deg,deg,\n---,---,---,---\n").replace(",", "\t"),
    "spaces after commas": ROWS.replace(",", ", "), "names in capitals": ROWS.upper().replace("REDSHIFT", "redshift"),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("end", [".csv", ".dat"])
def test_text(tmp_path, kind, end):
    path = tmp_path / f"c{end}"
    path.write_text(TEXTS[kind], encoding="utf-8")
    sources = read_sources(path)
    assert sources.ids.tolist() == IDS
    np.testing.assert_allclose(sources.position.ra.deg, [150.001, 150.002])
    np.testing.assert_allclose(sources.redshift, [0.1, 0.2])
    field = _field.read_sources(path)
    np.testing.assert_allclose(field["dec"], [2.001, 2.002])


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_encodings_and_compression(tmp_path, encoding):
    text = ROWS.replace("objID", "objID,näme").replace(",150", ",a,150")
    (tmp_path / "c.csv").write_text(text, encoding=encoding)
    assert read_sources(tmp_path / "c.csv").ids.tolist() == IDS
    for name, pack in (("c.csv.gz", gzip.compress), ("c.csv.bz2", bz2.compress)):
        (tmp_path / name).write_bytes(pack(text.encode("utf-8")))
        assert read_sources(tmp_path / name).ids.tolist() == IDS


@pytest.mark.parametrize("null", ["", "null", "NULL", "nan", "NaN", "None", "N/A", "--", "NA"])
def test_words_for_missing(tmp_path, null):
    (tmp_path / "c.csv").write_text(
        ROWS.replace("150.002,2.002,0.2", f"{null},{null},{null}") + "5,10,20,0.4\n", encoding="utf-8")
    sources = read_sources(tmp_path / "c.csv")
    assert sources.ids.tolist() == [*IDS, 5]
    np.testing.assert_array_equal(np.isnan(sources.position.ra), [False, True, False])
    np.testing.assert_array_equal(sources.redshift, [0.1, np.nan, 0.4])
    table = Table({"ra": ["150.001", null], "dec": ["2.001", null], "z_spec": ["0.5", null]})
    for sources in (read_sources(table), _field.read_sources(table)):
        ra = sources["ra"] if isinstance(sources, Table) else sources.position.ra.deg
        np.testing.assert_array_equal(ra, [150.001, np.nan])
    np.testing.assert_array_equal(numbers(table["z_spec"], "z_spec"), [0.5, np.nan])


def test_missing_values_at_the_end_of_a_line(tmp_path):
    for delimiter in ",;\t|":
        (tmp_path / "c.dat").write_text("ra,dec,redshift\n1,2,\n3,4,0.5\n".replace(",", delimiter))
        np.testing.assert_array_equal(read_sources(tmp_path / "c.dat").redshift, [np.nan, 0.5])
    (tmp_path / "c.dat").write_text("ra;dec\n1;2\n;\n--;--\n")
    assert len(read_table(tmp_path / "c.dat")) == 3


def test_a_missing_name_is_refused(tmp_path):
    (tmp_path / "c.csv").write_text(ROWS.replace(str(IDS[1]), "null"))
    with pytest.raises(ValueError, match="objID"):
        read_sources(tmp_path / "c.csv")


def written(tmp_path, kind, table):
    path = tmp_path / f"t.{kind}"
    if kind == "vot":
        from_table(table).to_xml(str(path))
    elif kind == "plain.vot":
        (tmp_path / "t.plain.vot").write_text(VOTABLE)
    elif kind == "fits.bz2":
        table.write(tmp_path / "t.fits")
        path.write_bytes(bz2.compress((tmp_path / "t.fits").read_bytes()))
    elif kind == "columns.h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name in table.colnames:
                file[name] = table[name]
    elif kind == "arrow.parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        ids = pa.array([*table["objID"].tolist(), None])
        pq.write_table(pa.table({"objID": ids, "ra": [150.001, 150.002, None], "dec": [2.001, 2.002, None],
                                 "name": ["a", None, "c"]}).slice(0, 2), path)
    else:
        if kind in ("h5", "parquet"):
            pytest.importorskip({"h5": "h5py", "parquet": "pyarrow"}[kind])
        table.write(path, **({"path": "t", "serialize_meta": True} if kind == "h5" else {}))
    return path


VOTABLE = f"""<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
<FIELD ID="col1" name="objID" datatype="long"/><FIELD ID="col2" name="RAJ2000" datatype="double" unit="degrees"/>
<FIELD ID="col3" name="DEJ2000" datatype="double" unit="deg"/><FIELD name="note" datatype="char" arraysize="*"/>
<DATA><TABLEDATA><TR><TD>{IDS[0]}</TD><TD>150.001</TD><TD>2.001</TD><TD>a</TD></TR>
<TR><TD>{IDS[1]}</TD><TD>150.002</TD><TD>2.002</TD><TD></TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""


@pytest.mark.parametrize("kind", [
    "fits", "fits.gz", "fits.bz2", "ecsv", "vot", "plain.vot", "h5", "columns.h5", "parquet", "arrow.parquet", "csv",
    "html", "tex"])
def test_other_formats(tmp_path, kind):
    table = Table({"objID": IDS, "ra": [150.001, 150.002], "dec": [2.001, 2.002]})
    path = written(tmp_path, kind, table)
    renamed = path.rename(tmp_path / "unknown.bin") if kind not in ("html", "tex") else path  # its bytes tell
    for one in (renamed,):
        sources = read_sources(one)
        assert sources.ids.tolist() == IDS
        np.testing.assert_allclose(sources.position.dec.deg, [2.001, 2.002])
        np.testing.assert_allclose(_field.read_sources(one)["ra"], [150.001, 150.002])
    if kind == "plain.vot":
        assert list(sources.table["note"]) == ["a", ""]


LAYOUTS = {
    "ipac": "\\catalog='x'\n|objID               |ra      |dec    |\n|long                |double  |double |\n"
            + "".join(f" {one}  {ra}  {dec} \n" for one, ra, dec in zip(IDS, (150.001, 150.002), (2.001, 2.002))),
    "sextractor": "#   1 NUMBER  Running number\n#   2 ALPHA_J2000  Right ascension  [deg]\n"
                  "#   3 DELTA_J2000  Dec  [deg]\n1 150.001 2.001\n2 150.002 2.002\n",
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_layouts_of_astropy(tmp_path, kind):
    (tmp_path / "t.cat").write_text(LAYOUTS[kind])
    sources = read_sources(tmp_path / "t.cat")
    np.testing.assert_allclose(sources.position.ra.deg, [150.001, 150.002])
    assert kind == "sextractor" or sources.ids.tolist() == IDS


def test_large_unsigned_names(tmp_path):
    (tmp_path / "c.csv").write_text(f"id,ra,dec\n{2**64 - 1},1,2\n{2**63},1,2\n")
    assert read_sources(tmp_path / "c.csv").ids.tolist() == [2**64 - 1, 2**63]


@pytest.mark.parametrize("content", [
    "", "# nothing\n", "ra,dec\n1,2\n3\n", "ra,dec,ra\n1,2,3\n", "150.0 2.0\n151.0 3.0\n", "\0\1\2"])
def test_no_tables(tmp_path, content):
    (tmp_path / "c.csv").write_text(content)
    with pytest.raises(FileFormatError, match="c.csv"):
        read_table(tmp_path / "c.csv")
    with pytest.raises(TypeError, match="catalog"):
        read_table([1, 2])
    with pytest.raises(FileNotFoundError, match="none.csv"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize("name, factor", [
    ("degrees", 1), ("deg", 1), ("DEG", 1), ("Degree", 1), ("rad", np.pi / 180), ("radians", np.pi / 180),
    ("hours", 1 / 15), ("hourangle", 1 / 15), ("arcsec", 3600)])
def test_units_of_fits_columns(tmp_path, name, factor):
    hdu = fits.table_to_hdu(Table({"ra": [150.0 * factor], "dec": [2.0]}))
    hdu.columns["ra"].unit, hdu.columns["dec"].unit = name, "degrees"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "u.fits")
    for source in (tmp_path / "u.fits", read_table(tmp_path / "u.fits")):
        assert read_sources(source).position.ra.deg == pytest.approx([150])
        assert _field.read_sources(source)["ra"][0] == pytest.approx(150)
    assert angle_unit(name, "ra").is_equivalent(u.deg)


def test_units_that_are_no_angles():
    table = Table({"ra": Column([150.0], unit=u.Unit("furlongs", parse_strict="silent")), "dec": [2.0]})
    with pytest.raises(ValueError, match="column ra .*furlongs.*unit="):
        read_sources(table)
    assert read_sources(table, MatchConfig(unit="degrees")).position.ra.deg == pytest.approx([150])
    with pytest.raises(ValueError, match="mag"):
        angle_unit("mag", "ra")


TEXT_RA = {
    "decimal": (["150.001", " 10.5 "], [150.001, 10.5]), "exponent": (["1.5e2", "+.5"], [150, 0.5]),
    "colons": (["10:00:03.6", "00:00:00"], [150.015, 0]), "spaces": (["10 00 03.6", "1 0 0"], [150.015, 15]),
    "letters": (["10h00m03.6s", "1h"], [150.015, 15]), "degrees": (["150.001d", "10d30m"], [150.001, 10.5]),
}


@pytest.mark.parametrize("kind", TEXT_RA)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_right_ascension_as_text(kind, as_bytes):
    text, expected = TEXT_RA[kind]
    text = np.char.encode(text) if as_bytes else np.array(text)
    np.testing.assert_allclose(degrees(text, "ra", "ra"), expected)
    table = Table({"ra": text, "dec": ["2.5", "-2.5"]})
    np.testing.assert_allclose(read_sources(table).position.ra.deg, expected)
    np.testing.assert_allclose(_field.read_sources(table)["ra"], expected)


def test_declination_as_text():
    np.testing.assert_allclose(degrees(["-00:30:00", "+01 30 00", "1d30m"], "dec", "dec"), [-0.5, 1.5, 1.5])
    np.testing.assert_allclose(degrees(["1.5", "-2"], "dec", "dec"), [1.5, -2])


def test_units_given_with_text():
    assert degrees(["10.5"], "ra", "ra", unit="hourangle") == pytest.approx([157.5])
    assert degrees(["150:00:00"], "ra", "ra", unit="deg") == pytest.approx([150])
    vizier = Column(["10 30 00"], unit=u.Unit('"h:m:s"', parse_strict="silent"))
    assert degrees(vizier, "ra", "ra") == pytest.approx([157.5])


@pytest.mark.parametrize("ra, dec, wrong", [
    ([400.0, 1.0], [0.0, 1.0], "ra .*400"), ([360.0, 1.0], [0.0, 1.0], "ra .*360"),
    ([1.0, 1.0], [0.0, 91.0], "dec .*91"),
    (["150:00:04", "1:0:0"], [0.0, 1.0], "ra .*150:00:04"), (["24:00:00", "1:0:0"], [0.0, 1.0], "ra .*24:00:00"),
    (["400.5", "1"], [0.0, 1.0], "ra .*400.5"), ([1.0, 1.0], ["-91:00:00", "0:0:0"], "dec .*-91:00:00"),
    (["abc", "1"], [0.0, 1.0], "ra .*abc"), (["10:00:00", "10.5"], [0.0, 1.0], "ra .*10.5"),
    (["10:75:00", "1:0:0"], [0.0, 1.0], "ra .*10:75:00"), ([-999.0, 1.0], [0.0, 1.0], "ra .*-999")])
def test_positions_that_cannot_be(ra, dec, wrong):
    for read in (read_sources, _field.read_sources):
        with pytest.raises(ValueError, match=f"column {wrong}"):
            read(Table({"ra": ra, "dec": dec}))


def test_masked_positions():
    ra = Masked([1.0, 999.0] * u.deg, mask=[False, True])
    for table in (QTable({"ra": ra, "dec": ra}),
                  Table({"ra": MaskedColumn([1.0, 999.0], mask=[0, 1]), "dec": [1.0, 2.0]}),
                  Table({"ra": MaskedColumn(["1", "a"], mask=[0, 1]), "dec": [1.0, 2.0]})):
        np.testing.assert_array_equal(read_sources(table).position.ra.deg, [1, np.nan])
        np.testing.assert_array_equal(_field.read_sources(table)["ra"], [1, np.nan])


@pytest.mark.parametrize("ra, dec", [("150:00:00", "2"), ("400", "2"), ("10", "95"), ("nan", "2"), ("x", "2")])
def test_download_refuses_positions(tmp_path, capsys, ra, dec):
    assert main(["download", ra, dec, "--out", str(tmp_path / "d")]) != 0
    message = capsys.readouterr().err
    assert ("DEC" if dec == "95" else "RA") in message and not (tmp_path / "d").exists()


N = 13
GRID = np.linspace(0, 1.2, N)


def density_columns(prefix="p_", order=str):
    z = np.linspace(0.2, 1.0, 5)
    density = np.exp(-0.5 * ((GRID - z[:, None]) / 0.1) ** 2)
    names = sorted(range(N), key=order)
    return RedshiftPDF(GRID, density, tolerance=np.inf), z, {f"{prefix}{i}": density[:, i] for i in names}


@pytest.mark.parametrize("kind", ["fits", "ecsv", "csv", "vot", "parquet", "columns.h5", "h5", "tracked"])
def test_densities_in_numeric_order(tmp_path, kind):
    expected, z, columns = density_columns()
    table = Table({"z_spec": z, **columns})
    if kind == "tracked":
        h5py = pytest.importorskip("h5py")
        source = tmp_path / "t.h5"
        with h5py.File(source, "w", track_order=True) as file:
            for name in table.colnames:
                file[name] = table[name]
    else:
        source = written(tmp_path, kind, table)
    for one in (source, table):
        with pytest.warns(UserWarning, match="normalized"):
            pdf, others = read_pdf_table(one, pdf="p_*", grid="0:1.2:13", columns=["z_spec"])
        np.testing.assert_allclose(pdf.density, expected.density, rtol=1e-6)
        np.testing.assert_allclose(others["z_spec"], z)


def test_the_order_of_columns():
    assert matching_columns(["p_10", "p_9", "q"], "p_*") == ["p_9", "p_10"]
    assert matching_columns(["z0.10", "z0.9", "z0.05"], "z*") == ["z0.05", "z0.10", "z0.9"]
    assert matching_columns(["run2_p10_x", "run2_p9_x"], "run2*") == ["run2_p9_x", "run2_p10_x"]
    assert matching_columns(["a", "b"], "c*") == [] and matching_columns(["a", "b"], "a*") == ["a"]


@pytest.mark.parametrize("names, wrong", [
    (["p_1", "p_2", "p_sum"], "p_sum"), (["p_1", "p_01", "p_2"], "p_01"), (["p_a", "p_b"], "p_b"),
    (["p_1_1", "p_1_2", "p_2_1"], "p_2_1")])
def test_ambiguous_columns_are_refused(names, wrong):
    with pytest.raises(ValueError, match=wrong):
        matching_columns(names, "p*")


def _bomb(n=9):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]"]
    return lines + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, n)]


def test_nested_aliases_are_refused(tmp_path):
    path = tmp_path / "t.ecsv"
    Table({"a": [1, 2]}, meta={"name": "x"}).write(path)
    text = path.read_text().replace("# meta: !!omap", "\n".join([*(f"# {line}" for line in _bomb()), "# meta: !!omap"]))
    assert "&a3" in text
    path.write_text(text)
    with pytest.raises(FileFormatError, match=r"t\.ecsv repeats more"):
        read_table(path)


@pytest.mark.parametrize("kind", ["external link", "external values", "size"])
def test_hdf5_that_claims_more_than_it_has(tmp_path, kind):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "t.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(3)
        if kind == "external link":
            file["b"] = h5py.ExternalLink("other.h5", "/b")
        elif kind == "external values":
            file.create_dataset("b", (3,), "u1", external=[("/etc/hosts", 0, 3)])
        else:
            file.create_dataset("b", (10**10,), "f8", chunks=(10**3,))
    with pytest.raises(FileFormatError if kind == "size" else ValueError, match=r"t\.h5"):
        read_table(path)


def test_votable_with_values_elsewhere(tmp_path):
    path = tmp_path / "t.vot"
    Table({"a": [1.0, 2.0]}).write(path, format="votable", tabledata_format="binary2")
    path.write_text(path.read_text().replace("<STREAM", '<STREAM href="file:///etc/hosts"'))
    with pytest.raises(ValueError, match=r"t\.vot refers to values in another file"):
        read_table(path)
