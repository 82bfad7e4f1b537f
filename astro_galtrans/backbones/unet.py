"""The small, fast reference: a U-Net that works on the input grid and paints on the target grid at the end."""

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans.backbones.contract import Backbone, Features, register_backbone
from astro_galtrans.backbones.resampling import resample

__all__ = ["UNet"]


class _Block(nn.Module):
    """Two convolutions around an identity path, modulated by the condition where there is one."""

    def __init__(self, n_in, n_out, n_condition):
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.skip = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        self.modulation = nn.Linear(n_condition, 2 * n_out) if n_condition else None

    def forward(self, x, condition):
        y = self.first(x)
        if self.modulation is not None:
            gain, offset = self.modulation(condition)[:, :, None, None].chunk(2, 1)
            y = y * (1 + gain) + offset
        y = self.second(functional.leaky_relu(y, 0.1))
        return functional.leaky_relu(self.skip(x) + y, 0.1)


@register_backbone("unet")
class UNet(Backbone):
    """U-Net (Ronneberger et al. 2015) whose levels live on the input grid, with one block on the target grid.

    There is no normalisation layer: the amplitude of an image is its flux. Working on the coarser input grid
    costs a fifth of what the same widths cost on the target grid of SDSS to CFHTLS.

    Parameters
    ----------
    n_planes, n_hints, n_condition : int
        Channels of what `forward` takes; see `Backbone`.
    widths : sequence of int, optional
        Channels of each level, the finest first; each further level halves the grid.
    n_features : int, optional
        Channels of the feature maps on the target grid.
    """

    def __init__(self, n_planes, n_hints, n_condition=0, widths=(24, 48, 96), n_features=16):
        super().__init__()
        widths = tuple(int(width) for width in widths)
        if not widths or min(widths) < 1 or n_features < 1:
            raise ValueError(f"widths and n_features must be positive, got {widths} and {n_features}")
        self.n_features = n_features
        self.n_embedding = widths[-1]
        self.down = nn.ModuleList(
            _Block(n_in, n_out, n_condition) for n_in, n_out in zip((n_planes, *widths[:-1]), widths)
        )
        self.up = nn.ModuleList(
            _Block(coarse + fine, fine, n_condition) for fine, coarse in zip(widths[:-1], widths[1:])
        )
        self.to_target = nn.Conv2d(widths[0], n_features, 1)
        self.paint = _Block(n_features + n_hints, n_features, n_condition)

    def forward(self, planes, hints, size, step, condition=None):
        """Feature maps on the target grid; see `Backbone`."""
        x, levels = planes, []
        for depth, block in enumerate(self.down):
            x = block(functional.avg_pool2d(x, 2, ceil_mode=True) if depth else x, condition)
            levels.append(x)
        embedding = x.mean((-2, -1))
        for fine, block in zip(reversed(levels[:-1]), reversed(self.up)):
            x = functional.interpolate(x, fine.shape[-2:], mode="nearest")
            x = block(torch.cat([x, fine], 1), condition)
        x = resample(self.to_target(x), size, step)
        return Features(self.paint(torch.cat([x, hints.to(x.dtype)], 1), condition), embedding)
