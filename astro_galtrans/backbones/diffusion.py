"""Conditional diffusion: a network that removes noise from target images, given the input image, and its schedule."""

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import nn

from astro_galtrans._utils.validation import configured
from astro_galtrans.backbones.blocks import ConditionPlanes, import_monai, pad_to_multiple
from astro_galtrans.backbones.contract import Backbone, Features, Noisy, register_backbone, renamed_parameters
from astro_galtrans.backbones.resampling import resample

__all__ = ["Diffusion", "DiffusionConfig", "DiffusionSchedule"]

# Log fluxes reach 8 and stretched ones more; the noisy image beside them has a variance of 1.
_INPUT_SCALE = 0.25
# Name in this package: name in MONAI.
_NOISE_SCHEDULES = {"cosine": "cosine", "linear": "linear_beta", "scaled_linear": "scaled_linear_beta"}


def _spread(values, images):
    return values[:, None, None, None].to(images)


class DiffusionSchedule(nn.Module):
    """Noise of a diffusion at each time, training draws and deterministic sampling.

    A noisy image is ``signal[t] * clean + noise[t] * e`` with e of unit variance and the squares of both rates adding
    up to 1. The rates are MONAI's, shifted and scaled so that nothing of the clean image is left at the last time (Lin
    et al. 2024, arXiv:2305.08891, algorithm 1): the usual linear rates leave 0.6 per cent of its amplitude, whose sum
    over the pixels of a galaxy contains its flux, which translation does not have.

    Parameters
    ----------
    n_train_steps : int, optional
        Number of times.
    noise_schedule : {"cosine", "linear", "scaled_linear"}, optional
        How noise rises with time. The cosine (Nichol & Dhariwal 2021, arXiv:2102.09672) has most of its times where
        the details of an image form; the linear ones spend their last quarter on images that are nearly pure noise,
        which a translator needs least, since its input contains the coarse structure.
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
        """Return the variance of clean image over noise at times of shape ``(galaxy,)``; 0 at the last time."""
        return (self.signal[time] / self.noise[time]).square()

    def draw(self, clean, generator):
        """Draw noisy images for training, each galaxy at its own time.

        Parameters
        ----------
        clean : torch.Tensor
            Images of about unit variance, shape ``(galaxy, band, Y, X)``.
        generator : torch.Generator
            On the CPU, so that the draws do not depend on the device.

        Returns
        -------
        Noisy
        """
        time = torch.randint(self.n_train_steps, (len(clean),), generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        return self.add_noise(clean, noise.to(clean), time.to(clean.device))

    def add_noise(self, clean, noise, time):
        """Return the `Noisy` images of clean images, noise of unit variance and times of shape ``(galaxy,)``."""
        image = _spread(self.signal[time], clean) * clean + _spread(self.noise[time], clean) * noise
        return Noisy(image, time)

    def clean(self, noisy, velocity):
        """Return the clean images that correspond to a velocity.

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
        """Return the times of sampling in ``n_steps`` steps, from the last one on, denser towards the clean image.

        Sampling starts where nothing of the clean image is left (Lin et al. 2024). The square roots of the times are
        evenly spaced (Song et al. 2021, appendix D.2). With even times, the last of 20 steps would remove noise of
        9 per cent of the image's root mean square at once, and most fainter structure with it.

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
        """Sample images from noise, without further noise in between (DDIM, Song et al. 2021, arXiv:2010.02502).

        Parameters
        ----------
        predict : callable
            Function of a `Noisy` that returns the predicted clean images.
        noise : torch.Tensor
            Noise of unit variance, shape ``(galaxy, band, Y, X)``.
        n_steps : int
            Calls of ``predict``, 1 to ``n_train_steps``.

        Returns
        -------
        torch.Tensor
            The samples. With one step they are the prediction from noise alone: the mean of all possible images.
        """
        times, image = self.times(n_steps), noise
        for now, after in zip(times, [*times[1:], None]):
            time = torch.full((len(image),), now, dtype=torch.int64, device=image.device)
            clean = predict(Noisy(image, time))
            if after is None:
                return clean
            direction = (image - self.signal[now] * clean) / self.noise[now]
            image = self.signal[after] * clean + self.noise[after] * direction


def _is_positive_integer(value):
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0


@dataclass(frozen=True)
class DiffusionConfig:
    """Options of the `Diffusion` backbone.

    Parameters
    ----------
    channels : sequence of int, optional
        Channels of each level, the finest first; each further level halves the grid.
    n_blocks : int, optional
        Residual blocks of each level on the way down; there is one more on the way up.
    n_features : int, optional
        Channels of the feature maps on the target grid.
    n_groups : int, optional
        Groups of channels that are normalized together, of at least two channels each: with one, the normalization
        would remove the time of the diffusion again.
    head_channels : int, optional
        Channels of an attention head, a divisor of the last of ``channels``.
    attention : bool, optional
        Whether each block of the coarsest level has attention, besides the one in the middle that always has.
    n_train_steps, noise_schedule : optional
        As of `DiffusionSchedule`.
    sampling_steps : int, optional
        Steps from noise to image in translation.
    """

    channels: tuple[int, ...] = (16, 32, 32)
    n_blocks: int = 1
    n_features: int = 16
    n_groups: int = 4
    head_channels: int = 32
    attention: bool = False
    n_train_steps: int = 1000
    noise_schedule: str = "cosine"
    sampling_steps: int = 20

    def __post_init__(self):
        channels = tuple(self.channels)
        object.__setattr__(self, "channels", channels)
        if not channels or not all(map(_is_positive_integer, channels)):
            raise ValueError(f"channels must be positive integers, got {channels}")
        if not _is_positive_integer(self.n_groups) or any(n % self.n_groups or n == self.n_groups for n in channels):
            raise ValueError(f"n_groups must be a proper divisor of each of channels = {channels}, "
                             f"got {self.n_groups!r}")
        if not _is_positive_integer(self.head_channels) or channels[-1] % self.head_channels:
            raise ValueError(f"head_channels must divide the last of channels = {channels}, got {self.head_channels!r}")
        for name in ("n_blocks", "n_features"):
            if not _is_positive_integer(getattr(self, name)):
                raise ValueError(f"{name} must be a positive integer, got {getattr(self, name)!r}")


@register_backbone("diffusion")
class Diffusion(Backbone):
    """MONAI's U-Net for diffusion models on the target grid, with the input image as further channels.

    The input is resampled to the target grid and concatenated with the noisy image (Saharia et al. 2021,
    arXiv:2104.07636). Its levels are normalized per galaxy (group normalization), with the time of the diffusion
    added in every block and attention over all places on the coarsest one.

    Parameters
    ----------
    n_planes, n_resampled, n_condition, scale_ratio
        See `Backbone`.
    **settings
        Fields of `DiffusionConfig`.
    """

    generative = True
    conventional = "denoising"
    config_class = DiffusionConfig
    sizes = {
        "tiny": {"channels": [16, 32, 32], "n_blocks": 1, "n_features": 16, "n_groups": 4, "head_channels": 32,
                 "attention": False},
        "base": {"channels": [64, 128, 256], "n_blocks": 2, "n_features": 64, "n_groups": 16, "head_channels": 64,
                 "attention": True},
    }

    @renamed_parameters
    def __init__(self, n_planes, n_resampled, n_condition=0, *, scale_ratio, **settings):
        super().__init__()
        config = configured(DiffusionConfig, None, settings)
        n_steps, n_levels = config.sampling_steps, len(config.channels)
        self.schedule = DiffusionSchedule(config.n_train_steps, config.noise_schedule)
        if not _is_positive_integer(n_steps) or n_steps > config.n_train_steps:
            raise ValueError(f"sampling_steps must be an integer from 1 to n_train_steps = {config.n_train_steps}, "
                             f"got {n_steps!r}")
        self.scale_ratio, self.sampling_steps = scale_ratio, int(n_steps)
        self.n_features, self.n_embedding = int(config.n_features), config.channels[-1]
        self.multiple = 2 ** (n_levels - 1)
        self.condition = ConditionPlanes(n_condition)
        self.unet = import_monai("monai.networks.nets", "diffusion").DiffusionModelUNet(
            spatial_dims=2, in_channels=n_planes + 2 * n_resampled + self.condition.n_planes,
            out_channels=self.n_features, channels=config.channels, num_res_blocks=(int(config.n_blocks),) * n_levels,
            norm_num_groups=int(config.n_groups), num_head_channels=int(config.head_channels),
            attention_levels=(*[False] * (n_levels - 1), bool(config.attention)),
            # One product for queries, keys and values (a bias of keys alone would have no effect), and no matrix of
            # all pairs of places in memory.
            use_combined_linear=True, use_flash_attention=True,
        )
        _reinitialize_zero_layers(self.unet)

    def forward(self, planes, resampled_input, size, condition=None, noisy=None):
        """Return feature maps on the target grid, from which an image head makes the velocity; see `Backbone`."""
        if noisy is None:
            raise ValueError("noisy must be given: a diffusion backbone is trained with noisy target images and "
                             "sampled from, see Noisy")
        planes = resample(planes, size, self.scale_ratio).to(resampled_input.dtype)
        known = torch.cat([resampled_input, planes], 1) * _INPUT_SCALE
        x = self.condition(torch.cat([noisy.image.to(known.dtype), known], 1), condition)
        x, inside = pad_to_multiple(x, self.multiple)
        maps, middle = self._run(x, noisy.time)
        return Features(maps[inside], middle.mean((-2, -1)))

    def _run(self, x, time):
        """Run MONAI's forward step by step, since it does not return the middle of the network."""
        unet = self.unet
        wave = import_monai("monai.networks.nets.diffusion_model_unet", "diffusion").get_timestep_embedding
        time = unet.time_embed(wave(time, unet.block_out_channels[0]).to(x.dtype))
        x = unet.conv_in(x)
        skips = [x]
        for block in unet.down_blocks:
            x, outputs = block(hidden_states=x, temb=time)
            skips.extend(outputs)
        x = middle = unet.middle_block(hidden_states=x, temb=time)
        for block in unet.up_blocks:
            n = len(block.resnets)
            x = block(hidden_states=x, res_hidden_states_list=skips[-n:], temb=time)
            del skips[-n:]
        return unet.out(x), middle


def _reinitialize_zero_layers(unet):
    """Initialize layers that MONAI sets to zero as usual, smaller by ten in the residual blocks.

    A zero at the end of each residual block keeps all layers below it from learning in the first step, and one at
    the end of the network all of it. The image head after it starts small, which is enough.
    """
    with torch.no_grad():
        for name, layer in unet.named_modules():
            if isinstance(layer, nn.Conv2d) and not layer.weight.any():
                layer.reset_parameters()
                if not name.startswith("out."):
                    layer.weight.mul_(0.1)
