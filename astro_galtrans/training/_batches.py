"""Seeded batches of pairs, and the random changes that each training step makes to them."""

import math

import numpy as np
import torch

from astro_galtrans.backbones import Observing, sky_noise

__all__ = ["PairBatches", "draw_condition", "draw_kept", "draw_observing"]

_IMAGES = ("input_flux", "target_flux", "input_weight", "target_weight")
_SPECTRA = ("spectrum_flux", "spectrum_weight")
_REDSHIFT = ("redshift", "redshift_error")
_FWHM = {"input": "psf_fwhm", "target": "target_psf_fwhm"}
# Pairs on disk are stored in blocks that are read whole. Runs of neighbors are shuffled, and as many pairs as fit in
# memory are read at once and shuffled again: each block is decoded about once per epoch, not once per pair.
_RUN, _IN_MEMORY = 32, 2048

# Limits, in dz / (1 + z), of the log-uniform errors by which redshifts are scattered.
_SMALLEST_ERROR, _LARGEST_ERROR = 1e-3, 0.1

# Relative error by which FWHMs of the input are scattered; those of real images are no more accurate.
_FWHM_ERROR = 0.02

_BANDS = 0.5  # fraction of the galaxies with hidden data that lose whole bands; the others lose a region
_ONE_BAND = 0.6  # fraction of those with hidden bands that lose one only
_IN_A_BAND = 0.4  # probability that a region is hidden in a band, beside the one that always loses it
_TRAIL_WIDTH = 4.0  # pixels


class PairBatches:
    """Iterates over a PairSet in whole batches of tensors, in an order that depends on seed and epoch alone.

    Parameters
    ----------
    pairs : PairSet
        In memory or on disk.
    batch_size : int
        Galaxies per batch; the last one may be smaller.
    seed : int, optional
        Seed of the order and the rotations; None keeps the order and rotates nothing.
    augment : bool, optional
        Whether to rotate and flip. Images that are not square are rotated by 180 degrees only.
    spectra : bool, optional
        Whether batches contain the spectra.
    observing : bool, optional
        Whether batches contain the FWHMs of the PSFs and the noise of the input's sky.

    Attributes
    ----------
    epoch : int
        To be set before each iteration.
    """

    def __init__(self, pairs, batch_size, seed=None, augment=False, spectra=False, observing=False):
        self.arrays = (*_IMAGES, *_SPECTRA) if spectra else _IMAGES
        self.observing = observing
        self.fwhm = {name: pairs.psf_fwhm(side) for side, name in _FWHM.items()} if observing else {}
        self.pairs, self.batch_size, self.seed, self.augment = pairs, batch_size, seed, augment
        self.epoch = 0

    def __len__(self):
        return -(-len(self.pairs) // self.batch_size)

    def __iter__(self):
        if self.seed is None:
            for start in range(0, len(self.pairs), self.batch_size):
                rows = slice(start, min(start + self.batch_size, len(self.pairs)))
                yield _tensors(self._read(rows), self.observing)
            return
        generator = np.random.default_rng([self.seed, self.epoch])
        runs = np.array_split(np.arange(len(self.pairs)), -(-len(self.pairs) // _RUN))
        order = np.concatenate([runs[number] for number in generator.permutation(len(runs))])
        n_read = max(1, _IN_MEMORY // self.batch_size) * self.batch_size
        for start in range(0, len(order), n_read):
            arrays = self._read(np.sort(order[start:start + n_read]))
            shuffled = generator.permutation(len(arrays["input_flux"]))
            for first in range(0, len(shuffled), self.batch_size):
                rows = shuffled[first:first + self.batch_size]
                batch = {name: None if value is None else value[rows] for name, value in arrays.items()}
                yield _tensors(_rotated(batch, generator) if self.augment else batch, self.observing)

    def _read(self, rows):
        fwhm = {name: None if widths is None else widths[rows] for name, widths in self.fwhm.items()}
        return {**self.pairs.read(rows, images=self.arrays), **fwhm}


def _rotated(arrays, generator):
    """Rotate and flip all images of a batch alike, flux and weight together."""
    images = {name: value for name, value in arrays.items() if value is not None and value.ndim == 4}
    square = all(image.shape[2] == image.shape[3] for image in images.values())
    turns, flip = generator.integers(4), generator.integers(2)
    turns = turns if square else 2 * (turns % 2)
    rotated = {name: np.rot90(image, turns, (2, 3)) for name, image in images.items()}
    return arrays | {name: image[..., ::-1] if flip else image for name, image in rotated.items()}


def _tensors(arrays, observing):
    """Return the batch as tensors, with the valid pixels of both sides, None if all are, and the noise of the sky."""
    batch = {}
    for name in (*_IMAGES, *_SPECTRA, *_REDSHIFT, *_FWHM.values()):
        value = arrays.get(name)
        batch[name] = None if value is None else torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
    for side in ("input", "target"):  # on the CPU: asking a GPU whether all pixels are valid would hold up the step
        weight = batch[f"{side}_weight"]
        valid = None if weight is None else weight > 0
        batch[f"{side}_valid"] = None if valid is None or bool(valid.all()) else valid
    if observing:
        batch["noise"] = None if batch["input_weight"] is None else sky_noise(batch["input_weight"])
    return batch


def draw_condition(batch, conditioning, fractions, generator):
    """Return the condition of a batch, as `~astro_galtrans.backbones.TranslationNetwork` takes it.

    The fractions are those of the galaxies whose redshift or spectrum is hidden, and of those whose redshift is
    scattered by an error that the network receives; None in validation, where nothing is changed.
    """
    if conditioning is None:
        return None
    if conditioning == "spectrum":
        flux, weight = batch["spectrum_flux"], batch["spectrum_weight"]
        if fractions is not None:
            hidden = torch.rand(len(flux), generator=generator) < fractions[0]
            weight = torch.where(hidden.to(weight.device)[:, None], 0, weight)
        return flux, weight
    redshift, error = batch["redshift"], batch["redshift_error"]
    error = torch.zeros_like(redshift) if error is None else error.nan_to_num(0.0)
    if fractions is not None:
        redshift, error = _scattered(redshift, error, fractions[1], generator)
        hidden = torch.rand(len(redshift), generator=generator) < fractions[0]
        redshift = torch.where(hidden.to(redshift.device), torch.nan, redshift)
    return redshift, error


def _scattered(redshift, error, fraction, generator):
    """Add a random error to a fraction of the redshifts; return the redshifts and their errors."""
    draws = torch.rand(2, len(redshift), generator=generator)
    normal = torch.randn(len(redshift), generator=generator).clamp(-3, 3)
    size = (math.log(_SMALLEST_ERROR) + draws[1] * math.log(_LARGEST_ERROR / _SMALLEST_ERROR)).exp()
    size = torch.where(draws[0] < fraction, size, 0).to(redshift.device) * (1 + redshift)
    return redshift + size * normal.to(redshift.device), torch.hypot(error, size)


def draw_observing(batch, observed, dropout, generator):
    """Return the observing conditions of a batch, as `~astro_galtrans.backbones.TranslationNetwork` takes them.

    ``observed`` are the input pixels that the network receives, None if all are. ``dropout`` is the fraction of the
    galaxies for which each kind of conditions is hidden; None in validation, where nothing is changed.
    """
    values = {name: batch[name] for name in Observing._fields}
    noise, n_galaxies = values["noise"], len(batch["input_flux"])
    if noise is not None and observed is not None:
        values["noise"] = noise.masked_fill(~observed.flatten(2).any(2), torch.nan)
    if dropout is None:
        return Observing(**values)
    hidden = torch.rand(len(values), n_galaxies, generator=generator) < dropout
    if values["psf_fwhm"] is not None:
        normal = torch.randn(values["psf_fwhm"].shape, generator=generator).clamp(-3, 3)
        values["psf_fwhm"] = values["psf_fwhm"] * (_FWHM_ERROR * normal).exp().to(values["psf_fwhm"].device)
    return Observing(**{
        name: None if value is None else value.masked_fill(one.to(value.device)[:, None], torch.nan)
        for (name, value), one in zip(values.items(), hidden)})


def draw_kept(shape, fraction, generator):
    """Draw which input pixels are kept when the others are hidden.

    A fraction of the galaxies has hidden data. Half of these lose bands, the others a region in some bands: a disk,
    everything beyond a straight edge, or a trail. Every galaxy keeps at least one pixel in each of two bands, or in its
    only one. The result is a bool tensor of the shape of the input images, ``(galaxy, band, y, x)``.
    """
    n_galaxies, n_bands, height, width = shape
    draws = torch.rand(8, n_galaxies, generator=generator)
    order = torch.rand(n_galaxies, n_bands, generator=generator).argsort(1).argsort(1)
    in_band = torch.rand(n_galaxies, n_bands, generator=generator) < _IN_A_BAND
    hidden, by_band = draws[0] < fraction, draws[1] < (_BANDS if n_bands > 1 else 0)
    most = max(1, n_bands - 2)
    n_lost = torch.where(draws[2] < _ONE_BAND, 1, 1 + (draws[3] * most).long().clamp(max=most - 1))
    bands = order < n_lost[:, None]
    region = _regions(draws[3:], height, width)[:, None] & (in_band | (order == 0))[..., None, None]
    lost = torch.where(by_band[:, None, None, None], bands[..., None, None], region)
    return ~(lost & hidden[:, None, None, None])


def _regions(draws, height, width):
    """Return a disk, half-plane or trail in each image, shape ``(galaxy, y, x)``."""
    kind, center_y, center_x, size, angle = (draw[:, None, None] for draw in draws)
    side = max(height, width)
    y = torch.arange(height)[:, None] - 0.5 * (height - 1) - (center_y - 0.5) * 0.7 * height
    x = torch.arange(width) - 0.5 * (width - 1) - (center_x - 0.5) * 0.7 * width
    across = x * torch.cos(2 * math.pi * angle) + y * torch.sin(2 * math.pi * angle)
    disk = torch.hypot(y, x) < torch.exp(size * math.log(side / 2))
    return torch.where(kind < 0.5, disk, torch.where(kind < 0.75, across > 0, across.abs() < 0.5 * _TRAIL_WIDTH * size))
