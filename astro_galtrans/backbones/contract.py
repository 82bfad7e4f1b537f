"""Contract of a backbone, and the registry that turns a stored name into a class."""

import inspect
import warnings
from dataclasses import fields
from typing import NamedTuple

import torch
from astropy.utils.decorators import deprecated_renamed_argument
from astropy.utils.exceptions import AstropyDeprecationWarning
from torch import nn

from astro_galtrans._utils.reprs import shapes

__all__ = [
    "Backbone", "Features", "Noisy", "available_backbones", "backbone_class", "build_backbone", "check_options",
    "register_backbone", "renamed_parameters",
]

_registry = {}
_OF_THE_NETWORK = ("n_planes", "n_resampled", "n_condition", "scale_ratio")
_OLD_NAMES = {"n_hints": "n_resampled", "step": "scale_ratio"}
renamed_parameters = deprecated_renamed_argument(list(_OLD_NAMES), list(_OLD_NAMES.values()), ["0.2"] * 2)


class Features(NamedTuple):
    """Output of a backbone for a batch of galaxies."""

    maps: torch.Tensor
    """Feature maps on the target grid, shape ``(galaxy, n_features, Y, X)``."""
    embedding: torch.Tensor
    """One vector per galaxy, shape ``(galaxy, n_embedding)``."""

    def __repr__(self):
        return shapes(self)


class Noisy(NamedTuple):
    """Target images with the noise of a diffusion, a further input of a generative backbone."""

    image: torch.Tensor
    """Noisy images of about unit variance, shape ``(galaxy, n_resampled, Y, X)``."""
    time: torch.Tensor
    """Step of the diffusion, larger for more noise, shape ``(galaxy,)``, int64."""

    def __repr__(self):
        return shapes(self)


class Backbone(nn.Module):
    """Base class: images on the input grid to feature maps on the target grid.

    A subclass has the constructor ``(n_planes, n_resampled, n_condition=0, *, scale_ratio, **options)`` with options of
    plain values, sets ``n_features`` and ``n_embedding`` and implements
    ``forward(planes, resampled_input, size, condition=None)``:

    - ``planes``: softened log flux of the input bands, shape ``(galaxy, n_planes, y, x)``; a network that is trained
      with missing data appends one plane per band, 1 where a pixel has data;
    - ``resampled_input``: the input on the target grid, in the output space of the network, shape
      ``(galaxy, n_resampled, Y, X)``, of the band nearest in wavelength to each target band;
    - ``size``: rows and columns of the target grid, whose pixels are ``scale_ratio`` input pixels wide;
    - ``condition``: embedded redshift or spectrum, shape ``(galaxy, n_condition)``, or None.

    It returns `Features`. A generative backbone is called with a further argument ``noisy``, a `Noisy`, and has a
    ``schedule``, a `~astro_galtrans.backbones.DiffusionSchedule`, and ``sampling_steps``.
    """

    n_features: int
    n_embedding: int
    generative = False
    """Whether the backbone takes noisy target images and is sampled from."""
    conventional = "pixel"
    """Name of the objective that the literature trains it with."""
    sizes = {}
    """Options of each named size, with "tiny" for a CPU and "base" for a GPU among them."""
    config_class: type | None = None
    """Dataclass of the options that the constructor takes as ``**settings``; None if it takes none so."""


def register_backbone(name):
    """Class decorator that registers a `Backbone` for `build_backbone` and stored translators.

    Parameters
    ----------
    name : str
        The name, which files store.
    """

    def register(cls):
        if name in _registry:
            raise ValueError(f"a backbone named {name!r} is registered already: {_registry[name].__name__}")
        old = [old for old in _OLD_NAMES if old in inspect.signature(cls).parameters]
        if old:
            warnings.warn(f"parameter {', '.join(old)} of the constructor of backbone {name!r} is deprecated since "
                          f"version 0.2; use {', '.join(_OLD_NAMES[key] for key in old)}",
                          AstropyDeprecationWarning, stacklevel=2)
        _registry[name] = cls
        return cls

    return register


def available_backbones():
    """Return the sorted names of the registered backbones, a list of str."""
    return sorted(_registry)


def backbone_class(name):
    """Return the class registered under ``name``, or raise a ValueError that lists the names."""
    if name not in _registry:
        raise ValueError(f"backbone must be one of {', '.join(available_backbones())}, got {name!r}")
    return _registry[name]


def check_options(owner, cls, options, not_options=_OF_THE_NETWORK):
    """Raise a ValueError that names the options of a class where it does not have all of ``options``.

    Parameters
    ----------
    owner : str
        Kind and name of the class, for the message, as ``"backbone 'unet'"``.
    cls : type
    options : iterable of str
    not_options : sequence of str, optional
        Parameters of the constructor that are no options: those of every backbone.
    """
    parameters = inspect.signature(cls).parameters.values()
    known = [parameter.name for parameter in parameters
             if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in (*not_options, *_OLD_NAMES)]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        if cls.config_class is None:
            return
        known += [field.name for field in fields(cls.config_class)]
    unknown = [repr(option) for option in options if option not in known]
    if unknown:
        described = f"its options are {', '.join(known)}" if known else "it has none"
        raise ValueError(f"{owner} has no option {', '.join(unknown)}; {described}")


@deprecated_renamed_argument(list(_OLD_NAMES), list(_OLD_NAMES.values()), ["0.2"] * 2, arg_in_kwargs=[True] * 2)
def build_backbone(name, **options):
    """Build a backbone from its registered name.

    Parameters
    ----------
    name : str
        A name from `available_backbones`.
    **options
        ``n_planes``, ``n_resampled``, ``n_condition``, ``scale_ratio`` and the options of the backbone.

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
    for old, new in _OLD_NAMES.items():
        if new in options and old in inspect.signature(cls).parameters:
            options[old] = options.pop(new)
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:  # in the words of the constructor, which need not name the backbone
        described = ", ".join(f"{option}={value!r}" for option, value in own.items())
        raise ValueError(f"backbone {name!r} cannot be built with {described or 'its defaults'}: {error}") from error
