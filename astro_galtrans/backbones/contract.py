"""What every backbone gives, and the registry that turns a stored name into a class."""

import inspect
from typing import NamedTuple

import torch
from torch import nn

from astro_galtrans._utils.reprs import shapes

__all__ = [
    "Backbone", "Features", "Noisy", "available_backbones", "backbone_class", "build_backbone", "check_options",
    "register_backbone",
]

_registry = {}
_OF_THE_NETWORK = ("n_planes", "n_hints", "n_condition", "step")


class Features(NamedTuple):
    """What a backbone makes of a batch of galaxies."""

    maps: torch.Tensor
    """Feature maps on the target grid, shape ``(galaxy, n_features, Y, X)``."""
    embedding: torch.Tensor
    """One vector a galaxy, shape ``(galaxy, n_embedding)``."""

    def __repr__(self):
        return shapes(self)


class Noisy(NamedTuple):
    """Target images with the noise of a diffusion, which a generative backbone is given beside the input."""

    image: torch.Tensor
    """Noisy images of about unit variance, shape ``(galaxy, n_hints, Y, X)``."""
    time: torch.Tensor
    """Step of the diffusion, larger for more noise, shape ``(galaxy,)``, int64."""

    def __repr__(self):
        return shapes(self)


class Backbone(nn.Module):
    """Base class: images on the input grid to feature maps on the target grid.

    A subclass has the constructor ``(n_planes, n_hints, n_condition=0, *, step, **options)`` with options of plain
    values, sets ``n_features`` and ``n_embedding`` and implements ``forward(planes, hints, size, condition=None)``:

    - ``planes``: softened log flux of the input bands, shape ``(galaxy, n_planes, y, x)``;
    - ``hints``: what is known on the target grid beforehand, shape ``(galaxy, n_hints, Y, X)``: the resampled input;
    - ``size``: rows and columns of the target grid, whose pixels are ``step`` input pixels wide;
    - ``condition``: embedded redshift or spectrum, shape ``(galaxy, n_condition)``, or None.

    It returns `Features`. A generative backbone is called with a further argument ``noisy``, a `Noisy`, and has a
    ``schedule``, a `~astro_galtrans.backbones.DiffusionSchedule`.
    """

    n_features: int
    n_embedding: int
    generative = False
    """Whether the backbone takes noisy target images and is sampled from."""
    conventional = "pixel"
    """Name of the objective that the literature trains it with."""
    sizes = {}
    """Options of each named size, with "tiny" for a CPU and "base" for a GPU among them."""


def register_backbone(name):
    """Class decorator that makes a `Backbone` known by name to `build_backbone` and to stored translators.

    Parameters
    ----------
    name : str
        The name, which files store.
    """

    def register(cls):
        if name in _registry:
            raise ValueError(f"a backbone named {name!r} is registered already: {_registry[name].__name__}")
        _registry[name] = cls
        return cls

    return register


def available_backbones():
    """Names of the registered backbones, sorted, a list of str."""
    return sorted(_registry)


def backbone_class(name):
    """The class registered under ``name``, or a ValueError that lists the names."""
    if name not in _registry:
        raise ValueError(f"backbone must be one of {', '.join(available_backbones())}, got {name!r}")
    return _registry[name]


def check_options(what, cls, options, given=_OF_THE_NETWORK):
    """ValueError where a class has no options of some names; it names those that there are.

    Parameters
    ----------
    what : str
        What the class is, for the message, as ``"backbone 'unet'"``.
    cls : type
    options : iterable of str
    given : sequence of str, optional
        Parameters of the constructor that are no options: those of every backbone.
    """
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters if parameter.name not in given]
    unknown = [repr(option) for option in options if option not in known]
    if unknown:
        told = f"its options are {', '.join(known)}" if known else "it has none"
        raise ValueError(f"{what} has no option {', '.join(unknown)}; {told}")


def build_backbone(name, **options):
    """Build a backbone from its registered name.

    Parameters
    ----------
    name : str
        A name from `available_backbones`.
    **options
        ``n_planes``, ``n_hints``, ``n_condition``, ``step`` and what the backbone itself takes.

    Returns
    -------
    Backbone

    Raises
    ------
    ValueError
        If the backbone has no such option, or the value of one does not fit.
    """
    cls = backbone_class(name)
    own = {option: value for option, value in options.items() if option not in _OF_THE_NETWORK}
    check_options(f"backbone {name!r}", cls, own)
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:  # in the words of the constructor, which need not say whose they are
        told = ", ".join(f"{option}={value!r}" for option, value in own.items())
        raise ValueError(f"backbone {name!r} cannot be built with {told or 'its defaults'}: {error}") from error
