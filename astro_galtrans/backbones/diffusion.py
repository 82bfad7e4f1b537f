"""Conditional diffusion: a network that takes noise from target images, given the input image."""

from numbers import Integral

import torch
from torch import nn

from astro_galtrans.backbones.blocks import ConditionPlanes, import_monai, pad_to_multiple
from astro_galtrans.backbones.contract import Backbone, Features, register_backbone
from astro_galtrans.backbones.resampling import resample
from astro_galtrans.backbones.schedule import DiffusionSchedule

__all__ = ["Diffusion"]

# Log fluxes run to 8 and stretched ones higher, the noisy image beside them has a variance of 1.
_INPUT_SCALE = 0.25


@register_backbone("diffusion")
class Diffusion(Backbone):
    """MONAI's U-Net for diffusion models on the target grid, with the input image as further channels.

    The input is resampled to the target grid and concatenated with the noisy image (Saharia et al. 2021,
    arXiv:2104.07636). Its levels are normalised per galaxy (group normalisation), with the time of the diffusion
    added in every block and attention over all places on the coarsest one.

    Parameters
    ----------
    n_planes, n_hints, n_condition, step
        See `Backbone`.
    channels : sequence of int, optional
        Channels of each level, the finest first; each further level halves the grid.
    n_blocks : int, optional
        Residual blocks of each level on the way down; there is one more on the way up.
    n_features : int, optional
        Channels of the feature maps on the target grid.
    n_groups : int, optional
        Groups of channels that are normalised together. Two channels a group are the least: with one, the
        normalisation would take the time of the diffusion out again.
    head_channels : int, optional
        Channels of an attention head, a divisor of the last of ``channels``.
    attention : bool, optional
        Whether each block of the coarsest level has attention, besides the one in the middle that always has.
    n_train_steps, noise_schedule
        See `DiffusionSchedule`.
    sampling_steps : int, optional
        Steps from noise to image in translation.
    """

    generative = True
    conventional = "denoising"
    sizes = {
        "tiny": {"channels": [16, 32, 32], "n_blocks": 1, "n_features": 16, "n_groups": 4, "head_channels": 32,
                 "attention": False},
        "base": {"channels": [64, 128, 256], "n_blocks": 2, "n_features": 64, "n_groups": 16, "head_channels": 64,
                 "attention": True},
    }

    def __init__(self, n_planes, n_hints, n_condition=0, *, step, channels=(16, 32, 32), n_blocks=1, n_features=16,
                 n_groups=4, head_channels=32, attention=False, n_train_steps=1000, noise_schedule="cosine",
                 sampling_steps=20):
        super().__init__()
        channels = _checked_channels(channels, n_groups, head_channels)
        for name, value in (("n_blocks", n_blocks), ("n_features", n_features)):
            if not _is_positive_integer(value):
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        self.schedule = DiffusionSchedule(n_train_steps, noise_schedule)
        if not _is_positive_integer(sampling_steps) or sampling_steps > n_train_steps:
            raise ValueError(
                f"sampling_steps must be an integer from 1 to n_train_steps = {n_train_steps}, got {sampling_steps!r}")
        self.step, self.sampling_steps = step, int(sampling_steps)
        self.n_features, self.n_embedding = int(n_features), channels[-1]
        self.multiple = 2 ** (len(channels) - 1)
        self.condition = ConditionPlanes(n_condition)
        self.unet = import_monai("monai.networks.nets", "diffusion").DiffusionModelUNet(
            spatial_dims=2, in_channels=n_planes + 2 * n_hints + self.condition.n_planes, out_channels=self.n_features,
            channels=channels, num_res_blocks=(int(n_blocks),) * len(channels), norm_num_groups=int(n_groups),
            attention_levels=(*[False] * (len(channels) - 1), bool(attention)), num_head_channels=int(head_channels),
            # One product for queries, keys and values (a bias of keys alone would have no effect), and no matrix of
            # all pairs of places in memory.
            use_combined_linear=True, use_flash_attention=True,
        )
        _wake(self.unet)

    def forward(self, planes, hints, size, condition=None, noisy=None):
        """Feature maps on the target grid, from which an image head makes the velocity; see `Backbone`."""
        if noisy is None:
            raise ValueError("noisy must be given: a diffusion backbone is trained with noisy target images and "
                             "sampled from, see Noisy")
        known = torch.cat([hints, resample(planes, size, self.step).to(hints.dtype)], 1) * _INPUT_SCALE
        x = self.condition(torch.cat([noisy.image.to(known.dtype), known], 1), condition)
        x, inside = pad_to_multiple(x, self.multiple)
        maps, middle = self._run(x, noisy.time)
        return Features(maps[inside], middle.mean((-2, -1)))

    def _run(self, x, time):
        """MONAI's forward, which does not give the middle of the network, step by step."""
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


def _is_positive_integer(value):
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0


def _checked_channels(channels, n_groups, head_channels):
    """The channels as a tuple, or a ValueError where they do not go together with groups and heads."""
    channels = tuple(channels)
    if not channels or not all(map(_is_positive_integer, channels)):
        raise ValueError(f"channels must be positive integers, got {channels}")
    if not _is_positive_integer(n_groups) or any(n % n_groups or n == n_groups for n in channels):
        raise ValueError(f"n_groups must be a proper divisor of each of channels = {channels}, got {n_groups!r}")
    if not _is_positive_integer(head_channels) or channels[-1] % head_channels:
        raise ValueError(f"head_channels must divide the last of channels = {channels}, got {head_channels!r}")
    return channels


def _wake(unet):
    """Give layers that MONAI sets to zero their usual start, smaller by ten in the residual blocks.

    A zero at the end of each residual block keeps all layers below it from learning in the first step, and one at
    the end of the network keeps all of it: the image head behind it starts small, which is enough.
    """
    with torch.no_grad():
        for name, layer in unet.named_modules():
            if isinstance(layer, nn.Conv2d) and not layer.weight.any():
                layer.reset_parameters()
                if not name.startswith("out."):
                    layer.weight.mul_(0.1)
