"""Conditional densities by the normalizing flows of nflows, which only this module imports."""

import math

import torch
from nflows.transforms import CompositeTransform, Permutation
from nflows.transforms.autoregressive import (
    MaskedAffineAutoregressiveTransform,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
)
from scipy import special
from torch import nn

__all__ = ["ConditionalDensity", "ResidualFlow", "student_t_nll"]

# Degrees of freedom of the base density: tails heavy enough for the blends and stars in real residuals.
_DEGREES = 5.0
_LOG_NORM = (
    math.lgamma((_DEGREES + 1) / 2) - math.lgamma(_DEGREES / 2) - 0.5 * math.log(_DEGREES * math.pi)
)
_MIN_DERIVATIVE = 1e-3
_NEAR_ZERO = 0.05
_LARGEST_LOG_SCALE = 6.0


def student_t_nll(u):
    """Return the negative log density of Student's t with 5 degrees of freedom, elementwise."""
    return (_DEGREES + 1) / 2 * torch.log1p(u.square() / _DEGREES) - _LOG_NORM


class ResidualFlow(nn.Module):
    """Normalizing flow p(u | c) over vectors of scaled residuals, in float32 whatever the autocast.

    One spline layer per component shapes each conditional density, and one affine layer in the opposite order adds the
    correlations between bands and directions (Durkan et al. 2019, Papamakarios et al. 2017); the base is Student's t.
    A new flow is the identity, so that its density is the base density.

    Parameters
    ----------
    n_features : int
        Length of the residual vector.
    n_context : int
        Length of the context vector.
    n_hidden : int, optional
        Width of the autoregressive networks.
    n_bins : int, optional
        Bins of the splines, which act between -``tail_bound`` and ``tail_bound``.
    tail_bound : float, optional
        Where the splines become the identity.
    """

    def __init__(self, n_features, n_context, n_hidden=48, n_bins=8, tail_bound=6.0):
        super().__init__()
        spline = MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
            features=n_features, hidden_features=n_hidden, context_features=n_context, num_bins=n_bins, tails="linear",
            tail_bound=tail_bound, num_blocks=1, min_derivative=_MIN_DERIVATIVE, use_residual_blocks=True,
        )
        affine = MaskedAffineAutoregressiveTransform(
            features=n_features, hidden_features=n_hidden, context_features=n_context, num_blocks=1,
        )
        self._start_as_identity(spline, affine, n_features, n_bins)
        self.transform = CompositeTransform([spline, Permutation(torch.arange(n_features - 1, -1, -1)), affine])

    @staticmethod
    def _start_as_identity(spline, affine, n_features, n_bins):
        with torch.no_grad():
            last = spline.autoregressive_net.final_layer
            last.weight.zero_()
            bias = last.bias.view(n_features, -1)
            bias.zero_()
            bias[:, 2 * n_bins:] = math.log(math.expm1(1 - _MIN_DERIVATIVE))
            last = affine.autoregressive_net.final_layer
            last.weight.zero_()
            bias = last.bias.view(n_features, 2)
            bias.zero_()
            # nflows adds 0.001 to the softplus; both layers need this offset for a slope of exactly 1.
            bias[:, 0] = math.log(math.expm1(1 - 1e-3))

    def log_prob(self, u, context):
        """Return the log density of residual vectors.

        Parameters
        ----------
        u : torch.Tensor
            Shape ``(n, n_features)``.
        context : torch.Tensor
            Shape ``(n, n_context)``.

        Returns
        -------
        torch.Tensor
            Shape ``(n,)``.
        """
        with torch.autocast(u.device.type, enabled=False):
            base, log_determinant = self.transform(u.float(), context=context.float())
            return log_determinant - student_t_nll(base).sum(-1)

    def weights(self, u, context):
        """Return -(d log p / d u) / u of each element, the weight of iteratively reweighted least squares.

        It is at least zero: where a density has a second mode the ratio is negative, and a negative weight would
        repel from the target.

        Parameters
        ----------
        u, context : torch.Tensor
            As in `log_prob`.

        Returns
        -------
        torch.Tensor
            Shape ``(n, n_features)``.
        """
        with torch.enable_grad():
            u = u.detach().float()
            # At zero the ratio is 0/0, and near it mostly rounding: it is evaluated at a small distance.
            u = torch.where(u.abs() < _NEAR_ZERO, torch.where(u < 0, -_NEAR_ZERO, _NEAR_ZERO), u).requires_grad_()
            slope, = torch.autograd.grad(self.log_prob(u, context).sum(), u)
        return (-slope / u).clamp_min(0).detach()

    def uniforms(self, u, context):
        """Return the base CDF of residuals in base space, the PIT: uniform where the flow is right."""
        with torch.no_grad():
            base, _ = self.transform(u.float(), context=context.float())
        return torch.from_numpy(special.stdtr(_DEGREES, base.cpu().double().numpy()))


class ConditionalDensity(nn.Module):
    """Density p(x | c) of a number: a location and a scale, then the spline and affine layers of `ResidualFlow`.

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
        """Return the log density of numbers.

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
