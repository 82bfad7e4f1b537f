"""Redshift estimator on images: the network, its training, and the prediction of redshift densities."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, TYPE_CHECKING

import astropy.units as u
import numpy as np
import torch
from astropy.utils.masked import Masked

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.validation import configured
from astro_galtrans._utils.torch_state import checked_device, torch_defaults
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import empty_pixels, missing_bands
from astro_galtrans.photoz._config import EstimatorConfig
from astro_galtrans.photoz._inputs import ColumnEncoder, ImageEncoder, column_values, same_columns
from astro_galtrans.photoz._members import Sample, Targets, fit_members, redshift_array, redshift_grid, validation_parts
from astro_galtrans.photoz._network import DensityModel, build_network
from astro_galtrans.photoz._stored import StoredEstimator
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astropy.table import Table
    from numpy.typing import ArrayLike

    from astro_galtrans.photoz._pdf import RedshiftPDF
    from astro_galtrans.surveys import Survey

__all__ = ["RedshiftEstimator", "fit_redshift_estimator"]


class _ImageModel(DensityModel):
    """Encoders and network: from images, and catalog columns if there are any, to the outputs of a density model."""

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

    def forward(self, log_flux, colors, columns=None):
        """Return outputs for the results of `ImageEncoder` and the values of the columns."""
        features = self.encoder.features(colors)
        if self.columns is not None:
            features = torch.cat([features, self.columns(columns)], dim=1)
        return self.network(self.encoder.planes(log_flux), features)


class _Images:
    """Images of galaxies and their inverse variance, if any, which are read and converted in batches.

    They must have ``n_bands`` bands and, if it is given, the ``shape`` in pixels of the images of the training.
    """

    def __init__(self, flux, weight, unit, n_bands, shape=None):
        self.flux, self.weight = _without_mask(flux, "flux", unit), _without_mask(weight, "weight", unit**-2)
        self.shape = tuple(np.shape(self.flux))
        if len(self.shape) != 4:
            raise ValueError(f"flux must have the axes (galaxy, band, y, x), got shape {self.shape}")
        if self.shape[1] != n_bands:
            raise ValueError(f"flux has {self.shape[1]} bands, the survey has {n_bands}")
        if shape is not None and self.shape[2:] != tuple(shape):
            raise ValueError(
                f"flux has images of {self.shape[2:]} pixels, the estimator was trained on {tuple(shape)}")
        if self.weight is not None and tuple(np.shape(self.weight)) != self.shape:
            raise ValueError(f"weight must have the shape of flux {self.shape}, got {tuple(np.shape(self.weight))}")

    def __len__(self):
        return self.shape[0]

    def batch(self, rows, device):
        """Return some images, zero at masked pixels, and which pixels are good (None if all are)."""
        images = _tensor(self.flux, rows, device, "flux")
        valid = torch.isfinite(images)
        if bool((images == 0).any()):
            valid &= torch.from_numpy(~empty_pixels(images.cpu().numpy())).to(device)
        if self.weight is not None:
            inverse_variance = _tensor(self.weight, rows, device, "weight")
            valid &= (inverse_variance > 0) & torch.isfinite(inverse_variance)
        if bool(valid.all()):
            return images, None
        return torch.where(valid, images, torch.zeros_like(images)), valid

    def with_all_bands(self, pixel_scale, batch_size=1024):
        """Return which galaxies have data in each band around the center, bool of shape ``(n_galaxies,)``."""
        parts = [_with_all_bands(*self.batch(slice(start, start + batch_size), "cpu"), pixel_scale)
                 for start in range(0, len(self), batch_size)]
        return torch.cat(parts).numpy() if parts else np.zeros(0, dtype=bool)


def _without_mask(values, name, unit):
    """Return images without the types whose parts have no mask or unit; tensors and arrays on disk stay as they are."""
    if isinstance(values, (list, tuple, np.ma.MaskedArray, Masked, u.Quantity)):
        return floats(values, name, unit=unit)
    return values


def _tensor(array, rows, device, name):
    part = array[rows]
    if not isinstance(part, torch.Tensor):
        part = torch.from_numpy(np.array(floats(part, name, dtype=np.float32)))
    return part.detach().to(device=device, dtype=torch.float32)


def _with_all_bands(images, valid, pixel_scale):
    if valid is None:
        return torch.ones(len(images), dtype=torch.bool, device=images.device)
    missing = missing_bands(valid.cpu().numpy(), pixel_scale).any(1)
    return torch.from_numpy(~missing).to(images.device)


class RedshiftEstimator(StoredEstimator):
    """Redshift estimator on multi-band images of one survey, the result of `fit_redshift_estimator`.

    Attributes
    ----------
    config : EstimatorConfig
        Settings of the training.
    survey, bands, unit : str, tuple of str, str
        Survey, bands and unit of the images.
    grid : ndarray
        Redshifts of the densities.
    """

    config: EstimatorConfig
    _config_class = EstimatorConfig
    _description_key = "geometry"

    def __init__(
        self, geometry: dict[str, Any], grid: ArrayLike, config: EstimatorConfig,
        models: list[DensityModel] | None = None, history: dict[str, list] | None = None,
    ) -> None:
        geometry = {**geometry, "sky_noise": np.array(geometry["sky_noise"], dtype=float)}
        super().__init__(geometry, grid, config, models, history)
        self.survey, self.bands, self.unit = geometry["survey"], tuple(geometry["bands"]), geometry["unit"]

    def _build(self):
        return _ImageModel(self._description, self.grid, self.config)

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
        """Number of catalog columns beside the images, an int."""
        return self._description.get("n_columns", 0)

    @property
    def column_names(self) -> list[str] | None:
        """Names of the catalog columns, a list of str, or None without columns or after training on an array."""
        return self._description.get("column_names")

    def predict(
        self, flux: ArrayLike | torch.Tensor, weight: ArrayLike | torch.Tensor | None = None,
        features: ArrayLike | torch.Tensor | Table | None = None, *, batch_size: int = 512,
        device: str | torch.device | None = None,
    ) -> RedshiftPDF:
        """Return redshift densities of galaxies.

        Parameters
        ----------
        flux : array_like, `~astropy.units.Quantity` or `torch.Tensor`
            Images, shape ``(n_galaxies, n_bands, y, x)``; bare numbers are in the survey's unit. Arrays on disk are
            read batch by batch.
        weight : array_like, `~astropy.units.Quantity` or `torch.Tensor`, optional
            Inverse variance of the shape of ``flux``; pixels of which it is 0 or not finite, like those of which the
            flux is not finite or in an area of zeros, count as masked.
        features : array_like, `torch.Tensor` or `~astropy.table.Table`, optional
            The catalog columns of the training, shape ``(n_galaxies, n_columns)``, required if there were any.
        batch_size : int, optional
            Galaxies at a time.
        device : str or `torch.device`, optional
            Where to compute; by default where a tensor ``flux`` is, else the CPU.

        Returns
        -------
        RedshiftPDF
            Densities on ``grid``, as tensors on their device where ``flux`` is a tensor. A galaxy that lacks a band
            (see `~astro_galtrans.images.missing_bands`), or the value of a column that had all values in training,
            is masked, with a warning from `RedshiftPDF`.

        Raises
        ------
        ValueError
            If flux has other bands or another size than the training images, or features other columns.
        """
        images = _Images(flux, weight, u.Unit(self.unit), len(self.bands), self.image_shape)
        values = self._column_tensor(features, len(images))
        is_tensor = isinstance(images.flux, torch.Tensor)
        if device is None:
            device = images.flux.device if is_tensor else "cpu"
        device = checked_device(device)

        def batch(rows):
            part, valid = images.batch(rows, device)
            usable = _with_all_bands(part, valid, self._description["pixel_scale"])
            # In full precision: colors are small differences of fluxes.
            inputs = self._model.encoder(part, valid)
            if values is None:
                return inputs, usable
            columns = values[rows].to(device)
            return (*inputs, columns), usable & self._model.columns.usable(columns)

        return self._predict(len(images), batch_size, device, is_tensor, batch)

    def _column_tensor(self, features, n):
        if (features is None) != (self.n_columns == 0):
            raise ValueError("features must be given: the estimator was trained with "
                             f"{self.n_columns} catalog columns" if self.n_columns else
                             "features must be None: the estimator was trained on images alone")
        if features is None:
            return None
        values, names = column_values(features, n, "features")
        same_columns(names, self.column_names, values.shape[1], self.n_columns, "features")
        return torch.from_numpy(values).float()


class _Part(NamedTuple):
    """Galaxies of the training or of the validation; ``rows`` are those that are used."""

    images: _Images
    redshift: np.ndarray
    columns: np.ndarray | None
    rows: np.ndarray


def _encoded(encoder, part, grid, config, device):
    """Return the encoded galaxies of one part, None without any."""
    rows = part.rows
    if not len(rows):
        return None
    with torch.no_grad():
        parts = [encoder(*part.images.batch(rows[start:start + 512], device)) for start in range(0, len(rows), 512)]
    inputs = [torch.cat(tensors) for tensors in zip(*parts)]
    if part.columns is not None:
        inputs.append(torch.from_numpy(part.columns[rows]).to(device, torch.float32))
    return Sample(tuple(inputs), Targets(part.redshift[rows], grid, config, device))


def _geometry(shape, survey, columns, names):
    geometry = {
        "survey": survey.name, "bands": list(survey.band_names), "unit": survey.unit.to_string(),
        "sky_noise": np.array(survey.sky_noise, dtype=float), "shape": [int(n) for n in shape],
        "pixel_scale": float(survey.pixel_scale.to_value("arcsec")),
        "psf_fwhm": float(np.median([band.psf_fwhm.to_value("arcsec") for band in survey])),
    }
    if columns is not None:
        geometry.update(n_columns=columns.shape[1], column_names=names)
    return geometry


def _usable(images, name, survey):
    usable = images.with_all_bands(survey.pixel_scale.to_value("arcsec"))
    if not usable.all():
        warnings.warn(f"{int((~usable).sum())} of {len(usable)} {name} galaxies have no data around the center "
                      "in some band and are left out", GaltransWarning, 4)
    return np.flatnonzero(usable)


def _split(part, config):
    """Return training galaxies and, set aside from them, validation galaxies."""
    rows = np.random.default_rng(config.seed).permutation(part.rows)
    n_held = int(round(config.validation_fraction * len(rows)))
    return part._replace(rows=np.sort(rows[n_held:])), part._replace(rows=np.sort(rows[:n_held]))


def _validation(validation, train, names, survey):
    """Return the given validation galaxies."""
    flux, redshift, weight, columns = validation_parts(validation, "flux", "weight")
    images = _Images(flux, weight, survey.unit, len(survey), train.images.shape[2:])
    redshift = redshift_array(redshift, len(images), "validation redshift")
    rows = _usable(images, "validation", survey)
    if (columns is None) != (train.columns is None):
        raise ValueError("validation must have features where the training galaxies have them, and only there")
    if columns is not None:
        columns, own_names = column_values(columns, len(images), "validation features")
        same_columns(own_names, names, columns.shape[1], train.columns.shape[1], "validation features")
    return _Part(images, redshift, columns, rows)


@torch_defaults()
def fit_redshift_estimator(
    flux: ArrayLike | torch.Tensor, redshift: ArrayLike, *, survey: Survey | str,
    weight: ArrayLike | torch.Tensor | None = None, features: ArrayLike | torch.Tensor | Table | None = None,
    config: EstimatorConfig | None = None, validation: Sequence[ArrayLike | Table | None] | None = None,
    device: str | torch.device | None = None, progress: bool = False, checkpoint: str | PathLike | None = None,
    **overrides: Any,
) -> RedshiftEstimator:
    """Train a network that estimates redshift densities from multi-band images.

    Parameters
    ----------
    flux : array_like, `~astropy.units.Quantity` or `torch.Tensor`
        Images, bare numbers in the survey's unit, shape ``(n_galaxies, n_bands, y, x)``.
    redshift : array_like
        True redshifts, shape ``(n_galaxies,)``.
    survey : Survey or str
        Survey of the images, `~astro_galtrans.surveys.Survey.select`-ed to their bands.
    weight : array_like, `~astropy.units.Quantity` or `torch.Tensor`, optional
        Inverse variance of the shape of ``flux``; a pixel of which it is 0 or not finite is masked, as is one of which
        the flux is not finite or in an area of zeros.
    features : array_like, `torch.Tensor` or `~astropy.table.Table`, optional
        Catalog columns such as E(B-V), shape ``(n_galaxies, n_columns)``, additional inputs of the network,
        standardized. NaN or masked is missing, which is an input too. A column that has all values in training must
        have them in `RedshiftEstimator.predict`; a galaxy without a value is masked there.
    config : EstimatorConfig, optional
        Settings.
    validation : tuple, optional
        ``(flux, redshift)``, ``(flux, redshift, weight)`` or ``(flux, redshift, weight, features)`` of the galaxies on
        which the best epoch is chosen; weight may be None. By default ``config.validation_fraction`` of the training
        galaxies is set aside for it.
    device : str or `torch.device`, optional
        Where to train, the CPU by default.
    progress : bool, optional
        Show a progress bar.
    checkpoint : str or path-like, optional
        Folder in which the state of each member is written after each epoch. The same call with the same folder
        resumes an interrupted training, and on the same device gives the same estimator; other settings or galaxies
        raise ValueError.
    **overrides
        Settings of `EstimatorConfig` that differ from ``config``, as ``epochs=10, seed=1``.

    Returns
    -------
    RedshiftEstimator

    Raises
    ------
    ValueError
        For images that do not fit the survey, redshifts that are not finite, infinite features, or too few galaxies.
    TypeError
        For a setting that does not exist.

    Notes
    -----
    The state of the global random number generators of NumPy and torch is left as it was. On one device, with one
    number of threads, the same seed gives the same estimator.
    """
    config = configured(EstimatorConfig, config, overrides, function=fit_redshift_estimator)
    device = checked_device("cpu" if device is None else device)
    survey = get_survey(survey)
    images = _Images(flux, weight, survey.unit, len(survey))
    redshift = redshift_array(redshift, len(images), "redshift")
    columns, names = (None, None) if features is None else column_values(features, len(images), "features")
    grid = redshift_grid(redshift, config)
    train = _Part(images, redshift, columns, _usable(images, "training", survey))
    if validation is None:
        train, held = _split(train, config)
    else:
        held = _validation(validation, train, names, survey)
    if len(train.rows) < 2:
        raise ValueError(f"at least 2 training galaxies are needed, {len(train.rows)} are left")
    geometry = _geometry(images.shape[2:], survey, columns, names)
    with torch.random.fork_rng(devices=[]):
        first = _ImageModel(geometry, grid, config).to(device)
    samples = tuple(_encoded(first.encoder, part, grid, config, device) for part in (train, held))
    first.encoder.standardize(*samples[0].inputs[:2])
    if columns is not None:
        first.columns.standardize(columns[train.rows])

    def build():
        model = _ImageModel(geometry, grid, config)
        model.encoder.load_state_dict(first.encoder.state_dict())
        if model.columns is not None:
            model.columns.load_state_dict(first.columns.state_dict())
        return model.to(device)

    models, history = fit_members(build, samples, grid, config, progress, checkpoint)
    return RedshiftEstimator(geometry, grid, config, models, history)
