"""Capsules: squashing, routing by agreement, and what the decoder sees."""

import inspect
from contextlib import contextmanager

import pytest
import torch

from astro_galtrans.backbones.capsule import CapsuleNet, ConvolutionalCapsules, PrimaryCapsules, route, squash

SCALE_RATIO = 0.187 / 0.396
SMALL = {"stem": 4, "types": [3, 4, 3], "poses": [4, 3, 5], "n_features": 4}


def randn(*shape, seed=7):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@contextmanager
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


def capsule(n_in=3, n_out=2, n_condition=0, scale_ratio=SCALE_RATIO, **options):
    with seeded():
        return CapsuleNet(n_in, n_out, n_condition, scale_ratio=scale_ratio, **SMALL | options)


def votes_with_an_outlier(n_children=7):
    """Votes for two parents at one place: for the first all children but the last agree, for the second none do."""
    votes = 0.3 * randn(1, n_children, 2, 4, 1, 1)
    votes[:, :, 0] = torch.tensor([1.0, -0.5, 0.5, 0.2])[:, None, None]
    votes[:, -1, 0] *= -1
    return votes


# ---------------------------------------------------------------------------------------------------------- squash

def test_squashed_length_is_below_one_and_follows_the_formula():
    vectors = torch.logspace(-3, 3, 25)[:, None] * torch.nn.functional.normalize(randn(25, 8), dim=1)
    length, squashed = vectors.norm(dim=1), squash(vectors)
    assert (squashed.norm(dim=1) < 1).all()
    torch.testing.assert_close(squashed.norm(dim=1), length**2 / (1 + length**2))
    assert (squashed.norm(dim=1).diff() > 0).all()


def test_squash_keeps_the_direction():
    vectors = randn(25, 8)
    cosine = torch.nn.functional.cosine_similarity(vectors, squash(vectors))
    torch.testing.assert_close(cosine, torch.ones(25))


def test_squash_along_any_axis():
    vectors = randn(2, 5, 3)
    torch.testing.assert_close(squash(vectors, 1), squash(vectors.mT).mT)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-6, 1e6])
def test_slope_of_squash_is_finite_at_any_length(scale):
    vectors = (scale * randn(4, 6)).requires_grad_()
    squash(vectors).sum().backward()
    assert vectors.grad.isfinite().all()


def test_squash_of_half_precision_is_computed_in_float32():
    squashed = squash(torch.full((1, 8), 300.0, dtype=torch.float16))
    assert squashed.dtype == torch.float32
    torch.testing.assert_close(squashed.norm(dim=1), torch.ones(1), rtol=1e-5, atol=0)


# --------------------------------------------------------------------------------------------------------- routing

@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_shares_of_each_child_sum_to_one(iterations):
    _, shares = route(3 * randn(2, 4, 5, 6, 3, 2), iterations)
    torch.testing.assert_close(shares.sum(2), torch.ones(2, 4, 3, 2))
    assert (shares >= 0).all()


def test_one_iteration_is_the_uniform_average():
    votes, bias = randn(2, 4, 5, 6, 3, 2), randn(5, 6)
    poses, shares = route(votes, 1, bias)
    torch.testing.assert_close(shares, torch.full((2, 4, 5, 3, 2), 1 / 5))
    torch.testing.assert_close(poses, squash(votes.sum(1) / 5 + bias[:, :, None, None], 2))


def test_agreement_draws_shares_to_the_parent_agreed_upon():
    votes = votes_with_an_outlier()
    agreeing = [route(votes, n)[1][0, :-1, 0].mean().item() for n in (1, 2, 3, 5)]
    assert agreeing == sorted(agreeing)
    assert agreeing[-1] > agreeing[0] + 0.2


def test_presence_of_the_parent_agreed_upon_rises():
    poses, _ = route(votes_with_an_outlier(), 1)
    routed, _ = route(votes_with_an_outlier(), 5)
    assert routed[0, 0].norm() > poses[0, 0].norm() + 0.05


def test_outlier_loses_its_say():
    share = [route(votes_with_an_outlier(), n)[1][0, -1, 0].item() for n in (1, 2, 3, 5)]
    assert share == sorted(share, reverse=True)
    assert share[-1] < 0.5 * share[0]


def test_places_and_galaxies_are_routed_apart():
    votes = randn(3, 4, 5, 6, 3, 2)
    poses, _ = route(votes, 3)
    torch.testing.assert_close(route(votes[1:2, ..., 1:2, :1], 3)[0], poses[1:2, ..., 1:2, :1])


def test_no_votes_at_all_give_no_capsule_and_a_finite_gradient():
    votes = torch.zeros(1, 3, 2, 4, 2, 2, requires_grad=True)
    poses, shares = route(votes, 3)
    poses.sum().backward()
    assert poses.abs().max() == 0
    assert votes.grad.isfinite().all()
    torch.testing.assert_close(shares, torch.full_like(shares, 0.5))


def test_huge_votes_do_not_overflow():
    votes = (1e4 * randn(1, 3, 2, 4, 2, 2)).requires_grad_()
    poses, _ = route(votes, 4)
    poses.sum().backward()
    assert poses.isfinite().all() and votes.grad.isfinite().all()


def test_gradient_passes_through_the_last_sum_of_votes():
    votes = randn(1, 3, 2, 4, 2, 2).requires_grad_()
    poses, shares = route(votes, 3)
    poses.square().sum().backward()
    held = votes.detach().requires_grad_()
    squash((held * shares[:, :, :, None]).sum(1), 2).square().sum().backward()
    assert not shares.requires_grad
    torch.testing.assert_close(votes.grad, held.grad)


# --------------------------------------------------------------------------------------------------------- network

def test_halving_the_grid_keeps_its_centre():
    with seeded():
        primary, routed = PrimaryCapsules(3, 2, 4), ConvolutionalCapsules((2, 4), (3, 5), 3)
    with torch.no_grad():
        for weight in (primary.convolution.weight, routed.vote.weight):
            weight.add_(weight.flip(-1))
        x = randn(2, 3, 16, 12)
        torch.testing.assert_close(routed(primary(x.flip(-1))), routed(primary(x)).flip(-1))


def test_capsules_begin_neither_faint_nor_saturated():
    poses = 0.5 * torch.nn.functional.normalize(randn(2, 8, 8, 16, 16), dim=2)
    with seeded():
        length = ConvolutionalCapsules((8, 8), (6, 8), 1)(poses).norm(dim=2)
    assert 0.2 < length.mean() < 0.8


def test_iterations_change_the_maps_and_add_no_parameter():
    one, three = (capsule(routing_iterations=n) for n in (1, 3))
    three.load_state_dict(one.state_dict())
    planes, resampled = randn(2, 3, 16, 16), randn(2, 2, 34, 34)
    assert (one(planes, resampled, (34, 34)).maps - three(planes, resampled, (34, 34)).maps).abs().max() > 1e-4


def test_decoder_sees_the_image_through_the_poses_alone():
    net = capsule()
    resampled = randn(2, 2, 34, 34)
    before = [net(randn(2, 3, 16, 16, seed=seed), resampled, (34, 34)).maps for seed in (1, 2)]
    with torch.no_grad():
        net.primary.convolution.weight.zero_()
    after = [net(randn(2, 3, 16, 16, seed=seed), resampled, (34, 34)).maps for seed in (1, 2)]
    assert (before[0] - before[1]).abs().max() > 1e-3
    assert torch.equal(*after)


@pytest.mark.parametrize("n_condition", [0, 5])
def test_decoder_gives_a_gradient_to_each_parameter_and_pose(n_condition):
    net = capsule(n_condition=n_condition)
    levels = [randn(2, n * pose, 8 // 2**i, 8 // 2**i).requires_grad_()
              for i, (n, pose) in enumerate(zip(SMALL["types"], SMALL["poses"]))]
    condition = randn(2, 5) if n_condition else None
    maps = net.decode(levels, condition)
    assert maps.shape == (2, SMALL["stem"], 16, 16)
    maps.square().mean().backward()
    assert all(poses.grad.abs().amax((0, 2, 3)).min() > 0 for poses in levels)
    for name, parameter in [*net.decoder.named_parameters(), *net.unfold.named_parameters()]:
        assert parameter.grad.abs().max() > 0, name


def test_condition_reaches_the_poses_and_the_maps():
    net = capsule(n_condition=5)
    planes, resampled = randn(1, 3, 16, 16).expand(2, -1, -1, -1), randn(1, 2, 34, 34).expand(2, -1, -1, -1)
    maps, embedding = net(planes, resampled, (34, 34), randn(2, 5))
    assert (maps[0] - maps[1]).abs().max() > 1e-4
    assert (embedding[0] - embedding[1]).abs().max() > 1e-5


def test_embedding_is_presence_and_mean_pose_of_each_type():
    net = capsule()
    n, pose = SMALL["types"][-1], SMALL["poses"][-1]
    maps, embedding = net(10 * randn(3, 3, 16, 16), randn(3, 2, 34, 34), (34, 34))
    presence, mean = embedding.split([n, n * pose], 1)
    assert net.n_embedding == embedding.shape[1] == n * (1 + pose)
    assert (presence > 0).all() and (presence < 1).all()
    assert (mean.unflatten(1, (n, pose)).norm(dim=2) <= presence + 1e-6).all()


def test_embedding_does_not_depend_on_where_the_galaxy_is():
    net = capsule()
    planes = torch.zeros(2, 3, 96, 96)
    galaxy = 5 * randn(3, 6, 6).abs()
    planes[0, :, 40:46, 40:46] = galaxy
    planes[1, :, 48:54, 56:62] = galaxy
    _, embedding = net(planes, torch.zeros(2, 2, 10, 10), (10, 10))
    torch.testing.assert_close(embedding[0], embedding[1], rtol=1e-4, atol=1e-6)


def test_flux_that_poses_cannot_hold_comes_with_the_hints():
    net = capsule()
    planes = 1e3 * randn(1, 3, 16, 16)
    faint, bright = (net(planes, torch.full((1, 2, 34, 34), level), (34, 34)).maps for level in (1.0, 1000.0))
    assert bright.abs().mean() > 20 * faint.abs().mean()


def test_empty_image_gives_finite_maps_and_gradients():
    net = capsule()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    maps, embedding = net(torch.zeros(2, 3, 16, 16), torch.zeros(2, 2, 34, 34), (34, 34))
    (maps.sum() + embedding.sum()).backward()
    assert maps.isfinite().all() and embedding.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_routing_in_float32(dtype):
    net = capsule()
    planes, resampled = randn(2, 3, 16, 16), randn(2, 2, 34, 34)
    with torch.autocast("cpu", dtype=dtype):
        maps, embedding = net(planes, resampled, (34, 34))
    exact = net(planes, resampled, (34, 34))
    (maps.float().square().mean() + embedding.square().mean()).backward()
    assert embedding.dtype == torch.float32
    assert (embedding - exact.embedding).abs().max() < 0.05
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_same_numbers_each_time_and_in_any_company():
    net = capsule()
    planes, resampled = randn(3, 3, 15, 18), randn(3, 2, 33, 38)
    first, again = net(planes, resampled, (33, 38)), net(planes, resampled, (33, 38))
    alone = net(planes[1:2], resampled[1:2], (33, 38))
    assert torch.equal(first.maps, again.maps) and torch.equal(first.embedding, again.embedding)
    torch.testing.assert_close(alone.maps[0], first.maps[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.embedding[0], first.embedding[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "target", "scale_ratio"), [
    ((4, 4), (10, 10), SCALE_RATIO), ((34, 33), (16, 15), 1 / SCALE_RATIO), ((17, 9), (17, 9), 1.0),
    ((1, 3), (2, 6), SCALE_RATIO)])
def test_any_grid(size, target, scale_ratio):
    maps, embedding = capsule(scale_ratio=scale_ratio)(randn(2, 3, *size), randn(2, 2, *target), target)
    assert maps.shape == (2, SMALL["n_features"], *target)
    assert maps.isfinite().all() and embedding.isfinite().all()


def test_two_levels_are_enough():
    maps, embedding = capsule(types=[3, 2], poses=[4, 4])(randn(2, 3, 16, 16), randn(2, 2, 34, 34), (34, 34))
    assert embedding.shape == (2, 10)


# --------------------------------------------------------------------------------------------------------- options

def test_tiny_is_the_default():
    signature = inspect.signature(CapsuleNet).parameters
    defaults = {name: signature[name].default for name in CapsuleNet.sizes["tiny"]}
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in defaults.items()} == CapsuleNet.sizes["tiny"]


def test_base_is_much_larger_than_tiny():
    with seeded():
        networks = [CapsuleNet(5, 5, scale_ratio=SCALE_RATIO, **CapsuleNet.sizes[size]) for size in ("tiny", "base")]
    tiny, base = (sum(p.numel() for p in network.parameters()) for network in networks)
    assert base > 20 * tiny


@pytest.mark.parametrize(("options", "words"), [
    ({"routing_iterations": 0}, "routing_iterations must be .* got 0"),
    ({"routing_iterations": 2.5}, "routing_iterations must be .* got 2.5"),
    ({"routing_iterations": True}, "routing_iterations must be .* got True"),
    ({"stem": 0}, "stem must be .* got 0"),
    ({"n_features": -3}, "n_features must be .* got -3"),
    ({"types": [8]}, r"types must be two or more .* got \[8\]"),
    ({"types": 8}, "types must be two or more .* got 8"),
    ({"poses": [8, 0, 8]}, r"poses must be .* got \[8, 0, 8\]"),
    ({"types": [3, 3]}, r"one entry for each level, got \[3, 3\] and \[4, 3, 5\]"),
])
def test_wrong_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        capsule(**options)
