"""How much noise a diffusion adds at each of its times, and how it is taken away again."""

from numbers import Integral

import torch
from torch import nn

from astro_galtrans.backbones.blocks import import_monai
from astro_galtrans.backbones.contract import Noisy

__all__ = ["DiffusionSchedule"]

# Name here to name in MONAI.
_NOISE_SCHEDULES = {"cosine": "cosine", "linear": "linear_beta", "scaled_linear": "scaled_linear_beta"}


def _spread(values, images):
    return values[:, None, None, None].to(images)


class DiffusionSchedule(nn.Module):
    """Noise of a diffusion at each time, training draws and deterministic sampling.

    A noisy image is ``signal[t] * clean + noise[t] * e`` with e of unit variance and the squares of both rates adding
    up to 1. The rates are MONAI's, shifted and scaled so that nothing of the clean image is left at the last time (Lin
    et al. 2024, arXiv:2305.08891, algorithm 1): the usual linear rates leave 0.6 per cent of its amplitude, which
    summed over the pixels of a galaxy tells its flux, while in translation there is none to be told.

    Parameters
    ----------
    n_train_steps : int, optional
        Number of times.
    noise_schedule : {"cosine", "linear", "scaled_linear"}, optional
        How noise rises with time. The cosine (Nichol & Dhariwal 2021, arXiv:2102.09672) has most of its times where
        the detail of an image is decided; the linear ones spend their last quarter on images that are hardly more
        than noise, where a translator needs it least: the coarse structure is in its input.
    """

    def __init__(self, n_train_steps=1000, noise_schedule="cosine"):
        super().__init__()
        if not isinstance(n_train_steps, Integral) or n_train_steps < 2:
            raise ValueError(f"n_train_steps must be an integer of at least 2, got {n_train_steps!r}")
        if noise_schedule not in _NOISE_SCHEDULES:
            raise ValueError(
                f"noise_schedule must be one of {', '.join(_NOISE_SCHEDULES)}, got {noise_schedule!r}")
        schedulers = import_monai("monai.networks.schedulers", "diffusion")
        self.n_train_steps, self.noise_schedule = int(n_train_steps), noise_schedule
        rates = schedulers.DDPMScheduler(self.n_train_steps, _NOISE_SCHEDULES[noise_schedule])
        # Double precision: 1 - signal^2 at the first times would have three digits.
        signal = (1 - rates.betas.double()).cumprod(0).sqrt()
        signal = (signal - signal[-1]) * (signal[0] / (signal[0] - signal[-1]))
        self.register_buffer("signal", signal.float(), persistent=False)
        self.register_buffer("noise", (1 - signal.square()).sqrt().float(), persistent=False)

    def signal_to_noise(self, time):
        """Variance of the clean image over that of the noise at times of shape ``(galaxy,)``; 0 at the last time."""
        return (self.signal[time] / self.noise[time]).square()

    def draw(self, clean, generator):
        """Noisy images for training, each galaxy at a time of its own.

        Parameters
        ----------
        clean : torch.Tensor
            Images of about unit variance, shape ``(galaxy, band, Y, X)``.
        generator : torch.Generator
            On the CPU, so that the draws are the same on any device.

        Returns
        -------
        Noisy
        """
        time = torch.randint(self.n_train_steps, (len(clean),), generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        return self.add_noise(clean, noise.to(clean), time.to(clean.device))

    def add_noise(self, clean, noise, time):
        """The noisy images of clean images, noise of unit variance and times of shape ``(galaxy,)``, a `Noisy`."""
        image = _spread(self.signal[time], clean) * clean + _spread(self.noise[time], clean) * noise
        return Noisy(image, time)

    def clean(self, noisy, velocity):
        """The clean images that a velocity stands for.

        Parameters
        ----------
        noisy : Noisy
        velocity : torch.Tensor
            ``signal * e - noise * clean`` (Salimans & Ho 2022, arXiv:2202.00512), of the shape of ``noisy.image``.

        Returns
        -------
        torch.Tensor
        """
        signal, noise = (_spread(rate[noisy.time], velocity) for rate in (self.signal, self.noise))
        return signal * noisy.image - noise * velocity

    def times(self, n_steps):
        """Times that sampling in ``n_steps`` steps goes through, from the last one on, closer towards the clean image.

        It starts where nothing of the clean image is left: to start earlier would take pure noise for an image with
        some signal in it (Lin et al. 2024). The square roots of the times are evenly spaced (Song et al. 2021,
        appendix D.2). With even times, the last of 20 steps would take noise of 9 per cent of the image's root mean
        square away at once, and with it most of what is fainter.

        Returns
        -------
        list of int
        """
        if not isinstance(n_steps, Integral) or not 1 <= n_steps <= self.n_train_steps:
            raise ValueError(
                f"n_steps must be an integer from 1 to n_train_steps = {self.n_train_steps}, got {n_steps!r}")
        # At least as many times as steps are left below each, so that no time comes twice.
        return [max(round(self.n_train_steps * (left / n_steps) ** 2), left) - 1 for left in range(n_steps, 0, -1)]

    def sample(self, predict, noise, n_steps):
        """Images from noise, without further noise on the way (DDIM, Song et al. 2021, arXiv:2010.02502, eta = 0).

        Parameters
        ----------
        predict : callable
            Takes a `Noisy` and returns the clean images that it sees in it.
        noise : torch.Tensor
            Noise of unit variance, shape ``(galaxy, band, Y, X)``.
        n_steps : int
            Calls of ``predict``, 1 to ``n_train_steps``.

        Returns
        -------
        torch.Tensor
            The samples. With one step they are what is predicted from noise alone: the mean of all images that are
            possible.
        """
        times, image = self.times(n_steps), noise
        for now, after in zip(times, [*times[1:], None]):
            time = torch.full((len(image),), now, dtype=torch.int64, device=image.device)
            clean = predict(Noisy(image, time))
            if after is None:
                return clean
            direction = (image - self.signal[now] * clean) / self.noise[now]
            image = self.signal[after] * clean + self.noise[after] * direction
