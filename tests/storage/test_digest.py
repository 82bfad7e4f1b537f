import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable, Table

from astro_galtrans.storage._digest import digest, plain
from astro_galtrans.surveys import get_survey


@pytest.mark.parametrize(("one", "other"), [
    (1, 1.0), (1, True), (0, None), ("1", 1), (0.0, -0.0), ([], {}), ([1, [2]], [[1], 2]), (["ab", "c"], ["a", "bc"]),
    ({"a": 1}, {"b": 1}), (np.zeros(4), np.zeros((2, 2))), (np.zeros(2, "f4"), np.zeros(2, "i4")),
    (np.arange(3), np.arange(3)[::-1]), (1 * u.m, 1 * u.s), (get_survey("SDSS"), get_survey("CFHTLS")),
    (get_survey("SDSS")["r"], get_survey("SDSS")["i"]), (Table({"a": [1]}), Table({"b": [1]})),
    (QTable({"a": [1] * u.m}), QTable({"a": [1] * u.s})),
    (Table({"a": MaskedColumn([1, 0], mask=[False, True])}), Table({"a": MaskedColumn([1, 0], mask=[False, False])})),
    (np.array(["a", "b"]), np.array(["a", "c"])), (u.nmgy, u.adu),
])
def test_different_things_have_different_checksums(one, other):
    assert digest(one) != digest(other)
    assert digest(one) == digest(one)


def test_form_in_memory_does_not_matter():
    values = np.arange(6, dtype=">f4").reshape(2, 3)
    assert digest({"a": 1, "b": (values,)}) == digest({"b": [np.asfortranarray(values.astype("<f4"))], "a": np.int8(1)})
    assert digest(np.array(["a"], "U5")) == digest(np.array(["a"], "U1"))


def test_unknown_content_is_named_with_its_place():
    with pytest.raises(TypeError, match=r"builtin_function_or_method.*\['a'\]\[1\]"):
        digest({"a": [1, print]})
    with pytest.raises(TypeError, match="dtype object"):
        digest(np.array([None]))


def test_plain_copies_arrays():
    array = np.arange(3)
    tree = {"a": (array, [1 * u.m]), "t": Table({"x": array})}
    copied = plain(tree)
    copied["a"][0][0] = 9
    copied["t"]["x"][0] = 9
    assert array[0] == 0 and tree["t"]["x"][0] == 0
    assert copied["a"][1] == [1 * u.m]
