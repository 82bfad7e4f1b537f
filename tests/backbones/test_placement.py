"""Apertures that follow the galaxy and leave out its neighbors."""

import numpy as np
import pytest
import torch

from astro_galtrans.backbones import (
    NetworkConfig, PhotometryHead, TranslationNetwork, aperture_fluxes, log_apertures, measure_placement,
)

SCALE_RATIO = 0.187 / 0.396
NOISE = torch.tensor([2.0, 1.0, 3.0])[:, None, None]
COLORS = torch.tensor([0.4, 1.0, 1.6])[:, None, None]


def source(size, width, y=0.0, x=0.0, flux=400.0, colors=COLORS):
    """A round source at a distance from the middle, as smooth as a PSF leaves it, shape (1, 3, size, size)."""
    rows, columns = (torch.arange(size) - (size - 1) / 2 - shift for shift in (y, x))
    square = rows[:, None] ** 2 + columns**2
    return flux * colors * torch.exp(1 - (1 + square / width**2).sqrt())[None, None]


def noisy(image, seed=0):
    return image + NOISE * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def head():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PhotometryHead(3, 3, 0, SCALE_RATIO, centered=True)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.4, -0.3), (2.5, 1.2), (-3.0, 0.5)])
def test_the_center_of_a_galaxy_is_measured(offset):
    placement = measure_placement(noisy(source(32, 2.0, *offset)), NOISE)
    np.testing.assert_allclose(placement.center[0].numpy(), offset, atol=0.05)
    assert placement.neighbors.max() < 0.1


@pytest.mark.parametrize("image", [torch.zeros(1, 3, 32, 32), noisy(torch.zeros(1, 3, 32, 32)),
                                   noisy(source(32, 2.0, 0.0, 9.0)), -source(32, 2.0, 3.0, 0.0)])
def test_without_a_galaxy_the_center_is_near_the_middle(image):
    assert measure_placement(image, NOISE).center.abs().max() < 1


def test_a_galaxy_off_center_has_the_same_aperture_fluxes_and_colors(head):
    """An offset of one arcsec changes the flux in the smallest fixed aperture by a third."""
    fixed = [head.features(source(32, 2.0, *offset), NOISE) for offset in ((0.0, 0.0), (2.0, 1.5))]
    assert (fixed[0] - fixed[1]).abs().max() > 0.3
    moved = [head.features(flux, NOISE, placement=head.place(flux, NOISE))
             for flux in (source(32, 2.0, *offset) for offset in ((0.0, 0.0), (2.0, 1.5), (2.2, -0.6)))]
    for one in moved[1:]:
        torch.testing.assert_close(one[:, 18:], moved[0][:, 18:], rtol=0, atol=2e-3)  # colors
        torch.testing.assert_close(one, moved[0], rtol=0, atol=0.03)


def test_input_and_target_apertures_are_at_the_same_position(head):
    flux = source(32, 2.0, 2.0, 1.5)
    target = source(68, 2.0 / SCALE_RATIO, 2.0 / SCALE_RATIO, 1.5 / SCALE_RATIO)
    middle = log_apertures(source(68, 2.0 / SCALE_RATIO), NOISE, head.radii)
    _, weights = head.place_target(head.place(flux, NOISE), (68, 68))
    torch.testing.assert_close(log_apertures(target, NOISE, head.radii, weights), middle, rtol=0, atol=0.02)


@pytest.mark.parametrize("distance", [8.0, 10.0])
def test_a_neighbor_hardly_changes_the_fluxes_of_a_galaxy(head, distance):
    """A blue neighbor, a third as bright, 3 or 4 arcsec away."""
    alone = source(32, 1.5, 0.6, -0.4)
    both = alone + source(32, 1.2, 0.0, distance, 130.0, COLORS.flip(0))
    changes = []
    for flux, other in (((alone, both)), (noisy(alone), noisy(both))):
        fixed = (head.features(other, NOISE) - head.features(flux, NOISE)).abs()
        own = (head.features(other, NOISE, placement=head.place(other, NOISE))
               - head.features(flux, NOISE, placement=head.place(flux, NOISE))).abs()
        changes.append((float(fixed.max()), float(own.max())))
    for fixed, own in changes:
        assert own < 0.3 * fixed


def test_apertures_keep_their_area(head):
    """Also where a neighbor is left out, and beyond an edge of the image."""
    flux = source(32, 1.5, 3.0, 2.0) + source(32, 1.2, -5.0, -8.0, 200.0)
    placement = head.place(flux, NOISE)
    assert placement.neighbors.max() > 0.9
    areas = placement.weights(head.input_radii).sum(-1)[0].numpy()
    np.testing.assert_allclose(areas, np.pi * np.square(head.input_radii), rtol=0.05)


def test_fluxes_are_adjusted_around_the_galaxy_and_not_in_its_neighbors(head):
    flux = source(32, 1.5, 1.0, 1.0) + source(32, 1.2, 0.0, 11.0)
    image = source(68, 3.2, 2.1, 2.1) + source(68, 2.5, 0.0, 23.0)
    placed = head.place_target(head.place(flux, NOISE), (68, 68))
    levels = log_apertures(1.5 * image, NOISE, head.radii, placed[1])
    changed = head.apply_to(image, levels, NOISE, *placed)
    torch.testing.assert_close(log_apertures(changed, NOISE, head.radii, placed[1]), levels, rtol=0, atol=1e-2)
    factor = (changed / image)[0, 1]
    assert float(factor[36, 36]) == pytest.approx(1.5, rel=0.01)
    assert float(factor[33, 57]) == pytest.approx(1, abs=0.02)


def test_missing_data_are_looked_for_around_the_galaxy():
    with torch.random.fork_rng(devices=[]):
        head = PhotometryHead(3, 3, 0, SCALE_RATIO, centered=True, takes_missing=True)
    flux = source(32, 2.0, 3.0, 0.0)
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[:, 1, 17:21, 14:18] = False
    assert head.observed_apertures(valid)[0, 1].any()
    observed = head.observed_apertures(valid, head.place(flux, NOISE))[0]
    assert observed[[0, 2]].all() and not observed[1].any()


def test_a_network_returns_the_weights_of_its_apertures(make_network):
    network = make_network(photometry=True, centered=True, stamp_size=(32, 32)).eval()
    small = source(32, 2.0, 2.0, 1.5, 0.4)
    large = source(46, 2.0, 2.0, 1.5, 0.4)
    with torch.no_grad():
        results = [network(flux, (n, n)) for flux, n in ((small, 68), (large, 98))]
    fluxes = [aperture_fluxes(one.flux, network.photometry.radii, one.aperture_weights)[0] for one in results]
    torch.testing.assert_close(*fluxes, rtol=2e-3, atol=0.1)
    assert make_network(photometry=True)(small, (68, 68)).aperture_weights is None


def test_options_of_networks_with_fixed_apertures_stay_as_they_are(make_network):
    assert "centered" not in make_network(photometry=True).options
    options = make_network(photometry=True, centered=True).options
    with torch.random.fork_rng(devices=[]):
        assert TranslationNetwork(NetworkConfig.from_dict(options)).photometry.centered
