"""The conventional objective: squared error of stretched pixels."""

import torch

from astro_galtrans.objectives.contract import Objective, register_objective

__all__ = ["PixelObjective"]


@register_objective("pixel")
class PixelObjective(Objective):
    """Mean squared error in the network's output space, by default sgn(f) (sqrt(|f| / s + 1) - 1) of the pixel flux.

    The stretch is that of Lin et al. (2021, arXiv:2101.07389) with the sky noise s as its unit: nanomaggies per pixel
    of 0.187 arcsec would leave the stretch linear and the loss to the few brightest galaxies.

    Parameters
    ----------
    n_bands, n_features, n_embedding : int
        Of the network; not used here.
    """

    output = "sqrt"
    residual = False

    def __init__(self, n_bands, n_features, n_embedding):
        super().__init__()

    def forward(self, network, prediction, target, valid, generator, progress=1.0):
        """Loss and an empty dict; see `Objective`."""
        error = (prediction.value - network.from_flux(target)).square()
        if valid is None:
            return error.mean(), {}
        return torch.where(valid, error, 0).sum() / valid.sum().clamp_min(1), {}
