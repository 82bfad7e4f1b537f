"""Checks of options."""

from dataclasses import dataclass

import numpy as np
import pytest

from astro_galtrans._utils.validation import check_fields, choice, flag, fraction, real_number, text, whole_number


@pytest.mark.parametrize(("check", "value", "expected"), [
    (whole_number, np.int8(3), 3), (real_number, 2, 2.0), (real_number, np.float32(0.5), 0.5), (fraction, 0, 0.0),
    (flag, np.bool_(True), True), (text, "a", "a"),
])
def test_values_become_plain(check, value, expected):
    result = check(value, "option")
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(("check", "value"), [
    (whole_number, True), (whole_number, 1.0), (whole_number, None), (real_number, True), (real_number, "1"),
    (flag, 1), (text, 1), (lambda value, name: choice(value, name, ("a", None)), 1),
])
def test_wrong_types(check, value):
    for error in (TypeError, ValueError):
        with pytest.raises(error, match="option"):
            check(value, "option")


@pytest.mark.parametrize(("check", "value"), [
    (whole_number, -1), (real_number, -0.1), (real_number, np.nan), (real_number, np.inf), (fraction, 1.0),
    (lambda value, name: real_number(value, name, positive=True), 0),
    (lambda value, name: choice(value, name, ("a", None)), "b"),
])
def test_wrong_values(check, value):
    with pytest.raises(ValueError, match="option"):
        check(value, "option")


def test_fields_of_a_frozen_dataclass():
    @dataclass(frozen=True)
    class Settings:
        n: int = 1
        patience: int | None = None

        def __post_init__(self):
            check_fields(self, {"n": whole_number, "patience": whole_number})

    assert Settings(np.int64(2)).n == 2 and Settings().patience is None
    with pytest.raises(TypeError, match="n must be"):
        Settings(None)
    with pytest.raises(ValueError, match="patience"):
        Settings(patience=-1)
