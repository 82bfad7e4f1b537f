"""Surveys that are written down in a file."""

import asdf
import astropy.units as u
import numpy as np
import pytest

from astro_galtrans.exceptions import FileFormatError, SurveyError
from astro_galtrans.surveys import Survey, _registry, get_survey, read_survey, register_survey

TEXT = """
name: Mine
description: A survey of mine
pixel_scale: 0.25 arcsec
unit: adu
zero_point: 30
psf_fwhm: 0.8 arcsec
gain: 1e2
keywords: {zero_point: MAGZPT, gain: EGAIN}
bands:
  - name: g
    curve: {speclite: decam2014-g}
    psf_fwhm: 1.0 arcsec
    depth: 25
  - {name: r, curve: r.dat, zero_point: 29.5, sky_noise: 0.5}
  - {name: i, curve: {top_hat: [7000 AA, 0.82 um]}, sky_noise: 0.5, gain: 40}
  - {name: z, curve: {sedpy: decam_z}, sky_noise: 0.5}
  - {name: y, curve: {wavelength: [9400, 9800, 10200], response: [0, 0.5, 0]}, sky_noise: 0.5}
"""


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(_registry, "_registered", {})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "r.dat").write_text("# wavelength response\n5600, 0\n6000 0.6  # middle\n6400\t0.4\n\n6900 0\n")
    return tmp_path


def written(folder, text=TEXT, name="mine.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_survey_from_yaml(folder):
    survey = Survey.read(written(folder))
    assert survey.name == "Mine" and survey.band_names == tuple("grizy") and survey.unit == u.adu
    assert survey.pixel_scale == 0.25 * u.arcsec and survey.description == "A survey of mine"
    assert [band.zero_point for band in survey] == [30, 29.5, 30, 30, 30] and survey["g"].psf_fwhm == 1 * u.arcsec
    assert [band.gain for band in survey] == [100, 100, 40, 100, 100] and survey["z"].psf_fwhm == 0.8 * u.arcsec
    assert survey.keywords == {"zero_point": "MAGZPT", "gain": "EGAIN"} == survey.select("gr").keywords
    np.testing.assert_array_equal(survey["r"].wavelength.value, [5600, 6000, 6400, 6900])
    np.testing.assert_array_equal(survey["r"].response, [0, 0.6, 0.4, 0])
    assert survey["i"].effective_wavelength.value == pytest.approx(np.sqrt(7000 * 8200), rel=1e-4)
    np.testing.assert_array_equal(survey["y"].wavelength.value, [9400, 9800, 10200])
    assert survey["z"].effective_wavelength.value == pytest.approx(9150, abs=60)


def test_depth_is_that_of_a_point_source(folder):
    """A fit of the PSF to noise with the noise of the survey scatters by a fifth of the flux at the depth."""
    band = Survey.read(written(folder))["g"]
    side, sigma = 31, 1.0 / 0.25 / 2.3548
    y, x = np.indices((side, side)) - side // 2
    psf = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    psf /= psf.sum()
    noise = np.random.default_rng(1).normal(0, band.sky_noise, (4000, side, side))
    fitted = (noise * psf).sum(axis=(1, 2)) / (psf**2).sum()
    assert 5 * fitted.std() == pytest.approx(10 ** (0.4 * (30 - 25)), rel=0.04)
    assert Survey.read(written(folder)).depth[0] == pytest.approx(25)
    ten = Survey.read(written(folder, TEXT + "depth_sigma: 10\n"))["g"]
    assert ten.sky_noise == pytest.approx(band.sky_noise / 2)


def test_depth_of_an_aperture(folder):
    """The summed noise of the pixels in the aperture is a fifth of the flux at the depth."""
    band = Survey.read(written(folder, TEXT + "depth_aperture: 3 arcsec\n"))["g"]
    pixels = np.pi * (1.5 / 0.25) ** 2
    assert 5 * band.sky_noise * np.sqrt(pixels) == pytest.approx(10 ** (0.4 * (30 - 25)))
    with pytest.raises(FileFormatError, match="depth_aperture"):
        Survey.read(written(folder, TEXT + "depth_aperture: 3\n"))


@pytest.mark.parametrize("name", ["back.yaml", "back.yml", "back.asdf"])
@pytest.mark.parametrize("survey", ["file", "SDSS", "KiDS"])
def test_there_and_back(folder, name, survey):
    survey = Survey.read(written(folder)) if survey == "file" else get_survey(survey)
    survey.write(folder / name)
    back = read_survey(folder / name)
    assert (back.name, back.description, back.unit, back.keywords) == (
        survey.name, survey.description, survey.unit, survey.keywords)
    assert back.pixel_scale == survey.pixel_scale and back.band_names == survey.band_names
    for one, other in zip(survey, back):
        for key in ("zero_point", "psf_fwhm", "sky_noise", "gain"):
            assert getattr(one, key) == getattr(other, key)
        np.testing.assert_array_equal(one.wavelength, other.wavelength)
        np.testing.assert_array_equal(one.response, other.response)
    with pytest.raises(FileExistsError, match="overwrite"):
        survey.write(folder / name)
    survey.write(folder / name, overwrite=True)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    with pytest.raises(ValueError, match="yaml"):
        survey.write(folder / "survey.txt")


def test_asdf_files(folder):
    survey = get_survey("SDSS").select("gr")
    asdf.AsdfFile({"survey": survey}).write_to(folder / "object.asdf")
    assert read_survey(folder / "object.asdf").band_names == ("g", "r")
    tree = {"name": "Plain", "pixel_scale": "0.2 arcsec", "unit": "nmgy", "psf_fwhm": "1 arcsec", "gain": 10,
            "bands": [{"name": "r", "curve": {"speclite": "sdss2010-r"}, "sky_noise": 0.1}]}
    asdf.AsdfFile(tree).write_to(folder / "plain.asdf")
    survey = read_survey(folder / "plain.asdf")
    assert survey.name == "Plain" and survey["r"].zero_point == pytest.approx(22.5)
    written(folder, "name: [", "broken.asdf")
    with pytest.raises(FileFormatError, match="broken.asdf is not an ASDF file"):
        read_survey(folder / "broken.asdf")


def test_units_tell_their_zero_point(folder):
    text = TEXT.replace("unit: adu\nzero_point: 30", "unit: uJy").replace("zero_point: 29.5, ", "")
    assert Survey.read(written(folder, text))["r"].zero_point == pytest.approx(23.9)


def test_energy_response_and_other_units(folder):
    text = TEXT.replace("curve: r.dat", "curve: {file: nm.csv, unit: nm, response: energy}")
    (folder / "nm.csv").write_text("690,0\n640,4\n600,6\n560,0\n")
    band = Survey.read(written(folder, text))["r"]
    np.testing.assert_allclose(band.wavelength.value, [5600, 6000, 6400, 6900])
    assert band.response[2] / band.response[1] == pytest.approx(4 / 6 * 600 / 640)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("name: Mine", "", r"lacks required keys: name \(text\)$"),
    ("pixel_scale: 0.25 arcsec", "pixel_scale: 0.25", "pixel_scale.*0.2 arcsec, got 0.25"),
    ("unit: adu", "unit: quux", "unit.*quux"),
    ("gain: 1e2", "gain: lots", r"bands\[0\] \(g\): gain.*above 0, got 'lots'"),
    ("gain: 1e2", "", r"lacks required keys: bands\[0\] \(g\): gain.*bands\[1\] \(r\): gain.*bands\[4\]"),
    ("gain: 1e2", "gian: 100", "gian; known are name"),
    ("depth: 25", "depth: 25\n    sky_noise: 1", r"bands\[0\] \(g\): either sky_noise or depth.*both"),
    ("depth: 25", "", r"lacks required keys: bands\[0\] \(g\): sky_noise or depth"),
    ("decam2014-g", "decam2014-q", r"bands\[0\] \(g\): curve: speclite has no filter 'decam2014-q'"),
    ("decam_z", "decam_q", "astro-sedpy has no filter 'decam_q'"),
    ("top_hat: [7000 AA, 0.82 um]", "top_hat: [7000 AA, 0.32 um]", r"bands\[2\] \(i\): curve: top_hat"),
    ("top_hat: [7000 AA, 0.82 um]", "top_hat: 7000 AA", "top_hat"),
    ("{speclite: decam2014-g}", "{speclite: decam2014-g, sedpy: decam_g}", "one of file, speclite"),
    ("{speclite: decam2014-g}", "{color: blue}", "one of file, speclite"),
    ("name: y,", "name: 5,", r"bands\[4\]: name"),
    ("response: [0, 0.5, 0]", "response: [0, 0.5]", "wavelength and response"),
    (", response: [0, 0.5, 0]", "", r"bands\[4\] \(y\): curve: response"),
    ("curve: r.dat", "curve: ../r.dat", r"bands\[1\] \(r\): curve: file must be in the folder"),
    ("curve: r.dat", "curve: /etc/hosts", r"bands\[1\] \(r\): curve: file must be in the folder"),
    ("curve: r.dat", "curve: {file: r.dat, unit: furlongs}", r"bands\[1\] \(r\): curve: unit.*furlongs"),
    ("  - name: g", "  - name: z", "different names"),
    ("keywords: {zero_point", "keywords: {zeropoint", "keywords"),
    ("keywords: {zero_point: MAGZPT, gain: EGAIN}", "keywords: MAGZPT", "keywords"),
    ("zero_point: 30\n", "zero_point: 30\nzero_point: 31\n", "zero_point must be given once"),
    ("bands:", "bandes:", "bandes"), ("name: Mine", "name: [", "is not a YAML file"),
])
def test_errors_name_file_and_key(folder, old, new, message):
    assert old in TEXT
    with pytest.raises(FileFormatError, match=message) as caught:
        Survey.read(written(folder, TEXT.replace(old, new, 1)))
    assert "mine.yaml" in str(caught.value)


def test_all_missing_keys_in_one_message(folder):
    text = "name: Mine\nunit: adu\nbands:\n  - {name: g, curve: r.dat, gain: 2}\n  - {gain: 1}\n"
    with pytest.raises(FileFormatError) as caught:
        Survey.read(written(folder, text))
    message = str(caught.value)
    assert "mine.yaml" in message and "pixel_scale (an angle, as 0.2 arcsec)" in message
    for key in ("bands[0] (g): zero_point", "bands[0] (g): psf_fwhm", "bands[0] (g): sky_noise or depth",
                "bands[1]: name", "bands[1]: curve"):
        assert key in message
    assert "gain" not in message
    with pytest.raises(FileFormatError, match="mine.yaml.*mapping"):
        Survey.read(written(folder, "- a list\n"))


def test_entrances_give_the_same(folder):
    path = written(folder)
    surveys = [Survey.read(path), read_survey(path), get_survey(path), get_survey(str(path))]
    assert {repr(survey) for survey in surveys} == {repr(surveys[0])}
    assert len({survey["g"].sky_noise for survey in surveys}) == 1


def test_files_that_are_not_there(folder):
    with pytest.raises(FileNotFoundError, match="none.yaml"):
        Survey.read(folder / "none.yaml")
    with pytest.raises(FileNotFoundError, match=r"mine.yaml: bands\[1\] \(r\): curve: no such file.*gone.dat"):
        Survey.read(written(folder, TEXT.replace("r.dat", "gone.dat")))
    (folder / "r.dat").write_text("5600 0\n6000 much\n")
    with pytest.raises(FileFormatError, match="r.dat, line 2"):
        Survey.read(written(folder))
    with pytest.raises(FileFormatError, match="must be a YAML or ASDF file"):
        Survey.read(written(folder, name="mine.txt"))


def test_a_file_stands_for_its_survey(folder, registry):
    path = written(folder)
    assert get_survey(path) is get_survey(str(path)) and get_survey(path).name == "Mine"
    with pytest.raises(SurveyError):
        get_survey("Mine")
    mine = register_survey(path)
    assert get_survey("mine") is mine
    with pytest.raises(SurveyError, match="overwrite"):
        register_survey(str(path))
    with pytest.raises(FileNotFoundError):
        get_survey("nothing.yaml")
    with pytest.raises(TypeError, match="yaml"):
        register_survey(3)


def test_keywords_are_validated():
    bands, scale = get_survey("SDSS").bands, 0.3 * u.arcsec
    with pytest.raises(ValueError, match="not both"):
        Survey("own", bands, scale, "adu", keywords={"zero_point": "A", "flux_zero_point": "B"})
    with pytest.raises(ValueError, match="FITS keyword"):
        Survey("own", bands, scale, "adu", keywords={"gain": 3})
    with pytest.raises(TypeError, match="keywords"):
        Survey("own", bands, scale, "adu", keywords=["GAIN"])
