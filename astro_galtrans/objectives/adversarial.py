"""The objective of adversarial training: squared error of stretched pixels, and a critic of the images."""

from contextlib import contextmanager

import torch
from torch.nn import functional

from astro_galtrans.backbones import stretch
from astro_galtrans.objectives.contract import Objective, register_objective
from astro_galtrans.objectives.critic import Critic, diversity
from astro_galtrans.objectives.pixel import stretched_error

__all__ = ["AdversarialObjective"]

# The critic learns alone over the last third of the warm-up: what a new one says is noise.
_HEAD_START = 1 / 3
_REGULARIZATION = ("spectral", "r1")


@register_objective("adversarial")
class AdversarialObjective(Objective):
    """Squared error of the stretched pixel flux, and how unlike target images a critic finds the translated ones.

    For the first share of the training it is the pixel objective, from which a generator starts near the answer
    (Ledig et al. 2017, arXiv:1609.04802, start from such a one). Then the critic's judgement counts as well. Both
    follow the hinge loss (Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957): the critic minimises
    the mean of max(0, 1 - score(target)) + max(0, 1 + score(translated)), the generator that of -score(translated).

    Masked pixels of the target are the translated ones in both images that the critic sees.

    Parameters
    ----------
    n_bands, n_features, n_embedding : int
        Of the network.
    warm_up : float, optional
        Share of the training in which the pixel error alone counts.
    weight : float, optional
        What the critic's judgement counts beside the pixel error.
    regularization : {"spectral", "r1"}, optional
        What keeps the critic from becoming arbitrarily steep: spectral normalisation, or the squared gradient of its
        score at target images (Mescheder et al. 2018, arXiv:1801.04406).
    penalty : float, optional
        Half of what that squared gradient counts, with ``regularization="r1"``.
    critic_widths : sequence of int, optional
        Channels of the critic's levels; each further level halves the grid.
    """

    output = "sqrt"
    residual = False
    selects = False  # the loss is against a critic of its own epoch
    collapse_below = 0.25
    """Mean diversity of an epoch below which the generator is said to have collapsed."""
    lost_below = 0.1
    """Mean hinge loss of the critic in an epoch, 2 for one that knows nothing, below which it is said to have won."""

    def __init__(self, n_bands, n_features, n_embedding, warm_up=0.3, weight=0.03, regularization="spectral",
                 penalty=1.0, critic_widths=(16, 32, 64)):
        super().__init__()
        if not 0 <= warm_up <= 1:
            raise ValueError(f"warm_up must be 0 to 1, got {warm_up!r}")
        for name, value in (("weight", weight), ("penalty", penalty)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")
        if regularization not in _REGULARIZATION:
            raise ValueError(f"regularization must be one of {', '.join(_REGULARIZATION)}, got {regularization!r}")
        widths = tuple(critic_widths)
        if not widths or any(isinstance(width, bool) or not isinstance(width, int) or width < 1 for width in widths):
            raise ValueError(f"critic_widths must be ints of at least 1, got {critic_widths!r}")
        self.warm_up, self.weight, self.regularization, self.penalty = warm_up, weight, regularization, penalty
        self.critic = Critic(n_bands, widths, spectral=regularization == "spectral")

    @classmethod
    def refusal(cls, backbone):
        """Why a backbone cannot be trained with this objective, or None; see `Objective`."""
        if backbone.generative:
            return ("it is trained on the clean image that it predicts from a noisy one, which at high noise is a "
                    "blurred mean by construction, and a critic would tell it from a target image at once")
        return None

    def heard(self, progress):
        """Whether the generator hears the critic."""
        return progress >= self.warm_up

    def learns(self, progress):
        """Whether the critic learns, which it does a while before it is heard."""
        return progress >= (1 - _HEAD_START) * self.warm_up

    def forward(self, network, prediction, target, valid, generator, progress=1.0):
        """Loss of the network, and its parts and the diversity of the images; see `Objective`."""
        pixel = stretched_error(network, prediction, target, valid)
        images, real = self._images(network, prediction, target, valid)
        logs = {"pixel": float(pixel.detach())}
        spread = diversity(images, real)
        if spread is not None:
            logs["diversity"] = spread
        if not self.heard(progress):
            return pixel, logs
        with _held(self.critic):
            adversarial = -self.critic(images).mean()
        return pixel + self.weight * adversarial, logs | {"adversarial": float(adversarial.detach())}

    def critic_loss(self, network, prediction, target, valid, generator, progress=1.0):
        """Loss of the critic, and its hinge loss and mean scores to log; arguments as of `forward`."""
        images, real = (x.detach() for x in self._images(network, prediction, target, valid))
        if self.regularization == "r1":
            real.requires_grad_()
        # Together: spectral normalisation takes one step of its power iteration each time weights are used.
        real_score, fake_score = self.critic(torch.cat([real, images])).chunk(2)
        hinge = functional.relu(1 - real_score).mean() + functional.relu(1 + fake_score).mean()
        loss = hinge
        if self.regularization == "r1":
            slope, = torch.autograd.grad(real_score.mean(1).sum(), real, create_graph=True)
            loss = hinge + 0.5 * self.penalty * slope.square().flatten(1).sum(1).mean()
        logs = {"critic_loss": hinge, "critic_real": real_score.mean(), "critic_fake": fake_score.mean()}
        return loss, {name: float(value.detach()) for name, value in logs.items()}

    @staticmethod
    def _images(network, prediction, target, valid):
        """Stretched images, translated and target, alike and without a gradient where the target is masked."""
        noise = network.target_noise
        images, real = stretch(prediction.flux, noise), stretch(target, noise)
        if valid is not None:
            fixed = images.detach()
            images, real = torch.where(valid, images, fixed), torch.where(valid, real, fixed)
        return images, real


@contextmanager
def _held(module):
    """Use a module without changing it: no gradient to its parameters, no step of a power iteration."""
    training, flags = module.training, [parameter.requires_grad for parameter in module.parameters()]
    module.eval().requires_grad_(False)
    try:
        yield
    finally:
        module.train(training)
        for parameter, flag in zip(module.parameters(), flags):
            parameter.requires_grad_(flag)
