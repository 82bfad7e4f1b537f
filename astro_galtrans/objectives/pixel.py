"""The conventional objective: squared error of stretched pixels."""

from astro_galtrans.backbones import stretch
from astro_galtrans.objectives.contract import Objective, masked_mean, register_objective

__all__ = ["PixelObjective", "stretched_error"]


def stretched_error(network, prediction, target, valid):
    """Mean squared error of the stretched flux of valid pixels, a scalar tensor; arguments as of `Objective`."""
    noise = network.target_noise
    return masked_mean((stretch(prediction.flux, noise) - stretch(target, noise)).square(), valid)


@register_objective("pixel")
class PixelObjective(Objective):
    """Mean squared error of the stretched pixel flux, ``sgn(f) (sqrt(|f| / s + 1) - 1)``.

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
        return stretched_error(network, prediction, target, valid), {}
