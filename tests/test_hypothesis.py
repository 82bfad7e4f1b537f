"""Public entry points with arguments drawn by hypothesis: a result that is whole, or an error that is documented."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from astro_galtrans._utils.bounds import check_yaml
from astro_galtrans.exceptions import FileFormatError, GaltransWarning, SurveyError
from astro_galtrans.field import FieldConfig
from astro_galtrans.gradients import sed_gradient_arrays
from astro_galtrans.images import BandCube, flux_and_weight, read_cube
from astro_galtrans.pairs import MatchConfig, PairSet
from astro_galtrans.photoz import RedshiftPDF, nz_metrics, point_metrics, read_pdf_table
from astro_galtrans.storage import load
from astro_galtrans.surveys import Band, get_survey, same_name
from astro_galtrans.training import TrainConfig

DOCUMENTED = (ValueError, TypeError)
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(-10**12, 10**12), FLOATS, st.text(max_size=8),
                     st.complex_numbers(), st.binary(max_size=4), st.lists(FLOATS, max_size=3), st.just(object()),
                     st.dictionaries(st.text(max_size=2), FLOATS, max_size=2))
quick = settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=[
    HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def _conversions_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GaltransWarning)
        yield


def stamps(bands=5):
    shapes = st.tuples(st.integers(1, 2), st.just(bands), st.integers(1, 4), st.integers(1, 4))
    return shapes.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=FLOATS))


@quick
@given(data=stamps(), mask=st.booleans(), unit=st.sampled_from(["nmgy", "nJy", "Jy", "adu", "m", "ABmag", None]))
def test_cubes_give_flux_without_nan(data, mask, unit):
    with np.errstate(all="ignore"):
        try:
            cube = BandCube(data[0], unit=unit, wcs=None, bands="ugriz", survey="SDSS",
                            mask=~np.isfinite(data[0]) if mask else None)
            flux, weight = flux_and_weight(cube)
        except DOCUMENTED:
            return
    assert np.isfinite(flux).all() and np.isfinite(weight).all()
    assert not weight[~np.isfinite(data[0])].any()


@quick
@given(flux=stamps(), weight=ANYTHING)
def test_pairs_hold_no_nan(flux, weight):
    target = np.ones((len(flux), 5, 34, 34))
    try:
        pairs = PairSet.from_arrays(flux, target, input_survey="SDSS", target_survey="CFHTLS",
                                    redshift=np.full(len(flux), 0.1), input_weight=weight)
    except DOCUMENTED:
        return
    for name in ("input_flux", "input_weight", "target_flux", "target_weight"):
        assert getattr(pairs, name) is None or np.isfinite(getattr(pairs, name)).all()


@quick
@given(flux=stamps())
def test_gradients_of_bad_pixels_are_nan(flux):
    with np.errstate(all="ignore"):
        try:
            gradients = sed_gradient_arrays(flux, "SDSS")
        except DOCUMENTED:
            return
    bad = ~np.isfinite(flux)
    assert np.isnan(gradients.x[bad[..., 1:] | bad[..., :-1]]).all()


@quick
@given(field=st.sampled_from(["unit", "bands", "mask", "uncertainty", "psf", "survey", "wcs", "meta"]), value=ANYTHING)
def test_parts_of_a_cube(field, value):
    arguments = {"unit": "nmgy", "wcs": None, "bands": "gr", "survey": "SDSS", field: value}
    try:
        BandCube(np.ones((2, 4, 4)), **arguments)
    except DOCUMENTED:
        pass


@quick
@given(field=st.sampled_from(["name", "wavelength", "response", "zero_point", "psf_fwhm", "sky_noise", "gain"]),
       value=ANYTHING)
def test_parts_of_a_band(field, value):
    arguments = {"name": "r", "wavelength": [5000, 6000] * u.AA, "response": [1, 1], "zero_point": 22.5,
                 "psf_fwhm": 1 * u.arcsec, "sky_noise": 0.1, "gain": 4, field: value}
    try:
        band = Band(**arguments)
    except DOCUMENTED:
        return
    assert np.isfinite([band.zero_point, band.sky_noise, band.gain]).all() and np.isfinite(band.response).all()


@quick
@given(one=ANYTHING, other=ANYTHING)
def test_names(one, other):
    for call in (lambda: same_name(one, other), lambda: get_survey(one)):
        try:
            call()
        except (*DOCUMENTED, FileNotFoundError):
            pass


@quick
@given(kind=st.sampled_from([TrainConfig, FieldConfig, MatchConfig]), value=ANYTHING, data=st.data())
def test_options(kind, value, data):
    name = data.draw(st.sampled_from(sorted(kind.__dataclass_fields__)))
    try:
        kind(**{name: value})
    except DOCUMENTED as error:
        assert name in str(error) or "magnitude" in str(error)


@quick
@given(density=arrays.arrays(np.float64, (3, 5), elements=FLOATS), z_spec=arrays.arrays(np.float64, 3, elements=FLOATS),
       weights=st.one_of(st.none(), arrays.arrays(np.float64, arrays.array_shapes(max_dims=2, max_side=4))))
def test_densities(density, z_spec, weights):
    with np.errstate(all="ignore"):
        try:
            pdf = RedshiftPDF(np.linspace(0, 1, 5), density, on_invalid="mask", tolerance=np.inf)
            assert np.isfinite(pdf.density[pdf.valid]).all()
            nz_metrics(pdf, z_spec, weights=weights)
            point_metrics(pdf.median(), z_spec, weights=weights)
        except DOCUMENTED:
            pass


@quick
@given(columns=st.dictionaries(st.text(max_size=4), st.lists(st.one_of(FLOATS, st.text(max_size=3)), max_size=3),
                               max_size=3), pdf=ANYTHING, grid=ANYTHING)
def test_tables(columns, pdf, grid):
    try:
        read_pdf_table(Table(columns), pdf=pdf, grid=grid)
    except DOCUMENTED:
        pass


@quick
@given(cards=st.dictionaries(st.sampled_from(
    ["BUNIT", "FILTER", "CTYPE1", "CRVAL1", "CDELT1", "CD1_1", "MAGZERO", "GAIN", "EXPTIME", "RADESYS", "EQUINOX",
     "BLANK", "SURVEY", "TELESCOP", "INSTRUME"]), st.one_of(
         st.booleans(), st.integers(-10**6, 10**6), st.floats(allow_nan=False, allow_infinity=False),
         st.text("abcRADEC-TN/ 1.", max_size=12)), max_size=6))
def test_headers(cards):
    header = fits.Header({"FILTER": "r", "BUNIT": "nanomaggy", **cards})
    flux = np.random.default_rng(1).normal(1, 0.1, (8, 8)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = fits.PrimaryHDU(flux, header)
        try:
            cube = read_cube(image)
        except (FileFormatError, SurveyError, ValueError):
            return
    assert cube.mask is None or np.isfinite(cube.data[~cube.mask]).all()


@quick
@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_yaml_is_refused_or_bounded(text):
    try:
        check_yaml(text, "text")
    except FileFormatError:
        pass


@settings(quick, max_examples=10)
@given(content=st.binary(max_size=200))
def test_files_of_any_bytes(tmp_path, content):
    for head in (b"", b"SIMPLE  =", b"#ASDF 1.0.0\n", b"\x89HDF\r\n\x1a\n", b"PAR1", b"# %ECSV 1.0\n"):
        path = tmp_path / "file.bin"
        path.write_bytes(head + content)
        for read, errors in ((load, FileFormatError), (read_cube, FileFormatError), (read_pdf_table, ValueError)):
            with pytest.raises(errors):
                read(path)


@settings(quick, max_examples=8)
@given(meta=st.dictionaries(st.text(max_size=4), ANYTHING, max_size=3))
def test_nothing_is_half_written(tmp_path, meta):
    path = tmp_path / "cube.fits"
    path.unlink(missing_ok=True)
    try:
        BandCube(np.ones((2, 4, 4)), unit="nmgy", wcs=None, bands="gr", survey="SDSS", meta=meta).write(path)
    except DOCUMENTED:
        assert list(tmp_path.iterdir()) == []
    else:
        assert BandCube.read(path).bands == ("g", "r") and list(tmp_path.iterdir()) == [path]
