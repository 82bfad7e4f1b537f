"""An inception network for galaxy cutouts, in the manner of the photometric-redshift networks of the field."""

import torch
from torch import nn
from torch.nn import functional

__all__ = ["InceptionNetwork"]


def _convolution(n_in, n_out, size):
    layer = nn.Conv2d(n_in, n_out, size, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


class _Block(nn.Module):
    """Parallel looks of one, three and five pixels and a mean over three, each after a 1x1 convolution, side by side.

    The input is normalised over each galaxy by itself, so that a prediction depends on no other galaxy.
    """

    def __init__(self, n_in, width):
        super().__init__()
        self.normalise = nn.GroupNorm(1, n_in)
        self.reduce = _convolution(n_in, 4 * width, 1)
        self.middle, self.wide = _convolution(width, width, 3), _convolution(width, width, 5)
        self.skip = nn.Conv2d(n_in, 4 * width, 1, bias=False) if n_in != 4 * width else nn.Identity()

    def forward(self, x):
        point, middle, wide, mean = torch.relu(self.reduce(self.normalise(x))).chunk(4, dim=1)
        mean = functional.avg_pool2d(mean, 3, stride=1, padding=1, count_include_pad=False)
        looks = [point, torch.relu(self.middle(middle)), torch.relu(self.wide(wide)), mean]
        return self.skip(x) + torch.cat(looks, dim=1)


def _halved(maps):
    """Means of squares of 2x2 pixels; of what there is of them at an odd edge."""
    return functional.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)


class InceptionNetwork(nn.Module):
    """A 5x5 convolution, five inception blocks with two poolings between them, and two fully connected layers.

    The sequence is that of Pasquet et al. (2019, A&A 621, A26, section 3), which Lin et al. (2022, A&A 662, A36) vary
    for SDSS and CFHTLS cutouts, at an adjustable and by default smaller width. Not theirs are the sums around each
    block, the normalisation in each galaxy, the global pooling before the fully connected layers, and the aperture
    features, which enter there like the catalogue columns.
    """

    def __init__(self, n_planes, n_features, n_outputs, width=24, dropout=0.1):
        super().__init__()
        hidden, stages = 16 * width, (width, width, 2 * width, 2 * width, 2 * width)
        self.stem = nn.Sequential(_convolution(n_planes, 2 * width, 5), nn.PReLU(2 * width))
        n_in = [2 * width, *(4 * stage for stage in stages)]
        self.blocks = nn.ModuleList(_Block(before, stage) for before, stage in zip(n_in, stages))
        self.from_maps = nn.Sequential(nn.LayerNorm(2 * n_in[-1]), nn.Linear(2 * n_in[-1], hidden))
        self.from_features = nn.Linear(n_features, hidden)
        self.head = nn.Sequential(
            nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, n_outputs),
        )

    def forward(self, planes, features):
        maps = _halved(self.stem(planes.contiguous(memory_format=torch.channels_last)))
        for i, block in enumerate(self.blocks):
            maps = block(maps)
            if i in (1, 3):
                maps = _halved(maps)
        summary = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        return self.head(self.from_maps(summary) + self.from_features(features))
