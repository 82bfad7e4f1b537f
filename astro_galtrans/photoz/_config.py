"""Settings of a redshift estimator, checked once and stored with it."""

from dataclasses import asdict, dataclass, fields, replace

import numpy as np

__all__ = ["EstimatorConfig"]

_WHOLE = {"n_bins": 8, "width": 4, "epochs": 1, "batch_size": 2, "n_apertures": 2, "seed": 0}
_POSITIVE = ("learning_rate", "label_width")
_NOT_NEGATIVE = ("weight_decay", "crps_weight")
_FRACTION = ("ema_decay", "dropout", "warmup", "validation_fraction")


@dataclass(frozen=True)
class EstimatorConfig:
    """Settings of `fit_redshift_estimator`.

    Parameters
    ----------
    architecture : str
        Name of a registered network.
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
        Largest learning rate: a linear warm-up, then a half cosine down to zero.
    warmup : float
        Fraction of the steps with a rising learning rate.
    weight_decay : float
        Of AdamW, on weight matrices and kernels.
    dropout : float
        Fraction of the head's units dropped in training.
    label_width : float
        Standard deviation, in grid steps, of the Gaussian that the true redshift is smoothed with in the
        cross-entropy.
    crps_weight : float
        Weight of the continuous ranked probability score, in grid steps, beside the cross-entropy.
    ema_decay : float
        Decay per step of the running average of the parameters that is kept as the estimator; 0 keeps the last ones.
    patience : int, optional
        Stop after so many epochs without a better validation loss. None never stops early.
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
    validation_fraction: float = 0.1
    augment: bool = True
    pooling: int | None = None
    n_apertures: int = 6
    calibrate: bool = True
    autocast: bool = False
    seed: int = 0

    def __post_init__(self):
        for name, least in _WHOLE.items():
            self._whole(name, least)
        for name in ("patience", "pooling"):
            if getattr(self, name) is not None:
                self._whole(name, 1)
        for name in (*_POSITIVE, *_NOT_NEGATIVE, *_FRACTION):
            self._real(name)
        for name in ("augment", "calibrate", "autocast"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} must be a bool, got {getattr(self, name)!r}")
            object.__setattr__(self, name, bool(getattr(self, name)))
        if not isinstance(self.architecture, str):
            raise TypeError(f"architecture must be a str, got {self.architecture!r}")
        if self.grid is not None:
            grid = np.array(self.grid, dtype=float)
            if grid.ndim != 1 or grid.size < 8 or not np.all(np.isfinite(grid)) or np.any(np.diff(grid) <= 0):
                raise ValueError(f"grid must be at least 8 finite increasing redshifts, got shape {grid.shape}")
            object.__setattr__(self, "grid", tuple(grid.tolist()))

    def _whole(self, name, least):
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an int, got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
        object.__setattr__(self, name, int(value))

    def _real(self, name):
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name} must be a number, got {value!r}")
        outside = value < 0 or (name in _POSITIVE and value == 0) or (name in _FRACTION and value >= 1)
        if outside or not np.isfinite(value):
            bounds = "above 0" if name in _POSITIVE else "at least 0" + (" and below 1" if name in _FRACTION else "")
            raise ValueError(f"{name} must be {bounds}, got {value!r}")
        object.__setattr__(self, name, float(value))

    def changed(self, **overrides):
        """A configuration with some settings replaced, checked again.

        Returns
        -------
        EstimatorConfig
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(overrides) - known)
        if unknown:
            raise TypeError(
                f"unknown settings of an estimator: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return replace(self, **overrides)

    def to_dict(self):
        """The settings as plain Python values, a dict."""
        settings = asdict(self)
        settings["grid"] = None if self.grid is None else list(self.grid)
        return settings
