"""The trained translator, for astropy images and for arrays."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import Any, TYPE_CHECKING

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.backbones import NetworkConfig, TranslationNetwork
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans._utils.meta import decoded, writable
from astro_galtrans.objectives import build_objective
from astro_galtrans.storage import load, save
from astro_galtrans.surveys import Survey, matching_size
from astro_galtrans.translation import _arrays, _images
from astro_galtrans.translation._conditions import spectrum_grid
from astro_galtrans.translation._display import translator_html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astropy.nddata import CCDData, NDData
    from astropy.units import Quantity
    from numpy.typing import ArrayLike
    from specutils import Spectrum

    from astro_galtrans.images import BandCube
    from astro_galtrans.objectives import Objective
    from astro_galtrans.spectra import SpectrumGrid

__all__ = ["Translator"]

_BATCH = 16  # galaxies a forward pass for lists of images: more do not go faster on a CPU and take more memory


def _to_numpy(module):
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def _load_weights(module, weights, what):
    try:
        module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    except RuntimeError as error:
        raise ValueError(f"the weights of the {what} do not fit its options: {error}") from error


def _given(redshift, redshift_error, spectrum):
    """What was told of the galaxies, without what was not."""
    given = {"redshift": redshift, "redshift_error": redshift_error, "spectrum": spectrum}
    return {name: value for name, value in given.items() if value is not None}


def _sampled(n_samples, seed, n_steps, galaxies):
    return {"n_samples": n_samples, "seed": seed, "n_steps": n_steps, "galaxies": galaxies}


class Translator:
    """Translates images of galaxies from an input survey to a target survey.

    Made by `astro_galtrans.training.fit`, or read from a file by `Translator.read` or
    `astro_galtrans.storage.load`.

    Parameters
    ----------
    network : TranslationNetwork
        The trained network.
    objective : Objective
        What it was trained with; the flow that weights its gradients is part of it.
    objective_name : str
        Registered name of the objective.
    objective_options : dict
        Options it was built with.
    input_survey, target_survey : Survey
        With the bands that go in and come out.
    name : str, optional
        For people; by default made of surveys, backbone and objective.
    history : `~astropy.table.Table`, optional
        One row a training epoch.
    provenance : dict, optional
        What it was trained on and how, plain Python values.
    """

    def __init__(
        self, network: TranslationNetwork, objective: Objective, *, objective_name: str,
        objective_options: dict[str, Any] | None = None, input_survey: Survey, target_survey: Survey,
        name: str | None = None, history: Table | None = None, provenance: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(network, TranslationNetwork):
            raise TypeError(f"network must be a TranslationNetwork, got {type(network).__name__}")
        for key, survey in (("input_survey", input_survey), ("target_survey", target_survey)):
            if not isinstance(survey, Survey):
                raise TypeError(f"{key} must be a Survey, got {type(survey).__name__}")
        self.network = network.eval().requires_grad_(False)
        self.objective = objective.eval().requires_grad_(False)
        self.objective_name = objective_name
        self.objective_options = dict(objective_options or {})
        self.input_survey, self.target_survey = input_survey, target_survey
        backbone = network.config.backbone
        self.name = name or f"{input_survey.name}-to-{target_survey.name}-{backbone}-{objective_name}".lower()
        self.history = history
        self.provenance = dict(provenance or {})
        self._hash: tuple[Any, Any] = (None, None)

    def __repr__(self) -> str:
        condition = f", given the {self.conditioning}" if self.conditioning else ""
        return (
            f"<Translator {self.name}: {self.input_survey.name} {','.join(self.input_survey.band_names)} -> "
            f"{self.target_survey.name} {','.join(self.target_survey.band_names)}{condition}>"
        )

    _repr_html_ = translator_html

    @property
    def conditioning(self) -> str | None:
        """What the translator needs beside the image: None, "redshift" or "spectrum"."""
        return self.network.conditioning

    @property
    def card(self) -> str | None:
        """Model card, the text in ``provenance["card"]``: training data, accuracy and limits; None without one."""
        card = self.provenance.get("card")
        return card if isinstance(card, str) else None

    @property
    def takes_unknown(self) -> bool:
        """Whether a conditioned translator also serves galaxies whose redshift or spectrum is not known."""
        # Trained without such galaxies, what stands for the unknown has kept its first value, zero.
        return self.conditioning is not None and bool(self.network.condition.unknown.any())

    @property
    def spectrum_grid(self) -> SpectrumGrid | None:
        """Wavelengths of the spectra that it takes, a `~astro_galtrans.spectra.SpectrumGrid` or None."""
        return spectrum_grid(self.network)

    @property
    def device(self) -> torch.device:
        """Device of the weights, a `torch.device`."""
        return self.network.target_noise.device  # type: ignore[return-value]

    def to(self, device: str | torch.device) -> Translator:
        """Move the weights to a device, and return the translator.

        Parameters
        ----------
        device : str or torch.device
            As ``"cuda"``.

        Returns
        -------
        Translator
            ``self``.
        """
        self.network.to(device)
        self.objective.to(device)
        return self

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 of options and weights: equal hashes translate alike on the same device."""
        state = self._state_of_weights()
        if self._hash[0] != state:
            self._hash = state, self._compute_hash()
        return self._hash[1]

    def _state_of_weights(self):
        """What changes when torch changes a weight in place, so that the hash is computed once for each state."""
        tensors = (*self.network.state_dict().values(), *self.objective.state_dict().values())
        return [(tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors]

    def _compute_hash(self):
        digest = hashlib.sha256()
        options = [self.network.options, self.objective_name, self.objective_options,
                   *((s.name, s.band_names) for s in (self.input_survey, self.target_survey))]
        digest.update(json.dumps(options, sort_keys=True).encode())
        for module in (self.network, self.objective):
            for key, value in sorted(_to_numpy(module).items()):
                digest.update(key.encode())
                digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def target_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Rows and columns of the translation of an image of ``size`` (rows, columns), a tuple of int."""
        scales = self.input_survey.pixel_scale, self.target_survey.pixel_scale
        return tuple(matching_size(int(n), *scales) for n in size)

    def translate_array(
        self, flux: ArrayLike | Quantity, *, weight: ArrayLike | None = None, redshift: ArrayLike | None = None,
        redshift_error: ArrayLike | None = None,
        spectrum: Sequence[Spectrum | None] | tuple[ArrayLike, ArrayLike] | None = None, n_samples: int | None = None,
        seed: int | None = None, n_steps: int | None = None, galaxies: ArrayLike | None = None, batch_size: int = 256,
        device: str | torch.device | None = None, return_uncertainty: bool = False, return_samples: bool = False,
        allow_missing: bool = False, progress: bool = False,
    ) -> Any:
        """Translate many galaxies at once.

        Parameters
        ----------
        flux : array_like or `~astropy.units.Quantity`
            Shape ``(galaxy, band, y, x)``, a bare array in the input survey's unit. NaN and infinite pixels and
            areas of zeros (`~astro_galtrans.images.empty_pixels`) count as masked.
        weight : array_like, optional
            Inverse variance of the same shape. Only whether a pixel is masked matters: where it is 0, negative or not
            finite.
        redshift : array_like, optional
            Shape ``(galaxy,)``; needed by, and only by, a translator conditioned on it. NaN where it is not known.
        redshift_error : float or array_like, optional
            Standard deviation of the redshift, of all galaxies or of each; 0 without.
        spectrum : sequence of `~specutils.Spectrum` or tuple of ndarray, optional
            One a galaxy, None for a galaxy without, on any grid of wavelengths; or flux density and inverse variance
            of shape ``(galaxy, pixel)`` on `spectrum_grid`. Needed by, and only by, a translator conditioned on it.
        n_samples : int, optional
            Images that a generative translator draws of each galaxy, 1 by default; their mean is returned.
        seed : int, optional
            Of the samples, 0 by default. Those of a galaxy depend on the seed and its number only.
        n_steps : int, optional
            Steps of the sampler; by default as many as the backbone was built with.
        galaxies : array_like of int, optional
            Number of each galaxy for its samples, by default its row: for who translates galaxies in several calls.
        batch_size : int, optional
            Galaxies a forward pass; at most 16 on a CPU, where more only take memory.
        device : str or torch.device, optional
            Where to compute; by default where the weights are. The weights move there and stay.
        return_uncertainty : bool, optional
            Whether to return the standard deviation too.
        return_samples : bool, optional
            Whether to return each sample of a generative translator in place of their mean.
        allow_missing : bool, optional
            Whether to translate galaxies of which a band, or the middle of one, has no data (see
            `~astro_galtrans.images.missing_bands`), by a translator that was trained with missing bands. The
            uncertainty is then larger, and target bands that depend on the gap are masked. By default they are
            refused.
        progress : bool, optional
            Whether to show a progress bar.

        Returns
        -------
        flux : ndarray
            Shape ``(galaxy, target band, Y, X)``, float32, in the target survey's unit; NaN where the translation
            rests on masked pixels. With ``return_samples`` the shape is ``(sample, galaxy, target band, Y, X)``.
        uncertainty : ndarray
            Standard deviation of the translation against a noise-free target image; with ``return_uncertainty`` only.
            Of several samples it is their spread, and so includes the target's noise, which samples imitate.
        """
        return _arrays.translate(
            self, flux, weight=weight, condition=_given(redshift, redshift_error, spectrum),
            sampling=_sampled(n_samples, seed, n_steps, galaxies), batch_size=batch_size, device=device,
            return_uncertainty=return_uncertainty, return_samples=return_samples, allow_missing=allow_missing,
            progress=progress,
        )

    def __call__(
        self, image: BandCube | NDData | CCDData | Mapping[str, CCDData] | Sequence[Any], *,
        redshift: float | Sequence[float] | None = None, redshift_error: float | Sequence[float] | None = None,
        spectrum: Spectrum | Sequence[Spectrum] | None = None, n_samples: int | None = None, seed: int | None = None,
        n_steps: int | None = None, galaxies: int | Sequence[int] | None = None, allow_missing: bool = False,
    ) -> Any:
        """Translate one image, or a list of them.

        Parameters
        ----------
        image : BandCube, `~astropy.nddata.NDData`, `~astropy.nddata.CCDData`, dict or list
            A galaxy in the input survey's bands, with a WCS: a `~astro_galtrans.images.BandCube`, a stock NDData of
            shape ``(band, y, x)`` with ``meta["bands"]``, a dict of CCDData by band, or one CCDData for a translator of
            one band. A list of any of these is translated in batches.
        redshift : float or sequence of float, optional
            One a galaxy; needed by, and only by, a translator conditioned on it. NaN where it is not known.
        redshift_error : float or sequence of float, optional
            Its standard deviation; 0 without.
        spectrum : `~specutils.Spectrum` or sequence of it, optional
            One a galaxy, on any grid of wavelengths; needed by, and only by, a translator conditioned on it. In a
            sequence, None stands for a galaxy without.
        n_samples : int, optional
            Images that a generative translator draws of each galaxy, 1 by default. The result is their mean and, from
            two samples on, its uncertainty their spread.
        seed : int, optional
            Of the samples, 0 by default.
        n_steps : int, optional
            Steps of the sampler; by default as many as the backbone was built with.
        galaxies : int or sequence of int, optional
            Number of each galaxy for its samples, by default its place in the list.
        allow_missing : bool, optional
            Whether to translate galaxies of which a band, or the middle of one, has no data (see
            `~astro_galtrans.images.missing_bands`), by a translator that was trained with missing bands. The
            uncertainty is then larger, and target bands that depend on the gap are masked. By default they are
            refused.

        Returns
        -------
        BandCube, dict, CCDData or list
            The kind that came in, in the target survey's bands, unit and pixel scale, with a WCS around the same sky
            position, a mask where the translation rests on masked pixels, and its standard deviation as uncertainty.
            ``meta`` is that of the input as far as it holds, with the provenance under ``"galtrans"`` and what was true
            of the input alone under ``["galtrans"]["input"]``. The
            input's PSF does not hold for it and is left out: it is that of the target survey, as the training images
            had it.

        Raises
        ------
        BandMismatchError, SurveyError, ValueError, TypeError
            If bands, survey, unit, WCS or pixel scale do not fit the translator, if no pixel is usable, or if a
            band has no data and this is not allowed.
        """
        sampling = _sampled(n_samples, seed, n_steps, galaxies)
        return self._translated(image, _given(redshift, redshift_error, spectrum), sampling,
                                allow_missing=allow_missing)

    def samples(
        self, image: BandCube | NDData | CCDData | Mapping[str, CCDData] | Sequence[Any], n_samples: int, *,
        seed: int = 0, n_steps: int | None = None, galaxies: int | Sequence[int] | None = None,
        redshift: float | Sequence[float] | None = None, redshift_error: float | Sequence[float] | None = None,
        spectrum: Spectrum | Sequence[Spectrum] | None = None, allow_missing: bool = False,
    ) -> list[Any]:
        """Draw several translations of one image, or of a list of them, from a generative translator.

        Parameters
        ----------
        image, seed, n_steps, galaxies, redshift, redshift_error, spectrum, allow_missing
            As when the translator is called.
        n_samples : int
            Images to draw.

        Returns
        -------
        list
            The samples, each of the kind that came in; for a list of images a list of such lists. The uncertainty of
            each is the spread of all.
        """
        return self._translated(image, _given(redshift, redshift_error, spectrum),
                                _sampled(n_samples, seed, n_steps, galaxies), separate=True,
                                allow_missing=allow_missing)

    def _translated(self, image, condition, sampling, separate=False, allow_missing=False):
        if separate and not self.network.generative:
            raise ValueError(f"translator {self.name!r} has one translation for each image, and no samples to draw")
        many = isinstance(image, (list, tuple))
        if not many:
            condition = {name: value if name == "redshift_error" else [value] for name, value in condition.items()}
        translated = _images.translate(self, list(image) if many else [image], condition, sampling, _BATCH, separate,
                                       allow_missing)
        return translated if many else translated[0]

    def gradient_weights(
        self, input_flux: ArrayLike, target_flux: ArrayLike, *, redshift: ArrayLike | None = None,
        redshift_error: ArrayLike | None = None,
        spectrum: Sequence[Spectrum | None] | tuple[ArrayLike, ArrayLike] | None = None,
        target_weight: ArrayLike | None = None, scale: int = 1,
    ) -> dict[str, np.ndarray]:
        """Weight that the flow gives to each log-flux gradient of a galaxy whose target image is known.

        The weight of an element with residual r is -(d log p / d r) / r; for a Gaussian it is the inverse variance.

        Parameters
        ----------
        input_flux, target_flux : array_like
            Shape ``(galaxy, band, y, x)`` and ``(galaxy, target band, Y, X)``, in the surveys' units.
        redshift, redshift_error, spectrum : optional
            As in `translate_array`.
        target_weight : array_like, optional
            Inverse variance of the target; 0 where masked.
        scale : int, optional
            Side, in target pixels (1, 2, 4, ...), over which flux is averaged first.

        Returns
        -------
        dict of ndarray
            ``"x"``, ``"y"`` of shape ``(galaxy, band, h, w)`` and ``"passband"`` of shape ``(galaxy, band - 1, h, w)``,
            each of mean 1 over its elements of positive weight; 0 where the target is masked.

        Raises
        ------
        ValueError
            If the translator was not trained with the "gradient" objective.
        """
        if not self.objective.has_gradient_weights:
            raise ValueError(
                f"only objective 'gradient' weights its elements, this translator has {self.objective_name!r}")
        return _arrays.gradient_weights(
            self, input_flux, target_flux, _given(redshift, redshift_error, spectrum), target_weight, scale)

    @classmethod
    def read(cls, path: str | PathLike) -> Translator:
        """Read a translator from an ASDF file.

        Parameters
        ----------
        path : str or path-like
            Written by `write` or `astro_galtrans.storage.save`, or the name of a shipped translator, as in
            `astro_galtrans.storage.load`.

        Returns
        -------
        Translator

        Raises
        ------
        FileNotFoundError
            If there is no such file and no shipped translator of this name.
        FileFormatError
            If the file cannot be read, or does not hold exactly one translator.
        """
        found = load(path)
        held = list(found.values()) if isinstance(found, dict) else [found]
        translators = [item for item in held if isinstance(item, cls)]
        if len(translators) != 1:
            kinds = ", ".join(type(item).__name__ for item in held)
            raise FileFormatError(f"{path} must hold one Translator, it holds {kinds}; load() reads all of it")
        return translators[0]

    def write(self, path: str | PathLike, overwrite: bool = False) -> None:
        """Write the translator to an ASDF file, completely or not at all.

        Parameters
        ----------
        path : str or path-like
            The file, usually named ``*.asdf``, in a folder that exists.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        """
        save(path, self, overwrite=overwrite)

    def to_tree(self) -> dict[str, Any]:
        """The translator as plain Python values, arrays, tables and surveys, from which `from_tree` makes it again.

        Returns
        -------
        dict
        """
        return {
            "name": self.name,
            "network": {"options": self.network.options, "weights": _to_numpy(self.network)},
            "objective": {"name": self.objective_name, "options": self.objective_options,
                          "weights": _to_numpy(self.objective)},
            "input_survey": self.input_survey, "target_survey": self.target_survey,
            "history": self.history, "hash": self.hash,
            "provenance": writable(self.provenance, "provenance", arrays=True, refuse=True),
        }

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Translator:
        """Make a translator from what `to_tree` gave; ValueError if weights and options or the hash do not agree.

        Parameters
        ----------
        tree : dict

        Returns
        -------
        Translator
        """
        entry = tree["objective"]
        with torch_defaults(), torch.random.fork_rng(devices=[]):  # new modules draw weights, which are then replaced
            network = TranslationNetwork(NetworkConfig.from_dict(tree["network"]["options"]))
            objective = build_objective(
                entry["name"], n_bands=len(tree["target_survey"]), n_features=network.backbone.n_features,
                n_embedding=network.backbone.n_embedding, **entry["options"],
            )
        _load_weights(network, tree["network"]["weights"], "network")
        _load_weights(objective, entry["weights"], "objective")
        history = tree.get("history")
        translator = cls(
            network, objective, objective_name=entry["name"], objective_options=entry["options"],
            input_survey=tree["input_survey"], target_survey=tree["target_survey"], name=tree["name"],
            history=None if history is None else Table(history), provenance=decoded(tree.get("provenance")),
        )
        if translator.hash != tree["hash"]:
            raise ValueError(
                f"the weights of translator {translator.name!r} are not those that were stored: hashes differ")
        return translator

    def describe(self) -> dict[str, Any]:
        """Name, hash, surveys, seed and versions, for the provenance of an image; a flat dict of str and int."""
        return {
            "translator": self.name, "hash": self.hash, "input_survey": self.input_survey.name,
            "target_survey": self.target_survey.name, "objective": self.objective_name,
            "backbone": self.network.config.backbone, "seed": self.provenance.get("seed"),
            **{f"{package}_version": version(package) for package in ("astro_galtrans", "torch", "astropy")},
        }
