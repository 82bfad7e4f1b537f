"""The configuration of a training, validated and frozen."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans._utils.validation import check_fields, choice, flag, fraction, real_number, whole_number
from astro_galtrans.backbones import available_backbones, available_conditioning, backbone_class, check_options
from astro_galtrans.objectives import available_objectives, objective_class

__all__ = ["TrainConfig"]

# Parts of the network by objective, where TrainConfig leaves them open.
_PARTS: dict[str, Any] = {"output": "log", "residual": True, "photometry": False}
_CONVENTIONAL = {"output": "sqrt", "residual": False}
_PARTS_OF: dict[str, dict[str, Any]] = {
    "gradient": {"photometry": True}, "gradient-unweighted": {"photometry": True}, "pixel": _CONVENTIONAL,
    "adversarial": _CONVENTIONAL, "denoising": _CONVENTIONAL,
}
_OF_THE_NETWORK = ("n_bands", "n_features", "n_embedding")  # options that every objective receives


def _plain_options(value, name):
    """Return a copy in the form that a file gives back, so that a configuration read from one is equal."""
    try:
        if isinstance(value, dict):
            return json.loads(json.dumps(value))
    except TypeError:
        pass
    raise ValueError(f"{name} must be a dict of plain values, got {value!r}")


_CHECKS = {
    "epochs": partial(whole_number, least=1), "batch_size": partial(whole_number, least=1), "seed": whole_number,
    "patience": partial(whole_number, least=1), "learning_rate": real_number, "weight_decay": real_number,
    "gradient_clip": real_number, "condition_dropout": fraction, "condition_scatter": fraction,
    "input_dropout": fraction, "output": partial(choice, allowed=(None, "log", "sqrt")), "residual": flag,
    "photometry": flag, "centered": flag, "observing": flag, "observing_dropout": fraction, "augment": flag,
    "precision": partial(choice, allowed=("32", "bf16", "16")), "backbone_options": _plain_options,
    "objective_options": _plain_options,
}


@dataclass(frozen=True, repr=False)
class TrainConfig:
    """Configuration of `fit`, stored in the translator's provenance.

    Parameters
    ----------
    backbone : str, optional
        Name of the network: ``"unet"``, ``"swin"``, ``"srgan"``, ``"capsule"`` or ``"diffusion"``.
    objective : str, optional
        ``"pixel"`` (squared error of stretched pixels), ``"adversarial"`` (that and a discriminator), ``"denoising"``
        (the noise of a diffusion), ``"gradient"`` (log-flux gradients weighted by a flow), ``"gradient-unweighted"``,
        or ``"conventional"`` for the one of these with which the literature trains the backbone.
    epochs : int, optional
        Number of passes over the training pairs.
    batch_size : int, optional
        Galaxies per step.
    learning_rate : float, optional
        Peak of the schedule: a linear rise over the first 5 %, then a cosine to zero.
    weight_decay : float, optional
        Weight decay of AdamW.
    gradient_clip : float, optional
        Largest norm of the gradient; 0 does not clip.
    seed : int, optional
        Seed of every random draw.
    conditioning : {None, "redshift", "spectrum"}, optional
        Property of each galaxy on which the translator is conditioned.
    condition_dropout : float, optional
        Fraction of the galaxies whose redshift or spectrum is hidden in each step, so the translator also serves
        galaxies without. With 0 it does so only if the training pairs have such galaxies.
    condition_scatter : float, optional
        Fraction of the redshifts that are scattered in each step by an error of up to 0.1 (1 + z), which the network
        receives, so it learns the value of an uncertain redshift. Both fractions reduce what is learned from exact
        redshifts; set them to 0 if the translator will receive nothing else.
    input_dropout : float, optional
        Fraction of the galaxies that lose bands, or a region of some bands, of the input in each step, so the
        translator also takes images with missing data (``allow_missing=True``) and states the larger uncertainty. With
        0 it refuses them. Complete galaxies then have a smaller part in the training.
    observing : bool, optional
        Whether the translator takes the observing conditions that are known of the training pairs: per band the FWHM of
        the PSF of the input, the noise of its sky, and the FWHM of the PSF of the target, which is then a choice when
        an image is translated. By default it takes those that vary among the pairs, as under a realistic sky.
    observing_dropout : float, optional
        Fraction of the galaxies for which each of the three kinds is hidden in each step, so the translator also serves
        images of unknown PSF or noise.
    output : {None, "log", "sqrt"}, optional
        Space in which the network predicts: softened log flux or square-root stretch. By default "log" for the gradient
        objectives and your own, "sqrt" for the conventional ones.
    residual : bool, optional
        Whether the network adds to the resampled input. By default True for the gradient objectives and your own, False
        for the conventional ones.
    photometry : bool, optional
        Whether a head predicts the aperture fluxes of the target from those of the input, and the image is adjusted to
        agree with them. By default True for the gradient objectives only.
    centered : bool, optional
        Whether the apertures of that head follow the measured center of each galaxy and leave out its neighbors, or
        are circles around the middle of the image. By default True where there is a head.
    augment : bool, optional
        Whether to rotate each batch by a random multiple of 90 degrees and flip it.
    precision : {"32", "bf16", "16"}, optional
        Arithmetic of the backbone in training; heads, objective and translation stay in float32.
    size : str, optional
        Named size of the backbone, as "tiny" or "base"; ``backbone_options`` override its options.
    patience : int, optional
        Stop after so many epochs without a better validation loss; needs validation pairs.
    backbone_options, objective_options : dict, optional
        Options of the backbone and the objective.

    Raises
    ------
    ValueError
        If a field has a wrong value or type; the message names it.

    Examples
    --------
    >>> from astro_galtrans.training import TrainConfig
    >>> TrainConfig(objective="gradient", epochs=3)
    TrainConfig(epochs=3)
    """

    backbone: str = "unet"
    objective: str = "gradient"
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    gradient_clip: float = 1.0
    seed: int = 0
    conditioning: str | None = None
    condition_dropout: float = 0.1
    condition_scatter: float = 0.1
    input_dropout: float = 0.0
    observing: bool | None = None
    observing_dropout: float = 0.1
    output: str | None = None
    residual: bool | None = None
    photometry: bool | None = None
    centered: bool | None = None
    augment: bool = True
    precision: str = "32"
    size: str | None = None
    patience: int | None = None
    backbone_options: dict = field(default_factory=dict)
    objective_options: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        return changed_fields(self)

    def __post_init__(self) -> None:
        choice(self.backbone, "backbone", available_backbones())
        backbone = backbone_class(self.backbone)
        if self.objective == "conventional":
            object.__setattr__(self, "objective", backbone.conventional)
        choice(self.objective, "objective", available_objectives())
        objective = objective_class(self.objective)
        try:
            objective.check_compatible(backbone)
        except ValueError as error:
            raise ValueError(
                f"objective {self.objective!r} cannot train backbone {self.backbone!r}: {error}") from error
        choice(self.conditioning, "conditioning", available_conditioning())
        choice(self.size, "size", (None, *backbone.sizes))
        check_fields(self, _CHECKS)
        self._check_conditioning()
        if self.centered and not self.uses_photometry:
            raise ValueError(f"centered has no effect without photometry head, got {self.centered!r}")
        check_options(f"backbone {self.backbone!r}", backbone, self.backbone_options)
        for old in objective.renamed_options.keys() & self.objective_options.keys():
            warnings.warn(f"option {old} of objective {self.objective!r} is deprecated since version 0.2; use "
                          f"{objective.renamed_options[old]}", AstropyDeprecationWarning, stacklevel=4)
        options = [objective.renamed_options.get(option, option) for option in self.objective_options]
        check_options(f"objective {self.objective!r}", objective, options, _OF_THE_NETWORK)

    def _check_conditioning(self):
        """Raise if an option of the conditioning is set that has no effect."""
        unused = {None: ("condition_dropout", "condition_scatter"), "spectrum": ("condition_scatter",)}
        for name in unused.get(self.conditioning, ()):
            if getattr(self, name) not in (0.0, getattr(type(self), name)):
                raise ValueError(f"{name} has no effect with conditioning={self.conditioning!r}, "
                                 f"got {getattr(self, name)!r}")
        if self.observing is False and self.observing_dropout not in (0.0, type(self).observing_dropout):
            raise ValueError(f"observing_dropout has no effect with observing=False, got {self.observing_dropout!r}")

    @property
    def network_parts(self) -> dict[str, Any]:
        """Output space, residual path and photometry head, with the defaults for the objective filled in, a dict."""
        parts = {**_PARTS, **_PARTS_OF.get(self.objective, {}), **objective_class(self.objective).network_parts}
        own = {name: getattr(self, name) for name in _PARTS}
        parts = {name: default if own[name] is None else own[name] for name, default in parts.items()}
        return {**parts, "centered": parts["photometry"] and self.centered is not False}

    @property
    def uses_residual(self) -> bool:
        """Whether the network adds to the resampled input, with the default for the objective filled in."""
        return self.network_parts["residual"]

    @property
    def uses_photometry(self) -> bool:
        """Whether the network has a photometry head, with the default for the objective filled in."""
        return self.network_parts["photometry"]

    @property
    def all_backbone_options(self) -> dict[str, Any]:
        """Options of the backbone, including those of its named size, a dict."""
        named = {} if self.size is None else backbone_class(self.backbone).sizes[self.size]
        return {**named, **self.backbone_options}

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, a dict."""
        return asdict(self)

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 of all fields."""
        values = self.to_dict()
        # As in earlier versions, whose checkpoints have this hash.
        for name in ("output", "centered", "observing", "observing_dropout"):
            if values[name] == getattr(type(self), name):
                del values[name]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
