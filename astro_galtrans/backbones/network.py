"""The translation network: normalisation, residual path, backbone and heads, flux in and flux out."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from astro_galtrans.backbones.conditioning import RedshiftEmbedding
from astro_galtrans.backbones.contract import build_backbone
from astro_galtrans.backbones.resampling import resample

__all__ = ["Prediction", "TranslationNetwork", "fill_invalid", "invalid_footprint", "stretch"]

_CONDITION_LENGTH = 32
# Side, in target pixels, of the square over which the resampled input is averaged in the residual path.
_BASE_SMOOTHING = 5


class Prediction(NamedTuple):
    """What the network says of the target images of a batch."""

    flux: torch.Tensor
    """Target flux in the target survey's unit, shape ``(galaxy, band, Y, X)``."""
    value: torch.Tensor
    """The same in the network's own output space: softened log flux, or stretched flux."""
    log_sigma: torch.Tensor
    """Logarithm of the translation's own standard deviation in flux, in units of the target's sky noise."""
    maps: torch.Tensor
    """Feature maps of the backbone on the target grid, shape ``(galaxy, n_features, Y, X)``."""
    embedding: torch.Tensor
    """One vector a galaxy, shape ``(galaxy, n_embedding)``."""


def stretch(flux, noise):
    """Square-root stretch sgn(f) (sqrt(|f| / s + 1) - 1) of flux f in units of the noise s (arXiv:2101.07389)."""
    scaled = flux / noise
    return scaled.sign() * ((scaled.abs() + 1).sqrt() - 1)


class TranslationNetwork(nn.Module):
    """Flux of the input bands to flux of the target bands.

    Parameters
    ----------
    backbone : str
        Registered name of the backbone.
    input_noise, target_noise : sequence of float
        Noise of one pixel per band, in each survey's unit: the softening of the log flux.
    unit_ratio : sequence of float
        Target flux in target units of a source whose flux in the nearest input band is one input unit, per target band.
    nearest_band : sequence of int
        Index of the input band nearest in wavelength, per target band.
    step : float
        Target pixel scale over input pixel scale.
    output : {"log", "sqrt"}, optional
        Space in which the network adds up: softened log flux asinh(f / 2s), or sgn(f) (sqrt(|f| / s + 1) - 1).
    residual : bool, optional
        Whether the network's output is added to the resampled input.
    conditioning : {None, "redshift"}, optional
        What else the network is given.
    backbone_options : dict, optional
        Passed to the backbone.
    """

    def __init__(self, backbone, input_noise, target_noise, unit_ratio, nearest_band, step, *, output="log",
                 residual=True, conditioning=None, backbone_options=None):
        super().__init__()
        if output not in ("log", "sqrt"):
            raise ValueError(f"output must be 'log' or 'sqrt', got {output!r}")
        if conditioning not in (None, "redshift"):
            raise ValueError(f"conditioning must be None or 'redshift', got {conditioning!r}")
        self.options = {
            "backbone": backbone, "input_noise": [float(x) for x in input_noise],
            "target_noise": [float(x) for x in target_noise], "unit_ratio": [float(x) for x in unit_ratio],
            "nearest_band": [int(x) for x in nearest_band], "step": float(step), "output": output,
            "residual": bool(residual), "conditioning": conditioning, "backbone_options": dict(backbone_options or {}),
        }
        self.step, self.output, self.residual, self.conditioning = float(step), output, bool(residual), conditioning
        for name, values in (("input_noise", input_noise), ("target_noise", target_noise), ("unit_ratio", unit_ratio)):
            self.register_buffer(name, torch.tensor(self.options[name])[:, None, None], persistent=False)
        self.nearest_band = self.options["nearest_band"]
        n_target = len(self.nearest_band)
        self.condition = RedshiftEmbedding(_CONDITION_LENGTH) if conditioning else None
        self.backbone = build_backbone(
            backbone, n_planes=len(self.options["input_noise"]), n_hints=n_target,
            n_condition=_CONDITION_LENGTH if conditioning else 0, **self.options["backbone_options"],
        )
        n_features = self.backbone.n_features
        self.image_head = nn.Conv2d(n_features, n_target, 3, padding=1)
        self.sigma_head = nn.Conv2d(n_features + n_target, n_target, 1)
        with torch.no_grad():
            for head in (self.image_head, self.sigma_head):
                head.weight.mul_(0.1)
                head.bias.zero_()
        # Here, and not in training alone: the layout decides in which order a convolution sums, and so the last bits.
        self.to(memory_format=torch.channels_last)

    def forward(self, flux, size, redshift=None):
        """Predict the target images.

        Parameters
        ----------
        flux : torch.Tensor
            Input flux in the input survey's unit, finite, shape ``(galaxy, band, y, x)``.
        size : tuple of int
            Rows and columns of the target images.
        redshift : torch.Tensor, optional
            Shape ``(galaxy,)``, where the network is conditioned on it.

        Returns
        -------
        Prediction
        """
        planes = torch.asinh(flux / (2 * self.input_noise))
        nearest = flux[:, self.nearest_band] * self.unit_ratio * self.step**2
        base = self._to_output(resample(nearest, size, self.step, _BASE_SMOOTHING))
        condition = self.condition(redshift) if self.condition is not None else None
        memory = torch.channels_last
        maps, embedding = self.backbone(
            planes.contiguous(memory_format=memory), base.contiguous(memory_format=memory), size, self.step, condition
        )
        # The heads stay in float32 under autocast: the 8 bits of bfloat16 would round a flux by half a per cent.
        with torch.autocast(flux.device.type, enabled=False):
            maps, embedding = maps.float(), embedding.float()
            value = self.image_head(maps)
            if self.residual:
                value = value + base
            # The size of the error is learned from the features but does not shape them.
            log_sigma = self.sigma_head(torch.cat([maps, value], 1).detach())
        return Prediction(self.to_flux(value), value, log_sigma, maps, embedding)

    def _to_output(self, flux):
        if self.output == "log":
            return torch.asinh(flux / (2 * self.target_noise))
        return stretch(flux, self.target_noise)

    def to_flux(self, value):
        """Flux in the target unit of values in the output space, and so the inverse of `from_flux`."""
        if self.output == "log":
            return 2 * self.target_noise * torch.sinh(value)
        return self.target_noise * value * (value.abs() + 2)

    def from_flux(self, flux):
        """Values in the output space of target fluxes, shape ``(..., band, Y, X)``."""
        return self._to_output(flux)

    def sigma(self, prediction):
        """Standard deviation in flux of the translation itself, without the target's noise, in the target unit."""
        return self.target_noise * prediction.log_sigma.exp()


def fill_invalid(flux, valid):
    """Replace invalid pixels by the mean of their valid neighbours, growing inwards from the rim of each gap.

    Parameters
    ----------
    flux : torch.Tensor
        Shape ``(galaxy, band, y, x)``; values of invalid pixels are never read.
    valid : torch.Tensor of bool
        Same shape.

    Returns
    -------
    torch.Tensor
        Finite where ``flux`` is finite at valid pixels; images without any valid pixel become 0.
    """
    flux = torch.where(valid, flux, 0)
    known = valid.to(flux.dtype)
    for _ in range(max(flux.shape[-2:])):
        if bool((known > 0).flatten(2).logical_or((known == 0).flatten(2).all(-1, keepdim=True)).all()):
            break
        weight = functional.avg_pool2d(known, 3, 1, 1)
        mean = functional.avg_pool2d(flux * known, 3, 1, 1) / weight.clamp_min(1e-9)
        grow = (known == 0) & (weight > 0)
        flux = torch.where(grow, mean, flux)
        known = torch.where(grow, 1, known)
    return flux


def invalid_footprint(network, valid, size):
    """Target pixels that take any light from an invalid input pixel of their own band or of no band at all.

    Parameters
    ----------
    network : TranslationNetwork
        The network.
    valid : torch.Tensor of bool
        Shape ``(galaxy, band, y, x)``.
    size : tuple of int
        Rows and columns of the target images.

    Returns
    -------
    torch.Tensor of bool
        Shape ``(galaxy, target band, Y, X)``, True where the translation rests on an invalid pixel.
    """
    share = resample((~valid[:, network.nearest_band]).float(), size, network.step, _BASE_SMOOTHING)
    return share > 1e-6
