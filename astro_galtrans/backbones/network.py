"""The translation network: normalization, residual path, backbone and heads, flux in and flux out."""

from dataclasses import replace

import torch
from astropy.utils.decorators import deprecated_attribute
from torch import nn

from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.backbones.conditioning import ObservingEmbedding, build_embedding
from astro_galtrans.backbones.contract import build_backbone
from astro_galtrans.backbones.output import NetworkConfig, OutputSpace, Prediction
from astro_galtrans.backbones.photometry import PhotometryHead
from astro_galtrans.backbones.resampling import fill_from_bands, fill_invalid, resample

__all__ = ["TranslationNetwork"]

_CONDITION_LENGTH = 32
# Side, in input pixels, of the square over which the input is averaged where the target's pixels are finer: 5 target
# pixels from SDSS to CFHTLS.
_BASE_SMOOTHING = 2.36
_SIGMA_WIDTH = 32
# Side, in input pixels, of the middle of the image whose share of pixels with data the size of the error depends on.
_CORE = 10


class TranslationNetwork(nn.Module):
    """Flux of the input bands to flux of the target bands.

    Parameters
    ----------
    config : NetworkConfig
        Backbone, noise, bands and pixel scales.
    """

    step = deprecated_attribute("step", "0.2", alternative="scale_ratio")

    @torch_defaults()
    def __init__(self, config=None, *arguments, **settings):
        super().__init__()
        if not isinstance(config, NetworkConfig):
            arguments = arguments if config is None else (config, *arguments)
            config = NetworkConfig.from_arguments(arguments, settings)
        self.config = config
        self.takes_missing, self.residual = config.takes_missing, config.residual
        self.conditioning, self.nearest_band = config.conditioning, config.nearest_band
        self.scale_ratio = config.scale_ratio
        for name in ("input_noise", "target_noise", "unit_ratio", "value_scale"):
            self.register_buffer(name, torch.tensor(getattr(config, name))[:, None, None], persistent=False)
        n_input, n_target = len(config.input_noise), len(config.nearest_band)
        n_condition = _CONDITION_LENGTH * ((config.conditioning is not None) + (config.observing is not None))
        self.condition = build_embedding(config.conditioning, _CONDITION_LENGTH, **config.conditioning_options)
        self.observing = None
        if config.observing is not None:
            self.observing = ObservingEmbedding(_CONDITION_LENGTH, config.observing)
        self.backbone = build_backbone(
            config.backbone, n_planes=n_input * (2 if config.takes_missing else 1), n_resampled=n_target,
            n_condition=n_condition, scale_ratio=config.scale_ratio, **config.backbone_options,
        )
        self.photometry = None
        if config.photometry:
            # The embedding of a generative backbone depends on the noisy target.
            n_embedding = 0 if self.generative else self.backbone.n_embedding
            self.photometry = PhotometryHead(
                n_input, n_target, n_embedding + n_condition, config.scale_ratio, takes_missing=config.takes_missing,
                centered=config.centered)
        self.image_head = nn.Conv2d(self.backbone.n_features, n_target, 3, padding=1)
        self.sigma_head, last = self._build_sigma_head(n_input, n_target)
        with torch.no_grad():
            for head in (self.image_head, last):
                head.weight.mul_(0.1)
                head.bias.zero_()
        # Here, and not in training alone: the layout decides in which order a convolution sums, and so the last bits.
        self.to(memory_format=torch.channels_last)

    def _build_sigma_head(self, n_input, n_target):
        """Return the head of the uncertainty and its last layer."""
        n_in = self.backbone.n_features + n_target
        if not self.takes_missing:
            head = nn.Conv2d(n_in, n_target, 1)
            return head, head
        # The growth of an error with the flux depends on the missing pixels: one linear map cannot express both.
        last = nn.Conv2d(_SIGMA_WIDTH, n_target, 1)
        return nn.Sequential(nn.Conv2d(n_in + 2 * n_input, _SIGMA_WIDTH, 1), nn.GELU(), last), last

    @property
    def options(self):
        """Configuration as a dict under the keys of files; see `NetworkConfig.to_dict`."""
        return self.config.to_dict()

    @property
    def output_space(self):
        """The `OutputSpace`, on the device of the network."""
        return OutputSpace(self.target_noise, self.value_scale, self.scale_ratio, self.config.output)

    @property
    def generative(self):
        """Whether the network is sampled from, by `sample`, and is trained with `draw_noisy`."""
        return self.backbone.generative

    @property
    def redshift_reader(self):
        """The ``RedshiftReader`` of a network that is conditioned on spectra, or None."""
        return None if self.condition is None else self.condition.reader

    @property
    def base_smoothing(self):
        """Side, in target pixels, of the square over which the resampled input is averaged; an odd int."""
        return 1 if self.scale_ratio >= 1 else 2 * round((_BASE_SMOOTHING / self.scale_ratio - 1) / 2) + 1

    def base(self, flux, size):
        """Return the input flux on the target grid in the output space, shape ``(galaxy, target band, *size)``."""
        nearest = flux[:, self.nearest_band] * self.unit_ratio * self.scale_ratio**2
        return self.from_flux(resample(nearest, size, self.scale_ratio, self.base_smoothing))

    @torch.no_grad()
    def calibrate(self, flux, target, valid=None):
        """Measure ``value_scale`` on some galaxies; fluxes as of `draw_noisy`, ``valid`` of the target's shape."""
        value = self._unscaled(flux, target)
        valid = torch.ones_like(value) if valid is None else valid.to(value.dtype)
        count = valid.sum((0, 2, 3)).clamp_min(1)
        scale = ((value.square() * valid).sum((0, 2, 3)) / count).sqrt().clamp_min(1e-3)
        self.config = replace(self.config, value_scale=scale.tolist())
        self.value_scale.copy_(scale[:, None, None])

    def forward(self, flux, size, condition=None, noisy=None, valid=None, observing=None):
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
        observing : Observing, optional
            Observing conditions, where the network takes them and they are known.

        Returns
        -------
        Prediction
        """
        flux = self.fill(flux, valid)
        prepared = self._prepare(flux, size, condition, valid, observing)
        prediction = self._predict(*prepared, size, noisy, valid)
        if not self.generative and self._is_larger(flux):
            middle = None if valid is None else self._middle(valid)
            prediction = prediction._replace(embedding=self._embedding(self._middle(flux), prepared[2], middle))
        return self._with_photometry(prediction, flux, prepared[2], valid)

    def fill(self, flux, valid):
        """Return input flux with a value at each invalid pixel; ``flux`` itself where ``valid`` is None."""
        if valid is None:
            return flux
        return fill_from_bands(flux, valid, self.input_noise) if self.takes_missing else fill_invalid(flux, valid)

    def draw_noisy(self, flux, target, generator):
        """Draw the noisy target images on which a generative network is trained.

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

    def sample(self, flux, size, condition=None, *, noise, n_steps=None, valid=None, observing=None):
        """Draw one target image for each galaxy from a generative network.

        Parameters
        ----------
        flux, size, condition, valid, observing
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
        prepared = self._prepare(flux, size, condition, valid, observing)
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

    def _prepare(self, flux, size, condition, valid, observing):
        """Return the input of the backbone: planes, resampled input and embedded conditions."""
        if (condition is None) != (self.condition is None):
            raise ValueError(f"condition must be given where and only where the network is conditioned, which is on "
                             f"{self.conditioning}")
        if observing is not None and self.observing is None:
            raise ValueError("observing must be None for a network that does not take observing conditions")
        parts = [] if self.condition is None else [self.condition(*condition)]
        if self.observing is not None:
            parts.append(self.observing(observing, len(flux)))
        return *self._planes(flux, size, valid), torch.cat(parts, 1) if parts else None

    def _planes(self, flux, size, valid):
        memory = torch.channels_last
        planes, base = torch.asinh(flux / (2 * self.input_noise)), self.base(flux, size)
        if self.takes_missing:
            planes = torch.cat([planes, torch.ones_like(flux) if valid is None else valid.to(flux.dtype)], 1)
        return planes.contiguous(memory_format=memory), base.contiguous(memory_format=memory)

    def _is_larger(self, flux):
        """Whether images are larger than those of the training."""
        return any(n > own for n, own in zip(flux.shape[-2:], self.config.stamp_size or ()))

    def _middle(self, flux):
        """The middle of images, of the size of those of the training, or a pixel more to keep the center."""
        where = []
        for n, own in zip(flux.shape[-2:], self.config.stamp_size):
            side = min(n, own + (n - own) % 2)
            where.append(slice((n - side) // 2, (n + side) // 2))
        return flux[(..., *where)]

    def _embedding(self, flux, condition, valid):
        """The embedding of images, shape ``(galaxy, n_embedding)``; ``condition`` is embedded already."""
        size = tuple(max(1, round(n / self.scale_ratio)) for n in flux.shape[-2:])
        return self._values(*self._planes(flux, size, valid), condition, size, None)[1]

    def _values(self, planes, base, condition, size, noisy):
        """Feature maps, embedding and the values in the output space."""
        further = (noisy,) if self.generative else ()
        maps, embedding = self.backbone(planes, base, size, condition, *further)
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
        prediction = Prediction(self.to_flux(value), value, log_sigma, maps, embedding)
        if not self.generative:
            return prediction
        return prediction._replace(
            time=noisy.time, signal_to_noise=self.backbone.schedule.signal_to_noise(noisy.time))

    def _coverage(self, planes, size, valid):
        """Share of pixels with data around each target pixel and in the middle, each of shape (galaxy, band, Y, X)."""
        shape = len(planes), planes.shape[1] // 2, *size
        if valid is None:
            return [planes.new_ones(()).expand(shape)] * 2
        share = valid.float()
        y, x = ((n - min(n, _CORE)) // 2 for n in valid.shape[-2:])
        core = share[..., y:y + _CORE, x:x + _CORE].mean((-2, -1), keepdim=True)
        return [resample(share, size, self.scale_ratio), core.expand(shape)]

    def _with_photometry(self, prediction, flux, condition, valid):
        """The prediction with the aperture fluxes that the photometry head derives from the input."""
        if self.photometry is None:
            return prediction
        known = [part for part in (None if self.generative else prediction.embedding, condition) if part is not None]
        placement = self.photometry.place(flux, self.input_noise)
        image, weights = self.photometry.renormalize(
            prediction.flux, flux, known, valid, self.input_noise, self.target_noise, placement)
        return prediction._replace(flux=image, value=self.from_flux(image), aperture_weights=weights)

    def _unscaled(self, flux, target):
        """Images of a generative backbone before their scale: the target, less the input where that is added again."""
        value = self.from_flux(target)
        return value - self.base(flux, target.shape[-2:]) if self.residual else value

    def _from_clean(self, clean, base):
        value = clean * self.value_scale
        return value + base if self.residual else value

    def to_flux(self, value):
        """See `OutputSpace.to_flux`."""
        return self.output_space.to_flux(value)

    def from_flux(self, flux):
        """See `OutputSpace.from_flux`."""
        return self.output_space.from_flux(flux)

    def sigma(self, prediction):
        """Return the standard deviation of the translation, without the target's noise, in the target unit."""
        return self.target_noise * prediction.log_sigma.exp()
