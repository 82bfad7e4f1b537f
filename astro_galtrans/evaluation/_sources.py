"""Sources of the translated images of an evaluation: translators and finished images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TYPE_CHECKING, runtime_checkable

import astropy.units as u
import numpy as np
from astropy.utils.masked import Masked

from astro_galtrans.evaluation._run import INPUT, REFERENCE, RESAMPLED, TARGET
from astro_galtrans.objectives import GradientObjective
from astro_galtrans.translation import Translator

if TYPE_CHECKING:
    from astro_galtrans.surveys import Survey

__all__ = [
    "ImageSource", "TranslatorLike", "TranslatorSource", "check_conditioning", "check_surveys",
    "conditions", "fwhm_keywords", "image_sources",
]

_BLOCK = 256  # galaxies whose spectra are read together
_IMAGES = "images"
_RESERVED = (INPUT, TARGET, RESAMPLED, REFERENCE)  # rows that every table may have


@runtime_checkable
class TranslatorLike(Protocol):
    """Interface that `evaluate` needs of a translator, such as `~astro_galtrans.translation.Translator`.

    Further attributes are optional, with the default in parentheses: ``name`` ("translator"),
    ``conditioning`` (None), ``observing`` (empty), ``takes_unknown`` (True), ``spectrum_grid`` (that of the pairs),
    ``generative`` (False), ``gives_uncertainty`` (False), ``gives_gradient_weights`` (False), ``objective_name``,
    ``backbone``, ``hash`` and
    ``history`` (None), ``provenance`` (empty). With ``gives_uncertainty`` and ``gives_gradient_weights`` there are
    methods ``translate_array_with_uncertainty`` and ``gradient_weights`` as those of
    `~astro_galtrans.translation.Translator`.

    Attributes
    ----------
    input_survey, target_survey : Survey
        Surveys with the bands of the images.
    """

    input_survey: Survey
    target_survey: Survey

    def translate_array(
        self, flux: np.ndarray, *, weight: np.ndarray | None = None, **options: object,
    ) -> np.ndarray:
        """Translate many galaxies.

        Parameters
        ----------
        flux : ndarray
            Shape ``(galaxy, band, y, x)``, in the unit of the input survey.
        weight : ndarray or None
            Inverse variance of the same shape; 0 where masked.
        **options
            ``redshift`` and ``redshift_error`` or ``spectrum`` for a conditioned translator; ``psf_fwhm`` and
            ``target_psf_fwhm``, arrays of shape ``(galaxy, band)`` in arcsec that may have NaN, for one with these in
            ``observing``, where they are known; ``n_samples``, ``seed``
            and ``galaxies`` for a generative one; ``device`` where `evaluate` is given one.

        Returns
        -------
        ndarray
            Shape ``(galaxy, target band, Y, X)``, in the unit of the target survey.
        """
        ...


@dataclass
class _Traits:
    """The optional attributes of a `TranslatorLike`."""

    name: str = "translator"
    conditioning: str | None = None
    observing: tuple[str, ...] = ()
    takes_unknown: bool = True
    spectrum_grid: Any = None
    generative: bool = False
    gives_uncertainty: bool = False
    gives_gradient_weights: bool = False
    objective_name: str | None = None
    backbone: str | None = None
    hash: str | None = None
    history: Any = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    output: str | None = None
    residual: bool | None = None
    photometry: bool | None = None

    @classmethod
    def of(cls, translator):
        if isinstance(translator, Translator):
            return cls._of_translator(translator)
        own = set(dir(translator)) - {"parameters", "output", "residual", "photometry"}  # these are of our networks
        return cls(**{one.name: getattr(translator, one.name) for one in fields(cls) if one.name in own})

    @classmethod
    def _of_translator(cls, translator):
        network, objective = translator.network, translator.objective
        return cls(
            name=translator.name, conditioning=translator.conditioning, observing=translator.observing,
            takes_unknown=translator.takes_unknown, spectrum_grid=translator.spectrum_grid,
            generative=network.generative, gives_uncertainty=True,
            gives_gradient_weights=isinstance(objective, GradientObjective) and objective.elements == "gradients",
            objective_name=translator.objective_name, backbone=network.config.backbone, hash=translator.hash,
            history=translator.history, provenance=translator.provenance,
            parameters=sum(weight.numel() for weight in network.parameters()), output=network.config.output,
            residual=network.config.residual, photometry=network.photometry is not None)


class TranslatorSource:
    """Images that a translator makes of the input images; of a generative one, the mean of several samples."""

    retrains = True  # an estimator can be trained on its images of the training galaxies

    def __init__(self, name, translator, n_samples, seed):
        self.name, self.translator, self.seed = name, translator, seed
        self.traits = _Traits.of(translator)
        self.gives_uncertainty, self.history = self.traits.gives_uncertainty, self.traits.history
        self.n_samples = n_samples if self.traits.generative else None

    def check(self, pairs, what):
        """Raise ValueError where surveys or conditioning do not fit the ``what`` ("test" or "training") pairs."""
        check_surveys(self.name, self.translator, pairs, f"the {what} pairs")
        check_conditioning(self.name, self.traits, pairs, what)

    def translate(self, batch, numbers, *, device=None, uncertainty=False):
        """Return the images of a batch of `PairSet.read` and their uncertainty, None unless it is asked for.

        A generative translator draws other noise for each number of a galaxy.
        """
        options = {"weight": batch["input_weight"], **conditions(self.traits.conditioning, batch),
                   **fwhm_keywords(self.traits.observing, batch)}
        if self.n_samples is not None:
            options |= {"n_samples": self.n_samples, "seed": self.seed, "galaxies": numbers}
        if device is not None:
            options["device"] = device
        if not uncertainty:
            return self._plain(self.translator.translate_array(batch["input_flux"], **options)), None
        flux, sigma = self.translator.translate_array_with_uncertainty(batch["input_flux"], **options)
        return self._plain(flux), self._plain(sigma)

    def _plain(self, images):
        values, mask = _split(images, f"the images of translator {self.name!r}", self.translator.target_survey)
        return values if mask is None else np.where(mask, np.nan, values)

    def gradient_weights(self, batch):
        """Return weights of the gradient elements, a dict of ndarray, or None if the translator has none."""
        if not self.traits.gives_gradient_weights:
            return None
        weights = self.translator.gradient_weights(batch["input_flux"], batch["target_flux"],
                                                   **conditions(self.traits.conditioning, batch),
                                                   **fwhm_keywords(self.traits.observing, batch))
        return {kind: np.asarray(value) for kind, value in weights.items()}

    def about(self):
        """Return a dict that describes the translator in the report."""
        traits = self.traits
        return {
            "kind": "translator", "name": traits.name, "backbone": traits.backbone,
            "objective": traits.objective_name, "parameters": traits.parameters, "output": traits.output,
            "residual": traits.residual, "photometry": traits.photometry, "conditioning": traits.conditioning,
            "samples": self.n_samples, "hash": traits.hash, "provenance": dict(traits.provenance)}


class ImageSource:
    """Finished images, one of each test galaxy, in the shape and unit of its target images; NaN where masked."""

    retrains, gives_uncertainty, history, n_samples = False, False, None, None

    def __init__(self, name, images, test):
        self.name = name
        values, self.mask = _split(images, f"translators: the images {name!r}", test.target_survey)
        if values.dtype.kind not in "fiu":
            raise TypeError(f"translators: {name!r} must be a translator, with input_survey, target_survey and "
                            f"translate_array, or an array of images, got {type(images).__name__}")
        if values.shape != test.target_flux.shape:
            raise ValueError(f"translators: the images {name!r} must have the shape of the target images of test, "
                             f"{tuple(test.target_flux.shape)}, got {values.shape}")
        self.images = values

    def check(self, pairs, what):
        """Do nothing: finished images need nothing of the pairs beyond their shape."""

    def translate(self, batch, numbers, *, device=None, uncertainty=False):
        """Return the images of the test galaxies with these numbers; see `TranslatorSource.translate`."""
        flux = np.array(self.images[numbers], dtype=np.float32)
        if self.mask is not None:
            flux[self.mask[numbers]] = np.nan
        return flux, None

    def gradient_weights(self, batch):
        """Return None: images have no weights."""

    def about(self):
        """Return a dict with the keys of `TranslatorSource.about`."""
        unknown = ("backbone", "objective", "parameters", "output", "residual", "photometry", "conditioning", "samples",
                   "hash")
        return {"kind": "images", "name": self.name, **dict.fromkeys(unknown), "provenance": {}}


def _split(images, what, survey):
    """Plain array of images in the unit of a survey, and their mask or None; ``what`` names them in messages."""
    mask = None
    if isinstance(images, Masked):
        images, mask = images.unmasked, images.mask
    if isinstance(images, u.Quantity):
        return _without_unit(images, what, survey), mask
    if isinstance(images, np.ma.MaskedArray):
        mask = None if images.mask is np.ma.nomask else images.mask
        return images.data, mask
    try:
        return np.asarray(images), mask
    except ValueError:  # a list of arrays of several shapes
        return np.empty(0, dtype=object), mask


def _without_unit(images, what, survey):
    if images.unit == survey.unit or images.ndim != 4 or images.shape[1] != len(survey):
        return images.value  # the shape is checked with those of arrays
    try:
        factors = [images.unit.to(u.Jy) / band.flux_per_unit().to_value(u.Jy) for band in survey]
    except u.UnitConversionError as error:
        raise u.UnitConversionError(f"{what} are in {images.unit}, which is no unit of flux and not {survey.unit}, "
                                    f"that of survey {survey.name}") from error
    return images.value * np.array(factors)[:, None, None]


def image_sources(translators, test, n_samples, seed):
    """Return sources by name, a dict, of one translator or array of images, or of a mapping of these."""
    if not isinstance(translators, Mapping):
        if isinstance(translators, (list, tuple)) and any(isinstance(one, TranslatorLike) for one in translators):
            raise TypeError("translators must be a translator, or a dict of some by name, as {'first': translator}; "
                            f"got a {type(translators).__name__}")
        name = _Traits.of(translators).name if isinstance(translators, TranslatorLike) else _IMAGES
        translators = {name: translators}
    if not translators:
        raise ValueError("translators must hold at least one translator or array of images")
    for name in translators:
        if not isinstance(name, str) or name in _RESERVED:
            raise ValueError(f"translators must have names other than {', '.join(_RESERVED)}, got {name!r}")
    return {name: TranslatorSource(name, one, n_samples, seed) if isinstance(one, TranslatorLike)
            else ImageSource(name, one, test) for name, one in translators.items()}


def conditions(conditioning, batch):
    """Return keywords for the conditioning of a translator on the galaxies of a batch, a dict."""
    if conditioning is None:
        return {}
    if conditioning == "spectrum":
        return {"spectrum": (np.asarray(batch["spectrum_flux"]), np.asarray(batch["spectrum_weight"]))}
    error = batch.get("redshift_error")
    return {"redshift": batch["redshift"], **({} if error is None else {"redshift_error": error})}


def fwhm_keywords(observing, batch):
    """Return keywords for the FWHMs that a translator takes and a batch of `read_batch` has, a dict."""
    sides = {"psf_fwhm": "input_psf_fwhm", "target_psf_fwhm": "target_psf_fwhm"}
    return {name: batch[own] for name, own in sides.items() if name in observing and batch[own] is not None}


def check_surveys(name, translator, pairs, what):
    """Raise ValueError where a translator is between other surveys than the pairs."""
    for side in ("input", "target"):
        own, given = getattr(translator, f"{side}_survey"), getattr(pairs, f"{side}_survey")
        if (own.name, own.band_names) != (given.name, given.band_names):
            raise ValueError(f"translator {name!r} has the {side} survey {own.name} ({' '.join(own.band_names)}), "
                             f"{what} {given.name} ({' '.join(given.band_names)})")


def check_conditioning(name, traits, pairs, what):
    """Raise ValueError where pairs lack the conditioning of a translator.

    ``traits`` has ``conditioning``, ``spectrum_grid`` and ``takes_unknown``; ``what`` names the pairs in the message.
    """
    kind, grid = traits.conditioning, traits.spectrum_grid
    if kind not in (None, "redshift", "spectrum"):
        raise ValueError(f"translator {name!r} is conditioned on {kind!r}, which is not something that pairs have")
    if kind is None:
        return
    values = pairs.redshift if kind == "redshift" else pairs.spectrum_flux
    if values is None:
        raise ValueError(f"translator {name!r} needs a {kind}, and the {what} pairs have none")
    if kind == "spectrum" and grid not in (None, pairs.spectrum_grid):
        raise ValueError(f"translator {name!r} takes spectra on {grid}, those of the {what} pairs are on "
                         f"{pairs.spectrum_grid}")
    if traits.takes_unknown:
        return
    n_unknown = np.count_nonzero(~np.isfinite(values)) if kind == "redshift" else _n_empty(pairs.spectrum_weight)
    if n_unknown:
        raise ValueError(f"translator {name!r} was trained with the {kind} of each galaxy and takes none without; "
                         f"{n_unknown} of the {len(pairs)} {what} pairs have none")


def _n_empty(weight):
    blocks = (np.asarray(weight[first:first + _BLOCK]) for first in range(0, weight.shape[0], _BLOCK))
    return sum(int(np.count_nonzero(~(block > 0).any(1))) for block in blocks)
