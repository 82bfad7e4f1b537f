"""The trained translator, for astropy images and for arrays."""

from __future__ import annotations

import hashlib
import json
import warnings
from copy import copy
from dataclasses import replace
from importlib.metadata import version
from typing import Any, TYPE_CHECKING, TypeVar

import numpy as np
import torch
from astropy.table import Table
from astropy.utils.exceptions import AstropyDeprecationWarning
from tqdm.auto import tqdm

from astro_galtrans._utils import html
from astro_galtrans._utils.meta import decoded, writable
from astro_galtrans._utils.psf import checked_psf, psf_fwhm as psf_fwhm_of
from astro_galtrans._utils.validation import configured
from astro_galtrans._utils.torch_state import check_weights, checked_device, on_device, torch_defaults
from astro_galtrans.backbones import NetworkConfig, Observing, TranslationNetwork
from astro_galtrans.exceptions import FileFormatError, GaltransWarning
from astro_galtrans.images import check_coverage, flux_and_weight, like_input, missing_bands
from astro_galtrans.objectives import Target, build_objective
from astro_galtrans.spectra import SpectrumGrid
from astro_galtrans.storage import load, save
from astro_galtrans.surveys import Survey, matching_size
from astro_galtrans.translation._arrays import (
    CPU_BATCH, TranslatedArrays, checked_flux, first_prediction, forward, to_tensors, usable_pixels,
)
from astro_galtrans.translation._assessment import Assessment, Assessor
from astro_galtrans.translation._consistency import consistency
from astro_galtrans.translation._errors import ErrorModel, measure_errors
from astro_galtrans.translation._images import batches_by_shape, checked_cube, translated_cube
from astro_galtrans.translation._inputs import (
    Conditions, Sampling, condition_rows, described, redshift_arrays, spectrum_arrays,
)
from astro_galtrans.translation._measures import measure
from astro_galtrans.translation._observing import (
    TargetPSF, check_range, cube_conditions, fwhm_array, images_of_psf, noise_of, observing_described, observing_rows,
    target_psf_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astropy.nddata import CCDData, NDData
    from astropy.units import Quantity
    from numpy.typing import ArrayLike
    from specutils import Spectrum

    from astro_galtrans.objectives import Objective
    from astro_galtrans.pairs import PairSet

__all__ = ["Translator", "calibrate"]

_BATCH = 16  # galaxies per forward pass for lists of images: more are not faster on a CPU and take more memory
_N_MEASURED, _N_CALIBRATING = 2048, 1024  # pairs at most, for an assessor
_OBSERVING_TEXTS = {"psf_fwhm": "FWHM of the input's PSF", "noise": "noise of the input",
                    "target_psf_fwhm": "FWHM of the target's PSF"}
_OLD_FLAGS = ("return_uncertainty", "return_samples")
# An image that a translator takes, or a list of them; the result is of the same kind.
_Images = TypeVar("_Images", bound="NDData | Mapping[str, CCDData] | Sequence[NDData | Mapping[str, CCDData]]")


def _to_numpy(module):
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def _load_weights(module, weights, what):
    try:
        module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    except RuntimeError as error:
        raise ValueError(f"the weights of the {what} do not fit its options: {error}") from error


def _sampling_of(sampling, settings, function):
    """The `Sampling` of a call of a function with its fields as keywords."""
    if sampling is not None and not isinstance(sampling, Sampling):
        raise TypeError(f"sampling must be a Sampling, got {type(sampling).__name__}")
    return configured(Sampling, sampling, settings, function=function)


class Translator:
    """Translates images of galaxies from an input survey to a target survey.

    Made by `astro_galtrans.training.fit`, or read from a file by `Translator.read` or
    `astro_galtrans.storage.load`.

    Parameters
    ----------
    network : TranslationNetwork
        The trained network.
    objective : Objective
        Objective of its training; the flow that weights its gradients is part of it.
    objective_name : str
        Registered name of the objective.
    objective_options : dict
        Options it was built with.
    input_survey, target_survey : Survey
        With the bands of input and translation.
    name : str, optional
        Name in messages and files; by default from surveys, backbone and objective.
    history : `~astropy.table.Table`, optional
        One row per training epoch.
    provenance : dict, optional
        Description of its training, plain Python values.
    target_psf : array_like, optional
        Mean PSF of the target images of the training, shape ``(target band, y, x)``.
    errors : ErrorModel, optional
        Distribution of its errors, from which `samples` draws.
    assessor : Assessor, optional
        Density of the training galaxies, by which `assess` recognizes others.
    """

    def __init__(
        self, network: TranslationNetwork, objective: Objective, *, objective_name: str,
        objective_options: dict[str, Any] | None = None, input_survey: Survey, target_survey: Survey,
        name: str | None = None, history: Table | None = None, provenance: dict[str, Any] | None = None,
        target_psf: ArrayLike | None = None, errors: ErrorModel | None = None, assessor: Assessor | None = None,
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
        self.target_psf = checked_psf(target_psf, len(target_survey), "target_psf")
        self.errors = errors
        self.assessor = assessor
        self._hash: tuple[Any, Any] = (None, None)

    def __repr__(self) -> str:
        condition = f", given the {self.conditioning}" if self.conditioning else ""
        return (
            f"<Translator {self.name}: {self.input_survey.name} {','.join(self.input_survey.band_names)} -> "
            f"{self.target_survey.name} {','.join(self.target_survey.band_names)}{condition}>"
        )

    def _repr_html_(self) -> str:
        """Return surveys, network, inputs, training and model card, for a notebook."""
        rows = []
        for side, survey in (("input", self.input_survey), ("target", self.target_survey)):
            shape = self.provenance.get(f"{side}_shape")
            size = "" if not shape else f", trained on {shape[-2]} x {shape[-1]} pixels"
            rows.append((side, f"{survey.name} {','.join(survey.band_names)}, {survey.unit}, "
                         f"{survey.pixel_scale.to_value('arcsec'):.4g} arcsec{size}"))
        n_weights = sum(weight.numel() for weight in self.network.parameters())
        rows.append(("network", f"{self.network.config.backbone}, {n_weights:,} weights, trained with the objective "
                     f"{self.objective_name}"))
        given = "the image alone"
        if self.conditioning:
            given = f"the image and the {self.conditioning}{'' if self.takes_unknown else ', of each galaxy'}"
        rows.append(("is given", given))
        if self.observing:
            rows.append(("may be given", ", ".join(_OBSERVING_TEXTS[name] for name in self.observing)))
        if self.provenance.get("n_pairs"):
            epochs = self.provenance.get("config", {}).get("epochs")
            rows.append(("trained on", f"{self.provenance['n_pairs']:,} pairs, {epochs} epochs, "
                         f"seed {self.provenance.get('seed')}"))
        rows.append(("hash", self.hash[:16]))
        card = "" if self.card is None else self.card.strip()
        text = html.details(card.splitlines()[0], card) if card else ""
        return html.heading("Translator", self.name) + html.table(rows) + text

    @property
    def conditioning(self) -> str | None:
        """Conditioning of the network: None, "redshift" or "spectrum"."""
        return self.network.conditioning

    @property
    def observing(self) -> tuple[str, ...]:
        """Observing conditions that it takes, of "psf_fwhm", "noise" and "target_psf_fwhm"; a tuple of str."""
        return () if self.network.observing is None else self.network.observing.groups

    @property
    def card(self) -> str | None:
        """Model card, the text in ``provenance["card"]``: training data, accuracy and limits; None without one."""
        card = self.provenance.get("card")
        return card if isinstance(card, str) else None

    @property
    def takes_unknown(self) -> bool:
        """Whether a conditioned translator also serves galaxies whose redshift or spectrum is not known."""
        # Without such galaxies in training, the embedding of the unknown has kept its first value, zero.
        return self.conditioning is not None and bool(self.network.condition.unknown.any())

    @property
    def spectrum_grid(self) -> SpectrumGrid | None:
        """Wavelengths of its input spectra, a `~astro_galtrans.spectra.SpectrumGrid` or None."""
        grid = self.network.config.conditioning_options.get("grid")
        return None if grid is None else SpectrumGrid.from_dict(grid)

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
        device = checked_device(device)
        self.network.to(device)
        self.objective.to(device)
        return self

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 of options, weights and errors; equal hashes give equal images on the same device."""
        state = self._state_of_weights()
        if self._hash[0] != state:
            self._hash = state, self._compute_hash()
        return self._hash[1]

    def _state_of_weights(self):
        """State that changes when torch changes a weight in place, so that each state is hashed once."""
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
        if self.errors is not None:
            for key, value in sorted(self.errors.to_tree().items()):
                digest.update(key.encode())
                digest.update(np.asarray(value, dtype=np.float64).tobytes())
        return digest.hexdigest()

    def target_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return rows and columns of the translation of an image of ``size`` (rows, columns), a tuple of int."""
        scales = self.input_survey.pixel_scale, self.target_survey.pixel_scale
        return tuple(matching_size(int(n), *scales) for n in size)

    def resolve_sampling(self, sampling: Sampling, *, separate: bool = False) -> Sampling | None:
        """Return a sampling with all defaults but ``galaxies`` filled in; None for a translator without samples.

        Parameters
        ----------
        sampling : Sampling
        separate : bool, optional
            Whether each sample is asked for, which a translator that is not generative draws from its ``errors``.

        Raises
        ------
        ValueError
            If an option is set and the translator does not draw samples, or ``separate`` is and it has no ``errors``.
        """
        if self.network.generative:
            return replace(sampling, n_samples=sampling.n_samples or 1, seed=sampling.seed or 0,
                           n_steps=sampling.n_steps or self.network.backbone.sampling_steps)
        if separate:
            if self.errors is None:
                raise ValueError(f"translator {self.name!r} has no errors to draw samples from, as those of earlier "
                                 "versions; astro_galtrans.translation.calibrate measures them on pairs")
            if sampling.n_steps is not None:
                raise ValueError(f"n_steps is for translators with backbone 'diffusion', which {self.name!r} is not")
            return replace(sampling, n_samples=sampling.n_samples or 1, seed=sampling.seed or 0)
        for name, value in vars(sampling).items():
            if value is not None:
                raise ValueError(f"{name} is for translators that draw samples, as those with backbone 'diffusion'; "
                                 f"{self.name!r} has one translation for each image")
        return None

    def check_allow_missing(self, allow_missing: bool) -> None:
        """Raise a ValueError if missing data is allowed and the network was not trained with any.

        Parameters
        ----------
        allow_missing : bool
        """
        if allow_missing and not self.network.takes_missing:
            raise ValueError("allow_missing is for translators that were trained with an input_dropout above 0 in "
                             f"TrainConfig, which {self.name!r} was not")

    def check_target_psf(self, target_psf: ArrayLike | Mapping[str, Any] | None) -> None:
        """Raise a ValueError if a PSF of the translation is wanted and the translator takes none.

        Parameters
        ----------
        target_psf : optional
            As when the translator is called.
        """
        if target_psf is not None and "target_psf_fwhm" not in self.observing:
            raise ValueError(f"target_psf was given, but translator {self.name!r} was not trained with the PSFs of the "
                             "target; its translations have the PSF of the training images")

    def condition_arrays(self, conditions: Conditions, n_galaxies: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the conditions of galaxies as the network takes them.

        Parameters
        ----------
        conditions : Conditions
        n_galaxies : int

        Returns
        -------
        tuple of ndarray or None
            Two float32 arrays with a row for each galaxy: redshift and its error, or flux density and inverse variance
            of the spectrum. None for a translator that is not conditioned.

        Raises
        ------
        ValueError
            If something is missing that the translator needs, or it is not conditioned on it.
        """
        kind, redshift, spectrum = self.conditioning, conditions.redshift, conditions.spectrum
        for name, value in (("redshift", redshift), ("spectrum", spectrum)):
            if value is not None and kind != name:
                raise ValueError(f"{name} was given, but translator {self.name!r} is not conditioned on it")
        if conditions.redshift_error is not None and redshift is None:
            raise ValueError("redshift_error was given without the redshift that it is the error of")
        if kind is None:
            return None
        if (redshift if kind == "redshift" else spectrum) is None:
            if not self.takes_unknown:
                raise ValueError(f"translator {self.name!r} is conditioned on the {kind}: {kind} must be given")
            if kind == "redshift":
                warnings.warn(f"translator {self.name!r} is conditioned on the redshift and none was given: it is "
                              "taken as unknown, as redshift=nan does without this warning", GaltransWarning, 6)
            redshift, spectrum = np.full(n_galaxies, np.nan), [None] * n_galaxies
        if kind == "redshift":
            condition = redshift_arrays(redshift, conditions.redshift_error, n_galaxies)
            known = np.isfinite(condition[0])
        else:
            condition = spectrum_arrays(spectrum, self.spectrum_grid, n_galaxies)
            known = (condition[1] > 0).any(1)
        if not known.all() and not self.takes_unknown:
            raise ValueError(f"translator {self.name!r} was trained with the {kind} of each galaxy and takes none "
                             f"without, got {np.count_nonzero(~known)} without")
        return condition

    def observing_arrays(
        self, n_galaxies: int, *, psf_fwhm: ArrayLike | Mapping[str, Any] | None = None,
        noise: np.ndarray | None = None, target_psf_fwhm: ArrayLike | Mapping[str, Any] | None = None,
    ) -> Observing | None:
        """Return the observing conditions of galaxies as the network takes them.

        Parameters
        ----------
        n_galaxies : int
        psf_fwhm, target_psf_fwhm : optional
            As of `translate_array`.
        noise : ndarray, optional
            Standard deviation of a pixel of sky of the input, shape ``(galaxy, band)``; not used where the translator
            does not take it.

        Returns
        -------
        Observing or None
            Float32 arrays; None for a translator that takes no observing conditions.

        Raises
        ------
        ValueError
            If a FWHM is given that the translator does not take, or that is wrong.
        """
        for name, value in (("psf_fwhm", psf_fwhm), ("target_psf_fwhm", target_psf_fwhm)):
            if value is not None and name not in self.observing:
                raise ValueError(f"{name} was given, but translator {self.name!r} was not trained with it: "
                                 + ("it takes no observing conditions" if not self.observing
                                    else f"it takes {', '.join(self.observing)}"))
        if not self.observing:
            return None
        given: dict[str, np.ndarray | None] = dict.fromkeys(Observing._fields)
        given["psf_fwhm"] = fwhm_array(psf_fwhm, self.input_survey, n_galaxies, "psf_fwhm")
        given["noise"] = noise
        if target_psf_fwhm is not None:
            given["target_psf_fwhm"] = fwhm_array(target_psf_fwhm, self.target_survey, n_galaxies, "target_psf_fwhm",
                                                  self._median_target_psf())
        for name in self.observing:
            if given[name] is None:
                medians = self._median_target_psf() if name == "target_psf_fwhm" else (
                    np.full(len(self.input_survey), np.nan, np.float32))
                given[name] = np.tile(medians, (n_galaxies, 1))
        taken = [given[name] if name in self.observing else None for name in Observing._fields]
        return Observing(*taken)  # type: ignore[arg-type]

    def known_fwhms(
        self, pairs: PairSet, indices: slice | ArrayLike = slice(None), *, target: bool = True,
    ) -> dict[str, np.ndarray]:
        """Return the FWHMs of the PSFs of pairs that the translator takes, as keywords of `translate_array`.

        Translations with the PSFs of the real target images can be compared with these pixel by pixel.

        Parameters
        ----------
        pairs : PairSet
        indices : sequence of int, boolean mask or slice, optional
            Rows; all by default.
        target : bool, optional
            Whether to return those of the target images too.

        Returns
        -------
        dict of str to ndarray
            ``psf_fwhm`` and ``target_psf_fwhm`` as far as it takes them and they are known.
        """
        found = {}
        if "psf_fwhm" in self.observing:
            found["psf_fwhm"] = pairs.psf_fwhm("input", indices)
        if target and "target_psf_fwhm" in self.observing:
            found["target_psf_fwhm"] = pairs.psf_fwhm("target", indices)
        return {name: widths for name, widths in found.items() if widths is not None}

    def _median_target_psf(self):
        ranges = self.network.config.observing["target_psf_fwhm"]
        return np.array([median for _, median, _ in ranges], dtype=np.float32)

    def _check_missing(self, valid, allow_missing, name):
        """Raise a BandMismatchError if a galaxy with any data lacks a band, unless this is allowed.

        ``valid`` are the pixels with data, ``name`` is the argument, for the message.
        """
        if allow_missing:
            return
        survey = self.input_survey
        missing = missing_bands(valid, survey.pixel_scale) & valid.any((1, 2, 3))[:, None]
        advice = "allow_missing=True translates without it" if self.network.takes_missing else (
            f"translator {self.name!r} was not trained with missing bands (input_dropout of TrainConfig)")
        check_coverage(missing, survey.band_names, name, advice)

    def translate_array(
        self, flux: ArrayLike | Quantity, *, weight: ArrayLike | None = None, redshift: ArrayLike | None = None,
        redshift_error: ArrayLike | None = None,
        spectrum: Sequence[Spectrum | None] | tuple[ArrayLike, ArrayLike] | None = None,
        psf_fwhm: ArrayLike | Mapping[str, Any] | None = None,
        target_psf_fwhm: ArrayLike | Mapping[str, Any] | None = None, sampling: Sampling | None = None,
        batch_size: int = 256, device: str | torch.device | None = None, allow_missing: bool = False,
        progress: bool = False, **settings: object,
    ) -> np.ndarray:
        """Translate many galaxies at once.

        Parameters
        ----------
        flux : array_like or `~astropy.units.Quantity`
            Shape ``(galaxy, band, y, x)``, a bare array in the input survey's unit. NaN and infinite pixels and
            areas of zeros (`~astro_galtrans.images.empty_pixels`) count as masked.
        weight : array_like, optional
            Inverse variance of the same shape; a pixel is masked where it is 0, negative or not finite. Its median
            gives the noise to a translator that takes it.
        redshift, redshift_error, spectrum : optional
            Conditions of a translator that is conditioned on them, and only of such a one; see `Conditions`.
        psf_fwhm : float, `~astropy.units.Quantity`, array_like or dict, optional
            FWHM of the PSF of the input without the pixel, in arcsec where it has no unit: one for all, one for each
            band, an array of shape ``(galaxy, band)``, or a dict of band to FWHM; NaN where it is not known. Only for a
            translator that takes it, see `observing`.
        target_psf_fwhm : float, `~astropy.units.Quantity`, array_like or dict, optional
            The same of the PSF that the translation is to have; by default, and for bands that a dict does not name,
            the median of the training.
        sampling : Sampling, optional
            Sampling of a translator that draws samples; the result is their mean.
        batch_size : int, optional
            Galaxies per forward pass; at most 16 on a CPU, where more only take memory.
        device : str or torch.device, optional
            Device of the computation; by default that of the weights. The weights return afterwards.
        allow_missing : bool, optional
            Whether to translate galaxies of which a band, or the middle of one, has no data (see
            `~astro_galtrans.images.missing_bands`), by a translator that was trained with missing bands. The
            uncertainty is then larger, and target bands that depend on the gap are masked. By default they are
            refused.
        progress : bool, optional
            Whether to show a progress bar.
        **settings
            Fields of `Sampling`, as ``n_samples=8``; they replace those of ``sampling``. The former flags
            ``return_uncertainty`` and ``return_samples`` are deprecated.

        Returns
        -------
        ndarray
            Shape ``(galaxy, target band, Y, X)``, float32, in the target survey's unit; NaN where the translation
            depends on masked pixels.

        See Also
        --------
        translate_array_with_uncertainty : The same with the standard deviation.
        sample_array : Each sample in place of their mean.
        """
        wanted = ["flux"]
        if any(name in settings for name in _OLD_FLAGS):
            warnings.warn(f"{' and '.join(_OLD_FLAGS)} are deprecated since version 0.2; use "
                          "translate_array_with_uncertainty and sample_array", AstropyDeprecationWarning, stacklevel=2)
            uncertainty, samples = (settings.pop(name, False) for name in _OLD_FLAGS)
            wanted = ["samples" if samples else "flux"] + (["sigma"] if uncertainty else [])
        arrays = self._translated_arrays(
            wanted, flux, weight=weight, redshift=redshift, redshift_error=redshift_error, spectrum=spectrum,
            psf_fwhm=psf_fwhm, target_psf_fwhm=target_psf_fwhm, sampling=sampling, batch_size=batch_size,
            device=device, allow_missing=allow_missing, progress=progress, **settings)
        return arrays[0] if len(arrays) == 1 else arrays

    def translate_array_with_uncertainty(self, flux: ArrayLike | Quantity, **options: object) -> TranslatedArrays:
        """Translate many galaxies at once, with the standard deviation of each pixel.

        Parameters
        ----------
        flux : array_like or `~astropy.units.Quantity`
            As of `translate_array`.
        **options
            Keywords of `translate_array`.

        Returns
        -------
        TranslatedArrays
            Named tuple of ``flux``, as `translate_array` returns it, and ``uncertainty``, the standard deviation
            against a noise-free target image. Of several samples it is their spread, and so includes the target's
            noise, which samples imitate.
        """
        return TranslatedArrays(*self._translated_arrays(["flux", "sigma"], flux, **options))

    def sample_array(self, flux: ArrayLike | Quantity, **options: object) -> np.ndarray:
        """Draw several translations of many galaxies at once.

        Parameters
        ----------
        flux : array_like or `~astropy.units.Quantity`
            As of `translate_array`.
        **options
            Keywords of `translate_array`, as ``n_samples=8``.

        Returns
        -------
        ndarray
            Shape ``(sample, galaxy, target band, Y, X)``, otherwise as of `translate_array`; see `samples`.

        Raises
        ------
        ValueError
            If the translator has no ``errors`` and is not generative.
        """
        return self._translated_arrays(["samples"], flux, **options)[0]

    def _translated_arrays(self, wanted, flux, *, redshift=None, redshift_error=None, spectrum=None, psf_fwhm=None,
                           target_psf_fwhm=None, sampling=None, device=None, weight=None, batch_size=256,
                           allow_missing=False, progress=False, **settings):
        """Arrays of the fields of `Translated` in ``wanted``, a tuple."""
        conditions = Conditions(redshift, redshift_error, spectrum)
        sampling = _sampling_of(sampling, settings, self.translate_array)
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"batch_size must be a positive int, got {batch_size!r}")
        with on_device(self, device):
            return self._in_batches(wanted, flux, weight, conditions, (psf_fwhm, target_psf_fwhm), sampling, batch_size,
                                    allow_missing, progress)

    @torch_defaults()
    @torch.inference_mode()
    def _in_batches(self, wanted, flux, weight, conditions, fwhms, sampling, batch_size, allow_missing, progress):
        flux = checked_flux(flux, self.input_survey, "flux")
        valid_of = usable_pixels(flux, weight, ("flux", "weight"))
        condition = self.condition_arrays(conditions, len(flux))
        observing = self.observing_arrays(len(flux), psf_fwhm=fwhms[0], target_psf_fwhm=fwhms[1])
        takes_noise = weight is not None and "noise" in self.observing
        sampling = self.resolve_sampling(sampling, separate="samples" in wanted)
        numbers = None if sampling is None else sampling.numbers(len(flux))
        self.check_allow_missing(allow_missing)
        if self.device.type == "cpu":
            batch_size = min(batch_size, CPU_BATCH)
        size = self.target_size(flux.shape[2:])
        shape = len(flux), len(self.target_survey), *size
        arrays = [np.empty((sampling.n_samples, *shape) if name == "samples" else shape, np.float32) for name in wanted]
        n_empty = 0
        for start in tqdm(range(0, len(flux), batch_size), desc="translate", unit="batch", disable=not progress):
            rows = slice(start, min(start + batch_size, len(flux)))
            valid = valid_of(rows)
            n_empty += np.count_nonzero(~valid.any((1, 2, 3)))
            self._check_missing(valid, allow_missing, "flux")
            own = observing_rows(observing, rows, self.device, noise_of(weight, rows) if takes_noise else None)
            translated = forward(self.network, flux[rows], valid, condition_rows(condition, rows), size, sampling,
                                 None if numbers is None else numbers[rows], own, self.errors)
            for name, array in zip(wanted, arrays):
                image = getattr(translated, name)
                if translated.masked is not None:
                    image = image.masked_fill(translated.masked, torch.nan)
                array[..., rows, :, :, :] = image.cpu().numpy()
        if n_empty:
            warnings.warn(f"{n_empty} of {len(flux)} galaxies have no usable pixel and become NaN", GaltransWarning, 6)
        return tuple(arrays)

    def __call__(
        self, image: _Images, *, redshift: float | Sequence[float] | None = None,
        redshift_error: float | Sequence[float] | None = None, spectrum: Spectrum | Sequence[Spectrum] | None = None,
        psf_fwhm: ArrayLike | Mapping[str, Any] | None = None, target_psf: ArrayLike | Mapping[str, Any] | None = None,
        sampling: Sampling | None = None, allow_missing: bool = False, **settings: object,
    ) -> _Images:
        """Translate one image, or a list of them.

        Parameters
        ----------
        image : BandCube, `~astropy.nddata.NDData`, `~astropy.nddata.CCDData`, dict or list
            A galaxy in the input survey's bands, with a WCS: a `~astro_galtrans.images.BandCube`, a stock NDData of
            shape ``(band, y, x)`` with ``meta["bands"]``, a dict of CCDData by band, or one CCDData for a translator of
            one band. A list of any of these is translated in batches.
        redshift : float or sequence of float, optional
            One for each galaxy; needed by, and only by, a translator conditioned on it. NaN where it is not known.
        redshift_error : float or sequence of float, optional
            Its standard deviation, by default 0.
        spectrum : `~specutils.Spectrum` or sequence of it, optional
            One for each galaxy, on any grid of wavelengths; needed by, and only by, a translator conditioned on it. In
            a sequence, None stands for a galaxy without one.
        psf_fwhm : float, `~astropy.units.Quantity`, array_like or dict, optional
            FWHM of the PSF of the input, as of `translate_array`; by default that of the ``psf`` of the image where it
            has one. Only for a translator that takes it, see `observing`.
        target_psf : float, `~astropy.units.Quantity`, dict or array_like, optional
            PSF that the translation is to have: a FWHM without the pixel, in arcsec where it has no unit, a dict of
            band to FWHM, or images of shape ``(target band, y, x)`` on pixels of the target survey. By default that of
            the median FWHM of the training. Only for a translator that takes it.
        sampling : Sampling, optional
            Sampling of a translator that draws samples. The result is their mean and, from two samples on, its
            uncertainty their spread.
        allow_missing : bool, optional
            Whether to translate galaxies of which a band, or the middle of one, has no data, as of `translate_array`.
        **settings
            Fields of `Sampling`, as ``n_samples=8``; they replace those of ``sampling``.

        Returns
        -------
        BandCube, dict, CCDData or list
            The kind of the input, in the target survey's bands, unit and pixel scale, with a WCS around the same sky
            position, a mask where the translation depends on masked pixels, and its standard deviation as uncertainty.
            ``meta`` has the entries of the input that still apply, the provenance under ``"galtrans"``, and the other
            entries of the input under ``["galtrans"]["input"]``; the provenance has the observing conditions that were
            used, "unknown" where they are not known. ``psf`` is that of the translation, for a translator that takes
            ``target_psf`` or was trained with PSF images of the target: the mean of these, stretched to the FWHM, or
            else a Moffat profile of exponent 3.5.

        Raises
        ------
        BandMismatchError, SurveyError, ValueError, TypeError
            If bands, survey, unit, WCS or pixel scale do not fit the translator, if no pixel is usable, or if a
            band has no data and this is not allowed.
        """
        return self._translated(image, Conditions(redshift, redshift_error, spectrum), (psf_fwhm, target_psf),
                                _sampling_of(sampling, settings, self.__call__), allow_missing)

    def samples(
        self, image: _Images, n_samples: int = 16, *, redshift: float | Sequence[float] | None = None,
        redshift_error: float | Sequence[float] | None = None, spectrum: Spectrum | Sequence[Spectrum] | None = None,
        psf_fwhm: ArrayLike | Mapping[str, Any] | None = None, target_psf: ArrayLike | Mapping[str, Any] | None = None,
        sampling: Sampling | None = None, allow_missing: bool = False, **settings: object,
    ) -> list[_Images]:
        """Draw several translations of one image, or of a list of them.

        The spread of a measurement over the samples is its error, with the correlations between pixels, bands and
        scales. Samples of a generative translator (backbone "diffusion") are images with the noise of the target.
        Those of any other are its translation with errors that are drawn from the distribution that
        `~astro_galtrans.training.fit` or `calibrate` measured, ``errors``, and are without the target's noise. They
        depend on the seed and the number of the galaxy alone.

        Parameters
        ----------
        image, redshift, redshift_error, spectrum, psf_fwhm, target_psf, sampling, allow_missing, **settings
            As when the translator is called.
        n_samples : int
            Images to draw.

        Returns
        -------
        list
            The samples, each of the kind of the input; for a list of images a list of such lists. The uncertainty of
            each is the spread of all, or that of the translation where the translator is not generative.

        Raises
        ------
        ValueError
            If the translator has no ``errors`` and is not generative.
        """
        return self._translated(image, Conditions(redshift, redshift_error, spectrum), (psf_fwhm, target_psf),
                                _sampling_of(sampling, {**settings, "n_samples": n_samples}, self.samples),
                                allow_missing, True)

    def _translated(self, image, conditions, psfs, sampling, allow_missing, separate=False):
        if isinstance(image, (list, tuple)):
            return self._translated_list(list(image), conditions, psfs, sampling, allow_missing, separate)
        for name in ("redshift", "spectrum"):
            if getattr(conditions, name) is not None:
                conditions = replace(conditions, **{name: [getattr(conditions, name)]})
        return self._translated_list([image], conditions, psfs, sampling, allow_missing, separate)[0]

    @torch_defaults()
    @torch.inference_mode()
    def _translated_list(self, images, conditions, psfs, sampling, allow_missing, separate):
        """Translations of a list of images; with ``separate`` a list of the samples of each."""
        cubes = [checked_cube(image, self.input_survey, self.name) for image in images]
        condition = self.condition_arrays(conditions, len(images))
        observing, psf_of = self._observing_of(cubes, *psfs)
        sampling = self.resolve_sampling(sampling, separate=separate)
        self.check_allow_missing(allow_missing)
        arrays = [self._usable(cube, allow_missing, f" {number}" if len(cubes) > 1 else "")
                  for number, cube in enumerate(cubes)]
        provenance, numbers = self.describe(), None
        if sampling is not None:
            numbers = sampling.numbers(len(images))
            provenance |= {"n_samples": sampling.n_samples, "sampling_seed": sampling.seed}
            if sampling.n_steps is not None:
                provenance["sampling_steps"] = sampling.n_steps
        translated = [None] * len(images)
        for rows in batches_by_shape(cubes, _BATCH):
            size = self.target_size(cubes[rows[0]].shape[1:])
            flux, valid = (np.stack([arrays[row][part] for row in rows]) for part in (0, 1))
            result = forward(self.network, flux, valid, condition_rows(condition, rows), size, sampling,
                             None if numbers is None else [numbers[row] for row in rows],
                             observing_rows(observing, rows, self.device), self.errors)
            sigma = result.sigma.cpu().numpy()
            masks = np.zeros(sigma.shape, bool) if result.masked is None else result.masked.cpu().numpy()
            fluxes = (result.samples if separate else result.flux[None]).cpu().numpy()
            for place, row in enumerate(rows):
                own = {**provenance, **described(self.conditioning, condition, row),
                       **self._missing_record(cubes[row], valid[place])}
                if observing is not None:
                    own |= observing_described(observing, row, (self.input_survey, self.target_survey))
                if numbers is not None:
                    own["sampling_galaxy"] = numbers[row]
                made = [like_input(translated_cube(
                    cubes[row], flux[place], sigma[place], masks[place], self.target_survey, self.network.scale_ratio,
                    {**own, "sample": number} if separate else own, psf_of(row)), images[row])
                    for number, flux in enumerate(fluxes)]
                translated[row] = made if separate else made[0]
        return translated

    def _observing_of(self, cubes, psf_fwhm, target_psf):
        """Observing conditions of cubes, and a function from a row to the PSF of its translation."""
        self.check_target_psf(target_psf)
        wanted = TargetPSF()
        if target_psf is not None:
            wanted = target_psf_of(target_psf, self.target_survey, len(cubes), self._median_target_psf())
        if wanted.fwhm is not None:
            for fwhm in np.unique(wanted.fwhm, axis=0):
                check_range(fwhm, self.target_survey, self.network.config.observing["target_psf_fwhm"], "target_psf")
        noise = None
        if {"psf_fwhm", "noise"} & set(self.observing):
            known = [cube_conditions(cube, self.input_survey) for cube in cubes]
            widths, noise = (np.stack(part) for part in zip(*known))
            if psf_fwhm is None and "psf_fwhm" in self.observing:
                psf_fwhm = widths
        observing = self.observing_arrays(len(cubes), psf_fwhm=psf_fwhm, noise=noise, target_psf_fwhm=wanted.fwhm)
        made = {}

        def psf_of(row):
            if wanted.images is not None:
                return wanted.images
            if "target_psf_fwhm" not in self.observing:
                return self.target_psf
            fwhm = tuple(observing.target_psf_fwhm[row].tolist())
            if fwhm not in made and np.all(np.isfinite(fwhm)):
                made[fwhm] = images_of_psf(fwhm, self.target_survey, self.target_psf)
            return made.get(fwhm)

        return observing, psf_of

    def _usable(self, cube, allow_missing, which, weighted=False):
        """Flux of an image and its pixels with data, or their weight; ``which`` image it is, for messages."""
        flux, weight = flux_and_weight(cube)
        valid = weight > 0
        if not np.any(valid):
            raise ValueError(f"every pixel of the image{which} is masked or not finite")
        self._check_missing(valid[np.newaxis], allow_missing, f"image{which}")
        return flux, weight if weighted else valid

    def _missing_record(self, cube, valid):
        """The bands without data, for the provenance of an image."""
        missing = missing_bands(valid, self.input_survey.pixel_scale)
        if not missing.any():
            return {}
        return {"missing_bands": [band for band, is_missing in zip(cube.bands, missing) if is_missing]}

    def assess(
        self, image: NDData | Mapping[str, CCDData] | Sequence[NDData | Mapping[str, CCDData]], *,
        redshift: float | Sequence[float] | None = None, redshift_error: float | Sequence[float] | None = None,
        spectrum: Spectrum | Sequence[Spectrum] | None = None,
        psf_fwhm: ArrayLike | Mapping[str, Any] | None = None,
    ) -> Assessment | list[Assessment]:
        """Tell whether to believe the translation of an image, or of each of a list of them.

        The input is compared with the training galaxies in its fluxes, colors, shape, sky, defects and observing
        conditions, in the embedding of the network, and in how well its translation, degraded again, agrees with it.

        Parameters
        ----------
        image : BandCube, `~astropy.nddata.NDData`, `~astropy.nddata.CCDData`, dict or list
            As of `Translator.__call__`. Missing bands are allowed.
        redshift, redshift_error, spectrum : optional
            As of `Translator.__call__`.
        psf_fwhm : float, `~astropy.units.Quantity`, array_like or dict, optional
            FWHM of the PSF of the input, as of `translate_array`; by default that of the ``psf`` of the image, or else
            unknown. Every translator takes it here.

        Returns
        -------
        Assessment or list of Assessment
            The p-value is NaN, and there are no flags, if the translator has no ``assessor``.
        """
        single = not isinstance(image, (list, tuple))
        images = [image] if single else list(image)
        if single:
            redshift = None if redshift is None else [redshift]
            spectrum = None if spectrum is None else [spectrum]
        cubes = [checked_cube(one, self.input_survey, self.name) for one in images]
        condition = self.condition_arrays(Conditions(redshift, redshift_error, spectrum), len(cubes))
        widths = fwhm_array(psf_fwhm, self.input_survey, len(cubes), "psf_fwhm")
        if widths is None:
            widths = np.array([cube_conditions(cube, self.input_survey)[0] for cube in cubes])
        arrays = [self._usable(cube, True, f" {number}" if len(cubes) > 1 else "", weighted=True)
                  for number, cube in enumerate(cubes)]
        assessed: list[Any] = [None] * len(cubes)
        for rows in batches_by_shape(cubes, _BATCH):
            flux, weight = (np.stack([arrays[row][part] for row in rows]) for part in (0, 1))
            measures, embedding, compared = self._measured(flux, weight, condition_rows(condition, rows), widths[rows])
            p_values, flags = np.full(len(rows), np.nan), [()] * len(rows)
            if self.assessor is not None:
                has_psf = np.isfinite(widths[rows]).any(1)
                p_values, flags = self.assessor.rank(measures, embedding, has_psf)
            parts = p_values.tolist(), compared.chi2().tolist(), compared.residual, compared.unsupported(), flags
            for row, *values in zip(rows, *parts):
                assessed[row] = Assessment(*values)
        return assessed[0] if single else assessed

    def with_assessor(self, pairs: PairSet, held_out: PairSet) -> Translator:
        """Return the translator with an assessor, by which `assess` recognizes galaxies unlike those of the training.

        Parameters
        ----------
        pairs : PairSet
            Ordinary galaxies, at least 64, of which the first 2048 are used.
        held_out : PairSet
            Others, at least 64, of which the first 1024 calibrate the p-values.

        Returns
        -------
        Translator
            With the same weights.
        """
        for name, given in (("pairs", pairs), ("held_out", held_out)):
            if len(given) < Assessor.FEWEST:
                raise ValueError(f"{name} must hold at least {Assessor.FEWEST} pairs, got {len(given)}")
        samples, unstated = (pairs[:_N_MEASURED], held_out[:_N_CALIBRATING]), None
        if any(one.psf_fwhm("input", slice(1)) is not None for one in samples):
            unstated = self._fitted_assessor(samples, False, None)
        made = copy(self)
        made.assessor = None
        made.assessor = made._fitted_assessor(samples, True, unstated)
        return made

    def _fitted_assessor(self, samples, has_psf, unstated):
        (measures, embedding), held = (self._measured_pairs(one, has_psf) for one in samples)
        return Assessor.fit(measures, embedding, *held, unstated)

    def _measured_pairs(self, pairs, has_psf):
        """Measures and embeddings of the inputs of pairs; their PSFs are not stated unless ``has_psf``."""
        found = []
        spectra = ("spectrum_flux", "spectrum_weight") if self.conditioning == "spectrum" else ()
        wanted = ("input_flux", "input_weight", *spectra)
        for start in range(0, len(pairs), CPU_BATCH):
            rows = slice(start, start + CPU_BATCH)
            batch = pairs.read_arrays(rows, images=wanted)
            flux, weight = batch["input_flux"], batch["input_weight"]
            if weight is None:
                weight = np.broadcast_to(self.input_survey.sky_noise[:, None, None]**-2.0, flux.shape)
            widths = pairs.psf_fwhm("input", rows) if has_psf else None
            if widths is None:
                widths = np.full(flux.shape[:2], np.nan)
            conditions = Conditions()
            if spectra:
                conditions = Conditions(spectrum=(batch["spectrum_flux"], batch["spectrum_weight"]))
            elif self.conditioning == "redshift":
                conditions = Conditions(batch["redshift"], batch["redshift_error"])
            condition = self.condition_arrays(conditions, len(flux))
            found.append(self._measured(flux, weight.astype(np.float32), condition, widths)[:2])
        return ({name: np.concatenate([measures[name] for measures, _ in found]) for name in found[0][0]},
                np.concatenate([embedding for _, embedding in found]))

    @torch_defaults()
    @torch.inference_mode()
    def _measured(self, flux, weight, condition, widths):
        """Measures, embeddings and `Consistency` of a batch; ``widths`` are the FWHMs of its PSFs, NaN if unknown."""
        valid, survey = weight > 0, self.input_survey
        noise, widths = noise_of(weight, slice(None)), widths.astype(np.float32)
        observing = self.observing_arrays(
            len(flux), psf_fwhm=widths if "psf_fwhm" in self.observing else None, noise=noise)
        sampling = self.resolve_sampling(Sampling())
        translated = forward(
            self.network, flux, valid, condition, self.target_size(flux.shape[2:]), sampling,
            None if sampling is None else sampling.numbers(len(flux)),
            observing_rows(observing, slice(None), self.device))
        image, sigma = (part if translated.masked is None else part.masked_fill(translated.masked, torch.nan)
                        for part in (translated.flux, translated.sigma))
        usual = [np.array([band.psf_fwhm.to_value("arcsec") for band in one], dtype=np.float32)
                 for one in (survey, self.target_survey)]
        target = usual[1]
        if "target_psf_fwhm" in self.observing:
            target = self._median_target_psf()
        elif self.target_psf is not None:
            target = psf_fwhm_of(self.target_psf, self.target_survey.pixel_scale.to_value("arcsec"))
        made = TranslatedArrays(image.cpu().numpy(), sigma.cpu().numpy())

        def compare(widths):
            fwhms = np.where(np.isfinite(widths), widths, usual[0]), np.broadcast_to(target, (len(flux), len(target)))
            return consistency(flux, weight, made, (survey, self.target_survey), fwhms)

        compared = ranked = compare(widths)
        if self.assessor is not None and self.assessor.unstated is None and np.isfinite(widths).any():
            # Measures with a PSF are not those of training galaxies whose PSF was never stated.
            widths = np.full_like(widths, np.nan)
            ranked = compare(widths)
        measures = measure(flux, valid, noise, widths, survey, self.network.input_noise[:, 0, 0].cpu().numpy())
        measures["chi2"] = np.log(np.maximum(ranked.chi2(), 1e-3))
        for k, name in enumerate(survey.band_names):
            measures[f"band chi2 {name}"] = np.log(np.maximum(ranked.chi2((2, 3))[:, k], 1e-3))
            measures[f"factor {name}"] = np.log(ranked.factor[:, k])
        embedding = np.zeros((len(flux), 0)) if translated.embedding is None else translated.embedding.cpu().numpy()
        return measures, embedding, compared

    @torch_defaults()
    def gradient_weights(
        self, input_flux: ArrayLike, target_flux: ArrayLike, *, redshift: ArrayLike | None = None,
        redshift_error: ArrayLike | None = None,
        spectrum: Sequence[Spectrum | None] | tuple[ArrayLike, ArrayLike] | None = None,
        psf_fwhm: ArrayLike | Mapping[str, Any] | None = None,
        target_psf_fwhm: ArrayLike | Mapping[str, Any] | None = None, target_weight: ArrayLike | None = None,
        scale: int = 1,
    ) -> dict[str, np.ndarray]:
        """Return the weight by the flow of each log-flux gradient of galaxies whose target image is known.

        The weight of an element with residual r is -(d log p / d r) / r; for a Gaussian it is the inverse variance.

        Parameters
        ----------
        input_flux, target_flux : array_like
            Shape ``(galaxy, band, y, x)`` and ``(galaxy, target band, Y, X)``, in the surveys' units.
        redshift, redshift_error, spectrum, psf_fwhm, target_psf_fwhm : optional
            As of `translate_array`; the PSF of the target is unknown by default, as the noise of the input is here.
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
        flux = checked_flux(input_flux, self.input_survey, "input_flux")
        target = checked_flux(target_flux, self.target_survey, "target_flux")
        if len(target) != len(flux):
            raise ValueError(f"target_flux must have {len(flux)} galaxies as input_flux, got {len(target)}")
        condition = self.condition_arrays(Conditions(redshift, redshift_error, spectrum), len(flux))
        if target_psf_fwhm is None and "target_psf_fwhm" in self.observing:
            target_psf_fwhm = np.nan
        observing = self.observing_arrays(len(flux), psf_fwhm=psf_fwhm, target_psf_fwhm=target_psf_fwhm)
        size = self.target_size(flux.shape[2:])
        if target.shape[2:] != size:
            raise ValueError(f"target_flux must have {size[0]} x {size[1]} pixels for input_flux of "
                             f"{flux.shape[2]} x {flux.shape[3]}, got {target.shape[2]} x {target.shape[3]}")
        elements = self.objective.elements
        if elements != "gradients":
            raise ValueError(f"gradient weights need a translator trained on elements='gradients', got {elements!r}")
        known = usable_pixels(flux, None, ("input_flux", ""))(slice(None))
        valid = usable_pixels(target, target_weight, ("target_flux", "target_weight"))(slice(None))
        self._check_missing(known, False, "input_flux")
        weights = []
        for row in range(len(flux)):
            one = slice(row, row + 1)
            with torch.no_grad():
                tensor, usable, given = to_tensors(
                    self.device, flux[one], known[one], condition_rows(condition, one))
                prediction = first_prediction(
                    self.network, tensor, size, given, usable, observing_rows(observing, one, self.device))
            images, mask, _ = to_tensors(self.device, np.where(valid[one], target[one], 0), valid[one], None)
            truth = Target(images, torch.ones_like(images), mask)
            weights.append(self.objective.weights(prediction, truth, self.network.output_space, scale).cpu().numpy())
        n_bands = len(self.target_survey)
        parts = np.split(np.concatenate(weights), [n_bands, 2 * n_bands], axis=1)
        return {
            name: part / max(part[part > 0].mean() if np.any(part > 0) else 1.0, 1e-30)
            for name, part in zip(("x", "y", "passband"), parts)
        }

    @torch_defaults()
    @torch.inference_mode()
    def with_errors(self, pairs: PairSet, *, scale_uncertainty: bool = False) -> Translator:
        """Return a translator with the same weights, and the errors that it has on some pairs.

        Parameters
        ----------
        pairs : PairSet
            Not those of the training, on which errors are smaller. Up to 2048 are used. Errors are differences from
            the noiseless target image (``target_truth``) where pairs have it; otherwise from the target image, less
            the variance of its noise.
        scale_uncertainty : bool, optional
            Whether to scale the uncertainty of each band so that it is the standard deviation on these pairs, within 4
            arcsec.

        Returns
        -------
        Translator
            Without ``errors`` if no pair can be used, and where it is generative.
        """
        errors = None
        if not self.network.generative:
            errors = measure_errors(self, pairs, scales_pixels=scale_uncertainty)
        made = copy(self)
        made.errors, made._hash = errors, (None, None)
        return made

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
        """Return plain Python values, arrays, tables and surveys, from which `from_tree` restores the translator.

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
            **({} if self.target_psf is None else {"target_psf": self.target_psf}),
            **({} if self.errors is None else {"errors": self.errors.to_tree()}),
            **({} if self.assessor is None else {"assessor": self.assessor.to_tree()}),
        }

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Translator:
        """Restore a translator from the result of `to_tree`; ValueError if weights, options and hash do not agree.

        Parameters
        ----------
        tree : dict

        Returns
        -------
        Translator
        """
        entry = tree["objective"]
        with torch_defaults(), torch.random.fork_rng(devices=[]):  # new modules draw weights, which are then replaced
            check_weights(lambda: TranslationNetwork(NetworkConfig.from_dict(tree["network"]["options"])),
                          tree["network"]["options"], tree["network"]["weights"], "network")
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
            target_psf=tree.get("target_psf"),
            errors=None if tree.get("errors") is None else ErrorModel(**tree["errors"]),
            assessor=Assessor.from_tree(tree["assessor"]) if "assessor" in tree else None,
        )
        if translator.hash != tree["hash"]:
            raise ValueError(
                f"the weights of translator {translator.name!r} are not those that were stored: hashes differ")
        return translator

    def describe(self) -> dict[str, Any]:
        """Return name, hash, surveys, seed and versions, for the provenance of an image; a dict of str and int."""
        return {
            "translator": self.name, "hash": self.hash, "input_survey": self.input_survey.name,
            "target_survey": self.target_survey.name, "objective": self.objective_name,
            "backbone": self.network.config.backbone, "seed": self.provenance.get("seed"),
            **{f"{package}_version": version(package) for package in ("astro_galtrans", "torch", "astropy")},
        }


def calibrate(translator: Translator, pairs: PairSet) -> Translator:
    """Return a translator whose uncertainty and samples are calibrated on held-out pairs.

    The standard deviation of each band is scaled to that of the errors of these pairs, and the distribution from which
    `Translator.samples` draws is measured on them. Translated images stay the same.

    Parameters
    ----------
    translator : Translator
        Not a generative one, whose samples do not depend on measured errors.
    pairs : PairSet
        Pairs that were not used in the training, between the same surveys; a few hundred. With ``target_truth``, errors
        are differences from the noiseless images.

    Returns
    -------
    Translator

    Raises
    ------
    ValueError
        If the translator is generative, the surveys differ, or no pair has data.
    """
    if not isinstance(translator, Translator):
        raise TypeError(f"translator must be a Translator, got {type(translator).__name__}")
    if translator.network.generative:
        raise ValueError(f"translator must not be generative, as {translator.name!r} is: it draws its samples itself")
    for side in ("input_survey", "target_survey"):
        own, given = getattr(translator, side), getattr(pairs, side)
        if (own.name, own.band_names) != (given.name, given.band_names):
            raise ValueError(f"pairs must have the {side} {own.name} {','.join(own.band_names)} of the translator, got "
                             f"{given.name} {','.join(given.band_names)}")
    calibrated = translator.with_errors(pairs, scale_uncertainty=True)
    if calibrated.errors is None:
        raise ValueError(f"pairs must hold at least one galaxy that {translator.name!r} can translate, got none of "
                         f"{len(pairs)}")
    return calibrated
