"""Configuration of a network, the space in which it predicts, and its predictions."""

import warnings
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import torch
from astropy.utils.exceptions import AstropyDeprecationWarning

from astro_galtrans._utils.reprs import changed_fields, shapes

__all__ = ["NetworkConfig", "OutputSpace", "Prediction", "stretch"]

# Softened log flux of 5e8 times the noise; the first steps of a fast training overshoot to where sinh is infinite.
_BRIGHTEST = 20.0


class Prediction(NamedTuple):
    """Prediction of the target images of a batch."""

    flux: torch.Tensor
    """Target flux in the target survey's unit, shape ``(galaxy, band, Y, X)``."""
    value: torch.Tensor
    """The same in the output space of the network."""
    log_sigma: torch.Tensor
    """Logarithm of the translation's own standard deviation in flux, in units of the target's sky noise."""
    maps: torch.Tensor
    """Feature maps of the backbone on the target grid, shape ``(galaxy, n_features, Y, X)``."""
    embedding: torch.Tensor
    """One vector per galaxy, shape ``(galaxy, n_embedding)``."""
    time: torch.Tensor | None = None
    """Step of the diffusion that a generative network received, shape ``(galaxy,)``."""
    signal_to_noise: torch.Tensor | None = None
    """Variance of the clean image over that of the noise in the image that it received, shape ``(galaxy,)``."""
    aperture_weights: torch.Tensor | None = None
    """Weights of pixels in apertures that follow the galaxy, see `aperture_fluxes`; None for those in the middle."""

    def __repr__(self):
        return shapes(self)

    def detach(self):
        """Return a `Prediction` of the same values, detached from the graph."""
        return Prediction(*(None if part is None else part.detach() for part in self))


def stretch(flux, noise):
    """Return ``sgn(f) (sqrt(|f| / s + 1) - 1)`` of the flux f in units of the noise s (arXiv:2101.07389)."""
    scaled = flux / noise
    return scaled.sign() * ((scaled.abs() + 1).sqrt() - 1)


@dataclass(frozen=True, eq=False)
class OutputSpace:
    """Scale of the target flux: all that an objective needs to know of a network.

    Parameters
    ----------
    target_noise : torch.Tensor
        Sky noise of one target pixel in the target unit, shape ``(band, 1, 1)``.
    value_scale : torch.Tensor
        Unit of the images of a generative network in the output space, shape ``(band, 1, 1)``; 1 for others.
    scale_ratio : float
        Target pixel scale over input pixel scale.
    output : {"log", "sqrt"}
        Softened log flux ``asinh(f / 2s)`` with s the noise, or the `stretch`.
    """

    target_noise: torch.Tensor
    value_scale: torch.Tensor
    scale_ratio: float
    output: str = "log"

    def to_flux(self, value):
        """Return the flux in the target unit of values in the output space, the inverse of `from_flux`."""
        if self.output == "log":
            return 2 * self.target_noise * torch.sinh(value.clamp(-_BRIGHTEST, _BRIGHTEST))
        return self.target_noise * value * (value.abs() + 2)

    def from_flux(self, flux):
        """Return the values in the output space of target fluxes of shape ``(..., band, Y, X)``."""
        if self.output == "log":
            return torch.asinh(flux / (2 * self.target_noise))
        return stretch(flux, self.target_noise)


def _numbers(values, kind):
    return [kind(value) for value in values]


@dataclass(frozen=True, repr=False)
class NetworkConfig:
    """Plain values that, with its weights, define a `TranslationNetwork`.

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
    scale_ratio : float
        Target pixel scale over input pixel scale.
    output : {"log", "sqrt"}, optional
        Space in which the network predicts, see `OutputSpace`.
    residual : bool, optional
        Whether the network's output is added to the resampled input.
    photometry : bool, optional
        Whether a `PhotometryHead` predicts the aperture fluxes of the target, to which the image is renormalized.
    conditioning : {None, "redshift", "spectrum"}, optional
        Further input of the network.
    value_scale : sequence of float, optional
        Divisor that gives the images of a generative backbone a variance of about 1, per target band: of the target in
        the output space, or of its difference to the resampled input where there is a residual path.
    backbone_options, conditioning_options : dict, optional
        Options of the backbone and of the embedding of redshift or spectrum.
    stamp_size : tuple of int, optional
        Rows and columns, in input pixels, of the training images. The embedding, a mean over the image, of a larger
        image is that of its middle of this size: more sky around a galaxy would otherwise change the embedding, and
        with it the aperture fluxes.
    takes_missing : bool, optional
        Whether the network is trained with missing bands and regions; it then also reads which pixels have data.
    centered : bool, optional
        Whether the apertures of the photometry head follow the galaxy's measured center and leave out its neighbors.
    observing : dict, optional
        Observing conditions that the network takes, of "psf_fwhm", "noise" and "target_psf_fwhm", each with the 0.5th,
        50th and 99.5th percentile of the training galaxies in each band; FWHMs in arcsec, the noise of a pixel of sky
        in the input survey's unit. See `ObservingEmbedding`.
    """

    backbone: str
    input_noise: list[float]
    target_noise: list[float]
    unit_ratio: list[float]
    nearest_band: list[int]
    scale_ratio: float
    output: str = "log"
    residual: bool = True
    photometry: bool = False
    conditioning: str | None = None
    value_scale: list[float] | None = None
    backbone_options: dict = field(default_factory=dict)
    conditioning_options: dict = field(default_factory=dict)
    stamp_size: list[int] | None = None
    takes_missing: bool = False
    centered: bool = False
    observing: dict | None = None

    def __post_init__(self):
        if self.output not in ("log", "sqrt"):
            raise ValueError(f"output must be 'log' or 'sqrt', got {self.output!r}")
        plain = {name: _numbers(getattr(self, name), float) for name in ("input_noise", "target_noise", "unit_ratio")}
        plain["nearest_band"] = _numbers(self.nearest_band, int)
        plain["scale_ratio"] = float(self.scale_ratio)
        plain |= {name: bool(getattr(self, name)) for name in ("residual", "photometry", "takes_missing", "centered")}
        value_scale = [1.0] * len(plain["target_noise"]) if self.value_scale is None else self.value_scale
        plain["value_scale"] = _numbers(value_scale, float)
        plain |= {name: dict(getattr(self, name) or {}) for name in ("backbone_options", "conditioning_options")}
        if self.stamp_size is not None:
            plain["stamp_size"] = _numbers(self.stamp_size, int)
        if self.observing is not None:
            plain["observing"] = {name: [_numbers(band, float) for band in bands]
                                  for name, bands in self.observing.items()}
            for name, bands in plain["observing"].items():
                if not all(len(band) == 3 and 0 < band[0] <= band[1] <= band[2] < float("inf") for band in bands):
                    raise ValueError(f"observing must have three increasing numbers above 0 for each band, got {bands} "
                                     f"for {name}")
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def __repr__(self):
        return changed_fields(self)

    def to_dict(self):
        """Return the fields under the keys of files, a dict of plain values."""
        stored = asdict(self)
        stored["step"] = stored.pop("scale_ratio")
        # Earlier versions wrote none of these, and the hash of a translator covers these values.
        for name in ("stamp_size", "observing"):
            if stored[name] is None:
                del stored[name]
        for name in ("takes_missing", "centered"):
            if not stored[name]:
                del stored[name]
        return stored

    @classmethod
    def from_dict(cls, stored):
        """Return the configuration whose `to_dict` gave ``stored``."""
        return cls(**{"scale_ratio" if name == "step" else name: value for name, value in stored.items()})

    @classmethod
    def from_arguments(cls, arguments, settings):
        """Return the configuration of a `TranslationNetwork` that was called with its fields instead of one."""
        warnings.warn("TranslationNetwork takes a NetworkConfig since version 0.2; its fields as arguments are "
                      "deprecated", AstropyDeprecationWarning, stacklevel=3)
        names = ("backbone", "input_noise", "target_noise", "unit_ratio", "nearest_band", "scale_ratio")
        return cls.from_dict({**dict(zip(names, arguments)), **settings})
