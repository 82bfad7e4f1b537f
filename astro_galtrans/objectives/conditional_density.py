"""A conditional density of one number, by a normalizing flow of one dimension."""

import torch
from torch import nn

from astro_galtrans.objectives.flow import ResidualFlow

__all__ = ["ConditionalDensity"]

_LARGEST_LOG_SCALE = 6.0


class ConditionalDensity(nn.Module):
    """p(x | c) of a number: a location and a scale, then a monotonic spline and an affine layer of `ResidualFlow`.

    The condition's first two elements are the location and the logarithm of the scale, the others the context of the
    flow. A new flow is the identity, so that p is Student's t with 5 degrees of freedom of that location and scale.

    Parameters
    ----------
    n_context : int, optional
        Length of the flow's context.
    n_hidden, n_bins : int, optional
        Width of the flow's networks, and bins of its spline (Durkan et al. 2019, arXiv:1906.04032).

    Attributes
    ----------
    n_inputs : int
        Length of a condition, ``n_context + 2``.
    """

    def __init__(self, n_context=16, n_hidden=32, n_bins=8):
        super().__init__()
        self.n_inputs = n_context + 2
        self.flow = ResidualFlow(1, n_context, n_hidden, n_bins)

    def log_prob(self, x, condition):
        """Log density of numbers.

        Parameters
        ----------
        x : torch.Tensor
            Shape ``(n, m)``: m numbers for each condition.
        condition : torch.Tensor
            Shape ``(n, n_inputs)``.

        Returns
        -------
        torch.Tensor
            Shape ``(n, m)``, float32.
        """
        if condition.ndim != 2 or condition.shape[1] != self.n_inputs or x.shape[:1] != condition.shape[:1]:
            raise ValueError(f"condition must have the shape ({len(x)}, {self.n_inputs}), got {tuple(condition.shape)}")
        location, log_scale, context = condition.float().split([1, 1, self.n_inputs - 2], dim=1)
        log_scale = _LARGEST_LOG_SCALE * torch.tanh(log_scale / _LARGEST_LOG_SCALE)
        u = (x.float() - location) * torch.exp(-log_scale)
        density = self.flow.log_prob(u.reshape(-1, 1), context.repeat_interleave(x.shape[1], dim=0))
        return density.view(x.shape) - log_scale
