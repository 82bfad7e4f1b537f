"""PSFs from psField files and masks from fpM files, of small files with the layout of the survey's."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from astro_galtrans.exceptions import BandMismatchError, FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.images import (
    SDSSPSF, BandCube, FieldPSF, FrameSet, read_cube, read_frames, read_sdss_mask, regrid, split_bands, stack_bands,
)

SIDE = 15
PLANES = ("INTERP", "SATUR", "NOTCHECKED", "OBJECT", "BRIGHTOBJECT", "BINOBJECT", "CATOBJECT", "SUBTRACTED", "GHOST",
          "CR")


def gaussian(sigma, side=SIDE):
    y, x = np.indices((side, side)) - side // 2
    image = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return image / image.sum()


EIGEN = np.stack([gaussian(1.3), gaussian(2.0) - gaussian(1.0)])


def write_psfield(path, growth=0.3, run=3918, camcol=3, field=213, cut=0):
    """A PSF that grows by ``growth`` of the second eigen-image each 100 columns, and by a third of that each 100 rows;
    what stands in the coefficients beyond the orders in use must not count."""
    hdus = [fits.PrimaryHDU(header=fits.Header({"RUN": run, "CAMCOL": camcol, "FIELD": field, "FILTERS": "u g r i z"}))]
    for index in range(5):
        c = np.full((2, 5, 5), 9.0)
        c[0, :1, :1] = 1
        c[1, :2, :2] = [[0.1 * index, 10 * growth], [10 * growth / 3, 0]]
        orders = np.array([1, 2], dtype=np.int32)
        rows = np.array([one.ravel().astype(np.float32)[cut:] for one in EIGEN], dtype=object)
        hdus.append(fits.BinTableHDU.from_columns([
            fits.Column("nrow_b", "1J", array=orders), fits.Column("ncol_b", "1J", array=orders),
            fits.Column("c", "25E", dim="(5,5)", array=c), fits.Column("RNROW", "1J", array=[SIDE, SIDE]),
            fits.Column("RNCOL", "1J", array=[SIDE, SIDE]), fits.Column("RROWS", "PE()", array=rows)]))
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("field", "1J", array=[field])]))
    fits.HDUList(hdus).writeto(path)
    return path


def write_fpm(path, spans, shape=(120, 150), names=True, run=3918, camcol=3, field=213, order=PLANES):
    """``spans`` is a dict of kind of mask to a list of objects, each a list of (row, first, last)."""
    header = fits.Header({"RUN": run, "CAMCOL": camcol, "FIELD": field, "NFILTER": 5, "MASKROWS": shape[0],
                          "MASKCOLS": shape[1], "NPLANE": len(order)})
    hdus = [fits.PrimaryHDU(header=header)]
    for name in order:
        objects = [np.array(one, dtype=">i2").reshape(-1, 3) for one in spans.get(name, [])]
        heap = np.empty(len(objects), dtype=object)
        heap[:] = [np.frombuffer(one.tobytes(), dtype=np.uint8) for one in objects]
        numbers = {"refcntr": [1] * len(objects), "nspan": [len(one) for one in objects], "row0": [0] * len(objects),
                   "col0": [0] * len(objects), "npix": [int((one[:, 2] - one[:, 1] + 1).sum()) for one in objects]}
        columns = [fits.Column(key, "1J", array=np.array(values, dtype=np.int32)) for key, values in numbers.items()]
        hdus.append(fits.BinTableHDU.from_columns([*columns, fits.Column("span", "PB()", array=heap)]))
    if names:
        hdus.append(fits.BinTableHDU.from_columns([
            fits.Column("defName", "20A", array=["S_MASKTYPE"] * len(order) + ["OBJECT1_FLAGS"]),
            fits.Column("attributeName", "20A", array=[f"S_MASK_{name}" for name in order] + ["OTHER"]),
            fits.Column("Value", "1J", array=[*range(len(order)), 0])]))
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory, write_frame):
    folder = tmp_path_factory.mktemp("field")
    offsets = {"g": (1.1, 4.4), "r": (0, 0), "i": (-0.6, 3.2)}
    return {band: write_frame(folder / f"frame-{band}.fits", band, offset=offset, seed=seed)
            for seed, (band, offset) in enumerate(offsets.items())}


@pytest.fixture(scope="module")
def psfield(tmp_path_factory):
    return write_psfield(tmp_path_factory.mktemp("psf") / "psField-003918-3-0213.fit")


def width(psf):
    """Standard deviation along x and y."""
    y, x = np.indices(psf.shape) - np.array(psf.shape).reshape(2, 1, 1) // 2
    return np.sqrt((psf * x**2).sum()), np.sqrt((psf * y**2).sum())


def test_psf_is_the_sum_of_its_eigen_images(psfield):
    psf = SDSSPSF.read(psfield)
    assert (psf.run, psf.camcol, psf.field, psf.bands) == (3918, 3, 213, tuple("ugriz"))
    image = psf.image("r", 100, 20)
    expected = EIGEN[0] + (0.2 + 3 * 0.1005 + 0.0205) * EIGEN[1]
    assert image.shape == (SIDE, SIDE) and image.dtype == np.float32 and image.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(image, expected / expected.sum(), atol=1e-7)
    # the column changes it more than the row: the two must not be swapped
    assert width(psf.image("r", 140, 0)) > width(psf.image("r", 0, 140)) > width(psf.image("r", 0, 0))
    np.testing.assert_array_equal(psf.image("r"), psf.image("r", 1023.5, 744))
    np.testing.assert_array_equal(psf.image("r", -50, 1e5), psf.image("r", 0, 1488))
    with pytest.raises(BandMismatchError, match="u, g, r, i, z"):
        psf.image("y", 1, 1)
    with pytest.raises(ValueError, match="finite"):
        psf.image("r", np.nan, 1)


def test_files_that_are_not_psfield(tmp_path, frames, psfield):
    with pytest.raises(FileNotFoundError):
        SDSSPSF.read(tmp_path / "none.fit")
    with pytest.raises(FileFormatError, match="psField"):
        SDSSPSF.read(frames["r"])
    with pytest.raises(FileFormatError, match="short.fit.*band u"):
        SDSSPSF.read(write_psfield(tmp_path / "short.fit", cut=3))
    path = tmp_path / "truncated.fit"
    path.write_bytes(psfield.read_bytes()[:30000])
    with pytest.raises(FileFormatError, match="truncated.fit"):
        SDSSPSF.read(path)


def test_a_cutout_has_the_psf_of_its_place(frames, psfield):
    psf, field = SDSSPSF.read(psfield), read_frames(frames, "SDSS", psf=psfield)
    whole = read_cube(frames, "SDSS", psf=psf)
    assert whole.psf.shape == (3, SIDE, SIDE) and isinstance(whole.psf_field, FieldPSF)
    for x, y in ((20, 20), (130, 100), (74, 59)):
        position = field.wcs.pixel_to_world(x, y)
        expected = [psf.image(band, *field[band].wcs.world_to_pixel(position)) for band in "gri"]
        for cut in (field.cutout(position, 17), whole.cutout(position, 17), whole.cutout(position, 41).cutout(
                position, 17), read_cube(frames, "SDSS", psf=psfield, position=position, size=17)):
            np.testing.assert_allclose(cut.psf, expected, atol=2e-3 * np.max(expected))
            np.testing.assert_array_equal(cut["r"].psf, cut.psf[1])
    assert width(whole.cutout(field.wcs.pixel_to_world(140, 60), 9).psf[1]) > width(whole.psf[1])


def test_what_is_done_with_a_cube_keeps_its_psf(frames, psfield, make_wcs):
    whole = read_cube(frames, "SDSS", psf=psfield)
    cut = whole.cutout(whole.wcs.pixel_to_world(120, 90), 21)
    np.testing.assert_array_equal(cut.to_unit("Jy").psf, cut.psf)
    np.testing.assert_array_equal(cut.select_bands("gi").psf, cut.psf[[0, 2]])
    np.testing.assert_array_equal(stack_bands(split_bands(cut)).psf, cut.psf)
    assert BandCube(cut, bands=cut.bands, survey="SDSS").psf_field is not None
    assert "psf" not in repr(cut)
    # on pixels of half the size, turned by a quarter, the PSF has twice the width, and x and y are swapped
    there = cut.wcs.pixel_to_world(10, 10)
    fine = regrid(cut, make_wcs((42, 42), 0.198, angle=90, crval=(there.ra.deg, there.dec.deg)), (42, 42))
    np.testing.assert_allclose(width(fine.psf[1]), 2 * np.array(width(cut.psf[1])), rtol=0.02)
    assert cut.psf_field.image("r", there).shape == (SIDE, SIDE)
    with pytest.raises(BandMismatchError, match="z"):
        cut.psf_field.select("z")
    with pytest.raises(ValueError, match="WCS"):
        BandCube(np.ones((3, 4, 4)), unit="nmgy", bands="gri", psf=cut.psf_field)


def test_a_file_tells_where_one_psf_is_not_enough(frames, psfield, tmp_path):
    whole = read_cube(frames, "SDSS", psf=psfield)
    with pytest.warns(GaltransWarning, match="PSF varies over the image by .*%"):
        whole.write(tmp_path / "whole.fits")
    cut = whole.cutout(None, 3)
    cut.write(tmp_path / "cut.fits")
    np.testing.assert_array_equal(read_cube(tmp_path / "cut.fits").psf, cut.psf)
    assert cut.psf_field.variation(cut.wcs, (1, 1)) == 0


def test_psf_that_does_not_belong(frames, psfield, tmp_path, make_wcs):
    other = write_psfield(tmp_path / "other.fit", field=214)
    with pytest.raises(SurveyError, match="field 214.*band g of run 3918, camcol 3, field 213"):
        read_frames(frames, psf=other)
    with pytest.raises(FileFormatError, match="psField.*dict"):
        read_frames(frames, psf=frames["r"])
    with pytest.raises(TypeError, match="psf"):
        read_frames(frames, psf=3)
    with pytest.raises(TypeError, match="image"):
        FieldPSF(object(), {})
    image = CCDData(np.ones((9, 9)), unit="nmgy", wcs=make_wcs((9, 9)))
    with pytest.raises(ValueError, match="wcs"):
        FieldPSF(SDSSPSF.read(psfield), {"r": None})
    assert FrameSet({"r": image}, psf=SDSSPSF.read(psfield)).cutout(None, 5).psf.shape == (1, SIDE, SIDE)


def test_psf_images_by_band(frames, tmp_path):
    planes = {"g": gaussian(1.2), "r": gaussian(1.1, 9) * 3, "i": tmp_path / "i.fits"}
    fits.writeto(tmp_path / "i.fits", gaussian(1.0))
    cube = read_cube(frames, "SDSS", psf=planes)
    assert cube.psf.shape == (3, SIDE, SIDE) and cube.psf_field is None
    np.testing.assert_allclose(cube.psf[1, 3:12, 3:12], gaussian(1.1, 9), atol=1e-6)
    with pytest.raises(BandMismatchError, match="no entry for band i"):
        read_cube(frames, psf={"g": gaussian(1), "r": gaussian(1)})
    with pytest.raises(BandMismatchError, match="z"):
        read_cube(frames, psf={"z": gaussian(1)})
    with pytest.raises(ValueError, match="psf of band g"):
        read_cube(frames, psf={band: np.ones(3) for band in "gri"})


SPANS = {"INTERP": [[(3, 10, 12), (4, 10, 10)], [(119, 140, 160), (120, 0, 5)]], "SATUR": [[(60, 70, 79)]],
         "OBJECT": [[(20, 0, 149)]], "CR": [[(90, -2, 0)]], "GHOST": [[(30, 30, 30)]]}


@pytest.mark.parametrize("names", [True, False])
def test_spans_of_a_mask(tmp_path, names):
    path = write_fpm(tmp_path / "fpM.fit", SPANS, names=names)
    expected = np.zeros((120, 150), dtype=bool)
    expected[3, 10:13] = expected[4, 10] = expected[119, 140:] = expected[60, 70:80] = expected[90, 0] = True
    np.testing.assert_array_equal(read_sdss_mask(path), expected)
    objects = read_sdss_mask(path, ["S_MASK_OBJECT", "ghost"])
    assert objects.sum() == 151 and objects[20].all() and objects[30, 30]
    with pytest.raises(ValueError, match="planes must be among INTERP.*got STARS"):
        read_sdss_mask(path, "STARS")


def test_the_last_table_names_the_planes(tmp_path):
    path = write_fpm(tmp_path / "fpM.fit", SPANS, order=PLANES[::-1])
    assert read_sdss_mask(path, "SATUR").sum() == 10


def test_files_that_are_not_masks(tmp_path, frames):
    with pytest.raises(FileFormatError, match="frame-r.fits is not an SDSS fpM"):
        read_sdss_mask(frames["r"])
    path = write_fpm(tmp_path / "fpM.fit", SPANS)
    with fits.open(path) as hdus:
        hdus[1].data["nspan"][0] = 5
        hdus.writeto(tmp_path / "spans.fit")
        hdus[:6].writeto(tmp_path / "tables.fit")
    with pytest.raises(FileFormatError, match="spans.fit has 6 numbers for 5 spans of INTERP"):
        read_sdss_mask(tmp_path / "spans.fit")
    with pytest.raises(FileFormatError, match="tables.fit has 5 tables.*10"):
        read_sdss_mask(tmp_path / "tables.fit")


def test_masks_come_with_their_frames(frames, tmp_path):
    path = write_fpm(tmp_path / "fpM.fit", SPANS)
    plane = np.zeros((120, 150), dtype=np.uint8)
    plane[40, 40] = 1
    fits.writeto(tmp_path / "g.fits", plane)
    field = read_frames(frames, "SDSS", mask={"r": path, "g": tmp_path / "g.fits"})
    np.testing.assert_array_equal(field["r"].mask, read_sdss_mask(path))
    assert field["g"].mask.sum() == 1 and field["i"].mask is None
    cube = field.to_cube()
    np.testing.assert_array_equal(cube.mask[1], read_sdss_mask(path))
    # the bad pixel of g, at (40, 40) there, is where it belongs on the grid of r
    x, y = cube.wcs.world_to_pixel(field["g"].wcs.pixel_to_world(40, 40))
    assert cube.mask[0, round(float(y)), round(float(x))]
    assert read_cube(frames, mask={"i": plane > 0}, unit=u.nmgy).mask[2].any()


def test_masks_that_do_not_belong(frames, tmp_path, sdss_cube):
    with pytest.raises(SurveyError, match="run 94"):
        read_frames(frames, mask={"r": write_fpm(tmp_path / "run.fit", {}, run=94)})
    with pytest.raises(ValueError, match=r"mask of band r has shape \(20, 30\)"):
        read_frames(frames, mask={"r": write_fpm(tmp_path / "size.fit", {}, shape=(20, 30))})
    with pytest.raises(BandMismatchError, match="mask is given for band z"):
        read_frames(frames, mask={"z": np.ones((120, 150))})
    with pytest.raises(TypeError, match="mask must be a dict"):
        read_frames(frames, mask=tmp_path / "run.fit")
    sdss_cube.write(tmp_path / "cube.fits")
    with pytest.raises(ValueError, match="mask of band r"):
        read_cube(tmp_path / "cube.fits", mask={"r": np.ones((3, 3))})
