"""The residual generator of SRGAN: blocks on the input grid, sub-pixel upsampling, the target grid at the end."""

import math

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans.backbones.blocks import Painter
from astro_galtrans.backbones.contract import Backbone, Features, register_backbone

__all__ = ["SRGAN"]

_HEAD = 9  # side of the kernel of the first convolution, as published
_SLOPE = 0.2  # of the leaky rectifiers below zero
_QUIET = 0.1  # scale of the last weights of a block at the start, where each block is nearly the identity


def _rectified(x):
    return functional.leaky_relu(x, _SLOPE)


class _Residual(nn.Module):
    """Two convolutions beside an identity path, without normalisation, modulated by the condition."""

    def __init__(self, n_channels, n_condition):
        super().__init__()
        self.first = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.second = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.modulation = nn.Linear(n_condition, 2 * n_channels) if n_condition else None
        with torch.no_grad():
            self.second.weight.mul_(_QUIET)
            self.second.bias.zero_()

    def forward(self, x, condition):
        y = self.first(x)
        if self.modulation is not None:
            gain, offset = self.modulation(condition)[:, :, None, None].chunk(2, 1)
            y = y * (1 + gain) + offset
        return x + self.second(_rectified(y))


class _SubPixel(nn.Module):
    """Doubles a grid: four times the channels, which become the four quarters of each pixel.

    The four start alike (Aitken et al. 2017, arXiv:1707.02937), so that no chequerboard is there from the beginning.
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
    """Generator of SRGAN (Ledig et al. 2017, arXiv:1609.04802) without its batch normalisation.

    Residual blocks work on the input grid. Sub-pixel convolutions (Shi et al. 2016, arXiv:1609.05158) double that grid
    as many times as bring its pixels nearest to the target's, not at all where those are larger; the rest of the way,
    a ratio near 1 that need not be simple, is a bilinear resampling and a block that paints on the target grid.

    Batch normalisation makes the amplitude of an image depend on the images beside it, and amplitude is flux here;
    it costs quality in natural images as well (Lim et al. 2017, arXiv:1707.02921; Wang et al. 2018, arXiv:1809.00219).

    Parameters
    ----------
    n_planes, n_hints, n_condition, step
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

    def __init__(self, n_planes, n_hints, n_condition=0, *, step, n_blocks=4, n_channels=32, n_features=16):
        super().__init__()
        for name, value in (("n_blocks", n_blocks), ("n_channels", n_channels), ("n_features", n_features)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an int of at least 1, got {value!r}")
        self.n_features, self.n_embedding = n_features, n_channels
        self.n_doublings = max(0, round(-math.log2(step)))
        self.step = step * 2**self.n_doublings
        self.head = nn.Conv2d(n_planes, n_channels, _HEAD, padding=_HEAD // 2)
        self.body = nn.ModuleList(_Residual(n_channels, n_condition) for _ in range(n_blocks))
        self.tail = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.doublings = nn.ModuleList(_SubPixel(n_channels) for _ in range(self.n_doublings))
        self.painter = Painter(n_channels, n_features, n_hints, n_condition)

    def forward(self, planes, hints, size, condition=None):
        """Feature maps on the target grid; see `Backbone`."""
        shallow = x = _rectified(self.head(planes))
        for block in self.body:
            x = block(x, condition)
        x = shallow + self.tail(x)
        embedding = x.mean((-2, -1))
        for double in self.doublings:
            x = double(x)
        return Features(self.painter(x, hints, size, self.step, condition), embedding)
