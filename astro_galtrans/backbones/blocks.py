"""Layers that several backbones share."""

import torch
from astropy.utils.decorators import deprecated_renamed_argument
from torch import nn
from torch.nn import functional

from astro_galtrans._utils.optional import optional
from astro_galtrans.backbones.resampling import resample

__all__ = ["Block", "ConditionPlanes", "Painter", "import_monai", "pad_to_multiple"]


class Block(nn.Module):
    """Two convolutions around an identity path, modulated by the condition where there is one.

    Parameters
    ----------
    n_in, n_out : int
        Channels that go in and come out.
    n_condition : int
        Length of the condition; 0 for none.
    """

    def __init__(self, n_in, n_out, n_condition):
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.skip = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        self.modulation = nn.Linear(n_condition, 2 * n_out) if n_condition else None

    def forward(self, x, condition):
        """Map images of shape ``(galaxy, n_in, y, x)`` to shape ``(galaxy, n_out, y, x)``."""
        y = self.first(x)
        if self.modulation is not None:
            gain, offset = self.modulation(condition)[:, :, None, None].chunk(2, 1)
            y = y * (1 + gain) + offset
        y = self.second(functional.leaky_relu(y, 0.1))
        return functional.leaky_relu(self.skip(x) + y, 0.1)


class ConditionPlanes(nn.Module):
    """Append the condition to images as planes of one value each, for networks without another input for it.

    Parameters
    ----------
    n_condition : int
        Length of the condition; 0 for none, which leaves images as they are.
    n_planes : int, optional
        Number of planes.
    """

    def __init__(self, n_condition, n_planes=4):
        super().__init__()
        self.n_planes = n_planes if n_condition else 0
        self.project = nn.Linear(n_condition, n_planes) if n_condition else None

    def forward(self, x, condition):
        """Map images of shape ``(galaxy, channel, y, x)`` to shape ``(galaxy, channel + n_planes, y, x)``."""
        if self.project is None:
            return x
        planes = self.project(condition)[:, :, None, None].to(x.dtype)
        return torch.cat([x, planes.expand(-1, -1, *x.shape[-2:])], 1)


class Painter(nn.Module):
    """Map feature maps on any grid around the same center to features on the target grid.

    Parameters
    ----------
    n_in : int
        Channels of the input maps.
    n_features : int
        Channels on the target grid.
    n_resampled, n_condition : int
        As of `Backbone`.
    """

    @deprecated_renamed_argument("n_hints", "n_resampled", "0.2")
    def __init__(self, n_in, n_features, n_resampled, n_condition):
        super().__init__()
        self.to_target = nn.Conv2d(n_in, n_features, 1)
        self.paint = Block(n_features + n_resampled, n_features, n_condition)

    @deprecated_renamed_argument(["hints", "step"], ["resampled_input", "scale_ratio"], ["0.2", "0.2"])
    def forward(self, x, resampled_input, size, scale_ratio, condition):
        """Map ``x`` of shape ``(galaxy, n_in, y, x)``, with target pixels of ``scale_ratio`` pixels, to the target."""
        x = resample(self.to_target(x), size, scale_ratio)
        return self.paint(torch.cat([x, resampled_input.to(x.dtype)], 1), condition)


def import_monai(module, backbone):
    """Import a module of MONAI, or raise an ImportError that names the extra and the backbone."""
    # MONAI can be imported without einops, and fails when its attention is built or called.
    for name in ("einops", module):
        found = optional(name, "backbones", f"the {backbone} backbone")
    return found


def pad_to_multiple(images, multiple, smallest=None):
    """Pad images on all sides, by their rim, to a multiple of some pixels and at least ``smallest``.

    Returns the padded images and the location of the images in them, an index into the last two axes.
    """
    inside, padding = [], []
    for n in images.shape[-2:]:
        wanted = -(-max(n, smallest or 1) // multiple) * multiple
        before = (wanted - n) // 2
        inside.append(slice(before, before + n))
        padding = [before, wanted - n - before, *padding]
    if any(padding):
        images = functional.pad(images, padding, mode="replicate")
    return images, (..., *inside)
