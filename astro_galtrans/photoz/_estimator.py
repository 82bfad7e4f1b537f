"""A trained redshift estimator: images in, redshift densities out."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

import astropy.units as u
import numpy as np
import torch
from astropy.utils.masked import Masked

from astro_galtrans._utils.masked import floats
from astro_galtrans.images import empty_pixels, missing_bands
from astro_galtrans.photoz._columns import ColumnEncoder, column_values, same_columns
from astro_galtrans.photoz._config import EstimatorConfig
from astro_galtrans.photoz._features import ImageEncoder
from astro_galtrans.photoz._model import DensityModel
from astro_galtrans.photoz._network import build_network
from astro_galtrans.photoz._stored import StoredEstimator

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF

__all__ = ["ImageModel", "RedshiftEstimator", "check_images", "image_batch", "plain_images", "seen_galaxies",
           "split_validation"]


class ImageModel(DensityModel):
    """Encoders and network: images, and catalogue columns if there are any, to the outputs of a density model."""

    def __init__(self, geometry, grid, config):
        super().__init__(grid, config.output)
        self.encoder = ImageEncoder(
            geometry["sky_noise"], geometry["shape"], geometry["pixel_scale"], geometry["psf_fwhm"],
            config.pooling, config.n_apertures)
        n_columns = geometry.get("n_columns", 0)
        self.columns = ColumnEncoder(n_columns) if n_columns else None
        self.network = build_network(
            config.architecture, n_planes=self.encoder.n_planes, n_features=self.encoder.n_features + 2 * n_columns,
            n_outputs=self.n_outputs, width=config.width, dropout=config.dropout)

    def forward(self, levels, colours, columns=None):
        """Outputs for galaxies as `ImageEncoder` gives them, beside the values of their columns."""
        features = self.encoder.features(colours)
        if self.columns is not None:
            features = torch.cat([features, self.columns(columns)], dim=1)
        return self.network(self.encoder.planes(levels), features)


def plain_images(values, name, unit):
    """Images without the forms of which a part keeps no mask or unit; tensors and arrays on disk stay as they are.

    Parameters
    ----------
    values : array_like or None
    name : str
        Argument, for messages.
    unit : `~astropy.units.Unit`
        Unit of the result, to which a Quantity is converted.
    """
    if isinstance(values, (list, tuple, np.ma.MaskedArray, Masked, u.Quantity)):
        return floats(values, name, unit=unit)
    return values


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


def split_validation(validation):
    """Flux, redshift, weight and features of ``(flux, redshift[, weight[, features]])``."""
    if not isinstance(validation, (tuple, list)) or not 2 <= len(validation) <= 4:
        raise ValueError("validation must be (flux, redshift), (flux, redshift, weight) or "
                         "(flux, redshift, weight, features)")
    return (*validation, None, None)[:4]


def _tensor(array, rows, device, name):
    part = array[rows]
    if not isinstance(part, torch.Tensor):
        part = torch.from_numpy(np.array(floats(part, name, dtype=np.float32)))
    return part.detach().to(device=device, dtype=torch.float32)


def image_batch(flux, weight, rows, device):
    """Images of some galaxies with masked pixels set to zero, and which pixels are good (None if all are)."""
    images = _tensor(flux, rows, device, "flux")
    valid = torch.isfinite(images)
    if bool((images == 0).any()):
        valid &= torch.from_numpy(~empty_pixels(images.cpu().numpy())).to(device)
    if weight is not None:
        inverse_variance = _tensor(weight, rows, device, "weight")
        valid &= (inverse_variance > 0) & torch.isfinite(inverse_variance)
    if bool(valid.all()):
        return images, None
    return torch.where(valid, images, torch.zeros_like(images)), valid


def _seen(valid, pixel_scale):
    """Galaxies with data in each band around the middle, a tensor of bool of shape ``(n,)``."""
    missing = missing_bands(valid.cpu().numpy(), pixel_scale).any(1)
    return torch.from_numpy(~missing).to(valid.device)


def seen_galaxies(flux, weight, pixel_scale, batch_size=1024):
    """Galaxies with data in each band around the middle, bool of shape ``(n,)``."""
    parts = []
    for start in range(0, len(flux), batch_size):
        images, valid = image_batch(flux, weight, slice(start, start + batch_size), "cpu")
        parts.append(torch.ones(len(images), dtype=torch.bool) if valid is None else _seen(valid, pixel_scale))
    return torch.cat(parts).numpy() if parts else np.zeros(0, dtype=bool)


class RedshiftEstimator(StoredEstimator):
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

    _config_class = EstimatorConfig
    _description_key = "geometry"

    def __init__(
        self, geometry: dict[str, Any], grid: ArrayLike, config: EstimatorConfig, models: list[Any] | None = None,
        history: dict[str, Any] | None = None,
    ) -> None:
        geometry = {**geometry, "sky_noise": np.array(geometry["sky_noise"], dtype=float)}
        super().__init__(geometry, grid, config, models, history)
        self.survey, self.bands, self.unit = geometry["survey"], tuple(geometry["bands"]), geometry["unit"]

    _build = staticmethod(ImageModel)

    def __repr__(self) -> str:
        members = f" x {self.config.n_members}" if self.config.n_members > 1 else ""
        columns = f", {self.n_columns} columns" if self.n_columns else ""
        return (f"<RedshiftEstimator: {self.config.architecture!r}{members} on {self.survey} {''.join(self.bands)}, "
                f"{self.image_shape[0]}x{self.image_shape[1]} pixels{columns}>")

    @property
    def image_shape(self) -> tuple[int, int]:
        """Pixels of the images along y and x, a tuple of int."""
        return tuple(self._description["shape"])

    @property
    def n_columns(self) -> int:
        """Number of catalogue columns that it reads beside the images, an int."""
        return self._description.get("n_columns", 0)

    @property
    def column_names(self) -> list[str] | None:
        """Names of the catalogue columns, a list of str, or None if it was trained on an array or has none."""
        return self._description.get("column_names")

    def predict(
        self, flux: ArrayLike | torch.Tensor, weight: ArrayLike | torch.Tensor | None = None,
        features: ArrayLike | torch.Tensor | Table | None = None, *, batch_size: int = 512,
        device: str | torch.device | None = None,
    ) -> RedshiftPDF:
        """Redshift densities of galaxies.

        Parameters
        ----------
        flux : array_like, `~astropy.units.Quantity` or `torch.Tensor`
            Images, shape ``(n_galaxies, n_bands, y, x)``; bare numbers are in the survey's unit. Arrays on disk are
            read batch by batch.
        weight : array_like, `~astropy.units.Quantity` or `torch.Tensor`, optional
            Inverse variance of the shape of ``flux``; pixels of which it is 0 or not finite, like those of which the
            flux is not finite or in an area of zeros, count as masked.
        features : array_like, `torch.Tensor` or `~astropy.table.Table`, optional
            The catalogue columns of the training, shape ``(n_galaxies, n_columns)``, needed if there were any.
        batch_size : int, optional
            Galaxies at a time.
        device : str or `torch.device`, optional
            Where to compute; by default where a tensor ``flux`` is, else the CPU.

        Returns
        -------
        RedshiftPDF
            On the estimator's grid; of tensors on its device where ``flux`` is a tensor. A galaxy that lacks a band
            (see `~astro_galtrans.images.missing_bands`), or the value of a column that had all values in training,
            is masked, with a warning from `RedshiftPDF`.

        Raises
        ------
        ValueError
            If flux has other bands or another size than the training images, or features other columns.
        """
        unit = u.Unit(self.unit)
        flux, weight = plain_images(flux, "flux", unit), plain_images(weight, "weight", unit**-2)
        check_images(flux, weight, len(self.bands), self.image_shape)
        values = self._column_tensor(features, len(flux))
        is_tensor = isinstance(flux, torch.Tensor)
        device = torch.device(device if device is not None else flux.device if is_tensor else "cpu")

        def batch(rows):
            images, valid = image_batch(flux, weight, rows, device)
            seen = torch.ones(len(images), dtype=torch.bool, device=device)
            if valid is not None:
                seen = _seen(valid, self._description["pixel_scale"])
            inputs = self._model.encoder(images, valid)  # in full precision: colours are small differences of fluxes
            if values is None:
                return inputs, seen
            part = values[rows].to(device)
            return (*inputs, part), seen & self._model.columns.usable(part)

        return self._predict(len(flux), batch_size, device, is_tensor, batch)

    def _column_tensor(self, features, n):
        if (features is None) != (self.n_columns == 0):
            raise ValueError("features must be given: the estimator was trained with "
                             f"{self.n_columns} catalogue columns" if self.n_columns else
                             "features must be None: the estimator was trained on images alone")
        if features is None:
            return None
        values, names = column_values(features, n, "features")
        same_columns(names, self.column_names, values.shape[1], self.n_columns, "features")
        return torch.from_numpy(values).float()
