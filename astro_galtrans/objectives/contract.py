"""Contract between objective, network and trainer, and the registry that turns a stored name into a class."""

import inspect
import warnings
from typing import NamedTuple

import torch
from astropy.utils.exceptions import AstropyDeprecationWarning
from torch import nn

from astro_galtrans._utils.reprs import shapes
from astro_galtrans._utils.torch_state import torch_defaults

__all__ = [
    "Objective", "Target", "available_objectives", "build_objective", "flux_error_nll", "masked_mean",
    "objective_class", "register_objective",
]

_registry = {}
_OF_THE_NETWORK = ("n_bands", "n_features", "n_embedding")


class Target(NamedTuple):
    """Target images of a batch."""

    flux: torch.Tensor
    """Flux in the target unit, finite, shape ``(galaxy, band, Y, X)``."""
    weight: torch.Tensor
    """Inverse variance, 0 where masked, of the same shape."""
    valid: torch.Tensor | None = None
    """Pixels that are not masked, bool of the same shape; None if all are valid."""

    def __repr__(self):
        return shapes(self)


class Objective(nn.Module):
    """Base class: the loss of a prediction against target images.

    The trainer calls an objective as ``objective(prediction, target, space, generator)`` with

    - ``prediction``: the `~astro_galtrans.backbones.Prediction` of the network;
    - ``target``: a `Target`;
    - ``space``: the `~astro_galtrans.backbones.OutputSpace` of the network, all that an objective knows of it: sky
      noise, pixel scales, and the conversion between flux and output values;
    - ``generator``: the `torch.Generator` of every random draw;

    and, if ``uses_progress``, the keyword ``progress``, the completed share of the training from 0 to 1. The objective
    returns the whole loss, a scalar tensor, and a dict of metrics: detached 0-d tensors on the device of the loss,
    which the trainer averages over the galaxies of an epoch. A subclass implements `image_loss` with the same
    arguments.

    The constructor takes those of ``n_bands``, ``n_features`` and ``n_embedding`` (of the network) that it needs, and
    options of plain values. The trainer reads the class attributes below and calls `check_compatible`. An objective
    with ``has_discriminator`` has the module ``discriminator``, a method ``discriminator_loss(prediction, target,
    space)`` that returns its loss and metrics, and the methods ``generator_uses_discriminator(progress)`` and
    ``trains_discriminator(progress)``, which return a bool.
    """

    monitors_validation_loss = True
    """Whether the epoch of the smallest validation loss is the best one; otherwise the last is."""
    uses_progress = False
    """Whether the objective is called with ``progress``."""
    has_discriminator = False
    """Whether a discriminator is trained beside the network."""
    has_gradient_weights = False
    """Whether ``weights`` returns the weight of each gradient element."""
    config_class: type | None = None
    """Dataclass of the options that the constructor takes as ``**settings``; None if it takes none so."""
    renamed_options = {}
    """Name of an option in earlier versions and their files: its present name."""
    network_parts = {}
    """Parts of the network that an objective of version 0.1 chose by class attributes; not for new objectives."""

    def __init__(self):
        super().__init__()

    @classmethod
    def check_compatible(cls, backbone):
        """Raise a ValueError with the reason if a backbone cannot be trained with this objective.

        Parameters
        ----------
        backbone : type
            A subclass of `~astro_galtrans.backbones.Backbone`.
        """

    def image_loss(self, prediction, target, space, generator):
        """Return the loss of the images and a dict of metrics; arguments as in `Objective`."""
        raise NotImplementedError(f"{type(self).__name__} must implement image_loss")

    def weights(self, prediction, target, space, scale=1):
        """Return the weight of each gradient element at one scale, of an objective with ``has_gradient_weights``."""
        raise NotImplementedError(f"{type(self).__name__} does not weight gradients")

    def forward(self, prediction, target, space, generator, **progress):
        """Return the loss of the images and of their uncertainty, and a dict of metrics; see `Objective`."""
        loss, metrics = self.image_loss(prediction, target, space, generator, **progress)
        error_nll = flux_error_nll(prediction, target, space, generator)
        return loss + error_nll, {"loss": loss.detach(), "flux_nll": error_nll.detach(), **metrics}


def register_objective(name):
    """Class decorator that registers an `Objective` for `build_objective` and stored translators."""

    def register(cls):
        if name in _registry:
            raise ValueError(f"an objective named {name!r} is registered already: {_registry[name].__name__}")
        _registry[name] = cls
        _adapt_old(name, cls)
        return cls

    return register


def _adapt_old(name, cls):
    """Let an objective that was written for version 0.1 be called and read as one of this version."""
    old = [key for key in ("selects", "refusal") if hasattr(cls, key)]
    if "network" in inspect.signature(cls.forward).parameters:
        old.append("forward(network, ...)")
        forward = cls.forward

        def image_loss(self, prediction, target, space, generator, progress=1.0):
            return forward(self, space, prediction, target.flux, target.valid, generator, progress)

        cls.image_loss, cls.forward, cls.uses_progress = image_loss, Objective.forward, True
    cls.network_parts = {key: getattr(cls, key) for key in ("output", "residual", "photometry") if hasattr(cls, key)}
    old += cls.network_parts
    if "selects" in old:
        cls.monitors_validation_loss = cls.selects
    if "refusal" in old:
        find_reason = cls.refusal

        def check_compatible(backbone):
            reason = find_reason(backbone)
            if reason is not None:
                raise ValueError(reason)

        cls.check_compatible = staticmethod(check_compatible)
    if old:
        warnings.warn(f"{', '.join(old)} of objective {name!r} is deprecated since version 0.2; Objective has "
                      "image_loss, monitors_validation_loss and check_compatible, TrainConfig has output, residual and "
                      "photometry", AstropyDeprecationWarning, 3)


def available_objectives():
    """Return the sorted names of the registered objectives, a list of str."""
    return sorted(_registry)


def objective_class(name):
    """Return the class registered under ``name``, or raise a ValueError that lists the names."""
    if name not in _registry:
        raise ValueError(f"objective must be one of {', '.join(available_objectives())}, got {name!r}")
    return _registry[name]


@torch_defaults()
def build_objective(name, **options):
    """Build an objective from its registered name.

    Parameters
    ----------
    name : str
        A name from `available_objectives`.
    **options
        ``n_bands``, ``n_features`` and ``n_embedding`` of the network, of which the objective receives those that it
        needs, and the options of the objective, also under names of earlier versions.

    Returns
    -------
    Objective
    """
    cls = objective_class(name)
    known = inspect.signature(cls).parameters
    options = {cls.renamed_options.get(key, key): value for key, value in options.items()}
    return cls(**{key: value for key, value in options.items() if key in known or key not in _OF_THE_NETWORK})


def masked_mean(values, valid):
    """Return the mean over all or ``valid`` elements: bool of the shape of ``values`` or without its bands."""
    if valid is None:
        return values.mean()
    valid = (valid if valid.ndim == values.ndim else valid[:, None]).expand_as(values)
    return torch.where(valid, values, 0).sum() / valid.sum().clamp_min(1)


def flux_error_nll(prediction, target, space, generator):
    """Return the Gaussian negative log-likelihood that trains the network's own flux uncertainty.

    The variance of target minus prediction is that of the translation plus that of the target image, from its weight;
    the prediction is held fixed. A random quarter of the pixels gives an unbiased estimate.

    Parameters
    ----------
    prediction, target, space, generator
        As of `Objective`.

    Returns
    -------
    torch.Tensor
        Scalar, per pixel.
    """
    i, j = torch.randint(2, (2,), generator=generator).tolist()

    def part(images):
        return images[..., i::2, j::2]

    noise = space.target_noise
    weight = part(target.weight) * noise**2
    valid = weight > 0
    delta = (part(target.flux) - part(prediction.flux).detach()) / noise
    log_variance = torch.logaddexp(2 * part(prediction.log_sigma), -weight.clamp_min(1e-12).log())
    nll = 0.5 * (delta.square() * (-log_variance).exp() + log_variance)
    return torch.where(valid, nll, 0).sum() / valid.sum().clamp_min(1)
