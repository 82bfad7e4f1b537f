"""Everything that decides a training run, validated and frozen."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass, field
from typing import Any

from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans.backbones import available_backbones, available_conditioning, backbone_class, check_options
from astro_galtrans.objectives import available_objectives, objective_class

__all__ = ["TrainConfig"]

_PRECISIONS = ("32", "bf16", "16")
# Parts of the network by objective, where TrainConfig leaves them open.
_PARTS = {"output": "log", "residual": True, "photometry": False}
_CONVENTIONAL = {"output": "sqrt", "residual": False}
_PARTS_OF = {"gradient": {"photometry": True}, "gradient-unweighted": {"photometry": True}, "pixel": _CONVENTIONAL,
             "adversarial": _CONVENTIONAL, "denoising": _CONVENTIONAL}
_OF_THE_NETWORK = ("n_bands", "n_features", "n_embedding")  # what every objective is given


@dataclass(frozen=True, repr=False)
class TrainConfig:
    """Configuration of `fit`, stored in the translator's provenance.

    Parameters
    ----------
    backbone : str, optional
        Name of the network: ``"unet"``, ``"swin"``, ``"srgan"``, ``"capsule"`` or ``"diffusion"``.
    objective : str, optional
        ``"pixel"`` (squared error of stretched pixels), ``"adversarial"`` (that and a critic), ``"denoising"`` (the
        noise of a diffusion), ``"gradient"`` (log-flux gradients weighted by a flow), ``"gradient-unweighted"``, or
        ``"conventional"`` for the one of these that the literature trains the backbone with.
    epochs : int, optional
        Passes over the training pairs.
    batch_size : int, optional
        Galaxies a step.
    learning_rate : float, optional
        Peak of the schedule: a linear rise over the first 5 %, then a cosine to zero.
    weight_decay : float, optional
        Of AdamW.
    gradient_clip : float, optional
        Largest norm of the gradient of all weights.
    seed : int, optional
        Of every random draw.
    conditioning : {None, "redshift", "spectrum"}, optional
        What else the translator is given.
    condition_dropout : float, optional
        Share of the galaxies whose redshift or spectrum is hidden in each step, so that the translator also serves
        galaxies without. With 0 it does so only if the training pairs have such galaxies.
    condition_scatter : float, optional
        Share of the redshifts that are scattered in each step by an error of up to 0.1 (1 + z) that the network is
        told, so that it learns what an uncertain redshift is worth. What is hidden or scattered is missing to what is
        learned of exact redshifts: a translator that will be given nothing else learns most with both shares at 0.
    input_dropout : float, optional
        Share of the galaxies that lose bands, or a region of some bands, of the input in each step, so that the
        translator also takes images with missing data (``allow_missing=True``) and states the larger uncertainty. With
        0 it refuses them. Galaxies that are complete then have a smaller part in the training.
    output : {None, "log", "sqrt"}, optional
        Space in which the network predicts: softened log flux or square-root stretch. By default "log" for the gradient
        objectives and your own, "sqrt" for the conventional ones.
    residual : bool, optional
        Whether the network adds to the resampled input. By default as the objective has it: "gradient" does, the
        conventional "pixel" does not.
    photometry : bool, optional
        Whether a head predicts the fluxes of the target in apertures from those of the input, and the image is brought
        to agree with them. By default as the objective has it: "gradient" does, the conventional ones do not.
    augment : bool, optional
        Whether to turn each batch by a random multiple of 90 degrees and flip it.
    precision : {"32", "bf16", "16"}, optional
        Arithmetic of the backbone in training; heads, objective and translation stay in float32.
    size : str, optional
        Named size of the backbone, as "tiny" or "base"; what ``backbone_options`` says comes before it.
    patience : int, optional
        Stop after so many epochs without a better validation loss; needs validation pairs.
    backbone_options, objective_options : dict, optional
        Passed to the backbone and the objective.

    Raises
    ------
    ValueError
        Naming the field, what came and what was expected.

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
    output: str | None = None
    residual: bool | None = None
    photometry: bool | None = None
    augment: bool = True
    precision: str = "32"
    size: str | None = None
    patience: int | None = None
    backbone_options: dict = field(default_factory=dict)
    objective_options: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        return changed_fields(self)

    def __post_init__(self) -> None:
        self._one_of("backbone", available_backbones())
        if self.objective == "conventional":
            object.__setattr__(self, "objective", backbone_class(self.backbone).conventional)
        self._one_of("objective", available_objectives())
        try:
            objective_class(self.objective).check_compatible(backbone_class(self.backbone))
        except ValueError as error:
            raise ValueError(f"objective {self.objective!r} cannot train backbone {self.backbone!r}: {error}") from error
        self._one_of("conditioning", available_conditioning())
        self._one_of("size", (None, *backbone_class(self.backbone).sizes))
        self._one_of("precision", _PRECISIONS)
        self._one_of("output", (None, "log", "sqrt"))
        self._one_of("residual", (None, True, False))
        self._one_of("photometry", (None, True, False))
        for name, low in (("epochs", 1), ("batch_size", 1), ("seed", 0), ("patience", 1)):
            value = getattr(self, name)
            if value is None and name == "patience":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name} must be an int of at least {low}, got {value!r}")
        for name in ("learning_rate", "weight_decay", "gradient_clip"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")
            object.__setattr__(self, name, float(value))
        for name in ("condition_dropout", "condition_scatter", "input_dropout"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {share!r}")
            object.__setattr__(self, name, float(share))
        if self.conditioning is None:
            for name in ("condition_dropout", "condition_scatter"):
                if getattr(self, name) not in (0.0, 0.1):  # nothing, and the default
                    raise ValueError(f"{name} has no effect without conditioning, got {getattr(self, name)!r}")
        elif self.conditioning == "spectrum" and self.condition_scatter not in (0.0, 0.1):
            raise ValueError(f"condition_scatter has no effect with conditioning='spectrum', got "
                             f"{self.condition_scatter!r}")
        for name in ("backbone_options", "objective_options"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(f"{name} must be a dict of plain values, got {getattr(self, name)!r}")
            try:
                # A copy in the form that a file gives back, so that a reloaded configuration is equal to this one.
                object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))
            except TypeError as error:
                raise ValueError(f"{name} must be a dict of plain values, got {getattr(self, name)!r}") from error
        check_options(f"backbone {self.backbone!r}", backbone_class(self.backbone), self.backbone_options)
        renamed = objective_class(self.objective).renamed_options
        for old in renamed.keys() & self.objective_options.keys():
            warnings.warn(f"option {old} of objective {self.objective!r} is deprecated since version 0.2; use "
                          f"{renamed[old]}", AstropyDeprecationWarning, stacklevel=4)
        check_options(f"objective {self.objective!r}", objective_class(self.objective),
                      [renamed.get(option, option) for option in self.objective_options], _OF_THE_NETWORK)

    def _one_of(self, name, allowed):
        if getattr(self, name) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, got {getattr(self, name)!r}")

    @property
    def network_parts(self) -> dict[str, Any]:
        """Output space, residual path and photometry head, with the defaults for the objective filled in, a dict."""
        parts = {**_PARTS, **_PARTS_OF.get(self.objective, {}), **objective_class(self.objective).network_parts}
        own = {name: getattr(self, name) for name in _PARTS}
        return {name: default if own[name] is None else own[name] for name, default in parts.items()}

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
        """Options of the backbone, those of its named size included, a dict."""
        named = {} if self.size is None else backbone_class(self.backbone).sizes[self.size]
        return {**named, **self.backbone_options}

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, a dict."""
        return asdict(self)

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 of all fields."""
        values = self.to_dict()
        if self.output is None:  # as in version 0.1, whose checkpoints have this hash
            del values["output"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
