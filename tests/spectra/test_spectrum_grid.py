import astropy.units as u
import numpy as np
import pytest

from astro_galtrans.spectra import SpectrumGrid


def test_pixels_are_even_in_log_wavelength():
    grid = SpectrumGrid()
    assert grid.wavelength.shape == (1024,) and grid.edges.shape == (1025,) and grid.wavelength.unit == u.AA
    assert grid.wavelength[0] == 3600 * u.AA and grid.wavelength[-1] == 10000 * u.AA
    np.testing.assert_allclose(np.diff(np.log(grid.wavelength.value)), grid.step)
    np.testing.assert_allclose(np.sqrt(grid.edges[1:] * grid.edges[:-1]).value, grid.wavelength.value)
    np.testing.assert_allclose(np.diff(np.log(grid.edges.value)), grid.step)


def test_equality_and_plain_values():
    grid = SpectrumGrid(400 * u.nm, 0.8 * u.um, np.int64(10))
    assert grid == SpectrumGrid(4000, 8000.0, 10) != SpectrumGrid(4000, 8000, 11)
    assert hash(grid) == hash(SpectrumGrid(4000, 8000.0, 10))
    assert grid.to_dict() == {"first": 4000.0, "last": 8000.0, "n_pixels": 10}
    assert [type(one) for one in grid.to_dict().values()] == [float, float, int]
    assert SpectrumGrid.from_dict(grid.to_dict()) == grid
    with pytest.raises(ValueError, match="values"):
        SpectrumGrid.from_dict({"first": 4000.0})


@pytest.mark.parametrize(("given", "error", "message"), [
    ((0, 10), ValueError, "first"), ((5000, 4000), ValueError, "first"),
    ((4000, np.nan), ValueError, "last"), (("red",), TypeError, "first"),
    ((4000 * u.s,), TypeError, "first"), ((True,), ValueError, "first"),
    ((4000, 5000, 1), ValueError, "n_pixels"),
    ((4000, 5000, 10.0), ValueError, "n_pixels"), (([4000, 5000],), TypeError, "first"),
])
def test_wrong_values_are_named(given, error, message):
    with pytest.raises(error, match=message):
        SpectrumGrid(*given)
