"""Spectroscopic information as a vector that modulates a backbone."""

import math

import torch
from torch import nn

__all__ = ["RedshiftEmbedding"]


class RedshiftEmbedding(nn.Module):
    """Sines and cosines of ln(1 + redshift) through a small network.

    A passband sees the rest frame shifted by ln(1 + z), so that this is the coordinate in which spectral features
    pass through bands at a constant rate.

    Parameters
    ----------
    n_out : int
        Length of the embedding.
    n_waves : int, optional
        Number of frequencies; the shortest wavelength is 2 / 2**n_waves in ln(1 + z).
    """

    def __init__(self, n_out, n_waves=7):
        super().__init__()
        self.register_buffer("frequency", math.pi * 2.0 ** torch.arange(n_waves), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * n_waves + 1, n_out), nn.SiLU(), nn.Linear(n_out, n_out))

    def forward(self, redshift):
        """Embed redshifts of shape ``(galaxy,)`` to shape ``(galaxy, n_out)``."""
        shift = torch.log1p(redshift)[:, None]
        waves = shift * self.frequency
        return self.layers(torch.cat([shift, waves.sin(), waves.cos()], 1))
