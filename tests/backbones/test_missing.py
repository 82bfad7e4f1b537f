"""Networks for images with missing bands and regions."""

import numpy as np
import pytest
import torch

from astro_galtrans.backbones import NetworkConfig, TranslationNetwork, fill_from_bands, log_apertures

NOISE = torch.full((3, 1, 1), 0.02)


def _galaxy(size=24, colors=(0.5, 1.0, 2.0), noise=0.02, n=2):
    y, x = torch.meshgrid(*2 * [torch.arange(size) - 0.5 * (size - 1)], indexing="ij")
    flux = torch.exp(-torch.hypot(y, x) / 3) * torch.tensor(colors)[:, None, None]
    return flux + noise * torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
def test_invalid_values_are_never_read(garbage):
    flux = _galaxy()
    valid = torch.rand(flux.shape, generator=torch.Generator().manual_seed(2)) > 0.3
    valid[1, 2] = False
    filled = fill_from_bands(torch.where(valid, flux, garbage), valid, NOISE)
    assert filled.isfinite().all()
    assert torch.equal(filled[valid], flux[valid])
    assert torch.equal(filled, fill_from_bands(torch.where(valid, flux, 0), valid, NOISE))


def test_a_core_is_filled_by_the_next_band_in_the_color_of_the_galaxy():
    flux = _galaxy()
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[:, 1, 8:16, 8:16] = False
    core = fill_from_bands(flux, valid, NOISE)[:, 1, 8:16, 8:16]
    torch.testing.assert_close(core.sum((1, 2)), flux[:, 1, 8:16, 8:16].sum((1, 2)), rtol=0.1, atol=0)


def test_a_whole_band_is_filled_by_the_flux_of_the_next():
    flux = _galaxy()
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[:, 0] = False
    torch.testing.assert_close(fill_from_bands(flux, valid, NOISE)[:, 0], flux[:, 1])


def test_the_ratio_of_faint_bands_is_not_that_of_their_noise():
    flux = _galaxy(colors=(0.01, 0.01, 0.01))
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[:, 1, :4] = False
    torch.testing.assert_close(fill_from_bands(flux, valid, NOISE)[:, 1, :4], flux[:, 2, :4], rtol=0.2, atol=1e-3)


def test_what_no_band_has_is_filled_from_around():
    flux = torch.full((1, 3, 9, 9), 4.0)
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[..., 3:6, 3:6] = False
    torch.testing.assert_close(fill_from_bands(flux * valid, valid, NOISE), flux)
    assert torch.equal(fill_from_bands(flux, torch.zeros_like(valid), NOISE), torch.zeros_like(flux))


def _network(takes_missing=True, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return TranslationNetwork(NetworkConfig(
            "unet", [0.02] * 3, [0.5] * 3, [900.0] * 3, [0, 1, 2], 0.5, photometry=True, takes_missing=takes_missing,
            stamp_size=(24, 24), backbone_options={"widths": [4, 8], "n_features": 4}, **options)).eval()


@torch.inference_mode()
def test_complete_data_may_be_given_with_or_without_its_coverage():
    network, flux = _network(), _galaxy()
    for one, other in zip(network(flux, (48, 48)), network(flux, (48, 48), valid=torch.ones_like(flux) > 0)):
        if one is not None:
            torch.testing.assert_close(one, other)


@torch.inference_mode()
def test_the_network_sees_what_is_missing_and_not_what_is_under_it():
    network, flux = _network(), _galaxy()
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[0, 1] = False
    result = network(flux, (48, 48), valid=valid)
    other = network(torch.where(valid, flux, torch.nan), (48, 48), valid=valid)
    for one, two in zip(result, other):
        if one is not None:
            assert torch.equal(one, two) and one.isfinite().all()
    filled = network(network.fill(flux, valid), (48, 48))
    assert not torch.allclose(filled.log_sigma[0], result.log_sigma[0])
    torch.testing.assert_close(filled.flux[1], result.flux[1])


def test_options_of_older_networks_stay_as_they_are():
    assert "takes_missing" not in _network(takes_missing=False).options
    with torch.random.fork_rng(devices=[]):
        assert TranslationNetwork(NetworkConfig.from_dict(_network().options)).takes_missing


def test_missing_apertures_are_replaced_by_their_expectation():
    generator = torch.Generator().manual_seed(0)
    head = _network().photometry
    level, color = torch.rand(512, 1, 1, 1, generator=generator), torch.rand(512, 1, 1, 1, generator=generator)
    slope = torch.tensor([-0.5, 0.0, 0.5])[:, None, None]
    flux = _galaxy(noise=0.002, n=512) * 10 ** (1 + level + slope * color)
    head.solve(head.features(flux, NOISE), log_apertures(flux, NOISE, head.radii))
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[:, 1] = False
    observed = head.observed_apertures(valid)
    assert observed.all(2).tolist() == [[True, False, True]] * 512
    n_fluxes = head.covariance.shape[0]
    expected = head.features(torch.where(valid, flux, 1e3), NOISE, observed)[:, :n_fluxes]
    true = head.features(flux, NOISE)[:, :n_fluxes]
    # Flux and color of the galaxy follow from the two bands beside.
    assert float((expected - true).abs().max()) < 0.05
    assert float(true[:, 8].std()) > 0.5


def test_apertures_with_a_small_gap_count_as_observed():
    valid = torch.ones(1, 3, 32, 32, dtype=torch.bool)
    valid[0, 0, 15, 15], valid[0, 1, :, :4], valid[0, 2, 14:18, 14:18] = False, False, False
    observed = _network().photometry.observed_apertures(valid)[0]
    assert observed[0].all() and observed[1].all() and not observed[2].any()


def test_every_parameter_learns():
    network, flux = _network(), _galaxy()
    valid = torch.ones_like(flux, dtype=torch.bool)
    valid[0, 2] = False
    levels = log_apertures(900 * flux, network.target_noise, network.photometry.radii)
    network.photometry.solve(network.photometry.features(flux, network.input_noise), levels)
    prediction = network(flux, (48, 48), valid=valid)
    (prediction.flux.square().mean() + prediction.log_sigma.square().mean()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not np.any(p.grad.numpy())] == []
