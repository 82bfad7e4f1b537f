"""Networks from image planes and features, or from catalog columns alone, to redshift densities on a grid."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans.objectives import ConditionalDensity
from astro_galtrans.photoz._piecewise import trapezoid_weights

__all__ = ["ColumnNetwork", "DensityModel", "available_architectures", "build_network"]


class DensityModel(nn.Module):
    """Base of the models: a network's outputs become densities at the points of a grid.

    Subclasses define ``forward``, which returns ``n_outputs`` outputs: logits over the grid if ``output`` is "bins",
    conditions of a `ConditionalDensity` if it is "density".
    """

    def __init__(self, grid, output):
        super().__init__()
        redshift = torch.tensor(grid, dtype=torch.float64)
        self.n_outputs, self.flow = len(grid), None
        if output == "density":
            self.flow = ConditionalDensity()
            self.n_outputs = self.flow.n_inputs
            # The variable of the flow runs from -2 to 2 over the grid.
            scale = 0.25 * float(grid[-1] - grid[0])
            self._offset = (0.5 * float(grid[-1] + grid[0]), scale)
            self.register_buffer("points", self.standardized(redshift).float(), persistent=False)
        self.register_buffer("log_cell", trapezoid_weights(redshift).log().float())
        self.register_buffer("power", torch.ones(()))

    def standardized(self, redshift):
        """Return redshifts in the units of the flow."""
        return (redshift - self._offset[0]) / self._offset[1]

    def logits(self, outputs):
        """Return the logarithm of the probability around each grid point, up to a constant for each galaxy."""
        if self.flow is None:
            return outputs
        return self.flow.log_prob(self.points.expand(len(outputs), -1), outputs) + self.log_cell

    def density(self, logits):
        """Return normalized densities at the grid points; logits are of the probability around each of them."""
        powered = self.power * (logits.float() - self.log_cell)
        return (torch.log_softmax(powered + self.log_cell, dim=1) - self.log_cell).exp()


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

    The features alone are the colors of the galaxy, so that the head is useful after a few hundred steps; the trunk
    adds information that apertures do not have.
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


def _convolution(n_in, n_out, size):
    layer = nn.Conv2d(n_in, n_out, size, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


class _Block(nn.Module):
    """Convolutions of 1, 3 and 5 pixels and a mean over 3 in parallel, each after a 1x1 convolution.

    The input is normalized over each galaxy by itself, so that a prediction depends on no other galaxy.
    """

    def __init__(self, n_in, width):
        super().__init__()
        self.normalise = nn.GroupNorm(1, n_in)  # spelled as in stored weights
        self.reduce = _convolution(n_in, 4 * width, 1)
        self.middle, self.wide = _convolution(width, width, 3), _convolution(width, width, 5)
        self.skip = nn.Conv2d(n_in, 4 * width, 1, bias=False) if n_in != 4 * width else nn.Identity()

    def forward(self, x):
        point, middle, wide, mean = torch.relu(self.reduce(self.normalise(x))).chunk(4, dim=1)
        mean = functional.avg_pool2d(mean, 3, stride=1, padding=1, count_include_pad=False)
        branches = [point, torch.relu(self.middle(middle)), torch.relu(self.wide(wide)), mean]
        return self.skip(x) + torch.cat(branches, dim=1)


def _halved(maps):
    """Return the means of squares of 2x2 pixels, of parts of squares at an odd edge."""
    return functional.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)


class InceptionNetwork(nn.Module):
    """A 5x5 convolution, five inception blocks with two poolings between them, and two fully connected layers.

    The sequence is that of Pasquet et al. (2019, A&A 621, A26, section 3), which Lin et al. (2022, A&A 662, A36) vary
    for SDSS and CFHTLS cutouts, at an adjustable and by default smaller width. The skip connections around each block,
    the normalization in each galaxy, the global pooling before the fully connected layers, and the aperture features
    and catalog columns that enter there, are additions.
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


class _ResidualLayer(nn.Module):
    """A perceptron of one hidden layer around a skip connection, with initial weights close to zero."""

    def __init__(self, width, dropout):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))
        nn.init.normal_(self.layers[-1].weight, std=1e-3)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, x):
        return x + self.layers(x)


class ColumnNetwork(nn.Sequential):
    """A residual perceptron on catalog columns."""

    def __init__(self, n_inputs, n_outputs, width=128, depth=2, dropout=0.1):
        super().__init__(
            nn.Linear(n_inputs, width), *(_ResidualLayer(width, dropout) for _ in range(depth)), nn.LayerNorm(width),
            nn.GELU(), nn.Dropout(dropout), nn.Linear(width, n_outputs))


_ARCHITECTURES = {"inception": InceptionNetwork, "small": SmallNetwork}


def available_architectures() -> list[str]:
    """Return the names of the registered networks.

    Returns
    -------
    list of str
    """
    return sorted(_ARCHITECTURES)


def build_network(name, **sizes):
    """Return the network of a registered name."""
    if name not in _ARCHITECTURES:
        known = ", ".join(available_architectures())
        raise ValueError(f"no estimator architecture is named {name!r}; known are {known}")
    return _ARCHITECTURES[name](**sizes).to(memory_format=torch.channels_last)
