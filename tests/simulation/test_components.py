import astropy.units as u
import galsim
import numpy as np
import pytest

from astro_galtrans.simulation._components import Blobs, Ellipse, GridImage, Profile, SkyGrid, ferrers, ring, sersic
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._structure import draw_structure
from astro_galtrans.surveys import Band, Survey, get_survey

TEMPLATES = np.array([0.35, 0.3, 0.2, 0.1, 0.02])
LINES = 0.03
MATRIX = np.array([[1.1, -0.3], [0.4, 0.5]])


def one_band(scale, fwhm):
    r = get_survey("SDSS")["r"]
    return Survey("one band", (Band("r", r.wavelength, r.response, 22.5, fwhm * u.arcsec, 0.02, 1000.0),),
                  scale * u.arcsec, "nmgy")


@pytest.fixture(scope="module")
def sharp():
    return Renderer(one_band(0.1, 0.3), 200)


def image(renderer, shapes, fluxes=(1.0,), fwhm=0.3):
    """Return the image in one band through a narrow Gaussian, which rings less at the border of the grid."""
    psf = renderer.transform(galsim.Gaussian(fwhm=fwhm)).real
    return renderer.draw([shape.transform(renderer) for shape in shapes], np.array(fluxes)[:, None], [psf], (0, 0))[0]


def shapes():
    rng = np.random.default_rng(1)
    grid = SkyGrid(0.15, 48)
    values = np.exp(-np.hypot(grid.points, grid.points[:, None] - 0.5)) * rng.random((48, 48))
    weights = rng.random(30)
    yield "sersic", Ellipse(sersic(1.0), MATRIX)
    yield "cuspy", Ellipse(sersic(4.0), MATRIX)
    yield "bar", Ellipse(ferrers(), 3 * MATRIX)
    yield "ring", Ellipse(ring(), 2 * MATRIX)
    yield "grid", GridImage(grid, (values / values.sum()).astype(np.float32))
    yield "blobs", Blobs(*rng.normal(size=(2, 30)), weights / weights.sum(), 0.2)
    yield "profile", Profile(galsim.Exponential(half_light_radius=1.3))


@pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in shapes()])
def test_flux_sign_and_fraction_of_shapes(sharp, shape):
    assert shape.transform(sharp)[0, 0] == pytest.approx(1, abs=1e-5)
    drawn = image(sharp, [shape])
    assert drawn.min() > -2e-3 * drawn.max()
    y, x = (np.indices(drawn.shape) - 99.5) * 0.1
    fine = drawn[np.hypot(x, y) < 1.5].sum()
    assert shape.fraction(1.5) == pytest.approx(fine, abs=0.02)


def test_sersic_profiles_are_those_of_galsim(sharp):
    profile = galsim.Sersic(2.5, half_light_radius=1).transform(*MATRIX.ravel()).withFlux(1)
    np.testing.assert_allclose(Ellipse(sersic(2.5), MATRIX).transform(sharp), sharp.transform(profile), atol=2e-4)
    moved = Ellipse(sersic(2.5), MATRIX, (0.3, -0.2)).transform(sharp)
    np.testing.assert_allclose(moved, sharp.transform(profile.shift(0.3, -0.2)), atol=2e-4)


def test_half_of_a_sersic_profile_is_within_its_size():
    shape = Ellipse(sersic(4.0), 2.0 * np.eye(2))
    assert shape.size == 2.0 and shape.fraction(2.0) == pytest.approx(0.5, abs=1e-6)


def rows(n):
    rng = np.random.default_rng(4)
    for index in range(n):
        yield {"early": index % 2 == 0, "absolute_r_mag": rng.uniform(-23, -17), "redshift": rng.uniform(0.02, 0.4),
               "half_light_radius": rng.uniform(1.0, 2.0)}


def draw(index, row):
    return draw_structure(np.random.default_rng(index), row, TEMPLATES, LINES)


@pytest.fixture(scope="module")
def structures():
    return [(row, draw(index, row)) for index, row in enumerate(rows(120))]


def fluxes(structure):
    """Return the fluxes of components in SDSS r, of sum 1."""
    templates = TEMPLATES * (1 - LINES) / TEMPLATES.sum()
    return structure.shares @ templates + structure.line_shares * LINES


def test_shares_add_up(structures):
    for _, structure in structures:
        assert np.all(structure.shares >= 0) and np.all(structure.line_shares >= 0)
        np.testing.assert_allclose(structure.shares.sum(axis=0), 1, rtol=1e-9)
        assert structure.line_shares.sum() == pytest.approx(1)
        assert len(structure.names) == len(structure.shapes) == len(structure.reddening) == len(structure.shares)


def test_half_light_radius_is_that_of_the_catalog(structures, sharp):
    y, x = (np.indices((200, 200)) - 99.5) * 0.1
    order = np.argsort(np.hypot(x, y), axis=None)
    radii, ratios = np.hypot(x, y).ravel()[order], []
    for row, structure in structures:
        # Circles are compared with circularized radii where both are the same.
        if structure.columns["axis_ratio"] > 0.8 and not structure.nucleus:
            drawn = image(sharp, structure.shapes, fluxes(structure), 0.2)
            found = np.interp(0.5, np.cumsum(drawn.ravel()[order]), radii)
            ratios.append(found / row["half_light_radius"])
    assert len(ratios) > 15
    assert np.median(ratios) == pytest.approx(1, abs=0.02) and np.max(np.abs(np.log(ratios))) < 0.08


def test_galaxies_are_positive_under_dust_lanes(structures, sharp):
    lanes = 0
    for _, structure in structures:
        if structure.lane is None:
            continue
        shape, cover, _ = structure.lane
        drawn = image(sharp, [*structure.shapes, shape], np.append(fluxes(structure) * (1 + cover), -cover), 0.2)
        assert drawn.min() > -5e-3 * drawn.max() and drawn[96:104, 96:104].min() > 0
        lanes += 1
    assert lanes > 15


def test_kinds_of_galaxies(structures):
    names = [structure.names for _, structure in structures]
    assert {name for one in names for name in one} == {
        "bulge", "outer", "bar", "disk", "arms", "clumps", "ring", "tidal"}
    # Bulges are old, and the lines are where the young stars are.
    for _, structure in structures:
        share = dict(zip(structure.names, structure.shares))
        if "arms" in share and "bulge" in share:
            assert share["bulge"][0] / share["bulge"][-1] > 2 * share["clumps"][0] / share["clumps"][-1]
            lines = dict(zip(structure.names, structure.line_shares))
            assert lines["clumps"] / fluxes(structure)[structure.names.index("clumps")] > 1
    tidal = np.mean(["tidal" in one for one in names])
    assert 0.08 < tidal < 0.3


def test_structure_depends_on_the_generator_alone(structures):
    for index in (0, 1, 7):
        row, first = structures[index]
        second = draw(index, row)
        np.testing.assert_array_equal(first.shares, second.shares)
        assert first.columns == second.columns and first.names == second.names


def test_two_surveys_see_the_same_galaxy(structures):
    fwhm, sizes = 1.4, []
    renderers = [Renderer(one_band(0.396, 1.2), 64), Renderer(one_band(0.186, 0.7), 136)]
    for _, structure in structures[:40]:
        inside = []
        for renderer in renderers:
            # The flux in a circle, without pixels: the transform times that of a circle, at the center.
            k = np.hypot(renderer.kx, renderer.ky[:, None])
            psf = renderer.transform(galsim.Gaussian(fwhm=fwhm)).real
            total = sum(part * shape.transform(renderer) for part, shape in zip(fluxes(structure), structure.shapes))
            disk = renderer.transform(galsim.TopHat(4.0)).real * np.pi * 16
            weight = np.full(k.shape, 2.0)
            weight[:, [0, -1]] = 1.0
            inside.append(np.sum((total * psf * disk).real * weight) * (renderer.dk / (2 * np.pi)) ** 2)
        sizes.append(inside)
    ratios = np.divide(*np.transpose(sizes))
    assert np.abs(ratios - 1).max() < 0.005
