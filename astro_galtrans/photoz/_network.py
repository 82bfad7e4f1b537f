"""Networks from image planes and features, or from catalogue columns alone, to the outputs of a density model."""

from __future__ import annotations

import torch
from torch import nn

from astro_galtrans.photoz._inception import InceptionNetwork

__all__ = ["ColumnNetwork", "available_architectures", "build_network"]


class _Residual(nn.Module):
    """Two 3x3 convolutions around a skip connection; the second starts at zero."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.normal_(self.second.weight, std=1e-3)
        nn.init.zeros_(self.second.bias)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(torch.relu(x))))


class SmallNetwork(nn.Module):
    """A convolutional trunk on the planes and a perceptron on the aperture features, added before the head.

    The features alone give the galaxy's colours, so that the head is useful after a few hundred steps; the trunk adds
    what apertures do not see.
    """

    def __init__(self, n_planes, n_features, n_outputs, width=24, dropout=0.1):
        super().__init__()
        hidden = 8 * width
        self.trunk = nn.Sequential(
            nn.Conv2d(n_planes, width, 3, stride=2, padding=1),
            _Residual(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            _Residual(2 * width), nn.ReLU(),
        )
        self.from_trunk = nn.Sequential(nn.LayerNorm(4 * width), nn.Linear(4 * width, hidden))
        self.from_features = nn.Linear(n_features, hidden)
        self.head = nn.Sequential(
            nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, n_outputs),
        )

    def forward(self, planes, features):
        maps = self.trunk(planes.contiguous(memory_format=torch.channels_last))
        summary = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        return self.head(self.from_trunk(summary) + self.from_features(features))


class _ResidualLayer(nn.Module):
    """A perceptron of one hidden layer around a skip connection; it starts at almost nothing."""

    def __init__(self, width, dropout):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))
        nn.init.normal_(self.layers[-1].weight, std=1e-3)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, x):
        return x + self.layers(x)


class ColumnNetwork(nn.Sequential):
    """A residual perceptron on catalogue columns."""

    def __init__(self, n_inputs, n_outputs, width=128, depth=2, dropout=0.1):
        super().__init__(
            nn.Linear(n_inputs, width), *(_ResidualLayer(width, dropout) for _ in range(depth)), nn.LayerNorm(width),
            nn.GELU(), nn.Dropout(dropout), nn.Linear(width, n_outputs))


_ARCHITECTURES = {"inception": InceptionNetwork, "small": SmallNetwork}


def available_architectures() -> list[str]:
    """Names of the registered networks.

    Returns
    -------
    list of str
    """
    return sorted(_ARCHITECTURES)


def build_network(name, **sizes):
    """The network of a registered name."""
    if name not in _ARCHITECTURES:
        known = ", ".join(available_architectures())
        raise ValueError(f"no estimator architecture is named {name!r}; known are {known}")
    return _ARCHITECTURES[name](**sizes).to(memory_format=torch.channels_last)
