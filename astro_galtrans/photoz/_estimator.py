"""A trained redshift estimator: images in, redshift densities out."""

import numpy as np
import torch
from astropy.table import Table
from torch import nn

from astro_galtrans.photoz._config import EstimatorConfig
from astro_galtrans.photoz._features import ImageEncoder
from astro_galtrans.photoz._network import build_network
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._piecewise import trapezoid_weights

__all__ = ["RedshiftEstimator", "check_images", "image_batch", "seen_galaxies"]

_FORMAT = 1


class _Model(nn.Module):
    """Encoder and network together: flux to logits over the grid."""

    def __init__(self, geometry, grid, config):
        super().__init__()
        self.encoder = ImageEncoder(
            geometry["sky_noise"], geometry["shape"], geometry["pixel_scale"], geometry["psf_fwhm"],
            config.pooling, config.n_apertures)
        self.network = build_network(
            config.architecture, n_planes=self.encoder.n_planes, n_features=self.encoder.n_features,
            n_grid=len(grid), width=config.width, dropout=config.dropout)
        cells = trapezoid_weights(torch.tensor(grid, dtype=torch.float64))
        self.register_buffer("log_cell", cells.log().float())
        self.register_buffer("power", torch.ones(()))

    def forward(self, levels, colours):
        """Logits of galaxies as `ImageEncoder` gives them."""
        return self.network(self.encoder.planes(levels), self.encoder.features(colours))

    def density(self, logits):
        """Normalised densities at the grid points: the logits are of the probability around each of them."""
        powered = self.power * (logits.float() - self.log_cell)
        return (torch.log_softmax(powered + self.log_cell, dim=1) - self.log_cell).exp()


def check_images(flux, weight, n_bands=None, shape=None):
    """Refuse images that are no ``(galaxy, band, y, x)`` or not those that are expected."""
    if len(getattr(flux, "shape", ())) != 4:
        raise ValueError(f"flux must have the axes (galaxy, band, y, x), got shape {getattr(flux, 'shape', None)}")
    if n_bands is not None and flux.shape[1] != n_bands:
        raise ValueError(f"flux has {flux.shape[1]} bands, the survey has {n_bands}")
    if shape is not None and tuple(flux.shape[2:]) != tuple(shape):
        raise ValueError(
            f"flux has images of {tuple(flux.shape[2:])} pixels, the estimator was trained on {tuple(shape)}")
    if weight is not None and tuple(weight.shape) != tuple(flux.shape):
        raise ValueError(f"weight must have the shape of flux {tuple(flux.shape)}, got {tuple(weight.shape)}")


def _tensor(array, rows, device):
    part = array[rows]
    if not isinstance(part, torch.Tensor):
        part = torch.from_numpy(np.array(part, dtype=np.float32))
    return part.detach().to(device=device, dtype=torch.float32)


def image_batch(flux, weight, rows, device):
    """Images of some galaxies with masked pixels set to zero, and which pixels are good (None if all are)."""
    images = _tensor(flux, rows, device)
    valid = torch.isfinite(images)
    if weight is not None:
        valid &= _tensor(weight, rows, device) > 0
    if bool(valid.all()):
        return images, None
    return torch.where(valid, images, torch.zeros_like(images)), valid


def seen_galaxies(flux, weight, batch_size=1024):
    """Galaxies with at least one good pixel in each band, bool of shape ``(n,)``."""
    parts = []
    for start in range(0, len(flux), batch_size):
        images, valid = image_batch(flux, weight, slice(start, start + batch_size), "cpu")
        parts.append(torch.ones(len(images), dtype=torch.bool) if valid is None else valid.flatten(2).any(2).all(1))
    return torch.cat(parts).numpy() if parts else np.zeros(0, dtype=bool)


class RedshiftEstimator:
    """Reads redshift densities off multi-band images of one survey; made by `fit_redshift_estimator`.

    Attributes
    ----------
    config : EstimatorConfig
        The settings of the training.
    survey, bands, unit : str, tuple of str, str
        Of the images that it was trained on.
    grid : ndarray
        Redshifts of its densities.
    """

    def __init__(self, geometry, grid, config, history=None):
        self.config = config
        self.survey, self.bands, self.unit = geometry["survey"], tuple(geometry["bands"]), geometry["unit"]
        self.grid = np.array(grid, dtype=float)
        self._geometry = dict(geometry)
        self._history = {} if history is None else {name: list(column) for name, column in history.items()}
        self._model = _Model(geometry, self.grid, config).eval()

    def __repr__(self):
        return (f"<RedshiftEstimator: {self.config.architecture!r} on {self.survey} {''.join(self.bands)}, "
                f"{self.image_shape[0]}x{self.image_shape[1]} pixels>")

    @property
    def image_shape(self):
        """Pixels of the images along y and x, a tuple of int."""
        return tuple(self._geometry["shape"])

    @property
    def history(self):
        """Losses of each epoch, a `~astropy.table.Table`."""
        return Table(self._history)

    def predict(self, flux, weight=None, *, batch_size=512, device=None):
        """Redshift densities of galaxies.

        Parameters
        ----------
        flux : array_like or `torch.Tensor`
            Images in the survey's unit, shape ``(n_galaxies, n_bands, y, x)``; read batch by batch.
        weight : array_like or `torch.Tensor`, optional
            Inverse variance of the shape of ``flux``; pixels with weight 0, like those that are not finite, count as
            masked.
        batch_size : int, optional
            Galaxies at a time.
        device : str or `torch.device`, optional
            Where to compute; by default where a tensor ``flux`` is, else the CPU.

        Returns
        -------
        RedshiftPDF
            On the estimator's grid; of tensors on its device where ``flux`` is a tensor. A galaxy without a good pixel
            in one of its bands is masked, with a warning from `RedshiftPDF`.

        Raises
        ------
        ValueError
            If flux has other bands or another size than the training images.
        """
        check_images(flux, weight, len(self.bands), self.image_shape)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        is_tensor = isinstance(flux, torch.Tensor)
        device = torch.device(device if device is not None else flux.device if is_tensor else "cpu")
        model = self._model.to(device).eval()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(flux), batch_size):
                images, valid = image_batch(flux, weight, slice(start, start + batch_size), device)
                density = self._density(model, images, valid)
                if valid is not None:
                    density[~valid.flatten(2).any(2).all(1)] = torch.inf
                parts.append(density if is_tensor else density.cpu())
        self._model.to("cpu")
        density = torch.cat(parts) if parts else torch.zeros((0, len(self.grid)))
        return RedshiftPDF(self.grid, density.clone() if is_tensor else density.numpy(), on_invalid="mask")

    def _density(self, model, images, valid):
        encoded = model.encoder(images, valid)  # in full precision: the colours are small differences of fluxes
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.config.autocast):
            logits = model(*encoded)
        return model.density(logits)

    def to_tree(self):
        """All that the estimator is, as plain Python values and NumPy arrays.

        Returns
        -------
        dict
            Keys ``format``, ``config``, ``geometry``, ``grid``, ``history`` and ``state`` (name -> ndarray).
        """
        state = {name: value.detach().cpu().contiguous().numpy().copy()
                 for name, value in self._model.state_dict().items()}
        geometry = {name: value.copy() if isinstance(value, (np.ndarray, list)) else value
                    for name, value in self._geometry.items()}
        return {"format": _FORMAT, "config": self.config.to_dict(), "geometry": geometry, "grid": self.grid.copy(),
                "history": {name: list(column) for name, column in self._history.items()}, "state": state}

    @classmethod
    def from_tree(cls, tree):
        """The estimator of a tree of `to_tree`.

        Parameters
        ----------
        tree : dict

        Returns
        -------
        RedshiftEstimator

        Raises
        ------
        ValueError
            If a part is missing, does not fit the others, or the format is newer than this package reads.
        """
        missing = {"format", "config", "geometry", "grid", "history", "state"} - set(tree)
        if missing:
            raise ValueError(f"tree lacks {', '.join(sorted(missing))}")
        if tree["format"] != _FORMAT:
            raise ValueError(f"tree has format {tree['format']}, this package reads {_FORMAT}")
        config = EstimatorConfig().changed(**tree["config"])
        geometry = {**tree["geometry"], "sky_noise": np.array(tree["geometry"]["sky_noise"], dtype=float)}
        with torch.random.fork_rng(devices=[]):
            estimator = cls(geometry, np.array(tree["grid"], dtype=float), config, tree["history"])
        state = {name: torch.from_numpy(np.array(value)) for name, value in tree["state"].items()}
        wanted = {name: tuple(value.shape) for name, value in estimator._model.state_dict().items()}
        if {name: tuple(value.shape) for name, value in state.items()} != wanted:
            raise ValueError("the arrays in tree['state'] do not fit the architecture in tree['config']")
        estimator._model.load_state_dict(state)
        return estimator
