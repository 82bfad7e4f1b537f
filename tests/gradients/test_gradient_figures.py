import sys

import numpy as np
import pytest
from astropy.wcs import WCS

from astro_galtrans.gradients import plot_sed_gradients, sed_gradients
from astro_galtrans.images import BandCube


def make_cube(with_wcs=True, mask=None):
    wcs = None
    if with_wcs:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [150.0, 2.2]
        wcs.wcs.crpix = [16.5, 16.5]
        wcs.wcs.cdelt = np.array([-0.396, 0.396]) / 3600
    y, x = np.indices((32, 32)) - 15.5
    data = 50 * np.exp(-np.hypot(x, y) / 4) * np.array([1, 3, 5, 7, 8])[:, None, None]
    data += np.random.default_rng(0).normal(0, 0.02, data.shape)
    return BandCube(data, unit="nmgy", wcs=wcs, bands="ugriz", survey="SDSS", mask=mask)


@pytest.mark.parametrize("with_wcs", [True, False])
def test_page_of_a_galaxy(with_wcs, tmp_path):
    pytest.importorskip("matplotlib")
    from astropy.visualization.wcsaxes import WCSAxes

    figure = plot_sed_gradients(make_cube(with_wcs), ("g", "i"), ellipse="moments")
    titled = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in titled] == [
        "i: image", "i: along x", "i: along y", "g to r", "g - i", "g - i in annuli"]
    assert [isinstance(axes, WCSAxes) for axes in titled] == [with_wcs] * 5 + [False]
    figure.savefig(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10000


def test_gradients_draw_themselves():
    pytest.importorskip("matplotlib")
    mask = np.zeros((5, 32, 32), dtype=bool)
    mask[4] = True
    mask[4, :2, :2] = False
    gradients = sed_gradients(make_cube(mask=mask))
    titles = [axes.get_title() for axes in gradients.plot().axes if axes.get_title()]
    assert titles == ["r: along x", "r: along y", "r to i"]
    assert [axes.get_title() for axes in gradients.plot("z").axes if axes.get_title()][-1] == "i to z"
    with pytest.raises(ValueError, match="band must be one of"):
        gradients.plot("y")


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"astro_galtrans\[report\]"):
        plot_sed_gradients(make_cube())
