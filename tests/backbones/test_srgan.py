"""The generator of SRGAN: which grid it works on, and that everything stays where it is on the sky."""

import pytest
import torch
from torch import nn

from astro_galtrans.backbones import SRGAN, build_backbone, resample

SCALE_RATIO = 0.187 / 0.396
SMALL = {"n_blocks": 2, "n_channels": 4, "n_features": 3}


def generator(scale_ratio=SCALE_RATIO, n_condition=0, seed=3, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SRGAN(2, 3, n_condition, scale_ratio=scale_ratio, **{**SMALL, **options})


def symmetric(net):
    """The same network with kernels that no flip or turn changes."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                turned = [torch.rot90(w, k, (2, 3)) for w in (module.weight, module.weight.mT) for k in range(4)]
                module.weight.copy_(torch.stack(turned).mean(0))
    return net


@pytest.mark.parametrize(("scale_ratio", "n_doublings"), [
    (SCALE_RATIO, 1), (1.0, 0), (1 / SCALE_RATIO, 0), (0.75, 0), (0.6, 1), (0.5, 1), (0.25, 2), (0.2, 2), (0.12, 3)])
def test_doublings_bring_the_grid_nearest_to_the_target(scale_ratio, n_doublings):
    net = generator(scale_ratio)
    assert net.n_doublings == len(net.doublings) == n_doublings
    assert net.scale_ratio == scale_ratio * 2**n_doublings
    assert 2**-0.5 <= net.scale_ratio <= 2**0.5 or scale_ratio > 1


def test_quarters_of_a_pixel_lie_in_it():
    """Channel 4 c + 2 i + j is row i and column j within the pixels of channel c."""
    layer = generator(n_channels=2).doublings[0]
    nn.init.zeros_(layer.spread.weight)
    with torch.no_grad():
        layer.spread.bias.copy_(1 + torch.arange(8.0))
        doubled = layer(torch.zeros(1, 2, 3, 5))
    assert doubled.shape == (1, 2, 6, 10)
    for channel in range(2):
        for i in range(2):
            for j in range(2):
                assert (doubled[0, channel, i::2, j::2] == 1 + 4 * channel + 2 * i + j).all()


def test_no_chequerboard_at_the_start(randn):
    with torch.no_grad():
        doubled = generator().doublings[0](randn(2, 4, 5, 6))
    for i, j in ((0, 1), (1, 0), (1, 1)):
        torch.testing.assert_close(doubled[..., i::2, j::2], doubled[..., ::2, ::2])


@pytest.mark.parametrize(("scale_ratio", "size", "target"), [
    (SCALE_RATIO, (16, 16), (34, 34)), (SCALE_RATIO, (15, 15), (33, 33)), (0.21, (8, 8), (38, 38)),
    (1.0, (11, 11), (11, 11)), (1 / SCALE_RATIO, (34, 34), (16, 16))])
def test_turned_and_flipped_images_give_turned_and_flipped_maps(randn, scale_ratio, size, target):
    """With kernels without a direction there is none; a grid that is off by a part of a pixel would be one."""
    net = symmetric(generator(scale_ratio))
    planes, resampled = randn(1, 2, *size), randn(1, 3, *target)

    def turned(images, k, flip):
        images = torch.rot90(images, k, (2, 3))
        return images.flip(3) if flip else images

    with torch.no_grad():
        maps, embedding = net(planes, resampled, target)
        for k in range(4):
            for flip in (False, True):
                other = net(turned(planes, k, flip), turned(resampled, k, flip), target)
                torch.testing.assert_close(other.maps, turned(maps, k, flip), rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(other.embedding, embedding, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scale_ratio", "size", "target"), [
    (SCALE_RATIO, 24, 50), (0.2, 24, 120), (1.0, 24, 24), (0.3, 25, 83)])
@pytest.mark.parametrize("place", [(0.0, 0.0), (1.3, -2.2)])
def test_a_source_keeps_its_place(scale_ratio, size, target, place):
    """Through pixels that are doubled into equal quarters and resampled, the centroid on the sky is the same."""
    net = generator(scale_ratio)
    y, x = torch.meshgrid(*[torch.arange(float(size)) - (size - 1) / 2] * 2, indexing="ij")
    images = torch.exp(-((x - place[1])**2 + (y - place[0])**2) / 8).expand(1, SMALL["n_channels"], size, size)
    with torch.no_grad():
        for double in net.doublings:
            nn.init.zeros_(double.spread.bias)
            nn.init.zeros_(double.spread.weight)
            for quarter in range(4):
                double.spread.weight[torch.arange(4) * 4 + quarter, torch.arange(4), 1, 1] = 1
            images = double(images)
        image = resample(images, (target, target), net.scale_ratio)[0, 0]
    grid = (torch.arange(float(target)) - (target - 1) / 2) * scale_ratio
    centroid = [float((image.sum(1 - axis) * grid).sum() / image.sum()) for axis in (0, 1)]
    assert centroid == pytest.approx(place, abs=0.01)


def test_blocks_begin_near_the_identity(randn):
    net, x = generator(), randn(1, 4, 9, 9)
    with torch.no_grad():
        for block in net.body:
            assert (block(x, None) - x).abs().max() < 0.3


def test_amplitude_of_an_image_does_not_depend_on_its_neighbours(randn):
    """What batch normalisation would break."""
    net, planes, resampled = generator(), randn(3, 2, 8, 8), randn(3, 3, 18, 18)
    with torch.no_grad():
        alone = net(planes[:1], resampled[:1], (18, 18)).maps
        planes[1:] *= 100
        torch.testing.assert_close(net(planes, resampled, (18, 18)).maps[:1], alone, rtol=1e-4, atol=1e-5)


def test_condition_acts_in_each_block(randn):
    net = generator(n_condition=5)
    condition = randn(2, 5).requires_grad_()
    maps, embedding = net(randn(2, 2, 8, 8), randn(2, 3, 18, 18), (18, 18), condition)
    (maps.square().mean() + embedding.square().mean()).backward()
    assert condition.grad.abs().max() > 0
    for block in net.body:
        assert block.modulation.weight.grad.abs().max() > 0


def test_embedding_and_features_have_the_lengths_that_are_said(randn):
    with torch.random.fork_rng(devices=[]):
        net = build_backbone("srgan", n_planes=2, n_resampled=3, scale_ratio=SCALE_RATIO, n_blocks=1, n_channels=7,
                             n_features=5)
    maps, embedding = net(randn(2, 2, 8, 8), randn(2, 3, 18, 18), (18, 18))
    assert (net.n_features, net.n_embedding) == (maps.shape[1], embedding.shape[1]) == (5, 7)


def test_constructor_makes_the_tiny_one():
    with torch.random.fork_rng(devices=[]):
        tiny, default = (SRGAN(5, 5, scale_ratio=SCALE_RATIO, **options) for options in (SRGAN.sizes["tiny"], {}))
    assert [p.shape for p in tiny.parameters()] == [p.shape for p in default.parameters()]


@pytest.mark.parametrize("name", ["n_blocks", "n_channels", "n_features"])
@pytest.mark.parametrize("value", [0, 2.5, True, "many"])
def test_wrong_options_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be an int of at least 1, got {value!r}"):
        generator(**{name: value})
