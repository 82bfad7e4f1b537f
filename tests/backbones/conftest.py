import pytest
import torch

from astro_galtrans.backbones import NetworkConfig, TranslationNetwork, available_backbones, backbone_class

SCALE_RATIO = 0.187 / 0.396
# Beside the smallest named size of each backbone, where a test needs less.
SMALL = {"unet": {"widths": [4, 8], "n_features": 4}}


def _options(name):
    return SMALL.get(name, backbone_class(name).sizes["tiny"])


def _randn(*shape, seed=7):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _make_network(backbone="unet", n_in=3, n_out=3, seed=3, **options):
    options = {"backbone_options": _options(backbone), "scale_ratio": SCALE_RATIO} | options
    if options.get("conditioning") == "spectrum":
        options.setdefault("conditioning_options", {"grid": {"first": 3600.0, "last": 10000.0, "n_pixels": 64}})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TranslationNetwork(NetworkConfig(
            backbone, input_noise=[0.02] * n_in, target_noise=[0.5] * n_out, unit_ratio=[900.0] * n_out,
            nearest_band=[min(i, n_in - 1) for i in range(n_out)], **options))


def _run(network, flux, size, condition=None, target=None, seed=5):
    """A prediction of any network: a generative one is given a noisy target."""
    noisy = None
    if network.generative:
        target = 3 * _randn(len(flux), len(network.nearest_band), *size, seed=seed) if target is None else target
        noisy = network.draw_noisy(flux, target, torch.Generator().manual_seed(seed))
    return network(flux, size, condition, noisy)


@pytest.fixture(scope="session")
def randn():
    return _randn


@pytest.fixture(scope="session")
def make_network():
    return _make_network


@pytest.fixture(scope="session")
def run():
    return _run


@pytest.fixture(params=available_backbones())
def backbone(request):
    return request.param
