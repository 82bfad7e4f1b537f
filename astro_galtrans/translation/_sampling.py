"""How many images a generative translator draws of each galaxy, and from which random numbers."""

from typing import NamedTuple

import numpy as np
import torch

__all__ = ["Sampling", "checked_sampling", "draw", "noise"]


class Sampling(NamedTuple):
    """How a generative translator is sampled from."""

    n_samples: int
    """Images drawn of each galaxy."""
    seed: int
    """Of the noise that they are made from."""
    n_steps: int | None
    """Steps of the sampler; None for the number the backbone was built with."""
    galaxies: tuple | None = None
    """Number of each galaxy, which with the seed decides its noise; None for 0, 1, 2 ..."""

    def numbers(self, n_galaxies):
        """Number of each of some galaxies, a sequence of int."""
        if self.galaxies is None:
            return range(n_galaxies)
        if len(self.galaxies) != n_galaxies:
            raise ValueError(f"galaxies must be {n_galaxies} numbers, one a galaxy, got {len(self.galaxies)}")
        return self.galaxies


def checked_sampling(translator, n_samples=None, seed=None, n_steps=None, galaxies=None):
    """A `Sampling` for a generative translator, None for another."""
    given = {"n_samples": n_samples, "seed": seed, "n_steps": n_steps, "galaxies": galaxies}
    if not translator.network.generative:
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{name} is for translators that draw samples, as those with backbone 'diffusion'; "
                                 f"{translator.name!r} has one translation for each image")
        return None
    for name, value, low in (("n_samples", n_samples, 1), ("seed", seed, 0), ("n_steps", n_steps, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low):
            raise ValueError(f"{name} must be an int of at least {low}, got {value!r}")
    if galaxies is not None:
        galaxies = np.atleast_1d(galaxies)
        if galaxies.ndim != 1 or galaxies.dtype.kind not in "iu" or np.any(galaxies < 0):
            raise ValueError(f"galaxies must be ints of at least 0, one a galaxy, got {galaxies!r}")
        galaxies = tuple(galaxies.tolist())
    return Sampling(int(n_samples or 1), int(seed or 0), None if n_steps is None else int(n_steps), galaxies)


def noise(seed, sample, galaxies, shape):
    """Standard normal deviates, each galaxy's its own whatever the batch, shape ``(galaxy, *shape)``."""
    draws = (np.random.default_rng([seed, sample, int(galaxy)]).standard_normal(shape, np.float32)
             for galaxy in galaxies)
    return torch.from_numpy(np.stack(list(draws)))


def draw(network, flux, size, condition, sampling, galaxies, valid=None):
    """Samples of a batch of galaxies.

    Parameters
    ----------
    network : TranslationNetwork
    flux, size, condition
        As of `TranslationNetwork.sample`.
    sampling : Sampling
    galaxies : sequence of int
        Number of each galaxy, which with the seed and the sample's number decides its noise.
    valid : torch.Tensor of bool, optional
        As of `TranslationNetwork.sample`.

    Returns
    -------
    prediction : Prediction
        Of the last sample.
    samples : torch.Tensor
        Flux, shape ``(sample, galaxy, band, Y, X)``.
    """
    samples = []
    for number in range(sampling.n_samples):
        deviates = noise(sampling.seed, number, galaxies, (len(network.nearest_band), *size)).to(flux.device)
        prediction = network.sample(flux, size, condition, noise=deviates, n_steps=sampling.n_steps, valid=valid)
        samples.append(prediction.flux)
    return prediction, torch.stack(samples)
