"""Batches of galaxies as arrays through a network."""

from __future__ import annotations

from typing import NamedTuple

import astropy.units as u
import numpy as np
import torch

from astro_galtrans._utils.masked import floats, split
from astro_galtrans._utils.reprs import shapes
from astro_galtrans.backbones import invalid_footprint
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import empty_pixels

__all__ = [
    "CPU_BATCH", "Translated", "TranslatedArrays", "checked_flux", "first_prediction", "forward", "to_tensors",
    "usable_pixels",
]

# Galaxies per forward pass on a CPU. More are not faster, and from 32 galaxies of 136 x 136 pixels on slower by a
# third: the C library returns feature maps beyond 32 MiB to the system, which clears them again for each layer.
CPU_BATCH = 16


class TranslatedArrays(NamedTuple):
    """Translated galaxies with their uncertainty."""

    flux: np.ndarray
    """Shape ``(galaxy, target band, Y, X)``, float32, in the target survey's unit, NaN where it depends on masked
    pixels."""
    uncertainty: np.ndarray
    """Standard deviation against a noise-free target image, same shape. Of several samples it is their spread, which
    includes the target's noise."""

    def __repr__(self) -> str:
        return shapes(self)


class Translated(NamedTuple):
    """A batch of translated galaxies, as tensors."""

    flux: torch.Tensor
    """Target flux, shape ``(galaxy, band, Y, X)``; the mean of several samples."""
    sigma: torch.Tensor
    """Its standard deviation."""
    masked: torch.Tensor | None
    """Pixels that depend on invalid pixels of the input, None if none do."""
    samples: torch.Tensor | None
    """Flux of each sample, shape ``(sample, galaxy, band, Y, X)``; None where no samples are drawn."""
    embedding: torch.Tensor | None = None
    """Embedding of the input, shape ``(galaxy, n_embedding)``; None of a generative network, where it is random."""


def checked_flux(flux, survey, name):
    """Return flux of shape ``(galaxy, band, y, x)``, float32, in the unit of the survey; masked values become NaN."""
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
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and so masked
        if unit not in (None, survey.unit):
            flux = flux * _unit_factors(unit, survey, name)
        return flux.astype(np.float32, copy=False)


def _unit_factors(unit, survey, name):
    """Factors from flux in ``unit`` to the unit of the survey, shape ``(band, 1, 1)``."""
    try:
        one = (1 * unit).to_value(u.Jy)
    except u.UnitConversionError as error:
        raise ValueError(f"{name} must be convertible to {survey.unit} or Jy, got {unit}") from error
    return one / np.array([band.flux_per_unit().to_value(u.Jy) for band in survey])[:, None, None]


def usable_pixels(flux, weight, names):
    """Return a function from a slice of galaxies to their pixels with data; ``names`` are those of the arguments."""
    if weight is not None and np.shape(weight) != flux.shape:
        raise ValueError(f"{names[1]} must have the shape of {names[0]}, {flux.shape}, got {np.shape(weight)}")

    def valid(rows):
        good = np.isfinite(flux[rows]) & ~empty_pixels(flux[rows])
        if weight is not None:
            part = floats(weight[rows], names[1])
            good &= (part > 0) & np.isfinite(part)
        return good

    return valid


def _tensor(array, device):
    """A tensor of an array, copied where its strides are not torch's or it is read-only, which torch warns of."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)


def to_tensors(device, flux, valid, condition):
    """Return flux, valid pixels (None if all are) and condition of a batch as tensors."""
    valid = None if valid is None or valid.all() else _tensor(valid, device)
    condition = None if condition is None else tuple(_tensor(part, device) for part in condition)
    return _tensor(flux, device), valid, condition


def forward(network, flux, valid, condition, size, sampling=None, numbers=None, observing=None, errors=None):
    """Translate one batch of arrays.

    ``numbers`` are those of the galaxies, for the noise of their samples. ``errors``, an `ErrorModel`, draws the
    samples of a network that is not generative; otherwise None.
    """
    tensor, valid, condition = to_tensors(network.target_noise.device, flux, valid, condition)
    masked = None if valid is None else invalid_footprint(network, valid, size)
    samples = embedding = None
    if sampling is None or not network.generative:
        prediction = network(tensor, size, condition, valid=valid, observing=observing)
        image, sigma, embedding = prediction.flux, network.sigma(prediction), prediction.embedding
        if errors is not None:
            sigma = sigma * torch.from_numpy(errors.scales(size)).to(sigma)
        if sampling is not None:
            deviates = _deviates(network, sampling, numbers, size)
            samples = torch.stack([image + error.to(image) for error in errors.draws(image, sigma, deviates)])
    else:
        samples = []
        for number in range(sampling.n_samples):
            deviates = _noise(network, sampling.seed, number, numbers, size)
            prediction = network.sample(tensor, size, condition, noise=deviates, n_steps=sampling.n_steps, valid=valid,
                                        observing=observing)
            samples.append(prediction.flux)
        samples = torch.stack(samples)
        image, sigma = samples.mean(0), network.sigma(prediction)
        if len(samples) > 1:
            sigma = samples.std(0)
    broken = ~(image.isfinite() & sigma.isfinite())
    if bool(broken.any()):  # the input was beyond the range of float32
        masked = broken if masked is None else masked | broken
    return Translated(image, sigma, masked, samples, embedding)


def _deviates(network, sampling, numbers, size):
    """Yield for each sample what `ErrorModel.draws` takes, which depends on seed, sample and galaxy."""
    for number in range(sampling.n_samples):
        generators = [np.random.default_rng([sampling.seed, number, int(galaxy), 1]) for galaxy in numbers]
        yield _noise(network, sampling.seed, number, numbers, size), generators


def _noise(network, seed, sample, numbers, size):
    """Standard normal deviates that depend on the galaxy, not on its batch, ``(galaxy, target band, *size)``."""
    shape = len(network.nearest_band), *size
    draws = [np.random.default_rng([seed, sample, int(number)]).standard_normal(shape, np.float32)
             for number in numbers]
    return torch.from_numpy(np.stack(draws)).to(network.target_noise.device)


def first_prediction(network, flux, size, condition, valid, observing=None):
    """Return the prediction from the input alone, of a generative network the first step of its sampler."""
    if not network.generative:
        return network(flux, size, condition, valid=valid, observing=observing)
    noise = _noise(network, 0, 0, range(len(flux)), size)
    return network.sample(flux, size, condition, noise=noise, n_steps=1, valid=valid, observing=observing)
