"""Convolutional capsules with routing by agreement, and a decoder of their poses."""

import math
from numbers import Integral

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans.backbones.blocks import Block, Painter, pad_to_multiple
from astro_galtrans.backbones.contract import Backbone, Features, register_backbone, renamed_parameters

__all__ = ["CapsuleNet", "ConvolutionalCapsules", "PrimaryCapsules", "route", "squash"]

# Side of the window of a capsule. Even, so that halving the grid keeps the center of the image where it is.
_WINDOW = 4
# Square of a negligible length; without it the square root has no slope at 0.
_TINY = 1e-12


def squash(vectors, dim=-1):
    """Shorten vectors of length n to n^2 / (1 + n^2) in the same direction (Sabour et al. 2017, equation 1).

    Parameters
    ----------
    vectors : torch.Tensor
        Of any shape and floating type; half precision becomes float32.
    dim : int, optional
        Axis of the components of a vector.

    Returns
    -------
    torch.Tensor
        Same shape. Lengths lie below 1, up to the rounding of vectors longer than some thousands. The slope at a
        vector of length 0 is 0, not NaN.
    """
    vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    square = vectors.square().sum(dim, keepdim=True)
    return vectors * (square / (1 + square) / (square + _TINY).sqrt())


def route(votes, iterations, bias=None):
    """Routing by agreement (Sabour et al. 2017, procedure 1) at each place of a grid.

    Each child shares itself among the parents, equally at first. A parent is the squashed sum of the votes weighted by
    those shares, and the logit of a share grows by the scalar product of the vote and its parent. Gradients pass
    through the last weighted sum, not through the iterations before it, so that memory does not grow with them.

    Parameters
    ----------
    votes : torch.Tensor
        Shape ``(galaxy, child, parent, pose, y, x)``; computed in float32 at least.
    iterations : int
        Number of weighted sums; with 1 each child is shared equally among the parents.
    bias : torch.Tensor, optional
        Added to each sum of votes, shape ``(parent, pose)``.

    Returns
    -------
    poses : torch.Tensor
        Shape ``(galaxy, parent, pose, y, x)``, each of a length below 1.
    shares : torch.Tensor
        The coupling coefficients, shape ``(galaxy, child, parent, y, x)``; their sum over the parents is 1.
    """
    votes = votes.to(torch.promote_types(votes.dtype, torch.float32))
    offset = 0 if bias is None else bias[:, :, None, None].to(votes.dtype)
    with torch.no_grad():
        logits = torch.zeros_like(votes[:, :, :, 0])
        for _ in range(iterations - 1):
            parents = _weighted(votes, logits.softmax(2), offset)
            logits += (votes * parents[:, None]).sum(3)
        shares = logits.softmax(2)
    return _weighted(votes, shares, offset), shares


def _weighted(votes, shares, offset):
    return squash((votes * shares[:, :, :, None]).sum(1) + offset, 2)


class PrimaryCapsules(nn.Module):
    """The first capsules: a convolution whose channels are grouped into poses, on half the grid.

    There are ``types`` types of capsule, each with a vector of length ``pose``.
    """

    def __init__(self, n_in, types, pose):
        super().__init__()
        self.shape = types, pose
        self.convolution = nn.Conv2d(n_in, types * pose, _WINDOW, stride=2, padding=_WINDOW // 2 - 1)

    def forward(self, x):
        """Map images of shape ``(galaxy, n_in, y, x)`` to poses of shape ``(galaxy, type, pose, y / 2, x / 2)``."""
        return squash(self.convolution(x).unflatten(1, self.shape), 2)


class ConvolutionalCapsules(nn.Module):
    """Capsules that receive the votes of the capsules in a window of 4 x 4 places, on half the grid.

    As in LaLonde & Bagci (2018) all places share the matrices, and all capsules of one type in the window cast one
    vote together, which gives 16 times fewer votes than one for each place.

    Parameters
    ----------
    child, parent : tuple of int
        Number of types and length of a pose, of the capsules below and of these.
    routing_iterations : int
        See `route`.
    """

    def __init__(self, child, parent, routing_iterations):
        super().__init__()
        (n_child, below), (n_parent, pose) = child, parent
        self.shape, self.routing_iterations = (n_child, n_parent, pose), routing_iterations
        self.vote = nn.Conv2d(n_child * below, n_child * n_parent * pose, _WINDOW, stride=2, padding=_WINDOW // 2 - 1,
                              groups=n_child, bias=False)
        self.bias = nn.Parameter(torch.full((n_parent, pose), 0.1 / math.sqrt(pose)))
        # Sums of the votes of children of length 1/2 then start at a length of 1. Much shorter ones, and their
        # gradients, would vanish by the squashing of each layer.
        nn.init.normal_(self.vote.weight, std=2 * n_parent / (_WINDOW * math.sqrt(pose * n_child)))

    def votes(self, poses):
        """Map poses of shape ``(galaxy, child, pose, y, x)`` to votes; see `route`."""
        return self.vote(poses.flatten(1, 2)).unflatten(1, self.shape)

    def forward(self, poses):
        """Map poses of shape ``(galaxy, child, pose, y, x)`` to ``(galaxy, parent, pose, y / 2, x / 2)``."""
        return route(self.votes(poses), self.routing_iterations, self.bias)[0]


@register_backbone("capsule")
class CapsuleNet(Backbone):
    """Capsule network: convolutions, primary capsules, routed capsules, and a decoder of their poses.

    Each level of capsules halves the grid. The decoder reads the poses of every level, and nothing else of the image.
    The squashed poses cannot grow with the flux, so the resampled input joins on the target grid.

    The embedding contains, for each type of capsule of the last level, its presence (its largest length in the image)
    and then, type by type, its mean pose, weighted by length.

    Parameters
    ----------
    n_planes, n_resampled, n_condition, scale_ratio
        See `Backbone`.
    stem : int, optional
        Channels of the convolutions on the input grid, before and after the capsules.
    types : sequence of int, optional
        Types of capsule of each level, the primary capsules first; two levels at least.
    poses : sequence of int, optional
        Length of the pose vectors of each level.
    routing_iterations : int, optional
        Iterations of routing by agreement; 1 for none.
    n_features : int, optional
        Channels of the feature maps on the target grid.
    """

    sizes = {
        "tiny": {"stem": 16, "types": [8, 8, 8], "poses": [6, 8, 8], "routing_iterations": 3, "n_features": 16},
        "base": {"stem": 64, "types": [16, 24, 32], "poses": [16, 16, 16], "routing_iterations": 3, "n_features": 32},
    }

    @renamed_parameters
    def __init__(self, n_planes, n_resampled, n_condition=0, *, scale_ratio, stem=16, types=(8, 8, 8),
                 poses=(6, 8, 8), routing_iterations=3, n_features=16):
        super().__init__()
        for option, value in (("stem", stem), ("routing_iterations", routing_iterations), ("n_features", n_features)):
            if not _counts([value]):
                raise ValueError(f"{option} must be a whole number, 1 or more, got {value!r}")
        for option, value in (("types", types), ("poses", poses)):
            if not isinstance(value, (list, tuple)) or len(value) < 2 or not _counts(value):
                raise ValueError(f"{option} must be two or more whole numbers, each 1 or more, got {value!r}")
        if len(types) != len(poses):
            raise ValueError(f"types and poses must have one entry for each level, got {types!r} and {poses!r}")
        levels = list(zip(types, poses))
        self.scale_ratio, self.n_features, self.n_embedding = scale_ratio, n_features, types[-1] * (1 + poses[-1])
        self.stem = Block(n_planes, stem, n_condition)
        self.primary = PrimaryCapsules(stem, *levels[0])
        self.routed = nn.ModuleList(
            ConvolutionalCapsules(child, parent, routing_iterations) for child, parent in zip(levels, levels[1:])
        )
        widths = [n * pose for n, pose in levels]
        self.decoder = nn.ModuleList(
            Block(fine + coarse, fine, n_condition) for fine, coarse in zip(widths[:-1], widths[1:])
        )
        self.unfold = Block(widths[0], stem, n_condition)
        self.painter = Painter(stem, n_features, n_resampled, n_condition)

    def forward(self, planes, resampled_input, size, condition=None):
        """Feature maps on the target grid; see `Backbone`."""
        padded, inside = pad_to_multiple(planes, 2 ** (1 + len(self.routed)))
        levels = [self.primary(self.stem(padded, condition))]
        for capsules in self.routed:
            levels.append(capsules(levels[-1]))
        x = self.decode([poses.flatten(1, 2) for poses in levels], condition)[inside]
        return Features(self.painter(x, resampled_input, size, self.scale_ratio, condition), _summary(levels[-1]))

    def decode(self, levels, condition=None):
        """Map poses of each level, ``(galaxy, type * pose, y, x)``, the finest first, to maps on the input grid."""
        x = levels[-1]
        for poses, block in zip(reversed(levels[:-1]), reversed(self.decoder)):
            x = block(torch.cat([_twice(x), poses.to(x.dtype)], 1), condition)
        return self.unfold(_twice(x), condition)


def _counts(values):
    return all(isinstance(value, Integral) and not isinstance(value, bool) and value >= 1 for value in values)


def _twice(x):
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def _summary(poses):
    """Presence and mean pose of each type, shape ``(galaxy, type * (1 + pose))``."""
    length = (poses.square().sum(2) + _TINY).sqrt()
    weight = length / length.sum((-2, -1), keepdim=True)
    mean = (poses * weight[:, :, None]).sum((-2, -1))
    return torch.cat([length.amax((-2, -1)), mean.flatten(1)], 1)
