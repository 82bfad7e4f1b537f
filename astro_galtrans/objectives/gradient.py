"""The objective of the package: log-flux gradients at several scales, weighted by a normalizing flow."""

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans.objectives.contract import Objective, masked_mean, register_objective
from astro_galtrans.objectives.flow import ResidualFlow, student_t_nll
from astro_galtrans.objectives.gradient_space import gradient_residuals, n_scales_of, pool_scales
from astro_galtrans.objectives.pixel import stretched_error

__all__ = ["GradientObjective", "UnweightedGradientObjective"]

_MAX_SCALES = 10
# A scale of k pixels counts k**-0.5. Alike, the few coarse elements, which are known to a per cent, would drown in
# their scatter from galaxy to galaxy what the many fine ones say; by number, colours would hardly count.
_SCALE_POWER = 0.5
_SKY_COUNTS = 0.05  # what a pixel of sky counts; one of 10 times its noise counts ln 10
# ln 2: the smallest scale of a residual is half the sky noise of its element, so that the likelihood is bounded.
_FLOOR = 0.6931


def _share(level):
    """What the scale of 2**level pixels counts in the sum over scales."""
    return 2.0 ** (-_SCALE_POWER * level)


def _light(scale):
    """What the vector of each pixel counts, of mean 1: the softened log flux there, shape ``(galaxy, 1, h, w)``.

    Most pixels are sky. They have nothing to say of a galaxy's colours, but scatter.
    """
    light = scale.log_flux.clamp(min=0).mean(1, keepdim=True) + _SKY_COUNTS
    return light / masked_mean(light, scale.valid).clamp_min(1e-12)


class _GradientScales(Objective):
    """The pyramid that both gradient objectives share, with the anchor on total flux at its top."""

    def __init__(self, n_bands, n_features, n_embedding, max_scales=_MAX_SCALES):
        super().__init__()
        if not 1 <= max_scales <= _MAX_SCALES:
            raise ValueError(f"max_scales must be 1 to {_MAX_SCALES}, got {max_scales}")
        self.n_bands, self.max_scales = n_bands, max_scales

    def n_scales(self, target):
        """Number of scales that take part for images of the size of ``target``."""
        return min(n_scales_of(target.shape[-2:]), self.max_scales)

    def _scales(self, network, prediction, target, valid, generator):
        """Yield (level, GradientResiduals) from the finest to the coarsest scale."""
        pyramid = pool_scales(target, prediction.flux, prediction.maps, valid, self.n_scales(target), generator)
        for level, (scale, *tensors) in enumerate(pyramid):
            # A quarter of the finest vectors, another quarter in each step, costs as little as the next scale.
            phase = torch.randint(2, (2,), generator=generator).tolist() if scale == 1 else None
            yield level, gradient_residuals(*tensors, network.target_noise, scale, phase)

    def _anchor(self, network, prediction, target, valid):
        """Residual of log total flux and of total colours, and its log noise, shape ``(galaxy, 2 * n_bands - 1)``."""
        flux = prediction.flux
        if valid is not None:
            fixed = prediction.flux.detach()
            target, flux = torch.where(valid, target, fixed), torch.where(valid, flux, fixed)
        side = (target.shape[-2] * target.shape[-1]) ** 0.5
        softening = 2 * network.target_noise.flatten() / side
        scaled = flux.mean((-2, -1)) / softening
        d = torch.asinh(target.mean((-2, -1)) / softening) - torch.asinh(scaled)
        with torch.no_grad():
            variance = 0.25 / (1 + scaled.square())
            log_noise = 0.5 * torch.cat([variance, variance[:, 1:] + variance[:, :-1]], 1).log()
        return torch.cat([d, d[:, 1:] - d[:, :-1]], 1), log_noise


@register_objective("gradient-unweighted")
class UnweightedGradientObjective(_GradientScales):
    """Mean squared error of the log-flux gradients, every element alike: what the flow's weights are compared with.

    Parameters
    ----------
    n_bands, n_features, n_embedding : int
        Of the network.
    max_scales : int, optional
        How many of the scales 1, 2, 4, ... pixels take part.
    """

    def forward(self, network, prediction, target, valid, generator, progress=1.0):
        """Loss and an empty dict; see `Objective`."""
        loss = self._anchor(network, prediction, target, valid)[0].square().mean() * _share(self.n_scales(target))
        for level, scale in self._scales(network, prediction, target, valid, generator):
            loss = loss + masked_mean(scale.residual.square(), scale.valid) * _share(level)
        return loss, {}


@register_objective("gradient")
class GradientObjective(_GradientScales):
    """Negative log-likelihood of the log-flux gradients under a conditional normalizing flow.

    Each element's residual r has a scale sigma that is predicted from the features; u = r / sigma has a joint density
    over the gradient vector of a pixel, the flow. The loss is the mean over all vectors of -log p(u) + sum(log sigma),
    estimated without bias as the Student's t likelihood of *every* element plus, on a random subset, the difference
    between the flow's and Student's t likelihood (a control variate). The weight of an element is
    -(d log p / d r) / r.

    Parameters
    ----------
    n_bands, n_features, n_embedding : int
        Of the network.
    n_flow : int, optional
        Pixel vectors per step on which the flow is evaluated, over all scales together; 0 leaves the flow out.
    max_scales : int, optional
        How many of the scales 1, 2, 4, ... pixels take part.
    pixel_share : float, optional
        Share of the training, at its start, in which the network follows the squared error of stretched pixels while
        scales and flow learn from its residuals. Free scales would otherwise explain an image that is still
        blurred as noise, and weigh down just what sharpens it.
    """

    def __init__(self, n_bands, n_features, n_embedding, n_flow=256, max_scales=_MAX_SCALES, pixel_share=0.3):
        super().__init__(n_bands, n_features, n_embedding, max_scales)
        if n_flow < 0 or not 0 <= pixel_share < 1:
            raise ValueError(f"n_flow must be at least 0 and pixel_share in [0, 1), got {n_flow} and {pixel_share}")
        n_vector, n_context = 3 * n_bands - 1, 8
        self.n_flow, self.pixel_share = n_flow, pixel_share
        self.scale_heads = nn.ModuleList(nn.Conv2d(n_features + n_bands, n_vector, 1) for _ in range(max_scales))
        self.scale_shifts = nn.ModuleList(nn.Linear(n_embedding, n_vector) for _ in range(max_scales))
        self.anchor_head = nn.Linear(n_embedding, 2 * n_bands - 1)
        for layer in (*self.scale_heads, *self.scale_shifts, self.anchor_head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.context = nn.Linear(n_embedding, n_context)
        self.flow = ResidualFlow(n_vector, n_bands + n_context + 2)

    def forward(self, network, prediction, target, valid, generator, progress=1.0):
        """Loss and the gain in likelihood that the flow brings, per element; see `Objective`."""
        if progress >= self.pixel_share:
            return self._likelihood(network, prediction, target, valid, generator)
        loss, logs = self._likelihood(network, prediction.detach(), target, valid, generator)
        return loss + stretched_error(network, prediction, target, valid), logs

    def _likelihood(self, network, prediction, target, valid, generator):
        n_scales = self.n_scales(target)
        residual, log_noise = self._anchor(network, prediction, target, valid)
        anchor = self._dense(residual, log_noise, self.anchor_head(prediction.embedding))[1].mean()
        loss = anchor * _share(n_scales)
        parts = []
        for level, scale in self._scales(network, prediction, target, valid, generator):
            u, nll = self._dense(scale.residual, scale.log_noise, self._raw(level, scale, prediction.embedding))
            light = _light(scale) * _share(level)
            loss = loss + masked_mean(nll * light, scale.valid)
            parts.append(self._draw(u, light, scale, prediction.embedding, level, self.n_flow // n_scales, generator))
        gain = self._flow_gain(*(torch.cat(part) for part in zip(*parts)))
        return loss - n_scales * gain, {"flow_gain": float(gain.detach())}

    @staticmethod
    def _dense(residual, log_noise, raw):
        """u = r / sigma and its Student's t negative log-likelihood, in units of the sky noise of the element."""
        log_sigma = functional.softplus(raw) - _FLOOR
        u = residual * (-log_noise - log_sigma).exp()
        return u, student_t_nll(u) + log_sigma

    def _raw(self, level, scale, embedding):
        """What the features say of the scale of each residual, before the floor."""
        raw = self.scale_heads[level](torch.cat([scale.maps, scale.log_flux], 1))
        return raw + self.scale_shifts[level](embedding)[:, :, None, None]

    def _contexts(self, galaxy, log_flux, embedding, level):
        code = log_flux.new_tensor([level / 4 - 1, (level / 4 - 1) ** 2]).expand(len(log_flux), 2)
        return torch.cat([log_flux / 4, self.context(embedding)[galaxy], code], 1)

    def _draw(self, u, light, scale, embedding, level, n_draw, generator):
        """A random subset of valid vectors with their contexts and what each counts."""
        n_galaxies, _, height, width = u.shape
        index = torch.randint(n_galaxies * height * width, (n_draw,), generator=generator).to(u.device)
        galaxy, place = index // (height * width), index % (height * width)
        if scale.valid is not None:
            kept = scale.valid.flatten(1)[galaxy, place]
            galaxy, place = galaxy[kept], place[kept]
        log_flux = scale.log_flux.flatten(2)[galaxy, :, place]
        light = light.flatten(1)[galaxy, place]
        return u.flatten(2)[galaxy, :, place], self._contexts(galaxy, log_flux, embedding, level), light

    def _flow_gain(self, u, context, light):
        """Mean over drawn vectors of how much likelier the flow finds them than Student's t does, per element."""
        if not len(u):
            return u.sum()
        gain = self.flow.log_prob(u, context) + student_t_nll(u).sum(-1)
        return (gain * light).mean() / u.shape[1]

    def weights(self, network, prediction, target, valid=None, scale=1, chunk=16384):
        """Weight of each gradient element, -(d log p / d r) / r, at one scale.

        Parameters
        ----------
        network, prediction, target, valid
            As in `forward`.
        scale : int, optional
            1, 2, 4, ... target pixels a side.
        chunk : int, optional
            Vectors per evaluation of the flow.

        Returns
        -------
        torch.Tensor
            Shape ``(galaxy, 3 * n_bands - 1, h, w)`` with h and w one less than the image at that scale; invalid
            elements have weight 0.
        """
        level = scale.bit_length() - 1
        if scale != 2**level or level >= self.n_scales(target):
            raise ValueError(f"scale must be a power of 2 below the image and the objective's scales, got {scale}")
        with torch.no_grad():
            *_, (_, *tensors) = pool_scales(target, prediction.flux, prediction.maps, valid, level + 1)
            part = gradient_residuals(*tensors, network.target_noise, scale)
            raw = self._raw(level, part, prediction.embedding)
            u, _ = self._dense(part.residual, part.log_noise, raw)
            sigma = (part.log_noise + functional.softplus(raw) - _FLOOR).exp()
            n_galaxies, n_vector, height, width = u.shape
            galaxy = torch.arange(n_galaxies, device=u.device).repeat_interleave(height * width)
            log_flux = part.log_flux.flatten(2).transpose(1, 2).flatten(0, 1)
            context = self._contexts(galaxy, log_flux, prediction.embedding, level)
        flat = u.flatten(2).transpose(1, 2).flatten(0, 1)
        weight = torch.cat([self.flow.weights(*pair) for pair in zip(flat.split(chunk), context.split(chunk))])
        weight = weight.unflatten(0, (n_galaxies, height * width)).transpose(1, 2).unflatten(2, (height, width))
        weight = weight / sigma.square()
        return weight if part.valid is None else torch.where(part.valid[:, None], weight, 0)
