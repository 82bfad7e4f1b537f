"""Backbones and the translation network: shapes, autograd, residual path, condition."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from astro_galtrans.backbones import (
    Backbone, Features, TranslationNetwork, available_backbones, build_backbone, register_backbone,
)

STEP = 0.187 / 0.396
SMALL = {"widths": [4, 8], "n_features": 4}


@contextmanager
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def network(n_in=3, n_out=3, **options):
    options = {"backbone": "unet", "backbone_options": SMALL, "step": STEP} | options
    with seeded():
        return TranslationNetwork(
            input_noise=[0.02] * n_in, target_noise=[0.5] * n_out, unit_ratio=[900.0] * n_out,
            nearest_band=[min(i, n_in - 1) for i in range(n_out)], **options)


@pytest.mark.parametrize("name", available_backbones())
@pytest.mark.parametrize(("size", "target"), [((16, 16), (34, 34)), ((15, 15), (33, 33)), ((13, 18), (29, 40)),
                                              ((4, 4), (10, 10))])
@pytest.mark.parametrize(("n_in", "n_out"), [(3, 3), (1, 1), (5, 2)])
def test_shapes_for_any_size_and_number_of_bands(name, size, target, n_in, n_out):
    with seeded():
        backbone = build_backbone(name, n_planes=n_in, n_hints=n_out, **SMALL)
    maps, embedding = backbone(randn(2, n_in, *size), randn(2, n_out, *target), target, STEP)
    assert maps.shape == (2, backbone.n_features, *target)
    assert embedding.shape == (2, backbone.n_embedding)
    prediction = network(n_in, n_out)(randn(2, n_in, *size), target)
    for image in (prediction.flux, prediction.value, prediction.log_sigma):
        assert image.shape == (2, n_out, *target)
        assert image.isfinite().all()


@pytest.mark.parametrize("conditioning", [None, "redshift"])
def test_gradient_reaches_each_parameter(conditioning):
    net = network(conditioning=conditioning)
    redshift = torch.tensor([0.1, 0.3]) if conditioning else None
    prediction = net(randn(2, 3, 16, 16), (34, 34), redshift)
    (prediction.value.square().mean() + prediction.log_sigma.square().mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_size_of_the_error_does_not_shape_the_features():
    net = network()
    net(randn(2, 3, 16, 16), (34, 34)).log_sigma.square().mean().backward()
    touched = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert touched == {"sigma_head.weight", "sigma_head.bias"}


@pytest.mark.parametrize("output", ["log", "sqrt"])
def test_output_space_is_inverted_exactly(output):
    net = network(output=output)
    flux = torch.tensor([-300.0, -2.0, -0.01, 0.0, 0.3, 5.0, 1e5]).expand(1, 3, 1, 7)
    torch.testing.assert_close(net.to_flux(net.from_flux(flux)), flux, rtol=2e-5, atol=1e-6)


def test_log_output_is_the_softened_log_of_lupton():
    net = network()
    bright = torch.full((1, 3, 1, 1), 1e6)
    torch.testing.assert_close(net.from_flux(bright), torch.log(bright / 0.5))
    assert net.from_flux(torch.zeros(1, 3, 1, 1)).abs().max() == 0


def test_residual_path_alone_is_the_resampled_input_with_flux_kept():
    net = network()
    nn.init.zeros_(net.image_head.weight)
    y, x = torch.meshgrid(torch.arange(16.0) - 7.5, torch.arange(16.0) - 7.5, indexing="ij")
    galaxy = 0.5 * torch.exp(-(x**2 + y**2) / (2 * 2.0**2))
    flux = (galaxy * torch.tensor([1.0, 2.0, 4.0])[:, None, None])[None]
    with torch.no_grad():
        translated = net(flux, (34, 34)).flux
    # A source of one input unit has 900 target units: total flux is kept, whatever the pixels.
    ratio = translated.sum((-2, -1)) / flux.sum((-2, -1)) / 900
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=1e-2, atol=0)


def test_without_residual_path_the_input_is_not_added():
    flux = randn(1, 3, 16, 16)
    for residual in (True, False):
        net = network(residual=residual)
        nn.init.zeros_(net.image_head.weight)
        assert bool((net(flux, (34, 34)).flux == 0).all()) is not residual


def test_training_and_evaluation_mode_agree():
    net = network()
    flux = randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(net.train()(flux, (34, 34)), net.eval()(flux, (34, 34)), rtol=0, atol=0)


def test_redshift_changes_the_output():
    net = network(conditioning="redshift")
    flux = randn(1, 3, 16, 16)
    with torch.no_grad():
        one, other = (net(flux, (34, 34), torch.tensor([z])).value for z in (0.05, 0.4))
    assert (one - other).abs().max() > 1e-4


def test_heads_are_float32_under_autocast():
    net = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = net(randn(1, 3, 16, 16), (34, 34))
    assert {x.dtype for x in prediction} == {torch.float32}
    assert net.backbone.paint.second.weight.dtype == torch.float32


def test_flux_is_not_changed_in_place():
    flux = randn(1, 3, 16, 16)
    kept = flux.clone()
    network()(flux, (34, 34))
    assert torch.equal(flux, kept)


@pytest.mark.parametrize(("options", "message"), [
    ({"output": "linear"}, "output must be 'log' or 'sqrt', got 'linear'"),
    ({"conditioning": "spectra"}, "conditioning must be .*'spectra'"),
    ({"backbone_options": {"widths": []}}, "widths and n_features must be positive"),
    ({"backbone_options": {"widths": [4], "n_features": 0}}, "widths and n_features must be positive"),
])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


def test_unknown_backbone_lists_the_known():
    with pytest.raises(ValueError, match="backbone must be one of .*unet.*got 'resnet'"):
        build_backbone("resnet", n_planes=3, n_hints=3)


def test_a_backbone_of_ones_own(monkeypatch):
    from astro_galtrans.backbones import contract

    monkeypatch.setattr(contract, "_registry", dict(contract._registry))

    @register_backbone("plain")
    class Plain(Backbone):
        n_features, n_embedding = 2, 3

        def __init__(self, n_planes, n_hints, n_condition=0):
            super().__init__()
            self.layer = nn.Conv2d(n_hints, 2, 1)

        def forward(self, planes, hints, size, step, condition=None):
            return Features(self.layer(hints), planes.mean((-2, -1))[:, :3])

    assert "plain" in available_backbones()
    net = network(backbone="plain", backbone_options=None)
    assert net(randn(1, 3, 16, 16), (34, 34)).flux.shape == (1, 3, 34, 34)
    with pytest.raises(ValueError, match="'plain' is registered already: Plain"):
        register_backbone("plain")(Plain)
