"""Spectroscopic information as a vector that modulates a backbone."""

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["RedshiftEmbedding", "SpectrumEmbedding", "available_conditioning", "build_embedding"]


class _Embedding(nn.Module):
    """Base class: two tensors a galaxy to a vector, and a learned vector for galaxies of which nothing is known."""

    def __init__(self, n_out):
        super().__init__()
        self.unknown = nn.Parameter(torch.zeros(n_out))

    def forward(self, value, error):
        """Vectors of shape ``(galaxy, n_out)``; what `known` calls unknown gives the learned vector."""
        known = self.known(value, error)
        return torch.where(known[:, None], self._embed(value, error, known), self.unknown)


class RedshiftEmbedding(_Embedding):
    """Sines and cosines of ln(1 + redshift), damped by the redshift's uncertainty, through a small network.

    A passband sees the rest frame shifted by ln(1 + z), so that this is the coordinate in which spectral features
    pass through bands at a constant rate. Each wave is replaced by its expectation over a Gaussian of the stated
    width, exp(-k^2 s^2 / 2) sin(k x) (Barron et al. 2021, arXiv:2103.13415): what the redshift does not resolve
    vanishes by itself.

    Parameters
    ----------
    n_out : int
        Length of the embedding.
    n_waves : int, optional
        Number of frequencies; the shortest wavelength is 2 / 2**n_waves in ln(1 + z).
    """

    def __init__(self, n_out, n_waves=7):
        super().__init__(n_out)
        self.register_buffer("frequency", math.pi * 2.0 ** torch.arange(n_waves), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * n_waves + 1, n_out), nn.SiLU(), nn.Linear(n_out, n_out))

    @staticmethod
    def known(redshift, error):
        """Which galaxies have a redshift: those where it is not NaN."""
        return redshift.isfinite()

    def _embed(self, redshift, error, known):
        redshift, error = (torch.where(known, x, 0) for x in (redshift, error))
        shift = torch.log1p(redshift)[:, None]
        width = (error / (1 + redshift))[:, None]
        damping = (-0.5 * (width * self.frequency).square()).exp()
        waves = shift * self.frequency
        return self.layers(torch.cat([shift, damping * waves.sin(), damping * waves.cos()], 1))


class SpectrumEmbedding(_Embedding):
    """A spectrum on a fixed logarithmic grid of wavelengths through convolutions of one dimension.

    The network sees the flux density over its mean (the image knows how bright the galaxy is, and a fibre takes an
    unknown share of it), its signal-to-noise, and which pixels there are.

    Parameters
    ----------
    n_out : int
        Length of the embedding.
    grid : dict
        The grid of wavelengths, of which ``"n_pixels"`` is read; the rest is kept for who resamples spectra.
    widths : sequence of int, optional
        Channels of each level; each has a quarter of the pixels of the one before.
    """

    def __init__(self, n_out, grid, widths=(16, 24, 32)):
        super().__init__(n_out)
        n_pixels = grid["n_pixels"]
        channels = zip((3, *widths[:-1]), widths)
        self.levels = nn.ModuleList(nn.Conv1d(a, b, 7, stride=4, padding=3) for a, b in channels)
        for _ in widths:
            n_pixels = -(-n_pixels // 4)
        # Where in the spectrum a feature lies is the redshift: places are kept, not averaged.
        self.head = nn.Sequential(nn.Linear(widths[-1] * n_pixels, 4 * n_out), nn.SiLU(), nn.Linear(4 * n_out, n_out))

    @staticmethod
    def known(flux, weight):
        """Which galaxies have a spectrum: those with a pixel of positive weight."""
        return (weight > 0).any(1)

    def _embed(self, flux, weight, known):
        valid = weight > 0
        count = valid.sum(1, keepdim=True).clamp_min(1)
        flux = torch.where(valid, flux, 0)
        snr = (flux * torch.where(valid, weight, 0).sqrt()).clamp(-1e4, 1e4)
        mean = flux.abs().sum(1, keepdim=True) / count
        shape = torch.asinh(flux / mean.clamp_min(1e-30))
        x = torch.stack([shape, torch.asinh(snr) / 4, valid.to(flux.dtype)], 1)
        for level in self.levels:
            x = functional.silu(level(x))
        return self.head(x.flatten(1))


_EMBEDDINGS = {"redshift": RedshiftEmbedding, "spectrum": SpectrumEmbedding}


def available_conditioning():
    """What a network can be given beside the image, a tuple: None and names."""
    return None, *_EMBEDDINGS


def build_embedding(conditioning, n_out, **options):
    """The embedding of a kind of conditioning, or None.

    Parameters
    ----------
    conditioning : {None, "redshift", "spectrum"}
    n_out : int
        Length of the embedding.
    **options
        Of the embedding.

    Returns
    -------
    torch.nn.Module or None
    """
    if conditioning not in available_conditioning():
        raise ValueError(
            f"conditioning must be one of {', '.join(map(str, available_conditioning()))}, got {conditioning!r}")
    return None if conditioning is None else _EMBEDDINGS[conditioning](n_out, **options)
