"""Settings of the redshift estimators, validated when they are created and stored with them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from astro_galtrans._utils.masked import floats, whole
from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans._utils.validation import (
    check_fields, choice, configured, flag, fraction, real_number, text, whole_number,
)

__all__ = ["CatalogConfig", "EstimatorConfig"]


def _increasing(value, name):
    """Return a grid as a tuple of float."""
    grid = floats(whole(value, name), name, dtype=float)
    if grid.ndim != 1 or grid.size < 8 or not np.all(np.isfinite(grid)) or np.any(np.diff(grid) <= 0):
        raise ValueError(f"{name} must be at least 8 finite increasing redshifts, got shape {grid.shape}")
    return tuple(grid.tolist())


_positive = partial(real_number, positive=True)
_CHECKS = {
    "architecture": text, "grid": _increasing, "n_bins": partial(whole_number, least=8),
    "width": partial(whole_number, least=4), "depth": whole_number, "epochs": partial(whole_number, least=1),
    "batch_size": partial(whole_number, least=2), "learning_rate": _positive, "warmup": fraction,
    "weight_decay": real_number, "dropout": fraction, "label_width": _positive, "crps_weight": real_number,
    "ema_decay": fraction, "patience": partial(whole_number, least=1),
    "schedule": partial(choice, allowed=("cosine", "plateau")), "n_reductions": whole_number,
    "validation_fraction": fraction, "augment": flag, "pooling": partial(whole_number, least=1),
    "n_apertures": partial(whole_number, least=2), "calibrate": flag, "autocast": flag,
    "output": partial(choice, allowed=("bins", "density")), "n_members": partial(whole_number, least=1),
    "seed": whole_number,
}


@dataclass(frozen=True, repr=False)
class _Settings:
    """Base of the settings of both estimators."""

    def __repr__(self) -> str:
        return changed_fields(self)

    def __post_init__(self):
        check_fields(self, _CHECKS)
        if self.schedule == "plateau" and self.patience is None:
            raise ValueError("schedule='plateau' needs patience, the epochs without a better validation loss")

    def changed(self, **overrides: Any) -> Self:
        """Return a configuration with some settings replaced, validated again.

        Returns
        -------
        object
            Of the same class.
        """
        return configured(type(self), self, overrides)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dict of plain Python values."""
        settings = asdict(self)
        settings["grid"] = None if settings["grid"] is None else list(settings["grid"])
        return settings


@dataclass(frozen=True, repr=False)
class EstimatorConfig(_Settings):
    """Settings of `fit_redshift_estimator`.

    Parameters
    ----------
    architecture : str
        Name of a registered network: "small", which is made for one processor core, or "inception", after the
        networks of Pasquet et al. (2019, A&A 621, A26) and Lin et al. (2022, A&A 662, A36).
    grid : tuple of float, optional
        Redshifts of the densities. By default ``n_bins`` evenly spaced ones over the training redshifts, widened by
        5 % of their range on both sides but not below 0.
    n_bins : int
        Number of redshifts of the default grid, at least 8.
    width : int
        Channels of the network's first layer.
    epochs : int
        Passes over the training galaxies.
    batch_size : int
        Galaxies in a step.
    learning_rate : float
        Largest learning rate.
    warmup : float
        Fraction of the steps with a learning rate that rises from zero; of the first ten epochs for "plateau".
    weight_decay : float
        Of AdamW, on weight matrices and kernels.
    dropout : float
        Fraction of the head's units dropped in training.
    label_width : float
        Standard deviation, in grid steps, of the Gaussian with which the true redshift is smoothed in the
        cross-entropy.
    crps_weight : float
        Weight of the continuous ranked probability score, in grid steps, beside the cross-entropy.
    ema_decay : float
        Decay per step of the running average of the parameters that is kept as the estimator; 0 keeps the last ones.
    patience : int, optional
        Stop after so many epochs without a better validation loss. None never stops early.
    schedule : {"cosine", "plateau"}
        The learning rate after the warm-up: a half cosine down to zero over ``epochs``, or constant until the
        validation loss has not improved for ``patience`` epochs; then training continues from the best parameters at
        0.3 times the rate, ``n_reductions`` times, and stops when it does not improve any more. ``epochs`` is only
        the limit then; reaching it first gives a warning.
    n_reductions : int
        How often "plateau" lowers the learning rate before it stops.
    validation_fraction : float
        Fraction of the training galaxies set aside where no validation galaxies are given.
    augment : bool
        Rotate by multiples of 90 degrees and mirror the images in training.
    pooling : int, optional
        Side in pixels of the squares that images are summed over before the network. By default the largest power of
        two that is at most 1.1 PSF FWHM (2 for SDSS, 4 for CFHTLS); the apertures see every pixel.
    n_apertures : int
        Number of central apertures whose fluxes go to the head directly.
    calibrate : bool
        After training, raise all densities to the one power that gives the validation galaxies the best log score.
        Smoothed labels make them too wide without it.
    autocast : bool
        Compute the network in bfloat16 where that is safe; faster on processors that have it.
    output : {"bins", "density"}
        Whether the network predicts the probability of each redshift of the grid (softmax), or the conditions of a
        normalizing flow in one dimension, trained by maximum likelihood and tabulated on the grid.
        ``label_width`` and ``crps_weight`` apply to "bins" alone.
    n_members : int
        Number of estimators with different seeds whose densities are averaged. The first is the one that
        ``n_members=1`` gives; all are trained on the same galaxies.
    seed : int
        Seed of the initial weights, the order of the galaxies, the orientation of the images and the dropout.
    """

    architecture: str = "small"
    grid: tuple | None = None
    n_bins: int = 200
    width: int = 24
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 6e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    dropout: float = 0.1
    label_width: float = 1.0
    crps_weight: float = 0.2
    ema_decay: float = 0.98
    patience: int | None = None
    schedule: str = "cosine"
    n_reductions: int = 3
    validation_fraction: float = 0.1
    augment: bool = True
    pooling: int | None = None
    n_apertures: int = 6
    calibrate: bool = True
    autocast: bool = False
    output: str = "bins"
    n_members: int = 1
    seed: int = 0


@dataclass(frozen=True, repr=False)
class CatalogConfig(_Settings):
    """Settings of `fit_catalog_estimator`.

    Parameters
    ----------
    grid : tuple of float, optional
        Redshifts of the densities. By default ``n_bins`` evenly spaced ones over the training redshifts, widened by
        5 % of their range on both sides but not below 0.
    n_bins : int
        Number of redshifts of the default grid, at least 8.
    width, depth : int
        Units of a layer and number of residual blocks of the network.
    epochs, batch_size, learning_rate, warmup, weight_decay, dropout, ema_decay
        As in `EstimatorConfig`.
    label_width, crps_weight, output, schedule, n_reductions, patience, validation_fraction, calibrate, seed
        As in `EstimatorConfig`.
    n_members : int
        Number of estimators with different seeds whose densities are averaged.

    Notes
    -----
    The default is the flow: on the SDSS main galaxy sample it has the better log score, CRPS and CDE loss, with the
    NMAD of "bins".
    """

    # There are no images to rotate, and the network is small.
    augment: ClassVar[bool] = False
    autocast: ClassVar[bool] = False

    grid: tuple | None = None
    n_bins: int = 150
    width: int = 128
    depth: int = 2
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 3e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    dropout: float = 0.1
    label_width: float = 2.0
    crps_weight: float = 0.2
    ema_decay: float = 0.99
    patience: int | None = None
    schedule: str = "cosine"
    n_reductions: int = 3
    validation_fraction: float = 0.1
    calibrate: bool = True
    output: str = "density"
    n_members: int = 3
    seed: int = 0
