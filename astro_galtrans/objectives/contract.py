"""What every objective gives, and the registry that turns a stored name into a class."""

import torch
from torch import nn

from astro_galtrans._utils.torch_state import torch_defaults

__all__ = ["Objective", "available_objectives", "build_objective", "flux_error_nll", "register_objective"]

_registry = {}


class Objective(nn.Module):
    """Base class: a prediction against target images to a loss.

    A subclass sets ``output``, ``residual`` and ``photometry``, the network it is usually trained with, and implements
    ``forward(network, prediction, target, valid, generator, progress)``:

    - ``target``: target flux, finite, shape ``(galaxy, band, Y, X)``;
    - ``valid``: bool of the same shape, or None if all are;
    - ``generator``: the `torch.Generator` of every random draw;
    - ``progress``: share of the training that is done, 0 to 1;

    and returns the loss, a scalar tensor, and a dict of floats to log. An objective with a critic has it as ``critic``,
    and its loss is that of ``critic_loss``, called alike.
    """

    output = "log"
    residual = True
    photometry = False
    selects = True
    """Whether the epoch of the smallest validation loss is the best one; otherwise the last is."""

    @classmethod
    def refusal(cls, backbone):
        """Why a backbone cannot be trained with this objective, a sentence, or None if it can.

        Parameters
        ----------
        backbone : type
            A subclass of `~astro_galtrans.backbones.Backbone`.

        Returns
        -------
        str or None
        """
        return None


def register_objective(name):
    """Class decorator that makes an `Objective` known by name to `build_objective` and to stored translators."""

    def register(cls):
        if name in _registry:
            raise ValueError(f"an objective named {name!r} is registered already: {_registry[name].__name__}")
        _registry[name] = cls
        return cls

    return register


def available_objectives():
    """Names of the registered objectives, sorted, a list of str."""
    return sorted(_registry)


def objective_class(name):
    """The class registered under ``name``, or a ValueError that lists the names."""
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
        ``n_bands``, ``n_features`` and ``n_embedding`` of the network, and what the objective itself takes.

    Returns
    -------
    Objective
    """
    return objective_class(name)(**options)


def masked_mean(values, valid):
    """Mean over all elements, or over the ``valid`` ones: bool of the shape of ``values`` or without its bands."""
    if valid is None:
        return values.mean()
    valid = (valid if valid.ndim == values.ndim else valid[:, None]).expand_as(values)
    return torch.where(valid, values, 0).sum() / valid.sum().clamp_min(1)


def flux_error_nll(network, prediction, target, weight, generator):
    """Gaussian negative log-likelihood that teaches the network the size of its own flux errors.

    The variance of target minus prediction is that of the translation plus that of the target image, which its
    weight gives; the prediction is held fixed. A random quarter of the pixels serves, as an unbiased estimate.

    Parameters
    ----------
    network : TranslationNetwork
    prediction : Prediction
    target, weight : torch.Tensor
        Target flux and inverse variance (0 where masked), shape ``(galaxy, band, Y, X)``.
    generator : torch.Generator

    Returns
    -------
    torch.Tensor
        Scalar, per pixel.
    """
    i, j = torch.randint(2, (2,), generator=generator).tolist()

    def part(images):
        return images[..., i::2, j::2]

    noise = network.target_noise
    weight = part(weight) * noise**2
    valid = weight > 0
    delta = (part(target) - part(prediction.flux).detach()) / noise
    log_variance = torch.logaddexp(2 * part(prediction.log_sigma), -weight.clamp_min(1e-12).log())
    nll = 0.5 * (delta.square() * (-log_variance).exp() + log_variance)
    return torch.where(valid, nll, 0).sum() / valid.sum().clamp_min(1)
