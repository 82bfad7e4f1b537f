"""What notebooks show of objects, and their figures: escaped, cheap, and with the sky along the axes."""

import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.nddata import CCDData

from astro_galtrans._utils import html
from astro_galtrans._utils.rgb import rgb_bands
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import BandCube
from astro_galtrans.pairs import PairSet
from astro_galtrans.photoz import RedshiftPDF
from astro_galtrans.storage import load

NASTY = '<script>alert("x")</script>&'


class _Checked(HTMLParser):
    """Tags that are opened are closed, and none comes from a text of the object."""

    def __init__(self):
        super().__init__()
        self.open, self.pictures, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        assert tag in {"div", "b", "img", "table", "tr", "td", "th", "details", "summary", "pre"}, tag
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def shown(obj):
    text = obj._repr_html_()
    checked = _Checked()
    checked.feed(text)
    checked.close()
    assert not checked.open
    return checked


def test_png_is_one():
    PIL = pytest.importorskip("PIL.Image")
    import io

    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    np.testing.assert_array_equal(np.asarray(PIL.open(io.BytesIO(html.png(pixels)))), pixels[::-1])


def test_cube(make_cube, small_translator):
    cube = make_cube(meta={"note": NASTY})
    found = shown(cube)
    assert len(found.pictures) == 1 and found.pictures[0].startswith("data:image/png;base64,")
    for words in ("u,g,r,i,z", "survey SDSS", "24 x 24 pixels of 0.396 arcsec", "nmgy", "10h00m00"):
        assert words in found.text
    assert small_translator.name in shown(small_translator(cube)).text


@pytest.mark.parametrize("cube", [
    BandCube(np.ones((2, 6, 8)), unit="adu", bands=[NASTY, "b"], meta={"galtrans": {"translator": NASTY}}),
    BandCube(np.full((1, 6, 8), np.nan), unit="Jy", bands="r"),
    BandCube(np.zeros((3, 1, 1)), unit="nmgy", bands="gri", mask=np.ones((1, 1), bool)),
])
def test_odd_cubes(cube):
    assert len(shown(cube).pictures) == 1


def test_a_large_field_is_cheap(make_cube):
    cube = BandCube(np.ones((5, 1200, 1500), np.float32), unit="nmgy", bands="ugriz", survey="SDSS")
    assert len(cube._repr_html_()) < 100_000


def test_masked_pixels_are_gray_in_the_color_image(make_cube):
    mask = np.zeros((24, 24), bool)
    mask[:3, :4] = True
    pixels = make_cube(mask=mask).color_image()
    assert pixels.shape == (24, 24, 3) and pixels.dtype == np.uint8
    assert np.all(pixels[:3, :4] == 96) and pixels[11:13, 11:13].max() > 150
    assert rgb_bands(("u", "g", "r", "i", "z")) == ("i", "r", "g") and rgb_bands(("J", "K")) == ("K", "J", "J")


def test_pairs(small_pairs, tmp_path):
    found = shown(small_pairs)
    assert len(found.pictures) == 8 and "16 pairs, in memory" in found.text and "16 known" in found.text
    small_pairs.write(tmp_path / "p.zarr")
    assert "on disk" in shown(PairSet.open(tmp_path / "p.zarr")).text
    assert len(shown(small_pairs[2]).pictures) == 2
    named = PairSet.from_arrays(np.ones((1, 5, 8, 8)), np.ones((1, 5, 18, 18)), input_survey="SDSS",
                                target_survey="CFHTLS", ids=[NASTY])
    assert NASTY in shown(named[0]).text and "redshift not known" in shown(named[0]).text
    assert "none" in shown(named).text


def test_translators(small_translator, conditioned_translator):
    found = shown(small_translator)
    assert small_translator.hash[:16] in found.text and "the image alone" in found.text
    assert "the image and the redshift, of each galaxy" in shown(conditioned_translator).text
    assert "Limitations" in shown(load("sdss-to-cfhtls")).text
    odd = load("sdss-to-cfhtls")
    odd.name, odd.provenance = NASTY, {"card": NASTY}
    assert NASTY in shown(odd).text


def test_densities():
    grid = np.linspace(0, 1, 11)
    found = shown(RedshiftPDF(grid, np.ones((20, 11))))
    assert "20 galaxies" in found.text and "..." in found.text
    assert "nan" in shown(RedshiftPDF(grid, np.full((2, 11), np.nan), on_invalid="mask")).text


def test_without_matplotlib(make_cube, small_pairs, small_translator, monkeypatch):
    """Text and tables are there in any case; figures say which extra they need."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for obj in (make_cube(), small_pairs, small_pairs[0], small_translator):
        assert shown(obj).text
    for draw in (make_cube().plot, small_pairs[0].plot, RedshiftPDF([0, 1], [[1, 1]]).plot):
        with pytest.raises(ImportError, match=re.escape("astro_galtrans[report]")):
            draw()


@pytest.fixture
def pyplot():
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_one_band_with_the_sky(make_cube, pyplot):
    ax = make_cube().plot("r")
    ax.figure.canvas.draw()
    assert [ax.coords[axis].get_axislabel() for axis in (0, 1)] == ["RA (ICRS)", "Dec (ICRS)"]
    assert ax.get_title() == "SDSS r" and ax.figure.axes[1].get_ylabel() == "flux (nmgy per pixel)"
    assert ax.images[0].get_array().shape == (24, 24)


def test_colours_and_axes_of_ones_own(make_cube, pyplot):
    cube = make_cube()
    ax = cube.plot()
    assert ax.get_title() == "i, r, g" and ax.images[0].get_array().shape == (24, 24, 3)
    mine = pyplot.figure().add_subplot(projection=cube.wcs)
    assert cube.plot("zrg", ax=mine) is mine and mine.get_title() == "z, r, g"
    assert len(cube.plot("g", colorbar=False).figure.axes) == 1
    assert make_cube(wcs=None).plot("g").get_xlabel() == "x (pixel)"
    assert cube.select_bands("g").plot().get_title() == "SDSS g"
    assert cube.plot("g", vmin=0, vmax=1, cmap="viridis").images[0].get_clim() == (0, 1)
    for bands in ("w", "gr", ("g", "r", "w"), ("w",)):
        with pytest.raises(BandMismatchError):
            cube.plot(bands)
    assert isinstance(cube["g"], CCDData)


def test_pairs_and_densities(small_pairs, pyplot):
    figure = small_pairs[0].plot("r", colorbar=False)
    assert [ax.get_title() for ax in figure.axes] == ["input: SDSS (SDSS r)", "target: CFHTLS (CFHTLS r)"]
    grid = np.linspace(0, 1, 11)
    ax = RedshiftPDF(grid, np.ones((8, 11))).plot([0, 3], z_spec=np.full(8, 0.3))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["galaxy 0", "galaxy 3"]
    assert ax.get_ylabel() == "probability per unit redshift"
    bins = RedshiftPDF(grid, np.ones((8, 10)), interpolation="constant")
    assert len(bins.plot(ax=pyplot.figure().add_subplot()).patches) == 5
    with pytest.raises(ValueError, match="z_spec"):
        bins.plot(z_spec=[0.1])
