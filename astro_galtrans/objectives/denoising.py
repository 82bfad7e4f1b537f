"""The conventional objective of a diffusion: squared error of the noise that it sees in noisy target images."""

from astro_galtrans.objectives.contract import Objective, masked_mean, register_objective

__all__ = ["DenoisingObjective"]

# Weight of the squared error of the clean image at a signal-to-noise ratio.
_WEIGHTINGS = {
    "velocity": lambda snr: snr + 1,
    "noise": lambda snr: snr,
    "truncated": lambda snr: snr.clamp_min(1),
}


@register_objective("denoising")
class DenoisingObjective(Objective):
    """Mean squared error of the predicted velocity or noise, on stretched pixels.

    An error d of the predicted clean image is one of sqrt(SNR) d in the noise that goes with it, SNR being the
    signal-to-noise ratio at the time of the diffusion. The clean image is compared, in units of the network's
    ``value_scale``, and its squared error is weighted:

    - ``"velocity"``: by SNR + 1, the squared error of noise and of clean image together, which is that of the
      velocity (Salimans & Ho 2022, arXiv:2202.00512);
    - ``"noise"``: by SNR, the squared error of the noise alone (Ho et al. 2020, arXiv:2006.11239). It is 0 at the last
      time, where the image is nothing but noise, so that what sampling starts with is not learned;
    - ``"truncated"``: by max(SNR, 1), of Salimans & Ho, between the two.

    Weights as large as the SNR are safe: a network that predicts velocities errs in the clean image by b times the
    error of the velocity, with b the amplitude of the noise, and SNR times the square of b is at most 1.

    Parameters
    ----------
    n_bands, n_features, n_embedding : int
        Of the network; not used here.
    weighting : {"velocity", "noise", "truncated"}, optional
        See above.
    """

    output = "sqrt"
    residual = False

    def __init__(self, n_bands, n_features, n_embedding, weighting="velocity"):
        super().__init__()
        if weighting not in _WEIGHTINGS:
            raise ValueError(f"weighting must be one of {', '.join(_WEIGHTINGS)}, got {weighting!r}")
        self.weighting = weighting

    @classmethod
    def refusal(cls, backbone_class):
        """Why a backbone cannot be trained with this objective, or None."""
        if backbone_class.generative:
            return None
        return ("the denoising objective asks which noise was added to the target image, and only a generative "
                f"backbone such as 'diffusion' is shown noisy target images; {backbone_class.__name__} is not")

    def forward(self, network, prediction, target, valid, generator, progress=1.0):
        """Loss and an empty dict; see `Objective`."""
        snr = network.backbone.schedule.signal_to_noise(prediction.time)
        error = (prediction.value - network.from_flux(target)) / network.value_scale
        weight = _WEIGHTINGS[self.weighting](snr)[:, None, None, None]
        return masked_mean(weight * error.square(), valid), {}
