"""Seeded batches of pairs, turned and flipped."""

import numpy as np
import torch

__all__ = ["PairBatches"]

_IMAGES = ("input_flux", "target_flux", "input_weight", "target_weight")
_SPECTRA = ("spectrum_flux", "spectrum_weight")
_REDSHIFT = ("redshift", "redshift_error")
# Pairs on disk lie in blocks that are read whole. Runs of neighbours are shuffled, and as many pairs as fit in memory
# with ease are read at once and shuffled again: each block is decoded about once an epoch, not once a pair.
_RUN, _IN_MEMORY = 32, 2048


class PairBatches(torch.utils.data.IterableDataset):
    """Iterates over a PairSet in whole batches of tensors, in an order that depends on seed and epoch alone.

    Parameters
    ----------
    pairs : PairSet
        In memory or on disk.
    batch_size : int
        Galaxies a batch; the last one may be smaller.
    seed : int, optional
        Of the order and of the turns; None keeps the order and turns nothing.
    augment : bool, optional
        Whether to turn and flip. Images that are not square are turned by 180 degrees only.
    spectra : bool, optional
        Whether batches hold the spectra.
    """

    def __init__(self, pairs, batch_size, seed=None, augment=False, spectra=False):
        super().__init__()
        self.arrays = (*_IMAGES, *_SPECTRA) if spectra else _IMAGES
        self.pairs, self.batch_size, self.seed, self.augment = pairs, batch_size, seed, augment
        self.epoch = 0

    def __len__(self):
        return -(-len(self.pairs) // self.batch_size)

    def __iter__(self):
        if self.seed is None:
            for start in range(0, len(self.pairs), self.batch_size):
                rows = slice(start, min(start + self.batch_size, len(self.pairs)))
                yield _tensors(self.pairs.read(rows, images=self.arrays))
            return
        generator = np.random.default_rng([self.seed, self.epoch])
        runs = np.array_split(np.arange(len(self.pairs)), -(-len(self.pairs) // _RUN))
        order = np.concatenate([runs[number] for number in generator.permutation(len(runs))])
        n_read = max(1, _IN_MEMORY // self.batch_size) * self.batch_size
        for start in range(0, len(order), n_read):
            arrays = self.pairs.read(np.sort(order[start:start + n_read]), images=self.arrays)
            shuffled = generator.permutation(len(arrays["input_flux"]))
            for first in range(0, len(shuffled), self.batch_size):
                rows = shuffled[first:first + self.batch_size]
                batch = {name: None if value is None else value[rows] for name, value in arrays.items()}
                yield _tensors(_turned(batch, generator) if self.augment else batch)


def _turned(arrays, generator):
    """All images of a batch turned and flipped alike, data and weight together."""
    images = {name: value for name, value in arrays.items() if value is not None and value.ndim == 4}
    square = all(image.shape[2] == image.shape[3] for image in images.values())
    turns, flip = generator.integers(4), generator.integers(2)
    turns = turns if square else 2 * (turns % 2)
    turned = {name: np.rot90(image, turns, (2, 3)) for name, image in images.items()}
    return arrays | {name: image[..., ::-1] if flip else image for name, image in turned.items()}


def _tensors(arrays):
    batch = {}
    for name in (*_IMAGES, *_SPECTRA, *_REDSHIFT):
        value = arrays.get(name)
        batch[name] = None if value is None else torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
    return batch
