"""Spectroscopic information and observing conditions as vectors that modulate a backbone."""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

__all__ = [
    "OBSERVING", "Observing", "ObservingEmbedding", "RedshiftEmbedding", "RedshiftReader", "SpectrumEmbedding",
    "available_conditioning", "build_embedding", "sky_noise",
]

# Groups of observing conditions, in the order of the fields of `Observing`.
OBSERVING = ("psf_fwhm", "noise", "target_psf_fwhm")
# Half the range between the 0.5th and 99.5th percentile of a Gaussian, in standard deviations.
_HALF_RANGE = 2.576
_NARROWEST = 0.02  # smallest unit of a log FWHM or log noise
_FARTHEST = 2 * _HALF_RANGE  # units; conditions beyond are taken as these

# Of the redshift reader. Steps of two pixels of the grid resolve the redshift of a spectrum of 0.1 per cent per pixel.
_PIXELS_A_STEP = 2
_STEPS_BELOW = 3
_SMOOTHING = 1.5  # steps; standard deviation of the learned Gaussian
_SHARPEST = 0.5  # steps; least error of a redshift
_PEAK = 8  # steps on either side that belong to one peak


class _Embedding(nn.Module):
    """Base class: a vector from two tensors per galaxy, and a learned vector for galaxies without information."""

    def __init__(self, n_out):
        super().__init__()
        self.reader = None
        self.unknown = nn.Parameter(torch.zeros(n_out))

    def forward(self, value, error):
        """Return vectors of shape ``(galaxy, n_out)``, the learned one for galaxies that are not `known`."""
        known = self.known(value, error)
        return torch.where(known[:, None], self._embed(value, error, known), self.unknown)


class RedshiftEmbedding(_Embedding):
    """Sines and cosines of ln(1 + redshift), damped by the redshift's uncertainty, through a small network.

    Spectral features pass through bands at a constant rate in ln(1 + z). Each wave is replaced by its expectation over
    a Gaussian of the stated width, exp(-k^2 s^2 / 2) sin(k x) (Barron et al. 2021, arXiv:2103.13415), so waves that the
    redshift does not resolve vanish.

    Parameters
    ----------
    n_out : int
        Length of the embedding.
    n_waves : int, optional
        Number of frequencies; the shortest wavelength is 2 / 2**n_waves in ln(1 + z).
    """

    def __init__(self, n_out, n_waves=7):
        super().__init__(n_out)
        self.register_buffer("frequency", math.pi * 2.0 ** torch.arange(n_waves), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * n_waves + 1, n_out), nn.SiLU(), nn.Linear(n_out, n_out))

    @staticmethod
    def known(redshift, error):
        """Return which galaxies have a finite redshift."""
        return redshift.isfinite()

    def _embed(self, redshift, error, known):
        redshift, error = (torch.where(known, x, 0) for x in (redshift, error))
        shift = torch.log1p(redshift)[:, None]
        width = (error / (1 + redshift))[:, None]
        damping = (-0.5 * (width * self.frequency).square()).exp()
        waves = shift * self.frequency
        return self.layers(torch.cat([shift, damping * waves.sin(), damping * waves.cos()], 1))


class _SpectrumLayers(nn.Module):
    """Convolutions along a spectrum, and two layers over their output at all places, which depend on the redshift.

    Each of the levels, with ``widths`` channels, has a quarter of the pixels of the one before.
    """

    def __init__(self, n_pixels, n_out, widths=(16, 24, 32)):
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv1d(a, b, 7, stride=4, padding=3) for a, b in zip((3, *widths[:-1]), widths))
        for _ in widths:
            n_pixels = -(-n_pixels // 4)
        self.head = nn.Sequential(nn.Linear(widths[-1] * n_pixels, 128), nn.SiLU(), nn.Linear(128, n_out))

    def forward(self, channels):
        for level in self.levels:
            channels = functional.silu(level(channels))
        return self.head(channels.flatten(1))


def _channels(flux, weight):
    """Shape, signal-to-noise and validity of a spectrum, ``(galaxy, 3, pixel)``.

    The shape is the flux density over its mean: the image contains the brightness, and a fiber receives an unknown
    share of it.
    """
    valid = weight > 0
    count = valid.sum(1, keepdim=True).clamp_min(1)
    flux = torch.where(valid, flux, 0)
    snr = (flux * torch.where(valid, weight, 0).sqrt()).clamp(-1e4, 1e4)
    mean = flux.abs().sum(1, keepdim=True) / count
    return torch.stack([torch.asinh(flux / mean.clamp_min(1e-30)), torch.asinh(snr) / 4, valid.to(flux.dtype)], 1)


class RedshiftReader(nn.Module):
    """Redshift of a galaxy from its spectrum, as probabilities of steps of ln(1 + redshift).

    It is trained with `loss` on spectra alone, before the translator, and then fixed.

    Parameters
    ----------
    grid : dict
        The grid of wavelengths: ``"first"``, ``"last"`` and ``"n_pixels"``.
    largest : float
        Largest redshift of its output.
    """

    def __init__(self, grid, largest):
        super().__init__()
        self.grid_step = math.log(grid["last"] / grid["first"]) / (grid["n_pixels"] - 1)
        self.largest, step = largest, _PIXELS_A_STEP * self.grid_step
        n_steps = math.ceil(math.log1p(largest) / step)
        # Some steps below 0: some galaxies approach us, and the peak of one at 0 has two sides.
        self.register_buffer("shifts", step * torch.arange(-_STEPS_BELOW, n_steps + 1), persistent=False)
        self.layers = _SpectrumLayers(grid["n_pixels"], len(self.shifts))
        self.requires_grad_(False)

    def forward(self, flux, weight):
        """Return redshift and its standard deviation, each of shape ``(galaxy,)``.

        They are those of the largest peak of the probability: the mean of two peaks is at neither of them.
        """
        # The 8 bits of bfloat16 would blur the spectrum, and the redshift.
        with torch.autocast(flux.device.type, enabled=False):
            return self._read(self.layers(_channels(flux.float(), weight.float())).softmax(1))

    def _read(self, probability):
        best = self.shifts[probability.argmax(1)][:, None]
        near = probability * ((self.shifts - best).abs() < _PEAK * (self.shifts[1] - self.shifts[0]))
        near = near / near.sum(1, keepdim=True)
        shift = near @ self.shifts
        step = self.shifts[1] - self.shifts[0]
        variance = (near * (self.shifts - shift[:, None]).square()).sum(1) - (_SMOOTHING * step).square()
        return shift.expm1(), variance.clamp_min((_SHARPEST * step).square()).sqrt() * shift.exp()

    def loss(self, flux, weight, redshift):
        """Return the mean cross entropy of the probabilities and those of a Gaussian around each redshift.

        Redshifts below 0 and above the largest are ignored.
        """
        offset = (torch.log1p(redshift)[:, None] - self.shifts) / (_SMOOTHING * (self.shifts[1] - self.shifts[0]))
        wanted = (-0.5 * offset.square()).softmax(1)
        entropy = -(wanted * self.layers(_channels(flux, weight)).log_softmax(1)).sum(1)
        # Weighted by a factor, not selected: each new size of a batch costs a CPU more than the step itself.
        counted = ((redshift >= 0) & (redshift <= self.largest)).to(entropy.dtype)
        return (entropy * counted).sum() / counted.sum().clamp_min(1)


class SpectrumEmbedding(_Embedding):
    """Embedding of a spectrum on a fixed logarithmic grid of wavelengths: its shape through convolutions, its redshift.

    Parameters
    ----------
    n_out : int
        Length of the embedding.
    grid : dict
        The grid of wavelengths: ``"first"``, ``"last"`` and ``"n_pixels"``.
    largest_redshift : float, optional
        Of the output of a ``RedshiftReader``; None for no reader, where there are no redshifts to train it.
    """

    def __init__(self, n_out, grid, largest_redshift=None):
        super().__init__(n_out)
        self.layers = _SpectrumLayers(grid["n_pixels"], n_out)
        if largest_redshift is not None:
            self.reader = RedshiftReader(grid, largest_redshift)
        self.redshift = None if largest_redshift is None else RedshiftEmbedding(n_out)
        if self.redshift is not None:
            self.redshift.unknown.requires_grad_(False)  # a spectrum always has a redshift

    @staticmethod
    def known(flux, weight):
        """Return which galaxies have a spectrum: those with a pixel of positive weight."""
        return (weight > 0).any(1)

    def _embed(self, flux, weight, known):
        embedding = self.layers(_channels(flux, weight))
        return embedding if self.reader is None else embedding + self.redshift(*self.reader(flux, weight))


class Observing(NamedTuple):
    """Observing conditions of a batch of galaxies; None where none is known, NaN where single ones are not."""

    psf_fwhm: torch.Tensor | None = None
    """FWHM of the PSF of the input without the pixel, in arcsec, shape ``(galaxy, band)``."""
    noise: torch.Tensor | None = None
    """Standard deviation of a pixel of sky of the input, in its unit, shape ``(galaxy, band)``; see `sky_noise`."""
    target_psf_fwhm: torch.Tensor | None = None
    """FWHM of the PSF of the target without the pixel, in arcsec, shape ``(galaxy, target band)``."""


def sky_noise(weight):
    """Return the standard deviation of a pixel of sky, the median over the pixels with data.

    A single value for a band hides what the weight of single pixels tells: where the photons of the sources are part of
    the variance, it is an image of the sources, in a simulation without noise.

    Parameters
    ----------
    weight : torch.Tensor
        Inverse variance, 0 or not finite where there is no data, shape ``(galaxy, band, y, x)``.

    Returns
    -------
    torch.Tensor
        Shape ``(galaxy, band)``, NaN for a band without data.
    """
    known = torch.where((weight > 0) & weight.isfinite(), weight, torch.nan)
    return known.flatten(2).nanmedian(2).values.rsqrt()


class ObservingEmbedding(nn.Module):
    """Embedding of observing conditions: log FWHM and log noise of each band through a small network.

    Each value is relative to the median of the training galaxies and in units of their scatter, with a flag beside it.
    An unknown value is that of the median with the flag 0, to which the network learns to respond.

    Parameters
    ----------
    n_out : int
        Length of the embedding.
    ranges : dict
        The groups that it takes, of ``OBSERVING``, each with the 0.5th, 50th and 99.5th percentile in each band.
    """

    def __init__(self, n_out, ranges):
        super().__init__()
        unknown = [name for name in ranges if name not in OBSERVING]
        if unknown or not ranges:
            raise ValueError(f"observing must have one or more of {', '.join(OBSERVING)}, got {sorted(ranges)}")
        self.groups = tuple(name for name in OBSERVING if name in ranges)
        n_values = 0
        for name in self.groups:
            low, median, high = torch.tensor(ranges[name]).T.log()
            self.register_buffer(f"{name}_median", median, persistent=False)
            self.register_buffer(f"{name}_unit", ((high - low) / (2 * _HALF_RANGE)).clamp_min(_NARROWEST),
                                 persistent=False)
            n_values += len(median)
        self.layers = nn.Sequential(nn.Linear(2 * n_values, 2 * n_out), nn.SiLU(), nn.Linear(2 * n_out, n_out))

    def forward(self, observing, n_galaxies):
        """Return vectors of shape ``(galaxy, n_out)`` of an `Observing`, or of None if nothing is known."""
        parts = []
        for name in self.groups:
            median, unit = getattr(self, f"{name}_median"), getattr(self, f"{name}_unit")
            value = None if observing is None else getattr(observing, name)
            if value is None:
                value = median.new_full((n_galaxies, len(median)), torch.nan)
            value = (value.to(median).log() - median) / unit
            known = value.isfinite()
            parts += [torch.where(known, value, 0).clamp(-_FARTHEST, _FARTHEST), known.to(value.dtype)]
        return self.layers(torch.cat(parts, 1))


_EMBEDDINGS = {"redshift": RedshiftEmbedding, "spectrum": SpectrumEmbedding}


def available_conditioning():
    """Return the kinds of further input of a network, a tuple of None and names."""
    return None, *_EMBEDDINGS


def build_embedding(conditioning, n_out, **options):
    """Return the embedding of length ``n_out`` for a kind of conditioning, or None."""
    if conditioning not in available_conditioning():
        raise ValueError(
            f"conditioning must be one of {', '.join(map(str, available_conditioning()))}, got {conditioning!r}")
    return None if conditioning is None else _EMBEDDINGS[conditioning](n_out, **options)
