"""Convolutional backbones: the U-Net, the fast reference, and the generator of SRGAN."""

import math

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans._utils.validation import whole_number
from astro_galtrans.backbones.blocks import Block, Painter
from astro_galtrans.backbones.contract import Backbone, Features, register_backbone, renamed_parameters

__all__ = ["SRGAN", "UNet"]

_HEAD = 9  # side of the kernel of the first convolution of SRGAN, as published
_SLOPE = 0.2  # of its leaky rectifiers below zero
_BLOCK_SCALE = 0.1  # scale of the last weights of a block at the start, where each block is nearly the identity


@register_backbone("unet")
class UNet(Backbone):
    """U-Net (Ronneberger et al. 2015) whose levels live on the input grid, with one block on the target grid.

    There is no normalization layer: the amplitude of an image is its flux. Working on the coarser input grid
    costs a fifth of what the same widths cost on the target grid of SDSS to CFHTLS.

    Parameters
    ----------
    n_planes, n_resampled, n_condition, scale_ratio
        See `Backbone`.
    widths : sequence of int, optional
        Channels of each level, the finest first; each further level halves the grid.
    n_features : int, optional
        Channels of the feature maps on the target grid.
    """

    sizes = {
        "tiny": {"widths": [16, 32, 64], "n_features": 16}, "small": {"widths": [24, 48, 96], "n_features": 16},
        "base": {"widths": [64, 128, 256, 512], "n_features": 32},
    }

    @renamed_parameters
    def __init__(self, n_planes, n_resampled, n_condition=0, *, scale_ratio, widths=(24, 48, 96), n_features=16):
        super().__init__()
        widths = tuple(int(width) for width in widths)
        if not widths or min(widths) < 1 or n_features < 1:
            raise ValueError(f"widths and n_features must be positive, got {widths} and {n_features}")
        self.scale_ratio, self.n_features, self.n_embedding = scale_ratio, n_features, widths[-1]
        self.down = nn.ModuleList(
            Block(n_in, n_out, n_condition) for n_in, n_out in zip((n_planes, *widths[:-1]), widths)
        )
        self.up = nn.ModuleList(
            Block(coarse + fine, fine, n_condition) for fine, coarse in zip(widths[:-1], widths[1:])
        )
        self.painter = Painter(widths[0], n_features, n_resampled, n_condition)

    def forward(self, planes, resampled_input, size, condition=None):
        """Feature maps on the target grid; see `Backbone`."""
        x, levels = planes, []
        for depth, block in enumerate(self.down):
            x = block(functional.avg_pool2d(x, 2, ceil_mode=True) if depth else x, condition)
            levels.append(x)
        embedding = x.mean((-2, -1))
        for fine, block in zip(reversed(levels[:-1]), reversed(self.up)):
            x = functional.interpolate(x, fine.shape[-2:], mode="nearest")
            x = block(torch.cat([x, fine], 1), condition)
        return Features(self.painter(x, resampled_input, size, self.scale_ratio, condition), embedding)


def _rectified(x):
    return functional.leaky_relu(x, _SLOPE)


class _Residual(nn.Module):
    """Two convolutions beside an identity path, without normalization, modulated by the condition."""

    def __init__(self, n_channels, n_condition):
        super().__init__()
        self.first = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.second = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.modulation = nn.Linear(n_condition, 2 * n_channels) if n_condition else None
        with torch.no_grad():
            self.second.weight.mul_(_BLOCK_SCALE)
            self.second.bias.zero_()

    def forward(self, x, condition):
        y = self.first(x)
        if self.modulation is not None:
            gain, offset = self.modulation(condition)[:, :, None, None].chunk(2, 1)
            y = y * (1 + gain) + offset
        return x + self.second(_rectified(y))


class _SubPixel(nn.Module):
    """Double a grid: four times the channels, which become the four quarters of each pixel.

    The four start equal (Aitken et al. 2017, arXiv:1707.02937), so that there is no checkerboard at first.
    """

    def __init__(self, n_channels):
        super().__init__()
        self.spread = nn.Conv2d(n_channels, 4 * n_channels, 3, padding=1)
        with torch.no_grad():
            for values in (self.spread.weight, self.spread.bias):
                values.copy_(values[::4].repeat_interleave(4, 0))

    def forward(self, x):
        return _rectified(functional.pixel_shuffle(self.spread(x), 2))


@register_backbone("srgan")
class SRGAN(Backbone):
    """Generator of SRGAN (Ledig et al. 2017, arXiv:1609.04802) without its batch normalization.

    Residual blocks work on the input grid. Sub-pixel convolutions (Shi et al. 2016, arXiv:1609.05158) double that grid
    until its pixels are nearest to the target's, not at all where those are larger. A bilinear resampling and a block
    on the target grid cover the rest, a ratio near 1.

    Batch normalization makes the amplitude of an image depend on the other images of the batch, and amplitude is flux
    here. It also reduces the quality of natural images (Lim et al. 2017, arXiv:1707.02921; Wang et al. 2018,
    arXiv:1809.00219).

    Parameters
    ----------
    n_planes, n_resampled, n_condition, scale_ratio
        See `Backbone`.
    n_blocks : int, optional
        Residual blocks.
    n_channels : int, optional
        Channels within them, and length of the embedding.
    n_features : int, optional
        Channels of the feature maps on the target grid.
    """

    conventional = "adversarial"
    sizes = {
        "tiny": {"n_blocks": 4, "n_channels": 32, "n_features": 16},
        "base": {"n_blocks": 16, "n_channels": 64, "n_features": 64},
    }

    @renamed_parameters
    def __init__(self, n_planes, n_resampled, n_condition=0, *, scale_ratio, n_blocks=4, n_channels=32, n_features=16):
        super().__init__()
        for name, value in (("n_blocks", n_blocks), ("n_channels", n_channels), ("n_features", n_features)):
            whole_number(value, name, 1)
        self.n_features, self.n_embedding = n_features, n_channels
        self.n_doublings = max(0, round(-math.log2(scale_ratio)))
        self.scale_ratio = scale_ratio * 2**self.n_doublings
        self.head = nn.Conv2d(n_planes, n_channels, _HEAD, padding=_HEAD // 2)
        self.body = nn.ModuleList(_Residual(n_channels, n_condition) for _ in range(n_blocks))
        self.tail = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.doublings = nn.ModuleList(_SubPixel(n_channels) for _ in range(self.n_doublings))
        self.painter = Painter(n_channels, n_features, n_resampled, n_condition)

    def forward(self, planes, resampled_input, size, condition=None):
        """Feature maps on the target grid; see `Backbone`."""
        shallow = x = _rectified(self.head(planes))
        for block in self.body:
            x = block(x, condition)
        x = shallow + self.tail(x)
        embedding = x.mean((-2, -1))
        for double in self.doublings:
            x = double(x)
        return Features(self.painter(x, resampled_input, size, self.scale_ratio, condition), embedding)
