"""Training of a redshift estimator on images."""

from __future__ import annotations

import warnings
from typing import Any, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.torch_state import torch_defaults
from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.photoz._columns import column_values, same_columns
from astro_galtrans.photoz._config import EstimatorConfig
from astro_galtrans.photoz._estimator import (
    ImageModel, RedshiftEstimator, check_images, image_batch, plain_images, seen_galaxies, split_validation,
)
from astro_galtrans.photoz._members import fit_members
from astro_galtrans.photoz._targets import Targets, default_grid, redshift_array
from astro_galtrans.photoz._trainer import Sample
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from os import PathLike

    from astropy.table import Table
    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["fit_redshift_estimator"]


def _encoded(encoder, part, grid, config, device):
    """The galaxies of one part, encoded once; None without any."""
    flux, redshift, weight, columns, rows = part
    if not len(rows):
        return None
    parts = []
    with torch.no_grad():
        for start in range(0, len(rows), 512):
            parts.append(encoder(*image_batch(flux, weight, rows[start:start + 512], device)))
    inputs = [torch.cat(tensors) for tensors in zip(*parts)]
    if columns is not None:
        inputs.append(torch.from_numpy(columns[rows]).to(device, torch.float32))
    return Sample(tuple(inputs), Targets(redshift[rows], grid, config, device))


def _geometry(flux, survey, columns, names):
    geometry = {
        "survey": survey.name, "bands": list(survey.band_names), "unit": survey.unit.to_string(),
        "sky_noise": np.array(survey.sky_noise, dtype=float), "shape": [int(n) for n in flux.shape[2:]],
        "pixel_scale": float(survey.pixel_scale.to_value("arcsec")),
        "psf_fwhm": float(np.median([band.psf_fwhm.to_value("arcsec") for band in survey])),
    }
    if columns is not None:
        geometry.update(n_columns=columns.shape[1], column_names=names)
    return geometry


def _usable(flux, weight, name, pixel_scale):
    seen = seen_galaxies(flux, weight, pixel_scale)
    if not seen.all():
        warnings.warn(f"{int((~seen).sum())} of {len(seen)} {name} galaxies have no data around the middle "
                      "in some band and are left out", GaltransWarning, 4)
    return np.flatnonzero(seen)


def _divided(given, names, validation, config, survey):
    """Flux, redshift, weight, columns and rows of the training and of the validation galaxies."""
    flux, redshift, weight, columns = given
    pixel_scale = survey.pixel_scale.to_value("arcsec")
    rows = _usable(flux, weight, "training", pixel_scale)
    if validation is not None:
        held_flux, held_redshift, held_weight, held_columns = split_validation(validation)
        held_flux = plain_images(held_flux, "validation flux", survey.unit)
        held_weight = plain_images(held_weight, "validation weight", survey.unit**-2)
        check_images(held_flux, held_weight, flux.shape[1], flux.shape[2:])
        held_redshift = redshift_array(held_redshift, len(held_flux), "validation redshift")
        held_rows = _usable(held_flux, held_weight, "validation", pixel_scale)
        if (held_columns is None) != (columns is None):
            raise ValueError("validation must have features where the training galaxies have them, and only there")
        if columns is not None:
            held_columns, held_names = column_values(held_columns, len(held_flux), "validation features")
            same_columns(held_names, names, held_columns.shape[1], columns.shape[1], "validation features")
        held = (held_flux, held_redshift, held_weight, held_columns, held_rows)
    else:
        rows = np.random.default_rng(config.seed).permutation(rows)
        n_held = int(round(config.validation_fraction * len(rows)))
        held = (*given, np.sort(rows[:n_held]))
        rows = np.sort(rows[n_held:])
    if len(rows) < 2:
        raise ValueError(f"at least 2 training galaxies are needed, {len(rows)} are left")
    return (*given, rows), held


@torch_defaults()
def fit_redshift_estimator(
    flux: ArrayLike | torch.Tensor, redshift: ArrayLike, *, survey: Survey | str,
    weight: ArrayLike | torch.Tensor | None = None, features: ArrayLike | torch.Tensor | Table | None = None,
    config: EstimatorConfig | None = None, validation: tuple[Any, ...] | None = None,
    device: str | torch.device | None = None, progress: bool = False, checkpoint: str | PathLike | None = None,
    **overrides: Any,
) -> RedshiftEstimator:
    """Train a network that reads redshift densities off multi-band images.

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
        Catalogue columns such as E(B-V), shape ``(n_galaxies, n_columns)``, which the network gets beside the images,
        standardised. NaN or masked is missing: the network is told so. A column that has all values in training must
        have them in `RedshiftEstimator.predict` too; a galaxy without is masked there.
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
        Folder in which the state of each member is written after each epoch. The same call with the same folder goes
        on where an interrupted one stopped, and on the same device gives the same estimator; for other settings or
        galaxies the folder is refused.
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
    if config is not None and not isinstance(config, EstimatorConfig):
        raise TypeError(f"config must be an EstimatorConfig, got {type(config).__name__}")
    config = (config or EstimatorConfig()).changed(**overrides)
    survey = get_survey(survey)
    flux, weight = plain_images(flux, "flux", survey.unit), plain_images(weight, "weight", survey.unit**-2)
    check_images(flux, weight, len(survey))
    redshift = redshift_array(redshift, len(flux), "redshift")
    columns, names = (None, None) if features is None else column_values(features, len(flux), "features")
    grid = default_grid(redshift, config.n_bins) if config.grid is None else np.array(config.grid)
    train, held = _divided((flux, redshift, weight, columns), names, validation, config, survey)
    device = torch.device("cpu" if device is None else device)
    geometry = _geometry(flux, survey, columns, names)
    with torch.random.fork_rng(devices=[]):
        first = ImageModel(geometry, grid, config).to(device)
    samples = tuple(_encoded(first.encoder, part, grid, config, device) for part in (train, held))
    first.encoder.standardise(*samples[0].inputs[:2])
    if columns is not None:
        first.columns.standardise(columns[train[-1]])

    def build():
        model = ImageModel(geometry, grid, config)
        model.encoder.load_state_dict(first.encoder.state_dict())
        if model.columns is not None:
            model.columns.load_state_dict(first.columns.state_dict())
        return model.to(device)

    models, history = fit_members(build, samples, grid, config, progress, checkpoint)
    return RedshiftEstimator(geometry, grid, config, models, history)
