"""The translation network with each backbone: shapes, autograd, residual path, determinism, learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from astropy.utils.exceptions import AstropyDeprecationWarning
from torch import nn

from astro_galtrans.backbones import (
    Backbone, Features, NetworkConfig, Painter, TranslationNetwork, UNet, available_backbones, backbone_class,
    build_backbone, register_backbone, resample,
)
from astro_galtrans.objectives import Target, build_objective

SCALE_RATIO = 0.187 / 0.396


def stars(n=4, size=16, n_bands=3, scale=1.0):
    """Round galaxies of several sizes and colors around the middle, in input units of a noise of 0.02."""
    y, x = torch.meshgrid(*[(torch.arange(float(size)) - (size - 1) / 2) * scale] * 2, indexing="ij")
    width = 1.5 + 0.5 * torch.arange(float(n))[:, None, None, None]
    color = 1 + torch.arange(float(n_bands))[:, None, None]
    return color * torch.exp(-(x**2 + y**2) / (2 * width**2))


@pytest.mark.parametrize(("size", "target"), [((16, 16), (34, 34)), ((15, 15), (33, 33)), ((13, 18), (29, 40)),
                                              ((4, 4), (10, 10))])
@pytest.mark.parametrize(("n_in", "n_out"), [(3, 3), (1, 1), (5, 2)])
def test_shapes_for_any_size_and_number_of_bands(make_network, run, randn, backbone, size, target, n_in, n_out):
    network = make_network(backbone, n_in, n_out)
    with torch.no_grad():
        prediction = run(network, randn(2, n_in, *size), target)
    for image in (prediction.flux, prediction.value, prediction.log_sigma):
        assert image.shape == (2, n_out, *target)
        assert image.isfinite().all()
    assert prediction.maps.shape == (2, network.backbone.n_features, *target)
    assert prediction.embedding.shape == (2, network.backbone.n_embedding)


@pytest.mark.parametrize(("scale_ratio", "size", "target"), [
    (1 / SCALE_RATIO, (34, 34), (16, 16)), (1 / SCALE_RATIO, (33, 40), (16, 19)), (1.0, (17, 16), (17, 16)),
    (0.75, (16, 16), (22, 22))])
def test_any_direction_and_scale(make_network, run, randn, backbone, scale_ratio, size, target):
    with torch.no_grad():
        prediction = run(make_network(backbone, scale_ratio=scale_ratio), randn(1, 3, *size), target)
    assert prediction.flux.shape == (1, 3, *target)


@pytest.mark.parametrize("conditioning", [None, "redshift", "spectrum"])
@pytest.mark.parametrize("residual", [False, True])
def test_gradient_reaches_each_parameter(make_network, run, randn, backbone, conditioning, residual):
    network = make_network(backbone, conditioning=conditioning, residual=residual)
    condition = None
    if conditioning == "redshift":
        condition = torch.tensor([0.1, 0.3, torch.nan]), torch.tensor([0.0, 0.01, 0.0])
    elif conditioning == "spectrum":
        condition = randn(3, 64), torch.tensor([1.0, 1.0, 0.0])[:, None].expand(3, 64)
    prediction = run(network, randn(3, 3, 16, 16), (34, 34), condition)
    loss = prediction.value.square().mean() + prediction.log_sigma.square().mean()
    (loss + prediction.embedding.square().mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_size_of_the_error_does_not_shape_the_features(make_network, randn):
    net = make_network()
    net(randn(2, 3, 16, 16), (34, 34)).log_sigma.square().mean().backward()
    touched = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert touched == {"sigma_head.weight", "sigma_head.bias"}


@pytest.mark.parametrize("output", ["log", "sqrt"])
def test_output_space_is_inverted_exactly(make_network, output):
    net = make_network(output=output)
    flux = torch.tensor([-300.0, -2.0, -0.01, 0.0, 0.3, 5.0, 1e5]).expand(1, 3, 1, 7)
    torch.testing.assert_close(net.to_flux(net.from_flux(flux)), flux, rtol=2e-5, atol=1e-6)


def test_log_output_is_the_softened_log_of_lupton(make_network):
    net = make_network()
    bright = torch.full((1, 3, 1, 1), 1e6)
    torch.testing.assert_close(net.from_flux(bright), torch.log(bright / 0.5))
    assert net.from_flux(torch.zeros(1, 3, 1, 1)).abs().max() == 0


@pytest.mark.parametrize(("scale_ratio", "size", "target"), [
    (SCALE_RATIO, 16, 34), (1 / SCALE_RATIO, 48, 23), (1.0, 16, 16)])
def test_residual_path_alone_is_the_resampled_input_with_flux_kept(make_network, scale_ratio, size, target):
    net = make_network(scale_ratio=scale_ratio)
    nn.init.zeros_(net.image_head.weight)
    flux = stars(1, size)
    with torch.no_grad():
        translated = net(flux, (target, target)).flux
    # A source of one input unit has 900 target units: total flux is kept, whatever the pixels.
    ratio = translated.sum((-2, -1)) / flux.sum((-2, -1)) / 900
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=1e-2, atol=0)


def test_a_survey_to_itself_begins_as_the_identity(make_network):
    net = make_network(scale_ratio=1.0)
    nn.init.zeros_(net.image_head.weight)
    flux = stars(2)
    with torch.no_grad():
        torch.testing.assert_close(net(flux, (16, 16)).flux, 900 * flux, rtol=1e-5, atol=1e-3)


def test_without_residual_path_the_input_is_not_added(make_network, randn):
    flux = randn(1, 3, 16, 16)
    for residual in (True, False):
        net = make_network(residual=residual)
        nn.init.zeros_(net.image_head.weight)
        assert bool((net(flux, (34, 34)).flux == 0).all()) is not residual


def test_training_and_evaluation_mode_agree(make_network, run, randn, backbone):
    net = make_network(backbone)
    flux = randn(2, 3, 16, 16)
    with torch.no_grad():
        pairs = zip(run(net.train(), flux, (34, 34)), run(net.eval(), flux, (34, 34)))
    for one, other in pairs:
        assert (one is None and other is None) or torch.equal(one, other)


def test_equal_seeds_make_equal_networks(make_network, run, randn, backbone):
    flux = randn(2, 3, 16, 16)
    with torch.no_grad():
        one, again, other = (run(make_network(backbone, seed=seed), flux, (34, 34)).flux for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_galaxy_does_not_depend_on_its_neighbours_in_the_batch(make_network, run, randn, backbone):
    net, flux, target = make_network(backbone), randn(3, 3, 16, 16), randn(3, 3, 34, 34, seed=1)
    if net.generative:
        noisy = net.draw_noisy(flux, target, torch.Generator().manual_seed(1))
        with torch.no_grad():
            together = net(flux, (34, 34), None, noisy).flux
            alone = net(flux[1:2], (34, 34), None, type(noisy)(noisy.image[1:2], noisy.time[1:2])).flux
    else:
        with torch.no_grad():
            together, alone = net(flux, (34, 34)).flux, net(flux[1:2], (34, 34)).flux
    torch.testing.assert_close(together[1:2], alone, rtol=1e-3, atol=1e-3)


def test_learns_one_batch(make_network, run, backbone):
    """The squared error of stretched pixels on one batch, of which all draws are fixed, falls by more than half."""
    net = make_network(backbone, output="sqrt", residual=False)
    objective = build_objective("pixel")
    flux, target = stars(), 200 * stars(4, 34, scale=SCALE_RATIO)
    net.calibrate(flux, target)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        prediction = run(net, flux, (34, 34), target=target)
        loss, _ = objective.image_loss(prediction, Target(target, torch.ones_like(target)), net.output_space, None)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0], losses


def test_heads_are_float32_under_autocast(make_network, run, randn, backbone):
    net = make_network(backbone)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        prediction = run(net, randn(1, 3, 16, 16), (34, 34))
    assert {part.dtype for part in prediction[:5]} == {torch.float32}
    assert prediction.flux.isfinite().all()
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_flux_is_not_changed_in_place(make_network, run, randn, backbone):
    flux = randn(1, 3, 16, 16)
    kept = flux.clone()
    run(make_network(backbone), flux, (34, 34))
    assert torch.equal(flux, kept)


def test_each_backbone_says_its_sizes_and_its_objective(backbone):
    cls = backbone_class(backbone)
    n_weights = {}
    for size in ("tiny", "base"):
        with torch.random.fork_rng(devices=[]):
            built = cls(5, 5, 32, scale_ratio=SCALE_RATIO, **cls.sizes[size])
        n_weights[size] = sum(parameter.numel() for parameter in built.parameters())
    assert n_weights["base"] > 4 * n_weights["tiny"]
    assert cls.conventional in {"pixel", "adversarial", "denoising"}


@pytest.mark.parametrize(("options", "message"), [
    ({"output": "linear"}, "output must be 'log' or 'sqrt', got 'linear'"),
    ({"conditioning": "spectra"}, "conditioning must be one of None, redshift, spectrum, got 'spectra'"),
    ({"backbone_options": {"widths": []}}, "widths and n_features must be positive"),
    ({"backbone_options": {"widths": [4], "n_features": 0}}, "widths and n_features must be positive"),
])
def test_wrong_options_are_named(make_network, options, message):
    with pytest.raises(ValueError, match=message):
        make_network(**options)


def test_unknown_backbone_lists_the_known():
    with pytest.raises(ValueError, match="backbone must be one of .*unet.*got 'resnet'"):
        build_backbone("resnet", n_planes=3, n_resampled=3)


def test_a_condition_belongs_to_a_conditioned_network(make_network, randn):
    with pytest.raises(ValueError, match="where and only where"):
        make_network()(randn(1, 3, 16, 16), (34, 34), (torch.zeros(1), torch.zeros(1)))
    with pytest.raises(ValueError, match="conditioned, which is on redshift"):
        make_network(conditioning="redshift")(randn(1, 3, 16, 16), (34, 34))


def test_your_own_backbone(monkeypatch, randn):
    from astro_galtrans.backbones import contract

    monkeypatch.setattr(contract, "_registry", dict(contract._registry))

    @register_backbone("plain")
    class Plain(Backbone):
        n_features, n_embedding = 2, 3

        def __init__(self, n_planes, n_resampled, n_condition=0, *, scale_ratio):
            super().__init__()
            self.layer = nn.Conv2d(n_resampled, 2, 1)

        def forward(self, planes, resampled, size, condition=None):
            return Features(self.layer(resampled), planes.mean((-2, -1))[:, :3])

    assert "plain" in available_backbones()
    with torch.random.fork_rng(devices=[]):
        net = TranslationNetwork(NetworkConfig(
            "plain", [0.02] * 3, [0.5] * 3, [900.0] * 3, [0, 1, 2], SCALE_RATIO))
    assert net(randn(1, 3, 16, 16), (34, 34)).flux.shape == (1, 3, 34, 34)
    with pytest.raises(ValueError, match="'plain' is registered already: Plain"):
        register_backbone("plain")(Plain)


@pytest.mark.parametrize(("size", "middle"), [((24, 24), (4, 20, 4, 20)), ((19, 16), (1, 18, 0, 16)),
                                              ((12, 20), (0, 12, 2, 18))])
def test_more_sky_does_not_change_the_embedding(make_network, randn, backbone, size, middle):
    network = make_network(backbone, stamp_size=(16, 16), photometry=True)
    if network.generative:
        pytest.skip("the embedding of a generative network is that of its noise too")
    flux, (y0, y1, x0, x1) = randn(2, 3, *size), middle
    with torch.no_grad():
        large = network(flux, tuple(2 * n for n in size))
        own = network(flux[..., y0:y1, x0:x1], (34, 34))
        as_it_is = make_network(backbone, photometry=True)(flux, tuple(2 * n for n in size))
    torch.testing.assert_close(large.embedding, own.embedding)
    torch.testing.assert_close(large.maps, as_it_is.maps)
    assert (large.embedding - as_it_is.embedding).abs().max() > 1e-4


def test_aperture_fluxes_do_not_change_with_the_sky_around(make_network):
    network = make_network(stamp_size=(32, 32), photometry=True)
    with torch.no_grad():
        for parameter in network.photometry.parameters():  # so that the head heeds the embedding
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        small, large = stars(size=32), stars(size=46)
        levels = []
        for flux in (small, large):
            embedding = network(flux, tuple(2 * n + 2 for n in flux.shape[-2:])).embedding
            levels.append(network.photometry(flux, network.input_noise, embedding))
    torch.testing.assert_close(*levels)


def test_a_backbone_with_the_signature_of_earlier_versions(monkeypatch, randn):
    from astro_galtrans.backbones import contract

    monkeypatch.setattr(contract, "_registry", dict(contract._registry))
    with pytest.warns(AstropyDeprecationWarning, match="n_hints, step .* use n_resampled, scale_ratio"):
        @register_backbone("old")
        class Old(Backbone):
            n_features, n_embedding = 2, 3

            def __init__(self, n_planes, n_hints, n_condition=0, *, step, width=2):
                super().__init__()
                self.step = step
                self.layer = nn.Conv2d(n_planes, width, 1)
                self.painter = Painter(width, 2, n_hints, n_condition)

            def forward(self, planes, hints, size, condition=None):
                maps = self.painter(self.layer(planes), hints, size, self.step, condition)
                return Features(maps, planes.mean((-2, -1))[:, :3])

    config = NetworkConfig("old", [0.02] * 3, [0.5] * 3, [900.0] * 3, [0, 1, 2], SCALE_RATIO,
                           backbone_options={"width": 3})
    with torch.random.fork_rng(devices=[]):
        net = TranslationNetwork(config)
    assert net(randn(1, 3, 16, 16), (34, 34)).flux.shape == (1, 3, 34, 34)
    with pytest.raises(ValueError, match="'old' has no option 'depth'; its options are width"):
        build_backbone("old", n_planes=3, n_resampled=3, scale_ratio=1.0, depth=2)


def test_names_of_earlier_versions_are_deprecated(randn):
    with torch.random.fork_rng(devices=[]):
        with pytest.warns(AstropyDeprecationWarning, match="NetworkConfig"):
            network = TranslationNetwork(
                "unet", [0.02] * 3, [0.5] * 3, [900.0] * 3, nearest_band=[0, 1, 2], step=SCALE_RATIO, residual=False)
        with pytest.warns(AstropyDeprecationWarning, match="n_resampled"):
            built = build_backbone("unet", n_planes=3, n_hints=2, scale_ratio=SCALE_RATIO)
        with pytest.warns(AstropyDeprecationWarning, match="scale_ratio"):
            UNet(3, 2, step=SCALE_RATIO)
    with pytest.warns(AstropyDeprecationWarning, match="scale_ratio"):
        assert network.step == network.scale_ratio == SCALE_RATIO
    with pytest.warns(AstropyDeprecationWarning, match="scale_ratio"):
        resample(randn(1, 1, 4, 4), (8, 8), step=0.5)
    assert not network.residual and isinstance(built, Backbone)


def test_configuration_is_stored_under_the_keys_of_files():
    config = NetworkConfig("unet", np.full(3, 0.02), [0.5] * 3, [900.0] * 3, np.arange(3), SCALE_RATIO)
    stored = config.to_dict()
    assert stored["step"] == SCALE_RATIO and stored["nearest_band"] == [0, 1, 2]
    assert not {"scale_ratio", "stamp_size", "takes_missing"} & set(stored)
    assert NetworkConfig.from_dict(stored) == config
    with pytest.raises(ValueError, match="output must be 'log' or 'sqrt', got 'linear'"):
        replace(config, output="linear")
