"""The redshift reader of a spectrum's embedding, trained on spectra alone before the translator."""

import logging

import numpy as np
import torch

__all__ = ["fit_reader", "readable_redshift"]

log = logging.getLogger(__name__)

_FEWEST = 64  # spectra of known redshift; with fewer there is no reader
_MOST = 16_384
_BATCH = 64
_MOST_READ = 1024
_MOST_STEPS, _MOST_EPOCHS = 2000, 200
_LEARNING_RATE, _WEIGHT_DECAY = 4e-3, 1e-3
_RISE = 0.3
_MARGIN = 0.05  # of 1 + z, beyond the largest redshift that is known
# A spectrum moved by whole pixels of the logarithmic grid is that of the same galaxy at another redshift.
_SHIFT = 40


def readable_redshift(pairs):
    """The largest redshift that a reader trained on these pairs is to tell, or None if they are too few.

    Parameters
    ----------
    pairs : PairSet
        Training pairs with spectra.

    Returns
    -------
    float or None
    """
    if pairs.redshift is None:
        return None
    known = np.asarray(pairs.redshift, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < _FEWEST:
        return None
    return float((1 + known.max()) * (1 + _MARGIN) - 1)


def fit_reader(reader, pairs, generator):
    """Train a redshift reader.

    Parameters
    ----------
    reader : RedshiftReader
    pairs : PairSet
        With spectra and redshifts, of which up to 16,384 are used.
    generator : torch.Generator
        Of the order of the spectra and of the redshifts that they are moved to.
    """
    arrays = pairs.read(slice(0, min(len(pairs), _MOST)), images=("spectrum_flux", "spectrum_weight"))
    flux, weight, redshift = (torch.from_numpy(np.asarray(arrays[name], dtype=np.float32))
                              for name in ("spectrum_flux", "spectrum_weight", "redshift"))
    kept = redshift.isfinite() & (weight > 0).any(1)
    flux, weight, redshift = flux[kept], weight[kept], redshift[kept]
    if not len(flux):
        return
    n_steps = min(_MOST_STEPS, _MOST_EPOCHS * -(-len(flux) // _BATCH))
    reader.requires_grad_(True)
    optimizer = torch.optim.AdamW(reader.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, n_steps, pct_start=_RISE)
    for _ in range(n_steps):
        rows = torch.randint(len(flux), (_BATCH,), generator=generator)
        pixels = int(torch.randint(-_SHIFT, _SHIFT + 1, (1,), generator=generator))
        loss = reader.loss(*_moved(flux[rows], weight[rows], redshift[rows], pixels, reader.grid_step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    reader.requires_grad_(False)
    if not log.isEnabledFor(logging.INFO):
        return
    with torch.no_grad():
        read = torch.cat([reader(*some)[0] for some in zip(flux.split(_MOST_READ), weight.split(_MOST_READ))])
    error = float(((read - redshift).abs() / (1 + redshift)).median())
    log.info("redshift reader: median |dz| / (1 + z) %.5f on its %d spectra after %d steps", error, len(flux), n_steps)


def _moved(flux, weight, redshift, pixels, step):
    """Spectra as of galaxies whose ln(1 + z) is larger by so many steps of the grid; what moves in has weight 0."""
    flux, weight = flux.roll(pixels, 1), weight.roll(pixels, 1)
    if pixels > 0:
        weight[:, :pixels] = 0
    elif pixels < 0:
        weight[:, pixels:] = 0
    return flux, weight, (1 + redshift) * float(np.exp(pixels * step)) - 1
