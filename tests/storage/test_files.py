import os
import stat
import warnings
from dataclasses import replace

import asdf
import astropy.units as u
import numpy as np
import pytest
from asdf.exceptions import ValidationError
from astropy.table import Table
from numpy.testing import assert_array_equal

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.storage import load, save
from astro_galtrans.surveys import get_survey

TRANSLATOR = "astro_galtrans.translation._translator.Translator"
ESTIMATOR = "astro_galtrans.photoz._estimator.RedshiftEstimator"


def assert_same_survey(one, other):
    assert (one.name, one.band_names, one.unit, one.description) == (
        other.name, other.band_names, other.unit, other.description)
    assert one.pixel_scale == other.pixel_scale
    for a, b in zip(one, other):
        assert_array_equal(a.wavelength, b.wavelength)
        assert_array_equal(a.response, b.response)
        assert (a.zero_point, a.psf_fwhm, a.sky_noise, a.gain) == (b.zero_point, b.psf_fwhm, b.sky_noise, b.gain)


def assert_same_weights(read, written):
    assert sorted(read) == sorted(written)
    for name, array in written.items():
        assert type(read[name]) is np.ndarray
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert_array_equal(read[name], array)
        assert read[name].flags.writeable and read[name].flags.owndata


@pytest.mark.parametrize("name", ["SDSS", "CFHTLS"])
def test_survey_and_band_come_back_exactly(tmp_path, name):
    survey = get_survey(name)
    save(tmp_path / "survey.asdf", survey)
    assert_same_survey(load(tmp_path / "survey.asdf"), survey)
    save(tmp_path / "band.asdf", survey["r"])
    assert load(tmp_path / "band.asdf").effective_wavelength == survey["r"].effective_wavelength


def test_keywords_of_a_survey_come_back(tmp_path):
    survey = replace(get_survey("SDSS"), keywords={"zero_point": "MAGZP"})
    save(tmp_path / "survey.asdf", survey)
    assert load(tmp_path / "survey.asdf").keywords == {"zero_point": "MAGZP"}


@pytest.mark.parametrize(("path", "key"), [(TRANSLATOR, "translator"), (ESTIMATOR, "estimator")])
@pytest.mark.parametrize("options", [{}, {"lazy_tree": True}, {"memmap": True}, {"lazy_load": False}])
def test_state_survives_with_its_dtypes_when_the_file_is_gone(tmp_path, stand_in, state, path, key, options):
    kind = stand_in(path)
    target = tmp_path / "t.asdf"
    save(target, kind(state))
    with asdf.open(target, **options) as file:
        opened = file[key]
    loaded = load(target)
    target.unlink()
    for read in (opened, loaded):
        assert type(read) is kind
        assert_same_weights(read.tree["network"]["weights"], state["network"]["weights"])
        assert read.tree["network"]["options"] == {
            "backbone": "unet", "widths": [8, 16], "residual": True, "dropout": None, "slope": 1e-05}
        assert read.tree["provenance"]["seed"] == 2**40
        assert_same_survey(read.tree["input_survey"], state["input_survey"])
        assert type(read.tree["history"]) is Table
        assert_array_equal(read.tree["history"]["loss"], [0.5, np.nan])


def test_several_objects_come_back_as_a_dict(tmp_path, stand_in, state):
    kind = stand_in(TRANSLATOR)
    save(tmp_path / "both.asdf", {"pixel": kind(state), "target": get_survey("CFHTLS")})
    both = load(tmp_path / "both.asdf")
    assert sorted(both) == ["pixel", "target"]
    assert type(both["pixel"]) is kind


def test_same_object_same_file(tmp_path, stand_in, state):
    kind = stand_in(TRANSLATOR)
    save(tmp_path / "a.asdf", kind(state))
    save(tmp_path / "b.asdf", load(tmp_path / "a.asdf"))
    trees = [asdf.util.load_yaml(tmp_path / name)["translator"]["sha256"] for name in ("a.asdf", "b.asdf")]
    assert trees[0] == trees[1]


def _change(path, old, new):
    """Replace bytes of a file, and remove the checksum at its end, as a program that does not know it would."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content[:content.index(b"#ASTRO_GALTRANS_SHA256")].replace(old, new))


def _write_raw(path, node, kind="translator"):
    """A file with a tagged node that did not go through a converter."""
    tagged = asdf.tagged.TaggedDict(node, f"asdf://astro-galtrans.org/tags/{kind}-1.0.0")
    asdf.AsdfFile({kind: tagged}).write_to(path)


@pytest.mark.parametrize("change", ["weight", "option", "name of a weight", "survey", "history", "dtype"])
def test_altered_content_is_refused(tmp_path, stand_in, state, change):
    from astro_galtrans.storage._digest import digest

    kind = stand_in(TRANSLATOR)
    checksum = digest(state)
    weights, options = (dict(state["network"][name]) for name in ("weights", "options"))
    if change == "weight":
        weights["first.bias"] = np.nextafter(weights["first.bias"], np.float16(9))
    elif change == "name of a weight":
        weights["second.bias"] = weights.pop("first.bias")
    elif change == "dtype":
        weights["first.bias"] = weights["first.bias"].astype(np.float32)
    elif change == "option":
        options["residual"] = 1
    altered = {**state, "network": {"weights": weights, "options": options}}
    if change == "survey":
        altered["input_survey"] = get_survey("SDSS").select("riz")
    elif change == "history":
        altered["history"] = state["history"][:1]
    path = tmp_path / "t.asdf"
    _write_raw(path, {"sha256": checksum, "state": altered})
    with pytest.raises(FileFormatError, match=r"t\.asdf.*altered"):
        load(path)
    _write_raw(path, {"sha256": checksum, "state": state})
    assert type(load(path)) is kind


def test_every_truncation_and_flipped_bit_is_refused(tmp_path, stand_in, state):
    kind = stand_in(TRANSLATOR)
    path = tmp_path / "t.asdf"
    save(path, kind(state))
    content = path.read_bytes()
    for end in [0, 5, 100, *range(700, len(content), len(content) // 30), len(content) - 6]:
        path.write_bytes(content[:end])
        with pytest.raises(FileFormatError, match=r"t\.asdf"):
            load(path)
    start = content.index(b"\xd3BLK")
    for place in range(start + 60, len(content) - 400, (len(content) - start) // 20):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(bytes(flipped))
        try:
            read = load(path)
        except FileFormatError:
            continue
        # The bit was in padding or in an offset that nobody reads.
        assert_same_weights(read.tree["network"]["weights"], state["network"]["weights"])


@pytest.mark.parametrize("content", [b"", b"SIMPLE  =                    T", b"PK\x03\x04" * 50, b"#ASDF 1.0.0\n"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.asdf").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"x\.asdf"):
        load(tmp_path / "x.asdf")


def test_asdf_without_our_objects_is_refused(tmp_path):
    asdf.AsdfFile({"answer": 42}).write_to(tmp_path / "x.asdf")
    with pytest.raises(FileFormatError, match="without any object of astro_galtrans"):
        load(tmp_path / "x.asdf")


@pytest.mark.parametrize("newer", ["tags/survey-1.1.0", "tags/band-2.0.0", "tags/survey_atlas-1.0.0"])
def test_newer_format_asks_to_upgrade(tmp_path, newer):
    path = tmp_path / "s.asdf"
    save(path, get_survey("SDSS"))
    old = newer.split("-")[0].split("_")[0].encode() + b"-1.0.0"
    _change(path, old + b">", newer.encode() + b">")
    with pytest.raises(FileFormatError, match="upgrade astro_galtrans"):
        load(path)


def test_plain_asdf_never_makes_an_object_of_an_altered_translator(tmp_path, stand_in, state):
    kind = stand_in(TRANSLATOR)
    _write_raw(tmp_path / "t.asdf", {"sha256": "0" * 64, "state": state})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with asdf.open(tmp_path / "t.asdf") as file:
                read = file["translator"]
        except FileFormatError:  # releases of ASDF before 6 raise where later ones warn
            return
    assert type(read) is not kind
    assert any("altered" in str(warning.message) for warning in caught)


@pytest.mark.parametrize(("kind", "change"), [
    ("translator", {"extra": 1}), ("translator", {"sha256": "short"}), ("translator", {"state": {"name": "x"}}),
    ("redshift_pdf", {"grid": np.zeros((2, 2))}), ("redshift_pdf", {"comment": ""}),
])
def test_schema_refuses_what_it_does_not_know(tmp_path, state, kind, change):
    nodes = {
        "translator": {"sha256": "0" * 64, "state": state},
        "redshift_pdf": {"grid": np.linspace(0, 1, 3), "density": np.ones((1, 3)), "tensor": False,
                         "interpolation": "linear"},
    }
    _write_raw(tmp_path / "good.asdf", nodes[kind], kind)
    with pytest.raises(ValidationError):
        _write_raw(tmp_path / "bad.asdf", {**nodes[kind], **change}, kind)


def test_file_that_breaks_its_schema_is_refused(tmp_path):
    path = tmp_path / "s.asdf"
    save(path, get_survey("SDSS"))
    _change(path, b"zero_point:", b"zero_paint:")
    with pytest.raises(FileFormatError, match=r"s\.asdf does not follow its schema"):
        load(path)


def test_existing_file_is_kept_unless_asked(tmp_path):
    path = tmp_path / "s.asdf"
    save(path, get_survey("SDSS"))
    with pytest.raises(FileExistsError, match=r"s\.asdf exists already; overwrite=True"):
        save(path, get_survey("CFHTLS"))
    assert load(path).name == "SDSS"
    save(path, get_survey("CFHTLS"), overwrite=True)
    assert load(path).name == "CFHTLS"


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, stand_in, state):
    kind = stand_in(TRANSLATOR)
    path = tmp_path / "t.asdf"
    path.write_text("precious")
    with pytest.raises(TypeError, match=r"builtin_function.*\['provenance'\]\['code'\]\[0\]"):
        save(path, kind({**state, "provenance": {"code": [print]}}), overwrite=True)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["t.asdf"]


def test_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(asdf.AsdfFile, "write_to", full)
    with pytest.raises(OSError, match=r"No space left on device.*s\.asdf"):
        save(tmp_path / "s.asdf", get_survey("SDSS"))
    assert os.listdir(tmp_path) == []


def test_folders_that_cannot_be_written_to(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="missing does not exist"):
        save(tmp_path / "missing" / "s.asdf", get_survey("SDSS"))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        save(tmp_path / "file" / "s.asdf", get_survey("SDSS"))
    with pytest.raises(IsADirectoryError, match="is a folder"):
        save(tmp_path, get_survey("SDSS"), overwrite=True)
    with pytest.raises(FileNotFoundError, match="absent"):
        load(tmp_path / "absent.asdf")

    def refuse(path, *args):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.mkdir", refuse)
    with pytest.raises(PermissionError, match="cannot write s.asdf there: Permission denied"):
        save(tmp_path / "s.asdf", get_survey("SDSS"))


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_file_has_the_permissions_of_any_new_file(tmp_path):
    save(tmp_path / "s.asdf", get_survey("SDSS"))
    (tmp_path / "plain").write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("s.asdf", "plain")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("obj", [None, 3, {}, {"a": 3}, {1: get_survey("SDSS")}, {"history": get_survey("SDSS")}, u.Jy])
def test_what_cannot_be_stored_is_named(tmp_path, obj):
    with pytest.raises(TypeError, match="obj"):
        save(tmp_path / "x.asdf", obj)
    assert os.listdir(tmp_path) == []
