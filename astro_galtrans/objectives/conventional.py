"""The conventional objectives: squared error of stretched pixels, and of the noise that a diffusion predicts."""

from astro_galtrans.backbones import stretch
from astro_galtrans.objectives.contract import Objective, masked_mean, register_objective

__all__ = ["DenoisingObjective", "PixelObjective", "stretched_error"]

# Weight of the squared error of the clean image at a signal-to-noise ratio.
_WEIGHTINGS = {
    "velocity": lambda snr: snr + 1,
    "noise": lambda snr: snr,
    "truncated": lambda snr: snr.clamp_min(1),
}


def stretched_error(prediction, target, space):
    """Return the mean squared error of the stretched flux of valid pixels; arguments as of `Objective`."""
    noise = space.target_noise
    return masked_mean((stretch(prediction.flux, noise) - stretch(target.flux, noise)).square(), target.valid)


@register_objective("pixel")
class PixelObjective(Objective):
    """Mean squared error of the stretched pixel flux, ``sgn(f) (sqrt(|f| / s + 1) - 1)``.

    The stretch is that of Lin et al. (2021, arXiv:2101.07389) in units of the sky noise s. In nanomaggies per pixel of
    0.187 arcsec it would be linear, and the few brightest galaxies would dominate the loss.
    """

    def image_loss(self, prediction, target, space, generator):
        """Return the loss and an empty dict; see `Objective`."""
        return stretched_error(prediction, target, space), {}


@register_objective("denoising")
class DenoisingObjective(Objective):
    """Mean squared error of the predicted velocity or noise, on stretched pixels.

    An error d of the predicted clean image is one of sqrt(SNR) d in the noise that goes with it, SNR being the
    signal-to-noise ratio at the time of the diffusion. The clean image is compared in units of the ``value_scale`` of
    the output space, and its squared error is weighted:

    - ``"velocity"``: by SNR + 1, the squared error of noise and of clean image together, which is that of the
      velocity (Salimans & Ho 2022, arXiv:2202.00512);
    - ``"noise"``: by SNR, the squared error of the noise alone (Ho et al. 2020, arXiv:2006.11239). It is 0 at the last
      time, where the image is pure noise, so that the start of sampling is not learned;
    - ``"truncated"``: by max(SNR, 1), of Salimans & Ho, between the two.

    Weights as large as the SNR are safe: a network that predicts velocities errs in the clean image by b times the
    error of the velocity, with b the amplitude of the noise, and SNR times the square of b is at most 1.

    Parameters
    ----------
    weighting : {"velocity", "noise", "truncated"}, optional
        See above.
    """

    def __init__(self, weighting="velocity"):
        super().__init__()
        if weighting not in _WEIGHTINGS:
            raise ValueError(f"weighting must be one of {', '.join(_WEIGHTINGS)}, got {weighting!r}")
        self.weighting = weighting

    @classmethod
    def check_compatible(cls, backbone):
        """Raise a ValueError for a backbone that does not see noisy target images; see `Objective`."""
        if not backbone.generative:
            raise ValueError(
                "the denoising objective compares the noise that was added to the target image, and only a generative "
                f"backbone such as 'diffusion' receives noisy target images; {backbone.__name__} does not")

    def image_loss(self, prediction, target, space, generator):
        """Return the loss and an empty dict; see `Objective`."""
        error = (prediction.value - space.from_flux(target.flux)) / space.value_scale
        weight = _WEIGHTINGS[self.weighting](prediction.signal_to_noise)[:, None, None, None]
        return masked_mean(weight * error.square(), target.valid), {}
