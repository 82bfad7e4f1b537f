"""What is special about the Swin backbone: its windows, MONAI's weights, padding, and the amplitude of an image."""

import sys

import pytest
import torch

from astro_galtrans.backbones import Swin, build_backbone
from astro_galtrans.backbones.blocks import pad_to_multiple

pytestmark = pytest.mark.monai

SCALE_RATIO = 0.187 / 0.396


def swin(n_planes=3, n_resampled=3, seed=3, scale_ratio=SCALE_RATIO, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_backbone("swin", n_planes=n_planes, n_resampled=n_resampled, scale_ratio=scale_ratio, **options)


@pytest.mark.parametrize("norm", ["group", "instance", "none"])
@torch.no_grad()
def test_forward_is_that_of_monai_on_the_same_weights(randn, norm):
    from monai.networks.nets.swin_unetr import SwinUNETR

    ours = swin(norm=norm, depths=[2, 1, 2, 1])
    with torch.random.fork_rng(devices=[]):
        bare = SwinUNETR(**ours.monai_options | {"out_channels": 12})
    missing = bare.load_state_dict(ours.unetr.state_dict(), strict=False)
    assert missing.missing_keys == ["out.conv.conv.weight", "out.conv.conv.bias"] and not missing.unexpected_keys
    bare.out.conv.conv.weight.copy_(torch.eye(12)[:, :, None, None])
    bare.out.conv.conv.bias.zero_()
    x = randn(2, 3, 64, 96)
    maps, deepest = ours.encode_decode(x)
    assert torch.equal(maps, bare(x))
    assert torch.equal(deepest, bare.encoder10(bare.swinViT(x)[4]))
    assert torch.equal(ours(x, randn(2, 3, 136, 200), (136, 200)).embedding, deepest.mean((-2, -1)))


@pytest.mark.parametrize(("depth", "reach"), [(1, 2), (2, 3)])
@torch.no_grad()
def test_shifted_windows_reach_across_the_border_of_a_window(randn, depth, reach):
    encoder = swin(depths=[depth, 1, 1, 1]).unetr.swinViT
    image = randn(1, 3, 64, 64)
    changed = image.clone()
    changed[..., 7, 7] += 1  # in the last patch of the first window, which has 4 x 4 patches of 2 x 2 pixels
    one, other = (encoder(x, False)[1] for x in (image, changed))  # merged by 2 x 2 patches: two places a window
    touched = ((one - other).abs().amax((0, 1)) > 0).nonzero()
    assert touched.amax(0).tolist() == [reach - 1] * 2
    assert len(touched) == reach**2


@torch.no_grad()
def test_last_stage_attends_to_the_whole_image(randn):
    encoder = swin().unetr.swinViT
    image = randn(1, 3, 64, 64)
    changed = image.clone()
    changed[..., 0, 0] += 1
    assert ((encoder(image, False)[4] - encoder(changed, False)[4]).abs().amax(1) > 0).all()


@pytest.mark.parametrize(("window", "norm", "size", "padded"), [
    (4, "group", (4, 4), (64, 64)), (4, "group", (1, 70), (64, 96)), (2, "group", (32, 32), (32, 32)),
    (2, "instance", (32, 32), (64, 64)), (7, "group", (64, 64), (128, 128)),
])
def test_no_stage_is_smaller_than_a_window(monkeypatch, randn, window, norm, size, padded):
    network = swin(window=window, norm=norm)
    seen = []
    forward = network.encode_decode
    monkeypatch.setattr(network, "encode_decode", lambda x: seen.append(tuple(x.shape[-2:])) or forward(x))
    target = tuple(2 * n + 2 for n in size)
    features = network.train()(randn(1, 3, *size), randn(1, 3, *target), target)
    assert seen == [padded]
    assert features.maps.shape == (1, 8, *target) and features.maps.isfinite().all()
    # Patches of 2 pixels, and three halvings up to the fourth stage.
    assert min(padded) // 16 >= window


@torch.no_grad()
def test_padding_is_cut_off_around_the_centre(monkeypatch, randn):
    network = swin()
    monkeypatch.setattr(network, "encode_decode", lambda x: (x[:, :1].expand(-1, 12, -1, -1), x))
    seen = []
    monkeypatch.setattr(network.painter, "forward", lambda maps, *_: seen.append(maps))
    planes = randn(1, 3, 41, 17)
    network(planes, None, (87, 36))
    assert torch.equal(seen[0], planes[:, :1].expand(-1, 12, -1, -1))


@pytest.mark.parametrize("shape", [(4, 4), (1, 40), (1, 1), (33, 31), (64, 64)])
def test_padding_repeats_the_rim(randn, shape):
    image = randn(2, 3, *shape)
    padded, inside = pad_to_multiple(image, 32, 64)
    assert padded.shape == (2, 3, 64, 64)
    assert torch.equal(padded[inside], image)
    for place in (0, -1):
        assert torch.equal(padded[..., place, place], image[..., place, place])


def galaxies(n=160):
    """Softened log flux of round galaxies of several sizes in noise, and the logarithm of their amplitudes."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(*[torch.arange(32.0) - 15.5] * 2, indexing="ij")
    log_amplitude = 3.4 * torch.rand(n, generator=generator)
    width = 1.5 + 2 * torch.rand(n, generator=generator)[:, None, None]
    flux = 20 * log_amplitude.exp()[:, None, None] * torch.exp(-(x**2 + y**2) / (2 * width**2))
    flux = flux[:, None] * torch.tensor([0.5, 1.0, 1.5])[:, None, None]
    return torch.asinh((flux + torch.randn(flux.shape, generator=generator)) / 2), log_amplitude


def amplitude_error(norm):
    """Scatter of the log amplitude that a linear fit to simple statistics of an untrained network's maps leaves."""
    planes, log_amplitude = galaxies()
    with torch.no_grad():
        maps, _ = swin(norm=norm, window=2).encode_decode(pad_to_multiple(planes, 32, 64)[0])
    x = torch.cat([maps.mean((-2, -1)), maps.std((-2, -1)), maps.amax((-2, -1))], 1).double()
    x = torch.cat([(x - x.mean(0)) / x.std(0).clamp_min(1e-3), torch.ones(len(x), 1)], 1)
    fit, rest, y = x[:120], x[120:], log_amplitude.double()
    weights = torch.linalg.solve(fit.T @ fit + 0.1 * torch.eye(x.shape[1]), fit.T @ y[:120])
    return float((rest @ weights - y[120:]).std())


@pytest.mark.parametrize(("norm", "largest"), [("group", 0.5), ("none", 0.1)])
def test_amplitude_of_an_image_is_not_lost(norm, largest):
    # Less than a factor of two in flux, ln 2 = 0.69; the amplitudes themselves scatter by 1.
    assert amplitude_error(norm) < largest


@torch.no_grad()
def test_twice_the_flux_can_be_told_apart_without_the_resampled_input():
    planes, _ = galaxies(2)
    network = swin(window=2)
    resampled = torch.zeros(2, 3, 68, 68)
    brighter = torch.asinh(2 * torch.sinh(planes))
    one, other = (network(x, resampled, (68, 68)) for x in (planes, brighter))
    assert (one.maps - other.maps).abs().amax((1, 2, 3)).min() > 0.05 * one.maps.std()
    assert (one.embedding - other.embedding).norm(dim=1).min() > 0.02 * one.embedding.norm(dim=1).max()


def test_bfloat16_of_autocast(randn):
    network = swin()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = network(randn(1, 3, 20, 20), randn(1, 3, 42, 42), (42, 42))
    assert features.maps.isfinite().all() and features.embedding.isfinite().all()


@pytest.mark.parametrize(("options", "message"), [
    ({"feature_size": 16}, "feature_size must be a multiple of 12, got 16"),
    ({"feature_size": 0}, "feature_size must be an integer of at least 12, got 0"),
    ({"feature_size": 24.0}, "feature_size must be an integer of at least 12, got 24.0"),
    ({"n_heads": 5}, "n_heads must divide feature_size=12, got 5"),
    ({"n_heads": 0}, "n_heads must be an integer of at least 1, got 0"),
    ({"depths": [2, 2]}, r"depths must be 4 positive integers, got \[2, 2\]"),
    ({"depths": [2, 2, 0, 2]}, "depths must be 4 positive integers"),
    ({"depths": 2}, "depths must be 4 positive integers, got 2"),
    ({"window": 1}, "window must be an integer of at least 2, got 1"),
    ({"norm": "batch"}, "norm must be one of group, instance, none, got 'batch'"),
    ({"n_features": 0}, "n_features must be an integer of at least 1, got 0"),
])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        swin(**options)


@pytest.mark.parametrize("missing", ["monai.networks.nets.swin_unetr", "einops"])
def test_missing_monai_names_the_extra(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"swin backbone.*astro_galtrans\[backbones\]"):
        swin()


def test_named_sizes():
    networks = {"default": swin(5, 5), **{name: swin(5, 5, **options) for name, options in Swin.sizes.items()}}
    n_weights = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert n_weights["default"] == n_weights["tiny"]
    assert n_weights["tiny"] < 2e6 < 2e7 < n_weights["base"]
