"""The translation network: normalisation, residual path, backbone and heads, flux in and flux out."""

from typing import NamedTuple

import torch
from torch import nn

from astro_galtrans._utils.reprs import shapes
from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.backbones.conditioning import build_embedding
from astro_galtrans.backbones.contract import build_backbone
from astro_galtrans.backbones.masking import fill_from_bands, fill_invalid
from astro_galtrans.backbones.photometry import PhotometryHead
from astro_galtrans.backbones.resampling import resample

__all__ = ["Prediction", "TranslationNetwork", "stretch"]

_CONDITION_LENGTH = 32
# Side, in input pixels, of the square over which the input is averaged where the target's pixels are finer: 5 target
# pixels from SDSS to CFHTLS.
_BASE_SMOOTHING = 2.36
# Softened log flux of 5e8 times the noise; the first steps of a fast training overshoot to where sinh is infinite.
_BRIGHTEST = 20.0
_SIGMA_WIDTH = 32
# Side, in input pixels, of the middle of the image whose share of pixels with data the size of the error depends on.
_CORE = 10


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
    time: torch.Tensor | None = None
    """Step of the diffusion that a generative network was given, shape ``(galaxy,)``."""

    def __repr__(self):
        return shapes(self)

    def detach(self):
        """The same without a way back to the network, a `Prediction`."""
        return Prediction(*(None if part is None else part.detach() for part in self))


def stretch(flux, noise):
    """Square-root stretch ``sgn(f) (sqrt(|f| / s + 1) - 1)`` of flux f in units of the noise s (arXiv:2101.07389)."""
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
        Space in which the network adds up: softened log flux ``asinh(f / 2s)``, or the `stretch`.
    residual : bool, optional
        Whether the network's output is added to the resampled input.
    photometry : bool, optional
        Whether a `PhotometryHead` predicts the aperture fluxes of the target, with which the image is brought to agree.
    conditioning : {None, "redshift", "spectrum"}, optional
        What else the network is given.
    value_scale : sequence of float, optional
        What a generative backbone's images are divided by to have a variance of about 1, per target band: of the
        target in the output space, or of its difference to the resampled input where there is a residual path.
    backbone_options, conditioning_options : dict, optional
        Passed to the backbone and to the embedding of what else the network is given.
    stamp_size : tuple of int, optional
        Rows and columns, in input pixels, of the images that the network is trained on. The embedding, a mean over the
        image, of a larger one is that of its middle of this size: more sky around a galaxy would else change it, and
        with it the aperture fluxes.
    takes_missing : bool, optional
        Whether the network is trained with missing bands and regions: it then also reads which pixels have data.
    """

    @torch_defaults()
    def __init__(self, backbone, input_noise, target_noise, unit_ratio, nearest_band, step, *, output="log",
                 residual=True, photometry=False, conditioning=None, value_scale=None, backbone_options=None,
                 conditioning_options=None, stamp_size=None, takes_missing=False):
        super().__init__()
        if output not in ("log", "sqrt"):
            raise ValueError(f"output must be 'log' or 'sqrt', got {output!r}")
        value_scale = [1.0] * len(target_noise) if value_scale is None else value_scale
        self.options = {
            "backbone": backbone, "input_noise": [float(x) for x in input_noise],
            "target_noise": [float(x) for x in target_noise], "unit_ratio": [float(x) for x in unit_ratio],
            "nearest_band": [int(x) for x in nearest_band], "step": float(step), "output": output,
            "residual": bool(residual), "photometry": bool(photometry), "conditioning": conditioning,
            "value_scale": [float(x) for x in value_scale],
            "backbone_options": dict(backbone_options or {}), "conditioning_options": dict(conditioning_options or {}),
        }
        if stamp_size is not None:  # files that are older do not have it, and their checksum is of the options
            self.options["stamp_size"] = [int(n) for n in stamp_size]
        if takes_missing:
            self.options["takes_missing"] = True
        self.takes_missing = bool(takes_missing)
        self.step, self.output, self.residual, self.conditioning = float(step), output, bool(residual), conditioning
        for name in ("input_noise", "target_noise", "unit_ratio", "value_scale"):
            self.register_buffer(name, torch.tensor(self.options[name])[:, None, None], persistent=False)
        self.nearest_band = self.options["nearest_band"]
        n_input, n_target = len(self.options["input_noise"]), len(self.nearest_band)
        n_condition = _CONDITION_LENGTH if conditioning else 0
        self.condition = build_embedding(conditioning, _CONDITION_LENGTH, **self.options["conditioning_options"])
        self.backbone = build_backbone(
            backbone, n_planes=n_input * (2 if takes_missing else 1), n_hints=n_target,
            n_condition=n_condition, step=self.step, **self.options["backbone_options"],
        )
        n_features = self.backbone.n_features
        self.photometry = None
        if photometry:
            # A generative backbone sees a noisy target, and its embedding would tell of it.
            n_embedding = 0 if self.generative else self.backbone.n_embedding
            self.photometry = PhotometryHead(
                n_input, n_target, n_embedding + n_condition, self.step, takes_missing=self.takes_missing)
        self.image_head = nn.Conv2d(n_features, n_target, 3, padding=1)
        if takes_missing:
            # How an error grows with the flux depends on what is missing: one linear map cannot say both.
            last = nn.Conv2d(_SIGMA_WIDTH, n_target, 1)
            self.sigma_head = nn.Sequential(
                nn.Conv2d(n_features + n_target + 2 * n_input, _SIGMA_WIDTH, 1), nn.GELU(), last)
        else:
            last = self.sigma_head = nn.Conv2d(n_features + n_target, n_target, 1)
        with torch.no_grad():
            for head in (self.image_head, last):
                head.weight.mul_(0.1)
                head.bias.zero_()
        # Here, and not in training alone: the layout decides in which order a convolution sums, and so the last bits.
        self.to(memory_format=torch.channels_last)

    @property
    def generative(self):
        """Whether the network is sampled from, by `sample`, and is trained with `draw_noisy`."""
        return self.backbone.generative

    @property
    def base_smoothing(self):
        """Side, in target pixels, of the square over which the resampled input is averaged; an odd int."""
        return 1 if self.step >= 1 else 2 * round((_BASE_SMOOTHING / self.step - 1) / 2) + 1

    def base(self, flux, size):
        """The input flux on the target grid in the output space, shape ``(galaxy, target band, *size)``."""
        nearest = flux[:, self.nearest_band] * self.unit_ratio * self.step**2
        return self.from_flux(resample(nearest, size, self.step, self.base_smoothing))

    @torch.no_grad()
    def calibrate(self, flux, target, valid=None):
        """Measure ``value_scale`` on some galaxies; fluxes as of `draw_noisy`, ``valid`` of the target's shape."""
        value = self._unscaled(flux, target)
        valid = torch.ones_like(value) if valid is None else valid.to(value.dtype)
        count = valid.sum((0, 2, 3)).clamp_min(1)
        scale = ((value.square() * valid).sum((0, 2, 3)) / count).sqrt().clamp_min(1e-3)
        self.options["value_scale"] = scale.tolist()
        self.value_scale.copy_(scale[:, None, None])

    def forward(self, flux, size, condition=None, noisy=None, valid=None):
        """Predict the target images.

        Parameters
        ----------
        flux : torch.Tensor
            Input flux in the input survey's unit, finite at valid pixels, shape ``(galaxy, band, y, x)``.
        size : tuple of int
            Rows and columns of the target images.
        condition : tuple of torch.Tensor, optional
            Where the network is conditioned: redshift and its standard deviation, each of shape ``(galaxy,)``, NaN
            where it is not known; or the flux density and inverse variance of a spectrum, each of shape
            ``(galaxy, pixel)``, of weight 0 where there is none.
        noisy : Noisy, optional
            From `draw_noisy`, where the network is generative.
        valid : torch.Tensor of bool, optional
            Input pixels with data, of the shape of ``flux``; None if all have. The others are filled.

        Returns
        -------
        Prediction
        """
        flux = self.fill(flux, valid)
        prepared = self._prepare(flux, size, condition, valid)
        prediction = self._predict(*prepared, size, noisy, valid)
        if not self.generative and self._is_larger(flux):
            middle = None if valid is None else self._middle(valid)
            prediction = prediction._replace(embedding=self._embedding(self._middle(flux), prepared[2], middle))
        return self._with_photometry(prediction, flux, prepared[2], valid)

    def fill(self, flux, valid):
        """Input flux with a value at each invalid pixel; ``flux`` itself where ``valid`` is None."""
        if valid is None:
            return flux
        return fill_from_bands(flux, valid, self.input_noise) if self.takes_missing else fill_invalid(flux, valid)

    def draw_noisy(self, flux, target, generator):
        """Target images with the noise of a diffusion of random strength, which a generative network is trained on.

        Parameters
        ----------
        flux : torch.Tensor
            As of `forward`.
        target : torch.Tensor
            Target flux, finite, shape ``(galaxy, target band, Y, X)``.
        generator : torch.Generator

        Returns
        -------
        Noisy
        """
        return self.backbone.schedule.draw(self._unscaled(flux, target) / self.value_scale, generator)

    def sample(self, flux, size, condition=None, *, noise, n_steps=None, valid=None):
        """Draw one target image for each galaxy from a generative network.

        Parameters
        ----------
        flux, size, condition, valid
            As of `forward`.
        noise : torch.Tensor
            Standard normal deviates from which the image is made, shape ``(galaxy, target band, *size)``.
        n_steps : int, optional
            Steps of the sampler; by default the backbone's own number.

        Returns
        -------
        Prediction
            Flux and value of the sample. ``log_sigma``, feature maps and embedding are those of the sampler's first
            step, in which the network has seen the input alone: the spread that the samples of a galaxy should have,
            without the target's noise.
        """
        flux = self.fill(flux, valid)
        prepared = self._prepare(flux, size, condition, valid)
        base, first = prepared[1], None

        def clean(noisy):
            nonlocal first
            if first is None:
                first = self._predict(*prepared, size, noisy, valid)
                value = first.value
            else:
                *_, value = self._values(*prepared, size, noisy)
            return (value - base if self.residual else value) / self.value_scale

        image = self.backbone.schedule.sample(clean, noise, n_steps or self.backbone.sampling_steps)
        value = self._from_clean(image, base)
        prediction = first._replace(flux=self.to_flux(value), value=value)
        return self._with_photometry(prediction, flux, prepared[2], valid)

    def _prepare(self, flux, size, condition, valid):
        """What the backbone is given: planes, hints and the embedded condition."""
        if (condition is None) != (self.condition is None):
            raise ValueError(f"condition must be given where and only where the network is conditioned, which is on "
                             f"{self.conditioning}")
        condition = self.condition(*condition) if self.condition is not None else None
        return *self._planes(flux, size, valid), condition

    def _planes(self, flux, size, valid):
        """The input, with the pixels that have data, and the resampled input as the backbone takes them."""
        memory = torch.channels_last
        planes, base = torch.asinh(flux / (2 * self.input_noise)), self.base(flux, size)
        if self.takes_missing:
            planes = torch.cat([planes, torch.ones_like(flux) if valid is None else valid.to(flux.dtype)], 1)
        return planes.contiguous(memory_format=memory), base.contiguous(memory_format=memory)

    def _is_larger(self, flux):
        """Whether images are larger than those of the training."""
        return any(n > own for n, own in zip(flux.shape[-2:], self.options.get("stamp_size", ())))

    def _middle(self, flux):
        """The middle of images, of the size of those of the training, or a pixel more to keep the centre."""
        where = []
        for n, own in zip(flux.shape[-2:], self.options["stamp_size"]):
            side = min(n, own + (n - own) % 2)
            where.append(slice((n - side) // 2, (n + side) // 2))
        return flux[(..., *where)]

    def _embedding(self, flux, condition, valid):
        """The embedding of images, shape ``(galaxy, n_embedding)``; ``condition`` is embedded already."""
        size = tuple(max(1, round(n / self.step)) for n in flux.shape[-2:])
        return self._values(*self._planes(flux, size, valid), condition, size, None)[1]

    def _values(self, planes, base, condition, size, noisy):
        """Feature maps, embedding and the values in the output space."""
        given = (noisy,) if self.generative else ()
        maps, embedding = self.backbone(planes, base, size, condition, *given)
        # The heads stay in float32 under autocast: the 8 bits of bfloat16 would round a flux by half a per cent.
        with torch.autocast(planes.device.type, enabled=False):
            maps, embedding = maps.float(), embedding.float()
            value = self.image_head(maps)
            if self.generative:
                value = self._from_clean(self.backbone.schedule.clean(noisy, value), base)
            elif self.residual:
                value = value + base
        return maps, embedding, value

    def _predict(self, planes, base, condition, size, noisy, valid):
        maps, embedding, value = self._values(planes, base, condition, size, noisy)
        with torch.autocast(planes.device.type, enabled=False):
            # The size of the error is learned from the features but does not shape them.
            known = self._coverage(planes, size, valid) if self.takes_missing else []
            log_sigma = self.sigma_head(torch.cat([maps, value, *known], 1).detach())
        time = noisy.time if self.generative else None
        return Prediction(self.to_flux(value), value, log_sigma, maps, embedding, time)

    def _coverage(self, planes, size, valid):
        """Share of pixels with data around each target pixel and in the middle, each of shape (galaxy, band, Y, X)."""
        shape = len(planes), planes.shape[1] // 2, *size
        if valid is None:
            return [planes.new_ones(()).expand(shape)] * 2
        share = valid.float()
        y, x = ((n - min(n, _CORE)) // 2 for n in valid.shape[-2:])
        core = share[..., y:y + _CORE, x:x + _CORE].mean((-2, -1), keepdim=True)
        return [resample(share, size, self.step), core.expand(shape)]

    def _with_photometry(self, prediction, flux, condition, valid):
        """The prediction with the aperture fluxes that the photometry head reads off the input."""
        if self.photometry is None:
            return prediction
        with torch.autocast(flux.device.type, enabled=False):
            extra = [] if self.generative else [prediction.embedding]
            extra += [] if condition is None else [condition.float()]
            extra = torch.cat(extra, 1) if extra else flux.new_zeros(len(flux), 0)
            levels = self.photometry(flux, self.input_noise, extra, valid)
            image = self.photometry.apply_to(prediction.flux, levels, self.target_noise)
            return prediction._replace(flux=image, value=self.from_flux(image))

    def _unscaled(self, flux, target):
        """What a generative backbone makes, before its scale: the target, less the input where that is added again."""
        value = self.from_flux(target)
        return value - self.base(flux, target.shape[-2:]) if self.residual else value

    def _from_clean(self, clean, base):
        value = clean * self.value_scale
        return value + base if self.residual else value

    def to_flux(self, value):
        """Flux in the target unit of values in the output space, and so the inverse of `from_flux`."""
        if self.output == "log":
            return 2 * self.target_noise * torch.sinh(value.clamp(-_BRIGHTEST, _BRIGHTEST))
        return self.target_noise * value * (value.abs() + 2)

    def from_flux(self, flux):
        """Values in the output space of target fluxes, shape ``(..., band, Y, X)``."""
        if self.output == "log":
            return torch.asinh(flux / (2 * self.target_noise))
        return stretch(flux, self.target_noise)

    def sigma(self, prediction):
        """Standard deviation in flux of the translation itself, without the target's noise, in the target unit."""
        return self.target_noise * prediction.log_sigma.exp()
