"""Training of a redshift estimator on images."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.settings import configured
from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz._config import EstimatorConfig
from astro_galtrans.photoz._estimator import ImageModel, Images, RedshiftEstimator
from astro_galtrans.photoz._inputs import column_values, same_columns
from astro_galtrans.photoz._members import (
    Sample, Targets, default_grid, fit_members, redshift_array, validation_parts,
)
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from os import PathLike

    from astropy.table import Table
    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["fit_redshift_estimator"]


class _Part(NamedTuple):
    """Galaxies of the training or of the validation; ``rows`` are those that are used."""

    images: Images
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
    images = Images(flux, weight, survey.unit, len(survey), train.images.shape[2:])
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
    config: EstimatorConfig | None = None, validation: tuple[Any, ...] | None = None,
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
    config = configured(EstimatorConfig, config, overrides)
    survey = get_survey(survey)
    images = Images(flux, weight, survey.unit, len(survey))
    redshift = redshift_array(redshift, len(images), "redshift")
    columns, names = (None, None) if features is None else column_values(features, len(images), "features")
    grid = default_grid(redshift, config.n_bins) if config.grid is None else np.array(config.grid)
    train = _Part(images, redshift, columns, _usable(images, "training", survey))
    if validation is None:
        train, held = _split(train, config)
    else:
        held = _validation(validation, train, names, survey)
    if len(train.rows) < 2:
        raise ValueError(f"at least 2 training galaxies are needed, {len(train.rows)} are left")
    device = torch.device("cpu" if device is None else device)
    geometry = _geometry(images.shape[2:], survey, columns, names)
    with torch.random.fork_rng(devices=[]):
        first = ImageModel(geometry, grid, config).to(device)
    samples = tuple(_encoded(first.encoder, part, grid, config, device) for part in (train, held))
    first.encoder.standardize(*samples[0].inputs[:2])
    if columns is not None:
        first.columns.standardize(columns[train.rows])

    def build():
        model = ImageModel(geometry, grid, config)
        model.encoder.load_state_dict(first.encoder.state_dict())
        if model.columns is not None:
            model.columns.load_state_dict(first.columns.state_dict())
        return model.to(device)

    models, history = fit_members(build, samples, grid, config, progress, checkpoint)
    return RedshiftEstimator(geometry, grid, config, models, history)
