"""Many galaxies as arrays through a translator."""

import warnings
from typing import NamedTuple

import astropy.units as u
import numpy as np
import torch
from tqdm.auto import tqdm

from astro_galtrans._utils.masked import floats, split
from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.backbones import invalid_footprint
from astro_galtrans.exceptions import BandMismatchError, GaltransWarning
from astro_galtrans.images import check_coverage, empty_pixels, missing_bands
from astro_galtrans.objectives import Target
from astro_galtrans.translation._conditions import checked_condition, condition_rows
from astro_galtrans.translation._sampling import checked_sampling, draw, noise

__all__ = ["Translated", "check_allowed", "check_missing", "forward", "gradient_weights", "translate"]

# Galaxies a forward pass on a CPU. More are not faster, and from 32 galaxies of 136 x 136 pixels on it is the slower by
# a third: feature maps beyond 32 MiB are given back to the system by the C library and cleared again at each layer.
_CPU_BATCH = 16


def _checked_flux(flux, survey, name):
    """Shape ``(galaxy, band, y, x)``, float32, in the unit of the survey; masked values become NaN."""
    parts = split(flux, name)
    unit, flux = parts.unit, floats(parts, name)
    if flux.ndim != 4:
        raise ValueError(f"{name} must have shape (galaxy, band, y, x), got {flux.shape}")
    if flux.shape[1] != len(survey):
        raise BandMismatchError(
            f"{name} must have the {len(survey)} bands {','.join(survey.band_names)} of {survey.name}, "
            f"got {flux.shape[1]}"
        )
    if min(flux.shape[2:]) < 4:
        raise ValueError(f"{name} must have at least 4 x 4 pixels, got {flux.shape[2:]}")
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and so masked
        if unit not in (None, survey.unit):
            flux = flux * _per_band(unit, survey, name)
        return flux.astype(np.float32, copy=False)


def _per_band(unit, survey, name):
    """Numbers that take flux in ``unit`` to the unit of the survey, shape ``(band, 1, 1)``."""
    try:
        one = (1 * unit).to_value(u.Jy)
    except u.UnitConversionError as error:
        raise ValueError(f"{name} must be convertible to {survey.unit} or Jy, got {unit}") from error
    return one / np.array([band.flux_per_unit().to_value(u.Jy) for band in survey])[:, None, None]


def _tensor(array, device):
    """A tensor of an array, copied where its strides are not torch's or it is read-only, of which torch warns."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)


def _weighted(weight, name):
    """Where an inverse variance is that of a measurement: above 0 and finite."""
    weight = floats(weight, name)
    return (weight > 0) & np.isfinite(weight)


class Translated(NamedTuple):
    """A batch of translated galaxies, as tensors."""

    flux: torch.Tensor
    """Target flux, shape ``(galaxy, band, Y, X)``; the mean where several samples were drawn."""
    sigma: torch.Tensor
    """Its standard deviation."""
    masked: torch.Tensor | None
    """Which pixels rest on invalid pixels of the input, None if none do."""
    samples: torch.Tensor | None
    """Flux of each sample of a generative network, shape ``(sample, galaxy, band, Y, X)``."""


def forward(translator, flux, valid, condition, size, sampling=None, galaxies=None):
    """One batch of arrays through the network.

    Parameters
    ----------
    translator : Translator
    flux : ndarray
        Shape ``(galaxy, band, y, x)``, float32; values of invalid pixels do not matter.
    valid : ndarray of bool or None
        Same shape; None if all are.
    condition : tuple of ndarray or None
    size : tuple of int
    sampling : Sampling, optional
        Where the network is generative.
    galaxies : sequence of int, optional
        Number of each galaxy, for the noise that its samples are made from.

    Returns
    -------
    Translated
    """
    tensor, valid, masked, condition = _to_device(translator, flux, valid, condition, size)
    network, samples = translator.network, None
    if sampling is None:
        prediction = network(tensor, size, condition, valid=valid)
        image, sigma = prediction.flux, network.sigma(prediction)
    else:
        prediction, samples = draw(network, tensor, size, condition, sampling, galaxies, valid)
        image, sigma = samples.mean(0), network.sigma(prediction)
        if len(samples) > 1:
            sigma = samples.std(0)
    broken = ~(image.isfinite() & sigma.isfinite())
    if bool(broken.any()):  # the input was beyond what float32 can follow
        masked = broken if masked is None else masked | broken
    return Translated(image, sigma, masked, samples)


def _to_device(translator, flux, valid, condition, size):
    """Tensors of a batch: flux, pixels with data, the target pixels that depend on the others, and the condition."""
    device = translator.device
    tensor, masked = _tensor(flux, device), None
    valid = None if valid is None or valid.all() else _tensor(valid, device)
    if valid is not None:
        masked = invalid_footprint(translator.network, valid, size)
    if condition is not None:
        condition = tuple(_tensor(part, device) for part in condition)
    return tensor, valid, masked, condition


def check_missing(translator, valid, allow_missing, name):
    """Check that the network can do without the data that is missing.

    Parameters
    ----------
    translator : Translator
    valid : ndarray of bool
        Pixels with data, shape ``(galaxy, band, y, x)``. Galaxies without any are not counted.
    allow_missing : bool
    name : str
        The argument, for the message.

    Raises
    ------
    BandMismatchError
        If a band of a galaxy is missing, as of `~astro_galtrans.images.missing_bands`, and this is not allowed.
    """
    if allow_missing:
        return
    survey = translator.input_survey
    missing = missing_bands(valid, survey.pixel_scale) & valid.any((1, 2, 3))[:, None]
    advice = "allow_missing=True translates without it" if translator.network.takes_missing else (
        f"translator {translator.name!r} was not trained with missing bands (input_dropout of TrainConfig)")
    check_coverage(missing, survey.band_names, name, advice)


def check_allowed(translator, allow_missing):
    """ValueError if missing data is allowed and the network was not trained with any."""
    if allow_missing and not translator.network.takes_missing:
        raise ValueError("allow_missing is for translators that were trained with an input_dropout above 0 in "
                         f"TrainConfig, which {translator.name!r} was not")


@torch_defaults()
@torch.inference_mode()
def translate(translator, flux, *, weight, condition, sampling, batch_size, device, return_uncertainty, return_samples,
              allow_missing, progress):
    """See `Translator.translate_array`; ``condition`` is a dict of what was given, ``sampling`` another."""
    flux = _checked_flux(flux, translator.input_survey, "flux")
    if weight is not None and np.shape(weight) != flux.shape:
        raise ValueError(f"weight must have the shape of flux, {flux.shape}, got {np.shape(weight)}")
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive int, got {batch_size!r}")
    condition = checked_condition(translator, len(flux), **condition)
    sampling = checked_sampling(translator, **sampling)
    if return_samples and sampling is None:
        raise ValueError(f"return_samples is for translators that draw samples, which {translator.name!r} does not")
    numbers = None if sampling is None else sampling.numbers(len(flux))
    check_allowed(translator, allow_missing)
    if device is not None:
        translator.to(device)
    if translator.device.type == "cpu":
        batch_size = min(batch_size, _CPU_BATCH)
    size = translator.target_size(flux.shape[2:])
    shape = len(flux), len(translator.target_survey), *size
    arrays = {"samples": np.empty((sampling.n_samples, *shape), np.float32)} if return_samples else {
        "flux": np.empty(shape, np.float32)}
    if return_uncertainty:
        arrays["sigma"] = np.empty(shape, np.float32)
    n_empty = 0
    starts = tqdm(range(0, len(flux), batch_size), desc="translate", unit="batch", disable=not progress)
    for start in starts:
        rows = slice(start, min(start + batch_size, len(flux)))
        valid = np.isfinite(flux[rows]) & ~empty_pixels(flux[rows])
        if weight is not None:
            valid &= _weighted(weight[rows], "weight")
        n_empty += np.count_nonzero(~valid.any((1, 2, 3)))
        check_missing(translator, valid, allow_missing, "flux")
        translated = forward(translator, flux[rows], valid, condition_rows(condition, rows), size, sampling,
                             None if numbers is None else numbers[rows])
        for name, array in arrays.items():
            image = getattr(translated, name)
            if translated.masked is not None:
                image = image.masked_fill(translated.masked, torch.nan)
            array[..., rows, :, :, :] = image.cpu().numpy()
    if n_empty:
        warnings.warn(f"{n_empty} of {len(flux)} galaxies have no usable pixel and become NaN", GaltransWarning, 3)
    results = tuple(arrays.values())
    return results if return_uncertainty else results[0]


def _guess(network, flux, size, condition, valid):
    """The prediction from the input alone, which for a generative network is the first step of its sampler."""
    if not network.generative:
        return network(flux, size, condition, valid=valid)
    deviates = noise(0, 0, range(len(flux)), (len(network.nearest_band), *size)).to(flux.device)
    return network.sample(flux, size, condition, noise=deviates, n_steps=1, valid=valid)


@torch_defaults()
def gradient_weights(translator, input_flux, target_flux, condition, target_weight, scale):
    """See `Translator.gradient_weights`."""
    flux = _checked_flux(input_flux, translator.input_survey, "input_flux")
    target = _checked_flux(target_flux, translator.target_survey, "target_flux")
    if len(target) != len(flux):
        raise ValueError(f"target_flux must have {len(flux)} galaxies as input_flux, got {len(target)}")
    condition = checked_condition(translator, len(flux), **condition)
    size = translator.target_size(flux.shape[2:])
    if target.shape[2:] != size:
        raise ValueError(f"target_flux must have {size[0]} x {size[1]} pixels for input_flux of "
                         f"{flux.shape[2]} x {flux.shape[3]}, got {target.shape[2]} x {target.shape[3]}")
    n_bands = len(translator.target_survey)
    elements = translator.objective.elements
    if elements != "gradients":
        raise ValueError(f"gradient weights need a translator trained on elements='gradients', got {elements!r}")
    known = np.isfinite(flux) & ~empty_pixels(flux)
    valid = np.isfinite(target) & ~empty_pixels(target)
    if target_weight is not None:
        if np.shape(target_weight) != target.shape:
            raise ValueError(
                f"target_weight must have the shape of target_flux, {target.shape}, got {np.shape(target_weight)}")
        valid &= _weighted(target_weight, "target_weight")
    check_missing(translator, known, False, "input_flux")
    weights = []
    for row in range(len(flux)):
        one = slice(row, row + 1)
        with torch.no_grad():
            tensor, usable, _, given = _to_device(
                translator, flux[one], known[one], condition_rows(condition, one), size)
            prediction = _guess(translator.network, tensor, size, given, usable)
        images = torch.from_numpy(np.where(valid[one], target[one], 0)).to(translator.device)
        mask = None if valid[one].all() else torch.from_numpy(valid[one]).to(translator.device)
        known_target = Target(images, torch.ones_like(images), mask)
        weights.append(translator.objective.weights(
            prediction, known_target, translator.network.output_space, scale).cpu().numpy())
    parts = np.split(np.concatenate(weights), [n_bands, 2 * n_bands], axis=1)
    return {
        name: part / max(part[part > 0].mean() if np.any(part > 0) else 1.0, 1e-30)
        for name, part in zip(("x", "y", "passband"), parts)
    }
