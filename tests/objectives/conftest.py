import pytest
import torch

from astro_galtrans.backbones import NetworkConfig, Prediction, TranslationNetwork
from astro_galtrans.objectives import Target, build_objective

N_BANDS = 3


def _randn(*shape, seed=7):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def randn():
    return _randn


@pytest.fixture(scope="session")
def make_network():
    def make(n_bands=N_BANDS, **options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return TranslationNetwork(NetworkConfig(
                "unet", [0.02] * n_bands, [0.5 + 0.25 * i for i in range(n_bands)], [900.0] * n_bands,
                list(range(n_bands)), 0.187 / 0.396, backbone_options={"widths": [4, 8], "n_features": 4}, **options))
    return make


@pytest.fixture(scope="session")
def make_objective():
    def make(name, n_bands=N_BANDS, **options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            return build_objective(name, n_bands=n_bands, n_features=4, n_embedding=8, **options)
    return make


@pytest.fixture(scope="session")
def galaxies():
    """Target flux of round galaxies with colors and noise, shape (galaxy, band, n, n), sky noise about 0.5."""
    def make(n=2, n_bands=N_BANDS, size=20, seed=1, noise=0.5):
        y, x = torch.meshgrid(*[torch.arange(float(size)) - (size - 1) / 2] * 2, indexing="ij")
        radius = 3 + torch.arange(n)[:, None, None, None] + 0.3 * torch.arange(n_bands)[:, None, None]
        profile = 40 * torch.exp(-torch.sqrt((x - 0.7)**2 + (y + 1.2)**2 / 0.5) / radius)
        color = (1 + torch.arange(float(n_bands)))[:, None, None]
        return profile * color + noise * _randn(n, n_bands, size, size, seed=seed)
    return make


@pytest.fixture(scope="session")
def predict():
    """A prediction of any flux, as a leaf of autograd, with features that differ from pixel to pixel."""
    def make(network, flux, seed=2):
        flux = flux.clone().requires_grad_()
        n, _, *size = flux.shape
        maps = _randn(n, 4, *size, seed=seed).requires_grad_()
        embedding = _randn(n, 8, seed=seed + 1).requires_grad_()
        log_sigma = torch.zeros_like(flux).requires_grad_()
        return Prediction(flux, network.from_flux(flux), log_sigma, maps, embedding)
    return make


@pytest.fixture(scope="session")
def loss_of():
    def loss(objective, network, prediction, target, valid=None, seed=0, progress=1.0):
        further = {"progress": progress} if objective.uses_progress else {}
        target = Target(target, torch.ones_like(target), valid)
        generator = torch.Generator().manual_seed(seed)
        return objective.image_loss(prediction, target, network.output_space, generator, **further)[0]
    return loss
