"""The gradient objectives: log-flux gradients at several scales, weighted by a normalizing flow."""

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans.backbones import N_APERTURES, aperture_radii, log_apertures
from astro_galtrans.objectives.contract import Objective, masked_mean, register_objective
from astro_galtrans.objectives.conventional import stretched_error
from astro_galtrans.objectives.flow import ResidualFlow, student_t_nll
from astro_galtrans.objectives.gradient_space import gradient_residuals, n_elements, n_scales_of, pool_scales

__all__ = ["GradientObjective", "UnweightedGradientObjective"]

_MAX_SCALES = 10
# A scale of k pixels has weight k**-0.5. With equal weights the scatter of the few coarse elements from galaxy to
# galaxy would dominate the many fine ones; with weights by number, colors would hardly count.
_SCALE_POWER = 0.5
_SKY_WEIGHT = 0.05  # flux weight of a pixel of sky; one of 10 times its noise has ln 10
# ln 2: the smallest scale of a residual is half the sky noise of its element, so that the likelihood is bounded.
_FLOOR = 0.6931
_APERTURE_START = -3.0  # log of the scale of an aperture's log flux before training, 0.05
_APERTURE_WEIGHT = 1.5
# With this weight images are as sharp as those of pixels alone, and colors no worse than without it.
_PIXEL_WEIGHT = 30.0


def _scale_weight(level):
    return 2.0 ** (-_SCALE_POWER * level)


def _flux_weight(scale):
    """Weight of the vector of each pixel, of mean 1: the softened log flux there, shape ``(galaxy, 1, h, w)``.

    Most pixels are sky, which adds scatter but no information on a galaxy's colors.
    """
    weight = scale.log_flux.clamp(min=0).mean(1, keepdim=True) + _SKY_WEIGHT
    return weight / masked_mean(weight, scale.valid).clamp_min(1e-12)


class _GradientScales(Objective):
    """The pyramid of both gradient objectives, with aperture fluxes and colors."""

    def __init__(self, n_bands, max_scales, elements):
        super().__init__()
        if not 1 <= max_scales <= _MAX_SCALES:
            raise ValueError(f"max_scales must be 1 to {_MAX_SCALES}, got {max_scales}")
        self.n_bands, self.max_scales, self.elements = n_bands, max_scales, elements
        self.n_elements = n_elements(elements, n_bands)

    def n_scales(self, images):
        """Return the number of scales for ``images``."""
        return min(n_scales_of(images.shape[-2:]), self.max_scales)

    def scales(self, prediction, target, space, generator):
        """Yield (level, `GradientResiduals`) from the finest to the coarsest scale; arguments as of `Objective`."""
        pyramid = pool_scales(target.flux, prediction.flux, prediction.maps, target.valid, self.n_scales(target.flux),
                              generator)
        for level, (scale, *tensors) in enumerate(pyramid):
            # A quarter of the finest vectors, another quarter in each step, costs as little as the next scale.
            phase = torch.randint(2, (2,), generator=generator).tolist() if scale == 1 else None
            yield level, gradient_residuals(*tensors, space.target_noise, scale, phase, self.elements)

    @staticmethod
    def _apertures(prediction, target, space):
        """Residuals of log flux and of colors in apertures and their log noise, ``(galaxy, 2 * n_bands - 1, radius)``.

        Gradients do not constrain one constant per image. The apertures do, and add the passband gradients of the
        whole galaxy, which hold most information on its redshift.
        """
        flux, observed = prediction.flux, target.flux
        if target.valid is not None:
            fixed = prediction.flux.detach()
            observed, flux = torch.where(target.valid, observed, fixed), torch.where(target.valid, flux, fixed)
        radii = aperture_radii(space.scale_ratio)
        weights = prediction.aperture_weights
        log_flux = log_apertures(flux, space.target_noise, radii, weights)
        d = log_apertures(observed, space.target_noise, radii, weights) - log_flux
        with torch.no_grad():
            variance = 0.25 / log_flux.cosh().square()
            log_noise = 0.5 * torch.cat([variance, variance[:, 1:] + variance[:, :-1]], 1).log()
        return torch.cat([d, d[:, 1:] - d[:, :-1]], 1), log_noise


@register_objective("gradient-unweighted")
class UnweightedGradientObjective(_GradientScales):
    """Mean squared error of the log-flux gradients, every element alike, for comparison with the weights of the flow.

    Parameters
    ----------
    n_bands : int
        Of the network.
    max_scales : int, optional
        Number of scales 1, 2, 4, ... pixels.
    elements : str, optional
        Elements of the vector of each pixel, see `GradientObjective`.
    """

    def __init__(self, n_bands, max_scales=_MAX_SCALES, elements="gradients"):
        super().__init__(n_bands, max_scales, elements)

    def image_loss(self, prediction, target, space, generator):
        """Return the loss and an empty dict; see `Objective`."""
        loss = self._apertures(prediction, target, space)[0].square().mean()
        for level, scale in self.scales(prediction, target, space, generator):
            loss = loss + masked_mean(scale.residual.square(), scale.valid) * _scale_weight(level)
        return loss, {}


@register_objective("gradient")
class GradientObjective(_GradientScales):
    """Negative log-likelihood of the log-flux gradients under a conditional normalizing flow.

    Each element's residual r has a scale sigma that is predicted from the features; u = r / sigma has a joint density
    over the gradient vector of a pixel, the flow. The loss is the mean over all vectors of -log p(u) + sum(log sigma),
    estimated without bias as the Student's t likelihood of *every* element plus, on a random subset, the difference
    between the flow's and Student's t likelihood (a control variate). The weight of an element is
    -(d log p / d r) / r. See :ref:`method`.

    The log fluxes and colors of the whole galaxy in three apertures have a Student's t likelihood of their own, with
    scales predicted from the galaxy's embedding.

    Parameters
    ----------
    n_bands, n_features, n_embedding : int
        Of the network.
    n_flow : int, optional
        Pixel vectors per step on which the flow is evaluated, over all scales together; 0 for no flow.
    max_scales : int, optional
        Number of scales 1, 2, 4, ... pixels.
    pixel_weight : float, optional
        Weight of the mean squared error of stretched pixels beside the likelihood. Without it, free scales can explain
        the blur of an image as noise, and reduce the weight of the elements that would sharpen it.
    elements : str, optional
        Elements of the vector of each pixel: ``"gradients"`` along x, y and passband; for comparison, ``"spatial"`` or
        ``"passband"`` gradients alone, or the ``"log flux"`` itself.
    gaussian : bool, optional
        Whether elements are weighted by a Gaussian of the predicted scale, in place of Student's t and the flow.
    aperture_weight : float, optional
        Weight of the likelihood of an aperture's log flux or color beside that of a gradient.
    """

    has_gradient_weights = True

    def __init__(self, n_bands, n_features, n_embedding, n_flow=256, max_scales=_MAX_SCALES,
                 pixel_weight=_PIXEL_WEIGHT, elements="gradients", gaussian=False, aperture_weight=_APERTURE_WEIGHT):
        super().__init__(n_bands, max_scales, elements)
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

    def image_loss(self, prediction, target, space, generator):
        """Return the loss, and the gain of the flow in likelihood per element and that of apertures."""
        apertures = self._aperture_nll(prediction, target, space)
        loss, metrics = self._likelihood(prediction, target, space, generator)
        if self.pixel_weight:
            loss = loss + self.pixel_weight * stretched_error(prediction, target, space)
        return loss + self.aperture_weight * apertures, {**metrics, "aperture_nll": apertures.detach()}

    def _likelihood(self, prediction, target, space, generator):
        n_scales, loss, parts = self.n_scales(target.flux), 0.0, []
        for level, scale in self.scales(prediction, target, space, generator):
            u, log_sigma = self._scaled(level, scale, prediction.embedding)
            weight = _flux_weight(scale) * _scale_weight(level)
            loss = loss + masked_mean((self._element_nll(u) + log_sigma) * weight, scale.valid)
            parts.append(self._draw(u, weight, scale, prediction.embedding, level, self.n_flow // n_scales, generator))
        gain = self._flow_gain(*(torch.cat(part) for part in zip(*parts)))
        return loss - n_scales * gain, {"flow_gain": gain.detach()}

    def _aperture_nll(self, prediction, target, space):
        """Mean negative log-likelihood of log fluxes and colors in apertures, a scalar tensor."""
        residual, log_noise = self._apertures(prediction, target, space)
        raw = self.aperture_head(prediction.embedding).unflatten(1, residual.shape[1:])
        # As in `_scaled` no scale is below half the noise; here they start from what a network learns in a few steps.
        log_sigma = torch.logaddexp(raw + _APERTURE_START, log_noise - _FLOOR)
        return (self._element_nll(residual * (-log_sigma).exp()) + log_sigma).mean()

    def _element_nll(self, u):
        return 0.5 * u.square() if self.gaussian else student_t_nll(u)

    def log_excess(self, level, scale, embedding):
        """Return the log of the predicted scale of residuals over half the sky noise of the element, at least 0.

        ``scale`` are the `GradientResiduals` of ``level``, at 2**level pixels a side, and ``embedding`` is that of the
        prediction.
        """
        raw = self.scale_heads[level](torch.cat([scale.maps, scale.log_flux], 1))
        return functional.softplus(raw + self.scale_shifts[level](embedding)[:, :, None, None])

    def _scaled(self, level, scale, embedding):
        """u = r / sigma, and log sigma in units of the sky noise of the element."""
        log_sigma = self.log_excess(level, scale, embedding) - _FLOOR
        return scale.residual * (-scale.log_noise - log_sigma).exp(), log_sigma

    def _contexts(self, galaxy, log_flux, embedding, level):
        code = log_flux.new_tensor([level / 4 - 1, (level / 4 - 1) ** 2]).expand(len(log_flux), 2)
        return torch.cat([log_flux / 4, self.context(embedding)[galaxy], code], 1)

    def _draw(self, u, weight, scale, embedding, level, n_draw, generator):
        """A random subset of valid vectors with their contexts and weights."""
        n_galaxies, _, height, width = u.shape
        index = torch.randint(n_galaxies * height * width, (n_draw,), generator=generator).to(u.device)
        galaxy, place = index // (height * width), index % (height * width)
        if scale.valid is not None:
            kept = scale.valid.flatten(1)[galaxy, place]
            galaxy, place = galaxy[kept], place[kept]
        log_flux = scale.log_flux.flatten(2)[galaxy, :, place]
        weight = weight.flatten(1)[galaxy, place]
        return u.flatten(2)[galaxy, :, place], self._contexts(galaxy, log_flux, embedding, level), weight

    def _flow_gain(self, u, context, weight):
        """Mean over drawn vectors of the log-likelihood of the flow less that of Student's t, per element."""
        if not len(u):
            return u.sum()
        gain = self.flow.log_prob(u, context) + student_t_nll(u).sum(-1)
        return (gain * weight).mean() / u.shape[1]

    def weights(self, prediction, target, space, scale=1, chunk=16384):
        """Return the weight of each gradient element, -(d log p / d r) / r, at one scale.

        Parameters
        ----------
        prediction, target, space
            As of `Objective`.
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
        if scale != 2**level or level >= self.n_scales(target.flux):
            raise ValueError(f"scale must be a power of 2 below the image and the objective's scales, got {scale}")
        with torch.no_grad():
            *_, (_, *tensors) = pool_scales(target.flux, prediction.flux, prediction.maps, target.valid, level + 1)
            part = gradient_residuals(*tensors, space.target_noise, scale, elements=self.elements)
            u, log_sigma = self._scaled(level, part, prediction.embedding)
            n_galaxies, n_vector, height, width = u.shape
            galaxy = torch.arange(n_galaxies, device=u.device).repeat_interleave(height * width)
            log_flux = part.log_flux.flatten(2).transpose(1, 2).flatten(0, 1)
            context = self._contexts(galaxy, log_flux, prediction.embedding, level)
        weight = torch.ones_like(u)
        if not self.gaussian:
            flat = u.flatten(2).transpose(1, 2).flatten(0, 1)
            weight = torch.cat([self.flow.weights(*pair) for pair in zip(flat.split(chunk), context.split(chunk))])
            weight = weight.unflatten(0, (n_galaxies, height * width)).transpose(1, 2).unflatten(2, (height, width))
        weight = weight / (part.log_noise + log_sigma).exp().square()
        return weight if part.valid is None else torch.where(part.valid[:, None], weight, 0)
