import numpy as np
import pytest
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty

from astro_galtrans.images import BandCube, regrid


def spot(shape, x0, y0, sigma=2.0, total=1.0):
    y, x = np.indices(shape)
    return total / (2 * np.pi * sigma**2) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))


def centroid(image):
    y, x = np.indices(image.shape)
    image = np.nan_to_num(image)
    return (x * image).sum() / image.sum(), (y * image).sum() / image.sum()


GRIDS = [
    dict(scale=0.396, offset=(7.3, -4.6)),
    dict(scale=0.396, angle=33.0),
    dict(scale=0.186, shape=(130, 130)),
    dict(scale=0.9, shape=(30, 30)),
]


@pytest.mark.parametrize("method", [None, "bilinear", "exact", "adaptive"])
@pytest.mark.parametrize("grid", GRIDS)
def test_flux_and_position_are_conserved(make_wcs, grid, method):
    shape = (61, 63)
    wcs, target = make_wcs(shape), make_wcs(**{"shape": (64, 60), **grid})
    new_shape = grid.get("shape", (64, 60))
    cube = BandCube(np.stack([spot(shape, 30.2, 31.7), spot(shape, 33, 28, 1.6, 5)]), unit="nmgy", wcs=wcs, bands="gr")
    out = regrid(cube, target, new_shape, method=method)
    assert out.shape == (2,) + new_shape and out.unit == cube.unit and out.bands == cube.bands
    total = np.nansum(out.data, axis=(1, 2))
    coarse = grid["scale"] == 0.9
    # overlaps of areas conserve flux by construction, interpolation as far as the image is sampled well
    if method == "exact" or (coarse and method is None):
        np.testing.assert_allclose(total, [1, 5], rtol=1e-6)
    elif not (coarse and method == "bilinear"):
        np.testing.assert_allclose(total, [1, 5], rtol=4e-3 if method else 1e-3)
    for plane, place in zip(out.data, [(30.2, 31.7), (33, 28)]):
        expected = target.world_to_pixel(wcs.pixel_to_world(*place))
        np.testing.assert_allclose(centroid(plane), expected, atol=0.03 if coarse else 0.01)


def test_a_change_of_pixel_area_within_the_image_is_followed(make_wcs):
    from astropy.wcs import Sip

    wcs = make_wcs((61, 61))
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a = np.zeros((3, 3))
    a[2, 0] = 2e-3
    wcs.sip = Sip(a, np.zeros((3, 3)), None, None, wcs.wcs.crpix)
    ccd = CCDData(spot((61, 61), 45, 30, 1.6), unit="nmgy", wcs=wcs)
    out = regrid(ccd, make_wcs((70, 80)), (70, 80))
    assert np.nansum(out.data) == pytest.approx(1, rel=2e-3)


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_variance_of_an_aperture_is_kept(make_wcs, kind):
    power = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}[kind]
    shape, rng = (120, 120), np.random.default_rng(1)
    sums, stated = [], None
    for _ in range(40):
        ccd = CCDData(rng.normal(0, 0.3, shape), unit="nmgy", wcs=make_wcs(shape),
                      uncertainty=kind(np.full(shape, 0.3**power)))
        out = regrid(ccd, make_wcs((200, 200), scale=0.22, angle=10), (200, 200))
        blocks = out.data[20:180, 20:180].reshape(4, 40, 4, 40).sum(axis=(1, 3))
        sums.extend(blocks.ravel())
        stated = out.uncertainty.array[20:180, 20:180].astype(float) ** (2 / power)
        stated = stated.reshape(4, 40, 4, 40).sum(axis=(1, 3))
    assert type(out.uncertainty) is kind
    assert np.std(sums) == pytest.approx(np.sqrt(stated.mean()), rel=0.08)


def test_scatter_of_pixels_is_at_most_what_is_stated(make_wcs):
    shape, rng = (200, 200), np.random.default_rng(2)
    sigma = StdDevUncertainty(np.ones(shape))
    ccd = CCDData(rng.normal(0, 1, shape), unit="nmgy", wcs=make_wcs(shape), uncertainty=sigma)
    for offset in ((0.0, 0.25), (0.5, 0.5)):
        out = regrid(ccd, make_wcs(shape, offset=offset), shape)
        ratio = np.nanstd(out.data / out.uncertainty.array)
        assert 0.7 < ratio < 1.0


def test_bad_pixels_and_what_has_no_image_are_masked(make_wcs):
    shape = (40, 40)
    data, mask = np.ones(shape), np.zeros(shape, dtype=bool)
    data[20, 20], data[10, 10], mask[10, 10] = np.nan, 1e6, True
    ccd = CCDData(data, unit="nmgy", wcs=make_wcs(shape), mask=mask)
    out = regrid(ccd, make_wcs(shape, offset=(5.4, 0.0)), shape)
    assert out.mask[20, 25] and out.mask[20, 26] and out.mask[10, 25 - 10]
    assert out.mask[:, :5].all() and np.isnan(out.data[:, :5]).all()
    assert out.mask[:, 7:].sum() == 4
    np.testing.assert_allclose(out.data[~out.mask], 1, rtol=1e-6)
    assert data[10, 10] == 1e6 and np.isnan(data[20, 20])


def test_same_grid_changes_nothing(sdss_cube, make_wcs):
    out = regrid(sdss_cube, make_wcs(), (64, 64))
    np.testing.assert_array_equal(out.data, sdss_cube.data)
    assert out is not sdss_cube and not np.shares_memory(out.data, sdss_cube.data)


def test_psf_follows_scale_and_orientation(make_wcs):
    psf = np.stack([spot((25, 25), 12, 12, 2.0), spot((25, 25), 12, 12, 3.0)])
    y, x = np.indices((25, 25)) - 12.0
    cube = BandCube(np.ones((2, 40, 40)), unit="nmgy", wcs=make_wcs((40, 40), scale=0.4), bands="gr", psf=psf)
    out = regrid(cube, make_wcs((80, 80), scale=0.2, angle=20), (80, 80))
    np.testing.assert_allclose(out.psf.sum(axis=(1, 2)), 1)
    for plane, sigma in zip(out.psf, (4.0, 6.0)):
        side = plane.shape[0]
        assert side % 2 == 1 and np.unravel_index(plane.argmax(), plane.shape) == (side // 2, side // 2)
        yy, xx = np.indices(plane.shape) - side // 2
        assert np.sqrt((plane * xx**2).sum()) == pytest.approx(sigma, rel=0.01)
    np.testing.assert_array_equal(regrid(cube, make_wcs((40, 40), scale=0.4, offset=(1.5, 0)), (40, 40)).psf, cube.psf)


@pytest.mark.parametrize(("arguments", "error", "words"), [
    ({"image": np.ones((3, 3))}, TypeError, "image"),
    ({"image": CCDData(np.ones((3, 3)), unit="adu")}, ValueError, "WCS"),
    ({"shape": (3,)}, ValueError, "shape"),
    ({"method": "nearest"}, ValueError, "method"),
    ({"wcs": None}, ValueError, "None")])
def test_arguments(make_wcs, sdss_cube, arguments, error, words):
    with pytest.raises(error, match=words):
        regrid(**{"image": sdss_cube, "wcs": make_wcs(), "shape": (10, 10), **arguments})
