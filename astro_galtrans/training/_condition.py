"""What a conditioned network is told of each galaxy in training: at times nothing, or an uncertain redshift."""

import math

import torch

__all__ = ["condition_of"]

# Limits, in dz / (1 + z), of the errors by which redshifts are scattered, alike in their logarithm.
_SMALLEST, _LARGEST = 1e-3, 0.1


def condition_of(batch, conditioning, shares, generator):
    """The condition of a batch, as `~astro_galtrans.backbones.TranslationNetwork` takes it.

    Parameters
    ----------
    batch : dict
        From `PairBatches`.
    conditioning : {None, "redshift", "spectrum"}
    shares : tuple of float or None
        Shares of the galaxies that are hidden, and whose redshift is scattered by an error that the network is told;
        None in validation, where nothing is changed.
    generator : torch.Generator

    Returns
    -------
    tuple of torch.Tensor or None
    """
    if conditioning is None:
        return None
    if conditioning == "spectrum":
        flux, weight = batch["spectrum_flux"], batch["spectrum_weight"]
        if shares is not None:
            hidden = torch.rand(len(flux), generator=generator) < shares[0]
            weight = torch.where(hidden.to(weight.device)[:, None], 0, weight)
        return flux, weight
    redshift, error = batch["redshift"], batch["redshift_error"]
    error = torch.zeros_like(redshift) if error is None else error.nan_to_num(0.0)
    if shares is not None:
        redshift, error = _scattered(redshift, error, shares[1], generator)
        hidden = torch.rand(len(redshift), generator=generator) < shares[0]
        redshift = torch.where(hidden.to(redshift.device), torch.nan, redshift)
    return redshift, error


def _scattered(redshift, error, share, generator):
    """Some of the redshifts with an error added, and their errors."""
    draws = torch.rand(2, len(redshift), generator=generator)
    normal = torch.randn(len(redshift), generator=generator).clamp(-3, 3)
    size = (math.log(_SMALLEST) + draws[1] * math.log(_LARGEST / _SMALLEST)).exp()
    size = torch.where(draws[0] < share, size, 0).to(redshift.device) * (1 + redshift)
    return redshift + size * normal.to(redshift.device), torch.hypot(error, size)
