"""Training targets and losses of the two kinds of output."""

import numpy as np
import torch

from torch.nn import functional

from astro_galtrans._utils.masked import floats

__all__ = ["Targets", "default_grid", "redshift_array"]


def redshift_array(redshift, n, name):
    """Redshifts as an array of shape ``(n,)``, checked."""
    redshift = floats(redshift, name, dtype=float)
    if redshift.shape != (n,):
        raise ValueError(f"{name} must have the shape ({n},), got {redshift.shape}")
    if not np.all(np.isfinite(redshift)):
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(redshift)).sum())} values that are not")
    return redshift


def default_grid(redshift, n_bins):
    """Evenly spaced redshifts, 5 % wider on both sides than the given ones, but not below 0."""
    low, high = redshift.min(), redshift.max()
    if not high > low:
        raise ValueError(f"redshift must have a range to learn, all are {low}")
    margin = 0.05 * (high - low)
    return np.linspace(max(0.0, low - margin) if low >= 0 else low - margin, high + margin, n_bins)


def _soft_labels(grid, redshift, label_width):
    """Probability of each grid point: a Gaussian around the redshift, of a width in local grid steps."""
    step = np.interp(redshift, 0.5 * (grid[1:] + grid[:-1]), np.diff(grid))
    distance = (grid - redshift[:, None]) / (label_width * step[:, None])
    logarithm = -0.5 * distance**2 + np.log(np.gradient(grid))
    weights = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    return torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


class Targets:
    """The true redshifts of some galaxies, and the loss of a model's outputs for them."""

    def __init__(self, redshift, grid, config, device):
        self.redshift = torch.tensor(redshift, dtype=torch.float32, device=device)
        self.crps_weight, self.bins = config.crps_weight, config.output == "bins"
        if self.bins:
            steps = np.gradient(grid)
            self.steps = torch.tensor(steps / steps.mean(), dtype=torch.float32, device=device)
            self.labels = _soft_labels(grid, redshift, config.label_width).to(device)
            self.beyond = torch.from_numpy((grid >= redshift[:, None]).astype(np.float32)).to(device)

    def loss(self, model, outputs, chosen):
        """Mean loss of the chosen galaxies, whose outputs are given."""
        if self.bins:
            return self._bins_loss(outputs.float(), self.labels[chosen], self.beyond[chosen])
        return -model.flow.log_prob(model.standardised(self.redshift[chosen])[:, None], outputs).mean()

    def _bins_loss(self, logits, labels, beyond):
        """Cross-entropy with smoothed labels plus the ranked probability score in mean grid steps."""
        entropy = -(labels * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
        if not self.crps_weight:
            return entropy
        below = torch.softmax(logits, dim=1).cumsum(dim=1)
        return entropy + self.crps_weight * ((below - beyond) ** 2 * self.steps).sum(dim=1).mean()
