"""The adversarial objective: squared error of stretched pixels, and a discriminator of the images."""

from contextlib import contextmanager

import torch
from astropy.utils.decorators import deprecated_renamed_argument
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from astro_galtrans.backbones import stretch
from astro_galtrans.objectives.contract import Objective, register_objective
from astro_galtrans.objectives.conventional import stretched_error

__all__ = ["AdversarialObjective", "Discriminator", "diversity"]

# The discriminator trains alone over the last third of the warm-up: the scores of a new one are noise.
_HEAD_START = 1 / 3
_REGULARIZATION = ("spectral", "r1")
_SLOPE = 0.2
_CELL = 8  # pixels on a side over which images are averaged before they are compared with one another
_FEWEST = 4  # galaxies for a meaningful spread


class Discriminator(nn.Module):
    """Convolutions that halve the grid, and a score for each patch of their output, high for target images.

    A score per patch instead of one per image (Isola et al. 2017, arXiv:1611.07004) rates texture at any image size.
    The input is asinh of the stretched flux, in which the cores of a few bright galaxies do not dominate. There is no
    normalization over the batch; with ``spectral`` each convolution is divided by its largest singular value (Miyato
    et al. 2018, arXiv:1802.05957), which bounds the gradient of the scores.

    Parameters
    ----------
    n_bands : int
        Bands of the images.
    widths : sequence of int, optional
        Channels of each level, the finest first; each further level halves the grid.
    spectral : bool, optional
        Whether to divide each convolution by its largest singular value.
    """

    def __init__(self, n_bands, widths=(16, 32, 64), spectral=True):
        super().__init__()
        layers = [nn.Conv2d(n_bands, widths[0], 3, padding=1)]
        layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1) for n_in, n_out in zip(widths, widths[1:])]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.Conv2d(widths[-1], 1, 1)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(spectral_norm(layer) if spectral else layer for layer in layers)

    def forward(self, images):
        """Return float32 scores of shape ``(galaxy, patch)`` of stretched images of shape ``(galaxy, band, Y, X)``."""
        with torch.autocast(images.device.type, enabled=False):
            x = torch.asinh(images.float())
            for layer in self.layers[:-1]:
                if min(x.shape[-2:]) < 2:
                    x = functional.pad(x, (0, int(x.shape[-1] < 2), 0, int(x.shape[-2] < 2)), mode="replicate")
                x = functional.leaky_relu(layer(x), _SLOPE)
            return self.layers[-1](x).flatten(1)


@torch.no_grad()
def diversity(images, target):
    """Return the spread of images from galaxy to galaxy relative to that of target images.

    The spread is the standard deviation over galaxies of the mean of each square of 8 pixels, which removes most of
    the noise, root-mean-squared over squares and bands. A generator with collapsed modes, which makes about the same
    image of every galaxy, has a diversity near 0.

    Parameters
    ----------
    images, target : torch.Tensor
        Stretched images, shape ``(galaxy, band, Y, X)``.

    Returns
    -------
    torch.Tensor or None
        Scalar; None for fewer than 4 galaxies.
    """
    if len(images) < _FEWEST:
        return None
    cell = tuple(min(_CELL, n) for n in target.shape[-2:])
    spreads = [
        functional.avg_pool2d(x.float(), cell, ceil_mode=True, count_include_pad=False).std(0).square().mean().sqrt()
        for x in (images, target)
    ]
    return spreads[0] / spreads[1].clamp_min(1e-6)


@register_objective("adversarial")
class AdversarialObjective(Objective):
    """Squared error of the stretched pixel flux, and a discriminator of translated and target images.

    For the first share of the training it is the pixel objective, which brings the generator near the answer (Ledig et
    al. 2017, arXiv:1609.04802, also start from such a one). Then the discriminator contributes. Both follow the hinge
    loss (Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957): the discriminator minimizes the mean
    of max(0, 1 - score(target)) + max(0, 1 + score(translated)), the generator that of -score(translated).

    Masked pixels of the target are the translated ones in both images that the discriminator receives.

    Parameters
    ----------
    n_bands : int
        Of the network.
    warm_up : float, optional
        Share of the training in which the pixel error alone counts.
    weight : float, optional
        Weight of the discriminator's term beside the pixel error.
    regularization : {"spectral", "r1"}, optional
        Bound on the gradient of the discriminator: spectral normalization, or the squared gradient of its score at
        target images (Mescheder et al. 2018, arXiv:1801.04406).
    penalty : float, optional
        Twice the weight of that squared gradient, with ``regularization="r1"``.
    discriminator_widths : sequence of int, optional
        Channels of the discriminator's levels; each further level halves the grid.
    """

    monitors_validation_loss = False  # the loss depends on the discriminator of its epoch
    uses_progress = True
    has_discriminator = True
    renamed_options = {"critic_widths": "discriminator_widths"}
    collapse_below = 0.25
    """Mean diversity of an epoch below which the generator is said to have collapsed."""
    lost_below = 0.1
    """Mean hinge loss of the discriminator in an epoch, 2 for an untrained one, below which it is said to have won."""

    @deprecated_renamed_argument("critic_widths", "discriminator_widths", "0.2")
    def __init__(self, n_bands, warm_up=0.3, weight=0.03, regularization="spectral", penalty=1.0,
                 discriminator_widths=(16, 32, 64)):
        super().__init__()
        if not 0 <= warm_up <= 1:
            raise ValueError(f"warm_up must be 0 to 1, got {warm_up!r}")
        for name, value in (("weight", weight), ("penalty", penalty)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")
        if regularization not in _REGULARIZATION:
            raise ValueError(f"regularization must be one of {', '.join(_REGULARIZATION)}, got {regularization!r}")
        widths = tuple(discriminator_widths)
        if not widths or any(isinstance(width, bool) or not isinstance(width, int) or width < 1 for width in widths):
            raise ValueError(f"discriminator_widths must be ints of at least 1, got {discriminator_widths!r}")
        self.warm_up, self.weight, self.regularization, self.penalty = warm_up, weight, regularization, penalty
        # Files have the weights under this name.
        self.critic = Discriminator(n_bands, widths, spectral=regularization == "spectral")

    @property
    def discriminator(self):
        """The `Discriminator`."""
        return self.critic

    @classmethod
    def check_compatible(cls, backbone):
        """Raise a ValueError for a generative backbone; see `Objective`."""
        if backbone.generative:
            raise ValueError(
                "it is trained on the clean image that it predicts from a noisy one, which at high noise is a blurred "
                "mean by construction, and a discriminator would distinguish it from a target image at once")

    def generator_uses_discriminator(self, progress):
        """Return whether the loss of the generator has the discriminator's term."""
        return progress >= self.warm_up

    def trains_discriminator(self, progress):
        """Return whether the discriminator trains, which starts before the generator uses it."""
        return progress >= (1 - _HEAD_START) * self.warm_up

    def image_loss(self, prediction, target, space, generator, progress=1.0):
        """Return the loss of the network, and its parts and the diversity of the images; see `Objective`."""
        pixel = stretched_error(prediction, target, space)
        images, real = self._images(prediction, target, space)
        metrics = {"pixel": pixel.detach()}
        spread = diversity(images, real)
        if spread is not None:
            metrics["diversity"] = spread
        if not self.generator_uses_discriminator(progress):
            return pixel, metrics
        with _frozen(self.discriminator):
            adversarial = -self.discriminator(images).mean()
        return pixel + self.weight * adversarial, metrics | {"adversarial": adversarial.detach()}

    def discriminator_loss(self, prediction, target, space):
        """Return the loss of the discriminator, and its hinge loss and mean scores; arguments as of `Objective`."""
        images, real = (x.detach() for x in self._images(prediction, target, space))
        if self.regularization == "r1":
            real.requires_grad_()
        # Together: spectral normalization takes one step of its power iteration each time weights are used.
        real_score, fake_score = self.discriminator(torch.cat([real, images])).chunk(2)
        hinge = functional.relu(1 - real_score).mean() + functional.relu(1 + fake_score).mean()
        loss = hinge
        if self.regularization == "r1":
            slope, = torch.autograd.grad(real_score.mean(1).sum(), real, create_graph=True)
            loss = hinge + 0.5 * self.penalty * slope.square().flatten(1).sum(1).mean()
        metrics = {"critic_loss": hinge, "critic_real": real_score.mean(), "critic_fake": fake_score.mean()}
        return loss, {name: value.detach() for name, value in metrics.items()}

    @staticmethod
    def _images(prediction, target, space):
        """Stretched images, translated and target, equal and without a gradient where the target is masked."""
        images, real = stretch(prediction.flux, space.target_noise), stretch(target.flux, space.target_noise)
        if target.valid is not None:
            fixed = images.detach()
            images, real = torch.where(target.valid, images, fixed), torch.where(target.valid, real, fixed)
        return images, real


@contextmanager
def _frozen(module):
    """Use a module without changing it: no gradient to its parameters, no step of a power iteration."""
    training, flags = module.training, [parameter.requires_grad for parameter in module.parameters()]
    module.eval().requires_grad_(False)
    try:
        yield
    finally:
        module.train(training)
        for parameter, flag in zip(module.parameters(), flags):
            parameter.requires_grad_(flag)
