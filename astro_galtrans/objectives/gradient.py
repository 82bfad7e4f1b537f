"""The objective of the package: log-flux gradients at several scales, weighted by a normalizing flow."""

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans.backbones import aperture_radii, log_apertures
from astro_galtrans.backbones.photometry import N_APERTURES
from astro_galtrans.objectives.contract import Objective, masked_mean, register_objective
from astro_galtrans.objectives.flow import ResidualFlow, student_t_nll
from astro_galtrans.objectives.gradient_space import gradient_residuals, n_elements, n_scales_of, pool_scales
from astro_galtrans.objectives.pixel import stretched_error

__all__ = ["GradientObjective", "UnweightedGradientObjective"]

_MAX_SCALES = 10
# A scale of k pixels counts k**-0.5. Alike, the few coarse elements, which are known to a per cent, would drown in
# their scatter from galaxy to galaxy what the many fine ones say; by number, colours would hardly count.
_SCALE_POWER = 0.5
_SKY_COUNTS = 0.05  # what a pixel of sky counts; one of 10 times its noise counts ln 10
# ln 2: the smallest scale of a residual is half the sky noise of its element, so that the likelihood is bounded.
_FLOOR = 0.6931
_APERTURE_START = -3.0  # log of the scale of an aperture's log flux before training, 0.05
_APERTURE_WEIGHT = 1.5
# The weight at which images were as sharp as those of pixels alone, and colours no worse than without.
_PIXEL_WEIGHT = 30.0


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
    """The pyramid that both gradient objectives share, with aperture fluxes and colours beside it."""

    photometry = True

    def __init__(self, n_bands, n_features, n_embedding, max_scales=_MAX_SCALES, elements="gradients"):
        super().__init__()
        if not 1 <= max_scales <= _MAX_SCALES:
            raise ValueError(f"max_scales must be 1 to {_MAX_SCALES}, got {max_scales}")
        self.n_bands, self.max_scales, self.elements = n_bands, max_scales, elements
        self.n_elements = n_elements(elements, n_bands)

    def n_scales(self, target):
        """Number of scales that take part for images of the size of ``target``."""
        return min(n_scales_of(target.shape[-2:]), self.max_scales)

    def _scales(self, network, prediction, target, valid, generator):
        """Yield (level, GradientResiduals) from the finest to the coarsest scale."""
        pyramid = pool_scales(target, prediction.flux, prediction.maps, valid, self.n_scales(target), generator)
        for level, (scale, *tensors) in enumerate(pyramid):
            # A quarter of the finest vectors, another quarter in each step, costs as little as the next scale.
            phase = torch.randint(2, (2,), generator=generator).tolist() if scale == 1 else None
            yield level, gradient_residuals(*tensors, network.target_noise, scale, phase, self.elements)

    @staticmethod
    def _apertures(network, prediction, target, valid):
        """Residuals of log flux and of colours in apertures and their log noise, ``(galaxy, 2 * n_bands - 1, radius)``.

        Gradients leave one constant per image free. This is it, with the passband gradients of the whole galaxy, which
        hold most of what is known of its redshift.
        """
        flux, noise = prediction.flux, network.target_noise
        if valid is not None:
            fixed = prediction.flux.detach()
            target, flux = torch.where(valid, target, fixed), torch.where(valid, flux, fixed)
        radii = aperture_radii(network.step)
        log_flux = log_apertures(flux, noise, radii)
        d = log_apertures(target, noise, radii) - log_flux
        with torch.no_grad():
            variance = 0.25 / log_flux.cosh().square()
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
    elements : str, optional
        What is compared at each pixel, see `GradientObjective`.
    """

    def forward(self, network, prediction, target, valid, generator, progress=1.0):
        """Loss and an empty dict; see `Objective`."""
        loss = self._apertures(network, prediction, target, valid)[0].square().mean()
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

    The log fluxes and colours of the whole galaxy in three apertures have a Student's t likelihood of their own, with
    scales predicted from the galaxy's embedding.

    Parameters
    ----------
    n_bands, n_features, n_embedding : int
        Of the network.
    n_flow : int, optional
        Pixel vectors per step on which the flow is evaluated, over all scales together; 0 leaves the flow out.
    max_scales : int, optional
        How many of the scales 1, 2, 4, ... pixels take part.
    pixel_weight : float, optional
        What the mean squared error of stretched pixels counts beside the likelihood. Free scales explain an image that
        is blurred as noise, and weigh down just what would sharpen it; this term does not let them.
    elements : str, optional
        What is compared at each pixel: ``"gradients"`` along x, y and passband; to compare with, ``"spatial"`` or
        ``"passband"`` gradients alone, or the ``"log flux"`` itself.
    gaussian : bool, optional
        Whether elements are weighted by a Gaussian of the predicted scale, in place of Student's t and the flow.
    aperture_weight : float, optional
        What the likelihood of an aperture's log flux or colour counts beside that of a gradient.
    """

    def __init__(self, n_bands, n_features, n_embedding, n_flow=256, max_scales=_MAX_SCALES,
                 pixel_weight=_PIXEL_WEIGHT, elements="gradients", gaussian=False, aperture_weight=_APERTURE_WEIGHT):
        super().__init__(n_bands, n_features, n_embedding, max_scales, elements)
        if n_flow < 0:
            raise ValueError(f"n_flow must be at least 0, got {n_flow}")
        for name, weight in (("pixel_weight", pixel_weight), ("aperture_weight", aperture_weight)):
            if not 0 <= weight < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {weight}")
        n_vector, n_context = self.n_elements, 8
        self.n_flow, self.pixel_weight = 0 if gaussian else n_flow, pixel_weight
        self.gaussian, self.aperture_weight = bool(gaussian), aperture_weight
        self.scale_heads = nn.ModuleList(nn.Conv2d(n_features + n_bands, n_vector, 1) for _ in range(max_scales))
        self.scale_shifts = nn.ModuleList(nn.Linear(n_embedding, n_vector) for _ in range(max_scales))
        self.aperture_head = nn.Linear(n_embedding, (2 * n_bands - 1) * N_APERTURES)
        for layer in (*self.scale_heads, *self.scale_shifts, self.aperture_head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.context = nn.Linear(n_embedding, n_context)
        self.flow = ResidualFlow(n_vector, n_bands + n_context + 2)

    def forward(self, network, prediction, target, valid, generator, progress=1.0):
        """Loss, the gain in likelihood that the flow brings per element, and that of apertures; see `Objective`."""
        apertures = self._aperture_nll(network, prediction, target, valid)
        loss, logs = self._likelihood(network, prediction, target, valid, generator)
        if self.pixel_weight:
            loss = loss + self.pixel_weight * stretched_error(network, prediction, target, valid)
        return loss + self.aperture_weight * apertures, {**logs, "aperture_nll": float(apertures.detach())}

    def _likelihood(self, network, prediction, target, valid, generator):
        n_scales, loss, parts = self.n_scales(target), 0.0, []
        for level, scale in self._scales(network, prediction, target, valid, generator):
            u, nll = self._dense(scale.residual, scale.log_noise, self._raw(level, scale, prediction.embedding))
            light = _light(scale) * _share(level)
            loss = loss + masked_mean(nll * light, scale.valid)
            parts.append(self._draw(u, light, scale, prediction.embedding, level, self.n_flow // n_scales, generator))
        gain = self._flow_gain(*(torch.cat(part) for part in zip(*parts)))
        return loss - n_scales * gain, {"flow_gain": float(gain.detach())}

    def _aperture_nll(self, network, prediction, target, valid):
        """Mean negative log-likelihood of log fluxes and colours in apertures, a scalar tensor."""
        residual, log_noise = self._apertures(network, prediction, target, valid)
        raw = self.aperture_head(prediction.embedding).unflatten(1, residual.shape[1:])
        # As in `_dense` no scale is below half the noise; here they start from what a network learns in a few steps.
        log_sigma = torch.logaddexp(raw + _APERTURE_START, log_noise - _FLOOR)
        return (self._element_nll(residual * (-log_sigma).exp()) + log_sigma).mean()

    def _element_nll(self, u):
        return 0.5 * u.square() if self.gaussian else student_t_nll(u)

    def _dense(self, residual, log_noise, raw):
        """u = r / sigma and its negative log-likelihood, in units of the sky noise of the element."""
        log_sigma = functional.softplus(raw) - _FLOOR
        u = residual * (-log_noise - log_sigma).exp()
        return u, self._element_nll(u) + log_sigma

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
            Shape ``(galaxy, n_elements, h, w)``, of x, y and passband gradients, with h and w one less than the image
            at that scale; invalid elements have weight 0.
        """
        level = scale.bit_length() - 1
        if scale != 2**level or level >= self.n_scales(target):
            raise ValueError(f"scale must be a power of 2 below the image and the objective's scales, got {scale}")
        with torch.no_grad():
            *_, (_, *tensors) = pool_scales(target, prediction.flux, prediction.maps, valid, level + 1)
            part = gradient_residuals(*tensors, network.target_noise, scale, elements=self.elements)
            raw = self._raw(level, part, prediction.embedding)
            u, _ = self._dense(part.residual, part.log_noise, raw)
            sigma = (part.log_noise + functional.softplus(raw) - _FLOOR).exp()
            n_galaxies, n_vector, height, width = u.shape
            galaxy = torch.arange(n_galaxies, device=u.device).repeat_interleave(height * width)
            log_flux = part.log_flux.flatten(2).transpose(1, 2).flatten(0, 1)
            context = self._contexts(galaxy, log_flux, prediction.embedding, level)
        weight = torch.ones_like(u)
        if not self.gaussian:
            flat = u.flatten(2).transpose(1, 2).flatten(0, 1)
            weight = torch.cat([self.flow.weights(*pair) for pair in zip(flat.split(chunk), context.split(chunk))])
            weight = weight.unflatten(0, (n_galaxies, height * width)).transpose(1, 2).unflatten(2, (height, width))
        weight = weight / sigma.square()
        return weight if part.valid is None else torch.where(part.valid[:, None], weight, 0)
